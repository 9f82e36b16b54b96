//! Two connections joined in virtual time, and a peer that says whatever it likes.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod raw;

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_connection::{Config, Connection};
use libp2p_proto_core::{ConnectionId, Instant, ProtocolName, Side, StreamId, TransmitBuf};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{
    Closed, Framing, FromConnection, Seat, SpecEntry, SpecId, SpecTable, StreamOrder, StreamSpec,
    ToConnection,
};
use std::sync::{Arc, OnceLock};

pub(crate) const NOW: Instant = Instant::ZERO;
pub(crate) const RAW: SpecId = SpecId(0);
pub(crate) const FRAMED: SpecId = SpecId(1);
pub(crate) const HELD: SpecId = SpecId(2);
/// Names that begin with `/any/`.
pub(crate) const PREFIX: SpecId = SpecId(3);
/// Frames of up to 384 KiB, of which two may come side by side.
pub(crate) const LARGE: SpecId = SpecId(4);
/// Served on limited links too; two at a time.
pub(crate) const FEW: SpecId = SpecId(5);

/// Its bytes wait until it is handed over.
pub(crate) const HANDED: SpecId = SpecId(6);
/// Its proposal waits 5 ms for the first frame.
pub(crate) const GATHERED: SpecId = SpecId(7);

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from(Keypair::ed25519_from_seed([seed; 32]))
}

fn specs() -> Arc<SpecTable> {
    static SPECS: OnceLock<Arc<SpecTable>> = OnceLock::new();
    let table = || {
        let spec = |name, framing| StreamSpec {
            max_inbound: 300,
            ..StreamSpec::new(ProtocolName::from_static(name), framing)
        };
        let any = StreamSpec {
            matching: libp2p_proto_stream_protocol::Matching::Prefix,
            ..spec("/any/", Framing::Raw)
        };
        let few = StreamSpec {
            on_limited: true,
            max_inbound: 2,
            ..spec("/few/1", Framing::Fixed { len: 32 })
        };
        let handed = StreamSpec {
            handed_over: true,
            ..spec("/handed/1", Framing::Raw)
        };
        let gathered = StreamSpec {
            gather: Duration::from_millis(5),
            ..spec("/gathered/1", Framing::Raw)
        };
        let entry = |(index, spec)| SpecEntry {
            protocol: 0,
            index,
            spec,
        };
        let all = [
            spec("/raw/1", Framing::Raw),
            spec("/framed/1", Framing::LengthDelimited { max: 100 }),
            spec("/held/1", Framing::Held { max: 100 }),
            any,
            spec("/large/1", Framing::LengthDelimited { max: 384 << 10 }),
            few,
            handed,
            gathered,
        ];
        Arc::new(SpecTable::new((0..).zip(all).map(entry).collect()))
    };
    SPECS.get_or_init(table).clone()
}

pub(crate) fn seat(seed: u8, side: Side) -> Seat {
    let mut seat = Seat::new(ConnectionId::new(seed.into()), side, [seed; 32]);
    seat.specs = specs();
    seat.upgrade_by = NOW + Duration::from_secs(10);
    seat
}

/// What all connections of one node share; made once, as a node does.
pub(crate) fn config(seed: u8) -> Arc<Config> {
    Arc::new(Config::new(&identity(seed), [seed; 32]).unwrap())
}

pub(crate) fn connection(seed: u8, side: Side) -> Connection {
    Connection::new(NOW, config(seed), seat(seed, side))
}

/// Two ends, what they were told, and how their bytes are cut.
pub(crate) struct Pair {
    pub(crate) ends: [Connection; 2],
    pub(crate) told: [Vec<FromConnection>; 2],
    pub(crate) tails: [Vec<u8>; 2],
    pub(crate) chunk: usize,
    /// Whether frames give their credit back when they are told.
    pub(crate) grant: bool,
    pub(crate) now: Instant,
    opened: u64,
}

impl Pair {
    pub(crate) fn new(a: Connection, b: Connection, chunk: usize) -> Self {
        Self {
            ends: [a, b],
            told: [Vec::new(), Vec::new()],
            tails: [Vec::new(), Vec::new()],
            chunk,
            grant: true,
            now: NOW,
            opened: 0,
        }
    }

    pub(crate) fn established(chunk: usize) -> Self {
        let mut pair = Self::new(connection(1, Side::Dialer), connection(2, Side::Listener), chunk);
        pair.run();
        assert!(pair.is_established(), "{:?}", pair.told);
        pair
    }

    pub(crate) fn is_established(&self) -> bool {
        self.told.iter().all(|told| {
            told.iter()
                .any(|message| matches!(message, FromConnection::Established { .. }))
        })
    }

