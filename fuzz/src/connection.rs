//! A whole connection, driven past its handshake by a peer with good keys and no manners: whatever it says is sealed as it should be.

use crate::{budget, yamux::frame};
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_connection::{Config, Connection};
use libp2p_proto_core::{ConnectionId, Instant, ProtocolName, Rng, Side, StreamId, TransmitBuf};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_noise::{self as noise, Handshake, Opener, Sealer};
use libp2p_proto_stream_protocol::{
    Framing, FromConnection, Seat, SpecEntry, SpecId, SpecTable, StreamOrder, StreamSpec, ToConnection,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

/// What our end may hold: a mebibyte that the peer makes it hold, and what we queue ourselves.
const MEMORY: usize = (1 << 20) + 340 * 1024;
/// Bytes that may wait in the link.
const MUCH: usize = 256 * 1024;
const HELLO: &[u8] = b"\x13/multistream/1.0.0\n\x07/noise\n";
const CONN: ConnectionId = ConnectionId::new(2);
/// Things that a peer says when it wants to come far.
const PHRASES: [&[u8]; 8] = [
    b"\x13/multistream/1.0.0\n",
    b"\x13/multistream/1.0.0\n\x07/raw/1\n",
    b"\x13/multistream/1.0.0\n\x0a/framed/1\n",
    b"\x13/multistream/1.0.0\n\x08/held/1\n",
    b"\x13/multistream/1.0.0\n\x07/fix/1\n",
    b"\x13/multistream/1.0.0\n\x07/end/1\n",
    b"\x0a/framed/1\n",
    b"\x03na\n",
];

/// What both nodes keep for all their connections.
struct Nodes {
    ours: Arc<Config>,
    theirs: Arc<noise::Config>,
    specs: Arc<SpecTable>,
}

fn nodes() -> &'static Nodes {
    static NODES: OnceLock<Nodes> = OnceLock::new();
    NODES.get_or_init(|| {
        let identity = |seed| Identity::from(Keypair::ed25519_from_seed([seed; 32]));
        let kinds = [
            ("/raw/1", Framing::Raw),
            ("/framed/1", Framing::LengthDelimited { max: 4096 }),
            ("/held/1", Framing::Held { max: 4096 }),
            ("/fix/1", Framing::Fixed { len: 7 }),
            ("/end/1", Framing::UntilEnd { max: 4096 }),
        ];
        let entry = |(index, (name, framing))| SpecEntry {
            protocol: 0,
            index,
            spec: StreamSpec::new(ProtocolName::from_static(name), framing),
        };
        Nodes {
            ours: Arc::new(Config::new(&identity(2), [2; 32]).unwrap()),
            theirs: Arc::new(noise::Config::new(&identity(1), &mut Rng::from_seed([3; 32])).unwrap()),
            specs: Arc::new(SpecTable::new((0..).zip(kinds).map(entry).collect())),
        }
    })
}

/// How far a stream has come, as the swarm was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Ordered,
    Opened,
    Finished,
    Closed,
}

struct Link {
    end: Connection,
    sealer: Sealer,
    opener: Opener,
    now: Instant,
    /// Plaintext that is to be said next.
    plain: Vec<u8>,
    /// Sealed bytes that our end did not take.
    wire: Vec<u8>,
    output: Vec<u8>,
    told: BTreeMap<StreamId, Told>,
    over: bool,
    opened: u64,
    /// The id of the stream that the peer opened last.
    next: u32,
    fed: usize,
    sent: usize,
    asked: usize,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some(mut link) = upgraded() else { return };
    budget::memory("a connection", MEMORY, || {
        // An input that ends in the middle of a choice ends the run.
        let _end = link.live(&mut Unstructured::new(data));
    });
}

