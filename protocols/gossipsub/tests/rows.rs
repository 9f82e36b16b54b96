//! Rows of the requirement list, each as its test column says it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::PeerId;
use libp2p_proto_gossipsub::{
    Config, Event, Limits, MeshParams, PeerFilter, PublishError, ScoreConfig, Step, Topic, TopicScoreParams,
    wire::{PeerInfo, Rpc},
};
use libp2p_proto_stream_protocol::Input;
use std::collections::BTreeSet;
use support::{
    Rig, go_id, graft, id, identity, idontwant, ihave, iwant, prune, publish, quiet, rate, scored, subscribe,
    t,
};

fn published(rig: &Rig) -> Vec<libp2p_proto_gossipsub::MessageId> {
    let of = |event: &Event| match event {
        Event::Published { id, .. } => Some(id.clone()),
        _ => None,
    };
    rig.events.iter().filter_map(of).collect()
}

// covers: GSP-017
#[test]
fn a_limited_connection_carries_streams_only_where_that_is_configured() {
    for on_limited in [false, true] {
        let mut rig = Rig::apart(
            1,
            Config {
                on_limited,
                ..quiet()
            },
        );
        rig.conns[0] = Some(rig.bench.connect_with(1, 0, true));
        rig.run(20);
        let opened = rig.puppets[0].opened();
        assert_eq!(opened.iter().any(|stream| stream.is_inbound()), on_limited);
    }
}

// covers: GSP-062
#[test]
fn a_subscription_without_the_flags_of_parts_is_the_same_as_one_with_both_false() {
    let mut rig = Rig::new(1, quiet());
    for hex in ["0a080801120474657374", "0a0c080112047465737418002000"] {
        rig.say_hex(0, hex);
        assert_eq!(rig.router.peers_of(&Topic::from("test")).count(), 1);
    }
    rig.router.subscribe("test").unwrap();
    let said: Vec<_> = rig
        .heard(0)
        .into_iter()
        .flat_map(|rpc| rpc.subscriptions)
        .collect();
    assert_eq!(said, subscribe("test", true).subscriptions);
}

// covers: GSP-072
#[test]
fn a_subscription_overtakes_the_messages_that_wait() {
    let mut rig = Rig::subscribed(1, quiet());
    let opened = rig.puppets[0].opened();
    let stream = *opened.iter().find(|stream| stream.is_inbound()).unwrap();
    rig.bench.with(1, &rig.puppets[0], |cx| cx.pause(stream));
    while rig.router.stats().dropped == 0 {
        rig.router.publish("t", vec![0; 400_000], false).unwrap();
        rig.run(1);
    }
    rig.router.subscribe("u").unwrap();
    rig.run(1);
    rig.hush();
    rig.bench.with(1, &rig.puppets[0], |cx| cx.resume(stream));
    rig.run(50);
    let heard = rig.heard(0);
    let said = heard
        .iter()
        .position(|rpc| !rpc.subscriptions.is_empty())
        .unwrap();
    let last = heard.iter().rposition(|rpc| !rpc.publish.is_empty()).unwrap();
    assert!(said < last);
}

/// go: `TestBrokenPromises`, `TestNoBrokenPromises`.
// covers: GSP-137
#[test]
fn a_message_that_is_throttled_keeps_the_promise_of_its_sender() {
    let config = Config {
        validate: true,
        limits: Limits {
            max_pending: 1,
            ..Limits::default()
        },
        ..scored()
    };
    let mut rig = Rig::subscribed(4, config);
    let first = rig.message(0, 1, "t", b"waits");
    rig.say(0, &publish(first));
    let messages: Vec<_> = (1..4).map(|puppet| rig.message(puppet, 1, "t", b"x")).collect();
    for puppet in 1..4 {
        rig.say(puppet, &ihave("t", vec![go_id(&messages[puppet - 1])]));
    }
    assert_eq!(rig.router.census().promises, 3);
    rig.say(3, &publish(messages[2].clone()));
    assert_eq!(rig.router.stats().throttled, 1);
    rig.run(5000);
    assert_eq!(
        (rig.router.stats().penalties, rig.router.census().promises),
        (2, 0)
    );
    let [first, second, third] = [1, 2, 3].map(|puppet| rig.router.score(&rig.peer(puppet)));
    assert!(first < 0.0 && second < 0.0 && third == 0.0);
}

