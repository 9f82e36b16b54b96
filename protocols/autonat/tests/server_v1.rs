//! What a server of version 1 dials, whom it refuses, and when it says what.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_autonat::{
    Autonat, Config, Event, Outcome, ServerConfig, V1, Version,
    wire::v1::{Message, Status},
};
use libp2p_proto_core::Side;
use libp2p_proto_stream_protocol::{Closed, Fact, Input, Reachability, Target};
use support::{MINUTE, MS, SECOND, Scene, V1_SPEC, addr, bytes, listed, serving, unhex};

const LISTED: &str = "/ip4/203.0.113.5/tcp/4001";

fn scene(peers: usize) -> Scene {
    Scene::new(serving(ServerConfig::default()), peers)
}

fn status(scene: &Scene, peer: usize, stream: libp2p_proto_core::StreamId) -> Option<Status> {
    scene.v1_answer(peer, stream).map(|(status, _)| status)
}

// covers: AN-001, AN-016, AN-018, AN-019
#[test]
fn a_peer_that_is_reached_hears_at_which_address_and_the_dial_back_is_set_aside() {
    let mut scene = scene(1);
    let stream = scene.ask_v1(1, &[LISTED]);
    let dials = scene.bench.dials(0);
    assert_eq!(dials.len(), 1);
    let dial = &dials[0];
    assert!(dial.force && dial.only && !dial.reuse_port && dial.side == Side::Dialer);
    assert_eq!(dial.peer, Some(scene.bench.peer(1)));
    // The bench takes the last address of the dial: where the question came from.
    assert_eq!(dial.addrs, [addr(LISTED), addr("/ip4/203.0.113.5/tcp/55555")]);
    let back = scene.succeed(1, 1);
    assert_eq!(
        scene.v1_answer(1, stream),
        Some((Status::Ok, Some(bytes(&addr("/ip4/203.0.113.5/tcp/55555")))))
    );
    assert!(scene.finished(1, stream));
    // The swarm closes it once nobody has a stream on it.
    assert_eq!(scene.bench.set_aside(0), [back]);
    assert_eq!(scene.bench.open_streams(0), 1, "the question's");
    let outcome = Outcome::Reached;
    assert!(
        matches!(&scene.events()[..], [Event::Served { version: Version::V1, outcome: o, .. }] if *o == outcome)
    );
}

// covers: AN-003, AN-007
#[test]
fn what_is_no_question_is_a_bad_request_or_cut_on_its_prefix() {
    let mut scene = scene(3);
    for (peer, frame) in [
        (1, unhex("0800")),
        (2, Message::answer(Status::Ok, None).encode()),
    ] {
        let stream = scene.open(peer, V1_SPEC);
        scene.write(peer, stream, frame);
        assert_eq!(status(&scene, peer, stream), Some(Status::BadRequest));
    }
    let stream = scene.open(3, V1_SPEC);
    scene.write(3, stream, vec![0; 4097]);
    assert!(scene.closed(3, stream).is_some());
    assert_eq!(scene.dialed().len(), 0);
}

// covers: AN-004, AN-005
#[test]
fn a_question_about_somebody_else_is_refused_and_one_without_an_id_is_not() {
    let mut scene = scene(2);
    let ask = |peer| {
        let addrs = listed(&[LISTED]);
        Message::Dial { peer, addrs }.encode()
    };
    let other = bytes_of(scene.bench.peer(2));
    let stream = scene.open(1, V1_SPEC);
    scene.write(1, stream, ask(Some(other.clone())));
    assert_eq!(status(&scene, 1, stream), Some(Status::BadRequest));
    assert_eq!(scene.dialed().len(), 0);
    let stream = scene.open(2, V1_SPEC);
    scene.write(2, stream, ask(Some(other)));
    assert_eq!(scene.bench.dials(0).len(), 1);
    scene.open(1, V1_SPEC);
    scene.ask_v1(1, &[LISTED]);
    // It still has a question open: one at a time.
    assert_eq!(scene.bench.dials(0).len(), 1);
}

fn bytes_of(peer: libp2p_proto_core::PeerId) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(peer.as_bytes())
}

