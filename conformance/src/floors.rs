//! A crate depends only on floors below its own, never sideways.

use serde_json::Value;
use std::{collections::BTreeMap, error::Error, process::Command};

/// Twice the floor, so that there is one between 2 and 3. `None`: the yard, which may use anything.
fn floor(folder: &str) -> Option<u8> {
    Some(match folder {
        "protocols/core" => 0,
        "protocols/identity" => 2,
        "protocols/multistream-select"
        | "protocols/noise"
        | "protocols/websocket"
        | "protocols/yamux"
        | "protocols/stream-protocol" => 4,
        "protocols/streams-core" => 5,
        "protocols/swarm" => 8,
        "protocols/facade" | "runtime-adapters/os" | "runtime-adapters/recorder" => 9,
        "runtime-adapters/dns"
        | "runtime-adapters/driver"
        | "runtime-adapters/mio"
        | "runtime-adapters/simulator" => 10,
        "runtime-adapters/cli" => 14,
        other if other.starts_with("protocols/") => 6,
        other if other.starts_with("runtime-adapters/") => 12,
        _ => return None,
    })
}

pub(crate) fn check() -> Result<Vec<String>, Box<dyn Error>> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let root = metadata
        .get("workspace_root")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let folder = |package: &Value| {
        let manifest = text(package, "manifest_path");
        let inside = manifest
            .strip_prefix(&root)
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned();
        inside.trim_end_matches("/Cargo.toml").to_owned()
    };
    let folders: BTreeMap<String, String> = packages
        .iter()
        .map(|package| (text(package, "name"), folder(package)))
        .collect();
    let mut findings = Vec::new();
    let mut arrows = 0_usize;
    for package in &packages {
        let from = folder(package);
        let Some(above) = floor(&from) else { continue };
        for dependency in package
            .get("dependencies")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let Some(to) = folders.get(&text(dependency, "name")) else {
                continue;
            };
            if dependency.get("kind").and_then(Value::as_str) == Some("dev") {
                continue;
            }
            arrows = arrows.saturating_add(1);
            if floor(to).is_none_or(|below| below >= above) {
                findings.push(format!("an arrow that does not point down: {from} -> {to}"));
            }
        }
    }
    println!(
        "floors: {} crates, {arrows} arrows, {} wrong",
        packages.len(),
        findings.len()
    );
    Ok(findings)
}
