//! Places, distances, and messages: the vectors, limits, and what is left out alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use allocation_counter::measure;
use bytes::Bytes;
use libp2p_proto_core::{
    Multiaddr, PeerId,
    protobuf::{Writer, encode},
};
use libp2p_proto_kad::{Contact, Key, Malformed, Message, MessageType};
use proptest::prelude::*;
use serde_json::Value;
use std::fs;
use support::{contact, hex, peer, unhex};

const MAX: usize = 4 << 20;

fn vectors(file: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/vectors/kad/");
    serde_json::from_str(&fs::read_to_string(format!("{folder}{file}")).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn decode(data: &[u8]) -> Result<Message, Malformed> {
    Message::decode(data, MAX, 40)
}

fn contacts(value: &Value) -> Vec<Contact> {
    let list = value.as_array().cloned().unwrap_or_default();
    let contact = |entry: &Value| Contact {
        peer: PeerId::from_bytes(&unhex(text(&entry[0]))).unwrap(),
        addrs: entry[1]
            .as_array()
            .unwrap()
            .iter()
            .map(|addr| text(addr).parse().unwrap())
            .collect(),
    };
    list.iter().map(contact).collect()
}

// covers: KAD-001, KAD-002, KAD-003, KAD-005, KAD-006, KAD-007
#[test]
fn places_and_distances_are_those_of_the_vectors() {
    let all = vectors("keys.json");
    for vector in all["keys"].as_array().unwrap() {
        let key = unhex(text(&vector["key"]));
        assert_eq!(
            hex(Key::of(&key).as_bytes()),
            text(&vector["place"]),
            "{}",
            vector["name"]
        );
        assert_eq!(Key::of(&key).common_prefix(&Key::of(&key)), 256);
    }
    for vector in all["distances"].as_array().unwrap() {
        let [a, b] = ["a", "b"].map(|name| Key::of(&unhex(text(&vector[name]))));
        assert_eq!(hex(a.distance(&b).as_bytes()), text(&vector["distance"]));
        assert_eq!(u64::from(a.common_prefix(&b)), vector["prefix"].as_u64().unwrap());
    }
    let id = unhex(text(&all["keys"][3]["key"]));
    assert_ne!(Key::of(&id[2..]), Key::of(&id));
}

// covers: KAD-016, KAD-017, KAD-018, KAD-019, KAD-021, KAD-033, KAD-211
#[test]
fn messages_are_those_of_the_vectors() {
    for vector in vectors("messages.json").as_array().unwrap() {
        let (bytes, name) = (unhex(text(&vector["hex"])), &vector["name"]);
        if vector["error"] == true {
            assert!(decode(&bytes).is_err(), "{name}");
            continue;
        }
        let message = decode(&bytes).unwrap();
        assert_eq!(format!("{:?}", message.kind), text(&vector["kind"]), "{name}");
        assert_eq!(hex(&message.key), text(&vector["key"]), "{name}");
        assert_eq!(message.closer, contacts(&vector["closer"]), "{name}");
        assert_eq!(message.providers, contacts(&vector["providers"]), "{name}");
        let wanted = &vector["record"];
        assert_eq!(message.record.is_some(), wanted.is_object(), "{name}");
        if let Some(record) = &message.record {
            assert_eq!(hex(&record.key), text(&wanted["key"]), "{name}");
            assert_eq!(hex(&record.value), text(&wanted["value"]), "{name}");
            assert_eq!(record.received.as_deref(), wanted["received"].as_str(), "{name}");
            let publisher = record.publisher.map(|id| hex(id.as_bytes()));
            assert_eq!(publisher.as_deref(), wanted["publisher"].as_str(), "{name}");
            assert_eq!(
                u64::from(record.ttl),
                wanted["ttl"].as_u64().unwrap_or(0),
                "{name}"
            );
        }
        if vector["encodes"] == true {
            assert_eq!(hex(&message.encode()), text(&vector["hex"]), "{name}");
        }
    }
}

// covers: KAD-209
#[test]
fn no_cut_of_a_vector_panics_or_becomes_another_whole_message_of_the_same_peers() {
    for vector in vectors("messages.json").as_array().unwrap() {
        let bytes = unhex(text(&vector["hex"]));
        for end in 0..bytes.len() {
            if let Ok(message) = decode(&bytes[..end]) {
                assert!(message.closer.len() + message.providers.len() <= 2);
            }
        }
    }
}

// covers: KAD-017
#[test]
fn unknown_fields_and_another_order_change_nothing_and_the_last_value_counts() {
    let known = decode(&unhex(
        "080412260024080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
    ))
    .unwrap();
    let id = unhex("0024080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394");
    let strange = encode(|message| {
        message.varint(10, 77);
        message.varint(99, 1);
        message.bytes(99, b"x");
        message.bytes(2, b"not this one");
        message.bytes(2, &id);
        message.varint(1, 1);
        message.varint(1, 4);
    });
    let fixed = [&unhex("9906")[..], &[0; 8], &unhex("9d06"), &[0; 4]].concat();
    assert_eq!(decode(&[fixed, strange].concat()).unwrap(), known);
}

fn entry(id: &[u8], addrs: &[&[u8]], connection: u64) -> Vec<u8> {
    encode(|entry| {
        entry.bytes(1, id);
        for addr in addrs {
            entry.bytes(2, addr);
        }
        entry.varint(3, connection);
    })
}

fn reply(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.varint(1, 4);
    for entry in entries {
        writer.bytes(8, entry);
    }
    out
}

// covers: KAD-022, KAD-023, KAD-024, KAD-025, KAD-026
#[test]
fn a_bad_id_and_a_bad_address_are_left_out_alone_and_a_connection_claim_means_nothing() {
    let good: Multiaddr = "/ip4/198.51.100.7/tcp/4002".parse().unwrap();
    let own = good.with_peer_id(peer(1)).unwrap();
    let others = good.with_peer_id(peer(2)).unwrap();
    let data = reply(&[
        entry(b"\xff", &[good.as_bytes()], 1),
        entry(
            peer(1).as_bytes(),
            &[&[0xff; 8], own.as_bytes(), others.as_bytes()],
            9,
        ),
        entry(&[], &[], 0),
    ]);
    let wanted = Contact {
        peer: peer(1),
        addrs: vec![good],
    };
    assert_eq!(decode(&data).unwrap().closer, [wanted]);
    let claim = |connection| decode(&reply(&[entry(peer(1).as_bytes(), &[], connection)])).unwrap();
    assert_eq!(claim(0), claim(1));
    assert_eq!(claim(0), claim(u64::MAX));
}

#[test]
fn vul_118_one_bad_address_at_any_place_costs_that_address_only() {
    let good = support::addr(1);
    for bad in 0..20 {
        let entries: Vec<_> = (0..20)
            .map(|index| {
                let broken: &[u8] = if index == bad {
                    b"\x04\x01"
                } else {
                    good.as_bytes()
                };
                entry(peer(index).as_bytes(), &[broken, good.as_bytes()], 0)
            })
            .collect();
        let found = decode(&reply(&entries)).unwrap().closer;
        assert_eq!(found.len(), 20);
        for (index, contact) in found.iter().enumerate() {
            assert_eq!(contact.addrs.len(), if index == bad { 1 } else { 2 });
        }
    }
}

// covers: KAD-008
#[test]
fn a_peer_that_is_named_forty_times_counts_once() {
    let entries: Vec<_> = (0..40).map(|_| entry(peer(1).as_bytes(), &[], 0)).collect();
    assert_eq!(decode(&reply(&entries)).unwrap().closer.len(), 1);
}

// covers: KAD-027
#[test]
fn what_we_write_says_nothing_of_connections() {
    let mut message = Message::new(MessageType::FindNode, Bytes::new());
    message.closer = vec![contact(1)];
    let again = decode(&message.encode()).unwrap();
    assert_eq!(again, message);
    assert_eq!(message.encode(), reply_without_connection());
}

fn reply_without_connection() -> Vec<u8> {
    let entry = encode(|entry| {
        entry.bytes(1, peer(1).as_bytes());
        entry.bytes(2, support::addr(1).as_bytes());
    });
    reply(&[entry])
}

/// Addresses of 50 bytes.
fn long_addrs(count: usize) -> Vec<Multiaddr> {
    (0..count)
        .map(|index| format!("/dns4/{index:037}.example/tcp/4001").parse().unwrap())
        .collect()
}

// covers: KAD-028, KAD-030
#[test]
fn an_entry_is_bounded_when_written_and_when_read() {
    let mut message = Message::new(MessageType::FindNode, Bytes::new());
    message.closer = vec![Contact {
        peer: peer(1),
        addrs: long_addrs(500),
    }];
    let bytes = message.encode();
    assert!((8000..=8192 + 8).contains(&bytes.len()), "{}", bytes.len());
    let raw: Vec<_> = message.closer[0]
        .addrs
        .iter()
        .map(|addr| addr.as_bytes().to_vec())
        .collect();
    let raw: Vec<&[u8]> = raw.iter().map(Vec::as_slice).collect();
    let read = decode(&reply(&[entry(peer(1).as_bytes(), &raw, 0)])).unwrap();
    assert_eq!(read.closer[0].addrs, message.closer[0].addrs[..32]);
}

// covers: KAD-029, KAD-030
#[test]
fn of_a_reply_of_many_thousands_a_bounded_number_is_kept() {
    let mut message = Message::new(MessageType::GetProviders, Bytes::new());
    message.closer = (0..10_000).map(contact_of_thousands).collect();
    message.providers = (0..50_000).map(contact_of_thousands).collect();
    let bytes = message.encode();
    let mut read = None;
    let cost = measure(|| read = Some(decode(&bytes)));
    let read = read.unwrap().unwrap();
    assert_eq!((read.closer.len(), read.providers.len()), (40, 1000));
    assert!(cost.bytes_max < 400_000, "{} bytes", cost.bytes_max);
}

fn contact_of_thousands(index: usize) -> Contact {
    Contact {
        peer: peer(index),
        addrs: vec![support::addr(index % 1000)],
    }
}

// covers: KAD-012
#[test]
fn a_reply_of_a_hundred_thousand_bytes_is_read() {
    let mut message = Message::new(MessageType::FindNode, Bytes::new());
    message.closer = (0..20)
        .map(|index| Contact {
            peer: peer(index),
            addrs: long_addrs(100),
        })
        .collect();
    let bytes = message.encode();
    assert!(bytes.len() > 100_000);
    assert_eq!(Message::decode(&bytes, 256 * 1024, 40).unwrap().closer.len(), 20);
}

// covers: KAD-013
#[test]
fn a_large_reply_gives_up_addresses_before_peers() {
    let mut message = Message::new(MessageType::GetProviders, Bytes::from_static(b"key"));
    message.closer = (0..20)
        .map(|index| Contact {
            peer: peer(index),
            addrs: long_addrs(60),
        })
        .collect();
    let bytes = message.encode_within(16_384);
    assert!(bytes.len() <= 16_384);
    let read = decode(&bytes).unwrap();
    assert_eq!(read.closer.len(), 20);
    assert!(read.closer.iter().all(|contact| contact.addrs.len() == 8));
    // With too many providers, they go before closer peers.
    message.providers = (0..1000).map(contact_of_thousands).collect();
    let bytes = message.encode_within(16_384);
    assert!(bytes.len() <= 16_384);
    let read = decode(&bytes).unwrap();
    assert_eq!(read.closer.len(), 20);
    assert!(read.providers.len() > 50);
}

// covers: KAD-031
#[test]
fn a_time_that_is_no_time_is_only_text() {
    let data = encode(|message| {
        message.varint(1, 1);
        message.bytes(
            3,
            &encode(|record| {
                record.bytes(1, b"/x/k");
                record.bytes(2, b"v");
                record.string(5, "yesterday");
            }),
        );
    });
    let record = decode(&data).unwrap().record.unwrap();
    assert_eq!(record.received.as_deref(), Some("yesterday"));
    assert_eq!(&record.value[..], b"v");
}

#[test]
fn vul_121_empty_lists_are_lists() {
    for kind in 0..6 {
        let data = encode(|message| {
            message.varint(1, kind);
            message.bytes(2, b"");
            message.bytes(3, b"");
            message.bytes(8, b"");
            message.bytes(9, b"");
        });
        let message = decode(&data).unwrap();
        assert!(message.closer.is_empty() && message.providers.is_empty());
    }
}

/// One message of each kind, with everything in it that may be.
fn sample(which: usize) -> Message {
    use libp2p_proto_kad::{Contact, MessageType, Record};
    let kinds = [
        MessageType::PutValue,
        MessageType::GetValue,
        MessageType::AddProvider,
        MessageType::GetProviders,
        MessageType::FindNode,
        MessageType::Ping,
    ];
    let key = bytes::Bytes::from_static(b"/x/key");
    let mut message = Message::new(kinds[which], key.clone());
    let addrs = vec!["/ip4/198.51.100.7/tcp/4002".parse().unwrap(); 3];
    let contact = |number: u8| Contact {
        peer: libp2p_proto_core::PeerId::from_encoded_key(&[number; 36]),
        addrs: addrs.clone(),
    };
    message.closer = (0..20).map(contact).collect();
    message.providers = (30..40).map(contact).collect();
    message.record = Some(Record {
        key,
        value: bytes::Bytes::from_static(&[7; 300]),
        ..Record::default()
    });
    message
}

proptest! {
    // covers: KAD-210
    #[test]
    fn random_bytes_never_panic_and_what_is_read_is_written_back(data in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = decode(&data) {
            prop_assert_eq!(decode(&message.encode()).unwrap(), message);
        }
    }

    // covers: KAD-210
    #[test]
    fn a_changed_message_takes_no_more_memory_than_its_length_allows(
        which in 0_usize..6, cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        twice in any::<bool>(),
    ) {
        let mut data = sample(which).encode();
        if twice {
            data = data.repeat(8);
        }
        for (at, byte) in cuts {
            let at = at.index(data.len());
            data[at] = byte;
        }
        // A peer of two bytes takes some hundreds; nothing is worse.
        let spent = allocation_counter::measure(|| drop(decode(&data))).bytes_max;
        prop_assert!(spent <= 4096 + 256 * u64::try_from(data.len()).unwrap(), "{spent} bytes for {}", data.len());
    }

    #[test]
    fn vul_120_a_target_is_hashed_once(bytes in prop::collection::vec(any::<u8>(), 1..80)) {
        use sha2::{Digest, Sha256};
        let once: [u8; 32] = Sha256::digest(&bytes).into();
        prop_assert_eq!(*Key::of(&bytes).as_bytes(), once);
        prop_assert_eq!(Key::from_raw(once), Key::of(&bytes));
        prop_assert_ne!(Key::of(&once), Key::of(&bytes));
    }

    #[test]
    fn distance_is_a_metric(a in any::<[u8; 32]>(), b in any::<[u8; 32]>(), c in any::<[u8; 32]>()) {
        let [a, b, c] = [a, b, c].map(Key::from_raw);
        prop_assert_eq!(a.distance(&b), b.distance(&a));
        prop_assert!(a.common_prefix(&c) >= a.common_prefix(&b).min(b.common_prefix(&c)));
        prop_assert_eq!(a.common_prefix(&b) == 256, a == b);
    }
}
