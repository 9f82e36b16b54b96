//! A raw stream in the hands of the application: the `AsyncRead` and `AsyncWrite` of `futures`, and with the feature `tokio` those of tokio.

use bytes::{Buf as _, Bytes};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use futures_channel::mpsc::UnboundedSender;
use libp2p_proto_core::{PeerId, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{Closed, OpenError};
use libp2p_proto_streams::Streams;
use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes that wait in one direction between the application and the node's task. Beyond it a write waits, or the peer's window closes.
const CAPACITY: usize = 256 * 1024;

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

/// What the application and the node's task share of one stream.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    unread: VecDeque<Bytes>,
    unread_bytes: usize,
    /// The remote sends no more.
    ended: bool,
    closed: Option<Closed>,
    reader: Option<Waker>,
    unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
    /// The application writes no more.
    finish: bool,
    finished: bool,
    writer: Option<Waker>,
    /// The application has let go of the stream.
    dropped: bool,
    /// The node's task will look at the stream anyway.
    touched: bool,
}

pub(crate) type Shared = Arc<Mutex<Pipe>>;

/// The pipe, whatever happened to another thread that held it: no call leaves it half changed.
pub(crate) fn lock(shared: &Shared) -> MutexGuard<'_, Pipe> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A raw stream to a peer. Writing is bounded by the peer's reading, and the other way round. [`close`](futures_io::AsyncWrite::poll_close) says that no more
/// follows; reading goes on. Dropped after that, what was written still arrives; dropped before, the stream is reset.
pub struct Stream {
    id: StreamId,
    shared: Shared,
    touch: UnboundedSender<StreamId>,
}

impl Stream {
    pub(crate) fn new(id: StreamId, shared: Shared, touch: UnboundedSender<StreamId>) -> Self {
        Self { id, shared, touch }
    }

    /// The stream's name inside the node.
    pub const fn id(&self) -> StreamId {
        self.id
    }

    /// Has the node's task look at the stream.
    fn touch(&self, pipe: &mut Pipe) {
        if !pipe.touched {
            pipe.touched = true;
            // A node that has stopped has closed the pipe.
            let _stopped = self.touch.unbounded_send(self.id);
        }
    }

    fn read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.shared);
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if let Some(front) = pipe.unread.front_mut() {
            let n = front.len().min(buf.len());
            if let Some(room) = buf.get_mut(..n) {
                front.copy_to_slice(room);
            }
            if front.is_empty() {
                pipe.unread.pop_front();
            }
            let was_full = pipe.unread_bytes >= CAPACITY / 2;
            pipe.unread_bytes = pipe.unread_bytes.saturating_sub(n);
            if was_full && pipe.unread_bytes < CAPACITY / 2 {
                self.touch(&mut pipe);
            }
            return Poll::Ready(Ok(n));
        }
        match pipe.closed {
            _ if pipe.ended => Poll::Ready(Ok(0)),
            Some(reason) => Poll::Ready(Err(broken(reason))),
            None => {
                pipe.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.shared);
        if let Some(reason) = pipe.closed {
            return Poll::Ready(Err(broken(reason)));
        }
        if pipe.finish {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY.saturating_sub(pipe.unsent_bytes);
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let data = buf.get(..room).unwrap_or(buf);
        if !data.is_empty() {
            pipe.unsent.push_back(Bytes::copy_from_slice(data));
            pipe.unsent_bytes = pipe.unsent_bytes.saturating_add(data.len());
            self.touch(&mut pipe);
        }
        Poll::Ready(Ok(data.len()))
    }

    /// Waits until the node's task has taken everything; with `finish`, also the end.
    fn flush(&self, cx: &mut Context<'_>, finish: bool) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.shared);
        if finish && !pipe.finish {
            pipe.finish = true;
            self.touch(&mut pipe);
        }
        match pipe.closed {
            _ if pipe.unsent.is_empty() && (pipe.finished || !finish) => Poll::Ready(Ok(())),
            Some(reason) => Poll::Ready(Err(broken(reason))),
            None => {
                pipe.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut pipe = lock(&self.shared);
        pipe.dropped = true;
        self.touch(&mut pipe);
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({:?})", self.id)
    }
}

fn broken(reason: Closed) -> io::Error {
    io::Error::new(ErrorKind::ConnectionReset, reason.to_string())
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
        self.flush(cx, false)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush(cx, true)
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
        self.flush(cx, false)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush(cx, true)
    }
}

impl Pipe {
    /// The machine is done with the stream: nothing more can be written, and only what was received can be read.
    pub(crate) fn close(&mut self, reason: Closed) {
        self.closed = Some(reason);
    }

    /// Moves bytes between the application's side and the machine. `false`: the stream may be forgotten.
    pub(crate) fn pump(&mut self, id: StreamId, streams: &mut Streams) -> bool {
        self.touched = false;
        if self.dropped && !self.finish {
            streams.reset(id);
            return false;
        }
        self.pump_in(id, streams);
        self.pump_out(id, streams);
        self.closed.is_none() || !streams.is_finished(id)
    }

    fn pump_in(&mut self, id: StreamId, streams: &mut Streams) {
        while self.dropped || self.unread_bytes < CAPACITY {
            let Some(data) = streams.read(id) else { break };
            if !self.dropped {
                self.unread_bytes = self.unread_bytes.saturating_add(data.len());
                self.unread.push_back(data);
            }
        }
        let in_order = matches!(self.closed, None | Some(Closed::Finished));
        self.ended |= in_order && streams.is_finished(id);
        let news = !self.unread.is_empty() || self.ended || self.closed.is_some();
        wake(&mut self.reader, news);
    }

    fn pump_out(&mut self, id: StreamId, streams: &mut Streams) {
        while let Some(data) = self.unsent.front() {
            match streams.write(id, data.clone()) {
                Ok(()) => {
                    self.unsent_bytes = self.unsent_bytes.saturating_sub(data.len());
                    self.unsent.pop_front();
                }
                Err(_) => break,
            }
        }
        if self.finish && self.unsent.is_empty() && !self.finished {
            streams.finish(id);
            self.finished = true;
        }
        let news = self.unsent_bytes < CAPACITY || self.closed.is_some();
        wake(&mut self.writer, news);
    }

    /// The node has stopped.
    pub(crate) fn abandon(&mut self) {
        self.closed.get_or_insert(Closed::ConnectionLost);
        wake(&mut self.reader, true);
        wake(&mut self.writer, true);
    }
}

fn wake(waker: &mut Option<Waker>, news: bool) {
    if let Some(waker) = waker.take_if(|_| news) {
        waker.wake();
    }
}
