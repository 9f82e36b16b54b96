//! What users may put in: filters, inspectors, fingerprints, authors, names of protocols, feedback, the trace.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::ProtocolName;
use libp2p_proto_gossipsub::{
    Config, Event, FastId, Feedback, Gossipsub, Inspector, Level, MessageId, MessageIdFn, PeerFilter, Reject,
    ScoreConfig, Step, Topic, TopicConfig, TopicScoreParams, Trace, decay_factor, snappy_len, wire::Rpc,
};
use libp2p_proto_identity::PeerRecord;
use libp2p_proto_stream_protocol::Protocol;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use support::{
    Rig, go_id, graft, id, identity, idontwant, ihave, iwant, prune, publish, quiet, signed, subscribe, t,
};

/// go: `TestGossipSubPeerFilter`.
// covers: GSP-480
#[test]
fn a_filtered_peer_is_in_no_mesh_of_the_topic_and_nothing_of_it_passes_either_way() {
    let out = identity(1).peer_id();
    let filter = PeerFilter::new(move |peer, topic| *peer != out || topic.as_str() != "t");
    let config = Config {
        peer_filter: Some(filter),
        ..Config::default()
    };
    let mut rig = Rig::subscribed(2, config);
    rig.router.subscribe("u").unwrap();
    rig.run(5);
    rig.say(0, &subscribe("u", true));
    assert_eq!((rig.mesh("t"), rig.mesh("u")), (vec![1], vec![0]));
    rig.hush();
    rig.say(0, &graft(&["t"]));
    let message = rig.message(0, 1, "t", b"from the filtered one");
    rig.say(0, &publish(message));
    rig.say(0, &ihave("t", vec![id(7)]));
    let message = rig.message(1, 1, "t", b"from the other");
    rig.say(1, &publish(message.clone()));
    rig.say(0, &iwant(vec![go_id(&message)]));
    rig.router.publish("t", "ours", false).unwrap();
    rig.run(2500);
    let heard = rig.heard(0);
    assert!(
        heard
            .iter()
            .all(|rpc| rpc.publish.is_empty() && rpc.control.is_none()),
        "{heard:?}"
    );
    assert_eq!(rig.delivered(), ["from the other"]);
    rig.router.publish("u", "elsewhere", false).unwrap();
    assert_eq!(rig.messages(0).len(), 1);
}

// covers: GSP-479
#[test]
fn an_rpc_that_the_inspector_refuses_changes_nothing() {
    let inspector =
        Inspector::new(|_, rpc: &Rpc| rpc.subscriptions.iter().all(|entry| entry.topic.as_str() != "x"));
    let config = Config {
        inspector: Some(inspector),
        ..quiet()
    };
    let mut rig = Rig::subscribed(1, config);
    rig.hush();
    let before = rig.router.census();
    let mut rpc = subscribe("x", true);
    rpc.control = prune("t", Some(60)).control;
    rig.say(0, &rpc);
    assert_eq!(rig.router.census(), before);
    assert_eq!((rig.mesh("t"), rig.events.len()), (vec![0], 0));
    assert_eq!(rig.router.stats().refused, 1);
    rpc.subscriptions.clear();
    rig.say(0, &rpc);
    assert!(rig.mesh("t").is_empty());
}

// covers: GSP-115
#[test]
fn the_id_of_a_message_that_comes_thirteen_times_is_made_once_with_fingerprints_and_thirteen_times_without() {
    for (fast, wanted) in [(true, 1), (false, 13)] {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let function = move |message: &libp2p_proto_gossipsub::Message| {
            counter.fetch_add(1, Ordering::Relaxed);
            message.seqno.clone().map(MessageId::from)
        };
        let config = Config {
            id: MessageIdFn::Custom(Arc::new(function)),
            fast_id: fast.then(|| FastId::new(|message| message.signature.clone().unwrap_or_default())),
            ..quiet()
        };
        let mut rig = Rig::subscribed(13, config);
        let message = rig.message(0, 1, "t", b"hello");
        for puppet in 0..13 {
            rig.say(puppet, &publish(message.clone()));
        }
        assert_eq!(made.load(Ordering::Relaxed), wanted);
        assert_eq!((rig.delivered().len(), rig.router.stats().duplicates), (1, 12));
    }
}

