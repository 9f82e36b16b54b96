//! Frames that are larger than what a window has room for, on many streams at once, over a multiplexer with the windows of yamux.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Instant, ProtocolName, Rng, varint};
use libp2p_proto_stream_protocol::{
    Closed, Framing, FromConnection, SpecEntry, SpecTable, StreamLimits, StreamOrder, StreamSpec,
    ToConnection,
};
use libp2p_proto_streams_core::{Blocked, Muxer, Streams};
use std::{collections::BTreeMap, sync::Arc};

const NOW: Instant = Instant::ZERO;
const KIB: usize = 1024;
const WINDOW: usize = 256 * KIB;
const PIECE: usize = 16 * KIB;
const PROPOSAL: &[u8] = b"\x13/multistream/1.0.0\n\x05/p/1\n";

/// What the remote may still send on each stream.
#[derive(Default)]
struct Windows {
    left: BTreeMap<u32, usize>,
    resets: usize,
}

impl Muxer for Windows {
    type Id = u32;

    fn open(&mut self) -> Result<u32, Blocked> {
        Err(Blocked)
    }

    fn accept(&mut self, id: u32) {
        self.left.insert(id, WINDOW);
    }

    fn write(&mut self, _: u32, _: Bytes) {}

    fn finish(&mut self, _: u32) {}

    fn reset(&mut self, id: u32) {
        self.left.remove(&id);
        self.resets += 1;
    }

    fn grant(&mut self, _: Instant, id: u32, bytes: usize) {
        if let Some(left) = self.left.get_mut(&id) {
            *left += bytes;
        }
    }

    fn set_max_window(&mut self, _: u32, _: usize) {}
}

/// A connection whose remote has something to say on many streams.
struct Scene {
    streams: Streams<u32>,
    mux: Windows,
    /// What the remote has still to say.
    wires: BTreeMap<u32, Vec<u8>>,
    frames: Vec<Bytes>,
    closed: Vec<Closed>,
    now: Instant,
    unread_at_most: usize,
}

impl Scene {
    fn new(framing: Framing, unread: usize) -> Self {
        let spec = StreamSpec::new(ProtocolName::from_static("/p/1"), framing);
        let (protocol, index) = (0, 0);
        let table = SpecTable::new(vec![SpecEntry {
            protocol,
            index,
            spec,
        }]);
        let limits = StreamLimits {
            unread,
            ..StreamLimits::default()
        };
        let conn = ConnectionId::new(1);
        Self {
            streams: Streams::new(conn, false, Arc::new(table), smallvec::SmallVec::new(), limits),
            mux: Windows::default(),
            wires: BTreeMap::new(),
            frames: Vec::new(),
            closed: Vec::new(),
            now: NOW,
            unread_at_most: 0,
        }
    }

    /// The remote opens a stream and has these frames to say on it.
    fn stream(&mut self, id: u32, frames: &[usize], prefixed: bool) {
        self.streams.handle_opened(self.now, &mut self.mux, id);
        let mut wire = PROPOSAL.to_vec();
        for len in frames {
            if prefixed {
                varint::encode(*len as u64, &mut wire);
            }
            wire.extend(vec![u8::try_from(id).unwrap(); *len]);
        }
        self.wires.insert(id, wire);
    }

    /// Carries pieces of the streams in the order that `choose` picks, until nothing moves.
    fn run(&mut self, mut choose: impl FnMut(&[u32]) -> u32) {
        loop {
            while let Some(message) = self.streams.poll_message() {
                self.hear(message);
            }
            let left = |id: &u32| self.mux.left.get(id).copied().unwrap_or(0);
            let ready: Vec<u32> = self.wires.keys().copied().filter(|id| left(id) > 0).collect();
            if ready.is_empty() || !self.streams.wants_input() {
                return;
            }
            let id = choose(&ready);
            let wire = self.wires.get_mut(&id).unwrap();
            let room = self.mux.left.get_mut(&id).unwrap();
            let piece: Vec<u8> = wire.drain(..wire.len().min(PIECE).min(*room)).collect();
            *room -= piece.len();
            if wire.is_empty() {
                self.wires.remove(&id);
            }
            self.streams.handle_data(self.now, &mut self.mux, id, &piece, 0);
            self.streams.end_read(self.now, &mut self.mux);
            self.unread_at_most = self.unread_at_most.max(self.streams.unread());
        }
    }

    fn hear(&mut self, message: FromConnection) {
        match message {
            FromConnection::Frame { stream, data } => {
                let bytes = data.len();
                self.frames.push(data);
                let grant = ToConnection::Grant { stream, bytes };
                self.streams.handle_order(self.now, &mut self.mux, grant);
            }
            FromConnection::Closed { reason, .. } => self.closed.push(reason),
            _ => {}
        }
        self.streams.handle_room(self.now, &mut self.mux);
    }

