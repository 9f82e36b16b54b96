//! The experiments: who is there, who attacks whom and when, and what came out.

use super::{
    player::{Front, Honest, Player, Publisher, Tally},
    sybil::{Drops, Sybil},
};
use crate::{
    app::Birth,
    error::Error,
    net::Link,
    scenario::Scenario,
    sim::{Sim, address, instant},
    stats::Histogram,
};
use core::time::Duration;
use libp2p_proto_core::{Instant, PeerId, Rng};
use libp2p_proto_gossipsub::{
    Config, Gossipsub, Level, Limits, MeshParams, MessageId, MessageIdFn, ScoreConfig, SignaturePolicy,
    Thresholds, Topic, TopicScoreParams,
};
use libp2p_proto_swarm as swarm;
use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

const SECOND: Duration = Duration::from_secs(1);
/// Time before anything is published.
const WARM_UP: Duration = Duration::from_secs(30);
/// Time after the last publication.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// Share of its delay by which a host's connecting is spread.
const SPREAD: f64 = 0.1;
/// Hosts of one machine in the run with shared addresses.
const PER_MACHINE: usize = 160;

/// How the sybils attack. The names are those of the published configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// Not at all.
    Baseline,
    /// All around one publisher.
    EclipseSingle,
    /// All around everyone, four to one.
    EclipseNet,
    /// All around the publishers.
    EclipsePublishers,
    /// They pass on everything but the messages of one publisher.
    CensorSingle,
    /// They pass on half of the messages.
    Degrade,
    /// Honest nodes and sybils begin at the same time.
    ColdBoot,
    /// The same, but sybils behave well for two minutes.
    CovertFlash,
    /// Sybils are there ten seconds before the honest nodes.
    Dawn,
    /// As the cold boot, with 160 sybils for each address.
    Colocation,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Baseline,
        Self::EclipseSingle,
        Self::EclipseNet,
        Self::EclipsePublishers,
        Self::CensorSingle,
        Self::Degrade,
        Self::ColdBoot,
        Self::CovertFlash,
        Self::Dawn,
        Self::Colocation,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::EclipseSingle => "eclipse-single",
            Self::EclipseNet => "eclipse-net",
            Self::EclipsePublishers => "eclipse-publishers",
            Self::CensorSingle => "censor-single",
            Self::Degrade => "degrade-0.5",
            Self::ColdBoot => "cold-boot",
            Self::CovertFlash => "covert-flash",
            Self::Dawn => "dawn",
            Self::Colocation => "colocation",
        }
    }

    /// Sybils for each thousand honest nodes.
    const fn sybils(self) -> usize {
        match self {
            Self::Baseline => 0,
            Self::EclipseSingle | Self::EclipsePublishers => 1000,
            Self::CensorSingle | Self::Degrade => 2000,
            _ => 4000,
        }
    }

    /// Honest nodes that each sybil dials.
    const fn degree(self) -> usize {
        match self {
            Self::EclipseSingle => 1,
            Self::ColdBoot | Self::CovertFlash | Self::Dawn | Self::Colocation => 20,
            _ => 100,
        }
    }

    /// When sybils begin to connect.
    const fn sybils_at(self) -> Duration {
        match self {
            Self::ColdBoot | Self::CovertFlash | Self::Dawn | Self::Colocation => Duration::ZERO,
            _ => Duration::from_secs(60),
        }
    }

    /// When honest nodes begin to connect.
    const fn honest_at(self) -> Duration {
        match self {
            Self::Dawn => Duration::from_secs(10),
            _ => Duration::ZERO,
        }
    }

    /// When sybils begin to drop.
    const fn attacks_at(self) -> Duration {
        match self {
            Self::CovertFlash => Duration::from_secs(120),
            other => other.sybils_at(),
        }
    }

    /// From when on the meshes should have recovered.
    const fn settled_at(self) -> Duration {
        match self {
            Self::CovertFlash => Duration::from_secs(220),
            Self::Degrade => Duration::from_secs(150),
            _ => Duration::from_secs(180),
        }
    }

    /// How long is published.
    const fn publishing(self) -> Duration {
        match self {
            Self::CovertFlash => Duration::from_secs(300),
            _ => Duration::from_secs(180),
        }
    }

    /// What is dropped.
    const fn drops(self) -> Drops {
        match self {
            Self::CensorSingle => Drops::Author(0),
            Self::Degrade => Drops::Share(0.5),
            _ => Drops::All,
        }
    }
}

