//! A raw stream in the hands of the application: the `AsyncRead` and `AsyncWrite` of `futures`, and with the feature `tokio` those of tokio.

use crate::link::{Order, Orders};
use bytes::{Buf as _, Bytes};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use libp2p_proto_core::{PeerId, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{Closed, OpenError, StreamOrder, ToConnection};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes that the application has read before their credit returns to the peer, unless nothing is left to read.
const GRANT_SHARE: usize = 64 * 1024;
/// Bytes of a remote that sends no more, whose credit returns with the end of the stream: so few that streams which are kept for writing hold up nobody.
const LAST_SHARE: usize = 1024;

/// Why a stream could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenFailure {
    /// It was refused at once: the peer is not connected, or a limit is reached.
    #[error("refused: {0}")]
    Refused(OpenError),
    /// It was tried: the peer does not speak the protocol, was too slow, or is gone.
    #[error("failed: {0}")]
    Failed(Closed),
    /// The name is not among those of the node's [`Config`](crate::Config), or too many opens wait.
    #[error("{0}")]
    Streams(#[from] libp2p_proto_streams::Error),
    /// The node has stopped.
    #[error("{0}")]
    Closed(#[from] crate::Closed),
}

/// A stream that a peer opened.
#[derive(Debug)]
pub struct Incoming {
    /// The peer.
    pub peer: PeerId,
    /// The agreed name.
    pub name: ProtocolName,
    /// The stream.
    pub stream: Stream,
}

/// What the application and the task of the connection share of one stream.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// The order that opens the stream, which leaves with the application's first act.
    open: Option<ToConnection>,
    /// Bounded by the receive window, whose credit returns as the application reads.
    unread: VecDeque<Bytes>,
    /// Bytes read whose credit has not returned.
    ungranted: usize,
    /// The remote sends no more.
    ended: bool,
    reader: Option<Waker>,
    /// Bytes written that have not left.
    unsent: usize,
    /// How many bytes may wait.
    capacity: usize,
    /// The application writes no more.
    finished: bool,
    writer: Option<Waker>,
    /// The application has let go of the stream.
    dropped: bool,
    /// The stream is gone: what was received before can still be read.
    closed: Option<Closed>,
}

pub(crate) type Shared = Arc<Mutex<Pipe>>;

/// The pipe, whatever happened to another thread that held it: no call leaves it half changed.
pub(crate) fn lock(shared: &Shared) -> MutexGuard<'_, Pipe> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells a link where the bytes of a stream go.
pub(crate) fn hand_over(stream: StreamId, pipe: Shared, orders: &Orders) {
    // A link that has ended has told so, and the pipe is closed with that news.
    let _ended = orders.unbounded_send(Order::HandOver(stream, pipe));
}

/// Opens a stream if that is still to be done.
pub(crate) fn begin(stream: StreamId, shared: &Shared, pipe: &mut Pipe, orders: &Orders) {
    if let Some(open) = pipe.open.take() {
        let _ended = orders.unbounded_send(Order::Machine(open));
        hand_over(stream, shared.clone(), orders);
    }
}

impl Pipe {
    pub(crate) fn shared(capacity: usize) -> Shared {
        Arc::new(Mutex::new(Self {
            open: None,
            unread: VecDeque::new(),
            ungranted: 0,
            ended: false,
            reader: None,
            unsent: 0,
            capacity,
            finished: false,
            writer: None,
            dropped: false,
            closed: None,
        }))
    }

    /// The stream is not open yet: this order opens it.
    pub(crate) fn open_later(&mut self, open: ToConnection) {
        self.open = Some(open);
    }

    pub(crate) const fn is_unopened(&self) -> bool {
        self.open.is_some()
    }

    /// Takes what the connection received. Answers how much credit returns at once, because nobody will read it.
    pub(crate) fn receive(&mut self, data: Bytes) -> usize {
        if self.dropped {
            return data.len();
        }
        self.unread.push_back(data);
        wake(&mut self.reader);
        0
    }

    /// Bytes have left.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.unsent = self.unsent.saturating_sub(bytes);
        if self.unsent <= self.capacity / 2 {
            wake(&mut self.writer);
        }
    }

    /// The remote sends no more.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        wake(&mut self.reader);
    }

    /// The stream is gone. Says whether that is new.
    pub(crate) fn close(&mut self, reason: Closed) -> bool {
        if self.closed.is_some() {
            return false;
        }
        if reason == Closed::Finished {
            self.unsent = 0;
        }
        self.closed = Some(reason);
        wake(&mut self.reader);
        wake(&mut self.writer);
        true
    }

    /// Reads what there is and fits. `None`: nothing yet.
    fn read(&mut self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        let mut n = 0_usize;
        while let Some(front) = self.unread.front_mut() {
            let room = buf.get_mut(n..).unwrap_or_default();
            let part = front.len().min(room.len());
            front.copy_to_slice(room.get_mut(..part).unwrap_or_default());
            n = n.saturating_add(part);
            if front.has_remaining() {
                break;
            }
            self.unread.pop_front();
        }
        if n > 0 || buf.is_empty() {
            self.ungranted = self.ungranted.saturating_add(n);
            return Some(Ok(n));
        }
        match self.closed {
            _ if self.ended => Some(Ok(0)),
            Some(reason) => Some(Err(broken(reason))),
            None => None,
        }
    }

    /// The credit that returns now.
    fn take_credit(&mut self) -> Option<usize> {
        let enough = match (self.unread.is_empty(), self.ended) {
            (false, _) => GRANT_SHARE,
            (true, true) => LAST_SHARE,
            (true, false) => 1,
        };
        let due = self.ungranted >= enough && self.closed.is_none();
        due.then(|| core::mem::take(&mut self.ungranted))
    }
}