/// Our listener and the keys of a dialer. `None` never comes.
fn upgraded() -> Option<Link> {
    let nodes = nodes();
    let mut seat = Seat::new(CONN, Side::Listener, [2; 32]);
    seat.specs = nodes.specs.clone();
    let now = Instant::ZERO;
    let mut end = Connection::new(now, nodes.ours.clone(), seat);
    let mut peer = Handshake::new(nodes.theirs.clone(), Side::Dialer, None, [5; 32]);
    let mut theirs = HELLO.to_vec();
    let mut ours = Vec::new();
    for _ in 0..6 {
        while let taken @ 1.. = end.handle_input(now, &mut theirs).ok()? {
            theirs.drain(..taken);
        }
        while end.poll_transmit(now, &mut TransmitBuf::new(&mut ours, 4096)) {}
        if ours.starts_with(HELLO) {
            ours.drain(..HELLO.len());
        }
        let taken = peer.handle_input(&mut ours).ok()?;
        ours.drain(..taken);
        while peer.poll_transmit(&mut TransmitBuf::new(&mut theirs, 4096)) {}
        while end.poll_message().is_some() {
            end.handle_message(now, ToConnection::Admit);
        }
    }
    let noise::Finished {
        sealer, mut opener, ..
    } = peer.finish().ok()?;
    while let Some((taken, _)) = opener.open(&mut ours).ok()? {
        ours.drain(..taken);
    }
    Some(Link {
        end,
        sealer,
        opener,
        now,
        plain: Vec::with_capacity(MUCH),
        wire: Vec::with_capacity(2 * MUCH),
        output: ours,
        told: BTreeMap::new(),
        over: false,
        opened: 0,
        next: 1001,
        fed: 0,
        sent: 0,
        asked: 0,
    })
}

impl Link {
    fn live(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        while !choices.is_empty() {
            match choices.int_in_range(0..=15_u8)? {
                0..=3 => frame(choices, 1, &mut self.plain)?,
                4..=6 => {
                    let phrase = *choices.choose(&PHRASES)?;
                    let flags = *choices.choose(&[1, 1, 1, 1, 5, 0, 0, 2, 4])?;
                    // A stream that opens has an id of its own, above those that `frame` takes.
                    self.next += 2 * u32::from(flags & 1);
                    let id = self.next - 2 * u32::from(choices.int_in_range(0..=1 - (flags & 1))?);
                    self.plain.extend([0, 0, 0, flags]);
                    self.plain.extend(id.to_be_bytes());
                    self.plain
                        .extend(u32::try_from(phrase.len()).unwrap_or(0).to_be_bytes());
                    self.plain.extend(phrase);
                }
                7 => {
                    // Much of one byte: a flood of small frames, or of one large body.
                    let count: u16 = choices.arbitrary()?;
                    let id = self.next - 2 * u32::from(choices.int_in_range(0..=3_u8)?);
                    self.plain.extend([0, 0, 0, 0]);
                    self.plain.extend(id.to_be_bytes());
                    self.plain.extend(u32::from(count).to_be_bytes());
                    let byte = choices.int_in_range(0..=2_u8)?;
                    self.plain.extend(core::iter::repeat_n(byte, count.into()));
                    self.seal();
                }
                8 | 9 => {
                    self.seal();
                    self.feed();
                }
                10 => self.tell(),
                11 => self.transmit(),
                12 => {
                    self.now = self.now + Duration::from_millis(choices.int_in_range(0..=11_000)?);
                    self.end.handle_timeout(self.now);
                }
                _ => self.order(choices)?,
            }
            self.check();
        }
        self.tell();
        Ok(())
    }

    /// While much waits in the link nothing more is said.
    fn seal(&mut self) {
        if self.wire.len() > MUCH {
            self.plain.clear();
        }
        for part in self.plain.chunks(noise::MAX_PLAINTEXT) {
            let mut out = TransmitBuf::new(&mut self.wire, noise::MAX_FRAME + 2);
            let sealed = self.sealer.seal(&mut out, |body| body.put(part));
            assert!(matches!(sealed, Ok(Some(true))));
        }
        self.plain.clear();
    }

    fn feed(&mut self) {
        let failed = self.over;
        match self.end.handle_input(self.now, &mut self.wire) {
            Ok(taken) => {
                self.fed += taken;
                self.wire.drain(..taken);
            }
            Err(error) => {
                assert_eq!(
                    self.end.handle_input(self.now, &mut [0; 8]),
                    Err(error),
                    "an error stays"
                );
                self.wire.clear();
            }
        }
        assert_eq!(self.over, failed, "the end is told by a message");
    }

