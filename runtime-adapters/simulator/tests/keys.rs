//! Hosts with keys of every type, in one network. RSA keys are given: their library has randomness of its own, but its signatures (PKCS #1 v1.5) have none, so a seed
//! decides all the same.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::Rng;
use libp2p_proto_identity::{Identity, KeyType, Keypair};
use libp2p_proto_simulator::{Plan, Scenario, TraceHash};
use std::collections::BTreeMap;
use support::{apart, ask, both, build, connected, depth_name, millis, seconds, send};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// The private key of a test vector. `None`: the vectors are not part of the packaged crate.
fn vector(file: &str, name: &str) -> Option<Keypair> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/vectors/identity/");
    let text = std::fs::read_to_string(format!("{folder}{file}")).ok()?;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let row = rows.iter().find(|row| row["name"] == name).unwrap();
    Some(Keypair::decode_protobuf(&bytes(row["private"].as_str().unwrap())).unwrap())
}

/// An identity of each type: two sizes of RSA, and three curves.
fn identities() -> Option<Vec<Identity>> {
    let mut dice = Rng::from_seed([40; 32]);
    let mut keys = vec![
        vector("rsa-2048.json", "RSA-2048")?,
        vector("keys.json", "RSA-4096")?,
    ];
    for kind in [KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa] {
        keys.push(Keypair::generate(kind, &mut dice).unwrap());
    }
    Some(keys.into_iter().map(Identity::from).collect())
}

fn every_pair_talks(scenario: Scenario) -> TraceHash {
    let what = depth_name(&scenario);
    let mut sim = build(scenario, 1);
    let pairs = || (0..5).flat_map(|from| (0..from).map(move |to| (from, to)));
    for (from, to) in pairs() {
        assert!(sim.dial(from, to));
    }
    sim.run_for(seconds(5)).unwrap();
    for (from, to) in pairs() {
        assert!(
            connected(&sim, from, to) && connected(&sim, to, from),
            "{what} {from} {to}"
        );
        send(&mut sim, from, to, 10_000);
        ask(&mut sim, to, from, 1, 50);
    }
    sim.run_for(seconds(20)).unwrap();
    for host in 0..5 {
        let app = sim.app(host).unwrap();
        assert_eq!(app.identified, 4, "{what} {host}");
        assert!(app.pongs >= 4 && app.failures == 0, "{what} {host}");
        assert_eq!((app.outcomes.len(), app.answers.len()), (host, 4 - host));
        assert!(
            app.outcomes.iter().all(|outcome| outcome.result.is_ok()),
            "{what} {host}"
        );
        assert!(
            app.answers.iter().all(|answer| answer.result.is_ok()),
            "{what} {host}"
        );
    }
    sim.wind_down(seconds(20)).unwrap();
    sim.trace_hash()
}

#[test]
fn peers_with_keys_of_every_type_understand_each_other_and_a_seed_decides_it_all() {
    // covers: SIM-040
    let Some(identities) = identities() else {
        eprintln!("skipped: the vectors are not part of the package");
        return;
    };
    for mut scenario in both(&Scenario::new(5).link(apart(millis(20)))) {
        scenario.identities = identities.iter().cloned().enumerate().collect();
        assert_eq!(every_pair_talks(scenario.clone()), every_pair_talks(scenario));
    }
}

#[test]
fn kademlia_and_gossipsub_serve_peers_with_keys_of_every_type() {
    // covers: SIM-040
    let Some(identities) = identities() else {
        eprintln!("skipped: the vectors are not part of the package");
        return;
    };
    for level in ["full", "swarm"] {
        let text = format!(
            "hosts = 10\nlevel = \"{level}\"\nservices = [\"kad\", \"gossipsub\"]\nfriends = 3\nrun = \"90s\"\n\
             [traffic]\nlookups = 30\nmessages = 60\nfrom = \"40s\"\n\
             [goal]\nconnected = 1.0\nfound = 1.0\ndelivered = 1.0\nwithin = \"1m\"\n"
        );
        let mut plan = Plan::parse(&text).unwrap();
        // The other five have keys that are drawn, of the curves in turn.
        plan.scenario.keys = vec![KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa];
        plan.scenario.identities = identities.iter().cloned().enumerate().collect::<BTreeMap<_, _>>();
        let report = plan.run(5, |_| {}).unwrap();
        assert_eq!(report.violation, None, "{level}");
        let stats = report.stats;
        assert!(
            stats.found == stats.lookups && stats.lookups >= 20,
            "{level}: {stats:?}"
        );
        assert!(
            stats.delivered == stats.wanted && stats.published >= 40,
            "{level}: {stats:?}"
        );
    }
}