/// What honest nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Router {
    /// Version 1.0: no scores, every GRAFT is taken.
    V10,
    /// Version 1.1 with the parameters of the paper.
    V11,
    /// Version 1.2 with our defaults, and the paper's scores.
    Ours,
}

impl Router {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V10, Self::V11, Self::Ours];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V10 => "v1.0",
            Self::V11 => "v1.1 scored",
            Self::Ours => "ours",
        }
    }

    /// Whether it keeps scores.
    pub const fn is_scored(self) -> bool {
        !matches!(self, Self::V10)
    }

    /// Its parameters against an attack.
    fn config(self, attack: Attack) -> Config {
        let number = |message: &libp2p_proto_gossipsub::Message| {
            let head = message.data.as_deref()?.get(..8)?;
            Some(MessageId::from(head.to_vec()))
        };
        let base = Config {
            // Who signs what plays no part in the attacks; verifying would only cost time.
            policy: SignaturePolicy::StrictNoSign,
            id: MessageIdFn::Custom(Arc::new(number)),
            limits: Limits {
                max_frame: 64 * 1024,
                ..Limits::default()
            },
            ..Config::default()
        };
        let mesh = MeshParams {
            d: 8,
            d_lo: 6,
            d_hi: 12,
            d_score: 6,
            d_out: 2,
        };
        match self {
            Self::V10 => Config {
                mesh: MeshParams {
                    d_score: 0,
                    d_out: 0,
                    ..mesh
                },
                d_lazy: 8,
                gossip_factor: 0.0,
                flood_publish: false,
                take_all_grafts: true,
                prune_backoff: SECOND,
                unsubscribe_backoff: SECOND,
                ..base.up_to(Level::V10)
            },
            Self::V11 => Config {
                mesh,
                d_lazy: 12,
                score: Some(paper_score(attack)),
                thresholds: PAPER,
                ..base.up_to(Level::V11)
            },
            Self::Ours => Config {
                score: Some(paper_score(attack)),
                thresholds: PAPER,
                ..base.up_to(Level::V12)
            },
        }
    }
}

/// Thresholds of the published plan.
const PAPER: Thresholds = Thresholds {
    gossip: -4000.0,
    publish: -5000.0,
    graylist: -10_000.0,
    accept_px: 0.0,
    opportunistic_graft: 0.0,
};

/// Scores of the published plan (`libp2p/gossipsub-hardening`, `scripts/configs`).
fn paper_score(attack: Attack) -> ScoreConfig {
    let topic = TopicScoreParams {
        topic_weight: 0.25,
        time_in_mesh_weight: 0.0027,
        time_in_mesh_quantum: SECOND,
        time_in_mesh_cap: 3600.0,
        first_deliveries_weight: 0.664,
        first_deliveries_decay: 0.9916,
        first_deliveries_cap: 1500.0,
        mesh_deliveries_weight: -0.25,
        mesh_deliveries_decay: 0.997,
        mesh_deliveries_cap: 400.0,
        mesh_deliveries_threshold: 10.0,
        mesh_deliveries_window: Duration::from_millis(5),
        mesh_deliveries_activation: Duration::from_secs(90),
        mesh_failure_weight: -0.25,
        mesh_failure_decay: 0.997,
        invalid_weight: -99.0,
        invalid_decay: 0.9994,
        floor: None,
    };
    let collocated = attack == Attack::Colocation;
    ScoreConfig {
        topics: [(Topic::from("blocks"), topic)].into(),
        topic_cap: 0.0,
        app_weight: 0.0,
        ip_weight: if collocated { -10.0 } else { 0.0 },
        ip_threshold: 1,
        behaviour_weight: 0.0,
        slow_weight: 0.0,
        decay_interval: SECOND,
        decay_to_zero: 0.01,
        retain: Duration::from_secs(30),
        ..ScoreConfig::default()
    }
}

