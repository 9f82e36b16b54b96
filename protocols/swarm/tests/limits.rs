//! Admission, limits, and the end of connections.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::{Instant, UnixTime};
use libp2p_proto_stream_protocol::{
    AttemptError, Dial, DialError, DialOutcome, DialRefused, FromConnection, LinkError,
};
use libp2p_proto_swarm::{Config, Denied, Event, StreamLimit, StreamScopes, Trim};
use support::*;

// covers: CON-014, CON-016, CON-058
#[test]
fn vul_161_pending_connections_are_bounded_in_all_and_for_each_host() {
    let config = Config {
        accepts_per_second: 1000,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    let mut accept = |remote: &str| {
        bench
            .swarm
            .handle_accepted(at(0), None, addr(remote))
            .map(|seat| seat.conn)
    };
    for port in 0..8 {
        accept(&format!("/ip4/192.0.2.1/tcp/{port}")).unwrap();
    }
    assert_eq!(accept("/ip4/192.0.2.1/tcp/9"), Err(Denied("max-pending-per-ip")));
    for host in 2..122 {
        accept(&format!("/ip4/192.0.2.{host}/tcp/1")).unwrap();
    }
    assert_eq!(
        accept("/ip4/192.0.2.200/tcp/1"),
        Err(Denied("max-pending-inbound"))
    );
    // A network with fewer of them takes the place of the oldest.
    accept("/ip4/198.51.100.1/tcp/1").unwrap();
}

// covers: CON-015
#[test]
fn the_sixth_connection_of_one_host_in_a_second_is_refused() {
    let mut bench = Bench::new(Config::default());
    for number in 0..6 {
        let result = bench
            .swarm
            .handle_accepted(at(0), None, addr("/ip4/192.0.2.1/tcp/1"));
        assert_eq!(result.is_ok(), number < 5);
    }
    assert!(
        bench
            .swarm
            .handle_accepted(at(0), None, addr("/ip4/192.0.2.2/tcp/1"))
            .is_ok()
    );
    assert!(
        bench
            .swarm
            .handle_accepted(at(200), None, addr("/ip4/192.0.2.1/tcp/1"))
            .is_ok()
    );
}

// covers: CON-018, CON-019, CON-059
#[test]
fn the_gate_stands_before_dials_accepts_and_admission() {
    let mut bench = Bench::new(Config::default());
    bench.swarm.gate_mut().denied_peers.insert(peer(2));
    bench
        .swarm
        .gate_mut()
        .denied_networks
        .push(libp2p_proto_swarm::IpPrefix::new([198, 51, 100, 0].into(), 24));
    assert_eq!(
        bench.swarm.dial(at(0), Dial::peer(peer(2))),
        Err(DialRefused::Denied("denied-peer"))
    );
    assert_eq!(
        bench
            .swarm
            .dial(at(0), Dial::addr(addr("/ip4/198.51.100.9/tcp/1"))),
        Err(DialRefused::Denied("denied-network"))
    );
    assert!(
        bench
            .swarm
            .handle_accepted(at(0), None, addr("/ip4/198.51.100.9/tcp/1"))
            .is_err()
    );
    let seat = bench
        .swarm
        .handle_accepted(at(0), None, addr("/ip4/192.0.2.1/tcp/1"))
        .unwrap();
    let actions = bench.tell(at(0), seat.conn, FromConnection::Authenticated { peer: peer(2) });
    assert_eq!(orders(&actions, seat.conn), ["Close"]);
    bench.gone(at(0), seat.conn);
    assert!(matches!(
        bench.events()[..],
        [Event::IncomingFailed {
            error: LinkError {
                code: "denied-peer",
                ..
            },
            ..
        }]
    ));
}

// covers: CON-030, CON-031
#[test]
fn first_and_last_are_told_of_several_connections_to_one_peer() {
    let mut bench = Bench::new(Config::default());
    let a = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let b = bench.inbound(at(1), peer(2), "/ip4/192.0.2.1/tcp/2");
    bench.gone(at(2), a);
    bench.gone(at(3), b);
    let events = bench.events();
    let word = |event: &Event| match event {
        Event::Connected { first, .. } => format!("up {first}"),
        Event::Disconnected { last, .. } => format!("down {last}"),
        other => format!("{other:?}"),
    };
    assert_eq!(
        events.iter().map(word).collect::<Vec<_>>(),
        ["up true", "up false", "down false", "down true"]
    );
}

#[test]
fn vul_205_a_peer_that_comes_again_replaces_its_oldest_connection() {
    let mut bench = Bench::new(Config::default());
    let first = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    bench.inbound(at(1000), peer(2), "/ip4/192.0.2.1/tcp/2");
    let seat = bench
        .swarm
        .handle_accepted(at(2000), None, addr("/ip4/192.0.2.1/tcp/3"))
        .unwrap();
    let actions = bench.tell(
        at(2000),
        seat.conn,
        FromConnection::Authenticated { peer: peer(2) },
    );
    assert_eq!(orders(&actions, seat.conn), ["Admit"]);
    let established = FromConnection::Established {
        security: NOISE,
        muxer: YAMUX,
    };
    assert_eq!(
        orders(&bench.tell(at(2001), seat.conn, established), first),
        ["Close"]
    );
}

// covers: CON-061
#[test]
fn an_idle_connection_is_closed_and_a_protected_one_is_not() {
    let mut bench = Bench::new(Config::default());
    let idle = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let kept = bench.inbound(at(0), peer(3), "/ip4/192.0.2.2/tcp/1");
    bench.swarm.protect(peer(3), true);
    assert!(orders(&bench.drive(at(9_999)), idle).is_empty());
    let actions = bench.drive(at(10_000));
    assert_eq!(orders(&actions, idle), ["Close"]);
    assert!(orders(&actions, kept).is_empty());
}

// covers: CON-017
#[test]
fn vul_163_counts_are_back_at_zero_after_any_end() {
    let mut bench = Bench::new(Config {
        accepts_per_second: 1_000_000,
        ..Config::default()
    });
    for round in 0..300_u64 {
        let now = at(round * 10);
        let seat = bench
            .swarm
            .handle_accepted(now, None, addr("/ip4/192.0.2.1/tcp/1"))
            .unwrap();
        if round % 3 > 0 {
            bench.tell(now, seat.conn, FromConnection::Authenticated { peer: peer(2) });
        }
        if round % 3 > 1 {
            bench.tell(
                now,
                seat.conn,
                FromConnection::Established {
                    security: NOISE,
                    muxer: YAMUX,
                },
            );
        }
        bench.gone(now, seat.conn);
        bench.events();
        let stats = bench.swarm.stats();
        assert_eq!(
            (stats.established, stats.pending_inbound, stats.streams),
            (0, 0, 0)
        );
    }
    assert!(bench.swarm.is_idle());
}

#[test]
fn vul_167_time_that_runs_back_counts_as_standing_still() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(60_000), peer(2), "/ip4/192.0.2.1/tcp/1");
    assert!(orders(&bench.drive(at(0)), conn).is_empty());
    assert_eq!(orders(&bench.drive(at(70_000)), conn), ["Close"]);
}

