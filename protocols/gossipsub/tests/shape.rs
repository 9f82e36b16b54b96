//! What the machine keeps, joins, accepts and bounds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, PeerId, ProtocolName, Rng};
use libp2p_proto_gossipsub::{
    Config, Event, Gossipsub, Level, Limits, Message, MessageId, NameMatcher, SignaturePolicy, Topic,
    TopicConfig,
    wire::{Control, Partial, PeerInfo, Prune, Rpc, Subscription},
};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{
    Framing, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};
use std::fs;
use support::{
    Rig, anonymous, graft, identity, idontwant, ihave, iwant, judged, prune, publish, quiet, scored, signed,
    subscribe, t, with_control,
};

// covers: GSP-018
#[test]
fn the_connection_of_a_member_is_kept_and_so_is_that_of_an_explicit_peer() {
    for idle_outside_meshes in [false, true] {
        let config = Config {
            idle_outside_meshes,
            ..quiet()
        };
        let mut rig = Rig::new(3, config);
        let conns: Vec<_> = rig.conns.iter().flatten().copied().collect();
        let specs = rig.router.specs();
        assert!(specs.iter().all(|spec| spec.keeps_alive != idle_outside_meshes));
        let kept = |rig: &Rig| {
            let mut kept = rig.bench.kept(0).to_vec();
            kept.sort_unstable();
            kept
        };
        for topic in ["t", "u"] {
            rig.router.subscribe(topic).unwrap();
        }
        rig.run(3);
        assert!(kept(&rig).is_empty());
        for topic in ["t", "u"] {
            rig.say(0, &subscribe(topic, true));
            rig.say(0, &graft(&[topic]));
            assert_eq!(kept(&rig), conns[..1]);
        }
        rig.say(0, &prune("t", None));
        assert_eq!(kept(&rig), conns[..1], "it is in the other mesh");
        rig.say(0, &prune("u", None));
        assert!(kept(&rig).is_empty());
        rig.router.add_explicit(rig.peer(1)).unwrap();
        rig.run(2);
        assert_eq!(kept(&rig), conns[1..2]);
        rig.router.remove_explicit(rig.peer(1)).unwrap();
        rig.run(2);
        assert!(kept(&rig).is_empty());
        // One that is blocked, and one that comes back over another connection.
        for puppet in 1..3 {
            rig.say(puppet, &subscribe("t", true));
        }
        assert_eq!(kept(&rig), conns[1..]);
        rig.router.block(rig.peer(1)).unwrap();
        rig.run(5);
        assert_eq!(kept(&rig), conns[2..]);
        rig.disconnect(2);
        rig.connect(2);
        rig.run(5);
        rig.open(2);
        rig.say(2, &subscribe("t", true));
        assert_eq!(kept(&rig), [rig.conns[2].unwrap()]);
        // It leaves, and so do we.
        rig.router.unsubscribe(&t()).unwrap();
        rig.run(5);
        assert!(kept(&rig).is_empty());
    }
}

/// `count` different ids of the same value under the hash of Java's strings, h = 31 h + c: "Aa" and "BB" are alike.
fn colliding(count: usize) -> impl Iterator<Item = MessageId> {
    (0..count).map(|number| {
        let pairs = (0..17).map(|bit| if number >> bit & 1 == 0 { *b"Aa" } else { *b"BB" });
        MessageId::from(pairs.flatten().collect::<Vec<u8>>())
    })
}

