//! The reference session of the requirement list, byte for byte, in both roles.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::format_collect,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use libp2p_proto_core::{Side, TransmitBuf};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_noise::{Config, Handshake, RustCrypto};
use std::sync::Arc;

const FRAME_1: &str = "00200faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20";
const HASH: &str = "7a8c9458649ad28a1eb6e47dabad0401a58f9e21ffa8411b3f1802c45213e070";
const HASH_MUX: &str = "67dd66dc053640e97fc9ba19fae60d75da022e74f75ca5f48604940424635388";
const TRANSPORT_0: &str = "00323469d5d5ed0fb8e43091bad6b10d3f2ca6878b965905c10a6faf2b52acd484beef38a2eb373855dce2a780d52e049d06894c";
const TRANSPORT_1: &str = "00105147400127fd1313a096fdb99a4cd21c";
const TRANSPORT_2: &str = "0011c88c1a2696c1c403a15e32a5158a84d1f1";
const TRANSPORT_BACK: &str = "00326bb1613dc69245e9c4232cf657ccdd68595420d1a413ea4a021d2a6275d36898164cddd6f314802aae9c89052112c2eb0085";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn handshake(side: Side, with_muxer: bool) -> Handshake {
    let (first, secret, ephemeral) = match side {
        Side::Dialer => (1_u8, 0x11, 0x22),
        Side::Listener => (0x21, 0x33, 0x44),
    };
    let mut seed = [0; 32];
    for (byte, value) in seed.iter_mut().zip(first..) {
        *byte = value;
    }
    let identity = Identity::from(Keypair::ed25519_from_seed(seed));
    let mut config = Config::with_static_key(&identity, [secret; 32], Box::new(RustCrypto)).unwrap();
    if !with_muxer {
        config = config.with_muxers(Vec::new()).unwrap();
    }
    Handshake::with_ephemeral(Arc::new(config), side, None, [ephemeral; 32])
}

fn take(from: &mut Handshake) -> Vec<u8> {
    let mut wire = Vec::new();
    from.poll_transmit(&mut TransmitBuf::new(&mut wire, 8194));
    wire
}

// covers: NOI-007, NOI-008, NOI-010, NOI-017, NOI-053, NOI-059
#[test]
fn the_reference_session_without_muxers_gives_the_listed_bytes() {
    let (mut dialer, mut listener) = (handshake(Side::Dialer, false), handshake(Side::Listener, false));
    let mut first = take(&mut dialer);
    assert_eq!(hex(&first), FRAME_1);
    assert_eq!(listener.handle_input(&mut first).unwrap(), 34);
    let mut second = take(&mut listener);
    assert!(
        hex(&second)
            .starts_with("00c8ff2ee45601ec1b67310c7790404585ae697331eee1c1f8cf2419731c1fff3e6b5cda1c2d")
    );
    assert!(hex(&second).ends_with("40cbe5229893d6fcb37"));
    dialer.handle_input(&mut second).unwrap();
    let mut third = take(&mut dialer);
    assert!(
        hex(&third)
            .starts_with("00a8f4e4988e97bdcbf0f799d02dd2242624bda72d200e97e322c4f723213896a31eb62dab5e")
    );
    assert!(hex(&third).ends_with("d5f109fcc5bb0b7a1e8867"));
    listener.handle_input(&mut third).unwrap();
    let (mut a, mut b) = (dialer.finish().unwrap(), listener.finish().unwrap());
    assert_eq!(
        (hex(&a.handshake_hash), hex(&b.handshake_hash)),
        (HASH.into(), HASH.into())
    );
    assert_eq!(
        b.peer.to_string(),
        "12D3KooWJ1TsijH7H5F74hfAD5XishQz3sxrmAtVY37GtNd9CqYf"
    );
    assert_eq!(
        a.peer.to_string(),
        "12D3KooWRRmq4Bhvg3TUdnj4qaENeEnReVahxXqo5tokPMLkqkDV"
    );

    let hello = b"\x13/multistream/1.0.0\n\x0d/yamux/1.0.0\n";
    let mut wire = Vec::new();
    a.sealer
        .seal(&mut TransmitBuf::new(&mut wire, 100), |out| out.put(hello))
        .unwrap();
    assert_eq!(hex(&wire), TRANSPORT_0);
    let mut back = Vec::new();
    b.sealer
        .seal(&mut TransmitBuf::new(&mut back, 100), |out| out.put(hello))
        .unwrap();
    assert_eq!(hex(&back), TRANSPORT_BACK);
    for (frame, plaintext) in [
        (TRANSPORT_0, &hello[..]),
        (TRANSPORT_1, b""),
        (TRANSPORT_2, b"\x78"),
    ] {
        let mut frame = unhex(frame);
        let (taken, opened) = b.opener.open(&mut frame).unwrap().unwrap();
        assert_eq!((taken, &opened[..]), (plaintext.len() + 18, plaintext));
    }
}

// covers: NOI-040
#[test]
fn the_reference_session_with_muxers_gives_the_listed_hash() {
    let (mut dialer, mut listener) = (handshake(Side::Dialer, true), handshake(Side::Listener, true));
    listener.handle_input(&mut take(&mut dialer)).unwrap();
    let mut second = take(&mut listener);
    assert!(hex(&second).ends_with("6913c3e65cb"));
    dialer.handle_input(&mut second).unwrap();
    let mut third = take(&mut dialer);
    assert!(hex(&third).ends_with("161bf7d5b266"));
    listener.handle_input(&mut third).unwrap();
    assert_eq!(hex(&dialer.finish().unwrap().handshake_hash), HASH_MUX);
    assert_eq!(hex(&listener.finish().unwrap().handshake_hash), HASH_MUX);
}
