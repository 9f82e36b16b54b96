//! Requests of others: reading, asking, answering, ends.
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
use libp2p_proto_core::Rate;
use libp2p_proto_request_response::{Config, Error, Event, Excess, Failure, InboundFailure, Spec};
use libp2p_proto_stream_protocol::Closed;
use support::{
    LATENCY, NAME, Pair, SECOND, Wire, asked, chunks, delimited, ends, events, inbound_ends, is_idle, unhex,
    until_end,
};

// covers: RRQ-020, RRQ-021
#[test]
fn a_request_ends_with_its_side_and_the_answer_with_the_stream() {
    let list = unhex("8418701869186e1867");
    let mut wire = Wire::new(Spec::cbor(NAME, 64, 64));
    let (id, stream) = wire.ask(list.clone());
    assert_eq!(
        (wire.heard(stream), wire.saw_finish(stream)),
        (list.clone(), true)
    );
    wire.say(stream, &list);
    wire.finish(stream);
    wire.run(SECOND);
    assert_eq!(ends(&mut wire.machine), [(id, Ok(list.clone().into()))]);

    let stream = wire.open();
    wire.say(stream, &list[..4]);
    wire.run(SECOND);
    wire.say(stream, &list[4..]);
    wire.run(SECOND);
    assert_eq!(asked(&mut wire.machine), []);
    wire.finish(stream);
    wire.run(SECOND);
    let (id, data) = asked(&mut wire.machine)[0].clone();
    assert_eq!(data, list);
    wire.machine.respond(id, list.clone().into()).unwrap();
    wire.run(SECOND);
    assert_eq!((wire.heard(stream), wire.saw_finish(stream)), (list, true));
    assert_eq!(wire.end_of(stream), Some(Closed::Finished));
    assert!(is_idle(&wire.machine));
}

// covers: RRQ-022
#[test]
fn an_empty_answer_is_an_end_unless_the_spec_takes_it_for_a_message() {
    for (spec, end) in [
        (until_end(), Err(Failure::UnexpectedEnd)),
        (until_end().allow_empty(), Ok(Bytes::new())),
    ] {
        let mut wire = Wire::new(spec);
        let (id, stream) = wire.ask("x");
        wire.finish(stream);
        wire.run(SECOND);
        assert_eq!(ends(&mut wire.machine), [(id, end)]);
    }
}

// covers: RRQ-025
#[test]
fn a_reset_delivers_nothing_of_what_came_before() {
    for spec in [until_end(), delimited()] {
        let mut wire = Wire::new(spec);
        let (id, stream) = wire.ask("x");
        wire.say(stream, b"\x05ab");
        wire.run(SECOND);
        wire.reset(stream);
        wire.run(SECOND);
        assert_eq!(ends(&mut wire.machine), [(id, Err(Failure::StreamReset))]);

        let stream = wire.open();
        wire.say(stream, b"\x05ab");
        wire.reset(stream);
        wire.run(SECOND);
        assert_eq!(events(&mut wire.machine), []);
        assert!(is_idle(&wire.machine));
    }
}

// covers: RRQ-026
#[test]
fn a_document_that_is_complete_is_answered_to_a_peer_that_never_half_closes() {
    let mut wire = Wire::new(Spec::json(NAME, 64, 64).answer_early());
    let stream = wire.open();
    wire.say(stream, b"{\"a\": [1]}");
    wire.run(LATENCY * 4);
    let (id, data) = asked(&mut wire.machine)[0].clone();
    assert_eq!(data, "{\"a\": [1]}");
    wire.machine.respond(id, "[]".into()).unwrap();
    wire.run(LATENCY * 4);
    assert_eq!(wire.heard(stream), b"[]");
}

