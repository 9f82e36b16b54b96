//! Meshes: a router among puppets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_gossipsub::{
    Config, Event, MeshParams, Topic, TopicConfig,
    wire::{Control, PeerInfo, Prune, Rpc},
};
use libp2p_proto_identity::PeerRecord;
use support::{Rig, blamed, graft, prune, quiet, rate, scored, subscribe, t, with_control};

// covers: GSP-071, GSP-215, GSP-220, GSP-222
#[test]
fn a_short_mesh_takes_a_newcomer_at_once_and_grafts_are_taken_silently() {
    let mut rig = Rig::new(3, quiet());
    rig.router.subscribe("t").unwrap();
    rig.run(3);
    rig.hush();
    rig.say(0, &subscribe("t", true));
    assert_eq!(rig.control(0).graft, [t()]);
    rig.say(1, &graft(&["t"]));
    rig.say(1, &graft(&["t"]));
    assert_eq!(rig.mesh("t"), [0, 1]);
    assert!(rig.heard(1).is_empty());
    assert_eq!(rig.router.stats().penalties, 0);
}

// covers: GSP-210, GSP-215
#[test]
fn joining_takes_the_fanout_first_and_fills_up_to_d() {
    let mut rig = Rig::new(13, quiet());
    for puppet in 0..3 {
        rig.say(puppet, &subscribe("t", true));
    }
    rig.router.publish("t", "x", false).unwrap();
    rig.run(3);
    assert_eq!(rig.router.fanout_of(&t()).count(), 3);
    for puppet in 3..13 {
        rig.say(puppet, &subscribe("t", true));
    }
    rig.hush();
    rig.router.subscribe("t").unwrap();
    rig.run(3);
    let mesh = rig.mesh("t");
    assert_eq!((mesh.len(), &mesh[..3]), (6, &[0, 1, 2][..]));
    assert_eq!(rig.router.fanout_of(&t()).count(), 0);
    for puppet in 0..13 {
        assert_eq!(
            rig.control(puppet).graft.len(),
            usize::from(mesh.contains(&puppet))
        );
    }
}

// covers: GSP-212, GSP-213, GSP-214, GSP-239
#[test]
fn leaving_prunes_all_for_ten_seconds_and_nobody_is_grafted_before_that_and_the_slack() {
    let mut rig = Rig::subscribed(3, quiet());
    rig.hush();
    rig.router.unsubscribe(&t()).unwrap();
    rig.run(3);
    for puppet in 0..3 {
        let heard = rig.heard(puppet);
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].subscriptions, subscribe("t", false).subscriptions);
        assert_eq!(heard[0].control.as_ref().unwrap().prune[0].backoff, Some(10));
    }
    rig.run(1000);
    rig.router.subscribe("t").unwrap();
    rig.run(9000);
    assert!(rig.mesh("t").is_empty());
    rig.run(2500);
    assert_eq!(rig.mesh("t"), [0, 1, 2]);
}

// covers: GSP-221, GSP-229, GSP-230, GSP-231
#[test]
fn grafts_for_unknown_topics_are_not_answered_and_refusals_come_in_one_rpc() {
    let params = MeshParams {
        d: 1,
        d_lo: 1,
        d_hi: 1,
        d_score: 0,
        d_out: 0,
    };
    let mut rig = Rig::new(
        2,
        Config {
            mesh: params,
            ..quiet()
        },
    );
    for topic in ["a", "b"] {
        rig.router.subscribe(topic).unwrap();
        rig.say(0, &subscribe(topic, true));
    }
    rig.hush();
    rig.say(1, &graft(&["x"]));
    assert!(rig.heard(1).is_empty());
    assert_eq!(rig.router.census().topics, 2);
    rig.say(1, &graft(&["a", "x", "b"]));
    let heard = rig.heard(1);
    assert_eq!(
        (heard.len(), heard[0].control.as_ref().unwrap().prune.len()),
        (1, 2)
    );
}

