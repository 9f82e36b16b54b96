//! The client, and the relays and targets that it meets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::{Multiaddr, StreamId};
use libp2p_proto_relay::{ClientConfig, Event, HopMessage, Limit, Relay, Status, StopMessage};
use libp2p_proto_stream_protocol::{
    AttemptError, Closed, DialError, Fact, Input, Link, Reachability, Target, Traffic,
    bench::{Bench, Puppet},
};
use support::*;

/// Our address through the relay.
fn circuit() -> Multiaddr {
    addr(&format!("/ip4/198.51.100.7/tcp/4001/p2p/{}/p2p-circuit", peer(1)))
}

fn closed(puppet: &Puppet, wanted: StreamId) -> Option<Closed> {
    puppet.inputs.iter().find_map(|input| match input {
        Input::Closed { stream, reason } if *stream == wanted => Some(*reason),
        _ => None,
    })
}

struct Duo {
    bench: Bench,
    relay: Puppet,
    client: Relay,
    conn: libp2p_proto_core::ConnectionId,
}

impl Duo {
    fn new(config: ClientConfig) -> Self {
        let mut bench = bench(2);
        let conn = bench.connect(1, 0);
        let mut duo = Self {
            bench,
            relay: puppet(),
            client: client(2, config),
            conn,
        };
        duo.wait(1);
        duo
    }

    fn wait(&mut self, time: u64) {
        self.bench
            .run(&mut [&mut self.relay, &mut self.client], secs(time));
    }

    fn say(&mut self, stream: StreamId, data: Vec<u8>) {
        self.bench
            .with(0, &self.relay, |cx| cx.write(stream, data))
            .unwrap();
        self.wait(1);
    }

    /// The last stream that the client opened.
    fn last(&self) -> StreamId {
        *self.relay.opened().last().unwrap()
    }

    fn grant(&self, secs_from_now: u64) -> HopMessage {
        let unix = 1_700_000_000 + self.bench.now().as_nanos() / 1_000_000_000;
        HopMessage::Status {
            status: Status::Ok,
            reservation: Some(libp2p_proto_relay::Reservation {
                expire: unix + secs_from_now,
                addrs: vec![addr("/ip4/198.51.100.7/tcp/4001")],
                voucher: None,
            }),
            limit: Limit {
                duration: 120,
                data: 131_072,
            },
        }
    }

    fn reserve(&mut self) {
        self.client.reserve(peer(1), Vec::new());
        self.wait(1);
        let grant = self.grant(3600).encode();
        self.say(self.last(), grant);
        let told = events(&mut self.client);
        assert!(
            matches!(told[..], [Event::Reserved { renewed: false, .. }]),
            "{told:?}"
        );
    }
}

// covers: RLY-010, RLY-011, RLY-016, RLY-017, RLY-021, RLY-028
#[test]
fn a_slot_gives_addresses_that_others_are_told_of_and_no_longer_when_it_is_lost() {
    let mut duo = Duo::new(ClientConfig::default());
    duo.client.reserve(peer(1), Vec::new());
    duo.wait(1);
    assert_eq!(duo.relay.frames(duo.last()), [Bytes::from_static(&[8, 0])]);
    let grant = duo.grant(3600).encode();
    duo.say(duo.last(), grant);
    let Some(Event::Reserved { addrs, limit, .. }) = duo.client.poll_event() else {
        panic!("not reserved")
    };
    assert_eq!((addrs, limit.duration), (vec![circuit()], 120));
    let told = |up| Fact::ListenAddress {
        addr: addr(&format!("/ip4/198.51.100.7/tcp/4001/p2p/{}/p2p-circuit", peer(1))),
        up,
    };
    assert_eq!(duo.bench.take_facts(1), [told(true)]);
    assert_eq!(duo.bench.kept(1), [duo.conn], "it does not go as idle");
    duo.bench.disconnect(duo.conn);
    duo.wait(1);
    assert_eq!(duo.bench.kept(1), []);
    assert_eq!(duo.bench.take_facts(1), [told(false)]);
    assert_eq!(events(&mut duo.client), [Event::Lost { relay: peer(1) }]);
}

