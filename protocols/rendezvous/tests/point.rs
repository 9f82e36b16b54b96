//! A rendezvous point: whom it registers, whom it refuses, and what it answers.
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
use libp2p_proto_core::{Rate, protobuf::encode};
use libp2p_proto_identity::Dialect;
use libp2p_proto_rendezvous::{Config, Event, Message, Status};
use libp2p_proto_stream_protocol::bench::{Bench, Puppet};
use std::collections::BTreeSet;
use support::{
    HOUR, POINT, SECOND, Scene, addr, discover, found, puppet_spec, record, record_as, register,
    registration, vector,
};

fn granted(seconds: u64) -> Message {
    Message::RegisterResponse {
        status: Status::Ok,
        ttl: Some(seconds),
    }
}

fn refused(status: Status) -> Message {
    Message::RegisterResponse { status, ttl: None }
}

fn unlimited() -> Config {
    Config {
        rate: Rate::per_second(10_000, 100_000),
        ..Config::default()
    }
}

/// The peers that the point names for a namespace.
fn listed(scene: &mut Scene, namespace: &str) -> Vec<Bytes> {
    let answer = scene.ask(1, &discover(namespace, None, &Bytes::new()));
    found(answer).0.into_iter().map(|each| each.record).collect()
}

// covers: RDV-001, RDV-021
#[test]
fn a_request_has_one_answer_and_the_stream_ends() {
    let mut scene = Scene::new(Config::default(), 1);
    let (data, finished) = scene.send(1, &register(1, "test").encode());
    assert_eq!((data, finished), (vector("V-RDV-3"), true));
    assert_eq!(scene.bench.open_streams(POINT), 0);
    let namespace = "test".into();
    let (peer, ttl) = (scene.peer(1), 2 * HOUR);
    assert_eq!(scene.events(), [Event::PeerRegistered { peer, namespace, ttl }]);
}

// covers: RDV-003, RDV-008
#[test]
fn what_is_no_request_is_reset_and_registers_nobody() {
    let mut scene = Scene::new(Config::default(), 1);
    let answer = granted(7200).encode();
    let bad_text = encode(|out| {
        out.varint(1, 0);
        out.bytes(2, &encode(|out| out.bytes(1, b"\xff")));
    });
    for request in [&b"\x08\x00"[..], b"", b"\xff", &answer, &bad_text] {
        let (data, finished) = scene.send(1, request);
        assert_eq!((data, finished), (vec![], false));
    }
    assert_eq!(scene.point.census().registrations, 0);
    assert_eq!(scene.bench.open_streams(POINT), 0);
}

// covers: RDV-010
#[test]
fn a_peer_registers_itself_and_nobody_else() {
    let mut scene = Scene::new(Config::default(), 2);
    assert_eq!(scene.ask(2, &register(1, "test")), refused(Status::NotAuthorized));
    assert_eq!(scene.ask(1, &register(1, "test")), granted(7200));
}

// covers: RDV-011
#[test]
fn one_changed_bit_of_a_record_is_refused() {
    let mut scene = Scene::new(unlimited(), 1);
    let good = record(1, 1, &[addr(1)]);
    for bit in (0..good.len() * 8).step_by(13) {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        let answer = scene.ask(1, &Message::Register(registration("test", bad.into(), None)));
        assert_eq!(answer, refused(Status::InvalidSignedPeerRecord), "bit {bit}");
    }
    assert_eq!(scene.point.census().registrations, 0);
}

// covers: RDV-012, RDV-013
#[test]
fn both_forms_of_records_register_and_come_back_byte_for_byte() {
    let mut scene = Scene::new(Config::default(), 2);
    let deployed = record_as(Dialect::Deployed, 1, 1, &[addr(1)]);
    let rfc = record_as(Dialect::Rfc, 2, 1, &[addr(2)]);
    for (peer, record) in [(1, &deployed), (2, &rfc)] {
        let request = Message::Register(registration("test", record.clone(), None));
        assert_eq!(scene.ask(peer, &request), granted(7200));
    }
    assert_eq!(listed(&mut scene, "test"), [deployed, rfc]);
}

