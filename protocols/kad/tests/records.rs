//! Values, providers and peers among others that follow a script: what is found, what is sent, what is mended.
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
use libp2p_proto_core::Multiaddr;
use libp2p_proto_kad::{
    Config, Contact, Event, Failure, Key, Message, MessageType, Network, Outcome, QueryError, Record, Step,
};
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

fn naming(kind: MessageType, closer: Vec<Contact>) -> Message {
    let mut answer = Message::new(kind, Bytes::new());
    answer.closer = closer;
    answer
}

// covers: KAD-102
#[test]
fn a_search_for_values_asks_every_one_of_the_nearest() {
    let fakes = (0..18).map(|_| Fake::naming(vec![])).collect();
    let mut net = among(one_path(), fakes);
    let query = net.kad(0).get_value(&b"/x/nothing"[..], None).unwrap();
    assert_eq!(net.end(0, query), Err(QueryError::NotFound));
    let asked = (1..=18).filter(|index| net.fake(*index).kinds() == [MessageType::GetValue]);
    assert_eq!(asked.collect::<Vec<_>>().len(), 18);
}

fn value(key: &[u8], value: &[u8]) -> Record {
    Record {
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
        ..Record::default()
    }
}

/// Answers with a value, or without.
fn holder(held: Option<&'static [u8]>) -> Fake {
    Fake::new(move |_, request| {
        let mut answer = naming(request.kind, vec![contact(900)]);
        match request.kind {
            MessageType::GetValue => answer.record = held.map(|held| value(&request.key, held)),
            MessageType::PutValue => answer.record.clone_from(&request.record),
            _ => {}
        }
        Reply::Message(answer)
    })
}

// covers: KAD-140, KAD-142, KAD-144, KAD-145
#[test]
fn the_best_value_wins_and_those_who_had_an_old_one_or_none_get_it_after_the_end() {
    let mut fakes: Vec<Fake> = Vec::new();
    fakes.extend((0..5).map(|_| holder(Some(b"1"))));
    fakes.extend((0..7).map(|_| holder(Some(b"2"))));
    fakes.extend((0..4).map(|_| holder(None)));
    let mut net = among(one_path(), fakes);
    let query = net.kad(0).get_value(&b"/x/k"[..], Some(0)).unwrap();
    let Ok(Outcome::Value { value, agreed }) = net.end(0, query) else {
        panic!()
    };
    assert_eq!((&value[..], agreed), (&b"2"[..], 7));
    let puts = |net: &mut Net, index: usize| {
        let asked = &net.fake(index).asked;
        asked
            .iter()
            .filter(|(_, _, message)| message.kind == MessageType::PutValue)
            .count()
    };
    assert_eq!(
        (1..=16).map(|index| puts(&mut net, index)).sum::<usize>(),
        0,
        "not before the end"
    );
    net.run(SECOND);
    for index in 1..=16 {
        let wanted = usize::from(!(6..=12).contains(&index));
        assert_eq!(puts(&mut net, index), wanted, "peer {index}");
    }
}

// covers: KAD-151
#[test]
fn a_search_that_ends_early_leaves_the_value_with_the_nearest_that_lacked_it() {
    let mut fakes: Vec<Fake> = (0..6).map(|_| holder(None)).collect();
    fakes.push(holder(Some(b"1")).after(SECOND));
    let mut net = among(one_path(), fakes);
    let query = net.kad(0).get_value(&b"/x/k"[..], Some(1)).unwrap();
    assert!(matches!(net.end(0, query), Ok(Outcome::Value { agreed: 1, .. })));
    net.run(SECOND * 2);
    let key = Key::of(b"/x/k");
    let nearest = (1..=6).min_by_key(|index| key.distance(&Key::of_peer(&peer(*index))));
    let puts = net.fake(nearest.unwrap()).kinds();
    assert_eq!(
        puts.iter().filter(|kind| **kind == MessageType::PutValue).count(),
        1
    );
}

// covers: KAD-142, KAD-141
#[test]
fn a_quorum_of_equal_answers_ends_the_search_and_our_own_copy_is_one_of_them() {
    let fakes = (0..16).map(|_| holder(Some(b"1"))).collect();
    let mut net = among(one_path(), fakes);
    let query = net.kad(0).get_value(&b"/x/k"[..], Some(3)).unwrap();
    assert!(matches!(net.end(0, query), Ok(Outcome::Value { agreed: 3, .. })));
    let query = net.kad(0).put_value(&b"/x/own"[..], &b"9"[..]).unwrap();
    net.end(0, query).unwrap();
    let sent = net.kad(0).stats().requests_sent;
    let query = net.kad(0).get_value(&b"/x/own"[..], Some(1)).unwrap();
    assert!(matches!(net.end(0, query), Ok(Outcome::Value { agreed: 1, .. })));
    assert_eq!(net.kad(0).stats().requests_sent, sent);
}

