//! NATs: every kind of mapping and filtering, and what they do to links, against fixed tables.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Multiaddr, Side};
use libp2p_proto_ping as ping;
use libp2p_proto_simulator::{Dependence, Fault, FaultKind, NatKind, NatPlace, PortChoice, Scenario, Sim};
use libp2p_proto_stream_protocol::{AttemptError, Dial, DialError};
use libp2p_proto_swarm::Event;
use std::time::Duration;
use support::{
    Tester, apart, both, build, connected, depth_name, millis,
    punch::{AD, APD, EI, RESTRICTED, kind},
    seconds,
};

const FULL_CONE: NatKind = kind(EI, EI, PortChoice::Preserve);

/// A world whose hosts dial from the port where they listen.
fn world(hosts: usize) -> Scenario {
    let mut scenario = Scenario::new(hosts).link(apart(millis(20)));
    scenario.reuse_port = true;
    scenario
}

/// A NAT behind another one.
fn behind(mut scenario: Scenario, outer: usize, kind: NatKind, hosts: &[usize]) -> Scenario {
    scenario.nats.push(NatPlace {
        kind,
        outer: Some(outer),
        hosts: hosts.to_vec(),
    });
    scenario
}

/// How a host looks to another one that it has dialed.
fn seen(sim: &Sim<Tester>, by: usize, host: usize) -> Multiaddr {
    let peer = sim.peer(host).unwrap();
    let swarm = sim.swarm(by).unwrap();
    let conn = swarm.connections(peer)[0];
    swarm.connection_info(conn).unwrap().remote.clone()
}

fn port(addr: &Multiaddr) -> u16 {
    addr.socket_tcp().unwrap().1
}

/// Dials somebody at an address, in a role.
fn dial_at(sim: &mut Sim<Tester>, from: usize, to: usize, addr: &Multiaddr, side: Side) {
    let dial = Dial {
        addrs: vec![addr.clone()],
        force: true,
        side,
        reuse_port: true,
        ..Dial::peer(sim.peer(to).unwrap())
    };
    let begun = sim.command(from, |_, swarm, now| swarm.dial(now, dial).is_ok());
    assert_eq!(begun, Some(true));
}

/// Whether a host reaches another one at an address.
fn reaches(sim: &mut Sim<Tester>, from: usize, to: usize, addr: &Multiaddr) -> bool {
    dial_at(sim, from, to, addr, Side::Dialer);
    sim.run_for(seconds(20)).unwrap();
    connected(sim, from, to)
}

#[test]
fn every_kind_of_mapping_and_filtering_behaves_as_its_name_says() {
    // Host 0 is behind the NAT; 1 and 2 share an address behind a NAT of their own, 3 has one of its own.
    // Mapping: does 0 look the same to another port of the same address, and to another address? Filtering: does somebody whom it has
    // not dialed get in from another port of an address that it has dialed, and from another address?
    const TABLE: [(Dependence, Dependence, [bool; 2], [bool; 2]); 9] = [
        (EI, EI, [true, true], [true, true]),
        (EI, AD, [true, true], [true, false]),
        (EI, APD, [true, true], [false, false]),
        (AD, EI, [true, false], [true, true]),
        (AD, AD, [true, false], [true, false]),
        (AD, APD, [true, false], [false, false]),
        (APD, EI, [false, false], [true, true]),
        (APD, AD, [false, false], [true, false]),
        (APD, APD, [false, false], [false, false]),
    ];
    for (mapping, filtering, same, lets_in) in TABLE {
        for ports in [PortChoice::Preserve, PortChoice::Sequential, PortChoice::Random] {
            let scenario = world(4)
                .nat(FULL_CONE, [1, 2])
                .nat(kind(mapping, filtering, ports), [0]);
            for scenario in both(&scenario) {
                let what = format!("{mapping:?} {filtering:?} {ports:?} {}", depth_name(&scenario));
                let start = || {
                    let mut sim = build(scenario.clone(), 1);
                    assert!(sim.dial(1, 3) && sim.dial(2, 3));
                    sim.run_for(seconds(2)).unwrap();
                    let outer = [seen(&sim, 3, 1), seen(&sim, 3, 2), sim.address_of(3).unwrap()];
                    assert_eq!(outer[0].ip(), outer[1].ip());
                    assert_ne!(port(&outer[0]), port(&outer[1]));
                    (sim, outer)
                };
                let (mut sim, outer) = start();
                for (to, addr) in (1..).zip(&outer) {
                    assert!(reaches(&mut sim, 0, to, addr), "{what}, {to}");
                }
                let ours = [1, 2, 3].map(|by| port(&seen(&sim, by, 0)));
                assert_eq!([ours[0] == ours[1], ours[0] == ours[2]], same, "{what}: {ours:?}");
                sim.wind_down(seconds(40)).unwrap();

                let (mut sim, outer) = start();
                assert!(reaches(&mut sim, 0, 1, &outer[0]));
                let ours = seen(&sim, 1, 0);
                for (from, wanted) in [(2, lets_in[0]), (3, lets_in[1])] {
                    assert_eq!(reaches(&mut sim, from, 0, &ours), wanted, "{what}, {from}");
                }
                sim.wind_down(seconds(40)).unwrap();
            }
        }
    }
}

