//! The echo and the dialer against odd peers, the vectors, and the laws.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Rng, StreamId};
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_ping::{Config, Event, Failure, NAME, Ping};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, Context, Framing, Input, Journal, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};
use serde_json::Value;
use std::fs;

const LATENCY: Duration = Duration::from_millis(25);
const SECOND: Duration = Duration::from_secs(1);

fn quiet() -> Config {
    Config {
        interval: None,
        ..Config::default()
    }
}

/// A ping at node 0, and a puppet at node 1 that speaks bytes.
struct Scene {
    bench: Bench,
    ping: Ping,
    puppet: Puppet,
    conn: ConnectionId,
}

impl Scene {
    fn new(config: Config) -> Self {
        let mut bench = Bench::new(1, 2, LATENCY);
        let conn = bench.connect(0, 1);
        let mut scene = Self {
            bench,
            ping: Ping::new(config).unwrap(),
            puppet: Puppet::new(StreamSpec {
                max_outbound: u16::MAX,
                send_capacity: 1 << 30,
                ..StreamSpec::new(NAME, Framing::Raw)
            }),
            conn,
        };
        scene.run(LATENCY * 4);
        scene
    }

    fn run(&mut self, time: Duration) {
        self.bench.run(&mut [&mut self.ping, &mut self.puppet], time);
    }

    fn open_on(&mut self, conn: ConnectionId) -> StreamId {
        let opened = self
            .bench
            .with(1, &self.puppet, |cx| cx.open(Target::Connection(conn), &[0]));
        self.run(LATENCY * 2);
        opened.unwrap()
    }

    fn open(&mut self) -> StreamId {
        self.open_on(self.conn)
    }

    fn say(&mut self, stream: StreamId, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.bench
            .with(1, &self.puppet, |cx| cx.write(stream, bytes))
            .unwrap();
        self.run(LATENCY * 2);
    }

    fn heard(&self, stream: StreamId) -> Vec<u8> {
        self.puppet.frames(stream).concat()
    }

    fn end_of(&self, stream: StreamId) -> Option<Closed> {
        self.puppet.inputs.iter().find_map(|input| match input {
            Input::Closed {
                stream: closed,
                reason,
            } if *closed == stream => Some(*reason),
            _ => None,
        })
    }

    fn saw_finish(&self, stream: StreamId) -> bool {
        self.puppet.inputs.contains(&Input::Finished { stream })
    }

    fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.ping.poll_event()).collect()
    }

    fn failures(&mut self) -> Vec<Failure> {
        self.events()
            .into_iter()
            .filter_map(|event| match event {
                Event::Failed { failure, .. } => Some(failure),
                Event::Pong { .. } => None,
                _ => panic!("another event"),
            })
            .collect()
    }
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn every_vector_of_the_echo_holds() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/vectors/ping/echo.json"
    );
    let vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(vectors.len() >= 6);
    for vector in vectors {
        let mut scene = Scene::new(quiet());
        let stream = scene.open();
        let (mut heard, what) = (0, &vector["name"]);
        for step in vector["steps"].as_array().unwrap() {
            if step["input"].is_string() {
                scene.say(stream, &unhex(&step["input"]));
            } else if step["output"].is_string() {
                let all = scene.heard(stream);
                assert_eq!(all[heard..], unhex(&step["output"]), "{what}");
                heard = all.len();
            } else if step["finish"] == "theirs" {
                scene.bench.with(1, &scene.puppet, |cx| cx.finish(stream));
                scene.run(LATENCY * 4);
            } else if step["end"].is_string() {
                let end = match step["end"].as_str().unwrap() {
                    "finished" => Closed::Finished,
                    _ => Closed::Reset,
                };
                assert_eq!(scene.end_of(stream), Some(end), "{what}");
            } else {
                panic!("no such step: {step}");
            }
        }
    }
}

// covers: CON-074
#[test]
fn the_time_runs_until_the_same_32_bytes_are_back() {
    let mut scene = Scene::new(quiet());
    let peer = scene.bench.peer(1);
    let run = scene.ping.ping(peer, 3).unwrap();
    scene.run(LATENCY * 4);
    let stream = scene.puppet.opened()[0];
    let block = |scene: &Scene, round: usize| scene.heard(stream)[round * 32..].to_vec();
    let first = block(&scene, 0);
    assert_eq!(first.len(), 32);
    // Any split of the answer is one. `say` lets the answer arrive, and the next block too.
    scene
        .bench
        .with(1, &scene.puppet, |cx| cx.write(stream, first[..5].to_vec()))
        .unwrap();
    scene.say(stream, &first[5..]);
    let second = block(&scene, 1);
    scene.say(stream, &second);
    let rtts: Vec<_> = scene
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Pong { rtt, run: of, .. } if of == Some(run) => rtt,
            other => panic!("{other:?}"),
        })
        .collect();
    // The first round has waited for the agreement on its name; the second is one round trip.
    assert_eq!(rtts[1], Duration::from_millis(50));
    assert!(rtts[0] > rtts[1] && rtts.len() == 2);
    let mut third = block(&scene, 2);
    assert_ne!((&first, &second), (&second, &third), "every block is drawn anew");
    third[31] ^= 1;
    scene.say(stream, &third);
    assert_eq!(scene.failures(), [Failure::Mismatch]);
}

