//! Requests of ours: streams, names, queues, dials, ends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::{DialId, Multiaddr, ProtocolName};
use libp2p_proto_request_response::{
    Config, Error, Event, Failure, Request, RequestId, RequestResponse, Spec, Support, encode_response,
};
use libp2p_proto_stream_protocol::{
    Closed, DialError, Framing, Input, StreamSpec,
    bench::{Bench, Puppet},
};
use support::{
    LATENCY, NAME, Pair, SECOND, Wire, asked, chunks, delimited, ends, events, is_idle, node, unhex,
    until_end,
};

const OLD: ProtocolName = ProtocolName::from_static("/x/0");

fn old() -> Spec {
    Spec::until_end(OLD, 1024, 1024)
}

// covers: RRQ-001
#[test]
fn two_requests_are_two_streams_with_one_request_each() {
    let mut wire = Wire::new(until_end());
    let (_, first) = wire.ask("one");
    let (_, second) = wire.ask("two");
    assert_ne!(first, second);
    assert_eq!(
        (wire.heard(first), wire.heard(second)),
        (b"one".to_vec(), b"two".to_vec())
    );
    assert_eq!(wire.puppet.opened().len(), 2);
}

// covers: RRQ-002
#[test]
fn ten_requests_each_way_at_the_same_time_get_twenty_answers() {
    let mut pair = Pair::new(until_end());
    let (one, zero) = (pair.bench.peer(1), pair.bench.peer(0));
    let mut wanted = Vec::new();
    for number in 0..10 {
        let (there, back) = (format!("there {number}"), format!("back {number}"));
        wanted.push((
            pair.a.request(one, 0, there.clone().into()).unwrap(),
            format!("re:{there}"),
        ));
        wanted.push((
            pair.b.request(zero, 0, back.clone().into()).unwrap(),
            format!("re:{back}"),
        ));
    }
    pair.run(LATENCY * 4);
    let mut answers = Vec::new();
    let (asked_of_a, asked_of_b) = (asked(&mut pair.a), asked(&mut pair.b));
    for (id, data) in asked_of_a {
        pair.a.respond(id, [b"re:", &data[..]].concat().into()).unwrap();
    }
    for (id, data) in asked_of_b {
        pair.b.respond(id, [b"re:", &data[..]].concat().into()).unwrap();
    }
    pair.run(LATENCY * 4);
    for machine in [&mut pair.a, &mut pair.b] {
        answers.extend(ends(machine).into_iter().map(|(id, end)| (id, end.unwrap())));
    }
    let mut wanted: Vec<_> = wanted.into_iter().map(|(id, text)| (id, text.into())).collect();
    answers.sort();
    wanted.sort();
    assert_eq!(answers, wanted);
}

// covers: RRQ-003, RRQ-006, RRQ-072
#[test]
fn names_are_proposed_in_order_each_with_its_own_message() {
    for lazy in [false, true] {
        let new = if lazy { until_end().lazy() } else { until_end() };
        let mut pair = Pair::with(vec![new, old()], vec![old()], Config::default());
        let peer = pair.bench.peer(1);
        let request = Request::new(0, "new form").or(1, "old form");
        let id = pair.a.request_with(peer, request).unwrap();
        pair.run(LATENCY * 8);
        let asked = pair.asked();
        assert_eq!(asked[0].1, "old form");
        pair.b.respond(asked[0].0, "yes".into()).unwrap();
        pair.run(LATENCY * 8);
        let Some(Event::Response {
            id: answered,
            peer: by,
            conn,
            name,
            data,
        }) = pair.a.poll_event()
        else {
            panic!("no response")
        };
        assert_eq!(
            (answered, by, conn.get(), name, &data[..]),
            (id, peer, 1, OLD, &b"yes"[..])
        );
    }
    let mut both = Pair::with(
        vec![until_end(), old()],
        vec![old(), until_end()],
        Config::default(),
    );
    let request = Request::new(0, "new form").or(1, "old form");
    both.a.request_with(both.bench.peer(1), request).unwrap();
    both.run(LATENCY * 8);
    assert_eq!(both.asked()[0].1, "new form");
}

