//! Servers and clients in virtual time, and peers that the test speaks for.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(
    clippy::large_types_passed_by_value,
    reason = "a test builds a configuration and hands it over"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_autonat::{
    Autonat, ClientConfig, Config, DIAL_BACK, DIAL_REQUEST, Event, Serve, ServerConfig, V1,
    wire::{v1, v2},
};
use libp2p_proto_core::{ConnectionId, DialId, Multiaddr, PeerId, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{
    Closed, Context, DialError, Fact, Framing, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};
use serde_json::Value;
use std::{collections::BTreeMap, fs};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const V1_SPEC: u8 = 0;
pub(crate) const V2_SPEC: u8 = 1;
pub(crate) const BACK_SPEC: u8 = 2;

pub(crate) fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

pub(crate) fn bytes(addr: &Multiaddr) -> Bytes {
    Bytes::copy_from_slice(addr.as_bytes())
}

pub(crate) fn listed(addrs: &[&str]) -> Vec<Bytes> {
    addrs.iter().map(|text| bytes(&addr(text))).collect()
}

/// The vectors of this crate.
pub(crate) fn vectors() -> Value {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/vectors/autonat/messages.json"
    );
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// The bytes of the vector with this name.
pub(crate) fn vector(name: &str) -> Vec<u8> {
    let all = vectors();
    let mut found = all["messages"].as_array().unwrap().iter();
    let found = found.find(|vector| vector["name"] == name).unwrap();
    unhex(found["bytes"].as_str().unwrap())
}

pub(crate) fn serving(server: ServerConfig) -> Config {
    Config {
        client: None,
        server: Some(ServerConfig {
            when: Serve::Always,
            ..server
        }),
        ..Config::default()
    }
}

pub(crate) fn asking(client: ClientConfig) -> Config {
    Config {
        client: Some(client),
        server: None,
        ..Config::default()
    }
}

pub(crate) fn specs() -> Vec<StreamSpec> {
    let spec = |name: ProtocolName| StreamSpec {
        max_inbound: 1000,
        max_outbound: 1000,
        on_limited: true,
        ..StreamSpec::new(name, Framing::LengthDelimited { max: 1 << 20 })
    };
    [V1, DIAL_REQUEST, DIAL_BACK].map(spec).into()
}

/// A server, and peers that ask it: the one of node 1 from 203.0.113.5, the one of node 2 from 203.0.113.6, and so on.
pub(crate) struct Scene {
    pub(crate) bench: Bench,
    pub(crate) server: Autonat,
    pub(crate) peers: Vec<Puppet>,
    pub(crate) conns: Vec<ConnectionId>,
}

impl Scene {
    pub(crate) fn new(config: Config, peers: usize) -> Self {
        Self::from_addrs(
            config,
            &(0..peers)
                .map(|index| format!("/ip4/203.0.113.{}/tcp/55555", index + 5))
                .collect::<Vec<_>>(),
        )
    }

    pub(crate) fn from_addrs(config: Config, remotes: &[String]) -> Self {
        let mut bench = Bench::new(1, remotes.len() + 1, 10 * MS);
        let server = Autonat::new(config).unwrap();
        let conns = remotes
            .iter()
            .enumerate()
            .map(|(index, remote)| bench.connect_from(0, index + 1, addr(remote)));
        let conns = conns.collect();
        let peers = remotes.iter().map(|_| Puppet::with_specs(specs())).collect();
        let mut scene = Self {
            bench,
            server,
            peers,
            conns,
        };
        scene.run(SECOND);
        scene
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let mut nodes: Vec<&mut dyn Protocol> = vec![&mut self.server];
        nodes.extend(self.peers.iter_mut().map(|peer| peer as &mut dyn Protocol));
        self.bench.run(&mut nodes, time);
    }

    pub(crate) fn with<R>(&mut self, peer: usize, act: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.bench.with(peer, &self.peers[peer - 1], act)
    }

    /// Opens a stream of this peer to the server.
    pub(crate) fn open(&mut self, peer: usize, spec: u8) -> StreamId {
        let conn = self.conns[peer - 1];
        let stream = self
            .with(peer, |cx| cx.open(Target::Connection(conn), &[spec]))
            .unwrap();
        self.run(50 * MS);
        stream
    }

    pub(crate) fn write(&mut self, peer: usize, stream: StreamId, frame: Vec<u8>) {
        let _refused = self.with(peer, |cx| cx.write(stream, frame));
        self.run(50 * MS);
    }

    /// Asks with version 1 on a new stream.
    pub(crate) fn ask_v1(&mut self, peer: usize, addrs: &[&str]) -> StreamId {
        let message = v1::Message::Dial {
            peer: None,
            addrs: listed(addrs),
        };
        let stream = self.open(peer, V1_SPEC);
        self.write(peer, stream, message.encode());
        stream
    }

    /// Asks with version 2 on a new stream, under nonce 7.
    pub(crate) fn ask_v2(&mut self, peer: usize, addrs: Vec<Bytes>) -> StreamId {
        let stream = self.open(peer, V2_SPEC);
        self.write(
            peer,
            stream,
            v2::Message::DialRequest { addrs, nonce: 7 }.encode(),
        );
        stream
    }

    /// What came back on a stream.
    pub(crate) fn frames(&self, peer: usize, stream: StreamId) -> Vec<Bytes> {
        self.peers[peer - 1].frames(stream)
    }

    /// The status of the one answer of version 1, and its address.
    pub(crate) fn v1_answer(&self, peer: usize, stream: StreamId) -> Option<(v1::Status, Option<Bytes>)> {
        let frames = self.frames(peer, stream);
        assert!(frames.len() <= 1, "one answer");
        let message = v1::Message::decode(frames.first()?, 0).unwrap();
        let v1::Message::Response { status, addr, .. } = message else {
            panic!("no answer: {message:?}")
        };
        Some((status, addr))
    }

    /// The last message of version 2.
    pub(crate) fn v2_answer(&self, peer: usize, stream: StreamId) -> Option<v2::Message> {
        let frames = self.frames(peer, stream);
        frames.last().map(|frame| v2::Message::decode(frame, 0).unwrap())
    }

    pub(crate) fn finished(&self, peer: usize, stream: StreamId) -> bool {
        self.peers[peer - 1].inputs.contains(&Input::Finished { stream })
    }

    pub(crate) fn closed(&self, peer: usize, stream: StreamId) -> Option<Closed> {
        self.peers[peer - 1].inputs.iter().find_map(|input| match input {
            Input::Closed {
                stream: closed,
                reason,
            } if *closed == stream => Some(*reason),
            _ => None,
        })
    }

    /// What the server has dialed, as text.
    pub(crate) fn dialed(&self) -> Vec<String> {
        let dials = self.bench.dials(0).iter();
        dials
            .flat_map(|dial| dial.addrs.iter().map(ToString::to_string))
            .collect()
    }

    pub(crate) fn fail(&mut self, dial: u64) {
        let (dial, peer) = (DialId::new(dial), None);
        let error = DialError::TimedOut;
        self.bench.inject(0, Input::DialFailed { dial, peer, error });
        self.run(50 * MS);
    }

    /// The dial with this number succeeds.
    pub(crate) fn succeed(&mut self, dial: u64, peer: usize) -> ConnectionId {
        let conn = self.bench.succeed(0, DialId::new(dial), peer);
        self.run(50 * MS);
        conn
    }

    /// Pays so many bytes in messages of this size.
    pub(crate) fn pay(&mut self, peer: usize, stream: StreamId, mut left: usize, size: usize) {
        while left > 0 {
            let data = vec![1; left.min(size)].into();
            self.write(peer, stream, v2::Message::DialDataResponse { data }.encode());
            left -= left.min(size);
        }
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.server.poll_event()).collect()
    }
}

