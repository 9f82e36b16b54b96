//! When an upgrade begins: who, after what, with which addresses.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::Side;
use libp2p_proto_dcutr::{Config, Event, Failure, HolePunch, How, NAME, Role};
use libp2p_proto_stream_protocol::{Closed, ConnectionInfo, Fact, Input};
use support::*;

// covers: DCU-001, DCU-002
#[test]
fn only_the_end_that_was_dialed_begins_and_only_once_it_has_identified_the_other() {
    let (mut caller, mut callee) = (puppet(), node(Config::default()));
    let mut lab = Lab::new();
    lab.run(&mut caller, &mut callee, ms(60_000));
    assert!(caller.opened().is_empty(), "before identify");
    lab.identified(CALLEE, true, &[]);
    lab.run(&mut caller, &mut callee, ms(200));
    assert_eq!(caller.opened().len(), 1);
    assert_eq!(caller.opened()[0].conn, lab.conn);

    let (mut caller, mut callee) = (node(Config::default()), puppet());
    let mut lab = Lab::new();
    lab.identified(CALLER, true, &[ADDRS[CALLEE]]);
    lab.run(&mut caller, &mut callee, ms(60_000));
    assert!(callee.opened().is_empty() && lab.bench.dials(CALLER).is_empty());
}

// covers: DCU-001
#[test]
fn nothing_begins_on_a_direct_connection() {
    let (mut caller, mut callee) = (puppet(), node(Config::default()));
    let mut bench = libp2p_proto_stream_protocol::bench::Bench::new(1, 2, LATENCY);
    let conn = bench.connect(CALLER, CALLEE);
    let mut lab = Lab { bench, conn };
    lab.own(CALLEE, ADDRS[CALLEE], true);
    lab.identified(CALLEE, true, &[ADDRS[CALLER]]);
    lab.run(&mut caller, &mut callee, ms(60_000));
    assert!(caller.opened().is_empty() && lab.bench.dials(CALLEE).is_empty());
    assert_eq!(callee.census().peers, 0);
}

// covers: DCU-003
#[test]
fn a_peer_that_does_not_speak_the_protocol_is_only_dialed() {
    let (mut caller, mut callee) = (puppet(), node(Config::default()));
    let mut lab = Lab::new();
    lab.identified(CALLEE, false, &[ADDRS[CALLER]]);
    lab.run(&mut caller, &mut callee, ms(200));
    assert_eq!(lab.bench.dials(CALLEE).len(), 1);
    lab.dial_fails(CALLEE, 1);
    lab.run(&mut caller, &mut callee, ms(60_000));
    assert!(caller.opened().is_empty());
    let peer = lab.bench.peer(CALLER);
    let failure = Failure::Unsupported;
    assert_eq!(events(&mut callee), [Event::Failed { peer, failure }]);
    // It learns to: js and go announce the protocol later.
    lab.identified(CALLEE, true, &[ADDRS[CALLER]]);
    lab.run(&mut caller, &mut callee, ms(200));
    assert_eq!(caller.opened().len(), 1);
}

// covers: DCU-004
#[test]
fn beside_a_direct_connection_nothing_begins_and_one_that_appears_ends_the_exchange() {
    let (mut caller, mut callee) = (puppet(), node(Config::default()));
    let mut lab = Lab::new();
    lab.meet([None, None]);
    lab.identified(CALLEE, true, &[ADDRS[CALLER]]);
    lab.run(&mut caller, &mut callee, ms(60_000));
    assert!(caller.opened().is_empty() && lab.bench.dials(CALLEE).is_empty());

    let (mut caller, mut callee) = (puppet(), node(Config::default()));
    let mut lab = Lab::new();
    lab.identified(CALLEE, true, &[]);
    lab.run(&mut caller, &mut callee, ms(200));
    let stream = caller.opened()[0];
    let conn = lab.meet([None, None]);
    lab.run(&mut caller, &mut callee, ms(200));
    assert_eq!(end_of(&caller, stream), Some(Closed::Reset));
    let (peer, how) = (lab.bench.peer(CALLER), How::Appeared);
    assert_eq!(events(&mut callee), [Event::Upgraded { peer, conn, how }]);
    assert!(lab.bench.dials(CALLEE).is_empty());
}

