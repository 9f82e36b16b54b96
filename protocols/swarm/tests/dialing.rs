//! Dialing: which addresses, in which order, how many at once, and what is told in the end.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{PeerId, Rng};
use libp2p_proto_stream_protocol::{AttemptError, Dial, DialError, DialOutcome, DialRefused, FromConnection};
use libp2p_proto_swarm::{Action, Config, Event, Record, ResolveKind, Source};
use support::*;

// covers: CON-036
#[test]
fn only_addresses_worth_a_socket_are_dialed() {
    let mut bench = Bench::new(Config::default());
    bench
        .swarm
        .handle_listening(at(0), addr("/ip4/192.0.2.7/tcp/1"), true);
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![
        addr("/ip4/0.0.0.0/tcp/1"),
        addr("/ip4/192.0.2.7/tcp/1"),
        addr("/ip6/fe80::1/tcp/1"),
        addr("/ip4/192.0.2.3/udp/1/quic-v1"),
        addr("/ip4/1.2.3.4/tcp/1"),
        addr("/ip4/1.2.3.4/tcp/1"),
        addr(&format!("/ip4/1.2.3.4/tcp/1/p2p/{}", peer(2))),
    ];
    bench.swarm.dial(at(0), dial).unwrap();
    let mut dialed = Vec::new();
    for time in (0..29_000).step_by(500) {
        dialed.extend(bench.dials(at(time)).into_iter().map(|(_, addr)| addr));
    }
    assert_eq!(dialed, ["/ip4/1.2.3.4/tcp/1"]);
}

// covers: CON-035
#[test]
fn a_final_peer_id_is_an_expectation_and_that_of_another_peer_drops_the_address() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![
        addr(&format!("/ip4/192.0.2.1/tcp/1/p2p/{}", peer(2))),
        addr(&format!("/ip4/192.0.2.9/tcp/1/p2p/{}", peer(3))),
    ];
    bench.swarm.dial(at(0), dial).unwrap();
    let begun = bench.dials(at(0));
    assert_eq!(begun.len(), 1);
    assert_eq!(begun[0].1, "/ip4/192.0.2.1/tcp/1");
    let seat = bench
        .swarm
        .handle_dialed(at(0), begun[0].0, None, addr("/ip4/192.0.2.1/tcp/1"))
        .unwrap();
    assert_eq!(seat.expect, Some(peer(2)));
    assert_eq!(bench.dials(at(29_000)), []);
    let both = [2, 3].map(|who| addr(&format!("/ip4/192.0.2.1/tcp/1/p2p/{}", peer(who))));
    let mut nobody = Dial::addr(both[0].clone());
    nobody.addrs.push(both[1].clone());
    assert_eq!(bench.swarm.dial(at(0), nobody), Err(DialRefused::PeerMismatch));
}

// covers: CON-033, CON-034, CON-044
#[test]
fn concurrent_dials_are_one_and_the_first_success_ends_the_others() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![addr("/ip4/192.0.2.1/tcp/1"), addr("/ip6/2001:db8::1/tcp/1")];
    let Ok(DialOutcome::Pending(first)) = bench.swarm.dial(at(0), dial.clone()) else {
        panic!("refused")
    };
    assert_eq!(
        bench.swarm.dial(at(0), dial.clone()),
        Ok(DialOutcome::Pending(first))
    );
    let begun = bench.dials(at(0));
    assert_eq!(begun[0].1, "/ip6/2001:db8::1/tcp/1");
    assert_eq!(begun.len(), 1);
    let second = bench.dials(at(250));
    assert_eq!(second[0].1, "/ip4/192.0.2.1/tcp/1");
    let conn = begun[0].0;
    bench
        .swarm
        .handle_dialed(at(300), conn, None, addr("/ip6/2001:db8::1/tcp/1"))
        .unwrap();
    bench.tell(at(310), conn, FromConnection::Authenticated { peer: peer(2) });
    let actions = bench.tell(
        at(320),
        conn,
        FromConnection::Established {
            security: NOISE,
            muxer: YAMUX,
        },
    );
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::CancelDial { conn } if *conn == second[0].0))
    );
    assert!(matches!(
        bench.events()[..],
        [Event::Connected { first: true, .. }]
    ));
    assert_eq!(bench.swarm.dial(at(330), dial), Ok(DialOutcome::Connected(conn)));
    assert_eq!(bench.swarm.stats().pending_outbound, 0);
}

