//! Message ids: the default of each implementation, those of Ethereum, and the user's.

use crate::{Topic, wire::Message};
use alloc::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use bytes::Bytes;
use core::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};
use libp2p_proto_core::PeerId;
use sha2::{Digest, Sha256};

/// Ids longer than this are kept as their SHA-256 where a peer chose them.
const LONGEST_KEPT: usize = 64;

/// Ids up to this length lie where they are kept, without memory of their own: those of Ethereum, and hashes that are cut.
const INLINE: usize = 23;

/// What identifies a message: any bytes but none.
#[derive(Clone)]
pub struct MessageId(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE] },
    Shared(Bytes),
}

impl MessageId {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Repr::Shared(bytes) => bytes,
        }
    }

    /// A short one, without memory of its own.
    fn inline(bytes: &[u8]) -> Option<Self> {
        let mut inline = [0; INLINE];
        inline.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let len = u8::try_from(bytes.len()).ok()?;
        Some(Self(Repr::Inline { len, bytes: inline }))
    }

    fn copy(bytes: &[u8]) -> Self {
        Self::inline(bytes).unwrap_or_else(|| Self(Repr::Shared(Bytes::copy_from_slice(bytes))))
    }

    /// What it is kept under, without a copy: for a look, or where its memory is its own already.
    pub(crate) fn key(&self) -> Self {
        if self.as_bytes().len() > LONGEST_KEPT {
            return self.kept();
        }
        self.clone()
    }

    /// A copy of at most 64 bytes that shares no memory with the frame it came in.
    pub(crate) fn kept(&self) -> Self {
        let bytes = self.as_bytes();
        if bytes.len() > LONGEST_KEPT {
            return Self::copy(&Sha256::digest(bytes));
        }
        Self::copy(bytes)
    }
}

// One id may be kept in either way: what counts are its bytes.
impl PartialEq for MessageId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for MessageId {}

impl PartialOrd for MessageId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MessageId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for MessageId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl From<Bytes> for MessageId {
    fn from(bytes: Bytes) -> Self {
        Self::inline(&bytes).unwrap_or(Self(Repr::Shared(bytes)))
    }
}

impl From<Vec<u8>> for MessageId {
    fn from(bytes: Vec<u8>) -> Self {
        Self::inline(&bytes).unwrap_or_else(|| Self(Repr::Shared(bytes.into())))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageId(")?;
        for byte in self.as_bytes().iter().take(LONGEST_KEPT) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// A user's own function: pure, and the same at all nodes of a topic. `None` rejects the message.
pub type CustomId = Arc<dyn Fn(&Message) -> Option<MessageId> + Send + Sync>;

/// How the id of a message is made. All nodes of a topic must use the same; the defaults of the implementations differ.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum MessageIdFn {
    /// Author and sequence number, as bytes: the specification's, go's and kubo's.
    #[default]
    Go,
    /// Author in base58 and sequence number in decimals, as text: rust-libp2p's.
    Rust,
    /// The author's key in protobuf and the sequence number: js-libp2p's for authors whose id holds their key.
    Js,
    /// Sequence number in hexadecimal and author in base58, as text: nim-libp2p's.
    Nim,
    /// SHA-256 of the payload: js-libp2p's for unsigned messages.
    Sha256,
    /// A function of the user's.
    Custom(CustomId),
}

impl MessageIdFn {
    /// The id of a message; `None` if the message lacks what the id is made of.
    pub fn id(&self, message: &Message) -> Option<MessageId> {
        let from = message.from.as_deref();
        let seqno = message.seqno.as_deref();
        let id = match self {
            Self::Go => [from?, seqno?].concat(),
            Self::Rust => rust_id(from, seqno)?,
            Self::Js => {
                let peer = PeerId::from_bytes(from?).ok()?;
                let key = peer.inline_key().or(message.key.as_deref())?;
                [key, seqno?].concat()
            }
            Self::Nim => {
                let mut text = hex(seqno?);
                text.push_str(&bs58::encode(from?).into_string());
                text.into_bytes()
            }
            Self::Sha256 => Sha256::digest(message.data.as_deref().unwrap_or_default()).to_vec(),
            Self::Custom(function) => return function(message).filter(|id| !id.as_bytes().is_empty()),
        };
        (!id.is_empty()).then(|| MessageId::from(id))
    }

    /// Whether the id is made of author and sequence number, which an unsigned message lacks.
    pub(crate) const fn needs_author(&self) -> bool {
        matches!(self, Self::Go | Self::Rust | Self::Js | Self::Nim)
    }
}

impl fmt::Debug for MessageIdFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Go => "Go",
            Self::Rust => "Rust",
            Self::Js => "Js",
            Self::Nim => "Nim",
            Self::Sha256 => "Sha256",
            Self::Custom(_) => "Custom",
        })
    }
}

/// rust-libp2p takes the id 000100 for a missing author and 0 for a missing number.
fn rust_id(from: Option<&[u8]>, seqno: Option<&[u8]>) -> Option<Vec<u8>> {
    let number = match seqno {
        None => 0,
        Some(bytes) => u64::from_be_bytes(bytes.try_into().ok()?),
    };
    let mut text = bs58::encode(from.unwrap_or(&[0, 1, 0])).into_string();
    text.push_str(&number.to_string());
    Some(text.into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The id of an Ethereum consensus message: 20 bytes of a SHA-256 over the decompressed payload, or over the raw one if it can't be decompressed.
///
/// `decompressed` is what snappy's block format gave, within its limit; `topic` is hashed from Altair on, `None` for phase 0.
pub fn ethereum_id(topic: Option<&Topic>, data: &[u8], decompressed: Option<&[u8]>) -> MessageId {
    let mut hash = Sha256::new();
    hash.update(if decompressed.is_some() {
        [1, 0, 0, 0]
    } else {
        [0; 4]
    });
    if let Some(topic) = topic {
        hash.update((topic.as_str().len() as u64).to_le_bytes());
        hash.update(topic.as_str());
    }
    hash.update(decompressed.unwrap_or(data));
    let digest = hash.finalize();
    MessageId::from(digest.get(..20).unwrap_or_default().to_vec())
}

/// The length that a block of snappy declares for what is in it, for a look before it is decompressed: the varint in front of it. `None` if there is none.
///
/// Ethereum's consensus layer takes at most 10 MiB (`MAX_PAYLOAD_SIZE` of its phase 0 networking).
pub fn snappy_len(block: &[u8]) -> Option<u32> {
    let mut len = 0_u64;
    for (place, byte) in block.iter().take(5).enumerate() {
        let shift = u32::try_from(place).ok()?.checked_mul(7)?;
        len |= u64::from(byte & 127).checked_shl(shift)?;
        if byte & 128 == 0 {
            return u32::try_from(len).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn an_id_is_its_bytes_however_it_is_kept() {
        assert_eq!(core::mem::size_of::<MessageId>(), core::mem::size_of::<Bytes>());
        for len in 1..=70 {
            let bytes = vec![7_u8; len];
            let (a, b) = (
                MessageId::from(bytes.clone()),
                MessageId::from(Bytes::from(bytes.clone())),
            );
            assert_eq!((a.as_bytes(), &a), (&bytes[..], &b));
            assert_eq!(a.kept() == a, len <= LONGEST_KEPT);
            let longer = MessageId::from([&bytes[..], &[0]].concat());
            assert!(a < longer && longer < MessageId::from(vec![8]));
        }
    }
}
