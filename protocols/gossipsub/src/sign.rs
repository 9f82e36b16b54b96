//! Signature policies: what a message must and must not carry, signing and verifying.

use crate::{Reject, wire::Message};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::PeerId;
use libp2p_proto_identity::{Identity, PublicKey};

/// What is put in front of a message before it is signed.
const PREFIX: &[u8] = b"libp2p-pubsub:";

/// What the messages of a topic must carry. One of each topic, as the specification demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignaturePolicy {
    /// Author, sequence number and a valid signature. The default of the deployed networks.
    #[default]
    StrictSign,
    /// None of author, sequence number, signature and key. Needs an id function of the payload.
    StrictNoSign,
    /// We sign; unsigned messages are taken, signatures that are there are verified. For migration only.
    LaxSign,
    /// We don't sign; unsigned messages are taken, signatures that are there are verified. For migration only.
    LaxNoSign,
}

impl SignaturePolicy {
    /// Whether own messages are signed.
    pub const fn signs(self) -> bool {
        matches!(self, Self::StrictSign | Self::LaxSign)
    }

    /// What can be judged without a signature being verified: presence, and the author's id.
    ///
    /// # Errors
    ///
    /// See [`Reject`].
    pub fn check_shape(self, message: &Message) -> Result<Option<PeerId>, Reject> {
        let signed = [&message.from, &message.seqno, &message.signature, &message.key];
        if matches!(self, Self::StrictNoSign) {
            return if signed.iter().any(|field| field.is_some()) {
                Err(Reject::UnexpectedAuthor)
            } else {
                Ok(None)
            };
        }
        if matches!(self, Self::StrictSign) {
            if message.signature.as_ref().is_none_or(Bytes::is_empty) {
                return Err(Reject::MissingSignature);
            }
            if message.from.is_none() {
                return Err(Reject::BadAuthor);
            }
            if message.seqno.as_ref().is_none_or(|seqno| seqno.len() != 8) {
                return Err(Reject::BadSeqno);
            }
        }
        let author = match &message.from {
            Some(from) if !from.is_empty() || message.signature.is_some() => {
                Some(PeerId::from_bytes(from).map_err(|_| Reject::BadAuthor)?)
            }
            _ => None,
        };
        Ok(author)
    }

    /// Verifies the signature, if the policy or the message has one.
    ///
    /// # Errors
    ///
    /// [`Reject::WrongKey`], [`Reject::InvalidSignature`].
    pub fn verify(self, message: &Message, author: Option<PeerId>) -> Result<(), Reject> {
        let Some(signature) = &message.signature else {
            return Ok(());
        };
        let author = author.ok_or(Reject::BadAuthor)?;
        let key = match &message.key {
            Some(key) => PublicKey::decode(key).map_err(|_| Reject::WrongKey)?,
            None => PublicKey::from_peer_id(&author).ok_or(Reject::WrongKey)?,
        };
        if key.peer_id() != author {
            return Err(Reject::WrongKey);
        }
        if key.verify(&preimage(message), signature) {
            Ok(())
        } else {
            Err(Reject::InvalidSignature)
        }
    }
}

/// What is signed: the message without signature and key, as every implementation does it.
pub fn preimage(message: &Message) -> Vec<u8> {
    let len = |field: &Option<Bytes>| field.as_ref().map_or(0, Bytes::len);
    let topic = message.topic.as_ref().map_or(0, |topic| topic.as_str().len());
    // And tags and lengths of four fields.
    let fields = [
        len(&message.from),
        len(&message.data),
        len(&message.seqno),
        topic,
        message.unknown.len(),
    ];
    let room = fields
        .into_iter()
        .fold(PREFIX.len().saturating_add(32), usize::saturating_add);
    let mut out = Vec::with_capacity(room);
    out.extend_from_slice(PREFIX);
    message.write(&mut out, false);
    out
}

/// Puts author, number, signature and, if the author's id doesn't hold it, the key into a message.
pub(crate) fn sign(message: &mut Message, identity: &Identity, seqno: u64) -> Option<()> {
    let peer = identity.peer_id();
    message.from = Some(Bytes::copy_from_slice(peer.as_bytes()));
    message.seqno = Some(Bytes::copy_from_slice(&seqno.to_be_bytes()));
    message.signature = Some(identity.sign(&preimage(message)).ok()?.into());
    if peer.inline_key().is_none() {
        message.key = Some(Bytes::copy_from_slice(identity.public_key().encode()));
    }
    Some(())
}
