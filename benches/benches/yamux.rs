//! One stream of 4 MiB from end to end, beside the crate of rust-libp2p.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group};
use libp2p_proto_core::{Instant, Side, TransmitBuf};
use libp2p_proto_yamux::{Config, Event, Yamux};
use std::future::poll_fn;
use tokio_util::compat::{
    FuturesAsyncReadCompatExt as _, FuturesAsyncWriteCompatExt as _, TokioAsyncReadCompatExt as _,
};

const TOTAL: usize = 4 << 20;
const PIECE: usize = 64 << 10;
const NOW: Instant = Instant::ZERO;

fn ours(piece: &Bytes, wires: &mut [Vec<u8>; 2]) -> usize {
    let mut near = Yamux::new(Side::Dialer, Config::default(), 1, NOW).unwrap();
    let mut far = Yamux::new(Side::Listener, Config::default(), 2, NOW).unwrap();
    let stream = near.open(PIECE * 4).unwrap();
    let (mut written, mut received) = (0, 0);
    let mut left = piece.clone();
    let [there, back] = wires;
    while received < TOTAL {
        while written < TOTAL {
            let taken = near.write(stream, &mut left).unwrap();
            written = written.saturating_add(taken);
            if left.is_empty() {
                left = piece.clone();
            }
            if taken == 0 {
                break;
            }
        }
        there.clear();
        while near.poll_transmit(NOW, &mut TransmitBuf::new(there, 256 << 10)) {}
        let mut input = &there[..];
        while let Some(event) = far.handle_input(NOW, &mut input).unwrap() {
            match event {
                Event::Opened { stream } => far.accept(stream, PIECE),
                Event::Data { stream, bytes } => {
                    received = received.saturating_add(bytes.len());
                    far.grant(NOW, stream, bytes.len());
                }
                _ => {}
            }
        }
        while far.poll_event().is_some() {}
        back.clear();
        while far.poll_transmit(NOW, &mut TransmitBuf::new(back, 256 << 10)) {}
        let mut input = &back[..];
        while near.handle_input(NOW, &mut input).unwrap().is_some() {}
        while near.poll_event().is_some() {}
    }
    received
}

async fn theirs(piece: &[u8]) -> usize {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (near, far) = tokio::io::duplex(256 << 10);
    let mut near = yamux::Connection::new(near.compat(), yamux::Config::default(), yamux::Mode::Client);
    let mut far = yamux::Connection::new(far.compat(), yamux::Config::default(), yamux::Mode::Server);
    let stream = poll_fn(|cx| near.poll_new_outbound(cx)).await.unwrap();
    let near = async move {
        // Inbound streams never come; this carries the connection.
        poll_fn(|cx| near.poll_next_inbound(cx)).await;
    };
    let send = async move {
        let mut stream = stream.compat_write();
        for _ in 0..TOTAL / PIECE {
            stream.write_all(piece).await.unwrap();
        }
        stream.flush().await.unwrap();
        stream
    };
    let receive = async move {
        let stream = poll_fn(|cx| far.poll_next_inbound(cx)).await.unwrap().unwrap();
        let mut stream = stream.compat();
        let mut buffer = vec![0; PIECE];
        let mut received = 0_usize;
        let read = async {
            while received < TOTAL {
                received = received.saturating_add(stream.read(&mut buffer).await.unwrap());
            }
            received
        };
        tokio::select! {
            received = read => received,
            _ = poll_fn(|cx| far.poll_next_inbound(cx)) => 0,
        }
    };
    tokio::select! {
        received = async { tokio::join!(send, receive).1 } => received,
        () = near => 0,
    }
}

fn bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("yamux-bulk");
    group.throughput(Throughput::Bytes(TOTAL as u64));
    let piece = Bytes::from(vec![0x5a; PIECE]);
    let mut wires = [Vec::with_capacity(512 << 10), Vec::with_capacity(64 << 10)];
    group.bench_function("ours", |b| b.iter(|| assert_eq!(ours(&piece, &mut wires), TOTAL)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    group.bench_function("rust-libp2p", |b| {
        b.iter(|| assert_eq!(runtime.block_on(theirs(&piece)), TOTAL));
    });
    group.finish();
    ratios::print("yamux-bulk", "ours", &["rust-libp2p"]);
}

criterion_group!(benches, bulk);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
