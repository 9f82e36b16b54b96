//! What is asked, answered and pushed.
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
use libp2p_proto_core::framing;
use libp2p_proto_identify::{Config, Error, Event, Failure, Identify, Message, NAME, PUSH_NAME};
use libp2p_proto_identity::PeerRecord;
use libp2p_proto_stream_protocol::{
    Closed, Fact, Framing, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};
use support::{LATENCY, SECOND, Scene, addr, events, failures, identity, name, unhex, vector_identity};

// covers: CON-083, CON-088
#[test]
fn who_is_asked_says_it_all_in_one_message_and_finishes() {
    let mut scene = Scene::with(Config {
        protocol_version: "ipfs/0.1.0".into(),
        agent_version: "test/0.0.1".into(),
        signed_record: false,
        ..Config::default()
    });
    scene.listen("/ip4/192.0.2.42/tcp/4321");
    scene.listen("/ip4/198.51.100.7/udp/4242/quic-v1");
    let stream = scene.open(0);
    scene.run(LATENCY * 4);
    let frames = scene.puppet.frames(stream);
    assert_eq!(frames.len(), 1);
    assert!(scene.saw_finish(stream));
    // The vector, with what differs here: our names, and the address that the bench gives to the peer.
    let vector = unhex(
        "0a24080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e120804c000022a0610e1120b04c633640791021092cd031a102f697066732f70696e672f312e302e301a0e2f697066732f69642f312e302e30220804cb00710106a0a02a0a697066732f302e312e30320a746573742f302e302e31",
    );
    let mut wanted = Message::default();
    wanted.merge(&vector, &Config::default()).unwrap();
    wanted.protocols = vec![NAME, PUSH_NAME];
    wanted.observed_addr = Some(addr("/ip4/192.0.2.2/tcp/4001"));
    assert_eq!(frames[0], wanted.encode());
}

// covers: CON-084
#[test]
fn a_push_is_one_message_and_the_receiver_says_nothing() {
    let mut scene = Scene::new();
    let key = scene.key();
    scene.answer(&[Message {
        public_key: Some(key),
        protocols: vec![PUSH_NAME],
        ..Message::default()
    }]);
    scene.listen("/ip4/192.0.2.42/tcp/4321");
    scene.run(SECOND * 2);
    let stream = scene.asked();
    assert_eq!(scene.puppet.frames(stream).len(), 1);
    assert!(scene.saw_finish(stream));
    assert!(events(&mut scene.machine).contains(&Event::PushSent { peer: scene.peer }));

    let stream = scene.push(&[Message::default()]);
    scene.run(SECOND);
    assert_eq!(scene.puppet.frames(stream), [] as [Bytes; 0]);
    assert_eq!(scene.end_of(stream), Some(Closed::Finished));
}

// covers: CON-085, CON-089
#[test]
fn messages_have_a_length_in_front_and_8192_bytes_at_most() {
    let machine = Identify::new(identity(1), Config::default()).unwrap();
    for spec in machine.specs() {
        assert_eq!(spec.framing, Framing::LengthDelimited { max: 8192 });
    }
    assert_eq!(framing::decode_prefix(&unhex("8101"), 8192), Ok(Some((129, 2))));
    assert_eq!(framing::decode_prefix(&unhex("8040"), 8192), Ok(Some((8192, 2))));
    assert!(framing::decode_prefix(&unhex("8140"), 8192).is_err());
    for (size, failure) in [(8192, None), (8193, Some(Failure::Malformed))] {
        let mut scene = Scene::new();
        let stream = scene.asked();
        // An unknown field of bytes fills the message.
        let mut message = vec![0x7a];
        libp2p_proto_core::varint::encode(size - 3, &mut message);
        message.resize(usize::try_from(size).unwrap(), 0);
        scene.say(stream, message);
        scene.finish(stream);
        assert_eq!(
            failures(&mut scene.machine),
            failure.into_iter().collect::<Vec<_>>()
        );
    }
}

