//! Limits.

use crate::{BookLimits, Error, Gate};
use core::time::Duration;
use libp2p_proto_stream_protocol::StreamLimits;

/// Limits of one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Established connections. Default 1 024.
    pub max_connections: usize,
    /// Of them, those that others dialed. Default 768.
    pub max_inbound: usize,
    /// Connections with one peer. Default 2; a newer one replaces the oldest, which may be dead without our knowing.
    pub max_per_peer: usize,
    /// Connections with one IP address (IPv6: one /56). Default 64.
    pub max_per_ip: usize,
    /// Inbound connections that are not upgraded. Default 128.
    pub max_pending_inbound: usize,
    /// Of them, those of one IP address (IPv6: one /56). Default 8.
    pub max_pending_per_ip: usize,
    /// Inbound connections that one IP address may begin in one second, and at once. Default 5, as js-libp2p.
    pub accepts_per_second: u32,
    /// IP addresses whose rate is remembered. Default 4 096.
    pub max_rated_ips: usize,
    /// Time for an inbound upgrade. Default 10 s.
    pub inbound_upgrade: Duration,
    /// Time for an outbound attempt, from the first packet to the end of the upgrade. Default 15 s, as go-libp2p.
    pub outbound_upgrade: Duration,
    /// How long a connection may carry no stream that keeps it alive. `None`: for ever. Default 10 s, as rust-libp2p.
    pub idle_timeout: Option<Duration>,
    /// Dials under way. Default 128.
    pub max_dials: usize,
    /// Attempts of one dial at a time. Default 8.
    pub max_parallel_attempts: usize,
    /// Attempts of one dial in all. Default 16.
    pub max_attempts: usize,
    /// Attempts of one dial at one IP address. Default 2.
    pub max_attempts_per_ip: usize,
    /// Time for a whole dial. Default 30 s.
    pub dial_timeout: Duration,
    /// Rounds of name resolution that lead on. Default 4, as go-libp2p.
    pub max_resolve_depth: u8,
    /// Addresses that names of one dial may resolve to. Default 100, as go-libp2p.
    pub max_resolved: usize,
    /// Limits of the address book.
    pub book: BookLimits,
    /// Facts that may wait. Default 4 096.
    pub max_facts: usize,
    /// Events that may wait before no more news is taken from connections. Default 1 024.
    pub max_events: usize,
    /// Networks that must see us at the same address before it is a candidate. Default 4, as go-libp2p.
    pub observers: usize,
    /// What each connection may hold.
    pub streams: StreamLimits,
    /// Whom to keep out, and whom to let in beyond the limits.
    pub gate: Gate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_inbound: 768,
            max_per_peer: 2,
            max_per_ip: 64,
            max_pending_inbound: 128,
            max_pending_per_ip: 8,
            accepts_per_second: 5,
            max_rated_ips: 4096,
            inbound_upgrade: Duration::from_secs(10),
            outbound_upgrade: Duration::from_secs(15),
            idle_timeout: Some(Duration::from_secs(10)),
            max_dials: 128,
            max_parallel_attempts: 8,
            max_attempts: 16,
            max_attempts_per_ip: 2,
            dial_timeout: Duration::from_secs(30),
            max_resolve_depth: 4,
            max_resolved: 100,
            book: BookLimits::default(),
            max_facts: 4096,
            max_events: 1024,
            observers: 4,
            streams: StreamLimits::default(),
            gate: Gate::default(),
        }
    }
}

impl Config {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] names the field.
    pub const fn validate(&self) -> Result<(), Error> {
        if self.max_events == 0 {
            return Err(Error::OutOfRange("max_events"));
        }
        if self.max_facts == 0 {
            return Err(Error::OutOfRange("max_facts"));
        }
        if self.max_parallel_attempts == 0 {
            return Err(Error::OutOfRange("max_parallel_attempts"));
        }
        Ok(())
    }
}
