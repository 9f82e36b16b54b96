//! `libp2p-proto-bench`: what this implementation costs, and what another one costs beside it in the same run.
//!
//! Every measurement prints one line of JSON. CPU time is user and system time of this process (`getrusage`); where two processes take part, of both. Numbers in
//! brackets are the defaults.
//!
//! ```text
//! libp2p-proto-bench [--tokio] COMMAND
//!   limits                           the bare cost of the crypto on this machine
//!   bulk-memory [MIB=256]            Noise and yamux, one stream, both ends in memory, one thread
//!   handshake [COUNT=500]            Noise XX, both ends in memory, one thread
//!   streams COUNT [PARALLEL=1]       open, negotiate, 32-byte echo, close over loopback TCP
//!   connections COUNT [PARALLEL=1] [bare]   dial, identify each other (not if bare), close
//!   perf-tcp [MIB=256]               /perf/1.0.0 up, then down, between two processes
//!   idle COUNT                       memory of COUNT idle connections, each from a node of its own in another process
//!   gossip [NODES=20] [MESSAGES=400] GossipSub over loopback TCP, twelve links each, signed messages of 1 KiB: CPU of each first delivery, memory of each node
//!   gossip-idle COUNT                memory of COUNT connections whose peers subscribe to one topic
//!   kad [NODES=100] [LOOKUPS=2000]   Kademlia over loopback TCP: CPU of all nodes for each lookup of the nearest peers, memory of each node
//!   simulation [HOSTS=10000] [MINUTES=10]   swarm-level hosts with 20 connections, ping and identify, in virtual time, on one core
//!   simulation-full [HOSTS=200] [MINUTES=60]   full-path hosts, with faults
//!   kad-simulation [HOSTS=10000] [LIARS=0] [LOOKUPS=1000] [KNOWN=0]   a swarm-level network of Kademlia servers, of which LIARS of a hundred lie: lookups, hops, requests. With
//!                                    KNOWN they begin with so many peers of each bucket, instead of joining one after the other: for 100 000
//!   kad-churn [HOSTS=1000] [HOURS=1]   the same with a third behind NATs, and sessions of half an hour
//!   kad-eclipse [HOSTS=1000]   half of all identities belong to one attacker in ten networks
//!   simulation-instructions [HOSTS=100]   instructions of each delivered event (needs valgrind)
//!   simulation-instructions HOSTS --at-most COUNT   the same, failing beyond COUNT, and skipped without valgrind
//!   compare BENCH [--quick] [--json] each of these beside BENCH, the program of the same commands around another implementation, and their ratios
//! ```
//!
//! Nodes run on mio, or with `--tokio` on tokio.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a benchmark that overflows may panic: nothing remote reaches it"
)]

mod app;
mod compare;
mod dht;
mod gossip;
mod kad;
mod memory;
mod network;
mod on_mio;
mod on_tokio;
mod partner;
mod simulation;
mod usage;

use app::Mount;
use serde_json::{Value, json};
use std::{error::Error, process::ExitCode};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) const MIB: usize = 1 << 20;

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn ratio(number: impl TryInto<u64>) -> f64 {
    number.try_into().unwrap_or(u64::MAX) as f64
}

/// Which adapter carries the nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    Mio,
    Tokio,
}

impl Runtime {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mio => "mio",
            Self::Tokio => "tokio",
        }
    }
}

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut runtime = Runtime::Mio;
    if args.first().is_some_and(|arg| arg == "--tokio") {
        runtime = Runtime::Tokio;
        args.remove(0);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    simulation::wish_for_large_pages(&args);
    match run(&args, runtime) {
        Ok(Some(result)) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str], runtime: Runtime) -> Result<Option<Value>, Failure> {
    let number = |at: usize, default: usize| args.get(at).map_or(Ok(default), |text| count(text));
    let (name, fields) = match args {
        ["limits"] => ("limits", memory::limits()?),
        ["bulk-memory", ..] => ("bulk-memory", memory::bulk(number(1, 256)?)?),
        ["handshake", ..] => ("handshake", memory::handshake(number(1, 500)?)?),
        ["streams", total, ..] => (
            "streams",
            network::streams(runtime, count(total)?, number(2, 1)?)?,
        ),
        ["connections", total, ..] => {
            let bare = args.last() == Some(&"bare");
            let parallel = if bare && args.len() == 3 { 1 } else { number(2, 1)? };
            let fields = network::connections(runtime, count(total)?, parallel, bare)?;
            ("connections", fields)
        }
        ["perf-tcp", ..] => ("perf-tcp", network::perf(runtime, number(1, 256)?)?),
        ["perf-listen"] => return network::perf_listen(runtime).map(|()| None),
        [name @ ("idle" | "gossip-idle"), total] => (*name, network::idle(runtime, name, count(total)?)?),
        [name @ ("idle-listen" | "gossip-idle-listen"), total] => {
            return network::idle_listen(runtime, idle_mount(name), count(total)?).map(|()| None);
        }
        [name @ ("idle-dial" | "gossip-idle-dial"), total, addr] => {
            return network::idle_dial(idle_mount(name), count(total)?, addr).map(|()| None);
        }
        ["gossip", ..] => ("gossip", gossip::mesh(number(1, 20)?, number(2, 400)?)?),
        ["kad", ..] => ("kad", kad::network(number(1, 100)?, number(2, 2000)?)?),
        [name @ "simulation", ..] => (
            "simulation",
            simulation::run(name, number(1, 10_000)?, number(2, 10)? as u64)?,
        ),
        [name @ "simulation-full", ..] => (
            "simulation-full",
            simulation::run(name, number(1, 200)?, number(2, 60)? as u64)?,
        ),
        [name @ "kad-simulation", ..] => {
            let liars = args.get(2).map_or(Ok(0), |text| text.parse())?;
            (
                *name,
                dht::simulation(number(1, 10_000)?, liars, number(3, 1000)?, number(4, 0)?)?,
            )
        }
        [name @ "kad-churn", ..] => (*name, dht::churn(number(1, 1000)?, number(2, 1)? as u64)?),
        [name @ "kad-eclipse", ..] => (*name, dht::eclipse(number(1, 1000)?)?),
        ["simulation-instructions", hosts, "--at-most", most] => {
            match simulation::watch(count(hosts)?, count(most)?)? {
                Some(fields) => ("simulation-instructions", fields),
                None => return Ok(None),
            }
        }
        ["simulation-instructions", ..] => (
            "simulation-instructions",
            simulation::instructions(number(1, 100)?)?,
        ),
        ["compare", bench, options @ ..] => return compare::run(bench, options).map(|()| None),
        _ => return Err("usage: see the head of src/main.rs".into()),
    };
    let mut result = json!({"bench": name, "impl": "libp2p-proto", "version": env!("CARGO_PKG_VERSION")});
    if let (Value::Object(result), Value::Object(fields)) = (&mut result, fields) {
        result.extend(fields);
    }
    Ok(Some(result))
}

fn idle_mount(name: &str) -> Mount {
    if name.starts_with("gossip") {
        Mount::Gossip
    } else {
        Mount::Idle
    }
}

fn count(text: &str) -> Result<usize, Failure> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{text} is no count").into()),
    }
}
