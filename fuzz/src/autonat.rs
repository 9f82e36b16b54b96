//! AutoNAT in both versions and both roles, and its messages.

use crate::{
    budget,
    scene::{self, Knowing},
};
use bytes::Bytes;
use libp2p_proto_autonat::{
    Autonat, ClientConfig, Config, Serve, ServerConfig, Version,
    wire::{
        v1,
        v2::{self, DialBack},
    },
};
use libp2p_proto_stream_protocol::Fact;

/// What a message may cost for each byte of it.
const FACTOR: usize = 64;
/// Addresses that are kept of a list.
const MAX: usize = 50;

/// Runs one input as each of the messages.
///
/// # Panics
///
/// If what was read is not written back, or costs too much.
pub fn run_message(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    budget::memory("a message", 4096 + FACTOR * data.len(), || {
        if let Ok(message) = v1::Message::decode(&frame, MAX) {
            assert_eq!(v1::Message::decode(&message.encode(), MAX), Ok(message));
        }
        if let Ok(message) = v2::Message::decode(&frame, MAX) {
            assert_eq!(v2::Message::decode(&message.encode().into(), MAX), Ok(message));
        }
        if let Ok(message) = DialBack::decode(&frame) {
            assert_eq!(DialBack::decode(&message.encode()), Ok(message));
        }
    });
}

/// Runs one input as the life of a node.
///
/// # Panics
///
/// If the machine does not keep its word.
pub fn run(data: &[u8]) {
    run_message(data);
    let peers = scene::strangers();
    let make = || {
        let config = Config {
            client: Some(ClientConfig {
                quorum: 1,
                margin: 0,
                ..ClientConfig::default()
            }),
            server: Some(ServerConfig {
                when: Serve::Always,
                data: (1, 300),
                ..ServerConfig::default()
            }),
            private_addrs: false,
            max_events: 64,
        };
        Knowing::new(Autonat::new(config).expect("the configuration is valid"), known())
    };
    scene::lead(data, 1 << 20, &peers, make, |node, peer, choice| {
        let node = &mut node.machine;
        let version = if choice & 64 == 0 {
            Version::V1
        } else {
            Version::V2
        };
        match choice % 4 {
            0 => drop(node.ask(Some(peer), version, Vec::new()).ok()),
            1 => drop(node.ask(None, version, Vec::new()).ok()),
            _ => while node.poll_event().is_some() {},
        }
    });
}

/// An address of our own, and a peer that serves.
fn known() -> Vec<Fact> {
    let addr = scene::OWN.parse().expect("an address");
    let [_, peer] = scene::strangers();
    let mut protocols = vec![libp2p_proto_autonat::V1, libp2p_proto_autonat::DIAL_REQUEST];
    protocols.sort();
    let protocols = protocols.into();
    vec![
        Fact::ListenAddress { addr, up: true },
        Fact::PeerProtocols { peer, protocols },
    ]
}
