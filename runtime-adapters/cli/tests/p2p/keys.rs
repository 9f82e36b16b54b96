//! `keygen` and `id`: the key files of go, rust, js and kubo.

use crate::support::{file, run, run_with};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE as HEX};
use serde_json::Value;
use std::fs;

/// A private key that the specification of peer ids gives, in each type, with its public key.
const KEYS: [(&str, &str, &str); 3] = [
    (
        "ed25519",
        "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
        "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
    ),
    (
        "secp256k1",
        "0802122053DADF1D5A164D6B4ACDB15E24AA4C5B1D3461BDBD42ABEDB0A4404D56CED8FB",
        "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99",
    ),
    (
        "ecdsa",
        "08031279307702010104203E5B1FE9712E6C314942A750BD67485DE3C1EFE85B1BFB520AE8F9AE3DFA4A4CA00A06082A8648CE3D030107A14403420004DE3D300FA36AE0E8F5D530899D83ABAB44ABF3161F162A4BC901D8E6ECDA020E8B6D5F8DA30525E71D6851510C098E5C47C646A597FB4DCEC034E9F77C409E62",
        "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62",
    ),
];

fn id(path: &str) -> Value {
    let done = run(&["id", path]);
    assert_eq!(done.code, Some(0), "{done:?}");
    done.lines()[0].clone()
}

#[test]
fn the_keys_of_the_specification_are_read_in_every_format() {
    for (kind, private, public) in KEYS {
        let bytes = HEX.decode(private.as_bytes()).unwrap();
        let base64 = BASE64.encode(&bytes);
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let bare = write("bare", &bytes);
        let told = id(&bare);
        assert_eq!(told["keyType"], kind);
        assert_eq!(
            told["publicKey"],
            BASE64.encode(&HEX.decode(public.as_bytes()).unwrap())
        );
        let peer = told["peerId"].as_str().unwrap();
        let files = [
            write("base64", base64.as_bytes()),
            write("line", format!("{base64}\n").as_bytes()),
            write("kubo", format!("{{\"Identity\": {{\"PeerID\": \"{peer}\", \"PrivKey\": \"{base64}\"}}, \"Datastore\": {{}}}}").as_bytes()),
            write("js", format!("{{\"id\": \"{peer}\", \"privKey\": \"{base64}\", \"pubKey\": \"x\"}}").as_bytes()),
        ];
        for path in files {
            assert_eq!(id(&path), told, "{path}");
        }
        assert_eq!(run_with(&["id", "-"], &bytes).lines()[0], told);
    }
}

#[test]
fn every_type_survives_every_format() {
    for kind in ["ed25519", "secp256k1", "ecdsa", "rsa"] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let made = run(&["keygen", "--key", kind, "--out", &path("made")]);
        assert_eq!(made.code, Some(0), "{made:?}");
        let told = made.lines()[0].clone();
        assert_eq!(told["keyType"], kind);
        for format in ["protobuf", "base64", "kubo", "js"] {
            let copy = path(format);
            let done = run(&["id", &path("made"), "--out", &copy, "--format", format]);
            assert_eq!(done.code, Some(0), "{done:?}");
            assert_eq!(id(&copy)["peerId"], told["peerId"], "{kind} {format}");
            let printed = run(&["id", &copy, "--format", "base64"]);
            assert_eq!(
                BASE64.decode(printed.stdout.trim().as_bytes()).unwrap(),
                fs::read(path("protobuf")).unwrap()
            );
        }
    }
}

#[test]
fn a_key_file_is_for_its_owner_alone_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.key");
    let name = path.to_str().unwrap();
    assert_eq!(run(&["keygen", "--out", name]).code, Some(0));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&path).unwrap();
    let done = run(&["keygen", "--out", name]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("never overwritten"), "{done:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_key_without_a_file_goes_to_standard_output_and_can_be_piped() {
    let done = run(&["keygen"]);
    let told = run_with(&["id", "-"], done.stdout.as_bytes());
    assert_eq!(told.lines()[0]["keyType"], "ed25519");
}

#[test]
fn what_is_no_key_is_told_with_its_file() {
    for (text, cause) in [
        ("", "neither"),
        ("hello, world", "neither"),
        ("AAAAAAAA", ""),
        ("{\"Identity\": {}}", "Identity.PrivKey"),
        ("-----BEGIN PRIVATE KEY-----\n", "libp2p-protobuf-cleartext"),
    ] {
        let (_folder, path) = file("node.key", text);
        let done = run(&["id", &path]);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
        assert!(
            done.stderr.contains(&path) && done.stderr.contains(cause),
            "{text:?}: {done:?}"
        );
    }
    // A configuration whose key is not that of its peer id.
    let (private, other) = (
        HEX.decode(KEYS[0].1.as_bytes()).unwrap(),
        "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X",
    );
    let text = format!(
        "{{\"Identity\": {{\"PeerID\": \"{other}\", \"PrivKey\": \"{}\"}}}}",
        BASE64.encode(&private)
    );
    let (_folder, path) = file("config", &text);
    let done = run(&["id", &path]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains(other), "{done:?}");
    assert_eq!(run(&["id", "/nonexistent"]).code, Some(1));
    assert_eq!(run(&["keygen", "--key", "dsa"]).code, Some(2));
}
