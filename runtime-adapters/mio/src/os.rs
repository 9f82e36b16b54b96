//! What the operating system gives: time, addresses, sockets, errors.

use libp2p_proto_core::{Instant, Multiaddr, UnixTime};
use mio::net::TcpListener;
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time,
};

/// The monotonic clock of the machine, counted from the start of the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(time::Instant);

#[expect(clippy::disallowed_methods, reason = "an adapter is where time comes from")]
impl Clock {
    pub(crate) fn start() -> Self {
        Self(time::Instant::now())
    }

    pub(crate) fn now(self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    pub(crate) fn unix() -> UnixTime {
        let since = time::SystemTime::now().duration_since(time::UNIX_EPOCH);
        UnixTime::from_secs(0) + since.unwrap_or_default()
    }
}

pub(crate) fn to_multiaddr(addr: SocketAddr) -> Multiaddr {
    Multiaddr::tcp(addr.ip().to_canonical(), addr.port())
}

/// The socket of `/ip4|ip6/…/tcp/…`, with nothing behind it but the peer's id.
pub(crate) fn to_socket(addr: &Multiaddr) -> Option<SocketAddr> {
    let addr = addr.split_peer_id().0?;
    let (ip, port) = addr.socket_tcp()?;
    (addr.components().count() == 2).then(|| SocketAddr::new(ip, port))
}

/// A listening socket whose address can be used again at once after a restart; IPv6 alone, so that both families can listen on one port.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// One word for an error of the operating system.
pub(crate) fn code(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::ConnectionReset => "reset",
        ErrorKind::ConnectionAborted => "aborted",
        ErrorKind::HostUnreachable => "host-unreachable",
        ErrorKind::NetworkUnreachable => "network-unreachable",
        ErrorKind::AddrNotAvailable => "address-not-available",
        ErrorKind::TimedOut => "timed-out",
        ErrorKind::BrokenPipe => "broken-pipe",
        _ => "io",
    }
}
