//! The application of ready-made scenarios: ping, identify, Kademlia, GossipSub and AutoNAT if they are wished for, and friends that are dialed again whenever they are lost.

use crate::{
    app::{App, Birth, Lent, Step},
    error::Error,
};
use core::time::Duration;
use libp2p_proto_autonat as autonat;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, Timers};
use libp2p_proto_gossipsub as gossipsub;
use libp2p_proto_identify as identify;
use libp2p_proto_identity::Identity;
use libp2p_proto_kad as kad;
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
    /// Kademlia, if it is served. Default `None`.
    pub kad: Option<kad::Config>,
    /// GossipSub, if it is served; every node subscribes to one topic. Default `None`.
    pub gossipsub: Option<gossipsub::Config>,
    /// AutoNAT in both versions and roles, if it is served. Default `None`.
    pub autonat: Option<autonat::Config>,
}

/// The topic that every node of a scenario subscribes to.
pub const TOPIC: &str = "simulation";
/// Bytes in front of each message: when it was published, in nanoseconds of the simulation.
const STAMP: usize = 8;

/// Ping, identify, and friends.
#[derive(Debug)]
pub struct Node {
    /// Ping.
    pub ping: ping::Ping,
    /// Identify.
    pub identify: identify::Identify,
    /// Kademlia, if it is served.
    pub kad: Option<kad::Kad>,
    /// GossipSub, if it is served.
    pub gossipsub: Option<gossipsub::Gossipsub>,
    /// AutoNAT, if it is served.
    pub autonat: Option<autonat::Autonat>,
    me: PeerId,
    /// Lookups of ours that are under way.
    lookups: BTreeMap<kad::QueryId, PeerId>,
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
        Self::of(config, birth.identity)
    }

    pub(crate) fn of(config: &NodeConfig, identity: &Identity) -> Result<Self, Error> {
        let ping = ping::Ping::new(config.ping.clone()).map_err(|error| Error::App(error.to_string()))?;
        let identify = identify::Identify::new(identity.clone(), config.identify.clone());
        let kad = config
            .kad
            .clone()
            .map(|config| kad::Kad::new(identity.peer_id(), config));
        let kad = kad.transpose().map_err(|error| Error::App(error.to_string()))?;
        let gossipsub = config.gossipsub.clone();
        let gossipsub = gossipsub.map(|config| subscribed(identity, config)).transpose()?;
        let autonat = config.autonat.map(autonat::Autonat::new);
        Ok(Self {
            kad,
            gossipsub,
            autonat: autonat
                .transpose()
                .map_err(|error| Error::App(error.to_string()))?,
            me: identity.peer_id(),
            lookups: BTreeMap::new(),
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
        if let Some(kad) = &mut self.kad {
            kad.add_peer(peer, vec![addr.clone()]);
        }
        self.friends.insert(peer, addr);
        self.redials.set(peer, at);
    }

    /// Looks for a peer with Kademlia; says whether that began.
    pub fn look_up(&mut self, peer: PeerId) -> bool {
        let query = self.kad.as_mut().and_then(|kad| kad.find_peer(peer).ok());
        query.is_some_and(|query| self.lookups.insert(query, peer).is_none())
    }

    /// Publishes so many bytes, at least 8, with GossipSub; says whether that began. `at`: the simulation's time.
    pub fn publish(&mut self, at: Instant, bytes: usize) -> bool {
        let mut data = at.as_nanos().to_le_bytes().to_vec();
        data.resize(bytes.max(STAMP), 0);
        let gossipsub = self.gossipsub.as_mut();
        gossipsub.is_some_and(|gossipsub| gossipsub.publish(TOPIC, data, false).is_ok())
    }

    fn hear_kad(&mut self, cx: &mut Step<'_>) {
        while let Some(event) = self.kad.as_mut().and_then(kad::Kad::poll_event) {
            let kad::Event::Finished { query, result, .. } = event else {
                continue;
            };
            if let Some(wanted) = self.lookups.remove(&query) {
                let found = matches!(result, Ok(kad::Outcome::Peer { peer, .. }) if peer == wanted);
                cx.looked_up(found);
                if self.tells {
                    cx.note(format_args!("looked up {wanted}: {found}"));
                }
            }
        }
    }

    fn hear_gossip(&mut self, cx: &mut Step<'_>) {
        while let Some(event) = self.gossipsub.as_mut().and_then(gossipsub::Gossipsub::poll_event) {
            let gossipsub::Event::Message { source, message, .. } = event else {
                continue;
            };
            let data = message.data.unwrap_or_default();
            let stamp = data.first_chunk::<STAMP>().copied();
            let Some(stamp) = stamp.filter(|_| source != self.me) else {
                continue;
            };
            cx.delivered(Instant::from_nanos(u64::from_le_bytes(stamp)));
            if self.tells {
                cx.note(format_args!("message by way of {source}"));
            }
        }
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

fn subscribed(identity: &Identity, config: gossipsub::Config) -> Result<gossipsub::Gossipsub, Error> {
    let mut gossipsub =
        gossipsub::Gossipsub::new(identity.clone(), config).map_err(|error| Error::App(error.to_string()))?;
    gossipsub
        .subscribe(TOPIC)
        .map_err(|error| Error::App(error.to_string()))?;
    Ok(gossipsub)
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
        // One by one: this is asked for at every step of every host.
        if let Some(kad) = &mut self.kad {
            lent.push(kad);
        }
        if let Some(gossipsub) = &mut self.gossipsub {
            lent.push(gossipsub);
        }
        if let Some(autonat) = &mut self.autonat {
            lent.push(autonat);
        }
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
        self.hear_kad(cx);
        self.hear_gossip(cx);
        while let Some(event) = self.autonat.as_mut().and_then(autonat::Autonat::poll_event) {
            if let autonat::Event::Reachability(reachability) = event {
                cx.note(format_args!("reachability {reachability:?}"));
            }
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
        self.redials.next().map(|(at, _)| at)
    }

    fn close(&mut self) {
        self.friends.clear();
        self.redials = Timers::new();
    }

    fn held(&self) -> usize {
        let gossip = self.gossipsub.as_ref().map(gossipsub::Gossipsub::census);
        gossip.map_or(0, |census| {
            census.queued_bytes.saturating_add(census.cached_bytes)
        })
    }

    fn census(&self) -> usize {
        let census = self.identify.census();
        let own = census
            .peers
            .saturating_add(census.exchanges)
            .saturating_add(census.pushes);
        let kad = self.kad.as_ref().map(kad::Kad::census).unwrap_or_default();
        let gossip = self
            .gossipsub
            .as_ref()
            .map(gossipsub::Gossipsub::census)
            .unwrap_or_default();
        let autonat = self
            .autonat
            .as_ref()
            .map(autonat::Autonat::census)
            .unwrap_or_default();
        let kad = kad.peers.saturating_add(kad.requests).saturating_add(kad.inbound);
        own.saturating_add(kad)
            .saturating_add(gossip.peers)
            .saturating_add(gossip.queued)
            .saturating_add(autonat.questions)
            .saturating_add(autonat.dial_backs)
            .saturating_add(autonat.jobs)
            .saturating_add(autonat.dials)
    }
}
