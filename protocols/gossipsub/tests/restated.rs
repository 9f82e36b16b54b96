//! What the suites of go and rust test and no other file here: in our words, under names that conformance/requirements/suites/gossipsub.toml lists.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_gossipsub::{
    Config, Event, Level, Limits, MessageIdFn, SubscriptionFilter, Topic, TopicConfig,
    wire::{Partial, Rpc},
};
use libp2p_proto_identity::PeerRecord;
use libp2p_proto_stream_protocol::{Fact, Input, Protocol as _};
use support::{Rig, go_id, graft, id, ihave, iwant, prune, publish, quiet, scored, signed, subscribe, t};

/// go: `TestMultitopicMessageCompatibility`; rust: `test_multi_topic_message_compatibility`.
#[test]
fn of_several_topics_of_an_old_message_the_last_counts() {
    let old = support::unhex("1209120178220161220174");
    let rpc = Rpc::decode(&old.into(), &libp2p_proto_gossipsub::WireLimits::default()).unwrap();
    assert_eq!(rpc.publish[0].topic, Some(t()));
    // What we write has one, which readers of either kind take.
    assert_eq!(rpc.encode(), support::unhex("1206120178220174"));
}

/// go: `TestSubscribeMultipleTimes`, `TestProducePanic`, `TestTopicRelay`, `TestTopicRelayReuse`.
#[test]
fn each_subscription_and_relay_is_given_back_once_and_the_topic_stays_until_the_last() {
    let mut rig = Rig::subscribed(2, quiet());
    rig.router.subscribe("t").unwrap();
    rig.router.relay("t").unwrap();
    rig.run(2);
    rig.hush();
    let first = rig.message(0, 1, "t", b"one");
    rig.say(0, &publish(first));
    assert_eq!(rig.delivered(), ["one"], "once, however often we subscribe");
    assert_eq!(rig.router.unsubscribe(&t()), Ok(true));
    let second = rig.message(0, 2, "t", b"two");
    rig.say(0, &publish(second));
    assert_eq!(rig.delivered(), ["one", "two"]);
    assert_eq!(rig.router.unsubscribe(&t()), Ok(true));
    assert_eq!(rig.router.unsubscribe(&t()), Ok(false), "more than there were");
    rig.hush();
    // The relay is left: passed on, and not told.
    let third = rig.message(0, 3, "t", b"three");
    rig.say(0, &publish(third.clone()));
    assert!(rig.delivered().is_empty());
    assert_eq!(rig.messages(1), [third]);
    assert_eq!(rig.router.unrelay(&t()), Ok(true));
    assert_eq!(rig.router.unrelay(&t()), Ok(false));
    rig.run(2);
    assert_eq!(rig.router.topics().count(), 0);
    assert!(rig.mesh("t").is_empty());
}

/// go: `TestBlacklist`, `TestBlacklist2`, `TestBlacklist3`, `TestMapBlacklist`.
#[test]
fn a_peer_that_is_blocked_before_it_connects_subscribes_or_speaks_is_not_heard_until_unblocked() {
    for moment in 0..3 {
        let mut rig = Rig::apart(1, quiet());
        let peer = rig.peer(0);
        rig.router.subscribe("t").unwrap();
        let block = |rig: &mut Rig, now: bool| {
            if now {
                rig.router.block(peer).unwrap();
            }
            rig.run(5);
        };
        block(&mut rig, moment == 0);
        rig.connect(0);
        rig.run(10);
        rig.open(0);
        block(&mut rig, moment == 1);
        if rig.streams[0].is_some() {
            rig.say(0, &subscribe("t", true));
        }
        block(&mut rig, moment == 2);
        rig.events.clear();
        let message = rig.message(0, 1, "t", b"x");
        rig.say(0, &publish(message));
        assert!(rig.delivered().is_empty(), "{moment}");
        assert_eq!(rig.router.census().peers, 0, "{moment}");
        rig.disconnect(0);
        rig.router.unblock(&peer);
        rig.connect(0);
        rig.run(10);
        rig.open(0);
        let message = rig.message(0, 2, "t", b"again");
        rig.say(0, &publish(message));
        assert_eq!(rig.delivered(), ["again"]);
    }
}