    /// Carries bytes and messages until nothing moves.
    pub(crate) fn run(&mut self) {
        for _ in 0..1_000_000 {
            let mut moved = false;
            for from in [0, 1] {
                moved |= self.carry(from);
                moved |= self.messages(from) | self.messages(1 - from);
            }
            if !moved {
                return;
            }
        }
        panic!("the pair never rests");
    }

    /// Carries the bytes of one end, with no message to or from a swarm.
    pub(crate) fn carry(&mut self, from: usize) -> bool {
        let mut wire = Vec::new();
        let moved = self.ends[from].poll_transmit(self.now, &mut TransmitBuf::new(&mut wire, 300_000));
        let to = 1 - from;
        for part in wire.chunks(self.chunk) {
            self.tails[to].extend_from_slice(part);
            self.feed(to);
        }
        moved | self.feed(to)
    }

    /// Lets time pass, with every deadline at its time.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.run();
            let next = self
                .ends
                .iter()
                .filter_map(Connection::poll_timeout)
                .map(|next| next.at)
                .min();
            let Some(at) = next.filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(at);
            for end in &mut self.ends {
                end.handle_timeout(self.now);
            }
        }
        self.now = until;
    }

    pub(crate) fn feed(&mut self, to: usize) -> bool {
        let mut tail = core::mem::take(&mut self.tails[to]);
        let taken = self.ends[to]
            .handle_input(self.now, &mut tail)
            .unwrap_or(tail.len());
        self.tails[to] = tail.split_off(taken);
        taken > 0
    }

    pub(crate) fn messages(&mut self, end: usize) -> bool {
        let mut any = false;
        while let Some(message) = self.ends[end].poll_message() {
            any = true;
            match &message {
                FromConnection::Authenticated { .. } => {
                    self.ends[end].handle_message(self.now, ToConnection::Admit);
                }
                FromConnection::Frame { stream, data } if self.grant => {
                    let (stream, bytes) = (*stream, data.len());
                    self.ends[end].handle_message(self.now, ToConnection::Grant { stream, bytes });
                }
                _ => {}
            }
            self.told[end].push(message);
        }
        any
    }

    pub(crate) fn open(&mut self, spec: SpecId, lazy: bool) -> StreamId {
        let stream = StreamId::ours(ConnectionId::new(1), self.opened);
        self.opened += 1;
        let specs = [spec].into_iter().collect();
        self.ends[0].handle_message(self.now, ToConnection::Open { stream, specs, lazy });
        stream
    }

    pub(crate) fn write(&mut self, stream: StreamId, data: impl Into<Bytes>) {
        let data = data.into();
        self.write_from(0, stream, data);
    }

    pub(crate) fn write_from(&mut self, end: usize, stream: StreamId, data: Bytes) {
        self.ends[end].handle_message(self.now, ToConnection::Write { stream, data });
    }

    pub(crate) fn order(&mut self, end: usize, stream: StreamId, order: StreamOrder) {
        self.ends[end].handle_message(self.now, ToConnection::Order { stream, order });
    }

    pub(crate) fn frames(&self, end: usize) -> Vec<Bytes> {
        let frame = |message: &FromConnection| match message {
            FromConnection::Frame { data, .. } => Some(data.clone()),
            _ => None,
        };
        self.told[end].iter().filter_map(frame).collect()
    }

    pub(crate) fn closed(&self, end: usize) -> Vec<Closed> {
        closed(&self.told[end])
    }

    /// The stream that the dialer opened last, as the listener names it if it accepted all.
    pub(crate) fn last_theirs(&self) -> StreamId {
        let inbound = |message: &FromConnection| message.stream().filter(|stream| stream.is_inbound());
        let newest = self.told[1].iter().filter_map(inbound).max();
        newest.unwrap_or_else(Self::their_stream)
    }

    /// The first stream of the dialer, as the listener names it.
    pub(crate) fn their_stream() -> StreamId {
        StreamId::theirs(ConnectionId::new(2), 0)
    }
}

/// Why streams were closed, in order.
pub(crate) fn closed(told: &[FromConnection]) -> Vec<Closed> {
    let reason = |message: &FromConnection| match message {
        FromConnection::Closed { reason, .. } => Some(*reason),
        _ => None,
    };
    told.iter().filter_map(reason).collect()
}

pub(crate) fn last_code(told: &[FromConnection]) -> &'static str {
    match told.last() {
        Some(FromConnection::Disconnected { error: Some(error) }) => error.code,
        Some(FromConnection::Disconnected { error: None }) => "none",
        other => panic!("not disconnected: {other:?}"),
    }
}
