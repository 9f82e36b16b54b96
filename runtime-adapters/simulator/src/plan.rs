//! A scenario with what its nodes do, how long it runs, and what it is to reach: what a scenario file says.

mod file;

use crate::{
    check::Violation,
    error::Error,
    fault::Fault,
    net::{LISTEN, socket_addr},
    node::{Node, NodeConfig},
    scenario::Scenario,
    shrink::shrink,
    sim::{Sim, instant},
    stats::{Histogram, Sample, Stats},
    trace::{Line, TraceHash},
};
use core::time::Duration;
use libp2p_proto_core::{Instant, Rng};

/// How long hosts may take to close everything at the end.
const WIND_DOWN: Duration = Duration::from_secs(30);

/// A whole run: network, nodes, duration, goal.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is called.
    pub name: String,
    /// The network and its faults.
    pub scenario: Scenario,
    /// What the nodes run.
    pub node: NodeConfig,
    /// How long it runs. Default 60 s.
    pub run: Duration,
    /// So many others each host dials, and dials again when they are lost. Default 1.
    pub friends: usize,
    /// They are first dialed within this time. Default 1 s.
    pub dial_within: Duration,
    /// What is to be reached.
    pub goal: Goal,
}

/// What is to be reached at the end of a run (G7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goal {
    /// Per mille of the friendships that are connected. Default 0.
    pub connected: u32,
    /// Round trips that every host measured, in all of its lives. Default 0.
    pub pongs: u64,
    /// How long after the end of the run it may take. Default 0.
    pub within: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            name: String::from("scenario"),
            scenario: Scenario {
                sample: Some(Duration::from_secs(1)),
                ..Scenario::default()
            },
            node: NodeConfig::default(),
            run: Duration::from_secs(60),
            friends: 1,
            dial_within: Duration::from_secs(1),
            goal: Goal::default(),
        }
    }
}

/// What came out of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The first thing that was wrong.
    pub violation: Option<Violation>,
    /// The hash over everything that happened.
    pub hash: TraceHash,
    /// How much time passed in the simulation.
    pub time: Duration,
    /// Counters.
    pub stats: Stats,
    /// Round trips of ping.
    pub latencies: Histogram,
    /// Figures over time.
    pub samples: Vec<Sample>,
    /// Friendships, and how many of them were connected at the end of the run.
    pub friends: (usize, usize),
    /// The faults, those that were drawn included.
    pub faults: Vec<Fault>,
}

impl Plan {
    /// Reads a scenario file.
    ///
    /// # Errors
    ///
    /// [`Error::File`] says the line, and the range that is right.
    pub fn parse(text: &str) -> Result<Self, Error> {
        file::parse(text)
    }

