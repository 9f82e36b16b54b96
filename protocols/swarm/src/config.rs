//! Limits.

use crate::{BookLimits, Error, Gate, StreamScopes};
use core::time::Duration;
use libp2p_proto_stream_protocol::StreamLimits;

/// How connections are trimmed: once more than `high` stand, those worth least are closed until `low` are left. The default is go-libp2p's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// More connections than this are trimmed. Default 192.
    pub high: usize,
    /// So many are left. Default 160.
    pub low: usize,
    /// Younger connections are spared. Default 1 min.
    pub grace: Duration,
    /// Time between two trims at least. Default 10 s.
    pub every: Duration,
}

impl Default for Trim {
    fn default() -> Self {
        Self {
            high: 192,
            low: 160,
            grace: Duration::from_secs(60),
            every: Duration::from_secs(10),
        }
    }
}

/// Limits of one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Established connections. One more of ours closes the one that is worth least; one more of theirs is refused. Default 1 024.
    pub max_connections: usize,
    /// Of them, those that others dialed. Default 768.
    pub max_inbound: usize,
    /// Of them, those that we dialed. Default 1 024.
    pub max_outbound: usize,
    /// Connections from the gate's exempt networks, which no other limit on connections concerns. Default 128.
    pub max_exempt: usize,
    /// Connections with one peer, and as many relayed ones. Default 2; a newer one replaces one without streams, or else the oldest, which may be dead without our knowing.
    pub max_per_peer: usize,
    /// Connections with one IP address (IPv6: one /56). Default 64.
    pub max_per_ip: usize,
    /// Inbound connections that are being upgraded. When there are so many, the oldest one of the network (IPv4: /24, IPv6: /48) with most of them makes room
    /// for a network with fewer. Default 128.
    pub max_pending_inbound: usize,
    /// Of them, those of one IP address (IPv6: one /56). Default 8.
    pub max_pending_per_ip: usize,
    /// Links that are being connected or upgraded, over all dials; further attempts wait. Default 160, as go-libp2p.
    pub max_pending_outbound: usize,
    /// Inbound connections that one IP address may begin in one second, and at once. Default 5, as js-libp2p.
    pub accepts_per_second: u32,
    /// IP addresses whose rate is remembered; beyond, the most patient is forgotten. Default 4 096.
    pub max_rated_ips: usize,
    /// Time for an inbound upgrade, from the accept. A connection that does not keep it is dropped half a second later. Default 10 s.
    pub inbound_upgrade: Duration,
    /// Time for an outbound attempt, from the first packet to the end of the upgrade. Default 15 s, as go-libp2p.
    pub outbound_upgrade: Duration,
    /// Time for the upgrade of either half of a hole punch, once its link stands: two ends that both wait for the other's first byte are to notice soon. Default 5 s.
    pub punch_upgrade: Duration,
    /// Peers that may be expected at a time, as the other half of a hole punch. Default 64.
    pub max_expected: usize,
    /// How long a connection that was ordered to end may take before it is dropped. Default 2 s: one for its last frames, one for the way here.
    pub close_timeout: Duration,
    /// How long a connection may carry no stream that keeps it alive. `None`: for ever. Default 10 s, as rust-libp2p.
    pub idle_timeout: Option<Duration>,
    /// How connections are trimmed below `max_connections`. Default `None`: idle ones are closed anyway.
    pub trim: Option<Trim>,
    /// Peers that may have tags. Default 4 096.
    pub max_tagged: usize,
    /// Dials under way, and failed ones that were not told. Default 128.
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
    /// Addresses of one dial, those that its names resolve to included. Default 100, as go-libp2p.
    pub max_resolved: usize,
    /// Attempts of one kind (UDP, IPv6) that are looked at to find out that it leads nowhere. 0: never. Default 100, as go-libp2p.
    pub black_hole_window: usize,
    /// Successes among them that speak against it. Default 5, as go-libp2p.
    pub black_hole_successes: usize,
    /// Limits of the address book.
    pub book: BookLimits,
    /// Facts that may wait. Default 4 096.
    pub max_facts: usize,
    /// Events that may wait before no more news is taken from connections. Default 1 024.
    pub max_events: usize,
    /// News that may wait before [`wants_messages`](crate::Swarm::wants_messages) says no. Default 4 096.
    pub max_news: usize,
    /// News of one connection that may wait; an adapter that doesn't ask loses the connection with one more. Default 32 768.
    pub max_news_per_connection: u32,
    /// Networks that must see us at the same address before it is a candidate. Default 4, as go-libp2p.
    pub observers: usize,
    /// What each connection may hold.
    pub streams: StreamLimits,
    /// How many streams may stand, over all connections.
    pub scopes: StreamScopes,
    /// Whom to keep out, and whom to let in beyond the limits.
    pub gate: Gate,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_inbound: 768,
            max_outbound: 1024,
            max_exempt: 128,
            max_per_peer: 2,
            max_per_ip: 64,
            max_pending_inbound: 128,
            max_pending_per_ip: 8,
            max_pending_outbound: 160,
            accepts_per_second: 5,
            max_rated_ips: 4096,
            inbound_upgrade: Duration::from_secs(10),
            outbound_upgrade: Duration::from_secs(15),
            punch_upgrade: Duration::from_secs(5),
            max_expected: 64,
            close_timeout: Duration::from_secs(2),
            idle_timeout: Some(Duration::from_secs(10)),
            trim: None,
            max_tagged: 4096,
            max_dials: 128,
            max_parallel_attempts: 8,
            max_attempts: 16,
            max_attempts_per_ip: 2,
            dial_timeout: Duration::from_secs(30),
            max_resolve_depth: 4,
            max_resolved: 100,
            black_hole_window: 100,
            black_hole_successes: 5,
            book: BookLimits::default(),
            max_facts: 4096,
            max_events: 1024,
            max_news: 4096,
            max_news_per_connection: 32_768,
            observers: 4,
            streams: StreamLimits::default(),
            scopes: StreamScopes::default(),
            gate: Gate::default(),
        }
    }
}

impl Config {
    /// Checks the ranges: limits without which nothing would ever happen are at least 1.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        let at_least_one = [
            (self.max_events, "max_events"),
            (self.max_facts, "max_facts"),
            (self.max_news, "max_news"),
            (self.max_parallel_attempts, "max_parallel_attempts"),
            (self.max_per_peer, "max_per_peer"),
            (self.max_rated_ips, "max_rated_ips"),
        ];
        if let Some((_, name)) = at_least_one.iter().find(|(value, _)| *value == 0) {
            return Err(Error::OutOfRange(name));
        }
        if self.max_news_per_connection == 0 {
            return Err(Error::OutOfRange("max_news_per_connection"));
        }
        if self.trim.is_some_and(|trim| trim.low > trim.high) {
            return Err(Error::OutOfRange("trim"));
        }
        if self.black_hole_successes > self.black_hole_window && self.black_hole_window > 0 {
            return Err(Error::OutOfRange("black_hole_successes"));
        }
        Ok(())
    }
}
