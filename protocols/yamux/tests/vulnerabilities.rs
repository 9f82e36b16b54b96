//! The listed failures of others, as far as one session can show them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::{Side, TransmitBuf};
use libp2p_proto_yamux::{Config, Error, Event, Yamux};
use std::{collections::BTreeMap, time::Duration};
use support::{
    ACK, FIN, NOW, Pair, RST, SYN, WINDOW, after, data, events, feed, header, sent, session, session_with,
    transmit, update, with_stream,
};

/// How a frame is made from its number.
type Make = fn(u32) -> Vec<u8>;

/// Which frame of so many ends the session, and how.
fn flood(yamux: &mut Yamux, wire: impl Fn(u32) -> Vec<u8>, most: u32) -> Option<(u32, Error)> {
    (0..most).find_map(|number| Some((number, feed(yamux, NOW, &wire(number)).err()?)))
}

// covers: YMX-017, YMX-038
#[test]
fn vul_030_all_credit_up_to_the_last_byte_is_taken_and_not_one_more() {
    let most = u32::MAX - 262_144;
    for parts in [
        vec![most],
        vec![1, most - 1],
        vec![most / 2, most / 2, most % 2],
        vec![0, most, 0],
    ] {
        let mut yamux = with_stream(64);
        for part in parts {
            feed(&mut yamux, NOW, &update(0, 1, part)).unwrap();
        }
        assert_eq!(
            feed(&mut yamux, NOW, &update(0, 1, 1)),
            Err(Error::WindowOverflow)
        );
    }
    let mut yamux = session(Side::Listener);
    feed(&mut yamux, NOW, &update(SYN, 1, most)).unwrap();
    let mut yamux = session(Side::Listener);
    assert_eq!(
        feed(&mut yamux, NOW, &update(SYN, 1, most + 1)),
        Err(Error::WindowOverflow)
    );
}

// covers: YMX-072, YMX-079
#[test]
fn vul_033_a_peer_that_reads_nothing_costs_16_kilobytes_at_most_and_is_closed_in_ten_seconds() {
    // Within every rate: a stream that is accepted, and perhaps reset, and a ping, every ten milliseconds.
    let drive = |steps: u32, reset_every: u32| {
        let mut yamux = session(Side::Listener);
        for step in 0..steps {
            let now = after(u64::from(step) * 10);
            let id = 2 * step + 1;
            let wire = [update(SYN, id, 0), header(2, SYN, 0, step)].concat();
            let fed = yamux
                .handle_timeout(now)
                .and_then(|()| feed(&mut yamux, now, &wire));
            if let Err(error) = fed {
                return (yamux, Some((step, error)));
            }
            yamux.accept(id, 64);
            if step % reset_every == 0 {
                yamux.reset(id);
            }
        }
        (yamux, None)
    };
    for reset_every in [1, 2, 3, 4, 100] {
        let (_, end) = drive(2000, reset_every);
        let (step, error) = end.unwrap();
        assert!(step <= 1000, "ten seconds");
        assert_eq!(error, Error::PeerNotReading);
        // What had been queued until then.
        let (mut yamux, _) = drive(step, reset_every);
        let queued = transmit(&mut yamux, after(9_990)).len();
        assert!(queued <= 16 << 10, "{queued}");
    }
}

// covers: YMX-066
#[test]
fn vul_034_a_withheld_body_stops_no_other_answer_and_an_impossible_one_is_refused_by_its_header() {
    let mut yamux = with_stream(64);
    assert!(matches!(
        feed(&mut yamux, NOW, &header(0, 0, 1, u32::MAX)),
        Err(Error::WindowExceeded { got: u32::MAX, .. })
    ));
    let mut yamux = with_stream(64);
    feed(&mut yamux, NOW, &header(0, 0, 9, 200_000)).unwrap();
    feed(&mut yamux, NOW, &vec![0; 199_999]).unwrap();
    yamux.write(1, &mut "on".into()).unwrap();
    assert_eq!(transmit(&mut yamux, NOW), data(0, 1, b"on"));
    let rest = [vec![0], data(0, 1, b"go")].concat();
    assert_eq!(
        feed(&mut yamux, NOW, &rest).unwrap(),
        ["data 1 676f", "drained 1 2"]
    );
    assert_eq!(yamux.stats().bytes_skipped, 200_000);
}

