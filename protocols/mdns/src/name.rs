//! Names of DNS.

use crate::{Error, Malformed};
use alloc::vec::Vec;
use core::{cmp::Ordering, fmt, str::FromStr};

/// Compression pointers in one name.
pub const MAX_JUMPS: usize = 16;
/// Bytes of a name with the zero that ends it (RFC 1035, § 3.1).
const MAX_NAME: usize = 255;
/// Bytes of a label (RFC 1035, § 3.1).
const MAX_LABEL: usize = 63;

/// A name: labels of 1 to 63 bytes, 255 bytes in all as they are written. Compared without regard to the case of ASCII letters.
#[derive(Clone, Default)]
pub struct Name {
    /// The labels, each behind its length, without the zero that ends them.
    labels: Vec<u8>,
}

impl Name {
    /// This name with one more label in front.
    ///
    /// # Errors
    ///
    /// [`Error::BadName`].
    pub fn child(&self, label: &[u8]) -> Result<Self, Error> {
        let mut name = Self::default();
        name.push(label).map_err(|_| Error::BadName)?;
        name.labels.extend_from_slice(&self.labels);
        if name.encoded_len() > MAX_NAME {
            return Err(Error::BadName);
        }
        Ok(name)
    }

    /// The labels from left to right.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.labels.as_slice();
        core::iter::from_fn(move || {
            let (len, behind) = rest.split_first()?;
            let (label, behind) = behind.split_at_checked(usize::from(*len))?;
            rest = behind;
            Some(label)
        })
    }

    /// Bytes of the name as it is written without compression.
    pub fn encoded_len(&self) -> usize {
        self.labels.len().saturating_add(1)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.labels);
        out.push(0);
    }

    /// Reads the name at `at`, which moves behind it.
    pub(crate) fn decode(packet: &[u8], at: &mut usize) -> Result<Self, Malformed> {
        let mut name = Self::default();
        let (mut place, mut behind) = (*at, None);
        // Where the present run of labels began: a pointer has to lead before it.
        let mut began = place;
        let mut jumps = 0_usize;
        loop {
            let head = *packet.get(place).ok_or(Malformed::Truncated)?;
            place = place.saturating_add(1);
            match head {
                0 => break,
                1..=63 => {
                    let end = place.saturating_add(usize::from(head));
                    name.push(packet.get(place..end).ok_or(Malformed::Truncated)?)?;
                    place = end;
                }
                0xc0.. => {
                    let low = *packet.get(place).ok_or(Malformed::Truncated)?;
                    behind.get_or_insert(place.saturating_add(1));
                    let target = usize::from(u16::from_be_bytes([head & 0x3f, low]));
                    if target >= began {
                        return Err(Malformed::ForwardPointer);
                    }
                    jumps = jumps.saturating_add(1);
                    if jumps > MAX_JUMPS {
                        return Err(Malformed::TooManyJumps);
                    }
                    (place, began) = (target, target);
                }
                other => return Err(Malformed::BadLabel(other)),
            }
        }
        *at = behind.unwrap_or(place);
        Ok(name)
    }

    fn push(&mut self, label: &[u8]) -> Result<(), Malformed> {
        let len = u8::try_from(label.len()).map_err(|_| Malformed::LongName)?;
        if !(1..=MAX_LABEL).contains(&label.len()) {
            return Err(Malformed::BadLabel(len));
        }
        if self.encoded_len().saturating_add(label.len()) >= MAX_NAME {
            return Err(Malformed::LongName);
        }
        self.labels.push(len);
        self.labels.extend_from_slice(label);
        Ok(())
    }

    /// The bytes by which names are compared. Lengths are no letters.
    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.labels.iter().map(u8::to_ascii_lowercase)
    }
}

impl FromStr for Name {
    type Err = Error;

    /// Reads labels with dots between them, and perhaps one behind them. There is no way to write a dot inside of a label.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut name = Self::default();
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            name.push(label.as_bytes()).map_err(|_| Error::BadName)?;
        }
        Ok(name)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.labels.eq_ignore_ascii_case(&other.labels)
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.labels()
            .try_for_each(|label| write!(f, "{}.", label.escape_ascii()))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
