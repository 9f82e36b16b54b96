//! Kademlia in the simulator: how many lookups succeed, in how many hops, with how many requests; and what a simulated node costs.

use crate::{Failure, ratio, usage::Watch};
use libp2p_proto_simulator::dht::{Churn, Dht, DhtPlan, DhtReport, Lie, server};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

const MINUTE: Duration = Duration::from_secs(60);

/// Hosts of which so many in a hundred lie, each in one of six ways.
/// With `known` they begin with so many peers of each bucket.
pub(crate) fn simulation(hosts: usize, liars: usize, lookups: usize, known: usize) -> Result<Value, Failure> {
    let mut plan = large(hosts, lookups);
    plan.liars = hosts * liars.min(99) / 100;
    if known > 0 {
        plan.known = known;
        plan.config.refresh_interval = None;
        plan.scenario.swarm.book.max_peers = 512;
    }
    measure(plan, 1)
}

/// Hosts whose sessions last half an hour and whose absences last five minutes, by the median; three in ten are behind NATs.
pub(crate) fn churn(hosts: usize, hours: u64) -> Result<Value, Failure> {
    let mut plan = large(hosts, 500);
    plan.clients = 300;
    plan.churn = Some(Churn {
        up: MINUTE * 30,
        down: MINUTE * 5,
    });
    plan.during = Duration::from_secs(hours * 3600);
    plan.config.refresh_interval = Some(MINUTE * 10);
    measure(plan, 4)
}

/// Half of all identities are one attacker's, in ten networks, and name only each other.
pub(crate) fn eclipse(hosts: usize) -> Result<Value, Failure> {
    let mut plan = large(hosts, 500);
    plan.liars = hosts / 2;
    plan.lies = vec![Lie::Promote];
    plan.config = server(true);
    let first = hosts - plan.liars;
    let ip = |index: usize| -> Option<Ipv4Addr> {
        let own = index / 10;
        let byte = |number: usize| u8::try_from(number).ok();
        Some(Ipv4Addr::new(
            99,
            byte(index % 10)?,
            byte(own / 250)?,
            byte(1 + own % 250)?,
        ))
    };
    let ips = (0..plan.liars).filter_map(|index| Some((first + index, ip(index)?)));
    plan.scenario.ips = ips.collect::<BTreeMap<_, _>>();
    measure(plan, 6)
}

fn large(hosts: usize, lookups: usize) -> DhtPlan {
    let mut plan = DhtPlan::new(hosts);
    plan.lookups = lookups;
    // One refresh of each table, soon after it has joined; the lookups come before the next one.
    plan.config.refresh_interval = Some(MINUTE * 60);
    plan.join = Duration::from_secs(300);
    plan.settle = Duration::from_secs(180);
    plan.during = MINUTE * 3;
    plan
}

fn measure(plan: DhtPlan, seed: u64) -> Result<Value, Failure> {
    let watch = Watch::start();
    let (hosts, liars, known) = (plan.hosts, plan.liars, plan.known);
    let mut dht = Dht::new(plan, seed)?;
    dht.join()?;
    let joined = watch.seconds();
    let report = dht.look_up()?;
    let (wall, cpu) = watch.seconds();
    let memory = crate::usage::rss_kib();
    let share = |part: usize, all: usize| ratio(part) / ratio(all.max(1));
    let worst = |sorted: &[usize]| sorted.get(sorted.len() * 99 / 100).copied();
    Ok(json!({
        "hosts": hosts, "liars": liars, "known": known, "virtualSeconds": dht.sim.now().since(libp2p_proto_core::Instant::ZERO).as_secs(),
        "lookups": report.lookups, "foundTheNearest": share(report.found, report.lookups),
        "ofTheTwentyNearest": share(report.recalled, report.lookups * 20),
        "gets": report.gets, "gotTheValue": share(report.got, report.gets),
        "medianHops": DhtReport::median(&report.hops), "mostHops": report.hops.last(),
        "halfOfLog2": ratio(hosts as u64).log2() / 2.0,
        "medianRequests": DhtReport::median(&report.asked), "requests99": worst(&report.asked),
        "medianMillis": DhtReport::median(&report.took).as_millis(),
        "medianSizeEstimate": DhtReport::median(&report.sizes),
        "tableEntries": ratio(report.table.0) / ratio(hosts - liars), "tableLiars": share(report.table.1, report.table.0),
        "events": report.events, "requestsInAll": report.requests, "joinCpuSeconds": joined.1,
        "seconds": wall, "cpuSeconds": cpu, "eventsPerSecondPerCore": ratio(report.events) / cpu,
        "memoryMiB": memory / 1024.0, "kibPerHost": memory / ratio(hosts), "traceHash": dht.sim.trace_hash().to_string(),
    }))
}
