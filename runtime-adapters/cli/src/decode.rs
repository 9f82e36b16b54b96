//! Addresses, peer ids and envelopes, taken apart.

use crate::{
    args,
    error::{Error, Exit},
    output::Output,
    support::key_name,
};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE as HEX};
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_identity::{PeerRecord, PublicKey};
use serde_json::{Map, Value, json};

pub(crate) fn run(args: &args::Decode) -> Result<Exit, Error> {
    let fields = decode(args.text.trim()).map_err(Error::Failed)?;
    Output::new(args.json).print(&Value::Object(fields));
    Ok(Exit::Ok)
}

fn decode(text: &str) -> Result<Map<String, Value>, String> {
    if text.starts_with('/') {
        let addr = text
            .parse::<Multiaddr>()
            .map_err(|error| format!("no multiaddr: {error}"))?;
        return Ok(address(&addr));
    }
    if let Ok(peer) = text.parse() {
        return Ok(peer_id(&peer));
    }
    let bytes = HEX
        .decode(text.as_bytes())
        .or_else(|_| BASE64.decode(text.as_bytes()));
    let bytes = bytes
        .ok()
        .filter(|bytes| !bytes.is_empty())
        .ok_or("neither a multiaddr (begins with /), nor a peer id (12D3KooW…, Qm…, bafz…), nor an envelope in hexadecimal or base 64")?;
    envelope(&bytes)
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn address(addr: &Multiaddr) -> Map<String, Value> {
    let components: Vec<_> = addr.components().map(|component| component.to_string()).collect();
    object([
        ("kind", json!("multiaddr")),
        ("text", json!(addr.to_string())),
        ("binary", json!(HEX.encode(addr.as_bytes()))),
        ("network", json!(format!("{:?}", addr.class()).to_lowercase())),
        ("components", json!(components)),
        ("peerId", json!(addr.peer_id().map(|peer| peer.to_string()))),
    ])
}

fn peer_id(peer: &PeerId) -> Map<String, Value> {
    let key = PublicKey::from_peer_id(peer);
    object([
        ("kind", json!("peer id")),
        ("peerId", json!(peer.to_string())),
        ("cid", json!(peer.to_cid())),
        ("multihash", json!(HEX.encode(peer.as_bytes()))),
        ("keyType", json!(key.as_ref().map(|key| key_name(key.key_type())))),
        ("publicKey", json!(key.map(|key| HEX.encode(key.data())))),
    ])
}

/// A signed peer record, of either dialect. The signature is verified.
fn envelope(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let record = PeerRecord::open(bytes).map_err(|error| format!("no signed peer record: {error}"))?;
    let addrs: Vec<_> = record.addrs().iter().map(ToString::to_string).collect();
    Ok(object([
        ("kind", json!("signed peer record")),
        ("signature", json!("valid")),
        ("peerId", json!(record.peer_id().to_string())),
        ("sequence", json!(record.seq())),
        ("addrs", json!(addrs)),
    ]))
}
