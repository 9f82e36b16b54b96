//! Encodings that tests make by hand.

use libp2p_proto_core::varint;

/// The algorithm identifier `rsaEncryption` with its NULL.
pub(crate) const RSA_ENCRYPTION: &str = "06092a864886f70d0101010500";
/// `id-RSASSA-PSS` with its NULL.
pub(crate) const RSASSA_PSS: &str = "06092a864886f70d01010a0500";
pub(crate) const EC_PUBLIC_KEY: &str = "06072a8648ce3d0201";
pub(crate) const P256: &str = "06082a8648ce3d030107";
pub(crate) const P384: &str = "06052b81040022";
pub(crate) const P521: &str = "06052b81040023";
pub(crate) const SECP256K1: &str = "06052b8104000a";

/// One DER element.
pub(crate) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap();
    let [high, low] = len.to_be_bytes();
    let head: &[u8] = match len {
        0..=0x7f => &[tag, low],
        0x80..=0xff => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, content].concat()
}

/// A `SubjectPublicKeyInfo` of this algorithm around this key.
pub(crate) fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let bits = [&[0], key].concat();
    der(0x30, &[der(0x30, algorithm), der(3, &bits)].concat())
}

/// A `SubjectPublicKeyInfo` of an odd modulus of so many bits.
pub(crate) fn rsa_spki(bits: usize, exponent: &[u8]) -> Vec<u8> {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] = 0xff >> (bits.div_ceil(8) * 8 - bits);
    spki(&super::hex(RSA_ENCRYPTION), &pkcs1(&modulus, exponent))
}

/// A PKCS#1 public key of two unsigned numbers.
pub(crate) fn pkcs1(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let unsigned = |number: &[u8]| {
        let sign: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
        der(2, &[sign, number].concat())
    };
    der(0x30, &[unsigned(modulus), unsigned(exponent)].concat())
}

/// The protobuf of a key of this type number.
pub(crate) fn protobuf(key_type: u64, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x08];
    varint::encode(key_type, &mut out);
    out.push(0x12);
    varint::encode(data.len() as u64, &mut out);
    out.extend_from_slice(data);
    out
}
