//! Public keys: one encoding, one id.

use super::{
    CURVES, bytes_of,
    encodings::{
        EC_PUBLIC_KEY, P256, P384, P521, RSA_ENCRYPTION, RSASSA_PSS, SECP256K1, der, pkcs1, protobuf,
        rsa_spki, spki,
    },
    hex, keypair, rows, text_of, variant,
};
use libp2p_proto_core::PeerId;
use libp2p_proto_identity::{Error, KeyType, MAX_ENCODED_KEY, PublicKey};
use proptest::{collection::vec, prelude::*};

// covers: COR-022, COR-023, COR-032, COR-035, COR-038, COR-048
#[test]
fn the_listed_public_keys_decode_and_encode_to_the_same_bytes_and_ids() {
    for row in rows("keys.json", 4) {
        let encoded = bytes_of(&row, "public");
        let key = PublicKey::decode(&encoded).unwrap();
        assert_eq!(key.encode(), encoded);
        assert_eq!(key.peer_id().to_string(), text_of(&row, "peer"));
        assert_eq!(PublicKey::from_data(key.key_type(), key.data()), Ok(key.clone()));
        assert_eq!(
            format!("{key:?}"),
            format!("PublicKey({:?}, {})", key.key_type(), key.peer_id())
        );
    }
}

// covers: COR-027, COR-042, COR-043, COR-044
#[test]
fn a_key_is_two_fields_of_the_right_length() {
    let ed25519 = |len: usize| PublicKey::decode(&protobuf(1, &vec![7; len]));
    assert!(ed25519(32).is_ok());
    for len in [0, 31, 33, 64] {
        assert_eq!(ed25519(len), Err(Error::InvalidKey(KeyType::Ed25519)));
    }
    for (encoded, error) in [
        ("08041200", Error::UnknownKeyType(4)),
        (
            "08ffffffffffffffff7f1200",
            Error::UnknownKeyType(9_223_372_036_854_775_807),
        ),
        ("", Error::MalformedKey),
        ("1200", Error::MalformedKey),
        ("0801", Error::MalformedKey),
        ("080112", Error::MalformedKey),
        ("08011220", Error::MalformedKey),
    ] {
        assert_eq!(PublicKey::decode(&hex(encoded)), Err(error), "{encoded}");
    }
    // Whatever the type, 2 048 bytes are the end, before a length is looked at.
    for key_type in 0..4 {
        for len in [MAX_ENCODED_KEY + 1, 4096, 1 << 20] {
            let encoded = protobuf(key_type, &vec![7; len]);
            let mut result = None;
            let used = allocation_counter::measure(|| result = Some(PublicKey::decode(&encoded)));
            assert_eq!(result, Some(Err(Error::KeyTooLarge)));
            assert_eq!(used.count_total, 0, "{used:?}");
        }
    }
    for key_type in [KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa, KeyType::Rsa] {
        assert_eq!(
            PublicKey::from_data(key_type, &[7; MAX_ENCODED_KEY + 1]),
            Err(Error::KeyTooLarge)
        );
    }
}

// covers: COR-027, COR-032, COR-037, COR-038, COR-040, COR-041, COR-042, COR-043, COR-044, COR-045
#[test]
fn the_listed_bytes_that_are_no_public_key_are_refused_for_their_reason() {
    for row in rows("keys-refused.json", 37) {
        if row["public"].is_string() {
            let refused = PublicKey::decode(&bytes_of(&row, "public"));
            assert_eq!(variant(refused), text_of(&row, "error"), "{row}");
        }
    }
}

/// Encodings of the same two fields that are not the canonical one.
fn not_canonical(key: &PublicKey) -> Vec<Vec<u8>> {
    let canonical = key.encode();
    let key_type = [8, canonical[1]];
    let data = &canonical[2..];
    let mut long_len = vec![0x12];
    let at = canonical.len() - key.data().len();
    long_len.extend_from_slice(&canonical[3..at]);
    *long_len.last_mut().unwrap() |= 0x80;
    long_len.push(0);
    long_len.extend_from_slice(key.data());
    vec![
        [data, &key_type].concat(),
        [canonical, &[0x1a, 1, 1]].concat(),
        [canonical, &[0x18, 0]].concat(),
        [canonical, data].concat(),
        [&key_type, canonical].concat(),
        [&[8, canonical[1] | 0x80, 0], data].concat(),
        [&key_type, &long_len[..]].concat(),
        [&[0x88, 0, canonical[1]], data].concat(),
        [&key_type, &[0x92, 0], &canonical[3..]].concat(),
        [canonical, &[0]].concat(),
    ]
}