// covers: CON-045, CON-046
#[test]
fn when_all_fail_the_next_does_not_wait_and_every_cause_is_told() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![
        addr("/ip6/2001:db8::1/tcp/1"),
        addr("/ip4/192.0.2.1/tcp/1"),
        addr("/ip4/192.0.2.2/tcp/1"),
    ];
    bench.swarm.dial(at(0), dial).unwrap();
    for time in [0, 10, 20] {
        let begun = bench.dials(at(time));
        assert_eq!(begun.len(), 1, "at {time}");
        bench
            .swarm
            .handle_dial_failed(at(time), begun[0].0, AttemptError::Transport("refused"));
    }
    bench.drive(at(20));
    let [
        Event::DialFailed {
            error: DialError::AllFailed(causes),
            ..
        },
    ] = &bench.events()[..]
    else {
        panic!("not failed")
    };
    assert_eq!(causes.len(), 3);
    assert_eq!(bench.swarm.stats().dials, 0);
}

// covers: CON-043
#[test]
fn an_attempt_that_is_being_upgraded_holds_the_next_back() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![addr("/ip6/2001:db8::1/tcp/1"), addr("/ip4/192.0.2.1/tcp/1")];
    bench.swarm.dial(at(0), dial).unwrap();
    let begun = bench.dials(at(0));
    bench
        .swarm
        .handle_dialed(at(100), begun[0].0, None, addr("/ip6/2001:db8::1/tcp/1"))
        .unwrap();
    assert!(bench.dials(at(599)).is_empty());
    assert_eq!(bench.dials(at(600)).len(), 1);
}

// covers: CON-051
#[test]
fn vul_171_many_addresses_on_one_host_are_few_attempts() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = (1..1000)
        .map(|port| addr(&format!("/ip4/192.0.2.1/tcp/{port}")))
        .collect();
    bench.swarm.dial(at(0), dial).unwrap();
    let mut attempts = 0;
    for time in (0..30_000).step_by(50) {
        for (conn, _) in bench.dials(at(time)) {
            attempts += 1;
            bench
                .swarm
                .handle_dial_failed(at(time), conn, AttemptError::Transport("refused"));
        }
    }
    assert_eq!(attempts, 2);
}

// covers: CON-048
#[test]
fn addresses_that_failed_are_left_alone_for_a_while() {
    let mut bench = Bench::new(Config::default());
    bench
        .swarm
        .book_mut()
        .add(at(0), peer(2), addr("/ip4/192.0.2.1/tcp/1"), Source::Told);
    let mut now = 0;
    for wait in [5, 6, 9, 14, 21] {
        bench.swarm.dial(at(now), Dial::peer(peer(2))).unwrap();
        let (conn, _) = bench.dials(at(now))[0].clone();
        bench
            .swarm
            .handle_dial_failed(at(now), conn, AttemptError::TimedOut);
        bench.drive(at(now));
        now += wait * 1000 - 1;
        assert_eq!(
            bench.swarm.dial(at(now), Dial::peer(peer(2))),
            Err(DialRefused::BackedOff)
        );
        now += 1;
    }
}

// covers: COR-095, COR-096, COR-097, COR-098, CON-050
#[test]
fn vul_185_names_are_resolved_to_a_depth_and_a_number() {
    let mut bench = Bench::new(Config::default());
    let dialed = format!("/dnsaddr/example.com/p2p/{}", peer(2));
    bench.swarm.dial(at(0), Dial::addr(addr(&dialed))).unwrap();
    let mut depth = 0;
    loop {
        let actions = bench.drive(at(0));
        let Some(Action::Resolve { query, name, kind }) = actions
            .into_iter()
            .find(|action| matches!(action, Action::Resolve { .. }))
        else {
            break;
        };
        assert_eq!((name.as_str(), kind), ("_dnsaddr.example.com", ResolveKind::Txt));
        depth += 1;
        bench.swarm.handle_resolved(
            at(0),
            query,
            Ok(vec![
                Record::Txt("dnsaddr=/dnsaddr/example.com".into()),
                Record::Txt("junk".into()),
            ]),
        );
    }
    assert_eq!(depth, 4);
    let mut bench = Bench::new(Config::default());
    bench
        .swarm
        .dial(at(0), Dial::addr(addr("/dns4/example.com/tcp/42")))
        .unwrap();
    let Some(Action::Resolve {
        query,
        kind: ResolveKind::Ip4,
        ..
    }) = bench.drive(at(0)).pop()
    else {
        panic!("not asked")
    };
    let answers = (0..150_u8)
        .map(|last| Record::Ip([192, 0, 2, last].into()))
        .chain([Record::Ip("::1".parse().unwrap())]);
    bench.swarm.handle_resolved(at(0), query, Ok(answers.collect()));
    assert_eq!(bench.dials(at(0))[0].1, "/ip4/192.0.2.0/tcp/42");
}

