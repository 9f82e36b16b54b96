//! Addresses of the operating system and of libp2p, and its errors in one word.

use libp2p_proto_core::Multiaddr;
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
};

pub(crate) fn to_multiaddr(addr: SocketAddr) -> Multiaddr {
    Multiaddr::tcp(addr.ip().to_canonical(), addr.port())
}

/// The socket of `/ip4|ip6/…/tcp/…`, with nothing behind it but the peer's id.
pub(crate) fn to_socket(addr: &Multiaddr) -> Option<SocketAddr> {
    let addr = addr.split_peer_id().0?;
    let (ip, port) = addr.socket_tcp()?;
    (addr.components().count() == 2).then(|| SocketAddr::new(ip, port))
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