// covers: COR-045
#[test]
fn no_second_encoding_of_a_key_is_read() {
    for row in rows("keys.json", 4) {
        let key = PublicKey::decode(&bytes_of(&row, "public")).unwrap();
        for encoded in not_canonical(&key) {
            assert_eq!(
                PublicKey::decode(&encoded),
                Err(Error::MalformedKey),
                "{encoded:02x?}"
            );
        }
    }
}

// covers: COR-032
#[test]
fn secp256k1_points_are_read_in_two_forms_and_written_compressed() {
    use k256::elliptic_curve::sec1::ToSec1Point as _;
    let bad = Err(Error::InvalidKey(KeyType::Secp256k1));
    let key = keypair(KeyType::Secp256k1, 1).public().clone();
    let point = k256::PublicKey::from_sec1_bytes(key.data()).unwrap();
    let long = point.to_sec1_point(false);
    let read = PublicKey::decode(&protobuf(2, long.as_bytes())).unwrap();
    assert_eq!(read, key);
    assert_eq!(read.data().len(), 33);
    assert_eq!(read.peer_id(), key.peer_id());
    let decode = |data: &[u8]| PublicKey::decode(&protobuf(2, data));
    for prefix in [0, 1, 4, 5, 6, 7, 0xff] {
        assert_eq!(decode(&[&[prefix], &key.data()[1..]].concat()), bad);
    }
    // Hybrid forms, and the point at infinity.
    for prefix in [2, 3, 5, 6, 7] {
        assert_eq!(decode(&[&[prefix], &long.as_bytes()[1..]].concat()), bad);
    }
    assert_eq!(decode(&[0]), bad);
    // 5³ + 7 has no root on this curve; the second x is the field's own order.
    let off_curve = [&[2][..], &[0; 31], &[5]].concat();
    assert_eq!(decode(&off_curve), bad);
    let order = hex("02fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f");
    assert_eq!(decode(&order), bad);
    let mut other_y = long.as_bytes().to_vec();
    *other_y.last_mut().unwrap() ^= 1;
    assert_eq!(decode(&other_y), bad);
}

// covers: COR-035, COR-037
#[test]
fn ecdsa_keys_are_of_p_256_or_name_their_curve_as_unsupported() {
    use p256::elliptic_curve::sec1::ToSec1Point as _;
    let bad = Err(Error::InvalidKey(KeyType::Ecdsa));
    let decode = |data: &[u8]| PublicKey::decode(&protobuf(3, data));
    let of_curve = |curve: &str, point: &[u8]| decode(&spki(&hex(&[EC_PUBLIC_KEY, curve].concat()), point));
    let key = keypair(KeyType::Ecdsa, 1).public().clone();
    let point = &key.data()[26..];
    assert_eq!(of_curve(P256, point), Ok(key.clone()));
    for (curve, len) in [(P384, 97), (P521, 133), (SECP256K1, 65)] {
        let point = [&[4], &vec![7; len - 1][..]].concat();
        assert_eq!(of_curve(curve, &point), Err(Error::UnsupportedCurve), "{curve}");
    }
    // A compressed point would give the key a second id.
    let compressed = p256::PublicKey::from_sec1_bytes(point)
        .unwrap()
        .to_sec1_point(true);
    for other in [
        compressed.as_bytes(),
        &[&[6], &point[1..]].concat(),
        &[0],
        &[],
        &point[..64],
        &[point, &[0]].concat(),
        &[&[4], &[7; 64][..]].concat(),
    ] {
        assert_eq!(of_curve(P256, other), bad);
    }
    // Explicit parameters instead of a name, no curve, another algorithm, a bit string with unused bits, bytes behind.
    let explicit = [hex(EC_PUBLIC_KEY), der(0x30, &hex(P256))].concat();
    assert_eq!(decode(&spki(&explicit, point)), bad);
    assert_eq!(decode(&spki(&hex(EC_PUBLIC_KEY), point)), bad);
    assert_eq!(decode(&spki(&hex(&[RSA_ENCRYPTION, P256].concat()), point)), bad);
    let unused = der(
        0x30,
        &[&key.data()[2..23], &der(3, &[&[1], point].concat())].concat(),
    );
    assert_eq!(unused.len(), key.data().len());
    assert_eq!(decode(&unused), bad);
    assert_eq!(decode(&[key.data(), &[0]].concat()), bad);
}

