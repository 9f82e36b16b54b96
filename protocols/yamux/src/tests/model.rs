//! Two sessions joined by pipes that cut everything anywhere, driven at random, against a model that only counts.

use super::{
    NOW,
    census::{assert_census, assert_empty},
};
use crate::{Config, Event, Yamux};
use alloc::{collections::BTreeMap, vec, vec::Vec};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, Side, TransmitBuf};
use proptest::prelude::*;

const CAPACITY: usize = 50_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Accept(u8),
    Write(u8, u32),
    Finish(u8),
    Reset(u8),
    Abandon(u8),
    StopReading(u8),
    Grant(u8, u32),
    Limit(u8, u32),
    Transmit(u16),
    Deliver(u32),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Open),
        4 => any::<u8>().prop_map(Step::Accept),
        8 => (any::<u8>(), 0..120_000_u32).prop_map(|(n, len)| Step::Write(n, len)),
        2 => any::<u8>().prop_map(Step::Finish),
        1 => any::<u8>().prop_map(Step::Reset),
        1 => any::<u8>().prop_map(Step::Abandon),
        1 => any::<u8>().prop_map(Step::StopReading),
        8 => (any::<u8>(), 0..400_000_u32).prop_map(|(n, bytes)| Step::Grant(n, bytes)),
        1 => (any::<u8>(), 0..2_000_000_u32).prop_map(|(n, bytes)| Step::Limit(n, bytes)),
        12 => any::<u16>().prop_map(Step::Transmit),
        12 => (0..90_000_u32).prop_map(Step::Deliver),
        2 => (0..300_u16).prop_map(Step::Wait),
    ]
}

/// What one end believes of one stream.
#[derive(Clone, Debug, Default)]
struct Shadow {
    accepted: bool,
    written: u64,
    /// Bytes that left, as `Drained` has told.
    left: u64,
    received: u64,
    granted: u64,
    finished: bool,
    peer_finished: bool,
    discards: bool,
    closed: bool,
    /// Either side has ended it the hard way.
    cut: bool,
}

struct End {
    yamux: Yamux,
    streams: BTreeMap<u32, Shadow>,
    /// What the other end has sent and this one has not yet taken.
    pipe: Vec<u8>,
}

impl End {
    fn new(side: Side) -> Self {
        let config = Config {
            growth_budget: 3 << 20,
            ..Config::default()
        };
        Self {
            yamux: Yamux::new(side, config, 7, NOW).unwrap(),
            streams: BTreeMap::new(),
            pipe: Vec::new(),
        }
    }

    /// The n-th stream that stands.
    fn pick(&self, n: u8) -> Option<u32> {
        let stands: Vec<u32> = self
            .streams
            .iter()
            .filter(|(_, s)| !s.closed && !s.cut)
            .map(|(id, _)| *id)
            .collect();
        stands.get(usize::from(n) % stands.len().max(1)).copied()
    }

