//! The machine: what the outside reports, what it must do, and the drive between.

use crate::{
    Action, AddressBook, Config, Denied, Error, Event, Gate, Record, ResolveId, Source, Stats,
    dial::Question,
    gate::{AcceptRates, host_of},
    observed::Observed,
    state::{Conn, Dialing, Phase, REDUNDANT_AFTER, Slot, Timer},
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    vec::Vec,
};
use core::fmt;
use libp2p_proto_core::{
    ConnectionId, Deadline, DialId, Fault, Instant, Multiaddr, PeerId, ProtocolName, Rng, Side, StreamId,
    Timers, UnixTime,
};
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::{
    AttemptError, Closed, ConnectionInfo, Context, Dial, DialOutcome, DialRefused, Fact, FromConnection,
    Host as _, Input, LinkError, Protocols, Seat, SpecEntry, SpecId, SpecTable, ToConnection,
};
use smallvec::SmallVec;

/// Which transports the adapter dials.
type Transport = fn(&Multiaddr) -> bool;

/// What is known of a connected peer.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// Established connections, the preferred one first.
    pub(crate) conns: SmallVec<[ConnectionId; 2]>,
    pub(crate) protocols: Option<Arc<[ProtocolName]>>,
}

/// Everything but the dice: what a protocol reaches through its context.
pub(crate) struct Core {
    pub(crate) local: PeerId,
    pub(crate) config: Config,
    pub(crate) gate: Gate,
    pub(crate) specs: Arc<SpecTable>,
    pub(crate) inbound: SmallVec<[(SpecId, u16); 2]>,
    pub(crate) transports: Vec<Transport>,
    pub(crate) conns: BTreeMap<ConnectionId, Conn>,
    pub(crate) peers: BTreeMap<PeerId, Peer>,
    pub(crate) slots: BTreeMap<StreamId, Slot>,
    pub(crate) dials: BTreeMap<DialId, Dialing>,
    pub(crate) questions: BTreeMap<ResolveId, Question>,
    pub(crate) book: AddressBook,
    pub(crate) listening: BTreeSet<Multiaddr>,
    observed: Observed,
    rates: AcceptRates,
    protected: BTreeSet<PeerId>,
    pub(crate) timers: Timers<Timer>,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) events: VecDeque<Event>,
    /// Inputs for one protocol's neighbours: all but the named one.
    pub(crate) inputs: VecDeque<(Option<u8>, Input)>,
    pub(crate) facts_waiting: usize,
    pub(crate) max_facts: usize,
    pub(crate) max_dials: usize,
    pub(crate) max_streams: usize,
    pub(crate) next_conn: u64,
    pub(crate) next_dial: u64,
    pub(crate) next_query: u64,
    pub(crate) now: Instant,
    pub(crate) stats: Stats,
    closing: bool,
}

/// One libp2p peer, without I/O. See the crate's page for the calling contract.
pub struct Swarm {
    core: Core,
    identity: Identity,
    dice: Rng,
    protocol_dice: Vec<Rng>,
    /// News that was reported and not processed.
    news: VecDeque<(ConnectionId, FromConnection)>,
    seq: u64,
}

impl Conn {
    pub(crate) fn new(phase: Phase, info: ConnectionInfo, peer: Option<PeerId>) -> Self {
        Self {
            phase,
            host: host_of(&info.remote),
            info,
            peer,
            opened: 0,
            streams: 0,
            keeping: 0,
            ungranted: 0,
            to_grant: Vec::new(),
            verdict: None,
        }
    }

    fn is_inbound(&self) -> bool {
        self.info.dial.is_none()
    }
}

impl Core {
    /// Counts a stream in or out, and watches for idleness.
    pub(crate) fn count_stream(&mut self, conn: ConnectionId, keeps: bool, up: bool) {
        let Some(entry) = self.conns.get_mut(&conn) else {
            return;
        };
        let change = |count: u32, by: bool| match (by, up) {
            (true, true) => count.saturating_add(1),
            (true, false) => count.saturating_sub(1),
            (false, _) => count,
        };
        entry.streams = change(entry.streams, true);
        entry.keeping = change(entry.keeping, keeps);
        self.watch_idle(conn);
    }

