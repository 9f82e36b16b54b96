//! What must hold of scores whatever the counters are: fairness, monotonicity, and that silence is not outweighed.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "the same operations in the same order give the same bits; tests fail by panicking"
)]

use super::*;
use crate::{Config, MessageIdFn, score::decay_factor};
use alloc::vec;
use libp2p_proto_core::Rng;
use proptest::{prelude::*, test_runner::TestRunner};

/// The counters of a peer in one topic, and beside topics.
#[derive(Clone, Copy, Debug)]
struct Vector {
    first: f64,
    mesh: f64,
    failure: f64,
    invalid: f64,
    seconds: u64,
    in_mesh: bool,
    app: f64,
    behaviour: f64,
    slow: f64,
}

fn vector() -> impl Strategy<Value = Vector> {
    let size = || prop_oneof![Just(0.0), 0.0..30.0_f64, 0.0..1e6_f64, Just(SATURATED)];
    (
        (size(), size(), size(), size(), 0_u64..100_000, any::<bool>()),
        (-1e6..1e6_f64, size(), size()),
    )
        .prop_map(
            |((first, mesh, failure, invalid, seconds, in_mesh), (app, behaviour, slow))| Vector {
                first,
                mesh,
                failure,
                invalid,
                seconds,
                in_mesh,
                app,
                behaviour,
                slow,
            },
        )
}

fn peer(seed: u8) -> PeerId {
    PeerId::random(&mut Rng::from_seed([seed; 32]))
}

fn topic() -> Topic {
    Topic::from("t")
}

fn paper() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 0.25,
        time_in_mesh_weight: 0.0027,
        first_deliveries_weight: 0.664,
        first_deliveries_decay: 0.9916,
        first_deliveries_cap: 1500.0,
        mesh_deliveries_weight: -0.25,
        mesh_deliveries_decay: 0.997,
        mesh_deliveries_cap: 400.0,
        mesh_deliveries_threshold: 10.0,
        mesh_failure_weight: -0.25,
        mesh_failure_decay: 0.997,
        invalid_weight: -99.0,
        invalid_decay: 0.9994,
        ..TopicScoreParams::default()
    }
}

/// All presets, each with one topic.
fn presets() -> Vec<ScoreConfig> {
    let with = |config: ScoreConfig, params| ScoreConfig {
        topics: BTreeMap::from([(topic(), params)]),
        ..config
    };
    vec![
        with(ScoreConfig::default(), paper()),
        with(ScoreConfig::filecoin(), TopicScoreParams::filecoin_blocks()),
        with(ScoreConfig::ethereum(), TopicScoreParams::ethereum_blocks()),
    ]
}

fn set(scores: &mut Scores, peer: PeerId, vector: Vector) {
    let counter = |value: f64, cap: f64| Counter {
        value: value.min(cap),
        since: Instant::ZERO,
    };
    scores.connected(peer);
    let params = *scores.config.of(&topic()).unwrap();
    scores.grafted(Instant::ZERO, peer, &topic());
    let stats = scores.peers.get_mut(&peer).unwrap();
    stats.app = counter(vector.app, SATURATED);
    stats.behaviour = counter(vector.behaviour, SATURATED);
    stats.slow = counter(vector.slow, SATURATED);
    let of_topic = stats.topics.get_mut(&topic()).unwrap();
    of_topic.first = counter(vector.first, params.first_deliveries_cap);
    of_topic.mesh = counter(vector.mesh, params.mesh_deliveries_cap);
    of_topic.failure = counter(vector.failure, SATURATED);
    of_topic.invalid = counter(vector.invalid, SATURATED);
    of_topic.time_in_mesh = Duration::from_secs(vector.seconds);
    of_topic.active = vector.in_mesh && of_topic.time_in_mesh > params.mesh_deliveries_activation;
    if !vector.in_mesh {
        of_topic.grafted = None;
    }
}

