//! The machine, from outside: reports, actions, commands, getters.

use crate::{
    Action, AddressBook, Call, Config, Denied, Error, Event, Gate, Record, ResolveId, Stats, Watcher,
    conn::{Conn, Phase},
    core::Core,
    drive::Turns,
    news::News,
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    string::String,
    vec::Vec,
};
use core::fmt;
use libp2p_proto_core::{
    Component, ConnectionId, DialId, Instant, Multiaddr, PeerId, ProtocolName, Rng, Side,
};
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::{
    AttemptError, ConnectionInfo, Dial, DialError, DialOutcome, DialRefused, Framing, FromConnection,
    Host as _, Protocols, Seat, SpecEntry, SpecTable, Traffic,
};
use smallvec::SmallVec;

/// One libp2p peer, without I/O. See the crate's page for the calling contract.
pub struct Swarm {
    pub(crate) core: Core,
    identity: Identity,
    pub(crate) protocol_dice: Vec<Rng>,
    pub(crate) turns: Vec<Turns>,
    pub(crate) next_turn: usize,
    pub(crate) news: VecDeque<News>,
    /// News since protocols had their turn.
    pub(crate) news_streak: u32,
    pub(crate) seq: u64,
    pub(crate) watcher: Option<Box<dyn Watcher>>,
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
        let dice = Rng::from_seed(seed);
        Self::build(identity, config, dice, None, protocols)
    }

    /// A peer whose protocols have the dice of an earlier one, as its [`Watcher`] was told them: to repeat what that one did. Too few seeds are filled up with zeros.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn with_dice(
        identity: Identity,
        config: Config,
        seeds: &[[u8; 32]],
        protocols: Protocols<'_, '_>,
    ) -> Result<Self, Error> {
        Self::build(identity, config, Rng::from_seed([0; 32]), Some(seeds), protocols)
    }

    fn build(
        identity: Identity,
        config: Config,
        dice: Rng,
        seeds: Option<&[[u8; 32]]>,
        protocols: Protocols<'_, '_>,
    ) -> Result<Self, Error> {
        config.validate()?;
        let (specs, labels) = collect(protocols, config.streams.unread)?;
        let seed_of = |(place, label): (usize, &String)| match seeds {
            Some(seeds) => seeds.get(place).copied().unwrap_or_default(),
            None => dice.fork_seed(label, 0),
        };
        let protocol_seeds = labels.iter().enumerate().map(seed_of);
        Ok(Self {
            protocol_dice: protocol_seeds.map(Rng::from_seed).collect(),
            core: Core::new(identity.peer_id(), config, specs, dice),
            identity,
            turns: alloc::vec![Turns::default(); labels.len()],
            next_turn: 0,
            news: VecDeque::new(),
            news_streak: 0,
            seq: 0,
            watcher: None,
        })
    }

    // ── what the outside reports ──

    /// A link came in. The seat is for the connection machine; a refusal costs the remote its link and us nothing. A local address with `/ws` says that the link is a WebSocket.
    ///
    /// # Errors
    ///
    /// [`Denied`] names the limit or rule.
    pub fn handle_accepted(
        &mut self,
        now: Instant,
        local: Option<Multiaddr>,
        mut remote: Multiaddr,
    ) -> Result<Seat, Denied> {
        self.tell_watcher(now, || Call::Accepted {
            local: local.clone(),
            remote: remote.clone(),
        });
        self.core.tick(now);
        let websocket = local.as_ref().and_then(Multiaddr::websocket);
        if websocket.is_some() {
            remote = as_websocket(remote);
        }
        let expected = self.core.expectations.find(self.core.now, &remote);
        let admitted = self
            .core
            .check_accept(local.as_ref(), &remote, expected.is_some());
        let exempt = admitted.inspect_err(|_| {
            self.core.stats.refused = self.core.stats.refused.saturating_add(1);
        })?;
        let (peer, side) = match expected {
            // Who knocks may be somebody else from there: only a dialer has to know beforehand.
            Some((peer, Side::Dialer)) => (Some(peer), Side::Dialer),
            _ => (None, Side::Listener),
        };
        let info = ConnectionInfo {
            side,
            local,
            limited: remote.is_relayed(),
            remote,
            dial: None,
        };
        let time = match side {
            Side::Dialer => self.core.config.punch_upgrade,
            Side::Listener => self.core.config.inbound_upgrade,
        };
        let upgrade_by = self.core.now + time;
        let conn = Conn::new(Phase::Upgrading, info, peer, exempt);
        let conn = self.core.add_conn(conn, upgrade_by);
        let mut seat = self.core.seat(conn).ok_or(Denied("gone"))?;
        seat.websocket = websocket;
        Ok(seat)
    }

    /// A link that was ordered with [`Action::Dial`] stands. An adapter whose links carry the payload of a WebSocket already, as a browser's do, takes [`Seat::websocket`] out.
    ///
    /// # Errors
    ///
    /// [`Denied`] if it is no longer wanted.
    pub fn handle_dialed(
        &mut self,
        now: Instant,
        conn: ConnectionId,
        local: Option<Multiaddr>,
        mut remote: Multiaddr,
    ) -> Result<Seat, Denied> {
        self.tell_watcher(now, || Call::Dialed {
            conn,
            local: local.clone(),
            remote: remote.clone(),
        });
        self.core.tick(now);
        let dial = self.connecting(conn).ok_or(Denied("cancelled"))?;
        let dialed = self.core.conns.get(&conn).map(|conn| conn.info.remote.clone());
        let websocket = dialed
            .as_ref()
            .zip(self.core.dials.get(&dial))
            .and_then(|(addr, dial)| dial.websocket(addr));
        if websocket.is_some() {
            // With its path, unless the link leads elsewhere.
            let same = dialed.filter(|dialed| dialed.socket_tcp() == remote.socket_tcp());
            remote = same.unwrap_or_else(|| as_websocket(remote));
        }
        self.core.change_conn(conn, |conn| {
            conn.phase = Phase::Upgrading;
            conn.info.local = local;
            conn.info.remote = remote;
        });
        self.core.hold_dial(dial);
        self.core.hurry_if_punched(conn);
        let mut seat = self.core.seat(conn).ok_or(Denied("gone"))?;
        seat.websocket = websocket;
        Ok(seat)
    }

    /// A link that was ordered with [`Action::Dial`] could not be connected.
    pub fn handle_dial_failed(&mut self, now: Instant, conn: ConnectionId, error: AttemptError) {
        self.tell_watcher(now, || Call::DialFailed { conn, error });
        self.core.tick(now);
        if self.connecting(conn).is_some() {
            self.core.fail_attempt(conn, error);
        }
    }

    /// The dial of a link that is being connected.
    fn connecting(&self, conn: ConnectionId) -> Option<DialId> {
        let conn = self.core.conns.get(&conn)?;
        conn.info.dial.filter(|_| conn.phase == Phase::Connecting)
    }

    /// A resolver answered [`Action::Resolve`], or failed for a cause of one word.
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        query: ResolveId,
        answer: Result<Vec<Record>, &'static str>,
    ) {
        self.tell_watcher(now, || Call::Resolved {
            query,
            answer: answer.clone(),
        });
        self.core.tick(now);
        self.core.resolved(query, answer);
    }

    /// The adapter listens at this concrete address, or no longer does.
    pub fn handle_listening(&mut self, now: Instant, addr: Multiaddr, up: bool) {
        self.tell_watcher(now, || Call::Listening {
            addr: addr.clone(),
            up,
        });
        self.core.tick(now);
        let changed = if up {
            self.core.listening.insert(addr.clone())
        } else {
            self.core.listening.remove(&addr)
        };
        if changed {
            self.core.listening_changed.insert(addr);
        }
    }

    /// News of a connection; processed by [`drive`](Self::drive). Ask [`wants_messages`](Self::wants_messages) before.
    pub fn handle_message(&mut self, now: Instant, link: ConnectionId, message: FromConnection) {
        if let FromConnection::Inner { conn, news } = message {
            if conn == link || self.core.is_inside(conn, link) {
                self.hear(now, conn, *news);
            }
            return;
        }
        let conn = message.stream().map_or(link, |stream| stream.conn);
        if conn == link || self.core.is_inside(conn, link) {
            self.hear(now, conn, message);
        }
    }

    fn hear(&mut self, now: Instant, conn: ConnectionId, message: FromConnection) {
        self.tell_watcher(now, || Call::Message {
            conn,
            message: message.clone(),
        });
        self.core.tick(now);
        let max = self.core.config.max_news_per_connection;
        // A connection that is gone has nothing to say, one that has said too much is not heard.
        let Some(entry) = self.core.conns.get_mut(&conn) else {
            return;
        };
        if entry.waiting > max {
            return;
        }
        entry.waiting = entry.waiting.saturating_add(1);
        self.news.push_back(if entry.waiting > max {
            News::Overrun(conn)
        } else {
            News::Told(conn, message)
        });
    }

    /// Whether news may be handed in now. While the answer is no, leave it in the connections: they stop reading their peers by themselves.
    pub fn wants_messages(&self) -> bool {
        self.news.len() < self.core.config.max_news
    }

    // ── what the outside must do ──

    /// The next thing that the adapter must do.
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = pop(&mut self.core.actions)?;
        if let Some(watcher) = &mut self.watcher {
            watcher.action(&action);
        }
        Some(action)
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = pop(&mut self.core.events)?;
        if let Some(watcher) = &mut self.watcher {
            watcher.event(&event);
        }
        Some(event)
    }

    // ── commands ──

    /// Dials; [`Event::Connected`] or [`Event::DialFailed`] follows, unless a connection stands.
    ///
    /// # Errors
    ///
    /// See [`DialRefused`].
    pub fn dial(&mut self, now: Instant, dial: Dial) -> Result<DialOutcome, DialRefused> {
        self.tell_watcher(now, || Call::Dial(dial.clone()));
        self.core.tick(now);
        self.core.begin_dial(&dial)
    }

    /// Ends a dial; [`Event::DialFailed`] follows.
    pub fn cancel_dial(&mut self, dial: DialId) {
        self.tell_watcher(self.core.now, || Call::CancelDial(dial));
        self.core.end_dial(dial, Some(DialError::Cancelled));
    }

    /// Closes a connection in an orderly way.
    pub fn disconnect(&mut self, conn: ConnectionId) {
        self.tell_watcher(self.core.now, || Call::Disconnect(conn));
        self.core.close_connection(conn);
    }

    /// Closes every connection in an orderly way and refuses new ones.
    pub fn close(&mut self, now: Instant) {
        self.tell_watcher(now, || Call::Close);
        self.core.tick(now);
        self.core.closing = true;
        let dials: Vec<_> = self.core.dials.keys().copied().collect();
        for dial in dials {
            self.core.end_dial(dial, Some(DialError::Cancelled));
        }
        let conns: Vec<_> = self.core.conns.keys().copied().collect();
        for conn in conns {
            self.core.close_connection(conn);
        }
    }

    /// Protects a peer: its connections are never closed as idle or trimmed, and admitted beyond the limits. `false` takes that back.
    pub fn protect(&mut self, peer: PeerId, protect: bool) {
        self.tell_watcher(self.core.now, || Call::Protect(peer, protect));
        if self.core.worth.protect(peer, protect) {
            for conn in self.core.connections(peer) {
                self.core.watch_idle(conn);
            }
        }
    }

    /// Says what a peer is worth for one reason; the sum of all reasons decides who is trimmed first. 0 takes the reason back. `false`: too many peers have tags.
    pub fn tag(&mut self, peer: PeerId, reason: &'static str, value: i32) -> bool {
        self.tell_watcher(self.core.now, || Call::Tag { peer, reason, value });
        let max = self.core.config.max_tagged;
        self.core.worth.tag(peer, reason, value, max)
    }

    /// Lets the adapter dial more transports than TCP: `transport` says whether it can dial an address. If that is a name, nobody is asked to resolve it.
    pub fn add_transport(&mut self, transport: fn(&Multiaddr) -> bool) {
        self.core.transports.push(transport);
    }

    /// Whom to keep out, to be changed at any time.
    pub fn gate_mut(&mut self) -> &mut Gate {
        self.tell_watcher(self.core.now, || Call::Unseen("gate"));
        &mut self.core.gate
    }

    /// Addresses of peers, to be filled, saved and restored.
    pub fn book_mut(&mut self) -> &mut AddressBook {
        self.tell_watcher(self.core.now, || Call::Unseen("address book"));
        &mut self.core.book
    }

    // ── getters ──

    /// Who we are.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Our peer id.
    pub const fn local_peer_id(&self) -> PeerId {
        self.core.local
    }

    /// Whether no connection and no attempt is left.
    pub fn is_idle(&self) -> bool {
        self.core.conns.is_empty() && self.news.is_empty()
    }

    /// The established connections to a peer, the preferred one first.
    pub fn connections(&self, peer: PeerId) -> SmallVec<[ConnectionId; 2]> {
        self.core.connections(peer)
    }

    /// The connection that the adapter carries: for one inside of another, the outer one.
    pub fn link_of(&self, conn: ConnectionId) -> ConnectionId {
        let known = self.core.conns.get(&conn);
        known.and_then(|known| known.outer).unwrap_or(conn)
    }

    /// How a connection came about.
    pub fn connection_info(&self, conn: ConnectionId) -> Option<&ConnectionInfo> {
        self.core.connection_info(conn)
    }

    /// What a connection has carried and the round trip it has measured, as it told last: at most a second ago, or less than 4 KiB ago.
    pub fn traffic(&self, conn: ConnectionId) -> Option<Traffic> {
        self.core.conns.get(&conn).map(|conn| conn.traffic)
    }

    /// The peers that are connected.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.core.peers.keys().copied()
    }

    /// Where we listen.
    pub fn listen_addresses(&self) -> impl Iterator<Item = &Multiaddr> + Clone {
        self.core.listening.iter()
    }

    /// Which protocols keep a connection open, with how many streams. One that keeps it without any is there by its first name, with 0.
    pub fn holding(&self, conn: ConnectionId) -> Vec<(ProtocolName, u32)> {
        let mut held: BTreeMap<ProtocolName, u32> = BTreeMap::new();
        for stream in self.core.streams_of(conn) {
            let spec = self.core.slots.get(&stream).map(|slot| slot.spec);
            let entry = spec.and_then(|spec| self.core.specs.get(spec));
            if let Some(entry) = entry.filter(|entry| entry.spec.keeps_alive) {
                let count = held.entry(entry.spec.name.clone()).or_default();
                *count = count.saturating_add(1);
            }
        }
        for (_, protocol) in self.core.kept.range((conn, 0)..=(conn, u8::MAX)) {
            let mut specs = self.core.specs.iter();
            let first = specs.find(|(_, entry)| entry.protocol == *protocol);
            if let Some((_, entry)) = first {
                held.entry(entry.spec.name.clone()).or_default();
            }
        }
        held.into_iter().collect()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        let core = &self.core;
        let (ordinary, exempt) = (&core.census.ordinary, &core.census.exempt);
        Stats {
            established: core.census.established(),
            established_inbound: ordinary.established_in.saturating_add(exempt.established_in),
            pending_inbound: ordinary.pending_in().saturating_add(exempt.pending_in()),
            pending_outbound: ordinary.pending_out(),
            closing: ordinary.closing.saturating_add(exempt.closing),
            streams: core.slots.len(),
            streams_inbound: usize::try_from(core.scopes.inbound()).unwrap_or(usize::MAX),
            dials: core.dials.len(),
            book_bytes: core.book.bytes(),
            news: self.news.len(),
            events: core.events.len(),
            ..core.stats
        }
    }
}

