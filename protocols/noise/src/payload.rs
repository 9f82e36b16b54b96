//! The libp2p payload of messages 2 and 3.

use crate::{Error, Limits};
use alloc::vec::Vec;
use libp2p_proto_core::{
    ProtocolName,
    protobuf::{self, Reader, Value, Writer},
};
use libp2p_proto_identity::PublicKey;

/// What stands before the static key in the signed bytes.
pub(crate) const SIGNED_PREFIX: &[u8] = b"noise-libp2p-static-key:";

const IDENTITY_KEY: u32 = 1;
const IDENTITY_SIG: u32 = 2;
const EXTENSIONS: u32 = 4;
const STREAM_MUXERS: u32 = 2;

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

pub(crate) fn decode<'a>(message: &'a [u8], limits: &Limits) -> Result<Payload<'a>, Error> {
    let mut payload = Payload::default();
    let mut reader = Reader::new(message, protobuf::Limits::default());
    while let Some(field) = reader.next_field().map_err(|_| Error::BadPayload)? {
        match (field.number, field.value) {
            (IDENTITY_KEY, Value::Bytes(bytes)) => payload.identity_key = bytes,
            (IDENTITY_SIG, Value::Bytes(bytes)) => payload.identity_sig = bytes,
            (EXTENSIONS, Value::Bytes(bytes)) => {
                let extensions = reader.nested(bytes).map_err(|_| Error::BadPayload)?;
                payload.muxers = muxers(extensions, limits)?;
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

/// The listed multiplexers; none if there are more or longer ones than the limits say.
fn muxers<'a>(mut extensions: Reader<'a>, limits: &Limits) -> Result<Vec<&'a [u8]>, Error> {
    let (mut list, mut is_within) = (Vec::new(), true);
    while let Some(field) = extensions.next_field().map_err(|_| Error::BadPayload)? {
        if let (STREAM_MUXERS, Value::Bytes(name)) = (field.number, field.value) {
            is_within &= list.len() < limits.muxers && name.len() <= limits.muxer_len;
            if is_within {
                list.push(name);
            }
        }
    }
    Ok(if is_within { list } else { Vec::new() })
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use prost::Message as _;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Wire {
        #[prost(bytes = "vec", tag = "1")]
        key: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        signature: Vec<u8>,
        #[prost(bytes = "vec", repeated, tag = "4")]
        extensions: Vec<Vec<u8>>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct WireExtensions {
        #[prost(bytes = "vec", repeated, tag = "2")]
        muxers: Vec<Vec<u8>>,
    }

    /// Known and unknown fields in any order, several times, of bytes that may be messages; now and then of another wire type.
    fn fields() -> impl Strategy<Value = Vec<u8>> {
        let extensions = vec((1_u32..4, vec(any::<u8>(), 0..4)), 0..4).prop_map(|fields| {
            let mut out = Vec::new();
            for (number, bytes) in fields {
                Writer::new(&mut out).bytes(number, &bytes);
            }
            out
        });
        let content = prop_oneof![vec(any::<u8>(), 0..6), extensions];
        let field = (1_u32..7, content, prop::bool::weighted(0.05));
        vec(field, 0..8).prop_map(|fields| {
            let mut out = Vec::new();
            for (number, bytes, is_number) in fields {
                let mut writer = Writer::new(&mut out);
                if is_number {
                    writer.varint(number, 7);
                } else {
                    writer.bytes(number, &bytes);
                }
            }
            out
        })
    }

    // covers: VUL-157
    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn a_payload_means_the_same_to_prost(message in fields()) {
            let limits = Limits::default();
            let theirs = Wire::decode(&message[..]).ok().and_then(|wire| {
                let mut muxers = Vec::new();
                for part in &wire.extensions {
                    muxers = WireExtensions::decode(&part[..]).ok()?.muxers;
                }
                (!wire.key.is_empty() && !wire.signature.is_empty()).then_some((wire, muxers))
            });
            match (decode(&message, &limits), theirs) {
                (Ok(ours), Some((wire, muxers))) => {
                    prop_assert_eq!(ours.identity_key, wire.key);
                    prop_assert_eq!(ours.identity_sig, wire.signature);
                    prop_assert_eq!(ours.muxers, muxers);
                }
                (Err(_), None) => {}
                // Prost reads over groups, and refuses a list of multiplexers of another wire type, which we pass over.
                (Err(_), Some((wire, _))) => prop_assert!(wire.extensions.iter().any(|part| part.iter().any(|byte| byte & 7 == 3))),
                (Ok(_), None) => prop_assert!(Wire::decode(&message[..]).is_ok()),
            }
        }
    }
}