// covers: AN-006, AN-010, AN-011, AN-012, AN-014, VUL-140
#[test]
fn only_the_ip_address_that_the_question_comes_from_is_dialed() {
    let mut scene = scene(2);
    let mut addrs = listed(&[
        "/ip4/198.51.100.9/tcp/22",
        "/ip4/10.0.0.2/tcp/4001",
        "/dns4/victim.example/tcp/443",
        "/ip4/203.0.113.9/tcp/1/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5/p2p-circuit",
        "/ip6/::ffff:198.51.100.9/tcp/80",
        "/ip4/203.0.113.5/udp/4001/quic-v1",
    ]);
    addrs.insert(0, bytes::Bytes::from_static(&[0xff]));
    let stream = scene.open(1, V1_SPEC);
    scene.write(1, stream, Message::Dial { peer: None, addrs }.encode());
    // What the adapter can't dial (here: QUIC) is left out as well.
    assert_eq!(
        scene.dialed(),
        [
            "/ip4/203.0.113.5/tcp/22",
            "/ip4/203.0.113.5/tcp/4001",
            "/ip4/203.0.113.5/tcp/80",
            "/ip4/203.0.113.5/tcp/55555",
        ]
    );
    let stream = scene.ask_v1(2, &[]);
    assert_eq!(
        scene.bench.dials(0)[1].addrs,
        [addr("/ip4/203.0.113.6/tcp/55555")]
    );
    assert_eq!(status(&scene, 2, stream), None);
}

// covers: AN-022, VUL-140
#[test]
fn of_many_addresses_sixteen_are_dialed() {
    let mut scene = scene(1);
    let addrs: Vec<_> = (1..=100)
        .map(|port| format!("/ip4/203.0.113.5/tcp/{port}"))
        .collect();
    let addrs: Vec<_> = addrs.iter().map(String::as_str).collect();
    scene.ask_v1(1, &addrs);
    assert_eq!(scene.dialed().len(), 16);
    // A second question at the same time.
    let second = scene.ask_v1(1, &[LISTED]);
    assert_eq!(status(&scene, 1, second), Some(Status::DialRefused));
    assert_eq!(scene.bench.dials(0).len(), 1);
}

// covers: AN-013, AN-087
#[test]
fn a_question_through_a_relay_is_refused() {
    let mut scene = scene(1);
    let conn = scene.bench.connect_with(0, 1, true);
    scene.run(SECOND);
    let stream = scene
        .with(1, |cx| cx.open(Target::Connection(conn), &[V1_SPEC]))
        .unwrap();
    scene.run(SECOND);
    let question = Message::Dial {
        peer: None,
        addrs: listed(&[LISTED]),
    };
    scene.write(1, stream, question.encode());
    assert_eq!(status(&scene, 1, stream), Some(Status::DialRefused));
    let stream = scene
        .with(1, |cx| cx.open(Target::Connection(conn), &[support::V2_SPEC]))
        .unwrap();
    scene.run(SECOND);
    let question = libp2p_proto_autonat::wire::v2::Message::DialRequest {
        addrs: listed(&[LISTED]),
        nonce: 7,
    };
    scene.write(1, stream, question.encode());
    assert_eq!(scene.frames(1, stream), [support::vector("V-AN-10")]);
    assert_eq!(scene.bench.dials(0).len(), 0);
}

// covers: AN-015, AN-017, AN-024
#[test]
fn who_comes_from_a_private_network_or_from_our_own_address_is_refused() {
    let remotes = [
        "/ip4/192.168.1.5/tcp/9",
        "/ip4/198.51.100.1/tcp/9",
        "/ip6/::ffff:203.0.113.7/tcp/9",
    ];
    let mut scene = Scene::from_addrs(serving(ServerConfig::default()), &remotes.map(String::from));
    let (addr, up) = (addr("/ip4/198.51.100.1/tcp/4001"), true);
    scene
        .bench
        .inject(0, Input::Fact(Fact::ListenAddress { addr, up }));
    scene.run(SECOND);
    for peer in [1, 2] {
        let stream = scene.ask_v1(peer, &[LISTED]);
        assert_eq!(status(&scene, peer, stream), Some(Status::DialRefused));
    }
    scene.ask_v1(3, &[LISTED]);
    assert_eq!(scene.dialed()[0], "/ip4/203.0.113.7/tcp/4001");
}

// covers: AN-017, AN-020
#[test]
fn a_failure_is_told_when_the_whole_time_for_the_dial_has_passed() {
    let mut scene = scene(1);
    let stream = scene.ask_v1(1, &[LISTED]);
    scene.fail(1);
    scene.run(14 * SECOND);
    assert_eq!(status(&scene, 1, stream), None);
    scene.run(SECOND);
    assert_eq!(scene.v1_answer(1, stream), Some((Status::DialError, None)));
    assert!(scene.finished(1, stream));
}

