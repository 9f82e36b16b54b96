//! The machine alone: the nearest peers of its table, an answer written and read, and a whole lookup among machines in memory.
//!
//! Whole nodes beside those of libp2p-kad: `libp2p-proto-bench kad`. What libp2p-kad has of these parts is not public.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

use criterion::{BatchSize, Criterion, criterion_group};
use libp2p_proto_core::{Multiaddr, PeerId, ProtocolName, Rng};
use libp2p_proto_kad::{Config, Contact, Event, Kad, Key, Message, MessageType, Mode, Validators};
use libp2p_proto_stream_protocol::{Fact, Input, Protocol, bench::Bench};
use std::{hint::black_box, time::Duration};

const NAME: ProtocolName = ProtocolName::from_static("/bench/kad/1.0.0");
const LATENCY: Duration = Duration::from_millis(1);

fn answer(c: &mut Criterion) {
    let mut group = c.benchmark_group("kad-answer");
    let mut dice = Rng::from_seed([1; 32]);
    let mut answer = Message::new(MessageType::FindNode, bytes::Bytes::new());
    for number in 0..20 {
        answer.closer.push(Contact {
            peer: PeerId::random(&mut dice),
            addrs: vec![
                Multiaddr::tcp([10, 0, 0, number].into(), 4001),
                Multiaddr::tcp([203, 0, 113, number].into(), 4001),
            ],
        });
    }
    let encoded = answer.encode();
    group.bench_function("of twenty peers, written", |b| {
        b.iter(|| black_box(&answer).encode());
    });
    group.bench_function("of twenty peers, read", |b| {
        b.iter(|| Message::decode(black_box(&encoded), 16_384, 100).unwrap());
    });
    group.finish();
}

/// Machines that are all connected, of which each is told at once what the others speak.
struct Crowd {
    bench: Bench,
    kads: Vec<Kad>,
}

impl Crowd {
    fn new(count: usize) -> Self {
        let mut dice = Rng::from_seed([2; 32]);
        let peers: Vec<PeerId> = (0..count).map(|_| PeerId::random(&mut dice)).collect();
        let config = Config {
            mode: Mode::Server,
            ..Config::private(NAME, Validators::none())
        };
        let kads = peers.iter().map(|peer| Kad::new(*peer, config.clone()).unwrap());
        let mut crowd = Self {
            bench: Bench::with_peers(1, &peers, LATENCY),
            kads: kads.collect(),
        };
        for from in 0..count {
            for to in 0..from {
                crowd.bench.connect(from, to);
            }
        }
        for (node, _) in peers.iter().enumerate() {
            for (_, peer) in peers.iter().enumerate().filter(|(other, _)| *other != node) {
                let (peer, protocols) = (*peer, vec![NAME].into());
                crowd
                    .bench
                    .inject(node, Input::Fact(Fact::PeerProtocols { peer, protocols }));
            }
        }
        crowd.run(Duration::from_secs(30));
        crowd
    }

    fn run(&mut self, time: Duration) {
        let mut all: Vec<&mut dyn Protocol> =
            self.kads.iter_mut().map(|kad| kad as &mut dyn Protocol).collect();
        self.bench.run(&mut all, time);
    }

    /// One lookup to its end, and what came of it.
    fn look_up(&mut self, node: usize, key: [u8; 32]) -> usize {
        let query = self.kads[node].closest_peers(key.to_vec()).unwrap();
        self.run(Duration::from_millis(100));
        while let Some(event) = self.kads[node].poll_event() {
            if let Event::Finished {
                query: ended, effort, ..
            } = event
            {
                assert_eq!(ended, query);
                return effort.answered;
            }
        }
        0
    }
}

fn machines(c: &mut Criterion) {
    let mut group = c.benchmark_group("kad-lookup");
    let mut dice = Rng::from_seed([3; 32]);
    for count in [2, 10, 40] {
        let mut crowd = Crowd::new(count);
        assert!(crowd.look_up(0, dice.bytes32()) > 0);
        group.bench_function(format!("among {count} machines"), |b| {
            b.iter_batched(
                || dice.bytes32(),
                |key| assert!(crowd.look_up(0, key) > 0),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    let mut group = c.benchmark_group("kad-table");
    let crowd = Crowd::new(120);
    group.bench_function(format!("twenty of {}", crowd.kads[0].census().table), |b| {
        b.iter_batched(
            || Key::from_raw(dice.bytes32()),
            |key| black_box(crowd.kads[0].nearest(&key, 20).len()),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, answer, machines);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
