//! `ping-node [ADDR]`: listens on loopback, or pings who listens at ADDR.

use futures::StreamExt;
use libp2p::{SwarmBuilder, multiaddr::Protocol, noise, ping, swarm::SwarmEvent, tcp, yamux};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
            .with_behaviour(|_| ping::Behaviour::default())?
            .build();
        match std::env::args().nth(1) {
            Some(addr) => swarm.dial(addr.parse::<libp2p::Multiaddr>()?)?,
            None => drop(swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?),
        }
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    println!("{}", address.with(Protocol::P2p(*swarm.local_peer_id())));
                }
                SwarmEvent::Behaviour(ping::Event { result: Ok(rtt), .. }) if std::env::args().len() > 1 => {
                    println!("{rtt:?}");
                    return Ok(());
                }
                _ => {}
            }
        }
    })
}
