//! The machine: its state and its commands. What arrives is handled in `receive`, what leaves in `send`.

use crate::{
    Config, Error, Event, Stats,
    rate::{Bucket, Rate},
    receive::Inbox,
    rtt::Pinger,
    stream::{Opening, Sending, Stream},
    tombs::Tombs,
    wire::{INTERNAL_ERROR, NORMAL, PROTOCOL_ERROR},
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
};
use bytes::Bytes;
use core::{fmt, mem, time::Duration};
use libp2p_proto_core::{Deadline, Instant, Side};

/// The last id that a side may use; those above have no successor that fits.
const LAST_ID: u32 = 0xffff_fffd;

/// An id queue that grew larger gives its memory back when it is empty.
const KEPT_IDS: usize = 16;

/// Rates of what a remote may do too often.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) pings: Rate,
    pub(crate) empty: Rate,
    pub(crate) unknown_frames: Rate,
    pub(crate) unknown_bytes: Rate,
    pub(crate) resets: Bucket,
}

/// Whether control frames wait for the link, and since when none has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// None waits.
    No,
    /// Since a command. Commands don't tell the time, and the last time told may be long ago, so the clock starts with the next time told.
    Unclocked,
    Since(Instant),
}

/// One end of a session. See the crate's page for the calling contract.
pub struct Yamux {
    pub(crate) side: Side,
    pub(crate) config: Config,
    pub(crate) inbox: Inbox,
    /// Ordered, since the remote chooses the keys; boxed, since a node of the tree has room for eleven.
    pub(crate) streams: BTreeMap<u32, Box<Stream>>,
    pub(crate) tombs: Tombs,
    /// Streams with SYN, ACK or credit to send; each once, as in the next three.
    pub(crate) control: VecDeque<u32>,
    /// Streams of ours whose SYN waits for the first frame of the remote.
    pub(crate) early: VecDeque<u32>,
    pub(crate) data: VecDeque<u32>,
    pub(crate) drained: VecDeque<u32>,
    /// Streams that are done, and what had left of them since their last `Drained`.
    closed: VecDeque<(u32, usize)>,
    pub(crate) resets: VecDeque<u32>,
    pub(crate) pongs: VecDeque<u32>,
    pub(crate) pinger: Pinger,
    pub(crate) rates: Rates,
    pub(crate) inbound: usize,
    pub(crate) outbound: usize,
    pub(crate) unaccepted: usize,
    pub(crate) unacknowledged: usize,
    /// SYNs that have left before the first frame of the remote.
    pub(crate) early_syns: u32,
    /// Credit beyond the initial windows, over all streams.
    pub(crate) growth: usize,
    pub(crate) next_id: Option<u32>,
    pub(crate) go_away_due: Option<u32>,
    pub(crate) going_away: bool,
    pub(crate) peer_going_away: bool,
    pub(crate) waiting: Waiting,
    pub(crate) failed: Option<Error>,
    pub(crate) stats: Stats,
    /// When the last bytes came.
    pub(crate) heard: Instant,
    pub(crate) now: Instant,
}