    /// The swarm listens: every message in its place.
    fn tell(&mut self) {
        let mut messages = 0;
        while let Some(message) = self.end.poll_message() {
            messages += 1;
            assert!(!self.over, "{message:?} after the last message");
            let Some(stream) = message.stream() else {
                self.over = matches!(message, FromConnection::Disconnected { .. });
                continue;
            };
            let before = self.told.get(&stream).copied();
            assert_ne!(before, Some(Told::Closed), "{message:?} after its end");
            let after = match &message {
                FromConnection::Opened { .. } => {
                    assert!(before.is_none_or(|told| told == Told::Ordered), "opened twice");
                    Told::Opened
                }
                FromConnection::Frame { data, .. } => {
                    assert_eq!(before, Some(Told::Opened), "a frame out of place");
                    let bytes = data.len();
                    self.end
                        .handle_message(self.now, ToConnection::Grant { stream, bytes });
                    Told::Opened
                }
                FromConnection::Finished { .. } => {
                    assert_eq!(before, Some(Told::Opened), "an end out of place");
                    Told::Finished
                }
                FromConnection::Closed { .. } => Told::Closed,
                _ => before.unwrap_or(Told::Ordered),
            };
            self.told.insert(stream, after);
        }
        budget::at_most("messages in a row", messages, 1024 + self.fed);
        if self.over {
            // An order to open may have crossed the end; then the swarm knows that it came too late.
            let closed = |told: &Told| matches!(told, Told::Closed | Told::Ordered);
            assert!(self.told.values().all(closed), "every stream was closed before");
        }
    }

    fn transmit(&mut self) {
        self.output.clear();
        while self
            .end
            .poll_transmit(self.now, &mut TransmitBuf::new(&mut self.output, 70_000))
        {}
        self.sent += self.output.len();
        let mut rest = &mut self.output[..];
        while let Ok(Some((taken, _))) = self.opener.open(rest) {
            rest = rest.get_mut(taken..).unwrap_or_default();
        }
        assert!(rest.is_empty(), "what we say can be opened");
    }

    fn order(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        let count = u64::from(choices.int_in_range(0..=5_u8)?);
        let stream = if choices.arbitrary()? {
            StreamId::theirs(CONN, count)
        } else {
            StreamId::ours(CONN, count)
        };
        let spec = SpecId(choices.int_in_range(0..=5)?);
        let message = match choices.int_in_range(0..=11_u8)? {
            0 | 1 => {
                let stream = StreamId::ours(CONN, self.opened);
                self.opened += 1;
                if !self.over {
                    self.told.insert(stream, Told::Ordered);
                }
                let specs = [spec].into_iter().collect();
                let lazy = choices.arbitrary()?;
                if self.over || self.end.is_closed() {
                    return Ok(());
                }
                ToConnection::Open { stream, specs, lazy }
            }
            2 | 3 => {
                let len = usize::from(choices.int_in_range(0..=200_u8)?);
                self.asked += len;
                let data = Bytes::from(vec![5; len]);
                ToConnection::Write { stream, data }
            }
            4 => {
                let bytes = usize::try_from(choices.arbitrary::<u32>()?).unwrap_or(0);
                ToConnection::Grant { stream, bytes }
            }
            5 => {
                let max = choices.int_in_range(0..=3)?;
                ToConnection::SetInbound { spec, max }
            }
            6 if choices.ratio(1, 16)? => ToConnection::Close,
            _ => {
                let order = *choices.choose(&[
                    StreamOrder::Finish,
                    StreamOrder::Reset,
                    StreamOrder::Next,
                    StreamOrder::HandOver,
                    StreamOrder::NotifyFlushed,
                    StreamOrder::Reframe(Framing::Raw),
                    StreamOrder::Reframe(Framing::LengthDelimited { max: 10 }),
                ])?;
                ToConnection::Order { stream, order }
            }
        };
        self.asked += 400;
        self.end.handle_message(self.now, message);
        Ok(())
    }

    fn check(&self) {
        let seconds = usize::try_from(self.now.as_nanos() / 1_000_000_000).unwrap_or(0);
        budget::at_most(
            "bytes said",
            self.sent,
            1024 + 3 * self.fed + 2 * self.asked + 64 * seconds,
        );
        let stats = self.end.stats();
        budget::at_most("unread bytes", stats.unread, (640 << 10) + noise::MAX_FRAME);
        budget::at_most("streams", stats.streams, 500);
        if !self.end.wants_input() {
            assert!(!self.end.is_closed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_choices_come_as_far_as_open_streams_with_frames_and_ends() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let mut dice = Rng::from_seed([9; 32]).fork("reach", seed);
            let data: Vec<u8> = (0..60).flat_map(|_| dice.bytes32()).collect();
            let mut link = upgraded().unwrap();
            let _end = link.live(&mut Unstructured::new(&data));
            seen.extend(link.told.values().copied());
            seen.extend(
                link.told
                    .keys()
                    .filter(|stream| stream.is_inbound())
                    .map(|_| Told::Opened),
            );
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
    }
}
