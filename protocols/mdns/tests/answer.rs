//! What is answered, and when.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::{net::IpAddr, time::Duration};
use libp2p_proto_core::Instant;
use libp2p_proto_mdns::{Config, Data, Interface, Message, Question, kind};
use support::{A, Host, INSTANCE, SECOND, Sent, addr, lan, name, peer, pointer, query, question, vector};

const SERVICE: &str = "_p2p._udp.local";

/// A vector under the name of a host.
fn under(label: &str, vector_name: &str) -> Vec<u8> {
    let mut bytes = vector(vector_name);
    assert_eq!(label.len(), INSTANCE.len());
    for at in 0..bytes.len() {
        if bytes[at..].starts_with(INSTANCE.as_bytes()) {
            bytes[at..at + label.len()].copy_from_slice(label.as_bytes());
        }
    }
    bytes
}

fn ask(about: &str, kind: u16) -> Vec<u8> {
    query(&[question(about, kind)])
}

fn unicast(about: &str) -> Vec<u8> {
    let wanted = Question {
        unicast: true,
        ..question(about, kind::PTR)
    };
    query(&[wanted])
}

/// A host that listens at these addresses on 192.168.1.1, its announcements behind it.
fn host_at(addrs: &[&str]) -> Host {
    host_on(lan(1), addrs)
}

fn host_on(interface: Interface, addrs: &[&str]) -> Host {
    let mut host = Host::off(1, Config::default());
    host.mdns
        .set_addresses(host.now, addrs.iter().map(|text| addr(text)));
    host.mdns.handle_interface(host.now, interface).unwrap();
    host.mdns.start(host.now);
    host.wait(Duration::from_secs(10));
    host.sent.clear();
    host
}

/// What it says when it is asked, without key and id.
fn said(host: &mut Host) -> Vec<String> {
    host.hear(&vector("V-MDN-1"));
    let end = format!("/p2p/{}", peer(1));
    let answers = host.answers();
    let strings = answers.iter().flat_map(Sent::strings);
    strings
        .map(|text| {
            text.strip_prefix("dnsaddr=")
                .unwrap()
                .strip_suffix(&end)
                .unwrap()
                .to_owned()
        })
        .collect()
}

// covers: MDN-010, MDN-011, MDN-025, MDN-028, MDN-030, MDN-031, MDN-032, MDN-034, MDN-035, MDN-036
#[test]
fn the_answer_has_the_bytes_of_the_vector() {
    let mut host = Host::of_the_vectors();
    let label = host.label();
    host.wait(SECOND);
    host.hear(&vector("V-MDN-1"));
    let answers = host.answers();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].bytes, under(&label, "V-MDN-3"));
    assert_eq!(answers[0].to, "224.0.0.251:5353".parse().unwrap());
    let message = answers[0].message();
    assert!(message.questions.is_empty());
    let pointers = message.records().filter(|record| record.data.kind() == kind::PTR);
    assert_eq!(pointers.count(), 1);
}

// covers: MDN-049
#[test]
fn the_question_which_services_there_are_is_answered_with_the_bytes_of_the_vector() {
    let mut host = Host::of_the_vectors();
    host.hear(&vector("V-MDN-2"));
    let answers = host.answers();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].bytes, vector("V-MDN-4"));
    // Both questions: a packet each, since js takes the last pointer of a packet.
    host.hear(&query(&[
        question(SERVICE, kind::PTR),
        question("_services._dns-sd._udp.local", kind::PTR),
    ]));
    host.sent.clear();
    host.wait(Duration::from_secs(3));
    let answers: Vec<_> = host.sent.iter().filter(|sent| !sent.is_query()).collect();
    assert_eq!(answers.len(), 2);
    for answer in answers {
        let message = answer.message();
        let pointers = message.records().filter(|record| record.data.kind() == kind::PTR);
        assert_eq!(pointers.count(), 1);
    }
}

// covers: MDN-002
#[test]
fn a_name_is_ours_whatever_its_case() {
    let mut host = Host::of_the_vectors();
    host.hear(&ask("_P2P._UDP.LOCAL", kind::PTR));
    assert!(host.answers()[0].is_answer());
}