// covers: RRQ-030, RRQ-031
#[test]
fn with_a_length_in_front_nobody_half_closes_before_the_answer() {
    let mut wire = Wire::new(delimited());
    let (id, stream) = wire.ask("ping");
    wire.run(SECOND);
    assert_eq!(
        (wire.heard(stream), wire.saw_finish(stream)),
        (unhex("0470696e67"), false)
    );
    wire.say(stream, &unhex("04706f6e67"));
    wire.run(SECOND);
    assert_eq!(ends(&mut wire.machine), [(id, Ok("pong".into()))]);
    assert!(wire.saw_finish(stream));
    wire.finish(stream);
    wire.run(SECOND);
    assert!(is_idle(&wire.machine));
}

// covers: RRQ-032
#[test]
fn a_requester_that_half_closes_behind_its_length_is_served() {
    let mut wire = Wire::new(delimited());
    let stream = wire.request(&unhex("0470696e67"));
    let (id, data) = asked(&mut wire.machine)[0].clone();
    assert_eq!(data, "ping");
    wire.machine.respond(id, "pong".into()).unwrap();
    wire.run(SECOND);
    assert_eq!(wire.heard(stream), unhex("04706f6e67"));
}

// covers: RRQ-033
#[test]
fn a_length_over_the_limit_is_refused_with_its_prefix_in_both_directions() {
    let mut wire = Wire::new(delimited());
    let stream = wire.open();
    wire.say(stream, &unhex("8108"));
    wire.run(LATENCY * 4);
    assert_eq!(wire.end_of(stream), Some(Closed::Reset));
    let stream = wire.open();
    wire.say(stream, &unhex("8008"));
    wire.run(LATENCY * 4);
    assert_eq!(wire.end_of(stream), None);
    let before = wire.puppet.opened().len();
    let refused = wire.machine.request(wire.bench.peer(1), 0, vec![0; 1025].into());
    assert_eq!(refused, Err(Error::TooLarge));
    wire.run(SECOND);
    assert_eq!(wire.puppet.opened().len(), before);
}

// covers: RRQ-035
#[test]
fn bytes_behind_the_frame_are_no_second_request() {
    let mut wire = Wire::new(delimited());
    let stream = wire.open();
    wire.say(stream, &unhex("0470696e670470696e67"));
    wire.run(SECOND);
    wire.say(stream, &unhex("0470696e67"));
    wire.run(SECOND);
    let asked = asked(&mut wire.machine);
    assert_eq!(asked.len(), 1);
    wire.machine.respond(asked[0].0, "pong".into()).unwrap();
    wire.run(SECOND);
    assert_eq!(wire.heard(stream), unhex("04706f6e67"));
}

// covers: RRQ-036
#[test]
fn a_broken_prefix_resets_the_stream() {
    for prefix in ["808080808080808080808001", "8400"] {
        let mut wire = Wire::new(delimited());
        let stream = wire.open();
        wire.say(stream, &unhex(prefix));
        wire.run(LATENCY * 4);
        assert_eq!(wire.end_of(stream), Some(Closed::Reset));
        assert_eq!(events(&mut wire.machine), []);
    }
}

// covers: RRQ-037
#[test]
fn an_answer_that_is_too_large_is_refused_whole() {
    let mut pair = Pair::new(delimited());
    let id = pair.ask("x");
    pair.run(LATENCY * 4);
    let (inbound, _) = pair.asked()[0];
    assert_eq!(
        pair.b.respond(inbound, vec![0; 1025].into()),
        Err(Error::TooLarge)
    );
    pair.b.reject(inbound).unwrap();
    pair.run(SECOND);
    assert_eq!(ends(&mut pair.a), [(id, Err(Failure::StreamReset))]);
}

// covers: RRQ-034
#[test]
fn an_empty_message_with_a_length_is_legal_both_ways() {
    let mut pair = Pair::new(delimited());
    let id = pair.ask("");
    pair.run(LATENCY * 4);
    let (inbound, data) = pair.asked()[0].clone();
    assert_eq!(data, "");
    pair.b.respond(inbound, Bytes::new()).unwrap();
    pair.run(SECOND);
    assert_eq!(ends(&mut pair.a), [(id, Ok(Bytes::new()))]);
}

