//! The machine: what comes in, and where it goes.

use crate::{
    Command, Config, Contact, Error, Event, Key, Mode, Neighbour, Outcome, QueryError, QueryId, Record,
    Store,
    address::Filters,
    event::Effort,
    full::FullTable,
    lookup::{Lookup, Shape},
    query::{Dialing, Kind, Owner, Phase, Proof, Query, Reach, Search, Sent},
    region::Regions,
    rpc::{Rpc, SPEC, Token},
    run,
    server::Server,
    size::Sizes,
    store::MemoryStore,
    sweep::Sweep,
    table::{self, Table},
    upkeep::{Ourselves, Upkeep},
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant, Multiaddr, PeerId, Timers};
use libp2p_proto_stream_protocol::{
    BadCommand, Context, EventQueue, Fact, Framing, Input, Journal, Protocol, StreamSpec,
};

/// Bytes of a key of providers (Amino text, § RPC Messages).
pub(crate) const MAX_PROVIDER_KEY: usize = 80;
/// Records that are still on their way after their query has ended (go-libp2p-kad-dht `optimistic provide`).
const MAX_LET_GO: usize = 60;
/// Bytes of any other key that we take.
pub(crate) const MAX_KEY: usize = 1024;

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Queries that the application began.
    pub queries: u64,
    /// Requests that we sent.
    pub requests_sent: u64,
    /// Those of them that were answered, or left if no answer is due.
    pub requests_done: u64,
    /// Requests that we answered.
    pub requests_served: u64,
    /// Requests of others that ended without an answer.
    pub requests_refused: u64,
    /// Peers that came into the table.
    pub admitted: u64,
    /// Peers that left it.
    pub removed: u64,
    /// Events lost to a full queue.
    pub events_dropped: u64,
}

/// What is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Peers of the routing table.
    pub table: usize,
    /// Queries, our own upkeep included.
    pub queries: usize,
    /// Requests and streams of ours.
    pub requests: usize,
    /// Streams of others.
    pub inbound: usize,
    /// Checks of peers.
    pub checks: usize,
    /// Connected peers.
    pub peers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The time of a query, or of its lookup.
    Query(QueryId),
    /// Begin of the next refresh.
    Refresh,
    /// Look at the size of the table.
    LowMark,
    /// Forget what is old in the store.
    Sweep,
    /// A key that we publish is due.
    Publish,
    /// The search for the next target of a refresh goes on.
    Walk,
    /// The same for a target in a region.
    Region(u64),
    /// The next crawl, or the next targets of one.
    Crawl,
    /// A region of provided keys may be due.
    Regions,
    /// Look again whether anybody can be reached.
    Probe,
    /// A record has been sent to enough, and no more came for a while.
    Content(QueryId),
}

/// What is known of a connected peer.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What it claims, without a final `/p2p`.
    pub(crate) addrs: Vec<Multiaddr>,
    /// Where we reached it.
    pub(crate) dialed: Option<Multiaddr>,
    /// It said what it speaks, and our protocol was not among it.
    pub(crate) asks_only: bool,
}

/// Kademlia: one network, one table, both roles.
#[derive(Debug)]
pub struct Kad {
    pub(crate) local: PeerId,
    pub(crate) local_key: Key,
    pub(crate) config: Config,
    pub(crate) filters: Filters,
    specs: [StreamSpec; 1],
    pub(crate) table: Table,
    pub(crate) store: Box<dyn Store>,
    pub(crate) rpc: Rpc,
    pub(crate) server: Server,
    pub(crate) known: BTreeMap<PeerId, Known>,
    pub(crate) queries: BTreeMap<QueryId, Query>,
    next_query: u64,
    /// Queries that have something to do.
    pub(crate) ready: BTreeSet<QueryId>,
    cancelled: Vec<QueryId>,
    pub(crate) upkeep: Upkeep,
    pub(crate) sizes: Sizes,
    pub(crate) regions: Regions,
    pub(crate) full: FullTable,
    pub(crate) sweep: Sweep,
    pub(crate) ourselves: Ourselves,
    pub(crate) timers: Timers<Timer>,
    events: EventQueue<Event>,
    /// Ends of queries that were not read.
    unread: usize,
    pub(crate) serving: bool,
    /// A command waits for the next drive.
    pub(crate) wish: bool,
    pub(crate) journal: Journal,
    pub(crate) stats: Stats,
}

