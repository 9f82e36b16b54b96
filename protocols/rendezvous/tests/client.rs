//! What a client asks of points, how it keeps what it got, and what it believes.
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
use libp2p_proto_core::{DialId, Multiaddr};
use libp2p_proto_identity::{Dialect, PeerRecord};
use libp2p_proto_rendezvous::{Config, Error, Event, Failure, Found, Message, Rendezvous, Status};
use libp2p_proto_stream_protocol::{Closed, DialError, Fact, Input, bench::Bench};
use std::{cell::Cell, rc::Rc};
use support::{
    HOUR, Pair, SECOND, addr, granted, identity, named, record, record_as, refused, registration, vector,
};

/// What a client found, of its one answer.
fn answer(pair: &mut Pair) -> Result<Vec<Found>, Failure> {
    pair.run(SECOND);
    let ends = pair.events().into_iter().filter_map(|event| match event {
        Event::Discovered { result, .. } => Some(result),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!(ends.len(), 1, "one end for each question");
    ends.into_iter().next().unwrap()
}

fn records(pair: &Pair) -> Vec<PeerRecord> {
    let records = pair.point.asked.iter().filter_map(|message| match message {
        Message::Register(registration) => PeerRecord::open(&registration.record).ok(),
        _ => None,
    });
    records.collect()
}

// covers: RDV-049
#[test]
fn without_a_confirmed_address_nobody_is_asked() {
    let mut pair = Pair::new(Config::default(), |_| granted(Some(7200)));
    pair.learn(addr(1), false);
    pair.run(SECOND);
    let point = pair.id();
    assert_eq!(pair.client.register(point, "test", None), Err(Error::NoAddress));
    pair.bench.inject(
        1,
        Input::Fact(Fact::ListenAddress {
            addr: addr(2),
            up: true,
        }),
    );
    pair.run(SECOND);
    assert_eq!(pair.client.register(point, "test", None), Err(Error::NoAddress));
    assert_eq!(pair.point.asked, []);
    let relayed: Multiaddr = format!("/ip4/203.0.113.9/tcp/1/p2p/{point}/p2p-circuit")
        .parse()
        .unwrap();
    pair.learn(relayed.clone(), true);
    pair.run(SECOND);
    assert_eq!(pair.client.register(point, "test", None), Ok(()));
    pair.run(SECOND);
    assert_eq!(records(&pair)[0].addrs(), [relayed]);
}

// covers: RDV-050, RDV-052
#[test]
fn a_registration_is_renewed_at_three_quarters_and_when_our_addresses_change() {
    let mut pair = Pair::new(Config::default(), |_| granted(Some(7200)));
    let point = pair.id();
    pair.client.register(point, "test", Some(2 * HOUR)).unwrap();
    pair.run(Duration::from_secs(5398));
    assert_eq!(pair.point.asked.len(), 1);
    pair.run(4 * SECOND);
    assert_eq!(pair.point.asked.len(), 2);
    pair.learn(addr(2), true);
    pair.run(SECOND);
    let seqs: Vec<u64> = records(&pair).iter().map(PeerRecord::seq).collect();
    assert_eq!(seqs.len(), 3);
    assert_eq!(seqs[0], seqs[1], "the same addresses, the same record");
    assert!(seqs[2] > seqs[1]);
    assert_eq!(records(&pair)[2].addrs(), [addr(1), addr(2)]);
    let renewed = pair
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::Registered { ttl, .. } if *ttl == 2 * HOUR));
    assert_eq!(renewed.count(), 3);
}

