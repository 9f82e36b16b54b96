//! What a protocol's streams look like: data, not code, so a connection executes it on whatever core it lives.

use core::time::Duration;
use libp2p_proto_core::ProtocolName;

/// How the bytes of a stream become frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Frames of exactly `len` bytes, at least 1; a shorter rest at the end of the stream is an error.
    Fixed {
        /// Bytes of each frame.
        len: usize,
    },
    /// An unsigned varint length, then that many bytes. The prefix is written and removed by the connection.
    LengthDelimited {
        /// Largest frame in bytes, prefix not counted; a larger prefix closes the stream with [`Closed::FrameTooLarge`](crate::Closed::FrameTooLarge).
        max: usize,
    },
    /// Everything up to the end of the stream is one frame.
    UntilEnd {
        /// Largest frame in bytes.
        max: usize,
    },
    /// Like [`LengthDelimited`](Self::LengthDelimited), but nothing behind a delivered frame is parsed until the protocol says
    /// [`next`](crate::Context::next) or [`reframe`](crate::Context::reframe).
    Held {
        /// Largest frame in bytes, prefix not counted.
        max: usize,
    },
    /// Bytes as they come, in chunks of any size.
    Raw,
}

/// How a proposed name is compared with the name of a spec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// Byte for byte.
    #[default]
    Exact,
    /// The proposed name starts with the spec's name; [`Input::Opened`](crate::Input::Opened) says the whole name. A beginning is no name: peers are not told of it.
    Prefix,
}

/// One kind of stream of a protocol: its name, its framing and its limits.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// What is proposed and accepted.
    pub name: ProtocolName,
    /// How inbound proposals are compared with `name`.
    pub matching: Matching,
    /// How bytes become frames, in both directions.
    pub framing: Framing,
    /// Streams of this kind that the remote may have open on one connection. 0: refused, and not announced. Default 32.
    pub max_inbound: u16,
    /// Streams of this kind that we may have open on one connection. Default 64.
    pub max_outbound: u16,
    /// Bytes that may wait for the network on one stream before a write answers `Blocked`. Default 64 KiB. A single frame larger than this
    /// is accepted when nothing waits.
    pub send_capacity: usize,
    /// Largest receive window of one stream, in bytes; the multiplexer grows it from its minimum (yamux: 256 KiB) when the round trip asks for it.
    /// Default 256 KiB: no growth.
    pub recv_window: usize,
    /// Time from opening until the name is agreed. Default 10 s.
    pub open_timeout: Duration,
    /// Whether an open stream of this kind keeps its connection from being closed as idle. Default true.
    pub keeps_alive: bool,
    /// Whether streams of this kind may run over limited (relayed) connections. Default false.
    pub on_limited: bool,
    /// Whether the first frames may leave together with the proposal even if the remote is not known to speak the protocol, because losing them does
    /// no harm. Default false.
    pub lazy: bool,
    /// How long a proposal that the first frames may leave with waits for them, if they were not written at once. Default 0: not at all.
    pub gather: Duration,
    /// Whether the bytes of these streams belong to the application: none is delivered before the protocol says
    /// [`hand_over`](crate::Context::hand_over), and then they go past the swarm. For [`Framing::Raw`]. Default false.
    pub handed_over: bool,
    /// Whether streams of this kind can become links of connections ([`promote`](crate::Context::promote)): the swarm asks the protocol for links to relayed
    /// addresses ([`Input::LinkWanted`](crate::Input::LinkWanted)). Default false.
    pub carries_links: bool,
}

impl StreamSpec {
    /// A spec with the documented defaults.
    pub const fn new(name: ProtocolName, framing: Framing) -> Self {
        Self {
            name,
            matching: Matching::Exact,
            framing,
            max_inbound: 32,
            max_outbound: 64,
            send_capacity: 64 * 1024,
            recv_window: 256 * 1024,
            open_timeout: Duration::from_secs(10),
            keeps_alive: true,
            on_limited: false,
            lazy: false,
            gather: Duration::ZERO,
            handed_over: false,
            carries_links: false,
        }
    }

    /// Whether an inbound proposal of `name` means this spec.
    pub fn matches(&self, name: &str) -> bool {
        match self.matching {
            Matching::Exact => name == self.name.as_str(),
            Matching::Prefix => name.starts_with(self.name.as_str()),
        }
    }
}
