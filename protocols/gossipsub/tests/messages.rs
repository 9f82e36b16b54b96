//! Messages: signed, judged, passed on, gossiped about.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::Rng;
use libp2p_proto_gossipsub::{
    Config, Error, Event, Level, Limits, Message, MessageId, MessageIdFn, PublishError, ScoreConfig,
    SignaturePolicy, Topic, TopicConfig, TopicScoreParams, Verdict,
    wire::{Control, Rpc},
};
use libp2p_proto_identity::{Identity, KeyType, Keypair, PublicKey};
use support::{
    Rig, go_id, graft, id, idontwant, ihave, iwant, publish, quiet, signed, subscribe, t, with_control,
};

fn scored() -> Config {
    let topic = TopicScoreParams {
        invalid_weight: -1.0,
        invalid_decay: 0.999,
        first_deliveries_weight: 0.001,
        ..TopicScoreParams::default()
    };
    Config {
        score: Some(ScoreConfig {
            other_topics: Some(topic),
            behaviour_weight: -10.0,
            behaviour_decay: 0.999,
            ..ScoreConfig::default()
        }),
        ..quiet()
    }
}

fn anonymous(data: &[u8]) -> Message {
    Message {
        data: Some(Bytes::copy_from_slice(data)),
        topic: Some(t()),
        ..Message::default()
    }
}

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

// covers: GSP-080, GSP-081, GSP-086
#[test]
fn own_messages_carry_the_author_a_rising_number_and_no_key() {
    let mut rig = Rig::subscribed(1, quiet());
    rig.hush();
    rig.router.publish("t", "a", false).unwrap();
    rig.router.publish("t", "b", false).unwrap();
    rig.run(3);
    let got = rig.messages(0);
    let number =
        |message: &Message| u64::from_be_bytes(message.seqno.as_deref().unwrap().try_into().unwrap());
    assert_eq!(number(&got[1]), number(&got[0]) + 1);
    assert!(number(&got[0]) >= 1_700_000_000_000_000_000);
    assert_eq!(
        got[0].from.as_deref().unwrap(),
        rig.identities[0].peer_id().as_bytes()
    );
    assert_eq!(got[0].key, None);
    assert_eq!(
        SignaturePolicy::StrictSign.verify(&got[0], Some(rig.identities[0].peer_id())),
        Ok(())
    );
}

// covers: GSP-087, GSP-092, GSP-312, GSP-416
#[test]
fn what_breaks_the_policy_is_dropped_and_does_not_take_the_place_of_the_real_message() {
    let mut rig = Rig::subscribed(2, scored());
    let good = rig.message(1, 1, "t", b"hello");
    let mut bad = good.clone();
    bad.signature = Some(Bytes::from(vec![1; 64]));
    rig.say(0, &ihave("t", vec![go_id(&good)]));
    rig.hush();
    rig.say(0, &publish(bad));
    rig.say(0, &publish(anonymous(b"x")));
    assert!(rig.delivered().is_empty());
    assert_eq!(rig.router.stats().rejected, 2);
    assert_eq!(rig.router.census().promises, 1, "a forged copy keeps no promise");
    assert!(rig.router.score(&rig.peer(0)) <= -4.0);
    assert!(rig.messages(1).is_empty());
    rig.say(0, &publish(good));
    assert_eq!(rig.delivered(), ["hello"]);
    assert_eq!(rig.router.census().promises, 0);
}

// covers: GSP-091
#[test]
fn our_own_message_that_comes_back_is_rejected() {
    let mut rig = Rig::subscribed(1, scored());
    rig.hush();
    let own = signed(&rig.identities[0], 5, "t", b"mine");
    rig.say(0, &publish(own));
    assert!(rig.delivered().is_empty());
    assert!((rig.router.score(&rig.peer(0)) + 1.0).abs() < 0.1);
}

// covers: GSP-093
#[test]
fn a_duplicate_is_not_verified_again() {
    let mut rig = Rig::subscribed(2, quiet());
    let message = rig.message(1, 1, "t", b"x");
    for puppet in [0, 1, 0] {
        rig.say(puppet, &publish(message.clone()));
    }
    assert_eq!(rig.router.stats().verified, 1);
}

