//! What a client asks with version 2, what it pays, and which answers it believes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_autonat::{
    Autonat, ClientConfig, Config, DIAL_BACK, Error, Event, Failure, Verdict, Version,
    wire::v2::{DIAL_BACK_OK, DialBack, DialStatus, Message, ResponseStatus},
};
use libp2p_proto_core::{ConnectionId, Multiaddr, StreamId};
use libp2p_proto_stream_protocol::{Closed, Fact, Framing, Input, Reachability, Target};
use std::collections::BTreeSet;
use support::{BACK_SPEC, MINUTE, MS, Net, SECOND, Says, addr, unhex, vector};

const OURS: &str = "/ip4/203.0.113.5/tcp/4001";
const OTHER: &str = "/ip4/203.0.113.6/tcp/4001";
const V2: Version = Version::V2;

fn v2_only() -> ClientConfig {
    ClientConfig {
        v1: false,
        ..ClientConfig::default()
    }
}

/// Asks the server of a net about these addresses.
fn ask(net: &mut Net, addrs: &[&str]) {
    let server = net.peer(1);
    let addrs = addrs.iter().map(|text| addr(text)).collect();
    net.client.ask(Some(server), V2, addrs).unwrap();
    net.run(200 * MS);
}

fn result(net: &mut Net) -> Option<Result<Verdict, Failure>> {
    let mut ends = net.events().into_iter().filter_map(|event| match event {
        Event::Answered { result, .. } => Some(result),
        _ => None,
    });
    let end = ends.next();
    assert_eq!(ends.next(), None, "one end");
    end
}

/// What a server that says these frames, and nothing else, leads to.
fn said(addrs: &[&str], frames: &[Vec<u8>]) -> Option<Result<Verdict, Failure>> {
    let mut net = Net::manual(&[Says::Frames(frames.to_vec())]);
    ask(&mut net, addrs);
    net.run(20 * SECOND);
    assert_eq!(net.client.census().questions, 0);
    result(&mut net)
}

fn verdict(text: &str, reachable: bool) -> Verdict {
    let addr = Some(addr(text));
    Verdict { addr, reachable }
}

fn nonce_of(question: &Bytes) -> u64 {
    let Ok(Message::DialRequest { nonce, .. }) = Message::decode(question, 50) else {
        panic!("no question")
    };
    nonce
}

/// The server of a net brings this nonce on a connection, and what becomes of it.
fn bring(net: &mut Net, conn: ConnectionId, nonce: u64) -> StreamId {
    let back = net
        .bench
        .with(1, &net.servers[0], |cx| {
            cx.open(Target::Connection(conn), &[BACK_SPEC])
        })
        .unwrap();
    net.run(50 * MS);
    let frame = DialBack { nonce }.encode();
    let _refused = net.bench.with(1, &net.servers[0], |cx| cx.write(back, frame));
    net.run(50 * MS);
    back
}

fn answers(net: &Net, stream: StreamId) -> (Vec<Bytes>, bool) {
    let inputs = &net.servers[0].inputs;
    let frames = inputs.iter().filter_map(|input| match input {
        Input::Frame { stream: on, data } if *on == stream => Some(data.clone()),
        _ => None,
    });
    let reset = inputs.contains(&Input::Closed {
        stream,
        reason: Closed::Reset,
    });
    (frames.collect(), reset)
}

/// What a server sends back that has answered with `frames`: everything on its question's stream.
fn sent_to(net: &Net) -> Vec<Bytes> {
    net.servers[0]
        .asked
        .iter()
        .skip(1)
        .map(|(_, frame)| frame.clone())
        .collect()
}

// covers: AN-045, AN-049, AN-054
#[test]
fn every_question_has_a_stream_and_a_nonce_of_its_own_and_nothing_stays() {
    let mut net = Net::manual(&[Says::Frames(vec![vector("V-AN-10")])]);
    for _ in 0..1000 {
        ask(&mut net, &[OURS]);
        assert!(matches!(result(&mut net), Some(Err(Failure::Refused))));
    }
    let nonces: BTreeSet<u64> = net.servers[0]
        .asked
        .iter()
        .map(|(_, question)| nonce_of(question))
        .collect();
    assert_eq!(nonces.len(), 1000);
    assert!(!nonces.contains(&0));
    let streams: BTreeSet<_> = net.servers[0]
        .inputs
        .iter()
        .filter_map(|input| match input {
            Input::Finished { stream } => Some(*stream),
            _ => None,
        })
        .collect();
    assert_eq!(streams.len(), 1000, "each ended in order");
    net.run(10 * SECOND);
    assert_eq!((net.client.census().questions, net.bench.open_streams(0)), (0, 0));
}

