//! RSA: everything that can be refused is refused from lengths, before any arithmetic on big numbers.

use crate::{Error, KeyType, der};
#[cfg(feature = "rsa-signing")]
use alloc::vec::Vec;
use rsa::{BoxedUint, PublicKey, pkcs1v15, signature::Verifier as _};
use sha2::Sha256;

const MIN_BITS: usize = 2048;
const MAX_BITS: usize = 8192;
/// A key of 8192 bits with an exponent of 65 537 has 1 062 bytes, which is where js stops.
const MAX_SPKI: usize = 1062;
/// `SEQUENCE { OID rsaEncryption, NULL }`
const ALGORITHM: [u8; 13] = [
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// Modulus and exponent of a `SubjectPublicKeyInfo`, big endian.
fn parse(spki: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let bad = Error::InvalidKey(KeyType::Rsa);
    if spki.len() > MAX_SPKI {
        return Err(Error::KeyTooLarge);
    }
    let mut info = der::read_all(spki, der::SEQUENCE).ok_or(bad.clone())?;
    let algorithm = der::read(&mut info, der::SEQUENCE).filter(|algorithm| *algorithm == ALGORITHM);
    let key = der::read_all(info, der::BIT_STRING).and_then(|bits| bits.strip_prefix(&[0]));
    let (Some(_), Some(key)) = (algorithm, key) else {
        return Err(bad);
    };
    let mut numbers = der::read_all(key, der::SEQUENCE).ok_or(bad.clone())?;
    let modulus = der::read_unsigned(&mut numbers).ok_or(bad.clone())?;
    let exponent = der::read_unsigned(&mut numbers).ok_or(bad.clone())?;
    let bits = bit_len(modulus);
    if !(MIN_BITS..=MAX_BITS).contains(&bits) {
        return Err(Error::RsaBits(bits));
    }
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !numbers.is_empty() || !odd(modulus) || !odd(exponent) || exponent == [1] || bit_len(exponent) > 33 {
        return Err(bad);
    }
    Ok((modulus, exponent))
}

fn bit_len(number: &[u8]) -> usize {
    let leading = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(leading)
}

pub(crate) fn check(spki: &[u8]) -> Result<(), Error> {
    parse(spki).map(|_| ())
}

/// A signature is as long as the modulus.
pub(crate) fn signature_len(spki: &[u8]) -> usize {
    parse(spki).map_or(0, |(modulus, _)| modulus.len())
}

pub(crate) fn verify(spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    key(spki)
        .zip(pkcs1v15::Signature::try_from(signature).ok())
        .is_some_and(|(key, signature)| {
            pkcs1v15::VerifyingKey::<Sha256>::new(key)
                .verify(message, &signature)
                .is_ok()
        })
}

fn key(spki: &[u8]) -> Option<PublicKey> {
    let (modulus, exponent) = parse(spki).ok()?;
    let number = |bytes: &[u8]| {
        let bits = u32::try_from(bytes.len().saturating_mul(8)).ok()?;
        BoxedUint::from_be_slice(bytes, bits).ok()
    };
    PublicKey::new_with_size_limits(number(modulus)?, number(exponent)?, MIN_BITS..=MAX_BITS).ok()
}

/// The `SubjectPublicKeyInfo` around a PKCS#1 public key.
#[cfg(feature = "rsa-signing")]
pub(crate) fn spki(pkcs1: &[u8]) -> Vec<u8> {
    let mut bits = Vec::from([0]);
    bits.extend_from_slice(pkcs1);
    let (mut info, mut out) = (Vec::new(), Vec::new());
    der::write(der::SEQUENCE, &ALGORITHM, &mut info);
    der::write(der::BIT_STRING, &bits, &mut info);
    der::write(der::SEQUENCE, &info, &mut out);
    out
}
