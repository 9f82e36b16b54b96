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
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_rendezvous::{Config, Rendezvous};
use libp2p_proto_stream_protocol::{Context, Fact};
use support::{addr, discover, identity, register, vector};

struct Life(Rendezvous);

libp2p_proto_laws::wraps!(Life);

impl Subject for Life {
    fn poll_event(&mut self) -> Option<String> {
        self.0.poll_event().map(|event| format!("{event:?}"))
    }

    fn facts(&mut self, dice: &mut Rng) -> Vec<Fact> {
        let fact = |dice: &mut Rng| Fact::ExternalAddress {
            addr: addr(usize::try_from(dice.below(3)).unwrap()),
            confirmed: dice.below(3) > 0,
        };
        let learns = dice.below(5) == 0;
        learns.then(|| fact(dice)).into_iter().collect()
    }

    fn command(&mut self, _: &mut Context<'_>, dice: &mut Rng) {
        let point = PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", dice.below(4)));
        let namespace = if dice.below(2) == 0 { "test" } else { "other" };
        match dice.below(4) {
            0 => drop(self.0.register(point, namespace, None)),
            1 => self.0.unregister(&point, namespace),
            2 => drop(self.0.discover(point, namespace, Some(dice.below(20)))),
            _ => drop(self.0.discover(point, "", None)),
        }
    }
}

#[test]
fn the_laws_hold() {
    let config = || Config {
        serve: true,
        max_own: 4,
        max_questions: 4,
        max_events: 8,
        ..Config::default()
    };
    let mut laws = Laws::of(move || Life(Rendezvous::new(identity(0), config()).unwrap()));
    for name in ["V-RDV-3", "V-RDV-5", "V-RDV-6", "V-RDV-6c", "V-RDV-7", "V-RDV-8"] {
        laws = laws.frame(&vector(name));
    }
    for message in [register(1, "test"), discover("", None, &Bytes::new())] {
        laws = laws.frame(&message.encode());
    }
    laws.hold();
}
