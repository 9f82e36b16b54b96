//! The laws of protocols.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_autonat::{
    Autonat, ClientConfig, Config, DIAL_REQUEST, Serve, ServerConfig, V1, Version,
    wire::{v1, v2},
};
use libp2p_proto_core::{PeerId, Rng};
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_stream_protocol::{Context, Fact, Reachability};
use support::{addr, vector};

struct Life(Autonat);

libp2p_proto_laws::wraps!(Life);

fn known(index: u64) -> PeerId {
    PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", index))
}

impl Subject for Life {
    fn poll_event(&mut self) -> Option<String> {
        self.0.poll_event().map(|event| format!("{event:?}"))
    }

    fn facts(&mut self, dice: &mut Rng) -> Vec<Fact> {
        let addr = addr(&format!("/ip4/203.0.113.{}/tcp/4001", 5 + dice.below(3)));
        vec![match dice.below(6) {
            0 => Fact::ExternalAddress {
                addr,
                confirmed: dice.below(3) == 0,
            },
            1 => Fact::ListenAddress {
                addr,
                up: dice.below(3) > 0,
            },
            2 => Fact::Reachability(Reachability::Public),
            3 => Fact::Reachability(Reachability::Private),
            _ => Fact::PeerProtocols {
                peer: known(dice.below(5)),
                protocols: if dice.below(4) == 0 {
                    [].into()
                } else {
                    let mut all = vec![V1, DIAL_REQUEST];
                    all.sort();
                    all.into()
                },
            },
        }]
    }

    fn command(&mut self, _: &mut Context<'_>, dice: &mut Rng) {
        let server = (dice.below(4) > 0).then(|| known(dice.below(5)));
        let version = if dice.below(2) == 0 {
            Version::V1
        } else {
            Version::V2
        };
        let addrs = (0..dice.below(3)).map(|index| addr(&format!("/ip4/203.0.113.{}/tcp/4001", 5 + index)));
        let _refused = self.0.ask(server, version, addrs.collect());
    }
}

#[test]
fn the_laws_hold() {
    let config = || Config {
        client: Some(ClientConfig {
            max_questions: 4,
            quorum: 1,
            margin: 0,
            ..ClientConfig::default()
        }),
        server: Some(ServerConfig {
            when: Serve::WhenPublic,
            data: (1, 300),
            v2_per_minute: 10_000,
            v2_per_peer: 10_000,
            v2_with_data: 10_000,
            v2_at_once: 1000,
            v1_per_minute: 10_000,
            v1_per_peer: 10_000,
            max_per_ip: 10_000,
            ..ServerConfig::default()
        }),
        private_addrs: false,
        max_events: 8,
    };
    let mut laws = Laws::of(move || Life(Autonat::new(config()).unwrap()));
    for number in [
        "1", "2", "3", "4", "5", "6", "6b", "7", "8", "9", "9b", "10", "10b", "11", "12",
    ] {
        laws = laws.frame(&vector(&format!("V-AN-{number}")));
    }
    let addrs = support::listed(&["/ip4/203.0.113.5/tcp/1", "/ip4/192.0.2.1/tcp/1"]);
    let data = vec![0; 200].into();
    laws.frame(
        &v2::Message::DialRequest {
            addrs: addrs.clone(),
            nonce: 1,
        }
        .encode(),
    )
    .frame(&v2::Message::DialDataResponse { data }.encode())
    .frame(&v1::Message::Dial { peer: None, addrs }.encode())
    .hold();
}