// covers: RDV-052
#[test]
fn a_registration_that_lapsed_is_renewed_when_the_point_comes_back() {
    let mut pair = Pair::new(Config::default(), |_| granted(Some(7200)));
    let point = pair.id();
    pair.client.register(point, "test", None).unwrap();
    pair.run(SECOND);
    pair.bench.disconnect(libp2p_proto_core::ConnectionId::new(1));
    pair.run(3 * HOUR);
    assert_eq!(pair.point.asked.len(), 1);
    // It dialed when the time came, and again after each pause; nobody answers.
    assert!(!pair.bench.dials(1).is_empty());
    let failed = Input::DialFailed {
        dial: DialId::new(1),
        peer: Some(point),
        error: DialError::TimedOut,
    };
    pair.bench.inject(1, failed);
    pair.run(SECOND);
    let events = pair.events();
    assert!(matches!(
        events.last(),
        Some(Event::RegisterFailed {
            failure: Failure::Unreachable,
            retry: Some(_),
            ..
        })
    ));
    pair.bench.connect(1, 0);
    pair.run(SECOND);
    assert_eq!(pair.point.asked.len(), 2);
}

// covers: RDV-006
#[test]
fn a_request_of_ours_fits_what_every_point_reads() {
    let mut pair = Pair::new(
        Config {
            max_addrs: 200,
            ..Config::default()
        },
        |_| granted(None),
    );
    for number in 0..200 {
        let name = format!("/dns4/{}{number}.example/tcp/4001", "n".repeat(50));
        pair.learn(name.parse().unwrap(), true);
    }
    pair.run(SECOND);
    let point = pair.id();
    pair.client.register(point, &"x".repeat(255), None).unwrap();
    pair.run(SECOND);
    let request = pair.point.asked[0].encode();
    assert!(request.len() <= 4096, "{}", request.len());
    assert!(records(&pair)[0].addrs().len() > 40);
}

// covers: RDV-051
#[test]
fn a_point_that_reads_the_other_form_gets_it_and_is_remembered() {
    // As rust-libp2p: the stream ends, or the record is refused, unless it is of the RFC's form.
    for silent in [false, true] {
        let form = b"/libp2p/routing-state-record";
        let mut pair = Pair::new(Config::default(), move |message| {
            let Message::Register(asked) = message else {
                panic!("{message:?}");
            };
            let rfc = asked.record.windows(form.len()).any(|window| window == form);
            match (rfc, silent) {
                (true, _) => granted(Some(7200)),
                (false, true) => None,
                (false, false) => refused(Status::InvalidSignedPeerRecord),
            }
        });
        let point = pair.id();
        pair.client.register(point, "a", None).unwrap();
        pair.run(SECOND);
        assert_eq!(pair.point.asked.len(), 2);
        assert!(matches!(pair.events()[..], [Event::Registered { .. }]));
        pair.client.register(point, "b", None).unwrap();
        pair.run(SECOND);
        assert_eq!(pair.point.asked.len(), 3, "the second form at once");
    }
    // A point that reads neither.
    let mut pair = Pair::new(Config::default(), |_| refused(Status::InvalidSignedPeerRecord));
    let (point, namespace) = (pair.id(), "a".into());
    pair.client.register(point, "a", None).unwrap();
    pair.run(HOUR);
    assert_eq!(pair.point.asked.len(), 2);
    let failure = Failure::Refused(Status::InvalidSignedPeerRecord);
    assert_eq!(
        pair.events(),
        [Event::RegisterFailed {
            point,
            namespace,
            failure,
            retry: None
        }]
    );
}

// covers: RDV-053
#[test]
fn a_grant_without_a_time_counts_as_what_was_asked_for() {
    for (asked, expected) in [(None, 2 * HOUR), (Some(5 * HOUR), 5 * HOUR)] {
        let mut pair = Pair::new(Config::default(), |_| granted(None));
        let point = pair.id();
        pair.client.register(point, "test", asked).unwrap();
        pair.run(SECOND);
        assert!(matches!(pair.events()[..], [Event::Registered { ttl, .. }] if ttl == expected));
    }
}

