//! Two connections joined in virtual time, and one connection against whoever misbehaves.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_connection::{Config, Connection, Error};
use libp2p_proto_core::{ConnectionId, Instant, PeerId, ProtocolName, Side, StreamId, TransmitBuf};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{
    Closed, Framing, FromConnection, Seat, SpecEntry, SpecId, SpecTable, StreamOrder, StreamSpec,
    ToConnection,
};
use proptest::prelude::*;
use std::sync::Arc;

const NOW: Instant = Instant::ZERO;
const RAW: ProtocolName = ProtocolName::from_static("/raw/1");
const FRAMED: ProtocolName = ProtocolName::from_static("/framed/1");
const HELD: ProtocolName = ProtocolName::from_static("/held/1");
const HANDED: ProtocolName = ProtocolName::from_static("/handed/1");

fn identity(seed: u8) -> Identity {
    Identity::from(Keypair::ed25519_from_seed([seed; 32]))
}

fn seat(seed: u8, side: Side) -> Seat {
    let spec = |name, framing, index| SpecEntry {
        protocol: 0,
        index,
        spec: StreamSpec::new(name, framing),
    };
    let specs = SpecTable::new(vec![
        spec(RAW, Framing::Raw, 0),
        spec(FRAMED, Framing::LengthDelimited { max: 100 }, 1),
        spec(HELD, Framing::Held { max: 100 }, 2),
        SpecEntry {
            protocol: 0,
            index: 3,
            spec: StreamSpec {
                handed_over: true,
                ..StreamSpec::new(HANDED, Framing::Raw)
            },
        },
    ]);
    let mut seat = Seat::new(ConnectionId::new(seed.into()), side, [seed; 32]);
    seat.specs = Arc::new(specs);
    seat.upgrade_by = NOW + Duration::from_secs(10);
    seat
}

fn connection(seed: u8, side: Side) -> Connection {
    Connection::new(
        NOW,
        Arc::new(Config::new(&identity(seed), [seed; 32]).unwrap()),
        seat(seed, side),
    )
}

/// Two ends, what they were told, and how their bytes are cut.
struct Pair {
    ends: [Connection; 2],
    told: [Vec<FromConnection>; 2],
    tails: [Vec<u8>; 2],
    chunk: usize,
    grant: bool,
}

impl Pair {
    fn new(a: Connection, b: Connection, chunk: usize) -> Self {
        Self {
            ends: [a, b],
            told: [Vec::new(), Vec::new()],
            tails: [Vec::new(), Vec::new()],
            chunk,
            grant: true,
        }
    }

    fn established(chunk: usize) -> Self {
        let mut pair = Self::new(connection(1, Side::Dialer), connection(2, Side::Listener), chunk);
        pair.run();
        assert!(pair.is_established(), "{:?}", pair.told);
        pair
    }

    fn is_established(&self) -> bool {
        self.told.iter().all(|told| {
            told.iter()
                .any(|message| matches!(message, FromConnection::Established { .. }))
        })
    }

    /// Carries bytes and messages until nothing moves.
    fn run(&mut self) {
        for _ in 0..1_000_000 {
            let mut moved = false;
            for from in [0, 1] {
                let mut wire = Vec::new();
                moved |= self.ends[from].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 300_000));
                let to = 1 - from;
                for part in wire.chunks(self.chunk) {
                    self.tails[to].extend_from_slice(part);
                    self.feed(to);
                }
                moved |= self.feed(to);
                moved |= self.messages(from) | self.messages(to);
            }
            if !moved {
                return;
            }
        }
        panic!("the pair never rests");
    }

    fn feed(&mut self, to: usize) -> bool {
        let mut tail = core::mem::take(&mut self.tails[to]);
        let taken = self.ends[to].handle_input(NOW, &mut tail).unwrap_or(tail.len());
        self.tails[to] = tail.split_off(taken);
        taken > 0
    }

    fn messages(&mut self, end: usize) -> bool {
        let mut any = false;
        while let Some(message) = self.ends[end].poll_message() {
            any = true;
            match &message {
                FromConnection::Authenticated { .. } => {
                    self.ends[end].handle_message(NOW, ToConnection::Admit);
                }
                FromConnection::Frame { stream, data } if self.grant => {
                    let (stream, bytes) = (*stream, data.len());
                    self.ends[end].handle_message(NOW, ToConnection::Grant { stream, bytes });
                }
                _ => {}
            }
            self.told[end].push(message);
        }
        any
    }

    fn open(&mut self, spec: u16, lazy: bool) -> StreamId {
        let stream = StreamId::ours(ConnectionId::new(1), 0);
        let specs = [SpecId(spec)].into_iter().collect();
        self.ends[0].handle_message(NOW, ToConnection::Open { stream, specs, lazy });
        stream
    }

    fn write(&mut self, stream: StreamId, data: impl Into<Bytes>) {
        self.ends[0].handle_message(
            NOW,
            ToConnection::Write {
                stream,
                data: data.into(),
            },
        );
    }

    fn order(&mut self, end: usize, stream: StreamId, order: StreamOrder) {
        self.ends[end].handle_message(NOW, ToConnection::Order { stream, order });
    }

    fn frames(&self, end: usize) -> Vec<Bytes> {
        let frame = |message: &FromConnection| match message {
            FromConnection::Frame { data, .. } => Some(data.clone()),
            _ => None,
        };
        self.told[end].iter().filter_map(frame).collect()
    }

    fn closed(&self, end: usize) -> Vec<Closed> {
        let reason = |message: &FromConnection| match message {
            FromConnection::Closed { reason, .. } => Some(*reason),
            _ => None,
        };
        self.told[end].iter().filter_map(reason).collect()
    }

    fn their_stream() -> StreamId {
        StreamId::theirs(ConnectionId::new(2), 0)
    }
}

