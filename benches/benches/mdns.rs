//! Packets of multicast DNS, beside hickory's messages, and the machine under a flood.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use criterion::{Criterion, Throughput, criterion_group};
use hickory_proto::{
    op::Message as Hickory,
    serialize::binary::{BinDecodable as _, BinEncodable as _},
};
use libp2p_proto_core::{Instant, PeerId, Rng};
use libp2p_proto_mdns::{
    Config, Data, Family, GROUP4, Interface, Mdns, Message, Name, PORT, Received, Record,
};
use std::hint::black_box;

/// Peers of the flood.
const PEERS: u8 = 200;

/// The answer of a peer at 192.168.1.`host` with four addresses.
fn answer(host: u8) -> Vec<u8> {
    let peer = PeerId::random(&mut Rng::from_seed([host; 32]));
    let texts: Vec<String> = (1..=4)
        .map(|port| format!("dnsaddr=/ip4/192.168.1.{host}/tcp/{port}/p2p/{peer}"))
        .collect();
    let service: Name = "_p2p._udp.local".parse().unwrap();
    let instance = service.child(format!("instance-{host}").as_bytes()).unwrap();
    let record = |name: &Name, data| Record {
        name: name.clone(),
        class: 1,
        flush: false,
        ttl: 120,
        data,
    };
    let mut message = Message::response();
    message
        .answers
        .push(record(&service, Data::Ptr(instance.clone())));
    let strings = Data::txt(texts.iter().map(String::as_bytes));
    message.additionals.push(record(&instance, strings));
    message
        .additionals
        .push(record(&instance, Data::Address([192, 168, 1, host].into())));
    message.encode()
}

fn packets(c: &mut Criterion) {
    let bytes = answer(7);
    let mut group = c.benchmark_group("mdns-decode");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("ours", |b| b.iter(|| Message::decode(black_box(&bytes)).unwrap()));
    group.bench_function("hickory-proto", |b| {
        b.iter(|| Hickory::from_bytes(black_box(&bytes)).unwrap());
    });
    group.finish();
    ratios::print("mdns-decode", "ours", &["hickory-proto"]);

    let (ours, hickory) = (
        Message::decode(&bytes).unwrap(),
        Hickory::from_bytes(&bytes).unwrap(),
    );
    let mut group = c.benchmark_group("mdns-encode");
    group.bench_function("ours", |b| b.iter(|| black_box(&ours).encode()));
    group.bench_function("hickory-proto", |b| {
        b.iter(|| black_box(&hickory).to_bytes().unwrap());
    });
    group.finish();
    ratios::print("mdns-encode", "ours", &["hickory-proto"]);
}

fn flood(c: &mut Criterion) {
    let now = Instant::ZERO;
    let mut mdns = Mdns::new(
        PeerId::random(&mut Rng::from_seed([0; 32])),
        Config::default(),
        [1; 32],
    )
    .unwrap();
    let interface = Interface {
        id: 1,
        addrs: vec![([192, 168, 1, 1].into(), 24)],
        families: vec![Family::Ip4],
    };
    mdns.handle_interface(now, interface).unwrap();
    mdns.start(now);
    let packets: Vec<(Received, Vec<u8>)> = (2..PEERS)
        .map(|host| {
            let received = Received {
                interface: 1,
                from: ([192, 168, 1, host], PORT).into(),
                to: GROUP4.into(),
            };
            (received, answer(host))
        })
        .collect();
    let mut group = c.benchmark_group("mdns-answers");
    group.throughput(Throughput::Elements(packets.len() as u64));
    group.bench_function("ours", |b| {
        b.iter(|| {
            for (received, bytes) in &packets {
                mdns.handle_datagram(now, received, bytes).unwrap();
            }
            while mdns.poll_event().is_some() {}
        });
    });
    group.finish();
}

criterion_group!(benches, packets, flood);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
