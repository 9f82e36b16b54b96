//! GossipSub with everything below it: nodes of one process over loopback TCP, and memory of subscribed peers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use interop_contract::{Failure, Outcome, line};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, gossipsub};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use rust_libp2p_peer::swarm::{Behaviour, BehaviourEvent, Mount, VERSION, swarm_with};

use crate::network::Partner;
use crate::usage::{Watch, raise_file_limit, rss_kib};

/// Nodes that each node dials: twice as many links for each.
const DIALS: usize = 6;
/// Bytes of a message.
const SIZE: usize = 1024;
/// Time for the meshes to form, and before memory is read.
const SETTLE: Duration = Duration::from_secs(3);
/// Longest time for one wave of messages, or for all connections to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time that dialers hold their connections.
const HOLD: Duration = Duration::from_secs(600);
const TOPIC: &str = "bench";

type Node = Swarm<Behaviour<gossipsub::Behaviour>>;

/// A node with identify and the defaults of gossipsub, subscribed to one topic.
fn node() -> Outcome<Node> {
    let key = Keypair::generate_ed25519();
    let author = gossipsub::MessageAuthenticity::Signed(key.clone());
    let mut gossip = gossipsub::Behaviour::new(author, gossipsub::Config::default())
        .map_err(|error| Failure::Failed(error.to_string()))?;
    gossip
        .subscribe(&gossipsub::IdentTopic::new(TOPIC))
        .map_err(|error| Failure::of(&error))?;
    let mount = Mount {
        identify: true,
        ping: None,
        protocols: Vec::new(),
    };
    Ok(swarm_with(key, mount, None, gossip)?.0)
}

async fn listening() -> Outcome<(Node, Multiaddr)> {
    let mut node = node()?;
    let any = "/ip4/127.0.0.1/tcp/0"
        .parse()
        .map_err(|error| Failure::of(&error))?;
    node.listen_on(any).map_err(|error| Failure::of(&error))?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = node.select_next_some().await {
            let peer = *node.local_peer_id();
            return Ok((node, address.with(Protocol::P2p(peer))));
        }
    }
}

/// What all nodes count.
#[derive(Default)]
struct Counts {
    delivered: AtomicUsize,
    joined: AtomicUsize,
    refused: AtomicUsize,
}