// covers: RRQ-080
#[test]
fn a_request_is_answered_once() {
    for spec in [until_end(), delimited(), chunks()] {
        let mut pair = Pair::new(spec);
        pair.ask("x");
        pair.run(LATENCY * 4);
        let (id, _) = pair.asked()[0];
        pair.b.respond(id, "y".into()).unwrap();
        assert_eq!(pair.b.respond(id, "z".into()), Err(Error::AlreadyAnswered));
        assert_eq!(pair.b.reject(id), Err(Error::AlreadyAnswered));
        assert_eq!(pair.b.omit(id), Err(Error::AlreadyAnswered));
        let part = pair.b.respond_part(id, None, "z".into());
        assert_eq!(part, Err(Error::AlreadyAnswered));
        pair.run(SECOND);
        assert_eq!(pair.b.respond(id, "z".into()), Err(Error::Gone));
        assert_eq!(events(&mut pair.b), [Event::ResponseSent { id }]);
    }
}

// covers: RRQ-081, RRQ-090
#[test]
fn an_answer_is_reported_when_it_has_left_or_could_not() {
    let mut wire = Wire::new(until_end());
    let stream = wire.request(b"x");
    let (id, _) = asked(&mut wire.machine)[0];
    wire.machine.respond(id, "y".into()).unwrap();
    assert_eq!(events(&mut wire.machine), []);
    wire.run(SECOND);
    assert_eq!(inbound_ends(&mut wire.machine), [(id, Ok(()))]);
    assert!(wire.saw_finish(stream));

    let stream = wire.request(b"x");
    let (id, _) = asked(&mut wire.machine)[0];
    wire.reset(stream);
    wire.run(SECOND);
    assert_eq!(
        inbound_ends(&mut wire.machine),
        [(id, Err(InboundFailure::StreamReset))]
    );
    assert_eq!(wire.machine.respond(id, "y".into()), Err(Error::Gone));
}

// covers: RRQ-082
#[test]
fn a_request_that_is_left_ends_with_nothing_on_its_stream() {
    let mut pair = Pair::new(until_end());
    let id = pair.ask("x");
    pair.run(LATENCY * 4);
    let (inbound, _) = pair.asked()[0];
    pair.b.omit(inbound).unwrap();
    pair.run(SECOND);
    let omitted = Err(InboundFailure::ResponseOmission);
    assert_eq!(inbound_ends(&mut pair.b), [(inbound, omitted)]);
    assert_eq!(ends(&mut pair.a), [(id, Err(Failure::UnexpectedEnd))]);
}

// covers: RRQ-083
#[test]
fn a_refusal_is_a_reset_or_a_code_and_never_an_empty_answer() {
    for spec in [until_end().allow_empty(), delimited()] {
        let mut pair = Pair::new(spec);
        let id = pair.ask("x");
        pair.run(LATENCY * 4);
        let (inbound, _) = pair.asked()[0];
        assert_eq!(pair.b.reject_with(inbound, 3, b"no"), Err(Error::WrongFraming));
        pair.b.reject(inbound).unwrap();
        pair.run(SECOND);
        assert_eq!(ends(&mut pair.a), [(id, Err(Failure::StreamReset))]);
        assert!(is_idle(&pair.b));
    }
    let mut wire = Wire::new(chunks());
    let stream = wire.request(&[]);
    let (id, _) = asked(&mut wire.machine)[0];
    wire.machine.reject(id).unwrap();
    wire.run(SECOND);
    assert_eq!(wire.heard(stream), [2, 0]);
}

// covers: RRQ-084
#[test]
fn a_request_that_comes_byte_by_byte_is_cut_off_at_its_time_limit() {
    let mut wire = Wire::new(until_end());
    let stream = wire.open();
    for second in 1..=12 {
        wire.run(SECOND);
        if wire.end_of(stream).is_some() {
            assert_eq!(second, 10);
            break;
        }
        wire.say(stream, b"x");
    }
    assert_eq!(wire.end_of(stream), Some(Closed::Reset));
    assert_eq!(events(&mut wire.machine), []);
    assert!(is_idle(&wire.machine));
}