#[test]
fn vul_173_an_application_that_reads_nothing_stops_the_news() {
    let mut bench = Bench::new(Config {
        max_events: 4,
        accepts_per_second: 1_000_000,
        max_per_ip: 1000,
        ..Config::default()
    });
    for number in 0..20_u8 {
        let seat = bench
            .swarm
            .handle_accepted(at(0), None, addr(&format!("/ip4/192.0.2.{number}/tcp/1")))
            .unwrap();
        bench.tell(
            at(0),
            seat.conn,
            FromConnection::Authenticated {
                peer: peer(number + 10),
            },
        );
        bench.tell(
            at(0),
            seat.conn,
            FromConnection::Established {
                security: NOISE,
                muxer: YAMUX,
            },
        );
    }
    assert_eq!(bench.swarm.stats().established, 4);
    let mut told = 0;
    while !bench.events().is_empty() {
        told += 4;
        bench.drive(at(0));
    }
    assert_eq!(told, 20);
}

fn failure(bench: &mut Bench) -> AttemptError {
    let cause = |event| match event {
        Event::DialFailed {
            error: DialError::AllFailed(causes),
            ..
        } => Some(causes[0].1),
        _ => None,
    };
    bench.events().into_iter().find_map(cause).unwrap()
}

// covers: CON-057
#[test]
fn each_limit_admits_as_many_as_it_says_and_then_says_its_name() {
    let two = || Config {
        max_pending_inbound: 2,
        ..roomy()
    };
    let mut bench = Bench::new(two());
    for port in 1..3 {
        bench
            .accept(at(0), &format!("/ip4/192.0.2.1/tcp/{port}"))
            .unwrap();
    }
    assert_eq!(
        bench.accept(at(0), "/ip4/192.0.2.2/tcp/1"),
        Err("max-pending-inbound")
    );

    let mut bench = Bench::new(Config {
        max_inbound: 2,
        ..roomy()
    });
    for number in 2..4 {
        bench.inbound(at(0), peer(number), "/ip4/192.0.2.1/tcp/1");
    }
    assert_eq!(bench.accept(at(0), "/ip4/192.0.2.1/tcp/1"), Err("max-inbound"));

    let mut bench = Bench::new(Config {
        max_connections: 2,
        ..roomy()
    });
    bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    bench.outbound(at(0), peer(3), "/ip4/192.0.2.1/tcp/1");
    assert_eq!(
        bench.accept(at(0), "/ip4/192.0.2.1/tcp/1"),
        Err("max-connections")
    );

    let mut bench = Bench::new(Config {
        max_outbound: 2,
        ..roomy()
    });
    bench.outbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    bench.outbound(at(0), peer(3), "/ip4/192.0.2.1/tcp/1");
    bench.events();
    let mut dial = Dial::peer(peer(4));
    dial.addrs = vec![addr("/ip4/192.0.2.1/tcp/1")];
    bench.swarm.dial(at(0), dial).unwrap();
    let (conn, _) = bench.dials(at(0))[0].clone();
    bench
        .swarm
        .handle_dialed(at(0), conn, None, addr("/ip4/192.0.2.1/tcp/1"))
        .unwrap();
    assert_eq!(orders(&bench.authenticate(at(0), conn, peer(4)), conn), ["Close"]);
    bench.gone(at(0), conn);
    assert_eq!(failure(&mut bench), AttemptError::Denied("max-outbound"));

    // Of pending ones of ours, the one too many waits.
    let mut bench = Bench::new(Config {
        max_pending_outbound: 2,
        ..roomy()
    });
    for number in 1..4 {
        let dial = Dial::addr(addr(&format!("/ip4/192.0.2.{number}/tcp/1")));
        bench.swarm.dial(at(0), dial).unwrap();
    }
    let begun = bench.dials(at(0));
    assert_eq!(begun.len(), 2);
    bench
        .swarm
        .handle_dial_failed(at(1), begun[0].0, AttemptError::TimedOut);
    assert_eq!(bench.dials(at(1))[0].1, "/ip4/192.0.2.3/tcp/1");

    // Of connections to one peer, the oldest makes room.
    let mut bench = Bench::new(Config {
        max_per_peer: 2,
        ..roomy()
    });
    for port in 1..5 {
        bench.inbound(at(port), peer(2), "/ip4/192.0.2.1/tcp/1");
        assert!(bench.swarm.connections(peer(2)).len() <= 2);
    }
}