// covers: RLY-011, RLY-012, RLY-023, RLY-027
#[test]
fn an_answer_that_is_no_reservation_is_a_failure_with_its_cause() {
    let unix = 1_700_000_000;
    let reservation = |expire| HopMessage::Status {
        status: Status::Ok,
        reservation: Some(libp2p_proto_relay::Reservation {
            expire,
            ..Default::default()
        }),
        limit: Limit::default(),
    };
    for (answer, cause) in [
        (Some(HopMessage::status(Status::Ok)), "malformed answer"),
        (Some(HopMessage::Reserve), "malformed answer"),
        (
            Some(HopMessage::status(Status::ReservationRefused)),
            "refused with status 200",
        ),
        (
            Some(HopMessage::status(Status::Other(999))),
            "refused with status 999",
        ),
        (Some(reservation(1)), "expires too soon"),
        (Some(reservation(unix + 30)), "expires too soon"),
        (None, "no answer in time"),
    ] {
        let mut duo = Duo::new(ClientConfig::default());
        duo.client.reserve(peer(1), Vec::new());
        duo.wait(1);
        match &answer {
            Some(answer) => duo.say(duo.last(), answer.encode()),
            None => duo.wait(10),
        }
        let told = events(&mut duo.client);
        let [Event::NotReserved { failure, .. }] = told[..] else {
            panic!("{answer:?}: {told:?}")
        };
        assert_eq!(failure.to_string(), cause);
        assert_eq!(duo.client.stats().slots, 0);
    }
    // The end of time is cut, not overflown.
    let mut duo = Duo::new(ClientConfig::default());
    duo.client.reserve(peer(1), Vec::new());
    duo.wait(1);
    duo.say(duo.last(), reservation(u64::MAX).encode());
    assert_eq!(duo.client.stats().slots, 1);
}

// covers: RLY-014, RLY-015
#[test]
fn a_slot_is_renewed_at_three_quarters_and_kept_to_its_end_when_that_fails() {
    let mut duo = Duo::new(ClientConfig::default());
    duo.reserve();
    let asked = duo.relay.opened().len();
    duo.wait(2690);
    assert_eq!(duo.relay.opened().len(), asked);
    duo.wait(12);
    assert_eq!(duo.relay.opened().len(), asked + 1);
    let refused = HopMessage::status(Status::ReservationRefused).encode();
    duo.say(duo.last(), refused);
    assert!(matches!(events(&mut duo.client)[..], [Event::NotReserved { .. }]));
    assert_eq!(duo.client.stats().slots, 1);
    // It is asked again before the end.
    duo.wait(300);
    assert!(duo.relay.opened().len() > asked + 1);
    duo.wait(700);
    let told = events(&mut duo.client);
    assert!(told.contains(&Event::Lost { relay: peer(1) }), "{told:?}");
}

// covers: RLY-018, RLY-019
#[test]
fn addresses_of_the_relay_are_filtered_and_the_dialed_one_stands_in() {
    let mut duo = Duo::new(ClientConfig::default());
    duo.client.reserve(peer(1), Vec::new());
    duo.wait(1);
    let other = format!("/ip4/198.51.100.8/tcp/1/p2p/{}", peer(9));
    let circuit = format!("/ip4/198.51.100.8/tcp/1/p2p/{}/p2p-circuit", peer(1));
    let HopMessage::Status {
        reservation: Some(mut reservation),
        limit,
        status,
    } = duo.grant(3600)
    else {
        panic!("a grant")
    };
    reservation.addrs = vec![addr("/ip4/10.0.0.1/tcp/1"), addr(&other), addr(&circuit)];
    let grant = HopMessage::Status {
        status,
        reservation: Some(reservation),
        limit,
    };
    duo.say(duo.last(), grant.encode());
    let Some(Event::Reserved { addrs, .. }) = duo.client.poll_event() else {
        panic!("not reserved")
    };
    let dialed = format!("/ip4/192.0.2.1/tcp/4001/p2p/{}/p2p-circuit", peer(1));
    assert_eq!(addrs, [addr(&dialed)]);
}

// covers: RLY-013, RLY-024
#[test]
fn over_a_relayed_connection_no_slot_is_asked_for() {
    let mut bench = bench(2);
    let (mut relay, mut client) = (puppet(), client(2, ClientConfig::default()));
    bench.connect_with(1, 0, true);
    bench.run(&mut [&mut relay, &mut client], secs(1));
    client.reserve(peer(1), Vec::new());
    bench.run(&mut [&mut relay, &mut client], secs(1));
    // A direct connection is dialed for, and does not come.
    assert!(matches!(bench.dials(1), [dial] if dial.force));
    bench.inject(1, dial_failed(1));
    bench.run(&mut [&mut relay, &mut client], secs(1));
    assert!(relay.opened().is_empty());
    assert!(matches!(events(&mut client)[..], [Event::NotReserved { .. }]));
}

