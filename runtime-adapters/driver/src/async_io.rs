//! Sockets and timers of `async-io`, the reactor under smol and async-std: what is left for a binding is where tasks run.

use crate::{Link, Runtime, Timer as DriverTimer};
use async_io::{Async, Timer as OneShot};
use core::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Instant,
};

/// An executor, as [`AsyncIo`] sees it.
pub trait Spawn: 'static {
    /// Runs a task to its end.
    fn spawn(task: impl Future<Output = ()> + Send + 'static);
}

/// A runtime of `async-io`'s reactor and an executor.
#[derive(Debug)]
pub struct AsyncIo<S>(PhantomData<fn() -> S>);

impl<S: Spawn> Runtime for AsyncIo<S> {
    type Socket = Async<TcpStream>;
    type Listener = Async<TcpListener>;
    type Udp = Async<UdpSocket>;
    type Timer = Timer;
    type Connecting = Pin<Box<dyn Future<Output = io::Result<Self::Socket>> + Send>>;

    fn connecting(socket: TcpStream) -> Self::Connecting {
        Box::pin(async move {
            let socket = Async::new(socket)?;
            socket.writable().await?;
            if let Some(error) = socket.get_ref().take_error()? {
                return Err(error);
            }
            without_delay(socket)
        })
    }

    fn listener(socket: TcpListener) -> io::Result<Self::Listener> {
        Async::new(socket)
    }

    fn poll_accept(listener: &mut Self::Listener, cx: &mut Context<'_>) -> Poll<io::Result<Self::Socket>> {
        loop {
            match listener.get_ref().accept() {
                Ok((socket, _)) => return Poll::Ready(Async::new(socket).and_then(without_delay)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(listener.poll_readable(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn udp(socket: UdpSocket) -> io::Result<Self::Udp> {
        Async::new_nonblocking(socket)
    }

    fn poll_receive(
        socket: &mut Self::Udp,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            match socket.get_ref().recv_from(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(socket.poll_readable(cx))?,
                result => return Poll::Ready(result),
            }
        }
    }

    fn try_send(socket: &mut Self::Udp, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        socket.get_ref().send_to(datagram, to)
    }

    fn addrs(socket: &Self::Socket) -> io::Result<(SocketAddr, SocketAddr)> {
        let socket = socket.get_ref();
        Ok((socket.local_addr()?, socket.peer_addr()?))
    }

    fn spawn(link: Link<Self>) {
        S::spawn(link);
    }
}

fn without_delay(socket: Async<TcpStream>) -> io::Result<Async<TcpStream>> {
    socket.get_ref().set_nodelay(true)?;
    Ok(socket)
}

/// A timer of `async-io`'s, which forgets its time once it has gone off.
#[derive(Debug)]
pub struct Timer {
    timer: OneShot,
    set: Option<Instant>,
}

impl DriverTimer for Timer {
    fn new() -> Self {
        Self {
            timer: OneShot::never(),
            set: None,
        }
    }

    fn poll_at(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.set != Some(at) {
            self.timer.set_at(at);
            self.set = Some(at);
        }
        ready!(Pin::new(&mut self.timer).poll(cx));
        self.set = None;
        Poll::Ready(())
    }
}
