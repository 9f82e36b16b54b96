//! The machine: requests of ours, and those of others.

use crate::{Config, Error, Failure, InboundFailure, Spec, config::validate};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Deadline, DialId, Instant, PeerId, ProtocolName, StreamId, Timers};
use libp2p_proto_stream_protocol::{
    Closed, Context, Dial, DialOutcome, EventQueue, Input, OpenError, Protocol, StreamSpec, Target,
};

/// A request of ours. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// A request of another peer. Never reused, and a type of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboundId(u64);

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer asks; answer with [`RequestResponse::respond`] or refuse with [`RequestResponse::reject`].
    Request {
        /// The request.
        id: InboundId,
        /// Who asks.
        peer: PeerId,
        /// On which connection.
        conn: ConnectionId,
        /// Under which name.
        name: ProtocolName,
        /// The message.
        data: Bytes,
    },
    /// An answer of ours has left.
    ResponseSent {
        /// The request.
        id: InboundId,
    },
    /// An answer of ours did not leave.
    InboundFailed {
        /// The request.
        id: InboundId,
        /// Why.
        failure: InboundFailure,
    },
    /// A request of ours was answered.
    Response {
        /// The request.
        id: RequestId,
        /// Who answered.
        peer: PeerId,
        /// On which connection.
        conn: ConnectionId,
        /// Under which name.
        name: ProtocolName,
        /// The message.
        data: Bytes,
    },
    /// A request of ours failed.
    Failed {
        /// The request.
        id: RequestId,
        /// Whom it was for.
        peer: PeerId,
        /// Why.
        failure: Failure,
    },
}

/// A request that has no stream yet.
#[derive(Debug)]
struct Queued {
    id: RequestId,
    specs: Vec<u8>,
    data: Bytes,
    timeout: Duration,
}

/// A request of ours on its stream.
#[derive(Debug)]
struct Outbound {
    id: RequestId,
    peer: PeerId,
    /// Not yet written.
    data: Option<Bytes>,
    name: Option<(u8, ProtocolName)>,
}

/// A request of another on its stream.
#[derive(Debug)]
struct Inbound {
    id: InboundId,
    peer: PeerId,
    spec: u8,
    name: ProtocolName,
    state: InboundState,
}

#[derive(Debug)]
enum InboundState {
    Reading,
    Asked,
    /// The answer waits for the stream to take it.
    Answering(Bytes),
    /// The answer was written; it has not left.
    Leaving,
}

#[derive(Debug)]
enum Wish {
    Request(PeerId, Queued),
    Cancel(RequestId),
    Respond(StreamId, Bytes),
    Reject(StreamId),
    Drop(StreamId),
}

/// A request-response protocol under one or several names.
#[derive(Debug)]
pub struct RequestResponse {
    config: Config,
    specs: Vec<Spec>,
    stream_specs: Vec<StreamSpec>,
    wishes: VecDeque<Wish>,
    queued: BTreeMap<PeerId, VecDeque<Queued>>,
    dialing: BTreeMap<DialId, PeerId>,
    outbound: BTreeMap<StreamId, Outbound>,
    inbound: BTreeMap<StreamId, Inbound>,
    by_inbound: BTreeMap<InboundId, StreamId>,
    timers: Timers<StreamId>,
    next_request: u64,
    next_inbound: u64,
    pending: usize,
    events: EventQueue<Event>,
}

impl RequestResponse {
    /// A protocol with these specs, in the order in which a request may propose them.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names what is missing or out of its range.
    pub fn new(specs: Vec<Spec>, config: Config) -> Result<Self, Error> {
        validate(&specs, &config)?;
        let stream_spec = |spec: &Spec| StreamSpec {
            max_inbound: config.max_inbound,
            max_outbound: config.max_outbound,
            send_capacity: spec.max_request.max(spec.max_response),
            open_timeout: config.timeout,
            ..StreamSpec::new(spec.name.clone(), spec.framing())
        };
        Ok(Self {
            stream_specs: specs.iter().map(stream_spec).collect(),
            events: EventQueue::new(config.max_events),
            specs,
            config,
            wishes: VecDeque::new(),
            queued: BTreeMap::new(),
            dialing: BTreeMap::new(),
            outbound: BTreeMap::new(),
            inbound: BTreeMap::new(),
            by_inbound: BTreeMap::new(),
            timers: Timers::new(),
            next_request: 1,
            next_inbound: 1,
            pending: 0,
        })
    }

