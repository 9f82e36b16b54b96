//! Pings, deadlines, clocks that misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Deadline, Instant, Side};
use libp2p_proto_yamux::{Config, Error, Yamux};
use std::time::Duration;
use support::{
    ACK, FIN, NOW, Pair, RST, SYN, after, data, feed, frames, header, sent, session, transmit, update,
    with_stream,
};

const SECOND: Duration = Duration::from_secs(1);

// covers: YMX-049, YMX-077, YMX-078
#[test]
fn vul_168_a_ping_leaves_at_once_then_30_s_after_each_answer_and_10_s_of_silence_end_the_session() {
    let mut yamux = Yamux::new(Side::Dialer, Config::default(), 0xffff_ffff, NOW).unwrap();
    assert_eq!(transmit(&mut yamux, NOW), header(2, SYN, 0, 0xffff_ffff));
    assert!(transmit(&mut yamux, after(5000)).is_empty(), "one at a time");
    feed(&mut yamux, after(100), &header(2, ACK, 0, 0xffff_ffff)).unwrap();
    assert_eq!(
        yamux.rtt(),
        Some(Duration::from_millis(4900)).min(Some(2 * SECOND))
    );

    let mut yamux = Yamux::new(Side::Dialer, Config::default(), 0xffff_ffff, NOW).unwrap();
    transmit(&mut yamux, NOW);
    feed(&mut yamux, after(100), &header(2, ACK, 0, 0xffff_ffff)).unwrap();
    assert_eq!(yamux.rtt(), Some(Duration::from_millis(100)));
    assert_eq!(yamux.poll_timeout(), Some(Deadline::new(after(30_100), "ping")));
    yamux.handle_timeout(after(30_099)).unwrap();
    assert!(transmit(&mut yamux, after(30_099)).is_empty());
    yamux.handle_timeout(after(30_100)).unwrap();
    assert_eq!(transmit(&mut yamux, after(30_100)), header(2, SYN, 0, 0));
    assert_eq!(yamux.poll_timeout(), Some(Deadline::new(after(40_100), "pong")));
    yamux.handle_timeout(after(40_099)).unwrap();
    assert_eq!(yamux.handle_timeout(after(40_100)), Err(Error::KeepAlive));
    assert_eq!(transmit(&mut yamux, after(40_100)), header(3, 0, 0, 2));
    assert!(yamux.is_closed());
    assert_eq!(yamux.poll_timeout(), None);
}

// covers: YMX-078
#[test]
fn a_peer_whose_pong_waits_behind_its_data_is_alive() {
    let mut yamux = with_stream(0);
    yamux.handle_timeout(after(30_000)).unwrap();
    transmit(&mut yamux, after(30_000));
    for seconds in (31..90).step_by(9) {
        feed(&mut yamux, after(seconds * 1000), &data(0, 1, b"slow")).unwrap();
        yamux.handle_timeout(after(seconds * 1000 + 8999)).unwrap();
    }
    assert_eq!(yamux.handle_timeout(after(95_000)), Err(Error::KeepAlive));
}

// covers: YMX-076, YMX-077
#[test]
fn vul_040_the_round_trip_comes_only_from_a_value_that_we_sent_and_have_not_seen_back() {
    let mut yamux = Yamux::new(Side::Dialer, Config::default(), 7, NOW).unwrap();
    feed(&mut yamux, NOW, &header(2, ACK, 0, 7)).unwrap();
    assert_eq!(yamux.rtt(), None, "a pong before its ping");
    transmit(&mut yamux, after(10));
    feed(&mut yamux, after(20), &header(2, ACK, 0, 8)).unwrap();
    assert_eq!(yamux.rtt(), None, "a pong with another value");
    feed(&mut yamux, after(60), &header(2, ACK, 0, 7)).unwrap();
    feed(&mut yamux, after(999), &header(2, ACK, 0, 7)).unwrap();
    assert_eq!(yamux.rtt(), Some(Duration::from_millis(50)), "a second pong");
    assert_eq!(yamux.stats().pongs_unsolicited, 3);
    // A stray pong a day closes nobody.
    let mut now = after(999);
    for _ in 0..50 {
        let due = yamux.poll_timeout().unwrap().at;
        now = now.max(due);
        yamux.handle_timeout(now).unwrap();
        let ping = sent(&mut yamux, now);
        feed(&mut yamux, now, &header(2, ACK, 0, ping[0].length)).unwrap();
        feed(&mut yamux, now, &header(2, ACK, 0, 0xdead_beef)).unwrap();
    }
    for _ in 0..9 {
        feed(&mut yamux, now, &header(2, ACK, 0, 0xdead_beef)).unwrap();
    }
    assert_eq!(
        feed(&mut yamux, now, &header(2, ACK, 0, 1)),
        Err(Error::PongFlood)
    );
}

