//! Simulated networks.

use crate::support::run;
use std::{fs, path::PathBuf};

fn scenario(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../simulator/scenarios");
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn equal_seeds_print_equal_events_and_hashes_and_plots_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let plots = folder.path().join("plots");
    let file = scenario("two-hosts.toml");
    let first = run(&[
        "sim",
        &file,
        "--seed",
        "7",
        "--json",
        "--out",
        plots.to_str().unwrap(),
    ]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let again = run(&["sim", &file, "--seed", "7", "--json"]);
    assert_eq!(first.stdout, again.stdout);
    let other = run(&["sim", &file, "--seed", "8", "--json"]);
    let hash = |lines: &[serde_json::Value]| lines.last().unwrap()["trace hash"].as_str().unwrap().to_owned();
    assert_eq!(hash(&first.lines()).len(), 32);
    assert_ne!(hash(&first.lines()), hash(&other.lines()));
    let events = first.lines();
    assert!(
        events
            .iter()
            .any(|line| line["event"] == "trace" && line["what"].as_str().unwrap().starts_with("pong"))
    );
    for name in ["latency", "messages", "connections", "memory"] {
        let svg = fs::read_to_string(plots.join(name).with_extension("svg")).unwrap();
        assert!(
            svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"),
            "{name}"
        );
        assert!(svg.contains("<polyline"), "{name}");
    }
}

#[test]
fn a_bad_value_is_told_with_file_line_and_range() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    fs::write(&file, "hosts = 4\n\n[link]\nlatency = \"2h\"\n").unwrap();
    let done = run(&["sim", file.to_str().unwrap()]);
    assert_eq!(done.code, Some(64));
    assert!(
        done.stderr.contains("bad.toml:4: link.latency"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("0s to 60s") && done.stderr.trim_end().lines().count() == 1,
        "{}",
        done.stderr
    );
    assert!(done.stdout.is_empty());
}

#[test]
fn a_run_that_misses_its_goal_prints_its_seed_and_the_faults_that_matter() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("missed.toml");
    let text = "hosts = 3\nfriends = 2\nrun = \"1m\"\n[goal]\nconnected = 1.0\n\
        [[fault]]\nkind = \"deaf\"\nat = \"5s\"\nduring = \"1s\"\nhosts = 0\n\
        [[fault]]\nkind = \"cut\"\nat = \"9s\"\nfrom = 1\n\
        [[fault]]\nkind = \"freeze\"\nat = \"20s\"\nduring = \"1s\"\nhosts = 2\n";
    fs::write(&file, text).unwrap();
    let done = run(&["sim", file.to_str().unwrap(), "--seed", "3"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let lines = done.lines();
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["seed"]), (&"failed".into(), &3.into()));
    assert!(last["violation"].as_str().unwrap().starts_with("G7"), "{last}");
    let faults = last["faults"].as_array().unwrap();
    assert!(
        faults.len() == 1 && faults[0].as_str().unwrap().contains("Cut"),
        "{last}"
    );
}
