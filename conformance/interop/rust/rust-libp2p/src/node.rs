//! rust-libp2p as a [`interop_contract::Node`].

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use interop_contract::{
    Connected, Failure, Found, Identity, Key, Options, Outcome, Query, Reservation, services,
};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{Stream, StreamProtocol, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, ping};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::answers::Pending;
use crate::keys;
use crate::more::More;
use crate::streams::{Control, Inbound};
use crate::swarm::{Behaviour, BehaviourEvent, Mount, VERSION, swarm_with};

/// Pause between the pings of a dialer that was asked to ping. Listeners may refuse more than ten a second.
const FAST_PING: Duration = Duration::from_millis(110);

/// How long a peer may take to ask for our identify message before we push without waiting for that.
const FIRST_QUESTION: Duration = Duration::from_secs(1);

/// What has become known about the connection of a dialer.
#[derive(Default)]
pub(crate) struct Facts {
    open: u32,
    /// Connections of those that lead through no relay.
    direct: u32,
    dial_error: Option<String>,
    close_reason: Option<String>,
    identity: Option<Result<Identity, String>>,
    /// The peer asked for our identify message and has got it.
    answered: bool,
    pings: Vec<Duration>,
    ping_error: Option<String>,
    pushed: Vec<String>,
    push_error: Option<String>,
    /// Topics that the peer has joined.
    pub(crate) joined: Vec<String>,
}

/// Where the answer to a command goes.
pub(crate) type Answer<T> = oneshot::Sender<Outcome<T>>;

