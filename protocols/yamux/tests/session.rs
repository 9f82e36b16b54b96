//! The listed frames, hostile ones, and two ends joined.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use core::time::Duration;
use data_encoding::HEXLOWER as HEX;
use libp2p_proto_core::{Instant, Side, TransmitBuf};
use libp2p_proto_yamux::{Config, Error, Event, Yamux};
use proptest::prelude::*;

const NOW: Instant = Instant::ZERO;

fn hex(text: &str) -> Vec<u8> {
    HEX.decode(text.as_bytes()).unwrap()
}

fn end(side: Side) -> Yamux {
    let mut yamux = Yamux::new(side, Config::default(), 7_u32, NOW).unwrap();
    // The first ping, which every session sends, is not what these tests look at.
    sent(&mut yamux);
    yamux
}

/// Everything that is due, frame by frame.
fn sent(yamux: &mut Yamux) -> Vec<String> {
    let mut frames = Vec::new();
    loop {
        let mut wire = Vec::new();
        if !yamux.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1 << 20)) {
            return frames;
        }
        frames.push(HEX.encode(&wire));
    }
}

/// What an input tells, in words.
fn told(yamux: &mut Yamux, input: &[u8]) -> Result<Vec<String>, Error> {
    told_at(yamux, NOW, input)
}

fn told_at(yamux: &mut Yamux, now: Instant, mut input: &[u8]) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    while let Some(event) = yamux.handle_input(now, &mut input)? {
        if let Event::Opened { stream } = event {
            yamux.accept(stream, 1 << 20);
        }
        words.push(format!("{event:?}"));
    }
    while let Some(event) = yamux.poll_event() {
        words.push(format!("{event:?}"));
    }
    Ok(words)
}

// covers: YMX-001, YMX-010, YMX-012, YMX-013, YMX-014, YMX-055
#[test]
fn a_dialer_opens_with_a_window_update_then_sends_data_and_a_fin_of_its_own() {
    let mut yamux = end(Side::Dialer);
    let stream = yamux.open(1024).unwrap();
    yamux.write(stream, &mut "hi".into()).unwrap();
    yamux.finish(stream);
    assert_eq!(
        sent(&mut yamux),
        [
            "000100010000000100000000",
            "0000000000000001000000026869",
            "000000040000000100000000"
        ]
    );
    assert_eq!(yamux.open(1024), Ok(3));
    assert_eq!(end(Side::Listener).open(1024), Ok(2));
    assert_eq!(yamux.write(stream, &mut "more".into()), Err(Error::Finished));
}

// covers: YMX-016, YMX-017, YMX-021, YMX-022, YMX-023, YMX-024
#[test]
fn a_listener_acknowledges_once_and_takes_the_credit_of_the_syn() {
    let mut yamux = end(Side::Listener);
    assert_eq!(
        told(&mut yamux, &hex("000100010000000100fc0000")).unwrap(),
        ["Opened { stream: 1 }"]
    );
    yamux.write(1, &mut vec![0; 20 << 20].into()).unwrap();
    let frames = sent(&mut yamux);
    let acks = frames.iter().filter(|frame| frame[4..8] == *"0002").count();
    assert_eq!(acks, 1);
    let data: usize = frames.iter().map(|frame| frame.len() / 2 - 12).sum();
    assert_eq!(data, 1 << 20, "the send capacity is what bounds it");
}

// covers: YMX-032, YMX-033, YMX-034, YMX-040, YMX-043, YMX-056
#[test]
fn data_stays_inside_the_window_and_control_goes_first() {
    let mut yamux = end(Side::Dialer);
    let stream = yamux.open(1 << 20).unwrap();
    yamux.write(stream, &mut vec![1; 300 << 10].into()).unwrap();
    yamux.finish(stream);
    let frames = sent(&mut yamux);
    assert!(frames.iter().all(|frame| frame.len() / 2 <= 12 + 16_384));
    let data: usize = frames.iter().map(|frame| frame.len() / 2 - 12).sum();
    assert_eq!(data, 262_144);
    told(&mut yamux, &hex("000200010000000001020304")).unwrap();
    told(&mut yamux, &hex("000100000000000100040000")).unwrap();
    let frames = sent(&mut yamux);
    assert_eq!(frames[0], "000200020000000001020304");
    assert_eq!(frames.last().unwrap(), "000000040000000100000000");
    let data: usize = frames.iter().map(|frame| frame.len() / 2 - 12).sum();
    assert_eq!(data, (300 << 10) - 262_144);
}

