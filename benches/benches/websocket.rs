//! Messages from a client to a server, beside tungstenite.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use criterion::{Criterion, Throughput, criterion_group};
use libp2p_proto_core::{Instant, Rng, TransmitBuf};
use libp2p_proto_websocket::{Config, Error, WebSocket};
use std::io::{self, Cursor, Read, Write};
use tungstenite::{
    Message,
    protocol::{Role, WebSocketConfig},
};

const NOW: Instant = Instant::ZERO;

/// Both ends behind their upgrade.
fn ours() -> (WebSocket, WebSocket) {
    let mut client = WebSocket::client(Config::default(), "a", "", Rng::from_seed([1; 32]), NOW).unwrap();
    let mut server = WebSocket::server(Config::default(), NOW).unwrap();
    let mut wire = Vec::new();
    client.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096), |_| false);
    server
        .handle_input(NOW, &mut wire, |data| Ok::<_, Error>(data.len()))
        .unwrap();
    wire.clear();
    server.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096), |_| false);
    client
        .handle_input(NOW, &mut wire, |data| Ok::<_, Error>(data.len()))
        .unwrap();
    (client, server)
}

fn send_ours(ends: &mut (WebSocket, WebSocket), message: &[u8], wire: &mut Vec<u8>) -> u64 {
    wire.clear();
    ends.0
        .poll_transmit(NOW, &mut TransmitBuf::new(wire, 128 << 10), |out| {
            out.put(message)
        });
    let mut sum = 0_u64;
    let taken = ends.1.handle_input(NOW, wire, |data| {
        sum = u64::from(*data.last().unwrap_or(&0));
        Ok::<_, Error>(data.len())
    });
    sum.wrapping_add(taken.unwrap() as u64)
}

/// What one end writes, the other reads.
#[derive(Default)]
struct Wire(Cursor<Vec<u8>>);

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.get_mut().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Theirs = tungstenite::WebSocket<Wire>;

fn send_theirs(ends: &mut (Theirs, Theirs), message: &[u8]) -> usize {
    let wire = ends.0.get_mut();
    wire.0.get_mut().clear();
    ends.0.send(Message::binary(message.to_vec())).unwrap();
    std::mem::swap(ends.0.get_mut(), ends.1.get_mut());
    ends.1.get_mut().0.set_position(0);
    ends.1.read().unwrap().len()
}

fn messages(c: &mut Criterion) {
    for size in [64, 1 << 10, 65_535] {
        let message = vec![7; size];
        let name = format!("websocket-{size}");
        let mut group = c.benchmark_group(&name);
        group.throughput(Throughput::Bytes(size as u64));
        let (mut ends, mut wire) = (ours(), Vec::new());
        group.bench_function("ours", |b| b.iter(|| send_ours(&mut ends, &message, &mut wire)));
        let end = |role| Theirs::from_raw_socket(Wire::default(), role, Some(WebSocketConfig::default()));
        let mut ends = (end(Role::Client), end(Role::Server));
        group.bench_function("tungstenite", |b| b.iter(|| send_theirs(&mut ends, &message)));
        group.finish();
        ratios::print(&name, "ours", &["tungstenite"]);
    }
}

criterion_group!(benches, messages);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