// covers: GSP-168
#[test]
fn a_message_for_twelve_peers_is_one_piece_of_memory() {
    let config = Config {
        flood_publish_max: 1 << 20,
        ..Config::default()
    };
    let mut rig = Rig::subscribed(12, config);
    rig.hush();
    rig.router.publish("t", vec![7; 400_000], false).unwrap();
    rig.run(5);
    let place = |puppet: usize| {
        let inputs = rig.puppets[puppet].inputs.iter().rev();
        let mut frames = inputs.filter_map(|input| match input {
            Input::Frame { data, .. } if data.len() > 100_000 => Some(data.as_ptr()),
            _ => None,
        });
        frames.next().unwrap()
    };
    let places: BTreeSet<_> = (0..12).map(place).collect();
    assert_eq!(places.len(), 1);
}

// covers: GSP-169
#[test]
fn with_a_history_of_six_a_message_is_served_for_six_heartbeats() {
    let config = Config {
        history: 6,
        seen_ttl: Duration::from_secs(768),
        ..quiet()
    };
    let mut rig = Rig::subscribed(8, config);
    rig.heartbeat();
    rig.router.publish("t", "hello", false).unwrap();
    rig.run(3);
    let wanted = published(&rig);
    for heartbeat in 1..=7 {
        rig.heartbeat();
        rig.hush();
        rig.say(heartbeat, &iwant(wanted.clone()));
        assert_eq!(
            rig.messages(heartbeat).len(),
            usize::from(heartbeat < 6),
            "{heartbeat}"
        );
    }
}

// covers: GSP-189
#[test]
fn what_is_published_to_nobody_is_told_to_who_comes_later() {
    let mut rig = Rig::subscribed(9, quiet());
    // The mesh has its fill; the ninth comes later.
    rig.disconnect(8);
    rig.heartbeat();
    rig.router.publish("t", "hello", false).unwrap();
    rig.run(3);
    rig.connect(8);
    rig.run(5);
    rig.open(8);
    rig.say(8, &subscribe("t", true));
    rig.hush();
    let mut told = Vec::new();
    for _ in 0..2 {
        rig.heartbeat();
        told.extend(rig.control(8).ihave.into_iter().flat_map(|entry| entry.ids));
    }
    let mut empty = Rig::subscribed(0, quiet());
    empty.router.publish("t", "x", false).unwrap();
    empty.run(2);
    assert!(matches!(empty.events[..], [Event::Published { peers: 0, .. }]));
    assert!(!told.is_empty());
}

// covers: GSP-195
#[test]
fn the_order_in_which_peers_are_sent_to_is_random_and_repeatable() {
    let order = |seed| {
        let mut rig = Rig::seeded(
            seed,
            8,
            Config {
                trace: true,
                ..Config::default()
            },
        );
        for puppet in 0..8 {
            rig.connect(puppet);
        }
        rig.run(10);
        for puppet in 0..8 {
            rig.open(puppet);
            rig.say(puppet, &subscribe("t", true));
        }
        while rig.router.poll_trace().is_some() {}
        rig.router.publish("t", "hello", false).unwrap();
        rig.run(2);
        core::iter::from_fn(|| rig.router.poll_trace())
            .filter_map(|trace| match trace.step {
                Step::SendRpc(peer, _) => Some(peer),
                _ => None,
            })
            .collect::<Vec<PeerId>>()
    };
    assert_eq!(order(1).len(), 8);
    assert_eq!(order(1), order(1));
    assert!((2..6).any(|seed| order(seed) != order(1)));
}

