//! Addresses, peer ids and envelopes, taken apart.

use crate::{Exit, args};
use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_identity::{PeerRecord, PublicKey};
use std::error::Error;

pub(crate) fn run(args: &args::Decode) -> Result<Exit, Box<dyn Error>> {
    let text = args.text.trim();
    if text.starts_with('/') {
        let addr: Multiaddr = text.parse()?;
        println!("multiaddr  {addr}");
        println!("binary     {}", HEX.encode(addr.as_bytes()));
        println!("class      {:?}", addr.class());
        for component in addr.components() {
            println!("component  {component}");
        }
        return Ok(Exit::Ok);
    }
    if let Ok(peer) = text.parse::<PeerId>() {
        println!("peer id    {peer}");
        println!("cid        {}", peer.to_cid());
        println!("multihash  {}", HEX.encode(peer.as_bytes()));
        if let Some(key) = PublicKey::from_peer_id(&peer) {
            println!("key        {:?} {}", key.key_type(), HEX.encode(key.data()));
        }
        return Ok(Exit::Ok);
    }
    let bytes = HEX
        .decode(text.as_bytes())
        .map_err(|_| "neither a multiaddr, nor a peer id, nor hexadecimal")?;
    let record = PeerRecord::open(&bytes)?;
    println!("peer record of {}", record.peer_id());
    println!("sequence   {}", record.seq());
    for addr in record.addrs() {
        println!("address    {addr}");
    }
    Ok(Exit::Ok)
}
