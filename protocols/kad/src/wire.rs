//! The messages, in protobuf.

use crate::Malformed;
use alloc::{collections::BTreeSet, string::String, vec::Vec};
use bytes::Bytes;
use libp2p_proto_core::{
    Multiaddr, PeerId,
    protobuf::{Limits, Reader, Value, Writer, bytes_field_len, varint_field_len},
};

const TYPE: u32 = 1;
const KEY: u32 = 2;
const RECORD: u32 = 3;
const CLOSER: u32 = 8;
const PROVIDERS: u32 = 9;

const PEER_ID: u32 = 1;
const PEER_ADDR: u32 = 2;
const PEER_CONNECTION: u32 = 3;

const RECORD_KEY: u32 = 1;
const RECORD_VALUE: u32 = 2;
const RECORD_RECEIVED: u32 = 5;
const RECORD_PUBLISHER: u32 = 666;
const RECORD_TTL: u32 = 777;

/// Bytes of one peer entry, sent or read (go-libp2p-kad-dht `pb/message.go`).
pub(crate) const MAX_ENTRY: usize = 8 * 1024;
/// Addresses kept of one peer entry.
pub(crate) const MAX_ADDRS: usize = 32;
/// Provider entries taken from one answer.
pub(crate) const MAX_PROVIDERS: usize = 1000;
/// The longest text of a time that is kept.
const MAX_TIME: usize = 64;
/// Fields of one message: more peers than any limit lets through, so that those beyond it are only skipped.
const MAX_FIELDS: usize = 1 << 18;

/// What a message asks for or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageType {
    /// 0: store a value.
    PutValue,
    /// 1: the value of a key.
    GetValue,
    /// 2: the sender provides a content.
    AddProvider,
    /// 3: who provides a content.
    GetProviders,
    /// 4: the peers nearest to a key.
    FindNode,
    /// 5: deprecated; never sent by us.
    Ping,
}

impl MessageType {
    const fn number(self) -> u64 {
        match self {
            Self::PutValue => 0,
            Self::GetValue => 1,
            Self::AddProvider => 2,
            Self::GetProviders => 3,
            Self::FindNode => 4,
            Self::Ping => 5,
        }
    }

    const fn of(number: u64) -> Result<Self, Malformed> {
        Ok(match number {
            0 => Self::PutValue,
            1 => Self::GetValue,
            2 => Self::AddProvider,
            3 => Self::GetProviders,
            4 => Self::FindNode,
            5 => Self::Ping,
            other => return Err(Malformed::UnknownType(other)),
        })
    }
}

/// A peer and where it may be reached. The addresses are claims of whoever named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The peer.
    pub peer: PeerId,
    /// Its addresses, without a final `/p2p`; maybe none.
    pub addrs: Vec<Multiaddr>,
}

/// A value under its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The whole key, `/namespace/rest`.
    pub key: Bytes,
    /// The value, as its namespace defines it.
    pub value: Bytes,
    /// When the node that stored it got it: text that the sender chose. Never trusted.
    pub received: Option<String>,
    /// Who published it: an extension of rust-libp2p and litep2p.
    pub publisher: Option<PeerId>,
    /// Seconds until it expires: an extension of rust-libp2p and litep2p. 0: never.
    pub ttl: u32,
}

/// One message, request or answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: MessageType,
    /// Peer id, multihash, or a value's key. Answers may leave it out.
    pub key: Bytes,
    /// The value that is stored or found.
    pub record: Option<Record>,
    /// Peers nearer to the key.
    pub closer: Vec<Contact>,
    /// Who provides the content.
    pub providers: Vec<Contact>,
}

impl Message {
    /// A message of nothing but its type and key.
    pub const fn new(kind: MessageType, key: Bytes) -> Self {
        Self {
            kind,
            key,
            record: None,
            closer: Vec::new(),
            providers: Vec::new(),
        }
    }

    /// Reads a message of at most `max` bytes. At most `closer` closer peers and 1 000 providers are kept, each peer once, with 32 addresses each; an entry without a
    /// valid id and an address that can't be read are left out alone.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn decode(data: &[u8], max: usize, closer: usize) -> Result<Self, Malformed> {
        let limits = Limits {
            bytes: max,
            fields: MAX_FIELDS,
            ..Limits::default()
        };
        let mut message = Self::new(MessageType::PutValue, Bytes::new());
        let mut kind = 0;
        let (mut near, mut providing) = (Named::new(closer), Named::new(MAX_PROVIDERS));
        let mut reader = Reader::new(data, limits);
        while let Some(field) = reader.next_field()? {
            match field.number {
                TYPE => kind = field.value.to_u64()?,
                KEY => message.key = Bytes::copy_from_slice(field.value.to_bytes()?),
                RECORD => {
                    message.record = Some(decode_record(reader.nested(field.value.to_bytes()?)?)?);
                }
                CLOSER => near.take(reader.nested(field.value.to_bytes()?)?, &mut message.closer)?,
                PROVIDERS => {
                    providing.take(reader.nested(field.value.to_bytes()?)?, &mut message.providers)?;
                }
                _ => {}
            }
        }
        // Of several types the last one counts, as for every parser.
        message.kind = MessageType::of(kind)?;
        Ok(message)
    }

    /// The encoded message, fields in ascending order. Each peer entry is cut to 8 KiB.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with(usize::MAX)
    }

    /// The encoded message in at most `budget` bytes where possible: addresses beyond the first ones go first, then providers, then closer peers.
    pub fn encode_within(&self, budget: usize) -> Vec<u8> {
        let mut encoded = self.encode_with(usize::MAX);
        for addrs in [16, 8, 4, 2, 1] {
            if encoded.len() <= budget {
                return encoded;
            }
            encoded = self.encode_with(addrs);
        }
        if encoded.len() <= budget {
            return encoded;
        }
        let mut smaller = self.clone();
        while encoded.len() > budget {
            let over = encoded.len().saturating_sub(budget);
            let list = if smaller.providers.is_empty() {
                &mut smaller.closer
            } else {
                &mut smaller.providers
            };
            // An entry has at most 8 KiB, so this many have to go at least.
            let drop = (over / MAX_ENTRY).max(1);
            if list.is_empty() {
                break;
            }
            list.truncate(list.len().saturating_sub(drop));
            encoded = smaller.encode_with(1);
        }
        encoded
    }

    fn encode_with(&self, addrs: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        // As proto3 writes it: without the value zero.
        if self.kind != MessageType::PutValue {
            writer.varint(TYPE, self.kind.number());
        }
        if !self.key.is_empty() {
            writer.bytes(KEY, &self.key);
        }
        if let Some(record) = &self.record {
            writer.bytes(RECORD, &encode_record(record));
        }
        for (number, list) in [(CLOSER, &self.closer), (PROVIDERS, &self.providers)] {
            for contact in list {
                writer.bytes(number, &encode_contact(contact, addrs));
            }
        }
        out
    }
}

