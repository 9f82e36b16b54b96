//! Frames and the end: what the vectors can't say.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::{Instant, Side, TransmitBuf};
use libp2p_proto_websocket::{CloseCode, Config, Error, Event};
use std::collections::BTreeSet;
use support::{NOW, feed, frame, frames, open, open_with, send, transmit};

// covers: WSK-032
#[test]
fn a_client_masks_every_frame_with_a_key_of_its_own() {
    let mut client = open(Side::Dialer);
    let mut keys = BTreeSet::new();
    for _ in 0..1000 {
        let wire = send(&mut client, NOW, b"hello");
        assert_eq!(frames(&wire, true), [(0x82, b"hello".to_vec())]);
        assert!(keys.insert(wire[2..6].to_vec()));
    }
    feed(&mut client, NOW, &frame(Side::Dialer, 0x89, b"?")).unwrap();
    assert!(keys.insert(transmit(&mut client, NOW)[2..6].to_vec()));
    client.close(NOW, CloseCode::NORMAL);
    assert!(keys.insert(transmit(&mut client, NOW)[2..6].to_vec()));
}

// covers: WSK-033, WSK-037, WSK-047
#[test]
fn what_is_sent_is_cut_into_messages_of_the_largest_size() {
    for side in [Side::Dialer, Side::Listener] {
        for max in [1, 125, 126, 1000, 65_535] {
            let mut socket = open_with(
                side,
                Config {
                    max_sent_frame: max,
                    ..Config::default()
                },
            );
            let data: Vec<u8> = (0..3 * max + 7)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect();
            let mut left = &data[..];
            let mut wire = Vec::new();
            while socket.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1 << 20), |out| {
                let (now, later) = left.split_at(left.len().min(out.remaining()));
                left = later;
                out.put(now) && !now.is_empty()
            }) {}
            let sent = frames(&wire, side.is_dialer());
            assert!(
                sent.iter()
                    .all(|(first, payload)| *first == 0x82 && payload.len() <= max)
            );
            assert_eq!(sent[0].1.len(), max);
            assert_eq!(
                sent.into_iter()
                    .flat_map(|(_, payload)| payload)
                    .collect::<Vec<_>>(),
                data
            );
            assert_eq!(socket.stats().bytes_out, data.len() as u64);
        }
    }
}

// covers: WSK-037
#[test]
fn the_head_is_the_shortest_whatever_room_there_is() {
    for side in [Side::Dialer, Side::Listener] {
        let mask = if side.is_dialer() { 4 } else { 0 };
        for room in 0..300 {
            let mut socket = open(side);
            let mut wire = Vec::new();
            socket.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, room), |out| {
                out.put(&vec![7; out.remaining()])
            });
            assert!(wire.len() <= room);
            if wire.is_empty() {
                assert!(room <= 2 + mask);
                continue;
            }
            // The longer head is two bytes more, so one length can't be filled.
            assert!(wire.len() >= room.saturating_sub(2));
            let (sent, long) = (frames(&wire, side.is_dialer()), wire[1] & 0x7f == 126);
            assert_eq!(long, sent[0].1.len() > 125);
        }
    }
}

#[test]
fn a_control_frame_leaves_whole_or_not_at_all() {
    for side in [Side::Dialer, Side::Listener] {
        let mut socket = open(side);
        feed(&mut socket, NOW, &frame(side, 0x89, &[9; 125])).unwrap();
        let size = 127 + if side.is_dialer() { 4 } else { 0 };
        let mut wire = Vec::new();
        for room in 0..size {
            let mut out = TransmitBuf::new(&mut wire, room);
            assert!(!socket.poll_transmit(NOW, &mut out, |_| panic!("payload ahead of a pong")));
        }
        assert!(socket.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, size), |_| false));
        assert_eq!(frames(&wire, side.is_dialer()), [(0x8a, vec![9; 125])]);
    }
}

// covers: WSK-041, WSK-043
#[test]
fn a_hundred_pings_in_a_second_are_one_answer_and_more_are_the_end() {
    let ping = frame(Side::Listener, 0x89, b"?");
    let pong = frame(Side::Listener, 0x8a, b"!");
    let mut server = open(Side::Listener);
    for second in 0..5 {
        let now = NOW + Duration::from_secs(second);
        feed(&mut server, now, &[ping.repeat(50), pong.repeat(50)].concat()).unwrap();
        assert_eq!(
            frames(&transmit(&mut server, now), false),
            [(0x8a, b"?".to_vec())]
        );
    }
    let now = NOW + Duration::from_secs(4);
    assert_eq!(feed(&mut server, now, &pong), Err(Error::ControlFlood));
    assert_eq!(
        frames(&transmit(&mut server, now), false),
        [(0x88, vec![3, 0xf0])]
    );
}