#[test]
fn vul_111_a_value_for_another_key_fails_its_peer() {
    let wrong = |key: &'static [u8]| {
        Fake::new(move |_, request| {
            let mut answer = naming(request.kind, vec![contact(900)]);
            if request.kind == MessageType::GetValue {
                answer.record = Some(value(key, b"v"));
            }
            Reply::Message(answer)
        })
    };
    let mut net = among(one_path(), vec![wrong(b"/x/other"), wrong(b"")]);
    let query = net.kad(0).get_value(&b"/x/k"[..], None).unwrap();
    net.run(SECOND * 2);
    let events = net.events(0);
    let failures = events.iter().filter(|event| {
        matches!(
            event,
            Event::Step {
                step: Step::Failed(Failure::BadAnswer),
                ..
            }
        )
    });
    assert_eq!(failures.count(), 2);
    assert!(events.iter().any(
        |event| matches!(event, Event::Finished { query: ended, result: Err(QueryError::NotFound), .. } if *ended == query)
    ));
}

// covers: KAD-135, KAD-136, KAD-146
#[test]
fn a_put_counts_who_echoes_the_value_and_refuses_an_old_one_before_any_traffic() {
    let altered = Fake::new(|_, request| {
        let mut answer = naming(request.kind, vec![contact(900)]);
        answer.record = request
            .record
            .as_ref()
            .map(|record| value(&record.key, b"altered"));
        Reply::Message(answer)
    });
    let mut net = among(one_path(), vec![holder(None), holder(None), altered]);
    let query = net.kad(0).put_value(&b"/x/k"[..], &b"5"[..]).unwrap();
    assert_eq!(net.end(0, query), Ok(Outcome::Sent { peers: 2, failed: 1 }));
    let sent = net.kad(0).stats().requests_sent;
    let old = net.kad(0).put_value(&b"/x/k"[..], &b"4"[..]);
    assert_eq!(old, Err(libp2p_proto_kad::Error::OldRecord));
    net.run(SECOND);
    assert_eq!(net.kad(0).stats().requests_sent, sent);
}

/// Answers with these providers.
fn provider_of(named: Vec<Contact>) -> Fake {
    Fake::new(move |_, request| {
        let mut answer = naming(request.kind, vec![contact(900)]);
        if request.kind == MessageType::GetProviders {
            answer.providers.clone_from(&named);
        }
        Reply::Message(answer)
    })
}

// covers: KAD-179, KAD-180
#[test]
fn each_provider_is_reported_once_and_enough_of_them_end_the_search() {
    let named = || (200..205).map(contact).collect::<Vec<_>>();
    let mut net = among(one_path(), (0..6).map(|_| provider_of(named())).collect());
    let query = net.kad(0).find_providers(&b"c"[..], 3).unwrap();
    let Ok(Outcome::Providers(found)) = net.end(0, query) else {
        panic!()
    };
    assert_eq!(found.len(), 3);
    let query = net.kad(0).find_providers(&b"c"[..], 0).unwrap();
    net.run(SECOND * 5);
    let mut reported = Vec::new();
    let mut end = None;
    for event in net.events(0) {
        match event {
            Event::Providers { query: of, providers } if of == query => reported.extend(providers),
            Event::Finished {
                query: of, result, ..
            } if of == query => end = Some(result),
            _ => {}
        }
    }
    let Some(Ok(Outcome::Providers(found))) = end else {
        panic!()
    };
    assert_eq!((reported.len(), found.len()), (5, 5));
    // What others say is no record of ours.
    let query = net.kad(0).find_providers(&b"other"[..], 0).unwrap();
    net.end(0, query).unwrap();
    assert!(
        net.bench
            .dials(0)
            .iter()
            .all(|dial| !(200..205).map(peer).any(|peer| dial.peer == Some(peer)))
    );
}

// covers: KAD-125, KAD-126, KAD-127
#[test]
fn a_searched_peer_is_found_when_a_connection_proves_it_and_else_as_hearsay() {
    let teller = |named: Contact| {
        Fake::new(move |_, request| {
            let key = named.peer.as_bytes();
            let closer = if request.key == key {
                vec![named.clone()]
            } else {
                vec![contact(900)]
            };
            Reply::Message(naming(request.kind, closer))
        })
    };
    let mut net = Net::with(
        one_path(),
        vec![Node::Fake(teller(contact(2))), Node::Fake(Fake::silent())],
    );
    net.connect(0, 1);
    net.run(SECOND * 20);
    let query = net.kad(0).find_peer(peer(2)).unwrap();
    let found = net.end(0, query);
    assert_eq!(
        found,
        Ok(Outcome::Peer {
            peer: peer(2),
            addrs: vec![support::addr(2)],
            verified: true
        })
    );
    let sent = net.kad(0).stats().requests_sent;
    let query = net.kad(0).find_peer(peer(2)).unwrap();
    assert!(matches!(
        net.end(0, query),
        Ok(Outcome::Peer { verified: true, .. })
    ));
    assert_eq!(
        net.kad(0).stats().requests_sent,
        sent,
        "connected: nobody is asked"
    );

    let elsewhere = Contact {
        peer: peer(2),
        addrs: vec![support::addr(77)],
    };
    let mut net = Net::with(
        one_path(),
        vec![Node::Fake(teller(elsewhere.clone())), Node::Fake(Fake::silent())],
    );
    net.connect(0, 1);
    net.run(SECOND * 20);
    let query = net.kad(0).find_peer(peer(2)).unwrap();
    let found = net.end(0, query);
    assert_eq!(
        found,
        Ok(Outcome::Peer {
            peer: peer(2),
            addrs: elsewhere.addrs,
            verified: false
        })
    );
}