fn causes(bench: &mut Bench) -> Vec<AttemptError> {
    let failed = |event| match event {
        Event::DialFailed {
            error: DialError::AllFailed(causes),
            ..
        } => Some(causes.iter().map(|(_, cause)| *cause).collect()),
        _ => None,
    };
    bench.events().into_iter().find_map(failed).unwrap_or_default()
}

/// Fails every attempt as it begins, until the dial has ended; says how many there were and how many at once.
fn fail_all(bench: &mut Bench, answer_after: u64) -> (usize, usize) {
    let (mut active, mut most, mut all) = (std::collections::VecDeque::new(), 0, 0);
    for time in (0..31_000).step_by(50) {
        for (conn, _) in bench.dials(at(time)) {
            active.push_back((time, conn));
            all += 1;
        }
        most = most.max(active.len());
        while active
            .front()
            .is_some_and(|(begun, _)| begun + answer_after <= time)
        {
            let (_, conn) = active.pop_front().unwrap();
            bench
                .swarm
                .handle_dial_failed(at(time), conn, AttemptError::Transport("refused"));
        }
    }
    (all, most)
}

// covers: CON-047
#[test]
fn vul_171_a_dial_makes_eight_attempts_at_once_and_sixteen_in_all() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = (1..100)
        .map(|host| addr(&format!("/ip4/192.0.2.{host}/tcp/1")))
        .collect();
    bench.swarm.dial(at(0), dial).unwrap();
    assert_eq!(fail_all(&mut bench, 1_000), (16, 8));
    let causes = causes(&mut bench);
    assert_eq!(causes.len(), 99, "every address has its cause");
    let too_many = AttemptError::Denied("too-many-attempts");
    assert_eq!(causes.iter().filter(|cause| **cause == too_many).count(), 83);
}

// covers: CON-047
#[test]
fn all_dials_together_hold_160_sockets_and_the_next_waits_for_a_free_one() {
    let mut bench = Bench::new(Config {
        max_dials: 1000,
        ..Config::default()
    });
    for number in 0..200 {
        let dial = Dial::addr(addr(&format!("/ip4/192.0.2.{number}/tcp/1")));
        bench.swarm.dial(at(0), dial).unwrap();
    }
    let begun = bench.dials(at(0));
    assert_eq!(begun.len(), 160);
    assert_eq!(bench.swarm.stats().pending_outbound, 160);
    bench
        .swarm
        .handle_dial_failed(at(1), begun[7].0, AttemptError::Transport("refused"));
    let next = bench.dials(at(1));
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].1, "/ip4/192.0.2.160/tcp/1", "the one that waits longest");
    // Silent ones are given up, and make room for all others.
    let later: usize = [15_000, 15_001, 15_002]
        .map(|time| bench.dials(at(time)).len())
        .iter()
        .sum();
    assert_eq!(later, 39);
}

// covers: CON-012
#[test]
fn an_attempt_has_fifteen_seconds_from_its_first_packet_on() {
    for answered in [false, true] {
        let mut bench = Bench::new(Config::default());
        bench
            .swarm
            .dial(at(0), Dial::addr(addr("/ip4/192.0.2.1/tcp/1")))
            .unwrap();
        let (conn, remote) = bench.dials(at(0))[0].clone();
        if answered {
            let seat = bench
                .swarm
                .handle_dialed(at(7_000), conn, None, addr(&remote))
                .unwrap();
            assert_eq!(seat.upgrade_by, at(15_000));
        }
        // A connection has half a second more to say in which step it was too slow.
        let end = if answered { 15_500 } else { 15_000 };
        bench.drive(at(end - 1));
        assert_eq!(bench.swarm.stats().dials, 1);
        bench.drive(at(end));
        assert_eq!(causes(&mut bench), [AttemptError::TimedOut]);
        assert!(bench.swarm.is_idle());
    }
}