#[test]
fn ports_are_kept_counted_or_drawn_and_two_hosts_never_get_the_same() {
    let ports_of = |choice, seed| {
        let mut sim = build(
            world(4).at_swarm_level().nat(kind(EI, APD, choice), [0, 1, 2]),
            seed,
        );
        for from in 0..3 {
            assert!(sim.dial(from, 3));
            sim.run_for(seconds(1)).unwrap();
        }
        [0, 1, 2].map(|host| port(&seen(&sim, 3, host)))
    };
    // The first keeps its port; it is taken for the others.
    assert_eq!(ports_of(PortChoice::Preserve, 1), [4001, 20_000, 20_001]);
    assert_eq!(ports_of(PortChoice::Sequential, 1), [20_000, 20_001, 20_002]);
    let drawn = ports_of(PortChoice::Random, 1);
    assert_eq!(drawn, ports_of(PortChoice::Random, 1));
    assert_ne!(drawn, ports_of(PortChoice::Random, 2));
    assert!(drawn.iter().all(|port| (20_000..64_000).contains(port)));
    assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2] && drawn[0] != drawn[2]);
}

#[test]
fn hosts_behind_one_nat_reach_each_other_by_outer_addresses_only_if_it_hairpins() {
    // Whether it hairpins, its filter, whether both dial; whether they meet.
    const TABLE: [(bool, Dependence, bool, bool); 8] = [
        (false, EI, false, false),
        (false, EI, true, false),
        (false, APD, true, false),
        (true, EI, false, true),
        // What comes back in has the NAT's own address.
        (true, AD, false, false),
        (true, AD, true, true),
        (true, APD, false, false),
        (true, APD, true, true),
    ];
    for (hairpin, filtering, both_dial, meet) in TABLE {
        let kind = NatKind {
            hairpin,
            ..kind(EI, filtering, PortChoice::Preserve)
        };
        for scenario in both(&world(3).nat(kind, [0, 1])) {
            let mut sim = build(scenario, 1);
            assert!(sim.dial(0, 2) && sim.dial(1, 2));
            sim.run_for(seconds(2)).unwrap();
            let [first, second] = [seen(&sim, 2, 0), seen(&sim, 2, 1)];
            if both_dial {
                dial_at(&mut sim, 1, 0, &first, Side::Listener);
            }
            let met = reaches(&mut sim, 0, 1, &second);
            assert_eq!(met, meet, "{hairpin} {filtering:?} {both_dial}");
            // By their inner addresses they always do.
            let inner = sim.address_of(1).unwrap();
            assert!(reaches(&mut sim, 0, 1, &inner));
            sim.wind_down(seconds(40)).unwrap();
        }
    }
}

