//! Kademlia in both roles, and its formats.

use crate::{budget, scene};
use libp2p_proto_core::{ProtocolName, UnixTime};
use libp2p_proto_kad::{AnyValue, Config, Kad, Message, Mode, Validator, Validators, ipns::Ipns};

/// The network of the fuzzer.
const NAME: ProtocolName = ProtocolName::from_static("/fuzz/kad/1");
/// What a message may cost for each byte of it: an entry of a list for every few bytes.
const FACTOR: usize = 64;

/// Runs one input as a message and as a record.
///
/// # Panics
///
/// If what was read is not written back, or costs too much.
pub fn run_message(data: &[u8]) {
    budget::memory("a message", 4096 + FACTOR * data.len(), || {
        if let Ok(message) = Message::decode(data, 1 << 20, 40) {
            let again = Message::decode(&message.encode(), 1 << 20, 40);
            assert_eq!(again, Ok(message.clone()));
            assert!(message.encode_within(1024).len() <= data.len().max(1024));
        }
        let key = b"/ipns/\x00\x24\x08\x01\x12\x20\x8a\x88\xe3\xdd\x74\x09\xf1\x95\xfd\x52\xdb\x2d\x3c\xba\x5d\x72\xca\x67\x09\xbf\x1d\x94\x12\x1b\xf3\x74\x88\x01\xb4\x0f\x6f\x5c";
        let _judged = Ipns.validate(UnixTime::from_secs(1_800_000_000), key, data);
        let _compared = Ipns.is_better(key, data, &data[..data.len() / 2]);
    });
}

/// Runs one input as the life of a node.
///
/// # Panics
///
/// If the machine does not keep its word.
pub fn run(data: &[u8]) {
    run_message(data);
    let config = || Config {
        mode: Mode::Server,
        bootstrap: Vec::new(),
        ..Config::private(NAME, Validators::public().with("x", AnyValue))
    };
    let peers = scene::strangers();
    let make = || Kad::new(peers[0], config()).expect("the configuration is valid");
    scene::lead(data, 1 << 20, &peers, make, |kad, peer, choice| {
        match choice % 8 {
            0 => drop(kad.find_peer(peer)),
            1 => drop(kad.get_value(&b"/x/k"[..], Some(1))),
            2 => drop(kad.put_value(&b"/x/k"[..], vec![choice; 40])),
            3 => drop(kad.find_providers(vec![choice], 2)),
            4 => kad.add_peer(peer, Vec::new()),
            5 => kad.refresh(),
            _ => while kad.poll_event().is_some() {},
        }
    });
}
