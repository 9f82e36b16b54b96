//! Rendezvous in both roles, and its messages.

use crate::{budget, scene};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_rendezvous::{Config, Message, Rendezvous};
use libp2p_proto_stream_protocol::{Context, Fact, Input, Protocol, StreamSpec};

/// What a message may cost for each byte of it.
const FACTOR: usize = 64;

/// Runs one input as a message.
///
/// # Panics
///
/// If what was read is not written back, or costs too much.
pub fn run_message(data: &[u8]) {
    budget::memory("a message", 4096 + FACTOR * data.len(), || {
        if let Ok(message) = Message::decode(data, 1000) {
            assert_eq!(Message::decode(&message.encode(), 1000), Ok(message));
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
    let identity = Identity::from(Keypair::ed25519_from_seed([1; 32]));
    let peers = scene::strangers();
    let make = || {
        let config = Config {
            serve: true,
            max_events: 64,
            ..Config::default()
        };
        Addressed(
            Rendezvous::new(identity.clone(), config).expect("the configuration is valid"),
            false,
        )
    };
    scene::lead(data, 1 << 20, &peers, make, |node, peer, choice| {
        let node = &mut node.0;
        match choice % 6 {
            0 => drop(node.register(peer, "test", None)),
            1 => node.unregister(&peer, "test"),
            2 => drop(node.discover(peer, "test", Some(u64::from(choice)))),
            3 => drop(node.discover(peer, "", None)),
            _ => while node.poll_event().is_some() {},
        }
    });
}

/// A node that learns of an address of its own before anything else.
struct Addressed(Rendezvous, bool);

impl Protocol for Addressed {
    fn specs(&self) -> &[StreamSpec] {
        self.0.specs()
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        if !core::mem::replace(&mut self.1, true) {
            let addr = "/ip4/203.0.113.5/tcp/4001".parse().expect("an address");
            let confirmed = true;
            self.0
                .handle(cx, Input::Fact(Fact::ExternalAddress { addr, confirmed }));
        }
        self.0.handle(cx, input);
    }

    fn poll_timeout(&self) -> Option<libp2p_proto_core::Deadline> {
        self.0.poll_timeout()
    }
}
