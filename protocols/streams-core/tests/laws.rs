//! The laws of a machine, over a multiplexer whose wire format is the simplest one that there can be.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Deadline, Instant, ProtocolName, StreamId, TransmitBuf, varint};
use libp2p_proto_laws::{Laws, Machine, Said, Script};
use libp2p_proto_stream_protocol::{
    Framing, FromConnection, SpecEntry, SpecId, SpecTable, StreamLimits, StreamOrder, StreamSpec,
    ToConnection,
};
use libp2p_proto_streams_core::{Blocked, Muxer, Streams};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

const CONN: ConnectionId = ConnectionId::new(1);
const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";
/// Kinds of frames: one byte, then one of the stream; data has two bytes of length behind them, big-endian.
const OPEN: u8 = 0;
const DATA: u8 = 1;
const FINISH: u8 = 2;
const RESET: u8 = 3;
/// Streams of ours count from here.
const OURS: u8 = 100;

/// Writes frames, and notes where the bytes of each stream end, to tell when they have left.
#[derive(Default)]
struct Toy {
    opened: u8,
    wire: Vec<u8>,
    queued: usize,
    ends: VecDeque<(usize, u8, usize)>,
    /// Credit that came back, by stream.
    granted: BTreeMap<u8, usize>,
    closed: Vec<u8>,
    halves: BTreeMap<u8, u8>,
}

impl Toy {
    fn put(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
        self.queued += bytes.len();
    }

    /// One direction of a stream is over.
    fn half(&mut self, id: u8) {
        let halves = self.halves.entry(id).or_default();
        *halves += 1;
        if *halves == 2 {
            self.closed.push(id);
        }
    }
}

impl Muxer for Toy {
    type Id = u8;

    fn open(&mut self) -> Result<u8, Blocked> {
        // Two at a time, so that others wait.
        let open = usize::from(self.opened) - self.closed.iter().filter(|id| **id >= OURS).count();
        if open >= 2 {
            return Err(Blocked);
        }
        let id = OURS + self.opened;
        self.opened += 1;
        self.put(&[OPEN, id]);
        Ok(id)
    }

    fn accept(&mut self, _: u8) {}

    fn write(&mut self, id: u8, data: Bytes) {
        // Byte by byte, since how many writes there are depends on how the input was cut.
        for byte in &data {
            self.put(&[DATA, id, *byte]);
        }
        self.ends.push_back((self.queued, id, data.len()));
    }

    fn finish(&mut self, id: u8) {
        self.put(&[FINISH, id]);
        self.half(id);
    }

    fn reset(&mut self, id: u8) {
        self.put(&[RESET, id]);
        self.closed.push(id);
    }

    fn grant(&mut self, _: Instant, id: u8, bytes: usize) {
        *self.granted.entry(id).or_default() += bytes;
    }

    fn set_max_window(&mut self, _: u8, _: usize) {}
}

/// The machine over its multiplexer, below a swarm that listens at once and gives all credit back.
struct Link {
    streams: Streams<u8>,
    mux: Toy,
    said: VecDeque<Said>,
    /// Bytes of data of this stream that are still to come.
    inside: Option<(u8, usize)>,
    sent: usize,
    now: Instant,
}

impl Link {
    fn new(now: Instant) -> Self {
        let spec = |name, framing| StreamSpec::new(ProtocolName::from_static(name), framing);
        let handed = StreamSpec {
            handed_over: true,
            ..spec("/handed/1", Framing::Raw)
        };
        let gathered = StreamSpec {
            gather: Duration::from_millis(1),
            ..spec("/gathered/1", Framing::Raw)
        };
        let specs = [
            spec("/raw/1", Framing::Raw),
            spec("/framed/1", Framing::LengthDelimited { max: 5000 }),
            spec("/held/1", Framing::Held { max: 100 }),
            spec("/fixed/1", Framing::Fixed { len: 9 }),
            spec("/whole/1", Framing::UntilEnd { max: 1000 }),
            handed,
            gathered,
        ];
        let entry = |(index, spec)| SpecEntry {
            protocol: 0,
            index,
            spec,
        };
        let table = SpecTable::new((0..).zip(specs).map(entry).collect());
        let limits = StreamLimits::default();
        Self {
            streams: Streams::new(CONN, false, Arc::new(table), smallvec::SmallVec::new(), limits),
            mux: Toy::default(),
            said: VecDeque::new(),
            inside: None,
            sent: 0,
            now,
        }
    }

    fn order(&mut self, order: ToConnection) {
        self.streams.handle_order(self.now, &mut self.mux, order);
    }