// covers: GSP-119
#[test]
fn no_table_is_hashed_so_no_ids_collide() {
    let mut files = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        read += 1;
        for name in ["HashMap", "HashSet", "IndexMap", "hashbrown"] {
            assert!(!text.contains(name), "{name} in {path:?}");
        }
    }
    assert!(read > 25);
    // A hundred thousand that a hash would put into one place, each looked up in every table of ids on its way. What they cost is what others cost.
    let hash = |id: &MessageId| {
        let bytes = id.as_bytes().iter();
        bytes.fold(0_u32, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(u32::from(*byte))
        })
    };
    let first = hash(&colliding(1).next().unwrap());
    assert!(colliding(100_000).all(|id| hash(&id) == first));
    let limits = Limits {
        max_ihave_rpcs: u32::MAX,
        max_ihave_ids: 200_000,
        max_promises: 200_000,
        max_idontwant: 200_000,
        ..Limits::default()
    };
    let cost = |ids: Vec<MessageId>| {
        let config = Config {
            limits: limits.clone(),
            ..quiet()
        };
        let mut rig = Rig::subscribed(1, config);
        let work = allocation_counter::measure(|| {
            for some in ids.chunks(2000) {
                rig.say(0, &ihave("t", some.to_vec()));
            }
        });
        assert_eq!(rig.router.stats().iwant_sent, 100_000);
        work.count_total
    };
    let others = (0..100_000_u64).map(|number| {
        let mut bytes = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec();
        bytes.resize(34, 0x5a);
        MessageId::from(bytes)
    });
    let (alike, different) = (cost(colliding(100_000).collect()), cost(others.collect()));
    assert!(alike * 10 <= different * 11, "{alike} {different}");
}

// covers: GSP-137
#[test]
fn a_topic_that_is_judged_slowly_leaves_room_for_the_others() {
    let slow = TopicConfig {
        max_pending: Some(2),
        ..TopicConfig::default()
    };
    let limits = Limits {
        max_pending: 5,
        ..Limits::default()
    };
    let config = Config {
        topics: [(Topic::from("slow"), slow)].into(),
        limits,
        ..judged()
    };
    let mut rig = Rig::subscribed(1, config);
    rig.router.subscribe("slow").unwrap();
    rig.run(2);
    for seqno in 1..=4 {
        let message = rig.message(0, seqno, "slow", b"x");
        rig.say(0, &publish(message));
    }
    let counts = |rig: &Rig| (rig.router.census().pending, rig.router.stats().throttled);
    assert_eq!(counts(&rig), (2, 2));
    // The third was neither: it may come again when there is room.
    let third = rig.message(0, 3, "slow", b"x");
    for seqno in 11..=14 {
        let message = rig.message(0, seqno, "t", b"y");
        rig.say(0, &publish(message));
    }
    assert_eq!(counts(&rig), (5, 3), "of all together");
    let first = rig.message(0, 1, "slow", b"x");
    support::verdict(&mut rig, &first, libp2p_proto_gossipsub::Verdict::Accept);
    rig.say(0, &publish(third));
    assert_eq!(counts(&rig), (5, 3));
    assert_eq!(
        (rig.router.stats().rejected, rig.router.stats().penalties),
        (0, 0)
    );
}

fn nameless(limits: Limits) -> Config {
    Config {
        policy: SignaturePolicy::StrictNoSign,
        id: libp2p_proto_gossipsub::MessageIdFn::Sha256,
        limits,
        ..quiet()
    }
}

/// go: `TestFragmentRPCFunction`.
// covers: GSP-494
#[test]
fn messages_that_wait_leave_together_as_many_as_fit_and_none_is_lost() {
    for (max_joined, least, most) in [(1024, 20, 30), (0, 100, 100), (64 * 1024, 1, 2)] {
        let limits = Limits {
            max_joined,
            ..Limits::default()
        };
        let mut rig = Rig::subscribed(1, nameless(limits));
        rig.hush();
        let opened = rig.puppets[0].opened();
        let stream = *opened.iter().find(|stream| stream.is_inbound()).unwrap();
        rig.bench.with(1, &rig.puppets[0], |cx| cx.pause(stream));
        // Each another one, or it would be known.
        for number in 0..=u8::MAX {
            rig.router.publish("t", vec![number; 400_000], false).unwrap();
            rig.run(1);
            if rig.router.census().queued > 0 {
                break;
            }
        }
        let waiting = rig.router.census().queued;
        let bodies: Vec<Bytes> = (0..100_u8).map(|body| Bytes::from(vec![body; 200])).collect();
        for body in &bodies {
            rig.router.publish("t", body.clone(), false).unwrap();
        }
        rig.run(1);
        assert_eq!(rig.router.census().queued, waiting + 100);
        rig.router.subscribe("u").unwrap();
        rig.run(1);
        rig.bench.with(1, &rig.puppets[0], |cx| cx.resume(stream));
        rig.run(50);
        let small = |rpc: &Rpc| {
            rpc.publish
                .iter()
                .any(|message| message.data.as_ref().unwrap().len() == 200)
        };
        let heard: Vec<Rpc> = rig.heard(0);
        let kept = heard.iter().flat_map(|rpc| &rpc.subscriptions).count();
        assert_eq!(kept, 1);
        let rpcs: Vec<Rpc> = heard.into_iter().filter(small).collect();
        assert!(
            (least..=most).contains(&rpcs.len()),
            "{max_joined}: {}",
            rpcs.len()
        );
        for rpc in &rpcs {
            let bytes = rpc.encode().len();
            assert!(bytes <= max_joined || rpc.publish.len() == 1, "{bytes}");
        }
        let got: Vec<u8> = rpcs
            .into_iter()
            .flat_map(|rpc| rpc.publish)
            .filter_map(|message| message.data.map(|data| data[0]))
            .collect();
        let wanted: Vec<u8> = (0..100).collect();
        assert_eq!(got, wanted, "in the order in which they were published");
    }
}