// covers: MDN-025, MDN-051
#[test]
fn pointers_and_everything_are_answered_and_other_kinds_classes_and_services_are_not() {
    let mut host = Host::of_the_vectors();
    host.hear(&ask(SERVICE, kind::ANY));
    assert_eq!(host.answers().len(), 1);
    for asked in [
        ask(SERVICE, kind::A),
        ask("_http._tcp.local", kind::PTR),
        ask("local", kind::ANY),
    ] {
        host.hear(&asked);
        assert!(host.answers().is_empty());
    }
    let chaos = Question {
        class: 3,
        ..question(SERVICE, kind::PTR)
    };
    host.hear(&query(&[chaos]));
    assert!(host.answers().is_empty());
}

// covers: MDN-050
#[test]
fn every_question_of_a_packet_counts() {
    let mut host = Host::of_the_vectors();
    host.hear(&query(&[
        question("_http._tcp.local", kind::PTR),
        question(SERVICE, kind::PTR),
    ]));
    assert!(host.answers()[0].is_answer());
}

// covers: MDN-014
#[test]
fn the_top_bit_of_a_class_is_not_part_of_it() {
    let mut host = Host::of_the_vectors();
    host.wait(Duration::from_secs(60));
    host.hear(&vector("V-MDN-1b"));
    let answers = host.answers();
    // Nobody heard it of late, so everybody is to hear it.
    assert!(answers.len() == 1 && answers[0].is_multicast());
}

// covers: MDN-048
#[test]
fn single_records_are_answered_alone() {
    let mut host = Host::of_the_vectors();
    let label = host.label();
    let instance = format!("{label}.{SERVICE}");
    let target = format!("{label}.local");
    for (about, kind, kinds) in [
        (&instance, kind::TXT, &[kind::TXT][..]),
        (&instance, kind::SRV, &[kind::SRV]),
        (&instance, kind::ANY, &[kind::TXT, kind::SRV]),
        (&target, kind::A, &[kind::A]),
        (&target, kind::AAAA, &[kind::A]),
        (&target, kind::ANY, &[kind::A]),
    ] {
        host.wait(Duration::from_secs(2));
        host.hear(&ask(about, kind));
        let answers = host.answers();
        assert_eq!(answers.len(), 1, "{about} {kind}");
        let message = answers[0].message();
        let got: Vec<_> = message.answers.iter().map(|record| record.data.kind()).collect();
        assert_eq!(got, kinds, "{about} {kind}");
        assert!(message.additionals.is_empty());
    }
}

// covers: MDN-005, MDN-006
#[test]
fn the_name_of_an_instance_is_random_and_stays_the_same_while_it_runs() {
    let mut labels = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut host = Host::off(1, Config::default());
        host.mdns = libp2p_proto_mdns::Mdns::new(A.parse().unwrap(), Config::default(), [seed; 32]).unwrap();
        host.mdns.set_addresses(host.now, [addr("/ip4/0.0.0.0/tcp/4001")]);
        host.mdns.handle_interface(host.now, lan(5)).unwrap();
        host.mdns.start(host.now);
        let label = host.label();
        assert!((32..=63).contains(&label.len()));
        assert!(
            label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        );
        host.wait(Duration::from_secs(1000));
        assert_eq!(host.label(), label);
        assert!(labels.insert(label));
    }
}

// covers: MDN-026
#[test]
fn our_own_question_is_answered_so_that_others_learn_of_us() {
    let mut host = Host::of_the_vectors();
    host.hear_from("192.168.1.5:5353", &vector("V-MDN-1")).unwrap();
    assert!(host.answers()[0].is_answer());
}

// covers: MDN-027
#[test]
fn an_address_that_fits_no_string_is_left_out() {
    let long = format!("/dns4/{}.local/tcp/1", "x".repeat(200));
    let mut host = host_at(&[&long, "/ip4/192.168.1.1/tcp/2"]);
    assert_eq!(said(&mut host), ["/ip4/192.168.1.1/tcp/2"]);
}