/// The address of the other end of a WebSocket, if an adapter named its socket.
fn as_websocket(addr: Multiaddr) -> Multiaddr {
    match addr.websocket() {
        Some(_) => addr,
        None => addr.with(Component::Ws).unwrap_or(addr),
    }
}

/// Capacity that an empty queue keeps.
const KEPT: usize = 64;

/// Takes the first, and gives memory back once nothing is left.
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if queue.is_empty() && queue.capacity() > KEPT {
        *queue = VecDeque::new();
    }
    first
}

/// The table of all specs, and a label for each protocol's dice.
fn collect(protocols: Protocols<'_, '_>, unread: usize) -> Result<(SpecTable, Vec<String>), Error> {
    let mut entries: Vec<SpecEntry> = Vec::new();
    let mut labels = Vec::new();
    for (place, protocol) in protocols.iter().enumerate() {
        let place = u8::try_from(place).map_err(|_| Error::TooManyProtocols)?;
        let first = protocol.specs().first();
        labels.push(first.map(|spec| spec.name.as_str()).unwrap_or_default().into());
        for (index, spec) in protocol.specs().iter().enumerate() {
            let index = u8::try_from(index).map_err(|_| Error::TooManyProtocols)?;
            // One protocol may propose a name under other terms than those it accepts it under.
            let clashes = |known: &SpecEntry| {
                known.spec.name == spec.name
                    && (known.protocol != place || known.spec.max_inbound.min(spec.max_inbound) > 0)
            };
            if entries.iter().any(clashes) {
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
        let (local, conns) = (self.core.local, self.core.conns.len());
        write!(f, "Swarm({local}, {conns} connections)")
    }
}