// covers: GSP-224, GSP-225, GSP-226, GSP-237
#[test]
fn a_graft_during_a_backoff_is_refused_and_punished_twice_if_early() {
    for (wait, penalties) in [(9_900, 2), (10_100, 1), (59_900, 1), (60_100, 0)] {
        let mut rig = Rig::subscribed(
            1,
            Config {
                backoff_slack: 100,
                ..quiet()
            },
        );
        rig.say(0, &prune("t", Some(60)));
        rig.hush();
        rig.run(wait - 10);
        rig.say(0, &graft(&["t"]));
        assert_eq!(rig.router.stats().penalties, penalties, "after {wait} ms");
        let pruned = rig.control(0).prune;
        assert_eq!(pruned.len(), usize::from(penalties > 0));
        if penalties > 0 {
            assert_eq!((pruned[0].backoff, pruned[0].peers.len()), (Some(60), 0));
            let until = rig.router.backoff_of(&t(), rig.peer(0)).unwrap();
            assert!(until.since(rig.bench.now()) > Duration::from_secs(59));
        } else {
            assert_eq!(rig.mesh("t"), [0]);
        }
    }
}

// covers: GSP-227, GSP-263, GSP-454
#[test]
fn a_peer_with_a_negative_score_is_pruned_at_the_heartbeat_and_not_grafted() {
    let mut rig = Rig::subscribed(2, scored());
    rate(&mut rig, 0, -0.01);
    rig.hush();
    rig.heartbeat();
    assert_eq!(rig.mesh("t"), [1]);
    let pruned = rig.control(0).prune;
    assert_eq!((pruned[0].backoff, pruned[0].peers.len()), (Some(60), 0));
    rig.run(61_000);
    rig.hush();
    rig.say(0, &graft(&["t"]));
    assert_eq!(rig.control(0).prune.len(), 1);
    assert_eq!((rig.mesh("t"), rig.router.stats().penalties), (vec![1], 0));
}

// covers: GSP-228, GSP-576
#[test]
fn a_full_mesh_takes_only_peers_that_we_connected_to() {
    let mut rig = Rig::apart(120, quiet());
    for puppet in 0..119 {
        rig.connect(puppet);
    }
    rig.connect_out(119);
    rig.run(10);
    rig.router.subscribe("t").unwrap();
    rig.run(3);
    for puppet in 0..120 {
        rig.open(puppet);
    }
    rig.heartbeat();
    for puppet in 0..120 {
        rig.write(puppet, graft(&["t"]).encode());
    }
    rig.run(3);
    let mesh = rig.mesh("t");
    assert_eq!((mesh.len(), mesh[12]), (13, 119));
    assert_eq!(mesh[..12], (0..12).collect::<Vec<_>>());
}

// covers: GSP-232, GSP-233, GSP-235, GSP-566
#[test]
fn a_prune_backs_off_for_what_it_says_or_a_minute_and_an_hour_at_most() {
    for (said, wanted) in [
        (None, 60),
        (Some(0), 60),
        (Some(7), 7),
        (Some(9_223_372_037), 3600),
        (Some(u64::MAX >> 1), 3600),
        (Some(u64::MAX), 3600),
    ] {
        let mut rig = Rig::subscribed(1, quiet());
        rig.say(0, &prune("t", said));
        assert!(rig.mesh("t").is_empty());
        let left = rig
            .router
            .backoff_of(&t(), rig.peer(0))
            .unwrap()
            .since(rig.bench.now());
        assert!(
            left <= Duration::from_secs(wanted)
                && left + Duration::from_secs(1) > Duration::from_secs(wanted)
        );
        rig.say(0, &prune("t", Some(1)));
        let later = rig
            .router
            .backoff_of(&t(), rig.peer(0))
            .unwrap()
            .since(rig.bench.now());
        assert!(later + Duration::from_secs(1) > left);
    }
}

