//! IHAVE and IWANT.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_gossipsub::{Config, Event, Limits, MessageId};
use support::{Rig, blamed, go_id, id, ihave, iwant, publish, quiet, t};

// covers: GSP-166
#[test]
fn a_message_is_gossiped_for_three_heartbeats_and_served_for_five() {
    let mut rig = Rig::subscribed(20, quiet());
    rig.heartbeat();
    rig.router.publish("t", "x", false).unwrap();
    rig.run(2);
    let outside: Vec<usize> = (0..20).filter(|puppet| !rig.mesh("t").contains(puppet)).collect();
    rig.hush();
    let mut told = Vec::new();
    let mut message_id = None;
    for _ in 0..5 {
        rig.heartbeat();
        let ids: Vec<MessageId> = outside
            .iter()
            .flat_map(|puppet| rig.control(*puppet).ihave)
            .flat_map(|entry| entry.ids)
            .collect();
        message_id = message_id.or(ids.first().cloned());
        told.push(ids.len());
    }
    assert_eq!(
        told.iter().map(|count| *count > 0).collect::<Vec<_>>(),
        [true, true, true, false, false]
    );
    assert_eq!(told[0], 6, "to D_lazy peers");
    rig.say(outside[0], &iwant(vec![message_id.unwrap()]));
    assert!(rig.messages(outside[0]).is_empty());
}

// covers: GSP-300
#[test]
fn the_number_of_peers_told_is_the_lazy_degree_or_a_quarter() {
    for (outside, told) in [(0, 0), (3, 3), (6, 6), (24, 6), (28, 7), (40, 10)] {
        let mut rig = Rig::subscribed(6, quiet());
        let more = Rig::subscribed(6 + outside, quiet());
        let _ = core::mem::replace(&mut rig, more);
        rig.heartbeat();
        let mesh = rig.mesh("t").len();
        rig.router.publish("t", "x", false).unwrap();
        rig.run(2);
        rig.hush();
        rig.heartbeat();
        let heard = (0..6 + outside)
            .filter(|puppet| !rig.control(*puppet).ihave.is_empty())
            .count();
        // The mesh of five leaves one more outside.
        let candidates = 6 + outside - mesh;
        assert_eq!(heard, 6.max(candidates / 4).min(candidates), "{outside} {told}");
    }
}

// covers: GSP-302, GSP-303
#[test]
fn an_announcement_that_is_cut_is_cut_at_random_and_names_its_topic() {
    let limits = Limits {
        max_ihave_ids: 100,
        ..Limits::default()
    };
    let mut rig = Rig::subscribed(7, Config { limits, ..quiet() });
    rig.heartbeat();
    for _ in 0..200 {
        rig.router.publish("t", "x", false).unwrap();
    }
    rig.run(5);
    rig.hush();
    let outside: Vec<usize> = (0..7).filter(|puppet| !rig.mesh("t").contains(puppet)).collect();
    rig.heartbeat();
    let ids = |rig: &mut Rig, puppet: usize| -> std::collections::BTreeSet<MessageId> {
        let entries = rig.control(puppet).ihave;
        assert!(entries.iter().all(|entry| entry.topic == t()));
        entries.into_iter().flat_map(|entry| entry.ids).collect()
    };
    let (one, two) = (ids(&mut rig, outside[0]), ids(&mut rig, outside[1]));
    assert_eq!((one.len(), two.len()), (100, 100));
    assert!(one != two && one.intersection(&two).count() > 0);
}

// covers: GSP-304, GSP-450
#[test]
fn gossip_of_a_peer_below_the_threshold_is_not_heard() {
    for (score, asked) in [(-10.0, 1), (-10.1, 0)] {
        let mut rig = Rig::subscribed(1, blamed());
        rig.router.set_app_score(rig.peer(0), score).unwrap();
        rig.hush();
        rig.say(0, &ihave("t", vec![id(1)]));
        assert_eq!(rig.control(0).iwant.len(), asked);
    }
}

// covers: GSP-305, GSP-308, GSP-310, GSP-032
#[test]
fn what_is_new_in_our_topics_is_asked_for_in_one_entry() {
    let mut rig = Rig::subscribed(1, quiet());
    let known = rig.message(0, 1, "t", b"x");
    rig.say(0, &publish(known.clone()));
    rig.hush();
    rig.say(0, &ihave("x", vec![id(1)]));
    assert!(rig.heard(0).is_empty());
    let odd = MessageId::from(vec![0xff; 20]);
    rig.say(0, &ihave("t", vec![go_id(&known), id(2), id(2), odd.clone()]));
    let asked = rig.control(0).iwant;
    assert_eq!((asked.len(), asked[0].len()), (1, 2));
    assert!(asked[0].contains(&odd));
}

