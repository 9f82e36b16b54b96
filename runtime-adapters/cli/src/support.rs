//! What of the contract's options this program has, and what it has not yet.

use crate::args::{Common, Dial, Listen, Nat};
use libp2p_proto_core::{Component, Multiaddr};
use libp2p_proto_identity::KeyType;

/// Services, in the order in which they are announced.
pub(crate) const SERVICES: [&str; 15] = [
    "identify",
    "push",
    "ping",
    "perf",
    "echo",
    "reqresp",
    "fetch",
    "gossip",
    "kad",
    "relay",
    "dcutr",
    "rendezvous",
    "autonat",
    "autonat2",
    "mdns",
];

/// Those of them that are mounted unless others are named.
pub(crate) const DEFAULT_SERVICES: usize = 10;

/// The key type of an option.
pub(crate) fn key_type(name: &str) -> Option<KeyType> {
    Some(match name {
        "ed25519" => KeyType::Ed25519,
        "secp256k1" => KeyType::Secp256k1,
        "ecdsa" => KeyType::Ecdsa,
        "rsa" => KeyType::Rsa,
        _ => return None,
    })
}

/// The option's name of a key type.
pub(crate) const fn key_name(key: KeyType) -> &'static str {
    match key {
        KeyType::Ed25519 => "ed25519",
        KeyType::Secp256k1 => "secp256k1",
        KeyType::Ecdsa => "ecdsa",
        KeyType::Rsa => "rsa",
    }
}

/// What is wrong with an unknown key type.
pub(crate) fn no_such_key(name: &str) -> String {
    format!("key type {name} (there are ed25519, secp256k1, ecdsa, rsa)")
}

/// The first of these words that is not known. An empty one is none: a list may be empty.
fn unknown(kind: &str, words: &[String], known: &[&str]) -> Option<String> {
    let word = words
        .iter()
        .find(|word| !word.is_empty() && !known.contains(&word.as_str()))?;
    let (verb, known) = (if known.len() == 1 { "is" } else { "are" }, known.join(", "));
    Some(format!("{kind} {word} (there {verb} {known})"))
}

fn common(common: &Common) -> Option<String> {
    unknown("security", &common.security, &["noise"])
        .or_else(|| unknown("muxer", &common.muxers, &["yamux"]))
        .or_else(|| {
            let key = common.key.as_deref()?;
            key_type(key).is_none().then(|| no_such_key(key))
        })
}

/// What a listener is asked for explicitly and does not have.
pub(crate) fn listen(args: &Listen) -> Option<String> {
    unknown("transport", &args.common.transports, &["tcp", "ws"])
        .or_else(|| common(&args.common))
        .or_else(|| unknown("service", args.services.as_deref().unwrap_or_default(), &SERVICES))
        .or_else(|| args.relay.as_ref().and_then(way))
}

/// What a dialer is asked for explicitly and does not have. `--transport` is not looked at: a dialer goes by its address.
pub(crate) fn dial(args: &Dial) -> Option<String> {
    common(&args.common).or_else(|| match args.addr.components().next() {
        // What these stand for is known only once the name is resolved, or the address book is read.
        Some(Component::Dnsaddr(_) | Component::P2p(_)) => None,
        _ => way(&args.addr),
    })
}

/// What a diagnosis is asked for explicitly and does not have.
pub(crate) fn nat(args: &Nat) -> Option<String> {
    let listens = args.addrs.iter().find_map(address);
    common(&args.common)
        .or(listens)
        .or_else(|| args.peers.iter().find_map(way))
}

/// What of an address to be dialed is beyond that, or beyond one relay at such an address.
fn way(addr: &Multiaddr) -> Option<String> {
    match addr.split_relay() {
        Some((Some(relay), Some(target)))
            if target.split_peer_id().0.is_none() && relay.peer_id().is_some() =>
        {
            direct(&relay)
        }
        Some(_) => Some(format!(
            "the circuit of {addr} (there is one relay, named by its id)"
        )),
        None => direct(addr),
    }
}

fn direct(addr: &Multiaddr) -> Option<String> {
    match addr.components().next() {
        Some(Component::Dns(_) | Component::Dns4(_) | Component::Dns6(_)) => named(addr),
        _ => address(addr),
    }
}

/// What of an address is beyond TCP on an IP address, or a WebSocket there.
pub(crate) fn address(addr: &Multiaddr) -> Option<String> {
    let plain = addr.split_peer_id().0.is_some_and(|addr| {
        addr.socket_tcp().is_some() && (addr.components().count() == 2 || addr.websocket().is_some())
    });
    (!plain)
        .then(|| format!("the transport of {addr} (there is /ip4 or /ip6, then /tcp, then /ws or nothing)"))
}

/// What of an address that begins with a name is beyond TCP, or a WebSocket there.
fn named(addr: &Multiaddr) -> Option<String> {
    let rest: Vec<_> = addr
        .split_peer_id()
        .0?
        .components()
        .skip(1)
        .map(|part| part.to_string())
        .collect();
    let plain = rest.len() == 1 && rest.iter().all(|part| part.starts_with("/tcp/"));
    (!plain && addr.websocket().is_none())
        .then(|| format!("the transport of {addr} (there is a name, then /tcp, then /ws or nothing)"))
}
