//! What waits for a peer leaves in parts within the limit, and nothing is lost on the way.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::{WireLimits, wire::PeerInfo};
use alloc::{format, vec};
use proptest::prelude::*;

fn me() -> PeerId {
    PeerId::from_encoded_key(&[9; 36])
}

fn topic(number: u16, len: usize) -> Topic {
    Topic::from(&*format!("{number:05}{}", "x".repeat(len)))
}

fn id(number: u32, len: usize) -> MessageId {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(len.max(4), 0);
    MessageId::from(bytes)
}

/// What is put in.
#[derive(Clone, Debug)]
struct Load {
    extensions: bool,
    subscriptions: Vec<(u16, usize, bool)>,
    grafts: Vec<(u16, usize)>,
    prunes: Vec<(u16, usize, usize)>,
    ihave: Vec<(u16, Vec<usize>)>,
    iwant: Vec<usize>,
    idontwant: Vec<usize>,
}

fn load() -> impl Strategy<Value = Load> {
    let lens = |most| proptest::collection::vec(4_usize..200, 0..most);
    (
        any::<bool>(),
        proptest::collection::vec((0_u16..999, 0_usize..300, any::<bool>()), 0..150),
        proptest::collection::vec((1000_u16..1999, 0_usize..300), 0..30),
        proptest::collection::vec((2000_u16..2999, 0_usize..300, 0_usize..16), 0..10),
        proptest::collection::vec((3000_u16..3999, lens(300)), 0..5),
        lens(300),
        lens(60),
    )
        .prop_map(
            |(extensions, subscriptions, grafts, prunes, ihave, iwant, idontwant)| Load {
                extensions,
                subscriptions,
                grafts,
                prunes,
                ihave,
                iwant,
                idontwant,
            },
        )
}

/// Everything that several frames say, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    extensions: Option<Extensions>,
    subscriptions: BTreeMap<Topic, bool>,
    graft: BTreeSet<Topic>,
    prune: BTreeMap<Topic, usize>,
    ihave: BTreeSet<(Topic, MessageId)>,
    iwant: BTreeSet<MessageId>,
    idontwant: BTreeSet<MessageId>,
}

impl Said {
    fn hear(&mut self, rpc: Rpc) {
        for said in rpc.subscriptions {
            assert!(self.subscriptions.insert(said.topic, said.subscribe).is_none());
        }
        let control = rpc.control.unwrap_or_default();
        self.extensions = self.extensions.or(control.extensions);
        self.graft.extend(control.graft);
        for prune in control.prune {
            assert!(self.prune.insert(prune.topic, prune.peers.len()).is_none());
        }
        for entry in control.ihave {
            for id in entry.ids {
                assert!(self.ihave.insert((entry.topic.clone(), id)));
            }
        }
        for id in control.iwant.into_iter().flatten() {
            assert!(self.iwant.insert(id));
        }
        for id in control.idontwant.into_iter().flatten() {
            assert!(self.idontwant.insert(id));
        }
    }
}

fn fill(load: &Load, limits: &Limits) -> (Queue, Said, BTreeMap<Topic, BTreeSet<PeerId>>) {
    let (mut queue, mut said, mut meshes) = (Queue::default(), Said::default(), BTreeMap::new());
    if load.extensions {
        let extensions = Extensions {
            partial_messages: Some(true),
            test_extension: None,
            choke: None,
        };
        queue.extensions = Some(extensions);
        said.extensions = Some(extensions);
    }
    for (number, len, subscribe) in &load.subscriptions {
        let topic = topic(*number, *len);
        queue
            .subscriptions
            .insert(topic.clone(), Subscription::new(topic.clone(), *subscribe));
        said.subscriptions.insert(topic, *subscribe);
    }
    for (number, len) in &load.grafts {
        let topic = topic(*number, *len);
        queue.changes.insert(topic.clone(), Change::Graft);
        meshes.insert(topic.clone(), BTreeSet::from([me()]));
        said.graft.insert(topic);
    }
    for (number, len, peers) in &load.prunes {
        let topic = topic(*number, *len);
        let info = PeerInfo {
            peer_id: Some(Bytes::from(vec![1; 38])),
            record: None,
        };
        let prune = Prune {
            topic: topic.clone(),
            peers: vec![info; (*peers).min(5)],
            backoff: Some(60),
        };
        said.prune.insert(topic.clone(), prune.peers.len());
        queue.changes.insert(topic, Change::Prune(prune));
    }
    let mut number = 0;
    let mut next = |len: usize| {
        number += 1;
        id(number, len)
    };
    for (place, lens) in &load.ihave {
        let topic = topic(*place, 3);
        let ids: Vec<MessageId> = lens.iter().map(|len| next(*len)).collect();
        said.ihave
            .extend(ids.iter().map(|id| (topic.clone(), id.clone())));
        queue.announce(&topic, ids, limits);
    }
    for len in &load.iwant {
        let id = next(*len);
        queue.iwant.push_back(id.clone());
        said.iwant.insert(id);
    }
    for len in &load.idontwant {
        let id = next(*len);
        queue.idontwant.push_back(id.clone());
        said.idontwant.insert(id);
    }
    (queue, said, meshes)
}