/// go: `TestGossipsubDynamicDirectPeers`, `TestGossipsubDirectPeersFanout`; rust: `test_explicit_peer_reconnects`, `explicit_peers_not_added_to_mesh_from_fanout_on_subscribe`.
#[test]
fn an_explicit_peer_is_in_no_fanout_comes_back_by_a_dial_and_may_become_one_like_others() {
    let config = Config {
        explicit_ticks: 2,
        ..quiet()
    };
    let mut rig = Rig::new(2, config);
    let peer = rig.peer(0);
    rig.router.add_explicit(peer).unwrap();
    rig.run(2);
    for puppet in 0..2 {
        rig.say(puppet, &subscribe("t", true));
    }
    rig.hush();
    rig.router.publish("t", "x", false).unwrap();
    rig.run(3);
    assert_eq!((rig.messages(0).len(), rig.messages(1).len()), (1, 1));
    assert_eq!(
        rig.router.fanout_of(&t()).copied().collect::<Vec<_>>(),
        [rig.peer(1)]
    );
    rig.router.subscribe("t").unwrap();
    rig.run(3000);
    assert_eq!(rig.mesh("t"), [1]);
    // It is lost: the second heartbeat dials, not the first.
    while rig.router.stats().heartbeats % 2 != 0 {
        rig.heartbeat();
    }
    let before = rig.bench.dials(0).len();
    rig.disconnect(0);
    rig.heartbeat();
    assert_eq!(rig.bench.dials(0).len(), before);
    rig.heartbeat();
    assert_eq!(rig.bench.dials(0).len(), before + 1);
    rig.connect_out(0);
    rig.run(10);
    rig.open(0);
    rig.say(0, &subscribe("t", true));
    assert_eq!(rig.mesh("t"), [1]);
    rig.router.remove_explicit(peer).unwrap();
    rig.heartbeat();
    assert_eq!(rig.mesh("t"), [0, 1]);
}

/// go: `TestGossipsubMultipleGraftTopics`; rust: `test_handle_graft_multiple_topics`.
#[test]
fn three_grafts_of_one_rpc_are_all_honoured() {
    let mut rig = Rig::new(1, quiet());
    for topic in ["a", "b", "c"] {
        rig.router.subscribe(topic).unwrap();
    }
    rig.run(2);
    rig.hush();
    rig.say(0, &graft(&["a", "b", "c", "nobody's"]));
    assert!(["a", "b", "c"].iter().all(|topic| rig.mesh(topic) == [0]));
    assert!(rig.heard(0).is_empty());
}

/// rust: `test_graft_without_subscribe`.
#[test]
fn a_member_that_never_subscribed_leaves_nothing_when_it_goes() {
    let mut rig = Rig::new(1, scored());
    rig.router.subscribe("t").unwrap();
    rig.run(2);
    rig.say(0, &graft(&["t"]));
    assert_eq!(rig.mesh("t"), [0]);
    rig.disconnect(0);
    rig.router.unsubscribe(&t()).unwrap();
    rig.run(3000);
    let census = rig.router.census();
    assert_eq!((census.peers, census.topics, census.backoffs), (0, 0, 0));
}

/// go: `TestGossipsubIdontwantNonMesh`.
#[test]
fn only_members_of_the_mesh_hear_what_is_not_wanted() {
    let mut rig = Rig::subscribed(12, quiet());
    rig.heartbeat();
    rig.hush();
    let mesh = rig.mesh("t");
    assert!(mesh.len() < 11);
    let message = rig.message(11, 1, "t", &[7; 2000]);
    rig.say(mesh[0], &publish(message));
    for puppet in 0..12 {
        let told = rig.control(puppet).idontwant.len();
        let wanted = mesh.contains(&puppet) && puppet != mesh[0];
        assert_eq!(told, usize::from(wanted), "{puppet}");
    }
}

