//! What a node asks others, and what it does for them.

use crate::Error;
use core::time::Duration;
use libp2p_proto_core::Multiaddr;

const MINUTE: Duration = Duration::from_secs(60);

/// What a node asks others, and what it does for them.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// What we ask others. Default: with both versions, by ourselves.
    pub client: Option<ClientConfig>,
    /// What we do for others. Default: both versions, while we are reachable ourselves.
    pub server: Option<ServerConfig>,
    /// Whether addresses that are not public are asked about and dialed, and servers there are believed: for tests, and for networks of one's own. Default false.
    pub private_addrs: bool,
    /// Events that may wait, ends of questions that the application began not counted. Default 1 024.
    pub max_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            client: Some(ClientConfig::default()),
            server: Some(ServerConfig::default()),
            private_addrs: false,
            max_events: 1024,
        }
    }
}

/// What a node asks others.
#[derive(Clone, Copy, Debug)]
pub struct ClientConfig {
    /// Whether version 1 is asked with. Default true.
    pub v1: bool,
    /// Whether version 2 is asked with, and dial backs are taken. Default true.
    pub v2: bool,
    /// Whether we ask by ourselves; otherwise only when the application says so. Default true.
    pub automatic: bool,
    /// Time from the start to the first question. Default 15 s, as go-libp2p.
    pub boot_delay: Duration,
    /// Pause between rounds while nothing is known, or nobody can be asked. Default 90 s, as go-libp2p.
    pub retry: Duration,
    /// Pause after a refusal or a failure. Default 2 s, as go-libp2p.
    pub after_refusal: Duration,
    /// Version 1: pause between rounds once we know. Default 15 min, as go-libp2p.
    pub refresh: Duration,
    /// Version 2: pause between questions about an address once we know. Default 5 min, as go-libp2p.
    pub recheck: Duration,
    /// Version 2: the same once all voices agree. Default 1 h, as go-libp2p.
    pub recheck_sure: Duration,
    /// Version 1: pause before the same server is asked again. Default 90 s, as go-libp2p.
    pub v1_rest: Duration,
    /// Version 2: pause before the same server is asked again. Default 2 min, as go-libp2p.
    pub v2_rest: Duration,
    /// Random delay of the questions about a new address. Default up to 2 s.
    pub jitter: Duration,
    /// Voices that must agree, at least 1. Default 4: more than three, as the specification has it.
    pub quorum: usize,
    /// By how many voices they must lead. Default 2.
    pub margin: usize,
    /// Voices that count: the newest, at least `quorum` + `margin`. Default 8.
    pub window: usize,
    /// How long a voice counts. Default 3 h.
    pub vote_life: Duration,
    /// The first bits of the IPv4 and of the IPv6 address of a server that make its network, which has one voice. Default 16 and 32.
    pub network_bits: (u8, u8),
    /// Time for an answer of version 1. Default 30 s, as go-libp2p.
    pub v1_timeout: Duration,
    /// Time for an answer of version 2, dial data included. Default 15 s, as go-libp2p.
    pub v2_timeout: Duration,
    /// Time for the nonce, once the answer says that it was brought. Default 5 s, as go-libp2p.
    pub nonce_wait: Duration,
    /// Addresses of ours that are watched. Default 50, as go-libp2p.
    pub max_addrs: usize,
    /// Questions that we ask by ourselves at a time, with each version. Default 5, as go-libp2p.
    pub max_parallel: usize,
    /// Questions of the application under way, and those whose end was not read. Default 64.
    pub max_questions: usize,
    /// Questions about one address in ten minutes that we ask by ourselves. Default 10, as go-libp2p.
    pub max_checks: usize,
    /// Refusals of an address in a row, after which it rests for ten minutes. Default 5, as go-libp2p.
    pub max_refusals: u8,
    /// Peers that are remembered as servers. Default 256.
    pub max_servers: usize,
    /// Dial backs that may be under way at a time. Default 10, as rust-libp2p.
    pub max_dial_backs: u16,
    /// Time for a dial back to bring its nonce. Default 5 s, as go-libp2p.
    pub dial_back_timeout: Duration,
    /// Bytes of dial data that one server may ask for. Default 100 000 (specification, § Amplification Attack Prevention).
    pub max_data: u64,
    /// Bytes of dial data for all servers in ten minutes. Default 1 000 000.
    pub data_budget: u64,
    /// For which addresses dial data is paid at all. Default: all.
    pub pay: fn(&Multiaddr) -> bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            v1: true,
            v2: true,
            automatic: true,
            boot_delay: Duration::from_secs(15),
            retry: Duration::from_secs(90),
            after_refusal: Duration::from_secs(2),
            refresh: Duration::from_secs(15 * 60),
            recheck: Duration::from_secs(5 * 60),
            recheck_sure: Duration::from_secs(60 * 60),
            v1_rest: Duration::from_secs(90),
            v2_rest: Duration::from_secs(120),
            jitter: Duration::from_secs(2),
            quorum: 4,
            margin: 2,
            window: 8,
            vote_life: Duration::from_secs(3 * 60 * 60),
            network_bits: (16, 32),
            v1_timeout: Duration::from_secs(30),
            v2_timeout: Duration::from_secs(15),
            nonce_wait: Duration::from_secs(5),
            max_addrs: 50,
            max_parallel: 5,
            max_questions: 64,
            max_checks: 10,
            max_refusals: 5,
            max_servers: 256,
            max_dial_backs: 10,
            dial_back_timeout: Duration::from_secs(5),
            max_data: 100_000,
            data_budget: 1_000_000,
            pay: |_| true,
        }
    }
}