// covers: RLY-025, RLY-026
#[test]
fn relays_are_chosen_while_we_are_private_and_given_up_when_we_are_not() {
    let mut duo = Duo::new(ClientConfig::default());
    let offers = Fact::PeerProtocols {
        peer: peer(1),
        protocols: vec![libp2p_proto_relay::HOP].into(),
    };
    duo.bench.inject(1, Input::Fact(offers));
    duo.wait(1);
    assert!(
        duo.relay.opened().is_empty(),
        "nobody knows yet whether we are private"
    );
    duo.bench
        .inject(1, Input::Fact(Fact::Reachability(Reachability::Private)));
    duo.wait(1);
    let grant = duo.grant(3600).encode();
    duo.say(duo.last(), grant);
    assert_eq!(duo.client.stats().slots, 1);
    duo.bench
        .inject(1, Input::Fact(Fact::Reachability(Reachability::Public)));
    duo.wait(1);
    assert_eq!(duo.client.stats().slots, 0);
    assert_eq!(duo.bench.take_facts(1).len(), 2);
    // Once it refuses it is left alone for an hour.
    let mut duo = Duo::new(ClientConfig::default());
    let offers = || Fact::PeerProtocols {
        peer: peer(1),
        protocols: vec![libp2p_proto_relay::HOP].into(),
    };
    duo.bench.inject(1, Input::Fact(offers()));
    duo.wait(183);
    duo.say(
        duo.last(),
        HopMessage::status(Status::ReservationRefused).encode(),
    );
    let asked = duo.relay.opened().len();
    duo.bench.inject(1, Input::Fact(offers()));
    duo.wait(1000);
    assert_eq!(duo.relay.opened().len(), asked);
}

// ── circuits of a client ──

fn wanted(number: u64) -> Input {
    Input::LinkWanted {
        conn: libp2p_proto_core::ConnectionId::new(number),
        peer: peer(5),
        addr: circuit(),
    }
}

// covers: RLY-006, RLY-053, RLY-055, RLY-057
#[test]
fn a_link_is_made_over_the_connection_that_stands_and_gets_the_bytes_behind_the_answer() {
    let mut duo = Duo::new(ClientConfig::default());
    let (first, second) = (wanted(77), wanted(78));
    duo.bench.inject(1, first);
    duo.bench.inject(1, second);
    duo.wait(1);
    assert_eq!(duo.relay.opened().len(), 2);
    let stream = duo.relay.opened()[0];
    let ask = HopMessage::Connect { peer: peer(5) }.encode();
    assert_eq!(duo.relay.frames(stream), [Bytes::from(ask)]);
    assert!(!duo.relay.inputs.contains(&Input::Finished { stream }));
    let next = Bytes::from_static(b"\x13/multistream/1.0.0\n");
    duo.bench
        .with(0, &duo.relay, |cx| {
            cx.write(stream, HopMessage::status(Status::Ok).encode())?;
            cx.write(stream, next.clone())
        })
        .unwrap();
    duo.wait(1);
    let [(ours, link)] = duo.bench.promoted(1) else {
        panic!("one link")
    };
    let conn = libp2p_proto_core::ConnectionId::new(77);
    assert_eq!(*link, Link::Dialed { conn, limited: false });
    assert_eq!(duo.bench.handed_over(1, *ours), Some(&next[..]));
    assert!(duo.bench.dials(1).is_empty());
}

// covers: RLY-056, RLY-062
#[test]
fn each_refusal_of_a_circuit_has_its_own_cause_and_one_without_a_slot_is_remembered() {
    for (status, word) in [
        (Status::NoReservation, "no-reservation"),
        (Status::ResourceLimitExceeded, "resource-limit-exceeded"),
        (Status::PermissionDenied, "permission-denied"),
        (Status::ConnectionFailed, "connection-failed"),
        (Status::MalformedMessage, "malformed-message"),
        (Status::Other(999), "unknown-status"),
    ] {
        let mut duo = Duo::new(ClientConfig::default());
        let first = wanted(77);
        duo.bench.inject(1, first);
        duo.wait(1);
        duo.say(duo.last(), HopMessage::status(status).encode());
        let conn = libp2p_proto_core::ConnectionId::new(77);
        assert_eq!(duo.bench.failed_links(1), [(conn, AttemptError::Transport(word))]);
        let asked = duo.relay.opened().len();
        let again = wanted(78);
        duo.bench.inject(1, again);
        duo.wait(1);
        let remembered = duo.relay.opened().len() == asked;
        assert_eq!(remembered, status == Status::NoReservation);
        assert_eq!(duo.client.stats().dialing, usize::from(!remembered));
    }
    // Nobody answers at all.
    let mut duo = Duo::new(ClientConfig::default());
    let first = wanted(77);
    duo.bench.inject(1, first);
    duo.wait(61);
    let conn = libp2p_proto_core::ConnectionId::new(77);
    assert_eq!(duo.bench.failed_links(1), [(conn, AttemptError::TimedOut)]);
    assert_eq!(duo.client.stats().dialing, 0);
}

