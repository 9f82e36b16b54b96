//! The end that dialed through the relay: what it answers, and to whom.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Side, StreamId};
use libp2p_proto_dcutr::{Config, Dcutr, Event, Failure, HolePunch, How, Role};
use libp2p_proto_stream_protocol::{
    Closed,
    bench::{Bench, Puppet},
};
use support::*;

/// A caller, and a callee that says what the test wants.
fn called() -> (Dcutr, Puppet, Lab) {
    called_with(Config::default())
}

fn called_with(config: Config) -> (Dcutr, Puppet, Lab) {
    let (mut caller, mut callee) = (node(config), puppet());
    let mut lab = Lab::new();
    lab.run(&mut caller, &mut callee, ms(1));
    (caller, callee, lab)
}

/// The callee opens a stream and says these messages, each when the last one may have been answered.
fn say_all(caller: &mut Dcutr, callee: &mut Puppet, lab: &mut Lab, messages: &[Vec<u8>]) -> StreamId {
    let stream = lab.open(CALLEE, callee);
    lab.run(caller, callee, ms(100));
    for message in messages {
        if end_of(callee, stream).is_none() {
            lab.say(CALLEE, callee, stream, message);
        }
        lab.run(caller, callee, ms(100));
    }
    stream
}

fn exchange(theirs: &[&str]) -> [Vec<u8>; 2] {
    [connect_message(theirs), sync_message()]
}

// covers: DCU-026, DCU-042, DCU-043, CON-066
#[test]
fn the_caller_dials_all_addresses_in_the_call_that_takes_sync() {
    let (mut caller, mut callee, mut lab) = called();
    let theirs = [
        "/ip4/198.51.100.7/tcp/1",
        "/ip4/198.51.100.8/tcp/2",
        "/ip6/2001:db8::1/tcp/3",
    ];
    let stream = say_all(&mut caller, &mut callee, &mut lab, &[connect_message(&theirs)]);
    let answer = HolePunch::Connect {
        addrs: addrs(&[ADDRS[CALLER]]),
    };
    assert_eq!(heard(&callee, stream), [answer]);
    assert!(lab.bench.dials(CALLER).is_empty());
    // The callee's dial may come ahead of SYNC.
    let [early] = lab.bench.expected(CALLER) else {
        panic!("one expectation")
    };
    assert_eq!((early.side, &early.addrs), (Side::Dialer, &addrs(&theirs)));
    lab.say(CALLEE, &callee, stream, &sync_message());
    lab.run(&mut caller, &mut callee, ms(39));
    assert!(lab.bench.dials(CALLER).is_empty());
    lab.run(&mut caller, &mut callee, ms(1));
    let [dial] = lab.bench.dials(CALLER) else {
        panic!("one dial")
    };
    assert_eq!(dial.addrs, addrs(&theirs));
    assert!(dial.at_once && dial.reuse_port && dial.side == Side::Dialer);
    let [_, expected] = lab.bench.expected(CALLER) else {
        panic!("another expectation")
    };
    assert_eq!((expected.side, &expected.addrs), (Side::Dialer, &dial.addrs));
    assert_eq!(expected.until, lab.bench.now() + ms(10_000));
}

// covers: DCU-027
#[test]
fn between_sync_and_the_dial_nothing_is_read_filtered_or_resolved() {
    // One address that is dialed, and so many that are not: what CONNECT named costs nothing any more.
    let cost = |others: u16| {
        let (mut caller, mut callee, mut lab) = called();
        let private = (0..others).map(|port| format!("/ip4/10.0.0.1/tcp/{}", port + 1));
        let names = [
            "/dns4/example.com/tcp/1".to_owned(),
            "/ip4/198.51.100.7/tcp/1".to_owned(),
        ];
        let all: Vec<String> = private.chain(names).collect();
        let theirs: Vec<&str> = all.iter().map(String::as_str).collect();
        let stream = say_all(&mut caller, &mut callee, &mut lab, &[connect_message(&theirs)]);
        lab.say(CALLEE, &callee, stream, &sync_message());
        let run = allocation_counter::measure(|| lab.run(&mut caller, &mut callee, ms(40)));
        let [dial] = lab.bench.dials(CALLER) else {
            panic!("one dial")
        };
        assert_eq!(dial.addrs, addrs(&["/ip4/198.51.100.7/tcp/1"]));
        (run.count_total, run.bytes_total)
    };
    assert_eq!(cost(0), cost(200));
}

