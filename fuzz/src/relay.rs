//! A relay that is a client of relays too, and its messages.

use crate::{budget, scene};
use libp2p_proto_core::Deadline;
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_relay::{ClientConfig, HopMessage, Relay, ServerConfig, StopMessage};
use libp2p_proto_stream_protocol::{Context, Fact, Input, Protocol, StreamSpec};

/// What a message may cost for each byte of it.
const FACTOR: usize = 64;

/// Runs one input as a message of each kind.
///
/// # Panics
///
/// If what was read is not written back, or costs too much.
pub fn run_message(data: &[u8]) {
    budget::memory("a message", 4096 + FACTOR * data.len(), || {
        if let Ok(message) = HopMessage::decode(data) {
            assert_eq!(HopMessage::decode(&message.encode()), Ok(message));
        }
        if let Ok(message) = StopMessage::decode(data) {
            assert_eq!(StopMessage::decode(&message.encode()), Ok(message));
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
        let (server, client) = (ServerConfig::default(), ClientConfig::default());
        Addressed(
            Relay::new(identity.clone(), Some(server), Some(client)).expect("the configuration is valid"),
            false,
        )
    };
    scene::lead(data, 2 << 20, &peers, make, |node, peer, choice| {
        match choice % 5 {
            0 => node.0.reserve(peer, Vec::new()),
            1 => node.0.release(peer),
            _ => while node.0.poll_event().is_some() {},
        }
    });
}

/// A node that learns of an address of its own before anything else.
struct Addressed(Relay, bool);

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

    fn poll_timeout(&self) -> Option<Deadline> {
        self.0.poll_timeout()
    }
}
