//! A connection whose link is a WebSocket.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use allocation_counter::measure;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_connection::{Connection, Error};
use libp2p_proto_core::{Deadline, Instant, Rng, Side, TransmitBuf, WebSocketTarget};
use libp2p_proto_laws::{Laws, Machine, Said, Script};
use libp2p_proto_stream_protocol::{FromConnection, Seat, StreamOrder, ToConnection};
use libp2p_proto_websocket::{Config as WebConfig, Error as WebError, Event, WebSocket};
use support::{FRAMED, NOW, Pair, RAW, config, last_code, seat};

fn web_seat(seed: u8, side: Side) -> Seat {
    let target = WebSocketTarget {
        host: "example.com:4001".to_owned(),
        path: String::new(),
    };
    let mut seat = seat(seed, side);
    seat.websocket = Some(target);
    seat
}

fn web(seed: u8, side: Side) -> Connection {
    Connection::new(NOW, config(seed), web_seat(seed, side))
}

fn established(chunk: usize) -> Pair {
    let mut pair = Pair::new(web(1, Side::Dialer), web(2, Side::Listener), chunk);
    pair.run();
    assert!(pair.is_established(), "{:?}", pair.told);
    pair
}

// covers: WSK-021, WSK-031
#[test]
fn streams_run_inside_whatever_the_pieces() {
    for chunk in [1, 2, 13, 1000, 65_536, 1 << 20] {
        let mut pair = established(chunk);
        let stream = pair.open(FRAMED, false);
        pair.write(stream, Bytes::from_static(b"hello"));
        let raw = pair.open(RAW, false);
        let data: Vec<u8> = (0..150_000_u32)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        pair.write(raw, data.clone());
        pair.order(0, raw, StreamOrder::Finish);
        pair.run();
        let got = pair.frames(1);
        assert!(got.contains(&Bytes::from_static(b"hello")));
        let bulk: Vec<u8> = got
            .iter()
            .filter(|frame| *frame != "hello")
            .flatten()
            .copied()
            .collect();
        assert_eq!(bulk, data, "in pieces of {chunk}");
        assert!(pair.tails.iter().all(Vec::is_empty));
    }
}

#[test]
fn the_first_bytes_are_the_request_for_the_host_of_the_address() {
    let mut dialer = web(1, Side::Dialer);
    let mut wire = Vec::new();
    while dialer.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)) {}
    let text = String::from_utf8(wire).unwrap();
    assert!(
        text.starts_with("GET / HTTP/1.1\r\nHost: example.com:4001\r\n"),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\n"));
}

// covers: WSK-060, WSK-061
#[test]
fn either_end_closes_in_order_and_both_close_frames_go_their_way() {
    for end in [0, 1] {
        let mut pair = established(100);
        pair.ends[end].handle_message(NOW, ToConnection::Close);
        pair.run();
        assert_eq!(last_code(&pair.told[0]), "none");
        assert_eq!(last_code(&pair.told[1]), "none");
        assert!(pair.ends.iter().all(Connection::is_closed), "{:?}", pair.ends);
        assert!(pair.ends.iter().all(|end| end.poll_timeout().is_none()));
    }
}

// covers: WSK-066
#[test]
fn a_remote_that_never_answers_a_close_is_waited_for_half_a_second_more() {
    let mut pair = established(100);
    let [mut end, _] = pair.ends;
    end.handle_message(NOW, ToConnection::Close);
    let mut wire = Vec::new();
    while end.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)) {}
    assert!(!end.is_closed());
    let at = end.poll_timeout().unwrap().at;
    assert_eq!(at, NOW + Duration::from_millis(500));
    end.handle_timeout(at);
    assert!(end.is_closed());
    pair.told = Default::default();
}

#[test]
fn an_aborted_connection_says_nothing_more() {
    let mut pair = established(100);
    pair.ends[0].handle_message(NOW, ToConnection::Abort);
    assert!(pair.ends[0].is_closed());
    let mut wire = Vec::new();
    assert!(!pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)));
}

/// A peer that speaks WebSocket by itself, and what it wants inside.
struct Visitor {
    socket: WebSocket,
    end: Connection,
    /// What came behind the answer to the upgrade.
    greeting: Vec<u8>,
}

impl Visitor {
    fn new() -> Self {
        let socket = WebSocket::client(WebConfig::default(), "a", "", Rng::from_seed([4; 32]), NOW).unwrap();
        let mut visitor = Self {
            socket,
            end: web(2, Side::Listener),
            greeting: Vec::new(),
        };
        visitor.say(b"").unwrap();
        visitor.greeting = visitor.hear();
        assert!(visitor.socket.is_open());
        visitor
    }