// covers: DCU-005
#[test]
fn two_relayed_connections_to_one_peer_are_one_upgrade() {
    let (mut caller, mut callee) = (puppet(), node(Config::default()));
    let mut lab = Lab::new();
    connect(&mut lab.bench);
    lab.identified(CALLEE, true, &[]);
    lab.run(&mut caller, &mut callee, ms(5_000));
    assert_eq!(caller.opened().len(), 1);
    assert_eq!(callee.census().running, 1);
}

// covers: DCU-006, DCU-007
#[test]
fn without_an_address_of_its_own_an_end_is_silent_and_does_not_announce_the_protocol() {
    let (mut caller, mut callee) = (puppet(), node(Config::default()));
    let mut lab = Lab::nameless(LATENCY);
    lab.identified(CALLEE, true, &[]);
    lab.run(&mut caller, &mut callee, ms(3_000));
    assert!(caller.opened().is_empty() && events(&mut callee).is_empty());
    let names = lab.bench.with(CALLEE, &callee, |cx| cx.local_protocols(None));
    assert!(names.is_empty(), "{names:?}");
    // An address is learned after three seconds.
    lab.own(CALLEE, ADDRS[CALLEE], true);
    lab.run(&mut caller, &mut callee, ms(200));
    let names = lab.bench.with(CALLEE, &callee, |cx| cx.local_protocols(None));
    assert_eq!(names, [NAME]);
    assert_eq!(caller.opened().len(), 1);
    // And lost again.
    lab.own(CALLEE, ADDRS[CALLEE], false);
    lab.run(&mut caller, &mut callee, ms(200));
    let names = lab.bench.with(CALLEE, &callee, |cx| cx.local_protocols(None));
    assert!(names.is_empty());

    // The caller refuses the stream.
    let (mut caller, mut callee) = (node(Config::default()), puppet());
    let mut lab = Lab::nameless(LATENCY);
    let stream = lab.open(CALLEE, &callee);
    lab.run(&mut caller, &mut callee, ms(200));
    assert_eq!(end_of(&callee, stream), Some(Closed::Refused));
}

// covers: DCU-008, DCU-009
#[test]
fn the_public_addresses_that_the_caller_claims_are_dialed_first_and_success_ends_it() {
    let (mut caller, mut callee) = (puppet(), node(Config::default()));
    let mut lab = Lab::new();
    let claimed = [
        "/ip4/10.0.0.2/tcp/4001",
        ADDRS[CALLER],
        "/ip4/192.0.2.1/tcp/4001/p2p-circuit",
    ];
    lab.identified(CALLEE, true, &claimed);
    lab.run(&mut caller, &mut callee, ms(200));
    let [dial] = lab.bench.dials(CALLEE) else {
        panic!("one dial")
    };
    assert_eq!(dial.addrs, addrs(&[ADDRS[CALLER]]));
    assert!(dial.force && dial.only && !dial.reuse_port && dial.side == Side::Dialer);
    // We dialed, so the direct connection is ours.
    let conn = lab.bench.connect_as([
        (CALLER, direct(Side::Listener, ADDRS[CALLEE], None)),
        (CALLEE, direct(Side::Dialer, ADDRS[CALLER], Some(1))),
    ]);
    lab.run(&mut caller, &mut callee, ms(60_000));
    let (peer, how) = (lab.bench.peer(CALLER), How::Unilateral);
    assert_eq!(events(&mut callee), [Event::Upgraded { peer, conn, how }]);
    assert!(caller.opened().is_empty() && lab.bench.cancelled(CALLEE).is_empty());
}

