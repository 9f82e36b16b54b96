//! A connection over a pipe that it has to itself: from the first byte to the last.

use crate::{
    Config, Error, Step,
    meter::Meter,
    running::{PREFIX, Running},
};
use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};
use core::{fmt, mem, time::Duration};
use libp2p_proto_core::{ConnectionId, Deadline, Instant, ProtocolName, Side, StreamId, TransmitBuf};
use libp2p_proto_multistream_select::{Negotiation, Outcome};
use libp2p_proto_noise::{self as noise, Finished, Handshake, Opener, Sealer};
use libp2p_proto_stream_protocol::{FromConnection, LinkError, Seat, ToConnection};
use libp2p_proto_yamux::{self as yamux, Yamux};

/// How long the last frames may take to leave.
const CLOSING: Duration = Duration::from_secs(1);

const SECURITY: [ProtocolName; 1] = [noise::NAME];
const MUXERS: [ProtocolName; 1] = [yamux::NAME];

/// Counters of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Bytes taken from the link.
    pub bytes_in: u64,
    /// Bytes given to the link.
    pub bytes_out: u64,
    /// Open streams.
    pub streams: usize,
    /// Bytes that the swarm has not returned.
    pub unread: usize,
    /// The measured round trip.
    pub rtt: Option<Duration>,
}

enum Phase {
    /// Agreeing on the security protocol.
    Security(Negotiation, Box<Seat>),
    Handshake(Handshake, Box<Seat>),
    /// The peer is known; the swarm has not decided.
    Authenticated(Box<Finished>, Box<Seat>),
    /// Agreeing on the multiplexer, inside the secure channel.
    Muxer(Negotiation, Sealer, Opener, Box<Seat>),
    Running(Box<Running>),
    /// The last frames are to leave; so is the last message.
    Closing(Box<Running>),
    Closed,
}

/// A connection whose bytes are the pipe's.
pub(crate) struct Bare {
    id: ConnectionId,
    side: Side,
    config: Arc<Config>,
    phase: Phase,
    messages: VecDeque<FromConnection>,
    /// The end of the upgrade, later the end of closing.
    deadline: Option<Deadline>,
    failed: Option<Error>,
    now: Instant,
    meter: Meter,
    /// Bytes of the last input that were not taken: they are handed in again, unless the link ends before they are whole.
    untaken: usize,
}

impl Bare {
    /// A connection machine on a fresh link, in the seat that the swarm gave.
    pub(crate) fn new(now: Instant, config: Arc<Config>, seat: Seat) -> Self {
        let negotiation = config.negotiation(seat.side);
        Self {
            id: seat.conn,
            side: seat.side,
            config,
            deadline: Some(Deadline::new(seat.upgrade_by, "upgrade")),
            phase: Phase::Security(negotiation, Box::new(seat)),
            messages: VecDeque::new(),
            failed: None,
            now,
            meter: Meter::default(),
            untaken: 0,
        }
    }

    /// The latest time that was given.
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Whether the connection is established, and knows this stream.
    pub(crate) fn has_stream(&self, stream: StreamId) -> bool {
        match &self.phase {
            Phase::Running(running) => running.has_stream(stream),
            _ => false,
        }
    }

    /// The swarm's name for the connection.
    pub(crate) const fn id(&self) -> ConnectionId {
        self.id
    }

