//! From the first byte to the first stream: in order, at the deadline, and against whoever misbehaves.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_connection::{Config, Connection, Error};
use libp2p_proto_core::{ConnectionId, Fault, Side, StreamId, TransmitBuf};
use libp2p_proto_stream_protocol::{FromConnection, ToConnection};
use std::sync::Arc;
use support::{
    NOW, Pair, RAW, config, connection, identity, last_code,
    raw::{HEADER, NOISE, Raw, frame, line},
    seat,
};

// covers: CON-001, CON-003, CON-005
#[test]
fn two_ends_upgrade_whatever_the_chunks() {
    for chunk in [1, 2, 7, 100, 100_000] {
        let pair = Pair::established(chunk);
        for (end, peer) in [(0, 2), (1, 1)] {
            let FromConnection::Authenticated { peer: got } = pair.told[end][0] else {
                panic!("first news")
            };
            assert_eq!(got, identity(peer).peer_id());
        }
    }
}

// covers: CON-007, NOI-044, NOI-045
#[test]
fn the_multiplexer_is_negotiated_if_one_side_lists_none() {
    for lists in [(false, true), (true, false), (false, false)] {
        let config = |seed: u8, listed: bool| {
            let config = Config::new(&identity(seed), [seed; 32]).unwrap();
            Arc::new(if listed {
                config
            } else {
                config.without_inlined_muxer().unwrap()
            })
        };
        let a = Connection::new(NOW, config(1, lists.0), seat(1, Side::Dialer));
        let b = Connection::new(NOW, config(2, lists.1), seat(2, Side::Listener));
        let mut pair = Pair::new(a, b, 3);
        pair.run();
        assert!(pair.is_established(), "{lists:?}");
    }
}

// covers: CON-002
#[test]
fn a_listener_alone_sends_its_header_and_nothing_else() {
    let mut listener = connection(2, Side::Listener);
    let mut wire = Vec::new();
    while listener.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
    assert_eq!(wire, b"\x13/multistream/1.0.0\n");
}

// covers: CON-010, NOI-026
#[test]
fn vul_058_another_peer_than_the_expected_is_refused_before_anything_else() {
    let mut a = seat(1, Side::Dialer);
    a.expect = Some(identity(9).peer_id());
    let a = Connection::new(NOW, config(1), a);
    let mut pair = Pair::new(a, connection(2, Side::Listener), 1000);
    pair.run();
    assert!(matches!(
        pair.told[0][..],
        [FromConnection::WrongPeer { got }, FromConnection::Disconnected { .. }] if got == identity(2).peer_id()
    ));
    assert_eq!(last_code(&pair.told[0]), "wrong-peer");
    assert!(
        pair.told[1]
            .iter()
            .all(|message| !matches!(message, FromConnection::Authenticated { .. }))
    );
}

// covers: CON-011, NOI-039
#[test]
fn vul_172_a_connection_to_ourselves_is_refused() {
    let config = Arc::new(Config::new(&identity(1), [2; 32]).unwrap());
    let ourselves = Connection::new(NOW, config, seat(2, Side::Listener));
    let mut pair = Pair::new(connection(1, Side::Dialer), ourselves, 1000);
    pair.run();
    assert_eq!(last_code(&pair.told[0]), "self-dial");
}

// covers: MSS-064, MSS-065
#[test]
fn vul_054_two_dialers_and_two_listeners_fail_and_never_agree() {
    let mut pair = Pair::new(connection(1, Side::Dialer), connection(2, Side::Dialer), 1000);
    pair.run();
    assert!(!pair.is_established());
    assert!(["noise-bad-length", "unexpected-reply"].contains(&last_code(&pair.told[1])));
    let mut pair = Pair::new(connection(1, Side::Listener), connection(2, Side::Listener), 1000);
    pair.run();
    assert!(pair.told.iter().all(Vec::is_empty));
    for end in 0..2 {
        pair.ends[end].handle_timeout(NOW + Duration::from_secs(10));
        pair.messages(end);
        assert_eq!(last_code(&pair.told[end]), "security-timeout");
    }
}

