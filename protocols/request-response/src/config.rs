//! Names, framings and limits.

use crate::{Error, codec::Document};
use alloc::format;
use core::{ops::RangeInclusive, time::Duration};
use libp2p_proto_core::{ProtocolName, Rate};
use libp2p_proto_stream_protocol::{Framing, StreamSpec};

/// The largest payload of an Ethereum chunk, in bytes (`MAX_PAYLOAD_SIZE` of the consensus specifications).
pub const MAX_CHUNK: usize = 10 * 1024 * 1024;

/// How messages are told from each other on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// A message ends where its sender half-closes.
    UntilEnd {
        document: Document,
        empty: bool,
        early: bool,
    },
    /// A varint length in front.
    LengthDelimited,
    /// Ethereum: a length and snappy frames; a response is any number of chunks.
    Chunks { context: bool },
}

/// Which roles we take under a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Support {
    /// We ask and answer.
    #[default]
    Full,
    /// We only answer; requests of ours may not name it.
    Inbound,
    /// We only ask; streams of others are refused.
    Outbound,
}

/// What happens to a request beyond the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It waits for its turn, for at most the time to read a request.
    Delay,
    /// It is refused.
    Refuse,
}

/// One protocol name, with its framing and its limits.
#[derive(Clone, Debug)]
pub struct Spec {
    pub(crate) name: ProtocolName,
    pub(crate) family: Family,
    pub(crate) support: Support,
    pub(crate) requests: RangeInclusive<usize>,
    pub(crate) responses: RangeInclusive<usize>,
    pub(crate) half_close: bool,
    pub(crate) lazy: bool,
    pub(crate) max_inbound: Option<u16>,
    pub(crate) max_outbound: Option<u16>,
    pub(crate) rate: Option<(Rate, Excess)>,
    pub(crate) check: Option<fn(&[u8]) -> bool>,
}

impl Spec {
    /// Messages end where their sender half-closes. Limits in bytes.
    pub const fn until_end(name: ProtocolName, max_request: usize, max_response: usize) -> Self {
        Self::documents(name, Document::Opaque, max_request, max_response)
    }

    /// The same for messages of one JSON document. Its shape is checked as it comes: brackets that match, nested at most 64 deep, and nothing behind it.
    pub const fn json(name: ProtocolName, max_request: usize, max_response: usize) -> Self {
        Self::documents(name, Document::Json, max_request, max_response)
    }

    /// The same for messages of one CBOR data item, nested at most 64 deep, with nothing behind it.
    pub const fn cbor(name: ProtocolName, max_request: usize, max_response: usize) -> Self {
        Self::documents(name, Document::Cbor, max_request, max_response)
    }

    /// Messages have a varint length in front. Limits in bytes, the prefix not counted.
    pub const fn length_delimited(name: ProtocolName, max_request: usize, max_response: usize) -> Self {
        Self::new(name, Family::LengthDelimited, 0..=max_request, 0..=max_response)
    }

    /// Ethereum's framing: a length and snappy frames; a response is any number of chunks. `requests` and `chunks` bound the sizes of one request and of one
    /// chunk, uncompressed, in bytes. Two requests under one name run at once, as the specification says; more wait.
    pub const fn chunks(
        name: ProtocolName,
        requests: RangeInclusive<usize>,
        chunks: RangeInclusive<usize>,
    ) -> Self {
        let spec = Self::new(name, Family::Chunks { context: false }, requests, chunks);
        spec.half_close(true).max_outbound(2)
    }

    /// The spec of an Ethereum protocol by its short name and version: `/eth2/beacon_chain/req/<name>/<version>/ssz_snappy`.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] if that is no protocol name.
    pub fn eth2(
        name: &str,
        version: u16,
        requests: RangeInclusive<usize>,
        chunks: RangeInclusive<usize>,
    ) -> Result<Self, Error> {
        let name = format!("/eth2/beacon_chain/req/{name}/{version}/ssz_snappy");
        let name = ProtocolName::new(&name).map_err(|_| Error::BadConfig("name"))?;
        Ok(Self::chunks(name, requests, chunks))
    }