    /// The next deadline comes.
    fn wait(&mut self) -> Option<&'static str> {
        let deadline = self.streams.poll_timeout()?;
        self.now = deadline.at;
        self.streams.handle_timeout(self.now, &mut self.mux);
        while let Some(message) = self.streams.poll_message() {
            self.hear(message);
        }
        Some(deadline.why)
    }
}

/// Picks a stream among those that the remote may send on.
type Turn = Box<dyn FnMut(&[u32]) -> u32>;

/// Ways for the remote to take turns: in order, always the first, always the last, by dice.
fn turns() -> Vec<Turn> {
    let mut last = 0;
    let mut dice = Rng::from_seed([7; 32]);
    vec![
        Box::new(move |ready: &[u32]| {
            last = ready.iter().copied().find(|id| *id > last).unwrap_or(ready[0]);
            last
        }),
        Box::new(|ready: &[u32]| ready[0]),
        Box::new(|ready: &[u32]| *ready.last().unwrap()),
        Box::new(move |ready: &[u32]| {
            let place = dice.below(ready.len() as u64);
            ready[usize::try_from(place).unwrap()]
        }),
    ]
}

#[test]
fn frames_side_by_side_are_all_completed_if_the_largest_fits_beside_the_windows_of_the_others() {
    let default = StreamLimits::default().unread;
    let cases = [(default, 1), (default, 2), (1024 * KIB, 3), (2048 * KIB, 5)];
    for (unread, count) in cases {
        let max = unread - (count - 1) * WINDOW;
        for framing in [Framing::LengthDelimited { max }, Framing::Fixed { len: max }] {
            for turn in turns() {
                let mut scene = Scene::new(framing, unread);
                let prefixed = matches!(framing, Framing::LengthDelimited { .. });
                for id in 0..count {
                    scene.stream(u32::try_from(id).unwrap(), &[max, max], prefixed);
                }
                scene.run(turn);
                let left = (&scene.mux.left, scene.frames.len(), scene.streams.unread());
                assert!(scene.wires.is_empty(), "{count} of {framing:?}: {left:?}");
                assert_eq!(scene.frames.len(), 2 * count);
                assert!(scene.frames.iter().all(|frame| frame.len() == max));
                assert!(scene.unread_at_most <= unread + PIECE);
                assert_eq!((scene.streams.unread(), scene.wait()), (0, None));
                assert_eq!((scene.mux.resets, scene.closed.len()), (0, 0));
            }
        }
    }
}

#[test]
fn a_frame_that_waited_grows_when_the_one_before_it_is_reset_or_reframed() {
    let max = 384 * KIB;
    for reframed in [false, true] {
        let mut scene = Scene::new(Framing::LengthDelimited { max }, 640 * KIB);
        for id in [0, 1] {
            scene.stream(id, &[max], true);
        }
        // The first announces itself and stops in its middle; the second fills its window and waits.
        let rest = scene.wires.get_mut(&0).unwrap().split_off(200 * KIB);
        scene.run(|ready| ready[0]);
        assert_eq!((scene.frames.len(), scene.wires.len()), (0, 1));
        assert!(scene.mux.left[&0] > WINDOW - PIECE && scene.mux.left[&1] == 0);
        if reframed {
            let stream = libp2p_proto_core::StreamId::theirs(ConnectionId::new(1), 0);
            let order = StreamOrder::Reframe(Framing::Raw);
            let order = ToConnection::Order { stream, order };
            scene.streams.handle_order(scene.now, &mut scene.mux, order);
        } else {
            scene.streams.handle_reset(0);
            scene.streams.end_read(scene.now, &mut scene.mux);
        }
        scene.run(|ready| ready[0]);
        assert_eq!(scene.frames.len(), 1);
        drop(rest);
    }
}

#[test]
fn more_than_the_budget_can_complete_costs_a_stream_after_the_pause_and_then_the_others_arrive() {
    let max = 384 * KIB;
    let mut scene = Scene::new(Framing::LengthDelimited { max }, 640 * KIB);
    for id in 0..3 {
        scene.stream(id, &[max], true);
    }
    let mut turn = 0;
    let mut in_turn = |ready: &[u32]| {
        turn += 1;
        ready[turn % ready.len()]
    };
    scene.run(&mut in_turn);
    assert_eq!(scene.frames.len(), 0);
    assert_eq!(scene.wait(), Some("unread"));
    assert_eq!(scene.now, NOW + Duration::from_secs(10));
    assert_eq!(scene.closed, [Closed::Limit]);
    scene.run(&mut in_turn);
    assert_eq!((scene.frames.len(), scene.closed.len()), (2, 1));
}
