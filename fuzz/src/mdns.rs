//! Discovery on a link: packets that are almost right, bytes that are not, interfaces and addresses that come and go.

use crate::budget;
use arbitrary::{Result, Unstructured};
use core::{net::SocketAddr, time::Duration};
use libp2p_proto_core::{Instant, PeerId, Rng, TransmitBuf};
use libp2p_proto_mdns::{
    Config, Data, Family, Interface, MAX_DATAGRAM, Mdns, Message, Question, Received, Record, Transmit, kind,
};
use std::collections::BTreeMap;

/// What a packet may cost for each byte of it: a pointer of two bytes stands for a name of 255.
const FACTOR: usize = 200;
/// What a machine may hold for an input of any length: its peers, and what waits.
const MEMORY: usize = 1 << 20;
/// Packets that each second may bring for each link: a question and its rest, two announcements, an answer in parts.
const PACKETS: usize = 64;

/// Runs one input as a packet.
///
/// # Panics
///
/// If what was read is not written back, or costs too much.
pub fn run_packet(data: &[u8]) {
    budget::memory("a packet", 16 * 1024 + FACTOR * data.len(), || {
        let Ok(message) = Message::decode(data) else {
            return;
        };
        let written = message.encode();
        // What was compressed may be too long without it, and what is of no ordinary kind is not kept bit by bit.
        if written.len() <= MAX_DATAGRAM {
            assert_eq!(Message::decode(&written).as_ref(), Ok(&message));
        }
    });
}

/// Runs one input as the life of a host.
///
/// # Panics
///
/// If the machine does not keep its word.
pub fn run(data: &[u8]) {
    run_packet(data);
    budget::memory("a host", MEMORY + FACTOR * data.len(), || {
        // An input that ends in the middle of a choice ends the run.
        let _end = live(&mut Unstructured::new(data));
    });
}

fn interface(id: u32, last: u8) -> Interface {
    Interface {
        id,
        addrs: vec![
            ([192, 168, 1, last].into(), 24),
            ([0xfe80, 0, 0, 0, 0, 0, 0, last.into()].into(), 64),
        ],
        families: vec![Family::Ip4, Family::Ip6],
    }
}

struct Host {
    mdns: Mdns,
    now: Instant,
    /// When each link was last asked, to hold the machine to one question a second.
    asked: BTreeMap<(u32, bool), Instant>,
    second: (u64, usize),
    heard: usize,
}

fn live(choices: &mut Unstructured<'_>) -> Result<()> {
    let local = PeerId::random(&mut Rng::from_seed([1; 32]));
    let config = Config {
        max_peers: 16,
        max_events: 32,
        ..Config::default()
    };
    let mdns = Mdns::new(local, config, [2; 32]).expect("the configuration is valid");
    let mut host = Host {
        mdns,
        now: Instant::ZERO,
        asked: BTreeMap::new(),
        second: (0, 0),
        heard: 0,
    };
    host.mdns.start(host.now);
    while !choices.is_empty() {
        step(&mut host, choices)?;
        drain(&mut host);
        let census = host.mdns.census();
        assert!(census.peers <= 16 && census.addrs <= 16 * 32, "{census:?}");
        assert!(census.events <= 32 + 16, "{census:?}");
        assert!(census.waiting <= 64, "{census:?}");
    }
    Ok(())
}

fn step(host: &mut Host, choices: &mut Unstructured<'_>) -> Result<()> {
    let now = host.now;
    match choices.int_in_range(0..=9)? {
        0 => {
            let id = choices.int_in_range(1..=3)?;
            let _too_many = host
                .mdns
                .handle_interface(now, interface(id, choices.arbitrary()?));
        }
        1 => host.mdns.handle_interface_down(now, choices.int_in_range(1..=4)?),
        2 => {
            let port: u8 = choices.arbitrary()?;
            let addrs = ["/ip4/0.0.0.0/tcp", "/ip6/::/tcp", "/ip4/192.168.1.7/tcp"];
            let count = choices.int_in_range(0..=3)?;
            let texts = addrs.iter().take(count).map(|addr| format!("{addr}/{port}"));
            host.mdns
                .set_addresses(now, texts.filter_map(|text| text.parse().ok()));
        }
        3 => host.mdns.handle_timeout(now),
        4 => {
            host.now = now + Duration::from_millis(choices.int_in_range(0..=5000)?);
            pass(host);
        }
        5 => while host.mdns.poll_event().is_some() {},
        6 if choices.ratio(1, 8)? => host.mdns.stop(now),
        6 => host.mdns.start(now),
        7 => {
            let len = choices.int_in_range(0..=200)?.min(choices.len());
            let bytes = choices.bytes(len)?.to_vec();
            hear(host, choices, &bytes)?;
        }
        _ => {
            let bytes = packet(choices)?.encode();
            hear(host, choices, &bytes)?;
        }
    }
    Ok(())
}

