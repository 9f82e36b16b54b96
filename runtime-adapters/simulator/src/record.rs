//! Recordings of hosts, and their repetition without a network.

use crate::{app::App as _, error::Error, node::Node, plan::Plan};
use libp2p_proto_identity::Identity;
use libp2p_proto_recorder::{Divergence, Recorder, Replay, Step};
use libp2p_proto_swarm::Swarm;
use std::{
    fmt,
    io::{BufRead, Write},
};

/// Where the recording of a host goes.
pub struct Recording {
    application: String,
    out: Box<dyn Write + Send>,
    limit: u64,
}

impl Recording {
    /// A recording of `limit` bytes at most. `application` is what a reader needs to build the same host again; it stands in the first line.
    pub fn new(application: &str, out: impl Write + Send + 'static, limit: u64) -> Self {
        Self {
            application: application.into(),
            out: Box::new(out),
            limit,
        }
    }

    pub(crate) fn of(self, identity: Identity) -> (Recorder, Identity) {
        Recorder::new(identity, &self.application, self.out, self.limit)
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recording({}, {} bytes)", self.application, self.limit)
    }
}

/// What stands in front of the scenario in the first line of a recording.
const MARK: &str = "libp2p-proto-simulator ";

/// The words of a host of a scenario file, for the first line of its recording.
pub fn application_of(scenario: &str) -> String {
    format!("{MARK}{scenario}")
}

/// The scenario file of a recording of ours. `None`: somebody else recorded it.
pub fn scenario_of(application: &str) -> Option<&str> {
    application.strip_prefix(MARK)
}

/// The node and the swarm whose recording this is, as they were at first.
///
/// # Errors
///
/// [`Error::App`] if it is not a recording of a simulated host; else what is wrong with its scenario.
pub fn rebuild<R: BufRead>(replay: &Replay<R>) -> Result<(Node, Swarm), Error> {
    let header = replay.header();
    let text = scenario_of(&header.application).ok_or_else(|| {
        let what = "not a recording of a simulated host";
        Error::App(what.into())
    })?;
    let plan = Plan::parse(text)?;
    let mut node = Node::of(&plan.node, &replay.identity())?;
    let mut lent = node.protocols();
    let limits = plan.scenario.swarm;
    let swarm = Swarm::with_dice(replay.identity(), limits, &header.dice, &mut lent)?;
    drop(lent);
    Ok((node, swarm))
}

/// Repeats a recording to its end; answers the hash of what came out, and whether the recording is whole.
///
/// # Errors
///
/// [`Divergence`], at the first thing that came out differently.
pub fn repeat<R: BufRead>(
    replay: &mut Replay<R>,
    node: &mut Node,
    swarm: &mut Swarm,
) -> Result<(u64, bool), Divergence> {
    let mut whole = true;
    loop {
        let step = replay.step(swarm, &mut node.protocols())?;
        let Some(step) = step else { break };
        whole &= !matches!(step, Step::Stopped | Step::Cut);
    }
    Ok((replay.trace(), whole))
}