/// go: `TestTopicPublishWithKey`, `TestTopicRelayPublishWithKey`.
// covers: GSP-096
#[test]
fn a_topic_may_have_an_author_of_its_own_and_what_it_wrote_is_our_own() {
    let author = identity(77);
    let topic = TopicConfig {
        author: Some(author.clone()),
        ..TopicConfig::default()
    };
    let config = Config {
        topics: [(t(), topic)].into(),
        ..quiet()
    };
    let mut rig = Rig::subscribed(1, config);
    rig.hush();
    rig.router.publish("t", "hello", false).unwrap();
    let sent = rig.messages(0);
    assert_eq!(sent[0].from.as_deref(), Some(author.peer_id().as_bytes()));
    let forged = signed(&author, 9, "t", b"again");
    rig.say(0, &publish(forged));
    assert!(rig.delivered().is_empty());
    assert_eq!(rig.router.stats().rejected, 1);
}

// covers: GSP-117
#[test]
fn where_ids_have_one_length_no_other_is_asked_for_served_or_kept() {
    let config = Config {
        id_len: Some(20),
        ..quiet()
    };
    let mut rig = Rig::subscribed(1, config);
    rig.hush();
    let of = |len| MessageId::from(vec![7; len]);
    rig.say(0, &ihave("t", vec![of(19), of(20), of(21)]));
    assert_eq!(rig.control(0).iwant, [vec![of(20)]]);
    rig.say(0, &idontwant(vec![of(19)]));
    assert_eq!(rig.router.census().unwanted, 0);
    let ethereum = Config::ethereum(MessageIdFn::Sha256);
    assert_eq!(ethereum.id_len, Some(20));
}

// covers: GSP-315
#[test]
fn under_the_strict_rule_only_who_was_told_of_a_message_may_ask_for_it() {
    let config = Config {
        iwant_strict: true,
        d_lazy: 1,
        gossip_factor: 0.0,
        ..quiet()
    };
    let mut rig = Rig::subscribed(9, config);
    rig.heartbeat();
    rig.router.publish("t", "hello", false).unwrap();
    rig.run(3);
    let wanted: Vec<MessageId> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Published { id, .. } => Some(id.clone()),
            _ => None,
        })
        .collect();
    rig.hush();
    rig.heartbeat();
    let told: Vec<usize> = (0..9)
        .filter(|puppet| !rig.control(*puppet).ihave.is_empty())
        .collect();
    assert_eq!(told.len(), 1);
    let served: Vec<usize> = (0..9)
        .filter(|puppet| {
            rig.say(*puppet, &iwant(wanted.clone()));
            !rig.messages(*puppet).is_empty()
        })
        .collect();
    assert_eq!(served, told);
}

/// go: `TestGossipSubCustomProtocols`, `TestGossipSubMatchingFn`, `TestFloodSubPluggableProtocol`; rust: config with a prefix.
// covers: GSP-515
#[test]
fn names_of_protocols_are_the_users_and_each_has_its_level() {
    let config = Config::default().with_prefix("/foo").unwrap();
    let router = Gossipsub::new(identity(1), config.clone()).unwrap();
    let names: Vec<&str> = router.specs().iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["/foo/1.3.0", "/foo/1.2.0", "/foo/1.1.0", "/foo/1.0.0"]);
    let mut own = config;
    own.protocols = vec![(ProtocolName::from_static("/customsub/a/1.0.0"), Level::V12)];
    let rig = Rig::new(1, own);
    assert_eq!(rig.router.level_of(&rig.peer(0)), Some(Level::V12));
    assert!(Config::default().with_prefix("/foo\n").is_err());
}

