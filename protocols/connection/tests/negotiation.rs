//! Which names may be proposed lazily, and what a lazy stream makes of its end.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_connection::{Config, Connection};
use libp2p_proto_core::{ConnectionId, Side, StreamId, TransmitBuf};
use libp2p_proto_stream_protocol::{Closed, FromConnection, StreamOrder, ToConnection};
use std::sync::Arc;
use support::{
    FRAMED, GATHERED, NOW, closed, connection, identity,
    raw::{FIN, HEADER, NOISE, RST, Raw, SYN, data, frame, line},
    seat,
};
use {libp2p_proto_multistream_select as multistream, libp2p_proto_noise as noise};

fn say(end: &mut Connection) -> Vec<u8> {
    let mut wire = Vec::new();
    while end.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 100_000)) {}
    while let Some(message) = end.poll_message() {
        if matches!(message, FromConnection::Authenticated { .. }) {
            end.handle_message(NOW, ToConnection::Admit);
        }
        let is_established = matches!(message, FromConnection::Established { .. });
        assert!(!is_established, "before the multiplexer is agreed");
    }
    wire
}

fn hear(end: &mut Connection, mut wire: Vec<u8>) {
    let mut start = 0;
    while start < wire.len() {
        let taken = end.handle_input(NOW, &mut wire[start..]).unwrap();
        assert!(taken > 0);
        start += taken;
    }
}

// covers: MSS-053
#[test]
fn neither_security_nor_multiplexer_is_lazy_so_no_lazy_stream_can_stand_on_a_lazy_connection() {
    let end = |seed: u8, side| {
        let config = Config::new(&identity(seed), [seed; 32]).unwrap();
        let config = Arc::new(config.without_inlined_muxer().unwrap());
        Connection::new(NOW, config, seat(seed, side))
    };
    let (mut dialer, mut listener) = (end(1, Side::Dialer), end(2, Side::Listener));
    // The handshake waits for the echo.
    let proposal = say(&mut dialer);
    assert_eq!(proposal, [HEADER, NOISE].concat());
    hear(&mut listener, proposal);
    hear(&mut dialer, HEADER.to_vec());
    assert!(say(&mut dialer).is_empty());
    assert_eq!(say(&mut listener), [HEADER, NOISE].concat());
    hear(&mut dialer, NOISE.to_vec());
    let first = say(&mut dialer);
    assert_eq!(first[..2], [0, 32]);
    hear(&mut listener, first);
    let second = say(&mut listener);
    hear(&mut dialer, second);
    // Streams wait for the echo of the multiplexer: an order to open one is not heard before.
    let third = say(&mut dialer);
    let stream = StreamId::ours(ConnectionId::new(1), 0);
    let (specs, lazy) = ([FRAMED].into_iter().collect(), true);
    dialer.handle_message(NOW, ToConnection::Open { stream, specs, lazy });
    let proposal = say(&mut dialer);
    // Header and `/yamux/1.0.0` in a frame of Noise, and nothing of a stream.
    assert_eq!((third.len(), proposal.len()), (170, 2 + 34 + 16));
    assert!(say(&mut dialer).is_empty());
}

// covers: MSS-059
#[test]
fn a_reset_before_the_answer_is_a_reset_and_says_nothing_about_the_name() {
    for reply in [&b""[..], HEADER, b"\x13/multi"] {
        let mut peer = Raw::upgraded(connection(2, Side::Listener));
        peer.hear();
        let stream = StreamId::ours(ConnectionId::new(2), 0);
        let (specs, lazy) = ([FRAMED].into_iter().collect(), true);
        peer.end
            .handle_message(NOW, ToConnection::Open { stream, specs, lazy });
        assert!(!peer.hear().is_empty());
        if !reply.is_empty() {
            peer.say(&data(0, 2, reply)).unwrap();
        }
        peer.say(&frame(1, RST, 2, 0, b"")).unwrap();
        peer.messages();
        assert_eq!(closed(&peer.told), [Closed::Reset]);
    }
    // A refusal is one.
    let mut peer = Raw::upgraded(connection(2, Side::Listener));
    peer.hear();
    let stream = StreamId::ours(ConnectionId::new(2), 0);
    let (specs, lazy) = ([FRAMED].into_iter().collect(), true);
    peer.end
        .handle_message(NOW, ToConnection::Open { stream, specs, lazy });
    peer.hear();
    peer.say(&data(0, 2, &[HEADER, &line("na")].concat())).unwrap();
    peer.messages();
    assert_eq!(closed(&peer.told), [Closed::Refused]);
}