// covers: RDV-014
#[test]
fn the_time_to_live_has_its_bounds_and_its_default() {
    let mut scene = Scene::new(Config::default(), 1);
    let record = record(1, 1, &[addr(1)]);
    let mut ask = |ttl| scene.ask(1, &Message::Register(registration("test", record.clone(), ttl)));
    for bad in [0, 1, 7199, 259_201, u64::MAX] {
        assert_eq!(ask(Some(bad)), refused(Status::InvalidTtl), "{bad}");
    }
    assert_eq!(ask(None), granted(7200));
    assert_eq!(ask(Some(7200)), granted(7200));
    assert_eq!(ask(Some(259_200)), granted(259_200));
}

// covers: RDV-015, RDV-016, RDV-036
#[test]
fn a_namespace_has_1_to_255_bytes() {
    let mut scene = Scene::new(Config::default(), 1);
    let (full, long) = ("x".repeat(255), "x".repeat(256));
    assert_eq!(
        scene.ask(1, &register(1, &long)),
        refused(Status::InvalidNamespace)
    );
    assert_eq!(scene.ask(1, &register(1, "")), refused(Status::InvalidNamespace));
    assert_eq!(scene.ask(1, &register(1, &full)), granted(7200));
    assert_eq!(
        found(scene.ask(1, &discover(&full, None, &Bytes::new()))).0.len(),
        1
    );
    let answer = scene.ask(1, &discover(&long, None, &Bytes::new()));
    let Message::DiscoverResponse { status, .. } = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(status, Status::InvalidNamespace);
}

// covers: RDV-017
#[test]
fn namespaces_differ_by_their_bytes() {
    let mut scene = Scene::new(Config::default(), 1);
    assert_eq!(scene.ask(1, &register(1, "A")), granted(7200));
    assert_eq!(listed(&mut scene, "a").len(), 0);
    assert_eq!(listed(&mut scene, "A").len(), 1);
    // One letter in two normal forms.
    assert_eq!(scene.ask(1, &register(1, "\u{e9}")), granted(7200));
    assert_eq!(listed(&mut scene, "e\u{301}").len(), 0);
}

// covers: RDV-018, RDV-024
#[test]
fn a_renewal_is_no_further_registration_and_limits_refuse_the_next() {
    let config = Config {
        max_per_peer: 2,
        max_registrations: 3,
        ..Config::default()
    };
    let mut scene = Scene::new(config, 3);
    assert_eq!(scene.ask(1, &register(1, "a")), granted(7200));
    assert_eq!(scene.ask(1, &register(1, "b")), granted(7200));
    assert_eq!(scene.ask(1, &register(1, "c")), refused(Status::Unavailable));
    assert_eq!(scene.ask(2, &register(2, "a")), granted(7200));
    assert_eq!(scene.ask(3, &register(3, "a")), refused(Status::Unavailable));
    let newer = Message::Register(registration("b", record(1, 2, &[addr(1)]), None));
    assert_eq!(scene.ask(1, &newer), granted(7200));
    assert_eq!(scene.point.census().registrations, 3);
}

// covers: RDV-025
#[test]
fn namespaces_are_limited_and_so_is_the_share_of_one_network() {
    let config = Config {
        max_namespaces: 2,
        max_per_network: 2,
        ..Config::default()
    };
    let mut scene = Scene::new(config, 0);
    // Five peers of one public network and one of another, by connections that the point sees come from there.
    let ids: Vec<_> = (0..=6).map(|index| support::identity(index).peer_id()).collect();
    scene.bench = Bench::with_peers(1, &ids, Duration::from_millis(10));
    for peer in 1..=6 {
        let host = if peer == 6 { "9.9.9.9" } else { "8.8.8.8" };
        let remote = format!("/ip4/{host}/tcp/{peer}").parse().unwrap();
        scene.bench.connect_from(POINT, peer, remote);
        scene.peers.push(Puppet::new(puppet_spec()));
    }
    scene.run(SECOND);
    let answers: Vec<_> = (1..=6)
        .map(|peer| scene.ask(peer, &register(peer, "a")) == granted(7200))
        .collect();
    assert_eq!(answers, [true, true, false, false, false, true]);
    assert_eq!(scene.ask(3, &register(3, "b")), granted(7200));
    assert_eq!(scene.ask(4, &register(4, "c")), refused(Status::Unavailable));
}

