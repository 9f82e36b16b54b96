//! The framing of Ethereum: chunks, codes, limits, as machines use it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::Rate;
use libp2p_proto_request_response::{
    Error, Event, Excess, Failure, Rejection, Request, RequestId, Spec, encode_request, encode_response,
};
use libp2p_proto_stream_protocol::Closed;
use support::{LATENCY, NAME, Pair, SECOND, Wire, asked, chunks, ends, events, is_idle, unhex};

fn chunk(text: &str) -> Vec<u8> {
    encode_response(&chunks(), None, &Bytes::copy_from_slice(text.as_bytes())).to_vec()
}

fn part(id: RequestId, text: &'static str) -> Event {
    Event::Part {
        id,
        context: None,
        data: text.into(),
    }
}

fn response(wire: &Wire, id: RequestId) -> Event {
    Event::Response {
        id,
        peer: wire.bench.peer(1),
        conn: wire.conn,
        name: NAME,
        data: Bytes::new(),
    }
}

// covers: RRQ-041, RRQ-042
#[test]
fn a_request_is_its_length_and_frames_and_then_the_end_of_our_side() {
    let ping = || Spec::chunks(NAME, 8..=8, 8..=8);
    let mut wire = Wire::new(ping());
    let (_, stream) = wire.ask(vec![0; 8]);
    let wanted = unhex("08ff060000734e61507059010c0000290398070000000000000000");
    assert_eq!((wire.heard(stream), wire.saw_finish(stream)), (wanted, true));
    let refused = wire.machine.request(wire.bench.peer(1), 0, vec![0; 7].into());
    assert_eq!(refused, Err(Error::TooLarge));

    let mut wire = Wire::new(chunks());
    let (_, stream) = wire.ask("");
    assert_eq!((wire.heard(stream), wire.saw_finish(stream)), (vec![], true));
}

// covers: RRQ-043
#[test]
fn a_third_request_under_one_name_waits_for_one_of_the_first_two() {
    let mut wire = Wire::new(chunks());
    let (first, stream) = wire.ask("one");
    wire.ask("two");
    let peer = wire.bench.peer(1);
    // A second connection makes no difference: the limit is for the peer.
    wire.bench.connect(0, 1);
    wire.machine.request(peer, 0, "three".into()).unwrap();
    wire.run(SECOND);
    assert_eq!(wire.puppet.opened().len(), 2);
    wire.say(stream, &chunk("answer"));
    wire.finish(stream);
    wire.run(SECOND);
    assert_eq!(
        events(&mut wire.machine),
        [part(first, "answer"), response(&wire, first)]
    );
    assert_eq!(wire.puppet.opened().len(), 3);
}

// covers: RRQ-044, RRQ-046
#[test]
fn chunks_come_one_by_one_until_an_error_ends_them() {
    let mut wire = Wire::new(chunks());
    let (id, stream) = wire.ask("x");
    let error = unhex("020aff060000734e61507059010e000062c9a39372617465206c696d6974");
    wire.say(
        stream,
        &[chunk("one"), chunk("two"), error, chunk("three")].concat(),
    );
    wire.run(SECOND);
    let events = events(&mut wire.machine);
    assert_eq!(events[..2], [part(id, "one"), part(id, "two")]);
    let rejected = Failure::Rejected(Rejection {
        code: 2,
        message: "rate limit".into(),
    });
    assert!(matches!(&events[2..], [Event::Failed { failure, .. }] if *failure == rejected));
    assert!(is_idle(&wire.machine));
}

// covers: RRQ-044
#[test]
fn every_code_but_zero_is_an_error() {
    for code in [1, 2, 3, 4, 7, 127, 128, 255] {
        let mut wire = Wire::new(chunks());
        let (id, stream) = wire.ask("x");
        wire.say(stream, &[code, 0]);
        wire.run(SECOND);
        let message = Bytes::new();
        let failure = Failure::Rejected(Rejection { code, message });
        assert_eq!(ends(&mut wire.machine), [(id, Err(failure))]);
    }
}

