//! Lookups among peers that follow a script: order, ends, limits, lies.
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
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_kad::{
    Config, Contact, Diversity, Event, Failure, Key, Message, MessageType, Network, Outcome, QueryError, Step,
};
use std::collections::BTreeSet;
use support::{Fake, LATENCY, Net, Node, Reply, SECOND, contact, peer, private};

fn one_path() -> Config {
    Config {
        paths: 1,
        progress: true,
        ..private()
    }
}

/// A machine at node 0 that knows all scripted peers; they answered its check, and then do what their script says.
fn among(config: Config, fakes: Vec<Fake>) -> Net {
    let count = fakes.len();
    let mut net = Net::with(config, fakes.into_iter().map(Node::Fake).collect());
    for index in 1..=count {
        net.connect(0, index);
    }
    net.run(SECOND * 20);
    net.events(0);
    for index in 1..=count {
        net.fake(index).asked.clear();
    }
    net
}

/// Answers checks, then lookups for `key` by `script`.
fn for_key(key: &'static [u8], mut script: impl FnMut(&Message) -> Reply + 'static) -> Fake {
    Fake::new(move |_, request| {
        if request.key == key {
            script(request)
        } else {
            Reply::Message(naming(request.kind, vec![contact(900)]))
        }
    })
}

fn naming(kind: MessageType, closer: Vec<Contact>) -> Message {
    let mut answer = Message::new(kind, Bytes::new());
    answer.closer = closer;
    answer
}

fn asked(net: &mut Net) -> Vec<PeerId> {
    let events = net.events(0);
    events
        .iter()
        .filter_map(|event| match event {
            Event::Step {
                peer,
                step: Step::Asked { .. },
                ..
            } => Some(*peer),
            _ => None,
        })
        .collect()
}

const KEY: &[u8] = b"key";

// covers: KAD-098, KAD-099, KAD-100
#[test]
fn the_nearest_known_peers_are_asked_first_and_ten_at_a_time() {
    let fakes = (0..18).map(|_| for_key(KEY, |_| Reply::Silence)).collect();
    let config = Config {
        slow_after: SECOND * 60,
        ..one_path()
    };
    let mut net = among(config, fakes);
    assert_eq!(net.kad(0).table().count(), 18);
    net.kad(0).closest_peers(KEY).unwrap();
    net.run(SECOND);
    let wanted: Vec<_> = net
        .kad(0)
        .nearest(&Key::of(KEY), 10)
        .iter()
        .map(|known| known.peer)
        .collect();
    assert_eq!(asked(&mut net), wanted);
}

// covers: KAD-043, KAD-115, KAD-073
#[test]
fn a_slow_peer_no_longer_counts_and_a_silent_one_fails_and_leaves() {
    let fakes = (0..18).map(|_| for_key(KEY, |_| Reply::Silence)).collect();
    let mut net = among(one_path(), fakes);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.run(SECOND * 4);
    assert_eq!(asked(&mut net).len(), 18, "ten, and after three seconds the rest");
    net.run(SECOND * 7);
    let failed = net.events(0);
    let timed_out = |event: &&Event| {
        matches!(
            event,
            Event::Step {
                step: Step::Failed(Failure::TimedOut),
                ..
            }
        )
    };
    assert_eq!(failed.iter().filter(timed_out).count(), 10);
    assert_eq!(net.end(0, query), Err(QueryError::NotFound));
    assert_eq!(net.kad(0).table().count(), 0);
}

