//! The JSON vectors of messages.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::{Multiaddr, ProtocolName};
use libp2p_proto_identify::{Config, Error, Message};
use proptest::prelude::*;
use serde_json::Value;
use std::fs;
use support::{addr, name, unhex};

const VECTORS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../conformance/vectors/identify/messages.json"
);

fn texts(of: &Value) -> Vec<&str> {
    of.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

fn merged(messages: &[&str]) -> Result<Message, Error> {
    let mut message = Message::default();
    for bytes in messages {
        message.merge(&unhex(bytes), &Config::default())?;
    }
    Ok(message)
}

#[test]
fn every_vector_holds() {
    let vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(VECTORS).unwrap()).unwrap();
    for vector in vectors {
        let messages = texts(&vector["messages"]);
        let got = merged(&messages);
        let what = &vector["name"];
        if vector["error"] == true {
            assert_eq!(got, Err(Error::Malformed), "{what}");
            continue;
        }
        let bytes = |field: &str| vector[field].as_str().map(|text| Bytes::from(unhex(text)));
        let text = |field: &str| vector[field].as_str().map(String::from);
        let wanted = Message {
            public_key: bytes("key"),
            listen_addrs: texts(&vector["addrs"]).into_iter().map(addr).collect(),
            protocols: texts(&vector["protocols"]).into_iter().map(name).collect(),
            observed_addr: vector["observed"].as_str().map(addr),
            protocol_version: text("version"),
            agent_version: text("agent"),
            signed_peer_record: bytes("record"),
        };
        assert_eq!(got, Ok(wanted.clone()), "{what}");
        if vector["encodes"] == true {
            assert_eq!(wanted.encode(), unhex(messages[0]), "{what}");
        }
    }
}

/// The message as prost reads it.
#[derive(Clone, PartialEq, prost::Message)]
struct Theirs {
    #[prost(bytes = "vec", optional, tag = "1")]
    public_key: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    listen_addrs: Vec<Vec<u8>>,
    #[prost(string, repeated, tag = "3")]
    protocols: Vec<String>,
    #[prost(bytes = "vec", optional, tag = "4")]
    observed_addr: Option<Vec<u8>>,
    #[prost(string, optional, tag = "5")]
    protocol_version: Option<String>,
    #[prost(string, optional, tag = "6")]
    agent_version: Option<String>,
    #[prost(bytes = "vec", optional, tag = "8")]
    signed_peer_record: Option<Vec<u8>>,
}

fn theirs() -> impl Strategy<Value = Theirs> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60));
    let text = || proptest::option::of("[ -~]{0,40}");
    let addrs = proptest::collection::vec((any::<[u8; 4]>(), any::<u16>()), 0..5);
    let names = proptest::collection::vec("/[a-z0-9./]{0,20}", 0..5);
    (bytes(), addrs, names, text(), text(), bytes()).prop_map(
        |(key, addrs, protocols, version, agent, record)| {
            let addrs = addrs
                .into_iter()
                .map(|(ip, port)| Multiaddr::tcp(ip.into(), port).as_bytes().to_vec());
            Theirs {
                public_key: key,
                listen_addrs: addrs.collect(),
                protocols,
                observed_addr: None,
                protocol_version: version,
                agent_version: agent,
                signed_peer_record: record,
            }
        },
    )
}

proptest! {
    #[test]
    fn messages_are_read_and_written_as_prost_does(theirs in theirs()) {
        let encoded = prost::Message::encode_to_vec(&theirs);
        let mut ours = Message::default();
        ours.merge(&encoded, &Config::default()).unwrap();
        prop_assert_eq!(ours.encode(), encoded);
        prop_assert_eq!(ours.protocols.iter().map(ProtocolName::as_str).collect::<Vec<_>>(), theirs.protocols);
    }

    #[test]
    fn any_bytes_are_merged_or_refused_within_the_limits(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut message = Message::default();
        let _any = message.merge(&bytes, &Config::default());
        prop_assert!(message.protocols.len() <= 1024 && message.listen_addrs.len() <= 500);
    }
}
