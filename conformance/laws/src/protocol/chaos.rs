//! A host that keeps the order of inputs and nothing else: it blocks, refuses, and lets peers say anything.

use super::{CALLS, Subject};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{
    ConnectionId, DialId, Instant, Multiaddr, PeerId, ProtocolName, Rng, Side, StreamId, UnixTime,
};
use libp2p_proto_stream_protocol::{
    AttemptError, Closed, ConnectionInfo, Context, Dial, DialError, DialOutcome, DialRefused, Expected, Fact,
    Framing, Host, Input, Link, OpenError, OrderError, PromoteError, StreamOrder, StreamSpec, Target,
    TellError, WriteError,
};
use smallvec::SmallVec;
use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
};

/// Peers that come and go.
const PEERS: u64 = 4;
/// Connections at the same time.
const CONNECTIONS: usize = 6;
/// Streams at the same time.
const STREAMS: usize = 24;

struct Stream {
    peer: PeerId,
    spec: u8,
    opened: bool,
    finished: bool,
    sent: u32,
}

pub(super) struct Chaos {
    world: World,
    pub(super) now: Instant,
    start: Instant,
    protocol_dice: Rng,
    command_dice: Rng,
    seq: u64,
    pub(super) log: Vec<String>,
}

/// Everything but what a context borrows on its own.
struct World {
    dice: Rng,
    specs: Vec<StreamSpec>,
    frames: Vec<Vec<u8>>,
    conns: BTreeMap<ConnectionId, (PeerId, ConnectionInfo)>,
    streams: BTreeMap<StreamId, Stream>,
    pending: VecDeque<Input>,
    next_conn: u64,
    next_stream: u64,
    next_dial: u64,
    calls: Vec<String>,
}

fn peer(index: u64) -> PeerId {
    PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", index))
}

fn address(index: u64) -> Multiaddr {
    let low = u8::try_from(index % 200).unwrap_or(0);
    Multiaddr::tcp(Ipv4Addr::new(192, 0, 2, low).into(), 4001)
}

impl Chaos {
    pub(super) fn new(seed: u64, start: Instant, specs: &[StreamSpec], frames: &[Vec<u8>]) -> Self {
        let dice = Rng::from_seed([3; 32]).fork("life", seed);
        Self {
            now: start,
            start,
            protocol_dice: dice.fork("protocol", 0),
            command_dice: dice.fork("commands", 0),
            seq: 0,
            log: Vec::new(),
            world: World {
                dice: dice.fork("world", 0),
                specs: specs.to_vec(),
                frames: frames.to_vec(),
                conns: BTreeMap::new(),
                streams: BTreeMap::new(),
                pending: VecDeque::new(),
                next_conn: 1,
                next_stream: 0,
                next_dial: 1,
                calls: Vec::new(),
            },
        }
    }

    /// Time until the next input.
    pub(super) fn wait(&mut self) -> Duration {
        let world = &mut self.world;
        let millis = match world.dice.below(8) {
            0 => world.dice.below(40_000),
            1..3 => world.dice.below(1000),
            _ => 0,
        };
        Duration::from_millis(millis)
    }

    /// `None`: the application does something.
    pub(super) fn next_input(&mut self) -> Option<Input> {
        let world = &mut self.world;
        if let Some(input) = world.pending.pop_front() {
            return Some(input);
        }
        match world.dice.below(16) {
            0 => None,
            1 => Some(world.connect()),
            2 => world.disconnect().or_else(|| Some(world.connect())),
            3..5 => world.opens().or_else(|| Some(world.connect())),
            5 => Some(world.stranger()),
            _ => world.on_a_stream().or_else(|| world.opens()),
        }
    }

    pub(super) fn deliver<P: Subject>(&mut self, protocol: &mut P, input: Input) {
        self.log.push(format!("< {}", short(&input)));
        self.with(|cx| protocol.handle(cx, input));
    }