// covers: CON-086
#[test]
fn several_messages_are_merged_and_a_record_may_come_alone() {
    let mut scene = Scene::new();
    let (key, record) = (scene.key(), scene.record(1, &["/ip4/198.51.100.9/tcp/1"]));
    let first = Message {
        public_key: Some(key),
        protocols: vec![name("/a")],
        agent_version: Some("one".into()),
        listen_addrs: vec![addr("/ip4/198.51.100.8/tcp/1")],
        ..Message::default()
    };
    let second = Message {
        protocols: vec![name("/b")],
        agent_version: Some("two".into()),
        ..Message::default()
    };
    let third = Message {
        signed_peer_record: Some(record),
        ..Message::default()
    };
    scene.answer(&[first, second, third]);
    let info = scene.info();
    assert_eq!(info.protocols[..], [name("/a"), name("/b")]);
    assert_eq!((&*info.agent_version, info.certified), ("two", true));
    assert_eq!(info.listen_addrs[..], [addr("/ip4/198.51.100.9/tcp/1")]);
}

// covers: CON-087
#[test]
fn one_message_counts_at_the_end_of_the_stream_or_when_time_is_up() {
    let mut scene = Scene::new();
    scene.answer(&[Message::default()]);
    assert!(matches!(
        &events(&mut scene.machine)[..],
        [Event::Identified { .. }]
    ));

    let mut scene = Scene::new();
    let stream = scene.asked();
    scene.say(stream, Message::default().encode());
    scene.run(Duration::from_millis(4900));
    assert_eq!(events(&mut scene.machine), []);
    scene.run(Duration::from_millis(100));
    assert!(matches!(
        &events(&mut scene.machine)[..],
        [Event::Identified { .. }]
    ));
    scene.run(SECOND);
    assert!(scene.end_of(stream).is_some());
}

// covers: CON-088
#[test]
fn two_hundred_addresses_are_trimmed_to_4096_bytes_and_the_key_stays() {
    let mut scene = Scene::with(Config {
        signed_record: false,
        ..Config::default()
    });
    for port in 1..=200 {
        let text = format!("/dns4/a-name-that-is-rather-long.example.com/tcp/{port}/tls/ws");
        scene.bench.inject(
            0,
            Input::Fact(Fact::ListenAddress {
                addr: addr(&text),
                up: true,
            }),
        );
    }
    let stream = scene.open(0);
    scene.run(LATENCY * 4);
    let frames = scene.puppet.frames(stream);
    assert_eq!(frames.len(), 1);
    assert!(
        (3500..=4096).contains(&frames[0].len()),
        "{} bytes",
        frames[0].len()
    );
    let mut message = Message::default();
    message.merge(&frames[0], &Config::default()).unwrap();
    assert!(message.public_key.is_some() && message.listen_addrs.len() > 40);
    assert_eq!(message.protocols, [NAME, PUSH_NAME]);
}

// covers: CON-090, VUL-204
#[test]
fn vul_124_a_message_with_another_key_than_the_connections_is_ignored_whole() {
    let good = Some(Scene::new().key());
    let foreign = Some(Bytes::copy_from_slice(identity(9).public_key().encode()));
    let cases = [
        (good, None),
        (None, None),
        (foreign, Some(Failure::WrongKey)),
        (
            Some(Bytes::from_static(b"\x08\x01\x12\x03abc")),
            Some(Failure::WrongKey),
        ),
        (Some(Bytes::new()), Some(Failure::WrongKey)),
    ];
    for (public_key, failure) in cases {
        let message = Message {
            public_key,
            agent_version: Some("x".into()),
            ..Message::default()
        };
        let mut scene = Scene::new();
        scene.answer(core::slice::from_ref(&message));
        assert_eq!(
            failures(&mut scene.machine),
            failure.into_iter().collect::<Vec<_>>()
        );
        assert_eq!(scene.machine.info(&scene.peer).is_some(), failure.is_none());
        assert_eq!(scene.bench.facts(0).is_empty(), failure.is_some());
        // The same in a push.
        scene.push(&[message]);
        assert_eq!(
            failures(&mut scene.machine),
            failure.into_iter().collect::<Vec<_>>()
        );
        assert_eq!(scene.machine.info(&scene.peer).is_some(), failure.is_none());
    }
}

