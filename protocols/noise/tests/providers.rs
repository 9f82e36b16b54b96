//! Every provider against Wycheproof, and against the others.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Rng, Side};
use libp2p_proto_noise::{Config, Error, Handshake};
use proptest::prelude::*;
use std::sync::Arc;
use support::{finished, hex, identity, providers, seal, take, unhex};
use wycheproof::{TestResult, aead, hkdf, mac, xdh};

// covers: NOI-009, NOI-015
#[test]
fn vul_061_wycheproof_x25519_with_every_provider() {
    for provider in providers() {
        let (mut shared, mut refused) = (0, 0);
        for group in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups {
            for test in group.tests {
                let secret = test.private_key[..].try_into().unwrap();
                let public = <[u8; 32]>::try_from(&test.public_key[..]).unwrap();
                let ours = provider.key_pair(&secret).unwrap();
                match ours.dh(&public) {
                    Ok(secret) => {
                        assert_eq!(secret[..], test.shared_secret[..], "{provider:?} {}", test.tc_id);
                        assert_ne!(test.result, TestResult::Invalid);
                        shared += 1;
                    }
                    Err(error) => {
                        assert_eq!(error, Error::NonContributory);
                        assert!(test.shared_secret.iter().all(|byte| *byte == 0), "{}", test.tc_id);
                        refused += 1;
                    }
                }
            }
        }
        assert!(
            shared > 480 && refused > 15,
            "{provider:?}: {shared} and {refused}"
        );
    }
}

// covers: NOI-009
#[test]
fn wycheproof_chacha20_poly1305_with_every_provider() {
    for provider in providers() {
        let mut checked = 0;
        for group in aead::TestSet::load(aead::TestName::ChaCha20Poly1305)
            .unwrap()
            .test_groups
        {
            for test in group.tests {
                // Those of other sizes can't be said at all.
                let Ok(nonce) = <[u8; 12]>::try_from(&test.nonce[..]) else {
                    continue;
                };
                let cipher = provider.aead(&test.key[..].try_into().unwrap()).unwrap();
                let tag = test.tag[..].try_into().unwrap();
                let mut body = test.ct.to_vec();
                let opened = cipher.open(&nonce, &test.aad, &mut body, &tag);
                checked += 1;
                if test.result == TestResult::Valid {
                    assert_eq!((opened, &body[..]), (Ok(()), &test.pt[..]));
                    let sealed = cipher.seal(&nonce, &test.aad, &mut body);
                    assert_eq!((sealed, &body[..]), (Ok(tag), &test.ct[..]));
                } else {
                    assert_eq!(opened, Err(Error::BadTag), "{provider:?} {}", test.tc_id);
                }
            }
        }
        assert!(checked > 300, "{provider:?}: {checked}");
    }
}

// covers: NOI-009
#[test]
fn wycheproof_hmac_and_hkdf_with_every_provider() {
    for provider in providers() {
        let mut checked = 0;
        for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
            for test in group.tests {
                let Ok(key) = <[u8; 32]>::try_from(&test.key[..]) else {
                    continue;
                };
                let tag = provider.hmac_sha256(&key, &[&test.msg]).unwrap();
                let is_right = tag[..test.tag.len()] == test.tag[..];
                assert_eq!(is_right, test.result == TestResult::Valid, "{}", test.tc_id);
                checked += 1;
            }
        }
        // Noise's HKDF is the one of RFC 5869 with the chaining key as its salt and no info.
        for group in hkdf::TestSet::load(hkdf::TestName::HkdfSha256)
            .unwrap()
            .test_groups
        {
            for test in group.tests {
                let Ok(salt) = <[u8; 32]>::try_from(&test.salt[..]) else {
                    continue;
                };
                if !test.info.is_empty() || test.size > 64 || test.result == TestResult::Invalid {
                    continue;
                }
                let temp = provider.hmac_sha256(&salt, &[&test.ikm]).unwrap();
                let first = provider.hmac_sha256(&temp, &[&[1]]).unwrap();
                let second = provider.hmac_sha256(&temp, &[first.as_ref(), &[2]]).unwrap();
                let okm = [&first[..], &second[..]].concat();
                assert_eq!(okm[..test.size], test.okm[..], "{}", test.tc_id);
                checked += 1;
            }
        }
        assert!(checked > 80, "{provider:?}: {checked}");
        // FIPS 180-4, in pieces.
        let hash = provider.sha256(&[b"a", b"", b"bc"]);
        assert_eq!(
            hex(&hash),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}

// covers: NOI-015
#[test]
fn vul_061_the_listed_points_of_low_order_are_refused_by_every_provider() {
    for provider in providers() {
        let ours = provider.key_pair(&[7; 32]).unwrap();
        for point in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        ] {
            let public = unhex(point).try_into().unwrap();
            assert_eq!(
                ours.dh(&public).map(|_| ()),
                Err(Error::NonContributory),
                "{point}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_providers_give_the_same_bytes(
        secret: [u8; 32],
        other: [u8; 32],
        nonce: [u8; 12],
        ad in proptest::collection::vec(any::<u8>(), 0..40),
        body in proptest::collection::vec(any::<u8>(), 0..700),
    ) {
        let of = |provider: &dyn libp2p_proto_noise::Provider| {
            let ours = provider.key_pair(&secret).unwrap();
            let theirs = provider.key_pair(&other).unwrap().public_key();
            let shared = ours.dh(&theirs).unwrap();
            let mut body = body.clone();
            let tag = provider.aead(&secret).unwrap().seal(&nonce, &ad, &mut body).unwrap();
            let mac = provider.hmac_sha256(&secret, &[&ad, &body]).unwrap();
            (ours.public_key(), shared.to_vec(), body, tag, mac.to_vec(), provider.sha256(&[&ad]))
        };
        let all: Vec<_> = providers().iter().map(|provider| of(&**provider)).collect();
        for one in &all {
            prop_assert_eq!(one, &all[0]);
        }
    }
}

#[test]
fn every_provider_speaks_with_every_other_and_all_say_the_same() {
    let ends = |a: usize, b: usize| {
        let end = |seed: u8, side, provider| {
            let provider = providers().remove(provider);
            let config = Config::with_provider(&identity(seed), &mut Rng::from_seed([seed; 32]), provider);
            Handshake::new(Arc::new(config.unwrap()), side, None, [seed; 32])
        };
        let mut dialer = end(1, Side::Dialer, a);
        let first = take(&mut dialer);
        let mut listener = end(2, Side::Listener, b);
        support::give(&mut listener, &first).unwrap();
        let second = take(&mut listener);
        support::give(&mut dialer, &second).unwrap();
        let third = take(&mut dialer);
        support::give(&mut listener, &third).unwrap();
        let (mut a, _) = finished(dialer, listener);
        (
            first,
            second,
            third,
            seal(&mut a.sealer, b"data"),
            a.handshake_hash,
        )
    };
    let expected = ends(0, 0);
    for a in 0..providers().len() {
        for b in 0..providers().len() {
            assert_eq!(ends(a, b), expected);
        }
    }
}
