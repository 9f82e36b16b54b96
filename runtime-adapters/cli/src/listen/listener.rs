//! The services of a listener, and what it reports.

use crate::{
    error::Error,
    explain,
    node::{self, ECHO, autonat, broken, introduce, kademlia, pubsub, rendezvous, requests},
    output::Lines,
    session::millis,
};
use libp2p_proto_autonat::Autonat;
use libp2p_proto_core::{Multiaddr, PeerId, bytes::Bytes};
use libp2p_proto_dcutr::{self as dcutr, Dcutr};
use libp2p_proto_driver::{App, mdns};
use libp2p_proto_echo::Echo;
use libp2p_proto_fetch::Fetch;
use libp2p_proto_gossipsub::{self as gossipsub, Gossipsub};
use libp2p_proto_identify::{self as identify, Identify};
use libp2p_proto_identity::Identity;
use libp2p_proto_kad::Kad;
use libp2p_proto_perf::{self as perf, Perf};
use libp2p_proto_ping::{self as ping, Ping};
use libp2p_proto_relay::{self as relay, Failure, Relay};
use libp2p_proto_rendezvous::Rendezvous;
use libp2p_proto_request_response::{self as reqresp, RequestResponse};
use libp2p_proto_stream_protocol::Protocol;
use libp2p_proto_swarm::Event;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What begins an answer to a message of pubsub, and how much of the message follows.
const ACK: &[u8] = b"ack:";
const ACKED: usize = 64;

/// How long a request may take here.
const REQUEST: Duration = Duration::from_secs(10);

/// What has happened so far. Causes are words of this program's own, so there are only so many.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) dialed: u64,
    pub(crate) ended: BTreeMap<&'static str, u64>,
    pub(crate) refused: BTreeMap<&'static str, u64>,
    pub(crate) dials_failed: u64,
}

fn count(table: &mut BTreeMap<&'static str, u64>, cause: &'static str) {
    let times = table.entry(cause).or_default();
    *times = times.saturating_add(1);
}

/// What a listener runs: each service is mounted or not.
pub(crate) struct Listener {
    pub(crate) identify: Option<Identify>,
    pub(crate) ping: Option<Ping>,
    perf: Option<Perf>,
    echo: Option<Echo>,
    pub(crate) requests: Option<RequestResponse>,
    fetch: Option<Fetch>,
    gossip: Option<Gossipsub>,
    kad: Option<Kad>,
    pub(crate) relay: Option<Relay>,
    /// Where a relay keeps a slot for us, or why there is none.
    pub(crate) reserved: Option<Result<Vec<Multiaddr>, Failure>>,
    dcutr: Option<Dcutr>,
    rendezvous: Option<Rendezvous>,
    autonat: Option<Autonat>,
    lines: Lines,
    pub(crate) tally: Tally,
    /// Who is connected.
    pub(crate) peers: BTreeSet<PeerId>,
}

impl Listener {
    pub(crate) fn new(
        identity: &Identity,
        services: &[&str],
        topics: &[String],
        kad_protocol: Option<&str>,
        reserves: bool,
        lines: Lines,
    ) -> Result<Self, Error> {
        let has = |name: &str| services.contains(&name);
        let mut gossip = has("gossip").then(|| pubsub(identity)).transpose()?;
        if let Some(gossip) = &mut gossip {
            for topic in topics {
                gossip.subscribe(topic.as_str()).map_err(broken)?;
            }
        }
        let serve = || perf::Config {
            serve: true,
            on_limited: true,
            ..perf::Config::default()
        };
        Ok(Self {
            identify: has("identify").then(|| introduce(identity)).transpose()?,
            ping: has("ping")
                .then(|| Ping::new(ping::Config::default()))
                .transpose()
                .map_err(broken)?,
            perf: has("perf")
                .then(|| Perf::new(serve()))
                .transpose()
                .map_err(broken)?,
            echo: has("echo").then(|| Echo::new(ECHO)),
            requests: has("reqresp").then(|| requests(true, REQUEST)).transpose()?,
            fetch: has("fetch").then(|| Fetch::new(lookup)),
            gossip,
            relay: (has("relay") || reserves)
                .then(|| node::relay(identity, has("relay"), reserves))
                .transpose()?,
            reserved: None,
            dcutr: has("dcutr").then(node::dcutr).transpose()?,
            rendezvous: has("rendezvous")
                .then(|| rendezvous(identity, true))
                .transpose()?,
            autonat: (has("autonat") || has("autonat2"))
                .then(|| autonat(Some([has("autonat"), has("autonat2")])))
                .transpose()?,
            kad: has("kad").then(|| kademlia(identity, kad_protocol)).transpose()?,
            lines,
            tally: Tally::default(),
            peers: BTreeSet::new(),
        })
    }