#[test]
fn a_link_whose_machine_does_not_compare_peers_is_closed_all_the_same() {
    let mut bench = Bench::new(Config::default());
    bench
        .swarm
        .dial(
            at(0),
            Dial::addr(addr(&format!("/ip4/192.0.2.1/tcp/1/p2p/{}", peer(2)))),
        )
        .unwrap();
    let (conn, remote) = bench.dials(at(0))[0].clone();
    bench
        .swarm
        .handle_dialed(at(0), conn, None, addr(&remote))
        .unwrap();
    assert_eq!(orders(&bench.authenticate(at(0), conn, peer(3)), conn), ["Close"]);
    bench.gone(at(0), conn);
    let (expected, got) = (peer(2), peer(3));
    assert_eq!(causes(&mut bench), [AttemptError::WrongPeer { expected, got }]);
    assert!(bench.swarm.peers().next().is_none());
}

// covers: COR-050
#[test]
fn an_id_that_holds_no_key_is_no_peer_to_dial() {
    let mut bench = Bench::new(Config::default());
    // Identity hashes of nothing, of "abc", and of 32 random bytes, as they are made for walks of a table.
    let dice = &mut Rng::from_seed([3; 32]);
    let hidden = [&[0, 0][..], b"\x00\x03abc"].map(|bytes| PeerId::from_bytes(bytes).unwrap());
    for id in hidden.into_iter().chain([PeerId::random(dice)]) {
        let named = addr(&format!("/ip4/192.0.2.1/tcp/1/p2p/{id}"));
        let mut plain = Dial::peer(id);
        plain.addrs = vec![addr("/ip4/192.0.2.1/tcp/1")];
        for dial in [Dial::addr(named), Dial::peer(id), plain] {
            assert_eq!(bench.swarm.dial(at(0), dial), Err(DialRefused::BadPeerId));
        }
    }
    assert!(bench.dials(at(0)).is_empty());
    // A digest may be that of a key, and a key is one.
    let digest = PeerId::from_encoded_key(&[7; 43]);
    for id in [digest, peer(2)] {
        let named = addr(&format!("/ip4/192.0.2.1/tcp/1/p2p/{id}"));
        bench.swarm.dial(at(0), Dial::addr(named)).unwrap();
    }
}

// covers: CON-011
#[test]
fn vul_172_we_are_nobody_to_connect_to() {
    let mut bench = Bench::new(Config::default());
    assert_eq!(
        bench.swarm.dial(at(0), Dial::peer(peer(1))),
        Err(DialRefused::SelfDial)
    );
    bench
        .swarm
        .dial(at(0), Dial::addr(addr("/ip4/192.0.2.1/tcp/1")))
        .unwrap();
    let (conn, remote) = bench.dials(at(0))[0].clone();
    bench
        .swarm
        .handle_dialed(at(0), conn, None, addr(&remote))
        .unwrap();
    assert_eq!(orders(&bench.authenticate(at(0), conn, peer(1)), conn), ["Close"]);
    bench.gone(at(0), conn);
    assert_eq!(causes(&mut bench), [AttemptError::SelfDial]);
}

// covers: CON-034
#[test]
fn a_forced_dial_dials_although_a_connection_stands() {
    let mut bench = Bench::new(Config::default());
    bench.outbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let mut dial = Dial::peer(peer(2));
    dial.force = true;
    assert!(matches!(
        bench.swarm.dial(at(1), dial),
        Ok(DialOutcome::Pending(_))
    ));
    assert_eq!(bench.dials(at(1)).len(), 1);
}

