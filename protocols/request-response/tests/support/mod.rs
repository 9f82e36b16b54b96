//! Two machines, or a machine and a puppet, on the bench.
#![allow(dead_code, reason = "each test file uses a part of it")]

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ProtocolName, StreamId};
use libp2p_proto_request_response::{
    Census, Config, Event, Failure, InboundFailure, InboundId, RequestId, RequestResponse, Spec,
};
use libp2p_proto_stream_protocol::{
    Closed, Framing, Input, StreamSpec, Target,
    bench::{Bench, Puppet},
};

pub(crate) const LATENCY: Duration = Duration::from_millis(10);
pub(crate) const NAME: ProtocolName = ProtocolName::from_static("/x/1");
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

pub(crate) fn node(specs: Vec<Spec>, config: Config) -> RequestResponse {
    RequestResponse::new(specs, config).unwrap()
}

/// Everything up to the end of the stream, 1 KiB each way.
pub(crate) fn until_end() -> Spec {
    Spec::until_end(NAME, 1024, 1024)
}

pub(crate) fn delimited() -> Spec {
    Spec::length_delimited(NAME, 1024, 1024)
}

pub(crate) fn chunks() -> Spec {
    Spec::chunks(NAME, 0..=64, 1..=64)
}

/// Machine 0 and machine 1, connected.
pub(crate) struct Pair {
    pub(crate) bench: Bench,
    pub(crate) a: RequestResponse,
    pub(crate) b: RequestResponse,
}

impl Pair {
    pub(crate) fn new(spec: Spec) -> Self {
        Self::with(vec![spec.clone()], vec![spec], Config::default())
    }

    pub(crate) fn with(a: Vec<Spec>, b: Vec<Spec>, config: Config) -> Self {
        let mut pair = Self {
            bench: Bench::new(1, 2, LATENCY),
            a: node(a, config.clone()),
            b: node(b, config),
        };
        pair.bench.connect(0, 1);
        pair.run(SECOND);
        pair
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.bench.run(&mut [&mut self.a, &mut self.b], time);
    }

    pub(crate) fn ask(&mut self, message: &str) -> RequestId {
        let peer = self.bench.peer(1);
        self.a
            .request(peer, 0, Bytes::copy_from_slice(message.as_bytes()))
            .unwrap()
    }

    /// What machine 1 was asked since the last look.
    pub(crate) fn asked(&mut self) -> Vec<(InboundId, Bytes)> {
        asked(&mut self.b)
    }

    /// Lets everything be answered with `re:` and the request.
    pub(crate) fn answer_all(&mut self) {
        self.run(LATENCY * 4);
        for (id, data) in self.asked() {
            self.b.respond(id, [b"re:", &data[..]].concat().into()).unwrap();
        }
        self.run(LATENCY * 4);
    }
}

pub(crate) fn asked(machine: &mut RequestResponse) -> Vec<(InboundId, Bytes)> {
    events(machine)
        .into_iter()
        .filter_map(|event| match event {
            Event::Request { id, data, .. } => Some((id, data)),
            _ => None,
        })
        .collect()
}

pub(crate) fn events(machine: &mut RequestResponse) -> Vec<Event> {
    core::iter::from_fn(|| machine.poll_event()).collect()
}

/// Responses and failures in one line each, for what is left of the events.
pub(crate) fn ends(machine: &mut RequestResponse) -> Vec<(RequestId, Result<Bytes, Failure>)> {
    events(machine)
        .into_iter()
        .filter_map(|event| match event {
            Event::Response { id, data, .. } => Some((id, Ok(data))),
            Event::Failed { id, failure, .. } => Some((id, Err(failure))),
            _ => None,
        })
        .collect()
}

pub(crate) fn inbound_ends(machine: &mut RequestResponse) -> Vec<(InboundId, Result<(), InboundFailure>)> {
    events(machine)
        .into_iter()
        .filter_map(|event| match event {
            Event::ResponseSent { id } => Some((id, Ok(()))),
            Event::InboundFailed { id, failure } => Some((id, Err(failure))),
            _ => None,
        })
        .collect()
}

pub(crate) fn is_idle(machine: &RequestResponse) -> bool {
    machine.census() == Census::default()
}

/// A machine at node 0 and a puppet, which sees and sends the bytes themselves, at node 1.
pub(crate) struct Wire {
    pub(crate) bench: Bench,
    pub(crate) machine: RequestResponse,
    pub(crate) puppet: Puppet,
    pub(crate) conn: libp2p_proto_core::ConnectionId,
}

impl Wire {
    pub(crate) fn new(spec: Spec) -> Self {
        Self::with(spec, Config::default())
    }

    pub(crate) fn with(spec: Spec, config: Config) -> Self {
        let name = spec.name().clone();
        let mut bench = Bench::new(1, 2, LATENCY);
        let conn = bench.connect(0, 1);
        let mut wire = Self {
            bench,
            conn,
            machine: node(vec![spec], config),
            puppet: Puppet::new(StreamSpec {
                max_inbound: 1000,
                max_outbound: 20_000,
                send_capacity: 1 << 30,
                ..StreamSpec::new(name, Framing::Raw)
            }),
        };
        wire.run(SECOND);
        wire
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.bench.run(&mut [&mut self.machine, &mut self.puppet], time);
    }

    pub(crate) fn ask(&mut self, message: impl Into<Bytes>) -> (RequestId, StreamId) {
        let before = self.puppet.opened().len();
        let id = self
            .machine
            .request(self.bench.peer(1), 0, message.into())
            .unwrap();
        self.run(LATENCY * 4);
        (id, self.puppet.opened()[before])
    }

    /// The puppet opens a stream.
    pub(crate) fn open(&mut self) -> StreamId {
        let conn = self.conn;
        let stream = self
            .bench
            .with(1, &self.puppet, |cx| cx.open(Target::Connection(conn), &[0]))
            .unwrap();
        self.run(LATENCY * 4);
        stream
    }

    pub(crate) fn say(&mut self, stream: StreamId, bytes: &[u8]) {
        self.bench
            .with(1, &self.puppet, |cx| {
                cx.write(stream, Bytes::copy_from_slice(bytes))
            })
            .unwrap();
    }

    pub(crate) fn finish(&mut self, stream: StreamId) {
        self.bench.with(1, &self.puppet, |cx| cx.finish(stream));
    }

    pub(crate) fn reset(&mut self, stream: StreamId) {
        self.bench.with(1, &self.puppet, |cx| cx.reset(stream));
    }

    /// What the puppet received on a stream.
    pub(crate) fn heard(&self, stream: StreamId) -> Vec<u8> {
        self.puppet.frames(stream).concat()
    }

    pub(crate) fn saw_finish(&self, stream: StreamId) -> bool {
        self.puppet.inputs.contains(&Input::Finished { stream })
    }

    /// How the puppet saw a stream end.
    pub(crate) fn end_of(&self, stream: StreamId) -> Option<Closed> {
        self.puppet.inputs.iter().find_map(|input| match input {
            Input::Closed {
                stream: closed,
                reason,
            } if *closed == stream => Some(*reason),
            _ => None,
        })
    }

    /// The puppet asks: sends `bytes` on a new stream and finishes.
    pub(crate) fn request(&mut self, bytes: &[u8]) -> StreamId {
        let stream = self.open();
        self.say(stream, bytes);
        self.finish(stream);
        self.run(LATENCY * 4);
        stream
    }
}