/// How large, and how much is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Honest nodes; one in ten publishes. The paper's: 1 000.
    pub honest: usize,
    /// Honest nodes that each of them dials. The paper's: 20.
    pub dials: usize,
    /// Per cent of the paper's number of honest nodes that a sybil dials. 100.
    pub degree_percent: usize,
    /// Messages per second of all publishers together. The paper's: 120.
    pub rate: f64,
    /// Bytes of a message. The paper's: nominally 2 KiB.
    pub size: usize,
}

impl Scale {
    /// The paper's, with so many messages per second.
    pub const fn paper(rate: f64) -> Self {
        Self {
            honest: 1000,
            dials: 20,
            degree_percent: 100,
            rate,
            size: 2048,
        }
    }

    /// A tenth of it.
    pub const fn small(rate: f64) -> Self {
        Self {
            honest: 100,
            dials: 10,
            degree_percent: 40,
            rate,
            size: 2048,
        }
    }
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experiment {
    /// How it is attacked.
    pub attack: Attack,
    /// What is attacked.
    pub router: Router,
    /// How large it is.
    pub scale: Scale,
    /// What is left to chance.
    pub seed: u64,
}

/// What came out of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The run.
    pub experiment: Experiment,
    /// Messages published.
    pub published: u64,
    /// Deliveries that there should have been: each message at each other honest node.
    pub expected: u64,
    /// The same for messages that were published when the attack had been going on for a while (100 s of the covert flash, 120 s of most others).
    pub expected_settled: u64,
    /// The same for those of the first publisher, the target of some attacks.
    pub expected_target: u64,
    /// Delays of all deliveries.
    pub all: Histogram,
    /// Of the settled ones.
    pub settled: Histogram,
    /// Of the target's.
    pub target: Histogram,
    /// Deliveries within 3 s and within 6 s.
    pub in_time: (u64, u64),
    /// Copies that came again.
    pub duplicates: u64,
    /// The smallest share, in per cent, of honest nodes among the members of honest meshes.
    pub least_honest: u64,
    /// Seconds from the begin of the attack until that share was above half for good. `None`: it was not.
    pub recovered: Option<u64>,
    /// Whether the attack was seen in the meshes at all: the share was below half.
    pub taken_over: bool,
    /// Events of the simulation.
    pub events: u64,
    /// The hash over everything that happened.
    pub hash: crate::trace::TraceHash,
}

impl Outcome {
    /// Per cent of the deliveries that never came.
    pub fn lost(&self) -> f64 {
        lost(self.expected, self.all.count())
    }

    /// The same for the target's.
    pub fn lost_target(&self) -> f64 {
        lost(self.expected_target, self.target.count())
    }