#[test]
fn peers_that_were_admitted_at_the_same_time_are_counted_before_they_stand() {
    let mut bench = Bench::new(Config {
        max_inbound: 2,
        ..roomy()
    });
    let conns: Vec<_> = (0..3)
        .map(|port| {
            bench
                .accept(at(0), &format!("/ip4/192.0.2.1/tcp/{port}"))
                .unwrap()
        })
        .collect();
    let words: Vec<_> = (2..5)
        .zip(&conns)
        .map(|(who, conn)| orders(&bench.authenticate(at(0), *conn, peer(who)), *conn)[0].clone())
        .collect();
    assert_eq!(words, ["Admit", "Admit", "Close"]);
}

// covers: CON-053
#[test]
fn one_connection_of_ours_too_many_closes_the_one_that_is_worth_least() {
    let mut bench = Bench::new(Config {
        max_connections: 100,
        ..roomy()
    });
    let conns: Vec<_> = (0..100)
        .map(|number| bench.inbound(at(0), stranger(number), "/ip4/192.0.2.1/tcp/1"))
        .collect();
    for number in (0..100).filter(|number| *number != 40 && *number != 41) {
        assert!(bench.swarm.tag(stranger(number), "useful", 1));
    }
    bench.swarm.protect(stranger(40), true);
    let new = bench.outbound(at(1), peer(2), "/ip4/198.51.100.1/tcp/1");
    assert_eq!(bench.swarm.stats().closing, 1);
    assert!(bench.swarm.connections(stranger(41)).is_empty());
    assert_eq!(bench.swarm.connections(stranger(40)).as_slice(), [conns[40]]);
    assert_eq!(bench.swarm.connections(peer(2)).as_slice(), [new]);
}

