//! One node, whatever it stands on.

use crate::support::{Listener, dial, run};

const RUNTIMES: [&str; 4] = ["tokio", "smol", "async-std", "mio"];

#[test]
fn every_action_succeeds_between_any_two_runtimes() {
    let long = format!("echo:{}", "x".repeat(100_000));
    let actions = [
        "ping:2",
        "identify",
        "push:/pushed/1",
        "perf:3000000:3000000",
        &long,
        "reqresp:hello",
        "fetch:a",
        "alive",
    ];
    for serves in RUNTIMES {
        let mut listener = Listener::start(&["--runtime", serves]);
        assert_eq!(listener.listening["runtime"], serves);
        for dials in RUNTIMES {
            let done = dial(&listener.addr(), &actions, &["--runtime", dials]);
            assert_eq!(done.code, Some(0), "{dials} to {serves}: {done:?}");
            listener.event("disconnected");
        }
        assert_eq!(listener.stop("TERM"), Some(0), "{serves}");
    }
}

#[test]
fn a_name_is_resolved_and_a_closed_port_reported_on_every_runtime() {
    for runtime in RUNTIMES {
        let id = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
        let done = dial(
            &format!("/ip4/127.0.0.1/tcp/1/p2p/{id}"),
            &["ping"],
            &["--runtime", runtime],
        );
        assert_eq!(done.code, Some(1), "{runtime}");
        let error = done.line("connect")["error"].to_string();
        assert!(error.contains("refused"), "{runtime}: {error}");

        let listener = Listener::start(&[]);
        let named = listener.addr().replace("/ip4/127.0.0.1", "/dns4/localhost");
        let done = dial(&named, &["ping:1"], &["--runtime", runtime]);
        assert_eq!(done.code, Some(0), "{runtime}: {done:?}");
    }
}

#[test]
fn a_listener_cannot_take_a_port_that_is_in_use_on_any_runtime() {
    let first = Listener::start(&[]);
    let addr = first.addr();
    let taken = addr.split("/p2p/").next().unwrap();
    for runtime in RUNTIMES {
        let done = run(&["listen", "--listen", taken, "--runtime", runtime]);
        assert_eq!(done.code, Some(1), "{runtime}: {done:?}");
        assert!(done.stderr.contains("the port is in use"), "{runtime}: {done:?}");
    }
}

#[test]
fn a_runtime_that_is_not_there_is_wrong_usage_and_those_that_are_get_named() {
    let done = run(&["listen", "--runtime", "glommio"]);
    assert_eq!(done.code, Some(64));
    for runtime in RUNTIMES {
        assert!(done.stderr.contains(runtime), "{done:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn listeners_on_one_link_find_each_other_on_every_runtime() {
    // The loopback interface alone: nothing leaves this machine.
    let args = |runtime| {
        let services = "identify,ping,mdns";
        [
            "--services",
            services,
            "--mdns-interface",
            "lo",
            "--runtime",
            runtime,
        ]
    };
    let mut first = Listener::start(&args(RUNTIMES[0]));
    for runtime in RUNTIMES {
        let mut other = Listener::start(&args(runtime));
        let found = |listener: &mut Listener, whom: &str| {
            while listener.event("discovered")["peer"] != whom {}
        };
        found(&mut first, &other.peer());
        found(&mut other, &first.peer());
        // What leaves in order is known to have gone.
        let gone = other.peer();
        assert_eq!(other.stop("TERM"), Some(0), "{runtime}");
        while first.event("expired")["peer"] != gone.as_str() {}
    }
}