/// What the task that runs the swarm is asked to do.
pub(crate) enum Command {
    Dial(PeerId, Multiaddr),
    Ask(Query, Answer<Found>),
    Join(String, Answer<()>),
    Publish(String, Vec<u8>, Answer<()>),
    Reserve(Answer<Option<(Option<Duration>, Option<u64>)>>),
    Reach(u8, Answer<&'static str>),
    Register(String, Answer<u64>),
    Discover(String, Answer<Vec<String>>),
    Push(PeerId),
    Close(PeerId),
}

/// A node whose swarm runs in a task of its own.
pub struct Node {
    peer_id: PeerId,
    listen_addrs: Vec<String>,
    commands: mpsc::UnboundedSender<Command>,
    streams: Control,
    facts: watch::Receiver<Facts>,
    events: mpsc::UnboundedReceiver<Value>,
    messages: mpsc::UnboundedReceiver<Vec<u8>>,
    remote: Option<(PeerId, Multiaddr)>,
    pings_told: usize,
}

impl interop_contract::Node for Node {
    const IMPL: &'static str = "rust-libp2p";
    const VERSION: &'static str = VERSION;
    const WEBSOCKET: bool = true;
    const SERVICES: &'static [&'static str] = &[
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
        "autonat",
        "autonat2",
        "rendezvous",
        "mdns",
    ];
    // It has no FloodSub without GossipSub, and keeps to no other version.
    const PUBSUB: &'static [&'static str] = &["/meshsub/1.0.0", "/meshsub/1.1.0"];
    const KEYS: &'static [Key] = &[Key::Ed25519, Key::Secp256k1, Key::Ecdsa, Key::Rsa];
    type Stream = Stream;

    async fn start(options: &Options) -> Outcome<Self> {
        let listening = !options.dialing;
        let mount = Mount {
            identify: !listening || options.wants("identify") || options.wants("push"),
            ping: (!listening || options.wants("ping")).then_some(if options.will_ping {
                FAST_PING
            } else {
                Mount::PING_INTERVAL
            }),
            protocols: services::ALL
                .into_iter()
                .filter(|(name, _)| listening && options.wants(name))
                .map(|(_, protocol)| protocol)
                .collect(),
        };
        let key = keys::keypair(options)?;
        let (more, circuits) = More::new(&key, options)?;
        let (mut swarm, inbound) = swarm_with(key, mount, circuits, more)?;
        let mut listen_addrs = listen(&mut swarm, &options.listen).await?;
        if listening && options.wants("relay")
            || options.does("rendezvous-register")
            || options.does("kad-provide")
        {
            // Nobody will tell us that loopback addresses are external, and without one there is nothing to hand out.
            for addr in swarm.listeners().cloned().collect::<Vec<_>>() {
                swarm.add_external_address(addr);
            }
        }
        if let Some(relay) = &options.relay {
            listen_addrs.extend(listen(&mut swarm, &[format!("{relay}/p2p-circuit")]).await?);
        }
        for peer in &options.peers {
            let addr: Multiaddr = peer.parse().map_err(|error| Failure::of(&error))?;
            swarm.dial(addr).map_err(|error| Failure::of(&error))?;
        }
        let peer_id = *swarm.local_peer_id();
        let streams = swarm.behaviour().streams.control();
        let (commands, orders) = mpsc::unbounded_channel();
        let (tell, facts) = watch::channel(Facts::default());
        let (events, event_queue) = mpsc::unbounded_channel();
        let (heard, messages) = mpsc::unbounded_channel();
        tokio::spawn(serve(inbound));
        tokio::spawn(
            Driver {
                swarm,
                orders,
                facts: tell,
                events,
                known: HashMap::new(),
                remote: None,
                heard: options.dialing.then_some(heard),
                kad_name: options.kad.clone(),
                pending: Pending::default(),
            }
            .run(),
        );
        Ok(Self {
            peer_id,
            listen_addrs,
            commands,
            streams,
            facts,
            events: event_queue,
            messages,
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
        let Some(Protocol::P2p(peer)) = addr.iter().last() else {
            return Err(Failure::Failed("the address does not end in a peer id".into()));
        };
        self.remote = Some((peer, addr.clone()));
        self.commands
            .send(Command::Dial(peer, addr))
            .map_err(|_| gone())?;
        self.wait(|facts| facts.open > 0, |facts| facts.dial_error.clone())
            .await?;
        // Nothing else is offered, so nothing else can have been agreed.
        Ok(Connected {
            peer: peer.to_string(),
            security: Some("/noise"),
            muxer: Some("/yamux/1.0.0"),
            relayed: self.facts.borrow().direct == 0,
        })
    }

    async fn open(&mut self, protocol: &'static str) -> Outcome<Stream> {
        let peer = self.remote()?;
        self.streams.open(peer, protocol).await
    }

    async fn ping(&mut self, count: usize) -> Outcome<Vec<Duration>> {
        let (from, to) = (self.pings_told, self.pings_told + count);
        self.wait(|facts| facts.pings.len() >= to, |facts| facts.ping_error.clone())
            .await?;
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
        self.wait(|facts| facts.identity.is_some(), |_| None).await?;
        let identity = self
            .facts
            .borrow()
            .identity
            .clone()
            .ok_or_else(gone)?
            .map_err(Failure::Failed)?;
        if self.remote()?.to_string() != identity.peer {
            return Err(Failure::Failed(format!("the message is from {}", identity.peer)));
        }
        Ok(identity)
    }

    async fn push(&mut self, protocol: &str) -> Outcome<()> {
        let peer = self.remote()?;
        self.identify().await?;
        // rust-libp2p pushes changes by itself, but not to a peer that has not asked for the first message.
        let answered = timeout(FIRST_QUESTION, self.wait(|facts| facts.answered, |_| None))
            .await
            .is_ok();
        let name =
            StreamProtocol::try_from_owned(protocol.to_owned()).map_err(|error| Failure::of(&error))?;
        self.streams.accept(name);
        if !answered {
            self.commands.send(Command::Push(peer)).map_err(|_| gone())?;
        }
        self.wait(
            |facts| facts.pushed.iter().any(|name| name == protocol),
            |facts| facts.push_error.clone(),
        )
        .await
    }

    async fn alive(&mut self) -> Outcome<()> {
        self.wait(|_| true, |_| None).await
    }

    async fn kad(&mut self, query: &Query) -> Outcome<Found> {
        self.order(|answer| Command::Ask(query.clone(), answer)).await
    }

    async fn join(&mut self, topic: &str) -> Outcome<()> {
        self.order(|answer| Command::Join(topic.to_owned(), answer))
            .await?;
        self.wait(|facts| facts.joined.iter().any(|known| known == topic), |_| None)
            .await
    }

    async fn publish(&mut self, topic: &str, data: Vec<u8>) -> Outcome<()> {
        self.order(|answer| Command::Publish(topic.to_owned(), data, answer))
            .await
    }

    async fn message(&mut self) -> Outcome<Vec<u8>> {
        self.messages.recv().await.ok_or_else(gone)
    }

    async fn reserve(&mut self) -> Outcome<Reservation> {
        let (limit, bytes) = self.order(Command::Reserve).await?.unwrap_or_default();
        let (_, addr) = self.remote.clone().ok_or_else(gone)?;
        let addr = addr.with(Protocol::P2pCircuit).with(Protocol::P2p(self.peer_id));
        Ok(Reservation {
            addr: addr.to_string(),
            limit,
            bytes,
        })
    }

    async fn direct(&mut self) -> Outcome<()> {
        self.wait(|facts| facts.direct > 0, |_| None).await
    }

    async fn reachability(&mut self, version: u8) -> Outcome<&'static str> {
        self.order(|answer| Command::Reach(version, answer)).await
    }

    async fn register(&mut self, namespace: &str) -> Outcome<u64> {
        self.order(|answer| Command::Register(namespace.to_owned(), answer))
            .await
    }

    async fn discover(&mut self, namespace: &str) -> Outcome<Vec<String>> {
        self.order(|answer| Command::Discover(namespace.to_owned(), answer))
            .await
    }

    async fn close(&mut self) {
        if let Ok(peer) = self.remote()
            && self.commands.send(Command::Close(peer)).is_ok()
        {
            // Fails only when the node is gone, and the connection with it.
            let _ = self.facts.wait_for(|facts| facts.open == 0).await;
        }
    }

    async fn event(&mut self) -> Value {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

pub(crate) fn gone() -> Failure {
    Failure::Failed("the node is gone".into())
}

/// Listens, and answers the addresses, complete.
async fn listen(swarm: &mut Swarm<Behaviour<More>>, wanted: &[String]) -> Outcome<Vec<String>> {
    for addr in wanted {
        let addr: Multiaddr = addr.parse().map_err(|error| Failure::of(&error))?;
        swarm.listen_on(addr).map_err(|error| Failure::of(&error))?;
    }
    let own = *swarm.local_peer_id();
    let mut addrs = Vec::new();
    while addrs.len() < wanted.len() {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => {
                let complete = address.iter().last() == Some(Protocol::P2p(own));
                let address = if complete {
                    address
                } else {
                    address.with(Protocol::P2p(own))
                };
                addrs.push(address.to_string());
            }
            SwarmEvent::ListenerClosed {
                reason: Err(error), ..
            } => return Err(error.into()),
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(Failure::of(&error)),
            _ => {}
        }
    }
    Ok(addrs)
}

impl Node {
    fn remote(&self) -> Outcome<PeerId> {
        self.remote.as_ref().map(|(peer, _)| *peer).ok_or_else(gone)
    }

    /// Sends a command and waits for its answer.
    async fn order<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Outcome<T> {
        let (answer, result) = oneshot::channel();
        self.commands.send(command(answer)).map_err(|_| gone())?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Waits until something is known; ends early when the failure is known or the connection closed.
    async fn wait(
        &mut self,
        mut done: impl FnMut(&Facts) -> bool,
        failure: impl Fn(&Facts) -> Option<String>,
    ) -> Outcome<()> {
        let facts = self
            .facts
            .wait_for(|facts| {
                (done(facts) && facts.close_reason.is_none()) || failed(facts, &failure).is_some()
            })
            .await
            .map_err(|_| gone())?;
        match failed(&facts, &failure) {
            Some(error) => Err(Failure::Failed(error)),
            None => Ok(()),
        }
    }
}

fn failed(facts: &Facts, failure: impl Fn(&Facts) -> Option<String>) -> Option<String> {
    let closed = (facts.open == 0).then(|| facts.close_reason.clone()).flatten();
    failure(facts).or(closed)
}

/// Serves the streams that peers open, each in a task of its own.
pub async fn serve(mut inbound: mpsc::UnboundedReceiver<Inbound>) {
    while let Some(Inbound {
        peer,
        protocol,
        stream,
    }) = inbound.recv().await
    {
        tokio::spawn(async move {
            if let Err(error) = services::serve(protocol.as_ref(), stream).await {
                eprintln!("{protocol} with {peer}: {error}");
            }
        });
    }
}

/// Runs the swarm and writes down what happens.
pub(crate) struct Driver {
    pub(crate) swarm: Swarm<Behaviour<More>>,
    orders: mpsc::UnboundedReceiver<Command>,
    pub(crate) facts: watch::Sender<Facts>,
    pub(crate) events: mpsc::UnboundedSender<Value>,
    known: HashMap<PeerId, Vec<String>>,
    /// Whom a dialer has dialed, and where.
    pub(crate) remote: Option<(PeerId, Multiaddr)>,
    /// Where the messages of topics go; a listener acknowledges them instead.
    pub(crate) heard: Option<mpsc::UnboundedSender<Vec<u8>>>,
    kad_name: String,
    pub(crate) pending: Pending,
}

impl Driver {
    async fn run(mut self) {
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    None => return,
                    Some(Command::Push(peer)) => if let Some(identify) = self.swarm.behaviour_mut().identify.as_mut() {
                        identify.push([peer]);
                    },
                    // Without a connection there is nothing to close.
                    Some(Command::Close(peer)) => _ = self.swarm.disconnect_peer_id(peer),
                    Some(Command::Dial(peer, addr)) => {
                        self.remote = Some((peer, addr.clone()));
                        let opts = DialOpts::peer_id(peer).addresses(vec![addr]).build();
                        if let Err(error) = self.swarm.dial(opts) {
                            self.dial_failed(&error);
                        }
                    },
                    Some(other) => self.on_command(other),
                },
                event = self.swarm.select_next_some() => self.on_event(event),
            }
        }
    }

    fn dial_failed(&self, error: &dyn std::error::Error) {
        if let Failure::Failed(text) = Failure::of(error) {
            self.facts.send_modify(|facts| facts.dial_error = Some(text));
        }
    }

    fn is_remote(&self, peer: PeerId) -> bool {
        self.remote.as_ref().is_some_and(|(remote, _)| *remote == peer)
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent<More>>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id, endpoint, ..
            } if self.is_remote(peer_id) => self.facts.send_modify(|facts| {
                facts.open += 1;
                facts.direct += u32::from(!endpoint.is_relayed());
            }),
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established,
                cause,
                endpoint,
                ..
            } => {
                let reason =
                    cause.map_or_else(|| "the connection was closed".into(), |cause| cause.to_string());
                if num_established == 0 {
                    self.known.remove(&peer_id);
                }
                if self.is_remote(peer_id) {
                    self.facts.send_modify(|facts| {
                        facts.open = facts.open.saturating_sub(1);
                        facts.direct = facts.direct.saturating_sub(u32::from(!endpoint.is_relayed()));
                        facts.close_reason = (facts.open == 0).then_some(reason);
                    });
                }
            }
            // A circuit fails with the connection to its relay. A later failure is one of a hole punch.
            SwarmEvent::OutgoingConnectionError { error, .. }
                if self.remote.is_some() && self.facts.borrow().open == 0 =>
            {
                self.dial_failed(&error);
            }
            SwarmEvent::Behaviour(BehaviourEvent::More(event)) => self.on_more(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => self.on_identify(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { result, .. })) => {
                self.facts.send_modify(|facts| match result {
                    Ok(time) => facts.pings.push(time),
                    Err(error) => facts.ping_error = Some(error.to_string()),
                });
            }
            _ => {}
        }
    }

    fn on_identify(&mut self, event: identify::Event) {
        match event {
            identify::Event::Received { peer_id, info, .. } => {
                let identity = identity(&info);
                let protocols = identity.protocols.clone();
                self.meet(peer_id, info.listen_addrs, protocols.contains(&self.kad_name));
                if self.remote.is_none() || self.is_remote(peer_id) {
                    self.facts
                        .send_modify(|facts| facts.identity = Some(Ok(identity)));
                }
                if self.known.get(&peer_id) != Some(&protocols) {
                    let event = json!({"event": "identify-push", "peer": peer_id.to_string(), "protocols": protocols});
                    self.known.insert(peer_id, protocols);
                    // Nobody reads the events of a dialer.
                    let _ = self.events.send(event);
                }
            }
            identify::Event::Pushed { info, .. } => {
                let names = info.protocols.iter().map(ToString::to_string);
                self.facts.send_modify(|facts| facts.pushed.extend(names));
            }
            identify::Event::Error { error, .. } => {
                let text = error.to_string();
                self.facts.send_modify(|facts| match &facts.identity {
                    None => facts.identity = Some(Err(text)),
                    Some(_) => facts.push_error = Some(text),
                });
            }
            identify::Event::Sent { .. } => self.facts.send_modify(|facts| facts.answered = true),
        }
    }
}

fn identity(info: &identify::Info) -> Identity {
    let mut protocols: Vec<_> = info.protocols.iter().map(ToString::to_string).collect();
    protocols.sort();
    Identity {
        peer: info.public_key.to_peer_id().to_string(),
        agent_version: info.agent_version.clone(),
        protocol_version: info.protocol_version.clone(),
        protocols,
        listen_addrs: info.listen_addrs.iter().map(ToString::to_string).collect(),
        observed_addr: Some(info.observed_addr.to_string()),
    }
}
