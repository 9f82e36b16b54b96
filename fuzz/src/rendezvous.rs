//! Rendezvous in both roles, and its messages.

use crate::{
    budget,
    scene::{self, Knowing},
};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_rendezvous::{Config, Message, Rendezvous};

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
        Knowing::reachable(Rendezvous::new(identity.clone(), config).expect("the configuration is valid"))
    };
    scene::lead(data, 1 << 20, &peers, make, |node, peer, choice| {
        let node = &mut node.machine;
        match choice % 6 {
            0 => drop(node.register(peer, "test", None)),
            1 => node.unregister(&peer, "test"),
            2 => drop(node.discover(peer, "test", Some(u64::from(choice)))),
            3 => drop(node.discover(peer, "", None)),
            _ => while node.poll_event().is_some() {},
        }
    });
}