    fn take_events(&mut self) {
        while let Some(event) = self.yamux.poll_event() {
            match event {
                Event::Drained { stream, bytes } => {
                    self.streams.get_mut(&stream).unwrap().left += bytes as u64;
                }
                Event::Closed { stream } => {
                    let shadow = self.streams.get_mut(&stream).unwrap();
                    assert!(!shadow.closed && shadow.peer_finished && shadow.finished);
                    assert_eq!(shadow.left, shadow.written);
                    shadow.closed = true;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn deliver(&mut self, now: Instant, count: usize) {
        let taken: Vec<u8> = self.pipe.drain(..count.min(self.pipe.len())).collect();
        let mut input = &taken[..];
        while let Some(event) = self.yamux.handle_input(now, &mut input).unwrap() {
            match event {
                Event::Opened { stream } => {
                    assert!(self.streams.insert(stream, Shadow::default()).is_none());
                }
                Event::Acknowledged { stream } => assert!(self.streams[&stream].accepted),
                Event::Data { stream, bytes } => {
                    let shadow = self.streams.get_mut(&stream).unwrap();
                    assert!(!bytes.is_empty() && !shadow.peer_finished && !shadow.closed && !shadow.cut);
                    for (at, byte) in bytes.iter().enumerate() {
                        assert_eq!(*byte, pattern(stream, shadow.received + at as u64));
                    }
                    shadow.received += bytes.len() as u64;
                }
                Event::Finished { stream } => {
                    let shadow = self.streams.get_mut(&stream).unwrap();
                    assert!(!shadow.peer_finished);
                    shadow.peer_finished = true;
                }
                Event::Reset { stream, .. } => {
                    let shadow = self.streams.get_mut(&stream).unwrap();
                    assert!(!shadow.closed && !shadow.cut);
                    shadow.cut = true;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(input.is_empty());
        self.take_events();
    }

    fn write(&mut self, id: u32, len: usize) {
        let shadow = self.streams.get_mut(&id).unwrap();
        if !shadow.accepted || shadow.finished {
            return;
        }
        let bytes: Vec<u8> = (0..len as u64)
            .map(|at| pattern(id, shadow.written + at))
            .collect();
        let taken = self.yamux.write(id, &mut Bytes::from(bytes)).unwrap();
        // What was reported as free is free, no more and no less.
        let free = CAPACITY - usize::try_from(shadow.written - shadow.left).unwrap();
        assert_eq!(taken, len.min(free));
        shadow.written += taken as u64;
    }

    fn grant(&mut self, now: Instant, id: u32, bytes: u64) {
        let shadow = self.streams.get_mut(&id).unwrap();
        let bytes = bytes.min(shadow.received - shadow.granted);
        if !shadow.discards {
            shadow.granted += bytes;
            self.yamux.grant(now, id, usize::try_from(bytes).unwrap());
        }
    }
}

fn pattern(stream: u32, at: u64) -> u8 {
    (u64::from(stream) * 31 + at * 7 + (at >> 8)).to_le_bytes()[0]
}

fn act(ends: &mut [End; 2], who: usize, step: Step, now: &mut Instant) {
    let (this, other) = ends.split_at_mut(1);
    let (this, other) = if who == 0 {
        (&mut this[0], &mut other[0])
    } else {
        (&mut other[0], &mut this[0])
    };
    let picked = match step {
        Step::Accept(n) | Step::Write(n, _) | Step::Finish(n) | Step::Reset(n) | Step::Abandon(n) => {
            this.pick(n)
        }
        Step::StopReading(n) | Step::Grant(n, _) | Step::Limit(n, _) => this.pick(n),
        _ => Some(0),
    };
    let Some(id) = picked else { return };
    match step {
        Step::Open => {
            if let Ok(id) = this.yamux.open(CAPACITY) {
                let shadow = Shadow {
                    accepted: true,
                    ..Shadow::default()
                };
                assert!(this.streams.insert(id, shadow).is_none());
            }
        }
        Step::Accept(_) => {
            this.yamux.accept(id, CAPACITY);
            this.streams.get_mut(&id).unwrap().accepted = true;
        }
        Step::Write(_, len) => this.write(id, len as usize),
        Step::Finish(_) => {
            this.yamux.finish(id);
            this.streams.get_mut(&id).unwrap().finished = true;
        }
        Step::Reset(_) => {
            this.yamux.reset(id);
            this.streams.get_mut(&id).unwrap().cut = true;
        }
        Step::Abandon(_) => {
            this.yamux.abandon(id);
            let shadow = this.streams.get_mut(&id).unwrap();
            if this.yamux.streams.contains_key(&id) {
                shadow.finished = true;
            } else {
                shadow.cut = true;
            }
        }
        Step::StopReading(_) => {
            this.yamux.stop_reading(id);
            this.streams.get_mut(&id).unwrap().discards = true;
        }
        Step::Grant(_, bytes) => this.grant(*now, id, bytes.into()),
        Step::Limit(_, bytes) => this.yamux.set_max_window(id, bytes as usize),
        Step::Transmit(room) => {
            let mut out = TransmitBuf::new(&mut other.pipe, room.into());
            while this.yamux.poll_transmit(*now, &mut out) {}
            this.take_events();
        }
        Step::Deliver(count) => this.deliver(*now, count as usize),
        Step::Wait(millis) => {
            *now = *now + Duration::from_millis(millis.into());
            this.yamux.handle_timeout(*now).unwrap();
        }
    }
    assert_census(&this.yamux);
    assert_census(&other.yamux);
}

/// Accepts, grants, sends and delivers all until nothing moves.
fn settle(ends: &mut [End; 2], now: &mut Instant) {
    for _ in 0..10_000 {
        let mut moved = false;
        for who in 0..2 {
            let ids: Vec<u32> = ends[who].yamux.streams.keys().copied().collect();
            for id in ids {
                ends[who].yamux.accept(id, CAPACITY);
                ends[who].streams.get_mut(&id).unwrap().accepted = true;
                ends[who].grant(*now, id, u64::MAX);
            }
            let before = ends[1 - who].pipe.len();
            act(ends, who, Step::Transmit(u16::MAX), now);
            moved |= ends[1 - who].pipe.len() > before;
            moved |= !ends[who].pipe.is_empty();
            act(ends, who, Step::Deliver(u32::MAX), now);
        }
        *now = *now + Duration::from_micros(50);
        if !moved {
            return;
        }
    }
    panic!("the ends never come to rest");
}

/// At rest, credit is where it belongs, and all that was written has come through.
fn assert_settled(ends: &[End; 2]) {
    for who in 0..2 {
        let (this, other) = (&ends[who], &ends[1 - who]);
        for (id, shadow) in &this.streams {
            let theirs = other.streams.get(id);
            if shadow.cut || theirs.is_some_and(|theirs| theirs.cut) {
                continue;
            }
            let theirs = theirs.unwrap();
            assert_eq!(shadow.left, shadow.written, "stream {id}");
            assert!(
                theirs.discards || theirs.received == shadow.written,
                "stream {id}"
            );
            assert_eq!(theirs.peer_finished, shadow.finished, "stream {id}");
            assert_eq!(shadow.closed, shadow.finished && shadow.peer_finished);
            let pair = (this.yamux.streams.get(id), other.yamux.streams.get(id));
            if let (Some(ours), Some(theirs)) = pair {
                assert_eq!(theirs.held(), 0);
                assert!(theirs.peer_finished || ours.send_window == theirs.recv_window);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    // covers: YMX-008, YMX-044, YMX-056, YMX-070, YMX-094, YMX-097, YMX-098
    #[test]
    fn vul_194_credit_is_conserved_and_nobody_sleeps_for_ever(
        steps in proptest::collection::vec((0..2_usize, step()), 1..400),
    ) {
        let mut ends = [End::new(Side::Dialer), End::new(Side::Listener)];
        let mut now = NOW;
        for (who, step) in steps {
            act(&mut ends, who, step, &mut now);
        }
        settle(&mut ends, &mut now);
        assert_settled(&ends);
        for end in &mut ends {
            let ids: Vec<u32> = end.yamux.streams.keys().copied().collect();
            for id in ids {
                end.yamux.finish(id);
                end.streams.get_mut(&id).unwrap().finished = true;
            }
        }
        settle(&mut ends, &mut now);
        assert_settled(&ends);
        for end in &ends {
            assert_empty(&end.yamux);
        }
    }
}
