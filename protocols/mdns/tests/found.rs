//! What is learned of others, and for how long.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_mdns::{Config, Data, Event, Family, Interface, Message, Received, class, kind};
use support::{A, Host, SECOND, addr, answer, answer_of, lan, name, peer, pointer, record, strings, vector};

const HERE: &str = "/ip4/192.168.1.9/tcp/4001";

fn text(number: u64, addr: &str) -> String {
    format!("dnsaddr={addr}/p2p/{}", peer(number))
}

// covers: MDN-055, MDN-057, MDN-067
#[test]
fn an_answer_that_nobody_asked_for_makes_a_peer_known_wherever_its_strings_stand() {
    for vector_name in ["V-MDN-3", "V-MDN-3b"] {
        let mut host = Host::new(1);
        host.hear_from("192.168.1.5:5353", &vector(vector_name)).unwrap();
        let (who, addrs) = host.discovered().remove(0);
        assert_eq!(who, A.parse().unwrap());
        assert_eq!(addrs[0], "/ip4/192.168.1.5/tcp/4001");
        assert_eq!(addrs.len(), if vector_name == "V-MDN-3" { 2 } else { 1 });
    }
    // As go announces: all in the answer section; and with the pointer beside the answers.
    let parts = [
        pointer("i._p2p._udp.local", 120),
        strings("i._p2p._udp.local", 120, &[&text(2, HERE)]),
    ];
    for answers in 0..=2 {
        let mut host = Host::new(1);
        let mut message = Message::response();
        message.answers = parts[..answers].to_vec();
        message.additionals = parts[answers..].to_vec();
        host.hear(&message.encode());
        assert_eq!(
            host.discovered(),
            [(peer(2), vec![String::from(HERE)])],
            "{answers}"
        );
    }
}

// covers: MDN-056
#[test]
fn a_peer_of_any_instance_name_is_found() {
    for instance in ["abc", "X1y2._p2p._udp.local", "a.b.c.d"] {
        let mut host = Host::new(1);
        host.hear(&answer(instance, 120, &[&text(2, HERE)]).encode());
        assert_eq!(host.discovered().len(), 1, "{instance}");
    }
    // But its strings have to be its own, and the pointer one of the service.
    let mut host = Host::new(1);
    let mut other = answer("abc", 120, &[]);
    other.additionals = vec![strings("abd", 120, &[&text(2, HERE)])];
    host.hear(&other.encode());
    let mut other = answer("abc", 120, &[&text(2, HERE)]);
    other.answers = vec![record("_http._tcp.local", 120, Data::Ptr(name("abc")))];
    host.hear(&other.encode());
    assert!(host.discovered().is_empty());
}

// covers: MDN-058, MDN-059
#[test]
fn of_all_strings_those_count_that_hold_a_whole_address() {
    let mut host = Host::new(1);
    let good = text(2, HERE);
    let loud = good.replace("dnsaddr", "DNSADDR");
    let mut message = answer(
        "abc",
        120,
        &[
            "txtvers=1",
            "",
            "dnsaddr=",
            "dnsaddr=/ip4/192.168.1.9/tcp/1",
            "dnsaddr=/ip4/999.1.1.1/tcp/1",
            "dnsaddr=no address",
            &format!("dnsaddr=/p2p/{}", peer(2)),
            &good,
        ],
    );
    message
        .additionals
        .push(strings("abc", 120, &[&loud.replace("/4001", "/4002")]));
    message
        .additionals
        .push(record("abc", 120, Data::Txt(vec![3, b'd', 0xff, b'='])));
    host.hear(&message.encode());
    let both = [HERE, "/ip4/192.168.1.9/tcp/4002"].map(String::from).to_vec();
    assert_eq!(host.discovered(), [(peer(2), both)]);
}

// covers: MDN-060
#[test]
fn an_instance_is_the_peer_that_it_names_first() {
    let mut host = Host::new(1);
    let other = text(3, "/ip4/192.168.1.9/tcp/1");
    host.hear(
        &answer(
            "abc",
            120,
            &[&text(2, HERE), &other, &text(2, "/ip4/192.168.1.9/tcp/2")],
        )
        .encode(),
    );
    let mine = [HERE, "/ip4/192.168.1.9/tcp/2"].map(String::from).to_vec();
    assert_eq!(host.discovered(), [(peer(2), mine)]);
}

