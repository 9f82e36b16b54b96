//! The exchange, its times, and what comes after it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::Side;
use libp2p_proto_dcutr::{Attempt, Census, Config, Dcutr, Event, Failure, HolePunch, How, Role};
use libp2p_proto_stream_protocol::{Closed, DialError, Fact, Input, bench::Puppet};
use support::*;

fn pair() -> (Dcutr, Dcutr, Lab) {
    let mut lab = Lab::new();
    lab.identified(CALLEE, true, &[]);
    (node(Config::default()), node(Config::default()), lab)
}

/// A callee whose caller says what the test wants, at the point where CONNECT has come.
fn asked() -> (Puppet, Dcutr, Lab, libp2p_proto_core::StreamId) {
    let (mut caller, mut callee) = (puppet(), node(Config::default()));
    let mut lab = Lab::new();
    lab.identified(CALLEE, true, &[]);
    lab.run(&mut caller, &mut callee, ms(160));
    let stream = caller.opened()[0];
    assert_eq!(heard(&caller, stream).len(), 1);
    (caller, callee, lab, stream)
}

// covers: DCU-024, DCU-025, DCU-026, DCU-043, CON-065
#[test]
fn both_ends_dial_at_the_same_moment_half_a_round_trip_behind_sync() {
    let (mut caller, mut callee, mut lab) = pair();
    let by_callee = lab.until_dial([&mut caller, &mut callee], CALLEE, 1).unwrap();
    lab.run(&mut caller, &mut callee, ms(0));
    // 80 ms until the stream is open, 80 for CONNECT, 40 for SYNC.
    assert!((200..=201).contains(&by_callee.as_millis()), "{by_callee:?}");
    assert_eq!(lab.bench.dials(CALLER).len(), 1, "not in the same millisecond");
    let (a, b) = (&lab.bench.dials(CALLER)[0], &lab.bench.dials(CALLEE)[0]);
    assert_eq!((a.side, b.side), (Side::Dialer, Side::Listener));
    for (dial, theirs) in [(a, ADDRS[CALLEE]), (b, ADDRS[CALLER])] {
        assert_eq!(dial.addrs, addrs(&[theirs]));
        assert!(dial.force && dial.only && dial.at_once && dial.reuse_port);
    }
    lab.dial_fails(CALLEE, 1);
    lab.run(&mut caller, &mut callee, ms(1));
    let [Event::Attempted { attempt, .. }] = &events(&mut callee)[..] else {
        panic!("no attempt")
    };
    assert_eq!(attempt.rtt, Some(ms(80)));
}

// covers: DCU-029, DCU-060
#[test]
fn each_of_three_attempts_measures_anew_and_there_is_no_fourth() {
    let (mut caller, mut callee) = (puppet(), node(Config::default()));
    let mut lab = Lab::new();
    lab.identified(CALLEE, true, &[]);
    for (attempt, rtt) in [(1, 900), (2, 60), (3, 200)] {
        while caller.opened().len() < attempt {
            lab.run(&mut caller, &mut callee, ms(1));
        }
        let stream = caller.opened()[attempt - 1];
        while caller.frames(stream).is_empty() {
            lab.run(&mut caller, &mut callee, ms(1));
        }
        // CONNECT was 40 ms under way, and so is the answer.
        lab.run(&mut caller, &mut callee, ms(rtt).saturating_sub(ms(80)));
        lab.say(CALLER, &caller, stream, &connect_message(&[ADDRS[CALLER]]));
        while caller.frames(stream).len() < 2 {
            lab.run(&mut caller, &mut callee, ms(1));
        }
        // SYNC was under way for 40 ms of the wait.
        let waited = lab
            .until_dial([&mut caller, &mut callee], CALLEE, attempt)
            .unwrap()
            + ms(40);
        let expected = ms(Ord::max(rtt, 80) / 2);
        assert!(
            waited >= expected.max(ms(40)) && waited <= expected + ms(42),
            "{rtt}: {waited:?}"
        );
        lab.dial_fails(CALLEE, attempt as u64);
    }
    lab.run(&mut caller, &mut callee, Duration::from_secs(600));
    assert_eq!(caller.opened().len(), 3);
    let told = events(&mut callee);
    let numbers: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            Event::Attempted { attempt, .. } => Some(attempt.number),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(matches!(
        told.last(),
        Some(Event::Failed {
            failure: Failure::DialFailed(_),
            ..
        })
    ));
}

