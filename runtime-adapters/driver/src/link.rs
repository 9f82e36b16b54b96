//! One TCP link: the task that owns a connection machine and its socket.

use crate::{
    Runtime, Timer,
    runtime::FAR,
    stream::{Shared, lock},
};
use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use futures_channel::mpsc;
use futures_core::Stream as _;
use futures_io::{AsyncRead as _, AsyncWrite as _};
use libp2p_proto_connection::Connection;
use libp2p_proto_core::{ConnectionId, StreamId, TransmitBuf};
use libp2p_proto_os::{Clock, Farewell, Parting, code};
use libp2p_proto_stream_protocol::{FromConnection, StreamOrder, ToConnection};
use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    sync::{Arc, Mutex},
};

/// Bytes that are read, or handed to the kernel, in one call.
const CHUNK: usize = 256 * 1024;
/// Rounds of a link before other tasks have their turn.
const ROUNDS: usize = 16;

/// Memory that links use while they read or write, and give back before they wait: an idle link holds none.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Scratch>>>);

/// What one link reads into, and writes from. The input keeps its length: making it longer would fill it with zeros each time.
#[derive(Default)]
struct Scratch {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Pool {
    fn take(&self) -> Scratch {
        let free = self.0.lock().ok().and_then(|mut free| free.pop());
        free.unwrap_or_default()
    }

    fn give(&self, scratch: Scratch) {
        if let Ok(mut free) = self.0.lock() {
            if free.len() < 8 {
                free.push(scratch);
            }
        }
    }
}

/// News of one connection.
pub(crate) type News = (ConnectionId, FromConnection);

/// What is asked of a connection, by the swarm and by the streams of the application.
pub(crate) enum Order {
    /// For the machine.
    Machine(ToConnection),
    /// From now on the bytes of this stream go into this pipe.
    HandOver(StreamId, Shared),
    /// The stream is gone, and so is its pipe.
    Forget(StreamId),
}

/// Bounded by stream credit and stream slots, so nobody waits for room in it.
pub(crate) type Orders = mpsc::UnboundedSender<Order>;

/// One connection, as a task: [`Runtime::spawn`] runs it to its end.
pub struct Link<R: Runtime> {
    clock: Clock,
    pool: Pool,
    news: mpsc::Sender<News>,
    orders: mpsc::UnboundedReceiver<Order>,
    socket: R::Socket,
    timer: R::Timer,
    machine: Connection,
    /// Streams whose bytes go to the application.
    pipes: BTreeMap<StreamId, Shared>,
    /// News that the swarm's channel had no room for.
    unsaid: Option<FromConnection>,
    /// Input that the machine did not take yet; empty most of the time.
    tail: Vec<u8>,
    /// Output that the kernel did not take yet.
    unsent: Vec<u8>,
    farewell: Farewell,
}

impl<R: Runtime> Link<R> {
    pub(crate) fn new(
        clock: Clock,
        pool: Pool,
        news: mpsc::Sender<News>,
        orders: mpsc::UnboundedReceiver<Order>,
        socket: R::Socket,
        machine: Connection,
    ) -> Self {
        Self {
            clock,
            pool,
            news,
            orders,
            socket,
            timer: R::Timer::new(),
            machine,
            pipes: BTreeMap::new(),
            unsaid: None,
            tail: Vec::new(),
            unsent: Vec::new(),
            farewell: Farewell::default(),
        }
    }

    /// Carries out orders. Says whether there were any.
    fn take_orders(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(Some(order)) = Pin::new(&mut self.orders).poll_next(cx) {
            any = true;
            match order {
                Order::Machine(message) => self.machine.handle_message(self.clock.now(), message),
                Order::HandOver(stream, pipe) => {
                    self.pipes.insert(stream, pipe);
                    let order = StreamOrder::HandOver;
                    let message = ToConnection::Order { stream, order };
                    self.machine.handle_message(self.clock.now(), message);
                }
                Order::Forget(stream) => drop(self.pipes.remove(&stream)),
            }
        }
        any
    }

    /// Gives the application what is its own; the rest is for the swarm.
    fn route(&mut self, message: FromConnection) -> Option<FromConnection> {
        let Some(pipe) = message.stream().and_then(|stream| self.pipes.get(&stream)) else {
            return Some(message);
        };
        match message {
            FromConnection::Frame { stream, data } => {
                let bytes = lock(pipe).receive(data);
                if bytes > 0 {
                    let grant = ToConnection::Grant { stream, bytes };
                    self.machine.handle_message(self.clock.now(), grant);
                }
            }
            FromConnection::Sent { bytes, .. } => lock(pipe).sent(bytes),
            FromConnection::Finished { .. } => lock(pipe).end(),
            other => return Some(other),
        }
        None
    }

    /// Tells the swarm what happened; pending while the swarm has no ear for it. An error: there is no swarm any more.
    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), mpsc::SendError>> {
        loop {
            while self.unsaid.is_none() {
                let Some(message) = self.machine.poll_message() else {
                    return Poll::Ready(Ok(()));
                };
                self.unsaid = self.route(message);
            }
            ready!(self.news.poll_ready(cx))?;
            if let Some(message) = self.unsaid.take() {
                self.news.start_send((self.machine.id(), message))?;
            }
        }
    }

