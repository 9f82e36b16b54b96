//! The machine: exchanges that are read, answers, pushes both ways.

use crate::{
    Command, Config, Error, Failure, Message, PeerInfo,
    answer::Ourselves,
    known::{Interned, Record},
    push::{Inbox, Outbox},
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use libp2p_proto_core::{ConnectionId, Deadline, Multiaddr, PeerId, ProtocolName, StreamId, Timers};
use libp2p_proto_identity::{Identity, PeerRecord, PublicKey};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, Context, EventQueue, Fact, Framing, Input, Journal, Protocol, StreamSpec, Target,
};

/// `/ipfs/id/1.0.0`.
pub const NAME: ProtocolName = ProtocolName::from_static("/ipfs/id/1.0.0");
/// `/ipfs/id/push/1.0.0`.
pub const PUSH_NAME: ProtocolName = ProtocolName::from_static("/ipfs/id/push/1.0.0");

const IDENTIFY: u8 = 0;
const PUSH: u8 = 1;

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer said who it is.
    Identified {
        /// The authenticated peer.
        peer: PeerId,
        /// The connection that was asked.
        conn: ConnectionId,
        /// What it said.
        info: PeerInfo,
    },
    /// A peer told a change.
    Pushed {
        /// The authenticated peer.
        peer: PeerId,
        /// The connection that carried it.
        conn: ConnectionId,
        /// What is known of it now.
        info: PeerInfo,
    },
    /// A peer was not identified, or a push was not taken: its one by us, or ours by it. The connection stays.
    Failed {
        /// The peer.
        peer: PeerId,
        /// The connection.
        conn: ConnectionId,
        /// Why.
        failure: Failure,
    },
    /// A push of ours has left.
    PushSent {
        /// The peer that was told.
        peer: PeerId,
    },
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Answers read.
    pub identified: u64,
    /// Exchanges that failed.
    pub failures: u64,
    /// Pushes read.
    pub pushes_received: u64,
    /// Pushes sent.
    pub pushes_sent: u64,
    /// Events lost to a full queue.
    pub events_dropped: u64,
}

/// What is held now: peers and what they said, and what is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Connected peers.
    pub peers: usize,
    /// Messages that are being read or written.
    pub exchanges: usize,
    /// Pushes that wait or are under way.
    pub pushes: usize,
    /// Texts and lists that peers share, with some that nobody uses any more.
    pub shared: usize,
    /// Deadlines.
    pub timers: usize,
}

/// An exchange that is being read: an answer to us, or a push.
#[derive(Debug)]
struct Reading {
    peer: PeerId,
    message: Message,
    messages: usize,
}

/// What is kept of a connected peer.
#[derive(Debug)]
struct Known {
    info: Option<PeerInfo>,
    record_seq: Option<u64>,
    connections: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Exchange(StreamId),
    Push,
}

/// The identify and identify push protocols.
#[derive(Debug)]
pub struct Identify {
    config: Config,
    identity: Identity,
    specs: [StreamSpec; 2],
    ourselves: Ourselves,
    known: BTreeMap<PeerId, Known>,
    interned: Interned,
    reading: BTreeMap<StreamId, Reading>,
    /// Our messages that a stream has not taken yet.
    writing: BTreeMap<StreamId, VecDeque<Bytes>>,
    outbox: Outbox,
    inbox: Inbox,
    timers: Timers<Timer>,
    events: EventQueue<Event>,
    stats: Stats,
    journal: Journal,
}

impl Identify {
    /// An identify protocol that speaks for `identity`.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field that is out of range.
    pub fn new(identity: Identity, config: Config) -> Result<Self, Error> {
        config.validate()?;
        let framing = Framing::LengthDelimited {
            max: config.max_message,
        };
        let spec = |name| StreamSpec {
            max_inbound: 1,
            max_outbound: 1,
            send_capacity: 16 * 1024,
            open_timeout: config.timeout,
            on_limited: true,
            lazy: true,
            keeps_alive: true,
            ..StreamSpec::new(name, framing)
        };
        Ok(Self {
            identity,
            specs: [spec(NAME), spec(PUSH_NAME)],
            ourselves: Ourselves::default(),
            known: BTreeMap::new(),
            interned: Interned::default(),
            reading: BTreeMap::new(),
            writing: BTreeMap::new(),
            outbox: Outbox::default(),
            inbox: Inbox::new(&config),
            timers: Timers::new(),
            events: EventQueue::new(config.max_events),
            stats: Stats::default(),
            journal: Journal::new(),
            config,
        })
    }

