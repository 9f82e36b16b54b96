//! Hosts on one link in virtual time.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use data_encoding::HEXLOWER;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, Rng, TransmitBuf};
use libp2p_proto_mdns::{
    Config, Data, Dropped, Event, Family, Interface, Mdns, Message, Name, PORT, Question, Received, Record,
    class, kind,
};
use serde_json::Value;
use std::{collections::BTreeMap, fs};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// The peer of the vectors.
pub(crate) const A: &str = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
/// Its instance.
pub(crate) const INSTANCE: &str = "abcdefghijklmnopqrstuvwxyz012345";

pub(crate) fn millis(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(crate) fn peer(number: u64) -> PeerId {
    PeerId::random(&mut Rng::from_seed([7; 32]).fork("peer", number))
}

pub(crate) fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The packets of the vectors, by name.
pub(crate) fn vectors() -> BTreeMap<String, Vec<u8>> {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/vectors/mdns/packets.json"
    );
    let all: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let packets = all["packets"].as_array().unwrap();
    packets
        .iter()
        .map(|packet| {
            let bytes = HEXLOWER.decode(packet["bytes"].as_str().unwrap().as_bytes());
            (packet["name"].as_str().unwrap().to_owned(), bytes.unwrap())
        })
        .collect()
}

pub(crate) fn vector(name: &str) -> Vec<u8> {
    vectors()
        .remove(name)
        .unwrap_or_else(|| panic!("no vector {name}"))
}

/// The first interface of a host at 192.168.1.0/24 with this last byte.
pub(crate) fn lan(last: u8) -> Interface {
    Interface {
        id: 1,
        addrs: vec![([192, 168, 1, last].into(), 24)],
        families: vec![Family::Ip4],
    }
}

/// A packet that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) interface: u32,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn message(&self) -> Message {
        Message::decode(&self.bytes).unwrap()
    }

    pub(crate) fn is_query(&self) -> bool {
        !self.message().response
    }

    pub(crate) fn is_multicast(&self) -> bool {
        self.to.ip().is_multicast()
    }

    /// Whether it is the answer about the service, not a goodbye.
    pub(crate) fn is_answer(&self) -> bool {
        self.pointer().is_some_and(|record| record.ttl > 0)
    }

    pub(crate) fn is_goodbye(&self) -> bool {
        self.pointer().is_some_and(|record| record.ttl == 0)
    }

    fn pointer(&self) -> Option<Record> {
        let service = name("_p2p._udp.local");
        let message = self.message();
        let mut answers = message.answers.into_iter().filter(|_| message.response);
        answers.find(|record| record.name == service && record.data.kind() == kind::PTR)
    }

    /// The addresses in its strings.
    pub(crate) fn strings(&self) -> Vec<String> {
        let message = self.message();
        let strings = message
            .records()
            .flat_map(|record| record.data.strings().map(<[u8]>::to_vec).collect::<Vec<_>>());
        strings.map(|string| String::from_utf8(string).unwrap()).collect()
    }
}

/// One host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) mdns: Mdns,
    pub(crate) now: Instant,
    pub(crate) sent: Vec<Sent>,
    pub(crate) events: Vec<Event>,
}

impl Host {
    /// Host `number` at 192.168.1.`number`, which listens on all interfaces and was started.
    pub(crate) fn new(number: u8) -> Self {
        Self::with(number, Config::default())
    }

    pub(crate) fn with(number: u8, config: Config) -> Self {
        let mut host = Self::off(number, config);
        let now = host.now;
        host.mdns.set_addresses(now, [addr("/ip4/0.0.0.0/tcp/4001")]);
        host.mdns.handle_interface(now, lan(number)).unwrap();
        host.mdns.start(now);
        host
    }

