//! The streams of those who ask us: one request after the other, each within its time, each peer at its rate.

use crate::Config;
use alloc::{collections::BTreeMap, vec::Vec};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant, Multiaddr, PeerId, Rates, StreamId, Timers};
use libp2p_proto_stream_protocol::Context;

/// Peers whose rate is remembered.
const MAX_PEERS: usize = 4096;
/// Clients whose addresses are told for a while after they have left, and how long: go-libp2p's time for addresses of peers that were connected lately.
const MAX_CLIENTS: usize = 256;
const CLIENT_AGE: Duration = Duration::from_secs(15 * 60);

#[derive(Debug)]
struct Inbound {
    peer: PeerId,
    stage: Stage,
    /// The peer sends no more.
    finished: bool,
}

#[derive(Debug)]
enum Stage {
    Listening,
    /// The peer asks too often: its request waits until then.
    Held(Bytes),
    /// The stream has not taken the answer.
    Answering(Bytes),
    /// The answer has not left.
    Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The stream's time is over.
    Stream(StreamId),
    /// A held request may be served.
    Held(StreamId),
}

/// All inbound streams. Each holds at most one request or one answer; the next request is read only when the answer has left.
#[derive(Debug)]
pub(crate) struct Server {
    streams: BTreeMap<StreamId, Inbound>,
    timers: Timers<Timer>,
    rates: Rates<PeerId>,
    /// Clients that were connected lately, and where they were.
    clients: BTreeMap<PeerId, (Instant, Vec<Multiaddr>)>,
}

impl Server {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            streams: BTreeMap::new(),
            timers: Timers::new(),
            rates: Rates::new(config.rate, MAX_PEERS),
            clients: BTreeMap::new(),
        }
    }

    /// A client has left. It comes back to those nearest to it at each of its refreshes; until then we tell where it was.
    pub(crate) fn remember(&mut self, now: Instant, peer: PeerId, addrs: Vec<Multiaddr>) {
        self.clients.retain(|_, (at, _)| now.since(*at) < CLIENT_AGE);
        if self.clients.len() >= MAX_CLIENTS {
            let oldest = self.clients.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.clients.remove(&oldest);
            }
        }
        self.clients.insert(peer, (now, addrs));
    }

    /// Where a client was that has left lately.
    pub(crate) fn client(&self, now: Instant, peer: &PeerId) -> &[Multiaddr] {
        let known = self.clients.get(peer);
        let young = known.filter(|(at, _)| now.since(*at) < CLIENT_AGE);
        young.map_or(&[], |(_, addrs)| addrs)
    }

    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        self.timers.next().map(|(at, _)| Deadline::new(at, "inbound"))
    }

    pub(crate) fn handle_opened(
        &mut self,
        cx: &Context<'_>,
        config: &Config,
        stream: StreamId,
        peer: PeerId,
    ) {
        let inbound = Inbound {
            peer,
            stage: Stage::Listening,
            finished: false,
        };
        self.streams.insert(stream, inbound);
        self.timers
            .set(Timer::Stream(stream), cx.now + config.inbound_timeout);
    }

    /// A frame: the request to serve now, if it is one and the peer's rate allows it.
    pub(crate) fn handle_frame(
        &mut self,
        cx: &mut Context<'_>,
        stream: StreamId,
        data: Bytes,
    ) -> Option<(PeerId, Bytes)> {
        let inbound = self.streams.get_mut(&stream)?;
        if !matches!(inbound.stage, Stage::Listening) {
            self.refuse(cx, stream);
            return None;
        }
        match self.rates.take(cx.now, inbound.peer) {
            Ok(()) => Some((inbound.peer, data)),
            Err(at) => {
                inbound.stage = Stage::Held(data);
                self.timers.set(Timer::Held(stream), at);
                None
            }
        }
    }

    /// Sends the answer to a request. Without one the stream is ready for the next request.
    pub(crate) fn answer(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
        stream: StreamId,
        answer: Option<Bytes>,
    ) {
        self.timers
            .set(Timer::Stream(stream), cx.now + config.inbound_timeout);
        match answer {
            Some(answer) => {
                if let Some(inbound) = self.streams.get_mut(&stream) {
                    inbound.stage = Stage::Answering(answer);
                    self.handle_writable(cx, stream);
                }
            }
            None => self.be_ready(cx, stream),
        }
    }

    /// Ends a stream without an answer: the protocol has no other way to say no.
    pub(crate) fn refuse(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        cx.reset(stream);
        self.forget(stream);
    }

    fn forget(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
        self.timers.clear(Timer::Stream(stream));
        self.timers.clear(Timer::Held(stream));
    }

    pub(crate) fn handle_writable(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(inbound) = self.streams.get_mut(&stream) else {
            return;
        };
        let Stage::Answering(answer) = &inbound.stage else {
            return;
        };
        if cx.write(stream, answer.clone()).is_ok() {
            inbound.stage = Stage::Leaving;
            cx.notify_flushed(stream);
        }
    }

    pub(crate) fn handle_flushed(&mut self, cx: &mut Context<'_>, config: &Config, stream: StreamId) {
        let leaving = |inbound: &Inbound| matches!(inbound.stage, Stage::Leaving);
        if self.streams.get(&stream).is_some_and(leaving) {
            self.timers
                .set(Timer::Stream(stream), cx.now + config.inbound_timeout);
            self.be_ready(cx, stream);
        }
    }

    /// Reads on, or ends if the peer has ended.
    fn be_ready(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(inbound) = self.streams.get_mut(&stream) else {
            return;
        };
        inbound.stage = Stage::Listening;
        cx.next(stream);
        if inbound.finished {
            cx.finish(stream);
        }
    }

    pub(crate) fn handle_finished(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        if let Some(inbound) = self.streams.get_mut(&stream) {
            inbound.finished = true;
            if matches!(inbound.stage, Stage::Listening) {
                cx.finish(stream);
            }
        }
    }

    pub(crate) fn handle_closed(&mut self, stream: StreamId) {
        self.forget(stream);
    }

    /// What is due: streams whose time is over are reset; a request that was held is to be served.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Option<(StreamId, PeerId, Bytes)> {
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Stream(stream) => self.refuse(cx, stream),
                Timer::Held(stream) => {
                    let Some(inbound) = self.streams.get_mut(&stream) else {
                        continue;
                    };
                    match core::mem::replace(&mut inbound.stage, Stage::Listening) {
                        Stage::Held(data) => {
                            if let Some((peer, data)) = self.handle_frame(cx, stream, data) {
                                return Some((stream, peer, data));
                            }
                        }
                        other => inbound.stage = other,
                    }
                }
            }
        }
        None
    }

    /// We no longer serve: every stream ends.
    pub(crate) fn reset_all(&mut self, cx: &mut Context<'_>) {
        while let Some((stream, _)) = self.streams.pop_first() {
            cx.reset(stream);
        }
        self.timers = Timers::new();
    }
}
