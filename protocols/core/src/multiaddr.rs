//! Multiaddrs: validated once on both doors, then cheap to clone and to walk.
//!
//! Text is turned into bytes, and the bytes are what is checked, so the two doors accept the same set. At most [`MAX_BYTES`] bytes and [`MAX_COMPONENTS`]
//! components, well above any legal use. Whatever is accepted prints to text that parses back to the same bytes.
//!
//! Where implementations differ: `unix` holds the rest of the text with its leading `/` (go), so it stands last; `memory` is 8 bytes (go, rust);
//! `http-path` is the decoded segment without a slash of its own (go), and must be UTF-8 (rust); onion ports are not zero (go); trailing slashes are read
//! and never written (go); a zone, a name or a path is never empty and, but for paths, free of `/` and of control characters.

mod binary;
mod component;
mod subnet;
mod text;
mod websocket;

pub use component::{Certhash, Component, Components};
pub use subnet::Subnet;
pub use websocket::WebSocketTarget;

use crate::{Fault, PeerId};
use alloc::vec::Vec;
use bytes::Bytes;
use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// The largest address, in bytes.
pub const MAX_BYTES: usize = 1024;
/// The most components of one address.
pub const MAX_COMPONENTS: usize = 32;

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No component at all.
    #[error("empty address")]
    Empty,
    /// Text that doesn't begin with `/`.
    #[error("an address begins with '/'")]
    NoSlash,
    /// A protocol code that is not known.
    #[error("unknown protocol code {0}")]
    UnknownProtocol(u32),
    /// A protocol name that is not known.
    #[error("unknown protocol name")]
    UnknownName,
    /// The address ends inside a component.
    #[error("address ends inside a component")]
    Truncated,
    /// A code or a length that is no minimal varint, or too large.
    #[error("bad varint")]
    BadVarint,
    /// The value of this component is not legal.
    #[error("bad value of {0}")]
    BadValue(&'static str),
    /// More than 1 KiB or more than 32 components.
    #[error("address too long")]
    TooLong,
    /// A final peer id stands already, and it is another one.
    #[error("address names another peer")]
    OtherPeer,
}

impl Error {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooLong => Fault::Limit,
            Self::OtherPeer => Fault::Local,
            _ => Fault::Peer,
        }
    }
}

/// What kind of network an address belongs to: the base of ranking and advertising.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressClass {
    /// This machine.
    Loopback,
    /// One link: `169.254/16`, `fe80::/10`.
    LinkLocal,
    /// A private network: RFC 1918, RFC 4193, RFC 6598.
    Private,
    /// A unicast address of none of the other networks.
    Public,
    /// Through a relay, whatever the relay's address.
    Relayed,
    /// All interfaces: an address to listen on, never to dial.
    Unspecified,
    /// A name that must be resolved first.
    Name,
    /// Neither an IP address nor a name; or an IP address that no peer can have: multicast, reserved, `0/8`, and IPv6 outside of `2000::/3`.
    Other,
}

/// A validated multiaddr, never empty. Cheap to clone; compared, ordered and hashed by its bytes.
///
/// ```
/// use libp2p_proto_core::{AddressClass, Component, Multiaddr};
///
/// let addr: Multiaddr = "/dns4/example.com/tcp/443/tls/http/http-path/a%2Fb".parse()?;
/// assert_eq!(addr.class(), AddressClass::Name);
/// assert_eq!(addr.components().last(), Some(Component::HttpPath("a/b")));
/// assert_eq!(Multiaddr::from_bytes(addr.as_bytes().to_vec())?, addr);
/// assert_eq!(addr.to_string(), "/dns4/example.com/tcp/443/tls/http/http-path/a%2Fb");
/// # Ok::<(), libp2p_proto_core::multiaddr::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Multiaddr(Bytes);

