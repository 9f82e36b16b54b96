//! Who comes into the table and who leaves it, refresh, bootstrap, and what is published again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::PeerId;
use libp2p_proto_kad::{Config, Event, Key, Message, MessageType, Mode, Network, Outcome};
use std::collections::BTreeSet;
use support::{Fake, LATENCY, Net, Node, Reply, SECOND, contact, peer, private, puppet};

fn naming(request: &Message, named: &[usize]) -> Reply {
    let mut answer = Message::new(request.kind, Bytes::new());
    answer.closer = named.iter().map(|index| contact(*index)).collect();
    if request.kind == MessageType::PutValue {
        answer.record.clone_from(&request.record);
    }
    Reply::Message(answer)
}

fn good() -> Fake {
    Fake::new(|_, request| naming(request, &[900]))
}

fn table(net: &mut Net) -> BTreeSet<PeerId> {
    net.kad(0).table().map(|known| known.peer).collect()
}

// covers: KAD-066, KAD-054, KAD-083
#[test]
fn a_peer_comes_in_when_it_has_answered_a_check_and_not_before() {
    let mut net = Net::with(
        private(),
        vec![Node::Fake(good()), Node::Fake(Fake::silent()), puppet()],
    );
    net.shy.insert(3);
    for index in 1..=3 {
        net.connect(index, 0);
    }
    net.run(LATENCY * 2);
    assert!(table(&mut net).is_empty());
    net.run(SECOND);
    assert_eq!(table(&mut net), [peer(1)].into());
    assert_eq!(net.fake(1).asked[0].2.key, peer(1).as_bytes());
    // Asking us is no reason to be let in.
    net.ask(
        3,
        0,
        Message::new(MessageType::FindNode, Bytes::from_static(b"k")).encode(),
    );
    net.run(SECOND * 20);
    assert_eq!(table(&mut net), [peer(1)].into());
    let events = net.events(0);
    let prefix = Key::of_peer(&peer(0)).common_prefix(&Key::of_peer(&peer(1)));
    assert!(events.contains(&Event::Added {
        peer: peer(1),
        prefix
    }));
}

// covers: KAD-055, KAD-074
#[test]
fn a_peer_leaves_when_it_no_longer_speaks_the_protocol_but_not_because_it_disconnects() {
    let mut net = Net::with(private(), vec![Node::Fake(good()), Node::Fake(good())]);
    net.connect(0, 1);
    net.connect(0, 2);
    net.run(SECOND);
    net.isolate(1);
    net.run(SECOND);
    assert_eq!(table(&mut net).len(), 2);
    net.tell_protocols(0, 2, false);
    net.run(Duration::ZERO);
    assert_eq!(table(&mut net), [peer(1)].into());
    assert!(net.events(0).contains(&Event::Removed { peer: peer(2) }));
}

// covers: KAD-068, KAD-069
#[test]
fn checks_are_bounded_and_a_failing_peer_is_asked_ever_more_rarely() {
    let config = Config {
        max_checks: 4,
        ..private()
    };
    let mut net = Net::with(config, (0..20).map(|_| Node::Fake(Fake::silent())).collect());
    for index in 1..=20 {
        net.connect(0, index);
    }
    net.run(SECOND);
    assert_eq!(net.kad(0).census().checks, 4);
    let mut net = Net::with(private(), vec![Node::Fake(Fake::new(|_, _| Reply::Reset))]);
    net.connect(0, 1);
    for _ in 0..120 {
        net.introduce(0, 1);
        net.run(SECOND);
    }
    let checks = net.fake(1).asked.len();
    assert!((5..=9).contains(&checks), "{checks}");
}

#[test]
fn a_peer_that_was_lost_is_asked_again_at_each_refresh_and_comes_back_although_nobody_names_it() {
    let config = Config {
        refresh_interval: Some(SECOND * 60),
        ..private()
    };
    let up = std::rc::Rc::new(std::cell::Cell::new(true));
    let theirs = std::rc::Rc::clone(&up);
    let fickle = Fake::new(move |_, request| {
        if theirs.get() {
            naming(request, &[900])
        } else {
            Reply::Reset
        }
    });
    let mut nodes = vec![Node::Fake(fickle)];
    nodes.extend((0..4).map(|_| Node::Fake(good())));
    let mut net = Net::with(config, nodes);
    for index in 1..=5 {
        net.connect(0, index);
    }
    net.run(SECOND);
    assert_eq!(table(&mut net).len(), 5);
    up.set(false);
    net.run(SECOND * 140);
    assert!(!table(&mut net).contains(&peer(1)));
    let asked = net.fake(1).asked.len();
    net.run(SECOND * 70);
    assert!((1..=2).contains(&(net.fake(1).asked.len() - asked)));
    up.set(true);
    net.run(SECOND * 70);
    assert_eq!(table(&mut net).len(), 5);
}

