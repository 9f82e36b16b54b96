//! Network address translation for links, as RFC 4787 and RFC 5382 tell the kinds apart.

use crate::net::{LISTEN, Net};
use core::time::Duration;
use libp2p_proto_core::{Instant, Rng};
use smallvec::SmallVec;
use std::{collections::BTreeMap, net::Ipv4Addr};

/// An address and a port.
pub(crate) type Sock = (Ipv4Addr, u16);

/// How long a mapping lives on which no link stands yet, or no longer does (RFC 5382, REQ-5).
const TRANSITORY: Duration = Duration::from_secs(240);

/// How often a multiplexer pings; at swarm level nobody sends these, but NATs see them.
const PINGED: Duration = Duration::from_secs(30);

/// How a mapping is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// A link is asked for.
    Request,
    /// Something is sent on a link.
    Link,
    /// Something is sent on a link whose ends ping each other without our seeing it.
    Kept,
    /// A link is over.
    Over,
}

/// What a NAT keeps apart: one kind for what it maps, one for what it lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dependence {
    /// The same for every remote.
    #[default]
    EndpointIndependent,
    /// For each remote address.
    AddressDependent,
    /// For each remote address and port.
    AddressPortDependent,
}

/// Which port a new mapping gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortChoice {
    /// The inner one, if it is free; else the next one.
    #[default]
    Preserve,
    /// The next one.
    Sequential,
    /// Any.
    Random,
}

/// How one NAT behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatKind {
    /// When one inner socket keeps its outer port.
    pub mapping: Dependence,
    /// Who may send to it.
    pub filtering: Dependence,
    /// Which port a new mapping gets.
    pub ports: PortChoice,
    /// Whether inner hosts reach each other by outer addresses. Default false.
    pub hairpin: bool,
    /// Whether who is not let in is told so, which breaks links that are dialed at once from both ends. Default false: it hears nothing, as RFC 5382 demands.
    pub refuses: bool,
    /// How long a link may be idle before its mapping is forgotten. Default 2 h 4 min, as RFC 5382 demands at least. A mapping without a link lives 4 min, or as long as this if that is less.
    pub timeout: Duration,
    /// Mappings at most, 1 to 40 000: who wants another one gets no answer. Default 4 096.
    pub table: usize,
}

impl Default for NatKind {
    fn default() -> Self {
        Self {
            mapping: Dependence::EndpointIndependent,
            filtering: Dependence::AddressPortDependent,
            ports: PortChoice::Preserve,
            hairpin: false,
            refuses: false,
            timeout: Duration::from_secs(7440),
            table: 4096,
        }
    }
}

/// What one outer port stands for.
#[derive(Debug)]
struct Entry {
    inner: Sock,
    /// For whom it was made.
    remote: Sock,
    /// Whom the inner host has sent to through it, and until when that counts. Never empty.
    met: BTreeMap<Sock, Instant>,
}

#[derive(Debug)]
pub(crate) struct Nat {
    pub(crate) kind: NatKind,
    pub(crate) ip: Ipv4Addr,
    /// The NAT in front of this one.
    pub(crate) outer: Option<usize>,
    /// By their outer ports.
    entries: BTreeMap<u16, Entry>,
    next_port: u16,
}

/// What a link passes on its way through a NAT: the mapping, and whom the inner host talks to through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) nat: usize,
    port: u16,
    remote: Sock,
}

/// The NATs on the way of a link.
pub(crate) type Trail = SmallVec<[Hop; 2]>;

fn same(kind: Dependence, a: Sock, b: Sock) -> bool {
    match kind {
        Dependence::EndpointIndependent => true,
        Dependence::AddressDependent => a.0 == b.0,
        Dependence::AddressPortDependent => a == b,
    }
}

impl Nat {
    pub(crate) const fn new(kind: NatKind, ip: Ipv4Addr, outer: Option<usize>) -> Self {
        Self {
            kind,
            ip,
            outer,
            entries: BTreeMap::new(),
            next_port: 20_000,
        }
    }

    fn forget(&mut self, now: Instant) {
        self.entries.retain(|_, entry| {
            entry.met.retain(|_, until| *until > now);
            !entry.met.is_empty()
        });
    }

