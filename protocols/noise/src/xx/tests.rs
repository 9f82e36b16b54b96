//! The published vectors for the pattern and its suite, which know nothing of libp2p.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

extern crate std;

use super::*;
use crate::{Opener, RustCrypto, Sealer};
use alloc::string::String;
use libp2p_proto_core::TransmitBuf;
use serde_json::Value;
use std::{format, fs, vec};

fn providers() -> Vec<Arc<dyn Provider>> {
    vec![
        Arc::new(RustCrypto),
        #[cfg(feature = "ring")]
        Arc::new(crate::Ring),
        #[cfg(feature = "aws-lc-rs")]
        Arc::new(crate::AwsLc),
    ]
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn xx(vector: &Value, role: &str, provider: &Arc<dyn Provider>) -> Xx {
    let key = |name| bytes(&vector[format!("{role}_{name}")]).try_into().unwrap();
    let s = provider.key_pair(&key("static")).unwrap().into();
    let prologue = bytes(&vector["init_prologue"]);
    Xx::new(provider.clone(), &prologue, s, &key("ephemeral")).unwrap()
}

/// Writes the three messages as listed and reads them on the other side.
fn handshake(vector: &Value, provider: &Arc<dyn Provider>) -> [Xx; 2] {
    let (mut a, mut b) = (xx(vector, "init", provider), xx(vector, "resp", provider));
    let payload = |at: usize| bytes(&vector["messages"][at]["payload"]);
    let listed = |at: usize, message: &[u8]| {
        assert_eq!(hex(message), vector["messages"][at]["ciphertext"]);
    };
    let mut first = Vec::new();
    a.write_first(&payload(0), &mut first).unwrap();
    listed(0, &first);
    let (re, heard) = b.read_first(&mut first).unwrap();
    assert_eq!((re, heard), (a.e.public_key(), &payload(0)[..]));
    let mut second = Vec::new();
    b.write_second(&re, &payload(1), &mut second).unwrap();
    listed(1, &second);
    let heard = a.read_second(&mut second).unwrap();
    assert_eq!((heard.rs, heard.payload), (b.s.public_key(), &payload(1)[..]));
    let re = heard.re;
    let mut third = Vec::new();
    a.write_third(&re, &payload(2), &mut third).unwrap();
    listed(2, &third);
    let (rs, heard) = b.read_third(&mut third).unwrap();
    assert_eq!((rs, heard), (a.s.public_key(), &payload(2)[..]));
    [a, b]
}

// covers: NOI-007, NOI-008, NOI-009, NOI-010
#[test]
fn the_vectors_of_cacophony_and_snow_are_ours_with_every_provider() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/vectors/noise/published.json"
    );
    let vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(vectors.len(), 2);
    for vector in &vectors {
        for provider in providers() {
            let [a, b] = handshake(vector, &provider);
            assert_eq!(a.hash(), b.hash());
            if let Some(hash) = vector["handshake_hash"].as_str() {
                assert_eq!(hex(a.hash()), hash);
            }
            let [there, back] = a.split().unwrap().map(|key| provider.aead(&key).unwrap());
            let mut sealers = [Sealer::new(back), Sealer::new(there)];
            let [there, back] = b.split().unwrap().map(|key| provider.aead(&key).unwrap());
            let mut openers = [Opener::new(back, 0), Opener::new(there, 0)];
            // The responder goes on.
            for (turn, message) in vector["messages"].as_array().unwrap().iter().skip(3).enumerate() {
                let mut wire = Vec::new();
                let plain = bytes(&message["payload"]);
                let out = &mut TransmitBuf::new(&mut wire, 1000);
                sealers[turn % 2].seal(out, |out| out.put(&plain)).unwrap();
                assert_eq!(hex(&wire[2..]), message["ciphertext"]);
                let opened = openers[turn % 2].open(&mut wire).unwrap().unwrap();
                assert_eq!(opened.1, plain);
            }
        }
    }
}
