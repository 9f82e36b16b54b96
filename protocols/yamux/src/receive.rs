//! What arrives: frames in any split, checked before anything changes.

use crate::{
    Error, Event, INITIAL_WINDOW,
    stream::{Opening, Sending, Stream},
    wire::{ACK, FIN, HEADER, Header, Kind, NORMAL, RST, SYN},
    yamux::Yamux,
};
use alloc::boxed::Box;
use core::time::Duration;
use libp2p_proto_core::Instant;

const SECOND: Duration = Duration::from_secs(1);
const TEN_SECONDS: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// An incomplete header, or a body that is being passed on.
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
    pub(crate) fn is_between_frames(&self) -> bool {
        self.have == 0 && self.body.is_none_or(|body| body.left == 0)
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

    /// What follows the header: `left` bytes, and perhaps the end of the stream.
    fn set_body(&mut self, stream: Option<u32>, left: u32, fin: bool) {
        self.body = (left > 0 || fin).then_some(Body { stream, left, fin });
    }
}

impl Yamux {
    /// Takes one step of input, which moves on behind it. `None`: the input is used up. Payload is lent, never kept; every other effect waits in
    /// [`poll_event`](Self::poll_event).
    ///
    /// # Errors
    ///
    /// See [`Error`]; the session is over, and every later call gives the same error and takes nothing.
    pub fn handle_input<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
    ) -> Result<Option<Event<'b>>, Error> {
        self.tell(now);
        let event = self.step(input);
        // What the step has queued waits from now on.
        self.tell(now);
        event
    }

    fn step<'b>(&mut self, input: &mut &'b [u8]) -> Result<Option<Event<'b>>, Error> {
        self.check_alive()?;
        if !input.is_empty() {
            self.heard = self.now;
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
            self.count_frame();
            let handled = Header::decode(header).and_then(|header| self.handle_header(header));
            match handled {
                Ok(Some(event)) => return Ok(Some(event)),
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
        }
    }

    /// The first frame shows that the remote is ready for our streams.
    fn count_frame(&mut self) {
        self.stats.frames_in = self.stats.frames_in.saturating_add(1);
        while let Some(id) = self.early.pop_front() {
            self.queue_control(id);
        }
    }

    /// Passes on what is there of a body, and what stands behind it.
    fn pass_body<'b>(&mut self, mut body: Body, input: &mut &'b [u8]) -> Option<Event<'b>> {
        let take = usize::try_from(body.left).unwrap_or(usize::MAX).min(input.len());
        if take == 0 {
            self.inbox.body = None;
            return body.stream.and_then(|stream| self.finished_by_peer(stream));
        }
        let (bytes, rest) = input.split_at_checked(take)?;
        *input = rest;
        body.left = body.left.saturating_sub(u32::try_from(take).unwrap_or(u32::MAX));
        self.inbox.set_body(body.stream, body.left, body.fin);
        // The stream may have been reset while its body was on its way.
        let entry = body.stream.and_then(|id| Some((id, self.streams.get(&id)?)));
        let Some((stream, entry)) = entry else {
            self.stats.bytes_skipped = self.stats.bytes_skipped.saturating_add(take as u64);
            return None;
        };
        self.stats.bytes_in = self.stats.bytes_in.saturating_add(take as u64);
        if entry.discarding {
            self.grant(self.now, stream, take);
            return None;
        }
        Some(Event::Data { stream, bytes })
    }

    fn finished_by_peer(&mut self, stream: u32) -> Option<Event<'static>> {
        let entry = self.streams.get_mut(&stream)?;
        entry.peer_finished = true;
        entry.update_due = 0;
        self.close_if_done(stream);
        Some(Event::Finished { stream })
    }

    pub(crate) fn handle_header(&mut self, header: Header) -> Result<Option<Event<'static>>, Error> {
        match header.kind {
            Kind::Ping => self.handle_ping(header).map(|()| None),
            Kind::GoAway => self.handle_go_away(header.length),
            Kind::Data | Kind::WindowUpdate if header.has(RST) => self.handle_reset(header),
            Kind::Data | Kind::WindowUpdate if header.has(SYN) => self.handle_syn(header),
            Kind::Data | Kind::WindowUpdate => match self.streams.get(&header.stream) {
                Some(stream) if stream.opening != Opening::SynDue => self.handle_known(header),
                _ => self.handle_unknown(header).map(|()| None),
            },
        }
    }

    fn handle_ping(&mut self, header: Header) -> Result<(), Error> {
        match (header.has(SYN), header.has(ACK)) {
            (true, true) => Err(Error::BadPing),
            (_, true) => {
                if self.pinger.handle_pong(self.now, header.length, &self.config)? {
                    self.tombs.handle_pong();
                } else {
                    self.stats.pongs_unsolicited = self.stats.pongs_unsolicited.saturating_add(1);
                }
                Ok(())
            }
            (_, false) => {
                let max = u64::from(self.config.pings_per_second);
                if !self.rates.pings.count(self.now, SECOND, max, 1) {
                    return Err(Error::PingFlood);
                }
                if self.pongs.len() < self.config.max_pongs {
                    self.pongs.push_back(header.length);
                    self.wait_for_link();
                } else {
                    self.stats.pongs_dropped = self.stats.pongs_dropped.saturating_add(1);
                }
                Ok(())
            }
        }
    }

    fn handle_go_away(&mut self, code: u32) -> Result<Option<Event<'static>>, Error> {
        if code != NORMAL {
            self.end(Error::RemoteGoAway(code), None);
        } else if self.peer_going_away {
            self.no_progress()?;
            return Ok(None);
        }
        self.peer_going_away = true;
        Ok(Some(Event::GoAway { code }))
    }

    /// Data or credit for a stream that stands.
    fn handle_known(&mut self, header: Header) -> Result<Option<Event<'static>>, Error> {
        let (body, increment) = header.body_and_increment();
        let Some(stream) = self.streams.get_mut(&header.stream) else {
            return Ok(None);
        };
        check_window(stream.recv_window, body)?;
        let send_window = stream
            .send_window
            .checked_add(increment)
            .ok_or(Error::WindowOverflow)?;
        let acknowledges = header.has(ACK) && stream.opening == Opening::SynSent;
        let over = stream.peer_finished;
        let fin = header.has(FIN) && !over;
        let credit = increment > 0 && stream.sending != Sending::Finished;
        if !acknowledges && !fin && !credit && (body == 0 || over) {
            self.no_progress()?;
        } else {
            self.rates.empty.refund();
        }
        let Some(stream) = self.streams.get_mut(&header.stream) else {
            return Ok(None);
        };
        stream.send_window = send_window;
        stream.recv_window = stream.recv_window.saturating_sub(body);
        self.inbox
            .set_body(Some(header.stream).filter(|_| !over), body, fin);
        if acknowledges {
            stream.opening = Opening::Done;
            self.unacknowledged = self.unacknowledged.saturating_sub(1);
        }
        if credit {
            self.queue_data(header.stream);
        }
        Ok(acknowledges.then_some(Event::Acknowledged {
            stream: header.stream,
        }))
    }

    /// RST comes before all else: a length beside it is an error code, or a body to skip.
    fn handle_reset(&mut self, header: Header) -> Result<Option<Event<'static>>, Error> {
        let (body, code) = header.body_and_increment();
        let known = self
            .streams
            .get(&header.stream)
            .filter(|stream| stream.opening != Opening::SynDue);
        let Some(stream) = known else {
            return self.handle_unknown(header).map(|()| None);
        };
        check_window(stream.recv_window, body)?;
        let refused = stream.opening == Opening::SynSent;
        let churn = !self.is_ours(header.stream);
        if churn && !self.rates.resets.take(self.now, self.config.resets_per_second) {
            return Err(Error::ResetFlood);
        }
        self.inbox.set_body(None, body, false);
        self.remove(header.stream);
        Ok(Some(Event::Reset {
            stream: header.stream,
            code,
            refused,
        }))
    }

    fn handle_syn(&mut self, header: Header) -> Result<Option<Event<'static>>, Error> {
        let (body, increment) = header.body_and_increment();
        let id = header.stream;
        if self.is_ours(id) {
            return Err(Error::BadStreamId(id));
        }
        if self.streams.contains_key(&id) || self.tombs.contains(id) {
            return Err(Error::DuplicateStream(id));
        }
        check_window(INITIAL_WINDOW, body)?;
        let send_window = INITIAL_WINDOW
            .checked_add(increment)
            .ok_or(Error::WindowOverflow)?;
        let recv_window = INITIAL_WINDOW.saturating_sub(body);
        if self.going_away {
            self.tombs.bury(id, recv_window, self.config.max_tombstones);
            self.inbox.set_body(None, body, false);
            return Ok(None);
        }
        if self.resets.len() >= self.config.max_resets {
            return Err(Error::PeerNotReading);
        }
        let open = self.inbound.saturating_add(self.unreported());
        if open >= self.config.max_inbound || self.unaccepted >= self.config.max_unaccepted {
            self.turn_away(id, recv_window)?;
            self.inbox.set_body(None, body, false);
            return Ok(None);
        }
        let mut stream = Stream::new(self.now, Opening::Unaccepted, 0, &self.config);
        stream.send_window = send_window;
        stream.recv_window = recv_window;
        self.streams.insert(id, Box::new(stream));
        self.inbound = self.inbound.saturating_add(1);
        self.unaccepted = self.unaccepted.saturating_add(1);
        self.inbox.set_body(Some(id), body, header.has(FIN));
        self.rates.empty.refund();
        Ok(Some(Event::Opened { stream: id }))
    }

    fn turn_away(&mut self, stream: u32, credit: u32) -> Result<(), Error> {
        if !self.rates.resets.take(self.now, self.config.resets_per_second) {
            return Err(Error::ResetFlood);
        }
        self.stats.refused = self.stats.refused.saturating_add(1);
        self.tombs.bury(stream, credit, self.config.max_tombstones);
        self.queue_reset(stream);
        Ok(())
    }

    /// A frame for a stream that is not there: skipped. Free within the credit that a stream which we reset had left; else counted, and a body at least as a frame
    /// for an unknown stream.
    fn handle_unknown(&mut self, header: Header) -> Result<(), Error> {
        let (body, _) = header.body_and_increment();
        let credit = self.tombs.credit_mut(header.stream);
        let late = credit.is_some();
        match credit.and_then(|credit| Some((credit.checked_sub(body)?, credit))) {
            Some((left, credit)) if body > 0 => *credit = left,
            _ if body == 0 && (late || header.kind == Kind::WindowUpdate || header.has(RST)) => {
                self.no_progress()?;
            }
            _ => self.count_unknown(body)?,
        }
        self.inbox.set_body(None, body, false);
        Ok(())
    }

    /// Counts a frame that changes nothing. Those with progress are taken off, so that the budget bites only where the others outweigh them.
    fn no_progress(&mut self) -> Result<(), Error> {
        self.stats.frames_without_progress = self.stats.frames_without_progress.saturating_add(1);
        let max = u64::from(self.config.empty_frames);
        if self.rates.empty.count(self.now, TEN_SECONDS, max, 1) {
            Ok(())
        } else {
            Err(Error::NoProgress)
        }
    }

    fn count_unknown(&mut self, body: u32) -> Result<(), Error> {
        let max = u64::from(self.config.unknown_frames);
        let frames = self.rates.unknown_frames.count(self.now, SECOND, max, 1);
        let max = self.config.unknown_bytes;
        let bytes = self.rates.unknown_bytes.count(self.now, MINUTE, max, body.into());
        if frames && bytes {
            Ok(())
        } else {
            Err(Error::UnknownFlood)
        }
    }
}

const fn check_window(window: u32, body: u32) -> Result<(), Error> {
    if body > window {
        return Err(Error::WindowExceeded { got: body, window });
    }
    Ok(())
}
