//! What a runtime lends: sockets, a timer, a place for a task.

use crate::Link;
use core::{
    future::Future,
    task::{Context, Poll},
    time::Duration,
};
use futures_io::{AsyncRead, AsyncWrite};
use libp2p_proto_swarm::{Record, ResolveKind};
use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::Arc,
    time::Instant,
};

/// A runtime with TCP, and UDP for discovery. Porting the node to another one is writing this.
pub trait Runtime: Sized + 'static {
    /// A connected TCP socket, not blocking, without Nagle's delay.
    type Socket: AsyncRead + AsyncWrite + Unpin;
    /// A listening TCP socket.
    type Listener: Unpin;
    /// A UDP socket.
    type Udp: Unpin;
    /// Wakes its task once.
    type Timer: Timer;
    /// A TCP socket that is being connected; dropped, it stops.
    type Connecting: Future<Output = io::Result<Self::Socket>> + Unpin;

    /// Takes over a socket that is being connected already and does not block.
    fn connecting(socket: TcpStream) -> Self::Connecting;

    /// Takes over a socket that listens already and does not block.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn listener(socket: TcpListener) -> io::Result<Self::Listener>;

    /// The next inbound connection.
    fn poll_accept(listener: &mut Self::Listener, cx: &mut Context<'_>) -> Poll<io::Result<Self::Socket>>;

    /// Takes over a UDP socket that does not block.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn udp(socket: UdpSocket) -> io::Result<Self::Udp>;

    /// The next datagram, and who sent it.
    fn poll_receive(
        socket: &mut Self::Udp,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>>;

    /// Sends a datagram now or never.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn try_send(socket: &mut Self::Udp, datagram: &[u8], to: SocketAddr) -> io::Result<usize>;

    /// Our and the remote address of a socket.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn addrs(socket: &Self::Socket) -> io::Result<(SocketAddr, SocketAddr)>;

    /// Runs a connection to its end, in a task of its own.
    fn spawn(link: Link<Self>);
}

/// One timer, set again and again.
pub trait Timer: Unpin {
    /// A timer that is not set.
    fn new() -> Self;

    /// Sets the timer and asks whether it has gone off; if not, the task is woken then.
    fn poll_at(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()>;
}

/// Takes the answer of a resolver: records, or the cause of the failure in one word.
pub type Answer = Box<dyn FnOnce(Result<Vec<Record>, &'static str>) + Send>;

/// Asks for the records of a name, and answers whenever it likes, from any thread. A question that is dropped is never answered; the dial's time-out ends it.
pub type Resolver = Arc<dyn Fn(String, ResolveKind, Answer) + Send + Sync>;

/// Deadlines beyond the range of the operating system's clock are looked at again after so long.
pub(crate) const FAR: Duration = Duration::from_secs(3600);