    /// Takes what it can of `input`, decrypting it where it lies, and answers how many bytes it took. The rest must be handed in again, unmodified, with what
    /// came behind it.
    ///
    /// # Errors
    ///
    /// See [`Error`]; every later call gives the same error, and the last message tells the swarm.
    pub(crate) fn handle_input(&mut self, now: Instant, input: &mut [u8]) -> Result<usize, Error> {
        self.now = self.now.max(now);
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut taken = 0_usize;
        let result = loop {
            let Some(rest) = input.get_mut(taken..).filter(|rest| !rest.is_empty()) else {
                break Ok(());
            };
            match self.step(rest) {
                Ok(0) => break Ok(()),
                Ok(n) => taken = taken.saturating_add(n),
                Err(error) => break Err(error),
            }
        };
        self.meter.take_in(taken);
        self.untaken = input.len().saturating_sub(taken);
        if let Phase::Running(running) = &mut self.phase {
            running.end_read(self.now);
            self.meter.watch(self.now);
        }
        match result {
            Ok(()) => {
                self.check_over();
                Ok(taken)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// One step of input: a negotiation, a handshake message, or one frame.
    fn step(&mut self, input: &mut [u8]) -> Result<usize, Error> {
        match &mut self.phase {
            Phase::Security(negotiation, _) => {
                let taken = negotiation.handle_input(input, &SECURITY)?;
                self.after_security()?;
                Ok(taken)
            }
            Phase::Handshake(handshake, _) => {
                let taken = handshake.handle_input(input)?;
                self.after_handshake()?;
                Ok(taken)
            }
            Phase::Authenticated(..) => Ok(0),
            Phase::Muxer(negotiation, _, opener, _) => {
                let Some((frame, plain)) = opener.open(input)? else {
                    return Ok(0);
                };
                let taken = negotiation.handle_input(plain, &MUXERS)?;
                let left = plain.len().saturating_sub(taken);
                match negotiation.outcome() {
                    Outcome::Refused => Err(Error::NoCommonProtocol),
                    Outcome::Pending => Ok(frame),
                    Outcome::Agreed(_) => {
                        let mut echo = Vec::new();
                        negotiation.poll_transmit(&MUXERS, &mut TransmitBuf::new(&mut echo, 256));
                        self.start_running(echo, Some(left))?;
                        Ok(taken.saturating_add(PREFIX))
                    }
                }
            }
            Phase::Running(running) => running.handle_input(self.now, input),
            // What arrives after the end means nothing.
            Phase::Closing(_) | Phase::Closed => Ok(input.len()),
        }
    }

    fn after_security(&mut self) -> Result<(), Error> {
        let Phase::Security(negotiation, _) = &self.phase else {
            return Ok(());
        };
        match negotiation.outcome() {
            Outcome::Refused => Err(Error::NoCommonProtocol),
            Outcome::Agreed(_) if negotiation.is_drained() => {
                if let Phase::Security(_, seat) = mem::replace(&mut self.phase, Phase::Closed) {
                    let handshake =
                        Handshake::new(self.config.noise.clone(), self.side, seat.expect, seat.seed);
                    self.phase = Phase::Handshake(handshake, seat);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn after_handshake(&mut self) -> Result<(), Error> {
        let Phase::Handshake(handshake, _) = &self.phase else {
            return Ok(());
        };
        if let Some(error) = handshake.error() {
            return Err(error.clone().into());
        }
        if handshake.is_finished() {
            if let Phase::Handshake(handshake, seat) = mem::replace(&mut self.phase, Phase::Closed) {
                let finished = Box::new(handshake.finish()?);
                self.messages
                    .push_back(FromConnection::Authenticated { peer: finished.peer });
                self.phase = Phase::Authenticated(finished, seat);
            }
        }
        Ok(())
    }

    /// The peer is welcome.
    fn admit(&mut self) -> Result<(), Error> {
        if !matches!(self.phase, Phase::Authenticated(..)) {
            return Ok(());
        }
        if let Phase::Authenticated(finished, seat) = mem::replace(&mut self.phase, Phase::Closed) {
            let inlined = finished.muxer.is_some();
            self.phase = Phase::Muxer(
                self.config.negotiation(self.side),
                finished.sealer,
                finished.opener,
                seat,
            );
            if inlined {
                self.start_running(Vec::new(), None)?;
            }
        }
        Ok(())
    }

    /// The multiplexer is agreed. `echo`: our answer, which is to leave ahead of the multiplexer's own frames. `opened`: so many bytes of the
    /// frame that agreed on it are left.
    fn start_running(&mut self, echo: Vec<u8>, opened: Option<usize>) -> Result<(), Error> {
        if let Phase::Muxer(_, sealer, opener, seat) = mem::replace(&mut self.phase, Phase::Closed) {
            let [a, b, c, d, ..] = seat.seed;
            let mux = Yamux::new(
                self.side,
                self.config.yamux,
                u32::from_le_bytes([a, b, c, d]),
                self.now,
            )?;
            self.phase = Phase::Running(Box::new(Running::new(
                (sealer, opener),
                echo,
                opened,
                mux,
                *seat,
                self.config.multistream,
            )));
            self.deadline = None;
            self.messages.push_back(FromConnection::Established {
                security: noise::NAME,
                muxer: yamux::NAME,
            });
        }
        Ok(())
    }

    /// An order of the swarm.
    pub(crate) fn handle_message(&mut self, now: Instant, message: ToConnection) {
        self.now = self.now.max(now);
        match message {
            ToConnection::Admit => {
                if let Err(error) = self.admit() {
                    self.fail(error);
                }
            }
            ToConnection::Close => self.close(),
            ToConnection::Abort => {
                self.end(None);
                self.phase = Phase::Closed;
            }
            order => {
                if let Phase::Running(running) = &mut self.phase {
                    running.handle_order(self.now, order);
                }
            }
        }
    }

    /// The remote sends no more bytes. It is an orderly end only between two frames and without open streams; what was handed in last and not taken is a frame that was
    /// cut off.
    pub(crate) fn handle_eof(&mut self, now: Instant) {
        self.now = self.now.max(now);
        match &mut self.phase {
            Phase::Closing(_) | Phase::Closed => self.phase = Phase::Closed,
            Phase::Running(running) => match running.handle_eof(self.untaken) {
                Ok(()) => {
                    self.end(None);
                    self.phase = Phase::Closed;
                }
                Err(error) => self.drop_link(error),
            },
            _ => self.drop_link(Error::UnexpectedEof),
        }
    }

    /// The transport failed, for a cause of one word.
    pub(crate) fn handle_link_error(&mut self, now: Instant, code: &'static str) {
        self.now = self.now.max(now);
        self.drop_link(Error::Link(code));
    }

    /// Nothing more can leave.
    fn drop_link(&mut self, error: Error) {
        if !matches!(self.phase, Phase::Closed) {
            self.fail(error);
            self.phase = Phase::Closed;
        }
    }

    /// The deadline has come; harmless if early.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.is_due(now) {
            self.deadline = None;
            match self.phase {
                Phase::Closing(_) => self.phase = Phase::Closed,
                _ => drop(self.fail(Error::UpgradeTimeout(self.step_of_upgrade()))),
            }
            return;
        }
        if let Phase::Running(running) = &mut self.phase {
            if let Err(error) = running.handle_timeout(self.now) {
                self.fail(error);
            }
        }
        self.check_over();
    }

    /// Whether the time for the upgrade, or for closing, is over.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let now = self.now.max(now);
        self.deadline.is_some_and(|deadline| deadline.is_due(now))
    }

    const fn step_of_upgrade(&self) -> Step {
        match self.phase {
            Phase::Security(..) => Step::Security,
            Phase::Handshake(..) => Step::Handshake,
            Phase::Authenticated(..) => Step::Admission,
            _ => Step::Muxer,
        }
    }

    /// Closes once the remote goes away and nothing stands any longer.
    fn check_over(&mut self) {
        if let Phase::Running(running) = &self.phase {
            if running.is_over(self.now) {
                self.close();
            }
        }
    }

    /// Appends one unit of output, if there is any and it fits; says whether it did.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> bool {
        self.now = self.now.max(now);
        let before = out.len();
        if let Err(error) = self.transmit(out) {
            self.fail(error);
        }
        let sent = out.len().saturating_sub(before);
        self.meter.take_out(sent);
        self.meter.watch(self.now);
        if sent == 0 && matches!(self.phase, Phase::Closing(_)) && out.remaining() >= 64 {
            self.phase = Phase::Closed;
        }
        sent > 0
    }

    fn transmit(&mut self, out: &mut TransmitBuf<'_>) -> Result<(), Error> {
        match &mut self.phase {
            Phase::Security(negotiation, _) => {
                negotiation.poll_transmit(&SECURITY, out);
                self.after_security()
            }
            Phase::Handshake(handshake, _) => {
                // A message that could not be made is an error that only `after_handshake` sees.
                handshake.poll_transmit(out);
                self.after_handshake()
            }
            Phase::Muxer(negotiation, sealer, _, _) => {
                sealer.seal(out, |plain| negotiation.poll_transmit(&MUXERS, plain))?;
                if matches!(negotiation.outcome(), Outcome::Agreed(_)) && negotiation.is_drained() {
                    self.start_running(Vec::new(), None)?;
                }
                Ok(())
            }
            Phase::Running(running) | Phase::Closing(running) => {
                running.poll_transmit(self.now, out).map(|_| ())
            }
            Phase::Authenticated(..) | Phase::Closed => Ok(()),
        }
    }

    /// The next message for the swarm.
    pub(crate) fn poll_message(&mut self) -> Option<FromConnection> {
        if let Phase::Running(running) = &mut self.phase {
            // `Established` was queued before the first stream.
            let (now, meter) = (self.now, &mut self.meter);
            return self
                .messages
                .pop_front()
                .or_else(|| running.poll_message(now))
                .or_else(|| {
                    meter
                        .poll_report(now, running.mux().rtt())
                        .map(FromConnection::Carried)
                });
        }
        let message = self.messages.pop_front();
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
        message
    }

    /// When `handle_timeout` is due.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        match &self.phase {
            Phase::Running(running) => {
                let report = self.meter.poll_timeout(running.mux().rtt());
                Deadline::earliest(running.poll_timeout(), report)
            }
            Phase::Closed => None,
            _ => self.deadline,
        }
    }

    /// Whether more input may be handed in now. While the answer is no, the link is not to be read.
    pub(crate) fn wants_input(&self) -> bool {
        match &self.phase {
            Phase::Running(running) => running.wants_input(),
            Phase::Authenticated(..) => false,
            _ => true,
        }
    }

    /// Whether the machine is done: the link may be dropped once `poll_message` is drained.
    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Counters.
    pub(crate) fn stats(&self) -> ConnectionStats {
        let running = match &self.phase {
            Phase::Running(running) => Some(running),
            _ => None,
        };
        ConnectionStats {
            streams: running.map_or(0, |running| running.mux().stream_count()),
            unread: running.map_or(0, |running| running.unread()),
            rtt: running.and_then(|running| running.mux().rtt()),
            ..self.meter.stats()
        }
    }

    /// An orderly end of ours.
    fn close(&mut self) {
        if let Phase::Running(running) = &mut self.phase {
            running.go_away();
        }
        self.end(None);
    }

    /// Whether anything was ordered or failed that leaves no more than last words.
    pub(crate) const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Closing(_) | Phase::Closed)
    }

    /// Why it ended, if it has failed.
    pub(crate) const fn error(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// The layer below has failed: what has to be said can't leave any more.
    pub(crate) fn fail_below(&mut self, now: Instant, error: Error) {
        self.now = self.now.max(now);
        self.drop_link(error);
    }

    /// Ends with an error; what the multiplexer has to say about it still leaves.
    fn fail(&mut self, error: Error) -> Error {
        if self.failed.is_none() {
            self.failed = Some(error.clone());
            if let Error::Noise(noise::Error::UnexpectedPeer { got, .. }) = error {
                self.messages.push_back(FromConnection::WrongPeer { got });
            }
            self.end(Some(error.link_error()));
        }
        error
    }

    fn drain_streams(&mut self, running: &mut Running) {
        while let Some(message) = running.last_message() {
            self.messages.push_back(message);
        }
    }

    /// The last message. What the multiplexer has to say may still leave for a moment.
    fn end(&mut self, error: Option<LinkError>) {
        match mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Closed => {}
            Phase::Closing(running) => self.phase = Phase::Closing(running),
            Phase::Running(mut running) => {
                running.close_streams();
                self.drain_streams(&mut running);
                let report = self.meter.last_report(running.mux().rtt());
                self.messages.extend(report.map(FromConnection::Carried));
                self.messages.push_back(FromConnection::Disconnected { error });
                self.phase = Phase::Closing(running);
                self.deadline = Some(Deadline::new(self.now + CLOSING, "closing"));
            }
            _ => self.messages.push_back(FromConnection::Disconnected { error }),
        }
    }
}

impl fmt::Debug for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Security(..) => "security",
            Phase::Handshake(..) => "handshake",
            Phase::Authenticated(..) => "authenticated",
            Phase::Muxer(..) => "muxer",
            Phase::Running(_) => "running",
            Phase::Closing(_) => "closing",
            Phase::Closed => "closed",
        };
        write!(f, "{:?}, {phase}", self.id)
    }
}
