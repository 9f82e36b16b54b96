//! An upgraded connection: the cipher, the multiplexer, the streams.

use crate::Error;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant, StreamId, TransmitBuf};
use libp2p_proto_multistream_select as multistream;
use libp2p_proto_noise::{MAX_FRAME, MAX_PLAINTEXT, Opener, Sealer};
use libp2p_proto_stream_protocol::{FromConnection, Seat, ToConnection};
use libp2p_proto_streams_core::{Blocked, Muxer, Streams};
use libp2p_proto_yamux::{Event, Yamux};

/// Bytes of the length in front of a frame of Noise.
pub(crate) const PREFIX: usize = 2;
/// Bytes of the tag behind its plaintext.
const TAG: usize = MAX_FRAME - MAX_PLAINTEXT;

/// How long streams may go on after the remote said that it goes away.
const GO_AWAY_GRACE: Duration = Duration::from_secs(5);

/// The largest write queue of one stream: what is queued is bounded by the send capacity of its spec.
const UNBOUNDED: usize = usize::MAX;

pub(crate) struct Running {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    /// What is to leave ahead of the multiplexer's frames.
    preface: Vec<u8>,
    /// The next bytes of input are so many bytes of plaintext, opened already, and a tag.
    opened: Option<usize>,
    mux: Mux,
    streams: Streams<u32>,
    /// When to close although streams stand, because the remote goes away.
    leave_by: Option<Instant>,
}

struct Mux(Yamux);

impl Muxer for Mux {
    type Id = u32;

    fn open(&mut self) -> Result<u32, Blocked> {
        self.0.open(UNBOUNDED).map_err(|_| Blocked)
    }

    fn accept(&mut self, id: u32) {
        self.0.accept(id, UNBOUNDED);
    }

    fn write(&mut self, id: u32, mut data: Bytes) {
        // A stream that is gone has told so with an event.
        let _gone_is_fine = self.0.write(id, &mut data);
    }

    fn finish(&mut self, id: u32) {
        self.0.finish(id);
    }

    fn reset(&mut self, id: u32) {
        self.0.reset(id);
    }

    fn refuse(&mut self, id: u32) {
        self.0.refuse(id);
    }

    fn grant(&mut self, now: Instant, id: u32, bytes: usize) {
        self.0.grant(now, id, bytes);
    }

    fn set_max_window(&mut self, id: u32, bytes: usize) {
        self.0.set_max_window(id, bytes);
    }
}

impl Running {
    /// `opened`: the next bytes of input are so many bytes of plaintext, opened already, and a tag.
    pub(crate) fn new(
        (sealer, opener): (Sealer, Opener),
        preface: Vec<u8>,
        opened: Option<usize>,
        mux: Yamux,
        seat: Seat,
        negotiation: multistream::Limits,
    ) -> Self {
        let streams = Streams::new(seat.conn, seat.limited, seat.specs, seat.inbound, seat.limits)
            .with_negotiation(negotiation);
        Self {
            sealer,
            opener,
            preface,
            opened,
            mux: Mux(mux),
            streams,
            leave_by: None,
        }
    }

    /// Takes what it can of one frame, and answers how many bytes of `input` that was.
    pub(crate) fn handle_input(&mut self, now: Instant, input: &mut [u8]) -> Result<usize, Error> {
        if !self.wants_input() {
            return Ok(0);
        }
        let (start, len) = match self.opened {
            Some(len) => (0, len),
            None => match self.opener.open(input)? {
                Some((_, plain)) => (PREFIX, plain.len()),
                None => return Ok(0),
            },
        };
        let end = start.saturating_add(len);
        let frame = end.saturating_add(TAG);
        let mut plain = input.get(start..end).unwrap_or_default();
        let more = input.len().saturating_sub(frame);
        let whole = self.handle_plaintext(now, &mut plain, more)?;
        self.opened = (!whole).then_some(plain.len());
        Ok(if whole {
            frame
        } else {
            end.saturating_sub(plain.len())
        })
    }

