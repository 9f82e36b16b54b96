//! Opens, accepts, bytes both ways, half-close, back-pressure, limits.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, ProtocolName, Rng, StreamId};
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, Context, Input, Journal, OpenError, Protocol, StreamSpec, bench::Bench,
};
use libp2p_proto_streams::{Config, Error, Event, Streams};
use proptest::prelude::*;

const NAME: ProtocolName = ProtocolName::from_static("/chat/1");
const OTHER: ProtocolName = ProtocolName::from_static("/other/1");
const LATENCY: Duration = Duration::from_millis(5);
const SECOND: Duration = Duration::from_secs(1);

struct Pair {
    bench: Bench,
    a: Streams,
    b: Streams,
    conn: ConnectionId,
}

impl Pair {
    fn new() -> Self {
        Self::with(Config::default(), Config::default())
    }

    fn with(a: Config, b: Config) -> Self {
        let mut bench = Bench::new(1, 2, LATENCY);
        let conn = bench.connect(0, 1);
        Self {
            bench,
            a: Streams::new(&[NAME], a).unwrap(),
            b: Streams::new(&[NAME], b).unwrap(),
            conn,
        }
    }

    fn run(&mut self) {
        self.bench.run(&mut [&mut self.a, &mut self.b], SECOND);
    }

    /// A stream that `a` opened: its names at both ends.
    fn open(&mut self) -> (StreamId, StreamId) {
        self.a.open(self.bench.peer(1), &NAME).unwrap();
        self.run();
        let ours = events(&mut self.a).into_iter().find_map(|event| match event {
            Event::Opened { stream, .. } => Some(stream),
            _ => None,
        });
        let theirs = events(&mut self.b).into_iter().find_map(|event| match event {
            Event::Incoming { stream, .. } => Some(stream),
            _ => None,
        });
        (ours.unwrap(), theirs.unwrap())
    }
}

fn events(streams: &mut Streams) -> Vec<Event> {
    core::iter::from_fn(|| streams.poll_event()).collect()
}

fn read_all(streams: &mut Streams, stream: StreamId) -> Vec<u8> {
    core::iter::from_fn(|| streams.read(stream))
        .collect::<Vec<_>>()
        .concat()
}

#[test]
fn a_stream_carries_bytes_both_ways_and_each_side_ends_on_its_own() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.open();
    pair.a.write(ours, "ping".into()).unwrap();
    pair.a.finish(ours);
    assert_eq!(pair.a.write(ours, "more".into()), Err(Error::Finished));
    pair.run();
    assert_eq!(events(&mut pair.b), [Event::Readable { stream: theirs }]);
    assert!(!pair.b.is_finished(theirs), "something is left to read");
    assert_eq!(read_all(&mut pair.b, theirs), b"ping");
    assert!(pair.b.is_finished(theirs));
    // The other side still writes.
    pair.b.write(theirs, "pong".into()).unwrap();
    pair.run();
    assert_eq!(read_all(&mut pair.a, ours), b"pong");
    assert!(!pair.a.is_finished(ours));
    pair.b.finish(theirs);
    pair.run();
    let closed = |stream| Event::Closed {
        stream,
        reason: Closed::Finished,
    };
    assert!(events(&mut pair.a).contains(&closed(ours)));
    assert!(events(&mut pair.b).contains(&closed(theirs)));
    assert!(pair.a.is_empty() && pair.b.is_empty());
}

#[test]
fn what_was_received_before_an_orderly_end_can_still_be_read() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.open();
    pair.a.write(ours, "last words".into()).unwrap();
    pair.a.finish(ours);
    pair.b.finish(theirs);
    pair.run();
    assert!(
        events(&mut pair.b)
            .iter()
            .any(|event| matches!(event, Event::Closed { .. }))
    );
    assert_eq!(pair.b.len(), 1);
    assert_eq!(pair.b.write(theirs, "x".into()), Err(Error::Closed));
    assert_eq!(read_all(&mut pair.b, theirs), b"last words");
    assert!(pair.b.is_empty());
}

#[test]
fn a_reset_ends_both_sides_at_once() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.open();
    pair.a.write(ours, "lost".into()).unwrap();
    pair.a.reset(ours);
    pair.run();
    assert_eq!(events(&mut pair.a), []);
    let reason = Closed::Reset;
    assert_eq!(
        events(&mut pair.b),
        [Event::Closed {
            stream: theirs,
            reason
        }]
    );
    assert_eq!(pair.b.read(theirs), None);
    assert_eq!(pair.b.write(theirs, "x".into()), Err(Error::Closed));
    assert!(pair.b.is_finished(theirs), "a stream that is gone is finished");
}

