//! Parameters of scores, their ranges, and the presets of deployed networks.

use crate::{Error, Topic, config::check};
use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::{net::IpAddr, time::Duration};

/// What scores lead to. Comparisons are strict: exactly the threshold is still allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Below it no gossip is sent or heard. At most 0. Default −10.
    pub gossip: f64,
    /// Below it own messages are not sent. At most `gossip`. Default −50.
    pub publish: f64,
    /// Below it nothing is heard but subscriptions. At most `publish`. Default −80.
    pub graylist: f64,
    /// From it on, peers of a PRUNE are used. At least 0. Default 10.
    pub accept_px: f64,
    /// Median of a mesh below which better peers are grafted. At least 0. Default 20.
    pub opportunistic_graft: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            gossip: -10.0,
            publish: -50.0,
            graylist: -80.0,
            accept_px: 10.0,
            opportunistic_graft: 20.0,
        }
    }
}

impl Thresholds {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        check(&[
            ("gossip", self.gossip.is_finite() && self.gossip <= 0.0),
            ("publish", self.publish.is_finite() && self.publish <= self.gossip),
            (
                "graylist",
                self.graylist.is_finite() && self.graylist <= self.publish,
            ),
            ("accept_px", self.accept_px.is_finite() && self.accept_px >= 0.0),
            (
                "opportunistic_graft",
                self.opportunistic_graft.is_finite() && self.opportunistic_graft >= 0.0,
            ),
        ])
    }

    /// Filecoin's.
    pub const FILECOIN: Self = Self {
        gossip: -500.0,
        publish: -1000.0,
        graylist: -2500.0,
        accept_px: 1000.0,
        opportunistic_graft: 2.5,
    };

    /// Those of the Ethereum clients' parameters.
    pub const ETHEREUM: Self = Self {
        gossip: -4000.0,
        publish: -8000.0,
        graylist: -16_000.0,
        accept_px: 100.0,
        opportunistic_graft: 5.0,
    };
}

/// How a peer is judged in one topic. A weight of 0 switches a term off; by default all are off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopicScoreParams {
    /// How much the topic counts. At least 0; 0: not at all. Default 1.
    pub topic_weight: f64,
    /// P1, time in the mesh: weight. At least 0.
    pub time_in_mesh_weight: f64,
    /// P1: what counts 1. More than zero. Default 1 s.
    pub time_in_mesh_quantum: Duration,
    /// P1: cap. More than 0.
    pub time_in_mesh_cap: f64,
    /// P2, first deliveries: weight. At least 0.
    pub first_deliveries_weight: f64,
    /// P2: decay of an interval. Between 0 and 1.
    pub first_deliveries_decay: f64,
    /// P2: cap. More than 0.
    pub first_deliveries_cap: f64,
    /// P3, deliveries in the mesh that are missing: weight. At most 0.
    pub mesh_deliveries_weight: f64,
    /// P3: decay of an interval. Between 0 and 1.
    pub mesh_deliveries_decay: f64,
    /// P3: cap. More than 0.
    pub mesh_deliveries_cap: f64,
    /// P3: expected deliveries. More than 0.
    pub mesh_deliveries_threshold: f64,
    /// P3: how late a duplicate may be and still count.
    pub mesh_deliveries_window: Duration,
    /// P3: time in the mesh before it counts. At least 1 s.
    pub mesh_deliveries_activation: Duration,
    /// P3b, deficits when leaving the mesh: weight. At most 0.
    pub mesh_failure_weight: f64,
    /// P3b: decay of an interval. Between 0 and 1.
    pub mesh_failure_decay: f64,
    /// P4, invalid messages: weight. At most 0.
    pub invalid_weight: f64,
    /// P4: decay of an interval. Between 0 and 1.
    pub invalid_decay: f64,
    /// The least contribution of the topic, before its weight, with which a peer stays in the topic's mesh. `None`: the sum alone decides.
    pub floor: Option<f64>,
}

impl Default for TopicScoreParams {
    fn default() -> Self {
        Self {
            topic_weight: 1.0,
            time_in_mesh_weight: 0.0,
            time_in_mesh_quantum: Duration::from_secs(1),
            time_in_mesh_cap: 3600.0,
            first_deliveries_weight: 0.0,
            first_deliveries_decay: 0.5,
            first_deliveries_cap: 2000.0,
            mesh_deliveries_weight: 0.0,
            mesh_deliveries_decay: 0.5,
            mesh_deliveries_cap: 100.0,
            mesh_deliveries_threshold: 20.0,
            mesh_deliveries_window: Duration::from_millis(10),
            mesh_deliveries_activation: Duration::from_secs(5),
            mesh_failure_weight: 0.0,
            mesh_failure_decay: 0.5,
            invalid_weight: 0.0,
            invalid_decay: 0.3,
            floor: None,
        }
    }
}

