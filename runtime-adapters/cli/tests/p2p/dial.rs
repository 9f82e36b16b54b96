//! `p2p dial`, as the contract says.

use crate::{
    puppet::{self, Script},
    support::{Listener, dial},
};
use serde_json::json;

#[test]
fn every_action_is_reported_in_order_with_its_fields() {
    let listener = Listener::start(&[]);
    let actions = [
        "ping",
        "ping:2",
        "identify",
        "push:/pushed/1",
        "perf:300000:500000",
        "perf:0:0",
        "echo:hello",
        "echo:",
        "reqresp:hello",
        "fetch:a",
        "fetch:missing",
        "wait:0.05",
        "alive",
    ];
    let done = dial(&listener.addr(), &actions, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let lines = done.lines();
    let told: Vec<_> = lines.iter().map(|line| line["do"].as_str().unwrap()).collect();
    assert_eq!(told[0], "connect");
    assert_eq!(told[1..], actions);
    assert!(lines.iter().all(|line| line["ok"] == true), "{done:?}");

    let connect = &lines[0];
    assert!(connect["ms"].as_f64().unwrap() > 0.0);
    assert_eq!(connect["peerId"], listener.peer());
    assert_eq!(connect["security"], "/noise");
    assert_eq!(connect["muxer"], "/yamux/1.0.0");
    assert_eq!(connect["relayed"], false);
    assert_eq!(done.line("ping")["rttMs"].as_array().unwrap().len(), 3);
    assert_eq!(done.line("ping:2")["rttMs"].as_array().unwrap().len(), 2);
    let perf = done.line("perf:300000:500000");
    assert_eq!(perf["upBytes"], 300_000);
    assert_eq!(perf["downBytes"], 500_000);
    assert!(perf["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(done.line("echo:hello")["echo"], "hello");
    assert_eq!(done.line("reqresp:hello")["response"], "re:hello");
    assert_eq!(done.line("fetch:a")["value"], "value-of-a");
    let missing = done.line("fetch:missing");
    assert!(missing.as_object().unwrap().contains_key("value") && missing["value"].is_null());
}

#[test]
fn identify_tells_what_the_peer_says_of_itself() {
    let listener = Listener::start(&[]);
    let done = dial(&listener.addr(), &["identify"], &[]);
    let line = done.line("identify");
    assert!(
        line["agentVersion"]
            .as_str()
            .unwrap()
            .starts_with("libp2p-proto/"),
        "{line}"
    );
    assert_eq!(line["protocolVersion"], "ipfs/0.1.0");
    let protocols = line["protocols"].as_array().unwrap();
    for name in [
        "/ipfs/id/1.0.0",
        "/ipfs/id/push/1.0.0",
        "/ipfs/ping/1.0.0",
        "/perf/1.0.0",
        "/echo/1.0.0",
        "/interop/reqresp/1.0.0",
        "/libp2p/fetch/0.0.1",
    ] {
        assert!(protocols.contains(&json!(name)), "{name}: {line}");
    }
    let at = listener.addr().replace(&format!("/p2p/{}", listener.peer()), "");
    assert!(
        line["listenAddrs"].as_array().unwrap().contains(&json!(at)),
        "{line}"
    );
    assert!(
        line["observedAddr"]
            .as_str()
            .unwrap()
            .starts_with("/ip4/127.0.0.1/tcp/"),
        "{line}"
    );
}

#[test]
fn an_unknown_action_is_unsupported_and_the_others_are_done() {
    let listener = Listener::start(&[]);
    let done = dial(&listener.addr(), &["ping:1", "sing", "dance"], &[]);
    assert_eq!(done.code, Some(2), "{done:?}");
    for action in ["sing", "dance"] {
        let line = done.line(action);
        assert_eq!(line["ok"], false);
        assert_eq!(line["unsupported"], true);
    }
    assert_eq!(done.line("ping:1")["ok"], true);
}

#[test]
fn a_failure_weighs_more_than_what_is_not_supported() {
    let listener = Listener::start(&["--services", "ping"]);
    let done = dial(&listener.addr(), &["dance", "echo:x"], &[]);
    assert_eq!(done.code, Some(1), "{done:?}");
}

#[test]
fn a_large_text_is_echoed_whole() {
    let listener = Listener::start(&[]);
    let text = "x".repeat(100_000);
    let done = dial(
        &listener.addr(),
        &[&format!("echo:{text}"), &format!("reqresp:{text}")],
        &[],
    );
    assert_eq!(done.code, Some(0));
}

#[test]
fn the_transport_option_is_ignored_by_a_dialer() {
    let listener = Listener::start(&[]);
    let options = [
        "--transport",
        "quic",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--json",
        "--security",
        "noise",
        "--muxer",
        "yamux",
    ];
    let done = dial(&listener.addr(), &["ping:1"], &options);
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn a_name_is_resolved() {
    let listener = Listener::start(&[]);
    let addr = listener.addr().replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    let done = dial(&addr, &["ping:1"], &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn a_name_that_is_none_is_told_with_its_cause() {
    let peer = Listener::start(&[]).peer();
    let addr = format!("/dns4/no-such-host.invalid/tcp/1/p2p/{peer}");
    let done = dial(&addr, &["ping:1"], &["--timeout", "20"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let line = done.line("connect");
    assert!(line["error"].as_str().unwrap().contains("resolve"), "{line}");
}

#[test]
fn the_time_limit_ends_a_run_and_every_action_is_still_reported() {
    let listener = Listener::start(&[]);
    let done = dial(
        &listener.addr(),
        &["ping:1", "wait:30", "ping:1", "alive"],
        &["--timeout", "1"],
    );
    assert_eq!(done.code, Some(1), "{done:?}");
    let lines = done.lines();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[1]["ok"], true);
    for line in &lines[2..] {
        assert_eq!(line["ok"], false);
        assert!(
            line["error"].as_str().unwrap().contains("time limit of 1 s"),
            "{line}"
        );
    }
}

#[test]
fn the_time_limit_holds_for_connecting_too() {
    let done = dial(
        &puppet::listen(Script::SilentAfter(0)),
        &["ping:1"],
        &["--timeout", "0.5"],
    );
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.lines().len(), 1);
    let line = done.line("connect");
    assert!(
        line["error"].as_str().unwrap().contains("time limit of 0.5 s"),
        "{line}"
    );
}

#[test]
fn nothing_but_json_is_on_standard_output_and_nothing_on_standard_error() {
    let listener = Listener::start(&[]);
    let done = dial(&listener.addr(), &["ping:1", "perf:1000000:1000000"], &[]);
    assert_eq!(done.stderr, "");
    assert_eq!(done.lines().len(), 3);
}

#[test]
fn pushing_a_name_that_is_handled_already_is_told_and_not_waited_for() {
    let listener = Listener::start(&[]);
    let done = dial(
        &listener.addr(),
        &["push:/a/1", "push:/b/1", "push:/a/1", "push:/ipfs/ping/1.0.0"],
        &["--timeout", "20"],
    );
    assert_eq!(done.code, Some(1), "{done:?}");
    let lines = done.lines();
    assert_eq!((&lines[1]["ok"], &lines[2]["ok"]), (&json!(true), &json!(true)));
    assert!(
        lines[3]["error"].as_str().unwrap().contains("already"),
        "{done:?}"
    );
}

#[test]
fn a_push_to_a_peer_without_it_fails_with_the_cause() {
    let listener = Listener::start(&["--services", "ping"]);
    let done = dial(&listener.addr(), &["push:/a/1", "identify"], &[]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.line("identify")["error"]
            .as_str()
            .unwrap()
            .contains("identify not supported"),
        "{done:?}"
    );
    assert!(
        done.line("push:/a/1")["error"]
            .as_str()
            .unwrap()
            .contains("identify not supported"),
        "{done:?}"
    );
}
