#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod wire;

use alloc::{collections::BTreeSet, string::String, vec::Vec};
use core::fmt;
use libp2p_proto_core::{Deadline, PeerId, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{
    Closed, Context, EventQueue, Framing, Input, Protocol, StreamSpec, Target,
};
pub use wire::Answer;

/// `/libp2p/fetch/0.0.1`.
pub const NAME: ProtocolName = ProtocolName::from_static("/libp2p/fetch/0.0.1");

/// Asks peers for values, and answers out of `lookup`.
pub struct Fetch {
    specs: [StreamSpec; 1],
    lookup: fn(&str) -> Option<Vec<u8>>,
    wishes: Vec<(PeerId, String)>,
    asked: BTreeSet<StreamId>,
    events: EventQueue<(PeerId, Answer)>,
}

impl Fetch {
    /// Answers every key out of `lookup`; at most 1 MiB a value and 256 events that wait.
    pub fn new(lookup: fn(&str) -> Option<Vec<u8>>) -> Self {
        let framing = Framing::LengthDelimited { max: 1 << 20 };
        let specs = [StreamSpec {
            lazy: true,
            send_capacity: 1 << 20,
            ..StreamSpec::new(NAME, framing)
        }];
        Self {
            specs,
            lookup,
            wishes: Vec::new(),
            asked: BTreeSet::new(),
            events: EventQueue::new(256),
        }
    }

    /// Asks a connected peer for the value of `key`; one event follows.
    pub fn fetch(&mut self, peer: PeerId, key: &str) {
        self.wishes.push((peer, key.into()));
    }

    /// The oldest answer.
    pub fn poll_event(&mut self) -> Option<(PeerId, Answer)> {
        self.events.pop()
    }

    fn ask(&mut self, cx: &mut Context<'_>, peer: PeerId, key: &str) {
        let stream = cx.open(Target::Peer(peer), &[0]).ok();
        match stream.filter(|stream| cx.write(*stream, wire::request(key)).is_ok()) {
            Some(stream) => drop(self.asked.insert(stream)),
            None => drop(
                self.events
                    .push(cx.seq, (peer, Answer::Failed(Closed::ConnectionLost))),
            ),
        }
    }

    fn settle(&mut self, cx: &Context<'_>, stream: StreamId, answer: Answer) {
        if let (true, Some(peer)) = (self.asked.remove(&stream), cx.peer_of(stream)) {
            drop(self.events.push(cx.seq, (peer, answer)));
        }
    }
}

impl Protocol for Fetch {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Timeout => {
                for (peer, key) in core::mem::take(&mut self.wishes) {
                    self.ask(cx, peer, &key);
                }
            }
            Input::Frame { stream, data } if stream.is_inbound() => {
                let answer = wire::read_request(&data).map(self.lookup);
                if answer.is_none_or(|value| cx.write(stream, wire::response(value.as_deref())).is_err()) {
                    return cx.reset(stream);
                }
                cx.finish(stream);
            }
            Input::Frame { stream, data } => {
                self.settle(
                    cx,
                    stream,
                    wire::read_response(&data).unwrap_or(Answer::Failed(Closed::Malformed)),
                );
                cx.finish(stream);
            }
            Input::Closed { stream, reason } => self.settle(cx, stream, Answer::Failed(reason)),
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        (!self.wishes.is_empty()).then(|| Deadline::now("command"))
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetch({} asked)", self.asked.len())
    }
}
