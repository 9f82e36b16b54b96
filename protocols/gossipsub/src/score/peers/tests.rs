//! The terms of the score, each alone, with the numbers of the requirement list.
#![allow(
    clippy::float_cmp,
    reason = "the same operations in the same order give the same bits"
)]

use super::*;
use alloc::vec;
use core::net::{Ipv4Addr, Ipv6Addr};

fn peer(seed: u8) -> PeerId {
    PeerId::from_encoded_key(&[seed; 36])
}

fn id(number: u32) -> MessageId {
    MessageId::from(number.to_be_bytes().to_vec())
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn topic() -> Topic {
    Topic::from("t")
}

/// Scores with one topic and, of the other terms, none.
fn scores(params: TopicScoreParams) -> Scores {
    let mut scores = Scores::new(ScoreConfig {
        topics: BTreeMap::from([(topic(), params)]),
        topic_cap: 0.0,
        app_weight: 0.0,
        ip_weight: 0.0,
        behaviour_weight: 0.0,
        slow_weight: 0.0,
        decay_to_zero: 0.01,
        ..ScoreConfig::default()
    });
    for seed in 1..=4 {
        scores.connected(peer(seed));
    }
    scores
}

fn deliver(scores: &mut Scores, now: Instant, number: u32, from: u8) {
    scores.received(now, peer(from), &id(number), &topic());
    scores.accepted(now, peer(from), &id(number));
}

// covers: GSP-402, GSP-403, GSP-404
#[test]
fn time_in_the_mesh_counts_whole_quanta_at_decays_up_to_its_cap() {
    let mut params = TopicScoreParams {
        topic_weight: 0.5,
        time_in_mesh_weight: 1.0,
        time_in_mesh_quantum: Duration::from_millis(1),
        ..TopicScoreParams::default()
    };
    let mut table = scores(params);
    table.grafted(at(0), peer(1), &topic());
    assert_eq!(table.score(&peer(1)), 0.0);
    table.decay(at(200));
    assert_eq!(table.score(&peer(1)), 100.0);
    table.grafted(at(300), peer(1), &topic());
    assert_eq!(table.score(&peer(1)), 0.0);
    params.time_in_mesh_cap = 10.0;
    let mut table = scores(params);
    table.grafted(at(0), peer(1), &topic());
    table.decay(at(40));
    assert_eq!(table.score(&peer(1)), 5.0);
    table.pruned(at(50), peer(1), &topic());
    assert_eq!(table.score(&peer(1)), 0.0);
}

// covers: GSP-405, GSP-406
#[test]
fn first_deliveries_count_up_to_their_cap_and_decay_by_multiplication() {
    let params = TopicScoreParams {
        first_deliveries_weight: 1.0,
        first_deliveries_decay: 0.9,
        first_deliveries_cap: 50.0,
        ..TopicScoreParams::default()
    };
    let mut table = scores(params);
    for number in 0..100 {
        deliver(&mut table, at(0), number, 1);
    }
    assert_eq!(table.score(&peer(1)), 50.0);
    let mut table = scores(TopicScoreParams {
        first_deliveries_cap: 2000.0,
        ..params
    });
    for number in 0..100 {
        deliver(&mut table, at(0), number, 1);
    }
    let mut expected = 100.0;
    for tick in 1..10 {
        table.decay(at(tick * 1000));
        expected *= 0.9;
        assert_eq!(table.score(&peer(1)), expected);
    }
    for tick in 10..200 {
        table.decay(at(tick * 1000));
    }
    assert_eq!(table.score(&peer(1)), 0.0);
}

fn mesh_params() -> TopicScoreParams {
    TopicScoreParams {
        mesh_deliveries_weight: -1.0,
        mesh_deliveries_decay: 0.9,
        mesh_deliveries_threshold: 20.0,
        mesh_deliveries_window: Duration::from_millis(10),
        mesh_deliveries_activation: Duration::from_secs(1),
        ..TopicScoreParams::default()
    }
}

// covers: GSP-407, GSP-408, GSP-409, GSP-410
#[test]
fn missing_deliveries_count_squared_once_active_and_near_duplicates_excuse() {
    let mut table = scores(mesh_params());
    for seed in 1..=3 {
        table.grafted(at(0), peer(seed), &topic());
    }
    table.decay(at(1000));
    assert_eq!(table.score(&peer(1)), 0.0, "not active at exactly the activation");
    for number in 0..100 {
        let now = at(1001 + u64::from(number));
        deliver(&mut table, now, number, 1);
        let soon = now + Duration::from_millis(10);
        table.duplicate(soon, peer(2), &id(number));
        table.duplicate(soon, peer(2), &id(number));
        table.duplicate(now + Duration::from_millis(11), peer(3), &id(number));
        table.duplicate(soon, peer(4), &id(number));
    }
    table.decay(at(1500));
    assert_eq!(table.score(&peer(1)), 0.0);
    assert_eq!(table.score(&peer(2)), 0.0);
    assert_eq!(table.score(&peer(3)), -400.0);
    assert_eq!(table.score(&peer(4)), 0.0, "outside the mesh nothing is expected");
    table.grafted(at(1600), peer(3), &topic());
    assert_eq!(table.score(&peer(3)), 0.0, "inactive again");
}

// covers: GSP-411
#[test]
fn deliveries_in_the_mesh_are_capped_so_a_burst_does_not_excuse_silence() {
    let mut table = scores(TopicScoreParams {
        mesh_deliveries_cap: 10.0,
        ..mesh_params()
    });
    table.grafted(at(0), peer(1), &topic());
    for number in 0..200 {
        deliver(&mut table, at(0), number, 1);
    }
    table.decay(at(2000));
    let counted = table.explain(&peer(1)).unwrap().topics[&topic()]
        .mesh_deliveries
        .counted;
    assert_eq!(counted, 9.0);
}

// covers: GSP-412, GSP-413, GSP-234
#[test]
fn a_deficit_stays_when_leaving_the_mesh_once_and_survives_the_next_graft() {
    let mut table = scores(TopicScoreParams {
        mesh_failure_weight: -1.0,
        mesh_failure_decay: 0.9,
        ..mesh_params()
    });
    table.grafted(at(0), peer(1), &topic());
    table.decay(at(1001));
    table.pruned(at(1100), peer(1), &topic());
    assert_eq!(table.score(&peer(1)), -400.0);
    table.pruned(at(1100), peer(1), &topic());
    assert_eq!(table.score(&peer(1)), -400.0);
    table.grafted(at(1200), peer(1), &topic());
    assert_eq!(table.score(&peer(1)), -400.0);
    table.decay(at(2000));
    assert_eq!(table.score(&peer(1)), -360.0);
}

// covers: GSP-414, GSP-415
#[test]
fn invalid_messages_count_squared_after_decay() {
    let mut table = scores(TopicScoreParams {
        invalid_weight: -1.0,
        invalid_decay: 0.9,
        ..TopicScoreParams::default()
    });
    for _ in 0..100 {
        table.invalid(at(0), peer(1), &topic());
    }
    assert_eq!(table.score(&peer(1)), -10_000.0);
    table.decay(at(1000));
    assert_eq!(table.score(&peer(1)), -8100.0);
}

// covers: GSP-416, GSP-417, GSP-132
#[test]
fn everyone_that_sent_an_invalid_message_is_to_blame_once() {
    let invalid = TopicScoreParams {
        invalid_weight: -1.0,
        ..TopicScoreParams::default()
    };
    let mut table = scores(invalid);
    table.received(at(0), peer(1), &id(1), &topic());
    table.rejected(at(1), &id(1));
    table.duplicate(at(2), peer(2), &id(1));
    table.duplicate(at(3), peer(2), &id(1));
    assert_eq!((table.score(&peer(1)), table.score(&peer(2))), (-1.0, -1.0));
    table.received(at(4), peer(1), &id(2), &topic());
    table.duplicate(at(5), peer(2), &id(2));
    table.rejected(at(6), &id(2));
    assert_eq!((table.score(&peer(1)), table.score(&peer(2))), (-4.0, -4.0));
    table.received(at(7), peer(3), &id(3), &topic());
    table.ignored(&id(3));
    table.duplicate(at(8), peer(4), &id(3));
    assert_eq!((table.score(&peer(3)), table.score(&peer(4))), (0.0, 0.0));
}

// covers: GSP-431
#[test]
fn who_delivered_what_is_forgotten_after_two_minutes() {
    let mut table = scores(TopicScoreParams {
        invalid_weight: -1.0,
        ..TopicScoreParams::default()
    });
    table.received(at(0), peer(1), &id(1), &topic());
    table.rejected(at(1), &id(1));
    table.duplicate(at(120_000), peer(2), &id(1));
    assert_eq!((table.score(&peer(2)), table.deliveries()), (0.0, 0));
}

// covers: GSP-401
#[test]
fn the_cap_of_the_topics_cuts_their_sum_from_above_only() {
    let mut table = scores(TopicScoreParams {
        first_deliveries_weight: 1.2,
        invalid_weight: -0.5,
        ..TopicScoreParams::default()
    });
    table.config.topic_cap = 100.0;
    table.config.behaviour_weight = -1.0;
    for number in 0..100 {
        deliver(&mut table, at(0), number, 1);
    }
    table.penalize(at(0), peer(1), 2);
    assert_eq!(table.score(&peer(1)), 96.0);
    for _ in 0..10 {
        table.invalid(at(0), peer(2), &topic());
    }
    assert_eq!(table.score(&peer(2)), -50.0);
}

// covers: GSP-418
#[test]
fn what_the_application_thinks_counts_times_its_weight() {
    let mut table = scores(TopicScoreParams::default());
    table.config.app_weight = 0.5;
    for value in -100..100 {
        table.set_app(at(0), peer(1), f64::from(value));
        assert_eq!(table.score(&peer(1)), f64::from(value) * 0.5);
    }
    table.set_app(at(0), peer(1), f64::NAN);
    assert_eq!(table.score(&peer(1)), 49.5);
}

// covers: GSP-419, GSP-420, GSP-421
#[test]
fn peers_of_one_address_count_squared_above_the_threshold() {
    let mut table = scores(TopicScoreParams::default());
    table.config.ip_weight = -1.0;
    table.config.ip_threshold = 1;
    let ip = |last| IpAddr::V4(Ipv4Addr::new(2, 3, 4, last));
    table.set_ips(peer(1), &[ip(1)]);
    for seed in 2..=4 {
        table.set_ips(peer(seed), &[ip(5)]);
    }
    let all = |table: &Scores| (1..=4).map(|seed| table.score(&peer(seed))).collect::<Vec<_>>();
    assert_eq!(all(&table), [0.0, -4.0, -4.0, -4.0]);
    table.config.ip_allowed = vec![(ip(0), 16)];
    assert_eq!(all(&table), [0.0; 4]);
    table.config.ip_allowed.clear();
    // A second connection from elsewhere: both count.
    table.set_ips(peer(1), &[ip(1), ip(5)]);
    assert_eq!(all(&table), [-9.0; 4]);
    // IPv6: the /64 counts too; loopback does not.
    for seed in 1..=3 {
        let own = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, seed.into());
        table.set_ips(peer(seed), &[IpAddr::V6(own)]);
    }
    table.set_ips(peer(4), &[IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    assert_eq!(all(&table), [-4.0, -4.0, -4.0, 0.0]);
}

// covers: GSP-422, GSP-423
#[test]
fn misbehaviour_counts_squared_and_only_of_known_peers() {
    let mut table = scores(TopicScoreParams::default());
    table.config.behaviour_weight = -1.0;
    table.config.behaviour_decay = 0.99;
    table.penalize(at(0), peer(1), 1);
    assert_eq!(table.score(&peer(1)), -1.0);
    table.penalize(at(0), peer(1), 1);
    assert_eq!(table.score(&peer(1)), -4.0);
    table.decay(at(1000));
    assert!((table.score(&peer(1)) + 3.9204).abs() < 1e-12);
    table.penalize(at(0), peer(9), 1);
    assert_eq!((table.score(&peer(9)), table.len()), (0.0, 4));
}

// covers: GSP-424
#[test]
fn dropped_messages_count_in_proportion() {
    let mut table = scores(TopicScoreParams::default());
    table.config.slow_weight = -0.2;
    table.slow(at(0), peer(1), 2);
    assert_eq!(table.score(&peer(1)), -0.4);
}

// covers: GSP-440, GSP-441, GSP-578
#[test]
fn a_bad_peer_is_remembered_as_it_was_and_a_good_one_forgotten() {
    let mut table = scores(TopicScoreParams {
        first_deliveries_weight: 1.0,
        invalid_weight: -1.0,
        ..TopicScoreParams::default()
    });
    table.config.retain = Duration::from_secs(1);
    table.config.behaviour_weight = -1.0;
    deliver(&mut table, at(0), 1, 1);
    table.disconnected(at(0), peer(1));
    assert_eq!(table.len(), 3);
    table.penalize(at(0), peer(2), 2);
    table.disconnected(at(0), peer(2));
    table.decay(at(500));
    assert_eq!(table.score(&peer(2)), -4.0, "no decay while it is away");
    table.connected(peer(2));
    assert_eq!(table.score(&peer(2)), -4.0);
    table.disconnected(at(600), peer(2));
    table.decay(at(1650));
    assert_eq!((table.score(&peer(2)), table.len()), (0.0, 2));
}

// covers: GSP-442
#[test]
fn no_more_peers_are_remembered_than_the_limit_and_the_worst_stay() {
    let mut table = scores(TopicScoreParams::default());
    table.config.behaviour_weight = -1.0;
    table.config.max_retained = 2;
    for seed in 1..=4 {
        table.penalize(at(0), peer(seed), u32::from(seed));
        table.disconnected(at(0), peer(seed));
    }
    assert_eq!(table.len(), 2);
    assert_eq!((table.score(&peer(3)), table.score(&peer(4))), (-9.0, -16.0));
}

// covers: GSP-428
#[test]
fn new_parameters_of_a_topic_hold_at_once_and_cut_counters() {
    let params = TopicScoreParams {
        first_deliveries_weight: 1.0,
        invalid_weight: -1.0,
        ..TopicScoreParams::default()
    };
    let mut table = scores(params);
    for number in 0..100 {
        deliver(&mut table, at(0), number, 1);
        table.invalid(at(0), peer(2), &topic());
    }
    assert_eq!((table.score(&peer(1)), table.score(&peer(2))), (100.0, -10_000.0));
    table.set_topic(
        topic(),
        TopicScoreParams {
            first_deliveries_cap: 50.0,
            invalid_weight: -10.0,
            ..params
        },
    );
    assert_eq!((table.score(&peer(1)), table.score(&peer(2))), (50.0, -100_000.0));
}

// covers: GSP-430
#[test]
fn no_counter_becomes_infinite() {
    let mut table = scores(TopicScoreParams::default());
    table.config.behaviour_weight = -1.0;
    for _ in 0..1000 {
        table.penalize(at(0), peer(1), u32::MAX);
    }
    assert_eq!(table.score(&peer(1)), -1e24);
}

// covers: GSP-400, GSP-445
#[test]
fn an_explanation_names_each_term_and_since_when_and_adds_up() {
    let mut table = scores(TopicScoreParams {
        topic_weight: 0.5,
        first_deliveries_weight: 2.0,
        ..TopicScoreParams::default()
    });
    table.config.behaviour_weight = -1.0;
    deliver(&mut table, at(70), 1, 1);
    table.penalize(at(90), peer(1), 1);
    let told = table.explain(&peer(1)).unwrap();
    let first = told.topics[&topic()].first_deliveries;
    assert_eq!((first.counted, first.adds, first.since), (1.0, 2.0, at(70)));
    assert_eq!((told.behaviour.adds, told.behaviour.since), (-1.0, at(90)));
    assert_eq!((told.topics_total, told.total), (1.0, 0.0));
    assert_eq!(told.total, table.score(&peer(1)));
    assert_eq!((table.explain(&peer(9)), table.score(&peer(9))), (None, 0.0));
    deliver(&mut table, at(70), 2, 1);
    table.received(at(0), peer(1), &id(3), &Topic::from("other"));
    table.accepted(at(0), peer(1), &id(3));
    assert_eq!(
        table.explain(&peer(1)).unwrap().topics.len(),
        1,
        "topics without parameters don't count"
    );
}

// covers: GSP-425, GSP-443
#[test]
fn decay_factors_are_those_of_go() {
    let factor = |ticks| super::super::decay_factor(Duration::from_secs(ticks), Duration::from_secs(1), 0.01);
    for (ticks, value) in [
        (10, 0.630_957_344_480_193_2),
        (60, 0.926_118_728_128_793_5),
        (600, 0.992_354_096_132_100_5),
        (3600, 0.998_721_603_904_830_3),
    ] {
        assert!(
            (factor(ticks) - value).abs() < 1e-15,
            "{ticks}: {}",
            factor(ticks)
        );
    }
    assert!((120.0_f64 * 0.97 - 116.4).abs() < 1e-9);
}

// covers: GSP-447
#[test]
fn a_peer_below_the_floor_of_one_topic_is_so_whatever_it_does_in_others() {
    let mut table = scores(TopicScoreParams {
        invalid_weight: -1.0,
        floor: Some(-10.0),
        ..TopicScoreParams::default()
    });
    table.config.app_weight = 1.0;
    table.set_app(at(0), peer(1), 60.0);
    for _ in 0..5 {
        table.invalid(at(0), peer(1), &topic());
    }
    assert!(table.score(&peer(1)) > 0.0);
    assert!(table.is_below_floor(&peer(1), &topic()));
    assert!(!table.is_below_floor(&peer(1), &Topic::from("other")));
}

// covers: GSP-543
#[test]
fn an_invalid_block_of_filecoin_costs_a_hundred() {
    let mut config = ScoreConfig::filecoin();
    config.topics.insert(topic(), TopicScoreParams::filecoin_blocks());
    assert_eq!(config.validate(), Ok(()));
    assert_eq!(super::super::Thresholds::FILECOIN.validate(), Ok(()));
    let mut table = Scores::new(config);
    table.connected(peer(1));
    table.invalid(at(0), peer(1), &topic());
    assert_eq!(table.score(&peer(1)), -100.0);
}

// covers: GSP-543
#[test]
fn filecoin_s_two_topics_outweigh_each_other_and_its_blocks_alone_do_not() {
    let (blocks, messages) = (Topic::from("blocks"), Topic::from("messages"));
    let mut config = ScoreConfig::filecoin();
    config
        .topics
        .insert(blocks.clone(), TopicScoreParams::filecoin_blocks());
    assert_eq!(config.outweighed(), []);
    config
        .topics
        .insert(messages.clone(), TopicScoreParams::filecoin_messages());
    assert_eq!(config.validate(), Ok(()));
    assert_eq!(config.outweighed(), [blocks, messages.clone()]);
    let mut table = Scores::new(config);
    table.connected(peer(1));
    table.invalid(at(0), peer(1), &messages);
    assert_eq!(table.score(&peer(1)), -50.0);
}

/// The formulas are Lighthouse's, for slots of 12 s, epochs of 32, and meshes of 8.
#[test]
fn ethereum_s_parameters_follow_the_formulas_of_its_clients() {
    let mut config = ScoreConfig::ethereum();
    let blocks = TopicScoreParams::ethereum_blocks();
    config.topics.insert(topic(), blocks);
    assert_eq!(config.validate(), Ok(()));
    let near = |ours: f64, theirs: f64| assert!((ours / theirs - 1.0).abs() < 0.03, "{ours} {theirs}");
    let decay = |slots: f64| 0.01_f64.powf(1.0 / slots);
    let best = (10.0 + 40.0) * (0.5 + 0.5 + 1.0 + 3.0 * 0.05);
    near(config.topic_cap, best / 2.0);
    near(config.ip_weight, -best / 2.0);
    near(config.behaviour_decay, decay(320.0));
    let target = 10.0 / 32.0 / (1.0 - decay(320.0)) - config.behaviour_threshold;
    near(
        config.behaviour_weight,
        super::super::Thresholds::ETHEREUM.gossip / (target * target),
    );
    assert_eq!((config.ip_threshold, config.retain.as_secs()), (8, 100 * 32 * 12));
    near(blocks.time_in_mesh_weight * blocks.time_in_mesh_cap, 10.0);
    near(blocks.first_deliveries_decay, decay(640.0));
    near(blocks.invalid_weight, -best / blocks.topic_weight);
    near(blocks.invalid_decay, decay(1600.0));
    // Whoever is silent keeps its place, as with the clients.
    assert_eq!(config.outweighed(), [topic()]);
}