// covers: RRQ-045
#[test]
fn context_bytes_travel_with_the_chunks_of_a_spec_that_has_them() {
    let mut pair = Pair::new(chunks().with_context());
    let id = pair.ask("x");
    pair.run(LATENCY * 4);
    let (inbound, _) = pair.asked()[0];
    assert_eq!(pair.b.respond(inbound, "y".into()), Err(Error::WrongFraming));
    assert_eq!(
        pair.b.respond_part(inbound, None, "y".into()),
        Err(Error::WrongFraming)
    );
    pair.b
        .respond_part(inbound, Some([1, 2, 3, 4]), "y".into())
        .unwrap();
    pair.b.finish(inbound).unwrap();
    pair.run(SECOND);
    let context = Some([1, 2, 3, 4]);
    let wanted = Event::Part {
        id,
        context,
        data: "y".into(),
    };
    assert_eq!(pair.a.poll_event(), Some(wanted));
    assert_eq!(ends(&mut pair.a), [(id, Ok(Bytes::new()))]);
}

// covers: RRQ-047
#[test]
fn an_error_message_is_any_256_bytes() {
    let mut pair = Pair::new(chunks());
    for (sent, received) in [(vec![0xff; 256], 256), (vec![0xfe; 300], 256), (vec![], 0)] {
        let id = pair.ask("x");
        pair.run(LATENCY * 4);
        let (inbound, _) = pair.asked()[0];
        pair.b.reject_with(inbound, 130, &sent).unwrap();
        pair.run(SECOND);
        let message = sent[..received].to_vec().into();
        let rejection = Rejection { code: 130, message };
        assert_eq!(ends(&mut pair.a), [(id, Err(Failure::Rejected(rejection)))]);
    }
}

// covers: RRQ-048, RRQ-049, RRQ-050
#[test]
fn a_broken_request_is_answered_with_code_one_and_a_broken_answer_fails() {
    let whole = encode_request(&chunks(), &"12345678".into());
    let mut wire = Wire::new(chunks());
    for (bytes, finish) in [
        (&whole[..whole.len() - 1], true),
        (&[&whole[..], b"x"].concat()[..], false),
        (
            &[
                &[8][..],
                &unhex("ff060000734e61507059"),
                &unhex("80000000").repeat(8),
            ]
            .concat()[..],
            false,
        ),
        (&[0x80; 11][..], false),
    ] {
        let stream = wire.open();
        wire.say(stream, bytes);
        if finish {
            wire.finish(stream);
        }
        wire.run(SECOND);
        assert_eq!(
            wire.heard(stream)[..2],
            [1, 15],
            "code 1 and a message of 15 bytes"
        );
        assert!(wire.saw_finish(stream));
        assert_eq!(events(&mut wire.machine), []);
    }
    // Over the bounds of the type, or of all: nothing is said.
    for bytes in [&unhex("41")[..], &unhex("81808005")] {
        let stream = wire.open();
        wire.say(stream, bytes);
        wire.run(LATENCY * 4);
        assert_eq!(
            (wire.end_of(stream), wire.heard(stream).len()),
            (Some(Closed::Reset), 0)
        );
    }
    for bytes in [&[0, 65][..], &[0, 0], &chunk("x")[..5]] {
        let (id, stream) = wire.ask("x");
        wire.say(stream, bytes);
        wire.finish(stream);
        wire.run(SECOND);
        let ends = ends(&mut wire.machine);
        assert!(
            matches!(&ends[..], [(failed, Err(_))] if *failed == id),
            "{ends:?}"
        );
    }
    wire.run(SECOND * 11);
    assert!(is_idle(&wire.machine), "{:?}", wire.machine.census());
}