// covers: CON-044
#[test]
fn two_attempts_that_succeed_in_one_tick_are_one_result() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![addr("/ip4/192.0.2.1/tcp/1"), addr("/ip4/192.0.2.2/tcp/1")];
    bench.swarm.dial(at(0), dial).unwrap();
    let mut begun = bench.dials(at(0));
    begun.extend(bench.dials(at(250)));
    assert_eq!(begun.len(), 2);
    for (conn, remote) in &begun {
        bench
            .swarm
            .handle_dialed(at(250), *conn, None, addr(remote))
            .unwrap();
        let (security, muxer) = (NOISE, YAMUX);
        for message in [
            FromConnection::Authenticated { peer: peer(2) },
            FromConnection::Established { security, muxer },
        ] {
            bench.swarm.handle_message(at(250), *conn, message);
        }
    }
    let actions = bench.drive(at(250));
    assert_eq!(orders(&actions, begun[1].0), ["Abort"]);
    let told = bench.events();
    assert!(matches!(told[..], [Event::Connected { conn, .. }] if conn == begun[0].0));
    bench.gone(at(251), begun[1].0);
    assert_eq!(bench.events(), []);
}

// covers: CON-043
#[test]
fn an_attempt_whose_upgrade_fails_no_longer_holds_the_next_back() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![addr("/ip6/2001:db8::1/tcp/1"), addr("/ip4/192.0.2.1/tcp/1")];
    bench.swarm.dial(at(0), dial).unwrap();
    let (conn, remote) = bench.dials(at(0))[0].clone();
    bench
        .swarm
        .handle_dialed(at(100), conn, None, addr(&remote))
        .unwrap();
    assert_eq!(bench.dials(at(260)), []);
    bench
        .swarm
        .handle_message(at(300), conn, FromConnection::Disconnected { error: None });
    assert_eq!(bench.dials(at(300)).len(), 1);
}

// covers: CON-049
#[test]
fn a_kind_of_address_that_leads_nowhere_is_left_alone_but_for_probes() {
    let mut bench = Bench::new(Config::default());
    let attempt = |bench: &mut Bench, number: u32, now: u64| {
        let dial = Dial::addr(addr(&format!("/ip6/2600:{number:x}::1/tcp/1")));
        bench.swarm.dial(at(now), dial).unwrap();
        let begun = bench.dials(at(now));
        for (conn, _) in &begun {
            bench
                .swarm
                .handle_dial_failed(at(now), *conn, AttemptError::Transport("unreachable"));
        }
        bench.drive(at(now));
        (begun.len(), causes(bench))
    };
    for number in 0..100 {
        assert_eq!(attempt(&mut bench, number, 0).0, 1);
    }
    let blocked = (0, vec![AttemptError::Denied("black-hole")]);
    for number in 0..99 {
        assert_eq!(attempt(&mut bench, number, 1), blocked);
    }
    assert_eq!(attempt(&mut bench, 99, 2).0, 1, "one of a hundred is let through");
    assert_eq!(attempt(&mut bench, 1, 3), blocked);
    // IPv4 has nothing to do with it, and one success shows that the way is open again.
    bench.outbound(at(4), peer(2), "/ip4/1.2.3.4/tcp/1");
    for number in 0..98 {
        assert_eq!(attempt(&mut bench, number, 5), blocked);
    }
    bench.outbound(at(6), peer(3), "/ip6/2600:1::1/tcp/1");
    assert_eq!(attempt(&mut bench, 7, 7).0, 1);
}

#[test]
fn private_addresses_say_nothing_about_black_holes() {
    let mut bench = Bench::new(Config::default());
    for number in 0..200 {
        let dial = Dial::addr(addr(&format!("/ip6/fd00:{number:x}::1/tcp/1")));
        bench.swarm.dial(at(0), dial).unwrap();
        let begun = bench.dials(at(0));
        assert_eq!(begun.len(), 1);
        bench
            .swarm
            .handle_dial_failed(at(0), begun[0].0, AttemptError::TimedOut);
        bench.drive(at(0));
        bench.events();
    }
}

