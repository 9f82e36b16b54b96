//! What all tests share.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use libp2p_proto_core::{Instant, Rng, Side, TransmitBuf};
use libp2p_proto_websocket::{Config, Error, WebSocket};

pub const NOW: Instant = Instant::from_millis(1000);

/// The request of RFC 6455 section 1.3, less its origin and subprotocols.
pub const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// Its answer.
pub const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

pub fn rng(seed: u8) -> Rng {
    Rng::from_seed([seed; 32])
}

pub fn server() -> WebSocket {
    WebSocket::server(Config::default(), NOW).unwrap()
}

pub fn client() -> WebSocket {
    WebSocket::client(Config::default(), "example.com:4001", "", rng(1), NOW).unwrap()
}

pub fn of(side: Side) -> WebSocket {
    match side {
        Side::Dialer => client(),
        Side::Listener => server(),
    }
}

/// All that waits to be sent, without payload.
pub fn transmit(socket: &mut WebSocket, now: Instant) -> Vec<u8> {
    let mut wire = Vec::new();
    while socket.poll_transmit(now, &mut TransmitBuf::new(&mut wire, 1 << 20), |_| false) {}
    wire
}

/// One frame with this payload, behind all that waits.
pub fn send(socket: &mut WebSocket, now: Instant, payload: &[u8]) -> Vec<u8> {
    let mut wire = transmit(socket, now);
    socket.poll_transmit(now, &mut TransmitBuf::new(&mut wire, 1 << 20), |out| {
        out.put(payload)
    });
    wire
}

/// Hands `bytes` in, and answers the payload and what was not taken.
pub fn feed(socket: &mut WebSocket, now: Instant, bytes: &[u8]) -> Result<(Vec<u8>, usize), Error> {
    let mut payload = Vec::new();
    let mut input = bytes.to_vec();
    let taken = socket.handle_input(now, &mut input, |data| {
        payload.extend_from_slice(data);
        Ok::<_, Error>(data.len())
    })?;
    Ok((payload, input.len() - taken))
}

/// The right answer to a client's request.
pub fn answer(request: &[u8]) -> String {
    let text = String::from_utf8(request.to_vec()).unwrap();
    let key = text
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    ANSWER.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &accept)
}

/// A machine of this side behind its upgrade.
pub fn open(side: Side) -> WebSocket {
    open_with(side, Config::default())
}

pub fn open_with(side: Side, config: Config) -> WebSocket {
    let mut socket = match side {
        Side::Dialer => WebSocket::client(config, "example.com:4001", "", rng(1), NOW).unwrap(),
        Side::Listener => WebSocket::server(config, NOW).unwrap(),
    };
    let there = transmit(&mut socket, NOW);
    let head = match side {
        Side::Dialer => answer(&there),
        Side::Listener => REQUEST.to_owned(),
    };
    assert_eq!(feed(&mut socket, NOW, head.as_bytes()), Ok((Vec::new(), 0)));
    transmit(&mut socket, NOW);
    assert!(socket.is_open());
    while socket.poll_event().is_some() {}
    socket
}

/// A frame that a machine of this side may get. `first` is FIN, reserved bits and opcode.
pub fn frame(to: Side, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = if to == Side::Listener { 0x80 } else { 0 };
    let len = payload.len();
    let mut wire = match len {
        0..=125 => vec![first, mask | u8::try_from(len).unwrap()],
        126..=65_535 => [
            &[first, mask | 0x7e][..],
            &u16::try_from(len).unwrap().to_be_bytes(),
        ]
        .concat(),
        _ => [&[first, mask | 0x7f][..], &(len as u64).to_be_bytes()].concat(),
    };
    let key = [0x37, 0xfa, 0x21, 0x3d];
    if mask != 0 {
        wire.extend(key);
        wire.extend(
            payload
                .iter()
                .zip(key.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
    } else {
        wire.extend(payload);
    }
    wire
}

/// The frames of an output as (first byte, payload), unmasked; the mask must be there if `masked`.
pub fn frames(mut wire: &[u8], masked: bool) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [first, second, rest @ ..] = wire {
        assert_eq!(second & 0x80 != 0, masked);
        let (len, rest) = match (second & 0x7f, rest) {
            (126, rest) => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            (127, _) => panic!("no frame of ours is that long"),
            (len, rest) => (usize::from(len), rest),
        };
        let (key, rest) = if masked {
            (rest[..4].to_vec(), &rest[4..])
        } else {
            (vec![0; 4], rest)
        };
        let payload = rest[..len]
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key);
        found.push((*first, payload.collect()));
        wire = &rest[len..];
    }
    found
}

pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Words of hex; `ab*3` is `ababab`.
pub fn unhex(text: &str) -> Vec<u8> {
    let decode = |word: &str| data_encoding::HEXLOWER.decode(word.as_bytes()).unwrap();
    text.split_whitespace()
        .flat_map(|word| match word.split_once('*') {
            Some((bytes, count)) => decode(bytes).repeat(count.parse().unwrap()),
            None => decode(word),
        })
        .collect()
}
