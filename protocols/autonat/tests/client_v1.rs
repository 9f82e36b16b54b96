//! What a client asks with version 1, whom and when, and what it believes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_autonat::{
    ClientConfig, DIAL_REQUEST, Error, Event, Failure, V1, Verdict, Version,
    wire::v1::{Message, Status},
};
use libp2p_proto_stream_protocol::{Fact, Reachability};
use support::{MINUTE, MS, Net, SECOND, Says, addr, asking, bytes, remote};

const OURS: &str = "/ip4/203.0.113.5/tcp/4001";

fn v1_only() -> ClientConfig {
    ClientConfig {
        v2: false,
        ..ClientConfig::default()
    }
}

fn says(status: Status) -> Says {
    Says::Frames(vec![Message::answer(status, None).encode()])
}

/// A client that asks by itself, with version 1, and servers that all say this.
fn net(says: &[Says]) -> Net {
    let mut net = Net::new(v1_only(), says);
    net.seen_at(OURS);
    net
}

fn reachability(net: &mut Net) -> Vec<Reachability> {
    let events = net.events().into_iter().filter_map(|event| match event {
        Event::Reachability(reachability) => Some(reachability),
        _ => None,
    });
    events.collect()
}

// covers: AN-025, AN-029, AN-032
#[test]
fn after_a_quarter_of_a_minute_four_servers_are_asked_and_then_it_is_known() {
    let mut net = net(&vec![Says::Reached; 6]);
    net.run(14 * SECOND);
    assert!(net.times().is_empty());
    net.run(2 * SECOND);
    assert_eq!(net.times(), [15; 4]);
    assert_eq!(reachability(&mut net), [Reachability::Public]);
    assert!(
        net.bench
            .facts(0)
            .contains(&Fact::Reachability(Reachability::Public))
    );
    // Known: one more, a quarter of an hour later.
    net.run(14 * MINUTE);
    assert_eq!(net.times().len(), 4);
    net.run(3 * MINUTE);
    assert_eq!(net.times().len(), 5);
}

// covers: AN-025, AN-027
#[test]
fn while_it_is_not_known_the_same_server_is_asked_every_minute_and_a_half_at_most() {
    let mut net = net(&[says(Status::InternalError)]);
    net.run(10 * MINUTE);
    let times = net.times();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 90), "{times:?}");
    assert!(times.len() >= 5, "{times:?}");
}

// covers: AN-026
#[test]
fn only_direct_peers_that_say_that_they_serve_are_asked() {
    let mut net = net(&[Says::Reached, Says::Reached]);
    net.offer(1, &[DIAL_REQUEST]);
    net.offer(2, &[]);
    net.run(5 * MINUTE);
    assert_eq!(net.counts(), [0, 0]);
    let mut net = Net::at(asking(v1_only()), &[Says::Reached], &[]);
    net.bench.connect_with(0, 1, true);
    net.offer(1, &[V1]);
    net.seen_at(OURS);
    net.run(5 * MINUTE);
    assert_eq!(net.counts(), [0]);
}

// covers: AN-028
#[test]
fn who_dialed_us_is_asked_only_if_there_is_nobody_else() {
    let config = ClientConfig {
        quorum: 1,
        margin: 0,
        retry: SECOND,
        ..v1_only()
    };
    let mut net = Net::at(
        asking(config),
        &[says(Status::InternalError), says(Status::InternalError)],
        &[],
    );
    net.bench.connect_from(0, 2, addr(&remote(2)));
    net.bench.connect(1, 0);
    net.seen_at(OURS);
    net.run(16 * SECOND);
    assert_eq!(net.counts(), [0, 1]);
    net.run(2 * SECOND);
    // With nobody else left, the one that dialed us has its turn.
    assert_eq!(net.counts(), [1, 1]);
}

#[test]
fn a_server_is_asked_on_the_connection_that_we_dialed_and_not_on_a_dial_back() {
    let config = ClientConfig {
        automatic: false,
        ..v1_only()
    };
    let mut net = Net::at(asking(config), &[Says::Reached], &[]);
    // Whichever the swarm prefers.
    net.bench.connect(1, 0);
    let dialed = net.bench.connect_from(0, 1, addr(&remote(1)));
    net.bench.connect(1, 0);
    net.offer(1, &[V1]);
    net.client
        .ask(Some(net.peer(1)), Version::V1, vec![addr(OURS)])
        .unwrap();
    net.run(SECOND);
    assert_eq!(net.servers[0].opened().conn, dialed);
}

