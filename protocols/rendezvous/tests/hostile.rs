//! Floods, silence and memory.
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
use libp2p_proto_core::{PeerId, Rate};
use libp2p_proto_rendezvous::{Config, Message, NAME, Rendezvous};
use libp2p_proto_stream_protocol::{
    Closed, Framing, Input, Protocol, Target,
    bench::{Bench, Puppet},
};
use support::{POINT, SECOND, Scene, discover, found, identity, record, register, registration};

fn unlimited() -> Config {
    Config {
        rate: Rate::per_second(1_000_000, 10_000_000),
        ..Config::default()
    }
}

// covers: RDV-005
#[test]
fn a_request_is_limited_on_its_prefix_and_an_answer_may_be_larger() {
    let node = Rendezvous::new(
        identity(1),
        Config {
            serve: true,
            ..Config::default()
        },
    )
    .unwrap();
    let specs = node.specs();
    let terms: Vec<_> = specs
        .iter()
        .map(|spec| (spec.name.clone(), spec.framing, spec.max_inbound))
        .collect();
    assert_eq!(
        terms,
        [
            (NAME, Framing::LengthDelimited { max: 16 << 10 }, 8),
            (NAME, Framing::LengthDelimited { max: 512 << 10 }, 0)
        ]
    );
    let mut scene = Scene::new(Config::default(), 1);
    let stream = scene.open(1);
    scene.write(1, stream, vec![0; (16 << 10) + 1]);
    scene.run(SECOND);
    let reset = Closed::Reset;
    assert!(scene.peers[0].inputs.iter().any(|input| matches!(
        input,
        Input::Closed { stream: closed, reason } if *closed == stream && (*reason == reset || *reason == Closed::FrameTooLarge)
    )));
}

// covers: RDV-009, RDV-064
#[test]
fn a_silent_stream_is_reset_and_a_peer_has_eight_of_them() {
    let mut scene = Scene::new(Config::default(), 1);
    let target = Target::Peer(scene.peer(POINT));
    for _ in 0..100 {
        let puppet = &scene.peers[0];
        let _limited = scene.bench.with(1, puppet, |cx| cx.open(target, &[0]));
    }
    scene.run(SECOND);
    assert_eq!(scene.bench.open_streams(POINT), 8);
    scene.run(Duration::from_secs(8));
    assert_eq!(scene.bench.open_streams(POINT), 8);
    scene.run(2 * SECOND);
    assert_eq!(scene.bench.open_streams(POINT), 0);
}

// covers: RDV-031
#[test]
fn what_is_unregistered_leaves_nothing_behind() {
    let mut scene = Scene::new(unlimited(), 1);
    let request = register(1, "test").encode();
    let end = Message::Unregister {
        namespace: "test".into(),
    }
    .encode();
    let round = |scene: &mut Scene| {
        scene.send(1, &request);
        scene.send(1, &end);
        while scene.point.poll_event().is_some() {}
        scene.peers[0].inputs.clear();
    };
    for _ in 0..20 {
        round(&mut scene);
    }
    let growth = measure(|| {
        for _ in 0..400 {
            round(&mut scene);
        }
    });
    assert!(growth.bytes_current <= 4096, "{} bytes", growth.bytes_current);
    assert_eq!(scene.point.census().registrations, 0);
}

// covers: RDV-044
#[test]
fn those_who_ask_take_no_memory() {
    let mut scene = Scene::new(unlimited(), 1);
    scene.ask(1, &register(1, "test"));
    let request = discover("test", None, &Bytes::new());
    let round = |scene: &mut Scene| {
        assert_eq!(found(scene.ask(1, &request)).0.len(), 1);
        scene.peers[0].inputs.clear();
    };
    for _ in 0..20 {
        round(&mut scene);
    }
    let growth = measure(|| {
        for _ in 0..1000 {
            round(&mut scene);
        }
    });
    assert!(growth.bytes_current <= 4096, "{} bytes", growth.bytes_current);
}

// covers: RDV-065
#[test]
fn a_registration_takes_no_more_than_its_record_its_namespace_and_a_little() {
    const COUNT: usize = 200;
    let mut scene = Scene::new(unlimited(), COUNT);
    let requests: Vec<_> = (1..=COUNT)
        .map(|index| {
            let addrs: Vec<_> = (0..32)
                .map(|number| {
                    let name = format!("/dns4/{}/tcp/{number}", "n".repeat(105));
                    name.parse().unwrap()
                })
                .collect();
            let record = record(index, 1, &addrs);
            assert!((3800..=4096).contains(&record.len()), "{}", record.len());
            Message::Register(registration(&format!("{index:0255}"), record, None)).encode()
        })
        .collect();
    // What the bench itself keeps of each peer that has asked.
    for peer in 1..=COUNT {
        scene.ask(peer, &discover("none", None, &Bytes::new()));
        scene.peers[peer - 1].inputs = Vec::new();
    }
    let growth = measure(|| {
        for (request, peer) in requests.iter().zip(1..) {
            scene.send(peer, request);
            while scene.point.poll_event().is_some() {}
            scene.peers[peer - 1].inputs = Vec::new();
        }
    });
    assert_eq!(scene.point.census().registrations, COUNT);
    let each = usize::try_from(growth.bytes_current).unwrap() / COUNT;
    // 10 000 of them within 52 MB, of which 43 are records and namespaces.
    assert!(each <= 5200, "{each} bytes for each registration");
}

// covers: RDV-063
#[test]
fn no_request_that_is_cut_changes_anything() {
    let mut scene = Scene::new(unlimited(), 1);
    scene.ask(1, &register(1, "kept"));
    let request = register(1, "test").encode();
    for end in 0..request.len() {
        scene.send(1, &request[..end]);
    }
    let end = Message::Unregister {
        namespace: "kept".into(),
    };
    let end = end.encode();
    for cut in 0..end.len() {
        scene.send(1, &end[..cut]);
    }
    assert_eq!(scene.point.census().registrations, 1);
}

#[test]
fn who_does_not_serve_has_no_streams_of_others() {
    let ids: Vec<PeerId> = [0, 1].map(|index| identity(index).peer_id()).into();
    let mut bench = Bench::with_peers(1, &ids, Duration::from_millis(10));
    let mut node = Rendezvous::new(identity(0), Config::default()).unwrap();
    let mut peer = Puppet::new(support::puppet_spec());
    bench.connect(1, POINT);
    bench.run(&mut [&mut node, &mut peer], SECOND);
    let target = Target::Peer(ids[0]);
    let stream = bench.with(1, &peer, |cx| cx.open(target, &[0])).unwrap();
    bench.run(&mut [&mut node, &mut peer], SECOND);
    let reason = Closed::Refused;
    assert!(peer.inputs.contains(&Input::Closed { stream, reason }));
}