/// Handles what falls due, which has to end.
fn pass(host: &mut Host) {
    for round in 0.. {
        let Some(deadline) = host
            .mdns
            .poll_timeout()
            .filter(|deadline| deadline.at <= host.now)
        else {
            return;
        };
        assert!(round < 64, "`{}` stays due", deadline.why);
        host.mdns.handle_timeout(host.now);
        drain(host);
    }
}

fn hear(host: &mut Host, choices: &mut Unstructured<'_>, bytes: &[u8]) -> Result<()> {
    let port = if choices.ratio(1, 4)? { 40_000 } else { 5353 };
    let from: SocketAddr = match choices.int_in_range(0..=3)? {
        0 => ([8, 8, 8, 8], port).into(),
        1 => ([0xfe80, 0, 0, 0, 0, 0, 0, 9], port).into(),
        _ => ([192, 168, 1, choices.arbitrary()?], port).into(),
    };
    let to = if from.is_ipv4() {
        libp2p_proto_mdns::GROUP4.into()
    } else {
        libp2p_proto_mdns::GROUP6.into()
    };
    let interface = choices.int_in_range(1..=4)?;
    host.heard += 1;
    let _dropped = host
        .mdns
        .handle_datagram(host.now, &Received { interface, from, to }, bytes);
    Ok(())
}

/// A packet of the service, or nearly.
fn packet(choices: &mut Unstructured<'_>) -> Result<Message> {
    let names = [
        "_p2p._udp.local",
        "_services._dns-sd._udp.local",
        "a._p2p._udp.local",
        "b",
        "local",
    ];
    let name = |choices: &mut Unstructured<'_>| -> Result<libp2p_proto_mdns::Name> {
        Ok(choices.choose(&names)?.parse().expect("a name"))
    };
    let mut message = if choices.arbitrary()? {
        Message::response()
    } else {
        Message::query()
    };
    message.truncated = choices.ratio(1, 8)?;
    for _ in 0..choices.int_in_range(0..=2)? {
        message.questions.push(Question {
            name: name(choices)?,
            kind: *choices.choose(&[kind::PTR, kind::TXT, kind::ANY, kind::SRV])?,
            class: 1,
            unicast: choices.arbitrary()?,
        });
    }
    for _ in 0..choices.int_in_range(0..=6)? {
        let peer = PeerId::random(&mut Rng::from_seed([choices.arbitrary()?; 32]));
        let text = format!(
            "dnsaddr=/ip4/192.168.1.9/tcp/{}/p2p/{peer}",
            choices.int_in_range(1..=40)?
        );
        let data = match choices.int_in_range(0..=2)? {
            0 => Data::Ptr(name(choices)?),
            1 => Data::txt([text.as_bytes(), text.as_bytes()]),
            _ => Data::txt([text.as_bytes()]),
        };
        let record = Record {
            name: name(choices)?,
            class: 1,
            flush: choices.arbitrary()?,
            ttl: *choices.choose(&[0, 1, 10, 120, u32::MAX])?,
            data,
        };
        if choices.arbitrary()? {
            message.answers.push(record);
        } else {
            message.additionals.push(record);
        }
    }
    Ok(message)
}

fn drain(host: &mut Host) {
    let mut bytes = Vec::new();
    while let Some(to) = host
        .mdns
        .poll_transmit(host.now, &mut TransmitBuf::new(&mut bytes, MAX_DATAGRAM))
    {
        check(host, to, &bytes);
        bytes.clear();
    }
}

/// What is sent is well-formed, of a size that everybody reads, and no flood.
fn check(host: &mut Host, to: Transmit, bytes: &[u8]) {
    assert!(bytes.len() <= 1440, "{} bytes", bytes.len());
    let message = Message::decode(bytes).expect("what is sent can be read");
    let group = to.to.ip().is_multicast();
    assert!(
        !(message.response && group && !message.questions.is_empty()),
        "{message:?}"
    );
    assert!(
        group || to.to.ip().to_string() != "8.8.8.8",
        "a reply to a stranger"
    );
    if !message.response && !message.questions.is_empty() {
        let link = (to.interface, to.to.is_ipv4());
        if let Some(last) = host.asked.insert(link, host.now) {
            assert!(
                host.now.since(last) >= Duration::from_secs(1),
                "asked twice within a second"
            );
        }
    }
    let second = host.now.as_nanos() / 1_000_000_000;
    if host.second.0 != second {
        host.second = (second, 0);
        host.heard = 0;
    }
    host.second.1 += 1;
    let most = 6 * PACKETS + host.heard;
    budget::at_most("packets of a second", host.second.1, most);
}
