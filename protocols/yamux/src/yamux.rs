//! The machine: its state and its commands. What arrives is handled in `receive`, what leaves in `send`.

use crate::{
    Config, Error,
    rate::{Bucket, Rate},
    receive::Inbox,
    rtt::Pinger,
    stream::{Sending, Stream},
};
use alloc::collections::{BTreeMap, VecDeque};
use bytes::Bytes;
use core::{fmt, time::Duration};
use libp2p_proto_core::{Deadline, Instant, Side};

/// What the layer above is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'b> {
    /// The remote opened a stream; it waits for [`Yamux::accept`] or [`Yamux::reset`].
    Opened {
        /// The stream.
        stream: u32,
    },
    /// The remote acknowledged a stream of ours.
    Acknowledged {
        /// The stream.
        stream: u32,
    },
    /// Bytes of a stream, borrowed from the input. Give the credit back with [`Yamux::grant`] once they are used up.
    Data {
        /// The stream.
        stream: u32,
        /// The bytes.
        bytes: &'b [u8],
    },
    /// Bytes of a stream have left, so that [`Yamux::write`] takes as many more.
    Drained {
        /// The stream.
        stream: u32,
        /// How many.
        bytes: usize,
    },
    /// The remote sends no more on a stream.
    Finished {
        /// The stream.
        stream: u32,
    },
    /// The remote reset a stream: both directions are gone, and so is its id.
    Reset {
        /// The stream.
        stream: u32,
        /// What go sends along; 0 from all others.
        code: u32,
    },
    /// Both directions are finished: the id is gone.
    Closed {
        /// The stream.
        stream: u32,
    },
    /// The remote goes away: no new streams. With a code other than 0 everything ends at once.
    GoAway {
        /// 0 normal, 1 protocol error, 2 internal error; go has more.
        code: u32,
    },
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Data bytes received.
    pub bytes_in: u64,
    /// Data bytes sent.
    pub bytes_out: u64,
    /// Frames received.
    pub frames_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Streams refused for a limit.
    pub refused: u64,
    /// Pings that were not answered because too many waited.
    pub pongs_dropped: u64,
}

/// Rates of what a remote may do too often.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) pings: Rate,
    pub(crate) empty: Rate,
    pub(crate) unknown_frames: Rate,
    pub(crate) unknown_bytes: Rate,
    pub(crate) resets: Bucket,
}

/// One end of a session. See the crate's page for the calling contract.
pub struct Yamux {
    pub(crate) side: Side,
    pub(crate) config: Config,
    pub(crate) inbox: Inbox,
    pub(crate) streams: BTreeMap<u32, Stream>,
    /// Streams that we reset: their late frames are dropped within the credit that they had.
    pub(crate) tombstones: BTreeMap<u32, u32>,
    pub(crate) control: VecDeque<u32>,
    pub(crate) data: VecDeque<u32>,
    pub(crate) drained: VecDeque<u32>,
    pub(crate) closed: VecDeque<u32>,
    pub(crate) resets: VecDeque<u32>,
    pub(crate) pongs: VecDeque<u32>,
    pub(crate) pinger: Pinger,
    pub(crate) rates: Rates,
    pub(crate) inbound: usize,
    pub(crate) outbound: usize,
    pub(crate) unaccepted: usize,
    pub(crate) unacknowledged: usize,
    pub(crate) growth: usize,
    next_id: Option<u32>,
    pub(crate) go_away_due: Option<u32>,
    pub(crate) going_away: bool,
    pub(crate) peer_going_away: bool,
    /// Since when control frames wait for the link.
    pub(crate) waiting_since: Option<Instant>,
    pub(crate) failed: Option<Error>,
    pub(crate) stats: Stats,
    pub(crate) now: Instant,
}