// covers: CON-012
#[test]
fn a_time_out_names_the_step_that_did_not_end() {
    let plain = |seed: u8| {
        let config = Config::new(&identity(seed), [seed; 32]).unwrap();
        Arc::new(config.without_inlined_muxer().unwrap())
    };
    let mut seen = [Vec::new(), Vec::new()];
    // Each round carries one flight more before both ends are left to their deadlines.
    for flights in 0.. {
        let mut pair = Pair::new(
            Connection::new(NOW, plain(1), seat(1, Side::Dialer)),
            Connection::new(NOW, plain(2), seat(2, Side::Listener)),
            1000,
        );
        for flight in 0..flights {
            let (from, mut wire) = (flight % 2, Vec::new());
            while pair.ends[from].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
            pair.tails[1 - from].extend(wire);
            pair.feed(1 - from);
            pair.messages(0);
            pair.messages(1);
        }
        if pair.is_established() {
            break;
        }
        let told = pair.told.each_ref().map(Vec::len);
        for (end, seen) in seen.iter_mut().enumerate() {
            pair.ends[end].handle_timeout(NOW + Duration::from_secs(10));
            pair.messages(end);
            if pair.told[end].len() > told[end] && pair.ends[end].is_closed() {
                seen.push(last_code(&pair.told[end]));
            }
        }
    }
    for mut seen in seen {
        seen.dedup();
        assert_eq!(
            seen[..3],
            ["security-timeout", "handshake-timeout", "muxer-timeout"]
        );
    }
    // The swarm's own silence accuses nobody else.
    let mut pair = Pair::new(connection(1, Side::Dialer), connection(2, Side::Listener), 1000);
    for flight in 0..6 {
        let (from, mut wire) = (flight % 2, Vec::new());
        while pair.ends[from].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
        pair.tails[1 - from].extend(wire);
        pair.feed(1 - from);
    }
    let slow = &mut pair.ends[0];
    slow.handle_timeout(NOW + Duration::from_secs(10));
    let told: Vec<_> = core::iter::from_fn(|| slow.poll_message()).collect();
    let [
        FromConnection::Authenticated { .. },
        FromConnection::Disconnected { error: Some(error) },
    ] = told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((error.fault, error.code), (Fault::Local, "admission-timeout"));
}

// covers: CON-012, CON-013, MSS-034, MSS-035, NOI-036
#[test]
fn vul_162_the_upgrade_has_one_deadline_that_no_progress_moves() {
    for fed in [0, 1, 19, 20, 28, 40, 60] {
        let (mut dialer, mut listener) = (connection(1, Side::Dialer), connection(2, Side::Listener));
        let mut wire = Vec::new();
        dialer.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000));
        let mut now = NOW;
        for byte in wire.iter().take(fed) {
            now = now + Duration::from_millis(100);
            let mut byte = [*byte];
            let _taken = listener.handle_input(now, &mut byte);
        }
        let end = NOW + Duration::from_secs(10);
        assert_eq!(listener.poll_timeout().unwrap().at, end);
        listener.handle_timeout(end - Duration::from_nanos(1));
        assert!(!listener.is_closed());
        listener.handle_timeout(end);
        assert!(listener.is_closed());
    }
}

// covers: CON-004
#[test]
fn a_flipped_bit_in_the_handshake_ends_the_connection_and_nothing_else_is_tried() {
    // Places in the second message, which the listener sends: its key, its sealed identity, its tag.
    for flip in [2, 40, 100, 200] {
        let mut pair = Pair::new(
            connection(1, Side::Dialer),
            connection(2, Side::Listener),
            100_000,
        );
        let said = |pair: &mut Pair, from: usize| {
            let mut wire = Vec::new();
            while pair.ends[from].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
            wire
        };
        for from in [0, 1, 0] {
            let mut wire = said(&mut pair, from);
            pair.ends[1 - from].handle_input(NOW, &mut wire).unwrap();
        }
        let mut second = said(&mut pair, 1);
        second[flip] ^= 1;
        assert!(matches!(
            pair.ends[0].handle_input(NOW, &mut second),
            Err(Error::Noise(_))
        ));
        pair.messages(0);
        assert_eq!(pair.told[0].len(), 1);
        assert!(matches!(
            pair.told[0][0],
            FromConnection::Disconnected { error: Some(_) }
        ));
        assert!(said(&mut pair, 0).is_empty());
    }
}

#[test]
fn vul_055_whatever_is_stripped_from_the_proposals_nothing_is_ever_in_the_clear() {
    // Someone on the path offers plaintext in our name.
    let mut listener = connection(2, Side::Listener);
    let mut offered = [HEADER, &line("/plaintext/2.0.0"), b"secret"].concat();
    let _taken = listener.handle_input(NOW, &mut offered);
    let mut wire = Vec::new();
    while listener.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
    assert_eq!(wire, [HEADER, b"\x03na\n"].concat());
    // Or says that the other end speaks no Noise.
    let mut dialer = connection(1, Side::Dialer);
    wire.clear();
    while dialer.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
    assert_eq!(wire, [HEADER, NOISE].concat());
    let mut answer = [HEADER, b"\x03na\n"].concat();
    assert_eq!(
        dialer.handle_input(NOW, &mut answer),
        Err(Error::NoCommonProtocol)
    );
    assert!(!dialer.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)));
    // Or agrees to something that was not offered.
    let mut dialer = connection(1, Side::Dialer);
    let mut answer = [HEADER, &line("/plaintext/2.0.0")].concat();
    while dialer.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
    assert!(dialer.handle_input(NOW, &mut answer).is_err());
    // The choice of the multiplexer is inside the handshake, so that it can't be changed: see the flipped bits above.
}

