//! GossipSub while networks break, crowds come and go, versions differ, messages are large, and peers flood.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "tests fail by panicking"
)]

use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant, PeerId, StreamId};
use libp2p_proto_gossipsub::{
    Config, Gossipsub, Level, Limits, MessageId, ScoreConfig, Topic, TopicScoreParams,
    wire::{Control, IHave, Message, Rpc, Subscription},
};
use libp2p_proto_simulator::{
    App, Fault, FaultKind, Lent, Link, Node, NodeConfig, Places, Scenario, Sim, Step, TOPIC,
};
use libp2p_proto_stream_protocol::{Context, Framing, Input, Protocol, StreamSpec, Target};
use libp2p_proto_swarm::Event;
use std::collections::{BTreeMap, BTreeSet};

const SECOND: Duration = Duration::from_secs(1);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn router(sim: &Sim<Node>, place: usize) -> Option<&Gossipsub> {
    sim.app(place)?.gossipsub.as_ref()
}

/// A network of nodes, each with its own configuration, on short ways.
fn nodes(scenario: Scenario, config: impl Fn(usize) -> Config + 'static) -> Sim<Node> {
    let scenario = Scenario {
        strict: false,
        ..scenario.at_swarm_level()
    };
    Sim::new(scenario, 1, move |birth| {
        let config = NodeConfig {
            gossipsub: Some(config(birth.place)),
            ..NodeConfig::default()
        };
        Node::new(&config, &birth)
    })
    .unwrap()
}

/// Lets one node keep up a connection to another.
fn befriend(sim: &mut Sim<Node>, from: usize, to: usize) {
    let (peer, addr) = (sim.peer(to).unwrap(), sim.address_of(to).unwrap());
    sim.command(from, |app, _, now| app.befriend(now, peer, addr));
}

/// Each node keeps up connections to the ones so many places further.
fn wire(sim: &mut Sim<Node>, hosts: usize, steps: &[usize]) {
    for from in 0..hosts {
        for step in steps {
            befriend(sim, from, (from + step) % hosts);
        }
    }
}

fn publish(sim: &mut Sim<Node>, place: usize, bytes: usize) {
    let at = sim.now();
    assert_eq!(sim.command(place, |app, _, _| app.publish(at, bytes)), Some(true));
}

/// Groups of hosts that hear nothing of each other.
fn apart(at: u64, during: u64, hosts: usize, groups: usize) -> Vec<Fault> {
    let group = |number: usize| -> Vec<usize> { (0..hosts).filter(|host| host % groups == number).collect() };
    let cut = |number| FaultKind::Cut {
        from: Places::Some(group(number)),
        to: Places::But(group(number)),
    };
    (0..groups)
        .map(|number| Fault::during(secs(at), secs(during), cut(number)))
        .collect()
}

/// The gossip part of SIM-008.
#[test]
fn when_a_network_that_fell_apart_heals_every_message_reaches_everyone() {
    let hosts = 20;
    let mut faults = Vec::new();
    for (place, groups) in [2, 3, 5].into_iter().enumerate() {
        faults.extend(apart(40 + 60 * place as u64, 25, hosts, groups));
    }
    // One half does not hear the other, which hears it.
    let half: Vec<usize> = (0..hosts / 2).collect();
    let kind = FaultKind::Cut {
        from: Places::Some(half.clone()),
        to: Places::But(half),
    };
    faults.push(Fault::during(secs(220), secs(25), kind));
    for flap in 0..6 {
        faults.extend(apart(280 + 10 * flap, 5, hosts, 2));
    }
    let scenario = Scenario {
        faults,
        ..Scenario::new(hosts)
    };
    let mut sim = nodes(scenario, |_| Config::default());
    wire(&mut sim, hosts, &[1, 3, 7]);
    for healed in [66, 126, 186, 246, 336] {
        sim.run_for(secs(healed + 10).saturating_sub(sim.now().since(Instant::ZERO)))
            .unwrap();
        let before = sim.deliveries().count();
        for number in 0..20 {
            publish(&mut sim, number, 500);
            sim.run_for(Duration::from_millis(100)).unwrap();
        }
        sim.run_for(secs(8)).unwrap();
        let got = sim.deliveries().count() - before;
        assert!(got >= 20 * (hosts as u64 - 1), "{got} at {healed} s");
    }
}