// covers: COR-038
#[test]
fn rsa_keys_are_of_rsa_encryption_and_of_no_other_algorithm() {
    let key = pkcs1(&[0xff; 256], &[1, 0, 1]);
    let decode = |algorithm: &[u8]| PublicKey::decode(&protobuf(0, &spki(algorithm, &key)));
    let bad = Err(Error::InvalidKey(KeyType::Rsa));
    assert!(decode(&hex(RSA_ENCRYPTION)).is_ok());
    assert_eq!(decode(&hex(RSASSA_PSS)), bad);
    assert_eq!(decode(&hex(&RSA_ENCRYPTION[..22])), bad, "without its NULL");
    assert_eq!(decode(&[]), bad);
    // The bare PKCS#1 key, which older text calls the encoding, is none.
    assert_eq!(PublicKey::decode(&protobuf(0, &key)), bad);
}

// covers: COR-040, COR-041
#[test]
fn vul_065_rsa_keys_outside_of_2048_to_8192_bits_are_refused_from_their_lengths() {
    let decode = |spki: &[u8]| {
        let encoded = protobuf(0, spki);
        let mut result = None;
        let used = allocation_counter::measure(|| result = Some(PublicKey::decode(&encoded)));
        let result = result.unwrap();
        if result.is_err() {
            assert_eq!(used.count_total, 0, "a refusal makes no number: {used:?}");
        }
        result.map(|_| ())
    };
    for bits in [2048, 2049, 3072, 4096, 8191, 8192] {
        assert_eq!(decode(&rsa_spki(bits, &[1, 0, 1])), Ok(()), "{bits}");
    }
    for bits in [1, 512, 1024, 2040, 2047, 8193, 8200] {
        let refused = decode(&rsa_spki(bits, &[1, 0, 1]));
        let expected = if bits > 8193 {
            Error::KeyTooLarge
        } else {
            Error::RsaBits(bits)
        };
        assert_eq!(refused, Err(expected), "{bits}");
    }
    for bits in [16_384, 65_536] {
        assert_eq!(decode(&rsa_spki(bits, &[1, 0, 1])), Err(Error::KeyTooLarge));
    }
    assert_eq!(decode(&[0x30; 2000]), Err(Error::KeyTooLarge));
    let bad = Err(Error::InvalidKey(KeyType::Rsa));
    for exponent in [&[3][..], &[1, 0, 1], &[1, 0, 0, 0, 1], &[1, 255, 255, 255, 255]] {
        assert_eq!(decode(&rsa_spki(2048, exponent)), Ok(()), "{exponent:?}");
    }
    for exponent in [
        &[0][..],
        &[1],
        &[2],
        &[4],
        &[1, 0, 0],
        &[2, 0, 0, 0, 1],
        &[1, 0, 0, 0, 0, 0, 1],
    ] {
        assert_eq!(decode(&rsa_spki(2048, exponent)), bad, "{exponent:?}");
    }
    let mut even = vec![0xff; 256];
    even[255] = 0xfe;
    assert_eq!(
        decode(&spki(&hex(RSA_ENCRYPTION), &pkcs1(&even, &[1, 0, 1]))),
        bad
    );
}

#[test]
fn vul_066_a_weak_rsa_key_has_an_id_that_no_peer_can_prove() {
    let encoded = protobuf(0, &rsa_spki(1024, &[1, 0, 1]));
    let id = PeerId::from_encoded_key(&encoded);
    // The id is as good as any other where it is only looked up …
    assert_eq!(id.to_string().parse(), Ok(id));
    // … but whoever claims to be it has to show this key, and it is not read.
    assert_eq!(PublicKey::decode(&encoded), Err(Error::RsaBits(1024)));
}

