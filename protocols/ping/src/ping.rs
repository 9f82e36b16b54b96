//! The machine: rounds by command and by interval, and the echo.

use crate::{
    Command, Config, Error, Failure,
    echo::{Echo, Step},
};
use alloc::collections::{BTreeMap, VecDeque};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Deadline, Instant, PeerId, ProtocolName, StreamId, Timers};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, Context, EventQueue, Framing, Input, Journal, Protocol, StreamSpec, Target,
    WriteError,
};

/// `/ipfs/ping/1.0.0`.
pub const NAME: ProtocolName = ProtocolName::from_static("/ipfs/ping/1.0.0");

/// Bytes of one block.
const BLOCK: usize = 32;

/// One commanded run. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The block came back.
    Pong {
        /// The peer.
        peer: PeerId,
        /// The connection that was measured.
        conn: ConnectionId,
        /// From writing the block to its echo; the first round on a stream includes the agreement on its name.
        rtt: Duration,
        /// The commanded run, `None` for a round by interval.
        run: Option<RunId>,
        /// Rounds of the run that are left.
        left: u32,
    },
    /// A run ended early.
    Failed {
        /// The peer.
        peer: PeerId,
        /// The commanded run, `None` for a round by interval.
        run: Option<RunId>,
        /// Why.
        failure: Failure,
    },
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rounds that were answered.
    pub pongs: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Blocks echoed or about to be.
    pub echoed: u64,
    /// Events lost to a full queue.
    pub events_dropped: u64,
}

/// What is known of one connection.
#[derive(Debug)]
struct Link {
    peer: PeerId,
    timeouts: u32,
}

/// What can become due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The round of the run on this connection must be answered.
    Echo(ConnectionId),
    /// The next round by interval; unset while one is under way, and for a peer that doesn't speak ping.
    Interval(ConnectionId),
    /// An inbound stream may send, or has been silent for too long.
    Inbound(StreamId),
}

impl Timer {
    const fn why(self) -> &'static str {
        match self {
            Self::Echo(_) => "echo",
            Self::Interval(_) => "interval",
            Self::Inbound(_) => "inbound",
        }
    }
}

/// A run of rounds with one peer: at most one for each peer, as the specification says.
#[derive(Debug)]
struct Run {
    id: Option<RunId>,
    stream: StreamId,
    left: u32,
    block: Bytes,
    sent_at: Option<Instant>,
    /// Whether the present round was already begun on another stream that ended.
    retried: bool,
}

/// The ping protocol, both roles.
#[derive(Debug)]
pub struct Ping {
    config: Config,
    specs: [StreamSpec; 1],
    links: BTreeMap<ConnectionId, Link>,
    runs: BTreeMap<PeerId, Run>,
    echoes: BTreeMap<StreamId, Echo>,
    timers: Timers<Timer>,
    wishes: VecDeque<(RunId, PeerId, u32)>,
    next_run: u64,
    events: EventQueue<Event>,
    stats: Stats,
    journal: Journal,
}