// covers: CON-055
#[test]
fn the_base_limits_of_go_are_a_table_and_the_65th_inbound_connection_is_refused() {
    let limit = |inbound, outbound, total| StreamLimit {
        inbound,
        outbound,
        total,
    };
    let base = StreamScopes::GO_BASE;
    assert_eq!(base.system, limit(1024, 2048, 2048));
    assert_eq!(base.peer, limit(256, 512, 512));
    assert_eq!(base.protocol, limit(512, 2048, 2048));
    assert_eq!(base.protocol_peer, limit(64, 256, 256));
    assert_eq!(base.service, limit(1024, 4096, 4096));
    assert_eq!(base.service_peer, limit(128, 256, 256));
    let mut bench = Bench::new(Config {
        max_connections: 128,
        max_inbound: 64,
        max_outbound: 128,
        idle_timeout: None,
        ..roomy()
    });
    for number in 0..64 {
        bench.inbound(at(0), stranger(number), "/ip4/192.0.2.1/tcp/1");
    }
    assert_eq!(bench.accept(at(0), "/ip4/192.0.2.1/tcp/1"), Err("max-inbound"));
    bench.events();
    for number in 64..129 {
        bench.outbound(at(0), stranger(number), "/ip4/192.0.2.1/tcp/1");
    }
    assert_eq!(bench.events().len(), 65, "and the 65th of ours is accepted");
}

// covers: CON-056
#[test]
fn above_192_connections_those_worth_least_are_closed_down_to_160() {
    let mut bench = Bench::new(Config {
        trim: Some(Trim::default()),
        idle_timeout: None,
        ..roomy()
    });
    for number in 0..192 {
        bench.inbound(at(0), stranger(number), "/ip4/192.0.2.1/tcp/1");
    }
    for number in 0..10 {
        bench.swarm.protect(stranger(number), true);
    }
    bench.drive(at(61_000));
    assert_eq!(bench.swarm.stats().closing, 0, "192 are not too many");
    let young = bench.inbound(at(61_000), stranger(200), "/ip4/192.0.2.1/tcp/1");
    assert_eq!(bench.swarm.stats().closing, 33);
    assert_eq!(bench.swarm.stats().trimmed, 33);
    for number in 0..10 {
        assert_eq!(bench.swarm.connections(stranger(number)).len(), 1, "protected");
    }
    assert_eq!(
        bench.swarm.connections(stranger(200)).as_slice(),
        [young],
        "younger than a minute"
    );
}

#[test]
fn young_connections_are_trimmed_once_they_have_grown() {
    let mut bench = Bench::new(Config {
        trim: Some(Trim::default()),
        idle_timeout: None,
        ..roomy()
    });
    for number in 0..193 {
        bench.inbound(at(1), stranger(number), "/ip4/192.0.2.1/tcp/1");
    }
    bench.drive(at(60_000));
    assert_eq!(bench.swarm.stats().trimmed, 0);
    let mut now = at(60_000);
    while bench.swarm.stats().trimmed == 0 {
        now = bench.deadline().unwrap();
        bench.drive(now);
    }
    assert!(now >= at(60_001) && now <= at(70_001), "{now:?}");
    assert_eq!(bench.swarm.stats().trimmed, 33);
}

