//! Long lives: a part of `scenarios/soak.toml` in every run of the tests, and the ledger of what was run apart.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::integer_division,
    reason = "tests fail by panicking"
)]

use libp2p_proto_simulator::{Plan, Sample};
use serde::Deserialize;
use std::{path::Path, time::Duration};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_hosts_hold_does_not_grow_with_time_and_nothing_is_left_of_any_request() {
    // Twelve of its two hundred hosts, for one hour of its thirty days, with the same services and as many faults of each.
    let mut plan = Plan::parse(&file("scenarios/soak.toml")).unwrap();
    plan.scenario.hosts = 12;
    plan.run = Duration::from_secs(3600);
    plan.scenario.sample = Some(Duration::from_secs(30));
    let chances = plan.scenario.chances.as_mut().unwrap();
    (chances.per_hour, chances.until) = (12, plan.run.saturating_sub(Duration::from_secs(60)));
    // Every host is closed at the end, and a request that is left is a violation of G4.
    let report = plan.run(1, |_| {}).unwrap();
    assert_eq!(report.violation, None);
    assert!(
        report.stats.faults >= 10 && report.stats.lookups > 1000,
        "{:?}",
        report.stats
    );
    let held = |part: &[Sample]| part.iter().map(|sample| sample.held).sum::<usize>() / part.len();
    let quarter = report.samples.len() / 4;
    let (before, after) = (
        held(&report.samples[quarter..2 * quarter]),
        held(&report.samples[3 * quarter..4 * quarter]),
    );
    assert!(after < before + before / 5, "{before} bytes became {after}");
}

/// One run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    date: String,
    commit: String,
    scenario: String,
    seed: u64,
    hosts: u32,
    hours: f64,
    events: u64,
    faults: u64,
    trace: String,
    result: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    #[serde(default)]
    run: Vec<Run>,
    total: Option<Total>,
}

/// The sums over all runs that passed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Total {
    node_years: f64,
    events: u64,
}

#[test]
fn the_ledger_of_long_runs_is_whole_and_its_totals_are_right() {
    let ledger: Ledger = toml::from_str(&file("ledger.toml")).unwrap();
    for run in &ledger.run {
        let what = &run.scenario;
        assert!(run.date.len() == 10 && run.commit.len() >= 7, "{what}");
        let plan = Plan::parse(&file(&format!("scenarios/{what}.toml"))).unwrap();
        assert_eq!(u32::try_from(plan.scenario.hosts).unwrap(), run.hosts, "{what}");
        assert!(
            run.hours > 0.0 && run.hours <= plan.run.as_secs_f64() / 3600.0 + 1.0,
            "{what}"
        );
        assert_eq!(run.trace.len(), 32, "{what}");
        assert!(
            run.result == "passed" || run.result.starts_with("failed: "),
            "{what}"
        );
        assert!(run.events > 0 && run.faults > 0, "{what} with seed {}", run.seed);
    }
    let passed = || ledger.run.iter().filter(|run| run.result == "passed");
    let hours: f64 = passed().map(|run| run.hours * f64::from(run.hosts)).sum();
    let events: u64 = passed().map(|run| run.events).sum();
    let total = ledger.total.unwrap_or(Total {
        node_years: 0.0,
        events: 0,
    });
    assert!(
        (total.node_years - hours / 8766.0).abs() < 0.01,
        "{hours} hours of hosts"
    );
    assert_eq!(total.events, events);
}