// covers: MDN-038, MDN-039, MDN-041
#[test]
fn only_addresses_that_everybody_reads_and_that_are_of_use_on_the_link_are_sent() {
    let relay = format!("/ip4/192.168.1.1/tcp/1/p2p/{}/p2p-circuit", peer(9));
    let mut host = host_at(&[
        &relay,
        "/ip4/192.168.1.1/tcp/2/ws",
        "/dns4/example.com/tcp/443/wss",
        "/ip4/192.168.1.1/udp/3/quic-v1/webtransport",
        "/ip4/192.168.1.1/udp/3/webrtc-direct",
        "/ip4/192.168.1.1/tcp/4/x-parity-ws/a",
        "/memory/5",
        "/ip4/127.0.0.1/tcp/6",
        "/ip4/203.0.113.5/tcp/7",
        "/ip4/10.0.0.1/tcp/8",
        "/dns4/example.com/tcp/9",
        "/dns4/printer.LOCAL/tcp/10",
        "/ip4/192.168.1.1/udp/11/quic-v1",
        "/ip4/192.168.1.1/tcp/12",
    ]);
    assert_eq!(
        said(&mut host),
        [
            "/ip4/192.168.1.1/tcp/12",
            "/ip4/192.168.1.1/udp/11/quic-v1",
            "/dns4/printer.LOCAL/tcp/10"
        ]
    );
    let lo = Interface {
        addrs: vec![([127, 0, 0, 1].into(), 8)],
        ..lan(1)
    };
    let mut host = host_on(lo, &["/ip4/127.0.0.1/tcp/6", "/ip4/192.168.1.1/tcp/12"]);
    host.hear_from("127.0.0.1:5353", &vector("V-MDN-1")).unwrap();
    assert_eq!(host.answers()[0].strings().len(), 1);
}

// covers: MDN-033, MDN-040
#[test]
fn all_addresses_stand_for_those_of_the_interface_that_is_spoken_on() {
    let mut host = host_at(&["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001"]);
    let other = Interface {
        id: 2,
        addrs: vec![
            ([10, 0, 0, 1].into(), 8),
            ("fe80::1".parse().unwrap(), 64),
            ("fd00::1".parse().unwrap(), 64),
        ],
        families: vec![libp2p_proto_mdns::Family::Ip4],
    };
    host.mdns.handle_interface(host.now, other).unwrap();
    let answers = host.answers();
    let hosts = |sent: &Sent| {
        let message = sent.message();
        let ips = message.records().filter_map(|record| match record.data {
            Data::Address(ip) => Some(ip.to_string()),
            _ => None,
        });
        ips.collect::<Vec<_>>()
    };
    let there = answers.iter().find(|sent| sent.interface == 2).unwrap();
    assert_eq!(hosts(there), ["10.0.0.1", "fe80::1", "fd00::1"]);
    let strings = there.strings().join(" ");
    assert!(
        strings.contains("/ip4/10.0.0.1/tcp/4001/p2p/") && strings.contains("/ip6/fd00::1/tcp/4001/p2p/")
    );
    assert!(!strings.contains("fe80") && !strings.contains("0.0.0.0") && !strings.contains("/ip6/::/"));
    host.hear(&vector("V-MDN-1"));
    let answers = host.answers();
    let here = answers.iter().find(|sent| sent.interface == 1).unwrap();
    assert_eq!(hosts(here), ["192.168.1.1"]);
}

// covers: MDN-042
#[test]
fn a_host_that_has_no_address_for_the_link_is_silent() {
    let mut host = host_at(&["/ip4/127.0.0.1/tcp/1"]);
    for asked in [vector("V-MDN-1"), vector("V-MDN-2"), unicast(SERVICE)] {
        host.hear(&asked);
        assert!(host.answers().is_empty());
    }
    host.hear_from("192.168.1.9:40000", &vector("V-MDN-1")).unwrap();
    assert!(host.answers().is_empty());
}

// covers: MDN-015, MDN-016, MDN-028
#[test]
fn many_addresses_come_in_several_packets_each_of_them_complete() {
    let ports: Vec<String> = (1..=60)
        .map(|port| format!("/ip4/192.168.1.1/tcp/{port}"))
        .collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let mut host = host_at(&ports);
    host.hear(&vector("V-MDN-1"));
    let answers = host.answers();
    assert!(answers.len() > 1);
    let mut strings = Vec::new();
    for answer in &answers {
        assert!(answer.bytes.len() <= 1440, "{}", answer.bytes.len());
        assert!(answer.is_answer());
        let kinds: Vec<_> = answer
            .message()
            .additionals
            .iter()
            .map(|record| record.data.kind())
            .collect();
        assert_eq!(kinds, [kind::TXT, kind::SRV, kind::A]);
        strings.extend(answer.strings());
    }
    strings.sort();
    strings.dedup();
    assert_eq!(strings.len(), 60);
}