// covers: AN-031, AN-032
#[test]
fn a_refusal_says_nothing_and_another_server_is_asked_soon() {
    let config = ClientConfig {
        quorum: 1,
        margin: 0,
        ..v1_only()
    };
    let refusals = [
        Status::DialRefused,
        Status::BadRequest,
        Status::InternalError,
        Status::Unknown(150),
        Status::DialRefused,
        Status::DialRefused,
    ];
    let mut net = Net::new(config, &refusals.map(says));
    net.seen_at(OURS);
    net.run(15 * SECOND + 200 * MS);
    assert_eq!(net.times(), [15]);
    net.run(12 * SECOND);
    assert_eq!(net.times(), [15, 17, 19, 21, 23, 25]);
    net.run(10 * MINUTE);
    assert_eq!(net.client.reachability(), Reachability::Unknown);
    assert_eq!(net.client.voices(), (0, 0));
}

// covers: AN-009, AN-031
#[test]
fn an_unknown_status_and_a_stream_that_ends_change_nothing() {
    for says in [
        says(Status::Unknown(150)),
        Says::Frames(vec![]),
        Says::Frames(vec![vec![0xff]]),
        Says::Nothing,
    ] {
        let mut net = net(&vec![says; 6]);
        net.run(2 * MINUTE);
        assert_eq!(net.client.voices(), (0, 0));
        assert_eq!(reachability(&mut net), []);
    }
}

