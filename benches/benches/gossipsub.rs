//! The router alone: a heartbeat among many peers and topics, and a message received, verified and passed on.
//!
//! Beside libp2p-gossipsub it is measured with everything below it, since that verifies signatures in its codec: `libp2p-proto-bench gossip`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark measures time and fails by panicking"
)]

use criterion::{Criterion, criterion_group};
use libp2p_proto_core::{Deadline, PeerId, StreamId};
use libp2p_proto_gossipsub::{
    Config, Gossipsub, Topic,
    wire::{Control, Rpc, Subscription},
};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{
    Context, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};
use std::time::{Duration, Instant};

const LATENCY: Duration = Duration::from_millis(1);
const BEAT: Duration = Duration::from_secs(1);

/// A router whose time is taken: of its timers, or of the frames that it hears.
struct Timed {
    router: Gossipsub,
    frames: bool,
    spent: Duration,
}

impl Protocol for Timed {
    fn specs(&self) -> &[StreamSpec] {
        self.router.specs()
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        let counts = match &input {
            Input::Timeout => !self.frames,
            Input::Frame { .. } => self.frames,
            _ => false,
        };
        let begin = Instant::now();
        self.router.handle(cx, input);
        if counts {
            self.spent += begin.elapsed();
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.router.poll_timeout()
    }
}

fn identity(number: usize) -> Identity {
    let mut seed = [0; 32];
    seed.iter_mut()
        .zip(number.to_le_bytes())
        .for_each(|(to, from)| *to = from);
    Identity::from(Keypair::ed25519_from_seed(seed))
}

/// A router among puppets.
struct Rig {
    bench: Bench,
    timed: Timed,
    puppets: Vec<Puppet>,
    streams: Vec<StreamId>,
}

impl Rig {
    fn new(peers: usize, topics: &[Topic], config: Config) -> Self {
        let identities: Vec<Identity> = (0..=peers).map(identity).collect();
        let names: Vec<PeerId> = identities.iter().map(Identity::peer_id).collect();
        let mut router = Gossipsub::new(identities[0].clone(), config).unwrap();
        for topic in topics {
            router.subscribe(topic.clone()).unwrap();
        }
        let specs: Vec<StreamSpec> = router.specs().to_vec();
        let mut rig = Self {
            bench: Bench::with_peers(1, &names, LATENCY),
            timed: Timed {
                router,
                frames: false,
                spent: Duration::ZERO,
            },
            puppets: (0..peers).map(|_| Puppet::with_specs(specs.clone())).collect(),
            streams: Vec::new(),
        };
        let conns: Vec<_> = (1..=peers).map(|puppet| rig.bench.connect(puppet, 0)).collect();
        rig.run(Duration::from_millis(10));
        for (puppet, conn) in conns.into_iter().enumerate() {
            let opened = rig.bench.with(puppet + 1, &rig.puppets[puppet], |cx| {
                cx.open(Target::Connection(conn), &[0])
            });
            rig.streams.push(opened.unwrap());
        }
        rig.run(Duration::from_millis(10));
        rig
    }

    fn run(&mut self, time: Duration) {
        let mut all: Vec<&mut dyn Protocol> = vec![&mut self.timed];
        all.extend(self.puppets.iter_mut().map(|puppet| puppet as &mut dyn Protocol));
        self.bench.run(&mut all, time);
        while self.timed.router.poll_event().is_some() {}
        for puppet in &mut self.puppets {
            puppet.inputs.clear();
        }
    }

    fn say(&mut self, puppet: usize, rpc: &Rpc) {
        let stream = self.streams[puppet];
        let written = self.bench.with(puppet + 1, &self.puppets[puppet], |cx| {
            cx.write(stream, rpc.encode())
        });
        written.unwrap();
    }

    fn subscribe(&mut self, puppet: usize, topics: &[Topic]) {
        let subscriptions = topics.iter().map(|topic| Subscription::new(topic.clone(), true));
        let rpc = Rpc {
            subscriptions: subscriptions.collect(),
            ..Rpc::default()
        };
        self.say(puppet, &rpc);
    }