// covers: RDV-019, RDV-022
#[test]
fn a_registration_ends_at_its_time_and_an_old_timer_does_not_touch_a_new_one() {
    let mut scene = Scene::new(Config::default(), 1);
    scene.ask(1, &register(1, "test"));
    scene.run(Duration::from_secs(7000));
    scene.ask(1, &register(1, "test"));
    scene.run(Duration::from_secs(300));
    assert_eq!(listed(&mut scene, "test").len(), 1);
    scene.run(Duration::from_secs(6898));
    assert_eq!(listed(&mut scene, "test").len(), 1);
    scene.run(2 * SECOND);
    assert_eq!(listed(&mut scene, "test").len(), 0);
    let (peer, namespace) = (scene.peer(1), "test".into());
    let ends = scene.events();
    assert_eq!(ends.last(), Some(&Event::PeerExpired { peer, namespace }));
}

// covers: RDV-020
#[test]
fn an_older_record_does_not_take_the_place_of_a_newer() {
    let mut scene = Scene::new(Config::default(), 1);
    let mut ask = |seq, at| {
        let request = Message::Register(registration("test", record(1, seq, &[addr(at)]), None));
        scene.ask(1, &request)
    };
    assert_eq!(ask(5, 1), granted(7200));
    assert_eq!(ask(4, 2), refused(Status::InvalidSignedPeerRecord));
    assert_eq!(ask(5, 1), granted(7200));
    assert_eq!(listed(&mut scene, "test"), [record(1, 5, &[addr(1)])]);
}

// covers: RDV-023
#[test]
fn a_closed_connection_ends_no_registration() {
    let mut scene = Scene::new(Config::default(), 2);
    scene.ask(2, &register(2, "test"));
    scene.bench.disconnect(libp2p_proto_core::ConnectionId::new(2));
    scene.run(SECOND);
    assert_eq!(listed(&mut scene, "test").len(), 1);
}

// covers: RDV-026
#[test]
fn no_signature_is_looked_at_for_what_is_refused_anyway() {
    let config = Config {
        max_per_peer: 1,
        ..unlimited()
    };
    let mut scene = Scene::new(config, 1);
    scene.ask(1, &register(1, "a"));
    assert_eq!(scene.point.stats().verified, 1);
    let good = record(1, 1, &[addr(1)]);
    for _ in 0..20 {
        scene.ask(1, &register(1, "b"));
        scene.ask(1, &register(1, ""));
        scene.ask(1, &Message::Register(registration("a", good.clone(), Some(1))));
        let large = Bytes::from(vec![0; 5000]);
        scene.ask(1, &Message::Register(registration("a", large, None)));
    }
    assert_eq!(scene.point.stats().verified, 1);
    assert_eq!(scene.point.stats().refused, 80);
}

// covers: RDV-027
#[test]
fn a_record_has_1_to_32_addresses() {
    let mut scene = Scene::new(Config::default(), 1);
    let mut ask = |count| {
        let addrs: Vec<_> = (0..count).map(addr).collect();
        scene.ask(
            1,
            &Message::Register(registration("test", record(1, 1, &addrs), None)),
        )
    };
    assert_eq!(ask(0), refused(Status::InvalidSignedPeerRecord));
    assert_eq!(ask(33), refused(Status::InvalidSignedPeerRecord));
    assert_eq!(ask(32), granted(7200));
}