    /// The swarm hears everything, keeps nothing, and multiplexer and streams agree on who is gone.
    fn settle(&mut self) {
        while let Some(message) = self.streams.poll_message() {
            self.streams.handle_room(self.now, &mut self.mux);
            match message {
                FromConnection::Frame { stream, data } => {
                    let bytes = data.len();
                    // Raw bytes come in pieces of any size, frames don't.
                    self.said.push_back(if data.first() == Some(&b'r') {
                        Said::Bytes(stream.seq(), data.to_vec())
                    } else {
                        Said::Word(format!("{stream:?} {data:?}"))
                    });
                    self.order(ToConnection::Grant { stream, bytes });
                }
                // How many of these there are depends on how the output was cut.
                FromConnection::Sent { .. } => {}
                other => self.said.push_back(Said::Word(format!("{other:?}"))),
            }
            self.close();
        }
        self.close();
    }

    fn close(&mut self) {
        for id in self.mux.closed.clone() {
            self.streams.handle_closed(id);
        }
    }

    /// One step of input; `None`: more is needed.
    fn step(&mut self, input: &[u8]) -> Option<usize> {
        if let Some((id, left)) = self.inside.filter(|(_, left)| *left > 0) {
            let take = left.min(input.len());
            let (part, more) = input.split_at(take);
            if take == 0 {
                return None;
            }
            self.streams
                .handle_data(self.now, &mut self.mux, id, part, more.len());
            self.inside = Some((id, left - take));
            return Some(take);
        }
        let (kind, id) = (*input.first()?, *input.get(1)?);
        match kind {
            OPEN => self.streams.handle_opened(self.now, &mut self.mux, id),
            DATA => {
                let len = u16::from_be_bytes([*input.get(2)?, *input.get(3)?]);
                self.inside = Some((id, len.into()));
                return Some(4);
            }
            FINISH => {
                self.streams.handle_finished(self.now, &mut self.mux, id);
                self.mux.half(id);
            }
            _ => self.streams.handle_reset(id),
        }
        Some(2)
    }
}

impl Machine for Link {
    fn handle_input(&mut self, now: Instant, input: &mut [u8]) -> Result<usize, String> {
        // What the laws give goes to the machine as it is.
        self.now = now;
        let mut taken = 0;
        while let Some(step) = self.step(&input[taken..]) {
            taken += step;
            self.close();
        }
        self.streams.end_read(now, &mut self.mux);
        self.settle();
        Ok(taken)
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> bool {
        self.now = now;
        let len = out.remaining().min(self.mux.wire.len());
        let part: Vec<u8> = self.mux.wire.drain(..len).collect();
        assert!(out.put(&part));
        self.sent += len;
        while let Some((_, id, bytes)) = self.mux.ends.front().filter(|(end, _, _)| *end <= self.sent) {
            self.streams.handle_drained(*id, *bytes);
            self.mux.ends.pop_front();
        }
        self.settle();
        len > 0
    }

    fn poll_event(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.streams.handle_timeout(now, &mut self.mux);
        self.settle();
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.streams.poll_timeout()
    }
}

/// A frame of the toy.
fn data(id: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[DATA, id, len[0], len[1]], body].concat()
}

/// A message of multistream-select.
fn line(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len() + 1).unwrap()], text.as_bytes(), b"\n"].concat()
}

/// A stream of theirs that proposes a name and sends this.
fn opened(id: u8, name: &str, body: &[u8]) -> Vec<u8> {
    let first = data(id, &[HEADER, &line(name)].concat());
    [&[OPEN, id][..], &first, &data(id, body)].concat()
}

fn framed(frames: &[&[u8]]) -> Vec<u8> {
    let mut wire = Vec::new();
    for frame in frames {
        varint::encode(frame.len() as u64, &mut wire);
        wire.extend_from_slice(frame);
    }
    wire
}

fn theirs(count: u64) -> StreamId {
    StreamId::theirs(CONN, count)
}

fn laws() -> Laws<Link> {
    Laws::of(Link::new)
}

#[test]
fn streams_of_theirs_keep_the_laws() {
    let life = [
        opened(1, "/framed/1", &framed(&[b"one", b"", &[7; 3000], b"four"])),
        opened(2, "/held/1", &framed(&[b"first", b"second", b"third"])),
        opened(3, "/fixed/1", b"nine bytenine byte"),
        opened(4, "/whole/1", b"all of it"),
        data(1, &framed(&[&[8; 4999]])),
        vec![FINISH, 1, FINISH, 3, FINISH, 4],
        // A name that is not served, a frame that is too large, a frame that ends early, nonsense, silence, a reset.
        opened(5, "/no/1", b""),
        opened(6, "/framed/1", &[0x89, 0x27]),
        [opened(7, "/framed/1", b"\x05half"), vec![FINISH, 7]].concat(),
        [&[OPEN, 8][..], &data(8, b"\x00\x00")].concat(),
        vec![OPEN, 9],
        [opened(10, "/framed/1", b"\x05ha"), vec![RESET, 10]].concat(),
    ];
    let script = Script::new()
        .input(&life.concat())
        .act(|link: &mut Link, _| {
            let (stream, order) = (theirs(1), StreamOrder::Next);
            link.order(ToConnection::Order { stream, order });
        })
        .act(|link, _| {
            let order = StreamOrder::Reframe(Framing::Fixed { len: 2 });
            let stream = theirs(1);
            link.order(ToConnection::Order { stream, order });
            let data = Bytes::from_static(b"ab");
            link.order(ToConnection::Write { stream, data });
            let order = StreamOrder::NotifyFlushed;
            link.order(ToConnection::Order { stream, order });
        })
        .input(&data(2, b"cdefg"))
        .act(|link, _| {
            let (stream, order) = (theirs(0), StreamOrder::Finish);
            link.order(ToConnection::Order { stream, order });
            let (stream, order) = (theirs(2), StreamOrder::Reset);
            link.order(ToConnection::Order { stream, order });
            let (spec, max) = (SpecId(0), 0);
            link.order(ToConnection::SetInbound { spec, max });
        })
        .input(&opened(11, "/raw/1", b"refused"))
        .wait(Duration::from_secs(45));
    laws().hold(&script);
}

