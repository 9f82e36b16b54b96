//! Peers that are unreachable, wrong, silent, mad or greedy: a cause in one line, the right status, and others unharmed.

use crate::{
    puppet::{self, News, Script},
    support::{Done, Listener, dial, file, read_all, roomy},
};
use serde_json::json;
use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
};

/// Bytes of a listener until it has agreed on Noise: `/multistream/1.0.0`, then `/noise`.
const AGREED: usize = 20 + 8;

/// A failed connection is one line with a cause, and nothing else.
fn assert_failed(done: &Done, cause: &str) {
    assert_eq!(done.code, Some(1), "{done:?}");
    let lines = done.lines();
    assert_eq!(lines.len(), 1, "{done:?}");
    assert_eq!(
        (&lines[0]["do"], &lines[0]["ok"]),
        (&json!("connect"), &json!(false))
    );
    let error = lines[0]["error"].as_str().unwrap();
    assert!(error.contains(cause), "{cause}: {error}");
    assert!(!error.contains('\n'), "{error}");
}

/// A dialer's configuration that waits for no handshake longer than this.
fn hasty() -> (tempfile::TempDir, String) {
    file(
        "p2p.toml",
        "[limits]\noutbound_upgrade = 0.4\ninbound_upgrade = 0.4\naccepts_per_second = 1000\nmax_pending_per_ip = 100\n",
    )
}

fn assert_serves(listener: &Listener) {
    let done = dial(&listener.addr(), &["ping:2", "identify"], &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn an_unreachable_address_is_refused_with_the_way_out() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let peer = Listener::start(&[]).peer();
    let done = dial(&format!("/ip4/127.0.0.1/tcp/{free}/p2p/{peer}"), &["ping"], &[]);
    assert_failed(&done, "connection refused");
    assert!(done.stdout.contains("is the peer running"), "{done:?}");
    assert_failed(
        &dial(&format!("/ip4/127.0.0.1/tcp/0/p2p/{peer}"), &["ping"], &[]),
        "",
    );
}

#[test]
fn a_wrong_peer_id_is_told_as_such() {
    let listener = Listener::start(&[]);
    let wrong = Listener::start(&["--seed", "1"]).peer();
    let addr = listener.addr().replace(&listener.peer(), &wrong);
    assert_failed(&dial(&addr, &["ping"], &[]), "wrong peer");
    assert_serves(&listener);
}

#[test]
fn dialing_oneself_is_told_as_such() {
    let listener = Listener::start(&["--seed", "1"]);
    assert_failed(
        &dial(&listener.addr(), &["ping"], &["--seed", "1"]),
        "our own peer id",
    );
    assert_serves(&listener);
}

#[test]
fn a_peer_that_talks_something_else_is_told_as_such() {
    let (_folder, config) = hasty();
    for said in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        &[0xff; 64],
        &[0; 64],
        b"\x13/multistream/1.0.0\n\x06/nope\n",
        b"\x13/multistream/2.0.0\n",
    ] {
        let said: &'static [u8] = said;
        let done = dial(
            &puppet::listen(Script::Say(said)),
            &["ping"],
            &["--config", &config],
        );
        // Some first bytes announce a line that never ends; then only the clock tells.
        assert_failed(&done, "libp2p");
    }
    // It has no Noise: a refusal in good order.
    let done = dial(
        &puppet::listen(Script::Say(b"\x13/multistream/1.0.0\n\x03na\n")),
        &["ping"],
        &[],
    );
    assert_failed(&done, "nothing in common");
    // It agrees on Noise, and then talks nonsense.
    let done = dial(&puppet::listen(Script::Say(b"\x13/multistream/1.0.0\n\x07/noise\n\x00\x40nonsense nonsense nonsense nonsense nonsense nonsense nonsense nons")), &["ping"], &[]);
    assert_failed(&done, "handshake failed");
}

