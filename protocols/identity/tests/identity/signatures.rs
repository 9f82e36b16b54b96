//! Signatures: which bytes are one, and which are not.

use super::{CURVES, bytes_of, hex, keypair, rows, signatures_of, text_of};
use libp2p_proto_identity::{KeyType, PublicKey};
use proptest::{collection::vec, prelude::*};

/// The order of secp256k1, halved: the largest low S.
const HALF_ORDER: &str = "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0";

// covers: COR-024, COR-025, COR-026, COR-030, COR-033, COR-034, COR-035, COR-038
#[test]
fn the_listed_signatures_verify_with_their_keys_and_with_nothing_changed() {
    let rows = rows("keys.json", 4);
    let keys: Vec<_> = rows
        .iter()
        .map(|row| PublicKey::decode(&bytes_of(row, "public")).unwrap())
        .collect();
    for (row, key) in rows.iter().zip(&keys) {
        for signature in signatures_of(row) {
            let verifies = |message: &[u8], signature: &[u8]| key.verify(message, signature);
            assert!(verifies(b"hello world", &signature), "{row}");
            assert!(!verifies(b"hello worle", &signature));
            assert!(!verifies(b"", &signature));
            for cut in [&signature[1..], &signature[..signature.len() - 1], &[]] {
                assert!(!verifies(b"hello world", cut));
            }
            assert!(!verifies(b"hello world", &[&signature[..], &[0]].concat()));
            for bit in 0..signature.len() * 8 {
                let mut flipped = signature.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                // RSA costs a thousand times more than the others.
                if key.key_type() != KeyType::Rsa || bit % 509 == 0 {
                    assert!(!verifies(b"hello world", &flipped), "{row}: bit {bit}");
                }
            }
            for other in keys.iter().filter(|other| *other != key) {
                assert!(!other.verify(b"hello world", &signature));
            }
        }
    }
}

// covers: COR-038
#[test]
fn an_rsa_signature_is_a_number_below_the_modulus_in_exactly_its_length() {
    let rows = rows("keys.json", 4);
    for row in rows.iter().filter(|row| text_of(row, "name") == "RSA-4096") {
        let key = PublicKey::decode(&bytes_of(row, "public")).unwrap();
        let signature = signatures_of(row).remove(0);
        assert!(key.verify(b"hello world", &signature));
        let modulus = &key.data()[33..33 + 512];
        assert_eq!(modulus.len(), signature.len());
        for other in [
            &[&[0], &signature[..]].concat()[..],
            &[0; 512],
            &[0xff; 512],
            &[&[0; 511][..], &[1]].concat(),
            modulus,
            &[],
            &vec![1; 1 << 16],
        ] {
            assert!(!key.verify(b"hello world", other));
        }
    }
}

/// The two numbers of `SEQUENCE { r, s }`, as 32 bytes each.
fn numbers(der: &[u8]) -> [[u8; 32]; 2] {
    let mut rest = &der[2..];
    [(); 2].map(|()| {
        let (number, behind) = rest[2..].split_at(usize::from(rest[1]));
        rest = behind;
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        let mut padded = [0; 32];
        padded[32 - number.len()..].copy_from_slice(number);
        padded
    })
}

// covers: COR-033
#[test]
fn own_secp256k1_signatures_have_a_low_s() {
    let keys = keypair(KeyType::Secp256k1, 8);
    let half = hex(HALF_ORDER);
    for number in 0..1000_u32 {
        let message = number.to_be_bytes();
        let signature = keys.sign(&message).unwrap();
        let [_, s] = numbers(&signature);
        assert!(s[..] <= half[..], "S of message {number} is high");
        assert!(keys.public().verify(&message, &signature));
    }
}

// covers: COR-035
#[test]
fn raw_signatures_of_64_bytes_are_none_for_ecdsa_and_secp256k1() {
    for key_type in [KeyType::Ecdsa, KeyType::Secp256k1] {
        let keys = keypair(key_type, 5);
        let signature = keys.sign(b"m").unwrap();
        assert!(keys.public().verify(b"m", &signature));
        let raw = numbers(&signature).concat();
        assert_eq!(raw.len(), 64);
        assert!(!keys.public().verify(b"m", &raw));
    }
}

// covers: COR-030
#[test]
fn ed25519_signs_the_message_itself_and_its_signatures_have_64_bytes() {
    let keys = keypair(KeyType::Ed25519, 5);
    // Longer than any hash: what is signed is not a digest of it.
    let message = vec![0x5a; 100_000];
    let signature = keys.sign(&message).unwrap();
    let dalek = ed25519_dalek::VerifyingKey::from_bytes(keys.public().data().try_into().unwrap()).unwrap();
    let parsed = ed25519_dalek::Signature::from_slice(&signature).unwrap();
    assert!(dalek.verify_strict(&message, &parsed).is_ok());
    assert!(!keys.public().verify(&message, &signature[..63]));
    assert!(!keys.public().verify(&message, &[&signature[..], &[0]].concat()));
}

