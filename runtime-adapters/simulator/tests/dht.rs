//! Networks of Kademlia nodes: without faults, with liars, with those who come and go, around a victim. Small ones; `libp2p-proto-bench kad-simulation` runs the large ones.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_simulator::dht::{Churn, Dht, DhtNode, DhtPlan, DhtReport, Lie, server};
use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

const MINUTE: Duration = Duration::from_secs(60);

fn run(plan: DhtPlan, seed: u64) -> DhtReport {
    let report = Dht::new(plan, seed).unwrap().run().unwrap();
    eprintln!(
        "found {} of {}, {} of their nearest, got {} of {}, median hops {} and requests {}, table {:?}, events {}",
        report.found,
        report.lookups,
        report.recalled,
        report.got,
        report.gets,
        DhtReport::median(&report.hops),
        DhtReport::median(&report.asked),
        report.table,
        report.events,
    );
    report
}

fn at_least(part: usize, all: usize, per_mille: usize) {
    assert!(all > 0 && part * 1000 >= all * per_mille, "{part} of {all}");
}

#[test]
fn without_faults_every_lookup_finds_the_nearest_in_few_hops_and_every_value_is_found() {
    let report = run(DhtPlan::new(150), 1);
    assert_eq!((report.found, report.got), (100, 100));
    at_least(report.recalled, 2000, 990);
    assert!(DhtReport::median(&report.hops) <= 3, "half of log2(150)");
}

#[test]
fn hosts_that_begin_with_their_tables_look_up_as_if_they_had_joined_with_fewer_events() {
    let plan = |known| DhtPlan {
        known,
        lookups: 20,
        ..DhtPlan::new(120)
    };
    let joined = run(plan(0), 1);
    let mut begun = plan(8);
    begun.config.refresh_interval = None;
    let begun = run(begun, 1);
    assert_eq!((begun.found, begun.got), (20, 20));
    at_least(begun.recalled, 400, 990);
    assert!(begun.events * 3 < joined.events * 2);
}

#[test]
fn a_run_is_a_function_of_its_plan_and_its_seed() {
    let hash = |seed| {
        let mut plan = DhtPlan::new(30);
        plan.lookups = 10;
        let mut dht = Dht::new(plan, seed).unwrap();
        dht.run().unwrap();
        dht.sim.trace_hash()
    };
    assert_eq!(hash(5), hash(5));
    assert_ne!(hash(5), hash(6));
}

// covers: SIM-027
#[test]
fn of_a_network_in_which_one_in_five_lies_nineteen_of_twenty_lookups_succeed() {
    let mut plan = DhtPlan::new(100);
    plan.liars = 20;
    let report = run(plan, 2);
    at_least(report.found, report.lookups, 950);
    at_least(report.got, report.gets, 950);
}

// covers: SIM-027
#[test]
fn of_a_network_in_which_two_in_five_lie_four_of_five_lookups_succeed_over_disjoint_paths() {
    let mut plan = DhtPlan::new(100);
    plan.liars = 40;
    let report = run(plan, 3);
    at_least(report.found, report.lookups, 800);
    at_least(report.got, report.gets, 800);
}

#[test]
fn hosts_that_come_and_go_and_a_third_behind_nats_leave_nineteen_of_twenty_lookups_intact() {
    let mut plan = DhtPlan::new(80);
    plan.clients = 300;
    plan.churn = Some(Churn {
        up: MINUTE * 20,
        down: MINUTE * 5,
    });
    plan.during = MINUTE * 20;
    plan.lookups = 240;
    let report = run(plan, 4);
    at_least(report.found, report.lookups, 950);
    at_least(report.got, report.gets, 950);
}

/// An attacker's hosts at addresses of so many networks.
fn crowd(first: usize, count: usize, networks: usize) -> BTreeMap<usize, Ipv4Addr> {
    let ip = |index: usize| {
        let byte = |number: usize| u8::try_from(number).unwrap();
        let own = index / networks;
        Ipv4Addr::new(99, byte(index % networks), byte(own / 250), byte(1 + own % 250))
    };
    (0..count).map(|index| (first + index, ip(index))).collect()
}

/// The most peers of one network of the attacker in the table of any honest host.
fn most_of_one_network(dht: &Dht, honest: usize) -> usize {
    let most = |node: &DhtNode| {
        let mut counts: BTreeMap<[u8; 2], usize> = BTreeMap::new();
        for known in node.kad().unwrap().table() {
            if let Some(std::net::IpAddr::V4(ip)) = known.addrs[0].ip() {
                let [first, second, ..] = ip.octets();
                *counts.entry([first, second]).or_default() += usize::from(first == 99);
            }
        }
        counts.into_values().max().unwrap_or(0)
    };
    (0..honest)
        .filter_map(|place| dht.sim.app(place))
        .map(most)
        .max()
        .unwrap()
}

/// `DHT_HOSTS=1000` is the size of the requirement: 60 of 60 found on 2026-11-28, in 97 s of the development profile beside other work.
// covers: KAD-206
#[test]
fn an_attacker_with_half_of_all_identities_in_ten_networks_has_three_places_for_each_in_any_table() {
    let hosts = std::env::var("DHT_HOSTS").map_or(240, |text| text.parse().unwrap());
    let honest = hosts / 2;
    let mut plan = DhtPlan::new(hosts);
    plan.liars = hosts - honest;
    plan.lookups = 60;
    plan.lies = vec![Lie::Promote];
    plan.config = server(true);
    plan.scenario.ips = crowd(honest, hosts - honest, 10);
    let mut dht = Dht::new(plan, 6).unwrap();
    let report = dht.run().unwrap();
    eprintln!(
        "found {} of {}, table {:?}",
        report.found, report.lookups, report.table
    );
    assert!(most_of_one_network(&dht, honest) <= 3);
    assert!(report.table.1 > 0, "the attacker is there");
    at_least(report.found, report.lookups, 950);
}
