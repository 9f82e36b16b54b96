//! Requests of others.

use crate::{
    Error, Event, Excess, Failure, InboundFailure, InboundId, Spec,
    codec::{Decoder, Item, encode_rejection, encode_response},
    config::Family,
    machine::Terms,
};
use alloc::collections::{BTreeMap, BTreeSet};
use bytes::Bytes;
use libp2p_proto_core::{
    ConnectionId, Deadline, Instant, PeerId, ProtocolName, Rate, Rates, StreamId, Timers,
};
use libp2p_proto_stream_protocol::{Closed, Context, EventQueue, Input};

/// Events that a request may still cause once the application knows it: that the next part may be given, and its end.
const RESERVED: usize = 2;
/// The code of an invalid request in Ethereum's framing.
const INVALID_REQUEST: u8 = 1;
/// The code of a server error in Ethereum's framing.
const SERVER_ERROR: u8 = 2;

/// One stream of another peer.
#[derive(Debug)]
struct Inbound {
    id: InboundId,
    peer: PeerId,
    spec: u8,
    name: ProtocolName,
    /// Whether the application knows the request, so that its end is reported.
    told: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The request is coming.
    Reading(Decoder),
    /// The request is whole and waits for its turn, until then at most.
    Delayed { data: Bytes, until: Instant },
    /// The application works. It has given so many bytes of the answer.
    Asked { given: usize },
    /// Bytes of an answer that the stream has not taken, and what comes behind them.
    Answering { data: Bytes, given: usize, then: Then },
    /// The stream has taken the answer; it has not left.
    Leaving,
    /// It is over for us; the peer has not ended the stream.
    Over,
}

/// What comes behind the bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// More parts.
    Continue,
    /// The end of the stream.
    Finish,
    /// A reset instead of an answer.
    Reset,
    /// The end of the stream instead of an answer.
    Omit,
}

#[derive(Debug)]
pub(crate) struct InboundHalf {
    streams: BTreeMap<StreamId, Inbound>,
    by_id: BTreeMap<InboundId, StreamId>,
    /// Bytes of requests of each connection that are incomplete or that the application has not read.
    held: BTreeMap<ConnectionId, usize>,
    /// Requests that the application knows and whose end is not reported.
    told: usize,
    rates: BTreeMap<u8, Rates<PeerId>>,
    denied: BTreeSet<PeerId>,
    timers: Timers<StreamId>,
    /// Streams for which the next drive has something to do.
    changed: BTreeSet<StreamId>,
    next_id: u64,
    pub(crate) events: EventQueue<Event>,
}

impl InboundHalf {
    pub(crate) fn new(terms: &Terms) -> Self {
        let rate = |spec: &Spec| spec.rate.map(|(rate, _)| rate);
        let rates = (0u8..).zip(&terms.specs).filter_map(|(index, spec)| {
            let rate: Rate = rate(spec)?;
            Some((index, Rates::new(rate, terms.config.max_peers)))
        });
        Self {
            streams: BTreeMap::new(),
            by_id: BTreeMap::new(),
            held: BTreeMap::new(),
            told: 0,
            rates: rates.collect(),
            denied: BTreeSet::new(),
            timers: Timers::new(),
            changed: BTreeSet::new(),
            next_id: 1,
            events: EventQueue::new(terms.config.max_events),
        }
    }

    // ── commands ──

    pub(crate) fn deny(&mut self, terms: &Terms, peer: PeerId) -> Result<(), Error> {
        if self.denied.len() >= terms.config.max_peers && !self.denied.contains(&peer) {
            return Err(Error::QueueFull);
        }
        self.denied.insert(peer);
        Ok(())
    }

    pub(crate) fn allow(&mut self, peer: PeerId) {
        self.denied.remove(&peer);
    }

