//! How fast the simulator is: delivered events per second of one core, memory of each host, instructions of each event.

use crate::{Failure, ratio, usage::Watch};
use libp2p_proto_simulator::{Chances, Depth, Plan};
use serde_json::{Value, json};
use std::{env, os::unix::process::CommandExt as _, process::Command, time::Duration};

/// Where the C library reads its settings, and the one that asks for pages of 2 MiB where the system lets programs ask.
const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

/// A simulation of many hosts touches all of its memory in no order, and a fifth of its time goes into finding pages. The setting is read when a program starts, so this one starts
/// again, unless somebody has set something.
pub(crate) fn wish_for_large_pages(args: &[&str]) {
    let large = args.first().is_some_and(|name| name.contains("simulation"));
    let (name, value) = TUNABLES;
    if large && env::var_os(name).is_none() {
        if let Ok(program) = env::current_exe() {
            // Comes back only if it fails, and then the pages are small.
            let _error = Command::new(program).args(args).env(name, value).exec();
        }
    }
}

/// Hosts with ping and identify at swarm level, each with twenty connections: ten that it dialed, and ten of others.
fn crowd(hosts: usize, minutes: u64) -> Plan {
    let mut plan = Plan {
        run: Duration::from_secs(minutes.saturating_mul(60)),
        friends: 10,
        dial_within: Duration::from_secs(30),
        ..Plan::default()
    };
    plan.scenario.hosts = hosts;
    plan.scenario.depth = Depth::Swarm;
    plan.scenario.strict = false;
    plan.scenario.sample = None;
    plan.goal.connected = 1000;
    plan
}

/// Hosts whose every byte goes through Noise and yamux, with a fault for every host and hour.
fn faulty(hosts: usize, minutes: u64) -> Plan {
    let run = Duration::from_secs(minutes.saturating_mul(60));
    let mut plan = Plan {
        run,
        friends: 4,
        ..Plan::default()
    };
    plan.scenario.hosts = hosts;
    plan.scenario.sample = None;
    plan.scenario.chances = Some(Chances {
        per_hour: u32::try_from(hosts).unwrap_or(u32::MAX),
        from: Duration::from_secs(10),
        until: run.saturating_sub(Duration::from_secs(30)),
        longest: Duration::from_secs(30),
    });
    plan.goal.connected = 950;
    plan.goal.within = Duration::from_secs(120);
    plan
}

pub(crate) fn run(name: &str, hosts: usize, minutes: u64) -> Result<Value, Failure> {
    let plan = match name {
        "simulation" => crowd(hosts, minutes),
        _ => faulty(hosts, minutes),
    };
    let watch = Watch::start();
    let mut most = 0.0_f64;
    let report = plan.run(1, |_| most = most.max(crate::usage::rss_kib()))?;
    let (wall, cpu) = watch.seconds();
    if let Some(violation) = report.violation {
        return Err(violation.to_string().into());
    }
    Ok(json!({
        "hosts": hosts, "virtualMinutes": minutes, "events": report.stats.events,
        "parcels": report.stats.parcels, "faults": report.stats.faults, "connected": report.friends,
        "seconds": wall, "cpuSeconds": cpu, "eventsPerSecondPerCore": ratio(report.stats.events) / cpu,
        "memoryMiB": most / 1024.0, "kibPerHost": most / ratio(hosts), "traceHash": report.hash.to_string(),
    }))
}

/// The same count held against a bound, for CI. Without valgrind there is nothing to hold, which is told.
pub(crate) fn watch(hosts: usize, most: usize) -> Result<Option<Value>, Failure> {
    let found = Command::new("valgrind").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!("skipped: instructions of each simulated event: valgrind can not be had here");
        return Ok(None);
    }
    let mut result = instructions(hosts)?;
    let each = result.get("instructionsPerEvent").and_then(Value::as_f64);
    let each = each.ok_or("no instructions were counted")?;
    if each > ratio(most) {
        return Err(
            format!("{each:.0} instructions for each simulated event, {most} at most are allowed").into(),
        );
    }
    if let Value::Object(fields) = &mut result {
        fields.insert("atMost".into(), most.into());
    }
    Ok(Some(result))
}

/// Counts the instructions of two runs, the second twice as long, with callgrind: what is left of the difference is the price of an event.
pub(crate) fn instructions(hosts: usize) -> Result<Value, Failure> {
    let program = std::env::current_exe()?;
    let count = |minutes: &str| -> Result<(f64, f64), Failure> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(&program)
            .args(["simulation", &hosts.to_string(), minutes])
            // Whatever it is: the program is not to start again behind valgrind's back.
            .env(TUNABLES.0, "")
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        let collected = told.lines().find_map(|line| line.split_once("Collected : "));
        let collected = collected.and_then(|(_, number)| number.trim().parse::<u64>().ok());
        let result: Value = serde_json::from_slice(&output.stdout)?;
        let events = result.get("events").and_then(Value::as_u64);
        let (collected, events) = collected.zip(events).ok_or("valgrind counted nothing")?;
        Ok((ratio(collected), ratio(events)))
    };
    let (short, long) = (count("2")?, count("4")?);
    Ok(json!({
        "hosts": hosts, "events": long.1 - short.1, "instructionsPerEvent": (long.0 - short.0) / (long.1 - short.1),
    }))
}
