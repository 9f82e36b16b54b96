//! Connections inside of this one: each runs over a stream that was promoted to a link, and lives by that stream's credit.

use crate::{Config, bare::Bare};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Deadline, Instant, RecvBuf, StreamId, TransmitBuf};
use libp2p_proto_stream_protocol::{Closed, FromConnection, Seat, StreamOrder, ToConnection};

/// Bytes of one inner connection that may wait for the outer one's network.
const SEND_ROOM: usize = 64 * 1024;
/// Less room than this is not worth a frame of Noise.
const LEAST_ROOM: usize = 16 * 1024;
/// How long a stream may stand once the connection on it is over.
const LINGER: Duration = Duration::from_secs(1);

/// All connections inside of one.
pub(crate) struct Inner {
    by_stream: BTreeMap<StreamId, Child>,
    /// What the outer connection says next, once the inner ones have said all.
    held: VecDeque<FromConnection>,
    /// An inner machine took bytes since output was last asked for: there may be more, and whoever carries messages last is to come back.
    stirred: bool,
}

struct Child {
    bare: Bare,
    /// Bytes that the machine did not take yet.
    input: RecvBuf,
    /// Bytes written to the stream that have not left.
    unsent: usize,
    end: End,
    /// When the stream is reset, since the machine is done with it.
    reset_at: Option<Instant>,
}

/// How far the end of the stream has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// The remote has finished; that waits behind bytes which are not taken.
    Waiting,
    /// The machine knows.
    Told,
    /// The stream was gone before the machine sat down on it, and nobody tells its end once more.
    Gone,
}

impl Inner {
    pub(crate) const fn new() -> Self {
        Self {
            by_stream: BTreeMap::new(),
            held: VecDeque::new(),
            stirred: false,
        }
    }

    /// Seats a connection on a stream of `outer`. If that stream is gone, the connection ends at once.
    pub(crate) fn promote(
        &mut self,
        now: Instant,
        config: Arc<Config>,
        outer: &mut Bare,
        (stream, seat): (StreamId, Seat),
    ) {
        let gone = !outer.has_stream(stream);
        let mut child = Child {
            bare: Bare::new(now, config, seat),
            input: RecvBuf::new(),
            unsent: 0,
            end: End::Open,
            reset_at: None,
        };
        if gone {
            child.end = End::Gone;
            child.fail(now);
        }
        self.by_stream.insert(stream, child);
        let order = StreamOrder::Reframe(libp2p_proto_stream_protocol::Framing::Raw);
        outer.handle_message(now, ToConnection::Order { stream, order });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_stream.is_empty() && self.held.is_empty()
    }

    /// Carries out an order for an inner connection.
    pub(crate) fn handle_message(&mut self, now: Instant, conn: ConnectionId, order: ToConnection) {
        let child = self.by_stream.values_mut().find(|child| child.bare.id() == conn);
        if let Some(child) = child {
            child.bare.handle_message(now, order);
        }
    }

    /// Takes what the outer connection reports of a promoted stream; the rest goes on to the swarm.
    pub(crate) fn take(&mut self, outer: &mut Bare, message: FromConnection) -> Option<FromConnection> {
        let now = outer.now();
        let stirred = &mut self.stirred;
        let Some(child) = message
            .stream()
            .and_then(|stream| self.by_stream.get_mut(&stream))
        else {
            return Some(message);
        };
        match message {
            FromConnection::Frame { stream, data } => {
                let room = child.input.spare_mut(data.len());
                if let Some(room) = room.get_mut(..data.len()) {
                    room.copy_from_slice(&data);
                }
                child.input.fill(data.len());
                *stirred |= child.feed(now, outer, stream);
                None
            }
            FromConnection::Sent { bytes, .. } => {
                child.unsent = child.unsent.saturating_sub(bytes);
                *stirred = true;
                None
            }
            FromConnection::Finished { stream } => {
                child.end = End::Waiting;
                child.feed(now, outer, stream);
                None
            }
            FromConnection::Closed { reason, .. } => {
                if reason == Closed::Finished {
                    child.bare.handle_eof(now);
                } else {
                    child.fail(now);
                }
                // The swarm hears of the stream's end behind the connection's.
                self.held.push_back(message);
                None
            }
            other => Some(other),
        }
    }