// covers: DCU-028
#[test]
fn half_a_round_trip_is_rounded_down_to_the_millisecond_and_none_means_at_once() {
    for (latency_us, waits_ms) in [(400, 0), (900, 0), (1_100, 1), (2_900, 2)] {
        let latency = Duration::from_micros(latency_us);
        let (mut caller, mut callee) = (puppet(), node(Config::default()));
        let mut lab = Lab::nameless(latency);
        lab.own(CALLEE, ADDRS[CALLEE], true);
        lab.identified(CALLEE, true, &[]);
        // The stream opens in one round trip, and CONNECT comes in half of one.
        lab.run(&mut caller, &mut callee, latency * 3);
        let stream = caller.opened()[0];
        lab.say(CALLER, &caller, stream, &connect_message(&[ADDRS[CALLER]]));
        lab.run(&mut caller, &mut callee, latency);
        for _ in 0..waits_ms {
            assert!(lab.bench.dials(CALLEE).is_empty(), "{latency_us}");
            lab.run(&mut caller, &mut callee, ms(1));
        }
        assert_eq!(lab.bench.dials(CALLEE).len(), 1, "{latency_us}");
    }
}

// covers: DCU-030
#[test]
fn both_ends_finish_the_stream_behind_sync() {
    let (mut caller, mut callee, mut lab, stream) = asked();
    lab.say(CALLER, &caller, stream, &connect_message(&[ADDRS[CALLER]]));
    lab.run(&mut caller, &mut callee, ms(80));
    assert_eq!(heard(&caller, stream)[1], HolePunch::Sync);
    assert!(has_finished(&caller, stream));
    // A peer that never ends its side costs the stream, and not the upgrade.
    lab.run(&mut caller, &mut callee, ms(9_000));
    assert_eq!(end_of(&caller, stream), None);
    lab.run(&mut caller, &mut callee, ms(1_200));
    assert_eq!(end_of(&caller, stream), Some(Closed::Reset));
    assert!(
        !events(&mut callee)
            .iter()
            .any(|event| matches!(event, Event::Failed { .. }))
    );

    let (mut caller, mut callee) = (node(Config::default()), puppet());
    let mut lab = Lab::new();
    lab.run(&mut caller, &mut callee, ms(1));
    let stream = lab.open(CALLEE, &callee);
    lab.run(&mut caller, &mut callee, ms(100));
    lab.say(CALLEE, &callee, stream, &connect_message(&[ADDRS[CALLEE]]));
    lab.run(&mut caller, &mut callee, ms(100));
    lab.say(CALLEE, &callee, stream, &sync_message());
    lab.run(&mut caller, &mut callee, ms(80));
    assert!(has_finished(&callee, stream));
}

// covers: DCU-031, CON-073
#[test]
fn a_caller_that_never_answers_is_given_up_after_ten_seconds() {
    let (mut caller, mut callee, mut lab, stream) = asked();
    lab.run(&mut caller, &mut callee, ms(9_800));
    assert_eq!(end_of(&caller, stream), None);
    lab.run(&mut caller, &mut callee, ms(300));
    assert_eq!(end_of(&caller, stream), Some(Closed::Reset));
    let (peer, failure) = (lab.bench.peer(CALLER), Failure::TimedOut);
    assert_eq!(events(&mut callee), [Event::Failed { peer, failure }]);
    assert_eq!(callee.census().streams, 0);
}

