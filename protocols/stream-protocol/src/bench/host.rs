//! One node of the bench: its connections, its streams with their credit, and what it sends. What its protocol may call is in `calls`.

mod calls;

use super::limit_of;
use crate::{
    AttemptError, Closed, ConnectionInfo, Context, Dial, Expected, Fact, Framing, Input, Link, StreamSpec,
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use core::mem;
use libp2p_proto_core::{
    ConnectionId, Deadline, DialId, Instant, PeerId, ProtocolName, Rng, StreamId, UnixTime,
};

/// What crosses a link. `stream` is the receiver's name of the stream, where it has one.
pub(super) enum Wire {
    Open {
        conn: ConnectionId,
        stream: StreamId,
        names: Vec<ProtocolName>,
    },
    Accepted {
        stream: StreamId,
        peer_stream: StreamId,
        place: usize,
    },
    Frame {
        stream: StreamId,
        data: Bytes,
    },
    Credit {
        stream: StreamId,
        bytes: usize,
    },
    Finish {
        stream: StreamId,
    },
    Closed {
        stream: StreamId,
        reason: Closed,
    },
    Disconnected {
        conn: ConnectionId,
    },
}

struct Conn {
    other: usize,
    peer: PeerId,
    info: ConnectionInfo,
    opened: u64,
    accepted: u64,
}

/// One stream as its own end sees it.
pub(super) struct Slot {
    spec: u8,
    proposals: Vec<u8>,
    framing: Framing,
    /// The stream's name at the other end, once agreed. Both ends have the same connection id, so it differs in the sequence only.
    remote: Option<StreamId>,
    lazy: bool,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    in_flight: usize,
    blocked: bool,
    flush_wanted: bool,
    sent_frames: u32,
    finishing: bool,
    finish_sent: bool,
    finish_seen: bool,
    paused: bool,
    withheld: usize,
    /// Bytes of an incomplete frame of fixed length.
    part: Vec<u8>,
    /// Frames behind the one that a held stream has delivered.
    held: Option<VecDeque<Bytes>>,
    open_by: Option<Instant>,
    /// What comes goes out there, so many bytes more.
    spliced: Option<(StreamId, u64)>,
    /// What comes is a link.
    promoted: bool,
}

/// What belongs to the application of a node, of one stream.
#[derive(Default)]
pub(super) struct Handed {
    /// Whether the protocol has said so.
    pub(super) over: bool,
    pub(super) data: Vec<u8>,
}

pub(super) struct Node {
    pub(super) local: PeerId,
    dice: Rng,
    conns: BTreeMap<ConnectionId, Conn>,
    pub(super) streams: BTreeMap<StreamId, Slot>,
    pub(super) inputs: VecDeque<Input>,
    pub(super) facts: Vec<Fact>,
    pub(super) outbox: Vec<(usize, Wire)>,
    specs: Vec<StreamSpec>,
    inbound: BTreeMap<u8, u16>,
    pub(super) dials: Vec<Dial>,
    /// Dials that the protocol has cancelled.
    pub(super) cancelled: Vec<DialId>,
    pub(super) expected: Vec<Expected>,
    /// Connections that the protocol has set aside.
    pub(super) set_aside: Vec<ConnectionId>,
    /// Connections that the protocol keeps.
    pub(super) kept: Vec<ConnectionId>,
    pub(super) inbound_room: usize,
    /// Bytes of streams whose spec says that they belong to the application.
    pub(super) handed: BTreeMap<StreamId, Handed>,
    /// Streams that became links.
    pub(super) promoted: Vec<(StreamId, Link)>,
    /// Links that could not be made.
    pub(super) failed_links: Vec<(ConnectionId, AttemptError)>,
    now: Instant,
}

impl Node {
    pub(super) fn new(local: PeerId, dice: Rng) -> Self {
        Self {
            local,
            dice,
            conns: BTreeMap::new(),
            streams: BTreeMap::new(),
            inputs: VecDeque::new(),
            facts: Vec::new(),
            outbox: Vec::new(),
            specs: Vec::new(),
            inbound: BTreeMap::new(),
            dials: Vec::new(),
            cancelled: Vec::new(),
            expected: Vec::new(),
            set_aside: Vec::new(),
            kept: Vec::new(),
            inbound_room: usize::MAX,
            handed: BTreeMap::new(),
            promoted: Vec::new(),
            failed_links: Vec::new(),
            now: Instant::ZERO,
        }
    }

    pub(super) fn with<R>(
        &mut self,
        now: Instant,
        unix: UnixTime,
        seq: u64,
        specs: Vec<StreamSpec>,
        act: impl FnOnce(&mut Context<'_>) -> R,
    ) -> R {
        self.now = now;
        self.specs = specs;
        let mut dice = mem::replace(&mut self.dice, Rng::from_seed([0; 32]));
        let result = act(&mut Context::new(now, unix, seq, self.local, &mut dice, self, 0));
        self.dice = dice;
        result
    }

    pub(super) fn connected(&mut self, conn: ConnectionId, other: usize, peer: PeerId, info: ConnectionInfo) {
        let first = !self.conns.values().any(|known| known.peer == peer);
        self.inputs.push_back(Input::Connected {
            peer,
            conn,
            first,
            info: info.clone(),
        });
        self.conns.insert(
            conn,
            Conn {
                other,
                peer,
                info,
                opened: 0,
                accepted: 0,
            },
        );
    }

    /// Changes what a connection that was just made is known for.
    pub(super) fn change_info(&mut self, conn: ConnectionId, change: impl Fn(&mut ConnectionInfo)) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            change(&mut conn.info);
        }
        if let Some(Input::Connected { info, .. }) = self.inputs.back_mut() {
            change(info);
        }
    }

    pub(super) fn disconnected(&mut self, conn: ConnectionId) {
        let open: Vec<StreamId> = self
            .streams
            .keys()
            .filter(|stream| stream.conn == conn)
            .copied()
            .collect();
        for stream in open {
            self.close(stream, Closed::ConnectionLost);
        }
        if let Some(gone) = self.conns.remove(&conn) {
            let last = !self.conns.values().any(|known| known.peer == gone.peer);
            self.inputs.push_back(Input::Disconnected {
                peer: gone.peer,
                conn,
                last,
            });
        }
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.streams
            .values()
            .filter_map(|slot| slot.open_by)
            .min()
            .map(|at| Deadline::new(at, "open"))
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.now = now;
        let late: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, slot)| slot.open_by.is_some_and(|at| at <= now))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in late {
            self.tell_remote_closed(stream, Closed::TimedOut);
            self.close(stream, Closed::TimedOut);
        }
    }

    /// A frame was delivered: its credit goes back, unless the stream is paused.
    pub(super) fn granted(&mut self, input: &Input) {
        if let Input::Frame { stream, data } = input {
            if let Some(slot) = self.streams.get_mut(stream) {
                if slot.paused {
                    slot.withheld = slot.withheld.saturating_add(data.len());
                } else {
                    self.send_credit(*stream, data.len());
                }
            }
        }
    }

    fn send_credit(&mut self, stream: StreamId, bytes: usize) {
        let to_remote = self.streams.get(&stream).and_then(|slot| slot.remote);
        if let Some(remote) = to_remote {
            self.send(
                stream.conn,
                Wire::Credit {
                    stream: remote,
                    bytes,
                },
            );
        }
    }

    fn send(&mut self, conn: ConnectionId, wire: Wire) {
        if let Some(conn) = self.conns.get(&conn) {
            self.outbox.push((conn.other, wire));
        }
    }

    fn close(&mut self, stream: StreamId, reason: Closed) {
        let Some(gone) = self.streams.remove(&stream) else {
            return;
        };
        self.inputs.push_back(Input::Closed { stream, reason });
        if let Some((other, _)) = gone.spliced.filter(|_| reason != Closed::Finished) {
            self.tell_remote_closed(other, Closed::LocalReset);
            self.close(other, Closed::LocalReset);
        }
    }

    /// Carries bytes from one end of a splice to the other; resets both behind the last byte allowed.
    fn carry(&mut self, stream: StreamId, to: StreamId, max: u64, data: &Bytes) {
        let allowed = usize::try_from(max).unwrap_or(usize::MAX).min(data.len());
        self.send_credit(stream, data.len());
        if let Some(slot) = self.streams.get_mut(&stream) {
            slot.spliced = Some((to, max.saturating_sub(allowed as u64)));
        }
        if let Some(slot) = self.streams.get_mut(&to) {
            slot.waiting_bytes = slot.waiting_bytes.saturating_add(allowed);
            slot.waiting.push_back(data.slice(..allowed));
        }
        self.pump(to);
        if allowed < data.len() {
            self.tell_remote_closed(stream, Closed::LocalReset);
            self.close(stream, Closed::LocalReset);
        }
    }

    fn tell_remote_closed(&mut self, stream: StreamId, reason: Closed) {
        let remote = self
            .streams
            .get(&stream)
            .map(|slot| slot.remote.unwrap_or(mirrored(stream)));
        if let Some(remote) = remote {
            self.send(
                stream.conn,
                Wire::Closed {
                    stream: remote,
                    reason: reason.seen_by_remote(),
                },
            );
        }
    }

    pub(super) fn receive(&mut self, wire: Wire) {
        match wire {
            Wire::Open { conn, stream, names } => self.receive_open(conn, stream, &names),
            Wire::Accepted {
                stream,
                peer_stream,
                place,
            } => self.receive_accepted(stream, peer_stream, place),
            Wire::Frame { stream, data } => self.receive_frame(stream, data),
            Wire::Credit { stream, bytes } => {
                if let Some(slot) = self.streams.get_mut(&stream) {
                    slot.in_flight = slot.in_flight.saturating_sub(bytes);
                }
                self.pump(stream);
            }
            Wire::Finish { stream } => {
                match self.streams.get_mut(&stream) {
                    Some(slot) if !slot.part.is_empty() => {
                        self.tell_remote_closed(stream, Closed::LocalReset);
                        self.close(stream, Closed::UnexpectedEnd);
                    }
                    Some(slot) => {
                        slot.finish_seen = true;
                        let spec = slot.spec;
                        // The end of the application's bytes is the application's to see.
                        let spliced = slot.spliced.map(|(to, _)| to);
                        let told = !slot.promoted && spliced.is_none() && !self.is_handed_over(spec);
                        if told {
                            self.inputs.push_back(Input::Finished { stream });
                        }
                        if let Some(slot) = spliced.and_then(|to| self.streams.get_mut(&to)) {
                            slot.finishing = true;
                        }
                        if let Some(to) = spliced {
                            self.pump(to);
                        }
                    }
                    None => {}
                }
                self.close_if_done(stream);
            }
            Wire::Closed { stream, reason } => self.close(stream, reason),
            Wire::Disconnected { conn } => self.disconnected(conn),
        }
    }

    fn receive_open(&mut self, conn: ConnectionId, theirs: StreamId, names: &[ProtocolName]) {
        let limited = self.conns.get(&conn).is_some_and(|conn| conn.info.limited);
        let choice = names.iter().enumerate().find_map(|(place, name)| {
            let index = self
                .specs
                .iter()
                .position(|spec| spec.matches(name.as_str()) && (spec.on_limited || !limited))?;
            Some((place, u8::try_from(index).ok()?, name.clone()))
        });
        let Some((place, spec, name)) = choice.filter(|(_, spec, _)| self.max_inbound(*spec) > 0) else {
            self.send(
                conn,
                Wire::Closed {
                    stream: theirs,
                    reason: Closed::Refused,
                },
            );
            return;
        };
        let busy = self
            .streams
            .iter()
            .filter(|(id, slot)| id.conn == conn && id.is_inbound() && slot.spec == spec)
            .count();
        if busy >= usize::from(self.max_inbound(spec)) {
            self.send(
                conn,
                Wire::Closed {
                    stream: theirs,
                    reason: Closed::Reset,
                },
            );
            return;
        }
        let Some(entry) = self.conns.get_mut(&conn) else {
            return;
        };
        let stream = StreamId::theirs(conn, entry.accepted);
        entry.accepted = entry.accepted.saturating_add(1);
        let peer = entry.peer;
        let Some(framing) = limit_of(&self.specs, spec).map(|spec| spec.framing) else {
            return;
        };
        let mut slot = Slot::new(spec, framing);
        slot.remote = Some(theirs);
        self.streams.insert(stream, slot);
        self.send(
            conn,
            Wire::Accepted {
                stream: theirs,
                peer_stream: stream,
                place,
            },
        );
        self.inputs.push_back(Input::Opened {
            stream,
            peer,
            spec,
            name,
        });
    }

    fn max_inbound(&self, spec: u8) -> u16 {
        let default = limit_of(&self.specs, spec).map_or(0, |spec| spec.max_inbound);
        self.inbound.get(&spec).copied().unwrap_or(default)
    }

    fn receive_accepted(&mut self, stream: StreamId, peer_stream: StreamId, place: usize) {
        let Some(slot) = self.streams.get_mut(&stream) else {
            return;
        };
        let Some(spec) = slot.proposals.get(place).copied() else {
            return;
        };
        let Some(found) = limit_of(&self.specs, spec) else {
            return;
        };
        slot.spec = spec;
        slot.framing = found.framing;
        slot.remote = Some(peer_stream);
        slot.open_by = None;
        let name = found.name.clone();
        if let Some(peer) = self.conns.get(&stream.conn).map(|conn| conn.peer) {
            self.inputs.push_back(Input::Opened {
                stream,
                peer,
                spec,
                name,
            });
        }
        self.pump(stream);
    }

    fn is_handed_over(&self, spec: u8) -> bool {
        limit_of(&self.specs, spec).is_some_and(|spec| spec.handed_over)
    }

    /// Takes bytes of the application, and returns their credit once they are its own.
    fn receive_handed(&mut self, stream: StreamId, data: &[u8]) {
        let handed = self.handed.entry(stream).or_default();
        handed.data.extend_from_slice(data);
        if handed.over {
            self.send_credit(stream, data.len());
        }
    }

    fn receive_frame(&mut self, stream: StreamId, data: Bytes) {
        let spec = self.streams.get(&stream).map(|slot| slot.spec);
        if spec.is_some_and(|spec| self.is_handed_over(spec)) {
            self.receive_handed(stream, &data);
            return;
        }
        let Some(slot) = self.streams.get_mut(&stream) else {
            return;
        };
        if let Some(held) = &mut slot.held {
            held.push_back(data);
        } else if let Some((to, max)) = slot.spliced {
            self.carry(stream, to, max, &data);
        } else if slot.promoted {
            self.handed
                .entry(stream)
                .or_default()
                .data
                .extend_from_slice(&data);
            self.send_credit(stream, data.len());
        } else if let Framing::Fixed { len } = slot.framing {
            slot.part.extend_from_slice(&data);
            let whole = mem::take(&mut slot.part);
            let frames = whole.chunks_exact(len.max(1));
            slot.part = frames.remainder().to_vec();
            self.inputs.extend(frames.map(|frame| Input::Frame {
                stream,
                data: Bytes::copy_from_slice(frame),
            }));
        } else if fits(slot.framing, data.len()) {
            if matches!(slot.framing, Framing::Held { .. }) {
                slot.held = Some(VecDeque::new());
            }
            self.inputs.push_back(Input::Frame { stream, data });
        } else {
            self.tell_remote_closed(stream, Closed::LocalReset);
            self.close(stream, Closed::FrameTooLarge);
        }
    }

    /// Delivers what was held, up to the next frame that holds again.
    fn release(&mut self, stream: StreamId) {
        let held = self
            .streams
            .get_mut(&stream)
            .and_then(|slot| slot.held.take())
            .unwrap_or_default();
        for data in held {
            self.receive_frame(stream, data);
        }
    }

    /// Sends what credit and agreement allow.
    fn pump(&mut self, stream: StreamId) {
        let Some(slot) = self.streams.get_mut(&stream) else {
            return;
        };
        let Some(remote) = slot.remote else { return };
        let window = limit_of(&self.specs, slot.spec).map_or(0, |spec| spec.recv_window);
        let mut sent = Vec::new();
        while slot.in_flight < window {
            let Some(data) = slot.waiting.pop_front() else {
                break;
            };
            slot.waiting_bytes = slot.waiting_bytes.saturating_sub(data.len());
            slot.in_flight = slot.in_flight.saturating_add(data.len());
            slot.sent_frames = slot.sent_frames.saturating_add(1);
            sent.push(Wire::Frame { stream: remote, data });
        }
        if slot.waiting.is_empty() {
            if mem::take(&mut slot.flush_wanted) {
                let frames = mem::take(&mut slot.sent_frames);
                self.inputs.push_back(Input::Flushed { stream, frames });
            }
            if slot.finishing && !slot.finish_sent {
                slot.finish_sent = true;
                sent.push(Wire::Finish { stream: remote });
            }
        }
        if slot.blocked && slot.waiting.is_empty() {
            slot.blocked = false;
            self.inputs.push_back(Input::Writable { stream });
        }
        for wire in sent {
            self.send(stream.conn, wire);
        }
        self.close_if_done(stream);
    }

    fn close_if_done(&mut self, stream: StreamId) {
        if self
            .streams
            .get(&stream)
            .is_some_and(|slot| slot.finish_sent && slot.finish_seen)
        {
            self.close(stream, Closed::Finished);
        }
    }
}

impl Slot {
    fn new(spec: u8, framing: Framing) -> Self {
        Self {
            spec,
            proposals: Vec::new(),
            framing,
            remote: None,
            lazy: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            in_flight: 0,
            blocked: false,
            flush_wanted: false,
            sent_frames: 0,
            finishing: false,
            finish_sent: false,
            finish_seen: false,
            paused: false,
            withheld: 0,
            part: Vec::new(),
            held: None,
            open_by: None,
            spliced: None,
            promoted: false,
        }
    }
}

fn fits(framing: Framing, len: usize) -> bool {
    match framing {
        Framing::Fixed { len: fixed } => len == fixed,
        Framing::LengthDelimited { max } | Framing::UntilEnd { max } | Framing::Held { max } => len <= max,
        Framing::Raw => true,
    }
}

/// The other end's name of a stream that was not answered yet: streams are accepted in the order in which they are opened.
fn mirrored(stream: StreamId) -> StreamId {
    let count = stream.seq() / 2;
    if stream.is_inbound() {
        StreamId::ours(stream.conn, count)
    } else {
        StreamId::theirs(stream.conn, count)
    }
}