    /// The next message: of an inner connection, or one of the outer that waited behind theirs.
    pub(crate) fn poll_message(&mut self, outer: &mut Bare) -> Option<FromConnection> {
        let now = outer.now();
        for (stream, child) in &mut self.by_stream {
            loop {
                if let Some(message) = child.bare.poll_message() {
                    return Some(wrapped(child.bare.id(), message));
                }
                if !child.feed(now, outer, *stream) {
                    break;
                }
                self.stirred = true;
            }
        }
        self.by_stream.retain(|_, child| child.end != End::Gone);
        let held = self.held.pop_front()?;
        if let Some(stream) = held.stream() {
            self.by_stream.remove(&stream);
        }
        Some(held)
    }

    /// Writes what the inner connections have to say to their streams, as far as there is room.
    pub(crate) fn transmit(&mut self, now: Instant, outer: &mut Bare) {
        self.stirred = false;
        for (&stream, child) in &mut self.by_stream {
            let mut out = Vec::new();
            let room = SEND_ROOM.saturating_sub(child.unsent);
            if room >= LEAST_ROOM {
                let mut buf = TransmitBuf::new(&mut out, room);
                while child.bare.poll_transmit(now, &mut buf) {}
            }
            if !out.is_empty() {
                child.unsent = child.unsent.saturating_add(out.len());
                let data = out.into();
                outer.handle_message(now, ToConnection::Write { stream, data });
            }
            if child.bare.is_closed() && child.reset_at.is_none() {
                child.reset_at = Some(now + LINGER);
                let order = match child.bare.error() {
                    Some(_) => StreamOrder::Reset,
                    None => StreamOrder::Finish,
                };
                outer.handle_message(now, ToConnection::Order { stream, order });
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, outer: &mut Bare) {
        for (&stream, child) in &mut self.by_stream {
            child.bare.handle_timeout(now);
            if child.reset_at.is_some_and(|at| at <= now) {
                // Once is enough: its end is on its way.
                child.reset_at = Some(Instant::MAX);
                let order = StreamOrder::Reset;
                outer.handle_message(now, ToConnection::Order { stream, order });
            }
        }
        self.transmit(now, outer);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        if self.stirred {
            return Some(Deadline::now("inner"));
        }
        let of_child = |child: &Child| {
            let reset = child.reset_at.filter(|at| *at < Instant::MAX);
            let reset = reset.map(|at| Deadline::new(at, "inner-end"));
            Deadline::earliest(child.bare.poll_timeout(), reset)
        };
        self.by_stream.values().filter_map(of_child).min()
    }
}

impl Child {
    /// Hands the machine what waits, and returns the credit of what it took. Says whether anything changed.
    fn feed(&mut self, now: Instant, outer: &mut Bare, stream: StreamId) -> bool {
        let before = self.input.len();
        if self.bare.is_ending() {
            self.input.consume(before);
        } else if before > 0 && self.bare.wants_input() {
            // What it refuses, it has told the swarm.
            let taken = self
                .bare
                .handle_input(now, self.input.filled_mut())
                .unwrap_or(before);
            self.input.consume(taken);
        }
        let bytes = before.saturating_sub(self.input.len());
        if self.input.is_empty() {
            self.input.shrink(0);
        }
        if bytes > 0 {
            outer.handle_message(now, ToConnection::Grant { stream, bytes });
        }
        let ended =
            self.end == End::Waiting && (self.input.is_empty() || (bytes == 0 && self.bare.wants_input()));
        if ended {
            self.end = End::Told;
            self.bare.handle_eof(now);
        }
        bytes > 0 || ended
    }

    /// The stream is gone, not in an orderly way.
    fn fail(&mut self, now: Instant) {
        self.bare.handle_link_error(now, "relay");
    }
}

/// News of an inner connection: a stream says by itself whose it is.
fn wrapped(conn: ConnectionId, news: FromConnection) -> FromConnection {
    match news.stream() {
        Some(_) => news,
        None => FromConnection::Inner {
            conn,
            news: Box::new(news),
        },
    }
}
