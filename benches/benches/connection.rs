//! One stream of a connection: opened, named, used with 32 bytes that are echoed, and finished; one flight each way, both ends in memory.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use bytes::Bytes;
use criterion::{Criterion, criterion_group};
use libp2p_proto_connection::{Config, Connection};
use libp2p_proto_core::{ConnectionId, Instant, ProtocolName, Side, StreamId, TransmitBuf};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{
    Framing, FromConnection, Seat, SpecEntry, SpecId, SpecTable, StreamOrder, StreamSpec, ToConnection,
};
use std::sync::Arc;

const NOW: Instant = Instant::ZERO;
const NEAR: ConnectionId = ConnectionId::new(1);

fn end(seed: u8, side: Side) -> Connection {
    let identity = Identity::from(Keypair::ed25519_from_seed([seed; 32]));
    let config = Config::new(&identity, [seed; 32]).unwrap();
    let spec = StreamSpec::new(ProtocolName::from_static("/echo/1"), Framing::Fixed { len: 32 });
    let mut seat = Seat::new(ConnectionId::new(seed.into()), side, [seed; 32]);
    seat.specs = Arc::new(SpecTable::new(vec![SpecEntry {
        protocol: 0,
        index: 0,
        spec,
    }]));
    Connection::new(NOW, Arc::new(config), seat)
}

/// Carries one flight to `to`, which echoes what it gets; answers how many streams have ended there.
fn flight(from: &mut Connection, to: &mut Connection, wire: &mut Vec<u8>, echo: bool) -> u64 {
    while from.poll_transmit(NOW, &mut TransmitBuf::new(wire, 4096)) {}
    let taken = to.handle_input(NOW, wire).unwrap();
    wire.drain(..taken);
    let mut ended = 0_u64;
    while let Some(message) = to.poll_message() {
        match message {
            FromConnection::Authenticated { .. } => to.handle_message(NOW, ToConnection::Admit),
            FromConnection::Frame { stream, data } => {
                let bytes = data.len();
                to.handle_message(NOW, ToConnection::Grant { stream, bytes });
                if echo {
                    to.handle_message(NOW, ToConnection::Write { stream, data });
                }
            }
            FromConnection::Finished { stream } if echo => {
                let order = StreamOrder::Finish;
                to.handle_message(NOW, ToConnection::Order { stream, order });
            }
            FromConnection::Closed { .. } => ended = ended.saturating_add(1),
            _ => {}
        }
    }
    ended
}

fn stream(c: &mut Criterion) {
    let (mut near, mut far) = (end(1, Side::Dialer), end(2, Side::Listener));
    let (mut there, mut back) = (Vec::with_capacity(8192), Vec::with_capacity(8192));
    for _ in 0..8 {
        flight(&mut near, &mut far, &mut there, true);
        flight(&mut far, &mut near, &mut back, false);
    }
    let mut count = 0_u64;
    c.bench_function("connection-stream", |b| {
        b.iter(|| {
            let stream = StreamId::ours(NEAR, count);
            count = count.saturating_add(1);
            let specs = [SpecId(0)].into_iter().collect();
            near.handle_message(
                NOW,
                ToConnection::Open {
                    stream,
                    specs,
                    lazy: true,
                },
            );
            let data = Bytes::from_static(&[7; 32]);
            near.handle_message(NOW, ToConnection::Write { stream, data });
            let order = StreamOrder::Finish;
            near.handle_message(NOW, ToConnection::Order { stream, order });
            flight(&mut near, &mut far, &mut there, true);
            assert_eq!(flight(&mut far, &mut near, &mut back, false), 1);
        });
    });
}

criterion_group!(benches, stream);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
