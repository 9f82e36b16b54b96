//! The machine, on both sides.

use crate::{
    CloseCode, Config, Error,
    http::{self, Accept},
    mask,
    wire::{self, Head, MAX_CONTROL},
};
use alloc::{boxed::Box, string::String};
use core::{fmt, ops::Range, time::Duration};
use libp2p_proto_core::{Deadline, Instant, Rng, Side, TransmitBuf};

/// What the layer above is told, each at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The upgrade is done.
    Opened,
    /// The remote closes; no more payload comes. [`CloseCode::is_clean`] says whether it meant well.
    Closed {
        /// The remote's code.
        code: CloseCode,
    },
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Payload received.
    pub bytes_in: u64,
    /// Payload sent.
    pub bytes_out: u64,
    /// Frames received, control frames included.
    pub frames_in: u64,
    /// Frames sent, control frames included.
    pub frames_out: u64,
    /// Payload that the layer above had left over when more came, moved to be in one piece with it.
    pub bytes_moved: u64,
}

/// What we read.
enum Reading {
    /// The head of the upgrade; so many of its bytes were looked at. A client knows what must be answered.
    Head {
        scanned: usize,
        expected: Option<Accept>,
    },
    Frames(Frames),
    /// Nothing that comes means anything.
    Ended,
}

/// Where in the frames we are.
#[derive(Default)]
struct Frames {
    /// Payload of the current frame still to come, its mask, and how much of it has come.
    left: u64,
    key: [u8; 4],
    offset: u64,
    /// Payload of the frames of an unfinished message.
    message: Option<u64>,
}

/// What of HTTP has to leave ahead of any frame.
enum Owed {
    Nothing,
    Request(String),
    Answer(Accept),
    Refusal(&'static [u8]),
}

/// What frames we send.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// None before the upgrade.
    Nothing,
    Frames,
    /// The last one.
    Close(CloseCode),
    Ended,
}

/// A step of input: so many bytes that are no payload, then so many that are.
struct Step {
    skip: usize,
    data: usize,
}

impl Step {
    const fn skip(skip: usize) -> Self {
        Self { skip, data: 0 }
    }
}

/// The answer to the newest ping.
struct Pong {
    len: usize,
    bytes: [u8; MAX_CONTROL],
}

/// One WebSocket. See the crate's page for the calling contract.
pub struct WebSocket {
    side: Side,
    config: Config,
    rng: Option<Rng>,
    reading: Reading,
    owed: Owed,
    sending: Sending,
    pong: Option<Box<Pong>>,
    /// So many bytes at the front of what the caller hands in next are payload already.
    ready: usize,
    opened: bool,
    closed: Option<CloseCode>,
    failed: Option<Error>,
    deadline: Option<Deadline>,
    controls: (Instant, u32),
    now: Instant,
    stats: Stats,
}

impl WebSocket {
    /// The side that dials. `host` goes into the header of that name: a name or an IP address (that of version 6 in brackets), and the port behind a colon. `path` needs no slash at its
    /// front, and is percent-encoded where it must be. `rng` makes the key of the upgrade and the masks, which must be unpredictable.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`], [`Error::BadHost`], [`Error::BadPath`].
    pub fn client(config: Config, host: &str, path: &str, mut rng: Rng, now: Instant) -> Result<Self, Error> {
        let [a, b] = [rng.next_u64(), rng.next_u64()].map(u64::to_le_bytes);
        let mut nonce = [0; 16];
        for (place, byte) in nonce.iter_mut().zip(a.into_iter().chain(b)) {
            *place = byte;
        }
        let (request, accept) = http::request(host, path, nonce)?;
        let owed = Owed::Request(request);
        Self::new(Side::Dialer, config, Some(rng), owed, Some(accept), now)
    }

    /// The side that is dialed. It takes any path, host and origin, as go, js and rust do: who is welcome is decided by the layers inside.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`].
    pub fn server(config: Config, now: Instant) -> Result<Self, Error> {
        Self::new(Side::Listener, config, None, Owed::Nothing, None, now)
    }

