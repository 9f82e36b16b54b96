//! AutoNAT: a question, a piece of dial data, and a whole question of version 2 between two machines.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group};
use libp2p_proto_autonat::{Autonat, Config, Serve, ServerConfig, Version, wire::v2::Message};
use libp2p_proto_core::{DialId, Multiaddr};
use libp2p_proto_stream_protocol::bench::Bench;
use std::{hint::black_box, time::Duration};

const ADDR: &str = "/ip4/192.0.2.2/tcp/4001";

fn messages(c: &mut Criterion) {
    let addr: Multiaddr = ADDR.parse().unwrap();
    let question: Bytes = Message::DialRequest {
        addrs: vec![Bytes::copy_from_slice(addr.as_bytes())],
        nonce: 7,
    }
    .encode()
    .into();
    let data: Bytes = Message::DialDataResponse {
        data: vec![0; 4000].into(),
    }
    .encode()
    .into();
    let mut group = c.benchmark_group("autonat-read");
    for (name, message) in [("question", question), ("dial data", data)] {
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(name, |b| b.iter(|| Message::decode(black_box(&message), 50)));
    }
    group.finish();
}

/// Asks once, and is dialed back.
fn question() {
    let server = ServerConfig {
        when: Serve::Always,
        ..ServerConfig::default()
    };
    let config = Config {
        server: Some(server),
        ..Config::default()
    };
    let mut server = Autonat::new(config).unwrap();
    let mut client = Autonat::new(Config::default()).unwrap();
    let mut bench = Bench::new(1, 2, Duration::from_millis(1));
    bench.connect(1, 0);
    bench.run(&mut [&mut server, &mut client], Duration::from_millis(100));
    let ours = vec![ADDR.parse().unwrap()];
    client.ask(Some(bench.peer(0)), Version::V2, ours).unwrap();
    bench.run(&mut [&mut server, &mut client], Duration::from_millis(100));
    bench.succeed(0, DialId::new(1), 1);
    bench.run(&mut [&mut server, &mut client], Duration::from_millis(100));
    assert!(client.poll_event().is_some());
}

fn exchanges(c: &mut Criterion) {
    c.bench_function("autonat-question", |b| b.iter(question));
}

criterion_group!(benches, messages, exchanges);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