// covers: YMX-028, YMX-029, YMX-035, YMX-054
#[test]
fn vul_035_streams_over_the_limit_are_reset_and_too_many_of_them_end_the_session() {
    let mut yamux = session(Side::Listener);
    for number in 0..250 {
        let id = 2 * number + 1;
        assert_eq!(
            feed(&mut yamux, NOW, &update(SYN, id, 0)).unwrap(),
            [format!("opened {id}")]
        );
    }
    for number in 250..650 {
        let id = 2 * number + 1;
        assert!(feed(&mut yamux, NOW, &update(SYN, id, 0)).unwrap().is_empty());
        assert_eq!(transmit(&mut yamux, NOW), update(RST, id, 0));
    }
    assert_eq!(yamux.stats().refused, 400);
    assert_eq!(
        feed(&mut yamux, NOW, &update(SYN, 1301, 0)),
        Err(Error::ResetFlood)
    );
    assert_eq!(transmit(&mut yamux, NOW), header(3, 0, 0, 1));
}

// covers: YMX-028
#[test]
fn streams_that_nobody_takes_are_reset_beyond_their_own_limit() {
    let config = Config {
        max_inbound: 1000,
        ..Config::default()
    };
    let mut yamux = session_with(Side::Listener, config);
    for id in (1..513).step_by(2) {
        feed(&mut yamux, NOW, &update(SYN, id, 0)).unwrap();
    }
    assert!(feed(&mut yamux, NOW, &update(SYN, 513, 0)).unwrap().is_empty());
    assert_eq!(transmit(&mut yamux, NOW), update(RST, 513, 0));
    yamux.accept(1, 0);
    assert_eq!(
        feed(&mut yamux, NOW, &update(SYN, 515, 0)).unwrap(),
        ["opened 515"]
    );
}

// covers: YMX-071
#[test]
fn vul_036_two_hundred_pairs_a_second_are_borne_for_ever_and_ten_thousand_at_once_are_not() {
    let pair = |number: u32| [update(SYN, 2 * number + 1, 0), update(RST, 2 * number + 1, 0)].concat();
    let mut honest = session(Side::Listener);
    for number in 0..4000 {
        let now = after(u64::from(number) * 5);
        feed(&mut honest, now, &pair(number)).unwrap();
    }
    assert!(transmit(&mut honest, after(20_000)).is_empty());
    let mut hostile = session(Side::Listener);
    assert_eq!(flood(&mut hostile, pair, 10_000), Some((400, Error::ResetFlood)));
}

