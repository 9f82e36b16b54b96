//! The mask of a client's frames (RFC 6455 section 5.3).

use libp2p_proto_core::Rng;

/// A fresh key.
pub(crate) fn key(rng: &mut Rng) -> [u8; 4] {
    let [a, b, c, d, ..] = rng.next_u64().to_le_bytes();
    [a, b, c, d]
}

/// Masks or unmasks `data`, which begins `offset` bytes into the payload of its frame.
pub(crate) fn apply(data: &mut [u8], key: [u8; 4], offset: u64) {
    let turn = u32::try_from(offset % 4).unwrap_or(0).saturating_mul(8);
    let turned = u32::from_le_bytes(key).rotate_right(turn).to_le_bytes();
    let [a, b, c, d] = turned;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = data.chunks_exact_mut(8);
    for chunk in &mut words {
        if let Ok(bytes) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ word).to_ne_bytes());
        }
    }
    let rest = words.into_remainder();
    for (byte, key) in rest.iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}
