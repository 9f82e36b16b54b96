//! What the node asks of its runtime.

use libp2p_proto_core::{Component, ConnectionId, Multiaddr};
use wasm_bindgen::prelude::wasm_bindgen;

/// Something to do for a socket: `kind` is `connect`, `send` or `close`.
#[wasm_bindgen(getter_with_clone)]
#[derive(Debug)]
pub struct Order {
    /// What to do.
    pub kind: String,
    /// The socket's name.
    pub conn: u64,
    /// Where to connect to, else empty.
    pub url: String,
    /// The same as a multiaddr.
    pub addr: String,
    /// What to send, else empty.
    pub bytes: Vec<u8>,
}

impl Order {
    fn new(kind: &str, conn: ConnectionId) -> Self {
        Self {
            kind: kind.into(),
            conn: conn.get(),
            url: String::new(),
            addr: String::new(),
            bytes: Vec::new(),
        }
    }

    pub(crate) fn connect(conn: ConnectionId, url: String, addr: &Multiaddr) -> Self {
        let addr = addr.to_string();
        Self {
            url,
            addr,
            ..Self::new("connect", conn)
        }
    }

    pub(crate) fn send(conn: ConnectionId, bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::new("send", conn)
        }
    }

    pub(crate) fn close(conn: ConnectionId) -> Self {
        Self::new("close", conn)
    }
}

/// The URL of `/ip4|ip6|dns|dns4|dns6/…/tcp/…`, then `/ws`, `/wss` or `/tls/ws`; a final peer id means nothing to it.
pub(crate) fn url(addr: &Multiaddr) -> Option<String> {
    let addr = addr.split_peer_id().0?;
    let mut components = addr.components();
    let host = match components.next()? {
        Component::Ip4(ip) => ip.to_string(),
        Component::Ip6(ip) => format!("[{ip}]"),
        Component::Dns(name) | Component::Dns4(name) | Component::Dns6(name) => name.to_owned(),
        _ => return None,
    };
    let Component::Tcp(port) = components.next()? else {
        return None;
    };
    let scheme = match (components.next()?, components.next(), components.next()) {
        (Component::Ws, None, None) => "ws",
        (Component::Wss, None, None) | (Component::Tls, Some(Component::Ws), None) => "wss",
        _ => return None,
    };
    Some(format!("{scheme}://{host}:{port}/"))
}