    /// Reads once and feeds the machine. Says whether to come again.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        if self.machine.is_closed() || !self.machine.wants_input() {
            return false;
        }
        let mut scratch = self.pool.take();
        let input = &mut scratch.input;
        let held = self.tail.len();
        let room = held.saturating_add(CHUNK);
        if input.len() < room {
            input.resize(room, 0);
        }
        let (head, rest) = input.split_at_mut(held);
        head.copy_from_slice(&self.tail);
        let result = match Pin::new(&mut self.socket).poll_read(cx, rest) {
            Poll::Ready(Err(error)) if is_patient(&error) => {
                cx.waker().wake_by_ref();
                Err(error)
            }
            Poll::Ready(result) => result,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        };
        let took = match result {
            // What came before the end is taken before it.
            Ok(0) if held > 0 && self.feed(input.get_mut(..held).unwrap_or_default()) => true,
            Ok(0) => {
                self.farewell.end();
                self.machine.handle_eof(self.clock.now());
                true
            }
            // Even if it was too little for the machine: only a read that waits has the task woken.
            Ok(n) => {
                self.feed(input.get_mut(..held.saturating_add(n)).unwrap_or_default());
                true
            }
            // The machine may take now what it refused before.
            Err(error) if is_patient(&error) => {
                held > 0 && self.feed(input.get_mut(..held).unwrap_or_default())
            }
            Err(error) => {
                self.farewell.end();
                self.machine.handle_link_error(self.clock.now(), code(&error));
                true
            }
        };
        self.pool.give(scratch);
        took
    }

    /// Hands input to the machine and keeps the rest. Says whether the machine took any.
    fn feed(&mut self, input: &mut [u8]) -> bool {
        // An error is also the machine's last message, which the swarm reports.
        let taken = self
            .machine
            .handle_input(self.clock.now(), input)
            .unwrap_or(input.len());
        self.tail = input.get(taken..).unwrap_or_default().to_vec();
        taken > 0
    }

    /// Sends what the machine has and the kernel takes. Says whether anything moved.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        let mut scratch = None;
        loop {
            if self.unsent.is_empty() {
                let Scratch { output, .. } = scratch.get_or_insert_with(|| self.pool.take());
                output.clear();
                let mut out = TransmitBuf::new(output, CHUNK);
                while self.machine.poll_transmit(self.clock.now(), &mut out) {}
                if output.is_empty() {
                    break;
                }
                moved = true;
                let sent = self.send(cx, output);
                self.unsent = output.get(sent..).unwrap_or_default().to_vec();
            } else {
                let unsent = core::mem::take(&mut self.unsent);
                let sent = self.send(cx, &unsent);
                moved |= sent > 0;
                self.unsent = unsent.get(sent..).unwrap_or_default().to_vec();
            }
            if !self.unsent.is_empty() {
                break;
            }
        }
        if let Some(scratch) = scratch {
            self.pool.give(scratch);
        }
        moved
    }

    /// How much the kernel took; what a broken link can't take is gone.
    fn send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> usize {
        let mut sent = 0_usize;
        while let Some(rest) = data.get(sent..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.socket).poll_write(cx, rest) {
                Poll::Ready(Ok(n)) if n > 0 => sent = sent.saturating_add(n),
                Poll::Pending => break,
                Poll::Ready(result) => {
                    let error = result.err().unwrap_or_else(|| ErrorKind::BrokenPipe.into());
                    if !is_patient(&error) {
                        self.farewell.end();
                        self.machine.handle_link_error(self.clock.now(), code(&error));
                        return data.len();
                    }
                }
            }
        }
        sent
    }

    /// Tells the machine that its time has come, if it has. Says whether it had.
    fn wait(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.machine.poll_timeout().map(|deadline| deadline.at);
        let Some(at) = deadline.into_iter().chain(self.farewell.poll_timeout()).min() else {
            return false;
        };
        let now = self.clock.now();
        let at = self.clock.to_std(at).or_else(|| self.clock.to_std(now + FAR));
        let due = at.is_none_or(|at| self.timer.poll_at(at, cx).is_ready());
        if due {
            self.machine.handle_timeout(self.clock.now());
        }
        due
    }

    /// Whether nothing is left to do, and nothing is lost if the socket is dropped.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.machine.is_closed() {
            return false;
        }
        let (now, sent, socket) = (self.clock.now(), self.unsent.is_empty(), &mut self.socket);
        let mut scratch = self.pool.take();
        let over = self.farewell.is_over(now, sent, &mut scratch.input, |part| {
            let mut socket = Pin::new(&mut *socket);
            let result = match part {
                Parting::Close => socket.as_mut().poll_close(cx).map_ok(|()| 0),
                Parting::Read(buf) => socket.as_mut().poll_read(cx, buf),
            };
            match result {
                Poll::Ready(Err(error)) if is_patient(&error) => {
                    cx.waker().wake_by_ref();
                    Err(error)
                }
                Poll::Ready(result) => result,
                Poll::Pending => Err(ErrorKind::WouldBlock.into()),
            }
        });
        self.pool.give(scratch);
        over
    }
}

impl<R: Runtime> Future for Link<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let link = self.get_mut();
        for _ in 0..ROUNDS {
            let mut moved = link.take_orders(cx);
            moved |= link.write(cx);
            match link.poll_report(cx) {
                // Reading goes on once the swarm listens again.
                Poll::Pending if !moved => return Poll::Pending,
                Poll::Pending => continue,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            if link.is_over(cx) {
                return Poll::Ready(());
            }
            // What has arrived counts before the deadlines that it might meet.
            moved |= link.read(cx);
            if !moved && !link.wait(cx) {
                return Poll::Pending;
            }
        }
        // A busy link keeps its deadlines all the same.
        link.wait(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether an error only says to come again.
fn is_patient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

// Nothing in a link is pinned.
impl<R: Runtime> Unpin for Link<R> {}

impl<R: Runtime> fmt::Debug for Link<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({:?})", self.machine)
    }
}