#[test]
fn behind_a_carrier_grade_nat_an_address_counts_only_where_it_belongs() {
    // Hosts 0 and 1 are behind NATs of their own behind the carrier's (NAT 0), 3 is directly behind it, 2 is outside.
    // Whether the carrier's NAT hairpins; which host dials 0, at its carrier's or its world's address; whether it gets there.
    const TABLE: [(bool, usize, bool, bool); 8] = [
        (false, 1, true, true),
        (false, 1, false, false),
        (true, 1, true, true),
        (true, 1, false, true),
        (false, 3, true, true),
        (true, 3, false, true),
        (false, 2, true, false),
        (false, 2, false, true),
    ];
    for (hairpin, from, carriers, wanted) in TABLE {
        let carrier = NatKind { hairpin, ..FULL_CONE };
        let scenario = world(4).nat(carrier, [3]);
        let scenario = behind(behind(scenario, 0, FULL_CONE, &[0]), 0, FULL_CONE, &[1]);
        for scenario in both(&scenario) {
            let what = format!("{hairpin} {from} {carriers} {}", depth_name(&scenario));
            let mut sim = build(scenario, 1);
            let third = sim.address_of(3).unwrap();
            assert!(reaches(&mut sim, 0, 3, &third), "{what}");
            assert!(sim.dial(0, 2));
            sim.run_for(seconds(2)).unwrap();
            let (inner, outer) = (seen(&sim, 3, 0), seen(&sim, 2, 0));
            assert!(inner.to_string().starts_with("/ip4/100."), "{inner}");
            assert!(outer.to_string().starts_with("/ip4/80."), "{outer}");
            // Those that are connected already part first.
            let peer = sim.peer(0).unwrap();
            sim.command(from, |_, swarm, _| {
                for conn in swarm.connections(peer) {
                    swarm.disconnect(conn);
                }
            });
            sim.run_for(seconds(5)).unwrap();
            assert!(!connected(&sim, from, 0));
            let addr = if carriers { inner } else { outer };
            assert_eq!(reaches(&mut sim, from, 0, &addr), wanted, "{what}");
            sim.wind_down(seconds(40)).unwrap();
        }
    }
}

#[test]
fn an_idle_mapping_is_forgotten_in_its_time_and_a_used_one_is_not() {
    // How long the NAT remembers; how often hosts ping; whether the link and the mapping still stand after ten minutes.
    const TABLE: [(u64, u64, bool); 4] = [
        (20, 15, true),
        (20, 3600, false),
        // The multiplexer's own pings come every 30 s.
        (60, 3600, true),
        (300, 100, true),
    ];
    for (timeout, every, stands) in TABLE {
        let kind = NatKind {
            timeout: seconds(timeout),
            ..FULL_CONE
        };
        for scenario in both(&world(3).nat(kind, [0])) {
            let what = format!("{timeout} {every} {}", depth_name(&scenario));
            let config = ping::Config {
                interval: Some(seconds(every)),
                ..ping::Config::default()
            };
            let mut sim = Sim::new(scenario, 1, move |birth| {
                Tester::with_ping(&birth, config.clone())
            })
            .unwrap();
            assert!(sim.dial(0, 1));
            sim.run_for(seconds(2)).unwrap();
            let outer = seen(&sim, 1, 0);
            sim.run_for(seconds(600)).unwrap();
            // Nobody says so to either end: they notice by what is not answered.
            support::ask(&mut sim, 0, 1, 1, 10);
            sim.run_for(seconds(60)).unwrap();
            let answered = sim.app(0).unwrap().answers[0].result.is_ok();
            assert_eq!(answered, stands, "{what}");
            assert_eq!(reaches(&mut sim, 2, 0, &outer), stands, "{what}");
            sim.wind_down(seconds(60)).unwrap();
        }
    }
}

