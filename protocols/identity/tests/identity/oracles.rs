//! Ours beside rust-libp2p's keys and ids, and beside prost's decoder.

use super::{CURVES, encodings::protobuf, keypair};
use libp2p_identity as theirs;
use libp2p_proto_core::{
    PeerId,
    protobuf::{Field, Limits, ProtobufError, Reader, Value, Writer},
};
use libp2p_proto_identity::{Envelope, Identity, KeyType, Keypair, PeerRecord, PublicKey};
use proptest::{collection::vec, prelude::*};
use prost::Message as _;

fn key_types() -> impl Strategy<Value = KeyType> {
    prop::sample::select(CURVES.to_vec())
}

/// Bytes near a good public key: some of them changed, cut or added.
fn near_a_key() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (
        key_types(),
        any::<u8>(),
        vec(change, 0..3),
        vec(any::<u8>(), 0..3),
        0..3_usize,
    )
        .prop_map(|(key_type, seed, changes, tail, cut)| {
            let mut bytes = keypair(key_type, seed).public().encode().to_vec();
            for (at, with) in changes {
                let at = at.index(bytes.len());
                bytes[at] = with;
            }
            bytes.truncate(bytes.len() - cut);
            bytes.extend(tail);
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn keys_go_to_rust_libp2p_and_back(key_type in key_types(), seed in any::<[u8; 32]>(), message in vec(any::<u8>(), 0..100)) {
        let ours = Keypair::generate(key_type, &mut libp2p_proto_core::Rng::from_seed(seed)).unwrap();
        let other = theirs::Keypair::from_protobuf_encoding(&ours.encode_protobuf()).unwrap();
        prop_assert_eq!(ours.public().encode(), other.public().encode_protobuf());
        prop_assert_eq!(ours.public().peer_id().to_string(), other.public().to_peer_id().to_string());
        prop_assert!(other.public().verify(&message, &ours.sign(&message).unwrap()));
        prop_assert!(ours.public().verify(&message, &other.sign(&message).unwrap()));
        let back = Keypair::decode_protobuf(&other.to_protobuf_encoding().unwrap()).unwrap();
        prop_assert_eq!(back.public(), ours.public());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_we_read_as_a_key_rust_libp2p_reads_as_the_same_key(bytes in near_a_key()) {
        let ours = PublicKey::decode(&bytes);
        let other = theirs::PublicKey::try_decode_protobuf(&bytes);
        match (ours, other) {
            (Ok(ours), Ok(other)) => {
                prop_assert_eq!(ours.encode(), other.encode_protobuf());
                prop_assert_eq!(ours.peer_id().to_string(), other.to_peer_id().to_string());
            }
            // They decompress an Ed25519 point when they read it, we when we use it.
            (Ok(ours), Err(_)) => prop_assert_eq!(ours.key_type(), KeyType::Ed25519),
            // Not the canonical encoding, which is what they go on with.
            (Err(_), Ok(other)) => {
                let canonical = other.encode_protobuf();
                prop_assert_ne!(&canonical, &bytes);
                let ours = PublicKey::decode(&canonical).unwrap();
                prop_assert_eq!(ours.peer_id().to_string(), other.to_peer_id().to_string());
            }
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn ids_are_read_as_rust_libp2p_reads_them(
        bytes in prop_oneof![vec(any::<u8>(), 0..70), (0..3_u8, 0..70_u8, vec(any::<u8>(), 0..70)).prop_map(|(code, len, rest)| [&[code * 9, len], &rest[..]].concat()),
            (vec(any::<u8>(), 32)).prop_map(|digest| [&[0x12, 0x20], &digest[..]].concat()), vec(any::<u8>(), 0..43).prop_map(|key| [&[0, u8::try_from(key.len()).unwrap()], &key[..]].concat())],
    ) {
        match (PeerId::from_bytes(&bytes), theirs::PeerId::from_bytes(&bytes)) {
            (Ok(ours), Ok(other)) => {
                prop_assert_eq!(ours.as_bytes(), other.to_bytes());
                prop_assert_eq!(ours.to_string(), other.to_base58());
                prop_assert_eq!(other.to_base58().parse(), Ok(ours));
                prop_assert_eq!(ours.to_string().parse::<theirs::PeerId>().unwrap(), other);
            }
            (Err(_), Err(_)) => {}
            // They take a sha2-256 hash with a digest of any length, and bytes behind a digest.
            (Err(_), Ok(_)) => prop_assert!(bytes[0] == 0x12 && (bytes[1] != 32 || bytes.len() != 34)),
            (Ok(ours), Err(error)) => prop_assert!(false, "{ours}: {error}"),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireEnvelope {
    #[prost(bytes = "vec", tag = "1")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    payload_type: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireRecord {
    #[prost(bytes = "vec", tag = "1")]
    peer_id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(message, repeated, tag = "3")]
    addresses: Vec<WireAddress>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireAddress {
    #[prost(bytes = "vec", tag = "1")]
    multiaddr: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireKey {
    #[prost(int32, required, tag = "1")]
    key_type: i32,
    #[prost(bytes = "vec", required, tag = "2")]
    data: Vec<u8>,
}

/// A record's fields in any order, repeated, of any wire type, among unknown ones.
fn record_fields() -> impl Strategy<Value = Vec<u8>> {
    let signer = super::identity(1).peer_id().as_bytes().to_vec();
    let entry = |content: Vec<u8>| {
        let mut out = Vec::new();
        Writer::new(&mut out).bytes(3, &content);
        out
    };
    let address = |bytes: Vec<u8>| {
        let mut out = Vec::new();
        Writer::new(&mut out).bytes(1, &bytes);
        out
    };
    let field = prop_oneof![
        4 => Just({ let mut out = Vec::new(); Writer::new(&mut out).bytes(1, &signer); out }),
        3 => any::<u64>().prop_map(|seq| { let mut out = Vec::new(); Writer::new(&mut out).varint(2, seq); out }),
        4 => any::<u16>().prop_map(move |port| entry(address([&[6][..], &port.to_be_bytes()].concat()))),
        1 => vec(any::<u8>(), 0..6).prop_map(entry),
        1 => (0..6_u32, vec(any::<u8>(), 0..6)).prop_map(|(number, bytes)| { let mut out = Vec::new(); Writer::new(&mut out).bytes(number.max(1), &bytes); out }),
        1 => (1..6_u32, any::<u64>()).prop_map(|(number, value)| { let mut out = Vec::new(); Writer::new(&mut out).varint(number, value); out }),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(field, 0..8).prop_map(|fields| fields.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn vul_157_records_mean_to_us_what_they_mean_to_prost(payload in record_fields()) {
        let signer = super::identity(1);
        let own = signer.peer_id();
        let envelope = Envelope::seal("libp2p-peer-record", &[3, 1], &payload, &signer).unwrap();
        let wire = WireEnvelope::decode(&envelope.encoded()[..]).unwrap();
        prop_assert_eq!(&wire.payload, &payload);
        // Prost leaves out a field of nothing.
        prop_assert_eq!(wire.encode_to_vec() == *envelope.encoded(), !payload.is_empty());
        match (PeerRecord::open(envelope.encoded()), WireRecord::decode(&payload[..])) {
            (Ok(ours), Ok(theirs)) => {
                let peer = ours.peer_id();
                prop_assert_eq!(peer.as_bytes(), &theirs.peer_id[..]);
                prop_assert_eq!(ours.seq(), theirs.seq);
                let parse = |info: &WireAddress| libp2p_proto_core::Multiaddr::from_bytes(info.multiaddr.clone()).ok();
                let addrs: Vec<_> = theirs.addresses.iter().filter_map(parse).filter(|addr| addr.peer_id().is_none_or(|peer| peer == ours.peer_id())).collect();
                prop_assert_eq!(ours.addrs(), &addrs[..]);
            }
            (Err(_), Err(_)) => {}
            // It reads, but is of nobody, or of somebody else.
            (Err(_), Ok(theirs)) => prop_assert!(theirs.peer_id != own.as_bytes() || holds_a_group(&payload)),
            (Ok(_), Err(error)) => prop_assert!(false, "only prost refuses {payload:02x?}: {error}"),
        }
    }

    #[test]
    fn vul_157_keys_mean_to_us_what_they_mean_to_prost(bytes in near_a_key()) {
        if let Ok(ours) = PublicKey::decode(&bytes) {
            let theirs = WireKey::decode(&bytes[..]).unwrap();
            prop_assert_eq!(u64::try_from(theirs.key_type), Ok(ours.key_type().number()));
            prop_assert_eq!(theirs.data, ours.data());
        }
    }

    #[test]
    fn vul_157_envelopes_mean_to_us_what_they_mean_to_prost(order in Just([0_usize, 1, 2, 3]).prop_shuffle(), extra in vec(any::<u8>(), 0..6), at in 0..5_usize) {
        let signer: Identity = super::identity(1);
        let sealed = Envelope::seal("test", &[1], b"payload", &signer).unwrap();
        let wire = WireEnvelope::decode(&sealed.encoded()[..]).unwrap();
        let field = |number: u32, bytes: &[u8]| { let mut out = Vec::new(); Writer::new(&mut out).bytes(number, bytes); out };
        let fields = [field(1, &wire.public_key), field(2, &wire.payload_type), field(3, &wire.payload), field(5, &wire.signature)];
        let mut parts: Vec<Vec<u8>> = order.iter().map(|at| fields[*at].clone()).collect();
        parts.insert(at, extra);
        let bytes = parts.concat();
        match (Envelope::open(&bytes, &[(&[1], "test")]), WireEnvelope::decode(&bytes[..])) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!(ours.payload(), &theirs.payload[..]);
                prop_assert_eq!(ours.signer().encode(), &theirs.public_key[..]);
            }
            (Ok(_), Err(error)) => prop_assert!(false, "only prost refuses {bytes:02x?}: {error}"),
            (Err(error), Ok(theirs)) => prop_assert!(theirs != wire || holds_a_group(&bytes), "only we refuse: {error}"),
            (Err(_), Err(_)) => {}
        }
    }
}

/// Whether a group is among the fields, or would be if bytes of a field are a message: prost reads over it, we refuse it.
fn holds_a_group(message: &[u8]) -> bool {
    let mut reader = Reader::new(message, Limits::default());
    loop {
        match reader.next_field() {
            Ok(Some(Field {
                value: Value::Bytes(inner),
                ..
            })) if holds_a_group(inner) => return true,
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(error) => return error == ProtobufError::BadWireType(3),
        }
    }
}

#[test]
fn an_envelope_with_a_group_is_refused() {
    let signer: Identity = super::identity(1);
    let sealed = Envelope::seal("test", &[1], b"payload", &signer).unwrap();
    let bytes = [&[0x33, 0x34], &sealed.encoded()[..]].concat();
    assert!(holds_a_group(&bytes));
    assert!(WireEnvelope::decode(&bytes[..]).is_ok());
    assert!(Envelope::open(&bytes, &[(&[1], "test")]).is_err());
}

#[test]
fn a_key_type_beyond_the_known_ones_keeps_its_number() {
    use libp2p_proto_identity::Error;
    for number in [
        4,
        5,
        127,
        128,
        u64::from(u32::MAX),
        libp2p_proto_core::varint::MAX,
    ] {
        assert_eq!(
            PublicKey::decode(&protobuf(number, &[])),
            Err(Error::UnknownKeyType(number))
        );
    }
}