fn last_code(told: &[FromConnection]) -> &'static str {
    match told.last() {
        Some(FromConnection::Disconnected { error: Some(error) }) => error.code,
        Some(FromConnection::Disconnected { error: None }) => "none",
        other => panic!("not disconnected: {other:?}"),
    }
}

// covers: CON-001, CON-003, CON-005, CON-007, CON-008, CON-009
#[test]
fn two_ends_upgrade_whatever_the_chunks() {
    for chunk in [1, 2, 7, 100, 100_000] {
        let pair = Pair::established(chunk);
        for (end, peer) in [(0, 2), (1, 1)] {
            let FromConnection::Authenticated { peer: got } = pair.told[end][0] else {
                panic!("first news")
            };
            assert_eq!(got, identity(peer).peer_id());
        }
    }
}

// covers: NOI-044, NOI-045
#[test]
fn the_multiplexer_is_negotiated_if_one_side_lists_none() {
    for lists in [(false, true), (true, false), (false, false)] {
        let config = |seed: u8, listed: bool| {
            let config = Config::new(&identity(seed), [seed; 32]).unwrap();
            Arc::new(if listed {
                config
            } else {
                config.without_inlined_muxer().unwrap()
            })
        };
        let a = Connection::new(NOW, config(1, lists.0), seat(1, Side::Dialer));
        let b = Connection::new(NOW, config(2, lists.1), seat(2, Side::Listener));
        let mut pair = Pair::new(a, b, 3);
        pair.run();
        assert!(pair.is_established(), "{lists:?}");
    }
}

// covers: CON-002
#[test]
fn a_listener_alone_sends_its_header_and_nothing_else() {
    let mut listener = connection(2, Side::Listener);
    let mut wire = Vec::new();
    while listener.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
    assert_eq!(wire, b"\x13/multistream/1.0.0\n");
}

// covers: CON-010, NOI-026
#[test]
fn vul_058_another_peer_than_the_expected_is_refused_before_anything_else() {
    let mut a = seat(1, Side::Dialer);
    a.expect = Some(identity(9).peer_id());
    let a = Connection::new(NOW, Arc::new(Config::new(&identity(1), [1; 32]).unwrap()), a);
    let mut pair = Pair::new(a, connection(2, Side::Listener), 1000);
    pair.run();
    assert_eq!(pair.told[0].len(), 1);
    assert_eq!(last_code(&pair.told[0]), "wrong-peer");
    assert!(
        pair.told[1]
            .iter()
            .all(|message| !matches!(message, FromConnection::Authenticated { .. }))
    );
}

// covers: CON-011, NOI-039
#[test]
fn vul_172_a_connection_to_ourselves_is_refused() {
    let config = Arc::new(Config::new(&identity(1), [2; 32]).unwrap());
    let ourselves = Connection::new(NOW, config, seat(2, Side::Listener));
    let mut pair = Pair::new(connection(1, Side::Dialer), ourselves, 1000);
    pair.run();
    assert_eq!(last_code(&pair.told[0]), "self-dial");
}

