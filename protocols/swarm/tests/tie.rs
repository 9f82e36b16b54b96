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

#[test]
fn a_connection_that_was_set_aside_is_chosen_by_nobody_and_goes_with_the_last_stream_of_those_who_did_not_know()
 {
    let (small, large) = if peer(1) < peer(2) { (1, 2) } else { (2, 1) };
    for (ours, theirs) in [(small, large), (large, small)] {
        let mut bench = Bench::of(ours, Config::default(), Actor::echo_and_quiet());
        let asked = bench.inbound(at(0), peer(theirs), "/ip4/192.0.2.1/tcp/2");
        let busy = bench.remote_opens(at(0), asked, 0, 0);
        let back = bench.outbound(at(100), peer(theirs), "/ip4/192.0.2.1/tcp/1");
        bench.act(at(100), move |cx| cx.set_aside(back));
        assert_eq!(bench.swarm.connections(peer(theirs)).as_slice(), [asked, back]);
        let open = move |cx: &mut libp2p_proto_stream_protocol::Context<'_>| {
            cx.open(Target::Peer(peer(theirs)), &[0]).unwrap()
        };
        assert_eq!(bench.act(at(200), open).0.conn, asked);
        // The other end opens one all the same.
        let late = bench.remote_opens(at(300), back, 0, 0);
        assert!(orders(&bench.drive(at(9_000)), back).is_empty());
        assert_eq!(orders(&bench.closes(at(9_500), late), back), ["Close"]);
        assert!(orders(&bench.closes(at(9_500), busy), asked).is_empty());
    }
}

#[test]
fn a_connection_that_was_set_aside_serves_when_it_is_the_only_one() {
    let mut bench = Bench::new(Config::default());
    let back = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/2");
    bench.act(at(0), move |cx| cx.set_aside(back));
    let (opened, _) = bench.act(at(1), move |cx| cx.open(Target::Peer(peer(2)), &[0]).unwrap());
    assert_eq!(opened.conn, back);
    assert!(orders(&bench.drive(at(30_000)), back).is_empty());
}
