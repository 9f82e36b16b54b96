//! The public network and that of the local one behind one front.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_core::{Multiaddr, ProtocolName};
use libp2p_proto_kad::{
    AnyValue, Config, Dual, DualEvent, DualQuery, Error, Half, Kad, Mode, Outcome, QueryError, Validators,
};
use libp2p_proto_stream_protocol::{Fact, Input, Protocol, bench::Bench};
use std::time::Duration;

const WAN: ProtocolName = ProtocolName::from_static("/wan/kad/1");
const LAN: ProtocolName = ProtocolName::from_static("/lan/kad/1");

fn config(name: &ProtocolName) -> Config {
    Config {
        mode: Mode::Server,
        ..Config::private(name.clone(), Validators::none().with("x", AnyValue))
    }
}

/// A node of both networks, each of which is a bench of its own, and one server in each.
struct World {
    dual: Dual,
    wan: (Bench, Kad),
    lan: (Bench, Kad),
}

fn server(name: &ProtocolName, joined: bool) -> (Bench, Kad) {
    let mut bench = Bench::new(1, 2, Duration::from_millis(10));
    let kad = Kad::new(bench.peer(1), config(name)).unwrap();
    for node in 0..2 {
        let addr = Multiaddr::tcp([60, u8::try_from(node).unwrap(), 1, 1].into(), 4001);
        bench.inject(node, Input::Fact(Fact::ListenAddress { addr, up: true }));
    }
    if joined {
        bench.connect(0, 1);
        let (peer, protocols) = (bench.peer(1), vec![name.clone()].into());
        bench.inject(0, Input::Fact(Fact::PeerProtocols { peer, protocols }));
    }
    (bench, kad)
}

impl World {
    fn new(with_wan: bool) -> Self {
        let (wan, lan) = (server(&WAN, with_wan), server(&LAN, true));
        let dual = Dual::new(wan.0.peer(0), config(&WAN), config(&LAN)).unwrap();
        let mut world = Self { dual, wan, lan };
        world.run();
        world
    }

    fn run(&mut self) {
        let second = Duration::from_secs(2);
        let mut lent: [&mut dyn Protocol; 2] = [&mut self.dual.wan, &mut self.wan.1];
        self.wan.0.run(&mut lent, second);
        let mut lent: [&mut dyn Protocol; 2] = [&mut self.dual.lan, &mut self.lan.1];
        self.lan.0.run(&mut lent, second);
    }

    fn end(&mut self, query: DualQuery) -> (Result<Outcome, QueryError>, usize) {
        let (mut told, mut end) = (0, None);
        for _ in 0..40 {
            self.run();
            while let Some(event) = self.dual.poll_event() {
                match event {
                    DualEvent::Finished { query: ended, result } if ended == query => {
                        assert!(end.is_none(), "it ends once");
                        end = Some(result);
                    }
                    DualEvent::Providers { providers, .. } => told += providers.len(),
                    _ => {}
                }
            }
        }
        (end.unwrap(), told)
    }

    /// What the server of one network has asked and was asked.
    fn served(&self, half: Half) -> u64 {
        match half {
            Half::Wan => self.wan.1.stats().requests_served,
            Half::Lan => self.lan.1.stats().requests_served,
        }
    }
}

// covers: KAD-191
#[test]
fn records_go_to_the_public_network_if_it_has_peers_and_else_to_the_local_one() {
    for (with_wan, wanted) in [(true, Half::Wan), (false, Half::Lan)] {
        let mut world = World::new(with_wan);
        assert_eq!(world.dual.writes_to(), wanted);
        let (wan, lan) = (world.served(Half::Wan), world.served(Half::Lan));
        let query = world.dual.provide(&b"content"[..]).unwrap();
        assert_eq!(world.end(query).0, Ok(Outcome::Sent { peers: 1, failed: 0 }));
        let query = world.dual.put_value(&b"/x/key"[..], &b"value"[..]).unwrap();
        assert_eq!(world.end(query).0, Ok(Outcome::Sent { peers: 1, failed: 0 }));
        let (wan, lan) = (world.served(Half::Wan) - wan, world.served(Half::Lan) - lan);
        let (written, other) = if with_wan { (wan, lan) } else { (lan, wan) };
        assert!(written >= 2 && other == 0, "{written} {other}");
    }
}

// covers: KAD-191
#[test]
fn a_search_asks_both_networks_at_once_takes_the_first_value_and_tells_providers_of_both_once() {
    let mut world = World::new(true);
    // A value in the local network only.
    let put = world.lan.1.put_value(&b"/x/local"[..], &b"here"[..]).unwrap();
    let provided = world.lan.1.provide(&b"content"[..]).unwrap();
    let also = world.wan.1.provide(&b"content"[..]).unwrap();
    let _ = (put, provided, also);
    for _ in 0..5 {
        world.run();
    }
    let query = world.dual.get_value(&b"/x/local"[..], Some(1)).unwrap();
    let (found, _) = world.end(query);
    assert!(matches!(found, Ok(Outcome::Value { value, .. }) if value == b"here"[..]));
    let query = world.dual.find_providers(&b"content"[..], 0).unwrap();
    let (found, told) = world.end(query);
    // The benches give the same ids, so that both networks name the same peer.
    let Ok(Outcome::Providers(found)) = found else {
        panic!("no providers")
    };
    assert_eq!((found.len(), told), (1, 1));
    let query = world.dual.get_value(&b"/x/none"[..], Some(0)).unwrap();
    assert_eq!(world.end(query).0, Err(QueryError::NotFound));
    let query = world.dual.find_providers(&b"nobody"[..], 1).unwrap();
    assert_eq!(world.end(query).0, Err(QueryError::NotFound));
}

#[test]
fn a_query_that_is_cancelled_ends_once_and_two_networks_have_two_names() {
    let mut world = World::new(true);
    let query = world.dual.get_value(&b"/x/key"[..], Some(0)).unwrap();
    world.dual.cancel(query);
    assert_eq!(world.end(query).0, Err(QueryError::Cancelled));
    let peer = world.wan.0.peer(0);
    let same = Dual::new(peer, config(&WAN), config(&WAN));
    assert_eq!(same.unwrap_err(), Error::BadConfig("protocol"));
    assert_eq!(world.dual.protocols().len(), 2);
}
