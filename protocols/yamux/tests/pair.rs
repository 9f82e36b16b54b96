//! Two ends joined: narrow pipes, long ways, and traces cut anywhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::{Instant, Side, TransmitBuf};
use libp2p_proto_yamux::{Config, Event, Yamux};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use support::{NOW, Pair, frames, header, transmit, word};

fn pattern(id: u32, at: usize) -> u8 {
    (id as usize * 31 + at * 7 + (at >> 8)).to_le_bytes()[0]
}

/// One end with an adapter's write buffer, behind a pipe.
struct End {
    yamux: Yamux,
    buffer: VecDeque<u8>,
    pipe: VecDeque<u8>,
    to_write: BTreeMap<u32, (usize, usize)>,
    received: BTreeMap<u32, usize>,
    finished: usize,
}

impl End {
    fn new(side: Side) -> Self {
        Self {
            yamux: Yamux::new(side, Config::default(), 7, NOW).unwrap(),
            buffer: VecDeque::new(),
            pipe: VecDeque::new(),
            to_write: BTreeMap::new(),
            received: BTreeMap::new(),
            finished: 0,
        }
    }

    /// Writes what fits on every stream, and finishes those that are complete.
    fn write(&mut self, id: u32) {
        let Some((written, total)) = self.to_write.get_mut(&id) else {
            return;
        };
        while *written < *total {
            let len = (*total - *written).min(5000);
            let chunk: Vec<u8> = (0..len).map(|at| pattern(id, *written + at)).collect();
            let taken = self.yamux.write(id, &mut Bytes::from(chunk)).unwrap();
            *written += taken;
            if taken < len {
                return;
            }
        }
        self.yamux.finish(id);
    }

    fn take(&mut self, bytes: &[u8], total: usize) {
        let mut input = bytes;
        while let Some(event) = self.yamux.handle_input(NOW, &mut input).unwrap() {
            match event {
                Event::Opened { stream } => {
                    self.yamux.accept(stream, 20_000);
                    self.to_write.insert(stream, (0, total));
                    self.write(stream);
                }
                Event::Data { stream, bytes } => {
                    let at = self.received.entry(stream).or_default();
                    assert!(
                        bytes
                            .iter()
                            .enumerate()
                            .all(|(n, byte)| *byte == pattern(stream, *at + n))
                    );
                    *at += bytes.len();
                    self.yamux.grant(NOW, stream, bytes.len());
                }
                Event::Finished { .. } => self.finished += 1,
                _ => {}
            }
        }
    }
}

/// Both ends write `total` bytes on each of `streams` and read, through pipes of `capacity` bytes.
fn saturate(capacity: usize, streams: usize, total: usize, buffer: usize) {
    let mut ends = [End::new(Side::Dialer), End::new(Side::Listener)];
    for _ in 0..streams {
        let id = ends[0].yamux.open(20_000).unwrap();
        ends[0].to_write.insert(id, (0, total));
        ends[0].write(id);
    }
    loop {
        let mut moved = false;
        for who in 0..2 {
            let (this, other) = ends.split_at_mut(1);
            let (this, other) = if who == 0 {
                (&mut this[0], &mut other[0])
            } else {
                (&mut other[0], &mut this[0])
            };
            if this.buffer.is_empty() {
                let mut wire = Vec::new();
                let mut out = TransmitBuf::new(&mut wire, buffer);
                while this.yamux.poll_transmit(NOW, &mut out) {}
                this.buffer.extend(wire);
                while let Some(event) = this.yamux.poll_event() {
                    if let Event::Drained { stream, .. } = event {
                        this.write(stream);
                    }
                }
            }
            let room = (capacity - other.pipe.len()).min(this.buffer.len());
            other.pipe.extend(this.buffer.drain(..room));
            let arrived: Vec<u8> = other.pipe.drain(..).collect();
            other.take(&arrived, total);
            moved |= !arrived.is_empty() || !this.buffer.is_empty();
        }
        if !moved {
            break;
        }
    }
    for end in &ends {
        assert_eq!(end.finished, streams);
        assert_eq!(end.received.values().sum::<usize>(), streams * total);
        assert_eq!(end.yamux.stream_count(), 0);
    }
}

// covers: YMX-042, YMX-098
#[test]
fn vul_041_both_ends_write_and_read_ten_megabytes_through_any_pipe() {
    for (capacity, streams, total, buffer) in [
        (1, 1, 20_000, 13),
        (1, 3, 20_000, 64),
        (2, 3, 40_000, 4096),
        (7, 2, 100_000, 13),
        (13, 5, 100_000, 1 << 16),
        (100, 10, 100_000, 512),
        (1024, 3, 1 << 20, 1 << 16),
        (4096, 1, 10 << 20, 1 << 16),
        (4096, 10, 1 << 20, 20_000),
        (4096, 200, 50_000, 1 << 16),
    ] {
        saturate(capacity, streams, total, buffer);
    }
}

// covers: YMX-049, YMX-050
#[test]
fn over_a_long_way_the_round_trip_is_measured_and_the_window_fills_it() {
    let mut pair = Pair::new(Duration::from_millis(50));
    let stream = pair.ends[0].open(usize::MAX).unwrap();
    let total = 64 << 20;
    pair.ends[0]
        .write(stream, &mut Bytes::from(vec![1; total]))
        .unwrap();
    pair.ends[0].finish(stream);
    let mut got = 0;
    pair.run(&mut |_, end, now, event| match event {
        Event::Opened { stream } => end.accept(stream, 0),
        Event::Data { stream, bytes } => {
            got += bytes.len();
            end.grant(now, stream, bytes.len());
        }
        Event::Finished { stream } => end.finish(stream),
        _ => {}
    })
    .unwrap();
    assert_eq!(got, total);
    assert_eq!(pair.ends[1].rtt(), Some(Duration::from_millis(100)));
    // With 256 KiB each round trip it would take 25 s.
    assert!(pair.now < Instant::from_millis(2000), "{:?}", pair.now);
}

