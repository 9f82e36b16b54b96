//! The counters of each peer, and the score that they give.

use super::{ScoreConfig, TopicScoreParams};
use crate::{MessageId, Topic, few::Few};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::{net::IpAddr, time::Duration};
use libp2p_proto_core::{Instant, PeerId};

/// No counter grows beyond this.
const SATURATED: f64 = 1e12;

/// One counter, and when it last grew.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counter {
    value: f64,
    since: Instant,
}

impl Counter {
    fn add(&mut self, amount: f64, cap: f64, now: Instant) {
        self.value = (self.value + amount).min(cap).min(SATURATED);
        self.since = now;
    }

    fn decay(&mut self, factor: f64, to_zero: f64) {
        self.value *= factor;
        if self.value < to_zero {
            self.value = 0.0;
        }
    }
}

/// A peer in one topic.
#[derive(Clone, Debug, Default)]
struct TopicStats {
    /// When it was grafted, while it is in the mesh.
    grafted: Option<Instant>,
    time_in_mesh: Duration,
    /// Whether missing deliveries count.
    active: bool,
    /// Whether it is not expected to deliver, and since when it was last.
    excused: bool,
    expected: Instant,
    first: Counter,
    mesh: Counter,
    failure: Counter,
    invalid: Counter,
}

#[derive(Clone, Debug, Default)]
struct PeerStats {
    /// `None`: connected. Else when it is forgotten.
    expires: Option<Instant>,
    topics: Few<Topic, TopicStats>,
    ips: Few<IpAddr, ()>,
    app: Counter,
    behaviour: Counter,
    slow: Counter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Unknown,
    Valid(Instant),
    Invalid,
}

/// Who delivered a message.
#[derive(Clone, Debug)]
struct Delivery {
    topic: Topic,
    status: Status,
    peers: Few<PeerId, ()>,
}

/// One term of a score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Term {
    /// What was counted.
    pub counted: f64,
    /// What it adds to the score of the topic, or of the peer.
    pub adds: f64,
    /// When the counter last grew.
    pub since: Instant,
}

/// What a peer's score in one topic is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicExplanation {
    /// Whether it is in the mesh.
    pub in_mesh: bool,
    /// P1: time in the mesh.
    pub time_in_mesh: Term,
    /// P2: messages that it delivered first.
    pub first_deliveries: Term,
    /// P3: messages that it should have delivered and has not; `counted` says how many it did.
    pub mesh_deliveries: Term,
    /// P3b: deficits with which it left the mesh.
    pub mesh_failure: Term,
    /// P4: invalid messages.
    pub invalid: Term,
    /// The sum, times the weight of the topic.
    pub total: f64,
}

/// What a peer's score is made of: which term, and since when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreExplanation {
    /// The score.
    pub total: f64,
    /// The topics, each with its terms.
    pub topics: BTreeMap<Topic, TopicExplanation>,
    /// What the topics add, cut at the cap.
    pub topics_total: f64,
    /// P5: what the application thinks.
    pub app: Term,
    /// P6: peers at the same addresses; `counted` is the sum of the squared surplus.
    pub ip: Term,
    /// P7: misbehaviour.
    pub behaviour: Term,
    /// Messages dropped because it reads too slowly.
    pub slow: Term,
}

/// The scores of all peers.
#[derive(Clone, Debug)]
pub(crate) struct Scores {
    pub(crate) config: ScoreConfig,
    peers: BTreeMap<PeerId, PeerStats>,
    /// Peers at each address.
    ips: BTreeMap<IpAddr, u32>,
    deliveries: BTreeMap<MessageId, Delivery>,
    delivery_order: VecDeque<(Instant, MessageId)>,
    /// Valid messages, and until when it counts who else sends them: a moment, behind which nothing needs to be known of them.
    near: VecDeque<(Instant, MessageId)>,
}

