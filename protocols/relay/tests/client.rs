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

// covers: RLY-010, RLY-011, RLY-013, RLY-016, RLY-017, RLY-021, RLY-028
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

// covers: RLY-024
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

// covers: RLY-026
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

fn offers(from: u8) -> Input {
    Input::Fact(Fact::PeerProtocols {
        peer: peer(from),
        protocols: vec![libp2p_proto_relay::HOP].into(),
    })
}

/// How often candidates were asked for.
fn asked_for(client: &mut Relay) -> usize {
    let told = events(client);
    told.iter()
        .filter(|event| **event == Event::CandidatesWanted)
        .count()
}

// covers: RLY-025
#[test]
fn two_slots_are_kept_and_candidates_asked_for_twice_a_minute_while_few_are_known() {
    // Five that offer, of whom the first refuses and the others grant.
    let mut bench = bench(7);
    let mut relays: Vec<Puppet> = (0..5)
        .map(|_| {
            puppet().reacting(|cx, input| {
                if let Input::Frame { stream, .. } = input {
                    let refused = HopMessage::status(Status::ReservationRefused);
                    let granted = HopMessage::Status {
                        status: Status::Ok,
                        reservation: Some(libp2p_proto_relay::Reservation {
                            expire: cx.unix.as_secs() + 7200,
                            addrs: vec![addr("/ip4/198.51.100.8/tcp/4001")],
                            voucher: None,
                        }),
                        limit: Limit::default(),
                    };
                    let answer = if cx.local == peer(1) { refused } else { granted };
                    cx.write(*stream, answer.encode()).unwrap();
                    cx.finish(*stream);
                }
            })
        })
        .collect();
    let mut client = client(2, ClientConfig::default());
    let run = |bench: &mut Bench, client: &mut Relay, relays: &mut Vec<Puppet>, time| {
        let (first, rest) = relays.split_first_mut().unwrap();
        let mut all: Vec<&mut dyn libp2p_proto_stream_protocol::Protocol> = vec![first, client];
        all.extend(rest.iter_mut().map(|relay| relay as _));
        bench.run(&mut all, secs(time));
    };
    // Nobody knows whether we are private: for three minutes nothing is asked, then twice a minute.
    bench.inject(1, Input::Fact(Fact::Reachability(Reachability::Unknown)));
    run(&mut bench, &mut client, &mut relays, 179);
    assert_eq!(asked_for(&mut client), 0);
    run(&mut bench, &mut client, &mut relays, 300);
    assert_eq!(asked_for(&mut client), 10);
    // One that is suggested is dialed at once.
    client.suggest(peer(7), vec![addr("/ip4/198.51.100.9/tcp/4001")]);
    run(&mut bench, &mut client, &mut relays, 1);
    assert!(matches!(bench.dials(1), [dial] if dial.peer == Some(peer(7)) && dial.addrs.len() == 1));
    // It is not there; four that are connected offer. One refuses, two keep a slot, the fourth is not asked.
    bench.inject(
        1,
        Input::DialFailed {
            dial: libp2p_proto_core::DialId::new(1),
            peer: Some(peer(7)),
            error: DialError::TimedOut,
        },
    );
    for node in [0, 2, 3, 4] {
        bench.connect(1, node);
    }
    run(&mut bench, &mut client, &mut relays, 1);
    for from in [1, 3, 4, 5] {
        bench.inject(1, offers(from));
    }
    run(&mut bench, &mut client, &mut relays, 5);
    assert_eq!(client.stats().slots, 2);
    let asked: Vec<_> = relays.iter().map(|relay| relay.opened().len()).collect();
    assert!(asked.iter().sum::<usize>() <= 3, "{asked:?}");
    asked_for(&mut client);
    run(&mut bench, &mut client, &mut relays, 600);
    assert_eq!(asked_for(&mut client), 0, "nothing is missing");
}

