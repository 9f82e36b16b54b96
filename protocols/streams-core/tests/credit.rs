//! Streams over a multiplexer that only keeps books: whatever the pieces and whenever the swarm listens, the same frames come, and every byte of credit goes
//! back once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use libp2p_proto_core::{ConnectionId, Instant, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{
    Framing, FromConnection, SpecEntry, SpecTable, StreamLimits, StreamOrder, StreamSpec, ToConnection,
};
use libp2p_proto_streams_core::{Blocked, Muxer, Streams};
use proptest::prelude::*;
use std::sync::Arc;

const NOW: Instant = Instant::ZERO;
const CONN: ConnectionId = ConnectionId::new(1);
const PROPOSAL: &[u8] = b"\x13/multistream/1.0.0\n\x05/p/1\n";

/// What was done with the only stream.
#[derive(Debug, Default)]
struct Books {
    granted: usize,
    written: Vec<u8>,
    finished: bool,
    reset: bool,
}

impl Muxer for Books {
    type Id = u32;

    fn open(&mut self) -> Result<u32, Blocked> {
        Err(Blocked)
    }

    fn accept(&mut self, _: u32) {}

    fn write(&mut self, _: u32, data: Bytes) {
        self.written.extend_from_slice(&data);
    }

    fn finish(&mut self, _: u32) {
        self.finished = true;
    }

    fn reset(&mut self, _: u32) {
        self.reset = true;
    }

    fn grant(&mut self, _: Instant, _: u32, bytes: usize) {
        self.granted += bytes;
    }

    fn set_max_window(&mut self, _: u32, _: usize) {}
}

fn streams(framing: Framing, news: usize) -> Streams<u32> {
    let entry = SpecEntry {
        protocol: 0,
        index: 0,
        spec: StreamSpec::new(ProtocolName::from_static("/p/1"), framing),
    };
    let limits = StreamLimits {
        news,
        ..StreamLimits::default()
    };
    let specs = Arc::new(SpecTable::new(vec![entry]));
    Streams::new(CONN, false, specs, smallvec::SmallVec::new(), limits)
}

fn encode(framing: Framing, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = Vec::new();
    for frame in frames {
        if matches!(framing, Framing::LengthDelimited { .. } | Framing::Held { .. }) {
            libp2p_proto_core::varint::encode(frame.len() as u64, &mut wire);
        }
        wire.extend_from_slice(frame);
    }
    wire
}

/// The swarm hears one message, if there is one, and keeps its frame.
fn listen(streams: &mut Streams<u32>, books: &mut Books, framing: Framing, got: &mut Vec<Bytes>) -> bool {
    let Some(message) = streams.poll_message() else {
        return false;
    };
    streams.handle_room(NOW, books);
    let FromConnection::Frame { stream, data } = message else {
        return true;
    };
    let bytes = data.len();
    got.push(data);
    streams.handle_order(NOW, books, ToConnection::Grant { stream, bytes });
    if matches!(framing, Framing::Held { .. }) {
        let order = StreamOrder::Next;
        streams.handle_order(NOW, books, ToConnection::Order { stream, order });
    }
    true
}

fn any_framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        Just(Framing::LengthDelimited { max: 300 }),
        Just(Framing::Held { max: 300 }),
        Just(Framing::Fixed { len: 9 }),
        Just(Framing::UntilEnd { max: 1 << 16 }),
        Just(Framing::Raw),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_cut_gives_the_same_frames_and_all_credit_comes_back(
        framing in any_framing(),
        sizes in proptest::collection::vec(0_usize..300, 0..40),
        cuts in proptest::collection::vec((1_usize..200, 0_usize..4), 1..60),
        news in 1_usize..6,
    ) {
        let frames: Vec<Vec<u8>> = sizes
            .iter()
            .map(|size| vec![u8::try_from(size % 251).unwrap(); if matches!(framing, Framing::Fixed { .. }) { 9 } else { *size }])
            .collect();
        let wire = [PROPOSAL, &encode(framing, &frames)].concat();
        let (mut streams, mut books) = (streams(framing, news), Books::default());
        streams.handle_opened(NOW, &mut books, 1);
        let mut got: Vec<Bytes> = Vec::new();
        let (mut at, mut turn) = (0, 0);
        while at < wire.len() {
            let (cut, heard) = cuts[turn % cuts.len()];
            turn += 1;
            if streams.wants_input() {
                let end = wire.len().min(at + cut);
                streams.handle_data(NOW, &mut books, 1, &wire[at..end], wire.len() - end);
                at = end;
                streams.end_read(NOW, &mut books);
            }
            let heard = if streams.wants_input() { heard } else { heard.max(1) };
            for _ in 0..heard {
                listen(&mut streams, &mut books, framing, &mut got);
            }
        }
        streams.handle_finished(NOW, &mut books, 1);
        while listen(&mut streams, &mut books, framing, &mut got) {}
        prop_assert!(!books.reset);
        prop_assert_eq!(got.concat(), frames.concat());
        if matches!(framing, Framing::LengthDelimited { .. } | Framing::Held { .. } | Framing::Fixed { .. }) {
            prop_assert_eq!(got.len(), frames.len());
        }
        prop_assert_eq!(streams.unread(), 0);
        prop_assert_eq!(books.granted, wire.len());
    }
}

#[test]
fn a_stream_without_a_spec_that_exists_is_refused_at_once() {
    let (mut streams, mut books) = (streams(Framing::Raw, 16), Books::default());
    let stream = StreamId::ours(CONN, 0);
    let specs = [libp2p_proto_stream_protocol::SpecId(9)].into_iter().collect();
    let lazy = true;
    streams.handle_order(NOW, &mut books, ToConnection::Open { stream, specs, lazy });
    assert!(matches!(
        streams.poll_message(),
        Some(FromConnection::Closed { .. })
    ));
    assert!(streams.is_empty() && streams.poll_timeout().is_none());
}

#[test]
fn opens_that_the_multiplexer_cannot_serve_wait_until_their_deadline() {
    let (mut streams, mut books) = (streams(Framing::Raw, 16), Books::default());
    let stream = StreamId::ours(CONN, 0);
    let specs = [libp2p_proto_stream_protocol::SpecId(0)].into_iter().collect();
    let lazy = false;
    streams.handle_order(NOW, &mut books, ToConnection::Open { stream, specs, lazy });
    assert_eq!(streams.len(), 1);
    let deadline = streams.poll_timeout().unwrap();
    streams.handle_timeout(deadline.at, &mut books);
    let Some(FromConnection::Closed { reason, .. }) = streams.poll_message() else {
        panic!("not closed");
    };
    assert_eq!(reason, libp2p_proto_stream_protocol::Closed::TimedOut);
    assert!(streams.is_empty() && books.written.is_empty() && !books.finished);
}