    const fn documents(
        name: ProtocolName,
        document: Document,
        max_request: usize,
        max_response: usize,
    ) -> Self {
        let family = Family::UntilEnd {
            document,
            empty: false,
            early: false,
        };
        Self::new(name, family, 0..=max_request, 0..=max_response).half_close(true)
    }

    const fn new(
        name: ProtocolName,
        family: Family,
        requests: RangeInclusive<usize>,
        responses: RangeInclusive<usize>,
    ) -> Self {
        Self {
            name,
            family,
            support: Support::Full,
            requests,
            responses,
            half_close: false,
            lazy: false,
            max_inbound: None,
            max_outbound: None,
            rate: None,
            check: None,
        }
    }

    /// Which roles we take. Default both.
    #[must_use]
    pub const fn support(mut self, support: Support) -> Self {
        self.support = support;
        self
    }

    /// Whether the requester ends its side after the request. Default: yes, but not with a length in front, where the length tells the end and litep2p
    /// takes a half-close for a loss of interest. Without an effect where the half-close is the end of the request.
    #[must_use]
    pub const fn half_close(mut self, half_close: bool) -> Self {
        self.half_close = half_close || matches!(self.family, Family::UntilEnd { .. });
        self
    }

    /// Takes a message of no bytes that ends with its stream for a message; by default it is an end without one. Only for messages that end where their
    /// sender half-closes.
    #[must_use]
    pub const fn allow_empty(mut self) -> Self {
        if let Family::UntilEnd { empty, .. } = &mut self.family {
            *empty = true;
        }
        self
    }

    /// Takes a JSON or CBOR document as soon as it is complete, for peers that never half-close. Default off.
    #[must_use]
    pub const fn answer_early(mut self) -> Self {
        if let Family::UntilEnd { early, .. } = &mut self.family {
            *early = true;
        }
        self
    }

    /// Expects (and sends, in [`respond_part`](crate::RequestResponse::respond_part)) four context bytes in front of the length of each successful chunk, as Ethereum does
    /// since Altair.
    #[must_use]
    pub const fn with_context(mut self) -> Self {
        if let Family::Chunks { context } = &mut self.family {
            *context = true;
        }
        self
    }

    /// Lets a request leave together with the proposal of its name, even to a peer that is not known to speak it, when the name is the only one. A refusal still
    /// ends in [`Failure::UnsupportedProtocols`](crate::Failure::UnsupportedProtocols). Default off.
    #[must_use]
    pub const fn lazy(mut self) -> Self {
        self.lazy = true;
        self
    }

    /// Inbound streams of this name on one connection, instead of [`Config::max_inbound`].
    #[must_use]
    pub const fn max_inbound(mut self, max: u16) -> Self {
        self.max_inbound = Some(max);
        self
    }

    /// Requests under way to one peer under this name, instead of [`Config::max_outbound`]; more wait.
    #[must_use]
    pub const fn max_outbound(mut self, max: u16) -> Self {
        self.max_outbound = Some(max);
        self
    }

    /// How many requests each peer may make under this name, and what happens to those beyond. Default: any number.
    #[must_use]
    pub const fn rate(mut self, rate: Rate, excess: Excess) -> Self {
        self.rate = Some((rate, excess));
        self
    }

    /// Looks at every request before the application does, such as at the number of items that it asks for. One that fails the check is answered with code 1
    /// (Ethereum) or reset.
    #[must_use]
    pub const fn check_requests(mut self, check: fn(&[u8]) -> bool) -> Self {
        self.check = Some(check);
        self
    }

    /// The name.
    pub const fn name(&self) -> &ProtocolName {
        &self.name
    }

    pub(crate) const fn may_ask(&self) -> bool {
        !matches!(self.support, Support::Inbound)
    }

