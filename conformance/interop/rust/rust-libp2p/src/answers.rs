//! What a peer is asked beyond the basics, and how the behaviours' events become answers.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use interop_contract::{Failure, Found, Outcome, Query, gossip};
use libp2p::kad::{self, QueryResult};
use libp2p::multiaddr::Protocol;
use libp2p::rendezvous::Namespace;
use libp2p::{Multiaddr, PeerId, autonat, dcutr, gossipsub, mdns, relay, rendezvous};
use serde_json::json;

use crate::more::{More, MoreEvent};
use crate::node::{Answer, Command, Driver, gone};

/// How long a relayed connection may last, and how many bytes it may carry.
type Limits = (Option<Duration>, Option<u64>);

/// Commands that wait for an event.
#[derive(Default)]
pub(crate) struct Pending {
    queries: HashMap<kad::QueryId, Asked>,
    slot: Option<Answer<Option<Limits>>>,
    verdict: Option<Answer<&'static str>>,
    registered: Option<Answer<u64>>,
    discovered: Option<Answer<Vec<String>>>,
}

/// A query, and what has been found so far.
struct Asked {
    answer: Answer<Found>,
    /// Whose addresses are wanted.
    peer: Option<PeerId>,
    found: HashSet<String>,
}

fn failed(text: impl ToString) -> Failure {
    Failure::Failed(text.to_string())
}

/// Answers a command that waits. Whoever has stopped waiting need not know.
fn tell<T>(waiting: &mut Option<Answer<T>>, outcome: Outcome<T>) {
    if let Some(answer) = waiting.take() {
        let _ = answer.send(outcome);
    }
}

impl Driver {
    fn more(&mut self) -> &mut More {
        &mut self.swarm.behaviour_mut().more
    }

    /// Takes a peer that has identified itself into the routing table if it speaks our Kademlia.
    pub(crate) fn meet(&mut self, peer: PeerId, addrs: Vec<Multiaddr>, speaks: bool) {
        if let (Some(kad), true) = (self.more().kad.as_mut(), speaks) {
            for addr in addrs {
                kad.add_address(&peer, addr);
            }
        }
    }

    pub(crate) fn on_command(&mut self, command: Command) {
        match command {
            Command::Ask(query, answer) => self.ask(&query, answer),
            Command::Join(topic, answer) => {
                let gossip = self.more().gossip.as_mut().ok_or_else(gone);
                let topic = gossipsub::IdentTopic::new(topic);
                let joined = gossip.and_then(|gossip| gossip.subscribe(&topic).map_err(failed));
                let _ = answer.send(joined.map(|_| ()));
            }
            Command::Publish(topic, data, answer) => {
                let gossip = self.more().gossip.as_mut().ok_or_else(gone);
                let topic = gossipsub::IdentTopic::new(topic);
                let published = gossip.and_then(|gossip| gossip.publish(topic, data).map_err(failed));
                let _ = answer.send(published.map(|_| ()));
            }
            Command::Reserve(answer) => {
                let relay = self
                    .remote
                    .clone()
                    .map(|(_, addr)| addr.with(Protocol::P2pCircuit));
                match relay.map(|addr| self.swarm.listen_on(addr)) {
                    Some(Ok(_)) => self.pending.slot = Some(answer),
                    Some(Err(error)) => _ = answer.send(Err(Failure::of(&error))),
                    None => _ = answer.send(Err(gone())),
                }
            }
            Command::Reach(version, answer) => {
                if let (1, Some((peer, addr))) = (version, self.remote.clone())
                    && let Some(autonat) = self.more().autonat.as_mut()
                {
                    autonat.add_server(peer, Some(addr));
                }
                self.pending.verdict = Some(answer);
            }
            Command::Register(namespace, answer) => {
                let Some((peer, _)) = self.remote else { return };
                let registered = Namespace::new(namespace).map_err(|error| Failure::of(&error));
                let registered = registered.and_then(|namespace| {
                    let client = self.more().rendezvous_client.as_mut().ok_or_else(gone)?;
                    client
                        .register(namespace, peer, None)
                        .map_err(|error| Failure::of(&error))
                });
                match registered {
                    Ok(()) => self.pending.registered = Some(answer),
                    Err(failure) => _ = answer.send(Err(failure)),
                }
            }
            Command::Discover(namespace, answer) => {
                let Some((peer, _)) = self.remote else { return };
                match Namespace::new(namespace) {
                    Ok(namespace) => {
                        if let Some(client) = self.more().rendezvous_client.as_mut() {
                            client.discover(Some(namespace), None, None, peer);
                        }
                        self.pending.discovered = Some(answer);
                    }
                    Err(error) => _ = answer.send(Err(Failure::of(&error))),
                }
            }
            Command::Dial(..) | Command::Push(_) | Command::Close(_) => {}
        }
    }