// covers: YMX-092
#[test]
fn a_command_after_a_long_rest_is_not_taken_for_a_link_that_has_stalled_as_long() {
    let mut yamux = with_stream(0);
    transmit(&mut yamux, after(1000));
    // Twenty seconds later; a command does not tell the time.
    yamux.reset(1);
    let due = yamux.poll_timeout().unwrap().at;
    assert!(due <= after(21_000), "it may come early");
    yamux.handle_timeout(after(21_000)).unwrap();
    yamux.handle_timeout(after(30_999)).unwrap();
    let mut stalled = with_stream(0);
    transmit(&mut stalled, after(1000));
    stalled.reset(1);
    stalled.handle_timeout(after(21_000)).unwrap();
    assert_eq!(stalled.handle_timeout(after(31_000)), Err(Error::PeerNotReading));
    assert_eq!(sent(&mut yamux, after(30_999))[0].flags, RST);
    assert_eq!(yamux.handle_timeout(after(31_000)), Ok(()));
}

// covers: YMX-092
#[test]
fn control_frames_that_cannot_leave_for_ten_seconds_end_the_session() {
    let mut yamux = session(Side::Listener);
    feed(&mut yamux, after(1000), &header(2, SYN, 0, 1)).unwrap();
    assert_eq!(yamux.poll_timeout(), Some(Deadline::new(after(11_000), "write")));
    yamux.handle_timeout(after(10_999)).unwrap();
    assert_eq!(yamux.handle_timeout(after(11_000)), Err(Error::PeerNotReading));

    // One that leaves starts the clock anew, although others wait.
    let mut yamux = session(Side::Listener);
    feed(&mut yamux, NOW, &header(2, SYN, 0, 1)).unwrap();
    for second in 1..60 {
        feed(&mut yamux, after(second * 1000), &header(2, SYN, 0, 1)).unwrap();
        let mut wire = Vec::new();
        let mut out = libp2p_proto_core::TransmitBuf::new(&mut wire, 12);
        assert!(yamux.poll_transmit(after(second * 1000), &mut out));
        yamux.handle_timeout(after(second * 1000)).unwrap();
    }

    // Nothing waits any more once its stream is gone.
    let mut yamux = session(Side::Listener);
    let unsent = yamux.open(1).unwrap();
    assert_eq!(yamux.poll_timeout().unwrap().why, "write");
    yamux.reset(unsent);
    assert_eq!(yamux.poll_timeout().unwrap().why, "ping");
    yamux.handle_timeout(after(10_000)).unwrap();
}

// covers: YMX-092
#[test]
fn vul_046_data_that_cannot_leave_ends_in_its_arrival_or_in_an_error_at_both_ends() {
    for stall in [9_000, 10_000, 11_000, 39_999, 40_000, 44_000] {
        let mut pair = Pair::new(Duration::from_millis(10));
        let stream = pair.ends[0].open(1 << 20).unwrap();
        let (mut got, mut finished) = (0, false);
        let mut act = |who: usize, end: &mut Yamux, now, event: libp2p_proto_yamux::Event<'_>| match event {
            libp2p_proto_yamux::Event::Opened { stream } => end.accept(stream, 1 << 20),
            libp2p_proto_yamux::Event::Data { stream, bytes } => {
                got += bytes.len();
                end.grant(now, stream, bytes.len());
            }
            libp2p_proto_yamux::Event::Finished { .. } if who == 1 => finished = true,
            _ => {}
        };
        pair.run(&mut act).unwrap();
        let start = pair.now;
        pair.open = [false, true];
        pair.ends[0].write(stream, &mut vec![0; 100_000].into()).unwrap();
        pair.ends[0].finish(stream);
        let end = start + Duration::from_millis(stall);
        let mut failed = None;
        while let Some(due) = pair.ends.iter().filter_map(Yamux::poll_timeout).min() {
            if due.at > end || failed.is_some() {
                break;
            }
            pair.now = pair.now.max(due.at);
            for who in 0..2 {
                failed = failed.or(pair.ends[who].handle_timeout(pair.now).err());
            }
            let _ = pair.run(&mut act);
        }
        pair.now = pair.now.max(end);
        pair.open = [true, true];
        let result = pair.run(&mut act);
        if failed.is_none() && result.is_ok() {
            assert_eq!((got, finished), (100_000, true), "after {stall} ms");
        } else {
            assert!(stall >= 39_999, "{stall}");
            let error = failed.or(result.err().map(|(_, error)| error)).unwrap();
            assert!(matches!(
                error,
                Error::PeerNotReading | Error::KeepAlive | Error::RemoteGoAway(2)
            ));
            assert!(pair.ends.iter().any(|end| end.stream_count() == 0));
            assert!(!finished);
        }
    }
}

