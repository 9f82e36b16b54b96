//! Kademlia with litep2p.

use std::collections::{HashMap, HashSet};

use futures::StreamExt as _;
use interop_contract::{Failure, Found, Options, Outcome, Query};
use litep2p::PeerId;
use litep2p::protocol::libp2p::kademlia::{
    Config, ConfigBuilder, KademliaEvent, KademliaHandle, KademliaMode, QueryId, Quorum, Record, RecordKey,
};
use litep2p::types::multiaddr::Multiaddr;
use litep2p::types::protocol::ProtocolName;
use tokio::sync::oneshot;

type Answer = oneshot::Sender<Outcome<Found>>;

/// Kademlia, and the queries that it has under way.
pub struct Kad {
    handle: KademliaHandle,
    name: String,
    /// Whom a listener asks for once it knows somebody, to find the rest of the network.
    somebody: Option<PeerId>,
    queries: HashMap<QueryId, (Answer, Option<PeerId>)>,
}

impl Kad {
    /// What is mounted: a listener serves, a dialer only asks.
    pub fn new(options: &Options) -> (Config, Self) {
        let mode = if options.dialing {
            KademliaMode::Client
        } else {
            KademliaMode::Server
        };
        let (config, handle) = ConfigBuilder::new()
            .with_mode(mode)
            .with_protocol_names(vec![ProtocolName::from(options.kad.clone())])
            .build();
        let kad = Self {
            handle,
            name: options.kad.clone(),
            somebody: (!options.peers.is_empty()).then(PeerId::random),
            queries: HashMap::new(),
        };
        (config, kad)
    }

    /// The next event of a Kademlia that may not be mounted.
    pub async fn next(kad: &mut Option<Self>) -> KademliaEvent {
        if let Some(kad) = kad
            && let Some(event) = kad.handle.next().await
        {
            return event;
        }
        std::future::pending().await
    }

    /// Takes a peer that has identified itself into the routing table if it speaks our Kademlia.
    pub async fn meet(&mut self, peer: PeerId, protocols: &[String], addrs: Vec<Multiaddr>) {
        if protocols.contains(&self.name) {
            self.handle.add_known_peer(peer, addrs).await;
            if let Some(somebody) = self.somebody.take() {
                self.handle.find_node(somebody).await;
            }
        }
    }

    /// Begins a query at the connected peer.
    pub async fn ask(&mut self, remote: PeerId, addr: Multiaddr, query: &Query, answer: Answer) {
        self.handle.add_known_peer(remote, vec![addr]).await;
        let key = |key: &[u8]| RecordKey::from(key.to_vec());
        let mut peer = None;
        let id = match query {
            Query::Put(name, value) => {
                let record = Record::new(key(name), value.clone());
                self.handle.put_record(record, Quorum::One).await
            }
            Query::Get(name) => self.handle.get_record(key(name), Quorum::One).await,
            Query::Provide(hash) => self.handle.start_providing(key(hash), Quorum::One).await,
            Query::FindProviders(hash) => self.handle.get_providers(key(hash)).await,
            Query::FindPeer(text) => match text.parse::<PeerId>() {
                Ok(id) => {
                    peer = Some(id);
                    self.handle.find_node(id).await
                }
                Err(error) => {
                    let _ = answer.send(Err(Failure::of(&error)));
                    return;
                }
            },
            // It asks for peers only, and a multihash is the id of one.
            Query::Closest(hash) => match PeerId::from_bytes(hash) {
                Ok(id) => self.handle.find_node(id).await,
                Err(error) => {
                    let _ = answer.send(Err(Failure::of(&error)));
                    return;
                }
            },
        };
        self.queries.insert(id, (answer, peer));
    }

    /// Answers what has ended.
    pub fn on_event(&mut self, event: KademliaEvent) {
        let (id, outcome) = match event {
            KademliaEvent::GetRecordPartialResult { query_id, record } => {
                (query_id, Ok(Found::Value(record.record.value)))
            }
            KademliaEvent::GetRecordSuccess { query_id } => {
                (query_id, Err(Failure::Failed("the record was not found".into())))
            }
            KademliaEvent::PutRecordSuccess { query_id, .. }
            | KademliaEvent::AddProviderSuccess { query_id, .. } => (query_id, Ok(Found::Done)),
            KademliaEvent::GetProvidersSuccess {
                query_id, providers, ..
            } => {
                let ids = providers.iter().map(|provider| provider.peer.to_string());
                (query_id, Ok(Found::List(ids.collect())))
            }
            KademliaEvent::FindNodeSuccess { query_id, peers, .. } => {
                let wanted = self.queries.get(&query_id).and_then(|(_, peer)| *peer);
                let found: HashSet<String> = match wanted {
                    None => peers.iter().map(|(peer, _)| peer.to_string()).collect(),
                    Some(wanted) => {
                        let of_it = peers.iter().filter(|(peer, _)| *peer == wanted);
                        of_it
                            .flat_map(|(_, addrs)| addrs)
                            .map(ToString::to_string)
                            .collect()
                    }
                };
                (query_id, Ok(Found::List(found.into_iter().collect())))
            }
            KademliaEvent::QueryFailed { query_id } => (
                query_id,
                Err(Failure::Failed(
                    "the query failed, litep2p tells no reason".into(),
                )),
            ),
            _ => return,
        };
        if let Some((answer, _)) = self.queries.remove(&id) {
            // Whoever has stopped waiting need not know.
            let _ = answer.send(outcome);
        }
    }
}