    /// Sets or clears the idle deadline of a connection.
    fn watch_idle(&mut self, conn: ConnectionId) {
        let Some(entry) = self.conns.get(&conn) else {
            return;
        };
        let protected = entry.peer.is_some_and(|peer| self.protected.contains(&peer));
        let idle = entry.phase == Phase::Established && entry.keeping == 0 && !protected;
        let at = self
            .config
            .idle_timeout
            .filter(|_| idle)
            .map(|timeout| self.now + timeout);
        self.timers.set_or_clear(Timer::Idle(conn), at);
    }

    pub(crate) fn close_connection(&mut self, conn: ConnectionId) {
        let Some(entry) = self.conns.get_mut(&conn) else {
            return;
        };
        match entry.phase {
            Phase::Connecting => {
                if let Some(dial) = entry.info.dial {
                    let addr = entry.info.remote.clone();
                    self.conns.remove(&conn);
                    self.actions.push_back(Action::CancelDial { conn });
                    self.attempt_failed(self.now, conn, dial, &addr, AttemptError::Cancelled);
                }
            }
            Phase::Closing => {}
            _ => {
                entry.phase = Phase::Closing;
                self.order_to(conn, ToConnection::Close);
            }
        }
    }

    /// What the swarm itself learns from a fact.
    pub(crate) fn learn(&mut self, fact: &Fact) {
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
                let through_listener = self.connections(*by).iter().any(|conn| {
                    let info = self.conns.get(conn).map(|conn| &conn.info);
                    info.is_some_and(|info| {
                        info.remote == *from
                            && info
                                .local
                                .as_ref()
                                .is_some_and(|local| self.listening.contains(local))
                    })
                });
                if through_listener && self.observed.claim(addr, from, self.config.observers) {
                    let candidate = Fact::ExternalAddress {
                        addr: addr.clone(),
                        confirmed: false,
                    };
                    self.facts_waiting = self.facts_waiting.saturating_add(1);
                    self.inputs.push_back((None, Input::Fact(candidate)));
                }
            }
            _ => {}
        }
    }

    fn count(&self, phase: impl Fn(&Conn) -> bool) -> usize {
        self.conns.values().filter(|conn| phase(conn)).count()
    }

    /// The limits on inbound connections, cheapest first.
    fn check_accept(&mut self, now: Instant, remote: &Multiaddr) -> Result<(), Denied> {
        if self.closing {
            return Err(Denied("closing"));
        }
        self.gate.check_addr(remote)?;
        if self.gate.is_exempt(remote) {
            return Ok(());
        }
        let host = host_of(remote);
        if !self.rates.admit(
            now,
            host,
            self.config.accepts_per_second,
            self.config.max_rated_ips,
        ) {
            return Err(Denied("rate"));
        }
        let pending = |conn: &Conn| conn.is_inbound() && conn.phase != Phase::Established;
        let config = &self.config;
        let checks = [
            (
                "max-connections",
                self.count(|conn| !matches!(conn.phase, Phase::Connecting)),
                config.max_connections,
            ),
            ("max-inbound", self.count(Conn::is_inbound), config.max_inbound),
            (
                "max-pending-inbound",
                self.count(pending),
                config.max_pending_inbound,
            ),
            (
                "max-per-ip",
                self.count(|conn| conn.host == host),
                config.max_per_ip,
            ),
            (
                "max-pending-per-ip",
                self.count(|conn| pending(conn) && conn.host == host),
                config.max_pending_per_ip,
            ),
        ];
        checks
            .iter()
            .find(|(_, count, max)| count >= max)
            .map_or(Ok(()), |(name, ..)| Err(Denied(name)))
    }

    /// The peer has proved who it is: is it welcome?
    fn check_peer(&mut self, conn: ConnectionId, peer: PeerId) -> Result<(), AttemptError> {
        if peer == self.local {
            return Err(AttemptError::SelfDial);
        }
        let entry = self.conns.get(&conn).ok_or(AttemptError::Cancelled)?;
        if let Some(expected) = entry.peer.filter(|expected| *expected != peer) {
            return Err(AttemptError::WrongPeer { expected, got: peer });
        }
        self.gate
            .check_peer(&peer)
            .map_err(|denied| AttemptError::Denied(denied.0))?;
        let established = self.count(|conn| conn.phase == Phase::Established);
        if established >= self.config.max_connections && !self.protected.contains(&peer) {
            return Err(AttemptError::Denied("max-connections"));
        }
        // A peer that comes again may have lost its old connection without our knowing: the oldest makes room.
        let conns = self.connections(peer);
        if conns.len() >= self.config.max_per_peer {
            match conns.iter().min() {
                Some(oldest) => self.close_connection(*oldest),
                None => return Err(AttemptError::Denied("max-per-peer")),
            }
        }
        Ok(())
    }

    /// Puts the connections of a peer in order: direct before limited, then the one that the larger peer id dialed, then the oldest.
    fn prefer(&mut self, peer: PeerId) {
        let ours_is_larger = self.local > peer;
        let conns = &self.conns;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.conns.sort_by_key(|id| {
                let info = conns.get(id).map(|conn| &conn.info);
                let dialed_by_larger = info.is_some_and(|info| info.side.is_dialer() == ours_is_larger);
                (info.is_some_and(|info| info.limited), !dialed_by_larger, *id)
            });
        }
    }
}

