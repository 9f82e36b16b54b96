//! The libp2p payload of messages 2 and 3.

use crate::Error;
use alloc::vec::Vec;
use libp2p_proto_core::{
    ProtocolName,
    protobuf::{Limits, Reader, Value, Writer},
};
use libp2p_proto_identity::PublicKey;

/// What stands before the static key in the signed bytes.
pub(crate) const SIGNED_PREFIX: &[u8] = b"noise-libp2p-static-key:";

const IDENTITY_KEY: u32 = 1;
const IDENTITY_SIG: u32 = 2;
const EXTENSIONS: u32 = 4;
const STREAM_MUXERS: u32 = 2;

/// Entries of a list of multiplexers that are read; a longer list counts as none.
pub const MAX_MUXERS: usize = 100;
const MAX_MUXER_LEN: usize = 256;

/// A payload, borrowed from its message, not verified.
#[derive(Debug, Default)]
pub(crate) struct Payload<'a> {
    pub(crate) identity_key: &'a [u8],
    pub(crate) identity_sig: &'a [u8],
    pub(crate) muxers: Vec<&'a [u8]>,
}

pub(crate) fn encode(key: &PublicKey, signature: &[u8], muxers: &[ProtocolName]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.bytes(IDENTITY_KEY, key.encode());
    writer.bytes(IDENTITY_SIG, signature);
    if !muxers.is_empty() {
        let mut extensions = Vec::new();
        let mut nested = Writer::new(&mut extensions);
        for name in muxers {
            nested.string(STREAM_MUXERS, name.as_str());
        }
        writer.bytes(EXTENSIONS, &extensions);
    }
    out
}

pub(crate) fn decode(message: &[u8]) -> Result<Payload<'_>, Error> {
    let mut payload = Payload::default();
    let mut reader = Reader::new(message, Limits::default());
    while let Some(field) = reader.next_field().map_err(|_| Error::BadPayload)? {
        match (field.number, field.value) {
            (IDENTITY_KEY, Value::Bytes(bytes)) => payload.identity_key = bytes,
            (IDENTITY_SIG, Value::Bytes(bytes)) => payload.identity_sig = bytes,
            (EXTENSIONS, Value::Bytes(bytes)) => {
                payload.muxers = muxers(reader.nested(bytes).map_err(|_| Error::BadPayload)?)?;
            }
            (IDENTITY_KEY | IDENTITY_SIG | EXTENSIONS, _) => return Err(Error::BadPayload),
            _ => {}
        }
    }
    if payload.identity_key.is_empty() || payload.identity_sig.is_empty() {
        return Err(Error::BadPayload);
    }
    Ok(payload)
}

fn muxers(mut extensions: Reader<'_>) -> Result<Vec<&[u8]>, Error> {
    let mut list = Vec::new();
    let mut entries = 0_usize;
    while let Some(field) = extensions.next_field().map_err(|_| Error::BadPayload)? {
        if let (STREAM_MUXERS, Value::Bytes(name)) = (field.number, field.value) {
            entries = entries.saturating_add(1);
            if entries > MAX_MUXERS || name.len() > MAX_MUXER_LEN {
                return Ok(Vec::new());
            }
            list.push(name);
        }
    }
    Ok(list)
}

/// The multiplexer that both lists agree on: the first entry of the dialer's list that the listener lists too. `None`: one list is empty, so multistream-select decides.
pub(crate) fn choose(
    ours: &[ProtocolName],
    theirs: &[&[u8]],
    we_dialed: bool,
) -> Result<Option<ProtocolName>, Error> {
    if ours.is_empty() || theirs.is_empty() {
        return Ok(None);
    }
    let own = |name: &[u8]| ours.iter().find(|own| own.as_str().as_bytes() == name);
    let choice = if we_dialed {
        ours.iter().find(|own| theirs.contains(&own.as_str().as_bytes()))
    } else {
        theirs.iter().find_map(|name| own(name))
    };
    choice.cloned().map(Some).ok_or(Error::NoCommonMuxer)
}