#[test]
fn a_newcomer_to_a_full_bucket_is_not_asked_whether_it_works() {
    let ours = Key::of_peer(&peer(0));
    let far = (1..).filter(|index| ours.common_prefix(&Key::of_peer(&peer(*index))) == 0);
    let far: Vec<usize> = far.take(22).collect();
    let mut nodes: Vec<Node> = (1..=far[21]).map(|_| puppet()).collect();
    for index in &far {
        nodes[index - 1] = Node::Fake(good());
    }
    let mut net = Net::with(private(), nodes);
    for index in &far[..20] {
        net.connect(0, *index);
    }
    net.run(SECOND * 20);
    assert_eq!(table(&mut net).len(), 20);
    for index in &far[20..] {
        net.connect(0, *index);
    }
    net.run(SECOND);
    assert!(far[20..].iter().all(|index| net.fake(*index).asked.is_empty()));
}

// covers: KAD-052
#[test]
fn vul_119_a_limited_connection_carries_no_request_and_lets_nobody_in() {
    let mut net = Net::with(private(), vec![Node::Fake(good())]);
    net.bench.connect_with(0, 1, true);
    net.introduce(0, 1);
    net.down.insert(1);
    net.run(SECOND * 30);
    assert!(net.fake(1).asked.is_empty());
    assert!(table(&mut net).is_empty());
    let mut client = Net::with(
        Config {
            mode: Mode::Client,
            ..private()
        },
        vec![puppet()],
    );
    client.connect(1, 0);
    client.run(SECOND);
    let stream = client.open(1, 0);
    assert!(client.heard(1, stream).is_empty());
    assert_eq!(client.kad(0).census().inbound, 0);
}

// covers: KAD-087, KAD-088, KAD-089, KAD-090, KAD-010
#[test]
fn a_refresh_walks_to_our_own_place_and_to_each_bucket_up_to_a_gap() {
    let ours = Key::of_peer(&peer(0));
    let prefix = |index: usize| ours.common_prefix(&Key::of_peer(&peer(index)));
    let first = |wanted: u16| (1..100_000).find(|index| prefix(*index) == wanted).unwrap();
    for (buckets, wanted) in [
        (vec![0, 1, 2], 0..=2),
        (vec![0, 1, 2, 3, 5], 0..=5),
        (vec![0, 2, 9], 0..=4),
    ] {
        let members: Vec<usize> = buckets.iter().map(|bucket| first(*bucket)).collect();
        let last = *members.iter().max().unwrap();
        let mut nodes: Vec<Node> = (1..=last).map(|_| puppet()).collect();
        for index in &members {
            nodes[index - 1] = Node::Fake(good());
        }
        let mut net = Net::with(private(), nodes);
        for index in &members {
            net.connect(0, *index);
        }
        net.run(SECOND * 20);
        let targets: BTreeSet<Vec<u8>> = members
            .iter()
            .flat_map(|index| match &net.nodes[*index] {
                Node::Fake(fake) => fake
                    .asked
                    .iter()
                    .map(|(_, _, message)| message.key.to_vec())
                    .collect(),
                _ => Vec::new(),
            })
            .collect();
        assert!(targets.contains(peer(0).as_bytes()));
        let own: Vec<_> = members
            .iter()
            .map(|index| peer(*index).as_bytes().to_vec())
            .collect();
        let walked: BTreeSet<u16> = targets
            .iter()
            .filter(|key| key[..] != *peer(0).as_bytes() && !own.contains(key))
            .map(|key| ours.common_prefix(&Key::of(key)))
            .collect();
        assert_eq!(walked, wanted.collect());
    }
}

// covers: KAD-087, KAD-097
#[test]
fn refreshes_come_every_ten_minutes_and_not_at_the_same_time_everywhere() {
    let mut times = BTreeSet::new();
    for seed in 1..6 {
        let mut net = Net::new(
            seed,
            vec![
                Node::Kad(Box::new(libp2p_proto_kad::Kad::new(peer(0), private()).unwrap())),
                Node::Fake(good()),
            ],
        );
        net.connect(0, 1);
        net.run(SECOND * 60);
        net.fake(1).asked.clear();
        let mut at = 60;
        while net.fake(1).asked.is_empty() {
            net.run(SECOND);
            at += 1;
        }
        assert!((539..=662).contains(&at), "{at}");
        times.insert(at);
    }
    assert!(times.len() > 2, "{times:?}");
}

