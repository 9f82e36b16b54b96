//! What is said of addresses: which may be asked about and dialed, and whether two of them are of one kind.

use alloc::vec::Vec;
use core::{mem::Discriminant, net::IpAddr};
use libp2p_proto_core::{AddressClass, Component, Multiaddr};

/// Whether a server may be asked about an address.
pub(crate) fn may_be_asked_about(addr: &Multiaddr, private: bool) -> bool {
    addr.class() == AddressClass::Name || is_reachable_by_ip(addr, private)
}

/// Whether an address names its IP address, and others may have it.
pub(crate) fn is_reachable_by_ip(addr: &Multiaddr, private: bool) -> bool {
    match addr.class() {
        AddressClass::Public => true,
        AddressClass::Private | AddressClass::Loopback | AddressClass::LinkLocal => private,
        _ => false,
    }
}

/// The IP address, with an IPv4 address in an IPv6 one taken out.
pub(crate) fn ip_of(addr: &Multiaddr) -> Option<IpAddr> {
    addr.ip().map(|ip| ip.to_canonical())
}

/// The address with another IP address; `None` if it has none, or is relayed.
pub(crate) fn at_ip(addr: &Multiaddr, ip: IpAddr) -> Option<Multiaddr> {
    if addr.is_relayed() {
        return None;
    }
    let mut components = addr.components();
    match components.next()? {
        Component::Ip4(_) | Component::Ip6(_) => {}
        Component::Ip6zone(_) => drop(components.next()),
        _ => return None,
    }
    Multiaddr::from_components(core::iter::once(ip.into()).chain(components)).ok()
}

/// Whether a connection that came in at `local` can be one to `tested`, but for the numbers in them: a NAT changes those.
pub(crate) fn same_stack(tested: &Multiaddr, local: &Multiaddr) -> bool {
    let (mut tested, local) = (stack(tested), stack(local));
    let kind = |component| core::mem::discriminant(&component);
    let (ip4, ip6) = (
        kind(Component::Ip4([0; 4].into())),
        kind(Component::Ip6([0; 16].into())),
    );
    if let (Some(first), Some(other)) = (tested.first_mut(), local.first()) {
        let families: &[_] = if *first == kind(Component::Dns4("")) {
            &[ip4]
        } else if *first == kind(Component::Dns6("")) {
            &[ip6]
        } else if *first == kind(Component::Dns("")) {
            &[ip4, ip6]
        } else {
            &[]
        };
        if families.contains(other) {
            *first = *other;
        }
    }
    tested == local
}

/// The kinds of an address' components, in one way of writing them.
fn stack(addr: &Multiaddr) -> Vec<Discriminant<Component<'_>>> {
    let mut kept = Vec::new();
    for component in addr.components() {
        match component {
            Component::P2p(_) | Component::Certhash(_) | Component::Sni(_) | Component::Ip6zone(_) => {}
            Component::Wss => kept.extend([Component::Tls, Component::Ws]),
            other => kept.push(other),
        }
    }
    kept.iter().map(core::mem::discriminant).collect()
}
