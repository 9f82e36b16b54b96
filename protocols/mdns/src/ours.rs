//! What we say of ourselves.

use crate::{
    Config, Error, HOST_TTL, Interface,
    name::Name,
    wire::{Data, Message, Question, Record, class, kind},
};
use alloc::{collections::BTreeSet, format, string::String, vec::Vec};
use core::{
    net::{IpAddr, Ipv6Addr},
    ops::BitOr,
    time::Duration,
};
use libp2p_proto_core::{AddressClass, Component, Multiaddr, PeerId, Rng};

/// What stands before an address in a string.
pub(crate) const KEY: &str = "dnsaddr=";
/// Bytes of a string (RFC 6763, § 6.1).
const MAX_STRING: usize = 255;
/// Characters of an instance name, 32 to 63 (specification, § Definitions).
const INSTANCE: usize = 32;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// The name whose pointers are the services of a link (RFC 6763, § 9).
const META: &str = "_services._dns-sd._udp.local";

/// A set of our records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const NONE: Self = Self(0);
    /// The pointer from the service to us, and what belongs to it.
    pub(crate) const PTR: Self = Self(1);
    /// The pointer from the list of services to ours.
    pub(crate) const META: Self = Self(2);
    /// Our addresses.
    pub(crate) const TXT: Self = Self(4);
    /// Our port.
    pub(crate) const SRV: Self = Self(8);
    /// The addresses of the interface.
    pub(crate) const HOST: Self = Self(16);
    /// Each alone.
    pub(crate) const EACH: [Self; 5] = [Self::PTR, Self::META, Self::TXT, Self::SRV, Self::HOST];

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[must_use]
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Kinds {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// For whom records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A responder: records hold for long, and the unique ones replace what it knew.
    Multicast,
    /// A resolver that knows no multicast: records hold for at most 10 s and replace nothing (RFC 6762, § 6.7).
    Legacy,
}

/// Our names, and the addresses that we listen at.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) service: Name,
    pub(crate) instance: Name,
    meta: Name,
    host: Name,
    local: PeerId,
    ttl: Duration,
    max_packet: usize,
    addrs: BTreeSet<Multiaddr>,
}

impl Ours {
    pub(crate) fn new(local: PeerId, config: &Config, rng: &mut Rng) -> Result<Self, Error> {
        let service: Name = config.service.parse()?;
        let mut label = Vec::with_capacity(INSTANCE);
        while label.len() < INSTANCE {
            let place = usize::try_from(rng.below(ALPHABET.len() as u64)).unwrap_or_default();
            label.extend(ALPHABET.get(place));
        }
        let local_domain: Name = "local".parse()?;
        Ok(Self {
            instance: service.child(&label)?,
            host: local_domain.child(&label)?,
            service,
            meta: META.parse()?,
            local,
            ttl: config.ttl,
            max_packet: config.max_packet,
            addrs: BTreeSet::new(),
        })
    }

    /// Replaces the addresses that we listen at. Says whether they changed.
    pub(crate) fn set(&mut self, addrs: BTreeSet<Multiaddr>) -> bool {
        let changed = self.addrs != addrs;
        self.addrs = addrs;
        changed
    }

    /// Who we are.
    pub(crate) const fn local(&self) -> PeerId {
        self.local
    }

    /// What a question asks of us.
    pub(crate) fn asked(&self, question: &Question) -> Kinds {
        if !matches!(question.class, class::IN | class::ANY) {
            return Kinds::NONE;
        }
        let about: &[(u16, Kinds)] = if question.name == self.service {
            &[(kind::PTR, Kinds::PTR)]
        } else if question.name == self.meta {
            &[(kind::PTR, Kinds::META)]
        } else if question.name == self.instance {
            &[(kind::TXT, Kinds::TXT), (kind::SRV, Kinds::SRV)]
        } else if question.name == self.host {
            &[(kind::A, Kinds::HOST), (kind::AAAA, Kinds::HOST)]
        } else {
            &[]
        };
        about
            .iter()
            .filter(|(kind, _)| question.kind == *kind || question.kind == kind::ANY)
            .fold(Kinds::NONE, |all, (_, kinds)| all | *kinds)
    }