// covers: KAD-091
#[test]
fn a_refresh_among_silent_peers_ends_after_ten_seconds() {
    let mut turn = 0;
    let fake = Fake::new(move |_, request| {
        turn += 1;
        if turn == 1 {
            naming(request, &[900])
        } else {
            Reply::Silence
        }
    });
    let mut net = Net::with(private(), vec![Node::Fake(fake)]);
    net.connect(0, 1);
    net.run(SECOND);
    assert_eq!(net.kad(0).census().queries, 1);
    net.run(SECOND * 11);
    assert_eq!(net.kad(0).census().queries, 0);
}

// covers: KAD-076, KAD-092
#[test]
fn peers_that_were_silent_for_long_are_asked_and_leave_if_they_do_not_answer() {
    let alive = good();
    let mut dies = 0;
    let dying = Fake::new(move |_, request| {
        dies += 1;
        if dies <= 2 {
            naming(request, &[900])
        } else {
            Reply::Silence
        }
    });
    let config = Config {
        grace: SECOND * 30,
        refresh_interval: Some(SECOND * 60),
        ..private()
    };
    let mut net = Net::with(config, vec![Node::Fake(alive), Node::Fake(dying)]);
    net.connect(0, 1);
    net.connect(0, 2);
    net.run(SECOND);
    assert_eq!(table(&mut net).len(), 2);
    net.run(SECOND * 150);
    assert_eq!(table(&mut net), [peer(1)].into());
}

#[test]
fn without_an_interval_only_the_owner_refreshes_the_table() {
    let config = Config {
        refresh_interval: None,
        ..private()
    };
    let mut net = Net::with(config, vec![Node::Fake(good())]);
    net.connect(0, 1);
    net.run(SECOND * 7200);
    assert_eq!(table(&mut net), [peer(1)].into());
    // The check that brought it in.
    assert_eq!(net.kad(0).stats().requests_sent, 1);
    net.kad(0).refresh();
    net.run(SECOND * 60);
    assert!(net.kad(0).stats().requests_sent > 1);
}

fn with_id(index: usize) -> libp2p_proto_core::Multiaddr {
    support::addr(index).with_peer_id(peer(index)).unwrap()
}

// covers: KAD-093, KAD-095
#[test]
fn a_small_table_makes_us_ask_two_bootstrap_peers_who_come_in_only_if_they_serve() {
    let config = Config {
        bootstrap: (1..=6).map(with_id).collect(),
        ..private()
    };
    let mut nodes: Vec<Node> = (0..6).map(|_| Node::Fake(Fake::silent())).collect();
    nodes[0] = Node::Fake(good());
    let mut net = Net::with(config, nodes);
    net.run(SECOND * 60);
    let dialed: BTreeSet<_> = net.bench.dials(0).iter().filter_map(|dial| dial.peer).collect();
    assert_eq!(
        dialed
            .iter()
            .filter(|dialed| (1..=6).any(|index| peer(index) == **dialed))
            .count(),
        2
    );
    net.run(SECOND * 1200);
    assert_eq!(table(&mut net), [peer(1)].into());
}

// covers: KAD-085
#[test]
fn a_restored_table_is_checked_before_it_counts() {
    let mut net = Net::with(
        private(),
        vec![Node::Fake(good()), Node::Fake(good()), Node::Fake(Fake::silent())],
    );
    net.connect(0, 1);
    net.connect(0, 2);
    net.run(SECOND);
    let now = net.bench.now();
    let bytes = net.kad(0).snapshot(now);
    let mut again = Net::with(
        private(),
        vec![Node::Fake(good()), Node::Fake(Fake::silent()), Node::Fake(good())],
    );
    assert_eq!(again.kad(0).restore(&bytes), Ok(2));
    again.run(LATENCY);
    assert!(table(&mut again).is_empty());
    again.run(SECOND * 30);
    assert_eq!(table(&mut again), [peer(1)].into());
    assert!(again.kad(0).restore(b"nonsense").is_err());
}

// covers: KAD-060, KAD-190
#[test]
fn the_local_network_takes_private_addresses_only() {
    let config = Config {
        network: Network::Lan,
        ..private()
    };
    let mut net = Net::with(config, (0..3).map(|_| Node::Fake(good())).collect());
    net.addrs[1] = "/ip4/192.168.1.7/tcp/1".parse().unwrap();
    net.addrs[2] = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    for index in 1..=3 {
        net.connect(0, index);
    }
    net.run(SECOND * 5);
    assert_eq!(table(&mut net), [peer(1)].into());
    let lan = Config::lan();
    assert_eq!(
        (lan.mode, lan.protocol.as_str()),
        (Mode::Server, "/ipfs/lan/kad/1.0.0")
    );
}

