//! Opening, credit, closing: one end at a time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::{Fault, Instant, Side, TransmitBuf};
use libp2p_proto_yamux::{Config, Error, Event, Yamux};
use std::time::Duration;
use support::{
    ACK, FIN, NOW, RST, SYN, WINDOW, after, data, events, feed, header, sent, session, session_with,
    transmit, update, with_stream,
};

// covers: YMX-031
#[test]
fn only_ten_streams_are_announced_before_the_first_frame_of_the_remote() {
    let mut yamux = Yamux::new(Side::Dialer, Config::default(), 7, NOW).unwrap();
    for _ in 0..25 {
        let stream = yamux.open(64).unwrap();
        yamux.write(stream, &mut "hi".into()).unwrap();
        yamux.finish(stream);
    }
    let early = sent(&mut yamux, NOW);
    let ids: Vec<u32> = early.iter().filter(|f| f.flags == SYN).map(|f| f.id).collect();
    assert_eq!(
        ids,
        [0, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19],
        "a ping, then ten streams"
    );
    assert!(
        early.iter().all(|frame| frame.id <= 19),
        "and no data of the others"
    );
    // One of those that wait is given up before it is announced.
    yamux.reset(21);
    feed(&mut yamux, NOW, &header(2, ACK, 0, 7)).unwrap();
    let rest = sent(&mut yamux, NOW);
    let ids: Vec<u32> = rest.iter().filter(|f| f.flags == SYN).map(|f| f.id).collect();
    assert_eq!(ids, (23..=49).step_by(2).collect::<Vec<u32>>());
    assert_eq!(rest.iter().filter(|frame| frame.flags == FIN).count(), 14);
}

// covers: YMX-010, YMX-012, YMX-013
#[test]
fn nothing_is_sent_on_a_stream_before_its_syn_and_syn_is_sent_once() {
    let mut yamux = session(Side::Dialer);
    for id in [1, 3, 5] {
        assert_eq!(yamux.open(1 << 20), Ok(id));
        yamux.write(id, &mut Bytes::from(vec![0; 40_000])).unwrap();
        yamux.grant(NOW, id, 1000);
    }
    let frames = sent(&mut yamux, NOW);
    for id in [1, 3, 5] {
        let of_stream: Vec<_> = frames.iter().filter(|frame| frame.id == id).collect();
        assert_eq!((of_stream[0].kind, of_stream[0].flags), (1, SYN));
        assert!(of_stream[1..].iter().all(|frame| frame.flags & SYN == 0));
    }
}

// covers: YMX-025, YMX-026
#[test]
fn a_frame_for_a_stream_that_was_not_announced_is_a_frame_for_an_unknown_stream() {
    let mut yamux = session(Side::Dialer);
    yamux.open(64).unwrap();
    for wire in [
        update(ACK, 1, 0),
        update(RST, 1, 0),
        data(0, 1, b"x"),
        update(FIN, 1, 0),
    ] {
        assert!(feed(&mut yamux, NOW, &wire).unwrap().is_empty());
    }
    assert_eq!(transmit(&mut yamux, NOW), update(SYN, 1, 0));
    assert_eq!(
        feed(&mut yamux, NOW, &update(ACK, 1, 0)).unwrap(),
        ["acknowledged 1"]
    );
}

// covers: YMX-022, YMX-023
#[test]
fn credit_data_and_fin_wait_until_the_stream_is_accepted_and_the_first_frame_acknowledges() {
    let mut yamux = session(Side::Listener);
    feed(&mut yamux, NOW, &data(SYN, 1, &vec![0; 200_000])).unwrap();
    yamux.grant(NOW, 1, 200_000);
    assert_eq!(yamux.write(1, &mut "early".into()), Ok(0));
    yamux.finish(1);
    assert!(transmit(&mut yamux, NOW).is_empty());
    yamux.accept(1, 64);
    yamux.accept(1, 64);
    let frames = sent(&mut yamux, NOW);
    let flags: Vec<u16> = frames.iter().map(|frame| frame.flags).collect();
    assert_eq!(flags, [ACK, FIN]);
    assert_eq!(frames[0].length, 200_000);
}

