//! Links that are slow, narrow, cut, broken, half-open; peers that do not read.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::Instant;
use libp2p_proto_simulator::{Depth, Fault, FaultKind, Link, Places, Scenario};
use libp2p_proto_stream_protocol::Closed;
use libp2p_proto_swarm::Event;
use std::time::Duration;
use support::{apart, ask, both, build, connected, depth_name, millis, pair, seconds, send, until};

#[test]
fn a_handshake_succeeds_whenever_its_round_trips_fit_the_deadline_and_fails_typed_when_not() {
    // covers: SIM-002
    // The listener is done 3 round trips after it accepted, and allows 10 s.
    for (millis, fits) in [
        (0, true),
        (100, true),
        (1600, true),
        (1700, false),
        (10_000, false),
    ] {
        for scenario in both(&Scenario::new(2)) {
            let link = apart(Duration::from_millis(millis));
            let mut sim = build(scenario.clone().link(link), 1);
            assert!(sim.dial(0, 1));
            sim.run_for(seconds(60)).unwrap();
            assert_eq!(
                connected(&sim, 0, 1),
                fits,
                "{millis} ms, {}",
                depth_name(&scenario)
            );
            if !fits {
                let events = &sim.app(0).unwrap().events;
                let failed =
                    |event: &Event| matches!(event, Event::DialFailed { .. } | Event::Disconnected { .. });
                assert!(events.iter().any(failed), "{millis} ms: {events:?}");
            }
            sim.wind_down(seconds(60)).unwrap();
        }
    }
    // From 1 KB/s to 1 GB/s, there and back at different distances, with jitter.
    for bandwidth in [1_000, 30_000, 1_000_000, 1_000_000_000] {
        let link = Link {
            latency: (millis(0), millis(500)),
            asymmetric: true,
            jitter: millis(100),
            bandwidth: Some(bandwidth),
            ..Link::default()
        };
        for seed in 0..4 {
            let mut sim = build(Scenario::new(2).link(link), seed);
            assert!(sim.dial(0, 1));
            sim.run_for(seconds(30)).unwrap();
            assert!(
                connected(&sim, 0, 1) && connected(&sim, 1, 0),
                "{bandwidth} B/s, seed {seed}"
            );
        }
    }
}

fn millis_f(at: Instant) -> u64 {
    at.as_nanos() / 1_000_000
}

#[test]
fn whatever_byte_a_link_breaks_behind_each_request_ends_exactly_once() {
    // covers: SIM-003
    // How many bytes either side says in all.
    let mut sim = build(Scenario::new(2).link(apart(millis(10))), 5);
    exchange(&mut sim);
    let whole = sim.stats().bytes;
    assert!(whole > 2000);
    let mut broken = 0;
    for listener in [false, true] {
        for bytes in (0..whole).step_by(13) {
            let fault = FaultKind::BreakAt {
                from: Places::one(0),
                to: Places::one(1),
                bytes,
                listener,
            };
            let fault = Fault::at(Duration::ZERO, fault);
            let mut sim = build(Scenario::new(2).link(apart(millis(10))).fault(fault), 5);
            broken += u32::from(!exchange(&mut sim));
        }
    }
    assert!(broken > 100, "{broken}");
}

/// One host dials, asks and sends; says whether all succeeded. Everything ends once.
fn exchange(sim: &mut libp2p_proto_simulator::Sim<support::Tester>) -> bool {
    sim.run_for(Duration::ZERO).unwrap();
    assert!(sim.dial(0, 1));
    let up = until(sim, seconds(5), |sim| connected(sim, 0, 1)).unwrap();
    ask(sim, 0, 1, 1, 100);
    send(sim, 0, 1, 500);
    sim.run_for(seconds(20)).unwrap();
    sim.wind_down(seconds(20)).unwrap();
    let app = sim.app(0).unwrap();
    assert_eq!((app.answers.len(), app.outcomes.len()), (1, 1));
    up && app.answers[0].result.is_ok() && app.outcomes[0].result.is_ok()
}

#[test]
fn a_half_open_connection_is_noticed_within_45_seconds_whenever_and_whichever_way_it_falls_silent() {
    // covers: SIM-004
    for scenario in both(&Scenario::new(2)) {
        for at in [1_500, 7_000, 15_050, 31_234] {
            for (from, to) in [(Places::one(0), Places::one(1)), (Places::one(1), Places::one(0))] {
                let fault = Fault::at(millis(at), FaultKind::BlackHole { from, to });
                let mut sim = pair(scenario.clone().fault(fault), 3);
                let gone = until(&mut sim, millis(at - 1_000) + seconds(45), |sim| {
                    !connected(sim, 0, 1) && !connected(sim, 1, 0)
                });
                assert!(
                    gone.unwrap(),
                    "{} ms, {}: {}",
                    at,
                    depth_name(&scenario),
                    millis_f(sim.now())
                );
            }
        }
    }
}