/// Entries of one list as they come: each peer once, up to a number.
struct Named {
    seen: BTreeSet<PeerId>,
    max: usize,
}

impl Named {
    const fn new(max: usize) -> Self {
        Self {
            seen: BTreeSet::new(),
            max,
        }
    }

    /// Keeps an entry if it is new and there is room. Its structure is checked in any case.
    fn take(&mut self, mut reader: Reader<'_>, list: &mut Vec<Contact>) -> Result<(), Malformed> {
        let (mut id, mut addrs, mut size) = (&[][..], Vec::new(), 0_usize);
        while let Some(field) = reader.next_field()? {
            match field.number {
                PEER_ID => id = field.value.to_bytes()?,
                PEER_ADDR => {
                    let addr = field.value.to_bytes()?;
                    size = size.saturating_add(bytes_field_len(PEER_ADDR, addr.len()));
                    if size <= MAX_ENTRY && addrs.len() < MAX_ADDRS {
                        addrs.push(addr);
                    }
                }
                // An unverified claim, of whatever value.
                PEER_CONNECTION => {
                    field.value.to_u64()?;
                }
                _ => {}
            }
        }
        let Ok(peer) = PeerId::from_bytes(id) else {
            return Ok(());
        };
        if self.seen.len() < self.max && self.seen.insert(peer) {
            let addrs = addrs
                .into_iter()
                .filter_map(|addr| own_addr(addr, peer))
                .collect();
            list.push(Contact { peer, addrs });
        }
        Ok(())
    }
}

/// An address of `peer`, without the final `/p2p`; none if it can't be read or names another peer.
fn own_addr(bytes: &[u8], peer: PeerId) -> Option<Multiaddr> {
    let addr = Multiaddr::from_bytes(Bytes::copy_from_slice(bytes)).ok()?;
    match addr.split_peer_id() {
        (addr, None) => addr,
        (addr, Some(named)) if named == peer => addr,
        _ => None,
    }
}

fn encode_contact(contact: &Contact, max_addrs: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut size = bytes_field_len(PEER_ID, contact.peer.as_bytes().len());
    let mut writer = Writer::new(&mut out);
    writer.bytes(PEER_ID, contact.peer.as_bytes());
    for addr in contact.addrs.iter().take(max_addrs) {
        size = size.saturating_add(bytes_field_len(PEER_ADDR, addr.as_bytes().len()));
        if size > MAX_ENTRY {
            break;
        }
        writer.bytes(PEER_ADDR, addr.as_bytes());
    }
    // The connection graph is nobody's business: field 3 stays at its default, NOT_CONNECTED.
    out
}

fn decode_record(mut reader: Reader<'_>) -> Result<Record, Malformed> {
    let mut record = Record::default();
    while let Some(field) = reader.next_field()? {
        match (field.number, field.value) {
            (RECORD_KEY, value) => record.key = Bytes::copy_from_slice(value.to_bytes()?),
            (RECORD_VALUE, value) => record.value = Bytes::copy_from_slice(value.to_bytes()?),
            (RECORD_RECEIVED, Value::Bytes(text)) => {
                let text = core::str::from_utf8(text)
                    .ok()
                    .filter(|text| text.len() <= MAX_TIME);
                record.received = text.map(String::from);
            }
            (RECORD_PUBLISHER, Value::Bytes(id)) => record.publisher = PeerId::from_bytes(id).ok(),
            (RECORD_TTL, Value::Varint(ttl)) => record.ttl = u32::try_from(ttl).unwrap_or(u32::MAX),
            _ => {}
        }
    }
    Ok(record)
}

fn encode_record(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(
        bytes_field_len(RECORD_KEY, record.key.len())
            .saturating_add(bytes_field_len(RECORD_VALUE, record.value.len()))
            .saturating_add(varint_field_len(RECORD_TTL, u64::from(record.ttl))),
    );
    let mut writer = Writer::new(&mut out);
    writer.bytes(RECORD_KEY, &record.key);
    writer.bytes(RECORD_VALUE, &record.value);
    if let Some(received) = &record.received {
        writer.string(RECORD_RECEIVED, received);
    }
    if let Some(publisher) = &record.publisher {
        writer.bytes(RECORD_PUBLISHER, publisher.as_bytes());
    }
    if record.ttl > 0 {
        writer.varint(RECORD_TTL, u64::from(record.ttl));
    }
    out
}
