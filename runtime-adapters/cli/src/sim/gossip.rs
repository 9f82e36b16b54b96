//! `p2p sim gossipsub-paper` and `p2p sim params.json`: GossipSub under attack, and the public interoperability scripts.

use crate::{
    args,
    error::{Error, Exit},
    output::Output,
};
use libp2p_proto_simulator::{
    Histogram,
    gossip::{Attack, Experiment, Interop, InteropReport, Outcome, Router, Scale, cdf, table},
};
use serde_json::json;
use std::{fs, path::Path, time::Duration};

/// The attacks of GossipSub's evaluation: a row as each is done, then a table and plots.
pub(crate) fn paper(args: &args::Sim) -> Result<Exit, Error> {
    let out = Output::new(args.json);
    let attacks = chosen(&args.attack, &Attack::ALL, Attack::name)?;
    let routers = chosen(&args.router, &Router::ALL, Router::name)?;
    if !(0.1..=1000.0).contains(&args.rate) {
        return Err(Error::Usage(String::from("--rate: 0.1 to 1000")));
    }
    let honest = usize::try_from(args.nodes).unwrap_or(usize::MAX);
    let dials = if honest < 500 { 10 } else { 20 };
    let scale = Scale {
        honest,
        dials,
        // A sybil dials no larger a share of a small network.
        degree_percent: if honest < 500 { 40 } else { 100 },
        ..Scale::paper(args.rate)
    };
    let mut experiments = Vec::new();
    for attack in attacks {
        for router in &routers {
            for seed in args.seed..args.seed.saturating_add(args.seeds) {
                experiments.push(Experiment {
                    attack,
                    router: *router,
                    scale,
                    seed,
                });
            }
        }
    }
    let mut outcomes = Vec::new();
    for (number, experiment) in experiments.iter().enumerate() {
        let title = format!(
            "{}/{} {}, {}, seed {}",
            number.saturating_add(1),
            experiments.len(),
            experiment.attack.name(),
            experiment.router.name(),
            experiment.seed
        );
        let outcome = outcome_of(experiment, args.out.as_deref(), out, &title)?;
        out.print(&row(&outcome));
        outcomes.push(outcome);
        // After each, so that nothing is lost with a run that is stopped.
        if let Some(folder) = &args.out {
            draw(folder, &outcomes)?;
        }
    }
    let met = outcomes.iter().all(|outcome| outcome.band().met != Some(false));
    Ok(if met { Exit::Ok } else { Exit::Failed })
}

/// Runs an experiment, unless its outcome lies in the folder already.
fn outcome_of(
    experiment: &Experiment,
    folder: Option<&Path>,
    out: Output,
    title: &str,
) -> Result<Outcome, Error> {
    let path = folder.map(|folder| folder.join("outcomes").join(experiment.file_name()));
    let kept = path.as_ref().and_then(|path| fs::read_to_string(path).ok());
    if let Some(outcome) = kept.and_then(|text| Outcome::from_json(*experiment, &text)) {
        return Ok(outcome);
    }
    let bar = super::bar(title, experiment.lasts(), out);
    let outcome = experiment
        .run(|time| bar.set_position(super::whole_millis(time)))
        .map_err(|error| Error::Failed(error.to_string()))?;
    bar.finish_and_clear();
    if let (Some(path), Some(folder)) = (&path, path.as_ref().and_then(|path| path.parent())) {
        fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
        // Half a file would be read as none, and the run made again.
        write(path, &outcome.to_json())?;
    }
    Ok(outcome)
}

fn chosen<T: Copy>(names: &[String], all: &[T], name: impl Fn(T) -> &'static str) -> Result<Vec<T>, Error> {
    if names.is_empty() {
        return Ok(all.to_vec());
    }
    let find = |wanted: &String| {
        let found = all.iter().find(|one| name(**one).starts_with(wanted.as_str()));
        let known = || all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
        found
            .copied()
            .ok_or_else(|| Error::Usage(format!("{wanted}: one of {}", known())))
    };
    names.iter().map(find).collect()
}

