//! Parameters of the mesh, of topics, limits, and the profiles of deployed networks.

use crate::{
    Choke, Error, FastId, Inspector, MessageIdFn, NameMatcher, PeerFilter, SignaturePolicy,
    SubscriptionFilter, Topic, WireLimits,
    score::{ScoreConfig, Thresholds},
};
use alloc::{collections::BTreeMap, format, vec, vec::Vec};
use core::time::Duration;
use libp2p_proto_core::{PeerId, ProtocolName};
use libp2p_proto_identity::Identity;

/// What a peer with a protocol name can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Subscriptions and messages: FloodSub.
    Flood,
    /// And IHAVE, IWANT, GRAFT, PRUNE.
    V10,
    /// And back-off and peer exchange in PRUNE.
    V11,
    /// And IDONTWANT.
    V12,
    /// And extensions.
    V13,
}

/// Sizes of a mesh. All zero: a bootstrapper, which belongs to no mesh and answers every GRAFT with peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeshParams {
    /// Wanted members, D. Default 6.
    pub d: usize,
    /// Fewer are filled up to `d`, `D_lo`. Default 5, as go and rust.
    pub d_lo: usize,
    /// So many are trimmed to `d`, `D_hi`. Default 12.
    pub d_hi: usize,
    /// Members kept for their score when trimming, `D_score`. Default 4.
    pub d_score: usize,
    /// Members that we connected to ourselves, `D_out`. Below `d_lo` and at most half of `d`. Default 2.
    pub d_out: usize,
}

impl Default for MeshParams {
    fn default() -> Self {
        Self {
            d: 6,
            d_lo: 5,
            d_hi: 12,
            d_score: 4,
            d_out: 2,
        }
    }
}

impl MeshParams {
    /// A bootstrapper's: no mesh at all.
    pub const BOOTSTRAPPER: Self = Self {
        d: 0,
        d_lo: 0,
        d_hi: 0,
        d_score: 0,
        d_out: 0,
    };

    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        let off = *self == Self::BOOTSTRAPPER;
        let half = self.d.checked_div(2).unwrap_or(0);
        check(&[
            ("d_score", self.d_score <= self.d_hi),
            ("d_lo", self.d_lo <= self.d),
            ("d_hi", self.d <= self.d_hi && self.d_hi <= 1024),
            ("d_out", off || (self.d_out < self.d_lo && self.d_out <= half)),
        ])
    }
}

/// What differs between topics. `None` stands for the router's own setting.
#[derive(Clone, Debug, Default)]
pub struct TopicConfig {
    /// Sizes of the mesh.
    pub mesh: Option<MeshParams>,
    /// What messages must carry.
    pub policy: Option<SignaturePolicy>,
    /// How their ids are made.
    pub id: Option<MessageIdFn>,
    /// Whether the application says which messages are valid.
    pub validate: Option<bool>,
    /// Messages of it that may be waiting for a verdict at a time, besides the limit on those of all topics.
    pub max_pending: Option<usize>,
    /// Largest payload, in bytes.
    pub max_message: Option<usize>,
    /// Who signs own messages, and whose messages count as our own. `None`: the identity of the router.
    pub author: Option<Identity>,
    /// Only ever published to: never subscribed, nothing received.
    pub fanout_only: bool,
    /// Whether we ask for parts instead of whole messages. Needs `partial_messages`.
    pub requests_partial: bool,
    /// Whether we can answer with parts. Needs `partial_messages`.
    pub supports_partial: bool,
}