    /// What a connected peer said last.
    pub fn info(&self, peer: &PeerId) -> Option<&PeerInfo> {
        self.known.get(peer)?.info.as_ref()
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop();
        self.journal.took(event.as_ref(), || Command::Poll);
        event
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
            peers: self.known.len(),
            exchanges: self.reading.len().saturating_add(self.writing.len()),
            pushes: self
                .outbox
                .waiting
                .len()
                .saturating_add(self.outbox.under_way.len()),
            shared: self.interned.len(),
            timers: self.timers.len(),
        }
    }

    fn emit(&mut self, seq: u64, event: Event) {
        let counter = match event {
            Event::Identified { .. } => &mut self.stats.identified,
            Event::Pushed { .. } => &mut self.stats.pushes_received,
            Event::Failed { .. } => &mut self.stats.failures,
            Event::PushSent { .. } => &mut self.stats.pushes_sent,
        };
        *counter = counter.saturating_add(1);
        if self.events.push(seq, event).is_err() {
            self.stats.events_dropped = self.stats.events_dropped.saturating_add(1);
        }
    }

    fn handle_connected(&mut self, cx: &mut Context<'_>, peer: PeerId, conn: ConnectionId) {
        let known = self.known.entry(peer).or_insert(Known {
            info: None,
            record_seq: None,
            connections: 0,
        });
        known.connections = known.connections.saturating_add(1);
        if let Ok(stream) = cx.open(Target::Connection(conn), &[IDENTIFY]) {
            self.read(cx, stream, peer);
        }
    }

    fn handle_disconnected(&mut self, peer: PeerId) {
        let Some(known) = self.known.get_mut(&peer) else {
            return;
        };
        known.connections = known.connections.saturating_sub(1);
        if known.connections == 0 {
            self.known.remove(&peer);
            self.outbox.waiting.remove(&peer);
        }
    }

    /// Begins to read messages from a stream.
    fn read(&mut self, cx: &Context<'_>, stream: StreamId, peer: PeerId) {
        self.reading.insert(
            stream,
            Reading {
                peer,
                message: Message::default(),
                messages: 0,
            },
        );
        self.timers
            .set(Timer::Exchange(stream), cx.now + self.config.timeout);
    }

    fn handle_opened(&mut self, cx: &mut Context<'_>, stream: StreamId, peer: PeerId, spec: u8) {
        match (stream.is_inbound(), spec) {
            (true, IDENTIFY) => self.write(cx, stream),
            (true, _) => {
                let from = cx.connection_info(stream.conn).map(|info| info.remote.clone());
                if from.is_some_and(|from| self.inbox.admit(cx.now, peer, &from)) {
                    self.read(cx, stream, peer);
                } else {
                    cx.reset(stream);
                    let failure = Failure::TooManyPushes;
                    self.emit(
                        cx.seq,
                        Event::Failed {
                            peer,
                            conn: stream.conn,
                            failure,
                        },
                    );
                }
            }
            // We have nothing to send to the one who identifies itself.
            (false, IDENTIFY) => cx.finish(stream),
            (false, _) => {}
        }
    }

    /// Sends what we are, and finishes.
    fn write(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let messages = self
            .ourselves
            .messages(cx, &self.identity, &self.config, stream.conn);
        self.writing.insert(stream, messages.into());
        self.timers
            .set(Timer::Exchange(stream), cx.now + self.config.timeout);
        self.pump(cx, stream);
    }

    fn pump(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(messages) = self.writing.get_mut(&stream) else {
            return;
        };
        while let Some(message) = messages.front() {
            if cx.write(stream, message.clone()).is_err() {
                return;
            }
            messages.pop_front();
        }
        self.writing.remove(&stream);
        if self.outbox.under_way.contains_key(&stream) {
            cx.notify_flushed(stream);
        }
        cx.finish(stream);
    }

    /// A push of ours has left; that the peer ends its side too is not waited for.
    fn handle_flushed(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        if let Some(peer) = self.outbox.under_way.remove(&stream) {
            self.emit(cx.seq, Event::PushSent { peer });
            self.push_next(cx);
        }
    }

    fn handle_message(&mut self, cx: &mut Context<'_>, stream: StreamId, data: &[u8]) {
        let Some(reading) = self.reading.get_mut(&stream) else {
            return;
        };
        reading.messages = reading.messages.saturating_add(1);
        let too_many = reading.messages > self.config.max_messages;
        if too_many || reading.message.merge(data, &self.config).is_err() {
            cx.reset(stream);
            self.fail(cx, stream, Failure::Malformed);
        }
    }

    /// The peer has sent all, or time is up: what came counts, if it is a whole message.
    fn conclude(&mut self, cx: &mut Context<'_>, stream: StreamId, otherwise: Failure) {
        self.timers.clear(Timer::Exchange(stream));
        match self.reading.get(&stream) {
            Some(reading) if reading.messages == 0 => self.fail(cx, stream, otherwise),
            Some(_) => {
                if let Some(reading) = self.reading.remove(&stream) {
                    cx.finish(stream);
                    self.learn(cx, stream, reading);
                }
            }
            None => {}
        }
    }

    fn learn(&mut self, cx: &mut Context<'_>, stream: StreamId, reading: Reading) {
        let (peer, conn, message) = (reading.peer, stream.conn, reading.message);
        let key_matches = |key: &Bytes| PublicKey::decode(key).is_ok_and(|key| key.peer_id() == peer);
        if message.public_key.as_ref().is_some_and(|key| !key_matches(key)) {
            let failure = Failure::WrongKey;
            self.emit(cx.seq, Event::Failed { peer, conn, failure });
            return;
        }
        let Some(known) = self.known.get_mut(&peer) else {
            return;
        };
        let envelope = message.signed_peer_record.as_ref();
        let opened = envelope.and_then(|envelope| PeerRecord::open(envelope).ok());
        let record = match opened.filter(|record| record.peer_id() == peer) {
            None => Record::None,
            Some(record) if known.record_seq.is_some_and(|seq| record.seq() <= seq) => Record::Known,
            Some(record) => {
                known.record_seq = Some(record.seq());
                Record::Newer(own_addrs(record.addrs(), peer, self.config.max_addrs))
            }
        };
        let message = Message {
            listen_addrs: own_addrs(&message.listen_addrs, peer, self.config.max_addrs),
            ..message
        };
        let is_push = stream.is_inbound();
        let info = match known.info.take() {
            Some(old) => self.interned.update(&old, message, record),
            None => self.interned.complete(message, record),
        };
        known.info = Some(info.clone());
        tell(cx, peer, conn, &info);
        let event = if is_push {
            Event::Pushed { peer, conn, info }
        } else {
            Event::Identified { peer, conn, info }
        };
        self.emit(cx.seq, event);
    }

    fn fail(&mut self, cx: &Context<'_>, stream: StreamId, failure: Failure) {
        self.timers.clear(Timer::Exchange(stream));
        if let Some(reading) = self.reading.remove(&stream) {
            self.emit(
                cx.seq,
                Event::Failed {
                    peer: reading.peer,
                    conn: stream.conn,
                    failure,
                },
            );
        }
    }

    fn handle_closed(&mut self, cx: &mut Context<'_>, stream: StreamId, reason: Closed) {
        self.writing.remove(&stream);
        let push = self.outbox.under_way.remove(&stream);
        let failure = match reason {
            Closed::Refused => Failure::Unsupported,
            Closed::TimedOut => Failure::TimedOut,
            Closed::FrameTooLarge | Closed::Malformed => Failure::Malformed,
            _ => Failure::StreamClosed,
        };
        if let Some(peer) = push {
            // A push whose end the peer has seen has left.
            self.emit(
                cx.seq,
                match reason {
                    Closed::Finished => Event::PushSent { peer },
                    _ => Event::Failed {
                        peer,
                        conn: stream.conn,
                        failure,
                    },
                },
            );
            self.push_next(cx);
        }
        match failure {
            // A peer that resets after a whole message (rust does, when it has no more to say) has said it.
            Failure::StreamClosed => self.conclude(cx, stream, failure),
            _ => self.fail(cx, stream, failure),
        }
        self.timers.clear(Timer::Exchange(stream));
    }

    fn handle_fact(&mut self, cx: &Context<'_>, fact: &Fact) {
        if self.ourselves.learn(fact) {
            self.outbox.changed(cx.now, &self.config);
            self.timers.set_or_clear(Timer::Push, self.outbox.due);
        }
    }

    /// The gathered changes leave: to every peer that wants pushes.
    fn push_all(&mut self, cx: &mut Context<'_>) {
        self.outbox.due = None;
        let wants = |known: &Known| {
            known
                .info
                .as_ref()
                .is_some_and(|info| info.protocols.contains(&PUSH_NAME))
        };
        self.outbox.waiting = self
            .known
            .iter()
            .filter(|(_, known)| wants(known))
            .map(|(peer, _)| *peer)
            .collect();
        self.push_next(cx);
    }

    fn push_next(&mut self, cx: &mut Context<'_>) {
        while let Some(peer) = self.outbox.next(&self.config) {
            if let Ok(stream) = cx.open(Target::Peer(peer), &[PUSH]) {
                self.outbox.under_way.insert(stream, peer);
                self.write(cx, stream);
            }
        }
    }
}

