//! A bench of relays and clients, and ends that say what the test wants.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "each test file uses its part, and tests fail by panicking"
)]

use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Multiaddr, PeerId, StreamId};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_relay::{
    ClientConfig, Event, HOP, HopMessage, Relay, STOP, ServerConfig, Status, StopMessage,
};
use libp2p_proto_stream_protocol::{
    Fact, Framing, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};

pub const LATENCY: Duration = Duration::from_millis(10);
pub const HOP_SPEC: u8 = 0;
pub const STOP_SPEC: u8 = 1;

pub fn identity(seed: u8) -> Identity {
    Keypair::ed25519_from_seed([seed; 32]).into()
}

pub fn peer(seed: u8) -> PeerId {
    identity(seed).peer_id()
}

pub fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn server(config: ServerConfig) -> Relay {
    Relay::new(identity(1), Some(config), None).unwrap()
}

pub fn client(seed: u8, config: ClientConfig) -> Relay {
    Relay::new(identity(seed), None, Some(config)).unwrap()
}

/// Somebody who speaks as the test says.
pub fn puppet() -> Puppet {
    let spec = |name| StreamSpec {
        carries_links: true,
        on_limited: true,
        max_inbound: 200,
        max_outbound: 200,
        ..StreamSpec::new(name, Framing::Held { max: 1 << 16 })
    };
    Puppet::with_specs(vec![spec(HOP), spec(STOP)])
}

/// Nodes with the keys of 1, 2, …; the first is the relay, with a public address.
pub fn bench(count: u8) -> Bench {
    let peers: Vec<_> = (1..=count).map(peer).collect();
    let mut bench = Bench::with_peers(1, &peers, LATENCY);
    publish(&mut bench, "/ip4/198.51.100.7/tcp/4001");
    bench
}

pub fn publish(bench: &mut Bench, at: &str) {
    let fact = Fact::ExternalAddress {
        addr: addr(at),
        confirmed: true,
    };
    bench.inject(0, Input::Fact(fact));
}

/// Runs for one second.
pub fn run(bench: &mut Bench, protocols: &mut [&mut dyn Protocol]) {
    bench.run(protocols, secs(1));
}

pub fn events(relay: &mut Relay) -> Vec<Event> {
    core::iter::from_fn(|| relay.poll_event()).collect()
}

/// What was said on a stream, as hop messages.
pub fn hops(puppet: &Puppet, stream: StreamId) -> Vec<HopMessage> {
    let frames = puppet.frames(stream);
    frames
        .iter()
        .map(|frame| HopMessage::decode(frame).unwrap())
        .collect()
}

pub fn stops(puppet: &Puppet, stream: StreamId) -> Vec<StopMessage> {
    let frames = puppet.frames(stream);
    frames
        .iter()
        .map(|frame| StopMessage::decode(frame).unwrap())
        .collect()
}

/// Lets a puppet open a hop stream to the relay and say something there: what comes back.
pub fn ask(
    bench: &mut Bench,
    node: usize,
    relay: &mut Relay,
    puppets: &mut [&mut Puppet],
    conn: ConnectionId,
    message: &[u8],
) -> (StreamId, Option<HopMessage>) {
    let place = node - 1;
    let stream = bench
        .with(node, &*puppets[place], |cx| {
            cx.open(Target::Connection(conn), &[HOP_SPEC])
        })
        .unwrap();
    run_all(bench, relay, puppets);
    let data = message.to_vec();
    let _written = bench.with(node, &*puppets[place], |cx| cx.write(stream, data));
    run_all(bench, relay, puppets);
    let answer = puppets[place]
        .frames(stream)
        .first()
        .map(|frame| HopMessage::decode(frame).unwrap());
    (stream, answer)
}

pub fn run_all(bench: &mut Bench, relay: &mut Relay, puppets: &mut [&mut Puppet]) {
    let mut all: Vec<&mut dyn Protocol> = vec![relay];
    for puppet in puppets {
        all.push(&mut **puppet);
    }
    bench.run(&mut all, Duration::from_millis(100));
}

pub fn status(message: Option<HopMessage>) -> Option<Status> {
    match message {
        Some(HopMessage::Status { status, .. }) => Some(status),
        _ => None,
    }
}

/// A message of this type about a peer, with those of the parts that `chosen` has a bit for: the peer is the first, `others` follow.
pub fn with_parts(kind: u8, about: PeerId, others: &[&[u8]], chosen: u8) -> Vec<u8> {
    let id = about.as_bytes();
    let len = u8::try_from(id.len()).unwrap();
    let about = [&[0x12, len + 2, 0x0a, len][..], id].concat();
    let parts = [&about[..]].into_iter().chain(others.iter().copied());
    let chosen = parts.enumerate().filter(|(place, _)| chosen >> place & 1 == 1);
    [&[8, kind][..]]
        .into_iter()
        .chain(chosen.map(|(_, part)| part))
        .flatten()
        .copied()
        .collect()
}
