//! The table: peers × directions × cells, and key types.

use crate::{
    install::installed,
    process::{Listener, dial},
};
use serde_json::Value;
use std::{collections::BTreeMap, error::Error, fs, path::Path, time::Duration};

/// Actions of one run, with the service that each needs.
const CELLS: [(&str, &str); 9] = [
    ("connect", ""),
    ("ping:3", "ping"),
    ("identify", "identify"),
    ("push:/interop/pushed/1", "push"),
    ("perf:67108864:67108864", "perf"),
    ("echo:hello", "echo"),
    ("reqresp:hello", "reqresp"),
    ("fetch:a", "fetch"),
    ("fetch:missing", "fetch"),
];
const KEYS: [&str; 4] = ["ed25519", "secp256k1", "ecdsa", "rsa"];
const LIMIT: Duration = Duration::from_secs(60);

/// What one cell ended with.
enum Cell {
    Passed(String),
    Skipped(&'static str),
    Failed(String),
}

#[derive(Default)]
struct Totals {
    passed: usize,
    failed: usize,
    skipped: usize,
    explained: usize,
}

pub(crate) fn run(ours: &Path, only: Option<&str>) -> Result<bool, Box<dyn Error>> {
    let known: BTreeMap<String, String> =
        serde_json::from_str(&fs::read_to_string("conformance/interop/known-failures.json")?)?;
    let mut totals = Totals::default();
    let peers = installed()?;
    if peers.is_empty() {
        return Err("no peer is installed: run `interop-runner install`".into());
    }
    for (name, peer) in peers
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| only == name))
    {
        println!("\n{name}");
        for (direction, dialer, listener) in [
            ("ours dials", ours, peer.as_path()),
            ("dials ours", peer.as_path(), ours),
        ] {
            for (action, cell) in cells(dialer, listener) {
                totals.count(&format!("{name} {direction} {action}"), &cell, &known);
            }
        }
        for (direction, dialer, listener) in [
            ("ours dials", ours, peer.as_path()),
            ("dials ours", peer.as_path(), ours),
        ] {
            for (pair, cell) in key_pairs(dialer, listener) {
                totals.count(&format!("{name} {direction} keys {pair}"), &cell, &known);
            }
        }
    }
    let Totals {
        passed,
        failed,
        skipped,
        explained,
    } = totals;
    println!(
        "\n{explained} of the skipped cells cannot pass, for the reasons in conformance/interop/known-failures.json"
    );
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

impl Totals {
    fn count(&mut self, name: &str, cell: &Cell, known: &BTreeMap<String, String>) {
        let reason = known.get(name);
        let text = match (cell, reason) {
            (Cell::Passed(detail), None) => {
                self.passed = self.passed.saturating_add(1);
                format!("ok    {detail}")
            }
            (Cell::Passed(_), Some(_)) => {
                self.failed = self.failed.saturating_add(1);
                "RED   passes although it is listed as a known failure".to_owned()
            }
            (Cell::Failed(error), Some(reason)) => {
                self.skipped = self.skipped.saturating_add(1);
                self.explained = self.explained.saturating_add(1);
                format!("known {reason} [{error}]")
            }
            (Cell::Failed(error), None) => {
                self.failed = self.failed.saturating_add(1);
                format!("RED   {error}")
            }
            (Cell::Skipped(why), _) => {
                self.skipped = self.skipped.saturating_add(1);
                format!("-     {why}")
            }
        };
        println!("  {name:60} {text}");
    }
}