#[test]
fn a_dial_of_the_callee_that_comes_ahead_of_sync_is_the_punched_connection() {
    let (mut caller, mut callee, mut lab) = called();
    say_all(
        &mut caller,
        &mut callee,
        &mut lab,
        &exchange(&[ADDRS[CALLEE]])[..1],
    );
    lab.meet([None, None]);
    lab.run(&mut caller, &mut callee, ms(100));
    let told = events(&mut caller);
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
    // Nobody is expected any more.
    let until = lab.bench.expected(CALLER).last().unwrap().until;
    assert!(until <= lab.bench.now());
}

// covers: DCU-015
#[test]
fn addresses_in_sync_mean_nothing() {
    let (mut caller, mut callee, mut lab) = called();
    let sync = [
        sync_message(),
        connect_message(&["/ip4/198.51.100.9/tcp/9"])[2..].to_vec(),
    ]
    .concat();
    let messages = [connect_message(&[ADDRS[CALLEE]]), sync];
    say_all(&mut caller, &mut callee, &mut lab, &messages);
    assert_eq!(lab.bench.dials(CALLER)[0].addrs, addrs(&[ADDRS[CALLEE]]));
}

// covers: DCU-016, DCU-017
#[test]
fn addresses_that_do_not_parse_are_relayed_or_of_others_are_skipped() {
    let (mut caller, mut callee, mut lab) = called();
    let (theirs, others) = (lab.bench.peer(CALLEE), lab.bench.peer(5));
    let mut connect = vec![0x08, 0x64, 0x12, 0x01, 0xff];
    let rest = connect_message(&[
        &format!("/ip4/198.51.100.1/tcp/1/p2p/{others}/p2p-circuit"),
        "/ip4/198.51.100.2/tcp/2",
        &format!("/ip4/198.51.100.3/tcp/3/p2p/{theirs}"),
        &format!("/ip4/198.51.100.4/tcp/4/p2p/{others}"),
        "/ip4/198.51.100.5/udp/5/quic-v1",
        "/dns4/example.org/tcp/6",
        "/ip4/198.51.100.6/tcp/0",
    ]);
    connect.extend_from_slice(&rest[2..]);
    say_all(&mut caller, &mut callee, &mut lab, &[connect, sync_message()]);
    let dialed = &lab.bench.dials(CALLER)[0].addrs;
    assert_eq!(
        *dialed,
        addrs(&["/ip4/198.51.100.2/tcp/2", "/ip4/198.51.100.3/tcp/3"])
    );
}

// covers: DCU-018, DCU-019, CON-073
#[test]
fn a_wrong_message_resets_the_stream_and_nothing_is_dialed() {
    let good = connect_message(&[ADDRS[CALLEE]]);
    let cases: [&[Vec<u8>]; 6] = [
        &[sync_message()],
        &[vec![0x08, 0x64]],
        &[vec![0x08, 0xc8, 0x01]],
        &[good.clone(), good.clone()],
        &[good.clone(), vec![0x12, 0x00]],
        &[connect_message(&["/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/80"])],
    ];
    for messages in cases {
        let (mut caller, mut callee, mut lab) = called();
        let stream = say_all(&mut caller, &mut callee, &mut lab, messages);
        assert_eq!(end_of(&callee, stream), Some(Closed::Reset), "{messages:?}");
        assert!(lab.bench.dials(CALLER).is_empty());
        assert_eq!(caller.census().running, 0);
    }
}

// covers: DCU-062
#[test]
fn another_exchange_replaces_one_whose_dials_are_under_way() {
    let (mut caller, mut callee, mut lab) = called();
    say_all(&mut caller, &mut callee, &mut lab, &exchange(&[ADDRS[CALLEE]]));
    assert_eq!(lab.bench.dials(CALLER).len(), 1);
    let second = exchange(&["/ip4/198.51.100.8/tcp/4001"]);
    say_all(&mut caller, &mut callee, &mut lab, &second);
    assert_eq!(lab.bench.cancelled(CALLER).len(), 1);
    assert_eq!(lab.bench.dials(CALLER).len(), 2);
    let told = events(&mut caller);
    let Event::Attempted { attempt, .. } = &told[0] else {
        panic!("{told:?}")
    };
    assert_eq!(attempt.result, Err(Failure::Replaced));
    assert_eq!((attempt.role, attempt.number), (Role::Caller, 1));
}

