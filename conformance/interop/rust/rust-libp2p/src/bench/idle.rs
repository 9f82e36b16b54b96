//! Memory of idle connections: ping and identify on, each connection from a node of its own.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use interop_contract::{Failure, Outcome, line};
use libp2p::Multiaddr;
use libp2p::identify;
use libp2p::swarm::SwarmEvent;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use rust_libp2p_peer::swarm::{BehaviourEvent, Mount, VERSION};

use crate::network::{Partner, dialer, listener, peer_of};
use crate::usage::{Watch, raise_file_limit, rss_kib};

/// How long the connections are left alone before the memory is read, and again to measure their CPU time.
const SETTLE: Duration = Duration::from_secs(3);
/// Longest wait for all connections to come.
const LIMIT: Duration = Duration::from_secs(300);
/// Longest time that dialers hold their connections.
const HOLD: Duration = Duration::from_secs(600);

fn mount() -> Mount {
    Mount {
        identify: true,
        ping: Some(Mount::PING_INTERVAL),
        protocols: Vec::new(),
    }
}

/// The server: prints its address, waits until so many peers are identified, and prints what they cost.
pub async fn listen(count: usize) -> Outcome<()> {
    raise_file_limit();
    let (mut server, addr) = listener(mount()).await?;
    let base = rss_kib();
    line(&json!({"event": "listening", "addrs": [addr.to_string()]}));
    let mut identified = 0;
    let all = async {
        while identified < count {
            if let SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { .. })) =
                server.select_next_some().await
            {
                identified += 1;
            }
        }
    };
    if timeout(LIMIT, all).await.is_err() {
        return Err(Failure::Failed(format!("only {identified} peers came")));
    }
    let mut idle = async |time| {
        // Runs out by design: the swarm has to be run meanwhile.
        let _ = timeout(time, async {
            loop {
                server.select_next_some().await;
            }
        })
        .await;
    };
    idle(SETTLE).await;
    let watch = Watch::start();
    idle(SETTLE).await;
    let (wall, cpu) = watch.seconds();
    let rss = rss_kib();
    line(&json!({
        "bench": "idle", "impl": "rust-libp2p", "version": VERSION, "connections": server.network_info().num_peers(),
        "baseKib": base, "rssKib": rss, "kibPerConnection": (rss - base) / count as f64,
        "cpuMicrosPerSecondPerConnection": cpu * 1e6 / wall / count as f64,
    }));
    Ok(())
}

async fn connect(count: usize, addr: &Multiaddr) -> Outcome<f64> {
    raise_file_limit();
    peer_of(addr)?;
    let base = rss_kib();
    futures::stream::iter((0..count).map(Ok))
        .try_for_each_concurrent(32, |_| async { dialer(addr, mount()).await.map(drop) })
        .await?;
    Ok((rss_kib() - base) / count as f64)
}

/// The dialers: hold their connections until standard input ends.
pub async fn dial(count: usize, addr: &str) -> Outcome<Value> {
    let addr = addr.parse().map_err(|error| Failure::of(&error))?;
    let each = connect(count, &addr).await?;
    line(&json!({"event": "connected"}));
    let mut rest = Vec::new();
    let _ = timeout(HOLD, tokio::io::stdin().read_to_end(&mut rest)).await;
    Ok(json!({"connections": count, "kibPerNode": each}))
}

/// Both: the server in a second process, the dialers in this one.
pub async fn both(threads: usize, count: usize) -> Outcome<Value> {
    let mut partner = Partner::start(&["idle-listen", &count.to_string()], threads)?;
    let addr = partner.addr().await?;
    let each = connect(count, &addr).await?;
    let mut result = partner.line().await?;
    result["clientKibPerNode"] = json!(each);
    partner.end().await?;
    Ok(result)
}