// covers: GSP-084, GSP-085, GSP-095
#[test]
fn vul_009_the_key_of_a_message_is_that_of_its_author_for_every_type() {
    let mut dice = Rng::from_seed([3; 32]);
    let mut victims: Vec<Result<Identity, PublicKey>> = Vec::new();
    for key_type in [KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa] {
        victims.push(Ok(Keypair::generate(key_type, &mut dice).unwrap().into()));
    }
    let rsa = include_bytes!("../../../fuzz/corpus/key/rsa-4096-public");
    victims.push(Err(PublicKey::decode(rsa).unwrap()));
    let attacker = Identity::from(Keypair::generate(KeyType::Ed25519, &mut dice).unwrap());
    for victim in victims {
        let author = victim.as_ref().map_or_else(PublicKey::peer_id, Identity::peer_id);
        let mut rig = Rig::subscribed(1, scored());
        let mut stolen = signed(&attacker, 1, "t", b"x");
        stolen.from = Some(author.as_bytes().to_vec().into());
        stolen.signature = Some(
            attacker
                .sign(&libp2p_proto_gossipsub::preimage(&stolen))
                .unwrap()
                .into(),
        );
        stolen.key = Some(attacker.public_key().encode().to_vec().into());
        rig.events.clear();
        rig.say(0, &publish(stolen.clone()));
        stolen.key = None;
        rig.say(0, &publish(stolen));
        assert!(rig.delivered().is_empty());
        assert_eq!((rig.router.stats().rejected, rig.router.census().seen), (2, 0));
        if let Ok(victim) = victim {
            rig.say(0, &publish(signed(&victim, 1, "t", b"x")));
            assert_eq!(rig.delivered(), ["x"]);
        }
    }
}

#[test]
fn vul_010_no_signature_and_no_key_of_any_length_harms() {
    let mut rig = Rig::subscribed(1, scored());
    rig.hush();
    let good = rig.message(0, 1, "t", b"x");
    let mut sent = 0;
    for len in 0..200 {
        let mut bad = good.clone();
        bad.signature = Some(vec![7; len].into());
        rig.write(0, publish(bad).encode());
        let mut bad = good.clone();
        bad.key = Some(vec![8; len].into());
        rig.write(0, publish(bad).encode());
        sent += 2;
    }
    for number in [4, 9, 255, 0x7f] {
        let mut bad = good.clone();
        bad.key = Some(vec![8, number, 18, 1, 0].into());
        rig.write(0, publish(bad).encode());
        sent += 1;
    }
    rig.run(5);
    assert!(rig.delivered().is_empty());
    let stats = rig.router.stats();
    assert!(stats.rejected > 0 && stats.rejected + stats.graylisted == sent);
}

// covers: GSP-088, GSP-089, GSP-094, GSP-097
#[test]
fn vul_029_what_each_policy_takes_goes_by_what_is_present() {
    let author = support::identity(1);
    let policies = [
        SignaturePolicy::StrictSign,
        SignaturePolicy::StrictNoSign,
        SignaturePolicy::LaxSign,
        SignaturePolicy::LaxNoSign,
    ];
    for policy in policies {
        for present in 0..16_u32 {
            let has = |bit: u32| present & (1 << bit) != 0;
            let mut message = anonymous(b"hello");
            message.from = has(0).then(|| author.peer_id().as_bytes().to_vec().into());
            message.seqno = has(1).then(|| vec![0, 0, 0, 0, 0, 0, 0, 1].into());
            message.signature = has(2).then(|| {
                author
                    .sign(&libp2p_proto_gossipsub::preimage(&message))
                    .unwrap()
                    .into()
            });
            message.key = has(3).then(|| author.public_key().encode().to_vec().into());
            let taken = policy
                .check_shape(&message)
                .and_then(|author| policy.verify(&message, author))
                .is_ok();
            let wanted = match policy {
                SignaturePolicy::StrictSign => has(0) && has(1) && has(2),
                SignaturePolicy::StrictNoSign => present == 0,
                // A signature without its author can't be verified.
                _ => !has(2) || has(0),
            };
            assert_eq!(taken, wanted, "{policy:?} {present:04b}");
        }
    }
    for len in [0, 7, 9] {
        let mut short = signed(&author, 1, "t", b"x");
        short.seqno = Some(vec![0; len].into());
        assert!(SignaturePolicy::StrictSign.check_shape(&short).is_err());
    }
}

