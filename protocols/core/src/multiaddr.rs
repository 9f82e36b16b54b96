//! Multiaddrs: validated once, cheap to clone.

use bytes::Bytes;
use crate::PeerId;
use core::net::{Ipv4Addr, Ipv6Addr};

/// A validated multiaddr, never empty. Cheap to clone; compared and hashed by its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Multiaddr(Bytes);

impl Multiaddr {
    /// The binary form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The components from left to right; no allocation.
    pub fn components(&self) -> Components<'_> {
        Components { rest: &self.0 }
    }
}

/// The components of one address.
#[derive(Clone, Debug)]
pub struct Components<'a> {
    rest: &'a [u8],
}

/// One component, borrowed from its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Component<'a> {
    /// `/ip4`
    Ip4(Ipv4Addr),
    /// `/ip6`
    Ip6(Ipv6Addr),
    /// `/tcp`
    Tcp(u16),
    /// `/dns`
    Dns(&'a str),
    /// `/p2p`
    P2p(PeerId),
}
