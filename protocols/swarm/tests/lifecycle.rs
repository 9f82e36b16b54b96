//! What becomes of connections, and what is told of it: order, idleness, the end, and an application that does not listen.
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
use libp2p_proto_stream_protocol::{Dial, DialOutcome, DialRefused, FromConnection, Input, LinkError};
use libp2p_proto_swarm::{Config, Event, Trim};
use support::*;

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

// covers: RLY-037
#[test]
fn a_connection_that_a_protocol_keeps_is_neither_idle_nor_needless_until_it_is_kept_no_longer() {
    let mut bench = Bench::new(Config::default());
    let kept = bench.outbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let other = bench.outbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/2");
    bench.remote_opens(at(0), kept, 0, 0);
    bench.act(at(0), move |cx| cx.keep(other, true));
    assert!(orders(&bench.drive(at(60_000)), other).is_empty());
    assert!(!bench.swarm.holding(other).is_empty());
    let ((), actions) = bench.act(at(60_000), move |cx| cx.keep(other, false));
    assert_eq!(orders(&actions, other), ["Close"], "needless");
    // The only connection of a peer.
    let only = bench.inbound(at(60_000), peer(3), "/ip4/192.0.2.3/tcp/1");
    bench.act(at(60_000), move |cx| cx.keep(only, true));
    assert!(orders(&bench.drive(at(900_000)), only).is_empty());
    bench.act(at(900_000), move |cx| cx.keep(only, false));
    assert_eq!(orders(&bench.drive(at(910_000)), only), ["Close"], "idle");
    assert!(bench.swarm.holding(only).is_empty());
}

// covers: AN-035
#[test]
fn the_room_for_inbound_connections_is_what_their_limits_leave() {
    let mut bench = Bench::new(Config {
        max_inbound: 3,
        max_connections: 4,
        ..roomy()
    });
    let room = |bench: &mut Bench| bench.act(at(0), |cx| cx.inbound_room()).0;
    assert_eq!(room(&mut bench), 3);
    bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    assert_eq!(room(&mut bench), 2);
    for number in 3..5 {
        bench.outbound(at(0), peer(number), "/ip4/192.0.2.1/tcp/2");
    }
    assert_eq!(room(&mut bench), 1);
    bench.inbound(at(0), peer(5), "/ip4/192.0.2.1/tcp/3");
    assert_eq!(room(&mut bench), 0);
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
    let turn = |input: &&Input| **input == Input::Timeout;
    assert!(bench.actor.inputs.iter().filter(turn).count() >= 3);
    assert!(bench.actor.inputs.len() - bench.actor.inputs.iter().filter(turn).count() >= 64);
}