impl Scores {
    pub(crate) const fn new(config: ScoreConfig) -> Self {
        Self {
            config,
            peers: BTreeMap::new(),
            ips: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            delivery_order: VecDeque::new(),
            near: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn deliveries(&self) -> usize {
        self.deliveries.len()
    }

    pub(crate) fn connected(&mut self, peer: PeerId) {
        self.peers.entry(peer).or_default().expires = None;
    }

    /// The addresses that a peer's connections come from. IPv6 counts as address and as /64 network; loopback does not count.
    pub(crate) fn set_ips(&mut self, peer: PeerId, ips: &[IpAddr]) {
        let mut counted = Few::default();
        for ip in ips.iter().filter(|ip| !ip.is_loopback()) {
            counted.insert(*ip, ());
            if let IpAddr::V6(v6) = ip {
                let network = u128::from(*v6) & (u128::MAX << 64);
                counted.insert(IpAddr::V6(network.into()), ());
            }
        }
        self.drop_ips(peer);
        let Some(stats) = self.peers.get_mut(&peer) else {
            return;
        };
        for ip in counted.keys() {
            let peers = self.ips.entry(*ip).or_default();
            *peers = peers.saturating_add(1);
        }
        stats.ips = counted;
    }

    fn drop_ips(&mut self, peer: PeerId) {
        let Some(stats) = self.peers.get_mut(&peer) else {
            return;
        };
        for ip in core::mem::take(&mut stats.ips).into_keys() {
            if let Some(peers) = self.ips.get_mut(&ip) {
                *peers = peers.saturating_sub(1);
                if *peers == 0 {
                    self.ips.remove(&ip);
                }
            }
        }
    }

    /// A good peer is forgotten; the others are remembered as they are.
    pub(crate) fn disconnected(&mut self, now: Instant, peer: PeerId) {
        if self.score(&peer) > 0.0 {
            self.drop_ips(peer);
            self.peers.remove(&peer);
            return;
        }
        let topics: Vec<Topic> = self
            .peers
            .get(&peer)
            .map(|stats| stats.topics.keys().cloned().collect())
            .unwrap_or_default();
        for topic in topics {
            self.pruned(now, peer, &topic);
        }
        // Addresses stay as long as the counters do: a sybil's neighbours are still there.
        let expires = now + self.config.retain;
        if let Some(stats) = self.peers.get_mut(&peer) {
            for topic in stats.topics.values_mut() {
                topic.first = Counter::default();
            }
            stats.expires = Some(expires);
        }
        self.forget_surplus();
    }

    fn forget_surplus(&mut self) {
        let gone = |stats: &PeerStats| stats.expires.is_some();
        let retained = self.peers.values().filter(|stats| gone(stats)).count();
        if retained <= self.config.max_retained {
            return;
        }
        let least = self
            .peers
            .iter()
            .filter(|(_, stats)| gone(stats))
            .map(|(peer, _)| (self.score(peer), *peer))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        if let Some((_, peer)) = least {
            self.drop_ips(peer);
            self.peers.remove(&peer);
        }
    }

    fn stats(&mut self, peer: PeerId, topic: &Topic) -> Option<(&mut TopicStats, &TopicScoreParams)> {
        let params = self
            .config
            .topics
            .get(topic)
            .or(self.config.other_topics.as_ref())?;
        let stats = self.peers.get_mut(&peer)?;
        if !stats.topics.contains_key(topic) {
            stats.topics.insert(topic.clone(), TopicStats::default());
        }
        stats.topics.get_mut(topic).map(|stats| (stats, params))
    }

    pub(crate) fn grafted(&mut self, now: Instant, peer: PeerId, topic: &Topic) {
        if let Some((stats, _)) = self.stats(peer, topic) {
            stats.grafted = Some(now);
            stats.time_in_mesh = Duration::ZERO;
            stats.active = false;
        }
    }

    /// The peer left the mesh, or was taken out: a deficit stays on its account, once.
    pub(crate) fn pruned(&mut self, now: Instant, peer: PeerId, topic: &Topic) {
        if let Some((stats, params)) = self.stats(peer, topic) {
            if stats.grafted.take().is_some() && stats.active {
                let missing = params.mesh_deliveries_threshold - stats.mesh.value;
                if missing > 0.0 {
                    stats.failure.add(missing * missing, SATURATED, now);
                }
            }
            stats.active = false;
            stats.excused = false;
            stats.time_in_mesh = Duration::ZERO;
        }
    }

    /// A member is not expected to deliver, or is again: then it has as much time as a new one.
    pub(crate) fn excuse(&mut self, now: Instant, peer: PeerId, topic: &Topic, excused: bool) {
        if let Some((stats, _)) = self.stats(peer, topic) {
            stats.excused = excused;
            stats.expected = now;
            stats.active = false;
        }
    }

    /// A message begins to be validated.
    pub(crate) fn received(&mut self, now: Instant, peer: PeerId, id: &MessageId, topic: &Topic) {
        self.expire_deliveries(now);
        if self.deliveries.len() >= self.config.max_deliveries {
            if let Some((_, oldest)) = self.delivery_order.pop_front() {
                self.deliveries.remove(&oldest);
            }
        }
        self.delivery_order
            .push_back((now + self.config.delivery_ttl, id.clone()));
        let mut peers = Few::default();
        peers.insert(peer, ());
        self.deliveries.insert(
            id.clone(),
            Delivery {
                topic: topic.clone(),
                status: Status::Unknown,
                peers,
            },
        );
    }

    fn expire_deliveries(&mut self, now: Instant) {
        while self.near.front().is_some_and(|(at, _)| *at < now) {
            let Some((_, id)) = self.near.pop_front() else {
                break;
            };
            let valid = |delivery: &Delivery| matches!(delivery.status, Status::Valid(_));
            if self.deliveries.get(&id).is_some_and(valid) {
                self.deliveries.remove(&id);
            }
        }
        while let Some((at, id)) = self.delivery_order.front() {
            if *at > now && self.deliveries.contains_key(id) {
                break;
            }
            self.deliveries.remove(id);
            self.delivery_order.pop_front();
        }
    }

    /// The message is valid: `first` brought it, the others were near.
    pub(crate) fn accepted(&mut self, now: Instant, first: PeerId, id: &MessageId) {
        let Some(delivery) = self.deliveries.get_mut(id) else {
            return;
        };
        delivery.status = Status::Valid(now);
        let topic = delivery.topic.clone();
        let all = delivery.peers.keys().copied();
        let others: Vec<PeerId> = all.filter(|peer| *peer != first).collect();
        let params = self.config.of(&topic);
        let window = params.map_or(Duration::ZERO, |params| params.mesh_deliveries_window);
        self.near.push_back((now + window, id.clone()));
        if let Some((stats, params)) = self.stats(first, &topic) {
            stats.first.add(1.0, params.first_deliveries_cap, now);
            if stats.grafted.is_some() {
                stats.mesh.add(1.0, params.mesh_deliveries_cap, now);
            }
        }
        for peer in others {
            self.near_first(now, peer, &topic);
        }
    }

    fn near_first(&mut self, now: Instant, peer: PeerId, topic: &Topic) {
        if let Some((stats, params)) = self.stats(peer, topic) {
            if stats.grafted.is_some() {
                stats.mesh.add(1.0, params.mesh_deliveries_cap, now);
            }
        }
    }

    /// The message is invalid: everyone that sent it is to blame.
    pub(crate) fn rejected(&mut self, now: Instant, id: &MessageId) {
        let Some(delivery) = self.deliveries.get_mut(id) else {
            return;
        };
        delivery.status = Status::Invalid;
        let (topic, peers) = (delivery.topic.clone(), delivery.peers.clone());
        for peer in peers.into_keys() {
            self.invalid(now, peer, &topic);
        }
    }

    /// Nobody is to blame or to be praised for it, now or later.
    pub(crate) fn ignored(&mut self, id: &MessageId) {
        self.deliveries.remove(id);
    }

    /// One more invalid message of a peer.
    pub(crate) fn invalid(&mut self, now: Instant, peer: PeerId, topic: &Topic) {
        if let Some((stats, _)) = self.stats(peer, topic) {
            stats.invalid.add(1.0, SATURATED, now);
        }
    }

    /// A peer was useful in a topic, as the application sees it.
    pub(crate) fn useful(&mut self, now: Instant, peer: PeerId, topic: &Topic) {
        if let Some((stats, params)) = self.stats(peer, topic) {
            stats.first.add(1.0, params.first_deliveries_cap, now);
        }
    }

    /// A message came again.
    pub(crate) fn duplicate(&mut self, now: Instant, peer: PeerId, id: &MessageId) {
        self.expire_deliveries(now);
        let Some(delivery) = self.deliveries.get_mut(id) else {
            return;
        };
        if delivery.peers.insert(peer, ()).is_some() {
            return;
        }
        let (topic, status) = (delivery.topic.clone(), delivery.status);
        match status {
            Status::Valid(since) => {
                let window = self.config.of(&topic).map(|params| params.mesh_deliveries_window);
                if window.is_some_and(|window| now.since(since) <= window) {
                    self.near_first(now, peer, &topic);
                }
            }
            Status::Invalid => self.invalid(now, peer, &topic),
            Status::Unknown => {}
        }
    }

    /// Misbehaviour of a known peer.
    pub(crate) fn penalize(&mut self, now: Instant, peer: PeerId, amount: u32) {
        if let Some(stats) = self.peers.get_mut(&peer) {
            stats.behaviour.add(f64::from(amount), SATURATED, now);
        }
    }

    /// Messages that a known peer did not take in time.
    pub(crate) fn slow(&mut self, now: Instant, peer: PeerId, drops: u32) {
        if let Some(stats) = self.peers.get_mut(&peer) {
            stats.slow.add(f64::from(drops), SATURATED, now);
        }
    }

    /// What the application thinks of a known peer.
    pub(crate) fn set_app(&mut self, now: Instant, peer: PeerId, value: f64) {
        if let (Some(stats), true) = (self.peers.get_mut(&peer), value.is_finite()) {
            stats.app = Counter {
                value: value.clamp(-SATURATED, SATURATED),
                since: now,
            };
        }
    }

    /// Parameters of a topic change; counters above the new caps are cut.
    pub(crate) fn set_topic(&mut self, topic: Topic, params: TopicScoreParams) {
        for stats in self.peers.values_mut() {
            if let Some(stats) = stats.topics.get_mut(&topic) {
                stats.first.value = stats.first.value.min(params.first_deliveries_cap);
                stats.mesh.value = stats.mesh.value.min(params.mesh_deliveries_cap);
            }
        }
        self.config.topics.insert(topic, params);
    }

    /// One decay interval has passed. Peers that are gone don't decay; they are forgotten when their time is over.
    pub(crate) fn decay(&mut self, now: Instant) {
        let gone: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, stats)| stats.expires.is_some_and(|at| at <= now))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in gone {
            self.drop_ips(peer);
            self.peers.remove(&peer);
        }
        let config = &self.config;
        for stats in self.peers.values_mut().filter(|stats| stats.expires.is_none()) {
            for (topic, stats) in stats.topics.iter_mut() {
                if let Some(params) = config.of(topic) {
                    stats.decay(now, params, config.decay_to_zero);
                }
            }
            stats.topics.retain(|stats| !stats.is_blank());
            stats
                .behaviour
                .decay(config.behaviour_decay, config.decay_to_zero);
            stats.slow.decay(config.slow_decay, config.decay_to_zero);
        }
        self.expire_deliveries(now);
    }

