//! The few shapes of DER that keys come in, read strictly and written canonically. Lengths are checked before anything is looked at.

#[cfg(any(feature = "ecdsa", feature = "rsa-signing"))]
use alloc::vec::Vec;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
#[cfg(any(feature = "ecdsa", feature = "rsa-signing"))]
pub(crate) const OCTET_STRING: u8 = 0x04;
#[cfg(feature = "ecdsa")]
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// The object identifier of the curve P-256.
#[cfg(feature = "ecdsa")]
pub(crate) const P256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Takes one element with this tag from the front of `input` and answers its content.
pub(crate) fn read<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, rest) = input.split_first()?;
    if *found != tag {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => match rest.split_first()? {
            (byte @ 0x80.., rest) => (usize::from(*byte), rest),
            _ => return None,
        },
        0x82 => match rest {
            [high, low, rest @ ..] if *high > 0 => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            _ => return None,
        },
        // Indefinite forms, and lengths that no key has.
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    *input = rest;
    Some(content)
}

/// Like [`read`], but nothing may follow.
pub(crate) fn read_all(mut input: &[u8], tag: u8) -> Option<&[u8]> {
    let content = read(&mut input, tag)?;
    input.is_empty().then_some(content)
}

#[cfg(feature = "rsa")]
/// An unsigned integer without its sign byte; minimal, not negative.
pub(crate) fn read_unsigned<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    match read(input, INTEGER)? {
        [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => Some(rest),
        number @ [1..=0x7f, ..] => Some(number),
        _ => None,
    }
}

#[cfg(any(feature = "ecdsa", feature = "rsa-signing"))]
/// Appends one element.
pub(crate) fn write(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    let [.., high, low] = content.len().to_be_bytes();
    match (high, low) {
        (0, 0..=0x7f) => out.push(low),
        (0, _) => out.extend_from_slice(&[0x81, low]),
        _ => out.extend_from_slice(&[0x82, high, low]),
    }
    out.extend_from_slice(content);
}
