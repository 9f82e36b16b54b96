//! The laws of protocols.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{ConnectionId, Deadline, PeerId, Rng};
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_relay::{
    ClientConfig, HOP, HopMessage, Limit, Relay, Reservation, ServerConfig, Status, StopMessage,
};
use libp2p_proto_stream_protocol::{Context, Fact, Input, Protocol, Reachability, StreamSpec};
use support::{addr, identity, peer};

struct Life(Relay);

impl Protocol for Life {
    fn specs(&self) -> &[StreamSpec] {
        self.0.specs()
    }
    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        self.0.handle(cx, input);
    }
    fn poll_timeout(&self) -> Option<Deadline> {
        self.0.poll_timeout()
    }
}

impl Subject for Life {
    fn poll_event(&mut self) -> Option<String> {
        self.0.poll_event().map(|event| format!("{event:?}"))
    }

    fn command(&mut self, cx: &mut Context<'_>, dice: &mut Rng) {
        let known = |index| PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", index));
        let somebody = known(dice.below(4));
        match dice.below(6) {
            0 => self.0.reserve(somebody, vec![addr("/ip4/198.51.100.7/tcp/1")]),
            1 => self.0.release(somebody),
            2 => {
                let relay = known(dice.below(4));
                let conn = ConnectionId::new(1000 + dice.below(1000));
                let addr = addr(&format!("/ip4/198.51.100.7/tcp/1/p2p/{relay}/p2p-circuit"));
                let input = Input::LinkWanted {
                    conn,
                    peer: somebody,
                    addr,
                };
                self.0.handle(cx, input);
            }
            3 => {
                let protocols = vec![HOP].into();
                let fact = Fact::PeerProtocols {
                    peer: somebody,
                    protocols,
                };
                self.0.handle(cx, Input::Fact(fact));
            }
            4 => {
                let all = [Reachability::Public, Reachability::Private, Reachability::Unknown];
                let place = usize::try_from(dice.below(3)).unwrap();
                self.0.handle(cx, Input::Fact(Fact::Reachability(all[place])));
            }
            _ => {
                let fact = Fact::ListenAddress {
                    addr: addr("/ip4/198.51.100.9/tcp/1"),
                    up: dice.below(3) > 0,
                };
                self.0.handle(cx, Input::Fact(fact));
            }
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
        Life(Relay::new(identity(1), Some(server), Some(client)).unwrap())
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
    let known = PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", 1));
    Laws::of(make)
        .frame(&HopMessage::Reserve.encode())
        .frame(&HopMessage::Connect { peer: known }.encode())
        .frame(&grant.encode())
        .frame(&HopMessage::status(Status::Ok).encode())
        .frame(&HopMessage::status(Status::NoReservation).encode())
        .frame(&StopMessage::Connect { peer: peer(2), limit }.encode())
        .frame(&StopMessage::Status { status: Status::Ok }.encode())
        .hold();
}
