//! Scenario files, the criteria that are checked all the time, and the search for the faults that matter.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Deadline, ProtocolName};
use libp2p_proto_simulator::{
    App, Chances, Error, Fault, FaultKind, Lent, Places, Plan, Scenario, Sim, plots,
};
use libp2p_proto_stream_protocol::{Context, Framing, Input, Protocol, StreamSpec};
use std::{fs, path::PathBuf};
use support::{apart, millis, seconds};

fn files() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_ready_scenario_that_is_small_reaches_its_goal_and_equal_seeds_give_equal_traces() {
    let files = files();
    assert!(files.len() >= 12);
    for (name, text) in files {
        let plan = Plan::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        if plan.scenario.hosts > 100 {
            continue;
        }
        let first = plan.run(1, |_| {}).unwrap();
        assert_eq!(first.violation, None, "{name}");
        if plan.scenario.hosts <= 6 {
            let again = plan.run(1, |_| {}).unwrap();
            assert_eq!((first.hash, first.stats), (again.hash, again.stats), "{name}");
            assert_ne!(first.hash, plan.run(2, |_| {}).unwrap().hash, "{name}");
        }
        assert_eq!(plots(&first).len(), 4);
        assert!(plots(&first).iter().all(|plot| !plot.points.is_empty()), "{name}");
    }
}

#[test]
fn a_value_out_of_its_range_is_told_with_its_line_and_the_range() {
    let wrong = |text: &str| match Plan::parse(text) {
        Err(Error::File { line, what }) => (line, what),
        other => panic!("{text}: {other:?}"),
    };
    for (text, line, words) in [
        ("hosts = 0", 1, "hosts: 0 is out of its range, 1 to 1000000"),
        ("\n\nhosts = 2\nrun = \"10 parsecs\"", 4, "run: \"10 parsecs\""),
        ("hosts = 2\nlevel = \"deep\"", 2, "none of full, swarm"),
        ("hosts = 2\n[link]\nlatency = \"2m\"", 3, "0s to 60s"),
        ("hosts = 2\n[link]\nlatency = \"9ms..3ms\"", 3, "0s to 60s"),
        ("hosts = 2\n[link]\nbandwidth = 0", 3, "1 to 1000000000000"),
        ("hosts = 2\n[link]\nchunks = \"tiny\"", 3, "whole"),
        (
            "hosts = 2\n[[fault]]\nkind = \"cut\"\nfrom = 2",
            4,
            "hosts of 0 to 1",
        ),
        ("hosts = 2\n[[fault]]\nkind = \"storm\"", 3, "black-hole"),
        ("hosts = 2\n[[clock]]\nppm = 1000000", 3, "-900000 to 900000"),
        (
            "hosts = 2\n[[nat]]\nouter = 0",
            3,
            "there are no NATs before this one",
        ),
        (
            "hosts = 2\n[[nat]]\n[[nat]]\nouter = 1",
            4,
            "nat.outer: 1 is out of its range, 0 to 0",
        ),
        (
            "[[nat]]\nmapping = \"cone\"",
            2,
            "endpoint-independent, address-dependent",
        ),
        (
            "[[nat]]\nfiltering = \"none\"",
            2,
            "address-dependent, address-and-port-dependent",
        ),
        ("[[nat]]\nports = \"any\"", 2, "preserve, sequential, random"),
        ("[[nat]]\nunsolicited = \"reset\"", 2, "silence, refusal"),
        (
            "[[nat]]\ntimeout = \"0s\"",
            2,
            "nat.timeout: \"0s\" is out of its range, 1s",
        ),
        (
            "[[nat]]\ntable = 0",
            2,
            "nat.table: 0 is out of its range, 1 to 40000",
        ),
        ("[[nat]]\nhairpin = \"yes\"", 2, "boolean"),
        ("[[nat]]\nhosts = 7", 2, "nat.hosts: not hosts of 0 to 1"),
        (
            "[[nat]]\nhosts = 0\n[[nat]]\nhosts = [0, 1]",
            4,
            "host 0 is behind an earlier NAT",
        ),
        ("reuse_port = 1", 1, "boolean"),
        (
            "services = [\"ping\", \"http\"]",
            1,
            "services: \"http\" is none of ping, identify, kad, gossipsub",
        ),
        (
            "[traffic]\nbytes = 7",
            2,
            "traffic.bytes: 7 is out of its range, 8 to 262144",
        ),
        ("[traffic]\nlookups = -1", 2, "0 to 1000000"),
        ("[goal]\nfound = 2.0", 2, "goal.found: 2 is out of its range"),
        ("[goal]\ndelivered = -0.1", 2, "0.0 to 1.0"),
        (
            "[[fault]]\nkind = \"nat-reboot\"\nnat = 0",
            3,
            "there are no NATs",
        ),
        ("hosts = 2\n[goal]\nconnected = 1.5", 3, "0.0 to 1.0"),
        (
            "hosts = 2\nrun = \"1m\"\n[chances]\nuntil = \"2m\"",
            4,
            "chances.until",
        ),
        ("hosts = 2\n[limits]\nmax_per_peer = 0", 3, "1 to 1000000000"),
        ("hosts = 2\nhsots = 3", 2, "hsots"),
        ("hosts = \"two\"", 1, "string"),
        ("hosts = ", 1, ""),
    ] {
        let (found, what) = wrong(text);
        assert_eq!(found, line, "{text}: {what}");
        assert!(what.contains(words) && !what.contains('\n'), "{text}: {what}");
    }
}

