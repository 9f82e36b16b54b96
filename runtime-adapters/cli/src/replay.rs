//! `p2p replay`: a recorded run once more, without a network.

use crate::{
    args,
    config::Config,
    error::{Error, Exit},
    output::Output,
    record::Built,
};
use libp2p_proto_core::Instant;
use libp2p_proto_driver::App;
use libp2p_proto_os::to_socket;
use libp2p_proto_recorder::{Divergence, Replay, Step};
use libp2p_proto_simulator::{Node, rebuild, scenario_of};
use libp2p_proto_stream_protocol::Protocol;
use libp2p_proto_swarm::{Call, Swarm};
use serde_json::{Value, json};
use std::{fmt::Debug, fs::File, io::BufReader, path::Path};

/// How much of one thing is shown.
const SHOWN: usize = 200;

pub(crate) fn run(args: &args::Replay) -> Result<Exit, Error> {
    let out = Output::new(args.json);
    let file = File::open(&args.file).map_err(|error| Error::file(&args.file, error))?;
    let mut replay = Replay::open(BufReader::new(file)).map_err(|error| at(&args.file, &error))?;
    let broken = |what: &str| at(&args.file, &format_args!("line 1: {what}"));
    let header = replay.header().clone();
    // Only its protocols: what was asked of them is in the recording.
    let (mut app, mut swarm): (Box<dyn App>, Swarm) = if scenario_of(&header.application).is_some() {
        let (node, swarm) = rebuild(&replay).map_err(|error| broken(&error.to_string()))?;
        (Box::new(Simulated(node)), swarm)
    } else {
        let built: Built =
            serde_json::from_str(&header.application).map_err(|_| broken("not a recording of p2p"))?;
        let limits =
            Config::limits(&built.limits).ok_or_else(|| broken("limits that this program does not know"))?;
        let identity = replay.identity();
        let mut app = built.build(&identity)?;
        let mut swarm = Swarm::with_dice(identity, limits, &header.dice, &mut app.protocols())
            .map_err(|error| broken(&error.to_string()))?;
        // As every adapter does.
        swarm.add_transport(|addr| to_socket(addr).is_some());
        (app, swarm)
    };
    let mut now = Instant::ZERO;
    let (mut whole, mut differs) = (true, None);
    loop {
        match replay.step(&mut swarm, &mut app.protocols()) {
            Ok(None) => break,
            Ok(Some(step)) => {
                whole &= !matches!(step, Step::Stopped | Step::Cut);
                if let Step::Call(at, _) | Step::Command { now: at, .. } = &step {
                    now = now.max(*at);
                }
                show(out, replay.line(), now, &step);
            }
            Err(error @ Divergence::Differs { .. }) => {
                differs = Some(error);
                break;
            }
            Err(error) => return Err(at(&args.file, &error)),
        }
    }
    out.print(&json!({
        "event": "replayed", "peer": header.peer.to_string(), "lines": replay.line(), "outputs": replay.outputs(),
        "trace": format!("{:016x}", replay.trace()), "equal": differs.is_none(), "whole": whole,
        "unseen": replay.unseen().map(|(line, what)| format!("line {line}: {what}")),
        "error": differs.as_ref().map(|error| clip(&error.to_string())),
    }));
    Ok(if differs.is_none() { Exit::Ok } else { Exit::Failed })
}

/// A host of a simulation.
struct Simulated(Node);

impl App for Simulated {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        libp2p_proto_simulator::App::protocols(&mut self.0)
            .into_iter()
            .collect()
    }
}

fn at(path: &Path, error: &impl ToString) -> Error {
    Error::file(path, error.to_string())
}

/// One line of the trace. Drives are many, and nothing by themselves.
fn show(out: Output, line: usize, now: Instant, step: &Step) {
    let seconds = now.since(Instant::ZERO).as_secs_f64();
    let (way, what) = match step {
        Step::Call(_, Call::Drive { .. }) => return,
        Step::Call(_, call) => ("in", text(call)),
        Step::Command { command, .. } => match &command.gave {
            Some(gave) => ("told", clip(gave)),
            None => ("command", clip(&command.command)),
        },
        Step::Action(action) => ("out", text(action)),
        Step::Event(event) => ("event", text(event)),
        Step::Stopped => ("end", String::from("the recorder had reached its limit")),
        _ => ("end", String::from("the file is cut off within a line")),
    };
    let value: Value = json!({ "event": way, "line": line, "seconds": seconds, "what": what });
    out.print(&value);
}

fn text(value: &impl Debug) -> String {
    clip(&format!("{value:?}"))
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}
