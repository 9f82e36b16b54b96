//! What is asked, and when.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::Instant;
use libp2p_proto_mdns::{Config, Data, Error, Family, Interface, Mdns, Message, class, kind};
use support::{Host, SECOND, answer_of, lan, millis, name, peer, pointer, query, question, vector};

/// When questions were sent.
fn queries(host: &Host) -> Vec<Instant> {
    let sent = host.sent.iter().filter(|sent| sent.is_query());
    sent.map(|sent| sent.at).collect()
}

fn gaps(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1].since(pair[0])).collect()
}

// covers: MDN-001, MDN-017, MDN-020, MDN-023
#[test]
fn a_host_that_starts_asks_at_once_in_the_bytes_of_the_vector() {
    let mut host = Host::new(1);
    host.wait(Duration::from_millis(250));
    let first = &host.sent.iter().find(|sent| sent.is_query()).unwrap();
    assert_eq!(first.bytes, vector("V-MDN-1"));
    assert_eq!(first.to, "224.0.0.251:5353".parse().unwrap());
    assert!(first.message().authorities.is_empty());
}

// covers: MDN-018, MDN-019
#[test]
fn questions_begin_fast_and_slow_down_to_one_a_minute() {
    let mut host = Host::new(1);
    host.wait(Duration::from_secs(600));
    let times = queries(&host);
    assert!(times[0] <= millis(1250), "the first comes at once");
    let gaps = gaps(&times);
    assert!(gaps.iter().all(|gap| *gap >= SECOND), "{gaps:?}");
    for (step, gap) in gaps.iter().enumerate() {
        let pause = Duration::from_secs((1 << step.min(6)).min(60));
        assert!(*gap >= pause && *gap <= pause.mul_f64(1.2), "gap {step}: {gap:?}");
    }
    assert!(gaps.len() >= 12, "{gaps:?}");
}

// covers: MDN-019, MDN-078
#[test]
fn an_interface_that_flaps_makes_us_ask_no_more_than_once_a_second() {
    let mut host = Host::new(1);
    for _ in 0..100 {
        host.mdns.handle_interface_down(host.now, 1);
        host.wait(Duration::from_millis(20));
        host.mdns.handle_interface(host.now, lan(1)).unwrap();
        host.wait(Duration::from_millis(20));
    }
    host.wait(SECOND);
    let times = queries(&host);
    assert!((3..=6).contains(&times.len()), "{times:?}");
    assert!(gaps(&times).iter().all(|gap| *gap >= SECOND));
    let said: Vec<_> = host.sent.iter().filter(|sent| sent.is_answer()).collect();
    let times: Vec<_> = said.iter().map(|sent| sent.at).collect();
    assert!(gaps(&times).iter().all(|gap| *gap >= SECOND), "{times:?}");
}

// covers: MDN-019
#[test]
fn stopping_and_starting_makes_us_ask_no_more_than_once_a_second() {
    let mut host = Host::new(1);
    for _ in 0..100 {
        host.mdns.stop(host.now);
        host.wait(Duration::from_millis(10));
        host.mdns.start(host.now);
        host.wait(Duration::from_millis(30));
    }
    host.wait(SECOND);
    let times = queries(&host);
    assert!((3..=6).contains(&times.len()), "{times:?}");
    assert!(gaps(&times).iter().all(|gap| *gap >= SECOND), "{times:?}");
}

// covers: MDN-020, MDN-078
#[test]
fn every_interface_and_family_is_asked_and_a_new_one_at_once() {
    let mut host = Host::new(1);
    host.wait(Duration::from_secs(100));
    host.sent.clear();
    let both = Interface {
        id: 7,
        addrs: vec![([10, 0, 0, 1].into(), 8), ("fe80::1".parse().unwrap(), 64)],
        families: vec![Family::Ip4, Family::Ip6],
    };
    host.mdns.handle_interface(host.now, both).unwrap();
    host.wait(Duration::from_millis(250));
    let mut asked: Vec<_> = host
        .sent
        .iter()
        .filter(|sent| sent.is_query())
        .map(|sent| (sent.interface, sent.to.to_string()))
        .collect();
    asked.sort();
    assert_eq!(
        asked,
        [
            (7, String::from("224.0.0.251:5353")),
            (7, String::from("[ff02::fb%7]:5353"))
        ]
    );
}

