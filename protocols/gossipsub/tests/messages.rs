//! Messages: published, passed on, queued.
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
    Config, Error, Event, Level, Limits, MessageIdFn, PublishError, Topic, TopicConfig, wire::Control,
};
use support::{Rig, blamed, graft, id, ihave, publish, quiet, subscribe, t, with_control};

// covers: GSP-131, GSP-144, GSP-180, GSP-182
#[test]
fn a_message_is_delivered_once_and_goes_to_the_mesh_but_not_to_its_sender_or_author() {
    let mut rig = Rig::subscribed(6, quiet());
    for puppet in 0..6 {
        rig.say(puppet, &graft(&["t"]));
    }
    rig.hush();
    let message = rig.message(1, 1, "t", b"hello");
    rig.say(0, &publish(message.clone()));
    rig.say(2, &publish(message.clone()));
    assert_eq!(rig.delivered(), ["hello"]);
    for puppet in 0..6 {
        let got = rig.messages(puppet).len();
        assert_eq!(got, usize::from(puppet > 1), "{puppet}");
    }
    assert_eq!(rig.router.stats().duplicates, 1);
}

// covers: GSP-143
#[test]
fn a_relay_passes_messages_on_without_telling_them() {
    let mut rig = Rig::new(2, quiet());
    rig.router.relay("t").unwrap();
    rig.run(2);
    for puppet in 0..2 {
        rig.say(puppet, &subscribe("t", true));
    }
    rig.hush();
    let message = rig.message(0, 1, "t", b"x");
    rig.say(0, &publish(message.clone()));
    assert!(rig.events.is_empty());
    assert_eq!(rig.messages(1), [message]);
}

// covers: GSP-144, GSP-146
#[test]
fn own_messages_are_told_if_wanted_or_meant_for_us_alone() {
    let mut rig = Rig::subscribed(
        1,
        Config {
            deliver_own: true,
            ..quiet()
        },
    );
    rig.hush();
    rig.router.publish("t", "all", false).unwrap();
    rig.router.publish_locally("t", "us").unwrap();
    rig.run(3);
    assert_eq!(rig.delivered(), ["all", "us"]);
    assert_eq!(rig.messages(0).len(), 1);
}

// covers: GSP-145
#[test]
fn a_slow_application_loses_the_newest_events_and_that_is_counted() {
    let limits = Limits {
        max_events: 4,
        ..Limits::default()
    };
    let mut rig = Rig::subscribed(1, Config { limits, ..quiet() });
    for number in 0..33 {
        let message = rig.message(0, number, "t", b"x");
        rig.write(0, publish(message).encode());
    }
    rig.run(1);
    let mut protocols: Vec<&mut dyn libp2p_proto_stream_protocol::Protocol> = vec![&mut rig.router];
    for puppet in &mut rig.puppets {
        protocols.push(puppet);
    }
    rig.bench.run(&mut protocols, Duration::from_millis(5));
    assert!(rig.router.stats().events_dropped > 0);
}

