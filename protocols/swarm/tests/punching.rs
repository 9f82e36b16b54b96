//! Hole punches: dials from listening ports in an agreed role, links of a peer that is expected, and what becomes of the relayed connection.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{ConnectionId, Instant, Multiaddr, PeerId, Side};
use libp2p_proto_stream_protocol::{
    AttemptError, Dial, DialError, DialOutcome, Expected, FromConnection, Input, LinkError, Target,
};
use libp2p_proto_swarm::{Action, Config, Event};
use support::*;

fn punch(peer: PeerId, side: Side, addrs: &[&str]) -> Dial {
    Dial {
        addrs: addrs.iter().map(|text| addr(text)).collect(),
        force: true,
        side,
        reuse_port: true,
        only: true,
        at_once: true,
        ..Dial::peer(peer)
    }
}

fn expect(bench: &mut Bench, now: Instant, peer: PeerId, side: Side, addrs: &[&str], until: Instant) -> bool {
    let addrs: Vec<Multiaddr> = addrs.iter().map(|text| addr(text)).collect();
    let expected = Expected {
        peer,
        addrs,
        until,
        side,
    };
    bench.act(now, move |cx| cx.expect(expected)).0
}

fn side_of(bench: &mut Bench, now: Instant, remote: &str) -> Result<(Side, Option<PeerId>), &'static str> {
    let seat = bench.swarm.handle_accepted(now, None, addr(remote));
    seat.map(|seat| (seat.side, seat.expect))
        .map_err(|denied| denied.0)
}

// covers: DCU-043
#[test]
fn a_punch_dials_all_its_addresses_at_once_from_a_listening_port_and_none_that_was_known_before() {
    let mut bench = Bench::new(Config::default());
    let known = addr("/ip4/192.0.2.99/tcp/1");
    bench
        .swarm
        .book_mut()
        .add(at(0), peer(2), known, libp2p_proto_swarm::Source::Told);
    let all = [
        "/ip4/192.0.2.1/tcp/1",
        "/ip4/192.0.2.2/tcp/1",
        "/ip6/2001:db8::1/tcp/1",
    ];
    bench
        .swarm
        .dial(at(0), punch(peer(2), Side::Listener, &all))
        .unwrap();
    let mut dialed: Vec<_> = bench
        .drive(at(0))
        .into_iter()
        .filter_map(|action| match action {
            Action::Dial { addr, reuse_port, .. } => Some((addr.to_string(), reuse_port)),
            _ => None,
        })
        .collect();
    dialed.sort();
    let mut expected = all.map(|text| (text.to_owned(), true));
    expected.sort();
    assert_eq!(dialed, expected);
}

// covers: DCU-044
#[test]
fn an_address_that_was_refused_is_not_tried_again_by_the_same_dial() {
    let mut bench = Bench::new(Config::default());
    let all = ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/1"];
    bench
        .swarm
        .dial(at(0), punch(peer(2), Side::Dialer, &all))
        .unwrap();
    let dials = bench.dials(at(0));
    assert_eq!(dials.len(), 2);
    let refused = AttemptError::Transport("refused");
    bench.swarm.handle_dial_failed(at(10), dials[0].0, refused);
    assert!(bench.dials(at(9_000)).is_empty());
}

// covers: DCU-056
#[test]
fn the_first_connection_of_a_punch_cancels_the_other_dials() {
    let mut bench = Bench::new(Config::default());
    let all = [
        "/ip4/192.0.2.1/tcp/1",
        "/ip4/192.0.2.2/tcp/1",
        "/ip4/192.0.2.3/tcp/1",
    ];
    bench
        .swarm
        .dial(at(0), punch(peer(2), Side::Listener, &all))
        .unwrap();
    let dials = bench.dials(at(0));
    let (second, remote) = dials[1].clone();
    let seat = bench
        .swarm
        .handle_dialed(at(50), second, None, addr(&remote))
        .unwrap();
    assert_eq!(seat.side, Side::Listener);
    bench.authenticate(at(60), second, peer(2));
    let actions = bench.establish(at(70), second);
    let cancelled: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::CancelDial { conn } => Some(*conn),
            _ => None,
        })
        .collect();
    assert_eq!(cancelled, [dials[0].0, dials[2].0]);
}

