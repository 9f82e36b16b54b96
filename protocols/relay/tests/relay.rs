//! The relay, asked by ends that say what they like.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::{Multiaddr, Rate, StreamId};
use libp2p_proto_relay::{
    Event, HopMessage, Limit, Relay, Request, ServerConfig, Status, StopMessage, Voucher,
};
use libp2p_proto_stream_protocol::{
    Closed, Input, Protocol, Target,
    bench::{Bench, Puppet},
};
use support::*;

const RESERVE: &[u8] = &[8, 0];

fn connect(to: u8) -> Vec<u8> {
    HopMessage::Connect { peer: peer(to) }.encode()
}

fn closed(puppet: &Puppet, wanted: StreamId) -> Option<Closed> {
    puppet.inputs.iter().find_map(|input| match input {
        Input::Closed { stream, reason } if *stream == wanted => Some(*reason),
        _ => None,
    })
}

/// The relay, a source (node 1) and a target (node 2) that holds a slot.
struct Trio {
    bench: Bench,
    relay: Relay,
    source: Puppet,
    target: Puppet,
    conns: [libp2p_proto_core::ConnectionId; 2],
}

impl Trio {
    fn new(config: ServerConfig) -> Self {
        let mut bench = bench(3);
        let conns = [bench.connect(1, 0), bench.connect(2, 0)];
        let mut trio = Self {
            bench,
            relay: server(config),
            source: puppet(),
            target: puppet(),
            conns,
        };
        trio.run();
        let (_, answer) = trio.ask(2, RESERVE);
        assert_eq!(status(answer), Some(Status::Ok));
        trio
    }

    fn run(&mut self) {
        run_all(
            &mut self.bench,
            &mut self.relay,
            &mut [&mut self.source, &mut self.target],
        );
    }

    fn wait(&mut self, time: u64) {
        let all: &mut [&mut dyn Protocol] = &mut [&mut self.relay, &mut self.source, &mut self.target];
        self.bench.run(all, secs(time));
    }

    fn ask(&mut self, node: usize, message: &[u8]) -> (StreamId, Option<HopMessage>) {
        let conn = self.conns[node - 1];
        let puppets = &mut [&mut self.source, &mut self.target];
        ask(&mut self.bench, node, &mut self.relay, puppets, conn, message)
    }

    /// Asks the relay for a slot, as the target, and ends the stream as clients do.
    fn renew(&mut self) -> Status {
        let (stream, answer) = self.ask(2, RESERVE);
        self.bench.with(2, &self.target, |cx| cx.finish(stream));
        self.run();
        status(answer).unwrap()
    }

    /// Asks for a circuit: the source's stream, and the target's.
    fn knock(&mut self) -> (StreamId, StreamId) {
        let before = self.target.opened().len();
        let (stream, answer) = self.ask(1, &connect(3));
        assert_eq!(answer, None, "the target has not answered");
        let opened = self.target.opened();
        assert_eq!(opened.len(), before + 1);
        (stream, *opened.last().unwrap())
    }

    /// The target says something on a stop stream.
    fn reply(&mut self, stream: StreamId, message: &StopMessage) {
        let data = message.encode();
        self.bench
            .with(2, &self.target, |cx| cx.write(stream, data))
            .unwrap();
        self.run();
    }

    fn accept(&mut self, stream: StreamId) {
        self.reply(stream, &StopMessage::Status { status: Status::Ok });
        let raw = libp2p_proto_stream_protocol::Framing::Raw;
        self.bench.with(2, &self.target, |cx| cx.reframe(stream, raw));
    }

    /// A joined circuit.
    fn circuit(&mut self) -> (StreamId, StreamId) {
        let (source, target) = self.knock();
        self.accept(target);
        assert_eq!(status(hops(&self.source, source).pop()), Some(Status::Ok));
        let raw = libp2p_proto_stream_protocol::Framing::Raw;
        self.bench.with(1, &self.source, |cx| cx.reframe(source, raw));
        (source, target)
    }

