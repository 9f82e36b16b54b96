//! Kademlia between processes: what one dialer leaves at a listener, another one finds there.

use crate::support::{Done, Listener, dial, run};
use serde_json::json;

fn all_well(done: &Done) {
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn what_one_dialer_puts_and_provides_another_finds() {
    let listener = Listener::start(&["--services", "identify,kad"]);
    let left = dial(&listener.addr(), &["kad-put:k:value", "kad-provide:text"], &[]);
    all_well(&left);
    assert_eq!(left.line("kad-put:k:value")["peers"], 1);

    let find_peer = format!("kad-find-peer:{}", listener.peer());
    let actions = [
        "kad-get:k",
        "kad-find-providers:text",
        &find_peer,
        "kad-closest:text",
    ];
    let found = dial(&listener.addr(), &actions, &[]);
    all_well(&found);
    assert_eq!(found.line("kad-get:k")["value"], "value");
    let providers = &found.line("kad-find-providers:text")["providers"];
    assert_eq!(providers.as_array().map(Vec::len), Some(1));
    let addr = found.line(&find_peer)["addrs"][0]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(listener.addr().starts_with(&addr), "{addr}");
    let peers = found.line("kad-closest:text")["peers"].clone();
    assert!(
        peers.as_array().unwrap().contains(&json!(listener.peer())),
        "{peers}"
    );
}

#[test]
fn a_name_that_one_dialer_publishes_another_resolves_and_a_second_record_succeeds_the_first() {
    let listener = Listener::start(&["--services", "identify,kad"]);
    let publish = ["ipns-publish:/ipfs/one", "ipns-publish:/ipfs/two"];
    let published = dial(&listener.addr(), &publish, &[]);
    all_well(&published);
    let name = published.line("ipns-publish:/ipfs/two")["name"].clone();
    let resolve = format!("ipns-resolve:{}", name.as_str().unwrap());
    let resolved = dial(&listener.addr(), &[&resolve], &[]);
    all_well(&resolved);
    assert_eq!(resolved.line(&resolve)["value"], "/ipfs/two");
    assert_eq!(resolved.line(&resolve)["sequence"], 1);

    let nobody = format!("ipns-resolve:{}", listener.peer());
    let done = dial(&listener.addr(), &[&nobody], &[]);
    assert_eq!(done.line(&nobody)["error"], "not found");
}

#[test]
fn what_nobody_has_is_not_found_and_another_network_is_another_one() {
    let listener = Listener::start(&["--kad-protocol", "/x/kad/1"]);
    let done = dial(
        &listener.addr(),
        &["kad-get:none"],
        &["--kad-protocol", "/x/kad/1"],
    );
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.line("kad-get:none")["error"], "not found");
    let done = dial(&listener.addr(), &["kad-get:none"], &[]);
    assert_eq!(done.line("kad-get:none")["error"], "no peers to ask");
}

#[test]
fn a_listener_without_the_service_is_nobody_to_ask() {
    let listener = Listener::start(&["--services", "identify,ping"]);
    let actions = ["kad-closest:x", "kad-provide:t", "kad-find-providers:t", "ping:1"];
    let done = dial(&listener.addr(), &actions, &[]);
    assert_eq!(done.code, Some(1), "{done:?}");
    // Nor are we one who provides what nobody was told of.
    for action in &actions[..3] {
        assert_eq!(done.line(action)["ok"], false, "{done:?}");
    }
    assert_eq!(done.line("ping:1")["ok"], true);
}

#[test]
fn a_trace_tells_every_step_of_a_lookup_and_draws_it() {
    let first = Listener::start(&["--services", "identify,kad"]);
    let others = [1, 2].map(|_| {
        let mut other = Listener::start(&["--services", "identify,kad", "--peer", &first.addr()]);
        other.event("connected");
        other
    });
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("trace.svg");
    let picture = svg.to_str().unwrap();
    let trace = |key: &str, more: &[&str]| {
        let (addr, mut args) = (first.addr(), vec!["kad", "trace", key, "--via"]);
        args.push(&addr);
        args.extend(more);
        run(&args)
    };
    let done = trace("hello", &["--svg", picture]);
    all_well(&done);
    let lines = done.lines();
    let asked: Vec<_> = lines.iter().filter(|line| line["event"] == "asked").collect();
    assert_eq!(asked.len(), 3, "{lines:?}");
    assert_eq!(
        (&asked[0]["peer"], &asked[0]["hop"]),
        (&json!(first.peer()), &json!(0))
    );
    for other in &others {
        let named = asked.iter().find(|line| line["peer"] == other.peer()).unwrap();
        assert_eq!((&named["from"], &named["hop"]), (&json!(first.peer()), &json!(1)));
        assert!(named["sharedBits"].is_u64() && named["ms"].is_number());
    }
    let end = lines.last().unwrap();
    // Those who traced before are known too, and gone.
    let failed = lines.iter().filter(|line| line["event"] == "failed").count();
    let wanted = json!({"event": "trace", "ok": true, "asked": 3 + failed, "answered": 3, "failed": failed, "hops": 2});
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(&end[field], value, "{end}");
    }
    let svg = std::fs::read_to_string(&svg).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains(&first.peer()) && svg.contains("lookup of hello: "));
    // A file is never overwritten.
    let again = trace("hello", &["--svg", picture]);
    assert_ne!(again.code, Some(0), "{again:?}");
    let nobody = trace("hello", &["--kad-protocol", "/another/kad/1"]);
    assert_eq!(nobody.code, Some(1));
    assert_eq!(nobody.lines().last().unwrap()["error"], "no peers to ask");
}