    fn say(&self, line: Value) {
        self.lines.print(line);
    }

    fn report_peer(&self, peer: PeerId, info: &identify::PeerInfo) {
        let protocols: Vec<_> = info.protocols.iter().map(ToString::to_string).collect();
        self.say(json!({ "event": "identify-push", "peer": peer.to_string(), "protocols": protocols }));
    }

    /// Tells of each message, and publishes that it came.
    fn answer_gossip(&mut self) {
        let Some(protocol) = &mut self.gossip else {
            return;
        };
        while let Some(event) = protocol.poll_event() {
            let gossipsub::Event::Message { topic, message, .. } = event else {
                continue;
            };
            let data = message.data.unwrap_or_default();
            if data.starts_with(ACK) {
                continue;
            }
            let head = data.get(..ACKED).unwrap_or(&data);
            let from = message.from.and_then(|from| PeerId::from_bytes(&from).ok());
            self.lines.print(json!({
                "event": "gossip", "topic": topic.as_str(), "from": from.map(|from| from.to_string()),
                "bytes": data.len(), "data": String::from_utf8_lossy(head),
            }));
            // Too many commands at once: the publisher asks again.
            let _not_acked = protocol.publish(topic, [ACK, head].concat(), false);
        }
    }

    /// Tells of slots that we keep for others, and notes those that others keep for us.
    fn report_slots(&mut self) {
        while let Some(event) = self.relay.as_mut().and_then(Relay::poll_event) {
            match event {
                relay::Event::Granted { peer, .. } => {
                    self.say(json!({ "event": "reservation", "peer": peer.to_string() }));
                }
                relay::Event::Reserved { addrs, .. } => self.reserved = Some(Ok(addrs)),
                relay::Event::NotReserved { failure, .. } => self.reserved = Some(Err(failure)),
                // A walk through the table of Kademlia meets others, who say in identify whether they are relays.
                relay::Event::CandidatesWanted => {
                    if let Some(kad) = &mut self.kad {
                        kad.refresh();
                    }
                }
                relay::Event::Lost { relay } => {
                    self.say(json!({ "event": "reservation-lost", "peer": relay.to_string() }));
                }
                _ => {}
            }
        }
    }

    /// Tells what became of relayed connections.
    fn report_punches(&mut self) {
        while let Some(event) = self.dcutr.as_mut().and_then(Dcutr::poll_event) {
            match event {
                dcutr::Event::Upgraded { peer, how, .. } => {
                    let how = match how {
                        dcutr::How::Unilateral => "dialed",
                        dcutr::How::Punched => "punched",
                        dcutr::How::Appeared => "appeared",
                    };
                    self.say(json!({ "event": "direct", "peer": peer.to_string(), "how": how }));
                }
                dcutr::Event::Attempted { peer, attempt } => {
                    let texts =
                        |addrs: &[Multiaddr]| addrs.iter().map(ToString::to_string).collect::<Vec<_>>();
                    self.say(json!({
                        "event": "punch", "peer": peer.to_string(), "attempt": attempt.number,
                        "rttMs": attempt.rtt.map(millis), "ours": texts(&attempt.ours), "theirs": texts(&attempt.theirs),
                        "error": attempt.result.err().map(|failure| failure.to_string()),
                    }));
                }
                dcutr::Event::Failed { peer, failure } => {
                    let error = failure.to_string();
                    self.say(json!({ "event": "punch-failed", "peer": peer.to_string(), "error": error }));
                }
                _ => {}
            }
        }
    }