// covers: CON-075, CON-078
#[test]
fn rounds_share_a_stream_and_the_dialer_ends_its_side_behind_the_last() {
    let mut scene = Scene::new(quiet());
    let peer = scene.bench.peer(1);
    scene.ping.ping(peer, 3).unwrap();
    scene.run(LATENCY * 4);
    let stream = scene.puppet.opened()[0];
    for round in 1..=3 {
        assert!(!scene.saw_finish(stream), "before the end of round {round}");
        let heard = scene.heard(stream);
        assert_eq!(heard.len(), round * 32);
        scene.say(stream, &heard[(round - 1) * 32..]);
    }
    assert_eq!(scene.puppet.opened().len(), 1);
    assert!(scene.saw_finish(stream));

    let stream = scene.open();
    for round in 1..=3 {
        scene.say(stream, &[round; 32]);
        assert_eq!(scene.heard(stream).len(), usize::from(round) * 32);
    }
    assert!(!scene.saw_finish(stream));
    scene.bench.with(1, &scene.puppet, |cx| cx.finish(stream));
    scene.run(LATENCY * 4);
    assert_eq!(scene.end_of(stream), Some(Closed::Finished));
}

// covers: CON-076
#[test]
fn a_peer_has_one_outbound_ping_stream_at_most_also_over_two_connections() {
    let mut scene = Scene::new(Config::default());
    scene.bench.connect(0, 1);
    let peer = scene.bench.peer(1);
    for _ in 0..5 {
        scene.ping.ping(peer, 2).unwrap();
    }
    scene.run(SECOND * 9);
    assert_eq!(scene.puppet.opened().len(), 1, "the others wait");
}

// covers: CON-077
#[test]
fn a_peer_has_two_inbound_ping_streams_at_most_also_over_two_connections() {
    let mut scene = Scene::new(quiet());
    let second = scene.bench.connect(0, 1);
    scene.run(LATENCY * 4);
    let streams = [scene.open(), scene.open_on(second), scene.open()];
    for stream in &streams[..2] {
        scene.say(*stream, &[7; 32]);
        assert_eq!(scene.heard(*stream), [7; 32]);
    }
    assert_eq!(scene.end_of(streams[2]), Some(Closed::Reset));
    // When one of the two has ended there is room again.
    scene.bench.with(1, &scene.puppet, |cx| cx.finish(streams[0]));
    scene.run(LATENCY * 4);
    let stream = scene.open();
    scene.say(stream, &[8; 32]);
    assert_eq!(scene.heard(stream), [8; 32]);
}

// covers: CON-079
#[test]
fn blocks_are_echoed_whole_in_any_split_and_never_more_than_came() {
    let bytes: Vec<u8> = (0..96).collect();
    for step in [1, 5, 31, 32, 33, 64, 96] {
        let mut scene = Scene::new(quiet());
        let stream = scene.open();
        for (count, piece) in bytes.chunks(step).enumerate() {
            scene.say(stream, piece);
            let sent = ((count + 1) * step).min(96);
            assert_eq!(
                scene.heard(stream),
                bytes[..sent / 32 * 32],
                "{sent} bytes in pieces of {step}"
            );
        }
    }
}

// covers: CON-080
#[test]
fn a_listener_that_ends_its_streams_is_no_failure() {
    // It ends each stream 30 s after it was opened, as go does, and says so with a finish or a reset.
    let mut scene = Scene::new(quiet());
    let peer = scene.bench.peer(1);
    scene.ping.ping(peer, 20).unwrap();
    let mut answered = 0;
    for round in 0..20 {
        scene.run(LATENCY * 4);
        let stream = *scene.puppet.opened().last().unwrap();
        let heard = scene.heard(stream);
        if round % 4 == 3 {
            // Between two rounds: the block that has come is not answered.
            scene.bench.with(1, &scene.puppet, |cx| {
                if round % 8 == 3 {
                    cx.finish(stream);
                } else {
                    cx.reset(stream);
                }
            });
            continue;
        }
        scene.say(stream, &heard[heard.len() - 32..]);
        answered += 1;
    }
    scene.run(SECOND);
    let events = scene.events();
    assert!(
        events.iter().all(|event| matches!(event, Event::Pong { .. })),
        "{events:?}"
    );
    assert_eq!(events.len(), answered);
}

// covers: CON-082
#[test]
fn a_flood_closes_the_window_and_then_the_stream() {
    // A fast pinger is slowed down to ten rounds a second by a window that stays closed.
    let mut scene = Scene::new(quiet());
    let stream = scene.open();
    let began = scene.bench.now();
    for _ in 0..40 {
        scene
            .bench
            .with(1, &scene.puppet, |cx| cx.write(stream, vec![1; 32]))
            .unwrap();
    }
    scene.run(SECOND);
    let seconds = scene.bench.now().since(began).as_secs_f64();
    let rounds = scene.heard(stream).len() / 32;
    assert!(rounds <= 20 + 11, "{rounds} rounds in {seconds} s");
    // Ten megabytes: what is held never exceeds 1 KiB, so the stream ends.
    let mut scene = Scene::new(quiet());
    let stream = scene.open();
    for _ in 0..10 {
        scene
            .bench
            .with(1, &scene.puppet, |cx| cx.write(stream, vec![1; 1 << 20]))
            .unwrap();
    }
    scene.run(SECOND * 5);
    assert_eq!(scene.end_of(stream), Some(Closed::Reset));
    assert!(scene.heard(stream).len() <= 1024 + 20 * 32);
}