// covers: CON-091, CON-092
#[test]
fn what_a_push_leaves_out_stays_and_what_it_lists_replaces() {
    let mut scene = Scene::new();
    let key = scene.key();
    scene.answer(&[Message {
        public_key: Some(key),
        protocols: vec![name("/a"), name("/b")],
        listen_addrs: vec![addr("/ip4/198.51.100.8/tcp/1"), addr("/ip4/198.51.100.8/tcp/2")],
        agent_version: Some("x".into()),
        observed_addr: Some(addr("/ip4/198.51.100.1/tcp/9")),
        ..Message::default()
    }]);
    let before = scene.info().clone();
    scene.push(&[Message::default()]);
    assert_eq!(*scene.info(), before);
    scene.push(&[Message {
        protocols: vec![name("/a")],
        ..Message::default()
    }]);
    let info = scene.info().clone();
    assert_eq!(info.protocols[..], [name("/a")]);
    assert_eq!(
        (&info.listen_addrs, &info.agent_version),
        (&before.listen_addrs, &before.agent_version)
    );
    scene.push(&[Message {
        listen_addrs: vec![addr("/ip4/198.51.100.8/tcp/3")],
        ..Message::default()
    }]);
    assert_eq!(scene.info().listen_addrs[..], [addr("/ip4/198.51.100.8/tcp/3")]);
    assert_eq!(scene.info().protocols[..], [name("/a")]);
    assert!(
        events(&mut scene.machine)
            .iter()
            .filter(|event| matches!(event, Event::Pushed { .. }))
            .count()
            == 3
    );
}

// covers: CON-093
#[test]
fn another_version_of_the_family_is_no_reason_to_close() {
    let mut scene = Scene::new();
    scene.answer(&[Message {
        protocol_version: Some("other/9".into()),
        ..Message::default()
    }]);
    scene.run(SECOND * 60);
    assert_eq!(&*scene.info().protocol_version, "other/9");
    assert!(
        !scene
            .puppet
            .inputs
            .iter()
            .any(|input| matches!(input, Input::Disconnected { .. }))
    );
}

// covers: CON-094
#[test]
fn addresses_that_do_not_parse_are_skipped() {
    let mut scene = Scene::new();
    let stream = scene.asked();
    let mut message = Vec::new();
    for bytes in ["04c000022a0610e1", "fe7f00", "04c633640791021092cd03"] {
        let bytes = unhex(bytes);
        message.extend_from_slice(&[0x12, u8::try_from(bytes.len()).unwrap()]);
        message.extend_from_slice(&bytes);
    }
    message.extend_from_slice(&unhex("2202ffff"));
    scene.say(stream, message);
    scene.finish(stream);
    assert_eq!(scene.info().listen_addrs.len(), 2);
    assert_eq!(scene.info().observed_addr, None);
}