/// go: `TestGossipSubJoinTopic`.
// covers: GSP-211
#[test]
fn who_must_not_be_grafted_does_not_come_from_the_fanout_into_the_mesh() {
    let mut rig = Rig::subscribed(3, scored());
    rig.say(1, &prune("t", Some(60)));
    rig.router.unsubscribe(&t()).unwrap();
    rig.run(13_000);
    rig.router.publish("t", "x", false).unwrap();
    rig.run(2);
    assert_eq!(rig.router.fanout_of(&t()).count(), 3);
    rate(&mut rig, 0, -1.0);
    rig.router.subscribe("t").unwrap();
    rig.run(2);
    assert_eq!(rig.mesh("t"), [2]);
}

// covers: GSP-251
#[test]
fn five_things_in_one_rpc_do_what_they_do_in_five() {
    const ALL: &str = "1a5f0a1c0a04746573741214000102030405060708090a0b0c0d0e0f10111213\
        12160a14000102030405060708090a0b0c0d0e0f101112131a060a047465737422070a036f6c64183c\
        2a160a14000102030405060708090a0b0c0d0e0f10111213";
    const EACH: [&str; 5] = [
        "1a1e0a1c0a04746573741214000102030405060708090a0b0c0d0e0f10111213",
        "1a1812160a14000102030405060708090a0b0c0d0e0f10111213",
        "1a081a060a0474657374",
        "1a0922070a036f6c64183c",
        "1a182a160a14000102030405060708090a0b0c0d0e0f10111213",
    ];
    let outcome = |parts: &[&str]| {
        let mut rig = Rig::new(1, quiet());
        for topic in ["test", "old"] {
            rig.router.subscribe(topic).unwrap();
        }
        rig.say(0, &subscribe("old", true));
        rig.hush();
        for part in parts {
            rig.say_hex(0, part);
        }
        let peer = rig.peer(0);
        let backed = rig.router.backoff_of(&Topic::from("old"), peer).is_some();
        (
            rig.control(0),
            rig.mesh("test"),
            rig.mesh("old"),
            backed,
            rig.router.census().unwanted,
        )
    };
    let one = outcome(&[ALL]);
    assert_eq!(one, outcome(&EACH));
    assert_eq!((one.0.iwant.len(), one.1, one.3, one.4), (1, vec![0], true, 1));
}

// covers: GSP-252
#[test]
fn outbound_is_whom_we_dialed_first_and_not_because_another_told_us_to() {
    let tiny = MeshParams {
        d: 1,
        d_lo: 1,
        d_hi: 1,
        d_score: 0,
        d_out: 0,
    };
    for (case, taken) in [("dialed", true), ("inbound", false), ("exchanged", false)] {
        let config = Config {
            mesh: tiny,
            first_heartbeat: Duration::from_secs(3000),
            ..quiet()
        };
        let mut rig = Rig::apart(3, config);
        rig.router.subscribe("t").unwrap();
        for puppet in [0, 2] {
            rig.connect(puppet);
            rig.run(5);
            rig.open(puppet);
            rig.say(puppet, &subscribe("t", true));
        }
        assert_eq!(rig.mesh("t"), [0]);
        if case == "exchanged" {
            let info = PeerInfo {
                peer_id: Some(rig.peer(1).as_bytes().to_vec().into()),
                record: None,
            };
            let mut rpc = prune("t", Some(60));
            rpc.control.as_mut().unwrap().prune[0].peers = vec![info];
            rig.say(2, &rpc);
            assert_eq!(rig.bench.dials(0).len(), 1);
        }
        if case == "inbound" {
            rig.connect(1);
            rig.run(5);
        }
        rig.connect_out(1);
        rig.run(5);
        if case == "dialed" {
            rig.connect(1);
            rig.run(5);
        }
        rig.open(1);
        rig.say(1, &subscribe("t", true));
        rig.say(1, &graft(&["t"]));
        assert_eq!(rig.mesh("t").contains(&1), taken, "{case}");
    }
}

// covers: GSP-264
#[test]
fn a_mesh_below_d_lo_is_filled_to_d_and_one_at_d_lo_is_left() {
    let mut rig = Rig::subscribed(9, quiet());
    assert_eq!(rig.mesh("t").len(), 5);
    rig.heartbeat();
    rig.heartbeat();
    assert_eq!(rig.mesh("t").len(), 5);
    let member = rig.mesh("t")[0];
    rig.say(member, &prune("t", Some(3000)));
    rig.hush();
    rig.heartbeat();
    let grafted: usize = (0..9).map(|puppet| rig.control(puppet).graft.len()).sum();
    assert_eq!((rig.mesh("t").len(), grafted), (6, 2));
}