#[test]
fn an_open_that_can_not_be_says_why() {
    let mut pair = Pair::new();
    let (peer, stranger) = (pair.bench.peer(1), Bench::new(1, 9, LATENCY).peer(8));
    assert_eq!(pair.a.open(peer, &OTHER), Err(Error::UnknownName));
    let lost = pair.a.open(stranger, &NAME).unwrap();
    pair.run();
    let failed = |ticket, error, reason| Event::OpenFailed {
        ticket,
        error,
        reason,
    };
    let not_connected = Some(OpenError::NotConnected);
    assert_eq!(events(&mut pair.a), [failed(lost, not_connected, None)]);
    pair.b.set_inbound(&NAME, 0).unwrap();
    pair.run();
    let refused = pair.a.open(peer, &NAME).unwrap();
    pair.run();
    assert_eq!(
        events(&mut pair.a),
        [failed(refused, None, Some(Closed::Refused))]
    );
    pair.b.set_inbound(&NAME, 1).unwrap();
    pair.run();
    pair.open();
    let third = pair.a.open(peer, &NAME).unwrap();
    let conn = pair.conn;
    pair.run();
    assert_eq!(events(&mut pair.a), [failed(third, None, Some(Closed::Reset))]);
    let fourth = pair.a.open(peer, &NAME).unwrap();
    pair.bench.disconnect(conn);
    pair.run();
    let ends = events(&mut pair.a);
    assert!(ends.contains(&failed(fourth, not_connected, None)), "{ends:?}");
}

#[test]
fn a_reader_that_stops_closes_the_window_and_nothing_is_lost() {
    let config = Config {
        read_capacity: 10_000,
        recv_window: 256 * 1024,
        write_capacity: 50_000,
        ..Config::default()
    };
    let mut pair = Pair::with(config.clone(), config);
    let (ours, theirs) = pair.open();
    let total = 2_000_000;
    let (mut sent, mut got, mut most) = (0, Vec::new(), 0);
    while got.len() < total {
        while sent < total {
            let block: Vec<u8> = (sent..(sent + 1000).min(total))
                .map(|at| (at % 251) as u8)
                .collect();
            match pair.a.write(ours, block.into()) {
                Ok(()) => sent += 1000,
                Err(error) => {
                    assert_eq!(error, Error::Blocked);
                    break;
                }
            }
        }
        pair.run();
        events(&mut pair.a);
        events(&mut pair.b);
        let waiting = read_all(&mut pair.b, theirs);
        most = most.max(waiting.len());
        assert!(!waiting.is_empty(), "stuck at {}", got.len());
        got.extend_from_slice(&waiting);
    }
    assert!(
        got.iter()
            .enumerate()
            .all(|(at, byte)| usize::from(*byte) == at % 251)
    );
    assert!(most <= 10_000 + 256 * 1024 + 1000, "{most} bytes waited");
}

#[test]
fn a_blocked_writer_is_told_once_when_it_may_go_on() {
    let config = Config {
        write_capacity: 1000,
        ..Config::default()
    };
    let mut pair = Pair::with(config, Config::default());
    let (ours, _) = pair.open();
    pair.a.write(ours, vec![0; 2000].into()).unwrap();
    for _ in 0..5 {
        assert_eq!(pair.a.write(ours, vec![0; 1].into()), Err(Error::Blocked));
    }
    pair.run();
    assert_eq!(events(&mut pair.a), [Event::Writable { stream: ours }]);
    pair.a.write(ours, vec![0; 1].into()).unwrap();
}

#[test]
fn an_application_that_reads_no_events_is_sent_no_more_streams() {
    let config = Config {
        max_events: 10,
        ..Config::default()
    };
    let mut pair = Pair::with(Config::default(), config);
    let mut opened = Vec::new();
    for _ in 0..40 {
        pair.a.open(pair.bench.peer(1), &NAME).unwrap();
        pair.run();
        for event in events(&mut pair.a) {
            if let Event::Opened { stream, .. } = event {
                opened.push(stream);
            }
        }
    }
    assert!(pair.b.len() <= 10, "{} streams", pair.b.len());
    // One event of each kind for each stream at most, whatever comes.
    for _ in 0..50 {
        for stream in &opened {
            let _reset_is_fine = pair.a.write(*stream, "x".into());
        }
        pair.run();
        for stream in events(&mut pair.b).into_iter().filter_map(|event| match event {
            Event::Incoming { stream, .. } => Some(stream),
            _ => None,
        }) {
            pair.b.read(stream);
        }
    }
    assert!(events(&mut pair.b).len() <= 40);
}