impl Ping {
    /// A ping protocol of this configuration.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field that is out of range.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        let spec = StreamSpec {
            max_inbound: config.max_inbound,
            max_outbound: 2,
            send_capacity: 1024,
            open_timeout: config.timeout,
            on_limited: true,
            lazy: true,
            keeps_alive: false,
            ..StreamSpec::new(NAME, Framing::Fixed { len: BLOCK })
        };
        Ok(Self {
            specs: [spec],
            links: BTreeMap::new(),
            runs: BTreeMap::new(),
            echoes: BTreeMap::new(),
            timers: Timers::new(),
            wishes: VecDeque::new(),
            next_run: 0,
            events: EventQueue::new(config.max_events),
            stats: Stats::default(),
            journal: Journal::new(),
            config,
        })
    }

    /// Pings a connected peer `rounds` times, one round after the other on one stream. One [`Event::Pong`] a round follows, or one [`Event::Failed`].
    ///
    /// # Errors
    ///
    /// [`Error::NoRounds`] or [`Error::TooManyRuns`].
    pub fn ping(&mut self, peer: PeerId, rounds: u32) -> Result<RunId, Error> {
        self.journal.note(|| Command::Ping { peer, rounds });
        if rounds == 0 {
            return Err(Error::NoRounds);
        }
        if self.wishes.len().saturating_add(self.runs.len()) >= self.config.max_runs {
            return Err(Error::TooManyRuns);
        }
        let id = RunId(self.next_run);
        self.next_run = self.next_run.saturating_add(1);
        self.wishes.push_back((id, peer, rounds));
        Ok(id)
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

    fn emit(&mut self, seq: u64, event: Event) {
        match event {
            Event::Pong { .. } => self.stats.pongs = self.stats.pongs.saturating_add(1),
            Event::Failed { .. } => self.stats.failures = self.stats.failures.saturating_add(1),
        }
        if self.events.push(seq, event).is_err() {
            self.stats.events_dropped = self.stats.events_dropped.saturating_add(1);
        }
    }

    /// Begins the waiting runs whose peer is free.
    fn begin_wishes(&mut self, cx: &mut Context<'_>) {
        for (id, peer, rounds) in core::mem::take(&mut self.wishes) {
            if self.runs.contains_key(&peer) {
                self.wishes.push_back((id, peer, rounds));
            } else {
                self.begin(cx, Target::Peer(peer), peer, Some(id), rounds);
            }
        }
    }

    /// Begins a round by interval, unless the peer is being pinged anyway.
    fn begin_round(&mut self, cx: &mut Context<'_>, conn: ConnectionId) {
        if let Some(peer) = self.links.get(&conn).map(|link| link.peer) {
            if self.runs.contains_key(&peer) {
                self.rest(cx, conn);
            } else {
                self.begin(cx, Target::Connection(conn), peer, None, 1);
            }
        }
    }

    fn begin(&mut self, cx: &mut Context<'_>, target: Target, peer: PeerId, id: Option<RunId>, left: u32) {
        let Ok(stream) = cx.open(target, &[0]) else {
            if id.is_some() {
                self.emit(
                    cx.seq,
                    Event::Failed {
                        peer,
                        run: id,
                        failure: Failure::NotConnected,
                    },
                );
            }
            return;
        };
        let block = Bytes::copy_from_slice(&cx.rng.bytes32());
        let mut run = Run {
            id,
            stream,
            left,
            block,
            sent_at: None,
            retried: false,
        };
        run.send(cx);
        self.timers
            .set(Timer::Echo(stream.conn), cx.now + self.config.timeout);
        self.runs.insert(peer, run);
    }

    fn handle_echo(&mut self, cx: &mut Context<'_>, peer: PeerId, echoed: &Bytes) {
        let Some(run) = self.runs.get_mut(&peer) else {
            return;
        };
        let (Some(sent_at), true) = (run.sent_at, *echoed == run.block) else {
            cx.reset(run.stream);
            self.fail(cx, peer, Failure::Mismatch);
            return;
        };
        run.left = run.left.saturating_sub(1);
        run.retried = false;
        let (id, left, stream) = (run.id, run.left, run.stream);
        if left == 0 {
            cx.finish(stream);
            self.runs.remove(&peer);
            self.timers.clear(Timer::Echo(stream.conn));
            self.rest(cx, stream.conn);
        } else {
            run.block = Bytes::copy_from_slice(&cx.rng.bytes32());
            run.send(cx);
            self.timers
                .set(Timer::Echo(stream.conn), cx.now + self.config.timeout);
        }
        if let Some(link) = self.links.get_mut(&stream.conn) {
            link.timeouts = 0;
        }
        self.emit(
            cx.seq,
            Event::Pong {
                peer,
                conn: stream.conn,
                rtt: cx.now.since(sent_at),
                run: id,
                left,
            },
        );
        self.begin_wishes(cx);
    }

    /// Sets the next round by interval.
    fn rest(&mut self, cx: &Context<'_>, conn: ConnectionId) {
        if let (Some(interval), true) = (self.config.interval, self.links.contains_key(&conn)) {
            self.timers.set(Timer::Interval(conn), cx.now + interval);
        }
    }

    /// Ends a run in failure. What the failure says of the connection is decided here.
    fn fail(&mut self, cx: &mut Context<'_>, peer: PeerId, failure: Failure) {
        let Some(run) = self.runs.remove(&peer) else {
            return;
        };
        let conn = run.stream.conn;
        self.timers.clear(Timer::Echo(conn));
        self.emit(
            cx.seq,
            Event::Failed {
                peer,
                run: run.id,
                failure,
            },
        );
        match failure {
            Failure::Unsupported | Failure::ConnectionLost | Failure::NotConnected => {}
            Failure::TimedOut if run.id.is_none() => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.timeouts = link.timeouts.saturating_add(1);
                    self.timers.set(Timer::Interval(conn), cx.now);
                    if self.config.max_failures > 0 && link.timeouts >= self.config.max_failures {
                        cx.disconnect(conn);
                    }
                }
            }
            Failure::TimedOut | Failure::Mismatch | Failure::StreamClosed => self.rest(cx, conn),
        }
        self.begin_wishes(cx);
    }

    /// A stream of ours ended before its echo: a listener may end a stream between two rounds without fault, so the round is tried once more.
    fn handle_closed(&mut self, cx: &mut Context<'_>, peer: PeerId, reason: Closed) {
        let failure = match reason {
            Closed::Refused => Failure::Unsupported,
            Closed::TimedOut => Failure::TimedOut,
            Closed::ConnectionLost => Failure::ConnectionLost,
            _ => {
                if self.retry(cx, peer) {
                    return;
                }
                Failure::StreamClosed
            }
        };
        self.fail(cx, peer, failure);
    }

    fn retry(&mut self, cx: &mut Context<'_>, peer: PeerId) -> bool {
        let Some(run) = self.runs.get_mut(&peer).filter(|run| !run.retried) else {
            return false;
        };
        let Ok(stream) = cx.open(Target::Connection(run.stream.conn), &[0]) else {
            return false;
        };
        run.stream = stream;
        run.retried = true;
        run.send(cx);
        true
    }

    fn peer_of_run(&self, stream: StreamId) -> Option<PeerId> {
        self.runs
            .iter()
            .find(|(_, run)| run.stream == stream)
            .map(|(peer, _)| *peer)
    }

    fn handle_stream(&mut self, cx: &mut Context<'_>, stream: StreamId, input: Input) {
        if stream.is_inbound() {
            self.handle_inbound(cx, stream, input);
        } else if let Some(peer) = cx
            .peer_of(stream)
            .filter(|peer| self.runs.get(peer).is_some_and(|run| run.stream == stream))
        {
            match input {
                Input::Frame { data, .. } => self.handle_echo(cx, peer, &data),
                Input::Finished { .. } => {
                    cx.reset(stream);
                    self.handle_closed(cx, peer, Closed::Finished);
                }
                Input::Closed { reason, .. } => self.handle_closed(cx, peer, reason),
                Input::Opened { .. } | Input::Writable { .. } => {
                    if let Some(run) = self.runs.get_mut(&peer).filter(|run| run.sent_at.is_none()) {
                        run.send(cx);
                    }
                }
                _ => {}
            }
        } else if let (Input::Closed { reason, .. }, Some(peer)) = (&input, self.peer_of_run(stream)) {
            self.handle_closed(cx, peer, *reason);
        }
    }

    fn handle_inbound(&mut self, cx: &mut Context<'_>, stream: StreamId, input: Input) {
        if let Input::Opened { peer, .. } = input {
            // The connection counts its own streams; the limit is for the peer.
            let of_peer = |stream: &&StreamId| cx.peer_of(**stream) == Some(peer);
            if self.echoes.keys().filter(of_peer).count() >= usize::from(self.config.max_inbound) {
                cx.reset(stream);
                return;
            }
            let echo = Echo::new(cx.now);
            self.timers
                .set_or_clear(Timer::Inbound(stream), echo.deadline(&self.config));
            self.echoes.insert(stream, echo);
            return;
        }
        let Some(echo) = self.echoes.get_mut(&stream) else {
            return;
        };
        let step = match input {
            Input::Frame { data, .. } => {
                self.stats.echoed = self.stats.echoed.saturating_add(1);
                echo.handle_block(cx, &self.config, stream, data)
            }
            Input::Writable { .. } => echo.handle_writable(cx, &self.config, stream),
            Input::Finished { .. } => echo.handle_finished(cx, &self.config, stream),
            Input::Closed { .. } => Step::Over,
            _ => Step::Going,
        };
        self.after_echo(stream, step);
    }

    fn after_echo(&mut self, stream: StreamId, step: Step) {
        if step == Step::Over {
            self.echoes.remove(&stream);
        }
        let deadline = self
            .echoes
            .get(&stream)
            .and_then(|echo| echo.deadline(&self.config));
        self.timers.set_or_clear(Timer::Inbound(stream), deadline);
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        self.begin_wishes(cx);
        match self.timers.pop_due(cx.now) {
            Some(Timer::Echo(conn)) => {
                let Some(peer) = self.links.get(&conn).map(|link| link.peer) else {
                    return;
                };
                if let Some(run) = self.runs.get(&peer).filter(|run| run.stream.conn == conn) {
                    cx.reset(run.stream);
                    self.fail(cx, peer, Failure::TimedOut);
                }
            }
            Some(Timer::Interval(conn)) => self.begin_round(cx, conn),
            Some(Timer::Inbound(stream)) => {
                if let Some(echo) = self.echoes.get_mut(&stream) {
                    let step = echo.pump(cx, &self.config, stream);
                    self.after_echo(stream, step);
                }
            }
            None => {}
        }
    }
}

