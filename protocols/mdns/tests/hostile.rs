//! Liars and floods.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::Fault;
use libp2p_proto_mdns::{Config, Dropped, Family, Interface, Malformed, Message, Received};
use support::{Host, SECOND, answer_of, lan, peer, vector};

const HERE: &str = "/ip4/192.168.1.9/tcp/4001";

// covers: MDN-068
#[test]
fn what_comes_from_elsewhere_or_goes_to_somebody_else_is_dropped() {
    let mut host = Host::new(1);
    let off = Err(Dropped::OffLink);
    for from in ["8.8.8.8:5353", "192.168.2.1:5353", "127.0.0.1:5353"] {
        assert_eq!(host.hear_from(from, &vector("V-MDN-1")), off, "{from}");
    }
    assert_eq!(host.hear_from("[2001:db8::1]:5353", &vector("V-MDN-1")), off);
    let received = |to: [u8; 4], interface| Received {
        interface,
        from: "192.168.1.9:5353".parse().unwrap(),
        to: to.into(),
    };
    let mut hear = |to, interface| {
        host.mdns
            .handle_datagram(host.now, &received(to, interface), &vector("V-MDN-1"))
    };
    assert_eq!(hear([224, 0, 0, 251], 1), Ok(()));
    assert_eq!(hear([192, 168, 1, 1], 1), Ok(()), "one of our addresses");
    assert_eq!(hear([192, 168, 1, 255], 1), off);
    assert_eq!(hear([224, 0, 0, 252], 1), off);
    assert_eq!(hear([224, 0, 0, 251], 2), Err(Dropped::UnknownInterface));
    assert_eq!(Dropped::OffLink.fault(), Fault::Peer);
}

// covers: MDN-068
#[test]
fn a_link_local_source_of_ip6_is_of_the_link() {
    let mut host = Host::off(1, Config::default());
    let interface = Interface {
        addrs: vec![
            ("fd00::1".parse().unwrap(), 64),
            ("fd01::1".parse().unwrap(), 128),
        ],
        families: vec![Family::Ip6],
        ..lan(1)
    };
    host.mdns.handle_interface(host.now, interface).unwrap();
    host.mdns.start(host.now);
    for (from, ok) in [
        ("[fe80::9]:5353", true),
        ("[fd00::9]:5353", true),
        ("[fd01::1]:5353", true),
        ("[fd01::2]:5353", false),
        ("[fd02::9]:5353", false),
    ] {
        assert_eq!(host.hear_from(from, &vector("V-MDN-1")).is_ok(), ok, "{from}");
    }
}

// covers: MDN-077
#[test]
fn packets_that_are_wrong_anywhere_are_dropped_whole_and_the_next_one_counts() {
    let mut host = Host::new(1);
    let good = answer_of(2, 120, &[HERE]).encode();
    for name in ["N-MDN-1", "N-MDN-2", "N-MDN-3"] {
        let result = host.hear_from("192.168.1.9:5353", &vector(name));
        assert!(matches!(result, Err(Dropped::Malformed(_))), "{name}");
    }
    let mut cut = good.clone();
    cut.pop();
    let result = host.hear_from("192.168.1.9:5353", &cut);
    assert_eq!(result, Err(Dropped::Malformed(Malformed::Truncated)));
    assert!(host.events.is_empty());
    assert_eq!((host.mdns.stats().malformed, host.mdns.stats().dropped), (4, 4));
    // A record of a kind that nobody knows is passed over.
    let mut message = answer_of(2, 120, &[HERE]);
    let data = libp2p_proto_mdns::Data::Other {
        kind: 47,
        data: vec![0xc0, 0xff],
    };
    message.answers.insert(0, support::record("x", 120, data));
    host.hear(&message.encode());
    assert_eq!(host.discovered().len(), 1);
}

