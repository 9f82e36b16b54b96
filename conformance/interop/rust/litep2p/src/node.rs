//! litep2p as a [`interop_contract::Node`].

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use interop_contract::{Connected, Failure, Found, Identity, Key, Options, Outcome, Query, services};
use litep2p::config::ConfigBuilder;
use litep2p::crypto::ed25519;
use litep2p::protocol::libp2p::identify::{Config as IdentifyConfig, IdentifyEvent};
use litep2p::protocol::libp2p::ping::{ConfigBuilder as PingConfig, PingEvent};
use litep2p::protocol::mdns::{Config as MdnsConfig, MdnsEvent};
use litep2p::transport::tcp::config::Config as TcpConfig;
use litep2p::transport::websocket::config::Config as WebSocketConfig;
use litep2p::types::multiaddr::{Multiaddr, Protocol};
use litep2p::{Litep2p, Litep2pEvent, PeerId};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use crate::kad::Kad;
use crate::streams::{Open, Order, Stream, Streams};

/// Version of litep2p.
const VERSION: &str = "0.16.0";
/// When a query that failed is asked again.
const AGAIN: Duration = Duration::from_millis(200);
/// Pause between the pings of a dialer that was asked to ping. Listeners may refuse more than ten a second.
const FAST_PING: Duration = Duration::from_millis(110);
/// Pause between questions to the local network.
const MDNS_INTERVAL: Duration = Duration::from_secs(1);
/// litep2p's own default pause.
const PING_INTERVAL: Duration = Duration::from_secs(5);

type Events<T> = Option<Box<dyn futures::Stream<Item = T> + Send + Unpin>>;

/// What has become known about the connection of a dialer.
#[derive(Default)]
struct Facts {
    open: u32,
    closed: bool,
    dial_error: Option<String>,
    identity: Option<Identity>,
    pings: Vec<Duration>,
}

/// A question to Kademlia, and where the answer goes.
type Ask = (Query, oneshot::Sender<Outcome<Found>>);

/// A node whose event loop runs in a task of its own.
pub struct Node {
    peer_id: PeerId,
    listen_addrs: Vec<String>,
    dial: mpsc::UnboundedSender<Multiaddr>,
    asks: mpsc::UnboundedSender<Ask>,
    streams: HashMap<&'static str, mpsc::UnboundedSender<Order>>,
    facts: watch::Receiver<Facts>,
    events: mpsc::UnboundedReceiver<Value>,
    remote: Option<(PeerId, Multiaddr)>,
    pings_told: usize,
}

fn keypair(options: &Options) -> Outcome<ed25519::Keypair> {
    match options.seed {
        None => Ok(ed25519::Keypair::generate()),
        Some(seed) => {
            let secret = ed25519::SecretKey::try_from_bytes(seed).map_err(|error| Failure::of(&error))?;
            Ok(secret.into())
        }
    }
}