impl Kad {
    /// A node of the network that `config` describes, with a store in memory.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] and [`Error::PublicNetwork`] name the field that is out of range.
    pub fn new(local: PeerId, config: Config) -> Result<Self, Error> {
        let store = MemoryStore::new(&local, config.store);
        Self::with_store(local, config, Box::new(store))
    }

    /// The same with the owner's store.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn with_store(local: PeerId, config: Config, store: Box<dyn Store>) -> Result<Self, Error> {
        config.validate()?;
        let serving = matches!(config.mode, Mode::Server | Mode::AutoServer);
        let framing = Framing::Held {
            max: config.max_message,
        };
        let spec = StreamSpec {
            max_inbound: if serving { config.max_inbound } else { 0 },
            open_timeout: config.reply_timeout,
            ..StreamSpec::new(config.protocol.clone(), framing)
        };
        let local_key = Key::of_peer(&local);
        let silence = part(config.grace, 4);
        Ok(Self {
            local,
            local_key,
            filters: config.filters(),
            specs: [spec],
            table: Table::new(local_key, config.replication, config.diversity, silence),
            store,
            rpc: Rpc::new(&config),
            server: Server::new(&config),
            known: BTreeMap::new(),
            queries: BTreeMap::new(),
            next_query: 0,
            ready: BTreeSet::new(),
            cancelled: Vec::new(),
            upkeep: Upkeep::default(),
            sizes: Sizes::new(config.replication),
            regions: Regions::default(),
            full: FullTable::default(),
            sweep: Sweep::default(),
            ourselves: Ourselves::default(),
            timers: Timers::new(),
            events: EventQueue::new(config.max_events.saturating_add(config.max_queries)),
            unread: 0,
            serving,
            wish: true,
            journal: Journal::new(),
            stats: Stats::default(),
            config,
        })
    }

    /// Finds where a peer is. Ends with a connection to it if one can be made.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyQueries`].
    pub fn find_peer(&mut self, peer: PeerId) -> Result<QueryId, Error> {
        self.journal.note(|| Command::FindPeer { peer });
        let kind = Kind::Peer {
            peer,
            addrs: Vec::new(),
            dialing: Dialing::No,
        };
        self.command(Bytes::copy_from_slice(peer.as_bytes()), kind)
    }

    /// The nearest peers to a key: a multihash, a peer id, or any bytes.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyQueries`], [`Error::BadKey`] for 0 bytes or more than 1 024.
    pub fn closest_peers(&mut self, key: impl Into<Bytes>) -> Result<QueryId, Error> {
        let key = key.into();
        self.journal.note(|| Command::ClosestPeers { key: key.clone() });
        self.command(key, Kind::Closest)
    }

    /// The best value of a key. `quorum` answers with the same value end the search; 0 asks everybody near; without it the namespace says.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyQueries`], [`Error::BadKey`], [`Error::BadRecord`] for a namespace without a validator.
    pub fn get_value(&mut self, key: impl Into<Bytes>, quorum: Option<usize>) -> Result<QueryId, Error> {
        let key = key.into();
        self.journal.note(|| Command::GetValue {
            key: key.clone(),
            quorum,
        });
        let default = self.config.validators.of(&key)?.quorum();
        let search = Search::new(quorum.unwrap_or(default));
        self.command(key, Kind::Get(search))
    }

    /// Who provides a content. `wanted` providers end the search; 0 asks everybody near.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyQueries`], [`Error::BadKey`] for a multihash of 0 bytes or more than 80.
    pub fn find_providers(&mut self, multihash: impl Into<Bytes>, wanted: usize) -> Result<QueryId, Error> {
        let multihash = multihash.into();
        self.journal.note(|| Command::FindProviders {
            multihash: multihash.clone(),
            wanted,
        });
        let key = provider_key(multihash)?;
        let (found, proof) = (BTreeMap::new(), None);
        self.command(key, Kind::Providers { wanted, found, proof })
    }

    /// Who provides a content, and can be reached: each one that somebody names is dialed, and only those count to whom there is a connection then. So no peer that names
    /// invented providers ends the search before everybody near was asked. `wanted` of them end it; 0 asks everybody near.
    ///
    /// # Errors
    ///
    /// Those of [`find_providers`](Self::find_providers).
    pub fn find_reachable_providers(
        &mut self,
        multihash: impl Into<Bytes>,
        wanted: usize,
    ) -> Result<QueryId, Error> {
        let multihash = multihash.into();
        self.journal.note(|| Command::FindReachableProviders {
            multihash: multihash.clone(),
            wanted,
        });
        let key = provider_key(multihash)?;
        let (found, proof) = (BTreeMap::new(), Some(Proof::default()));
        self.command(key, Kind::Providers { wanted, found, proof })
    }

    /// Lets a query that was just begun go to everybody in the region of its key, once the nearest are known: all peers that share as many bits with the key as the nearest
    /// [`replication`](Config::replication) of an honest network would. Whoever places peers around a key can't take it then. Needs an
    /// [estimate](Self::network_size) of the network's size; without one the query goes to the nearest.
    pub fn widen(&mut self, query: QueryId) {
        self.journal.note(|| Command::Widen { query });
        if let Some(query) = self.queries.get_mut(&query) {
            if query.reach == Reach::Nearest {
                query.reach = Reach::Region;
            }
        }
    }

    /// How many peers the network has, by how near the nearest were to what was looked up in the last two hours. `None` before five such lookups have ended.
    /// A network that has changed is measured anew: by each refresh, and as soon as those around us show that it has grown.
    pub fn network_size(&self, now: Instant) -> Option<f64> {
        self.sizes.estimate(now)
    }

    /// Stores a value here and at the nearest peers, and again every [`republish`](Config::republish). The value is judged, and compared with what is stored here, at the next
    /// drive: the end of the query says if it is refused, and then it is not repeated either. If nobody takes it ([`QueryError::NotSent`], [`QueryError::NoPeers`]), our own copy stays and is
    /// sent again later, unless [`stop_publishing`](Self::stop_publishing) ends that.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyQueries`], [`Error::TooManyKeys`], [`Error::BadKey`], [`Error::BadRecord`] for a namespace without a validator, [`Error::OldRecord`] if a better value is
    /// stored here.
    pub fn put_value(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<QueryId, Error> {
        let (key, value) = (key.into(), value.into());
        self.journal.note(|| Command::PutValue {
            key: key.clone(),
            value: value.clone(),
        });
        let record = Record {
            key,
            value,
            ..Record::default()
        };
        let validator = self.config.validators.of(&record.key)?;
        if let Some(stored) = self.store.value(&record.key) {
            let old = &stored.record.value;
            if *old != record.value && !validator.is_better(&record.key, &record.value, old) {
                return Err(Error::OldRecord);
            }
        }
        self.room()?;
        let fresh = |query: &&Query| query.phase == Phase::New && matches!(query.kind, Kind::Put { .. });
        let more = self.queries.values().filter(fresh).count();
        let max = self.config.max_published;
        if !self.upkeep.has_room_for_value(&record.key, more, max) {
            return Err(Error::TooManyKeys);
        }
        let sent = Sent::default();
        self.command(record.key.clone(), Kind::Put { record, sent })
    }

    /// Says at the nearest peers that we provide a content, and again every [`republish`](Config::republish) until [`stop_providing`](Self::stop_providing).
    ///
    /// # Errors
    ///
    /// [`Error::TooManyQueries`], [`Error::TooManyKeys`], [`Error::BadKey`], [`Error::NoAddress`] if no address of ours is known that others could use.
    pub fn provide(&mut self, multihash: impl Into<Bytes>) -> Result<QueryId, Error> {
        let multihash = multihash.into();
        self.journal.note(|| Command::Provide {
            multihash: multihash.clone(),
        });
        let key = provider_key(multihash)?;
        let frame = self.announcement(&key).ok_or(Error::NoAddress)?;
        self.room()?;
        self.upkeep.publish_key(&key, self.config.max_published)?;
        let (sent, fast) = (Sent::default(), None);
        self.command(key, Kind::Provide { frame, sent, fast })
    }

    /// No longer says that we provide a content. What others have stored lives until its age is reached; there is no message against it.
    pub fn stop_providing(&mut self, multihash: &[u8]) {
        self.journal.note(|| Command::StopProviding {
            multihash: Bytes::copy_from_slice(multihash),
        });
        self.upkeep.withdraw_key(multihash);
        self.sweep.withdraw(multihash);
    }

    /// No longer repeats a value, and forgets our own copy of it. What others have stored lives until its age is reached.
    pub fn stop_publishing(&mut self, key: &[u8]) {
        self.journal.note(|| Command::StopPublishing {
            key: Bytes::copy_from_slice(key),
        });
        if self.upkeep.withdraw_value(key) {
            self.store.remove_value(key);
        }
    }

    /// Asks these peers whether they work, so that they come into the table: where an owner begins who knows some.
    pub fn add_peer(&mut self, peer: PeerId, addrs: Vec<Multiaddr>) {
        self.journal.note(|| Command::AddPeer {
            peer,
            addrs: addrs.clone(),
        });
        self.upkeep.invite(Contact { peer, addrs });
        self.wish = true;
    }

    /// Ends a query. Its end is told with [`QueryError::Cancelled`]; nobody leaves the table for it.
    pub fn cancel(&mut self, query: QueryId) {
        self.journal.note(|| Command::Cancel { query });
        if self.queries.get(&query).is_some_and(Query::is_told) {
            self.cancelled.push(query);
            self.wish = true;
        }
    }

    /// Refreshes the table now.
    pub fn refresh(&mut self) {
        self.journal.note(|| Command::Refresh);
        self.upkeep.refresh_now = true;
        self.wish = true;
    }

    /// Changes whether we answer others.
    pub fn set_mode(&mut self, mode: Mode) {
        self.journal.note(|| Command::SetMode { mode });
        self.config.mode = mode;
        self.wish = true;
    }

    /// Changes whether records of ours leave before their lookup is over: see [`Config::optimistic`].
    pub fn set_optimistic(&mut self, optimistic: bool) {
        self.journal.note(|| Command::SetOptimistic { optimistic });
        self.config.optimistic = optimistic;
    }

    /// Changes whether the steps of queries are told: see [`Config::progress`].
    pub fn set_progress(&mut self, progress: bool) {
        self.journal.note(|| Command::SetProgress { progress });
        self.config.progress = progress;
    }

    /// Whether we answer others.
    pub const fn is_serving(&self) -> bool {
        self.serving
    }

    /// The routing table, by shared prefix length.
    pub fn table(&self) -> impl Iterator<Item = &Neighbour> {
        self.table.iter()
    }

    /// The peers of the table that are nearest to a place, nearest first.
    pub fn nearest(&self, target: &Key, n: usize) -> Vec<&Neighbour> {
        self.table.closest(target, n, |_| true)
    }

    /// The table as bytes that an owner may keep.
    pub fn snapshot(&self, now: Instant) -> Vec<u8> {
        self.table.snapshot(now)
    }

    /// Begins with the peers of a snapshot: each is checked before it comes in. Answers how many there are.
    ///
    /// # Errors
    ///
    /// [`Error::BadSnapshot`].
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<usize, Error> {
        self.journal.note(|| Command::Restore {
            snapshot: Bytes::copy_from_slice(snapshot),
        });
        let contacts = table::restore(snapshot)?;
        let count = contacts.len();
        self.upkeep.invited.extend(contacts);
        self.wish = true;
        Ok(count)
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop()?;
        if matches!(event, Event::Finished { .. }) {
            self.unread = self.unread.saturating_sub(1);
        }
        self.journal.took(Some(&event), || Command::Poll);
        Some(event)
    }

    /// The drive that made the oldest event.
    pub fn next_event_seq(&self) -> Option<u64> {
        self.events.next_seq()
    }

    /// Counters since the start.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// What is held now.
    pub fn census(&self) -> Census {
        Census {
            table: self.table.len(),
            queries: self.queries.len(),
            requests: self.rpc.held(),
            inbound: self.server.len(),
            checks: self.upkeep.checks(),
            peers: self.known.len(),
        }
    }

    /// Whether one more query may begin.
    fn room(&self) -> Result<(), Error> {
        let running = self.queries.values().filter(|query| query.is_told()).count();
        if running.saturating_add(self.unread) >= self.config.max_queries {
            return Err(Error::TooManyQueries);
        }
        Ok(())
    }

    fn command(&mut self, key: Bytes, kind: Kind) -> Result<QueryId, Error> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Error::BadKey);
        }
        self.room()?;
        self.stats.queries = self.stats.queries.saturating_add(1);
        let id = self.begin(key, kind, Owner::Application);
        self.wish = true;
        Ok(id)
    }

    /// A query that the next drive starts.
    pub(crate) fn begin(&mut self, key: Bytes, kind: Kind, owner: Owner) -> QueryId {
        let id = QueryId(self.next_query);
        self.next_query = self.next_query.saturating_add(1);
        let shape = Shape {
            k: self.config.replication,
            alpha: self.config.parallelism,
            beta: self.config.resiliency,
            paths: if matches!(owner, Owner::Walk { .. } | Owner::Region(_) | Owner::Probe) {
                1
            } else {
                self.config.paths
            },
            max_heard: self.config.max_candidates,
            max_asked: self.config.max_asked,
        };
        let query = Query {
            id,
            frame: run::request(kind.asks(), &key),
            lookup: Lookup::new(Key::of(&key), shape),
            key,
            kind,
            phase: Phase::New,
            began: Instant::ZERO,
            deadline: Instant::MAX,
            effort: Effort::default(),
            fastest: None,
            owner,
            reach: Reach::Nearest,
            crowded: false,
            local: false,
            content: false,
        };
        self.queries.insert(id, query);
        self.ready.insert(id);
        id
    }

    pub(crate) fn emit(&mut self, seq: u64, event: Event) {
        let is_end = matches!(event, Event::Finished { .. });
        // The last places are for the ends of queries.
        let room = is_end || self.events.len() < self.config.max_events;
        if is_end {
            self.unread = self.unread.saturating_add(1);
        }
        if !room || self.events.push(seq, event).is_err() {
            self.stats.events_dropped = self.stats.events_dropped.saturating_add(1);
        }
    }

    /// Ends a query, and tells it.
    pub(crate) fn finish(
        &mut self,
        cx: &mut Context<'_>,
        mut query: Query,
        result: Result<Outcome, QueryError>,
    ) {
        let fast = matches!(query.kind, Kind::Provide { fast: Some(_), .. });
        if (fast || query.content) && result.is_ok() {
            // What is on its way goes on without us.
            self.rpc
                .let_go(Token::Store(query.id), Token::Correction, MAX_LET_GO);
        }
        let tokens = BTreeSet::from([Token::Query(query.id), Token::Store(query.id)]);
        self.rpc.cancel(cx, &tokens);
        if let Reach::Exploring(id) = query.reach {
            self.end_region(cx, id);
        }
        self.timers.clear(Timer::Query(query.id));
        self.timers.clear(Timer::Content(query.id));
        self.ready.remove(&query.id);
        if !query.is_told() {
            self.upkeep_ended(cx, &query, result);
            return;
        }
        query.effort.asked = query.lookup.asked();
        query.effort.crowded = query.crowded;
        query.effort.took = if query.phase == Phase::New {
            Duration::ZERO
        } else {
            cx.now.since(query.began)
        };
        let nearest = query.lookup.nearest().take(self.config.resiliency);
        query.effort.hops = nearest
            .map(|(_, known)| known.hop.saturating_add(1))
            .max()
            .unwrap_or(0);
        let event = Event::Finished {
            query: query.id,
            result,
            effort: query.effort,
        };
        self.emit(cx.seq, event);
    }

    /// What is known of where a peer is: what it claims, and where we reached it.
    pub(crate) fn addrs_of(&self, peer: &PeerId) -> Vec<Multiaddr> {
        let mut addrs = Vec::new();
        if let Some(known) = self.known.get(peer) {
            addrs.extend(known.dialed.clone());
            addrs.extend(
                known
                    .addrs
                    .iter()
                    .filter(|addr| known.dialed.as_ref() != Some(*addr))
                    .cloned(),
            );
        } else if let Some(known) = self.table.get(peer) {
            addrs.extend_from_slice(&known.addrs);
        }
        addrs
    }

    fn handle_disconnected(&mut self, now: Instant, peer: PeerId, last: bool) {
        if !last {
            return;
        }
        if let Some(known) = self.known.remove(&peer) {
            if self.serving && known.asks_only && !known.addrs.is_empty() {
                self.server.remember(now, peer, known.addrs);
            }
        }
        self.rpc.handle_disconnected(&peer);
    }

    fn handle_stream(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Opened { stream, peer, .. } if stream.is_inbound() => {
                if self.serving {
                    self.server.handle_opened(cx, &self.config, stream, peer);
                } else {
                    cx.reset(stream);
                }
            }
            Input::Opened { stream, .. } | Input::Writable { stream } => {
                if stream.is_inbound() {
                    self.server.handle_writable(cx, stream);
                } else {
                    self.rpc.handle_writable(cx, stream);
                }
            }
            Input::Frame { stream, data } if stream.is_inbound() => {
                if let Some((peer, data)) = self.server.handle_frame(cx, stream, data) {
                    self.serve(cx, stream, peer, &data);
                }
            }
            Input::Frame { stream, data } => self.rpc.handle_frame(cx, &self.config, stream, &data),
            Input::Flushed { stream, .. } if stream.is_inbound() => {
                self.server.handle_flushed(cx, &self.config, stream);
            }
            Input::Flushed { stream, .. } => self.rpc.handle_flushed(cx, &self.config, stream),
            Input::Finished { stream } if stream.is_inbound() => self.server.handle_finished(cx, stream),
            Input::Finished { stream } => self.rpc.handle_finished(cx, &self.config, stream),
            Input::Closed { stream, .. } if stream.is_inbound() => self.server.handle_closed(stream),
            Input::Closed { stream, reason } => self.rpc.handle_closed(cx, stream, reason),
            _ => {}
        }
    }

    fn handle_fact(&mut self, cx: &mut Context<'_>, fact: Fact) {
        match fact {
            Fact::PeerProtocols { peer, protocols } => {
                let serves = protocols.contains(&self.config.protocol);
                self.handle_protocols(cx, peer, serves);
            }
            Fact::PeerAddresses { peer, addrs, .. } => {
                if let Some(known) = self.known.get_mut(&peer) {
                    known.addrs = addrs.iter().take(crate::wire::MAX_ADDRS).cloned().collect();
                }
            }
            other => self.ourselves.learn(other),
        }
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        self.wish = false;
        self.rpc.handle_timeout(cx, &self.config);
        // A request that ends at the same instant as its query still counts.
        while let Some(report) = self.rpc.poll_report() {
            self.handle_report(cx, report);
        }
        while let Some((stream, peer, data)) = self.server.poll_due(cx) {
            self.serve(cx, stream, peer, &data);
        }
        for query in core::mem::take(&mut self.cancelled) {
            if let Some(query) = self.queries.remove(&query) {
                self.finish(cx, query, Err(QueryError::Cancelled));
            }
        }
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Query(id) => self.query_due(cx, id),
                Timer::Content(id) => self.query_content(id),
                other => self.upkeep_due(cx, other),
            }
        }
    }

    /// Goes on with everything that an input made possible.
    fn pump(&mut self, cx: &mut Context<'_>) {
        self.update_mode(cx);
        self.look_after(cx);
        loop {
            self.rpc.start_waiting(cx, &self.config);
            if let Some(report) = self.rpc.poll_report() {
                self.handle_report(cx, report);
            } else if let Some(id) = self.ready.pop_first() {
                self.advance(cx, id);
            } else {
                break;
            }
        }
    }
}

