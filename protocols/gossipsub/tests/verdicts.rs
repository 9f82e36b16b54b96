//! Messages that the application judges.
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
use libp2p_proto_gossipsub::{Config, Event, Limits, Message, Topic, Verdict};
use support::{Rig, blamed, go_id, graft, iwant, judged, publish, subscribe, verdict};

// covers: GSP-130, GSP-134, GSP-135, GSP-164, GSP-181
#[test]
fn a_message_that_waits_for_its_verdict_is_not_passed_on_served_or_gossiped_about() {
    let mut rig = Rig::subscribed(8, judged());
    for puppet in 0..4 {
        rig.say(puppet, &graft(&["t"]));
    }
    rig.hush();
    let message = rig.message(7, 1, "t", b"hello");
    rig.say(0, &publish(message.clone()));
    rig.say(1, &publish(message.clone()));
    assert!(matches!(&rig.events[..], [Event::Message { waits: true, .. }]));
    rig.say(2, &iwant(vec![go_id(&message)]));
    rig.heartbeat();
    for puppet in 0..8 {
        let heard = rig.heard(puppet);
        assert!(heard.iter().all(|rpc| rpc.publish.is_empty()));
        assert!(
            heard
                .iter()
                .filter_map(|rpc| rpc.control.as_ref())
                .all(|control| control.ihave.is_empty())
        );
    }
    verdict(&mut rig, &message, Verdict::Accept);
    assert_eq!(
        (
            rig.messages(0).len(),
            rig.messages(1).len(),
            rig.messages(2).len()
        ),
        (0, 0, 1)
    );
    assert_eq!((rig.delivered().len(), rig.router.census().pending), (1, 0));
}

// covers: GSP-133, GSP-139
#[test]
fn rejecting_blames_every_sender_and_ignoring_nobody() {
    let mut rig = Rig::subscribed(3, judged());
    let bad = rig.message(2, 1, "t", b"bad");
    let dull = rig.message(2, 2, "t", b"dull");
    for puppet in [0, 1] {
        rig.say(puppet, &publish(bad.clone()));
        rig.say(puppet, &publish(dull.clone()));
    }
    rig.hush();
    verdict(&mut rig, &dull, Verdict::Ignore);
    assert!(rig.router.score(&rig.peer(0)) >= 0.0);
    verdict(&mut rig, &bad, Verdict::Reject);
    assert!(rig.router.score(&rig.peer(0)) <= -0.9 && rig.router.score(&rig.peer(1)) <= -0.9);
    assert!(rig.messages(2).is_empty());
    assert_eq!(rig.router.census().cached, 0);
    verdict(&mut rig, &bad, Verdict::Accept);
    assert!(rig.messages(2).is_empty(), "it waits no longer");
}

// covers: GSP-136, GSP-492
#[test]
fn when_too_many_wait_the_next_is_dropped_without_blame_and_may_come_again() {
    let limits = Limits {
        max_pending: 32,
        ..Limits::default()
    };
    let mut rig = Rig::subscribed(2, Config { limits, ..judged() });
    let messages: Vec<Message> = (0..33).map(|number| rig.message(1, number, "t", b"x")).collect();
    for message in &messages {
        rig.write(0, publish(message.clone()).encode());
    }
    rig.run(3);
    let stats = rig.router.stats();
    assert_eq!(
        (rig.router.census().pending, stats.throttled, stats.rejected),
        (32, 1, 0)
    );
    for message in &messages {
        verdict(&mut rig, message, Verdict::Accept);
    }
    rig.say(1, &publish(messages[32].clone()));
    assert_eq!(rig.router.census().pending, 1);
    rig.say(0, &subscribe("u", true));
    assert_eq!(
        rig.router.peers_of(&Topic::from("u")).count(),
        1,
        "it is read again"
    );
}

// covers: GSP-138
#[test]
fn a_verdict_that_comes_too_late_counts_as_ignoring() {
    let config = Config {
        validation_timeout: Duration::from_millis(100),
        ..judged()
    };
    let mut rig = Rig::subscribed(2, config);
    let message = rig.message(1, 1, "t", b"x");
    rig.say(0, &publish(message.clone()));
    rig.run(101);
    assert_eq!((rig.router.census().pending, rig.router.stats().ignored), (0, 1));
    verdict(&mut rig, &message, Verdict::Reject);
    assert!(rig.router.score(&rig.peer(0)) >= 0.0);
}

// covers: GSP-141, GSP-142, GSP-035
#[test]
fn messages_of_other_topics_or_of_none_are_not_looked_at() {
    let mut rig = Rig::subscribed(1, blamed());
    rig.hush();
    let message = rig.message(0, 1, "x", b"x");
    rig.say(0, &publish(message));
    rig.say_hex(0, "1207120568656c6c6f");
    let (stats, census) = (rig.router.stats(), rig.router.census());
    assert_eq!((stats.verified, stats.rejected, census.seen), (0, 0, 0));
    assert!(rig.events.is_empty());
}