    /// Whether a record is our own pointer, with at least half of its time to live.
    pub(crate) fn is_known(&self, record: &Record) -> bool {
        let half = self.ttl.as_secs().div_ceil(2);
        record.name == self.service
            && record.data == Data::Ptr(self.instance.clone())
            && u64::from(record.ttl) >= half
    }

    /// The addresses that are of use on an interface, without our id.
    pub(crate) fn addresses(&self, interface: &Interface) -> Vec<Multiaddr> {
        let mut found = Vec::new();
        for addr in &self.addrs {
            let (addr, peer) = addr.split_peer_id();
            let addr = addr.filter(|addr| is_well_known(addr) && peer.is_none_or(|peer| peer == self.local));
            for addr in addr.iter().flat_map(|addr| on(addr, interface)) {
                if !found.contains(&addr) {
                    found.push(addr);
                }
            }
        }
        found
    }

    /// The same, as strings that fit.
    fn strings(&self, interface: &Interface) -> Vec<String> {
        let whole = self.addresses(interface).into_iter();
        whole
            .filter_map(|addr| Some(format!("{KEY}{}", addr.with_peer_id(self.local).ok()?)))
            .filter(|text| text.len() <= MAX_STRING)
            .collect()
    }

    pub(crate) fn has_strings(&self, interface: &Interface) -> bool {
        !self.strings(interface).is_empty()
    }

    /// What can be said of `kinds` on this interface.
    pub(crate) fn records(&self, kinds: Kinds, interface: &Interface, reader: Reader) -> Vec<Record> {
        let mut records = Vec::new();
        let strings = self.strings(interface);
        if strings.is_empty() {
            return records;
        }
        if kinds.has(Kinds::PTR) {
            records.push(self.pointer(reader));
        }
        if kinds.has(Kinds::META) {
            let data = Data::Ptr(self.service.clone());
            records.push(record(&self.meta, data, self.ttl, reader, false));
        }
        if kinds.has(Kinds::TXT) {
            records.push(self.text(&strings, reader));
        }
        if kinds.has(Kinds::SRV) {
            records.push(self.port(interface, reader));
        }
        if kinds.has(Kinds::HOST) {
            records.extend(self.hosts(interface, reader));
        }
        records
    }

    /// One packet of the answer about the service, with the strings from the one of this number on; and the number where the next packet begins. Each is complete with
    /// pointer, port and host, and its one TXT record has as many strings as fit, at least one.
    pub(crate) fn answer(
        &self,
        interface: &Interface,
        from: usize,
        reader: Reader,
    ) -> (Message, Option<usize>) {
        let mut message = Message::response();
        message.answers.push(self.pointer(reader));
        let mut others = alloc::vec![self.port(interface, reader)];
        others.extend(self.hosts(interface, reader));
        let strings = self.strings(interface);
        let rest = strings.get(from..).unwrap_or_default();
        let fixed = message
            .records()
            .chain(&others)
            .chain([&self.text(&[], reader)])
            .map(Record::encoded_len)
            .fold(Message::HEADER, usize::saturating_add);
        let mut room = self.max_packet.saturating_sub(fixed);
        let mut count = 0_usize;
        for string in rest {
            let len = string.len().saturating_add(1);
            if count > 0 && len > room {
                break;
            }
            room = room.saturating_sub(len);
            count = count.saturating_add(1);
        }
        let now = rest.get(..count).unwrap_or_default();
        message.additionals.push(self.text(now, reader));
        message.additionals.append(&mut others);
        let next = (count > 0 && count < rest.len()).then(|| from.saturating_add(count));
        (message, next)
    }

    /// That we are gone.
    pub(crate) fn goodbye(&self) -> Message {
        let mut message = Message::response();
        let mut pointer = self.pointer(Reader::Multicast);
        pointer.ttl = 0;
        message.answers.push(pointer);
        message
    }

    /// The question who is there.
    pub(crate) fn question(&self) -> Question {
        Question {
            name: self.service.clone(),
            kind: kind::PTR,
            class: class::IN,
            unicast: false,
        }
    }

