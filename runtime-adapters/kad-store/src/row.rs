//! Rows of the file: protobuf, so that later versions may add fields.

use crate::Clock;
use bytes::Bytes;
use libp2p_proto_core::{
    Multiaddr, PeerId, UnixTime,
    protobuf::{Limits, Reader, encode},
};
use libp2p_proto_kad::{StoredProvider, StoredValue};

const VALUE: u32 = 1;
const RECEIVED: u32 = 2;
const PROVIDER: u32 = 1;
const PEER: u32 = 1;
const ADDR: u32 = 2;
const SOURCE: u32 = 3;
const UNIX: u32 = 4;

/// A provider as it stands in the file.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) peer: PeerId,
    pub(crate) addrs: Vec<Multiaddr>,
    pub(crate) source: Option<Bytes>,
    pub(crate) unix: UnixTime,
}

pub(crate) fn write_value(value: &StoredValue) -> Vec<u8> {
    encode(|row| {
        row.bytes(VALUE, &value.record.value);
        row.varint(RECEIVED, value.received.as_nanos());
    })
}

pub(crate) fn read_value(row: &[u8]) -> Option<(Bytes, UnixTime)> {
    let mut reader = Reader::new(row, Limits::default());
    let (mut value, mut received) = (None, 0);
    while let Some(field) = reader.next_field().ok()? {
        match field.number {
            VALUE => value = Some(Bytes::copy_from_slice(field.value.to_bytes().ok()?)),
            RECEIVED => received = field.value.to_u64().ok()?,
            _ => {}
        }
    }
    Some((value?, UnixTime::from_nanos(received)))
}

pub(crate) fn write_providers(providers: &[StoredProvider], clock: &Clock) -> Vec<u8> {
    encode(|row| {
        for provider in providers {
            let entry = encode(|entry| {
                entry.bytes(PEER, provider.peer.as_bytes());
                for addr in &provider.addrs {
                    entry.bytes(ADDR, addr.as_bytes());
                }
                if let Some(source) = &provider.source {
                    entry.bytes(SOURCE, source);
                }
                entry.varint(UNIX, clock.unix_at(provider.stored).as_nanos());
            });
            row.bytes(PROVIDER, &entry);
        }
    })
}

/// Those that can be read: one broken entry costs no other.
pub(crate) fn read_providers(row: &[u8]) -> Vec<Saved> {
    let mut reader = Reader::new(row, Limits::default());
    let mut saved = Vec::new();
    while let Ok(Some(field)) = reader.next_field() {
        if field.number == PROVIDER {
            let entry = field.value.to_bytes().and_then(|bytes| reader.nested(bytes));
            saved.extend(entry.ok().and_then(read_provider));
        }
    }
    saved
}

fn read_provider(mut entry: Reader<'_>) -> Option<Saved> {
    let (mut peer, mut addrs, mut source, mut unix) = (None, Vec::new(), None, 0);
    while let Some(field) = entry.next_field().ok()? {
        match field.number {
            PEER => peer = PeerId::from_bytes(field.value.to_bytes().ok()?).ok(),
            ADDR => {
                let addr = Bytes::copy_from_slice(field.value.to_bytes().ok()?);
                addrs.extend(Multiaddr::from_bytes(addr).ok());
            }
            SOURCE => source = Some(Bytes::copy_from_slice(field.value.to_bytes().ok()?)),
            UNIX => unix = field.value.to_u64().ok()?,
            _ => {}
        }
    }
    Some(Saved {
        peer: peer?,
        addrs,
        source,
        unix: UnixTime::from_nanos(unix),
    })
}