    /// A host that was told nothing.
    pub(crate) fn off(number: u8, config: Config) -> Self {
        let who = peer(number.into());
        Self {
            mdns: Mdns::new(who, config, [number; 32]).unwrap(),
            now: millis(1000),
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The host of the vectors: peer A with its two addresses at 192.168.1.5, its first announcements behind it.
    pub(crate) fn of_the_vectors() -> Self {
        let mut host = Self::off(5, Config::default());
        host.mdns = Mdns::new(A.parse().unwrap(), Config::default(), [5; 32]).unwrap();
        let addrs = ["/ip4/192.168.1.5/tcp/4001", "/ip4/192.168.1.5/udp/4001/quic-v1"];
        host.mdns.set_addresses(host.now, addrs.map(addr));
        host.mdns.handle_interface(host.now, lan(5)).unwrap();
        host.mdns.start(host.now);
        host.wait(Duration::from_secs(10));
        host.sent.clear();
        host
    }

    pub(crate) fn drain(&mut self) {
        let mut bytes = Vec::new();
        while let Some(to) = self
            .mdns
            .poll_transmit(self.now, &mut TransmitBuf::new(&mut bytes, 9000))
        {
            self.sent.push(Sent {
                at: self.now,
                interface: to.interface,
                to: to.to,
                bytes: core::mem::take(&mut bytes),
            });
        }
        self.events.extend(core::iter::from_fn(|| self.mdns.poll_event()));
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.drain();
        let until = self.now + time;
        while let Some(deadline) = self.mdns.poll_timeout().filter(|deadline| deadline.at <= until) {
            self.now = self.now.max(deadline.at);
            self.mdns.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// A packet comes from this address to the group.
    pub(crate) fn hear_from(&mut self, from: &str, bytes: &[u8]) -> Result<(), Dropped> {
        let from: SocketAddr = from.parse().unwrap();
        let to = match from {
            SocketAddr::V4(_) => IpAddr::from([224, 0, 0, 251]),
            SocketAddr::V6(_) => "ff02::fb".parse().unwrap(),
        };
        let interface = 1;
        let received = Received { interface, from, to };
        let result = self.mdns.handle_datagram(self.now, &received, bytes);
        self.drain();
        result
    }

    /// A packet comes from 192.168.1.9.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        self.hear_from("192.168.1.9:5353", bytes).unwrap();
    }

    /// What it says of itself within a second from now.
    pub(crate) fn answers(&mut self) -> Vec<Sent> {
        self.sent.clear();
        self.wait(SECOND);
        let sent = core::mem::take(&mut self.sent);
        sent.into_iter().filter(|sent| !sent.is_query()).collect()
    }

    /// The label of its instance.
    pub(crate) fn label(&mut self) -> String {
        self.hear(&query(&[question("_p2p._udp.local", kind::PTR)]));
        self.wait(Duration::from_secs(2));
        let answer = self.sent.iter().rfind(|sent| sent.is_answer()).unwrap();
        let message = answer.message();
        let Data::Ptr(instance) = &message.answers[0].data else {
            panic!("no pointer in {message:?}")
        };
        String::from_utf8(instance.labels().next().unwrap().to_vec()).unwrap()
    }

    /// The peers and addresses that were discovered, in order.
    pub(crate) fn discovered(&self) -> Vec<(PeerId, Vec<String>)> {
        let found = self.events.iter().filter_map(|event| match event {
            Event::Discovered { peer, addrs, .. } => {
                Some((*peer, addrs.iter().map(ToString::to_string).collect()))
            }
            _ => None,
        });
        found.collect()
    }

    pub(crate) fn expired(&self) -> Vec<(PeerId, Vec<String>)> {
        let gone = self.events.iter().filter_map(|event| match event {
            Event::Expired { peer, addrs } => Some((*peer, addrs.iter().map(ToString::to_string).collect())),
            _ => None,
        });
        gone.collect()
    }
}

/// Hosts on one link: what one of them sends to the group, all hear, itself included.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) hosts: Vec<Host>,
    delivered: Vec<usize>,
}

impl Link {
    pub(crate) fn new(hosts: Vec<Host>) -> Self {
        let delivered = vec![0; hosts.len()];
        Self { hosts, delivered }
    }

    fn carry(&mut self) {
        loop {
            let mut moved = false;
            for sender in 0..self.hosts.len() {
                self.hosts[sender].drain();
                let sent = self.hosts[sender].sent[self.delivered[sender]..].to_vec();
                self.delivered[sender] = self.hosts[sender].sent.len();
                let interfaces: Vec<_> = self.hosts[sender].mdns.interfaces().cloned().collect();
                for packet in sent {
                    moved = true;
                    let family = Family::of(packet.to.ip());
                    let own = interfaces
                        .iter()
                        .find(|own| own.id == packet.interface)
                        .and_then(|own| own.addrs.iter().find(|(ip, _)| Family::of(*ip) == family));
                    let Some((from, _)) = own else { continue };
                    for hears in &mut self.hosts {
                        let to = packet.to.ip();
                        let received = Received {
                            interface: 1,
                            from: SocketAddr::new(*from, PORT),
                            to,
                        };
                        let joined = |interface: &Interface| interface.families.contains(&family);
                        if to.is_multicast() && hears.mdns.interfaces().any(joined) {
                            let now = hears.now;
                            let result = hears.mdns.handle_datagram(now, &received, &packet.bytes);
                            let stopped = !hears.mdns.is_running();
                            assert!(result.is_ok() || stopped, "{result:?}: {packet:?}");
                        }
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets time pass for all.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.carry();
        let until = self.hosts[0].now + time;
        loop {
            let next = self
                .hosts
                .iter()
                .filter_map(|host| host.mdns.poll_timeout())
                .min();
            let Some(deadline) = next.filter(|deadline| deadline.at <= until) else {
                break;
            };
            for host in &mut self.hosts {
                host.now = host.now.max(deadline.at);
                host.mdns.handle_timeout(host.now);
            }
            self.carry();
        }
        for host in &mut self.hosts {
            host.now = until;
        }
    }
}

pub(crate) fn question(about: &str, kind: u16) -> Question {
    Question {
        name: name(about),
        kind,
        class: class::IN,
        unicast: false,
    }
}

pub(crate) fn query(questions: &[Question]) -> Vec<u8> {
    let mut message = Message::query();
    message.questions.extend_from_slice(questions);
    message.encode()
}

pub(crate) fn record(about: &str, ttl: u32, data: Data) -> Record {
    Record {
        name: name(about),
        class: class::IN,
        flush: false,
        ttl,
        data,
    }
}

pub(crate) fn pointer(instance: &str, ttl: u32) -> Record {
    record("_p2p._udp.local", ttl, Data::Ptr(name(instance)))
}

pub(crate) fn strings(instance: &str, ttl: u32, strings: &[&str]) -> Record {
    record(
        instance,
        ttl,
        Data::txt(strings.iter().map(|text| text.as_bytes())),
    )
}

/// The answer of an instance that names these strings, in the form of go, js and ours.
pub(crate) fn answer(instance: &str, ttl: u32, texts: &[&str]) -> Message {
    let mut message = Message::response();
    message.answers.push(pointer(instance, ttl));
    message.additionals.push(strings(instance, ttl, texts));
    message
}

/// The answer of peer `number` at 192.168.1.9, who listens at these addresses.
pub(crate) fn answer_of(number: u64, ttl: u32, addrs: &[&str]) -> Message {
    let id = peer(number);
    let texts: Vec<String> = addrs
        .iter()
        .map(|addr| format!("dnsaddr={addr}/p2p/{id}"))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    answer(&format!("instance{number}._p2p._udp.local"), ttl, &texts)
}