    pub(super) fn timeout<P: Subject>(&mut self, protocol: &mut P) {
        self.log
            .push(format!("< Timeout at {:?}", self.now.since(self.start)));
        self.with(|cx| protocol.handle(cx, Input::Timeout));
    }

    /// A time-out that nobody asked for leaves no trace.
    pub(super) fn early_timeout<P: Subject>(&mut self, protocol: &mut P) {
        if protocol
            .poll_timeout()
            .is_some_and(|deadline| deadline.is_due(self.now))
        {
            return;
        }
        let (seq, lines) = (self.seq, self.log.len());
        self.with(|cx| protocol.handle(cx, Input::Timeout));
        self.seq = seq;
        assert_eq!(
            self.log.len(),
            lines,
            "an early time-out did something: {:?}",
            self.log.last()
        );
    }

    pub(super) fn command(&mut self, command: impl FnOnce(&mut Context<'_>, &mut Rng)) {
        self.log.push(String::from("< command"));
        let mut dice = self.dice();
        self.with(|cx| command(cx, &mut dice));
    }

    /// The dice of what the application does now.
    pub(super) fn dice(&self) -> Rng {
        self.command_dice.fork("command", self.seq)
    }

    fn with(&mut self, act: impl FnOnce(&mut Context<'_>)) {
        self.seq += 1;
        let unix = UnixTime::from_secs(1_700_000_000 + self.now.since(self.start).as_secs());
        let mut cx = Context::new(
            self.now,
            unix,
            self.seq,
            peer(0),
            &mut self.protocol_dice,
            &mut self.world,
            0,
        );
        act(&mut cx);
        assert!(
            self.world.calls.len() <= CALLS,
            "law 6: one input caused {} calls",
            self.world.calls.len()
        );
        self.log.append(&mut self.world.calls);
    }
}

/// Inputs as the log shows them, without the clock's origin.
fn short(input: &Input) -> String {
    format!("{input:?}")
}

/// Bytes as the log shows them: of long ones the length and both ends, or a protocol that writes much would drown its law in text.
fn shown(bytes: &Bytes) -> String {
    match (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        (Some(first), Some(last)) if bytes.len() > 256 => {
            format!("{} bytes {first:02x?} … {last:02x?}", bytes.len())
        }
        _ => format!("{bytes:?}"),
    }
}

impl World {
    fn pick<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let at = self.dice.below(u64::try_from(all.len()).unwrap_or(0).max(1));
        all.get(usize::try_from(at).unwrap_or(0)).copied()
    }

    fn connect(&mut self) -> Input {
        if self.conns.len() >= CONNECTIONS {
            if let Some(gone) = self.disconnect() {
                return gone;
            }
        }
        let index = 1 + self.dice.below(PEERS);
        let conn = ConnectionId::new(self.next_conn);
        self.next_conn += 1;
        let side = if self.dice.below(2) == 0 {
            Side::Dialer
        } else {
            Side::Listener
        };
        let info = ConnectionInfo {
            side,
            local: Some(address(0)),
            remote: address(index),
            limited: self.dice.below(6) == 0,
            dial: None,
        };
        let first = !self.conns.values().any(|(known, _)| *known == peer(index));
        self.conns.insert(conn, (peer(index), info.clone()));
        Input::Connected {
            peer: peer(index),
            conn,
            first,
            info,
        }
    }

    /// Ends a connection: its streams first.
    fn disconnect(&mut self) -> Option<Input> {
        let all: Vec<_> = self.conns.keys().copied().collect();
        let conn = self.pick(&all)?;
        let (peer, _) = self.conns.remove(&conn)?;
        let gone: Vec<_> = self
            .streams
            .keys()
            .copied()
            .filter(|id| id.conn == conn)
            .collect();
        for stream in gone {
            self.streams.remove(&stream);
            self.pending.push_back(Input::Closed {
                stream,
                reason: Closed::ConnectionLost,
            });
        }
        let last = !self.conns.values().any(|(known, _)| *known == peer);
        self.pending.push_back(Input::Disconnected { peer, conn, last });
        self.pending.pop_front()
    }

    /// A peer opens a stream.
    fn opens(&mut self) -> Option<Input> {
        let all: Vec<_> = self.conns.keys().copied().collect();
        let conn = self.pick(&all)?;
        let (peer, info) = self.conns.get(&conn).cloned()?;
        if self.specs.is_empty() || self.streams.len() >= STREAMS {
            return None;
        }
        let spec = self.dice.below(self.specs.len() as u64);
        let found = self.specs.get(usize::try_from(spec).ok()?)?.clone();
        let spec = u8::try_from(spec).ok()?;
        let open = self
            .streams
            .iter()
            .filter(|(id, stream)| id.conn == conn && stream.spec == spec && id.is_inbound())
            .count();
        if open >= usize::from(found.max_inbound) || (info.limited && !found.on_limited) {
            return None;
        }
        let stream = StreamId::theirs(conn, self.next_stream);
        self.next_stream += 1;
        self.streams.insert(
            stream,
            Stream {
                peer,
                spec,
                opened: true,
                finished: false,
                sent: 0,
            },
        );
        Some(Input::Opened {
            stream,
            peer,
            spec,
            name: found.name,
        })
    }

    /// Something happens on a stream that stands.
    fn on_a_stream(&mut self) -> Option<Input> {
        let all: Vec<_> = self.streams.keys().copied().collect();
        let stream = self.pick(&all)?;
        let state = self.streams.get(&stream)?;
        if !state.opened {
            return Some(self.answer_open(stream));
        }
        let (spec, finished) = (state.spec, state.finished);
        match self.dice.below(12) {
            0 => {
                self.streams.remove(&stream);
                let reason = self
                    .pick(&[
                        Closed::Finished,
                        Closed::Reset,
                        Closed::FrameTooLarge,
                        Closed::Malformed,
                        Closed::UnexpectedEnd,
                        Closed::Limit,
                    ])
                    .unwrap_or(Closed::Reset);
                Some(Input::Closed { stream, reason })
            }
            1 if !finished => {
                self.streams.get_mut(&stream)?.finished = true;
                Some(Input::Finished { stream })
            }
            2 => Some(Input::Writable { stream }),
            3 => {
                let frames = core::mem::take(&mut self.streams.get_mut(&stream)?.sent);
                Some(Input::Flushed { stream, frames })
            }
            _ if !finished => {
                let data = self.frame(spec)?;
                Some(Input::Frame { stream, data })
            }
            _ => None,
        }
    }

    fn answer_open(&mut self, stream: StreamId) -> Input {
        let refused = self.dice.below(4) == 0;
        if let Some(state) = self.streams.get_mut(&stream).filter(|_| !refused) {
            state.opened = true;
            let (peer, spec) = (state.peer, state.spec);
            let name = self
                .specs
                .get(usize::from(spec))
                .map_or(ProtocolName::from_static("/"), |spec| spec.name.clone());
            Input::Opened {
                stream,
                peer,
                spec,
                name,
            }
        } else {
            self.streams.remove(&stream);
            let reason = self
                .pick(&[Closed::Refused, Closed::TimedOut, Closed::Reset])
                .unwrap_or(Closed::Refused);
            Input::Closed { stream, reason }
        }
    }

    /// A frame that the framing of the spec lets pass.
    fn frame(&mut self, spec: u8) -> Option<Bytes> {
        let at = self.dice.below(self.frames.len() as u64);
        let mut frame = self.frames.get(usize::try_from(at).ok()?)?.clone();
        match self.dice.below(4) {
            0 => {
                let len = self.dice.below(frame.len() as u64 + 1);
                frame.truncate(usize::try_from(len).ok()?);
            }
            1 => {
                for _ in 0..=self.dice.below(4) {
                    let at = self.dice.below(frame.len().max(1) as u64);
                    let value = self.dice.below(256).to_le_bytes();
                    if let (Some(byte), Some(new)) = (frame.get_mut(usize::try_from(at).ok()?), value.first())
                    {
                        *byte = *new;
                    }
                }
            }
            2 => frame.extend_from_slice(&self.dice.bytes32()),
            _ => {}
        }
        match self.specs.get(usize::from(spec))?.framing {
            Framing::Fixed { len } => frame.resize(len, 0),
            Framing::LengthDelimited { max } | Framing::UntilEnd { max } | Framing::Held { max } => {
                frame.truncate(max);
            }
            Framing::Raw => {}
        }
        Some(frame.into())
    }

    /// An input about something that never was or is long gone.
    fn stranger(&mut self) -> Input {
        let extreme = self
            .pick(&[0, 1, 2, u64::MAX / 2, u64::MAX - 1, u64::MAX])
            .unwrap_or(0);
        let stream = StreamId::theirs(ConnectionId::new(extreme), extreme / 2);
        match self.dice.below(6) {
            0 => Input::Frame {
                stream,
                data: Bytes::from_static(b"\x00\xff"),
            },
            1 => Input::Finished { stream },
            2 => Input::Closed {
                stream,
                reason: Closed::Reset,
            },
            3 => Input::Flushed {
                stream,
                frames: u32::MAX,
            },
            4 => Input::DialFailed {
                dial: DialId::new(extreme),
                peer: Some(peer(1)),
                error: DialError::TimedOut,
            },
            _ => Input::Writable { stream },
        }
    }

    fn call(&mut self, line: String) {
        self.calls.push(line);
    }
}

impl Host for World {
    fn open(&mut self, _: u8, target: Target, specs: &[u8]) -> Result<StreamId, OpenError> {
        let conn = match target {
            Target::Connection(conn) => Some(conn).filter(|conn| self.conns.contains_key(conn)),
            Target::Peer(peer) => self.connections(peer).first().copied(),
        };
        let result = match conn.and_then(|conn| self.conns.get(&conn).map(|(peer, _)| (conn, *peer))) {
            None => Err(OpenError::NotConnected),
            Some(_) if self.streams.len() >= STREAMS || self.dice.below(8) == 0 => {
                Err(OpenError::TooManyStreams)
            }
            Some((conn, peer)) => match specs.first() {
                Some(spec) if usize::from(*spec) < self.specs.len() => {
                    let stream = StreamId::ours(conn, self.next_stream);
                    self.next_stream += 1;
                    self.streams.insert(
                        stream,
                        Stream {
                            peer,
                            spec: *spec,
                            opened: false,
                            finished: false,
                            sent: 0,
                        },
                    );
                    Ok(stream)
                }
                _ => Err(OpenError::UnknownSpec),
            },
        };
        self.call(format!("> open {target:?} {specs:?}: {result:?}"));
        result
    }