    fn wire(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut payload = Some(payload).filter(|payload| !payload.is_empty());
        while self
            .socket
            .poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1 << 20), |out| {
                payload.take().is_some_and(|payload| out.put(payload))
            })
        {}
        wire
    }

    fn say(&mut self, payload: &[u8]) -> Result<usize, Error> {
        let mut wire = self.wire(payload);
        self.end.handle_input(NOW, &mut wire)
    }

    fn hear(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self
            .end
            .poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1 << 20))
        {}
        let mut heard = Vec::new();
        self.socket
            .handle_input(NOW, &mut wire, |data| {
                heard.extend_from_slice(data);
                Ok::<_, WebError>(data.len())
            })
            .unwrap();
        heard
    }

    fn told(&mut self) -> Vec<FromConnection> {
        std::iter::from_fn(|| self.end.poll_message()).collect()
    }
}

// covers: WSK-068
#[test]
fn an_error_inside_closes_the_websocket_with_a_code() {
    let mut visitor = Visitor::new();
    assert!(matches!(visitor.say(b"\x05nope\n"), Err(Error::Multistream(_))));
    assert!(matches!(visitor.say(b"more"), Err(Error::Multistream(_))));
    visitor.hear();
    assert_eq!(visitor.socket.poll_event(), Some(Event::Opened));
    let Some(Event::Closed { code }) = visitor.socket.poll_event() else {
        panic!("not closed")
    };
    assert_eq!(code.get(), 1008);
    let mut answer = visitor.wire(b"");
    assert!(visitor.end.handle_input(NOW, &mut answer).is_err());
    assert!(visitor.end.is_closed());
}

#[test]
fn a_close_of_the_remote_in_the_upgrade_is_the_end_of_its_bytes() {
    let mut visitor = Visitor::new();
    visitor
        .socket
        .close(NOW, libp2p_proto_websocket::CloseCode::NORMAL);
    assert_eq!(visitor.say(b""), Err(Error::UnexpectedEof));
    visitor.hear();
    assert!(visitor.socket.is_closed() && visitor.end.is_closed());
    assert_eq!(last_code(&visitor.told()), "eof");
}

#[test]
fn a_close_with_a_code_that_is_not_clean_is_told() {
    let mut visitor = Visitor::new();
    visitor
        .socket
        .close(NOW, libp2p_proto_websocket::CloseCode::INTERNAL);
    assert_eq!(visitor.say(b""), Err(Error::WebSocketClosed(1011)));
    assert_eq!(last_code(&visitor.told()), "ws-closed");
}

#[test]
fn a_close_frame_waits_for_what_came_before_it() {
    let mut visitor = Visitor::new();
    // All of the upgrade and its end in one piece: the swarm has not yet admitted the peer when the end comes.
    let mut inside = Connection::new(NOW, config(1), seat(1, Side::Dialer));
    let mut greeting = std::mem::take(&mut visitor.greeting);
    inside.handle_input(NOW, &mut greeting).unwrap();
    let mut left = Vec::new();
    let mut ended = false;
    for _ in 0..10 {
        let mut said = Vec::new();
        while inside.poll_transmit(NOW, &mut TransmitBuf::new(&mut said, 1 << 16)) {}
        while inside.poll_message().is_some() {}
        left.extend(visitor.wire(&said));
        if !visitor.end.wants_input() {
            // It is authenticated and waits for the swarm; now the end comes.
            visitor
                .socket
                .close(NOW, libp2p_proto_websocket::CloseCode::NORMAL);
            left.extend(visitor.wire(b""));
            ended = true;
        }
        let taken = visitor.end.handle_input(NOW, &mut left).unwrap();
        left.drain(..taken);
        if ended {
            break;
        }
        let mut heard = visitor.hear();
        inside.handle_input(NOW, &mut heard).unwrap();
    }
    assert!(ended);
    assert!(!visitor.end.is_closed());
    assert!(matches!(
        visitor.told()[..],
        [FromConnection::Authenticated { .. }]
    ));
    visitor.end.handle_message(NOW, ToConnection::Admit);
    visitor.hear();
    let taken = visitor.end.handle_input(NOW, &mut left);
    assert!(taken.is_ok());
    visitor.hear();
    let told = visitor.told();
    assert!(matches!(told[0], FromConnection::Established { .. }), "{told:?}");
    assert_eq!(last_code(&told), "none");
}

// covers: WSK-018
#[test]
fn a_link_that_is_silent_is_given_up_at_the_deadline_of_the_upgrade() {
    for (side, said) in [
        (Side::Listener, &b""[..]),
        (Side::Listener, b"GET / HT"),
        (Side::Dialer, b"HTTP/1.1 1"),
    ] {
        let mut end = web(2, side);
        let mut wire = Vec::new();
        while end.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)) {}
        assert_eq!(end.handle_input(NOW, &mut said.to_vec()), Ok(0));
        let at = end.poll_timeout().unwrap().at;
        assert_eq!(at, NOW + Duration::from_secs(10));
        end.handle_timeout(at);
        while end.poll_transmit(at, &mut TransmitBuf::new(&mut wire, 4096)) {}
        assert!(end.is_closed());
        let told: Vec<_> = std::iter::from_fn(|| end.poll_message()).collect();
        assert_eq!(last_code(&told), "ws-upgrade-timeout");
    }
}

