//! Addresses of a WebSocket over TCP.

use super::{Component, Multiaddr};
use alloc::{format, string::String};

/// What a WebSocket is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketTarget {
    /// Host and port as the header `Host` names them: `192.0.2.1:80`, `[2001:db8::1]:80`, `example.com:80`.
    pub host: String,
    /// The path, decoded; empty if the address has none.
    pub path: String,
}

impl Multiaddr {
    /// What to ask for behind `/ip4|ip6|dns|dns4|dns6/…/tcp/…/ws`, with an optional `/http-path/…`. A peer id at the end counts for nothing. `None`: another address, also one over TLS.
    pub fn websocket(&self) -> Option<WebSocketTarget> {
        let mut components = self.components();
        let name = match components.next()? {
            Component::Ip4(ip) => format!("{ip}"),
            Component::Ip6(ip) => format!("[{ip}]"),
            Component::Dns(name) | Component::Dns4(name) | Component::Dns6(name) => String::from(name),
            _ => return None,
        };
        let Component::Tcp(port) = components.next()? else {
            return None;
        };
        if components.next()? != Component::Ws {
            return None;
        }
        let (mut path, mut peers) = (None, 0_u8);
        for component in components {
            match component {
                Component::HttpPath(text) if path.is_none() => path = Some(String::from(text)),
                Component::P2p(_) if peers == 0 => peers = 1,
                _ => return None,
            }
        }
        Some(WebSocketTarget {
            host: format!("{name}:{port}"),
            path: path.unwrap_or_default(),
        })
    }
}