    fn new(
        side: Side,
        config: Config,
        rng: Option<Rng>,
        owed: Owed,
        expected: Option<Accept>,
        now: Instant,
    ) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self {
            side,
            rng,
            reading: Reading::Head { scanned: 0, expected },
            owed,
            sending: Sending::Nothing,
            pong: None,
            ready: 0,
            opened: false,
            closed: None,
            failed: None,
            deadline: Some(Deadline::new(now + config.upgrade_timeout, "websocket-upgrade")),
            controls: (now, 0),
            now,
            stats: Stats::default(),
            config,
        })
    }

    /// Takes what it can of `input`, unmasking it where it lies, and answers how many bytes to discard. The rest must be handed in again as it is now (part of it may be payload
    /// already), with what came behind it.
    ///
    /// `take` is lent the payload, without the borders of frames and messages, in one piece with what it left before: it answers how many bytes it used up. It may be called more than once,
    /// and is called once if there is payload that it has left.
    ///
    /// # Errors
    ///
    /// See [`Error`]; every later call gives the same error. An error of `take` is handed on, and leaves this machine as it is: [`close`](Self::close) it.
    pub fn handle_input<E: From<Error>>(
        &mut self,
        now: Instant,
        input: &mut [u8],
        mut take: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.now = self.now.max(now);
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        // Payload is at `start..end`, what was not looked at from `at` on.
        let mut end = self.ready.min(input.len());
        // A caller may hand in less than it must.
        let held_back = self.ready.saturating_sub(end);
        let (mut start, mut at, mut asked) = (0, end, false);
        loop {
            let raw = input.get_mut(at..).unwrap_or_default();
            let step = match self.step(raw) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(error) => return Err(self.fail(error).into()),
            };
            let data = at.saturating_add(step.skip);
            at = data.saturating_add(step.data);
            if step.data > 0 {
                (start, end) = self.join(input, start..end, data..at);
                let payload = input.get_mut(start..end).unwrap_or_default();
                start = start.saturating_add(take(payload)?.min(payload.len()));
                asked = true;
            }
        }
        if !asked && start < end {
            let payload = input.get_mut(start..end).unwrap_or_default();
            start = start.saturating_add(take(payload)?.min(payload.len()));
        }
        let (start, end) = self.join(input, start..end, at..at);
        self.ready = end.saturating_sub(start).saturating_add(held_back);
        Ok(start)
    }

    /// Brings what is left of the payload and what is new into one piece, by moving the shorter of the two; with nothing new, to where the next will follow.
    fn join(&mut self, input: &mut [u8], old: Range<usize>, new: Range<usize>) -> (usize, usize) {
        if old.is_empty() || old.end == new.start {
            let start = if old.is_empty() { new.start } else { old.start };
            return (start, new.end);
        }
        let moves_old = new.is_empty() || old.len() <= new.len();
        let moved = if moves_old { old.len() } else { new.len() };
        self.stats.bytes_moved = self.stats.bytes_moved.saturating_add(moved as u64);
        if moves_old {
            let start = new.start.saturating_sub(old.len());
            input.copy_within(old, start);
            (start, new.end)
        } else {
            let end = old.end.saturating_add(new.len());
            input.copy_within(new, old.end);
            (old.start, end)
        }
    }

    /// One step of input: a head, a control frame, the head of a frame, or payload. `None`: more bytes are needed.
    fn step(&mut self, input: &mut [u8]) -> Result<Option<Step>, Error> {
        if input.is_empty() {
            return Ok(None);
        }
        match &mut self.reading {
            Reading::Head { scanned, expected } => {
                let start: &[u8] = if expected.is_some() { b"HTTP/1.1 " } else { b"GET " };
                let Some(end) = http::end_of_head(input, start, *scanned, &self.config)? else {
                    *scanned = input.len();
                    return Ok(None);
                };
                let head = input.get(..end).unwrap_or_default();
                match expected {
                    Some(expected) => http::read_answer(head, expected, &self.config)?,
                    None => self.owed = Owed::Answer(http::read_request(head, &self.config)?),
                }
                self.reading = Reading::Frames(Frames::default());
                self.sending = Sending::Frames;
                self.opened = true;
                self.deadline = None;
                Ok(Some(Step::skip(end)))
            }
            Reading::Frames(frames) if frames.left > 0 => {
                let len = usize::try_from(frames.left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                let data = input.get_mut(..len).unwrap_or_default();
                if self.side == Side::Listener {
                    mask::apply(data, frames.key, frames.offset);
                }
                frames.left = frames.left.saturating_sub(len as u64);
                frames.offset = frames.offset.saturating_add(len as u64);
                self.stats.bytes_in = self.stats.bytes_in.saturating_add(len as u64);
                // Once we close, nobody takes it any more.
                let is_wanted = self.sending == Sending::Frames;
                Ok(Some(if is_wanted {
                    Step { skip: 0, data: len }
                } else {
                    Step::skip(len)
                }))
            }
            Reading::Frames(_) => self.read_head(input),
            Reading::Ended => Ok(Some(Step::skip(input.len()))),
        }
    }

    fn read_head(&mut self, input: &mut [u8]) -> Result<Option<Step>, Error> {
        let Reading::Frames(frames) = &mut self.reading else {
            return Ok(None);
        };
        let in_message = frames.message;
        let head = Head::read(input, self.side == Side::Listener, |opcode| {
            match (opcode, in_message) {
                (wire::TEXT, _) => Err(Error::Text),
                (wire::CONTINUATION, None) => Err(Error::UnexpectedContinuation),
                (wire::BINARY, Some(_)) => Err(Error::UnfinishedMessage),
                _ => Ok(()),
            }
        })?;
        let Some(head) = head else {
            return Ok(None);
        };
        if head.is_control() {
            return self.read_control(head, input);
        }
        if head.len > self.config.max_frame {
            return Err(Error::FrameTooLarge(head.len));
        }
        let message = in_message.unwrap_or(0).saturating_add(head.len);
        if message > self.config.max_message {
            return Err(Error::MessageTooLarge(message));
        }
        let Some(size) = head.size else {
            return Ok(None);
        };
        *frames = Frames {
            left: head.len,
            key: head.key,
            offset: 0,
            message: (!head.fin).then_some(message),
        };
        self.stats.frames_in = self.stats.frames_in.saturating_add(1);
        Ok(Some(Step::skip(size)))
    }

    /// Control frames are short, so they are taken when they are whole.
    fn read_control(&mut self, head: Head, input: &mut [u8]) -> Result<Option<Step>, Error> {
        let len = usize::try_from(head.len).unwrap_or(usize::MAX);
        let Some((size, end)) = head.size.map(|size| (size, size.saturating_add(len))) else {
            return Ok(None);
        };
        let Some(body) = input.get_mut(size..end) else {
            return Ok(None);
        };
        mask::apply(body, head.key, 0);
        self.stats.frames_in = self.stats.frames_in.saturating_add(1);
        if head.opcode == wire::CLOSE {
            self.read_close(body)?;
            return Ok(Some(Step::skip(end)));
        }
        let (since, count) = &mut self.controls;
        if self.now.since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (self.now, 0);
        }
        *count = count.saturating_add(1);
        if *count > self.config.controls_per_second {
            return Err(Error::ControlFlood);
        }
        if head.opcode == wire::PING {
            let mut pong = Pong {
                len,
                bytes: [0; MAX_CONTROL],
            };
            for (place, byte) in pong.bytes.iter_mut().zip(&*body) {
                *place = *byte;
            }
            self.pong = Some(Box::new(pong));
        }
        Ok(Some(Step::skip(end)))
    }

    fn read_close(&mut self, body: &[u8]) -> Result<(), Error> {
        let code = match body {
            [] => CloseCode::NONE,
            [_] => return Err(Error::BadClose),
            [high, low, reason @ ..] => {
                let code = CloseCode::new(u16::from_be_bytes([*high, *low])).ok_or(Error::BadClose)?;
                core::str::from_utf8(reason).map_err(|_| Error::BadReason)?;
                code
            }
        };
        self.reading = Reading::Ended;
        self.closed = Some(code);
        self.end(code);
        Ok(())
    }

    /// Has the last frame sent, unless it was.
    fn end(&mut self, code: CloseCode) {
        self.pong = None;
        if matches!(self.sending, Sending::Nothing | Sending::Frames) {
            self.sending = match self.sending {
                Sending::Frames => Sending::Close(code),
                _ => Sending::Ended,
            };
            self.deadline = Some(Deadline::new(
                self.now + self.config.close_timeout,
                "websocket-close",
            ));
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error);
        if let (Reading::Head { .. }, Side::Listener) = (&self.reading, self.side) {
            self.owed = Owed::Refusal(http::refusal(&error));
        }
        if matches!(self.owed, Owed::Request(_)) {
            self.owed = Owed::Nothing;
        }
        self.reading = Reading::Ended;
        self.end(error.close_code());
        error
    }

    /// Ends it in order: the close frame leaves behind all that was polled, and the remote's is waited for, for a short time. What still comes is thrown away. Before the upgrade is done, it is
    /// just over.
    pub fn close(&mut self, now: Instant, code: CloseCode) {
        self.now = self.now.max(now);
        if self.sending == Sending::Nothing {
            self.abort();
        } else {
            self.end(code);
        }
    }

    /// Ends it at once: nothing more leaves.
    pub fn abort(&mut self) {
        self.owed = Owed::Nothing;
        self.pong = None;
        self.reading = Reading::Ended;
        self.sending = Sending::Ended;
        self.deadline = None;
    }

    /// The remote sends no more bytes.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedEof`] if neither side had closed.
    pub fn handle_eof(&mut self, now: Instant) -> Result<(), Error> {
        self.now = self.now.max(now);
        let is_expected = matches!(self.reading, Reading::Ended)
            || matches!(self.sending, Sending::Close(_) | Sending::Ended);
        self.abort();
        match self.failed {
            Some(error) => Err(error),
            None if is_expected => Ok(()),
            None => {
                self.failed = Some(Error::UnexpectedEof);
                Err(Error::UnexpectedEof)
            }
        }
    }

    /// The deadline has come; harmless if early.
    ///
    /// # Errors
    ///
    /// [`Error::UpgradeTimeout`].
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.now = self.now.max(now);
        if !self.deadline.is_some_and(|deadline| deadline.is_due(self.now)) {
            return Ok(());
        }
        self.deadline = None;
        if self.failed.is_none() && matches!(self.reading, Reading::Head { .. }) {
            return Err(self.fail(Error::UpgradeTimeout));
        }
        self.abort();
        Ok(())
    }

    /// Appends one unit of output, if there is any and it fits: a head, a control frame, or a frame that `fill` appends the payload of, masked where it lies. `fill` is called at most once, and only
    /// if payload may leave now. Says whether anything was appended.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        out: &mut TransmitBuf<'_>,
        fill: impl FnOnce(&mut TransmitBuf<'_>) -> bool,
    ) -> bool {
        self.now = self.now.max(now);
        if !matches!(self.owed, Owed::Nothing) {
            return self.write_owed(out);
        }
        if let Sending::Close(code) = self.sending {
            let bytes = code.get().to_be_bytes();
            let body = if code == CloseCode::NONE { &[][..] } else { &bytes };
            if !self.write_control(wire::CLOSE, body, out) {
                return false;
            }
            self.sending = Sending::Ended;
            if matches!(self.reading, Reading::Ended) {
                self.deadline = None;
            }
            return true;
        }
        if self.sending != Sending::Frames {
            return false;
        }
        if let Some(pong) = self.pong.take() {
            let body = pong.bytes.get(..pong.len).unwrap_or_default();
            if self.write_control(wire::PONG, body, out) {
                return true;
            }
            self.pong = Some(pong);
            return false;
        }
        self.write_data(out, fill)
    }

    fn write_owed(&mut self, out: &mut TransmitBuf<'_>) -> bool {
        let done = match &self.owed {
            Owed::Nothing => true,
            Owed::Request(request) => out.put(request.as_bytes()),
            Owed::Refusal(refusal) => out.put(refusal),
            Owed::Answer(accept) => {
                let [before, after] = http::ANSWER;
                let len = before
                    .len()
                    .saturating_add(accept.len())
                    .saturating_add(after.len());
                len <= out.remaining() && out.put(before) && out.put(accept) && out.put(after)
            }
        };
        if done {
            self.owed = Owed::Nothing;
        }
        done
    }

    /// Control frames leave whole or not at all, and may be empty.
    fn write_control(&mut self, opcode: u8, body: &[u8], out: &mut TransmitBuf<'_>) -> bool {
        let size = wire::head_size(body.len(), self.rng.is_some());
        let len = size.saturating_add(body.len());
        if len > out.remaining() {
            return false;
        }
        let key = self.rng.as_mut().map(mask::key);
        let mut frame = [0; wire::head_size(0, true) + MAX_CONTROL];
        wire::write_head(&mut frame, opcode, body.len(), key);
        let place = frame.get_mut(size..len).unwrap_or_default();
        for (to, from) in place.iter_mut().zip(body) {
            *to = *from;
        }
        mask::apply(place, key.unwrap_or_default(), 0);
        let done = out.put(frame.get(..len).unwrap_or_default());
        self.stats.frames_out = self.stats.frames_out.saturating_add(u64::from(done));
        done
    }

    fn write_data(
        &mut self,
        out: &mut TransmitBuf<'_>,
        fill: impl FnOnce(&mut TransmitBuf<'_>) -> bool,
    ) -> bool {
        let rng = &mut self.rng;
        let masked = rng.is_some();
        // The longer head is only needed if there is room for what needs it.
        let longest_short = wire::head_size(0, masked).saturating_add(MAX_CONTROL);
        let payload = if out.remaining() > longest_short {
            MAX_CONTROL.saturating_add(1)
        } else {
            0
        };
        let mut written = None;
        out.frame(
            wire::head_size(payload, masked),
            self.config.max_sent_frame,
            fill,
            |head, body| {
                written = Some(body.len());
                let key = rng.as_mut().map(mask::key);
                mask::apply(body, key.unwrap_or_default(), 0);
                wire::write_head(head, wire::BINARY, body.len(), key)
            },
        );
        if let Some(written) = written {
            self.stats.bytes_out = self.stats.bytes_out.saturating_add(written as u64);
            self.stats.frames_out = self.stats.frames_out.saturating_add(1);
        }
        written.is_some()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        if core::mem::take(&mut self.opened) {
            return Some(Event::Opened);
        }
        self.closed.take().map(|code| Event::Closed { code })
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub const fn poll_timeout(&self) -> Option<Deadline> {
        if self.is_closed() { None } else { self.deadline }
    }

    /// Whether payload may go both ways.
    pub const fn is_open(&self) -> bool {
        matches!(
            (&self.reading, self.sending),
            (Reading::Frames(_), Sending::Frames)
        )
    }

    /// Whether the upgrade is not done yet.
    pub const fn is_upgrading(&self) -> bool {
        matches!(self.reading, Reading::Head { .. })
    }

    /// Whether all is done: both close frames have gone their way, or nothing more can. The link may be dropped.
    pub const fn is_closed(&self) -> bool {
        matches!(
            (&self.reading, self.sending, &self.owed),
            (Reading::Ended, Sending::Ended, Owed::Nothing)
        )
    }

    /// Counters.
    pub const fn stats(&self) -> Stats {
        self.stats
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (&self.reading, self.sending) {
            (Reading::Head { .. }, _) => "upgrade",
            (_, Sending::Frames) => "open",
            _ if self.is_closed() => "closed",
            _ => "closing",
        };
        write!(f, "WebSocket({:?}, {state})", self.side)
    }
}