// covers: CON-058
#[test]
fn a_flood_of_raw_connections_leaves_peers_connected() {
    let mut bench = Bench::new(Config::default());
    bench.swarm.protect(peer(2), true);
    let known = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let dialed = bench.outbound(at(0), peer(3), "/ip4/192.0.2.2/tcp/1");
    bench.swarm.protect(peer(3), true);
    for number in 0..20_000_u64 {
        let remote = format!("/ip4/10.{}.{}.{}/tcp/1", number % 7, number % 251, number % 241);
        if let Ok(conn) = bench.accept(at(number), &remote) {
            if number % 3 == 0 {
                bench.authenticate(at(number), conn, stranger(u32::try_from(number).unwrap()));
            }
        }
        let stats = bench.swarm.stats();
        assert!(stats.pending_inbound <= 128);
        bench.drive(at(number));
        bench.events();
    }
    assert_eq!(bench.swarm.connections(peer(2)).as_slice(), [known]);
    assert_eq!(bench.swarm.connections(peer(3)).as_slice(), [dialed]);
}

// covers: CON-059
#[test]
fn exempt_networks_come_in_when_all_is_full_up_to_a_limit_of_their_own() {
    let mut bench = Bench::new(Config {
        max_connections: 1,
        max_exempt: 2,
        ..roomy()
    });
    let net = libp2p_proto_swarm::IpPrefix::new([10, 0, 0, 0].into(), 8);
    bench.swarm.gate_mut().exempt_networks.push(net);
    bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    assert_eq!(
        bench.accept(at(0), "/ip4/192.0.2.1/tcp/1"),
        Err("max-connections")
    );
    for number in 3..5 {
        bench.inbound(at(0), peer(number), "/ip4/10.0.0.1/tcp/1");
        assert_eq!(bench.swarm.connections(peer(number)).len(), 1);
    }
    assert_eq!(bench.accept(at(0), "/ip4/10.0.0.1/tcp/1"), Err("max-exempt"));
    assert_eq!(
        bench.swarm.connections(peer(2)).len(),
        1,
        "nobody had to go for them"
    );
}

// covers: CON-061
#[test]
fn the_idle_clock_starts_with_the_end_of_the_last_stream_that_keeps_a_connection() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let kept = bench.inbound(at(0), peer(3), "/ip4/192.0.2.2/tcp/1");
    let stream = bench.remote_opens(at(1_000), conn, 0, 0);
    bench.remote_opens(at(1_000), kept, 0, 0);
    bench.closes(at(5_000), stream);
    assert_eq!(orders(&bench.drive(at(14_999)), conn), [""; 0]);
    let actions = bench.drive(at(15_000));
    assert_eq!(orders(&actions, conn), ["Close"]);
    assert_eq!(
        orders(&bench.drive(at(3_600_000)), kept),
        [""; 0],
        "its stream keeps it"
    );
    assert_eq!(bench.swarm.holding(kept), [(ECHO, 1)]);
}

// covers: CON-063
#[test]
fn after_the_remote_has_closed_the_next_dial_dials_again() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.outbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    bench.gone(at(10_000), conn);
    let last = bench.events().pop();
    assert!(matches!(
        last,
        Some(Event::Disconnected {
            last: true,
            error: None,
            ..
        })
    ));
    let again = bench.swarm.dial(at(10_001), Dial::peer(peer(2)));
    assert!(matches!(again, Ok(DialOutcome::Pending(_))));
    assert_eq!(
        bench.dials(at(10_001))[0].1,
        "/ip4/192.0.2.1/tcp/1",
        "out of the book"
    );
}

#[test]
fn a_connection_that_does_not_end_when_told_to_is_dropped() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let stream = bench.remote_opens(at(0), conn, 0, 0);
    bench.swarm.disconnect(conn);
    assert_eq!(orders(&bench.drive(at(0)), conn), ["Close"]);
    bench.frame(at(1_000), stream, 3);
    bench.events();
    assert_eq!(orders(&bench.drive(at(2_000)), conn), ["Abort"]);
    assert!(matches!(
        bench.events()[..],
        [Event::Disconnected { last: true, .. }]
    ));
    assert!(bench.swarm.is_idle());
    assert_eq!(bench.swarm.stats().streams, 0);
}