#[test]
fn a_protocol_can_end_a_dial_and_is_told() {
    let mut bench = Bench::new(Config::default());
    let dial = punch(peer(2), Side::Dialer, &["/ip4/192.0.2.1/tcp/1"]);
    let (outcome, actions) = bench.act(at(0), move |cx| cx.dial(dial));
    let Ok(DialOutcome::Pending(id)) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(actions[..], [Action::Dial { .. }]));
    let ((), actions) = bench.act(at(5), move |cx| cx.cancel_dial(id));
    assert!(matches!(actions[..], [Action::CancelDial { .. }]));
    let told = bench.actor.inputs.iter().any(
        |input| matches!(input, Input::DialFailed { dial, error: DialError::Cancelled, .. } if *dial == id),
    );
    assert!(told);
    assert_eq!(bench.swarm.audit(), Ok(()));
}

// covers: DCU-035, VUL-054
#[test]
fn a_link_of_an_expected_peer_is_upgraded_in_the_agreed_role() {
    let mut bench = Bench::new(roomy());
    let from = ["/ip4/192.0.2.1/tcp/1000"];
    assert_eq!(side_of(&mut bench, at(0), from[0]), Ok((Side::Listener, None)));
    assert!(expect(
        &mut bench,
        at(0),
        peer(2),
        Side::Dialer,
        &from,
        at(10_000)
    ));
    let client = Ok((Side::Dialer, Some(peer(2))));
    // From where it said, as often as it comes; from another port of that host once, and from elsewhere never.
    for _ in 0..3 {
        assert_eq!(side_of(&mut bench, at(1), from[0]), client);
    }
    assert_eq!(side_of(&mut bench, at(1), "/ip4/192.0.2.1/tcp/1001"), client);
    let server = Ok((Side::Listener, None));
    assert_eq!(side_of(&mut bench, at(1), "/ip4/192.0.2.1/tcp/1001"), server);
    assert_eq!(side_of(&mut bench, at(1), "/ip4/192.0.2.2/tcp/1000"), server);
    assert_eq!(side_of(&mut bench, at(9_999), from[0]), client);
    assert_eq!(side_of(&mut bench, at(10_000), from[0]), server);
    // Taken back.
    assert!(expect(
        &mut bench,
        at(11_000),
        peer(2),
        Side::Dialer,
        &from,
        at(20_000)
    ));
    assert_eq!(side_of(&mut bench, at(11_000), from[0]), client);
    assert!(expect(
        &mut bench,
        at(11_000),
        peer(2),
        Side::Dialer,
        &from,
        at(11_000)
    ));
    assert_eq!(side_of(&mut bench, at(11_000), from[0]), server);
}

#[test]
fn an_expected_peer_comes_in_beyond_the_limits_of_others_and_so_many_are_expected() {
    let mut bench = Bench::new(Config {
        max_inbound: 0,
        max_expected: 2,
        max_exempt: 1,
        ..Config::default()
    });
    let from = "/ip4/192.0.2.1/tcp/1000";
    assert_eq!(side_of(&mut bench, at(0), from), Err("max-inbound"));
    assert!(expect(
        &mut bench,
        at(0),
        peer(2),
        Side::Listener,
        &[from],
        at(10_000)
    ));
    // Its own role is not ours to guess: whoever comes from there proves who it is.
    assert_eq!(side_of(&mut bench, at(0), from), Ok((Side::Listener, None)));
    assert_eq!(side_of(&mut bench, at(0), from), Err("max-exempt"));
    assert!(expect(
        &mut bench,
        at(0),
        peer(3),
        Side::Dialer,
        &[from],
        at(10_000)
    ));
    assert!(!expect(
        &mut bench,
        at(0),
        peer(4),
        Side::Dialer,
        &[from],
        at(10_000)
    ));
    assert!(
        expect(&mut bench, at(0), peer(3), Side::Dialer, &[from], at(20_000)),
        "it replaces its own"
    );
    assert!(
        expect(&mut bench, at(10_000), peer(4), Side::Dialer, &[from], at(20_000)),
        "one has passed"
    );
    assert_eq!(bench.swarm.audit(), Ok(()));
}

// covers: DCU-041
#[test]
fn whoever_else_comes_as_the_expected_peer_is_closed_and_the_dial_goes_on() {
    let mut bench = Bench::new(Config::default());
    let from = "/ip4/192.0.2.1/tcp/1000";
    bench
        .swarm
        .dial(at(0), punch(peer(2), Side::Dialer, &[from]))
        .unwrap();
    let dials = bench.dials(at(0));
    expect(&mut bench, at(0), peer(2), Side::Dialer, &[from], at(10_000));
    let seat = bench.swarm.handle_accepted(at(10), None, addr(from)).unwrap();
    let actions = bench.authenticate(at(20), seat.conn, peer(3));
    assert_eq!(orders(&actions, seat.conn), ["Close"]);
    // The dial leads to somebody else as well.
    bench
        .swarm
        .handle_dialed(at(30), dials[0].0, None, addr(from))
        .unwrap();
    let actions = bench.authenticate(at(40), dials[0].0, peer(3));
    assert_eq!(orders(&actions, dials[0].0), ["Close"]);
    assert!(bench.swarm.connections(peer(3)).is_empty() && bench.swarm.connections(peer(2)).is_empty());
}

