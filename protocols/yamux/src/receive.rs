//! What arrives: frames in any split, checked before anything changes.

use crate::{
    Error, INITIAL_WINDOW,
    stream::Stream,
    wire::{ACK, FIN, HEADER, Header, Kind, RST, SYN},
    yamux::{Event, Yamux},
};
use core::time::Duration;
use libp2p_proto_core::Instant;

const SECOND: Duration = Duration::from_secs(1);
const TEN_SECONDS: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// An incomplete header, and the body that is being passed on.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    header: [u8; HEADER],
    have: usize,
    body: Option<Body>,
}

/// The rest of one frame.
#[derive(Clone, Copy, Debug)]
struct Body {
    /// `None`: the body is skipped.
    stream: Option<u32>,
    left: u32,
    /// The remote finishes behind the body.
    fin: bool,
}

impl Inbox {
    pub(crate) const fn is_between_frames(&self) -> bool {
        self.have == 0 && self.body.is_none()
    }

    /// Takes bytes of a header; a whole one comes back.
    fn header(&mut self, input: &mut &[u8]) -> Option<[u8; HEADER]> {
        if self.have == 0 {
            if let Some((header, rest)) = input.split_first_chunk::<HEADER>() {
                *input = rest;
                return Some(*header);
            }
        }
        let missing = HEADER.saturating_sub(self.have).min(input.len());
        let (bytes, rest) = input.split_at_checked(missing)?;
        *input = rest;
        for byte in bytes {
            if let Some(slot) = self.header.get_mut(self.have) {
                *slot = *byte;
                self.have = self.have.saturating_add(1);
            }
        }
        if self.have < HEADER {
            return None;
        }
        self.have = 0;
        Some(self.header)
    }
}

