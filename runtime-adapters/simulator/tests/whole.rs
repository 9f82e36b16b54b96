//! The thin whole: hosts meet, talk, part, at both depths, and the same again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_simulator::{Chunks, Link, Node, NodeConfig, Scenario, Sim, TraceHash};
use std::time::Duration;

fn sim(scenario: Scenario, seed: u64) -> Sim<Node> {
    let config = NodeConfig::default();
    Sim::new(scenario, seed, move |birth| {
        Node::new(&config, &birth).map(Node::telling)
    })
    .unwrap()
}

fn minute(scenario: Scenario, seed: u64) -> (TraceHash, u64) {
    let mut sim = sim(scenario, seed);
    assert!(sim.dial(0, 1));
    sim.run_for(Duration::from_secs(60)).unwrap();
    for place in [0, 1] {
        let node = sim.app(place).unwrap();
        assert!(node.pongs >= 3, "{}", node.pongs);
        assert_eq!((node.identified, node.failures), (1, 0));
    }
    sim.wind_down(Duration::from_secs(10)).unwrap();
    assert_eq!(sim.pending().0, 0, "pipes are left");
    (sim.trace_hash(), sim.stats().events)
}

#[test]
fn two_hosts_connect_ping_and_part_at_both_depths_and_equal_seeds_give_equal_traces() {
    for scenario in [Scenario::new(2), Scenario::new(2).at_swarm_level()] {
        let first = minute(scenario.clone(), 1);
        assert_eq!(first, minute(scenario.clone(), 1));
        assert_ne!(first.0, minute(scenario, 2).0);
    }
}

#[test]
fn bytes_cut_in_any_pieces_give_the_same_application_trace() {
    // covers: SIM-001
    let lines = |chunks| {
        let link = Link {
            chunks,
            ..Link::default()
        };
        let mut sim = sim(Scenario::new(3).link(link).with_lines(), 7);
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            assert!(sim.dial(from, to));
        }
        sim.run_for(Duration::from_secs(40)).unwrap();
        sim.wind_down(Duration::from_secs(10)).unwrap();
        sim.lines().to_vec()
    };
    let whole = lines(Chunks::Whole);
    assert!(whole.iter().any(|line| line.what.starts_with("pong")));
    for chunks in [Chunks::Of(1), Chunks::Primes, Chunks::Random, Chunks::Of(7)] {
        assert_eq!(lines(chunks), whole, "{chunks:?}");
    }
}
