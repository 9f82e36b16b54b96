//! Keys, envelopes and records: the listed vectors, Wycheproof, other implementations, and what attackers send.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]
#![cfg(all(feature = "secp256k1", feature = "ecdsa", feature = "rsa"))]

mod der;
mod encodings;
mod envelopes;
mod oracles;
mod private_keys;
mod public_keys;
mod records;
mod secrets;
mod signatures;
mod wycheproof_suites;

use data_encoding::HEXLOWER as HEX;
use libp2p_proto_core::Rng;
use libp2p_proto_identity::{Error, Identity, KeyType, Keypair};
use serde_json::Value;
use std::fmt::Debug;

/// The types that make their keys from the caller's dice.
const CURVES: [KeyType; 3] = [KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa];

fn hex(text: &str) -> Vec<u8> {
    HEX.decode(text.as_bytes()).unwrap()
}

/// The rows of one file. The vectors are not part of the packaged crate, where there is nothing to run.
fn rows(file: &str, at_least: usize) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/vectors/identity/");
    if !std::path::Path::new(folder).is_dir() {
        eprintln!("skipped: {folder} does not exist, the vectors are not part of the package");
        return Vec::new();
    }
    let text = std::fs::read_to_string(format!("{folder}{file}")).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(rows.len() >= at_least, "{file} has only {} rows", rows.len());
    rows
}

/// The variant of a refusal, without its numbers.
fn variant<T: Debug>(refused: Result<T, Error>) -> String {
    let shown = format!("{:?}", refused.unwrap_err());
    let name = shown.split(|c: char| !c.is_ascii_alphanumeric()).next();
    name.unwrap().to_owned()
}

fn text_of<'v>(row: &'v Value, key: &str) -> &'v str {
    row[key].as_str().unwrap_or_else(|| panic!("{row} has no {key}"))
}

fn bytes_of(row: &Value, key: &str) -> Vec<u8> {
    hex(text_of(row, key))
}

fn signatures_of(row: &Value) -> Vec<Vec<u8>> {
    let texts = row["signatures"].as_array().unwrap().iter();
    texts.map(|text| hex(text.as_str().unwrap())).collect()
}

fn keypair(key_type: KeyType, seed: u8) -> Keypair {
    Keypair::generate(key_type, &mut Rng::from_seed([seed; 32])).unwrap()
}

fn identity(seed: u8) -> Identity {
    Identity::from(Keypair::ed25519_from_seed([seed; 32]))
}

/// The key of the specification that most vectors are signed with.
fn listed_identity() -> Option<Identity> {
    let rows = rows("keys.json", 4);
    let row = rows.iter().find(|row| text_of(row, "name") == "Ed25519")?;
    Some(Identity::from(
        Keypair::decode_protobuf(&bytes_of(row, "private")).unwrap(),
    ))
}