#[test]
fn a_full_table_maps_nobody_else_until_a_place_is_free_again() {
    let kind = NatKind {
        table: 2,
        ..kind(APD, APD, PortChoice::Preserve)
    };
    for scenario in both(&world(4).nat(kind, [0])) {
        let mut sim = build(scenario, 1);
        let addrs = [1, 2, 3].map(|to| sim.address_of(to).unwrap());
        assert!(reaches(&mut sim, 0, 1, &addrs[0]));
        assert!(reaches(&mut sim, 0, 2, &addrs[1]));
        assert!(!reaches(&mut sim, 0, 3, &addrs[2]));
        let failed = |event: &Event| matches!(event, Event::DialFailed { error, .. } if timed_out(error));
        assert!(sim.app(0).unwrap().events.iter().any(failed));
        // A link that is over leaves its mapping for four minutes.
        let peer = sim.peer(1).unwrap();
        sim.command(0, |_, swarm, _| swarm.disconnect(swarm.connections(peer)[0]));
        assert!(!reaches(&mut sim, 0, 3, &addrs[2]));
        sim.run_for(seconds(240)).unwrap();
        assert!(reaches(&mut sim, 0, 3, &addrs[2]));
        assert!(connected(&sim, 0, 2));
        sim.wind_down(seconds(40)).unwrap();
    }
}

fn timed_out(error: &DialError) -> bool {
    match error {
        DialError::TimedOut => true,
        DialError::AllFailed(attempts) => attempts.iter().any(|(_, error)| *error == AttemptError::TimedOut),
        _ => false,
    }
}

#[test]
fn who_is_not_let_in_hears_nothing_or_is_refused_as_the_nat_likes() {
    for refuses in [false, true] {
        let kind = NatKind {
            refuses,
            ..RESTRICTED
        };
        for scenario in both(&world(3).nat(kind, [0])) {
            let mut sim = build(scenario, 1);
            assert!(sim.dial(0, 1));
            sim.run_for(seconds(2)).unwrap();
            let outer = seen(&sim, 1, 0);
            dial_at(&mut sim, 2, 0, &outer, Side::Dialer);
            sim.run_for(millis(200)).unwrap();
            let failed = |event: &Event| matches!(event, Event::DialFailed { .. });
            assert_eq!(sim.app(2).unwrap().events.iter().any(failed), refuses);
            sim.run_for(seconds(30)).unwrap();
            assert!(sim.app(2).unwrap().events.iter().any(failed));
            assert!(!connected(&sim, 2, 0));
            sim.wind_down(seconds(40)).unwrap();
        }
    }
}

#[test]
fn a_nat_that_starts_again_has_lost_its_links_and_maps_anew() {
    let fault = Fault::at(seconds(30), FaultKind::NatReboot { nat: 0 });
    let scenario = world(4)
        .nat(kind(EI, EI, PortChoice::Random), [0])
        .nat(FULL_CONE, [1]);
    for scenario in both(&scenario.fault(fault)) {
        let mut sim = build(scenario, 1);
        assert!(sim.dial(0, 2) && sim.dial(1, 2));
        sim.run_for(seconds(29)).unwrap();
        let before = seen(&sim, 2, 0);
        // Both ends notice within 45 s; the other NAT's links stay.
        sim.run_for(seconds(46)).unwrap();
        assert!(!connected(&sim, 0, 2) && !connected(&sim, 2, 0));
        assert!(connected(&sim, 1, 2));
        assert!(!reaches(&mut sim, 3, 0, &before));
        let addr = sim.address_of(2).unwrap();
        assert!(reaches(&mut sim, 0, 2, &addr));
        let after = seen(&sim, 2, 0);
        assert_ne!(before, after);
        assert!(reaches(&mut sim, 3, 0, &after));
        sim.wind_down(seconds(40)).unwrap();
    }
}

