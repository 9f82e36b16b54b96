//! The application of ready-made scenarios: ping, identify, and friends that are dialed again whenever they are lost.

use crate::{
    app::{App, Birth, Lent, Step},
    error::Error,
};
use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, Timers};
use libp2p_proto_identify as identify;
use libp2p_proto_ping as ping;
use libp2p_proto_stream_protocol::{Dial, DialOutcome};
use libp2p_proto_swarm::Event;
use std::collections::BTreeMap;

/// Time between two dials of a friend at least; up to as much again is drawn.
const AGAIN: Duration = Duration::from_secs(5);

/// What a node of a scenario runs.
#[derive(Clone, Debug, Default)]
pub struct NodeConfig {
    /// Rhythm and limits of ping.
    pub ping: ping::Config,
    /// What identify says, and its limits.
    pub identify: identify::Config,
}

/// Ping, identify, and friends.
#[derive(Debug)]
pub struct Node {
    /// Ping.
    pub ping: ping::Ping,
    /// Identify.
    pub identify: identify::Identify,
    /// Whom to keep connected.
    friends: BTreeMap<PeerId, Multiaddr>,
    /// When to dial those that are not.
    redials: Timers<PeerId>,
    /// Round trips so far.
    pub pongs: u64,
    /// Pings that failed so far.
    pub failures: u64,
    /// Peers that said who they are, so far.
    pub identified: u64,
    /// Whether round trips are written into the trace.
    tells: bool,
}

impl Node {
    /// A node of this configuration.
    ///
    /// # Errors
    ///
    /// [`Error::App`] if a limit is out of its range.
    pub fn new(config: &NodeConfig, birth: &Birth<'_>) -> Result<Self, Error> {
        let ping = ping::Ping::new(config.ping.clone()).map_err(|error| Error::App(error.to_string()))?;
        let identify = identify::Identify::new(birth.identity.clone(), config.identify.clone());
        Ok(Self {
            ping,
            identify: identify.map_err(|error| Error::App(error.to_string()))?,
            friends: BTreeMap::new(),
            redials: Timers::new(),
            pongs: 0,
            failures: 0,
            identified: 0,
            tells: false,
        })
    }

    /// Writes every round trip into the trace.
    #[must_use]
    pub const fn telling(mut self) -> Self {
        self.tells = true;
        self
    }

    /// Dials a peer at a time of the host's clock, and again whenever it is lost.
    pub fn befriend(&mut self, at: Instant, peer: PeerId, addr: Multiaddr) {
        self.friends.insert(peer, addr);
        self.redials.set(peer, at);
    }

    /// Friends, and how many of them are connected.
    pub fn friends(&self) -> (usize, usize) {
        let all = self.friends.len();
        (all, all.saturating_sub(self.redials.len()))
    }

    fn dial_friends(&mut self, cx: &mut Step<'_>) {
        while let Some(peer) = self.redials.pop_due(cx.now) {
            let Some(addr) = self.friends.get(&peer) else {
                continue;
            };
            let dial = Dial {
                addrs: vec![addr.clone()],
                ..Dial::peer(peer)
            };
            let connected = matches!(cx.swarm.dial(cx.now, dial), Ok(DialOutcome::Connected(_)));
            if !connected {
                // Tells of failed dials come too, but may be lost with a crash of ours.
                self.redials.set(peer, again(cx));
            }
        }
    }
}

fn again(cx: &mut Step<'_>) -> Instant {
    let spread = u64::try_from(AGAIN.as_millis()).unwrap_or(u64::MAX);
    cx.now + AGAIN + Duration::from_millis(cx.dice.below(spread))
}

impl App for Node {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = Lent::new();
        lent.push(&mut self.ping);
        lent.push(&mut self.identify);
        lent
    }

    fn handle_event(&mut self, cx: &mut Step<'_>, event: &Event) {
        match event {
            Event::Connected { peer, .. } => self.redials.clear(*peer),
            Event::Disconnected { peer, last: true, .. } if self.friends.contains_key(peer) => {
                self.redials.set(*peer, again(cx));
            }
            _ => {}
        }
    }

    fn step(&mut self, cx: &mut Step<'_>) {
        self.dial_friends(cx);
        while let Some(event) = self.ping.poll_event() {
            match event {
                ping::Event::Pong { peer, rtt, .. } => {
                    self.pongs = self.pongs.saturating_add(1);
                    cx.measure(rtt);
                    if self.tells {
                        cx.note(format_args!("pong {peer} {rtt:?}"));
                    }
                }
                ping::Event::Failed { peer, failure, .. } => {
                    self.failures = self.failures.saturating_add(1);
                    cx.note(format_args!("ping failed {peer} {failure:?}"));
                }
                _ => {}
            }
        }
        while let Some(event) = self.identify.poll_event() {
            if let identify::Event::Identified { peer, .. } = event {
                self.identified = self.identified.saturating_add(1);
                if self.tells {
                    cx.note(format_args!("identified {peer}"));
                }
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.redials.next().map(|(at, _)| at)
    }

    fn close(&mut self) {
        self.friends.clear();
        self.redials = Timers::new();
    }

    fn census(&self) -> usize {
        let census = self.identify.census();
        census
            .peers
            .saturating_add(census.exchanges)
            .saturating_add(census.pushes)
    }
}