#[test]
fn a_busy_point_is_asked_again_and_one_that_says_no_is_not() {
    let answers = Rc::new(Cell::new(0));
    let count = answers.clone();
    let mut pair = Pair::new(Config::default(), move |_| {
        count.set(count.get() + 1);
        match count.get() {
            1 => refused(Status::Unavailable),
            2 => refused(Status::InternalError),
            3 => granted(Some(7200)),
            _ => refused(Status::NotAuthorized),
        }
    });
    let point = pair.id();
    pair.client.register(point, "test", None).unwrap();
    pair.run(Duration::from_secs(59));
    assert_eq!(answers.get(), 1);
    pair.run(Duration::from_secs(63));
    assert_eq!(answers.get(), 3);
    pair.run(5 * HOUR);
    assert_eq!(answers.get(), 4);
    assert_eq!(pair.client.census().own, 0);
}

#[test]
fn a_point_that_grants_next_to_nothing_is_asked_once_a_pause() {
    let mut pair = Pair::new(Config::default(), |_| granted(Some(0)));
    let point = pair.id();
    pair.client.register(point, "test", None).unwrap();
    pair.run(Duration::from_secs(601));
    assert!(
        (2..=11).contains(&pair.point.asked.len()),
        "{}",
        pair.point.asked.len()
    );
}

#[test]
fn who_leaves_while_a_renewal_is_due_says_so() {
    let mut pair = Pair::new(Config::default(), |message| match message {
        Message::Register(_) => granted(Some(7200)),
        _ => None,
    });
    let point = pair.id();
    pair.client.register(point, "test", None).unwrap();
    pair.run(SECOND);
    pair.client.register(point, "test", None).unwrap();
    pair.client.unregister(&point, "test");
    pair.run(SECOND);
    let namespace = "test".into();
    assert_eq!(pair.point.asked[1..], [Message::Unregister { namespace }]);
}

// covers: RDV-032, RDV-033
#[test]
fn leaving_is_told_and_not_waited_for_and_ends_exactly_one_registration() {
    let mut pair = Pair::new(Config::default(), |message| match message {
        Message::Register(_) => granted(Some(7200)),
        _ => None,
    });
    let point = pair.id();
    pair.client.register(point, "a", None).unwrap();
    pair.client.register(point, "b", None).unwrap();
    pair.run(SECOND);
    pair.client.unregister(&point, "a");
    pair.client.unregister(&point, "never");
    pair.run(SECOND);
    let namespace = "a".into();
    assert_eq!(pair.point.asked[2..], [Message::Unregister { namespace }]);
    assert_eq!(pair.events().len(), 2, "two grants, and no failure");
    assert_eq!(pair.bench.open_streams(1), 0);
    pair.run(2 * HOUR);
    let names: Vec<_> = pair.point.asked[3..]
        .iter()
        .map(|message| match message {
            Message::Register(asked) => asked.namespace.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["b"]);
}

// covers: RDV-054, RDV-055
#[test]
fn each_registration_of_an_answer_is_judged_on_its_own() {
    let good = |index| registration("test", record(index, 1, &[addr(index)]), Some(7200));
    let mut forged = record(3, 1, &[addr(3)]).to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let many: Vec<_> = (0..60).map(addr).collect();
    let answer_of = move |message| {
        let Message::Discover { .. } = message else {
            panic!("{message:?}");
        };
        let list = vec![
            good(2),
            registration("test", forged.clone().into(), Some(7200)),
            registration("other", record(4, 1, &[addr(4)]), Some(7200)),
            registration("test", record(5, 1, &many), Some(u64::MAX)),
            registration("test", Bytes::from(vec![0; 5000]), None),
        ];
        named(list, b"01234567test")
    };
    let mut pair = Pair::new(Config::default(), answer_of);
    let point = pair.id();
    pair.client.discover(point, "test", None).unwrap();
    let mut found = answer(&mut pair).unwrap();
    found.sort_by_key(|found| found.addrs.len());
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].peer, &found[0].addrs[..]),
        (identity(2).peer_id(), &[addr(2)][..])
    );
    assert_eq!(found[1].peer, identity(5).peer_id());
    assert_eq!((found[1].addrs.len(), found[1].ttl), (32, 72 * HOUR));
    let told = pair
        .bench
        .facts(1)
        .iter()
        .filter(|fact| matches!(fact, Fact::PeerAddresses { certified: true, .. }));
    assert_eq!(told.count(), 2);
}

