//! The swarm-level stand-in for a connection: the same messages, order, credit and limits, without bytes, cipher or multiplexer.
//!
//! What differs from the full path, on purpose: frames cross whole, so one frame may exceed the window by its own length; a link's bandwidth delays frames, but only
//! windows hold a sender back; length prefixes take no credit; pings of the multiplexer are not sent (the end of a silent link comes as late as they would find it).

use bytes::Bytes;
use libp2p_proto_core::{ConnectionId, Fault, PeerId, ProtocolName, Side, StreamId};
use libp2p_proto_stream_protocol::{
    Closed, Framing, FromConnection, LinkError, Seat, SpecId, SpecTable, StreamLimits, StreamOrder,
    ToConnection,
};
use smallvec::SmallVec;
use std::{collections::VecDeque, sync::Arc};

/// The receive window of a stream, as yamux begins it.
const WINDOW: usize = 256 * 1024;
/// Credit that is returned at once; less waits for more.
const GRANT: usize = WINDOW / 2;

/// The last message of the handshake, which the listener waits for.
const LAST: u8 = 5;

/// What two dialers on one link end with.
const CLASH: &str = "noise";

const NOISE: ProtocolName = ProtocolName::from_static("/noise");
const YAMUX: ProtocolName = ProtocolName::from_static("/yamux/1.0.0");

/// What crosses a pipe. Streams are told apart by a key that both ends know: twice a count, one more if the listener opened it.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    /// A step of the upgrade; each has the place of a message of the real one.
    Hello {
        step: u8,
        peer: PeerId,
    },
    Open {
        key: u32,
        names: SmallVec<[ProtocolName; 1]>,
    },
    Agreed {
        key: u32,
        place: u8,
    },
    Refused {
        key: u32,
    },
    Frame {
        key: u32,
        data: Bytes,
    },
    Grant {
        key: u32,
        bytes: usize,
    },
    Finish {
        key: u32,
    },
    Reset {
        key: u32,
    },
    Goodbye,
}

impl Wire {
    /// About what it takes on a wire, encryption left out.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Hello { .. } => 100,
            Self::Open { names, .. } => names
                .iter()
                .fold(32_usize, |sum, name| sum.saturating_add(name.as_str().len())),
            Self::Agreed { .. } | Self::Refused { .. } => 44,
            Self::Frame { data, .. } => data.len().saturating_add(12),
            _ => 12,
        }
    }

    /// For the trace: kind, stream, bytes.
    pub(crate) fn record(&self) -> (u8, u64, &[u8]) {
        match self {
            Self::Hello { step, peer } => (1, u64::from(*step), peer.as_bytes()),
            Self::Open { key, names } => {
                let name = names.first().map_or("", ProtocolName::as_str);
                (2, u64::from(*key), name.as_bytes())
            }
            Self::Agreed { key, .. } => (3, u64::from(*key), &[]),
            Self::Refused { key } => (4, u64::from(*key), &[]),
            Self::Frame { key, data } => (5, u64::from(*key), data),
            Self::Grant { key, bytes } => (6, u64::from(*key) ^ ((*bytes as u64) << 32), &[]),
            Self::Finish { key } => (7, u64::from(*key), &[]),
            Self::Reset { key } => (8, u64::from(*key), &[]),
            Self::Goodbye => (9, 0, &[]),
        }
    }
}

/// Where a swarm-level connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Upgrading,
    /// The swarm has not decided.
    Authenticated,
    Open,
    Closed,
}

#[derive(Debug)]
enum Stage {
    /// Ours; the answer is awaited. What is written meanwhile waits, unless it is lazy.
    Opening {
        proposals: SmallVec<[SpecId; 2]>,
        lazy: bool,
    },
    Open(SpecId),
}

#[derive(Debug)]
struct Stream {
    key: u32,
    id: StreamId,
    stage: Stage,
    framing: Framing,
    /// Nothing is delivered before the protocol says so.
    held: bool,
    inbox: VecDeque<Bytes>,
    outbox: VecDeque<Bytes>,
    /// What the peer has granted; below zero by one frame at most.
    window: i64,
    unread: usize,
    ungranted: usize,
    flushed: u32,
    flush_wanted: bool,
    finishing: bool,
    finish_sent: bool,
    finish_received: bool,
    finish_told: bool,
}