// covers: WSK-044
#[test]
fn a_frame_at_the_limit_is_taken_and_one_byte_more_is_refused_before_its_mask() {
    for side in [Side::Dialer, Side::Listener] {
        let config = Config {
            max_frame: 1000,
            max_message: 1000,
            ..Config::default()
        };
        let mut socket = open_with(side, config);
        let (payload, left) = feed(&mut socket, NOW, &frame(side, 0x82, &[1; 1000])).unwrap();
        assert_eq!((payload.len(), left), (1000, 0));
        let head = &frame(side, 0x82, &[1; 1001])[..4];
        assert_eq!(feed(&mut socket, NOW, head), Err(Error::FrameTooLarge(1001)));
    }
}

// covers: WSK-045
#[test]
fn a_message_may_have_any_number_of_fragments_up_to_its_limit() {
    let side = Side::Listener;
    let config = Config {
        max_frame: 125,
        max_message: 1000,
        ..Config::default()
    };
    let mut server = open_with(side, config);
    for _ in 0..3 {
        let message = [
            frame(side, 0x02, &[1; 100]),
            frame(side, 0x00, &[1; 100]).repeat(9),
        ]
        .concat();
        assert_eq!(feed(&mut server, NOW, &message).unwrap().0.len(), 1000);
        assert_eq!(
            feed(&mut server, NOW, &frame(side, 0x80, b"")),
            Ok((Vec::new(), 0))
        );
    }
    let message = [
        frame(side, 0x02, &[1; 100]),
        frame(side, 0x00, &[1; 100]).repeat(9),
    ]
    .concat();
    feed(&mut server, NOW, &message).unwrap();
    assert_eq!(
        feed(&mut server, NOW, &frame(side, 0x80, b"x")),
        Err(Error::MessageTooLarge(1001))
    );
    assert_eq!(
        frames(&transmit(&mut server, NOW), false),
        [(0x88, vec![3, 0xf1])]
    );
}

// covers: WSK-038
#[test]
fn a_megabyte_in_sixteen_fragments_arrives() {
    for side in [Side::Dialer, Side::Listener] {
        let mut socket = open(side);
        let part = vec![5; 65_536];
        let mut wire = frame(side, 0x02, &part);
        wire.extend(frame(side, 0x00, &part).repeat(14));
        wire.extend(frame(side, 0x80, &part));
        assert_eq!(feed(&mut socket, NOW, &wire), Ok((vec![5; 1 << 20], 0)));
    }
}

// covers: WSK-064, WSK-065
#[test]
fn of_all_close_codes_those_of_the_registry_and_of_applications_are_taken() {
    for code in 0..=u16::MAX {
        let known = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        assert_eq!(CloseCode::new(code).is_some(), known);
        // The machine is asked where the answer changes, and now and then.
        let edge = [1000, 1003, 1004, 1006, 1007, 1014, 1015, 2999, 3000, 4999, 5000].contains(&code);
        if !edge && code % 501 != 0 {
            continue;
        }
        let mut server = open(Side::Listener);
        let result = feed(
            &mut server,
            NOW,
            &frame(Side::Listener, 0x88, &code.to_be_bytes()),
        );
        let sent = frames(&transmit(&mut server, NOW), false);
        if known {
            let Some(Event::Closed { code: told }) = server.poll_event() else {
                panic!("{code} is not told")
            };
            assert_eq!((told.get(), told.is_clean()), (code, code <= 1001));
            assert_eq!(sent, [(0x88, code.to_be_bytes().to_vec())]);
        } else {
            assert_eq!(result, Err(Error::BadClose));
            assert_eq!(sent, [(0x88, vec![3, 0xea])]);
        }
        assert!(server.is_closed());
    }
    assert!(CloseCode::NONE.is_clean());
}