// covers: DCU-066
#[test]
fn a_stream_on_any_other_connection_is_reset() {
    // Direct; relayed, but dialed by the other end.
    let cases = [
        [
            direct(Side::Dialer, ADDRS[1], None),
            direct(Side::Listener, ADDRS[0], None),
        ],
        [relayed(Side::Listener, true), relayed(Side::Dialer, true)],
    ];
    for [here, there] in cases {
        let (mut caller, mut callee) = (node(Config::default()), puppet());
        let mut bench = Bench::new(1, 2, LATENCY);
        let conn = bench.connect_as([(CALLER, here), (CALLEE, there)]);
        let mut lab = Lab { bench, conn };
        lab.own(CALLER, ADDRS[CALLER], true);
        lab.run(&mut caller, &mut callee, ms(1));
        let stream = say_all(&mut caller, &mut callee, &mut lab, &exchange(&[ADDRS[CALLEE]]));
        assert_eq!(end_of(&callee, stream), Some(Closed::Reset));
        assert!(heard(&callee, stream).is_empty());
    }
}

// covers: DCU-067
#[test]
fn vul_147_of_a_hundred_exchanges_in_a_minute_three_are_answered_one_at_a_time() {
    let (mut caller, mut callee, mut lab) = called();
    let mut answered = 0;
    for _ in 0..100 {
        // Half of them without SYNC.
        let stream = say_all(
            &mut caller,
            &mut callee,
            &mut lab,
            &exchange(&[ADDRS[CALLEE]])[..=(answered % 2)],
        );
        answered += usize::from(!heard(&callee, stream).is_empty());
        assert!(caller.census().running <= 1);
        assert!(lab.bench.dials(CALLER).len() - lab.bench.cancelled(CALLER).len() <= 1);
        lab.run(&mut caller, &mut callee, ms(200));
    }
    assert_eq!(answered, 3);
    // SYNC after an hour: the exchange is long over.
    let (mut caller, mut callee, mut lab) = called();
    let stream = say_all(
        &mut caller,
        &mut callee,
        &mut lab,
        &exchange(&[ADDRS[CALLEE]])[..1],
    );
    lab.run(&mut caller, &mut callee, ms(3_600_000));
    assert_eq!(end_of(&callee, stream), Some(Closed::Reset));
    // A minute later it may ask again.
    let stream = say_all(&mut caller, &mut callee, &mut lab, &exchange(&[ADDRS[CALLEE]]));
    assert_eq!(heard(&callee, stream).len(), 1);
}

#[test]
fn vul_147_if_both_ends_begin_the_one_with_the_larger_id_goes_on() {
    // Each has dialed the other through a relay.
    let (mut one, mut other) = (node(Config::default()), node(Config::default()));
    let mut lab = Lab::new();
    lab.bench.connect_as([
        (0, relayed(Side::Listener, true)),
        (1, relayed(Side::Dialer, true)),
    ]);
    lab.identified(0, true, &[]);
    lab.identified(1, true, &[]);
    lab.run(&mut one, &mut other, ms(2_000));
    let sides = [0, 1].map(|end| {
        let dials = lab.bench.dials(end);
        assert_eq!(dials.len(), 1, "{dials:?}");
        dials[0].side
    });
    let larger_first = lab.bench.peer(0) > lab.bench.peer(1);
    let expected = if larger_first {
        [Side::Listener, Side::Dialer]
    } else {
        [Side::Dialer, Side::Listener]
    };
    assert_eq!(sides, expected);
}