// covers: YMX-093, YMX-097
#[test]
fn vul_167_a_clock_that_runs_back_or_stands_still_loses_no_deadline() {
    let mut yamux = session(Side::Dialer);
    yamux.handle_timeout(after(29_999)).unwrap();
    for back in [after(0), after(29_998), NOW] {
        yamux.handle_timeout(back).unwrap();
        assert!(transmit(&mut yamux, back).is_empty());
        yamux.grant(back, 1, 1);
    }
    yamux.handle_timeout(after(30_000)).unwrap();
    assert_eq!(transmit(&mut yamux, NOW).len(), 12, "the time is still 30 s");
    assert_eq!(yamux.poll_timeout().unwrap().at, after(40_000));
    for _ in 0..1000 {
        feed(&mut yamux, NOW, &[]).unwrap();
        yamux.handle_timeout(NOW).unwrap();
    }
    assert_eq!(yamux.handle_timeout(after(40_000)), Err(Error::KeepAlive));
}

// covers: YMX-093
#[test]
fn vul_166_extreme_durations_and_clocks_saturate() {
    let nano = Duration::from_nanos(1);
    let hour_before_the_end = Instant::MAX - Duration::from_secs(3600);
    for start in [Instant::ZERO, after(1000), hour_before_the_end] {
        for duration in [Duration::ZERO, nano, Duration::MAX] {
            let config = Config {
                ping_interval: duration,
                ping_timeout: duration,
                max_rtt: duration,
                write_timeout: duration,
                ..Config::default()
            };
            let mut yamux = Yamux::new(Side::Listener, config, 7, start).unwrap();
            let mut now = start;
            for step in [nano, SECOND, Duration::from_secs(86_400), Duration::MAX] {
                let pings = frames(&transmit(&mut yamux, now));
                for ping in pings.iter().filter(|frame| frame.kind == 2) {
                    let _ = feed(&mut yamux, now, &header(2, ACK, 0, ping.length));
                }
                let _ = feed(&mut yamux, now, &update(SYN, 1, 0));
                yamux.accept(1, 1);
                let _ = feed(&mut yamux, now, &data(0, 1, &[0; 1000]));
                yamux.grant(now, 1, 1000);
                let _ = yamux.handle_timeout(now);
                let _ = yamux.poll_timeout();
                now = now + step;
            }
        }
    }
    // Ten years with a ping every 30 s would be ten million; a ping a day does.
    let config = Config {
        ping_interval: Duration::from_secs(86_400),
        ..Config::default()
    };
    let mut yamux = Yamux::new(Side::Dialer, config, u32::MAX - 5, NOW).unwrap();
    for _ in 0..3650 {
        let due = yamux.poll_timeout().unwrap().at;
        yamux.handle_timeout(NOW).unwrap();
        if yamux.poll_timeout().unwrap().why == "ping" {
            yamux.handle_timeout(due).unwrap();
        }
        let ping = sent(&mut yamux, due);
        assert_eq!(ping.len(), 1);
        feed(&mut yamux, due, &header(2, ACK, 0, ping[0].length)).unwrap();
    }
}

#[test]
fn vul_038_streams_that_end_before_at_or_after_a_deadline_disturb_nothing() {
    let ends: [fn(u32) -> Vec<u8>; 3] = [
        |id| update(RST, id, 0),
        |id| data(FIN, id, &[]),
        |_| header(3, 0, 0, 0),
    ];
    for end in ends {
        for offset in [29_999, 30_000, 30_001] {
            for timer_first in [false, true] {
                let mut yamux = with_stream(64);
                yamux.finish(1);
                transmit(&mut yamux, NOW);
                let deadline = yamux.poll_timeout().unwrap().at;
                if timer_first {
                    yamux.handle_timeout(deadline).unwrap();
                }
                feed(&mut yamux, after(offset), &end(1)).unwrap();
                yamux.handle_timeout(deadline.max(after(offset))).unwrap();
                yamux.handle_timeout(after(30_001)).unwrap();
                transmit(&mut yamux, after(30_001));
                yamux.reset(1);
                assert_eq!(yamux.stream_count(), 0);
                transmit(&mut yamux, after(30_001));
                assert!(yamux.handle_timeout(after(30_002)).is_ok());
            }
        }
    }
}

// covers: YMX-080
#[test]
fn a_hundred_pings_in_each_second_are_answered_for_ever() {
    let mut yamux = session(Side::Listener);
    for second in 0..20 {
        for ping in 0..100 {
            feed(&mut yamux, after(second * 1000), &header(2, SYN, 0, ping)).unwrap();
            assert_eq!(
                transmit(&mut yamux, after(second * 1000)),
                header(2, ACK, 0, ping)
            );
        }
    }
}
