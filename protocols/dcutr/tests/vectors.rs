//! The vectors of messages, and every way to cut them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use libp2p_proto_dcutr::{HolePunch, WireError};
use serde_json::Value;
use std::fs;

fn vectors() -> Value {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/vectors/dcutr/messages.json"
    );
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn bytes(vector: &Value, key: &str) -> Vec<u8> {
    data_encoding::HEXLOWER
        .decode(vector[key].as_str().unwrap().as_bytes())
        .unwrap()
}

fn message(vector: &Value) -> HolePunch {
    match vector["type"].as_str().unwrap() {
        "sync" => HolePunch::Sync,
        _ => HolePunch::Connect {
            addrs: vector["addrs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|addr| addr.as_str().unwrap().parse().unwrap())
                .collect(),
        },
    }
}

#[test]
fn messages_are_written_and_read_as_the_vectors_say() {
    let all = vectors();
    for vector in all["messages"].as_array().unwrap() {
        let (wire, message) = (bytes(vector, "bytes"), message(vector));
        assert_eq!(message.encode(), wire, "{}", vector["name"]);
        assert_eq!(HolePunch::decode(&wire), Ok(message));
        let framed = bytes(vector, "framed");
        assert_eq!(usize::from(framed[0]), wire.len());
        assert_eq!(framed[1..], wire);
    }
    for vector in all["read"].as_array().unwrap() {
        let read = HolePunch::decode(&bytes(vector, "bytes"));
        assert_eq!(read, Ok(message(vector)), "{}", vector["name"]);
    }
    for vector in all["refused"].as_array().unwrap() {
        let word = match HolePunch::decode(&bytes(vector, "bytes")).unwrap_err() {
            WireError::NoType => "no-type",
            WireError::UnknownType => "unknown-type",
            WireError::Protobuf(_) => "protobuf",
            other => panic!("{other:?}"),
        };
        assert_eq!(word, vector["error"], "{}", vector["name"]);
    }
}