// covers: AN-046, AN-048
#[test]
fn the_most_important_address_is_the_first_and_by_itself_it_asks_about_one_at_a_time() {
    let config = Config {
        client: Some(ClientConfig {
            automatic: false,
            ..v2_only()
        }),
        server: None,
        private_addrs: true,
        ..Config::default()
    };
    let mut net = Net::at(config, &[Says::Nothing], &[support::remote(1)]);
    net.listen("/ip4/10.0.0.2/tcp/4001", true);
    net.listen("/ip4/203.0.113.7/tcp/4001", true);
    net.seen_at(OURS);
    ask(&mut net, &[]);
    let Ok(Message::DialRequest { addrs, .. }) = Message::decode(&net.servers[0].asked[0].1, 50) else {
        panic!("no question")
    };
    let texts: Vec<_> = addrs
        .iter()
        .map(|bytes| Multiaddr::from_bytes(bytes.clone()).unwrap().to_string())
        .collect();
    assert_eq!(
        texts,
        [OURS, "/ip4/203.0.113.7/tcp/4001", "/ip4/10.0.0.2/tcp/4001"]
    );
    let mut net = Net::new(v2_only(), &vec![Says::Reached; 5]);
    net.seen_at(OURS);
    net.seen_at(OTHER);
    net.run(20 * SECOND);
    for server in &net.servers {
        for (_, question) in &server.asked {
            assert!(
                matches!(Message::decode(question, 50), Ok(Message::DialRequest { addrs, .. }) if addrs.len() == 1)
            );
        }
    }
}

// covers: AN-047
#[test]
fn nobody_is_asked_about_private_addresses() {
    let mut net = Net::manual(&[Says::Nothing]);
    let private = [
        "/ip4/10.0.0.1/tcp/1",
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/169.254.0.1/tcp/1",
        "/ip6/fc00::1/tcp/1",
    ];
    let addrs = private.iter().map(|text| addr(text)).collect();
    assert_eq!(net.client.ask(None, V2, addrs), Err(Error::NoAddress));
    let mut net = Net::new(v2_only(), &[Says::Reached]);
    net.listen("/ip4/10.0.0.1/tcp/1", true);
    net.run(10 * MINUTE);
    assert_eq!(net.counts(), [0]);
}

// covers: AN-043
#[test]
fn a_question_fits_what_every_server_reads() {
    let mut net = Net::manual(&[Says::Nothing]);
    let many: Vec<_> = (1..=50)
        .map(|number| format!("/dns4/{}{number}.example/tcp/4001", "n".repeat(60)))
        .collect();
    ask(&mut net, &many.iter().map(String::as_str).collect::<Vec<_>>());
    let question = &net.servers[0].asked[0].1;
    assert!(
        question.len() <= 1024 && question.len() > 900,
        "{}",
        question.len()
    );
}

// covers: AN-050, AN-112
#[test]
fn the_dial_back_is_announced_from_the_start_and_limited() {
    let client = Autonat::new(support::asking(v2_only())).unwrap();
    let specs = libp2p_proto_stream_protocol::Protocol::specs(&client);
    let back = specs.iter().find(|spec| spec.name == DIAL_BACK).unwrap();
    assert_eq!(back.max_inbound, 10);
    let mut net = Net::manual(&vec![Says::Nothing; 4]);
    let mut opened = 0;
    for index in 1..=4 {
        let conn = net.conns[index - 1];
        for _ in 0..250 {
            let server = &net.servers[index - 1];
            let back = net.bench.with(index, server, |cx| {
                cx.open(Target::Connection(conn), &[BACK_SPEC])
            });
            opened += usize::from(back.is_ok());
        }
    }
    net.run(SECOND);
    assert_eq!(opened, 1000);
    assert_eq!(net.client.census().dial_backs, 10);
    net.run(5 * SECOND);
    assert_eq!(
        (net.client.census().dial_backs, net.bench.open_streams(0)),
        (0, 0)
    );
}

