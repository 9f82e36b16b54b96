//! Public keys: strict decoding, canonical encoding, verification.

use crate::{Error, ed25519};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use libp2p_proto_core::{PeerId, protobuf::Writer, varint};

/// The longest encoded key that is read: an RSA key of 8192 bits fits.
pub const MAX_ENCODED_KEY: usize = 2048;

/// The type of a key, with the number that the protobuf gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// 0
    Rsa,
    /// 1
    Ed25519,
    /// 2
    Secp256k1,
    /// 3: P-256
    Ecdsa,
}

impl KeyType {
    /// The number in the protobuf.
    pub const fn number(self) -> u64 {
        match self {
            Self::Rsa => 0,
            Self::Ed25519 => 1,
            Self::Secp256k1 => 2,
            Self::Ecdsa => 3,
        }
    }

    pub(crate) const fn from_number(number: u64) -> Result<Self, Error> {
        Ok(match number {
            0 => Self::Rsa,
            1 => Self::Ed25519,
            2 => Self::Secp256k1,
            3 => Self::Ecdsa,
            other => return Err(Error::UnknownKeyType(other)),
        })
    }
}

/// A public key, kept in its canonical encoding. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    encoded: Bytes,
    key_type: KeyType,
    /// Where the key's own bytes begin in `encoded`.
    data_at: usize,
}

impl PublicKey {
    /// Decodes the two-field protobuf: type, then data, each once, minimal, nothing else; checks that the data is a key.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLarge`], [`Error::MalformedKey`], [`Error::UnknownKeyType`], [`Error::Unsupported`], [`Error::InvalidKey`], [`Error::UnsupportedCurve`],
    /// [`Error::RsaBits`].
    pub fn decode(encoded: &[u8]) -> Result<Self, Error> {
        let (key_type, data) = decode_fields(encoded)?;
        Self::from_data(key_type, data)
    }

    /// The key of this type with these bytes, as they stand in field 2 of the protobuf. A secp256k1 key may be uncompressed and is compressed. Of an Ed25519
    /// key only the length is looked at: bytes that are no point verify nothing.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn from_data(key_type: KeyType, data: &[u8]) -> Result<Self, Error> {
        if data.len() > MAX_ENCODED_KEY {
            return Err(Error::KeyTooLarge);
        }
        match key_type {
            KeyType::Ed25519 => {
                if data.len() != 32 {
                    return Err(Error::InvalidKey(key_type));
                }
                Ok(Self::from_checked(key_type, data))
            }
            KeyType::Secp256k1 => secp256k1_data(data).map(|data| Self::from_checked(key_type, &data)),
            KeyType::Ecdsa => ecdsa_check(data).map(|()| Self::from_checked(key_type, data)),
            KeyType::Rsa => rsa_check(data).map(|()| Self::from_checked(key_type, data)),
        }
    }

    pub(crate) fn from_checked(key_type: KeyType, data: &[u8]) -> Self {
        let encoded = encode_fields(key_type, data);
        let data_at = encoded.len().saturating_sub(data.len());
        Self {
            encoded: encoded.into(),
            key_type,
            data_at,
        }
    }

    /// The canonical protobuf.
    pub fn encode(&self) -> &[u8] {
        &self.encoded
    }

    /// The key's own bytes: raw for Ed25519, SEC1 compressed for secp256k1, `SubjectPublicKeyInfo` for ECDSA and RSA.
    pub fn data(&self) -> &[u8] {
        self.encoded.get(self.data_at..).unwrap_or_default()
    }

    /// The type.
    pub const fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The id of the peer that holds the private half.
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_encoded_key(&self.encoded)
    }

    /// The key that an identity hash holds. `None` for a sha2-256 hash, and for an identity hash of something else.
    pub fn from_peer_id(peer: &PeerId) -> Option<Self> {
        Self::decode(peer.inline_key()?).ok()
    }

    /// Whether a peer can have this id: a digest, whose key is not known yet, or an identity hash of a key. Other identity hashes are legal as keys of a
    /// lookup, but nobody can prove to be one.
    pub fn may_have_id(peer: &PeerId) -> bool {
        peer.inline_key()
            .is_none_or(|key| Self::decode(key).is_ok_and(|key| key.peer_id() == *peer))
    }

    /// The longest signature of this key, in bytes.
    pub fn max_signature_len(&self) -> usize {
        match self.key_type {
            KeyType::Ed25519 => 64,
            // `SEQUENCE { r, s }`, each of 32 bytes and a sign byte.
            KeyType::Secp256k1 | KeyType::Ecdsa => 72,
            KeyType::Rsa => rsa_signature_len(self.data()),
        }
    }

    /// Whether `signature` is this key's signature over `message`.
    ///
    /// Ed25519 is verified strictly (canonical S, no point of small order); secp256k1 signatures are accepted with high S too, as go does; ECDSA
    /// and secp256k1 signatures are strict DER.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.key_type {
            KeyType::Ed25519 => ed25519::verify(self.data(), message, signature),
            KeyType::Secp256k1 => secp256k1_verify(self.data(), message, signature),
            KeyType::Ecdsa => ecdsa_verify(self.data(), message, signature),
            KeyType::Rsa => rsa_verify(self.data(), message, signature),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, {})", self.key_type, self.peer_id())
    }
}

