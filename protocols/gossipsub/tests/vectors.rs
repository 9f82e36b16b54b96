//! The JSON vectors: encodings, signatures, ids, and input that is odd.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_gossipsub::{
    Message, MessageId, MessageIdFn, SignaturePolicy, Topic, WireError, WireLimits, ethereum_id,
    wire::{Control, IHave, Rpc},
};
use proptest::prelude::*;
use serde_json::Value;
use std::fs;
use support::{id, unhex};

fn vectors(name: &str) -> Vec<Value> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/vectors/gossipsub/"
    );
    serde_json::from_str(&fs::read_to_string(format!("{folder}{name}.json")).unwrap()).unwrap()
}

fn body(vector: &Value) -> Bytes {
    unhex(vector["body"].as_str().unwrap()).into()
}

fn decode(frame: &Bytes) -> Result<Rpc, WireError> {
    Rpc::decode(frame, &WireLimits::default())
}

#[test]
fn every_encoding_is_read_and_written_byte_for_byte() {
    let vectors = vectors("rpc");
    assert!(vectors.len() >= 29, "{}", vectors.len());
    for vector in vectors {
        let frame = body(&vector);
        let rpc = decode(&frame).unwrap();
        assert_eq!(rpc.encode(), frame, "{}", vector["name"]);
        let len = unhex(vector["prefix"].as_str().unwrap());
        assert_eq!(usize::from(len[0]), frame.len(), "{}", vector["name"]);
    }
}

#[test]
fn every_signature_is_judged_as_the_vector_says() {
    for vector in vectors("signatures") {
        let message = decode(&body(&vector)).unwrap().publish.remove(0);
        let policy = SignaturePolicy::StrictSign;
        let judged = policy
            .check_shape(&message)
            .and_then(|author| policy.verify(&message, author));
        assert_eq!(
            Some(judged.is_ok()),
            vector["accept"].as_bool(),
            "{}: {judged:?}",
            vector["name"]
        );
    }
}

#[test]
fn odd_input_is_read_as_what_it_means_or_refused() {
    for vector in vectors("decode") {
        let becomes = decode(&body(&vector)).ok().map(|rpc| rpc.encode());
        let wanted = vector["becomes"].as_str().map(unhex);
        assert_eq!(becomes, wanted, "{}", vector["name"]);
    }
}

#[test]
fn the_ids_of_every_implementation_are_made() {
    let signed = vectors("signatures");
    for vector in vectors("ids") {
        let of = signed
            .iter()
            .find(|signed| signed["name"] == vector["of"])
            .unwrap();
        let message = decode(&body(of)).unwrap().publish.remove(0);
        let function = match vector["function"].as_str().unwrap() {
            "go" => MessageIdFn::Go,
            "rust" => MessageIdFn::Rust,
            "js" => MessageIdFn::Js,
            "nim" => MessageIdFn::Nim,
            other => panic!("{other}"),
        };
        let wanted = MessageId::from(unhex(vector["id"].as_str().unwrap()));
        assert_eq!(function.id(&message), Some(wanted), "{vector}");
    }
    let plain = Message {
        data: Some("hello".into()),
        ..Message::default()
    };
    assert_eq!(
        MessageIdFn::Rust.id(&plain),
        Some(MessageId::from(b"15R0".to_vec()))
    );
    let hash = unhex("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(MessageIdFn::Sha256.id(&plain), Some(MessageId::from(hash)));
    assert_eq!(MessageIdFn::Go.id(&plain), None);
}

// covers: GSP-116
#[test]
fn the_ids_of_ethereum_are_made() {
    let topic = Topic::from("/eth2/4a26c58b/beacon_block/ssz_snappy");
    let (good, bad) = (unhex("051068656c6c6f"), unhex("061468656c6c6f"));
    for (topic, data, wanted) in [
        (None, &good, "79d62a59d0e47597aeb73cb85ba034c3f67f90e8"),
        (None, &bad, "827f96bde86fb64359301a49f59627b01f507402"),
        (Some(&topic), &good, "51e0d2f6574eebc467eb6b07e2f8f68c159a6275"),
        (Some(&topic), &bad, "4059f92b712be92e655e19e05728a7db2cf3a5d2"),
    ] {
        let plain = snap::raw::Decoder::new().decompress_vec(data).ok();
        assert_eq!(
            ethereum_id(topic, data, plain.as_deref()),
            MessageId::from(unhex(wanted))
        );
    }
}

// covers: GSP-039, GSP-571
#[test]
fn vul_007_a_frame_of_empty_entries_is_refused_before_anything_is_built() {
    let frame = Bytes::from([0x0a, 0].repeat(524_288));
    let info = allocation_counter::measure(|| {
        let refused = decode(&frame);
        assert!(matches!(
            refused,
            Err(WireError::TooManySubscriptions | WireError::Malformed(_))
        ));
    });
    assert!(info.bytes_max < 4096, "{}", info.bytes_max);
}

// covers: GSP-040, GSP-041
#[test]
fn vul_008_every_list_of_an_rpc_has_its_limit() {
    let limits = WireLimits {
        messages: 500,
        subscriptions: 100,
        control: 100_000,
        entries: 50,
        ids: 200,
        px_peers: 16,
    };
    let refused = |rpc: &Rpc| Rpc::decode(&rpc.encode().into(), &limits).err();
    let messages = |count| Rpc {
        publish: vec![Message::default(); count],
        ..Rpc::default()
    };
    assert_eq!(refused(&messages(500)), None);
    assert_eq!(refused(&messages(501)), Some(WireError::TooManyMessages));
    let control = |change: &dyn Fn(&mut Control)| {
        let mut control = Control::default();
        change(&mut control);
        Rpc {
            control: Some(control),
            ..Rpc::default()
        }
    };
    let t = || Topic::from("t");
    let ids = |count| (0..count).map(id).collect::<Vec<_>>();
    for (count, error) in [(200, None), (201, Some(WireError::TooManyIds))] {
        let ihave = || IHave {
            topic: t(),
            ids: ids(count),
        };
        assert_eq!(refused(&control(&|control| control.ihave.push(ihave()))), error);
        assert_eq!(
            refused(&control(&|control| control.iwant.push(ids(count)))),
            error
        );
        assert_eq!(
            refused(&control(&|control| control.idontwant.push(ids(count)))),
            error
        );
    }
    for (count, error) in [(50, None), (51, Some(WireError::TooManyEntries))] {
        assert_eq!(
            refused(&control(&|control| control.graft = vec![t(); count])),
            error
        );
        assert_eq!(
            refused(&control(&|control| control.iwant = vec![ids(1); count])),
            error
        );
    }
    let large = MessageId::from(vec![1; 100_000]);
    let large = control(&|control| control.iwant.push(vec![large.clone()]));
    assert_eq!(refused(&large), Some(WireError::ControlTooLarge));
}

proptest! {
    /// What can be read can be written, and is then read as the same.
    #[test]
    fn any_bytes_are_refused_or_read_as_what_they_are_written_as(bytes: Vec<u8>) {
        if let Ok(rpc) = decode(&bytes.into()) {
            prop_assert_eq!(decode(&rpc.encode().into()), Ok(rpc));
        }
    }
}
