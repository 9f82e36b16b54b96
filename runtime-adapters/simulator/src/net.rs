//! The network's shape: how far it is, what passes, and who is where.

use crate::nat::{Nat, Sock};
use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, Rng};
use std::{collections::BTreeMap, net::Ipv4Addr};

/// How links behave, unless a fault says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// One way, at least and at most: the distance of two hosts is drawn once from the seed. Default 5 ms to 50 ms.
    pub latency: (Duration, Duration),
    /// Whether there and back are different distances. Default false.
    pub asymmetric: bool,
    /// Added to each parcel, at most. Default 0.
    pub jitter: Duration,
    /// Bytes per second of each link and direction. Default `None`: no limit.
    pub bandwidth: Option<u64>,
    /// Bytes that may be on their way on one link and direction before its sender has to wait (the full path). Default 256 KiB.
    pub buffer: usize,
    /// How arriving bytes are cut.
    pub chunks: Chunks,
    /// Whether hosts lie in regions of the world and each has one uplink for all of its links, as the public gossipsub-interop scripts have it; then `latency`
    /// and `bandwidth` don't count. Default false.
    pub world: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: (Duration::from_millis(5), Duration::from_millis(50)),
            asymmetric: false,
            jitter: Duration::ZERO,
            bandwidth: None,
            buffer: 256 * 1024,
            chunks: Chunks::Whole,
            world: false,
        }
    }
}

/// How many nodes are in each region: Australia, Europe, East Asia, West Asia, North America east and west, South Africa, South America. From
/// `libp2p/test-plans`, `gossipsub-interop/network_graph.py`.
const REGIONS: [u64; 8] = [290, 5599, 1059, 161, 2894, 1240, 47, 36];
/// Milliseconds from region to region, in the same order and from the same file.
const DISTANCES: [[u64; 8]; 8] = [
    [2, 165, 110, 180, 150, 110, 220, 190],
    [165, 2, 125, 60, 70, 110, 95, 140],
    [110, 125, 4, 110, 140, 100, 175, 175],
    [180, 60, 110, 5, 110, 150, 110, 145],
    [150, 70, 140, 110, 2, 60, 130, 100],
    [110, 110, 100, 150, 60, 2, 160, 100],
    [220, 95, 175, 110, 130, 160, 7, 190],
    [190, 140, 175, 145, 100, 100, 195, 7],
];

/// How the bytes of a read are cut before a machine gets them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chunks {
    /// As they were sent.
    #[default]
    Whole,
    /// Pieces of so many bytes.
    Of(usize),
    /// Pieces of 2, 3, 5, 7, 11, 13, 17, 19, 23 bytes in turn.
    Primes,
    /// Pieces of 1 to 64 bytes.
    Random,
}

const PRIMES: [usize; 9] = [2, 3, 5, 7, 11, 13, 17, 19, 23];

impl Chunks {
    /// The size of the next piece, at least 1.
    pub(crate) fn next(self, count: usize, knife: &mut Rng) -> usize {
        match self {
            Self::Whole => usize::MAX,
            Self::Of(size) => size.max(1),
            Self::Primes => count
                .checked_rem(PRIMES.len())
                .and_then(|place| PRIMES.get(place))
                .copied()
                .unwrap_or(2),
            Self::Random => usize::try_from(knife.below(64)).unwrap_or(0).saturating_add(1),
        }
    }
}

/// Which hosts and actors, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Places {
    /// All of them.
    #[default]
    All,
    /// These.
    Some(Vec<usize>),
    /// All but these.
    But(Vec<usize>),
}

impl Places {
    /// One place.
    pub fn one(place: usize) -> Self {
        Self::Some(vec![place])
    }

    /// Whether `place` is among them.
    pub fn contains(&self, place: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(list) => list.contains(&place),
            Self::But(list) => !list.contains(&place),
        }
    }
}

/// Whether parcels arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    Open,
    /// Later, when the fault is over: the operating system sends again.
    Held,
    /// Never: whatever is sent from now on on this link is lost, also later.
    Lost,
}

/// A fault that stands between places.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) fault: u32,
    pub(crate) from: Places,
    pub(crate) to: Places,
    pub(crate) passage: Passage,
}

/// A place as the network sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) ip: Ipv4Addr,
    /// The NAT that it is behind.
    pub(crate) nat: Option<usize>,
}

/// Where hosts listen.
pub(crate) const LISTEN: u16 = 4001;

