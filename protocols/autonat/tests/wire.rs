//! The messages: the vectors, what is skipped, and what is no message.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_autonat::wire::{
    v1::{Message as V1, Status},
    v2::{DIAL_BACK_OK, DialBack, DialStatus, Message as V2, ResponseStatus},
};
use libp2p_proto_core::protobuf::encode;
use proptest::prelude::*;
use serde_json::Value;
use support::{unhex, vector, vectors};

/// What a vector describes.
#[derive(Debug, PartialEq)]
enum Described {
    V1(V1),
    V2(V2),
    Back(DialBack),
}

fn hex(value: &Value) -> Bytes {
    unhex(value.as_str().unwrap()).into()
}

fn hexes(value: &Value) -> Vec<Bytes> {
    value.as_array().unwrap().iter().map(hex).collect()
}

fn nonce(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap(), 16).unwrap()
}

fn index(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

fn described(vector: &Value) -> Described {
    match vector["type"].as_str().unwrap() {
        "v1-dial" => Described::V1(V1::Dial {
            peer: Some(hex(&vector["peer"])),
            addrs: hexes(&vector["addrs"]),
        }),
        "v1-response" => Described::V1(V1::Response {
            status: match vector["status"].as_u64().unwrap() {
                0 => Status::Ok,
                100 => Status::DialError,
                101 => Status::DialRefused,
                other => panic!("no status: {other}"),
            },
            text: vector["text"].as_str().map(Into::into),
            addr: vector.get("addr").map(hex),
        }),
        "dial-request" => Described::V2(V2::DialRequest {
            addrs: hexes(&vector["addrs"]),
            nonce: nonce(&vector["nonce"]),
        }),
        "dial-data-request" => Described::V2(V2::DialDataRequest {
            addr_idx: index(&vector["index"]),
            num_bytes: vector["bytes_wanted"].as_u64().unwrap(),
        }),
        "dial-data-response" => Described::V2(V2::DialDataResponse {
            data: hex(&vector["data"]),
        }),
        "dial-response" => Described::V2(V2::DialResponse {
            status: match vector["status"].as_u64().unwrap() {
                0 => ResponseStatus::InternalError,
                100 => ResponseStatus::RequestRejected,
                101 => ResponseStatus::DialRefused,
                200 => ResponseStatus::Ok,
                other => panic!("no status: {other}"),
            },
            addr_idx: index(&vector["index"]),
            dial_status: match vector["dial_status"].as_u64().unwrap() {
                0 => DialStatus::Unused,
                100 => DialStatus::DialError,
                101 => DialStatus::DialBackError,
                200 => DialStatus::Ok,
                other => panic!("no status: {other}"),
            },
        }),
        "dial-back" => Described::Back(DialBack {
            nonce: nonce(&vector["nonce"]),
        }),
        other => panic!("no type: {other}"),
    }
}

// covers: AN-002, AN-036, AN-037, AN-038, AN-044
#[test]
fn every_vector_is_read_and_written_as_it_stands() {
    for vector in vectors()["messages"].as_array().unwrap() {
        let (bytes, wanted) = (hex(&vector["bytes"]), described(vector));
        let (read, written) = match &wanted {
            Described::V1(message) => (V1::decode(&bytes, 16).map(Described::V1), message.encode()),
            Described::V2(message) => (V2::decode(&bytes, 50).map(Described::V2), message.encode()),
            Described::Back(message) => (DialBack::decode(&bytes).map(Described::Back), message.encode()),
        };
        assert_eq!(read, Ok(wanted), "{}", vector["name"]);
        assert_eq!(written, bytes, "{}", vector["name"]);
    }
    // With their prefix of one byte: what rust-libp2p reads of a dial back, and the answer to it.
    assert_eq!(DialBack { nonce: u64::MAX }.encode().len() + 1, 10);
    assert_eq!(DialBack { nonce: 0 }.encode().len() + 1, 10);
}

// covers: AN-039
#[test]
fn the_answer_to_a_dial_back_is_an_empty_message() {
    assert_eq!(DIAL_BACK_OK, b"");
}

// covers: AN-040
#[test]
fn what_is_no_message_is_refused() {
    for vector in vectors()["refused"].as_array().unwrap() {
        let bytes = hex(&vector["bytes"]);
        let refused = if vector["version"] == 1 {
            V1::decode(&bytes, 16).is_err()
        } else {
            V2::decode(&bytes, 50).is_err()
        };
        assert!(refused, "{}", vector["name"]);
    }
    for vector in vectors()["also_read"].as_array().unwrap() {
        let V2::DialResponse {
            addr_idx,
            dial_status,
            ..
        } = V2::decode(&hex(&vector["bytes"]), 50).unwrap()
        else {
            panic!("{}", vector["name"])
        };
        assert_eq!((addr_idx, dial_status), (index(&vector["index"]), DialStatus::Ok));
    }
}

// covers: AN-110
#[test]
fn no_vector_that_is_cut_is_taken_for_another_message_of_that_length() {
    for vector in vectors()["messages"].as_array().unwrap() {
        let whole = hex(&vector["bytes"]);
        for end in 0..whole.len() {
            let part = whole.slice(..end);
            let (v1, v2, back) = (
                V1::decode(&part, 16),
                V2::decode(&part, 50),
                DialBack::decode(&part),
            );
            for written in [
                v1.map(|m| m.encode()),
                v2.map(|m| m.encode()),
                back.map(DialBack::encode),
            ] {
                assert!(written.is_err() || written.is_ok_and(|written| written != *whole));
            }
        }
    }
}

#[test]
fn unknown_fields_are_skipped_and_of_a_long_list_the_first_addresses_are_kept() {
    let part = encode(|out| {
        out.bytes(1, b"a");
        out.varint(99, 1);
        out.bytes(1, b"b");
        out.fixed64(2, 5);
        out.bytes(1, b"c");
    });
    let message: Bytes = encode(|out| {
        out.varint(77, 1);
        out.bytes(1, &part);
    })
    .into();
    let addrs = vec![Bytes::from("a"), Bytes::from("b")];
    assert_eq!(V2::decode(&message, 2), Ok(V2::DialRequest { addrs, nonce: 5 }));
}

#[test]
fn words_of_a_server_that_are_no_text_do_not_spoil_its_answer() {
    let part = encode(|out| {
        out.varint(1, 100);
        out.bytes(2, &[0xff, 0xfe]);
    });
    let message = encode(|out| {
        out.varint(1, 1);
        out.bytes(3, &part);
    });
    let Ok(V1::Response { status, text, .. }) = V1::decode(&message, 0) else {
        panic!("refused")
    };
    assert_eq!(
        (status, text.as_deref()),
        (Status::DialError, Some("\u{fffd}\u{fffd}"))
    );
}

#[test]
fn data_is_not_copied() {
    let message = Bytes::from(vector("V-AN-7"));
    let Ok(V2::DialDataResponse { data }) = V2::decode(&message, 0) else {
        panic!("refused")
    };
    assert_eq!(data.as_ptr(), message[4..].as_ptr());
}

proptest! {
    // covers: AN-110
    #[test]
    fn whatever_is_read_is_written_and_read_as_the_same(message in proptest::collection::vec(any::<u8>(), 0..200)) {
        let message = Bytes::from(message);
        if let Ok(read) = V1::decode(&message, 16) {
            prop_assert_eq!(V1::decode(&read.encode(), 16), Ok(read));
        }
        if let Ok(read) = V2::decode(&message, 50) {
            prop_assert_eq!(V2::decode(&read.encode().into(), 50), Ok(read));
        }
        if let Ok(read) = DialBack::decode(&message) {
            prop_assert_eq!(DialBack::decode(&read.encode()), Ok(read));
        }
    }

    #[test]
    fn every_question_comes_back(addrs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..50), nonce: u64) {
        let addrs: Vec<Bytes> = addrs.into_iter().map(Bytes::from).collect();
        let question = V2::DialRequest { addrs: addrs.clone(), nonce };
        prop_assert_eq!(V2::decode(&question.encode().into(), 50), Ok(question));
        let question = V1::Dial { peer: None, addrs };
        prop_assert_eq!(V1::decode(&question.encode(), 50), Ok(question));
    }
}
