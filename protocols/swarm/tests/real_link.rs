//! A swarm over real connections: what only a real handshake can tell it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_connection::{Config as Keys, Connection};
use libp2p_proto_core::{ConnectionId, Instant, PeerId, Rng, Side, TransmitBuf};
use libp2p_proto_identity::{Identity, KeyType, Keypair};
use libp2p_proto_stream_protocol::{AttemptError, Dial, DialError, FromConnection, Seat, ToConnection};
use libp2p_proto_swarm::{Action, Event};
use std::sync::Arc;
use support::{Bench, addr, at, identity, peer, roomy};

const ADDR: &str = "/ip4/192.0.2.1/tcp/4001";

fn keys(identity: &Identity, seed: u8) -> Arc<Keys> {
    Arc::new(Keys::new(identity, [seed; 32]).unwrap())
}

/// Dials `wanted`, lets `answers` answer, and carries bytes and messages until nothing moves.
fn dial(bench: &mut Bench, now: Instant, wanted: PeerId, answers: &Identity) -> Vec<Event> {
    let mut dial = Dial::peer(wanted);
    dial.addrs = vec![addr(ADDR)];
    bench.swarm.dial(now, dial).unwrap();
    let (conn, _) = bench.dials(now)[0].clone();
    let seat = bench.swarm.handle_dialed(now, conn, None, addr(ADDR)).unwrap();
    let mut near = Connection::new(now, keys(&identity(1), 5), seat);
    let far = Seat::new(ConnectionId::new(1), Side::Listener, [3; 32]);
    let mut far = Connection::new(now, keys(answers, 6), far);
    for _ in 0..50 {
        carry(now, &mut near, &mut far);
        carry(now, &mut far, &mut near);
        while let Some(message) = near.poll_message() {
            for action in bench.tell(now, conn, message) {
                if let Action::Order { message, .. } = action {
                    near.handle_message(now, message);
                }
            }
        }
        while let Some(message) = far.poll_message() {
            if matches!(message, FromConnection::Authenticated { .. }) {
                far.handle_message(now, ToConnection::Admit);
            }
        }
    }
    bench.events()
}

fn carry(now: Instant, from: &mut Connection, to: &mut Connection) {
    let mut wire = Vec::new();
    while from.poll_transmit(now, &mut TransmitBuf::new(&mut wire, 1 << 20)) {}
    let mut start = 0;
    while let Some(rest) = wire.get_mut(start..).filter(|rest| !rest.is_empty()) {
        match to.handle_input(now, rest) {
            Ok(0) | Err(_) => return,
            Ok(taken) => start += taken,
        }
    }
}

// covers: CON-010
#[test]
fn vul_058_a_real_handshake_with_another_peer_says_who_was_wanted_and_who_answered() {
    for key_type in [KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa] {
        let other = Identity::from(Keypair::generate(key_type, &mut Rng::from_seed([4; 32])).unwrap());
        let mut bench = Bench::new(roomy());
        let events = dial(&mut bench, at(0), peer(9), &other);
        let [
            Event::DialFailed {
                peer: wanted,
                error: DialError::AllFailed(causes),
                ..
            },
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        let expected = AttemptError::WrongPeer {
            expected: peer(9),
            got: other.peer_id(),
        };
        assert_eq!(
            (*wanted, &causes[..]),
            (Some(peer(9)), &[(addr(ADDR), expected)][..])
        );
        assert!(bench.swarm.connections(peer(9)).is_empty());
        // The wanted peer itself, at the same address.
        let events = dial(&mut bench, at(120_000), other.peer_id(), &other);
        assert!(
            matches!(events[..], [Event::Connected { peer, .. }] if peer == other.peer_id()),
            "{events:?}"
        );
    }
}