// covers: MSS-064, MSS-065
#[test]
fn vul_054_two_dialers_and_two_listeners_fail_and_never_agree() {
    let mut pair = Pair::new(connection(1, Side::Dialer), connection(2, Side::Dialer), 1000);
    pair.run();
    assert!(!pair.is_established());
    assert!(["noise-bad-length", "unexpected-reply"].contains(&last_code(&pair.told[1])));
    let mut pair = Pair::new(connection(1, Side::Listener), connection(2, Side::Listener), 1000);
    pair.run();
    assert!(pair.told.iter().all(Vec::is_empty));
    for end in 0..2 {
        pair.ends[end].handle_timeout(NOW + Duration::from_secs(10));
        pair.messages(end);
        assert_eq!(last_code(&pair.told[end]), "upgrade-timeout");
    }
}

// covers: CON-012, CON-013, MSS-034, MSS-035, NOI-036
#[test]
fn vul_162_the_upgrade_has_one_deadline_that_no_progress_moves() {
    for fed in [0, 1, 19, 20, 28, 40, 60] {
        let (mut dialer, mut listener) = (connection(1, Side::Dialer), connection(2, Side::Listener));
        let mut wire = Vec::new();
        dialer.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000));
        let mut now = NOW;
        for byte in wire.iter().take(fed) {
            now = now + Duration::from_millis(100);
            let mut byte = [*byte];
            let _taken = listener.handle_input(now, &mut byte);
        }
        let end = NOW + Duration::from_secs(10);
        assert_eq!(listener.poll_timeout().unwrap().at, end);
        listener.handle_timeout(end - Duration::from_nanos(1));
        assert!(!listener.is_closed());
        listener.handle_timeout(end);
        assert!(listener.is_closed());
    }
}

// covers: CON-004
#[test]
fn vul_055_a_flipped_bit_in_the_handshake_ends_the_connection() {
    for flip in [0_usize, 40, 100, 150] {
        let mut pair = Pair::new(
            connection(1, Side::Dialer),
            connection(2, Side::Listener),
            100_000,
        );
        let mut wire = Vec::new();
        while pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
        pair.ends[1].handle_input(NOW, &mut wire).unwrap();
        for _ in 0..3 {
            for from in [1, 0] {
                let mut wire = Vec::new();
                while pair.ends[from].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)) {}
                if wire.len() > flip && wire.len() > 100 {
                    wire[flip + 2] ^= 1;
                }
                let _taken = pair.ends[1 - from].handle_input(NOW, &mut wire);
                pair.messages(1 - from);
            }
        }
        assert!(!pair.is_established());
    }
}

#[test]
fn vul_075_after_a_failure_no_bytes_mean_anything() {
    let mut listener = connection(2, Side::Listener);
    assert!(matches!(
        listener.handle_input(NOW, &mut [0xff; 64]),
        Err(Error::Multistream(_))
    ));
    for _ in 0..16 {
        assert!(listener.handle_input(NOW, &mut vec![0x13; 65_536]).is_err());
    }
    let mut wire = Vec::new();
    assert!(!listener.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1000)));
    assert!(matches!(
        listener.poll_message(),
        Some(FromConnection::Disconnected { .. })
    ));
    assert!(listener.poll_message().is_none());
}

#[test]
fn vul_165_a_connection_that_is_over_answers_every_call_the_same() {
    let mut pair = Pair::established(1000);
    pair.ends[0].handle_link_error(NOW, "reset");
    pair.messages(0);
    assert_eq!(last_code(&pair.told[0]), "reset");
    let end = &mut pair.ends[0];
    for _ in 0..1000 {
        end.handle_message(NOW, ToConnection::Close);
        end.handle_message(NOW, ToConnection::Admit);
        end.handle_eof(NOW);
        end.handle_timeout(NOW);
        assert!(end.handle_input(NOW, &mut [1, 2, 3]).is_err());
        assert!(!end.poll_transmit(NOW, &mut TransmitBuf::new(&mut Vec::new(), 1000)));
        assert!(end.poll_message().is_none() && end.is_closed() && end.poll_timeout().is_none());
    }
}

// covers: MSS-049, MSS-050, MSS-054, MSS-057, MSS-058
#[test]
fn a_lazy_stream_sends_proposal_data_and_end_in_one_flight() {
    let mut pair = Pair::established(1000);
    let stream = pair.open(1, true);
    pair.write(stream, "hello");
    pair.order(0, stream, StreamOrder::Finish);
    let mut wire = Vec::new();
    assert!(pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)));
    assert!(
        !pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)),
        "one frame carries it all"
    );
    pair.tails[1].extend_from_slice(&wire);
    pair.run();
    assert_eq!(pair.frames(1), ["hello"]);
    assert!(
        pair.told[1]
            .iter()
            .any(|message| matches!(message, FromConnection::Finished { .. }))
    );
}