/// When a node serves others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serve {
    /// While others reach us: as probes tell, or because a public address of ours was confirmed.
    #[default]
    WhenPublic,
    /// Always.
    Always,
}

/// What a node does for others.
#[derive(Clone, Copy, Debug)]
pub struct ServerConfig {
    /// Whether version 1 is served. Default true.
    pub v1: bool,
    /// Whether version 2 is served. Default true.
    pub v2: bool,
    /// When. Default: while we are reachable ourselves.
    pub when: Serve,
    /// Version 1: questions in a minute. Default 30, as go-libp2p.
    pub v1_per_minute: usize,
    /// Version 1: questions of one peer in a minute. Default 3, as go-libp2p.
    pub v1_per_peer: usize,
    /// Version 2: questions in a minute. Default 60, as go-libp2p.
    pub v2_per_minute: usize,
    /// Version 2: questions of one peer in a minute. Default 12, as go-libp2p.
    pub v2_per_peer: usize,
    /// Version 2: questions in a minute for which dial data is asked. Default 12, as go-libp2p.
    pub v2_with_data: usize,
    /// Version 2: questions of one peer at a time. Default 2, as go-libp2p. With version 1 it is one.
    pub v2_at_once: usize,
    /// Dials to one IP address in a minute, whoever asks. Default 10.
    pub max_per_ip: usize,
    /// Version 1: addresses of a question that are dialed. Default 16, as go-libp2p.
    pub v1_max_addrs: usize,
    /// Version 2: addresses of a question that are looked at. Default 50, as go-libp2p.
    pub v2_max_addrs: usize,
    /// Time for a question of version 1 to arrive, and for its stream to end. Default 60 s, as go-libp2p.
    pub v1_timeout: Duration,
    /// Version 1: time for the dial; a failure is told when it has passed, so that nobody learns why. Default 15 s, as go-libp2p.
    pub v1_dial_timeout: Duration,
    /// Time for a question of version 2 as a whole, and again for its stream to end. Default 15 s, as go-libp2p.
    pub v2_timeout: Duration,
    /// Version 2: time for the dial. Default 10 s, as go-libp2p.
    pub v2_dial_timeout: Duration,
    /// Fewest and most bytes of dial data that are asked for: drawn for each question. Default 30 000 and 100 000 (specification, § Amplification Attack Prevention).
    pub data: (u64, u64),
    /// Time for dial data to arrive. Default 10 s.
    pub data_timeout: Duration,
    /// The longest random delay of a dial that was paid for. Default 3 s, as go-libp2p.
    pub dial_delay: Duration,
    /// Time for a dial back's stream to open, and for the other end to take the nonce. Default 5 s each, as go-libp2p.
    pub dial_back_timeout: Duration,
    /// Streams of one connection, of each version. Default 8.
    pub max_inbound: u16,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            v1: true,
            v2: true,
            when: Serve::default(),
            v1_per_minute: 30,
            v1_per_peer: 3,
            v2_per_minute: 60,
            v2_per_peer: 12,
            v2_with_data: 12,
            v2_at_once: 2,
            max_per_ip: 10,
            v1_max_addrs: 16,
            v2_max_addrs: 50,
            v1_timeout: MINUTE,
            v1_dial_timeout: Duration::from_secs(15),
            v2_timeout: Duration::from_secs(15),
            v2_dial_timeout: Duration::from_secs(10),
            data: (30_000, 100_000),
            data_timeout: Duration::from_secs(10),
            dial_delay: Duration::from_secs(3),
            dial_back_timeout: Duration::from_secs(5),
            max_inbound: 8,
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
        let client = self.client.map_or(Ok(()), |client| client.validate());
        client.and_then(|()| self.server.map_or(Ok(()), |server| server.validate()))
    }
}