// covers: RLY-051, RLY-052, RLY-054
#[test]
fn vul_136_links_through_nobody_through_two_or_over_a_relayed_connection_are_not_made() {
    for bad in [
        "/p2p-circuit".to_owned(),
        "/ip4/198.51.100.7/tcp/4001/p2p-circuit".into(),
        format!("/p2p/{}/p2p-circuit/p2p/{}/p2p-circuit", peer(1), peer(3)),
        format!("/p2p/{}/p2p-circuit", peer(2)),
        "/ip4/198.51.100.7/tcp/4001".into(),
    ] {
        let mut duo = Duo::new(ClientConfig::default());
        let conn = libp2p_proto_core::ConnectionId::new(77);
        let input = Input::LinkWanted {
            conn,
            peer: peer(5),
            addr: addr(&bad),
        };
        duo.bench.inject(1, input);
        duo.wait(1);
        assert_eq!(
            duo.bench.failed_links(1),
            [(conn, AttemptError::Denied("bad-circuit"))],
            "{bad}"
        );
        assert!(duo.relay.opened().is_empty());
    }
    let mut bench = bench(2);
    let (mut relay, mut client) = (puppet(), client(2, ClientConfig::default()));
    bench.connect_with(1, 0, true);
    bench.run(&mut [&mut relay, &mut client], secs(1));
    let conn = libp2p_proto_core::ConnectionId::new(77);
    let input = Input::LinkWanted {
        conn,
        peer: peer(5),
        addr: addr(&format!("/ip4/198.51.100.7/tcp/4001/p2p/{}/p2p-circuit", peer(1))),
    };
    bench.inject(1, input);
    bench.run(&mut [&mut relay, &mut client], secs(1));
    assert!(matches!(bench.dials(1), [dial] if dial.force));
    bench.inject(1, dial_failed(1));
    bench.run(&mut [&mut relay, &mut client], secs(1));
    assert!(relay.opened().is_empty());
    assert_eq!(bench.failed_links(1).len(), 1);
}

/// The dial with this number came to nothing.
fn dial_failed(dial: u64) -> Input {
    Input::DialFailed {
        dial: libp2p_proto_core::DialId::new(dial),
        peer: Some(peer(1)),
        error: DialError::TimedOut,
    }
}

// ── what a relay brings ──

impl Duo {
    fn offer(&mut self, message: Vec<u8>) -> (StreamId, Option<StopMessage>) {
        let conn = self.conn;
        let stream = self
            .bench
            .with(0, &self.relay, |cx| {
                cx.open(Target::Connection(conn), &[STOP_SPEC])
            })
            .unwrap();
        self.wait(1);
        self.say(stream, message);
        let answer = stops(&self.relay, stream).pop();
        (stream, answer)
    }
}

fn stop_connect(from: u8) -> Vec<u8> {
    let limit = Limit {
        duration: 120,
        data: 131_072,
    };
    StopMessage::Connect {
        peer: peer(from),
        limit,
    }
    .encode()
}

// covers: RLY-050, RLY-087, RLY-091, RLY-092
#[test]
fn a_circuit_of_our_relay_becomes_a_link_from_the_peer_that_it_names() {
    let mut duo = Duo::new(ClientConfig::default());
    duo.reserve();
    let conn = duo.conn;
    let stream = duo
        .bench
        .with(0, &duo.relay, |cx| {
            cx.open(Target::Connection(conn), &[STOP_SPEC])
        })
        .unwrap();
    duo.wait(1);
    duo.bench
        .with(0, &duo.relay, |cx| {
            cx.write(stream, stop_connect(5))?;
            cx.write(stream, "hello")
        })
        .unwrap();
    duo.wait(1);
    assert_eq!(
        stops(&duo.relay, stream),
        [StopMessage::Status { status: Status::Ok }]
    );
    let [(ours, link)] = duo.bench.promoted(1) else {
        panic!("one link")
    };
    let remote = addr(&format!("/ip4/192.0.2.1/tcp/4001/p2p/{}/p2p-circuit", peer(1)));
    let wanted = Link::Accepted {
        peer: peer(5),
        remote,
        limited: true,
    };
    assert_eq!(*link, wanted);
    assert_eq!(duo.bench.handed_over(1, *ours), Some(&b"hello"[..]));
}

