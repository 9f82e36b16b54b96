//! The vectors of `conformance/vectors/core`, each row run against the code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use data_encoding::HEXLOWER as HEX;
use libp2p_proto_core::{
    Multiaddr, PeerId, framing,
    protobuf::{Limits, ProtobufError, Reader, Value as Field, Writer},
    varint,
};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Debug};

/// The rows of one file. The vectors are not part of the packaged crate, where there is nothing to run.
fn rows(file: &str, at_least: usize) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/vectors/core/");
    if !std::path::Path::new(folder).is_dir() {
        eprintln!("skipped: {folder} does not exist, the vectors are not part of the package");
        return Vec::new();
    }
    let text = std::fs::read_to_string(format!("{folder}{file}")).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(rows.len() >= at_least, "{file} has only {} rows", rows.len());
    let names: BTreeSet<&str> = rows.iter().map(|row| text_of(row, "name")).collect();
    assert_eq!(names.len(), rows.len(), "{file}: two rows of one name");
    rows
}

fn text_of<'v>(row: &'v Value, key: &str) -> &'v str {
    row[key].as_str().unwrap_or_else(|| panic!("{row} has no {key}"))
}

fn hex(row: &Value, key: &str) -> Vec<u8> {
    HEX.decode(text_of(row, key).as_bytes()).unwrap()
}

/// The variant of an error, without its numbers.
fn variant(error: impl Debug) -> String {
    let shown = format!("{error:?}");
    shown
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap()
        .to_owned()
}

// covers: COR-001, COR-002, COR-003, COR-004, COR-005, COR-006
#[test]
fn varints_read_and_write_as_listed() {
    for row in rows("varints.json", 33) {
        let (name, wire) = (text_of(&row, "name"), hex(&row, "hex"));
        match varint::decode(&wire) {
            Ok(Some((value, len))) => {
                assert_eq!(value.to_string(), text_of(&row, "value"), "{name}");
                let mut again = Vec::new();
                varint::encode(value, &mut again);
                assert_eq!(again, wire[..len], "{name}");
                assert_eq!(varint::encoded_len(value), len, "{name}");
            }
            Ok(None) => assert_eq!(row["incomplete"], Value::Bool(true), "{name}"),
            Err(error) => assert_eq!(variant(error), text_of(&row, "error"), "{name}"),
        }
    }
}

// covers: COR-007, COR-009, COR-010, COR-011, COR-012, COR-013, COR-014
#[test]
fn frames_come_out_as_listed_in_two_chunks_and_byte_by_byte() {
    for row in rows("frames.json", 14) {
        let (name, input) = (text_of(&row, "name"), hex(&row, "input"));
        let max = usize::try_from(row["max"].as_u64().unwrap()).unwrap();
        let expected: Vec<&str> = row["frames"]
            .as_array()
            .unwrap()
            .iter()
            .map(|frame| frame.as_str().unwrap())
            .collect();
        let singles: Vec<&[u8]> = input.chunks(1).collect();
        let halves: Vec<&[u8]> = <[&[u8]; 2]>::from(input.split_at(input.len() / 2)).to_vec();
        for chunks in [vec![&input[..]], halves, singles] {
            let mut reader = framing::LengthDelimited::new(max);
            let mut frames = Vec::new();
            let mut error = None;
            'stream: for mut chunk in chunks {
                loop {
                    match reader.next_frame(&mut chunk) {
                        Ok(Some(frame)) => frames.push(HEX.encode(&frame)),
                        Ok(None) => break,
                        Err(found) => {
                            error = Some(found);
                            break 'stream;
                        }
                    }
                }
            }
            assert_eq!(frames, expected, "{name}");
            let end = match (error, reader.finish()) {
                (Some(error), finish) => {
                    assert_eq!(variant(error), text_of(&row, "error"), "{name}");
                    assert_eq!(finish, Err(error), "{name}: the end hides the error");
                    "error"
                }
                (None, Ok(())) => "clean",
                (None, Err(libp2p_proto_core::Error::UnexpectedEnd)) => "unexpected",
                (None, Err(other)) => panic!("{name}: {other}"),
            };
            assert_eq!(end, text_of(&row, "end"), "{name}");
        }
    }
}

