//! The relay, asked in every combination: who holds a slot over which of its connections, and which parts a request has.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{ConnectionId, StreamId};
use libp2p_proto_relay::{HOP, HopMessage, Relay, ServerConfig, Status};
use libp2p_proto_stream_protocol::{
    Fact, Input, Protocol, Reachability,
    bench::{Bench, Puppet},
};
use support::*;

const RESERVE: &[u8] = &[8, 0];

/// The relay, a source (node 1), and a target (node 2) with so many connections.
struct Meeting {
    bench: Bench,
    relay: Relay,
    puppets: [Puppet; 2],
    source: ConnectionId,
    target: Vec<ConnectionId>,
}

impl Meeting {
    fn new(connections: usize) -> Self {
        let mut bench = bench(3);
        let source = bench.connect(1, 0);
        let target = (0..connections).map(|_| bench.connect(2, 0)).collect();
        let mut meeting = Self {
            bench,
            relay: server(ServerConfig::default()),
            puppets: [puppet(), puppet()],
            source,
            target,
        };
        meeting.run();
        meeting
    }

    fn run(&mut self) {
        let [source, target] = &mut self.puppets;
        run_all(&mut self.bench, &mut self.relay, &mut [source, target]);
    }

    fn ask(&mut self, node: usize, conn: ConnectionId, message: &[u8]) -> (StreamId, Option<HopMessage>) {
        let [source, target] = &mut self.puppets;
        let puppets = &mut [source, target];
        ask(&mut self.bench, node, &mut self.relay, puppets, conn, message)
    }
}

#[test]
fn vul_133_a_circuit_takes_a_connection_that_holds_a_slot_and_without_one_there_is_none_in_all_63_cases() {
    let connect = HopMessage::Connect { peer: peer(3) }.encode();
    let mut cases = 0;
    for connections in 0..=5 {
        for subset in 0..1_u32 << connections {
            let mut meeting = Meeting::new(connections);
            let asks: Vec<_> = (0..connections)
                .filter(|place| subset >> place & 1 == 1)
                .map(|place| meeting.target[place])
                .collect();
            for conn in &asks {
                let (_, answer) = meeting.ask(2, *conn, RESERVE);
                assert_eq!(status(answer), Some(Status::Ok));
            }
            let (_, answer) = meeting.ask(1, meeting.source, &connect);
            let mut opened = meeting.puppets[1].opened();
            opened.retain(|stream| stream.is_inbound());
            if asks.is_empty() {
                assert_eq!((status(answer), opened.len()), (Some(Status::NoReservation), 0));
            } else {
                assert_eq!(answer, None, "the target has not answered");
                assert!(matches!(opened[..], [stream] if asks.contains(&stream.conn)));
            }
            cases += 1;
        }
    }
    assert_eq!(cases, 63);
}

/// A message of this type with these of the parts 2 to 5.
fn hop(kind: u8, parts: u8) -> Vec<u8> {
    with_parts(
        kind,
        peer(3),
        &[&[0x1a, 2, 8, 5], &[0x22, 2, 8, 1], &[0x28, 100]],
        parts,
    )
}

// covers: RLY-003, RLY-007, RLY-083
#[test]
fn vul_137_a_request_is_judged_by_its_type_and_its_peer_whatever_else_it_has() {
    for kind in 0..3 {
        for parts in 0..16 {
            let mut meeting = Meeting::new(1);
            let (_, answer) = meeting.ask(2, meeting.target[0], RESERVE);
            assert_eq!(status(answer), Some(Status::Ok));
            let (stream, answer) = meeting.ask(1, meeting.source, &hop(kind, parts));
            let wanted = match (kind, parts & 1) {
                (0, _) => Some(Status::Ok),
                (1, 1) => None,
                _ => Some(Status::MalformedMessage),
            };
            assert_eq!(status(answer), wanted, "type {kind}, parts {parts:04b}");
            let stats = meeting.relay.stats();
            assert_eq!(stats.circuits, usize::from(wanted.is_none()));
            assert_eq!(stats.reservations, 1 + usize::from(kind == 0));
            // Nothing that comes behind it is read.
            let _over = meeting
                .bench
                .with(1, &meeting.puppets[0], |cx| cx.write(stream, RESERVE));
            meeting.run();
            assert_eq!(meeting.relay.stats().reservations, stats.reservations);
            assert!(meeting.puppets[0].frames(stream).len() <= 1);
        }
    }
    // Without a type.
    for parts in 0..16 {
        let mut meeting = Meeting::new(1);
        let (_, answer) = meeting.ask(1, meeting.source, &hop(0, parts)[2..]);
        assert_eq!(status(answer), Some(Status::MalformedMessage), "{parts:04b}");
    }
}

// covers: RLY-039, RLY-042
#[test]
fn a_relay_is_one_only_while_it_has_an_address_to_tell_and_nobody_tried_in_vain_to_reach_it() {
    let mut bench = Bench::with_peers(1, &[peer(1), peer(2)], LATENCY);
    let (mut relay, mut other) = (server(ServerConfig::default()), puppet());
    let conn = bench.connect(1, 0);
    let external = |text, confirmed| Fact::ExternalAddress {
        addr: addr(text),
        confirmed,
    };
    let (private, public) = ("/ip4/10.0.0.1/tcp/4001", "/ip4/198.51.100.7/tcp/4001");
    let steps = [
        (external(private, true), false),
        (external(public, true), true),
        (Fact::Reachability(Reachability::Private), false),
        (Fact::Reachability(Reachability::Unknown), true),
        (Fact::Reachability(Reachability::Public), true),
        (external(public, false), false),
        (
            Fact::ListenAddress {
                addr: addr(public),
                up: true,
            },
            true,
        ),
        (
            Fact::AddressReachability {
                addr: addr(public),
                reachability: Reachability::Private,
            },
            false,
        ),
    ];
    for (fact, serves) in steps {
        bench.inject(0, Input::Fact(fact.clone()));
        run_all(&mut bench, &mut relay, &mut [&mut other]);
        let names = bench.with(0, &relay as &dyn Protocol, |cx| cx.local_protocols(Some(conn)));
        assert_eq!(names.contains(&HOP), serves, "{fact:?}");
        assert_eq!(relay.stats().serving, serves);
        let (_, answer) = ask(&mut bench, 1, &mut relay, &mut [&mut other], conn, RESERVE);
        assert_eq!(status(answer), serves.then_some(Status::Ok), "{fact:?}");
    }
}

// covers: RLY-042
#[test]
fn among_private_addresses_the_verdict_of_others_does_not_count() {
    let config = ServerConfig {
        private_addrs: true,
        ..ServerConfig::default()
    };
    let mut bench = Bench::with_peers(1, &[peer(1), peer(2)], LATENCY);
    let (mut relay, mut other) = (server(config), puppet());
    run_all(&mut bench, &mut relay, &mut [&mut other]);
    assert!(!relay.stats().serving);
    publish(&mut bench, "/ip4/10.0.0.1/tcp/4001");
    bench.inject(0, Input::Fact(Fact::Reachability(Reachability::Private)));
    run_all(&mut bench, &mut relay, &mut [&mut other]);
    assert!(relay.stats().serving);
}