// covers: RDV-056, RDV-061
#[test]
fn of_several_records_of_a_peer_the_newest_counts_then_and_later() {
    let one = |seq, ttl, at| registration("test", record(2, seq, &[addr(at)]), Some(ttl));
    let round = Cell::new(0);
    let mut pair = Pair::new(Config::default(), move |_| {
        round.set(round.get() + 1);
        match round.get() {
            1 => named(vec![one(1, 9000, 1), one(2, 7200, 2), one(2, 8000, 2)], b""),
            // Replayed, with a longer life.
            2 => named(vec![one(1, 259_200, 1)], b""),
            _ => named(vec![one(3, 7200, 3)], b""),
        }
    });
    let point = pair.id();
    let mut ask = || {
        pair.client.discover(point, "test", None).unwrap();
        answer(&mut pair).unwrap()
    };
    let first = ask();
    assert_eq!((first.len(), first[0].seq, first[0].ttl.as_secs()), (1, 2, 8000));
    assert_eq!(ask(), []);
    assert_eq!(ask()[0].seq, 3);
}

// covers: RDV-057
#[test]
fn a_discovered_peer_expires_by_its_last_answer() {
    let mut pair = Pair::new(Config::default(), |_| {
        named(
            vec![registration("test", record(2, 1, &[addr(2)]), Some(1000))],
            b"",
        )
    });
    let point = pair.id();
    pair.client.discover(point, "test", None).unwrap();
    assert_eq!(answer(&mut pair).unwrap().len(), 1);
    pair.run(Duration::from_secs(99));
    pair.client.discover(point, "test", None).unwrap();
    assert_eq!(answer(&mut pair).unwrap().len(), 1);
    assert_eq!(pair.client.census().discovered, 1);
    pair.run(Duration::from_secs(950));
    assert_eq!(pair.events(), []);
    pair.run(Duration::from_secs(60));
    let (namespace, peer) = ("test".into(), identity(2).peer_id());
    assert_eq!(pair.events(), [Event::Expired { namespace, peer }]);
    assert_eq!(pair.client.census().discovered, 0);
}

// covers: RDV-058, RDV-059
#[test]
fn a_cookie_is_sent_back_unless_it_is_refused_or_too_large() {
    let round = Cell::new(0);
    let mut pair = Pair::new(Config::default(), move |_| {
        round.set(round.get() + 1);
        match round.get() {
            1 => named(vec![], b"01234567test"),
            2 => Some(vector("V-RDV-8")),
            3 => named(vec![], &vec![7; 100_000]),
            _ => named(vec![], b""),
        }
    });
    let point = pair.id();
    for namespace in ["test", "test", "test", "test", "other"] {
        pair.client.discover(point, namespace, Some(10)).unwrap();
        let end = answer(&mut pair);
        assert!(matches!(
            end,
            Ok(_) | Err(Failure::Refused(Status::InvalidCookie))
        ));
    }
    let cookies: Vec<_> = pair
        .point
        .asked
        .iter()
        .map(|message| match message {
            Message::Discover { cookie, limit, .. } => (cookie.len(), *limit),
            other => panic!("{other:?}"),
        })
        .collect();
    let ten = Some(10);
    assert_eq!(cookies, [(0, ten), (12, ten), (0, ten), (0, ten), (0, ten)]);
}

// covers: RDV-060
#[test]
fn an_answer_of_the_wrong_kind_is_a_failure() {
    for vector_name in ["V-RDV-2", "V-RDV-3", "V-RDV-5", "V-RDV-6"] {
        let mut pair = Pair::new(Config::default(), move |_| Some(vector(vector_name)));
        let point = pair.id();
        pair.client.discover(point, "test", None).unwrap();
        assert_eq!(answer(&mut pair), Err(Failure::BadAnswer), "{vector_name}");
    }
    for vector_name in ["V-RDV-2", "V-RDV-7"] {
        let mut pair = Pair::new(Config::default(), move |_| Some(vector(vector_name)));
        let point = pair.id();
        pair.client.register(point, "test", None).unwrap();
        pair.run(SECOND);
        assert!(matches!(
            pair.events()[..],
            [Event::RegisterFailed {
                failure: Failure::BadAnswer,
                ..
            }]
        ));
    }
    let mut pair = Pair::new(Config::default(), |_| None);
    let point = pair.id();
    pair.client.discover(point, "test", None).unwrap();
    assert_eq!(answer(&mut pair), Err(Failure::NoAnswer(Closed::UnexpectedEnd)));
}

