//! The machine: both roles over one exchange of one request and one answer.

use crate::{
    Command, Config, Error, Event, Failure, MAX_NAMESPACE, Message, QueryId, Registration, Status,
    book::Book,
    client::{Client, Phase},
    cookie,
    ourselves::Ourselves,
};
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Deadline, Multiaddr, PeerId, ProtocolName, Rates, StreamId, Subnet};
use libp2p_proto_identity::{Dialect, Identity};
use libp2p_proto_stream_protocol::{
    Answer, BadCommand, Closed, Context, Dial, DialOutcome, EventQueue, Exchanges, Fact, Framing, Input,
    Journal, Protocol, StreamSpec,
};

/// `/rendezvous/1.0.0`.
pub const NAME: ProtocolName = ProtocolName::from_static("/rendezvous/1.0.0");

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that we answered as a point, refusals included.
    pub served: u64,
    /// Requests that we refused as a point.
    pub refused: u64,
    /// Signatures of others that we looked at as a point.
    pub verified: u64,
    /// Events lost to a full queue.
    pub events_dropped: u64,
}

/// What is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// As a point: registrations of others.
    pub registrations: usize,
    /// Registrations of ours that we hold or want.
    pub own: usize,
    /// Questions under way.
    pub questions: usize,
    /// Peers that were discovered and have not expired.
    pub discovered: usize,
}

/// What an exchange was begun for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Register(u64, Dialect),
    Discover(u64),
    Unregister,
}

/// A rendezvous point, and a client of others.
#[derive(Debug)]
pub struct Rendezvous {
    config: Config,
    exchanges: Exchanges<Asked>,
    book: Book,
    client: Client,
    ourselves: Ourselves,
    /// What waits for a connection to a point.
    dialing: BTreeMap<PeerId, Vec<Asked>>,
    /// Questions that the next drive begins.
    begun: Vec<u64>,
    /// Points that are to be told that we leave, and what.
    leaving: Vec<(PeerId, Arc<str>)>,
    peers: Rates<PeerId>,
    networks: Rates<Subnet>,
    /// What makes our cookies ours; drawn by the first drive.
    secret: Option<[u8; 32]>,
    events: EventQueue<Event>,
    /// Ends of questions that were not read.
    unread: usize,
    stats: Stats,
    journal: Journal,
}

impl Rendezvous {
    /// A node with this identity.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field that is out of range.
    pub fn new(identity: Identity, config: Config) -> Result<Self, Error> {
        config.validate()?;
        let spec = StreamSpec {
            max_inbound: if config.serve { config.max_inbound } else { 0 },
            ..StreamSpec::new(
                NAME,
                Framing::LengthDelimited {
                    max: config.max_request,
                },
            )
        };
        let answers = Framing::LengthDelimited {
            max: config.max_answer_bytes,
        };
        let most = config
            .max_own
            .saturating_mul(2)
            .saturating_add(config.max_questions);
        Ok(Self {
            exchanges: Exchanges::new(spec, config.timeout, most).with_answers(answers),
            book: Book::default(),
            client: Client::default(),
            ourselves: Ourselves::new(identity, config.private_addrs),
            dialing: BTreeMap::new(),
            begun: Vec::new(),
            leaving: Vec::new(),
            peers: Rates::new(config.rate, config.max_rated),
            networks: Rates::new(config.rate, config.max_rated),
            secret: None,
            events: EventQueue::new(usize::MAX),
            unread: 0,
            stats: Stats::default(),
            journal: Journal::new(),
            config,
        })
    }

    /// Registers us at a point and keeps us registered, until [`unregister`](Self::unregister) or a refusal that asking again would not change. `ttl` is the life to ask for;
    /// without it the point's default. A point that is not connected is dialed.
    ///
    /// # Errors
    ///
    /// [`Error::BadNamespace`], [`Error::NoAddress`] while no confirmed address of ours is known, [`Error::TooManyRequests`] for more than `max_own` registrations.
    pub fn register(&mut self, point: PeerId, namespace: &str, ttl: Option<Duration>) -> Result<(), Error> {
        self.journal.note(|| Command::Register {
            point,
            namespace: namespace.into(),
            ttl,
        });
        if self.ourselves.addrs().is_empty() {
            return Err(Error::NoAddress);
        }
        self.client.register(&self.config, point, namespace, ttl)
    }