// covers: CON-030
#[test]
fn events_come_in_order_and_once_each() {
    let mut bench = Bench::new(Config::default());
    let here = addr("/ip4/192.0.2.7/tcp/4001");
    bench.swarm.handle_listening(at(0), here.clone(), true);
    bench.swarm.handle_listening(at(0), here.clone(), true);
    bench.drive(at(0));
    let conn = bench.inbound(at(1), peer(2), "/ip4/192.0.2.1/tcp/1");
    let stream = bench.remote_opens(at(2), conn, 0, 0);
    bench.closes(at(3), stream);
    bench.gone(at(4), conn);
    bench.swarm.handle_listening(at(5), here.clone(), false);
    bench.drive(at(5));
    let word = |text: String| text.split([' ', '(']).next().unwrap().to_owned();
    let events: Vec<_> = bench
        .events()
        .iter()
        .map(|event| word(format!("{event:?}")))
        .collect();
    assert_eq!(events, ["Listening", "Connected", "Disconnected", "ListenClosed"]);
    let inputs: Vec<_> = bench
        .actor
        .inputs
        .iter()
        .map(|input| word(format!("{input:?}")))
        .collect();
    assert_eq!(
        inputs,
        ["Fact", "Connected", "Opened", "Closed", "Disconnected", "Fact"]
    );
}

#[test]
fn vul_169_many_identities_hold_no_more_than_the_limits_of_all_together() {
    let mut bench = Bench::new(Config::default());
    bench.swarm.protect(peer(2), true);
    let honest = bench.inbound(at(0), peer(2), "/ip4/198.51.100.1/tcp/1");
    let mut now = 0;
    for number in 0..10_000_u32 {
        now += 25;
        let remote = format!("/ip4/10.0.0.{}/tcp/1", number % 10);
        let Ok(conn) = bench.accept(at(now), &remote) else {
            continue;
        };
        bench.authenticate(at(now), conn, stranger(number));
        bench.establish(at(now), conn);
        for count in 0..4 {
            bench.remote_opens(at(now), conn, count, 0);
        }
        bench.events();
    }
    let stats = bench.swarm.stats();
    assert!(stats.established <= 10 * 64 + 1, "{}", stats.established);
    assert!(stats.pending_inbound <= 128);
    assert_eq!(bench.swarm.connections(peer(2)).as_slice(), [honest]);
    assert_eq!(bench.swarm.audit(), Ok(()));
}

#[test]
fn vul_166_any_duration_and_ten_idle_years_harm_nobody() {
    let day = Duration::from_secs(86_400);
    for duration in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        for start in [Instant::ZERO, at(1000), Instant::MAX - Duration::from_secs(3600)] {
            let mut config = Config {
                inbound_upgrade: duration,
                outbound_upgrade: duration,
                close_timeout: duration,
                dial_timeout: duration,
                idle_timeout: Some(duration),
                trim: Some(Trim {
                    high: 1,
                    low: 0,
                    grace: duration,
                    every: duration,
                }),
                ..roomy()
            };
            config.book.claimed = duration;
            config.book.dialed = duration;
            let mut bench = Bench::new(config);
            let mut now = start;
            for number in 0..3_650 {
                now = now + day;
                let dial = Dial::addr(addr("/ip4/192.0.2.1/tcp/1"));
                let _refused = bench.swarm.dial(now, dial);
                if let Ok(conn) = bench.accept(now, "/ip4/192.0.2.1/tcp/1") {
                    bench.authenticate(now, conn, stranger(number % 3));
                    bench.establish(now, conn);
                }
                bench.events();
            }
            assert_eq!(bench.swarm.audit(), Ok(()));
        }
    }
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let years = Instant::ZERO + 3650 * day;
    assert_eq!(orders(&bench.drive(years), conn), ["Close"], "timers still fire");
}

