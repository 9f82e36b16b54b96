//! Actions that ask Kademlia.

use super::{Fields, Session, Trouble, fields};
use crate::{
    action::Query,
    book,
    kad::{Told, Traced},
};
use libp2p_proto_core::PeerId;
use libp2p_proto_kad::{
    Contact, Error, Event, Kad, Key, Outcome, QueryError, QueryId,
    ipns::{self, IpnsRecord},
};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a name that we publish points where it does, without being published again.
const NAME_LIFE: Duration = Duration::from_secs(48 * 3600);
/// How long others may keep the answer.
const NAME_TTL: Duration = Duration::from_secs(300);

impl Session {
    pub(super) async fn kad(&self, query: &Query) -> Result<Fields, Trouble> {
        match query {
            Query::Publish { path } => return self.publish_name(path).await,
            Query::Resolve { name } => {
                let record = self.resolve_name(name).await?.ok_or("not found")?;
                let path = String::from_utf8_lossy(&record.value).into_owned();
                return Ok(fields([
                    ("value", json!(path)),
                    ("sequence", json!(record.sequence)),
                    ("validity", json!(String::from_utf8_lossy(&record.validity))),
                ]));
            }
            _ => {}
        }
        let asked = query.clone();
        let result = self.ask(move |kad| start(kad, &asked)).await?;
        if let (Query::Provide { text }, Err(_)) = (query, &result) {
            // What nobody was told of is not to be found here either.
            let key = multihash(text);
            let withdraw = move |kad: &mut Kad| kad.stop_providing(&key);
            self.node
                .call(move |_, app, _| app.kad.as_mut().map(withdraw))
                .await?;
        }
        if let (Query::Put { key, .. }, Err(_)) = (query, &result) {
            // Nor is a value that nobody took.
            let key = value_key(key);
            let withdraw = move |kad: &mut Kad| kad.stop_publishing(&key);
            self.node
                .call(move |_, app, _| app.kad.as_mut().map(withdraw))
                .await?;
        }
        Ok(told(result?))
    }

    /// Runs one query to its end. The peer that we are connected to is where it begins.
    async fn ask(
        &self,
        start: impl FnOnce(&mut Kad) -> Option<Result<QueryId, Error>> + Send + 'static,
    ) -> Result<Result<Outcome, QueryError>, Trouble> {
        let peer = self.connected.peer;
        let begin = move |kad: &mut Kad| {
            kad.add_peer(peer, Vec::new());
            start(kad)
        };
        let begun = self
            .node
            .call(move |_, app, _| app.kad.as_mut().and_then(begin))
            .await?;
        let id = begun.ok_or(Trouble::Unsupported)??;
        Ok(self.node.next(move |app| ended(app.kad.as_mut()?, id)).await?)
    }

    /// The newest record of a name; none if nobody has one.
    async fn resolve_name(&self, name: &PeerId) -> Result<Option<IpnsRecord>, Trouble> {
        let key = ipns::key_of(name);
        match self.ask(move |kad| Some(kad.get_value(key, None))).await? {
            Ok(Outcome::Value { value, .. }) => Ok(Some(IpnsRecord::open(name, &value)?)),
            Ok(_) | Err(QueryError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets our own name point to a path, as the successor of what it points to.
    async fn publish_name(&self, path: &str) -> Result<Fields, Trouble> {
        let identity = self.node.call(|_, app, _| app.identity.clone()).await?;
        let name = identity.peer_id();
        let sequence = match self.resolve_name(&name).await? {
            Some(old) => old.sequence.saturating_add(1),
            None => 0,
        };
        let until = book::unix() + NAME_LIFE;
        let record = IpnsRecord::sign(&identity, path.as_bytes(), sequence, until, NAME_TTL)?;
        let key = ipns::key_of(&name);
        let mut sent = told(self.ask(move |kad| Some(kad.put_value(key, record))).await??);
        sent.insert("name".to_owned(), json!(name.to_string()));
        sent.insert("sequence".to_owned(), json!(sequence));
        Ok(sent)
    }
}

impl Session {
    /// The steps of a lookup of the nearest peers, and its end.
    pub(crate) async fn trace(&self, key: Vec<u8>) -> Result<Traced, String> {
        let peer = self.connected.peer;
        let begin = move |kad: &mut Kad| {
            kad.set_progress(true);
            kad.add_peer(peer, Vec::new());
            kad.closest_peers(key)
        };
        let begun = self.node.call(move |_, app, _| app.kad.as_mut().map(begin)).await;
        let begun = begun.map_err(|error| error.to_string())?.ok_or("no Kademlia")?;
        let id = begun.map_err(|error| error.to_string())?;
        let mut steps = Vec::new();
        let ended = self.node.next(move |app| {
            let kad = app.kad.as_mut()?;
            while let Some(event) = kad.poll_event() {
                match event {
                    Event::Step {
                        query,
                        peer,
                        step,
                        at,
                    } if query == id => {
                        steps.push(Told { at, peer, step });
                    }
                    Event::Finished {
                        query,
                        result,
                        effort,
                    } if query == id => {
                        let result = result.map(|outcome| match outcome {
                            Outcome::Closest(found) => found.iter().map(|contact| contact.peer).collect(),
                            _ => Vec::new(),
                        });
                        let steps = std::mem::take(&mut steps);
                        return Some(Traced {
                            steps,
                            result,
                            effort,
                        });
                    }
                    _ => {}
                }
            }
            None
        });
        let ended = tokio::time::timeout_at(self.deadline.at, ended).await;
        let ended = ended.map_err(|_| self.deadline.passed("looking up"))?;
        ended.map_err(|error| error.to_string())
    }
}

/// Begins what is one query; none for what takes several.
fn start(kad: &mut Kad, query: &Query) -> Option<Result<QueryId, Error>> {
    Some(match query {
        Query::Put { key, value } => kad.put_value(value_key(key), value.clone()),
        Query::Get { key } => kad.get_value(value_key(key), None),
        Query::Provide { text } => kad.provide(multihash(text)),
        Query::FindProviders { text } => kad.find_providers(multihash(text), 0),
        Query::FindPeer { peer } => kad.find_peer(*peer),
        Query::Closest { text } => kad.closest_peers(multihash(text)),
        Query::Publish { .. } | Query::Resolve { .. } => return None,
    })
}

/// What a query brought, as fields of a line.
fn told(outcome: Outcome) -> Fields {
    match outcome {
        Outcome::Value { value, .. } => fields([("value", json!(String::from_utf8_lossy(&value)))]),
        Outcome::Providers(found) => fields([("providers", ids(&found))]),
        Outcome::Closest(found) => fields([("peers", ids(&found))]),
        Outcome::Peer { addrs, .. } => {
            let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
            fields([("addrs", json!(addrs))])
        }
        Outcome::Sent { peers, failed } => fields([("peers", json!(peers)), ("failed", json!(failed))]),
        _ => Fields::new(),
    }
}

fn ended(kad: &mut Kad, id: QueryId) -> Option<Result<Outcome, QueryError>> {
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