fn reward(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

fn penalty(value: f64) -> bool {
    value.is_finite() && value <= 0.0
}

fn factor(value: f64) -> bool {
    value > 0.0 && value < 1.0
}

fn positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

impl TopicScoreParams {
    /// Checks the ranges; those of a term that is off don't matter.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        let (p1, p2) = (
            self.time_in_mesh_weight != 0.0,
            self.first_deliveries_weight != 0.0,
        );
        let (p3, p4) = (self.mesh_deliveries_weight != 0.0, self.invalid_weight != 0.0);
        let p3b = self.mesh_failure_weight != 0.0;
        check(&[
            ("topic_weight", reward(self.topic_weight)),
            ("time_in_mesh_weight", reward(self.time_in_mesh_weight)),
            (
                "time_in_mesh_quantum",
                !p1 || self.time_in_mesh_quantum > Duration::ZERO,
            ),
            ("time_in_mesh_cap", !p1 || positive(self.time_in_mesh_cap)),
            ("first_deliveries_weight", reward(self.first_deliveries_weight)),
            (
                "first_deliveries_decay",
                !p2 || factor(self.first_deliveries_decay),
            ),
            ("first_deliveries_cap", !p2 || positive(self.first_deliveries_cap)),
            ("mesh_deliveries_weight", penalty(self.mesh_deliveries_weight)),
            ("mesh_deliveries_decay", !p3 || factor(self.mesh_deliveries_decay)),
            ("mesh_deliveries_cap", !p3 || positive(self.mesh_deliveries_cap)),
            (
                "mesh_deliveries_threshold",
                !p3 || positive(self.mesh_deliveries_threshold),
            ),
            (
                "mesh_deliveries_activation",
                !p3 || self.mesh_deliveries_activation >= Duration::from_secs(1),
            ),
            ("mesh_failure_weight", penalty(self.mesh_failure_weight)),
            ("mesh_failure_decay", !p3b || factor(self.mesh_failure_decay)),
            ("invalid_weight", penalty(self.invalid_weight)),
            ("invalid_decay", !p4 || factor(self.invalid_decay)),
            (
                "floor",
                self.floor.is_none_or(|floor| floor.is_finite() && floor <= 0.0),
            ),
        ])
    }

    /// Filecoin's, of the topic of blocks (Lotus at commit 0254f746).
    pub fn filecoin_blocks() -> Self {
        Self {
            topic_weight: 0.1,
            time_in_mesh_weight: 0.00027,
            time_in_mesh_quantum: Duration::from_secs(1),
            time_in_mesh_cap: 1.0,
            first_deliveries_weight: 25.0,
            first_deliveries_decay: 0.99972,
            first_deliveries_cap: 100.0,
            mesh_deliveries_weight: -576.0,
            mesh_deliveries_decay: 0.99972,
            mesh_deliveries_cap: 100.0,
            mesh_deliveries_threshold: 0.41666,
            mesh_deliveries_window: Duration::from_millis(10),
            mesh_deliveries_activation: Duration::from_secs(60),
            mesh_failure_weight: -576.0,
            mesh_failure_decay: 0.99888,
            invalid_weight: -1000.0,
            invalid_decay: 0.99972,
            floor: None,
        }
    }

    /// Filecoin's, of the topic of messages (Lotus at commit 0254f746).
    pub fn filecoin_messages() -> Self {
        Self {
            topic_weight: 0.05,
            time_in_mesh_weight: 0.000_277_8,
            time_in_mesh_quantum: Duration::from_secs(1),
            time_in_mesh_cap: 1.0,
            first_deliveries_weight: 1.0,
            first_deliveries_decay: 0.99833,
            first_deliveries_cap: 1000.0,
            mesh_deliveries_weight: -4.0,
            mesh_deliveries_decay: 0.99833,
            mesh_deliveries_cap: 1000.0,
            mesh_deliveries_threshold: 5.0,
            mesh_deliveries_window: Duration::from_millis(10),
            mesh_deliveries_activation: Duration::from_secs(60),
            mesh_failure_weight: -4.0,
            mesh_failure_decay: 0.99666,
            invalid_weight: -1000.0,
            invalid_decay: 0.99972,
            floor: None,
        }
    }

    /// Prysm's, of the topic of blocks, with the terms for missing deliveries off, as it runs them. Lighthouse computes nearly the same, but counts a first delivery
    /// for 40 / 34.9 up to 34.9 of them, and has the terms for missing deliveries on, with an expectation of 0.69 blocks: a silent member then loses 0.12, less
    /// than the 5 that it gets for its time in the mesh.
    ///
    /// So a member that stays silent keeps its place (CVE-2022-47547, and [`ScoreConfig::outweighed`] says so). It is kept as it is: nodes with other
    /// parameters would prune what the rest of the network keeps, and honest members of a topic with one message in 12 s are as silent as that. What
    /// protects is the mesh itself: `D_out` members that we dialed, and gossip to all others.
    pub fn ethereum_blocks() -> Self {
        Self {
            topic_weight: 0.5,
            time_in_mesh_weight: 0.032_4,
            time_in_mesh_quantum: Duration::from_secs(12),
            time_in_mesh_cap: 300.0,
            first_deliveries_weight: 1.0,
            first_deliveries_decay: 0.9928,
            first_deliveries_cap: 23.0,
            invalid_weight: -214.99,
            invalid_decay: 0.997_1,
            ..Self::default()
        }
    }
}

