//! The bench itself: the same seed makes the same run, and its order is that of the swarm.
#![cfg(feature = "bench")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use core::time::Duration;
use libp2p_proto_core::{Instant, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{
    Closed, Context, Framing, Input, OpenError, Protocol, StreamSpec, Target, WriteError,
    bench::{Bench, Puppet},
};

const NAME: ProtocolName = ProtocolName::from_static("/x/1");
const LATENCY: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);

fn spec() -> StreamSpec {
    StreamSpec::new(NAME, Framing::Raw)
}

/// Answers every frame with dice, until a frame of its own ends the stream.
fn chatter(cx: &mut Context<'_>, input: &Input) {
    match input {
        Input::Connected { conn, .. } => drop(cx.open(Target::Connection(*conn), &[0]).map(|_| ())),
        Input::Opened { stream, .. } => {
            let _blocked = cx.write(*stream, vec![1; 10]);
        }
        Input::Frame { stream, data } if data.len() > 1500 => cx.finish(*stream),
        Input::Frame { stream, data } => {
            let more = usize::try_from(cx.rng.below(200)).unwrap_or(0);
            let _blocked = cx.write(*stream, vec![2; data.len() + more]);
        }
        Input::Finished { stream } => cx.finish(*stream),
        _ => {}
    }
}

/// Everything that three nodes were told, and when.
fn trace(seed: u8, start: Instant) -> Vec<String> {
    let mut nodes = [0; 3].map(|_| Puppet::new(spec()).reacting(chatter));
    let mut bench = Bench::new(seed, 3, LATENCY).starting_at(start);
    for (dialer, listener) in [(0, 1), (1, 2), (2, 0)] {
        bench.connect(dialer, listener);
    }
    let [a, b, c] = &mut nodes;
    let mut lines = Vec::new();
    for _ in 0..200 {
        bench.run(&mut [a, b, c], LATENCY);
        for puppet in [&mut *a, &mut *b, &mut *c] {
            let told = puppet.inputs.drain(..);
            lines.extend(told.map(|input| format!("{:?} {input:?}", bench.now().since(start))));
        }
    }
    lines
}

/// FNV-1a, so that the hash is the same everywhere.
fn hash(lines: &[String]) -> u64 {
    lines
        .iter()
        .flat_map(|line| line.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[test]
fn the_same_seed_makes_the_same_run_and_another_seed_another() {
    let once = trace(7, Instant::ZERO);
    assert!(once.len() > 60, "{} lines", once.len());
    assert_eq!(hash(&once), hash(&trace(7, Instant::ZERO)));
    assert_ne!(hash(&once), hash(&trace(8, Instant::ZERO)));
}

#[test]
fn the_run_does_not_depend_on_where_the_clock_starts() {
    let late = Instant::MAX - Duration::from_secs(3600);
    assert_eq!(trace(7, Instant::ZERO), trace(7, late));
}

#[test]
fn streams_are_told_in_order_and_nothing_comes_after_their_end() {
    let lines = trace(7, Instant::ZERO);
    let place = |word: &str| lines.iter().position(|line| line.contains(word)).unwrap();
    assert!(place("Connected") < place("Opened"));
    assert!(place("Opened") < place("Frame"));
    assert!(place("Frame") < place("Finished"));
    assert!(place("Finished") < place("Closed"));
}

fn pair() -> (Puppet, Puppet, Bench, StreamId, StreamId) {
    let (mut a, mut b) = (Puppet::new(spec()), Puppet::new(spec()));
    let mut bench = Bench::new(7, 2, LATENCY);
    let conn = bench.connect(0, 1);
    bench.run(&mut [&mut a, &mut b], SECOND);
    let ours = bench
        .with(0, &a, |cx| cx.open(Target::Connection(conn), &[0]))
        .unwrap();
    bench.run(&mut [&mut a, &mut b], SECOND);
    let theirs = b.opened()[0];
    (a, b, bench, ours, theirs)
}

#[test]
fn frames_come_whole_and_in_order_after_the_latency() {
    let (mut a, mut b, mut bench, ours, theirs) = pair();
    for len in [3, 1, 2] {
        bench.with(0, &a, |cx| cx.write(ours, vec![9; len])).unwrap();
    }
    bench.run(&mut [&mut a, &mut b], LATENCY / 2);
    assert!(b.frames(theirs).is_empty());
    bench.run(&mut [&mut a, &mut b], LATENCY);
    let lens: Vec<_> = b.frames(theirs).iter().map(bytes::Bytes::len).collect();
    assert_eq!(lens, [3, 1, 2]);
}

#[test]
fn a_reset_ends_both_ends_and_frees_both_slots() {
    let (mut a, mut b, mut bench, ours, theirs) = pair();
    bench.with(0, &a, |cx| cx.reset(ours));
    assert_eq!(
        bench.with(0, &a, |cx| cx.write(ours, vec![1])),
        Err(WriteError::Closed)
    );
    bench.run(&mut [&mut a, &mut b], SECOND);
    let closed = |puppet: &Puppet, wanted: StreamId| {
        puppet.inputs.iter().find_map(|input| match input {
            Input::Closed { stream, reason } if *stream == wanted => Some(*reason),
            _ => None,
        })
    };
    assert_eq!(closed(&a, ours), Some(Closed::LocalReset));
    assert_eq!(closed(&b, theirs), Some(Closed::Reset));
    assert_eq!((bench.open_streams(0), bench.open_streams(1)), (0, 0));
}

#[test]
fn a_paused_stream_holds_its_writer_at_window_and_capacity() {
    let (mut a, mut b, mut bench, ours, theirs) = pair();
    bench.with(1, &b, |cx| cx.pause(theirs));
    let mut written = 0;
    while bench.with(0, &a, |cx| cx.write(ours, vec![0; 16 * 1024])).is_ok() {
        written += 16 * 1024;
        assert!(written <= 1 << 20, "nothing holds the writer");
        bench.run(&mut [&mut a, &mut b], SECOND);
    }
    assert_eq!(written, 256 * 1024 + 64 * 1024);
    bench.with(1, &b, |cx| cx.resume(theirs));
    bench.run(&mut [&mut a, &mut b], SECOND);
    assert!(a.inputs.contains(&Input::Writable { stream: ours }));
}

#[test]
fn a_node_that_is_not_connected_opens_nothing() {
    let a = Puppet::new(spec());
    let mut bench = Bench::new(7, 2, LATENCY);
    let other = bench.peer(1);
    let opened = bench.with(0, &a, |cx| cx.open(Target::Peer(other), &[0]));
    assert_eq!(opened, Err(OpenError::NotConnected));
    assert_eq!(a.specs().len(), 1);
}

#[test]
fn a_notice_counts_the_frames_since_the_last_one() {
    let (mut a, mut b, mut bench, ours, _) = pair();
    let mut counts = Vec::new();
    for frames in [2, 0, 3] {
        for _ in 0..frames {
            bench.with(0, &a, |cx| cx.write(ours, vec![9; 1])).unwrap();
        }
        bench.run(&mut [&mut a, &mut b], LATENCY);
        bench.with(0, &a, |cx| cx.notify_flushed(ours));
        bench.run(&mut [&mut a, &mut b], LATENCY);
        counts.extend(a.inputs.iter().filter_map(|input| match input {
            Input::Flushed { frames, .. } => Some(*frames),
            _ => None,
        }));
        a.inputs.clear();
    }
    assert_eq!(counts, [2, 0, 3]);
}