fn millis(delays: &Histogram, share: u64) -> f64 {
    (delays.per_mille(share).as_secs_f64() * 1e6).round() / 1e3
}

fn row(outcome: &Outcome) -> serde_json::Value {
    let Outcome { experiment, all, .. } = outcome;
    let band = outcome.band();
    json!({
        "attack": experiment.attack.name(),
        "router": experiment.router.name(),
        "seed": experiment.seed,
        "messages": outcome.published,
        "deliveries": format!("{} of {}", all.count(), outcome.expected),
        "lost per cent": outcome.lost(),
        "p50 ms": millis(all, 500),
        "p99 ms": millis(all, 990),
        "max s": all.max().as_secs_f64(),
        "settled p99 ms": millis(&outcome.settled, 990),
        "target lost per cent": outcome.lost_target(),
        "target max s": outcome.target.max().as_secs_f64(),
        "least honest share of meshes, per cent": outcome.least_honest,
        "band": band.demands,
        "met": band.met,
        "events": outcome.events,
        "trace hash": outcome.hash.to_string(),
    })
}

/// A table, and for each attack the distribution of delays with each router.
fn draw(folder: &Path, outcomes: &[Outcome]) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
    write(&folder.join("table.md"), &table(outcomes))?;
    for attack in Attack::ALL {
        let mut lines = Vec::new();
        for router in Router::ALL {
            let (mut delays, mut expected) = (Histogram::default(), 0_u64);
            let of_both = |outcome: &&Outcome| {
                outcome.experiment.attack == attack && outcome.experiment.router == router
            };
            for outcome in outcomes.iter().filter(of_both) {
                delays.merge(&outcome.all);
                expected = expected.saturating_add(outcome.expected);
            }
            if expected > 0 {
                lines.push((router.name(), delays, expected));
            }
        }
        if lines.is_empty() {
            continue;
        }
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, delays, expected)| (*name, delays, *expected))
            .collect();
        let title = format!("{}: share of deliveries that took no longer", attack.name());
        let path = folder.join(attack.name()).with_extension("svg");
        write(&path, &cdf(&title, &lines))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|error| Error::file(path, error))
}

/// A script of the public gossipsub-interop tests. With `--out`, each node's standard output is where the scripts' own analysis looks for it.
pub(crate) fn interop(args: &args::Sim) -> Result<Exit, Error> {
    let path = &args.file;
    let text = fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
    let nodes = usize::try_from(args.nodes).unwrap_or(usize::MAX);
    let interop =
        Interop::parse(&text, nodes).map_err(|error| Error::Usage(format!("{}: {error}", path.display())))?;
    let report = interop
        .run(args.seed, |_: Duration| {})
        .map_err(|error| Error::Failed(error.to_string()))?;
    let out = Output::new(args.json);
    out.print(&summary(&report));
    if let Some(folder) = &args.out {
        for node in 0..report.nodes {
            let folder = folder.join("hosts").join(format!("node{node}"));
            fs::create_dir_all(&folder).map_err(|error| Error::file(&folder, error))?;
            write(&folder.join("p2p.1000.stdout"), &report.log(node))?;
        }
        let expected = report.delays.count();
        let lines = [("ours", &report.delays, expected)];
        write(&folder.join("delays.svg"), &cdf("Deliveries", &lines))?;
    }
    Ok(if report.passed() { Exit::Ok } else { Exit::Failed })
}

fn summary(report: &InteropReport) -> serde_json::Value {
    let whole = report
        .messages
        .iter()
        .filter(|(_, got, wanted)| got >= wanted)
        .count();
    json!({
        "nodes": report.nodes,
        "messages": format!("{whole} of {} at every node", report.messages.len()),
        "groups of parts": format!("{} of {} complete", report.parts.0, report.parts.1),
        "passed": report.passed(),
        "p50 ms": millis(&report.delays, 500),
        "p99 ms": millis(&report.delays, 990),
        "max ms": millis(&report.delays, 1000),
        "duplicates": report.duplicates,
        "events": report.events,
        "trace hash": report.hash.to_string(),
    })
}
