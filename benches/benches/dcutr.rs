//! DCUtR: its message, and a whole upgrade between two machines, from the relayed connection to the dials of both ends.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use criterion::{Criterion, Throughput, criterion_group};
use libp2p_proto_core::{Multiaddr, Side};
use libp2p_proto_dcutr::{Config, Dcutr, HolePunch, NAME};
use libp2p_proto_stream_protocol::{ConnectionInfo, Fact, Input, bench::Bench};
use std::{hint::black_box, time::Duration};

fn message(c: &mut Criterion) {
    let addr = |port| Multiaddr::tcp([203, 0, 113, 7].into(), port);
    let connect = HolePunch::Connect {
        addrs: (1..=8).map(addr).collect(),
    }
    .encode();
    let mut group = c.benchmark_group("dcutr-read");
    group.throughput(Throughput::Bytes(connect.len() as u64));
    group.bench_function("connect", |b| b.iter(|| HolePunch::decode(black_box(&connect))));
    group.finish();
}

/// Node 0 was dialed by node 1 through a relay.
fn upgrade() {
    let [mut callee, mut caller] = [0, 1].map(|_| Dcutr::new(Config::default()).unwrap());
    let mut bench = Bench::new(1, 2, Duration::from_millis(20));
    for node in 0..2_u8 {
        let addr = Multiaddr::tcp([198, 51, 100, node].into(), 4001);
        let confirmed = true;
        bench.inject(
            usize::from(node),
            Input::Fact(Fact::ExternalAddress { addr, confirmed }),
        );
    }
    let relayed = |side| ConnectionInfo {
        side,
        local: None,
        remote: "/ip4/192.0.2.9/tcp/1/p2p-circuit".parse().unwrap(),
        limited: true,
        dial: None,
    };
    bench.connect_as([(1, relayed(Side::Dialer)), (0, relayed(Side::Listener))]);
    for (node, other) in [(0, 1), (1, 0)] {
        let peer = bench.peer(other);
        let protocols = vec![NAME].into();
        bench.inject(node, Input::Fact(Fact::PeerProtocols { peer, protocols }));
    }
    bench.run(&mut [&mut callee, &mut caller], Duration::from_millis(500));
    assert!(
        bench
            .dials(0)
            .iter()
            .chain(bench.dials(1))
            .all(|dial| dial.at_once)
    );
    assert_eq!((bench.dials(0).len(), bench.dials(1).len()), (1, 1));
}

fn upgrades(c: &mut Criterion) {
    c.bench_function("dcutr-upgrade", |b| b.iter(upgrade));
}

criterion_group!(benches, message, upgrades);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
