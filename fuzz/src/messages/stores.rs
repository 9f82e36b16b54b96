//! Identify, records and those who keep them.

use super::agree;
use bytes::Bytes;
use libp2p_proto_core::{Multiaddr, PeerId, ProtocolName};
use libp2p_proto_identify::{Config, Message as Identify};
use libp2p_proto_identity::{Envelope, Error};
use libp2p_proto_kad::{Contact, Message as Kad, MessageType, Record};
use libp2p_proto_rendezvous::{Message as Rendezvous, Registration, Status};
use prost::Message as _;
use std::collections::BTreeSet;

fn addr(bytes: &[u8]) -> Option<Multiaddr> {
    Multiaddr::from_bytes(Bytes::copy_from_slice(bytes)).ok()
}

/// Strings are bytes: what is not UTF-8 is replaced, as go and js do.
#[derive(Clone, PartialEq, prost::Message)]
struct WireIdentify {
    #[prost(bytes = "vec", optional, tag = "1")]
    public_key: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    listen_addrs: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    protocols: Vec<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "4")]
    observed_addr: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    protocol_version: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "6")]
    agent_version: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "8")]
    signed_peer_record: Option<Vec<u8>>,
}

pub(super) fn identify(message: &[u8]) {
    let config = Config::default();
    let mut ours = Identify::default();
    let taken = ours.merge(message, &config);
    let Ok(theirs) = WireIdentify::decode(message) else {
        // A known field of another wire type is passed over by us, and an error to prost.
        return;
    };
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.chars()
            .scan(0, |len, char| {
                *len += char.len_utf8();
                (*len <= config.max_string).then_some(char)
            })
            .collect::<String>()
    };
    let name = |bytes: &Vec<u8>| {
        let text = core::str::from_utf8(bytes).ok()?;
        ProtocolName::new(text).ok()
    };
    let few = |list: &[Vec<u8>], max: usize| {
        list.len() <= max && list.iter().all(|entry| entry.len() <= config.max_string)
    };
    if !few(&theirs.listen_addrs, config.max_addrs) || !few(&theirs.protocols, config.max_protocols) {
        return;
    }
    let theirs = Identify {
        public_key: theirs.public_key.map(Bytes::from),
        listen_addrs: theirs
            .listen_addrs
            .iter()
            .filter_map(|bytes| addr(bytes))
            .collect(),
        protocols: theirs.protocols.iter().filter_map(name).collect(),
        observed_addr: theirs.observed_addr.as_deref().and_then(addr),
        protocol_version: theirs.protocol_version.map(text),
        agent_version: theirs.agent_version.map(text),
        signed_peer_record: theirs.signed_peer_record.map(Bytes::from),
    };
    agree(message, taken.map(|()| ours), Some(theirs));
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireKad {
    #[prost(uint64, tag = "1")]
    kind: u64,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    record: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "8")]
    closer: Vec<WirePeer>,
    #[prost(message, repeated, tag = "9")]
    providers: Vec<WirePeer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WirePeer {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    addrs: Vec<Vec<u8>>,
    #[prost(uint64, tag = "3")]
    connection: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireRecord {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "5")]
    received: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "666")]
    publisher: Option<Vec<u8>>,
    #[prost(uint64, tag = "777")]
    ttl: u64,
}

pub(super) fn kad(message: &[u8]) {
    const CLOSER: usize = 20;
    let ours = Kad::decode(message, message.len(), CLOSER);
    let theirs = WireKad::decode(message).ok().and_then(kad_means);
    let has_record = ours.as_ref().is_ok_and(|ours| ours.record.is_some());
    if theirs.is_none() && has_record {
        // An extension of a record that has another wire type is passed over by us.
        return;
    }
    agree(message, ours, theirs);
}

fn kad_means(wire: WireKad) -> Option<Kad> {
    let kind = match wire.kind {
        0 => MessageType::PutValue,
        1 => MessageType::GetValue,
        2 => MessageType::AddProvider,
        3 => MessageType::GetProviders,
        4 => MessageType::FindNode,
        5 => MessageType::Ping,
        _ => return None,
    };
    let mut record = None;
    for bytes in wire.record {
        let wire = WireRecord::decode(&bytes[..]).ok()?;
        let received = wire.received.and_then(|bytes| String::from_utf8(bytes).ok());
        record = Some(Record {
            key: wire.key.into(),
            value: wire.value.into(),
            received: received.filter(|text| text.len() <= 64),
            publisher: wire.publisher.and_then(|id| PeerId::from_bytes(&id).ok()),
            ttl: u32::try_from(wire.ttl).unwrap_or(u32::MAX),
        });
    }
    Some(Kad {
        kind,
        key: wire.key.into(),
        record,
        closer: contacts(wire.closer, 20),
        providers: contacts(wire.providers, 1000),
    })
}

