//! A router among puppets that say what the test wants, in virtual time.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking, and each uses a part of this"
)]

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, PeerId, StreamId};
use libp2p_proto_gossipsub::{
    Config, Event, Gossipsub, Level, Message, MessageId, ScoreConfig, Topic, TopicScoreParams, Verdict,
    WireLimits, preimage,
    wire::{Control, IHave, Prune, Rpc, Subscription},
};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{
    Framing, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};

pub const LATENCY: Duration = Duration::from_millis(1);

pub fn identity(seed: u64) -> Identity {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Identity::from(Keypair::ed25519_from_seed(bytes))
}

pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|place| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).unwrap())
        .collect()
}

pub fn id(number: u64) -> MessageId {
    MessageId::from(number.to_be_bytes().to_vec())
}

pub fn t() -> Topic {
    Topic::from("t")
}

/// Node 0 is the router; puppet `i` is node `i + 1`.
pub struct Rig {
    pub bench: Bench,
    pub router: Gossipsub,
    pub puppets: Vec<Puppet>,
    pub identities: Vec<Identity>,
    pub conns: Vec<Option<ConnectionId>>,
    pub streams: Vec<Option<StreamId>>,
    read: Vec<usize>,
    pub events: Vec<Event>,
}

impl Rig {
    /// A router and `count` puppets, none connected.
    pub fn apart(count: usize, config: Config) -> Self {
        Self::seeded(1, count, config)
    }

    pub fn seeded(seed: u8, count: usize, config: Config) -> Self {
        let identities: Vec<Identity> = (0..=count as u64).map(identity).collect();
        let peers: Vec<PeerId> = identities.iter().map(Identity::peer_id).collect();
        let router = Gossipsub::new(identities[0].clone(), config).unwrap();
        let specs: Vec<StreamSpec> = router.specs().iter().map(loose).collect();
        Self {
            bench: Bench::with_peers(seed, &peers, LATENCY),
            router,
            puppets: (0..count).map(|_| Puppet::with_specs(specs.clone())).collect(),
            identities,
            conns: vec![None; count],
            streams: vec![None; count],
            read: vec![0; count],
            events: Vec::new(),
        }
    }

    /// All puppets connected to the router, with a stream to it.
    pub fn new(count: usize, config: Config) -> Self {
        let mut rig = Self::apart(count, config);
        for puppet in 0..count {
            rig.connect(puppet);
        }
        rig.run(10);
        for puppet in 0..count {
            rig.open(puppet);
        }
        rig.run(10);
        rig
    }

    /// The fixture F(n) of the list: subscribed to `t`, as all puppets are.
    pub fn subscribed(count: usize, config: Config) -> Self {
        let mut rig = Self::new(count, config);
        rig.router.subscribe("t").unwrap();
        rig.run(5);
        for puppet in 0..count {
            rig.say(puppet, &subscribe("t", true));
        }
        rig.run(5);
        rig
    }

    pub fn connect(&mut self, puppet: usize) {
        self.conns[puppet] = Some(self.bench.connect(puppet + 1, 0));
    }

    /// The router dials.
    pub fn connect_out(&mut self, puppet: usize) {
        self.conns[puppet] = Some(self.bench.connect(0, puppet + 1));
    }

    pub fn disconnect(&mut self, puppet: usize) {
        if let Some(conn) = self.conns[puppet].take() {
            self.bench.disconnect(conn);
        }
        self.streams[puppet] = None;
        self.run(5);
    }

    /// The puppet opens its stream, offering all names.
    pub fn open(&mut self, puppet: usize) {
        let all: Vec<u8> = (0..self.router.specs().len() as u8).collect();
        self.open_as(puppet, &all);
    }

    pub fn open_as(&mut self, puppet: usize, specs: &[u8]) {
        let conn = self.conns[puppet].unwrap();
        let stream = self.bench.with(puppet + 1, &self.puppets[puppet], |cx| {
            cx.open(Target::Connection(conn), specs)
        });
        self.streams[puppet] = stream.ok();
        self.run(5);
    }

    /// Connects a puppet that speaks nothing newer than `level`, and opens its stream.
    pub fn join_as(&mut self, puppet: usize, level: Level) {
        let newest = match level {
            Level::V13 => 0,
            Level::V12 => 1,
            Level::V11 => 2,
            Level::V10 => 3,
            Level::Flood => 4,
        };
        let specs: Vec<StreamSpec> = self.router.specs()[newest..].iter().map(loose).collect();
        let all: Vec<u8> = (0..specs.len() as u8).collect();
        self.puppets[puppet] = Puppet::with_specs(specs);
        self.connect(puppet);
        self.run(5);
        self.open_as(puppet, &all);
    }