// covers: AN-051
#[test]
fn a_server_that_was_asked_rests_for_two_minutes() {
    let mut net = Net::manual(&vec![Says::Nothing; 3]);
    for _ in 0..4 {
        net.client.ask(None, V2, vec![addr(OURS)]).unwrap();
        net.run(15 * SECOND);
    }
    assert_eq!(net.counts(), [1, 1, 1]);
    let last = net.events().pop();
    assert!(
        matches!(
            last,
            Some(Event::Answered {
                result: Err(Failure::NoServer),
                ..
            })
        ),
        "{last:?}"
    );
    net.run(2 * MINUTE);
    net.client.ask(None, V2, vec![addr(OURS)]).unwrap();
    net.run(SECOND);
    assert_eq!(net.times().len(), 4);
}

// covers: AN-052
#[test]
fn a_silent_server_has_fifteen_seconds() {
    let mut net = Net::manual(&[Says::Nothing]);
    ask(&mut net, &[OURS]);
    net.run(14 * SECOND);
    assert_eq!(result(&mut net), None);
    net.run(SECOND);
    assert_eq!(result(&mut net), Some(Err(Failure::NoAnswer(Closed::TimedOut))));
    assert_eq!(net.bench.open_streams(0), 0);
}

// covers: AN-042
#[test]
fn a_message_is_limited_on_its_prefix() {
    let machine = Autonat::new(Config::default()).unwrap();
    let specs = libp2p_proto_stream_protocol::Protocol::specs(&machine);
    let framings: Vec<_> = specs.iter().map(|spec| spec.framing).collect();
    assert_eq!(
        framings,
        [4096, 8192, 1024].map(|max| Framing::LengthDelimited { max })
    );
    // The framing refuses on the prefix.
    assert_eq!(
        said(&[OURS], &[vec![0; 8193]]),
        Some(Err(Failure::NoAnswer(Closed::FrameTooLarge)))
    );
}

// covers: AN-053
#[test]
fn an_answer_before_the_question_is_an_answer() {
    let mut client = Autonat::new(support::asking(v2_only())).unwrap();
    let mut bench = libp2p_proto_stream_protocol::bench::Bench::new(1, 2, MS);
    let conn = bench.connect_from(0, 1, addr(&support::remote(1)));
    let mut other = support::Script::new(Says::Nothing);
    bench.run(&mut [&mut client, &mut other], SECOND);
    let server = bench.peer(1);
    client.ask(Some(server), V2, vec![addr(OURS)]).unwrap();
    let stream = StreamId::ours(conn, 0);
    // The command is begun, and nothing of it has left.
    bench.with(0, &Autonat::new(support::asking(v2_only())).unwrap(), |cx| {
        use libp2p_proto_stream_protocol::Protocol as _;
        client.handle(cx, Input::Timeout);
        let data = vector("V-AN-10b").into();
        client.handle(cx, Input::Frame { stream, data });
    });
    let end = client.poll_event();
    assert!(
        matches!(
            end,
            Some(Event::Answered {
                result: Err(Failure::Rejected),
                ..
            })
        ),
        "{end:?}"
    );
}

// covers: AN-055
#[test]
fn the_first_answer_counts() {
    let frames = [
        vector("V-AN-9b"),
        Message::dialed(0, DialStatus::DialError).encode(),
    ];
    assert_eq!(said(&[OURS], &frames), Some(Err(Failure::Unproven)));
    let frames = [
        Message::dialed(0, DialStatus::DialError).encode(),
        vector("V-AN-10"),
    ];
    assert_eq!(said(&[OURS], &frames), Some(Ok(verdict(OURS, false))));
}

