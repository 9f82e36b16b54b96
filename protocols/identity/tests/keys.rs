//! Keys, envelopes and records: the listed vectors, Wycheproof, and what attackers send.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]
#![cfg(all(feature = "secp256k1", feature = "ecdsa", feature = "rsa"))]

use data_encoding::HEXLOWER as HEX;
use libp2p_proto_core::{Rng, UnixTime};
use libp2p_proto_identity::{
    Envelope, Error, Identity, KeyType, Keypair, MAX_ENVELOPE, PeerRecord, PublicKey, RecordClock,
};
use serde_json::Value;
use wycheproof::TestResult;

fn hex(text: &str) -> Vec<u8> {
    HEX.decode(text.as_bytes()).unwrap()
}

/// The vectors are not part of the packaged crate.
fn vectors() -> Option<Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/vectors/identity/keys.json"
    );
    Some(serde_json::from_str(&std::fs::read_to_string(path).ok()?).unwrap())
}

fn get(vectors: &Value, group: &str, name: &str) -> Vec<u8> {
    hex(vectors
        .get(group)
        .and_then(|group| group.get(name))
        .and_then(Value::as_str)
        .unwrap())
}

const NAMES: [(&str, &str); 4] = [
    ("ECDSA P-256", ""),
    ("Ed25519", ""),
    ("Secp256k1", ""),
    ("RSA-4096", " (555 bytes)"),
];

// covers: COR-022, COR-023, COR-032, COR-035, COR-038, COR-048
#[test]
fn the_listed_public_keys_decode_and_encode_to_the_same_bytes() {
    let Some(vectors) = vectors() else { return };
    let ids = [
        "QmVMT29id3TUASyfZZ6k9hmNyc2nYabCo4uMSpDw4zrgDk",
        "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq",
        "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",
        "QmaeANgBs1DTSxWSrPPtobgQuxW8XTfsS4ydbK4rCHzqxG",
    ];
    for ((name, suffix), id) in NAMES.iter().zip(ids) {
        let encoded = get(&vectors, "keys", &format!("{name} public{suffix}"));
        let key = PublicKey::decode(&encoded).unwrap();
        assert_eq!(key.encode(), encoded);
        assert_eq!(key.peer_id().to_string(), id);
    }
}

// covers: COR-024, COR-025, COR-026, COR-030, COR-033, COR-034, COR-035
#[test]
fn the_listed_signatures_verify_and_changed_ones_do_not() {
    let Some(vectors) = vectors() else { return };
    for (name, signature) in [
        ("Ed25519 public", "ED-SIG"),
        ("Secp256k1 public", "SECP-SIG-LOW"),
        ("Secp256k1 public", "SECP-SIG-HIGH"),
        ("ECDSA P-256 public", "ECDSA-SIG"),
        ("RSA-4096 public (555 bytes)", "RSA-SIG"),
    ] {
        let key = PublicKey::decode(&get(&vectors, "keys", name)).unwrap();
        let mut signature = get(&vectors, "signatures", signature);
        assert!(key.verify(b"hello world", &signature), "{name}");
        assert!(!key.verify(b"hello worle", &signature));
        assert!(!key.verify(b"hello world", &signature[1..]));
        *signature.last_mut().unwrap() ^= 1;
        assert!(!key.verify(b"hello world", &signature));
        assert!(!key.verify(b"hello world", &[]));
    }
}

// covers: COR-028, COR-036
#[test]
fn the_listed_private_keys_give_their_public_keys_and_encode_back() {
    let Some(vectors) = vectors() else { return };
    for name in ["ECDSA P-256", "Ed25519", "Secp256k1"] {
        let encoded = get(&vectors, "keys", &format!("{name} private"));
        let keys = Keypair::decode_protobuf(&encoded).unwrap();
        assert_eq!(
            keys.public().encode(),
            get(&vectors, "keys", &format!("{name} public"))
        );
        assert_eq!(*keys.encode_protobuf(), encoded);
        let signature = keys.sign(b"message").unwrap();
        assert!(keys.public().verify(b"message", &signature));
        assert_eq!(
            Keypair::decode_base64(&keys.encode_base64()).unwrap().public(),
            keys.public()
        );
    }
}

// covers: COR-039
#[cfg(feature = "rsa-signing")]
#[test]
fn rsa_keys_are_read_made_and_used() {
    let Some(vectors) = vectors() else { return };
    let encoded = get(&vectors, "keys", "RSA-4096 private (2355 bytes)");
    let keys = Keypair::decode_protobuf(&encoded).unwrap();
    assert_eq!(
        keys.public().encode(),
        get(&vectors, "keys", "RSA-4096 public (555 bytes)")
    );
    assert_eq!(
        keys.sign(b"hello world").unwrap(),
        get(&vectors, "signatures", "RSA-SIG")
    );
    let made = Keypair::generate(KeyType::Rsa, &mut Rng::from_seed([1; 32])).unwrap();
    assert!(made.public().verify(b"x", &made.sign(b"x").unwrap()));
    assert_eq!(
        Keypair::decode_protobuf(&made.encode_protobuf())
            .unwrap()
            .public(),
        made.public()
    );
}