    /// 0 for a peer that is not known.
    pub(crate) fn score(&self, peer: &PeerId) -> f64 {
        let Some(stats) = self.peers.get(peer) else {
            return 0.0;
        };
        let topics = self.topics_total(stats);
        let behaviour = self.behaviour(stats);
        let ip = if self.config.ip_weight == 0.0 {
            0.0
        } else {
            self.ip_surplus(stats) * self.config.ip_weight
        };
        topics
            + stats.app.value * self.config.app_weight
            + ip
            + behaviour * self.config.behaviour_weight
            + self.slow_surplus(stats) * self.config.slow_weight
    }

    fn topics_total(&self, stats: &PeerStats) -> f64 {
        let mut sum = 0.0;
        for (topic, stats) in stats.topics.iter() {
            if let Some(params) = self.config.of(topic) {
                sum += stats.score(params) * params.topic_weight;
            }
        }
        if self.config.topic_cap > 0.0 {
            sum.min(self.config.topic_cap)
        } else {
            sum
        }
    }

    fn behaviour(&self, stats: &PeerStats) -> f64 {
        let surplus = stats.behaviour.value - self.config.behaviour_threshold;
        if surplus > 0.0 { surplus * surplus } else { 0.0 }
    }

    fn slow_surplus(&self, stats: &PeerStats) -> f64 {
        (stats.slow.value - self.config.slow_threshold).max(0.0)
    }