// covers: AN-017
#[test]
fn a_dial_that_does_not_end_is_cancelled_when_its_time_has_passed() {
    let mut scene = scene(1);
    let stream = scene.ask_v1(1, &[LISTED]);
    scene.run(16 * SECOND);
    assert_eq!(status(&scene, 1, stream), Some(Status::DialError));
    assert_eq!(scene.server.census().dials, 0);
    // It connects after all: nobody wants that.
    let before = scene.peers[0].inputs.len();
    scene.succeed(1, 1);
    assert!(scene.peers[0].inputs.len() > before);
    assert_eq!(status(&scene, 1, stream), Some(Status::DialError));
}

// covers: AN-021, VUL-140
#[test]
fn a_peer_has_three_questions_a_minute_and_all_of_them_thirty() {
    let mut scene = scene(12);
    for round in 0..3 {
        let stream = scene.ask_v1(1, &[LISTED]);
        assert_eq!(status(&scene, 1, stream), None, "{round}");
        scene.with(1, |cx| cx.reset(stream));
        scene.run(MS * 100);
    }
    let stream = scene.ask_v1(1, &[LISTED]);
    assert_eq!(status(&scene, 1, stream), Some(Status::DialRefused));
    scene.run(MINUTE);
    let stream = scene.ask_v1(1, &[LISTED]);
    assert_eq!(status(&scene, 1, stream), None);
    let served = (2..=12).flat_map(|peer| [peer; 3]).filter(|peer| {
        let stream = scene.ask_v1(*peer, &[LISTED]);
        let served = status(&scene, *peer, stream).is_none();
        scene.with(*peer, |cx| cx.reset(stream));
        scene.run(MS);
        served
    });
    assert_eq!(served.count(), 29);
}

// covers: AN-023, AN-107
#[test]
fn who_is_not_reachable_itself_does_not_serve() {
    let config = Config {
        client: None,
        server: Some(ServerConfig::default()),
        ..Config::default()
    };
    let mut scene = Scene::new(config, 1);
    let names = |scene: &mut Scene| {
        let server = &scene.server;
        scene.bench.with(0, server, |cx| cx.local_protocols(None))
    };
    assert_eq!(names(&mut scene), []);
    let conn = scene.conns[0];
    let stream = scene
        .with(1, |cx| cx.open(Target::Connection(conn), &[V1_SPEC]))
        .unwrap();
    scene.run(SECOND);
    assert_eq!(scene.closed(1, stream), Some(Closed::Refused));
    for (fact, serves) in [
        (Fact::Reachability(Reachability::Public), true),
        (Fact::Reachability(Reachability::Private), false),
        (Fact::Reachability(Reachability::Unknown), false),
        (
            Fact::ExternalAddress {
                addr: addr("/ip4/198.51.100.1/tcp/4001"),
                confirmed: true,
            },
            true,
        ),
    ] {
        scene.bench.inject(0, Input::Fact(fact.clone()));
        scene.run(SECOND);
        assert_eq!(names(&mut scene).len(), if serves { 2 } else { 0 }, "{fact:?}");
        assert_eq!(scene.server.is_serving(), serves);
    }
    let told: Vec<_> = scene
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::Serving(_)))
        .collect();
    assert_eq!(
        told,
        [Event::Serving(true), Event::Serving(false), Event::Serving(true)]
    );
}

// covers: VUL-144
#[test]
fn a_peer_that_goes_at_any_step_leaves_nothing_behind() {
    for step in 0..4 {
        let mut scene = scene(1);
        let stream = scene.open(1, V1_SPEC);
        if step > 0 {
            let question = Message::Dial {
                peer: None,
                addrs: listed(&[LISTED]),
            };
            scene.write(1, stream, question.encode());
        }
        match step {
            2 => scene.fail(1),
            3 => drop(scene.succeed(1, 1)),
            _ => {}
        }
        scene.bench.disconnect(scene.conns[0]);
        scene.run(SECOND);
        let census = scene.server.census();
        assert_eq!((census.jobs, census.dials), (0, 0), "step {step}");
        scene.run(2 * MINUTE);
    }
}

#[test]
fn a_configuration_out_of_range_names_its_field() {
    let config = Config {
        server: Some(ServerConfig {
            data: (5, 4),
            ..ServerConfig::default()
        }),
        ..Config::default()
    };
    let error = Autonat::new(config).unwrap_err();
    assert_eq!(error.to_string(), "data is out of range");
    assert_eq!(V1.as_str(), "/libp2p/autonat/1.0.0");
}