/// One end.
#[derive(Debug)]
pub(crate) struct Direct {
    conn: ConnectionId,
    side: Side,
    me: PeerId,
    expect: Option<PeerId>,
    phase: Phase,
    specs: Arc<SpecTable>,
    inbound: SmallVec<[(SpecId, u16); 2]>,
    limits: StreamLimits,
    limited: bool,
    streams: Vec<Stream>,
    accepted: u64,
    unread: usize,
}

/// What comes out of one call.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// For the swarm.
    pub(crate) news: VecDeque<FromConnection>,
    /// For the other end.
    pub(crate) wires: Vec<Wire>,
    /// Streams that were opened and wait for an answer: their keys.
    pub(crate) opened: Vec<u32>,
    /// The connection is over on our side.
    pub(crate) over: bool,
}

impl Direct {
    pub(crate) fn new(seat: Seat, me: PeerId) -> Self {
        Self {
            conn: seat.conn,
            side: seat.side,
            me,
            expect: seat.expect,
            phase: Phase::Upgrading,
            specs: seat.specs,
            inbound: seat.inbound,
            limits: seat.limits,
            limited: seat.limited,
            streams: Vec::new(),
            accepted: 0,
            unread: 0,
        }
    }

    /// The dialer speaks first.
    pub(crate) fn begin(&self, out: &mut Out) {
        if self.side.is_dialer() {
            out.wires.push(self.hello(1));
        }
    }

    const fn hello(&self, step: u8) -> Wire {
        let peer = self.me;
        Wire::Hello { step, peer }
    }

    /// Bytes that the swarm has not returned.
    pub(crate) const fn unread(&self) -> usize {
        self.unread
    }

    pub(crate) const fn limits(&self) -> &StreamLimits {
        &self.limits
    }

    /// Whether it takes what arrives now: not while the swarm decides on the peer, and not while the unread budget is used up.
    pub(crate) fn wants_input(&self) -> bool {
        self.phase != Phase::Authenticated && !self.is_full()
    }

    /// Whether its unread budget is used up.
    pub(crate) const fn is_full(&self) -> bool {
        self.unread >= self.limits.unread
    }

    /// Streams that wait for an answer.
    pub(crate) fn opening(&self) -> impl Iterator<Item = u32> {
        let waits = |stream: &&Stream| matches!(stream.stage, Stage::Opening { .. });
        self.streams.iter().filter(waits).map(|stream| stream.key)
    }

    /// How long stream `key` may take to open, if it is not open.
    pub(crate) fn open_timeout(&self, key: u32) -> Option<core::time::Duration> {
        let stream = self.streams.iter().find(|stream| stream.key == key)?;
        match &stream.stage {
            Stage::Opening { proposals, .. } => {
                let entry = self.specs.get(*proposals.first()?)?;
                Some(entry.spec.open_timeout)
            }
            Stage::Open(_) => None,
        }
    }

