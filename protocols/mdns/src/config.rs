//! Limits and times.

use crate::{Error, Name, wire::MAX_DATAGRAM};
use alloc::string::String;
use core::{fmt::Write as _, time::Duration};
use libp2p_proto_core::Rate;

/// The name of the service (specification, § Definitions).
pub const SERVICE: &str = "_p2p._udp.local";
/// How long addresses of hosts hold (RFC 6762, § 10).
pub const HOST_TTL: Duration = Duration::from_secs(120);
/// The longest life of a record that is believed (RFC 6762, § 10).
pub const MAX_TTL: Duration = Duration::from_secs(4500);
/// Bytes of a private network's fingerprint that fit a label behind `_p2p-`.
const MAX_FINGERPRINT: usize = 29;

/// How a node makes itself known, and what it believes of others.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name that all who want to find each other share, as it is written. Default [`SERVICE`].
    pub service: String,
    /// How long others may remember us, 1 s to [`MAX_TTL`]. Default 120 s, as js-libp2p; go sees changes only after this time.
    pub ttl: Duration,
    /// The first question comes after at most this, at random. Default 250 ms.
    pub first_query: Duration,
    /// The pause between the first two questions, at least 1 s; each further one is twice as long, and up to a fifth of it is added at random. Default 1 s.
    pub query_pause: Duration,
    /// The longest pause between questions, at least `query_pause`. Default one minute, as go-libp2p; rust-libp2p has five.
    pub max_query_pause: Duration,
    /// Bytes of a packet that we send, 512 to 4 096, which is what rust-libp2p and litep2p read. Default 1 440, which no link fragments.
    pub max_packet: usize,
    /// Whether addresses that are not of the link, private or link-local are believed. Default false: whoever speaks here could make us dial anybody.
    pub distant_addrs: bool,
    /// Interfaces, at least 1. Default 32.
    pub max_interfaces: usize,
    /// Addresses of one interface; more are not looked at. Default 32.
    pub max_interface_addrs: usize,
    /// Addresses of our own that are announced. Default 64.
    pub max_own: usize,
    /// Peers that are remembered; the one that was heard of longest ago makes room. Default 1 000.
    pub max_peers: usize,
    /// Peers that one IP address may speak for. Default 8.
    pub max_per_source: usize,
    /// Addresses of one peer on one interface. Default 32.
    pub max_addrs: usize,
    /// Known peers that one question lists, so that they do not answer. Default 128.
    pub max_known: usize,
    /// Unicast replies to one address. Default ten a second.
    pub reply_rate: Rate,
    /// Addresses whose rate is remembered. Default 1 024.
    pub max_rated: usize,
    /// Unicast replies that may wait to be sent. Default 64.
    pub max_replies: usize,
    /// Events that may wait. Default 1 024; one packet may add a few more.
    pub max_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service: String::from(SERVICE),
            ttl: Duration::from_secs(120),
            first_query: Duration::from_millis(250),
            query_pause: Duration::from_secs(1),
            max_query_pause: Duration::from_secs(60),
            max_packet: 1440,
            distant_addrs: false,
            max_interfaces: 32,
            max_interface_addrs: 32,
            max_own: 64,
            max_peers: 1000,
            max_per_source: 8,
            max_addrs: 32,
            max_known: 128,
            reply_rate: Rate::per_second(10, 10),
            max_rated: 1024,
            max_replies: 64,
            max_events: 1024,
        }
    }
}

impl Config {
    /// The configuration of a private network, which is not seen by others: its service has the fingerprint of the shared key in its name (specification, § Definitions).
    ///
    /// # Errors
    ///
    /// [`Error::BadName`] for a fingerprint of more than 29 bytes, which no label holds.
    pub fn private_network(fingerprint: &[u8]) -> Result<Self, Error> {
        if fingerprint.len() > MAX_FINGERPRINT {
            return Err(Error::BadName);
        }
        let mut service = String::from("_p2p-");
        for byte in fingerprint {
            write!(service, "{byte:02x}").map_err(|_| Error::BadName)?;
        }
        service.push_str("._udp.local");
        Ok(Self {
            service,
            ..Self::default()
        })
    }

    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field, [`Error::BadName`] is for the service.
    pub fn validate(&self) -> Result<(), Error> {
        let _service: Name = self.service.parse()?;
        let second = Duration::from_secs(1);
        let checks = [
            ("ttl", self.ttl >= second && self.ttl <= MAX_TTL),
            ("first_query", self.first_query <= second),
            ("query_pause", self.query_pause >= second),
            ("max_query_pause", self.max_query_pause >= self.query_pause),
            (
                "max_packet",
                (512..=4096.min(MAX_DATAGRAM)).contains(&self.max_packet),
            ),
            ("max_interfaces", self.max_interfaces > 0),
            ("max_peers", self.max_peers > 0),
            ("max_per_source", self.max_per_source > 0),
            ("max_addrs", self.max_addrs > 0),
            ("max_events", self.max_events > 0),
        ];
        checks
            .iter()
            .find(|(_, holds)| !holds)
            .map_or(Ok(()), |(field, _)| Err(Error::BadConfig(field)))
    }
}