// covers: RRQ-051, RRQ-056, RRQ-116
#[test]
fn a_response_ends_with_the_last_chunk_that_was_asked_for_and_more_is_reported() {
    let mut wire = Wire::new(chunks());
    let peer = wire.bench.peer(1);
    let request = Request::new(0, "x").max_chunks(2);
    let id = wire.machine.request_with(peer, request).unwrap();
    wire.run(LATENCY * 4);
    let stream = wire.puppet.opened()[0];
    wire.say(stream, &chunk("one"));
    wire.run(LATENCY);
    assert_eq!(
        events(&mut wire.machine),
        [part(id, "one")],
        "a chunk is there with its last byte"
    );
    wire.say(stream, &chunk("two"));
    wire.run(LATENCY);
    assert_eq!(events(&mut wire.machine), [part(id, "two"), response(&wire, id)]);
    wire.say(stream, &chunk("three"));
    wire.run(LATENCY * 2);
    let surplus = Event::Surplus {
        id,
        peer,
        conn: wire.conn,
        name: NAME,
    };
    assert_eq!(events(&mut wire.machine), [surplus]);
    assert_eq!(wire.end_of(stream), Some(Closed::Reset));
    assert!(is_idle(&wire.machine));
}

// covers: RRQ-052
#[test]
fn chunks_are_withheld_whole_and_sent_whole() {
    let spec = chunks().rate(Rate::per_second(1, 1), Excess::Delay);
    let mut wire = Wire::new(spec);
    let streams = [wire.request(&[]), wire.request(&[])];
    let first = asked(&mut wire.machine);
    assert_eq!(first.len(), 1, "the second waits");
    assert_eq!((wire.heard(streams[1]), wire.end_of(streams[1])), (vec![], None));
    wire.run(SECOND);
    let second = asked(&mut wire.machine);
    let (id, _) = second[0];
    // The application has no bucket left: it gives nothing, and nothing is sent.
    wire.run(SECOND * 5);
    assert_eq!((wire.heard(streams[1]), wire.end_of(streams[1])), (vec![], None));
    wire.machine.respond_part(id, None, "whole".into()).unwrap();
    wire.run(LATENCY * 2);
    assert_eq!(wire.puppet.frames(streams[1]), [Bytes::from(chunk("whole"))]);
}

// covers: RRQ-053
#[test]
fn a_third_stream_of_one_name_is_still_served() {
    let mut wire = Wire::new(chunks());
    for _ in 0..3 {
        wire.request(&[]);
    }
    assert_eq!(asked(&mut wire.machine).len(), 3);
}

// covers: RRQ-054
#[test]
fn no_chunk_at_all_is_an_empty_list() {
    let mut pair = Pair::new(chunks());
    let id = pair.ask("x");
    pair.run(LATENCY * 4);
    let (inbound, _) = pair.asked()[0];
    pair.b.finish(inbound).unwrap();
    pair.run(SECOND);
    assert_eq!(ends(&mut pair.a), [(id, Ok(Bytes::new()))]);
    assert_eq!(events(&mut pair.b), [Event::ResponseSent { id: inbound }]);
}

// covers: RRQ-117
#[test]
fn a_request_for_too_many_items_is_answered_with_code_one_before_work_starts() {
    fn at_most_1024(request: &[u8]) -> bool {
        request
            .first_chunk()
            .is_some_and(|count| u64::from_le_bytes(*count) <= 1024)
    }
    let mut wire = Wire::new(chunks().check_requests(at_most_1024));
    let ask = |count: u64| encode_request(&chunks(), &Bytes::copy_from_slice(&count.to_le_bytes()));
    let stream = wire.request(&ask(1_000_000_000));
    assert_eq!(wire.heard(stream)[0], 1);
    assert_eq!(events(&mut wire.machine), []);
    wire.request(&ask(1024));
    assert_eq!(asked(&mut wire.machine).len(), 1);
    wire.request(&ask(0)[..3]);
    assert_eq!(events(&mut wire.machine), []);
}
