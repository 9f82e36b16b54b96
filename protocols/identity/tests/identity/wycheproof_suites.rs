//! Every verdict of Wycheproof on the signatures that libp2p has.

use super::{
    encodings::{EC_PUBLIC_KEY, P256, spki},
    hex,
};
use libp2p_proto_identity::{Error, KeyType, PublicKey};
use wycheproof::{TestResult, ecdh, ecdsa, eddsa, rsa_pkcs1_verify as rsa};

/// Holds one verdict against ours. What Wycheproof leaves open is decided by `lenient`.
fn agree(result: TestResult, verified: bool, lenient: bool, what: &str) {
    let expected = match result {
        TestResult::Valid => true,
        TestResult::Invalid => false,
        TestResult::Acceptable => lenient,
    };
    assert_eq!(verified, expected, "{what}");
}

#[test]
fn vul_057_every_ed25519_verdict_of_wycheproof_is_ours() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut tests = 0;
    for group in &set.test_groups {
        let key = PublicKey::from_data(KeyType::Ed25519, &group.key.pk).unwrap();
        for test in &group.tests {
            let verified = key.verify(&test.msg, &test.sig);
            agree(
                test.result,
                verified,
                false,
                &format!("{} {}", test.tc_id, test.comment),
            );
            tests += 1;
        }
    }
    assert_eq!(tests, 151);
}

#[test]
fn vul_057_every_secp256k1_and_p_256_verdict_of_wycheproof_is_ours() {
    use ecdsa::{TestName, TestSet};
    for (name, key_type, count) in [
        (TestName::EcdsaSecp256k1Sha256, KeyType::Secp256k1, 476),
        (TestName::EcdsaSecp256r1Sha256, KeyType::Ecdsa, 484),
    ] {
        let set = TestSet::load(name).unwrap();
        let mut tests = 0;
        for group in &set.test_groups {
            let point = &group.key.key;
            let key = match key_type {
                KeyType::Secp256k1 => PublicKey::from_data(key_type, point),
                _ => PublicKey::from_data(key_type, &spki(&hex(&[EC_PUBLIC_KEY, P256].concat()), point)),
            }
            .unwrap();
            for test in &group.tests {
                let verified = key.verify(&test.msg, &test.sig);
                agree(
                    test.result,
                    verified,
                    false,
                    &format!("{key_type:?} {} {}", test.tc_id, test.comment),
                );
                tests += 1;
            }
        }
        assert_eq!(tests, count);
    }
}

#[test]
fn vul_057_every_rsa_verdict_of_wycheproof_from_2048_to_8192_bits_is_ours() {
    use rsa::{TestName, TestSet};
    let mut tests = 0;
    for name in [
        TestName::Rsa2048Sha256,
        TestName::Rsa3072Sha256,
        TestName::Rsa4096Sha256,
        TestName::Rsa8192Sha256,
    ] {
        for group in &TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_data(KeyType::Rsa, &group.der).unwrap();
            for test in &group.tests {
                // The one open case lacks a NULL inside of the padding: two signatures for one message.
                let verified = key.verify(&test.msg, &test.sig);
                agree(
                    test.result,
                    verified,
                    false,
                    &format!("{name:?} {} {}", test.tc_id, test.comment),
                );
                tests += 1;
            }
        }
    }
    assert_eq!(tests, 1034);
}

#[test]
fn vul_070_points_that_wycheproof_calls_invalid_are_no_keys() {
    use ecdh::{TestFlag, TestName, TestSet};
    let tests = |name| {
        let set = TestSet::load(name).unwrap();
        let groups = set.test_groups.into_iter();
        groups.flat_map(|group| group.tests).collect::<Vec<_>>()
    };
    // Whole `SubjectPublicKeyInfo`s: other curves, explicit parameters, compressed points, BER. All that is not canonical is refused.
    let (mut good, mut bad) = (0, 0);
    for test in tests(TestName::EcdhSecp256r1) {
        let read = PublicKey::from_data(KeyType::Ecdsa, &test.public_key);
        let what = format!("{} {}", test.tc_id, test.comment);
        assert_eq!(read.is_ok(), test.result == TestResult::Valid, "{what}");
        if test.result == TestResult::Valid {
            good += 1;
        } else {
            bad += 1;
        }
    }
    assert_eq!((good, bad), (330, 282));
    // Bare points; the one compressed point that is good is read, and written as every secp256k1 key is.
    let point_of = |spki: &[u8], at: usize| spki[at..].to_vec();
    let mut off_curve = 0;
    for test in tests(TestName::EcdhSecp256k1) {
        let uncompressed = test.public_key.len() == 88;
        if uncompressed && test.result == TestResult::Valid {
            let read = PublicKey::from_data(KeyType::Secp256k1, &point_of(&test.public_key, 23)).unwrap();
            assert_eq!(read.data().len(), 33);
        }
        if uncompressed && test.flags.contains(&TestFlag::InvalidCurveAttack) {
            let read = PublicKey::from_data(KeyType::Secp256k1, &point_of(&test.public_key, 23));
            assert_eq!(
                read,
                Err(Error::InvalidKey(KeyType::Secp256k1)),
                "{}",
                test.comment
            );
            off_curve += 1;
        }
    }
    assert_eq!(off_curve, 16);
    // Every bare P-256 point, put under the P-256 header.
    for test in tests(TestName::EcdhSecp256r1Ecpoint) {
        let whole = spki(&hex(&[EC_PUBLIC_KEY, P256].concat()), &test.public_key);
        let read = PublicKey::from_data(KeyType::Ecdsa, &whole);
        assert_eq!(read.is_ok(), test.result == TestResult::Valid, "{}", test.comment);
    }
}