    /// Ends our registration at a point. Without one nothing happens.
    pub fn unregister(&mut self, point: &PeerId, namespace: &str) {
        self.journal.note(|| Command::Unregister {
            point: *point,
            namespace: namespace.into(),
        });
        let own = self.client.unregister(point, namespace);
        if let Some(own) = own.filter(|_| self.leaving.len() < self.config.max_own) {
            self.leaving.push((own.point, own.namespace));
        }
    }

    /// Asks a point who is registered under a namespace; empty: under any. The answer has at most `limit` peers, and of those that earlier answers of the same point for the same
    /// namespace did not have. [`Event::Discovered`] follows. A point that is not connected is dialed.
    ///
    /// # Errors
    ///
    /// [`Error::BadNamespace`] over 255 bytes, [`Error::TooManyRequests`] for more than `max_questions`.
    pub fn discover(&mut self, point: PeerId, namespace: &str, limit: Option<u64>) -> Result<QueryId, Error> {
        self.journal.note(|| Command::Discover {
            point,
            namespace: namespace.into(),
            limit,
        });
        if self.client.questions.len().saturating_add(self.unread) >= self.config.max_questions {
            return Err(Error::TooManyRequests);
        }
        let query = self.client.ask(point, namespace, limit)?;
        self.begun.push(query.0);
        Ok(query)
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop()?;
        if matches!(event, Event::Discovered { .. }) {
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
        Stats {
            verified: self.book.verified,
            ..self.stats
        }
    }

    /// What is held now.
    pub fn census(&self) -> Census {
        Census {
            registrations: self.book.len(),
            own: self.client.own.len(),
            questions: self.client.questions.len(),
            discovered: self.client.discovered(),
        }
    }

    fn push(&mut self, cx: &Context<'_>, event: Event) {
        let is_end = matches!(event, Event::Discovered { .. });
        if is_end {
            self.unread = self.unread.saturating_add(1);
        } else if self.events.len().saturating_sub(self.unread) >= self.config.max_events {
            self.stats.events_dropped = self.stats.events_dropped.saturating_add(1);
            return;
        }
        let _unbounded = self.events.push(cx.seq, event);
    }

    /// Begins a request: on a connection that stands, or after a dial.
    fn begin(&mut self, cx: &mut Context<'_>, point: PeerId, asked: Asked) {
        if !cx.connections(point).is_empty() {
            self.ask(cx, point, asked);
            return;
        }
        match cx.dial(Dial::peer(point)) {
            Ok(DialOutcome::Connected(_)) => self.ask(cx, point, asked),
            Ok(DialOutcome::Pending(_)) => self.dialing.entry(point).or_default().push(asked),
            Err(_) => self.failed(cx, asked, Failure::Unreachable),
        }
    }

    fn ask(&mut self, cx: &Context<'_>, point: PeerId, asked: Asked) {
        let message = match asked {
            Asked::Register(id, dialect) => self.registration(cx, id, dialect),
            Asked::Discover(id) => self.client.question(&self.config, id).map(|(_, message)| message),
            Asked::Unregister => None,
        };
        let Some(message) = message else {
            self.failed(cx, asked, Failure::NoRecord);
            return;
        };
        if let Err(closed) = self.exchanges.ask(point, asked, message.encode()) {
            self.failed(cx, asked, Failure::NoAnswer(closed));
        }
    }

    fn registration(&mut self, cx: &Context<'_>, id: u64, dialect: Dialect) -> Option<Message> {
        let record = self.ourselves.record(cx.unix, dialect, self.config.max_addrs)?;
        let own = self.client.own.get(&id)?;
        Some(Message::Register(Registration {
            namespace: own.namespace.clone(),
            record,
            ttl: own.ttl.map(|ttl| ttl.as_secs()),
        }))
    }

    fn failed(&mut self, cx: &Context<'_>, asked: Asked, failure: Failure) {
        match asked {
            Asked::Register(id, _) => {
                if let Some((point, namespace, retry)) = self.client.failed(cx.now, &self.config, id, failure)
                {
                    let event = Event::RegisterFailed {
                        point,
                        namespace,
                        failure,
                        retry,
                    };
                    self.push(cx, event);
                }
            }
            Asked::Discover(id) => {
                if let Some(question) = self.client.questions.remove(&id) {
                    let event = Event::Discovered {
                        query: QueryId(id),
                        point: question.point,
                        result: Err(failure),
                    };
                    self.push(cx, event);
                }
            }
            Asked::Unregister => {}
        }
    }

    /// What a point answered, or did not.
    fn handle_answer(&mut self, cx: &mut Context<'_>, answer: Answer<Asked>) {
        let max = self.config.max_answer;
        let message = match answer.result {
            Ok(data) => Message::decode(&data, max).map_err(|_| Failure::BadAnswer),
            Err(closed) => Err(Failure::NoAnswer(closed)),
        };
        match answer.key {
            Asked::Register(id, dialect) => self.handle_registered(cx, answer.peer, id, dialect, message),
            Asked::Discover(id) => self.handle_discovered(cx, id, message),
            Asked::Unregister => {}
        }
    }

    fn handle_registered(
        &mut self,
        cx: &Context<'_>,
        point: PeerId,
        id: u64,
        dialect: Dialect,
        message: Result<Message, Failure>,
    ) {
        let failure = match message {
            Ok(Message::RegisterResponse {
                status: Status::Ok,
                ttl,
            }) => {
                let granted = self.client.granted(cx.now, &self.config, id, dialect, ttl);
                if let Some((point, namespace, ttl)) = granted {
                    let event = Event::Registered {
                        point,
                        namespace,
                        ttl,
                    };
                    self.push(cx, event);
                }
                return;
            }
            Ok(Message::RegisterResponse { status, .. }) => Failure::Refused(status),
            Ok(_) => Failure::BadAnswer,
            Err(failure) => failure,
        };
        // A point that reads the other form only says so, or nothing at all.
        let unread = matches!(
            failure,
            Failure::Refused(Status::InvalidSignedPeerRecord)
                | Failure::NoAnswer(Closed::UnexpectedEnd | Closed::Reset | Closed::Finished)
        );
        if unread && dialect == Dialect::Deployed && self.client.own.contains_key(&id) {
            self.ask(cx, point, Asked::Register(id, Dialect::Rfc));
        } else {
            self.failed(cx, Asked::Register(id, dialect), failure);
        }
    }

    fn handle_discovered(&mut self, cx: &mut Context<'_>, id: u64, message: Result<Message, Failure>) {
        let Some(question) = self.client.questions.remove(&id) else {
            return;
        };
        let result =
            message.and_then(|message| self.client.answered(cx.now, &self.config, &question, message));
        let local = cx.local;
        for found in result.iter().flatten().filter(|found| found.peer != local) {
            let fact = Fact::PeerAddresses {
                peer: found.peer,
                addrs: found.addrs.as_slice().into(),
                certified: true,
            };
            let _the_event_has_them_too = cx.tell(fact);
        }
        let event = Event::Discovered {
            query: QueryId(id),
            point: question.point,
            result,
        };
        self.push(cx, event);
    }

    /// A request of another peer.
    fn serve(&mut self, cx: &mut Context<'_>, stream: StreamId, request: &[u8]) {
        let Some(peer) = cx.peer_of(stream) else {
            return;
        };
        let from = cx.connection_info(stream.conn).map(|info| info.remote.clone());
        let free = self.peers.take(cx.now, peer).is_ok()
            && from
                .as_ref()
                .filter(|from| from.ip().is_some_and(|ip| !ip.is_loopback()))
                .is_none_or(|from| self.networks.take(cx.now, from.subnet(24, 48)).is_ok());
        let answer = match Message::decode(request, 0) {
            Ok(Message::Register(asked)) => Some(self.serve_register(cx, peer, from, asked, free)),
            Ok(Message::Discover {
                namespace,
                limit,
                cookie,
            }) => Some(self.serve_discover(cx, &namespace, limit, &cookie, free)),
            Ok(Message::Unregister { namespace }) => {
                if self.book.unregister(&peer, &namespace) {
                    self.push(cx, Event::PeerUnregistered { peer, namespace });
                }
                None
            }
            Ok(_) | Err(_) => {
                self.stats.refused = self.stats.refused.saturating_add(1);
                cx.reset(stream);
                return;
            }
        };
        self.stats.served = self.stats.served.saturating_add(1);
        let Some(answer) = answer else {
            self.exchanges.dismiss(cx, stream);
            return;
        };
        match answer {
            Message::RegisterResponse { status, .. } | Message::DiscoverResponse { status, .. }
                if status != Status::Ok =>
            {
                self.stats.refused = self.stats.refused.saturating_add(1);
                self.push(cx, Event::PeerRefused { peer, status });
            }
            _ => {}
        }
        self.exchanges.answer(cx, stream, answer.encode());
    }

    fn serve_register(
        &mut self,
        cx: &Context<'_>,
        peer: PeerId,
        from: Option<Multiaddr>,
        asked: Registration,
        free: bool,
    ) -> Message {
        let namespace = asked.namespace.clone();
        let result = match from {
            Some(from) if free => self.book.register(cx.now, &self.config, peer, &from, asked),
            _ => Err(Status::Unavailable),
        };
        match result {
            Ok(ttl) => {
                let event = Event::PeerRegistered { peer, namespace, ttl };
                self.push(cx, event);
                Message::RegisterResponse {
                    status: Status::Ok,
                    ttl: Some(ttl.as_secs()),
                }
            }
            Err(status) => Message::RegisterResponse { status, ttl: None },
        }
    }

    fn serve_discover(
        &mut self,
        cx: &mut Context<'_>,
        namespace: &Arc<str>,
        limit: Option<u64>,
        cookie: &[u8],
        free: bool,
    ) -> Message {
        let refusal = |status| Message::DiscoverResponse {
            status,
            registrations: Vec::new(),
            cookie: Bytes::new(),
        };
        if !free {
            return refusal(Status::Unavailable);
        }
        if namespace.len() > MAX_NAMESPACE {
            return refusal(Status::InvalidNamespace);
        }
        let rng = &mut *cx.rng;
        let secret = *self.secret.get_or_insert_with(|| rng.bytes32());
        let Ok(after) = cookie::open(&secret, cookie, namespace) else {
            return refusal(Status::InvalidCookie);
        };
        let most = self.config.max_answer;
        let limit = limit.map_or(most, |limit| usize::try_from(limit).unwrap_or(most).min(most));
        let page = self.book.discover(cx.now, &self.config, namespace, after, limit);
        Message::DiscoverResponse {
            status: Status::Ok,
            cookie: cookie::seal(&secret, page.end, namespace),
            registrations: page.registrations,
        }
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some((peer, namespace)) = self.book.expire(cx.now) {
            self.push(cx, Event::PeerExpired { peer, namespace });
        }
        while let Some((namespace, peer)) = self.client.expire(cx.now) {
            self.push(cx, Event::Expired { namespace, peer });
        }
        while let Some(id) = self.client.next_due(cx.now) {
            let Some(own) = self.client.own.get_mut(&id) else {
                continue;
            };
            own.phase = Phase::Asking;
            let point = own.point;
            let dialect = self.client.dialect_of(&point);
            self.begin(cx, point, Asked::Register(id, dialect));
        }
        for id in core::mem::take(&mut self.begun) {
            if let Some(question) = self.client.questions.get(&id) {
                let point = question.point;
                self.begin(cx, point, Asked::Discover(id));
            }
        }
        for (point, namespace) in core::mem::take(&mut self.leaving) {
            let message = Message::Unregister { namespace };
            let _at_its_time_to_live_it_ends_anyway =
                self.exchanges.tell(point, Asked::Unregister, message.encode());
        }
    }

    fn handle_dialed(&mut self, cx: &Context<'_>, point: PeerId, reached: bool) {
        for asked in self.dialing.remove(&point).unwrap_or_default() {
            if reached {
                self.ask(cx, point, asked);
            } else {
                self.failed(cx, asked, Failure::Unreachable);
            }
        }
    }
}

impl Protocol for Rendezvous {
    fn specs(&self) -> &[StreamSpec] {
        self.exchanges.specs()
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match &input {
            Input::Connected { peer, first, .. } => {
                if *first {
                    self.client.renew_lapsed(cx.now, peer);
                }
                self.handle_dialed(cx, *peer, true);
            }
            Input::DialFailed { peer: Some(peer), .. } if cx.connections(*peer).is_empty() => {
                self.handle_dialed(cx, *peer, false);
            }
            Input::Fact(fact) if self.ourselves.learn(fact) && !self.ourselves.addrs().is_empty() => {
                self.client.renew_all();
            }
            Input::Timeout => self.handle_timeout(cx),
            _ => {}
        }
        if let Some((stream, request)) = self.exchanges.handle(cx, input) {
            self.serve(cx, stream, &request);
        }
        while let Some(answer) = self.exchanges.poll_answer() {
            self.handle_answer(cx, answer);
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.client.is_due() || !self.begun.is_empty() || !self.leaving.is_empty() {
            return Some(Deadline::now("command"));
        }
        let timer = [self.book.next_expiry(), self.client.next_timer()];
        let own = timer.into_iter().flatten().min();
        let own = own.map(|at| Deadline::new(at, "registration"));
        Deadline::earliest(own, self.exchanges.poll_timeout())
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
    }
}