fn partial(requests: bool, supports: bool) -> Config {
    let topic = TopicConfig {
        requests_partial: requests,
        supports_partial: supports,
        ..TopicConfig::default()
    };
    Config {
        partial_messages: true,
        topics: [(t(), topic)].into(),
        ..quiet()
    }
}

/// Says what a puppet speaks of partial messages: the extension, and then the flags of its subscription.
fn say_partial(rig: &mut Rig, puppet: usize, extension: bool, requests: bool, supports: bool) {
    if extension {
        rig.say_hex(puppet, "1a0432025001");
    }
    let mut rpc = subscribe("t", true);
    rpc.subscriptions[0].requests_partial = requests.then_some(true);
    rpc.subscriptions[0].supports_partial = supports.then_some(true);
    rig.say(puppet, &rpc);
}

/// go: `TestPairwiseInteractionWithPartialMessages`, `TestSkipPublishingToPeersRequestingPartialMessages`, `TestNoIDONTWANTWithPartialMessage`.
#[test]
fn of_all_pairs_of_peers_each_gets_a_message_whole_or_in_parts_and_never_both() {
    let kinds = [
        (false, false, false),
        (true, false, false),
        (true, false, true),
        (true, true, true),
    ];
    for (ours_speaks, ours_requests, ours_supports) in kinds {
        for (speaks, requests, supports) in kinds {
            let mut config = partial(ours_requests, ours_supports);
            config.partial_messages = ours_speaks;
            let mut rig = Rig::new(2, config);
            rig.router.subscribe("t").unwrap();
            rig.run(2);
            say_partial(&mut rig, 0, speaks, requests, supports);
            // Somebody that knows of no parts, to forward from.
            say_partial(&mut rig, 1, false, false, false);
            rig.hush();
            rig.router.publish("t", vec![1; 2000], false).unwrap();
            if ours_speaks {
                rig.router
                    .send_partial(None, "t", "g".into(), Some("parts".into()), Some("has".into()))
                    .unwrap();
            }
            rig.run(5);
            let heard = rig.heard(0);
            let whole: usize = heard.iter().map(|rpc| rpc.publish.len()).sum();
            let parts = heard.iter().filter_map(|rpc| rpc.partial.as_ref());
            let parts = parts.filter(|partial| partial.parts.is_some()).count();
            let in_parts = ours_supports && requests;
            let pair = format!("{ours_requests} {ours_supports} with {requests} {supports}");
            assert_eq!(
                (whole, parts),
                (usize::from(!in_parts), usize::from(in_parts)),
                "{pair}"
            );
            let message = rig.message(1, 1, "t", &[7; 2000]);
            rig.say(1, &publish(message));
            let heard = rig.heard(0);
            let forwarded: usize = heard.iter().map(|rpc| rpc.publish.len()).sum();
            assert_eq!(forwarded, usize::from(!in_parts), "{pair}");
            // Whoever we ask for parts sends no whole messages, so it need not be told.
            let mut told = heard.iter().filter_map(|rpc| rpc.control.as_ref());
            let told = told.any(|control| !control.idontwant.is_empty());
            assert_eq!(told, !(ours_requests && supports), "{pair}");
        }
    }
}