// covers: MDN-043, MDN-044
#[test]
fn questions_that_come_together_are_answered_once_after_a_moment() {
    let mut host = Host::of_the_vectors();
    let began = host.now;
    for _ in 0..10 {
        host.hear(&vector("V-MDN-1"));
        host.wait(Duration::from_millis(2));
    }
    let answers = host.answers();
    assert_eq!(answers.len(), 1);
    let delay = answers[0].at.since(began);
    assert!((20..=120).contains(&delay.as_millis()), "{delay:?}");
}

// covers: MDN-044, MDN-075
#[test]
fn ten_thousand_questions_a_second_bring_one_answer_a_second() {
    let mut host = Host::of_the_vectors();
    let began = host.now;
    for number in 0..30_000_u32 {
        let from = format!("192.168.1.{}:5353", number % 250 + 2);
        host.hear_from(&from, &vector("V-MDN-1")).unwrap();
        host.wait(Duration::from_micros(100));
    }
    let times: Vec<Instant> = host
        .sent
        .iter()
        .filter(|sent| !sent.is_query())
        .map(|sent| sent.at)
        .collect();
    assert!(times.len() <= 3 && !times.is_empty(), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) >= SECOND));
    assert!(host.now.since(began) >= Duration::from_secs(3));
}

/// A question that lists a pointer to this instance with this time to live.
fn knowing(label: &str, ttl: u32) -> Message {
    let mut message = Message::query();
    message.questions.push(question(SERVICE, kind::PTR));
    message.answers.push(pointer(&format!("{label}.{SERVICE}"), ttl));
    message
}

// covers: MDN-045
#[test]
fn who_knows_us_for_half_of_our_time_is_not_answered() {
    let mut host = Host::of_the_vectors();
    let label = host.label();
    for (ttl, answered) in [(120, 0), (100, 0), (60, 0), (59, 1), (50, 1), (0, 1)] {
        host.wait(Duration::from_secs(2));
        host.hear(&knowing(&label, ttl).encode());
        assert_eq!(host.answers().len(), answered, "{ttl}");
    }
    host.wait(Duration::from_secs(2));
    host.hear(&knowing("somebodyelse", 120).encode());
    assert_eq!(host.answers().len(), 1);
}

// covers: MDN-045
#[test]
fn who_says_in_the_next_packet_that_he_knows_us_is_not_answered_either() {
    let mut host = Host::of_the_vectors();
    let label = host.label();
    let mut first = knowing("somebodyelse", 120);
    first.truncated = true;
    let mut rest = knowing(&label, 120);
    rest.questions.clear();
    for (from, answered) in [("192.168.1.9:5353", 0), ("192.168.1.8:5353", 1)] {
        host.wait(Duration::from_secs(2));
        host.hear(&first.encode());
        host.wait(Duration::from_millis(300));
        host.hear_from(from, &rest.encode()).unwrap();
        assert_eq!(host.answers().len(), answered, "{from}");
    }
}

// covers: MDN-046
#[test]
fn who_wants_a_reply_alone_gets_it_if_everybody_has_heard_us_of_late() {
    let mut host = Host::of_the_vectors();
    host.hear(&vector("V-MDN-1"));
    host.wait(Duration::from_secs(20));
    host.sent.clear();
    host.hear(&unicast(SERVICE));
    assert_eq!(host.sent.len(), 1, "at once");
    assert_eq!(host.sent[0].to, "192.168.1.9:5353".parse().unwrap());
    assert!(host.sent[0].message().questions.is_empty());
    host.wait(Duration::from_secs(20));
    host.hear(&unicast(SERVICE));
    let answers = host.answers();
    assert!(answers.len() == 1 && answers[0].is_multicast());
}

// covers: MDN-046, MDN-047
#[test]
fn who_asks_from_another_port_is_answered_as_such_resolvers_read_it_and_to_all() {
    let mut host = Host::of_the_vectors();
    let mut asked = vector("V-MDN-1");
    asked[..2].copy_from_slice(&[0xab, 0xcd]);
    host.hear_from("192.168.1.9:40000", &asked).unwrap();
    let answers = {
        let mut all = core::mem::take(&mut host.sent);
        all.extend(host.answers());
        all
    };
    let (alone, all): (Vec<_>, Vec<_>) = answers.iter().partition(|sent| !sent.is_multicast());
    assert_eq!((alone.len(), all.len()), (1, 1));
    assert_eq!(alone[0].to, "192.168.1.9:40000".parse().unwrap());
    let message = alone[0].message();
    assert_eq!((message.id, message.response), (0xabcd, true));
    assert_eq!(message.questions, [question(SERVICE, kind::PTR)]);
    assert!(message.records().all(|record| record.ttl <= 10 && !record.flush));
    let everybody = all[0].message();
    assert!(everybody.questions.is_empty() && everybody.id == 0);
}

