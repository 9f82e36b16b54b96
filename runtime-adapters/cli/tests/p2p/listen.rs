//! `p2p listen`, as the contract says.

use crate::support::{Listener, dial, finish, p2p, run, run_with};
use serde_json::json;
use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{TcpListener, TcpStream},
};

/// The peer id of seed 1, as every implementation makes it.
const SEED_1: &str = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";

#[test]
fn the_first_line_says_who_listens_where_and_with_what() {
    let listener = Listener::start(&[]);
    let line = &listener.listening;
    assert_eq!(line["impl"], "libp2p-proto");
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        line["services"],
        json!([
            "identify", "push", "ping", "perf", "echo", "reqresp", "fetch", "gossip", "kad", "relay"
        ])
    );
    let addrs = line["addrs"].as_array().unwrap();
    assert_eq!(addrs.len(), 1);
    let addr = addrs[0].as_str().unwrap();
    assert!(addr.starts_with("/ip4/127.0.0.1/tcp/"), "{addr}");
    assert!(!addr.contains("/tcp/0/"), "{addr}");
    assert!(addr.ends_with(&format!("/p2p/{}", listener.peer())), "{addr}");
}

#[test]
fn sigterm_and_sigint_end_a_listener_in_order() {
    for signal in ["TERM", "INT"] {
        let mut listener = Listener::start(&[]);
        assert_eq!(listener.stop(signal), Some(0), "{signal}");
    }
}

