//! A WebSocket of either side: in its upgrade, behind it with raw bytes, and behind it with frames that the input makes up, so that the deepest states are reached; in the pieces and for the
//! layer above that the input chooses.

use crate::budget;
use arbitrary::Unstructured;
use core::time::Duration;
use libp2p_proto_core::{Instant, Rng, Side, TransmitBuf};
use libp2p_proto_websocket::{CloseCode, Config, Error, WebSocket};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// The answer to the request of the client below, whose seed is always the same.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: QLtdVTTdo4rOXuvddi/NYKDi0R8=\r\n\r\n";
/// Limits that small inputs reach.
const SMALL: u64 = 1000;

/// Runs one input: its first bytes choose side, depth, pieces and blocks, the rest is what the peer says.
pub fn run(data: &[u8]) {
    let mut choices = Unstructured::new(data);
    let side = if choices.arbitrary().unwrap_or(false) {
        Side::Dialer
    } else {
        Side::Listener
    };
    let depth = choices.int_in_range(0..=2_u8).unwrap_or(0);
    let piece = choices.int_in_range(1..=64).unwrap_or(1);
    let block = choices.int_in_range(1..=200).unwrap_or(1);
    let mut said = Vec::new();
    if depth > 0 {
        said.extend_from_slice(if side.is_dialer() { ANSWER } else { REQUEST });
    }
    let upgrade = said.len();
    if depth == 2 {
        while !choices.is_empty() && said.len() < 64 * 1024 {
            frame(&mut choices, side, &mut said);
        }
    } else {
        said.extend_from_slice(choices.take_rest());
    }
    let mut peer = Peer::new(side, block, said.len());
    budget::memory("a WebSocket", 4096, || peer.hear(&said, piece));
    assert!(
        depth == 0 || said.len() < upgrade || peer.opened,
        "the upgrade is never the input's fault"
    );
    // Heads, one close frame, and for each ping of two bytes or more one answer.
    budget::at_most("what it says", peer.written, 400 + 3 * said.len());
    let moved = usize::try_from(peer.socket.stats().bytes_moved).unwrap_or(usize::MAX);
    let calls = said.len() / piece + 1;
    budget::at_most("what it moves", moved, said.len() + calls * block);
}

/// One frame that is nearly right.
fn frame(choices: &mut Unstructured<'_>, to: Side, out: &mut Vec<u8>) {
    const FIRST: [u8; 12] = [
        0x82, 0x82, 0x82, 0x02, 0x00, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x81, 0xc2,
    ];
    let first = *choices.choose(&FIRST).unwrap_or(&0x82);
    let len = match choices.int_in_range(0..=7_u8).unwrap_or(0) {
        0..=4 => choices.int_in_range(0..=20_usize).unwrap_or(0),
        5 => 125,
        _ => choices.int_in_range(126..=1100).unwrap_or(126),
    };
    let mut payload = choices.bytes(len.min(choices.len())).unwrap_or_default().to_vec();
    payload.resize(len, 7);
    if first == 0x88 && len >= 2 {
        payload[..2].copy_from_slice(&1000_u16.to_be_bytes());
    }
    let mask = if to == Side::Listener { 0x80 } else { 0 };
    out.push(first);
    if let Ok(short @ 0..=125) = u8::try_from(len) {
        out.push(mask | short);
    } else {
        out.push(mask | 0x7e);
        out.extend(u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
    }
    if mask != 0 {
        let key: [u8; 4] = choices.arbitrary().unwrap_or_default();
        out.extend(key);
        out.extend(
            payload
                .iter()
                .zip(key.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
    } else {
        out.extend(payload);
    }
}

struct Peer {
    socket: WebSocket,
    block: usize,
    left: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    opened: bool,
}

impl Peer {
    fn new(side: Side, block: usize, room: usize) -> Self {
        let config = Config {
            max_frame: SMALL,
            max_message: 2 * SMALL,
            ..Config::default()
        };
        let socket = match side {
            Side::Dialer => WebSocket::client(config, "a", "", Rng::from_seed([0; 32]), Instant::ZERO),
            Side::Listener => WebSocket::server(config, Instant::ZERO),
        };
        Self {
            socket: socket.unwrap(),
            block,
            left: Vec::with_capacity(room + 64),
            output: Vec::with_capacity(4096),
            written: 0,
            opened: false,
        }
    }

    fn transmit(&mut self, now: Instant) {
        self.output.clear();
        while self
            .socket
            .poll_transmit(now, &mut TransmitBuf::new(&mut self.output, 4096), |_| false)
        {}
        self.written += self.output.len();
    }

    fn hear(&mut self, said: &[u8], piece: usize) {
        let mut now = Instant::ZERO;
        self.transmit(now);
        for part in said.chunks(piece) {
            now = now + Duration::from_micros(100);
            self.left.extend_from_slice(part);
            let (before, block) = (self.left.len(), self.block);
            let heard = self.socket.handle_input(now, &mut self.left, |data| {
                Ok::<_, Error>(data.len() - data.len() % block)
            });
            self.opened |= self.socket.is_open() || self.socket.poll_event().is_some();
            match heard {
                Ok(taken) => {
                    assert!(taken <= before);
                    self.left.drain(..taken);
                    assert!(
                        self.left.len() < 8192 + 64 + block,
                        "{} bytes wait",
                        self.left.len()
                    );
                }
                Err(error) => {
                    self.transmit(now);
                    let again = self
                        .socket
                        .handle_input(now, &mut [0; 4], |data| Ok::<_, Error>(data.len()));
                    assert_eq!(again, Err(error));
                    assert!(self.socket.is_closed());
                    break;
                }
            }
            self.transmit(now);
        }
        self.socket.close(now, CloseCode::NORMAL);
        self.transmit(now);
        if let Some(deadline) = self.socket.poll_timeout() {
            let _told = self.socket.handle_timeout(deadline.at);
            self.transmit(deadline.at);
        }
        let _told = self.socket.handle_eof(now);
        assert!(self.socket.is_closed());
    }
}
