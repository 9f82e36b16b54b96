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

/// What comes of one answer with these peers: how many of them counted, and who was dialed for it.
fn after_naming(named: Vec<Contact>) -> (usize, BTreeSet<PeerId>, Net) {
    let liar = for_key(KEY, move |request| {
        Reply::Message(naming(request.kind, named.clone()))
    });
    let mut net = among(one_path(), vec![liar]);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    let (mut counted, mut ended) = (None, false);
    for _ in 0..200 {
        net.run(SECOND);
        for event in net.events(0) {
            match event {
                Event::Step {
                    step: Step::Answered { named },
                    ..
                } => counted = Some(named),
                Event::Finished { query: over, .. } => ended = over == query,
                Event::Added { peer, .. } => panic!("{peer} came into the table by a word"),
                _ => {}
            }
        }
        if ended {
            break;
        }
    }
    let dialed = dialed(&net);
    assert!(ended && net.kad(0).census().queries == 0);
    (counted.unwrap(), dialed, net)
}

// covers: KAD-067, KAD-107, KAD-029, KAD-008
#[test]
fn vul_109_of_a_huge_answer_forty_others_count_and_none_comes_into_the_table() {
    // One more than a bucket has.
    let (counted, asked, _) = after_naming((100..121).map(contact_of).collect());
    assert_eq!((counted, asked.len()), (21, 21));
    // As many as an answer of 16 KiB has room for, and thousands.
    for count in [300, 1000, 5000] {
        let (counted, asked, _) = after_naming((100..100 + count).map(contact_of).collect());
        assert_eq!(counted, 40);
        assert!(asked.len() <= 40);
    }
    // Ourselves and who answers.
    let mut named: Vec<_> = vec![contact(0), contact(1)];
    named.extend((100..5000).map(contact_of));
    let (counted, asked, _) = after_naming(named);
    assert_eq!(counted, 38, "forty, without us and itself");
    assert!(!asked.contains(&peer(0)) && !asked.contains(&peer(1)));
    // One peer, forty times.
    let (_, asked, mut net) = after_naming(vec![contact_of(100); 40]);
    assert_eq!(asked, [peer(100)].into());
    let dials = net
        .bench
        .dials(0)
        .iter()
        .filter(|dial| dial.peer == Some(peer(100)));
    assert_eq!(dials.count(), 1);
    // What the machine holds after ten thousand names is what it held before.
    let base = bytes_of(&mut net);
    for round in 0..10 {
        let (_, _, mut net) = after_naming((1000 * round..1000 * round + 1000).map(contact_of).collect());
        assert!(bytes_of(&mut net) < base + 32 * 1024);
    }
}

/// The memory of the machine at node 0, which is gone for it.
fn bytes_of(net: &mut Net) -> i64 {
    let gone = Node::Fake(Fake::silent());
    let node = std::mem::replace(&mut net.nodes[0], gone);
    -allocation_counter::measure(|| drop(node)).bytes_current
}