// covers: DCU-008, DCU-010
#[test]
fn the_exchange_begins_when_the_claimed_addresses_have_failed_or_taken_ten_seconds() {
    for fails in [true, false] {
        let (mut caller, mut callee) = (puppet(), node(Config::default()));
        let mut lab = Lab::new();
        lab.identified(CALLEE, true, &[ADDRS[CALLER]]);
        lab.run(&mut caller, &mut callee, ms(9_000));
        assert!(caller.opened().is_empty());
        if fails {
            lab.dial_fails(CALLEE, 1);
        } else {
            lab.run(&mut caller, &mut callee, ms(999));
            assert!(caller.opened().is_empty() && lab.bench.cancelled(CALLEE).is_empty());
        }
        lab.run(&mut caller, &mut callee, ms(200));
        assert_eq!(caller.opened().len(), 1);
        assert_eq!(lab.bench.cancelled(CALLEE).len(), usize::from(!fails));
    }
}

// covers: DCU-011
#[test]
fn a_relayed_connection_without_limits_is_upgraded_only_if_that_is_wanted() {
    for unlimited in [false, true] {
        let (mut caller, mut callee) = (
            puppet(),
            node(Config {
                unlimited,
                ..Config::default()
            }),
        );
        let mut bench = libp2p_proto_stream_protocol::bench::Bench::new(1, 2, LATENCY);
        let conn = bench.connect_as([
            (CALLER, relayed(Side::Dialer, false)),
            (CALLEE, relayed(Side::Listener, false)),
        ]);
        let mut lab = Lab { bench, conn };
        lab.own(CALLEE, ADDRS[CALLEE], true);
        lab.identified(CALLEE, true, &[ADDRS[CALLER]]);
        lab.run(&mut caller, &mut callee, ms(60_000));
        assert_eq!(lab.bench.dials(CALLEE).len(), usize::from(unlimited));
    }
}

// covers: DCU-046
#[test]
fn where_the_port_cannot_be_reused_nothing_is_punched() {
    let config = Config {
        tcp: false,
        ..Config::default()
    };
    let (mut caller, mut callee) = (puppet(), node(config));
    let mut lab = Lab::new();
    lab.identified(CALLEE, true, &[ADDRS[CALLER]]);
    lab.run(&mut caller, &mut callee, ms(200));
    lab.dial_fails(CALLEE, 1);
    lab.run(&mut caller, &mut callee, ms(60_000));
    assert!(caller.opened().is_empty());
    let names = lab.bench.with(CALLEE, &callee, |cx| cx.local_protocols(None));
    assert!(names.is_empty());
}

/// The callee sees the caller, and others, say at which address they see it.
fn observed(lab: &mut Lab, number: u8, local: &str, addr_seen: &str) {
    // The same peer each time: the bench has only one other.
    let remote = addr(&format!("/ip4/192.0.{number}.9/tcp/4001"));
    let info = |side| ConnectionInfo {
        side,
        local: Some(addr(local)),
        remote: remote.clone(),
        limited: false,
        dial: None,
    };
    lab.bench
        .connect_as([(CALLER, info(Side::Listener)), (CALLEE, info(Side::Dialer))]);
    let fact = Fact::ObservedAddress {
        addr: addr(addr_seen),
        by: lab.bench.peer(CALLER),
        from: remote.clone(),
    };
    lab.bench.inject(CALLEE, Input::Fact(fact));
}