// covers: GSP-090, GSP-110
#[test]
fn policies_and_ids_are_those_of_the_topic() {
    let open = TopicConfig {
        policy: Some(SignaturePolicy::StrictNoSign),
        id: Some(MessageIdFn::Sha256),
        ..TopicConfig::default()
    };
    let config = Config {
        topics: [(t(), open)].into(),
        ..quiet()
    };
    let mut rig = Rig::subscribed(1, config);
    rig.router.subscribe("u").unwrap();
    rig.run(2);
    rig.hush();
    rig.say(0, &publish(anonymous(b"hello")));
    let mut other = anonymous(b"hello");
    other.topic = Some(Topic::from("u"));
    rig.say(0, &publish(other));
    assert_eq!(rig.delivered(), ["hello"]);
    rig.hush();
    rig.router.publish("t", "x", false).unwrap();
    rig.run(3);
    assert_eq!(rig.messages(0), [anonymous(b"x")]);
}

// covers: GSP-114, GSP-162, GSP-525
#[test]
fn configurations_that_cannot_work_are_refused() {
    let bad = |config: Config| {
        assert!(
            matches!(config.validate(), Err(Error::BadConfig(_))),
            "{config:?}"
        );
    };
    bad(Config {
        policy: SignaturePolicy::StrictNoSign,
        ..Config::default()
    });
    bad(Config {
        seen_ttl: Duration::from_secs(4),
        ..Config::default()
    });
    bad(Config {
        history: 0,
        ..Config::default()
    });
    bad(Config {
        history_gossip: 6,
        ..Config::default()
    });
    bad(Config {
        heartbeat: Duration::ZERO,
        ..Config::default()
    });
    for change in [
        |mesh: &mut libp2p_proto_gossipsub::MeshParams| mesh.d_score = 13,
        |mesh: &mut libp2p_proto_gossipsub::MeshParams| mesh.d_lo = 7,
        |mesh: &mut libp2p_proto_gossipsub::MeshParams| mesh.d_hi = 5,
        |mesh: &mut libp2p_proto_gossipsub::MeshParams| mesh.d_out = 4,
    ] {
        let mut config = Config::default();
        change(&mut config.mesh);
        bad(config);
    }
    let anonymous = Config {
        policy: SignaturePolicy::StrictNoSign,
        id: MessageIdFn::Sha256,
        ..Config::default()
    };
    assert_eq!(anonymous.validate(), Ok(()));
    assert_eq!(Config::bootstrapper().validate(), Ok(()));
    assert_eq!(Config::kubo().validate(), Ok(()));
}

// covers: GSP-540, GSP-541
#[test]
fn the_profile_of_ethereum_is_the_specification_s() {
    let config = Config::ethereum(MessageIdFn::Sha256);
    assert_eq!(config.validate(), Ok(()));
    assert_eq!(
        (config.mesh.d, config.mesh.d_lo, config.mesh.d_hi, config.d_lazy),
        (8, 6, 12, 6)
    );
    assert_eq!(config.heartbeat, Duration::from_millis(700));
    assert_eq!(
        (config.history, config.history_gossip, config.seen_ttl.as_secs()),
        (6, 3, 768)
    );
    assert_eq!(config.policy, SignaturePolicy::StrictNoSign);
    let n = 10_485_760;
    assert_eq!(config.limits.max_frame, 32 + n + n / 6 + 1024);
}

// covers: GSP-118, GSP-569
#[test]
fn an_id_function_of_the_user_may_fail_and_equal_ids_are_one_message() {
    let by_data = |message: &Message| {
        let data = message.data.as_deref().unwrap_or_default();
        (data.first() != Some(&b'!')).then(|| MessageId::from(vec![1]))
    };
    let config = Config {
        id: MessageIdFn::Custom(std::sync::Arc::new(by_data)),
        ..scored()
    };
    let mut rig = Rig::subscribed(1, config);
    rig.hush();
    for (number, data) in [b"one", b"two", b"!no"].iter().enumerate() {
        let message = rig.message(0, number as u64, "t", *data);
        rig.say(0, &publish(message));
    }
    assert_eq!(rig.delivered(), ["one"]);
    assert_eq!(
        (rig.router.stats().duplicates, rig.router.stats().rejected),
        (1, 1)
    );
}

fn judged() -> Config {
    Config {
        validate: true,
        ..scored()
    }
}

