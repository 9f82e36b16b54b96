//! Unsigned varints of multiformats: LEB128 in its shortest form, at most nine bytes.
//!
//! ```
//! use libp2p_proto_core::varint;
//!
//! let mut out = Vec::new();
//! varint::encode(300, &mut out);
//! assert_eq!(out, [0xac, 0x02]);
//! assert_eq!(varint::decode(&out)?, Some((300, 2)));
//! assert_eq!(varint::decode(&[0xac])?, None); // more bytes are needed
//! # Ok::<(), libp2p_proto_core::Error>(())
//! ```

use crate::Error;
use alloc::vec::Vec;

/// The largest value: 2⁶³−1.
pub const MAX: u64 = (1 << 63) - 1;
/// The most bytes of one varint.
pub const MAX_LEN: usize = 9;

/// Appends `value`; a value over [`MAX`] is written as [`MAX`], since no reader takes more.
pub fn encode(value: u64, out: &mut Vec<u8>) {
    let mut rest = value.min(MAX);
    while rest >= 0x80 {
        out.push(low7(rest) | 0x80);
        rest >>= 7;
    }
    out.push(low7(rest));
}

/// Bytes of the encoding of `value`.
pub const fn encoded_len(value: u64) -> usize {
    let value = if value > MAX { MAX } else { value };
    let bits = 64_u32.saturating_sub(value.leading_zeros());
    match bits.div_ceil(7) {
        0 => 1,
        len => len as usize,
    }
}

/// Reads a varint from the front of `input`: its value and its length. `None`: more bytes are needed.
///
/// # Errors
///
/// [`Error::VarintTooLong`] as soon as nine bytes are held and none of them is the last one, [`Error::VarintNotMinimal`] for a longer form than needed.
pub fn decode(input: &[u8]) -> Result<Option<(u64, usize)>, Error> {
    let mut value = 0_u64;
    let mut shift = 0_u32;
    for (len, byte) in (1..=MAX_LEN).zip(input) {
        value |= u64::from(byte & 0x7f) << shift;
        shift = shift.saturating_add(7);
        if byte & 0x80 == 0 {
            return if *byte == 0 && len > 1 {
                Err(Error::VarintNotMinimal)
            } else {
                Ok(Some((value, len)))
            };
        }
    }
    if input.len() >= MAX_LEN {
        Err(Error::VarintTooLong)
    } else {
        Ok(None)
    }
}

/// Like [`decode`], but the end of the input is an error, and the value must fit `usize`.
///
/// # Errors
///
/// Those of [`decode`], and [`Error::UnexpectedEnd`].
pub fn decode_usize(input: &[u8]) -> Result<(usize, usize), Error> {
    let (value, len) = decode(input)?.ok_or(Error::UnexpectedEnd)?;
    Ok((narrow(value)?, len))
}

/// The checked conversion of [`decode_usize`], for a `usize` of any width.
fn narrow<T: TryFrom<u64>>(value: u64) -> Result<T, Error> {
    T::try_from(value).map_err(|_| Error::VarintTooLong)
}

fn low7(value: u64) -> u8 {
    u8::try_from(value & 0x7f).unwrap_or(0)
}

#[cfg(test)]
mod tests;