    fn write(&mut self, _: u8, stream: StreamId, frame: Bytes) -> Result<(), WriteError> {
        let blocked = self.dice.below(6) == 0;
        let result = match self.streams.get_mut(&stream) {
            None => Err(WriteError::Closed),
            Some(state) if !state.opened || blocked => {
                if state.opened {
                    self.pending.push_back(Input::Writable { stream });
                }
                Err(WriteError::Blocked)
            }
            Some(state) => {
                state.sent += 1;
                Ok(())
            }
        };
        self.call(format!("> write {stream:?} {}: {result:?}", shown(&frame)));
        result
    }

    fn writable(&self, _: u8, stream: StreamId) -> usize {
        self.streams
            .get(&stream)
            .filter(|state| state.opened)
            .map_or(0, |_| 65_536)
    }

    fn order(&mut self, _: u8, stream: StreamId, order: StreamOrder) -> Result<(), OrderError> {
        self.call(format!("> {order:?} {stream:?}"));
        if !self.streams.contains_key(&stream) {
            return Err(OrderError::Unknown);
        }
        if order == StreamOrder::Reset {
            self.streams.remove(&stream);
            self.pending.push_back(Input::Closed {
                stream,
                reason: Closed::LocalReset,
            });
        }
        Ok(())
    }

