//! One negotiation, both ends, beside the crate of rust-libp2p.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use criterion::{Criterion, criterion_group};
use libp2p_proto_core::{ProtocolName, TransmitBuf};
use libp2p_proto_multistream_select::{Negotiation, Outcome};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

const PING: ProtocolName = ProtocolName::from_static("/ipfs/ping/1.0.0");
const IDENTIFY: ProtocolName = ProtocolName::from_static("/ipfs/id/1.0.0");
const SUPPORTED: [ProtocolName; 2] = [PING, IDENTIFY];
const PROPOSED: [ProtocolName; 1] = [IDENTIFY];

fn ours(wire: &mut Vec<u8>) {
    let (mut near, mut far) = (Negotiation::dialer(), Negotiation::listener());
    while !matches!(near.outcome(), Outcome::Agreed(_)) {
        wire.clear();
        while near.poll_transmit(&PROPOSED, &mut TransmitBuf::new(wire, 1024)) {}
        far.handle_input(wire, &SUPPORTED).unwrap();
        wire.clear();
        while far.poll_transmit(&SUPPORTED, &mut TransmitBuf::new(wire, 1024)) {}
        near.handle_input(wire, &PROPOSED).unwrap();
    }
}

async fn theirs() {
    let (near, far) = tokio::io::duplex(1024);
    let dial = multistream_select::dialer_select_proto(
        near.compat(),
        ["/ipfs/id/1.0.0"],
        multistream_select::Version::V1,
    );
    let listen =
        multistream_select::listener_select_proto(far.compat(), ["/ipfs/ping/1.0.0", "/ipfs/id/1.0.0"]);
    let (dialed, listened) = tokio::join!(dial, listen);
    dialed.unwrap();
    listened.unwrap();
}

fn negotiations(c: &mut Criterion) {
    let mut group = c.benchmark_group("multistream-select");
    let mut wire = Vec::with_capacity(1024);
    group.bench_function("ours", |b| b.iter(|| ours(&mut wire)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    group.bench_function("rust-libp2p", |b| b.iter(|| runtime.block_on(theirs())));
    group.finish();
    ratios::print("multistream-select", "ours", &["rust-libp2p"]);
}

criterion_group!(benches, negotiations);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
