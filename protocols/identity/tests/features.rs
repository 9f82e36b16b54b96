//! What each feature brings: a type that is not built in is refused by name, never read as something else.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use libp2p_proto_core::Rng;
use libp2p_proto_identity::{Error, KeyType, Keypair, PublicKey};

#[test]
fn a_key_type_is_made_and_read_if_its_feature_is_built_in() {
    for (key_type, built_in) in [
        (KeyType::Ed25519, true),
        (KeyType::Secp256k1, cfg!(feature = "secp256k1")),
        (KeyType::Ecdsa, cfg!(feature = "ecdsa")),
        (KeyType::Rsa, cfg!(feature = "rsa-signing")),
    ] {
        let made = Keypair::generate(key_type, &mut Rng::from_seed([1; 32]));
        let Ok(keys) = made else {
            assert!(!built_in);
            assert_eq!(made.err(), Some(Error::Unsupported(key_type)));
            continue;
        };
        assert!(built_in);
        let again = Keypair::decode_protobuf(&keys.encode_protobuf()).unwrap();
        let signature = again.sign(b"message").unwrap();
        assert!(keys.public().verify(b"message", &signature));
        assert_eq!(
            PublicKey::decode(keys.public().encode()).as_ref(),
            Ok(keys.public())
        );
    }
    for (key_type, built_in) in [
        (KeyType::Secp256k1, cfg!(feature = "secp256k1")),
        (KeyType::Ecdsa, cfg!(feature = "ecdsa")),
        (KeyType::Rsa, cfg!(feature = "rsa")),
    ] {
        let expected = if built_in {
            Error::InvalidKey(key_type)
        } else {
            Error::Unsupported(key_type)
        };
        assert_eq!(PublicKey::from_data(key_type, &[0x30, 0]), Err(expected));
    }
}

/// A file of the repository, which the packaged crate does not hold.
fn file(path: &str) -> Option<String> {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).ok()
}

#[test]
fn vul_068_the_rsa_crate_only_verifies_so_that_no_private_key_can_leak_through_its_timing() {
    // Private keys are aws-lc's: without it there are none, whatever else is built in.
    if cfg!(not(feature = "rsa-signing")) {
        let made = Keypair::generate(KeyType::Rsa, &mut Rng::from_seed([1; 32]));
        assert_eq!(made.err(), Some(Error::Unsupported(KeyType::Rsa)));
    }
    // One file uses the crate, and of it the public half.
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("aws_lc_rs::rsa::", "");
        let uses: Vec<_> = text.lines().filter(|line| line.contains("use rsa::")).collect();
        if path.ends_with("rsa_key.rs") {
            assert_eq!(
                uses,
                ["use rsa::{BoxedUint, PublicKey, pkcs1v15, signature::Verifier as _};"]
            );
            assert!(!text.contains("PrivateKey") && !text.contains("decrypt"));
        } else {
            assert!(uses.is_empty(), "{}", path.display());
        }
    }
    if let Some(deny) = file("../../deny.toml") {
        assert!(deny.contains(r#"id = "RUSTSEC-2023-0071", reason = ""#));
    }
}
