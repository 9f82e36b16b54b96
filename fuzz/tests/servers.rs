//! What all protocols have in common that serve strangers: what one of them may cost, and where they are not spoken.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::default_trait_access,
    reason = "tests fail by panicking"
)]

use allocation_counter::measure;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_autonat::{
    Autonat, Config as AutonatConfig, DIAL_REQUEST, Serve, ServerConfig, V1,
    wire::{v1, v2},
};
use libp2p_proto_core::{
    PeerId, ProtocolName, Rate,
    protobuf::{Writer, encode},
};
use libp2p_proto_dcutr::Dcutr;
use libp2p_proto_echo::Echo;
use libp2p_proto_fetch::Fetch;
use libp2p_proto_fuzz::scene::Knowing;
use libp2p_proto_gossipsub::Gossipsub;
use libp2p_proto_identify::{Identify, PUSH_NAME};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_kad::{
    AnyValue, Config as KadConfig, Contact, Kad, Message as KadMessage, MessageType, Mode, Record,
    StoreLimits, Validators,
};
use libp2p_proto_perf::{Config as PerfConfig, Perf};
use libp2p_proto_ping::{Config as PingConfig, Ping};
use libp2p_proto_relay::{HOP, HopMessage, Relay, ServerConfig as RelayConfig};
use libp2p_proto_rendezvous::{Config as RendezvousConfig, Message as Rdv, Registration, Rendezvous};
use libp2p_proto_request_response::{Event, RequestResponse, Spec};
use libp2p_proto_stream_protocol::{
    Dial, Framing, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};
use std::env;

const LATENCY: Duration = Duration::from_millis(1);

fn identity() -> Identity {
    Keypair::ed25519_from_seed([1; 32]).into()
}

fn strangers() -> [PeerId; 2] {
    let client: Identity = Keypair::ed25519_from_seed([2; 32]).into();
    [identity().peer_id(), client.peer_id()]
}

/// The client's n-th request: the name of its stream, and what is written there.
type Ask = fn(u64) -> (ProtocolName, Vec<u8>);

/// Lets one peer ask `count` times, each time on a stream of its own that it then gives up, and answers how much the server holds that it did not hold before, and whether it ever said a word.
fn flood<P: Protocol>(server: &mut P, ask: Ask, read: fn(&mut P), count: u64) -> (i64, bool) {
    let names: Vec<_> = (0..16).map(|turn| ask(turn).0).collect();
    let specs = names
        .iter()
        .map(|name| StreamSpec::new(name.clone(), Framing::Raw));
    let mut puppet = Puppet::with_specs(specs.collect());
    let mut bench = Bench::with_peers(1, &strangers(), LATENCY);
    let conn = bench.connect(1, 0);
    bench.run(&mut [server, &mut puppet], LATENCY * 4);
    let mut spoke = false;
    let mut rounds = |from: u64, to: u64| {
        for turn in from..to {
            let spec = u8::try_from(turn % 16).unwrap();
            let opened = bench.with(1, &puppet, |cx| cx.open(Target::Connection(conn), &[spec]));
            let stream = opened.unwrap();
            bench.run(&mut [server, &mut puppet], LATENCY * 4);
            // A server may have refused the stream by now.
            let _refused = bench.with(1, &puppet, |cx| cx.write(stream, ask(turn).1));
            bench.run(&mut [server, &mut puppet], LATENCY * 4);
            // Some serve at the end of what they are asked.
            bench.with(1, &puppet, |cx| cx.finish(stream));
            bench.run(&mut [server, &mut puppet], LATENCY * 4);
            read(server);
            bench.run(&mut [server, &mut puppet], LATENCY * 4);
            bench.with(1, &puppet, |cx| cx.reset(stream));
            bench.run(&mut [server, &mut puppet], LATENCY * 4);
            read(server);
            let word = |input: &Input| matches!(input, Input::Frame { .. });
            spoke |= puppet.inputs.iter().any(word);
            puppet.inputs = Vec::new();
            bench.take_facts(0);
        }
    };
    rounds(0, count / 4);
    let held = measure(|| rounds(count / 4, count + count / 4)).bytes_current;
    // The bench keeps what is dialed, in a list that grows by doubling, each dial with one address.
    let of_bench = bench.dials(0).len() * (2 * size_of::<Dial>() + 128);
    (held - i64::try_from(of_bench).unwrap(), spoke)
}

fn kad(turn: u64) -> (ProtocolName, Vec<u8>) {
    let key = Bytes::from([&b"/x/"[..], &turn.to_be_bytes()].concat());
    let kind = match turn % 6 {
        0 => MessageType::PutValue,
        1 => MessageType::GetValue,
        2 => MessageType::AddProvider,
        3 => MessageType::GetProviders,
        4 => MessageType::FindNode,
        _ => MessageType::Ping,
    };
    let mut message = KadMessage::new(kind, key.clone());
    if kind == MessageType::PutValue {
        message.record = Some(Record {
            key,
            value: vec![7; 100].into(),
            ..Record::default()
        });
    }
    if kind == MessageType::AddProvider {
        message.providers.push(Contact {
            peer: strangers()[1],
            addrs: vec!["/ip4/192.0.2.9/tcp/1".parse().unwrap()],
        });
    }
    (ProtocolName::from_static("/x/kad"), message.encode())
}