// covers: GSP-306, GSP-560
#[test]
fn vul_013_ten_announcements_of_a_heartbeat_are_heard_and_five_thousand_ids_asked_for() {
    let mut rig = Rig::subscribed(1, blamed());
    rig.heartbeat();
    rig.hush();
    for number in 0..20 {
        rig.say(0, &ihave("t", vec![id(number)]));
    }
    let asked: usize = rig.control(0).iwant.iter().map(Vec::len).sum();
    assert_eq!(asked, 10);
    rig.heartbeat();
    rig.hush();
    for round in 1..=10_u64 {
        rig.say(
            0,
            &ihave("t", (0..5001).map(|number| id(round * 10_000 + number)).collect()),
        );
    }
    let asked: usize = rig.control(0).iwant.iter().map(Vec::len).sum();
    assert_eq!(asked, 5000);
}

// covers: GSP-307
#[test]
fn ids_asked_for_in_one_heartbeat_are_bounded_over_all_announcements() {
    let limits = Limits {
        max_ihave_ids: 10,
        ..Limits::default()
    };
    let mut rig = Rig::subscribed(1, Config { limits, ..quiet() });
    rig.heartbeat();
    rig.hush();
    for round in 0..3 {
        rig.say(
            0,
            &ihave("t", (0..12).map(|number| id(100 * round + number)).collect()),
        );
    }
    assert_eq!(rig.control(0).iwant.iter().map(Vec::len).sum::<usize>(), 10);
}

// covers: GSP-309, GSP-311, GSP-561
#[test]
fn one_peer_is_asked_until_its_promise_is_broken_and_then_the_next() {
    let mut rig = Rig::subscribed(2, blamed());
    rig.heartbeat();
    rig.hush();
    rig.say(0, &ihave("t", vec![id(1)]));
    rig.say(1, &ihave("t", vec![id(1)]));
    assert_eq!((rig.control(0).iwant.len(), rig.control(1).iwant.len()), (1, 0));
    assert_eq!(rig.router.stats().penalties, 0);
    rig.run(4000);
    assert_eq!(rig.router.stats().penalties, 1);
    assert!(rig.router.score(&rig.peer(0)) < 0.0);
    rig.say(1, &ihave("t", vec![id(1)]));
    assert_eq!(rig.control(1).iwant.len(), 1);
}

#[test]
fn vul_025_promises_are_bounded_and_a_peer_that_keeps_none_is_graylisted() {
    let limits = Limits {
        max_promises: 1000,
        ..Limits::default()
    };
    let mut rig = Rig::subscribed(1, Config { limits, ..blamed() });
    for round in 0..50_u64 {
        rig.say(
            0,
            &ihave("t", (0..5000).map(|number| id(round * 10_000 + number)).collect()),
        );
        assert!(rig.router.census().promises <= 1000);
        rig.run(1000);
    }
    assert!(
        rig.events
            .iter()
            .any(|event| matches!(event, Event::Graylisted { .. }))
    );
    assert_eq!(rig.router.census().promises, 0);
}

// covers: GSP-313, GSP-316, GSP-562
#[test]
fn vul_015_a_message_is_served_three_times_to_one_peer_and_once_for_one_rpc() {
    let mut rig = Rig::subscribed(1, quiet());
    rig.router.publish("t", "x", false).unwrap();
    rig.run(3);
    let message = rig.messages(0).pop().unwrap();
    rig.say(0, &iwant(vec![go_id(&message); 1000]));
    assert_eq!(rig.messages(0).len(), 1);
    for _ in 0..8 {
        rig.say(0, &iwant(vec![go_id(&message)]));
    }
    assert_eq!(rig.messages(0).len(), 2);
    rig.say(0, &iwant(vec![id(99)]));
    assert!(rig.messages(0).is_empty());
}

// covers: GSP-317, GSP-318
#[test]
fn a_thousand_messages_are_served_in_frames_below_the_limit() {
    let limits = Limits {
        max_iwant_rpcs: 100,
        ..Limits::default()
    };
    let mut rig = Rig::subscribed(
        1,
        Config {
            limits,
            history: 50,
            history_gossip: 50,
            flood_publish: false,
            ..Config::default()
        },
    );
    rig.say(0, &support::prune("t", Some(3600)));
    for _ in 0..1000 {
        rig.router.publish("t", vec![0; 20_000], false).unwrap();
        rig.run(1);
    }
    rig.hush();
    let mut wanted: Vec<MessageId> = Vec::new();
    while wanted.is_empty() {
        rig.heartbeat();
        wanted = rig
            .control(0)
            .ihave
            .into_iter()
            .flat_map(|entry| entry.ids)
            .collect();
    }
    wanted.sort();
    wanted.dedup();
    let mut got = std::collections::BTreeSet::new();
    for chunk in wanted.chunks(40) {
        rig.say(0, &iwant(chunk.to_vec()));
        rig.run(50);
        got.extend(rig.messages(0).iter().map(go_id));
    }
    rig.run(100);
    got.extend(rig.messages(0).iter().map(go_id));
    assert_eq!((wanted.len(), got.len()), (1000, 1000));
}