// covers: RDV-028
#[test]
fn the_owner_may_refuse_anybody() {
    let config = Config {
        allow: |_, namespace| namespace != "private",
        ..Config::default()
    };
    let mut scene = Scene::new(config, 1);
    assert_eq!(
        scene.ask(1, &register(1, "private")),
        refused(Status::NotAuthorized)
    );
    assert_eq!(scene.ask(1, &register(1, "public")), granted(7200));
}

// covers: RDV-029, RDV-030
#[test]
fn a_peer_ends_its_own_registration_and_no_other() {
    let mut scene = Scene::new(Config::default(), 2);
    scene.ask(1, &register(1, "test"));
    scene.ask(2, &register(2, "test"));
    assert_eq!(scene.send(2, &vector("V-RDV-5")), (vec![], true));
    assert_eq!(listed(&mut scene, "test"), [record(1, 1, &[addr(1)])]);
    // Once more, and what never was.
    assert_eq!(scene.send(2, &vector("V-RDV-5")), (vec![], true));
    assert_eq!(listed(&mut scene, "test").len(), 1);
    let (peer, namespace) = (scene.peer(2), "test".into());
    let events = scene.events();
    let ended = events.iter().filter(|event| {
        **event
            == Event::PeerUnregistered {
                peer,
                namespace: "test".into(),
            }
    });
    assert_eq!(ended.count(), 1);
    assert!(!events.contains(&Event::PeerExpired { peer, namespace }));
}

// covers: RDV-034, RDV-035
#[test]
fn a_question_is_about_one_namespace_or_all_of_them() {
    let mut scene = Scene::new(Config::default(), 2);
    scene.ask(1, &register(1, "a"));
    scene.ask(2, &register(2, "b"));
    assert_eq!(listed(&mut scene, "a"), [record(1, 1, &[addr(1)])]);
    let (data, _) = scene.send(1, &vector("V-RDV-6b"));
    let (all, _) = found(Message::decode(&data, 1000).unwrap());
    let names: Vec<&str> = all.iter().map(|each| &*each.namespace).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(listed(&mut scene, "none").len(), 0);
}

// covers: RDV-037
#[test]
fn an_answer_has_no_more_than_was_asked_for_and_than_the_limit() {
    let config = Config {
        max_answer: 5,
        ..unlimited()
    };
    let mut scene = Scene::new(config, 9);
    for peer in 1..=9 {
        scene.ask(peer, &register(peer, "test"));
    }
    let mut count = |limit| {
        found(scene.ask(1, &discover("test", limit, &Bytes::new())))
            .0
            .len()
    };
    assert_eq!(count(Some(0)), 0);
    assert_eq!(count(Some(1)), 1);
    assert_eq!(count(Some(5)), 5);
    assert_eq!(count(Some(6)), 5);
    assert_eq!(count(Some(u64::MAX)), 5);
    assert_eq!(count(None), 5);
}

// covers: RDV-038
#[test]
fn a_registration_comes_with_its_namespace_and_the_rest_of_its_life() {
    let mut scene = Scene::new(Config::default(), 1);
    scene.ask(1, &register(1, "test"));
    scene.run(Duration::from_secs(599));
    let (all, _) = found(scene.ask(1, &discover("test", None, &Bytes::new())));
    assert_eq!(all, [registration("test", record(1, 1, &[addr(1)]), Some(6600))]);
}