    /// Takes plaintext up to its end, or until nothing more is wanted. Says whether it was the end. `more`: bytes that may follow in this read.
    fn handle_plaintext(&mut self, now: Instant, input: &mut &[u8], more: usize) -> Result<bool, Error> {
        while self.wants_input() {
            let Some(event) = self.mux.0.handle_input(now, input)? else {
                self.carry();
                return Ok(true);
            };
            match event {
                Event::Opened { stream } => self.streams.handle_opened(now, &mut self.mux, stream),
                Event::Data { stream, bytes } => {
                    let more = input.len().saturating_add(more);
                    self.streams.handle_data(now, &mut self.mux, stream, bytes, more);
                }
                Event::Finished { stream } => self.streams.handle_finished(now, &mut self.mux, stream),
                Event::Reset { stream, .. } => self.streams.handle_reset(stream),
                Event::GoAway { code: 0 } => self.leave_by = Some(now + GO_AWAY_GRACE),
                Event::GoAway { code } => return Err(Error::GoAway(code)),
                _ => {}
            }
            self.carry();
        }
        Ok(false)
    }

    /// The end of one read.
    pub(crate) fn end_read(&mut self, now: Instant) {
        self.streams.end_read(now, &mut self.mux);
    }

    pub(crate) fn handle_order(&mut self, now: Instant, order: ToConnection) {
        self.excuse_silence(now);
        self.streams.handle_order(now, &mut self.mux, order);
        self.carry();
    }

    /// While we don't read, the remote's silence is ours: its pong may wait in the link.
    fn excuse_silence(&mut self, now: Instant) {
        if !self.wants_input() {
            self.mux.0.excuse_silence(now);
        }
    }

    /// Events of the multiplexer that no input carries.
    fn carry(&mut self) {
        while let Some(event) = self.mux.0.poll_event() {
            match event {
                Event::Drained { stream, bytes } => self.streams.handle_drained(stream, bytes),
                Event::Closed { stream } => self.streams.handle_closed(stream),
                _ => {}
            }
        }
    }

    /// Appends one sealed frame with as many frames of the multiplexer as fit.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> Result<bool, Error> {
        let before = out.len();
        let (mux, preface) = (&mut self.mux.0, &mut self.preface);
        self.sealer.seal(out, |plain| {
            if preface.is_empty() || plain.put(preface) {
                *preface = Vec::new();
                while mux.poll_transmit(now, plain) {}
            }
        })?;
        self.carry();
        Ok(out.len() > before)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.excuse_silence(now);
        self.mux.0.handle_timeout(now)?;
        self.streams.handle_timeout(now, &mut self.mux);
        Ok(())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        let leave = self.leave_by.map(|at| Deadline::new(at, "go-away"));
        Deadline::earliest(
            Deadline::earliest(self.mux.0.poll_timeout(), self.streams.poll_timeout()),
            leave,
        )
    }

    /// Whether the remote goes away and nothing holds us any longer.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.leave_by
            .is_some_and(|at| at <= now || self.streams.is_empty())
    }

    pub(crate) fn poll_message(&mut self, now: Instant) -> Option<FromConnection> {
        self.excuse_silence(now);
        let message = self.streams.poll_message();
        self.streams.handle_room(now, &mut self.mux);
        self.carry();
        message
    }

    /// What still waits for the swarm, once nothing is parsed any longer.
    pub(crate) fn last_message(&mut self) -> Option<FromConnection> {
        self.streams.poll_message()
    }

    pub(crate) fn wants_input(&self) -> bool {
        self.streams.wants_input() && self.mux.0.wants_input()
    }

    /// The link ended: an error if it ended inside a frame or with open streams.
    pub(crate) fn handle_eof(&mut self, untaken: usize) -> Result<(), Error> {
        // A frame that was opened already is whole.
        let unopened = if self.opened.is_some() { 0 } else { untaken };
        self.opener.handle_eof(unopened)?;
        self.mux.0.handle_eof()?;
        if self.streams.is_empty() || self.leave_by.is_some() {
            Ok(())
        } else {
            Err(Error::UnexpectedEof)
        }
    }

    /// Every stream ends, and the go-away frame is to leave.
    pub(crate) fn go_away(&mut self) {
        self.streams.close_all();
        self.mux.0.go_away();
    }

    pub(crate) fn close_streams(&mut self) {
        self.streams.close_all();
    }

    pub(crate) fn has_stream(&self, stream: StreamId) -> bool {
        self.streams.contains(stream)
    }

    pub(crate) const fn mux(&self) -> &Yamux {
        &self.mux.0
    }

    pub(crate) fn unread(&self) -> usize {
        self.streams.unread()
    }
}