/// go: `TestBasicSeqnoValidator1`, `2`, `TestBasicSeqnoValidatorReplay`.
// covers: GSP-098, GSP-544, GSP-581
#[test]
fn numbers_of_an_author_must_rise_also_over_a_restart_and_short_ones_harm_nobody() {
    let mut config = Config::kubo();
    config.flood_publish = false;
    let mut rig = Rig::subscribed(1, config.clone());
    for seqno in [5, 7, 6] {
        let message = rig.message(0, seqno, "t", &seqno.to_be_bytes());
        rig.say(0, &publish(message));
    }
    let got: Vec<u8> = rig.delivered().iter().map(|data| data[7]).collect();
    assert_eq!(got, [5, 7]);
    assert_eq!((rig.router.stats().ignored, rig.router.stats().penalties), (1, 0));
    for len in 0..12 {
        let mut message = rig.message(0, 9, "t", b"short");
        message.seqno = Some(vec![9; len].into());
        rig.say(0, &publish(message));
    }
    assert_eq!(rig.delivered().len(), 2);
    let kept: Vec<_> = rig
        .router
        .authors()
        .map(|(author, seqno)| (*author, seqno))
        .collect();
    assert_eq!(kept, [(rig.peer(0), 7)]);
    // Restarted: what was kept is given back.
    let mut again = Rig::subscribed(1, config);
    for (author, seqno) in kept {
        again.router.remember_author(author, seqno);
    }
    for seqno in [7, 8] {
        let message = again.message(0, seqno, "t", &seqno.to_be_bytes());
        again.say(0, &publish(message));
    }
    let got: Vec<u8> = again.delivered().iter().map(|data| data[7]).collect();
    assert_eq!(got, [8]);
    // Our own rise over a restart because they begin at the clock.
    let first = |millis| {
        let mut rig = Rig::subscribed(1, quiet());
        rig.run(millis);
        rig.hush();
        rig.router.publish("t", "x", false).unwrap();
        rig.messages(0)[0].seqno.clone().unwrap()
    };
    assert!(first(10) < first(20));
}

// covers: GSP-248
#[test]
fn a_record_without_a_public_address_is_not_given_to_strangers() {
    let config = Config { px: true, ..quiet() };
    let mut rig = Rig::subscribed(16, config);
    for (puppet, addr) in [(0, "/ip4/192.168.1.1/tcp/1"), (1, "/ip4/1.1.1.1/tcp/1")] {
        let record = PeerRecord::new(rig.peer(puppet), 1, vec![addr.parse().unwrap()]);
        let envelope = record.seal(&rig.identities[puppet + 1]).unwrap();
        assert!(rig.router.set_record(envelope));
    }
    rig.hush();
    let (mut with, mut without) = (BTreeSet::new(), BTreeSet::new());
    rig.router.unsubscribe(&t()).unwrap();
    rig.run(3);
    for puppet in 0..16 {
        for info in rig.control(puppet).prune.iter().flat_map(|prune| &prune.peers) {
            let place = (0..16).find(|place| info.peer_id.as_deref() == Some(rig.peer(*place).as_bytes()));
            if info.record.is_some() {
                with.insert(place.unwrap());
            } else {
                without.insert(place.unwrap());
            }
        }
    }
    assert_eq!(with.into_iter().collect::<Vec<_>>(), [1]);
    assert!(without.contains(&0));
}

/// go: `TestGossipsubPeerFeedback`, `TestGossipsubPeerScoreInspect`.
// covers: GSP-446, GSP-385
#[test]
fn what_the_application_finds_of_a_peer_in_a_topic_counts() {
    let params = TopicScoreParams {
        first_deliveries_weight: 10.0,
        first_deliveries_decay: decay_factor(Duration::from_secs(600), Duration::from_secs(1), 0.01),
        invalid_weight: -10.0,
        ..TopicScoreParams::default()
    };
    let config = Config {
        score: Some(ScoreConfig {
            topics: [(t(), params)].into(),
            ..ScoreConfig::default()
        }),
        ..quiet()
    };
    let mut rig = Rig::subscribed(1, config);
    let peer = rig.peer(0);
    for _ in 0..3 {
        rig.router.feedback(peer, "t", Feedback::Useful).unwrap();
    }
    rig.run(1500);
    assert!(rig.router.score(&peer) >= 29.0);
    rig.router.feedback(peer, "t", Feedback::Invalid).unwrap();
    rig.run(1);
    assert!(rig.router.score(&peer) < 20.0);
    // Bad parts or metadata of a partial message count as misbehaviour.
    let before = rig.router.score(&peer);
    rig.router.penalize(peer, 1).unwrap();
    rig.run(1);
    assert!(rig.router.score(&peer) < before);
}