impl Yamux {
    /// One end of a new session, due to send its first ping. `nonce` is the value of that, and those of later ones follow it.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field that is out of range.
    pub fn new(side: Side, config: Config, nonce: u32, now: Instant) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self {
            side,
            config,
            inbox: Inbox::default(),
            streams: BTreeMap::new(),
            tombs: Tombs::default(),
            control: VecDeque::new(),
            early: VecDeque::new(),
            data: VecDeque::new(),
            drained: VecDeque::new(),
            closed: VecDeque::new(),
            resets: VecDeque::new(),
            pongs: VecDeque::new(),
            pinger: Pinger::new(nonce),
            rates: Rates::default(),
            inbound: 0,
            outbound: 0,
            unaccepted: 0,
            unacknowledged: 0,
            early_syns: 0,
            growth: 0,
            next_id: Some(if side.is_dialer() { 1 } else { 2 }),
            go_away_due: None,
            going_away: false,
            peer_going_away: false,
            waiting: Waiting::Since(now),
            failed: None,
            stats: Stats::default(),
            heard: now,
            now,
        })
    }

    /// Opens a stream on which at most `capacity` bytes may wait to be sent. SYN leaves with the next transmit, data may follow without waiting.
    ///
    /// # Errors
    ///
    /// [`Error::GoingAway`], [`Error::TooManyStreams`], [`Error::AckBacklog`], [`Error::IdsExhausted`], or the error that ended the session.
    pub fn open(&mut self, capacity: usize) -> Result<u32, Error> {
        self.check_alive()?;
        if self.going_away || self.peer_going_away {
            return Err(Error::GoingAway);
        }
        if self.outbound.saturating_add(self.closed.len()) >= self.config.max_outbound {
            return Err(Error::TooManyStreams);
        }
        if self.unacknowledged >= self.config.max_unacknowledged {
            return Err(Error::AckBacklog);
        }
        let id = self.next_id.ok_or(Error::IdsExhausted)?;
        self.next_id = id.checked_add(2).filter(|next| *next <= LAST_ID);
        let stream = Stream::new(self.now, Opening::SynDue, capacity, &self.config);
        self.streams.insert(id, Box::new(stream));
        self.outbound = self.outbound.saturating_add(1);
        self.unacknowledged = self.unacknowledged.saturating_add(1);
        self.queue_control(id);
        Ok(id)
    }

    /// Takes a stream that the remote opened; at most `capacity` bytes may wait to be sent on it. ACK leaves with the next frame of the stream, which
    /// is due at the next transmit. Any other stream: no effect.
    pub fn accept(&mut self, stream: u32, capacity: usize) {
        if let Some(entry) = self
            .streams
            .get_mut(&stream)
            .filter(|entry| entry.opening == Opening::Unaccepted)
        {
            entry.opening = Opening::AckDue;
            entry.set_capacity(capacity);
            self.unaccepted = self.unaccepted.saturating_sub(1);
            self.queue_data(stream);
            self.queue_control(stream);
        }
    }

    /// Lets the receive window of a stream grow to `bytes` at most, within 256 KiB and `max_window` of the configuration. It never shrinks.
    pub fn set_max_window(&mut self, stream: u32, bytes: usize) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.set_limit(bytes, &self.config);
        }
    }

    /// Queues what fits of `data`, which keeps the rest, and answers how many bytes that was. Nothing is copied. After less than all,
    /// [`Event::Drained`] says when there is room.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownStream`], [`Error::Finished`], or the error that ended the session.
    pub fn write(&mut self, stream: u32, data: &mut Bytes) -> Result<usize, Error> {
        self.check_alive()?;
        let entry = self.streams.get_mut(&stream).ok_or(Error::UnknownStream)?;
        if entry.sending != Sending::Open {
            return Err(Error::Finished);
        }
        let taken = entry.push(data);
        self.queue_data(stream);
        Ok(taken)
    }

    /// Returns receive credit for bytes that were used up: this call *is* inbound backpressure. More than was received counts as all of it. The window
    /// grows if the round trip asks for it and the budget allows.
    pub fn grant(&mut self, now: Instant, stream: u32, bytes: usize) {
        self.tell(now);
        let budget = self.config.growth_budget.saturating_sub(self.growth);
        if let Some(entry) = self.streams.get_mut(&stream) {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            let growth = entry.grant(self.now, bytes, self.pinger.rtt(), budget);
            self.growth = self
                .growth
                .saturating_add(usize::try_from(growth).unwrap_or(usize::MAX));
            self.queue_control(stream);
        }
    }

    /// Says that we send no more on a stream; FIN goes behind what is queued.
    pub fn finish(&mut self, stream: u32) {
        if let Some(entry) = self
            .streams
            .get_mut(&stream)
            .filter(|entry| entry.sending == Sending::Open)
        {
            entry.sending = Sending::Finishing;
            self.queue_data(stream);
        }
    }

    /// Ends both directions of a stream at once and forgets its id. What is still on its way is dropped silently. A stream that the remote has not heard
    /// of ends without a frame. A stream of the remote that was not accepted counts towards `resets_per_second`; over that, the
    /// session ends with [`Error::ResetFlood`], which the next call answers.
    pub fn reset(&mut self, stream: u32) {
        self.reset_at_cost(stream, false);
    }

    /// [`reset`](Self::reset) for a stream of the remote that was accepted and came to nothing, by its fault: it pays as for one that it resets itself.
    pub fn refuse(&mut self, stream: u32) {
        self.reset_at_cost(stream, true);
    }

    fn reset_at_cost(&mut self, stream: u32, at_cost: bool) {
        let Some(entry) = self.remove(stream) else { return };
        // One that was never accepted is refused too.
        if (at_cost || entry.opening == Opening::Unaccepted)
            && !self.rates.resets.take(self.now, self.config.resets_per_second)
        {
            self.end(Error::ResetFlood, Some(PROTOCOL_ERROR));
        } else if entry.opening != Opening::SynDue {
            self.tombs
                .bury(stream, entry.recv_window, self.config.max_tombstones);
            self.queue_reset(stream);
        }
    }

    /// What a dropped handle means: FIN if the remote has finished and nothing is queued, [`reset`](Self::reset) otherwise.
    pub fn abandon(&mut self, stream: u32) {
        let ends_well = self.streams.get(&stream).is_some_and(|entry| {
            entry.peer_finished
                && !entry.is_silent()
                && entry.held() == 0
                && (entry.queued() == 0 || entry.sending == Sending::Finishing)
        });
        if ends_well {
            self.finish(stream);
        } else {
            self.reset(stream);
        }
    }

    /// Throws away what arrives on a stream from now on and gives its credit back, so that the remote never stalls. Bytes that were received and not granted are
    /// granted. Writing goes on.
    pub fn stop_reading(&mut self, stream: u32) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.discarding = true;
            let held = usize::try_from(entry.held()).unwrap_or(usize::MAX);
            self.grant(self.now, stream, held);
        }
    }

    /// Says that we go away, with code 0: no new streams on either side, those that stand may finish.
    pub fn go_away(&mut self) {
        if !self.going_away && self.failed.is_none() {
            self.going_away = true;
            self.go_away_due = Some(NORMAL);
            self.wait_for_link();
        }
    }

    /// Ends the session for a failure of our own: go-away with code 2, then nothing. Every later call answers [`Error::Aborted`].
    pub fn abort(&mut self) {
        if self.failed.is_none() {
            self.end(Error::Aborted, Some(INTERNAL_ERROR));
        }
    }

    /// The next event that no input carries.
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        while let Some(stream) = pop(&mut self.drained) {
            if let Some(entry) = self.streams.get_mut(&stream) {
                entry.in_drained = false;
                let bytes = entry.take_drained();
                if bytes > 0 {
                    return Some(Event::Drained { stream, bytes });
                }
            }
        }
        if let Some((stream, bytes)) = self.closed.front_mut().filter(|(_, bytes)| *bytes > 0) {
            let (stream, bytes) = (*stream, mem::take(bytes));
            return Some(Event::Drained { stream, bytes });
        }
        pop(&mut self.closed).map(|(stream, _)| Event::Closed { stream })
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due: a ping, its answer, or control frames that can't leave.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.failed.is_some() || self.is_closed() {
            return None;
        }
        let write = match self.waiting {
            Waiting::No => None,
            // Early at worst.
            Waiting::Unclocked => Some(self.now),
            Waiting::Since(since) => Some(since),
        };
        let write = write.map(|since| Deadline::new(since + self.config.write_timeout, "write"));
        Deadline::earliest(self.pinger.deadline(self.heard, &self.config), write)
    }

    /// The deadline has come; harmless if early.
    ///
    /// # Errors
    ///
    /// [`Error::KeepAlive`] or [`Error::PeerNotReading`]: the session is over. Later calls answer the error that ended it.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.tell(now);
        self.check_alive()?;
        if self.is_closed() {
            return Ok(());
        }
        let stalled =
            matches!(self.waiting, Waiting::Since(since) if since + self.config.write_timeout <= self.now);
        if stalled {
            return self.fail(Error::PeerNotReading);
        }
        if let Err(error) = self.pinger.handle_timeout(self.now, self.heard, &self.config) {
            return self.fail(error);
        }
        if self.pinger.due().is_some() {
            self.wait_for_link();
        }
        Ok(())
    }

    /// The byte stream has ended, and the session with it. `Ok`: in order, because nothing was open, or the remote had said that it goes away.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedEnd`] inside a frame, [`Error::ConnectionLost`] if streams were open, or the error that ended the session before.
    pub fn handle_eof(&mut self) -> Result<(), Error> {
        match self.failed {
            Some(error) => Err(error),
            None if !self.inbox.is_between_frames() => self.fail(Error::UnexpectedEnd),
            None if self.streams.is_empty() || self.peer_going_away => {
                self.going_away = true;
                self.forget_all();
                Ok(())
            }
            None => self.fail(Error::ConnectionLost),
        }
    }

    /// Whether to go on reading: `false` while so many resets wait for the link that the remote would only add to them. A session that
    /// is over answers its error instead.
    pub fn wants_input(&self) -> bool {
        self.resets.is_empty() || self.resets.len() < self.config.max_resets / 2
    }

    /// Our side is not reading: until `now` the remote's silence is ours, and its pong may wait in the link.
    pub fn excuse_silence(&mut self, now: Instant) {
        self.tell(now);
        self.heard = self.now;
    }

    /// Whether nothing is left to do: the session has failed and its last frame has left, or one side goes away and no stream is left.
    pub fn is_closed(&self) -> bool {
        match self.failed {
            Some(_) => self.go_away_due.is_none(),
            None => {
                (self.going_away || self.peer_going_away) && self.streams.is_empty() && !self.has_control()
            }
        }
    }

    /// The measured round trip, at most `max_rtt`; `None` before the first answer to a ping.
    pub const fn rtt(&self) -> Option<Duration> {
        self.pinger.rtt()
    }

    /// Streams that are open in either direction.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Bytes that wait to be sent on a stream.
    pub fn queued(&self, stream: u32) -> usize {
        self.streams.get(&stream).map_or(0, |entry| entry.queued())
    }

    /// Whether the remote said that it goes away.
    pub const fn is_peer_going_away(&self) -> bool {
        self.peer_going_away
    }

    /// Counters since the start.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    pub(crate) const fn check_alive(&self) -> Result<(), Error> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Ends the session with the go-away frame that fits the error.
    pub(crate) fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        let code = match error {
            Error::ConnectionLost => None,
            Error::KeepAlive | Error::PeerNotReading => Some(INTERNAL_ERROR),
            _ => Some(PROTOCOL_ERROR),
        };
        self.end(error, code);
        Err(error)
    }

    /// Ends the session; at most one go-away frame is left to send.
    pub(crate) fn end(&mut self, error: Error, go_away: Option<u32>) {
        self.forget_all();
        self.failed = Some(error);
        self.go_away_due = go_away;
    }

    /// Frees everything.
    fn forget_all(&mut self) {
        self.go_away_due = None;
        self.waiting = Waiting::No;
        self.streams = BTreeMap::new();
        self.tombs = Tombs::default();
        self.inbox = Inbox::default();
        self.closed = VecDeque::new();
        for queue in [
            &mut self.control,
            &mut self.early,
            &mut self.data,
            &mut self.drained,
            &mut self.resets,
            &mut self.pongs,
        ] {
            *queue = VecDeque::new();
        }
        (self.inbound, self.outbound, self.growth) = (0, 0, 0);
        (self.unaccepted, self.unacknowledged) = (0, 0);
    }

    pub(crate) fn is_ours(&self, stream: u32) -> bool {
        (stream % 2 == 1) == self.side.is_dialer()
    }

    /// Takes a stream out of every queue and every count.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Box<Stream>> {
        let stream = self.streams.remove(&id)?;
        let count = if self.is_ours(id) {
            &mut self.outbound
        } else {
            &mut self.inbound
        };
        *count = count.saturating_sub(1);
        let unaccepted = stream.opening == Opening::Unaccepted;
        self.unaccepted = self.unaccepted.saturating_sub(usize::from(unaccepted));
        self.unacknowledged = self
            .unacknowledged
            .saturating_sub(usize::from(stream.is_unacknowledged()));
        self.growth = self.growth.saturating_sub(stream.growth());
        for (queue, stands) in [
            (&mut self.control, stream.in_control),
            (&mut self.early, stream.opening == Opening::SynDue),
            (&mut self.data, stream.in_data),
            (&mut self.drained, stream.in_drained),
        ] {
            if stands {
                queue.retain(|other| *other != id);
            }
        }
        if !self.waits() {
            self.waiting = Waiting::No;
        }
        Some(stream)
    }

    /// Control frames wait for the link, from now on if not already.
    pub(crate) fn wait_for_link(&mut self) {
        if self.waiting == Waiting::No {
            self.waiting = Waiting::Unclocked;
        }
    }

    /// The time, which never runs back.
    pub(crate) fn tell(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.waiting == Waiting::Unclocked {
            self.waiting = Waiting::Since(self.now);
        }
    }

    pub(crate) fn queue_reset(&mut self, stream: u32) {
        self.resets.push_back(stream);
        self.wait_for_link();
    }

    pub(crate) fn queue_control(&mut self, id: u32) {
        if let Some(stream) = self
            .streams
            .get_mut(&id)
            .filter(|stream| stream.has_control() && !stream.in_control)
        {
            stream.in_control = true;
            self.control.push_back(id);
            self.wait_for_link();
        }
    }

    pub(crate) fn queue_data(&mut self, id: u32) {
        if let Some(stream) = self
            .streams
            .get_mut(&id)
            .filter(|stream| stream.has_data() && !stream.in_data)
        {
            stream.in_data = true;
            self.data.push_back(id);
        }
    }

    pub(crate) fn queue_drained(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.in_drained) {
            stream.in_drained = true;
            self.drained.push_back(id);
        }
    }

    /// Forgets a stream whose directions are both done, and says so.
    pub(crate) fn close_if_done(&mut self, id: u32) {
        if self.streams.get(&id).is_some_and(|stream| stream.is_done()) {
            if let Some(mut stream) = self.remove(id) {
                self.closed.push_back((id, stream.take_drained()));
            }
        }
    }

    /// Streams that are done and not yet reported: they count as open.
    pub(crate) fn unreported(&self) -> usize {
        self.closed.len()
    }
}

/// The first of a queue, which gives its memory back when it is empty.
pub(crate) fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if queue.is_empty() && queue.capacity() > KEPT_IDS {
        *queue = VecDeque::new();
    }
    first
}

impl fmt::Debug for Yamux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Yamux({:?}, {} streams)", self.side, self.streams.len())
    }
}