// covers: CON-008, CON-009
#[test]
fn after_an_inlined_choice_the_first_bytes_are_frames_and_stream_ids_follow_the_side() {
    for (mut peer, seed, first) in [(Raw::listener(), 1, 1), (Raw::dialer(), 2, 2)] {
        // The first frame is a ping, of which go and js measure the round trip too.
        let ping = peer.hear();
        assert_eq!((ping.len(), &ping[..8]), (12, &[0, 2, 0, 1, 0, 0, 0, 0][..]));
        let conn = ConnectionId::new(seed);
        for count in 0..3 {
            let (stream, lazy) = (StreamId::ours(conn, count.into()), false);
            let specs = [RAW].into_iter().collect();
            peer.end
                .handle_message(NOW, ToConnection::Open { stream, specs, lazy });
            let opens = frame(1, 1, first + 2 * count, 0, b"");
            assert!(peer.hear().starts_with(&opens));
        }
    }
}

#[test]
fn vul_200_short_lines_are_refused_after_thirty_two_however_many_come() {
    let mut taken = Vec::new();
    for size in [64 << 10, 128 << 10] {
        let mut lines = [HEADER.to_vec(), b"\x01\n".repeat(size / 2)].concat();
        let mut listener = connection(2, Side::Listener);
        let mut wire = Vec::new();
        while listener.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
        assert!(listener.handle_input(NOW, &mut lines).is_err());
        while listener.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
        assert!(wire.len() <= 20 + 32 * 4);
        // After authentication it costs the stream, and the rest of its bytes is not looked at.
        let mut peer = Raw::dialer();
        peer.hear();
        for (place, part) in lines.chunks(60_000).enumerate() {
            let flags = u16::from(place == 0);
            peer.say(&frame(0, flags, 1, u32::try_from(part.len()).unwrap(), part))
                .unwrap();
        }
        let heard = peer.hear();
        assert!(heard.len() <= 100 + 32 * 4, "{}", heard.len());
        assert_eq!(peer.end.stats().streams, 0);
        taken.push(heard);
    }
    assert_eq!(taken[0], taken[1]);
}

#[test]
fn vul_075_after_a_failure_no_bytes_mean_anything() {
    let mut listener = connection(2, Side::Listener);
    assert!(matches!(
        listener.handle_input(NOW, &mut [0xff; 64]),
        Err(Error::Multistream(_))
    ));
    for _ in 0..16 {
        assert!(listener.handle_input(NOW, &mut vec![0x13; 65_536]).is_err());
    }
    let mut wire = Vec::new();
    assert!(!listener.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)));
    assert!(matches!(
        listener.poll_message(),
        Some(FromConnection::Disconnected { .. })
    ));
    assert!(listener.poll_message().is_none());
}

#[test]
fn vul_165_a_connection_that_is_over_answers_every_call_the_same() {
    let mut pair = Pair::established(1000);
    pair.ends[0].handle_link_error(NOW, "reset");
    pair.messages(0);
    assert_eq!(last_code(&pair.told[0]), "reset");
    let end = &mut pair.ends[0];
    for _ in 0..1000 {
        end.handle_message(NOW, ToConnection::Close);
        end.handle_message(NOW, ToConnection::Admit);
        end.handle_eof(NOW);
        end.handle_timeout(NOW);
        assert!(end.handle_input(NOW, &mut [1, 2, 3]).is_err());
        assert!(!end.poll_transmit(NOW, &mut TransmitBuf::new(&mut Vec::new(), 1000)));
        assert!(end.poll_message().is_none() && end.is_closed() && end.poll_timeout().is_none());
    }
}

#[test]
fn vul_182_random_first_bytes_end_one_connection_and_nothing_else() {
    for seed in 0..200_u8 {
        let mut listener = connection(2, Side::Listener);
        let mut bytes: Vec<u8> = (0..64)
            .map(|i: u8| i.wrapping_mul(seed).wrapping_add(seed))
            .collect();
        if listener.handle_input(NOW, &mut bytes).is_err() {
            assert!(matches!(
                listener.poll_message(),
                Some(FromConnection::Disconnected { error: Some(_) })
            ));
        }
    }
}