// covers: RRQ-085
#[test]
fn a_late_answer_is_an_error_and_the_request_has_timed_out() {
    let mut wire = Wire::new(until_end());
    let stream = wire.request(b"x");
    let (id, _) = asked(&mut wire.machine)[0];
    wire.run(Duration::from_millis(10_100));
    assert_eq!(wire.machine.respond(id, "y".into()), Err(Error::Gone));
    assert_eq!(
        inbound_ends(&mut wire.machine),
        [(id, Err(InboundFailure::TimedOut))]
    );
    assert_eq!(wire.end_of(stream), Some(Closed::Reset));
}

// covers: RRQ-086
#[test]
fn streams_over_a_limit_are_reset_before_anything_is_read() {
    let one_connection = (until_end().max_inbound(2), Config::default());
    let in_all = Config {
        max_inbound_total: 2,
        ..Config::default()
    };
    for (spec, config) in [one_connection, (until_end(), in_all)] {
        let mut wire = Wire::with(spec, config);
        let streams = [wire.open(), wire.open(), wire.open()];
        assert_eq!(wire.end_of(streams[2]), Some(Closed::Reset));
        for stream in &streams[..2] {
            wire.say(*stream, b"x");
            wire.finish(*stream);
        }
        wire.run(SECOND);
        for (id, _) in asked(&mut wire.machine) {
            wire.machine.respond(id, "y".into()).unwrap();
        }
        wire.run(SECOND);
        for stream in &streams[..2] {
            assert_eq!(wire.heard(*stream), b"y");
        }
    }
}

// covers: RRQ-087
#[test]
fn requests_of_others_leave_room_for_ours() {
    let config = Config {
        max_events: 8,
        ..Config::default()
    };
    let mut wire = Wire::with(until_end(), config);
    for _ in 0..90 {
        wire.open();
    }
    for _ in 0..10 {
        wire.request(b"x");
    }
    for _ in 0..20 {
        wire.open();
    }
    let (id, stream) = wire.ask("ours");
    wire.say(stream, b"yes");
    wire.finish(stream);
    wire.run(SECOND);
    assert!(ends(&mut wire.machine).contains(&(id, Ok("yes".into()))));
}

// covers: RRQ-089
#[test]
fn a_connection_lost_under_a_request_is_reported_and_the_answer_refused() {
    let mut wire = Wire::new(until_end());
    wire.request(b"x");
    let (id, _) = asked(&mut wire.machine)[0];
    wire.bench.disconnect(wire.conn);
    wire.run(SECOND);
    let closed = Err(InboundFailure::ConnectionClosed);
    assert_eq!(inbound_ends(&mut wire.machine), [(id, closed)]);
    assert_eq!(wire.machine.respond(id, "y".into()), Err(Error::Gone));
    assert!(is_idle(&wire.machine));
}

// covers: RRQ-091
#[test]
fn what_never_becomes_a_request_is_counted_and_not_told() {
    let mut wire = Wire::new(Spec::json(NAME, 64, 64));
    let mut streams = vec![
        wire.request(b"[1]x"),
        wire.request(b"[1"),
        wire.request(&[b' '; 65]),
    ];
    let cut = wire.open();
    wire.say(cut, b"[1");
    wire.reset(cut);
    wire.run(SECOND);
    assert_eq!(events(&mut wire.machine), []);
    assert_eq!(wire.machine.stats().refused, 3);
    while let Some(stream) = streams.pop() {
        assert_eq!(wire.end_of(stream), Some(Closed::Reset));
    }
    assert!(is_idle(&wire.machine));
}

// covers: RRQ-092
#[test]
fn requests_over_the_rate_wait_for_their_turn_or_are_refused() {
    let rate = Rate::per_second(5, 5);
    let mut wire = Wire::new(until_end().rate(rate, Excess::Delay));
    let streams: Vec<_> = (0..6).map(|_| wire.open()).collect();
    for stream in streams {
        wire.say(stream, b"x");
        wire.finish(stream);
    }
    wire.run(LATENCY * 3);
    assert_eq!(asked(&mut wire.machine).len(), 5, "the sixth is delayed");
    wire.run(SECOND);
    assert_eq!(asked(&mut wire.machine).len(), 1);

    let mut wire = Wire::new(until_end().rate(Rate::per_second(1, 2), Excess::Refuse));
    let streams = [wire.request(b"a"), wire.request(b"b"), wire.request(b"c")];
    assert_eq!(asked(&mut wire.machine).len(), 2);
    assert_eq!(wire.end_of(streams[2]), Some(Closed::Reset));
}

