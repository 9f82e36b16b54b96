//! Streams to peers, and what they subscribe to.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::PeerId;
use libp2p_proto_gossipsub::{
    Config, Level, SubscriptionFilter, Topic,
    wire::{Prune, Rpc},
};
use support::{Rig, graft, prune, quiet, scored, subscribe, t};

// covers: GSP-001, GSP-004, GSP-016
#[test]
fn a_router_opens_one_stream_to_a_peer_and_says_nothing_when_there_is_nothing_to_say() {
    let mut rig = Rig::new(1, quiet());
    rig.connect(0);
    rig.run(50);
    let opened = rig.puppets[0].opened();
    assert_eq!(opened.iter().filter(|stream| stream.is_inbound()).count(), 1);
    assert!(rig.heard(0).is_empty());
}

// covers: GSP-002, GSP-003, GSP-236
#[test]
fn what_a_peer_is_sent_goes_by_what_our_own_stream_agreed_on() {
    for (level, backoff) in [(Level::V10, None), (Level::V11, Some(60))] {
        let mut rig = Rig::subscribed(13, quiet().up_to(level));
        rig.hush();
        for puppet in 0..13 {
            rig.say(puppet, &graft(&["t"]));
        }
        let pruned: Vec<Prune> = (0..13).flat_map(|puppet| rig.control(puppet).prune).collect();
        assert_eq!(pruned.len(), 1, "the thirteenth");
        assert_eq!(pruned[0].backoff, backoff);
        assert_eq!(rig.router.level_of(&rig.peer(0)), Some(level));
    }
}

// covers: GSP-005
#[test]
fn of_three_streams_of_a_peer_the_newest_counts_and_the_others_are_reset() {
    let mut rig = Rig::new(1, quiet());
    rig.open(0);
    rig.open(0);
    rig.run(10);
    // Its two other streams are gone, ours and its newest stay.
    assert_eq!(rig.bench.open_streams(1), 2);
    rig.say(0, &subscribe("t", true));
    assert_eq!(rig.router.peers_of(&t()).count(), 1);
}

// covers: GSP-006
#[test]
fn a_stream_that_is_lost_again_and_again_is_opened_four_times_more_then_no_more() {
    let mut rig = Rig::subscribed(1, quiet());
    let mut opened = 1;
    for _ in 0..8 {
        let inbound: Vec<_> = rig.puppets[0]
            .opened()
            .into_iter()
            .filter(|stream| stream.is_inbound())
            .collect();
        let newest = *inbound.last().unwrap();
        rig.bench.with(1, &rig.puppets[0], |cx| cx.reset(newest));
        rig.run(900);
        opened = rig.puppets[0]
            .opened()
            .iter()
            .filter(|stream| stream.is_inbound())
            .count();
    }
    assert_eq!(opened, 5);
    assert!(rig.mesh("t").is_empty());
}

#[test]
fn vul_018_a_reset_stream_that_had_stood_for_a_while_is_always_opened_again() {
    let mut rig = Rig::subscribed(1, quiet());
    for round in 2..22 {
        let inbound: Vec<_> = rig.puppets[0]
            .opened()
            .into_iter()
            .filter(|stream| stream.is_inbound())
            .collect();
        rig.bench
            .with(1, &rig.puppets[0], |cx| cx.reset(*inbound.last().unwrap()));
        rig.run(1500);
        let now = rig.puppets[0]
            .opened()
            .iter()
            .filter(|stream| stream.is_inbound())
            .count();
        assert_eq!(now, round);
    }
    assert_eq!(rig.mesh("t"), [0]);
}

// covers: GSP-008
#[test]
fn empty_frames_are_skipped() {
    let mut rig = Rig::new(1, quiet());
    rig.write(0, vec![]);
    rig.write(0, vec![]);
    rig.say(0, &subscribe("t", true));
    assert_eq!(rig.events.len(), 1);
    assert_eq!(rig.router.stats().malformed, 0);
}

// covers: GSP-013
#[test]
fn a_frame_that_is_no_protobuf_resets_the_stream_and_counts_once() {
    let mut rig = Rig::new(1, quiet());
    let before = rig.bench.open_streams(1);
    rig.say_hex(0, "0e");
    rig.run(10);
    assert_eq!(rig.bench.open_streams(1), before - 1);
    let stats = rig.router.stats();
    assert_eq!((stats.malformed, stats.penalties), (1, 1));
}

#[test]
fn a_limited_connection_carries_pubsub_only_if_so_configured() {
    for on_limited in [false, true] {
        let mut rig = Rig::apart(
            1,
            Config {
                on_limited,
                ..quiet()
            },
        );
        rig.conns[0] = Some(rig.bench.connect_with(0, 1, true));
        rig.run(50);
        assert_eq!(
            rig.router.level_of(&rig.peer(0)).is_some(),
            on_limited && rig.bench.open_streams(0) > 0
        );
    }
}