#[test]
fn vul_001_the_largest_backoff_is_an_hour_wherever_the_clock_stands() {
    for backoff in [0, 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, u64::MAX] {
        for start in [
            0,
            1_000_000_000,
            28 * 3_600_000_000_000,
            u64::MAX - 3_600_000_000_000,
        ] {
            let mut rig = Rig::apart(1, quiet());
            rig.bench = core::mem::replace(
                &mut rig.bench,
                libp2p_proto_stream_protocol::bench::Bench::new(1, 1, support::LATENCY),
            )
            .starting_at(libp2p_proto_core::Instant::from_nanos(start));
            rig.connect(0);
            rig.run(10);
            rig.open(0);
            rig.router.subscribe("t").unwrap();
            rig.say(0, &subscribe("t", true));
            rig.say(0, &prune("t", Some(backoff)));
            let until = rig.router.backoff_of(&t(), rig.peer(0)).unwrap();
            assert!(until.since(rig.bench.now()) <= Duration::from_secs(3600));
            rig.run(200);
        }
    }
}

#[test]
fn vul_002_a_backoff_just_under_the_limit_of_the_clock_ends_after_an_hour_of_heartbeats() {
    let mut rig = Rig::subscribed(1, quiet());
    for place in 0..10_000_u64 {
        let said = i64::MAX as u64 - place * 20;
        rig.write(0, prune("t", Some(said)).encode());
    }
    rig.run(200_000);
    assert_eq!(rig.router.census().backoffs, 1);
    rig.run(3_500_000);
    assert_eq!(rig.router.census().backoffs, 0);
}

// covers: GSP-564
#[test]
fn vul_003_a_million_grafts_for_topics_that_nobody_joined_leave_no_state_and_are_soon_not_heard() {
    let mut rig = Rig::new(1, blamed());
    let before = rig.router.census();
    // RPCs of 16 KiB, with topics of one to eight bytes.
    let mut number = 0_u32;
    let rpcs: Vec<Vec<u8>> = (0..1000)
        .map(|_| {
            let names: Vec<String> = (0..1000)
                .map(|_| {
                    number += 1;
                    format!("{number:x}")
                })
                .collect();
            let topics: Vec<&str> = names.iter().map(String::as_str).collect();
            graft(&topics).encode()
        })
        .collect();
    assert!(rpcs.iter().all(|rpc| rpc.len() <= 16 * 1024));
    let work = allocation_counter::measure(|| {
        for rpc in rpcs {
            rig.write(0, rpc);
            rig.run(2);
        }
    });
    rig.events.clear();
    assert_eq!(rig.router.census(), before);
    assert!(work.bytes_current <= 4096, "{work:?}");
    // A thousand may have crossed our leaving; of the rest each RPC counts, and with the third the score is below the graylist.
    let stats = rig.router.stats();
    assert!(stats.penalties >= 3 && stats.graylisted >= 1000 - 5, "{stats:?}");
}

// covers: GSP-241
#[test]
fn vul_004_prunes_of_topics_that_we_are_not_in_leave_no_backoff() {
    let mut rig = Rig::new(1, quiet());
    for round in 0..1000_u32 {
        let mut control = Control::default();
        for place in 0..1000 {
            let one = prune(&format!("{round}-{place}"), Some(60));
            control.prune.extend(one.control.unwrap_or_default().prune);
        }
        rig.write(0, with_control(control).encode());
        if round % 50 == 0 {
            rig.run(2);
        }
    }
    rig.run(5);
    assert_eq!(rig.router.census().backoffs, 0);
    assert_eq!(rig.router.stats().malformed, 0);
    // Of those that we are in, one for each peer, which ends.
    let mut rig = Rig::subscribed(3, quiet());
    for puppet in 0..3 {
        for _ in 0..10 {
            rig.say(puppet, &prune("t", Some(60)));
        }
    }
    assert_eq!(rig.router.census().backoffs, 3);
    for puppet in 0..3 {
        rig.disconnect(puppet);
    }
    rig.run(63_000);
    assert_eq!(rig.router.census().backoffs, 0);
}