/// go: `TestGossipsubPruneMeshCorrectly`; rust: `test_mesh_subtraction`.
// covers: GSP-268
#[test]
fn among_equal_scores_chance_decides_who_stays() {
    let mut kept = [0; 12];
    for seed in 0..100 {
        let mut rig = Rig::seeded(seed, 12, scored());
        for puppet in 0..12 {
            rig.connect(puppet);
        }
        rig.run(10);
        rig.router.subscribe("t").unwrap();
        for puppet in 0..12 {
            rig.open(puppet);
            rig.write(puppet, subscribe("t", true).encode());
            rig.write(puppet, graft(&["t"]).encode());
        }
        rig.run(5);
        rig.heartbeat();
        let mesh = rig.mesh("t");
        assert_eq!(mesh.len(), 6);
        for puppet in mesh {
            kept[puppet] += 1;
        }
    }
    assert!(kept.iter().all(|times| (25..=75).contains(times)), "{kept:?}");
}

// covers: GSP-269
#[test]
fn whoever_must_not_be_in_a_mesh_for_one_reason_is_not_grafted() {
    let filtered = identity(5).peer_id();
    let config = Config {
        explicit_peers: vec![identity(2).peer_id()],
        peer_filter: Some(PeerFilter::new(move |peer, _| *peer != filtered)),
        ..scored()
    };
    let mut rig = Rig::new(6, config);
    rig.router.subscribe("t").unwrap();
    rig.run(2);
    rig.say(2, &prune("t", Some(3000)));
    rate(&mut rig, 3, -1.0);
    for puppet in 1..6 {
        rig.say(puppet, &subscribe("t", true));
    }
    for _ in 0..3 {
        rig.heartbeat();
        assert_eq!(rig.mesh("t"), [5], "only the one without a reason");
    }
}

/// go: `TestGossipsubFanoutMaintenance`.
// covers: GSP-273
#[test]
fn a_fanout_loses_who_leaves_or_falls_and_is_filled_up_at_the_heartbeat() {
    let mut rig = Rig::new(9, scored());
    for puppet in 0..9 {
        rig.say(puppet, &subscribe("t", true));
    }
    rig.router.publish("t", "x", false).unwrap();
    rig.run(2);
    let fanout = |rig: &Rig| -> Vec<usize> {
        let peers: Vec<PeerId> = rig.router.fanout_of(&t()).copied().collect();
        (0..9)
            .filter(|puppet| peers.contains(&rig.peer(*puppet)))
            .collect()
    };
    let members = fanout(&rig);
    assert_eq!(members.len(), 6);
    rig.say(members[0], &subscribe("t", false));
    rate(&mut rig, members[1], -60.0);
    rig.heartbeat();
    let now = fanout(&rig);
    assert_eq!(now.len(), 6);
    assert!(!now.contains(&members[0]) && !now.contains(&members[1]));
}

// covers: GSP-275
#[test]
fn nobody_hears_graft_and_prune_of_one_topic_in_one_heartbeat() {
    for seed in 0..10 {
        let mut rig = Rig::seeded(seed, 16, scored());
        for puppet in 0..16 {
            rig.connect(puppet);
        }
        rig.run(10);
        rig.router.subscribe("t").unwrap();
        for puppet in 0..16 {
            rig.open(puppet);
            rig.say(puppet, &subscribe("t", true));
        }
        for round in 0..6 {
            for puppet in 0..16 {
                let drawn = (puppet * 7 + round * 5 + usize::from(seed)) % 9;
                match drawn {
                    0 => rig.write(puppet, graft(&["t"]).encode()),
                    1 => rig.write(puppet, prune("t", Some(1)).encode()),
                    2 => rate(&mut rig, puppet, -1.0),
                    3 => rate(&mut rig, puppet, 5.0),
                    _ => {}
                }
            }
            rig.run(3);
            rig.hush();
            rig.heartbeat();
            for puppet in 0..16 {
                let control = rig.control(puppet);
                assert!(control.graft.is_empty() || control.prune.is_empty());
            }
        }
    }
}

