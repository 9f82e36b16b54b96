//! Ping in both roles: blocks that are none, floods, echoes that differ.

use crate::scene;
use libp2p_proto_ping::{Config, Ping};

/// Runs one input.
///
/// # Panics
///
/// If the machine does not keep its word.
pub fn run(data: &[u8]) {
    let make = || Ping::new(Config::default()).expect("the default is valid");
    scene::lead(data, 1 << 20, &scene::strangers(), make, |ping, peer, choice| {
        if choice % 2 == 0 {
            let _full_is_fine = ping.ping(peer, u32::from(choice % 5));
        } else {
            while ping.poll_event().is_some() {}
        }
    });
}