// covers: GSP-238
#[test]
fn nobody_is_grafted_before_its_backoff_and_one_heartbeat_are_over() {
    let config = Config {
        heartbeat: Duration::from_millis(100),
        seen_ttl: Duration::from_secs(10),
        ..quiet()
    };
    let mut rig = Rig::subscribed(1, config);
    rig.heartbeat();
    rig.say(0, &prune("t", Some(1)));
    rig.hush();
    let before = rig.router.stats().heartbeats;
    while rig.control(0).graft.is_empty() {
        rig.run(10);
    }
    // The PRUNE came just after a heartbeat: its back-off and the slack end just after the eleventh.
    assert_eq!(rig.router.stats().heartbeats - before, 12);
}

// covers: GSP-242, GSP-216
#[test]
fn a_prune_carries_at_most_sixteen_good_peers_and_their_signed_records() {
    let config = Config { px: true, ..scored() };
    let mut rig = Rig::subscribed(22, config);
    for puppet in 0..3 {
        rate(&mut rig, puppet, -1.0);
    }
    let record = PeerRecord::new(rig.peer(5), 1, vec!["/ip4/1.1.1.1/tcp/1".parse().unwrap()])
        .seal(&rig.identities[6])
        .unwrap();
    assert!(rig.router.set_record(record.clone()));
    let stranger = support::identity(99);
    let other = PeerRecord::new(stranger.peer_id(), 1, vec![])
        .seal(&stranger)
        .unwrap();
    assert!(!rig.router.set_record(other) && !rig.router.set_record("junk".into()));
    rig.hush();
    rig.router.unsubscribe(&t()).unwrap();
    rig.run(3);
    let mut with_record = 0;
    for puppet in 0..22 {
        for prune in rig.control(puppet).prune {
            assert!(prune.peers.len() <= 16);
            assert_eq!(prune.peers.is_empty(), puppet < 3, "bad peers get none");
            let ids: Vec<_> = prune
                .peers
                .iter()
                .map(|info| info.peer_id.clone().unwrap())
                .collect();
            for bad in [0, 1, 2, puppet] {
                assert!(!ids.iter().any(|id| **id == *rig.peer(bad).as_bytes()));
            }
            with_record += prune
                .peers
                .iter()
                .filter(|info| info.record == Some(record.clone()))
                .count();
        }
    }
    assert!(with_record > 0);
}

fn offer(peers: Vec<PeerInfo>) -> Rpc {
    with_control(Control {
        prune: vec![Prune {
            topic: t(),
            peers,
            backoff: Some(60),
        }],
        ..Control::default()
    })
}

// covers: GSP-244, GSP-245, GSP-246, GSP-247, GSP-455, GSP-577
#[test]
fn vul_024_only_good_peers_make_us_dial_and_only_what_signed_records_say() {
    let infos = |range: core::ops::Range<u64>| -> Vec<PeerInfo> {
        range
            .map(|seed| {
                let identity = support::identity(seed);
                let record = PeerRecord::new(identity.peer_id(), 1, vec![])
                    .seal(&identity)
                    .unwrap();
                PeerInfo {
                    peer_id: Some(identity.peer_id().as_bytes().to_vec().into()),
                    record: Some(record),
                }
            })
            .collect()
    };
    for (score, dials) in [(9.9, 0), (10.0, 16)] {
        let mut rig = Rig::subscribed(1, scored());
        rate(&mut rig, 0, score);
        rig.say(0, &offer(infos(100..130)));
        assert_eq!(rig.bench.dials(0).len(), dials);
    }
    let mut rig = Rig::subscribed(1, scored());
    rate(&mut rig, 0, 10.0);
    let mut bad = infos(100..103);
    bad[0].record = infos(101..102)[0].record.clone();
    bad[1].peer_id = Some(vec![1, 0].into());
    bad[2].record = Some("junk".into());
    bad.push(PeerInfo::default());
    rig.say(0, &offer(bad));
    assert!(rig.bench.dials(0).is_empty());
    assert!(
        rig.router.backoff_of(&t(), rig.peer(0)).is_some(),
        "the PRUNE itself counts"
    );
    rig.say(0, &offer(vec![]));
    for round in 0..20 {
        rig.say(0, &offer(infos(1000 + 16 * round..1016 + 16 * round)));
    }
    assert_eq!(rig.bench.dials(0).len(), 128);
}

