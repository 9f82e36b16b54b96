//! `--record` and `p2p replay`.

use crate::support::{Listener, dial, file, run};
use serde_json::Value;
use std::fs;

/// What a dialer asks in these sessions.
const ACTIONS: [&str; 9] = [
    "ping:2",
    "identify",
    "push:/a/1",
    "perf:300000:300000",
    "echo:hello",
    "reqresp:hello",
    "fetch:a",
    "kad-put:k:v",
    "kad-get:k",
];

/// A session with a listener on `runtime`, recorded; the folder and the file.
fn session(runtime: &str) -> (tempfile::TempDir, String) {
    let (folder, path) = new_file();
    let mut listener = Listener::start(&["--runtime", runtime, "--record", &path, "--seed", "5"]);
    let done = dial(&listener.addr(), &ACTIONS, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(listener.stop("TERM"), Some(0));
    (folder, path)
}

fn new_file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.rec").to_str().unwrap().to_owned();
    (folder, path)
}

/// Repeats a recording twice: everything comes out as it was recorded, and the two say the same, byte for byte. The lines that were shown.
fn repeated(path: &str) -> Vec<Value> {
    let (first, second) = (run(&["replay", path]), run(&["replay", path]));
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(first.stdout, second.stdout);
    let lines = first.lines();
    let end = lines.last().unwrap();
    assert_eq!(
        (&end["equal"], &end["whole"], &end["unseen"]),
        (&true.into(), &true.into(), &Value::Null),
        "{end}"
    );
    assert!(end["outputs"].as_u64().unwrap() > 10, "{end}");
    // The secret of --seed 5.
    let text = fs::read_to_string(path).unwrap();
    assert!(!text.contains(&format!("05{}", "0".repeat(62))));
    lines
}

#[test]
fn a_listener_at_a_relay_is_recorded_with_its_slot_and_what_came_over_it() {
    let relay = Listener::start(&["--services", "identify,relay"]);
    let (_folder, path) = new_file();
    let args = ["--relay", &relay.addr(), "--record", &path, "--seed", "5"];
    let mut listener = Listener::start(&args);
    let addrs = listener.listening["addrs"].as_array().unwrap();
    let mut addrs = addrs.iter().filter_map(Value::as_str);
    let circuit = addrs
        .find(|addr| addr.contains("p2p-circuit"))
        .unwrap()
        .to_owned();
    let done = dial(&circuit, &["ping:1", "identify", "perf:1000:1000"], &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(listener.stop("TERM"), Some(0));
    let lines = repeated(&path);
    shows(&lines, "command", "reserve");
}

#[track_caller]
fn shows(lines: &[Value], event: &str, words: &str) {
    let shown = |line: &Value| {
        let what = line["what"].as_str().unwrap_or_default();
        line["event"] == event && what.contains(words)
    };
    assert!(lines.iter().any(shown), "no {event} {words:?}");
}

#[test]
fn a_recorded_listener_is_repeated_with_equal_outputs_on_every_runtime() {
    for runtime in ["tokio", "smol", "async-std", "mio"] {
        let (_folder, path) = session(runtime);
        let lines = repeated(&path);
        shows(&lines, "event", "Connected");
        shows(&lines, "command", "respond ");
        shows(&lines, "told", "Identified");
    }
}

#[test]
fn a_recorded_dialer_is_repeated_with_equal_outputs_on_every_runtime() {
    for runtime in ["tokio", "smol", "async-std", "mio"] {
        let (_folder, path) = new_file();
        let listener = Listener::start(&[]);
        let options = ["--runtime", runtime, "--record", &path, "--seed", "5"];
        let done = dial(&listener.addr(), &ACTIONS, &options);
        assert_eq!(done.code, Some(0), "{done:?}");
        let lines = repeated(&path);
        shows(&lines, "in", "Dial(");
        shows(&lines, "command", "ping ");
        shows(&lines, "command", "request ");
        shows(&lines, "command", "inbound /a/1 1");
        shows(&lines, "told", "Pong");
        shows(&lines, "told", "Done");
    }
}

#[test]
fn a_dial_that_fails_is_recorded_and_repeated_too() {
    let (_folder, path) = new_file();
    // Nobody listens there any more.
    let mut listener = Listener::start(&[]);
    let addr = listener.addr();
    assert_eq!(listener.stop("TERM"), Some(0));
    let done = dial(&addr, &["ping"], &["--record", &path]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let done = run(&["replay", &path]);
    assert_eq!(done.code, Some(0), "{done:?}");
    shows(&done.lines(), "event", "DialFailed");
}

#[test]
fn a_changed_recording_is_told_with_its_line_and_exit_status_1() {
    let (_folder, path) = session("tokio");
    let text = fs::read_to_string(&path).unwrap();
    let number = text.lines().position(|line| line.starts_with("event ")).unwrap();
    let changed: String = text
        .lines()
        .enumerate()
        .map(|(place, line)| {
            if place == number {
                String::from("event 0\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    fs::write(&path, changed).unwrap();
    let done = run(&["replay", &path]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let lines = done.lines();
    let end = lines.last().unwrap();
    assert_eq!(end["equal"], false);
    assert!(
        end["error"]
            .as_str()
            .unwrap()
            .starts_with(&format!("line {}: ", number + 1)),
        "{end}"
    );

    fs::write(&path, text.replacen(" drive ", " twirl ", 1)).unwrap();
    let done = run(&["replay", &path]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.stderr.contains("line ") && done.stderr.contains("twirl"),
        "{done:?}"
    );
}

#[test]
fn a_recording_never_overwrites_a_file_and_does_not_go_with_an_address_book() {
    let (_folder, path) = file("old", "precious");
    let done = run(&["listen", "--record", &path]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.stderr.contains(&path) && done.stderr.contains("exists"),
        "{done:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let (_folder, config) = file("p2p.toml", "address_book = \"book\"\n");
    let done = run(&["listen", "--config", &config, "--record", "/nowhere/file"]);
    assert_eq!(done.code, Some(64), "{done:?}");
    assert!(done.stderr.contains("address_book"), "{done:?}");
}

#[test]
fn what_is_no_recording_is_refused_with_its_reason() {
    let (_folder, path) = file("text", "hello\n");
    let done = run(&["replay", &path]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("line 1: not a recording"), "{done:?}");
    let done = run(&["replay", "/nowhere/file"]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("/nowhere/file"), "{done:?}");
}
