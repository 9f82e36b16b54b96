//! AutoNAT between processes, and the diagnosis that stands on it.

use crate::support::{Listener, dial, run};
use serde_json::json;

const SERVICES: [&str; 2] = ["--services", "identify,ping,relay,autonat,autonat2"];

#[test]
fn a_listener_dials_back_with_both_versions_and_the_first_connection_stays() {
    let listener = Listener::start(&SERVICES);
    let done = dial(&listener.addr(), &["autonat2", "autonat", "alive"], &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for action in ["autonat", "autonat2"] {
        assert_eq!(done.line(action)["reachability"], "public");
    }
}

#[test]
fn a_listener_that_does_not_serve_says_so() {
    let listener = Listener::start(&["--services", "identify,ping"]);
    let done = dial(&listener.addr(), &["autonat2", "autonat"], &[]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let error = &done.line("autonat")["error"];
    assert_eq!(error, "no answer: protocol not supported by the peer");
}

#[test]
fn the_diagnosis_tells_whether_who_and_how() {
    let listener = Listener::start(&SERVICES);
    let done = run(&["nat", &listener.addr(), "--listen", "/ip4/127.0.0.1/tcp/0"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let told = &done.lines()[0];
    assert_eq!(told["reachability"], "public");
    assert_eq!((&told["reached"], &told["notReached"]), (&json!(2), &json!(0)));
    assert_eq!(told["mapping"], "none");
    assert_eq!(told["relays"], json!([listener.peer()]));
    assert_eq!(told["punches"], json!([]));
    let first = told["text"][0].as_str().unwrap();
    assert!(first.starts_with("Reachability: public."), "{first}");
    let nobody = run(&[
        "nat",
        "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5",
    ]);
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert_eq!(nobody.lines()[0]["reachability"], "unknown");
    assert_eq!(run(&["nat", "/ip4/127.0.0.1/tcp/1"]).code, Some(64));
}