/// What a dialer sends in a busy session: more than 100 frames of every kind.
fn trace() -> Vec<u8> {
    let mut yamux = support::session(Side::Dialer);
    let mut wire = Vec::new();
    for round in 0..12_u32 {
        for _ in 0..3 {
            let id = yamux.open(1 << 20).unwrap();
            yamux
                .write(id, &mut Bytes::from(vec![round.to_le_bytes()[0]; 3000]))
                .unwrap();
        }
        wire.extend(transmit(&mut yamux, NOW));
        let id = round * 6 + 1;
        yamux.finish(id);
        yamux.reset(id + 2);
        wire.extend(transmit(&mut yamux, NOW));
        wire.extend(header(2, 1, 0, round));
        wire.extend(header(1, 0, id, 5));
        wire.extend(header(0, 8, id + 4, 3));
        wire.extend(b"xyz");
        yamux.abandon(id + 4);
        transmit(&mut yamux, NOW);
    }
    wire.extend(header(3, 0, 0, 0));
    assert!(frames(&wire).len() > 100);
    wire
}

/// Events (data joined) and output of a listener that is fed in parts, with its clock at `start`.
fn replay(wire: &[u8], cuts: &[usize], start: Instant) -> (Vec<String>, Vec<u8>) {
    let mut yamux = Yamux::new(Side::Listener, Config::default(), 9, start).unwrap();
    let (mut told, mut data): (Vec<String>, BTreeMap<u32, usize>) = Default::default();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([wire.len()]) {
        let mut input = &wire[from..cut.max(from)];
        from = cut.max(from);
        while let Some(event) = yamux.handle_input(start, &mut input).unwrap() {
            match event {
                Event::Opened { stream } => {
                    yamux.accept(stream, 0);
                    told.push(word(event));
                }
                Event::Data { stream, bytes } => {
                    *data.entry(stream).or_default() += bytes.len();
                    yamux.grant(start, stream, bytes.len());
                }
                _ => told.push(word(event)),
            }
        }
    }
    told.push(format!("{data:?}"));
    told.extend(support::events(&mut yamux));
    let out = transmit(&mut yamux, start);
    told.push(format!("{:?}", yamux.stats()));
    (told, out)
}

// covers: YMX-008, YMX-097
#[test]
fn a_trace_fed_byte_by_byte_tells_and_sends_the_same_as_all_at_once_whenever_the_clock_starts() {
    let wire = trace();
    let wanted = replay(&wire, &[], NOW);
    assert!(wanted.0.len() > 60 && wanted.1.len() >= 25 * 12);
    let all: Vec<usize> = (0..wire.len()).collect();
    assert_eq!(replay(&wire, &all, NOW), wanted);
    let hour_before_the_end = Instant::MAX - Duration::from_secs(3600);
    for start in [Instant::from_millis(1000), hour_before_the_end] {
        assert_eq!(replay(&wire, &[], start), wanted);
        assert_eq!(replay(&wire, &all, start), wanted);
    }
}

proptest! {
    // covers: YMX-008, YMX-097
    #[test]
    fn a_trace_cut_anywhere_tells_and_sends_the_same(mut cuts in proptest::collection::vec(0_usize..100_000, 0..60)) {
        let wire = trace();
        cuts.retain(|cut| *cut < wire.len());
        cuts.sort_unstable();
        prop_assert_eq!(replay(&wire, &cuts, NOW), replay(&wire, &[], NOW));
    }

    // covers: YMX-098
    #[test]
    fn frames_of_any_content_in_both_roles_end_in_a_state_that_holds_together(
        dialer in any::<bool>(),
        list in proptest::collection::vec((0..5_u8, 0..32_u16, 0..12_u32, prop_oneof![0..4_u32, 262_140..262_150_u32, any::<u32>()]), 1..60),
    ) {
        let side = if dialer { Side::Dialer } else { Side::Listener };
        let mut yamux = support::session(side);
        for number in 0..3 {
            let id = yamux.open(100).unwrap();
            if number == 2 {
                yamux.reset(id);
            }
        }
        let mut ended = None;
        for (kind, flags, id, length) in list {
            let mut wire = header(kind, flags, id, length);
            wire.resize(12 + if kind == 0 { length.min(300) as usize } else { 0 }, 5);
            let mut input = &wire[..];
            let result = loop {
                match yamux.handle_input(NOW, &mut input) {
                    Ok(Some(Event::Opened { stream })) => yamux.accept(stream, 100),
                    Ok(Some(Event::Data { stream, bytes })) => {
                        yamux.grant(NOW, stream, bytes.len());
                        let _ = yamux.write(stream, &mut Bytes::copy_from_slice(bytes));
                    }
                    Ok(Some(Event::Finished { stream })) => yamux.finish(stream),
                    Ok(Some(_)) => {}
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            if let Some(error) = ended {
                prop_assert_eq!(result, Err(error));
            } else if let Err(error) = result {
                ended = Some(error);
                let last = transmit(&mut yamux, NOW);
                prop_assert!(last.is_empty() || last == header(3, 0, 0, 1));
            }
            for frame in frames(&transmit(&mut yamux, NOW)) {
                prop_assert!(ended.is_none());
                prop_assert_eq!(frame.flags & 0xfff0, 0);
                prop_assert_ne!(frame.flags & 3, 3);
                prop_assert!(frame.kind < 2 || frame.id == 0);
                prop_assert!(frame.kind >= 2 || frame.id != 0);
            }
        }
    }
}
