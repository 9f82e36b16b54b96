//! Echo: what waits is bounded by the window.

use crate::scene;
use libp2p_proto_core::ProtocolName;
use libp2p_proto_echo::Echo;

/// Runs one input.
pub fn run(data: &[u8]) {
    let make = || Echo::new(ProtocolName::from_static("/echo/1.0.0"));
    scene::lead(data, 2 << 20, &scene::strangers(), make, |_, _, _| {});
}
