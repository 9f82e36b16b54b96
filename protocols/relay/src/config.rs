//! What a relay grants, and what a client asks for.

use crate::{Error, Limit};
use core::{net::IpAddr, time::Duration};
use libp2p_proto_core::{PeerId, Rate};

/// What a relay is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A slot for the peer.
    Reserve {
        /// Who asks.
        peer: PeerId,
    },
    /// A circuit.
    Connect {
        /// Who asks.
        from: PeerId,
        /// To whom.
        to: PeerId,
    },
}

/// Whether a relay serves a request at all.
pub type Access = fn(&Request) -> bool;

/// What a relay grants.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig {
    /// Slots in all. Default 128, as go-libp2p.
    pub max_reservations: usize,
    /// Slots for one IP address. Default 8, as go-libp2p.
    pub max_reservations_per_ip: usize,
    /// Slots for one network. Default 32, as go-libp2p.
    pub max_reservations_per_network: usize,
    /// The network of an address: its autonomous system, if a table is at hand. Default: the first 32 bits of an IPv6 address, none for IPv4.
    pub network: fn(IpAddr) -> Option<u128>,
    /// How long a slot is kept. Default 1 h.
    pub reservation_life: Duration,
    /// Requests for a slot that one peer may make. Default 30 in 2 min, as rust-libp2p.
    pub peer_rate: Rate,
    /// Requests for a slot that one IP address may make. Default 60 in 1 min, as rust-libp2p.
    pub ip_rate: Rate,
    /// Peers, and addresses, whose rate is remembered. Default 4 096.
    pub max_rated: usize,
    /// Circuits in all. Default 1 024.
    pub max_circuits: usize,
    /// Circuits of one peer, as source and as target each. Default 16, as go-libp2p.
    pub max_circuits_per_peer: usize,
    /// Circuits that one IP address may begin. Default 64.
    pub max_circuits_per_ip: usize,
    /// What a circuit may carry. Default 120 s and 131 072 bytes each way, as go-libp2p.
    pub limit: Limit,
    /// Time for a request to arrive, and for the target to answer. Default 60 s, as go-libp2p.
    pub handshake_timeout: Duration,
    /// Whether peers without an IP address are served. Default false.
    pub without_ip: bool,
    /// Whether private addresses of ours are told to clients. Default false.
    pub private_addrs: bool,
    /// Who is served. Default: everybody.
    pub access: Access,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_reservations: 128,
            max_reservations_per_ip: 8,
            max_reservations_per_network: 32,
            network: ip6_prefix,
            reservation_life: Duration::from_secs(3600),
            peer_rate: Rate {
                gap: Duration::from_secs(4),
                burst: 30,
            },
            ip_rate: Rate {
                gap: Duration::from_secs(1),
                burst: 60,
            },
            max_rated: 4096,
            max_circuits: 1024,
            max_circuits_per_peer: 16,
            max_circuits_per_ip: 64,
            limit: Limit {
                duration: 120,
                data: 131_072,
            },
            handshake_timeout: Duration::from_secs(60),
            without_ip: false,
            private_addrs: false,
            access: |_| true,
        }
    }
}

impl ServerConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            (
                "reservation_life",
                self.reservation_life >= Duration::from_secs(60),
            ),
            ("handshake_timeout", !self.handshake_timeout.is_zero()),
            ("peer_rate", self.peer_rate.burst > 0),
            ("ip_rate", self.ip_rate.burst > 0),
        ];
        first_broken(&checks)
    }
}

/// How a client keeps slots, and which circuits it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// Whether relays are chosen among the peers that offer to be one, while others can't reach us. Default true.
    pub automatic: bool,
    /// Slots that are kept automatically. Default 2, as go-libp2p.
    pub wanted: usize,
    /// How long to wait for a verdict on our reachability before it counts as private. Default 3 min, as go-libp2p.
    pub boot_delay: Duration,
    /// Relays that are asked or held. Default 16.
    pub max_relays: usize,
    /// Peers that offer to be a relay and are remembered. Default 20, as go-libp2p.
    pub max_candidates: usize,
    /// As long as fewer are known that could be asked, and a slot is missing, more are asked for. Default 4, as go-libp2p.
    pub min_candidates: usize,
    /// The least time between two such questions. Default 30 s, as go-libp2p.
    pub ask_interval: Duration,
    /// How long such an offer counts. Default 30 min, as go-libp2p.
    pub candidate_age: Duration,
    /// How long a relay that refused is left alone. Default 1 h, as go-libp2p.
    pub backoff: Duration,
    /// How long a relay that could not be reached, or a target without a slot, is left alone. Default 30 s.
    pub retry: Duration,
    /// Time for the exchange of a reservation. Default 10 s, as go-libp2p.
    pub reserve_timeout: Duration,
    /// Time for a circuit to be made, and for a relay to say what it wants. Default 60 s, as go-libp2p.
    pub connect_timeout: Duration,
    /// The longest life of a slot that is believed. Default 24 h.
    pub max_life: Duration,
    /// The shortest life of a slot that is used. Default 60 s, as nim-libp2p.
    pub min_life: Duration,
    /// Circuits that stand or are being made, those of others included. Default 256.
    pub max_circuits: usize,
    /// Circuits of others that one relay may bring at the same time. Default 8.
    pub max_inbound_per_relay: usize,
    /// Whether circuits of relays without a slot of ours are accepted. Default false.
    pub unreserved: bool,
    /// Whether private addresses of relays are used. Default false.
    pub private_addrs: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            automatic: true,
            wanted: 2,
            boot_delay: Duration::from_secs(180),
            max_relays: 16,
            max_candidates: 20,
            min_candidates: 4,
            ask_interval: Duration::from_secs(30),
            candidate_age: Duration::from_secs(1800),
            backoff: Duration::from_secs(3600),
            retry: Duration::from_secs(30),
            reserve_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(60),
            max_life: Duration::from_secs(24 * 3600),
            min_life: Duration::from_secs(60),
            max_circuits: 256,
            max_inbound_per_relay: 8,
            unreserved: false,
            private_addrs: false,
        }
    }
}

impl ClientConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            ("retry", self.retry >= Duration::from_secs(1)),
            ("backoff", self.backoff >= self.retry),
            ("ask_interval", !self.ask_interval.is_zero()),
            ("reserve_timeout", !self.reserve_timeout.is_zero()),
            ("connect_timeout", !self.connect_timeout.is_zero()),
            ("min_life", self.min_life >= Duration::from_secs(1)),
            ("max_life", self.max_life >= self.min_life),
            ("max_relays", self.max_relays > 0),
        ];
        first_broken(&checks)
    }
}

fn first_broken(checks: &[(&'static str, bool)]) -> Result<(), Error> {
    checks
        .iter()
        .find(|(_, holds)| !holds)
        .map_or(Ok(()), |(field, _)| Err(Error::BadConfig(field)))
}

fn ip6_prefix(ip: IpAddr) -> Option<u128> {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Some(u128::from(ip) >> 96),
        IpAddr::V4(_) => None,
    }
}