// covers: CON-048
#[test]
fn success_and_force_end_a_back_off() {
    let mut bench = Bench::new(Config::default());
    let failing = addr("/ip4/192.0.2.1/tcp/1");
    bench.swarm.book_mut().add(at(0), peer(2), failing, Source::Told);
    bench.swarm.dial(at(0), Dial::peer(peer(2))).unwrap();
    let (conn, _) = bench.dials(at(0))[0].clone();
    bench
        .swarm
        .handle_dial_failed(at(0), conn, AttemptError::TimedOut);
    bench.drive(at(0));
    assert_eq!(
        bench.swarm.dial(at(1), Dial::peer(peer(2))),
        Err(DialRefused::BackedOff)
    );
    let conn = bench.outbound(at(2), peer(2), "/ip4/192.0.2.1/tcp/1");
    bench.gone(at(3), conn);
    assert!(bench.swarm.dial(at(4), Dial::peer(peer(2))).is_ok());
}

// covers: CON-050
#[test]
fn of_what_a_name_resolves_to_a_hundred_addresses_are_kept() {
    let mut bench = Bench::new(Config::default());
    bench
        .swarm
        .dial(at(0), Dial::addr(addr("/dns4/example.com/tcp/42")))
        .unwrap();
    let Some(Action::Resolve { query, .. }) = bench.drive(at(0)).pop() else {
        panic!("not asked")
    };
    let answers = (0..150_u8).map(|last| Record::Ip([192, 0, 2, last].into()));
    bench.swarm.handle_resolved(at(0), query, Ok(answers.collect()));
    fail_all(&mut bench, 0);
    // The name itself counts as one.
    assert_eq!(causes(&mut bench).len(), 99);
}

#[test]
fn a_peer_with_a_thousand_names_is_no_thousand_questions() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = (0..1000)
        .map(|number| addr(&format!("/dns4/host{number}.example/tcp/1")))
        .collect();
    bench.swarm.dial(at(0), dial).unwrap();
    let asked = bench.drive(at(0));
    assert_eq!(asked.len(), 100);
    assert_eq!(bench.swarm.audit(), Ok(()));
}

#[test]
fn a_transport_that_takes_names_is_handed_the_name() {
    let mut bench = Bench::new(Config::default());
    let text = "/dns4/example.com/tcp/443/tls/ws";
    bench
        .swarm
        .add_transport(|addr| addr.components().last() == Some(libp2p_proto_core::Component::Ws));
    bench.swarm.dial(at(0), Dial::addr(addr(text))).unwrap();
    let actions = bench.drive(at(1000));
    assert!(
        matches!(&actions[..], [Action::Dial { addr, .. }] if addr.to_string() == text),
        "{actions:?}"
    );
}

#[test]
fn a_dial_from_the_port_where_we_listen_says_so_to_the_adapter() {
    for reuse in [false, true] {
        let mut bench = Bench::new(Config::default());
        let dial = Dial {
            reuse_port: reuse,
            ..Dial::addr(addr("/ip4/192.0.2.1/tcp/1"))
        };
        bench.swarm.dial(at(0), dial).unwrap();
        let actions = bench.drive(at(0));
        assert!(
            matches!(&actions[..], [Action::Dial { reuse_port, .. }] if *reuse_port == reuse),
            "{actions:?}"
        );
    }
}

// covers: AN-019
#[test]
fn a_probe_tries_the_named_address_alone_and_keeps_nothing_of_it() {
    let mut bench = Bench::new(Config::default());
    let (known, probed) = (addr("/ip4/192.0.2.1/tcp/1"), addr("/ip4/192.0.2.1/tcp/2"));
    bench
        .swarm
        .book_mut()
        .add(at(0), peer(2), known.clone(), Source::Told);
    let dial = Dial {
        addrs: vec![probed.clone()],
        force: true,
        only: true,
        ..Dial::peer(peer(2))
    };
    bench.swarm.dial(at(0), dial).unwrap();
    let actions = bench.drive(at(0));
    let [Action::Dial { conn, addr, .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(*addr, probed);
    let conn = *conn;
    bench
        .swarm
        .handle_dialed(at(1), conn, None, probed.clone())
        .unwrap();
    bench.drive(at(1));
    bench.authenticate(at(1), conn, peer(2));
    bench.establish(at(2), conn);
    assert_eq!(bench.swarm.connections(peer(2)).len(), 1);
    let kept: Vec<_> = bench.swarm.book_mut().addrs(at(3), &peer(2)).cloned().collect();
    assert_eq!(kept, [known]);
}
