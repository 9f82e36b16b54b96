//! Nodes in virtual time: machines under test, peers that follow a script, and the dials and introductions between them.
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
use libp2p_proto_core::{ConnectionId, Deadline, DialId, Instant, Multiaddr, PeerId, ProtocolName, StreamId};
use libp2p_proto_kad::{
    AnyValue, Config, Contact, Event, Kad, Message, MessageType, Mode, Outcome, QueryError, QueryId,
    Validators,
};
use libp2p_proto_stream_protocol::{
    Context, DialError, Fact, Framing, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const NAME: ProtocolName = ProtocolName::from_static("/test/kad/1.0.0");
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const LATENCY: Duration = Duration::from_millis(10);

/// A network of any addresses, where `/x/` takes any value.
pub(crate) fn private() -> Config {
    Config {
        mode: Mode::Server,
        ..Config::private(NAME, Validators::public().with("x", AnyValue))
    }
}

pub(crate) fn spec(max_inbound: u16) -> StreamSpec {
    StreamSpec {
        max_inbound,
        send_capacity: 8 << 20,
        ..StreamSpec::new(NAME, Framing::LengthDelimited { max: 4 << 20 })
    }
}

#[expect(clippy::large_enum_variant, reason = "a reply is made and used at once")]
/// What a scripted peer does with a request.
pub(crate) enum Reply {
    Message(Message),
    Frames(Vec<Vec<u8>>),
    Reset,
    Finish,
    Silence,
}

type Script = Box<dyn FnMut(PeerId, &Message) -> Reply>;

/// A peer that answers by script.
pub(crate) struct Fake {
    specs: [StreamSpec; 1],
    script: Script,
    /// Whether a second request on a stream is answered with a reset.
    pub(crate) once: bool,
    /// How long it takes to answer.
    pub(crate) delay: Duration,
    later: Vec<(Instant, StreamId, Reply)>,
    /// Who asked what, on which stream.
    pub(crate) asked: Vec<(PeerId, StreamId, Message)>,
}

impl Fake {
    pub(crate) fn new(script: impl FnMut(PeerId, &Message) -> Reply + 'static) -> Self {
        Self {
            specs: [spec(64)],
            script: Box::new(script),
            once: false,
            delay: Duration::ZERO,
            later: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// The same, slower.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn reply(cx: &mut Context<'_>, stream: StreamId, reply: Reply) {
        match reply {
            Reply::Message(message) => {
                let _gone = cx.write(stream, message.encode());
            }
            Reply::Frames(frames) => {
                for frame in frames {
                    let _gone = cx.write(stream, frame);
                }
            }
            Reply::Reset => cx.reset(stream),
            Reply::Finish => cx.finish(stream),
            Reply::Silence => {}
        }
    }

    /// Answers with these peers, whatever is asked.
    pub(crate) fn naming(contacts: Vec<Contact>) -> Self {
        Self::new(move |_, request| {
            let mut answer = Message::new(request.kind, Bytes::new());
            answer.closer.clone_from(&contacts);
            Reply::Message(answer)
        })
    }

    pub(crate) fn silent() -> Self {
        Self::new(|_, _| Reply::Silence)
    }

    pub(crate) fn kinds(&self) -> Vec<MessageType> {
        self.asked.iter().map(|(_, _, message)| message.kind).collect()
    }
}

impl Protocol for Fake {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Frame { stream, data } if stream.is_inbound() => {
                let peer = cx.peer_of(stream).unwrap();
                let request = Message::decode(&data, 4 << 20, 1000).unwrap();
                let again = self.asked.iter().any(|(_, known, _)| *known == stream);
                self.asked.push((peer, stream, request.clone()));
                if self.once && again {
                    cx.reset(stream);
                    return;
                }
                let reply = (self.script)(peer, &request);
                if self.delay.is_zero() {
                    Self::reply(cx, stream, reply);
                } else {
                    self.later.push((cx.now + self.delay, stream, reply));
                }
            }
            Input::Timeout => {
                while self.later.first().is_some_and(|(at, ..)| *at <= cx.now) {
                    let (_, stream, reply) = self.later.remove(0);
                    Self::reply(cx, stream, reply);
                }
            }
            Input::Finished { stream } => cx.finish(stream),
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.later.first().map(|(at, ..)| Deadline::new(*at, "script"))
    }
}

pub(crate) enum Node {
    Kad(Box<Kad>),
    Fake(Fake),
    Puppet(Puppet),
}

impl Node {
    fn protocol(&mut self) -> &mut dyn Protocol {
        match self {
            Self::Kad(kad) => &mut **kad,
            Self::Fake(fake) => fake,
            Self::Puppet(puppet) => puppet,
        }
    }
}

pub(crate) struct Net {
    pub(crate) bench: Bench,
    pub(crate) nodes: Vec<Node>,
    /// Where each node is; a dial elsewhere fails.
    pub(crate) addrs: Vec<Multiaddr>,
    /// Nodes that no dial reaches.
    pub(crate) down: BTreeSet<usize>,
    /// Nodes that do not say that they speak the protocol.
    pub(crate) shy: BTreeSet<usize>,
    ids: Vec<PeerId>,
    places: BTreeMap<PeerId, usize>,
    dialed: Vec<usize>,
    conns: Vec<(usize, usize, ConnectionId)>,
}

/// An address of a network of its own.
pub(crate) fn addr(index: usize) -> Multiaddr {
    let low = u8::try_from(index % 250).unwrap();
    let high = u8::try_from(index / 250).unwrap();
    Multiaddr::tcp([60 + high, low, 1, 1].into(), 4001)
}

pub(crate) fn peer(index: usize) -> PeerId {
    PeerId::from_encoded_key(format!("peer number {index} of the test network").as_bytes())
}

pub(crate) fn contact(index: usize) -> Contact {
    Contact {
        peer: peer(index),
        addrs: vec![addr(index)],
    }
}

impl Net {
    pub(crate) fn new(seed: u8, nodes: Vec<Node>) -> Self {
        let ids = (0..nodes.len()).map(peer).collect();
        Self::with_ids(seed, ids, nodes)
    }

    pub(crate) fn with_ids(seed: u8, ids: Vec<PeerId>, nodes: Vec<Node>) -> Self {
        let mut net = Self {
            bench: Bench::with_peers(seed, &ids, LATENCY),
            places: ids.iter().copied().zip(0..).collect(),
            ids,
            addrs: (0..nodes.len()).map(addr).collect(),
            down: BTreeSet::new(),
            shy: BTreeSet::new(),
            dialed: vec![0; nodes.len()],
            conns: Vec::new(),
            nodes,
        };
        for index in 0..net.nodes.len() {
            let addr = net.addrs[index].clone();
            net.bench
                .inject(index, Input::Fact(Fact::ListenAddress { addr, up: true }));
        }
        net
    }

    /// Machines only, all with this configuration.
    pub(crate) fn of(seed: u8, count: usize, config: &Config) -> Self {
        let kad = |index| Node::Kad(Box::new(Kad::new(peer(index), config.clone()).unwrap()));
        Self::new(seed, (0..count).map(kad).collect())
    }

    pub(crate) fn with(config: Config, others: Vec<Node>) -> Self {
        let mut nodes = vec![Node::Kad(Box::new(Kad::new(peer(0), config).unwrap()))];
        nodes.extend(others);
        Self::new(1, nodes)
    }

    pub(crate) fn kad(&mut self, index: usize) -> &mut Kad {
        match &mut self.nodes[index] {
            Node::Kad(kad) => kad,
            _ => panic!("node {index} is no machine"),
        }
    }

    pub(crate) fn fake(&mut self, index: usize) -> &mut Fake {
        match &mut self.nodes[index] {
            Node::Fake(fake) => fake,
            _ => panic!("node {index} has no script"),
        }
    }

    pub(crate) fn puppet(&mut self, index: usize) -> &mut Puppet {
        match &mut self.nodes[index] {
            Node::Puppet(puppet) => puppet,
            _ => panic!("node {index} is no puppet"),
        }
    }

    /// Connects two nodes and introduces them to each other, as identify does.
    pub(crate) fn connect(&mut self, dialer: usize, listener: usize) -> ConnectionId {
        let remote = self.addrs[listener].clone();
        let conn = self.bench.connect_from(dialer, listener, remote);
        self.conns.push((dialer, listener, conn));
        for (one, other) in [(dialer, listener), (listener, dialer)] {
            self.introduce(one, other);
        }
        conn
    }

    /// Tells `to` what `about` says of itself.
    pub(crate) fn introduce(&mut self, to: usize, about: usize) {
        let serves = match &self.nodes[about] {
            Node::Kad(kad) => kad.is_serving(),
            _ => true,
        } && !self.shy.contains(&about);
        self.tell_protocols(to, about, serves);
        let addrs = [self.addrs[about].clone()].into();
        let peer = self.ids[about];
        let certified = false;
        self.bench.inject(
            to,
            Input::Fact(Fact::PeerAddresses {
                peer,
                addrs,
                certified,
            }),
        );
    }

    pub(crate) fn tell_protocols(&mut self, to: usize, about: usize, serves: bool) {
        let protocols = if serves { vec![NAME] } else { vec![] }.into();
        let peer = self.ids[about];
        self.bench
            .inject(to, Input::Fact(Fact::PeerProtocols { peer, protocols }));
    }

    pub(crate) fn tell(&mut self, to: usize, fact: Fact) {
        self.bench.inject(to, Input::Fact(fact));
    }

    /// Cuts all connections of a node.
    pub(crate) fn isolate(&mut self, index: usize) {
        for (one, other, conn) in std::mem::take(&mut self.conns) {
            if one == index || other == index {
                self.bench.disconnect(conn);
            } else {
                self.conns.push((one, other, conn));
            }
        }
    }

    /// Makes the dials that nodes asked for; answers whether there were any.
    fn dial(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.nodes.len() {
            let dials: Vec<_> = self
                .bench
                .dials(index)
                .iter()
                .skip(self.dialed[index])
                .cloned()
                .collect();
            for dial in dials {
                any = true;
                self.dialed[index] += 1;
                let number = u64::try_from(self.dialed[index]).unwrap();
                let wanted = dial.peer.unwrap();
                let target = self.places.get(&wanted).copied();
                let reached = target.filter(|target| {
                    let there = &self.addrs[*target];
                    !self.down.contains(target) && (dial.addrs.is_empty() || dial.addrs.contains(there))
                });
                match reached {
                    Some(target) => {
                        self.connect(index, target);
                    }
                    None => self.bench.inject(
                        index,
                        Input::DialFailed {
                            dial: DialId::new(number),
                            peer: dial.peer,
                            error: DialError::TimedOut,
                        },
                    ),
                }
            }
        }
        any
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.bench.now() + time;
        // Over hours nothing is measured in milliseconds.
        let longest = Duration::from_millis(if time > SECOND * 900 { 2000 } else { 20 });
        loop {
            let step = until.since(self.bench.now()).min(longest);
            let mut protocols: Vec<&mut dyn Protocol> = self.nodes.iter_mut().map(Node::protocol).collect();
            self.bench.run(&mut protocols, step);
            if !self.dial() && self.bench.now() >= until {
                return;
            }
        }
    }

    /// Runs until a query of a node ends.
    pub(crate) fn end(&mut self, index: usize, query: QueryId) -> Result<Outcome, QueryError> {
        for _ in 0..9000 {
            while let Some(event) = self.kad(index).poll_event() {
                if let Event::Finished {
                    query: ended, result, ..
                } = event
                {
                    if ended == query {
                        return result;
                    }
                }
            }
            self.run(Duration::from_millis(20));
        }
        panic!("{query:?} does not end");
    }

    /// Every node comes to know a few others, and walks.
    pub(crate) fn join(&mut self) {
        for index in 1..self.nodes.len() {
            self.connect(index, index / 2);
            self.connect(index, 0);
            self.run(Duration::from_millis(100));
        }
        self.run(SECOND * 20);
        for index in 0..self.nodes.len() {
            if let Node::Kad(kad) = &mut self.nodes[index] {
                kad.refresh();
            }
        }
        self.run(SECOND * 40);
    }

    pub(crate) fn events(&mut self, index: usize) -> Vec<Event> {
        let kad = self.kad(index);
        std::iter::from_fn(|| kad.poll_event()).collect()
    }

    /// A stream of a puppet to a node.
    pub(crate) fn open(&mut self, from: usize, to: usize) -> StreamId {
        let Node::Puppet(puppet) = &self.nodes[from] else {
            panic!("node {from} is no puppet")
        };
        let target = Target::Peer(self.ids[to]);
        let stream = self.bench.with(from, puppet, |cx| cx.open(target, &[0])).unwrap();
        self.run(LATENCY * 3);
        stream
    }

    pub(crate) fn write(&mut self, from: usize, stream: StreamId, frame: impl Into<Bytes>) {
        let Node::Puppet(puppet) = &self.nodes[from] else {
            panic!("node {from} is no puppet")
        };
        let frame = frame.into();
        self.bench
            .with(from, puppet, |cx| cx.write(stream, frame))
            .unwrap();
    }

    /// What a puppet asks on a new stream, and every frame that comes back within a second.
    pub(crate) fn ask(&mut self, from: usize, to: usize, frame: impl Into<Bytes>) -> Vec<Bytes> {
        let stream = self.open(from, to);
        self.write(from, stream, frame);
        self.run(SECOND);
        if let Node::Puppet(puppet) = &self.nodes[from] {
            self.bench.with(from, puppet, |cx| cx.reset(stream));
        }
        self.run(LATENCY * 3);
        self.heard(from, stream)
    }

    pub(crate) fn heard(&mut self, puppet: usize, stream: StreamId) -> Vec<Bytes> {
        let frames = self.puppet(puppet).inputs.iter().filter_map(|input| match input {
            Input::Frame { stream: on, data } if *on == stream => Some(data.clone()),
            _ => None,
        });
        frames.collect()
    }

    /// Whether a puppet's stream was ended by the other side's reset.
    pub(crate) fn was_reset(&mut self, puppet: usize, stream: StreamId) -> bool {
        let closed = |input: &Input| {
            matches!(input, Input::Closed { stream: on, reason } if *on == stream
                && *reason == libp2p_proto_stream_protocol::Closed::Reset)
        };
        self.puppet(puppet).inputs.iter().any(closed)
    }
}

pub(crate) fn puppet() -> Node {
    Node::Puppet(Puppet::new(spec(64)))
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Answers like a server that knows all of these: with the `k` nearest to what is asked for.
pub(crate) fn oracle(
    all: std::ops::RangeInclusive<usize>,
    k: usize,
) -> impl FnMut(PeerId, &Message) -> Reply + 'static {
    oracle_of(all.map(contact).collect(), k)
}

/// The same with contacts of the caller's.
pub(crate) fn oracle_of(all: Vec<Contact>, k: usize) -> impl FnMut(PeerId, &Message) -> Reply + 'static {
    let all: Vec<_> = all
        .into_iter()
        .map(|contact| (libp2p_proto_kad::Key::of_peer(&contact.peer), contact))
        .collect();
    move |_, request| {
        if request.kind == MessageType::AddProvider {
            return Reply::Silence;
        }
        let target = libp2p_proto_kad::Key::of(&request.key);
        let mut near: Vec<_> = all.iter().collect();
        near.sort_by_cached_key(|(key, _)| target.distance(key));
        let mut answer = Message::new(request.kind, Bytes::new());
        answer.closer = near
            .into_iter()
            .take(k)
            .map(|(_, contact)| contact.clone())
            .collect();
        Reply::Message(answer)
    }
}
