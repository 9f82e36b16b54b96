//! What only the inside can show: the reference table, credit and counts after every step, sizes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod census;
mod inside;
mod model;
mod table;

use crate::{Config, Error, Event, Yamux};
use alloc::{format, string::String, vec, vec::Vec};
use libp2p_proto_core::{Instant, Side, TransmitBuf};

const NOW: Instant = Instant::ZERO;

/// A session whose first ping was answered.
fn session(side: Side) -> Yamux {
    session_with(side, Config::default())
}

fn session_with(side: Side, config: Config) -> Yamux {
    let mut yamux = Yamux::new(side, config, 7, NOW).unwrap();
    transmit(&mut yamux, NOW);
    feed(&mut yamux, NOW, &[0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7]).unwrap();
    yamux
}

fn frame(kind: u8, flags: u16, id: u32, length: u32) -> Vec<u8> {
    let mut wire = vec![0, kind];
    wire.extend(flags.to_be_bytes());
    wire.extend(id.to_be_bytes());
    wire.extend(length.to_be_bytes());
    wire
}

fn transmit(yamux: &mut Yamux, now: Instant) -> Vec<u8> {
    let mut wire = Vec::new();
    while yamux.poll_transmit(now, &mut TransmitBuf::new(&mut wire, usize::MAX / 2)) {}
    wire
}

/// All events of an input and those behind it, in words.
fn feed(yamux: &mut Yamux, now: Instant, mut input: &[u8]) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    while let Some(event) = yamux.handle_input(now, &mut input)? {
        words.push(format!("{event:?}"));
        if matches!(event, Event::GoAway { code } if code != 0) {
            break;
        }
    }
    while let Some(event) = yamux.poll_event() {
        words.push(format!("{event:?}"));
    }
    Ok(words)
}

/// All state that a refused frame must leave alone: everything but rates and counters.
fn state(yamux: &Yamux) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        yamux.inbox,
        yamux.streams,
        yamux.tombs,
        [&yamux.control, &yamux.early, &yamux.data, &yamux.drained],
        yamux.resets,
        yamux.pongs,
        yamux.pinger.rtt(),
        yamux.go_away_due,
        (yamux.inbound, yamux.outbound, yamux.unaccepted),
        (yamux.unacknowledged, yamux.early_syns, yamux.growth),
        (yamux.going_away, yamux.peer_going_away),
        yamux.waiting,
        yamux.failed,
        yamux.unreported(),
    )
}