// covers: RRQ-004
#[test]
fn a_name_is_accepted_and_proposed_in_its_roles_only() {
    let asks_only = until_end().support(Support::Outbound);
    let mut pair = Pair::with(vec![until_end()], vec![asks_only], Config::default());
    let id = pair.ask("hello");
    pair.run(SECOND);
    assert_eq!(ends(&mut pair.a), [(id, Err(Failure::UnsupportedProtocols))]);
    let answers_only = until_end().support(Support::Inbound);
    let mut machine = node(vec![answers_only], Config::default());
    let refused = machine.request(pair.bench.peer(1), 0, "x".into());
    assert_eq!(refused, Err(Error::UnknownSpec));
    assert_eq!(
        machine.request(pair.bench.peer(1), 9, "x".into()),
        Err(Error::UnknownSpec)
    );
}

// covers: RRQ-005, RRQ-007
#[test]
fn without_a_common_name_the_request_fails_and_the_connection_stays() {
    for spec in [
        until_end(),
        until_end().lazy(),
        chunks().lazy(),
        delimited().lazy(),
    ] {
        let mut bench = Bench::new(1, 2, LATENCY);
        let mut machine = node(vec![spec], Config::default());
        let mut other = Puppet::new(StreamSpec::new(OLD, Framing::Raw));
        bench.connect(0, 1);
        let id = machine.request(bench.peer(1), 0, "hello".into()).unwrap();
        bench.run(&mut [&mut machine, &mut other], SECOND);
        assert_eq!(ends(&mut machine), [(id, Err(Failure::UnsupportedProtocols))]);
        assert!(
            !other
                .inputs
                .iter()
                .any(|input| matches!(input, Input::Disconnected { .. }))
        );
        assert!(is_idle(&machine));
    }
}

