//! One request, one response, a time limit, on a stream of its own: what many small protocols are made of.

use crate::{Closed, Context, EventQueue, Framing, Input, OpenError, StreamSpec, Target};
use alloc::collections::{BTreeMap, VecDeque};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Deadline, PeerId, ProtocolName, StreamId, Timers};
use smallvec::{SmallVec, smallvec};

/// A helper for protocols of one request frame and one response frame, in both roles. The protocol owns it, hands it every input, and answers the requests that come out.
///
/// Each call to [`ask`](Self::ask) ends in exactly one [`Answer`], for which there is room from the start. Streams of others are reset when they are silent for too long, and
/// those of ours when they are not answered in time; one that has served is given the rest of its time to end.
///
/// Questions beyond `max_outbound` of the spec wait until a stream to that peer is free. Those that wait for a peer which lets one of them time out end with it.
///
/// ```
/// use bytes::Bytes;
/// use core::time::Duration;
/// use libp2p_proto_core::{Deadline, ProtocolName};
/// use libp2p_proto_stream_protocol::{Context, Exchanges, Input, Protocol, StreamSpec, bench::Bench};
///
/// /// Answers every request with its length.
/// struct Lengths(Exchanges<&'static str>);
///
/// impl Protocol for Lengths {
///     fn specs(&self) -> &[StreamSpec] {
///         self.0.specs()
///     }
///     fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
///         if let Some((stream, request)) = self.0.handle(cx, input) {
///             self.0.answer(cx, stream, request.len().to_string());
///         }
///     }
///     fn poll_timeout(&self) -> Option<Deadline> {
///         self.0.poll_timeout()
///     }
/// }
///
/// const NAME: ProtocolName = ProtocolName::from_static("/length/1");
/// let node = || Lengths(Exchanges::length_delimited(NAME, 1024));
/// let (mut a, mut b, mut bench) = (node(), node(), Bench::new(1, 2, Duration::from_millis(5)));
/// bench.connect(0, 1);
/// a.0.ask(bench.peer(1), "my question", "hello")?;
/// bench.run(&mut [&mut a, &mut b], Duration::from_secs(1));
/// let answer = a.0.poll_answer().unwrap();
/// assert_eq!((answer.key, answer.result), ("my question", Ok(Bytes::from("5"))));
/// # Ok::<(), libp2p_proto_stream_protocol::Closed>(())
/// ```
#[derive(Debug)]
pub struct Exchanges<K> {
    /// What is served; then, if answers are framed otherwise than requests, what is asked.
    specs: SmallVec<[StreamSpec; 1]>,
    timeout: Duration,
    max: usize,
    /// Questions that the next drives ask.
    waiting: VecDeque<Question<K>>,
    /// Questions whose peer has as many streams of ours as it may: the next is asked when one of them has ended.
    queued: VecDeque<Question<K>>,
    streams: BTreeMap<StreamId, Stage<K>>,
    timers: Timers<StreamId>,
    answers: EventQueue<Answer<K>>,
}

/// How a question ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<K> {
    /// What the protocol asked it under.
    pub key: K,
    /// Who was asked.
    pub peer: PeerId,
    /// The response, or why there is none.
    pub result: Result<Bytes, Closed>,
}

#[derive(Debug)]
struct Question<K> {
    key: K,
    peer: PeerId,
    request: Bytes,
    /// Whether there is an answer to wait for.
    answered: bool,
}

#[derive(Debug)]
enum Stage<K> {
    /// Ours; the stream has not taken the request.
    Asking(Question<K>),
    /// Ours; the response is awaited.
    Asked { key: K, peer: PeerId },
    /// Theirs; the request is awaited.
    Listening,
    /// Theirs; the protocol works.
    Working,
    /// Theirs; the stream has not taken the response.
    Answering(Bytes),
    /// Everything is said; the stream has not ended. With whom, if it is ours.
    Over(Option<PeerId>),
}

impl<K> Stage<K> {
    /// The peer that a stream of ours goes to.
    const fn asked(&self) -> Option<PeerId> {
        match self {
            Self::Asking(Question { peer, .. }) | Self::Asked { peer, .. } => Some(*peer),
            Self::Over(peer) => *peer,
            Self::Listening | Self::Working | Self::Answering(_) => None,
        }
    }
}

impl<K> Exchanges<K> {
    /// Exchanges under one spec, whose framing tells where a frame ends. Each may take `timeout`; at most `max` questions wait, are under way, or have an answer that was not
    /// read.
    pub fn new(spec: StreamSpec, timeout: Duration, max: usize) -> Self {
        Self {
            specs: smallvec![spec],
            timeout,
            max,
            waiting: VecDeque::new(),
            queued: VecDeque::new(),
            streams: BTreeMap::new(),
            timers: Timers::new(),
            answers: EventQueue::new(usize::MAX),
        }
    }

