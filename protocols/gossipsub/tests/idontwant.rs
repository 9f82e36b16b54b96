//! IDONTWANT.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_gossipsub::{Config, Level, MessageId, wire::Rpc};
use support::{Rig, blamed, go_id, id, idontwant, ihave, iwant, judged, publish, quiet};

// covers: GSP-330, GSP-331, GSP-332, GSP-342, GSP-343
#[test]
fn the_mesh_is_told_of_a_large_message_before_its_verdict_but_not_of_a_small_one() {
    for (level, size, told) in [
        (Level::V12, 1024, 1),
        (Level::V12, 1023, 0),
        (Level::V11, 2000, 0),
    ] {
        let mut rig = Rig::subscribed(3, judged().up_to(level));
        rig.hush();
        let message = rig.message(2, 1, "t", &vec![7; size]);
        rig.say(0, &publish(message.clone()));
        rig.say(0, &publish(message.clone()));
        for puppet in 0..3 {
            let ids: Vec<MessageId> = rig.control(puppet).idontwant.into_iter().flatten().collect();
            let wanted = if puppet == 0 { 0 } else { told };
            assert_eq!(ids, vec![go_id(&message); wanted], "{level:?} {size} {puppet}");
        }
    }
    let mut rig = Rig::subscribed(
        1,
        Config {
            idontwant_on_publish: true,
            ..quiet()
        },
    );
    rig.hush();
    rig.router.publish("t", vec![0; 1025], false).unwrap();
    rig.run(3);
    let heard = rig.heard(0);
    assert!(heard[0].control.is_some() && !heard[1].publish.is_empty());
}

// covers: GSP-333, GSP-334, GSP-335, GSP-338, GSP-574, GSP-575
#[test]
fn what_a_peer_does_not_want_it_is_not_sent_for_three_heartbeats() {
    let mut rig = Rig::subscribed(3, blamed());
    let early = rig.message(0, 1, "t", b"early");
    let late = rig.message(0, 2, "t", b"late");
    rig.heartbeat();
    rig.hush();
    rig.say(1, &idontwant(vec![go_id(&early), go_id(&late)]));
    rig.say(0, &publish(early.clone()));
    assert_eq!((rig.messages(1).len(), rig.messages(2).len()), (0, 1));
    rig.say(1, &iwant(vec![go_id(&early)]));
    assert!(rig.messages(1).is_empty());
    for _ in 0..4 {
        rig.heartbeat();
    }
    rig.hush();
    rig.say(0, &publish(late.clone()));
    assert_eq!(rig.messages(1), std::slice::from_ref(&late));
    rig.say(1, &publish(late));
    assert!(rig.router.score(&rig.peer(1)) >= 0.0);
}

// covers: GSP-336, GSP-345, GSP-346
#[test]
fn vul_014_unwanted_ids_are_bounded_in_number_and_length() {
    let mut rig = Rig::subscribed(1, quiet());
    rig.heartbeat();
    rig.say(0, &idontwant(vec![]));
    assert_eq!(rig.router.census().unwanted, 0);
    rig.say(0, &idontwant((0..11).map(id).collect()));
    assert_eq!(rig.router.census().unwanted, 10);
    for round in 0..300_u64 {
        let ids = (0..10).map(|number| {
            MessageId::from([&vec![1; 1024][..], &(round * 10 + number).to_be_bytes()].concat())
        });
        rig.write(0, idontwant(ids.collect()).encode());
    }
    rig.run(5);
    assert_eq!(rig.router.census().unwanted, 1000);
    for _ in 0..4 {
        rig.heartbeat();
    }
    assert_eq!(rig.router.census().unwanted, 0);
}

// covers: GSP-337
#[test]
fn at_most_ten_unwanted_ids_are_told_in_one_rpc() {
    let mut rig = Rig::subscribed(2, quiet());
    rig.hush();
    let mut rpc = Rpc::default();
    for number in 0..25 {
        rpc.publish.push(rig.message(0, number, "t", &[7; 1024]));
    }
    rig.say(0, &rpc);
    let counts: Vec<usize> = rig
        .heard(1)
        .iter()
        .filter_map(|rpc| rpc.control.as_ref())
        .map(|control| control.idontwant.iter().map(Vec::len).sum())
        .collect();
    assert_eq!(
        (counts.iter().sum::<usize>(), counts.iter().max()),
        (25, Some(&10))
    );
}

// covers: GSP-341
#[test]
fn who_was_asked_for_a_message_hears_that_it_came_from_elsewhere() {
    let mut rig = Rig::subscribed(9, quiet());
    rig.heartbeat();
    let outside = (0..8).find(|puppet| !rig.mesh("t").contains(puppet)).unwrap();
    let message = rig.message(8, 1, "t", &[7; 2000]);
    rig.say(outside, &ihave("t", vec![go_id(&message)]));
    rig.hush();
    let inside = rig.mesh("t")[0];
    rig.say(inside, &publish(message.clone()));
    assert_eq!(rig.control(outside).idontwant, [vec![go_id(&message)]]);
}
