//! Private keys: what files of other implementations hold.

use super::{CURVES, bytes_of, encodings::protobuf, keypair, rows, text_of, variant};
use libp2p_proto_core::Rng;
use libp2p_proto_identity::{Error, KeyType, Keypair};

// covers: COR-028, COR-036, COR-039
#[test]
fn the_listed_private_keys_give_their_public_keys_and_encode_back() {
    for row in rows("keys.json", 4) {
        let encoded = bytes_of(&row, "private");
        let read = Keypair::decode_protobuf(&encoded);
        if cfg!(not(feature = "rsa-signing")) && text_of(&row, "name") == "RSA-4096" {
            assert_eq!(read.err(), Some(Error::Unsupported(KeyType::Rsa)));
            continue;
        }
        let keys = read.unwrap();
        assert_eq!(keys.public().encode(), bytes_of(&row, "public"));
        assert_eq!(*keys.encode_protobuf(), encoded);
        let again = Keypair::decode_base64(&keys.encode_base64()).unwrap();
        assert_eq!(again.public(), keys.public());
        let signature = keys.sign(b"message").unwrap();
        assert!(keys.public().verify(b"message", &signature));
    }
}

// covers: COR-028, COR-029, COR-036, COR-039, COR-040, COR-043
#[test]
fn the_listed_bytes_that_are_no_private_key_are_refused_for_their_reason() {
    for row in rows("keys-refused.json", 37) {
        if !row["private"].is_string() {
            continue;
        }
        let refused = Keypair::decode_protobuf(&bytes_of(&row, "private")).map(|_| ());
        let rsa = text_of(&row, "name").contains("RSA");
        if rsa && cfg!(not(feature = "rsa-signing")) {
            assert_eq!(refused, Err(Error::Unsupported(KeyType::Rsa)));
        } else {
            assert_eq!(variant(refused), text_of(&row, "error"), "{row}");
        }
    }
}

// covers: COR-028, COR-029
#[test]
fn vul_063_a_private_key_signs_only_beside_its_own_public_half() {
    let (own, other) = (keypair(KeyType::Ed25519, 1), keypair(KeyType::Ed25519, 2));
    let encoded = own.encode_protobuf();
    let (seed, public) = encoded[4..].split_at(32);
    let decode = |parts: &[&[u8]]| Keypair::decode_protobuf(&protobuf(1, &parts.concat())).map(|_| ());
    assert_eq!(decode(&[seed, public]), Ok(()));
    assert_eq!(decode(&[seed, public, public]), Ok(()));
    let foreign = other.public().data();
    assert_eq!(decode(&[seed, foreign]), Err(Error::KeyMismatch));
    assert_eq!(decode(&[seed, foreign, foreign]), Err(Error::KeyMismatch));
    assert_eq!(decode(&[seed, foreign, public]), Err(Error::KeyMismatch));
    for at in 0..64 {
        let mut publics = [public, public].concat();
        publics[at] ^= 1;
        assert_eq!(decode(&[seed, &publics]), Err(Error::KeyMismatch), "{at}");
    }
    for len in [0, 31, 32, 33, 63, 65, 95, 97, 128] {
        let data = [seed, public, public, public].concat();
        assert_eq!(
            decode(&[&data[..len]]),
            Err(Error::InvalidKey(KeyType::Ed25519)),
            "{len}"
        );
    }
}

#[test]
fn keys_are_made_from_the_callers_dice_alone() {
    for key_type in CURVES {
        let make = |seed| Keypair::generate(key_type, &mut Rng::from_seed([seed; 32])).unwrap();
        assert_eq!(make(1).encode_protobuf(), make(1).encode_protobuf());
        assert_ne!(make(1).encode_protobuf(), make(2).encode_protobuf());
        assert_eq!(make(1).public().key_type(), key_type);
    }
}

#[test]
fn text_that_is_no_key_is_refused() {
    let good = keypair(KeyType::Ed25519, 1).encode_base64();
    let refused = |text: &str| Keypair::decode_base64(text).map(|_| ());
    assert_eq!(refused(&format!("  {}\n", *good)), Ok(()));
    assert_eq!(refused(""), Err(Error::MalformedKey));
    assert_eq!(refused("not base 64!"), Err(Error::MalformedKey));
    assert_eq!(refused(&good[1..]), Err(Error::MalformedKey));
    assert_eq!(refused(&"A".repeat(1 << 20)), Err(Error::KeyTooLarge));
}

#[cfg(feature = "rsa-signing")]
mod rsa {
    use super::*;

    // covers: COR-039
    #[test]
    fn rsa_keys_are_made_and_sign_with_the_platforms_own_randomness() {
        let made = Keypair::generate(KeyType::Rsa, &mut Rng::from_seed([1; 32])).unwrap();
        assert!(made.public().verify(b"x", &made.sign(b"x").unwrap()));
        let again = Keypair::decode_protobuf(&made.encode_protobuf()).unwrap();
        assert_eq!(again.public(), made.public());
        let other = Keypair::generate(KeyType::Rsa, &mut Rng::from_seed([1; 32])).unwrap();
        assert_ne!(other.public(), made.public());
    }

    #[test]
    fn rsa_signatures_are_the_listed_ones() {
        for row in rows("keys.json", 4)
            .iter()
            .filter(|row| text_of(row, "name") == "RSA-4096")
        {
            let keys = Keypair::decode_protobuf(&bytes_of(row, "private")).unwrap();
            assert_eq!(
                [keys.sign(b"hello world").unwrap()].as_slice(),
                super::super::signatures_of(row)
            );
        }
    }

    #[test]
    fn a_private_rsa_key_that_is_cut_or_longer_than_it_says_is_refused() {
        for row in rows("keys.json", 4)
            .iter()
            .filter(|row| text_of(row, "name") == "RSA-4096")
        {
            let data = bytes_of(row, "private")[6..].to_vec();
            for end in (0..data.len()).step_by(97) {
                assert!(Keypair::decode_protobuf(&protobuf(0, &data[..end])).is_err());
            }
            let longer = [&data[..], &[0]].concat();
            assert!(Keypair::decode_protobuf(&protobuf(0, &longer)).is_err());
        }
    }
}