/// Whatever is added while ids, subscriptions and changes wait too, the parts together say what was to be said, and each is within the limit.
// covers: GSP-494
#[test]
fn what_several_topics_have_to_say_is_split_into_rpcs_within_the_limit() {
    let limits = Limits {
        max_control_sent: 1024,
        max_joined: 1024,
        ..Limits::default()
    };
    let mut rig = Rig::new(1, nameless(limits));
    let names: Vec<String> = (0..200).map(|number| format!("topic-{number:04}")).collect();
    for name in &names {
        rig.say(0, &subscribe(name, true));
    }
    rig.hush();
    for (number, name) in names.iter().enumerate() {
        rig.router.subscribe(name.as_str()).unwrap();
        rig.router
            .publish(name.as_str(), Bytes::from(vec![number as u8; 100]), false)
            .unwrap();
    }
    rig.run(20);
    let heard = rig.heard(0);
    assert!(heard.iter().all(|rpc| rpc.encode().len() <= 1024));
    let sum = |of: &dyn Fn(&Rpc) -> usize| heard.iter().map(of).sum::<usize>();
    assert_eq!(sum(&|rpc| rpc.subscriptions.len()), 200);
    assert_eq!(
        sum(&|rpc| rpc.control.as_ref().map_or(0, |control| control.graft.len())),
        200
    );
    assert_eq!(sum(&|rpc| rpc.publish.len()), 200);
}