fn verdict(rig: &mut Rig, message: &Message, verdict: Verdict) {
    rig.router.report(go_id(message), verdict).unwrap();
    rig.run(2);
}

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
    let mut rig = Rig::subscribed(1, scored());
    rig.hush();
    let message = rig.message(0, 1, "x", b"x");
    rig.say(0, &publish(message));
    rig.say_hex(0, "1207120568656c6c6f");
    let (stats, census) = (rig.router.stats(), rig.router.census());
    assert_eq!((stats.verified, stats.rejected, census.seen), (0, 0, 0));
    assert!(rig.events.is_empty());
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

// covers: GSP-166
#[test]
fn a_message_is_gossiped_for_three_heartbeats_and_served_for_five() {
    let mut rig = Rig::subscribed(20, quiet());
    rig.heartbeat();
    rig.router.publish("t", "x", false).unwrap();
    rig.run(2);
    let outside: Vec<usize> = (0..20).filter(|puppet| !rig.mesh("t").contains(puppet)).collect();
    rig.hush();
    let mut told = Vec::new();
    let mut message_id = None;
    for _ in 0..5 {
        rig.heartbeat();
        let ids: Vec<MessageId> = outside
            .iter()
            .flat_map(|puppet| rig.control(*puppet).ihave)
            .flat_map(|entry| entry.ids)
            .collect();
        message_id = message_id.or(ids.first().cloned());
        told.push(ids.len());
    }
    assert_eq!(
        told.iter().map(|count| *count > 0).collect::<Vec<_>>(),
        [true, true, true, false, false]
    );
    assert_eq!(told[0], 6, "to D_lazy peers");
    rig.say(outside[0], &iwant(vec![message_id.unwrap()]));
    assert!(rig.messages(outside[0]).is_empty());
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
            ..scored()
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

// covers: GSP-300
#[test]
fn the_number_of_peers_told_is_the_lazy_degree_or_a_quarter() {
    for (outside, told) in [(0, 0), (3, 3), (6, 6), (24, 6), (28, 7), (40, 10)] {
        let mut rig = Rig::subscribed(6, quiet());
        let more = Rig::subscribed(6 + outside, quiet());
        let _ = core::mem::replace(&mut rig, more);
        rig.heartbeat();
        let mesh = rig.mesh("t").len();
        rig.router.publish("t", "x", false).unwrap();
        rig.run(2);
        rig.hush();
        rig.heartbeat();
        let heard = (0..6 + outside)
            .filter(|puppet| !rig.control(*puppet).ihave.is_empty())
            .count();
        // The mesh of five leaves one more outside.
        let candidates = 6 + outside - mesh;
        assert_eq!(heard, 6.max(candidates / 4).min(candidates), "{outside} {told}");
    }
}

// covers: GSP-302, GSP-303
#[test]
fn an_announcement_that_is_cut_is_cut_at_random_and_names_its_topic() {
    let limits = Limits {
        max_ihave_ids: 100,
        ..Limits::default()
    };
    let mut rig = Rig::subscribed(7, Config { limits, ..quiet() });
    rig.heartbeat();
    for _ in 0..200 {
        rig.router.publish("t", "x", false).unwrap();
    }
    rig.run(5);
    rig.hush();
    let outside: Vec<usize> = (0..7).filter(|puppet| !rig.mesh("t").contains(puppet)).collect();
    rig.heartbeat();
    let ids = |rig: &mut Rig, puppet: usize| -> std::collections::BTreeSet<MessageId> {
        let entries = rig.control(puppet).ihave;
        assert!(entries.iter().all(|entry| entry.topic == t()));
        entries.into_iter().flat_map(|entry| entry.ids).collect()
    };
    let (one, two) = (ids(&mut rig, outside[0]), ids(&mut rig, outside[1]));
    assert_eq!((one.len(), two.len()), (100, 100));
    assert!(one != two && one.intersection(&two).count() > 0);
}

// covers: GSP-304, GSP-450
#[test]
fn gossip_of_a_peer_below_the_threshold_is_not_heard() {
    for (score, asked) in [(-10.0, 1), (-10.1, 0)] {
        let mut rig = Rig::subscribed(1, scored());
        rig.router.set_app_score(rig.peer(0), score).unwrap();
        rig.hush();
        rig.say(0, &ihave("t", vec![id(1)]));
        assert_eq!(rig.control(0).iwant.len(), asked);
    }
}

// covers: GSP-305, GSP-308, GSP-310, GSP-032
#[test]
fn what_is_new_in_our_topics_is_asked_for_in_one_entry() {
    let mut rig = Rig::subscribed(1, quiet());
    let known = rig.message(0, 1, "t", b"x");
    rig.say(0, &publish(known.clone()));
    rig.hush();
    rig.say(0, &ihave("x", vec![id(1)]));
    assert!(rig.heard(0).is_empty());
    let odd = MessageId::from(vec![0xff; 20]);
    rig.say(0, &ihave("t", vec![go_id(&known), id(2), id(2), odd.clone()]));
    let asked = rig.control(0).iwant;
    assert_eq!((asked.len(), asked[0].len()), (1, 2));
    assert!(asked[0].contains(&odd));
}

// covers: GSP-306, GSP-560
#[test]
fn vul_013_ten_announcements_of_a_heartbeat_are_heard_and_five_thousand_ids_asked_for() {
    let mut rig = Rig::subscribed(1, scored());
    rig.heartbeat();
    rig.hush();
    for number in 0..20 {
        rig.say(0, &ihave("t", vec![id(number)]));
    }
    let asked: usize = rig.control(0).iwant.iter().map(Vec::len).sum();
    assert_eq!(asked, 10);
    rig.heartbeat();
    rig.hush();
    for round in 1..=10_u64 {
        rig.say(
            0,
            &ihave("t", (0..5001).map(|number| id(round * 10_000 + number)).collect()),
        );
    }
    let asked: usize = rig.control(0).iwant.iter().map(Vec::len).sum();
    assert_eq!(asked, 5000);
}

// covers: GSP-307
#[test]
fn ids_asked_for_in_one_heartbeat_are_bounded_over_all_announcements() {
    let limits = Limits {
        max_ihave_ids: 10,
        ..Limits::default()
    };
    let mut rig = Rig::subscribed(1, Config { limits, ..quiet() });
    rig.heartbeat();
    rig.hush();
    for round in 0..3 {
        rig.say(
            0,
            &ihave("t", (0..12).map(|number| id(100 * round + number)).collect()),
        );
    }
    assert_eq!(rig.control(0).iwant.iter().map(Vec::len).sum::<usize>(), 10);
}

// covers: GSP-309, GSP-311, GSP-561
#[test]
fn one_peer_is_asked_until_its_promise_is_broken_and_then_the_next() {
    let mut rig = Rig::subscribed(2, scored());
    rig.heartbeat();
    rig.hush();
    rig.say(0, &ihave("t", vec![id(1)]));
    rig.say(1, &ihave("t", vec![id(1)]));
    assert_eq!((rig.control(0).iwant.len(), rig.control(1).iwant.len()), (1, 0));
    assert_eq!(rig.router.stats().penalties, 0);
    rig.run(4000);
    assert_eq!(rig.router.stats().penalties, 1);
    assert!(rig.router.score(&rig.peer(0)) < 0.0);
    rig.say(1, &ihave("t", vec![id(1)]));
    assert_eq!(rig.control(1).iwant.len(), 1);
}

#[test]
fn vul_025_promises_are_bounded_and_a_peer_that_keeps_none_is_graylisted() {
    let limits = Limits {
        max_promises: 1000,
        ..Limits::default()
    };
    let mut rig = Rig::subscribed(1, Config { limits, ..scored() });
    for round in 0..50_u64 {
        rig.say(
            0,
            &ihave("t", (0..5000).map(|number| id(round * 10_000 + number)).collect()),
        );
        assert!(rig.router.census().promises <= 1000);
        rig.run(1000);
    }
    assert!(
        rig.events
            .iter()
            .any(|event| matches!(event, Event::Graylisted { .. }))
    );
    assert_eq!(rig.router.census().promises, 0);
}

// covers: GSP-313, GSP-316, GSP-562
#[test]
fn vul_015_a_message_is_served_three_times_to_one_peer_and_once_for_one_rpc() {
    let mut rig = Rig::subscribed(1, quiet());
    rig.router.publish("t", "x", false).unwrap();
    rig.run(3);
    let message = rig.messages(0).pop().unwrap();
    rig.say(0, &iwant(vec![go_id(&message); 1000]));
    assert_eq!(rig.messages(0).len(), 1);
    for _ in 0..8 {
        rig.say(0, &iwant(vec![go_id(&message)]));
    }
    assert_eq!(rig.messages(0).len(), 2);
    rig.say(0, &iwant(vec![id(99)]));
    assert!(rig.messages(0).is_empty());
}

// covers: GSP-317, GSP-318
#[test]
fn a_thousand_messages_are_served_in_frames_below_the_limit() {
    let limits = Limits {
        max_iwant_rpcs: 100,
        ..Limits::default()
    };
    let mut rig = Rig::subscribed(
        1,
        Config {
            limits,
            history: 50,
            history_gossip: 50,
            flood_publish: false,
            ..Config::default()
        },
    );
    rig.say(0, &support::prune("t", Some(3600)));
    for _ in 0..1000 {
        rig.router.publish("t", vec![0; 20_000], false).unwrap();
        rig.run(1);
    }
    rig.hush();
    let mut wanted: Vec<MessageId> = Vec::new();
    while wanted.is_empty() {
        rig.heartbeat();
        wanted = rig
            .control(0)
            .ihave
            .into_iter()
            .flat_map(|entry| entry.ids)
            .collect();
    }
    wanted.sort();
    wanted.dedup();
    let mut got = std::collections::BTreeSet::new();
    for chunk in wanted.chunks(40) {
        rig.say(0, &iwant(chunk.to_vec()));
        rig.run(50);
        got.extend(rig.messages(0).iter().map(go_id));
    }
    rig.run(100);
    got.extend(rig.messages(0).iter().map(go_id));
    assert_eq!((wanted.len(), got.len()), (1000, 1000));
}

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
    let mut rig = Rig::subscribed(3, scored());
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

// covers: GSP-452, GSP-457, GSP-466, GSP-073, GSP-444
#[test]
fn of_a_graylisted_peer_only_subscriptions_are_heard_unless_it_is_explicit() {
    let mut rig = Rig::subscribed(2, scored());
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

// covers: GSP-570, GSP-580
#[test]
fn vul_027_a_replayed_message_is_a_duplicate_then_new_unless_numbers_must_rise() {
    for guard in [false, true] {
        let config = Config {
            replay_guard: guard,
            seen_ttl: Duration::from_secs(6),
            ..scored()
        };
        let mut rig = Rig::subscribed(1, config);
        rig.hush();
        let message = rig.message(0, 5, "t", b"x");
        rig.say(0, &publish(message.clone()));
        rig.run(5_990);
        rig.say(0, &publish(message.clone()));
        assert_eq!(rig.delivered().len(), 1);
        rig.run(20);
        rig.say(0, &publish(message.clone()));
        assert_eq!(rig.delivered().len(), if guard { 1 } else { 2 });
        assert!(rig.router.score(&rig.peer(0)) >= 0.0);
        let huge = rig.message(0, u64::MAX, "t", b"y");
        rig.say(0, &publish(huge));
        assert_eq!(rig.router.stats().rejected, 0);
    }
}

// covers: GSP-568
#[test]
fn a_peer_that_sends_a_hundred_unsigned_messages_is_pruned_at_the_next_heartbeat() {
    let mut rig = Rig::subscribed(1, scored());
    rig.hush();
    for _ in 0..100 {
        rig.write(0, publish(anonymous(b"x")).encode());
    }
    rig.run(3);
    rig.heartbeat();
    assert!(rig.router.score(&rig.peer(0)) < 0.0 && rig.router.stats().rejected > 0);
    assert_eq!(rig.control(0).prune.len(), 1);
}

// covers: GSP-563
#[test]
fn grafts_in_a_backoff_are_answered_until_the_peer_is_graylisted() {
    let mut config = scored();
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

// covers: GSP-350, GSP-352, GSP-353, GSP-355, GSP-357, GSP-585
#[test]
fn extensions_are_told_first_and_once_and_late_ones_are_punished() {
    let config = Config {
        partial_messages: true,
        ..scored()
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
        ..scored()
    };
    let mut rig = Rig::new(1, config);
    rig.say(0, &subscribe("t", true));
    rig.say_hex(0, "1a0432025001");
    assert_eq!(rig.router.stats().penalties, 10);
    let old = Config {
        partial_messages: true,
        ..scored()
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

fn parts() -> Config {
    let topic = TopicConfig {
        requests_partial: true,
        supports_partial: true,
        ..TopicConfig::default()
    };
    Config {
        partial_messages: true,
        topics: [(t(), topic)].into(),
        ..scored()
    }
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

#[test]
fn a_hundred_grafts_at_once_leave_a_mesh_of_twelve() {
    let mut rig = Rig::subscribed(100, quiet());
    for puppet in 0..100 {
        rig.write(puppet, graft(&["t"]).encode());
    }
    rig.run(3);
    assert_eq!(rig.mesh("t").len(), 12);
}