// covers: MDN-061
#[test]
fn we_do_not_find_ourselves() {
    let mut host = Host::new(1);
    host.hear(&answer_of(1, 120, &[HERE]).encode());
    // Our own answer, as the link loops it back.
    host.wait(Duration::from_secs(3));
    let own = host
        .sent
        .iter()
        .find(|sent| sent.is_answer())
        .unwrap()
        .bytes
        .clone();
    host.hear_from("192.168.1.1:5353", &own).unwrap();
    // Somebody else under our name.
    let label = host.label();
    host.hear(&answer(&format!("{label}._p2p._udp.local"), 120, &[&text(2, HERE)]).encode());
    assert!(host.events.is_empty());
}

// covers: MDN-062
#[test]
fn an_address_of_another_link_is_tried_as_the_senders_first() {
    let mut host = Host::new(1);
    host.hear(&answer_of(2, 120, &["/ip4/172.17.0.2/tcp/4001", "/ip4/192.168.1.77/tcp/5"]).encode());
    let (_, addrs) = host.discovered().remove(0);
    assert_eq!(
        addrs,
        [
            "/ip4/192.168.1.9/tcp/4001",
            "/ip4/172.17.0.2/tcp/4001",
            "/ip4/192.168.1.77/tcp/5"
        ]
    );
}

// covers: MDN-063, MDN-065
#[test]
fn a_peer_is_told_once_and_expires_with_its_time_to_live() {
    let mut host = Host::new(1);
    let heard = host.now;
    host.hear(&answer_of(2, 120, &[HERE]).encode());
    host.wait(Duration::from_secs(100));
    host.hear(&answer_of(2, 120, &[HERE]).encode());
    assert_eq!(host.discovered().len(), 1, "told once");
    host.wait(Duration::from_secs(119));
    assert!(host.expired().is_empty(), "renewed at 100 s");
    host.wait(SECOND);
    assert_eq!(host.expired(), [(peer(2), vec![String::from(HERE)])]);
    assert_eq!(host.now.since(heard), Duration::from_secs(220));
    assert_eq!(host.mdns.census().peers, 0);
    // The smaller of pointer and strings counts.
    let mut short = answer_of(3, 120, &[HERE]);
    short.answers[0].ttl = 10;
    host.hear(&short.encode());
    host.wait(Duration::from_secs(10));
    assert_eq!(host.expired().len(), 2);
}

// covers: MDN-064
#[test]
fn a_goodbye_ends_what_is_known_a_second_later_unless_it_is_said_again() {
    let mut host = Host::new(1);
    for (number, again) in [(2, false), (3, true)] {
        host.hear(&answer_of(number, 120, &[HERE]).encode());
        let mut goodbye = Message::response();
        goodbye
            .answers
            .push(pointer(&format!("instance{number}._p2p._udp.local"), 0));
        host.hear(&goodbye.encode());
        host.wait(Duration::from_millis(900));
        if again {
            host.hear(&answer_of(number, 120, &[HERE]).encode());
        }
        assert!(host.expired().len() == usize::from(again));
        host.wait(Duration::from_millis(101));
    }
    assert_eq!(host.expired(), [(peer(2), vec![String::from(HERE)])]);
    host.hear_from("192.168.1.5:5353", &vector("V-MDN-3")).unwrap();
    let goodbye = String::from_utf8_lossy(&vector("V-MDN-5")).into_owned();
    assert!(goodbye.contains("abcdefghijklmnopqrstuvwxyz012345"));
    host.hear_from("192.168.1.5:5353", &vector("V-MDN-5")).unwrap();
    host.wait(SECOND);
    assert_eq!(host.expired().len(), 2);
}