// covers: CON-021, CON-022, MSS-051
#[test]
fn vul_053_a_refused_stream_is_told_so_lazy_or_not() {
    for lazy in [false, true] {
        let mut pair = Pair::established(1000);
        pair.ends[1].handle_message(
            NOW,
            ToConnection::SetInbound {
                spec: SpecId(1),
                max: 0,
            },
        );
        let stream = pair.open(1, lazy);
        pair.write(stream, "hello");
        pair.order(0, stream, StreamOrder::Finish);
        pair.run();
        assert_eq!(pair.closed(0), [Closed::Refused]);
        assert!(pair.frames(1).is_empty());
    }
}

// covers: CON-024
#[test]
fn vul_051_streams_that_never_name_themselves_end_at_their_deadline() {
    let mut pair = Pair::established(1000);
    let stream = pair.open(1, false);
    // The proposal never arrives.
    pair.ends[0].handle_timeout(NOW + Duration::from_millis(9_999));
    pair.messages(0);
    assert!(pair.closed(0).is_empty());
    pair.ends[0].handle_timeout(NOW + Duration::from_secs(10));
    pair.messages(0);
    let _ = stream;
    assert!(!pair.closed(0).is_empty());
}

#[test]
fn frames_are_whole_and_too_large_ones_close_their_stream_alone() {
    let mut pair = Pair::established(1);
    let stream = pair.open(1, true);
    for len in [0, 1, 99, 100] {
        pair.write(stream, vec![7; len]);
    }
    pair.run();
    assert_eq!(
        pair.frames(1).iter().map(Bytes::len).collect::<Vec<_>>(),
        [0, 1, 99, 100]
    );
    pair.write(stream, vec![7; 101]);
    pair.run();
    assert_eq!(pair.closed(1), [Closed::FrameTooLarge]);
    assert_eq!(pair.closed(0), [Closed::Reset]);
    assert!(!pair.ends[1].is_closed());
}

#[test]
fn a_held_stream_gives_one_frame_until_it_is_asked_for_the_next() {
    let mut pair = Pair::established(1000);
    let stream = pair.open(2, true);
    for word in ["one", "two", "three"] {
        pair.write(stream, word);
    }
    pair.order(0, stream, StreamOrder::Finish);
    pair.run();
    assert_eq!(pair.frames(1), ["one"]);
    let theirs = Pair::their_stream();
    pair.order(1, theirs, StreamOrder::Next);
    pair.run();
    assert_eq!(pair.frames(1), ["one", "two"]);
    pair.order(1, theirs, StreamOrder::Reframe(Framing::Raw));
    pair.run();
    assert_eq!(pair.frames(1).concat(), b"onetwo\x05three");
}

#[test]
fn vul_035_unread_bytes_stop_the_link_and_then_cost_the_stream_that_holds_most() {
    let mut pair = Pair::established(100_000);
    pair.grant = false;
    let limits = libp2p_proto_stream_protocol::StreamLimits::default();
    let conn = ConnectionId::new(1);
    for count in 0..6 {
        let stream = StreamId::ours(conn, count);
        let specs = [SpecId(0)].into_iter().collect();
        pair.ends[0].handle_message(
            NOW,
            ToConnection::Open {
                stream,
                specs,
                lazy: true,
            },
        );
        pair.write(stream, vec![1; 256 << 10]);
    }
    pair.run();
    assert!(!pair.ends[1].wants_input());
    assert!(pair.ends[1].stats().unread <= limits.unread + 65_536);
    let end = pair.ends[1].poll_timeout().unwrap();
    assert_eq!((end.why, end.at), ("unread", NOW + Duration::from_secs(10)));
    pair.ends[1].handle_timeout(end.at);
    pair.messages(1);
    assert_eq!(pair.closed(1), [Closed::Limit]);
    assert!(pair.ends[1].wants_input());
}