// covers: GSP-183, GSP-184, GSP-185
#[test]
fn outside_the_topic_the_same_six_get_what_is_published_for_a_minute() {
    let mut rig = Rig::new(20, quiet());
    for puppet in 0..20 {
        rig.say(puppet, &subscribe("t", true));
    }
    rig.hush();
    let mut receivers = Vec::new();
    for _ in 0..2 {
        rig.router.publish("t", "x", false).unwrap();
        rig.run(3);
        receivers.push(
            (0..20)
                .filter(|puppet| !rig.messages(*puppet).is_empty())
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!((receivers[0].len(), &receivers[0]), (6, &receivers[1]));
    rig.run(59_000);
    assert_eq!(rig.router.fanout_of(&t()).count(), 6);
    rig.run(2500);
    assert_eq!(rig.router.fanout_of(&t()).count(), 0);
}

// covers: GSP-186, GSP-187, GSP-188, GSP-451, GSP-453
#[test]
fn small_own_messages_go_to_all_peers_above_the_threshold_and_large_ones_to_the_mesh() {
    let mut rig = Rig::subscribed(
        20,
        Config {
            flood_publish: true,
            ..blamed()
        },
    );
    for (puppet, score) in [(3, -50.1), (4, -50.0)] {
        rig.router.set_app_score(rig.peer(puppet), score).unwrap();
    }
    rig.heartbeat();
    rig.hush();
    rig.router.publish("t", "x", false).unwrap();
    rig.run(3);
    let got: Vec<usize> = (0..20)
        .filter(|puppet| !rig.messages(*puppet).is_empty())
        .collect();
    assert_eq!((got.len(), got.contains(&3), got.contains(&4)), (19, false, true));
    rig.router.publish("t", vec![0; 100_000], false).unwrap();
    rig.run(3);
    let got: Vec<usize> = (0..20)
        .filter(|puppet| !rig.messages(*puppet).is_empty())
        .collect();
    assert_eq!(got, rig.mesh("t"));
}

// covers: GSP-190, GSP-014
#[test]
fn publishing_to_nobody_is_kept_for_gossip_and_duplicates_and_giants_are_refused() {
    let config = Config {
        id: MessageIdFn::Sha256,
        ..quiet()
    };
    let mut rig = Rig::subscribed(0, config.clone());
    let first = rig.router.publish("t", "x", false).unwrap();
    let second = rig.router.publish("t", "x", false).unwrap();
    rig.run(3);
    assert!(
        matches!(&rig.events[0], Event::Published { publication, peers: 0, .. } if *publication == first)
    );
    assert_eq!(
        rig.events[1],
        Event::PublishFailed {
            publication: second,
            error: PublishError::Duplicate
        }
    );
    assert_eq!(rig.router.census().cached, 1);
    let max = config.limits.max_frame;
    assert_eq!(
        rig.router.publish("t", vec![0; max + 1], false),
        Err(Error::TooLarge)
    );
    let third = rig.router.publish("t", vec![0; max], false).unwrap();
    rig.run(3);
    assert_eq!(
        rig.events[2],
        Event::PublishFailed {
            publication: third,
            error: PublishError::TooLarge
        }
    );
}

// covers: GSP-491
#[test]
fn a_reported_publication_tells_how_many_took_it_and_when_it_has_left() {
    let mut rig = Rig::subscribed(4, quiet());
    rig.events.clear();
    let publication = rig.router.publish("t", "x", true).unwrap();
    rig.run(50);
    assert!(matches!(&rig.events[0], Event::Published { peers: 4, .. }));
    assert_eq!(
        rig.events[1],
        Event::Flushed {
            publication,
            flushed: 4,
            dropped: 0
        }
    );
    assert_eq!(rig.router.census().publications, 0);
}

// covers: GSP-192
#[test]
fn a_topic_for_publishing_only_is_never_announced_or_relayed() {
    let only = TopicConfig {
        fanout_only: true,
        ..TopicConfig::default()
    };
    let mut rig = Rig::new(
        1,
        Config {
            topics: [(t(), only)].into(),
            deliver_own: true,
            ..quiet()
        },
    );
    assert_eq!(rig.router.relay("t"), Err(Error::FanoutOnly));
    rig.router.subscribe("t").unwrap();
    rig.run(3);
    assert!(rig.heard(0).is_empty());
    rig.router.publish("t", "x", false).unwrap();
    rig.run(3);
    assert_eq!(rig.delivered(), ["x"]);
}

// covers: GSP-452, GSP-457, GSP-466, GSP-073, GSP-444
#[test]
fn of_a_graylisted_peer_only_subscriptions_are_heard_unless_it_is_explicit() {
    let mut rig = Rig::subscribed(2, blamed());
    rig.router.set_app_score(rig.peer(0), -80.1).unwrap();
    rig.run(2);
    rig.hush();
    let message = rig.message(1, 1, "t", b"x");
    let mut rpc = subscribe("u", true);
    rpc.publish.push(message.clone());
    rpc.control = Some(Control {
        graft: vec![t()],
        ..Control::default()
    });
    rig.say(0, &rpc);
    rig.say(0, &rpc);
    assert!(rig.delivered().is_empty() && rig.heard(0).is_empty());
    assert_eq!(rig.router.peers_of(&Topic::from("u")).count(), 1);
    let told = rig
        .events
        .iter()
        .filter(|event| matches!(event, Event::Graylisted { .. }))
        .count();
    assert_eq!(told, 1);
    rig.router.add_explicit(rig.peer(0)).unwrap();
    rig.run(2);
    rig.say(0, &rpc);
    assert_eq!(rig.delivered(), ["x"]);
}

// covers: GSP-510, GSP-511, GSP-512, GSP-513
#[test]
fn a_floodsub_peer_gets_messages_and_no_control_and_its_control_means_nothing() {
    let mut rig = Rig::apart(2, quiet());
    for puppet in 0..2 {
        rig.connect(puppet);
    }
    rig.run(10);
    rig.open_as(1, &[0]);
    rig.router.subscribe("t").unwrap();
    let flood = quiet().up_to(Level::Flood);
    let mut plain = Rig::new(1, flood);
    plain.router.subscribe("t").unwrap();
    plain.say(0, &subscribe("t", true));
    assert_eq!(plain.router.level_of(&plain.peer(0)), Some(Level::Flood));
    plain.hush();
    plain.say(0, &graft(&["t"]));
    plain.say(0, &ihave("t", vec![id(1)]));
    plain.run(3000);
    assert!(plain.mesh("t").is_empty());
    assert!(plain.heard(0).is_empty());
    plain.router.publish("t", vec![0; 5000], false).unwrap();
    plain.run(3);
    assert_eq!(plain.messages(0).len(), 1);
    let message = plain.message(0, 1, "t", b"hello");
    plain.say(0, &publish(message));
    assert_eq!(plain.delivered(), ["hello"]);
    plain.run(3000);
    assert!(plain.control(0) == Control::default());
}

#[test]
fn who_is_chosen_to_publish_to_is_random_and_repeatable() {
    let chosen = |seed| {
        let mut rig = Rig::seeded(seed, 8, quiet());
        for puppet in 0..8 {
            rig.connect(puppet);
        }
        rig.run(10);
        for puppet in 0..8 {
            rig.open(puppet);
            rig.say(puppet, &subscribe("t", true));
        }
        rig.router.publish("t", "x", false).unwrap();
        rig.run(3);
        rig.router.fanout_of(&t()).copied().collect::<Vec<_>>()
    };
    assert_eq!(chosen(1), chosen(1));
    assert!((2..12).any(|seed| chosen(seed) != chosen(1)));
}

// covers: GSP-487, GSP-498, GSP-524, GSP-582
#[test]
fn vul_019_a_peer_that_does_not_read_costs_its_queue_and_no_more() {
    let config = Config {
        limits: Limits {
            max_queue_bytes: 512 * 1024,
            ..Limits::default()
        },
        ..quiet()
    };
    let mut rig = Rig::subscribed(2, config);
    let stream = rig.puppets[0]
        .opened()
        .into_iter()
        .find(|stream| stream.is_inbound())
        .unwrap();
    rig.bench.with(1, &rig.puppets[0], |cx| cx.pause(stream));
    // What the stream itself takes is filled first.
    for _ in 0..2000 {
        rig.router.publish("t", vec![0; 50_000], false).unwrap();
        rig.run(1);
        assert!(rig.router.census().queued_bytes <= 512 * 1024);
    }
    let slow = rig.peer(0);
    rig.heartbeat();
    assert!(
        rig.events
            .iter()
            .any(|event| matches!(event, Event::SlowPeer { peer, own, .. } if *peer == slow && *own > 0))
    );
    assert!(rig.router.stats().dropped > 0);
    assert!(rig.messages(1).len() == 2000, "the other peer gets everything");
    rig.run(10_000);
    rig.router.subscribe("u").unwrap();
    rig.run(5);
    rig.bench.with(1, &rig.puppets[0], |cx| cx.resume(stream));
    rig.run(20);
    let heard = rig.heard(0);
    assert!(
        heard
            .iter()
            .any(|rpc| rpc.subscriptions == subscribe("u", true).subscriptions)
    );
    let _ = with_control(Control::default());
}

#[test]
fn vul_020_the_message_cache_is_bounded_in_bytes() {
    let limits = Limits {
        max_cache_bytes: 4 << 20,
        ..Limits::default()
    };
    let mut rig = Rig::subscribed(0, Config { limits, ..quiet() });
    for _ in 0..1000 {
        rig.router.publish("t", vec![0; 100_000], false).unwrap();
        rig.run(1);
        assert!(rig.router.census().cached_bytes <= 4 << 20);
    }
    assert!(rig.router.census().cached > 10);
}