impl interop_contract::Node for Node {
    const IMPL: &'static str = "litep2p";
    const VERSION: &'static str = VERSION;
    // litep2p neither sends nor takes identify pushes.
    const WEBSOCKET: bool = true;
    const SERVICES: &'static [&'static str] = &[
        "identify", "ping", "perf", "echo", "reqresp", "fetch", "kad", "mdns",
    ];
    // It can check RSA signatures of others, but has no such identity itself.
    const KEYS: &'static [Key] = &[Key::Ed25519];
    type Stream = Stream;

    async fn start(options: &Options) -> Outcome<Self> {
        let listening = !options.dialing;
        let listen_addresses = options
            .listen
            .iter()
            .map(|addr| addr.parse().map_err(|error| Failure::of(&error)))
            .collect::<Outcome<Vec<Multiaddr>>>()?;
        let is_websocket = |addr: &Multiaddr| addr.iter().any(|part| matches!(part, Protocol::Ws(_)));
        let (over_websocket, over_tcp) = listen_addresses.into_iter().partition(is_websocket);
        let tcp = TcpConfig {
            listen_addresses: over_tcp,
            nodelay: true,
            ..TcpConfig::default()
        };
        let websocket = WebSocketConfig {
            listen_addresses: over_websocket,
            nodelay: true,
            ..WebSocketConfig::default()
        };
        let mut config = ConfigBuilder::new()
            .with_keypair(keypair(options)?)
            .with_keep_alive_timeout(Duration::from_secs(24 * 60 * 60))
            .with_tcp(tcp)
            .with_websocket(websocket);
        let (mut identify_events, mut ping_events): (Events<IdentifyEvent>, Events<PingEvent>) = (None, None);
        if !listening || options.wants("identify") {
            let (identify, events) =
                IdentifyConfig::new("ipfs/0.1.0".into(), Some(format!("litep2p/{VERSION}")));
            config = config.with_libp2p_identify(identify);
            identify_events = Some(events);
        }
        if !listening || options.wants("ping") {
            let interval = if options.will_ping {
                FAST_PING
            } else {
                PING_INTERVAL
            };
            let (ping, events) = PingConfig::new().with_ping_interval(interval).build();
            config = config.with_libp2p_ping(ping);
            ping_events = Some(events);
        }
        let mut kad = None;
        if options.uses("kad", "kad-") {
            let (kademlia, mounted) = Kad::new(options);
            config = config.with_libp2p_kademlia(kademlia);
            kad = Some(mounted);
        }
        let mut mdns_events: Events<MdnsEvent> = None;
        if listening && options.wants("mdns") {
            let (mdns, events) = MdnsConfig::new(MDNS_INTERVAL);
            config = config.with_mdns(mdns);
            mdns_events = Some(events);
        }
        let mut streams = HashMap::new();
        for (name, protocol) in services::ALL {
            // A protocol must be mounted before its streams can be opened, so a dialer has them all.
            if !listening || options.wants(name) {
                let (handler, orders) = Streams::new(protocol, listening);
                config = config.with_user_protocol(Box::new(handler));
                streams.insert(protocol, orders);
            }
        }
        let litep2p = Litep2p::new(config.build()).map_err(|error| Failure::of(&error))?;
        let peer_id = *litep2p.local_peer_id();
        let listen_addrs = litep2p.listen_addresses().map(ToString::to_string).collect();
        for addr in litep2p.listen_addresses() {
            // Without a public address there is nothing that a provider record could tell.
            if let Err(error) = litep2p.public_addresses().add_address(addr.clone()) {
                eprintln!("not announced: {error:?}");
            }
        }
        let (dial, dials) = mpsc::unbounded_channel();
        for peer in &options.peers {
            let addr = peer.parse().map_err(|error| Failure::of(&error))?;
            dial.send(addr).map_err(|_| gone())?;
        }
        let (asks, questions) = mpsc::unbounded_channel();
        let (tell, facts) = watch::channel(Facts::default());
        let (events, event_queue) = mpsc::unbounded_channel();
        let driver = Driver {
            litep2p,
            dials,
            identify_events,
            ping_events,
            facts: tell,
            events,
            known: HashMap::new(),
            questions,
            kad,
            mdns_events,
            remote: None,
        };
        tokio::spawn(driver.run());
        Ok(Self {
            peer_id,
            listen_addrs,
            dial,
            asks,
            streams,
            facts,
            events: event_queue,
            remote: None,
            pings_told: 0,
        })
    }

    fn peer_id(&self) -> String {
        self.peer_id.to_string()
    }

    fn listen_addrs(&self) -> Vec<String> {
        self.listen_addrs.clone()
    }

    async fn connect(&mut self, addr: &str) -> Outcome<Connected> {
        let addr: Multiaddr = addr.parse().map_err(|error| Failure::of(&error))?;
        let Some(Protocol::P2p(hash)) = addr.iter().last() else {
            return Err(Failure::Failed("the address does not end in a peer id".into()));
        };
        let peer = PeerId::from_multihash(hash).map_err(|_| Failure::Failed("no peer id".into()))?;
        self.remote = Some((peer, addr.clone()));
        self.dial.send(addr).map_err(|_| gone())?;
        self.wait(|facts| facts.open > 0).await?;
        Ok(Connected {
            peer: peer.to_string(),
            security: Some("/noise"),
            muxer: Some("/yamux/1.0.0"),
            relayed: false,
        })
    }

    async fn open(&mut self, protocol: &'static str) -> Outcome<Stream> {
        let (peer, _) = self.remote.clone().ok_or_else(gone)?;
        let (answer, result) = oneshot::channel();
        self.streams
            .get(protocol)
            .ok_or_else(gone)?
            .send(Order::Open(Open { peer, answer }))
            .map_err(|_| gone())?;
        result
            .await
            .unwrap_or_else(|_| Err(Failure::Failed("the connection closed".into())))
    }

    async fn ping(&mut self, count: usize) -> Outcome<Vec<Duration>> {
        let (from, to) = (self.pings_told, self.pings_told + count);
        self.wait(|facts| facts.pings.len() >= to).await?;
        self.pings_told = to;
        Ok(self
            .facts
            .borrow()
            .pings
            .get(from..to)
            .unwrap_or_default()
            .to_vec())
    }

    async fn identify(&mut self) -> Outcome<Identity> {
        self.wait(|facts| facts.identity.is_some()).await?;
        let identity = self.facts.borrow().identity.clone();
        identity.ok_or_else(gone)
    }

    async fn push(&mut self, _: &str) -> Outcome<()> {
        Err(Failure::Unsupported("litep2p has no identify push".into()))
    }

    async fn alive(&mut self) -> Outcome<()> {
        self.wait(|_| true).await
    }

    async fn kad(&mut self, query: &Query) -> Outcome<Found> {
        // litep2p's Kademlia learns of a connection after everybody else, and fails a query that begins before at once: `PeerDoesNotExist`.
        match self.ask(query).await {
            Err(Failure::Failed(_)) => {
                tokio::time::sleep(AGAIN).await;
                self.ask(query).await
            }
            other => other,
        }
    }

    async fn close(&mut self) {
        // litep2p lets only a mounted protocol close a connection; any of them will do.
        if let (Some((peer, _)), Some(orders)) = (self.remote.clone(), self.streams.values().next())
            && !self.facts.borrow().closed
            && orders.send(Order::Close(peer)).is_ok()
        {
            // Fails only when the node is gone, and the connection with it.
            let _ = self.facts.wait_for(|facts| facts.closed).await;
        }
    }

    async fn event(&mut self) -> Value {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

fn gone() -> Failure {
    Failure::Failed("the node is gone".into())
}

impl Node {
    async fn ask(&mut self, query: &Query) -> Outcome<Found> {
        let (answer, result) = oneshot::channel();
        self.asks.send((query.clone(), answer)).map_err(|_| gone())?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Waits until something is known; ends early when dialing failed or the connection closed.
    async fn wait(&mut self, mut done: impl FnMut(&Facts) -> bool) -> Outcome<()> {
        let facts = self
            .facts
            .wait_for(|facts| facts.dial_error.is_some() || facts.closed || done(facts))
            .await
            .map_err(|_| gone())?;
        match &facts.dial_error {
            Some(error) => Err(Failure::Failed(error.clone())),
            None if facts.closed => Err(Failure::Failed("the connection was closed".into())),
            None => Ok(()),
        }
    }
}

/// The peer that an address ends in.
fn peer_of(addr: &Multiaddr) -> Option<PeerId> {
    match addr.iter().last() {
        Some(Protocol::P2p(hash)) => PeerId::from_multihash(hash).ok(),
        _ => None,
    }
}

/// Runs litep2p and writes down what happens.
struct Driver {
    litep2p: Litep2p,
    dials: mpsc::UnboundedReceiver<Multiaddr>,
    identify_events: Events<IdentifyEvent>,
    ping_events: Events<PingEvent>,
    mdns_events: Events<MdnsEvent>,
    facts: watch::Sender<Facts>,
    events: mpsc::UnboundedSender<Value>,
    known: HashMap<PeerId, Vec<String>>,
    questions: mpsc::UnboundedReceiver<Ask>,
    kad: Option<Kad>,
    /// Whom a dialer has dialed, and where.
    remote: Option<(PeerId, Multiaddr)>,
}

/// The next event of a protocol that may not be mounted.
async fn next<T>(events: &mut Events<T>) -> T {
    if let Some(stream) = events
        && let Some(event) = stream.next().await
    {
        return event;
    }
    *events = None;
    std::future::pending().await
}

impl Driver {
    async fn run(mut self) {
        let mut dialing = true;
        loop {
            tokio::select! {
                dial = self.dials.recv(), if dialing => match dial {
                    None => dialing = false,
                    Some(addr) => {
                        self.remote = peer_of(&addr).map(|peer| (peer, addr.clone()));
                        if let Err(error) = self.litep2p.dial_address(addr).await {
                            self.dial_failed(&error);
                        }
                    },
                },
                Some((query, answer)) = self.questions.recv() => {
                    if let (Some(kad), Some((peer, addr))) = (&mut self.kad, &self.remote) {
                        kad.ask(*peer, addr.clone(), &query, answer).await;
                    }
                },
                event = Kad::next(&mut self.kad) => if let Some(kad) = &mut self.kad {
                    kad.on_event(event);
                },
                MdnsEvent::Discovered(found) = next(&mut self.mdns_events) => {
                    for peer in found.iter().filter_map(peer_of) {
                        let _ = self.events.send(json!({"event": "discovered", "peer": peer.to_string()}));
                    }
                },
                event = self.litep2p.next_event() => match event {
                    None => return,
                    Some(event) => self.on_event(event),
                },
                event = next(&mut self.identify_events) => self.on_identify(event).await,
                PingEvent::Ping { ping, .. } = next(&mut self.ping_events) => {
                    self.facts.send_modify(|facts| facts.pings.push(ping));
                }
            }
        }
    }

    fn dial_failed(&self, error: &dyn std::error::Error) {
        if let Failure::Failed(text) = Failure::of(error) {
            self.facts.send_modify(|facts| facts.dial_error = Some(text));
        }
    }

    fn on_event(&mut self, event: Litep2pEvent) {
        match event {
            Litep2pEvent::ConnectionEstablished { peer, .. } if self.is_remote(&peer) => {
                self.facts.send_modify(|facts| facts.open += 1);
            }
            Litep2pEvent::ConnectionEstablished { .. } => {}
            Litep2pEvent::ConnectionClosed { peer, .. } if !self.is_remote(&peer) => {
                _ = self.known.remove(&peer)
            }
            Litep2pEvent::ConnectionClosed { peer, .. } => {
                self.known.remove(&peer);
                self.facts.send_modify(|facts| {
                    facts.open = facts.open.saturating_sub(1);
                    facts.closed = facts.open == 0;
                });
            }
            // Kademlia may fail to dial whom it hears of.
            Litep2pEvent::DialFailure { .. } | Litep2pEvent::ListDialFailures { .. }
                if self.facts.borrow().open > 0 => {}
            Litep2pEvent::DialFailure { error, .. } => self.dial_failed(&error),
            Litep2pEvent::ListDialFailures { errors } => {
                if let Some((_, error)) = errors.first() {
                    self.dial_failed(error);
                }
            }
        }
    }

    fn is_remote(&self, peer: &PeerId) -> bool {
        self.remote.as_ref().is_some_and(|(remote, _)| remote == peer)
    }

    async fn on_identify(&mut self, event: IdentifyEvent) {
        let IdentifyEvent::PeerIdentified {
            peer,
            protocol_version,
            user_agent,
            supported_protocols,
            observed_address,
            listen_addresses,
        } = event;
        let mut protocols: Vec<_> = supported_protocols.iter().map(ToString::to_string).collect();
        protocols.sort();
        if let Some(kad) = &mut self.kad {
            kad.meet(peer, &protocols, listen_addresses.clone()).await;
        }
        let identity = Identity {
            peer: peer.to_string(),
            agent_version: user_agent.unwrap_or_default(),
            protocol_version: protocol_version.unwrap_or_default(),
            protocols: protocols.clone(),
            listen_addrs: listen_addresses.iter().map(ToString::to_string).collect(),
            observed_addr: (!observed_address.is_empty()).then(|| observed_address.to_string()),
        };
        self.facts.send_modify(|facts| facts.identity = Some(identity));
        if self.known.get(&peer) != Some(&protocols) {
            let event = json!({"event": "identify-push", "peer": peer.to_string(), "protocols": protocols});
            self.known.insert(peer, protocols);
            // Nobody reads the events of a dialer.
            let _ = self.events.send(event);
        }
    }
}
