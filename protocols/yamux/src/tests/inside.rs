//! Sizes, the end of the ids, and refused frames in states that the table has not.

use super::{NOW, census::assert_census, feed, frame, session, session_with, state, transmit};
use crate::{
    Config, Error, Yamux,
    stream::Stream,
    tombs::Tombs,
    wire::{Header, RST, SYN},
};
use alloc::{vec, vec::Vec};
use core::{mem::size_of, time::Duration};
use libp2p_proto_core::{Instant, Side};

// covers: YMX-096
#[test]
fn the_state_of_a_stream_is_at_most_256_bytes() {
    assert!(size_of::<Stream>() <= 256, "{}", size_of::<Stream>());
}

#[test]
fn an_idle_session_is_at_most_a_kilobyte() {
    assert!(size_of::<Yamux>() <= 1024, "{}", size_of::<Yamux>());
}

// covers: YMX-011
#[test]
fn the_last_id_is_used_once_and_then_no_more() {
    for (side, last) in [(Side::Dialer, 0xffff_fffd), (Side::Listener, 0xffff_fffc)] {
        let mut yamux = session(side);
        yamux.next_id = Some(last - 2);
        assert_eq!(yamux.open(1), Ok(last - 2));
        assert_eq!(yamux.open(1), Ok(last));
        for _ in 0..3 {
            assert_eq!(yamux.open(1), Err(Error::IdsExhausted));
        }
        assert_census(&yamux);
    }
}

/// The frame is refused with `error`, and nothing but rates and counters has changed.
fn assert_refused(yamux: &mut Yamux, wire: Vec<u8>, error: Error) {
    let before = state(yamux);
    let header = Header::decode(wire.try_into().unwrap()).unwrap();
    assert_eq!(yamux.handle_header(header), Err(error));
    assert_eq!(state(yamux), before);
}

#[test]
fn floods_are_refused_before_anything_changes() {
    let config = Config {
        pings_per_second: 1,
        resets_per_second: 1,
        empty_frames: 1,
        unknown_frames: 1,
        max_inbound: 2,
        ..Config::default()
    };
    let mut yamux = session_with(Side::Listener, config);
    for id in [1, 3] {
        feed(&mut yamux, NOW, &frame(1, SYN, id, 0)).unwrap();
    }
    // Two resets at once are allowed; the third is one too many, whichever way it comes.
    for id in [5, 7] {
        feed(&mut yamux, NOW, &frame(1, SYN, id, 0)).unwrap();
    }
    assert_refused(&mut yamux, frame(1, SYN, 9, 0), Error::ResetFlood);
    assert_refused(&mut yamux, frame(1, RST, 1, 0), Error::ResetFlood);
    feed(&mut yamux, NOW, &frame(2, SYN, 0, 1)).unwrap();
    assert_refused(&mut yamux, frame(2, SYN, 0, 2), Error::PingFlood);
    feed(&mut yamux, NOW, &frame(1, 0, 1, 0)).unwrap();
    assert_refused(&mut yamux, frame(1, 0, 1, 0), Error::NoProgress);
    feed(&mut yamux, NOW, &frame(0, 0, 99, 0)).unwrap();
    assert_refused(&mut yamux, frame(0, 0, 99, 0), Error::UnknownFlood);
    for _ in 0..10 {
        feed(&mut yamux, NOW, &frame(2, 2, 0, 99)).unwrap();
    }
    assert_refused(&mut yamux, frame(2, 2, 0, 99), Error::PongFlood);
}

// covers: YMX-072
#[test]
fn vul_033_a_stream_is_refused_without_state_while_too_many_resets_wait() {
    let config = Config {
        max_resets: 8,
        resets_per_second: u32::MAX,
        ..Config::default()
    };
    let mut yamux = session_with(Side::Listener, config);
    for id in (1..).step_by(2).take(8) {
        assert_eq!(yamux.wants_input(), id < 9);
        feed(&mut yamux, NOW, &frame(1, SYN, id, 0)).unwrap();
        yamux.reset(id);
    }
    assert!(!yamux.wants_input());
    assert_refused(&mut yamux, frame(1, SYN, 17, 0), Error::PeerNotReading);
    assert_eq!(transmit(&mut yamux, NOW).len(), 8 * 12);
    assert!(yamux.wants_input());
}