#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) link: Link,
    pub(crate) rules: Vec<Rule>,
    pub(crate) ports: Vec<Port>,
    pub(crate) nats: Vec<Nat>,
    /// Public addresses of places.
    pub(crate) places: BTreeMap<Ipv4Addr, u32>,
    /// Public addresses of NATs.
    pub(crate) nat_ips: BTreeMap<Ipv4Addr, usize>,
    pub(crate) seed: u64,
    /// Who lives where: nobody known where an actor is.
    pub(crate) peers: Vec<Option<PeerId>>,
    /// Which places are hosts at swarm level.
    pub(crate) direct: Vec<bool>,
    /// Until when each host's uplink is busy.
    pub(crate) uplinks: Vec<Instant>,
}

impl Net {
    pub(crate) fn transmission(&self, size: usize) -> Duration {
        self.link.bandwidth.map_or(Duration::ZERO, |bandwidth| {
            let nanos = (size as u128)
                .saturating_mul(1_000_000_000)
                .checked_div(u128::from(bandwidth));
            Duration::from_nanos(
                nanos
                    .and_then(|nanos| u64::try_from(nanos).ok())
                    .unwrap_or(u64::MAX),
            )
        })
    }

    pub(crate) fn jitter(&self, dice: &mut Rng) -> Duration {
        spread(self.link.jitter, || dice.next_u64())
    }

    /// The way from one place to another; the same for ever.
    pub(crate) fn latency(&self, a: u32, b: u32) -> Duration {
        if self.link.world {
            return self.distance(a, b);
        }
        let (low, high) = self.link.latency;
        let (a, b) = if self.link.asymmetric {
            (a, b)
        } else {
            (a.min(b), a.max(b))
        };
        let pair = (u64::from(a) << 32) | u64::from(b);
        low.saturating_add(spread(high.saturating_sub(low), || mix(pair ^ self.seed)))
    }

    /// The region of a place, by the regions' weights.
    fn region(&self, place: u32) -> usize {
        let total = REGIONS
            .iter()
            .fold(0_u64, |sum, weight| sum.saturating_add(*weight));
        let mut drawn = mix(u64::from(place) ^ self.seed.rotate_left(17))
            .checked_rem(total)
            .unwrap_or(0);
        for (region, weight) in REGIONS.iter().enumerate() {
            match drawn.checked_sub(*weight) {
                Some(rest) => drawn = rest,
                None => return region,
            }
        }
        0
    }

    fn distance(&self, a: u32, b: u32) -> Duration {
        let row = DISTANCES.get(self.region(a));
        let millis = row.and_then(|row| row.get(self.region(b))).copied();
        Duration::from_millis(millis.unwrap_or(0))
    }

    /// How long a host's uplink is busy with so many bytes: one in five has 1 024 Mbit/s, the others 50.
    pub(crate) fn uplink(&self, place: u32, size: usize) -> Duration {
        let fast = mix(u64::from(place) ^ self.seed.rotate_left(43)) % 5 == 0;
        let bits_per_micro = if fast { 1024_u64 } else { 50 };
        let bits = (size as u64).saturating_mul(8_000);
        Duration::from_nanos(bits.checked_div(bits_per_micro).unwrap_or(0))
    }

    pub(crate) fn passage(&self, from: u32, to: u32) -> Passage {
        if self.rules.is_empty() {
            return Passage::Open;
        }
        let (from, to) = (from as usize, to as usize);
        let hits = |rule: &&Rule| rule.from.contains(from) && rule.to.contains(to);
        let rules = self.rules.iter().filter(hits).map(|rule| rule.passage);
        rules.fold(Passage::Open, |worst, next| match (worst, next) {
            (Passage::Lost, _) | (_, Passage::Lost) => Passage::Lost,
            (Passage::Held, _) | (_, Passage::Held) => Passage::Held,
            _ => Passage::Open,
        })
    }
}

/// A socket's address.
pub(crate) fn socket_addr(sock: Sock) -> Multiaddr {
    Multiaddr::tcp(sock.0.into(), sock.1)
}

impl Net {
    /// Who lives at a place, if it is a host.
    pub(crate) fn peer_at(&self, place: u32) -> Option<PeerId> {
        self.peers.get(place as usize).copied().flatten()
    }

    /// Whether messages cross between two places, not bytes: both are hosts at swarm level.
    pub(crate) fn are_direct(&self, a: u32, b: u32) -> bool {
        let swarm = |place: u32| self.direct.get(place as usize).is_some_and(|direct| *direct);
        swarm(a) && swarm(b)
    }
}

/// A part of `most`, evenly drawn.
fn spread(most: Duration, draw: impl FnOnce() -> u64) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 {
        return Duration::ZERO;
    }
    let drawn = draw().checked_rem(nanos.saturating_add(1)).unwrap_or(0);
    Duration::from_nanos(drawn)
}

/// Spreads the bits of a number over all 64 (the finalizer of splitmix64).
pub(crate) const fn mix(number: u64) -> u64 {
    let a = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}