// covers: GSP-279
#[test]
fn where_decay_and_heartbeat_are_due_at_once_scores_decay_first() {
    let config = Config {
        first_heartbeat: Duration::from_secs(1),
        score: Some(ScoreConfig {
            behaviour_decay: 0.05,
            ..ScoreConfig::default()
        }),
        ..quiet()
    };
    let mut rig = Rig::subscribed(1, config);
    let peer = rig.peer(0);
    rig.router.penalize(peer, 1).unwrap();
    rig.run(1);
    assert!(rig.router.score(&peer) < 0.0);
    rig.heartbeat();
    assert_eq!((rig.router.score(&peer), rig.mesh("t")), (0.0, vec![0]));
}

// covers: GSP-301, GSP-320
#[test]
fn gossip_goes_to_good_peers_outside_the_mesh_also_when_the_mesh_is_empty() {
    let config = Config {
        explicit_peers: vec![identity(1).peer_id()],
        ..scored()
    };
    let mut rig = Rig::subscribed(10, config);
    let low = (1..10).find(|puppet| !rig.mesh("t").contains(puppet)).unwrap();
    rate(&mut rig, low, -11.0);
    rig.heartbeat();
    let mesh = rig.mesh("t");
    rig.router.publish("t", "x", false).unwrap();
    rig.run(2);
    rig.hush();
    rig.heartbeat();
    for puppet in 0..10 {
        let told = !rig.control(puppet).ihave.is_empty();
        let wanted = puppet != 0 && puppet != low && !mesh.contains(&puppet);
        assert_eq!(told, wanted, "{puppet}");
    }
    for puppet in 1..10 {
        rate(&mut rig, puppet, -1.0);
    }
    rig.heartbeat();
    assert!(rig.mesh("t").is_empty());
    rig.router.publish("t", "y", false).unwrap();
    rig.hush();
    rig.heartbeat();
    let told = (0..10).filter(|puppet| !rig.control(*puppet).ihave.is_empty());
    assert!(told.count() >= 6);
}

// covers: GSP-314
#[test]
fn who_asks_is_served_if_its_score_suffices_and_it_did_not_say_that_it_has_it() {
    let mut rig = Rig::subscribed(3, scored());
    rig.router.publish("t", "x", false).unwrap();
    rig.run(2);
    let wanted = published(&rig);
    rig.say(2, &subscribe("t", false));
    rate(&mut rig, 0, -11.0);
    rig.say(1, &idontwant(wanted.clone()));
    rig.hush();
    for puppet in 0..3 {
        rig.say(puppet, &iwant(wanted.clone()));
    }
    let served: Vec<usize> = (0..3).map(|puppet| rig.messages(puppet).len()).collect();
    assert_eq!(served, [0, 0, 1], "also one that does not subscribe");
    rig.say(2, &iwant(vec![id(99)]));
    assert!(rig.messages(2).is_empty());
}

// covers: GSP-351
#[test]
fn a_stream_that_is_opened_again_begins_with_extensions_again() {
    let config = Config {
        test_extension: true,
        ..quiet()
    };
    let mut rig = Rig::new(1, config);
    let mut said = Vec::new();
    for _ in 0..2 {
        let heard = rig.heard(0);
        let with = |rpc: &Rpc| {
            rpc.control
                .as_ref()
                .is_some_and(|control| control.extensions.is_some())
        };
        said.push((
            heard.iter().filter(|rpc| with(rpc)).count(),
            heard.first().is_some_and(with),
        ));
        let opened = rig.puppets[0].opened();
        let newest = *opened.iter().rfind(|stream| stream.is_inbound()).unwrap();
        rig.bench.with(1, &rig.puppets[0], |cx| cx.reset(newest));
        rig.run(500);
    }
    assert_eq!(said, [(1, true), (1, true)]);
}