// covers: MDN-021
#[test]
fn those_who_are_known_for_half_of_their_life_to_come_are_listed() {
    let mut host = Host::new(1);
    for number in [10, 11, 12] {
        host.hear(&answer_of(number, 1000, &["/ip4/192.168.1.9/tcp/1"]).encode());
    }
    host.hear(&answer_of(13, 12, &["/ip4/192.168.1.9/tcp/1"]).encode());
    host.wait(Duration::from_secs(14));
    let last = host.sent.iter().rfind(|sent| sent.is_query()).unwrap();
    let message = last.message();
    assert_eq!(message.questions, [question("_p2p._udp.local", kind::PTR)]);
    let mut known: Vec<_> = message.answers.iter().map(|record| &record.data).collect();
    known.sort_by_key(|data| format!("{data:?}"));
    let expected = [10, 11, 12].map(|number| Data::Ptr(name(&format!("instance{number}._p2p._udp.local"))));
    assert_eq!(known, expected.iter().collect::<Vec<_>>());
    for record in &message.answers {
        assert!(!record.flush && record.class == class::IN);
        assert!((985..1000).contains(&record.ttl), "{}", record.ttl);
    }
}

// covers: MDN-021, MDN-015
#[test]
fn those_who_do_not_fit_come_in_packets_of_their_own_and_the_first_ones_say_so() {
    let config = Config {
        max_per_source: 200,
        max_known: 500,
        ..Config::default()
    };
    let mut host = Host::with(1, config);
    for number in 10..70 {
        host.hear(&answer_of(number, 1000, &["/ip4/192.168.1.9/tcp/1"]).encode());
    }
    host.wait(Duration::from_secs(100));
    let at = queries(&host).pop().unwrap();
    let packets: Vec<Message> = host
        .sent
        .iter()
        .filter(|sent| sent.at == at && sent.is_query())
        .map(|sent| {
            assert!(sent.bytes.len() <= 1440);
            sent.message()
        })
        .collect();
    assert!(packets.len() > 1);
    let counts: Vec<_> = packets.iter().map(|packet| packet.questions.len()).collect();
    assert_eq!((counts[0], counts[1..].iter().sum::<usize>()), (1, 0));
    let more: Vec<_> = packets.iter().map(|packet| packet.truncated).collect();
    assert!(more[..more.len() - 1].iter().all(|more| *more) && !more[more.len() - 1]);
    assert_eq!(
        packets.iter().map(|packet| packet.answers.len()).sum::<usize>(),
        60
    );
}

// covers: MDN-024
#[test]
fn a_question_that_somebody_else_asks_is_put_off_but_not_for_ever() {
    let alone = |others: bool| {
        let mut host = Host::new(1);
        host.wait(Duration::from_secs(40));
        host.sent.clear();
        for _ in 0..1000 {
            if others {
                host.hear(&vector("V-MDN-1"));
            }
            host.wait(Duration::from_millis(100));
        }
        let times = queries(&host);
        (times[0], times.len())
    };
    let ((first, count), (later, still)) = (alone(false), alone(true));
    assert!(later > first);
    assert!(still >= count - 1 && still > 0, "{still} of {count}");
    // Our own question comes back to us by the loop of the link; it puts nothing off.
    let mut host = Host::new(1);
    host.wait(Duration::from_millis(900));
    let next = host.mdns.poll_timeout();
    host.hear_from("192.168.1.1:5353", &vector("V-MDN-1")).unwrap();
    assert!(host.mdns.poll_timeout().unwrap().at <= next.unwrap().at);
}

// covers: MDN-066
#[test]
fn a_peer_is_asked_for_again_before_it_is_forgotten() {
    let mut host = Host::new(1);
    host.wait(Duration::from_secs(200));
    host.sent.clear();
    let heard = host.now;
    host.hear(&answer_of(10, 1000, &["/ip4/192.168.1.9/tcp/1"]).encode());
    host.wait(Duration::from_secs(1000));
    let ages: Vec<_> = queries(&host)
        .iter()
        .map(|at| at.since(heard).as_secs())
        .collect();
    for percent in [80, 85, 90, 95] {
        let span = percent * 10..=percent * 10 + 20;
        assert!(ages.iter().any(|age| span.contains(age)), "{percent}: {ages:?}");
    }
    assert_eq!(host.expired().len(), 1);
}

// covers: MDN-003
#[test]
fn a_private_network_has_a_name_of_its_own_and_answers_no_other() {
    let fingerprint = [0xab; 16];
    let config = Config::private_network(&fingerprint).unwrap();
    let service = format!("_p2p-{}._udp.local", "ab".repeat(16));
    assert_eq!(config.service, service);
    let mut host = Host::with(1, config);
    host.wait(Duration::from_secs(5));
    let asked = host.sent.iter().find(|sent| sent.is_query()).unwrap();
    assert_eq!(
        asked.message().questions[0].name.to_string(),
        format!("{service}.")
    );
    host.hear(&vector("V-MDN-1"));
    assert!(host.answers().is_empty());
    host.hear(&query(&[question(&service, kind::PTR)]));
    assert_eq!(host.answers().len(), 1);
    assert!(Config::private_network(&[0; 29]).unwrap().validate().is_ok());
    assert_eq!(Config::private_network(&[0; 30]).unwrap_err(), Error::BadName);
}

