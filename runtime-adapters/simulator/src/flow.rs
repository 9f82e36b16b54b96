//! A protocol that moves bytes and knows at both ends what they must be: what it delivers is a prefix of what was sent, in order, once (G2).

use crate::net::mix;
use bytes::{Bytes, BytesMut};
use libp2p_proto_core::{Deadline, PeerId, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{Closed, Context, Framing, Input, Protocol, StreamSpec, Target};
use std::collections::{BTreeMap, VecDeque};

/// What flows are called on the wire.
pub const FLOW: ProtocolName = ProtocolName::from_static("/simulator/flow/1");

/// Bytes of one write.
const WRITE: u64 = 16 * 1024;
/// Bytes of the number in front that says which bytes follow, and of the receipt at the end.
const NUMBER: usize = 8;

/// How a flow of ours ended. There is exactly one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What [`Flow::send`] answered.
    pub flow: u64,
    /// To whom.
    pub peer: PeerId,
    /// `Ok` if the peer has confirmed every byte.
    pub result: Result<(), Closed>,
}

#[derive(Debug)]
struct Sending {
    flow: u64,
    peer: PeerId,
    key: u64,
    total: u64,
    /// Bytes written, the number in front counted.
    sent: u64,
    finished: bool,
    receipt: BytesMut,
}

#[derive(Debug, Default)]
struct Receiving {
    head: BytesMut,
    key: u64,
    got: u64,
    finished: bool,
}

/// Sends and receives known bytes.
#[derive(Debug)]
pub struct Flow {
    specs: [StreamSpec; 1],
    wishes: VecDeque<(u64, PeerId, u64)>,
    sending: BTreeMap<StreamId, Sending>,
    receiving: BTreeMap<StreamId, Receiving>,
    outcomes: VecDeque<Outcome>,
    next: u64,
    reads: bool,
    reads_changed: bool,
    received: u64,
    wrong: Option<&'static str>,
}

impl Default for Flow {
    fn default() -> Self {
        Self::new()
    }
}

impl Flow {
    /// A protocol without flows.
    pub fn new() -> Self {
        Self {
            specs: [StreamSpec::new(FLOW, Framing::Raw)],
            wishes: VecDeque::new(),
            sending: BTreeMap::new(),
            receiving: BTreeMap::new(),
            outcomes: VecDeque::new(),
            next: 0,
            reads: true,
            reads_changed: false,
            received: 0,
            wrong: None,
        }
    }

    /// Sends so many bytes to a connected peer. One [`Outcome`] follows.
    pub fn send(&mut self, peer: PeerId, bytes: u64) -> u64 {
        let flow = self.next;
        self.next = self.next.saturating_add(1);
        self.wishes.push_back((flow, peer, bytes));
        flow
    }

    /// Whether received bytes are taken. `false`: the windows of all peers close.
    pub fn set_reads(&mut self, reads: bool) {
        self.reads_changed |= self.reads != reads;
        self.reads = reads;
    }