// covers: RDV-039, RDV-040, RDV-041
#[test]
fn a_cookie_goes_on_where_the_last_answer_ended() {
    let mut scene = Scene::new(unlimited(), 9);
    for peer in 1..=4 {
        scene.ask(peer, &register(peer, "test"));
    }
    let (first, cookie) = found(scene.ask(9, &discover("test", Some(3), &Bytes::new())));
    assert_eq!(first.len(), 3);
    assert_eq!((cookie.len(), &cookie[8..]), (12, &b"test"[..]));
    let (second, cookie) = found(scene.ask(9, &discover("test", Some(3), &cookie)));
    assert_eq!(second.len(), 1);
    let all: BTreeSet<_> = first.iter().chain(&second).map(|each| &each.record).collect();
    assert_eq!(all.len(), 4);
    let (none, cookie) = found(scene.ask(9, &discover("test", None, &cookie)));
    assert_eq!(none, []);
    // A renewal with the same record is nothing new; a new record and a new peer are.
    scene.ask(1, &register(1, "test"));
    scene.ask(5, &register(5, "test"));
    let newer = record(2, 2, &[addr(7)]);
    scene.ask(2, &Message::Register(registration("test", newer.clone(), None)));
    let (news, _) = found(scene.ask(9, &discover("test", None, &cookie)));
    let news: Vec<_> = news.into_iter().map(|each| each.record).collect();
    assert_eq!(news, [record(5, 1, &[addr(5)]), newer]);
}

// covers: RDV-042, RDV-043, RDV-045
#[test]
fn a_cookie_of_elsewhere_is_refused_and_a_forgotten_one_begins_again() {
    let mut scene = Scene::new(Config::default(), 1);
    scene.ask(1, &register(1, "test"));
    let (_, cookie) = found(scene.ask(1, &discover("other", None, &Bytes::new())));
    let invalid = Message::DiscoverResponse {
        status: Status::InvalidCookie,
        registrations: vec![],
        cookie: Bytes::new(),
    };
    assert_eq!(scene.ask(1, &discover("test", None, &cookie)), invalid);
    let short = Bytes::from_static(b"abc");
    assert_eq!(scene.ask(1, &discover("test", None, &short)), invalid);
    for head in [
        [0; 8],
        [1, 2, 3, 4, 5, 6, 7, 8],
        [0x80, 0, 0, 0, 0, 0, 0, 0],
        [0xff; 8],
    ] {
        let mut cookie = head.to_vec();
        cookie.extend(b"test");
        let (all, _) = found(scene.ask(1, &discover("test", None, &cookie.into())));
        assert_eq!(all.len(), 1);
    }
}

// covers: RDV-007
#[test]
fn an_answer_that_would_be_too_large_is_cut_and_its_cookie_goes_on() {
    let config = Config {
        max_answer_bytes: 16 * 1024,
        ..unlimited()
    };
    let mut scene = Scene::new(config, 20);
    for peer in 1..=20 {
        let addrs: Vec<_> = (0..32)
            .map(|number| format!("/dns4/{}/tcp/{number}", "n".repeat(60)).parse().unwrap())
            .collect();
        let request = Message::Register(registration("test", record(peer, 1, &addrs), None));
        assert_eq!(scene.ask(peer, &request), granted(7200));
    }
    let (mut cookie, mut all, mut answers) = (Bytes::new(), BTreeSet::new(), 0);
    while all.len() < 20 {
        let answer = scene.ask(1, &discover("test", None, &cookie));
        assert!(answer.encode().len() <= 16 * 1024);
        let (some, next) = found(answer);
        assert!(!some.is_empty());
        for each in some {
            assert!(all.insert(each.record), "none comes twice");
        }
        cookie = next;
        answers += 1;
    }
    assert!(answers > 2);
}

// covers: RDV-047
#[test]
fn who_asks_too_often_is_told_that_there_is_no_room() {
    let config = Config {
        rate: Rate {
            gap: Duration::from_secs(10),
            burst: 5,
        },
        ..Config::default()
    };
    let mut scene = Scene::new(config, 1);
    let status = |answer| match answer {
        Message::DiscoverResponse { status, .. } => status,
        other => panic!("{other:?}"),
    };
    let answers: Vec<_> = (0..20)
        .map(|_| status(scene.ask(1, &discover("test", None, &Bytes::new()))))
        .collect();
    assert_eq!(answers[..5], [Status::Ok; 5]);
    assert_eq!(answers[5..], [Status::Unavailable; 15]);
    assert_eq!(scene.ask(1, &register(1, "test")), refused(Status::Unavailable));
    scene.run(10 * SECOND);
    assert_eq!(scene.ask(1, &register(1, "test")), granted(7200));
}