/// go: `TestPeerSupportsPartialMessages`; rust: `test_ihave_not_sent_to_partial_peers`, `test_partial_requests_partial_metadata_only`.
#[test]
fn a_peer_that_requests_parts_hears_no_ihave_and_a_plain_one_no_parts() {
    let mut rig = Rig::new(9, partial(false, true));
    rig.router.subscribe("t").unwrap();
    rig.run(2);
    for puppet in 0..9 {
        say_partial(&mut rig, puppet, puppet < 8, puppet < 4, puppet < 8);
        // Nobody in the mesh: what they hear is gossip.
        rig.say(puppet, &prune("t", Some(3600)));
    }
    rig.hush();
    rig.router.publish("t", "x", false).unwrap();
    rig.router
        .send_partial(None, "t", "g".into(), None, Some("has".into()))
        .unwrap();
    rig.run(3);
    for _ in 0..3 {
        rig.heartbeat();
    }
    let mut asked = Vec::new();
    for puppet in 0..9 {
        let heard = rig.heard(puppet);
        let control = heard.iter().filter_map(|rpc| rpc.control.as_ref());
        let ihave = control.filter(|control| !control.ihave.is_empty()).count();
        let parts: Vec<&Partial> = heard.iter().filter_map(|rpc| rpc.partial.as_ref()).collect();
        assert!(puppet >= 4 || ihave == 0, "{puppet}");
        assert!(puppet < 8 || parts.is_empty(), "{puppet}");
        assert!(parts.iter().all(|partial| partial.parts.is_none()));
        if ihave > 0 {
            asked.push(puppet);
        }
    }
    assert_eq!(asked, [4, 5, 6, 7, 8]);
}

/// go: `TestSubscriptionFilterRPC`.
#[test]
fn filters_at_both_ends_leave_what_both_allow() {
    let only =
        |names: &[&str]| SubscriptionFilter::Only(names.iter().map(|name| Topic::from(*name)).collect());
    let config = Config {
        filter: only(&["a", "b"]),
        ..quiet()
    };
    let mut rig = Rig::new(1, config);
    let theirs = only(&["b", "c"]);
    for name in ["a", "b", "c"] {
        assert_eq!(rig.router.subscribe(name).is_ok(), name != "c");
        if theirs.allows(&Topic::from(name)) {
            rig.say(0, &subscribe(name, true));
        }
    }
    let known: Vec<&str> = ["a", "b", "c"]
        .into_iter()
        .filter(|name| rig.router.peers_of(&Topic::from(*name)).count() > 0)
        .collect();
    assert_eq!(known, ["b"]);
}

/// go: `TestGossipsubManagesAnAddressBook`.
#[test]
fn the_record_of_a_peer_goes_with_the_peer() {
    let config = Config { px: true, ..quiet() };
    let mut rig = Rig::subscribed(3, config);
    let addr = "/ip4/1.1.1.1/tcp/1".parse().unwrap();
    let record = PeerRecord::new(rig.peer(0), 1, vec![addr])
        .seal(&rig.identities[1])
        .unwrap();
    assert!(rig.router.set_record(record.clone()));
    rig.disconnect(0);
    assert!(!rig.router.set_record(record), "it is not connected");
    rig.connect(0);
    rig.run(10);
    rig.open(0);
    rig.say(0, &subscribe("t", true));
    rig.hush();
    rig.router.unsubscribe(&t()).unwrap();
    rig.run(3);
    let prunes = rig.control(1).prune;
    assert_eq!(prunes[0].peers.len(), 2);
    assert!(prunes[0].peers.iter().all(|info| info.record.is_none()));
}

/// go: `TestNotifyPeerProtocolsUpdated`, `TestPreconnectedNodes`.
#[test]
fn a_connected_peer_that_speaks_pubsub_only_later_gets_its_stream_then() {
    let mut rig = Rig::apart(1, quiet());
    rig.puppets[0] = libp2p_proto_stream_protocol::bench::Puppet::with_specs(Vec::new());
    rig.connect(0);
    rig.run(3000);
    let peer = rig.peer(0);
    assert_eq!(rig.router.level_of(&peer), None);
    let specs = rig.router.specs().to_vec();
    let name = specs[1].name.clone();
    rig.puppets[0] = libp2p_proto_stream_protocol::bench::Puppet::with_specs(specs);
    rig.bench.with(1, &rig.puppets[0], |_| ());
    let protocols = vec![name].into();
    rig.bench
        .inject(0, Input::Fact(Fact::PeerProtocols { peer, protocols }));
    rig.router.subscribe("t").unwrap();
    rig.run(50);
    assert_eq!(rig.router.level_of(&peer), Some(Level::V13));
    assert_eq!(rig.heard(0), [subscribe("t", true)]);
}