    /// The stream of this spec. The machine frames by itself: its limits differ by direction, and a response may be handed on before its end.
    pub(crate) fn stream_spec(&self, config: &Config) -> StreamSpec {
        let max_inbound = match self.support {
            Support::Outbound => 0,
            Support::Inbound | Support::Full => self.max_inbound.unwrap_or(config.max_inbound),
        };
        StreamSpec {
            max_inbound,
            max_outbound: self.max_outbound.unwrap_or(config.max_outbound),
            open_timeout: config.timeout,
            lazy: self.lazy,
            ..StreamSpec::new(self.name.clone(), Framing::Raw)
        }
    }

    fn validate(&self, config: &Config) -> Result<(), Error> {
        let chunked = matches!(self.family, Family::Chunks { .. });
        let fits = |range: &RangeInclusive<usize>| {
            !range.is_empty() && *range.end() > 0 && (!chunked || *range.end() <= MAX_CHUNK)
        };
        let checks = [
            ("max_request", fits(&self.requests)),
            ("max_response", fits(&self.responses)),
            ("max_outbound", self.max_outbound != Some(0)),
            ("max_held", *self.requests.end() <= config.max_held),
        ];
        first_failure(&checks)
    }
}

/// Limits shared by all specs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Time for a whole request of ours on a live connection: negotiation, writing, waiting, reading. Default 10 s.
    pub timeout: Duration,
    /// Time for a request of ours to get a stream: the dial, and the wait for its turn. Default 30 s.
    pub wait_timeout: Duration,
    /// Time for a request to arrive, from the opening of its stream. Default 10 s.
    pub read_timeout: Duration,
    /// Time for the application to answer and the answer to leave; of an answer in parts, for each part. Default 10 s.
    pub respond_timeout: Duration,
    /// Inbound streams of one spec on one connection. 0: only ask, never serve. Default 100, as in rust-libp2p.
    pub max_inbound: u16,
    /// Inbound streams in all. Default 1 024.
    pub max_inbound_total: usize,
    /// Requests under way to one peer under one spec; more wait. At least 1. Default 100.
    pub max_outbound: u16,
    /// Requests that wait for one peer. Default 32.
    pub max_queued: usize,
    /// Requests of ours that have not ended, or whose end was not read. Default 1 024.
    pub max_requests: usize,
    /// Whether a request to a peer that is not connected dials it, unless the request says otherwise; it fails if not. Default true.
    pub dial: bool,
    /// Bytes of requests of one connection that are incomplete or that the application has not read. At least the largest request. Default 4 MiB.
    pub max_held: usize,
    /// Bytes of a response in parts that the application has not read, beyond which the peer's window closes. Default 256 KiB.
    pub max_unread: usize,
    /// Events about requests of others that may wait; a request that finds no room is reset. At least 4. Default 1 024.
    pub max_events: usize,
    /// Peers that are denied, and peers whose rate is remembered. Default 4 096 each.
    pub max_peers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            wait_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(10),
            respond_timeout: Duration::from_secs(10),
            max_inbound: 100,
            max_inbound_total: 1024,
            max_outbound: 100,
            max_queued: 32,
            max_requests: 1024,
            dial: true,
            max_held: 4 << 20,
            max_unread: 256 * 1024,
            max_events: 1024,
            max_peers: 4096,
        }
    }
}

pub(crate) fn validate(specs: &[Spec], config: &Config) -> Result<(), Error> {
    let checks = [
        ("specs", !specs.is_empty() && u8::try_from(specs.len()).is_ok()),
        ("max_outbound", config.max_outbound > 0),
        ("max_events", config.max_events >= 4),
    ];
    first_failure(&checks)?;
    specs.iter().try_for_each(|spec| spec.validate(config))
}

fn first_failure(checks: &[(&'static str, bool)]) -> Result<(), Error> {
    checks
        .iter()
        .find(|(_, holds)| !holds)
        .map_or(Ok(()), |(field, _)| Err(Error::BadConfig(field)))
}
