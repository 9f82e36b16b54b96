//! Limits and times.

use crate::Error;
use core::time::Duration;
use libp2p_proto_core::{PeerId, Rate};

/// The default life of a registration, and the shortest that points grant (specification, § Recommendations).
pub const DEFAULT_TTL: Duration = Duration::from_secs(2 * 60 * 60);
/// The longest life of a registration (specification, § Recommendations).
pub const MAX_TTL: Duration = Duration::from_secs(72 * 60 * 60);
/// Bytes of a namespace (specification, § Recommendations).
pub const MAX_NAMESPACE: usize = 255;

/// What a node does as rendezvous point, and how it uses others.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether we are a rendezvous point. Default false.
    pub serve: bool,
    /// The shortest life that we grant. Default two hours.
    pub min_ttl: Duration,
    /// The longest life that we grant, and the longest that we believe of others. Default three days.
    pub max_ttl: Duration,
    /// Who may register under which namespace. Default everybody.
    pub allow: fn(&PeerId, &str) -> bool,
    /// Registrations in all. Default 10 000, as rust-libp2p.
    pub max_registrations: usize,
    /// Registrations of one peer. Default 64; the specification has 1 000.
    pub max_per_peer: usize,
    /// Namespaces. Default 4 096.
    pub max_namespaces: usize,
    /// Registrations of one namespace from one public network (IPv4 /24, IPv6 /48). Default 128.
    pub max_per_network: usize,
    /// Bytes of a signed record. Default 4 096: what fits a request of nim.
    pub max_record: usize,
    /// Addresses of a record, at least 1. Default 32.
    pub max_addrs: usize,
    /// Registrations of one answer, given or taken. Default 1 000 (specification, § Recommendations).
    pub max_answer: usize,
    /// Bytes of an answer, given or taken; a list is cut to fit. Default 512 KiB; rust-libp2p reads 1 MiB, and a connection holds 640 KiB unread.
    pub max_answer_bytes: usize,
    /// Bytes of a request, on its prefix. Default 16 KiB.
    pub max_request: usize,
    /// Requests of one peer, and of one network (IPv4 /24, IPv6 /48). Default one a second on average, 60 at once.
    pub rate: Rate,
    /// Peers, and networks, whose rate is remembered. Default 4 096.
    pub max_rated: usize,
    /// Streams of one connection to us as a point. Default 8.
    pub max_inbound: u16,
    /// Time for one request. Default 10 s, as rust-libp2p.
    pub timeout: Duration,
    /// Pause before a registration that failed is tried again. Default one minute.
    pub retry: Duration,
    /// Our own registrations at points. Default 64.
    pub max_own: usize,
    /// Our questions under way, and those whose answer was not read. Default 64.
    pub max_questions: usize,
    /// Peers whose registration we discovered and that expire, and cookies of points. Default 4 096.
    pub max_discovered: usize,
    /// Whether our record may hold addresses that are not public. Default false.
    pub private_addrs: bool,
    /// Other events that may wait. Default 1 024.
    pub max_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            serve: false,
            min_ttl: DEFAULT_TTL,
            max_ttl: MAX_TTL,
            allow: |_, _| true,
            max_registrations: 10_000,
            max_per_peer: 64,
            max_namespaces: 4096,
            max_per_network: 128,
            max_record: 4096,
            max_addrs: 32,
            max_answer: 1000,
            max_answer_bytes: 512 * 1024,
            max_request: 16 * 1024,
            rate: Rate::per_second(1, 60),
            max_rated: 4096,
            max_inbound: 8,
            timeout: Duration::from_secs(10),
            retry: Duration::from_secs(60),
            max_own: 64,
            max_questions: 64,
            max_discovered: 4096,
            private_addrs: false,
            max_events: 1024,
        }
    }
}

impl Config {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            ("min_ttl", self.min_ttl <= self.max_ttl),
            ("max_ttl", self.max_ttl >= Duration::from_secs(1)),
            ("max_record", (256..=8192).contains(&self.max_record)),
            ("max_addrs", self.max_addrs > 0),
            ("max_answer", self.max_answer > 0),
            ("max_answer_bytes", self.max_answer_bytes >= 16 * 1024),
            ("max_request", self.max_request >= 1024),
            ("rate", self.rate.burst > 0),
            ("timeout", !self.timeout.is_zero()),
            ("retry", !self.retry.is_zero()),
        ];
        checks
            .iter()
            .find(|(_, holds)| !holds)
            .map_or(Ok(()), |(field, _)| Err(Error::BadConfig(field)))
    }
}
