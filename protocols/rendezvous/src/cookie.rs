//! Where an answer ended, written so that the point need not remember it: a number, a check value that only this run of the point can make, and the namespace.
//!
//! Eight bytes and then the namespace as UTF-8 is what clients of rust-libp2p read in the cookies of any point.

use crate::MAX_NAMESPACE;
use alloc::vec::Vec;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Bytes of the number: 2^40 records, then cookies are strangers to their own point and the list begins again.
const NUMBER: usize = 5;
/// Bytes of number and check value.
const HEAD: usize = 8;

/// What is wrong with a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoCookie;

/// The cookie of an answer that ended behind record `end` of a namespace.
pub(crate) fn seal(secret: &[u8; 32], end: u64, namespace: &str) -> Bytes {
    let mut out = Vec::with_capacity(HEAD.saturating_add(namespace.len()));
    out.extend(end.to_be_bytes().iter().skip(8_usize.saturating_sub(NUMBER)));
    let check = check(secret, &out, namespace);
    out.extend(check);
    out.extend(namespace.as_bytes());
    out.into()
}

/// The number behind which an answer goes on: 0 for no cookie, and for one that was made by somebody else or in another life.
pub(crate) fn open(secret: &[u8; 32], cookie: &[u8], namespace: &str) -> Result<u64, NoCookie> {
    if cookie.is_empty() {
        return Ok(0);
    }
    let (head, rest) = cookie.split_at_checked(HEAD).ok_or(NoCookie)?;
    let told = core::str::from_utf8(rest).map_err(|_| NoCookie)?;
    if told != namespace || told.len() > MAX_NAMESPACE {
        return Err(NoCookie);
    }
    let (number, tag) = head.split_at_checked(NUMBER).ok_or(NoCookie)?;
    if tag != check(secret, number, namespace) {
        return Ok(0);
    }
    Ok(number
        .iter()
        .fold(0, |sum: u64, byte| (sum << 8) | u64::from(*byte)))
}

fn check(secret: &[u8; 32], number: &[u8], namespace: &str) -> [u8; HEAD - NUMBER] {
    let hash = Sha256::new()
        .chain_update(secret)
        .chain_update(number)
        .chain_update(namespace.as_bytes())
        .finalize();
    let mut check = [0; HEAD - NUMBER];
    for (slot, byte) in check.iter_mut().zip(hash.iter()) {
        *slot = *byte;
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    // covers: RDV-040, RDV-042, RDV-043, RDV-045
    #[test]
    fn a_cookie_is_read_by_its_point_for_its_namespace_and_a_stranger_begins_again() {
        for end in [0, 1, 300, (1 << 40) - 1] {
            let cookie = seal(&SECRET, end, "test");
            assert_eq!((cookie.len(), cookie.get(8..)), (12, Some(&b"test"[..])));
            assert_eq!(open(&SECRET, &cookie, "test"), Ok(end));
            assert_eq!(open(&[8; 32], &cookie, "test"), Ok(0));
            assert_eq!(open(&SECRET, &cookie, "other"), Err(NoCookie));
            assert_eq!(open(&SECRET, &cookie, ""), Err(NoCookie));
        }
        assert_eq!(open(&SECRET, b"", "test"), Ok(0));
        assert_eq!(open(&SECRET, b"abc", "test"), Err(NoCookie));
        assert_eq!(open(&SECRET, b"01234567\xff", "test"), Err(NoCookie));
        for number in [0, 1 << 63, u64::MAX] {
            let mut forged = number.to_be_bytes().to_vec();
            forged.extend(b"test");
            assert_eq!(open(&SECRET, &forged, "test"), Ok(0));
        }
    }
}