    fn set_inbound(&mut self, _: u8, spec: u8, max: u16) -> Result<(), OrderError> {
        self.call(format!("> set_inbound {spec} {max}"));
        let found = self.specs.get_mut(usize::from(spec)).ok_or(OrderError::Unknown)?;
        found.max_inbound = max;
        Ok(())
    }

    fn expect(&mut self, expected: Expected) -> bool {
        let result = self.dice.below(4) > 0;
        let (peer, side) = (expected.peer, expected.side);
        let addrs = expected.addrs;
        self.call(format!("> expect {peer} at {addrs:?} as {side:?}: {result:?}"));
        result
    }

    fn dial(&mut self, _: u8, dial: Dial) -> Result<DialOutcome, DialRefused> {
        let result = if self.dice.below(4) == 0 {
            Err(DialRefused::NoAddress)
        } else {
            let id = DialId::new(self.next_dial);
            self.next_dial += 1;
            self.pending.push_back(Input::DialFailed {
                dial: id,
                peer: dial.peer,
                error: DialError::TimedOut,
            });
            Ok(DialOutcome::Pending(id))
        };
        self.call(format!("> dial {dial:?}: {result:?}"));
        result
    }

    fn cancel_dial(&mut self, dial: DialId) {
        self.call(format!("> cancel {dial:?}"));
    }

