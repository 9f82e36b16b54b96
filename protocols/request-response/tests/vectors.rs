//! The JSON vectors, and the codecs against other implementations of their formats.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use libp2p_proto_core::ProtocolName;
use libp2p_proto_request_response::{
    Decoder, Failure, Item, Spec, encode_rejection, encode_request, encode_response,
};
use proptest::prelude::*;
use serde_json::Value;
use std::{fs, io::Read, path::Path};

const VECTORS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../conformance/vectors/request-response"
);
const NAME: ProtocolName = ProtocolName::from_static("/x/1");

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn vectors(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(Path::new(VECTORS).join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn spec(of: &Value) -> Spec {
    let max = of["max"].as_u64().unwrap() as usize;
    let min = of["min"].as_u64().unwrap_or(0) as usize;
    let flag = |name: &str| of[name] == true;
    let mut spec = match of["family"].as_str().unwrap() {
        "until-end" => Spec::until_end(NAME, max, max),
        "json" => Spec::json(NAME, max, max),
        "cbor" => Spec::cbor(NAME, max, max),
        "length-delimited" => Spec::length_delimited(NAME, max, max),
        "chunks" => Spec::chunks(NAME, min..=max, min..=max),
        other => panic!("no family {other}"),
    };
    if flag("empty") {
        spec = spec.allow_empty();
    }
    if flag("early") {
        spec = spec.answer_early();
    }
    if flag("context") {
        spec = spec.with_context();
    }
    spec
}

fn item(of: &Value) -> Item {
    if *of == "end" {
        Item::End
    } else if of["rejected"].is_u64() {
        let code = of["rejected"].as_u64().unwrap() as u8;
        Item::Rejected(libp2p_proto_request_response::Rejection {
            code,
            message: unhex(&of["message"]).into(),
        })
    } else if of["part"].is_string() {
        let context = of["context"]
            .is_string()
            .then(|| unhex(&of["context"]).try_into().unwrap());
        Item::Part {
            context,
            data: unhex(&of["part"]).into(),
        }
    } else {
        Item::Message(unhex(&of["message"]).into())
    }
}

struct Run {
    items: Vec<Item>,
    error: Option<Failure>,
    rest: Vec<u8>,
}

/// Feeds the bytes in pieces of `step`.
fn run(mut decoder: Decoder, bytes: &[u8], step: usize, end: bool) -> Run {
    let (mut items, mut rest) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match decoder.feed(&mut piece) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.feed(&mut Bytes::new()), Err(error.clone()), "errors stay");
                    return Run {
                        items,
                        error: Some(error),
                        rest,
                    };
                }
            }
        }
        rest.extend_from_slice(&piece);
    }
    let error = match end.then(|| decoder.finish()) {
        Some(Ok(item)) => {
            items.push(item);
            None
        }
        Some(Err(error)) => Some(error),
        None => None,
    };
    Run { items, error, rest }
}

// covers: RRQ-101
#[test]
fn every_decoding_vector_holds_in_any_split() {
    let vectors = vectors("decode.json");
    assert!(vectors.len() > 80);
    for vector in vectors {
        let bytes = unhex(&vector["input"]);
        for step in [bytes.len(), 1, 2, 3, 7] {
            let decoder = match vector["read"].as_str().unwrap() {
                "request" => Decoder::request(&spec(&vector["spec"])),
                _ => Decoder::response(&spec(&vector["spec"]), true),
            };
            let got = run(decoder, &bytes, step, vector["end"] == true);
            let wanted: Vec<Item> = vector["items"].as_array().unwrap().iter().map(item).collect();
            let what = format!("{} in pieces of {step}", vector["name"]);
            assert_eq!(got.items, wanted, "{what}");
            let error = match vector["error"].as_str() {
                Some("too-large") => Some(Failure::TooLarge),
                Some("malformed") => Some(Failure::Malformed),
                Some("unexpected-end") => Some(Failure::UnexpectedEnd),
                _ => None,
            };
            assert_eq!(got.error, error, "{what}");
            if vector["rest"].is_string() {
                assert_eq!(got.rest, unhex(&vector["rest"]), "{what}");
            }
        }
    }
}

#[test]
fn every_encoding_vector_holds() {
    for vector in vectors("encode.json") {
        let (spec, message) = (spec(&vector["spec"]), Bytes::from(unhex(&vector["message"])));
        let context = vector["context"]
            .is_string()
            .then(|| unhex(&vector["context"]).try_into().unwrap());
        let bytes = match vector["encode"].as_str().unwrap() {
            "request" => encode_request(&spec, &message),
            "response" => encode_response(&spec, context, &message),
            _ => encode_rejection(2, &message),
        };
        assert_eq!(bytes, unhex(&vector["output"]), "{}", vector["name"]);
    }
}

// covers: RRQ-040
#[test]
fn the_name_of_an_ethereum_protocol_is_built_from_name_version_and_encoding() {
    let spec = Spec::eth2("ping", 1, 8..=8, 8..=8).unwrap();
    assert_eq!(spec.name().as_str(), "/eth2/beacon_chain/req/ping/1/ssz_snappy");
    assert!(Spec::eth2("a\nb", 1, 8..=8, 8..=8).is_err());
}

fn bytes_of_some_entropy() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        (any::<u8>(), 0..3000_usize).prop_map(|(byte, len)| vec![byte; len]),
        proptest::collection::vec(0..4_u8, 0..3000),
    ];
    proptest::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