// covers: YMX-032, YMX-034
#[test]
fn with_no_credit_left_fin_waits_but_reset_and_ping_go_out() {
    let mut yamux = with_stream(1 << 20);
    yamux.write(1, &mut Bytes::from(vec![0; WINDOW + 1])).unwrap();
    transmit(&mut yamux, NOW);
    assert_eq!(yamux.queued(1), 1);
    yamux.finish(1);
    assert!(transmit(&mut yamux, NOW).is_empty());
    feed(&mut yamux, NOW, &header(2, SYN, 0, 5)).unwrap();
    assert_eq!(transmit(&mut yamux, NOW), header(2, ACK, 0, 5));
    feed(&mut yamux, NOW, &update(0, 1, 1)).unwrap();
    assert_eq!(
        transmit(&mut yamux, NOW),
        [data(0, 1, &[0]), data(FIN, 1, &[])].concat()
    );
}

// covers: YMX-032, YMX-034
#[test]
fn with_no_data_queued_fin_needs_no_credit() {
    let mut yamux = with_stream(1 << 20);
    yamux.write(1, &mut Bytes::from(vec![0; WINDOW])).unwrap();
    transmit(&mut yamux, NOW);
    yamux.finish(1);
    assert_eq!(transmit(&mut yamux, NOW), data(FIN, 1, &[]));
}

// covers: YMX-040
#[test]
fn a_megabyte_leaves_in_64_frames_of_16_kilobytes() {
    let mut yamux = session(Side::Dialer);
    yamux.open(1 << 20).unwrap();
    transmit(&mut yamux, NOW);
    feed(&mut yamux, NOW, &update(ACK, 1, 1 << 20)).unwrap();
    yamux.write(1, &mut Bytes::from(vec![0; 1 << 20])).unwrap();
    let lengths: Vec<u32> = sent(&mut yamux, NOW).iter().map(|frame| frame.length).collect();
    assert_eq!(lengths, [16_384; 64]);
}

#[test]
fn a_frame_never_passes_the_end_of_the_buffer_and_small_ones_share_it() {
    let mut yamux = session(Side::Dialer);
    for _ in 0..8 {
        let id = yamux.open(1 << 20).unwrap();
        yamux.write(id, &mut Bytes::from(vec![7; 3000])).unwrap();
    }
    for limit in [0, 5, 12, 13, 100, 4096, 20_000] {
        let mut wire = Vec::new();
        let mut out = TransmitBuf::new(&mut wire, limit);
        while yamux.poll_transmit(NOW, &mut out) {}
        assert!(wire.len() <= limit);
        let frames = support::frames(&wire);
        if limit == 4096 {
            assert_eq!(wire.len(), 4096, "the last frame is cut to the room");
            assert_eq!(frames.len(), 2);
        }
    }
    assert!(transmit(&mut yamux, NOW).is_empty());
}

// covers: YMX-040
#[test]
fn the_largest_frame_is_configurable_up_to_what_go_takes() {
    for (max_frame, good) in [(0, false), (1, true), (65_524, true), (65_525, false)] {
        let config = Config {
            max_frame,
            ..Config::default()
        };
        let made = Yamux::new(Side::Dialer, config, 0, NOW);
        assert_eq!(made.is_ok(), good);
        if !good {
            assert_eq!(made.unwrap_err(), Error::BadConfig("max_frame"));
        }
    }
    let config = Config {
        max_frame: 65_524,
        ..Config::default()
    };
    let mut yamux = session_with(Side::Dialer, config);
    yamux.open(1 << 20).unwrap();
    yamux.write(1, &mut Bytes::from(vec![0; WINDOW])).unwrap();
    let longest = sent(&mut yamux, NOW).iter().map(|frame| frame.length).max();
    assert_eq!(longest, Some(65_524));
}

