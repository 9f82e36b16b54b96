//! IPNS records: a name that is a key, pointing somewhere, signed and dated.
//!
//! Specification: <https://specs.ipfs.tech/ipns/ipns-record/>.

use crate::{Invalid, Validator, rfc3339};
use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::time::Duration;
use libp2p_proto_core::{
    PeerId, UnixTime,
    protobuf::{Limits, Reader, Writer},
};
use libp2p_proto_identity::{Identity, PublicKey};
use minicbor::{Decoder, Encoder, data::Type};

/// Bytes of a record (specification, § Record Size Limit).
pub const MAX_RECORD: usize = 10_240;
/// What stands before the signed bytes.
const SIGNED_PREFIX: &[u8] = b"ipns-signature:";
/// Answers that should agree on the public network (16 of 20).
const QUORUM: usize = 16;

const VALUE: u32 = 1;
const SIGNATURE_V1: u32 = 2;
const VALIDITY_TYPE: u32 = 3;
const VALIDITY: u32 = 4;
const SEQUENCE: u32 = 5;
const TTL: u32 = 6;
const PUB_KEY: u32 = 7;
const SIGNATURE_V2: u32 = 8;
const DATA: u32 = 9;

/// The routing key of a name.
pub fn key_of(name: &PeerId) -> Vec<u8> {
    [b"/ipns/", name.as_bytes()].concat()
}

/// What a valid record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpnsRecord {
    /// Where the name points, such as `/ipfs/bafk…`.
    pub value: Vec<u8>,
    /// The end of its life, as text of RFC 3339.
    pub validity: Vec<u8>,
    /// A greater number replaces a smaller one.
    pub sequence: u64,
    /// How long it may be cached.
    pub ttl: Duration,
}

/// The fields of the protobuf message.
#[derive(Default)]
struct Envelope<'a> {
    value: Option<&'a [u8]>,
    signature_v1: Option<&'a [u8]>,
    validity_type: Option<u64>,
    validity: Option<&'a [u8]>,
    sequence: Option<u64>,
    ttl: Option<u64>,
    pub_key: Option<&'a [u8]>,
    signature_v2: &'a [u8],
    data: &'a [u8],
}

/// The fields of the signed map.
struct Signed<'a> {
    value: &'a [u8],
    validity: &'a [u8],
    validity_type: u64,
    sequence: u64,
    ttl: u64,
}

impl IpnsRecord {
    /// Signs a record of this name: version 2, with the fields of version 1 beside it for old readers.
    ///
    /// # Errors
    ///
    /// [`Invalid::BadSignature`] if the signer fails, [`Invalid::TooLarge`].
    pub fn sign(
        identity: &Identity,
        value: &[u8],
        sequence: u64,
        until: UnixTime,
        ttl: Duration,
    ) -> Result<Vec<u8>, Invalid> {
        let ttl = u64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX.unsigned_abs());
        let validity = rfc3339::format(until);
        let data = encode_data(value, validity.as_bytes(), sequence, ttl);
        let sign = |bytes: &[u8]| identity.sign(bytes).map_err(|_| Invalid::BadSignature);
        let v1 = sign(&[value, validity.as_bytes(), b"0"].concat())?;
        let v2 = sign(&[SIGNED_PREFIX, &data].concat())?;
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.bytes(VALUE, value);
        writer.bytes(SIGNATURE_V1, &v1);
        writer.varint(VALIDITY_TYPE, 0);
        writer.string(VALIDITY, &validity);
        writer.varint(SEQUENCE, sequence);
        writer.varint(TTL, ttl);
        if identity.peer_id().inline_key().is_none() {
            writer.bytes(PUB_KEY, identity.public_key().encode());
        }
        writer.bytes(SIGNATURE_V2, &v2);
        writer.bytes(DATA, &data);
        if out.len() > MAX_RECORD {
            return Err(Invalid::TooLarge);
        }
        Ok(out)
    }

    /// Opens the record of `name` and verifies all but its date.
    ///
    /// # Errors
    ///
    /// [`Invalid`].
    pub fn open(name: &PeerId, record: &[u8]) -> Result<Self, Invalid> {
        if record.len() > MAX_RECORD {
            return Err(Invalid::TooLarge);
        }
        let envelope = Envelope::decode(record)?;
        if envelope.signature_v2.is_empty() || envelope.data.is_empty() {
            return Err(Invalid::BadSignature);
        }
        let public = match envelope.pub_key {
            Some(encoded) => PublicKey::decode(encoded).map_err(|_| Invalid::NoPublicKey)?,
            None => PublicKey::from_peer_id(name).ok_or(Invalid::NoPublicKey)?,
        };
        if public.peer_id() != *name {
            return Err(Invalid::WrongKey);
        }
        if !public.verify(&[SIGNED_PREFIX, envelope.data].concat(), envelope.signature_v2) {
            return Err(Invalid::BadSignature);
        }
        let signed = Signed::decode(envelope.data)?;
        envelope.agrees_with(&signed)?;
        // A duration of nanoseconds in a signed number.
        if signed.validity_type != 0 || i64::try_from(signed.ttl).is_err() {
            return Err(Invalid::Malformed);
        }
        Ok(Self {
            value: signed.value.to_owned(),
            validity: signed.validity.to_owned(),
            sequence: signed.sequence,
            ttl: Duration::from_nanos(signed.ttl),
        })
    }

    /// When the record's life ends.
    pub fn until(&self) -> Option<UnixTime> {
        rfc3339::parse(&self.validity)
    }

    /// Where the name points, if that is text.
    pub fn path(&self) -> Option<String> {
        String::from_utf8(self.value.clone()).ok()
    }
}