// covers: COR-016, COR-017, COR-018
#[test]
fn protobuf_fields_are_read_or_refused_as_listed() {
    for row in rows("protobuf.json", 28) {
        let (name, message) = (text_of(&row, "name"), hex(&row, "hex"));
        let mut reader = Reader::new(&message, Limits::default());
        let mut fields = Vec::new();
        let result = loop {
            match reader.next_field() {
                Ok(Some(field)) => {
                    let (kind, value) = match field.value {
                        Field::Varint(value) => ("varint", value.to_string()),
                        Field::Fixed64(value) => ("fixed64", value.to_string()),
                        Field::Fixed32(value) => ("fixed32", value.to_string()),
                        Field::Bytes(value) => ("bytes", HEX.encode(value)),
                    };
                    fields.push(serde_json::json!({"number": field.number, "type": kind, "value": value}));
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        match result {
            Ok(()) => assert_eq!(Value::Array(fields), row["fields"], "{name}"),
            Err(error) => {
                assert_eq!(variant(error), text_of(&row, "error"), "{name}");
                assert_eq!(reader.next_field(), Err(error), "{name}: the error is not kept");
            }
        }
    }
}

// covers: COR-059, COR-060, COR-067, COR-069, COR-072, COR-073, COR-074, COR-075, COR-078, COR-079, COR-086, COR-087, COR-089
#[test]
fn every_listed_address_has_its_listed_bytes_in_both_directions() {
    for row in rows("multiaddr.json", 77) {
        let (text, binary) = (text_of(&row, "text"), hex(&row, "binary"));
        let parsed: Multiaddr = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(HEX.encode(parsed.as_bytes()), text_of(&row, "binary"), "{text}");
        let read = Multiaddr::from_bytes(binary.clone()).unwrap();
        assert_eq!(read, parsed, "{text}");
        assert_eq!(read.as_bytes(), binary, "{text}: not kept as it was received");
        assert_eq!(read.to_string(), row["prints"].as_str().unwrap_or(text), "{text}");
        assert_eq!(read.to_string().parse::<Multiaddr>().unwrap(), parsed, "{text}");
        assert_eq!(
            Multiaddr::from_components(read.components()).unwrap(),
            read,
            "{text}"
        );
    }
}

// covers: COR-070, COR-071, COR-074, COR-076, COR-077, COR-078, COR-080, COR-082, COR-083, COR-084, COR-085, COR-086
#[test]
fn every_listed_text_that_must_be_refused_is_refused() {
    for row in rows("multiaddr-refused.json", 83) {
        let text = text_of(&row, "text");
        assert!(text.parse::<Multiaddr>().is_err(), "{text}");
    }
}

// covers: COR-061, COR-062, COR-063, COR-064, COR-065, COR-066, COR-068, COR-084, COR-085
#[test]
fn every_listed_binary_that_must_be_refused_is_refused_for_its_reason() {
    for row in rows("multiaddr-binary-refused.json", 64) {
        let name = text_of(&row, "name");
        let error = Multiaddr::from_bytes(hex(&row, "binary")).expect_err(name);
        assert_eq!(variant(error), text_of(&row, "error"), "{name}");
    }
}

// covers: COR-048, COR-051, COR-052, COR-054, COR-055, COR-078
#[test]
fn the_text_forms_of_an_id_are_one_id() {
    for row in rows("peer-ids.json", 8) {
        let id = PeerId::from_bytes(&hex(&row, "multihash")).unwrap();
        let mut set = BTreeSet::new();
        for form in ["base58", "base32", "base36", "multibase58", "base16"] {
            let text = text_of(&row, form);
            set.insert(text.parse::<PeerId>().unwrap());
            let addr: Multiaddr = format!("/p2p/{text}").parse().unwrap();
            assert_eq!(addr.peer_id(), Some(id));
            assert_eq!(addr.to_string(), format!("/p2p/{id}"));
        }
        assert_eq!(set, BTreeSet::from([id]));
        assert_eq!(id.to_string(), text_of(&row, "base58"));
        assert_eq!(id.to_cid(), text_of(&row, "base32"));
    }
}

// covers: COR-049, COR-053, COR-054, COR-057, COR-058
#[test]
fn ids_that_are_none_are_refused() {
    for row in rows("peer-ids-refused.json", 45) {
        let name = text_of(&row, "name");
        match row["text"].as_str() {
            Some(text) => assert!(text.parse::<PeerId>().is_err(), "{name:.60}"),
            None => assert!(PeerId::from_bytes(&hex(&row, "hex")).is_err(), "{name}"),
        }
    }
}

// covers: COR-021
#[test]
fn the_writer_reproduces_the_listed_records_byte_for_byte() -> Result<(), ProtobufError> {
    // The record payload and the relay voucher payload of the list, written field by field.
    let peer: PeerId = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
        .parse()
        .unwrap();
    let client: PeerId = "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY"
        .parse()
        .unwrap();
    let mut record = Vec::new();
    let mut writer = Writer::new(&mut record);
    writer.bytes(1, peer.as_bytes());
    writer.varint(2, 1);
    for addr in ["/ip4/192.0.2.42/tcp/4321", "/ip4/198.51.100.7/udp/4242/quic-v1"] {
        let mut entry = Vec::new();
        Writer::new(&mut entry).bytes(1, addr.parse::<Multiaddr>().unwrap().as_bytes());
        writer.bytes(3, &entry);
    }
    assert_eq!(
        HEX.encode(&record),
        "0a260024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e10011a0a0a0804c000022a0610e11a0d0a0b04c633640791021092cd03"
    );
    let mut voucher = Vec::new();
    let mut writer = Writer::new(&mut voucher);
    writer.bytes(1, peer.as_bytes());
    writer.bytes(2, client.as_bytes());
    writer.varint(3, 1_700_000_000);
    assert_eq!(
        HEX.encode(&voucher),
        "0a260024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e1227002508021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca991880e2cfaa06"
    );
    // What was written reads back, the nested addresses through a reader one level deeper.
    let mut reader = Reader::new(&record, Limits::default());
    let mut addrs = Vec::new();
    while let Some(field) = reader.next_field()? {
        if field.number == 3 {
            let mut entry = reader.nested(field.value.to_bytes()?)?;
            while let Some(field) = entry.next_field()? {
                addrs.push(
                    Multiaddr::from_bytes(field.value.to_bytes()?.to_vec())
                        .unwrap()
                        .to_string(),
                );
            }
        }
    }
    assert_eq!(
        addrs,
        ["/ip4/192.0.2.42/tcp/4321", "/ip4/198.51.100.7/udp/4242/quic-v1"]
    );
    Ok(())
}