    /// Shared with everybody else of the service, so it replaces nothing.
    fn pointer(&self, reader: Reader) -> Record {
        let data = Data::Ptr(self.instance.clone());
        record(&self.service, data, self.ttl, reader, false)
    }

    fn text(&self, strings: &[String], reader: Reader) -> Record {
        let data = Data::txt(strings.iter().map(String::as_bytes));
        record(&self.instance, data, self.ttl, reader, true)
    }

    fn port(&self, interface: &Interface, reader: Reader) -> Record {
        let ports = |addr: &Multiaddr| {
            addr.components().find_map(|component| match component {
                Component::Tcp(port) | Component::Udp(port) => Some(port),
                _ => None,
            })
        };
        let data = Data::Srv {
            priority: 0,
            weight: 0,
            port: self
                .addresses(interface)
                .iter()
                .find_map(ports)
                .unwrap_or_default(),
            target: self.host.clone(),
        };
        record(&self.instance, data, self.ttl, reader, true)
    }

    fn hosts(&self, interface: &Interface, reader: Reader) -> Vec<Record> {
        let hosts = interface.addrs.iter();
        hosts
            .map(|(ip, _)| record(&self.host, Data::Address(*ip), HOST_TTL, reader, true))
            .collect()
    }
}

fn record(name: &Name, data: Data, ttl: Duration, reader: Reader, unique: bool) -> Record {
    let ttl = match reader {
        Reader::Multicast => ttl,
        Reader::Legacy => ttl.min(LEGACY_TTL),
    };
    Record {
        name: name.clone(),
        class: class::IN,
        flush: unique && reader == Reader::Multicast,
        ttl: u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX),
        data,
    }
}

/// How long a record holds for a resolver that knows no multicast (RFC 6762, § 6.7).
const LEGACY_TTL: Duration = Duration::from_secs(10);

/// Whether everybody can read an address, and dial it without anything between: one string that js-libp2p can't parse makes it drop the whole answer, and browsers'
/// transports and relays are no use on a link.
fn is_well_known(addr: &Multiaddr) -> bool {
    addr.components().all(|component| {
        matches!(
            component,
            Component::Ip4(_)
                | Component::Ip6(_)
                | Component::Dns(_)
                | Component::Dns4(_)
                | Component::Dns6(_)
                | Component::Tcp(_)
                | Component::Udp(_)
                | Component::QuicV1
        )
    }) && addr.components().count() > 1
}

/// Whether a name is one of the link.
pub(crate) fn is_local_name(addr: &Multiaddr) -> bool {
    match addr.components().next() {
        Some(Component::Dns(name) | Component::Dns4(name) | Component::Dns6(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            let ending = name.len().checked_sub(6).and_then(|at| name.get(at..));
            ending.is_some_and(|ending| ending.eq_ignore_ascii_case(".local"))
        }
        _ => false,
    }
}

/// An address as it is announced on an interface: those of its links, and of all its addresses where all are meant.
fn on(addr: &Multiaddr, interface: &Interface) -> Vec<Multiaddr> {
    let dialable = |ip: IpAddr| !matches!(ip, IpAddr::V6(ip) if needs_zone(ip));
    match (addr.class(), addr.ip()) {
        (AddressClass::Unspecified, Some(any)) => {
            let own = interface.addrs.iter().map(|(ip, _)| *ip);
            own.filter(|ip| ip.is_ipv4() == any.is_ipv4() && dialable(*ip))
                .filter_map(|ip| at(addr, ip))
                .collect()
        }
        (AddressClass::Name, None) if is_local_name(addr) => alloc::vec![addr.clone()],
        (_, Some(ip)) if interface.has(ip) || (interface.is_on_link(ip) && dialable(ip)) => {
            alloc::vec![addr.clone()]
        }
        _ => Vec::new(),
    }
}

/// Nobody can dial a link-local address without knowing by which interface.
const fn needs_zone(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local()
}

/// The same address at another IP.
pub(crate) fn at(addr: &Multiaddr, ip: IpAddr) -> Option<Multiaddr> {
    let behind = addr.components().skip(1);
    Multiaddr::from_components([Component::from(ip)].into_iter().chain(behind)).ok()
}