impl<'a> Envelope<'a> {
    fn decode(record: &'a [u8]) -> Result<Self, Invalid> {
        let mut envelope = Self::default();
        let mut reader = Reader::new(record, Limits::default());
        while let Some(field) = reader.next_field().map_err(|_| Invalid::Malformed)? {
            let bytes = || field.value.to_bytes().map_err(|_| Invalid::Malformed);
            let number = || field.value.to_u64().map_err(|_| Invalid::Malformed);
            match field.number {
                VALUE => envelope.value = Some(bytes()?),
                SIGNATURE_V1 => envelope.signature_v1 = Some(bytes()?),
                VALIDITY_TYPE => envelope.validity_type = Some(number()?),
                VALIDITY => envelope.validity = Some(bytes()?),
                SEQUENCE => envelope.sequence = Some(number()?),
                TTL => envelope.ttl = Some(number()?),
                PUB_KEY => envelope.pub_key = Some(bytes()?),
                SIGNATURE_V2 => envelope.signature_v2 = bytes()?,
                DATA => envelope.data = bytes()?,
                _ => {}
            }
        }
        Ok(envelope)
    }

    /// The unsigned fields of version 1, if there are any, say the same as the signed map.
    fn agrees_with(&self, signed: &Signed<'_>) -> Result<(), Invalid> {
        let filled = |bytes: Option<&[u8]>| bytes.is_some_and(|bytes| !bytes.is_empty());
        if !filled(self.signature_v1) && !filled(self.value) {
            return Ok(());
        }
        let same = self.value.unwrap_or_default() == signed.value
            && self.validity.unwrap_or_default() == signed.validity
            && self.validity_type.unwrap_or(0) == signed.validity_type
            && self.sequence.unwrap_or(0) == signed.sequence
            && self.ttl.unwrap_or(0) == signed.ttl;
        same.then_some(()).ok_or(Invalid::BadSignature)
    }
}

impl<'a> Signed<'a> {
    fn decode(data: &'a [u8]) -> Result<Self, Invalid> {
        Self::read(data).ok_or(Invalid::Malformed)
    }

    fn read(data: &'a [u8]) -> Option<Self> {
        let mut decoder = Decoder::new(data);
        let (mut value, mut validity) = (None, None);
        let (mut validity_type, mut sequence, mut ttl) = (None, None, None);
        // Maps of unknown length are no DAG-CBOR.
        let entries = decoder.map().ok()??;
        for _ in 0..entries {
            match decoder.str().ok()? {
                "Value" => value = Some(decoder.bytes().ok()?),
                "Validity" => validity = Some(decoder.bytes().ok()?),
                "ValidityType" => validity_type = Some(unsigned(&mut decoder)?),
                "Sequence" => sequence = Some(unsigned(&mut decoder)?),
                "TTL" => ttl = Some(unsigned(&mut decoder)?),
                _ => decoder.skip().ok()?,
            }
        }
        Some(Self {
            value: value?,
            validity: validity?,
            validity_type: validity_type?,
            sequence: sequence?,
            ttl: ttl?,
        })
    }
}

/// An unsigned number; a negative one is none.
fn unsigned(decoder: &mut Decoder<'_>) -> Option<u64> {
    match decoder.datatype().ok()? {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => decoder.u64().ok(),
        _ => None,
    }
}

/// The signed map, keys in the order of DAG-CBOR: shorter ones first, then by bytes.
fn encode_data(value: &[u8], validity: &[u8], sequence: u64, ttl: u64) -> Vec<u8> {
    let mut data = Vec::new();
    let mut encoder = Encoder::new(&mut data);
    // Writing into memory can't fail.
    let _infallible = encoder.map(5).and_then(|encoder| {
        encoder.str("TTL")?.u64(ttl)?;
        encoder.str("Value")?.bytes(value)?;
        encoder.str("Sequence")?.u64(sequence)?;
        encoder.str("Validity")?.bytes(validity)?;
        encoder.str("ValidityType")?.u64(0)
    });
    data
}

/// `/ipns/<name>`: the newest valid record of that name.
#[derive(Clone, Copy, Debug)]
pub struct Ipns;

impl Ipns {
    fn open(key: &[u8], value: &[u8]) -> Result<IpnsRecord, Invalid> {
        if value.len() > MAX_RECORD {
            return Err(Invalid::TooLarge);
        }
        let name = key.strip_prefix(b"/ipns/").ok_or(Invalid::BadKey)?;
        let name = PeerId::from_bytes(name).map_err(|_| Invalid::BadKey)?;
        IpnsRecord::open(&name, value)
    }

    /// The order of records: sequence, then end of life, then bytes. A record that can't be read is below all others.
    fn rank(value: &[u8]) -> Option<(u64, Option<UnixTime>, &[u8])> {
        let envelope = Envelope::decode(value).ok()?;
        if envelope.signature_v2.is_empty() {
            return None;
        }
        let signed = Signed::decode(envelope.data).ok()?;
        Some((signed.sequence, rfc3339::parse(signed.validity), value))
    }
}

impl Validator for Ipns {
    fn validate(&self, unix: UnixTime, key: &[u8], value: &[u8]) -> Result<(), Invalid> {
        let record = Self::open(key, value)?;
        match record.until() {
            Some(until) if until > unix => Ok(()),
            Some(_) => Err(Invalid::Expired),
            None => Err(Invalid::Malformed),
        }
    }

    fn is_better(&self, _key: &[u8], new: &[u8], old: &[u8]) -> bool {
        Self::rank(new) > Self::rank(old)
    }

    fn quorum(&self) -> usize {
        QUORUM
    }
}
