//! Handshakes and transport messages, beside snow.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

use criterion::{Criterion, Throughput, criterion_group};
use libp2p_proto_core::{Rng, Side, TransmitBuf};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_noise::{AwsLc, Config, Finished, Handshake, Provider, Ring, RustCrypto};
use snow::resolvers::{DefaultResolver, FallbackResolver, RingResolver};
use std::{hint::black_box, sync::Arc};

const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";

fn keys(seed: u8) -> Keypair {
    Keypair::ed25519_from_seed([seed; 32])
}

fn config(seed: u8, provider: Box<dyn Provider>) -> Arc<Config> {
    let mut dice = Rng::from_seed([seed; 32]);
    Arc::new(Config::with_provider(&Identity::from(keys(seed)), &mut dice, provider).unwrap())
}

fn provider(fast: bool) -> Box<dyn Provider> {
    if fast {
        Box::new(Ring)
    } else {
        Box::new(RustCrypto)
    }
}

/// A handshake with identities, signed and checked.
fn handshake(dialer: &Arc<Config>, listener: &Arc<Config>) -> (Finished, Finished) {
    let mut near = Handshake::new(dialer.clone(), Side::Dialer, None, [1; 32]);
    let mut far = Handshake::new(listener.clone(), Side::Listener, None, [2; 32]);
    let mut wire = Vec::with_capacity(1024);
    while !(near.is_finished() && far.is_finished()) {
        wire.clear();
        near.poll_transmit(&mut TransmitBuf::new(&mut wire, 4096));
        far.handle_input(&mut wire).unwrap();
        wire.clear();
        far.poll_transmit(&mut TransmitBuf::new(&mut wire, 4096));
        near.handle_input(&mut wire).unwrap();
    }
    (near.finish().unwrap(), far.finish().unwrap())
}

fn snow_builder(fast: bool) -> snow::Builder<'static> {
    let resolver: Box<dyn snow::resolvers::CryptoResolver + Send> = if fast {
        Box::new(FallbackResolver::new(
            Box::new(RingResolver),
            Box::new(DefaultResolver),
        ))
    } else {
        Box::new(DefaultResolver)
    };
    snow::Builder::with_resolver(PATTERN.parse().unwrap(), resolver)
}

/// A handshake without payload: snow knows no identities.
fn snow_handshake(keys: &[Vec<u8>; 2], fast: bool) -> (snow::TransportState, snow::TransportState) {
    let mut near = snow_builder(fast)
        .local_private_key(&keys[0])
        .unwrap()
        .build_initiator()
        .unwrap();
    let mut far = snow_builder(fast)
        .local_private_key(&keys[1])
        .unwrap()
        .build_responder()
        .unwrap();
    let (mut wire, mut payload) = (vec![0; 1024], vec![0; 1024]);
    for turn in 0..3 {
        let (from, to) = if turn % 2 == 0 {
            (&mut near, &mut far)
        } else {
            (&mut far, &mut near)
        };
        let len = from.write_message(&[], &mut wire).unwrap();
        to.read_message(&wire[..len], &mut payload).unwrap();
    }
    (
        near.into_transport_mode().unwrap(),
        far.into_transport_mode().unwrap(),
    )
}

fn snow_keys() -> [Vec<u8>; 2] {
    [0, 1].map(|_| snow_builder(false).generate_keypair().unwrap().private)
}

/// What both ends of a handshake can't do without: two ephemeral keys, six Diffie-Hellman operations, two signatures verified.
fn curves(provider: &dyn Provider, keys: &Keypair, signature: &[u8]) -> bool {
    let [ours, theirs] = [[1; 32], [2; 32]].map(|secret| provider.key_pair(&secret).unwrap());
    for _ in 0..6 {
        black_box(ours.dh(&theirs.public_key()).unwrap());
    }
    (0..2).all(|_| keys.public().verify(&[5; 56], signature))
}

type Make = fn() -> Box<dyn Provider>;

fn handshakes(c: &mut Criterion) {
    let mut group = c.benchmark_group("noise-handshake");
    let both: [(&str, &str, Make); 2] = [
        ("ours", "curves", || Box::new(Ring)),
        ("ours-aws-lc", "curves-aws-lc", || Box::new(AwsLc)),
    ];
    for (ours, limit, provider) in both {
        let (dialer, listener) = (config(1, provider()), config(2, provider()));
        group.bench_function(ours, |b| b.iter(|| handshake(&dialer, &listener)));
        let provider = provider();
        let keys = keys(1);
        let signature = keys.sign(&[5; 56]).unwrap();
        group.bench_function(limit, |b| b.iter(|| curves(&*provider, &keys, &signature)));
    }
    let keys = snow_keys();
    group.bench_function("snow-without-identities", |b| {
        b.iter(|| snow_handshake(&keys, true));
    });
    group.finish();
    ratios::print("noise-handshake", "ours", &["curves", "snow-without-identities"]);
    ratios::print(
        "noise-handshake",
        "ours-aws-lc",
        &["curves-aws-lc", "snow-without-identities"],
    );
}

fn transport(c: &mut Criterion) {
    for (name, size) in [("noise-64KiB", 65_519), ("noise-1KiB", 1024), ("noise-64B", 64)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(size as u64));
        let payload = vec![0x5a; size];
        for (function, fast) in [("ours", true), ("ours-portable", false)] {
            let (mut near, mut far) = handshake(&config(1, provider(fast)), &config(2, provider(fast)));
            let mut wire = Vec::with_capacity(70_000);
            group.bench_function(function, |b| {
                b.iter(|| {
                    wire.clear();
                    near.sealer
                        .seal(&mut TransmitBuf::new(&mut wire, 70_000), |out| out.put(&payload))
                        .unwrap();
                    let opened = far.opener.open(&mut wire).unwrap();
                    black_box(opened.map(|(_, plain)| plain.len()))
                });
            });
        }
        for (function, fast) in [("snow-ring", true), ("snow", false)] {
            let (mut near, mut far) = snow_handshake(&snow_keys(), fast);
            let (mut wire, mut plain) = (vec![0; 70_000], vec![0; 70_000]);
            group.bench_function(function, |b| {
                b.iter(|| {
                    let len = near.write_message(&payload, &mut wire).unwrap();
                    black_box(far.read_message(&wire[..len], &mut plain).unwrap())
                });
            });
        }
        group.finish();
        ratios::print(name, "ours", &["snow-ring"]);
        ratios::print(name, "ours-portable", &["snow"]);
    }
}

criterion_group!(benches, handshakes, transport);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
