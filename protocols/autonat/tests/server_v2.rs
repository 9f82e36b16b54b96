//! What a server of version 2 dials, what it wants for it, and how it answers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use allocation_counter::measure;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_autonat::{
    ServerConfig,
    wire::v2::{DIAL_BACK_OK, DialBack, DialStatus, Message, ResponseStatus},
};
use libp2p_proto_core::{Side, StreamId, protobuf::encode};
use libp2p_proto_stream_protocol::{Closed, Fact, Input};
use std::collections::BTreeSet;
use support::{BACK_SPEC, MINUTE, MS, SECOND, Scene, V2_SPEC, addr, bytes, listed, serving, vector};

const LISTED: &str = "/ip4/203.0.113.5/tcp/4001";
const VICTIM: &str = "/ip4/198.51.100.9/tcp/80";

fn scene(peers: usize) -> Scene {
    Scene::new(serving(ServerConfig::default()), peers)
}

/// Where the dial back of the server arrived.
fn dial_back(scene: &Scene, peer: usize) -> Option<StreamId> {
    scene.peers[peer - 1]
        .inputs
        .iter()
        .rev()
        .find_map(|input| match input {
            Input::Opened {
                stream,
                spec: BACK_SPEC,
                ..
            } => Some(*stream),
            _ => None,
        })
}

fn wanted(scene: &Scene, peer: usize, stream: StreamId) -> u64 {
    let Some(Message::DialDataRequest { num_bytes, .. }) = scene.v2_answer(peer, stream) else {
        panic!("nothing to pay")
    };
    num_bytes
}

// covers: AN-089, AN-090, AN-099, AN-103, AN-104, AN-108
#[test]
fn an_address_of_the_same_ip_is_dialed_at_once_and_the_nonce_brought() {
    for remote in [
        "/ip4/203.0.113.5/udp/55555/quic-v1",
        "/ip6/::ffff:203.0.113.5/tcp/9",
    ] {
        let mut scene = Scene::from_addrs(serving(ServerConfig::default()), &[remote.into()]);
        let stream = scene.ask_v2(1, listed(&[LISTED]));
        let dial = scene.bench.dials(0)[0].clone();
        assert!(dial.force && dial.only && !dial.reuse_port && dial.side == Side::Dialer);
        assert_eq!(
            (dial.peer, &dial.addrs[..]),
            (Some(scene.bench.peer(1)), &[addr(LISTED)][..])
        );
        let conn = scene.succeed(1, 1);
        let back = dial_back(&scene, 1).unwrap();
        assert_eq!(back.conn, conn);
        assert_eq!(scene.frames(1, back), [DialBack { nonce: 7 }.encode()]);
        assert!(scene.finished(1, back), "the server half-closes");
        assert_eq!(
            scene.frames(1, stream).len(),
            0,
            "it waits until the nonce is taken"
        );
        scene.write(1, back, DIAL_BACK_OK.to_vec());
        scene.with(1, |cx| cx.finish(back));
        scene.run(SECOND);
        assert_eq!(scene.frames(1, stream), [vector("V-AN-8")]);
        assert!(scene.finished(1, stream));
        assert_eq!(scene.bench.set_aside(0), [conn]);
        assert!(scene.closed(1, back).is_some());
    }
}

// covers: AN-103
#[test]
fn a_silent_client_has_five_seconds_to_take_the_nonce() {
    let mut scene = scene(1);
    let stream = scene.ask_v2(1, listed(&[LISTED]));
    scene.succeed(1, 1);
    scene.run(4 * SECOND);
    assert_eq!(scene.frames(1, stream).len(), 0);
    scene.run(SECOND);
    assert_eq!(scene.frames(1, stream), [vector("V-AN-8")]);
    let back = dial_back(&scene, 1).unwrap();
    assert_eq!(
        scene.closed(1, back),
        Some(Closed::Reset),
        "so that its connection can go"
    );
}