    fn beats(&mut self, count: u64, each: impl Fn(&mut Self)) -> Duration {
        self.timed.spent = Duration::ZERO;
        for _ in 0..count {
            each(self);
            self.run(BEAT);
        }
        self.timed.spent
    }
}

fn topics(count: usize, kind: &str) -> Vec<Topic> {
    (0..count)
        .map(|number| Topic::from(format!("{kind}-{number}").as_str()))
        .collect()
}

/// A node with 1 000 peers and 100 topics, all of which all peers subscribe to: with nothing to gossip about, with one new message in each topic, and with 100 more topics
/// for each peer that only the peers know.
fn heartbeat(c: &mut Criterion) {
    let mut group = c.benchmark_group("gossipsub-heartbeat");
    group.sample_size(10);
    let (own, foreign) = (topics(100, "own"), topics(100, "foreign"));
    let mut rig = Rig::new(1000, &own, Config::default());
    for puppet in 0..1000 {
        rig.subscribe(puppet, &own);
    }
    rig.run(5 * BEAT);
    group.bench_function("quiet", |b| b.iter_custom(|count| rig.beats(count, |_| {})));
    group.bench_function("a message in each topic", |b| {
        b.iter_custom(|count| {
            rig.beats(count, |rig| {
                for topic in &own {
                    rig.timed
                        .router
                        .publish(topic.clone(), vec![0; 64], false)
                        .unwrap();
                }
                // Publishing is not the heartbeat.
                let spent = rig.timed.spent;
                rig.run(Duration::from_millis(5));
                rig.timed.spent = spent;
            })
        });
    });
    for puppet in 0..1000 {
        rig.subscribe(puppet, &foreign);
    }
    rig.run(10 * BEAT);
    group.bench_function("quiet, with 100 topics of others", |b| {
        b.iter_custom(|count| rig.beats(count, |_| {}));
    });
    group.finish();
}

/// A signed message of 1 KiB from one of eight members of a mesh: decoded, verified, cached and queued for the others, then seven copies of it.
fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("gossipsub-forward");
    group.sample_size(10);
    let topic = topics(1, "own");
    let mut rig = Rig::new(8, &topic, Config::default());
    let graft = Rpc {
        control: Some(Control {
            graft: topic.clone(),
            ..Control::default()
        }),
        ..Rpc::default()
    };
    for puppet in 0..8 {
        rig.subscribe(puppet, &topic);
        rig.say(puppet, &graft);
    }
    rig.run(3 * BEAT);
    rig.timed.frames = true;
    let author = identity(1);
    let mut number = 0_u64;
    group.bench_function("received, verified, passed on, and seven copies", |b| {
        b.iter_custom(|count| {
            rig.timed.spent = Duration::ZERO;
            for _ in 0..count {
                number += 1;
                let rpc = signed(&author, &topic[0], number);
                for puppet in 0..8 {
                    rig.say(puppet, &rpc);
                }
                rig.run(Duration::from_millis(3));
            }
            rig.timed.spent
        });
    });
    assert!(rig.timed.router.stats().accepted >= number);
    group.finish();
}

fn signed(author: &Identity, topic: &Topic, number: u64) -> Rpc {
    let mut message = libp2p_proto_gossipsub::Message {
        data: Some(vec![0x5a; 1024].into()),
        topic: Some(topic.clone()),
        from: Some(author.peer_id().as_bytes().to_vec().into()),
        seqno: Some(number.to_be_bytes().to_vec().into()),
        ..Default::default()
    };
    let signature = author.sign(&libp2p_proto_gossipsub::preimage(&message)).unwrap();
    message.signature = Some(signature.into());
    Rpc {
        publish: vec![message],
        ..Rpc::default()
    }
}

criterion_group!(benches, heartbeat, forward);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