// covers: MDN-065
#[test]
fn another_set_of_addresses_replaces_the_old_one() {
    let mut host = Host::new(1);
    let flush = |addrs: &[&str]| {
        let mut message = answer_of(2, 120, addrs);
        message.additionals[0].flush = true;
        message.encode()
    };
    host.hear(&flush(&[HERE]));
    // Within a second it is the rest of the same answer.
    host.hear(&flush(&["/ip4/192.168.1.9/tcp/2"]));
    host.wait(Duration::from_secs(5));
    assert!(host.expired().is_empty());
    host.hear(&flush(&["/ip4/192.168.1.9/tcp/2", "/ip4/192.168.1.9/tcp/3"]));
    assert_eq!(
        host.discovered()[2],
        (peer(2), vec![String::from("/ip4/192.168.1.9/tcp/3")])
    );
    host.wait(SECOND);
    assert_eq!(host.expired(), [(peer(2), vec![String::from(HERE)])]);
    assert_eq!(host.discovered().len(), 3);
}

#[test]
fn a_sender_that_takes_a_new_name_for_each_answer_is_one_peer() {
    let mut host = Host::new(1);
    for round in 0..100 {
        host.hear(&answer(&format!("name{round}"), 360, &[&text(2, HERE)]).encode());
        host.wait(SECOND);
    }
    assert_eq!((host.discovered().len(), host.mdns.census().peers), (1, 1));
    host.wait(Duration::from_secs(360));
    assert_eq!(host.expired().len(), 1);
}

#[test]
fn an_address_that_two_interfaces_hear_of_is_told_once_and_expires_with_the_last() {
    let mut host = Host::new(1);
    host.mdns
        .handle_interface(host.now, Interface { id: 2, ..lan(1) })
        .unwrap();
    let hear = |host: &mut Host, interface| {
        let received = Received {
            interface,
            from: "192.168.1.9:5353".parse().unwrap(),
            to: [224, 0, 0, 251].into(),
        };
        let bytes = answer_of(2, 120, &[HERE]).encode();
        host.mdns.handle_datagram(host.now, &received, &bytes).unwrap();
        host.drain();
    };
    hear(&mut host, 1);
    host.wait(Duration::from_secs(60));
    hear(&mut host, 2);
    assert_eq!((host.discovered().len(), host.mdns.census().peers), (1, 2));
    host.wait(Duration::from_secs(60));
    assert!(host.expired().is_empty());
    host.wait(Duration::from_secs(60));
    assert_eq!(host.expired().len(), 1);
}

// covers: MDN-078
#[test]
fn what_was_learned_on_an_interface_that_goes_down_lasts_its_time() {
    let mut host = Host::new(1);
    host.hear(&answer_of(2, 120, &[HERE]).encode());
    host.mdns.handle_interface_down(host.now, 1);
    host.wait(Duration::from_secs(119));
    assert!(host.expired().is_empty());
    host.wait(SECOND);
    assert_eq!(host.expired().len(), 1);
}

// covers: MDN-012
#[test]
fn a_response_is_one_by_its_bit_whatever_it_asks() {
    let mut host = Host::new(1);
    host.wait(Duration::from_secs(5));
    let mut message = answer_of(2, 120, &[HERE]);
    message
        .questions
        .push(support::question("_p2p._udp.local", kind::PTR));
    host.hear(&message.encode());
    assert_eq!(host.discovered().len(), 1);
    assert!(host.answers().is_empty(), "it is no question");
    // And a query with a pointer and strings is no answer.
    let mut query = answer_of(3, 120, &[HERE]);
    query.response = false;
    host.hear(&query.encode());
    assert_eq!(host.discovered().len(), 1);
}

// covers: MDN-013
#[test]
fn other_operations_and_errors_are_ignored() {
    let mut host = Host::new(1);
    for flags in [0x8403_u16, 0x8c00, 0x0800, 0x0001] {
        let mut bytes = vector("V-MDN-3");
        bytes[2..4].copy_from_slice(&flags.to_be_bytes());
        let result = host.hear_from("192.168.1.9:5353", &bytes);
        assert_eq!(
            result,
            Err(libp2p_proto_mdns::Dropped::OtherOperation),
            "{flags:04x}"
        );
    }
    assert!(host.events.is_empty());
}