// covers: GSP-515
#[test]
fn a_matcher_takes_names_that_nobody_listed_and_says_what_they_mean() {
    let matcher = NameMatcher::new(ProtocolName::from_static("/foo/"), |name| match name.as_str() {
        "/foo/9.9.9" => Some(Level::V12),
        "/foo/0.1" => Some(Level::Flood),
        _ => None,
    });
    let config = Config {
        matcher: Some(matcher),
        ..scored()
    }
    .with_prefix("/foo")
    .unwrap();
    let names: Vec<&str> = config.protocols.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["/foo/1.3.0", "/foo/1.2.0", "/foo/1.1.0", "/foo/1.0.0"]);
    // What a peer is heard at: the control of one that floods means nothing.
    for (name, opens, grafts) in [
        ("/foo/9.9.9", true, true),
        ("/foo/0.1", true, false),
        ("/foo/7", false, false),
        ("/bar/1.2.0", false, false),
        ("/foo/1.2.0", true, true),
    ] {
        let identities: Vec<Identity> = (0..2).map(identity).collect();
        let peers: Vec<PeerId> = identities.iter().map(Identity::peer_id).collect();
        let mut router = Gossipsub::new(identities[0].clone(), config.clone()).unwrap();
        let spec = |name: &str| {
            StreamSpec::new(
                ProtocolName::new(name).unwrap(),
                Framing::LengthDelimited { max: 1 << 20 },
            )
        };
        let mut puppet = Puppet::with_specs(vec![spec(name), spec("/foo/1.1.0")]);
        let mut bench = Bench::with_peers(1, &peers, support::LATENCY);
        let conn = bench.connect(1, 0);
        let run = |bench: &mut Bench, router: &mut Gossipsub, puppet: &mut Puppet| {
            bench.run(&mut [router, puppet], Duration::from_millis(10));
        };
        router.subscribe("t").unwrap();
        run(&mut bench, &mut router, &mut puppet);
        let stream = bench
            .with(1, &puppet, |cx| cx.open(Target::Connection(conn), &[0]))
            .unwrap();
        run(&mut bench, &mut router, &mut puppet);
        let mut rpc = subscribe("t", true);
        rpc.control = graft(&["t"]).control;
        // Our own stream is one of the listed names, or it would not be in a mesh.
        let frame = Bytes::from(rpc.encode());
        let _refused_is_fine = bench.with(1, &puppet, |cx| cx.write(stream, frame));
        run(&mut bench, &mut router, &mut puppet);
        let refused =
            |input: &Input| matches!(input, Input::Closed { stream: closed, .. } if *closed == stream);
        assert_eq!(puppet.inputs.iter().any(refused), !opens, "{name}");
        assert_eq!(router.peers_of(&t()).count(), usize::from(opens), "{name}");
        // A GRAFT of a member is no news; that it was heard shows when it is refused.
        router.add_explicit(peers[1]).unwrap();
        run(&mut bench, &mut router, &mut puppet);
        let frame = Bytes::from(graft(&["t"]).encode());
        let _refused_is_fine = bench.with(1, &puppet, |cx| cx.write(stream, frame));
        run(&mut bench, &mut router, &mut puppet);
        let heard = core::iter::from_fn(|| router.poll_event());
        let heard = heard
            .filter(|event| matches!(event, Event::NotReciprocal { .. }))
            .count();
        assert_eq!(heard, usize::from(grafts), "{name}");
        // Peers are told of whole names.
        let told = bench.with(0, &router, |cx| cx.local_protocols(None));
        assert_eq!(told.len(), 4);
    }
}

// covers: GSP-544
#[test]
fn the_profile_of_kubo_numbers_its_messages_upwards_over_restarts_even_if_the_clock_goes_back() {
    let config = Config::kubo();
    assert!(config.replay_guard && config.flood_publish);
    assert_eq!(config.policy, SignaturePolicy::StrictSign);
    let published = |rig: &mut Rig| {
        rig.hush();
        rig.router.publish("t", "x", false).unwrap();
        let messages = rig.messages(0);
        let id = rig.events.iter().find_map(|event| match event {
            Event::Published { id, .. } => Some(id.clone()),
            _ => None,
        });
        assert_eq!(id.unwrap(), support::go_id(&messages[0]));
        u64::from_be_bytes(messages[0].seqno.as_deref().unwrap().try_into().unwrap())
    };
    let mut rig = Rig::subscribed(1, Config::kubo());
    rig.run(60_000);
    let (first, second) = (published(&mut rig), published(&mut rig));
    assert!(first < second);
    assert_eq!(rig.router.seqno(), second);
    let kept = rig.router.seqno();
    // The same node a minute before, by its clock; what it kept goes into it.
    let mut rig = Rig::subscribed(1, Config::kubo());
    let lost = published(&mut rig);
    assert!(lost < first, "the clock went back");
    let own = rig.identities[0].peer_id();
    rig.router.remember_author(own, kept);
    assert_eq!(published(&mut rig), kept + 1);
    rig.router.remember_author(own, 7);
    assert!(published(&mut rig) > kept + 1);
    // And the numbers of others, by which old messages are known.
    let old = rig.message(0, 5, "t", b"old");
    rig.router.remember_author(rig.peer(0), 5);
    rig.hush();
    rig.say(0, &publish(old));
    assert!(rig.delivered().is_empty());
    let news = rig.message(0, 6, "t", b"new");
    rig.say(0, &publish(news));
    assert_eq!(rig.delivered(), ["new"]);
}