// covers: RDV-062
#[test]
fn points_are_asked_side_by_side_and_who_is_not_connected_is_dialed() {
    let ids = [0, 1, 2].map(|index| identity(index).peer_id());
    let mut bench = Bench::with_peers(1, &ids, Duration::from_millis(10));
    bench.connect(2, 0);
    let point = |index| {
        support::Fake::new(move |_| {
            named(
                vec![registration(
                    "test",
                    record_as(Dialect::Rfc, index, 1, &[addr(index)]),
                    None,
                )],
                b"",
            )
        })
    };
    let (mut a, mut b) = (point(7), point(8));
    let mut client = Rendezvous::new(identity(2), Config::default()).unwrap();
    bench.run(&mut [&mut a, &mut b, &mut client], SECOND);
    let first = client.discover(ids[0], "test", None).unwrap();
    let second = client.discover(ids[1], "test", None).unwrap();
    bench.run(&mut [&mut a, &mut b, &mut client], SECOND);
    assert_eq!(bench.dials(2).len(), 1);
    bench.connect(2, 1);
    bench.run(&mut [&mut a, &mut b, &mut client], SECOND);
    let ends: Vec<_> = std::iter::from_fn(|| client.poll_event())
        .map(|event| match event {
            Event::Discovered { query, result, .. } => (query, result.unwrap()[0].peer),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        ends,
        [(first, identity(7).peer_id()), (second, identity(8).peer_id())]
    );
}

#[test]
fn commands_have_their_bounds() {
    let config = Config {
        max_own: 2,
        max_questions: 2,
        ..Config::default()
    };
    let mut pair = Pair::new(config, |_| named(vec![], b""));
    let (point, long) = (pair.id(), "x".repeat(256));
    let client = &mut pair.client;
    assert_eq!(client.register(point, "", None), Err(Error::BadNamespace));
    assert_eq!(client.register(point, &long, None), Err(Error::BadNamespace));
    assert_eq!(client.discover(point, &long, None), Err(Error::BadNamespace));
    for namespace in ["a", "b", "b"] {
        assert_eq!(client.register(point, namespace, None), Ok(()));
    }
    assert_eq!(client.register(point, "c", None), Err(Error::TooManyRequests));
    assert!(client.discover(point, "", None).is_ok());
    assert!(client.discover(point, "", None).is_ok());
    assert_eq!(client.discover(point, "", None), Err(Error::TooManyRequests));
    // Their ends wait to be read.
    pair.run(SECOND);
    assert_eq!(pair.client.discover(point, "", None), Err(Error::TooManyRequests));
    let ends = pair.events();
    let ends = ends
        .iter()
        .filter(|event| matches!(event, Event::Discovered { result: Ok(_), .. }));
    assert_eq!(ends.count(), 2);
    assert!(pair.client.discover(point, "", None).is_ok());
}

#[test]
fn a_configuration_out_of_range_names_its_field() {
    let bad = |config| Rendezvous::new(identity(1), config).err();
    let config = Config::default;
    assert_eq!(
        bad(Config {
            min_ttl: 73 * HOUR,
            ..config()
        }),
        Some(Error::BadConfig("min_ttl"))
    );
    assert_eq!(
        bad(Config {
            max_record: 9000,
            ..config()
        }),
        Some(Error::BadConfig("max_record"))
    );
    assert_eq!(
        bad(Config {
            timeout: Duration::ZERO,
            ..config()
        }),
        Some(Error::BadConfig("timeout"))
    );
}
