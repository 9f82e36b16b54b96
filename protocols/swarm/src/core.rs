//! Everything but the news and the dice of protocols: what a protocol reaches through its context.

use crate::{
    Action, AddressBook, Config, Event, Gate, ResolveId, Stats,
    blackhole::BlackHoles,
    census::Census,
    conn::{Conn, Peer, Phase, Timer},
    dial::{Dialing, Ended},
    expected::Expectations,
    hosts::AcceptRates,
    observed::Observed,
    resolve::Question,
    scopes::Scopes,
    slot::Slot,
    worth::Worth,
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    vec::Vec,
};
use core::net::IpAddr;
use libp2p_proto_core::{ConnectionId, DialId, Instant, Multiaddr, PeerId, Rng, StreamId, Timers};
use libp2p_proto_stream_protocol::{Fact, Host as _, SpecEntry, SpecId, SpecTable, ToConnection};
use smallvec::SmallVec;

/// Which transports the adapter dials.
pub(crate) type Transport = fn(&Multiaddr) -> bool;

pub(crate) struct Core {
    pub(crate) local: PeerId,
    /// Makes the dice of connections.
    pub(crate) dice: Rng,
    /// The protocol whose streams become links to relayed addresses.
    pub(crate) carrier: Option<u8>,
    /// Links that it is to be asked for.
    pub(crate) wanted_links: VecDeque<ConnectionId>,
    pub(crate) config: Config,
    pub(crate) gate: Gate,
    pub(crate) specs: Arc<SpecTable>,
    /// Specs whose inbound limit differs from the table by now.
    pub(crate) inbound: SmallVec<[(SpecId, u16); 2]>,
    /// Of them, those that were not told to connections and protocols.
    pub(crate) inbound_changed: BTreeSet<SpecId>,
    pub(crate) transports: Vec<Transport>,
    pub(crate) conns: BTreeMap<ConnectionId, Conn>,
    /// Connections that protocols keep without a stream, and which protocols.
    pub(crate) kept: BTreeSet<(ConnectionId, u8)>,
    pub(crate) census: Census,
    pub(crate) rates: AcceptRates,
    pub(crate) peers: BTreeMap<PeerId, Peer>,
    pub(crate) worth: Worth,
    pub(crate) slots: BTreeMap<StreamId, Slot>,
    pub(crate) scopes: Scopes,
    pub(crate) dials: BTreeMap<DialId, Dialing>,
    /// Dials that wait for a socket.
    pub(crate) starved: BTreeSet<DialId>,
    /// Dials that failed, to be told.
    pub(crate) ended: VecDeque<Ended>,
    pub(crate) questions: BTreeMap<ResolveId, Question>,
    pub(crate) black_holes: BlackHoles,
    pub(crate) book: AddressBook,
    pub(crate) listening: BTreeSet<Multiaddr>,
    /// Addresses where a listener came up or went down, to be told.
    pub(crate) listening_changed: BTreeSet<Multiaddr>,
    pub(crate) observed: Observed,
    pub(crate) expectations: Expectations,
    pub(crate) timers: Timers<Timer>,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) events: VecDeque<Event>,
    /// Facts for all protocols but the named one.
    pub(crate) facts: VecDeque<(Option<u8>, Fact)>,
    pub(crate) last_trim: Option<Instant>,
    pub(crate) next_conn: u64,
    pub(crate) next_dial: u64,
    pub(crate) next_query: u64,
    pub(crate) now: Instant,
    pub(crate) stats: Stats,
    pub(crate) closing: bool,
}

impl Core {
    pub(crate) fn new(local: PeerId, config: Config, specs: SpecTable, dice: Rng) -> Self {
        let carries = |(_, entry): (SpecId, &SpecEntry)| entry.spec.carries_links.then_some(entry.protocol);
        let carrier = specs.iter().find_map(carries);
        Self {
            local,
            dice,
            carrier,
            wanted_links: VecDeque::new(),
            gate: config.gate.clone(),
            specs: Arc::new(specs),
            inbound: SmallVec::new(),
            inbound_changed: BTreeSet::new(),
            transports: alloc::vec![|addr| addr.socket_tcp().is_some() && addr.components().count() == 2],
            conns: BTreeMap::new(),
            kept: BTreeSet::new(),
            census: Census::default(),
            rates: AcceptRates::default(),
            peers: BTreeMap::new(),
            worth: Worth::default(),
            slots: BTreeMap::new(),
            scopes: Scopes::new(config.scopes),
            dials: BTreeMap::new(),
            starved: BTreeSet::new(),
            ended: VecDeque::new(),
            questions: BTreeMap::new(),
            black_holes: BlackHoles::new(config.black_hole_window, config.black_hole_successes),
            book: AddressBook::new(config.book),
            listening: BTreeSet::new(),
            listening_changed: BTreeSet::new(),
            observed: Observed::default(),
            expectations: Expectations::default(),
            timers: Timers::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            facts: VecDeque::new(),
            last_trim: None,
            next_conn: 1,
            next_dial: 1,
            next_query: 1,
            now: Instant::ZERO,
            stats: Stats::default(),
            closing: false,
            config,
        }
    }

