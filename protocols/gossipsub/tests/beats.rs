//! What a heartbeat does, in which order, and with which scores.
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
    Config, Level, MeshParams, ScoreConfig, Step, Thresholds, Topic, TopicScoreParams, Trace,
};
use libp2p_proto_identity::PeerRecord;
use std::collections::BTreeSet;
use support::{Rig, graft, id, identity, ihave, prune, quiet, rate, scored, subscribe, t};

/// The tick that the script is about.
const TICK: u64 = 8;

/// Runs to just before a heartbeat.
fn before(rig: &mut Rig, tick: u64) {
    while rig.router.stats().heartbeats < tick - 1 {
        rig.run(1);
    }
    rig.run(950);
    assert_eq!(rig.router.stats().heartbeats, tick - 1);
}

fn say_all(rig: &mut Rig, puppets: &[usize], topic: &str) {
    for puppet in puppets {
        rig.say(*puppet, &subscribe(topic, true));
    }
}

fn script() -> Rig {
    let config = Config {
        mesh: MeshParams {
            d: 4,
            d_lo: 3,
            d_hi: 6,
            d_score: 2,
            d_out: 1,
        },
        thresholds: Thresholds {
            opportunistic_graft: 1.0,
            ..Thresholds::default()
        },
        opportunistic_ticks: TICK,
        explicit_ticks: TICK,
        explicit_peers: vec![identity(99).peer_id()],
        fanout_ttl: Duration::from_secs(2),
        trace: true,
        ..scored()
    };
    let mut rig = Rig::apart(17, config);
    for puppet in 0..16 {
        rig.connect(puppet);
    }
    rig.connect_out(16);
    rig.run(10);
    for puppet in 0..17 {
        rig.open(puppet);
    }
    for topic in ["t", "u"] {
        rig.router.subscribe(topic).unwrap();
    }
    rig.run(10);
    say_all(&mut rig, &[0, 1, 2, 3, 8], "t");
    say_all(&mut rig, &[2, 3, 4, 5], "u");
    say_all(&mut rig, &[9, 10, 11, 12, 13, 14], "f");
    rig
}

/// Everything that happened at the last heartbeat, in order; of messages alone that they left.
fn steps(rig: &mut Rig) -> Vec<Step> {
    let traced: Vec<Trace> = core::iter::from_fn(|| rig.router.poll_trace()).collect();
    let last = |trace: &&Trace| matches!(trace.step, Step::Graft(..) | Step::Prune(..));
    let at = traced.iter().rfind(last).unwrap().at;
    let at_it = traced.into_iter().filter(|trace| trace.at == at);
    at_it.map(|trace| trace.step).collect()
}

// covers: GSP-261
#[test]
fn a_heartbeat_counts_then_mends_each_mesh_then_gossips_then_writes_then_turns_the_cache() {
    let mut rig = script();
    // Its score forbids that it is grafted, and allows that it is told.
    rate(&mut rig, 8, -1.0);
    rig.say(8, &prune("t", Some(60)));
    before(&mut rig, 2);
    assert_eq!(rig.mesh("t"), [0, 1, 2]);
    assert_eq!(rig.mesh("u"), [2, 3, 4, 5][..rig.mesh("u").len()]);
    rig.say(4, &graft(&["u"]));
    rig.say(5, &graft(&["u"]));
    // A promise that is broken when the tick has come.
    before(&mut rig, 5);
    rig.say(0, &ihave("t", vec![id(1)]));
    // A back-off, and its slack of one heartbeat, that end with it.
    before(&mut rig, 6);
    rig.say(1, &prune("t", Some(1)));
    rig.say(3, &graft(&["t"]));
    // A message in the last window that is gossiped about, and a fanout that ends.
    rig.router.publish("t", "in the last window", false).unwrap();
    rig.router.publish("f", "fanout", false).unwrap();
    rig.run(3);
    assert_eq!(rig.router.fanout_of(&Topic::from("f")).count(), 4);
    // A mesh with too many members, none of which we connected to.
    before(&mut rig, TICK);
    for puppet in [6, 7] {
        rig.say(puppet, &subscribe("u", true));
        rig.say(puppet, &graft(&["u"]));
    }
    assert_eq!(rig.mesh("u"), [2, 3, 4, 5, 6, 7]);
    rig.say(15, &subscribe("u", true));
    rig.say(16, &subscribe("u", true));
    rate(&mut rig, 15, 3.0);
    assert_eq!(rig.mesh("t"), [0, 2, 3]);
    rig.hush();
    core::iter::from_fn(|| rig.router.poll_trace()).for_each(drop);
    let dialed = rig.bench.dials(0).len();
    rig.heartbeat();
    assert_eq!(rig.router.stats().heartbeats, TICK);
    assert_eq!(rig.bench.dials(0).len(), dialed + 1, "the explicit peer");
    let steps = steps(&mut rig);
    let of_topic = |name: &str| -> Vec<Step> {
        let topic = Topic::from(name);
        let of = |step: &&Step| matches!(step, Step::Graft(_, of) | Step::Prune(_, of) if *of == topic);
        steps.iter().filter(of).cloned().collect()
    };
    // Penalties, then who is bad goes, then the mesh is filled, with whose back-off has ended.
    assert_eq!(
        of_topic("t"),
        [Step::Prune(rig.peer(0), t()), Step::Graft(rig.peer(1), t())]
    );
    // Then it is trimmed, then outbound members are added, then better ones.
    let u = Topic::from("u");
    let changes = of_topic("u");
    assert!(
        matches!(&changes[..2], [Step::Prune(..), Step::Prune(..)]),
        "{changes:?}"
    );
    let added = [Step::Graft(rig.peer(16), u.clone()), Step::Graft(rig.peer(15), u)];
    assert_eq!(changes[2..], added);
    // All that is written is written behind.
    let sent = steps
        .iter()
        .position(|step| matches!(step, Step::SendRpc(..)))
        .unwrap();
    assert!(steps[sent..].iter().all(|step| matches!(step, Step::SendRpc(..))));
    // Gossip after the mesh: the new member is told nothing; before the cache is turned: who is no member is told of the last window.
    let of_t = |rig: &mut Rig, puppet: usize| rig.control(puppet).ihave.len();
    assert_eq!([of_t(&mut rig, 1), of_t(&mut rig, 8)], [0, 1]);
    // A fanout that has ended is not gossiped about.
    assert_eq!(rig.router.fanout_of(&Topic::from("f")).count(), 0);
    assert!((9..15).all(|puppet| of_t(&mut rig, puppet) == 0));
    rig.heartbeat();
    assert_eq!(of_t(&mut rig, 8), 0);
}

