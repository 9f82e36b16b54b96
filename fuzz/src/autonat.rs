//! AutoNAT in both versions and both roles, and its messages.

use crate::{budget, scene};
use bytes::Bytes;
use libp2p_proto_autonat::{
    Autonat, ClientConfig, Config, Serve, ServerConfig, Version,
    wire::{
        v1,
        v2::{self, DialBack},
    },
};
use libp2p_proto_stream_protocol::{BadCommand, Context, Fact, Input, Journal, Protocol, StreamSpec};

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
        Addressed(Autonat::new(config).expect("the configuration is valid"), false)
    };
    scene::lead(data, 1 << 20, &peers, make, |node, peer, choice| {
        let node = &mut node.0;
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

/// A node that learns of an address of its own, and of a peer that serves, before anything else.
struct Addressed(Autonat, bool);

impl Protocol for Addressed {
    fn specs(&self) -> &[StreamSpec] {
        self.0.specs()
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        if !core::mem::replace(&mut self.1, true) {
            let addr = "/ip4/203.0.113.5/tcp/4001".parse().expect("an address");
            let up = true;
            self.0.handle(cx, Input::Fact(Fact::ListenAddress { addr, up }));
            let [_, peer] = scene::strangers();
            let mut protocols = vec![libp2p_proto_autonat::V1, libp2p_proto_autonat::DIAL_REQUEST];
            protocols.sort();
            let protocols = protocols.into();
            self.0
                .handle(cx, Input::Fact(Fact::PeerProtocols { peer, protocols }));
        }
        self.0.handle(cx, input);
    }

    fn poll_timeout(&self) -> Option<libp2p_proto_core::Deadline> {
        self.0.poll_timeout()
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        self.0.journal()
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.0.repeat(command)
    }
}
