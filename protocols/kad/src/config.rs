//! What a network looks like, and every limit.

use crate::{Diversity, Error, Filters, Network, StoreLimits, Validators};
use alloc::vec::Vec;
use core::time::Duration;
use libp2p_proto_core::{Multiaddr, ProtocolName, Rate};

/// `/ipfs/kad/1.0.0`, the public network.
pub const PUBLIC: ProtocolName = ProtocolName::from_static("/ipfs/kad/1.0.0");
/// `/ipfs/lan/kad/1.0.0`, its twin of one local network.
pub const LAN: ProtocolName = ProtocolName::from_static("/ipfs/lan/kad/1.0.0");
/// The largest message of any implementation (go-libp2p-kad-dht, nim-libp2p).
const MAX_MESSAGE: usize = 4 << 20;

/// Whether we answer others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// We only ask.
    Client,
    /// We ask and answer.
    Server,
    /// A server while others can reach us, a client while they can't or nobody knows.
    #[default]
    Auto,
    /// A client while others can't reach us, a server otherwise.
    AutoServer,
}

/// The network, and the limits of the machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The protocol's name: each network has its own. Default [`PUBLIC`].
    pub protocol: ProtocolName,
    /// Which peers belong to it. Default [`Network::Public`].
    pub network: Network,
    /// Filters in place of the network's. Default: none.
    pub filters: Option<Filters>,
    /// Whether we answer. Default [`Mode::Auto`].
    pub mode: Mode,
    /// Who judges values. Default: those of the public network.
    pub validators: Validators,
    /// Addresses with a final `/p2p`, dialed when the table has few peers. Default: none.
    pub bootstrap: Vec<Multiaddr>,

    /// Peers that a value or provider record is sent to, and size of a bucket (`k`). 1 to 128; default 20.
    pub replication: usize,
    /// Requests of one lookup at the same time (α). Default 10.
    pub parallelism: usize,
    /// Nearest peers that must have answered before a lookup ends (β). Default 3.
    pub resiliency: usize,
    /// Disjoint paths of one lookup; 1 to 16. Default 3.
    pub paths: usize,
    /// Peers of one network that a table, and one answer, may have. `None`: no limit. Default 3, and 2 in a bucket.
    pub diversity: Option<Diversity>,

    /// Time to connect to a peer. Default 10 s.
    pub dial_timeout: Duration,
    /// Time to write a request, and again to read its answer. Default 10 s.
    pub reply_timeout: Duration,
    /// A peer that is slower no longer counts among the requests at the same time. Default 3 s.
    pub slow_after: Duration,
    /// Time of a whole query. Default 60 s.
    pub query_timeout: Duration,
    /// Time of a lookup that refreshes the table. Default 10 s.
    pub refresh_timeout: Duration,
    /// Time to store a record at one peer. Default 30 s.
    pub store_timeout: Duration,
    /// An idle stream of ours is kept so long for the next request. Zero: one request for each stream. Default 10 s.
    pub idle_timeout: Duration,
    /// An inbound stream on which no whole request came for so long is reset, as is one whose answer is not read. Default 60 s.
    pub inbound_timeout: Duration,

    /// Average time between refreshes of the table, which vary by a tenth. `None`: only [`Kad::refresh`](crate::Kad::refresh) refreshes it. Default 10 min.
    pub refresh_interval: Option<Duration>,
    /// A peer of the table that was silent for so long is asked whether it is still there. Default 43 min, as go-libp2p-kad-dht computes.
    pub grace: Duration,
    /// Below so many peers the bootstrap peers are dialed. Default 10.
    pub low_mark: usize,

    /// Age at which a value is forgotten. Default 48 h.
    pub value_age: Duration,
    /// Age at which a provider is forgotten. Default 48 h.
    pub provider_age: Duration,
    /// Age at which a provider's addresses are no longer told. Default 24 h.
    pub provider_addr_age: Duration,
    /// Time after which our own values and provider records are sent again. Default 22 h.
    pub republish: Duration,
    /// The store in memory, if the owner gives none.
    pub store: StoreLimits,

    /// Bytes of a message that is read: 16 KiB to 4 MiB. Default 256 KiB.
    pub max_message: usize,
    /// Bytes of an answer of ours where possible. Default 16 384, what rust-libp2p reads.
    pub max_sent: usize,
    /// Streams that one connection may have open to us. Default 32.
    pub max_inbound: u16,
    /// Requests that one peer may send; more wait on their streams. Default 50 a second on average, 100 at once.
    pub rate: Rate,
    /// Requests of ours at the same time, over all queries. Default 128.
    pub max_requests: usize,
    /// Queries that run or whose end was not read. Default 128.
    pub max_queries: usize,
    /// Peers that a lookup has heard of and not asked. Default 100.
    pub max_candidates: usize,
    /// Peers that a lookup asks. Default 500.
    pub max_asked: usize,
    /// Checks of new peers at the same time. Default 64.
    pub max_checks: usize,
    /// Keys that we provide, and values that we republish, each. Default 4 096.
    pub max_published: usize,
    /// Dials to one network prefix that others' words cause: on average three a minute to one IP address.
    pub dial_rate: Rate,
    /// Events that wait besides the ends of queries. Default 1 024.
    pub max_events: usize,
    /// Whether records of ours leave while their lookup still goes on, to peers that are near enough by the estimate of the network's size (go-libp2p-kad-dht `optimistic provide`).
    /// Default false.
    pub optimistic: bool,
    /// Whether a query whose nearest peers are [crowded](crate::Effort::crowded) goes to everybody in the region of the key. Default true.
    pub widen: bool,
    /// Peers of a region that a query reaches. Default 200.
    pub max_region: usize,
    /// Whether each step of a query is an event. Default false.
    pub progress: bool,

    /// Whether we crawl the whole network and know every server, so that the nearest peers of a key are known without a lookup (go-libp2p-kad-dht `fullrt`). Default false.
    pub full_table: bool,
    /// Time between the ends of crawls and the next ones. Default 1 h.
    pub crawl_interval: Duration,
    /// Peers that a crawl asks at the same time. Default 64.
    pub crawl_workers: usize,
    /// Peers that a crawl hears of; of those beyond nobody is asked. Default 50 000.
    pub max_crawled: usize,
    /// Keys that we provide region by region: see [`Kad::provide_many`](crate::Kad::provide_many). Default 100 000; each takes about 150 bytes.
    pub max_swept: usize,
}

