//! Points and clients in virtual time, and peers that follow a script.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Deadline, Multiaddr, PeerId, StreamId};
use libp2p_proto_identity::{Dialect, Identity, Keypair, PeerRecord};
use libp2p_proto_rendezvous::{Config, Event, Message, NAME, Registration, Rendezvous};
use libp2p_proto_stream_protocol::{
    Context, Fact, Framing, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};
use serde_json::Value;
use std::fs;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const POINT: usize = 0;

pub(crate) fn identity(index: usize) -> Identity {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&(index as u64 + 1).to_le_bytes());
    Identity::from(Keypair::ed25519_from_seed(seed))
}

pub(crate) fn addr(index: usize) -> Multiaddr {
    format!("/ip4/203.0.{}.{}/tcp/4001", index / 250, index % 250 + 1)
        .parse()
        .unwrap()
}

/// A signed record of the node with this index.
pub(crate) fn record(index: usize, seq: u64, addrs: &[Multiaddr]) -> Bytes {
    record_as(Dialect::Deployed, index, seq, addrs)
}

pub(crate) fn record_as(dialect: Dialect, index: usize, seq: u64, addrs: &[Multiaddr]) -> Bytes {
    let identity = identity(index);
    let record = PeerRecord::new(identity.peer_id(), seq, addrs.to_vec());
    record.seal_as(dialect, &identity).unwrap()
}

pub(crate) fn registration(namespace: &str, record: Bytes, ttl: Option<u64>) -> Registration {
    Registration {
        namespace: namespace.into(),
        record,
        ttl,
    }
}

/// `REGISTER` of the node with this index.
pub(crate) fn register(index: usize, namespace: &str) -> Message {
    Message::Register(registration(
        namespace,
        record(index, 1, &[addr(index)]),
        Some(7200),
    ))
}

pub(crate) fn discover(namespace: &str, limit: Option<u64>, cookie: &Bytes) -> Message {
    Message::Discover {
        namespace: namespace.into(),
        limit,
        cookie: cookie.clone(),
    }
}

/// The vectors of a file.
pub(crate) fn vectors() -> Value {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/vectors/rendezvous/messages.json"
    );
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// The bytes of the vector with this name.
pub(crate) fn vector(name: &str) -> Vec<u8> {
    let all = vectors();
    let lists = ["envelopes", "messages"].iter();
    let mut found = lists.flat_map(|list| all[*list].as_array().unwrap());
    let found = found.find(|vector| vector["name"] == name);
    unhex(found.unwrap()["bytes"].as_str().unwrap())
}

/// Streams of a peer that the test speaks for.
pub(crate) fn puppet_spec() -> StreamSpec {
    StreamSpec::new(NAME, Framing::LengthDelimited { max: 1 << 20 })
}

/// A point, and peers of it that the test speaks for.
pub(crate) struct Scene {
    pub(crate) bench: Bench,
    pub(crate) point: Rendezvous,
    pub(crate) peers: Vec<Puppet>,
}

impl Scene {
    pub(crate) fn new(config: Config, peers: usize) -> Self {
        let ids: Vec<PeerId> = (0..=peers).map(|index| identity(index).peer_id()).collect();
        let mut bench = Bench::with_peers(1, &ids, Duration::from_millis(10));
        let config = Config {
            serve: true,
            ..config
        };
        let point = Rendezvous::new(identity(POINT), config).unwrap();
        for peer in 1..=peers {
            bench.connect(peer, POINT);
        }
        let spec = puppet_spec();
        let peers = (0..peers).map(|_| Puppet::new(spec.clone())).collect();
        let mut scene = Self { bench, point, peers };
        scene.run(SECOND);
        scene
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let mut nodes: Vec<&mut dyn Protocol> = vec![&mut self.point];
        nodes.extend(self.peers.iter_mut().map(|peer| peer as &mut dyn Protocol));
        self.bench.run(&mut nodes, time);
    }

    pub(crate) fn peer(&self, index: usize) -> PeerId {
        self.bench.peer(index)
    }

    /// Opens a stream of this peer to the point.
    pub(crate) fn open(&mut self, peer: usize) -> StreamId {
        let target = Target::Peer(self.bench.peer(POINT));
        let stream = self
            .bench
            .with(peer, &self.peers[peer - 1], |cx| cx.open(target, &[0]))
            .unwrap();
        self.run(Duration::from_millis(100));
        stream
    }

    pub(crate) fn write(&mut self, peer: usize, stream: StreamId, data: Vec<u8>) {
        let wrote = self
            .bench
            .with(peer, &self.peers[peer - 1], |cx| cx.write(stream, data));
        wrote.unwrap();
    }

