//! The laws of protocols.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{ConnectionId, PeerId, Rng};
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_relay::{
    ClientConfig, HOP, HopMessage, Limit, Relay, Reservation, ServerConfig, Status, StopMessage,
};
use libp2p_proto_stream_protocol::{Context, Fact, Input, Reachability};
use support::{addr, identity, peer};

/// A relay that is a client too, and how many links were wanted of it.
struct Life(Relay, u64);

fn known(index: u64) -> PeerId {
    PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", index))
}

libp2p_proto_laws::wraps!(Life);

impl Subject for Life {
    fn hears(&mut self, input: Input) -> Input {
        match input {
            // The laws know no links; this fact, which means nothing to a relay, stands for one that is wanted.
            Input::Fact(Fact::LocalProtocols) => {
                self.1 += 1;
                let relay = known(self.1 % 4);
                Input::LinkWanted {
                    conn: ConnectionId::new(1000 + self.1),
                    peer: known(self.1 / 4 % 4),
                    addr: addr(&format!("/ip4/198.51.100.7/tcp/1/p2p/{relay}/p2p-circuit")),
                }
            }
            input => input,
        }
    }

    fn poll_event(&mut self) -> Option<String> {
        self.0.poll_event().map(|event| format!("{event:?}"))
    }

    fn facts(&mut self, dice: &mut Rng) -> Vec<Fact> {
        match dice.below(5) {
            0 => vec![Fact::LocalProtocols],
            1 => vec![Fact::PeerProtocols {
                peer: known(dice.below(4)),
                protocols: vec![HOP].into(),
            }],
            2 => {
                let all = [Reachability::Public, Reachability::Private, Reachability::Unknown];
                let place = usize::try_from(dice.below(3)).unwrap();
                vec![Fact::Reachability(all[place])]
            }
            3 => vec![Fact::ListenAddress {
                addr: addr("/ip4/198.51.100.9/tcp/1"),
                up: dice.below(3) > 0,
            }],
            _ => Vec::new(),
        }
    }

    fn command(&mut self, _: &mut Context<'_>, dice: &mut Rng) {
        let somebody = known(dice.below(4));
        if dice.below(3) > 0 {
            self.0.reserve(somebody, vec![addr("/ip4/198.51.100.7/tcp/1")]);
        } else {
            self.0.release(somebody);
        }
    }
}

// covers: RLY-096, RLY-098
#[test]
fn the_laws_hold() {
    let make = || {
        let server = ServerConfig {
            private_addrs: true,
            ..ServerConfig::default()
        };
        let client = ClientConfig {
            unreserved: true,
            ..ClientConfig::default()
        };
        Life(Relay::new(identity(1), Some(server), Some(client)).unwrap(), 0)
    };
    let reservation = Reservation {
        expire: 1_700_010_000,
        addrs: vec![addr("/ip4/198.51.100.7/tcp/1")],
        voucher: None,
    };
    let grant = HopMessage::Status {
        status: Status::Ok,
        reservation: Some(reservation),
        limit: Limit::default(),
    };
    let limit = Limit {
        duration: 120,
        data: 100,
    };
    Laws::of(make)
        .frame(&HopMessage::Reserve.encode())
        .frame(&HopMessage::Connect { peer: known(1) }.encode())
        .frame(&grant.encode())
        .frame(&HopMessage::status(Status::Ok).encode())
        .frame(&HopMessage::status(Status::NoReservation).encode())
        .frame(&StopMessage::Connect { peer: peer(2), limit }.encode())
        .frame(&StopMessage::Status { status: Status::Ok }.encode())
        .hold();
}