// covers: COR-027, COR-032, COR-042, COR-043, COR-044, COR-045, COR-046
#[test]
fn keys_are_decoded_strictly_so_that_none_has_two_ids() {
    let key = |prefix: &str, len: usize| [hex(prefix), vec![7; len]].concat();
    assert_eq!(
        PublicKey::decode(&key("0801121f", 31)),
        Err(Error::InvalidKey(KeyType::Ed25519))
    );
    assert_eq!(
        PublicKey::decode(&key("08011221", 33)),
        Err(Error::InvalidKey(KeyType::Ed25519))
    );
    let good = key("08011220", 32);
    assert!(PublicKey::decode(&good).is_ok());
    assert_eq!(PublicKey::decode(&hex("08041200")), Err(Error::UnknownKeyType(4)));
    let swapped = [hex("1220"), vec![7; 32], hex("0801")].concat();
    let trailing = [good.clone(), hex("1a0101")].concat();
    let long_type = [hex("0881001220"), vec![7; 32]].concat();
    for bad in [
        hex("1200"),
        hex("0801"),
        Vec::new(),
        swapped,
        trailing,
        long_type,
        good[..35].to_vec(),
    ] {
        assert_eq!(PublicKey::decode(&bad), Err(Error::MalformedKey));
    }
    assert_eq!(PublicKey::decode(&key("08011220", 4096)), Err(Error::KeyTooLarge));
    assert_eq!(
        PublicKey::decode(&[hex("0802122105"), vec![1; 32]].concat()),
        Err(Error::InvalidKey(KeyType::Secp256k1))
    );
}

// covers: COR-056
#[test]
fn an_identity_hash_gives_its_key_back() {
    let keys = Keypair::ed25519_from_seed([3; 32]);
    assert_eq!(
        PublicKey::from_peer_id(&keys.public().peer_id()).as_ref(),
        Some(keys.public())
    );
    let ecdsa = Keypair::generate(KeyType::Ecdsa, &mut Rng::from_seed([1; 32])).unwrap();
    assert_eq!(PublicKey::from_peer_id(&ecdsa.public().peer_id()), None);
}

// covers: COR-029
#[test]
fn vul_063_a_private_key_with_another_public_half_is_refused() {
    let other = Keypair::ed25519_from_seed([2; 32]);
    let data = [&[1; 32][..], other.public().data()].concat();
    let encoded = [hex("08011240"), data].concat();
    assert_eq!(Keypair::decode_protobuf(&encoded).err(), Some(Error::KeyMismatch));
    let own = Keypair::ed25519_from_seed([1; 32]);
    let tails = [
        &hex("08011260")[..],
        &[1; 32],
        own.public().data(),
        own.public().data(),
    ]
    .concat();
    assert!(Keypair::decode_protobuf(&tails).is_ok());
    let mut broken = tails;
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(Keypair::decode_protobuf(&broken).err(), Some(Error::KeyMismatch));
}

/// A key of so many bits, in the encoding of a public key.
fn rsa_key(bits: usize, exponent: &[u8]) -> Vec<u8> {
    let der = |tag: u8, content: Vec<u8>| {
        let len = content.len();
        let head = if len < 0x80 {
            vec![tag, u8::try_from(len).unwrap()]
        } else {
            vec![
                tag,
                0x82,
                u8::try_from(len >> 8).unwrap(),
                u8::try_from(len & 0xff).unwrap(),
            ]
        };
        let head = if (0x80..0x100).contains(&len) {
            vec![tag, 0x81, u8::try_from(len).unwrap()]
        } else {
            head
        };
        [head, content].concat()
    };
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] = 0xff >> (bits.div_ceil(8) * 8 - bits);
    if modulus[0] >= 0x80 {
        modulus.insert(0, 0);
    }
    let numbers = der(0x30, [der(2, modulus), der(2, exponent.to_vec())].concat());
    let algorithm = hex("300d06092a864886f70d0101010500");
    let spki = der(0x30, [algorithm, der(3, [vec![0], numbers].concat())].concat());
    let mut encoded = vec![8, 0, 0x12];
    libp2p_proto_core::varint::encode(spki.len() as u64, &mut encoded);
    encoded.extend(spki);
    encoded
}

