//! Limits and times.

use crate::Error;
use core::time::Duration;

/// When and how relayed connections are upgraded.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Time for one exchange, from the opening of its stream to SYNC, and for a stream to end once all is said. Default 10 s, as rust-libp2p.
    pub exchange: Duration,
    /// Time for the dials of one attempt. Default 10 s, as go-libp2p.
    pub dial: Duration,
    /// A longer round trip is a failure: it would let the peer choose when we dial. Default 5 s.
    pub max_rtt: Duration,
    /// Attempts of one upgrade, each with an exchange of its own. Default 3 (specification, § The Protocol).
    pub attempts: u8,
    /// The shortest and the longest pause before another attempt: within them it is one round trip, so that what the peer has sent arrives first. Default 100 ms and 1 s.
    pub pause: (Duration, Duration),
    /// The least time from the end of an upgrade to the next one of the same relayed connection, which happens only once addresses have changed. Default 60 s.
    pub cooldown: Duration,
    /// Exchanges that one relayed connection may ask us for within a minute. Default 3.
    pub max_served: usize,
    /// Our own addresses in one CONNECT. Default 20, as rust-libp2p.
    pub max_own: usize,
    /// Bytes of our CONNECT, 64 to 4 096. Default 1 024, which nim-libp2p reads.
    pub max_connect: usize,
    /// Addresses of a peer that are dialed in one attempt, at most 8. Default 8, as nim-libp2p.
    pub max_addrs: usize,
    /// Different IP addresses among them. Default 4.
    pub max_ips: usize,
    /// Peers with relayed connections that are looked after. Default 256.
    pub max_peers: usize,
    /// Whether to dial the peer's public addresses before anything is exchanged. Default true.
    pub unilateral: bool,
    /// Whether relayed connections without limits are upgraded too. Default false.
    pub unlimited: bool,
    /// Whether the adapter can dial from the port where it listens. Default true; without it nothing is punched.
    pub tcp: bool,
    /// Whether addresses that are not public are told and dialed: for networks of one's own, and tests. Default false.
    pub private_addrs: bool,
    /// Whether private addresses are told, and dialed if both ends share a public IP address: behind one NAT. Default false.
    pub same_nat: bool,
    /// Whether only IP addresses are dialed that the peer has named in identify too. Default false: peers behind NATs seldom do.
    pub strict: bool,
    /// Events that may wait. Default 256.
    pub max_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            exchange: Duration::from_secs(10),
            dial: Duration::from_secs(10),
            max_rtt: Duration::from_secs(5),
            attempts: 3,
            pause: (Duration::from_millis(100), Duration::from_secs(1)),
            cooldown: Duration::from_secs(60),
            max_served: 3,
            max_own: 20,
            max_connect: 1024,
            max_addrs: 8,
            max_ips: 4,
            max_peers: 256,
            unilateral: true,
            unlimited: false,
            tcp: true,
            private_addrs: false,
            same_nat: false,
            strict: false,
            max_events: 256,
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
        let (shortest, longest) = self.pause;
        let checks = [
            ("exchange", !self.exchange.is_zero()),
            ("dial", !self.dial.is_zero()),
            (
                "max_rtt",
                !self.max_rtt.is_zero() && self.max_rtt <= self.exchange,
            ),
            ("attempts", self.attempts > 0),
            ("pause", shortest <= longest && !longest.is_zero()),
            ("cooldown", !self.cooldown.is_zero()),
            ("max_own", self.max_own > 0),
            (
                "max_connect",
                (64..=crate::MAX_MESSAGE).contains(&self.max_connect),
            ),
            ("max_addrs", (1..=8).contains(&self.max_addrs)),
            ("max_ips", self.max_ips > 0),
        ];
        checks
            .iter()
            .find(|(_, holds)| !holds)
            .map_or(Ok(()), |(field, _)| Err(Error::BadConfig(field)))
    }
}
