//! Signed envelopes (RFC 0002): a payload of a type, signed under a domain that never travels.

use crate::{Error, Identity, PublicKey};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{
    framing,
    protobuf::{Limits, Reader, Value, Writer},
};

/// The largest envelope that is read, in bytes.
pub const MAX_ENVELOPE: usize = 8192;
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
        let signature = identity.sign(&signed_bytes(domain, payload_type, payload))?;
        let mut encoded = Vec::new();
        let mut writer = Writer::new(&mut encoded);
        writer.bytes(PUBLIC_KEY, identity.public_key().encode());
        writer.bytes(PAYLOAD_TYPE, payload_type);
        writer.bytes(PAYLOAD, payload);
        writer.bytes(SIGNATURE, &signature);
        if encoded.len() > MAX_ENVELOPE {
            return Err(Error::EnvelopeTooLarge);
        }
        Ok(Self {
            signer: identity.public_key().clone(),
            payload_type: Bytes::from_static(payload_type),
            payload: Bytes::copy_from_slice(payload),
            encoded: encoded.into(),
        })
    }

    /// Reads and verifies an envelope. `uses` lists the payload types that are expected, each with its domain: the type chooses the domain, so one envelope
    /// is never accepted under two.
    ///
    /// # Errors
    ///
    /// In this order: [`Error::EnvelopeTooLarge`], [`Error::MalformedEnvelope`], [`Error::PayloadType`], the errors of [`PublicKey::decode`],
    /// [`Error::BadSignature`].
    pub fn open(encoded: &[u8], uses: &[(&[u8], &str)]) -> Result<Self, Error> {
        if encoded.len() > MAX_ENVELOPE {
            return Err(Error::EnvelopeTooLarge);
        }
        let (mut key, mut payload_type, mut payload, mut signature): (&[u8], &[u8], &[u8], &[u8]) =
            (&[], &[], &[], &[]);
        let mut reader = Reader::new(
            encoded,
            Limits {
                bytes: MAX_ENVELOPE,
                ..Limits::default()
            },
        );
        while let Some(field) = reader.next_field().map_err(|_| Error::MalformedEnvelope)? {
            match (field.number, field.value) {
                (PUBLIC_KEY, Value::Bytes(bytes)) => key = bytes,
                (PAYLOAD_TYPE, Value::Bytes(bytes)) => payload_type = bytes,
                (PAYLOAD, Value::Bytes(bytes)) => payload = bytes,
                (SIGNATURE, Value::Bytes(bytes)) => signature = bytes,
                (PUBLIC_KEY | PAYLOAD_TYPE | PAYLOAD | SIGNATURE, _) => return Err(Error::MalformedEnvelope),
                _ => {}
            }
        }
        if signature.len() > MAX_SIGNATURE {
            return Err(Error::EnvelopeTooLarge);
        }
        if key.is_empty() || signature.is_empty() {
            return Err(Error::MalformedEnvelope);
        }
        let (_, domain) = uses
            .iter()
            .find(|(known, _)| *known == payload_type)
            .ok_or(Error::PayloadType)?;
        let signer = PublicKey::decode(key)?;
        if !signer.verify(&signed_bytes(domain, payload_type, payload), signature) {
            return Err(Error::BadSignature);
        }
        Ok(Self {
            signer,
            payload_type: Bytes::copy_from_slice(payload_type),
            payload: Bytes::copy_from_slice(payload),
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

/// Domain, type and payload, each with its length in front.
fn signed_bytes(domain: &str, payload_type: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    framing::encode(domain.as_bytes(), &mut out);
    framing::encode(payload_type, &mut out);
    framing::encode(payload, &mut out);
    out
}
