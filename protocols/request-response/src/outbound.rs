//! Requests of ours.

use crate::{
    Config, Error, Event, Failure, Request, RequestId,
    codec::{Decoder, Item, encode_request},
    config::Family,
    machine::Terms,
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{DialId, PeerId, ProtocolName, StreamId, Timers};
use libp2p_proto_stream_protocol::{
    Closed, Context, Dial, DialOutcome, EventQueue, Input, OpenError, Target,
};

/// When a stream that another protocol's streams left no room for is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// What one part that the application has not read costs besides its bytes.
const PART_COST: usize = 128;

/// A request that has not ended.
#[derive(Debug)]
struct Pending {
    peer: PeerId,
    request: Request,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// For a connection, or for its turn.
    Waiting,
    /// A stream is open, or being opened.
    OnStream(Box<Exchange>),
}

#[derive(Debug)]
struct Exchange {
    stream: StreamId,
    sent: bool,
    agreed: Option<Agreed>,
    parts: u64,
    /// What the parts cost that the application has not read.
    unread: usize,
    paused: bool,
}

/// What a stream speaks.
#[derive(Debug)]
struct Agreed {
    spec: u8,
    name: ProtocolName,
    decoder: Decoder,
}

/// The requests for one peer.
#[derive(Debug, Default)]
struct Line {
    /// Those without a stream, in order.
    waiting: VecDeque<RequestId>,
    /// Those on streams, by the spec that they propose first.
    under_way: BTreeMap<u8, u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A request must get a stream.
    Wait(RequestId),
    /// A peer's line is tried again.
    Retry(PeerId),
    /// A stream must have served, and its peer must have ended it.
    Stream(StreamId),
}

/// What became of a try to get a stream.
enum Start {
    /// The request has left its line.
    Left,
    /// It stays; others may try.
    Stays,
}

#[derive(Debug)]
pub(crate) struct Outbound {
    pending: BTreeMap<RequestId, Pending>,
    lines: BTreeMap<PeerId, Line>,
    streams: BTreeMap<StreamId, RequestId>,
    /// Streams whose request was answered, but which the peer has not ended.
    served: BTreeMap<StreamId, (RequestId, PeerId, ProtocolName)>,
    dialing: BTreeMap<DialId, PeerId>,
    timers: Timers<Timer>,
    /// What the next drive does: lines to look at, streams to reset, streams to read from again.
    changed: BTreeSet<PeerId>,
    resets: BTreeSet<StreamId>,
    resumes: BTreeSet<StreamId>,
    next_id: u64,
    pub(crate) events: EventQueue<Event>,
}

impl Outbound {
    pub(crate) fn new() -> Self {
        Self {
            pending: BTreeMap::new(),
            lines: BTreeMap::new(),
            streams: BTreeMap::new(),
            served: BTreeMap::new(),
            dialing: BTreeMap::new(),
            timers: Timers::new(),
            changed: BTreeSet::new(),
            resets: BTreeSet::new(),
            resumes: BTreeSet::new(),
            next_id: 1,
            // Ends are bounded by `max_requests`, parts by `max_unread`, and everything else asks for room.
            events: EventQueue::new(usize::MAX),
        }
    }

    // ── commands ──

    pub(crate) fn request(
        &mut self,
        terms: &Terms,
        peer: PeerId,
        request: Request,
    ) -> Result<RequestId, Error> {
        if request.payloads.is_empty() {
            return Err(Error::UnknownSpec);
        }
        for (index, message) in &request.payloads {
            let spec = terms.spec(*index).filter(|spec| spec.may_ask());
            if !spec.ok_or(Error::UnknownSpec)?.requests.contains(&message.len()) {
                return Err(Error::TooLarge);
            }
        }
        let config = &terms.config;
        let unread = self.pending.len().saturating_add(self.events.len());
        let waiting = self.lines.get(&peer).map_or(0, |line| line.waiting.len());
        if unread >= config.max_requests || waiting >= config.max_queued {
            return Err(Error::QueueFull);
        }
        let id = RequestId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        let stage = Stage::Waiting;
        self.pending.insert(id, Pending { peer, request, stage });
        self.lines.entry(peer).or_default().waiting.push_back(id);
        self.changed.insert(peer);
        Ok(id)
    }

    pub(crate) fn cancel(&mut self, terms: &Terms, id: RequestId) {
        if let Some(pending) = self.remove(terms, id) {
            if let Stage::OnStream(exchange) = pending.stage {
                self.resets.insert(exchange.stream);
                self.changed.insert(pending.peer);
            }
        }
    }

    /// The application has read a part.
    pub(crate) fn part_read(&mut self, config: &Config, id: RequestId, len: usize) {
        if let Some(Stage::OnStream(exchange)) = self.pending.get_mut(&id).map(|pending| &mut pending.stage) {
            exchange.unread = exchange.unread.saturating_sub(len.saturating_add(PART_COST));
            if exchange.paused && exchange.unread <= config.max_unread / 2 {
                self.resumes.insert(exchange.stream);
            }
        }
    }

    // ── getting a stream ──

    /// Gives streams to the waiting requests of a peer, in order, as far as there are any.
    fn advance(&mut self, cx: &mut Context<'_>, terms: &mut Terms, peer: PeerId) {
        let waiting = self.lines.get(&peer).map(|line| line.waiting.clone());
        for id in waiting.unwrap_or_default() {
            match self.start(cx, terms, peer, id) {
                Start::Left => {
                    if let Some(line) = self.lines.get_mut(&peer) {
                        line.waiting.retain(|waiting| *waiting != id);
                    }
                }
                Start::Stays if self.timers.get(Timer::Wait(id)).is_none() => {
                    self.timers
                        .set(Timer::Wait(id), cx.now + terms.config.wait_timeout);
                }
                Start::Stays => {}
            }
        }
        self.drop_idle_line(peer);
    }

    fn start(&mut self, cx: &mut Context<'_>, terms: &mut Terms, peer: PeerId, id: RequestId) -> Start {
        let Some(Pending { request, .. }) = self.pending.get(&id) else {
            return Start::Left;
        };
        let proposals: Vec<u8> = request.payloads.iter().map(|(spec, _)| *spec).collect();
        let Some((first, spec)) = proposals
            .first()
            .and_then(|first| Some((*first, terms.spec(*first)?)))
        else {
            return Start::Left;
        };
        let max = spec.max_outbound.unwrap_or(terms.config.max_outbound);
        let under_way = self.lines.get(&peer).and_then(|line| line.under_way.get(&first));
        if under_way.is_some_and(|under_way| *under_way >= max) {
            return Start::Stays;
        }
        // Requests are spread over the connections by their number, as in rust-libp2p.
        let connections = cx.connections(peer);
        let place = id.0.checked_rem(connections.len() as u64).unwrap_or(0);
        let conn = usize::try_from(place)
            .ok()
            .and_then(|place| connections.get(place));
        match cx.open(
            conn.map_or(Target::Peer(peer), |conn| Target::Connection(*conn)),
            &proposals,
        ) {
            Ok(stream) => {
                self.begin(cx, terms, id, stream, first);
                Start::Left
            }
            Err(OpenError::TooManyStreams) => {
                self.timers.set(Timer::Retry(peer), cx.now + RETRY);
                Start::Stays
            }
            Err(OpenError::NotConnected) => self.dial(cx, terms, peer, id),
            Err(_) => self.fail(cx, terms, id, Failure::NotConnected),
        }
    }

    fn dial(&mut self, cx: &mut Context<'_>, terms: &mut Terms, peer: PeerId, id: RequestId) -> Start {
        let Some(Pending { request, .. }) = self.pending.get(&id) else {
            return Start::Left;
        };
        if !request.dial.unwrap_or(terms.config.dial) {
            return self.fail(cx, terms, id, Failure::NotConnected);
        }
        let under_way = self.dialing.values().any(|dialed| *dialed == peer);
        if under_way && (request.addrs.is_empty() || self.timers.get(Timer::Wait(id)).is_some()) {
            return Start::Stays;
        }
        let dial = Dial {
            addrs: request.addrs.clone(),
            ..Dial::peer(peer)
        };
        match cx.dial(dial) {
            Ok(DialOutcome::Pending(dial)) => {
                self.dialing.insert(dial, peer);
                Start::Stays
            }
            Ok(DialOutcome::Connected(_)) => {
                self.timers.set(Timer::Retry(peer), cx.now + RETRY);
                Start::Stays
            }
            // A dial that is refused beside one that runs says nothing of that one.
            Err(_) if under_way => Start::Stays,
            Err(_) => self.fail(cx, terms, id, Failure::DialFailed),
        }
    }

    fn begin(&mut self, cx: &mut Context<'_>, terms: &Terms, id: RequestId, stream: StreamId, first: u8) {
        self.timers.clear(Timer::Wait(id));
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        pending.stage = Stage::OnStream(Box::new(Exchange {
            stream,
            sent: false,
            agreed: None,
            parts: 0,
            unread: 0,
            paused: false,
        }));
        let timeout = pending.request.timeout.unwrap_or(terms.config.timeout);
        self.timers.set(Timer::Stream(stream), cx.now + timeout);
        self.streams.insert(stream, id);
        let line = self.lines.entry(pending.peer).or_default();
        let under_way = line.under_way.entry(first).or_default();
        *under_way = under_way.saturating_add(1);
        self.write(cx, terms, stream);
    }

    // ── on a stream ──

    pub(crate) fn handle(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId, input: Input) {
        let Some(id) = self.streams.get(&stream).copied() else {
            self.handle_served(cx, terms, stream, &input);
            return;
        };
        match input {
            Input::Opened { spec, name, .. } => {
                self.agree(terms, id, spec, name);
                self.write(cx, terms, stream);
            }
            Input::Writable { .. } => self.write(cx, terms, stream),
            Input::Frame { data, .. } => self.read(cx, terms, stream, data),
            Input::Finished { .. } => {
                let item = self
                    .decoder(stream)
                    .map_or(Err(Failure::UnexpectedEnd), Decoder::finish);
                match item {
                    Ok(item) => self.take(cx, terms, stream, item),
                    Err(failure) => self.break_off(cx, terms, stream, failure),
                }
            }
            Input::Closed { reason, .. } => {
                self.fail(cx, terms, id, failure_of(reason));
            }
            _ => {}
        }
    }

    fn exchange(&mut self, stream: StreamId) -> Option<(RequestId, &mut Exchange, &Request)> {
        let id = *self.streams.get(&stream)?;
        match self.pending.get_mut(&id)? {
            Pending {
                stage: Stage::OnStream(exchange),
                request,
                ..
            } => Some((id, exchange, request)),
            Pending { .. } => None,
        }
    }

    fn decoder(&mut self, stream: StreamId) -> Option<&mut Decoder> {
        let (_, exchange, _) = self.exchange(stream)?;
        Some(&mut exchange.agreed.as_mut()?.decoder)
    }

    fn agree(&mut self, terms: &Terms, id: RequestId, spec: u8, name: ProtocolName) {
        let Some(Pending {
            stage: Stage::OnStream(exchange),
            request,
            ..
        }) = self.pending.get_mut(&id)
        else {
            return;
        };
        exchange.agreed = terms.spec(spec).map(|found| Agreed {
            spec,
            name,
            decoder: Decoder::response(found, !request.in_parts),
        });
    }

    /// Sends the request once the stream takes it: the message of the agreed spec, or the only one.
    fn write(&mut self, cx: &mut Context<'_>, terms: &Terms, stream: StreamId) {
        let Some((_, exchange, request)) = self.exchange(stream) else {
            return;
        };
        let payload = match (&exchange.agreed, request.payloads.as_slice()) {
            (Some(agreed), payloads) => payloads.iter().find(|(spec, _)| *spec == agreed.spec),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let Some((spec, message)) = payload.filter(|_| !exchange.sent && cx.writable(stream) > 0) else {
            return;
        };
        let Some(spec) = terms.spec(*spec) else { return };
        let bytes = encode_request(spec, message);
        if bytes.is_empty() || cx.write(stream, bytes).is_ok() {
            exchange.sent = true;
            if spec.half_close {
                cx.finish(stream);
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId, mut data: Bytes) {
        while let Some(decoder) = self.decoder(stream) {
            match decoder.feed(&mut data) {
                Ok(Some(item)) => self.take(cx, terms, stream, item),
                Ok(None) => return,
                Err(failure) => return self.break_off(cx, terms, stream, failure),
            }
        }
        if !data.is_empty() {
            self.surplus(cx, terms, stream);
        }
    }

    fn take(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId, item: Item) {
        let Some((id, exchange, request)) = self.exchange(stream) else {
            return;
        };
        if !exchange.sent {
            // An answer to what was not asked.
            return self.break_off(cx, terms, stream, Failure::Malformed);
        }
        match item {
            Item::Message(data) => self.answered(cx, terms, id, stream, data),
            Item::End => self.answered(cx, terms, id, stream, Bytes::new()),
            Item::Rejected(rejection) => self.break_off(cx, terms, stream, Failure::Rejected(rejection)),
            Item::Part { context, data } => {
                let spec = exchange
                    .agreed
                    .as_ref()
                    .and_then(|agreed| terms.spec(agreed.spec));
                let chunked = spec.is_some_and(|spec| matches!(spec.family, Family::Chunks { .. }));
                if chunked && request.max_parts == 0 {
                    return self.break_off(cx, terms, stream, Failure::TooManyParts);
                }
                exchange.parts = exchange.parts.saturating_add(1);
                exchange.unread = exchange
                    .unread
                    .saturating_add(data.len())
                    .saturating_add(PART_COST);
                if exchange.unread > terms.config.max_unread && !exchange.paused {
                    exchange.paused = true;
                    cx.pause(stream);
                }
                let last = chunked && exchange.parts >= request.max_parts;
                self.emit(cx.seq, Event::Part { id, context, data });
                if last {
                    self.answered(cx, terms, id, stream, Bytes::new());
                }
            }
        }
    }

    /// The response is whole. The stream lives on until the peer ends it too, or until the request's time is over.
    fn answered(
        &mut self,
        cx: &mut Context<'_>,
        terms: &mut Terms,
        id: RequestId,
        stream: StreamId,
        data: Bytes,
    ) {
        let deadline = self.timers.get(Timer::Stream(stream));
        let Some(pending) = self.remove(terms, id) else {
            return;
        };
        let peer = pending.peer;
        let agreed = match pending.stage {
            Stage::OnStream(exchange) => exchange.agreed,
            Stage::Waiting => None,
        };
        if let Some(agreed) = agreed {
            cx.finish(stream);
            // What is on its way behind the response must not keep the stream from ending.
            cx.resume(stream);
            self.timers.set_or_clear(Timer::Stream(stream), deadline);
            self.served.insert(stream, (id, peer, agreed.name.clone()));
            terms.stats.responses = terms.stats.responses.saturating_add(1);
            self.emit(
                cx.seq,
                Event::Response {
                    id,
                    peer,
                    conn: stream.conn,
                    name: agreed.name,
                    data,
                },
            );
        }
        self.changed.insert(peer);
    }

    fn handle_served(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId, input: &Input) {
        match input {
            Input::Frame { data, .. } if !data.is_empty() => self.surplus(cx, terms, stream),
            Input::Closed { .. } => {
                self.timers.clear(Timer::Stream(stream));
                if let Some((_, peer, _)) = self.served.remove(&stream) {
                    self.changed.insert(peer);
                }
            }
            _ => {}
        }
    }

    fn surplus(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId) {
        let Some((id, peer, name)) = self.served.remove(&stream) else {
            return;
        };
        cx.reset(stream);
        self.timers.clear(Timer::Stream(stream));
        terms.stats.surplus = terms.stats.surplus.saturating_add(1);
        if self.events.len() < terms.config.max_requests {
            let conn = stream.conn;
            self.emit(cx.seq, Event::Surplus { id, peer, conn, name });
        }
    }

    // ── ends ──

    /// Resets the stream of a request and fails it.
    fn break_off(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId, failure: Failure) {
        cx.reset(stream);
        if let Some(id) = self.streams.get(&stream).copied() {
            self.fail(cx, terms, id, failure);
        }
    }

    fn fail(&mut self, cx: &mut Context<'_>, terms: &mut Terms, id: RequestId, failure: Failure) -> Start {
        if let Some(Pending { peer, stage, .. }) = self.remove(terms, id) {
            let (conn, agreed) = match stage {
                Stage::Waiting => (None, None),
                Stage::OnStream(exchange) => (Some(exchange.stream.conn), exchange.agreed),
            };
            terms.stats.failures = terms.stats.failures.saturating_add(1);
            self.emit(
                cx.seq,
                Event::Failed {
                    id,
                    peer,
                    conn,
                    name: agreed.map(|agreed| agreed.name),
                    failure,
                },
            );
            self.changed.insert(peer);
        }
        Start::Left
    }

    /// Forgets a request and everything that hangs on it.
    fn remove(&mut self, terms: &Terms, id: RequestId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.timers.clear(Timer::Wait(id));
        if let Some(line) = self.lines.get_mut(&pending.peer) {
            match &pending.stage {
                Stage::Waiting => line.waiting.retain(|waiting| *waiting != id),
                Stage::OnStream(exchange) => {
                    self.timers.clear(Timer::Stream(exchange.stream));
                    self.streams.remove(&exchange.stream);
                    self.resumes.remove(&exchange.stream);
                    let first = pending.request.payloads.first().map(|(spec, _)| *spec);
                    let known = first.filter(|first| terms.spec(*first).is_some());
                    if let Some(under_way) = known.and_then(|first| line.under_way.get_mut(&first)) {
                        *under_way = under_way.saturating_sub(1);
                    }
                    line.under_way.retain(|_, under_way| *under_way > 0);
                }
            }
        }
        self.drop_idle_line(pending.peer);
        Some(pending)
    }

    fn drop_idle_line(&mut self, peer: PeerId) {
        let idle = |line: &Line| line.waiting.is_empty() && line.under_way.is_empty();
        if self.lines.get(&peer).is_some_and(idle) {
            self.lines.remove(&peer);
            self.timers.clear(Timer::Retry(peer));
        }
    }

    fn emit(&mut self, seq: u64, event: Event) {
        // The queue has no limit of its own; see `new`.
        let _unbounded = self.events.push(seq, event);
    }

    // ── what the swarm tells ──

    pub(crate) fn handle_connected(&mut self, cx: &mut Context<'_>, terms: &mut Terms, peer: PeerId) {
        self.dialing.retain(|_, dialed| *dialed != peer);
        self.advance(cx, terms, peer);
    }

    pub(crate) fn handle_dial_failed(&mut self, cx: &mut Context<'_>, terms: &mut Terms, dial: DialId) {
        let Some(peer) = self.dialing.remove(&dial) else {
            return;
        };
        if self.dialing.values().any(|dialed| *dialed == peer) || !cx.connections(peer).is_empty() {
            return;
        }
        let waiting = self.lines.get(&peer).map(|line| line.waiting.clone());
        for id in waiting.unwrap_or_default() {
            self.fail(cx, terms, id, Failure::DialFailed);
        }
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>, terms: &mut Terms) {
        while let Some(stream) = self.resets.pop_first() {
            cx.reset(stream);
        }
        while let Some(stream) = self.resumes.pop_first() {
            if let Some((_, exchange, _)) = self.exchange(stream) {
                exchange.paused = false;
                cx.resume(stream);
            }
        }
        if let Some(peer) = self.changed.pop_first() {
            self.advance(cx, terms, peer);
        }
        match self.timers.pop_due(cx.now) {
            Some(Timer::Wait(id)) => {
                let peer = self.pending.get(&id).map(|pending| pending.peer);
                let connected = peer.is_some_and(|peer| !cx.connections(peer).is_empty());
                let failure = if connected {
                    Failure::TooManyStreams
                } else {
                    Failure::DialFailed
                };
                self.fail(cx, terms, id, failure);
                // A dial that nobody waits for any more is forgotten; its end concerns nobody.
                self.dialing.retain(|_, dialed| self.lines.contains_key(dialed));
            }
            Some(Timer::Retry(peer)) => self.advance(cx, terms, peer),
            Some(Timer::Stream(stream)) => {
                if self.served.remove(&stream).is_some() {
                    cx.reset(stream);
                } else {
                    self.break_off(cx, terms, stream, Failure::TimedOut);
                }
            }
            None => {}
        }
    }

    pub(crate) fn deadline(&self) -> Option<libp2p_proto_core::Deadline> {
        use libp2p_proto_core::Deadline;
        if !self.changed.is_empty() || !self.resets.is_empty() || !self.resumes.is_empty() {
            return Some(Deadline::now("command"));
        }
        self.timers.next().map(|(at, timer)| {
            let why = match timer {
                Timer::Wait(_) => "wait",
                Timer::Retry(_) => "retry",
                Timer::Stream(_) => "request",
            };
            Deadline::new(at, why)
        })
    }

    /// Requests, lines, streams, dials, deadlines.
    pub(crate) fn census(&self) -> [usize; 5] {
        [
            self.pending.len(),
            self.lines.len(),
            self.streams.len().saturating_add(self.served.len()),
            self.dialing.len(),
            self.timers.len(),
        ]
    }
}

const fn failure_of(reason: Closed) -> Failure {
    match reason {
        Closed::Refused => Failure::UnsupportedProtocols,
        Closed::TimedOut => Failure::TimedOut,
        Closed::FrameTooLarge => Failure::TooLarge,
        Closed::Malformed => Failure::Malformed,
        Closed::UnexpectedEnd | Closed::Finished => Failure::UnexpectedEnd,
        Closed::ConnectionLost => Failure::ConnectionClosed,
        _ => Failure::StreamReset,
    }
}