    pub fn peer(&self, puppet: usize) -> PeerId {
        self.identities[puppet + 1].peer_id()
    }

    pub fn run(&mut self, millis: u64) {
        self.run_for(Duration::from_millis(millis));
    }

    pub fn run_for(&mut self, time: Duration) {
        let mut protocols: Vec<&mut dyn Protocol> = vec![&mut self.router];
        for puppet in &mut self.puppets {
            protocols.push(puppet);
        }
        self.bench.run(&mut protocols, time);
        while let Some(event) = self.router.poll_event() {
            self.events.push(event);
        }
    }

    pub fn write(&mut self, puppet: usize, bytes: impl Into<Bytes>) {
        let stream = self.streams[puppet].unwrap();
        let _refused_is_fine = self.bench.with(puppet + 1, &self.puppets[puppet], |cx| {
            cx.write(stream, bytes.into())
        });
    }

    /// Says something, and lets it arrive.
    pub fn say(&mut self, puppet: usize, rpc: &Rpc) {
        self.write(puppet, rpc.encode());
        self.run(2);
    }

    pub fn say_hex(&mut self, puppet: usize, body: &str) {
        self.write(puppet, unhex(body));
        self.run(2);
    }

    /// What a puppet heard since it was asked last.
    pub fn heard(&mut self, puppet: usize) -> Vec<Rpc> {
        self.run(2);
        let frames: Vec<Bytes> = self.puppets[puppet].inputs[self.read[puppet]..]
            .iter()
            .filter_map(|input| match input {
                Input::Frame { data, .. } => Some(data.clone()),
                _ => None,
            })
            .collect();
        self.read[puppet] = self.puppets[puppet].inputs.len();
        let limits = WireLimits {
            ids: 1 << 20,
            ..WireLimits::default()
        };
        frames
            .iter()
            .map(|frame| Rpc::decode(frame, &limits).unwrap())
            .collect()
    }

    /// Frees what a puppet heard.
    pub fn forget_inputs(&mut self, puppet: usize) {
        self.puppets[puppet].inputs = Vec::new();
        self.read[puppet] = 0;
    }

    /// Forgets what all puppets heard, and what the application was told.
    pub fn hush(&mut self) {
        for puppet in 0..self.puppets.len() {
            self.heard(puppet);
        }
        self.events.clear();
    }

    /// The control that a puppet heard, in one.
    pub fn control(&mut self, puppet: usize) -> Control {
        let mut all = Control::default();
        for control in self.heard(puppet).into_iter().filter_map(|rpc| rpc.control) {
            all.ihave.extend(control.ihave);
            all.iwant.extend(control.iwant);
            all.graft.extend(control.graft);
            all.prune.extend(control.prune);
            all.idontwant.extend(control.idontwant);
            all.extensions = all.extensions.or(control.extensions);
            all.choke.extend(control.choke);
            all.unchoke.extend(control.unchoke);
        }
        all
    }

    pub fn messages(&mut self, puppet: usize) -> Vec<Message> {
        self.heard(puppet)
            .into_iter()
            .flat_map(|rpc| rpc.publish)
            .collect()
    }

    pub fn mesh(&self, topic: &str) -> Vec<usize> {
        let mesh: Vec<PeerId> = self.router.mesh_of(&Topic::from(topic)).copied().collect();
        (0..self.puppets.len())
            .filter(|puppet| mesh.contains(&self.peer(*puppet)))
            .collect()
    }

    /// Runs to just after the next heartbeat of a router with an interval of a second.
    pub fn heartbeat(&mut self) {
        let before = self.router.stats().heartbeats;
        while self.router.stats().heartbeats == before {
            self.run(1);
        }
        self.run(5);
    }

    /// A message signed by a puppet.
    pub fn message(&self, author: usize, seqno: u64, topic: &str, data: &[u8]) -> Message {
        signed(&self.identities[author + 1], seqno, topic, data)
    }

    /// What the application was told of messages: their data.
    pub fn delivered(&self) -> Vec<Bytes> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Message { message, .. } => message.data.clone(),
                _ => None,
            })
            .collect()
    }
}