// covers: AN-081, AN-082, AN-086, AN-105, VUL-143
#[test]
fn the_first_address_that_may_be_dialed_is_and_its_place_is_told() {
    let circuit =
        "/ip4/203.0.113.9/tcp/1/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5/p2p-circuit";
    let mut addrs = vec![Bytes::from_static(&[0xff])];
    addrs.extend(listed(&[
        "/ip4/203.0.113.5/udp/4001/quic-v1",
        "/dns4/localhost.example/tcp/22",
        "/ip4/224.0.0.1/tcp/1",
        circuit,
        LISTED,
        "/ip4/203.0.113.5/tcp/4002",
    ]));
    let mut scene = scene(2);
    let stream = scene.ask_v2(1, addrs);
    assert_eq!(scene.dialed(), [LISTED]);
    scene.fail(1);
    let (place, error) = (5, DialStatus::DialError);
    assert_eq!(scene.v2_answer(1, stream), Some(Message::dialed(place, error)));
    assert_eq!(scene.bench.dials(0).len(), 1, "and no other");
    let mut many = listed(&["/ip4/10.0.0.1/tcp/80"; 50]);
    many.extend(listed(&["/ip4/203.0.113.6/tcp/1"]));
    let stream = scene.ask_v2(2, many);
    assert_eq!(scene.frames(2, stream), [vector("V-AN-10")]);
}

// covers: AN-083, AN-084, AN-085, AN-086
#[test]
fn without_an_address_that_may_be_dialed_the_answer_says_so() {
    let mut scene = scene(1);
    let (own, up) = (addr("/ip4/198.51.100.1/tcp/4001"), true);
    scene
        .bench
        .inject(0, Input::Fact(Fact::ListenAddress { addr: own, up }));
    scene.run(SECOND);
    for refused in [
        "/ip4/10.0.0.1/tcp/80",
        "/ip4/127.0.0.1/tcp/80",
        "/ip4/198.51.100.1/tcp/22",
        "/ip6/2001:db8::1/tcp/80",
        "/dns4/example.com/tcp/443/wss",
    ] {
        let stream = scene.ask_v2(1, listed(&[refused]));
        assert_eq!(scene.frames(1, stream), [vector("V-AN-10")], "{refused}");
    }
    assert_eq!(scene.bench.dials(0).len(), 0);
}

// covers: AN-088, AN-092, AN-096
#[test]
fn another_ip_is_dialed_after_the_whole_payment_and_a_random_while() {
    let mut delays = BTreeSet::new();
    for seed in 0..12 {
        let mut scene = scene(1);
        for _ in 0..seed {
            // Other dice.
            let server = &scene.server;
            scene.bench.with(0, server, |cx| cx.rng.next_u64());
        }
        let stream = scene.ask_v2(1, listed(&[VICTIM]));
        let num_bytes = usize::try_from(wanted(&scene, 1, stream)).unwrap();
        scene.pay(1, stream, num_bytes - 1, 4000);
        scene.run(4 * SECOND);
        assert_eq!(scene.bench.dials(0).len(), 0, "one byte is missing");
        scene.pay(1, stream, 4096, 4096);
        let mut waited = Duration::ZERO;
        while scene.bench.dials(0).is_empty() {
            scene.run(50 * MS);
            waited += 50 * MS;
            assert!(waited <= 3 * SECOND);
        }
        delays.insert(waited);
        assert_eq!(scene.dialed(), [VICTIM]);
    }
    assert!(delays.len() >= 6, "{delays:?}");
}

// covers: AN-091, VUL-141
#[test]
fn the_price_is_drawn_between_thirty_and_a_hundred_thousand() {
    let config = ServerConfig {
        v2_per_minute: 10_000,
        v2_per_peer: 10_000,
        v2_with_data: 10_000,
        ..ServerConfig::default()
    };
    let mut scene = Scene::new(serving(config), 1);
    let mut prices = BTreeSet::new();
    for _ in 0..1000 {
        let stream = scene.ask_v2(1, listed(&[VICTIM]));
        let price = wanted(&scene, 1, stream);
        assert!((30_000..=100_000).contains(&price));
        prices.insert(price);
        scene.with(1, |cx| cx.reset(stream));
        scene.run(MS * 20);
        scene.peers[0].inputs.clear();
    }
    assert!(prices.len() > 900);
}

// covers: AN-093, AN-094, VUL-141
#[test]
fn what_is_no_honest_data_ends_the_question() {
    let data = |len: usize| {
        Message::DialDataResponse {
            data: vec![0; len].into(),
        }
        .encode()
    };
    let nested = |number, len: usize| {
        let part = encode(|out| out.bytes(number, &vec![0; len]));
        encode(|out| out.bytes(4, &part))
    };
    let wrong = [
        data(0),
        data(1),
        data(99),
        data(4097),
        nested(9, 4000),
        encode(|out| out.bytes(9, &[0; 4000])),
        Message::dialed(0, DialStatus::Ok).encode(),
    ];
    for (place, frame) in wrong.into_iter().enumerate() {
        let mut scene = scene(1);
        let stream = scene.ask_v2(1, listed(&[VICTIM]));
        scene.write(1, stream, frame);
        assert_eq!(scene.closed(1, stream), Some(Closed::Reset), "{place}");
        scene.run(MINUTE);
        assert_eq!((scene.bench.dials(0).len(), scene.server.census().jobs), (0, 0));
    }
}