#[test]
fn vul_179_floods_and_odd_payloads_are_bounded_and_cost_nobody_else() {
    // Streams without end.
    let mut scene = Scene::new(quiet());
    let conn = scene.conn;
    for _ in 0..200 {
        for _ in 0..500 {
            let open = scene
                .bench
                .with(1, &scene.puppet, |cx| cx.open(Target::Connection(conn), &[0]));
            assert!(open.is_ok());
        }
        scene.run(LATENCY * 4);
        assert!(scene.bench.open_streams(0) <= 2);
        scene.puppet.inputs.clear();
    }
    // Payloads of any size: what is no whole block is not echoed.
    for size in [0, 31, 33, 64, 95] {
        let mut scene = Scene::new(quiet());
        let stream = scene.open();
        scene.say(stream, &vec![3; size]);
        assert_eq!(scene.heard(stream).len(), size / 32 * 32);
    }
    // A mebibyte at once: the burst is echoed, and then it is too much.
    let mut scene = Scene::new(quiet());
    let stream = scene.open();
    scene.say(stream, &vec![3; 1 << 20]);
    assert_eq!(scene.end_of(stream), Some(Closed::Reset));
    assert_eq!(scene.heard(stream).len(), 20 * 32);
    let mut scene = Scene::new(quiet());
    let stream = scene.open();
    for byte in [9; 32] {
        scene.say(stream, &[byte]);
    }
    assert_eq!(scene.heard(stream), [9; 32]);
    // Two streams at once, each its own bytes.
    let (one, two) = (stream, scene.open());
    scene.say(one, &[1; 32]);
    scene.say(two, &[2; 32]);
    assert_eq!(
        (&scene.heard(one)[32..], &scene.heard(two)[..]),
        (&[1; 32][..], &[2; 32][..])
    );
    // An echo before there is anything to echo, and one behind the last.
    let peer = scene.bench.peer(1);
    scene.ping.ping(peer, 1).unwrap();
    scene.run(LATENCY);
    let ours = *scene.puppet.opened().last().unwrap();
    scene.say(ours, &[0; 64]);
    assert_eq!(scene.failures(), [Failure::Mismatch]);
}

#[test]
fn an_unanswered_command_times_out_and_the_connection_stays() {
    let mut scene = Scene::new(quiet());
    let peer = scene.bench.peer(1);
    scene.ping.ping(peer, 1).unwrap();
    scene.run(SECOND * 11);
    assert_eq!(scene.failures(), [Failure::TimedOut]);
    scene.ping.ping(peer, 1).unwrap();
    scene.run(LATENCY);
    let conn = scene.conn;
    scene.bench.disconnect(conn);
    scene.run(SECOND);
    assert_eq!(scene.failures(), [Failure::ConnectionLost]);
    scene.ping.ping(peer, 1).unwrap();
    scene.run(SECOND);
    assert_eq!(scene.failures(), [Failure::NotConnected]);
}

#[test]
fn a_stream_that_ends_twice_before_its_echo_is_a_failure() {
    let mut scene = Scene::new(quiet());
    let peer = scene.bench.peer(1);
    scene.ping.ping(peer, 1).unwrap();
    for _ in 0..2 {
        scene.run(LATENCY * 2);
        let stream = *scene.puppet.opened().last().unwrap();
        scene.bench.with(1, &scene.puppet, |cx| cx.reset(stream));
    }
    scene.run(SECOND);
    assert_eq!(scene.failures(), [Failure::StreamClosed]);
}

struct Life(Ping);

impl Protocol for Life {
    fn specs(&self) -> &[StreamSpec] {
        self.0.specs()
    }
    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        self.0.handle(cx, input);
    }
    fn poll_timeout(&self) -> Option<libp2p_proto_core::Deadline> {
        self.0.poll_timeout()
    }
    fn journal(&mut self) -> Option<&mut Journal> {
        self.0.journal()
    }
    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.0.repeat(command)
    }
}

impl Subject for Life {
    fn poll_event(&mut self) -> Option<String> {
        self.0.poll_event().map(|event| format!("{event:?}"))
    }
    fn command(&mut self, _: &mut Context<'_>, dice: &mut Rng) {
        let peer =
            libp2p_proto_core::PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", 1 + dice.below(4)));
        let _full_is_fine = self.0.ping(peer, 1 + u32::try_from(dice.below(4)).unwrap());
    }
}

#[test]
fn the_laws_hold() {
    let life = || Life(Ping::new(Config::default()).unwrap());
    Laws::of(life).frame(&[7; 32]).hold();
}