impl Run {
    /// Sends the block, now or when the stream opens.
    fn send(&mut self, cx: &mut Context<'_>) {
        self.sent_at = match cx.write(self.stream, self.block.clone()) {
            Ok(()) => Some(cx.now),
            Err(WriteError::Blocked | WriteError::Closed | WriteError::FrameTooLarge | _) => None,
        };
    }
}

impl Protocol for Ping {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Connected { peer, conn, .. } => {
                self.links.insert(conn, Link { peer, timeouts: 0 });
                self.rest(cx, conn);
            }
            Input::Disconnected { peer, conn, .. } => {
                self.links.remove(&conn);
                self.timers.clear(Timer::Interval(conn));
                if self.runs.get(&peer).is_some_and(|run| run.stream.conn == conn) {
                    self.fail(cx, peer, Failure::ConnectionLost);
                }
            }
            Input::Opened { stream, .. }
            | Input::Frame { stream, .. }
            | Input::Writable { stream }
            | Input::Finished { stream }
            | Input::Closed { stream, .. } => self.handle_stream(cx, stream, input),
            Input::Timeout => self.handle_timeout(cx),
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self
            .wishes
            .iter()
            .any(|(_, peer, _)| !self.runs.contains_key(peer))
        {
            return Some(Deadline::now("command"));
        }
        self.timers
            .next()
            .map(|(at, timer)| Deadline::new(at, timer.why()))
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
    }
}