#[test]
fn a_dialer_sees_a_listener_that_is_stopped_leave_in_order() {
    let mut listener = Listener::start(&[]);
    let actions = [
        "--do", "identify", "--do", "ping:1", "--do", "wait:3", "--do", "alive",
    ];
    let mut dialer = p2p(&[&["dial", &listener.addr()], &actions[..]].concat())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(dialer.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    // Both know each other: nothing is on its way any more.
    listener.event("identify-push");
    assert!(lines.by_ref().take(3).last().unwrap().contains("ping:1"));
    assert_eq!(listener.stop("TERM"), Some(0));
    let alive = lines.last().unwrap();
    assert!(alive.contains("connection lost: the peer closed it"), "{alive}");
    assert_eq!(finish(dialer).code, Some(1));
}

#[test]
fn the_time_limit_ends_a_listener_in_order() {
    let mut listener = Listener::start(&["--timeout", "0.2"]);
    assert_eq!(listener.code(), Some(0));
}

#[test]
fn a_seed_makes_the_peer_that_it_makes_everywhere() {
    let listener = Listener::start(&["--seed", "1"]);
    assert_eq!(listener.peer(), SEED_1);
    // The same seed, written out: its number in little-endian order, then zeros, then the public key.
    assert_ne!(Listener::start(&["--seed", "2"]).peer(), SEED_1);
    assert_ne!(Listener::start(&[]).peer(), Listener::start(&[]).peer());
}

#[test]
fn every_key_type_dials_every_key_type() {
    let keys = ["ed25519", "secp256k1", "ecdsa", "rsa"];
    for theirs in keys {
        let (_folder, config) = crate::support::roomy("");
        let listener = Listener::start(&["--key", theirs, "--config", &config]);
        let prefix = if theirs == "ed25519" || theirs == "secp256k1" {
            "1"
        } else {
            "Qm"
        };
        assert!(
            listener.peer().starts_with(prefix),
            "{theirs}: {}",
            listener.peer()
        );
        for ours in keys {
            let done = dial(&listener.addr(), &["ping:1", "identify"], &["--key", ours]);
            assert_eq!(done.code, Some(0), "{ours} to {theirs}: {done:?}");
        }
    }
}

#[test]
fn services_are_mounted_as_asked_for() {
    let listener = Listener::start(&["--services", "echo,ping"]);
    assert_eq!(listener.listening["services"], json!(["ping", "echo"]));
    let done = dial(&listener.addr(), &["ping:1", "echo:a", "fetch:a"], &[]);
    assert_eq!(done.code, Some(1));
    assert_eq!(done.line("ping:1")["ok"], true);
    assert_eq!(done.line("echo:a")["ok"], true);
    let fetch = done.line("fetch:a");
    assert_eq!(fetch["ok"], false);
    assert!(
        fetch["error"].as_str().unwrap().contains("not supported"),
        "{fetch}"
    );
    let listener = Listener::start(&["--services", "push"]);
    assert_eq!(listener.listening["services"], json!(["identify", "push"]));
    let listener = Listener::start(&["--services", ""]);
    assert_eq!(listener.listening["services"], json!([]));
    assert_eq!(dial(&listener.addr(), &["alive"], &[]).code, Some(0));
}

#[test]
fn identify_and_push_are_reported() {
    let mut listener = Listener::start(&[]);
    let done = dial(&listener.addr(), &["push:/pushed/1"], &["--seed", "1"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let has = |line: &serde_json::Value| {
        line["protocols"]
            .as_array()
            .unwrap()
            .contains(&json!("/pushed/1"))
    };
    let before = listener.event("identify-push");
    assert_eq!(before["peer"], SEED_1);
    assert!(!has(&before), "{before}");
    let after = listener.event_where("identify-push", has);
    assert_eq!(after["peer"], SEED_1);
}

#[test]
fn every_listener_has_an_address_and_every_address_works() {
    let listener = Listener::start(&[
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--listen",
        "/ip4/127.0.0.2/tcp/0",
        "--transport",
        "tcp",
    ]);
    let addrs = listener.listening["addrs"].as_array().unwrap().clone();
    assert_eq!(addrs.len(), 2);
    for addr in addrs {
        let done = dial(addr.as_str().unwrap(), &["ping:1"], &[]);
        assert_eq!(done.code, Some(0), "{addr}: {done:?}");
    }
}

#[test]
fn a_websocket_works_as_tcp_does_by_address_and_by_name() {
    let listener = Listener::start(&["--transport", "ws", "--transport", "tcp"]);
    let addrs = listener.listening["addrs"].as_array().unwrap().clone();
    assert_eq!(addrs.len(), 2);
    let ws = addrs[0].as_str().unwrap();
    assert!(
        ws.contains("/ws/p2p/") && !addrs[1].as_str().unwrap().contains("/ws"),
        "{addrs:?}"
    );
    let named = ws.replace("/ip4/127.0.0.1", "/dns4/localhost");
    for addr in [ws, &named] {
        let done = dial(
            addr,
            &["ping:1", "identify", "perf:300000:300000", "echo:hello"],
            &[],
        );
        assert_eq!(done.code, Some(0), "{addr}: {done:?}");
    }
}

#[test]
fn the_unspecified_address_is_announced_as_those_of_the_interfaces() {
    let listener = Listener::start(&["--listen", "/ip4/0.0.0.0/tcp/0"]);
    let addrs = listener.listening["addrs"].as_array().unwrap();
    let texts: Vec<_> = addrs.iter().map(|addr| addr.as_str().unwrap()).collect();
    assert!(texts.iter().all(|addr| !addr.contains("0.0.0.0")), "{texts:?}");
    let loopback = texts.iter().find(|addr| addr.starts_with("/ip4/127.0.0.1/tcp/"));
    let done = dial(loopback.unwrap(), &["identify"], &[]);
    let told = done.line("identify")["listenAddrs"].clone();
    let told: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|addr| addr.as_str().unwrap().to_owned())
        .collect();
    assert!(told.iter().all(|addr| !addr.contains("0.0.0.0")), "{told:?}");
    assert!(!told.is_empty());
}

#[test]
fn a_port_in_use_and_an_address_of_another_machine_are_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    let done = run(&["listen", "--listen", &addr]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.stdout, "");
    assert!(
        done.stderr.contains(&addr) && done.stderr.contains("in use"),
        "{done:?}"
    );
    let done = run(&["listen", "--listen", "/ip4/192.0.2.1/tcp/0"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("no interface has that address"), "{done:?}");
}

#[test]
fn topics_and_the_kademlia_protocol_are_accepted_where_nothing_uses_them() {
    let listener = Listener::start(&["--topic", "a", "--topic", "b", "--kad-protocol", "/x/kad/1"]);
    let done = dial(
        &listener.addr(),
        &["ping:1"],
        &["--topic", "a", "--kad-protocol", "/x/kad/1"],
    );
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn a_reader_that_has_gone_away_stops_no_service() {
    let mut child = p2p(&["listen", "--seed", "1", "--timeout", "20"])
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = Vec::new();
    let mut byte = [0];
    while out.read(&mut byte).is_ok_and(|n| n > 0) && byte != *b"\n" {
        first.push(byte[0]);
    }
    drop(out);
    let line: serde_json::Value = serde_json::from_slice(&first).unwrap();
    let addr = line["addrs"][0].as_str().unwrap();
    for _ in 0..2 {
        let done = dial(addr, &["identify", "ping:1"], &[]);
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn listening_does_not_wait_for_standard_input() {
    let done = run_with(&["listen", "--timeout", "0.1"], b"");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.lines()[0]["event"], "listening");
    let gone = done.lines()[0]["addrs"][0]
        .as_str()
        .unwrap()
        .split('/')
        .nth(4)
        .unwrap()
        .parse()
        .unwrap();
    assert!(TcpStream::connect(("127.0.0.1", gone)).is_err());
}