// covers: AN-041, AN-072, AN-073, AN-074, VUL-143
#[test]
fn only_an_answer_about_an_address_of_the_question_is_a_verdict() {
    assert_eq!(
        said(&[OTHER, OURS], &[vector("V-AN-9")]),
        Some(Ok(verdict(OURS, false)))
    );
    for (frame, failure) in [
        (vector("V-AN-10"), Failure::Refused),
        (vector("V-AN-10b"), Failure::Rejected),
        (vector("V-AN-11"), Failure::ServerFailed),
        (vector("V-AN-9"), Failure::BadAnswer),
        (unhex("120308c801"), Failure::BadAnswer),
        (
            Message::refusal(ResponseStatus::Unknown(150)).encode(),
            Failure::BadAnswer,
        ),
        (
            Message::dialed(0, DialStatus::Unknown(7)).encode(),
            Failure::BadAnswer,
        ),
        (
            Message::dialed(u32::MAX, DialStatus::Ok).encode(),
            Failure::BadAnswer,
        ),
        (
            unhex("121108c80110ffffffffffffffffff0118c801"),
            Failure::BadAnswer,
        ),
        (vector("V-AN-5"), Failure::BadAnswer),
        (vec![], Failure::BadAnswer),
    ] {
        assert_eq!(
            said(&[OURS], core::slice::from_ref(&frame)),
            Some(Err(failure)),
            "{frame:02x?}"
        );
    }
}

// covers: AN-056, AN-057, AN-058, AN-063, VUL-143
#[test]
fn what_may_not_be_asked_for_is_not_paid() {
    let demand = |addr_idx, num_bytes| Message::DialDataRequest { addr_idx, num_bytes }.encode();
    for (frames, failure) in [
        (vec![demand(0, 100_001)], Failure::TooCostly),
        (vec![demand(0, u64::MAX)], Failure::TooCostly),
        (vec![demand(5, 30_000)], Failure::BadAnswer),
        (vec![demand(0, 100), demand(0, 100)], Failure::BadAnswer),
    ] {
        let mut net = Net::manual(&[Says::Frames(frames.clone())]);
        ask(&mut net, &[OURS, OTHER]);
        net.run(SECOND);
        assert_eq!(result(&mut net), Some(Err(failure)), "{frames:02x?}");
        let paid: usize = sent_to(&net).iter().map(Bytes::len).sum();
        assert!(paid <= 200, "{paid} bytes");
    }
    let config = ClientConfig {
        automatic: false,
        pay: |addr| addr.to_string() == OTHER,
        ..v2_only()
    };
    let mut net = Net::new(config, &[Says::Frames(vec![demand(0, 30_000)])]);
    ask(&mut net, &[OURS]);
    assert_eq!(result(&mut net), Some(Err(Failure::TooCostly)));
    assert_eq!(sent_to(&net), [] as [Bytes; 0]);
}