impl Multiaddr {
    /// Validates a binary address.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let bytes = bytes.into();
        binary::validate(&bytes)?;
        Ok(Self(bytes))
    }

    /// The address of these components.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] for none, [`Error::TooLong`], and [`Error::BadValue`] for a value that can't be written.
    pub fn from_components<'a>(components: impl IntoIterator<Item = Component<'a>>) -> Result<Self, Error> {
        let mut out = Vec::new();
        for component in components {
            binary::write(component, &mut out);
            // The iterator may have no end.
            if out.len() > MAX_BYTES {
                return Err(Error::TooLong);
            }
        }
        Self::from_bytes(out)
    }

    /// `/ip4|ip6/<ip>/tcp/<port>`.
    pub fn tcp(ip: IpAddr, port: u16) -> Self {
        let mut out = Vec::with_capacity(20);
        binary::write(Component::from(ip), &mut out);
        binary::write(Component::Tcp(port), &mut out);
        Self(out.into())
    }

    /// The binary form, as it was received or made.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The components from left to right; no allocation.
    pub fn components(&self) -> Components<'_> {
        Components::new(&self.0)
    }

    /// This address with one more component.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] or [`Error::BadValue`].
    pub fn with(&self, component: Component<'_>) -> Result<Self, Error> {
        let mut out = self.0.to_vec();
        binary::write(component, &mut out);
        Self::from_bytes(out)
    }

    /// This address followed by `other`.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`].
    pub fn encapsulate(&self, other: &Self) -> Result<Self, Error> {
        Self::from_bytes([self.as_bytes(), other.as_bytes()].concat())
    }

    /// What stands before the last occurrence of `suffix`. `None` if it does not occur, or nothing stands before it.
    pub fn decapsulate(&self, suffix: &Self) -> Option<Self> {
        let at = self
            .boundaries()
            .filter(|at| self.0.get(*at..).is_some_and(|rest| rest.starts_with(&suffix.0)))
            .last()?;
        self.prefix(at)
    }

    /// The peer of the final `/p2p`, looking before a last `/http-path`.
    pub fn peer_id(&self) -> Option<PeerId> {
        self.final_peer().map(|(_, peer)| peer)
    }

    /// The address without its final `/p2p`, and that peer. The first is `None` if nothing else is left.
    pub fn split_peer_id(&self) -> (Option<Self>, Option<PeerId>) {
        match self.final_peer() {
            None => (Some(self.clone()), None),
            Some((at, peer)) => {
                let behind = Components::new(self.0.get(at..).unwrap_or_default());
                let path = behind.skip(1);
                let before = Components::new(self.0.get(..at).unwrap_or_default());
                (Self::from_components(before.chain(path)).ok(), Some(peer))
            }
        }
    }

    /// The address with `/p2p/<peer>` at its end, before a last `/http-path`; unchanged if it stands there already.
    ///
    /// # Errors
    ///
    /// [`Error::OtherPeer`] if another peer stands there, [`Error::TooLong`].
    pub fn with_peer_id(&self, peer: PeerId) -> Result<Self, Error> {
        match self.peer_id() {
            Some(known) if known == peer => Ok(self.clone()),
            Some(_) => Err(Error::OtherPeer),
            None => {
                let path = self
                    .components()
                    .last()
                    .filter(|last| matches!(last, Component::HttpPath(_)));
                let kept = self.components().count().saturating_sub(path.iter().count());
                let before = self.components().take(kept);
                Self::from_components(before.chain([Component::P2p(peer)]).chain(path))
            }
        }
    }

    /// The first component's IP address, looking behind a zone.
    pub fn ip(&self) -> Option<IpAddr> {
        let mut components = self.components();
        match components.next()? {
            Component::Ip4(ip) => Some(ip.into()),
            Component::Ip6(ip) => Some(ip.into()),
            Component::Ip6zone(_) => match components.next()? {
                Component::Ip6(ip) => Some(ip.into()),
                _ => None,
            },
            _ => None,
        }
    }

    /// IP address and port of an address that begins `/ip4|ip6/…/tcp/…`.
    pub fn socket_tcp(&self) -> Option<(IpAddr, u16)> {
        let ip = self.ip()?;
        let mut components = self
            .components()
            .skip_while(|component| !matches!(component, Component::Ip4(_) | Component::Ip6(_)));
        match (components.next()?, components.next()?) {
            (_, Component::Tcp(port)) => Some((ip, port)),
            _ => None,
        }
    }

    /// Whether the address goes through a relay.
    pub fn is_relayed(&self) -> bool {
        self.components()
            .any(|component| component == Component::P2pCircuit)
    }

    /// The relay's part and the destination's part of a relayed address, either `None` if it is empty.
    pub fn split_relay(&self) -> Option<(Option<Self>, Option<Self>)> {
        let circuit = self
            .boundaries()
            .zip(self.components())
            .find(|(_, component)| *component == Component::P2pCircuit)?
            .0;
        let behind = self.boundaries().find(|at| *at > circuit);
        let destination = behind
            .and_then(|at| self.0.get(at..))
            .map(|rest| Self(self.0.slice_ref(rest)));
        Some((self.prefix(circuit), destination))
    }

    /// The relay and the peer behind it, of a relayed address that can be dialed.
    pub fn relay_and_target(&self) -> Option<(PeerId, PeerId)> {
        let (relay, target) = self.split_relay()?;
        Some((relay?.peer_id()?, target?.peer_id()?))
    }

    /// What kind of network the address belongs to.
    pub fn class(&self) -> AddressClass {
        if self.is_relayed() {
            return AddressClass::Relayed;
        }
        match (self.components().next(), self.ip()) {
            (_, Some(ip)) => class_of(ip),
            (
                Some(Component::Dns(_) | Component::Dns4(_) | Component::Dns6(_) | Component::Dnsaddr(_)),
                _,
            ) => AddressClass::Name,
            _ => AddressClass::Other,
        }
    }

    /// Where each component begins.
    fn boundaries(&self) -> impl Iterator<Item = usize> {
        let whole = self.0.len();
        let mut components = self.components();
        core::iter::from_fn(move || {
            let at = whole.saturating_sub(components.remaining());
            components.next().map(|_| at)
        })
    }

    fn final_peer(&self) -> Option<(usize, PeerId)> {
        let last_two = self
            .boundaries()
            .zip(self.components())
            .fold([None, None], |[_, last], next| [last, Some(next)]);
        match last_two {
            [_, Some((at, Component::P2p(peer)))]
            | [
                Some((at, Component::P2p(peer))),
                Some((_, Component::HttpPath(_))),
            ] => Some((at, peer)),
            _ => None,
        }
    }

    fn prefix(&self, end: usize) -> Option<Self> {
        (end > 0).then(|| Self(self.0.slice(..end.min(self.0.len()))))
    }
}

