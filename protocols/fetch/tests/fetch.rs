//! Both roles, ends, limits; and with them the helper `Exchanges` that fetch stands on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Rng, StreamId, bytes::Bytes};
use libp2p_proto_fetch::{Answer, Fetch, NAME};
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, Context, Framing, Input, Journal, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};

const LATENCY: Duration = Duration::from_millis(5);
const SECOND: Duration = Duration::from_secs(1);

fn lookup(key: &str) -> Option<Bytes> {
    key.strip_prefix("k/")
        .map(|rest| format!("value of {rest}").into())
}

/// A fetch at node 0, and a puppet at node 1 that speaks frames.
struct Scene {
    bench: Bench,
    fetch: Fetch,
    puppet: Puppet,
    conn: ConnectionId,
}

impl Scene {
    fn new() -> Self {
        let mut bench = Bench::new(1, 2, LATENCY);
        let conn = bench.connect(0, 1);
        let framing = Framing::LengthDelimited { max: 4 << 20 };
        let spec = StreamSpec {
            max_outbound: 100,
            max_inbound: 100,
            ..StreamSpec::new(NAME, framing)
        };
        let mut scene = Self {
            bench,
            fetch: Fetch::new(lookup),
            puppet: Puppet::new(spec),
            conn,
        };
        scene.run(SECOND);
        scene
    }

    fn run(&mut self, time: Duration) {
        self.bench.run(&mut [&mut self.fetch, &mut self.puppet], time);
    }

    fn ask(&mut self) -> StreamId {
        self.fetch.fetch(self.bench.peer(1), "key").unwrap();
        self.run(LATENCY * 4);
        *self.puppet.opened().last().unwrap()
    }

    fn open(&mut self) -> StreamId {
        let target = Target::Connection(self.conn);
        let opened = self.bench.with(1, &self.puppet, |cx| cx.open(target, &[0]));
        self.run(LATENCY * 4);
        opened.unwrap()
    }

    fn say(&mut self, stream: StreamId, frame: &[u8]) {
        let frame = Bytes::copy_from_slice(frame);
        self.bench
            .with(1, &self.puppet, |cx| cx.write(stream, frame))
            .unwrap();
        self.run(LATENCY * 4);
    }