// covers: RLY-025
#[test]
fn offers_age_and_there_is_room_for_twenty() {
    let mut duo = Duo::new(ClientConfig::default());
    // 25 that were heard of and are not connected: the first twenty are remembered, so the connected one that offers last has no room.
    for from in 50..75 {
        duo.bench.inject(1, offers(from));
    }
    duo.bench.inject(1, offers(1));
    duo.bench
        .inject(1, Input::Fact(Fact::Reachability(Reachability::Private)));
    duo.wait(1);
    assert!(duo.relay.opened().is_empty());
    // Half an hour later the twenty are forgotten.
    duo.wait(1801);
    duo.bench.inject(1, offers(1));
    duo.wait(1);
    assert_eq!(duo.relay.opened().len(), 1);
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

/// A message of this type with these of the parts 2 to 4.
fn stop(kind: u8, parts: u8) -> Vec<u8> {
    with_parts(kind, peer(5), &[&[0x1a, 2, 8, 1], &[0x20, 100]], parts)
}

// covers: RLY-086
#[test]
fn vul_137_an_offer_is_judged_by_its_type_and_its_peer_whatever_else_it_has() {
    for kind in 0..2 {
        for parts in 0..8 {
            let mut duo = Duo::new(ClientConfig::default());
            duo.reserve();
            let wanted = match (kind, parts & 1) {
                (0, 1) => Status::Ok,
                (0, _) => Status::MalformedMessage,
                _ => Status::UnexpectedMessage,
            };
            let (_, answer) = duo.offer(stop(kind, parts));
            let wanted_answer = StopMessage::Status { status: wanted };
            assert_eq!(answer, Some(wanted_answer), "type {kind}, parts {parts:03b}");
            assert_eq!(duo.client.stats().inbound, usize::from(wanted == Status::Ok));
            let [.., Link::Accepted { limited, .. }] = duo
                .bench
                .promoted(1)
                .iter()
                .map(|(_, link)| link.clone())
                .collect::<Vec<_>>()[..]
            else {
                assert_ne!(wanted, Status::Ok);
                continue;
            };
            assert_eq!(limited, parts & 2 == 2);
        }
    }
}

// covers: RLY-022, RLY-097
#[test]
fn vul_137_limits_of_any_size_are_no_limit_at_zero_only_and_ends_of_any_size_are_within_a_day() {
    let durations = [0, u32::MAX];
    let amounts = [0, u64::from(u32::MAX), u64::MAX];
    for (duration, data) in durations
        .into_iter()
        .flat_map(|time| amounts.map(|data| (time, data)))
    {
        let mut duo = Duo::new(ClientConfig::default());
        duo.bench.inject(1, wanted(77));
        duo.wait(1);
        let answer = HopMessage::Status {
            status: Status::Ok,
            reservation: None,
            limit: Limit { duration, data },
        };
        let at = duo.bench.now();
        duo.say(duo.last(), answer.encode());
        let conn = libp2p_proto_core::ConnectionId::new(77);
        let limited = (duration, data) != (0, 0);
        assert_eq!(
            duo.bench
                .promoted(1)
                .iter()
                .map(|(_, link)| link.clone())
                .collect::<Vec<_>>(),
            [Link::Dialed { conn, limited }]
        );
        let left = duo.client.left(at, conn, Traffic::default()).unwrap();
        assert_eq!(left.bytes, Some(data).filter(|data| *data > 0));
        let time = Some(secs(u64::from(duration))).filter(|time| !time.is_zero());
        assert_eq!(left.time, time);
    }
    for (expire, held) in [
        (0, false),
        (1_699_999_999, false),
        (1 << 33, true),
        (u64::MAX, true),
        ((1 << 33) * 31_557_600, true),
    ] {
        let mut duo = Duo::new(ClientConfig::default());
        duo.client.reserve(peer(1), Vec::new());
        duo.wait(1);
        let HopMessage::Status { reservation, .. } = duo.grant(0) else {
            panic!("a grant")
        };
        let reservation = reservation.map(|granted| libp2p_proto_relay::Reservation { expire, ..granted });
        let answer = HopMessage::Status {
            status: Status::Ok,
            reservation,
            limit: Limit::default(),
        };
        duo.say(duo.last(), answer.encode());
        assert_eq!(duo.client.stats().slots, usize::from(held), "{expire}");
        // Nobody renews it.
        duo.wait(24 * 3600 + 1);
        assert_eq!(duo.client.stats().slots, 0);
    }
}

// covers: RLY-095
#[test]
fn a_relay_that_is_reached_through_a_relay_brings_nothing_and_its_own_circuits_are_no_addresses() {
    let mut bench = bench(2);
    let (mut relay, mut client) = (
        puppet(),
        client(
            2,
            ClientConfig {
                unreserved: true,
                ..ClientConfig::default()
            },
        ),
    );
    let conn = bench.connect_with(1, 0, true);
    bench.run(&mut [&mut relay, &mut client], secs(1));
    let stream = bench
        .with(0, &relay, |cx| cx.open(Target::Connection(conn), &[STOP_SPEC]))
        .unwrap();
    bench.run(&mut [&mut relay, &mut client], secs(1));
    let _gone = bench.with(0, &relay, |cx| cx.write(stream, stop_connect(5)));
    bench.run(&mut [&mut relay, &mut client], secs(1));
    assert!(closed(&relay, stream).is_some() && relay.frames(stream).is_empty());
    assert!(bench.promoted(1).is_empty());
    // A slot whose only addresses lead through relays is worth what the dialed address is.
    let mut duo = Duo::new(ClientConfig::default());
    duo.client.reserve(peer(1), Vec::new());
    duo.wait(1);
    let HopMessage::Status {
        reservation, limit, ..
    } = duo.grant(3600)
    else {
        panic!("a grant")
    };
    let nested = addr(&format!("/ip4/203.0.113.9/tcp/1/p2p/{}/p2p-circuit", peer(9)));
    let reservation = reservation.map(|granted| libp2p_proto_relay::Reservation {
        addrs: vec![nested],
        ..granted
    });
    let answer = HopMessage::Status {
        status: Status::Ok,
        reservation,
        limit,
    };
    duo.say(duo.last(), answer.encode());
    let Some(Event::Reserved { addrs, .. }) = duo.client.poll_event() else {
        panic!("not reserved")
    };
    assert!(
        addrs
            .iter()
            .all(|addr| addr.to_string().matches("p2p-circuit").count() == 1),
        "{addrs:?}"
    );
}