fn class_of(ip: IpAddr) -> AddressClass {
    let ip = ip.to_canonical();
    match ip {
        _ if ip.is_loopback() => AddressClass::Loopback,
        _ if ip.is_unspecified() => AddressClass::Unspecified,
        IpAddr::V4(ip) if ip.is_link_local() => AddressClass::LinkLocal,
        IpAddr::V4(ip) if ip.is_private() || is_shared(ip.octets()) => AddressClass::Private,
        IpAddr::V4(ip) if is_no_host(ip.octets()) => AddressClass::Other,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => AddressClass::LinkLocal,
        IpAddr::V6(ip) if ip.is_unique_local() => AddressClass::Private,
        IpAddr::V6(ip) if !is_global_unicast(ip) => AddressClass::Other,
        _ => AddressClass::Public,
    }
}

/// RFC 6598: 100.64.0.0/10.
const fn is_shared(octets: [u8; 4]) -> bool {
    matches!(octets, [100, second, ..] if second & 0b1100_0000 == 0b0100_0000)
}

/// RFC 6890's `0.0.0.0/8`, and from `224.0.0.0` up multicast (RFC 5771) and reserved (RFC 1112) addresses.
const fn is_no_host(octets: [u8; 4]) -> bool {
    matches!(octets, [0 | 224..=255, ..])
}

/// `2000::/3`, and `64:ff9b::/96` that leads to IPv4.
const fn is_global_unicast(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    first & 0xe000 == 0x2000 || (first == 0x64 && second == 0xff9b)
}

impl FromStr for Multiaddr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(text::parse(text)?)
    }
}

impl fmt::Display for Multiaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.components()
            .try_for_each(|component| write!(f, "{component}"))
    }
}

impl fmt::Debug for Multiaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