    fn bytes(puppet: &Puppet, stream: StreamId) -> Vec<u8> {
        puppet.frames(stream).iter().skip(1).flatten().copied().collect()
    }
}

// covers: RLY-029, RLY-038, RLY-040, RLY-041
#[test]
fn a_reservation_names_public_addresses_with_the_id_and_three_times_the_same_end() {
    let mut bench = bench(2);
    for text in ["/ip4/10.0.0.1/tcp/4001", "/ip4/127.0.0.1/tcp/4001"] {
        publish(&mut bench, text);
    }
    let circuit = format!("/ip4/203.0.113.9/tcp/1/p2p/{}/p2p-circuit", peer(9));
    publish(&mut bench, &circuit);
    let (mut relay, mut other) = (server(ServerConfig::default()), puppet());
    let conn = bench.connect(1, 0);
    run_all(&mut bench, &mut relay, &mut [&mut other]);
    let (_, answer) = ask(&mut bench, 1, &mut relay, &mut [&mut other], conn, RESERVE);
    let Some(HopMessage::Status {
        status: Status::Ok,
        reservation: Some(reservation),
        limit,
    }) = answer
    else {
        panic!("{answer:?}")
    };
    let told = addr(&format!("/ip4/198.51.100.7/tcp/4001/p2p/{}", peer(1)));
    assert_eq!(reservation.addrs, [told]);
    assert_eq!(limit, ServerConfig::default().limit);
    let now = libp2p_proto_core::UnixTime::from_secs(1_700_000_000);
    let voucher = Voucher::open(&reservation.voucher.unwrap(), peer(1), peer(2), now).unwrap();
    assert_eq!(voucher.expiration, reservation.expire);
    assert_eq!(reservation.expire, 1_700_003_600);
    let told = events(&mut relay);
    assert_eq!(
        told,
        [Event::Granted {
            peer: peer(2),
            renewed: false
        }]
    );
}

// covers: RLY-030, RLY-095
#[test]
fn vul_136_over_a_relayed_connection_nothing_is_granted_whether_it_is_limited_or_not() {
    let through = format!("/ip4/203.0.113.9/tcp/1/p2p/{}/p2p-circuit", peer(9));
    for limited in [true, false] {
        let mut bench = bench(2);
        let (mut relay, mut other) = (server(ServerConfig::default()), puppet());
        let conn = if limited {
            bench.connect_with(1, 0, true)
        } else {
            bench.connect_from(0, 1, addr(&through))
        };
        run_all(&mut bench, &mut relay, &mut [&mut other]);
        for message in [RESERVE.to_vec(), connect(3)] {
            let (stream, answer) = ask(&mut bench, 1, &mut relay, &mut [&mut other], conn, &message);
            assert_eq!(status(answer), Some(Status::PermissionDenied));
            assert_eq!(other.frames(stream), [Bytes::from_static(&[8, 2, 0x28, 0xca, 1])]);
        }
    }
}

// covers: RLY-031, RLY-032, RLY-034, RLY-035, RLY-093
#[test]
fn vul_135_slots_end_at_their_number_and_per_address_and_holders_always_renew() {
    let mut bench = bench(14);
    let config = ServerConfig {
        max_reservations: 10,
        ..ServerConfig::default()
    };
    let mut relay = server(config);
    let mut puppets: Vec<Puppet> = (0..13).map(|_| puppet()).collect();
    // Nine from one address, then others from addresses of their own.
    let ends: Vec<_> = (1..14_usize)
        .map(|node| {
            let conn = bench.connect(0, node);
            let host = if node <= 9 { 1 } else { node };
            (node, conn, host)
        })
        .collect();
    drop(ends);
    let mut lent: Vec<&mut Puppet> = puppets.iter_mut().collect();
    run_all(&mut bench, &mut relay, &mut lent);
    // The bench gives each node an address of its own: the network of all is one.
    let conn = |node: usize| libp2p_proto_core::ConnectionId::new(node as u64);
    let mut answers = Vec::new();
    for node in 1..14 {
        let (_, answer) = ask(&mut bench, node, &mut relay, &mut lent, conn(node), RESERVE);
        answers.push(status(answer).unwrap());
    }
    assert_eq!(answers[..10], [Status::Ok; 10]);
    assert_eq!(answers[10..], [Status::ReservationRefused; 3]);
    let (_, again) = ask(&mut bench, 1, &mut relay, &mut lent, conn(1), RESERVE);
    assert_eq!(status(again), Some(Status::Ok));
    assert_eq!(relay.stats().reservations, 10);
    // A slot returns with its holder's connection.
    bench.disconnect(conn(2));
    run_all(&mut bench, &mut relay, &mut lent);
    let (_, now) = ask(&mut bench, 12, &mut relay, &mut lent, conn(12), RESERVE);
    assert_eq!(status(now), Some(Status::Ok));
}

