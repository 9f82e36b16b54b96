//! Both roles, limits, vectors, laws.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use allocation_counter::measure;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Rng, StreamId};
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_perf::{Config, Error, Event, Failure, NAME, Perf};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, Context, Framing, Input, Journal, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};
use serde_json::Value;
use std::fs;

const LATENCY: Duration = Duration::from_millis(5);
const SECOND: Duration = Duration::from_secs(1);

fn serving() -> Config {
    Config {
        serve: true,
        ..Config::default()
    }
}

/// A perf at node 0, and a puppet at node 1 that speaks bytes.
struct Scene {
    bench: Bench,
    perf: Perf,
    puppet: Puppet,
    conn: ConnectionId,
}

impl Scene {
    fn new(config: Config) -> Self {
        let mut bench = Bench::new(1, 2, LATENCY);
        let conn = bench.connect(0, 1);
        let mut scene = Self {
            bench,
            perf: Perf::new(config).unwrap(),
            puppet: Puppet::new(StreamSpec {
                send_capacity: 1 << 30,
                ..StreamSpec::new(NAME, Framing::Raw)
            }),
            conn,
        };
        scene.run(LATENCY * 4);
        scene
    }

    fn run(&mut self, time: Duration) {
        self.bench.run(&mut [&mut self.perf, &mut self.puppet], time);
    }

    fn open(&mut self) -> StreamId {
        let conn = self.conn;
        let opened = self
            .bench
            .with(1, &self.puppet, |cx| cx.open(Target::Connection(conn), &[0]));
        self.run(LATENCY * 4);
        opened.unwrap()
    }

    fn say(&mut self, stream: StreamId, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.bench
            .with(1, &self.puppet, |cx| cx.write(stream, bytes))
            .unwrap();
        self.run(LATENCY * 4);
    }

    fn finish(&mut self, stream: StreamId) {
        self.bench.with(1, &self.puppet, |cx| cx.finish(stream));
        self.run(LATENCY * 4);
    }

    /// Asks the puppet; answers the stream.
    fn ask(&mut self, up: u64, down: u64) -> StreamId {
        self.perf.run(self.bench.peer(1), up, down).unwrap();
        self.run(LATENCY * 4);
        *self.puppet.opened().last().unwrap()
    }

    fn heard(&self, stream: StreamId) -> Vec<u8> {
        self.puppet.frames(stream).concat()
    }

    fn saw_finish(&self, stream: StreamId) -> bool {
        self.puppet.inputs.contains(&Input::Finished { stream })
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

    /// Ends of transfers, without progress.
    fn ends(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.perf.poll_event())
            .filter(|event| !matches!(event, Event::Progress { .. }))
            .collect()
    }