#[test]
fn raw_streams_keep_the_laws_and_so_do_those_that_are_handed_over() {
    // One after the other: in which order the bytes of two streams come depends on how the input was cut.
    let script = Script::new()
        .input(&opened(2, "/raw/1", &[b'r'; 3000]))
        .input(&data(2, &[b'r'; 10_000]))
        .input(&opened(4, "/handed/1", &[b'r'; 2000]))
        .input(&[FINISH, 4])
        .input(&[FINISH, 2])
        .act(|link: &mut Link, _| {
            let (stream, order) = (theirs(1), StreamOrder::HandOver);
            link.order(ToConnection::Order { stream, order });
        })
        .wait(Duration::from_secs(45));
    laws().hold(&script);
}

#[test]
fn what_is_written_while_the_multiplexer_has_no_room_leaves_once_it_has() {
    let mut link = Link::new(Instant::ZERO);
    for count in 0..3 {
        let (stream, lazy, specs) = (StreamId::ours(CONN, count), true, [SpecId(0)]);
        let specs = specs.into_iter().collect();
        link.order(ToConnection::Open { stream, specs, lazy });
    }
    let (stream, order) = (StreamId::ours(CONN, 2), StreamOrder::Finish);
    let data = Bytes::from_static(b"!");
    link.order(ToConnection::Write { stream, data });
    link.order(ToConnection::Order { stream, order });
    let (stream, order) = (StreamId::ours(CONN, 0), StreamOrder::Reset);
    link.order(ToConnection::Order { stream, order });
    link.mux.wire.clear();
    link.handle_input(Instant::ZERO, &mut []).unwrap();
    assert_eq!(link.mux.wire[..2], [OPEN, OURS + 2]);
    assert!(link.mux.wire.ends_with(&[DATA, OURS + 2, b'!', FINISH, OURS + 2]));
}

#[test]
fn proposals_that_wait_for_the_first_frame_keep_the_laws() {
    let script = Script::new()
        .act(|link: &mut Link, _| {
            for count in 0..2 {
                let (stream, lazy) = (StreamId::ours(CONN, count), true);
                let specs = [SpecId(6)].into_iter().collect();
                link.order(ToConnection::Open { stream, specs, lazy });
            }
            let (stream, data) = (StreamId::ours(CONN, 0), Bytes::from_static(b"first"));
            link.order(ToConnection::Write { stream, data });
        })
        .wait(Duration::from_millis(1))
        .input(&data(OURS + 1, &[HEADER, &line("/gathered/1")].concat()))
        .wait(Duration::from_secs(45));
    laws().hold(&script);
}

#[test]
fn streams_of_ours_keep_the_laws() {
    let script = Script::new()
        .act(|link: &mut Link, _| {
            for count in 0..4 {
                let (stream, lazy) = (StreamId::ours(CONN, count), count == 0);
                let specs = if lazy { &[1][..] } else { &[4, 1] };
                let specs = specs.iter().map(|spec| SpecId(*spec)).collect();
                link.order(ToConnection::Open { stream, specs, lazy });
                let data = Bytes::from_static(b"early");
                link.order(ToConnection::Write { stream, data });
            }
        })
        .input(&data(
            OURS,
            &[HEADER, &line("/framed/1"), &framed(&[b"yes"])].concat(),
        ))
        .input(&data(OURS + 1, &[HEADER, &line("na")].concat()))
        .input(&data(OURS + 1, &line("/framed/1")))
        .act(|link, _| {
            for count in [0, 1] {
                let (stream, order) = (StreamId::ours(CONN, count), StreamOrder::Finish);
                link.order(ToConnection::Order { stream, order });
            }
        })
        .input(&[FINISH, OURS, FINISH, OURS + 1])
        .input(&data(OURS + 2, &[HEADER, &line("/whole/1"), b"end"].concat()))
        .wait(Duration::from_secs(45));
    laws().hold(&script);
}
