//! Addresses of the operating system and of libp2p.

use libp2p_proto_core::Multiaddr;
use std::net::SocketAddr;

pub(crate) fn to_multiaddr(addr: SocketAddr) -> Multiaddr {
    Multiaddr::tcp(addr.ip().to_canonical(), addr.port())
}

/// The socket of `/ip4|ip6/…/tcp/…`, with nothing behind it but the peer's id.
pub(crate) fn to_socket(addr: &Multiaddr) -> Option<SocketAddr> {
    let addr = addr.split_peer_id().0?;
    let (ip, port) = addr.socket_tcp()?;
    (addr.components().count() == 2).then(|| SocketAddr::new(ip, port))
}