// covers: GSP-060, GSP-061, GSP-063
#[test]
fn subscriptions_are_told_to_all_in_one_hello_or_as_they_change_and_only_the_last_is_withdrawn() {
    let mut rig = Rig::apart(20, quiet());
    for topic in ["a", "b", "c"] {
        rig.router.subscribe(topic).unwrap();
    }
    for puppet in 0..20 {
        rig.connect(puppet);
    }
    rig.run(20);
    let hello = rig.heard(7);
    assert_eq!((hello.len(), hello[0].subscriptions.len()), (1, 3));
    rig.hush();
    rig.router.subscribe("d").unwrap();
    rig.router.subscribe("d").unwrap();
    rig.run(5);
    assert!((0..20).all(|puppet| rig.heard(puppet) == [subscribe("d", true)]));
    assert_eq!(rig.router.unsubscribe(&Topic::from("d")), Ok(true));
    rig.run(5);
    assert!((0..20).all(|puppet| rig.heard(puppet).is_empty()));
    rig.router.unsubscribe(&Topic::from("d")).unwrap();
    rig.run(5);
    assert!((0..20).all(|puppet| rig.heard(puppet) == [subscribe("d", false)]));
    assert_eq!(rig.router.unsubscribe(&Topic::from("d")), Ok(false));
}

// covers: GSP-064, GSP-065, GSP-066, GSP-037
#[test]
fn entries_of_one_rpc_are_applied_in_order_and_told_once() {
    let mut rig = Rig::new(1, quiet());
    let mut rpc = subscribe("a", true);
    rpc.subscriptions.extend(subscribe("b", true).subscriptions);
    rpc.subscriptions.extend(subscribe("b", true).subscriptions);
    rpc.subscriptions.extend(subscribe("a", false).subscriptions);
    rig.say(0, &rpc);
    assert_eq!(rig.router.peers_of(&Topic::from("a")).count(), 0);
    assert_eq!(rig.router.peers_of(&Topic::from("b")).count(), 1);
    assert_eq!(rig.events.len(), 3);
    rig.say_hex(0, "0a080801120474657374");
    assert_eq!(rig.router.peers_of(&Topic::from("test")).count(), 1);
    rig.say_hex(0, "0a06120474657374");
    assert_eq!(rig.router.peers_of(&Topic::from("test")).count(), 0);
}

// covers: GSP-067
#[test]
fn a_member_that_leaves_the_topic_leaves_the_mesh_without_a_word_and_its_backoff_stays() {
    let mut rig = Rig::subscribed(1, quiet());
    assert_eq!(rig.mesh("t"), [0]);
    rig.say(0, &prune("t", Some(30)));
    rig.hush();
    rig.say(0, &subscribe("t", false));
    assert!(rig.mesh("t").is_empty());
    assert!(rig.heard(0).is_empty());
    assert!(rig.router.backoff_of(&t(), rig.peer(0)).is_some());
}

// covers: GSP-070
#[test]
fn topics_outside_the_filter_are_refused_here_and_ignored_there() {
    let filter = SubscriptionFilter::Only([t()].into());
    let mut rig = Rig::new(1, Config { filter, ..quiet() });
    assert!(rig.router.subscribe("u").is_err());
    rig.router.subscribe("t").unwrap();
    rig.say(0, &subscribe("u", true));
    rig.say(0, &subscribe("t", true));
    assert_eq!((rig.router.census().topics, rig.events.len()), (1, 1));
}

// covers: GSP-068, GSP-069, GSP-565
#[test]
fn vul_005_topics_of_a_peer_are_bounded_in_number_and_bytes() {
    let mut rig = Rig::new(1, quiet());
    let mut flood = Rpc::default();
    for place in 0..1025 {
        flood
            .subscriptions
            .extend(subscribe(&format!("{place:032}"), true).subscriptions);
    }
    rig.say(0, &flood);
    assert_eq!((rig.router.census().topics, rig.router.stats().malformed), (0, 1));
    rig.open(0);
    for place in 0..100_000 {
        rig.write(0, subscribe(&format!("{place:032}"), true).encode());
        if place % 1000 == 0 {
            rig.run(2);
            rig.events.clear();
        }
    }
    rig.run(5);
    assert_eq!(rig.router.census().subscriptions, 1024);
    rig.disconnect(0);
    let mut rig = Rig::new(1, quiet());
    for place in 0..20 {
        rig.write(0, subscribe(&format!("{place:10000}"), true).encode());
    }
    rig.run(5);
    assert_eq!(rig.router.census().subscriptions, 6);
}

