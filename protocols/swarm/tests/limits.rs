//! Limits: who is admitted, who makes room, who is refused and with which word.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_stream_protocol::{AttemptError, Dial, DialError};
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
fn a_connection_that_carries_streams_makes_room_last_and_a_relayed_one_never_for_direct_ones() {
    let mut bench = Bench::new(Config {
        max_per_peer: 2,
        ..roomy()
    });
    let circuit = format!("/ip4/198.51.100.1/tcp/1/p2p/{}/p2p-circuit", peer(3));
    let relayed = bench.inbound(at(0), peer(2), &circuit);
    bench.remote_opens(at(0), relayed, 0, 1);
    let busy = bench.inbound(at(1), peer(2), "/ip4/192.0.2.1/tcp/1");
    bench.remote_opens(at(1), busy, 0, 0);
    let free = bench.inbound(at(2), peer(2), "/ip4/192.0.2.1/tcp/2");
    assert_eq!(bench.swarm.stats().closing, 0);
    let new = bench.inbound(at(3), peer(2), "/ip4/192.0.2.1/tcp/3");
    let standing = bench.swarm.connections(peer(2));
    assert_eq!(standing.as_slice(), [busy, new, relayed], "without {free:?}");
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