impl ClientConfig {
    fn validate(&self) -> Result<(), Error> {
        let voices = self.quorum.saturating_add(self.margin);
        let (ip4_bits, ip6_bits) = self.network_bits;
        named(&[
            ("quorum", self.quorum > 0),
            ("window", self.window >= voices),
            ("network_bits", ip4_bits <= 32 && ip6_bits <= 127),
            ("retry", self.retry >= Duration::from_secs(1)),
            ("after_refusal", !self.after_refusal.is_zero()),
            ("refresh", self.refresh >= self.retry),
            ("recheck", self.recheck >= Duration::from_secs(1)),
            ("recheck_sure", self.recheck_sure >= self.recheck),
            ("vote_life", self.vote_life >= self.recheck_sure),
            ("v1_timeout", !self.v1_timeout.is_zero()),
            ("v2_timeout", !self.v2_timeout.is_zero()),
            ("dial_back_timeout", !self.dial_back_timeout.is_zero()),
            ("max_addrs", self.max_addrs > 0),
            ("max_parallel", self.max_parallel > 0),
            ("max_checks", self.max_checks > 0),
            ("max_dial_backs", self.max_dial_backs > 0),
        ])
    }
}

impl ServerConfig {
    fn validate(&self) -> Result<(), Error> {
        let (least, most) = self.data;
        named(&[
            ("v1_max_addrs", self.v1_max_addrs > 0),
            ("v2_max_addrs", self.v2_max_addrs > 0),
            ("data", least > 0 && least <= most),
            ("v1_timeout", self.v1_timeout > self.v1_dial_timeout),
            ("v1_dial_timeout", !self.v1_dial_timeout.is_zero()),
            ("v2_timeout", !self.v2_timeout.is_zero()),
            ("v2_dial_timeout", !self.v2_dial_timeout.is_zero()),
            ("data_timeout", !self.data_timeout.is_zero()),
            ("dial_back_timeout", !self.dial_back_timeout.is_zero()),
            ("max_inbound", self.max_inbound > 0),
        ])
    }
}

fn named(checks: &[(&'static str, bool)]) -> Result<(), Error> {
    let broken = checks.iter().find(|(_, holds)| !holds);
    broken.map_or(Ok(()), |(field, _)| Err(Error::BadConfig(field)))
}