// covers: DCU-020
#[test]
fn what_others_see_counts_where_the_connection_begins_at_a_port_that_listens() {
    let cases = [
        ("/ip4/10.0.0.2/tcp/4001", "/ip4/198.51.100.7/tcp/1025", true),
        ("/ip4/10.0.0.2/tcp/50000", "/ip4/198.51.100.7/tcp/1025", false),
        ("/ip4/10.0.0.2/tcp/4001", "/ip4/10.0.0.2/tcp/4001", false),
        ("/ip4/10.0.0.2/tcp/4001", "/ip4/198.51.100.7/tcp/1025/ws", false),
        (
            "/ip4/10.0.0.2/tcp/4001",
            "/ip4/198.51.100.7/udp/1025/webrtc-direct",
            false,
        ),
        (
            "/ip4/10.0.0.2/tcp/4001",
            "/ip4/198.51.100.7/tcp/1025/p2p-circuit",
            false,
        ),
        ("/ip4/10.0.0.2/tcp/4001", "/ip4/198.51.100.7/tcp/0", false),
        ("/ip4/10.0.0.2/tcp/4001", "/dns4/example.org/tcp/1025", false),
    ];
    for listener in ["/ip4/10.0.0.2/tcp/4001", "/ip4/0.0.0.0/tcp/4001"] {
        for (local, seen, counts) in cases {
            let (mut caller, mut callee) = (puppet(), node(Config::default()));
            let mut bench = libp2p_proto_stream_protocol::bench::Bench::new(1, 2, LATENCY);
            let conn = bench.connect(CALLER, CALLEE);
            let mut lab = Lab { bench, conn };
            let fact = Fact::ListenAddress {
                addr: addr(listener),
                up: true,
            };
            lab.bench.inject(CALLEE, Input::Fact(fact));
            lab.run(&mut caller, &mut callee, ms(10));
            observed(&mut lab, 1, local, seen);
            lab.run(&mut caller, &mut callee, ms(200));
            let expected = if counts { addrs(&[seen]) } else { Vec::new() };
            assert_eq!(callee.own_addresses(), expected, "{listener} {local} {seen}");
        }
    }
}

// covers: DCU-022
#[test]
fn an_address_that_is_learned_between_two_attempts_is_in_the_second() {
    let (mut caller, mut callee) = (node(Config::default()), node(Config::default()));
    let mut lab = Lab::new();
    lab.identified(CALLEE, true, &[]);
    lab.until_dial([&mut caller, &mut callee], CALLEE, 1).unwrap();
    let more = "/ip4/198.51.100.8/tcp/4001";
    lab.own(CALLEE, more, true);
    lab.dial_fails(CALLEE, 1);
    lab.until_dial([&mut caller, &mut callee], CALLER, 2).unwrap();
    let dialed = |place: usize, lab: &Lab| lab.bench.dials(CALLER)[place].addrs.clone();
    assert_eq!(dialed(0, &lab), addrs(&[ADDRS[CALLEE]]));
    assert_eq!(dialed(1, &lab), addrs(&[ADDRS[CALLEE], more]));
}

// covers: DCU-014
#[test]
fn of_sixty_addresses_connect_has_as_many_as_nim_reads() {
    let (mut caller, mut callee) = (
        puppet(),
        node(Config {
            max_own: 60,
            ..Config::default()
        }),
    );
    let mut lab = Lab::nameless(LATENCY);
    for number in 0..60 {
        lab.own(CALLEE, &format!("/ip6/2001:db8::{number:x}/tcp/4001"), true);
    }
    lab.identified(CALLEE, true, &[]);
    lab.run(&mut caller, &mut callee, ms(200));
    let frames = caller.frames(caller.opened()[0]);
    assert!(
        frames[0].len() <= 1024 && frames[0].len() > 1000,
        "{}",
        frames[0].len()
    );
    let Ok(HolePunch::Connect { addrs }) = HolePunch::decode(&frames[0]) else {
        panic!("not CONNECT")
    };
    assert_eq!(addrs[..], callee.own_addresses()[..]);
    assert!(addrs.len() < 60);
}

#[test]
fn the_roles_are_those_of_the_relayed_connection() {
    assert_eq!(Role::Caller.side(), Side::Dialer);
    assert_eq!(Role::Callee.side(), Side::Listener);
}
