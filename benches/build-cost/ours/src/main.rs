//! `ping-node [ADDR]`: listens on loopback, or pings who listens at ADDR.

use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_ping::{Event, Ping};
use libp2p_proto_stream_protocol::{Dial, Protocol};
use libp2p_proto_tokio::{App, Config, spawn};
use std::error::Error;

struct Pinger {
    ping: Ping,
}

impl App for Pinger {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        vec![&mut self.ping]
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let identity = Identity::from(Keypair::ed25519_from_seed(seed));
        let ping = Ping::new(Default::default())?;
        let node = spawn(identity, Config::default(), Pinger { ping })?;
        if let Some(addr) = std::env::args().nth(1) {
            let (peer, _) = node.dial(Dial::addr(addr.parse()?)).await?;
            node.call(move |_, app, _| app.ping.ping(peer, 1)).await??;
            if let Event::Pong { rtt, .. } = node.next(|app| app.ping.poll_event()).await? {
                println!("{rtt:?}");
            }
            node.close().await;
        } else {
            let addr = node.listen("/ip4/127.0.0.1/tcp/0".parse()?).await?;
            println!("{}", addr.with_peer_id(node.peer_id())?);
            std::future::pending::<()>().await;
        }
        Ok(())
    })
}