// covers: CON-095, CON-096
#[test]
fn the_observed_address_is_the_peers_as_we_see_it_if_everybody_can_parse_it() {
    let relay = identity(7).peer_id();
    let cases = [
        (
            "/ip4/203.0.113.1/tcp/41120".into(),
            Some("/ip4/203.0.113.1/tcp/41120".into()),
        ),
        (
            "/ip4/203.0.113.1/udp/41120/quic-v1".into(),
            Some("/ip4/203.0.113.1/udp/41120/quic-v1".into()),
        ),
        (format!("/ip4/203.0.113.1/tcp/4001/p2p/{relay}/p2p-circuit"), None),
        ("/ip4/203.0.113.1/udp/9000/webrtc-direct".into(), None),
        ("/ip4/203.0.113.1/udp/9000/quic-v1/webtransport".into(), None),
        (
            "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234".into(),
            None::<String>,
        ),
    ];
    for (remote, observed) in cases {
        let mut bench = Bench::with_peers(1, &[vector_identity().peer_id(), identity(2).peer_id()], LATENCY);
        let mut machine = Identify::new(vector_identity(), Config::default()).unwrap();
        let mut puppet = support::puppet();
        let conn = bench.connect_from(0, 1, addr(&remote));
        bench.run(&mut [&mut machine, &mut puppet], SECOND);
        let target = libp2p_proto_stream_protocol::Target::Connection(conn);
        let stream = bench.with(1, &puppet, |cx| cx.open(target, &[0])).unwrap();
        bench.run(&mut [&mut machine, &mut puppet], SECOND);
        let mut message = Message::default();
        message
            .merge(&puppet.frames(stream)[0], &Config::default())
            .unwrap();
        assert_eq!(
            message.observed_addr,
            observed.map(|text| addr(&text)),
            "{remote}"
        );
    }
}

// covers: CON-097
#[test]
fn only_names_that_are_accepted_are_listed() {
    let mut scene = Scene::new();
    assert_eq!(scene.told().0.protocols, [NAME, PUSH_NAME]);
    scene
        .bench
        .with(0, &Puppet::with_specs(scene.machine.specs().to_vec()), |cx| {
            cx.set_inbound(1, 0)
        })
        .unwrap();
    assert_eq!(scene.told().0.protocols, [NAME]);
}

// covers: CON-098
#[test]
fn addresses_have_no_peer_id_the_best_come_first_and_loopback_stays_at_home() {
    let mut scene = Scene::new();
    let us = vector_identity().peer_id();
    scene.listen("/ip4/127.0.0.1/tcp/1");
    scene.listen("/ip4/10.0.0.1/tcp/1");
    scene.listen(&format!("/ip4/192.0.2.42/tcp/1/p2p/{us}"));
    scene.tell(Fact::ExternalAddress {
        addr: addr("/ip4/198.51.100.7/tcp/1"),
        confirmed: true,
    });
    let (message, _) = scene.told();
    let wanted = [
        "/ip4/198.51.100.7/tcp/1",
        "/ip4/192.0.2.42/tcp/1",
        "/ip4/10.0.0.1/tcp/1",
    ]
    .map(addr);
    assert_eq!(message.listen_addrs, wanted);
    scene.tell(Fact::ListenAddress {
        addr: addr("/ip4/10.0.0.1/tcp/1"),
        up: false,
    });
    assert_eq!(scene.told().0.listen_addrs, wanted[..2]);
}

// covers: CON-099, CON-100
#[test]
fn vul_123_a_record_counts_if_its_key_peer_and_number_do_and_else_the_rest_is_used() {
    let plain = vec![addr("/ip4/198.51.100.8/tcp/1")];
    let certified = addr("/ip4/198.51.100.9/tcp/1");
    let them = identity(2);
    let record = |seq| {
        PeerRecord::new(them.peer_id(), seq, vec![certified.clone()])
            .seal(&them)
            .unwrap()
    };
    let other = identity(9);
    let foreign = PeerRecord::new(other.peer_id(), 9, vec![certified.clone()])
        .seal(&other)
        .unwrap();
    let rfc = unhex(
        "0a24080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e121c2f6c69627032702f726f7574696e672d73746174652d7265636f72641a450a260024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e10011a0a0a0804c000022a0610e11a0d0a0b04c633640791021092cd032a40b13af30057ee4d6ad8a95aa5479d6707dce7047f75ba7a93b92c6fc7dfcc9da787b447e1bb90fdc6cec7ada3c1f71309df29d90bb7d7335802d9a871ec55fe09",
    );
    let mut bad_signature = record(1).to_vec();
    *bad_signature.last_mut().unwrap() ^= 1;
    for (envelope, valid) in [
        (record(1), true),
        (foreign, false),
        (rfc.into(), false),
        (bad_signature.into(), false),
        (Bytes::from_static(b"\xff"), false),
        (Bytes::new(), false),
    ] {
        let mut scene = Scene::new();
        scene.answer(&[Message {
            listen_addrs: plain.clone(),
            agent_version: Some("x".into()),
            signed_peer_record: Some(envelope),
            ..Message::default()
        }]);
        let info = scene.info();
        assert_eq!((info.certified, &*info.agent_version), (valid, "x"));
        let wanted = if valid {
            vec![certified.clone()]
        } else {
            plain.clone()
        };
        assert_eq!(info.listen_addrs[..], wanted);
    }
}

