//! The machine: transfers that we ask for, and those that we serve.

use crate::{Command, Config, Error, Failure, serve::Served};
use alloc::collections::{BTreeMap, VecDeque};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant, PeerId, ProtocolName, StreamId, Timers};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, Context, EventQueue, Framing, Input, Journal, OpenError, Protocol, StreamSpec, Target,
};

/// `/perf/1.0.0`.
pub const NAME: ProtocolName = ProtocolName::from_static("/perf/1.0.0");

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// One transfer of ours. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// How far a transfer of ours has come.
    Progress {
        /// The transfer.
        run: RunId,
        /// Bytes handed to the connection so far.
        up: u64,
        /// Bytes received so far.
        down: u64,
    },
    /// A transfer of ours is done.
    Done {
        /// The transfer.
        run: RunId,
        /// Bytes sent.
        up: u64,
        /// Bytes received, exactly those asked for.
        down: u64,
        /// From opening the stream until the last byte of the upload had left.
        up_time: Duration,
        /// From then until the last byte of the download came.
        down_time: Duration,
    },
    /// A transfer of ours failed.
    Failed {
        /// The transfer.
        run: RunId,
        /// Why.
        failure: Failure,
    },
}

/// A transfer of ours.
#[derive(Debug)]
struct Run {
    id: RunId,
    request: Option<Bytes>,
    up: u64,
    up_left: u64,
    down: u64,
    down_left: u64,
    began: Instant,
    uploaded: Option<Instant>,
    next_progress: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Wish {
    id: RunId,
    peer: PeerId,
    up: u64,
    down: u64,
}

/// The perf protocol, both roles.
#[derive(Debug)]
pub struct Perf {
    config: Config,
    specs: [StreamSpec; 1],
    wishes: VecDeque<Wish>,
    runs: BTreeMap<StreamId, Run>,
    served: BTreeMap<StreamId, Served>,
    timers: Timers<StreamId>,
    next_run: u64,
    events: EventQueue<Event>,
    journal: Journal,
}

impl Perf {
    /// A perf protocol of this configuration.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field that is out of range.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        let spec = StreamSpec {
            max_inbound: u16::from(config.serve),
            max_outbound: 1,
            send_capacity: config.send_capacity,
            recv_window: config.recv_window,
            on_limited: config.on_limited,
            ..StreamSpec::new(NAME, Framing::Raw)
        };
        Ok(Self {
            specs: [spec],
            wishes: VecDeque::new(),
            runs: BTreeMap::new(),
            served: BTreeMap::new(),
            timers: Timers::new(),
            next_run: 0,
            events: EventQueue::new(config.max_events),
            journal: Journal::new(),
            config,
        })
    }

    /// Sends `up` bytes to a connected peer and asks for `down` bytes back. [`Event::Done`] or [`Event::Failed`] follows.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyRuns`].
    pub fn run(&mut self, peer: PeerId, up: u64, down: u64) -> Result<RunId, Error> {
        self.journal.note(|| Command::Run { peer, up, down });
        let under_way = self.wishes.len().saturating_add(self.runs.len());
        // Every transfer ends in an event, for which there is room.
        if under_way >= self.config.max_runs.min(self.events.room()) {
            return Err(Error::TooManyRuns);
        }
        let id = RunId(self.next_run);
        self.next_run = self.next_run.saturating_add(1);
        self.wishes.push_back(Wish { id, peer, up, down });
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

    fn emit(&mut self, seq: u64, event: Event) {
        // `run` and `progress` keep room for the end of every run.
        let _room_is_kept = self.events.push(seq, event);
    }

    fn begin(&mut self, cx: &mut Context<'_>, wish: Wish) {
        let stream = match cx.open(Target::Peer(wish.peer), &[0]) {
            Ok(stream) => stream,
            Err(error) => {
                let failure = match error {
                    OpenError::TooManyStreams => Failure::Busy,
                    _ => Failure::NotConnected,
                };
                let run = wish.id;
                return self.emit(cx.seq, Event::Failed { run, failure });
            }
        };
        let run = Run {
            id: wish.id,
            request: Some(Bytes::copy_from_slice(&wish.down.to_be_bytes())),
            up: wish.up,
            up_left: wish.up,
            down: wish.down,
            down_left: wish.down,
            began: cx.now,
            uploaded: None,
            next_progress: cx.now + self.config.progress,
        };
        self.runs.insert(stream, run);
        self.timers.set(stream, cx.now + self.config.timeout);
        self.pump(cx, stream);
    }

    /// Sends what the stream takes: the request in one chunk, the upload, the end.
    fn pump(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(run) = self.runs.get_mut(&stream) else {
            return;
        };
        if let Some(request) = run.request.take() {
            if cx.write(stream, request.clone()).is_err() {
                run.request = Some(request);
                return;
            }
        }
        send_zeros(cx, stream, &mut run.up_left);
        if run.up_left == 0 && run.uploaded.is_none() {
            run.uploaded = Some(cx.now);
            cx.notify_flushed(stream);
            cx.finish(stream);
        }
        self.progress(cx, stream);
    }

    fn progress(&mut self, cx: &Context<'_>, stream: StreamId) {
        let under_way = self.wishes.len().saturating_add(self.runs.len());
        let Some(run) = self.runs.get_mut(&stream) else {
            return;
        };
        if cx.now >= run.next_progress && self.events.room() > under_way {
            run.next_progress = cx.now + self.config.progress;
            let (up, down) = (
                run.up.saturating_sub(run.up_left),
                run.down.saturating_sub(run.down_left),
            );
            let event = Event::Progress {
                run: run.id,
                up,
                down,
            };
            self.emit(cx.seq, event);
        }
    }

    fn handle_outbound(&mut self, cx: &mut Context<'_>, stream: StreamId, input: Input) {
        let Some(run) = self.runs.get_mut(&stream) else {
            return;
        };
        match input {
            Input::Opened { .. } | Input::Writable { .. } => self.pump(cx, stream),
            Input::Flushed { .. } => run.uploaded = Some(cx.now),
            Input::Frame { data, .. } => match run.down_left.checked_sub(data.len() as u64) {
                Some(left) => {
                    run.down_left = left;
                    self.progress(cx, stream);
                }
                None => self.fail(cx, stream, Failure::WrongCount),
            },
            Input::Finished { .. } => self.handle_end(cx, stream),
            Input::Closed { reason, .. } => {
                let failure = match reason {
                    Closed::Refused => Failure::Unsupported,
                    Closed::TimedOut => Failure::TimedOut,
                    Closed::ConnectionLost => Failure::ConnectionLost,
                    _ => Failure::StreamClosed,
                };
                self.fail(cx, stream, failure);
            }
            _ => {}
        }
    }

    fn handle_end(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        if self
            .runs
            .get(&stream)
            .is_none_or(|run| run.down_left > 0 || run.up_left > 0)
        {
            self.fail(cx, stream, Failure::WrongCount);
            return;
        }
        self.timers.clear(stream);
        if let Some(run) = self.runs.remove(&stream) {
            let uploaded = run.uploaded.unwrap_or(cx.now);
            let event = Event::Done {
                run: run.id,
                up: run.up,
                down: run.down,
                up_time: uploaded.since(run.began),
                down_time: cx.now.since(uploaded),
            };
            self.emit(cx.seq, event);
        }
    }

    fn fail(&mut self, cx: &mut Context<'_>, stream: StreamId, failure: Failure) {
        self.timers.clear(stream);
        if let Some(run) = self.runs.remove(&stream) {
            cx.reset(stream);
            self.emit(cx.seq, Event::Failed { run: run.id, failure });
        }
    }

    fn handle_inbound(&mut self, cx: &mut Context<'_>, stream: StreamId, input: Input) {
        if matches!(input, Input::Opened { .. }) {
            self.served.insert(stream, Served::new());
            self.timers.set(stream, cx.now + self.config.timeout);
            return;
        }
        let Some(served) = self.served.get_mut(&stream) else {
            return;
        };
        let legal = match input {
            Input::Frame { data, .. } => served.handle_data(&self.config, data),
            Input::Finished { .. } => served.handle_finished(cx, stream),
            Input::Writable { .. } => {
                served.pump(cx, stream);
                true
            }
            Input::Closed { .. } => {
                self.forget(stream);
                return;
            }
            _ => true,
        };
        if !legal {
            cx.reset(stream);
            self.forget(stream);
        }
    }

    fn forget(&mut self, stream: StreamId) {
        self.served.remove(&stream);
        self.timers.clear(stream);
    }
}

/// Writes zeros, at most `left`, until the stream takes no more.
pub(crate) fn send_zeros(cx: &mut Context<'_>, stream: StreamId, left: &mut u64) {
    while *left > 0 {
        let len = usize::try_from(*left).unwrap_or(usize::MAX).min(ZEROS.len());
        let block = Bytes::from_static(&ZEROS).slice(..len);
        if cx.write(stream, block).is_err() {
            return;
        }
        *left = left.saturating_sub(len as u64);
    }
}

impl Protocol for Perf {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
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
            Input::Timeout => {
                if let Some(stream) = self.timers.pop_due(cx.now) {
                    if stream.is_inbound() {
                        cx.reset(stream);
                        self.forget(stream);
                    } else {
                        self.fail(cx, stream, Failure::TimedOut);
                    }
                }
                if let Some(wish) = self.wishes.pop_front() {
                    self.begin(cx, wish);
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.wishes.is_empty() {
            self.timers.next().map(|(at, _)| Deadline::new(at, "transfer"))
        } else {
            Some(Deadline::now("command"))
        }
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
    }
}
