//! `p2p sim`: a network of simulated nodes in virtual time, from a scenario file and a seed.

mod gossip;

use crate::{
    args,
    error::{Error, Exit},
    output::{Output, complain},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use libp2p_proto_simulator::{
    self as simulator, Error as Refused, Node, Plan, Recording, Report, Sim, plots,
};
use serde_json::{Value, json};
use std::{fs, io::BufWriter, path::Path, time::Duration};

/// Hosts that are recorded beside the plots, and bytes of each recording at most.
const RECORDED: usize = 4;
const LIMIT: u64 = 64 << 20;
/// Runs in which a failing list of faults is cut down.
const ATTEMPTS: usize = 200;

pub(crate) fn run(args: &args::Sim) -> Result<Exit, Error> {
    let path = &args.file;
    if path.as_os_str() == "gossipsub-paper" {
        return gossip::paper(args);
    }
    if path.extension().is_some_and(|ending| ending == "json") {
        return gossip::interop(args);
    }
    let text = fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
    let mut plan = Plan::parse(&text).map_err(|error| match error {
        Refused::File { line, what } => Error::Usage(format!("{}:{line}: {what}", path.display())),
        other => Error::Usage(format!("{}: {other}", path.display())),
    })?;
    let out = Output::new(args.json);
    plan.scenario.lines = out == Output::Json && args.json;
    let bar = bar(&plan.name, plan.run, out);
    let watch = |sim: &mut Sim<Node>| {
        tell(out, sim);
        bar.set_position(whole_millis(sim.now().since(libp2p_proto_core::Instant::ZERO)));
    };
    let folder = args.out.clone();
    if let Some(folder) = &folder {
        fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
    }
    let words = simulator::application_of(&text);
    let tape = move |place, life| {
        let folder = folder.as_ref().filter(|_| place < RECORDED)?;
        record(folder, &words, place, life)
    };
    let report = plan.run_recorded(args.seed, watch, tape);
    let report = report.map_err(|error| Error::Failed(error.to_string()))?;
    bar.finish_and_clear();
    if let Some(folder) = &args.out {
        draw(folder, &report)?;
    }
    out.print(&summary(&plan, &report));
    let Some(violation) = &report.violation else {
        return Ok(Exit::Ok);
    };
    let host = violation.host;
    if let Some(folder) = args.out.clone().filter(|_| host >= RECORDED) {
        // The same run once more, for the host that it concerns.
        let words = simulator::application_of(&text);
        let tape = move |place, life| {
            (place == host)
                .then(|| record(&folder, &words, place, life))
                .flatten()
        };
        plan.run_recorded(args.seed, |_| {}, tape)
            .map_err(|error| Error::Failed(error.to_string()))?;
    }
    // What was drawn is cut down to what matters.
    let found = plan.minimise(args.seed, ATTEMPTS);
    let faults = found.ok().flatten().map(|(faults, _)| faults).unwrap_or_default();
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    out.print(&json!({
        "event": "failed", "seed": args.seed, "violation": violation.to_string(), "faults": faults,
    }));
    Ok(Exit::Failed)
}

/// The recording of one life of a host, in a file of its own. A disk that is full is no reason to stop.
fn record(folder: &Path, words: &str, place: usize, life: u32) -> Option<Recording> {
    let path = folder.join(format!("host-{place}-life-{life}.recording"));
    match fs::File::create(&path) {
        Ok(file) => Some(Recording::new(words, BufWriter::new(file), LIMIT)),
        Err(error) => {
            complain(&format!("{}: {error}", path.display()));
            None
        }
    }
}

/// What has happened since the last second.
fn tell(out: Output, sim: &mut Sim<Node>) {
    for line in sim.take_lines() {
        let ms: Value = line.millis().parse().map_or(Value::Null, |ms: f64| json!(ms));
        // Faults concern nobody alone.
        let host = u32::try_from(line.host).ok().filter(|host| *host < u32::MAX);
        out.print(&json!({"event": "trace", "ms": ms, "host": host, "what": line.what}));
    }
}

/// A bar over so much virtual time; nothing where nobody looks.
fn bar(name: &str, run: Duration, out: Output) -> ProgressBar {
    let target = if out == Output::Json {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let bar = ProgressBar::with_draw_target(Some(whole_millis(run)), target);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %  {elapsed} (left: {eta})");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(name.to_owned());
    bar
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn draw(folder: &Path, report: &Report) -> Result<(), Error> {
    for plot in plots(report) {
        let path = folder.join(plot.name).with_extension("svg");
        fs::write(&path, plot.svg()).map_err(|error| Error::file(&path, error))?;
    }
    Ok(())
}

fn summary(plan: &Plan, report: &Report) -> Value {
    let millis = |share| format!("{:.3} ms", report.latencies.per_mille(share).as_secs_f64() * 1e3);
    let stats = &report.stats;
    let mut told = json!({
        "scenario": plan.name,
        "seed": report.seed,
        "verdict": report.violation.as_ref().map_or_else(|| String::from("ok"), ToString::to_string),
        "hosts": plan.scenario.hosts,
        "virtual time": format!("{:.3} s", report.time.as_secs_f64()),
        "events": stats.events,
        "bytes": stats.bytes,
        "connections": format!("{} began, {} ended, counted at both ends", stats.connected, stats.disconnected),
        "friendships": format!("{} of {} connected at the end", report.friends.1, report.friends.0),
        "faults": stats.faults,
        "round trips": format!(
            "{} measured: median {}, 99 % {}, longest {:.3} ms",
            report.latencies.count(), millis(500), millis(990), report.latencies.max().as_secs_f64() * 1e3
        ),
        "trace hash": report.hash.to_string(),
    });
    let mut tell = |name: &str, what: String| {
        if let Value::Object(told) = &mut told {
            told.insert(name.into(), what.into());
        }
    };
    if stats.lookups > 0 {
        let (found, lookups) = (stats.found, stats.lookups);
        tell("lookups", format!("{found} of {lookups} found their peer"));
    }
    if stats.published > 0 {
        let millis = |share| report.deliveries.per_mille(share).as_secs_f64() * 1e3;
        let (published, delivered, wanted) = (stats.published, stats.delivered, stats.wanted);
        tell(
            "messages",
            format!(
                "{published} published, {delivered} of {wanted} deliveries: median {:.3} ms, 99 % {:.3} ms",
                millis(500),
                millis(990)
            ),
        );
    }
    told
}
