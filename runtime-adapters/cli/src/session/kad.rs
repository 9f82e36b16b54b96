//! Actions that ask Kademlia.

use super::{Fields, Session, Trouble, fields};
use crate::action::Query;
use libp2p_proto_core::PeerId;
use libp2p_proto_kad::{Contact, Error, Event, Kad, Key, Outcome, QueryId};
use serde_json::{Value, json};

impl Session {
    /// Runs one query to its end. The peer that we are connected to is where it begins.
    pub(super) async fn kad(&self, query: &Query) -> Result<Fields, Trouble> {
        let (peer, asked) = (self.connected.peer, query.clone());
        let begin = move |kad: &mut Kad| {
            kad.add_peer(peer, Vec::new());
            start(kad, &asked)
        };
        let begun = self
            .node
            .call(move |_, app, _| app.kad.as_mut().map(begin))
            .await?;
        let id = begun.ok_or(Trouble::Unsupported)??;
        let result = self.node.next(move |app| ended(app.kad.as_mut()?, id)).await?;
        if let (Query::Provide { text }, Err(_)) = (query, &result) {
            // What nobody was told of is not to be found here either.
            let key = multihash(text);
            let withdraw = move |kad: &mut Kad| kad.stop_providing(&key);
            self.node
                .call(move |_, app, _| app.kad.as_mut().map(withdraw))
                .await?;
        }
        match result? {
            Outcome::Value { value, .. } => Ok(fields([("value", json!(String::from_utf8_lossy(&value)))])),
            Outcome::Providers(found) => Ok(fields([("providers", ids(&found))])),
            Outcome::Closest(found) => Ok(fields([("peers", ids(&found))])),
            Outcome::Peer { addrs, .. } => {
                let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
                Ok(fields([("addrs", json!(addrs))]))
            }
            Outcome::Sent { peers, failed } => {
                Ok(fields([("peers", json!(peers)), ("failed", json!(failed))]))
            }
            _ => Ok(Fields::new()),
        }
    }
}

fn start(kad: &mut Kad, query: &Query) -> Result<QueryId, Error> {
    match query {
        Query::Put { key, value } => kad.put_value(value_key(key), value.clone()),
        Query::Get { key } => kad.get_value(value_key(key), None),
        Query::Provide { text } => kad.provide(multihash(text)),
        Query::FindProviders { text } => kad.find_providers(multihash(text), 0),
        Query::FindPeer { peer } => kad.find_peer(*peer),
        Query::Closest { text } => kad.closest_peers(multihash(text)),
    }
}

fn ended(kad: &mut Kad, id: QueryId) -> Option<Result<Outcome, libp2p_proto_kad::QueryError>> {
    while let Some(event) = kad.poll_event() {
        match event {
            Event::Finished { query, result, .. } if query == id => return Some(result),
            _ => {}
        }
    }
    None
}

fn value_key(key: &str) -> Vec<u8> {
    format!("/interop/{key}").into_bytes()
}

/// The multihash sha2-256 of a text: a place in the key space is that digest.
fn multihash(text: &str) -> Vec<u8> {
    [&[0x12, 0x20][..], Key::of(text.as_bytes()).as_bytes()].concat()
}

fn ids(found: &[Contact]) -> Value {
    let ids = found.iter().map(|contact| contact.peer);
    json!(ids.map(|peer: PeerId| peer.to_string()).collect::<Vec<_>>())
}
