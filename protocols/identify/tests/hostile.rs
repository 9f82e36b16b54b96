//! What hostile peers can do, and what it costs.
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
use libp2p_proto_identify::{Config, Event, Failure, Identify, Message, NAME};
use libp2p_proto_identity::PeerRecord;
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, Context, Fact, Input, Journal, Protocol, StreamSpec, Target, bench::Bench,
};
use support::{LATENCY, SECOND, Scene, addr, events, failures, identity, name, vector_identity};

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    libp2p_proto_core::varint::encode(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

#[test]
fn vul_125_ten_chunks_of_tiny_names_stay_within_the_limits_and_the_eleventh_is_an_error() {
    let names: Vec<u8> = (0..2000_u16)
        .flat_map(|number| field(3, format!("/{number:x}").as_bytes()))
        .take(8000)
        .collect();
    // Cut at a whole field.
    let names = cut_to_fields(&names);
    let mut scene = Scene::new();
    let stream = scene.asked();
    let cost = measure(|| {
        for _ in 0..10 {
            scene.say(stream, names.clone());
        }
        scene.finish(stream);
    });
    let info = scene.info();
    assert!(
        (900..=1024).contains(&info.protocols.len()),
        "{}",
        info.protocols.len()
    );
    let kept: usize = info.protocols.iter().map(|name| name.as_str().len() + 48).sum();
    assert!(kept <= 64 * 1024, "{kept} bytes");
    assert!(cost.bytes_current < 1 << 20, "{cost:?}");

    let mut scene = Scene::new();
    let stream = scene.asked();
    for _ in 0..11 {
        scene.say(stream, field(3, b"/a"));
    }
    scene.run(SECOND);
    assert_eq!(failures(&mut scene.machine), [Failure::Malformed]);
    assert_eq!(scene.end_of(stream), Some(Closed::Reset));
}

fn cut_to_fields(bytes: &[u8]) -> Vec<u8> {
    let mut end = 0;
    while let Some(len) = bytes.get(end + 1) {
        let next = end + 2 + usize::from(*len);
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    bytes[..end].to_vec()
}

// covers: CON-103
#[test]
fn of_a_hundred_thousand_names_and_addresses_the_limits_are_kept() {
    let mut message = Message::default();
    let config = Config {
        max_kept: usize::MAX,
        ..Config::default()
    };
    for number in 0..100_000_u32 {
        let text = format!("/{number}");
        let address = addr(&format!(
            "/ip4/198.51.{}.{}/tcp/1",
            number / 256 % 256,
            number % 256
        ));
        let fields = [field(3, text.as_bytes()), field(2, address.as_bytes())].concat();
        message.merge(&fields, &config).unwrap();
        if number > 2000 && number % 1000 > 0 {
            continue;
        }
        assert!(message.protocols.len() <= 1024 && message.listen_addrs.len() <= 500);
    }
    assert_eq!((message.protocols.len(), message.listen_addrs.len()), (1024, 500));
    let long = field(3, &[b"/", &[b'x'; 256][..]].concat());
    let mut message = Message::default();
    message.merge(&long, &config).unwrap();
    assert_eq!(message.protocols, []);
    message.merge(&field(6, &[b'x'; 300]), &config).unwrap();
    assert_eq!(message.agent_version.map(|text| text.len()), Some(256));
}

#[test]
fn vul_122_records_of_invented_peers_are_not_kept() {
    let mut scene = Scene::new();
    scene.answer(&[Message::default()]);
    for seed in 3..60 {
        let invented = identity(seed);
        let record = PeerRecord::new(invented.peer_id(), 1, vec![addr("/ip4/198.51.100.9/tcp/1")]);
        scene.push(&[Message {
            signed_peer_record: Some(record.seal(&invented).unwrap()),
            ..Message::default()
        }]);
        scene.run(SECOND * 10);
        assert_eq!(scene.machine.info(&invented.peer_id()), None);
    }
    assert_eq!(scene.machine.census().peers, 1);
    assert_eq!(scene.info().listen_addrs[..], []);
    let invented = |fact: &Fact| matches!(fact, Fact::PeerAddresses { peer, .. } if *peer != scene.peer);
    assert!(!scene.bench.facts(0).iter().any(invented));
}

// covers: CON-104
#[test]
fn vul_127_pushes_over_the_rate_are_reset_and_cause_no_pushes_of_ours() {
    let mut scene = Scene::new();
    let key = scene.key();
    scene.answer(&[Message {
        public_key: Some(key),
        protocols: vec![libp2p_proto_identify::PUSH_NAME],
        ..Message::default()
    }]);
    let began = scene.bench.now();
    let push = |number: u32| Message {
        protocols: vec![
            name(&format!("/{}", number % 2)),
            libp2p_proto_identify::PUSH_NAME,
        ],
        ..Message::default()
    };
    let ends: Vec<_> = (0..11)
        .map(|number| {
            let stream = scene.push(&[push(number)]);
            scene.end_of(stream)
        })
        .collect();
    assert!(scene.bench.now().since(began) < SECOND);
    assert_eq!(ends[..10], [Some(Closed::Finished); 10]);
    assert_eq!(ends[10], Some(Closed::Reset));
    assert_eq!(failures(&mut scene.machine), [Failure::TooManyPushes]);
    // A thousand in the next seconds: one in five seconds is read.
    let before = scene.machine.stats().pushes_received;
    for number in 0..1000 {
        scene.push(&[push(number)]);
    }
    let time = scene.bench.now().since(began).as_secs();
    let read = scene.machine.stats().pushes_received - before;
    assert!(read <= time / 5 + 1, "{read} pushes in {time} s");
    assert_eq!(scene.machine.stats().pushes_sent, 0);
}

// covers: CON-104
#[test]
fn eleven_peers_of_one_network_share_one_bucket() {
    let peers: Vec<_> = (0..14).map(|seed| identity(seed + 1).peer_id()).collect();
    let mut bench = Bench::with_peers(1, &peers, LATENCY);
    let mut machine = Identify::new(identity(1), Config::default()).unwrap();
    let mut puppets: Vec<_> = (1..14).map(|_| support::puppet()).collect();
    let conns: Vec<_> = (1..14).map(|node| bench.connect(0, node)).collect();
    let run = |bench: &mut Bench, machine: &mut Identify, puppets: &mut Vec<_>| {
        let mut lent: Vec<&mut dyn Protocol> = vec![machine];
        lent.extend(
            puppets
                .iter_mut()
                .map(|puppet: &mut libp2p_proto_stream_protocol::bench::Puppet| puppet as _),
        );
        bench.run(&mut lent, LATENCY * 4);
    };
    run(&mut bench, &mut machine, &mut puppets);
    for (node, conn) in conns.iter().enumerate() {
        let target = Target::Connection(*conn);
        bench
            .with(node + 1, &puppets[node], |cx| cx.open(target, &[1]))
            .unwrap();
    }
    run(&mut bench, &mut machine, &mut puppets);
    assert_eq!(failures(&mut machine), [Failure::TooManyPushes; 3]);
}

#[test]
fn vul_129_exchanges_that_break_off_anywhere_leave_nothing_behind() {
    let mut scene = Scene::new();
    let conn = scene.conn;
    scene.bench.disconnect(conn);
    scene.run(SECOND);
    let key = scene.key();
    let whole = |number: u32| {
        let message = Message {
            public_key: Some(key.clone()),
            agent_version: Some(format!("agent {number}")),
            protocols: vec![name(&format!("/{number}"))],
            ..Message::default()
        };
        Bytes::from(message.encode())
    };
    let life = |scene: &mut Scene, number: u32| {
        let conn = scene.bench.connect(0, 1);
        scene.conn = conn;
        scene.run(LATENCY * (number % 5));
        if let Some(stream) = scene.puppet.opened().last().copied() {
            let message = whole(number);
            let cut = usize::try_from(number).unwrap() % (message.len() + 1);
            let bytes = if number % 3 == 0 {
                message
            } else {
                message.slice(..cut)
            };
            let _closed_is_fine = scene.bench.with(1, &scene.puppet, |cx| cx.write(stream, bytes));
            if number % 2 == 0 {
                scene.bench.with(1, &scene.puppet, |cx| cx.finish(stream));
            }
        }
        scene.run(LATENCY * (number % 7));
        scene.bench.disconnect(conn);
        scene.run(LATENCY * 2);
        scene.puppet.inputs.clear();
        scene.bench.take_facts(0);
        events(&mut scene.machine);
    };
    let mut lives = |numbers: core::ops::Range<u32>| {
        for number in numbers {
            life(&mut scene, number);
            if number % 100 == 0 {
                let census = scene.machine.census();
                assert_eq!(
                    (census.peers, census.exchanges, census.pushes, census.timers),
                    (0, 0, 0, 0)
                );
                assert!(census.shared <= 128, "{census:?}");
            }
        }
    };
    lives(0..10_000);
    let left = allocation_counter::measure(|| lives(10_000..100_000));
    assert!(left.bytes_current < 16_384, "{left:?}");
}

#[test]
fn vul_130_a_peer_that_never_ends_its_side_is_reset_at_the_deadline() {
    let mut scene = Scene::new();
    let asked = scene.asked();
    let asking = scene.open(0);
    let pushing = scene.open(1);
    scene.run(SECOND * 6);
    for stream in [asked, asking, pushing] {
        assert_eq!(scene.end_of(stream), Some(Closed::Reset), "{stream:?}");
    }
    assert_eq!(scene.bench.open_streams(0), 0);
}

// covers: CON-106
#[test]
fn vul_131_texts_of_a_peer_are_escaped_and_cut_wherever_they_are_shown() {
    let hostile = "\u{1b}[2J\r\n\u{202e}\u{7}".repeat(400);
    let mut scene = Scene::new();
    scene.answer(&[Message {
        agent_version: Some(hostile.clone()),
        protocol_version: Some(hostile),
        protocols: vec![name("/\u{1b}[2J\u{202e}")],
        ..Message::default()
    }]);
    let info = scene.info();
    assert!(info.agent_version.len() <= 256 && info.protocol_version.len() <= 256);
    let shown = format!("{:?} {}", events(&mut scene.machine), scene.info().protocols[0]);
    assert!(
        shown
            .chars()
            .all(|letter| !letter.is_control() && letter != '\u{202e}'),
        "{shown}"
    );
}

#[test]
fn vul_132_texts_that_are_not_utf8_fail_no_message() {
    for number in [3, 5, 6] {
        for bytes in [&b"/\xff\xfe"[..], b"\xc0\x80", b"\xed\xa0\x80", &[0x80; 5000]] {
            let mut scene = Scene::new();
            let stream = scene.asked();
            scene.say(stream, [field(number, bytes), field(3, b"/good")].concat());
            scene.finish(stream);
            assert_eq!(scene.info().protocols[..], [name("/good")]);
            assert!(scene.info().agent_version.len() <= 256);
        }
    }
}

#[test]
fn a_slow_application_loses_events_and_never_what_is_known() {
    let mut scene = Scene::with(Config {
        max_events: 2,
        ..Config::default()
    });
    scene.answer(&[Message::default()]);
    for number in 0..9 {
        scene.push(&[Message {
            agent_version: Some(format!("{number}")),
            ..Message::default()
        }]);
    }
    assert_eq!(events(&mut scene.machine).len(), 2);
    assert_eq!(scene.machine.stats().events_dropped, 8);
    assert_eq!(&*scene.info().agent_version, "8");
}

struct Life(Identify);

impl Protocol for Life {
    fn specs(&self) -> &[StreamSpec] {
        self.0.specs()
    }
    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        self.0.handle(cx, input);
    }
    fn poll_timeout(&self) -> Option<libp2p_proto_core::Deadline> {
        self.0.poll_timeout()
    }
    fn journal(&mut self) -> Option<&mut Journal> {
        self.0.journal()
    }
    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.0.repeat(command)
    }
}

impl Subject for Life {
    fn poll_event(&mut self) -> Option<String> {
        self.0.poll_event().map(|event: Event| format!("{event:?}"))
    }
}

#[test]
fn the_laws_hold() {
    let message = Message {
        agent_version: Some("x".into()),
        protocols: vec![NAME, libp2p_proto_identify::PUSH_NAME],
        listen_addrs: vec![addr("/ip4/198.51.100.8/tcp/1")],
        ..Message::default()
    };
    Laws::of(|| Life(Identify::new(vector_identity(), Config::default()).unwrap()))
        .frame(&message.encode())
        .frame(b"\xff")
        .hold();
}