// covers: YMX-033
#[test]
fn vul_037_frames_without_progress_are_counted_whatever_their_kind_and_honest_ones_are_not() {
    let prepare = || {
        let mut yamux = with_stream(64);
        feed(&mut yamux, NOW, &update(SYN | FIN, 3, 0)).unwrap();
        feed(&mut yamux, NOW, &update(SYN, 5, 0)).unwrap();
        yamux.reset(5);
        transmit(&mut yamux, NOW);
        yamux
    };
    let empties: [(&str, Make, u32); 10] = [
        ("empty data", |_| data(0, 1, &[]), 10_000),
        ("empty update", |_| update(0, 1, 0), 10_000),
        ("an ACK that says nothing new", |_| update(ACK, 1, 0), 10_000),
        ("data behind FIN", |_| data(0, 3, b"x"), 10_000),
        ("another FIN", |_| data(FIN, 3, &[]), 10_000),
        ("updates of an unknown stream", |_| update(0, 99, 7), 10_000),
        ("resets of an unknown stream", |_| update(RST, 99, 0), 10_000),
        ("late updates of a reset stream", |_| update(0, 5, 7), 10_000),
        ("late FINs of a reset stream", |_| data(FIN, 5, &[]), 10_000),
        ("go-aways", |_| header(3, 0, 0, 0), 10_001),
    ];
    for (what, wire, most) in empties {
        let mut yamux = prepare();
        let (count, error) = flood(&mut yamux, wire, 20_000).unwrap();
        assert!((most - 5..=most + 5).contains(&count), "{what}: {count}");
        assert_eq!(error, Error::NoProgress, "{what}");
        assert_eq!(
            transmit(&mut yamux, NOW),
            header(3, 0, 0, 1),
            "{what}: one frame back"
        );
    }
    let (count, error) = flood(&mut prepare(), |_| header(2, SYN, 0, 1), 20_000).unwrap();
    assert_eq!((count, error), (100, Error::PingFlood));

    // An update behind every byte is what js sends; also after its stream has closed.
    let mut busy = prepare();
    for _ in 0..30_000 {
        let wire = [data(0, 1, b"x"), update(0, 99, 1)].concat();
        feed(&mut busy, NOW, &wire).unwrap();
        busy.grant(NOW, 1, 1);
    }
    let mut slow = prepare();
    for number in 0..30_000_u64 {
        feed(&mut slow, after(number * 2), &update(0, 1, 0)).unwrap();
    }
}

// covers: YMX-004, YMX-083
#[test]
fn vul_037_we_send_empty_data_only_to_finish() {
    let mut pair = Pair::new(Duration::from_millis(1));
    for size in [0, 1, 100, WINDOW, 3 * WINDOW] {
        let id = pair.ends[0].open(usize::MAX).unwrap();
        pair.ends[0].write(id, &mut Bytes::from(vec![1; size])).unwrap();
        pair.ends[0].finish(id);
    }
    for _ in 0..200 {
        for who in 0..2 {
            let wire = transmit(&mut pair.ends[who], NOW);
            for frame in support::frames(&wire) {
                assert!(frame.kind != 0 || frame.length > 0 || frame.flags & FIN != 0);
                assert_eq!(frame.flags & 0xfff0, 0);
                assert!(frame.kind != 2 || [SYN, ACK].contains(&frame.flags));
                assert!(frame.kind != 3 || frame.length <= 2);
                assert_ne!(frame.flags, SYN | ACK);
            }
            let to = &mut pair.ends[1 - who];
            let mut input = &wire[..];
            while let Some(event) = to.handle_input(NOW, &mut input).unwrap() {
                match event {
                    Event::Opened { stream } => to.accept(stream, 0),
                    Event::Data { stream, bytes } => to.grant(NOW, stream, bytes.len()),
                    Event::Finished { stream } => to.finish(stream),
                    _ => {}
                }
            }
        }
    }
    assert_eq!(pair.ends[0].stats().bytes_out, 4 * WINDOW as u64 + 101);
}

// covers: YMX-002, YMX-003, YMX-006, YMX-007, YMX-018, YMX-020
#[test]
fn vul_039_every_version_and_type_but_ours_is_refused() {
    for version in 1..=255 {
        let wire = [vec![version], header(0, 0, 1, 0)[1..].to_vec()].concat();
        let error = Error::BadVersion(version);
        assert_eq!(feed(&mut with_stream(0), NOW, &wire), Err(error));
    }
    for kind in 4..=255 {
        let wire = header(kind, 0, 1, 0);
        assert_eq!(feed(&mut with_stream(0), NOW, &wire), Err(Error::BadType(kind)));
    }
    for bit in 4..16 {
        let mut yamux = with_stream(0);
        let wire = header(0, 1 << bit, 1, 0);
        assert!(feed(&mut yamux, NOW, &wire).unwrap().is_empty());
        assert_eq!(feed(&mut yamux, NOW, &data(0, 1, b"x")).unwrap(), ["data 1 78"]);
    }
}

