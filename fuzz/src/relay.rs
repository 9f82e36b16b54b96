//! A relay that is a client of relays too, and its messages.

use crate::{
    budget,
    scene::{self, Knowing},
};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_relay::{ClientConfig, HopMessage, Relay, ServerConfig, StopMessage};

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
        Knowing::reachable(
            Relay::new(identity.clone(), Some(server), Some(client)).expect("the configuration is valid"),
        )
    };
    scene::lead(data, 2 << 20, &peers, make, |node, peer, choice| {
        match choice % 5 {
            0 => node.machine.reserve(peer, Vec::new()),
            1 => node.machine.release(peer),
            _ => while node.machine.poll_event().is_some() {},
        }
    });
}
