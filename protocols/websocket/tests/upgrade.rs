//! The upgrade: what the vectors can't say.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::{Fault, Instant, Side};
use libp2p_proto_websocket::{Config, Error, WebSocket};
use std::collections::BTreeSet;
use support::{NOW, REQUEST, feed, rng, server, transmit};

fn request(host: &str, path: &str) -> Result<String, Error> {
    let mut client = WebSocket::client(Config::default(), host, path, rng(1), NOW)?;
    Ok(String::from_utf8(transmit(&mut client, NOW)).unwrap())
}

// covers: WSK-002
#[test]
fn every_connection_has_a_key_of_its_own() {
    let mut keys = BTreeSet::new();
    for seed in 0..100 {
        let mut client = WebSocket::client(Config::default(), "a", "", rng(seed), NOW).unwrap();
        let request = String::from_utf8(transmit(&mut client, NOW)).unwrap();
        let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap();
        let key = key.lines().next().unwrap();
        assert_eq!(data_encoding::BASE64.decode(key.as_bytes()).unwrap().len(), 16);
        assert!(keys.insert(key.to_owned()));
    }
}

#[test]
fn the_path_begins_with_one_slash() {
    for path in ["", "/"] {
        assert!(request("a", path).unwrap().starts_with("GET / HTTP/1.1\r\n"));
    }
    for path in ["path/to/endpoint", "/path/to/endpoint"] {
        assert!(
            request("a", path)
                .unwrap()
                .starts_with("GET /path/to/endpoint HTTP/1.1\r\n")
        );
    }
}

// covers: WSK-020
#[test]
fn neither_host_nor_path_makes_another_header() {
    let request = request("a", "x HTTP/1.1\r\nEvil: yes\r\n\r\n\0é?q=1#f").unwrap();
    let first = request.lines().next().unwrap();
    assert_eq!(
        first,
        "GET /x%20HTTP/1.1%0D%0AEvil:%20yes%0D%0A%0D%0A%00%C3%A9?q=1%23f HTTP/1.1"
    );
    assert_eq!(request.lines().count(), 7);
    for host in [
        "",
        "a b",
        "a\r\nEvil: yes",
        "a/b",
        "user@a",
        "é",
        &"a".repeat(262),
    ] {
        let error = WebSocket::client(Config::default(), host, "", rng(1), NOW).unwrap_err();
        assert_eq!((error, error.fault()), (Error::BadHost, Fault::Local));
    }
    for host in [
        "[2001:db8::1]:4001",
        "192.0.2.1:80",
        "my-host_1.example",
        &"a".repeat(261),
    ] {
        assert!(WebSocket::client(Config::default(), host, "", rng(1), NOW).is_ok());
    }
    let client = |path: &str| WebSocket::client(Config::default(), "a", path, rng(1), NOW);
    assert!(client(&"x".repeat(2048)).is_ok());
    assert_eq!(client(&"x".repeat(2049)).unwrap_err(), Error::BadPath);
}

/// A request of exactly so many bytes.
fn request_of(size: usize) -> String {
    let filler = "x".repeat(size - REQUEST.len() - "X: \r\n".len());
    REQUEST.replace("\r\n\r\n", &format!("\r\nX: {filler}\r\n\r\n"))
}