// covers: COR-040, COR-041
#[test]
fn vul_065_rsa_keys_outside_of_2048_to_8192_bits_are_refused_from_their_lengths() {
    for (bits, good) in [
        (1024, false),
        (2047, false),
        (2048, true),
        (3072, true),
        (4096, true),
        (8192, true),
    ] {
        assert_eq!(
            PublicKey::decode(&rsa_key(bits, &[1, 0, 1])).is_ok(),
            good,
            "{bits}"
        );
    }
    assert_eq!(
        PublicKey::decode(&rsa_key(2047, &[1, 0, 1])),
        Err(Error::RsaBits(2047))
    );
    for bits in [8200, 16_384, 65_536] {
        assert!(PublicKey::decode(&rsa_key(bits, &[1, 0, 1])).is_err());
    }
    for exponent in [&[1][..], &[2], &[4], &[1, 0, 0, 0, 0, 0, 1]] {
        assert!(
            PublicKey::decode(&rsa_key(2048, exponent)).is_err(),
            "{exponent:?}"
        );
    }
    assert!(PublicKey::decode(&rsa_key(2048, &[3])).is_ok());
}

#[test]
fn vul_066_weak_rsa_keys_are_no_keys() {
    assert_eq!(
        PublicKey::decode(&rsa_key(1024, &[1, 0, 1])),
        Err(Error::RsaBits(1024))
    );
}

#[test]
fn vul_067_der_lengths_beyond_the_buffer_are_refused() {
    for len in [
        &[0x80][..],
        &[0x84, 0x7f, 0xff, 0xff, 0xff],
        &[0x88, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x82, 0xff, 0xff],
        &[0x81, 0x7f],
        &[0x82, 0, 0x90],
    ] {
        let spki = [&[0x30][..], len, &[0; 20]].concat();
        for key_type in [KeyType::Rsa, KeyType::Ecdsa] {
            assert!(PublicKey::from_data(key_type, &spki).is_err());
        }
    }
}

fn verdict(result: TestResult, verified: bool) -> bool {
    match result {
        TestResult::Valid => verified,
        TestResult::Invalid => !verified,
        TestResult::Acceptable => true,
    }
}

// covers: COR-031
#[test]
fn vul_057_wycheproof_ed25519_verdicts_are_ours() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    for group in &set.test_groups {
        let key = PublicKey::from_data(KeyType::Ed25519, &group.key.pk).unwrap();
        for test in &group.tests {
            assert!(
                verdict(test.result, key.verify(&test.msg, &test.sig)),
                "{}: {}",
                test.tc_id,
                test.comment
            );
        }
    }
}

#[test]
fn vul_070_wycheproof_ecdsa_verdicts_are_ours() {
    use wycheproof::ecdsa::{TestName, TestSet};
    for (name, key_type) in [
        (TestName::EcdsaSecp256k1Sha256, KeyType::Secp256k1),
        (TestName::EcdsaSecp256r1Sha256, KeyType::Ecdsa),
    ] {
        let set = TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let data = match key_type {
                KeyType::Secp256k1 => group.key.key.to_vec(),
                _ => [
                    hex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
                    group.key.key.to_vec(),
                ]
                .concat(),
            };
            let key = PublicKey::from_data(key_type, &data).unwrap();
            for test in &group.tests {
                assert!(
                    verdict(test.result, key.verify(&test.msg, &test.sig)),
                    "{key_type:?} {}: {}",
                    test.tc_id,
                    test.comment
                );
            }
        }
    }
}

#[test]
fn vul_069_changed_encodings_of_a_signature_do_not_verify() {
    // The group order, added to S.
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let keys = Keypair::ed25519_from_seed([9; 32]);
    let mut signature = keys.sign(b"m").unwrap();
    let mut carry = 0_u16;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert!(!keys.public().verify(b"m", &signature));
    let small_order = PublicKey::from_data(KeyType::Ed25519, &[&[1][..], &[0; 31]].concat()).unwrap();
    let trivial = [&[1][..], &[0; 63]].concat();
    assert!(!small_order.verify(b"m", &trivial));
}

fn opened(vectors: &Value, name: &str) -> Result<PeerRecord, Error> {
    PeerRecord::open(&get(vectors, "records", name))
}