    pub(crate) fn respond(&mut self, terms: &Terms, id: InboundId, message: &Bytes) -> Result<(), Error> {
        let (_, spec) = self.asked(terms, id)?;
        if !spec.responses.contains(&message.len()) {
            return Err(Error::TooLarge);
        }
        if let Family::Chunks { context: true } = spec.family {
            return Err(Error::WrongFraming);
        }
        let data = encode_response(spec, None, message);
        self.answer(terms, id, data, message.len(), Then::Finish)
    }

    pub(crate) fn respond_part(
        &mut self,
        terms: &Terms,
        id: InboundId,
        context: Option<[u8; 4]>,
        part: &Bytes,
    ) -> Result<(), Error> {
        let (_, spec) = self.asked(terms, id)?;
        let fits = match spec.family {
            Family::LengthDelimited => return Err(Error::WrongFraming),
            Family::UntilEnd { .. } if context.is_some() => return Err(Error::WrongFraming),
            Family::Chunks { context: wanted } if wanted != context.is_some() => {
                return Err(Error::WrongFraming);
            }
            // The limit holds for the sum, which `answer` checks.
            Family::UntilEnd { .. } => true,
            Family::Chunks { .. } => spec.responses.contains(&part.len()),
        };
        if !fits {
            return Err(Error::TooLarge);
        }
        let data = encode_response(spec, context, part);
        self.answer(terms, id, data, part.len(), Then::Continue)
    }

    pub(crate) fn finish(&mut self, terms: &Terms, id: InboundId) -> Result<(), Error> {
        let stream = *self.by_id.get(&id).ok_or(Error::Gone)?;
        // The last part may still wait for the stream: the end comes behind it.
        if let Some(State::Answering { then, .. }) = self.streams.get_mut(&stream).map(|i| &mut i.state) {
            if *then == Then::Continue {
                *then = Then::Finish;
                return Ok(());
            }
        }
        match self.asked(terms, id)?.1.family {
            Family::LengthDelimited => Err(Error::WrongFraming),
            _ => self.answer(terms, id, Bytes::new(), 0, Then::Finish),
        }
    }

    pub(crate) fn reject(&mut self, terms: &Terms, id: InboundId) -> Result<(), Error> {
        match self.asked(terms, id)?.1.family {
            Family::Chunks { .. } => self.reject_with(terms, id, SERVER_ERROR, &[]),
            _ => self.answer(terms, id, Bytes::new(), 0, Then::Reset),
        }
    }

    pub(crate) fn reject_with(
        &mut self,
        terms: &Terms,
        id: InboundId,
        code: u8,
        message: &[u8],
    ) -> Result<(), Error> {
        match self.asked(terms, id)?.1.family {
            Family::Chunks { .. } => self.answer(terms, id, encode_rejection(code, message), 0, Then::Finish),
            _ => Err(Error::WrongFraming),
        }
    }

    pub(crate) fn omit(&mut self, terms: &Terms, id: InboundId) -> Result<(), Error> {
        self.answer(terms, id, Bytes::new(), 0, Then::Omit)
    }

    /// The application has read a request.
    pub(crate) fn request_read(&mut self, conn: ConnectionId, len: usize) {
        self.release(conn, len);
    }

