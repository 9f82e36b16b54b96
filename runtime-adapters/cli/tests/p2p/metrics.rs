//! `--metrics`: what a scraper sees.

use crate::support::{Listener, dial, p2p, read_all, run};
use core::time::Duration;
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
};

/// A listener with metrics, and the socket of its endpoint.
struct Measured {
    child: std::process::Child,
    addr: String,
    endpoint: String,
}

impl Measured {
    fn start() -> Self {
        let mut child = p2p(&["listen", "--metrics", "127.0.0.1:0"]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let listening: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = listening["metrics"].as_str().unwrap();
        let endpoint = url
            .strip_prefix("http://")
            .unwrap()
            .strip_suffix("/metrics")
            .unwrap();
        Self {
            addr: listening["addrs"][0].as_str().unwrap().to_owned(),
            endpoint: endpoint.to_owned(),
            child,
        }
    }

    fn ask(&self, request: &str) -> String {
        let mut socket = TcpStream::connect(&self.endpoint).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        String::from_utf8(read_all(&socket)).unwrap()
    }

    fn scrape(&self) -> BTreeMap<String, u64> {
        let answer = self.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            head.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
            "{head}"
        );
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{head}"
        );
        samples(body)
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The samples of a text in the OpenMetrics format, which is checked on the way: every sample belongs to a family that was declared, and the end is marked.
fn samples(text: &str) -> BTreeMap<String, u64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let (mut types, mut samples) = (BTreeMap::new(), BTreeMap::new());
    for line in text.strip_suffix("# EOF\n").unwrap().lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name, kind).is_none(), "{name} is declared twice");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let bare = name.split('{').next().unwrap();
            let family = bare.strip_suffix("_total").unwrap_or(bare);
            let kind = types.get(family).unwrap_or_else(|| panic!("{line} has no type"));
            assert_eq!(bare.ends_with("_total"), *kind == "counter", "{line}");
            // What is no whole number is in seconds, and kept in microseconds.
            let micros = |seconds: f64| u64::try_from(Duration::from_secs_f64(seconds).as_micros()).unwrap();
            let value = value.parse().unwrap_or_else(|_| micros(value.parse().unwrap()));
            assert!(
                samples.insert(name.to_owned(), value).is_none(),
                "{line} comes twice"
            );
        }
    }
    samples
}

#[test]
fn a_scraper_sees_connections_and_protocols_in_the_openmetrics_format() {
    let measured = Measured::start();
    let before = measured.scrape();
    assert_eq!(before["p2p_connections"], 0);
    assert_eq!(before["p2p_ping_echoed_total"], 0);
    let done = dial(
        &measured.addr,
        &["ping:3", "identify", "reqresp:x", "push:/x/1"],
        &[],
    );
    assert_eq!(done.code, Some(0), "{done:?}");
    let mut holding = p2p(&["dial", &measured.addr, "--do", "ping:1", "--do", "wait:30"])
        .spawn()
        .unwrap();
    let mut out = BufReader::new(holding.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ping:1") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0);
    }
    let after = measured.scrape();
    assert_eq!(after["p2p_connections"], 1);
    assert_eq!(after["p2p_connections_inbound"], 1);
    assert_eq!(after["p2p_connections_opened_total{side=\"inbound\"}"], 2);
    assert_eq!(after["p2p_ping_echoed_total"], 4);
    assert_eq!(after["p2p_reqresp_answers_total"], 1);
    assert_eq!(after["p2p_identify_pushes_received_total"], 1);
    assert!(after["p2p_identify_identified_total"] >= 1);
    assert!(after["p2p_frames_in_total"] > 0 && after["p2p_frames_out_total"] > 0);
    assert!(
        after
            .keys()
            .any(|name| name.starts_with("p2p_connections_ended_total{cause=")),
        "{after:?}"
    );
    holding.kill().unwrap();
    holding.wait().unwrap();
}

#[test]
fn a_scraper_sees_what_connections_carried_and_their_round_trip() {
    let measured = Measured::start();
    let done = dial(&measured.addr, &["perf:100000:200000"], &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let mut holding = p2p(&[
        "dial",
        &measured.addr,
        "--do",
        "perf:300000:400000",
        "--do",
        "wait:30",
    ])
    .spawn()
    .unwrap();
    let is_told = |now: &BTreeMap<String, u64>| {
        let of_one = |what: &str| {
            let mut samples = now.iter().filter(|(name, _)| name.starts_with(what));
            let one = samples.next().map_or(0, |(_, value)| *value);
            assert!(samples.next().is_none(), "one connection stands: {now:?}");
            one
        };
        of_one("p2p_connection_bytes_in_total{conn=") >= 300_000
            && of_one("p2p_connection_bytes_out_total{conn=") >= 400_000
            && of_one("p2p_connection_rtt_seconds{conn=") > 0
    };
    let mut out = BufReader::new(holding.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("perf:") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0);
    }
    let mut now = measured.scrape();
    while !is_told(&now) {
        // It is told within a second, and the connection stands for thirty.
        assert_eq!(now["p2p_connections"], 1, "{now:?}");
        now = measured.scrape();
    }
    // The connection that is gone counts in the totals.
    assert!(now["p2p_bytes_in_total"] >= 400_000, "{now:?}");
    assert!(now["p2p_bytes_out_total"] >= 600_000, "{now:?}");
    holding.kill().unwrap();
    holding.wait().unwrap();
}

#[test]
fn other_requests_are_refused_with_their_status() {
    let measured = Measured::start();
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let answer = measured.ask(request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer}"
        );
    }
    let head = measured.ask("HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[test]
fn scrapers_that_say_nothing_hold_up_neither_the_node_nor_other_scrapers() {
    let measured = Measured::start();
    let _silent: Vec<_> = (0..5)
        .map(|_| TcpStream::connect(&measured.endpoint).unwrap())
        .collect();
    assert_eq!(dial(&measured.addr, &["ping:1"], &[]).code, Some(0));
    assert_eq!(
        measured.scrape()["p2p_connections_opened_total{side=\"inbound\"}"],
        1
    );
}

#[test]
fn an_endpoint_that_cannot_be_bound_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let done = run(&["listen", "--metrics", &addr]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.stderr.contains("--metrics") && done.stderr.contains(&addr),
        "{done:?}"
    );
}

#[test]
fn a_listener_without_the_option_opens_no_endpoint() {
    let listener = Listener::start(&[]);
    assert!(listener.listening["metrics"].is_null());
}
