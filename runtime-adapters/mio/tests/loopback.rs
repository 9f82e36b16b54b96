//! Two nodes on one loop, over real sockets on loopback.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use libp2p_proto_core::PeerId;
use libp2p_proto_identify::Identify;
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_mio::{Config, Entropy, Error, Node};
use libp2p_proto_perf::Perf;
use libp2p_proto_stream_protocol::Dial;
use libp2p_proto_swarm::Event;
use std::time::Duration;

struct Peer {
    node: Node,
    identify: Identify,
    perf: Perf,
}

impl Peer {
    fn new(seed: u8) -> Self {
        let identity = Identity::from(Keypair::ed25519_from_seed([seed; 32]));
        let mut identify = Identify::new(identity.clone(), libp2p_proto_identify::Config::default()).unwrap();
        let mut perf = Perf::new(libp2p_proto_perf::Config {
            serve: true,
            ..Default::default()
        })
        .unwrap();
        let node = Node::new(identity, Config::default(), &mut [&mut identify, &mut perf]).unwrap();
        Self { node, identify, perf }
    }

    fn turn(&mut self) {
        self.node
            .turn(
                &mut [&mut self.identify, &mut self.perf],
                Some(Duration::from_millis(1)),
            )
            .unwrap();
    }
}

fn connected_pair() -> (Peer, Peer, PeerId) {
    let (mut a, mut b) = (Peer::new(1), Peer::new(2));
    let addr = b.node.listen(&"/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let now = a.node.now();
    a.node.swarm().dial(now, Dial::addr(addr)).unwrap();
    for _ in 0..5000 {
        a.turn();
        b.turn();
        if let Some(Event::Connected { peer, .. }) = a.node.poll_event() {
            return (a, b, peer);
        }
    }
    panic!("not connected");
}

#[test]
fn two_nodes_identify_each_other() {
    let (mut a, mut b, peer) = connected_pair();
    for _ in 0..5000 {
        a.turn();
        b.turn();
        if a.identify.info(&peer).is_some() {
            break;
        }
    }
    assert!(
        a.identify
            .info(&peer)
            .unwrap()
            .agent_version
            .starts_with("libp2p-proto/")
    );
}

#[test]
fn sixteen_mebibytes_each_way_arrive_whole() {
    let (mut a, mut b, peer) = connected_pair();
    a.perf.run(peer, 16 << 20, 16 << 20).unwrap();
    for _ in 0..100_000 {
        a.turn();
        b.turn();
        match a.perf.poll_event() {
            Some(libp2p_proto_perf::Event::Done { up, down, .. }) => {
                assert_eq!((up, down), (16 << 20, 16 << 20));
                return;
            }
            Some(libp2p_proto_perf::Event::Failed { failure, .. }) => panic!("{failure}"),
            _ => {}
        }
    }
    panic!("not done");
}

// covers: SIM-17
#[test]
fn without_entropy_no_node_is_built() {
    let entropy = Entropy(|_| Err(getrandom::Error::UNSUPPORTED));
    let config = Config {
        entropy,
        ..Config::default()
    };
    let identity = Identity::from(Keypair::ed25519_from_seed([1; 32]));
    let built = Node::new(identity, config, &mut []).map(drop);
    assert!(matches!(
        built,
        Err(Error::Entropy(getrandom::Error::UNSUPPORTED))
    ));
}
