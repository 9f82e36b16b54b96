//! Nodes that punch holes through a relay, and what stands between them and the world.

use libp2p_proto_core::Component;
use libp2p_proto_dcutr::{self as dcutr, Dcutr, How};
use libp2p_proto_identify::{self as identify, Identify};
use libp2p_proto_relay::{self as relay, Relay};
use libp2p_proto_simulator::{
    App, Birth, Dependence, Error, Lent, Link, NatKind, NatPlace, PortChoice, Scenario, Sim, Step,
};
use libp2p_proto_stream_protocol::Dial;
use std::time::Duration;

pub const RELAY: usize = 0;
pub const CALLER: usize = 1;
pub const CALLEE: usize = 2;

/// A node with all that a hole punch needs; the first host is the relay.
pub struct Node {
    pub identify: Identify,
    pub relay: Relay,
    pub dcutr: Dcutr,
    pub told: Vec<dcutr::Event>,
}

/// The first host serves as a relay, the others take slots that they are told to.
pub fn relay(birth: &Birth<'_>) -> Result<Relay, Error> {
    let client = relay::ClientConfig {
        automatic: false,
        ..relay::ClientConfig::default()
    };
    let (server, client) = match birth.place {
        RELAY => (Some(relay::ServerConfig::default()), None),
        _ => (None, Some(client)),
    };
    Relay::new(birth.identity.clone(), server, client).map_err(error)
}

impl Node {
    pub fn new(birth: &Birth<'_>) -> Result<Self, Error> {
        let identity = birth.identity.clone();
        Ok(Self {
            identify: Identify::new(identity, identify::Config::default()).map_err(error)?,
            relay: relay(birth)?,
            dcutr: Dcutr::new(dcutr::Config::default()).map_err(error)?,
            told: Vec::new(),
        })
    }

    pub fn how(&self) -> Option<How> {
        self.told.iter().find_map(|event| match event {
            dcutr::Event::Upgraded { how, .. } => Some(*how),
            _ => None,
        })
    }
}

pub fn error(error: impl ToString) -> Error {
    Error::App(error.to_string())
}

impl App for Node {
    fn protocols(&mut self) -> Lent<'_> {
        let mut all = Lent::new();
        all.push(&mut self.identify);
        all.push(&mut self.relay);
        all.push(&mut self.dcutr);
        all
    }

    fn step(&mut self, _: &mut Step<'_>) {
        while self.identify.poll_event().is_some() {}
        while self.relay.poll_event().is_some() {}
        self.told.extend(core::iter::from_fn(|| self.dcutr.poll_event()));
    }

    fn census(&self) -> usize {
        let (dcutr, relay) = (self.dcutr.census(), self.relay.stats());
        dcutr.peers + dcutr.streams + dcutr.dials + relay.circuits + relay.inbound + relay.dialing
    }
}

/// What stands between a host and the world.
#[derive(Clone, Copy)]
pub enum Place {
    Open,
    Nat(NatKind),
    /// A NAT behind another one.
    Twice(NatKind),
}

pub const fn kind(mapping: Dependence, filtering: Dependence, ports: PortChoice) -> NatKind {
    NatKind {
        mapping,
        filtering,
        ports,
        hairpin: false,
        refuses: false,
        timeout: Duration::from_secs(7440),
        table: 4096,
    }
}

pub const EI: Dependence = Dependence::EndpointIndependent;
pub const AD: Dependence = Dependence::AddressDependent;
pub const APD: Dependence = Dependence::AddressPortDependent;
pub const RESTRICTED: NatKind = kind(EI, APD, PortChoice::Preserve);

pub fn world(caller: Place, callee: Place) -> Scenario {
    let mut scenario = Scenario::new(3).link(Link {
        jitter: Duration::from_millis(2),
        ..Link::default()
    });
    for (host, place) in [(CALLER, caller), (CALLEE, callee)] {
        match place {
            Place::Open => {}
            Place::Nat(kind) => scenario = scenario.nat(kind, [host]),
            Place::Twice(kind) => {
                scenario = scenario.nat(kind, []);
                scenario.nats.push(NatPlace {
                    kind,
                    outer: Some(scenario.nats.len() - 1),
                    hosts: vec![host],
                });
            }
        }
    }
    scenario
}

/// Whether a host is connected to the callee without the relay.
pub fn is_direct_from(sim: &Sim<Node>, host: usize) -> bool {
    let (swarm, peer) = (sim.swarm(host).unwrap(), sim.peer(CALLEE).unwrap());
    let mut all = swarm.connections(peer).into_iter();
    all.any(|conn| !swarm.connection_info(conn).unwrap().remote.is_relayed())
}

/// Whether the caller and the callee are connected without the relay.
pub fn is_direct(sim: &Sim<Node>) -> bool {
    is_direct_from(sim, CALLER)
}

/// Dials the callee over the relay.
pub fn call(sim: &mut Sim<Node>, host: usize) {
    let addr = sim.address_of(RELAY).unwrap();
    let circuit = addr
        .with_peer_id(sim.peer(RELAY).unwrap())
        .unwrap()
        .with(Component::P2pCircuit)
        .unwrap();
    let dial = Dial {
        addrs: vec![circuit],
        ..Dial::peer(sim.peer(CALLEE).unwrap())
    };
    let begun = sim.command(host, |_, swarm, now| swarm.dial(now, dial).is_ok());
    assert_eq!(begun, Some(true));
}

/// A relayed connection from the caller to the callee.
pub fn relayed(scenario: Scenario, seed: u64) -> Sim<Node> {
    let mut sim = Sim::new(scenario, seed, |birth| Node::new(&birth)).unwrap();
    let (relay, addr) = (sim.peer(RELAY).unwrap(), sim.address_of(RELAY).unwrap());
    sim.command(CALLEE, move |app, _, _| app.relay.reserve(relay, vec![addr]));
    sim.run_for(Duration::from_secs(2)).unwrap();
    call(&mut sim, CALLER);
    sim
}

/// Runs until both are connected directly, or the callee has had the time for all its attempts; then for half a second, so that both have told of it.
pub fn settle(sim: &mut Sim<Node>) {
    let end = sim.now() + Duration::from_secs(36);
    sim.run_until(end, |sim| is_direct(sim)).unwrap();
    sim.run_for(Duration::from_millis(500)).unwrap();
}
