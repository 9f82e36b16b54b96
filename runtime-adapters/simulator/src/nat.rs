//! Network address translation for links, as RFC 4787 and RFC 5382 tell the kinds apart.

use crate::net::{LISTEN, Net};
use core::time::Duration;
use libp2p_proto_core::{Instant, Rng};
use std::net::Ipv4Addr;

/// An address and a port.
pub(crate) type Sock = (Ipv4Addr, u16);

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
    /// The inner one, if it is free.
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
    /// Whether inner hosts reach each other by outer addresses.
    pub hairpin: bool,
    /// How long an idle mapping lives. Default 2 h 4 min, as RFC 5382 demands at least.
    pub timeout: Duration,
    /// Mappings at most. Default 4 096.
    pub table: usize,
}

impl Default for NatKind {
    fn default() -> Self {
        Self {
            mapping: Dependence::EndpointIndependent,
            filtering: Dependence::AddressPortDependent,
            ports: PortChoice::Preserve,
            hairpin: false,
            timeout: Duration::from_secs(7440),
            table: 4096,
        }
    }
}

#[derive(Debug)]
struct Entry {
    inner: Sock,
    port: u16,
    /// For whom it was made.
    remote: Sock,
    /// Whom the inner host has sent to through it.
    met: Vec<Sock>,
    used: Instant,
}

#[derive(Debug)]
pub(crate) struct Nat {
    pub(crate) kind: NatKind,
    pub(crate) ip: Ipv4Addr,
    /// The NAT in front of this one.
    pub(crate) outer: Option<usize>,
    entries: Vec<Entry>,
    next_port: u16,
}

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
            entries: Vec::new(),
            next_port: 20_000,
        }
    }

    fn forget(&mut self, now: Instant) {
        let timeout = self.kind.timeout;
        self.entries.retain(|entry| now.since(entry.used) <= timeout);
    }

    /// Power off and on: all mappings are lost.
    pub(crate) fn reboot(&mut self) {
        self.entries.clear();
    }

    /// The outer socket of a link from `inner` to `remote`. `None`: the table is full.
    fn outbound(&mut self, now: Instant, inner: Sock, remote: Sock, dice: &mut Rng) -> Option<Sock> {
        self.forget(now);
        let kind = self.kind.mapping;
        let fits = |entry: &&mut Entry| entry.inner == inner && same(kind, entry.remote, remote);
        if let Some(entry) = self.entries.iter_mut().find(fits) {
            entry.used = now;
            if !entry.met.contains(&remote) {
                entry.met.push(remote);
            }
            return Some((self.ip, entry.port));
        }
        if self.entries.len() >= self.kind.table {
            return None;
        }
        let port = self.free_port(inner.1, dice);
        self.entries.push(Entry {
            inner,
            port,
            remote,
            met: vec![remote],
            used: now,
        });
        Some((self.ip, port))
    }

    fn free_port(&mut self, wanted: u16, dice: &mut Rng) -> u16 {
        let taken = |port: u16| self.entries.iter().any(|entry| entry.port == port);
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
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| entry.port == port && entry.met.iter().any(|met| same(kind, *met, remote)))?;
        entry.used = now;
        Some(entry.inner)
    }
}

/// Where a link request ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// At this place, which sees it come from this socket.
    At(u32, u16),
    /// Nowhere, without a word.
    Dropped,
}

impl Net {
    /// How a link request looks once it has left the sender's NATs. `None`: it doesn't leave.
    pub(crate) fn depart(
        &mut self,
        now: Instant,
        place: u32,
        port: u16,
        to: Sock,
        dice: &mut Rng,
    ) -> Option<Sock> {
        let at = *self.ports.get(place as usize)?;
        let mut from = (at.ip, port);
        let neighbour = self
            .places
            .get(&to.0)
            .and_then(|other| self.ports.get(*other as usize));
        if let Some(neighbour) = neighbour {
            if neighbour.nat.is_some() {
                return (neighbour.nat == at.nat).then_some(from);
            }
        }
        let mut next = at.nat;
        while let Some(nat) = next.and_then(|index| self.nats.get_mut(index)) {
            from = nat.outbound(now, from, to, dice)?;
            if nat.ip == to.0 {
                return nat.kind.hairpin.then_some(from);
            }
            next = nat.outer;
        }
        Some(from)
    }

    /// Where a link request from `from` (as it left) to `to` arrives.
    pub(crate) fn arrive(&mut self, now: Instant, from: Sock, to: Sock) -> Arrival {
        let mut to = to;
        // No chain of NATs is longer than there are NATs.
        for _ in 0..=self.nats.len() {
            if let Some(place) = self.places.get(&to.0) {
                return Arrival::At(*place, to.1);
            }
            let nat = self.nat_ips.get(&to.0).copied();
            let inner = nat
                .and_then(|index| self.nats.get_mut(index))
                .and_then(|nat| nat.inbound(now, to.1, from));
            match inner {
                Some(inner) => to = inner,
                None => return Arrival::Dropped,
            }
        }
        Arrival::Dropped
    }

    /// How long the NATs between a place and the world remember an idle link.
    pub(crate) fn patience(&self, a: u32, b: u32) -> Option<Duration> {
        let of = |place: u32| {
            let mut next = self.ports.get(place as usize).and_then(|port| port.nat);
            let mut least: Option<Duration> = None;
            for _ in 0..=self.nats.len() {
                let Some(nat) = next.and_then(|index| self.nats.get(index)) else {
                    break;
                };
                least = Some(least.map_or(nat.kind.timeout, |least| least.min(nat.kind.timeout)));
                next = nat.outer;
            }
            least
        };
        of(a).into_iter().chain(of(b)).min()
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