// covers: YMX-059
#[test]
fn vul_043_every_abandoned_stream_is_gone_and_fin_never_passes_data() {
    let mut pair = Pair::new(Duration::from_millis(1));
    pair.run(&mut |_, _, _, _| {}).unwrap();
    let mut got: BTreeMap<u32, (usize, bool)> = BTreeMap::new();
    let mut cut = 0;
    for number in 0..20_000_usize {
        let id = pair.ends[0].open(64 << 10).unwrap();
        pair.ends[0]
            .write(id, &mut Bytes::from(vec![1; number % 50]))
            .unwrap();
        if number % 2 == 0 {
            pair.ends[0].finish(id);
        }
        pair.now = pair.now + Duration::from_millis(5);
        let mut act = |who: usize, end: &mut Yamux, now, event: Event<'_>| match event {
            Event::Opened { stream } => end.accept(stream, 0),
            Event::Data { stream, bytes } => {
                assert!(!got.get(&stream).is_some_and(|(_, finished)| *finished));
                got.entry(stream).or_default().0 += bytes.len();
                end.grant(now, stream, bytes.len());
            }
            Event::Finished { stream } if who == 1 => {
                got.entry(stream).or_default().1 = true;
                end.finish(stream);
            }
            Event::Reset { .. } => cut += 1,
            _ => {}
        };
        pair.run(&mut act).unwrap();
        if number % 2 == 1 {
            pair.ends[0].abandon(id);
        }
        pair.run(&mut act).unwrap();
        assert_eq!(pair.ends[0].stream_count() + pair.ends[1].stream_count(), 0);
        if number % 2 == 0 {
            assert_eq!(got[&id], (number % 50, true));
        }
        got.remove(&id);
    }
    assert_eq!(cut, 10_000);
}

// covers: YMX-091
#[test]
fn vul_044_after_the_end_every_call_answers_the_same_for_ever() {
    let ends: [fn(&mut Yamux); 5] = [
        |yamux| drop(feed(yamux, NOW, &[9; 12])),
        |yamux| drop(feed(yamux, NOW, &header(3, 0, 0, 7))),
        Yamux::abort,
        |yamux| assert!(yamux.handle_eof().is_err()),
        |yamux| assert!(yamux.handle_timeout(after(10_000_000)).is_err()),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        for closing in [false, true] {
            let mut yamux = with_stream(64);
            yamux.write(1, &mut "queued".into()).unwrap();
            feed(&mut yamux, NOW, &header(2, SYN, 0, 1)).unwrap();
            if closing {
                yamux.go_away();
            }
            end(&mut yamux);
            let error = yamux.write(1, &mut "x".into()).unwrap_err();
            let last = transmit(&mut yamux, NOW);
            assert!(last.len() <= 12, "at most the go-away: {number}");
            for _ in 0..1000 {
                assert_eq!(yamux.open(1), Err(error));
                assert_eq!(yamux.write(1, &mut "x".into()), Err(error));
                assert_eq!(feed(&mut yamux, NOW, &update(SYN, 3, 0)), Err(error));
                assert_eq!(yamux.handle_timeout(after(u64::MAX)), Err(error));
                assert_eq!(yamux.handle_eof(), Err(error));
                yamux.accept(1, 1);
                yamux.grant(NOW, 1, 1);
                yamux.finish(1);
                yamux.reset(1);
                yamux.abandon(1);
                yamux.stop_reading(1);
                yamux.set_max_window(1, 1);
                yamux.go_away();
                yamux.abort();
                assert!(events(&mut yamux).is_empty() && transmit(&mut yamux, NOW).is_empty());
                assert_eq!((yamux.poll_timeout(), yamux.stream_count()), (None, 0));
                assert!(yamux.is_closed());
            }
        }
    }
}

