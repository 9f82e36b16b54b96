//! Networks of Kademlia nodes under faults: partitions that heal, half of them gone at once, floods of records; clients, and
//! networks that grow. Small ones; `DHT_HOSTS=1000` runs the tests that say so with as many hosts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_core::Instant;
use libp2p_proto_kad::{Key, Outcome};
use libp2p_proto_simulator::{
    Fault, FaultKind, Places,
    dht::{Dht, DhtPlan, DhtReport, Lie},
};
use std::{collections::BTreeMap, time::Duration};

const MINUTE: Duration = Duration::from_secs(60);

/// How many hosts: the size of the requirement takes minutes.
fn hosts(small: usize) -> usize {
    let text = std::env::var("DHT_HOSTS");
    text.map_or(small, |text| text.parse().unwrap())
}

fn at_least(part: usize, all: usize, per_mille: usize, what: &str) {
    eprintln!("{what}: {part} of {all}");
    assert!(
        all > 0 && part * 1000 >= all * per_mille,
        "{what}: {part} of {all}"
    );
}

fn run_until(dht: &mut Dht, at: Duration) {
    let left = (Instant::ZERO + at).since(dht.sim.now());
    dht.sim.run_for(left).unwrap();
}

/// Groups of hosts that hear nothing of each other; of the first group the others are heard, if it is `deaf` alone.
fn apart(at: Duration, during: Duration, hosts: usize, groups: usize, deaf: bool) -> Vec<Fault> {
    let group = |number: usize| -> Vec<usize> { (0..hosts).filter(|host| host % groups == number).collect() };
    let cut = |number| FaultKind::Cut {
        from: Places::Some(group(number)),
        to: Places::But(group(number)),
    };
    let numbers = usize::from(deaf)..groups;
    numbers
        .map(|number| Fault::during(at, during, cut(number)))
        .collect()
}

/// The part of SIM-008 that is Kademlia's; for the others see `files.rs` and `gossip_faults.rs`.
// covers: SIM-008
#[test]
fn when_a_network_that_fell_apart_heals_lookups_succeed_within_two_refreshes() {
    let hosts = hosts(30);
    let mut plan = DhtPlan::new(hosts);
    plan.config.refresh_interval = Some(MINUTE);
    plan.lookups = 20;
    let mut heals = Vec::new();
    let mut at = MINUTE * 5;
    for (groups, deaf) in [(2, true), (3, false), (4, true), (5, false)] {
        let faults = apart(at, MINUTE * 3, hosts, groups, deaf);
        plan.scenario.faults.extend(faults);
        heals.push((format!("{groups} groups, deaf: {deaf}"), at + MINUTE * 3));
        at += MINUTE * 12;
    }
    for seconds in [1, 60] {
        let flap = Duration::from_secs(seconds);
        for turn in 0..4 {
            let faults = apart(at + flap * 2 * turn, flap, hosts, 2 + turn as usize % 2, false);
            plan.scenario.faults.extend(faults);
        }
        heals.push((format!("flapping every {seconds} s"), at + flap * 7));
        at += flap * 7 + MINUTE * 9;
    }
    let mut dht = Dht::new(plan, 8).unwrap();
    dht.join().unwrap();
    for (what, healed) in heals {
        run_until(&mut dht, healed + MINUTE * 2);
        let report: DhtReport = dht.look_up().unwrap();
        at_least(report.found, report.lookups, 990, &what);
        at_least(report.got, report.gets, 990, &what);
    }
}

