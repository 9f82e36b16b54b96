//! Addresses that a better one of the same host and port makes needless.

use alloc::vec::Vec;
use core::net::IpAddr;
use libp2p_proto_core::{Component, Multiaddr};

/// The kinds of address that share a port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Ws,
    QuicV1,
    /// QUIC of draft 29, or WebTransport.
    LesserQuic,
    Other,
}

/// Drops `/quic` and `/webtransport` where the same IP address and port has `/quic-v1`, and WebSocket where it has plain TCP, as go-libp2p.
pub fn drop_lesser_twins(addrs: &mut Vec<Multiaddr>) {
    let known: Vec<_> = addrs.iter().map(describe).collect();
    let has = |socket, kind| known.contains(&(socket, kind));
    addrs.retain(|addr| match describe(addr) {
        (None, _) => true,
        (socket, Kind::Ws) => !has(socket, Kind::Tcp),
        (socket, Kind::LesserQuic) => !has(socket, Kind::QuicV1),
        _ => true,
    });
}

fn describe(addr: &Multiaddr) -> (Option<(IpAddr, u16)>, Kind) {
    let (mut port, mut kind) = (None, Kind::Other);
    for component in addr.components() {
        kind = match (component, kind) {
            (Component::Tcp(number), _) => {
                port = Some(number);
                Kind::Tcp
            }
            (Component::Udp(number), _) => {
                port = Some(number);
                Kind::Other
            }
            (Component::Quic, Kind::Other) | (Component::Webtransport, Kind::QuicV1 | Kind::Other) => {
                Kind::LesserQuic
            }
            (Component::QuicV1, Kind::Other) => Kind::QuicV1,
            (Component::Ws | Component::Wss | Component::Tls, Kind::Tcp | Kind::Ws) => Kind::Ws,
            (Component::P2pCircuit, _) => return (None, Kind::Other),
            (_, kind) => kind,
        };
    }
    (addr.ip().zip(port), kind)
}
