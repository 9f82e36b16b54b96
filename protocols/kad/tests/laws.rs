//! The laws of protocols.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::{PeerId, Rng};
use libp2p_proto_kad::{Config, Kad, Message, MessageType, Mode, Record};
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_stream_protocol::{Context, Fact, Reachability};
use support::{contact, peer, private};

struct Life(Kad);

libp2p_proto_laws::wraps!(Life);

fn known(index: u64) -> PeerId {
    PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", index))
}

impl Subject for Life {
    fn poll_event(&mut self) -> Option<String> {
        self.0.poll_event().map(|event| format!("{event:?}"))
    }

    fn facts(&mut self, dice: &mut Rng) -> Vec<Fact> {
        match dice.below(6) {
            0 => vec![
                Fact::ListenAddress {
                    addr: support::addr(0),
                    up: true,
                },
                Fact::Reachability(Reachability::Public),
            ],
            1 => {
                let peer = known(dice.below(4));
                vec![
                    Fact::PeerProtocols {
                        peer,
                        protocols: vec![support::NAME].into(),
                    },
                    Fact::PeerAddresses {
                        peer,
                        addrs: vec![support::addr(3)].into(),
                        certified: false,
                    },
                ]
            }
            _ => Vec::new(),
        }
    }

    fn command(&mut self, _: &mut Context<'_>, dice: &mut Rng) {
        let kad = &mut self.0;
        match dice.below(12) {
            0 => drop(kad.find_peer(known(dice.below(4)))),
            1 => drop(kad.closest_peers(&b"key"[..])),
            2 => drop(kad.get_value(&b"/x/key"[..], Some(2))),
            3 => drop(kad.put_value(&b"/x/key"[..], &b"value"[..])),
            4 => drop(kad.find_providers(&b"key"[..], 1)),
            5 => drop(kad.provide(&b"key"[..])),
            6 => kad.refresh(),
            7 => kad.add_peer(known(dice.below(4)), vec![support::addr(1)]),
            8 => kad.set_mode(if dice.below(2) == 0 {
                Mode::Client
            } else {
                Mode::Server
            }),
            9 => kad.stop_publishing(b"/x/key"),
            10 => drop(kad.restore(b"nothing")),
            _ => kad.stop_providing(b"key"),
        }
    }
}

// covers: KAD-118
#[test]
fn the_laws_hold() {
    let message = |kind, key: &'static [u8]| Message::new(kind, Bytes::from_static(key));
    let mut named = message(MessageType::FindNode, b"");
    named.closer = (0..6).map(contact).collect();
    let mut value = message(MessageType::GetValue, b"/x/key");
    value.record = Some(Record {
        key: Bytes::from_static(b"/x/key"),
        value: Bytes::from_static(b"value"),
        ..Record::default()
    });
    value.closer.clone_from(&named.closer);
    let mut put = value.clone();
    put.kind = MessageType::PutValue;
    let mut providers = message(MessageType::GetProviders, b"key");
    providers.providers.clone_from(&named.closer);
    let config = || Config {
        progress: true,
        max_queries: 6,
        ..private()
    };
    let mut laws = Laws::of(move || Life(Kad::new(peer(0), config()).unwrap()));
    for frame in [
        message(MessageType::FindNode, b"key"),
        message(MessageType::Ping, b""),
        named,
        value,
        put,
        providers,
    ] {
        laws = laws.frame(&frame.encode());
    }
    laws.hold();
}