fn decode(spec: &Spec, bytes: &[u8], step: usize) -> Run {
    run(Decoder::request(spec), bytes, step, true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn our_frames_are_read_by_snap_and_by_us(data in bytes_of_some_entropy(), step in 1..5000_usize) {
        let spec = Spec::chunks(NAME, 0..=1 << 20, 0..=1 << 20);
        let bytes = encode_request(&spec, &data.clone().into());
        let got = decode(&spec, &bytes, step);
        prop_assert_eq!(got.items, [Item::Message(data.clone().into())]);
        if !data.is_empty() {
            let prefix = (1..=10).find(|len| bytes[len - 1] < 0x80).unwrap();
            let mut theirs = Vec::new();
            snap::read::FrameDecoder::new(&bytes[prefix..]).read_to_end(&mut theirs).unwrap();
            prop_assert_eq!(theirs, data);
        }
    }

    #[test]
    fn the_frames_of_snap_are_read_by_us(data in bytes_of_some_entropy(), step in 1..5000_usize) {
        prop_assume!(!data.is_empty());
        let spec = Spec::chunks(NAME, 0..=1 << 20, 0..=1 << 20);
        let mut bytes = Vec::new();
        libp2p_proto_core::varint::encode(data.len() as u64, &mut bytes);
        snap::read::FrameEncoder::new(&data[..]).read_to_end(&mut bytes).unwrap();
        prop_assert_eq!(decode(&spec, &bytes, step).items, [Item::Message(data.into())]);
    }

    // covers: RRQ-024
    #[test]
    fn a_cbor_item_is_complete_with_its_last_byte_and_not_before(value in cbor_value(), more in any::<u8>()) {
        let mut bytes = Vec::new();
        ciborium::into_writer(&value, &mut bytes).unwrap();
        let spec = Spec::cbor(NAME, 1 << 16, 1 << 16).answer_early();
        let got = run(Decoder::request(&spec), &bytes, bytes.len(), false);
        prop_assert_eq!(got.items, [Item::Message(bytes.clone().into())]);
        let early = run(Decoder::request(&spec), &bytes[..bytes.len() - 1], bytes.len(), true);
        prop_assert_eq!(early.error, Some(Failure::UnexpectedEnd));
        let spec = Spec::cbor(NAME, 1 << 16, 1 << 16);
        prop_assert_eq!(decode(&spec, &bytes, 3).items, [Item::Message(bytes.clone().into())]);
        bytes.push(more);
        prop_assert_eq!(decode(&spec, &bytes, 3).error, Some(Failure::Malformed));
    }

    #[test]
    fn a_json_document_is_whole_with_its_last_byte(value in json_value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        let spec = Spec::json(NAME, 1 << 16, 1 << 16);
        prop_assert_eq!(decode(&spec, &text, 3).items, [Item::Message(text.clone().into())]);
        let behind = [&text[..], b" {}"].concat();
        prop_assert_eq!(decode(&spec, &behind, 3).error, Some(Failure::Malformed));
        if matches!(value, Value::Array(_) | Value::Object(_) | Value::String(_)) {
            prop_assert_eq!(decode(&spec, &text[..text.len() - 1], 3).error, Some(Failure::UnexpectedEnd));
        }
    }

    // covers: RRQ-101, RRQ-102
    #[test]
    fn any_bytes_give_the_same_in_any_split_and_never_panic(
        family in 0..5_usize,
        bytes in proptest::collection::vec(prop_oneof![Just(0x81_u8), Just(b'['), Just(0xff), any::<u8>()], 0..600),
        step in 1..64_usize,
        end in any::<bool>(),
        response in any::<bool>(),
    ) {
        let specs = [
            Spec::until_end(NAME, 500, 500),
            Spec::json(NAME, 500, 500).answer_early(),
            Spec::cbor(NAME, 500, 500),
            Spec::length_delimited(NAME, 500, 500),
            Spec::chunks(NAME, 0..=500, 0..=500).with_context(),
        ];
        let decoder = || if response {
            Decoder::response(&specs[family], true)
        } else {
            Decoder::request(&specs[family])
        };
        let whole = run(decoder(), &bytes, bytes.len(), end);
        let cut = run(decoder(), &bytes, step, end);
        prop_assert_eq!(whole.items, cut.items);
        prop_assert_eq!(whole.error, cut.error);
    }
}

fn cbor_value() -> impl Strategy<Value = ciborium::Value> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(|number| ciborium::Value::Integer(number.into())),
        any::<i32>().prop_map(|number| ciborium::Value::Integer(number.into())),
        any::<f64>().prop_map(ciborium::Value::Float),
        any::<bool>().prop_map(ciborium::Value::Bool),
        Just(ciborium::Value::Null),
        "[a-z]{0,40}".prop_map(ciborium::Value::Text),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(ciborium::Value::Bytes),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..30).prop_map(ciborium::Value::Array),
            proptest::collection::vec((inner.clone(), inner.clone()), 0..5).prop_map(ciborium::Value::Map),
            (any::<u64>(), inner).prop_map(|(tag, value)| ciborium::Value::Tag(tag, Box::new(value))),
        ]
    })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        ".{0,20}".prop_map(Value::from),
        "[\\\\\"{}\\[\\]]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::btree_map(".{0,6}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