/// So large a part of a time.
pub(crate) fn part(of: Duration, by: u32) -> Duration {
    of.checked_div(by).unwrap_or(Duration::ZERO)
}

/// A multihash of a length that the network takes.
pub(crate) fn provider_key(multihash: impl Into<Bytes>) -> Result<Bytes, Error> {
    let key = multihash.into();
    if key.is_empty() || key.len() > MAX_PROVIDER_KEY {
        return Err(Error::BadKey);
    }
    Ok(key)
}

impl Protocol for Kad {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Connected { peer, info, .. } => {
                let known = self.known.entry(peer).or_default();
                if info.side.is_dialer() && !info.limited {
                    known.dialed = Some(info.remote);
                }
                if !info.limited {
                    self.rpc.handle_connected(cx, peer);
                    self.peer_connected(cx, &peer);
                }
            }
            Input::Disconnected { peer, last, .. } => self.handle_disconnected(cx.now, peer, last),
            Input::DialFailed { peer: Some(peer), .. } => {
                if cx.connections(peer).is_empty() {
                    self.rpc.handle_dial_failed(cx, peer);
                    self.peer_not_reached(&peer);
                }
            }
            Input::Fact(fact) => self.handle_fact(cx, fact),
            Input::Timeout => self.handle_timeout(cx),
            other => self.handle_stream(cx, other),
        }
        self.pump(cx);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.wish {
            return Some(Deadline::now("command"));
        }
        let own = self.timers.next().map(|(at, _)| Deadline::new(at, "kad"));
        let streams = Deadline::earliest(self.rpc.poll_timeout(), self.server.poll_timeout());
        Deadline::earliest(own, streams)
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
    }
}

const _: () = assert!(SPEC == 0, "one kind of stream");