// covers: KAD-101, KAD-104, KAD-117
#[test]
fn a_lookup_ends_when_the_three_nearest_have_answered_or_nobody_is_left() {
    let mut net = among(
        one_path(),
        vec![for_key(KEY, |request| {
            Reply::Message(naming(request.kind, vec![]))
        })],
    );
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.run(SECOND);
    let events = net.events(0);
    let [
        Event::Step {
            step: Step::Asked { hop: 0, .. },
            ..
        },
        Event::Step {
            step: Step::Answered { named: 0 },
            ..
        },
        Event::Finished {
            query: ended,
            result: Ok(Outcome::Closest(found)),
            effort,
        },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((*ended, found), (query, &vec![contact(1)]));
    assert_eq!(
        (effort.asked, effort.answered, effort.failed, effort.hops),
        (1, 1, 0, 1)
    );
}

// covers: KAD-105, KAD-106
#[test]
fn an_adversary_who_names_nearer_peers_for_ever_is_followed_for_a_bounded_way() {
    let mut next = 1000;
    let liar = move |request: &Message| {
        let named = (0..40).map(|offset| contact_of(next + offset)).collect();
        next += 40;
        Reply::Message(naming(request.kind, named))
    };
    let mut net = among(one_path(), vec![for_key(KEY, liar)]);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    let result = net.end(0, query);
    assert!(matches!(result, Ok(Outcome::Closest(found)) if found == [contact(1)]));
    assert_eq!(net.kad(0).census().queries, 0);
    assert_eq!(net.fake(1).asked.len(), 1, "nobody is asked twice");
}

fn contact_of(index: usize) -> Contact {
    Contact {
        peer: peer(index),
        addrs: vec![support::addr(index % 1000)],
    }
}

// covers: KAD-067, KAD-107, KAD-029
#[test]
fn vul_109_of_a_huge_answer_forty_others_count_and_none_comes_into_the_table() {
    let liar = for_key(KEY, |request| {
        let mut named: Vec<_> = vec![contact(0), contact(1)];
        named.extend((100..5000).map(contact_of));
        Reply::Message(naming(request.kind, named))
    });
    let mut net = among(one_path(), vec![liar]);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.run(SECOND);
    let events = net.events(0);
    let named = events.iter().find_map(|event| match event {
        Event::Step {
            step: Step::Answered { named },
            ..
        } => Some(*named),
        _ => None,
    });
    assert_eq!(named, Some(38), "forty, without us and itself");
    assert!(events.iter().all(|event| !matches!(event, Event::Added { .. })));
    let dialed: BTreeSet<_> = net.bench.dials(0).iter().filter_map(|dial| dial.peer).collect();
    assert!(!dialed.contains(&peer(0)) && dialed.len() <= 39);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Finished { query: ended, .. } if *ended == query))
    );
}

// covers: KAD-020, KAD-038, KAD-054
#[test]
fn vul_110_each_bad_answer_fails_its_peer_and_the_query_ends_once() {
    let scripts: Vec<fn(&Message) -> Reply> = vec![
        |_| Reply::Message(naming(MessageType::GetValue, vec![contact(2)])),
        |_| Reply::Frames(vec![b"\xff\xff".to_vec()]),
        |_| Reply::Reset,
        |_| Reply::Finish,
        |_| Reply::Silence,
        |request| {
            let good = naming(request.kind, vec![]).encode();
            Reply::Frames(vec![good.clone(), good])
        },
    ];
    let fakes = scripts.into_iter().map(|script| for_key(KEY, script)).collect();
    let mut net = among(one_path(), fakes);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.run(SECOND * 70);
    let events = net.events(0);
    let ends: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, Event::Finished { .. }))
        .collect();
    let [
        Event::Finished {
            query: ended,
            result,
            effort,
        },
    ] = &ends[..]
    else {
        panic!("{ends:?}")
    };
    assert_eq!((*ended, effort.failed), (query, 5));
    assert_eq!(
        *result,
        Ok(Outcome::Closest(vec![contact(6)])),
        "whoever answers twice has answered"
    );
    assert_eq!(net.kad(0).census().queries, 0);
    assert!(net.kad(0).census().requests <= 6, "idle streams at most");
}

// covers: KAD-037, KAD-035
#[test]
fn a_second_request_uses_the_idle_stream_of_the_first() {
    let mut net = among(one_path(), vec![Fake::naming(vec![])]);
    for key in [&b"one"[..], b"two"] {
        let query = net.kad(0).closest_peers(key).unwrap();
        net.end(0, query).unwrap();
    }
    let streams: BTreeSet<_> = net.fake(1).asked.iter().map(|(_, stream, _)| *stream).collect();
    assert_eq!((net.fake(1).asked.len(), streams.len()), (2, 1));

    let config = Config {
        idle_timeout: Duration::ZERO,
        ..one_path()
    };
    let mut net = among(config, vec![Fake::naming(vec![])]);
    for key in [&b"one"[..], b"two"] {
        let query = net.kad(0).closest_peers(key).unwrap();
        net.end(0, query).unwrap();
    }
    let streams: BTreeSet<_> = net.fake(1).asked.iter().map(|(_, stream, _)| *stream).collect();
    assert_eq!((net.fake(1).asked.len(), streams.len()), (2, 2));
}