/// Reads the two fields that keys of both kinds have.
pub(crate) fn decode_fields(encoded: &[u8]) -> Result<(KeyType, &[u8]), Error> {
    if encoded.len() > MAX_ENCODED_KEY {
        return Err(Error::KeyTooLarge);
    }
    decode_fields_of_any_length(encoded)
}

/// Like [`decode_fields`] for private keys, which are the caller's own and longer.
pub(crate) fn decode_fields_of_any_length(encoded: &[u8]) -> Result<(KeyType, &[u8]), Error> {
    let rest = encoded.strip_prefix(&[0x08]).ok_or(Error::MalformedKey)?;
    let (number, len) = varint::decode(rest).ok().flatten().ok_or(Error::MalformedKey)?;
    let rest = rest
        .get(len..)
        .and_then(|rest| rest.strip_prefix(&[0x12]))
        .ok_or(Error::MalformedKey)?;
    let (size, len) = varint::decode_usize(rest).map_err(|_| Error::MalformedKey)?;
    let data = rest
        .get(len..)
        .filter(|data| data.len() == size)
        .ok_or(Error::MalformedKey)?;
    Ok((KeyType::from_number(number)?, data))
}

pub(crate) fn encode_fields(key_type: KeyType, data: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(data.len().saturating_add(6));
    let mut writer = Writer::new(&mut encoded);
    writer.varint(1, key_type.number());
    writer.bytes(2, data);
    encoded
}

#[cfg(feature = "secp256k1")]
fn secp256k1_data(data: &[u8]) -> Result<Vec<u8>, Error> {
    let bad = Error::InvalidKey(KeyType::Secp256k1);
    if !matches!(data, [2 | 3, rest @ ..] if rest.len() == 32)
        && !matches!(data, [4, rest @ ..] if rest.len() == 64)
    {
        return Err(bad);
    }
    let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(data).map_err(|_| bad)?;
    Ok(key.to_sec1_point(true).as_bytes().to_vec())
}

#[cfg(feature = "secp256k1")]
fn secp256k1_verify(data: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use k256::ecdsa::signature::Verifier as _;
    let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(data);
    let signature = k256::ecdsa::Signature::from_der(signature);
    key.is_ok_and(|key| {
        signature.is_ok_and(|signature| key.verify(message, &signature.normalize_s()).is_ok())
    })
}

#[cfg(not(feature = "secp256k1"))]
const fn secp256k1_data(_: &[u8]) -> Result<Vec<u8>, Error> {
    Err(Error::Unsupported(KeyType::Secp256k1))
}

#[cfg(not(feature = "secp256k1"))]
const fn secp256k1_verify(_: &[u8], _: &[u8], _: &[u8]) -> bool {
    false
}

/// `SubjectPublicKeyInfo` of a P-256 key up to the uncompressed point.
#[cfg(feature = "ecdsa")]
pub(crate) const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Reads a `SubjectPublicKeyInfo` whose curve has a name. Only P-256 and only the uncompressed point, so that a key has one encoding.
#[cfg(feature = "ecdsa")]
fn ecdsa_key(spki: &[u8]) -> Result<p256::ecdsa::VerifyingKey, Error> {
    use crate::der;
    /// id-ecPublicKey
    const EC_PUBLIC_KEY: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let bad = || Error::InvalidKey(KeyType::Ecdsa);
    let mut info = der::read_all(spki, der::SEQUENCE).ok_or_else(bad)?;
    let mut algorithm = der::read(&mut info, der::SEQUENCE).ok_or_else(bad)?;
    if der::read(&mut algorithm, der::OBJECT_IDENTIFIER) != Some(&EC_PUBLIC_KEY) {
        return Err(bad());
    }
    if der::read_all(algorithm, der::OBJECT_IDENTIFIER).ok_or_else(bad)? != der::P256 {
        return Err(Error::UnsupportedCurve);
    }
    let point = der::read_all(info, der::BIT_STRING)
        .and_then(|bits| bits.strip_prefix(&[0]))
        .filter(|point| matches!(point, [4, rest @ ..] if rest.len() == 64))
        .ok_or_else(bad)?;
    p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| bad())
}

#[cfg(feature = "ecdsa")]
fn ecdsa_check(data: &[u8]) -> Result<(), Error> {
    ecdsa_key(data).map(|_| ())
}

#[cfg(feature = "ecdsa")]
fn ecdsa_verify(data: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use p256::ecdsa::signature::Verifier as _;
    let signature = p256::ecdsa::Signature::from_der(signature);
    ecdsa_key(data).is_ok_and(|key| signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()))
}

#[cfg(not(feature = "ecdsa"))]
const fn ecdsa_check(_: &[u8]) -> Result<(), Error> {
    Err(Error::Unsupported(KeyType::Ecdsa))
}

#[cfg(not(feature = "ecdsa"))]
const fn ecdsa_verify(_: &[u8], _: &[u8], _: &[u8]) -> bool {
    false
}

#[cfg(feature = "rsa")]
use crate::rsa_key::{check as rsa_check, signature_len as rsa_signature_len, verify as rsa_verify};

#[cfg(not(feature = "rsa"))]
const fn rsa_check(_: &[u8]) -> Result<(), Error> {
    Err(Error::Unsupported(KeyType::Rsa))
}

#[cfg(not(feature = "rsa"))]
const fn rsa_signature_len(_: &[u8]) -> usize {
    0
}

#[cfg(not(feature = "rsa"))]
const fn rsa_verify(_: &[u8], _: &[u8], _: &[u8]) -> bool {
    false
}
