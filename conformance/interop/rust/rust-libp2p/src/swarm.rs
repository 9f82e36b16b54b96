//! The swarm that the peer and the benchmarks run.

use std::time::Duration;

use interop_contract::{Failure, Outcome};
use libp2p::core::transport::OptionalTransport;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, StreamProtocol, dummy};
use libp2p::{Swarm, SwarmBuilder, Transport as _, identify, noise, ping, relay, tcp, yamux};
use libp2p_websocket as websocket;
use tokio::sync::mpsc;

use crate::streams;

/// Version of rust-libp2p.
pub const VERSION: &str = "0.57.1";

/// What a node runs on its connections: what the benchmarks measure, and what else a peer needs.
#[derive(NetworkBehaviour)]
pub struct Behaviour<More: NetworkBehaviour> {
    pub identify: Toggle<identify::Behaviour>,
    pub ping: Toggle<ping::Behaviour>,
    pub streams: streams::Behaviour,
    pub more: More,
}

/// What to mount.
pub struct Mount {
    /// Answer and ask identify, and accept and send pushes.
    pub identify: bool,
    /// Answer and send pings, with this pause between those sent.
    pub ping: Option<Duration>,
    /// Accept streams of these protocols.
    pub protocols: Vec<&'static str>,
}

impl Mount {
    /// rust-libp2p's own default pause between pings.
    pub const PING_INTERVAL: Duration = Duration::from_secs(15);
}

/// What the benchmarks measure: nothing more.
pub type Plain = Behaviour<dummy::Behaviour>;

/// A node, and the queue of the streams that peers open.
pub type Made<More> = (Swarm<Behaviour<More>>, mpsc::UnboundedReceiver<streams::Inbound>);

/// Makes a node with TCP and WebSocket, Noise and yamux.
pub fn swarm(key: Keypair, mount: Mount) -> Outcome<Made<dummy::Behaviour>> {
    swarm_with(key, mount, None, dummy::Behaviour)
}

/// The same with more behaviours, and perhaps with connections through relays.
pub fn swarm_with<More: NetworkBehaviour>(
    key: Keypair,
    mount: Mount,
    relay: Option<relay::client::Transport>,
    more: More,
) -> Outcome<Made<More>> {
    let protocols = mount.protocols.into_iter().map(StreamProtocol::new).collect();
    let (streams, inbound) = streams::Behaviour::new(protocols);
    let identify = mount.identify.then(|| {
        let config = identify::Config::new("ipfs/0.1.0".into(), key.public());
        identify::Behaviour::new(config.with_agent_version(format!("rust-libp2p/{VERSION}")))
    });
    let ping = mount
        .ping
        .map(|interval| ping::Behaviour::new(ping::Config::new().with_interval(interval)));
    let behaviour = Behaviour {
        identify: identify.into(),
        ping: ping.into(),
        streams,
        more,
    };
    let circuits = relay.map_or_else(OptionalTransport::none, OptionalTransport::some);
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .map_err(|error| Failure::of(&error))?
        .with_other_transport(|key| {
            let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
            let both = websocket::Config::new(tcp).or_transport(circuits);
            let secure = both.upgrade(Version::V1).authenticate(noise::Config::new(key)?);
            Ok(secure.multiplex(yamux::Config::default()))
        })
        .map_err(|error| Failure::Failed(error.to_string()))?
        .with_behaviour(|_| behaviour)
        .unwrap_or_else(|never| match never {})
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(Duration::from_secs(24 * 60 * 60))
                .with_max_negotiating_inbound_streams(1024)
        })
        .build();
    Ok((swarm, inbound))
}
