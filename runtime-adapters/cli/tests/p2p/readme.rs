//! The README says what is true: every line of its examples is run.

use crate::support::{Listener, roomy, run};
use std::collections::BTreeMap;

/// The lines of the README's blocks of this language.
fn examples(language: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let fence = format!("```{language}");
    let (mut inside, mut lines) = (false, Vec::new());
    for line in readme.lines() {
        if line.starts_with("```") {
            inside = !inside && line == fence;
        } else if inside {
            lines.push(line.to_owned());
        }
    }
    lines
}

#[test]
fn every_command_of_the_readme_runs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(
        at("node.toml"),
        "address_book = \"peers.book\"\nidentity = \"node.key\"\n",
    )
    .unwrap();
    let (_folder, config) = roomy("");
    let listener = Listener::start(&["--config", &config]);
    let (addr, peer) = (listener.addr(), listener.peer());
    let words = BTreeMap::from([
        ("ADDR", addr.clone()),
        ("ID", peer.clone()),
        ("node.key", at("node.key")),
        ("kubo.json", at("kubo.json")),
        ("node.toml", at("node.toml")),
        ("run.rec", at("run.rec")),
        ("trace.svg", at("trace.svg")),
        ("dial.rec", at("dial.rec")),
    ]);
    let lines = examples("sh");
    assert!(lines.len() > 8, "{lines:?}");
    for line in lines {
        let command = line.split('#').next().unwrap().trim();
        let Some(command) = command.strip_prefix("p2p ") else {
            assert!(command.is_empty() || command.starts_with("cargo "), "{line}");
            continue;
        };
        let args: Vec<String> = command
            .split_whitespace()
            .map(|word| {
                words
                    .get(word)
                    .cloned()
                    .unwrap_or_else(|| word.replace("/p2p/ID", &format!("/p2p/{peer}")))
            })
            .collect();
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        match args[0] {
            // These run until they are stopped, or take long.
            "listen" => args.extend(["--timeout", "0.2"]),
            "demo" => args.extend(["--mib", "1"]),
            _ => {}
        }
        let done = run(&args);
        assert_eq!(done.code, Some(0), "{line}: {done:?}");
    }
}

#[test]
fn the_configuration_of_the_readme_is_understood() {
    let text = examples("toml").join("\n");
    assert!(!text.is_empty());
    let (_folder, config) = crate::support::file("p2p.toml", &text);
    let done = run(&[
        "listen",
        "--config",
        &config,
        "--timeout",
        "0.1",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ]);
    assert_eq!(done.code, Some(0), "{done:?}");
}