    fn ip_surplus(&self, stats: &PeerStats) -> f64 {
        let mut sum = 0.0;
        for ip in stats.ips.keys() {
            if self.config.ip_allowed.iter().any(|net| is_in(*ip, *net)) {
                continue;
            }
            let peers = self.ips.get(ip).copied().unwrap_or(0);
            let surplus = f64::from(peers.saturating_sub(self.config.ip_threshold));
            sum += surplus * surplus;
        }
        sum
    }

    /// Whether a peer's part in one topic alone is below that topic's floor.
    pub(crate) fn is_below_floor(&self, peer: &PeerId, topic: &Topic) -> bool {
        let stats = self.peers.get(peer).and_then(|stats| stats.topics.get(topic));
        match (stats, self.config.of(topic)) {
            (Some(stats), Some(params)) => params.floor.is_some_and(|floor| stats.score(params) < floor),
            _ => false,
        }
    }

    pub(crate) fn explain(&self, peer: &PeerId) -> Option<ScoreExplanation> {
        let stats = self.peers.get(peer)?;
        let mut topics = BTreeMap::new();
        for (topic, stats) in stats.topics.iter() {
            if let Some(params) = self.config.of(topic) {
                topics.insert(topic.clone(), stats.explain(params));
            }
        }
        let term = |counter: &Counter, adds: f64| Term {
            counted: counter.value,
            adds,
            since: counter.since,
        };
        let surplus = self.ip_surplus(stats);
        Some(ScoreExplanation {
            total: self.score(peer),
            topics,
            topics_total: self.topics_total(stats),
            app: term(&stats.app, stats.app.value * self.config.app_weight),
            ip: Term {
                counted: surplus,
                adds: surplus * self.config.ip_weight,
                since: Instant::ZERO,
            },
            behaviour: term(
                &stats.behaviour,
                self.behaviour(stats) * self.config.behaviour_weight,
            ),
            slow: term(&stats.slow, self.slow_surplus(stats) * self.config.slow_weight),
        })
    }
}