// covers: YMX-009, YMX-041
#[test]
fn one_frame_of_eight_megabytes_inside_the_window_is_read_as_it_comes() {
    let config = Config {
        growth_budget: 64 << 20,
        ping_interval: Duration::MAX,
        ..Config::default()
    };
    let mut yamux = Yamux::new(Side::Listener, config, 7, NOW).unwrap();
    transmit(&mut yamux, NOW);
    let mut now = after(500);
    feed(&mut yamux, now, &header(2, ACK, 0, 7)).unwrap();
    feed(&mut yamux, now, &update(SYN, 1, 0)).unwrap();
    let mut window = WINDOW;
    while window < 8 << 20 {
        feed(&mut yamux, now, &data(0, 1, &vec![0; window])).unwrap();
        yamux.grant(now, 1, window);
        window *= 2;
        now = now + Duration::from_millis(1);
    }
    let mut input = &header(0, 0, 1, 8 << 20)[..];
    assert_eq!(yamux.handle_input(now, &mut input), Ok(None));
    let part = vec![3; 10_000];
    let mut got = 0;
    while got < 8 << 20 {
        let mut input = &part[..part.len().min((8 << 20) - got)];
        match yamux.handle_input(now, &mut input).unwrap() {
            Some(Event::Data { stream: 1, bytes }) => got += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(feed(&mut yamux, now, &data(0, 1, &[])), Ok(vec![]));
}

// covers: YMX-095
#[test]
fn received_bytes_are_the_memory_of_the_input() {
    let mut yamux = with_stream(0);
    let wire = data(0, 1, b"hello");
    let mut input = &wire[..];
    let Some(Event::Data { bytes, .. }) = yamux.handle_input(NOW, &mut input).unwrap() else {
        panic!("no data")
    };
    assert_eq!(bytes.as_ptr(), wire[12..].as_ptr());
}

// covers: YMX-094
#[test]
fn a_full_queue_takes_nothing_and_says_when_there_is_room() {
    let mut yamux = with_stream(10);
    let mut bytes = Bytes::from_static(b"fourteen bytes");
    assert_eq!(yamux.write(1, &mut bytes), Ok(10));
    assert_eq!(bytes, "ytes");
    assert_eq!(yamux.write(1, &mut bytes), Ok(0));
    assert!(events(&mut yamux).is_empty());
    transmit(&mut yamux, NOW);
    assert_eq!(events(&mut yamux), ["drained 1 10"]);
    assert!(events(&mut yamux).is_empty());
    assert_eq!(yamux.write(1, &mut bytes), Ok(4));
}

// covers: YMX-049, YMX-050, YMX-052
#[test]
fn windows_double_under_two_round_trips_and_not_over_them() {
    // Time between updates, round trip, windows after each update.
    let table: [(u64, Option<u64>, [usize; 4]); 4] = [
        (150, Some(100), [512 << 10, 1 << 20, 2 << 20, 4 << 20]),
        (199, Some(100), [512 << 10, 1 << 20, 2 << 20, 4 << 20]),
        (250, Some(100), [WINDOW; 4]),
        (1, None, [WINDOW; 4]),
    ];
    for (gap, rtt, windows) in table {
        let config = Config {
            ping_interval: Duration::MAX,
            ping_timeout: Duration::MAX,
            ..Config::default()
        };
        let mut yamux = Yamux::new(Side::Listener, config, 7, NOW).unwrap();
        transmit(&mut yamux, NOW);
        if let Some(rtt) = rtt {
            feed(&mut yamux, after(rtt), &header(2, ACK, 0, 7)).unwrap();
            assert_eq!(yamux.rtt(), Some(Duration::from_millis(rtt)));
        }
        let mut now = after(rtt.unwrap_or(0));
        feed(&mut yamux, now, &update(SYN, 1, 0)).unwrap();
        yamux.accept(1, 0);
        transmit(&mut yamux, now);
        let mut window = WINDOW;
        for wanted in windows {
            now = now + Duration::from_millis(gap);
            let half = window / 2;
            feed(&mut yamux, now, &data(0, 1, &vec![0; half])).unwrap();
            yamux.grant(now, 1, half - 1);
            assert!(
                transmit(&mut yamux, now).is_empty(),
                "nothing before half is used up"
            );
            yamux.grant(now, 1, 1);
            let frames = sent(&mut yamux, now);
            assert_eq!(frames.len(), 1);
            let growth = frames[0].length as usize - half;
            assert_eq!(window + growth, wanted, "gap {gap}");
            window = wanted;
        }
    }
}

// covers: YMX-050, YMX-053
#[test]
fn a_late_pong_counts_as_two_seconds_and_growth_ends_at_the_budget_of_all_streams() {
    let config = Config {
        growth_budget: 1 << 20,
        ping_interval: Duration::MAX,
        ping_timeout: Duration::MAX,
        ..Config::default()
    };
    let mut yamux = Yamux::new(Side::Listener, config, 7, NOW).unwrap();
    transmit(&mut yamux, NOW);
    let mut now = after(60_000);
    feed(&mut yamux, now, &header(2, ACK, 0, 7)).unwrap();
    assert_eq!(yamux.rtt(), Some(Duration::from_secs(2)));
    let mut granted = 0;
    for id in [1, 3, 5, 7] {
        feed(&mut yamux, now, &update(SYN, id, 0)).unwrap();
        yamux.accept(id, 0);
        transmit(&mut yamux, now);
        let mut window = WINDOW;
        for _ in 0..10 {
            now = now + Duration::from_millis(1);
            feed(&mut yamux, now, &data(0, id, &vec![0; window])).unwrap();
            yamux.grant(now, id, window);
            let credit = sent(&mut yamux, now)[0].length as usize;
            granted += credit - window;
            window = credit;
        }
    }
    assert_eq!(granted, 1 << 20);
    // What a stream had grown by is free again when it ends.
    feed(&mut yamux, now, &update(RST, 1, 0)).unwrap();
    feed(&mut yamux, now, &update(SYN, 9, 0)).unwrap();
    yamux.accept(9, 0);
    transmit(&mut yamux, now);
    feed(&mut yamux, now, &data(0, 9, &vec![0; WINDOW])).unwrap();
    yamux.grant(now, 9, WINDOW);
    assert_eq!(sent(&mut yamux, now)[0].length as usize, 2 * WINDOW);
}

#[test]
fn a_window_grows_to_the_limit_of_its_stream() {
    let mut yamux = Yamux::new(Side::Listener, Config::default(), 7, NOW).unwrap();
    transmit(&mut yamux, NOW);
    feed(&mut yamux, after(100), &header(2, ACK, 0, 7)).unwrap();
    for (id, limit, wanted) in [(1, 0, WINDOW), (3, 300_000, 300_000), (5, usize::MAX, 2 * WINDOW)] {
        feed(&mut yamux, after(100), &update(SYN, id, 0)).unwrap();
        yamux.accept(id, 0);
        yamux.set_max_window(id, limit);
        transmit(&mut yamux, after(100));
        feed(&mut yamux, after(100), &data(0, id, &vec![0; WINDOW])).unwrap();
        yamux.grant(after(100), id, WINDOW);
        assert_eq!(sent(&mut yamux, after(100))[0].length as usize, wanted);
    }
}

// covers: YMX-046
#[test]
fn credit_that_waits_when_the_remote_finishes_is_not_sent_any_more() {
    let mut yamux = with_stream(64);
    feed(&mut yamux, NOW, &data(0, 1, &vec![0; 200_000])).unwrap();
    yamux.grant(NOW, 1, 200_000);
    feed(&mut yamux, NOW, &data(FIN, 1, &[])).unwrap();
    assert!(transmit(&mut yamux, NOW).is_empty());
    yamux.write(1, &mut "on".into()).unwrap();
    assert_eq!(transmit(&mut yamux, NOW), data(0, 1, b"on"));
}

// covers: YMX-029
#[test]
fn our_streams_count_until_their_end_was_reported() {
    let config = Config {
        max_outbound: 2,
        ..Config::default()
    };
    let mut yamux = session_with(Side::Dialer, config);
    for id in [1, 3] {
        assert_eq!(yamux.open(64), Ok(id));
        yamux.finish(id);
    }
    assert_eq!(yamux.open(64), Err(Error::TooManyStreams));
    transmit(&mut yamux, NOW);
    let mut input = &data(FIN | ACK, 1, &[])[..];
    while yamux.handle_input(NOW, &mut input).unwrap().is_some() {}
    assert_eq!(yamux.stream_count(), 1);
    assert_eq!(yamux.open(64), Err(Error::TooManyStreams));
    assert_eq!(events(&mut yamux), ["closed 1"]);
    assert_eq!(yamux.open(64), Ok(5));
}

#[test]
fn more_credit_than_was_received_is_not_given() {
    let mut yamux = with_stream(0);
    yamux.grant(NOW, 1, usize::MAX);
    assert!(transmit(&mut yamux, NOW).is_empty());
    feed(&mut yamux, NOW, &data(0, 1, &vec![0; 200_000])).unwrap();
    yamux.grant(NOW, 1, usize::MAX);
    yamux.grant(NOW, 1, usize::MAX);
    assert_eq!(transmit(&mut yamux, NOW), update(0, 1, 200_000));
}

// covers: YMX-068, YMX-069
#[test]
fn an_abandoned_stream_ends_with_a_reset_or_a_fin_or_nothing() {
    let mut yamux = session(Side::Dialer);
    let unsent = yamux.open(64).unwrap();
    yamux.abandon(unsent);
    assert!(transmit(&mut yamux, NOW).is_empty());

    let busy = yamux.open(64).unwrap();
    yamux.write(busy, &mut "hi".into()).unwrap();
    transmit(&mut yamux, NOW);
    yamux.abandon(busy);
    assert_eq!(transmit(&mut yamux, NOW), update(RST, busy, 0));

    let read = yamux.open(64).unwrap();
    transmit(&mut yamux, NOW);
    feed(&mut yamux, NOW, &data(FIN | ACK, read, b"bye")).unwrap();
    yamux.grant(NOW, read, 3);
    yamux.abandon(read);
    assert_eq!(transmit(&mut yamux, NOW), data(FIN, read, &[]));
    assert_eq!(events(&mut yamux), [format!("closed {read}")]);

    let unread = yamux.open(64).unwrap();
    transmit(&mut yamux, NOW);
    feed(&mut yamux, NOW, &data(FIN | ACK, unread, b"bye")).unwrap();
    yamux.abandon(unread);
    assert_eq!(transmit(&mut yamux, NOW), update(RST, unread, 0));
    assert_eq!(yamux.stream_count(), 0);
}

// covers: YMX-070
#[test]
fn a_stream_that_is_no_longer_read_gives_all_its_credit_back_and_the_end_is_told() {
    let mut yamux = with_stream(64);
    feed(&mut yamux, NOW, &data(0, 1, &vec![0; 200_000])).unwrap();
    yamux.stop_reading(1);
    assert_eq!(transmit(&mut yamux, NOW), update(0, 1, 200_000));
    for _ in 0..100 {
        assert!(
            feed(&mut yamux, NOW, &data(0, 1, &vec![0; 131_072]))
                .unwrap()
                .is_empty()
        );
        assert_eq!(transmit(&mut yamux, NOW), update(0, 1, 131_072));
    }
    yamux.write(1, &mut "still".into()).unwrap();
    assert_eq!(transmit(&mut yamux, NOW), data(0, 1, b"still"));
    assert_eq!(
        feed(&mut yamux, NOW, &data(FIN, 1, b"x")).unwrap(),
        ["finished 1", "drained 1 5"]
    );
}

// covers: YMX-085, YMX-086, YMX-087
#[test]
fn after_a_normal_go_away_streams_finish_and_after_any_other_they_are_lost() {
    let mut yamux = with_stream(64);
    feed(&mut yamux, NOW, &header(3, 0, 0, 0)).unwrap();
    assert!(yamux.is_peer_going_away());
    assert_eq!(yamux.open(1), Err(Error::GoingAway));
    feed(&mut yamux, NOW, &data(FIN, 1, b"rest")).unwrap();
    yamux.write(1, &mut "rest".into()).unwrap();
    yamux.finish(1);
    assert!(!yamux.is_closed());
    assert_eq!(
        transmit(&mut yamux, NOW),
        [data(0, 1, b"rest"), data(FIN, 1, &[])].concat()
    );
    assert!(yamux.is_closed());
    assert_eq!(yamux.poll_timeout(), None);

    let mut yamux = with_stream(64);
    feed(&mut yamux, NOW, &update(SYN, 3, 0)).unwrap();
    assert_eq!(
        feed(&mut yamux, NOW, &header(3, 0, 0, 2)).unwrap(),
        ["go-away 0x2"]
    );
    let lost = Error::RemoteGoAway(2);
    assert_eq!(yamux.write(1, &mut "x".into()), Err(lost));
    assert_eq!(yamux.write(3, &mut "x".into()), Err(lost));
    assert_eq!(feed(&mut yamux, NOW, &data(0, 1, b"x")), Err(lost));
    assert!(transmit(&mut yamux, NOW).is_empty());
    assert!(yamux.is_closed());
}

// covers: YMX-081
#[test]
fn our_own_go_away_waits_for_the_streams_that_stand() {
    let mut yamux = with_stream(64);
    yamux.go_away();
    assert_eq!(yamux.open(1), Err(Error::GoingAway));
    assert_eq!(transmit(&mut yamux, NOW), header(3, 0, 0, 0));
    assert!(!yamux.is_closed());
    feed(&mut yamux, NOW, &data(FIN, 1, b"rest")).unwrap();
    yamux.finish(1);
    transmit(&mut yamux, NOW);
    assert!(yamux.is_closed());
    assert_eq!(yamux.handle_eof(), Ok(()));
}

// covers: YMX-089, YMX-090
#[test]
fn the_end_of_the_bytes_is_an_error_while_streams_stand_or_inside_a_frame() {
    let mut lost = with_stream(64);
    assert_eq!(lost.handle_eof(), Err(Error::ConnectionLost));
    assert_eq!(lost.write(1, &mut "x".into()), Err(Error::ConnectionLost));
    assert!(transmit(&mut lost, NOW).is_empty() && lost.is_closed());

    let mut half = with_stream(64);
    feed(&mut half, NOW, &data(FIN, 1, &[])).unwrap();
    assert_eq!(half.handle_eof(), Err(Error::ConnectionLost));

    let mut done = with_stream(64);
    feed(&mut done, NOW, &data(FIN, 1, &[])).unwrap();
    done.finish(1);
    transmit(&mut done, NOW);
    assert_eq!(done.handle_eof(), Ok(()));
    assert!(done.is_closed());

    for part in [1, 11, 12, 16] {
        let mut cut = with_stream(64);
        feed(&mut cut, NOW, &data(0, 1, b"hello")[..part]).unwrap();
        assert_eq!(cut.handle_eof(), Err(Error::UnexpectedEnd));
    }
    let mut whole = session(Side::Listener);
    feed(&mut whole, NOW, &header(2, SYN, 0, 1)).unwrap();
    assert_eq!(whole.handle_eof(), Ok(()));
}

// covers: YMX-082
#[test]
fn a_failure_of_our_own_ends_the_session_with_code_2() {
    let mut yamux = with_stream(64);
    yamux.abort();
    yamux.abort();
    assert!(!yamux.is_closed());
    assert_eq!(transmit(&mut yamux, NOW), header(3, 0, 0, 2));
    assert!(yamux.is_closed());
    assert_eq!(yamux.open(1), Err(Error::Aborted));
    assert_eq!(Error::Aborted.fault(), Fault::Local);
    assert_eq!(Error::BadVersion(1).fault(), Fault::Peer);
    assert_eq!(Error::TooManyStreams.fault(), Fault::Limit);
}

// covers: YMX-093
#[test]
fn every_call_is_harmless_on_streams_that_are_not_there() {
    let mut yamux = session(Side::Dialer);
    for id in [0, 1, 2, 0x8000_0000, u32::MAX] {
        yamux.accept(id, 1);
        yamux.grant(NOW, id, usize::MAX);
        yamux.set_max_window(id, 0);
        yamux.finish(id);
        yamux.reset(id);
        yamux.abandon(id);
        yamux.stop_reading(id);
        assert_eq!(yamux.write(id, &mut "x".into()), Err(Error::UnknownStream));
        assert_eq!(yamux.queued(id), 0);
    }
    assert!(transmit(&mut yamux, NOW).is_empty());
    yamux.handle_timeout(NOW).unwrap();
    assert_eq!(yamux.poll_timeout().map(|d| d.at > Instant::ZERO), Some(true));
}