    fn answer_requests(&mut self) {
        let Some(protocol) = &mut self.requests else {
            return;
        };
        while let Some(event) = protocol.poll_event() {
            if let reqresp::Event::Request { id, data, .. } = event {
                let mut answer = b"re:".to_vec();
                answer.extend_from_slice(&data);
                // Whoever asked may have gone; a request whose answer would be too large is dropped.
                let _unanswered = protocol.respond(id, answer.into());
            }
        }
    }
}

/// What the fetch service answers.
fn lookup(key: &str) -> Option<Bytes> {
    let key = key.strip_prefix("interop/").filter(|key| *key != "missing")?;
    Some(format!("value-of-{key}").into())
}

impl App for Listener {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        fn lend<P: Protocol>(protocol: &mut Option<P>) -> Option<&mut dyn Protocol> {
            protocol.as_mut().map(|protocol| protocol as &mut dyn Protocol)
        }
        let all = [
            lend(&mut self.identify),
            lend(&mut self.ping),
            lend(&mut self.perf),
            lend(&mut self.echo),
            lend(&mut self.requests),
            lend(&mut self.fetch),
            lend(&mut self.gossip),
            lend(&mut self.kad),
            lend(&mut self.relay),
            lend(&mut self.dcutr),
            lend(&mut self.rendezvous),
            lend(&mut self.autonat),
        ];
        all.into_iter().flatten().collect()
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Connected {
                peer,
                info,
                security,
                muxer,
                ..
            } => {
                self.peers.insert(peer);
                let inbound = info.dial.is_none();
                let opened = if inbound {
                    &mut self.tally.accepted
                } else {
                    &mut self.tally.dialed
                };
                *opened = opened.saturating_add(1);
                self.say(json!({
                    "event": "connected", "peer": peer.to_string(), "addr": info.remote.to_string(), "inbound": inbound,
                    "security": security.as_str(), "muxer": muxer.as_str(),
                }));
            }
            Event::Disconnected {
                peer, error, last, ..
            } => {
                if last {
                    self.peers.remove(&peer);
                }
                count(&mut self.tally.ended, error.map_or("closed", |error| error.code));
                let error = error.map(|error| explain::ended(Some(error)));
                self.say(json!({ "event": "disconnected", "peer": peer.to_string(), "error": error }));
            }
            Event::IncomingFailed { remote, error } => {
                count(&mut self.tally.refused, error.code);
                self.say(json!({ "event": "incoming-failed", "addr": remote.to_string(), "error": explain::link(error) }));
            }
            Event::DialFailed { peer, error, .. } => {
                self.tally.dials_failed = self.tally.dials_failed.saturating_add(1);
                let peer = peer.map(|peer| peer.to_string());
                self.say(
                    json!({ "event": "dial-failed", "peer": peer, "error": explain::dial_error(&error) }),
                );
            }
            _ => {}
        }
    }

    fn handle_discovery(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered { peer, addrs, .. } => {
                let addrs: Vec<_> = addrs.iter().map(ToString::to_string).collect();
                self.say(json!({ "event": "discovered", "peer": peer.to_string(), "addrs": addrs }));
            }
            mdns::Event::Expired { peer, addrs } => {
                let addrs: Vec<_> = addrs.iter().map(ToString::to_string).collect();
                self.say(json!({ "event": "expired", "peer": peer.to_string(), "addrs": addrs }));
            }
            _ => {}
        }
    }

    fn after_drive(&mut self) {
        while let Some(event) = self.identify.as_mut().and_then(Identify::poll_event) {
            match event {
                identify::Event::Identified { peer, info, .. }
                | identify::Event::Pushed { peer, info, .. } => {
                    self.report_peer(peer, &info);
                }
                _ => {}
            }
        }
        self.report_slots();
        self.report_punches();
        self.answer_requests();
        self.answer_gossip();
        // The rounds by interval count in the statistics.
        while self.ping.as_mut().and_then(Ping::poll_event).is_some() {}
        while self.perf.as_mut().and_then(Perf::poll_event).is_some() {}
        while self.fetch.as_mut().and_then(Fetch::poll_event).is_some() {}
        while self
            .rendezvous
            .as_mut()
            .and_then(Rendezvous::poll_event)
            .is_some()
        {}
        while self.autonat.as_mut().and_then(Autonat::poll_event).is_some() {}
        while self.kad.as_mut().and_then(Kad::poll_event).is_some() {}
    }
}