// covers: AN-059, AN-060, AN-062
#[test]
fn a_payment_is_exact_in_messages_that_every_server_takes() {
    for (num_bytes, sizes) in [
        (50_000, [vec![4000; 12], vec![2000]].concat()),
        (1000, vec![1000]),
        (0, vec![]),
    ] {
        let demand = Message::DialDataRequest {
            addr_idx: 0,
            num_bytes,
        }
        .encode();
        let config = ClientConfig {
            automatic: false,
            pay: |addr| addr.to_string() == OURS,
            ..v2_only()
        };
        let mut net = Net::new(config, &[Says::Nothing]);
        ask(&mut net, &[OURS]);
        let asked = net.servers[0].opened();
        net.bench
            .with(1, &net.servers[0], |cx| cx.write(asked, demand))
            .unwrap();
        net.run(2 * SECOND);
        let paid: Vec<usize> = sent_to(&net)
            .into_iter()
            .map(|frame| match Message::decode(&frame, 0) {
                Ok(Message::DialDataResponse { data }) => data.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(paid, sizes);
    }
}

// covers: AN-064
#[test]
fn all_servers_together_get_a_million_bytes_in_ten_minutes() {
    let demand = Message::DialDataRequest {
        addr_idx: 0,
        num_bytes: 100_000,
    };
    let mut net = Net::manual(&[Says::Frames(vec![demand.encode()])]);
    let mut refused = 0;
    for _ in 0..100 {
        ask(&mut net, &[OURS]);
        net.run(2 * SECOND);
        refused += usize::from(result(&mut net) == Some(Err(Failure::TooCostly)));
    }
    assert_eq!(refused, 90);
}

// covers: AN-065, AN-066, AN-067, AN-069
#[test]
fn the_nonce_of_a_question_is_taken_once_whoever_brings_it() {
    let mut net = Net::manual(&[Says::Nothing]);
    ask(&mut net, &[OURS]);
    let nonce = nonce_of(&net.servers[0].asked[0].1);
    let conn = net.conns[0];
    for wrong in [0, nonce.wrapping_add(1)] {
        let back = bring(&mut net, conn, wrong);
        assert_eq!(answers(&net, back), (vec![], true));
    }
    let back = bring(&mut net, conn, nonce);
    assert_eq!(answers(&net, back), (vec![Bytes::from(DIAL_BACK_OK)], false));
    let back = bring(&mut net, conn, nonce);
    assert_eq!(answers(&net, back), (vec![], true));
    let asked = net.servers[0].opened();
    net.bench
        .with(1, &net.servers[0], |cx| cx.write(asked, vector("V-AN-8")))
        .unwrap();
    net.run(SECOND);
    assert_eq!(result(&mut net), Some(Ok(verdict(OURS, true))));
}

// covers: AN-069, AN-070
#[test]
fn an_answer_waits_five_seconds_for_its_nonce() {
    for (wait, wanted) in [
        (2, Some(Ok(verdict(OURS, true)))),
        (6, Some(Err(Failure::Unproven))),
    ] {
        let mut net = Net::manual(&[Says::Frames(vec![vector("V-AN-8")])]);
        ask(&mut net, &[OURS]);
        net.run(wait * SECOND);
        let nonce = nonce_of(&net.servers[0].asked[0].1);
        let conn = net.conns[0];
        bring(&mut net, conn, nonce);
        assert_eq!(result(&mut net), wanted);
    }
}

// covers: AN-071
#[test]
fn a_dial_back_error_counts_only_if_the_nonce_came_all_the_same() {
    assert_eq!(said(&[OURS], &[vector("V-AN-9b")]), Some(Err(Failure::Unproven)));
    let mut net = Net::manual(&[Says::Nothing]);
    ask(&mut net, &[OURS]);
    let (conn, nonce) = (net.conns[0], nonce_of(&net.servers[0].asked[0].1));
    bring(&mut net, conn, nonce);
    let asked = net.servers[0].opened();
    net.bench
        .with(1, &net.servers[0], |cx| cx.write(asked, vector("V-AN-9b")))
        .unwrap();
    net.run(SECOND);
    assert_eq!(result(&mut net), Some(Ok(verdict(OURS, true))));
}

/// What becomes of a question about `tested` whose nonce comes in at `local`.
fn came_in_at(tested: &str, local: Option<&str>) -> Option<Result<Verdict, Failure>> {
    let mut net = Net::manual(&[Says::Nothing]);
    ask(&mut net, &[tested]);
    let nonce = nonce_of(&net.servers[0].asked[0].1);
    let conn = net.bench.connect(1, 0);
    net.bench.set_local(0, conn, local.map(addr));
    net.run(MS);
    bring(&mut net, conn, nonce);
    let asked = net.servers[0].opened();
    net.bench
        .with(1, &net.servers[0], |cx| cx.write(asked, vector("V-AN-8")))
        .unwrap();
    net.run(6 * SECOND);
    result(&mut net)
}

// covers: AN-068, AN-069
#[test]
fn the_nonce_has_to_come_in_at_an_address_of_the_same_kind() {
    for (tested, local) in [
        (OURS, "/ip4/10.0.0.2/tcp/9999"),
        ("/dns4/x.example/tcp/443/wss", "/ip4/10.0.0.2/tcp/8443/tls/ws"),
        (
            "/dns/x.example/tcp/443/tls/sni/x.example/ws",
            "/ip6/2001:db8::1/tcp/8443/tls/ws",
        ),
        ("/dns6/x.example/tcp/1", "/ip6/2001:db8::1/tcp/2"),
    ] {
        assert_eq!(
            came_in_at(tested, Some(local)),
            Some(Ok(verdict(tested, true))),
            "{tested} at {local}"
        );
    }
    for (tested, local) in [
        ("/ip4/203.0.113.5/udp/4001/quic-v1", "/ip4/10.0.0.2/tcp/4001"),
        (OURS, "/ip6/2001:db8::1/tcp/4001"),
        ("/dns4/x.example/tcp/1", "/ip6/2001:db8::1/tcp/2"),
        ("/ip4/203.0.113.5/tcp/1/ws", "/ip4/10.0.0.2/tcp/4001"),
    ] {
        assert_eq!(
            came_in_at(tested, Some(local)),
            Some(Err(Failure::Unproven)),
            "{tested} at {local}"
        );
    }
    assert_eq!(came_in_at(OURS, None), Some(Err(Failure::Unproven)));
}

// covers: AN-075, AN-078, AN-079
#[test]
fn four_servers_of_different_networks_decide_about_an_address() {
    let mut net = Net::new(v2_only(), &vec![Says::Reached; 3]);
    net.seen_at(OURS);
    net.run(5 * MINUTE);
    assert_eq!(
        net.client.addresses().next(),
        Some((&addr(OURS), Reachability::Unknown))
    );
    assert!(net.counts().iter().all(|count| *count > 0));
    let mut net = Net::new(v2_only(), &vec![Says::Reached; 4]);
    net.seen_at(OURS);
    net.run(MINUTE);
    let changes: Vec<_> = net
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::Address { .. } | Event::Reachability(_)))
        .collect();
    let (addr, reachability) = (addr(OURS), Reachability::Public);
    assert_eq!(
        changes,
        [
            Event::Address {
                addr: addr.clone(),
                reachability
            },
            Event::Reachability(reachability)
        ]
    );
    let told = net.bench.facts(0);
    assert!(told.contains(&Fact::AddressReachability { addr, reachability }));
    assert!(told.contains(&Fact::Reachability(reachability)));
}