impl Default for Config {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours.saturating_mul(3600));
        Self {
            protocol: PUBLIC,
            network: Network::Public,
            filters: None,
            mode: Mode::Auto,
            validators: Validators::public(),
            bootstrap: Vec::new(),
            replication: 20,
            parallelism: 10,
            resiliency: 3,
            paths: 3,
            diversity: Some(Diversity::default()),
            dial_timeout: Duration::from_secs(10),
            reply_timeout: Duration::from_secs(10),
            slow_after: Duration::from_secs(3),
            query_timeout: Duration::from_secs(60),
            refresh_timeout: Duration::from_secs(10),
            store_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(10),
            inbound_timeout: Duration::from_secs(60),
            refresh_interval: Some(Duration::from_secs(600)),
            grace: Duration::from_secs(43 * 60),
            low_mark: 10,
            value_age: hours(48),
            provider_age: hours(48),
            provider_addr_age: hours(24),
            republish: hours(22),
            store: StoreLimits::default(),
            max_message: 256 * 1024,
            max_sent: 16_384,
            max_inbound: 32,
            rate: Rate::per_second(50, 100),
            max_requests: 128,
            max_queries: 128,
            max_candidates: 100,
            max_asked: 500,
            max_checks: 64,
            max_published: 4096,
            dial_rate: Rate {
                gap: Duration::from_secs(20),
                burst: 3,
            },
            max_events: 1024,
            optimistic: false,
            widen: true,
            max_region: 200,
            progress: false,
            full_table: false,
            crawl_interval: hours(1),
            crawl_workers: 64,
            max_crawled: 50_000,
            max_swept: 100_000,
        }
    }
}

impl Config {
    /// A network of its own: its protocol name, its validators, peers at any address, no limit on peers of one network. Everything else by default.
    pub fn private(protocol: ProtocolName, validators: Validators) -> Self {
        Self {
            protocol,
            network: Network::Any,
            validators,
            diversity: None,
            ..Self::default()
        }
    }

    /// The twin of the public network for one local network: a server, for peers at private addresses.
    pub fn lan() -> Self {
        Self {
            protocol: LAN,
            network: Network::Lan,
            mode: Mode::Server,
            diversity: None,
            ..Self::default()
        }
    }

    /// The filters that hold.
    pub(crate) fn filters(&self) -> Filters {
        self.filters.unwrap_or(self.network.filters())
    }

    /// Checks the ranges, and the fixed rules of the public network.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] or [`Error::PublicNetwork`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            ("replication", (1..=128).contains(&self.replication)),
            ("parallelism", (1..=128).contains(&self.parallelism)),
            ("resiliency", (1..=self.replication).contains(&self.resiliency)),
            ("paths", (1..=16).contains(&self.paths)),
            ("max_message", (16_384..=MAX_MESSAGE).contains(&self.max_message)),
            ("max_sent", (1024..=MAX_MESSAGE).contains(&self.max_sent)),
            ("max_inbound", self.max_inbound > 0),
            ("max_requests", self.max_requests > 0),
            ("max_queries", self.max_queries > 0),
            ("max_candidates", self.max_candidates >= self.replication),
            ("max_asked", self.max_asked >= self.replication),
            ("max_checks", self.max_checks > 0),
            ("max_region", self.max_region >= self.replication),
            ("crawl_workers", self.crawl_workers > 0),
            ("crawl_interval", self.crawl_interval >= Duration::from_secs(1)),
            ("max_crawled", self.max_crawled >= self.replication),
            (
                "refresh_interval",
                self.refresh_interval
                    .is_none_or(|interval| interval >= Duration::from_secs(1)),
            ),
            ("republish", self.republish >= Duration::from_secs(1)),
            ("query_timeout", self.query_timeout >= Duration::from_millis(10)),
            (
                "bootstrap",
                self.bootstrap.iter().all(|addr| addr.peer_id().is_some()),
            ),
        ];
        if let Some((field, _)) = checks.iter().find(|(_, holds)| !holds) {
            return Err(Error::BadConfig(field));
        }
        if self.protocol != PUBLIC {
            return Ok(());
        }
        let mut namespaces: Vec<_> = self.validators.namespaces().collect();
        namespaces.sort_unstable();
        if namespaces != ["ipns", "pk"] {
            return Err(Error::PublicNetwork("validators"));
        }
        if self.replication != 20 {
            return Err(Error::PublicNetwork("replication"));
        }
        Ok(())
    }
}
