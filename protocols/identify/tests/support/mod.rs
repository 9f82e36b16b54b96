//! Identify at node 0, and at node 1 either identify too or a puppet that says what the test wants.
#![allow(dead_code, reason = "each test file uses a part of it")]

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Multiaddr, PeerId, ProtocolName, StreamId};
use libp2p_proto_identify::{Config, Event, Failure, Identify, Message, NAME, PUSH_NAME, PeerInfo};
use libp2p_proto_identity::{Identity, Keypair, PeerRecord};
use libp2p_proto_stream_protocol::{
    Closed, Fact, Framing, Input, StreamSpec, Target,
    bench::{Bench, Puppet},
};

pub(crate) const LATENCY: Duration = Duration::from_millis(10);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// The key of the vectors.
pub(crate) fn vector_identity() -> Identity {
    let encoded = unhex(
        "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
    );
    Identity::from(Keypair::decode_protobuf(&encoded).unwrap())
}

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from(Keypair::ed25519_from_seed([seed; 32]))
}

pub(crate) fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> ProtocolName {
    ProtocolName::new(text).unwrap()
}

pub(crate) fn puppet() -> Puppet {
    let spec = |name| StreamSpec {
        max_inbound: 100,
        max_outbound: 1000,
        send_capacity: 1 << 20,
        ..StreamSpec::new(name, Framing::LengthDelimited { max: 1 << 20 })
    };
    Puppet::with_specs(vec![spec(NAME), spec(PUSH_NAME)])
}

pub(crate) fn events(machine: &mut Identify) -> Vec<Event> {
    core::iter::from_fn(|| machine.poll_event()).collect()
}

pub(crate) fn failures(machine: &mut Identify) -> Vec<Failure> {
    events(machine)
        .into_iter()
        .filter_map(|event| match event {
            Event::Failed { failure, .. } => Some(failure),
            _ => None,
        })
        .collect()
}

/// A machine at node 0 that asks and answers the puppet at node 1.
pub(crate) struct Scene {
    pub(crate) bench: Bench,
    pub(crate) machine: Identify,
    pub(crate) puppet: Puppet,
    pub(crate) peer: PeerId,
    pub(crate) them: Identity,
    pub(crate) conn: ConnectionId,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let (us, them) = (vector_identity(), identity(2));
        let peers = [us.peer_id(), them.peer_id()];
        let mut bench = Bench::with_peers(1, &peers, LATENCY);
        let machine = Identify::new(us, config).unwrap();
        let conn = bench.connect(0, 1);
        let mut scene = Self {
            bench,
            machine,
            puppet: puppet(),
            peer: peers[1],
            them,
            conn,
        };
        scene.run(LATENCY * 4);
        scene
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.bench.run(&mut [&mut self.machine, &mut self.puppet], time);
    }

    /// The stream on which the machine asks who we are.
    pub(crate) fn asked(&self) -> StreamId {
        *self.puppet.opened().last().unwrap()
    }

    pub(crate) fn say(&mut self, stream: StreamId, message: impl Into<Bytes>) {
        let message = message.into();
        self.bench
            .with(1, &self.puppet, |cx| cx.write(stream, message))
            .unwrap();
    }

    pub(crate) fn finish(&mut self, stream: StreamId) {
        self.bench.with(1, &self.puppet, |cx| cx.finish(stream));
        self.run(LATENCY * 4);
    }

    /// Answers the question of the machine, whole.
    pub(crate) fn answer(&mut self, messages: &[Message]) {
        let stream = self.asked();
        for message in messages {
            self.say(stream, message.encode());
        }
        self.finish(stream);
    }

    /// Opens a stream of spec 0 (identify) or 1 (push).
    pub(crate) fn open(&mut self, spec: u8) -> StreamId {
        let conn = self.conn;
        let opened = self
            .bench
            .with(1, &self.puppet, |cx| cx.open(Target::Connection(conn), &[spec]));
        self.run(LATENCY * 4);
        opened.unwrap()
    }

    /// Pushes messages on a stream of its own.
    pub(crate) fn push(&mut self, messages: &[Message]) -> StreamId {
        let stream = self.open(1);
        if self.end_of(stream).is_none() {
            for message in messages {
                self.say(stream, message.encode());
            }
            self.finish(stream);
        }
        stream
    }

    pub(crate) fn end_of(&self, stream: StreamId) -> Option<Closed> {
        self.puppet.inputs.iter().find_map(|input| match input {
            Input::Closed {
                stream: closed,
                reason,
            } if *closed == stream => Some(*reason),
            _ => None,
        })
    }

    pub(crate) fn saw_finish(&self, stream: StreamId) -> bool {
        self.puppet.inputs.contains(&Input::Finished { stream })
    }

    pub(crate) fn info(&self) -> &PeerInfo {
        self.machine.info(&self.peer).unwrap()
    }

    pub(crate) fn key(&self) -> Bytes {
        Bytes::copy_from_slice(self.them.public_key().encode())
    }

    /// A record that the puppet's key has signed.
    pub(crate) fn record(&self, seq: u64, addrs: &[&str]) -> Bytes {
        let addrs = addrs.iter().map(|text| addr(text)).collect();
        PeerRecord::new(self.peer, seq, addrs).seal(&self.them).unwrap()
    }

    /// What the machine tells to who asks it, merged.
    pub(crate) fn told(&mut self) -> (Message, usize) {
        let stream = self.open(0);
        self.run(LATENCY * 4);
        self.finish(stream);
        let frames = self.puppet.frames(stream);
        let mut message = Message::default();
        for frame in &frames {
            message.merge(frame, &Config::default()).unwrap();
        }
        (message, frames.len())
    }

    pub(crate) fn tell(&mut self, fact: Fact) {
        self.bench.inject(0, Input::Fact(fact));
        self.run(Duration::ZERO);
    }

    pub(crate) fn listen(&mut self, text: &str) {
        self.tell(Fact::ListenAddress {
            addr: addr(text),
            up: true,
        });
    }
}
