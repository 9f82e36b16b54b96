//! Peer ids: the multihash of a public key, inline and `Copy`.

use crate::Error;
use core::fmt;
use sha2::{Digest, Sha256};

/// The longest identity digest, and so the longest encoded key that is its own id.
const MAX_INLINE_KEY: usize = 42;
const MAX_LEN: usize = 44;

/// A multihash of at most 44 bytes: `Copy`, ordered by its bytes, no allocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    bytes: [u8; MAX_LEN],
    len: u8,
}

impl PeerId {
    /// The id of the key with this protobuf encoding. The only place in the family that derives an id.
    pub fn from_encoded_key(key: &[u8]) -> Self {
        let mut id = Self { bytes: [0; MAX_LEN], len: 0 };
        if key.len() <= MAX_INLINE_KEY {
            id.push(0x00);
            id.push(u8::try_from(key.len()).unwrap_or(0));
            key.iter().for_each(|byte| id.push(*byte));
        } else {
            id.push(0x12);
            id.push(0x20);
            Sha256::digest(key).iter().for_each(|byte| id.push(*byte));
        }
        id
    }

    /// The multihash bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(usize::from(self.len)) {
            *slot = byte;
            self.len = self.len.saturating_add(1);
        }
    }

    /// Reads a multihash.
    ///
    /// # Errors
    ///
    /// [`Error::BadPeerId`] for anything but an identity hash of at most 42 bytes or a sha2-256 hash of 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (code, len, digest) = match bytes {
            [code, len, digest @ ..] => (*code, usize::from(*len), digest),
            _ => return Err(Error::BadPeerId),
        };
        let known = matches!((code, len), (0x00, 0..=MAX_INLINE_KEY) | (0x12, 32));
        if !known || digest.len() != len {
            return Err(Error::BadPeerId);
        }
        let mut id = Self { bytes: [0; MAX_LEN], len: 0 };
        bytes.iter().for_each(|byte| id.push(*byte));
        Ok(id)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.as_bytes()).into_string())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}