    /// The puppet answers a question, and ends.
    fn answer(&mut self, stream: StreamId, frame: &[u8]) {
        self.say(stream, frame);
        self.bench.with(1, &self.puppet, |cx| cx.finish(stream));
        self.run(LATENCY * 4);
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

    fn answers(&mut self) -> Vec<Answer> {
        core::iter::from_fn(|| self.fetch.poll_event())
            .map(|(_, answer)| answer)
            .collect()
    }
}

#[test]
fn a_value_that_is_there_comes_and_one_that_is_not_is_not_found() {
    let mut bench = Bench::new(1, 2, LATENCY);
    let (mut a, mut b) = (Fetch::new(|_| None), Fetch::new(lookup));
    bench.connect(0, 1);
    for key in ["k/one", "other", "k/", "k/Ünicode"] {
        a.fetch(bench.peer(1), key).unwrap();
    }
    bench.run(&mut [&mut a, &mut b], SECOND);
    let answers: Vec<_> = core::iter::from_fn(|| a.poll_event()).collect();
    let value = |text: &'static str| Answer::Value(text.into());
    let wanted = [
        value("value of one"),
        Answer::NotFound,
        value("value of "),
        value("value of Ünicode"),
    ];
    assert_eq!(answers, wanted.map(|answer| (bench.peer(1), answer)));
    assert_eq!((bench.open_streams(0), bench.open_streams(1)), (0, 0));
}

#[test]
fn the_messages_are_those_of_the_specification() {
    let mut scene = Scene::new();
    let stream = scene.ask();
    assert_eq!(scene.puppet.frames(stream), [b"\x0a\x03key".as_slice()]);
    scene.answer(stream, b"\x08\x00\x12\x02ok");
    let stream = scene.ask();
    scene.answer(stream, b"\x08\x01");
    let stream = scene.ask();
    scene.answer(stream, b"\x08\x02\x12\x03why");
    let stream = scene.ask();
    scene.answer(stream, b"");
    let wanted = [
        Answer::Value("ok".into()),
        Answer::NotFound,
        Answer::Error(2),
        Answer::Value(Bytes::new()),
    ];
    assert_eq!(scene.answers(), wanted);

    let stream = scene.open();
    scene.say(stream, b"\x0a\x05k/one");
    assert_eq!(scene.puppet.frames(stream), [b"\x12\x0cvalue of one".as_slice()]);
    let stream = scene.open();
    scene.say(stream, b"\x0a\x01x");
    assert_eq!(scene.puppet.frames(stream), [b"\x08\x01".as_slice()]);
    for bad in [&b"\x0a\x05k"[..], b"\xff", b"\x0a\x01\xff"] {
        let stream = scene.open();
        scene.say(stream, bad);
        assert_eq!(scene.end_of(stream), Some(Closed::Reset));
    }
}

#[test]
fn every_question_ends_once_and_says_why() {
    type Cause = fn(&mut Scene, StreamId) -> Closed;
    let causes: [Cause; 6] = [
        |scene, stream| {
            scene.say(stream, b"\xff");
            Closed::Malformed
        },
        |scene, stream| {
            scene.bench.with(1, &scene.puppet, |cx| cx.finish(stream));
            Closed::UnexpectedEnd
        },
        |scene, stream| {
            scene.bench.with(1, &scene.puppet, |cx| cx.reset(stream));
            Closed::Reset
        },
        |scene, stream| {
            scene.say(stream, &vec![0; 384 * 1024 + 1]);
            Closed::FrameTooLarge
        },
        |scene, _| {
            scene.run(SECOND * 10);
            Closed::TimedOut
        },
        |scene, _| {
            scene.bench.disconnect(scene.conn);
            Closed::ConnectionLost
        },
    ];
    for cause in causes {
        let mut scene = Scene::new();
        let stream = scene.ask();
        let reason = cause(&mut scene, stream);
        scene.run(SECOND);
        assert_eq!(scene.answers(), [Answer::Failed(reason)]);
        scene.run(SECOND * 30);
        assert_eq!(scene.answers(), []);
        assert_eq!(scene.bench.open_streams(0), 0);
    }
    let mut scene = Scene::new();
    let stranger = Bench::new(1, 9, LATENCY).peer(8);
    scene.fetch.fetch(stranger, "key").unwrap();
    scene.run(SECOND);
    assert_eq!(scene.answers(), [Answer::Failed(Closed::ConnectionLost)]);
}

#[test]
fn silent_streams_and_streams_that_never_end_are_reset_in_time() {
    let mut scene = Scene::new();
    let silent = scene.open();
    let served = scene.open();
    scene.say(served, b"\x0a\x05k/one");
    let asked = scene.ask();
    scene.say(asked, b"\x12\x01x");
    assert_eq!(scene.answers(), [Answer::Value("x".into())]);
    scene.run(SECOND * 11);
    for stream in [silent, served, asked] {
        assert_eq!(scene.end_of(stream), Some(Closed::Reset));
    }
    // More than was asked for is an end, not a second answer.
    let twice = scene.ask();
    scene.say(twice, b"\x12\x01x");
    scene.say(twice, b"\x12\x01y");
    assert_eq!(scene.answers(), [Answer::Value("x".into())]);
    assert_eq!(scene.end_of(twice), Some(Closed::Reset));
}

#[test]
fn at_most_256_questions_are_open_or_unread() {
    let mut scene = Scene::new();
    let peer = scene.bench.peer(1);
    for _ in 0..256 {
        scene.fetch.fetch(peer, "key").unwrap();
    }
    assert_eq!(scene.fetch.fetch(peer, "key"), Err(Closed::Limit));
    scene.run(SECOND * 30);
    assert_eq!(
        scene.fetch.fetch(peer, "key"),
        Err(Closed::Limit),
        "none was read"
    );
    let answers = scene.answers();
    assert_eq!(answers, vec![Answer::Failed(Closed::TimedOut); 256]);
    scene.fetch.fetch(peer, "key").unwrap();
}

#[test]
fn two_questions_at_once_go_to_a_peer_and_the_others_wait_for_their_turn() {
    let mut bench = Bench::new(1, 3, LATENCY);
    let (mut a, mut b, mut c) = (Fetch::new(|_| None), Fetch::new(lookup), Fetch::new(lookup));
    bench.connect(0, 1);
    bench.connect(0, 2);
    let names: Vec<String> = (0..60).map(|number| format!("k/{number}")).collect();
    for name in &names {
        a.fetch(bench.peer(1), name).unwrap();
        a.fetch(bench.peer(2), name).unwrap();
    }
    let mut most = 0;
    for _ in 0..1000 {
        bench.run(&mut [&mut a, &mut b, &mut c], LATENCY / 2);
        most = most.max(bench.open_streams(0));
    }
    assert_eq!((most, bench.open_streams(0)), (4, 0));
    let answers: Vec<_> = core::iter::from_fn(|| a.poll_event()).collect();
    for place in [1, 2] {
        let got: Vec<_> = answers
            .iter()
            .filter(|(peer, _)| *peer == bench.peer(place))
            .map(|(_, answer)| answer.clone())
            .collect();
        let value = |name: &String| Answer::Value(lookup(name).unwrap());
        assert_eq!(got, names.iter().map(value).collect::<Vec<_>>());
    }
}

#[test]
fn questions_that_wait_end_with_the_connection_and_with_a_peer_that_lets_one_time_out() {
    let mut scene = Scene::new();
    let peer = scene.bench.peer(1);
    for _ in 0..20 {
        scene.fetch.fetch(peer, "key").unwrap();
    }
    scene.run(SECOND);
    assert_eq!((scene.puppet.opened().len(), scene.answers().len()), (2, 0));
    // A stream that the peer resets makes room for the next question.
    let first = scene.puppet.opened()[0];
    scene.bench.with(1, &scene.puppet, |cx| cx.reset(first));
    scene.run(SECOND);
    assert_eq!(scene.puppet.opened().len(), 3);
    assert_eq!(scene.answers(), [Answer::Failed(Closed::Reset)]);
    scene.bench.disconnect(scene.conn);
    scene.run(SECOND);
    assert_eq!(scene.answers(), vec![Answer::Failed(Closed::ConnectionLost); 19]);

    let mut scene = Scene::new();
    for _ in 0..20 {
        scene.fetch.fetch(peer, "key").unwrap();
    }
    scene.run(SECOND * 9);
    assert_eq!(scene.answers(), []);
    scene.run(SECOND * 2);
    assert_eq!(scene.answers(), vec![Answer::Failed(Closed::TimedOut); 20]);
    scene.fetch.fetch(peer, "key").unwrap();
    scene.run(SECOND);
    assert_eq!(scene.puppet.opened().len(), 3, "its streams are free again");
}

struct Life(Fetch);

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
        let _full_is_fine = self.0.fetch(peer, "k/one");
    }
}

#[test]
fn the_laws_hold() {
    let laws = Laws::of(|| Life(Fetch::new(lookup)));
    laws.frame(b"\x0a\x05k/one").frame(b"\x12\x01x").hold();
}