// covers: AN-078
#[test]
fn one_server_has_one_voice_however_often_it_speaks() {
    let mut net = Net::new(v2_only(), &[Says::NotReached]);
    net.seen_at(OURS);
    for _ in 0..5 {
        ask(&mut net, &[OURS]);
    }
    net.run(10 * MINUTE);
    assert!(net.counts()[0] >= 6);
    assert_eq!(net.client.reachability(), Reachability::Unknown);
}

// covers: AN-111, VUL-146
#[test]
fn one_liar_among_four_honest_servers_is_outvoted() {
    for (liar, honest, wanted) in [
        (Says::NotReached, Says::Reached, Reachability::Public),
        (
            Says::Frames(vec![vector("V-AN-8")]),
            Says::NotReached,
            Reachability::Private,
        ),
        (Says::Nothing, Says::Reached, Reachability::Public),
        (
            Says::Frames(vec![vector("V-AN-9")]),
            Says::Reached,
            Reachability::Public,
        ),
        (
            Says::Frames(vec![
                Message::DialDataRequest {
                    addr_idx: 0,
                    num_bytes: 100_000,
                }
                .encode(),
            ]),
            Says::NotReached,
            Reachability::Private,
        ),
    ] {
        let mut all = vec![honest; 4];
        all.insert(0, liar.clone());
        let mut net = Net::new(v2_only(), &all);
        net.seen_at(OURS);
        net.run(10 * MINUTE);
        assert_eq!(net.client.reachability(), wanted, "{liar:?}");
    }
}

#[test]
fn an_address_that_is_private_is_told_and_one_that_goes_is_taken_back() {
    let mut net = Net::new(v2_only(), &vec![Says::NotReached; 4]);
    net.listen(OURS, true);
    net.run(MINUTE);
    let fact = |reachability| {
        let addr = addr(OURS);
        Fact::AddressReachability { addr, reachability }
    };
    assert!(net.bench.facts(0).contains(&fact(Reachability::Private)));
    net.bench.take_facts(0);
    net.listen(OURS, false);
    net.run(SECOND);
    assert_eq!(
        net.bench.facts(0),
        [
            fact(Reachability::Unknown),
            Fact::Reachability(Reachability::Unknown)
        ]
    );
}

// covers: COR-123
#[test]
fn what_a_record_says_is_no_address_of_ours() {
    let mut net = Net::new(v2_only(), &vec![Says::Reached; 5]);
    for peer in [net.peer(0), net.peer(1)] {
        let (addrs, certified) = ([addr(OURS)].into(), true);
        let fact = Fact::PeerAddresses {
            peer,
            addrs,
            certified,
        };
        net.bench.inject(0, Input::Fact(fact));
    }
    net.run(MINUTE);
    assert_eq!((net.client.addresses().count(), net.times().len()), (0, 0));
    assert_eq!(net.client.reachability(), Reachability::Unknown);
}

