//! The first, second and third thing of a kind that a limit has no room for is refused; whatever has room goes on, and what was refused is taken once there is room again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_ping as ping;
use libp2p_proto_simulator::{NatKind, NatPlace, Scenario, Sim};
use libp2p_proto_stream_protocol::{Dial, DialRefused};
use libp2p_proto_swarm::{Config, Event, StreamLimit};
use support::{Tester, apart, ask, connected, millis, seconds, send};

/// Sets a limit.
type Set = fn(&mut Config, usize);

/// The most that any of these limits lets in.
const MOST: usize = 3;

/// Host 0 has the limit; the others have their own. No pings, so that no other stream takes a place.
fn quiet(mut scenario: Scenario, limit: Set, most: usize) -> Sim<Tester> {
    limit(&mut scenario.swarm, most);
    let config = ping::Config {
        interval: None,
        ..ping::Config::default()
    };
    Sim::new(scenario, 1, move |birth| {
        Tester::with_ping(&birth, config.clone())
    })
    .unwrap()
}

fn part(sim: &mut Sim<Tester>, host: usize, from: usize) {
    let peer = sim.peer(from).unwrap();
    sim.command(host, |_, swarm, _| {
        for conn in swarm.connections(peer) {
            swarm.disconnect(conn);
        }
    });
    sim.run_for(seconds(3)).unwrap();
}

/// Whether each of the hosts is connected to host 0 and gets an answer.
fn all_are_served(sim: &mut Sim<Tester>, hosts: impl Iterator<Item = usize> + Clone, what: &str) {
    for host in hosts.clone() {
        ask(sim, host, 0, 1, 10);
    }
    sim.run_for(seconds(1)).unwrap();
    for host in hosts {
        let answers = std::mem::take(
            &mut sim
                .command(host, |app, _, _| std::mem::take(&mut app.answers))
                .unwrap(),
        );
        assert_eq!(answers.len(), 1, "{what}: host {host}");
        assert!(answers[0].result.is_ok(), "{what}: host {host}: {answers:?}");
    }
}

/// A limit that host 0 reaches because others dial it, one a second, or all at once.
fn inbound(name: &str, limit: Set, most: usize, at_once: bool, behind_one_nat: bool) {
    let what = format!("{name} = {most}");
    // The upgrade takes longer than it takes all of them to knock.
    let mut scenario = Scenario::new(MOST + 2).link(apart(millis(20)));
    if behind_one_nat {
        scenario.nats = vec![NatPlace {
            kind: NatKind::default(),
            outer: None,
            hosts: (1..MOST + 2).collect(),
        }];
    }
    let mut sim = quiet(scenario, limit, most);
    let refused = most + 1;
    for host in 1..=refused {
        assert!(sim.dial(host, 0));
        if !at_once {
            sim.run_for(seconds(1)).unwrap();
        }
    }
    sim.run_for(seconds(2)).unwrap();
    let up: Vec<_> = (1..=refused).filter(|host| connected(&sim, *host, 0)).collect();
    assert_eq!(up, (1..=most).collect::<Vec<_>>(), "{what}");
    // The one who is refused is told so, and host 0 counts it.
    let told = |event: &&Event| matches!(event, Event::DialFailed { .. });
    let failed = sim.app(refused).unwrap().events.iter().filter(told).count();
    assert_eq!(failed, 1, "{what}");
    assert_eq!(sim.swarm(0).unwrap().stats().refused, 1, "{what}");
    all_are_served(&mut sim, 1..=most, &what);
    if !at_once {
        part(&mut sim, 1, 0);
    }
    assert!(sim.dial(refused, 0));
    sim.run_for(seconds(2)).unwrap();
    assert!(connected(&sim, refused, 0), "{what}: again");
    all_are_served(&mut sim, 2..=refused, &what);
    sim.wind_down(seconds(20)).unwrap();
}

#[test]
fn the_connection_that_a_limit_on_inbound_ones_has_no_room_for_is_refused_alone_and_taken_later() {
    // covers: SIM-016
    for most in 1..=MOST {
        inbound(
            "max_inbound",
            |config, n| config.max_inbound = n,
            most,
            false,
            false,
        );
        inbound(
            "max_connections",
            |config, n| config.max_connections = n,
            most,
            false,
            false,
        );
        inbound("max_per_ip", |config, n| config.max_per_ip = n, most, false, true);
        inbound(
            "max_pending_per_ip",
            |config, n| config.max_pending_per_ip = n,
            most,
            true,
            true,
        );
    }
}