/// Of the live peers that the table of each host has room for, how many it has: the part in it, all of them, and how many of its peers are gone.
fn filled(dht: &Dht, hosts: usize) -> (usize, usize, usize) {
    let live: Vec<_> = (0..hosts).filter(|place| dht.sim.app(*place).is_some()).collect();
    let mut sum = (0, 0, 0);
    for place in &live {
        let own = Key::of_peer(&dht.sim.peer(*place).unwrap());
        let mut buckets: BTreeMap<u16, (usize, usize)> = BTreeMap::new();
        for other in live.iter().filter(|other| *other != place) {
            let key = Key::of_peer(&dht.sim.peer(*other).unwrap());
            buckets.entry(own.common_prefix(&key)).or_default().0 += 1;
        }
        for known in dht.sim.app(*place).unwrap().kad().unwrap().table() {
            let lives = live.iter().any(|other| dht.sim.peer(*other) == Some(known.peer));
            if lives {
                buckets.entry(own.common_prefix(&known.key)).or_default().1 += 1;
            } else {
                sum.2 += 1;
            }
        }
        for (there, here) in buckets.into_values() {
            sum.0 += here.min(there.min(20));
            sum.1 += there.min(20);
        }
    }
    sum
}

// covers: SIM-014
#[test]
fn tables_fill_when_ten_times_as_many_join_in_a_minute_and_again_after_half_of_all_have_left_in_a_second() {
    let hosts = hosts(90);
    let mut plan = DhtPlan::new(hosts);
    plan.config.refresh_interval = Some(MINUTE);
    plan.join = Duration::from_secs(66);
    plan.settle = MINUTE * 2;
    let leave = MINUTE * 6;
    for place in (5..hosts).step_by(2) {
        let at =
            leave + Duration::from_secs(1) * u32::try_from(place).unwrap() / u32::try_from(hosts).unwrap();
        let hosts = Places::one(place);
        plan.scenario
            .faults
            .push(Fault::at(at, FaultKind::Kill { hosts }));
    }
    let mut dht = Dht::new(plan, 14).unwrap();
    dht.join().unwrap();
    let (has, all, _) = filled(&dht, hosts);
    at_least(
        has,
        all,
        950,
        "places of tables, two refreshes after the crowd came",
    );
    run_until(&mut dht, leave + Duration::from_secs(1));
    let (has, all, gone) = filled(&dht, hosts);
    eprintln!("{has} of {all}, {gone} gone");
    assert!(gone * 3 > has, "half of all have left");
    run_until(&mut dht, leave + MINUTE * 2);
    let (has, all, gone) = filled(&dht, hosts);
    at_least(
        has,
        all,
        850,
        "places of tables, two refreshes after half have left",
    );
    at_least(has, has + gone, 850, "peers of tables that are there");
    run_until(&mut dht, leave + MINUTE * 4);
    let (has, all, gone) = filled(&dht, hosts);
    at_least(
        has,
        all,
        950,
        "places of tables, four refreshes after half have left",
    );
    at_least(has, has + gone, 950, "peers of tables that are there");
}

/// Estimates of the network's size: those a tenth, half and nine tenths of all are below.
fn estimates(dht: &Dht, hosts: usize) -> [f64; 3] {
    let now = dht.sim.now();
    let size = |place| dht.sim.app(place)?.kad()?.network_size(now);
    let mut sizes: Vec<f64> = (0..hosts).filter_map(size).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    let at = [10, 50, 90].map(|part| sizes[sizes.len() * part / 100]);
    eprintln!("{} estimates of {hosts}: {at:.0?}", sizes.len());
    assert!(sizes.len() * 10 >= hosts * 8);
    at
}

#[test]
fn the_estimate_of_the_size_follows_a_network_that_grows_and_is_right_after_the_next_refresh() {
    let hosts = hosts(180);
    let mut plan = DhtPlan::new(hosts);
    plan.join = MINUTE * 4;
    plan.settle = MINUTE * 4;
    let mut dht = Dht::new(plan, 19).unwrap();
    dht.join().unwrap();
    let all = f64::from(u32::try_from(hosts).unwrap());
    let [low, median, _] = estimates(&dht, hosts);
    assert!(low > all * 0.4 && median > all * 0.65, "{low} {median}");
    dht.sim.run_for(MINUTE * 10).unwrap();
    let [low, median, high] = estimates(&dht, hosts);
    assert!((all * 0.85..all * 1.15).contains(&median), "{median}");
    assert!(low > all * 0.7 && high < all * 1.3, "{low} to {high}");
}

