//! Networks of routers, in virtual time: every message to everyone, exactly once.
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
use libp2p_proto_core::{PeerId, Rng};
use libp2p_proto_gossipsub::{Config, Event, Gossipsub, Level, Topic};
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::{Protocol, bench::Bench};
use support::identity;

struct Net {
    bench: Bench,
    nodes: Vec<Gossipsub>,
    peers: Vec<PeerId>,
    got: Vec<Vec<Bytes>>,
}

impl Net {
    fn new(seed: u8, configs: Vec<Config>) -> Self {
        let identities: Vec<Identity> = (0..configs.len() as u64).map(identity).collect();
        let peers: Vec<PeerId> = identities.iter().map(Identity::peer_id).collect();
        Self {
            bench: Bench::with_peers(seed, &peers, Duration::from_millis(20)),
            got: vec![Vec::new(); configs.len()],
            nodes: identities
                .into_iter()
                .zip(configs)
                .map(|(identity, config)| Gossipsub::new(identity, config).unwrap())
                .collect(),
            peers,
        }
    }

    /// Each node dials `links` random others.
    fn wire(&mut self, links: usize) {
        let mut dice = Rng::from_seed([5; 32]);
        let count = self.nodes.len();
        let mut known = std::collections::BTreeSet::new();
        for from in 0..count {
            for _ in 0..links {
                let to = dice.below(count as u64) as usize;
                let pair = (from.min(to), from.max(to));
                if from != to && known.insert(pair) {
                    self.bench.connect(from, to);
                }
            }
        }
    }

    fn run(&mut self, millis: u64) {
        let mut protocols: Vec<&mut dyn Protocol> = Vec::new();
        for node in &mut self.nodes {
            protocols.push(node);
        }
        self.bench.run(&mut protocols, Duration::from_millis(millis));
        for (node, got) in self.nodes.iter_mut().zip(&mut self.got) {
            while let Some(event) = node.poll_event() {
                if let Event::Message { message, .. } = event {
                    got.push(message.data.unwrap());
                }
            }
        }
    }

    fn subscribe_all(&mut self) {
        for node in &mut self.nodes {
            node.subscribe("t").unwrap();
        }
    }

    /// Publishes `count` messages from changing nodes; answers them.
    fn publish(&mut self, count: usize, pause: u64) -> Vec<(usize, Bytes)> {
        let mut sent = Vec::new();
        for number in 0..count {
            let from = number * 7 % self.nodes.len();
            let data = Bytes::from(format!("message {number}"));
            self.nodes[from].publish("t", data.clone(), false).unwrap();
            sent.push((from, data));
            self.run(pause);
        }
        sent
    }

    fn assert_each_got_each_once(&self, sent: &[(usize, Bytes)]) {
        for (node, got) in self.got.iter().enumerate() {
            let mut got = got.clone();
            got.sort();
            let mut wanted: Vec<Bytes> = sent
                .iter()
                .filter(|(from, _)| *from != node)
                .map(|(_, data)| data.clone())
                .collect();
            wanted.sort();
            assert_eq!(got, wanted, "node {node}");
        }
    }
}

fn all(count: usize, level: Level) -> Vec<Config> {
    (0..count)
        .map(|_| Config {
            flood_publish: false,
            ..Config::default().up_to(level)
        })
        .collect()
}

/// go: `TestSparseGossipsub`, `TestDenseGossipsub`.
#[test]
fn twenty_nodes_sparse_or_dense_deliver_a_hundred_messages_to_each_once() {
    for links in [3, 10] {
        let mut net = Net::new(1, all(20, Level::V13));
        net.wire(links);
        net.subscribe_all();
        net.run(2000);
        let sent = net.publish(100, 30);
        net.run(8000);
        net.assert_each_got_each_once(&sent);
        for node in &net.nodes {
            assert!(node.mesh_of(&Topic::from("t")).count() <= 12);
        }
    }
}

/// go: `TestBasicFloodsub`.
#[test]
fn twenty_floodsub_nodes_deliver_a_hundred_messages_to_each_once() {
    let mut net = Net::new(2, all(20, Level::Flood));
    net.wire(3);
    net.subscribe_all();
    net.run(2000);
    let sent = net.publish(100, 10);
    net.run(2000);
    net.assert_each_got_each_once(&sent);
}

/// go: `TestMixedGossipsub`.
#[test]
fn nodes_of_every_version_and_floodsub_deliver_to_each_other() {
    let mut configs = all(20, Level::V13);
    for (place, config) in configs.iter_mut().enumerate() {
        let level = [Level::V13, Level::V12, Level::V11, Level::V10][place % 4];
        *config = config.clone().up_to(level);
    }
    configs.extend(all(10, Level::Flood));
    let mut net = Net::new(3, configs);
    net.wire(5);
    net.subscribe_all();
    net.run(2000);
    let sent = net.publish(60, 40);
    net.run(8000);
    net.assert_each_got_each_once(&sent);
}