/// What grows, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one RPC.
    pub wire: WireLimits,
    /// Largest RPC, in bytes, both ways. At least 1 KiB and at most the unread budget of a connection. Default 512 KiB; go and nim take 1 MiB, rust takes
    /// 64 KiB.
    pub max_frame: usize,
    /// Bytes of control and subscriptions in one RPC that we send. Default 15 KiB: rust refuses more than 16 KiB.
    pub max_control_sent: usize,
    /// Subscriptions in one RPC that we send. Default 100: rust takes no more.
    pub max_subscriptions_sent: usize,
    /// Topics that we subscribe to, relay or publish to at the same time. Default 4 096.
    pub max_topics: usize,
    /// Topics kept of one peer. Default 1 024.
    pub max_topics_per_peer: usize,
    /// Bytes of topic names kept of one peer. Default 64 KiB.
    pub max_topic_bytes_per_peer: usize,
    /// RPCs with IHAVE handled per peer and heartbeat. Default 10.
    pub max_ihave_rpcs: u32,
    /// Ids asked of one peer per heartbeat, and put into one IHAVE. Default 5 000.
    pub max_ihave_ids: usize,
    /// RPCs with IWANT handled per peer and heartbeat. Default 10, as js.
    pub max_iwant_rpcs: u32,
    /// Times that one message is served to one peer. Default 3.
    pub max_retransmissions: u8,
    /// IDONTWANT ids taken per peer and heartbeat. Default 1 000.
    pub max_idontwant: usize,
    /// IDONTWANT ids of one RPC, taken and sent. Default 10, as go.
    pub max_idontwant_per_rpc: usize,
    /// Messages that may be waiting for a verdict. Default 1 024.
    pub max_pending: usize,
    /// Bytes of those. Default 16 MiB.
    pub max_pending_bytes: usize,
    /// Ids remembered as seen; the oldest are forgotten first. Default 1 000 000.
    pub max_seen: usize,
    /// Bytes of the message cache, an entry counting 128 bytes besides; the oldest are forgotten first. Default 64 MiB.
    pub max_cache_bytes: usize,
    /// Bytes of messages that may wait for one peer. Never less than one frame. Default 1 MiB.
    pub max_queue_bytes: usize,
    /// Messages that may wait for one peer. Default 5 000.
    pub max_queue_messages: usize,
    /// Ids of IHAVE, and of IWANT, that may wait for one peer. Default 10 000.
    pub max_queue_ids: usize,
    /// Ids that are asked for and not yet here. Default 65 536.
    pub max_promises: usize,
    /// Back-offs remembered. Default 65 536.
    pub max_backoffs: usize,
    /// Peers of PRUNEs dialed and not yet connected. Default 128, as go.
    pub max_px_dials: usize,
    /// Events that may wait. When full, the newest message is dropped and counted. Default 4 096.
    pub max_events: usize,
    /// Commands that may wait for the next drive. Default 4 096.
    pub max_commands: usize,
    /// Publications whose way out is reported, at the same time. Default 4 096.
    pub max_publications: usize,
    /// Groups of partial messages that one peer begins, of one topic. Default 8, as go.
    pub max_groups_per_peer: usize,
    /// Groups of partial messages begun by peers, of one topic. Default 255, as go.
    pub max_groups: usize,
    /// Bytes of the name of a group. RPCs with longer ones are refused. Default 1 024.
    pub max_group: usize,
    /// Bytes of what a peer says that it has and wants of one group. RPCs with more are refused. Default 1 024.
    pub max_metadata: usize,
    /// Groups of one topic of which it is kept what one peer has and wants; what it says of others is told all the same. Default 64.
    pub max_metadata_per_peer: usize,
    /// Groups about which one peer is gossiped to at one heartbeat. Default 128; rust tells 1 000.
    pub max_groups_told: usize,
    /// RPCs of what we have and want that may wait for one peer. Parts wait with the messages. Default 256.
    pub max_queue_partial: usize,
    /// Topics that a peer may graft in one heartbeat although we are in none of them; each RPC beyond counts as misbehaviour. Default 1 000: they may have crossed our
    /// leaving.
    pub max_unknown_grafts: usize,
    /// Bytes of several messages that wait for a peer and leave in one RPC; a larger one leaves alone, and uncopied. 0: each leaves alone. Default 4 KiB.
    pub max_joined: usize,
    /// Authors whose last sequence number is remembered. Default 65 536.
    pub max_authors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wire: WireLimits::default(),
            max_frame: 512 * 1024,
            max_control_sent: 15 * 1024,
            max_subscriptions_sent: 100,
            max_topics: 4096,
            max_topics_per_peer: 1024,
            max_topic_bytes_per_peer: 64 * 1024,
            max_ihave_rpcs: 10,
            max_ihave_ids: 5000,
            max_iwant_rpcs: 10,
            max_retransmissions: 3,
            max_idontwant: 1000,
            max_idontwant_per_rpc: 10,
            max_pending: 1024,
            max_pending_bytes: 16 << 20,
            max_seen: 1_000_000,
            max_cache_bytes: 64 << 20,
            max_queue_bytes: 1 << 20,
            max_queue_messages: 5000,
            max_queue_ids: 10_000,
            max_promises: 65_536,
            max_backoffs: 65_536,
            max_px_dials: 128,
            max_events: 4096,
            max_commands: 4096,
            max_publications: 4096,
            max_groups_per_peer: 8,
            max_groups: 255,
            max_group: 1024,
            max_metadata: 1024,
            max_metadata_per_peer: 64,
            max_groups_told: 128,
            max_queue_partial: 256,
            max_unknown_grafts: 1000,
            max_joined: 4096,
            max_authors: 65_536,
        }
    }
}

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names that are offered and accepted, best first, with what peers that agree to them can be sent.
    pub protocols: Vec<(ProtocolName, Level)>,
    /// Accepts further names that peers propose. We propose none of them. Default `None`.
    pub matcher: Option<NameMatcher>,
    /// Whether streams run over limited (relayed) connections. Default false.
    pub on_limited: bool,
    /// Whether a connection that serves pubsub alone may be closed as idle while its peer is in no mesh of ours and not explicit, as in rust. The connections of members and of
    /// explicit peers are kept either way, and trimmed last. Default false: a stream of pubsub keeps its connection, as in go.
    pub idle_outside_meshes: bool,
    /// Sizes of the mesh. Default 6, between 5 and 12.
    pub mesh: MeshParams,
    /// What differs for single topics.
    pub topics: BTreeMap<Topic, TopicConfig>,
    /// What messages must carry. Default [`SignaturePolicy::StrictSign`].
    pub policy: SignaturePolicy,
    /// How ids are made. Default [`MessageIdFn::Go`].
    pub id: MessageIdFn,
    /// Whether the application says which messages are valid, with [`report`](crate::Gossipsub::report). Default false: all that are well signed.
    pub validate: bool,
    /// Time for a verdict; then the message counts as ignored. Default 10 s.
    pub validation_timeout: Duration,
    /// Which topics may be subscribed, by peers and by us. Default: all.
    pub filter: SubscriptionFilter,
    /// Time between heartbeats. 10 ms to 1 h. Default 1 s.
    pub heartbeat: Duration,
    /// Time until the first heartbeat. Default 100 ms.
    pub first_heartbeat: Duration,
    /// Heartbeats for which messages are kept to be asked for. 1 to 120. Default 5.
    pub history: usize,
    /// Of those, the ones whose messages are gossiped about. At most `history`. Default 3.
    pub history_gossip: usize,
    /// Least peers that are told what we have, `D_lazy`. Default 6.
    pub d_lazy: usize,
    /// Share of the peers that are told what we have. 0 to 1. Default 0.25.
    pub gossip_factor: f64,
    /// Time for which an id is remembered. More than `history` heartbeats. Default 120 s.
    pub seen_ttl: Duration,
    /// Whether a duplicate renews that time. Default false.
    pub seen_sliding: bool,
    /// Time for which the peers of a topic that we only publish to are kept. Default 60 s.
    pub fanout_ttl: Duration,
    /// Time for which a pruned peer must not graft. Default 60 s.
    pub prune_backoff: Duration,
    /// The same when we leave the topic. At least 1 s. Default 10 s.
    pub unsubscribe_backoff: Duration,
    /// Longest back-off that is taken from a peer. Default 1 h, as rust.
    pub max_backoff: Duration,
    /// Heartbeats waited beyond a back-off before we graft. Default 1.
    pub backoff_slack: u32,
    /// A GRAFT this early in a back-off counts twice. Default 10 s.
    pub graft_flood: Duration,
    /// Time after a PRUNE of ours in which one GRAFT of that peer, sent before it heard of it, is refused without being counted. Zero: it counts twice, as in go.
    /// Default 5 s: a round trip of four seconds, and the time in queues.
    pub graft_crossing: Duration,
    /// Whether own messages up to `flood_publish_max` bytes go to all peers of the topic. Default true.
    pub flood_publish: bool,
    /// Largest payload that is flooded. Default 64 KiB.
    pub flood_publish_max: usize,
    /// Whether own messages are told to the application as well. Default false.
    pub deliver_own: bool,
    /// Whether a GRAFT is taken however large the mesh is, as version 1.0 says: sybils can take such a mesh over. For experiments alone. Default false.
    pub take_all_grafts: bool,
    /// Whether PRUNEs carry other peers. Default false; for bootstrappers.
    pub px: bool,
    /// Peers that one PRUNE carries, and that are taken of one. Default 16.
    pub px_peers: usize,
    /// Time for an answer to IWANT. Default 3 s.
    pub iwant_followup: Duration,
    /// Least payload for which IDONTWANT is sent. Default 1 024 bytes, as go.
    pub idontwant_min: usize,
    /// Heartbeats for which an IDONTWANT of a peer holds. Default 3.
    pub idontwant_ttl: u32,
    /// Whether IDONTWANT precedes own messages. Default false.
    pub idontwant_on_publish: bool,
    /// Heartbeats between two opportunistic grafts. Default 60.
    pub opportunistic_ticks: u64,
    /// Peers grafted then. Default 2.
    pub opportunistic_peers: usize,
    /// Peers that are always connected, always served, never in a mesh. Default none.
    pub explicit_peers: Vec<PeerId>,
    /// Heartbeats between two looks at whether they are connected. Default 300.
    pub explicit_ticks: u64,
    /// Time for which an own message may wait in the queue of a peer. Default 5 s.
    pub publish_age: Duration,
    /// The same for a message of others. Default 1 s.
    pub forward_age: Duration,
    /// Whether sequence numbers of an author must rise; others are ignored. Default false.
    pub replay_guard: bool,
    /// The one length of ids, in bytes: announced, asked for and unwanted ids of another length are skipped. Default `None`: any.
    pub id_len: Option<usize>,
    /// Whether peers may ask only for what we announced to them, as nim has it. Default false.
    pub iwant_strict: bool,
    /// Time without progress after which our stream to a peer is reset. Default 30 s, as go.
    pub write_timeout: Duration,
    /// Which peers take part in which topics. Default `None`: all.
    pub peer_filter: Option<PeerFilter>,
    /// Sees every RPC before it is looked at, and may refuse it. Default `None`.
    pub inspector: Option<Inspector>,
    /// Fingerprints of messages, for id functions that cost much. Default `None`: each copy's id is computed.
    pub fast_id: Option<FastId>,
    /// Whether steps are traced, for [`poll_trace`](crate::Gossipsub::poll_trace). Default false.
    pub trace: bool,
    /// Whether partial messages are spoken, as a draft of 1.3. Default false.
    pub partial_messages: bool,
    /// Whether members of a mesh whose copies come second are asked to announce only, as a draft. Default `None`: no.
    pub choke: Option<Choke>,
    /// Whether the test extension is spoken. Default false.
    pub test_extension: bool,
    /// Scores; `None`: every peer has 0. Default `None`.
    pub score: Option<ScoreConfig>,
    /// What scores lead to. Only with `score`.
    pub thresholds: Thresholds,
    /// What grows, and how far.
    pub limits: Limits,
}