pub fn signed(author: &Identity, seqno: u64, topic: &str, data: &[u8]) -> Message {
    let mut message = Message {
        from: Some(Bytes::copy_from_slice(author.peer_id().as_bytes())),
        data: Some(Bytes::copy_from_slice(data)),
        seqno: Some(Bytes::copy_from_slice(&seqno.to_be_bytes())),
        topic: Some(Topic::from(topic)),
        ..Message::default()
    };
    message.signature = Some(author.sign(&preimage(&message)).unwrap().into());
    if author.peer_id().inline_key().is_none() {
        message.key = Some(Bytes::copy_from_slice(author.public_key().encode()));
    }
    message
}

/// The id that go's function gives a message.
pub fn go_id(message: &Message) -> MessageId {
    MessageId::from([message.from.clone().unwrap(), message.seqno.clone().unwrap()].concat())
}

fn loose(spec: &StreamSpec) -> StreamSpec {
    StreamSpec {
        max_inbound: 64,
        on_limited: true,
        max_outbound: 64,
        send_capacity: 64 << 20,
        recv_window: 64 << 20,
        ..StreamSpec::new(spec.name.clone(), Framing::LengthDelimited { max: 16 << 20 })
    }
}

pub fn subscribe(topic: &str, subscribe: bool) -> Rpc {
    Rpc {
        subscriptions: vec![Subscription::new(Topic::from(topic), subscribe)],
        ..Rpc::default()
    }
}

pub fn publish(message: Message) -> Rpc {
    Rpc {
        publish: vec![message],
        ..Rpc::default()
    }
}

pub fn with_control(control: Control) -> Rpc {
    Rpc {
        control: Some(control),
        ..Rpc::default()
    }
}

pub fn graft(topics: &[&str]) -> Rpc {
    with_control(Control {
        graft: topics.iter().map(|topic| Topic::from(*topic)).collect(),
        ..Control::default()
    })
}

pub fn prune(topic: &str, backoff: Option<u64>) -> Rpc {
    with_control(Control {
        prune: vec![Prune {
            topic: Topic::from(topic),
            peers: vec![],
            backoff,
        }],
        ..Control::default()
    })
}

pub fn ihave(topic: &str, ids: Vec<MessageId>) -> Rpc {
    with_control(Control {
        ihave: vec![IHave {
            topic: Topic::from(topic),
            ids,
        }],
        ..Control::default()
    })
}

pub fn iwant(ids: Vec<MessageId>) -> Rpc {
    with_control(Control {
        iwant: vec![ids],
        ..Control::default()
    })
}

pub fn idontwant(ids: Vec<MessageId>) -> Rpc {
    with_control(Control {
        idontwant: vec![ids],
        ..Control::default()
    })
}

/// Like [`quiet`], with scores.
pub fn scored() -> Config {
    Config {
        score: Some(ScoreConfig {
            behaviour_decay: 0.999,
            ..ScoreConfig::default()
        }),
        ..quiet()
    }
}

/// Gives a puppet this score of the application.
pub fn rate(rig: &mut Rig, puppet: usize, score: f64) {
    let peer = rig.peer(puppet);
    rig.router.set_app_score(peer, score).unwrap();
    rig.run(1);
}

/// No flood publish, so that meshes and fanouts show.
pub fn quiet() -> Config {
    Config {
        flood_publish: false,
        ..Config::default()
    }
}

pub fn level(config: Config, level: Level) -> Config {
    config.up_to(level)
}

/// With scores in which invalid messages and behaviour count, and little else.
pub fn blamed() -> Config {
    let topic = TopicScoreParams {
        invalid_weight: -1.0,
        invalid_decay: 0.999,
        first_deliveries_weight: 0.001,
        ..TopicScoreParams::default()
    };
    Config {
        score: Some(ScoreConfig {
            other_topics: Some(topic),
            behaviour_weight: -10.0,
            behaviour_decay: 0.999,
            ..ScoreConfig::default()
        }),
        ..quiet()
    }
}

pub fn anonymous(data: &[u8]) -> Message {
    Message {
        data: Some(Bytes::copy_from_slice(data)),
        topic: Some(t()),
        ..Message::default()
    }
}

/// Like [`blamed`]; the application judges each message.
pub fn judged() -> Config {
    Config {
        validate: true,
        ..blamed()
    }
}

pub fn verdict(rig: &mut Rig, message: &Message, verdict: Verdict) {
    rig.router.report(go_id(message), verdict).unwrap();
    rig.run(2);
}
