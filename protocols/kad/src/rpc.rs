//! Requests of ours: dial, open, write, read, each within its time; idle streams are used again.

use crate::{Config, Failure, Message, MessageType, address::Group, event::QueryId};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant, Multiaddr, PeerId, Rates, StreamId, Timers};
use libp2p_proto_stream_protocol::{Closed, Context, Dial, DialOutcome, OpenError, Target, WriteError};

/// The one kind of stream.
pub(crate) const SPEC: u8 = 0;
/// Failed uses of idle streams after which a peer gets one stream for each request.
const MAX_REUSE_FAILURES: u8 = 3;
/// Networks whose dials are counted.
const MAX_DIAL_RATES: usize = 4096;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Token {
    /// A step of a lookup.
    Query(QueryId),
    /// A record of a query on its way to one of the nearest.
    Store(QueryId),
    /// Whether a peer works.
    Check,
    /// A step of a crawl.
    Crawl,
    /// Provider records of a region on their way to a server.
    Sweep(u64),
    /// A better value for somebody who had none or an old one. Nobody waits for it.
    Correction,
}

/// A request, or what became of one.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) token: Token,
    pub(crate) peer: PeerId,
    /// Where to dial, besides what the swarm knows.
    pub(crate) addrs: Vec<Multiaddr>,
    /// Whether the addresses are the words of others.
    pub(crate) hearsay: bool,
    pub(crate) kind: MessageType,
    pub(crate) frame: Bytes,
    /// For the dial, if there must be one; for writing; and again for reading.
    pub(crate) dial: Duration,
    pub(crate) timeout: Duration,
}

/// News of a request.
#[derive(Debug)]
pub(crate) enum News {
    /// It takes long.
    Slow,
    /// It is over; no message if none was due.
    Over(Result<Option<Box<Message>>, Failure>),
}

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) token: Token,
    pub(crate) peer: PeerId,
    pub(crate) news: News,
    /// Since the request began.
    pub(crate) took: Duration,
}

