//! A scenario with what its nodes do, how long it runs, and what it is to reach: what a scenario file says.

mod file;

use crate::{
    app::Birth,
    check::Violation,
    error::Error,
    fault::Fault,
    net::{LISTEN, socket_addr},
    node::{Node, NodeConfig},
    record::Recording,
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
    /// What the nodes do besides.
    pub traffic: Traffic,
    /// What is to be reached.
    pub goal: Goal,
}

/// What the nodes of a scenario do with their services, all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Lookups of other hosts with Kademlia in a minute. Default 60.
    pub lookups: u32,
    /// Messages with GossipSub in a minute. Default 60.
    pub messages: u32,
    /// Bytes of a message, at least 8. Default 256.
    pub bytes: usize,
    /// When it begins. Default 30 s.
    pub from: Duration,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            lookups: 60,
            messages: 60,
            bytes: 256,
            from: Duration::from_secs(30),
        }
    }
}

/// What is to be reached at the end of a run (G7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goal {
    /// Per mille of the friendships that are connected. Default 0.
    pub connected: u32,
    /// Round trips that every host measured, in all of its lives. Default 0.
    pub pongs: u64,
    /// Per mille of the lookups that found their peer. Default 0.
    pub found: u32,
    /// Per mille of the deliveries that published messages should come to. Default 0.
    pub delivered: u32,
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
            traffic: Traffic::default(),
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
    /// How long messages took to each receiver.
    pub deliveries: Histogram,
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
        self.recorded_sim(seed, |_, _| None)
    }

    fn recorded_sim(
        &self,
        seed: u64,
        tape: impl FnMut(usize, u32) -> Option<Recording> + 'static,
    ) -> Result<Sim<Node>, Error> {
        let config = self.node.clone();
        let tells = self.scenario.lines;
        let make = move |birth: Birth<'_>| {
            let node = Node::new(&config, &birth)?;
            Ok(if tells { node.telling() } else { node })
        };
        let mut sim = Sim::recorded(self.scenario.clone(), seed, make, tape)?;
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
                let protects = self.node.kad.is_some();
                sim.command(place, |node, swarm, now| {
                    node.befriend(now + after, peer, addr);
                    if protects {
                        // Lookups make many connections; these are to stay.
                        swarm.protect(peer, true);
                    }
                });
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
    pub fn run(&self, seed: u64, progress: impl FnMut(&mut Sim<Node>)) -> Result<Report, Error> {
        self.run_recorded(seed, progress, |_, _| None)
    }

    /// The same run, in which lives of hosts are recorded: `tape` says where to, by the host's place and by how often it was started before.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn run_recorded(
        &self,
        seed: u64,
        mut progress: impl FnMut(&mut Sim<Node>),
        tape: impl FnMut(usize, u32) -> Option<Recording> + 'static,
    ) -> Result<Report, Error> {
        let mut sim = self.recorded_sim(seed, tape)?;
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
            deliveries: sim.deliveries(),
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
            if sim.now() < end {
                self.busy(sim);
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

    /// Lets nodes look each other up and publish, as much as is due in a second.
    fn busy(&self, sim: &mut Sim<Node>) {
        let second = sim.now().as_nanos() / 1_000_000_000;
        let Some(second) = second.checked_sub(self.traffic.from.as_secs()) else {
            return;
        };
        let mut dice = sim.dice.fork("traffic", second);
        let due = |per_minute: u32| {
            let until = |second: u64| second.saturating_mul(u64::from(per_minute)) / 60;
            until(second.saturating_add(1)).saturating_sub(until(second))
        };
        if self.node.kad.is_some() {
            for _ in 0..due(self.traffic.lookups) {
                self.look_up(sim, &mut dice);
            }
        }
        if self.node.gossipsub.is_some() {
            for _ in 0..due(self.traffic.messages) {
                self.publish(sim, &mut dice);
            }
        }
    }

    fn any(&self, dice: &mut Rng) -> usize {
        usize::try_from(dice.below(self.scenario.hosts as u64)).unwrap_or(0)
    }

    fn look_up(&self, sim: &mut Sim<Node>, dice: &mut Rng) {
        let (from, to) = (self.any(dice), self.any(dice));
        let Some(peer) = sim.peer(to).filter(|_| from != to) else {
            return;
        };
        if sim.command(from, |node, _, _| node.look_up(peer)) == Some(true) {
            let stats = &mut sim.fabric.stats;
            stats.lookups = stats.lookups.saturating_add(1);
        }
    }

    fn publish(&self, sim: &mut Sim<Node>, dice: &mut Rng) {
        let (from, now, bytes) = (self.any(dice), sim.now(), self.traffic.bytes);
        let up = (0..self.scenario.hosts)
            .filter(|host| sim.app(*host).is_some())
            .count();
        if sim.command(from, |node, _, _| node.publish(now, bytes)) == Some(true) {
            let stats = &mut sim.fabric.stats;
            stats.published = stats.published.saturating_add(1);
            stats.wanted = stats.wanted.saturating_add(up.saturating_sub(1) as u64);
        }
    }

    /// What is missing to the goal in what the services came to.
    fn unserved(&self, sim: &Sim<Node>) -> Option<String> {
        let stats = sim.stats();
        let falls_short =
            |got: u64, of: u64, mille: u32| got.saturating_mul(1000) < of.saturating_mul(u64::from(mille));
        let (found, lookups) = (stats.found, stats.lookups);
        let (delivered, wanted) = (stats.delivered, stats.wanted);
        if falls_short(found, lookups, self.goal.found) {
            return Some(format!("{found} of {lookups} lookups found their peer"));
        }
        falls_short(delivered, wanted, self.goal.delivered)
            .then(|| format!("{delivered} of {wanted} deliveries came"))
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
        if pongs < self.goal.pongs {
            return Some(format!(
                "host {place} measured {pongs} round trips, {} wanted",
                self.goal.pongs
            ));
        }
        self.unserved(sim)
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