impl Swarm {
    /// A peer with this identity, these limits, and these protocols, which must be lent in the same order to every call. `seed` makes all its dice.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn new(
        identity: Identity,
        config: Config,
        seed: [u8; 32],
        protocols: Protocols<'_, '_>,
    ) -> Result<Self, Error> {
        config.validate()?;
        let dice = Rng::from_seed(seed);
        let (specs, labels) = collect(protocols, config.streams.unread)?;
        let protocol_dice = labels.iter().map(|label| dice.fork(label, 0)).collect();
        let core = Core {
            local: identity.peer_id(),
            gate: config.gate.clone(),
            specs: Arc::new(specs),
            inbound: SmallVec::new(),
            transports: alloc::vec![|addr| addr.socket_tcp().is_some() && addr.components().count() == 2],
            conns: BTreeMap::new(),
            peers: BTreeMap::new(),
            slots: BTreeMap::new(),
            dials: BTreeMap::new(),
            questions: BTreeMap::new(),
            book: AddressBook::new(config.book),
            listening: BTreeSet::new(),
            observed: Observed::default(),
            rates: AcceptRates::default(),
            protected: BTreeSet::new(),
            timers: Timers::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            inputs: VecDeque::new(),
            facts_waiting: 0,
            max_facts: config.max_facts,
            max_dials: config.max_dials,
            max_streams: config.streams.outbound.saturating_add(config.streams.inbound),
            next_conn: 1,
            next_dial: 1,
            next_query: 1,
            now: Instant::ZERO,
            stats: Stats::default(),
            closing: false,
            config,
        };
        Ok(Self {
            core,
            identity,
            dice,
            protocol_dice,
            news: VecDeque::new(),
            seq: 0,
        })
    }

    // ── what the outside reports ──

    /// A link came in. The seat is for the connection machine; a refusal costs the remote its link and us nothing.
    ///
    /// # Errors
    ///
    /// [`Denied`] names the limit or rule.
    pub fn handle_accepted(
        &mut self,
        now: Instant,
        local: Option<Multiaddr>,
        remote: Multiaddr,
    ) -> Result<Seat, Denied> {
        self.tick(now);
        if let Err(denied) = self.core.check_accept(now, &remote) {
            self.core.stats.refused = self.core.stats.refused.saturating_add(1);
            return Err(denied);
        }
        let conn = ConnectionId::new(self.core.next_conn);
        self.core.next_conn = self.core.next_conn.saturating_add(1);
        let info = ConnectionInfo {
            side: Side::Listener,
            local,
            limited: remote.is_relayed(),
            remote,
            dial: None,
        };
        self.core
            .conns
            .insert(conn, Conn::new(Phase::Upgrading, info, None));
        let upgrade_by = now + self.core.config.inbound_upgrade;
        self.seat(conn, upgrade_by).ok_or(Denied("gone"))
    }

    /// A link that was ordered with [`Action::Dial`] stands.
    ///
    /// # Errors
    ///
    /// [`Denied`] if it is no longer wanted.
    pub fn handle_dialed(
        &mut self,
        now: Instant,
        conn: ConnectionId,
        local: Option<Multiaddr>,
        remote: Multiaddr,
    ) -> Result<Seat, Denied> {
        self.tick(now);
        let entry = self
            .core
            .conns
            .get_mut(&conn)
            .filter(|entry| entry.phase == Phase::Connecting);
        let entry = entry.ok_or(Denied("cancelled"))?;
        entry.phase = Phase::Upgrading;
        entry.info.local = local;
        entry.info.remote = remote;
        if let Some(dial) = entry.info.dial {
            self.core.hold_dial(now, dial);
        }
        let upgrade_by = now + self.core.config.outbound_upgrade;
        self.seat(conn, upgrade_by).ok_or(Denied("gone"))
    }

    /// A link that was ordered with [`Action::Dial`] could not be connected.
    pub fn handle_dial_failed(&mut self, now: Instant, conn: ConnectionId, error: AttemptError) {
        self.tick(now);
        let connecting = self
            .core
            .conns
            .get(&conn)
            .filter(|entry| entry.phase == Phase::Connecting);
        if let Some((dial, addr)) =
            connecting.and_then(|entry| Some((entry.info.dial?, entry.info.remote.clone())))
        {
            self.core.conns.remove(&conn);
            self.core.attempt_failed(now, conn, dial, &addr, error);
        }
    }

    /// A resolver answered [`Action::Resolve`], or failed for a cause of one word.
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        query: ResolveId,
        answer: Result<Vec<Record>, &'static str>,
    ) {
        self.tick(now);
        self.core.resolved(now, query, answer);
    }

    /// The adapter listens at this concrete address, or no longer does.
    pub fn handle_listening(&mut self, now: Instant, addr: Multiaddr, up: bool) {
        self.tick(now);
        let changed = if up {
            self.core.listening.insert(addr.clone())
        } else {
            self.core.listening.remove(&addr)
        };
        if changed {
            self.core.facts_waiting = self.core.facts_waiting.saturating_add(1);
            self.core
                .inputs
                .push_back((None, Input::Fact(Fact::ListenAddress { addr, up })));
        }
    }

    /// News of a connection; processed by [`drive`](Self::drive).
    pub fn handle_message(&mut self, now: Instant, conn: ConnectionId, message: FromConnection) {
        self.tick(now);
        self.news.push_back((conn, message));
    }

    /// Delivers inputs and due timeouts to the lent protocols, about `budget` of them. `true`: call again.
    pub fn drive(
        &mut self,
        now: Instant,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        budget: usize,
    ) -> bool {
        self.tick(now);
        if protocols.len() != self.protocol_dice.len() {
            return false;
        }
        for _ in 0..budget.max(1) {
            self.seq = self.seq.saturating_add(1);
            if !self.step(unix, protocols) {
                return false;
            }
        }
        true
    }

    /// One unit of work. `false`: nothing to do.
    fn step(&mut self, unix: UnixTime, protocols: Protocols<'_, '_>) -> bool {
        if let Some((teller, input)) = self.core.inputs.pop_front() {
            if matches!(input, Input::Fact(_)) {
                self.core.facts_waiting = self.core.facts_waiting.saturating_sub(1);
            }
            for index in 0..protocols.len() {
                let place = u8::try_from(index).unwrap_or(u8::MAX);
                if teller != Some(place) {
                    self.deliver(unix, protocols, place, input.clone());
                }
            }
            return true;
        }
        let now = self.core.now;
        if self.core.events.len() < self.core.config.max_events {
            if let Some((conn, message)) = self.news.pop_front() {
                self.process(unix, protocols, conn, message);
                return true;
            }
        }
        if let Some(timer) = self.core.timers.pop_due(now) {
            self.fire(now, timer);
            return true;
        }
        for index in 0..protocols.len() {
            let due = protocols.get(index).and_then(|protocol| protocol.poll_timeout());
            if due.is_some_and(|deadline| deadline.is_due(now)) {
                self.deliver(
                    unix,
                    protocols,
                    u8::try_from(index).unwrap_or(u8::MAX),
                    Input::Timeout,
                );
                return true;
            }
        }
        false
    }

    // ── what the outside must do ──

    /// The next thing that the adapter must do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.core.actions.pop_front()
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// When to drive again without news.
    pub fn poll_timeout(&self, protocols: Protocols<'_, '_>) -> Option<Deadline> {
        let readable = self.core.events.len() < self.core.config.max_events;
        if !self.core.inputs.is_empty() || (readable && !self.news.is_empty()) {
            return Some(Deadline::now("input"));
        }
        let own = self
            .core
            .timers
            .next()
            .map(|(at, timer)| Deadline::new(at, timer.why()));
        protocols
            .iter()
            .filter_map(|protocol| protocol.poll_timeout())
            .fold(own, |first, next| Deadline::earliest(first, Some(next)))
    }

    // ── commands and getters ──

    /// Dials; [`Event::Connected`] or [`Event::DialFailed`] follows, unless a connection stands.
    ///
    /// # Errors
    ///
    /// See [`DialRefused`].
    pub fn dial(&mut self, now: Instant, dial: Dial) -> Result<DialOutcome, DialRefused> {
        self.tick(now);
        self.core.begin_dial(now, &dial)
    }

    /// Ends a dial; [`Event::DialFailed`] follows.
    pub fn cancel_dial(&mut self, dial: DialId) {
        self.core
            .end_dial(dial, Some(libp2p_proto_stream_protocol::DialError::Cancelled));
    }

    /// Closes a connection in an orderly way.
    pub fn disconnect(&mut self, conn: ConnectionId) {
        self.core.close_connection(conn);
    }

    /// Closes every connection in an orderly way and refuses new ones.
    pub fn close(&mut self, now: Instant) {
        self.tick(now);
        self.core.closing = true;
        let dials: Vec<_> = self.core.dials.keys().copied().collect();
        for dial in dials {
            self.cancel_dial(dial);
        }
        let conns: Vec<_> = self.core.conns.keys().copied().collect();
        for conn in conns {
            self.core.close_connection(conn);
        }
    }

    /// Whether no connection and no attempt is left.
    pub fn is_idle(&self) -> bool {
        self.core.conns.is_empty() && self.news.is_empty()
    }

    /// Protects a peer: its connections are never closed as idle, and admitted beyond the limit. `false` takes that back.
    pub fn protect(&mut self, peer: PeerId, protect: bool) {
        let changed = if protect {
            self.core.protected.insert(peer)
        } else {
            self.core.protected.remove(&peer)
        };
        if changed {
            for conn in self.core.connections(peer) {
                self.core.watch_idle(conn);
            }
        }
    }

    /// Lets the adapter dial more transports than TCP: `transport` says whether it can dial an address.
    pub fn add_transport(&mut self, transport: fn(&Multiaddr) -> bool) {
        self.core.transports.push(transport);
    }

    /// Whom to keep out, to be changed at any time.
    pub fn gate_mut(&mut self) -> &mut Gate {
        &mut self.core.gate
    }

    /// Addresses of peers, to be filled, saved and restored.
    pub fn book_mut(&mut self) -> &mut AddressBook {
        &mut self.core.book
    }

    /// Who we are.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Our peer id.
    pub const fn local_peer_id(&self) -> PeerId {
        self.core.local
    }

    /// The established connections to a peer, the preferred one first.
    pub fn connections(&self, peer: PeerId) -> SmallVec<[ConnectionId; 2]> {
        self.core.connections(peer)
    }

    /// How a connection came about.
    pub fn connection_info(&self, conn: ConnectionId) -> Option<&ConnectionInfo> {
        self.core.connection_info(conn)
    }

    /// The peers that are connected.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.core.peers.keys().copied()
    }

    /// Where we listen.
    pub fn listen_addresses(&self) -> impl Iterator<Item = &Multiaddr> {
        self.core.listening.iter()
    }

    /// Which protocols keep a connection open, with how many streams.
    pub fn holding(&self, conn: ConnectionId) -> Vec<(ProtocolName, u32)> {
        let mut held: BTreeMap<ProtocolName, u32> = BTreeMap::new();
        for (_, slot) in self
            .core
            .slots
            .iter()
            .filter(|(id, slot)| id.conn == conn && !slot.gone)
        {
            if let Some(entry) = self
                .core
                .specs
                .get(slot.spec)
                .filter(|entry| entry.spec.keeps_alive)
            {
                let count = held.entry(entry.spec.name.clone()).or_default();
                *count = count.saturating_add(1);
            }
        }
        held.into_iter().collect()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        let core = &self.core;
        Stats {
            established: core.count(|conn| conn.phase == Phase::Established),
            established_inbound: core.count(|conn| conn.phase == Phase::Established && conn.is_inbound()),
            pending_inbound: core.count(|conn| conn.phase != Phase::Established && conn.is_inbound()),
            pending_outbound: core.count(|conn| conn.phase != Phase::Established && !conn.is_inbound()),
            streams: core.slots.len(),
            dials: core.dials.len(),
            ..core.stats
        }
    }

    // ── the parts ──

    /// Time never runs back.
    fn tick(&mut self, now: Instant) {
        self.core.now = self.core.now.max(now);
    }

    fn seat(&self, conn: ConnectionId, upgrade_by: Instant) -> Option<Seat> {
        let entry = self.core.conns.get(&conn)?;
        let mut seat = Seat::new(
            conn,
            entry.info.side,
            self.dice.fork_seed("connection", conn.get()),
        );
        seat.expect = entry.peer;
        seat.upgrade_by = upgrade_by;
        seat.limited = entry.info.limited;
        seat.specs = self.core.specs.clone();
        seat.inbound.clone_from(&self.core.inbound);
        seat.limits = self.core.config.streams;
        Some(seat)
    }

    /// Gives one input to one protocol.
    fn deliver(&mut self, unix: UnixTime, protocols: Protocols<'_, '_>, place: u8, input: Input) {
        let (now, seq, local) = (self.core.now, self.seq, self.core.local);
        let index = usize::from(place);
        if let (Some(protocol), Some(dice)) = (protocols.get_mut(index), self.protocol_dice.get_mut(index)) {
            let mut cx = Context::new(now, unix, seq, local, dice, &mut self.core, place);
            protocol.handle(&mut cx, input);
        }
    }

    fn deliver_all(&mut self, unix: UnixTime, protocols: Protocols<'_, '_>, input: &Input) {
        for index in 0..protocols.len() {
            self.deliver(
                unix,
                protocols,
                u8::try_from(index).unwrap_or(u8::MAX),
                input.clone(),
            );
        }
    }

    fn fire(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Dial(dial) => self.core.advance_dial(now, dial),
            Timer::Idle(conn) => self.core.close_connection(conn),
            Timer::Redundant(conn) => {
                let Some(entry) = self.core.conns.get(&conn) else {
                    return;
                };
                let second = entry
                    .peer
                    .is_some_and(|peer| self.core.connections(peer).first() != Some(&conn));
                if second && entry.streams == 0 && entry.info.side.is_dialer() {
                    self.core.close_connection(conn);
                } else if second && entry.info.side.is_dialer() {
                    self.core
                        .timers
                        .set(Timer::Redundant(conn), now + REDUNDANT_AFTER);
                }
            }
        }
    }

    fn process(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        conn: ConnectionId,
        message: FromConnection,
    ) {
        match message {
            FromConnection::Authenticated { peer } => self.authenticated(conn, peer),
            FromConnection::Established { security, muxer } => {
                self.established(unix, protocols, conn, security, muxer);
            }
            FromConnection::Disconnected { error } => self.disconnected(unix, protocols, conn, error),
            FromConnection::Opened { stream, spec, name } => self.opened(unix, protocols, stream, spec, name),
            FromConnection::Frame { stream, data } => {
                let Some(place) = self.core.slots.get(&stream).map(|slot| slot.protocol) else {
                    return;
                };
                self.core.stats.frames_in = self.core.stats.frames_in.saturating_add(1);
                let bytes = data.len();
                self.deliver(unix, protocols, place, Input::Frame { stream, data });
                self.core.delivered(stream, bytes);
            }
            FromConnection::Sent { stream, bytes } => {
                let Some(slot) = self.core.slots.get_mut(&stream) else {
                    return;
                };
                slot.unsent = slot.unsent.saturating_sub(bytes);
                self.unblock(unix, protocols, stream);
            }
            FromConnection::Flushed { stream, frames } => {
                if let Some(place) = self.core.slots.get(&stream).map(|slot| slot.protocol) {
                    self.deliver(unix, protocols, place, Input::Flushed { stream, frames });
                }
            }
            FromConnection::Finished { stream } => {
                if let Some(place) = self.core.slots.get(&stream).map(|slot| slot.protocol) {
                    self.deliver(unix, protocols, place, Input::Finished { stream });
                }
            }
            FromConnection::Closed { stream, reason } => self.stream_closed(unix, protocols, stream, reason),
        }
    }

    /// A blocked writer may go on once at least half of its capacity is free.
    fn unblock(&mut self, unix: UnixTime, protocols: Protocols<'_, '_>, stream: StreamId) {
        let Some(slot) = self.core.slots.get_mut(&stream) else {
            return;
        };
        let capacity = self
            .core
            .specs
            .get(slot.spec)
            .map_or(0, |entry| entry.spec.send_capacity);
        if slot.blocked && slot.unsent <= capacity / 2 && (slot.opened || slot.lazy) {
            slot.blocked = false;
            let place = slot.protocol;
            self.deliver(unix, protocols, place, Input::Writable { stream });
        }
    }

    fn authenticated(&mut self, conn: ConnectionId, peer: PeerId) {
        match self.core.check_peer(conn, peer) {
            Ok(()) => {
                if let Some(entry) = self
                    .core
                    .conns
                    .get_mut(&conn)
                    .filter(|entry| entry.phase == Phase::Upgrading)
                {
                    entry.phase = Phase::Admitted;
                    entry.peer = Some(peer);
                    self.core.order_to(conn, ToConnection::Admit);
                }
            }
            Err(error) => {
                if let Some(entry) = self.core.conns.get_mut(&conn) {
                    entry.verdict = Some(error);
                    entry.phase = Phase::Closing;
                    self.core.order_to(conn, ToConnection::Close);
                }
            }
        }
    }

    fn established(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        conn: ConnectionId,
        security: ProtocolName,
        muxer: ProtocolName,
    ) {
        let now = self.core.now;
        let entry = self
            .core
            .conns
            .get_mut(&conn)
            .filter(|entry| entry.phase == Phase::Admitted);
        let Some((entry, peer)) = entry.and_then(|entry| entry.peer.map(|peer| (entry, peer))) else {
            return;
        };
        entry.phase = Phase::Established;
        let info = entry.info.clone();
        let known = self.core.peers.entry(peer).or_default();
        known.conns.push(conn);
        let first = known.conns.len() == 1;
        self.core.prefer(peer);
        if !first {
            for conn in self.core.connections(peer) {
                self.core
                    .timers
                    .set(Timer::Redundant(conn), now + REDUNDANT_AFTER);
            }
        }
        if let Some(dial) = info.dial {
            self.core.book.add(now, peer, info.remote.clone(), Source::Dialed);
            self.core.book.worked(&peer, &info.remote);
            self.core.dial_succeeded(conn, dial);
        }
        self.core.watch_idle(conn);
        self.core.events.push_back(Event::Connected {
            peer,
            conn,
            first,
            info: info.clone(),
            security,
            muxer,
        });
        self.deliver_all(
            unix,
            protocols,
            &Input::Connected {
                peer,
                conn,
                first,
                info,
            },
        );
    }

    fn disconnected(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        conn: ConnectionId,
        error: Option<LinkError>,
    ) {
        // The connection has closed its streams; whatever it did not know of is closed here.
        let range = StreamId::ours(conn, 0)..=StreamId::theirs(conn, u64::MAX);
        let left: Vec<_> = self.core.slots.range(range).map(|(id, _)| *id).collect();
        for stream in left {
            self.stream_closed(unix, protocols, stream, Closed::ConnectionLost);
        }
        for timer in [Timer::Idle(conn), Timer::Redundant(conn)] {
            self.core.timers.clear(timer);
        }
        let Some(entry) = self.core.conns.get(&conn) else {
            return;
        };
        let peer = entry.peer.filter(|peer| {
            self.core
                .peers
                .get(peer)
                .is_some_and(|known| known.conns.contains(&conn))
        });
        let (info, verdict) = (entry.info.clone(), entry.verdict);
        let Some(peer) = peer else {
            self.core.conns.remove(&conn);
            self.upgrade_failed(conn, &info, verdict, error);
            return;
        };
        let last = self.core.peers.get_mut(&peer).is_some_and(|known| {
            known.conns.retain(|known| *known != conn);
            known.conns.is_empty()
        });
        if last {
            self.core.peers.remove(&peer);
            self.core.book.last_seen(self.core.now, &peer);
        }
        self.core.events.push_back(Event::Disconnected {
            peer,
            conn,
            last,
            error,
        });
        self.deliver_all(unix, protocols, &Input::Disconnected { peer, conn, last });
        self.core.conns.remove(&conn);
    }

    fn upgrade_failed(
        &mut self,
        conn: ConnectionId,
        info: &ConnectionInfo,
        verdict: Option<AttemptError>,
        error: Option<LinkError>,
    ) {
        let unexplained = LinkError {
            fault: Fault::Peer,
            code: "closed",
        };
        let upgrade = match error.unwrap_or(unexplained) {
            LinkError {
                code: "upgrade-timeout",
                ..
            } => AttemptError::TimedOut,
            LinkError {
                code: "self-dial", ..
            } => AttemptError::SelfDial,
            other => AttemptError::Upgrade(other),
        };
        if let Some(dial) = info.dial {
            let error = verdict.unwrap_or(upgrade);
            if error != AttemptError::Cancelled {
                self.core
                    .attempt_failed(self.core.now, conn, dial, &info.remote, error);
            }
        } else {
            let code = match verdict {
                Some(AttemptError::Denied(code)) => Some(code),
                Some(AttemptError::SelfDial) => Some("self-dial"),
                _ => None,
            };
            let denied = code.map(|code| LinkError {
                fault: Fault::Limit,
                code,
            });
            let error = denied.or(error).unwrap_or(unexplained);
            self.core.events.push_back(Event::IncomingFailed {
                remote: info.remote.clone(),
                error,
            });
        }
    }

    fn opened(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        stream: StreamId,
        spec: SpecId,
        name: ProtocolName,
    ) {
        let Some(entry) = self.core.specs.get(spec) else {
            return;
        };
        let (protocol, index, keeps, framing) = (
            entry.protocol,
            entry.index,
            entry.spec.keeps_alive,
            entry.spec.framing,
        );
        let conn = self
            .core
            .conns
            .get(&stream.conn)
            .filter(|conn| conn.phase == Phase::Established);
        let Some(peer) = conn.and_then(|conn| conn.peer) else {
            return;
        };
        if stream.is_inbound() {
            let slot = Slot {
                protocol,
                spec,
                proposals: SmallVec::new(),
                peer,
                opened: true,
                lazy: false,
                finished: false,
                unsent: 0,
                blocked: false,
                paused: false,
                ungranted: 0,
                framing,
                gone: false,
            };
            self.core.slots.insert(stream, slot);
            self.core.count_stream(stream.conn, keeps, true);
        } else if let Some(slot) = self.core.slots.get_mut(&stream) {
            slot.opened = true;
            slot.proposals = SmallVec::new();
            if slot.spec != spec {
                slot.spec = spec;
                slot.framing = framing;
            }
        } else {
            return;
        }
        self.deliver(
            unix,
            protocols,
            protocol,
            Input::Opened {
                stream,
                peer,
                spec: index,
                name,
            },
        );
        self.unblock(unix, protocols, stream);
    }

    fn stream_closed(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        stream: StreamId,
        reason: Closed,
    ) {
        let Some(slot) = self.core.slots.get_mut(&stream) else {
            return;
        };
        slot.gone = true;
        let (place, spec) = (slot.protocol, slot.spec);
        self.deliver(unix, protocols, place, Input::Closed { stream, reason });
        self.core.slots.remove(&stream);
        if let Some(conn) = self.core.conns.get_mut(&stream.conn) {
            conn.to_grant.retain(|known| *known != stream);
        }
        let keeps = self
            .core
            .specs
            .get(spec)
            .is_some_and(|entry| entry.spec.keeps_alive);
        self.core.count_stream(stream.conn, keeps, false);
    }
}

