//! Where others see us, and when that is believed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_stream_protocol::{Fact, FromConnection, Input};
use libp2p_proto_swarm::Config;
use support::*;

const SEEN: &str = "/ip4/203.0.113.5/tcp/4001";

/// Whether four observers of as many networks are believed, who came in at `local` while we listen at `listener`.
fn is_believed(listener: &str, local: &str) -> bool {
    let mut bench = Bench::new(Config::default());
    bench.swarm.handle_listening(at(0), addr(listener), true);
    for number in 1..=4_u8 {
        let remote = format!("/ip4/198.{number}.0.1/tcp/9");
        let seat = bench
            .swarm
            .handle_accepted(at(0), Some(addr(local)), addr(&remote))
            .unwrap();
        let (security, muxer) = (NOISE, YAMUX);
        bench.authenticate(at(0), seat.conn, peer(number + 1));
        bench.tell(at(0), seat.conn, FromConnection::Established { security, muxer });
        let from = bench.swarm.connection_info(seat.conn).unwrap().remote.clone();
        let fact = Fact::ObservedAddress {
            addr: addr(SEEN),
            by: peer(number + 1),
            from,
        };
        bench.act(at(0), move |cx| cx.tell(fact).unwrap());
    }
    let told = |input: &Input| matches!(input, Input::Fact(Fact::ExternalAddress { addr, .. }) if addr.to_string() == SEEN);
    bench.actor.inputs.iter().any(told)
}

#[test]
fn an_observer_counts_that_came_to_a_listener_of_ours_whatever_address_that_listener_has() {
    for (listener, local) in [
        ("/ip4/10.0.0.2/tcp/4001", "/ip4/10.0.0.2/tcp/4001"),
        ("/ip4/0.0.0.0/tcp/4001", "/ip4/10.0.0.2/tcp/4001"),
        ("/ip4/10.0.0.2/tcp/4001/ws", "/ip4/10.0.0.2/tcp/4001/ws"),
        ("/ip4/0.0.0.0/tcp/4001/ws", "/ip4/10.0.0.2/tcp/4001/ws"),
        // The link begins at a port where we listen for something else.
        ("/ip4/10.0.0.2/tcp/4001/ws", "/ip4/10.0.0.2/tcp/4001"),
        ("/ip6/::/tcp/4001", "/ip6/2001:db8::1/tcp/4001"),
    ] {
        assert!(is_believed(listener, local), "{listener} {local}");
    }
    for (listener, local) in [
        ("/ip4/0.0.0.0/tcp/4001", "/ip4/10.0.0.2/tcp/55555"),
        ("/ip4/10.0.0.3/tcp/4001", "/ip4/10.0.0.2/tcp/4001"),
        ("/ip6/::/tcp/4001", "/ip4/10.0.0.2/tcp/4001"),
    ] {
        assert!(!is_believed(listener, local), "{listener} {local}");
    }
}