fn drain(queue: &mut Queue, limits: &Limits, meshes: &BTreeMap<Topic, BTreeSet<PeerId>>) -> Vec<Rpc> {
    let mut frames = Vec::new();
    while let Some(frame) = queue.next_control(limits, me(), meshes) {
        assert!(
            frame.len() <= limits.max_control_sent,
            "{} of {}",
            frame.len(),
            limits.max_control_sent
        );
        let wide = WireLimits {
            ids: 1 << 20,
            ..WireLimits::default()
        };
        let rpc = Rpc::decode(&frame, &wide).unwrap();
        assert_ne!(rpc, Rpc::default(), "no empty frame");
        frames.push(rpc);
        assert!(frames.len() < 10_000, "it ends");
    }
    frames
}

/// go: `FuzzRPCSplit`.
// covers: GSP-494, GSP-495, GSP-497
#[test]
fn vul_028_whatever_waits_every_frame_is_within_the_limit_and_all_of_them_say_it_all() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let rooms = prop_oneof![Just(1024_usize), Just(2000), Just(15 * 1024)];
    runner
        .run(&(load(), rooms), |(load, room)| {
            let limits = Limits {
                max_control_sent: room,
                ..Limits::default()
            };
            let (mut queue, wanted, meshes) = fill(&load, &limits);
            let frames = drain(&mut queue, &limits, &meshes);
            if let Some(first) = frames.first().filter(|_| load.extensions) {
                let said = first.control.as_ref().and_then(|control| control.extensions);
                prop_assert_eq!(said, wanted.extensions);
            }
            let mut said = Said::default();
            for rpc in frames {
                prop_assert!(rpc.subscriptions.len() <= limits.max_subscriptions_sent);
                let unwanted = rpc.control.iter().flat_map(|control| &control.idontwant);
                prop_assert!(unwanted.map(Vec::len).sum::<usize>() <= limits.max_idontwant_per_rpc);
                said.hear(rpc);
            }
            prop_assert_eq!(said, wanted);
            prop_assert!(!queue.has_control());
            prop_assert_eq!(queue.ihave_len, 0);
            Ok(())
        })
        .unwrap();
}

// covers: GSP-042
#[test]
fn five_thousand_ids_leave_in_frames_that_the_strictest_receiver_takes() {
    let limits = Limits::default();
    let mut queue = Queue::default();
    queue.announce(
        &topic(1, 3),
        (0..5000).map(|number| id(number, 20)).collect(),
        &limits,
    );
    let frames = drain(&mut queue, &limits, &BTreeMap::new());
    assert!(frames.len() >= 7);
    // rust's: 16 384 bytes of control and subscriptions, 100 subscriptions, 500 messages.
    let strict = WireLimits {
        control: 16_384,
        subscriptions: 100,
        messages: 500,
        ..WireLimits::default()
    };
    for rpc in &frames {
        assert!(Rpc::decode(&rpc.encode().into(), &strict).is_ok());
    }
}

