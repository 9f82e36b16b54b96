//! One session of yamux: frames that are almost right, bytes that are not, and a layer above that does what it may, in any order.

use crate::budget;
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, Side, TransmitBuf};
use libp2p_proto_yamux::{Config, Event, Yamux};
use std::collections::BTreeMap;

/// What a session may hold for an input of 16 KiB: 250 streams each way, and what we queue ourselves.
const MEMORY: usize = 160 * 1024;
/// Lengths at which something turns.
const LENGTHS: [u32; 8] = [0, 1, 2, 262_143, 262_144, 262_145, u32::MAX - 1, u32::MAX];

/// How far a stream has come, as the layer above was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Open,
    Finished,
    Over,
}

struct Session {
    yamux: Yamux,
    /// Of the ids of the remote.
    parity: u32,
    now: Instant,
    told: BTreeMap<u32, Told>,
    output: Vec<u8>,
    taken: usize,
    sent: usize,
    written: usize,
    commands: usize,
}

/// Runs one input: its first byte chooses the side, the rest is what happens.
pub fn run(data: &[u8]) {
    budget::memory("a session", MEMORY, || {
        // An input that ends in the middle of a choice ends the run.
        let _end = live(&mut Unstructured::new(data));
    });
}

fn live(choices: &mut Unstructured<'_>) -> Result<()> {
    let side = if choices.arbitrary()? {
        Side::Dialer
    } else {
        Side::Listener
    };
    let now = Instant::ZERO;
    let Ok(yamux) = Yamux::new(side, Config::default(), 1, now) else {
        return Ok(());
    };
    let mut session = Session {
        yamux,
        parity: if side.is_dialer() { 2 } else { 1 },
        now,
        told: BTreeMap::new(),
        output: Vec::with_capacity(8192),
        taken: 0,
        sent: 0,
        written: 0,
        commands: 0,
    };
    let mut waiting = Vec::new();
    while !choices.is_empty() {
        session.step(choices, &mut waiting)?;
        session.check();
    }
    Ok(())
}

/// A frame whose every field may be wrong, but most of whose fields are right: a session that is over teaches nothing.
/// `parity`: that of the ids of the side which says it, 1 or 2.
pub(crate) fn frame(choices: &mut Unstructured<'_>, parity: u32, into: &mut Vec<u8>) -> Result<()> {
    let wrong = |choices: &mut Unstructured<'_>| choices.ratio(1, 100_u8);
    let kind = match choices.int_in_range(0..=31_u8)? {
        0..=15 => 0,
        16..=27 => 1,
        28..=30 => 2,
        _ => choices.int_in_range(0..=4_u8)?,
    };
    let body = choices
        .int_in_range(0..=40_u8)?
        .min(u8::try_from(choices.len()).unwrap_or(u8::MAX));
    let length = match kind {
        _ if wrong(choices)? => *choices.choose(&LENGTHS)?,
        3 => 0,
        _ => u32::from(body),
    };
    let id: u32 = match kind {
        _ if wrong(choices)? => choices.arbitrary()?,
        0 | 1 => u32::from(choices.int_in_range(1..=12_u8)?),
        _ => 0,
    };
    let flags = match choices.int_in_range(0..=15_u8)? {
        0 => choices.int_in_range(0..=15)?,
        1 => 8,
        2 | 3 => 4,
        4 => 2,
        5 | 6 => 1,
        _ => 0,
    };
    // A stream that opens has the parity of its side, and mostly an id of its own.
    let id = if flags & 1 == 1 && kind < 2 && !wrong(choices)? {
        2 * u32::from(choices.arbitrary::<u8>()?) + parity
    } else {
        id
    };
    into.extend([u8::from(wrong(choices)?), kind, u8::from(wrong(choices)?), flags]);
    into.extend(id.to_be_bytes());
    into.extend(length.to_be_bytes());
    if kind == 0 {
        into.extend(choices.bytes(usize::from(body).min(choices.len()))?);
    }
    Ok(())
}

