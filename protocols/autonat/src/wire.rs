//! The messages of both versions, in protobuf.

pub mod v1;
pub mod v2;

use alloc::vec::Vec;
use bytes::Bytes;

/// The listed addresses as a list of at most `max`; the others are not even kept.
fn push_addr(addrs: &mut Vec<Bytes>, addr: &[u8], max: usize) {
    if addrs.len() < max {
        addrs.push(Bytes::copy_from_slice(addr));
    }
}