/// rust: `test_dont_send_px_to_old_gossipsub_peers`, `test_dont_send_floodsub_peers_in_px`, `test_do_not_use_floodsub_in_fanout`,
/// `test_dont_add_floodsub_peers_to_mesh_on_join`, `test_dont_add_floodsub_peers_to_mesh_in_heartbeat`, `test_publish_to_floodsub_peers_without_flood_publish`.
#[test]
fn floodsub_peers_get_publications_and_are_in_no_mesh_fanout_or_exchange() {
    let config = Config { px: true, ..quiet() };
    let mut rig = Rig::apart(7, config);
    let levels = [
        Level::Flood,
        Level::Flood,
        Level::V10,
        Level::V11,
        Level::V12,
        Level::V13,
        Level::V13,
    ];
    for (puppet, level) in levels.into_iter().enumerate() {
        rig.join_as(puppet, level);
        assert_eq!(rig.router.level_of(&rig.peer(puppet)), Some(level));
        rig.say(puppet, &subscribe("t", true));
    }
    rig.hush();
    rig.router.publish("t", "x", false).unwrap();
    rig.run(3);
    assert!((0..7).all(|puppet| rig.messages(puppet).len() == 1));
    let fanout: Vec<_> = rig.router.fanout_of(&t()).copied().collect();
    assert!(!fanout.contains(&rig.peer(0)) && fanout.contains(&rig.peer(2)));
    rig.router.subscribe("t").unwrap();
    rig.run(3);
    assert_eq!(rig.mesh("t"), [2, 3, 4, 5, 6]);
    rig.say(0, &graft(&["t"]));
    for _ in 0..3 {
        rig.heartbeat();
    }
    assert_eq!(rig.mesh("t"), [2, 3, 4, 5, 6]);
    rig.hush();
    rig.router.publish("t", "y", false).unwrap();
    rig.run(3);
    assert!((0..7).all(|puppet| rig.messages(puppet).len() == 1));
    rig.router.unsubscribe(&t()).unwrap();
    rig.run(3);
    for puppet in 0..7 {
        let prunes = rig.control(puppet).prune;
        assert_eq!(prunes.len(), usize::from(puppet > 1));
        for prune in prunes {
            assert_eq!(prune.peers.is_empty(), puppet == 2, "peers only from 1.1 on");
            let flood = rig.peer(0);
            assert!(
                prune
                    .peers
                    .iter()
                    .all(|info| info.peer_id.as_deref() != Some(flood.as_bytes()))
            );
        }
    }
}