/// Adds the order of the Ed25519 group to S: the same number to whoever does not look.
fn with_order_added(signature: &[u8]) -> Vec<u8> {
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut changed = signature.to_vec();
    let mut carry = 0;
    for (byte, add) in changed[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    changed
}

// covers: COR-031
#[test]
fn an_ed25519_signature_whose_s_is_not_reduced_does_not_verify() {
    for row in rows("keys.json", 4)
        .iter()
        .filter(|row| text_of(row, "name") == "Ed25519")
    {
        let key = PublicKey::decode(&bytes_of(row, "public")).unwrap();
        for signature in signatures_of(row) {
            assert!(key.verify(b"hello world", &signature));
            assert!(!key.verify(b"hello world", &with_order_added(&signature)));
        }
    }
}

// covers: COR-031
#[test]
fn vul_069_ed25519_is_verified_strictly() {
    // Points of small order verify everything to whoever lets them; those with a small component harm nobody.
    let harmless = ["low_order_component_A", "low_order_component_R"];
    let mut valid = 0;
    let cctv = rows("ed25519-cctv.json", 914);
    for row in &cctv {
        let flags = row["flags"].as_array().unwrap();
        let strict = flags
            .iter()
            .all(|flag| harmless.contains(&flag.as_str().unwrap()));
        let key = PublicKey::from_data(KeyType::Ed25519, &bytes_of(row, "key")).unwrap();
        let verified = key.verify(text_of(row, "msg").as_bytes(), &bytes_of(row, "sig"));
        assert_eq!(verified, strict, "{row}");
        valid += usize::from(verified);
    }
    assert!(cctv.is_empty() || valid == 43, "{valid}");
    for row in rows("ed25519-speccheck.json", 12) {
        let key = PublicKey::from_data(KeyType::Ed25519, &bytes_of(&row, "key")).unwrap();
        let verified = key.verify(&bytes_of(&row, "msg"), &bytes_of(&row, "sig"));
        assert_eq!(Some(verified), row["valid"].as_bool(), "{row}");
    }
}

// covers: COR-034
#[test]
fn vul_069_secp256k1_signatures_have_one_der_form_and_either_s_as_in_go() {
    let rows = rows("keys.json", 4);
    for row in rows.iter().filter(|row| text_of(row, "name") == "Secp256k1") {
        let key = PublicKey::decode(&bytes_of(row, "public")).unwrap();
        let [low, high] = signatures_of(row).try_into().unwrap();
        assert_eq!(numbers(&low)[0], numbers(&high)[0]);
        assert!(numbers(&high)[1][..] > hex(HALF_ORDER)[..]);
        assert!(key.verify(b"hello world", &low) && key.verify(b"hello world", &high));
    }
    for key_type in [KeyType::Secp256k1, KeyType::Ecdsa] {
        let keys = keypair(key_type, 9);
        let signature = keys.sign(b"m").unwrap();
        let [r, s] = numbers(&signature);
        let integer = |number: &[u8]| [&[2, u8::try_from(number.len()).unwrap()], number].concat();
        let sequence = |len: &[u8], content: &[u8]| [&[0x30], len, content].concat();
        let len = |content: &[u8]| [u8::try_from(content.len()).unwrap()];
        let padded = [integer(&[&[0, 0], &r[..]].concat()), integer(&s)].concat();
        let content = &signature[2..];
        for other in [
            sequence(&len(&padded), &padded),
            // Lengths in a longer form, the indefinite form, bytes behind, a third number.
            sequence(&[0x81, signature[1]], content),
            sequence(&[0x82, 0, signature[1]], content),
            sequence(&[0x80], &[content, &[0, 0]].concat()),
            [&signature[..], &[0]].concat(),
            sequence(&[signature[1] + 3], &[content, &[2, 1, 1]].concat()),
            sequence(&[signature[1] + 1], content),
            sequence(&[signature[1] - 1], content),
        ] {
            assert!(!keys.public().verify(b"m", &other), "{key_type:?} {other:02x?}");
        }
    }
}

proptest! {
    #[test]
    fn a_signature_is_of_its_message_and_its_key(seed in any::<u8>(), which in 0..3_usize, message in vec(any::<u8>(), 0..200), other in vec(any::<u8>(), 0..200)) {
        let keys = keypair(CURVES[which], seed);
        let signature = keys.sign(&message).unwrap();
        prop_assert!(keys.public().verify(&message, &signature));
        prop_assert_eq!(keys.public().verify(&other, &signature), other == message);
        prop_assert!(!keypair(CURVES[which], seed.wrapping_add(1)).public().verify(&message, &signature));
        prop_assert!(!keys.public().verify(&message, &other));
    }
}
