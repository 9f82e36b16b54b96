//! Hostile peers and slow applications: what they cost, and random lives.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use allocation_counter::measure;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::Rng;
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_request_response::{
    Config, Decoder, Event, Failure, InboundId, Item, Request, RequestId, RequestResponse, Spec,
    encode_request,
};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, Context, Framing, Input, Journal, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::{
    LATENCY, NAME, Pair, SECOND, Wire, asked, chunks, delimited, ends, events, is_idle, node, unhex,
    until_end,
};

// covers: RRQ-110
#[test]
fn an_announced_length_costs_nothing_before_its_bytes_come() {
    let large = 10 << 20;
    let ten_mib = unhex("80808005");
    for (spec, first) in [
        (
            Spec::length_delimited(NAME, large, large),
            [&ten_mib[..], b"x"].concat(),
        ),
        (
            Spec::chunks(NAME, 0..=large, 0..=large),
            [&ten_mib[..], &[0xff]].concat(),
        ),
        (
            Spec::chunks(NAME, 0..=large, 0..=large),
            [&ten_mib[..], &unhex("ff060000734e61507059"), &unhex("00aa0100")].concat(),
        ),
    ] {
        let mut decoder = Decoder::request(&spec);
        let mut input = Bytes::from(first);
        let cost = measure(|| {
            assert_eq!(decoder.feed(&mut input), Ok(None));
        });
        assert!(cost.bytes_max < 8 * 1024, "{cost:?}");
    }
}

// covers: RRQ-111
#[test]
fn a_frame_that_expands_too_far_costs_no_more_than_its_bytes() {
    // 64 KiB of zeros in a few bytes, announced as 8.
    let bomb = unhex(
        "08ff060000734e61507059002100000000000080800400 00fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100"
            .replace(' ', "")
            .as_str(),
    );
    let spec = Spec::chunks(NAME, 0..=1 << 20, 0..=1 << 20);
    let mut decoder = Decoder::request(&spec);
    let mut input = Bytes::from(bomb);
    let cost = measure(|| {
        assert_eq!(decoder.feed(&mut input), Err(Failure::Malformed));
    });
    assert!(cost.bytes_max < 1024, "{cost:?}");
}

// covers: RRQ-112
#[test]
fn deep_nesting_and_long_headers_are_errors_without_allocation_or_recursion() {
    let spec = Spec::cbor(NAME, 1 << 20, 1 << 20);
    for bytes in [
        vec![0x81; 100_000],
        unhex("9b7fffffffffffffff"),
        unhex("bb7fffffffffffffff"),
    ] {
        let mut decoder = Decoder::request(&spec);
        let mut input = Bytes::from(bytes);
        let cost = measure(|| {
            assert_eq!(decoder.feed(&mut input), Err(Failure::Malformed));
        });
        assert!(cost.bytes_max < 4096, "{cost:?}");
    }
    let mut decoder = Decoder::request(&Spec::json(NAME, 1 << 20, 1 << 20));
    assert_eq!(
        decoder.feed(&mut Bytes::from(vec![b'['; 100_000])),
        Err(Failure::Malformed)
    );
}

// covers: RRQ-113
#[test]
fn ten_thousand_silent_streams_are_reset_over_the_limit_and_time_out_below_it() {
    let mut wire = Wire::new(until_end());
    let conn = wire.conn;
    let target = libp2p_proto_stream_protocol::Target::Connection(conn);
    let streams: Vec<_> = (0..10_000)
        .map(|_| {
            wire.bench
                .with(1, &wire.puppet, |cx| cx.open(target, &[0]))
                .unwrap()
        })
        .collect();
    wire.run(SECOND);
    assert_eq!(wire.machine.census().inbound, 100);
    let reset = |wire: &Wire, stream| wire.end_of(stream) == Some(Closed::Reset);
    let late: Vec<_> = streams.iter().skip(100).step_by(97).collect();
    assert!(late.iter().all(|stream| reset(&wire, **stream)));
    wire.run(SECOND * 10);
    assert!(streams.iter().take(100).all(|stream| reset(&wire, *stream)));
    assert_eq!(events(&mut wire.machine), []);
    assert!(is_idle(&wire.machine));
}