/// How many live nodes have a mesh whose size is out of its range although there are peers enough.
fn out_of_range(sim: &Sim<Node>, hosts: usize) -> Vec<(usize, usize)> {
    let topic = Topic::from(TOPIC);
    let mesh = Config::default().mesh;
    let sizes = (0..hosts).filter_map(|place| {
        let router = router(sim, place)?;
        let (members, peers) = (router.mesh_of(&topic).count(), router.peers_of(&topic).count());
        Some((place, members, peers))
    });
    sizes
        .filter(|(_, members, peers)| *members > mesh.d_hi || *members < mesh.d_lo.min(*peers))
        .map(|(place, members, _)| (place, members))
        .collect()
}

/// The gossip part of SIM-014.
#[test]
fn after_a_crowd_comes_in_a_minute_and_half_leave_in_a_second_meshes_are_mended_in_thirty_heartbeats() {
    let hosts = 100;
    let kill = FaultKind::Kill {
        hosts: Places::Some((0..hosts).filter(|place| place % 2 == 1).collect()),
    };
    let scenario = Scenario {
        faults: vec![Fault::at(secs(140), kill)],
        ..Scenario::new(hosts)
    };
    let mut sim = nodes(scenario, |_| Config::default());
    wire(&mut sim, 10, &[1, 2, 3]);
    sim.run_for(secs(30)).unwrap();
    for place in 10..hosts {
        // To earlier ones, spread over them.
        for step in 1..17 {
            befriend(&mut sim, place, (place * 7919 + step * 104_729) / 13 % place);
        }
        sim.run_for(Duration::from_millis(660)).unwrap();
    }
    sim.run_for(secs(30)).unwrap();
    assert!(sim.now() < Instant::from_millis(140_000));
    // Whom all that it knows have trimmed within the last minute has to wait for it to pass: one in fifty.
    let out = out_of_range(&sim, hosts);
    assert!(out.len() <= 2, "{out:?}");
    sim.run_for(secs(171).saturating_sub(sim.now().since(Instant::ZERO)))
        .unwrap();
    assert_eq!(
        (0..hosts).filter(|place| router(&sim, *place).is_some()).count(),
        50
    );
    let out = out_of_range(&sim, hosts);
    assert!(out.len() <= 1, "{out:?}");
    let before = sim.deliveries().count();
    for number in 0..20 {
        publish(&mut sim, 2 * number, 500);
    }
    sim.run_for(secs(8)).unwrap();
    assert_eq!(sim.deliveries().count() - before, 20 * 49);
}

// covers: SIM-031
#[test]
fn whatever_versions_are_mixed_all_is_delivered_with_as_many_copies() {
    let hosts = 16;
    let levels = [Level::V13, Level::V12, Level::V11, Level::V10, Level::Flood];
    let mut copies = BTreeMap::new();
    for one in levels {
        for other in levels {
            let config = move |place: usize| Config {
                flood_publish: false,
                ..Config::default().up_to(if place % 2 == 0 { one } else { other })
            };
            let mut sim = nodes(Scenario::new(hosts), config);
            wire(&mut sim, hosts, &[1, 2, 3, 4, 5]);
            sim.run_for(secs(10)).unwrap();
            for number in 0..64 {
                // Too small for IDONTWANT, which is there to save copies.
                publish(&mut sim, number * 5 % hosts, 500);
                sim.run_for(Duration::from_millis(100)).unwrap();
            }
            sim.run_for(secs(6)).unwrap();
            assert_eq!(sim.deliveries().count(), 64 * 15, "{one:?} and {other:?}");
            let all = (0..hosts).filter_map(|place| router(&sim, place));
            let duplicates: u64 = all.map(|router| router.stats().duplicates).sum();
            copies.insert((one, other), duplicates);
        }
    }
    for ((one, other), duplicates) in &copies {
        // Who stands at even places plays no part.
        let turned = copies[&(*other, *one)];
        assert!(
            duplicates.abs_diff(turned) * 10 <= turned.max(*duplicates),
            "{copies:?}"
        );
        if *one > Level::Flood && *other > Level::Flood {
            let newest = copies[&(Level::V13, Level::V13)];
            assert!(duplicates.abs_diff(newest) * 10 <= newest, "{copies:?}");
        }
    }
}

