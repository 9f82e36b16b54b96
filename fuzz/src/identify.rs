//! Identify and push: messages of any bytes, whole and broken, at any moment.

use crate::{budget, scene};
use libp2p_proto_identify::{Config, Identify};
use libp2p_proto_identity::{Identity, Keypair};

/// Runs one input.
///
/// # Panics
///
/// If the machine does not keep its word.
pub fn run(data: &[u8]) {
    let [us, them] = [1, 2].map(|seed| Identity::from(Keypair::ed25519_from_seed([seed; 32])));
    let peers = [us.peer_id(), them.peer_id()];
    let make = || Identify::new(us, Config::default()).expect("the default is valid");
    scene::lead(data, 1 << 20, &peers, make, |identify, peer, choice| {
        if let Some(info) = identify.info(&peer) {
            budget::at_most("protocols", info.protocols.len(), 1024);
            budget::at_most("addresses", info.listen_addrs.len(), 500);
            budget::at_most("letters", info.agent_version.len(), 256);
        }
        if choice % 2 == 0 {
            while identify.poll_event().is_some() {}
        }
    });
}