#[test]
fn streams_that_ended_unread_count_against_the_limit() {
    let config = Config {
        max_streams: 5,
        ..Config::default()
    };
    let mut pair = Pair::with(Config::default(), config);
    for _ in 0..20 {
        pair.a.open(pair.bench.peer(1), &NAME).unwrap();
        pair.run();
        for event in events(&mut pair.a) {
            if let Event::Opened { stream, .. } = event {
                let _reset_is_fine = pair.a.write(stream, "never read".into());
                pair.a.finish(stream);
            }
        }
        pair.run();
        for event in events(&mut pair.b) {
            if let Event::Incoming { stream, .. } = event {
                pair.b.finish(stream);
            }
        }
        pair.run();
        assert!(pair.b.len() <= 5);
    }
    assert_eq!(pair.b.len(), 5);
}

fn handing() -> Config {
    Config {
        hand_over: true,
        ..Config::default()
    }
}

/// A writes `data` to its stream as an application does that it was handed over to.
fn say(pair: &mut Pair, stream: StreamId, data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let wrote = pair.bench.with(0, &pair.a, |cx| cx.write(stream, data));
    wrote.unwrap();
    pair.run();
}

#[test]
fn in_the_mode_of_handing_over_bytes_go_past_the_machine_and_control_stays_in_it() {
    let mut pair = Pair::with(handing(), handing());
    let (ours, theirs) = pair.open();
    // Both ends are the application's from the moment at which it hears of them.
    assert_eq!(pair.bench.handed_over(0, ours), Some(&b""[..]));
    assert_eq!(pair.bench.handed_over(1, theirs), Some(&b""[..]));
    // More than a window, so credit comes back without the machine.
    let bytes = vec![7; 100_000];
    for _ in 0..20 {
        say(&mut pair, ours, &bytes);
    }
    assert_eq!(
        pair.bench.handed_over(1, theirs).map(<[u8]>::len),
        Some(2_000_000)
    );
    assert_eq!(events(&mut pair.b), [], "neither readable nor anything else");
    assert_eq!(pair.b.read(theirs), None);
    assert!(!pair.b.is_finished(theirs));
    // The end of each stream is still told, for its slot is the machine's.
    pair.bench.with(0, &pair.a, |cx| cx.finish(ours));
    pair.bench.with(1, &pair.b, |cx| cx.finish(theirs));
    pair.run();
    let reason = Closed::Finished;
    assert_eq!(events(&mut pair.a), [Event::Closed { stream: ours, reason }]);
    let stream = theirs;
    assert_eq!(events(&mut pair.b), [Event::Closed { stream, reason }]);
    assert!(pair.a.is_empty() && pair.b.is_empty());
    // So is a reset of ours.
    let (ours, theirs) = pair.open();
    pair.b.reset(theirs);
    pair.run();
    let (stream, reason) = (ours, Closed::Reset);
    assert_eq!(events(&mut pair.a), [Event::Closed { stream, reason }]);
    assert!(pair.a.is_empty() && pair.b.is_empty());
}

#[test]
fn a_stream_that_the_application_is_not_told_of_is_never_handed_over() {
    let full = Config {
        max_events: 1,
        ..handing()
    };
    let mut pair = Pair::with(handing(), full);
    let (ours, theirs) = pair.open();
    let peer = pair.bench.peer(1);
    for _ in 0..2 {
        pair.a.open(peer, &NAME).unwrap();
        pair.run();
    }
    // One event waits at the other end, so the second stream is refused with what it carries.
    let opened = events(&mut pair.a);
    assert!(
        matches!(opened[..2], [Event::Opened { .. }, Event::Opened { .. }]),
        "{opened:?}"
    );
    let told: Vec<_> = events(&mut pair.b);
    let [Event::Incoming { stream, .. }] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(pair.bench.handed_over(1, stream), Some(&b""[..]));
    let refused = StreamId::theirs(stream.conn, 2);
    assert_eq!(pair.bench.handed_over(1, refused), None);
    say(&mut pair, ours, b"unharmed");
    assert_eq!(pair.bench.handed_over(1, theirs), Some(&b"unharmed"[..]));
}