#[test]
fn the_dial_that_a_limit_has_no_room_for_is_refused_alone_and_taken_later() {
    // covers: SIM-016
    let limit: Set = |config, n| config.max_dials = n;
    for most in 1..=MOST {
        let mut sim = quiet(Scenario::new(MOST + 2).link(apart(millis(20))), limit, most);
        for host in 1..=most + 1 {
            let (peer, addr) = (sim.peer(host).unwrap(), sim.address_of(host).unwrap());
            let dial = Dial {
                addrs: vec![addr],
                ..Dial::peer(peer)
            };
            let answer = sim.command(0, |_, swarm, now| swarm.dial(now, dial)).unwrap();
            assert_eq!(answer.is_ok(), host <= most, "{host} of {most}");
            if host > most {
                assert_eq!(answer.unwrap_err(), DialRefused::TooManyDials);
            }
        }
        sim.run_for(seconds(2)).unwrap();
        all_are_served(&mut sim, 1..=most, "max_dials");
        assert!(sim.dial(0, most + 1));
        sim.run_for(seconds(2)).unwrap();
        all_are_served(&mut sim, 1..=most + 1, "max_dials");
        sim.wind_down(seconds(20)).unwrap();
    }
}

#[test]
fn the_attempt_that_a_limit_on_sockets_has_no_room_for_waits_for_one() {
    // covers: SIM-016
    let limit: Set = |config, n| config.max_pending_outbound = n;
    for most in 1..=MOST {
        let mut sim = quiet(Scenario::new(MOST + 2).link(apart(millis(20))), limit, most);
        for host in 1..=most + 1 {
            assert!(sim.dial(0, host));
        }
        let pending = sim.swarm(0).unwrap().stats().pending_outbound;
        assert_eq!(pending, most);
        sim.run_for(seconds(3)).unwrap();
        all_are_served(&mut sim, 1..=most + 1, "max_pending_outbound");
        sim.wind_down(seconds(20)).unwrap();
    }
}

/// The limit of one scope, in all three ways.
fn streams(most: usize) -> StreamLimit {
    let most = u32::try_from(most).unwrap();
    StreamLimit {
        inbound: most,
        outbound: most,
        total: most,
    }
}

#[test]
fn the_stream_that_a_limit_has_no_room_for_is_refused_alone_and_taken_later() {
    // covers: SIM-016
    let limits: [(&str, Set); 8] = [
        ("streams.inbound", |config, n| config.streams.inbound = n),
        ("streams.outbound", |config, n| config.streams.outbound = n),
        ("scopes.system", |config, n| config.scopes.system = streams(n)),
        ("scopes.service", |config, n| config.scopes.service = streams(n)),
        ("scopes.protocol", |config, n| config.scopes.protocol = streams(n)),
        ("scopes.peer", |config, n| config.scopes.peer = streams(n)),
        ("scopes.service_peer", |config, n| {
            config.scopes.service_peer = streams(n);
        }),
        ("scopes.protocol_peer", |config, n| {
            config.scopes.protocol_peer = streams(n);
        }),
    ];
    for (name, limit) in limits {
        for most in 1..=MOST {
            let what = format!("{name} = {most}");
            let mut scenario = Scenario::new(2).link(apart(millis(20)));
            // What one connection may carry is one number for both ways where it counts.
            scenario.swarm.streams.outbound = 64;
            let mut sim = quiet(scenario, limit, most);
            assert!(sim.dial(0, 1));
            sim.run_for(seconds(5)).unwrap();
            assert!(connected(&sim, 0, 1) && connected(&sim, 1, 0), "{what}");
            // All at once, each of several windows.
            let flows: Vec<_> = (0..=most).map(|_| send(&mut sim, 0, 1, 2_000_000)).collect();
            sim.run_for(seconds(60)).unwrap();
            let outcomes = sim
                .command(0, |app, _, _| std::mem::take(&mut app.outcomes))
                .unwrap();
            assert_eq!(outcomes.len(), flows.len(), "{what}");
            let failed: Vec<_> = outcomes
                .iter()
                .filter(|outcome| outcome.result.is_err())
                .collect();
            assert_eq!(failed.len(), 1, "{what}: {outcomes:?}");
            assert_eq!(failed[0].flow, flows[most], "{what}");
            assert!(connected(&sim, 0, 1) && connected(&sim, 1, 0), "{what}");
            send(&mut sim, 0, 1, 2_000_000);
            sim.run_for(seconds(60)).unwrap();
            let outcomes = &sim.app(0).unwrap().outcomes;
            assert!(
                outcomes.len() == 1 && outcomes[0].result.is_ok(),
                "{what}: {outcomes:?}"
            );
            sim.wind_down(seconds(20)).unwrap();
        }
    }
}
