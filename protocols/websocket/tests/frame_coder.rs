//! websocket-sans-io, a coder of frames alone, as the other end: behind the upgrade, in both roles.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Rng, Side};
use libp2p_proto_websocket::WebSocket;
use support::{NOW, feed, open, rng, send, transmit};
use websocket_sans_io::{
    FrameInfo, Opcode, WebsocketFrameDecoder, WebsocketFrameEncoder, WebsocketFrameEvent as Event,
};

/// A frame as they read it.
#[derive(Debug, PartialEq)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    masked: bool,
    payload: Vec<u8>,
}

/// What they make of these bytes, taken in pieces.
fn decode(wire: &[u8], piece: usize) -> Vec<Frame> {
    let mut decoder = WebsocketFrameDecoder::new();
    let mut frames: Vec<Frame> = Vec::new();
    for part in wire.chunks(piece) {
        let mut part = part.to_vec();
        let mut rest = &mut part[..];
        loop {
            let step = decoder.add_data(rest).unwrap();
            let (taken, left) = rest.split_at_mut(step.consumed_bytes);
            match step.event {
                Some(Event::Start { frame_info, .. }) => {
                    assert!(frame_info.is_reasonable(), "{frame_info:?}");
                    frames.push(Frame {
                        opcode: frame_info.opcode,
                        fin: frame_info.fin,
                        masked: frame_info.mask.is_some(),
                        payload: Vec::new(),
                    });
                }
                Some(Event::PayloadChunk { .. }) => {
                    frames.last_mut().unwrap().payload.extend_from_slice(taken);
                }
                None if step.consumed_bytes == 0 => break,
                Some(Event::End { .. }) | None => {}
            }
            rest = left;
        }
    }
    assert!(decoder.eof_valid(), "a frame is not whole");
    frames
}

/// A frame of theirs to a machine of this side.
fn encode(to: Side, dice: &mut Rng, opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut encoder = WebsocketFrameEncoder::new();
    let mask = (to == Side::Listener).then(|| u32::try_from(dice.below(1 << 32)).unwrap().to_be_bytes());
    let head = encoder.start_frame(&FrameInfo {
        opcode,
        payload_length: payload.len() as u64,
        mask,
        fin,
        reserved: 0,
    });
    let mut payload = payload.to_vec();
    encoder.transform_frame_payload(&mut payload);
    [&head[..], &payload].concat()
}

fn bytes(dice: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| u8::try_from(dice.below(256)).unwrap()).collect()
}

fn below(dice: &mut Rng, end: usize) -> usize {
    usize::try_from(dice.below(end as u64)).unwrap()
}

// covers: WSK-030, WSK-037
#[test]
fn they_read_every_frame_of_ours_however_it_is_cut() {
    for side in [Side::Dialer, Side::Listener] {
        let mut dice = rng(7);
        let mut socket = open(side);
        for len in [1, 2, 125, 126, 127, 1000, 65_535] {
            let message = bytes(&mut dice, len);
            let wire = send(&mut socket, NOW, &message);
            let frame = Frame {
                opcode: Opcode::Binary,
                fin: true,
                masked: side == Side::Dialer,
                payload: message,
            };
            for piece in [1, 3, 1000, 1 << 20] {
                assert_eq!(
                    decode(&wire, piece),
                    [Frame {
                        payload: frame.payload.clone(),
                        ..frame
                    }]
                );
            }
        }
    }
}

// covers: WSK-030, WSK-041
#[test]
fn we_read_every_message_of_theirs_in_fragments_with_pings_between_them() {
    for side in [Side::Dialer, Side::Listener] {
        let mut dice = rng(8);
        for _ in 0..200 {
            // So many pings on one would be a flood.
            let mut socket = open(side);
            let pieces = 1 + below(&mut dice, 4);
            let (mut wire, mut message) = (Vec::new(), Vec::new());
            let mut asked = None;
            for piece in 0..pieces {
                let len = [0, 1, 125, 126, 3000][below(&mut dice, 5)];
                let part = bytes(&mut dice, len);
                let opcode = [Opcode::Binary, Opcode::Continuation][usize::from(piece > 0)];
                wire.extend(encode(side, &mut dice, opcode, piece + 1 == pieces, &part));
                message.extend(part);
                if dice.below(3) == 0 {
                    let len = below(&mut dice, 126);
                    let ping = bytes(&mut dice, len);
                    wire.extend(encode(side, &mut dice, Opcode::Ping, true, &ping));
                    asked = Some(ping);
                }
            }
            let cut = below(&mut dice, wire.len() + 1);
            assert_eq!(fed(&mut socket, &wire, cut), message);
            // The last ping is answered, those before it may be.
            let answers = decode(&transmit(&mut socket, NOW), 7);
            assert!(answers.iter().all(|frame| frame.opcode == Opcode::Pong));
            assert_eq!(answers.into_iter().last().map(|frame| frame.payload), asked);
        }
    }
}

/// What comes of these bytes in two parts.
fn fed(socket: &mut WebSocket, wire: &[u8], cut: usize) -> Vec<u8> {
    let (mut payload, left) = feed(socket, NOW, &wire[..cut]).unwrap();
    let (rest, left) = feed(socket, NOW, &wire[cut - left..]).unwrap();
    assert_eq!(left, 0);
    payload.extend(rest);
    payload
}

// covers: WSK-035, WSK-036
#[test]
fn what_they_find_unreasonable_we_refuse() {
    let mut dice = rng(9);
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..4000 {
        let (first, len) = (u8::try_from(dice.below(256)).unwrap(), below(&mut dice, 8));
        let payload = bytes(&mut dice, len);
        let wire = [&[first, u8::try_from(len).unwrap()][..], &payload].concat();
        let mut decoder = WebsocketFrameDecoder::new();
        let step = decoder.add_data(&mut wire.clone()).unwrap();
        let Some(Event::Start { frame_info, .. }) = step.event else {
            panic!("no head in {wire:02x?}")
        };
        let ours = feed(&mut open(Side::Dialer), NOW, &wire);
        if !frame_info.is_reasonable() {
            assert!(ours.is_err(), "{wire:02x?}");
            refused += 1;
        } else if matches!(frame_info.opcode, Opcode::Binary | Opcode::Ping | Opcode::Pong) {
            assert!(ours.is_ok(), "{wire:02x?}: {ours:?}");
            taken += 1;
        }
    }
    assert!(refused > 1000 && taken > 50, "{refused} {taken}");
}