// covers: MDN-070
#[test]
fn a_flood_of_peers_leaves_no_more_than_a_thousand_and_the_oldest_go_first() {
    let mut host = Host::new(1);
    host.mdns
        .handle_interface(
            host.now,
            Interface {
                addrs: vec![([10, 0, 0, 1].into(), 8)],
                ..lan(1)
            },
        )
        .unwrap();
    let mut held = 0;
    for number in 0..20_000_u32 {
        let message = answer_of(number.into(), 120, &["/ip4/10.9.9.9/tcp/1"]);
        let from = format!("10.{}.{}.9:5353", number / 250 % 250, number % 250 + 1);
        let info = allocation_counter::measure(|| {
            host.hear_from(&from, &message.encode()).unwrap();
            host.events = Vec::new();
        });
        held += info.bytes_current;
        if number == 2000 {
            held = 0;
        }
    }
    let census = host.mdns.census();
    assert_eq!((census.peers, census.addrs, census.events), (1000, 1000, 0));
    assert!(held.abs() < 64 * 1024, "{held} bytes grew");
    // The last ones are those that are there.
    host.wait(Duration::from_secs(120));
    let gone: Vec<_> = host.expired().into_iter().map(|(who, _)| who).collect();
    assert!(gone.contains(&peer(19_999)) && gone.contains(&peer(19_000)) && !gone.contains(&peer(18_999)));
}

// covers: MDN-070
#[test]
fn one_source_speaks_for_eight_peers_and_one_peer_has_thirty_two_addresses() {
    let mut host = Host::new(1);
    for number in 2..=10 {
        host.hear(&answer_of(number, 120, &[HERE]).encode());
    }
    assert_eq!(host.mdns.census().peers, 8);
    assert_eq!(
        host.expired(),
        [(peer(2), vec![String::from(HERE)])],
        "the oldest of that source"
    );
    host.hear_from("192.168.1.8:5353", &answer_of(11, 120, &[HERE]).encode())
        .unwrap();
    assert_eq!(
        host.mdns.census().peers,
        9,
        "another source has a share of its own"
    );
    let many: Vec<String> = (1..=40)
        .map(|port| format!("/ip4/192.168.1.9/tcp/{port}"))
        .collect();
    for half in many.chunks(20) {
        let half: Vec<&str> = half.iter().map(String::as_str).collect();
        host.hear(&answer_of(12, 120, &half).encode());
    }
    let addrs: usize = host
        .discovered()
        .iter()
        .filter(|(who, _)| *who == peer(12))
        .map(|(_, addrs)| addrs.len())
        .sum();
    assert_eq!(addrs, 32);
    // One packet of many instances counts for one source too.
    let mut message = Message::response();
    for number in 20..60 {
        let one = answer_of(number, 120, &[HERE]);
        message.answers.extend(one.answers);
        message.additionals.extend(one.additionals);
    }
    host.hear_from("192.168.1.7:5353", &message.encode()).unwrap();
    let of_packet = host
        .discovered()
        .iter()
        .filter(|(who, _)| (20..60).any(|number| *who == peer(number)))
        .count();
    assert_eq!(of_packet, 8);
}

// covers: MDN-071
#[test]
fn nobody_is_remembered_for_longer_than_seventy_five_minutes_or_for_less_than_a_second() {
    let mut host = Host::new(1);
    host.hear(&answer_of(2, u32::MAX, &[HERE]).encode());
    host.hear(&answer_of(3, 1, &[HERE]).encode());
    host.wait(Duration::from_millis(999));
    assert!(host.expired().is_empty());
    host.wait(Duration::from_millis(1));
    assert_eq!(host.expired().len(), 1);
    host.wait(Duration::from_secs(4498));
    assert_eq!(host.expired().len(), 1);
    host.wait(SECOND);
    assert_eq!(host.expired().len(), 2);
}

