//! What connections and frames cost in memory, by a counting allocator.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use allocation_counter::measure;
use libp2p_proto_core::{Side, TransmitBuf};
use libp2p_proto_websocket::{Config, Error, WebSocket};
use support::{NOW, REQUEST, frame, open};

// covers: WSK-048
#[test]
fn neither_receiving_nor_sending_allocates() {
    for side in [Side::Dialer, Side::Listener] {
        for size in [1, 126, 16_384] {
            let mut socket = open(side);
            let wire = frame(side, 0x82, &vec![7; size]);
            let mut input = Vec::with_capacity(wire.len());
            let mut out = Vec::with_capacity(32 * 1024);
            let payload = vec![8; size];
            let info = measure(|| {
                for _ in 0..10_000 {
                    input.clear();
                    input.extend_from_slice(&wire);
                    let taken = socket.handle_input(NOW, &mut input, |data| Ok::<_, Error>(data.len()));
                    assert_eq!(taken, Ok(wire.len()));
                    out.clear();
                    let mut buf = TransmitBuf::new(&mut out, 32 * 1024);
                    assert!(socket.poll_transmit(NOW, &mut buf, |out| out.put(&payload)));
                }
            });
            assert_eq!(info.count_total, 0, "{info:?}");
        }
    }
}

// covers: WSK-014, WSK-044
#[test]
fn an_idle_machine_owns_nothing_and_an_upgrade_little() {
    let mut server = None;
    let info = measure(|| server = Some(WebSocket::server(Config::default(), NOW).unwrap()));
    assert_eq!(info.bytes_max, 0);
    assert!(size_of::<WebSocket>() <= 800, "{}", size_of::<WebSocket>());
    let mut server = server.unwrap();
    let flood = REQUEST.replace("\r\n\r\n", &format!("\r\n{}\r\n", "X: y\r\n".repeat(1300)));
    let mut input = flood.into_bytes();
    let info = measure(|| {
        let result = server.handle_input(NOW, &mut input, |data| Ok::<_, Error>(data.len()));
        assert_eq!(result, Err(Error::TooManyHeaders));
    });
    assert!(info.bytes_max <= 4096, "{info:?}");
    assert_eq!(info.bytes_current, 0);

    let mut server = open(Side::Listener);
    let mut giant = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let info = measure(|| {
        let result = server.handle_input(NOW, &mut giant, |data| Ok::<_, Error>(data.len()));
        assert_eq!(result, Err(Error::FrameTooLarge(u64::MAX >> 1)));
    });
    assert_eq!(info.bytes_max, 0);
}

#[test]
fn vul_183_nothing_is_decompressed_and_nothing_unknown_is_buffered() {
    let mut server = support::server();
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let request = REQUEST.replace("\r\n\r\n", offer);
    support::feed(&mut server, NOW, request.as_bytes()).unwrap();
    assert_eq!(support::transmit(&mut server, NOW), support::ANSWER.as_bytes());
    // A compressed message, and one of an unknown kind, of a gibibyte.
    for (first, error) in [(0xc2, Error::ReservedBit), (0x83, Error::BadOpcode(3))] {
        let mut server = open(Side::Listener);
        let mut input = vec![7; 64 * 1024];
        input[..10].copy_from_slice(&[first, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0]);
        let info = measure(|| {
            let result = server.handle_input(NOW, &mut input, |data| Ok::<_, Error>(data.len()));
            assert_eq!(result, Err(error));
        });
        assert_eq!(info.bytes_max, 0);
    }
}