// covers: YMX-042
#[test]
fn two_bulk_writers_take_turns() {
    let mut yamux = end(Side::Dialer);
    for _ in 0..2 {
        let stream = yamux.open(1 << 20).unwrap();
        yamux.write(stream, &mut vec![0; 64 << 10].into()).unwrap();
    }
    let order: Vec<_> = sent(&mut yamux)
        .iter()
        .filter(|frame| frame.len() > 24)
        .map(|frame| frame[15..16].to_owned())
        .collect();
    assert_eq!(order, ["1", "3", "1", "3", "1", "3", "1", "3"]);
}

// covers: YMX-044, YMX-045, YMX-046, YMX-052
#[test]
fn credit_goes_back_once_half_of_the_window_is_used_and_never_grows_without_a_round_trip() {
    let mut yamux = end(Side::Listener);
    told(&mut yamux, &hex("000100010000000100000000")).unwrap();
    sent(&mut yamux);
    let body = [hex("000000000000000100040000"), vec![0; 262_144]].concat();
    told(&mut yamux, &body).unwrap();
    yamux.grant(NOW, 1, 131_071);
    assert!(sent(&mut yamux).is_empty());
    yamux.grant(NOW, 1, 1);
    assert_eq!(sent(&mut yamux), ["000100000000000100020000"]);
    told(&mut yamux, &hex("000000040000000100000000")).unwrap();
    yamux.grant(NOW, 1, 131_072);
    assert!(sent(&mut yamux).is_empty());
}

// covers: YMX-049, YMX-050, YMX-053
#[test]
fn windows_grow_within_two_round_trips_and_within_the_budget() {
    let config = Config {
        growth_budget: 512 << 10,
        ..Config::default()
    };
    let mut yamux = Yamux::new(Side::Listener, config, 7_u32, NOW).unwrap();
    assert_eq!(sent(&mut yamux), ["000200010000000000000007"]);
    let pong = NOW + Duration::from_millis(100);
    told_at(&mut yamux, pong, &hex("000200020000000000000007")).unwrap();
    assert_eq!(yamux.rtt(), Some(Duration::from_millis(100)));
    told_at(&mut yamux, pong, &hex("000100010000000100000000")).unwrap();
    sent(&mut yamux);
    let mut now = pong;
    let mut updates = Vec::new();
    for half in [131_072_u32, 262_144, 393_216] {
        now = now + Duration::from_millis(150);
        let header = [hex("0000000000000001"), half.to_be_bytes().to_vec()].concat();
        told_at(&mut yamux, now, &[header, vec![0; half as usize]].concat()).unwrap();
        yamux.grant(now, 1, half as usize);
        updates.extend(sent(&mut yamux));
    }
    // 256 KiB to 512 KiB, to 768 KiB where the budget ends, then no more.
    assert_eq!(
        updates,
        [
            "000100000000000100060000",
            "000100000000000100080000",
            "000100000000000100060000"
        ]
    );
}

// covers: YMX-002, YMX-003, YMX-006, YMX-007, YMX-018, YMX-019, YMX-035, YMX-036, YMX-037, YMX-082, YMX-083, YMX-091
#[test]
fn vul_039_frames_that_break_the_rules_end_the_session_with_one_go_away() {
    for (before, frame) in [
        ("", "010000000000000100000000"),
        ("", "000400000000000100000000"),
        ("", "00000000000000000000000178"),
        ("", "000200010000000100000007"),
        ("", "000300000000000100000000"),
        ("", "000100010000000200000000"),
        ("", "000100010000000000000000"),
        ("", "000200030000000000000007"),
        ("000100010000000100000000", "000100010000000100000000"),
        ("000100010000000100000000", "000000000000000100040001"),
        ("000100010000000100000000", "0000000000000001ffffffff"),
        ("", "000000010000000100040001"),
    ] {
        let mut yamux = end(Side::Listener);
        told(&mut yamux, &hex(before)).unwrap();
        sent(&mut yamux);
        let error = told(&mut yamux, &hex(frame)).unwrap_err();
        assert_eq!(sent(&mut yamux), ["000300000000000000000001"], "{frame}");
        assert_eq!(told(&mut yamux, &hex("000100010000000700000000")), Err(error));
        assert!(sent(&mut yamux).is_empty());
        assert_eq!(yamux.open(1), Err(error));
    }
}