/// A raw stream to a peer. Where the peer is known to speak the protocol, the stream is opened by what is done first, so that what is written leaves together with
/// the proposal in one flight; if nothing is done, [`gather`](libp2p_proto_streams::Config::gather) later. Writing is bounded by the peer's reading, and the other way
/// round. [`close`](futures_io::AsyncWrite::poll_close) says that no more follows; reading goes on. Dropped after that, what was written still arrives; dropped before,
/// the stream is reset.
pub struct Stream {
    id: StreamId,
    pipe: Shared,
    orders: Orders,
}

impl Stream {
    pub(crate) const fn new(id: StreamId, pipe: Shared, orders: Orders) -> Self {
        Self { id, pipe, orders }
    }

    /// The stream's name inside the node.
    pub const fn id(&self) -> StreamId {
        self.id
    }

    fn order(&self, pipe: &mut Pipe, message: ToConnection) {
        begin(self.id, &self.pipe, pipe, &self.orders);
        // A connection that has ended closes the pipe.
        let _ended = self.orders.unbounded_send(Order::Machine(message));
    }

    fn read(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.pipe);
        let Some(result) = pipe.read(buf) else {
            begin(self.id, &self.pipe, &mut pipe, &self.orders);
            return wait(&mut pipe.reader, cx);
        };
        if let Some(bytes) = pipe.take_credit() {
            let stream = self.id;
            self.order(&mut pipe, ToConnection::Grant { stream, bytes });
        }
        Poll::Ready(result)
    }

    fn write(&self, cx: &Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.pipe);
        if let Some(reason) = pipe.closed {
            return Poll::Ready(Err(broken(reason)));
        }
        if pipe.finished {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = pipe.capacity.saturating_sub(pipe.unsent);
        if room == 0 {
            return wait(&mut pipe.writer, cx);
        }
        let data = buf.get(..room).unwrap_or(buf);
        if !data.is_empty() {
            pipe.unsent = pipe.unsent.saturating_add(data.len());
            let write = ToConnection::Write {
                stream: self.id,
                data: Bytes::copy_from_slice(data),
            };
            self.order(&mut pipe, write);
        }
        Poll::Ready(Ok(data.len()))
    }

    /// Waits until everything written has left.
    fn flush(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.pipe);
        match pipe.closed {
            _ if pipe.unsent == 0 => Poll::Ready(Ok(())),
            Some(reason) => Poll::Ready(Err(broken(reason))),
            None => wait(&mut pipe.writer, cx),
        }
    }

    /// Says that no more follows, and waits until everything written has left.
    fn finish(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.pipe);
        if !pipe.finished {
            pipe.finished = true;
            let finish = ToConnection::Order {
                stream: self.id,
                order: StreamOrder::Finish,
            };
            self.order(&mut pipe, finish);
        }
        drop(pipe);
        self.flush(cx)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut pipe = lock(&self.pipe);
        pipe.dropped = true;
        let stream = self.id;
        if !pipe.finished {
            let reset = ToConnection::Order {
                stream,
                order: StreamOrder::Reset,
            };
            self.order(&mut pipe, reset);
        }
        let unread = pipe.unread.drain(..).map(|data| data.len());
        let bytes = unread.sum::<usize>().saturating_add(pipe.ungranted);
        if bytes > 0 && pipe.closed.is_none() {
            self.order(&mut pipe, ToConnection::Grant { stream, bytes });
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({:?})", self.id)
    }
}

fn broken(reason: Closed) -> io::Error {
    let kind = match reason {
        Closed::TimedOut => ErrorKind::TimedOut,
        Closed::Refused => ErrorKind::Unsupported,
        _ => ErrorKind::ConnectionReset,
    };
    io::Error::new(kind, reason)
}

fn wait<T>(waker: &mut Option<Waker>, cx: &Context<'_>) -> Poll<T> {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
    Poll::Pending
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl futures_io::AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.read(cx, buf)
    }
}

impl futures_io::AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish(cx)
    }
}

#[cfg(feature = "tokio")]
impl tokio::io::AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = core::task::ready!(self.read(cx, buf.initialize_unfilled()))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "tokio")]
impl tokio::io::AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish(cx)
    }
}