/// How the two sides of a punch are reached.
#[derive(Clone, Copy, Debug)]
enum Net {
    Open,
    Behind(NatKind),
    /// Behind two NATs of this kind.
    Twice(NatKind),
}

impl Net {
    fn add(self, scenario: Scenario, host: usize) -> Scenario {
        match self {
            Self::Open => scenario,
            Self::Behind(kind) => scenario.nat(kind, [host]),
            Self::Twice(kind) => {
                let outer = scenario.nats.len();
                behind(scenario.nat(kind, []), outer, kind, &[host])
            }
        }
    }
}

/// Hosts 0 and 1 dial each other at once, the second one so much later, at the addresses that host 2 has seen; in these roles.
fn punch(scenario: Scenario, sides: [Side; 2], later: Duration) -> Sim<Tester> {
    let mut sim = build(scenario, 1);
    assert!(sim.dial(0, 2) && sim.dial(1, 2));
    sim.run_for(seconds(3)).unwrap();
    let [first, second] = [seen(&sim, 2, 0), seen(&sim, 2, 1)];
    dial_at(&mut sim, 0, 1, &second, sides[0]);
    sim.run_for(later).unwrap();
    dial_at(&mut sim, 1, 0, &first, sides[1]);
    sim.run_for(seconds(12)).unwrap();
    sim
}

/// If the requests cross, one end has to take the listener's role; if only one gets through, whoever accepts it has that role anyway.
const ROLES: [[Side; 2]; 2] = [[Side::Dialer, Side::Listener], [Side::Dialer, Side::Dialer]];

#[test]
fn which_pairs_of_nats_are_punched_by_links_that_are_dialed_from_both_ends_at_once() {
    const TABLE: [(&str, Net, &str); 9] = [
        ("none", Net::Open, "yyyyyyyyy"),
        ("full cone", Net::Behind(FULL_CONE), "yyyyyyyyy"),
        (
            "address restricted",
            Net::Behind(kind(EI, AD, PortChoice::Preserve)),
            "yyyyyyyyy",
        ),
        ("port restricted", Net::Behind(RESTRICTED), "yyyynnnyy"),
        (
            "mapped by address",
            Net::Behind(kind(AD, APD, PortChoice::Sequential)),
            "yyynnnnnn",
        ),
        (
            "symmetric, ports in turn",
            Net::Behind(kind(APD, APD, PortChoice::Sequential)),
            "yyynnnnnn",
        ),
        (
            "symmetric, random ports",
            Net::Behind(kind(APD, APD, PortChoice::Random)),
            "yyynnnnnn",
        ),
        ("carrier grade", Net::Twice(RESTRICTED), "yyyynnnyy"),
        (
            "port restricted, refuses",
            Net::Behind(NatKind {
                refuses: true,
                ..RESTRICTED
            }),
            "yyyynnnyy",
        ),
    ];
    for (left, (name, net, row)) in TABLE.iter().enumerate() {
        for (right, (other, far, _)) in TABLE.iter().enumerate() {
            let wanted = &row[right..=right] == "y";
            let mirrored = &TABLE[right].2[left..=left] == "y";
            assert_eq!(wanted, mirrored);
            for later in [0, 5] {
                let met = ROLES.into_iter().any(|sides| {
                    let scenario = far.add(net.add(world(3), 0), 1).at_swarm_level();
                    let mut sim = punch(scenario, sides, millis(later));
                    let met = connected(&sim, 0, 1) && connected(&sim, 1, 0);
                    sim.wind_down(seconds(40)).unwrap();
                    met
                });
                assert_eq!(met, wanted, "{name} and {other}, {later} ms later");
            }
        }
    }
}