#[test]
fn vul_165_a_machine_after_its_error_takes_no_input_and_gives_no_output() {
    let mut yamux = with_stream(64);
    feed(&mut yamux, NOW, &header(9, 0, 0, 0)).unwrap_err();
    assert_eq!(transmit(&mut yamux, NOW), header(3, 0, 0, 1));
    for _ in 0..1000 {
        let wire = data(0, 1, b"x");
        let mut input = &wire[..];
        assert_eq!(yamux.handle_input(NOW, &mut input), Err(Error::BadType(9)));
        assert_eq!(input.len(), wire.len());
        assert!(!yamux.poll_transmit(NOW, &mut TransmitBuf::new(&mut Vec::new(), 99)));
    }
}

// covers: YMX-015, YMX-025
#[test]
fn vul_045_a_peer_that_acknowledges_late_or_never_still_gets_its_data() {
    let mut yamux = session(Side::Dialer);
    yamux.open(1 << 20).unwrap();
    yamux.write(1, &mut Bytes::from(vec![0; 100 << 10])).unwrap();
    let sent: usize = sent(&mut yamux, NOW).iter().map(|frame| frame.body.len()).sum();
    assert_eq!(sent, 100 << 10);
    assert_eq!(
        feed(&mut yamux, NOW, &data(0, 1, b"answer")).unwrap(),
        ["data 1 616e73776572", "drained 1 102400"]
    );
    assert_eq!(feed(&mut yamux, NOW, &data(ACK | FIN, 1, &[])).unwrap().len(), 2);
}

// covers: YMX-042, YMX-043
#[test]
fn vul_047_one_unread_stream_delays_no_other_and_none_waits_for_more_than_a_frame_of_each() {
    let mut yamux = session(Side::Dialer);
    for _ in 0..4 {
        let id = yamux.open(usize::MAX).unwrap();
        yamux.write(id, &mut Bytes::from(vec![0; 1 << 20])).unwrap();
    }
    transmit(&mut yamux, NOW);
    // Stream 1 is never read; the others get credit.
    for id in [3, 5, 7] {
        feed(&mut yamux, NOW, &update(ACK, id, 1 << 20)).unwrap();
    }
    feed(&mut yamux, NOW, &header(2, SYN, 0, 1)).unwrap();
    let frames = sent(&mut yamux, NOW);
    assert_eq!(frames[0].kind, 2, "a pong goes before a megabyte of data");
    let order: Vec<u32> = frames[1..].iter().map(|frame| frame.id).collect();
    assert!(order.chunks(3).all(|turn| turn == [3, 5, 7]));
    assert_eq!(yamux.queued(1), (1 << 20) - WINDOW);
}

#[test]
fn vul_048_chosen_ids_behave_as_sequential_ones_do() {
    let run = |ids: &mut dyn Iterator<Item = u32>| {
        let mut yamux = session(Side::Listener);
        let mut count = 0;
        for id in ids.take(250) {
            let frame = data(SYN, id, b"x");
            let mut input = &frame[..];
            while yamux.handle_input(NOW, &mut input).unwrap().is_some() {}
            yamux.accept(id, 64);
            yamux.write(id, &mut "y".into()).unwrap();
            count += 1;
        }
        assert_eq!(yamux.stream_count(), count);
        (yamux.stats(), sent(&mut yamux, NOW).len(), count)
    };
    // An ordered map keeps the streams. Its nodes depend on the order of the keys alone, never on the keys: the same allocations are the same tree, and so
    // the same number of comparisons for every frame.
    let measured = |ids: &mut dyn Iterator<Item = u32>| {
        let mut result = None;
        let info = allocation_counter::measure(|| result = Some(run(ids)));
        (result, info.count_total, info.bytes_total, info.bytes_max)
    };
    let sequential = measured(&mut (0..).map(|n| 2 * n + 1));
    let chosen = measured(&mut (0..4095).map(|n| (n << 20) | 1));
    assert_eq!(sequential, chosen);
}