// covers: YMX-038
#[test]
fn vul_030_credit_never_overflows_the_send_window() {
    for credit in [u32::MAX, 0xffff_0000, u32::MAX - 262_143] {
        let mut yamux = end(Side::Listener);
        told(&mut yamux, &hex("000000010000000100000000")).unwrap();
        let update = [hex("0001000000000001"), credit.to_be_bytes().to_vec()].concat();
        assert_eq!(told(&mut yamux, &update), Err(Error::WindowOverflow));
    }
    let mut yamux = end(Side::Listener);
    told(&mut yamux, &hex("000000010000000100000000")).unwrap();
    let most = [
        hex("0001000000000001"),
        (u32::MAX - 262_144).to_be_bytes().to_vec(),
    ]
    .concat();
    assert!(told(&mut yamux, &most).is_ok());
}

#[test]
fn vul_031_a_first_frame_beyond_the_window_creates_no_stream() {
    for len in [262_145_u32, 1 << 24, u32::MAX] {
        let mut yamux = end(Side::Listener);
        let frame = [hex("0000000100000001"), len.to_be_bytes().to_vec()].concat();
        assert!(matches!(
            told(&mut yamux, &frame),
            Err(Error::WindowExceeded { .. })
        ));
        assert_eq!(yamux.stream_count(), 0);
    }
}