// covers: WSK-066
#[test]
fn the_answer_to_our_close_frame_is_waited_for_half_a_second() {
    for side in [Side::Dialer, Side::Listener] {
        for sent in [true, false] {
            let mut socket = open(side);
            socket.close(NOW, CloseCode::NORMAL);
            if sent {
                assert_eq!(
                    frames(&transmit(&mut socket, NOW), side.is_dialer()),
                    [(0x88, vec![3, 0xe8])]
                );
            }
            let deadline = socket.poll_timeout().unwrap();
            assert_eq!(
                (deadline.at, deadline.why),
                (NOW + Duration::from_millis(500), "websocket-close")
            );
            let early = Instant::from_nanos(deadline.at.as_nanos() - 1);
            assert_eq!(socket.handle_timeout(early), Ok(()));
            assert!(!socket.is_closed());
            assert_eq!(socket.handle_timeout(deadline.at), Ok(()));
            assert!(socket.is_closed());
            assert_eq!(transmit(&mut socket, deadline.at), []);
            assert_eq!(socket.poll_timeout(), None);
        }
    }
}

// covers: WSK-031, WSK-049
#[test]
fn a_rest_that_grows_byte_by_byte_is_moved_a_linear_number_of_times() {
    let side = Side::Listener;
    for block in [1, 1000, 65_537] {
        let mut server = open(side);
        let total: usize = 1 << 20;
        let mut wire = frame(side, 0x82, &vec![7; 40_000]);
        for _ in 40_000..total {
            wire.extend(frame(side, 0x82, &[7]));
        }
        let (mut got, mut calls, mut left) = (0, 0, Vec::new());
        for part in wire.chunks(16 * 1024) {
            left.extend_from_slice(part);
            calls += 1;
            let taken = server
                .handle_input(NOW, &mut left, |data| {
                    assert!(data.first() == Some(&7) && data.last() == Some(&7));
                    let whole = data.len() - data.len() % block;
                    got += whole;
                    Ok::<_, Error>(whole)
                })
                .unwrap();
            left.drain(..taken);
        }
        assert_eq!(got, total - total % block);
        // Each call moves what is new once, and what was left once.
        let most = total + calls * block;
        let moved = usize::try_from(server.stats().bytes_moved).unwrap();
        assert!(moved <= most, "{moved} of {most}");
        assert!(block > 1 || moved == 0);
    }
}

#[test]
fn an_error_of_the_layer_above_is_handed_on_and_changes_nothing_here() {
    #[derive(Debug, PartialEq)]
    enum Above {
        Own,
        WebSocket(Error),
    }
    impl From<Error> for Above {
        fn from(error: Error) -> Self {
            Self::WebSocket(error)
        }
    }
    let mut server = open(Side::Listener);
    let mut wire = frame(Side::Listener, 0x82, b"x");
    assert_eq!(
        server.handle_input(NOW, &mut wire, |_| Err(Above::Own)),
        Err(Above::Own)
    );
    assert!(server.is_open());
    server.close(NOW, CloseCode::PROTOCOL);
    assert_eq!(
        frames(&transmit(&mut server, NOW), false),
        [(0x88, vec![3, 0xea])]
    );
    let mut server = open(Side::Listener);
    let result = server.handle_input(NOW, &mut [0x82, 1], |_| Ok::<_, Above>(0));
    assert_eq!(result, Err(Above::WebSocket(Error::Unmasked)));
}

#[test]
fn payload_that_is_left_is_lent_again_also_without_new_bytes() {
    let side = Side::Listener;
    let mut server = open(side);
    let mut wire = [
        frame(side, 0x82, b"ab"),
        frame(side, 0x82, b"cd"),
        frame(side, 0x89, b"?"),
    ]
    .concat();
    let lend = |server: &mut libp2p_proto_websocket::WebSocket, wire: &mut Vec<u8>, use_up: usize| {
        let mut lent = Vec::new();
        let taken = server
            .handle_input(NOW, wire, |data| {
                lent = data.to_vec();
                Ok::<_, Error>(use_up)
            })
            .unwrap();
        wire.drain(..taken);
        lent
    };
    assert_eq!(lend(&mut server, &mut wire, 0), b"abcd");
    assert_eq!(wire, b"abcd");
    assert_eq!(lend(&mut server, &mut wire, 1), b"abcd");
    assert_eq!(lend(&mut server, &mut wire, 0), b"bcd");
    // The remote closes; what it had sent before is still there.
    wire.extend(frame(side, 0x88, b""));
    assert_eq!(lend(&mut server, &mut wire, 0), b"bcd");
    assert_eq!(lend(&mut server, &mut wire, 99), b"bcd");
    assert!(wire.is_empty());
}