    fn place(&self, key: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.key == key)
    }

    fn by_id(&mut self, id: StreamId) -> Option<(usize, &mut Stream)> {
        self.streams
            .iter_mut()
            .enumerate()
            .find(|(_, stream)| stream.id == id)
    }

    fn by_key(&mut self, key: u32) -> Option<(usize, &mut Stream)> {
        self.streams
            .iter_mut()
            .enumerate()
            .find(|(_, stream)| stream.key == key)
    }

    // ── what the swarm orders ──

    pub(crate) fn handle_order(&mut self, order: ToConnection, out: &mut Out) {
        match order {
            ToConnection::Admit => self.admit(out),
            ToConnection::Open { stream, specs, lazy } => self.open(stream, specs, lazy, out),
            ToConnection::Write { stream, data } => {
                if let Some((place, known)) = self.by_id(stream) {
                    if !known.finishing {
                        self.write(place, data, out);
                    }
                }
            }
            ToConnection::Grant { stream, bytes } => self.granted(stream, bytes, out),
            ToConnection::Order { stream, order } => self.order(stream, order, out),
            ToConnection::SetInbound { spec, max } => {
                self.inbound.retain(|(known, _)| *known != spec);
                self.inbound.push((spec, max));
            }
            // The stand-in has no bytes that a connection inside of it could live on.
            ToConnection::Promote { seat, .. } => {
                let error = Some(LinkError {
                    fault: Fault::Local,
                    code: "no-bytes",
                });
                let (conn, news) = (seat.conn, Box::new(FromConnection::Disconnected { error }));
                out.news.push_back(FromConnection::Inner { conn, news });
            }
            ToConnection::Inner { .. } => {}
            ToConnection::Close => self.end(None, Some(Wire::Goodbye), out),
            ToConnection::Abort => self.end(None, None, out),
        }
    }

    fn admit(&mut self, out: &mut Out) {
        if self.phase != Phase::Authenticated {
            return;
        }
        self.phase = Phase::Open;
        out.news.push_back(FromConnection::Established {
            security: NOISE,
            muxer: YAMUX,
        });
        if self.side.is_dialer() {
            out.wires.push(self.hello(LAST));
        }
    }

    fn open(&mut self, id: StreamId, mut specs: SmallVec<[SpecId; 2]>, lazy: bool, out: &mut Out) {
        specs.retain(|spec| self.specs.get(*spec).is_some());
        let first = specs.first().and_then(|spec| self.specs.get(*spec));
        let Some(framing) = first.map(|entry| entry.spec.framing) else {
            let (stream, reason) = (id, Closed::Refused);
            out.news.push_back(FromConnection::Closed { stream, reason });
            return;
        };
        // Ids of ours are even.
        let count = u32::try_from(id.seq()).unwrap_or(u32::MAX);
        let key = if self.side.is_dialer() {
            count
        } else {
            count.saturating_add(1)
        };
        let names = specs
            .iter()
            .filter_map(|spec| self.specs.get(*spec))
            .map(|entry| entry.spec.name.clone())
            .collect();
        let proposals = specs;
        self.streams
            .push(Stream::new(key, id, Stage::Opening { proposals, lazy }, framing));
        out.wires.push(Wire::Open { key, names });
        out.opened.push(key);
    }

    fn granted(&mut self, id: StreamId, bytes: usize, out: &mut Out) {
        let Some((_, stream)) = self.by_id(id) else { return };
        let freed = bytes.min(stream.unread);
        stream.unread = stream.unread.saturating_sub(freed);
        stream.ungranted = stream.ungranted.saturating_add(freed);
        if stream.ungranted >= GRANT && !stream.finish_received {
            let bytes = core::mem::take(&mut stream.ungranted);
            let key = stream.key;
            out.wires.push(Wire::Grant { key, bytes });
        }
        self.unread = self.unread.saturating_sub(freed);
    }

    fn order(&mut self, id: StreamId, order: StreamOrder, out: &mut Out) {
        let Some((place, stream)) = self.by_id(id) else {
            return;
        };
        match order {
            StreamOrder::Finish => {
                stream.finishing = true;
                self.pump(place, out);
            }
            StreamOrder::Reset => {
                let key = stream.key;
                out.wires.push(Wire::Reset { key });
                self.close(place, Closed::LocalReset, out);
            }
            StreamOrder::Next | StreamOrder::HandOver => {
                stream.held = false;
                self.deliver(place, out);
            }
            StreamOrder::Reframe(framing) => {
                stream.framing = framing;
                stream.held = false;
                self.deliver(place, out);
            }
            StreamOrder::NotifyFlushed => {
                stream.flush_wanted = true;
                self.pump(place, out);
            }
            StreamOrder::Pause | StreamOrder::Resume => {}
        }
    }

    // ── what the other end says ──

    pub(crate) fn handle_wire(&mut self, wire: Wire, out: &mut Out) {
        match wire {
            Wire::Hello { step, peer } => self.hear_hello(step, peer, out),
            Wire::Open { key, names } => self.hear_open(key, &names, out),
            Wire::Agreed { key, place } => self.hear_agreed(key, place, out),
            Wire::Refused { key } => {
                if let Some(place) = self.place(key) {
                    self.close(place, Closed::Refused, out);
                }
            }
            Wire::Frame { key, data } => self.hear_frame(key, data, out),
            Wire::Grant { key, bytes } => {
                if let Some((place, stream)) = self.by_key(key) {
                    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                    stream.window = stream.window.saturating_add(bytes);
                    self.pump(place, out);
                }
            }
            Wire::Finish { key } => {
                if let Some((place, stream)) = self.by_key(key) {
                    stream.finish_received = true;
                    self.deliver(place, out);
                }
            }
            Wire::Reset { key } => {
                if let Some(place) = self.place(key) {
                    self.close(place, Closed::Reset, out);
                }
            }
            Wire::Goodbye => self.end(None, None, out),
        }
    }

    fn hear_hello(&mut self, step: u8, peer: PeerId, out: &mut Out) {
        if self.phase != Phase::Upgrading {
            return;
        }
        let known = match (step, self.side) {
            // Both took the dialer's role, and neither answers the other.
            (1 | 3, Side::Dialer) => {
                let error = LinkError {
                    fault: Fault::Peer,
                    code: CLASH,
                };
                return self.end(Some(error), Some(Wire::Goodbye), out);
            }
            (1..=3, _) => {
                out.wires.push(self.hello(step.saturating_add(1)));
                return;
            }
            (4, Side::Dialer) | (LAST, Side::Listener) => peer,
            _ => return,
        };
        if self.expect.is_some_and(|expect| expect != known) {
            out.news.push_back(FromConnection::WrongPeer { got: known });
            let error = LinkError {
                fault: Fault::Peer,
                code: "unexpected-peer",
            };
            self.end(Some(error), Some(Wire::Goodbye), out);
            return;
        }
        self.phase = Phase::Authenticated;
        out.news.push_back(FromConnection::Authenticated { peer });
    }

    fn max_inbound(&self, spec: SpecId) -> usize {
        let changed = self.inbound.iter().find(|(known, _)| *known == spec);
        let default = || self.specs.get(spec).map_or(0, |entry| entry.spec.max_inbound);
        usize::from(changed.map_or_else(default, |(_, max)| *max))
    }

    fn hear_open(&mut self, key: u32, names: &[ProtocolName], out: &mut Out) {
        if self.phase != Phase::Open {
            return;
        }
        let inbound = self.streams.iter().filter(|stream| stream.id.is_inbound());
        if inbound.count() >= self.limits.inbound {
            out.wires.push(Wire::Reset { key });
            return;
        }
        let served = |name: &ProtocolName| {
            self.specs
                .iter()
                .find(|(id, entry)| {
                    let fits = entry.spec.on_limited || !self.limited;
                    fits && entry.spec.matches(name.as_str()) && self.max_inbound(*id) > 0
                })
                .map(|(id, entry)| (id, entry.spec.framing, entry.spec.handed_over))
        };
        let found = names
            .iter()
            .enumerate()
            .find_map(|(place, name)| Some((place, name, served(name)?)));
        let id = StreamId::theirs(self.conn, self.accepted);
        self.accepted = self.accepted.saturating_add(1);
        let Some((place, name, (spec, framing, handed_over))) = found else {
            out.wires.push(Wire::Refused { key });
            return;
        };
        let same = |stream: &&Stream| {
            stream.id.is_inbound() && matches!(stream.stage, Stage::Open(known) if known == spec)
        };
        if self.streams.iter().filter(same).count() >= self.max_inbound(spec) {
            out.wires.push(Wire::Reset { key });
            return;
        }
        let mut stream = Stream::new(key, id, Stage::Open(spec), framing);
        stream.held = handed_over;
        self.streams.push(stream);
        out.news.push_back(FromConnection::Opened {
            stream: id,
            spec,
            name: name.clone(),
        });
        let place = u8::try_from(place).unwrap_or(u8::MAX);
        out.wires.push(Wire::Agreed { key, place });
    }

    fn hear_agreed(&mut self, key: u32, place: u8, out: &mut Out) {
        let Some((index, stream)) = self.by_key(key) else {
            return;
        };
        let Stage::Opening { proposals, .. } = &stream.stage else {
            return;
        };
        let (id, spec) = (stream.id, proposals.get(usize::from(place)).copied());
        let Some((spec, entry)) = spec.and_then(|spec| Some((spec, self.specs.get(spec)?))) else {
            return;
        };
        let (name, framing, held) = (
            entry.spec.name.clone(),
            entry.spec.framing,
            entry.spec.handed_over,
        );
        if let Some(stream) = self.streams.get_mut(index) {
            stream.stage = Stage::Open(spec);
            stream.framing = framing;
            stream.held = held;
        }
        out.news.push_back(FromConnection::Opened {
            stream: id,
            spec,
            name,
        });
        self.pump(index, out);
    }

    fn hear_frame(&mut self, key: u32, data: Bytes, out: &mut Out) {
        let Some((place, stream)) = self.by_key(key) else {
            return;
        };
        let bytes = data.len();
        stream.unread = stream.unread.saturating_add(bytes);
        // Most frames have nothing to wait for, and need no room to wait in.
        if let Framing::Fixed { .. } | Framing::Raw = stream.framing {
            if stream.inbox.is_empty() && !stream.held {
                let stream = stream.id;
                self.unread = self.unread.saturating_add(bytes);
                out.news.push_back(FromConnection::Frame { stream, data });
                return;
            }
        }
        stream.inbox.push_back(data);
        // Whoever gathers a whole message returns its credit meanwhile, since it might not fit the window.
        if matches!(stream.framing, Framing::UntilEnd { .. }) && !stream.held {
            out.wires.push(Wire::Grant { key, bytes });
        }
        self.unread = self.unread.saturating_add(bytes);
        self.deliver(place, out);
    }

    /// The link is broken.
    pub(crate) fn handle_reset(&mut self, code: &'static str, out: &mut Out) {
        let fault = Fault::Peer;
        self.end(Some(LinkError { fault, code }), None, out);
    }

    /// The time for the upgrade is over.
    pub(crate) fn upgrade_timed_out(&mut self, out: &mut Out) {
        if matches!(self.phase, Phase::Upgrading | Phase::Authenticated) {
            self.handle_reset("handshake-timeout", out);
        }
    }

    /// Stream `key` has not opened in time.
    pub(crate) fn open_timed_out(&mut self, key: u32, out: &mut Out) {
        let Some((place, stream)) = self.by_key(key) else {
            return;
        };
        if matches!(stream.stage, Stage::Opening { .. }) {
            out.wires.push(Wire::Reset { key });
            self.close(place, Closed::TimedOut, out);
        }
    }

    /// The unread budget was used up for longer than is allowed: the stream that holds most goes.
    pub(crate) fn unread_too_long(&mut self, out: &mut Out) {
        if !self.is_full() {
            return;
        }
        let most = self.streams.iter().enumerate();
        let most = most.max_by_key(|(_, stream)| stream.unread);
        let Some((place, key)) = most.map(|(place, stream)| (place, stream.key)) else {
            return;
        };
        out.wires.push(Wire::Reset { key });
        self.close(place, Closed::Limit, out);
    }

    // ── the parts ──

    /// Sends a frame, or lets it wait for the window.
    fn write(&mut self, place: usize, data: Bytes, out: &mut Out) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        let waits = matches!(stream.stage, Stage::Opening { lazy: false, .. });
        if waits || stream.window <= 0 || !stream.outbox.is_empty() || stream.flush_wanted || data.is_empty()
        {
            stream.outbox.push_back(data);
            return self.pump(place, out);
        }
        // As `pump` would, without a place to wait in.
        let (key, bytes) = (stream.key, data.len());
        stream.window = stream
            .window
            .saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        stream.flushed = stream.flushed.saturating_add(1);
        let stream = stream.id;
        out.wires.push(Wire::Frame { key, data });
        out.news.push_back(FromConnection::Sent { stream, bytes });
    }

    /// Sends what the window allows.
    fn pump(&mut self, place: usize, out: &mut Out) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        if matches!(stream.stage, Stage::Opening { lazy: false, .. }) {
            return;
        }
        let (key, id) = (stream.key, stream.id);
        let mut sent = 0_usize;
        while stream.window > 0 {
            let Some(data) = stream.outbox.pop_front() else {
                break;
            };
            let bytes = i64::try_from(data.len()).unwrap_or(i64::MAX);
            stream.window = stream.window.saturating_sub(bytes);
            stream.flushed = stream.flushed.saturating_add(1);
            sent = sent.saturating_add(data.len());
            out.wires.push(Wire::Frame { key, data });
        }
        if sent > 0 {
            out.news.push_back(FromConnection::Sent {
                stream: id,
                bytes: sent,
            });
        }
        if !stream.outbox.is_empty() {
            return;
        }
        if core::mem::take(&mut stream.flush_wanted) {
            let frames = core::mem::take(&mut stream.flushed);
            out.news.push_back(FromConnection::Flushed { stream: id, frames });
        }
        if stream.finishing && !core::mem::replace(&mut stream.finish_sent, true) {
            out.wires.push(Wire::Finish { key });
            self.close_if_over(place, out);
        }
    }

    /// Tells the swarm what may be told.
    fn deliver(&mut self, place: usize, out: &mut Out) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        let id = stream.id;
        let most = match stream.framing {
            Framing::LengthDelimited { max } | Framing::Held { max } | Framing::UntilEnd { max } => max,
            _ => usize::MAX,
        };
        if let Framing::UntilEnd { .. } = stream.framing {
            let gathered = stream.inbox.iter().map(Bytes::len).sum::<usize>();
            let too_large = gathered > most;
            if !stream.finish_received && !too_large {
                return;
            }
            let whole: Vec<u8> = stream.inbox.drain(..).flatten().collect();
            if !stream.finish_told {
                stream.inbox.push_back(whole.into());
            }
        }
        while !stream.held {
            let Some(data) = stream.inbox.pop_front() else {
                break;
            };
            if data.len() > most {
                let key = stream.key;
                out.wires.push(Wire::Reset { key });
                self.close(place, Closed::FrameTooLarge, out);
                return;
            }
            stream.held = matches!(stream.framing, Framing::Held { .. });
            out.news.push_back(FromConnection::Frame { stream: id, data });
        }
        let told = stream.finish_received && stream.inbox.is_empty();
        if told && !core::mem::replace(&mut stream.finish_told, true) {
            out.news.push_back(FromConnection::Finished { stream: id });
            self.close_if_over(place, out);
        }
    }

    fn close_if_over(&mut self, place: usize, out: &mut Out) {
        let over = |stream: &Stream| stream.finish_sent && stream.finish_told;
        if self.streams.get(place).is_some_and(over) {
            self.close(place, Closed::Finished, out);
        }
    }

    fn close(&mut self, place: usize, reason: Closed, out: &mut Out) {
        if place >= self.streams.len() {
            return;
        }
        let stream = self.streams.swap_remove(place);
        if self.streams.is_empty() && self.streams.capacity() > 4 {
            self.streams = Vec::new();
        }
        self.unread = self.unread.saturating_sub(stream.unread);
        let stream = stream.id;
        out.news.push_back(FromConnection::Closed { stream, reason });
    }

    fn end(&mut self, error: Option<LinkError>, last: Option<Wire>, out: &mut Out) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.unread = 0;
        let mut streams = core::mem::take(&mut self.streams);
        streams.sort_by_key(|stream| stream.id);
        for stream in streams {
            let (stream, reason) = (stream.id, Closed::ConnectionLost);
            out.news.push_back(FromConnection::Closed { stream, reason });
        }
        out.news.push_back(FromConnection::Disconnected { error });
        out.wires.extend(last);
        out.over = true;
    }
}

impl Stream {
    fn new(key: u32, id: StreamId, stage: Stage, framing: Framing) -> Self {
        Self {
            key,
            id,
            stage,
            framing,
            held: false,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            window: i64::try_from(WINDOW).unwrap_or(i64::MAX),
            unread: 0,
            ungranted: 0,
            flushed: 0,
            flush_wanted: false,
            finishing: false,
            finish_sent: false,
            finish_received: false,
            finish_told: false,
        }
    }
}
