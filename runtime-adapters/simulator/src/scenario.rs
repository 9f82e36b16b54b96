//! What is simulated.

use crate::{
    clock::Skew,
    error::Error,
    fault::{Chances, Fault},
    host::Depth,
    nat::NatKind,
    net::{Link, Places},
    queue::Order,
};
use core::time::Duration;
use libp2p_proto_identity::{Identity, KeyType};
use libp2p_proto_swarm as swarm;
use std::{collections::BTreeMap, net::Ipv4Addr};

/// A network and what happens to it. Together with a seed it decides everything.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Hosts, 1 to 1 000 000. Default 2.
    pub hosts: usize,
    /// How much of a connection is simulated. Default: every byte.
    pub depth: Depth,
    /// How links behave.
    pub link: Link,
    /// Limits of every swarm. Default: the swarm's own, but that idle connections stay.
    pub swarm: swarm::Config,
    /// Types of the hosts' keys, in turn. Default: Ed25519 alone. RSA keys can't be drawn: see `identities`.
    pub keys: Vec<KeyType>,
    /// Seeds of Ed25519 keys of hosts whose identity is not drawn: peers that somebody has placed in a key space.
    pub seeds: BTreeMap<usize, [u8; 32]>,
    /// Hosts whose identity is given as it is, before all other ways to get one: keys that no dice of ours can make.
    pub identities: BTreeMap<usize, Identity>,
    /// Addresses of hosts and actors that are not drawn, each of its own.
    pub ips: BTreeMap<usize, Ipv4Addr>,
    /// Clocks that differ from the simulation's; the first that fits counts.
    pub skews: Vec<(Places, Skew)>,
    /// NATs, outer ones before inner ones.
    pub nats: Vec<NatPlace>,
    /// Whether hosts dial from the port where they listen, so that links that are dialed at once from both ends meet. Default false.
    pub reuse_port: bool,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What else goes wrong, drawn from the seed.
    pub chances: Option<Chances>,
    /// Who goes first among equals.
    pub order: Order,
    /// Whether the lines of the trace are kept. Default false.
    pub lines: bool,
    /// Whether everything is looked at after each step of a host (G3, G5): up to 1 000 hosts this is worth its time. Default true.
    pub strict: bool,
    /// How often figures are sampled. Default `None`: never.
    pub sample: Option<Duration>,
}

/// A NAT and who is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatPlace {
    /// How it behaves.
    pub kind: NatKind,
    /// The NAT in front of it, by its place in the list; it must come earlier.
    pub outer: Option<usize>,
    /// The hosts directly behind it.
    pub hosts: Vec<usize>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            hosts: 2,
            depth: Depth::Full,
            link: Link::default(),
            swarm: swarm::Config {
                idle_timeout: None,
                ..swarm::Config::default()
            },
            keys: vec![KeyType::Ed25519],
            seeds: BTreeMap::new(),
            identities: BTreeMap::new(),
            ips: BTreeMap::new(),
            skews: Vec::new(),
            nats: Vec::new(),
            reuse_port: false,
            faults: Vec::new(),
            chances: None,
            order: Order::Fifo,
            lines: false,
            strict: true,
            sample: None,
        }
    }
}

impl Scenario {
    /// So many hosts, all else as by default.
    pub fn new(hosts: usize) -> Self {
        Self {
            hosts,
            ..Self::default()
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        let outer = (0_usize..).zip(&self.nats).all(|(index, nat)| {
            let earlier = nat.outer.is_none_or(|outer| outer < index);
            earlier && nat.hosts.iter().all(|host| *host < self.hosts)
        });
        let kinds = || self.nats.iter().map(|nat| nat.kind);
        let table = kinds().all(|kind| (1..=40_000).contains(&kind.table));
        let timeout = kinds().all(|kind| kind.timeout > Duration::ZERO);
        let checks = [
            ("hosts", (1..=1_000_000).contains(&self.hosts)),
            ("keys", !self.keys.is_empty()),
            ("nats", outer),
            ("nats.kind.table", table),
            ("nats.kind.timeout", timeout),
            ("link.latency", self.link.latency.0 <= self.link.latency.1),
            ("link.bandwidth", self.link.bandwidth != Some(0)),
            ("link.buffer", self.link.buffer > 0),
            ("sample", self.sample != Some(Duration::ZERO)),
        ];
        let wrong = checks.iter().find(|(_, right)| !right);
        wrong.map_or(Ok(()), |(name, _)| Err(Error::OutOfRange(name)))
    }

    /// Connections are messages between swarms.
    #[must_use]
    pub fn at_swarm_level(mut self) -> Self {
        self.depth = Depth::Swarm;
        self
    }

    /// How links behave.
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// One more fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Keeps the lines of the trace.
    #[must_use]
    pub fn with_lines(mut self) -> Self {
        self.lines = true;
        self
    }

    /// A NAT, and the hosts behind it.
    #[must_use]
    pub fn nat(mut self, kind: NatKind, hosts: impl IntoIterator<Item = usize>) -> Self {
        let hosts = hosts.into_iter().collect();
        self.nats.push(NatPlace {
            kind,
            outer: None,
            hosts,
        });
        self
    }
}
