//! What is asked, and how.

use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::Multiaddr;

/// One request with what differs from the configuration.
///
/// ```
/// use core::time::Duration;
/// use libp2p_proto_request_response::Request;
///
/// // Propose spec 1, and spec 0 with another payload to a peer that doesn't speak it; never dial, and wait for a second at most.
/// let request = Request::new(1, "new form").or(0, "old form").dial(false).timeout(Duration::from_secs(1));
/// # let _ = request;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(crate) payloads: Vec<(u8, Bytes)>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) dial: Option<bool>,
    pub(crate) addrs: Vec<Multiaddr>,
    pub(crate) in_parts: bool,
    pub(crate) max_parts: u64,
}

impl Request {
    /// A request under one spec.
    pub fn new(spec: u8, message: impl Into<Bytes>) -> Self {
        Self {
            payloads: alloc::vec![(spec, message.into())],
            timeout: None,
            dial: None,
            addrs: Vec::new(),
            in_parts: false,
            max_parts: u64::MAX,
        }
    }

    /// Proposes another spec behind those before, with a message of its own.
    #[must_use]
    pub fn or(mut self, spec: u8, message: impl Into<Bytes>) -> Self {
        self.payloads.push((spec, message.into()));
        self
    }

    /// The time for the whole request, instead of [`Config::timeout`](crate::Config::timeout).
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether to dial a peer that is not connected, instead of [`Config::dial`](crate::Config::dial).
    #[must_use]
    pub const fn dial(mut self, dial: bool) -> Self {
        self.dial = Some(dial);
        self
    }

    /// Addresses to dial besides those that are known of the peer.
    #[must_use]
    pub fn addrs(mut self, addrs: Vec<Multiaddr>) -> Self {
        self.addrs = addrs;
        self
    }

    /// Asks for the response as it comes, in [`Event::Part`](crate::Event::Part)s with back-pressure, instead of whole. Ethereum's chunks come so anyway.
    #[must_use]
    pub const fn in_parts(mut self) -> Self {
        self.in_parts = true;
        self
    }

    /// How many chunks were asked for: the response ends with the last of them. Only for Ethereum's framing.
    #[must_use]
    pub const fn max_chunks(mut self, max: u64) -> Self {
        self.max_parts = max;
        self
    }
}
