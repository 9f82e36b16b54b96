//! Circuit relay: its messages, a reservation, and a circuit with what it carries, among machines in memory.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group};
use libp2p_proto_core::{ConnectionId, PeerId};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_relay::{
    ClientConfig, HOP, HopMessage, Limit, Relay, Reservation, STOP, ServerConfig, Status, StopMessage,
    Voucher,
};
use libp2p_proto_stream_protocol::{
    Context, Fact, Framing, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};
use std::{hint::black_box, time::Duration};

/// Bytes through one circuit, each way.
const CARRIED: usize = 100 * 1024;

fn identity(seed: u8) -> Identity {
    Keypair::ed25519_from_seed([seed; 32]).into()
}

fn peer(seed: u8) -> PeerId {
    identity(seed).peer_id()
}

fn messages(c: &mut Criterion) {
    let voucher = Voucher {
        relay: peer(1),
        peer: peer(2),
        expiration: 1_800_000_000,
    };
    let sealed = voucher.seal(&identity(1)).unwrap();
    let granted = HopMessage::Status {
        status: Status::Ok,
        reservation: Some(Reservation {
            expire: 1_800_000_000,
            addrs: vec!["/ip4/192.0.2.1/tcp/4001".parse().unwrap()],
            voucher: Some(sealed.clone()),
        }),
        limit: Limit {
            duration: 120,
            data: 131_072,
        },
    }
    .encode();
    let connect = HopMessage::Connect { peer: peer(2) }.encode();
    let mut group = c.benchmark_group("relay-read");
    for (name, message) in [("reservation", granted), ("connect", connect)] {
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(name, |b| b.iter(|| HopMessage::decode(black_box(&message))));
    }
    group.finish();
    let unix = libp2p_proto_core::UnixTime::from_secs(1_700_000_000);
    c.bench_function("relay-voucher-verify", |b| {
        b.iter(|| Voucher::open(black_box(&sealed), peer(1), peer(2), unix).unwrap());
    });
}

/// A relay with an address to tell, and two that are connected to it.
fn net() -> (Bench, Relay, [ConnectionId; 2]) {
    let mut bench = Bench::with_peers(1, &[peer(1), peer(2), peer(3)], Duration::from_millis(1));
    let addr = "/ip4/198.51.100.7/tcp/4001".parse().unwrap();
    let confirmed = true;
    bench.inject(0, Input::Fact(Fact::ExternalAddress { addr, confirmed }));
    let conns = [bench.connect(1, 0), bench.connect(2, 0)];
    let relay = Relay::new(identity(1), Some(ServerConfig::default()), None).unwrap();
    (bench, relay, conns)
}

fn reservation() {
    let (mut bench, mut relay, _) = net();
    let mut client = Relay::new(identity(2), None, Some(ClientConfig::default())).unwrap();
    client.reserve(peer(1), Vec::new());
    bench.run(&mut [&mut relay, &mut client], Duration::from_millis(100));
    assert_eq!(client.reserved().count(), 1);
}

/// Whoever is asked to accept a circuit does.
fn accept(cx: &mut Context<'_>, input: &Input) {
    if let Input::Frame { stream, .. } = input {
        if stream.is_inbound() {
            let status = Status::Ok;
            let _gone = cx.write(*stream, StopMessage::Status { status }.encode());
            cx.reframe(*stream, Framing::Raw);
        }
    }
}

/// A slot, a circuit to its holder, and bytes through it.
fn circuit(bytes: &Bytes) {
    let (mut bench, mut relay, [near, far]) = net();
    let spec = |name| StreamSpec {
        carries_links: true,
        send_capacity: 1 << 20,
        ..StreamSpec::new(name, Framing::Held { max: 4096 })
    };
    let [mut source, mut target] =
        [0, 1].map(|_| Puppet::with_specs(vec![spec(HOP), spec(STOP)]).reacting(accept));
    let ask = |bench: &mut Bench, node: usize, puppet: &Puppet, conn, message: HopMessage| {
        let stream = bench
            .with(node, puppet, |cx| cx.open(Target::Connection(conn), &[0]))
            .unwrap();
        (stream, message.encode())
    };
    let run = |bench: &mut Bench, relay: &mut Relay, source: &mut Puppet, target: &mut Puppet| {
        let all: &mut [&mut dyn Protocol] = &mut [relay, source, target];
        bench.run(all, Duration::from_millis(20));
    };
    run(&mut bench, &mut relay, &mut source, &mut target);
    let (stream, reserve) = ask(&mut bench, 2, &target, far, HopMessage::Reserve);
    run(&mut bench, &mut relay, &mut source, &mut target);
    bench.with(2, &target, |cx| cx.write(stream, reserve)).unwrap();
    run(&mut bench, &mut relay, &mut source, &mut target);
    let (stream, connect) = ask(
        &mut bench,
        1,
        &source,
        near,
        HopMessage::Connect { peer: peer(3) },
    );
    run(&mut bench, &mut relay, &mut source, &mut target);
    bench.with(1, &source, |cx| cx.write(stream, connect)).unwrap();
    run(&mut bench, &mut relay, &mut source, &mut target);
    let written = bench.with(1, &source, |cx| {
        cx.reframe(stream, Framing::Raw);
        cx.write(stream, bytes.clone())
    });
    written.unwrap();
    run(&mut bench, &mut relay, &mut source, &mut target);
    let came = target.opened().last().map(|stream| target.frames(*stream));
    let came = came.into_iter().flatten().skip(1).map(|frame| frame.len());
    assert_eq!(came.sum::<usize>(), bytes.len());
}

fn exchanges(c: &mut Criterion) {
    c.bench_function("relay-reservation", |b| b.iter(reservation));
    let bytes = Bytes::from(vec![7; CARRIED]);
    let mut group = c.benchmark_group("relay-circuit");
    group.throughput(Throughput::Bytes(CARRIED as u64));
    group.bench_function("100 KiB", |b| b.iter(|| circuit(&bytes)));
    group.finish();
}

criterion_group!(benches, messages, exchanges);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