// covers: MDN-004
#[test]
fn an_application_can_keep_apart_under_a_name_of_its_own() {
    let named = |service: &str| Config {
        service: String::from(service),
        ..Config::default()
    };
    let mut host = Host::with(1, named("_my._udp.local"));
    host.wait(Duration::from_secs(5));
    host.hear(&vector("V-MDN-1"));
    assert!(host.answers().is_empty());
    host.hear(&query(&[question("_my._udp.local", kind::PTR)]));
    let answers = host.answers();
    assert_eq!(answers[0].message().answers[0].name, name("_my._udp.local"));
    for bad in ["", "a..b", &"x".repeat(64)] {
        let made = Mdns::new(peer(1), named(bad), [0; 32]);
        assert_eq!(made.unwrap_err(), Error::BadName, "{bad}");
    }
}

// covers: MDN-076
#[test]
fn nothing_is_said_or_believed_before_it_is_started_or_after_it_is_stopped() {
    let mut host = Host::off(1, Config::default());
    host.mdns.handle_interface(host.now, lan(1)).unwrap();
    host.wait(Duration::from_secs(100));
    assert!(host.hear_from("192.168.1.9:5353", &vector("V-MDN-1")).is_err());
    assert!(host.sent.is_empty() && host.mdns.poll_timeout().is_none());
    // On an interface that was not named either.
    host.mdns.start(host.now);
    host.mdns.handle_interface_down(host.now, 1);
    host.wait(Duration::from_secs(100));
    assert!(host.hear_from("192.168.1.9:5353", &vector("V-MDN-1")).is_err());
    assert!(host.sent.is_empty());
    host.mdns.handle_interface(host.now, lan(1)).unwrap();
    host.wait(SECOND);
    assert!(!host.sent.is_empty());
    host.mdns.stop(host.now);
    host.drain();
    host.sent.clear();
    host.wait(Duration::from_secs(100));
    assert!(host.sent.is_empty());
    assert!(host.hear_from("192.168.1.9:5353", &vector("V-MDN-1")).is_err());
}

#[test]
fn limits_and_times_out_of_their_range_are_refused() {
    let bad = |change: fn(&mut Config), field: &'static str| {
        let mut config = Config::default();
        change(&mut config);
        let made = Mdns::new(peer(1), config, [0; 32]);
        assert_eq!(made.unwrap_err(), Error::BadConfig(field));
    };
    bad(|config| config.ttl = Duration::ZERO, "ttl");
    bad(|config| config.ttl = Duration::from_secs(4501), "ttl");
    bad(
        |config| config.first_query = Duration::from_secs(2),
        "first_query",
    );
    bad(
        |config| config.query_pause = Duration::from_millis(999),
        "query_pause",
    );
    bad(
        |config| config.max_query_pause = Duration::ZERO,
        "max_query_pause",
    );
    bad(|config| config.max_packet = 511, "max_packet");
    bad(|config| config.max_packet = 4097, "max_packet");
    bad(|config| config.max_interfaces = 0, "max_interfaces");
    bad(|config| config.max_peers = 0, "max_peers");
    bad(|config| config.max_per_source = 0, "max_per_source");
    bad(|config| config.max_addrs = 0, "max_addrs");
    bad(|config| config.max_events = 0, "max_events");
    let mut host = Host::with(
        1,
        Config {
            max_interfaces: 1,
            ..Config::default()
        },
    );
    let other = Interface { id: 2, ..lan(1) };
    let refused = host.mdns.handle_interface(host.now, other.clone());
    assert_eq!(refused, Err(Error::TooManyInterfaces));
    let wide = Interface {
        addrs: vec![([10, 0, 0, 1].into(), 33)],
        ..other
    };
    assert_eq!(
        host.mdns.handle_interface(host.now, wide),
        Err(Error::BadConfig("addrs"))
    );
}

#[test]
fn a_name_that_is_pointed_to_is_read_whatever_its_case() {
    let mut host = Host::new(1);
    let mut message = answer_of(10, 120, &["/ip4/192.168.1.9/tcp/1"]);
    message.answers = vec![pointer("INSTANCE10._P2P._udp.local", 120)];
    host.hear(&message.encode());
    assert_eq!(host.discovered().len(), 1);
}