fn check(cases: u32, test: impl Fn(Vector, Vector) -> Result<(), TestCaseError>) {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    runner.run(&(vector(), vector()), |(a, b)| test(a, b)).unwrap();
}

// covers: GSP-430
#[test]
fn the_same_counters_give_the_same_score_more_violations_never_a_better_one_and_all_are_finite() {
    for config in presets() {
        check(20_000, |a, b| {
            let mut scores = Scores::new(config.clone());
            set(&mut scores, peer(1), a);
            set(&mut scores, peer(2), a);
            let fair = scores.score(&peer(1));
            prop_assert_eq!(fair.to_bits(), scores.score(&peer(2)).to_bits());
            prop_assert!(fair.is_finite());
            // Each violation alone, larger by what another vector has of it.
            let worse = [
                Vector {
                    invalid: a.invalid + b.invalid,
                    ..a
                },
                Vector {
                    failure: a.failure + b.failure,
                    ..a
                },
                Vector {
                    behaviour: a.behaviour + b.behaviour,
                    ..a
                },
                Vector {
                    slow: a.slow + b.slow,
                    ..a
                },
                Vector {
                    mesh: (a.mesh - b.mesh).max(0.0),
                    ..a
                },
            ];
            for vector in worse {
                set(&mut scores, peer(2), vector);
                prop_assert!(scores.score(&peer(2)) <= fair, "{vector:?}");
            }
            Ok(())
        });
    }
}

#[test]
fn vul_022_a_term_without_weight_adds_nothing_whatever_is_counted() {
    let off = ScoreConfig {
        topics: BTreeMap::from([(topic(), TopicScoreParams::default())]),
        app_weight: 0.0,
        ip_weight: 0.0,
        behaviour_weight: 0.0,
        slow_weight: 0.0,
        ..ScoreConfig::default()
    };
    check(20_000, |a, _| {
        let mut scores = Scores::new(off.clone());
        set(&mut scores, peer(1), a);
        prop_assert_eq!(scores.score(&peer(1)), 0.0);
        Ok(())
    });
}

#[test]
fn vul_011_silence_in_a_mesh_ends_below_zero_or_the_parameters_are_named() {
    // The shape that was published for Ethereum: what is earned in one topic pays for silence in another.
    let mut ethereum = ScoreConfig::ethereum();
    for name in ["blocks", "aggregates"] {
        ethereum
            .topics
            .insert(Topic::from(name), TopicScoreParams::ethereum_blocks());
    }
    assert_eq!(ethereum.outweighed().len(), 2);
    for params in ethereum.topics.values_mut() {
        params.floor = Some(-1.0);
    }
    assert!(ethereum.outweighed().is_empty());
    // Where nothing is named, a member that delivers nothing falls below zero once its time has come, and stays there.
    for params in [paper(), TopicScoreParams::filecoin_blocks()] {
        let config = ScoreConfig {
            topics: BTreeMap::from([(topic(), params)]),
            ..ScoreConfig::default()
        };
        assert!(config.outweighed().is_empty());
        let mut scores = Scores::new(config);
        scores.connected(peer(1));
        scores.grafted(Instant::ZERO, peer(1), &topic());
        for second in 1..=3600_u64 {
            scores.decay(Instant::from_millis(second * 1000));
            let active = Duration::from_secs(second) > params.mesh_deliveries_activation;
            assert_eq!(scores.score(&peer(1)) < 0.0, active, "{second}");
        }
    }
    // With several topics of the paper's weights, one of them is outweighed, and that is said.
    let two = ["a", "b"].map(|name| (Topic::from(name), paper()));
    let config = ScoreConfig {
        topics: two.into(),
        ..ScoreConfig::default()
    };
    assert_eq!(config.outweighed().len(), 2);
}