/// The table of all specs, and a label for each protocol's dice.
fn collect(
    protocols: Protocols<'_, '_>,
    unread: usize,
) -> Result<(SpecTable, Vec<alloc::string::String>), Error> {
    let mut entries: Vec<SpecEntry> = Vec::new();
    let mut labels = Vec::new();
    for (place, protocol) in protocols.iter().enumerate() {
        let place = u8::try_from(place).map_err(|_| Error::TooManyProtocols)?;
        let label = protocol
            .specs()
            .first()
            .map(|spec| spec.name.as_str())
            .unwrap_or_default();
        labels.push(label.into());
        for (index, spec) in protocol.specs().iter().enumerate() {
            use libp2p_proto_stream_protocol::Framing;
            let index = u8::try_from(index).map_err(|_| Error::TooManyProtocols)?;
            if entries.iter().any(|known| known.spec.name == spec.name) {
                return Err(Error::DuplicateName);
            }
            let frame = match spec.framing {
                Framing::Fixed { len } => len,
                Framing::LengthDelimited { max } | Framing::UntilEnd { max } | Framing::Held { max } => max,
                Framing::Raw => 0,
            };
            if frame > unread {
                return Err(Error::FrameOverBudget);
            }
            entries.push(SpecEntry {
                protocol: place,
                index,
                spec: spec.clone(),
            });
        }
    }
    if entries.len() > usize::from(u16::MAX) {
        return Err(Error::TooManyProtocols);
    }
    Ok((SpecTable::new(entries), labels))
}

impl fmt::Debug for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Swarm({}, {} connections)",
            self.core.local,
            self.core.conns.len()
        )
    }
}
