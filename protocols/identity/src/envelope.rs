//! Signed envelopes (RFC 0002): a payload of a type, signed under a domain that never travels.

use crate::{Error, Identity, PublicKey};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{
    framing,
    protobuf::{Limits, Reader, Writer, bytes_field_len},
};

/// The largest envelope that is made or read, in bytes: what go's identify takes.
pub const MAX_ENVELOPE: usize = 8192;
/// RSA of 8192 bits.
const MAX_SIGNATURE: usize = 1024;

const PUBLIC_KEY: u32 = 1;
const PAYLOAD_TYPE: u32 = 2;
const PAYLOAD: u32 = 3;
const SIGNATURE: u32 = 5;

/// An envelope whose signature was verified. There is no other kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    signer: PublicKey,
    payload_type: Bytes,
    payload: Bytes,
    encoded: Bytes,
}

impl Envelope {
    /// Signs a payload. `domain` and `payload_type` are constants of the use; neither may be empty.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyDomain`], [`Error::EnvelopeTooLarge`], [`Error::SigningFailed`].
    pub fn seal(
        domain: &'static str,
        payload_type: &'static [u8],
        payload: &[u8],
        identity: &Identity,
    ) -> Result<Self, Error> {
        if domain.is_empty() || payload_type.is_empty() {
            return Err(Error::EmptyDomain);
        }
        let key = identity.public_key();
        let sizes = [
            (PUBLIC_KEY, key.encode().len()),
            (PAYLOAD_TYPE, payload_type.len()),
            (PAYLOAD, payload.len()),
            (SIGNATURE, key.max_signature_len()),
        ];
        let longest = sizes
            .iter()
            .map(|(number, len)| bytes_field_len(*number, *len))
            .fold(0, usize::saturating_add);
        if longest > MAX_ENVELOPE {
            return Err(Error::EnvelopeTooLarge);
        }
        let signature = identity.sign(&signed_bytes(domain, payload_type, payload))?;
        if signature.is_empty() || signature.len() > key.max_signature_len() {
            return Err(Error::SigningFailed);
        }
        let mut encoded = Vec::with_capacity(longest);
        let mut writer = Writer::new(&mut encoded);
        writer.bytes(PUBLIC_KEY, key.encode());
        writer.bytes(PAYLOAD_TYPE, payload_type);
        writer.bytes(PAYLOAD, payload);
        writer.bytes(SIGNATURE, &signature);
        Ok(Self {
            signer: key.clone(),
            payload_type: Bytes::from_static(payload_type),
            payload: Bytes::copy_from_slice(payload),
            encoded: encoded.into(),
        })
    }

    /// Reads and verifies an envelope. `uses` lists the payload types that are expected, each with its domain: the type chooses the domain, so one envelope
    /// is never accepted under two. The wire format permits an empty payload type; a domain is never empty.
    ///
    /// # Errors
    ///
    /// In this order: [`Error::EmptyDomain`], [`Error::EnvelopeTooLarge`], [`Error::MalformedEnvelope`], [`Error::PayloadType`], the errors of
    /// [`PublicKey::decode`], [`Error::BadSignature`].
    pub fn open(encoded: &[u8], uses: &[(&[u8], &str)]) -> Result<Self, Error> {
        if uses.iter().any(|(_, domain)| domain.is_empty()) {
            return Err(Error::EmptyDomain);
        }
        if encoded.len() > MAX_ENVELOPE {
            return Err(Error::EnvelopeTooLarge);
        }
        let parts = Parts::read(encoded)?;
        let (_, domain) = uses
            .iter()
            .find(|(known, _)| *known == parts.payload_type)
            .ok_or(Error::PayloadType)?;
        let signer = PublicKey::decode(parts.key)?;
        let signed = signed_bytes(domain, parts.payload_type, parts.payload);
        if !signer.verify(&signed, parts.signature) {
            return Err(Error::BadSignature);
        }
        Ok(Self {
            signer,
            payload_type: Bytes::copy_from_slice(parts.payload_type),
            payload: Bytes::copy_from_slice(parts.payload),
            encoded: Bytes::copy_from_slice(encoded),
        })
    }

    /// The key that signed.
    pub const fn signer(&self) -> &PublicKey {
        &self.signer
    }

    /// The type of the payload.
    pub fn payload_type(&self) -> &[u8] {
        &self.payload_type
    }

    /// The payload.
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The envelope as it was received or made, to be handed on unchanged.
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }
}

/// The fields of an envelope that nobody has verified yet.
#[derive(Default)]
struct Parts<'a> {
    key: &'a [u8],
    payload_type: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(encoded: &'a [u8]) -> Result<Self, Error> {
        let mut parts = Self::default();
        let mut reader = Reader::new(encoded, Limits::default());
        while let Some(field) = reader.next_field().map_err(|_| Error::MalformedEnvelope)? {
            let part = match field.number {
                PUBLIC_KEY => &mut parts.key,
                PAYLOAD_TYPE => &mut parts.payload_type,
                PAYLOAD => &mut parts.payload,
                SIGNATURE => &mut parts.signature,
                _ => continue,
            };
            *part = field.value.to_bytes().map_err(|_| Error::MalformedEnvelope)?;
        }
        if parts.signature.len() > MAX_SIGNATURE {
            return Err(Error::EnvelopeTooLarge);
        }
        if parts.key.is_empty() || parts.signature.is_empty() {
            return Err(Error::MalformedEnvelope);
        }
        Ok(parts)
    }
}

/// Domain, type and payload, each with its length in front.
fn signed_bytes(domain: &str, payload_type: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    framing::encode(domain.as_bytes(), &mut out);
    framing::encode(payload_type, &mut out);
    framing::encode(payload, &mut out);
    out
}
