//! The key space: identifiers of 256 bits and the distance between them.

use core::{fmt, ops::RangeInclusive};
use libp2p_proto_core::PeerId;
use sha2::{Digest, Sha256};

/// Bits of an identifier.
pub(crate) const BITS: u16 = 256;

/// A place in the key space: the SHA-256 digest of a peer id, a multihash or a value's key.
///
/// ```
/// use libp2p_proto_kad::Key;
///
/// let (a, b) = (Key::of(b"a"), Key::of(b"b"));
/// assert_eq!(a.distance(&b), b.distance(&a));
/// assert_eq!(a.common_prefix(&a), 256);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The place of these bytes: their SHA-256 digest, with nothing mixed in.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The place of a peer: the digest of its whole binary id.
    pub fn of_peer(peer: &PeerId) -> Self {
        Self::of(peer.as_bytes())
    }

    /// The place with these 32 bytes. Nothing is hashed.
    pub const fn from_raw(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The exclusive or of the two, as a big-endian number.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Distance {
        let mut distance = [0; 32];
        for (out, (a, b)) in distance.iter_mut().zip(self.0.iter().zip(&other.0)) {
            *out = a ^ b;
        }
        Distance(distance)
    }

    /// All places that share so many bits with this one: the first and the last.
    pub(crate) fn region(&self, bits: u16) -> RangeInclusive<Self> {
        let (mut first, mut last) = (self.0, self.0);
        let mut left = bits;
        for (low, high) in first.iter_mut().zip(&mut last) {
            let own = left.min(8);
            left = left.saturating_sub(own);
            let rest = 0xff_u8.checked_shr(u32::from(own)).unwrap_or(0);
            *low &= !rest;
            *high |= rest;
        }
        Self(first)..=Self(last)
    }

    /// A place that shares exactly `bits` bits with this one: that bit is the other one. The same place for 256.
    pub(crate) fn beside(&self, bits: u16) -> Self {
        let mut bytes = self.0;
        let flipped = 0x80_u8.checked_shr(u32::from(bits % 8)).unwrap_or(0);
        if let Some(byte) = bytes.get_mut(usize::from(bits / 8)) {
            *byte ^= flipped;
        }
        Self(bytes)
    }

    /// The place after this one, if it is not the last.
    pub(crate) fn next(&self) -> Option<Self> {
        let mut bytes = self.0;
        for byte in bytes.iter_mut().rev() {
            match byte.checked_add(1) {
                Some(more) => {
                    *byte = more;
                    return Some(Self(bytes));
                }
                None => *byte = 0,
            }
        }
        None
    }

    /// Bits that both share from the left: 0 to 256, which means the same place.
    pub fn common_prefix(&self, other: &Self) -> u16 {
        self.distance(other).leading_zeros()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", Hex(&self.0))
    }
}

/// The distance of two places, ordered as a big-endian number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u8; 32]);

impl Distance {
    /// The 32 bytes, the highest first.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Zero bits before the first set one: 0 to 256.
    pub fn leading_zeros(&self) -> u16 {
        let mut zeros: u16 = 0;
        for byte in self.0 {
            zeros = zeros.saturating_add(u16::try_from(byte.leading_zeros()).unwrap_or(0));
            if byte != 0 {
                break;
            }
        }
        zeros
    }
}

impl fmt::Debug for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Distance({})", Hex(&self.0))
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