impl Yamux {
    /// One end of a new session. `nonce` makes the values of pings.
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
            tombstones: BTreeMap::new(),
            control: VecDeque::new(),
            data: VecDeque::new(),
            drained: VecDeque::new(),
            closed: VecDeque::new(),
            resets: VecDeque::new(),
            pongs: VecDeque::new(),
            pinger: Pinger::new(now, nonce),
            rates: Rates::default(),
            inbound: 0,
            outbound: 0,
            unaccepted: 0,
            unacknowledged: 0,
            growth: 0,
            next_id: Some(if side.is_dialer() { 1 } else { 2 }),
            go_away_due: None,
            going_away: false,
            peer_going_away: false,
            waiting_since: None,
            failed: None,
            stats: Stats::default(),
            now,
        })
    }

    /// Opens a stream on which at most `capacity` bytes may wait to be sent. SYN leaves with the next transmit.
    ///
    /// # Errors
    ///
    /// [`Error::GoingAway`], [`Error::TooManyStreams`], [`Error::AckBacklog`], [`Error::IdsExhausted`].
    pub fn open(&mut self, capacity: usize) -> Result<u32, Error> {
        if self.going_away || self.peer_going_away || self.failed.is_some() {
            return Err(Error::GoingAway);
        }
        if self.outbound >= self.config.max_outbound {
            return Err(Error::TooManyStreams);
        }
        if self.unacknowledged >= self.config.max_unacknowledged {
            return Err(Error::AckBacklog);
        }
        let id = self.next_id.ok_or(Error::IdsExhausted)?;
        self.next_id = id.checked_add(2).filter(|next| *next <= 0xffff_fffd);
        let mut stream = Stream::new(self.now, capacity, &self.config);
        stream.syn_due = true;
        stream.unacknowledged = true;
        self.streams.insert(id, stream);
        self.outbound = self.outbound.saturating_add(1);
        self.unacknowledged = self.unacknowledged.saturating_add(1);
        self.queue_control(id);
        Ok(id)
    }

    /// Takes a stream that the remote opened; at most `capacity` bytes may wait to be sent on it. ACK leaves with the next frame of the stream.
    pub fn accept(&mut self, stream: u32, capacity: usize) {
        if let Some(entry) = self.streams.get_mut(&stream).filter(|entry| entry.unaccepted) {
            entry.unaccepted = false;
            entry.ack_due = true;
            entry.set_capacity(capacity);
            self.unaccepted = self.unaccepted.saturating_sub(1);
            self.queue_control(stream);
        }
    }

    /// Lets the receive window of a stream grow to `bytes` at most.
    pub fn set_max_window(&mut self, stream: u32, bytes: usize) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.set_limit(bytes, &self.config);
        }
    }

    /// Queues what fits of `data`, which keeps the rest, and answers how many bytes that was.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownStream`] or [`Error::Finished`].
    pub fn write(&mut self, stream: u32, data: &mut Bytes) -> Result<usize, Error> {
        let entry = self.streams.get_mut(&stream).ok_or(Error::UnknownStream)?;
        if entry.sending != Sending::Open {
            return Err(Error::Finished);
        }
        let taken = entry.push(data);
        self.queue_data(stream);
        Ok(taken)
    }

    /// Returns receive credit to the remote: this call *is* inbound backpressure. The window grows if the round trip asks for it and the budget allows.
    pub fn grant(&mut self, now: Instant, stream: u32, bytes: usize) {
        self.now = self.now.max(now);
        let budget = self.config.growth_budget.saturating_sub(self.growth);
        if let Some(entry) = self.streams.get_mut(&stream) {
            self.growth = self
                .growth
                .saturating_add(entry.grant(self.now, bytes, self.pinger.rtt(), budget));
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

    /// Ends both directions of a stream at once and forgets its id. What is still on its way is dropped silently.
    pub fn reset(&mut self, stream: u32) {
        let Some(entry) = self.remove(stream) else { return };
        if !entry.syn_due {
            self.tombstones.insert(stream, entry.recv_window);
            if self.tombstones.len() > self.config.max_tombstones {
                self.tombstones.pop_first();
            }
            self.queue_reset(stream);
        }
    }

    /// Throws away what arrives on a stream from now on, and lets the remote go on sending it.
    pub fn stop_reading(&mut self, stream: u32) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.discarding = true;
        }
    }

    /// Says that we go away: no new streams on either side. Streams that stand may finish.
    pub fn go_away(&mut self) {
        if !self.going_away {
            self.going_away = true;
            self.go_away_due = Some(crate::wire::NORMAL);
            self.waiting_since = Some(self.waiting_since.unwrap_or(self.now));
        }
    }

    /// The next event that no input carries.
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        while let Some(stream) = self.drained.pop_front() {
            if let Some(entry) = self.streams.get_mut(&stream) {
                entry.in_drained = false;
                let bytes = core::mem::take(&mut entry.drained);
                if bytes > 0 {
                    return Some(Event::Drained { stream, bytes });
                }
            }
        }
        if self.drained.capacity() > 16 {
            self.drained = VecDeque::new();
        }
        self.closed.pop_front().map(|stream| Event::Closed { stream })
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.failed.is_some() {
            return None;
        }
        let write = self
            .waiting_since
            .map(|since| Deadline::new(since + self.config.write_timeout, "write"));
        Deadline::earliest(Some(self.pinger.deadline(&self.config)), write)
    }

    /// The deadline has come; harmless if early.
    ///
    /// # Errors
    ///
    /// [`Error::KeepAlive`] or [`Error::PeerNotReading`]; the session is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.now = self.now.max(now);
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self
            .waiting_since
            .is_some_and(|since| since + self.config.write_timeout <= self.now)
        {
            return self.fail(Error::PeerNotReading);
        }
        match self.pinger.handle_timeout(self.now, &self.config) {
            Ok(()) => Ok(()),
            Err(error) => self.fail(error),
        }
    }

    /// The byte stream has ended: whatever is open is lost.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedEnd`] if it ended inside a frame, or the error that ended the session before.
    pub fn handle_eof(&mut self) -> Result<(), Error> {
        match self.failed {
            Some(error) => Err(error),
            None if self.inbox.is_between_frames() => Ok(()),
            None => self.fail(Error::UnexpectedEnd),
        }
    }

    /// The measured round trip.
    pub const fn rtt(&self) -> Option<Duration> {
        self.pinger.rtt()
    }

    /// Streams that are open in either direction.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Bytes that wait to be sent on a stream.
    pub fn queued(&self, stream: u32) -> usize {
        self.streams.get(&stream).map_or(0, Stream::queued)
    }

    /// Whether the remote said that it goes away.
    pub const fn is_peer_going_away(&self) -> bool {
        self.peer_going_away
    }

    /// Counters since the start.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Ends the session: one go-away frame, then nothing.
    pub(crate) fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        self.failed = Some(error);
        self.go_away_due = Some(crate::wire::PROTOCOL_ERROR);
        self.streams.clear();
        self.tombstones.clear();
        for queue in [
            &mut self.control,
            &mut self.data,
            &mut self.drained,
            &mut self.closed,
            &mut self.resets,
            &mut self.pongs,
        ] {
            *queue = VecDeque::new();
        }
        Err(error)
    }

    pub(crate) fn is_ours(&self, stream: u32) -> bool {
        (stream % 2 == 1) == self.side.is_dialer()
    }

    /// Takes a stream out of every count.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Stream> {
        let stream = self.streams.remove(&id)?;
        let count = if self.is_ours(id) {
            &mut self.outbound
        } else {
            &mut self.inbound
        };
        *count = count.saturating_sub(1);
        self.unaccepted = self.unaccepted.saturating_sub(usize::from(stream.unaccepted));
        self.unacknowledged = self
            .unacknowledged
            .saturating_sub(usize::from(stream.unacknowledged));
        self.growth = self.growth.saturating_sub(stream.growth());
        Some(stream)
    }

    pub(crate) fn queue_reset(&mut self, stream: u32) {
        self.resets.push_back(stream);
        self.waiting_since = Some(self.waiting_since.unwrap_or(self.now));
    }

    pub(crate) fn queue_control(&mut self, id: u32) {
        if let Some(stream) = self
            .streams
            .get_mut(&id)
            .filter(|stream| stream.has_control() && !stream.in_control)
        {
            stream.in_control = true;
            self.control.push_back(id);
            self.waiting_since = Some(self.waiting_since.unwrap_or(self.now));
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

    /// Forgets a stream whose directions are both done, and says so.
    pub(crate) fn close_if_done(&mut self, id: u32) {
        if self.streams.get(&id).is_some_and(Stream::is_done) {
            self.remove(id);
            self.closed.push_back(id);
        }
    }
}

impl fmt::Debug for Yamux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Yamux({:?}, {} streams)", self.side, self.streams.len())
    }
}