// covers: MDN-014
#[test]
fn classes_are_compared_without_their_top_bit() {
    let mut host = Host::new(1);
    let mut message = answer_of(2, 120, &[HERE]);
    message.answers[0].flush = true;
    message.additionals[0].flush = true;
    host.hear(&message.encode());
    assert_eq!(host.discovered().len(), 1);
    let mut other = answer_of(3, 120, &[HERE]);
    other.answers[0].class = class::ANY;
    host.hear(&other.encode());
    assert_eq!(host.discovered().len(), 1);
}

#[test]
fn over_ip6_a_host_finds_and_is_found() {
    let six = |last: u16| Interface {
        id: 1,
        addrs: vec![
            (format!("fe80::{last}").parse().unwrap(), 64),
            (format!("fd00::{last}").parse().unwrap(), 64),
        ],
        families: vec![Family::Ip6],
    };
    let hosts = [1, 2].map(|number| {
        let mut host = Host::off(number, Config::default());
        host.mdns.set_addresses(host.now, [addr("/ip6/::/tcp/4001")]);
        host.mdns.handle_interface(host.now, six(number.into())).unwrap();
        host.mdns.start(host.now);
        host
    });
    let mut link = support::Link::new(hosts.into());
    link.wait(Duration::from_secs(3));
    assert_eq!(
        link.hosts[0].discovered(),
        [(peer(2), vec![String::from("/ip6/fd00::2/tcp/4001")])]
    );
    assert_eq!(
        link.hosts[1].discovered(),
        [(peer(1), vec![String::from("/ip6/fd00::1/tcp/4001")])]
    );
}

#[test]
fn two_hosts_find_each_other_at_once_and_know_when_one_has_gone_or_moved() {
    let mut link = support::Link::new(vec![Host::new(1), Host::new(2)]);
    link.wait(SECOND);
    for (host, other) in [(0, 2), (1, 1)] {
        let found = link.hosts[host].discovered();
        assert_eq!(
            found,
            [(peer(other), vec![format!("/ip4/192.168.1.{other}/tcp/4001")])]
        );
    }
    // Half an hour: nobody is forgotten, nobody is told twice, and the link is quiet.
    let before: usize = link.hosts.iter().map(|host| host.sent.len()).sum();
    link.wait(Duration::from_secs(1800));
    for host in &link.hosts {
        assert_eq!(host.events.len(), 1);
    }
    let after: usize = link.hosts.iter().map(|host| host.sent.len()).sum();
    assert!(
        after - before < 1800 / 10,
        "{} packets in half an hour",
        after - before
    );
    // One moves.
    let now = link.hosts[1].now;
    link.hosts[1]
        .mdns
        .set_addresses(now, [addr("/ip4/0.0.0.0/tcp/5005")]);
    link.wait(Duration::from_secs(3));
    assert_eq!(
        link.hosts[0].discovered()[1],
        (peer(2), vec![String::from("/ip4/192.168.1.2/tcp/5005")])
    );
    assert_eq!(
        link.hosts[0].expired(),
        [(peer(2), vec![String::from("/ip4/192.168.1.2/tcp/4001")])]
    );
    // And goes.
    let now = link.hosts[1].now;
    link.hosts[1].mdns.stop(now);
    link.wait(Duration::from_secs(2));
    assert!(matches!(link.hosts[0].events.last(), Some(Event::Expired { .. })));
    assert_eq!(link.hosts[0].mdns.census().peers, 0);
}

#[test]
fn twenty_hosts_that_start_together_find_each_other_without_a_storm() {
    let mut link = support::Link::new((1..=20).map(Host::new).collect());
    link.wait(Duration::from_secs(5));
    for host in &link.hosts {
        let mut found: Vec<_> = host.discovered().into_iter().map(|(peer, _)| peer).collect();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 19);
    }
    let packets: usize = link.hosts.iter().map(|host| host.sent.len()).sum();
    assert!(packets < 20 * 12, "{packets} packets");
}
