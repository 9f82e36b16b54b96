//! rust-libp2p as a [`interop_contract::Node`].

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use interop_contract::{Connected, Failure, Identity, Key, Options, Outcome, services};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{Stream, StreamProtocol, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, ping};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::keys;
use crate::streams::{Control, Inbound};
use crate::swarm::{Behaviour, BehaviourEvent, Mount, VERSION, swarm};

/// Pause between the pings of a dialer that was asked to ping. Listeners may refuse more than ten a second.
const FAST_PING: Duration = Duration::from_millis(110);

/// How long a peer may take to ask for our identify message before we push without waiting for that.
const FIRST_QUESTION: Duration = Duration::from_secs(1);

/// What has become known about the connection of a dialer.
#[derive(Default)]
struct Facts {
    open: u32,
    dial_error: Option<String>,
    close_reason: Option<String>,
    identity: Option<Result<Identity, String>>,
    /// The peer asked for our identify message and has got it.
    answered: bool,
    pings: Vec<Duration>,
    ping_error: Option<String>,
    pushed: Vec<String>,
    push_error: Option<String>,
}

/// What the task that runs the swarm is asked to do.
enum Command {
    Dial(DialOpts),
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
    remote: Option<PeerId>,
    pings_told: usize,
}

impl interop_contract::Node for Node {
    const IMPL: &'static str = "rust-libp2p";
    const VERSION: &'static str = VERSION;
    const WEBSOCKET: bool = true;
    const SERVICES: &'static [&'static str] =
        &["identify", "push", "ping", "perf", "echo", "reqresp", "fetch"];
    const KEYS: &'static [Key] = &[Key::Ed25519, Key::Secp256k1, Key::Ecdsa, Key::Rsa];
    type Stream = Stream;

    async fn start(options: &Options) -> Outcome<Self> {
        let listening = !options.listen.is_empty();
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
        let (mut swarm, inbound) = swarm(keys::keypair(options)?, mount)?;
        for addr in &options.listen {
            let addr: Multiaddr = addr.parse().map_err(|error| Failure::of(&error))?;
            swarm.listen_on(addr).map_err(|error| Failure::of(&error))?;
        }
        let mut listen_addrs = Vec::new();
        while listen_addrs.len() < options.listen.len() {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    listen_addrs.push(address.with(Protocol::P2p(*swarm.local_peer_id())).to_string());
                }
                SwarmEvent::ListenerClosed {
                    reason: Err(error), ..
                } => return Err(error.into()),
                _ => {}
            }
        }
        let peer_id = *swarm.local_peer_id();
        let streams = swarm.behaviour().streams.control();
        let (commands, orders) = mpsc::unbounded_channel();
        let (tell, facts) = watch::channel(Facts::default());
        let (events, event_queue) = mpsc::unbounded_channel();
        tokio::spawn(serve(inbound));
        tokio::spawn(
            Driver {
                swarm,
                orders,
                facts: tell,
                events,
                known: HashMap::new(),
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
        self.remote = Some(peer);
        let opts = DialOpts::peer_id(peer).addresses(vec![addr]).build();
        self.commands.send(Command::Dial(opts)).map_err(|_| gone())?;
        self.wait(|facts| facts.open > 0, |facts| facts.dial_error.clone())
            .await?;
        // Nothing else is offered, so nothing else can have been agreed.
        Ok(Connected {
            peer: peer.to_string(),
            security: Some("/noise"),
            muxer: Some("/yamux/1.0.0"),
        })
    }

    async fn open(&mut self, protocol: &'static str) -> Outcome<Stream> {
        let peer = self.remote.ok_or_else(gone)?;
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
        if self.remote.is_none_or(|peer| peer.to_string() != identity.peer) {
            return Err(Failure::Failed(format!("the message is from {}", identity.peer)));
        }
        Ok(identity)
    }

    async fn push(&mut self, protocol: &str) -> Outcome<()> {
        let peer = self.remote.ok_or_else(gone)?;
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

    async fn close(&mut self) {
        if let Some(peer) = self.remote
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

fn gone() -> Failure {
    Failure::Failed("the node is gone".into())
}

impl Node {
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
struct Driver {
    swarm: Swarm<Behaviour>,
    orders: mpsc::UnboundedReceiver<Command>,
    facts: watch::Sender<Facts>,
    events: mpsc::UnboundedSender<Value>,
    known: HashMap<PeerId, Vec<String>>,
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
                    Some(Command::Dial(opts)) => if let Err(error) = self.swarm.dial(opts) {
                        self.dial_failed(&error);
                    },
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

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { .. } => self.facts.send_modify(|facts| facts.open += 1),
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established,
                cause,
                ..
            } => {
                let reason =
                    cause.map_or_else(|| "the connection was closed".into(), |cause| cause.to_string());
                if num_established == 0 {
                    self.known.remove(&peer_id);
                }
                self.facts.send_modify(|facts| {
                    facts.open = facts.open.saturating_sub(1);
                    facts.close_reason = Some(reason);
                });
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => self.dial_failed(&error),
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
                self.facts
                    .send_modify(|facts| facts.identity = Some(Ok(identity)));
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