#[test]
fn a_proposal_waits_for_the_first_frame_as_long_as_its_spec_says_and_no_longer() {
    let proposed = [HEADER, &line("/gathered/1")].concat();
    let stream = StreamId::ours(ConnectionId::new(2), 0);
    let open = |lazy| {
        let mut peer = Raw::upgraded(connection(2, Side::Listener));
        peer.hear();
        let specs = [GATHERED].into_iter().collect();
        peer.end
            .handle_message(NOW, ToConnection::Open { stream, specs, lazy });
        peer
    };
    // The first frame, or the end, takes it along.
    let mut peer = open(true);
    assert_eq!(peer.hear(), b"");
    peer.end.handle_message(
        NOW,
        ToConnection::Write {
            stream,
            data: "first".into(),
        },
    );
    let opening = |body: &[u8]| [frame(1, SYN, 2, 0, b""), data(0, 2, body)].concat();
    assert_eq!(peer.hear(), opening(&[&proposed[..], b"first"].concat()));
    let mut peer = open(true);
    let order = StreamOrder::Finish;
    peer.end
        .handle_message(NOW, ToConnection::Order { stream, order });
    assert_eq!(peer.hear(), [opening(&proposed), data(FIN, 2, b"")].concat());
    // Without either it leaves alone.
    let mut peer = open(true);
    let at = NOW + Duration::from_millis(5);
    assert_eq!(peer.end.poll_timeout().map(|deadline| deadline.at), Some(at));
    peer.end.handle_timeout(at);
    assert_eq!(peer.hear(), opening(&proposed));
    peer.end.handle_timeout(at);
    peer.say(&data(0, 2, &proposed)).unwrap();
    peer.messages();
    let opened = |told: &FromConnection| matches!(told, FromConnection::Opened { .. });
    assert!(peer.told.iter().any(opened) && closed(&peer.told).is_empty());
    // Where nothing may leave before the answer there is nothing to wait for; and what is reset meanwhile was never there.
    assert_eq!(open(false).hear(), opening(&proposed));
    let mut peer = open(true);
    let order = StreamOrder::Reset;
    peer.end
        .handle_message(NOW, ToConnection::Order { stream, order });
    assert!(peer.hear().is_empty());
}

#[test]
fn the_owner_sets_the_limits_of_noise_and_of_negotiations() {
    let config = |seed: u8| Config::new(&identity(seed), [seed; 32]).unwrap();
    // Names of streams of up to 64 bytes, and two refusals.
    let limits = multistream::Limits {
        message: 64,
        refusals: 2,
    };
    let end = |limits| {
        let config = Arc::new(config(2).with_negotiation_limits(limits).unwrap());
        let mut peer = Raw::upgraded(Connection::new(NOW, config, seat(2, Side::Listener)));
        peer.hear();
        peer
    };
    let long = line(&format!("/any/{}", "x".repeat(60)));
    let refused = [line("/no/1"), line("/no/2"), line("/no/3"), line("/raw/1")].concat();
    for (proposal, allowed) in [(&long, false), (&refused, false), (&line("/raw/1"), true)] {
        let said = data(1, 1, &[HEADER, proposal].concat());
        for (limits, allowed) in [(limits, allowed), (multistream::Limits::DEFAULT, true)] {
            let mut peer = end(limits);
            peer.say(&said).unwrap();
            let opened = |told: &FromConnection| matches!(told, FromConnection::Opened { .. });
            assert_eq!(peer.told.iter().any(opened), allowed, "{limits:?}");
        }
    }
    // The very first line is bounded too.
    let message = 16_383;
    let bad = multistream::Limits {
        message: 63,
        ..limits
    };
    assert!(config(2).with_negotiation_limits(bad).is_err());
    let wide = multistream::Limits { message, ..limits };
    assert!(config(2).with_negotiation_limits(wide).is_ok());
    // A handshake message that is longer than is borne.
    let limits = |handshake_message| noise::Limits {
        handshake_message,
        ..noise::Limits::default()
    };
    for bytes in [256, 257, 8192, 65_535] {
        let config = Arc::new(config(2).with_noise_limits(limits(bytes)).unwrap());
        let mut end = Connection::new(NOW, config, seat(2, Side::Dialer));
        say(&mut end);
        hear(&mut end, [HEADER, NOISE].concat());
        say(&mut end);
        // An answer of 257 bytes is announced.
        let heard = end.handle_input(NOW, &mut [1, 1]);
        assert_eq!(heard.is_ok(), bytes > 256, "{bytes}: {heard:?}");
    }
    assert!(config(2).with_noise_limits(limits(255)).is_err());
}