// covers: RRQ-088
#[test]
fn an_application_that_reads_nothing_leaves_memory_flat() {
    let config = Config {
        max_events: 64,
        max_held: 64 * 1024,
        ..Config::default()
    };
    let mut wire = Wire::with(delimited(), config);
    let mut held = Vec::new();
    for round in 0..6 {
        for _ in 0..200 {
            let stream = wire.open();
            wire.say(stream, &[&unhex("8008")[..], &[round; 1024]].concat());
        }
        wire.run(SECOND * 30);
        held.push(wire.machine.census().held);
    }
    assert!(held.iter().all(|bytes| *bytes <= 64 * 1024), "{held:?}");
    let waiting = events(&mut wire.machine);
    assert!(waiting.len() <= 64);
    let requests = waiting
        .iter()
        .filter(|event| matches!(event, Event::Request { .. }))
        .count();
    let ends = waiting.len() - requests;
    assert_eq!(requests, ends, "room for every end was kept");
    assert!(is_idle(&wire.machine), "{:?}", wire.machine.census());
}

#[test]
fn vul_181_a_server_keeps_nothing_of_peers_that_are_gone_after_each_request() {
    let mut machine = node(vec![delimited()], Config::default());
    let mut puppet = Puppet::new(StreamSpec::new(NAME, Framing::Raw));
    let mut bench = Bench::new(1, 2, LATENCY);
    let mut lives = |count: usize| {
        let info = measure(|| {
            for turn in 0..count {
                let conn = bench.connect(1, 0);
                bench.run(&mut [&mut machine, &mut puppet], LATENCY * 2);
                let open = |cx: &mut Context<'_>| cx.open(Target::Connection(conn), &[0]);
                let stream = bench.with(1, &puppet, open).unwrap();
                bench.run(&mut [&mut machine, &mut puppet], LATENCY * 4);
                bench
                    .with(1, &puppet, |cx| cx.write(stream, Bytes::from_static(b"\x02hi")))
                    .unwrap();
                bench.run(&mut [&mut machine, &mut puppet], LATENCY * 2);
                // Some are answered, some are gone before.
                for (id, _) in asked(&mut machine) {
                    if turn % 2 == 0 {
                        machine.respond(id, Bytes::from_static(b"yes")).unwrap();
                    }
                }
                bench.run(&mut [&mut machine, &mut puppet], LATENCY * 2);
                bench.disconnect(conn);
                bench.run(&mut [&mut machine, &mut puppet], LATENCY * 2);
                events(&mut machine);
                puppet.inputs = Vec::new();
                assert!(is_idle(&machine), "{:?}", machine.census());
            }
        });
        info.bytes_current
    };
    lives(200);
    let kept = lives(1000);
    assert!(kept.abs() < 1024, "{kept} bytes more after 1000 lives");
}

#[test]
fn the_bytes_that_one_connection_may_leave_incomplete_are_bounded() {
    let config = Config {
        max_held: 10_000,
        ..Config::default()
    };
    let mut wire = Wire::with(Spec::until_end(NAME, 1024, 1024), config);
    for _ in 0..50 {
        let stream = wire.open();
        wire.say(stream, &[0; 1000]);
        wire.run(LATENCY * 2);
        assert!(wire.machine.census().held <= 10_000);
    }
    assert!(wire.machine.stats().refused >= 40);
}

// covers: RRQ-114
#[test]
fn answers_that_come_too_early_and_bytes_behind_a_reset_do_no_harm() {
    let mut wire = Wire::new(until_end());
    let peer = wire.bench.peer(1);
    let id = wire.machine.request(peer, 0, vec![1; 1024].into()).unwrap();
    wire.run(LATENCY);
    let stream = wire.puppet.opened()[0];
    // The peer answers before it has seen the request.
    wire.say(stream, b"early");
    wire.finish(stream);
    wire.run(SECOND);
    assert_eq!(ends(&mut wire.machine), [(id, Ok("early".into()))]);

    let (id, stream) = wire.ask("x");
    wire.say(stream, &[0; 1000]);
    wire.run(LATENCY * 2);
    wire.machine.cancel(id);
    wire.say(stream, &[0; 1000]);
    wire.run(SECOND);
    assert_eq!(events(&mut wire.machine), []);
    assert!(is_idle(&wire.machine));

    // The swarm, or whatever stands in its place, tells of streams that never were.
    let ghost = libp2p_proto_core::StreamId::ours(wire.conn, 1 << 40);
    for input in [
        Input::Frame {
            stream: ghost,
            data: "x".into(),
        },
        Input::Finished { stream: ghost },
        Input::Writable { stream: ghost },
        Input::Closed {
            stream: ghost,
            reason: Closed::Reset,
        },
    ] {
        wire.bench.inject(0, input);
    }
    wire.run(SECOND);
    assert_eq!(events(&mut wire.machine), []);
}

