//! The laws of a machine, over the life of a listener: upgraded, used, closed; and refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_connection::{Config, Connection};
use libp2p_proto_core::{Deadline, Instant, Side, TransmitBuf};
use libp2p_proto_laws::{Laws, Machine, Said, Script};
use libp2p_proto_stream_protocol::{FromConnection, StreamOrder, ToConnection};
use std::sync::Arc;
use support::{
    NOW, config,
    raw::{FIN, HEADER, Raw, SYN, data, frame, open},
    seat,
};

/// A listener below a swarm that admits everyone and echoes everything.
struct Echo(Connection);

impl Echo {
    fn new(now: Instant, config: &Arc<Config>) -> Self {
        let mut seat = seat(2, Side::Listener);
        seat.upgrade_by = now + Duration::from_secs(10);
        Self(Connection::new(now, config.clone(), seat))
    }
}

impl Machine for Echo {
    fn handle_input(&mut self, now: Instant, input: &mut [u8]) -> Result<usize, String> {
        self.0
            .handle_input(now, input)
            .map_err(|error| format!("{error:?}"))
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> bool {
        self.0.poll_transmit(now, out)
    }

    fn poll_event(&mut self) -> Option<Said> {
        let message = self.0.poll_message()?;
        let now = NOW;
        match &message {
            FromConnection::Authenticated { .. } => self.0.handle_message(now, ToConnection::Admit),
            FromConnection::Frame { stream, data } => {
                let (stream, bytes) = (*stream, data.len());
                let data = data.clone();
                self.0.handle_message(now, ToConnection::Grant { stream, bytes });
                self.0.handle_message(
                    now,
                    ToConnection::Write {
                        stream,
                        data: data.clone(),
                    },
                );
                return Some(Said::Bytes(stream.seq(), data.to_vec()));
            }
            FromConnection::Finished { stream } => {
                let (stream, order) = (*stream, StreamOrder::Finish);
                self.0.handle_message(now, ToConnection::Order { stream, order });
            }
            // How many of these there are depends on how the output was cut.
            FromConnection::Sent { .. } => return self.poll_event(),
            _ => {}
        }
        Some(Said::Word(format!("{message:?}")))
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.0.poll_timeout()
    }
}

/// The flights of a dialer up to its first stream, and then plaintexts that it seals.
fn flights(plaintexts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut peer = Raw::dialer();
    let mut flights = peer.flights.clone();
    flights.extend(plaintexts.iter().map(|plain| peer.seal(plain)));
    flights
}

fn script(flights: &[Vec<u8>]) -> Script<Echo> {
    flights
        .iter()
        .fold(Script::new(), |script, flight| script.input(flight))
}

fn laws() -> Laws<Echo> {
    let config = config(2);
    Laws::of(move |now| Echo::new(now, &config))
}

#[test]
fn a_connection_keeps_the_laws_from_its_first_byte_to_its_last() {
    let used = [
        [
            open(1, "/framed/1"),
            data(0, 1, b"\x03abc\x00\x05he"),
            data(FIN, 1, b"llo"),
        ]
        .concat(),
        [frame(2, SYN, 0, 7, b""), open(3, "/no/1"), data(FIN, 3, b"")].concat(),
        [open(5, "/few/1"), data(0, 5, &[9; 31])].concat(),
        [data(0, 5, &[9; 40]), frame(1, 8, 5, 0, b""), data(SYN, 7, HEADER)].concat(),
    ];
    let goes = frame(3, 0, 0, 0, b"");
    laws().hold(&script(&flights(&used)).wait(Duration::from_secs(11)));
    laws().hold(&script(&flights(&[used.concat(), goes])).wait(Duration::from_secs(11)));
}

#[test]
fn a_connection_keeps_the_laws_when_its_peer_stops_anywhere() {
    let flights = flights(&[]);
    for count in 0..flights.len() {
        laws().hold(&script(&flights[..count]).wait(Duration::from_secs(12)));
    }
}

#[test]
fn a_connection_that_failed_says_one_frame_more_and_nothing_else() {
    let mut bad_frame = flights(&[frame(9, 0, 1, 0, b"")]);
    laws().are_kept_after_an_error(&script(&bad_frame), 2 + 12 + 16);
    let last = bad_frame.last_mut().unwrap();
    let end = last.len() - 1;
    last[end] ^= 1;
    laws().are_kept_after_an_error(&script(&bad_frame), 2 + 12 + 16);
    laws().are_kept_after_an_error(&Script::new().input(&b"GET / HTTP/1.1\r\n".repeat(5)), 20);
    let mut bad_handshake = flights(&[]);
    let last = bad_handshake.last_mut().unwrap();
    last[40] ^= 1;
    laws().are_kept_after_an_error(&script(&bad_handshake), 0);
}