    /// The same for settled ones.
    pub fn lost_settled(&self) -> f64 {
        lost(self.expected_settled, self.settled.count())
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn lost(expected: u64, got: u64) -> f64 {
    expected.saturating_sub(got) as f64 * 100.0 / expected.max(1) as f64
}

/// A link that is to be made.
type Call = (Instant, usize, usize);

impl Experiment {
    fn sybils(&self) -> usize {
        self.attack.sybils().saturating_mul(self.scale.honest) / 1000
    }

    fn publishers(&self) -> usize {
        (self.scale.honest / 10).max(1)
    }

    fn scenario(&self) -> Scenario {
        let hosts = self.scale.honest.saturating_add(self.sybils());
        let many = 1 << 20;
        let link = Link {
            latency: (Duration::from_millis(25), Duration::from_millis(25)),
            jitter: Duration::from_micros(2500),
            ..Link::default()
        };
        Scenario {
            link,
            strict: false,
            swarm: swarm::Config {
                idle_timeout: None,
                max_connections: many,
                max_inbound: many,
                max_outbound: many,
                max_pending_inbound: many,
                max_pending_outbound: many,
                max_dials: many,
                max_per_ip: many,
                max_pending_per_ip: many,
                accepts_per_second: 1_000_000,
                max_rated_ips: 64,
                ..swarm::Config::default()
            },
            ..Scenario::new(hosts).at_swarm_level()
        }
    }

    /// Runs it. `progress` hears of each second.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::App`] also for a violation of what the simulator checks.
    pub fn run(&self, mut progress: impl FnMut(Duration)) -> Result<Outcome, Error> {
        let experiment = *self;
        let mut sim = Sim::new(self.scenario(), self.seed, move |birth| experiment.player(birth))?;
        let mut calls = self.calls();
        calls.sort_unstable();
        let mut calls = calls.into_iter().peekable();
        let end = instant(self.lasts());
        let honest: BTreeSet<PeerId> = (0..self.scale.honest)
            .filter_map(|place| sim.peer(place))
            .collect();
        let mut shares = Vec::new();
        let mut second = Instant::ZERO;
        while sim.now() < end {
            second = second + SECOND;
            while let Some((at, from, to)) = calls.next_if(|(at, ..)| *at < second) {
                sim.run_until(at, |_| false).map_err(broken)?;
                sim.dial(from, to);
            }
            sim.run_until(second, |_| false).map_err(broken)?;
            shares.push(self.honest_share(&sim, &honest));
            progress(second.since(Instant::ZERO));
        }
        Ok(self.outcome(&sim, &shares))
    }

    /// Virtual time that it takes.
    pub const fn lasts(&self) -> Duration {
        WARM_UP
            .saturating_add(self.attack.publishing())
            .saturating_add(COOL_DOWN)
    }

    fn player(&self, birth: Birth<'_>) -> Result<Player, Error> {
        if birth.place >= self.scale.honest {
            let from = instant(self.attack.attacks_at());
            let sybil = Sybil::new(self.attack.drops(), from, birth.dice, 64 * 1024);
            return Ok(Player::Sybil(Box::new(sybil)));
        }
        let refused = |error: libp2p_proto_gossipsub::Error| Error::App(error.to_string());
        let mut config = self.router.config(self.attack);
        let mut dice = birth.dice;
        // Nodes that begin at the same moment must not beat at the same moment.
        config.first_heartbeat = Duration::from_millis(100_u64.saturating_add(dice.below(1000)));
        let mut router = Gossipsub::new(birth.identity.clone(), config).map_err(refused)?;
        let topic = Topic::from("blocks");
        router.subscribe(topic.clone()).map_err(refused)?;
        let publisher = (birth.place < self.publishers()).then(|| self.publisher(birth.place, &mut dice));
        let collocated = self.attack == Attack::Colocation;
        Ok(Player::Honest(Box::new(Honest {
            front: Front {
                router,
                shared: collocated.then(|| Arc::new(self.machines())),
            },
            topic,
            publisher,
            tally: Tally::default(),
            target: 0,
            settled: instant(self.attack.settled_at()),
        })))
    }

    fn publisher(&self, place: usize, dice: &mut Rng) -> Publisher {
        let count = u32::try_from(self.publishers()).unwrap_or(u32::MAX);
        let every = Duration::from_secs_f64(f64::from(count) / self.scale.rate.max(0.001));
        let offset = dice.below(u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).max(1));
        let begin = instant(WARM_UP);
        Publisher {
            number: u32::try_from(place).unwrap_or(u32::MAX),
            next: begin + Duration::from_nanos(offset),
            every,
            until: begin + self.attack.publishing(),
            size: self.scale.size,
            sent: 0,
            sent_settled: 0,
        }
    }

    /// Which machine each sybil is on.
    fn machines(&self) -> std::collections::BTreeMap<std::net::IpAddr, Ipv4Addr> {
        let first = self.scale.honest;
        let machine = |number: usize| {
            let machine = u32::try_from(number / PER_MACHINE).unwrap_or(u32::MAX);
            Ipv4Addr::from(0x5b00_0000_u32.saturating_add(machine.saturating_mul(256)))
        };
        (0..self.sybils())
            .filter_map(|number| {
                let place = u32::try_from(first.saturating_add(number)).ok()?;
                Some((address(45, place).into(), machine(number)))
            })
            .collect()
    }

    /// Who dials whom, and when.
    fn calls(&self) -> Vec<Call> {
        let mut seed = [7; 32];
        seed.iter_mut()
            .zip(self.seed.to_le_bytes())
            .for_each(|(byte, part)| *byte = part);
        let mut dice = Rng::from_seed(seed);
        let honest = self.scale.honest;
        let mut calls = Vec::new();
        for from in 0..honest {
            for to in draw(
                &mut dice,
                honest,
                self.scale.dials.min(honest.saturating_sub(1)),
                Some(from),
            ) {
                calls.push((Self::moment(self.attack.honest_at(), &mut dice), from, to));
            }
        }
        let (among, degree) = match self.attack {
            Attack::EclipseSingle => (1, 1),
            Attack::EclipsePublishers => (self.publishers(), self.attack.degree()),
            _ => (honest, self.attack.degree()),
        };
        let degree = degree
            .saturating_mul(self.scale.degree_percent)
            .div_ceil(100)
            .min(among);
        for number in 0..self.sybils() {
            for to in draw(&mut dice, among, degree, None) {
                let at = Self::moment(self.attack.sybils_at(), &mut dice);
                calls.push((at, honest.saturating_add(number), to));
            }
        }
        calls
    }

    fn moment(at: Duration, dice: &mut Rng) -> Instant {
        let spread = at.mul_f64(SPREAD).max(Duration::from_millis(500));
        let drawn = dice.below(u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX));
        instant(at) + Duration::from_nanos(drawn)
    }

