//! `rust-libp2p-bench`: what rust-libp2p costs, so that a benchmark of another implementation can run
//! it on the same machine at the same time and print a ratio.
//!
//! Every measurement prints one line of JSON. CPU time is user and system time of this process
//! (`getrusage`); where two processes take part, of both. Numbers in brackets are the defaults.
//!
//! ```text
//! rust-libp2p-bench [--threads T] COMMAND
//!   bulk-memory [MIB=256]            Noise and yamux, one stream, both ends in memory, one thread
//!   handshake [COUNT=500]            Noise XX, both ends in memory, one thread
//!   streams COUNT [PARALLEL=1]       open, negotiate, 32-byte echo, close over loopback TCP
//!   connections COUNT [PARALLEL=1] [bare]   dial, identify each other (not if bare), close
//!   perf-tcp [MIB=256]               /perf/1.0.0 up, then down, between two processes
//!   idle COUNT                       memory of COUNT idle connections, each from a node of its own
//!   idle-listen COUNT                its server alone: prints its address, then its result when COUNT came
//!   gossip [NODES=20] [MESSAGES=400] GossipSub over loopback TCP, twelve links each, signed messages of 1 KiB
//!   gossip-idle COUNT                memory of COUNT connections whose peers subscribe to one topic
//!   kad [NODES=100] [LOOKUPS=2000]   Kademlia over loopback TCP: CPU of all nodes for each lookup, memory of each node
//!   idle-dial COUNT ADDR             its dialers alone: hold COUNT connections until standard input ends
//! ```
//!
//! `--threads` (default 2) is the number of worker threads of a process that uses the network; 1 runs
//! everything on the main thread.

mod gossip;
mod idle;
mod kad;
mod memory;
mod network;
mod usage;

use std::process::ExitCode;

use interop_contract::{Failure, Outcome, line};
use serde_json::{Value, json};

use rust_libp2p_peer::swarm::VERSION;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut threads = 2;
    if args.first().is_some_and(|arg| arg == "--threads") {
        threads = args.get(1).and_then(|text| text.parse().ok()).unwrap_or(threads);
        args.drain(..args.len().min(2));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args, threads) {
        Ok(Some(result)) => {
            line(&result);
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(Failure::Failed(error) | Failure::Unsupported(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str], threads: usize) -> Outcome<Option<Value>> {
    let number = |at: usize, default: usize| args.get(at).map_or(Ok(default), |text| count(text));
    let (name, fields) = match args {
        ["bulk-memory", ..] => ("bulk-memory", on(1, memory::bulk(number(1, 256)?))?),
        ["handshake", ..] => ("handshake", on(1, memory::handshake(number(1, 500)?))?),
        ["streams", total, ..] => (
            "streams",
            on(threads, network::streams(count(total)?, number(2, 1)?))?,
        ),
        ["connections", total, ..] => {
            let bare = args.last() == Some(&"bare");
            let parallel = if bare && args.len() == 3 { 1 } else { number(2, 1)? };
            (
                "connections",
                on(threads, network::connections(count(total)?, parallel, bare))?,
            )
        }
        ["perf-tcp", ..] => ("perf-tcp", on(threads, network::perf(threads, number(1, 256)?))?),
        ["perf-listen"] => return on(threads, network::perf_listen()).map(|()| None),
        ["idle", total] => ("idle", on(threads, idle::both(threads, count(total)?))?),
        ["idle-listen", total] => return on(threads, idle::listen(count(total)?)).map(|()| None),
        ["gossip", ..] => (
            "gossip",
            on(threads, gossip::mesh(number(1, 20)?, number(2, 400)?))?,
        ),
        ["kad", ..] => (
            "kad",
            on(threads, kad::network(number(1, 100)?, number(2, 2000)?))?,
        ),
        ["gossip-idle", total] => ("gossip-idle", on(threads, gossip::idle(threads, count(total)?))?),
        ["gossip-idle-listen", total] => {
            return on(threads, gossip::idle_listen(count(total)?)).map(|()| None);
        }
        ["gossip-idle-dial", total, addr] => (
            "gossip-idle-dial",
            on(threads, gossip::idle_dial(count(total)?, addr))?,
        ),
        ["idle-dial", total, addr] => ("idle-dial", on(threads, idle::dial(count(total)?, addr))?),
        _ => return Err(Failure::Failed("usage: see the head of src/bench/main.rs".into())),
    };
    let mut result = json!({"bench": name, "impl": "rust-libp2p", "version": VERSION});
    if let (Value::Object(result), Value::Object(fields)) = (&mut result, fields) {
        result.extend(fields);
    }
    Ok(Some(result))
}

fn count(text: &str) -> Outcome<usize> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Failure::Failed(format!("{text} is no count"))),
    }
}

/// Runs a measurement on a runtime with that many threads.
fn on<T>(threads: usize, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let mut builder = match threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(threads.max(1)).enable_all().build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