// covers: RLY-034, RLY-035
#[test]
fn vul_135_the_ninth_of_one_address_and_peers_without_one_are_refused() {
    let place: Multiaddr = "/ip4/203.0.113.5/tcp/9".parse().unwrap();
    let mut bench = bench(11);
    let mut relay = server(ServerConfig::default());
    let mut puppets: Vec<Puppet> = (0..10).map(|_| puppet()).collect();
    let mut lent: Vec<&mut Puppet> = puppets.iter_mut().collect();
    let mut answers = Vec::new();
    for node in 1..11 {
        let at = if node < 10 {
            place.clone()
        } else {
            addr("/memory/7")
        };
        let conn = bench.connect_from(0, node, at);
        run_all(&mut bench, &mut relay, &mut lent);
        let (_, answer) = ask(&mut bench, node, &mut relay, &mut lent, conn, RESERVE);
        answers.push(status(answer).unwrap());
    }
    assert_eq!(answers[..8], [Status::Ok; 8]);
    assert_eq!(answers[8..], [Status::ReservationRefused; 2]);
}

// covers: RLY-037
#[test]
fn a_slot_keeps_its_connection_and_another_one_when_that_is_lost_until_it_ends() {
    let mut trio = Trio::new(ServerConfig::default());
    assert_eq!(trio.bench.kept(0), [trio.conns[1]]);
    let second = trio.bench.connect(2, 0);
    trio.run();
    trio.bench.disconnect(trio.conns[1]);
    trio.run();
    assert_eq!(trio.relay.stats().reservations, 1);
    assert!(trio.bench.kept(0).contains(&second));
    trio.wait(3700);
    assert_eq!(trio.relay.stats().reservations, 0);
    assert!(!trio.bench.kept(0).contains(&second));
}

// covers: RLY-033, RLY-036, RLY-044
#[test]
fn a_renewal_moves_the_end_and_is_signed_once_a_minute() {
    let mut trio = Trio::new(ServerConfig::default());
    for _ in 0..20 {
        assert_eq!(trio.renew(), Status::Ok);
    }
    assert_eq!(trio.relay.stats().signed, 1);
    trio.wait(3000);
    assert_eq!(trio.renew(), Status::Ok);
    assert_eq!(trio.relay.stats().signed, 2);
    trio.wait(1200);
    assert_eq!(trio.ask(1, &connect(3)).1, None, "the circuit is being made");
    trio.wait(3000);
    assert_eq!(status(trio.ask(1, &connect(3)).1), Some(Status::NoReservation));
    assert_eq!(trio.relay.stats().reservations, 0);
}

// covers: RLY-043
#[test]
fn more_requests_than_the_rate_allows_are_refused_unsigned() {
    let config = ServerConfig {
        peer_rate: Rate {
            gap: secs(4),
            burst: 30,
        },
        ..ServerConfig::default()
    };
    let mut trio = Trio::new(config);
    // Requests take 0.3 s each, so one in 13 comes back meanwhile.
    let answers: Vec<_> = (0..40).map(|_| trio.renew()).collect();
    let refused = answers
        .iter()
        .filter(|status| **status == Status::ResourceLimitExceeded)
        .count();
    assert!((6..=11).contains(&refused), "{refused}");
    assert_eq!(trio.relay.stats().signed, 1);
}