// covers: AN-033, VUL-146
#[test]
fn the_address_of_an_answer_is_taken_only_if_we_asked_about_it() {
    let answer = |text| {
        Says::Frames(vec![
            Message::answer(Status::Ok, Some(bytes(&addr(text)))).encode(),
        ])
    };
    let mut net = Net::manual(&[
        answer("/ip4/9.9.9.9/tcp/1"),
        answer(OURS),
        answer("/ip4/198.51.100.7/tcp/4001"),
    ]);
    let mut verdicts = Vec::new();
    for index in 1..=3 {
        let server = net.peer(index);
        net.client
            .ask(Some(server), Version::V1, vec![addr(OURS)])
            .unwrap();
        net.run(SECOND);
        let events = net.events();
        let [
            Event::Answered {
                result: Ok(verdict), ..
            },
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        verdicts.push(verdict.addr.clone());
    }
    // The last one is ours at another IP address: what a NAT makes of it.
    assert_eq!(
        verdicts,
        [None, Some(addr(OURS)), Some(addr("/ip4/198.51.100.7/tcp/4001"))]
    );
    let told = |fact: &Fact| {
        matches!(
            fact,
            Fact::ExternalAddress { .. } | Fact::AddressReachability { .. }
        )
    };
    assert!(!net.bench.facts(0).iter().any(told));
}

// covers: AN-034
#[test]
fn servers_of_one_network_have_one_voice() {
    let remotes: Vec<_> = (1..=8)
        .map(|index| format!("/ip4/203.0.{index}.1/tcp/1"))
        .collect();
    let mut net = Net::at(asking(v1_only()), &vec![Says::Reached; 8], &remotes);
    net.seen_at(OURS);
    for index in 1..=8 {
        let server = net.peer(index);
        net.client.ask(Some(server), Version::V1, vec![]).unwrap();
    }
    net.run(MINUTE);
    assert_eq!(net.counts().iter().sum::<usize>(), 8);
    assert_eq!(net.client.voices(), (1, 0));
    assert_eq!(net.client.reachability(), Reachability::Unknown);
}

// covers: AN-111, VUL-146
#[test]
fn liars_of_one_network_and_one_liar_among_honest_servers_do_not_decide() {
    let mut remotes: Vec<_> = (1..=3)
        .map(|index| format!("/ip4/192.0.2.{index}/tcp/1"))
        .collect();
    remotes.extend((1..=4).map(remote));
    let mut all = vec![Says::Reached; 3];
    all.extend(vec![Says::NotReached; 4]);
    let mut net = Net::at(asking(v1_only()), &all, &remotes);
    net.seen_at(OURS);
    net.run(10 * MINUTE);
    assert_eq!(net.client.reachability(), Reachability::Private);
    assert_eq!(net.client.voices(), (1, 4));
    let mut all = vec![Says::NotReached];
    all.extend(vec![Says::Reached; 4]);
    let mut net = self::net(&all);
    net.run(10 * MINUTE);
    assert_eq!(net.client.reachability(), Reachability::Public);
}

// covers: AN-005, AN-008
#[test]
fn a_question_names_us_and_fits_what_every_server_reads() {
    let mut net = Net::manual(&[Says::Reached]);
    let addrs: Vec<_> = (1..=20)
        .map(|number| addr(&format!("/dns4/{}{number}.example/tcp/4001", "n".repeat(180))))
        .collect();
    let server = net.peer(1);
    net.client.ask(Some(server), Version::V1, addrs.clone()).unwrap();
    let short = (1..=20).map(|port| addr(&format!("/ip4/203.0.113.5/tcp/{port}")));
    net.client
        .ask(Some(server), Version::V1, short.collect())
        .unwrap();
    net.run(SECOND);
    for (place, most) in [(0, 5), (1, 8)] {
        let question = &net.servers[0].asked[place].1;
        assert!(question.len() <= 1024);
        let Ok(Message::Dial { peer, addrs }) = Message::decode(question, 100) else {
            panic!("no question")
        };
        assert_eq!(peer.unwrap(), net.peer(0).as_bytes());
        assert!(addrs.len() <= most && addrs.len() >= 4, "{}", addrs.len());
    }
}

// covers: AN-025
#[test]
fn a_new_address_is_asked_about_soon() {
    let mut net = net(&vec![Says::Reached; 8]);
    net.run(MINUTE);
    assert_eq!(net.client.reachability(), Reachability::Public);
    let before = net.times().len();
    net.seen_at("/ip4/203.0.113.5/tcp/5001");
    net.run(3 * SECOND);
    assert!(net.times().len() > before);
}

#[test]
fn what_is_known_is_forgotten_when_nobody_says_so_any_more() {
    let mut net = net(&vec![Says::NotReached; 4]);
    net.run(MINUTE);
    assert_eq!(net.client.reachability(), Reachability::Private);
    for server in &mut net.servers {
        server.says = Says::Nothing;
    }
    net.run(200 * MINUTE);
    assert_eq!(
        reachability(&mut net),
        [Reachability::Private, Reachability::Unknown]
    );
    let told: Vec<_> = net
        .bench
        .facts(0)
        .iter()
        .filter(|fact| matches!(fact, Fact::Reachability(_)))
        .collect();
    assert_eq!(told.len(), 2);
}

#[test]
fn each_question_of_the_application_ends_once() {
    let mut net = Net::manual(&[Says::Reached]);
    let stranger = net.peer(0);
    let (v1, ours) = (Version::V1, vec![addr(OURS)]);
    let lone = net.client.ask(Some(stranger), v1, ours.clone()).unwrap();
    let good = net.client.ask(None, v1, ours.clone()).unwrap();
    net.run(SECOND);
    let ends: Vec<_> = net
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::Answered { .. }))
        .collect();
    let reached = Verdict {
        addr: None,
        reachable: true,
    };
    assert_eq!(ends.len(), 2);
    assert!(
        matches!(&ends[0], Event::Answered { question, result: Err(Failure::NoServer), .. } if *question == lone)
    );
    assert!(
        matches!(&ends[1], Event::Answered { question, result: Ok(verdict), .. } if *question == good && *verdict == reached)
    );
    for _ in 0..64 {
        net.client.ask(None, v1, ours.clone()).unwrap();
    }
    assert_eq!(
        net.client.ask(None, v1, ours.clone()),
        Err(Error::TooManyQuestions)
    );
    net.run(SECOND);
    // Room comes with reading, not with ending.
    assert_eq!(
        net.client.ask(None, v1, ours.clone()),
        Err(Error::TooManyQuestions)
    );
    assert_eq!(net.events().len(), 64);
    assert!(net.client.ask(None, v1, ours).is_ok());
}
