//! Lengths that lie, in every place where DER is read.

use super::{
    encodings::{EC_PUBLIC_KEY, P256, RSA_ENCRYPTION, der, pkcs1, protobuf, spki},
    hex, keypair,
};
use libp2p_proto_identity::{KeyType, Keypair, PublicKey};
use proptest::prelude::*;

/// Everything that reads DER from the outside, given one element. What it costs beyond the bytes given must stay small.
fn refused_everywhere(element: &[u8], what: &str) {
    let (secp256k1, ecdsa) = (keypair(KeyType::Secp256k1, 1), keypair(KeyType::Ecdsa, 1));
    let private = [0, 3].map(|key_type| protobuf(key_type, element));
    let mut accepted = [false; 6];
    let used = allocation_counter::measure(|| {
        accepted = [
            PublicKey::from_data(KeyType::Rsa, element).is_ok(),
            PublicKey::from_data(KeyType::Ecdsa, element).is_ok(),
            Keypair::decode_protobuf(&private[0]).is_ok(),
            Keypair::decode_protobuf(&private[1]).is_ok(),
            secp256k1.public().verify(b"m", element),
            ecdsa.public().verify(b"m", element),
        ];
    });
    assert_eq!(accepted, [false; 6], "{what}");
    assert!(used.bytes_max <= 4096, "{what}: {used:?}");
}

#[test]
fn vul_067_der_lengths_beyond_the_buffer_are_refused_without_allocating() {
    for len in [
        &[0x80][..],
        &[0x81, 0x7f],
        &[0x81, 0x00],
        &[0x81, 0xff],
        &[0x82, 0x00, 0x14],
        &[0x82, 0x7f, 0xff],
        &[0x82, 0xff, 0xff],
        &[0x83, 0x7f, 0xff, 0xff],
        &[0x84, 0x00, 0x00, 0x00, 0x14],
        &[0x84, 0x7f, 0xff, 0xff, 0xff],
        &[0x84, 0xff, 0xff, 0xff, 0xff],
        &[0x85, 1, 0, 0, 0, 0],
        &[0x86, 1, 0, 0, 0, 0, 0],
        &[0x87, 1, 0, 0, 0, 0, 0, 0],
        &[0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xff],
    ] {
        for tag in [0x30, 0x02, 0x03, 0x04, 0x06] {
            for rest in [0, 1, 20, 300] {
                let lying = [&[tag], len, &vec![0; rest]].concat();
                refused_everywhere(&lying, &format!("{len:02x?} before {rest}"));
                // One level deeper, under an honest sequence.
                refused_everywhere(&der(0x30, &lying), "nested");
            }
        }
    }
    let mut deep = vec![2, 1, 1];
    for _ in 0..1000 {
        deep = der(0x30, &deep);
        if deep.len() > 1900 {
            deep = der(0x30, &[]);
        }
    }
    refused_everywhere(&deep, "nested a thousand times");
    refused_everywhere(&[0x30, 0x80].repeat(500), "indefinite, nested");
    refused_everywhere(&[0x30, 0x82, 0x07, 0xd0].repeat(400), "nested beyond the end");
}

/// Keys that are read, one of each shape of DER.
fn good() -> [(KeyType, Vec<u8>); 2] {
    let modulus = vec![0xff; 256];
    let point = keypair(KeyType::Ecdsa, 1).public().data()[26..].to_vec();
    [
        (
            KeyType::Rsa,
            spki(&hex(RSA_ENCRYPTION), &pkcs1(&modulus, &[1, 0, 1])),
        ),
        (
            KeyType::Ecdsa,
            spki(&hex(&[EC_PUBLIC_KEY, P256].concat()), &point),
        ),
    ]
}

#[test]
fn vul_067_numbers_with_leading_zeros_or_signs_and_bytes_behind_are_refused() {
    let element = |modulus: &[u8], exponent: &[u8]| {
        let numbers = [der(2, modulus), der(2, exponent)].concat();
        spki(&hex(RSA_ENCRYPTION), &der(0x30, &numbers))
    };
    let modulus = [&[0], &[0xff; 256][..]].concat();
    assert!(PublicKey::from_data(KeyType::Rsa, &element(&modulus, &[1, 0, 1])).is_ok());
    for (modulus, exponent) in [
        (&[&[0], &modulus[..]].concat()[..], &[1, 0, 1][..]),
        (&modulus[1..], &[1, 0, 1]),
        (&modulus, &[0, 1, 0, 1]),
        (&modulus, &[0x81]),
        (&modulus, &[]),
        (&[], &[1, 0, 1]),
        (&[0], &[0]),
    ] {
        refused_everywhere(&element(modulus, exponent), "numbers");
    }
    for (key_type, good) in good() {
        assert!(PublicKey::from_data(key_type, &good).is_ok());
        refused_everywhere(&[&good[..], &[0]].concat(), "a byte behind");
        refused_everywhere(&der(0x30, &good), "a sequence around");
        for end in 0..good.len() {
            refused_everywhere(&good[..end], "cut");
        }
    }
}

proptest! {
    #[test]
    fn a_key_whose_frame_was_changed_is_refused_or_is_another_key(which in 0..2_usize, at in 0..30_usize, with in any::<u8>()) {
        let (key_type, good) = &good()[which];
        let mut changed = good.clone();
        changed[at] = with;
        if let Ok(read) = PublicKey::from_data(*key_type, &changed) {
            prop_assert_eq!(read.data(), &changed[..]);
        }
    }
}