// covers: KAD-182, KAD-183
#[test]
fn we_provide_under_addresses_that_are_of_use_or_not_at_all() {
    let config = || Config {
        network: Network::Public,
        ..one_path()
    };
    let mut net = Net::with(config(), vec![Node::Fake(Fake::naming(vec![contact(900)]))]);
    net.addrs[0] = "/ip4/10.0.0.2/tcp/4001".parse().unwrap();
    let mut kad = libp2p_proto_kad::Kad::new(peer(0), config()).unwrap();
    assert_eq!(kad.provide(&b"c"[..]), Err(libp2p_proto_kad::Error::NoAddress));
    net.connect(0, 1);
    let relayed: Multiaddr =
        "/ip4/8.8.8.8/tcp/1/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5/p2p-circuit"
            .parse()
            .unwrap();
    for addr in ["/ip4/10.0.0.2/tcp/4001".parse().unwrap(), relayed.clone()] {
        let fact = libp2p_proto_stream_protocol::Fact::ListenAddress { addr, up: true };
        net.tell(0, fact);
    }
    net.tell(
        0,
        libp2p_proto_stream_protocol::Fact::ListenAddress {
            addr: support::addr(0),
            up: false,
        },
    );
    net.run(SECOND * 20);
    let query = net.kad(0).provide(&b"c"[..]).unwrap();
    assert_eq!(net.end(0, query), Ok(Outcome::Sent { peers: 1, failed: 0 }));
    net.run(SECOND);
    let told = net
        .fake(1)
        .asked
        .iter()
        .find(|(_, _, message)| message.kind == MessageType::AddProvider);
    assert_eq!(told.unwrap().2.providers[0].addrs, [relayed]);
}

// covers: KAD-186
#[test]
fn a_slow_lookup_gives_way_to_storing_before_the_time_is_over() {
    for (time, begin) in [
        (SECOND * 20, SECOND * 19),
        (SECOND * 5, Duration::from_millis(4500)),
    ] {
        let config = Config {
            query_timeout: time,
            reply_timeout: SECOND * 60,
            ..one_path()
        };
        let slow = || {
            Fake::new(|_, request| match &request.key[..] {
                b"content" if request.kind == MessageType::FindNode => Reply::Silence,
                _ => Reply::Message(naming(request.kind, vec![contact(900)])),
            })
        };
        let mut net = among(config, vec![slow(), slow()]);
        let query = net.kad(0).provide(&b"content"[..]).unwrap();
        net.run(begin.saturating_sub(LATENCY * 5));
        assert!(!net.fake(1).kinds().contains(&MessageType::AddProvider));
        net.run(LATENCY * 10);
        assert!(net.fake(1).kinds().contains(&MessageType::AddProvider));
        assert_eq!(net.end(0, query), Ok(Outcome::Sent { peers: 2, failed: 0 }));
    }
}

#[test]
fn a_value_that_nobody_took_stays_here_until_it_is_withdrawn() {
    let mut net = Net::of(1, 1, &private());
    let query = net.kad(0).put_value(&b"/x/key"[..], &b"value"[..]).unwrap();
    assert_eq!(net.end(0, query), Err(QueryError::NoPeers));
    let query = net.kad(0).get_value(&b"/x/key"[..], Some(0)).unwrap();
    assert!(net.end(0, query).is_ok());
    net.kad(0).stop_publishing(b"/x/key");
    let query = net.kad(0).get_value(&b"/x/key"[..], Some(0)).unwrap();
    assert_eq!(net.end(0, query), Err(QueryError::NoPeers));
    // What others left here is not ours to withdraw.
    let mut net = Net::of(1, 2, &private());
    net.connect(0, 1);
    net.run(support::SECOND);
    let query = net.kad(0).put_value(&b"/x/key"[..], &b"value"[..]).unwrap();
    assert!(net.end(0, query).is_ok());
    net.kad(1).stop_publishing(b"/x/key");
    let query = net.kad(1).get_value(&b"/x/key"[..], Some(1)).unwrap();
    assert!(net.end(1, query).is_ok());
}