/// How a server of the test answers.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// Nothing.
    Nothing,
    /// These frames.
    Frames(Vec<Vec<u8>>),
    /// It brings the nonce, and says so.
    Reached,
    /// Version 2: it could not reach the first address.
    NotReached,
}

/// A server that does as the test says.
pub(crate) struct Script {
    specs: Vec<StreamSpec>,
    pub(crate) says: Says,
    /// The questions, with the time of each.
    pub(crate) asked: Vec<(Duration, Bytes)>,
    /// Everything that came on streams of ours, and how they ended.
    pub(crate) inputs: Vec<Input>,
    nonces: BTreeMap<StreamId, u64>,
}

impl Script {
    pub(crate) fn new(says: Says) -> Self {
        Self {
            specs: specs(),
            says,
            asked: Vec::new(),
            inputs: Vec::new(),
            nonces: BTreeMap::new(),
        }
    }

    /// The last question's stream.
    pub(crate) fn opened(&self) -> StreamId {
        let mut all = self.inputs.iter().rev().filter_map(|input| match input {
            Input::Opened { stream, .. } if stream.is_inbound() => Some(*stream),
            _ => None,
        });
        all.next().unwrap()
    }

    fn answer(&mut self, cx: &mut Context<'_>, stream: StreamId, frame: &Bytes) {
        let is_v1 =
            v1::Message::decode(frame, 0).is_ok_and(|message| matches!(message, v1::Message::Dial { .. }));
        let frames = match &self.says {
            Says::Nothing => return,
            Says::Frames(frames) => frames.clone(),
            Says::Reached if is_v1 => vec![v1::Message::answer(v1::Status::Ok, None).encode()],
            Says::NotReached if is_v1 => vec![v1::Message::answer(v1::Status::DialError, None).encode()],
            Says::NotReached => vec![v2::Message::dialed(0, v2::DialStatus::DialError).encode()],
            Says::Reached => {
                let Ok(v2::Message::DialRequest { nonce, .. }) = v2::Message::decode(frame, 50) else {
                    return;
                };
                let back = cx.open(Target::Connection(stream.conn), &[BACK_SPEC]).unwrap();
                self.nonces.insert(back, nonce);
                vec![v2::Message::dialed(0, v2::DialStatus::Ok).encode()]
            }
        };
        for frame in frames {
            let _refused = cx.write(stream, frame);
        }
        cx.finish(stream);
    }
}