/// Runs a node to the end of the program; it publishes once for each wave.
fn run(mut node: Node, counts: Arc<Counts>, mut waves: watch::Receiver<usize>) {
    tokio::spawn(async move {
        let mut published = 0_usize;
        loop {
            tokio::select! {
                event = node.select_next_some() => match event {
                    SwarmEvent::Behaviour(BehaviourEvent::More(gossipsub::Event::Message { .. })) => {
                        counts.delivered.fetch_add(1, Ordering::Relaxed);
                    }
                    SwarmEvent::Behaviour(BehaviourEvent::More(gossipsub::Event::Subscribed { .. })) => {
                        counts.joined.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => {}
                },
                Ok(()) = waves.changed() => {
                    let wanted = *waves.borrow_and_update();
                    while published < wanted {
                        published += 1;
                        let mut data = vec![0x5a; SIZE];
                        data[..8].copy_from_slice(&published.to_le_bytes());
                        let topic = gossipsub::IdentTopic::new(TOPIC);
                        if node.behaviour_mut().more.publish(topic, data).is_err() {
                            counts.refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }
        }
    });
}

async fn until(counter: &AtomicUsize, wanted: usize) -> Outcome<()> {
    let reached = async {
        while counter.load(Ordering::Relaxed) < wanted {
            sleep(Duration::from_millis(2)).await;
        }
    };
    if timeout(PATIENCE, reached).await.is_err() {
        let got = counter.load(Ordering::Relaxed);
        return Err(Failure::Failed(format!("{got} of {wanted} came")));
    }
    Ok(())
}

/// So many nodes in a ring with chords; each publishes in its turn of each wave, and the next wave begins when all have everything.
pub async fn mesh(nodes: usize, messages: usize) -> Outcome<Value> {
    raise_file_limit();
    if nodes <= 2 * DIALS {
        return Err(Failure::Failed(format!("at least {} nodes", 2 * DIALS + 1)));
    }
    let base = rss_kib();
    let (mut swarms, mut addrs) = (Vec::new(), Vec::new());
    for _ in 0..nodes {
        let (node, addr) = listening().await?;
        swarms.push(node);
        addrs.push(addr);
    }
    for (number, node) in swarms.iter_mut().enumerate() {
        for step in 1..=DIALS {
            let addr = addrs[(number + step) % nodes].clone();
            node.dial(addr).map_err(|error| Failure::of(&error))?;
        }
    }
    let counts = Arc::new(Counts::default());
    let (go, waves) = watch::channel(0);
    for node in swarms {
        run(node, counts.clone(), waves.clone());
    }
    until(&counts.joined, nodes * 2 * DIALS).await?;
    sleep(SETTLE).await;
    let idle = rss_kib();
    let others = nodes - 1;
    let mut expected = 0;
    let wave = async |expected: &mut usize| {
        *expected += nodes * others;
        go.send_modify(|wave| *wave += 1);
        until(&counts.delivered, *expected).await
    };
    wave(&mut expected).await?;
    let total = messages.div_ceil(nodes);
    let watch = Watch::start();
    for _ in 0..total {
        wave(&mut expected).await?;
    }
    let (wall, cpu) = watch.seconds();
    let deliveries = total * nodes * others;
    Ok(json!({
        "nodes": nodes, "links": 2 * DIALS, "messages": total * nodes, "deliveries": deliveries,
        "cpuMicrosPerDelivery": cpu * 1e6 / deliveries as f64, "deliveriesPerCpuSecond": deliveries as f64 / cpu,
        "deliveriesPerSecond": deliveries as f64 / wall, "idleKibPerNode": (idle - base) / nodes as f64,
        "kibPerNode": (rss_kib() - base) / nodes as f64, "refused": counts.refused.load(Ordering::Relaxed),
    }))
}

/// The server of [`idle`]: prints its address, waits until so many peers have subscribed, and prints what they cost.
pub async fn idle_listen(count: usize) -> Outcome<()> {
    raise_file_limit();
    let (mut server, addr) = listening().await?;
    let base = rss_kib();
    line(&json!({"event": "listening", "addrs": [addr.to_string()]}));
    let mut joined = 0;
    let all = async {
        while joined < count {
            let event = server.select_next_some().await;
            if let SwarmEvent::Behaviour(BehaviourEvent::More(gossipsub::Event::Subscribed { .. })) = event {
                joined += 1;
            }
        }
    };
    if timeout(PATIENCE * 5, all).await.is_err() {
        return Err(Failure::Failed(format!("only {joined} peers came")));
    }
    // Runs out by design: the swarm has to be run meanwhile.
    let _ = timeout(SETTLE * 2, async {
        loop {
            server.select_next_some().await;
        }
    })
    .await;
    let rss = rss_kib();
    line(&json!({
        "bench": "gossip-idle", "impl": "rust-libp2p", "version": VERSION, "connections": server.network_info().num_peers(),
        "baseKib": base, "rssKib": rss, "kibPerConnection": (rss - base) / count as f64,
    }));
    Ok(())
}

/// The dialers of [`idle`]: hold their connections until standard input ends.
pub async fn idle_dial(count: usize, addr: &str) -> Outcome<Value> {
    raise_file_limit();
    let addr: Multiaddr = addr.parse().map_err(|error| Failure::of(&error))?;
    futures::stream::iter((0..count).map(Ok))
        .try_for_each_concurrent(32, |_| async {
            let mut node = node()?;
            node.dial(addr.clone()).map_err(|error| Failure::of(&error))?;
            loop {
                match node.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { .. } => break,
                    SwarmEvent::OutgoingConnectionError { error, .. } => return Err(Failure::of(&error)),
                    _ => {}
                }
            }
            tokio::spawn(async move {
                loop {
                    node.select_next_some().await;
                }
            });
            Ok(())
        })
        .await?;
    line(&json!({"event": "connected"}));
    let mut rest = Vec::new();
    let _ = timeout(HOLD, tokio::io::stdin().read_to_end(&mut rest)).await;
    Ok(json!({"connections": count}))
}

/// Memory of subscribed peers: the server in one process, the dialers in another.
pub async fn idle(threads: usize, count: usize) -> Outcome<Value> {
    let mut server = Partner::start(&["gossip-idle-listen", &count.to_string()], threads)?;
    let addr = server.addr().await?.to_string();
    let mut dialers = Partner::start(&["gossip-idle-dial", &count.to_string(), &addr], threads)?;
    dialers.line().await?;
    let result = server.line().await?;
    dialers.end().await?;
    server.end().await?;
    Ok(result)
}