// covers: VUL-141
#[test]
fn data_that_comes_slowly_is_in_vain() {
    let mut scene = scene(1);
    let stream = scene.ask_v2(1, listed(&[VICTIM]));
    for _ in 0..19 {
        scene.pay(1, stream, 1000, 1000);
        scene.run(500 * MS);
    }
    assert_eq!(scene.closed(1, stream), Some(Closed::Reset));
    scene.run(MINUTE);
    assert_eq!(scene.bench.dials(0).len(), 0);
}

// covers: AN-095, VUL-141
#[test]
fn data_is_counted_and_not_kept() {
    let mut scene = scene(1);
    let stream = scene.ask_v2(1, listed(&[VICTIM]));
    let frame = |len: usize| {
        Message::DialDataResponse {
            data: vec![0; len].into(),
        }
        .encode()
    };
    scene.write(1, stream, frame(1000));
    let held = measure(|| {
        for _ in 0..25 {
            scene.write(1, stream, frame(1000));
        }
        scene.peers[0].inputs.shrink_to_fit();
    });
    assert!(held.bytes_current < 4096, "{} bytes", held.bytes_current);
}

// covers: AN-097, VUL-141
#[test]
fn a_peer_has_twelve_questions_a_minute_two_at_once_and_all_of_them_sixty() {
    let mut scene = scene(6);
    let rejected = Some(Message::refusal(ResponseStatus::RequestRejected));
    let ask = |scene: &mut Scene, peer: usize| {
        let stream = scene.ask_v2(peer, listed(&["/ip4/10.0.0.1/tcp/80"]));
        scene.with(peer, |cx| cx.finish(stream));
        scene.run(MS * 20);
        scene.v2_answer(peer, stream)
    };
    let open = [scene.open(1, V2_SPEC), scene.open(1, V2_SPEC)];
    // Said before the question was read.
    let third = scene.open(1, V2_SPEC);
    assert_eq!(scene.frames(1, third), [vector("V-AN-10b")]);
    for stream in open {
        scene.with(1, |cx| cx.reset(stream));
    }
    scene.run(MS * 100);
    let answers: Vec<_> = (0..11).map(|_| ask(&mut scene, 1)).collect();
    assert_eq!(answers.iter().filter(|answer| **answer != rejected).count(), 10);
    for peer in 2..=6 {
        let served = (0..12).filter(|_| ask(&mut scene, peer) != rejected).count();
        assert_eq!(served, if peer == 6 { 0 } else { 12 });
    }
    scene.run(MINUTE);
    assert_ne!(ask(&mut scene, 6), rejected);
}

// covers: AN-097, VUL-141
#[test]
fn of_questions_that_are_to_be_paid_for_there_are_twelve_a_minute() {
    let mut scene = scene(7);
    let mut asked = 0;
    for peer in 1..=7 {
        for _ in 0..2 {
            let stream = scene.ask_v2(peer, listed(&[VICTIM]));
            asked += usize::from(matches!(
                scene.v2_answer(peer, stream),
                Some(Message::DialDataRequest { .. })
            ));
        }
    }
    assert_eq!(asked, 12);
}

// covers: AN-098
#[test]
fn one_ip_is_dialed_ten_times_a_minute_whoever_asks() {
    let config = ServerConfig {
        v2_per_minute: 10_000,
        v2_with_data: 10_000,
        dial_delay: Duration::ZERO,
        data: (100, 100),
        ..ServerConfig::default()
    };
    let mut scene = Scene::new(serving(config), 200);
    for peer in 1..=200 {
        let stream = scene.ask_v2(peer, listed(&[VICTIM]));
        scene.pay(peer, stream, 100, 100);
        scene.with(peer, |cx| cx.reset(stream));
    }
    assert_eq!(scene.bench.dials(0).len(), 10);
}

// covers: AN-100, AN-101
#[test]
fn a_dial_that_fails_or_takes_too_long_is_a_dial_error() {
    let mut scene = scene(2);
    let addrs = vec![bytes(&addr("/ip4/10.0.0.1/tcp/1")), bytes(&addr(LISTED))];
    // The swarm ends a dial at whose other end somebody else is: the named peer must be there.
    let stream = scene.ask_v2(1, addrs);
    scene.fail(1);
    assert_eq!(scene.frames(1, stream), [vector("V-AN-9")]);
    let stream = scene.ask_v2(2, listed(&["/ip4/203.0.113.6/tcp/1"]));
    scene.run(11 * SECOND);
    let answer = Message::dialed(0, DialStatus::DialError);
    assert_eq!(scene.v2_answer(2, stream), Some(answer));
    assert_eq!(scene.server.census().dials, 0);
}

