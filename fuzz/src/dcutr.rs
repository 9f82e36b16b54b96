//! Both ends of a hole punch, and its messages.

use crate::{budget, scene};
use libp2p_proto_core::{ConnectionId, Deadline, Side};
use libp2p_proto_dcutr::{Config, Dcutr, HolePunch, NAME};
use libp2p_proto_stream_protocol::{
    ConnectionInfo, Context, Fact, Input, Protocol, StreamSpec, bench::Bench,
};

/// What a message may cost for each byte of it.
const FACTOR: usize = 64;

/// Runs one input as a message.
///
/// # Panics
///
/// If what was read is not written back, or costs too much.
pub fn run_message(data: &[u8]) {
    budget::memory("a message", 4096 + FACTOR * data.len(), || {
        if let Ok(message) = HolePunch::decode(data) {
            assert_eq!(HolePunch::decode(&message.encode()), Ok(message));
        }
    });
}

/// Runs one input as the life of a node at one end of a relayed connection, then at the other.
///
/// # Panics
///
/// If the machine does not keep its word.
pub fn run(data: &[u8]) {
    run_message(data);
    let peers = scene::strangers();
    for connect in [as_caller, as_callee] {
        let make = || {
            let config = Config {
                max_events: 64,
                ..Config::default()
            };
            Identified(Dcutr::new(config).expect("the configuration is valid"))
        };
        scene::lead_over(data, 1 << 20, &peers, connect, make, |node, peer, choice| {
            match choice % 3 {
                0 => node.0.retry(peer),
                _ => while node.0.poll_event().is_some() {},
            }
            assert!(node.0.census().running <= 1 && node.0.census().dials <= 1);
        });
    }
}

fn as_caller(bench: &mut Bench) -> ConnectionId {
    bench.connect_as([(0, relayed(Side::Dialer)), (1, relayed(Side::Listener))])
}

fn as_callee(bench: &mut Bench) -> ConnectionId {
    bench.connect_as([(0, relayed(Side::Listener)), (1, relayed(Side::Dialer))])
}

fn relayed(side: Side) -> ConnectionInfo {
    ConnectionInfo {
        side,
        local: None,
        remote: "/ip4/192.0.2.1/tcp/4001/p2p-circuit".parse().expect("an address"),
        limited: true,
        dial: None,
    }
}

/// A node that knows an address of its own, and has identified whoever is connected.
struct Identified(Dcutr);

impl Protocol for Identified {
    fn specs(&self) -> &[StreamSpec] {
        self.0.specs()
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        let connected = match &input {
            Input::Connected { peer, .. } => Some(*peer),
            _ => None,
        };
        self.0.handle(cx, input);
        if let Some(peer) = connected {
            let addr = "/ip4/203.0.113.5/tcp/4001".parse().expect("an address");
            let confirmed = true;
            let protocols = [NAME].into();
            for fact in [
                Fact::ExternalAddress { addr, confirmed },
                Fact::PeerProtocols { peer, protocols },
            ] {
                self.0.handle(cx, Input::Fact(fact));
            }
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.0.poll_timeout()
    }
}