impl Session {
    fn step(&mut self, choices: &mut Unstructured<'_>, waiting: &mut Vec<u8>) -> Result<()> {
        let id = u32::from(choices.int_in_range(0..=12_u8)?);
        match choices.int_in_range(0..=13_u8)? {
            0..=3 => frame(choices, self.parity, waiting)?,
            4 => {
                let count = choices.int_in_range(0..=64_usize)?.min(choices.len());
                waiting.extend(choices.bytes(count)?);
            }
            5 | 6 => self.input(waiting),
            7 => self.now = self.now + Duration::from_millis(choices.int_in_range(0..=20_000)?),
            8 => {
                let _over = self.yamux.handle_timeout(self.now);
            }
            9 => {
                let room = *choices.choose(&[0, 1, 11, 12, 13, 64, 4096])?;
                self.transmit(room);
            }
            10 => {
                self.commands += 1;
                if let Ok(id) = self.yamux.open(1024) {
                    self.told.insert(id, Told::Open);
                }
            }
            11 => {
                self.commands += 1;
                self.yamux.accept(id, 1024);
                let mut data = Bytes::from_static(&[7; 100]);
                self.written += self.yamux.write(id, &mut data).unwrap_or(0);
            }
            12 => {
                self.commands += 1;
                self.yamux.grant(
                    self.now,
                    id,
                    usize::try_from(*choices.choose(&LENGTHS)?).unwrap_or(0),
                );
                self.yamux.finish(id);
            }
            _ => {
                self.commands += 1;
                match choices.int_in_range(0..=9_u8)? {
                    0 => self.yamux.go_away(),
                    1 => self.yamux.abort(),
                    2 => {
                        let _end = self.yamux.handle_eof();
                        self.told.clear();
                    }
                    3 => self.yamux.stop_reading(id),
                    4 => self.yamux.abandon(id),
                    _ => {
                        self.yamux.reset(id);
                        self.told.remove(&id);
                    }
                }
            }
        }
        Ok(())
    }

    fn input(&mut self, waiting: &mut Vec<u8>) {
        let mut input = &waiting[..];
        let mut turns = 0;
        while let Ok(Some(event)) = self.yamux.handle_input(self.now, &mut input) {
            turns += 1;
            self.tell(event);
            if !self.yamux.wants_input() {
                break;
            }
        }
        let taken = waiting.len() - input.len();
        budget::at_most("events for the bytes of one read", turns, taken + 4);
        self.taken += taken;
        waiting.drain(..taken);
    }

    /// Nothing of a stream comes before it is open, and nothing after its end.
    fn tell(&mut self, event: Event<'_>) {
        let before = |told: &BTreeMap<u32, Told>, id: &u32| told.get(id).copied();
        match event {
            Event::Opened { stream } => {
                assert!(!matches!(
                    before(&self.told, &stream),
                    Some(Told::Open | Told::Finished)
                ));
                self.told.insert(stream, Told::Open);
            }
            Event::Data { stream, bytes } => {
                assert!(!bytes.is_empty());
                assert_eq!(before(&self.told, &stream), Some(Told::Open), "data of {stream}");
            }
            Event::Finished { stream } => {
                assert_eq!(before(&self.told, &stream), Some(Told::Open), "end of {stream}");
                self.told.insert(stream, Told::Finished);
            }
            Event::Reset { stream, .. } | Event::Closed { stream } => {
                assert!(
                    before(&self.told, &stream).is_some_and(|told| told != Told::Over),
                    "{event:?}"
                );
                self.told.insert(stream, Told::Over);
            }
            Event::GoAway { code } if code != 0 => self.told.clear(),
            _ => {}
        }
    }

    fn transmit(&mut self, room: usize) {
        self.output.clear();
        while self
            .yamux
            .poll_transmit(self.now, &mut TransmitBuf::new(&mut self.output, room))
        {
            if self.output.len() > 4096 {
                break;
            }
        }
        self.sent += self.output.len();
        for header in self.output.chunks_exact(12).take(1) {
            assert_eq!((header[0], header[2], header[3] & 0xf0), (0, 0, 0));
        }
    }

    fn check(&mut self) {
        while let Some(event) = self.yamux.poll_event() {
            self.tell(event);
        }
        budget::at_most(
            "bytes said",
            self.sent,
            64 + 12 * self.commands * 4
                + 13 * self.written
                + self.taken
                + 12 * usize::try_from(self.now.as_nanos() / 1_000_000_000).unwrap_or(0),
        );
        assert!(self.yamux.stream_count() <= 500);
    }
}