// covers: GSP-429
#[test]
fn the_same_seed_gives_the_same_bits_of_every_score() {
    let run = || {
        let config = Config {
            score: Some(ScoreConfig {
                other_topics: Some(TopicScoreParams {
                    time_in_mesh_weight: 0.1,
                    first_deliveries_weight: 0.3,
                    invalid_weight: -0.7,
                    ..TopicScoreParams::default()
                }),
                ..ScoreConfig::default()
            }),
            ..quiet()
        };
        let mut rig = Rig::subscribed(4, config);
        rig.router.subscribe("u").unwrap();
        for number in 0..20 {
            let puppet = number as usize % 4;
            let topic = if number % 3 == 0 { "u" } else { "t" };
            let message = rig.message(puppet, number, topic, b"x");
            rig.say(puppet, &publish(message));
            rig.run(300);
        }
        let bits = (0..4).map(|puppet| rig.router.score(&rig.peer(puppet)).to_bits());
        bits.collect::<Vec<u64>>()
    };
    let bits = run();
    assert_eq!(bits, run());
    assert!(bits.iter().any(|bits| *bits != 0));
}

// covers: GSP-456
#[test]
fn without_scores_every_score_is_zero_and_no_threshold_bites() {
    let mut rig = Rig::subscribed(2, quiet());
    rate(&mut rig, 0, -1e9);
    let peer = rig.peer(0);
    rig.router.penalize(peer, 1000).unwrap();
    rig.heartbeat();
    assert_eq!((rig.router.score(&peer), rig.mesh("t").len()), (0.0, 2));
    let message = rig.message(0, 1, "t", b"heard");
    rig.say(0, &publish(message));
    rig.say(0, &ihave("t", vec![id(1)]));
    assert_eq!(rig.delivered(), ["heard"]);
    assert_eq!(rig.control(0).iwant.len(), 1);
    assert!(rig.router.explain(&peer).is_none());
}

/// rust: `test_all_queues_full`.
// covers: GSP-489
#[test]
fn when_no_queue_takes_a_publication_that_is_told_with_the_number_of_queues() {
    let config = Config {
        limits: Limits {
            max_queue_messages: 1,
            ..Limits::default()
        },
        ..quiet()
    };
    let mut rig = Rig::subscribed(1, config);
    let opened = rig.puppets[0].opened();
    let stream = *opened.iter().find(|stream| stream.is_inbound()).unwrap();
    rig.bench.with(1, &rig.puppets[0], |cx| cx.pause(stream));
    for _ in 0..400 {
        rig.router.publish("t", vec![0; 400_000], false).unwrap();
    }
    rig.run(3);
    let failed = |event: &&Event| {
        matches!(
            event,
            Event::PublishFailed {
                error: PublishError::AllQueuesFull(1),
                ..
            }
        )
    };
    assert!(rig.events.iter().any(|event| failed(&event)));
}

// covers: GSP-548
#[test]
fn counters_move_with_what_they_count() {
    let mut rig = Rig::subscribed(8, quiet());
    let mesh = rig.mesh("t");
    let message = rig.message(mesh[0], 1, "t", &[0; 2000]);
    rig.say(mesh[0], &publish(message.clone()));
    rig.say(mesh[1], &publish(message.clone()));
    rig.say(mesh[1], &iwant(vec![go_id(&message)]));
    rig.say(mesh[2], &ihave("t", vec![id(1)]));
    rig.say(mesh[2], &idontwant(vec![id(2)]));
    let large = rig.message(mesh[0], 2, "t", &[0; 2000]);
    rig.say(mesh[2], &idontwant(vec![go_id(&large)]));
    rig.say(mesh[0], &publish(large));
    rig.heartbeat();
    let stats = rig.router.stats();
    assert_eq!((stats.received, stats.accepted, stats.duplicates), (2, 2, 1));
    assert_eq!((stats.iwant_sent, stats.served, stats.unwanted), (1, 1, 1));
    assert!(stats.queued >= 6 && stats.verified == 2 && stats.heartbeats >= 1);
    assert_eq!(rig.router.mesh_of(&t()).count(), 5);
}