// covers: GSP-485, GSP-339, GSP-490
#[test]
fn subscriptions_leave_before_control_and_control_before_messages() {
    let limits = Limits::default();
    let mut queue = Queue::default();
    for number in 0..10 {
        let item = Item {
            id: id(number, 8),
            frame: Bytes::from_static(b"message"),
            kind: Kind::Forward,
            until: Instant::from_millis(1000),
            publication: None,
        };
        assert!(queue.push(item, &limits).is_empty());
    }
    queue.announce(&topic(1, 0), vec![id(77, 8)], &limits);
    queue.idontwant.push_back(id(99, 8));
    queue.changes.insert(
        topic(2, 0),
        Change::Prune(Prune {
            topic: topic(2, 0),
            peers: vec![],
            backoff: Some(60),
        }),
    );
    let said = Subscription::new(topic(3, 0), true);
    queue.subscriptions.insert(topic(3, 0), said.clone());
    // The router asks for control first; within a frame the order of the fields is fixed, and cut from behind.
    let tight = Limits {
        max_control_sent: 100,
        ..Limits::default()
    };
    let frames: Vec<Rpc> = core::iter::from_fn(|| queue.next_control(&tight, me(), &BTreeMap::new()))
        .map(|frame| Rpc::decode(&frame, &WireLimits::default()).unwrap())
        .collect();
    assert_eq!(frames[0].subscriptions, [said]);
    let place = |wanted: fn(&Control) -> bool| {
        let has = |rpc: &Rpc| rpc.control.as_ref().is_some_and(wanted);
        frames.iter().position(has).unwrap()
    };
    let prune = place(|control| !control.prune.is_empty());
    let unwanted = place(|control| !control.idontwant.is_empty());
    let have = place(|control| !control.ihave.is_empty());
    assert!(0 < prune && prune <= unwanted && unwanted <= have);
    assert_eq!(queue.messages(), 10, "no message went before them");
}

// covers: GSP-486
#[test]
fn the_message_beyond_the_bound_is_refused_and_an_own_one_displaces_the_oldest_of_others() {
    let limits = Limits {
        max_queue_messages: 5,
        ..Limits::default()
    };
    let mut queue = Queue::default();
    let item = |number, kind| Item {
        id: id(number, 8),
        frame: Bytes::from_static(b"message"),
        kind,
        until: Instant::from_millis(1000),
        publication: None,
    };
    let mut gone = |number, kind| -> Vec<MessageId> {
        queue
            .push(item(number, kind), &limits)
            .into_iter()
            .map(|item| item.id)
            .collect()
    };
    for number in 0..5 {
        assert!(gone(number, Kind::Forward).is_empty());
    }
    assert_eq!(gone(5, Kind::Forward), [id(5, 8)]);
    assert_eq!(gone(6, Kind::Own), [id(0, 8)]);
    for number in 7..11 {
        gone(number, Kind::Own);
    }
    assert_eq!(
        gone(11, Kind::Own),
        [id(11, 8)],
        "own ones do not displace own ones"
    );
    assert_eq!(gone(12, Kind::Reply), [id(12, 8)]);
    assert_eq!((queue.messages(), queue.bytes()), (5, 35));
}

// covers: GSP-488
#[test]
fn a_message_that_waited_for_its_time_is_dropped() {
    let limits = Limits::default();
    let mut queue = Queue::default();
    for (number, kind, millis) in [(1, Kind::Forward, 1000), (2, Kind::Own, 5000)] {
        let item = Item {
            id: id(number, 8),
            frame: Bytes::from_static(b"message"),
            kind,
            until: Instant::from_millis(millis),
            publication: None,
        };
        queue.push(item, &limits);
    }
    assert!(queue.expire(Instant::from_millis(999)).is_empty());
    let late: Vec<Kind> = queue
        .expire(Instant::from_millis(1001))
        .iter()
        .map(|item| item.kind)
        .collect();
    assert_eq!(late, [Kind::Forward]);
    let late: Vec<Kind> = queue
        .expire(Instant::from_millis(5000))
        .iter()
        .map(|item| item.kind)
        .collect();
    assert_eq!(late, [Kind::Own]);
    assert_eq!(queue.bytes(), 0);
}

// covers: GSP-321, GSP-340
#[test]
fn copies_of_a_message_that_is_not_wanted_any_more_leave_the_queue_answers_too() {
    let limits = Limits::default();
    let mut queue = Queue::default();
    for kind in [Kind::Own, Kind::Forward, Kind::Reply] {
        for number in [1, 2] {
            let item = Item {
                id: id(number, 8),
                frame: Bytes::from_static(b"message"),
                kind,
                until: Instant::from_millis(1000),
                publication: None,
            };
            queue.push(item, &limits);
        }
    }
    assert_eq!(queue.unqueue(&id(1, 8)).len(), 3);
    assert_eq!((queue.messages(), queue.bytes()), (3, 21));
    assert!(queue.unqueue(&id(1, 8)).is_empty());
}