// covers: KAD-184, KAD-185, KAD-149
#[test]
fn what_we_publish_is_sent_again_after_twenty_two_hours_until_it_is_withdrawn() {
    let mut net = Net::with(private(), vec![Node::Fake(good())]);
    net.connect(0, 1);
    net.run(SECOND * 5);
    let query = net.kad(0).provide(&b"content"[..]).unwrap();
    assert_eq!(net.end(0, query), Ok(Outcome::Sent { peers: 1, failed: 0 }));
    let query = net.kad(0).put_value(&b"/x/k"[..], &b"v"[..]).unwrap();
    net.end(0, query).unwrap();
    net.run(SECOND * 60);
    let count = |net: &mut Net, kind| net.fake(1).kinds().iter().filter(|known| **known == kind).count();
    assert_eq!(
        (
            count(&mut net, MessageType::AddProvider),
            count(&mut net, MessageType::PutValue)
        ),
        (1, 1)
    );
    net.run(Duration::from_secs(22 * 3600 - 1200));
    assert_eq!(
        (
            count(&mut net, MessageType::AddProvider),
            count(&mut net, MessageType::PutValue)
        ),
        (1, 1)
    );
    net.run(Duration::from_secs(1260));
    assert_eq!(
        (
            count(&mut net, MessageType::AddProvider),
            count(&mut net, MessageType::PutValue)
        ),
        (2, 2)
    );
    net.kad(0).stop_providing(b"content");
    net.kad(0).stop_publishing(b"/x/k");
    net.run(Duration::from_secs(23 * 3600));
    assert_eq!(
        (
            count(&mut net, MessageType::AddProvider),
            count(&mut net, MessageType::PutValue)
        ),
        (2, 2)
    );
}

// covers: KAD-094
#[test]
fn many_newcomers_cause_one_walk() {
    let mut net = Net::with(private(), (0..15).map(|_| Node::Fake(good())).collect());
    for index in 1..=15 {
        net.connect(0, index);
        net.run(Duration::from_millis(7));
    }
    net.run(SECOND * 30);
    let own = (1..=15).map(|index| {
        let asked = &net.fake(index).asked;
        asked
            .iter()
            .filter(|(_, _, message)| message.key == peer(0).as_bytes())
            .count()
    });
    assert!(own.max() == Some(1), "our own place is looked up once");
}

/// What may happen to one of two peers.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Identify tells of it.
    Discover,
    Connect,
    Disconnect,
    /// It no longer speaks the protocol.
    Purge,
    /// The application names it.
    Invite,
    Search,
    /// Somebody else answers at its address.
    Mismatch,
}

const DEEDS: [Deed; 7] = [
    Deed::Discover,
    Deed::Connect,
    Deed::Disconnect,
    Deed::Purge,
    Deed::Invite,
    Deed::Search,
    Deed::Mismatch,
];

fn act(net: &mut Net, deed: Deed, index: usize) {
    match deed {
        Deed::Discover => net.introduce(0, index),
        Deed::Connect => drop(net.connect(0, index)),
        Deed::Disconnect => net.isolate(index),
        Deed::Purge => net.tell_protocols(0, index, false),
        Deed::Invite => {
            let addrs = net.addrs[index].clone();
            net.kad(0).add_peer(peer(index), vec![addrs]);
        }
        Deed::Search => drop(net.kad(0).find_peer(peer(index))),
        Deed::Mismatch => net.bench.inject(
            0,
            libp2p_proto_stream_protocol::Input::DialFailed {
                dial: libp2p_proto_core::DialId::new(1_000_000),
                peer: Some(peer(index)),
                error: libp2p_proto_stream_protocol::DialError::NoAddress,
            },
        ),
    }
}