    fn ask(&mut self, query: &Query, answer: Answer<Found>) {
        let remote = self.remote.clone();
        let Some(kad) = self.more().kad.as_mut() else {
            return;
        };
        if let Some((peer, addr)) = remote {
            kad.add_address(&peer, addr);
        }
        let key = |key: &[u8]| kad::RecordKey::from(key.to_vec());
        let mut peer = None;
        let id = match query {
            Query::Put(name, value) => kad
                .put_record(kad::Record::new(key(name), value.clone()), kad::Quorum::One)
                .map_err(|error| Failure::of(&error)),
            Query::Get(name) => Ok(kad.get_record(key(name))),
            Query::Provide(hash) => kad
                .start_providing(key(hash))
                .map_err(|error| Failure::of(&error)),
            Query::FindProviders(hash) => Ok(kad.get_providers(key(hash))),
            Query::FindPeer(text) => text.parse().map_err(failed).map(|id: PeerId| {
                peer = Some(id);
                kad.get_closest_peers(id)
            }),
            Query::Closest(hash) => Ok(kad.get_closest_peers(hash.clone())),
        };
        match id {
            Ok(id) => {
                let asked = Asked {
                    answer,
                    peer,
                    found: HashSet::new(),
                };
                self.pending.queries.insert(id, asked);
            }
            Err(failure) => _ = answer.send(Err(failure)),
        }
    }

    pub(crate) fn on_more(&mut self, event: MoreEvent) {
        match event {
            MoreEvent::Kad(kad::Event::OutboundQueryProgressed { id, result, step, .. }) => {
                self.on_query(id, result, step.last);
            }
            MoreEvent::Gossip(event) => self.on_gossip(event),
            MoreEvent::RelayClient(relay::client::Event::ReservationReqAccepted { limit, .. }) => {
                let limit = limit.map(|limit| (limit.duration(), limit.data_in_bytes()));
                tell(&mut self.pending.slot, Ok(limit));
            }
            MoreEvent::Relay(relay::Event::ReservationReqAccepted { src_peer_id, .. }) => {
                self.print("reservation", src_peer_id);
            }
            MoreEvent::Dcutr(dcutr::Event {
                remote_peer_id,
                result,
            }) => match result {
                Ok(_) => self.print("direct", remote_peer_id),
                Err(error) => eprintln!("dcutr: {error}"),
            },
            MoreEvent::Autonat(autonat::Event::OutboundProbe(event)) => self.on_probe(event),
            MoreEvent::Autonat2Client(autonat::v2::client::Event { result, .. }) => {
                let verdict = match result.map_err(failed) {
                    Ok(()) => Ok("public"),
                    Err(Failure::Failed(text)) if text.contains("failed to establish") => Ok("private"),
                    Err(failure) => Err(failure),
                };
                tell(&mut self.pending.verdict, verdict);
            }
            MoreEvent::RendezvousClient(event) => self.on_rendezvous(event),
            MoreEvent::Mdns(mdns::Event::Discovered(found)) => {
                let peers: HashSet<_> = found.into_iter().map(|(peer, _)| peer).collect();
                peers.into_iter().for_each(|peer| self.print("discovered", peer));
            }
            _ => {}
        }
    }

    /// Prints an event line about a peer. Nobody reads the events of a dialer.
    fn print(&self, event: &str, peer: PeerId) {
        let _ = self
            .events
            .send(json!({"event": event, "peer": peer.to_string()}));
    }