// covers: GSP-527
#[test]
fn a_clone_is_a_snapshot_that_does_what_the_original_does() {
    let mut rig = Rig::subscribed(9, scored());
    rig.run(5000);
    for puppet in 0..9 {
        support::rate(&mut rig, puppet, f64::from(puppet as u8) - 2.0);
        let message = rig.message(puppet, 1, "t", b"x");
        rig.say(puppet, &publish(message));
    }
    rig.say(1, &prune("t", Some(30)));
    let snapshot = rig.router.clone();
    let seen = |router: &Gossipsub, rig: &Rig| {
        let peers: Vec<PeerId> = (0..9).map(|puppet| rig.peer(puppet)).collect();
        let scores: Vec<_> = peers.iter().map(|peer| router.explain(peer)).collect();
        let backoffs: Vec<Option<Instant>> =
            peers.iter().map(|peer| router.backoff_of(&t(), *peer)).collect();
        let mesh: Vec<PeerId> = router.mesh_of(&t()).copied().collect();
        (mesh, backoffs, scores, router.census(), router.stats())
    };
    assert_eq!(seen(&snapshot, &rig), seen(&rig.router, &rig));
    // From here on the same inputs, in two benches whose dice are the same.
    let follow = |router: Gossipsub, rig: &Rig| {
        let mut router = router;
        let peers: Vec<PeerId> = rig.identities.iter().map(Identity::peer_id).collect();
        let mut bench = Bench::with_peers(9, &peers, support::LATENCY).starting_at(rig.bench.now());
        router.publish("t", "afterwards", false).unwrap();
        let mut all: Vec<&mut dyn Protocol> = vec![&mut router];
        bench.run(&mut all, Duration::from_secs(3));
        let events: Vec<Event> = core::iter::from_fn(|| router.poll_event()).collect();
        (seen(&router, rig), events)
    };
    let one = follow(snapshot.clone(), &rig);
    assert_eq!(one, follow(rig.router.clone(), &rig));
    // And the snapshot is still what it was.
    assert_eq!(seen(&snapshot, &rig), seen(&rig.router, &rig));
    assert_ne!(one.0, seen(&snapshot, &rig));
}

/// One RPC of any kind, with up to a few hundred of whatever is in it.
fn any_rpc(rng: &mut Rng, author: &Identity, number: u64) -> Rpc {
    let mut below = |bound: u64| rng.below(bound);
    let topic = |number: u64| Topic::from(["t", "parts", "u", "v"][number as usize % 4]);
    let id = |number: u64| MessageId::from(number.to_be_bytes().to_vec());
    let count = below(200);
    let mut ids = || (0..count).map(|_| id(below(1 << 30))).collect::<Vec<_>>();
    match number % 8 {
        0 => ihave("t", ids()),
        1 => iwant(ids()),
        2 => idontwant(ids().into_iter().take(10).collect()),
        3 => publish(signed(author, number, "t", &[7; 3000])),
        4 => {
            let entries = (0..count).map(|place| {
                Subscription::new(Topic::from(format!("{number}/{place}").as_str()), place % 4 != 0)
            });
            Rpc {
                subscriptions: entries.collect(),
                ..Rpc::default()
            }
        }
        5 => with_control(Control {
            graft: (0..count).map(topic).collect(),
            prune: vec![Prune {
                topic: topic(count),
                peers: vec![PeerInfo::default(); 20],
                backoff: Some(count),
            }],
            ..Control::default()
        }),
        6 => Rpc {
            partial: Some(Partial {
                topic: Some(topic(1)),
                group: Some(number.to_be_bytes().to_vec().into()),
                parts: Some(vec![0; 2000].into()),
                metadata: Some(vec![1; 500].into()),
            }),
            ..Rpc::default()
        },
        _ => publish(Message {
            seqno: None,
            ..anonymous(b"nonsense")
        }),
    }
}

/// Rounds of the flood; a thousand take some minutes in debug: `FLOOD_ROUNDS=1000`.
fn rounds() -> u64 {
    let said = std::env::var("FLOOD_ROUNDS").ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(60)
}