// covers: MDN-073, MDN-074
#[test]
fn addresses_that_are_not_of_the_link_are_not_told_unless_that_is_wanted() {
    let relayed = format!("/ip4/192.168.1.9/tcp/1/p2p/{}/p2p-circuit", peer(9));
    let bad = [
        "/ip4/198.51.100.7/tcp/22",
        "/ip4/8.8.8.8/tcp/22",
        "/ip6/2001:db8::1/tcp/22",
        "/ip4/127.0.0.1/tcp/22",
        "/ip6/::1/tcp/22",
        "/ip4/0.0.0.0/tcp/22",
        "/ip4/224.0.0.251/tcp/22",
        "/ip4/255.255.255.255/tcp/22",
        "/dns4/evil.example/tcp/22",
        "/dns/local/tcp/22",
        "/dnsaddr/evil.local/tcp/22",
        "/memory/1",
        &relayed,
    ];
    let mut host = Host::new(1);
    host.hear(&answer_of(2, 120, &bad).encode());
    assert_eq!(host.discovered(), []);
    let good = [
        "/ip4/10.1.2.3/tcp/1",
        "/ip4/169.254.1.1/tcp/1",
        "/ip6/fd00::9/tcp/1",
        "/dns4/printer.local/tcp/1",
    ];
    host.hear(&answer_of(3, 120, &good).encode());
    let (_, found) = host.discovered().remove(0);
    assert!(
        good.iter().all(|addr| found.contains(&String::from(*addr))),
        "{found:?}"
    );
    let mut open = Host::with(
        1,
        Config {
            distant_addrs: true,
            ..Config::default()
        },
    );
    open.hear(&answer_of(2, 120, &bad).encode());
    let (_, found) = open.discovered().remove(0);
    assert!(
        found.contains(&String::from(bad[0])) && !found.iter().any(|addr| addr.contains("evil")),
        "{found:?}"
    );
    assert!(!found.iter().any(|addr| addr.contains("127.0.0.1")), "{found:?}");
}

// covers: MDN-073
#[test]
fn a_loopback_address_is_told_only_of_this_very_machine() {
    let own = "/ip4/127.0.0.1/tcp/22";
    let mut host = Host::new(1);
    host.hear_from("192.168.1.1:5353", &answer_of(2, 120, &[own]).encode())
        .unwrap();
    assert_eq!(host.discovered(), [(peer(2), vec![String::from(own)])]);
}

#[test]
fn a_public_address_of_this_very_network_is_of_the_link() {
    let mut host = Host::new(1);
    host.mdns
        .handle_interface(
            host.now,
            Interface {
                addrs: vec![([203, 0, 113, 1].into(), 24)],
                ..lan(1)
            },
        )
        .unwrap();
    let message = answer_of(2, 120, &["/ip4/203.0.113.9/tcp/1", "/ip4/203.0.114.9/tcp/1"]);
    host.hear_from("203.0.113.9:5353", &message.encode()).unwrap();
    assert_eq!(
        host.discovered(),
        [(peer(2), vec![String::from("/ip4/203.0.113.9/tcp/1")])]
    );
}

#[test]
fn an_application_that_does_not_read_stops_what_is_learned_and_loses_no_end() {
    let config = Config {
        max_events: 4,
        max_per_source: 100,
        ..Config::default()
    };
    let mut host = Host::with(1, config);
    let hear = |host: &mut Host, number: u64| {
        let received = Received {
            interface: 1,
            from: "192.168.1.9:5353".parse().unwrap(),
            to: [224, 0, 0, 251].into(),
        };
        host.mdns
            .handle_datagram(host.now, &received, &answer_of(number, 10, &[HERE]).encode())
    };
    for number in 2..6 {
        assert_eq!(hear(&mut host, number), Ok(()));
    }
    assert_eq!(hear(&mut host, 6), Err(Dropped::Busy));
    assert_eq!(Dropped::Busy.fault(), Fault::Limit);
    // Nobody expires meanwhile, and nobody is woken for it.
    for _ in 0..20 {
        host.now = host.now + SECOND;
        host.mdns.handle_timeout(host.now);
        let due = host.mdns.poll_timeout().unwrap();
        assert_ne!(due.why, "expire");
    }
    assert_eq!(host.mdns.census().events, 4);
    host.drain();
    host.wait(SECOND);
    assert_eq!((host.discovered().len(), host.expired().len()), (4, 4));
}

#[test]
fn an_adapter_that_does_not_drain_gets_each_packet_once() {
    let mut host = Host::new(1);
    for second in 0..1000 {
        host.now = host.now + SECOND;
        host.mdns.handle_timeout(host.now);
        let from = format!("192.168.1.{}:4000", second % 250 + 2);
        let received = Received {
            interface: 1,
            from: from.parse().unwrap(),
            to: [224, 0, 0, 251].into(),
        };
        host.mdns
            .handle_datagram(host.now, &received, &vector("V-MDN-1"))
            .unwrap();
    }
    let waiting = host.mdns.census().waiting;
    assert!(waiting <= 64 + 4, "{waiting} wait");
}
