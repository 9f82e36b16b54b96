//! The laws of a machine, on both sides.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant, Side, TransmitBuf};
use libp2p_proto_laws::{Laws, Machine, Said, Script};
use libp2p_proto_websocket::{CloseCode, Config, Error, WebSocket};
use std::collections::VecDeque;
use support::{REQUEST, answer, frame, rng, transmit};

/// A machine below a layer that takes payload in blocks of `block` bytes, as Noise does.
struct Below {
    socket: WebSocket,
    block: usize,
    outgoing: VecDeque<Vec<u8>>,
    said: VecDeque<Said>,
    now: Instant,
}

impl Machine for Below {
    fn handle_input(&mut self, now: Instant, input: &mut [u8]) -> Result<usize, String> {
        self.now = self.now.max(now);
        let (said, block) = (&mut self.said, self.block);
        let result = self.socket.handle_input(now, input, |payload| {
            let whole = payload.len() - payload.len() % block;
            said.push_back(Said::Bytes(0, payload[..whole].to_vec()));
            Ok::<_, Error>(whole)
        });
        result.map_err(|error| format!("{error:?}"))
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> bool {
        let outgoing = &mut self.outgoing;
        self.socket.poll_transmit(now, out, |out| {
            let done = outgoing.front().is_some_and(|payload| out.put(payload));
            if done {
                outgoing.pop_front();
            }
            done
        })
    }

    fn poll_event(&mut self) -> Option<Said> {
        self.said
            .retain(|said| !matches!(said, Said::Bytes(_, bytes) if bytes.is_empty()));
        let said = self.said.pop_front();
        said.or_else(|| {
            self.socket
                .poll_event()
                .map(|event| Said::Word(format!("{event:?}")))
        })
    }

    fn handle_timeout(&mut self, now: Instant) {
        let _told_by_the_next_call = self.socket.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.socket.poll_timeout()
    }
}

fn laws(side: Side, block: usize) -> Laws<Below> {
    Laws::of(move |now| Below {
        socket: match side {
            Side::Dialer => {
                WebSocket::client(Config::default(), "example.com:4001", "", rng(1), now).unwrap()
            }
            Side::Listener => WebSocket::server(Config::default(), now).unwrap(),
        },
        block,
        outgoing: VecDeque::new(),
        said: VecDeque::new(),
        now,
    })
}

fn head(side: Side) -> String {
    match side {
        Side::Dialer => answer(&transmit(&mut support::client(), support::NOW)),
        Side::Listener => REQUEST.to_owned(),
    }
}

fn life(side: Side) -> Vec<u8> {
    [
        frame(side, 0x82, b"hello"),
        frame(side, 0x82, b""),
        frame(side, 0x89, b"are you there?"),
        frame(side, 0x02, b"one "),
        frame(side, 0x89, b"still?"),
        frame(side, 0x00, b"message "),
        frame(side, 0x8a, b"unasked"),
        frame(side, 0x80, &[7; 300]),
        frame(side, 0x82, &vec![1; 70_000]),
    ]
    .concat()
}

// covers: WSK-030, WSK-031
#[test]
fn both_sides_keep_the_laws_whatever_the_layer_above_leaves() {
    for side in [Side::Dialer, Side::Listener] {
        for block in [1, 2, 1000, 1 << 20] {
            let script = Script::new()
                .input(head(side).as_bytes())
                .act(|below: &mut Below, _| below.outgoing.extend([vec![3; 5], vec![4; 200]]))
                .input(&life(side))
                .input(&frame(side, 0x88, b"\x03\xe8bye"))
                .wait(Duration::from_secs(20));
            laws(side, block).hold(&script);
        }
    }
}

#[test]
fn both_sides_keep_the_laws_when_they_close_first() {
    for side in [Side::Dialer, Side::Listener] {
        let script = Script::new()
            .input(head(side).as_bytes())
            .input(&frame(side, 0x82, b"hello"))
            .act(|below: &mut Below, now| below.socket.close(now, CloseCode::NORMAL))
            .input(&frame(side, 0x82, b"too late"))
            .wait(Duration::from_millis(100))
            .input(&frame(side, 0x88, b""));
        laws(side, 1).hold(&script);
    }
}

// covers: WSK-018
#[test]
fn silence_in_the_upgrade_keeps_the_laws() {
    for side in [Side::Dialer, Side::Listener] {
        let half = head(side)[..30].to_owned();
        laws(side, 1).hold(&Script::new().input(half.as_bytes()).wait(Duration::from_secs(30)));
    }
}

#[test]
fn after_an_error_one_close_frame_leaves_and_nothing_else() {
    for side in [Side::Dialer, Side::Listener] {
        for bad in [
            frame(side, 0xc2, b"x"),
            frame(side, 0x83, b"x"),
            frame(side, 0x81, b"x"),
            frame(side, 0x80, b"x"),
            frame(side, 0x09, b"x"),
            frame(side, 0x88, b"x"),
            frame(side.opposite(), 0x82, b"x"),
        ] {
            let script = Script::new().input(head(side).as_bytes()).input(&bad);
            laws(side, 1).hold(&script);
            laws(side, 1).are_kept_after_an_error(&script, 8);
        }
    }
}

#[test]
fn after_a_bad_upgrade_a_server_refuses_once_and_a_client_says_nothing() {
    let script = Script::new().input(b"POST / HTTP/1.1\r\n\r\n");
    laws(Side::Listener, 1).hold(&script);
    laws(Side::Listener, 1).are_kept_after_an_error(&script, 100);
    let script = Script::new().input(b"HTTP/1.1 200 OK\r\n\r\n");
    laws(Side::Dialer, 1).hold(&script);
    laws(Side::Dialer, 1).are_kept_after_an_error(&script, 0);
}
