//! What a peer runs besides the basics: Kademlia, gossip, and what has to do with NAT and discovery.

use std::time::Duration;

use interop_contract::{Failure, Options, Outcome};
use libp2p::identity::Keypair;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, StreamProtocol};
use libp2p::{autonat, dcutr, gossipsub, kad, mdns, relay, rendezvous};

/// Largest message of a topic, in bytes.
const MAX_MESSAGE: usize = 1024 * 1024;
/// Data limit of a connection through this relay, in bytes; rust-libp2p's own is the least that is allowed.
const RELAY_BYTES: u64 = 16 * 1024 * 1024;
/// Pause between probes of AutoNAT. Peers exist for seconds only.
const PROBE: Duration = Duration::from_millis(300);

/// The behaviours, each where it was asked for.
#[derive(NetworkBehaviour)]
pub struct More {
    pub kad: Toggle<kad::Behaviour<MemoryStore>>,
    pub gossip: Toggle<gossipsub::Behaviour>,
    pub relay: Toggle<relay::Behaviour>,
    pub relay_client: Toggle<relay::client::Behaviour>,
    pub dcutr: Toggle<dcutr::Behaviour>,
    pub autonat: Toggle<autonat::Behaviour>,
    pub autonat2_server: Toggle<autonat::v2::server::Behaviour>,
    pub autonat2_client: Toggle<autonat::v2::client::Behaviour>,
    pub rendezvous_server: Toggle<rendezvous::server::Behaviour>,
    pub rendezvous_client: Toggle<rendezvous::client::Behaviour>,
    pub mdns: Toggle<mdns::tokio::Behaviour>,
}

impl More {
    /// What the options ask for, and the transport through relays if they do.
    pub fn new(key: &Keypair, options: &Options) -> Outcome<(Self, Option<relay::client::Transport>)> {
        let id = key.public().to_peer_id();
        let serves = |service| !options.dialing && options.wants(service);
        let circuits = options.relay.is_some()
            || options.circuit
            || options.does("relay-reserve")
            || options.uses("dcutr", "dcutr");
        let (transport, relay_client) = circuits.then(|| relay::client::new(id)).unzip();
        let kad = options
            .uses("kad", "kad-")
            .then(|| kademlia(key, options))
            .transpose()?;
        let gossip = options
            .uses("gossip", "gossip")
            .then(|| gossip(key, options))
            .transpose()?;
        let relay = serves("relay").then(|| {
            // All peers come from one host, so nobody is slowed down.
            let config = relay::Config {
                reservation_rate_limiters: Vec::new(),
                circuit_src_rate_limiters: Vec::new(),
                max_circuit_bytes: RELAY_BYTES,
                ..relay::Config::default()
            };
            relay::Behaviour::new(id, config)
        });
        let autonat = options.uses("autonat", "autonat").then(|| {
            let config = autonat::Config {
                boot_delay: PROBE,
                retry_interval: PROBE,
                throttle_server_period: Duration::ZERO,
                use_connected: false,
                only_global_ips: false,
                ..autonat::Config::default()
            };
            autonat::Behaviour::new(id, config)
        });
        let mdns = serves("mdns")
            .then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), id))
            .transpose()?;
        let more = Self {
            kad: kad.into(),
            gossip: gossip.into(),
            relay: relay.into(),
            relay_client: relay_client.into(),
            dcutr: options
                .uses("dcutr", "dcutr")
                .then(|| dcutr::Behaviour::new(id))
                .into(),
            autonat: autonat.into(),
            autonat2_server: serves("autonat2")
                .then(autonat::v2::server::Behaviour::default)
                .into(),
            autonat2_client: options
                .does("autonat2")
                .then(autonat::v2::client::Behaviour::default)
                .into(),
            rendezvous_server: serves("rendezvous")
                .then(|| rendezvous::server::Behaviour::new(rendezvous::server::Config::default()))
                .into(),
            rendezvous_client: options
                .does("rendezvous-")
                .then(|| rendezvous::client::Behaviour::new(key.clone()))
                .into(),
            mdns: mdns.into(),
        };
        Ok((more, transport))
    }
}

fn kademlia(key: &Keypair, options: &Options) -> Outcome<kad::Behaviour<MemoryStore>> {
    let id = key.public().to_peer_id();
    let name = StreamProtocol::try_from_owned(options.kad.clone()).map_err(|error| Failure::of(&error))?;
    let store = MemoryStore::with_config(id, MemoryStoreConfig::default());
    let mut kad = kad::Behaviour::with_config(id, store, kad::Config::new(name));
    let mode = if options.dialing {
        kad::Mode::Client
    } else {
        kad::Mode::Server
    };
    kad.set_mode(Some(mode));
    Ok(kad)
}

fn gossip(key: &Keypair, options: &Options) -> Outcome<gossipsub::Behaviour> {
    let mut config = gossipsub::ConfigBuilder::default();
    config.max_transmit_size(MAX_MESSAGE);
    match options.pubsub.as_deref() {
        None => _ = config.support_floodsub(),
        Some(name @ "/meshsub/1.0.0") => _ = config.protocol_id(name.to_owned(), gossipsub::Version::V1_0),
        Some(name) => _ = config.protocol_id(name.to_owned(), gossipsub::Version::V1_1),
    }
    let config = config
        .build()
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let signed = gossipsub::MessageAuthenticity::Signed(key.clone());
    let mut gossip =
        gossipsub::Behaviour::new(signed, config).map_err(|error| Failure::Failed(error.into()))?;
    if !options.dialing {
        for topic in &options.topics {
            let topic = gossipsub::IdentTopic::new(topic);
            gossip
                .subscribe(&topic)
                .map_err(|error| Failure::Failed(error.to_string()))?;
        }
    }
    Ok(gossip)
}