/// How peers are judged.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreConfig {
    /// Topics that count, each with its parameters.
    pub topics: BTreeMap<Topic, TopicScoreParams>,
    /// Parameters of every other topic. Default `None`: they don't count.
    pub other_topics: Option<TopicScoreParams>,
    /// The sum over all topics is cut at this. 0: not cut. Default 3 600.
    pub topic_cap: f64,
    /// P5, what the application thinks: weight. Default 1.
    pub app_weight: f64,
    /// P6, peers of one address: weight. At most 0. Default −5.
    pub ip_weight: f64,
    /// P6: peers of one address that are no harm. At least 1. Default 10.
    pub ip_threshold: u32,
    /// P6: networks that don't count, as address and prefix length.
    pub ip_allowed: Vec<(IpAddr, u8)>,
    /// P7, misbehaviour: weight. At most 0. Default −10.
    pub behaviour_weight: f64,
    /// P7: misbehaviour that is no harm. At least 0. Default 0.
    pub behaviour_threshold: f64,
    /// P7: decay of an interval. Between 0 and 1. Default 0.2.
    pub behaviour_decay: f64,
    /// Messages dropped because the peer reads too slowly: weight. At most 0. Default −0.2.
    pub slow_weight: f64,
    /// The same: drops that are no harm. At least 0. Default 0.
    pub slow_threshold: f64,
    /// The same: decay of an interval. Between 0 and 1. Default 0.2.
    pub slow_decay: f64,
    /// Time between two decays. At least 1 s. Default 1 s.
    pub decay_interval: Duration,
    /// A counter below this becomes 0. Between 0 and 1. Default 0.1.
    pub decay_to_zero: f64,
    /// Time for which a peer with a score of at most 0 is remembered after it left. Default 1 h.
    pub retain: Duration,
    /// Peers remembered after they left; those with the least to hide go first. Default 10 000.
    pub max_retained: usize,
    /// Time for which it is remembered who delivered a message. Default 120 s.
    pub delivery_ttl: Duration,
    /// Messages of which it is remembered. Default 100 000.
    pub max_deliveries: usize,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self {
            topics: BTreeMap::new(),
            other_topics: None,
            topic_cap: 3600.0,
            app_weight: 1.0,
            ip_weight: -5.0,
            ip_threshold: 10,
            ip_allowed: vec![],
            behaviour_weight: -10.0,
            behaviour_threshold: 0.0,
            behaviour_decay: 0.2,
            slow_weight: -0.2,
            slow_threshold: 0.0,
            slow_decay: 0.2,
            decay_interval: Duration::from_secs(1),
            decay_to_zero: 0.1,
            retain: Duration::from_secs(3600),
            max_retained: 10_000,
            delivery_ttl: Duration::from_secs(120),
            max_deliveries: 100_000,
        }
    }
}