    /// The stream of a request that waits for its answer, and its spec.
    fn asked<'t>(&self, terms: &'t Terms, id: InboundId) -> Result<(StreamId, &'t Spec), Error> {
        let stream = *self.by_id.get(&id).ok_or(Error::Gone)?;
        let inbound = self.streams.get(&stream).ok_or(Error::Gone)?;
        match inbound.state {
            State::Asked { .. } => Ok((stream, terms.spec(inbound.spec).ok_or(Error::Gone)?)),
            State::Answering {
                then: Then::Continue, ..
            } => Err(Error::Blocked),
            _ => Err(Error::AlreadyAnswered),
        }
    }

    /// Records what is to be sent.
    fn answer(
        &mut self,
        terms: &Terms,
        id: InboundId,
        data: Bytes,
        len: usize,
        then: Then,
    ) -> Result<(), Error> {
        let (stream, spec) = self.asked(terms, id)?;
        let inbound = self.streams.get_mut(&stream).ok_or(Error::Gone)?;
        if let State::Asked { given } = inbound.state {
            let given = given.saturating_add(len);
            if matches!(spec.family, Family::UntilEnd { .. }) && given > *spec.responses.end() {
                return Err(Error::TooLarge);
            }
            inbound.state = State::Answering { data, given, then };
            self.changed.insert(stream);
        }
        Ok(())
    }

    // ── a request comes ──

    pub(crate) fn handle(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId, input: Input) {
        match input {
            Input::Opened { peer, spec, name, .. } => self.open(cx, terms, stream, peer, spec, name),
            Input::Frame { data, .. } => self.read(cx, terms, stream, data),
            Input::Finished { .. } => {
                if let Some(State::Reading(decoder)) = self.streams.get_mut(&stream).map(|i| &mut i.state) {
                    let held = decoder.held();
                    let item = decoder.finish();
                    self.release(stream.conn, held);
                    match item {
                        Ok(Item::Message(data)) => self.complete(cx, terms, stream, data),
                        Ok(_) => self.refuse(cx, terms, stream),
                        Err(failure) => self.broken(cx, terms, stream, &failure),
                    }
                }
            }
            Input::Writable { .. } => self.write(cx, terms, stream),
            Input::Flushed { .. } => {
                if let Some(inbound) = self.streams.get_mut(&stream) {
                    if matches!(inbound.state, State::Leaving) {
                        inbound.state = State::Over;
                        self.report_sent(cx, terms, stream);
                    }
                }
            }
            Input::Closed { reason, .. } => self.closed(cx, terms, stream, reason),
            _ => {}
        }
    }

    fn open(
        &mut self,
        cx: &mut Context<'_>,
        terms: &mut Terms,
        stream: StreamId,
        peer: PeerId,
        spec: u8,
        name: ProtocolName,
    ) {
        let known = terms.spec(spec).filter(|_| !self.denied.contains(&peer));
        let Some(found) = known.filter(|_| self.streams.len() < terms.config.max_inbound_total) else {
            terms.stats.refused = terms.stats.refused.saturating_add(1);
            return cx.reset(stream);
        };
        let inbound = Inbound {
            id: InboundId(self.next_id),
            peer,
            spec,
            name,
            told: false,
            state: State::Reading(Decoder::request(found)),
        };
        self.next_id = self.next_id.saturating_add(1);
        self.streams.insert(stream, inbound);
        self.timers.set(stream, cx.now + terms.config.read_timeout);
    }

    fn read(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId, mut data: Bytes) {
        // Whatever comes behind the request is no second one, and is dropped.
        let Some(State::Reading(decoder)) = self.streams.get_mut(&stream).map(|i| &mut i.state) else {
            return;
        };
        let before = decoder.held();
        let result = decoder.feed(&mut data);
        let after = decoder.held();
        let held = self.held.entry(stream.conn).or_default();
        *held = held.saturating_add(after).saturating_sub(before);
        let over = *held > terms.config.max_held;
        match result {
            _ if over => self.refuse(cx, terms, stream),
            Ok(Some(Item::Message(message))) => self.complete(cx, terms, stream, message),
            Ok(_) => {}
            Err(failure) => self.broken(cx, terms, stream, &failure),
        }
    }

    fn release(&mut self, conn: ConnectionId, len: usize) {
        if let Some(held) = self.held.get_mut(&conn) {
            *held = held.saturating_sub(len);
            if *held == 0 {
                self.held.remove(&conn);
            }
        }
    }

    /// A request is whole: it is checked, and waits for its turn if there is a rate.
    fn complete(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId, data: Bytes) {
        let Some(inbound) = self.streams.get_mut(&stream) else {
            return;
        };
        let (peer, index) = (inbound.peer, inbound.spec);
        // The decoder has let go of the message; it is held here now.
        let held = self.held.entry(stream.conn).or_default();
        *held = held.saturating_add(data.len());
        let until = self.timers.get(stream).unwrap_or(cx.now);
        inbound.state = State::Delayed { data, until };
        let Some(spec) = terms.spec(index) else { return };
        if let (Some(check), State::Delayed { data, .. }) = (spec.check, &inbound.state) {
            if !check(data) {
                return self.broken(cx, terms, stream, &Failure::Malformed);
            }
        }
        let excess = spec.rate.map(|(_, excess)| excess);
        let turn = self.rates.get_mut(&index).map(|rates| rates.take(cx.now, peer));
        match (turn, excess) {
            (Some(Err(at)), Some(Excess::Delay)) if at < until => self.timers.set(stream, at),
            (Some(Err(_)), _) => self.refuse(cx, terms, stream),
            _ => self.ask(cx, terms, stream),
        }
    }

    /// Tells the application of a request, if there is room for everything that this may cause.
    fn ask(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId) {
        let reserved = self.told.saturating_mul(RESERVED);
        if self.events.room() <= reserved.saturating_add(RESERVED) {
            return self.refuse(cx, terms, stream);
        }
        let Some(inbound) = self.streams.get_mut(&stream) else {
            return;
        };
        let asked = State::Asked { given: 0 };
        let State::Delayed { data, .. } = core::mem::replace(&mut inbound.state, asked) else {
            return;
        };
        inbound.told = true;
        let (id, peer, name) = (inbound.id, inbound.peer, inbound.name.clone());
        self.told = self.told.saturating_add(1);
        self.by_id.insert(id, stream);
        self.timers.set(stream, cx.now + terms.config.respond_timeout);
        terms.stats.requests = terms.stats.requests.saturating_add(1);
        let conn = stream.conn;
        self.emit(
            cx.seq,
            Event::Request {
                id,
                peer,
                conn,
                name,
                data,
            },
        );
    }

    /// A request breaks its framing or fails its check. Ethereum's framing has an answer to that.
    fn broken(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId, failure: &Failure) {
        let spec = self
            .streams
            .get(&stream)
            .and_then(|inbound| terms.spec(inbound.spec));
        let chunked = spec.is_some_and(|spec| matches!(spec.family, Family::Chunks { .. }));
        // What can't be told from a flood is not answered.
        if !chunked || *failure == Failure::TooLarge {
            return self.refuse(cx, terms, stream);
        }
        terms.stats.refused = terms.stats.refused.saturating_add(1);
        self.release_message(stream);
        if let Some(inbound) = self.streams.get_mut(&stream) {
            inbound.state = State::Answering {
                data: encode_rejection(INVALID_REQUEST, b"invalid request"),
                given: 0,
                then: Then::Finish,
            };
            self.timers.set(stream, cx.now + terms.config.respond_timeout);
            self.write(cx, terms, stream);
        }
    }

    /// Resets a stream whose request the application does not know.
    fn refuse(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId) {
        terms.stats.refused = terms.stats.refused.saturating_add(1);
        cx.reset(stream);
        self.forget(stream);
    }

    // ── the answer ──

    /// Sends what the application gave.
    fn write(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId) {
        let Some(inbound) = self.streams.get_mut(&stream) else {
            return;
        };
        let State::Answering { data, given, then } = &inbound.state else {
            return;
        };
        let (given, then) = (*given, *then);
        if !data.is_empty() && cx.write(stream, data.clone()).is_err() {
            return;
        }
        let id = inbound.id;
        match then {
            Then::Continue => {
                inbound.state = State::Asked { given };
                self.timers.set(stream, cx.now + terms.config.respond_timeout);
                self.emit(cx.seq, Event::Continue { id });
            }
            Then::Finish => {
                inbound.state = State::Leaving;
                cx.notify_flushed(stream);
                cx.finish(stream);
            }
            Then::Reset => {
                cx.reset(stream);
                self.forget(stream);
            }
            Then::Omit => {
                inbound.state = State::Over;
                cx.finish(stream);
                self.report_failed(cx, stream, InboundFailure::ResponseOmission);
            }
        }
    }

    fn closed(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId, reason: Closed) {
        let Some(inbound) = self.streams.get(&stream) else {
            return;
        };
        match (&inbound.state, reason) {
            (State::Leaving, Closed::Finished) => self.report_sent(cx, terms, stream),
            (_, Closed::ConnectionLost) => {
                self.report_failed(cx, stream, InboundFailure::ConnectionClosed);
            }
            _ => self.report_failed(cx, stream, InboundFailure::StreamReset),
        }
        self.forget(stream);
    }

    /// Reports the end of a request that the application knows, once.
    fn report(&mut self, seq: u64, stream: StreamId, event: impl FnOnce(InboundId) -> Event) -> bool {
        let Some(inbound) = self.streams.get_mut(&stream).filter(|inbound| inbound.told) else {
            return false;
        };
        inbound.told = false;
        let event = event(inbound.id);
        self.told = self.told.saturating_sub(1);
        self.emit(seq, event);
        true
    }

    fn report_sent(&mut self, cx: &Context<'_>, terms: &mut Terms, stream: StreamId) {
        if self.report(cx.seq, stream, |id| Event::ResponseSent { id }) {
            terms.stats.answers = terms.stats.answers.saturating_add(1);
        }
    }

    fn report_failed(&mut self, cx: &Context<'_>, stream: StreamId, failure: InboundFailure) {
        self.report(cx.seq, stream, |id| Event::InboundFailed { id, failure });
    }

    fn emit(&mut self, seq: u64, event: Event) {
        // `ask` has kept the room.
        let _room_is_reserved = self.events.push(seq, event);
    }

    // ── ends ──

    /// Gives back what the message of a stream held.
    fn release_message(&mut self, stream: StreamId) {
        let held = match self.streams.get(&stream).map(|inbound| &inbound.state) {
            Some(State::Reading(decoder)) => decoder.held(),
            Some(State::Delayed { data, .. }) => data.len(),
            _ => 0,
        };
        self.release(stream.conn, held);
    }

    fn forget(&mut self, stream: StreamId) {
        self.release_message(stream);
        self.timers.clear(stream);
        self.changed.remove(&stream);
        if let Some(inbound) = self.streams.remove(&stream) {
            self.by_id.remove(&inbound.id);
            if inbound.told {
                self.told = self.told.saturating_sub(1);
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>, terms: &mut Terms) {
        if let Some(stream) = self.changed.pop_first() {
            self.write(cx, terms, stream);
        }
        let Some(stream) = self.timers.pop_due(cx.now) else {
            return;
        };
        let state = self.streams.get(&stream).map(|inbound| &inbound.state);
        match state {
            Some(State::Delayed { until, .. }) if cx.now < *until => self.turn(cx, terms, stream),
            Some(State::Reading(_) | State::Delayed { .. }) => self.refuse(cx, terms, stream),
            _ => {
                cx.reset(stream);
                self.report_failed(cx, stream, InboundFailure::TimedOut);
                self.forget(stream);
            }
        }
    }

    /// A delayed request tries again.
    fn turn(&mut self, cx: &mut Context<'_>, terms: &mut Terms, stream: StreamId) {
        let Some(inbound) = self.streams.get(&stream) else {
            return;
        };
        let State::Delayed { until, .. } = inbound.state else {
            return;
        };
        let rates = self.rates.get_mut(&inbound.spec);
        match rates.map(|rates| rates.take(cx.now, inbound.peer)) {
            Some(Err(at)) => self.timers.set(stream, at.min(until)),
            _ => self.ask(cx, terms, stream),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        if self.changed.is_empty() {
            self.timers.next().map(|(at, _)| Deadline::new(at, "answer"))
        } else {
            Some(Deadline::now("command"))
        }
    }

    /// Streams, held bytes, deadlines.
    pub(crate) fn census(&self) -> [usize; 3] {
        let held = self
            .held
            .values()
            .fold(0_usize, |sum, held| sum.saturating_add(*held));
        [self.streams.len(), held, self.timers.len()]
    }
}