// covers: COR-056
#[test]
fn an_identity_hash_gives_its_key_back_and_a_digest_does_not() {
    for key_type in CURVES {
        let key = keypair(key_type, 3).public().clone();
        let given = PublicKey::from_peer_id(&key.peer_id());
        assert_eq!(given, (key_type != KeyType::Ecdsa).then_some(key));
    }
}

#[test]
fn an_identity_hash_that_is_no_key_can_be_looked_up_but_is_no_peer() {
    for key_type in CURVES {
        assert!(PublicKey::may_have_id(&keypair(key_type, 3).public().peer_id()));
    }
    // A digest tells nothing about its key.
    assert!(PublicKey::may_have_id(&PeerId::from_encoded_key(&[7; 43])));
    for hash in ["0000", "0003616263"] {
        let id = PeerId::from_bytes(&hex(hash)).unwrap();
        assert_eq!(PublicKey::from_peer_id(&id), None);
        assert!(!PublicKey::may_have_id(&id), "{hash}");
    }
    // The key is there, but not in the encoding that ids are made of.
    let hidden = not_canonical(keypair(KeyType::Ed25519, 3).public())
        .into_iter()
        .map(|encoded| PeerId::from_encoded_key(&encoded))
        .filter(|id| id.inline_key().is_some());
    assert_eq!(
        hidden.map(|id| PublicKey::may_have_id(&id)).collect::<Vec<_>>(),
        [false; 9]
    );
    // An uncompressed point is read, and has the id of its compressed form only. No identity hash is long enough to hold one.
    assert!(PeerId::from_encoded_key(&[4; 69]).inline_key().is_none());
}

/// Files of the crates that could derive an id, without their tests.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../protocols"
    ))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.display().to_string();
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

// covers: COR-046
#[test]
fn every_id_of_a_key_is_derived_in_one_place_from_the_canonical_encoding() {
    let sources = sources();
    if sources.is_empty() {
        return; // the packaged crate stands alone
    }
    let derives = |(name, text): &&(String, String)| {
        // The test bench makes ids of peers that have no key, and so does Kademlia, to look for whoever lives near them.
        let keyless = ["stream-protocol/src/bench.rs", "kad/src/run.rs"];
        let exempt = name.contains("/tests") || keyless.iter().any(|file| name.ends_with(file));
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        !exempt && text.contains("PeerId::from_encoded_key(") && !name.contains("/core/src/")
    };
    let places: Vec<_> = sources.iter().filter(derives).map(|(name, _)| name).collect();
    assert_eq!(places.len(), 1, "{places:?}");
    assert!(places[0].ends_with("/identity/src/public_key.rs"));
}

proptest! {
    // covers: COR-045, COR-046
    #[test]
    fn whatever_is_read_as_a_key_is_written_back_and_has_the_id_of_its_encoding(
        seed in any::<u8>(), which in 0..3_usize, at in any::<prop::sample::Index>(), with in any::<u8>(), tail in vec(any::<u8>(), 0..4),
    ) {
        let key = keypair(CURVES[which], seed).public().clone();
        let mut encoded = key.encode().to_vec();
        let at = at.index(encoded.len());
        encoded[at] = with;
        encoded.extend(tail);
        if let Ok(read) = PublicKey::decode(&encoded) {
            prop_assert_eq!(read.encode(), &encoded[..]);
            prop_assert_eq!(read.peer_id(), PeerId::from_encoded_key(&encoded));
            prop_assert_eq!(read == key, encoded == key.encode());
        }
    }

    #[test]
    fn no_bytes_make_the_reading_of_keys_panic(key_type in 0..5_u64, data in vec(any::<u8>(), 0..400)) {
        let encoded = protobuf(key_type, &data);
        if let Ok(read) = PublicKey::decode(&encoded) {
            prop_assert!(!read.verify(b"message", &data));
        }
        let _ = (PublicKey::decode(&data), libp2p_proto_identity::Keypair::decode_protobuf(&encoded));
    }
}