// covers: CON-099
#[test]
fn a_record_of_the_rfc_dialect_counts_for_the_peer_that_signed_it() {
    let rfc = unhex(
        "0a24080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e121c2f6c69627032702f726f7574696e672d73746174652d7265636f72641a450a260024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e10011a0a0a0804c000022a0610e11a0d0a0b04c633640791021092cd032a40b13af30057ee4d6ad8a95aa5479d6707dce7047f75ba7a93b92c6fc7dfcc9da787b447e1bb90fdc6cec7ada3c1f71309df29d90bb7d7335802d9a871ec55fe09",
    );
    let them = vector_identity().peer_id();
    let mut bench = Bench::with_peers(1, &[identity(2).peer_id(), them], LATENCY);
    let mut machine = Identify::new(identity(2), Config::default()).unwrap();
    let mut puppet = support::puppet();
    bench.connect(0, 1);
    bench.run(&mut [&mut machine, &mut puppet], LATENCY * 4);
    let stream = puppet.opened()[0];
    let message = Message {
        signed_peer_record: Some(rfc.into()),
        ..Message::default()
    };
    bench
        .with(1, &puppet, |cx| cx.write(stream, message.encode()))
        .unwrap();
    bench.with(1, &puppet, |cx| cx.finish(stream));
    bench.run(&mut [&mut machine, &mut puppet], LATENCY * 4);
    let info = machine.info(&them).unwrap();
    assert!(info.certified);
    let wanted = ["/ip4/192.0.2.42/tcp/4321", "/ip4/198.51.100.7/udp/4242/quic-v1"].map(addr);
    assert_eq!(info.listen_addrs[..], wanted);
}

// covers: COR-117
#[test]
fn of_records_5_5_4_6_the_first_and_the_last_count() {
    let mut scene = Scene::new();
    let known = scene.record(5, &["/ip4/198.51.100.1/tcp/1"]);
    scene.answer(&[Message {
        signed_peer_record: Some(known),
        ..Message::default()
    }]);
    for (seq, port, wanted) in [(5, 2, 1), (4, 3, 1), (6, 4, 4)] {
        let text = format!("/ip4/198.51.100.1/tcp/{port}");
        let newer = scene.record(seq, &[&text]);
        scene.push(&[Message {
            signed_peer_record: Some(newer),
            listen_addrs: vec![addr("/ip4/203.0.113.9/tcp/1")],
            ..Message::default()
        }]);
        let wanted = addr(&format!("/ip4/198.51.100.1/tcp/{wanted}"));
        assert_eq!(scene.info().listen_addrs[..], [wanted], "after record {seq}");
        assert!(scene.info().certified);
    }
}