// covers: GSP-249
#[test]
fn a_bootstrapper_answers_a_graft_with_peers() {
    let mut rig = Rig::subscribed(
        20,
        Config {
            flood_publish: false,
            ..Config::bootstrapper()
        },
    );
    rig.hush();
    rig.say(3, &graft(&["t"]));
    let pruned = rig.control(3).prune;
    assert_eq!((pruned.len(), pruned[0].peers.len()), (1, 16));
    rig.run(5000);
    assert!(rig.mesh("t").is_empty());
}

// covers: GSP-260
#[test]
fn heartbeats_that_were_missed_are_not_made_up_for() {
    let mut rig = Rig::new(0, quiet());
    rig.router.subscribe("t").unwrap();
    rig.run(3150);
    assert_eq!(rig.router.stats().heartbeats, 4, "after 0.1, 1.1, 2.1 and 3.1 s");
}

// covers: GSP-265, GSP-266, GSP-267
#[test]
fn an_oversized_mesh_is_trimmed_to_d_and_keeps_the_best_and_the_outbound() {
    let config = Config {
        mesh: MeshParams {
            d_hi: 12,
            ..MeshParams::default()
        },
        ..scored()
    };
    let mut rig = Rig::apart(12, config);
    for puppet in 0..12 {
        if puppet < 2 {
            rig.connect_out(puppet);
        } else {
            rig.connect(puppet);
        }
    }
    rig.run(5);
    for puppet in 0..12 {
        rig.open(puppet);
        rate(&mut rig, puppet, f64::from(u32::try_from(puppet).unwrap()));
    }
    rig.router.subscribe("t").unwrap();
    rig.heartbeat();
    for puppet in 0..12 {
        rig.write(puppet, subscribe("t", true).encode());
        rig.write(puppet, graft(&["t"]).encode());
    }
    rig.run(3);
    assert_eq!(rig.mesh("t").len(), 12);
    rig.heartbeat();
    assert_eq!(rig.mesh("t"), [0, 1, 8, 9, 10, 11]);
}

// covers: GSP-270
#[test]
fn a_mesh_without_outbound_members_takes_two_beyond_d() {
    let mut rig = Rig::apart(9, quiet());
    for puppet in 0..9 {
        if puppet < 6 {
            rig.connect(puppet);
        } else {
            rig.connect_out(puppet);
        }
    }
    rig.run(5);
    rig.router.subscribe("t").unwrap();
    for puppet in 0..9 {
        rig.open(puppet);
        if puppet < 6 {
            rig.say(puppet, &graft(&["t"]));
        }
    }
    for puppet in 0..9 {
        rig.say(puppet, &subscribe("t", true));
    }
    assert_eq!(rig.mesh("t"), [0, 1, 2, 3, 4, 5]);
    rig.heartbeat();
    assert_eq!(rig.mesh("t").len(), 8);
}

// covers: GSP-271, GSP-272
#[test]
fn every_sixty_heartbeats_a_mediocre_mesh_takes_in_better_peers() {
    let config = Config {
        opportunistic_ticks: 3,
        thresholds: libp2p_proto_gossipsub::Thresholds {
            opportunistic_graft: 1.0,
            ..Default::default()
        },
        ..scored()
    };
    let mut rig = Rig::subscribed(8, config);
    let outside: Vec<usize> = (0..8).filter(|puppet| !rig.mesh("t").contains(puppet)).collect();
    assert!(outside.len() >= 2);
    rate(&mut rig, outside[0], 5.0);
    let before = rig.mesh("t").len();
    for _ in 0..3 {
        rig.heartbeat();
    }
    let mesh = rig.mesh("t");
    assert!(
        mesh.contains(&outside[0]) && !mesh.contains(&outside[1]),
        "{mesh:?}"
    );
    assert_eq!(mesh.len(), before + 1);
}