#[test]
fn without_that_mode_nothing_is_handed_over() {
    let mut pair = Pair::new();
    let (ours, theirs) = pair.open();
    pair.a.write(ours, "hello".into()).unwrap();
    pair.run();
    assert_eq!(pair.bench.handed_over(1, theirs), None);
    assert_eq!(read_all(&mut pair.b, theirs), b"hello");
}

#[test]
fn too_many_names_and_opens_are_refused() {
    let names: Vec<_> = (0..256)
        .map(|number| ProtocolName::new(&format!("/{number}")).unwrap())
        .collect();
    assert_eq!(
        Streams::new(&names, Config::default()).err(),
        Some(Error::TooManyNames)
    );
    let config = Config {
        max_opening: 3,
        ..Config::default()
    };
    let mut pair = Pair::with(config, Config::default());
    let peer = pair.bench.peer(1);
    for _ in 0..3 {
        pair.a.open(peer, &NAME).unwrap();
    }
    assert_eq!(pair.a.open(peer, &NAME), Err(Error::TooManyOpening));
    assert_eq!(pair.a.set_inbound(&OTHER, 1), Err(Error::UnknownName));
    let ghost = StreamId::ours(pair.conn, 77);
    assert_eq!(pair.a.write(ghost, Bytes::new()), Err(Error::Closed));
    assert_eq!(pair.a.read(ghost), None);
    pair.a.finish(ghost);
    pair.a.reset(ghost);
    pair.run();
}

struct Life {
    streams: Streams,
    open: Vec<StreamId>,
}

impl Protocol for Life {
    fn specs(&self) -> &[StreamSpec] {
        self.streams.specs()
    }
    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        self.streams.handle(cx, input);
    }
    fn poll_timeout(&self) -> Option<libp2p_proto_core::Deadline> {
        self.streams.poll_timeout()
    }
    fn journal(&mut self) -> Option<&mut Journal> {
        self.streams.journal()
    }
    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.streams.repeat(command)
    }
}

impl Subject for Life {
    fn poll_event(&mut self) -> Option<String> {
        let event = self.streams.poll_event()?;
        if let Event::Opened { stream, .. } | Event::Incoming { stream, .. } = &event {
            self.open.push(*stream);
        }
        Some(format!("{event:?}"))
    }

    fn command(&mut self, _: &mut Context<'_>, dice: &mut Rng) {
        let peer =
            libp2p_proto_core::PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", 1 + dice.below(4)));
        let place = dice.below(self.open.len().max(1) as u64);
        let stream = self.open.get(usize::try_from(place).unwrap()).copied();
        match (dice.below(6), stream) {
            (1, Some(stream)) => drop(self.streams.write(stream, vec![7; 300].into())),
            (2, Some(stream)) => drop(self.streams.read(stream)),
            (3, Some(stream)) => self.streams.finish(stream),
            (4, Some(stream)) => self.streams.reset(stream),
            _ => drop(self.streams.open(peer, &NAME)),
        }
    }
}

#[test]
fn the_laws_hold() {
    let life = |config: fn() -> Config| {
        move || Life {
            streams: Streams::new(&[NAME, OTHER], config()).unwrap(),
            open: Vec::new(),
        }
    };
    for config in [Config::default, handing] {
        Laws::of(life(config)).frame(b"bytes").frame(&[0; 1000]).hold();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_written_arrives_in_order_and_then_the_end(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5000), 0..40),
        read_capacity in 1..20_000_usize,
        write_capacity in 1..20_000_usize,
        runs in 1..4_u32,
    ) {
        let config = Config { read_capacity, write_capacity, ..Config::default() };
        let mut pair = Pair::with(config.clone(), config);
        let (ours, theirs) = pair.open();
        let mut got = Vec::new();
        for block in &blocks {
            while pair.a.write(ours, block.clone().into()).is_err() {
                for _ in 0..runs {
                    pair.bench.run(&mut [&mut pair.a, &mut pair.b], LATENCY);
                }
                got.extend(read_all(&mut pair.b, theirs));
            }
        }
        pair.a.finish(ours);
        for _ in 0..200 {
            pair.run();
            got.extend(read_all(&mut pair.b, theirs));
        }
        prop_assert_eq!(got, blocks.concat());
        prop_assert!(pair.b.is_finished(theirs));
    }
}