// covers: GSP-262
#[test]
fn a_score_that_a_heartbeat_itself_lowers_counts_from_the_next_one() {
    let strict = TopicScoreParams {
        mesh_deliveries_weight: -0.01,
        mesh_deliveries_threshold: 2.0,
        mesh_failure_weight: -1000.0,
        mesh_failure_decay: 0.999,
        floor: Some(-0.03),
        ..TopicScoreParams::default()
    };
    let mut seen = BTreeSet::new();
    for seed in 0..16 {
        let config = Config {
            score: Some(ScoreConfig {
                topics: [(Topic::from("strict"), strict)].into(),
                ..ScoreConfig::default()
            }),
            ..quiet()
        };
        let mut rig = Rig::seeded(seed, 1, config);
        rig.connect(0);
        rig.run(10);
        rig.open(0);
        for topic in ["other", "strict"] {
            rig.router.subscribe(topic).unwrap();
            rig.say(0, &subscribe(topic, true));
        }
        rate(&mut rig, 0, 1.0);
        assert_eq!((rig.mesh("strict"), rig.mesh("other")), (vec![0], vec![0]));
        while !rig.mesh("strict").is_empty() {
            rig.heartbeat();
        }
        let peer = rig.peer(0);
        assert!(rig.router.score(&peer) < -1000.0);
        assert_eq!(rig.mesh("other"), [0], "as it was at the beginning");
        rig.heartbeat();
        assert!(rig.mesh("other").is_empty());
        seen.insert(rig.router.stats().heartbeats);
    }
    assert_eq!(seen.len(), 1);
}

// covers: GSP-243
#[test]
fn of_twenty_candidates_three_of_them_bad_and_two_without_gossip_fifteen_are_told() {
    let lists = |seed: u8, count: usize| {
        let config = Config { px: true, ..scored() };
        let mut rig = Rig::seeded(seed, count, config);
        for puppet in 0..2 {
            rig.join_as(puppet, Level::Flood);
        }
        for puppet in 2..count {
            rig.connect(puppet);
        }
        rig.run(10);
        for puppet in 2..count {
            rig.open(puppet);
        }
        rig.router.subscribe("t").unwrap();
        rig.run(5);
        for puppet in 0..count {
            rig.say(puppet, &subscribe("t", true));
        }
        for puppet in 2..5 {
            rate(&mut rig, puppet, -1.0);
        }
        let addr = "/ip4/1.1.1.1/tcp/1".parse().unwrap();
        let record = PeerRecord::new(rig.peer(10), 1, vec![addr])
            .seal(&rig.identities[11])
            .unwrap();
        assert!(rig.router.set_record(record.clone()));
        rig.hush();
        rig.router.unsubscribe(&t()).unwrap();
        rig.run(3);
        let mut lists = Vec::new();
        for puppet in 5..count {
            for listed in rig.control(puppet).prune {
                let mut found = BTreeSet::new();
                for info in listed.peers {
                    let of = |place: &usize| info.peer_id.as_deref() == Some(rig.peer(*place).as_bytes());
                    let place = (0..count).find(of).unwrap();
                    assert_eq!(info.record, (place == 10).then(|| record.clone()));
                    assert!(place >= 5 && place != puppet);
                    found.insert(place);
                }
                lists.push((puppet, found));
            }
        }
        lists
    };
    let all = lists(1, 21);
    assert!(!all.is_empty());
    for (pruned, found) in all {
        let mut wanted: BTreeSet<usize> = (5..21).collect();
        wanted.remove(&pruned);
        assert_eq!((found.len(), found), (15, wanted));
    }
    // Of more, sixteen are drawn.
    let (one, other) = (lists(1, 45), lists(2, 45));
    assert!(one.iter().chain(&other).all(|(_, found)| found.len() == 16));
    let kinds: BTreeSet<_> = one.iter().chain(&other).map(|(_, found)| found.clone()).collect();
    assert!(kinds.len() > 2);
}