impl TopicStats {
    fn decay(&mut self, now: Instant, params: &TopicScoreParams, to_zero: f64) {
        self.first.decay(params.first_deliveries_decay, to_zero);
        self.mesh.decay(params.mesh_deliveries_decay, to_zero);
        self.failure.decay(params.mesh_failure_decay, to_zero);
        self.invalid.decay(params.invalid_decay, to_zero);
        if let Some(grafted) = self.grafted {
            self.time_in_mesh = now.since(grafted);
            let expected = now.since(grafted.max(self.expected));
            if !self.excused && expected > params.mesh_deliveries_activation {
                self.active = true;
            }
        }
    }

    /// Whether nothing is counted, so that there is nothing to keep.
    fn is_blank(&self) -> bool {
        let counters = [self.first, self.mesh, self.failure, self.invalid];
        self.grafted.is_none() && counters.iter().all(|counter| counter.value == 0.0)
    }

    fn time_in_mesh(&self, params: &TopicScoreParams) -> f64 {
        if self.grafted.is_none() {
            return 0.0;
        }
        let quantum = params.time_in_mesh_quantum.as_nanos();
        let quanta = self.time_in_mesh.as_nanos().checked_div(quantum).unwrap_or(0);
        let quanta = u32::try_from(quanta).unwrap_or(u32::MAX);
        f64::from(quanta).min(params.time_in_mesh_cap)
    }

    fn missing(&self, params: &TopicScoreParams) -> f64 {
        let missing = params.mesh_deliveries_threshold - self.mesh.value;
        if self.active && missing > 0.0 {
            missing * missing
        } else {
            0.0
        }
    }

    fn score(&self, params: &TopicScoreParams) -> f64 {
        self.time_in_mesh(params) * params.time_in_mesh_weight
            + self.first.value * params.first_deliveries_weight
            + self.missing(params) * params.mesh_deliveries_weight
            + self.failure.value * params.mesh_failure_weight
            + self.invalid.value * self.invalid.value * params.invalid_weight
    }

    fn explain(&self, params: &TopicScoreParams) -> TopicExplanation {
        let term = |counter: &Counter, adds: f64| Term {
            counted: counter.value,
            adds,
            since: counter.since,
        };
        let time = self.time_in_mesh(params);
        TopicExplanation {
            in_mesh: self.grafted.is_some(),
            time_in_mesh: Term {
                counted: time,
                adds: time * params.time_in_mesh_weight,
                since: self.grafted.unwrap_or_default(),
            },
            first_deliveries: term(&self.first, self.first.value * params.first_deliveries_weight),
            mesh_deliveries: term(&self.mesh, self.missing(params) * params.mesh_deliveries_weight),
            mesh_failure: term(&self.failure, self.failure.value * params.mesh_failure_weight),
            invalid: term(
                &self.invalid,
                self.invalid.value * self.invalid.value * params.invalid_weight,
            ),
            total: self.score(params) * params.topic_weight,
        }
    }
}

/// Whether an address is in a network.
fn is_in(ip: IpAddr, (network, bits): (IpAddr, u8)) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let shift = 32_u32.saturating_sub(u32::from(bits));
            let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
            u32::from(ip) & mask == u32::from(network) & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let shift = 128_u32.saturating_sub(u32::from(bits));
            let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
            u128::from(ip) & mask == u128::from(network) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