/// rust: `test_slow_peer_returns_failed_publish`, `test_slow_peer_returns_failed_ihave_handling`, `test_slow_peer_returns_failed_iwant_handling`,
/// `test_slow_peer_returns_failed_forward`, `test_slow_peer_is_downscored_on_publish`.
#[test]
fn what_a_slow_peer_does_not_take_is_told_by_kind_and_counts_against_it() {
    let config = Config {
        limits: Limits {
            max_queue_messages: 4,
            max_queue_bytes: 600_000,
            ..Limits::default()
        },
        publish_age: Duration::from_secs(100),
        forward_age: Duration::from_secs(100),
        ..scored()
    };
    let mut rig = Rig::subscribed(2, config);
    let stream = rig.puppets[0]
        .opened()
        .into_iter()
        .find(|stream| stream.is_inbound())
        .unwrap();
    rig.bench.with(1, &rig.puppets[0], |cx| cx.pause(stream));
    // Fills what the stream takes by itself, and then the queue.
    while rig.router.stats().dropped == 0 {
        rig.router.publish("t", vec![0; 100_000], false).unwrap();
        rig.run(1);
        rig.heard(1);
    }
    // A message of others, too.
    let message = signed(&rig.identities[2], 1, "t", &[7; 1000]);
    rig.say(1, &publish(message.clone()));
    rig.heartbeat();
    let slow = rig.peer(0);
    let counts = rig.events.iter().find_map(|event| match event {
        Event::SlowPeer { peer, own, others } if *peer == slow => Some((*own, *others)),
        _ => None,
    });
    assert!(
        counts.is_some_and(|(own, others)| own > 0 && others > 0),
        "{counts:?}"
    );
    let score = rig.router.score(&slow);
    assert!(score < 0.0, "{score}");
    // What it asks for is not served while nothing more fits, and no answer is counted as given.
    let served = rig.router.stats().served;
    rig.say(0, &iwant(vec![go_id(&message)]));
    assert_eq!(rig.router.stats().served, served);
    // What it announces is still asked for: control does not wait behind messages.
    let asked = rig.router.stats().iwant_sent;
    rig.router.set_app_score(slow, 1000.0).unwrap();
    rig.run(2);
    rig.say(0, &ihave("t", vec![id(77)]));
    assert_eq!(rig.router.stats().iwant_sent, asked + 1);
}

/// rust: `test_publish_message_with_default_transmit_size_config`, `test_publish_large_message_with_default_transmit_size_config`,
/// `test_publish_message_with_specific_transmit_size_config`, `test_validation_error_message_size_too_large_topic_specific`,
/// `test_validation_message_size_within_topic_specific`.
#[test]
fn a_topic_s_own_size_holds_when_publishing_and_when_receiving() {
    let small = TopicConfig {
        max_message: Some(1000),
        ..TopicConfig::default()
    };
    let config = Config {
        topics: [(t(), small)].into(),
        ..scored()
    };
    let mut rig = Rig::subscribed(1, config);
    rig.router.subscribe("u").unwrap();
    rig.run(2);
    rig.hush();
    assert!(rig.router.publish("t", vec![0; 1001], false).is_err());
    assert!(rig.router.publish("t", vec![0; 1000], false).is_ok());
    assert!(rig.router.publish("u", vec![0; 1001], false).is_ok());
    rig.run(3);
    for (number, (topic, size, taken)) in [("t", 1000, 1), ("t", 1001, 1), ("u", 1001, 2)]
        .into_iter()
        .enumerate()
    {
        let message = rig.message(0, 1 + number as u64, topic, &vec![7; size]);
        rig.say(0, &publish(message));
        assert_eq!(rig.delivered().len(), taken, "{topic} {size}");
    }
    assert_eq!(rig.router.stats().rejected, 1);
}

/// rust: `custom_message_id_function`, `can_create_custom_id`, `test_hello_rpc_is_single_batched_message`, `test_join`.
#[test]
fn ids_of_a_function_of_the_user_are_what_gossip_names() {
    let doubled = |message: &libp2p_proto_gossipsub::Message| {
        let data = message.data.as_deref().unwrap_or_default();
        Some(libp2p_proto_gossipsub::MessageId::from([data, data].concat()))
    };
    let config = Config {
        id: MessageIdFn::Custom(std::sync::Arc::new(doubled)),
        ..quiet()
    };
    let mut rig = Rig::subscribed(12, config);
    rig.heartbeat();
    rig.router.publish("t", "ab", false).unwrap();
    rig.run(2);
    rig.hush();
    rig.heartbeat();
    let ids: Vec<_> = (0..12)
        .flat_map(|puppet| rig.control(puppet).ihave)
        .flat_map(|entry| entry.ids)
        .collect();
    assert!(!ids.is_empty() && ids.iter().all(|id| id.as_bytes() == b"abab"));
    rig.say(0, &iwant(vec![ids[0].clone()]));
    assert!(rig.messages(0).len() <= 1);
}