// covers: SIM-033
#[test]
fn messages_of_a_megabyte_press_on_slow_links_and_no_queue_or_cache_passes_its_bound() {
    let hosts = 10;
    let limits = Limits {
        max_frame: (1 << 20) + 4096,
        max_queue_bytes: 3 << 20,
        max_cache_bytes: 8 << 20,
        ..Limits::default()
    };
    let (most_queued, most_cached) = (limits.max_queue_bytes, limits.max_cache_bytes);
    let scenario = Scenario {
        link: Link {
            bandwidth: Some(400 * 1024),
            ..Link::default()
        },
        ..Scenario::new(hosts)
    };
    let mut scenario = scenario;
    scenario.swarm.streams.unread = 3 << 20;
    let mut sim = nodes(scenario, move |_| Config {
        limits: limits.clone(),
        ..Config::default()
    });
    wire(&mut sim, hosts, &[1, 2, 3]);
    sim.run_for(secs(10)).unwrap();
    let mut pressed = 0;
    for number in 0..30 {
        publish(&mut sim, number % 3, 1 << 20);
        for _ in 0..2 {
            sim.run_for(SECOND).unwrap();
            for place in 0..hosts {
                let census = router(&sim, place).unwrap().census();
                assert!(census.queued_bytes <= most_queued * census.peers, "{census:?}");
                assert!(census.cached_bytes <= most_cached);
                pressed = pressed.max(census.queued_bytes);
            }
        }
    }
    assert!(pressed > 4 << 20, "more was said than the links take: {pressed}");
    sim.run_for(secs(60)).unwrap();
    // Whatever was dropped, nothing is stuck: what is said at a pace that links keep arrives.
    let before = sim.deliveries().count();
    for number in 0..3 {
        publish(&mut sim, number, 1 << 20);
        sim.run_for(secs(30)).unwrap();
    }
    assert_eq!(sim.deliveries().count() - before, 3 * 9);
}

/// Says everything that costs others something, ten times a second, to whoever connects or is connected.
#[derive(Debug)]
struct Flooder {
    specs: Vec<StreamSpec>,
    out: BTreeSet<StreamId>,
    next: Option<Instant>,
    number: u64,
}

impl Flooder {
    fn new() -> Self {
        let name = libp2p_proto_core::ProtocolName::from_static("/meshsub/1.2.0");
        let framing = Framing::LengthDelimited { max: 1 << 19 };
        Self {
            specs: vec![StreamSpec {
                max_inbound: 4,
                ..StreamSpec::new(name, framing)
            }],
            out: BTreeSet::new(),
            next: None,
            number: 0,
        }
    }

    fn ids(&mut self, count: u64) -> Vec<MessageId> {
        let first = self.number;
        self.number += count;
        let ids = first..self.number;
        ids.map(|number| MessageId::from(number.to_be_bytes().to_vec()))
            .collect()
    }

    /// A forged message, promises that are not kept, wishes for nothing, GRAFT in each back-off, PRUNE.
    fn noise(&mut self) -> Rpc {
        let topic = Topic::from(TOPIC);
        let forged = Message {
            from: Some(b"nobody".to_vec().into()),
            data: Some(vec![7; 100].into()),
            seqno: Some(self.number.to_be_bytes().to_vec().into()),
            topic: Some(topic.clone()),
            signature: Some(vec![1; 64].into()),
            ..Message::default()
        };
        let control = Control {
            ihave: vec![IHave {
                topic: topic.clone(),
                ids: self.ids(50),
            }],
            iwant: vec![self.ids(50)],
            idontwant: vec![self.ids(50)],
            graft: vec![topic.clone()],
            ..Control::default()
        };
        Rpc {
            subscriptions: vec![Subscription::new(topic, true)],
            publish: vec![forged],
            control: Some(control),
            ..Rpc::default()
        }
    }
}