    /// Exchanges of frames with a length in front, of at most `max_frame` bytes each: 10 s for each exchange, 256 questions.
    pub fn length_delimited(name: ProtocolName, max_frame: usize) -> Self {
        let framing = Framing::LengthDelimited { max: max_frame };
        Self::new(StreamSpec::new(name, framing), Duration::from_secs(10), 256)
    }

    /// The same with another framing for the streams that we open: a server that takes small requests may give large answers.
    #[must_use]
    pub fn with_answers(mut self, framing: Framing) -> Self {
        if let Some(served) = self.specs.first().cloned() {
            self.specs.push(StreamSpec {
                framing,
                max_inbound: 0,
                ..served
            });
        }
        self
    }

    /// For [`Protocol::specs`](crate::Protocol::specs).
    pub fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    /// Asks a connected peer. One [`Answer`] with this key follows.
    ///
    /// # Errors
    ///
    /// [`Closed::Limit`] if there are `max` questions.
    pub fn ask(&mut self, peer: PeerId, key: K, request: impl Into<Bytes>) -> Result<(), Closed> {
        self.queue(Question {
            key,
            peer,
            request: request.into(),
            answered: true,
        })
    }

    /// Tells a connected peer what it does not answer. One [`Answer`] with this key follows, without bytes, when the stream has taken the message.
    ///
    /// # Errors
    ///
    /// [`Closed::Limit`] if there are `max` questions.
    pub fn tell(&mut self, peer: PeerId, key: K, message: impl Into<Bytes>) -> Result<(), Closed> {
        self.queue(Question {
            key,
            peer,
            request: message.into(),
            answered: false,
        })
    }

    fn queue(&mut self, question: Question<K>) -> Result<(), Closed> {
        let asked = |stage: &&Stage<K>| matches!(stage, Stage::Asking(_) | Stage::Asked { .. });
        let under_way = self.streams.values().filter(asked).count();
        let waiting = self.waiting.len().saturating_add(self.queued.len());
        let all = under_way
            .saturating_add(waiting)
            .saturating_add(self.answers.len());
        if all >= self.max {
            return Err(Closed::Limit);
        }
        self.waiting.push_back(question);
        Ok(())
    }

    /// The oldest answer.
    pub fn poll_answer(&mut self) -> Option<Answer<K>> {
        self.answers.pop()
    }

    /// The drive that made the oldest answer.
    pub fn next_answer_seq(&self) -> Option<u64> {
        self.answers.next_seq()
    }

    /// Takes an input of the protocol. What comes out is a request of another peer, on its stream.
    pub fn handle(&mut self, cx: &mut Context<'_>, input: Input) -> Option<(StreamId, Bytes)> {
        match input {
            Input::Opened { stream, .. } if stream.is_inbound() => {
                self.streams.insert(stream, Stage::Listening);
                self.timers.set(stream, cx.now + self.timeout);
            }
            Input::Opened { stream, .. } | Input::Writable { stream } => self.write(cx, stream),
            Input::Frame { stream, data } => return self.handle_frame(cx, stream, data),
            Input::Finished { stream } => self.handle_finished(cx, stream),
            Input::Closed { stream, reason } => {
                let peer = self.streams.get(&stream).and_then(Stage::asked);
                self.end(cx, stream, Err(reason));
                self.ask_next(peer);
            }
            Input::Timeout => self.handle_timeout(cx),
            _ => {}
        }
        None
    }

    /// Sends the response to a request and ends our side. A stream that is gone is no error.
    pub fn answer(&mut self, cx: &mut Context<'_>, stream: StreamId, response: impl Into<Bytes>) {
        if let Some(stage @ Stage::Working) = self.streams.get_mut(&stream) {
            *stage = Stage::Answering(response.into());
            self.write(cx, stream);
        }
    }

    /// Ends our side of a request's stream without a response, where none is due. A stream that is gone is no error.
    pub fn dismiss(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        if let Some(stage @ Stage::Working) = self.streams.get_mut(&stream) {
            *stage = Stage::Over(None);
            cx.finish(stream);
        }
    }

