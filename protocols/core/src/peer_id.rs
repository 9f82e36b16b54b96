//! Peer ids: the multihash of a public key, inline and `Copy`.

use crate::{Error, Rng};
use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};

/// The longest identity digest, and so the longest encoded key that is its own id.
const MAX_INLINE_KEY: usize = 42;
const MAX_LEN: usize = 44;
/// The longest text that is decoded at all: base58 costs the square of its length.
const MAX_TEXT: usize = 128;
/// Room for the longest id in base58: 44 bytes make at most 61 digits.
const MAX_PRINTED: usize = 64;
/// Version 1, codec `libp2p-key`.
const CID_PREFIX: [u8; 2] = [0x01, 0x72];

/// A multihash of at most 44 bytes: `Copy`, ordered by its bytes, no allocation.
///
/// ```
/// use libp2p_proto_core::PeerId;
///
/// // Three spellings, one id; base58 is what is printed.
/// let id: PeerId = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq".parse()?;
/// assert_eq!("k51qzi5uqu5dgy8qsq67hbz73jqkw87l3fgf4a91qb0d9b5173tir7n4vxk1oe".parse::<PeerId>()?, id);
/// assert_eq!(id.to_cid(), "bafzaajaiaejcahwr5d5ofrfbis4l5d6uwr57hu5tjodrypfm6yaq6dsc2r2pzyt6");
/// assert_eq!(PeerId::from_bytes(id.as_bytes())?, id);
/// # Ok::<(), libp2p_proto_core::Error>(())
/// ```
///
/// An identity hash of at most 42 bytes is an id even if no key can be read from it, since such ids are legal as keys of a lookup; whether a *peer* can
/// have it, the identity crate says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    bytes: [u8; MAX_LEN],
    len: u8,
}

impl PeerId {
    /// The id of the key with this protobuf encoding. The only place in the family that derives an id.
    pub fn from_encoded_key(key: &[u8]) -> Self {
        let mut id = Self {
            bytes: [0; MAX_LEN],
            len: 0,
        };
        if key.len() <= MAX_INLINE_KEY {
            id.push(0x00);
            id.push(u8::try_from(key.len()).unwrap_or(0));
            id.extend(key);
        } else {
            id.push(0x12);
            id.push(0x20);
            id.extend(&Sha256::digest(key));
        }
        id
    }

    /// An id of 32 random bytes under the identity hash: a key to look up, as a walk through a routing table needs it. No key stands behind it, so no
    /// peer can ever prove to have it.
    pub fn random(rng: &mut Rng) -> Self {
        Self::from_encoded_key(&rng.bytes32())
    }

    /// The multihash bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The encoded key of an identity hash; `None` for a sha2-256 hash, from which no key can be had. Whether the bytes are a valid key is
    /// for the identity crate to say.
    pub fn inline_key(&self) -> Option<&[u8]> {
        match self.as_bytes() {
            [0x00, _, key @ ..] => Some(key),
            _ => None,
        }
    }

    /// The id as a version 1 CID with the codec `libp2p-key`, in base32.
    pub fn to_cid(&self) -> String {
        let mut cid = Vec::from(CID_PREFIX);
        cid.extend_from_slice(self.as_bytes());
        let mut text = String::from("b");
        text.push_str(&BASE32_NOPAD.encode(&cid).to_ascii_lowercase());
        text
    }

    fn extend(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push(*byte);
        }
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
        let mut id = Self {
            bytes: [0; MAX_LEN],
            len: 0,
        };
        id.extend(bytes);
        Ok(id)
    }
}

impl FromStr for PeerId {
    type Err = Error;

    /// Reads base58btc (text that begins `1` or `Qm`), or a version 1 CID of codec `libp2p-key` in base32, base36, base58btc or base16.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT || !text.is_ascii() {
            return Err(Error::BadPeerId);
        }
        if text.starts_with('1') || text.starts_with("Qm") {
            let bytes = bs58::decode(text).into_vec().map_err(|_| Error::BadPeerId)?;
            return Self::from_bytes(&bytes);
        }
        let cid = decode_multibase(text).ok_or(Error::BadPeerId)?;
        Self::from_bytes(cid.strip_prefix(&CID_PREFIX).ok_or(Error::BadPeerId)?)
    }
}

fn decode_multibase(text: &str) -> Option<Vec<u8>> {
    let (base, digits) = text.split_at_checked(1)?;
    match base {
        "b" | "B" => BASE32_NOPAD.decode(digits.to_ascii_uppercase().as_bytes()).ok(),
        "k" | "K" => decode_base36(digits),
        "z" => bs58::decode(digits).into_vec().ok(),
        "f" | "F" => HEXLOWER.decode(digits.to_ascii_lowercase().as_bytes()).ok(),
        _ => None,
    }
}

/// Base 36 by repeated multiplication; the text is at most [`MAX_TEXT`] digits.
fn decode_base36(digits: &str) -> Option<Vec<u8>> {
    let zeros = digits.bytes().take_while(|digit| *digit == b'0').count();
    let mut number: Vec<u8> = Vec::new(); // little endian
    for digit in digits.chars() {
        let mut carry = digit.to_digit(36)?;
        for byte in &mut number {
            carry = carry.saturating_add(u32::from(*byte).saturating_mul(36));
            *byte = u8::try_from(carry & 0xff).ok()?;
            carry >>= 8;
        }
        while carry > 0 {
            number.push(u8::try_from(carry & 0xff).ok()?);
            carry >>= 8;
        }
    }
    number.resize(number.len().saturating_add(zeros), 0);
    number.reverse();
    Some(number)
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; MAX_PRINTED];
        let len = bs58::encode(self.as_bytes())
            .onto(&mut text[..])
            .map_err(|_| fmt::Error)?;
        let text = text.get(..len).unwrap_or_default();
        f.pad(core::str::from_utf8(text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}
