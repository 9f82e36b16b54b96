//! Partial messages: who gets what, what is kept of it, and for how long.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_gossipsub::{
    Config, Event, Gossipsub, Limits, Thresholds, Topic, TopicConfig,
    wire::{Partial, Rpc},
};
use libp2p_proto_stream_protocol::bench::Bench;
use std::collections::BTreeMap;
use support::{Rig, blamed, identity, publish, quiet, rate, scored, subscribe, t};

/// The first frame of a peer that speaks partial messages.
const SPEAKS: &str = "1a0432025001";

fn with_parts(config: Config, topics: &[&str]) -> Config {
    let topic = TopicConfig {
        requests_partial: true,
        supports_partial: true,
        ..TopicConfig::default()
    };
    let topics = topics.iter().map(|name| (Topic::from(*name), topic.clone()));
    Config {
        partial_messages: true,
        topics: topics.collect(),
        ..config
    }
}

fn flags(topic: &str, requests: bool, supports: bool) -> Rpc {
    let mut rpc = subscribe(topic, true);
    rpc.subscriptions[0].requests_partial = Some(requests);
    rpc.subscriptions[0].supports_partial = Some(supports);
    rpc
}

fn partial(topic: &str, group: &str, parts: Option<&str>, metadata: Option<&str>) -> Rpc {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Rpc {
        partial: Some(Partial {
            topic: Some(Topic::from(topic)),
            group: Some(bytes(group)),
            parts: parts.map(bytes),
            metadata: metadata.map(bytes),
        }),
        ..Rpc::default()
    }
}

/// A router that takes part in `t`, and puppets that speak partial messages, request them and support them.
fn speaking(count: usize, config: Config) -> Rig {
    let mut rig = Rig::new(count, config);
    rig.router.subscribe("t").unwrap();
    rig.run(2);
    for puppet in 0..count {
        rig.say_hex(puppet, SPEAKS);
        rig.say(puppet, &flags("t", true, true));
    }
    rig.hush();
    rig
}

fn send(rig: &mut Rig, peer: Option<usize>, group: &str, parts: Option<&str>, metadata: Option<&str>) {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let peer = peer.map(|puppet| rig.peer(puppet));
    let sent = rig
        .router
        .send_partial(peer, "t", bytes(group), parts.map(bytes), metadata.map(bytes));
    sent.unwrap();
    rig.run(3);
}

fn partials(rig: &mut Rig, puppet: usize) -> Vec<Partial> {
    let heard = rig.heard(puppet);
    heard.into_iter().filter_map(|rpc| rpc.partial).collect()
}

fn wholes(rig: &mut Rig, puppet: usize) -> usize {
    rig.messages(puppet).len()
}

/// go: `TestNoIDONTWANTWithPartialMessage`.
// covers: GSP-344
#[test]
fn a_peer_of_which_we_want_parts_is_not_told_that_we_want_no_whole_message() {
    let unwanted = |extension: bool, supports: bool| {
        let mut rig = Rig::new(2, with_parts(quiet(), &["t"]));
        rig.router.subscribe("t").unwrap();
        rig.run(2);
        if extension {
            rig.say_hex(1, SPEAKS);
        }
        rig.say(0, &subscribe("t", true));
        rig.say(1, &flags("t", false, supports));
        rig.heartbeat();
        assert_eq!(rig.mesh("t"), [0, 1]);
        rig.hush();
        let message = rig.message(0, 1, "t", &[7; 2000]);
        rig.say(0, &publish(message));
        rig.control(1).idontwant.len()
    };
    assert_eq!(unwanted(true, true), 0);
    assert_eq!([unwanted(true, false), unwanted(false, true)], [1, 1]);
}