    /// Asks a peer under one spec. Exactly one [`Event::Response`] or [`Event::Failed`] follows, unless it is cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSpec`], [`Error::TooLarge`], [`Error::QueueFull`].
    pub fn request(&mut self, peer: PeerId, spec: u8, data: Bytes) -> Result<RequestId, Error> {
        self.request_with(peer, &[spec], data, self.config.timeout)
    }

    /// The same, proposing several specs in order, and with a time limit of its own.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn request_with(
        &mut self,
        peer: PeerId,
        specs: &[u8],
        data: Bytes,
        timeout: Duration,
    ) -> Result<RequestId, Error> {
        let known = |index: &u8| self.specs.get(usize::from(*index));
        if specs.is_empty() || specs.iter().any(|index| known(index).is_none()) {
            return Err(Error::UnknownSpec);
        }
        if specs
            .iter()
            .filter_map(known)
            .any(|spec| data.len() > spec.max_request)
        {
            return Err(Error::TooLarge);
        }
        let waiting = self.queued.get(&peer).map_or(0, VecDeque::len);
        let wished = self
            .wishes
            .iter()
            .filter(|wish| matches!(wish, Wish::Request(to, _) if *to == peer))
            .count();
        if self.pending >= self.config.max_requests
            || waiting.saturating_add(wished) >= self.config.max_queued
        {
            return Err(Error::QueueFull);
        }
        let id = RequestId(self.next_request);
        self.next_request = self.next_request.saturating_add(1);
        self.pending = self.pending.saturating_add(1);
        self.wishes.push_back(Wish::Request(
            peer,
            Queued {
                id,
                specs: specs.to_vec(),
                data,
                timeout,
            },
        ));
        Ok(id)
    }

    /// Gives a request up, wherever it stands; no event follows. One that has ended is no error.
    pub fn cancel(&mut self, id: RequestId) {
        self.wishes.push_back(Wish::Cancel(id));
    }

    /// Answers a request. [`Event::ResponseSent`] or [`Event::InboundFailed`] follows.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`], [`Error::TooLarge`].
    pub fn respond(&mut self, id: InboundId, data: Bytes) -> Result<(), Error> {
        let (stream, spec) = self.asked(id)?;
        if self
            .specs
            .get(usize::from(spec))
            .is_none_or(|spec| data.len() > spec.max_response)
        {
            return Err(Error::TooLarge);
        }
        self.by_inbound.remove(&id);
        self.wishes.push_back(Wish::Respond(stream, data));
        Ok(())
    }

    /// Refuses a request: its stream is reset, which the peer can tell from an empty answer.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`].
    pub fn reject(&mut self, id: InboundId) -> Result<(), Error> {
        let (stream, _) = self.asked(id)?;
        self.by_inbound.remove(&id);
        self.wishes.push_back(Wish::Reject(stream));
        Ok(())
    }

    /// Leaves a request without an answer: its stream is finished with nothing on it.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`].
    pub fn omit(&mut self, id: InboundId) -> Result<(), Error> {
        let (stream, _) = self.asked(id)?;
        self.by_inbound.remove(&id);
        self.wishes.push_back(Wish::Drop(stream));
        Ok(())
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// The drive that made the oldest event.
    pub fn next_event_seq(&self) -> Option<u64> {
        self.events.next_seq()
    }

    fn asked(&self, id: InboundId) -> Result<(StreamId, u8), Error> {
        let stream = *self.by_inbound.get(&id).ok_or(Error::Gone)?;
        let inbound = self
            .inbound
            .get(&stream)
            .filter(|inbound| matches!(inbound.state, InboundState::Asked));
        inbound.map(|inbound| (stream, inbound.spec)).ok_or(Error::Gone)
    }

    fn emit(&mut self, seq: u64, event: Event) {
        // Every request of ours was counted against `max_requests`; an application that reads nothing loses the newest.
        drop(self.events.push(seq, event));
    }

    fn failed(&mut self, seq: u64, peer: PeerId, id: RequestId, failure: Failure) {
        self.pending = self.pending.saturating_sub(1);
        self.emit(seq, Event::Failed { id, peer, failure });
    }

    // ── requests of ours ──

    fn begin(&mut self, cx: &mut Context<'_>, peer: PeerId, queued: Queued) {
        if self.queued.get(&peer).is_some_and(|queue| !queue.is_empty()) {
            self.queued.entry(peer).or_default().push_back(queued);
            return;
        }
        self.try_open(cx, peer, queued);
    }

    /// Opens the stream of a request; one that must wait is put back at the front. Says whether the next may try.
    fn try_open(&mut self, cx: &mut Context<'_>, peer: PeerId, queued: Queued) -> bool {
        let connections = cx.connections(peer);
        // Spread over the connections by number, as rust-libp2p does.
        let place = queued
            .id
            .0
            .checked_rem(connections.len() as u64)
            .and_then(|place| usize::try_from(place).ok());
        let target = place
            .and_then(|place| connections.get(place))
            .map_or(Target::Peer(peer), |conn| Target::Connection(*conn));
        match cx.open(target, &queued.specs) {
            Ok(stream) => {
                self.timers.set(stream, cx.now + queued.timeout);
                self.outbound.insert(
                    stream,
                    Outbound {
                        id: queued.id,
                        peer,
                        data: Some(queued.data),
                        name: None,
                    },
                );
                self.write(cx, stream);
                true
            }
            Err(OpenError::TooManyStreams) => {
                self.queued.entry(peer).or_default().push_front(queued);
                false
            }
            Err(OpenError::NotConnected) if self.config.dial => match cx.dial(Dial::peer(peer)) {
                Ok(DialOutcome::Pending(dial)) => {
                    self.dialing.insert(dial, peer);
                    self.queued.entry(peer).or_default().push_front(queued);
                    false
                }
                Ok(DialOutcome::Connected(_)) => {
                    self.queued.entry(peer).or_default().push_front(queued);
                    false
                }
                Err(_) => {
                    self.failed(cx.seq, peer, queued.id, Failure::DialFailed);
                    true
                }
            },
            Err(_) => {
                self.failed(cx.seq, peer, queued.id, Failure::NotConnected);
                true
            }
        }
    }

    fn begin_queued(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        while let Some(queued) = self.queued.get_mut(&peer).and_then(VecDeque::pop_front) {
            if !self.try_open(cx, peer, queued) {
                break;
            }
        }
        if self.queued.get(&peer).is_some_and(VecDeque::is_empty) {
            self.queued.remove(&peer);
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(outbound) = self.outbound.get_mut(&stream) else {
            return;
        };
        if let Some(data) = outbound.data.take() {
            if cx.write(stream, data.clone()).is_ok() {
                let delimited = outbound
                    .name
                    .as_ref()
                    .and_then(|(spec, _)| self.specs.get(usize::from(*spec)));
                // A length says where the message ends, so the stream stays open; some peers take a half-close for a loss of interest.
                if delimited.is_none_or(|spec| !spec.delimited) {
                    cx.finish(stream);
                }
            } else {
                outbound.data = Some(data);
            }
        }
    }

    fn end_outbound(&mut self, cx: &mut Context<'_>, stream: StreamId, result: Result<Bytes, Failure>) {
        self.timers.clear(stream);
        let Some(outbound) = self.outbound.remove(&stream) else {
            return;
        };
        let Outbound { id, peer, name, .. } = outbound;
        match (result, name) {
            (Ok(data), Some((_, name))) => {
                self.pending = self.pending.saturating_sub(1);
                self.emit(
                    cx.seq,
                    Event::Response {
                        id,
                        peer,
                        conn: stream.conn,
                        name,
                        data,
                    },
                );
            }
            (Ok(_), None) => self.failed(cx.seq, peer, id, Failure::Malformed),
            (Err(failure), _) => self.failed(cx.seq, peer, id, failure),
        }
        self.begin_queued(cx, peer);
    }

    fn handle_outbound(&mut self, cx: &mut Context<'_>, stream: StreamId, input: Input) {
        let Some(outbound) = self.outbound.get_mut(&stream) else {
            return;
        };
        match input {
            Input::Opened { spec, name, .. } => {
                outbound.name = Some((spec, name));
                self.write(cx, stream);
            }
            Input::Writable { .. } => self.write(cx, stream),
            Input::Frame { data, .. } => {
                let spec = outbound
                    .name
                    .as_ref()
                    .and_then(|(spec, _)| self.specs.get(usize::from(*spec)));
                let fits = spec.is_some_and(|spec| data.len() <= spec.max_response);
                let empty_end = spec.is_some_and(|spec| !spec.delimited) && data.is_empty();
                if !fits {
                    cx.reset(stream);
                    self.end_outbound(cx, stream, Err(Failure::TooLarge));
                } else if empty_end {
                    self.end_outbound(cx, stream, Err(Failure::UnexpectedEnd));
                } else {
                    cx.finish(stream);
                    self.end_outbound(cx, stream, Ok(data));
                }
            }
            Input::Finished { .. } => self.end_outbound(cx, stream, Err(Failure::UnexpectedEnd)),
            Input::Closed { reason, .. } => {
                let failure = match reason {
                    Closed::Refused => Failure::UnsupportedProtocols,
                    Closed::TimedOut => Failure::TimedOut,
                    Closed::FrameTooLarge => Failure::TooLarge,
                    Closed::Malformed => Failure::Malformed,
                    Closed::UnexpectedEnd | Closed::Finished => Failure::UnexpectedEnd,
                    Closed::ConnectionLost => Failure::ConnectionClosed,
                    _ => Failure::StreamReset,
                };
                self.end_outbound(cx, stream, Err(failure));
            }
            _ => {}
        }
    }

    fn cancel_now(&mut self, cx: &mut Context<'_>, id: RequestId) {
        let stream = self
            .outbound
            .iter()
            .find(|(_, outbound)| outbound.id == id)
            .map(|(stream, _)| *stream);
        if let Some(stream) = stream {
            cx.reset(stream);
            self.timers.clear(stream);
            self.pending = self.pending.saturating_sub(1);
            if let Some(outbound) = self.outbound.remove(&stream) {
                self.begin_queued(cx, outbound.peer);
            }
            return;
        }
        for queue in self.queued.values_mut() {
            if let Some(place) = queue.iter().position(|queued| queued.id == id) {
                queue.remove(place);
                self.pending = self.pending.saturating_sub(1);
            }
        }
        self.queued.retain(|_, queue| !queue.is_empty());
    }

    // ── requests of others ──

    fn handle_inbound(&mut self, cx: &mut Context<'_>, stream: StreamId, input: Input) {
        if let Input::Opened { peer, spec, name, .. } = input {
            let id = InboundId(self.next_inbound);
            self.next_inbound = self.next_inbound.saturating_add(1);
            self.inbound.insert(
                stream,
                Inbound {
                    id,
                    peer,
                    spec,
                    name,
                    state: InboundState::Reading,
                },
            );
            self.timers.set(stream, cx.now + self.config.read_timeout);
            return;
        }
        let Some(inbound) = self.inbound.get_mut(&stream) else {
            return;
        };
        match input {
            Input::Frame { data, .. } if matches!(inbound.state, InboundState::Reading) => {
                let fits = self
                    .specs
                    .get(usize::from(inbound.spec))
                    .is_some_and(|spec| data.len() <= spec.max_request);
                if !fits || self.events.room() == 0 {
                    cx.reset(stream);
                    self.forget(stream);
                    return;
                }
                inbound.state = InboundState::Asked;
                let (id, peer, name) = (inbound.id, inbound.peer, inbound.name.clone());
                self.by_inbound.insert(id, stream);
                self.timers.set(stream, cx.now + self.config.respond_timeout);
                self.emit(
                    cx.seq,
                    Event::Request {
                        id,
                        peer,
                        conn: stream.conn,
                        name,
                        data,
                    },
                );
            }
            Input::Writable { .. } => self.answer(cx, stream),
            Input::Flushed { .. } if matches!(inbound.state, InboundState::Leaving) => {
                let id = inbound.id;
                self.forget(stream);
                self.emit(cx.seq, Event::ResponseSent { id });
            }
            Input::Finished { .. } if matches!(inbound.state, InboundState::Reading) => {
                cx.reset(stream);
                self.forget(stream);
            }
            Input::Closed { reason, .. } => {
                let failure = match reason {
                    Closed::Finished if matches!(inbound.state, InboundState::Leaving) => None,
                    Closed::ConnectionLost => Some(InboundFailure::ConnectionClosed),
                    _ => Some(InboundFailure::StreamReset),
                };
                let (id, told) = (inbound.id, !matches!(inbound.state, InboundState::Reading));
                self.forget(stream);
                match failure {
                    None => self.emit(cx.seq, Event::ResponseSent { id }),
                    Some(failure) if told => self.emit(cx.seq, Event::InboundFailed { id, failure }),
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(inbound) = self.inbound.get_mut(&stream) else {
            return;
        };
        if let InboundState::Answering(data) = &inbound.state {
            if cx.write(stream, data.clone()).is_ok() {
                inbound.state = InboundState::Leaving;
                cx.finish(stream);
                cx.notify_flushed(stream);
            }
        }
    }

    fn forget(&mut self, stream: StreamId) {
        self.timers.clear(stream);
        if let Some(inbound) = self.inbound.remove(&stream) {
            self.by_inbound.remove(&inbound.id);
        }
    }

    fn fulfil(&mut self, cx: &mut Context<'_>, wish: Wish) {
        match wish {
            Wish::Request(peer, queued) => self.begin(cx, peer, queued),
            Wish::Cancel(id) => self.cancel_now(cx, id),
            Wish::Respond(stream, data) => {
                if let Some(inbound) = self.inbound.get_mut(&stream) {
                    inbound.state = InboundState::Answering(data);
                    self.answer(cx, stream);
                }
            }
            Wish::Reject(stream) => {
                cx.reset(stream);
                self.forget(stream);
            }
            Wish::Drop(stream) => {
                cx.finish(stream);
                if let Some(id) = self.inbound.get(&stream).map(|inbound| inbound.id) {
                    self.forget(stream);
                    let failure = InboundFailure::ResponseOmission;
                    self.emit(cx.seq, Event::InboundFailed { id, failure });
                }
            }
        }
    }

    fn expire(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some(stream) = self.timers.pop_due(now) else {
            return;
        };
        cx.reset(stream);
        if stream.is_inbound() {
            let told = self
                .inbound
                .get(&stream)
                .filter(|inbound| !matches!(inbound.state, InboundState::Reading));
            if let Some(id) = told.map(|inbound| inbound.id) {
                let failure = InboundFailure::TimedOut;
                self.emit(cx.seq, Event::InboundFailed { id, failure });
            }
            self.forget(stream);
        } else {
            self.end_outbound(cx, stream, Err(Failure::TimedOut));
        }
    }

    fn fail_queued(&mut self, cx: &Context<'_>, peer: PeerId) {
        for queued in self.queued.remove(&peer).unwrap_or_default() {
            self.failed(cx.seq, peer, queued.id, Failure::DialFailed);
        }
    }
}

impl Protocol for RequestResponse {
    fn specs(&self) -> &[StreamSpec] {
        &self.stream_specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Opened { stream, .. }
            | Input::Frame { stream, .. }
            | Input::Writable { stream }
            | Input::Flushed { stream, .. }
            | Input::Finished { stream }
            | Input::Closed { stream, .. } => {
                if stream.is_inbound() {
                    self.handle_inbound(cx, stream, input);
                } else {
                    self.handle_outbound(cx, stream, input);
                }
            }
            Input::Connected { peer, .. } => {
                self.dialing.retain(|_, dialed| *dialed != peer);
                self.begin_queued(cx, peer);
            }
            Input::Disconnected { peer, last: true, .. } => self.begin_queued(cx, peer),
            Input::DialFailed { dial, .. } => {
                if let Some(peer) = self.dialing.remove(&dial) {
                    self.fail_queued(cx, peer);
                }
            }
            Input::Timeout => {
                self.expire(cx, cx.now);
                if let Some(wish) = self.wishes.pop_front() {
                    self.fulfil(cx, wish);
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.wishes.is_empty() {
            self.timers.next().map(|(at, _)| Deadline::new(at, "request"))
        } else {
            Some(Deadline::now("command"))
        }
    }
}