// covers: GSP-278
#[test]
fn a_topic_may_have_a_mesh_of_its_own_size() {
    let small = MeshParams {
        d: 3,
        d_lo: 2,
        d_hi: 4,
        d_score: 1,
        d_out: 1,
    };
    let topics = [(
        Topic::from("t"),
        TopicConfig {
            mesh: Some(small),
            ..TopicConfig::default()
        },
    )]
    .into();
    let mut rig = Rig::new(20, Config { topics, ..quiet() });
    for puppet in 0..20 {
        rig.say(puppet, &subscribe("t", true));
        rig.say(puppet, &subscribe("u", true));
    }
    rig.router.subscribe("t").unwrap();
    rig.router.subscribe("u").unwrap();
    rig.run(3000);
    assert_eq!((rig.mesh("t").len(), rig.mesh("u").len()), (3, 6));
}

// covers: GSP-223, GSP-465, GSP-467, GSP-468, GSP-469
#[test]
fn explicit_peers_are_dialed_served_and_never_in_a_mesh() {
    let peer = support::identity(1).peer_id();
    let config = Config {
        explicit_peers: vec![peer],
        explicit_ticks: 2,
        ..quiet()
    };
    let mut rig = Rig::apart(2, config);
    rig.run(200);
    assert_eq!(rig.bench.dials(0).len(), 1);
    rig.run(2000);
    assert!(rig.bench.dials(0).len() >= 2);
    rig.router.subscribe("t").unwrap();
    for puppet in 0..2 {
        rig.connect(puppet);
        rig.run(5);
        rig.open(puppet);
        rig.say(puppet, &subscribe("t", true));
    }
    rig.run(2000);
    assert_eq!(rig.mesh("t"), [1]);
    rig.hush();
    rig.say(0, &graft(&["t"]));
    assert_eq!(rig.control(0).prune.len(), 1);
    assert!(rig.events.contains(&Event::NotReciprocal { peer }));
    rig.router.publish("t", "x", false).unwrap();
    rig.run(3);
    assert_eq!((rig.messages(0).len(), rig.messages(1).len()), (1, 1));
    rig.run(3000);
    assert!(rig.control(0).ihave.is_empty());
}

// covers: GSP-470
#[test]
fn a_member_that_becomes_explicit_leaves_the_mesh_and_still_gets_messages() {
    let mut rig = Rig::subscribed(1, quiet());
    rig.hush();
    rig.router.add_explicit(rig.peer(0)).unwrap();
    rig.run(3);
    assert_eq!((rig.mesh("t").len(), rig.control(0).prune.len()), (0, 1));
    rig.router.publish("t", "x", false).unwrap();
    rig.run(3);
    assert_eq!(rig.messages(0).len(), 1);
}

// covers: GSP-274, GSP-493
#[test]
fn ten_topics_joined_at_once_are_one_frame() {
    let mut rig = Rig::new(1, quiet());
    for place in 0..10 {
        rig.say(0, &subscribe(&format!("{place}"), true));
    }
    rig.hush();
    for place in 0..10 {
        rig.router.subscribe(format!("{place}").as_str()).unwrap();
    }
    rig.run(3);
    let heard = rig.heard(0);
    assert_eq!(
        (heard.len(), heard[0].control.as_ref().unwrap().graft.len()),
        (1, 10)
    );
}

// covers: GSP-478
#[test]
fn a_blocked_peer_is_gone_and_what_it_wrote_is_not_taken_from_others() {
    let mut rig = Rig::subscribed(2, quiet());
    rig.router.block(rig.peer(0)).unwrap();
    rig.run(3);
    assert_eq!((rig.router.census().peers, rig.mesh("t")), (1, vec![1]));
    let message = rig.message(0, 1, "t", b"x");
    rig.events.clear();
    rig.say(1, &support::publish(message));
    assert!(rig.delivered().is_empty());
    assert_eq!(rig.router.stats().rejected, 0);
}

// covers: GSP-193
#[test]
fn whether_there_are_enough_peers_can_be_asked() {
    let mut rig = Rig::subscribed(0, quiet());
    assert!(!rig.router.has_enough_peers(&t(), None));
    rig = Rig::subscribed(6, quiet());
    assert!(rig.router.has_enough_peers(&t(), None) && !rig.router.has_enough_peers(&t(), Some(9)));
}