#[test]
fn a_flood_of_nonsense_is_cut_off() {
    let done = dial(&puppet::listen(Script::Noise(32 << 20)), &["ping"], &[]);
    assert_failed(&done, "does not speak libp2p");
}

#[test]
fn a_peer_that_falls_silent_in_any_phase_of_the_handshake_is_given_up() {
    let (_folder, config) = hasty();
    for (script, phase) in [
        (Script::SilentAfter(0), "security negotiation"),
        (Script::SilentAfter(10), "security negotiation"),
        (Script::SilentAfter(20), "security negotiation"),
        (Script::SilentAfter(AGREED), "Noise handshake"),
        (Script::SilentAfter(AGREED + 50), "Noise handshake"),
        (Script::SilentBeforeMuxer, "muxer negotiation"),
    ] {
        let done = dial(&puppet::listen(script), &["ping"], &["--config", &config]);
        assert_failed(
            &done,
            &format!("the handshake did not end in time: it stalled in the {phase}"),
        );
        assert!(done.stdout.contains("outbound_upgrade"), "{done:?}");
    }
}

#[test]
fn a_peer_that_falls_silent_after_noise_is_connected_and_answers_nothing() {
    let addr = puppet::listen(Script::SilentOnceUp);
    let done = dial(&addr, &["ping:1", "identify", "alive"], &["--timeout", "2"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.line("connect")["ok"], true);
    for action in ["ping:1", "identify"] {
        let error = done.line(action)["error"].as_str().unwrap().to_owned();
        assert!(error.contains("time limit of 2 s"), "{action}: {error}");
    }
}

#[test]
fn a_peer_that_closes_in_any_phase_is_told_as_such() {
    for bytes in [1, 20, AGREED, AGREED + 50] {
        let done = dial(&puppet::listen(Script::CloseAfter(bytes)), &["ping"], &[]);
        assert_failed(&done, "closed the connection early");
    }
}

#[test]
fn a_dial_ends_although_the_peer_leaves_as_soon_as_it_is_connected() {
    let addr = puppet::listen(Script::LeaveOnceUp);
    for _ in 0..20 {
        // The end may come before the connection is told, or behind it.
        let done = dial(&addr, &["ping:1", "alive"], &["--timeout", "30"]);
        assert_eq!(done.code, Some(1), "{done:?}");
        if done.line("connect")["ok"] == true {
            assert_eq!(done.line("alive")["ok"], false, "{done:?}");
        } else {
            assert_failed(&done, "closed the connection early");
        }
        assert!(!done.stdout.contains("time limit"), "{done:?}");
    }
}

#[test]
fn dialers_that_fall_silent_in_any_phase_are_given_up_and_harm_nobody() {
    let (_folder, config) = hasty();
    let mut listener = Listener::start(&["--config", &config]);
    // Two more bytes of a length lead into the handshake.
    let scripts = [0, 10, 20, AGREED, AGREED + 20].map(Script::SilentAfter);
    let puppets = scripts.map(|script| puppet::dial(listener.socket(), script));
    let last = puppet::dial(listener.socket(), Script::SilentBeforeMuxer);
    assert_serves(&listener);
    let mut phases = Vec::new();
    for puppet in puppets.iter().chain([&last]) {
        puppet.wait(News::Ended);
        let line = listener.event("incoming-failed");
        let error = line["error"].as_str().unwrap();
        let (_, phase) = error
            .split_once("did not end in time: it stalled in the ")
            .unwrap_or_else(|| panic!("{line}"));
        phases.push(phase.split(';').next().unwrap().to_owned());
    }
    phases.sort();
    phases.dedup();
    assert_eq!(
        phases,
        ["Noise handshake", "muxer negotiation", "security negotiation"]
    );
    assert_serves(&listener);
}

#[test]
fn a_dialer_that_falls_silent_after_noise_harms_nobody() {
    let (_folder, config) = roomy("");
    let mut listener = Listener::start(&["--config", &config]);
    let puppet = puppet::dial(listener.socket(), Script::SilentOnceUp);
    puppet.wait(News::Acted);
    listener.event("connected");
    assert_serves(&listener);
    assert_eq!(listener.stop("TERM"), Some(0));
}

#[test]
fn dialers_that_talk_nonsense_are_cut_off_and_harm_nobody() {
    let (_folder, config) = roomy("");
    let mut listener = Listener::start(&["--config", &config]);
    for script in [
        Script::Say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        Script::Say(&[0xff; 64]),
        Script::Say(b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff"),
        Script::Noise(32 << 20),
    ] {
        let puppet = puppet::dial(listener.socket(), script);
        if !matches!(
            script,
            Script::Say(b"\x13/multistream/1.0.0\n\x07/noise\n\xff\xff")
        ) {
            let line = listener.event("incoming-failed");
            assert!(
                line["addr"].as_str().unwrap().starts_with("/ip4/127.0.0.1/tcp/"),
                "{line}"
            );
            puppet.wait(News::Ended);
        }
        assert_serves(&listener);
    }
}

#[test]
fn a_flood_of_connections_is_refused_and_the_connected_are_unharmed() {
    let (_folder, config) = file(
        "p2p.toml",
        "[limits]\naccepts_per_second = 1000\nmax_pending_per_ip = 3\n",
    );
    let mut listener = Listener::start(&["--config", &config]);
    let puppet = puppet::dial(listener.socket(), Script::SilentOnceUp);
    puppet.wait(News::Acted);
    listener.event("connected");
    let (host, port) = listener.socket();
    let flood: Vec<_> = (0..200)
        .map(|_| TcpStream::connect((host.as_str(), port)).unwrap())
        .collect();
    // Three are waited for, all others get not a byte.
    let refused = flood[3..]
        .iter()
        .filter(|socket| read_all(socket).is_empty())
        .count();
    assert!(refused >= 190, "{refused}");
    drop(flood);
    assert_serves(&listener);
    assert_eq!(listener.stop("TERM"), Some(0));
}

#[test]
fn a_host_that_comes_too_often_is_refused_by_default() {
    let listener = Listener::start(&[]);
    let (host, port) = listener.socket();
    let sockets: Vec<_> = (0..30)
        .map(|_| TcpStream::connect((host.as_str(), port)).unwrap())
        .collect();
    // The limit is five in a second; whoever is served gets the header of multistream once it asks.
    let served = sockets.iter().filter(|socket| {
        let mut socket: &TcpStream = socket;
        let asked = socket.write_all(b"\x13/multistream/1.0.0\n\x03na\n");
        asked.is_ok() && !read_all(socket).is_empty()
    });
    assert!(served.count() <= 10);
}

#[test]
fn a_flood_of_streams_is_refused_and_others_are_unharmed() {
    let (_folder, config) = roomy("");
    let mut listener = Listener::start(&["--config", &config]);
    let _puppet = puppet::dial(listener.socket(), Script::Streams(5000));
    listener.event("connected");
    assert_serves(&listener);
    assert_serves(&listener);
    assert_eq!(listener.stop("TERM"), Some(0));
}

#[test]
fn a_listener_that_dies_in_the_middle_is_told_as_such() {
    let mut listener = Listener::start(&[]);
    let child = crate::support::p2p(&[
        "dial",
        &listener.addr(),
        "--do",
        "ping:1",
        "--do",
        "perf:99999999999999:0",
        "--do",
        "alive",
    ]);
    let mut child = { child }.spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()
    };
    assert_eq!(next()["do"], "connect");
    assert_eq!(next()["do"], "ping:1");
    assert_eq!(listener.stop("KILL"), None);
    let (perf, alive) = (next(), next());
    assert!(
        perf["error"].as_str().unwrap().starts_with("connection lost"),
        "{perf}"
    );
    assert!(
        alive["error"].as_str().unwrap().starts_with("connection lost"),
        "{alive}"
    );
    assert_eq!(crate::support::finish(child).code, Some(1));
}