fn rendezvous(turn: u64) -> (ProtocolName, Vec<u8>) {
    let namespace = format!("namespace {turn}").as_str().into();
    let message = match turn % 3 {
        0 => Rdv::Register(Registration {
            namespace,
            record: turn.to_be_bytes().to_vec().into(),
            ttl: Some(7200 + turn % 100),
        }),
        1 => Rdv::Unregister { namespace },
        _ => Rdv::Discover {
            namespace,
            limit: Some(turn),
            cookie: Bytes::new(),
        },
    };
    (libp2p_proto_rendezvous::NAME, message.encode())
}

fn autonat(turn: u64) -> (ProtocolName, Vec<u8>) {
    let addr = |host: u64| {
        let text = format!("/ip4/1.2.{}.{}/tcp/{}", host % 256, turn % 256, 1 + turn % 60_000);
        Bytes::copy_from_slice(text.parse::<libp2p_proto_core::Multiaddr>().unwrap().as_bytes())
    };
    if turn % 2 == 0 {
        let message = v1::Message::Dial {
            peer: Some(Bytes::copy_from_slice(strangers()[1].as_bytes())),
            addrs: vec![addr(turn), addr(turn + 1)],
        };
        (V1, message.encode())
    } else {
        let message = v2::Message::DialRequest {
            addrs: vec![addr(turn)],
            nonce: turn,
        };
        (DIAL_REQUEST, message.encode())
    }
}

fn relay(turn: u64) -> (ProtocolName, Vec<u8>) {
    let message = if turn % 2 == 0 {
        HopMessage::Reserve
    } else {
        let other: Identity = Keypair::ed25519_from_seed([u8::try_from(turn % 251).unwrap(); 32]).into();
        HopMessage::Connect {
            peer: other.peer_id(),
        }
    };
    (HOP, message.encode())
}

fn push(turn: u64) -> (ProtocolName, Vec<u8>) {
    let message = encode(|out: &mut Writer<'_>| {
        out.string(3, &format!("/protocol/{turn}"));
        out.string(6, &format!("agent {turn}"));
    });
    (PUSH_NAME, message)
}

fn question(turn: u64) -> (ProtocolName, Vec<u8>) {
    (ProtocolName::from_static("/x/ask"), turn.to_be_bytes().to_vec())
}