// covers: GSP-563
#[test]
fn grafts_in_a_backoff_are_answered_until_the_peer_is_graylisted() {
    let mut config = blamed();
    config.score.as_mut().unwrap().behaviour_weight = -100.0;
    config.thresholds.graylist = -1000.0;
    config.thresholds.publish = -900.0;
    let mut rig = Rig::subscribed(1, config);
    rig.say(0, &support::prune("t", Some(60)));
    rig.hush();
    for _ in 0..4 {
        rig.say(0, &graft(&["t"]));
    }
    assert_eq!(rig.control(0).prune.len(), 2, "4 points, then 16: graylisted");
    assert!(rig.mesh("t").is_empty());
}

// covers: GSP-250
#[test]
fn changes_that_are_no_longer_true_when_they_leave_are_not_sent() {
    let mut rig = Rig::new(1, quiet());
    rig.say(0, &subscribe("a", true));
    rig.hush();
    rig.router.subscribe("a").unwrap();
    rig.router.unsubscribe(&Topic::from("a")).unwrap();
    rig.run(3);
    let heard = rig.control(0);
    assert!(heard.graft.is_empty());
}

#[test]
fn a_hundred_grafts_at_once_leave_a_mesh_of_twelve() {
    let mut rig = Rig::subscribed(100, quiet());
    for puppet in 0..100 {
        rig.write(puppet, graft(&["t"]).encode());
    }
    rig.run(3);
    assert_eq!(rig.mesh("t").len(), 12);
}

// covers: GSP-224, GSP-225
#[test]
fn vul_023_one_graft_may_cross_our_prune_and_no_second_one() {
    for (wait, penalties) in [(0, 0), (4_900, 0), (5_100, 1)] {
        let mut rig = Rig::subscribed(2, quiet());
        rig.hush();
        // We leave, and come back before the peers have heard of it.
        rig.router.unsubscribe(&t()).unwrap();
        rig.run(1);
        rig.router.subscribe("t").unwrap();
        rig.run(wait);
        rig.say(0, &graft(&["t"]));
        assert_eq!(rig.router.stats().penalties, penalties, "after {wait} ms");
        assert_eq!(rig.control(0).prune.last().unwrap().backoff, Some(60));
        rig.say(0, &graft(&["t"]));
        assert_eq!(rig.router.stats().penalties, penalties + 2, "it had its answer");
        assert!(rig.mesh("t").is_empty());
    }
    // A peer that pruned us knows of the back-off.
    let mut rig = Rig::subscribed(1, quiet());
    rig.say(0, &prune("t", Some(60)));
    rig.say(0, &graft(&["t"]));
    assert_eq!(rig.router.stats().penalties, 2);
    // As go has it.
    let strict = Config {
        graft_crossing: Duration::ZERO,
        ..quiet()
    };
    let mut rig = Rig::subscribed(1, strict);
    rig.router.unsubscribe(&t()).unwrap();
    rig.run(1);
    rig.router.subscribe("t").unwrap();
    rig.run(1);
    rig.say(0, &graft(&["t"]));
    assert_eq!(rig.router.stats().penalties, 1);
}

// covers: GSP-232, GSP-239
#[test]
fn a_prune_that_comes_when_we_have_just_left_holds_when_we_join_again() {
    let mut rig = Rig::subscribed(1, quiet());
    rig.router.unsubscribe(&t()).unwrap();
    rig.run(1);
    rig.say(0, &prune("t", Some(60)));
    rig.router.subscribe("t").unwrap();
    rig.hush();
    rig.run(59_000);
    assert!(rig.control(0).graft.is_empty());
    rig.run(3_000);
    assert_eq!(rig.control(0).graft, [t()]);
    // Long after, it leaves nothing.
    rig.router.unsubscribe(&t()).unwrap();
    rig.run(80_000);
    rig.say(0, &prune("t", Some(60)));
    assert_eq!(rig.router.census().backoffs, 0);
}