    /// Sends these bytes of a peer as one request, and answers everything that came back and whether the stream ended in order.
    pub(crate) fn send(&mut self, peer: usize, request: &[u8]) -> (Vec<u8>, bool) {
        let stream = self.open(peer);
        self.write(peer, stream, request.to_vec());
        self.run(Duration::from_millis(100));
        let puppet = &self.peers[peer - 1];
        let frames = puppet.frames(stream);
        assert!(frames.len() <= 1, "one frame, nothing behind it");
        let data = frames.concat();
        let finished = puppet.inputs.contains(&Input::Finished { stream });
        let place = &self.peers[peer - 1];
        self.bench.with(peer, place, |cx| cx.finish(stream));
        self.run(Duration::from_millis(100));
        (data, finished)
    }

    /// Asks the point for one answer.
    pub(crate) fn ask(&mut self, peer: usize, request: &Message) -> Message {
        let (data, finished) = self.send(peer, &request.encode());
        assert!(finished, "the point ends its side after its answer");
        Message::decode(&data, 1000).unwrap()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.point.poll_event()).collect()
    }
}

/// The peers of an answer to `DISCOVER`, and its cookie.
pub(crate) fn found(answer: Message) -> (Vec<Registration>, Bytes) {
    let Message::DiscoverResponse {
        status,
        registrations,
        cookie,
    } = answer
    else {
        panic!("no answer to a question: {answer:?}");
    };
    assert_eq!(status, libp2p_proto_rendezvous::Status::Ok);
    (registrations, cookie)
}

type Script = Box<dyn FnMut(Message) -> Option<Vec<u8>>>;

/// A point that answers by script; `None` ends the stream without an answer.
pub(crate) struct Fake {
    specs: [StreamSpec; 1],
    script: Script,
    pub(crate) asked: Vec<Message>,
}

impl Fake {
    pub(crate) fn new(script: impl FnMut(Message) -> Option<Vec<u8>> + 'static) -> Self {
        Self {
            specs: [StreamSpec::new(NAME, Framing::LengthDelimited { max: 1 << 19 })],
            script: Box::new(script),
            asked: Vec::new(),
        }
    }
}

impl Protocol for Fake {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }
    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        if let Input::Frame { stream, data } = input {
            let message = Message::decode(&data, 1000).unwrap();
            self.asked.push(message.clone());
            if let Some(answer) = (self.script)(message) {
                let _gone_is_fine = cx.write(stream, answer);
            }
            cx.finish(stream);
        }
    }
    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

/// A client that is connected to a scripted point and has a confirmed address.
pub(crate) struct Pair {
    pub(crate) bench: Bench,
    pub(crate) client: Rendezvous,
    pub(crate) point: Fake,
}

impl Pair {
    pub(crate) fn new(config: Config, script: impl FnMut(Message) -> Option<Vec<u8>> + 'static) -> Self {
        let ids = [0, 1].map(|index| identity(index).peer_id());
        let mut bench = Bench::with_peers(1, &ids, Duration::from_millis(10));
        bench.connect(1, POINT);
        let mut pair = Self {
            bench,
            client: Rendezvous::new(identity(1), config).unwrap(),
            point: Fake::new(script),
        };
        pair.learn(addr(1), true);
        pair.run(SECOND);
        pair
    }

    pub(crate) fn learn(&mut self, addr: Multiaddr, confirmed: bool) {
        let fact = Fact::ExternalAddress { addr, confirmed };
        self.bench.inject(1, Input::Fact(fact));
    }

    pub(crate) fn id(&self) -> PeerId {
        self.bench.peer(POINT)
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.bench.run(&mut [&mut self.point, &mut self.client], time);
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }
}

/// An answer that grants.
#[expect(clippy::unnecessary_wraps, reason = "what a script may do")]
pub(crate) fn granted(ttl: Option<u64>) -> Option<Vec<u8>> {
    let status = libp2p_proto_rendezvous::Status::Ok;
    Some(Message::RegisterResponse { status, ttl }.encode())
}

/// An answer that refuses.
#[expect(clippy::unnecessary_wraps, reason = "what a script may do")]
pub(crate) fn refused(status: libp2p_proto_rendezvous::Status) -> Option<Vec<u8>> {
    Some(Message::RegisterResponse { status, ttl: None }.encode())
}

/// An answer that names these.
#[expect(clippy::unnecessary_wraps, reason = "what a script may do")]
pub(crate) fn named(registrations: Vec<Registration>, cookie: &[u8]) -> Option<Vec<u8>> {
    let answer = Message::DiscoverResponse {
        status: libp2p_proto_rendezvous::Status::Ok,
        registrations,
        cookie: Bytes::copy_from_slice(cookie),
    };
    Some(answer.encode())
}