#[test]
fn vul_006_no_empty_topic_stays_behind() {
    let mut rig = Rig::new(1, quiet());
    for place in 0..1000 {
        let mut rpc = subscribe(&format!("{place}"), true);
        rpc.subscriptions
            .extend(subscribe(&format!("{place}"), false).subscriptions);
        rig.write(0, rpc.encode());
    }
    rig.run(5);
    assert_eq!(rig.router.census().topics, 0);
    // Whoever comes again and again under another name, each time with other topics, of which it keeps half.
    drop(rig);
    let (mut round, mut made) = (0_u64, None);
    let live = allocation_counter::measure(|| {
        let mut rig = Rig::apart(1, quiet());
        come_and_go(&mut rig, round);
        made = Some(rig);
    });
    let mut rig = made.unwrap();
    let grown = allocation_counter::measure(|| {
        for _ in 1..rounds("COMINGS", 200) {
            round += 1;
            come_and_go(&mut rig, round);
        }
    });
    assert_eq!(rig.router.census().topics, 0);
    let one_percent = live.bytes_current / 100;
    assert!(grown.bytes_current.abs() <= one_percent, "{grown:?} {live:?}");
}

/// How often something is done: so often as a variable of the environment says, or less, so that it is quick.
fn rounds(variable: &str, few: u64) -> u64 {
    let said = std::env::var(variable).ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(few)
}

fn somebody(number: u64) -> PeerId {
    PeerId::from_encoded_key(&[&[0x5a; 28][..], &number.to_be_bytes()].concat())
}

/// A peer that was never here subscribes to a hundred topics, leaves fifty, and is gone.
fn come_and_go(rig: &mut Rig, round: u64) {
    rig.bench.rename(1, somebody(round));
    rig.connect(0);
    rig.run(3);
    rig.open(0);
    let (mut some, mut half) = (Rpc::default(), Rpc::default());
    for place in 0..100 {
        let name = format!("{round}/{place}");
        some.subscriptions.extend(subscribe(&name, true).subscriptions);
        if place % 2 == 0 {
            half.subscriptions.extend(subscribe(&name, false).subscriptions);
        }
    }
    rig.say(0, &some);
    rig.say(0, &half);
    assert_eq!(rig.router.census().topics, 50);
    rig.disconnect(0);
    rig.puppets[0].inputs = Vec::new();
    rig.events = Vec::new();
}

/// A peer opens its stream, sends one RPC, refuses ours, and is gone, before or after that.
fn refuse_and_go(rig: &mut Rig, round: u64) {
    rig.bench.rename(1, somebody(round));
    rig.connect(0);
    rig.open(0);
    rig.say(0, &subscribe("t", true));
    if round % 2 == 0 {
        for stream in rig.puppets[0].opened() {
            rig.bench.with(1, &rig.puppets[0], |cx| cx.reset(stream));
        }
        rig.run(round % 50);
        rig.disconnect(0);
    } else {
        let ours = rig.puppets[0].opened();
        if let Some(conn) = rig.conns[0].take() {
            rig.bench.disconnect(conn);
        }
        for stream in ours {
            rig.bench.with(1, &rig.puppets[0], |cx| cx.reset(stream));
        }
        rig.run(5);
    }
    rig.puppets[0].inputs = Vec::new();
    rig.events = Vec::new();
}

#[test]
fn vul_017_what_came_on_a_stream_of_the_peer_goes_with_the_peer_although_ours_never_opened() {
    let count = rounds("REFUSALS", 500);
    let mut rig = Rig::apart(1, quiet());
    refuse_and_go(&mut rig, 0);
    let before = rig.router.census();
    let grown = allocation_counter::measure(|| {
        for round in 1..count {
            refuse_and_go(&mut rig, round);
            assert_eq!(rig.router.census(), before);
        }
    });
    assert_eq!((before.peers, before.topics, before.subscriptions), (0, 0, 0));
    assert!(grown.bytes_current <= 1024, "{grown:?}");
    // Scores are retained for an hour, of so many peers, and then nothing is left either.
    let mut rig = Rig::apart(1, scored());
    for round in 0..count {
        refuse_and_go(&mut rig, round);
        assert!(rig.router.census().scored <= 10_000);
    }
    assert!(rig.router.census().scored > 0);
    rig.run_for(core::time::Duration::from_secs(3602));
    assert_eq!((rig.router.census().scored, rig.router.census().peers), (0, 0));
}

// covers: GSP-253
#[test]
fn a_peer_that_is_gone_leaves_nothing_but_its_backoff() {
    let mut rig = Rig::subscribed(2, scored());
    rig.say(0, &prune("t", Some(60)));
    rig.say(0, &support::ihave("t", vec![support::id(1)]));
    rig.say(0, &support::idontwant(vec![support::id(2)]));
    rig.disconnect(0);
    rig.disconnect(1);
    let census = rig.router.census();
    assert_eq!(
        (census.peers, census.topics, census.promises, census.unwanted),
        (0, 0, 0, 0)
    );
    assert_eq!((census.queued, census.backoffs), (0, 1));
    assert_eq!(rig.router.mesh_of(&t()).count(), 0);
}

// covers: GSP-586
#[test]
fn empty_rpcs_leave_nothing() {
    let mut rig = Rig::new(1, quiet());
    let before = rig.router.census();
    for _ in 0..10_000 {
        rig.write(0, vec![]);
        rig.write(0, vec![0x1a, 0]);
    }
    rig.run(5);
    assert_eq!(rig.router.census(), before);
}