    fn on_query(&mut self, id: kad::QueryId, result: QueryResult, last: bool) {
        let Some(asked) = self.pending.queries.get_mut(&id) else {
            return;
        };
        let mut done = None;
        match result {
            QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(found))) => {
                done = Some(Ok(Found::Value(found.record.value)));
            }
            QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders { providers, .. })) => {
                asked.found.extend(providers.iter().map(ToString::to_string));
            }
            QueryResult::GetClosestPeers(Ok(closest)) => {
                for peer in closest.peers {
                    match asked.peer {
                        None => _ = asked.found.insert(peer.peer_id.to_string()),
                        Some(wanted) if wanted == peer.peer_id => {
                            asked.found.extend(peer.addrs.iter().map(ToString::to_string));
                        }
                        Some(_) => {}
                    }
                }
            }
            QueryResult::GetRecord(Err(error)) => done = Some(Err(Failure::of(&error))),
            QueryResult::GetProviders(Err(error)) => done = Some(Err(Failure::of(&error))),
            QueryResult::GetClosestPeers(Err(error)) => done = Some(Err(Failure::of(&error))),
            QueryResult::PutRecord(put) => {
                done = Some(put.map(|_| Found::Done).map_err(|error| Failure::of(&error)));
            }
            QueryResult::StartProviding(provided) => {
                done = Some(provided.map(|_| Found::Done).map_err(|error| Failure::of(&error)));
            }
            _ => {}
        }
        if done.is_none() && !last {
            return;
        }
        if let Some(mut asked) = self.pending.queries.remove(&id) {
            // Of the addresses that peers name in a lookup libp2p-kad keeps the last words, and py-libp2p names itself without any.
            if let Some(wanted) = asked.peer.filter(|_| asked.found.is_empty()) {
                asked.found = self.in_table(&wanted);
            }
            let found = || Ok(Found::List(asked.found.into_iter().collect()));
            let _ = asked.answer.send(done.unwrap_or_else(found));
        }
    }

    /// The addresses of a peer in the routing table.
    fn in_table(&mut self, peer: &PeerId) -> HashSet<String> {
        let bucket = self.more().kad.as_mut().and_then(|kad| kad.kbucket(*peer));
        let mut addrs = HashSet::new();
        for entry in bucket.iter().flat_map(|bucket| bucket.iter()) {
            if entry.node.key.preimage() == peer {
                addrs.extend(entry.node.value.iter().map(ToString::to_string));
            }
        }
        addrs
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Subscribed { peer_id, topic, .. }
                if self.remote.as_ref().is_some_and(|(remote, _)| *remote == peer_id) =>
            {
                self.facts
                    .send_modify(|facts| facts.joined.push(topic.into_string()));
            }
            gossipsub::Event::Message { message, .. } => {
                if let Some(heard) = &self.heard {
                    // A dialer that is ending does not listen.
                    let _ = heard.send(message.data);
                    return;
                }
                let Some(ack) = gossip::acknowledgement(&message.data) else {
                    return;
                };
                let from = message.source.map(|peer| peer.to_string());
                let _ = self
                    .events
                    .send(gossip::event(message.topic.as_str(), from, &message.data));
                let Some(behaviour) = self.more().gossip.as_mut() else {
                    return;
                };
                if let Err(error) = behaviour.publish(message.topic, ack) {
                    eprintln!("ack: {error}");
                }
            }
            _ => {}
        }
    }

    fn on_probe(&mut self, event: autonat::OutboundProbeEvent) {
        use autonat::{OutboundProbeError as Error, OutboundProbeEvent as Event};
        let verdict = match event {
            Event::Response { .. } => Ok("public"),
            Event::Error {
                error: Error::Response(autonat::ResponseError::DialError),
                ..
            } => Ok("private"),
            // A probe before the server was known.
            Event::Error {
                error: Error::NoServer | Error::NoAddresses,
                ..
            }
            | Event::Request { .. } => return,
            Event::Error { error, .. } => Err(failed(format!("{error:?}"))),
        };
        tell(&mut self.pending.verdict, verdict);
    }

    fn on_rendezvous(&mut self, event: rendezvous::client::Event) {
        use rendezvous::client::Event;
        match event {
            Event::Registered { ttl, .. } => tell(&mut self.pending.registered, Ok(ttl)),
            Event::RegisterFailed { error, .. } => {
                tell(&mut self.pending.registered, Err(failed(format!("{error:?}"))));
            }
            Event::Discovered { registrations, .. } => {
                let peers = registrations
                    .iter()
                    .map(|found| found.record.peer_id().to_string());
                tell(&mut self.pending.discovered, Ok(peers.collect()));
            }
            Event::DiscoverFailed { error, .. } => {
                tell(&mut self.pending.discovered, Err(failed(format!("{error:?}"))));
            }
            Event::Expired { .. } => {}
        }
    }
}
