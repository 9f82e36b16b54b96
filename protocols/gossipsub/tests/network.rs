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
use libp2p_proto_gossipsub::{
    Choke, Config, Event, Gossipsub, Level, MessageIdFn, ScoreConfig, SignaturePolicy, Topic,
    TopicScoreParams,
};
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::{Protocol, bench::Bench};
use support::identity;

struct Net {
    bench: Bench,
    nodes: Vec<Gossipsub>,
    peers: Vec<PeerId>,
    got: Vec<Vec<Bytes>>,
    /// Authors of what a node got, beside it.
    from: Vec<Vec<(Bytes, Bytes)>>,
}

impl Net {
    fn new(seed: u8, configs: Vec<Config>) -> Self {
        let identities: Vec<Identity> = (0..configs.len() as u64).map(identity).collect();
        let peers: Vec<PeerId> = identities.iter().map(Identity::peer_id).collect();
        Self {
            bench: Bench::with_peers(seed, &peers, Duration::from_millis(20)),
            got: vec![Vec::new(); configs.len()],
            from: vec![Vec::new(); configs.len()],
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
        for ((node, got), from) in self.nodes.iter_mut().zip(&mut self.got).zip(&mut self.from) {
            while let Some(event) = node.poll_event() {
                if let Event::Message { message, .. } = event {
                    let data = message.data.unwrap();
                    from.push((message.from.unwrap_or_default(), data.clone()));
                    got.push(data);
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

/// go: `TestTreeTopology`, `TestOneToOne`, `TestMessageSender`.
#[test]
fn floodsub_on_a_tree_knows_its_edges_and_names_who_published() {
    let mut net = Net::new(11, all(10, Level::Flood));
    for child in 1..10 {
        net.bench.connect((child - 1) / 2, child);
    }
    net.subscribe_all();
    net.run(3000);
    for (node, edges) in [(0, 2), (1, 3), (4, 2), (9, 1)] {
        assert_eq!(net.nodes[node].peers_of(&Topic::from("t")).count(), edges);
    }
    let mut sent = Vec::new();
    for leaf in [9, 7, 5, 0] {
        let data = Bytes::from(net.peers[leaf].as_bytes().to_vec());
        net.nodes[leaf].publish("t", data.clone(), false).unwrap();
        sent.push((leaf, data));
    }
    net.run(4000);
    // Every message says in its data who its author is to be.
    net.assert_each_got_each_once(&sent);
    assert!(net.from.iter().flatten().all(|(from, data)| from == data));
}

/// go: `TestNoConnection`, `TestSelfReceive`.
#[test]
fn without_connections_only_the_publisher_itself_hears_of_it() {
    let mut configs = all(4, Level::V13);
    configs[0].deliver_own = true;
    let mut net = Net::new(12, configs);
    net.subscribe_all();
    net.nodes[0].publish("t", "alone", false).unwrap();
    net.run(5000);
    assert_eq!(net.got[0], [Bytes::from("alone")]);
    assert!(net.got[1..].iter().all(Vec::is_empty));
}

/// go: `TestReconnects`, `TestPeerTopicReporting`, `TestSubReporting`.
#[test]
fn who_leaves_the_topic_gets_nothing_and_who_comes_back_gets_the_next() {
    for level in [Level::Flood, Level::V13] {
        let mut net = Net::new(13, all(3, level));
        net.bench.connect(0, 1);
        net.bench.connect(0, 2);
        net.subscribe_all();
        net.nodes[1].subscribe("u").unwrap();
        net.run(2000);
        let t = Topic::from("t");
        let listed = |net: &Net, topic: &str| net.nodes[0].peers_of(&Topic::from(topic)).count();
        assert_eq!((listed(&net, "t"), listed(&net, "u")), (2, 1));
        assert_eq!(net.nodes[1].topics().count(), 2);
        net.nodes[1].unsubscribe(&t).unwrap();
        net.run(500);
        assert_eq!((listed(&net, "t"), net.nodes[1].topics().count()), (1, 1));
        net.nodes[0].publish("t", "one", false).unwrap();
        net.run(6000);
        assert_eq!((net.got[1].len(), net.got[2].len()), (0, 1));
        net.nodes[1].subscribe("t").unwrap();
        net.run(15_000);
        net.nodes[0].publish("t", "two", false).unwrap();
        net.run(2000);
        assert_eq!((net.got[1].len(), net.got[2].len()), (1, 2));
    }
}

/// go: `TestConfigurableMaxMessageSize`.
#[test]
fn with_a_limit_of_four_megabytes_a_message_of_two_reaches_all() {
    let mut configs = all(6, Level::V13);
    for config in &mut configs {
        config.limits.max_frame = 4 << 20;
        config.limits.max_queue_bytes = 8 << 20;
    }
    let mut net = Net::new(14, configs);
    net.wire(3);
    net.subscribe_all();
    net.run(2000);
    net.nodes[2].publish("t", vec![7; 2 << 20], false).unwrap();
    net.run(5000);
    let got = net
        .got
        .iter()
        .map(|got| got.iter().map(Bytes::len).sum::<usize>());
    assert_eq!(
        got.collect::<Vec<_>>(),
        [2 << 20, 2 << 20, 0, 2 << 20, 2 << 20, 2 << 20]
    );
}

/// go: `TestGossipsubGraft`, `TestGossipsubGossip`.
#[test]
fn nodes_that_join_one_after_the_other_build_a_mesh_and_heartbeats_between_messages_lose_none() {
    let mut net = Net::new(15, all(20, Level::V12));
    net.wire(4);
    for node in 0..20 {
        net.nodes[node].subscribe("t").unwrap();
        net.run(100);
    }
    net.run(2000);
    let sent = net.publish(100, 100);
    net.run(4000);
    net.assert_each_got_each_once(&sent);
}

/// go: `TestGossipsubGraftPruneRetry`.
#[test]
fn thirty_five_topics_joined_at_once_have_meshes_that_deliver() {
    let mut net = Net::new(16, all(10, Level::V12));
    for a in 0..10 {
        for b in 0..a {
            net.bench.connect(a, b);
        }
    }
    net.run(100);
    for node in &mut net.nodes {
        for topic in 0..35 {
            node.subscribe(format!("topic {topic}").as_str()).unwrap();
        }
    }
    net.run(5000);
    for topic in 0..35 {
        let name = format!("topic {topic}");
        net.nodes[topic % 10]
            .publish(name.as_str(), name.clone(), false)
            .unwrap();
    }
    net.run(3000);
    assert_eq!(net.got.iter().map(Vec::len).sum::<usize>(), 35 * 9);
}

/// go: `TestGossipsubControlPiggyback`.
#[test]
fn under_a_flood_of_ten_thousand_messages_five_new_topics_form_their_meshes() {
    let mut configs = all(10, Level::V12);
    for config in &mut configs {
        // Ten thousand signatures would be what takes the time.
        config.policy = SignaturePolicy::StrictNoSign;
        config.id = MessageIdFn::Sha256;
    }
    let mut net = Net::new(17, configs);
    net.wire(6);
    for node in &mut net.nodes {
        node.subscribe("flood").unwrap();
    }
    net.run(2000);
    let mut said = 0;
    for number in 0..100 {
        for _ in 0..100 {
            said += 1;
            let _full_is_fine = net.nodes[number % 10].publish("flood", said.to_string(), false);
        }
        if number == 20 {
            for node in &mut net.nodes {
                for topic in 0..5 {
                    node.subscribe(format!("topic {topic}").as_str()).unwrap();
                }
            }
        }
        net.run(20);
        net.got.iter_mut().for_each(Vec::clear);
    }
    net.run(5000);
    net.got.iter_mut().for_each(Vec::clear);
    for topic in 0..5 {
        let name = format!("topic {topic}");
        net.nodes[topic]
            .publish(name.as_str(), name.clone(), false)
            .unwrap();
    }
    net.run(3000);
    assert_eq!(net.got.iter().map(Vec::len).sum::<usize>(), 5 * 9);
}

/// Whoever a node wishes to dial is connected to it.
fn grant_dials(net: &mut Net, granted: &mut std::collections::BTreeSet<(usize, usize)>) {
    for node in 0..net.nodes.len() {
        let wanted: Vec<PeerId> = net
            .bench
            .dials(node)
            .iter()
            .filter_map(|dial| dial.peer)
            .collect();
        for peer in wanted {
            let to = net.peers.iter().position(|known| *known == peer).unwrap();
            if to != node && granted.insert((node.min(to), node.max(to))) {
                net.bench.connect(node, to);
            }
        }
    }
}

/// go: `TestGossipsubStarTopology`, `TestGossipsubStarTopologyWithSignedPeerRecords`.
#[test]
fn around_a_hub_without_a_mesh_leaves_learn_of_each_other_and_every_message_arrives() {
    for signed in [false, true] {
        let mut configs = all(20, Level::V12);
        configs[0] = Config {
            flood_publish: false,
            ..Config::bootstrapper()
        };
        let mut net = Net::new(18, configs);
        let mut granted = std::collections::BTreeSet::new();
        for leaf in 1..20 {
            net.bench.connect(leaf, 0);
            granted.insert((0, leaf));
        }
        net.run(200);
        if signed {
            for leaf in 1..20_u64 {
                let identity = identity(leaf);
                let addr = "/ip4/1.2.3.4/tcp/4001".parse().unwrap();
                let record = libp2p_proto_identity::PeerRecord::new(identity.peer_id(), 1, vec![addr]);
                assert!(net.nodes[0].set_record(record.seal(&identity).unwrap()));
            }
        }
        net.subscribe_all();
        for _ in 0..10 {
            net.run(1000);
            grant_dials(&mut net, &mut granted);
        }
        net.run(2000);
        for leaf in 1..20 {
            let links = granted.iter().filter(|(a, b)| *a == leaf || *b == leaf).count();
            assert!(links > 1, "leaf {leaf}");
            let with_addrs = net
                .bench
                .dials(leaf)
                .iter()
                .filter(|dial| !dial.addrs.is_empty())
                .count();
            assert!(
                !signed || net.bench.dials(leaf).is_empty() || with_addrs > 0,
                "what the record says"
            );
        }
        let sent = net.publish(20, 100);
        net.run(5000);
        net.assert_each_got_each_once(&sent);
    }
}

/// go: `TestGossipsubFloodPublish`.
#[test]
fn a_hub_that_floods_reaches_all_its_leaves_although_they_know_nobody_else() {
    let mut configs = all(20, Level::V12);
    configs[0].flood_publish = true;
    let mut net = Net::new(19, configs);
    for leaf in 1..20 {
        net.bench.connect(leaf, 0);
    }
    net.subscribe_all();
    net.run(2000);
    for number in 0..20 {
        net.nodes[0].publish("t", format!("{number}"), false).unwrap();
    }
    // Before any heartbeat could gossip.
    net.run(100);
    assert!(net.got[1..].iter().all(|got| got.len() == 20));
}

/// go: `TestGossipsubNegativeScore`.
#[test]
fn a_node_that_all_think_badly_of_is_alone_with_its_messages() {
    let configs = all(20, Level::V12).into_iter().map(|config| Config {
        score: Some(ScoreConfig::default()),
        deliver_own: true,
        ..config
    });
    let mut net = Net::new(20, configs.collect());
    for a in 0..20 {
        for b in 0..a {
            net.bench.connect(a, b);
        }
    }
    net.run(100);
    let bad = net.peers[0];
    for node in &mut net.nodes[1..] {
        node.set_app_score(bad, -1000.0).unwrap();
    }
    net.subscribe_all();
    net.run(3000);
    for node in 0..20 {
        net.nodes[node].publish("t", format!("{node}"), false).unwrap();
        net.run(20);
    }
    net.run(3000);
    assert_eq!(net.got[0], [Bytes::from("0")]);
    for got in &net.got[1..] {
        assert!(got.len() == 19 && !got.contains(&Bytes::from("0")), "{got:?}");
    }
}

/// go: `TestGossipsubOpportunisticGrafting`.
#[test]
fn ten_honest_nodes_among_forty_that_pass_nothing_on_find_each_other() {
    let mut topic = TopicScoreParams {
        first_deliveries_weight: 1.0,
        first_deliveries_decay: 0.99997,
        first_deliveries_cap: 1000.0,
        ..TopicScoreParams::default()
    };
    topic.time_in_mesh_weight = 0.0002;
    topic.mesh_deliveries_weight = 0.0;
    topic.mesh_failure_weight = 0.0;
    let mut configs = all(50, Level::V12);
    for (place, config) in configs.iter_mut().enumerate() {
        config.policy = SignaturePolicy::StrictNoSign;
        config.id = MessageIdFn::Sha256;
        if place < 10 {
            config.score = Some(ScoreConfig {
                topics: [(Topic::from("t"), topic)].into(),
                ..ScoreConfig::default()
            });
            config.thresholds.opportunistic_graft = 1.0;
            config.opportunistic_ticks = 2;
            config.flood_publish = true;
        } else {
            // No verdict ever comes, so nothing is passed on.
            config.validate = true;
        }
    }
    let mut net = Net::new(21, configs);
    for a in 0..10 {
        for b in (a + 1..10).chain((10..50).filter(|b| (a + b) % 2 == 0)) {
            net.bench.connect(b, a);
        }
    }
    for node in &mut net.nodes[10..] {
        node.subscribe("t").unwrap();
    }
    for node in &mut net.nodes[..10] {
        node.subscribe("t").unwrap();
    }
    net.run(2000);
    for number in 0..1000 {
        net.nodes[number % 10]
            .publish("t", format!("{number}"), false)
            .unwrap();
        net.run(20);
    }
    net.run(5000);
    for node in &net.nodes[..10] {
        let t = Topic::from("t");
        let honest = node
            .mesh_of(&t)
            .filter(|peer| net.peers[..10].contains(peer))
            .count();
        assert!(honest >= 3, "{honest} honest of {}", node.mesh_of(&t).count());
    }
}

/// rust: `multi_hop_propagation`.
#[test]
fn on_random_connected_graphs_one_message_reaches_all() {
    for seed in 30..36 {
        let mut net = Net::new(seed, all(40, Level::V13));
        let mut dice = Rng::from_seed([seed; 32]);
        for node in 1..40 {
            net.bench.connect(node, dice.below(node as u64) as usize);
            net.bench.connect(node, (node + 1) % 40);
        }
        net.subscribe_all();
        net.run(3000);
        net.nodes[usize::from(seed)].publish("t", "hello", false).unwrap();
        net.run(8000);
        assert_eq!(net.got.iter().map(Vec::len).sum::<usize>(), 39);
    }
}

#[test]
fn with_chokes_a_dense_network_delivers_the_same_with_fewer_copies() {
    let run = |choke: Option<Choke>| {
        let configs = all(20, Level::V13).into_iter().map(|config| Config {
            policy: SignaturePolicy::StrictNoSign,
            id: MessageIdFn::Sha256,
            choke,
            ..config
        });
        let mut net = Net::new(40, configs.collect());
        net.wire(10);
        net.subscribe_all();
        net.run(3000);
        let sent = net.publish(400, 50);
        net.run(5000);
        net.assert_each_got_each_once(&sent);
        net.nodes.iter().map(|node| node.stats().duplicates).sum::<u64>()
    };
    let (without, with) = (
        run(None),
        run(Some(Choke {
            ticks: 2,
            ..Choke::default()
        })),
    );
    assert!(with * 4 < without * 3, "{with} instead of {without}");
}