impl Yamux {
    /// Takes one step of input, which moves on behind it. `None`: the input is used up. Payload is lent, never kept; every other effect waits in
    /// [`poll_event`](Self::poll_event).
    ///
    /// # Errors
    ///
    /// See [`Error`]; the session is over, and every later call gives the same error.
    pub fn handle_input<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
    ) -> Result<Option<Event<'b>>, Error> {
        self.now = self.now.max(now);
        if let Some(error) = self.failed {
            return Err(error);
        }
        loop {
            if let Some(body) = self.inbox.body {
                if body.left > 0 && input.is_empty() {
                    return Ok(None);
                }
                if let Some(event) = self.pass_body(body, input) {
                    return Ok(Some(event));
                }
                continue;
            }
            let Some(header) = self.inbox.header(input) else {
                return Ok(None);
            };
            self.stats.frames_in = self.stats.frames_in.saturating_add(1);
            let handled = Header::decode(header).and_then(|header| self.handle_header(header));
            match handled {
                Ok(Some(event)) => return Ok(Some(event)),
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
        }
    }

    /// Passes on what is there of a body, and what stands behind it.
    fn pass_body<'b>(&mut self, mut body: Body, input: &mut &'b [u8]) -> Option<Event<'b>> {
        let take = usize::try_from(body.left).unwrap_or(usize::MAX).min(input.len());
        let (bytes, rest) = input.split_at_checked(take)?;
        *input = rest;
        body.left = body.left.saturating_sub(u32::try_from(take).unwrap_or(u32::MAX));
        // The stream may have been reset while its body was on its way.
        let stream = body.stream.filter(|stream| self.streams.contains_key(stream));
        if body.left == 0 && take == 0 {
            self.inbox.body = None;
            return stream
                .filter(|_| body.fin)
                .and_then(|stream| self.finished_by_peer(stream));
        }
        self.inbox.body = Some(body);
        let stream = stream?;
        self.stats.bytes_in = self.stats.bytes_in.saturating_add(take as u64);
        if self.streams.get(&stream).is_some_and(|entry| entry.discarding) {
            self.grant(self.now, stream, take);
            return None;
        }
        Some(Event::Data { stream, bytes })
    }

    fn finished_by_peer(&mut self, stream: u32) -> Option<Event<'static>> {
        let entry = self.streams.get_mut(&stream)?;
        if entry.peer_finished {
            return None;
        }
        entry.peer_finished = true;
        entry.update_due = None;
        self.close_if_done(stream);
        Some(Event::Finished { stream })
    }

    fn handle_header(&mut self, header: Header) -> Result<Option<Event<'static>>, Error> {
        match header.kind {
            Kind::Ping => self.handle_ping(header).map(|()| None),
            Kind::GoAway => {
                self.peer_going_away = true;
                Ok(Some(Event::GoAway { code: header.length }))
            }
            Kind::Data | Kind::WindowUpdate => self.handle_stream_frame(header),
        }
    }

    fn handle_ping(&mut self, header: Header) -> Result<(), Error> {
        match (header.has(SYN), header.has(ACK)) {
            (true, true) => Err(Error::BadPing),
            (_, true) => self.pinger.handle_pong(self.now, header.length, &self.config),
            (_, false) => {
                let max = u64::from(self.config.pings_per_second);
                if !self.rates.pings.count(self.now, SECOND, max, 1) {
                    return Err(Error::PingFlood);
                }
                if self.pongs.len() < self.config.max_pongs {
                    self.pongs.push_back(header.length);
                    self.waiting_since = Some(self.waiting_since.unwrap_or(self.now));
                } else {
                    self.stats.pongs_dropped = self.stats.pongs_dropped.saturating_add(1);
                }
                Ok(())
            }
        }
    }

    fn handle_stream_frame(&mut self, header: Header) -> Result<Option<Event<'static>>, Error> {
        let body_len = if header.kind == Kind::Data {
            header.length
        } else {
            0
        };
        let carries_nothing = header.flags & (SYN | ACK | FIN | RST) == 0 && header.length == 0;
        if carries_nothing
            && !self
                .rates
                .empty
                .count(self.now, TEN_SECONDS, self.config.empty_frames.into(), 1)
        {
            return Err(Error::NoProgress);
        }
        // RST before all else: a length beside it is an error code, or a body to skip.
        if header.has(RST) {
            return self.handle_reset(header, body_len);
        }
        if header.has(SYN) {
            return self.handle_syn(header, body_len);
        }
        let Some(stream) = self.streams.get_mut(&header.stream) else {
            return self.handle_unknown(header, body_len).map(|()| None);
        };
        check_window(stream, body_len)?;
        let increment = if header.kind == Kind::WindowUpdate {
            header.length
        } else {
            0
        };
        let send_window = stream
            .send_window
            .checked_add(increment)
            .ok_or(Error::WindowOverflow)?;
        let duplicate_fin = stream.peer_finished && (header.has(FIN) || body_len > 0);
        if duplicate_fin
            && !self
                .rates
                .empty
                .count(self.now, TEN_SECONDS, self.config.empty_frames.into(), 1)
        {
            return Err(Error::NoProgress);
        }
        stream.send_window = send_window;
        stream.recv_window = stream.recv_window.saturating_sub(body_len);
        let acknowledged = header.has(ACK) && core::mem::take(&mut stream.unacknowledged);
        let target = if stream.peer_finished {
            None
        } else {
            Some(header.stream)
        };
        if increment > 0 {
            self.queue_data(header.stream);
        }
        self.inbox.body = Some(Body {
            stream: target,
            left: body_len,
            fin: header.has(FIN),
        });
        if acknowledged {
            self.unacknowledged = self.unacknowledged.saturating_sub(1);
            return Ok(Some(Event::Acknowledged {
                stream: header.stream,
            }));
        }
        Ok(None)
    }

    fn handle_reset(&mut self, header: Header, body_len: u32) -> Result<Option<Event<'static>>, Error> {
        self.inbox.body = Some(Body {
            stream: None,
            left: body_len,
            fin: false,
        });
        self.tombstones.remove(&header.stream);
        let Some(stream) = self.remove(header.stream) else {
            return self.count_unknown(body_len).map(|()| None);
        };
        let churn = !self.is_ours(header.stream);
        drop(stream);
        if churn && !self.rates.resets.take(self.now, self.config.resets_per_second) {
            return Err(Error::ResetFlood);
        }
        let code = if header.kind == Kind::WindowUpdate {
            header.length
        } else {
            0
        };
        Ok(Some(Event::Reset {
            stream: header.stream,
            code,
        }))
    }

    fn handle_syn(&mut self, header: Header, body_len: u32) -> Result<Option<Event<'static>>, Error> {
        if self.is_ours(header.stream) {
            return Err(Error::BadStreamId(header.stream));
        }
        if self.streams.contains_key(&header.stream) {
            return Err(Error::DuplicateStream(header.stream));
        }
        let mut stream = Stream::new(self.now, 0, &self.config);
        check_window(&stream, body_len)?;
        if header.kind == Kind::WindowUpdate {
            stream.send_window = INITIAL_WINDOW
                .checked_add(header.length)
                .ok_or(Error::WindowOverflow)?;
        }
        let full = self.inbound >= self.config.max_inbound || self.unaccepted >= self.config.max_unaccepted;
        if full || self.going_away {
            self.inbox.body = Some(Body {
                stream: None,
                left: body_len,
                fin: false,
            });
            if !self.going_away {
                self.refuse(header.stream, body_len)?;
            }
            return Ok(None);
        }
        stream.recv_window = stream.recv_window.saturating_sub(body_len);
        stream.unaccepted = true;
        self.tombstones.remove(&header.stream);
        self.streams.insert(header.stream, stream);
        self.inbound = self.inbound.saturating_add(1);
        self.unaccepted = self.unaccepted.saturating_add(1);
        self.inbox.body = Some(Body {
            stream: Some(header.stream),
            left: body_len,
            fin: header.has(FIN),
        });
        Ok(Some(Event::Opened {
            stream: header.stream,
        }))
    }

    fn refuse(&mut self, stream: u32, body_len: u32) -> Result<(), Error> {
        if self.resets.len() >= self.config.max_resets {
            return Err(Error::PeerNotReading);
        }
        self.stats.refused = self.stats.refused.saturating_add(1);
        self.tombstones
            .insert(stream, INITIAL_WINDOW.saturating_sub(body_len));
        if self.tombstones.len() > self.config.max_tombstones {
            self.tombstones.pop_first();
        }
        self.queue_reset(stream);
        if self.rates.resets.take(self.now, self.config.resets_per_second) {
            Ok(())
        } else {
            Err(Error::ResetFlood)
        }
    }

    /// A frame for a stream that is not there: skipped, and counted unless it is within what a stream that we reset may still send.
    fn handle_unknown(&mut self, header: Header, body_len: u32) -> Result<(), Error> {
        self.inbox.body = Some(Body {
            stream: None,
            left: body_len,
            fin: false,
        });
        if let Some(window) = self.tombstones.get_mut(&header.stream) {
            if let Some(left) = window.checked_sub(body_len) {
                *window = left;
                if header.has(FIN) {
                    self.tombstones.remove(&header.stream);
                }
                return Ok(());
            }
        }
        // Window updates for a stream that has just ended are legal and cost nothing.
        if header.kind == Kind::WindowUpdate
            && self
                .rates
                .empty
                .count(self.now, TEN_SECONDS, self.config.empty_frames.into(), 1)
        {
            return Ok(());
        }
        self.count_unknown(body_len)
    }

    fn count_unknown(&mut self, body_len: u32) -> Result<(), Error> {
        let frames = self
            .rates
            .unknown_frames
            .count(self.now, SECOND, self.config.unknown_frames.into(), 1);
        let bytes =
            self.rates
                .unknown_bytes
                .count(self.now, MINUTE, self.config.unknown_bytes, body_len.into());
        if frames && bytes {
            Ok(())
        } else {
            Err(Error::UnknownFlood)
        }
    }
}

const fn check_window(stream: &Stream, body_len: u32) -> Result<(), Error> {
    if body_len > stream.recv_window {
        return Err(Error::WindowExceeded {
            got: body_len,
            window: stream.recv_window,
        });
    }
    Ok(())
}