impl Protocol for Flooder {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Connected {
                peer, first: true, ..
            } => {
                let _refused_is_fine = cx.open(Target::Peer(peer), &[0]);
            }
            Input::Opened { stream, .. } if !stream.is_inbound() => {
                self.out.insert(stream);
                self.next.get_or_insert(cx.now);
            }
            Input::Closed { stream, .. } => {
                self.out.remove(&stream);
            }
            _ => {}
        }
        if self.next.is_some_and(|at| at <= cx.now) {
            self.next = Some(cx.now + Duration::from_millis(100));
            let frame = bytes::Bytes::from(self.noise().encode());
            for stream in &self.out {
                let _full_is_fine = cx.write(*stream, frame.clone());
            }
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.next.map(|at| Deadline::new(at, "noise"))
    }
}

#[derive(Debug)]
enum Who {
    Honest(Box<Node>),
    Flooder(Box<Flooder>),
}

impl App for Who {
    fn protocols(&mut self) -> Lent<'_> {
        match self {
            Self::Honest(node) => node.protocols(),
            Self::Flooder(flooder) => {
                let mut lent = Lent::new();
                lent.push(&mut **flooder);
                lent
            }
        }
    }

    fn handle_event(&mut self, cx: &mut Step<'_>, event: &Event) {
        if let Self::Honest(node) = self {
            node.handle_event(cx, event);
        }
    }

    fn step(&mut self, cx: &mut Step<'_>) {
        if let Self::Honest(node) = self {
            node.step(cx);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Honest(node) => App::poll_timeout(&**node),
            Self::Flooder(_) => None,
        }
    }
}

/// The floods of SIM-030.
#[test]
fn peers_that_flood_everyone_are_graylisted_within_thirty_heartbeats_and_delay_nobody() {
    let (honest, bad) = (16, 5);
    let topic = TopicScoreParams {
        invalid_weight: -1.0,
        invalid_decay: 0.99,
        ..TopicScoreParams::default()
    };
    let score = ScoreConfig {
        other_topics: Some(topic),
        ..ScoreConfig::default()
    };
    let graylist = Config::default().thresholds.graylist;
    let config = NodeConfig {
        gossipsub: Some(Config {
            score: Some(score),
            ..Config::default()
        }),
        ..NodeConfig::default()
    };
    let scenario = Scenario {
        strict: false,
        link: Link {
            latency: (Duration::from_millis(20), Duration::from_millis(20)),
            ..Link::default()
        },
        ..Scenario::new(honest + bad).at_swarm_level()
    };
    let mut sim = Sim::new(scenario, 1, move |birth| {
        Ok(if birth.place < honest {
            Who::Honest(Box::new(Node::new(&config, &birth)?))
        } else {
            Who::Flooder(Box::new(Flooder::new()))
        })
    })
    .unwrap();
    for from in 0..honest {
        for step in [1, 3, 5] {
            sim.dial(from, (from + step) % honest);
        }
    }
    sim.run_for(secs(10)).unwrap();
    for flooder in honest..honest + bad {
        for to in 0..honest {
            sim.dial(flooder, to);
        }
    }
    let mut published = 0;
    for second in 0..30 {
        let at = sim.now();
        let app = sim.command(second % honest, |app, _, _| match app {
            Who::Honest(node) => node.publish(at, 500),
            Who::Flooder(_) => false,
        });
        published += u64::from(app == Some(true));
        sim.run_for(SECOND).unwrap();
    }
    let bad: Vec<PeerId> = (honest..honest + bad)
        .filter_map(|place| sim.peer(place))
        .collect();
    for place in 0..honest {
        let Some(Who::Honest(node)) = sim.app(place) else {
            continue;
        };
        let router = node.gossipsub.as_ref().unwrap();
        for peer in &bad {
            let score = router.score(peer);
            assert!(score < graylist, "{score} at {place}");
        }
        assert!(
            router
                .mesh_of(&Topic::from(TOPIC))
                .all(|member| !bad.contains(member))
        );
    }
    sim.run_for(secs(5)).unwrap();
    let deliveries = sim.deliveries();
    assert_eq!((published, deliveries.count()), (30, 30 * (honest as u64 - 1)));
    // Six hops of 20 ms.
    assert!(
        deliveries.per_mille(990) <= Duration::from_millis(120),
        "{:?}",
        deliveries.per_mille(990)
    );
}
