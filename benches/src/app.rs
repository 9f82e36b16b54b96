//! The protocols of a measured node.

use crate::{Failure, memory::identity};
use libp2p_proto_core::{Multiaddr, ProtocolName, Rate};
use libp2p_proto_echo::Echo;
use libp2p_proto_gossipsub::{self as gossipsub, Gossipsub};
use libp2p_proto_identify::{self as identify, Identify};
use libp2p_proto_identity::Identity;
use libp2p_proto_kad::{self as kad, Kad, Validators};
use libp2p_proto_perf::{self as perf, Perf};
use libp2p_proto_ping::{self as ping, Ping};
use libp2p_proto_stream_protocol::{Context, Input, Protocol, StreamSpec};
use libp2p_proto_streams::{self as streams, Streams};
use libp2p_proto_swarm as swarm;

pub(crate) const ECHO: ProtocolName = ProtocolName::from_static("/echo/1.0.0");

/// What a node runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mount {
    /// Nothing but connections.
    Bare,
    /// identify alone.
    Identify,
    /// identify and ping.
    Idle,
    /// perf, served or asked for.
    Perf,
    /// identify, and echo, served.
    EchoServer,
    /// identify, and raw streams, opened.
    EchoClient,
    /// identify, and GossipSub with one topic.
    Gossip,
    /// identify, and Kademlia, a server of a private network.
    Kad,
}

/// The topic of [`Mount::Gossip`].
pub(crate) const TOPIC: &str = "bench";
/// The network of [`Mount::Kad`].
const NETWORK: ProtocolName = ProtocolName::from_static("/bench/kad/1.0.0");

/// Echo for any number of streams at a time: its own limit is made for the open network.
pub(crate) struct WideEcho {
    echo: Echo,
    specs: Vec<StreamSpec>,
}

impl WideEcho {
    fn new() -> Self {
        let echo = Echo::new(ECHO);
        let mut specs = echo.specs().to_vec();
        for spec in &mut specs {
            spec.max_inbound = u16::MAX;
        }
        Self { echo, specs }
    }
}

impl Protocol for WideEcho {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        self.echo.handle(cx, input);
    }
}

/// The protocols that are mounted.
pub(crate) struct App {
    pub(crate) identify: Option<Identify>,
    pub(crate) ping: Option<Ping>,
    pub(crate) perf: Option<Perf>,
    pub(crate) echo: Option<WideEcho>,
    pub(crate) streams: Option<Streams>,
    pub(crate) gossip: Option<Gossipsub>,
    pub(crate) kad: Option<Kad>,
}

impl App {
    pub(crate) fn new(identity: &Identity, mount: Mount) -> Result<Self, Failure> {
        let mut app = Self {
            identify: None,
            ping: None,
            perf: None,
            echo: None,
            streams: None,
            gossip: None,
            kad: None,
        };
        // As in a real node: who is identified is known to speak a protocol, and a stream to it opens in one flight.
        if !matches!(mount, Mount::Bare | Mount::Perf) {
            let config = identify::Config::default();
            app.identify = Some(Identify::new(identity.clone(), config)?);
        }
        match mount {
            Mount::Bare | Mount::Identify => {}
            Mount::Idle => app.ping = Some(Ping::new(ping::Config::default())?),
            Mount::Perf => {
                let config = perf::Config {
                    serve: true,
                    ..perf::Config::default()
                };
                app.perf = Some(Perf::new(config)?);
            }
            Mount::EchoServer => app.echo = Some(WideEcho::new()),
            Mount::Gossip => {
                let mut gossip = Gossipsub::new(identity.clone(), gossipsub::Config::default())?;
                gossip.subscribe(TOPIC)?;
                app.gossip = Some(gossip);
            }
            Mount::Kad => {
                // All peers are at one address.
                let config = kad::Config {
                    mode: kad::Mode::Server,
                    dial_rate: Rate::per_second(u32::MAX, u32::MAX),
                    ..kad::Config::private(NETWORK, Validators::none())
                };
                app.kad = Some(Kad::new(identity.peer_id(), config)?);
            }
            Mount::EchoClient => app.streams = Some(Streams::new(&[ECHO], streams::Config::default())?),
        }
        Ok(app)
    }

    pub(crate) fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        let mut all: Vec<&mut dyn Protocol> = Vec::with_capacity(2);
        all.extend(self.identify.as_mut().map(|it| it as &mut dyn Protocol));
        all.extend(self.ping.as_mut().map(|it| it as &mut dyn Protocol));
        all.extend(self.perf.as_mut().map(|it| it as &mut dyn Protocol));
        all.extend(self.echo.as_mut().map(|it| it as &mut dyn Protocol));
        all.extend(self.streams.as_mut().map(|it| it as &mut dyn Protocol));
        all.extend(self.gossip.as_mut().map(|it| it as &mut dyn Protocol));
        all.extend(self.kad.as_mut().map(|it| it as &mut dyn Protocol));
        all
    }
}

/// An identity of its own for each number.
pub(crate) fn numbered(number: usize) -> Identity {
    let mut seed = [0x42; 32];
    for (to, from) in seed.iter_mut().zip(number.to_le_bytes()) {
        *to = from;
    }
    Identity::from(libp2p_proto_identity::Keypair::ed25519_from_seed(seed))
}

/// Limits for so many connections from this one address: those of a node are made for the open network.
pub(crate) fn limits(connections: usize) -> swarm::Config {
    let most = connections.saturating_add(64);
    swarm::Config {
        max_connections: most,
        max_inbound: most,
        max_per_peer: most,
        max_per_ip: most,
        max_pending_inbound: 256,
        max_pending_per_ip: 256,
        accepts_per_second: u32::MAX,
        idle_timeout: None,
        ..swarm::Config::default()
    }
}

pub(crate) fn loopback() -> Result<Multiaddr, Failure> {
    Ok("/ip4/127.0.0.1/tcp/0".parse()?)
}

/// The identity of the process that listens, or of the one that dials.
pub(crate) fn side(listens: bool) -> Identity {
    identity(if listens { 1 } else { 2 })
}