    /// Power off and on: all mappings are lost.
    pub(crate) fn reboot(&mut self) {
        self.entries.clear();
    }

    /// Until when a mapping counts.
    fn until(&self, now: Instant, usage: Usage) -> Instant {
        match usage {
            Usage::Kept if self.kind.timeout > PINGED => Instant::MAX,
            Usage::Kept | Usage::Link => now + self.kind.timeout,
            Usage::Request | Usage::Over => now + self.kind.timeout.min(TRANSITORY),
        }
    }

    /// The outer socket of a link from `inner` to `remote`. `None`: the table is full.
    fn outbound(&mut self, now: Instant, inner: Sock, remote: Sock, dice: &mut Rng) -> Option<Sock> {
        self.forget(now);
        let (kind, until) = (self.kind.mapping, self.until(now, Usage::Request));
        let fits = |(_, entry): &(&u16, &mut Entry)| entry.inner == inner && same(kind, entry.remote, remote);
        if let Some((port, entry)) = self.entries.iter_mut().find(fits) {
            let known = entry.met.entry(remote).or_insert(until);
            *known = until.max(*known);
            return Some((self.ip, *port));
        }
        if self.entries.len() >= self.kind.table {
            return None;
        }
        let port = self.free_port(inner.1, dice);
        let met = BTreeMap::from([(remote, until)]);
        self.entries.insert(port, Entry { inner, remote, met });
        Some((self.ip, port))
    }

    fn free_port(&mut self, wanted: u16, dice: &mut Rng) -> u16 {
        let taken = |port: u16| self.entries.contains_key(&port);
        match self.kind.ports {
            PortChoice::Preserve if !taken(wanted) => return wanted,
            PortChoice::Random => {
                let drawn = (0..64).map(|_| {
                    u16::try_from(dice.below(44_000))
                        .unwrap_or(0)
                        .saturating_add(20_000)
                });
                if let Some(port) = drawn.into_iter().find(|port| !taken(*port)) {
                    return port;
                }
            }
            _ => {}
        }
        // There are more ports than a table may have places.
        let mut port = self.next_port;
        while taken(port) {
            port = port.checked_add(1).unwrap_or(1024);
        }
        self.next_port = port.checked_add(1).unwrap_or(1024);
        port
    }

    /// The inner socket that a link from `remote` to our `port` is let through to.
    fn inbound(&mut self, now: Instant, port: u16, remote: Sock) -> Option<Sock> {
        self.forget(now);
        let kind = self.kind.filtering;
        let entry = self.entries.get(&port)?;
        let lets_in = entry.met.keys().any(|met| same(kind, *met, remote));
        lets_in.then_some(entry.inner)
    }

    /// A link that passes here is used, or is over.
    fn touch(&mut self, now: Instant, hop: &Hop, usage: Usage) {
        let until = self.until(now, usage);
        let Some(entry) = self.entries.get_mut(&hop.port) else {
            return;
        };
        if usage != Usage::Over {
            entry.met.insert(hop.remote, until);
        } else if let Some(known) = entry.met.get_mut(&hop.remote) {
            *known = until.min(*known);
        }
    }
}

/// A link request that has left its host.
#[derive(Clone, Debug)]
pub(crate) struct Departure {
    /// The sender as it looks where it has turned.
    pub(crate) source: Sock,
    /// Whose inside it has reached; `None`: the world.
    pub(crate) realm: Option<usize>,
    pub(crate) trail: Trail,
}

/// Where a link request ends up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// At this place and port, behind these NATs.
    At(u32, u16, Trail),
    /// Nowhere, without a word.
    Dropped,
    /// Nowhere, and it is told so.
    Refused,
}

impl Net {
    /// Whether an address belongs to somebody directly inside of a NAT, or of the world.
    fn is_inside(&self, ip: Ipv4Addr, realm: Option<usize>) -> bool {
        let place = self
            .places
            .get(&ip)
            .and_then(|place| self.ports.get(*place as usize));
        let nat = self.nat_ips.get(&ip).and_then(|nat| self.nats.get(*nat));
        place.is_some_and(|place| place.nat == realm) || nat.is_some_and(|nat| nat.outer == realm)
    }

