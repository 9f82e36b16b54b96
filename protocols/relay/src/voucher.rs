//! What a relay signs: that it serves a peer until a time.

use crate::VoucherError;
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{
    PeerId, UnixTime,
    protobuf::{Field, decode, encode},
};
use libp2p_proto_identity::{Envelope, Error as IdentityError, Identity};

/// The domain of the signature.
const DOMAIN: &str = "libp2p-relay-rsvp";
/// The multicodec 0x0302 as the two bytes that every implementation writes.
const PAYLOAD_TYPE: &[u8] = &[0x03, 0x02];

/// That a relay serves a peer until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The relay, which signs.
    pub relay: PeerId,
    /// Whom it serves.
    pub peer: PeerId,
    /// Until when, in seconds since 1970.
    pub expiration: u64,
}

impl Voucher {
    /// Signs the voucher and answers the encoded envelope.
    ///
    /// # Errors
    ///
    /// Those of [`Envelope::seal`].
    pub fn seal(&self, identity: &Identity) -> Result<Bytes, IdentityError> {
        let envelope = Envelope::seal(DOMAIN, PAYLOAD_TYPE, &self.encode(), identity)?;
        Ok(envelope.encoded().clone())
    }

    /// Reads a voucher of `relay` for `peer`. The signature is verified before the payload is looked at.
    ///
    /// # Errors
    ///
    /// See [`VoucherError`].
    pub fn open(encoded: &[u8], relay: PeerId, peer: PeerId, now: UnixTime) -> Result<Self, VoucherError> {
        let envelope =
            Envelope::open(encoded, &[(PAYLOAD_TYPE, DOMAIN)]).map_err(|_| VoucherError::BadEnvelope)?;
        let voucher = Self::decode(envelope.payload()).ok_or(VoucherError::BadPayload)?;
        if envelope.signer().peer_id() != relay || voucher.relay != relay {
            Err(VoucherError::WrongRelay)
        } else if voucher.peer != peer {
            Err(VoucherError::WrongPeer)
        } else if voucher.expiration <= now.as_secs() {
            Err(VoucherError::Expired)
        } else {
            Ok(voucher)
        }
    }

    /// The canonical payload.
    pub fn encode(&self) -> Vec<u8> {
        encode(|writer| {
            writer.bytes(1, self.relay.as_bytes());
            writer.bytes(2, self.peer.as_bytes());
            writer.varint(3, self.expiration);
        })
    }

    /// `None` unless it is exactly what [`encode`](Self::encode) makes.
    fn decode(payload: &[u8]) -> Option<Self> {
        type Parts = (Option<PeerId>, Option<PeerId>, Option<u64>);
        let parts = decode(payload, |parts: &mut Parts, field| match field.number {
            1 => parts.0 = id_of(field),
            2 => parts.1 = id_of(field),
            3 => parts.2 = field.value.to_u64().ok(),
            _ => {}
        });
        let (relay, peer, expiration) = parts.ok()?;
        let voucher = Self {
            relay: relay?,
            peer: peer?,
            expiration: expiration?,
        };
        (voucher.encode() == payload).then_some(voucher)
    }
}

fn id_of(field: Field<'_>) -> Option<PeerId> {
    PeerId::from_bytes(field.value.to_bytes().ok()?).ok()
}
