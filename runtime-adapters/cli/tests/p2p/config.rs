//! `--config`: what it sets, what it refuses, and what is kept between runs.

use crate::support::{Listener, dial, file, run};
use std::{fs, path::Path};

#[test]
fn the_printed_configuration_is_one_that_is_understood() {
    let printed = run(&["config"]);
    assert_eq!(printed.code, Some(0));
    for key in [
        "listen",
        "bootstrap",
        "identity",
        "address_book",
        "[limits]",
        "max_connections = 1024",
        "accepts_per_second = 5",
    ] {
        assert!(printed.stdout.contains(key), "{key}");
    }
    let (_folder, config) = file("p2p.toml", &printed.stdout);
    let listener = Listener::start(&["--config", &config]);
    assert_eq!(
        dial(&listener.addr(), &["ping:1"], &["--config", &config]).code,
        Some(0)
    );
}

#[test]
fn unknown_keys_and_bad_values_are_named_with_file_line_and_range() {
    for (text, parts) in [
        ("lisen = []\n", &[":1: ", "lisen"][..]),
        ("\nlisten = [\"4001\"]\n", &[":2: ", "4001"]),
        (
            "[limits]\nmax_conections = 1\n",
            &[":2: ", "max_conections", "max_connections"],
        ),
        (
            "[limits]\n\nmax_connections = 0\n",
            &[":3: ", "max_connections = 0", "1 to "],
        ),
        (
            "[limits]\ninbound_upgrade = \"long\"\n",
            &[":2: ", "inbound_upgrade = \"long\"", "seconds"],
        ),
        ("listen = [\n", &[":1: "]),
    ] {
        let (_folder, config) = file("p2p.toml", text);
        for args in [
            &["listen", "--config", &config][..],
            &[
                "dial",
                "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWRWqSZDt6DyMx2VhBCyr4WKLH6A4YJtHbNw4C7LWxbeGt",
                "--do",
                "ping",
                "--config",
                &config,
            ],
        ] {
            let done = run(args);
            assert_eq!(done.code, Some(64), "{done:?}");
            assert_eq!(done.stdout, "");
            assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
            assert!(done.stderr.contains("p2p.toml"), "{done:?}");
            for part in parts {
                assert!(done.stderr.contains(part), "{part}: {done:?}");
            }
        }
    }
    let done = run(&["listen", "--config", "/nonexistent/p2p.toml"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("/nonexistent/p2p.toml"), "{done:?}");
}

#[test]
fn options_win_over_the_file() {
    let (_folder, config) = file("p2p.toml", "listen = [\"/ip4/127.0.0.2/tcp/0\"]");
    let of_file = Listener::start(&["--config", &config]);
    assert!(
        of_file.addr().starts_with("/ip4/127.0.0.2/"),
        "{}",
        of_file.addr()
    );
    let of_option = Listener::start(&["--config", &config, "--listen", "/ip4/127.0.0.3/tcp/0"]);
    assert!(
        of_option.addr().starts_with("/ip4/127.0.0.3/"),
        "{}",
        of_option.addr()
    );
}

#[test]
fn limits_hold() {
    let (_folder, config) = file(
        "p2p.toml",
        "[limits]\nmax_inbound = 1\naccepts_per_second = 100\n",
    );
    let mut listener = Listener::start(&["--config", &config]);
    let mut first = crate::support::p2p(&["dial", &listener.addr(), "--do", "wait:30"])
        .spawn()
        .unwrap();
    listener.event("connected");
    let second = dial(&listener.addr(), &["ping:1"], &[]);
    assert_eq!(second.code, Some(1), "{second:?}");
    first.kill().unwrap();
    first.wait().unwrap();
    listener.event("disconnected");
    assert_eq!(dial(&listener.addr(), &["ping:1"], &[]).code, Some(0));
}

#[test]
fn an_idle_connection_is_closed_when_the_configuration_says_so() {
    let (_folder, config) = file("p2p.toml", "[limits]\nidle_timeout = 0.2\n");
    let mut listener = Listener::start(&["--config", &config, "--services", "identify"]);
    let done = dial(&listener.addr(), &["identify", "wait:2", "alive"], &[]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.line("wait:2")["ok"], true);
    assert!(
        done.line("alive")["error"]
            .as_str()
            .unwrap()
            .starts_with("connection lost"),
        "{done:?}"
    );
    listener.event("disconnected");
}

#[test]
fn bootstrap_peers_are_dialed_and_a_failure_is_an_event() {
    let mut peer = Listener::start(&[]);
    let (_folder, config) = file("p2p.toml", &format!("bootstrap = [\"{}\"]", peer.addr()));
    let mut listener = Listener::start(&["--config", &config]);
    let line = listener.event("connected");
    assert_eq!(
        (line["peer"].as_str().unwrap(), &line["inbound"]),
        (peer.peer().as_str(), &serde_json::json!(false))
    );
    peer.event("connected");
    drop(peer);
    let mut listener = Listener::start(&["--config", &config]);
    let line = listener.event("dial-failed");
    assert!(
        line["error"].as_str().unwrap().contains("connection refused"),
        "{line}"
    );
}

#[test]
fn a_bootstrap_peer_that_is_lost_is_dialed_again_until_it_is_back() {
    let mut peer = Listener::start(&["--seed", "5"]);
    let (addr, id) = (peer.addr(), peer.peer());
    let (_folder, config) = file("p2p.toml", &format!("bootstrap = [\"{addr}\"]"));
    let mut listener = Listener::start(&["--config", &config]);
    listener.event("connected");
    assert_eq!(peer.stop("KILL"), None);
    listener.event("disconnected");
    listener.event("dial-failed");
    listener.event("dial-failed");
    let addr = addr.split("/p2p/").next().unwrap();
    let _peer = Listener::start(&["--seed", "5", "--listen", addr]);
    assert_eq!(listener.event("connected")["peer"], *id);
}

#[test]
fn connections_are_trimmed_as_the_file_says() {
    let limits = "[limits]\ntrim_high = 2\ntrim_low = 1\ntrim_grace = 0.001\ntrim_every = 0.001\naccepts_per_second = 100\n";
    let (_folder, config) = file("p2p.toml", limits);
    let mut listener = Listener::start(&["--config", &config]);
    let mut dialers: Vec<_> = (0..3)
        .map(|_| {
            let mut dialer = crate::support::p2p(&["dial", &listener.addr(), "--do", "wait:30"]);
            let dialer = dialer.spawn().unwrap();
            listener.event("connected");
            dialer
        })
        .collect();
    // Of three, one is left.
    listener.event("disconnected");
    listener.event("disconnected");
    for dialer in &mut dialers {
        dialer.kill().unwrap();
        dialer.wait().unwrap();
    }
}

#[test]
fn an_identity_is_made_once_for_its_owner_alone() {
    let (folder, config) = file("p2p.toml", "identity = \"node.key\"");
    let first = Listener::start(&["--config", &config, "--key", "secp256k1"]).peer();
    // Relative to the file, wherever the command is run.
    let key = folder.path().join("node.key");
    assert_eq!(mode(&key), 0o600);
    assert_eq!(Listener::start(&["--config", &config]).peer(), first);
    let told = run(&["id", key.to_str().unwrap()]);
    assert_eq!(told.lines()[0]["peerId"], first);
    assert_eq!(told.lines()[0]["keyType"], "secp256k1");
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_way_out() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, config) = file("p2p.toml", "identity = \"node.key\"");
    let key = folder.path().join("node.key");
    assert_eq!(run(&["keygen", "--out", key.to_str().unwrap()]).code, Some(0));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let done = run(&["listen", "--config", &config, "--timeout", "1"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.stderr.contains("chmod 600") && done.stderr.contains("640"),
        "{done:?}"
    );
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_address_book_survives_a_restart() {
    let listener = Listener::start(&[]);
    let (folder, config) = file("p2p.toml", "address_book = \"peers.book\"");
    let by_id = format!("/p2p/{}", listener.peer());
    let unknown = dial(&by_id, &["ping:1"], &["--config", &config]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    let first = dial(&listener.addr(), &["identify"], &["--config", &config]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(fs::metadata(folder.path().join("peers.book")).unwrap().len() > 0);
    let again = dial(&by_id, &["ping:1"], &["--config", &config]);
    assert_eq!(again.code, Some(0), "{again:?}");
}

#[test]
fn a_damaged_address_book_is_told_and_stops_nothing() {
    let (folder, config) = file("p2p.toml", "address_book = \"peers.book\"");
    fs::write(folder.path().join("peers.book"), b"this is no address book").unwrap();
    let listener = Listener::start(&[]);
    let done = dial(&listener.addr(), &["ping:1"], &["--config", &config]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.stderr.contains("peers.book") && done.stderr.contains("damaged"),
        "{done:?}"
    );
}