impl Protocol for Script {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match &input {
            Input::Frame { stream, data } if stream.is_inbound() => {
                let now = Duration::from_nanos(cx.now.as_nanos());
                self.asked.push((now, data.clone()));
                if self.asked.len() == 1
                    || v2::Message::decode(data, 0).is_ok()
                    || v1::Message::decode(data, 0).is_ok()
                {
                    self.answer(cx, *stream, data);
                }
            }
            Input::Opened { stream, .. } if !stream.is_inbound() => {
                if let Some(nonce) = self.nonces.get(stream) {
                    cx.write(*stream, v2::DialBack { nonce: *nonce }.encode())
                        .unwrap();
                    cx.finish(*stream);
                }
            }
            _ => {}
        }
        self.inputs.push(input);
    }
}

/// A client, and servers that do as the test says: the one of node 1 at 198.1.0.1, the one of node 2 at 198.2.0.1, and so on.
pub(crate) struct Net {
    pub(crate) bench: Bench,
    pub(crate) client: Autonat,
    pub(crate) servers: Vec<Script>,
    pub(crate) conns: Vec<ConnectionId>,
}

pub(crate) fn remote(index: usize) -> String {
    format!("/ip4/198.{index}.0.1/tcp/4001")
}

impl Net {
    /// A client that asks when it is told to.
    pub(crate) fn manual(says: &[Says]) -> Self {
        let config = ClientConfig {
            automatic: false,
            ..ClientConfig::default()
        };
        Self::new(config, says)
    }

    pub(crate) fn new(config: ClientConfig, says: &[Says]) -> Self {
        let remotes: Vec<_> = (1..=says.len()).map(remote).collect();
        Self::at(asking(config), says, &remotes)
    }

    pub(crate) fn at(config: Config, says: &[Says], remotes: &[String]) -> Self {
        let mut bench = Bench::new(1, says.len() + 1, 10 * MS);
        let conns = (1..)
            .zip(remotes)
            .map(|(index, remote)| bench.connect_from(0, index, addr(remote)));
        let conns = conns.collect();
        let mut net = Self {
            client: Autonat::new(config).unwrap(),
            servers: says.iter().cloned().map(Script::new).collect(),
            bench,
            conns,
        };
        for index in 1..=says.len() {
            net.offer(index, &[V1, DIAL_REQUEST]);
        }
        net.run(MS);
        net
    }

    pub(crate) fn peer(&self, index: usize) -> PeerId {
        self.bench.peer(index)
    }

    /// The peer of this node says what it speaks.
    pub(crate) fn offer(&mut self, index: usize, names: &[ProtocolName]) {
        let mut protocols = names.to_vec();
        protocols.sort();
        let fact = Fact::PeerProtocols {
            peer: self.bench.peer(index),
            protocols: protocols.into(),
        };
        self.bench.inject(0, Input::Fact(fact));
    }

    /// Others see us at this address.
    pub(crate) fn seen_at(&mut self, text: &str) {
        let confirmed = false;
        let addr = addr(text);
        self.bench
            .inject(0, Input::Fact(Fact::ExternalAddress { addr, confirmed }));
        self.run(MS);
    }

    pub(crate) fn listen(&mut self, text: &str, up: bool) {
        let addr = addr(text);
        self.bench
            .inject(0, Input::Fact(Fact::ListenAddress { addr, up }));
        self.run(MS);
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let mut nodes: Vec<&mut dyn Protocol> = vec![&mut self.client];
        nodes.extend(self.servers.iter_mut().map(|server| server as &mut dyn Protocol));
        self.bench.run(&mut nodes, time);
    }

    /// How often each server was asked.
    pub(crate) fn counts(&self) -> Vec<usize> {
        self.servers.iter().map(|server| server.asked.len()).collect()
    }

    /// When anybody was asked, in seconds.
    pub(crate) fn times(&self) -> Vec<u64> {
        let asked = self.servers.iter().flat_map(|server| &server.asked);
        let mut times: Vec<_> = asked.map(|(at, _)| at.as_secs()).collect();
        times.sort_unstable();
        times
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.client.poll_event()).collect()
    }
}