/// One listener, one dialer, all actions.
fn cells(dialer: &Path, listener: &Path) -> Vec<(&'static str, Cell)> {
    let all = |error: &str| {
        CELLS
            .iter()
            .map(|(action, _)| (*action, Cell::Failed(error.to_owned())))
            .collect()
    };
    let listening = match Listener::start(listener, &[]) {
        Ok(listening) => listening,
        Err(error) => return all(&error.to_string()),
    };
    let mounted = |service: &str| {
        service.is_empty() || service == "push" || listening.services.iter().any(|known| known == service)
    };
    let actions: Vec<String> = CELLS
        .iter()
        .skip(1)
        .filter(|(_, service)| mounted(service))
        .map(|(action, _)| (*action).to_owned())
        .collect();
    let lines = match dial(dialer, &listening.addr, &actions, &[], LIMIT) {
        Ok(lines) => lines,
        Err(error) => return all(&error.to_string()),
    };
    CELLS
        .iter()
        .map(|(action, service)| {
            let line = lines
                .iter()
                .find(|line| line.get("do").and_then(Value::as_str) == Some(action));
            let mut cell = if mounted(service) {
                judge(action, line)
            } else {
                Cell::Skipped("not mounted by the peer")
            };
            if let (true, Cell::Passed(_)) = (action.starts_with("push:"), &cell) {
                if !listening.saw("identify-push", "/interop/pushed/1", Duration::from_secs(5)) {
                    cell = Cell::Failed("the listener saw no push".to_owned());
                }
            }
            (*action, cell)
        })
        .collect()
}

fn judge(action: &str, line: Option<&Value>) -> Cell {
    let Some(line) = line else {
        return Cell::Failed("no result".to_owned());
    };
    if line.get("unsupported").and_then(Value::as_bool) == Some(true) {
        return Cell::Skipped("not supported by the dialer");
    }
    if line.get("ok").and_then(Value::as_bool) != Some(true) {
        return Cell::Failed(
            line.get("error")
                .and_then(Value::as_str)
                .unwrap_or("failed")
                .chars()
                .take(160)
                .collect(),
        );
    }
    let number = |key: &str| line.get(key).and_then(Value::as_f64);
    let detail = if action.starts_with("perf") {
        let bytes = number("upBytes").unwrap_or(0.0) + number("downBytes").unwrap_or(0.0);
        let rate = bytes / number("seconds").unwrap_or(f64::INFINITY) / f64::from(1 << 20);
        format!("{rate:.0} MiB/s")
    } else {
        line.get("rttMs")
            .or(line.get("ms"))
            .map(|value| format!("{value} ms").chars().take(40).collect())
            .unwrap_or_default()
    };
    let wrong = match action {
        "echo:hello" => line.get("echo").and_then(Value::as_str) != Some("hello"),
        "reqresp:hello" => line.get("response").and_then(Value::as_str) != Some("re:hello"),
        "fetch:a" => line.get("value").and_then(Value::as_str) != Some("value-of-a"),
        "fetch:missing" => line.get("value").is_some_and(|value| !value.is_null()),
        _ => false,
    };
    if wrong {
        Cell::Failed(format!("wrong result: {line}"))
    } else {
        Cell::Passed(detail)
    }
}

/// Every pair of key types: connect, ping, identify.
fn key_pairs(dialer: &Path, listener: &Path) -> Vec<(String, Cell)> {
    let mut results = Vec::new();
    for theirs in KEYS {
        let listening = Listener::start(listener, &["--key", theirs]);
        for own in KEYS {
            let pair = format!("{own} to {theirs}");
            let cell = match &listening {
                Err(error) if error.to_string().starts_with("unsupported") => {
                    Cell::Skipped("key type not supported by the listener")
                }
                Err(error) => Cell::Failed(error.to_string()),
                Ok(listening) => key_pair(dialer, listening, own),
            };
            results.push((pair, cell));
        }
    }
    results
}

fn key_pair(dialer: &Path, listening: &Listener, own: &str) -> Cell {
    let actions = ["ping:1".to_owned(), "identify".to_owned()];
    let lines = match dial(
        dialer,
        &listening.addr,
        &actions,
        &["--key", own],
        Duration::from_secs(15),
    ) {
        Ok(lines) => lines,
        Err(error) => return Cell::Failed(error.to_string()),
    };
    for action in ["connect", "ping:1", "identify"] {
        let line = lines
            .iter()
            .find(|line| line.get("do").and_then(Value::as_str) == Some(action));
        match judge(action, line) {
            Cell::Passed(_) => {}
            other => return other,
        }
    }
    Cell::Passed(String::new())
}