// covers: RLY-083, RLY-084, RLY-096
#[test]
fn vul_137_malformed_requests_are_answered_once_and_the_stream_ends() {
    let mut trio = Trio::new(ServerConfig::default());
    for bad in [
        &[8, 2][..],
        &[],
        &[8, 9],
        &[0xff],
        &[8, 1],
        &[8, 1, 0x12, 3, 0x0a, 1, 0xff],
    ] {
        let (stream, answer) = trio.ask(1, bad);
        assert_eq!(status(answer), Some(Status::MalformedMessage), "{bad:?}");
        assert!(trio.source.inputs.contains(&Input::Finished { stream }));
        // A second request on the same stream is not read.
        let _finished = trio.bench.with(1, &trio.source, |cx| cx.write(stream, RESERVE));
        trio.run();
        assert_eq!(trio.source.frames(stream).len(), 1);
    }
    assert_eq!(trio.relay.stats().circuits, 0);
    trio.wait(60);
    assert_eq!(trio.relay.stats().requests, 0);
}

// covers: RLY-005
#[test]
fn a_message_over_four_kilobytes_is_not_read() {
    let mut trio = Trio::new(ServerConfig::default());
    let (stream, answer) = trio.ask(1, &[0; 4097]);
    assert_eq!(
        (answer, closed(&trio.source, stream)),
        (None, Some(Closed::Reset))
    );
}

// covers: RLY-094
#[test]
fn requests_that_are_never_made_end_in_time_and_no_more_than_ten_wait() {
    let mut trio = Trio::new(ServerConfig::default());
    let conn = trio.conns[0];
    let streams: Vec<_> = (0..100)
        .map(|_| {
            trio.bench
                .with(1, &trio.source, |cx| {
                    cx.open(Target::Connection(conn), &[HOP_SPEC])
                })
                .unwrap()
        })
        .collect();
    trio.run();
    let refused = streams
        .iter()
        .filter(|stream| closed(&trio.source, **stream).is_some())
        .count();
    assert_eq!(refused, 90);
    trio.wait(61);
    assert!(
        streams
            .iter()
            .all(|stream| closed(&trio.source, *stream).is_some())
    );
    assert_eq!(trio.relay.stats().requests, 0);
}

// covers: RLY-063, RLY-064, RLY-081, RLY-082
#[test]
fn vul_133_vul_136_each_circuit_that_is_not_to_be_is_refused_with_its_status() {
    let mut trio = Trio::new(ServerConfig {
        access: |request| !matches!(request, Request::Connect { to, .. } if *to == peer(7)),
        ..ServerConfig::default()
    });
    let refused = [
        (peer(2), Status::PermissionDenied),
        (peer(1), Status::NoReservation),
        (peer(7), Status::PermissionDenied),
        (peer(9), Status::NoReservation),
    ];
    for (to, wanted) in refused {
        let ask = HopMessage::Connect { peer: to }.encode();
        assert_eq!(status(trio.ask(1, &ask).1), Some(wanted), "{to}");
    }
    // A connection without a slot, with and without a second one.
    assert_eq!(status(trio.ask(2, &connect(2)).1), Some(Status::NoReservation));
    trio.bench.connect(1, 0);
    trio.run();
    assert_eq!(status(trio.ask(2, &connect(2)).1), Some(Status::NoReservation));
    assert!(trio.bench.dials(0).is_empty());
}