    /// Per cent of the members of honest meshes that are honest.
    fn honest_share(&self, sim: &Sim<Player>, honest: &BTreeSet<PeerId>) -> u64 {
        let topic = Topic::from("blocks");
        let (mut all, mut good) = (0_u64, 0_u64);
        let players = (0..self.scale.honest).filter_map(|place| sim.app(place)?.honest());
        for player in players {
            for member in player.front.router.mesh_of(&topic) {
                all = all.saturating_add(1);
                good = good.saturating_add(u64::from(honest.contains(member)));
            }
        }
        good.saturating_mul(100).checked_div(all).unwrap_or(100)
    }

    fn outcome(&self, sim: &Sim<Player>, shares: &[u64]) -> Outcome {
        let mut tally = Tally::default();
        let (mut published, mut settled, mut of_target, mut duplicates) = (0_u64, 0_u64, 0_u64, 0_u64);
        for place in 0..self.scale.honest {
            let Some(player) = sim.app(place).and_then(Player::honest) else {
                continue;
            };
            tally.merge(&player.tally);
            duplicates = duplicates.saturating_add(player.front.router.stats().duplicates);
            if let Some(publisher) = player.publisher {
                published = published.saturating_add(publisher.sent.into());
                settled = settled.saturating_add(publisher.sent_settled.into());
                if publisher.number == 0 {
                    of_target = publisher.sent.into();
                }
            }
        }
        let others = self.scale.honest.saturating_sub(1) as u64;
        let begin = usize::try_from(self.attack.sybils_at().as_secs()).unwrap_or(0);
        let later = shares.get(begin.saturating_add(5)..).unwrap_or_default();
        let last_bad = later.iter().rposition(|share| *share < 50);
        let recovered = match last_bad {
            None => Some(0),
            Some(place) if place.saturating_add(1) < later.len() => Some(place.saturating_add(6) as u64),
            Some(_) => None,
        };
        Outcome {
            experiment: *self,
            published,
            expected: published.saturating_mul(others),
            expected_settled: settled.saturating_mul(others),
            expected_target: of_target.saturating_mul(others),
            all: tally.all,
            settled: tally.settled,
            target: tally.target,
            in_time: tally.in_time,
            duplicates,
            least_honest: later.iter().copied().min().unwrap_or(100),
            recovered,
            taken_over: last_bad.is_some(),
            events: sim.stats().events,
            hash: sim.trace_hash(),
        }
    }
}

fn broken(violation: crate::check::Violation) -> Error {
    Error::App(violation.to_string())
}

/// So many different numbers below `among`, but not `not`.
fn draw(dice: &mut Rng, among: usize, count: usize, not: Option<usize>) -> BTreeSet<usize> {
    let mut drawn = BTreeSet::new();
    let most = among.saturating_sub(usize::from(not.is_some_and(|not| not < among)));
    while drawn.len() < count.min(most) {
        let number = usize::try_from(dice.below(among.max(1) as u64)).unwrap_or(0);
        if Some(number) != not {
            drawn.insert(number);
        }
    }
    drawn
}