// covers: YMX-089
#[test]
fn vul_187_a_session_ends_in_bounded_steps_whatever_is_outstanding() {
    let config = Config {
        max_outbound: 256,
        ..Config::default()
    };
    for both in [false, true] {
        let mut pair = Pair::with(Duration::from_millis(5), config);
        for _ in 0..256 {
            let id = pair.ends[0].open(1 << 20).unwrap();
            pair.ends[0].write(id, &mut Bytes::from(vec![0; 5000])).unwrap();
        }
        assert_eq!(pair.ends[0].open(1), Err(Error::TooManyStreams));
        pair.step(&mut |_, _, _, _| {}).unwrap();
        pair.ends[0].go_away();
        if both {
            pair.ends[1].go_away();
        }
        for id in 0..600 {
            pair.ends[0].reset(id);
        }
        for _ in 0..20 {
            let stream_of = |event: &Event<'_>| match event {
                Event::Opened { stream } => Some(*stream),
                _ => None,
            };
            let mut act = |_: usize, end: &mut Yamux, _, event: Event<'_>| {
                if let Some(stream) = stream_of(&event) {
                    end.reset(stream);
                }
            };
            if !pair.step(&mut act).unwrap() {
                break;
            }
        }
        assert!(pair.ends.iter().all(|end| end.stream_count() == 0));
        assert!(pair.ends.iter().all(Yamux::is_closed));
        assert!(pair.ends.iter().all(|end| end.poll_timeout().is_none()));
        assert!(pair.ends.iter_mut().all(|end| end.handle_eof().is_ok()));
    }
}

// covers: YMX-056, YMX-086
#[test]
fn vul_188_what_was_written_before_the_end_arrives_whole_or_both_ends_hear_of_a_reset() {
    for size in [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 10 * WINDOW] {
        let mut pair = Pair::new(Duration::from_millis(20));
        pair.run(&mut |_, _, _, _| {}).unwrap();
        let id = pair.ends[0].open(usize::MAX).unwrap();
        let body: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        pair.ends[0].write(id, &mut body.clone().into()).unwrap();
        pair.ends[0].finish(id);
        pair.ends[0].go_away();
        let (mut got, mut finished, mut unread) = (Vec::new(), false, 0);
        loop {
            let moved = pair
                .step(&mut |_, end, _, event| match event {
                    Event::Opened { stream } => end.accept(stream, 0),
                    Event::Data { bytes, .. } => {
                        got.extend_from_slice(bytes);
                        unread += bytes.len();
                    }
                    Event::Finished { stream } => {
                        finished = true;
                        end.finish(stream);
                    }
                    _ => {}
                })
                .unwrap();
            // A slow reader: 20 kB for each step.
            let read = unread.min(20_000);
            unread -= read;
            let now = pair.now;
            pair.ends[1].grant(now, id, read);
            if !moved && unread == 0 {
                break;
            }
        }
        assert!(got == body, "{size}");
        assert!(finished);
        assert!(pair.ends.iter().all(Yamux::is_closed));
        assert!(pair.ends.iter().all(|end| end.poll_timeout().is_none()));
    }
}

// covers: YMX-065
#[test]
fn vul_202_every_kind_of_late_frame_is_dropped_within_the_credit_and_no_second_reset_leaves() {
    let mut yamux = with_stream(64);
    feed(&mut yamux, NOW, &update(SYN, 3, 0)).unwrap();
    yamux.accept(3, 64);
    transmit(&mut yamux, NOW);
    yamux.reset(1);
    assert_eq!(transmit(&mut yamux, NOW), update(RST, 1, 0));
    for _ in 0..10_000 {
        assert!(feed(&mut yamux, NOW, &data(0, 1, &[0; 26])).unwrap().is_empty());
    }
    for late in [update(0, 1, 9), data(FIN, 1, b"x"), update(RST, 1, 0)] {
        assert!(feed(&mut yamux, NOW, &late).unwrap().is_empty());
    }
    assert!(transmit(&mut yamux, NOW).is_empty());
    assert_eq!(feed(&mut yamux, NOW, &data(0, 3, b"x")).unwrap(), ["data 3 78"]);
    assert_eq!(yamux.stats().bytes_skipped, 260_001);
}