fn fetch(turn: u64) -> (ProtocolName, Vec<u8>) {
    let message = encode(|out: &mut Writer<'_>| out.string(1, &format!("key {turn}")));
    (libp2p_proto_fetch::NAME, message)
}

fn perf(turn: u64) -> (ProtocolName, Vec<u8>) {
    (libp2p_proto_perf::NAME, (turn % 1000).to_be_bytes().to_vec())
}

fn ping(turn: u64) -> (ProtocolName, Vec<u8>) {
    (
        libp2p_proto_ping::NAME,
        vec![u8::try_from(turn % 256).unwrap(); 32],
    )
}

/// Requests of each kind; a million take some minutes: `SERVER_REQUESTS=1000000`.
fn count() -> u64 {
    let count = env::var("SERVER_REQUESTS").ok();
    count.and_then(|text| text.parse().ok()).unwrap_or(600)
}

/// What a full server may still grow by: counters, and the room of queues.
const BUDGET: i64 = 16 << 10;

#[test]
fn vul_180_what_one_peer_lets_a_server_keep_has_an_end() {
    // A quarter of the requests fills the stores.
    let store = StoreLimits {
        values: 20,
        provided: 20,
        providers: 20,
        ..StoreLimits::default()
    };
    let rate = Rate::per_second(1_000_000, 1_000_000);
    let config = KadConfig {
        mode: Mode::Server,
        store,
        rate,
        ..KadConfig::private(kad(0).0, Validators::none().with("x", AnyValue))
    };
    let mut node = Kad::new(strangers()[0], config).unwrap();
    let read = |node: &mut Kad| while node.poll_event().is_some() {};
    let (held, spoke) = flood(&mut node, kad, read, count());
    assert!(spoke && held <= BUDGET, "kad: {held}");

    let config = RendezvousConfig {
        serve: true,
        rate,
        ..RendezvousConfig::default()
    };
    let mut node = Rendezvous::new(identity(), config).unwrap();
    let read = |node: &mut Rendezvous| while node.poll_event().is_some() {};
    let (held, spoke) = flood(&mut node, rendezvous, read, count());
    assert!(spoke && held <= BUDGET, "rendezvous: {held}");

    let config = RelayConfig {
        peer_rate: rate,
        ip_rate: rate,
        ..RelayConfig::default()
    };
    // Nobody is served who could not be told where we are.
    let mut node = Knowing::reachable(Relay::new(identity(), Some(config), None).unwrap());
    let read = |node: &mut Knowing<Relay>| while node.machine.poll_event().is_some() {};
    let (held, spoke) = flood(&mut node, relay, read, count());
    assert!(spoke && held <= BUDGET, "relay: {held}");

    let config = AutonatConfig {
        server: Some(ServerConfig {
            when: Serve::Always,
            ..ServerConfig::default()
        }),
        ..AutonatConfig::default()
    };
    let mut node = Autonat::new(config).unwrap();
    let read = |node: &mut Autonat| while node.poll_event().is_some() {};
    let (held, spoke) = flood(&mut node, autonat, read, count());
    assert!(spoke && held <= BUDGET, "autonat: {held}");
}

#[test]
fn vul_180_a_server_that_keeps_nothing_grows_by_nothing() {
    let mut node = Identify::new(identity(), Default::default()).unwrap();
    let read = |node: &mut Identify| while node.poll_event().is_some() {};
    // A push is not answered.
    let (held, _) = flood(&mut node, push, read, count());
    assert!(held <= BUDGET, "identify: {held}");

    let spec = Spec::length_delimited(question(0).0, 1024, 1024);
    let mut node = RequestResponse::new(vec![spec], Default::default()).unwrap();
    let answer = |node: &mut RequestResponse| {
        while let Some(event) = node.poll_event() {
            if let Event::Request { id, .. } = event {
                node.respond(id, Bytes::from_static(b"yes")).unwrap();
            }
        }
    };
    let (held, spoke) = flood(&mut node, question, answer, count());
    assert!(spoke && held <= BUDGET, "request-response: {held}");

    let mut node = Fetch::new(|key| Some(Bytes::copy_from_slice(key.as_bytes())));
    let (held, spoke) = flood(&mut node, fetch, |_| (), count());
    assert!(spoke && held <= BUDGET, "fetch: {held}");

    let config = PerfConfig {
        serve: true,
        ..PerfConfig::default()
    };
    let mut node = Perf::new(config).unwrap();
    let read = |node: &mut Perf| while node.poll_event().is_some() {};
    let (held, spoke) = flood(&mut node, perf, read, count());
    assert!(spoke && held <= BUDGET, "perf: {held}");

    // The puppet would not answer pings of ours.
    let config = PingConfig {
        interval: None,
        ..PingConfig::default()
    };
    let mut node = Ping::new(config).unwrap();
    let read = |node: &mut Ping| while node.poll_event().is_some() {};
    let (held, spoke) = flood(&mut node, ping, read, count());
    assert!(spoke && held <= BUDGET, "ping: {held}");
}

#[test]
fn vul_139_over_a_relay_go_only_protocols_that_are_light_or_build_the_way_around_it() {
    let spec = Spec::length_delimited(question(0).0, 1024, 1024);
    let autonat = Autonat::new(AutonatConfig::default()).unwrap();
    let servers: [(&str, Box<dyn Protocol>, &[&str]); 11] = [
        (
            "kad",
            Box::new(Kad::new(strangers()[0], KadConfig::default()).unwrap()),
            &[],
        ),
        (
            "gossipsub",
            Box::new(Gossipsub::new(identity(), Default::default()).unwrap()),
            &[],
        ),
        ("perf", Box::new(Perf::new(Default::default()).unwrap()), &[]),
        (
            "request-response",
            Box::new(RequestResponse::new(vec![spec], Default::default()).unwrap()),
            &[],
        ),
        (
            "rendezvous",
            Box::new(Rendezvous::new(identity(), Default::default()).unwrap()),
            &[],
        ),
        ("fetch", Box::new(Fetch::new(|_| None)), &[]),
        (
            "echo",
            Box::new(Echo::new(ProtocolName::from_static("/echo/1.0.0"))),
            &[],
        ),
        // Accepted there only to be refused in words: see its own tests.
        (
            "autonat",
            Box::new(autonat),
            &["/libp2p/autonat/1.0.0", "/libp2p/autonat/2/dial-request"],
        ),
        (
            "ping",
            Box::new(Ping::new(Default::default()).unwrap()),
            &["/ipfs/ping/1.0.0"],
        ),
        (
            "identify",
            Box::new(Identify::new(identity(), Default::default()).unwrap()),
            &["/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0"],
        ),
        (
            "dcutr",
            Box::new(Dcutr::new(Default::default()).unwrap()),
            &["/libp2p/dcutr"],
        ),
    ];
    for (who, server, expected) in servers {
        let limited = server.specs().iter().filter(|spec| spec.on_limited);
        let mut names: Vec<_> = limited.map(|spec| spec.name.as_str()).collect();
        names.dedup();
        assert_eq!(names, expected, "{who}");
    }
}
