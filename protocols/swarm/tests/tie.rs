//! Two connections to one peer: one stays.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::ConnectionId;
use libp2p_proto_stream_protocol::Target;
use libp2p_proto_swarm::Config;
use support::*;

/// Two swarms that dialed each other at once: each one's own dial and the link of the other.
fn both_dialed(ours: u8, theirs: u8) -> (Bench, ConnectionId, ConnectionId) {
    let mut bench = Bench::of(ours, Config::default(), Actor::echo_and_quiet());
    let dialed = bench.outbound(at(0), peer(theirs), "/ip4/192.0.2.1/tcp/1");
    let accepted = bench.inbound(at(100), peer(theirs), "/ip4/192.0.2.1/tcp/2");
    (bench, dialed, accepted)
}

#[test]
fn vul_172_after_two_seconds_the_smaller_id_closes_the_connection_that_it_dialed() {
    let (small, large) = if peer(1) < peer(2) { (1, 2) } else { (2, 1) };
    let (mut bench, dialed, accepted) = both_dialed(small, large);
    assert_eq!(
        bench.swarm.connections(peer(large)).as_slice(),
        [accepted, dialed]
    );
    assert!(orders(&bench.drive(at(2_099)), dialed).is_empty());
    let actions = bench.drive(at(2_100));
    assert_eq!(orders(&actions, dialed), ["Close"]);
    assert!(orders(&actions, accepted).is_empty());

    let (mut bench, dialed, accepted) = both_dialed(large, small);
    assert_eq!(
        bench.swarm.connections(peer(small)).as_slice(),
        [dialed, accepted]
    );
    let actions = bench.drive(at(5_000));
    assert!(orders(&actions, dialed).is_empty() && orders(&actions, accepted).is_empty());
}

#[test]
fn a_needless_connection_stays_while_it_carries_streams_and_goes_with_the_last() {
    let (small, large) = if peer(1) < peer(2) { (1, 2) } else { (2, 1) };
    let (mut bench, dialed, accepted) = both_dialed(small, large);
    let stream = bench.remote_opens(at(200), dialed, 0, 0);
    // New streams go to the preferred one.
    let (opened, _) = bench.act(at(300), move |cx| {
        cx.open(Target::Peer(peer(large)), &[0]).unwrap()
    });
    assert_eq!(opened.conn, accepted);
    assert!(orders(&bench.drive(at(9_000)), dialed).is_empty());
    assert_eq!(orders(&bench.closes(at(9_500), stream), dialed), ["Close"]);
    bench.gone(at(9_600), dialed);
    assert_eq!(bench.swarm.connections(peer(large)).as_slice(), [accepted]);
}

#[test]
fn when_the_preferred_connection_goes_the_other_is_needed_after_all() {
    let (small, large) = if peer(1) < peer(2) { (1, 2) } else { (2, 1) };
    let (mut bench, dialed, accepted) = both_dialed(small, large);
    bench.gone(at(1_000), accepted);
    let stream = bench.remote_opens(at(1_000), dialed, 0, 0);
    assert!(orders(&bench.drive(at(9_000)), dialed).is_empty());
    assert_eq!(bench.swarm.connections(peer(large)).as_slice(), [dialed]);
    bench.closes(at(9_000), stream);
}