    fn failures(&mut self) -> Vec<Failure> {
        self.ends()
            .into_iter()
            .map(|event| match event {
                Event::Failed { failure, .. } => failure,
                other => panic!("{other:?}"),
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
fn every_vector_of_the_server_holds() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/vectors/perf/server.json"
    );
    let vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for vector in vectors {
        for step in [usize::MAX, 1, 3] {
            let mut scene = Scene::new(serving());
            let stream = scene.open();
            let input = unhex(&vector["input"]);
            for piece in input.chunks(step.min(input.len().max(1))) {
                scene.say(stream, piece);
            }
            assert_eq!(
                scene.heard(stream).len(),
                0,
                "nothing before the end of the upload"
            );
            scene.finish(stream);
            scene.run(SECOND * 60);
            let what = &vector["name"];
            match vector["sends"].as_u64() {
                Some(bytes) => {
                    assert_eq!(scene.heard(stream).len() as u64, bytes, "{what}");
                    assert_eq!(scene.end_of(stream), Some(Closed::Finished), "{what}");
                }
                None => assert_eq!(scene.end_of(stream), Some(Closed::Reset), "{what}"),
            }
        }
    }
}

// covers: CON-107
#[test]
fn perf_is_not_served_by_default() {
    let mut bench = Bench::new(1, 2, LATENCY);
    let (mut a, mut b) = (
        Perf::new(Config::default()).unwrap(),
        Perf::new(Config::default()).unwrap(),
    );
    bench.connect(0, 1);
    a.run(bench.peer(1), 10, 10).unwrap();
    bench.run(&mut [&mut a, &mut b], SECOND);
    let Some(Event::Failed { failure, .. }) = a.poll_event() else {
        panic!("no failure")
    };
    assert_eq!(failure, Failure::Unsupported);
    let names = bench.with(1, &b, |cx| cx.local_protocols(None));
    assert_eq!(names, [], "and not announced");
}

// covers: CON-108, CON-111
#[test]
fn a_client_sends_size_upload_and_end_and_reads_exactly_what_it_asked_for() {
    let mut scene = Scene::new(Config::default());
    let stream = scene.ask(100_000, 1 << 20);
    scene.run(SECOND);
    assert_eq!(
        scene.puppet.frames(stream)[0][..],
        [0, 0, 0, 0, 0, 0x10, 0, 0],
        "one chunk of its own"
    );
    assert_eq!(scene.heard(stream).len(), 8 + 100_000);
    assert!(scene.saw_finish(stream));
    scene.say(stream, &vec![1; (1 << 20) - 1]);
    assert_eq!(scene.ends(), []);
    scene.say(stream, &[1]);
    assert_eq!(scene.ends(), []);
    scene.finish(stream);
    let ends = scene.ends();
    assert!(
        matches!(
            &ends[..],
            [Event::Done {
                up: 100_000,
                down: 1_048_576,
                ..
            }]
        ),
        "{ends:?}"
    );

    for sent in [9, 11] {
        let stream = scene.ask(0, 10);
        scene.say(stream, &vec![1; sent]);
        scene.finish(stream);
        assert_eq!(scene.failures(), [Failure::WrongCount], "{sent} bytes for 10");
    }
}

// covers: CON-109
#[test]
fn a_server_sends_nothing_before_the_upload_has_ended() {
    let mut scene = Scene::new(serving());
    let stream = scene.open();
    scene.say(stream, &[0, 0, 0, 0, 0, 0, 0, 5]);
    scene.say(stream, &vec![7; 100_000]);
    scene.run(SECOND * 10);
    assert_eq!(scene.heard(stream), [0; 0]);
    scene.finish(stream);
    assert_eq!(scene.heard(stream).len(), 5);
    assert_eq!(scene.end_of(stream), Some(Closed::Finished));
}

// covers: CON-110
#[test]
fn sizes_of_zero_and_of_the_largest_number_are_valid() {
    let mut bench = Bench::new(1, 2, LATENCY);
    let config = Config {
        timeout: SECOND / 4,
        ..serving()
    };
    let (mut a, mut b) = (Perf::new(config).unwrap(), Perf::new(serving()).unwrap());
    bench.connect(0, 1);
    a.run(bench.peer(1), 0, 0).unwrap();
    bench.run(&mut [&mut a, &mut b], SECOND);
    let done = core::iter::from_fn(|| a.poll_event()).last();
    assert!(matches!(done, Some(Event::Done { up: 0, down: 0, .. })));
    for (up, down) in [(0, u64::MAX), (u64::MAX, 0)] {
        a.run(bench.peer(1), up, down).unwrap();
        bench.run(&mut [&mut a, &mut b], SECOND);
        let last = core::iter::from_fn(|| a.poll_event()).last();
        assert!(
            matches!(
                last,
                Some(Event::Failed {
                    failure: Failure::TimedOut,
                    ..
                })
            ),
            "{last:?}"
        );
        bench.run(&mut [&mut a, &mut b], SECOND);
        assert_eq!((bench.open_streams(0), bench.open_streams(1)), (0, 0));
    }
}

// covers: CON-112
#[test]
fn a_server_has_one_stream_for_each_connection_and_caps_of_bytes_and_time() {
    let mut scene = Scene::new(Config {
        max_bytes: 1000,
        timeout: SECOND * 300,
        ..serving()
    });
    let first = scene.open();
    let second = scene.open();
    assert_eq!(scene.end_of(second), Some(Closed::Reset));
    scene.run(SECOND * 299);
    assert_eq!(scene.end_of(first), None);
    scene.run(SECOND);
    assert_eq!(scene.end_of(first), Some(Closed::Reset), "after five minutes");
    for (request, upload) in [(1001, 0), (1, 1001)] {
        let stream = scene.open();
        let conn = u64::to_be_bytes(request);
        scene.say(stream, &[&conn[..], &vec![0; upload]].concat());
        assert_eq!(scene.end_of(stream), Some(Closed::Reset));
    }
    let stream = scene.open();
    scene.say(stream, &[&u64::to_be_bytes(1000)[..], &[0; 1000]].concat());
    scene.finish(stream);
    assert_eq!(scene.heard(stream).len(), 1000);
}

// covers: CON-112
#[test]
fn a_request_for_the_largest_number_costs_constant_memory() {
    let mut scene = Scene::new(serving());
    let stream = scene.open();
    scene.say(stream, &u64::MAX.to_be_bytes());
    scene.bench.with(1, &scene.puppet, |cx| cx.pause(stream));
    let mut costs = Vec::new();
    scene.finish(stream);
    for _ in 0..3 {
        let cost = measure(|| {
            scene.run(SECOND);
            scene.bench.with(1, &scene.puppet, |cx| {
                cx.resume(stream);
                cx.pause(stream);
            });
            scene.run(SECOND);
            scene.puppet.inputs.clear();
        });
        costs.push(cost.bytes_max);
    }
    assert!(costs.iter().all(|bytes| *bytes < 1 << 20), "{costs:?}");
}

#[test]
fn a_second_transfer_to_a_busy_peer_fails_and_too_many_are_refused() {
    let mut scene = Scene::new(Config {
        max_runs: 2,
        ..Config::default()
    });
    let peer = scene.bench.peer(1);
    scene.ask(0, 10);
    scene.perf.run(peer, 0, 10).unwrap();
    assert_eq!(scene.perf.run(peer, 0, 10), Err(Error::TooManyRuns));
    scene.run(SECOND);
    assert_eq!(scene.failures(), [Failure::Busy]);
    let conn = scene.conn;
    scene.bench.disconnect(conn);
    scene.run(SECOND);
    assert_eq!(scene.failures(), [Failure::ConnectionLost]);
    scene.perf.run(peer, 0, 10).unwrap();
    scene.run(SECOND);
    assert_eq!(scene.failures(), [Failure::NotConnected]);
    let small = Config {
        send_capacity: 65_535,
        ..Config::default()
    };
    assert_eq!(Perf::new(small).err(), Some(Error::BadConfig("send_capacity")));
}

#[test]
fn an_application_that_reads_nothing_still_gets_every_end() {
    let mut scene = Scene::new(Config {
        max_events: 20,
        max_runs: 16,
        progress: Duration::ZERO,
        ..Config::default()
    });
    let mut asked = 0;
    for _ in 0..40 {
        if scene.perf.run(scene.bench.peer(1), 10, 0).is_ok() {
            asked += 1;
            scene.run(LATENCY * 4);
            let stream = *scene.puppet.opened().last().unwrap();
            scene.finish(stream);
        }
    }
    assert_eq!(scene.ends().len(), asked);
    assert!(asked >= 5, "{asked} transfers");
}

struct Life(Perf);

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
        let _full_is_fine = self.0.run(peer, dice.below(1 << 20), dice.below(1 << 20));
    }
}

#[test]
fn the_laws_hold() {
    let life = || Life(Perf::new(serving()).unwrap());
    Laws::of(life)
        .frame(&1000_u64.to_be_bytes())
        .frame(&[0; 100])
        .hold();
}
