//! Addresses by both doors: bytes, and text.

use crate::budget;
use libp2p_proto_core::{Component, Multiaddr};

/// Runs one input: an address in binary, and, if it is UTF-8, in text.
pub fn run(data: &[u8]) {
    let most = 64 * 1024 + 4 * data.len();
    if let Ok(addr) = budget::memory("a binary address", most, || Multiaddr::from_bytes(data.to_vec())) {
        assert_eq!(addr.as_bytes(), data);
        check(&addr);
    }
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(addr) = budget::memory("an address as text", most, || text.parse::<Multiaddr>())
    {
        check(&addr);
    }
}

/// What is accepted prints, parses back, is rebuilt from its parts, and its helpers hold together.
fn check(addr: &Multiaddr) {
    let text = addr.to_string();
    assert!(!text.contains(char::is_control), "{text:?}");
    assert_eq!(text.parse().as_ref(), Ok(addr), "{text}");
    assert_eq!(Multiaddr::from_bytes(addr.as_bytes().to_vec()).as_ref(), Ok(addr));
    assert_eq!(Multiaddr::from_components(addr.components()).as_ref(), Ok(addr));
    let (count, last) = (addr.components().count(), addr.components().last());
    assert!((1..=32).contains(&count) && addr.as_bytes().len() <= 1024);
    let (rest, peer) = addr.split_peer_id();
    assert_eq!(peer, addr.peer_id());
    assert_eq!(rest.is_none(), count == 1 && peer.is_some());
    if let Some((relay, target)) = addr.split_relay() {
        let circuit = Multiaddr::from_components([Component::P2pCircuit]).expect("one component");
        let parts = [relay, Some(circuit), target];
        let joined = parts.iter().flatten().flat_map(Multiaddr::components);
        assert_eq!(Multiaddr::from_components(joined).as_ref(), Ok(addr));
        assert!(addr.is_relayed());
    }
    let suffix = Multiaddr::from_components(last).expect("the last component alone");
    match addr.decapsulate(&suffix) {
        Some(before) => assert_eq!(before.encapsulate(&suffix).as_ref(), Ok(addr)),
        None => assert_eq!(count, 1),
    }
    let _ = (
        addr.class(),
        addr.ip(),
        addr.socket_tcp(),
        addr.relay_and_target(),
    );
}
