//! The laws of protocols.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_core::{Multiaddr, PeerId, Rng};
use libp2p_proto_dcutr::{Config, Dcutr, HolePunch, NAME};
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_stream_protocol::{Context, Fact, Input};

struct Life(Dcutr);

libp2p_proto_laws::wraps!(Life);

fn peer(dice: &mut Rng) -> PeerId {
    PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", dice.below(4)))
}

fn addr(dice: &mut Rng) -> Multiaddr {
    format!("/ip4/203.0.113.{}/tcp/4001", dice.below(4))
        .parse()
        .unwrap()
}

impl Subject for Life {
    fn hears(&mut self, input: Input) -> Input {
        // Limited connections go through a relay.
        match input {
            Input::Connected {
                peer,
                conn,
                first,
                mut info,
            } if info.limited => {
                info.remote = "/ip4/192.0.2.1/tcp/4001/p2p-circuit".parse().unwrap();
                Input::Connected {
                    peer,
                    conn,
                    first,
                    info,
                }
            }
            input => input,
        }
    }

    fn poll_event(&mut self) -> Option<String> {
        self.0.poll_event().map(|event| format!("{event:?}"))
    }

    fn facts(&mut self, dice: &mut Rng) -> Vec<Fact> {
        let peer = peer(dice);
        match dice.below(8) {
            0 | 1 => vec![Fact::ExternalAddress {
                addr: addr(dice),
                confirmed: dice.below(4) > 0,
            }],
            2..=4 => vec![
                Fact::PeerProtocols {
                    peer,
                    protocols: if dice.below(4) > 0 {
                        [NAME].into()
                    } else {
                        [].into()
                    },
                },
                Fact::PeerAddresses {
                    peer,
                    addrs: (0..dice.below(3)).map(|_| addr(dice)).collect(),
                    certified: false,
                },
            ],
            _ => Vec::new(),
        }
    }

    fn command(&mut self, _: &mut Context<'_>, dice: &mut Rng) {
        self.0.retry(peer(dice));
    }
}

#[test]
fn the_laws_hold() {
    let config = Config {
        max_events: 8,
        max_peers: 2,
        private_addrs: true,
        ..Config::default()
    };
    let connect = HolePunch::Connect {
        addrs: vec!["/ip4/198.51.100.7/tcp/4001".parse().unwrap()],
    };
    Laws::of(move || Life(Dcutr::new(config).unwrap()))
        .frame(&connect.encode())
        .frame(&HolePunch::Sync.encode())
        .hold();
}