// covers: GSP-528
#[test]
fn a_scripted_run_is_traced_under_the_names_of_go() {
    let config = Config {
        trace: true,
        ..quiet()
    };
    let mut rig = Rig::subscribed(2, config);
    let [a, b] = [rig.peer(0), rig.peer(1)];
    let message = rig.message(0, 1, "t", b"hello");
    rig.say(0, &publish(message.clone()));
    rig.say(1, &publish(message.clone()));
    let unsigned = libp2p_proto_gossipsub::Message {
        signature: None,
        ..rig.message(0, 2, "t", b"x")
    };
    rig.say(0, &publish(unsigned));
    rig.router.publish("t", "ours", false).unwrap();
    rig.run(5);
    rig.say(0, &prune("t", Some(60)));
    rig.router.unsubscribe(&t()).unwrap();
    rig.run(5);
    rig.disconnect(1);
    let steps: Vec<Trace> = core::iter::from_fn(|| rig.router.poll_trace()).collect();
    assert!(steps.is_sorted_by_key(|trace| trace.at));
    let quiet_steps = |step: &Step| !matches!(step, Step::RecvRpc(_) | Step::SendRpc(..));
    let told: Vec<&Step> = steps
        .iter()
        .map(|trace| &trace.step)
        .filter(|step| quiet_steps(step))
        .collect();
    let ours = told
        .iter()
        .find_map(|step| match step {
            Step::PublishMessage(_, id) => Some(id.clone()),
            _ => None,
        })
        .unwrap();
    let wanted = [
        Step::AddPeer(a),
        Step::AddPeer(b),
        Step::Join(t()),
        Step::Graft(a, t()),
        Step::Graft(b, t()),
        Step::DeliverMessage(a, t(), go_id(&message)),
        Step::DuplicateMessage(b, go_id(&message)),
        Step::RejectMessage(a, t(), Reject::MissingSignature),
        Step::PublishMessage(t(), ours),
        Step::Prune(a, t()),
        Step::Leave(t()),
        Step::Prune(b, t()),
        Step::RemovePeer(b),
    ];
    assert_eq!(told, wanted.iter().collect::<Vec<_>>());
    let count = |wanted: fn(&Step) -> bool| steps.iter().filter(|trace| wanted(&trace.step)).count() as u64;
    assert_eq!(
        count(|step| matches!(step, Step::RecvRpc(_))),
        rig.router.stats().rpcs_received
    );
    assert_eq!(
        count(|step| matches!(step, Step::SendRpc(..))),
        rig.router.stats().rpcs_sent
    );
}

/// go: `TestRoundRobinMessageIDScheduler`, `TestMessageBatchPublish`.
// covers: GSP-191
#[test]
fn of_a_batch_every_message_has_left_once_before_one_leaves_twice() {
    let mut rig = Rig::subscribed(2, quiet());
    rig.hush();
    let batch: Vec<Bytes> = ["m1", "m2", "m3"].map(Bytes::from).to_vec();
    let publications = rig.router.publish_batch("t", batch.clone()).unwrap();
    rig.run(3);
    let told: Vec<_> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Published {
                publication, peers, ..
            } => Some((*publication, *peers)),
            _ => None,
        })
        .collect();
    assert_eq!(told, publications.iter().map(|one| (*one, 2)).collect::<Vec<_>>());
    let mut order: Vec<Vec<Bytes>> = (0..2)
        .map(|puppet| {
            rig.messages(puppet)
                .into_iter()
                .filter_map(|message| message.data)
                .collect()
        })
        .collect();
    order.sort();
    // The first copies are m1 and m3 at one peer, m2 at the other; the second ones the other way round.
    assert_eq!(order, [["m1", "m3", "m2"], ["m2", "m1", "m3"]]);
    let hundred: Vec<Bytes> = (0..100).map(|number| format!("{number}").into()).collect();
    rig.router.publish_batch("t", hundred).unwrap();
    rig.router.publish("t", "between", false).unwrap();
    assert_eq!([rig.messages(0).len(), rig.messages(1).len()], [101, 101]);
    let again = rig.router.publish_batch("t", vec![Bytes::from(vec![0; 1 << 21])]);
    assert!(again.is_err());
}