// covers: GSP-356
#[test]
fn what_a_peer_speaks_ends_with_its_stream() {
    let mut rig = speaking(1, with_parts(quiet(), &["t"]));
    let gets_parts = |rig: &mut Rig, group: &str| {
        rig.hush();
        send(rig, None, group, Some("parts"), None);
        !partials(rig, 0).is_empty()
    };
    assert!(gets_parts(&mut rig, "a"));
    let stream = rig.streams[0].unwrap();
    rig.bench.with(1, &rig.puppets[0], |cx| cx.reset(stream));
    rig.run(5);
    assert!(!gets_parts(&mut rig, "b"), "the stream is gone");
    rig.open(0);
    rig.say(0, &flags("t", true, true));
    assert!(!gets_parts(&mut rig, "c"), "the new one says nothing of it");
    // A third one, which does.
    rig.open(0);
    rig.say_hex(0, SPEAKS);
    assert!(gets_parts(&mut rig, "d"));
}

// covers: GSP-371
#[test]
fn flags_of_a_peer_that_leaves_or_does_not_speak_the_extension_mean_nothing() {
    let mut rig = Rig::new(2, with_parts(quiet(), &["t"]));
    rig.router.subscribe("t").unwrap();
    rig.run(2);
    rig.say_hex(0, SPEAKS);
    // Leaves `t`, with both flags.
    rig.say_hex(0, "0a0708001201741801");
    rig.say_hex(0, "0a09080012017418012001");
    assert_eq!(rig.router.stats().malformed, 0);
    assert_eq!(
        (rig.router.census().topics, rig.router.peers_of(&t()).count()),
        (0, 0)
    );
    send(&mut rig, Some(0), "g", Some("parts"), Some("meta"));
    assert!(partials(&mut rig, 0).is_empty());
    // Joins with both, and never said that it speaks the extension.
    rig.say(1, &flags("t", true, true));
    rig.heartbeat();
    rig.hush();
    send(&mut rig, None, "h", Some("parts"), Some("meta"));
    rig.router.publish("t", "whole", false).unwrap();
    rig.run(3);
    let heard = rig.heard(1);
    assert!(heard.iter().all(|rpc| rpc.partial.is_none()));
    assert_eq!(heard.iter().map(|rpc| rpc.publish.len()).sum::<usize>(), 1);
}

/// rust: `test_subscription_options_tracking`.
// covers: GSP-372
#[test]
fn flags_are_of_one_topic_and_replaced_by_a_later_subscription() {
    let mut rig = speaking(1, with_parts(quiet(), &["t", "u"]));
    rig.router.subscribe("u").unwrap();
    rig.say(0, &flags("u", true, true));
    rig.heartbeat();
    let gets_whole = |rig: &mut Rig, topic: &str, body: &str| {
        rig.hush();
        rig.router
            .publish(topic, Bytes::copy_from_slice(body.as_bytes()), false)
            .unwrap();
        rig.run(3);
        wholes(rig, 0) == 1
    };
    assert!(!gets_whole(&mut rig, "t", "a") && !gets_whole(&mut rig, "u", "b"));
    rig.say(0, &flags("t", false, true));
    assert!(gets_whole(&mut rig, "t", "c"), "it requests parts no more");
    assert!(!gets_whole(&mut rig, "u", "d"), "of the other topic it does");
    send(&mut rig, None, "g", Some("parts"), Some("meta"));
    let told = partials(&mut rig, 0);
    assert_eq!(
        (told[0].parts.is_some(), told[0].metadata.is_some()),
        (false, true)
    );
}

/// rust: `test_full_publish_to_partial_peer_when_local_does_not_support_partial`.
// covers: GSP-375
#[test]
fn whoever_does_not_support_parts_sends_whole_messages_to_everybody() {
    let without = Config {
        partial_messages: true,
        ..quiet()
    };
    for (config, wanted) in [(quiet(), 1), (without, 1), (with_parts(quiet(), &["t"]), 0)] {
        let mut rig = speaking(1, config);
        rig.heartbeat();
        rig.hush();
        rig.router.publish("t", "whole", false).unwrap();
        rig.run(3);
        assert_eq!(wholes(&mut rig, 0), wanted);
    }
}