    /// The world at its first moment: nodes know their friends.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn sim(&self, seed: u64) -> Result<Sim<Node>, Error> {
        let config = self.node.clone();
        let tells = self.scenario.lines;
        let mut sim = Sim::new(self.scenario.clone(), seed, move |birth| {
            let node = Node::new(&config, &birth)?;
            Ok(if tells { node.telling() } else { node })
        })?;
        self.introduce(&mut sim, None);
        Ok(sim)
    }

    /// Tells hosts, or one that started again, whom to dial.
    fn introduce(&self, sim: &mut Sim<Node>, only: Option<usize>) {
        let hosts = self.scenario.hosts;
        for place in 0..hosts {
            if only.is_some_and(|only| only != place) {
                continue;
            }
            let mut dice = sim.dice.fork("friends", place as u64);
            for other in self.friends_of(place, &mut dice) {
                let after = dice.below(u64::try_from(self.dial_within.as_nanos()).unwrap_or(u64::MAX));
                let after = Duration::from_nanos(after);
                let Some((peer, ip)) = sim
                    .peer(other)
                    .zip(sim.fabric.net.ports.get(other).map(|port| port.ip))
                else {
                    continue;
                };
                let addr = socket_addr((ip, LISTEN));
                sim.command(place, |node, _, now| node.befriend(now + after, peer, addr));
            }
        }
    }

    /// The next one, so that the network hangs together, and others by chance.
    fn friends_of(&self, place: usize, dice: &mut Rng) -> Vec<usize> {
        let hosts = self.scenario.hosts;
        let mut friends = Vec::new();
        let wanted = self.friends.min(hosts.saturating_sub(1));
        let next = place.saturating_add(1).checked_rem(hosts).unwrap_or(0);
        friends.extend((wanted > 0).then_some(next));
        // Draws are bounded: a few hosts may get one friend less.
        for _ in 0..wanted.saturating_mul(8) {
            if friends.len() >= wanted {
                break;
            }
            let other = usize::try_from(dice.below(hosts as u64)).unwrap_or(0);
            if other != place && !friends.contains(&other) {
                friends.push(other);
            }
        }
        friends
    }

    /// Runs to the end, or to the first violation. `progress` hears of each second of the simulation, and takes lines from the world if it likes.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn run(&self, seed: u64, mut progress: impl FnMut(&mut Sim<Node>)) -> Result<Report, Error> {
        let mut sim = self.sim(seed)?;
        let mut friends = (0, 0);
        let violation = self.play(&mut sim, &mut progress, &mut friends).err();
        progress(&mut sim);
        Ok(Report {
            seed,
            violation,
            hash: sim.trace_hash(),
            time: sim.now().since(Instant::ZERO),
            stats: sim.stats(),
            latencies: sim.latencies(),
            samples: sim.samples().to_vec(),
            friends,
            faults: sim.faults().to_vec(),
        })
    }

    fn play(
        &self,
        sim: &mut Sim<Node>,
        progress: &mut impl FnMut(&mut Sim<Node>),
        friends: &mut (usize, usize),
    ) -> Result<(), Violation> {
        const SECOND: Duration = Duration::from_secs(1);
        let end = instant(self.run);
        let mut boots: Vec<u32> = (0..self.scenario.hosts).map(|place| sim.boots(place)).collect();
        while sim.now() < end {
            let next = (sim.now() + SECOND).min(end);
            sim.run_until(next, |_| false)?;
            for (place, known) in boots.iter_mut().enumerate() {
                let boot = sim.boots(place);
                if boot != *known {
                    *known = boot;
                    self.introduce(sim, Some(place));
                }
            }
            progress(sim);
        }
        let mut missing = self.missing(sim, friends);
        let last = end + self.goal.within;
        while missing.is_some() && sim.now() < last {
            let next = (sim.now() + SECOND).min(last);
            sim.run_until(next, |_| false)?;
            missing = self.missing(sim, friends);
        }
        if let Some(missing) = missing {
            sim.fabric.accuse("G7", 0, missing);
        }
        sim.wind_down(WIND_DOWN)
    }

    /// What is missing to the goal.
    fn missing(&self, sim: &Sim<Node>, friends: &mut (usize, usize)) -> Option<String> {
        *friends = (0, 0);
        let mut least = None;
        for place in 0..self.scenario.hosts {
            let Some(node) = sim.app(place) else { continue };
            let (all, connected) = node.friends();
            friends.0 = friends.0.saturating_add(all);
            friends.1 = friends.1.saturating_add(connected);
            let pongs = (node.pongs, place);
            least = Some(least.map_or(pongs, |least: (u64, usize)| least.min(pongs)));
        }
        let wanted = friends
            .0
            .saturating_mul(self.goal.connected as usize)
            .div_ceil(1000);
        if friends.1 < wanted {
            return Some(format!(
                "{} of {} friendships are connected, {wanted} wanted",
                friends.1, friends.0
            ));
        }
        let (pongs, place) = least.unwrap_or_default();
        (pongs < self.goal.pongs).then(|| {
            format!(
                "host {place} measured {pongs} round trips, {} wanted",
                self.goal.pongs
            )
        })
    }

    /// The fewest faults with which a failing seed still fails by the same criterion, found in `most` runs at most. `None`: it does not fail.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn minimise(&self, seed: u64, most: usize) -> Result<Option<(Vec<Fault>, Violation)>, Error> {
        let first = self.run(seed, |_| {})?;
        let Some(violation) = first.violation else {
            return Ok(None);
        };
        let fails = |faults: &[Fault]| {
            let mut plan = self.clone();
            plan.scenario.faults = faults.to_vec();
            plan.scenario.chances = None;
            let again = plan.run(seed, |_| {}).ok().and_then(|report| report.violation);
            again.is_some_and(|again| again.criterion == violation.criterion)
        };
        Ok(Some((shrink(&first.faults, most, fails), violation)))
    }
}

/// The lines of a report as they are printed for programs.
impl Line {
    /// Milliseconds of the simulation, to the nanosecond.
    pub fn millis(&self) -> String {
        let nanos = self.at.as_nanos();
        format!("{}.{:06}", nanos / 1_000_000, nanos % 1_000_000)
    }
}
