//! The JSON vectors: whole handshakes byte for byte in both roles, and what must be refused. A script that knows nothing of this crate made them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{ProtocolName, Side};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_noise::{Config, Finished, Handshake, Provider};
use serde_json::Value;
use std::{fs, sync::Arc};
use support::{hex, open, providers, seal, take, unhex};

fn vectors(file: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/vectors/noise");
    let text = fs::read_to_string(format!("{folder}/{file}")).unwrap();
    serde_json::from_str::<Vec<Value>>(&text).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    unhex(value.as_str().unwrap())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// One end of a session vector.
fn party(vector: &Value, side: Side, provider: Box<dyn Provider>) -> (Arc<Config>, Handshake) {
    let party = &vector[if side.is_dialer() { "dialer" } else { "listener" }];
    let identity = Identity::from(Keypair::decode_protobuf(&bytes(&party["key"])).unwrap());
    let muxers = list(&party["muxers"]).iter();
    let muxers = muxers.map(|name| ProtocolName::new(name.as_str().unwrap()).unwrap());
    let secret = bytes(&party["static"]).try_into().unwrap();
    let config = Config::with_static_key(&identity, secret, provider).unwrap();
    let config = config.with_muxers(muxers.collect()).unwrap();
    let config = Arc::new(config.with_prologue(bytes(&vector["prologue"])));
    let ephemeral = bytes(&party["ephemeral"]).try_into().unwrap();
    let handshake = Handshake::with_ephemeral(config.clone(), side, None, ephemeral);
    (config, handshake)
}

/// Says our messages and hears theirs, all of them listed.
fn play(vector: &Value, side: Side, provider: Box<dyn Provider>) -> Finished {
    let name = &vector["name"];
    let (_, mut ours) = party(vector, side, provider);
    for (turn, message) in list(&vector["messages"]).iter().enumerate() {
        let is_ours = (turn % 2 == 0) == side.is_dialer();
        if is_ours {
            assert_eq!(hex(&take(&mut ours)), message.as_str().unwrap(), "{name}");
        } else {
            support::give(&mut ours, &bytes(message)).unwrap();
        }
    }
    ours.finish().unwrap()
}

#[test]
fn every_session_is_said_and_heard_byte_for_byte_with_every_provider() {
    for vector in vectors("sessions.json") {
        for side in [Side::Dialer, Side::Listener] {
            for provider in providers() {
                let name = format!("{} as {side:?} with {provider:?}", vector["name"]);
                let mut ours = play(&vector, side, provider);
                assert_eq!(hex(&ours.handshake_hash), vector["handshake_hash"], "{name}");
                assert_eq!(
                    ours.muxer.map(|name| name.as_str().to_owned()).as_deref(),
                    vector["muxer"].as_str(),
                    "{name}"
                );
                let other = &vector[if side.is_dialer() { "listener" } else { "dialer" }];
                let other = Keypair::decode_protobuf(&bytes(&other["key"])).unwrap();
                assert_eq!(
                    (ours.peer, &ours.public_key),
                    (other.public().peer_id(), other.public())
                );
                let (there, back) = if side.is_dialer() {
                    ("there", "back")
                } else {
                    ("back", "there")
                };
                // An empty frame is heard and never said, so what follows it can't be said either.
                for frame in list(&vector[there]).iter().take_while(|frame| frame[0] != "") {
                    assert_eq!(
                        hex(&seal(&mut ours.sealer, &bytes(&frame[0]))),
                        frame[1],
                        "{name}"
                    );
                }
                for frame in list(&vector[back]) {
                    let wire = bytes(&frame[1]);
                    let opened = open(&mut ours.opener, &wire).unwrap();
                    assert_eq!(opened, Some((wire.len(), bytes(&frame[0]))), "{name}");
                }
            }
        }
    }
}

#[test]
fn the_listed_keys_are_those_of_the_transport_first_the_one_from_dialer_to_listener() {
    for vector in vectors("sessions.json") {
        let (config, _) = party(&vector, Side::Dialer, providers().remove(0));
        let [there, back] = [0, 1].map(|at| bytes(&vector["keys"][at]).try_into().unwrap());
        let (mut sealer, mut opener) = config.transport(&there, &back).unwrap();
        let frame = &vector["there"][0];
        assert_eq!(hex(&seal(&mut sealer, &bytes(&frame[0]))), frame[1]);
        let frame = &vector["back"][0];
        let opened = open(&mut opener, &bytes(&frame[1])).unwrap().unwrap();
        assert_eq!(opened.1, bytes(&frame[0]));
    }
}

/// Plays the steps of a hostile vector; the input comes in pieces of this size.
fn play_steps(vector: &Value, template: &Value, piece: usize, provider: Box<dyn Provider>) {
    let name = format!("{} to a {} with {provider:?}", vector["name"], vector["side"]);
    let side = if vector["side"] == "dialer" {
        Side::Dialer
    } else {
        Side::Listener
    };
    let (_, mut ours) = party(template, side, provider);
    let mut waiting = Vec::new();
    let mut result = Ok(0);
    for step in list(&vector["steps"]) {
        if let Some(output) = step["output"].as_str() {
            assert_eq!(hex(&take(&mut ours)), output, "{name}");
        } else if step["input"].is_string() {
            for part in bytes(&step["input"]).chunks(piece) {
                waiting.extend_from_slice(part);
                result = ours.handle_input(&mut waiting);
                if let Ok(taken) = result {
                    waiting.drain(..taken);
                }
            }
        } else if let Some(code) = step["error"].as_str() {
            assert_eq!(result.as_ref().unwrap_err().code(), code, "{name}");
            assert!(take(&mut ours).is_empty());
            return;
        } else {
            take(&mut ours);
            let finished = ours.finish().unwrap();
            let muxer = finished.muxer.map(|name| name.as_str().to_owned());
            assert_eq!(muxer.as_deref(), step["finished"].as_str(), "{name}");
            return;
        }
    }
    panic!("{name} ends without a verdict");
}

#[test]
fn every_hostile_session_ends_as_listed_with_every_provider_whole_and_in_pieces() {
    let sessions = vectors("sessions.json");
    let template = sessions
        .iter()
        .find(|vector| vector["name"] == "LIBP2P-XX-MUX")
        .unwrap();
    for vector in vectors("hostile.json") {
        for provider in providers() {
            play_steps(&vector, template, usize::MAX, provider);
        }
        play_steps(&vector, template, 1, providers().remove(0));
    }
}