// covers: GSP-377
#[test]
fn parts_are_told_whoever_sends_them_unless_it_is_graylisted_or_begins_too_much() {
    let config = Config {
        thresholds: Thresholds::default(),
        ..with_parts(scored(), &["t"])
    };
    let graylist = config.thresholds.graylist;
    let mut rig = speaking(14, config);
    rig.heartbeat();
    let member = rig.mesh("t")[0];
    let outside = (0..14).find(|puppet| !rig.mesh("t").contains(puppet)).unwrap();
    rig.events.clear();
    let told = |rig: &Rig| {
        let is_partial = |event: &&Event| matches!(event, Event::Partial { .. });
        rig.events.iter().filter(is_partial).count()
    };
    rig.say(member, &partial("t", "a", Some("x"), None));
    rig.say(outside, &partial("t", "a", None, Some("m")));
    rig.say(outside, &partial("t", "b", Some("y"), Some("m")));
    assert_eq!(told(&rig), 3);
    for group in 0..20 {
        rig.say(member, &partial("t", &format!("{group}"), Some("x"), None));
    }
    assert_eq!(told(&rig), 3 + 7, "eight groups that it begins");
    rate(&mut rig, outside, graylist - 1.0);
    rig.say(outside, &partial("t", "b", Some("y"), Some("m")));
    assert_eq!(told(&rig), 10);
}

// covers: GSP-378
#[test]
fn what_a_peer_has_replaces_what_it_had_and_silence_replaces_nothing() {
    let mut rig = speaking(1, with_parts(quiet(), &["t"]));
    let peer = rig.peer(0);
    let said = |rig: &Rig| rig.router.metadata_of(&t(), &"g".into(), &peer).cloned();
    assert_eq!(said(&rig), None);
    for (metadata, wanted) in [("\x0f", "\x0f"), ("", ""), ("\x01", "\x01")] {
        rig.say(0, &partial("t", "g", None, Some(metadata)));
        assert_eq!(said(&rig).unwrap(), wanted);
        rig.say(0, &partial("t", "g", Some("x"), None));
        assert_eq!(said(&rig).unwrap(), wanted, "nothing said is not nothing had");
    }
    let last = rig.events.iter().rev().find_map(|event| match event {
        Event::Partial { metadata, .. } => Some(metadata.clone()),
        _ => None,
    });
    assert_eq!(last, Some(None));
    rig.run(7000);
    assert_eq!((said(&rig), rig.router.census().metadata), (None, 0));
}

// covers: GSP-383
#[test]
fn what_peers_say_of_groups_is_bounded_and_so_is_what_they_are_told() {
    let limits = Limits {
        max_group: 2,
        max_metadata: 10,
        max_metadata_per_peer: 3,
        max_groups_told: 2,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..with_parts(quiet(), &["t"])
    };
    let mut rig = speaking(8, config);
    rig.heartbeat();
    rig.events.clear();
    rig.say(0, &partial("t", "a", None, Some("0123456789")));
    rig.say(0, &partial("t", "b", None, Some("0123456789a")));
    rig.say(0, &partial("t", "bc", None, None));
    rig.say(0, &partial("t", "bcd", None, None));
    let told: Vec<_> = rig.events.drain(..).collect();
    let heard =
        |event: &Event| matches!(event, Event::Partial { group, .. } if group == "a" || group == "bc");
    assert!(told.len() == 2 && told.iter().all(heard));
    assert_eq!(rig.router.stats().refused, 2);
    for group in ["c", "d", "e", "f"] {
        rig.say(0, &partial("t", group, None, Some("m")));
    }
    assert_eq!((rig.events.len(), rig.router.census().metadata), (4, 3));
    // Three groups of ours, two a heartbeat for each peer.
    let outside: Vec<usize> = (0..8).filter(|puppet| !rig.mesh("t").contains(puppet)).collect();
    for group in ["x", "y", "z"] {
        send(&mut rig, None, group, None, Some("m"));
    }
    rig.hush();
    for wanted in [2, 1, 0] {
        rig.heartbeat();
        for puppet in &outside {
            assert_eq!(partials(&mut rig, *puppet).len(), wanted);
        }
    }
}

