//! Both roles on the bench, in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::Instant;
use libp2p_proto_ping::{Config, Error, Event, Failure, NAME, Ping};
use libp2p_proto_stream_protocol::{
    Framing, Input, StreamSpec, Target,
    bench::{Bench, Puppet},
};

const LATENCY: Duration = Duration::from_millis(25);

fn quiet() -> Ping {
    Ping::new(Config {
        interval: None,
        ..Config::default()
    })
    .unwrap()
}

fn puppet() -> Puppet {
    Puppet::new(StreamSpec {
        lazy: true,
        max_outbound: 8,
        send_capacity: 1 << 20,
        ..StreamSpec::new(NAME, Framing::Fixed { len: 32 })
    })
}

fn events(ping: &mut Ping) -> Vec<Event> {
    core::iter::from_fn(|| ping.poll_event()).collect()
}

fn failure(events: &[Event]) -> Option<Failure> {
    events.iter().find_map(|event| match event {
        Event::Failed { failure, .. } => Some(*failure),
        _ => None,
    })
}

#[test]
fn three_rounds_run_on_one_stream_which_both_sides_finish() {
    let (mut bench, mut a, mut b) = (Bench::new(1, 2, LATENCY), quiet(), quiet());
    bench.connect(0, 1);
    a.ping(bench.peer(1), 3).unwrap();
    bench.run(&mut [&mut a, &mut b], Duration::from_secs(5));
    let events = events(&mut a);
    assert_eq!(events.len(), 3);
    assert!(
        events
            .iter()
            .all(|event| matches!(event, Event::Pong { rtt, .. } if *rtt >= 2 * LATENCY))
    );
    assert_eq!((bench.open_streams(0), bench.open_streams(1)), (0, 0));
}

// covers: CON-076
#[test]
fn a_second_run_waits_for_the_first() {
    let (mut bench, mut a, mut b) = (Bench::new(1, 2, LATENCY), quiet(), quiet());
    bench.connect(0, 1);
    a.ping(bench.peer(1), 2).unwrap();
    a.ping(bench.peer(1), 2).unwrap();
    bench.run(&mut [&mut a, &mut b], Duration::from_secs(5));
    assert_eq!(events(&mut a).len(), 4);
    assert_eq!(a.ping(bench.peer(1), 0), Err(Error::NoRounds));
}

// covers: CON-062
#[test]
fn an_idle_connection_is_pinged_by_interval_and_carries_no_stream_between() {
    let (mut bench, mut a, mut b) = (
        Bench::new(1, 2, LATENCY),
        Ping::new(Config::default()).unwrap(),
        quiet(),
    );
    bench.connect(0, 1);
    bench.run(&mut [&mut a, &mut b], Duration::from_secs(61));
    assert_eq!(events(&mut a).len(), 4);
    assert_eq!(bench.open_streams(0), 0);
}

// covers: CON-081
#[test]
fn a_peer_that_does_not_speak_ping_is_no_dead_peer() {
    let mut bench = Bench::new(1, 2, LATENCY);
    let mut a = Ping::new(Config::default()).unwrap();
    let other = libp2p_proto_core::ProtocolName::from_static("/other/1");
    let mut b = Puppet::new(StreamSpec::new(other, Framing::Raw));
    bench.connect(0, 1);
    bench.run(&mut [&mut a, &mut b], Duration::from_secs(120));
    let events = events(&mut a);
    assert_eq!((events.len(), failure(&events)), (1, Some(Failure::Unsupported)));
    assert!(
        !b.inputs
            .iter()
            .any(|input| matches!(input, Input::Disconnected { .. }))
    );
}

#[test]
fn vul_168_two_rounds_without_an_answer_close_the_connection_within_45_seconds() {
    let (mut bench, mut a, mut b) = (
        Bench::new(1, 2, LATENCY),
        Ping::new(Config::default()).unwrap(),
        puppet(),
    );
    bench.connect(0, 1);
    bench.run(&mut [&mut a, &mut b], Duration::from_secs(45));
    assert!(
        b.inputs
            .iter()
            .any(|input| matches!(input, Input::Disconnected { .. }))
    );
    assert_eq!(failure(&events(&mut a)), Some(Failure::TimedOut));
}

#[test]
fn other_bytes_are_a_mismatch() {
    let (mut bench, mut a) = (Bench::new(1, 2, LATENCY), quiet());
    let mut b = puppet().reacting(|cx, input| {
        if let Input::Frame { stream, .. } = input {
            cx.write(*stream, Bytes::from_static(&[9; 32])).unwrap();
        }
    });
    bench.connect(0, 1);
    a.ping(bench.peer(1), 1).unwrap();
    bench.run(&mut [&mut a, &mut b], Duration::from_secs(1));
    assert_eq!(failure(&events(&mut a)), Some(Failure::Mismatch));
}

// covers: CON-026, CON-077
#[test]
fn two_inbound_streams_are_served_and_the_third_is_reset() {
    let (mut bench, mut a, mut b) = (Bench::new(1, 2, LATENCY), puppet(), quiet());
    let conn = bench.connect(0, 1);
    bench.run(&mut [&mut a, &mut b], Duration::from_secs(1));
    let streams: Vec<_> = (0..3)
        .map(|_| {
            bench
                .with(0, &a, |cx| cx.open(Target::Connection(conn), &[0]))
                .unwrap()
        })
        .collect();
    bench.run(&mut [&mut a, &mut b], Duration::from_secs(1));
    assert_eq!(a.opened(), streams[..2]);
}

#[test]
fn a_flood_is_reset_and_a_fast_pinger_is_slowed_down() {
    let (mut bench, mut a, mut b) = (Bench::new(1, 2, LATENCY), puppet(), quiet());
    let conn = bench.connect(0, 1);
    bench.run(&mut [&mut a, &mut b], Duration::from_secs(1));
    let stream = bench
        .with(0, &a, |cx| cx.open(Target::Connection(conn), &[0]))
        .unwrap();
    for _ in 0..1000 {
        bench.with(0, &a, |cx| cx.write(stream, vec![1; 32])).unwrap();
    }
    bench.run(&mut [&mut a, &mut b], Duration::from_secs(60));
    assert!(
        a.inputs
            .iter()
            .any(|input| matches!(input, Input::Closed { stream: s, .. } if *s == stream))
    );
    assert!(a.frames(stream).len() <= 64);

    let (mut bench, mut fast, mut b) = (Bench::new(2, 2, Duration::from_micros(50)), quiet(), quiet());
    bench.connect(0, 1);
    fast.ping(bench.peer(1), 120).unwrap();
    bench.run(&mut [&mut fast, &mut b], Duration::from_secs(5));
    let pongs = events(&mut fast).len();
    assert!((60..=75).contains(&pongs), "{pongs} in five seconds");
}

#[test]
fn vul_166_the_end_of_time_is_no_busy_loop() {
    let start = Instant::MAX - Duration::from_secs(3600);
    let mut bench = Bench::new(1, 2, LATENCY).starting_at(start);
    let (mut a, mut b) = (Ping::new(Config::default()).unwrap(), quiet());
    bench.connect(0, 1);
    bench.run(&mut [&mut a, &mut b], Duration::from_secs(60));
    assert!(events(&mut a).len() >= 3);
}
