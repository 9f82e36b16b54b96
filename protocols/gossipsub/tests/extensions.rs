//! Extensions, and partial messages.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_gossipsub::{Config, Event, Level, TopicConfig, wire::Rpc};
use support::{Rig, blamed, publish, quiet, subscribe, t};

fn parts() -> Config {
    let topic = TopicConfig {
        requests_partial: true,
        supports_partial: true,
        ..TopicConfig::default()
    };
    Config {
        partial_messages: true,
        topics: [(t(), topic)].into(),
        ..blamed()
    }
}

// covers: GSP-350, GSP-352, GSP-353, GSP-355, GSP-357, GSP-585
#[test]
fn extensions_are_told_first_and_once_and_late_ones_are_punished() {
    let config = Config {
        partial_messages: true,
        ..blamed()
    };
    let mut rig = Rig::apart(1, config);
    rig.router.subscribe("t").unwrap();
    rig.connect(0);
    rig.run(10);
    let hello = rig.heard(0);
    assert_eq!(hello.len(), 1);
    assert_eq!(
        hello[0]
            .control
            .as_ref()
            .unwrap()
            .extensions
            .unwrap()
            .partial_messages,
        Some(true)
    );
    assert_eq!(hello[0].subscriptions.len(), 1);
    rig.open(0);
    for _ in 0..3 {
        rig.say_hex(0, "1a0432025001");
    }
    assert_eq!(rig.router.stats().penalties, 20);
    let config = Config {
        partial_messages: true,
        ..blamed()
    };
    let mut rig = Rig::new(1, config);
    rig.say(0, &subscribe("t", true));
    rig.say_hex(0, "1a0432025001");
    assert_eq!(rig.router.stats().penalties, 10);
    let old = Config {
        partial_messages: true,
        ..blamed()
    }
    .up_to(Level::V12);
    let mut rig = Rig::new(1, old);
    rig.say_hex(0, "1a0432025001");
    rig.say_hex(0, "1a0432025001");
    assert_eq!(rig.router.stats().penalties, 0);
    assert!(rig.heard(0).is_empty());
}

// covers: GSP-358
#[test]
fn the_test_extension_is_answered_once() {
    let mut rig = Rig::new(
        1,
        Config {
            test_extension: true,
            ..quiet()
        },
    );
    rig.say_hex(0, "1a0732059091e21801");
    rig.say_hex(0, "9291e21800");
    let heard = rig.heard(0);
    assert_eq!(heard.iter().filter(|rpc| rpc.test_extension).count(), 1);
}

// covers: GSP-194, GSP-319, GSP-370, GSP-373, GSP-374, GSP-376, GSP-384
#[test]
fn a_peer_that_requests_parts_gets_parts_and_one_that_only_supports_them_gets_metadata() {
    let mut rig = Rig::new(3, parts());
    rig.router.subscribe("t").unwrap();
    rig.run(2);
    let flags = |requests: bool, supports: bool| {
        let mut rpc = subscribe("t", true);
        rpc.subscriptions[0].requests_partial = Some(requests);
        rpc.subscriptions[0].supports_partial = Some(supports);
        rpc
    };
    for puppet in 0..2 {
        rig.say_hex(puppet, "1a0432025001");
    }
    rig.say(0, &flags(true, false));
    rig.say(1, &flags(false, true));
    rig.say(2, &flags(true, true));
    rig.hush();
    rig.router.publish("t", "whole", false).unwrap();
    rig.router
        .send_partial(None, "t", "g".into(), Some("parts".into()), Some("meta".into()))
        .unwrap();
    rig.run(5);
    let heard: Vec<Vec<Rpc>> = (0..3).map(|puppet| rig.heard(puppet)).collect();
    let whole: Vec<usize> = heard
        .iter()
        .map(|rpcs| rpcs.iter().map(|rpc| rpc.publish.len()).sum())
        .collect();
    assert_eq!(
        whole,
        [0, 1, 1],
        "the third never said that it speaks the extension"
    );
    let partial: Vec<Option<(bool, bool)>> = heard
        .iter()
        .map(|rpcs| {
            rpcs.iter()
                .find_map(|rpc| rpc.partial.as_ref())
                .map(|partial| (partial.parts.is_some(), partial.metadata.is_some()))
        })
        .collect();
    assert_eq!(partial, [Some((true, true)), Some((false, true)), None]);
    rig.events.clear();
    rig.say_hex(0, "52090a0174120131220161");
    assert!(rig.events.iter().any(|event| matches!(
        event,
        Event::Partial {
            parts: None,
            metadata: Some(_),
            ..
        }
    )));
    rig.say_hex(0, "52030a0174");
    assert_eq!(rig.router.stats().penalties, 1, "no group");
    let message = rig.message(0, 1, "t", b"whole");
    rig.say(0, &publish(message));
    assert_eq!(rig.delivered(), ["whole"]);
}

// covers: GSP-382
#[test]
fn vul_016_one_peer_begins_eight_groups_and_others_still_can() {
    let mut rig = Rig::new(2, parts());
    rig.router.subscribe("t").unwrap();
    rig.run(2);
    let partial = |group: u32| Rpc {
        partial: Some(libp2p_proto_gossipsub::wire::Partial {
            topic: Some(t()),
            group: Some(group.to_be_bytes().to_vec().into()),
            parts: None,
            metadata: Some("m".into()),
        }),
        ..Rpc::default()
    };
    for puppet in 0..2 {
        rig.say_hex(puppet, "1a0432025001");
    }
    for group in 0..10_000 {
        rig.write(0, partial(group).encode());
    }
    rig.run(3);
    assert_eq!(rig.router.census().groups, 8);
    rig.say(1, &partial(77_777));
    assert_eq!(rig.router.census().groups, 9);
    rig.disconnect(0);
    assert_eq!(rig.router.census().groups, 1);
    rig.run(7000);
    assert_eq!(rig.router.census().groups, 0);
}

// covers: GSP-381, GSP-380
#[test]
fn what_we_have_of_a_group_is_gossiped_once_to_peers_outside_the_mesh() {
    let mut rig = Rig::new(8, parts());
    rig.router.subscribe("t").unwrap();
    rig.run(2);
    for puppet in 0..8 {
        rig.say_hex(puppet, "1a0432025001");
        let mut rpc = subscribe("t", true);
        rpc.subscriptions[0].supports_partial = Some(true);
        rig.say(puppet, &rpc);
    }
    rig.heartbeat();
    let outside: Vec<usize> = (0..8).filter(|puppet| !rig.mesh("t").contains(puppet)).collect();
    rig.router
        .send_partial(None, "t", "g".into(), None, Some("meta".into()))
        .unwrap();
    rig.run(2);
    rig.hush();
    let mut told = 0;
    for _ in 0..3 {
        rig.heartbeat();
        told += outside
            .iter()
            .map(|puppet| {
                rig.heard(*puppet)
                    .iter()
                    .filter(|rpc| rpc.partial.is_some())
                    .count()
            })
            .sum::<usize>();
    }
    assert_eq!(told, outside.len());
}