/// rust: `test_peer_disconnect_cleanup`, `test_peer_unsubscribed_cleanup`, `test_peer_unsubscribed_preserves_other_topics`.
// covers: GSP-386
#[test]
fn what_is_kept_of_a_peer_ends_with_its_subscription_and_its_connection() {
    let mut rig = speaking(2, with_parts(quiet(), &["t", "u"]));
    rig.router.subscribe("u").unwrap();
    for puppet in 0..2 {
        rig.say(puppet, &flags("u", true, true));
        for topic in ["t", "u"] {
            rig.say(puppet, &partial(topic, &format!("{puppet}"), None, Some("m")));
        }
    }
    let kept = |rig: &Rig| (rig.router.census().groups, rig.router.census().metadata);
    assert_eq!(kept(&rig), (4, 4));
    rig.say(0, &subscribe("t", false));
    assert_eq!(kept(&rig), (3, 3));
    let peer = rig.peer(0);
    let said = |topic: &str| {
        rig.router
            .metadata_of(&topic.into(), &"0".into(), &peer)
            .is_some()
    };
    assert_eq!([said("t"), said("u")], [false, true]);
    rig.disconnect(0);
    assert_eq!(kept(&rig), (2, 2));
    rig.disconnect(1);
    assert_eq!(kept(&rig), (0, 0));
}

// covers: GSP-388
#[test]
fn parts_wait_behind_the_messages_and_what_is_had_of_them_overtakes_these() {
    let mut rig = speaking(1, with_parts(quiet(), &["t"]));
    rig.say(0, &flags("t", false, true));
    rig.router.subscribe("u").unwrap();
    rig.say(0, &flags("u", true, true));
    rig.say(0, &subscribe("plain", true));
    rig.router.subscribe("plain").unwrap();
    rig.heartbeat();
    let opened = rig.puppets[0].opened();
    let stream = *opened.iter().find(|stream| stream.is_inbound()).unwrap();
    rig.bench.with(1, &rig.puppets[0], |cx| cx.pause(stream));
    while rig.router.census().queued < 2 {
        rig.router.publish("plain", vec![0; 100_000], false).unwrap();
        rig.run(1);
    }
    rig.say(0, &flags("t", true, true));
    send(&mut rig, None, "parts", Some("x"), None);
    rig.say(0, &flags("t", false, true));
    send(&mut rig, None, "had", None, Some("m"));
    assert_eq!(rig.router.census().queued, 3, "the parts are among what waits");
    rig.hush();
    rig.bench.with(1, &rig.puppets[0], |cx| cx.resume(stream));
    rig.run(50);
    let heard = rig.heard(0);
    let place = |of: &dyn Fn(&Rpc) -> bool| heard.iter().rposition(of).unwrap();
    let of_group = |name: &'static str| {
        move |rpc: &Rpc| {
            rpc.partial
                .as_ref()
                .is_some_and(|partial| partial.group.as_deref() == Some(name.as_bytes()))
        }
    };
    let last = place(&|rpc| !rpc.publish.is_empty());
    assert!(place(&of_group("had")) < last && last < place(&of_group("parts")));
}

// covers: GSP-389
#[test]
fn parts_go_to_the_mesh_or_to_the_fanout_of_a_topic_that_we_are_not_in() {
    let mut rig = Rig::new(4, with_parts(quiet(), &["t"]));
    for puppet in [0, 1] {
        rig.say_hex(puppet, SPEAKS);
        rig.say(puppet, &flags("t", true, true));
    }
    // Without the extension, and with it but without a wish.
    rig.say(2, &flags("t", true, true));
    rig.say_hex(3, SPEAKS);
    rig.say(3, &subscribe("t", true));
    rig.hush();
    let counts = |rig: &mut Rig, group: &str| {
        send(rig, None, group, Some("parts"), Some("m"));
        [0, 1, 2, 3].map(|puppet| partials(rig, puppet).len())
    };
    assert_eq!(counts(&mut rig, "a"), [1, 1, 0, 0]);
    assert_eq!(rig.router.fanout_of(&t()).count(), 4);
    rig.router.subscribe("t").unwrap();
    rig.heartbeat();
    assert_eq!(rig.mesh("t"), [0, 1, 2, 3]);
    assert_eq!(counts(&mut rig, "b"), [1, 1, 0, 0]);
}