    /// Time never runs back.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    pub(crate) fn order_to(&mut self, conn: ConnectionId, message: ToConnection) {
        let (conn, message) = self.by_link(conn, message);
        self.actions.push_back(Action::Order { conn, message });
    }

    /// Whether the application has room for an event that must not be lost.
    pub(crate) fn has_event_room(&self) -> bool {
        self.events.len() < self.config.max_events
    }

    // ── connections and their count: nobody else touches either ──

    pub(crate) fn add_conn(&mut self, conn: Conn, deadline: Instant) -> ConnectionId {
        let id = ConnectionId::new(self.next_conn);
        self.next_conn = self.next_conn.saturating_add(1);
        self.census.enter(id, &conn);
        self.conns.insert(id, conn);
        self.timers.set(Timer::Phase(id), deadline);
        id
    }

    /// Changes what decides about a connection's place.
    pub(crate) fn change_conn(&mut self, id: ConnectionId, change: impl FnOnce(&mut Conn)) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let held_socket = holds_dial_socket(conn);
        self.census.leave(id, conn);
        change(conn);
        self.census.enter(id, conn);
        let freed = held_socket && !holds_dial_socket(conn);
        if freed {
            self.feed_starved();
        }
    }

    pub(crate) fn set_phase(&mut self, id: ConnectionId, phase: Phase) {
        self.change_conn(id, |conn| conn.phase = phase);
    }

    pub(crate) fn remove_conn(&mut self, id: ConnectionId) -> Option<Conn> {
        for timer in [Timer::Phase(id), Timer::Idle(id), Timer::Redundant(id)] {
            self.timers.clear(timer);
        }
        let conn = self.conns.remove(&id)?;
        while let Some(kept) = self.kept.range((id, 0)..=(id, u8::MAX)).next().copied() {
            self.kept.remove(&kept);
        }
        self.census.leave(id, &conn);
        if holds_dial_socket(&conn) {
            self.feed_starved();
        }
        Some(conn)
    }

    /// A socket is free: the dial that waits longest may have it.
    fn feed_starved(&mut self) {
        if let Some(dial) = self.starved.pop_first() {
            self.timers.set(Timer::Dial(dial), self.now);
        }
    }

    // ── facts ──

    /// What the swarm itself learns from a fact, and what follows from it.
    pub(crate) fn learn(&mut self, fact: &Fact) -> Option<Fact> {
        match fact {
            Fact::PeerProtocols { peer, protocols } => {
                if let Some(known) = self.peers.get_mut(peer) {
                    known.protocols = Some(protocols.clone());
                }
            }
            Fact::PeerAddresses {
                peer,
                addrs,
                certified,
            } => self.book.claim(self.now, *peer, addrs, *certified),
            Fact::ObservedAddress { addr, by, from } => {
                let believed =
                    self.saw_a_listener(*by, from) && self.observed.claim(addr, from, self.config.observers);
                return believed.then(|| Fact::ExternalAddress {
                    addr: addr.clone(),
                    confirmed: false,
                });
            }
            _ => {}
        }
        None
    }

    /// Whether the observer's connection is one to an address where we listen.
    fn saw_a_listener(&self, by: PeerId, from: &Multiaddr) -> bool {
        self.connections(by).iter().any(|conn| {
            self.conns.get(conn).is_some_and(|conn| {
                let local = conn.info.local.as_ref().and_then(Multiaddr::socket_tcp);
                conn.info.remote == *from
                    && local.is_some_and(|local| self.listening.iter().any(|at| takes(at, local)))
            })
        })
    }
}

/// Whether a connection counts in `max_pending_outbound`.
fn holds_dial_socket(conn: &Conn) -> bool {
    !conn.is_inbound() && matches!(conn.phase, Phase::Connecting | Phase::Upgrading | Phase::Admitted)
}

/// Whether a listener at this address takes what comes to a socket of ours: above TCP they may differ, and a listener may stand at all addresses of its kind.
fn takes(listener: &Multiaddr, (ip, port): (IpAddr, u16)) -> bool {
    listener.socket_tcp().is_some_and(|(at, listens)| {
        let everywhere = at.is_unspecified() && at.is_ipv4() == ip.is_ipv4();
        listens == port && (everywhere || at.to_canonical() == ip.to_canonical())
    })
}