/// The published names, best first.
pub(crate) const NAMES: [(ProtocolName, Level); 5] = [
    (ProtocolName::from_static("/meshsub/1.3.0"), Level::V13),
    (ProtocolName::from_static("/meshsub/1.2.0"), Level::V12),
    (ProtocolName::from_static("/meshsub/1.1.0"), Level::V11),
    (ProtocolName::from_static("/meshsub/1.0.0"), Level::V10),
    (ProtocolName::from_static("/floodsub/1.0.0"), Level::Flood),
];

impl Default for Config {
    fn default() -> Self {
        Self {
            protocols: NAMES.to_vec(),
            matcher: None,
            on_limited: false,
            idle_outside_meshes: false,
            mesh: MeshParams::default(),
            topics: BTreeMap::new(),
            policy: SignaturePolicy::default(),
            id: MessageIdFn::default(),
            validate: false,
            validation_timeout: Duration::from_secs(10),
            filter: SubscriptionFilter::default(),
            heartbeat: Duration::from_secs(1),
            first_heartbeat: Duration::from_millis(100),
            history: 5,
            history_gossip: 3,
            d_lazy: 6,
            gossip_factor: 0.25,
            seen_ttl: Duration::from_secs(120),
            seen_sliding: false,
            fanout_ttl: Duration::from_secs(60),
            prune_backoff: Duration::from_secs(60),
            unsubscribe_backoff: Duration::from_secs(10),
            max_backoff: Duration::from_secs(3600),
            backoff_slack: 1,
            graft_flood: Duration::from_secs(10),
            graft_crossing: Duration::from_secs(5),
            flood_publish: true,
            flood_publish_max: 64 * 1024,
            deliver_own: false,
            take_all_grafts: false,
            px: false,
            px_peers: 16,
            iwant_followup: Duration::from_secs(3),
            idontwant_min: 1024,
            idontwant_ttl: 3,
            idontwant_on_publish: false,
            opportunistic_ticks: 60,
            opportunistic_peers: 2,
            explicit_peers: vec![],
            explicit_ticks: 300,
            publish_age: Duration::from_secs(5),
            forward_age: Duration::from_secs(1),
            replay_guard: false,
            id_len: None,
            iwant_strict: false,
            write_timeout: Duration::from_secs(30),
            peer_filter: None,
            inspector: None,
            fast_id: None,
            trace: false,
            partial_messages: false,
            choke: None,
            test_extension: false,
            score: None,
            thresholds: Thresholds::default(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Offers no version above `level`.
    #[must_use]
    pub fn up_to(mut self, level: Level) -> Self {
        self.protocols.retain(|(_, offered)| *offered <= level);
        self
    }

    /// Offers the five versions under names of one's own: `/foo` gives `/foo/1.3.0` to `/foo/1.0.0`, and no FloodSub. Other names, and other levels for them, go
    /// into `protocols`.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] if these are no names of protocols.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, Error> {
        let versions = [
            ("1.3.0", Level::V13),
            ("1.2.0", Level::V12),
            ("1.1.0", Level::V11),
            ("1.0.0", Level::V10),
        ];
        self.protocols.clear();
        for (version, level) in versions {
            let name = ProtocolName::new(&format!("{prefix}/{version}"));
            self.protocols
                .push((name.map_err(|_| Error::BadConfig("protocols"))?, level));
        }
        Ok(self)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        self.mesh.validate()?;
        let life = self
            .heartbeat
            .saturating_mul(u32::try_from(self.history).unwrap_or(u32::MAX));
        let second = Duration::from_secs(1);
        check(&[
            (
                "protocols",
                !self.protocols.is_empty() && self.protocols.len() <= 64,
            ),
            (
                "heartbeat",
                self.heartbeat >= Duration::from_millis(10) && self.heartbeat <= Duration::from_secs(3600),
            ),
            ("history", self.history > 0 && self.history <= 120),
            ("history_gossip", self.history_gossip <= self.history),
            ("gossip_factor", (0.0..=1.0).contains(&self.gossip_factor)),
            ("seen_ttl", self.seen_ttl > life),
            ("unsubscribe_backoff", self.unsubscribe_backoff >= second),
            ("prune_backoff", self.prune_backoff >= second),
            ("max_backoff", self.max_backoff >= self.prune_backoff),
            ("opportunistic_ticks", self.opportunistic_ticks > 0),
            ("explicit_ticks", self.explicit_ticks > 0),
            (
                "id",
                self.policy != SignaturePolicy::StrictNoSign || !self.id.needs_author(),
            ),
            ("max_frame", self.limits.max_frame >= 1024),
            (
                "max_control_sent",
                self.limits.max_control_sent >= 512
                    && self.limits.max_control_sent.saturating_add(512) <= self.limits.max_frame,
            ),
            ("max_subscriptions_sent", self.limits.max_subscriptions_sent > 0),
            (
                "max_queue_bytes",
                self.limits.max_queue_bytes >= self.limits.max_frame,
            ),
            ("max_queue_messages", self.limits.max_queue_messages > 0),
            ("max_joined", self.limits.max_joined <= self.limits.max_frame),
            ("max_events", self.limits.max_events > 0),
            ("max_pending", self.limits.max_pending > 0),
            ("max_seen", self.limits.max_seen > 0),
            ("id_len", self.id_len != Some(0)),
            ("write_timeout", self.write_timeout >= second),
        ])?;
        for topic in self.topics.keys() {
            self.validate_topic(topic)?;
        }
        if let Some(choke) = &self.choke {
            choke.validate()?;
        }
        if let Some(score) = &self.score {
            score.validate()?;
            self.thresholds.validate()?;
        }
        Ok(())
    }

    fn validate_topic(&self, topic: &Topic) -> Result<(), Error> {
        self.mesh_of(topic).validate()?;
        let anonymous = self.policy_of(topic) == SignaturePolicy::StrictNoSign;
        let size = self.topics.get(topic).and_then(|config| config.max_message);
        check(&[
            ("id", !anonymous || !self.id_of(topic).needs_author()),
            (
                "max_message",
                size.is_none_or(|size| size <= self.limits.max_frame),
            ),
        ])
    }

    /// Ids longer than this are neither announced nor asked for: they would not fit beside others.
    pub(crate) fn longest_id(&self) -> usize {
        self.limits.max_control_sent.saturating_sub(128).min(1024)
    }

    /// Whether a peer takes part in a topic.
    pub(crate) fn is_filtered(&self, peer: &PeerId, topic: &Topic) -> bool {
        self.peer_filter
            .as_ref()
            .is_some_and(|filter| !filter.allows(peer, topic))
    }

    /// Whether an id has the length that ids must have.
    pub(crate) fn fits(&self, id: &crate::MessageId) -> bool {
        self.id_len.is_none_or(|len| len == id.as_bytes().len())
    }

    /// Who signs the messages of a topic.
    pub(crate) fn author_of(&self, topic: &Topic) -> Option<&Identity> {
        self.topics.get(topic)?.author.as_ref()
    }

    pub(crate) fn mesh_of(&self, topic: &Topic) -> MeshParams {
        let own = self.topics.get(topic).and_then(|config| config.mesh);
        own.unwrap_or(self.mesh)
    }

    pub(crate) fn policy_of(&self, topic: &Topic) -> SignaturePolicy {
        let own = self.topics.get(topic).and_then(|config| config.policy);
        own.unwrap_or(self.policy)
    }

    pub(crate) fn id_of(&self, topic: &Topic) -> &MessageIdFn {
        let own = self.topics.get(topic).and_then(|config| config.id.as_ref());
        own.unwrap_or(&self.id)
    }

    pub(crate) fn validates(&self, topic: &Topic) -> bool {
        let own = self.topics.get(topic).and_then(|config| config.validate);
        own.unwrap_or(self.validate)
    }

    pub(crate) fn max_message(&self, topic: &Topic) -> usize {
        let own = self.topics.get(topic).and_then(|config| config.max_message);
        own.unwrap_or(self.limits.max_frame)
    }

    /// How many messages of a topic may wait for a verdict, if that is less than of all.
    pub(crate) fn max_pending(&self, topic: &Topic) -> Option<usize> {
        self.topics.get(topic).and_then(|config| config.max_pending)
    }

    pub(crate) fn is_fanout_only(&self, topic: &Topic) -> bool {
        self.topics.get(topic).is_some_and(|config| config.fanout_only)
    }

    /// Whether we request parts of a topic, and whether we support them; requesting implies supporting.
    pub(crate) fn partial_of(&self, topic: &Topic) -> (bool, bool) {
        let Some(config) = self.topics.get(topic).filter(|_| self.partial_messages) else {
            return (false, false);
        };
        (
            config.requests_partial,
            config.requests_partial || config.supports_partial,
        )
    }

    /// The largest back-off, in whole seconds, that we put into a PRUNE.
    pub(crate) const fn prune_seconds(&self, leaving: bool) -> u64 {
        if leaving {
            self.unsubscribe_backoff.as_secs()
        } else {
            self.prune_backoff.as_secs()
        }
    }

    /// The Ethereum consensus layer's parameters (phase 0 networking): unsigned messages, mesh of 8, heartbeat of 0.7 s, a history of 6, ids remembered for two
    /// epochs of 12 s slots. The id function must be [`ethereum_id`](crate::ethereum_id) over the application's snappy.
    ///
    /// `max_frame` is the specification's 12 234 442 bytes; the connection's unread budget must hold it.
    pub fn ethereum(id: MessageIdFn) -> Self {
        Self {
            mesh: MeshParams {
                d: 8,
                d_lo: 6,
                d_hi: 12,
                ..MeshParams::default()
            },
            policy: SignaturePolicy::StrictNoSign,
            id,
            id_len: Some(20),
            validate: true,
            heartbeat: Duration::from_millis(700),
            history: 6,
            seen_ttl: Duration::from_secs(768),
            limits: Limits {
                max_frame: 12_234_442,
                max_queue_bytes: 16 << 20,
                ..Limits::default()
            },
            ..Self::default()
        }
    }

    /// kubo's: go's defaults, strict signing, flood publish, sequence numbers that must rise.
    pub fn kubo() -> Self {
        Self {
            replay_guard: true,
            ..Self::default()
        }
    }

    /// A bootstrapper's: no mesh of its own, and peers of the topic for everyone that grafts.
    pub fn bootstrapper() -> Self {
        Self {
            mesh: MeshParams::BOOTSTRAPPER,
            px: true,
            ..Self::default()
        }
    }
}

pub(crate) fn check(checks: &[(&'static str, bool)]) -> Result<(), Error> {
    checks
        .iter()
        .find(|(_, holds)| !holds)
        .map_or(Ok(()), |(field, _)| Err(Error::BadConfig(field)))
}