// covers: RRQ-008
#[test]
fn a_request_comes_with_the_name_it_was_made_under() {
    let specs = || vec![until_end(), old()];
    let mut pair = Pair::with(specs(), specs(), Config::default());
    for spec in [1, 0] {
        pair.a.request(pair.bench.peer(1), spec, "x".into()).unwrap();
    }
    pair.run(SECOND / 10);
    let names: Vec<_> = events(&mut pair.b)
        .into_iter()
        .map(|event| match event {
            Event::Request { name, .. } => name,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, [OLD, NAME]);
}

// covers: RRQ-009
#[test]
fn requests_are_spread_over_the_connections_of_a_peer() {
    let mut pair = Pair::new(until_end());
    pair.bench.connect(0, 1);
    pair.ask("one");
    pair.ask("two");
    pair.answer_all();
    let conns: Vec<_> = events(&mut pair.a)
        .iter()
        .map(|event| match event {
            Event::Response { conn, .. } => conn.get(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(conns.len(), 2);
    assert_ne!(conns[0], conns[1]);
}

fn apart(config: Config) -> (Bench, RequestResponse, RequestResponse) {
    let machine = || node(vec![until_end()], config.clone());
    (Bench::new(1, 2, LATENCY), machine(), machine())
}

// covers: RRQ-010
#[test]
fn a_request_that_may_not_dial_fails_without_a_connection() {
    let (mut bench, mut a, mut b) = apart(Config::default());
    let id = a
        .request_with(bench.peer(1), Request::new(0, "x").dial(false))
        .unwrap();
    bench.run(&mut [&mut a, &mut b], SECOND);
    assert_eq!(ends(&mut a), [(id, Err(Failure::NotConnected))]);
    assert_eq!(bench.dials(0), []);
    let id = a.request(bench.peer(1), 0, "x".into()).unwrap();
    bench.run(&mut [&mut a, &mut b], SECOND);
    assert_eq!((ends(&mut a), bench.dials(0).len()), (vec![], 1));
    a.cancel(id);
}

// covers: RRQ-011
#[test]
fn the_addresses_of_a_request_are_dialed() {
    let (mut bench, mut a, mut b) = apart(Config::default());
    let addrs: Vec<Multiaddr> = vec!["/ip4/192.0.2.7/tcp/4001".parse().unwrap()];
    a.request_with(bench.peer(1), Request::new(0, "x").addrs(addrs.clone()))
        .unwrap();
    bench.run(&mut [&mut a, &mut b], SECOND);
    assert_eq!(bench.dials(0)[0].addrs, addrs);
    assert_eq!(bench.dials(0)[0].peer, Some(bench.peer(1)));
}

// covers: RRQ-062
#[test]
fn requests_made_while_dialing_leave_in_order_on_the_first_connection() {
    let (mut bench, mut a, mut b) = apart(Config::default());
    for text in ["one", "two", "three"] {
        a.request(bench.peer(1), 0, text.into()).unwrap();
        bench.run(&mut [&mut a, &mut b], SECOND);
    }
    assert_eq!(bench.dials(0).len(), 1);
    bench.connect(0, 1);
    bench.run(&mut [&mut a, &mut b], SECOND);
    let texts: Vec<_> = asked(&mut b).into_iter().map(|(_, data)| data).collect();
    assert_eq!(texts, ["one", "two", "three"]);
}

// covers: RRQ-063
#[test]
fn the_33rd_waiting_request_of_a_peer_and_the_1025th_in_all_are_refused_at_once() {
    let (bench, mut a, _) = apart(Config::default());
    for _ in 0..32 {
        a.request(bench.peer(1), 0, "x".into()).unwrap();
    }
    assert_eq!(a.request(bench.peer(1), 0, "x".into()), Err(Error::QueueFull));
    let many = Bench::new(1, 100, LATENCY);
    let mut taken = 32;
    for peer in 2..100 {
        while a.request(many.peer(peer), 0, "x".into()).is_ok() {
            taken += 1;
        }
    }
    assert_eq!(taken, 1024);
}

// covers: RRQ-064
#[test]
fn a_failed_dial_fails_all_that_wait_for_it_unless_another_one_runs() {
    let (mut bench, mut a, mut b) = apart(Config::default());
    let peer = bench.peer(1);
    let addr: Multiaddr = "/ip4/192.0.2.7/tcp/4001".parse().unwrap();
    let first = a.request(peer, 0, "one".into()).unwrap();
    let second = a
        .request_with(peer, Request::new(0, "two").addrs(vec![addr]))
        .unwrap();
    bench.run(&mut [&mut a, &mut b], SECOND);
    assert_eq!(bench.dials(0).len(), 2);
    let failed = |dial| Input::DialFailed {
        dial: DialId::new(dial),
        peer: Some(peer),
        error: DialError::TimedOut,
    };
    bench.inject(0, failed(1));
    bench.inject(0, failed(77));
    bench.run(&mut [&mut a, &mut b], SECOND);
    assert_eq!(ends(&mut a), []);
    bench.inject(0, failed(2));
    bench.run(&mut [&mut a, &mut b], SECOND);
    let failure = || Err(Failure::DialFailed);
    assert_eq!(ends(&mut a), [(first, failure()), (second, failure())]);
    assert!(is_idle(&a));
    // What a failed dial has done to one request says nothing about the next.
    let third = a.request(peer, 0, "three".into()).unwrap();
    bench.connect(0, 1);
    bench.run(&mut [&mut a, &mut b], SECOND);
    let (id, _) = asked(&mut b)[0].clone();
    b.respond(id, "yes".into()).unwrap();
    bench.run(&mut [&mut a, &mut b], SECOND);
    assert_eq!(ends(&mut a), [(third, Ok("yes".into()))]);
}

// covers: RRQ-065
#[test]
fn a_lost_connection_fails_its_own_requests_only() {
    let mut pair = Pair::new(until_end());
    let second = pair.bench.connect(0, 1);
    let (one, two) = (pair.ask("one"), pair.ask("two"));
    pair.run(LATENCY * 4);
    let asked = pair.asked();
    pair.bench.disconnect(second);
    pair.run(LATENCY * 4);
    let lost = ends(&mut pair.a);
    assert_eq!(lost, [(one, Err(Failure::ConnectionClosed))]);
    for (id, data) in asked.iter().filter(|(_, data)| data == "two") {
        pair.b.respond(*id, data.clone()).unwrap();
    }
    pair.run(SECOND);
    assert_eq!(ends(&mut pair.a), [(two, Ok("two".into()))]);
}

// covers: RRQ-066
#[test]
fn no_request_is_sent_twice() {
    let mut pair = Pair::new(until_end());
    let first = pair.bench.connect(0, 1);
    pair.ask("slow");
    pair.run(SECOND);
    pair.ask("lost");
    pair.run(SECOND);
    pair.bench.disconnect(first);
    pair.bench.connect(0, 1);
    pair.run(SECOND * 60);
    assert_eq!(ends(&mut pair.a).len(), 2);
    assert_eq!(pair.asked().len(), 2);
}

// covers: RRQ-067, RRQ-069
#[test]
fn the_timeout_covers_everything_from_the_opening_of_the_stream() {
    let mut wire = Wire::new(until_end());
    let (id, stream) = wire.ask("hello");
    // `ask` has let four latencies pass; the byte arrives 9.9 s after the stream was opened.
    wire.run(Duration::from_millis(9850));
    wire.say(stream, b"part");
    wire.run(Duration::from_millis(105));
    assert_eq!(events(&mut wire.machine), []);
    // The rest is on its way when the time is over.
    wire.say(stream, b"rest");
    wire.run(Duration::from_millis(5));
    assert_eq!(ends(&mut wire.machine), [(id, Err(Failure::TimedOut))]);
    wire.run(SECOND);
    assert_eq!(events(&mut wire.machine), []);
    assert_eq!(wire.end_of(stream), Some(Closed::Reset));
}

// covers: RRQ-068
#[test]
fn a_dial_that_hangs_fails_the_request_after_its_own_limit() {
    let (mut bench, mut a, mut b) = apart(Config::default());
    let id = a.request(bench.peer(1), 0, "x".into()).unwrap();
    bench.run(&mut [&mut a, &mut b], Duration::from_millis(29_900));
    assert_eq!(ends(&mut a), []);
    bench.run(&mut [&mut a, &mut b], Duration::from_millis(200));
    assert_eq!(ends(&mut a), [(id, Err(Failure::DialFailed))]);
    assert!(is_idle(&a));
}

// covers: RRQ-055, RRQ-070
#[test]
fn a_cancelled_request_is_gone_wherever_it_stood() {
    // In the queue of a dial.
    let (mut bench, mut a, mut b) = apart(Config::default());
    let id = a.request(bench.peer(1), 0, "x".into()).unwrap();
    bench.run(&mut [&mut a, &mut b], SECOND);
    a.cancel(id);
    bench.connect(0, 1);
    bench.run(&mut [&mut a, &mut b], SECOND);
    assert_eq!((events(&mut a), events(&mut b)), (vec![], vec![]));
    assert!(is_idle(&a));
    // Before the first drive, in negotiation, and while the peer works, in each framing.
    for spec in [until_end(), delimited(), chunks()] {
        for wait in [Duration::ZERO, LATENCY / 2, SECOND] {
            let mut wire = Wire::new(spec.clone());
            let id = wire.machine.request(wire.bench.peer(1), 0, "x".into()).unwrap();
            if wait > Duration::ZERO {
                wire.run(wait);
            }
            wire.machine.cancel(id);
            wire.machine.cancel(id);
            wire.run(SECOND);
            for stream in wire.puppet.opened() {
                assert_eq!(wire.end_of(stream), Some(Closed::Reset), "after {wait:?}");
            }
            assert_eq!(events(&mut wire.machine), []);
            assert!(
                is_idle(&wire.machine),
                "after {wait:?}: {:?}",
                wire.machine.census()
            );
        }
    }
}

// covers: RRQ-073
#[test]
fn over_the_limit_of_streams_requests_wait_for_their_turn() {
    let mut pair = Pair::new(until_end().max_outbound(1));
    let ids: Vec<RequestId> = ["one", "two", "three"]
        .iter()
        .map(|text| pair.ask(text))
        .collect();
    let mut answered = Vec::new();
    for _ in 0..3 {
        pair.run(LATENCY * 6);
        let asked = pair.asked();
        assert_eq!(asked.len(), 1);
        pair.b.respond(asked[0].0, asked[0].1.clone()).unwrap();
        pair.run(LATENCY * 6);
        answered.extend(ends(&mut pair.a));
    }
    let wanted = ids
        .into_iter()
        .zip(["one", "two", "three"].map(|text| Ok(text.into())));
    assert_eq!(answered, wanted.collect::<Vec<_>>());
}

#[test]
fn a_full_name_does_not_hold_up_another_one() {
    let specs = || vec![until_end().max_outbound(1), old()];
    let mut pair = Pair::with(specs(), specs(), Config::default());
    pair.ask("one");
    pair.ask("two");
    let peer = pair.bench.peer(1);
    pair.a.request(peer, 1, "other".into()).unwrap();
    pair.run(LATENCY * 8);
    let texts: Vec<_> = pair.asked().into_iter().map(|(_, data)| data).collect();
    assert_eq!(texts, ["one", "other"]);
}

// covers: RRQ-074
#[test]
fn a_request_may_have_a_time_limit_of_its_own() {
    let mut wire = Wire::new(until_end());
    let peer = wire.bench.peer(1);
    let request = Request::new(0, "x").timeout(SECOND);
    let id = wire.machine.request_with(peer, request).unwrap();
    wire.run(Duration::from_millis(900));
    assert_eq!(ends(&mut wire.machine), []);
    wire.run(Duration::from_millis(200));
    assert_eq!(ends(&mut wire.machine), [(id, Err(Failure::TimedOut))]);
}

// covers: RRQ-061
#[test]
fn a_million_request_ids_rise_and_inbound_ids_are_a_type_of_their_own() {
    let (bench, mut a, _) = apart(Config::default());
    let peer = bench.peer(1);
    let mut last = None;
    for _ in 0..1_000_000 {
        let id = a.request(peer, 0, bytes::Bytes::from_static(b"x")).unwrap();
        assert!(last < Some(id));
        last = Some(id);
        a.cancel(id);
    }
    let mut pair = Pair::new(until_end());
    pair.ask("x");
    pair.ask("y");
    pair.run(SECOND);
    let asked = pair.asked();
    assert!(asked[0].0 < asked[1].0);
}

// covers: RRQ-071
#[test]
fn every_failure_has_a_cause_of_its_own() {
    type Cause = fn(&mut Wire) -> Failure;
    let causes: [(Spec, Cause); 8] = [
        (until_end(), |wire| {
            let (_, stream) = wire.ask("x");
            wire.reset(stream);
            Failure::StreamReset
        }),
        (until_end(), |wire| {
            let (_, stream) = wire.ask("x");
            wire.finish(stream);
            Failure::UnexpectedEnd
        }),
        (until_end(), |wire| {
            let (_, stream) = wire.ask("x");
            wire.say(stream, &[0; 1025]);
            Failure::TooLarge
        }),
        (delimited(), |wire| {
            let (_, stream) = wire.ask("x");
            wire.say(stream, &[0x80, 0]);
            Failure::Malformed
        }),
        (until_end(), |wire| {
            wire.ask("x");
            wire.run(SECOND * 11);
            Failure::TimedOut
        }),
        (until_end(), |wire| {
            wire.ask("x");
            let conn = wire.conn;
            wire.bench.disconnect(conn);
            Failure::ConnectionClosed
        }),
        (chunks(), |wire| {
            let (_, stream) = wire.ask("x");
            wire.say(
                stream,
                &unhex("020aff060000734e61507059010e000062c9a39372617465206c696d6974"),
            );
            Failure::Rejected(libp2p_proto_request_response::Rejection {
                code: 2,
                message: "rate limit".into(),
            })
        }),
        (chunks(), |wire| {
            let request = Request::new(0, "x").max_chunks(0);
            wire.machine.request_with(wire.bench.peer(1), request).unwrap();
            wire.run(SECOND);
            let stream = wire.puppet.opened()[0];
            wire.say(stream, &encode_response(&chunks(), None, &"x".into()));
            Failure::TooManyParts
        }),
    ];
    for (spec, cause) in causes {
        let mut wire = Wire::new(spec);
        let wanted = cause(&mut wire);
        wire.run(SECOND);
        let failures: Vec<_> = ends(&mut wire.machine).into_iter().map(|(_, end)| end).collect();
        assert_eq!(failures, [Err(wanted.clone())]);
        assert!(is_idle(&wire.machine), "{wanted}");
    }
    // The four that end before a stream: not connected, dial failed and unsupported have tests above.
    let config = Config {
        wait_timeout: SECOND,
        timeout: SECOND * 20,
        ..Config::default()
    };
    let mut wire = Wire::with(until_end().max_outbound(1), config);
    wire.ask("x");
    let late = wire.machine.request(wire.bench.peer(1), 0, "y".into()).unwrap();
    wire.run(SECOND * 2);
    assert_eq!(ends(&mut wire.machine), [(late, Err(Failure::TooManyStreams))]);
    wire.run(SECOND * 30);
    assert!(is_idle(&wire.machine));
}

// covers: RRQ-072
#[test]
fn a_failure_names_connection_and_name_as_far_as_they_were_known() {
    let mut wire = Wire::new(until_end());
    let (id, stream) = wire.ask("x");
    wire.reset(stream);
    wire.run(SECOND);
    let peer = wire.bench.peer(1);
    let failed = Event::Failed {
        id,
        peer,
        conn: Some(wire.conn),
        name: Some(NAME),
        failure: Failure::StreamReset,
    };
    assert_eq!(events(&mut wire.machine), [failed]);
}

// covers: RRQ-105
#[test]
fn no_stream_is_left_behind_an_answer_and_only_streams_keep_a_connection() {
    for spec in [until_end(), delimited(), chunks()] {
        let mut pair = Pair::new(spec);
        pair.ask("x");
        pair.run(LATENCY * 4);
        assert_eq!((pair.bench.open_streams(0), pair.bench.open_streams(1)), (1, 1));
        pair.answer_all();
        pair.run(SECOND);
        assert_eq!((pair.bench.open_streams(0), pair.bench.open_streams(1)), (0, 0));
        assert!(is_idle(&pair.a) && is_idle(&pair.b));
        let specs = libp2p_proto_stream_protocol::Protocol::specs(&pair.a);
        assert!(specs.iter().all(|spec| spec.keeps_alive));
    }
}

// covers: RRQ-104
#[test]
fn a_limit_that_is_missing_is_an_error_of_construction() {
    let refused = |spec: Spec, config: Config| RequestResponse::new(vec![spec], config).err();
    let default = Config::default;
    let bad = |field| Some(Error::BadConfig(field));
    assert_eq!(
        refused(Spec::until_end(NAME, 0, 1), default()),
        bad("max_request")
    );
    assert_eq!(
        refused(Spec::length_delimited(NAME, 1, 0), default()),
        bad("max_response")
    );
    assert_eq!(
        refused(Spec::chunks(NAME, 1..=8, 1..=10_485_761), default()),
        bad("max_response")
    );
    #[expect(clippy::reversed_empty_ranges, reason = "a mistake that is to be found")]
    let reversed = Spec::chunks(NAME, 8..=1, 1..=8);
    assert_eq!(refused(reversed, default()), bad("max_request"));
    assert_eq!(
        refused(until_end().max_outbound(0), default()),
        bad("max_outbound")
    );
    assert_eq!(
        refused(Spec::until_end(NAME, 5 << 20, 1), default()),
        bad("max_held")
    );
    assert_eq!(RequestResponse::new(Vec::new(), default()).err(), bad("specs"));
    let none = Config {
        max_outbound: 0,
        ..default()
    };
    assert_eq!(refused(until_end(), none), bad("max_outbound"));
    let few = Config {
        max_events: 3,
        ..default()
    };
    assert_eq!(refused(until_end(), few), bad("max_events"));
}