// covers: GSP-015
#[test]
fn a_stream_that_takes_nothing_for_half_a_minute_is_reset_and_opened_again() {
    let mut rig = Rig::subscribed(1, quiet());
    let inbound = |rig: &Rig| {
        let opened = rig.puppets[0].opened();
        opened
            .into_iter()
            .filter(|stream| stream.is_inbound())
            .collect::<Vec<_>>()
    };
    let first = inbound(&rig)[0];
    rig.bench.with(1, &rig.puppets[0], |cx| cx.pause(first));
    for _ in 0..29 {
        rig.router.publish("t", vec![0; 400_000], false).unwrap();
        rig.run(1000);
    }
    assert_eq!(inbound(&rig).len(), 1);
    rig.run(35_000);
    assert_eq!(inbound(&rig).len(), 2);
    rig.hush();
    rig.router.publish("t", "hello", false).unwrap();
    assert_eq!(rig.messages(0).len(), 1);
}

// covers: GSP-542
#[test]
fn what_a_block_of_snappy_declares_is_read_without_decompressing_it() {
    let mut encoder = snap::raw::Encoder::new();
    for len in [0_usize, 1, 127, 128, 10_485_760, 10_485_761] {
        let block = encoder.compress_vec(&vec![7; len]).unwrap();
        assert_eq!(snappy_len(&block), Some(u32::try_from(len).unwrap()));
    }
    for broken in [&[][..], &[0x80], &[0xff; 5], &[0xff, 0xff, 0xff, 0xff, 0x7f]] {
        assert_eq!(snappy_len(broken), None);
    }
    // A validator or an id function that looks first rejects what declares too much.
    let most = 10 << 20;
    let function = move |message: &libp2p_proto_gossipsub::Message| {
        let data = message.data.as_deref()?;
        let fits = snappy_len(data)? <= most;
        fits.then(|| libp2p_proto_gossipsub::ethereum_id(Some(&t()), data, None))
    };
    let mut config = Config::ethereum(MessageIdFn::Custom(Arc::new(function)));
    config.validate = false;
    config.limits.max_frame = 1 << 20;
    config.limits.max_queue_bytes = 1 << 20;
    let mut rig = Rig::subscribed(1, config);
    for (block, taken) in [("8180800568656c6c6f", 0), ("8080800568656c6c6f", 1)] {
        let message = libp2p_proto_gossipsub::Message {
            topic: Some(Topic::from("t")),
            data: Some(support::unhex(block).into()),
            ..libp2p_proto_gossipsub::Message::default()
        };
        rig.say(0, &publish(message));
        assert_eq!(rig.delivered().len(), taken);
    }
}

// covers: GSP-496
#[test]
fn what_fits_into_no_frame_is_refused_or_told_and_does_not_stop_the_rest() {
    let long = MessageIdFn::Custom(Arc::new(|message| message.data.clone().map(MessageId::from)));
    let mut config = Config { id: long, ..quiet() };
    config.limits.max_frame = 4096;
    config.limits.max_control_sent = 1024;
    let mut rig = Rig::subscribed(8, config);
    assert!(rig.router.subscribe("x".repeat(2048).as_str()).is_err());
    rig.router.publish("t", vec![7; 2048], false).unwrap();
    rig.router.publish("t", "hello", false).unwrap();
    assert!(rig.router.publish("t", vec![7; 5000], false).is_err());
    rig.run(5);
    let told = |event: &&Event| matches!(event, Event::NotGossiped { id } if id.as_bytes().len() == 2048);
    assert_eq!(rig.events.iter().filter(told).count(), 1);
    rig.hush();
    rig.run(1100);
    let mut ids = BTreeSet::new();
    for puppet in 0..8 {
        ids.extend(rig.control(puppet).ihave.into_iter().flat_map(|entry| entry.ids));
    }
    assert_eq!(
        ids.into_iter().collect::<Vec<_>>(),
        [MessageId::from(Bytes::from("hello"))]
    );
}