// covers: COR-119
#[test]
fn the_highest_number_counts_once_and_no_later_one_follows_it() {
    let mut scene = Scene::new();
    scene.answer(&[Message::default()]);
    for (seq, port, wanted) in [(3, 1, 1), (u64::MAX, 2, 2), (5, 3, 2), (u64::MAX, 4, 2)] {
        let record = scene.record(seq, &[&format!("/ip4/198.51.100.1/tcp/{port}")]);
        scene.push(&[Message {
            signed_peer_record: Some(record),
            ..Message::default()
        }]);
        // Neither is it taken for a time that has not come, however long one waits.
        scene.run(SECOND * 3600);
        let wanted = addr(&format!("/ip4/198.51.100.1/tcp/{wanted}"));
        assert_eq!(scene.info().listen_addrs[..], [wanted], "after record {seq}");
    }
}

// covers: CON-100
#[test]
fn our_own_record_is_in_the_deployed_dialect_and_holds_what_js_can_parse() {
    let mut scene = Scene::new();
    scene.listen("/ip4/198.51.100.7/tcp/1");
    scene.listen("/ip4/198.51.100.7/udp/1/quic-v1/webtransport");
    scene.listen("/ip4/10.0.0.1/tcp/1");
    let (message, frames) = scene.told();
    assert_eq!(frames, 1);
    let envelope = message.signed_peer_record.unwrap();
    let deployed = b"\x12\x02\x03\x01";
    assert!(
        envelope.windows(4).any(|bytes| bytes == deployed),
        "payload type 03 01"
    );
    let record = PeerRecord::open(&envelope).unwrap();
    assert_eq!(record.addrs(), [addr("/ip4/198.51.100.7/tcp/1")]);
    let first = record.seq();
    scene.listen("/ip4/198.51.100.7/tcp/2");
    let again = PeerRecord::open(&scene.told().0.signed_peer_record.unwrap()).unwrap();
    assert!(again.seq() > first);
}

// covers: CON-101
#[test]
fn every_new_connection_is_asked_once_with_a_time_limit_of_five_seconds() {
    let mut scene = Scene::new();
    let second = scene.bench.connect(0, 1);
    scene.run(LATENCY * 4);
    let opened = scene.puppet.opened();
    assert_eq!(opened.len(), 2);
    assert_eq!(opened[1].conn, second);
    scene.run(Duration::from_millis(4900));
    assert_eq!(events(&mut scene.machine), []);
    scene.run(Duration::from_millis(200));
    assert_eq!(failures(&mut scene.machine), [Failure::TimedOut; 2]);
    scene.run(SECOND * 60);
    assert_eq!(scene.puppet.opened().len(), 2);
}

// covers: CON-102
#[test]
fn changes_of_one_second_are_pushed_together_32_peers_at_a_time() {
    let peers: Vec<_> = (0..41).map(|seed| identity(seed + 1).peer_id()).collect();
    let mut bench = Bench::with_peers(1, &peers, LATENCY);
    let mut machines: Vec<_> = (0..41)
        .map(|seed| Identify::new(identity(seed + 1), Config::default()).unwrap())
        .collect();
    for node in 1..41 {
        bench.connect(0, node);
    }
    let run = |bench: &mut Bench, machines: &mut Vec<Identify>, millis| {
        let mut lent: Vec<&mut dyn Protocol> = machines.iter_mut().map(|machine| machine as _).collect();
        bench.run(&mut lent, Duration::from_millis(millis));
    };
    run(&mut bench, &mut machines, 5000);
    for machine in &mut machines {
        events(machine);
    }
    let listen = |port: u16| {
        Input::Fact(Fact::ListenAddress {
            addr: addr(&format!("/ip4/198.51.100.7/tcp/{port}")),
            up: true,
        })
    };
    bench.inject(0, listen(1));
    run(&mut bench, &mut machines, 500);
    bench.inject(0, listen(2));
    run(&mut bench, &mut machines, 490);
    assert_eq!(machines[0].census().pushes, 0);
    run(&mut bench, &mut machines, 15);
    assert_eq!(machines[0].census().pushes, 40);
    assert_eq!(bench.open_streams(0), 32);
    run(&mut bench, &mut machines, 5000);
    for machine in &mut machines[1..] {
        let events = events(machine);
        assert_eq!(events.len(), 1, "one push for both changes");
        assert!(matches!(&events[0], Event::Pushed { info, .. } if info.listen_addrs.len() == 2));
    }
    assert_eq!(machines[0].stats().pushes_sent, 40);
}