#[test]
fn late_frames_of_a_reset_stream_are_known_until_two_pings_were_answered() {
    let mut yamux = session(Side::Listener);
    let mut now = NOW;
    feed(&mut yamux, now, &frame(1, SYN, 1, 0)).unwrap();
    yamux.reset(1);
    transmit(&mut yamux, now);
    for (value, known) in [(8_u32, true), (9, false)] {
        now = now + Duration::from_secs(30);
        yamux.handle_timeout(now).unwrap();
        transmit(&mut yamux, now);
        feed(&mut yamux, now, &frame(2, 2, 0, value)).unwrap();
        assert_eq!(yamux.tombs.contains(1), known);
    }
    assert_eq!(yamux.rtt(), Some(Duration::ZERO));
}

#[test]
fn the_oldest_reset_stream_is_forgotten_first_whatever_its_id() {
    let config = Config {
        max_tombstones: 2,
        ..Config::default()
    };
    let mut yamux = session_with(Side::Listener, config);
    for id in [9, 3, 1] {
        feed(&mut yamux, NOW, &frame(1, SYN, id, 0)).unwrap();
        yamux.reset(id);
    }
    let known: Vec<bool> = [9, 3, 1].map(|id| yamux.tombs.contains(id)).to_vec();
    assert_eq!(known, [false, true, true]);
}

#[test]
fn streams_forgotten_for_their_number_do_not_shorten_the_memory_of_others() {
    let mut tombs = Tombs::default();
    for id in [1, 3] {
        tombs.bury(id, 9, 2);
    }
    tombs.handle_pong();
    // 1 and 3 were settled; 5 and 7 push them out, and are not.
    for id in [5, 7] {
        tombs.bury(id, 9, 2);
    }
    tombs.handle_pong();
    assert!(tombs.contains(5) && tombs.contains(7));
    tombs.handle_pong();
    assert!(!tombs.contains(5) && !tombs.contains(7));
}

// covers: YMX-039
#[test]
fn ten_gigabytes_later_the_remote_never_had_more_than_the_largest_window() {
    let config = Config {
        ping_interval: Duration::MAX,
        ..Config::default()
    };
    let mut yamux = Yamux::new(Side::Listener, config, 7, NOW).unwrap();
    transmit(&mut yamux, NOW);
    let mut now = Instant::from_millis(1000);
    feed(&mut yamux, now, &frame(2, 2, 0, 7)).unwrap();
    feed(&mut yamux, now, &frame(1, SYN, 1, 0)).unwrap();
    yamux.accept(1, 0);
    transmit(&mut yamux, now);
    let (mut granted, mut received, mut largest) = (262_144_u64, 0_u64, 0);
    let chunk = vec![0; 131_072];
    while received < 10 << 30 {
        // A whole window for each round trip, of which only the header is looked at.
        let window = u32::try_from(granted - received).unwrap();
        let mut left = usize::try_from(window).unwrap();
        let header = frame(0, 0, 1, window);
        yamux.handle_input(now, &mut header.as_slice()).unwrap();
        while left > 0 {
            let mut part = &chunk[..left.min(chunk.len())];
            left -= part.len();
            yamux.handle_input(now, &mut part).unwrap();
        }
        received += u64::from(window);
        now = now + Duration::from_secs(1);
        yamux.grant(now, 1, window.try_into().unwrap());
        for update in transmit(&mut yamux, now).chunks(12) {
            granted += u64::from(u32::from_be_bytes(update[8..].try_into().unwrap()));
        }
        largest = largest.max(granted - received);
        assert_census(&yamux);
    }
    assert_eq!(largest, 16 << 20);
}