// covers: AN-102
#[test]
fn who_does_not_take_the_nonce_gets_a_dial_back_error() {
    let mut scene = scene(1);
    // A peer that does not speak the dial back.
    scene.peers[0] = libp2p_proto_stream_protocol::bench::Puppet::with_specs(
        support::specs()
            .into_iter()
            .enumerate()
            .map(|(place, mut spec)| {
                spec.max_inbound = if place == usize::from(BACK_SPEC) { 0 } else { 100 };
                spec
            })
            .collect(),
    );
    let stream = scene.ask_v2(1, listed(&[LISTED]));
    scene.succeed(1, 1);
    scene.run(SECOND);
    assert_eq!(scene.frames(1, stream), [vector("V-AN-9b")]);
}

// covers: AN-106, VUL-144
#[test]
fn a_client_that_goes_at_any_step_leaves_nothing_behind() {
    for (step, how) in (0..6).flat_map(|step| [(step, false), (step, true)]) {
        let mut scene = scene(1);
        let stream = scene.open(1, V2_SPEC);
        let paid = step == 1 || step == 2;
        let target = if paid { VICTIM } else { LISTED };
        if step > 0 {
            let addrs = listed(&[target]);
            scene.write(1, stream, Message::DialRequest { addrs, nonce: 7 }.encode());
        }
        if step == 2 {
            let owed = usize::try_from(wanted(&scene, 1, stream)).unwrap();
            scene.pay(1, stream, owed, 4000);
        }
        if step >= 4 {
            scene.succeed(1, 1);
        }
        if step == 5 {
            let back = dial_back(&scene, 1).unwrap();
            scene.write(1, back, DIAL_BACK_OK.to_vec());
        }
        if how {
            scene.bench.disconnect(scene.conns[0]);
        } else {
            scene.with(1, |cx| cx.reset(stream));
        }
        scene.run(SECOND);
        let census = scene.server.census();
        assert_eq!((census.jobs, census.dials), (0, 0), "step {step}");
        scene.run(MINUTE);
        assert_eq!(scene.bench.open_streams(0), 0);
        let standing = scene
            .bench
            .with(0, &scene.server, |cx| cx.connections(cx.local).len());
        assert_eq!(standing, 0);
    }
}

// covers: AN-106
#[test]
fn a_question_that_does_not_come_is_given_up_after_fifteen_seconds() {
    let mut scene = scene(1);
    let stream = scene.open(1, V2_SPEC);
    scene.run(14 * SECOND);
    assert_eq!(scene.closed(1, stream), None);
    scene.run(2 * SECOND);
    assert_eq!(scene.closed(1, stream), Some(Closed::Reset));
    assert_eq!(scene.server.census().jobs, 0);
}

#[test]
fn a_target_that_did_not_ask_is_sent_less_than_the_asker_has_paid() {
    // A TCP handshake and the whole Noise upgrade of a dial stay below 10 kB; no dial is begun below 30 kB.
    let mut scene = scene(1);
    let stream = scene.ask_v2(1, listed(&[VICTIM]));
    let price = usize::try_from(wanted(&scene, 1, stream)).unwrap();
    assert!(price >= 30_000);
    scene.pay(1, stream, price, 4096);
    scene.run(4 * SECOND);
    assert_eq!(scene.dialed(), [VICTIM], "one dial for one payment");
}

// covers: AN-110
#[test]
fn no_question_that_is_cut_is_dialed_for() {
    let config = ServerConfig {
        v2_per_minute: 10_000,
        v2_per_peer: 10_000,
        ..ServerConfig::default()
    };
    let mut scene = Scene::new(serving(config), 1);
    let addrs = listed(&[LISTED]);
    let whole = Message::DialRequest {
        addrs,
        nonce: u64::MAX,
    }
    .encode();
    for end in 0..whole.len() {
        let stream = scene.open(1, V2_SPEC);
        scene.write(1, stream, whole[..end].to_vec());
        scene.with(1, |cx| cx.reset(stream));
        scene.run(20 * MS);
    }
    assert_eq!(scene.bench.dials(0).len(), 0);
}