impl ScoreConfig {
    /// Checks the ranges, of all topics too.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        check(&[
            ("topic_cap", reward(self.topic_cap)),
            ("app_weight", self.app_weight.is_finite()),
            ("ip_weight", penalty(self.ip_weight)),
            ("ip_threshold", self.ip_threshold >= 1),
            ("behaviour_weight", penalty(self.behaviour_weight)),
            ("behaviour_threshold", reward(self.behaviour_threshold)),
            ("behaviour_decay", factor(self.behaviour_decay)),
            ("slow_weight", penalty(self.slow_weight)),
            ("slow_threshold", reward(self.slow_threshold)),
            ("slow_decay", factor(self.slow_decay)),
            ("decay_interval", self.decay_interval >= Duration::from_secs(1)),
            ("decay_to_zero", factor(self.decay_to_zero)),
        ])?;
        self.topics
            .values()
            .chain(&self.other_topics)
            .try_for_each(TopicScoreParams::validate)
    }

    /// Topics in which a peer may stay silent for ever and keep a score that is not negative, by what it does elsewhere (CVE-2022-47547): the published parameters of
    /// Ethereum have this shape. A [`floor`](TopicScoreParams::floor) for the topic, or a penalty for missing deliveries that outweighs everything else, ends it.
    /// Sorted.
    pub fn outweighed(&self) -> Vec<Topic> {
        let earns = |params: &TopicScoreParams| {
            let time = params.time_in_mesh_weight * params.time_in_mesh_cap;
            let first = params.first_deliveries_weight * params.first_deliveries_cap;
            (time + first) * params.topic_weight
        };
        let all: f64 = self.topics.values().map(earns).sum();
        let all = if self.topic_cap > 0.0 {
            all.min(self.topic_cap)
        } else {
            all
        };
        let may_be_silent = |params: &TopicScoreParams| {
            let missing = params.mesh_deliveries_threshold * params.mesh_deliveries_threshold;
            let costs = params.mesh_deliveries_weight * missing * params.topic_weight;
            let silent = params.time_in_mesh_weight * params.time_in_mesh_cap * params.topic_weight;
            // Whoever is silent here earns nothing for first deliveries here.
            let most = (all - earns(params)).max(0.0) + silent;
            params.topic_weight > 0.0 && params.floor.is_none() && most + costs >= 0.0
        };
        let topics = self.topics.iter().filter(|(_, params)| may_be_silent(params));
        topics.map(|(topic, _)| topic.clone()).collect()
    }

    pub(crate) fn of(&self, topic: &Topic) -> Option<&TopicScoreParams> {
        self.topics.get(topic).or(self.other_topics.as_ref())
    }

    /// Filecoin's (Lotus at commit 0254f746); topics are added by name. With both of its topics, what a peer delivers of one outweighs silence in the other
    /// ([`outweighed`](Self::outweighed)).
    pub fn filecoin() -> Self {
        Self {
            topic_cap: 0.0,
            app_weight: 1.0,
            ip_weight: -100.0,
            ip_threshold: 1,
            behaviour_weight: -10.0,
            behaviour_threshold: 6.0,
            behaviour_decay: decay_factor(Duration::from_secs(3600), Duration::from_secs(1), 0.01),
            decay_interval: Duration::from_secs(1),
            decay_to_zero: 0.01,
            retain: Duration::from_secs(6 * 3600),
            slow_weight: 0.0,
            ..Self::default()
        }
    }

    /// The Ethereum clients'; topics are added by name. The weight of misbehaviour is Prysm's; Lighthouse computes −15.88, and has −10 for peers that read too slowly.
    pub fn ethereum() -> Self {
        let slot = Duration::from_secs(12);
        Self {
            topic_cap: 53.75,
            app_weight: 1.0,
            ip_weight: -53.75,
            ip_threshold: 8,
            behaviour_weight: -15.92,
            behaviour_threshold: 6.0,
            behaviour_decay: decay_factor(slot.saturating_mul(320), slot, 0.01),
            decay_interval: slot,
            decay_to_zero: 0.01,
            retain: slot.saturating_mul(3200),
            slow_weight: 0.0,
            ..Self::default()
        }
    }
}

/// The decay with which a counter falls to `to_zero` of itself within `time`, at a decay each `interval`.
pub fn decay_factor(time: Duration, interval: Duration, to_zero: f64) -> f64 {
    let ticks = time.as_secs_f64() / interval.as_secs_f64().max(1e-9);
    libm::pow(to_zero, 1.0 / ticks.max(1e-9))
}