#[test]
fn a_pause_in_reading_is_not_the_peers_silence() {
    let mut pair = Pair::established(100_000);
    pair.grant = false;
    let ping_at = pair.ends[1].poll_timeout().unwrap().at;
    pair.ends[1].handle_timeout(ping_at);
    let mut ping = Vec::new();
    while pair.ends[1].poll_transmit(ping_at, &mut TransmitBuf::new(&mut ping, 4096)) {}
    assert!(!ping.is_empty());
    let conn = ConnectionId::new(1);
    for count in 0..6 {
        let stream = StreamId::ours(conn, count);
        let specs = [SpecId(0)].into_iter().collect();
        let lazy = true;
        pair.ends[0].handle_message(NOW, ToConnection::Open { stream, specs, lazy });
        pair.write(stream, vec![1; 256 << 10]);
    }
    pair.run();
    assert!(!pair.ends[1].wants_input());
    // The pong waits behind more than is read.
    pair.tails[0] = ping;
    pair.run();
    let both_due = ping_at + Duration::from_secs(10);
    pair.ends[1].handle_timeout(both_due);
    pair.run();
    assert_eq!(pair.closed(1), [Closed::Limit]);
    pair.ends[1].handle_timeout(both_due + Duration::from_secs(9));
    assert!(!pair.ends[1].is_closed(), "{:?}", pair.told[1].last());
}

// covers: CON-064
#[test]
fn an_orderly_close_says_go_away_and_waits_a_second_at_most() {
    let mut pair = Pair::established(1000);
    let stream = pair.open(0, true);
    pair.run();
    pair.ends[0].handle_message(NOW, ToConnection::Close);
    pair.messages(0);
    assert_eq!(last_code(&pair.told[0]), "none");
    assert_eq!(
        pair.ends[0].poll_timeout().unwrap().at,
        NOW + Duration::from_secs(1)
    );
    assert!(!pair.ends[0].is_closed());
    pair.run();
    assert!(pair.ends[0].is_closed());
    let _ = stream;
    let mut stuck = Pair::established(1000);
    stuck.ends[0].handle_message(NOW, ToConnection::Close);
    stuck.ends[0].handle_timeout(NOW + Duration::from_secs(1));
    assert!(stuck.ends[0].is_closed());
}

#[test]
fn the_bytes_of_an_application_wait_until_their_stream_is_handed_over() {
    for bytes in [b"early".as_slice(), b""] {
        let mut pair = Pair::established(1000);
        let stream = pair.open(3, true);
        pair.write(stream, bytes);
        pair.order(0, stream, StreamOrder::HandOver);
        pair.order(0, stream, StreamOrder::Finish);
        pair.run();
        let ended = |told: &[FromConnection]| {
            told.iter()
                .any(|message| matches!(message, FromConnection::Finished { .. }))
        };
        assert!(pair.frames(1).is_empty());
        assert!(!ended(&pair.told[1]));
        pair.order(1, Pair::their_stream(), StreamOrder::HandOver);
        pair.run();
        assert_eq!(pair.frames(1).concat(), bytes);
        assert!(ended(&pair.told[1]));
    }
}

#[test]
fn vul_182_random_first_bytes_end_one_connection_and_nothing_else() {
    for seed in 0..200_u8 {
        let mut listener = connection(2, Side::Listener);
        let mut bytes: Vec<u8> = (0..64)
            .map(|i: u8| i.wrapping_mul(seed).wrapping_add(seed))
            .collect();
        if listener.handle_input(NOW, &mut bytes).is_err() {
            assert!(matches!(
                listener.poll_message(),
                Some(FromConnection::Disconnected { error: Some(_) })
            ));
        }
    }
}

fn peer_of(told: &[FromConnection]) -> Option<PeerId> {
    told.iter().find_map(|message| match message {
        FromConnection::Authenticated { peer } => Some(*peer),
        _ => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_chunks_carry_the_same_bytes(chunk in 1_usize..5000, sizes in proptest::collection::vec(0_usize..60_000, 1..5)) {
        let mut pair = Pair::established(chunk);
        let stream = pair.open(0, true);
        let mut sent = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let data = vec![u8::try_from(number).unwrap(); *size];
            sent.extend_from_slice(&data);
            pair.write(stream, data);
        }
        pair.order(0, stream, StreamOrder::Finish);
        pair.run();
        prop_assert_eq!(pair.frames(1).concat(), sent);
        prop_assert_eq!(peer_of(&pair.told[1]), Some(identity(1).peer_id()));
    }

    #[test]
    fn a_flipped_bit_anywhere_after_the_upgrade_is_noticed(place in 0_usize..500, bit in 0_u8..8) {
        let mut pair = Pair::established(1000);
        let stream = pair.open(0, true);
        pair.write(stream, vec![5; 400]);
        let mut wire = Vec::new();
        while pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)) {}
        let place = place % wire.len();
        wire[place] ^= 1 << bit;
        let result = pair.ends[1].handle_input(NOW, &mut wire);
        // A changed length waits for more bytes; whatever else is changed fails the tag.
        prop_assert!(result.is_err() || place < 2);
        prop_assert!(pair.frames(1).is_empty());
    }
}