// covers: GSP-584
#[test]
fn ten_thousand_partial_rpcs_in_a_second_fill_no_more_than_the_queue_of_events() {
    let limits = Limits {
        max_events: 100,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..with_parts(blamed(), &["t"])
    };
    let mut rig = speaking(1, config);
    let rpcs: Vec<Vec<u8>> = (0..10_000)
        .map(|number| {
            partial(
                "t",
                &format!("{}", number % 8),
                Some("x"),
                Some(&format!("{number}")),
            )
            .encode()
        })
        .collect();
    let stream = rig.streams[0].unwrap();
    let mut kept = 0;
    let work = allocation_counter::measure(|| {
        for chunk in rpcs.chunks(10) {
            for rpc in chunk {
                let frame = Bytes::from(rpc.clone());
                let written = rig.bench.with(1, &rig.puppets[0], |cx| cx.write(stream, frame));
                written.unwrap();
            }
            // The application does not look.
            let mut all: Vec<&mut dyn libp2p_proto_stream_protocol::Protocol> = vec![&mut rig.router];
            all.extend(rig.puppets.iter_mut().map(|puppet| puppet as _));
            rig.bench.run(&mut all, Duration::from_millis(1));
            kept = kept.max(rig.router.census().metadata);
        }
    });
    assert_eq!((kept, rig.router.census().groups), (8, 8));
    assert!(work.bytes_max < 2 << 20, "{work:?}");
    // One event for each, at most: all that came but those that fitted are lost.
    assert_eq!(rig.router.stats().events_dropped, 10_000 - 100);
    let waiting = core::iter::from_fn(|| rig.router.poll_event()).count();
    assert_eq!(waiting, 100);
}

/// rust: `test_overlap_exchange`. The application decides what is missing: here a bitmap, and a byte for each part.
#[test]
fn two_halves_that_overlap_are_exchanged_part_by_part() {
    let config = with_parts(quiet(), &["t"]);
    let identities = [identity(1), identity(2)];
    let peers = [identities[0].peer_id(), identities[1].peer_id()];
    let mut bench = Bench::with_peers(1, &peers, support::LATENCY);
    let mut routers = identities.map(|identity| Gossipsub::new(identity, config.clone()).unwrap());
    for router in &mut routers {
        router.subscribe("t").unwrap();
    }
    bench.connect(0, 1);
    let run = |bench: &mut Bench, routers: &mut [Gossipsub; 2]| {
        let [a, b] = routers;
        bench.run(&mut [a, b], Duration::from_millis(50));
    };
    run(&mut bench, &mut routers);
    let mut have: [u8; 2] = [0b1010_1010, 0b0000_1111];
    let mut sent: BTreeMap<usize, u8> = BTreeMap::new();
    for node in 0..2 {
        let metadata = Bytes::from(vec![have[node]]);
        routers[node]
            .send_partial(None, "t", "g".into(), None, Some(metadata))
            .unwrap();
    }
    for _ in 0..6 {
        run(&mut bench, &mut routers);
        for node in 0..2 {
            while let Some(event) = routers[node].poll_event() {
                let Event::Partial {
                    peer,
                    parts,
                    metadata,
                    ..
                } = event
                else {
                    continue;
                };
                have[node] |= parts.map_or(0, |parts| parts[0]);
                let missing = metadata.map_or(0, |metadata| have[node] & !metadata[0]);
                if missing != 0 && !sent.contains_key(&node) {
                    sent.insert(node, missing);
                    let parts = Some(Bytes::from(vec![missing]));
                    routers[node]
                        .send_partial(Some(peer), "t", "g".into(), parts, None)
                        .unwrap();
                }
            }
        }
    }
    assert_eq!(sent, BTreeMap::from([(0, 0b1010_0000), (1, 0b0000_0101)]));
    assert_eq!(have, [0b1010_1111; 2]);
}