// covers: DCU-068, CON-071
#[test]
fn vul_148_only_public_addresses_are_dialed_eight_of_four_hosts_and_each_once() {
    let mut hostile = vec![
        "/ip4/192.168.1.1/tcp/22".to_owned(),
        "/ip4/127.0.0.1/tcp/80".into(),
        "/ip4/169.254.1.1/tcp/80".into(),
        "/ip4/224.0.0.1/tcp/80".into(),
        "/ip4/0.0.0.0/tcp/80".into(),
        "/ip4/100.64.0.1/tcp/80".into(),
        "/ip6/::1/tcp/80".into(),
        "/ip6/fe80::1/tcp/80".into(),
        "/ip6/fc00::1/tcp/80".into(),
        "/ip6/ff02::1/tcp/80".into(),
        "/ip6/::ffff:10.0.0.1/tcp/80".into(),
        ADDRS[CALLER].into(),
    ];
    hostile.extend((1..=50).map(|victim| format!("/ip4/198.51.100.{victim}/tcp/53")));
    hostile.extend((1..=66).map(|port| format!("/ip4/198.51.100.1/tcp/{port}")));
    let (mut caller, mut callee, mut lab) = called();
    let hostile: Vec<&str> = hostile.iter().map(String::as_str).collect();
    assert_eq!(hostile.len(), 128);
    let messages = exchange(&hostile);
    assert!(messages[0].len() <= 4096);
    say_all(&mut caller, &mut callee, &mut lab, &messages);
    let dialed = &lab.bench.dials(CALLER)[0].addrs;
    assert_eq!(dialed.len(), 8);
    let ips: std::collections::BTreeSet<_> = dialed.iter().map(|addr| addr.ip().unwrap()).collect();
    assert_eq!(ips.len(), 4);
    let public = |addr: &&libp2p_proto_core::Multiaddr| addr.to_string().starts_with("/ip4/198.51.100.");
    assert!(dialed.iter().all(|addr| public(&addr)), "{dialed:?}");
    // 128 times one victim is one dial.
    let (mut caller, mut callee, mut lab) = called();
    say_all(
        &mut caller,
        &mut callee,
        &mut lab,
        &exchange(&[ADDRS[CALLEE]; 128]),
    );
    assert_eq!(lab.bench.dials(CALLER)[0].addrs.len(), 1);
    // Strict: only where the peer says in identify that it is.
    let strict = Config {
        strict: true,
        ..Config::default()
    };
    let (mut caller, mut callee, mut lab) = called_with(strict);
    lab.identified(CALLER, true, &["/ip4/198.51.100.2/tcp/4001"]);
    let messages = exchange(&["/ip4/198.51.100.1/tcp/1", "/ip4/198.51.100.2/tcp/2"]);
    say_all(&mut caller, &mut callee, &mut lab, &messages);
    assert_eq!(
        lab.bench.dials(CALLER)[0].addrs,
        addrs(&["/ip4/198.51.100.2/tcp/2"])
    );
}

// covers: DCU-069
#[test]
fn private_addresses_are_dialed_by_option_and_only_behind_the_same_nat() {
    let private = "/ip4/192.168.1.7/tcp/4001";
    let same = "/ip4/203.0.113.5/tcp/4002";
    for (same_nat, public, dialed) in [
        (true, same, vec![same, private]),
        (true, ADDRS[CALLEE], vec![ADDRS[CALLEE]]),
        (false, same, vec![same]),
    ] {
        let config = Config {
            same_nat,
            ..Config::default()
        };
        let (mut caller, mut callee, mut lab) = called_with(config);
        let theirs = [public, private, "/ip4/127.0.0.1/tcp/80"];
        say_all(&mut caller, &mut callee, &mut lab, &exchange(&theirs));
        assert_eq!(
            lab.bench.dials(CALLER)[0].addrs,
            addrs(&dialed),
            "{same_nat} {public}"
        );
    }
}

// covers: DCU-070
#[test]
fn the_callee_filters_the_same_way() {
    let (mut caller, mut callee) = (puppet(), node(Config::default()));
    let mut lab = Lab::new();
    lab.identified(CALLEE, true, &["/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"]);
    lab.run(&mut caller, &mut callee, ms(200));
    let stream = caller.opened()[0];
    let mut hostile = vec!["/ip4/192.168.1.1/tcp/22".to_owned(), ADDRS[CALLEE].into()];
    hostile.extend((1..=50).map(|victim| format!("/ip4/203.0.113.{victim}/tcp/53")));
    let hostile: Vec<&str> = hostile.iter().map(String::as_str).collect();
    lab.say(CALLER, &caller, stream, &connect_message(&hostile));
    lab.run(&mut caller, &mut callee, ms(500));
    let [dial] = lab.bench.dials(CALLEE) else {
        panic!("one dial")
    };
    assert_eq!(dial.addrs.len(), 4);
    assert!(
        dial.addrs
            .iter()
            .all(|addr| addr.to_string().starts_with("/ip4/203.0.113."))
    );
}
