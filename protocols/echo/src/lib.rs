#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use bytes::Bytes;
use libp2p_proto_core::{ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{Context, Framing, Input, Protocol, StreamSpec};

/// Sends back what arrives, as it arrives, and finishes after the sender did.
#[derive(Debug)]
pub struct Echo {
    specs: [StreamSpec; 1],
    waiting: BTreeMap<StreamId, VecDeque<Bytes>>,
    finished: BTreeSet<StreamId>,
}

impl Echo {
    /// An echo under this name.
    pub fn new(name: ProtocolName) -> Self {
        let specs = [StreamSpec {
            recv_window: 1 << 20,
            ..StreamSpec::new(name, Framing::Raw)
        }];
        Self {
            specs,
            waiting: BTreeMap::new(),
            finished: BTreeSet::new(),
        }
    }

    /// Sends what the stream takes. While something waits the stream is paused, so at most one receive window waits.
    fn pump(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let waiting = self.waiting.entry(stream).or_default();
        while let Some(data) = waiting.front() {
            if cx.write(stream, data.clone()).is_err() {
                return cx.pause(stream);
            }
            waiting.pop_front();
        }
        cx.resume(stream);
        if self.finished.remove(&stream) {
            cx.finish(stream);
        }
    }
}

impl Protocol for Echo {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Frame { stream, data } => {
                self.waiting.entry(stream).or_default().push_back(data);
                self.pump(cx, stream);
            }
            Input::Writable { stream } => self.pump(cx, stream),
            Input::Finished { stream } => {
                self.finished.insert(stream);
                self.pump(cx, stream);
            }
            Input::Closed { stream, .. } => {
                self.waiting.remove(&stream);
                self.finished.remove(&stream);
            }
            _ => {}
        }
    }
}