// covers: GSP-500
#[test]
fn whatever_peers_send_and_whoever_does_not_read_every_queue_stays_within_its_number() {
    let limits = Limits {
        max_queue_bytes: 64 * 1024,
        max_frame: 64 * 1024,
        max_queue_messages: 50,
        max_queue_ids: 300,
        max_events: 40,
        max_pending: 30,
        max_pending_bytes: 60_000,
        max_seen: 500,
        max_cache_bytes: 100_000,
        max_promises: 400,
        max_backoffs: 10,
        max_px_dials: 5,
        max_idontwant: 100,
        max_topics_per_peer: 60,
        max_groups: 20,
        max_metadata_per_peer: 4,
        max_queue_partial: 10,
        ..Limits::default()
    };
    let parts = TopicConfig {
        requests_partial: true,
        supports_partial: true,
        validate: Some(false),
        ..TopicConfig::default()
    };
    let config = Config {
        limits: limits.clone(),
        partial_messages: true,
        topics: [(Topic::from("parts"), parts)].into(),
        px: true,
        replay_guard: true,
        validate: true,
        trace: true,
        ..quiet()
    };
    let mut rig = Rig::subscribed(3, config);
    for topic in ["parts", "u"] {
        rig.router.subscribe(topic).unwrap();
    }
    rig.run(5);
    // The first does not read.
    let opened = rig.puppets[0].opened();
    let stream = *opened.iter().find(|stream| stream.is_inbound()).unwrap();
    rig.bench.with(1, &rig.puppets[0], |cx| cx.pause(stream));
    let author = Identity::from(Keypair::ed25519_from_seed([9; 32]));
    let mut rng = Rng::from_seed([5; 32]);
    let mut number = 0;
    let mut most = 0;
    for round in 0..rounds() {
        let frames: Vec<Bytes> = (0..60)
            .map(|_| {
                number += 1;
                any_rpc(&mut rng, &author, number).encode().into()
            })
            .collect();
        let work = allocation_counter::measure(|| {
            for (place, frame) in frames.into_iter().enumerate() {
                let puppet = place % 3;
                let stream = rig.streams[puppet].unwrap();
                let _paused_is_fine = rig
                    .bench
                    .with(puppet + 1, &rig.puppets[puppet], |cx| cx.write(stream, frame));
            }
            // Nobody takes an event, and nothing is judged.
            let mut all: Vec<&mut dyn Protocol> = vec![&mut rig.router];
            all.extend(rig.puppets.iter_mut().map(|puppet| puppet as &mut dyn Protocol));
            rig.bench.run(&mut all, Duration::from_millis(300));
            for puppet in &mut rig.puppets {
                puppet.inputs.clear();
            }
        });
        let own = rig.router.publish("t", vec![round as u8; 3000], true);
        assert!(own.is_ok());
        let census = rig.router.census();
        assert!(
            census.queued <= 3 * limits.max_queue_messages
                && census.queued_bytes <= 3 * limits.max_queue_bytes
        );
        assert!(
            census.subscriptions <= 3 * limits.max_topics_per_peer
                && census.unwanted <= 3 * 3 * limits.max_idontwant
        );
        assert!(census.seen <= limits.max_seen && census.cached_bytes <= limits.max_cache_bytes);
        assert!(census.pending <= limits.max_pending && census.promises <= limits.max_promises);
        assert!(census.backoffs <= limits.max_backoffs && census.groups <= 2 * limits.max_groups);
        assert!(census.metadata <= 3 * limits.max_metadata_per_peer);
        assert!(rig.bench.dials(0).len() <= limits.max_px_dials);
        if round == 20 {
            most = 0;
        }
        most += work.bytes_current;
    }
    // What it holds after the first rounds it holds after all.
    assert!(most < 512 * 1024, "{most}");
    let waiting = core::iter::from_fn(|| rig.router.poll_event()).count();
    let traced = core::iter::from_fn(|| rig.router.poll_trace()).count();
    assert!(waiting <= limits.max_events && traced <= limits.max_events);
    assert!(rig.router.stats().events_dropped > 0);
}
