//! The public gossipsub-interop scripts (`libp2p/test-plans`, `gossipsub-interop`): a `params.json` as its `run.py` writes it, run unchanged.

mod node;
mod script;

use crate::{
    error::Error,
    net::Link,
    scenario::Scenario,
    sim::{Sim, instant, numbered},
    stats::Histogram,
};
use core::{fmt::Write as _, time::Duration};
use libp2p_proto_core::{Instant, PeerId};
use libp2p_proto_swarm as swarm;
use node::Node;
use script::Instruction;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Time after the last instruction.
const COOL_DOWN: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
/// The first messages of a script don't count: they warm the connections up.
const WARM_UP: u64 = 4;

/// A script and how many nodes run it.
#[derive(Clone, Debug)]
pub struct Interop {
    script: Vec<Instruction>,
    nodes: usize,
}

/// What a node got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) at: Instant,
    pub(crate) id: u64,
    pub(crate) from: PeerId,
    pub(crate) topic: String,
}

/// What came out of a script.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InteropReport {
    /// Nodes.
    pub nodes: usize,
    /// For each message: its id, how many nodes got it, and how many should have.
    pub messages: Vec<(u64, usize, usize)>,
    /// Times from publishing to delivery, of all messages but the first four.
    pub delays: Histogram,
    /// Groups of partial messages that nodes completed, and how many there were to complete.
    pub parts: (usize, usize),
    /// Copies that came again.
    pub duplicates: u64,
    /// Events of the simulation.
    pub events: u64,
    /// The hash over everything that happened.
    pub hash: crate::trace::TraceHash,
    logs: Vec<(PeerId, Vec<Got>, Vec<Instant>)>,
}

impl InteropReport {
    /// Whether every node got every message but the first four, and completed every group.
    pub fn passed(&self) -> bool {
        let counted = self.messages.iter().filter(|(id, ..)| *id >= WARM_UP);
        let mut some = self.parts.1 > 0;
        for (_, got, wanted) in counted {
            some = true;
            if got < wanted {
                return false;
            }
        }
        some && self.parts.0 >= self.parts.1
    }

    /// What a node would have written to its standard output, as the scripts' specification has it.
    pub fn log(&self, node: usize) -> String {
        let mut text = String::new();
        let Some((peer, got, complete)) = self.logs.get(node) else {
            return text;
        };
        // Writing to a string does not fail.
        let _never = writeln!(
            text,
            r#"{{"time":"{}","msg":"PeerID","id":"{peer}","node_id":{node}}}"#,
            time(Instant::ZERO)
        );
        for got in got {
            let _never = writeln!(
                text,
                r#"{{"time":"{}","level":"INFO","msg":"Received Message","service":"gossipsub","from":"{}","topic":"{}","id":"{}"}}"#,
                time(got.at),
                got.from,
                got.topic,
                got.id
            );
        }
        for at in complete {
            let _never = writeln!(text, r#"{{"time":"{}","msg":"All parts received"}}"#, time(*at));
        }
        text
    }
}

/// A point of time as RFC 3339; the simulation begins with the year 2000, as Shadow's.
fn time(at: Instant) -> String {
    let micros = at.as_nanos().checked_div(1000).unwrap_or(0);
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "2000-01-{:02}T{:02}:{minutes:02}:{:02}.{rest:06}Z",
        (hours / 24).saturating_add(1),
        hours % 24,
        seconds % 60
    )
}

impl Interop {
    /// Reads a `params.json` for so many nodes.
    ///
    /// # Errors
    ///
    /// [`Error::File`] says the line and what is wrong there; [`Error::OutOfRange`] for no nodes.
    pub fn parse(text: &str, nodes: usize) -> Result<Self, Error> {
        if nodes == 0 || nodes > 100_000 {
            return Err(Error::OutOfRange("nodes"));
        }
        let script = script::parse(text).map_err(|error| Error::File {
            line: error.line(),
            what: error.to_string(),
        })?;
        Ok(Self { script, nodes })
    }

    /// Runs it, in the network of the scripts: regions of the world, one node in five with 1 024 Mbit/s and the others with 50, upwards. `progress` hears of each second.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::App`] also for a violation of what the simulator checks.
    pub fn run(&self, seed: u64, mut progress: impl FnMut(Duration)) -> Result<InteropReport, Error> {
        let many = 1 << 20;
        let scenario = Scenario {
            link: Link {
                world: true,
                ..Link::default()
            },
            seeds: (0..self.nodes).zip((0..).map(numbered)).collect(),
            strict: false,
            swarm: swarm::Config {
                idle_timeout: None,
                max_pending_inbound: many,
                max_pending_outbound: many,
                accepts_per_second: 1_000_000,
                max_dials: many,
                ..swarm::Config::default()
            },
            ..Scenario::new(self.nodes).at_swarm_level()
        };
        let script: Arc<[Instruction]> = self.script.clone().into();
        let mut sim = Sim::new(scenario, seed, move |birth| {
            Node::new(&birth, script::of_node(&script, birth.place))
        })?;
        let end = instant(script::ends(&self.script).saturating_add(COOL_DOWN));
        while sim.now() < end {
            let next = sim.now() + SECOND;
            sim.run_until(next, |_| false)
                .map_err(|violation| Error::App(violation.to_string()))?;
            progress(next.since(Instant::ZERO));
        }
        Ok(self.report(&sim))
    }

    fn report(&self, sim: &Sim<Node>) -> InteropReport {
        let (mut published, mut got) = (BTreeMap::new(), BTreeMap::<u64, usize>::new());
        let (mut logs, mut delays, mut duplicates) = (Vec::new(), Histogram::default(), 0_u64);
        let mut parts = (0_usize, 0_usize);
        let nodes = || (0..self.nodes).filter_map(|place| Some((place, sim.app(place)?)));
        for (place, node) in nodes() {
            for (id, topic, at) in &node.published {
                published.insert(*id, (topic.clone(), *at, place));
            }
        }
        let groups: BTreeSet<(String, u64)> = nodes().flat_map(|(_, node)| node.groups()).cloned().collect();
        for (place, node) in nodes() {
            duplicates = duplicates.saturating_add(node.router.stats().duplicates);
            for message in &node.got {
                let count = got.entry(message.id).or_default();
                *count = count.saturating_add(1);
                if let Some((_, at, _)) = published.get(&message.id).filter(|_| message.id >= WARM_UP) {
                    delays.add(message.at.since(*at));
                }
            }
            let complete = node.complete();
            // A node that never heard of a group should have all the same.
            let takes = |group: &&(String, u64)| {
                node.subscribes(&group.0) || node.groups().any(|known| known == *group)
            };
            let wanted = groups.iter().filter(takes).count();
            parts = (
                parts.0.saturating_add(complete.len()),
                parts.1.saturating_add(wanted),
            );
            let peer = sim.peer(place).unwrap_or(node.me);
            logs.push((peer, node.got.clone(), complete));
        }
        let messages = published.iter().map(|(id, (topic, _, by))| {
            let wants = |(place, node): &(usize, &Node)| place != by && node.subscribes(topic);
            (
                *id,
                got.get(id).copied().unwrap_or(0),
                nodes().filter(wants).count(),
            )
        });
        InteropReport {
            nodes: self.nodes,
            messages: messages.collect(),
            delays,
            parts,
            duplicates,
            events: sim.stats().events,
            hash: sim.trace_hash(),
            logs,
        }
    }
}