/// Tells the other protocols what a peer said.
fn tell(cx: &mut Context<'_>, peer: PeerId, conn: ConnectionId, info: &PeerInfo) {
    let from = cx.connection_info(conn).map(|info| info.remote.clone());
    let observed = info
        .observed_addr
        .clone()
        .zip(from)
        .map(|(addr, from)| Fact::ObservedAddress { addr, by: peer, from });
    let protocols = Fact::PeerProtocols {
        peer,
        protocols: info.protocols.clone(),
    };
    let addrs = Fact::PeerAddresses {
        peer,
        addrs: info.listen_addrs.clone(),
        certified: info.certified,
    };
    for fact in [Some(protocols), Some(addrs), observed].into_iter().flatten() {
        // A full queue of facts is the swarm's to report; the application has the event all the same.
        let _full = cx.tell(fact);
    }
}

/// The claimed addresses without their final `/p2p`; those of another peer are dropped.
fn own_addrs(addrs: &[Multiaddr], peer: PeerId, max: usize) -> Vec<Multiaddr> {
    let own = addrs.iter().filter_map(|addr| match addr.split_peer_id() {
        (_, None) => Some(addr.clone()),
        (Some(rest), Some(id)) if id == peer => Some(rest),
        _ => None,
    });
    own.take(max).collect()
}

impl Protocol for Identify {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Connected { peer, conn, .. } => self.handle_connected(cx, peer, conn),
            Input::Disconnected { peer, .. } => self.handle_disconnected(peer),
            Input::Opened {
                stream, peer, spec, ..
            } => self.handle_opened(cx, stream, peer, spec),
            Input::Frame { stream, data } => self.handle_message(cx, stream, &data),
            Input::Writable { stream } => self.pump(cx, stream),
            Input::Flushed { stream, .. } => self.handle_flushed(cx, stream),
            Input::Finished { stream } => self.conclude(cx, stream, Failure::StreamClosed),
            Input::Closed { stream, reason } => self.handle_closed(cx, stream, reason),
            Input::Fact(fact) => self.handle_fact(cx, &fact),
            Input::Timeout => match self.timers.pop_due(cx.now) {
                Some(Timer::Exchange(stream)) => {
                    self.conclude(cx, stream, Failure::TimedOut);
                    cx.reset(stream);
                }
                Some(Timer::Push) => self.push_all(cx),
                None => {}
            },
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.timers.next().map(|(at, timer)| {
            let why = match timer {
                Timer::Exchange(_) => "exchange",
                Timer::Push => "push",
            };
            Deadline::new(at, why)
        })
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
    }
}