/// Every type, flag, length, state and parity: no panic, and the same result whole and byte by byte.
#[test]
fn vul_032_every_combination_of_frame_flag_length_and_state_is_survived() {
    let lengths = [
        0,
        1,
        2,
        16,
        255,
        262_143,
        262_144,
        262_145,
        1 << 24,
        1 << 31,
        u32::MAX - 262_144,
        u32::MAX,
    ];
    let states: [&[&str]; 6] = [
        &[],
        &["000100010000000100000000"],
        &["000100010000000100000000", "000000040000000100000000"],
        &["000100050000000100000000"],
        &["000100010000000100000000", "000100080000000100000000"],
        &["000000010000000100000000"],
    ];
    let mut cases = 0;
    for kind in 0..4_u8 {
        for flags in 0..16_u16 {
            for length in lengths {
                for state in states {
                    for id in [0_u32, 1, 2] {
                        let frame = [
                            &[0, kind][..],
                            &flags.to_be_bytes(),
                            &id.to_be_bytes(),
                            &length.to_be_bytes(),
                        ]
                        .concat();
                        let (mut whole, mut bytes) = (end(Side::Listener), end(Side::Listener));
                        for before in state {
                            told(&mut whole, &hex(before)).unwrap();
                            told(&mut bytes, &hex(before)).unwrap();
                        }
                        let at_once = told(&mut whole, &frame).map_err(|error| error.fault());
                        let mut one_by_one = Ok(Vec::new());
                        for byte in &frame {
                            match told(&mut bytes, &[*byte]) {
                                Ok(words) => {
                                    one_by_one = one_by_one.map(|all: Vec<String>| [all, words].concat());
                                }
                                Err(error) => one_by_one = Err(error.fault()),
                            }
                        }
                        assert_eq!(at_once, one_by_one, "{}", HEX.encode(&frame));
                        assert_eq!(sent(&mut whole), sent(&mut bytes));
                        cases += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cases, 13_824);
}

// covers: YMX-073, YMX-074, YMX-079
#[test]
fn vul_033_answers_to_a_peer_that_does_not_read_are_bounded() {
    let mut yamux = end(Side::Listener);
    for _ in 0..99 {
        told(&mut yamux, &hex("000200010000000001020304")).unwrap();
    }
    let frames = sent(&mut yamux);
    assert_eq!(frames.len(), 32);
    assert!(frames.iter().all(|frame| frame == "000200020000000001020304"));
    assert_eq!(yamux.stats().pongs_dropped, 67);
}

// covers: YMX-080
#[test]
fn more_than_a_hundred_pings_in_a_second_end_the_session() {
    let mut yamux = end(Side::Listener);
    let results: Vec<_> = (0..101)
        .map(|_| told(&mut yamux, &hex("000200010000000000000001")))
        .collect();
    assert_eq!(results.last().unwrap(), &Err(Error::PingFlood));
    let mut slow = end(Side::Listener);
    for ping in 0..500 {
        told_at(
            &mut slow,
            NOW + Duration::from_millis(20 * ping),
            &hex("000200010000000000000001"),
        )
        .unwrap();
    }
}

// covers: YMX-009, YMX-041
#[test]
fn vul_034_bodies_are_passed_on_as_they_come_and_skipped_without_a_stream() {
    let mut yamux = end(Side::Listener);
    let part = [hex("000000010000000100040000"), vec![9]].concat();
    assert_eq!(
        told(&mut yamux, &part).unwrap(),
        ["Opened { stream: 1 }", "Data { stream: 1, bytes: [9] }"]
    );
    let mut other = end(Side::Listener);
    told(&mut other, &hex("000000000000000900030d40")).unwrap();
    for _ in 0..200 {
        assert!(told(&mut other, &[0; 1000]).unwrap().is_empty());
    }
    assert_eq!(
        told(&mut other, &hex("000100010000000100000000")).unwrap(),
        ["Opened { stream: 1 }"]
    );
}

// covers: YMX-071
#[test]
fn vul_036_opening_and_resetting_too_fast_ends_the_session() {
    let mut yamux = end(Side::Listener);
    let mut id = 1_u32;
    let error = loop {
        let pair = [
            &hex("00010001")[..],
            &id.to_be_bytes(),
            &[0; 4],
            &hex("00010008"),
            &id.to_be_bytes(),
            &[0; 4],
        ]
        .concat();
        match told(&mut yamux, &pair) {
            Ok(_) => id += 2,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::ResetFlood);
    assert_eq!(id / 2, 400);
    assert_eq!(yamux.stream_count(), 0);
}

// covers: YMX-047
#[test]
fn vul_037_frames_that_carry_nothing_are_counted() {
    let mut yamux = end(Side::Listener);
    told(&mut yamux, &hex("000100010000000100000000")).unwrap();
    for _ in 0..10_000 {
        told(&mut yamux, &hex("000100000000000100000000")).unwrap();
    }
    assert_eq!(
        told(&mut yamux, &hex("000000000000000100000000")),
        Err(Error::NoProgress)
    );
}

// covers: YMX-076, YMX-077
#[test]
fn vul_040_pongs_that_nobody_asked_for_change_nothing() {
    let mut yamux = end(Side::Dialer);
    for _ in 0..10 {
        assert!(
            told(&mut yamux, &hex("0002000200000000deadbeef"))
                .unwrap()
                .is_empty()
        );
    }
    assert_eq!(yamux.rtt(), None);
    assert_eq!(
        told(&mut yamux, &hex("0002000200000000deadbeef")),
        Err(Error::PongFlood)
    );
}

// covers: YMX-011
#[test]
fn ids_are_used_up_and_never_reused() {
    let mut yamux = Yamux::new(
        Side::Dialer,
        Config {
            max_outbound: usize::MAX,
            ..Config::default()
        },
        1_u32,
        NOW,
    )
    .unwrap();
    let first = yamux.open(1).unwrap();
    yamux.reset(first);
    assert_eq!(yamux.open(1), Ok(3));
}

// covers: YMX-015, YMX-025, YMX-027
#[test]
fn vul_045_data_flows_before_the_acknowledgement_and_opening_is_blocked_at_256() {
    let config = Config {
        max_outbound: 1000,
        ..Config::default()
    };
    let mut yamux = Yamux::new(Side::Dialer, config, 1_u32, NOW).unwrap();
    for _ in 0..256 {
        yamux.open(16).unwrap();
    }
    assert_eq!(yamux.open(16), Err(Error::AckBacklog));
    sent(&mut yamux);
    sent(&mut yamux);
    told(&mut yamux, &hex("000100020000000100000000")).unwrap();
    assert!(yamux.open(16).is_ok());
}

// covers: YMX-028, YMX-029
#[test]
fn streams_over_the_limit_are_reset_and_their_bodies_skipped() {
    let mut yamux = end(Side::Listener);
    for number in 0..250_u32 {
        told(
            &mut yamux,
            &[&hex("00010001")[..], &(2 * number + 1).to_be_bytes(), &[0; 4]].concat(),
        )
        .unwrap();
    }
    sent(&mut yamux);
    let over = [
        &hex("00000001000001f5")[..],
        &hex("00000003616263"),
        &hex("000200010000000000000001"),
    ]
    .concat();
    assert!(told(&mut yamux, &over).unwrap().is_empty());
    assert_eq!(
        sent(&mut yamux),
        ["000200020000000000000001", "00010008000001f500000000"]
    );
    assert_eq!(yamux.stream_count(), 250);
}

// covers: YMX-057, YMX-058, YMX-059, YMX-060, YMX-061, YMX-062, YMX-084
#[test]
fn halves_close_apart_and_a_reset_ends_both() {
    let mut yamux = end(Side::Listener);
    told(&mut yamux, &hex("000100010000000100000000")).unwrap();
    let bye = told(&mut yamux, &hex("000000040000000100000003627965")).unwrap();
    assert_eq!(
        bye,
        [
            "Data { stream: 1, bytes: [98, 121, 101] }",
            "Finished { stream: 1 }"
        ]
    );
    yamux.write(1, &mut "still".into()).unwrap();
    yamux.finish(1);
    sent(&mut yamux);
    assert!(
        told(&mut yamux, &[])
            .unwrap()
            .contains(&"Closed { stream: 1 }".to_owned())
    );
    assert_eq!(yamux.stream_count(), 0);
    told(&mut yamux, &hex("000100010000000300000000")).unwrap();
    assert_eq!(
        told(&mut yamux, &hex("000100080000000300001002")).unwrap(),
        ["Reset { stream: 3, code: 4098, refused: false }"]
    );
    told(&mut yamux, &hex("000100010000000500000000")).unwrap();
    assert_eq!(
        told(&mut yamux, &hex("0000000800000005000000056162636465")).unwrap(),
        ["Reset { stream: 5, code: 0, refused: false }"]
    );
    let go_away = hex("000300000000000000001006");
    assert_eq!(
        yamux.handle_input(NOW, &mut &go_away[..]),
        Ok(Some(Event::GoAway { code: 0x1006 }))
    );
    assert_eq!(yamux.open(1), Err(Error::RemoteGoAway(0x1006)));
}

// covers: YMX-063, YMX-065, YMX-066, YMX-069
#[test]
fn vul_202_late_frames_of_a_stream_that_we_reset_are_dropped_silently() {
    let mut yamux = end(Side::Listener);
    told(&mut yamux, &hex("000100010000000100000000")).unwrap();
    sent(&mut yamux);
    yamux.reset(1);
    assert_eq!(sent(&mut yamux), ["000100080000000100000000"]);
    for _ in 0..10_000 {
        assert!(
            told(&mut yamux, &hex("00000000000000010000000178"))
                .unwrap()
                .is_empty()
        );
    }
    assert!(sent(&mut yamux).is_empty());
    assert_eq!(
        told(&mut yamux, &hex("000100010000000300000000")).unwrap(),
        ["Opened { stream: 3 }"]
    );
    let unsent = yamux.open(1).unwrap();
    yamux.reset(unsent);
    assert!(sent(&mut yamux).iter().all(|frame| !frame.contains("00000002")));
}

// covers: YMX-067
#[test]
fn frames_for_streams_that_never_were_are_counted() {
    let mut yamux = end(Side::Listener);
    for _ in 0..1000 {
        told(&mut yamux, &hex("00000000000000630000000178")).unwrap();
    }
    assert_eq!(
        told(&mut yamux, &hex("00000000000000630000000178")),
        Err(Error::UnknownFlood)
    );
}

// covers: YMX-078, YMX-092
#[test]
fn a_peer_that_answers_no_ping_or_reads_nothing_is_given_up() {
    let mut yamux = end(Side::Dialer);
    let ten = NOW + Duration::from_secs(10);
    assert_eq!(yamux.poll_timeout().unwrap().at, ten);
    assert_eq!(yamux.handle_timeout(ten - Duration::from_nanos(1)), Ok(()));
    assert_eq!(yamux.handle_timeout(ten), Err(Error::KeepAlive));
    let mut silent = Yamux::new(Side::Dialer, Config::default(), 1_u32, NOW).unwrap();
    assert_eq!(silent.handle_timeout(ten), Err(Error::PeerNotReading));
}

// covers: YMX-081, YMX-088, YMX-090
#[test]
fn vul_044_an_orderly_end_says_so_once_and_ends_inside_of_frames_are_errors() {
    let mut yamux = end(Side::Listener);
    yamux.go_away();
    yamux.go_away();
    assert_eq!(sent(&mut yamux), ["000300000000000000000000"]);
    assert!(
        told(&mut yamux, &hex("000100010000000100000000"))
            .unwrap()
            .is_empty()
    );
    assert_eq!(yamux.handle_eof(), Ok(()));
    let mut cut = end(Side::Listener);
    told(&mut cut, &hex("0001000100000001000000")).unwrap();
    assert_eq!(cut.handle_eof(), Err(Error::UnexpectedEnd));
    assert_eq!(cut.handle_eof(), Err(Error::UnexpectedEnd));
}

// covers: YMX-004, YMX-005
#[test]
fn unknown_flags_are_ignored() {
    let mut yamux = end(Side::Listener);
    told(&mut yamux, &hex("000100010000000100000000")).unwrap();
    assert!(
        told(&mut yamux, &hex("000000100000000100000000"))
            .unwrap()
            .is_empty()
    );
}

// covers: YMX-020
#[test]
fn ids_need_not_rise() {
    let mut yamux = end(Side::Listener);
    told(&mut yamux, &hex("000100010000000500000000")).unwrap();
    assert_eq!(
        told(&mut yamux, &hex("000100010000000300000000")).unwrap(),
        ["Opened { stream: 3 }"]
    );
}

// covers: YMX-008, YMX-097, YMX-098
proptest! {
    #[test]
    fn any_bytes_in_any_split_are_survived_and_tell_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
        let (mut whole, mut split) = (end(Side::Listener), end(Side::Listener));
        let at_once = told(&mut whole, &bytes).map(|words| words.len()).is_ok();
        let cut = cut.min(bytes.len());
        let first = told(&mut split, &bytes[..cut]).is_ok();
        let second = told(&mut split, &bytes[cut..]).is_ok();
        prop_assert_eq!(at_once, first && second);
        prop_assert_eq!(sent(&mut whole), sent(&mut split));
    }

    #[test]
    fn vul_041_saturated_ends_finish_through_any_pipe(pipe in 13_usize..400, sizes in proptest::collection::vec(0_usize..40_000, 1..4)) {
        let mut ends = [Yamux::new(Side::Dialer, Config::default(), 1_u32, NOW).unwrap(), Yamux::new(Side::Listener, Config::default(), 2_u32, NOW).unwrap()];
        let mut wanted = 0;
        for size in &sizes {
            let stream = ends[0].open(usize::MAX).unwrap();
            ends[0].write(stream, &mut Bytes::from(vec![3; *size])).unwrap();
            ends[0].finish(stream);
            wanted += size;
        }
        let (mut got, mut finished, mut idle) = (0, 0, 0);
        while idle < 3 {
            idle += 1;
            for from in [0, 1] {
                let mut wire = Vec::new();
                if ends[from].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, pipe)) {
                    idle = 0;
                }
                let to = &mut ends[1 - from];
                let mut input = &wire[..];
                loop {
                    let (stream, grant) = match to.handle_input(NOW, &mut input).unwrap() {
                        None => break,
                        Some(Event::Opened { stream }) => {
                            to.accept(stream, 1 << 20);
                            continue;
                        }
                        Some(Event::Data { stream, bytes }) => {
                            prop_assert!(bytes.iter().all(|byte| *byte == 3));
                            got += bytes.len();
                            (stream, bytes.len())
                        }
                        Some(Event::Finished { stream }) if from == 0 => {
                            finished += 1;
                            to.finish(stream);
                            continue;
                        }
                        Some(_) => continue,
                    };
                    to.grant(NOW, stream, grant);
                }
            }
        }
        prop_assert_eq!((got, finished), (wanted, sizes.len()));
    }
}