    /// A link request goes up through the sender's NATs until it is where its goal is. `None`: it doesn't get there.
    pub(crate) fn depart(
        &mut self,
        now: Instant,
        place: u32,
        port: u16,
        to: Sock,
        dice: &mut Rng,
    ) -> Option<Departure> {
        let at = *self.ports.get(place as usize)?;
        let mut leaving = Departure {
            source: (at.ip, port),
            realm: at.nat,
            trail: Trail::new(),
        };
        // No chain of NATs is longer than there are NATs.
        for _ in 0..=self.nats.len() {
            if self.is_inside(to.0, leaving.realm) {
                break;
            }
            let Some(index) = leaving.realm else { break };
            let nat = self.nats.get_mut(index)?;
            let outer = nat.outbound(now, leaving.source, to, dice)?;
            let port = outer.1;
            leaving.trail.push(Hop {
                nat: index,
                port,
                remote: to,
            });
            (leaving.source, leaving.realm) = (outer, nat.outer);
            if nat.ip == to.0 {
                return nat.kind.hairpin.then_some(leaving);
            }
        }
        Some(leaving)
    }

    /// Where a link request to `to` arrives that came from `from` inside of `realm`: down through the receiver's NATs.
    pub(crate) fn arrive(&mut self, now: Instant, from: Sock, to: Sock, realm: Option<usize>) -> Arrival {
        let (mut to, mut realm, mut trail) = (to, realm, Trail::new());
        for _ in 0..=self.nats.len() {
            let place = self.places.get(&to.0).copied();
            let port = place.and_then(|place| self.ports.get(place as usize));
            if let Some(place) = place.filter(|_| port.is_some_and(|port| port.nat == realm)) {
                return Arrival::At(place, to.1, trail);
            }
            let index = self.nat_ips.get(&to.0).copied();
            let nat = index.and_then(|index| Some((index, self.nats.get_mut(index)?)));
            let Some((index, nat)) = nat.filter(|(_, nat)| nat.outer == realm) else {
                return Arrival::Dropped;
            };
            let Some(inner) = nat.inbound(now, to.1, from) else {
                return if nat.kind.refuses {
                    Arrival::Refused
                } else {
                    Arrival::Dropped
                };
            };
            trail.push(Hop {
                nat: index,
                port: to.1,
                remote: from,
            });
            (to, realm) = (inner, Some(index));
        }
        Arrival::Dropped
    }

    /// Who is at a socket as it looks inside of `realm`, whether or not it can be reached. An unknown one: nobody's number.
    pub(crate) fn whose(&self, to: Sock, realm: Option<usize>) -> u32 {
        let (mut to, mut realm) = (to, realm);
        for _ in 0..=self.nats.len() {
            if let Some(place) = self.places.get(&to.0) {
                return *place;
            }
            let index = self.nat_ips.get(&to.0).copied();
            let nat = index.and_then(|index| self.nats.get(index));
            let entry = nat.filter(|nat| nat.outer == realm);
            match entry.and_then(|nat| nat.entries.get(&to.1)) {
                Some(entry) => (to, realm) = (entry.inner, index),
                None => break,
            }
        }
        u32::MAX
    }

    /// A link is used, or is over.
    pub(crate) fn touch(&mut self, now: Instant, trail: &[Hop], usage: Usage) {
        for hop in trail {
            if let Some(nat) = self.nats.get_mut(hop.nat) {
                nat.touch(now, hop, usage);
            }
        }
    }

    /// How long the NATs on its way remember an idle link. `None`: as long as it stands, since its ends ping each other if they are at swarm level.
    pub(crate) fn patience(&self, trail: &[Hop], direct: bool) -> Option<Duration> {
        let nats = trail.iter().filter_map(|hop| self.nats.get(hop.nat));
        let least = nats.map(|nat| nat.kind.timeout).min();
        least.filter(|least| !direct || *least <= PINGED)
    }
}

/// The port that a host dials from.
pub(crate) fn source_port(reuse: bool, dials: u64) -> u16 {
    if reuse {
        return LISTEN;
    }
    let offset = u16::try_from(dials.checked_rem(28_000).unwrap_or(0)).unwrap_or(0);
    offset.saturating_add(32_768)
}
