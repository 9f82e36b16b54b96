//! Verification of Ed25519: strict, whoever computes it.
//!
//! AWS-LC is about twice as fast as the portable code, but it takes points of small order, and what it makes of a key whose number is not reduced is its own affair. So it is asked
//! only where both say the same: a signature or a key that looks odd goes to the portable code.

use ed25519_dalek::{Signature, VerifyingKey};

/// Whether `signature` is this key's over `message`: S is reduced, and neither the key nor R is of small order.
pub(crate) fn verify(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (key.try_into(), signature.try_into()) else {
        return false;
    };
    #[cfg(feature = "aws-lc-rs")]
    if !fast::is_odd(key, signature) {
        return fast::verify(key, message, signature);
    }
    portable(key, message, signature)
}

fn portable(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let key = VerifyingKey::from_bytes(key);
    key.is_ok_and(|key| {
        key.verify_strict(message, &Signature::from_bytes(signature))
            .is_ok()
    })
}

#[cfg(feature = "aws-lc-rs")]
mod fast {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    /// The y of the points of small order that are neither 0, 1 nor -1, little endian: RFC 8032's curve has eight such points, these two y belong to four of them.
    const SMALL: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];

    /// Whether the key or R is of small order, or its y is near the prime and may not be reduced.
    pub(super) fn is_odd(key: &[u8; 32], signature: &[u8; 64]) -> bool {
        let (r, _) = signature.split_at(32);
        [key.as_slice(), r].into_iter().any(|point| {
            let Some((last, rest)) = point.split_last() else {
                return true;
            };
            // Without the sign of x. Reduced or not, a y of a small number or of one near the prime has the same 30 bytes in its middle.
            let top = last & 0x7f;
            let middle = rest.get(1..).unwrap_or_default();
            let tiny = top == 0 && middle.iter().all(|byte| *byte == 0);
            let huge = top == 0x7f && middle.iter().all(|byte| *byte == 0xff);
            let small = |known: &[u8; 32]| {
                let [known @ .., known_top] = known;
                known == rest && *known_top == top
            };
            tiny || huge || SMALL.iter().any(small)
        })
    }

    pub(super) fn verify(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, key)
            .verify(message, signature)
            .is_ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use alloc::vec::Vec;
        use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
        use proptest::prelude::*;

        /// Every encoding of a point of small order: y reduced or not, with either sign of x.
        fn weak() -> Vec<[u8; 32]> {
            let of_byte = |low: u8, rest: u8, top: u8| {
                let mut point = [rest; 32];
                point[0] = low;
                point[31] = top;
                point
            };
            let mut found = SMALL.to_vec();
            for low in 0..=1 {
                found.push(of_byte(low, 0, 0));
            }
            for low in 0xec..=0xee {
                found.push(of_byte(low, 0xff, 0x7f));
            }
            let mirrored: Vec<[u8; 32]> = found
                .iter()
                .map(|point| {
                    let mut other = *point;
                    other[31] |= 0x80;
                    other
                })
                .collect();
            found.extend(mirrored);
            found
        }

        #[test]
        fn every_point_of_small_order_is_odd_wherever_it_stands() {
            let good = SigningKey::from_bytes(&[7; 32]);
            let signature = good.sign(b"m").to_bytes();
            assert!(!is_odd(good.verifying_key().as_bytes(), &signature));
            let mut weak_ones = 0;
            for point in weak() {
                assert!(is_odd(&point, &signature), "{point:?}");
                let mut with_r = signature;
                with_r[..32].copy_from_slice(&point);
                assert!(is_odd(good.verifying_key().as_bytes(), &with_r));
                weak_ones += u32::from(VerifyingKey::from_bytes(&point).is_ok_and(|key| key.is_weak()));
            }
            assert!(weak_ones >= 8, "{weak_ones}");
        }

        proptest! {
            #[test]
            fn both_say_the_same(
                seed: [u8; 32],
                message in proptest::collection::vec(any::<u8>(), 0..300),
                place in 0_usize..96,
                flip in prop_oneof![Just(0_u8), any::<u8>()],
                point in any::<prop::sample::Index>(),
                swap in 0_u8..4,
            ) {
                let keys = SigningKey::from_bytes(&seed);
                let mut signature = keys.sign(&message).to_bytes();
                let mut key = keys.verifying_key().to_bytes();
                let all = weak();
                let odd = all[point.index(all.len())];
                match swap {
                    1 => key = odd,
                    2 => signature[..32].copy_from_slice(&odd),
                    _ => {}
                }
                match place.checked_sub(64) {
                    Some(place) => key[place] ^= flip,
                    None => signature[place] ^= flip,
                }
                let wanted = super::super::portable(&key, &message, &signature);
                prop_assert_eq!(super::super::verify(&key, &message, &signature), wanted);
                prop_assert!(wanted || flip != 0 || swap == 1 || swap == 2);
            }
        }
    }
}
