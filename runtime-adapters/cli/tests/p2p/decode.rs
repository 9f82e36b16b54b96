//! `decode`: addresses, peer ids and envelopes, taken apart.

use crate::support::run;
use data_encoding::{BASE64, HEXLOWER};
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_identity::{Identity, Keypair, PeerRecord};
use serde_json::json;

#[test]
fn an_address_is_taken_apart() {
    let done = run(&[
        "decode",
        "/ip4/127.0.0.1/tcp/4001/ws/p2p/12D3KooWRWqSZDt6DyMx2VhBCyr4WKLH6A4YJtHbNw4C7LWxbeGt",
    ]);
    let line = &done.lines()[0];
    assert_eq!(line["kind"], "multiaddr");
    assert_eq!(line["network"], "loopback");
    assert_eq!(
        line["peerId"],
        "12D3KooWRWqSZDt6DyMx2VhBCyr4WKLH6A4YJtHbNw4C7LWxbeGt"
    );
    assert_eq!(line["components"][0], "/ip4/127.0.0.1");
    assert_eq!(line["components"][1], "/tcp/4001");
    assert_eq!(line["components"][2], "/ws");
    let short = &run(&["decode", "/ip4/127.0.0.1/udp/1234"]).lines()[0];
    assert_eq!(short["binary"], "047f000001910204d2");
    assert_eq!(short["peerId"], json!(null));
}

#[test]
fn a_peer_id_is_taken_apart_in_either_form() {
    let text = "12D3KooWRWqSZDt6DyMx2VhBCyr4WKLH6A4YJtHbNw4C7LWxbeGt";
    let line = run(&["decode", text]).lines()[0].clone();
    assert_eq!(line["kind"], "peer id");
    assert_eq!(line["peerId"], text);
    assert_eq!(line["keyType"], "ed25519");
    let cid = line["cid"].as_str().unwrap();
    assert!(cid.starts_with("bafz"), "{cid}");
    assert_eq!(run(&["decode", cid]).lines()[0], line);
    let hashed = run(&["decode", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"]).lines()[0].clone();
    assert_eq!(hashed["keyType"], json!(null));
    assert!(
        hashed["multihash"].as_str().unwrap().starts_with("1220"),
        "{hashed}"
    );
}

fn envelope() -> (PeerId, Vec<u8>) {
    let identity = Identity::from(Keypair::ed25519_from_seed([3; 32]));
    let peer = identity.peer_id();
    let addr: Multiaddr = "/ip4/192.0.2.1/tcp/4001".parse().unwrap();
    (
        peer,
        PeerRecord::new(peer, 17, vec![addr])
            .seal(&identity)
            .unwrap()
            .to_vec(),
    )
}

#[test]
fn a_signed_record_is_verified_and_taken_apart() {
    let (peer, bytes) = envelope();
    for text in [HEXLOWER.encode(&bytes), BASE64.encode(&bytes)] {
        let done = run(&["decode", &text]);
        assert_eq!(done.code, Some(0), "{done:?}");
        let line = &done.lines()[0];
        assert_eq!(line["kind"], "signed peer record");
        assert_eq!(line["peerId"], peer.to_string());
        assert_eq!(line["sequence"], 17);
        assert_eq!(line["addrs"], json!(["/ip4/192.0.2.1/tcp/4001"]));
    }
}

#[test]
fn what_is_none_of_them_is_told_in_one_line_with_status_1() {
    let (_, mut forged) = envelope();
    *forged.last_mut().unwrap() ^= 1;
    let forged = HEXLOWER.encode(&forged);
    for (text, cause) in [
        ("/ip4/256.0.0.1", "no multiaddr"),
        ("/nonsense", "no multiaddr"),
        ("hello world", "neither"),
        ("", "neither"),
        ("00", "no signed peer record"),
        (forged.as_str(), "no signed peer record"),
    ] {
        let done = run(&["decode", text]);
        assert_eq!(done.code, Some(1), "{text:?}: {done:?}");
        assert_eq!(done.stdout, "");
        assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
        assert!(done.stderr.contains(cause), "{text:?}: {done:?}");
    }
}
