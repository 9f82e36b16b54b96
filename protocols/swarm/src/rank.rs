//! In which order, and how far apart, the addresses of a peer are dialed: a pure function.

use alloc::vec::Vec;
use core::time::Duration;
use libp2p_proto_core::{AddressClass, Component, Multiaddr};

/// An address, and when to dial it, counted from the start of the dial.
pub type Ranked = (Multiaddr, Duration);

/// How relayed addresses wait for public ones.
const RELAY_DELAY: Duration = Duration::from_millis(500);

/// How addresses without an IP address wait for all others, if there are others.
const UNKNOWN_DELAY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Transport {
    QuicV1,
    Quic,
    Webtransport,
    Tcp,
    Other,
}

/// Ranks addresses by the rules of go-libp2p: private and public ones start together, relayed ones half a second later if there is a public one; within a
/// group QUIC, then TCP, then the rest, IPv6 and IPv4 alternating at the front, a step apart (250 ms for public, 30 ms for private addresses); what has no IP address comes a second behind all others.
///
/// `class` says what network an address belongs to, so that the function needs to know nothing else.
pub fn rank(addrs: &[Multiaddr], class: impl Fn(&Multiaddr) -> AddressClass) -> Vec<Ranked> {
    let (mut private, mut public, mut relayed, mut unknown) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for addr in addrs {
        match class(addr) {
            AddressClass::Relayed => relayed.push(addr.clone()),
            AddressClass::Loopback | AddressClass::LinkLocal | AddressClass::Private => {
                private.push(addr.clone());
            }
            _ if addr.ip().is_none() => unknown.push(addr.clone()),
            _ => public.push(addr.clone()),
        }
    }
    let relay_delay = if public.is_empty() {
        Duration::ZERO
    } else {
        RELAY_DELAY
    };
    let mut ranked = group(
        private,
        Duration::from_millis(30),
        Duration::from_millis(100),
        Duration::ZERO,
    );
    ranked.extend(group(
        public,
        Duration::from_millis(250),
        Duration::from_secs(1),
        Duration::ZERO,
    ));
    ranked.extend(group(
        relayed,
        Duration::from_millis(250),
        Duration::from_secs(1),
        relay_delay,
    ));
    let last = ranked.iter().map(|(_, delay)| *delay).max();
    let unknown_at = last.map_or(Duration::ZERO, |last| last.saturating_add(UNKNOWN_DELAY));
    ranked.extend(unknown.into_iter().map(|addr| (addr, unknown_at)));
    ranked.sort_by_key(|(_, delay)| *delay);
    ranked
}

fn group(mut addrs: Vec<Multiaddr>, step: Duration, other_step: Duration, offset: Duration) -> Vec<Ranked> {
    addrs.sort_by_key(|addr| (transport(addr), !is_ip6(addr), port(addr)));
    let is_quic = |addr: &Multiaddr| matches!(transport(addr), Transport::QuicV1 | Transport::Quic);
    let (quic, rest): (Vec<_>, Vec<_>) = addrs.into_iter().partition(is_quic);
    let is_tcp = |addr: &Multiaddr| matches!(transport(addr), Transport::Tcp | Transport::Webtransport);
    let (tcp, other): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_tcp);
    let mut ranked = Vec::new();
    let mut next = offset;
    for family in [quic, tcp] {
        if family.is_empty() {
            continue;
        }
        let eyeballs = happy_eyeballs(family);
        let mut last = next;
        for (place, addr) in eyeballs.into_iter().enumerate() {
            // The first at once, the second of the other family a step later, all others one more step later.
            let steps = u32::try_from(place.min(2)).unwrap_or(2);
            last = next.saturating_add(step.saturating_mul(steps));
            ranked.push((addr, last));
        }
        next = last.saturating_add(step);
    }
    let other_at = match ranked.last() {
        Some((_, last)) => last.saturating_add(other_step),
        None => offset.saturating_add(other_step),
    };
    ranked.extend(other.into_iter().map(|addr| (addr, other_at)));
    ranked
}

/// If the first address is IPv6, the first IPv4 one follows it.
fn happy_eyeballs(mut addrs: Vec<Multiaddr>) -> Vec<Multiaddr> {
    if addrs.first().is_some_and(is_ip6) {
        if let Some(place) = addrs
            .iter()
            .position(|addr| !is_ip6(addr))
            .filter(|place| *place > 1)
        {
            let addr = addrs.remove(place);
            addrs.insert(1, addr);
        }
    }
    addrs
}

fn transport(addr: &Multiaddr) -> Transport {
    let mut found = Transport::Other;
    for component in addr.components() {
        match component {
            Component::Webtransport => return Transport::Webtransport,
            Component::QuicV1 => found = Transport::QuicV1,
            Component::Quic => found = Transport::Quic,
            Component::Tcp(_) => found = Transport::Tcp,
            Component::WebrtcDirect | Component::Webrtc => return Transport::Other,
            Component::P2pCircuit => return found,
            _ => {}
        }
    }
    found
}

fn is_ip6(addr: &Multiaddr) -> bool {
    addr.ip().is_some_and(|ip| ip.is_ipv6())
}

fn port(addr: &Multiaddr) -> u16 {
    addr.components()
        .find_map(|component| match component {
            Component::Tcp(port) | Component::Udp(port) => Some(port),
            _ => None,
        })
        .unwrap_or(0)
}
