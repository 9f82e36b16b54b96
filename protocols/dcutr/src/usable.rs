//! Which of a peer's addresses are dialed. The peer chooses them, so they are taken for a weapon.

use crate::{
    Config,
    own::{Own, is_tcp, may_be_used},
};
use alloc::vec::Vec;
use libp2p_proto_core::{AddressClass, Multiaddr, PeerId};

/// The addresses of `peer` that may be dialed, in its order: of TCP, direct, public, not ours, each once, within the limits. `named`: what it named in identify.
pub(crate) fn usable(
    config: &Config,
    own: &Own,
    peer: PeerId,
    named: &[Multiaddr],
    addrs: &[Multiaddr],
) -> Vec<Multiaddr> {
    // Theirs; a final id of somebody else makes it somebody else's.
    let theirs = addrs.iter().filter_map(|addr| match addr.split_peer_id() {
        (rest, None) => rest,
        (rest, Some(id)) if id == peer => rest,
        _ => None,
    });
    let theirs: Vec<Multiaddr> = theirs.filter(is_tcp).collect();
    let shares_nat = || {
        let mut all = theirs.iter().chain(named);
        all.any(|addr| {
            let public = addr.class() == AddressClass::Public;
            public && addr.ip().is_some_and(|ip| own.is_our_public_ip(ip))
        })
    };
    let same_nat = config.same_nat && shares_nat();
    let (mut found, mut ips): (Vec<Multiaddr>, Vec<_>) = (Vec::new(), Vec::new());
    for addr in &theirs {
        let Some(ip) = addr.ip() else { continue };
        let known = || named.iter().any(|named| named.ip() == Some(ip));
        let fits = may_be_used(config, addr, same_nat) && !own.has(addr) && (!config.strict || known());
        if !fits || found.contains(addr) || found.len() >= config.max_addrs {
            continue;
        }
        if !ips.contains(&ip) {
            if ips.len() >= config.max_ips {
                continue;
            }
            ips.push(ip);
        }
        found.push(addr.clone());
    }
    found
}