/// A word of deeds, each on one of the two peers; what must hold after each and at the end.
fn play(word: &[(Deed, usize)], pause: Duration) {
    let mut net = Net::with(private(), vec![Node::Fake(good()), Node::Fake(good())]);
    net.addrs[2] = net.addrs[1].clone();
    for (deed, index) in word {
        act(&mut net, *deed, *index);
        net.run(pause);
        let table: Vec<_> = net.kad(0).table().map(|known| known.peer).collect();
        for known in &table {
            assert_eq!(
                table.iter().filter(|other| *other == known).count(),
                1,
                "{word:?}"
            );
            let index = if *known == peer(1) { 1 } else { 2 };
            assert_eq!(*known, peer(index), "{word:?}");
            assert!(!net.fake(index).asked.is_empty(), "it has answered: {word:?}");
        }
        if let (Deed::Purge, false) = (deed, pause.is_zero()) {
            assert!(!table.contains(&peer(*index)), "{word:?}");
        }
    }
    net.run(SECOND * 100);
    let census = net.kad(0).census();
    assert_eq!((census.queries, census.checks), (0, 0), "{word:?}");
    assert!(census.peers <= 2 && census.table <= 2);
}

#[test]
fn vul_117_any_order_of_discovery_connection_and_loss_leaves_a_sound_table() {
    let pauses = [
        Duration::ZERO,
        Duration::from_millis(5),
        Duration::from_millis(300),
    ];
    let each = || DEEDS.into_iter().flat_map(|deed| [(deed, 1), (deed, 2)]);
    // Every word of two on both peers, and of three on one.
    for pause in pauses {
        for first in each() {
            each().for_each(|second| play(&[first, second], pause));
        }
    }
    for (one, two) in DEEDS.into_iter().flat_map(|one| DEEDS.map(|two| (one, two))) {
        for three in DEEDS {
            play(&[(one, 1), (two, 1), (three, 1)], pauses[1]);
        }
    }
    // Of eight there are too many: these are drawn.
    let mut dice = libp2p_proto_core::Rng::from_seed([7; 32]);
    let mut below = |bound: usize| usize::try_from(dice.below(u64::try_from(bound).unwrap())).unwrap();
    for _ in 0..400 {
        let word: Vec<_> = (0..8).map(|_| (DEEDS[below(7)], 1 + below(2))).collect();
        play(&word, pauses[below(3)]);
    }
}

// covers: KAD-093
#[test]
fn a_table_that_falls_below_its_mark_calls_for_help_at_once_and_then_every_two_minutes() {
    let config = Config {
        bootstrap: (20..25).map(with_id).collect(),
        low_mark: 10,
        ..private()
    };
    let mut net = Net::with(config, (0..10).map(|_| Node::Fake(good())).collect());
    for index in 1..=10 {
        net.connect(0, index);
    }
    net.run(SECOND * 290);
    assert_eq!(table(&mut net).len(), 10);
    let dials = |net: &Net| {
        net.bench
            .dials(0)
            .iter()
            .filter(|dial| (20..25).any(|index| dial.peer == Some(peer(index))))
            .count()
    };
    let before = dials(&net);
    net.tell_protocols(0, 3, false);
    net.run(SECOND);
    assert_eq!(dials(&net) - before, 2, "the last attempt is long ago");
    net.tell_protocols(0, 4, false);
    net.run(SECOND * 118);
    assert_eq!(dials(&net) - before, 2);
    net.run(SECOND * 3);
    assert_eq!(dials(&net) - before, 4);
}

#[test]
fn a_value_that_its_query_refused_is_not_repeated() {
    use libp2p_proto_kad::{Error, QueryError};
    let mut net = Net::with(private(), vec![Node::Fake(good())]);
    net.connect(0, 1);
    net.run(SECOND);
    // No public key.
    let key = [b"/pk/", peer(1).as_bytes()].concat();
    let query = net.kad(0).put_value(key, &b"nonsense"[..]).unwrap();
    assert!(matches!(net.end(0, query), Err(QueryError::BadRecord(_))));
    let query = net.kad(0).put_value(&b"/x/k"[..], &b"v"[..]).unwrap();
    assert!(net.end(0, query).is_ok());
    net.run(Duration::from_secs(23 * 3600));
    let puts = net
        .fake(1)
        .asked
        .iter()
        .filter(|(_, _, asked)| asked.kind == MessageType::PutValue);
    let keys: Vec<_> = puts.map(|(_, _, asked)| asked.key.clone()).collect();
    assert_eq!(keys, [&b"/x/k"[..]; 2]);
    // Of those that wait to be judged no more are taken than there is room for.
    let mut kad = libp2p_proto_kad::Kad::new(
        peer(0),
        Config {
            max_published: 2,
            ..private()
        },
    )
    .unwrap();
    for (key, wanted) in [("/x/1", None), ("/x/2", None), ("/x/3", Some(Error::TooManyKeys))] {
        assert_eq!(kad.put_value(key.as_bytes(), &b"v"[..]).err(), wanted);
    }
}