// covers: RLY-001, RLY-065, RLY-066, RLY-077
#[test]
fn a_circuit_carries_bytes_both_ways_as_they_are() {
    let mut trio = Trio::new(ServerConfig::default());
    let (source, target) = trio.knock();
    let limit = Limit {
        duration: 120,
        data: 131_072,
    };
    assert_eq!(
        stops(&trio.target, target),
        [StopMessage::Connect { peer: peer(2), limit }]
    );
    trio.accept(target);
    assert_eq!(
        hops(&trio.source, source),
        [HopMessage::Status {
            status: Status::Ok,
            reservation: None,
            limit
        }]
    );
    let raw = libp2p_proto_stream_protocol::Framing::Raw;
    trio.bench.with(1, &trio.source, |cx| cx.reframe(source, raw));
    let data: Vec<u8> = (0..=255).cycle().take(50_000).collect();
    for (node, stream) in [(1, source), (2, target)] {
        let (bytes, puppet) = (data.clone(), if node == 1 { &trio.source } else { &trio.target });
        trio.bench
            .with(node, puppet, |cx| cx.write(stream, bytes))
            .unwrap();
    }
    trio.run();
    assert_eq!(Trio::bytes(&trio.target, target), data);
    assert_eq!(Trio::bytes(&trio.source, source), data);
    let told = events(&mut trio.relay);
    assert!(
        told.contains(&Event::Joined {
            from: peer(2),
            to: peer(3)
        }),
        "{told:?}"
    );
}

// covers: RLY-066
#[test]
fn a_target_that_refuses_is_silent_or_talks_nonsense_fails_the_circuit() {
    let answers = [
        Some(StopMessage::Status {
            status: Status::ConnectionFailed,
        }),
        Some(StopMessage::Status {
            status: Status::MalformedMessage,
        }),
        Some(StopMessage::Connect {
            peer: peer(1),
            limit: Limit::default(),
        }),
        None,
    ];
    for answer in answers {
        let mut trio = Trio::new(ServerConfig::default());
        let (source, target) = trio.knock();
        match &answer {
            Some(answer) => trio.reply(target, answer),
            None => trio.wait(60),
        }
        trio.run();
        let told = status(hops(&trio.source, source).pop());
        assert_eq!(told, Some(Status::ConnectionFailed), "{answer:?}");
        assert_eq!(trio.relay.stats().circuits, 0);
    }
}

// covers: RLY-067, RLY-068
#[test]
fn bytes_behind_the_messages_belong_to_the_circuit() {
    let mut trio = Trio::new(ServerConfig::default());
    let (source, target) = trio.knock();
    // The source does not wait, and the target sends with its answer.
    let early = vec![5; 1000];
    trio.bench
        .with(1, &trio.source, |cx| cx.write(source, early.clone()))
        .unwrap();
    let ok = StopMessage::Status { status: Status::Ok }.encode();
    trio.bench
        .with(2, &trio.target, |cx| {
            cx.write(target, ok)?;
            cx.write(target, "right behind")
        })
        .unwrap();
    let raw = libp2p_proto_stream_protocol::Framing::Raw;
    trio.bench.with(2, &trio.target, |cx| cx.reframe(target, raw));
    trio.run();
    trio.bench.with(1, &trio.source, |cx| cx.reframe(source, raw));
    trio.run();
    assert_eq!(Trio::bytes(&trio.target, target), early);
    assert_eq!(Trio::bytes(&trio.source, source), b"right behind");
}

// covers: RLY-069, RLY-070
#[test]
fn circuits_in_handshake_count_and_give_their_place_back() {
    let mut trio = Trio::new(ServerConfig {
        max_circuits_per_peer: 3,
        ..ServerConfig::default()
    });
    let first = trio.circuit();
    let second = trio.knock();
    trio.knock();
    assert_eq!(
        status(trio.ask(1, &connect(3)).1),
        Some(Status::ResourceLimitExceeded)
    );
    trio.bench.with(1, &trio.source, |cx| cx.reset(first.0));
    trio.run();
    trio.knock();
    assert_eq!(
        status(trio.ask(1, &connect(3)).1),
        Some(Status::ResourceLimitExceeded)
    );
    // The target never answers.
    trio.wait(60);
    assert_eq!(
        status(hops(&trio.source, second.0).pop()),
        Some(Status::ConnectionFailed)
    );
    assert_eq!(trio.relay.stats().circuits, 0);
}

// covers: RLY-080
#[test]
fn vul_135_circuits_are_bounded_over_all_and_per_address() {
    for config in [
        ServerConfig {
            max_circuits: 2,
            ..ServerConfig::default()
        },
        ServerConfig {
            max_circuits_per_ip: 2,
            ..ServerConfig::default()
        },
    ] {
        let mut trio = Trio::new(config);
        trio.knock();
        trio.knock();
        assert_eq!(
            status(trio.ask(1, &connect(3)).1),
            Some(Status::ResourceLimitExceeded)
        );
    }
}

