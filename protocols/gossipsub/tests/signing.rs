//! Who wrote a message: policies, keys, ids, numbers.
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
    Config, Error, Message, MessageId, MessageIdFn, SignaturePolicy, Topic, TopicConfig,
};
use libp2p_proto_identity::{Identity, KeyType, Keypair, PublicKey};
use support::{Rig, anonymous, blamed, go_id, ihave, publish, quiet, signed, t};

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
    let mut rig = Rig::subscribed(2, blamed());
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
    let mut rig = Rig::subscribed(1, blamed());
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
        let mut rig = Rig::subscribed(1, blamed());
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
    let mut rig = Rig::subscribed(1, blamed());
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
        ..blamed()
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

// covers: GSP-570, GSP-580
#[test]
fn vul_027_a_replayed_message_is_a_duplicate_then_new_unless_numbers_must_rise() {
    for guard in [false, true] {
        let config = Config {
            replay_guard: guard,
            seen_ttl: Duration::from_secs(6),
            ..blamed()
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
    let mut rig = Rig::subscribed(1, blamed());
    rig.hush();
    for _ in 0..100 {
        rig.write(0, publish(anonymous(b"x")).encode());
    }
    rig.run(3);
    rig.heartbeat();
    assert!(rig.router.score(&rig.peer(0)) < 0.0 && rig.router.stats().rejected > 0);
    assert_eq!(rig.control(0).prune.len(), 1);
}