// covers: RRQ-075
#[test]
fn a_response_in_parts_is_read_at_the_pace_of_the_application() {
    let size: usize = 16 << 20;
    let mut wire = Wire::new(Spec::until_end(NAME, 1024, size));
    let request = Request::new(0, "everything").in_parts().timeout(SECOND * 600);
    let id = wire.machine.request_with(wire.bench.peer(1), request).unwrap();
    wire.run(LATENCY * 4);
    let stream = wire.puppet.opened()[0];
    let block = Bytes::from(vec![7; 64 * 1024]);
    for _ in 0..size / block.len() {
        wire.say(stream, &block);
    }
    wire.finish(stream);
    let (mut got, mut most) = (0, 0);
    loop {
        wire.run(SECOND);
        let mut now = 0;
        for event in events(&mut wire.machine) {
            match event {
                Event::Part { data, .. } => now += data.len(),
                Event::Response { id: ended, data, .. } => {
                    assert_eq!((ended, data, got + now), (id, Bytes::new(), size));
                    assert!(most <= 1 << 20, "{most} bytes waited");
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
        got += now;
        most = most.max(now);
        assert!(now > 0, "stuck after {got} bytes");
    }
}

struct Life {
    machine: RequestResponse,
    open: BTreeSet<RequestId>,
    asked: Vec<InboundId>,
}

impl Protocol for Life {
    fn specs(&self) -> &[StreamSpec] {
        self.machine.specs()
    }
    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        self.machine.handle(cx, input);
    }
    fn poll_timeout(&self) -> Option<libp2p_proto_core::Deadline> {
        self.machine.poll_timeout()
    }
    fn journal(&mut self) -> Option<&mut Journal> {
        self.machine.journal()
    }
    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.machine.repeat(command)
    }
}

impl Subject for Life {
    fn poll_event(&mut self) -> Option<String> {
        let event = self.machine.poll_event()?;
        match &event {
            Event::Request { id, .. } => self.asked.push(*id),
            Event::Response { id, .. } | Event::Failed { id, .. } => {
                assert!(self.open.remove(id), "one end for each request");
            }
            Event::Part { id, .. } => assert!(self.open.contains(id), "no part behind the end"),
            _ => {}
        }
        Some(format!("{event:?}"))
    }

    fn command(&mut self, cx: &mut Context<'_>, dice: &mut Rng) {
        let peers: Vec<_> = (1..5)
            .map(|index| libp2p_proto_core::PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", index)))
            .collect();
        let peer = peers[usize::try_from(dice.below(4)).unwrap()];
        let _ = cx;
        match dice.below(6) {
            0..3 => {
                let spec = u8::try_from(dice.below(3)).unwrap();
                let other = u8::try_from(dice.below(3)).unwrap();
                let mut request = Request::new(spec, "ping")
                    .or(other, "old ping")
                    .dial(dice.below(2) == 0);
                if dice.below(2) == 0 {
                    request = request.in_parts().max_chunks(dice.below(3));
                }
                self.open.extend(self.machine.request_with(peer, request));
            }
            3 => {
                if let Some(id) = self.open.pop_first() {
                    self.machine.cancel(id);
                }
            }
            _ => {
                if let Some(id) = self.asked.pop() {
                    let _any = match dice.below(6) {
                        0 => self.machine.respond(id, "pong".into()),
                        1 => self.machine.respond_part(id, None, "po".into()),
                        2 => self.machine.finish(id),
                        3 => self.machine.reject(id),
                        4 => self.machine.reject_with(id, 3, b"no"),
                        _ => self.machine.omit(id),
                    };
                    if dice.below(2) == 0 {
                        self.asked.push(id);
                    }
                }
            }
        }
    }
}

// covers: RRQ-060, RRQ-102
#[test]
fn the_laws_hold_and_every_request_ends_once() {
    let specs = || {
        vec![
            until_end(),
            Spec::length_delimited("/x/2".parse_name(), 64, 64).rate(
                libp2p_proto_core::Rate::per_second(2, 2),
                libp2p_proto_request_response::Excess::Delay,
            ),
            Spec::chunks("/x/3".parse_name(), 0..=64, 0..=64),
        ]
    };
    let life = move || Life {
        machine: node(specs(), Config::default()),
        open: BTreeSet::new(),
        asked: Vec::new(),
    };
    let chunked = encode_request(&chunks(), &"ping".into());
    Laws::of(life)
        .frame(b"ping")
        .frame(b"\x04ping")
        .frame(&chunked)
        .frame(&[&[0][..], &chunked].concat())
        .hold();
}

trait ParseName {
    fn parse_name(self) -> libp2p_proto_core::ProtocolName;
}

impl ParseName for &str {
    fn parse_name(self) -> libp2p_proto_core::ProtocolName {
        libp2p_proto_core::ProtocolName::new(self).unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    Answer,
    Reject,
    Omit,
    Cancel,
    Cut,
    Connect,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Ask),
        3 => Just(Step::Answer),
        1 => Just(Step::Reject),
        1 => Just(Step::Omit),
        1 => Just(Step::Cancel),
        1 => Just(Step::Cut),
        1 => Just(Step::Connect),
        4 => (0..12_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    // covers: RRQ-060
    #[test]
    fn over_random_faults_every_request_ends_exactly_once_and_nothing_is_left(
        steps in proptest::collection::vec(step(), 1..60),
        framing in 0..3_usize,
    ) {
        let spec = [until_end(), delimited(), chunks()][framing].clone();
        let mut pair = Pair::new(spec);
        let mut conns = vec![libp2p_proto_core::ConnectionId::new(1)];
        let (mut open, mut ended) = (BTreeSet::new(), BTreeMap::new());
        let mut waiting = Vec::new();
        for step in steps {
            match step {
                Step::Ask => open.extend(pair.a.request(pair.bench.peer(1), 0, "ping".into())),
                Step::Answer => if let Some(id) = waiting.pop() {
                    let _gone_is_fine = pair.b.respond(id, "pong".into());
                },
                Step::Reject => if let Some(id) = waiting.pop() {
                    let _gone_is_fine = pair.b.reject(id);
                },
                Step::Omit => if let Some(id) = waiting.pop() {
                    let _gone_is_fine = pair.b.omit(id);
                },
                Step::Cancel => if let Some(id) = open.pop_last() {
                    pair.a.cancel(id);
                },
                Step::Cut => if let Some(conn) = conns.pop() {
                    pair.bench.disconnect(conn);
                },
                Step::Connect => if conns.len() < 3 {
                    conns.push(pair.bench.connect(0, 1));
                },
                Step::Wait(millis) => pair.run(Duration::from_millis(millis)),
            }
            waiting.extend(asked(&mut pair.b).into_iter().map(|(id, _)| id));
            for (id, end) in ends(&mut pair.a) {
                if open.remove(&id) {
                    prop_assert!(ended.insert(id, end).is_none());
                } else {
                    prop_assert!(false, "an end of a request that is not open: {id:?} {end:?}");
                }
            }
        }
        // A dial that never ends is not the machine's: the bench connects nobody by itself.
        for dial in 1..=pair.bench.dials(0).len() as u64 {
            let failed = Input::DialFailed {
                dial: libp2p_proto_core::DialId::new(dial),
                peer: None,
                error: libp2p_proto_stream_protocol::DialError::TimedOut,
            };
            pair.bench.inject(0, failed);
        }
        pair.run(SECOND * 600);
        for (id, _) in ends(&mut pair.a) {
            prop_assert!(open.remove(&id));
        }
        prop_assert!(open.is_empty(), "never ended: {open:?}");
        events(&mut pair.b);
        prop_assert!(is_idle(&pair.a) && is_idle(&pair.b), "{:?} {:?}", pair.a.census(), pair.b.census());
    }
}

#[test]
fn a_stream_that_was_served_and_is_never_ended_by_its_peer_is_reset() {
    let mut wire = Wire::new(delimited());
    let (id, stream) = wire.ask("ping");
    wire.say(stream, b"\x04pong");
    wire.run(SECOND);
    assert_eq!(ends(&mut wire.machine), [(id, Ok("pong".into()))]);
    assert_eq!(wire.end_of(stream), None);
    wire.run(SECOND * 10);
    assert_eq!(wire.end_of(stream), Some(Closed::Reset));
    let stream = wire.open();
    wire.say(stream, b"\x04ping");
    wire.run(LATENCY * 4);
    let (id, _) = asked(&mut wire.machine)[0];
    wire.machine.respond(id, "pong".into()).unwrap();
    wire.run(SECOND * 11);
    assert_eq!(events(&mut wire.machine), [Event::ResponseSent { id }]);
    assert_eq!(wire.end_of(stream), Some(Closed::Reset));
    assert!(is_idle(&wire.machine));
    let _ = Item::End;
}
