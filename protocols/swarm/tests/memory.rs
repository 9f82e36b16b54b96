//! What an idle connection costs the swarm, and that many cost no more each than few.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_swarm::Config;
use support::*;

/// Connections of as many peers, each identified by two streams that are gone.
fn connect(bench: &mut Bench, from: u32, to: u32) {
    for number in from..to {
        let remote = format!("/ip4/10.{}.{}.1/tcp/4001", number / 250, number % 250);
        let conn = bench.inbound(at(0), stranger(number), &remote);
        let stream = bench.remote_opens(at(0), conn, 0, 0);
        bench.frame(at(0), stream, 100);
        bench.closes(at(0), stream);
        bench.events();
        bench.actor.inputs.clear();
    }
}

fn many() -> Bench {
    Bench::new(Config {
        max_connections: 10_000,
        max_inbound: 10_000,
        ..roomy()
    })
}

#[test]
fn an_idle_connection_takes_less_than_a_kibibyte_of_the_swarm() {
    let mut held = 0;
    let mut bench = many();
    connect(&mut bench, 0, 100);
    let info = allocation_counter::measure(|| {
        connect(&mut bench, 100, 5_100);
        held = 5_000;
    });
    let each = info.bytes_current / held;
    assert!(each <= 1024, "{each} bytes each");
    assert_eq!(bench.swarm.stats().established, 5_100);
}

#[test]
fn vul_164_connections_that_are_gone_take_no_memory() {
    let mut bench = many();
    connect(&mut bench, 0, 100);
    let info = allocation_counter::measure(|| {
        connect(&mut bench, 100, 2_100);
        let peers: Vec<_> = bench.swarm.peers().collect();
        for who in peers {
            for conn in bench.swarm.connections(who) {
                bench.gone(at(0), conn);
                bench.events();
            }
        }
        // The next one to come finds that all others have waited long enough.
        let last = bench.inbound(at(2_000), peer(2), "/ip4/192.0.2.1/tcp/1");
        bench.gone(at(2_000), last);
        bench.events();
        bench.actor.inputs = Vec::new();
    });
    assert!(
        info.bytes_current < 64 * 1024,
        "{} bytes are left",
        info.bytes_current
    );
    assert!(bench.swarm.is_idle());
}

#[test]
fn the_hundredth_accept_and_the_five_thousandth_allocate_the_same() {
    let mut bench = many();
    let mut cost = |from: u32, to: u32| {
        let info = allocation_counter::measure(|| connect(&mut bench, from, to));
        (info.count_total, info.bytes_total)
    };
    let (few, few_bytes) = cost(0, 500);
    cost(500, 4_500);
    let (many, many_bytes) = cost(4_500, 5_000);
    assert!(many <= few + few / 5, "{few} allocations, then {many}");
    assert!(
        many_bytes <= few_bytes * 2,
        "{few_bytes} bytes, then {many_bytes}"
    );
}
