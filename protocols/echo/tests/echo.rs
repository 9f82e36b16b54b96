//! What comes back, when, and what it costs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use core::time::Duration;
use libp2p_proto_core::{ProtocolName, StreamId};
use libp2p_proto_echo::Echo;
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_stream_protocol::{
    Closed, Context, Framing, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};

const NAME: ProtocolName = ProtocolName::from_static("/echo/1.0.0");
const SECOND: Duration = Duration::from_secs(1);

struct Scene {
    bench: Bench,
    echo: Echo,
    puppet: Puppet,
    stream: StreamId,
}

impl Scene {
    fn new() -> Self {
        let mut bench = Bench::new(1, 2, Duration::from_millis(5));
        let conn = bench.connect(0, 1);
        let mut echo = Echo::new(NAME);
        let mut puppet = Puppet::new(StreamSpec {
            send_capacity: 1 << 30,
            ..StreamSpec::new(NAME, Framing::Raw)
        });
        bench.run(&mut [&mut echo, &mut puppet], SECOND);
        let stream = bench
            .with(1, &puppet, |cx| cx.open(Target::Connection(conn), &[0]))
            .unwrap();
        bench.run(&mut [&mut echo, &mut puppet], SECOND);
        Self {
            bench,
            echo,
            puppet,
            stream,
        }
    }

    fn run(&mut self) {
        self.bench.run(&mut [&mut self.echo, &mut self.puppet], SECOND);
    }

    fn say(&mut self, bytes: Vec<u8>) {
        let stream = self.stream;
        self.bench
            .with(1, &self.puppet, |cx| cx.write(stream, bytes))
            .unwrap();
    }

    fn heard(&self) -> Vec<u8> {
        self.puppet.frames(self.stream).concat()
    }
}

#[test]
fn what_arrives_goes_back_and_the_end_follows_the_senders() {
    let mut scene = Scene::new();
    for text in ["one", "two", ""] {
        scene.say(text.into());
        scene.run();
    }
    assert_eq!(scene.heard(), b"onetwo");
    let (stream, finished) = (scene.stream, Input::Finished { stream: scene.stream });
    assert!(!scene.puppet.inputs.contains(&finished));
    scene.bench.with(1, &scene.puppet, |cx| cx.finish(stream));
    scene.run();
    let reason = Closed::Finished;
    assert!(scene.puppet.inputs.contains(&finished));
    assert!(scene.puppet.inputs.contains(&Input::Closed { stream, reason }));
}

#[test]
fn a_large_message_comes_back_whole_through_a_peer_that_stops_to_read() {
    let mut scene = Scene::new();
    let stream = scene.stream;
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    for block in bytes.chunks(50_000) {
        scene.say(block.into());
    }
    scene.bench.with(1, &scene.puppet, |cx| {
        cx.finish(stream);
        cx.pause(stream);
    });
    scene.run();
    let held = scene.heard().len();
    assert!(
        held <= 512 * 1024 + 50_000,
        "{held} bytes came back to a peer that does not read"
    );
    scene.bench.with(1, &scene.puppet, |cx| cx.resume(stream));
    for _ in 0..100 {
        scene.run();
    }
    assert_eq!(scene.heard(), bytes);
}

struct Life(Echo);

impl Protocol for Life {
    fn specs(&self) -> &[StreamSpec] {
        self.0.specs()
    }
    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        self.0.handle(cx, input);
    }
}

impl Subject for Life {}

#[test]
fn the_laws_hold() {
    Laws::of(|| Life(Echo::new(NAME)))
        .frame(b"hello")
        .frame(&[7; 1000])
        .hold();
}
