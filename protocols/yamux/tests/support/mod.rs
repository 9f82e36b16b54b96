//! What the tests share: frames, sessions, and two ends joined by pipes.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "every test file uses a part of it, and fails by panicking"
)]

use libp2p_proto_core::{Instant, Side, TransmitBuf};
use libp2p_proto_yamux::{Config, Error, Event, Yamux};
use std::time::Duration;

pub const NOW: Instant = Instant::ZERO;

pub const SYN: u16 = 1;
pub const ACK: u16 = 2;
pub const FIN: u16 = 4;
pub const RST: u16 = 8;

pub const WINDOW: usize = 262_144;

pub fn after(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// One frame, as it was read from output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u16,
    pub id: u32,
    pub length: u32,
    pub body: Vec<u8>,
}

pub fn header(kind: u8, flags: u16, id: u32, length: u32) -> Vec<u8> {
    let mut wire = vec![0, kind];
    wire.extend(flags.to_be_bytes());
    wire.extend(id.to_be_bytes());
    wire.extend(length.to_be_bytes());
    wire
}

pub fn data(flags: u16, id: u32, body: &[u8]) -> Vec<u8> {
    let mut wire = header(0, flags, id, u32::try_from(body.len()).unwrap());
    wire.extend(body);
    wire
}

pub fn update(flags: u16, id: u32, credit: u32) -> Vec<u8> {
    header(1, flags, id, credit)
}

/// Cuts output into frames.
pub fn frames(mut wire: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !wire.is_empty() {
        let length = u32::from_be_bytes(wire[8..12].try_into().unwrap());
        let body = if wire[1] == 0 { length as usize } else { 0 };
        assert_eq!(wire[0], 0);
        frames.push(Frame {
            kind: wire[1],
            flags: u16::from_be_bytes([wire[2], wire[3]]),
            id: u32::from_be_bytes(wire[4..8].try_into().unwrap()),
            length,
            body: wire[12..12 + body].to_vec(),
        });
        wire = &wire[12 + body..];
    }
    frames
}

/// A session whose first ping was answered at once.
pub fn session(side: Side) -> Yamux {
    session_with(side, Config::default())
}

pub fn session_with(side: Side, config: Config) -> Yamux {
    let mut yamux = Yamux::new(side, config, 7, NOW).unwrap();
    transmit(&mut yamux, NOW);
    feed(&mut yamux, NOW, &header(2, ACK, 0, 7)).unwrap();
    yamux
}

/// A listener with stream 1 open and accepted, everything sent.
pub fn with_stream(capacity: usize) -> Yamux {
    let mut yamux = session(Side::Listener);
    feed(&mut yamux, NOW, &update(SYN, 1, 0)).unwrap();
    yamux.accept(1, capacity);
    transmit(&mut yamux, NOW);
    yamux
}

pub fn transmit(yamux: &mut Yamux, now: Instant) -> Vec<u8> {
    let mut wire = Vec::new();
    while yamux.poll_transmit(now, &mut TransmitBuf::new(&mut wire, 1 << 30)) {}
    wire
}

/// The frames that are due.
pub fn sent(yamux: &mut Yamux, now: Instant) -> Vec<Frame> {
    frames(&transmit(yamux, now))
}

/// All events of an input and those behind it, in words; bodies as their length.
pub fn feed(yamux: &mut Yamux, now: Instant, mut input: &[u8]) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    while let Some(event) = yamux.handle_input(now, &mut input)? {
        words.push(word(event));
        if matches!(event, Event::GoAway { code } if code != 0) {
            break;
        }
    }
    words.extend(events(yamux));
    Ok(words)
}

pub fn events(yamux: &mut Yamux) -> Vec<String> {
    std::iter::from_fn(|| yamux.poll_event().map(word)).collect()
}

pub fn word(event: Event<'_>) -> String {
    match event {
        Event::Opened { stream } => format!("opened {stream}"),
        Event::Acknowledged { stream } => format!("acknowledged {stream}"),
        Event::Data { stream, bytes } => format!("data {stream} {}", hex(bytes)),
        Event::Drained { stream, bytes } => format!("drained {stream} {bytes}"),
        Event::Finished { stream } => format!("finished {stream}"),
        Event::Reset {
            stream,
            code,
            refused: false,
        } => format!("reset {stream} {code:#x}"),
        Event::Reset { stream, code, .. } => format!("refused {stream} {code:#x}"),
        Event::Closed { stream } => format!("closed {stream}"),
        Event::GoAway { code } => format!("go-away {code:#x}"),
        other => panic!("{other:?}"),
    }
}

pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

pub fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Two sessions in virtual time; bytes take `delay` each way.
pub struct Pair {
    pub ends: [Yamux; 2],
    pub now: Instant,
    pub delay: Duration,
    /// Bytes on the way to each end, with the time of their arrival.
    wires: [std::collections::VecDeque<(Instant, Vec<u8>)>; 2],
    /// Whether an end's output is carried; a peer that does not read blocks it.
    pub open: [bool; 2],
}

impl Pair {
    pub fn new(delay: Duration) -> Self {
        Self::with(delay, Config::default())
    }

    pub fn with(delay: Duration, config: Config) -> Self {
        let end = |side| Yamux::new(side, config, 7, NOW).unwrap();
        Self {
            ends: [end(Side::Dialer), end(Side::Listener)],
            now: NOW,
            delay,
            wires: Default::default(),
            open: [true, true],
        }
    }

    /// Sends what is due, delivers what has arrived, moves the clock to the next arrival. Events go to `act` with the end's index. `false`: nothing is
    /// on its way.
    pub fn step(
        &mut self,
        act: &mut dyn FnMut(usize, &mut Yamux, Instant, Event<'_>),
    ) -> Result<bool, (usize, Error)> {
        for who in 0..2 {
            let mut wire = Vec::new();
            while self.open[who]
                && self.ends[who].poll_transmit(self.now, &mut TransmitBuf::new(&mut wire, 1 << 30))
            {
            }
            if !wire.is_empty() {
                self.wires[1 - who].push_back((self.now + self.delay, wire));
            }
            while let Some(event) = self.ends[who].poll_event() {
                act(who, &mut self.ends[who], self.now, event);
            }
        }
        let Some(next) = self
            .wires
            .iter()
            .filter_map(|wire| wire.front().map(|(at, _)| *at))
            .min()
        else {
            return Ok(false);
        };
        self.now = self.now.max(next);
        for who in 0..2 {
            while self.wires[who].front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, wire) = self.wires[who].pop_front().unwrap();
                let mut input = &wire[..];
                while let Some(event) = self.ends[who]
                    .handle_input(self.now, &mut input)
                    .map_err(|error| (who, error))?
                {
                    act(who, &mut self.ends[who], self.now, event);
                }
                while let Some(event) = self.ends[who].poll_event() {
                    act(who, &mut self.ends[who], self.now, event);
                }
            }
        }
        Ok(true)
    }

    pub fn run(
        &mut self,
        act: &mut dyn FnMut(usize, &mut Yamux, Instant, Event<'_>),
    ) -> Result<(), (usize, Error)> {
        while self.step(act)? {}
        Ok(())
    }
}