// covers: RLY-073, RLY-075, RLY-099
#[test]
fn vul_135_a_circuit_ends_at_its_bytes_and_at_its_time() {
    let mut trio = Trio::new(ServerConfig::default());
    let (source, target) = trio.circuit();
    trio.bench
        .with(1, &trio.source, |cx| cx.write(source, vec![1; 131_072]))
        .unwrap();
    trio.run();
    assert_eq!(Trio::bytes(&trio.target, target).len(), 131_072);
    assert_eq!(closed(&trio.target, target), None);
    trio.bench
        .with(1, &trio.source, |cx| cx.write(source, "x"))
        .unwrap();
    trio.run();
    assert_eq!(Trio::bytes(&trio.target, target).len(), 131_072);
    assert_eq!(closed(&trio.source, source), Some(Closed::Reset));
    assert_eq!(closed(&trio.target, target), Some(Closed::Reset));
    let (source, target) = trio.circuit();
    trio.wait(119);
    assert_eq!(closed(&trio.source, source), None);
    trio.wait(2);
    assert_eq!(closed(&trio.source, source), Some(Closed::Reset));
    assert_eq!(closed(&trio.target, target), Some(Closed::Reset));
    assert_eq!(trio.relay.stats().circuits, 0);
}

// covers: RLY-078
#[test]
fn a_circuit_outlives_the_slot_but_not_the_connection() {
    let mut trio = Trio::new(ServerConfig {
        limit: Limit::default(),
        ..ServerConfig::default()
    });
    let (source, target) = trio.circuit();
    trio.wait(3700);
    assert_eq!(trio.relay.stats().reservations, 0);
    trio.bench
        .with(1, &trio.source, |cx| cx.write(source, "still there"))
        .unwrap();
    trio.run();
    assert_eq!(Trio::bytes(&trio.target, target), b"still there");
    trio.bench.disconnect(trio.conns[1]);
    trio.run();
    assert_eq!(closed(&trio.source, source), Some(Closed::Reset));
    assert_eq!(trio.relay.stats().circuits, 0);
}

// ── the client ──

/// A relay played by the test (node 0), and a client (node 1).
// covers: RLY-100
#[test]
fn whatever_comes_to_pass_every_count_returns_to_zero() {
    let mut dice = libp2p_proto_core::Rng::from_seed([9; 32]);
    for _ in 0..20 {
        let mut trio = Trio::new(ServerConfig::default());
        let mut streams: Vec<(usize, StreamId)> = Vec::new();
        for _ in 0..30 {
            match dice.below(6) {
                0 | 1 => streams.push((1, trio.ask(1, &connect(3)).0)),
                2 => {
                    let open = trio.target.opened();
                    let stream = open[usize::try_from(dice.below(open.len() as u64)).unwrap()];
                    let ok = StopMessage::Status { status: Status::Ok }.encode();
                    let _gone = trio.bench.with(2, &trio.target, |cx| cx.write(stream, ok));
                    streams.push((2, stream));
                }
                3 => drop(trio.ask(2, RESERVE)),
                _ => {
                    if let Some((node, stream)) = streams.pop() {
                        let puppet = if node == 1 { &trio.source } else { &trio.target };
                        let finish = dice.below(2) == 0;
                        trio.bench.with(node, puppet, |cx| {
                            if finish {
                                cx.finish(stream);
                            } else {
                                cx.reset(stream);
                            }
                        });
                    }
                }
            }
            trio.run();
        }
        trio.bench
            .disconnect(trio.conns[usize::try_from(dice.below(2)).unwrap()]);
        trio.wait(4000);
        let stats = trio.relay.stats();
        assert_eq!(
            (stats.circuits, stats.requests, stats.reservations),
            (0, 0, 0),
            "{stats:?}"
        );
    }
}