// covers: GSP-426, GSP-427
#[test]
fn every_parameter_out_of_its_range_is_named() {
    type Break<T> = fn(&mut T);
    let topics: [Break<TopicScoreParams>; 20] = [
        |p| p.topic_weight = -1.0,
        |p| p.time_in_mesh_weight = -1.0,
        |p| p.time_in_mesh_quantum = Duration::ZERO,
        |p| p.time_in_mesh_cap = 0.0,
        |p| p.first_deliveries_weight = f64::NAN,
        |p| p.first_deliveries_decay = 1.0,
        |p| p.first_deliveries_decay = 0.0,
        |p| p.first_deliveries_cap = -1.0,
        |p| p.mesh_deliveries_weight = 1.0,
        |p| p.mesh_deliveries_decay = f64::NAN,
        |p| p.mesh_deliveries_cap = f64::INFINITY,
        |p| p.mesh_deliveries_threshold = 0.0,
        |p| p.mesh_deliveries_activation = Duration::from_millis(999),
        |p| p.mesh_failure_weight = 1.0,
        |p| p.mesh_failure_decay = 2.0,
        |p| p.invalid_weight = 1.0,
        |p| p.invalid_weight = f64::NEG_INFINITY,
        |p| p.invalid_decay = 0.0,
        |p| p.floor = Some(1.0),
        |p| p.floor = Some(f64::NAN),
    ];
    assert!(paper().validate().is_ok());
    for (number, broken) in topics.iter().enumerate() {
        let mut params = paper();
        broken(&mut params);
        assert!(params.validate().is_err(), "{number}");
        let config = ScoreConfig {
            topics: BTreeMap::from([(topic(), params)]),
            ..ScoreConfig::default()
        };
        assert!(config.validate().is_err(), "{number}");
    }
    let configs: [Break<ScoreConfig>; 12] = [
        |c| c.topic_cap = -1.0,
        |c| c.app_weight = f64::NAN,
        |c| c.ip_weight = 1.0,
        |c| c.ip_threshold = 0,
        |c| c.behaviour_weight = 1.0,
        |c| c.behaviour_threshold = -1.0,
        |c| c.behaviour_decay = 1.0,
        |c| c.slow_weight = 1.0,
        |c| c.slow_decay = 0.0,
        |c| c.decay_interval = Duration::from_millis(999),
        |c| c.decay_to_zero = 0.0,
        |c| c.decay_to_zero = 1.0,
    ];
    for (number, broken) in configs.iter().enumerate() {
        let mut config = ScoreConfig::default();
        broken(&mut config);
        assert!(config.validate().is_err(), "{number}");
    }
    // The terms of a topic that are off don't matter.
    assert!(
        TopicScoreParams {
            invalid_decay: 0.0,
            ..TopicScoreParams::default()
        }
        .validate()
        .is_ok()
    );
    let thresholds = |gossip, publish, graylist, accept_px, opportunistic_graft| {
        let thresholds = crate::Thresholds {
            gossip,
            publish,
            graylist,
            accept_px,
            opportunistic_graft,
        };
        thresholds.validate().is_ok()
    };
    assert!(thresholds(-1.0, -2.0, -3.0, 1.0, 2.0) && thresholds(0.0, 0.0, 0.0, 0.0, 0.0));
    for broken in [
        thresholds(1.0, -2.0, -3.0, 1.0, 2.0),
        thresholds(-1.0, 0.0, -2.0, 1.0, 2.0),
        thresholds(-1.0, -2.0, -1.5, 1.0, 2.0),
        thresholds(-1.0, -2.0, -3.0, -1.0, 2.0),
        thresholds(-1.0, -2.0, -3.0, 1.0, -1.0),
        thresholds(f64::NAN, -2.0, -3.0, 1.0, 2.0),
        thresholds(-1.0, f64::NEG_INFINITY, f64::NEG_INFINITY, 1.0, 2.0),
    ] {
        assert!(!broken);
    }
    for config in presets() {
        assert!(config.validate().is_ok());
    }
    assert!(Config::ethereum(MessageIdFn::Sha256).validate().is_ok());
    assert!(decay_factor(Duration::from_secs(10), Duration::from_secs(1), 0.01) > 0.63);
}