#[test]
fn a_peer_that_does_not_list_push_is_not_pushed_to() {
    let mut scene = Scene::new();
    scene.answer(&[Message {
        protocols: vec![NAME],
        ..Message::default()
    }]);
    scene.listen("/ip4/198.51.100.7/tcp/1");
    scene.run(SECOND * 5);
    assert_eq!(scene.puppet.opened().len(), 1);
}

#[test]
fn vul_203_a_peer_without_identify_is_reported_once_and_its_connection_can_be_used() {
    let peers = [identity(1).peer_id(), identity(2).peer_id()];
    let mut bench = Bench::with_peers(1, &peers, LATENCY);
    let mut machine = Identify::new(identity(1), Config::default()).unwrap();
    // It refuses to be asked, and asks all the same.
    let mut other = Puppet::new(StreamSpec {
        max_inbound: 0,
        ..StreamSpec::new(NAME, Framing::LengthDelimited { max: 10_000 })
    });
    let conn = bench.connect(0, 1);
    bench.run(&mut [&mut machine, &mut other], SECOND * 60);
    assert_eq!(failures(&mut machine), [Failure::Unsupported]);
    for _ in 0..2 {
        let stream = bench
            .with(1, &other, |cx| cx.open(Target::Connection(conn), &[0]))
            .unwrap();
        bench.run(&mut [&mut machine, &mut other], SECOND * 60);
        assert_eq!(
            other.frames(stream).len(),
            1,
            "the connection carries an exchange"
        );
    }
    let gone = |input: &Input| matches!(input, Input::Disconnected { .. });
    assert!(!other.inputs.iter().any(gone));
    assert_eq!(failures(&mut machine), [], "it was told once");
}

#[test]
fn what_was_learned_is_told_to_the_other_protocols() {
    let mut scene = Scene::new();
    scene.answer(&[Message {
        protocols: vec![name("/a")],
        listen_addrs: vec![addr("/ip4/198.51.100.8/tcp/1")],
        observed_addr: Some(addr("/ip4/198.51.100.1/tcp/9")),
        ..Message::default()
    }]);
    let peer = scene.peer;
    let wanted = [
        Fact::PeerProtocols {
            peer,
            protocols: [name("/a")].into(),
        },
        Fact::PeerAddresses {
            peer,
            addrs: [addr("/ip4/198.51.100.8/tcp/1")].into(),
            certified: false,
        },
        Fact::ObservedAddress {
            addr: addr("/ip4/198.51.100.1/tcp/9"),
            by: peer,
            from: addr("/ip4/192.0.2.2/tcp/4001"),
        },
    ];
    assert_eq!(scene.bench.facts(0), wanted);
}

#[test]
fn every_field_of_the_configuration_has_its_range() {
    let bad = |config| Identify::new(identity(1), config).err();
    let default = Config::default;
    let of = |field| Some(Error::BadConfig(field));
    assert_eq!(
        bad(Config {
            agent_version: String::new(),
            ..default()
        }),
        of("agent_version")
    );
    assert_eq!(
        bad(Config {
            protocol_version: "x".repeat(257),
            ..default()
        }),
        of("protocol_version")
    );
    assert_eq!(
        bad(Config {
            push_parallel: 0,
            ..default()
        }),
        of("push_parallel")
    );
    assert_eq!(
        bad(Config {
            max_message: 1023,
            ..default()
        }),
        of("max_message")
    );
    assert_eq!(
        bad(Config {
            max_messages: 0,
            ..default()
        }),
        of("max_messages")
    );
    assert_eq!(
        bad(Config {
            max_sent: 2047,
            ..default()
        }),
        of("max_sent")
    );
}