// covers: AN-080
#[test]
fn a_new_address_is_asked_about_within_seconds() {
    let mut net = Net::new(v2_only(), &vec![Says::Reached; 5]);
    net.run(MINUTE);
    assert!(net.times().is_empty());
    net.seen_at(OURS);
    net.run(2 * SECOND + 100 * MS);
    assert!(net.times().len() >= 4, "{:?}", net.times());
}

// covers: AN-035
#[test]
fn nobody_is_asked_while_our_own_limits_would_refuse_the_dial_back() {
    let mut net = Net::new(v2_only(), &vec![Says::Reached; 5]);
    net.bench.set_inbound_room(0, 1);
    net.seen_at(OURS);
    net.run(10 * MINUTE);
    assert!(net.times().is_empty());
    ask(&mut net, &[OURS]);
    assert_eq!(result(&mut net), Some(Err(Failure::NoRoom)));
    net.bench.set_inbound_room(0, 2);
    net.run(5 * MINUTE);
    assert!(net.times().len() >= 4);
    assert_eq!(net.client.reachability(), Reachability::Public);
}

#[test]
fn an_address_that_nobody_wants_to_dial_rests() {
    let mut net = Net::new(v2_only(), &vec![Says::Frames(vec![vector("V-AN-10")]); 8]);
    net.seen_at(OURS);
    net.run(MINUTE);
    let before = net.times().len();
    assert!((5..=8).contains(&before), "{before}");
    net.run(8 * MINUTE);
    assert_eq!(net.times().len(), before);
}

// covers: VUL-142
#[test]
fn wrong_nonces_are_dropped_one_after_the_other() {
    let mut net = Net::manual(&[Says::Nothing]);
    ask(&mut net, &[OURS]);
    let conn = net.conns[0];
    for nonce in 0..1000 {
        let back = bring(&mut net, conn, nonce);
        assert_eq!(answers(&net, back), (vec![], true));
        net.servers[0].inputs.clear();
    }
    assert_eq!(net.client.census().dial_backs, 0);
    // Without a nonce, and with a message that is none.
    for frame in [vec![], vec![0xff]] {
        let back = net
            .bench
            .with(1, &net.servers[0], |cx| {
                cx.open(Target::Connection(conn), &[BACK_SPEC])
            })
            .unwrap();
        net.run(50 * MS);
        net.bench
            .with(1, &net.servers[0], |cx| cx.write(back, frame))
            .unwrap();
        net.run(50 * MS);
        assert!(answers(&net, back).1);
    }
}

// covers: AN-113
#[test]
fn nobody_guesses_a_nonce() {
    let mut net = Net::manual(&[Says::Nothing]);
    let server = net.peer(1);
    for _ in 0..64 {
        net.client.ask(Some(server), V2, vec![addr(OURS)]).unwrap();
    }
    assert_eq!(
        net.client.ask(Some(server), V2, vec![addr(OURS)]),
        Err(Error::TooManyQuestions)
    );
    net.run(SECOND);
    let nonces: BTreeSet<u64> = net.servers[0]
        .asked
        .iter()
        .map(|(_, question)| nonce_of(question))
        .collect();
    assert_eq!(nonces.len(), 64);
    let mut guess = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..1_000_000 {
        guess = guess.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        assert!(!nonces.contains(&guess));
    }
}

// covers: VUL-144
#[test]
fn a_server_that_goes_at_any_step_ends_the_question_once() {
    for step in 0..4 {
        let mut net = Net::manual(&[Says::Nothing]);
        let server = net.peer(1);
        net.client.ask(Some(server), V2, vec![addr(OURS)]).unwrap();
        net.run(Duration::from_millis([0, 5, 25, 200][step]));
        if step == 3 {
            let asked = net.servers[0].opened();
            net.bench
                .with(1, &net.servers[0], |cx| cx.write(asked, vector("V-AN-6")))
                .unwrap();
            net.run(15 * MS);
        }
        net.bench.disconnect(net.conns[0]);
        net.run(MINUTE);
        assert!(matches!(result(&mut net), Some(Err(_))), "step {step}");
        assert_eq!(net.client.census().questions, 0);
    }
}