// covers: WSK-013
#[test]
fn a_head_at_the_limit_is_taken_and_one_byte_more_is_refused_in_any_pieces() {
    for piece in [1, 7, 8191, 8192, 10_000] {
        for (size, fits) in [(8191, true), (8192, true), (8193, false), (9000, false)] {
            let mut server = server();
            let request = request_of(size);
            let mut left = Vec::new();
            let mut failed = None;
            for part in request.as_bytes().chunks(piece) {
                left.extend_from_slice(part);
                match server.handle_input(NOW, &mut left, |data| Ok::<_, Error>(data.len())) {
                    Ok(taken) => drop(left.drain(..taken)),
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            assert_eq!(server.is_open(), fits, "{size} bytes in pieces of {piece}");
            assert_eq!(failed, (!fits).then_some(Error::HeadTooLarge));
            assert!(left.len() <= 8192 + piece);
        }
    }
}

// covers: WSK-018
#[test]
fn the_upgrade_ends_at_its_deadline_whatever_progress_it_makes() {
    for side in [Side::Dialer, Side::Listener] {
        let mut socket = support::of(side);
        transmit(&mut socket, NOW);
        let head = match side {
            Side::Dialer => support::ANSWER,
            Side::Listener => REQUEST,
        };
        for second in 0..10 {
            let now = NOW + Duration::from_secs(second);
            assert_eq!(socket.handle_timeout(now), Ok(()));
            feed(
                &mut socket,
                now,
                &head.as_bytes()[..=usize::try_from(second).unwrap()],
            )
            .unwrap();
        }
        let deadline = socket.poll_timeout().unwrap();
        assert_eq!(
            (deadline.at, deadline.why),
            (NOW + Duration::from_secs(10), "websocket-upgrade")
        );
        let early = Instant::from_nanos(deadline.at.as_nanos() - 1);
        assert_eq!(socket.handle_timeout(early), Ok(()));
        assert_eq!(socket.handle_timeout(deadline.at), Err(Error::UpgradeTimeout));
        let last = String::from_utf8(transmit(&mut socket, deadline.at)).unwrap();
        assert_eq!(last.starts_with("HTTP/1.1 408 "), side == Side::Listener);
        assert!(socket.is_closed());
        assert_eq!(socket.poll_timeout(), None);
        assert_eq!(feed(&mut socket, deadline.at, b"x"), Err(Error::UpgradeTimeout));
    }
}

#[test]
fn a_refusal_that_can_not_leave_is_given_up_in_time() {
    let mut server = server();
    assert_eq!(feed(&mut server, NOW, b"POST "), Err(Error::NotHttp));
    assert!(!server.is_closed());
    let deadline = server.poll_timeout().unwrap();
    assert_eq!(deadline.at, NOW + Duration::from_millis(500));
    assert_eq!(server.handle_timeout(deadline.at), Ok(()));
    assert!(server.is_closed());
    assert_eq!(transmit(&mut server, deadline.at), []);
}

#[test]
fn closing_in_the_upgrade_ends_it_at_once() {
    for side in [Side::Dialer, Side::Listener] {
        let mut socket = support::of(side);
        socket.close(NOW, libp2p_proto_websocket::CloseCode::NORMAL);
        assert!(socket.is_closed());
        assert_eq!(transmit(&mut socket, NOW), []);
        assert_eq!(feed(&mut socket, NOW, b"anything"), Ok((Vec::new(), 0)));
    }
}

#[test]
fn limits_out_of_their_range_are_named() {
    let good = Config::default();
    let bad = [
        (
            "max_head",
            Config {
                max_head: 255,
                ..good
            },
        ),
        (
            "max_head",
            Config {
                max_head: (1 << 20) + 1,
                ..good
            },
        ),
        (
            "max_headers",
            Config {
                max_headers: 7,
                ..good
            },
        ),
        (
            "max_headers",
            Config {
                max_headers: 1025,
                ..good
            },
        ),
        (
            "max_frame",
            Config {
                max_frame: 124,
                ..good
            },
        ),
        (
            "max_frame",
            Config {
                max_frame: 1 << 63,
                max_message: u64::MAX,
                ..good
            },
        ),
        (
            "max_message",
            Config {
                max_message: good.max_frame - 1,
                ..good
            },
        ),
        (
            "max_sent_frame",
            Config {
                max_sent_frame: 0,
                ..good
            },
        ),
        (
            "max_sent_frame",
            Config {
                max_sent_frame: 65_536,
                ..good
            },
        ),
    ];
    for (name, config) in bad {
        assert_eq!(
            WebSocket::server(config, NOW).unwrap_err(),
            Error::BadConfig(name)
        );
    }
    let edges = Config {
        max_head: 256,
        max_headers: 8,
        max_frame: 125,
        max_message: 125,
        max_sent_frame: 1,
        controls_per_second: 0,
        upgrade_timeout: Duration::ZERO,
        close_timeout: Duration::MAX,
    };
    assert!(WebSocket::server(edges, NOW).is_ok());
}