// covers: KAD-038, KAD-039
#[test]
fn a_failed_reuse_is_tried_once_more_on_a_fresh_stream_until_reuse_is_given_up() {
    let mut fake = Fake::naming(vec![contact(900)]);
    fake.once = true;
    let mut net = Net::with(one_path(), vec![Node::Fake(fake)]);
    net.connect(0, 1);
    net.run(SECOND * 60);
    net.fake(1).asked.clear();
    let mut costs = Vec::new();
    for number in 0..8_u8 {
        let query = net.kad(0).closest_peers(vec![number]).unwrap();
        assert!(net.end(0, query).is_ok(), "request {number} succeeds");
        let key = [number];
        costs.push(
            net.fake(1)
                .asked
                .iter()
                .filter(|(_, _, asked)| asked.key[..] == key)
                .count(),
        );
    }
    // Streams are used again until that has failed four times; at the start it has, for the refresh.
    assert!(costs.iter().all(|cost| *cost <= 2));
    assert_eq!(costs[4..], [1; 4]);
}

// covers: KAD-041, KAD-042
#[test]
fn an_announcement_waits_for_no_answer_and_an_echo_answers_nothing_else() {
    let echo = Fake::new(|_, request| {
        if request.kind == MessageType::AddProvider {
            Reply::Frames(vec![request.encode(), request.encode()])
        } else {
            Reply::Message(naming(request.kind, vec![]))
        }
    });
    let mut net = among(one_path(), vec![echo, Fake::naming(vec![])]);
    let query = net.kad(0).provide(&b"content"[..]).unwrap();
    assert_eq!(net.end(0, query), Ok(Outcome::Sent { peers: 2, failed: 0 }));
    let query = net.kad(0).closest_peers(KEY).unwrap();
    let Ok(Outcome::Closest(found)) = net.end(0, query) else {
        panic!()
    };
    assert_eq!(found.len(), 2);
    assert!(net.fake(1).kinds().contains(&MessageType::AddProvider));
}

// covers: KAD-096
#[test]
fn without_anybody_to_ask_a_query_fails_at_once() {
    let mut net = Net::of(1, 1, &private());
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.run(Duration::ZERO);
    let events = net.events(0);
    assert!(
        matches!(&events[..], [Event::Finished { query: ended, result: Err(QueryError::NoPeers), .. }] if *ended == query)
    );
    assert_eq!(net.kad(0).census().queries, 0);
}

// covers: KAD-116, KAD-073
#[test]
fn a_cancelled_query_resets_its_streams_and_costs_nobody_a_place() {
    let fakes = (0..5).map(|_| for_key(KEY, |_| Reply::Silence)).collect();
    let mut net = among(one_path(), fakes);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.run(LATENCY * 5);
    net.kad(0).cancel(query);
    net.run(SECOND);
    assert_eq!(net.end(0, query), Err(QueryError::Cancelled));
    assert_eq!(net.kad(0).table().count(), 5);
    assert_eq!(
        (net.kad(0).census().queries, net.kad(0).census().requests),
        (0, 0)
    );
    net.kad(0).cancel(query);
    net.run(SECOND * 60);
    assert!(net.events(0).is_empty());
}

// covers: KAD-108, KAD-188, KAD-189
#[test]
fn vul_115_private_foreign_and_relayed_addresses_of_others_are_not_dialed_on_the_public_network() {
    let named: Vec<Contact> = [
        "/ip4/10.0.0.1/tcp/4001",
        "/ip4/127.0.0.1/tcp/4001",
        "/ip4/192.168.1.1/tcp/22",
        "/ip4/100.64.0.1/tcp/4001",
        "/ip4/169.254.1.1/tcp/4001",
        "/ip4/0.0.0.0/tcp/4001",
        "/ip4/224.0.0.1/tcp/4001",
        "/ip6/::1/tcp/4001",
        "/ip6/fe80::1/tcp/4001",
        "/ip6/fc00::1/tcp/4001",
        "/ip6/::ffff:10.0.0.1/tcp/4001",
        "/ip4/8.8.8.8/tcp/0",
        "/ip4/8.8.8.8/tcp/22",
        "/ip4/8.8.8.8/tcp/25",
        "/ip4/8.8.8.8/tcp/4001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5/p2p-circuit",
    ]
    .iter()
    .enumerate()
    .map(|(index, addr)| Contact {
        peer: peer(100 + index),
        addrs: vec![addr.parse().unwrap()],
    })
    .collect();
    let config = Config {
        network: Network::Public,
        ..one_path()
    };
    let script = for_key(KEY, move |request| {
        Reply::Message(naming(request.kind, named.clone()))
    });
    let mut net = among(config, vec![script]);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    assert_eq!(net.end(0, query), Ok(Outcome::Closest(vec![contact(1)])));
    assert!(dialed(&net).is_empty());
}