// covers: DCU-036
#[test]
fn two_ends_that_wait_for_each_other_notice_within_five_seconds() {
    let mut bench = Bench::new(Config::default());
    let from = "/ip4/192.0.2.1/tcp/1000";
    let (outcome, _) = bench.act(at(0), move |cx| cx.dial(punch(peer(2), Side::Listener, &[from])));
    let Ok(DialOutcome::Pending(id)) = outcome else {
        panic!("{outcome:?}")
    };
    let conn = {
        let known = bench.swarm.stats();
        assert_eq!(known.pending_outbound, 1);
        ConnectionId::new(1)
    };
    let seat = bench
        .swarm
        .handle_dialed(at(1_000), conn, None, addr(from))
        .unwrap();
    assert_eq!((seat.side, seat.upgrade_by), (Side::Listener, at(6_000)));
    // The connection says so itself.
    let error = LinkError {
        fault: libp2p_proto_core::Fault::Peer,
        code: "upgrade-timeout",
    };
    bench.tell(
        at(6_000),
        conn,
        FromConnection::Disconnected { error: Some(error) },
    );
    let failed = |event: &Event| matches!(event, Event::DialFailed { dial, .. } if *dial == id);
    assert!(bench.events().iter().any(failed));
    // So it is with an accepted link in the dialer's role.
    expect(&mut bench, at(7_000), peer(2), Side::Dialer, &[from], at(17_000));
    let seat = bench.swarm.handle_accepted(at(7_000), None, addr(from)).unwrap();
    assert_eq!((seat.side, seat.upgrade_by), (Side::Dialer, at(12_000)));
}

/// A relayed connection from `who`, over one to a relay.
fn relayed(bench: &mut Bench, now: Instant, who: PeerId) -> ConnectionId {
    // Remotes of a real relayed link are those of the circuit.
    let conn = bench.inbound(now, who, "/ip4/192.0.2.50/tcp/1/p2p-circuit");
    assert!(bench.swarm.connection_info(conn).unwrap().limited);
    conn
}

// covers: DCU-057, DCU-058
#[test]
fn new_streams_go_to_the_direct_connection_and_the_relayed_one_is_closed_two_seconds_after_its_last_stream() {
    let mut bench = Bench::new(Config::default());
    let over = relayed(&mut bench, at(0), peer(2));
    let old = bench.remote_opens(at(100), over, 0, 1);
    let direct = bench.inbound(at(1_000), peer(2), "/ip4/192.0.2.1/tcp/1");
    assert_eq!(bench.swarm.connections(peer(2)).as_slice(), [direct, over]);
    let (opened, _) = bench.act(at(1_100), |cx| cx.open(Target::Peer(peer(2)), &[0]).unwrap());
    assert_eq!(opened.conn, direct);
    // A stream stands on it: nothing is moved by force.
    assert!(orders(&bench.drive(at(9_000)), over).is_empty());
    assert_eq!(orders(&bench.closes(at(9_000), old), over), ["Close"]);

    let mut bench = Bench::new(Config::default());
    let over = relayed(&mut bench, at(0), peer(2));
    bench.inbound(at(1_000), peer(2), "/ip4/192.0.2.1/tcp/1");
    assert!(orders(&bench.drive(at(2_999)), over).is_empty());
    assert_eq!(orders(&bench.drive(at(3_000)), over), ["Close"]);
}

#[test]
fn a_punched_connection_is_not_closed_for_being_the_second() {
    for side in [Side::Dialer, Side::Listener] {
        let mut bench = Bench::new(Config::default());
        let from = "/ip4/192.0.2.1/tcp/1000";
        expect(&mut bench, at(0), peer(2), side, &[from], at(10_000));
        let accepted = bench.inbound(at(0), peer(2), from);
        bench
            .swarm
            .dial(at(100), punch(peer(2), Side::Listener, &["/ip4/192.0.2.1/tcp/9"]))
            .unwrap();
        let (dialed, remote) = bench.dials(at(100))[0].clone();
        bench
            .swarm
            .handle_dialed(at(100), dialed, None, addr(&remote))
            .unwrap();
        bench.authenticate(at(100), dialed, peer(2));
        bench.establish(at(100), dialed);
        let actions = bench.drive(at(9_000));
        assert!(
            orders(&actions, accepted).is_empty() && orders(&actions, dialed).is_empty(),
            "{side:?}"
        );
    }
}