/// The part of SIM-029 where stores have room; what a full one keeps is in the tests of `libp2p-proto-kad`.
#[test]
fn a_hundred_times_as_many_records_of_others_take_no_honest_one_away_before_it_expires() {
    let (hosts, records) = (hosts(34), 10_u32);
    let mut plan = DhtPlan::new(hosts);
    plan.liars = 4;
    // All honest records go to twenty servers in ten minutes, and a hundred times as many of each kind besides.
    plan.lies = vec![Lie::Spam(MINUTE * 10 / (records * 20 * 100 / 4))];
    plan.config.provider_age = MINUTE * 12;
    plan.config.value_age = MINUTE * 12;
    let honest = hosts - plan.liars;
    let mut dht = Dht::new(plan, 29).unwrap();
    dht.join().unwrap();
    let name = |number: u32| format!("/x/honest {number}").into_bytes();
    let content = |number: u32| format!("content {number}").into_bytes();
    for number in 0..records {
        let place = number as usize % honest;
        dht.begin(place, |kad| kad.provide(content(number))).unwrap();
        dht.begin(place, |kad| {
            kad.put_value(name(number), 1_u64.to_be_bytes().to_vec())
        })
        .unwrap();
    }
    dht.sim.run_for(MINUTE * 10).unwrap();
    let served: u64 = (0..honest)
        .map(|place| dht.sim.app(place).unwrap().kad().unwrap().stats().requests_served)
        .sum();
    eprintln!("{served} requests served");
    assert!(served > u64::from(records) * 20 * 100, "the flood arrived");
    let (mut provided, mut kept) = (0, 0);
    for number in 0..records {
        let place = (number as usize + honest / 2) % honest;
        let providers = dht
            .begin(place, |kad| kad.find_providers(content(number), 0))
            .unwrap();
        let value = dht
            .begin(place, |kad| kad.get_value(name(number), Some(0)))
            .unwrap();
        dht.sim.run_for(Duration::from_secs(8)).unwrap();
        let by = dht.sim.peer(number as usize % honest).unwrap();
        let found = dht.take(place, providers).unwrap().0;
        provided += usize::from(
            matches!(found, Ok(Outcome::Providers(found)) if found.iter().any(|found| found.peer == by)),
        );
        let found = dht.take(place, value).unwrap().0;
        kept += usize::from(
            matches!(found, Ok(Outcome::Value { value, .. }) if value[..] == 1_u64.to_be_bytes()),
        );
    }
    at_least(provided, records as usize, 990, "contents");
    at_least(kept, records as usize, 990, "values");
}

/// About one in ten hosts is a client.
// covers: KAD-062
#[test]
fn a_client_is_found_by_a_third_node_a_quarter_of_an_hour_after_it_came() {
    let hosts = hosts(100);
    let mut plan = DhtPlan::new(hosts);
    plan.clients = 100;
    let mut dht = Dht::new(plan, 62).unwrap();
    dht.join().unwrap();
    let serves = |dht: &Dht, place: usize| dht.sim.app(place).unwrap().kad().unwrap().is_serving();
    let clients: Vec<usize> = (0..hosts).filter(|place| !serves(&dht, *place)).collect();
    assert!(clients.len() >= 5);
    dht.sim.run_for(MINUTE * 15).unwrap();
    let mut found = 0;
    for client in &clients {
        let (peer, addr) = (
            dht.sim.peer(*client).unwrap(),
            dht.sim.address_of(*client).unwrap(),
        );
        let asker = (0..hosts)
            .find(|place| serves(&dht, *place) && *place > 20)
            .unwrap();
        let query = dht.begin(asker, |kad| kad.find_peer(peer)).unwrap();
        dht.sim.run_for(MINUTE).unwrap();
        let (result, _) = dht.take(asker, query).unwrap();
        found += usize::from(matches!(&result, Ok(Outcome::Peer { addrs, .. }) if addrs.contains(&addr)));
    }
    at_least(found, clients.len(), 900, "clients that were found");
}