/// go: `TestGossipsubMultihops`, `TestMultihops`.
#[test]
fn on_a_line_of_six_the_last_gets_what_the_first_says() {
    for level in [Level::V12, Level::Flood] {
        let mut net = Net::new(4, all(6, level));
        for node in 0..5 {
            net.bench.connect(node, node + 1);
        }
        net.subscribe_all();
        net.run(2000);
        net.nodes[0].publish("t", "hello", false).unwrap();
        net.run(2000);
        assert_eq!(net.got[5], [Bytes::from("hello")]);
    }
}

/// go: `TestGossipsubTreeTopology`.
#[test]
fn on_a_tree_of_ten_messages_from_leaves_reach_all() {
    let mut net = Net::new(5, all(10, Level::V12));
    for child in 1..10 {
        net.bench.connect((child - 1) / 2, child);
    }
    net.subscribe_all();
    net.run(3000);
    let mut sent = Vec::new();
    for leaf in [9, 7, 5] {
        let data = Bytes::from(format!("from {leaf}"));
        net.nodes[leaf].publish("t", data.clone(), false).unwrap();
        sent.push((leaf, data));
        net.run(500);
    }
    net.run(4000);
    net.assert_each_got_each_once(&sent);
}

/// go: `TestGossipsubFanout`, `TestGossipsubFanoutExpiry`.
#[test]
fn what_a_node_outside_the_topic_publishes_reaches_all_and_its_fanout_expires() {
    let mut configs = all(20, Level::V12);
    configs[0].fanout_ttl = Duration::from_secs(1);
    let mut net = Net::new(6, configs);
    net.wire(8);
    for node in &mut net.nodes[1..] {
        node.subscribe("t").unwrap();
    }
    net.run(2000);
    for number in 0..20 {
        net.nodes[0].publish("t", format!("{number}"), false).unwrap();
        net.run(50);
    }
    assert!(net.nodes[0].fanout_of(&Topic::from("t")).count() > 0);
    net.run(6000);
    assert_eq!(net.nodes[0].fanout_of(&Topic::from("t")).count(), 0);
    assert!(net.got[1..].iter().all(|got| got.len() == 20));
    net.nodes[0].subscribe("t").unwrap();
    net.run(2000);
    net.nodes[0].publish("t", "inside", false).unwrap();
    net.run(4000);
    assert!(net.got[1..].iter().all(|got| got.len() == 21));
}

/// go: `TestGossipsubPrune`, `TestGossipsubRemovePeer`.
#[test]
fn after_five_of_twenty_leave_and_five_are_cut_off_the_rest_still_deliver() {
    let mut net = Net::new(7, all(20, Level::V12));
    let mut conns = Vec::new();
    for a in 0..20 {
        for b in 0..a {
            conns.push((a, b, net.bench.connect(a, b)));
        }
    }
    net.subscribe_all();
    net.run(3000);
    for node in 0..5 {
        net.nodes[node].unsubscribe(&Topic::from("t")).unwrap();
    }
    for (a, b, conn) in conns {
        if a >= 15 || b >= 15 {
            net.bench.disconnect(conn);
        }
    }
    net.run(3000);
    for number in 0..10 {
        net.nodes[5 + number]
            .publish("t", format!("{number}"), false)
            .unwrap();
        net.run(100);
    }
    net.run(5000);
    assert!(net.got[5..15].iter().all(|got| got.len() == 9));
    assert!(net.got[..5].iter().all(Vec::is_empty));
}

/// go: `TestGossipsubGossipPropagation`.
#[test]
fn who_joins_after_ten_publications_gets_them_by_gossip() {
    let mut net = Net::new(8, all(22, Level::V12));
    for node in 1..8 {
        net.bench.connect(0, node);
    }
    for a in 8..22 {
        net.bench.connect(0, a);
        for b in 8..a {
            net.bench.connect(a, b);
        }
    }
    for node in 0..8 {
        net.nodes[node].subscribe("t").unwrap();
    }
    net.run(2000);
    for number in 0..10 {
        net.nodes[0].publish("t", format!("{number}"), false).unwrap();
    }
    net.run(100);
    for node in 8..22 {
        net.nodes[node].subscribe("t").unwrap();
    }
    net.run(4000);
    assert!(net.got[8..].iter().all(|got| got.len() == 10));
}

// covers: GSP-277, GSP-523
#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut net = Net::new(seed, all(12, Level::V13));
        net.wire(9);
        net.subscribe_all();
        net.run(2000);
        net.publish(20, 30);
        net.run(3000);
        let meshes: Vec<Vec<PeerId>> = net
            .nodes
            .iter()
            .map(|node| node.mesh_of(&Topic::from("t")).copied().collect())
            .collect();
        let stats: Vec<_> = net.nodes.iter().map(Gossipsub::stats).collect();
        (net.got, meshes, stats, net.peers)
    };
    assert_eq!(run(9), run(9));
    assert_ne!(run(9).1, run(10).1);
}