    /// For [`Protocol::poll_timeout`](crate::Protocol::poll_timeout).
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.waiting.is_empty() {
            self.timers.next().map(|(at, _)| Deadline::new(at, "exchange"))
        } else {
            Some(Deadline::now("command"))
        }
    }

    /// Sends what a stream has not taken.
    fn write(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(stage) = self.streams.get_mut(&stream) else {
            return;
        };
        let frame = match stage {
            Stage::Asking(question) => question.request.clone(),
            Stage::Answering(response) => response.clone(),
            _ => return,
        };
        if cx.write(stream, frame).is_err() {
            return;
        }
        match core::mem::replace(stage, Stage::Over(None)) {
            Stage::Asking(Question {
                key,
                peer,
                answered: true,
                ..
            }) => *stage = Stage::Asked { key, peer },
            Stage::Asking(Question { key, peer, .. }) => {
                *stage = Stage::Over(Some(peer));
                cx.finish(stream);
                self.push(cx, key, peer, Ok(Bytes::new()));
            }
            _ => cx.finish(stream),
        }
    }

    fn handle_frame(
        &mut self,
        cx: &mut Context<'_>,
        stream: StreamId,
        data: Bytes,
    ) -> Option<(StreamId, Bytes)> {
        match self.streams.get_mut(&stream)? {
            stage @ Stage::Listening => {
                *stage = Stage::Working;
                return Some((stream, data));
            }
            Stage::Asked { peer, .. } => {
                let over = Stage::Over(Some(*peer));
                let deadline = self.timers.get(stream);
                self.end(cx, stream, Ok(data));
                cx.finish(stream);
                self.streams.insert(stream, over);
                self.timers.set_or_clear(stream, deadline);
            }
            // More than one frame, or an answer to what was not asked.
            _ => self.give_up(cx, stream, Closed::Malformed),
        }
        None
    }

    fn handle_finished(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        if let Some(Stage::Listening | Stage::Asking(_) | Stage::Asked { .. }) = self.streams.get(&stream) {
            self.give_up(cx, stream, Closed::UnexpectedEnd);
        }
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        if let Some(stream) = self.timers.pop_due(cx.now) {
            let unanswered = match self.streams.get(&stream) {
                Some(Stage::Asking(Question { peer, .. }) | Stage::Asked { peer, .. }) => Some(*peer),
                _ => None,
            };
            self.give_up(cx, stream, Closed::TimedOut);
            // It has had its time for the others too.
            while let Some(Question { key, peer, .. }) = self.take_queued(unanswered) {
                self.push(cx, key, peer, Err(Closed::TimedOut));
            }
        }
        let Some(question) = self.waiting.pop_front() else {
            return;
        };
        let peer = question.peer;
        let asked = u8::from(self.specs.len() > 1);
        match cx.open(Target::Peer(peer), &[asked]) {
            Ok(stream) => {
                self.streams.insert(stream, Stage::Asking(question));
                self.timers.set(stream, cx.now + self.timeout);
                self.write(cx, stream);
            }
            Err(OpenError::TooManyStreams)
                if self.streams.values().any(|stage| stage.asked() == Some(peer)) =>
            {
                self.queued.push_back(question);
            }
            Err(error) => {
                let reason = match error {
                    OpenError::TooManyStreams => Closed::Limit,
                    _ => Closed::ConnectionLost,
                };
                self.push(cx, question.key, peer, Err(reason));
                self.ask_next(Some(peer));
            }
        }
    }

    /// A stream to this peer has ended: the first question that waits for one is asked by the next drive.
    fn ask_next(&mut self, peer: Option<PeerId>) {
        if let Some(question) = self.take_queued(peer) {
            self.waiting.push_back(question);
        }
    }

    fn take_queued(&mut self, peer: Option<PeerId>) -> Option<Question<K>> {
        let first = self
            .queued
            .iter()
            .position(|question| Some(question.peer) == peer)?;
        self.queued.remove(first)
    }

    fn give_up(&mut self, cx: &mut Context<'_>, stream: StreamId, reason: Closed) {
        let peer = self.streams.get(&stream).and_then(Stage::asked);
        cx.reset(stream);
        self.end(cx, stream, Err(reason));
        if peer.is_some() {
            self.streams.insert(stream, Stage::Over(peer));
        }
    }

    /// Forgets a stream, and reports the end of a question of ours.
    fn end(&mut self, cx: &Context<'_>, stream: StreamId, result: Result<Bytes, Closed>) {
        self.timers.clear(stream);
        let stage = self.streams.remove(&stream);
        if let Some(Stage::Asking(Question { key, peer, .. }) | Stage::Asked { key, peer }) = stage {
            self.push(cx, key, peer, result);
        }
    }

    fn push(&mut self, cx: &Context<'_>, key: K, peer: PeerId, result: Result<Bytes, Closed>) {
        // `ask` has kept the room.
        let _unbounded = self.answers.push(cx.seq, Answer { key, peer, result });
    }
}