// covers: RLY-061, RLY-074
#[test]
fn what_is_left_of_a_relayed_connection_falls_with_bytes_in_both_directions_and_with_time() {
    let mut duo = Duo::new(ClientConfig::default());
    let [limited, unlimited] = [77, 78].map(libp2p_proto_core::ConnectionId::new);
    duo.bench.inject(1, wanted(77));
    duo.bench.inject(1, wanted(78));
    duo.wait(1);
    let (streams, at) = (duo.relay.opened().clone(), duo.bench.now());
    let limit = Limit {
        duration: 120,
        data: 1000,
    };
    for (stream, limit) in streams.iter().zip([limit, Limit::default()]) {
        let status = HopMessage::Status {
            status: Status::Ok,
            reservation: None,
            limit,
        };
        duo.bench
            .with(0, &duo.relay, |cx| cx.write(*stream, status.encode()))
            .unwrap();
    }
    duo.wait(0);
    duo.wait(1);
    let carried = |bytes_in, bytes_out| Traffic {
        bytes_in,
        bytes_out,
        rtt: None,
    };
    let left = |duo: &Duo, conn, carried, secs_later| {
        let left = duo.client.left(at + secs(secs_later), conn, carried)?;
        Some((left.bytes, left.time.map(|time| time.as_secs_f64().round())))
    };
    assert_eq!(
        left(&duo, limited, carried(0, 0), 0),
        Some((Some(1000), Some(120.0)))
    );
    assert_eq!(
        left(&duo, limited, carried(300, 500), 20),
        Some((Some(200), Some(100.0)))
    );
    assert_eq!(
        left(&duo, limited, carried(600, 600), 500),
        Some((Some(0), Some(0.0)))
    );
    assert_eq!(left(&duo, unlimited, carried(600, 600), 500), Some((None, None)));
    assert_eq!(left(&duo, duo.conn, carried(0, 0), 0), None, "this one is direct");
    duo.bench.disconnect(duo.conn);
    duo.wait(1);
    assert_eq!(left(&duo, limited, carried(0, 0), 0), None, "it is gone");
}

// covers: RLY-086, RLY-089, RLY-090
#[test]
fn vul_138_circuits_nobody_asked_for_too_many_and_malformed_are_refused() {
    let mut duo = Duo::new(ClientConfig::default());
    let answer = |(_, answer): (StreamId, Option<StopMessage>)| match answer {
        Some(StopMessage::Status { status }) => Some(status),
        _ => None,
    };
    assert_eq!(answer(duo.offer(stop_connect(5))), Some(Status::NoReservation));
    duo.reserve();
    assert_eq!(answer(duo.offer(vec![8, 1])), Some(Status::UnexpectedMessage));
    assert_eq!(answer(duo.offer(vec![8, 7])), Some(Status::UnexpectedMessage));
    assert_eq!(answer(duo.offer(vec![8, 0])), Some(Status::MalformedMessage));
    let answers: Vec<_> = (0..20)
        .map(|from| answer(duo.offer(stop_connect(from + 5))))
        .collect();
    assert_eq!(answers[..8], [Some(Status::Ok); 8]);
    assert!(
        answers[8..]
            .iter()
            .all(|status| *status == Some(Status::ResourceLimitExceeded))
    );
    assert_eq!(duo.client.stats().inbound, 8);
}

// covers: RLY-085
#[test]
fn a_relay_that_says_nothing_is_cut_off() {
    let mut duo = Duo::new(ClientConfig::default());
    let conn = duo.conn;
    let stream = duo
        .bench
        .with(0, &duo.relay, |cx| {
            cx.open(Target::Connection(conn), &[STOP_SPEC])
        })
        .unwrap();
    duo.wait(59);
    assert_eq!(closed(&duo.relay, stream), None);
    duo.wait(2);
    assert_eq!(closed(&duo.relay, stream), Some(Closed::Reset));
}