    fn can_dial(&self, addr: &Multiaddr) -> bool {
        addr.socket_tcp().is_some()
    }

    fn promote(&mut self, _: u8, stream: StreamId, link: Link) -> Result<ConnectionId, PromoteError> {
        self.call(format!("promote {stream:?} {link:?}"));
        match link {
            Link::Dialed { conn, .. } if self.dice.below(4) > 0 => Ok(conn),
            Link::Accepted { .. } if self.dice.below(4) > 0 => Ok(ConnectionId::new(1 << 40)),
            _ => Err(PromoteError::Denied("chaos")),
        }
    }

    fn link_failed(&mut self, _: u8, conn: ConnectionId, error: AttemptError) {
        self.call(format!("link failed {conn:?} {error:?}"));
    }

    fn splice(&mut self, _: u8, ends: [StreamId; 2], max: u64) -> Result<(), OrderError> {
        self.call(format!("splice {ends:?} {max}"));
        Ok(())
    }

    fn disconnect(&mut self, conn: ConnectionId) {
        self.call(format!("> disconnect {conn:?}"));
    }

    fn set_aside(&mut self, conn: ConnectionId) {
        self.call(format!("> set aside {conn:?}"));
    }

    fn keep(&mut self, _: u8, conn: ConnectionId, keep: bool) {
        self.call(format!("> keep {conn:?} {keep}"));
    }

    fn inbound_room(&self) -> usize {
        // As good as any, and the same each time.
        self.streams.len() % 4
    }

    fn tell(&mut self, _: u8, fact: Fact) -> Result<(), TellError> {
        let result = if self.dice.below(8) == 0 {
            Err(TellError::Full)
        } else {
            Ok(())
        };
        self.call(format!("> tell {fact:?}: {result:?}"));
        result
    }

    fn peer_of(&self, stream: StreamId) -> Option<PeerId> {
        self.streams.get(&stream).map(|state| state.peer)
    }

    fn connections(&self, peer: PeerId) -> SmallVec<[ConnectionId; 2]> {
        self.conns
            .iter()
            .filter(|(_, (known, _))| *known == peer)
            .map(|(conn, _)| *conn)
            .collect()
    }

    fn connection_info(&self, conn: ConnectionId) -> Option<&ConnectionInfo> {
        self.conns.get(&conn).map(|(_, info)| info)
    }

    fn local_protocols(&self, _: Option<ConnectionId>) -> Vec<ProtocolName> {
        let mut names: Vec<_> = self.specs.iter().map(|spec| spec.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}
