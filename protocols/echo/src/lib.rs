#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

use alloc::collections::{BTreeMap, VecDeque};
use bytes::Bytes;
use libp2p_proto_core::{ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{Context, Framing, Input, Protocol, StreamSpec};

/// Sends back what arrives, as it arrives, and finishes after the sender did.
#[derive(Debug)]
pub struct Echo {
    specs: [StreamSpec; 1],
    pipes: BTreeMap<StreamId, Pipe>,
}

/// One stream: what waits to be sent back, and whether more will come.
#[derive(Debug, Default)]
struct Pipe {
    waiting: VecDeque<Bytes>,
    finished: bool,
}

impl Echo {
    /// An echo under this name.
    pub fn new(name: ProtocolName) -> Self {
        let mut spec = StreamSpec::new(name, Framing::Raw);
        spec.recv_window = 512 * 1024;
        let (specs, pipes) = ([spec], BTreeMap::new());
        Self { specs, pipes }
    }
}

impl Pipe {
    /// Sends what the stream takes. While something waits the stream is paused, so at most one receive window waits.
    fn pump(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        while let Some(data) = self.waiting.front() {
            if cx.write(stream, data.clone()).is_err() {
                return cx.pause(stream);
            }
            self.waiting.pop_front();
        }
        cx.resume(stream);
        if self.finished {
            cx.finish(stream);
        }
    }
}

impl Protocol for Echo {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        let Some(stream) = input.stream() else { return };
        let pipe = self.pipes.entry(stream).or_default();
        match input {
            Input::Frame { data, .. } => pipe.waiting.push_back(data),
            Input::Finished { .. } => pipe.finished = true,
            Input::Closed { .. } => return drop(self.pipes.remove(&stream)),
            _ => {}
        }
        pipe.pump(cx, stream);
    }
}
