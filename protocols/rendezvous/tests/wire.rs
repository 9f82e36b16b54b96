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
use libp2p_proto_core::protobuf::encode;
use libp2p_proto_identity::{Dialect, PeerRecord};
use libp2p_proto_rendezvous::{Malformed, Message, Registration, Status};
use proptest::prelude::*;
use serde_json::Value;
use support::{addr, identity, record, registration, unhex, vector, vectors};

fn status(value: &Value) -> Status {
    match value.as_u64().unwrap() {
        0 => Status::Ok,
        100 => Status::InvalidNamespace,
        101 => Status::InvalidSignedPeerRecord,
        102 => Status::InvalidTtl,
        103 => Status::InvalidCookie,
        200 => Status::NotAuthorized,
        300 => Status::InternalError,
        400 => Status::Unavailable,
        other => panic!("no status: {other}"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The message that a vector describes.
fn described(vector: &Value) -> Message {
    match text(&vector["type"]) {
        "register" => {
            let record = self::vector(text(&vector["envelope"])).into();
            let namespace = text(&vector["namespace"]);
            Message::Register(registration(namespace, record, vector["ttl"].as_u64()))
        }
        "register-response" => Message::RegisterResponse {
            status: status(&vector["status"]),
            ttl: vector["ttl"].as_u64(),
        },
        "unregister" => Message::Unregister {
            namespace: text(&vector["namespace"]).into(),
        },
        "discover" => Message::Discover {
            namespace: text(&vector["namespace"]).into(),
            limit: vector["limit"].as_u64(),
            cookie: unhex(text(&vector["cookie"])).into(),
        },
        "discover-response" => Message::DiscoverResponse {
            status: status(&vector["status"]),
            registrations: (0..vector["registrations"].as_u64().unwrap())
                .map(|_| registration("test", self::vector("V-RDV-1").into(), Some(7200)))
                .collect(),
            cookie: unhex(text(&vector["cookie"])).into(),
        },
        other => panic!("no type: {other}"),
    }
}

// covers: RDV-002
#[test]
fn every_vector_is_read_and_written_as_it_stands() {
    for vector in vectors()["messages"].as_array().unwrap() {
        let (bytes, message) = (unhex(text(&vector["bytes"])), described(vector));
        assert_eq!(
            Message::decode(&bytes, 1000),
            Ok(message.clone()),
            "{}",
            vector["name"]
        );
        assert_eq!(message.encode(), bytes, "{}", vector["name"]);
    }
}

#[test]
fn records_are_signed_in_both_dialects_as_the_vectors_say() {
    let keys = libp2p_proto_identity::Keypair::ed25519_from_seed([1; 32]);
    let identity = libp2p_proto_identity::Identity::from(keys);
    let addr = "/ip4/203.0.113.5/tcp/4001".parse().unwrap();
    let record = PeerRecord::new(identity.peer_id(), 1_700_000_000, vec![addr]);
    for (name, dialect) in [("V-RDV-1", Dialect::Deployed), ("V-RDV-1b", Dialect::Rfc)] {
        assert_eq!(record.seal_as(dialect, &identity).unwrap(), vector(name));
        assert_eq!(PeerRecord::open(&vector(name)), Ok(record.clone()));
    }
}

// covers: RDV-004
#[test]
fn unknown_fields_and_the_removed_id_are_skipped() {
    let part = encode(|out| {
        out.string(1, "test");
        out.bytes(2, b"an id as it once was");
        out.varint(99, 1);
    });
    let message = encode(|out| {
        out.varint(1, 2);
        out.bytes(77, b"unknown");
        out.bytes(4, &part);
    });
    let namespace = "test".into();
    assert_eq!(
        Message::decode(&message, 0),
        Ok(Message::Unregister { namespace })
    );
}

// covers: RDV-003
#[test]
fn a_message_without_the_part_of_its_type_is_none() {
    for kind in 0..5 {
        let lone = encode(|out| out.varint(1, kind));
        assert_eq!(Message::decode(&lone, 9), Err(Malformed::MissingPart));
        let other = encode(|out| {
            out.varint(1, kind);
            out.bytes(2 + u32::try_from((kind + 1) % 5).unwrap(), b"");
        });
        assert_eq!(Message::decode(&other, 9), Err(Malformed::MissingPart));
    }
    let untyped = encode(|out| out.bytes(5, b""));
    assert_eq!(Message::decode(&untyped, 9), Err(Malformed::MissingType));
    let unknown = encode(|out| out.varint(1, 5));
    assert_eq!(Message::decode(&unknown, 9), Err(Malformed::UnknownType(5)));
    for (kind, field) in [(1, 3), (4, 6)] {
        let silent = encode(|out| {
            out.varint(1, kind);
            out.bytes(field, b"");
        });
        assert_eq!(Message::decode(&silent, 9), Err(Malformed::MissingStatus));
    }
}

// covers: RDV-008
#[test]
fn a_namespace_that_is_no_text_is_no_message() {
    for (kind, field) in [(0, 2), (2, 4), (3, 5)] {
        let part = encode(|out| out.bytes(1, b"\xff"));
        let message = encode(|out| {
            out.varint(1, kind);
            out.bytes(field, &part);
        });
        assert!(matches!(
            Message::decode(&message, 9),
            Err(Malformed::Protobuf(_))
        ));
    }
}

#[test]
fn of_an_answer_only_so_many_registrations_are_kept() {
    let one = registration("test", record(1, 1, &[addr(1)]), Some(7200));
    let answer = Message::DiscoverResponse {
        status: Status::Ok,
        registrations: vec![one; 20],
        cookie: Bytes::new(),
    };
    let Ok(Message::DiscoverResponse { registrations, .. }) = Message::decode(&answer.encode(), 7) else {
        panic!("not read");
    };
    assert_eq!(registrations.len(), 7);
}

// covers: RDV-063
#[test]
fn what_is_cut_at_any_byte_is_read_or_refused() {
    for vector in vectors()["messages"].as_array().unwrap() {
        let bytes = unhex(text(&vector["bytes"]));
        for end in 0..bytes.len() {
            if let Ok(message) = Message::decode(&bytes[..end], 1000) {
                // Protobuf has no end mark: what is left is a shorter message of the same kind.
                assert_ne!(message.encode(), bytes);
            }
        }
    }
    assert!(
        PeerRecord::open(&record(1, 1, &[addr(1)]))
            .is_ok_and(|record| { record.peer_id() == identity(1).peer_id() })
    );
}

fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![
        Just(Status::Ok),
        Just(Status::InvalidCookie),
        Just(Status::Unavailable),
        Just(Status::Unknown(77)),
    ]
}

fn any_registration() -> impl Strategy<Value = Registration> {
    (
        ".{0,40}",
        proptest::collection::vec(any::<u8>(), 0..80),
        any::<Option<u64>>(),
    )
        .prop_map(|(namespace, record, ttl)| registration(&namespace, record.into(), ttl))
}

fn any_message() -> impl Strategy<Value = Message> {
    let cookie = || proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    prop_oneof![
        any_registration().prop_map(Message::Register),
        (any_status(), any::<Option<u64>>())
            .prop_map(|(status, ttl)| Message::RegisterResponse { status, ttl }),
        ".{0,40}".prop_map(|namespace| Message::Unregister {
            namespace: namespace.as_str().into()
        }),
        (".{0,40}", any::<Option<u64>>(), cookie()).prop_map(|(namespace, limit, cookie)| {
            Message::Discover {
                namespace: namespace.as_str().into(),
                limit,
                cookie,
            }
        }),
        (
            any_status(),
            proptest::collection::vec(any_registration(), 0..5),
            cookie()
        )
            .prop_map(|(status, registrations, cookie)| Message::DiscoverResponse {
                status,
                registrations,
                cookie
            }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(message in any_message()) {
        prop_assert_eq!(Message::decode(&message.encode(), 1000), Ok(message));
    }

    // covers: RDV-063
    #[test]
    fn no_bytes_make_it_panic(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(message) = Message::decode(&data, 1000) {
            prop_assert_eq!(Message::decode(&message.encode(), 1000), Ok(message));
        }
    }
}