// covers: DCU-032
#[test]
fn vul_149_a_round_trip_of_more_than_five_seconds_is_a_failure_and_a_short_one_costs_no_wait() {
    for (answers_after, too_slow) in [(5_100, true), (4_800, false), (0, false)] {
        let (mut caller, mut callee, mut lab, stream) = asked();
        lab.run(&mut caller, &mut callee, ms(answers_after));
        lab.say(CALLER, &caller, stream, &connect_message(&[ADDRS[CALLER]]));
        lab.run(&mut caller, &mut callee, ms(3_000));
        assert_eq!(lab.bench.dials(CALLEE).is_empty(), too_slow, "{answers_after}");
        if too_slow {
            let (peer, failure) = (lab.bench.peer(CALLER), Failure::TooSlow);
            assert_eq!(events(&mut callee), [Event::Failed { peer, failure }]);
        }
    }
    // Ten minutes: the exchange is over long before.
    let (mut caller, mut callee, mut lab, stream) = asked();
    lab.run(&mut caller, &mut callee, ms(600_000));
    assert_eq!(end_of(&caller, stream), Some(Closed::Reset));
    assert!(lab.bench.dials(CALLEE).is_empty());
}

// covers: DCU-018, DCU-019, DCU-061, CON-073
#[test]
fn a_wrong_message_ends_the_upgrade_without_another_attempt() {
    type Case<'a> = (&'a [u8], fn(&Failure) -> bool);
    let cases: [Case<'_>; 5] = [
        (&[0x08, 0x64], |failure| *failure == Failure::NoAddress),
        (&[0x08, 0xac, 0x02], |failure| *failure == Failure::Unexpected),
        (&[0x08, 0xc8, 0x01], |failure| {
            matches!(failure, Failure::Malformed(_))
        }),
        (&[0x12, 0x00], |failure| matches!(failure, Failure::Malformed(_))),
        (&[], |failure| matches!(failure, Failure::Malformed(_))),
    ];
    for (message, right) in cases {
        let (mut caller, mut callee, mut lab, stream) = asked();
        lab.say(CALLER, &caller, stream, message);
        lab.run(&mut caller, &mut callee, Duration::from_secs(600));
        assert_eq!(end_of(&caller, stream), Some(Closed::Reset), "{message:?}");
        assert_eq!(caller.opened().len(), 1);
        assert!(lab.bench.dials(CALLEE).is_empty());
        let [Event::Failed { failure, .. }] = &events(&mut callee)[..] else {
            panic!("{message:?}")
        };
        assert!(right(failure), "{failure:?}");
    }
    // The stream is reset, or finished, or refused.
    let (mut caller, mut callee, mut lab, stream) = asked();
    lab.bench.with(CALLER, &caller, |cx| cx.reset(stream));
    lab.run(&mut caller, &mut callee, Duration::from_secs(600));
    assert_eq!(caller.opened().len(), 1);
    let (mut caller, mut callee, mut lab, stream) = asked();
    lab.bench.with(CALLER, &caller, |cx| cx.finish(stream));
    lab.run(&mut caller, &mut callee, Duration::from_secs(600));
    assert_eq!(caller.opened().len(), 1);
    assert!(matches!(
        events(&mut callee)[..],
        [Event::Failed {
            failure: Failure::Unexpected,
            ..
        }]
    ));
}

// covers: DCU-065
#[test]
fn every_attempt_is_told_with_addresses_round_trip_and_end() {
    let (mut caller, mut callee, mut lab) = pair();
    lab.until_dial([&mut caller, &mut callee], CALLEE, 1).unwrap();
    lab.run(&mut caller, &mut callee, ms(5));
    let conn = lab.meet([Some(1), Some(1)]);
    lab.run(&mut caller, &mut callee, ms(5));
    for (end, machine) in [(CALLER, &mut caller), (CALLEE, &mut callee)] {
        let peer = lab.bench.peer(1 - end);
        let attempt = Attempt {
            role: if end == CALLER { Role::Caller } else { Role::Callee },
            number: 1,
            rtt: (end == CALLEE).then_some(ms(80)),
            ours: addrs(&[ADDRS[end]]),
            theirs: addrs(&[ADDRS[1 - end]]),
            result: Ok(conn),
        };
        let how = How::Punched;
        let told = [
            Event::Attempted { peer, attempt },
            Event::Upgraded { peer, conn, how },
        ];
        assert_eq!(events(machine), told);
    }
}