// covers: KAD-086
#[test]
fn a_hundred_thousand_names_in_an_hour_leave_no_memory_behind() {
    fn run(queries: usize) -> i64 {
        let mut next = 1000;
        let liar = for_key(KEY, move |request| {
            next += 40;
            let named = (next..next + 40).map(|index| Contact {
                peer: peer(index),
                addrs: vec![support::addr(index % 10_000)],
            });
            Reply::Message(naming(request.kind, named.collect()))
        });
        let config = Config {
            progress: false,
            max_asked: 40,
            ..one_path()
        };
        let mut net = among(config, vec![liar]);
        for _ in 0..queries {
            let query = net.kad(0).closest_peers(KEY).unwrap();
            net.end(0, query).unwrap();
        }
        net.run(SECOND * 3600);
        let census = net.kad(0).census();
        assert_eq!((census.queries, census.requests, census.checks), (0, 0, 0));
        bytes_of(&mut net)
    }
    // The rates of dials to four thousand hosts are remembered.
    let (few, many) = (run(1), run(2500));
    assert!(many < few + 1024 * 1024, "{few} and {many} bytes");
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

#[test]
fn an_announcement_has_a_stream_of_its_own_since_nobody_would_notice_its_loss() {
    let mut net = among(one_path(), vec![Fake::naming(vec![])]);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.end(0, query).unwrap();
    let query = net.kad(0).provide(&b"content"[..]).unwrap();
    net.end(0, query).unwrap();
    net.run(SECOND);
    let asked = &net.fake(1).asked;
    let (_, own, _) = asked
        .iter()
        .find(|(_, _, asked)| asked.kind == MessageType::AddProvider)
        .unwrap();
    assert_eq!(asked.iter().filter(|(_, stream, _)| stream == own).count(), 1);
    assert!(asked.len() > 2);
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
fn a_crowd_of_one_network_in_an_answer_is_ignored() {
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
    let script = for_key(KEY, move |request| {
        Reply::Message(naming(request.kind, named.clone()))
    });
    let mut net = among(config, vec![script]);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.end(0, query).unwrap();
    assert_eq!(dialed(&net), (110..115).map(peer).collect());
}

#[test]
fn vul_114_one_network_that_fills_an_answer_is_not_asked_and_each_path_has_another_source() {
    let crowd = |first: u8| -> Vec<Contact> {
        let index = first..first + 20;
        let contact = |index| Contact {
            peer: peer(usize::from(index)),
            addrs: vec![Multiaddr::tcp([44, 44, 1, index].into(), 4001)],
        };
        index.map(contact).collect()
    };
    let paths = Config::default().paths;
    assert_eq!(paths, 3);
    let config = Config {
        diversity: Some(Diversity::default()),
        progress: true,
        ..private()
    };
    // All that two of three sources say is one network; the third one names the others.
    let liar = |first| {
        for_key(KEY, move |request| {
            Reply::Message(naming(request.kind, crowd(first)))
        })
    };
    let honest = for_key(KEY, |request| {
        Reply::Message(naming(request.kind, (110..115).map(contact).collect()))
    });
    let mut net = among(config, vec![liar(120), liar(150), honest]);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.end(0, query).unwrap();
    assert_eq!(dialed(&net), (110..115).map(peer).collect());
    // No more of one network than an answer may have, when they come in small groups.
    let few = for_key(KEY, move |request| {
        Reply::Message(naming(request.kind, crowd(120)[..3].to_vec()))
    });
    let config = Config {
        diversity: Some(Diversity::default()),
        ..one_path()
    };
    let mut net = among(config, vec![few]);
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.end(0, query).unwrap();
    assert_eq!(dialed(&net).len(), 3);
    // The paths begin with different peers, and nobody is asked on two of them.
    let seeds = (0..9).map(|_| for_key(KEY, |request| Reply::Message(naming(request.kind, vec![]))));
    let mut net = among(private(), seeds.collect());
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.end(0, query).unwrap();
    for index in 1..=9 {
        let times = net
            .fake(index)
            .asked
            .iter()
            .filter(|(_, _, asked)| asked.key == KEY);
        assert!(times.count() <= 1);
    }
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

// covers: KAD-075
#[test]
fn seeds_that_answer_within_twice_the_time_of_the_fastest_have_been_of_use() {
    let slow = |millis| {
        for_key(KEY, |request| Reply::Message(naming(request.kind, vec![])))
            .after(Duration::from_millis(millis))
    };
    // With 40 ms on the way, 70, 130 and 150 ms.
    let mut net = among(one_path(), vec![slow(30), slow(90), slow(110)]);
    let before = net.bench.now();
    let query = net.kad(0).closest_peers(KEY).unwrap();
    net.end(0, query).unwrap();
    let useful = |net: &mut Net, index: usize| {
        let known = net
            .kad(0)
            .table()
            .find(|known| known.peer == peer(index))
            .unwrap()
            .useful;
        known > before
    };
    let marked = [1, 2, 3].map(|index| useful(&mut net, index));
    assert_eq!(marked, [true, true, false]);
}

// covers: KAD-077
#[test]
fn a_peer_that_takes_a_minute_to_answer_does_not_come_into_the_table() {
    let answer = || Fake::new(|_, request| Reply::Message(naming(request.kind, vec![contact(900)])));
    let nodes = [
        answer().after(SECOND * 61),
        answer().after(SECOND * 11),
        answer().after(SECOND * 5),
    ];
    let mut net = Net::with(one_path(), nodes.into_iter().map(Node::Fake).collect());
    for index in 1..=3 {
        net.connect(0, index);
    }
    net.run(SECOND * 200);
    let known: Vec<_> = net.kad(0).table().map(|known| known.peer).collect();
    assert_eq!(known, [peer(3)]);
}

// covers: KAD-111
#[test]
fn an_answer_without_a_nearer_peer_is_no_error_and_the_lookup_ends() {
    let key = Key::of(KEY);
    let mut far: Vec<usize> = (10..60).collect();
    far.sort_by_key(|index| std::cmp::Reverse(key.distance(&Key::of_peer(&peer(*index)))));
    let mut near: Vec<usize> = (1..=9).collect();
    near.sort_by_key(|index| key.distance(&Key::of_peer(&peer(*index))));
    let named: Vec<Contact> = far[..5].iter().map(|index| contact(*index)).collect();
    assert!(
        near.iter().all(
            |near| key.distance(&Key::of_peer(&peer(*near))) < key.distance(&Key::of_peer(&peer(far[4])))
        )
    );
    let fakes = (0..9).map(|_| {
        let named = named.clone();
        for_key(KEY, move |request| {
            Reply::Message(naming(request.kind, named.clone()))
        })
    });
    let mut net = among(one_path(), fakes.collect());
    let query = net.kad(0).closest_peers(KEY).unwrap();
    let Ok(Outcome::Closest(found)) = net.end(0, query) else {
        panic!("not found")
    };
    let found: Vec<_> = found.iter().map(|contact| contact.peer).collect();
    assert_eq!(
        found[..9],
        near.iter().map(|index| peer(*index)).collect::<Vec<_>>(),
        "the near ones did not fail"
    );
    assert!(
        found[9..]
            .iter()
            .all(|found| named.iter().any(|named| named.peer == *found)),
        "and the far ones are candidates"
    );
    let asked = near.iter().filter(|index| {
        net.fake(**index)
            .asked
            .iter()
            .any(|(_, _, asked)| asked.key == KEY)
    });
    assert!(asked.count() >= 3);
}
