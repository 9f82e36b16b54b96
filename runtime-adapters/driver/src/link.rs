//! One TCP link: the task that owns a connection machine and its socket.

use crate::{
    Runtime,
    alarm::Alarm,
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
use libp2p_proto_core::{ConnectionId, StreamId};
use libp2p_proto_os::{Carrier, Clock, Parting};
use libp2p_proto_stream_protocol::{FromConnection, StreamOrder, ToConnection};
use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    sync::{Arc, Mutex},
};

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
    /// The stream was gone before its pipe came.
    Forget(StreamId),
    /// The swarm has heard of a new stream, and orders nothing.
    Heard,
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
    alarm: Alarm<R::Timer>,
    carrier: Carrier,
    /// Streams whose bytes go to the application.
    pipes: BTreeMap<StreamId, Shared>,
    /// News that the swarm's channel had no room for.
    unsaid: Option<FromConnection>,
    /// The swarm was told of a new stream: what it answers leaves together with the agreed name.
    asked: bool,
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
            alarm: Alarm::new(),
            carrier: Carrier::new(machine),
            pipes: BTreeMap::new(),
            unsaid: None,
            asked: false,
        }
    }

    /// Carries out orders. Says whether there were any.
    fn take_orders(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(Some(order)) = Pin::new(&mut self.orders).poll_next(cx) {
            any = true;
            match order {
                Order::Machine(message) => self.carrier.machine.handle_message(self.clock.now(), message),
                Order::HandOver(stream, pipe) => {
                    self.pipes.insert(stream, pipe);
                    let order = StreamOrder::HandOver;
                    let message = ToConnection::Order { stream, order };
                    self.carrier.machine.handle_message(self.clock.now(), message);
                }
                Order::Forget(stream) => drop(self.pipes.remove(&stream)),
                Order::Heard => {}
            }
            self.asked = false;
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
                    self.carrier.machine.handle_message(self.clock.now(), grant);
                }
            }
            FromConnection::Sent { bytes, .. } => lock(pipe).sent(bytes),
            FromConnection::Finished { .. } => lock(pipe).end(),
            FromConnection::Closed { stream, reason } => {
                lock(pipe).close(reason);
                self.pipes.remove(&stream);
                return Some(message);
            }
            other => return Some(other),
        }
        None
    }

    /// Tells the swarm what happened; pending while the swarm has no ear for it. An error: there is no swarm any more.
    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), mpsc::SendError>> {
        loop {
            while self.unsaid.is_none() {
                let Some(message) = self.carrier.machine.poll_message() else {
                    return Poll::Ready(Ok(()));
                };
                self.unsaid = self.route(message);
            }
            ready!(self.news.poll_ready(cx))?;
            if let Some(message) = self.unsaid.take() {
                self.asked |= is_new(&message);
                self.news.start_send((self.carrier.machine.id(), message))?;
            }
        }
    }

    /// Reads once and feeds the machine. Says whether to come again.
    fn read(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) -> bool {
        let (now, socket) = (self.clock.now(), Pin::new(&mut self.socket));
        self.carrier
            .read(now, scratch, |buf| ready_or_not(socket.poll_read(cx, buf)))
    }

    /// Sends what the machine has and the kernel takes. Says whether anything moved.
    fn write(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) -> bool {
        let (now, socket) = (self.clock.now(), &mut self.socket);
        self.carrier.write(now, scratch, |data| {
            ready_or_not(Pin::new(&mut *socket).poll_write(cx, data))
        })
    }

    /// Tells the machine that its time has come, if it has. Says whether it had.
    fn wait(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(at) = self.carrier.poll_timeout() else {
            return false;
        };
        let due = self.alarm.is_due(self.clock, at, cx);
        if due {
            self.carrier.machine.handle_timeout(self.clock.now());
        }
        due
    }

    /// Whether nothing is left to do, and nothing is lost if the socket is dropped.
    fn is_over(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) -> bool {
        let (now, socket) = (self.clock.now(), &mut self.socket);
        self.carrier.is_over(now, scratch, |part| {
            let mut socket = Pin::new(&mut *socket);
            ready_or_not(match part {
                Parting::Close => socket.as_mut().poll_close(cx).map_ok(|()| 0),
                Parting::Read(buf) => socket.as_mut().poll_read(cx, buf),
            })
        })
    }

    fn run(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        for _ in 0..ROUNDS {
            let mut moved = self.take_orders(cx);
            let reported = self.poll_report(cx);
            if !self.asked {
                moved |= self.write(cx, &mut scratch.output);
            }
            match reported {
                // Reading goes on once the swarm listens again.
                Poll::Pending if !moved => return Poll::Pending,
                Poll::Pending => continue,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            // Whatever moved may have led to news.
            if !moved && self.is_over(cx, &mut scratch.input) {
                return Poll::Ready(());
            }
            // What has arrived counts before the deadlines that it might meet.
            moved |= self.read(cx, &mut scratch.input);
            if !moved && !self.wait(cx) {
                return Poll::Pending;
            }
        }
        // A busy link keeps its deadlines all the same.
        self.wait(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<R: Runtime> Future for Link<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let link = self.get_mut();
        let mut scratch = link.pool.take();
        let poll = link.run(cx, &mut scratch);
        link.pool.give(scratch);
        poll
    }
}

/// Whether a stream of theirs has its name agreed. The swarm always says something to that, if only [`Order::Heard`].
pub(crate) const fn is_new(message: &FromConnection) -> bool {
    matches!(message, FromConnection::Opened { stream, .. } if stream.is_inbound())
}

/// The answer of a socket that does not block.
fn ready_or_not(poll: Poll<io::Result<usize>>) -> io::Result<usize> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

// Nothing in a link is pinned.
impl<R: Runtime> Unpin for Link<R> {}

impl<R: Runtime> fmt::Debug for Link<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({:?})", self.carrier.machine)
    }
}