// covers: DCU-047, DCU-056
#[test]
fn the_first_direct_connection_wins_and_what_comes_later_is_told_as_nothing_new() {
    let (mut caller, mut callee, mut lab) = pair();
    lab.until_dial([&mut caller, &mut callee], CALLEE, 1).unwrap();
    lab.run(&mut caller, &mut callee, ms(5));
    // It came in at the caller's listener: our own dial is needless.
    lab.meet([None, Some(1)]);
    lab.run(&mut caller, &mut callee, ms(5));
    assert_eq!(lab.bench.cancelled(CALLER).len(), 1);
    assert!(lab.bench.cancelled(CALLEE).is_empty());
    let punched = |told: &[Event]| {
        let is = |event: &&Event| {
            matches!(
                event,
                Event::Upgraded {
                    how: How::Punched,
                    ..
                }
            )
        };
        told.iter().filter(is).count()
    };
    let (by_caller, by_callee) = (events(&mut caller), events(&mut callee));
    assert_eq!((punched(&by_caller), punched(&by_callee)), (1, 1));
    // The other dial has come through all the same.
    lab.meet([Some(1), None]);
    lab.run(&mut caller, &mut callee, ms(60_000));
    assert_eq!(
        (punched(&events(&mut caller)), punched(&events(&mut callee))),
        (0, 0)
    );
    assert_eq!((caller.census().dials, callee.census().dials), (0, 0));
}

// covers: DCU-059
#[test]
fn a_relayed_connection_that_is_closed_at_once_after_success_is_no_failure() {
    let (mut caller, mut callee, mut lab) = pair();
    lab.until_dial([&mut caller, &mut callee], CALLEE, 1).unwrap();
    lab.run(&mut caller, &mut callee, ms(5));
    lab.meet([Some(1), Some(1)]);
    lab.run(&mut caller, &mut callee, ms(1));
    lab.bench.disconnect(lab.conn);
    lab.run(&mut caller, &mut callee, ms(60_000));
    for machine in [&mut caller, &mut callee] {
        assert!(
            !events(machine)
                .iter()
                .any(|event| matches!(event, Event::Failed { .. }))
        );
        assert_eq!(machine.census(), Census::default());
    }
    // js closes it as soon as its own end stands, when ours may still be upgrading.
    let (mut caller, mut callee, mut lab) = pair();
    lab.until_dial([&mut caller, &mut callee], CALLEE, 1).unwrap();
    lab.run(&mut caller, &mut callee, ms(5));
    lab.bench.disconnect(lab.conn);
    lab.run(&mut caller, &mut callee, ms(5));
    lab.meet([Some(1), Some(1)]);
    lab.run(&mut caller, &mut callee, ms(5));
    for machine in [&mut caller, &mut callee] {
        let told = events(machine);
        assert!(
            matches!(
                told.last(),
                Some(Event::Upgraded {
                    how: How::Punched,
                    ..
                })
            ),
            "{told:?}"
        );
        assert_eq!(machine.census(), Census::default());
    }
}

// covers: DCU-063, DCU-064
#[test]
fn after_a_failure_the_relayed_connection_stays_and_nothing_happens_until_addresses_change() {
    let (mut caller, mut callee, mut lab) = pair();
    for attempt in 1..=3 {
        lab.until_dial([&mut caller, &mut callee], CALLEE, attempt)
            .unwrap();
        lab.dial_fails(CALLEE, attempt as u64);
        lab.dial_fails(CALLER, attempt as u64);
    }
    lab.run(&mut caller, &mut callee, Duration::from_secs(600));
    assert_eq!(lab.bench.dials(CALLEE).len(), 3);
    let connections = lab.bench.peer(CALLER);
    let standing = lab.bench.with(CALLEE, &callee, |cx| cx.connections(connections));
    assert_eq!(standing.as_slice(), [lab.conn]);
    // An address changes.
    lab.own(CALLEE, "/ip4/198.51.100.8/tcp/4001", true);
    lab.run(&mut caller, &mut callee, ms(1_000));
    assert_eq!(lab.bench.dials(CALLEE).len(), 4);
}