#[test]
fn a_listener_of_websockets_refuses_what_is_none_at_once() {
    let mut end = web(2, Side::Listener);
    let error = end.handle_input(NOW, &mut b"\x13/multistream/1.0.0\n".to_vec());
    assert_eq!(error, Err(Error::WebSocket(WebError::NotHttp)));
    let mut wire = Vec::new();
    while end.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)) {}
    assert!(wire.starts_with(b"HTTP/1.1 400 "));
    assert!(end.is_closed());
    let told: Vec<_> = std::iter::from_fn(|| end.poll_message()).collect();
    assert_eq!(last_code(&told), "ws-not-http");
}

#[test]
fn a_host_that_can_not_stand_in_a_request_fails_at_once() {
    let mut seat = web_seat(1, Side::Dialer);
    seat.websocket = Some(WebSocketTarget {
        host: "a\r\nb".to_owned(),
        path: String::new(),
    });
    let mut end = Connection::new(NOW, config(1), seat);
    assert!(end.is_closed());
    let told: Vec<_> = std::iter::from_fn(|| end.poll_message()).collect();
    assert_eq!(last_code(&told), "ws-bad-host");
}

// covers: WSK-048
#[test]
fn vul_162_a_websocket_costs_a_kibibyte_more() {
    for side in [Side::Dialer, Side::Listener] {
        let kept = |websocket: bool| {
            let config = config(2);
            let mut end = None;
            let info = measure(|| {
                let mut seat = web_seat(2, side);
                seat.websocket = seat.websocket.filter(|_| websocket);
                let mut fresh = Connection::new(NOW, config, seat);
                let mut out = Vec::new();
                while fresh.poll_transmit(NOW, &mut TransmitBuf::new(&mut out, 4096)) {}
                end = Some(fresh);
            });
            usize::try_from(info.bytes_current).unwrap()
        };
        let (with, without) = (kept(true), kept(false));
        println!("{side:?}: {with} bytes with, {without} without");
        assert!(with <= without + 1200);
    }
}

/// A listener in a WebSocket below a swarm that admits everyone.
struct Inside(Connection, Instant);

impl Machine for Inside {
    fn handle_input(&mut self, now: Instant, input: &mut [u8]) -> Result<usize, String> {
        self.1 = self.1.max(now);
        self.0
            .handle_input(now, input)
            .map_err(|error| format!("{error:?}"))
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> bool {
        self.0.poll_transmit(now, out)
    }

    fn poll_event(&mut self) -> Option<Said> {
        let message = self.0.poll_message()?;
        if matches!(message, FromConnection::Authenticated { .. }) {
            self.0.handle_message(self.1, ToConnection::Admit);
        }
        Some(Said::Word(format!("{message:?}")))
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.1 = self.1.max(now);
        self.0.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.0.poll_timeout()
    }
}

fn laws() -> Laws<Inside> {
    let config = config(2);
    Laws::of(move |now| {
        let mut seat = web_seat(2, Side::Listener);
        seat.upgrade_by = now + Duration::from_secs(10);
        Inside(Connection::new(now, config.clone(), seat), now)
    })
}

/// What a dialer says to this listener, flight by flight, up to the end of its upgrade.
fn flights() -> Vec<Vec<u8>> {
    let mut pair = Pair::new(web(1, Side::Dialer), web(2, Side::Listener), 1 << 20);
    let mut flights = Vec::new();
    for _ in 0..20 {
        let mut wire = Vec::new();
        while pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1 << 20)) {}
        if !wire.is_empty() {
            flights.push(wire.clone());
        }
        pair.tails[1].extend(wire);
        pair.feed(1);
        pair.messages(1);
        while pair.ends[1].poll_transmit(NOW, &mut TransmitBuf::new(&mut pair.tails[0], 1 << 20)) {}
        pair.feed(0);
        pair.messages(0);
    }
    assert!(pair.is_established());
    flights
}

#[test]
fn a_connection_in_a_websocket_keeps_the_laws() {
    let flights = flights();
    for count in 0..=flights.len() {
        let script = flights[..count]
            .iter()
            .fold(Script::new(), |script, flight| script.input(flight));
        laws().hold(&script.wait(Duration::from_secs(12)));
    }
    let bad = flights
        .iter()
        .fold(Script::new(), |script, flight| script.input(flight));
    // An unmasked frame.
    let bad = bad.input(&[0x82, 1, 1]);
    laws().hold(&bad);
    laws().are_kept_after_an_error(&bad, 4);
}