/// A protocol that is wrong on purpose: it is due whenever something has happened twice, for ever.
struct Restless {
    specs: [StreamSpec; 1],
    losses: u32,
}

impl Protocol for Restless {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }
    fn handle(&mut self, _: &mut Context<'_>, input: Input) {
        self.losses += u32::from(matches!(input, Input::Disconnected { .. }));
    }
    fn poll_timeout(&self) -> Option<Deadline> {
        (self.losses >= 2).then(|| Deadline::now("restless"))
    }
}

impl App for Restless {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = Lent::new();
        lent.push(self);
        lent
    }
}

fn restless(faults: &[Fault]) -> Option<libp2p_proto_simulator::Violation> {
    let mut scenario = Scenario::new(2).link(apart(millis(10)));
    scenario.faults = faults.to_vec();
    let mut sim = Sim::new(scenario, 1, |_| {
        let name = ProtocolName::from_static("/restless/1");
        Ok(Restless {
            specs: [StreamSpec::new(name, Framing::Raw)],
            losses: 0,
        })
    })
    .unwrap();
    for _ in 0..20 {
        sim.dial(0, 1);
        if let Err(violation) = sim.run_for(seconds(10)) {
            return Some(violation);
        }
    }
    None
}

#[test]
fn a_busy_loop_is_found_and_the_faults_that_lead_to_it_are_cut_down_to_two() {
    let breaks = |at: u64| {
        let (from, to) = (Places::All, Places::All);
        Fault::at(seconds(at), FaultKind::Break { from, to })
    };
    let harmless = |at: u64| {
        let hosts = Places::one(1);
        Fault::during(seconds(at), seconds(1), FaultKind::Deaf { hosts })
    };
    let faults: Vec<_> = (0..6)
        .flat_map(|n| [harmless(3 + 20 * n), breaks(15 + 20 * n)])
        .collect();
    let violation = restless(&faults).unwrap();
    assert_eq!(violation.criterion, "G5");
    let fails = |part: &[Fault]| restless(part).is_some_and(|found| found.criterion == "G5");
    let left = libp2p_proto_simulator::shrink(&faults, 100, fails);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(
        left.iter()
            .all(|fault| matches!(fault.kind, FaultKind::Break { .. }))
    );
}