// covers: YMX-067
#[test]
fn more_bytes_than_its_credit_count_against_a_reset_stream_as_against_an_unknown_one() {
    let mut yamux = with_stream(64);
    yamux.reset(1);
    let frame = data(0, 1, &vec![0; WINDOW]);
    let (count, error) = flood(&mut yamux, |_| frame.clone(), 1000).unwrap();
    assert_eq!(
        (count, error),
        (257, Error::UnknownFlood),
        "64 MiB and the credit"
    );
}

#[test]
fn vul_173_an_application_that_reads_no_events_is_told_at_most_as_many_as_it_has_streams() {
    let mut yamux = session(Side::Listener);
    for id in (1..20_001).step_by(2) {
        let mut input = &update(SYN | FIN, id, 0)[..];
        while let Ok(Some(event)) = yamux.handle_input(NOW, &mut input) {
            if let Event::Opened { stream } = event {
                yamux.accept(stream, 64);
                yamux.write(stream, &mut "x".into()).unwrap();
                yamux.finish(stream);
            }
        }
        transmit(&mut yamux, NOW);
        if id > 1200 {
            break;
        }
    }
    let told = events(&mut yamux);
    assert_eq!(told.len(), 500, "drained and closed, for each of 250");
    assert_eq!(yamux.stats().refused, 351);
}

#[test]
fn vul_174_a_million_bad_frames_get_one_answer() {
    let mut yamux = session(Side::Listener);
    let mut answered = 0;
    for number in 0..1_000_000_u32 {
        let wire = header(7, 0, number, 0);
        assert!(yamux.handle_input(NOW, &mut &wire[..]).is_err());
        if number % 1000 == 0 {
            answered += transmit(&mut yamux, NOW).len();
        }
    }
    assert_eq!(answered, 12);
}

#[test]
fn vul_184_rare_but_legal_frames_are_accepted() {
    let unknown = 0xfff0;
    let rare: [(&str, Vec<u8>); 12] = [
        (
            "credit before data",
            [update(SYN, 1, 5), data(0, 1, b"x")].concat(),
        ),
        ("SYN on data", data(SYN, 1, b"x")),
        ("SYN and FIN on data", data(SYN | FIN, 1, b"x")),
        ("SYN and FIN on credit", update(SYN | FIN, 1, 0)),
        (
            "unknown flags",
            [update(SYN | unknown, 1, 0), data(unknown, 1, b"x")].concat(),
        ),
        ("unknown flags on a ping", header(2, SYN | unknown, 0, 1)),
        ("a ping without flags", header(2, 0, 0, 1)),
        ("an empty frame", [update(SYN, 1, 0), data(0, 1, b"")].concat()),
        ("no credit", [update(SYN, 1, 0), update(0, 1, 0)].concat()),
        ("ids that fall", [update(SYN, 9, 0), update(SYN, 3, 0)].concat()),
        ("FIN twice", [data(SYN | FIN, 1, b""), data(FIN, 1, b"")].concat()),
        (
            "RST with a code",
            [update(SYN, 1, 0), update(RST, 1, 0x1002)].concat(),
        ),
    ];
    for (name, wire) in rare {
        let mut yamux = session(Side::Listener);
        feed(&mut yamux, NOW, &wire).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!yamux.is_closed());
        // An ACK of ours on data, and none at all.
        let mut yamux = session(Side::Dialer);
        let id = yamux.open(100).unwrap();
        sent(&mut yamux, NOW);
        feed(&mut yamux, NOW, &data(ACK, id, b"x")).unwrap();
        feed(&mut yamux, NOW, &data(0, id, b"x")).unwrap();
    }
}