#[test]
fn requests_that_cross_make_one_link_with_a_dialers_socket_at_both_ends() {
    // In which roles, whether a connection comes about.
    let roles = [
        ([Side::Dialer, Side::Listener], true),
        ([Side::Listener, Side::Dialer], true),
        ([Side::Dialer, Side::Dialer], false),
        ([Side::Listener, Side::Listener], false),
    ];
    for (sides, comes) in roles {
        let scenario = world(3).nat(RESTRICTED, [0]).nat(RESTRICTED, [1]);
        for scenario in both(&scenario) {
            let what = format!("{sides:?} {}", depth_name(&scenario));
            let mut sim = punch(scenario, sides, Duration::ZERO);
            for (host, far) in [(0, 1), (1, 0)] {
                let swarm = sim.swarm(host).unwrap();
                let conns = swarm.connections(sim.peer(far).unwrap());
                assert_eq!(conns.len(), usize::from(comes), "{what}");
                for conn in conns {
                    let info = swarm.connection_info(conn).unwrap();
                    assert!(info.dial.is_some(), "{what}");
                    assert_eq!(info.side, sides[host], "{what}");
                    // Both come from the port where they listen.
                    assert_eq!(info.local, sim.address_of(host), "{what}");
                }
            }
            if comes {
                support::ask(&mut sim, 0, 1, 1, 100);
                support::ask(&mut sim, 1, 0, 1, 100);
                sim.run_for(seconds(2)).unwrap();
                assert!(
                    [0, 1]
                        .iter()
                        .all(|host| sim.app(*host).unwrap().answers[0].result.is_ok())
                );
            }
            sim.wind_down(seconds(40)).unwrap();
        }
    }
}

#[test]
fn only_a_dial_that_asks_for_it_comes_from_the_port_where_we_listen() {
    for scenario in both(&Scenario::new(3).link(apart(millis(20)))) {
        let mut sim = build(scenario, 1);
        let addr = sim.address_of(1).unwrap();
        assert!(sim.dial(0, 2));
        dial_at(&mut sim, 0, 1, &addr, Side::Dialer);
        sim.run_for(seconds(2)).unwrap();
        assert_eq!(port(&seen(&sim, 1, 0)), 4001);
        assert!(port(&seen(&sim, 2, 0)) >= 32_768);
        // A second link between the same two sockets can't be had.
        dial_at(&mut sim, 0, 1, &addr, Side::Dialer);
        sim.run_for(seconds(2)).unwrap();
        let failed = |event: &Event| matches!(event, Event::DialFailed { .. });
        assert!(sim.app(0).unwrap().events.iter().any(failed));
        sim.wind_down(seconds(20)).unwrap();
    }
}

#[test]
fn two_that_dial_each_other_agree_on_their_connection_whatever_the_timing() {
    // One dials up to three ways later than the other, in steps of a sixteenth of a way; both ends keep what they use.
    for scenario in both(&Scenario::new(2).link(apart(millis(16)))) {
        for later in 0..=48 {
            let mut sim = build(scenario.clone(), later);
            assert!(sim.dial(0, 1));
            sim.run_for(millis(later)).unwrap();
            // By then the other's connection may stand, and there is nothing to dial.
            sim.dial(1, 0);
            sim.run_for(seconds(20)).unwrap();
            let ends = [(0, 1), (1, 0)].map(|(host, far)| {
                let swarm = sim.swarm(host).unwrap();
                let conns = swarm.connections(sim.peer(far).unwrap());
                let sides = conns
                    .iter()
                    .map(|conn| swarm.connection_info(*conn).unwrap().side.is_dialer());
                sides.collect::<Vec<_>>()
            });
            // The same ones in the same order, each dialed by one of the two.
            assert!(!ends[0].is_empty(), "{later} ms later");
            let turned: Vec<bool> = ends[1].iter().map(|dialed| !dialed).collect();
            assert_eq!(ends[0], turned, "{later} ms later");
            for host in [0, 1] {
                let app = sim.app(host).unwrap();
                let failed = |event: &Event| matches!(event, Event::DialFailed { .. });
                assert!(!app.events.iter().any(failed), "{later} ms later");
            }
            sim.wind_down(seconds(20)).unwrap();
        }
    }
}
