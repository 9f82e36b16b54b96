//! The components: the protocol table of multiformats as a type.

use super::binary;
use crate::PeerId;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One component, borrowed from its address.
///
/// Names and zones of an address hold neither `/` nor control characters; the paths of `http-path` and `x-parity-ws` may, and are escaped when printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Component<'a> {
    /// `/ip4/<address>`
    Ip4(Ipv4Addr),
    /// `/tcp/<port>`
    Tcp(u16),
    /// `/dccp/<port>`
    Dccp(u16),
    /// `/ip6/<address>`
    Ip6(Ipv6Addr),
    /// `/ip6zone/<zone>`, before its `ip6`
    Ip6zone(&'a str),
    /// `/ipcidr/<bits>`
    Ipcidr(u8),
    /// `/dns/<name>`: A and AAAA
    Dns(&'a str),
    /// `/dns4/<name>`: A
    Dns4(&'a str),
    /// `/dns6/<name>`: AAAA
    Dns6(&'a str),
    /// `/dnsaddr/<name>`: TXT with whole addresses
    Dnsaddr(&'a str),
    /// `/sctp/<port>`
    Sctp(u16),
    /// `/udp/<port>`
    Udp(u16),
    /// `/p2p-webrtc-star`, obsolete
    P2pWebrtcStar,
    /// `/p2p-webrtc-direct`, obsolete
    P2pWebrtcDirect,
    /// `/p2p-stardust`, obsolete
    P2pStardust,
    /// `/webrtc-direct`
    WebrtcDirect,
    /// `/webrtc`
    Webrtc,
    /// `/p2p-circuit`
    P2pCircuit,
    /// `/udt`
    Udt,
    /// `/utp`
    Utp,
    /// `/unix/<path>`: the rest of the text, in go's form with its leading `/`
    Unix(&'a str),
    /// `/p2p/<peer id>`, once `/ipfs`
    P2p(PeerId),
    /// `/https`
    Https,
    /// `/onion/<address>:<port>`
    Onion([u8; 10], u16),
    /// `/onion3/<address>:<port>`
    Onion3([u8; 35], u16),
    /// `/garlic64/<address>`: at least 386 bytes
    Garlic64(&'a [u8]),
    /// `/garlic32/<address>`: 32 bytes, or at least 35
    Garlic32(&'a [u8]),
    /// `/tls`
    Tls,
    /// `/sni/<name>`
    Sni(&'a str),
    /// `/noise`
    Noise,
    /// `/quic`, draft 29
    Quic,
    /// `/quic-v1`
    QuicV1,
    /// `/webtransport`
    Webtransport,
    /// `/certhash/<multihash>`
    Certhash(Certhash<'a>),
    /// `/ws`
    Ws,
    /// `/wss`
    Wss,
    /// `/p2p-websocket-star`, obsolete
    P2pWebsocketStar,
    /// `/http`
    Http,
    /// `/http-path/<percent-encoded segment>`; here decoded
    HttpPath(&'a str),
    /// `/memory/<number>`, as go and rust write it
    Memory(u64),
    /// `/x-parity-ws/<percent-encoded path>`, only in rust-libp2p; here decoded
    XParityWs(&'a str),
    /// `/x-parity-wss/<percent-encoded path>`, only in rust-libp2p; here decoded
    XParityWss(&'a str),
}

/// A multihash of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Certhash<'a>(pub(super) &'a [u8]);

impl<'a> Certhash<'a> {
    /// Checks a multihash.
    pub fn new(multihash: &'a [u8]) -> Option<Self> {
        binary::is_multihash(multihash).then_some(Self(multihash))
    }

    /// The multihash bytes.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl From<IpAddr> for Component<'_> {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::Ip4(ip),
            IpAddr::V6(ip) => Self::Ip6(ip),
        }
    }
}

/// The components of one valid address, from left to right.
#[derive(Clone, Debug)]
pub struct Components<'a> {
    rest: &'a [u8],
}

impl<'a> Components<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) const fn remaining(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Components<'a> {
    type Item = Component<'a>;

    fn next(&mut self) -> Option<Component<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let mut rest = self.rest;
        let component = binary::read(&mut rest).ok();
        self.rest = if component.is_some() { rest } else { &[] };
        component
    }
}

/// The wire code, the name, and whether there is a value: the table of multiformats.
macro_rules! table {
    ($($variant:ident $code:literal $name:literal),* $(,)?) => {
        /// The code of each protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Code { $($variant),* }

        impl Code {
            pub(super) const fn from_number(number: u64) -> Option<Self> {
                match number { $($code => Some(Self::$variant),)* _ => None }
            }

            pub(super) const fn number(self) -> u64 {
                match self { $(Self::$variant => $code),* }
            }

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub(super) fn from_name(name: &str) -> Option<Self> {
                match name { "ipfs" => Some(Self::P2p), $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

table! {
    Ip4 4 "ip4", Tcp 6 "tcp", Dccp 33 "dccp", Ip6 41 "ip6", Ip6zone 42 "ip6zone", Ipcidr 43 "ipcidr", Dns 53 "dns", Dns4 54 "dns4",
    Dns6 55 "dns6", Dnsaddr 56 "dnsaddr", Sctp 132 "sctp", Udp 273 "udp", P2pWebrtcStar 275 "p2p-webrtc-star",
    P2pWebrtcDirect 276 "p2p-webrtc-direct", P2pStardust 277 "p2p-stardust", WebrtcDirect 280 "webrtc-direct", Webrtc 281 "webrtc",
    P2pCircuit 290 "p2p-circuit", Udt 301 "udt", Utp 302 "utp", Unix 400 "unix", P2p 421 "p2p", Https 443 "https", Onion 444 "onion",
    Onion3 445 "onion3", Garlic64 446 "garlic64", Garlic32 447 "garlic32", Tls 448 "tls", Sni 449 "sni", Noise 454 "noise", Quic 460 "quic",
    QuicV1 461 "quic-v1", Webtransport 465 "webtransport", Certhash 466 "certhash", Ws 477 "ws", Wss 478 "wss",
    P2pWebsocketStar 479 "p2p-websocket-star", Http 480 "http", HttpPath 481 "http-path", Memory 777 "memory",
    XParityWs 4770 "x-parity-ws", XParityWss 4780 "x-parity-wss",
}

impl Component<'_> {
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::Ip4(_) => Code::Ip4,
            Self::Tcp(_) => Code::Tcp,
            Self::Dccp(_) => Code::Dccp,
            Self::Ip6(_) => Code::Ip6,
            Self::Ip6zone(_) => Code::Ip6zone,
            Self::Ipcidr(_) => Code::Ipcidr,
            Self::Dns(_) => Code::Dns,
            Self::Dns4(_) => Code::Dns4,
            Self::Dns6(_) => Code::Dns6,
            Self::Dnsaddr(_) => Code::Dnsaddr,
            Self::Sctp(_) => Code::Sctp,
            Self::Udp(_) => Code::Udp,
            Self::P2pWebrtcStar => Code::P2pWebrtcStar,
            Self::P2pWebrtcDirect => Code::P2pWebrtcDirect,
            Self::P2pStardust => Code::P2pStardust,
            Self::WebrtcDirect => Code::WebrtcDirect,
            Self::Webrtc => Code::Webrtc,
            Self::P2pCircuit => Code::P2pCircuit,
            Self::Udt => Code::Udt,
            Self::Utp => Code::Utp,
            Self::Unix(_) => Code::Unix,
            Self::P2p(_) => Code::P2p,
            Self::Https => Code::Https,
            Self::Onion(..) => Code::Onion,
            Self::Onion3(..) => Code::Onion3,
            Self::Garlic64(_) => Code::Garlic64,
            Self::Garlic32(_) => Code::Garlic32,
            Self::Tls => Code::Tls,
            Self::Sni(_) => Code::Sni,
            Self::Noise => Code::Noise,
            Self::Quic => Code::Quic,
            Self::QuicV1 => Code::QuicV1,
            Self::Webtransport => Code::Webtransport,
            Self::Certhash(_) => Code::Certhash,
            Self::Ws => Code::Ws,
            Self::Wss => Code::Wss,
            Self::P2pWebsocketStar => Code::P2pWebsocketStar,
            Self::Http => Code::Http,
            Self::HttpPath(_) => Code::HttpPath,
            Self::Memory(_) => Code::Memory,
            Self::XParityWs(_) => Code::XParityWs,
            Self::XParityWss(_) => Code::XParityWss,
        }
    }
}