#[test]
fn a_reader_that_stops_costs_no_more_than_its_window_and_resumes_without_loss() {
    // covers: SIM-006
    for scenario in both(&Scenario::new(2).link(apart(millis(20)))) {
        // For a minute, for ever, and again and again.
        for pattern in [&[60][..], &[], &[1, 2, 1, 3, 1]] {
            let mut sim = pair(scenario.clone(), 9);
            sim.command(1, |app, _, _| app.flow.set_reads(false)).unwrap();
            send(&mut sim, 0, 1, 3_000_000);
            let mut reads = false;
            for pause in pattern {
                sim.run_for(seconds(*pause)).unwrap();
                if !reads {
                    let got = sim.app(1).unwrap().flow.received();
                    assert!(got <= 3_000_000);
                }
                reads = !reads;
                sim.command(1, |app, _, _| app.flow.set_reads(reads)).unwrap();
            }
            sim.run_for(seconds(60)).unwrap();
            let outcomes = sim.app(0).unwrap().outcomes.clone();
            if pattern.is_empty() {
                let got = sim.app(1).unwrap().flow.received();
                assert!(got <= 1 << 20, "{got} bytes at a reader that does not read");
                assert!(outcomes.is_empty(), "{outcomes:?}");
                // Others are served meanwhile.
                ask(&mut sim, 0, 1, 1, 10);
                sim.run_for(seconds(5)).unwrap();
                assert!(sim.app(0).unwrap().answers[0].result.is_ok());
            } else {
                assert_eq!(
                    outcomes[0].result,
                    Ok(()),
                    "{pattern:?} {}",
                    depth_name(&scenario)
                );
                assert_eq!(sim.app(1).unwrap().flow.received(), 3_000_000);
            }
            sim.wind_down(seconds(30)).unwrap();
            assert_eq!(sim.app(0).unwrap().outcomes.len(), 1);
        }
    }
}

#[test]
fn an_application_that_looks_at_nothing_for_an_hour_stays_bounded_and_goes_on() {
    // covers: SIM-007
    let fault = Fault::during(
        seconds(5),
        seconds(3600),
        FaultKind::Deaf {
            hosts: Places::one(1),
        },
    );
    let mut scenario = Scenario::new(3).link(apart(millis(20))).fault(fault);
    scenario.swarm.max_events = 16;
    scenario.depth = Depth::Full;
    let mut sim = pair(scenario, 2);
    sim.run_for(seconds(10)).unwrap();
    // Dials come and go, so that the swarm has much to say.
    for round in 0..60 {
        assert!(sim.dial(2, 1));
        sim.run_for(seconds(30)).unwrap();
        let stats = sim.swarm(1).unwrap().stats();
        assert!(stats.events <= 16, "{} events wait", stats.events);
        let peer = sim.peer(1).unwrap();
        sim.command(2, |_, swarm, _| {
            for conn in swarm.connections(peer) {
                swarm.disconnect(conn);
            }
        });
        sim.run_for(seconds(30)).unwrap();
        assert!(sim.swarm(1).unwrap().stats().established <= 4, "round {round}");
    }
    assert!(sim.now() > Instant::ZERO + seconds(3600));
    sim.run_for(seconds(60)).unwrap();
    assert!(sim.dial(2, 1));
    sim.run_for(seconds(20)).unwrap();
    assert!(connected(&sim, 2, 1) && connected(&sim, 1, 2));
    send(&mut sim, 2, 1, 100_000);
    sim.run_for(seconds(10)).unwrap();
    assert_eq!(sim.app(2).unwrap().outcomes[0].result, Ok(()));
    sim.wind_down(seconds(20)).unwrap();
}

#[test]
fn a_partition_delays_what_is_on_its_way_and_loses_nothing() {
    for scenario in both(&Scenario::new(2).link(apart(millis(20)))) {
        let cut = |from, to| FaultKind::Cut {
            from: Places::one(from),
            to: Places::one(to),
        };
        let scenario = scenario
            .fault(Fault::during(millis(1_030), seconds(5), cut(0, 1)))
            .fault(Fault::during(millis(1_050), seconds(8), cut(1, 0)));
        let mut sim = pair(scenario, 4);
        send(&mut sim, 0, 1, 1_000_000);
        sim.run_for(seconds(7)).unwrap();
        assert!(sim.app(0).unwrap().outcomes.is_empty());
        sim.run_for(seconds(10)).unwrap();
        assert_eq!(sim.app(0).unwrap().outcomes[0].result, Ok(()));
        sim.wind_down(seconds(20)).unwrap();
    }
}

#[test]
fn a_broken_link_ends_each_flow_once_with_a_typed_reason() {
    for scenario in both(&Scenario::new(2).link(apart(millis(20)))) {
        let kind = FaultKind::Break {
            from: Places::one(0),
            to: Places::one(1),
        };
        let mut sim = pair(scenario.fault(Fault::at(millis(1_050), kind)), 4);
        send(&mut sim, 0, 1, 10_000_000);
        sim.run_for(seconds(7)).unwrap();
        let outcomes = sim.app(0).unwrap().outcomes.clone();
        assert_eq!(outcomes.len(), 1);
        assert_eq!(outcomes[0].result, Err(Closed::ConnectionLost));
        sim.wind_down(seconds(20)).unwrap();
    }
}
