//! The JSON vectors: what is said and heard, byte for byte, whole and in pieces.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use data_encoding::HEXLOWER;
use libp2p_proto_core::ProtocolName;
use libp2p_proto_multistream_select::{Error, Negotiation, Outcome};
use serde_json::Value;
use std::fs;
use support::take;

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// Hands in what waits, in pieces of this size; what was not taken stays.
fn feed(
    machine: &mut Negotiation,
    waiting: &mut Vec<u8>,
    piece: usize,
    names: &&[ProtocolName],
) -> Result<(), Error> {
    let input = std::mem::take(waiting);
    for part in input.chunks(piece) {
        waiting.extend_from_slice(part);
        let taken = machine.handle_input(waiting, names)?;
        waiting.drain(..taken);
    }
    Ok(())
}

fn play(vector: &Value, piece: usize) {
    let name = format!("{} ({}), {piece} at a time", vector["name"], vector["side"]);
    let names = vector["names"].as_array().unwrap().iter();
    let names: Vec<_> = names
        .map(|name| ProtocolName::new(name.as_str().unwrap()).unwrap())
        .collect();
    let names = &names[..];
    let mut machine = match vector["side"].as_str().unwrap() {
        "dialer" => Negotiation::dialer(),
        _ => Negotiation::listener(),
    };
    let mut waiting = Vec::new();
    let mut result = Ok(());
    for step in vector["steps"].as_array().unwrap() {
        if step["output"].is_string() {
            assert_eq!(
                HEXLOWER.encode(&take(&mut machine, &names)),
                step["output"],
                "{name}"
            );
        } else if step["input"].is_string() {
            waiting.extend(bytes(&step["input"]));
            result = feed(&mut machine, &mut waiting, piece, &names);
        } else if step["end"].is_boolean() {
            result = machine.handle_eof();
        } else if let Some(code) = step["error"].as_str() {
            assert_eq!(result.unwrap_err().code(), code, "{name}");
            assert!(
                take(&mut machine, &names).is_empty() && machine.is_drained(),
                "{name}"
            );
        } else if let Some(agreed) = step["agreed"].as_str() {
            let place = names.iter().position(|name| name.as_str() == agreed).unwrap();
            assert_eq!(
                (result, machine.outcome()),
                (Ok(()), Outcome::Agreed(place)),
                "{name}"
            );
            assert_eq!(HEXLOWER.encode(&waiting), step["rest"], "{name}");
            assert!(
                take(&mut machine, &names).is_empty() && machine.is_drained(),
                "{name}"
            );
        } else {
            assert_eq!((result, machine.outcome()), (Ok(()), Outcome::Refused), "{name}");
            assert!(machine.is_drained(), "{name}");
        }
    }
}

// covers: MSS-005, MSS-047, MSS-048
#[test]
fn every_listed_session_is_said_and_heard_byte_for_byte_in_any_pieces() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/vectors/multistream-select/sessions.json"
    );
    let vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert!(vectors.len() > 90);
    for vector in &vectors {
        for piece in [usize::MAX, 1, 2, 3, 7, 19, 20, 21, 37] {
            play(vector, piece);
        }
    }
}