#[test]
fn a_request_that_would_wait_longer_than_its_reading_may_take_is_refused() {
    let slow = Rate {
        gap: SECOND * 60,
        burst: 1,
    };
    let mut wire = Wire::new(until_end().rate(slow, Excess::Delay));
    let streams = [wire.request(b"a"), wire.request(b"b")];
    assert_eq!(asked(&mut wire.machine).len(), 1);
    assert_eq!(wire.end_of(streams[1]), Some(Closed::Reset));
}

// covers: RRQ-118
#[test]
fn streams_of_a_denied_peer_are_reset_until_it_is_allowed_again() {
    let mut wire = Wire::new(until_end());
    let peer = wire.bench.peer(1);
    wire.machine.deny(peer).unwrap();
    let stream = wire.open();
    assert_eq!(wire.end_of(stream), Some(Closed::Reset));
    wire.machine.allow(peer);
    wire.request(b"x");
    assert_eq!(asked(&mut wire.machine).len(), 1);
}

// covers: RRQ-103
#[test]
fn at_most_one_part_of_an_answer_waits_and_the_next_is_asked_for() {
    let mut pair = Pair::new(until_end());
    let id = pair.ask("x");
    pair.run(LATENCY * 4);
    let (inbound, _) = pair.asked()[0];
    let part = || Bytes::from(vec![7; 500]);
    pair.b.respond_part(inbound, None, part()).unwrap();
    assert_eq!(pair.b.respond_part(inbound, None, part()), Err(Error::Blocked));
    pair.run(LATENCY);
    assert_eq!(events(&mut pair.b), [Event::Continue { id: inbound }]);
    pair.b.respond_part(inbound, None, part()).unwrap();
    pair.b.finish(inbound).unwrap();
    assert_eq!(pair.b.finish(inbound), Err(Error::AlreadyAnswered));
    pair.run(SECOND);
    assert_eq!(ends(&mut pair.a), [(id, Ok(vec![7; 1000].into()))]);

    pair.ask("x");
    pair.run(LATENCY * 4);
    let (inbound, _) = pair.asked()[0];
    pair.b.respond_part(inbound, None, vec![7; 1000].into()).unwrap();
    pair.run(LATENCY);
    assert_eq!(
        pair.b.respond_part(inbound, None, vec![7; 25].into()),
        Err(Error::TooLarge)
    );
}

// covers: RRQ-115
#[test]
fn a_peer_that_does_not_read_its_answer_is_reset_at_the_time_limit() {
    let config = Config {
        max_held: 8 << 20,
        ..Config::default()
    };
    let mut wire = Wire::with(Spec::until_end(NAME, 1024, 4 << 20), config);
    let stream = wire.request(b"x");
    let (id, _) = asked(&mut wire.machine)[0];
    wire.bench.with(1, &wire.puppet, |cx| cx.pause(stream));
    // More than the window of the stream and what may wait for it: the last part is not taken.
    for _ in 0..8 {
        if wire
            .machine
            .respond_part(id, None, vec![0; 256 * 1024].into())
            .is_err()
        {
            break;
        }
        wire.run(LATENCY);
    }
    let sent = wire.heard(stream).len();
    assert!(sent <= 1 << 20, "{sent} bytes left");
    wire.run(SECOND * 11);
    let timed_out = Err(InboundFailure::TimedOut);
    assert_eq!(inbound_ends(&mut wire.machine), [(id, timed_out)]);
    assert_eq!(wire.end_of(stream), Some(Closed::Reset));
    assert!(is_idle(&wire.machine));
}
