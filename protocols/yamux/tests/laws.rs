//! The laws of a machine, over sessions of both sides.
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
use libp2p_proto_yamux::{Config, Event, Yamux};
use std::collections::VecDeque;
use support::{ACK, FIN, RST, SYN, data, header, update};

/// A session below a layer that accepts everything and gives all credit back.
struct Session {
    yamux: Yamux,
    said: VecDeque<Said>,
    now: Instant,
}

impl Session {
    fn new(side: Side, now: Instant) -> Self {
        Self {
            yamux: Yamux::new(side, Config::default(), 7, now).unwrap(),
            said: VecDeque::new(),
            now,
        }
    }
}

impl Machine for Session {
    fn handle_input(&mut self, now: Instant, input: &mut [u8]) -> Result<usize, String> {
        self.now = self.now.max(now);
        let mut rest = &*input;
        loop {
            match self.yamux.handle_input(now, &mut rest) {
                Ok(None) => return Ok(input.len() - rest.len()),
                Ok(Some(Event::Data { stream, bytes })) => {
                    self.said.push_back(Said::Bytes(stream.into(), bytes.to_vec()));
                    self.yamux.grant(self.now, stream, bytes.len());
                }
                Ok(Some(event)) => {
                    self.said.push_back(Said::Word(format!("{event:?}")));
                    if let Event::Opened { stream } = event {
                        self.yamux.accept(stream, 1000);
                    }
                }
                Err(error) => return Err(format!("{error:?}")),
            }
        }
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> bool {
        self.yamux.poll_transmit(now, out)
    }

    fn poll_event(&mut self) -> Option<Said> {
        while let Some(event) = self.yamux.poll_event() {
            // How many of these there are depends on how the output was cut.
            if !matches!(event, Event::Drained { .. }) {
                self.said.push_back(Said::Word(format!("{event:?}")));
            }
        }
        self.said.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) {
        let _over = self.yamux.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.yamux.poll_timeout()
    }
}

fn laws(side: Side) -> Laws<Session> {
    Laws::of(move |now| Session::new(side, now))
}

const PONG: [u8; 12] = [0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7];

#[test]
fn a_listener_keeps_the_laws() {
    let life = [
        update(SYN, 1, 0),
        data(0, 1, b"hello"),
        data(SYN | FIN, 3, b"all at once"),
        header(2, SYN, 0, 99),
        data(0, 77, b"nobody"),
        data(0, 1, &vec![1; 150_000]),
        update(RST, 1, 0),
    ];
    let script = Script::new()
        .input(&PONG)
        .input(&life.concat())
        .act(|session: &mut Session, _| session.yamux.finish(3))
        .wait(Duration::from_secs(45));
    laws(Side::Listener).hold(&script);
}

#[test]
fn a_dialer_keeps_the_laws() {
    let script = Script::new()
        .act(|session: &mut Session, _| {
            let id = session.yamux.open(1000).unwrap();
            session.yamux.write(id, &mut "hello".into()).unwrap();
            session.yamux.finish(id);
            session.yamux.open(1000).unwrap();
        })
        .input(&[&PONG[..], &data(ACK, 1, b"answer"), &data(FIN, 1, b"")].concat())
        .wait(Duration::from_secs(5))
        .act(|session, _| session.yamux.reset(3))
        .input(&[data(0, 3, b"late"), header(3, 0, 0, 0)].concat())
        .wait(Duration::from_secs(45));
    laws(Side::Dialer).hold(&script);
}

#[test]
fn after_an_error_one_go_away_leaves_and_nothing_else() {
    for bad in [
        header(9, 0, 1, 0),
        update(SYN, 2, 0),
        data(0, 0, b"x"),
        header(2, SYN | ACK, 0, 1),
        update(SYN, 1, u32::MAX),
    ] {
        laws(Side::Listener).are_kept_after_an_error(&Script::new().input(&PONG).input(&bad), 12);
    }
}
