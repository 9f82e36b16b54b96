//! Wrong lines, help, and what is not there.

use crate::support::{file, run};
use serde_json::json;

const PEER: &str = "12D3KooWRWqSZDt6DyMx2VhBCyr4WKLH6A4YJtHbNw4C7LWxbeGt";

#[test]
fn wrong_usage_is_one_line_on_standard_error_and_status_64() {
    let addr = format!("/ip4/127.0.0.1/tcp/1/p2p/{PEER}");
    for args in [
        &[][..],
        &["lisen"],
        &["listen", "--lisen", "/ip4/127.0.0.1/tcp/0"],
        &["listen", "surplus"],
        &["listen", "--listen", "127.0.0.1:4001"],
        &["listen", "--timeout", "soon"],
        &["listen", "--timeout", "0"],
        &["listen", "--seed", "-1"],
        &["listen", "--seed", "4294967296"],
        &["listen", "--seed", "1", "--key", "rsa"],
        &["listen", "--metrics", "here"],
        &["listen", "--do", "ping"],
        &["dial"],
        &["dial", &addr],
        &["dial", "nonsense", "--do", "ping"],
        &["dial", "/ip4/127.0.0.1/tcp/1", "--do", "ping"],
        &["dial", &addr, "--do", "ping:many"],
        &["dial", &addr, "--do", "perf:1"],
        &["dial", &addr, "--do", "push:"],
        &["dial", &addr, "--do", "ping", "--services", "ping"],
        &["demo", "--mib", "0"],
        &["kad"],
        &["kad", "trace", "key"],
        &["kad", "trace", "key", "--via", "/ip4/127.0.0.1/tcp/1"],
        &["decode"],
        &["id"],
    ] {
        let done = run(args);
        assert_eq!(done.code, Some(64), "{args:?}: {done:?}");
        assert_eq!(done.stdout, "", "{args:?}");
        assert!(done.stderr.starts_with("p2p: "), "{args:?}: {done:?}");
        assert_eq!(done.stderr.lines().count(), 1, "{args:?}: {done:?}");
    }
}

#[test]
fn a_slip_of_the_pen_is_answered_with_the_right_word() {
    assert!(run(&["lisen"]).stderr.contains("'listen'"));
    assert!(run(&["listen", "--lisen", "x"]).stderr.contains("--listen"));
    assert!(
        run(&["listen", "--servces", "ping"])
            .stderr
            .contains("--services")
    );
}

#[test]
fn help_and_version_go_to_standard_output_with_status_0() {
    for (args, word) in [
        (&["help"][..], "Exit status"),
        (&["--help"], "listen"),
        (&["help", "listen"], "--metrics"),
        (&["help", "dial"], "perf:UP:DOWN"),
        (&["dial", "--help"], "reqresp:TEXT"),
        (&["help", "keygen"], "kubo"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let done = run(args);
        assert_eq!(done.code, Some(0), "{args:?}");
        assert!(done.stdout.contains(word), "{args:?}: {done:?}");
        assert_eq!(done.stderr, "", "{args:?}");
    }
}

#[test]
fn every_option_is_explained_with_its_default() {
    for command in ["listen", "dial"] {
        let help = run(&["help", command]).stdout;
        for option in [
            "--transport",
            "--security",
            "--muxer",
            "--key",
            "--seed",
            "--timeout",
            "--config",
            "--topic",
            "--kad-protocol",
        ] {
            assert!(help.contains(option), "{command} {option}");
        }
        for default in [
            "[default: tcp]",
            "[default: noise]",
            "[default: yamux]",
            "[default: ed25519]",
            "dial 30, listen 300",
        ] {
            assert!(help.contains(default), "{command} {default}: {help}");
        }
    }
}

#[test]
fn a_listener_says_what_it_does_not_have_and_ends_with_2() {
    for (args, what) in [
        (["--transport", "quic"], "transport quic"),
        (["--security", "tls"], "security tls"),
        (["--security", "plaintext"], "security plaintext"),
        (["--muxer", "mplex"], "muxer mplex"),
        (["--key", "dsa"], "key type dsa"),
        (["--services", "nonsense"], "service nonsense"),
        (
            [
                "--relay",
                "/ip4/127.0.0.1/udp/1/quic-v1/p2p/12D3KooWGzh6uXWiLrBgDsxXsnjTcGTNtmFgHSYCRvLJ8NSDpGdC",
            ],
            "transport",
        ),
        (
            ["--listen", "/ip4/127.0.0.1/udp/0/quic-v1"],
            "/ip4/127.0.0.1/udp/0/quic-v1",
        ),
        (
            ["--listen", "/ip4/127.0.0.1/tcp/0/wss"],
            "/ip4/127.0.0.1/tcp/0/wss",
        ),
        (["--listen", "/ip4/127.0.0.1/tcp/0/tls/ws"], "/tls/ws"),
        (["--listen", "/dns4/localhost/tcp/0"], "/dns4/localhost/tcp/0"),
    ] {
        let done = run(&["listen", args[0], args[1]]);
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        let lines = done.lines();
        assert_eq!(lines.len(), 1, "{done:?}");
        assert_eq!(lines[0]["event"], "unsupported");
        assert!(lines[0]["what"].as_str().unwrap().contains(what), "{done:?}");
    }
    let (_folder, config) = file("p2p.toml", "listen = [\"/ip4/127.0.0.1/udp/0/quic-v1\"]");
    assert_eq!(run(&["listen", "--config", &config]).code, Some(2));
}

#[test]
fn a_dialer_says_what_it_does_not_have_and_ends_with_2() {
    let at = |rest: &str| format!("/ip4/127.0.0.1/{rest}/p2p/{PEER}");
    let tcp = at("tcp/1");
    let relayed = format!("{tcp}/p2p-circuit/p2p/{PEER}/p2p-circuit/p2p/{PEER}");
    for args in [
        &[at("udp/1/quic-v1").as_str()][..],
        &[&at("tcp/1/tls/ws")],
        &[&format!("/dns4/localhost/tcp/1/wss/p2p/{PEER}")],
        &[&relayed],
        &[&tcp, "--security", "tls"],
        &[&tcp, "--security", "noise", "--security", "tls"],
        &[&tcp, "--muxer", "mplex"],
        &[&tcp, "--key", "dsa"],
    ] {
        let mut all = vec!["dial"];
        all.extend(args);
        all.extend(["--do", "ping"]);
        let done = run(&all);
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        let lines = done.lines();
        assert_eq!(lines.len(), 1, "{done:?}");
        let mut line = lines[0].clone();
        assert!(
            line["error"].as_str().unwrap().contains("not supported"),
            "{done:?}"
        );
        line["error"] = json!("");
        assert_eq!(
            line,
            json!({ "do": "connect", "ok": false, "unsupported": true, "error": "" })
        );
    }
}