#[test]
fn a_swarm_that_is_closed_refuses_dials_and_accepts_and_ends() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let pending = bench.accept(at(0), "/ip4/192.0.2.2/tcp/1").unwrap();
    bench
        .swarm
        .dial(at(0), Dial::addr(addr("/ip4/192.0.2.3/tcp/1")))
        .unwrap();
    bench.drive(at(0));
    bench.swarm.close(at(1));
    let actions = bench.drive(at(1));
    assert_eq!(orders(&actions, conn), ["Close"]);
    assert_eq!(orders(&actions, pending), ["Close"]);
    assert_eq!(bench.accept(at(1), "/ip4/192.0.2.4/tcp/1"), Err("closing"));
    assert_eq!(
        bench.swarm.dial(at(1), Dial::addr(addr("/ip4/192.0.2.3/tcp/1"))),
        Err(DialRefused::Denied("closing"))
    );
    bench.drive(at(2_001));
    assert!(bench.swarm.is_idle());
}

#[test]
fn news_is_not_wanted_beyond_its_limit_and_too_much_of_it_costs_the_connection() {
    let mut bench = Bench::new(Config {
        max_news: 100,
        max_news_per_connection: 200,
        ..Config::default()
    });
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let other = bench.inbound(at(0), peer(3), "/ip4/192.0.2.2/tcp/1");
    let stream = bench.remote_opens(at(0), conn, 0, 0);
    for sent in 0..10_000 {
        assert_eq!(bench.swarm.wants_messages(), sent < 100);
        // Frames without bytes cost no credit.
        let data = vec![].into();
        bench
            .swarm
            .handle_message(at(0), conn, FromConnection::Frame { stream, data });
        assert!(bench.swarm.stats().news <= 201);
    }
    bench.events();
    let actions = bench.drive(at(0));
    assert_eq!(orders(&actions, conn), ["Abort"]);
    let code = "too-much-news";
    assert!(matches!(&bench.events()[..],
        [Event::Disconnected { error: Some(LinkError { code: found, .. }), .. }] if *found == code));
    assert_eq!(
        bench.swarm.connections(peer(3)).as_slice(),
        [other],
        "the other is unharmed"
    );
    assert!(bench.swarm.wants_messages());
}

#[test]
fn a_protocol_has_its_turn_although_news_never_ends() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let stream = bench.remote_opens(at(0), conn, 0, 0);
    bench.actor.inputs.clear();
    bench.actor.stuck = true;
    for _ in 0..1000 {
        let data = vec![1].into();
        bench
            .swarm
            .handle_message(at(0), conn, FromConnection::Frame { stream, data });
    }
    bench
        .swarm
        .drive(at(0), UnixTime::from_secs(0), &mut [&mut bench.actor], 200);
    let turn = |input: &&libp2p_proto_stream_protocol::Input| {
        **input == libp2p_proto_stream_protocol::Input::Timeout
    };
    assert!(bench.actor.inputs.iter().filter(turn).count() >= 3);
    assert!(bench.actor.inputs.len() - bench.actor.inputs.iter().filter(turn).count() >= 64);
}

#[test]
fn limits_out_of_their_range_are_named() {
    use libp2p_proto_swarm::Error;
    type Change = fn(&mut Config);
    let wrong: [(&str, Change); 9] = [
        ("max_events", |config| config.max_events = 0),
        ("max_facts", |config| config.max_facts = 0),
        ("max_news", |config| config.max_news = 0),
        ("max_news_per_connection", |config| {
            config.max_news_per_connection = 0;
        }),
        ("max_parallel_attempts", |config| config.max_parallel_attempts = 0),
        ("max_per_peer", |config| config.max_per_peer = 0),
        ("max_rated_ips", |config| config.max_rated_ips = 0),
        ("black_hole_successes", |config| config.black_hole_successes = 101),
        ("trim", |config| {
            config.trim = Some(Trim {
                low: 2,
                high: 1,
                ..Trim::default()
            });
        }),
    ];
    for (name, change) in wrong {
        let mut config = Config::default();
        change(&mut config);
        assert_eq!(config.validate(), Err(Error::OutOfRange(name)));
    }
    assert_eq!(Config::default().validate(), Ok(()));
}