// covers: COR-102, COR-104, COR-107, COR-113, COR-114
#[test]
fn the_listed_records_open_in_both_dialects_and_ours_is_the_deployed_one() {
    let Some(vectors) = vectors() else { return };
    for name in ["PEER-RECORD envelope", "RFC-RECORD envelope"] {
        let record = opened(&vectors, name).unwrap();
        assert_eq!(record.seq(), 1);
        let addrs: Vec<_> = record.addrs().iter().map(ToString::to_string).collect();
        assert_eq!(
            addrs,
            ["/ip4/192.0.2.42/tcp/4321", "/ip4/198.51.100.7/udp/4242/quic-v1"]
        );
    }
    let identity =
        Identity::from(Keypair::decode_protobuf(&get(&vectors, "keys", "Ed25519 private")).unwrap());
    let addrs =
        ["/ip4/192.0.2.42/tcp/4321", "/ip4/198.51.100.7/udp/4242/quic-v1"].map(|addr| addr.parse().unwrap());
    let sealed = PeerRecord::new(identity.peer_id(), 1, addrs.to_vec())
        .seal(&identity)
        .unwrap();
    assert_eq!(sealed, get(&vectors, "records", "PEER-RECORD envelope"));
}

// covers: COR-103, COR-105, COR-106, COR-108, COR-110, COR-111, COR-112, COR-115
#[test]
fn envelopes_are_refused_for_type_size_and_signature_before_their_payload_is_read() {
    let identity = Identity::from(Keypair::ed25519_from_seed([5; 32]));
    let sealed = Envelope::seal("test", &[1, 2], b"hi", &identity).unwrap();
    let open = |bytes: &[u8], domain, payload_type| Envelope::open(bytes, &[(payload_type, domain)]);
    assert_eq!(open(sealed.encoded(), "test", &[1, 2]).unwrap().payload(), "hi");
    assert_eq!(open(sealed.encoded(), "tesu", &[1, 2]), Err(Error::BadSignature));
    assert_eq!(open(sealed.encoded(), "test", &[3, 2]), Err(Error::PayloadType));
    assert_eq!(
        open(&vec![0; MAX_ENVELOPE + 1], "test", &[1]),
        Err(Error::EnvelopeTooLarge)
    );
    assert_eq!(Envelope::seal("", &[1], b"", &identity), Err(Error::EmptyDomain));
    assert_eq!(Envelope::seal("d", &[], b"", &identity), Err(Error::EmptyDomain));
    for end in 0..sealed.encoded().len() {
        assert!(open(&sealed.encoded()[..end], "test", &[1, 2]).is_err());
    }
}

// covers: COR-116, COR-122
#[test]
fn vul_123_a_record_of_another_peer_is_refused() {
    let (a, b) = (
        Identity::from(Keypair::ed25519_from_seed([1; 32])),
        Identity::from(Keypair::ed25519_from_seed([2; 32])),
    );
    let foreign = PeerRecord::new(b.peer_id(), 1, Vec::new());
    assert_eq!(foreign.seal(&a), Err(Error::WrongPeer));
    let mut payload = Vec::new();
    libp2p_proto_core::protobuf::Writer::new(&mut payload).bytes(1, b.peer_id().as_bytes());
    let envelope = Envelope::seal("libp2p-peer-record", &[3, 1], &payload, &a).unwrap();
    assert_eq!(PeerRecord::open(envelope.encoded()), Err(Error::WrongPeer));
    let other = format!("/ip4/1.2.3.4/tcp/1/p2p/{}", b.peer_id()).parse().unwrap();
    let own = "/ip4/1.2.3.4/tcp/1".parse().unwrap();
    let sealed = PeerRecord::new(a.peer_id(), 1, vec![other, own])
        .seal(&a)
        .unwrap();
    assert_eq!(PeerRecord::open(&sealed).unwrap().addrs().len(), 1);
}

// covers: COR-118, COR-119
#[test]
fn own_sequence_numbers_rise_whatever_the_clock_does() {
    let mut clock = RecordClock::default();
    let first = clock.next(UnixTime::from_secs(100));
    let second = clock.next(UnixTime::from_secs(100));
    let third = clock.next(UnixTime::from_secs(50));
    assert!(first < second && second < third);
}

// covers: COR-047
#[test]
fn vul_064_an_identity_prints_no_secret() {
    let identity = Identity::from(Keypair::ed25519_from_seed([0x41; 32]));
    assert_eq!(
        format!("{identity:?}"),
        format!("Identity({})", identity.peer_id())
    );
}

// covers: COR-033
#[test]
fn own_secp256k1_signatures_have_low_s() {
    let keys = Keypair::generate(KeyType::Secp256k1, &mut Rng::from_seed([8; 32])).unwrap();
    for number in 0..200_u32 {
        let signature = keys.sign(&number.to_be_bytes()).unwrap();
        let parsed = k256_low(&signature);
        assert!(parsed, "S of message {number} is high");
    }
}

/// The second integer of the DER is at most half of the order: its first byte is below 0x80, and so it has at most 32 bytes.
fn k256_low(der: &[u8]) -> bool {
    let r_len = usize::from(der[3]);
    let s = &der[4 + r_len + 2..];
    s.len() <= 32 && (s.len() < 32 || s[0] < 0x80)
}