    /// The oldest outcome.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// Bytes received so far, all of them right.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// What was wrong with received bytes, if anything.
    pub const fn wrong(&self) -> Option<&'static str> {
        self.wrong
    }

    /// Flows that stand or wait.
    pub fn census(&self) -> usize {
        let streams = self.sending.len().saturating_add(self.receiving.len());
        streams.saturating_add(self.wishes.len())
    }

    fn begin(&mut self, cx: &mut Context<'_>) {
        while let Some((flow, peer, total)) = self.wishes.pop_front() {
            let Ok(stream) = cx.open(Target::Peer(peer), &[0]) else {
                let result = Err(Closed::ConnectionLost);
                self.outcomes.push_back(Outcome { flow, peer, result });
                continue;
            };
            let sending = Sending {
                flow,
                peer,
                key: cx.rng.next_u64(),
                total,
                sent: 0,
                finished: false,
                receipt: BytesMut::new(),
            };
            self.sending.insert(stream, sending);
            self.write(cx, stream);
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(sending) = self.sending.get_mut(&stream) else {
            return;
        };
        if sending.sent == 0 {
            let head = Bytes::copy_from_slice(&sending.key.to_le_bytes());
            if cx.write(stream, head).is_err() {
                return;
            }
            sending.sent = NUMBER as u64;
        }
        loop {
            let done = sending.sent.saturating_sub(NUMBER as u64);
            let left = sending.total.saturating_sub(done).min(WRITE);
            if left == 0 {
                break;
            }
            let bytes: Vec<u8> = (done..done.saturating_add(left))
                .map(|at| byte(sending.key, at))
                .collect();
            if cx.write(stream, bytes).is_err() {
                return;
            }
            sending.sent = sending.sent.saturating_add(left);
        }
        if !core::mem::replace(&mut sending.finished, true) {
            cx.finish(stream);
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, stream: StreamId, data: &Bytes) {
        if let Some(sending) = self.sending.get_mut(&stream) {
            sending.receipt.extend_from_slice(data);
            return;
        }
        let Some(receiving) = self.receiving.get_mut(&stream) else {
            self.wrong = Some("bytes on a stream that is not open");
            return;
        };
        let missing = NUMBER.saturating_sub(receiving.head.len()).min(data.len());
        let (head, body) = data.split_at(missing);
        receiving.head.extend_from_slice(head);
        if let Ok(key) = <[u8; NUMBER]>::try_from(&receiving.head[..]) {
            receiving.key = u64::from_le_bytes(key);
        }
        for found in body {
            if *found != byte(receiving.key, receiving.got) {
                self.wrong = Some("received bytes are not those that were sent");
            }
            receiving.got = receiving.got.saturating_add(1);
        }
        self.received = self.received.saturating_add(body.len() as u64);
        if !self.reads {
            cx.pause(stream);
        }
    }

    /// The other side has sent everything.
    fn finished(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        if let Some(sending) = self.sending.get(&stream) {
            let receipt = <[u8; NUMBER]>::try_from(&sending.receipt[..]).map(u64::from_le_bytes);
            let result = if receipt.ok() == Some(sending.total) {
                Ok(())
            } else {
                Err(Closed::UnexpectedEnd)
            };
            if result.is_err() {
                cx.reset(stream);
            }
            self.end(stream, result);
            return;
        }
        if let Some(receiving) = self.receiving.get_mut(&stream) {
            receiving.finished = true;
            self.receipt(cx, stream);
        }
    }

    fn receipt(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(receiving) = self.receiving.get(&stream).filter(|receiving| receiving.finished) else {
            return;
        };
        let receipt = Bytes::copy_from_slice(&receiving.got.to_le_bytes());
        if cx.write(stream, receipt).is_ok() {
            cx.finish(stream);
        }
    }

    fn end(&mut self, stream: StreamId, result: Result<(), Closed>) {
        self.receiving.remove(&stream);
        if let Some(Sending { flow, peer, .. }) = self.sending.remove(&stream) {
            self.outcomes.push_back(Outcome { flow, peer, result });
        }
    }
}

/// The byte of a flow at a place.
const fn byte(key: u64, at: u64) -> u8 {
    let word = mix(key.wrapping_add(at / 8));
    let shift = (at % 8).wrapping_mul(8);
    ((word >> shift) & 0xff) as u8
}

impl Protocol for Flow {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Opened { stream, .. } if stream.is_inbound() => {
                self.receiving.insert(stream, Receiving::default());
            }
            Input::Opened { stream, .. } | Input::Writable { stream } => {
                self.write(cx, stream);
                self.receipt(cx, stream);
            }
            Input::Frame { stream, data } => self.read(cx, stream, &data),
            Input::Finished { stream } => self.finished(cx, stream),
            Input::Closed { stream, reason } => self.end(stream, Err(reason)),
            Input::Timeout => {
                self.begin(cx);
                if core::mem::take(&mut self.reads_changed) {
                    for stream in self.receiving.keys() {
                        if self.reads {
                            cx.resume(*stream);
                        } else {
                            cx.pause(*stream);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let due = !self.wishes.is_empty() || self.reads_changed;
        due.then(|| Deadline::now("command"))
    }
}