/// Who was dialed, but for the one whom every check names.
fn dialed(net: &Net) -> BTreeSet<PeerId> {
    let peers = net.bench.dials(0).iter().filter_map(|dial| dial.peer);
    peers.filter(|dialed| *dialed != peer(900)).collect()
}

// covers: KAD-110
#[test]
fn forty_names_of_one_address_cause_three_dials_to_it_in_a_minute() {
    let victim: Multiaddr = "/ip4/9.9.9.9/tcp/4001".parse().unwrap();
    let named: Vec<Contact> = (100..140)
        .map(|index| Contact {
            peer: peer(index),
            addrs: vec![victim.clone()],
        })
        .collect();
    let script = for_key(KEY, move |request| {
        Reply::Message(naming(request.kind, named.clone()))
    });
    let mut net = among(one_path(), vec![script]);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.end(0, query).unwrap();
    let dials = net
        .bench
        .dials(0)
        .iter()
        .filter(|dial| dial.addrs.contains(&victim));
    assert_eq!(dials.count(), 3);
}

// covers: KAD-109
#[test]
fn vul_114_a_crowd_of_one_network_in_an_answer_is_ignored() {
    let named: Vec<Contact> = (100..110_u8)
        .map(|index| Contact {
            peer: peer(usize::from(index)),
            addrs: vec![Multiaddr::tcp([44, 44, 1, index].into(), 4001)],
        })
        .chain((110..115).map(contact))
        .collect();
    let config = Config {
        diversity: Some(Diversity::default()),
        ..one_path()
    };
    assert_eq!(
        Config::default().paths,
        3,
        "and a lookup takes disjoint paths by default"
    );
    let script = for_key(KEY, move |request| {
        Reply::Message(naming(request.kind, named.clone()))
    });
    let mut net = among(config, vec![script]);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.end(0, query).unwrap();
    assert_eq!(dialed(&net), (110..115).map(peer).collect());
}

// covers: KAD-112, KAD-113
#[test]
fn a_path_of_liars_does_not_keep_the_other_paths_from_the_true_nearest() {
    // Three peers known; one names only invented peers, the others the true ones.
    let lie = for_key(KEY, |request| {
        Reply::Message(naming(request.kind, (500..540).map(contact).collect()))
    });
    let truth = || {
        for_key(KEY, |request| {
            Reply::Message(naming(request.kind, vec![contact(4), contact(5)]))
        })
    };
    let honest = || for_key(KEY, |request| Reply::Message(naming(request.kind, vec![])));
    let config = Config {
        paths: 3,
        ..one_path()
    };
    let mut nodes: Vec<_> = vec![lie, truth(), truth()];
    nodes.extend([honest(), honest()]);
    let mut net = Net::with(config, nodes.into_iter().map(Node::Fake).collect());
    for index in 1..=3 {
        net.connect(0, index);
    }
    net.run(SECOND * 20);
    net.events(0);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    let Ok(Outcome::Closest(found)) = net.end(0, query) else {
        panic!()
    };
    let found: BTreeSet<_> = found.iter().map(|contact| contact.peer).collect();
    assert!(found.is_superset(&(1..=5).map(peer).collect()));
    for index in 4..=5 {
        let times = net
            .fake(index)
            .asked
            .iter()
            .filter(|(_, _, asked)| asked.key == KEY)
            .count();
        assert_eq!(times, 1, "two paths name it, one asks it");
    }
}

// covers: KAD-046
#[test]
fn many_queries_never_have_more_requests_open_than_the_limit() {
    let config = Config {
        max_requests: 16,
        ..one_path()
    };
    let fakes = (0..18).map(|_| for_key(KEY, |_| Reply::Silence)).collect();
    let mut net = among(config, fakes);
    for _ in 0..100 {
        net.kad(0).closest_peers(KEY).unwrap();
    }
    net.run(SECOND);
    assert!(net.bench.open_streams(0) <= 16);
    net.run(SECOND * 100);
    let ends = net.events(0);
    assert_eq!(
        ends.iter()
            .filter(|event| matches!(event, Event::Finished { .. }))
            .count(),
        100
    );
    assert_eq!(net.kad(0).census().queries, 0);
}