#[test]
fn a_change_of_addresses_soon_after_a_failure_waits_for_a_minute() {
    let (mut caller, mut callee, mut lab, stream) = asked();
    lab.bench.with(CALLER, &caller, |cx| cx.reset(stream));
    lab.run(&mut caller, &mut callee, ms(1_000));
    for port in 1..50 {
        lab.identified(CALLEE, true, &[&format!("/ip4/10.0.0.1/tcp/{port}")]);
        lab.run(&mut caller, &mut callee, ms(1_000));
    }
    assert_eq!(caller.opened().len(), 1);
    lab.run(&mut caller, &mut callee, ms(12_000));
    assert_eq!(caller.opened().len(), 2);
}

#[test]
fn the_application_may_try_again_at_once() {
    let (mut caller, mut callee, mut lab, stream) = asked();
    lab.bench.with(CALLER, &caller, |cx| cx.reset(stream));
    lab.run(&mut caller, &mut callee, ms(1_000));
    callee.retry(lab.bench.peer(CALLER));
    lab.run(&mut caller, &mut callee, ms(1_000));
    assert_eq!(caller.opened().len(), 2);
}

// covers: DCU-060
#[test]
fn an_attempt_that_takes_more_than_ten_seconds_is_over() {
    let (mut caller, mut callee, mut lab) = pair();
    lab.until_dial([&mut caller, &mut callee], CALLEE, 1).unwrap();
    let again = lab.until_dial([&mut caller, &mut callee], CALLEE, 2).unwrap();
    // Ten seconds, the pause, and another exchange.
    assert!((10_300..10_310).contains(&again.as_millis()), "{again:?}");
    assert_eq!(lab.bench.cancelled(CALLEE).len(), 1);
    let told = events(&mut callee);
    let Event::Attempted { attempt, .. } = &told[0] else {
        panic!("{told:?}")
    };
    assert_eq!(attempt.result, Err(Failure::DialFailed(DialError::TimedOut)));
}

// covers: DCU-021
#[test]
fn addresses_are_ordered_by_how_many_see_us_there() {
    let (mut machine, mut other) = (node(Config::default()), puppet());
    let peers = libp2p_proto_stream_protocol::bench::Bench::new(1, 10, LATENCY);
    let ids: Vec<_> = (0..10).map(|node| peers.peer(node)).collect();
    let mut bench = libp2p_proto_stream_protocol::bench::Bench::with_peers(1, &ids, LATENCY);
    let listen = Fact::ListenAddress {
        addr: addr("/ip4/10.0.0.2/tcp/4001"),
        up: true,
    };
    bench.inject(0, Input::Fact(listen));
    // Observers 1, then 2 to 6, then 7 to 9.
    for observer in 1..10_usize {
        let remote = format!("/ip4/192.0.{observer}.9/tcp/4001");
        let info = |side| libp2p_proto_stream_protocol::ConnectionInfo {
            side,
            local: Some(addr("/ip4/10.0.0.2/tcp/4001")),
            remote: addr(&remote),
            limited: false,
            dial: None,
        };
        bench.connect_as([(0, info(Side::Dialer)), (observer, info(Side::Listener))]);
        let port = match observer {
            1 => 1001,
            2..=6 => 1005,
            _ => 1003,
        };
        let fact = Fact::ObservedAddress {
            addr: addr(&format!("/ip4/198.51.100.7/tcp/{port}")),
            by: bench.peer(observer),
            from: addr(&remote),
        };
        bench.inject(0, Input::Fact(fact));
    }
    bench.run(&mut [&mut machine, &mut other], ms(100));
    let ports = ["1005", "1003", "1001"].map(|port| addr(&format!("/ip4/198.51.100.7/tcp/{port}")));
    assert_eq!(machine.own_addresses(), ports);
}