// covers: MDN-075
#[test]
fn one_host_gets_ten_replies_a_second_and_a_spoofed_one_none() {
    let mut host = Host::of_the_vectors();
    for _ in 0..1000 {
        host.hear_from("192.168.1.9:40000", &vector("V-MDN-1")).unwrap();
    }
    let alone = host.sent.iter().filter(|sent| !sent.is_multicast()).count();
    assert_eq!(alone, 10);
    assert_eq!(host.mdns.stats().refused, 990);
    host.sent.clear();
    for _ in 0..100 {
        assert!(host.hear_from("8.8.8.8:40000", &vector("V-MDN-1")).is_err());
    }
    assert!(
        host.sent
            .iter()
            .all(|sent| sent.to.ip() != IpAddr::from([8, 8, 8, 8]))
    );
}

// covers: MDN-052
#[test]
fn a_host_announces_itself_twice_when_it_starts_and_when_its_addresses_change() {
    let mut host = Host::new(1);
    host.wait(Duration::from_secs(5));
    let check = |sent: &[Sent]| {
        let said: Vec<_> = sent.iter().filter(|sent| sent.is_answer()).collect();
        assert_eq!(said.len(), 2);
        assert_eq!(said[1].at.since(said[0].at), SECOND);
        for answer in said {
            let message = answer.message();
            assert_eq!(message.answers.len(), 1);
            assert!(message.additionals.iter().all(|record| record.flush));
            assert_eq!(message.additionals.len(), 3);
        }
    };
    check(&host.sent);
    host.sent.clear();
    host.mdns.set_addresses(host.now, [addr("/ip4/0.0.0.0/tcp/4002")]);
    host.wait(Duration::from_secs(5));
    check(&host.sent);
    assert!(
        host.sent[0].is_goodbye(),
        "go takes no new address from an instance that it knows"
    );
    // The same addresses again are no change.
    host.sent.clear();
    host.mdns.set_addresses(host.now, [addr("/ip4/0.0.0.0/tcp/4002")]);
    host.wait(Duration::from_secs(5));
    assert!(host.sent.iter().all(Sent::is_query));
}

// covers: MDN-054
#[test]
fn a_host_that_stops_says_goodbye_in_the_bytes_of_the_vector() {
    let mut host = Host::of_the_vectors();
    let label = host.label();
    host.sent.clear();
    host.mdns.stop(host.now);
    host.drain();
    assert_eq!(host.sent.len(), 1);
    assert_eq!(host.sent[0].bytes, under(&label, "V-MDN-5"));
    // Whoever never spoke has nothing to take back.
    let mut silent = host_at(&["/ip4/127.0.0.1/tcp/1"]);
    silent.mdns.stop(silent.now);
    silent.drain();
    assert!(silent.sent.is_empty());
    // And whoever has no addresses any more takes them back.
    let mut host = host_at(&["/ip4/0.0.0.0/tcp/1"]);
    host.mdns.set_addresses(host.now, []);
    let said = host.answers();
    assert!(said.len() == 1 && said[0].is_goodbye());
}

// covers: MDN-037
#[test]
fn all_strings_of_a_packet_name_us() {
    let other = format!("/ip4/192.168.1.1/tcp/1/p2p/{}", peer(9));
    let own = format!("/ip4/192.168.1.1/tcp/2/p2p/{}", peer(1));
    let mut host = host_at(&[&other, &own, "/ip4/192.168.1.1/tcp/3"]);
    host.hear(&vector("V-MDN-1"));
    let end = format!("/p2p/{}", peer(1));
    let answers = host.answers();
    let strings = answers[0].strings();
    assert!(strings.len() >= 2 && strings.iter().all(|text| text.ends_with(&end)));
    assert_eq!(answers[0].message().answers[0].name, name(SERVICE));
}
