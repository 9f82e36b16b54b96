#![doc = include_str!("../README.md")]

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use libp2p_proto_driver as driver;
use libp2p_proto_identity::Identity;
use std::{io, net::SocketAddr, time::Instant};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::{TcpListener, TcpStream, UdpSocket},
    time::Sleep,
};

pub use driver::{
    App, Closed, Config, DialFailure, Entropy, Error, Handle, Incoming, OpenFailure, Resolver, Stream, os,
};
#[cfg(feature = "mdns")]
pub use driver::{Discovery, mdns};

/// tokio, as the driver sees it.
#[derive(Debug)]
pub enum Tokio {}

/// Starts a node for `identity` that runs `app`, in a task of the current runtime.
///
/// # Errors
///
/// See [`Error`].
pub fn spawn<A: App + Send>(identity: Identity, config: Config, app: A) -> Result<Handle<A>, Error> {
    let (node, handle) = driver::Node::<A, Tokio>::new(identity, config, app)?;
    tokio::spawn(node);
    Ok(handle)
}

impl driver::Runtime for Tokio {
    type Socket = Socket;
    type Listener = TcpListener;
    type Udp = UdpSocket;
    type Timer = Timer;
    type Connecting = Pin<Box<dyn Future<Output = io::Result<Self::Socket>> + Send>>;

    fn connecting(socket: std::net::TcpStream) -> Self::Connecting {
        Box::pin(async move {
            let socket = TcpStream::from_std(socket)?;
            socket.writable().await?;
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
            prepare(socket)
        })
    }

    fn listener(socket: std::net::TcpListener) -> io::Result<TcpListener> {
        TcpListener::from_std(socket)
    }

    fn poll_accept(listener: &mut TcpListener, cx: &mut Context<'_>) -> Poll<io::Result<Self::Socket>> {
        let (socket, _) = ready!(listener.poll_accept(cx))?;
        Poll::Ready(prepare(socket))
    }

    fn udp(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        UdpSocket::from_std(socket)
    }

    fn poll_receive(
        socket: &mut UdpSocket,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buf = ReadBuf::new(buf);
        let from = ready!(socket.poll_recv_from(cx, &mut buf))?;
        Poll::Ready(Ok((buf.filled().len(), from)))
    }

    fn try_send(socket: &mut UdpSocket, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        socket.try_send_to(datagram, to)
    }

    fn addrs(socket: &Self::Socket) -> io::Result<(SocketAddr, SocketAddr)> {
        let Socket(socket) = socket;
        Ok((socket.local_addr()?, socket.peer_addr()?))
    }

    fn spawn(link: driver::Link<Self>) {
        tokio::spawn(link);
    }
}

fn prepare(socket: TcpStream) -> io::Result<Socket> {
    socket.set_nodelay(true)?;
    Ok(Socket(socket))
}

/// A socket of tokio's, read and written as the driver does it.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl futures_io::AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let result = ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf));
        Poll::Ready(result.map(|()| buf.filled().len()))
    }
}

impl futures_io::AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A timer of tokio's.
#[derive(Debug)]
pub struct Timer(Option<Pin<Box<Sleep>>>);

impl driver::Timer for Timer {
    fn new() -> Self {
        Self(None)
    }

    fn poll_at(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at.into())));
        if sleep.deadline() != at.into() {
            sleep.as_mut().reset(at.into());
        }
        sleep.as_mut().poll(cx)
    }
}