#[derive(Debug)]
struct Request {
    ask: Ask,
    stage: Stage,
    began: Instant,
    /// Whether it runs on a stream that was used before, so that it may be tried once more.
    reused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// For one of the others to end.
    Waiting,
    Dialing,
    /// The stream is not open, or has not taken the request.
    Writing(StreamId),
    /// The answer, or that a request without one has left.
    Reading(StreamId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Request(u64),
    Idle(PeerId),
    /// Everything is said; the other side has not ended.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Request(u64),
    Slow(u64),
    Stream(StreamId),
}

/// All requests of ours.
#[derive(Debug)]
pub(crate) struct Rpc {
    requests: BTreeMap<u64, Request>,
    next: u64,
    running: usize,
    waiting: VecDeque<u64>,
    dialing: BTreeMap<PeerId, Vec<u64>>,
    streams: BTreeMap<StreamId, Use>,
    idle: BTreeMap<PeerId, StreamId>,
    reuse_failures: BTreeMap<PeerId, u8>,
    timers: Timers<Timer>,
    dials: Rates<Group>,
    reports: VecDeque<Report>,
}

impl Rpc {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            requests: BTreeMap::new(),
            next: 0,
            running: 0,
            waiting: VecDeque::new(),
            dialing: BTreeMap::new(),
            streams: BTreeMap::new(),
            idle: BTreeMap::new(),
            reuse_failures: BTreeMap::new(),
            timers: Timers::new(),
            dials: Rates::new(config.dial_rate, MAX_DIAL_RATES),
            reports: VecDeque::new(),
        }
    }

    /// Everything that is held, for a census.
    pub(crate) fn held(&self) -> usize {
        self.requests.len().saturating_add(self.streams.len())
    }

    pub(crate) fn poll_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        self.timers.next().map(|(at, _)| Deadline::new(at, "request"))
    }

    /// Asks. One report that it is over follows.
    pub(crate) fn ask(&mut self, cx: &mut Context<'_>, config: &Config, ask: Ask) {
        let id = self.next;
        self.next = self.next.saturating_add(1);
        let request = Request {
            ask,
            stage: Stage::Waiting,
            began: cx.now,
            reused: false,
        };
        self.requests.insert(id, request);
        if self.running < config.max_requests {
            self.start(cx, config, id);
        } else {
            self.waiting.push_back(id);
        }
    }

    fn start(&mut self, cx: &mut Context<'_>, config: &Config, id: u64) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        self.running = self.running.saturating_add(1);
        request.began = cx.now;
        self.timers.set(Timer::Slow(id), cx.now + config.slow_after);
        // What is not answered would be lost unseen on a stream that the peer is about to end: it gets one of its own.
        let answered = request.ask.kind != MessageType::AddProvider;
        let idle = if answered {
            self.idle.remove(&request.ask.peer)
        } else {
            None
        };
        if let Some(stream) = idle {
            request.reused = true;
            self.write_on(cx, id, stream);
        } else {
            self.connect(cx, id);
        }
    }

    /// Opens a stream, or a connection first.
    fn connect(&mut self, cx: &mut Context<'_>, id: u64) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let peer = request.ask.peer;
        match cx.open(Target::Peer(peer), &[SPEC]) {
            Ok(stream) => self.write_on(cx, id, stream),
            Err(error @ (OpenError::NotConnected | OpenError::LimitedConnection)) => {
                request.stage = Stage::Dialing;
                let force = error == OpenError::LimitedConnection;
                self.dial(cx, id, force);
            }
            Err(OpenError::TooManyStreams) => self.end(cx, id, Err(Failure::Busy)),
            Err(_) => self.end(cx, id, Err(Failure::Unreachable)),
        }
    }

    fn dial(&mut self, cx: &mut Context<'_>, id: u64, force: bool) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let (peer, until) = (request.ask.peer, cx.now + request.ask.dial);
        if let Some(others) = self.dialing.get_mut(&peer) {
            others.push(id);
            self.timers.set(Timer::Request(id), until);
            return;
        }
        let mut addrs = request.ask.addrs.clone();
        if request.ask.hearsay {
            addrs.retain(|addr| Self::may_dial(&mut self.dials, cx.now, addr));
            if addrs.is_empty() {
                self.end(cx, id, Err(Failure::NotDialed));
                return;
            }
        }
        let dial = Dial {
            addrs,
            force,
            ..Dial::peer(peer)
        };
        match cx.dial(dial) {
            Ok(DialOutcome::Pending(_)) => {
                self.dialing.insert(peer, alloc::vec![id]);
                self.timers.set(Timer::Request(id), until);
            }
            // A connection that no stream could be opened on.
            Ok(DialOutcome::Connected(_)) | Err(_) => {
                self.end(cx, id, Err(Failure::Unreachable));
            }
        }
    }

    /// Others must not make us knock at one address again and again: their words are followed at a bounded rate.
    fn may_dial(dials: &mut Rates<Group>, now: Instant, addr: &Multiaddr) -> bool {
        Group::host(addr).is_none_or(|host| dials.take(now, host).is_ok())
    }

    fn write_on(&mut self, cx: &mut Context<'_>, id: u64, stream: StreamId) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        request.stage = Stage::Writing(stream);
        self.streams.insert(stream, Use::Request(id));
        self.timers.clear(Timer::Stream(stream));
        self.timers.set(Timer::Request(id), cx.now + request.ask.timeout);
        self.try_write(cx, id);
    }

    fn try_write(&mut self, cx: &mut Context<'_>, id: u64) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let Stage::Writing(stream) = request.stage else {
            return;
        };
        match cx.write(stream, request.ask.frame.clone()) {
            Ok(()) => {
                request.stage = Stage::Reading(stream);
                self.timers.set(Timer::Request(id), cx.now + request.ask.timeout);
                if request.ask.kind == MessageType::AddProvider {
                    cx.notify_flushed(stream);
                    cx.finish(stream);
                }
            }
            // `Closed` waits to be delivered, or `Writable` will be.
            Err(WriteError::Blocked | WriteError::Closed) => {}
            // Our own message is larger than what we read: nobody would take it.
            Err(_) => cx.reset(stream),
        }
    }

    /// A stream of ours is open, or takes more.
    pub(crate) fn handle_writable(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        if let Some(Use::Request(id)) = self.streams.get(&stream).copied() {
            self.try_write(cx, id);
        }
    }

    pub(crate) fn handle_flushed(&mut self, cx: &mut Context<'_>, config: &Config, stream: StreamId) {
        if let Some(Use::Request(id)) = self.streams.get(&stream).copied() {
            self.linger(cx, config, stream);
            self.end(cx, id, Ok(None));
        }
    }

    pub(crate) fn handle_frame(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
        stream: StreamId,
        data: &[u8],
    ) {
        let Some(Use::Request(id)) = self.streams.get(&stream).copied() else {
            // Nothing was asked: an echo after the end, or noise on an idle stream.
            self.drop_stream(cx, stream);
            return;
        };
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let closer = config.replication.saturating_mul(2);
        match Message::decode(data, config.max_message, closer) {
            // Whatever follows a provider's announcement is read and forgotten.
            _ if request.ask.kind == MessageType::AddProvider => {}
            Ok(message) if message.kind == request.ask.kind => {
                self.keep_or_finish(cx, config, stream, request.ask.peer);
                self.end(cx, id, Ok(Some(Box::new(message))));
            }
            _ => {
                self.drop_stream(cx, stream);
                self.end(cx, id, Err(Failure::BadAnswer));
            }
        }
    }

    /// The answer was read: the stream waits for the next request, or ends.
    fn keep_or_finish(&mut self, cx: &mut Context<'_>, config: &Config, stream: StreamId, peer: PeerId) {
        let failures = self.reuse_failures.get(&peer).copied().unwrap_or(0);
        let wanted = !config.idle_timeout.is_zero() && failures <= MAX_REUSE_FAILURES;
        if wanted && !self.idle.contains_key(&peer) {
            cx.next(stream);
            self.idle.insert(peer, stream);
            self.streams.insert(stream, Use::Idle(peer));
            self.timers
                .set(Timer::Stream(stream), cx.now + config.idle_timeout);
        } else {
            cx.next(stream);
            cx.finish(stream);
            self.linger(cx, config, stream);
        }
    }

    fn linger(&mut self, cx: &Context<'_>, config: &Config, stream: StreamId) {
        self.streams.insert(stream, Use::Over);
        self.timers
            .set(Timer::Stream(stream), cx.now + config.reply_timeout);
    }

    fn drop_stream(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        if let Some(Use::Idle(peer)) = self.streams.remove(&stream) {
            self.idle.remove(&peer);
        }
        self.timers.clear(Timer::Stream(stream));
        cx.reset(stream);
    }

    pub(crate) fn handle_finished(&mut self, cx: &mut Context<'_>, config: &Config, stream: StreamId) {
        match self.streams.get(&stream).copied() {
            Some(Use::Request(id)) => {
                let asked = self.requests.get(&id).map(|request| request.ask.kind);
                if asked != Some(MessageType::AddProvider) {
                    self.streams.remove(&stream);
                    cx.reset(stream);
                    self.lost(cx, id, Failure::StreamClosed);
                }
            }
            Some(Use::Idle(peer)) => {
                self.idle.remove(&peer);
                cx.finish(stream);
                self.linger(cx, config, stream);
            }
            Some(Use::Over) | None => {}
        }
    }

    pub(crate) fn handle_closed(&mut self, cx: &mut Context<'_>, stream: StreamId, reason: Closed) {
        self.timers.clear(Timer::Stream(stream));
        match self.streams.remove(&stream) {
            Some(Use::Request(id)) => {
                let failure = match reason {
                    Closed::Refused => Failure::Unsupported,
                    Closed::TimedOut => Failure::TimedOut,
                    Closed::FrameTooLarge | Closed::Malformed => Failure::BadAnswer,
                    _ => Failure::StreamClosed,
                };
                self.lost(cx, id, failure);
            }
            Some(Use::Idle(peer)) => {
                self.idle.remove(&peer);
            }
            Some(Use::Over) | None => {}
        }
    }

    /// The stream of a request is gone: once more on a fresh one, if it was an old one.
    fn lost(&mut self, cx: &mut Context<'_>, id: u64, failure: Failure) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if core::mem::take(&mut request.reused) {
            let count = self.reuse_failures.entry(request.ask.peer).or_default();
            *count = count.saturating_add(1);
            self.connect(cx, id);
        } else {
            self.end(cx, id, Err(failure));
        }
    }

    pub(crate) fn handle_connected(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        for id in self.dialing.remove(&peer).unwrap_or_default() {
            match cx.open(Target::Peer(peer), &[SPEC]) {
                Ok(stream) => self.write_on(cx, id, stream),
                Err(_) => self.end(cx, id, Err(Failure::Unreachable)),
            }
        }
    }

    pub(crate) fn handle_dial_failed(&mut self, cx: &Context<'_>, peer: PeerId) {
        for id in self.dialing.remove(&peer).unwrap_or_default() {
            self.end(cx, id, Err(Failure::Unreachable));
        }
    }

    pub(crate) fn handle_disconnected(&mut self, peer: &PeerId) {
        self.reuse_failures.remove(peer);
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>, config: &Config) {
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Request(id) => self.time_out(cx, id),
                Timer::Slow(id) => {
                    if let Some(request) = self.requests.get(&id) {
                        self.reports.push_back(Report {
                            token: request.ask.token,
                            peer: request.ask.peer,
                            news: News::Slow,
                            took: config.slow_after,
                        });
                    }
                }
                Timer::Stream(stream) => match self.streams.get(&stream).copied() {
                    Some(Use::Idle(peer)) => {
                        self.idle.remove(&peer);
                        cx.finish(stream);
                        self.linger(cx, config, stream);
                    }
                    _ => self.drop_stream(cx, stream),
                },
            }
        }
    }

    fn time_out(&mut self, cx: &mut Context<'_>, id: u64) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let (peer, failure) = (request.ask.peer, Failure::TimedOut);
        match request.stage {
            Stage::Writing(stream) | Stage::Reading(stream) => self.drop_stream(cx, stream),
            Stage::Dialing => self.forget_dial(&peer, id),
            Stage::Waiting => {}
        }
        self.end(cx, id, Err(failure));
    }

    fn forget_dial(&mut self, peer: &PeerId, id: u64) {
        if let Some(ids) = self.dialing.get_mut(peer) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.dialing.remove(peer);
            }
        }
    }

    fn end(&mut self, cx: &Context<'_>, id: u64, result: Result<Option<Box<Message>>, Failure>) {
        let Some(request) = self.forget(id) else {
            return;
        };
        self.reports.push_back(Report {
            token: request.ask.token,
            peer: request.ask.peer,
            news: News::Over(result),
            took: cx.now.since(request.began),
        });
    }

    fn forget(&mut self, id: u64) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        self.timers.clear(Timer::Request(id));
        self.timers.clear(Timer::Slow(id));
        if request.stage == Stage::Waiting {
            self.waiting.retain(|other| *other != id);
        }
        self.running = self.running.saturating_sub(1);
        Some(request)
    }

    /// Starts what waited for others to end. To be called after every input.
    pub(crate) fn start_waiting(&mut self, cx: &mut Context<'_>, config: &Config) {
        while self.running < config.max_requests {
            let Some(id) = self.waiting.pop_front() else {
                return;
            };
            self.start(cx, config, id);
        }
    }

    /// Gives the requests of one token to another, at most so many that it then has `max`.
    pub(crate) fn let_go(&mut self, from: Token, to: Token, max: usize) {
        let held = self.requests.values().filter(|request| request.ask.token == to);
        let mut room = max.saturating_sub(held.count());
        for request in self.requests.values_mut() {
            if request.ask.token == from && room > 0 {
                request.ask.token = to;
                room = room.saturating_sub(1);
            }
        }
    }

    /// The addresses of hearsay that may be dialed now.
    pub(crate) fn allowed(&mut self, now: Instant, addrs: &[Multiaddr]) -> Vec<Multiaddr> {
        let may = |addr: &&Multiaddr| Self::may_dial(&mut self.dials, now, addr);
        addrs.iter().filter(may).cloned().collect()
    }

    /// Gives up every request of these tokens, without a report.
    pub(crate) fn cancel(&mut self, cx: &mut Context<'_>, tokens: &BTreeSet<Token>) {
        let ids: Vec<u64> = self
            .requests
            .iter()
            .filter(|(_, request)| tokens.contains(&request.ask.token))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let waits = self
                .requests
                .get(&id)
                .is_some_and(|request| request.stage == Stage::Waiting);
            let Some(request) = self.forget(id) else {
                continue;
            };
            if waits {
                // It never counted as running.
                self.running = self.running.saturating_add(1);
            }
            match request.stage {
                Stage::Writing(stream) | Stage::Reading(stream) => self.drop_stream(cx, stream),
                Stage::Dialing => self.forget_dial(&request.ask.peer, id),
                Stage::Waiting => {}
            }
        }
        self.reports.retain(|report| !tokens.contains(&report.token));
    }
}