#[test]
fn a_goal_that_is_missed_is_told_and_its_faults_are_cut_down() {
    let text = "hosts = 3\nrun = \"60s\"\nfriends = 2\n[goal]\nconnected = 1.0\n";
    let mut plan = Plan::parse(text).unwrap();
    assert_eq!(plan.run(1, |_| {}).unwrap().violation, None);
    let hosts = Places::one(1);
    plan.scenario.faults = vec![
        Fault::during(
            seconds(5),
            seconds(2),
            FaultKind::Deaf {
                hosts: Places::one(0),
            },
        ),
        Fault::during(
            seconds(9),
            seconds(2),
            FaultKind::Freeze {
                hosts: Places::one(2),
            },
        ),
        Fault::at(
            seconds(20),
            FaultKind::BlackHole {
                from: Places::All,
                to: hosts,
            },
        ),
        Fault::during(
            seconds(30),
            seconds(2),
            FaultKind::Deaf {
                hosts: Places::one(2),
            },
        ),
    ];
    let (faults, violation) = plan.minimise(1, 50).unwrap().unwrap();
    assert_eq!(violation.criterion, "G7");
    assert!(violation.what.contains("friendships"), "{violation}");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].to_string().contains("BlackHole"), "{}", faults[0]);
}

#[test]
fn a_partition_into_two_to_five_groups_however_asymmetric_or_flapping_heals() {
    for groups in 2..=5_usize {
        for flap in [1, 7, 60] {
            let hosts = 10;
            let mut plan = Plan::parse(
                "hosts = 10\nfriends = 3\nrun = \"5m\"\n[goal]\nconnected = 1.0\nwithin = \"2m\"",
            )
            .unwrap();
            for (number, at) in (20..200).step_by(flap * 2).take(8).enumerate() {
                for group in 0..groups {
                    // Every third time one direction stays open.
                    if number % 3 == 2 && group == 0 {
                        continue;
                    }
                    let members: Vec<_> = (0..hosts).filter(|host| host % groups == group).collect();
                    let kind = FaultKind::Cut {
                        from: Places::Some(members.clone()),
                        to: Places::But(members),
                    };
                    let at = seconds(u64::try_from(at).unwrap());
                    plan.scenario
                        .faults
                        .push(Fault::during(at, seconds(flap as u64), kind));
                }
            }
            plan.scenario.depth = libp2p_proto_simulator::Depth::Swarm;
            let report = plan.run(groups as u64, |_| {}).unwrap();
            assert_eq!(report.violation, None, "{groups} groups, {flap} s");
        }
    }
}

#[test]
fn faults_by_chance_leave_a_network_that_works_at_both_depths() {
    for seed in 0..4 {
        for level in ["full", "swarm"] {
            let text = format!(
                "hosts = 6\nlevel = \"{level}\"\nfriends = 2\nrun = \"4m\"\norder = \"shuffled\"\n[goal]\nconnected = 1.0\nwithin = \"3m\"\n[chances]\nper_hour = 600\nfrom = \"5s\"\nuntil = \"3m\"\nlongest = \"30s\""
            );
            let plan = Plan::parse(&text).unwrap();
            let report = plan.run(seed, |_| {}).unwrap();
            assert_eq!(
                report.violation, None,
                "seed {seed}, {level}: {:?}",
                report.faults
            );
            assert!(report.stats.faults > 10);
        }
    }
}

#[test]
fn chances_are_drawn_from_the_seed_alone() {
    let chances = Chances {
        per_hour: 3600,
        from: seconds(10),
        until: seconds(110),
        longest: seconds(20),
    };
    let draw = |seed: u8| chances.draw(5, &mut libp2p_proto_core::Rng::from_seed([seed; 32]));
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let faults = draw(1);
    assert_eq!(faults.len(), 100);
    assert!(
        faults
            .iter()
            .all(|fault| fault.at >= seconds(10) && fault.ends().unwrap() <= seconds(110))
    );
}
