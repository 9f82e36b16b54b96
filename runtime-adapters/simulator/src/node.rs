//! The application of ready-made scenarios: ping and identify.

use crate::{
    app::{App, Birth, Lent, Step},
    error::Error,
};
use libp2p_proto_core::{Instant, Multiaddr, PeerId};
use libp2p_proto_identify as identify;
use libp2p_proto_ping as ping;
use libp2p_proto_stream_protocol::Dial;
use std::collections::VecDeque;

/// What a node of a scenario runs, and whom it dials.
#[derive(Clone, Debug, Default)]
pub struct NodeConfig {
    /// Rhythm and limits of ping.
    pub ping: ping::Config,
    /// What identify says, and its limits.
    pub identify: identify::Config,
}

/// Ping and identify, and a list of dials.
#[derive(Debug)]
pub struct Node {
    /// Ping.
    pub ping: ping::Ping,
    /// Identify.
    pub identify: identify::Identify,
    /// Whom to dial, and when, soonest first.
    dials: VecDeque<(Instant, PeerId, Multiaddr)>,
    /// Round trips and failures so far.
    pub pongs: u64,
    /// Pings that failed.
    pub failures: u64,
    /// Peers that said who they are.
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
            dials: VecDeque::new(),
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

    /// Dials a peer at a time of the host's clock.
    pub fn dial_at(&mut self, at: Instant, peer: PeerId, addr: Multiaddr) {
        let place = self.dials.partition_point(|(other, ..)| *other <= at);
        self.dials.insert(place, (at, peer, addr));
    }
}

impl App for Node {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = Lent::new();
        lent.push(&mut self.ping);
        lent.push(&mut self.identify);
        lent
    }

    fn step(&mut self, cx: &mut Step<'_>) {
        while self.dials.front().is_some_and(|(at, ..)| *at <= cx.now) {
            let Some((_, peer, addr)) = self.dials.pop_front() else {
                break;
            };
            let dial = Dial {
                addrs: vec![addr],
                ..Dial::peer(peer)
            };
            // A refusal means that the peer is connected, or that too many dials are under way.
            let _refused = cx.swarm.dial(cx.now, dial);
        }
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
        self.dials.front().map(|(at, ..)| *at)
    }

    fn census(&self) -> usize {
        let census = self.identify.census();
        census
            .peers
            .saturating_add(census.exchanges)
            .saturating_add(census.pushes)
    }
}
