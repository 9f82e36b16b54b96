//! What NATs do to hole punches and to what they have made: time-outs, a new start, collisions of ports, hairpins, full tables, packets that cross in any order.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_dcutr as dcutr;
use libp2p_proto_simulator::{Fault, FaultKind, Link, NatKind, PortChoice, Sim};
use support::{
    millis,
    punch::{
        APD, CALLEE, CALLER, EI, Node, Place, RESTRICTED, call, is_direct, is_direct_from, kind, relayed,
        settle, world,
    },
    seconds,
};

/// Another host that calls.
const OTHER: usize = 3;

const BEHIND: Place = Place::Nat(RESTRICTED);

/// Whether the callee has given up, with a reason.
fn has_failed(sim: &Sim<Node>) -> bool {
    let told = &sim.app(CALLEE).unwrap().told;
    told.iter()
        .any(|event| matches!(event, dcutr::Event::Failed { .. }))
}

fn standing(sim: &Sim<Node>, host: usize) -> usize {
    let peer = sim.peer(CALLEE).unwrap();
    sim.swarm(host).unwrap().connections(peer).len()
}

// covers: SIM-019
#[test]
fn a_punched_connection_outlives_the_time_out_of_its_mapping_by_its_keep_alive() {
    let short = Place::Nat(NatKind {
        timeout: seconds(300),
        ..RESTRICTED
    });
    let mut sim = relayed(world(short, short), 1);
    settle(&mut sim);
    assert!(is_direct(&sim));
    sim.run_for(seconds(3600)).unwrap();
    assert!(is_direct(&sim));
    assert_eq!(standing(&sim, CALLER), 1, "the relayed one is gone");
    sim.wind_down(seconds(60)).unwrap();
}

// covers: SIM-019
#[test]
fn after_a_nat_has_started_again_its_host_punches_anew() {
    let kind = Place::Nat(kind(EI, APD, PortChoice::Random));
    let mut scenario = world(kind, kind);
    scenario.faults = vec![Fault::at(seconds(60), FaultKind::NatReboot { nat: 0 })];
    let mut sim = relayed(scenario, 1);
    settle(&mut sim);
    assert!(is_direct(&sim));
    let noticed = sim.now() + seconds(120);
    assert!(sim.run_until(noticed, |sim| standing(sim, CALLER) == 0).unwrap());
    let since = sim.now();
    call(&mut sim, CALLER);
    assert!(sim.run_until(since + seconds(30), |sim| is_direct(sim)).unwrap());
    sim.run_for(seconds(60)).unwrap();
    assert_eq!((standing(&sim, CALLER), is_direct(&sim)), (1, true));
    sim.wind_down(seconds(60)).unwrap();
}

// covers: SIM-019
#[test]
fn two_hosts_behind_one_nat_that_want_the_same_port_both_punch() {
    let mut scenario = world(Place::Open, BEHIND);
    scenario.hosts = 4;
    let scenario = scenario.nat(RESTRICTED, [CALLER, OTHER]);
    let mut sim = relayed(scenario, 1);
    call(&mut sim, OTHER);
    settle(&mut sim);
    sim.run_for(seconds(30)).unwrap();
    assert!(is_direct_from(&sim, CALLER) && is_direct_from(&sim, OTHER));
    sim.wind_down(seconds(60)).unwrap();
}

// covers: SIM-019
#[test]
fn two_hosts_behind_one_nat_punch_only_if_it_hairpins() {
    for hairpin in [true, false] {
        let nat = NatKind {
            hairpin,
            ..RESTRICTED
        };
        let scenario = world(Place::Open, Place::Open).nat(nat, [CALLER, CALLEE]);
        let mut sim = relayed(scenario, 1);
        settle(&mut sim);
        assert_eq!(is_direct(&sim), hairpin);
        assert_eq!(has_failed(&sim), !hairpin, "with a reason");
        assert!(standing(&sim, CALLER) > 0);
        sim.wind_down(seconds(60)).unwrap();
    }
}

// covers: SIM-019
#[test]
fn through_a_nat_whose_table_is_full_the_connection_stays_relayed_and_says_why() {
    let full = Place::Nat(NatKind {
        table: 1,
        ..kind(APD, APD, PortChoice::Preserve)
    });
    let mut sim = relayed(world(full, Place::Open), 1);
    settle(&mut sim);
    assert!(!is_direct(&sim) && has_failed(&sim));
    assert_eq!(standing(&sim, CALLER), 1);
    sim.wind_down(seconds(60)).unwrap();
}

// covers: SIM-020
#[test]
fn in_whatever_order_packets_cross_a_punch_is_direct_or_stays_relayed_with_a_reason() {
    let refuses = Place::Nat(NatKind {
        refuses: true,
        ..RESTRICTED
    });
    let forwards = Place::Nat(kind(EI, EI, PortChoice::Preserve));
    let (mut direct, mut runs) = (0, 0);
    for caller in [refuses, BEHIND, forwards] {
        for callee in [refuses, BEHIND, forwards] {
            for seed in 1..=4 {
                let scenario = world(caller, callee).link(Link {
                    latency: (millis(1), millis(200)),
                    jitter: millis(40),
                    ..Link::default()
                });
                let mut sim = relayed(scenario, seed);
                settle(&mut sim);
                let how = sim.app(CALLEE).unwrap().how();
                assert!(is_direct(&sim) == how.is_some() && is_direct(&sim) != has_failed(&sim));
                assert!(standing(&sim, CALLER) > 0);
                runs += 1;
                direct += u32::from(is_direct(&sim));
                sim.wind_down(seconds(60)).unwrap();
            }
        }
    }
    println!("{direct} of {runs}");
    assert!(direct * 10 >= runs * 9, "{direct} of {runs}");
}