fn contacts(list: Vec<WirePeer>, max: usize) -> Vec<Contact> {
    let mut seen = BTreeSet::new();
    let mut contacts = Vec::new();
    for wire in list {
        let Ok(peer) = PeerId::from_bytes(&wire.id) else {
            continue;
        };
        if contacts.len() == max || !seen.insert(peer) {
            continue;
        }
        let own = |bytes: &Vec<u8>| match addr(bytes)?.split_peer_id() {
            (addr, named) if named.is_none_or(|named| named == peer) => addr,
            _ => None,
        };
        let mut size = 0;
        let fitting = wire.addrs.iter().take_while(|bytes| {
            size += 1 + prost::length_delimiter_len(bytes.len()) + bytes.len();
            size <= 8 * 1024
        });
        let addrs = fitting.take(32).filter_map(own).collect();
        contacts.push(Contact { peer, addrs });
    }
    contacts
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireEnvelope {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    payload_type: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    signature: Vec<u8>,
}

/// What is signed is what prost reads too: of two payloads nobody may see one and verify the other.
pub(super) fn record(message: &[u8]) {
    const DOMAIN: &str = "fuzz";
    let theirs = WireEnvelope::decode(message).ok();
    let payload_type = theirs.as_ref().map_or(&[][..], |wire| &wire.payload_type);
    match Envelope::open(message, &[(payload_type, DOMAIN)]) {
        Ok(ours) => {
            let theirs = theirs.unwrap_or_default();
            assert_eq!(ours.payload(), &theirs.payload[..]);
            assert_eq!(ours.payload_type(), theirs.payload_type);
            assert_eq!(ours.signer().encode(), theirs.key);
        }
        Err(Error::MalformedEnvelope) => {
            let is_whole = |wire: WireEnvelope| !wire.key.is_empty() && !wire.signature.is_empty();
            assert!(!theirs.is_some_and(is_whole) || super::holds_a_group(message));
        }
        // The type is the one that prost reads.
        Err(Error::PayloadType) => panic!("the types differ"),
        Err(_) => {}
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireRendezvous {
    #[prost(uint64, optional, tag = "1")]
    kind: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "2")]
    register: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    register_response: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "4")]
    unregister: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    discover: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "6")]
    discover_response: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireRegistration {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(bytes = "vec", tag = "2")]
    record: Vec<u8>,
    #[prost(uint64, optional, tag = "3")]
    ttl: Option<u64>,
}

impl WireRegistration {
    fn means(self) -> Registration {
        Registration {
            namespace: self.namespace.into(),
            record: self.record.into(),
            ttl: self.ttl,
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireRegistered {
    #[prost(uint64, optional, tag = "1")]
    status: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    ttl: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireNamespace {
    #[prost(string, tag = "1")]
    namespace: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireDiscover {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(uint64, optional, tag = "2")]
    limit: Option<u64>,
    #[prost(bytes = "vec", tag = "3")]
    cookie: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireDiscovered {
    #[prost(bytes = "vec", repeated, tag = "1")]
    registrations: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "2")]
    cookie: Vec<u8>,
    #[prost(uint64, optional, tag = "3")]
    status: Option<u64>,
}

pub(super) fn rendezvous(message: &[u8]) {
    const MAX: usize = 100;
    let ours = Rendezvous::decode(message, MAX);
    let wire = WireRendezvous::decode(message).ok();
    let unregisters = wire.as_ref().is_some_and(|wire| wire.kind == Some(2));
    let theirs = wire.and_then(|wire| rendezvous_means(wire, MAX));
    if theirs.is_none() && ours.is_ok() && unregisters {
        // A namespace of another wire type is none to us, where nothing answers.
        return;
    }
    agree(message, ours, theirs);
}

fn rendezvous_means(wire: WireRendezvous, max: usize) -> Option<Rendezvous> {
    Some(match wire.kind? {
        0 => {
            let part = WireRegistration::decode(&wire.register?[..]).ok()?;
            Rendezvous::Register(part.means())
        }
        1 => {
            let part = WireRegistered::decode(&wire.register_response?[..]).ok()?;
            Rendezvous::RegisterResponse {
                status: rendezvous_status(part.status?),
                ttl: part.ttl,
            }
        }
        2 => Rendezvous::Unregister {
            namespace: WireNamespace::decode(&wire.unregister?[..])
                .ok()?
                .namespace
                .into(),
        },
        3 => {
            let part = WireDiscover::decode(&wire.discover?[..]).ok()?;
            Rendezvous::Discover {
                namespace: part.namespace.into(),
                limit: part.limit,
                cookie: part.cookie.into(),
            }
        }
        4 => {
            let part = WireDiscovered::decode(&wire.discover_response?[..]).ok()?;
            let registrations = part.registrations.iter().filter_map(|bytes| {
                let entry = WireRegistration::decode(&bytes[..]).ok()?;
                (!super::is_with_group(bytes)).then(|| entry.means())
            });
            Rendezvous::DiscoverResponse {
                status: rendezvous_status(part.status?),
                registrations: registrations.take(max).collect(),
                cookie: part.cookie.into(),
            }
        }
        _ => return None,
    })
}

const fn rendezvous_status(number: u64) -> Status {
    match number {
        0 => Status::Ok,
        100 => Status::InvalidNamespace,
        101 => Status::InvalidSignedPeerRecord,
        102 => Status::InvalidTtl,
        103 => Status::InvalidCookie,
        200 => Status::NotAuthorized,
        300 => Status::InternalError,
        400 => Status::Unavailable,
        other => Status::Unknown(other),
    }
}
