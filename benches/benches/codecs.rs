//! Varints, addresses and peer ids, beside the crates of the ecosystem.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use criterion::{Criterion, criterion_group};
use libp2p_proto_core::{Multiaddr, PeerId, varint};
use std::hint::black_box;

const ADDR: &str = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
const ID: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

fn varints(c: &mut Criterion) {
    let mut group = c.benchmark_group("varint-decode");
    let mut bytes = Vec::new();
    for value in [1, 300, 1 << 20, 1 << 40, varint::MAX] {
        varint::encode(value, &mut bytes);
    }
    group.bench_function("ours", |b| {
        b.iter(|| {
            let mut rest = black_box(&bytes[..]);
            let mut sum = 0_u64;
            while let Ok(Some((value, len))) = varint::decode(rest) {
                sum ^= value;
                rest = rest.get(len..).unwrap();
            }
            sum
        });
    });
    group.bench_function("unsigned-varint", |b| {
        b.iter(|| {
            let mut rest = black_box(&bytes[..]);
            let mut sum = 0_u64;
            while let Ok((value, left)) = unsigned_varint::decode::u64(rest) {
                sum ^= value;
                rest = left;
            }
            sum
        });
    });
    group.finish();
    ratios::print("varint-decode", "ours", &["unsigned-varint"]);
}

fn addresses(c: &mut Criterion) {
    let mut group = c.benchmark_group("multiaddr-parse");
    group.bench_function("ours", |b| {
        b.iter(|| black_box(ADDR).parse::<Multiaddr>().unwrap());
    });
    group.bench_function("multiaddr", |b| {
        b.iter(|| black_box(ADDR).parse::<multiaddr::Multiaddr>().unwrap());
    });
    group.finish();
    ratios::print("multiaddr-parse", "ours", &["multiaddr"]);

    let mut group = c.benchmark_group("multiaddr-decode");
    let bytes = ADDR.parse::<Multiaddr>().unwrap().as_bytes().to_vec();
    group.bench_function("ours", |b| {
        b.iter(|| Multiaddr::from_bytes(black_box(&bytes).clone()).unwrap());
    });
    group.bench_function("multiaddr", |b| {
        b.iter(|| multiaddr::Multiaddr::try_from(black_box(&bytes).clone()).unwrap());
    });
    group.finish();
    ratios::print("multiaddr-decode", "ours", &["multiaddr"]);
}

fn peer_ids(c: &mut Criterion) {
    let mut group = c.benchmark_group("peer-id-parse");
    group.bench_function("ours", |b| b.iter(|| black_box(ID).parse::<PeerId>().unwrap()));
    group.bench_function("libp2p-identity", |b| {
        b.iter(|| black_box(ID).parse::<libp2p_identity::PeerId>().unwrap());
    });
    group.finish();
    ratios::print("peer-id-parse", "ours", &["libp2p-identity"]);
}

criterion_group!(benches, varints, addresses, peer_ids);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
