//! Kademlia with everything below it: nodes of one process over loopback TCP, each of which looks for the nearest peers of keys.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use interop_contract::{Failure, Outcome};
use libp2p::identity::Keypair;
use libp2p::kad::store::MemoryStore;
use libp2p::kad::{self, KBucketKey, QueryResult};
use libp2p::swarm::{StreamProtocol, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use rust_libp2p_peer::swarm::{Behaviour, BehaviourEvent, Mount, swarm_with};

use crate::usage::{Watch, raise_file_limit, rss_kib};

/// Peers that a node is told of when it begins.
const SEEDS: usize = 8;
/// Peers that a lookup returns.
const NEAREST: usize = 20;
/// A network is quiet when nothing happens at any node for so long.
const QUIET: Duration = Duration::from_secs(3);
/// Longest time to join, and for one wave of lookups.
const PATIENCE: Duration = Duration::from_secs(120);
const NETWORK: StreamProtocol = StreamProtocol::new("/bench/kad/1.0.0");

type Node = Swarm<Behaviour<kad::Behaviour<MemoryStore>>>;

/// A node with identify and the defaults of kad, as a server.
async fn listening() -> Outcome<(Node, Multiaddr)> {
    let key = Keypair::generate_ed25519();
    let id = key.public().to_peer_id();
    let mut kad = kad::Behaviour::with_config(id, MemoryStore::new(id), kad::Config::new(NETWORK));
    kad.set_mode(Some(kad::Mode::Server));
    let mount = Mount {
        identify: true,
        ping: None,
        protocols: Vec::new(),
    };
    let mut node = swarm_with(key, mount, None, kad)?.0;
    let any = "/ip4/127.0.0.1/tcp/0"
        .parse()
        .map_err(|error| Failure::of(&error))?;
    node.listen_on(any).map_err(|error| Failure::of(&error))?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = node.select_next_some().await {
            return Ok((node, address));
        }
    }
}

/// A lookup that is over.
struct Looked {
    by: PeerId,
    key: PeerId,
    found: Vec<PeerId>,
    requests: u32,
    failures: u32,
}

/// What all nodes count.
#[derive(Default)]
struct Shared {
    events: AtomicUsize,
    ended: AtomicUsize,
    looked: Mutex<Vec<Looked>>,
}

/// Takes what a node tells. Whoever is identified comes into the table, as programs do.
fn take(
    node: &mut Node,
    event: BehaviourEvent<kad::Behaviour<MemoryStore>>,
    open: &mut HashMap<kad::QueryId, PeerId>,
    shared: &Shared,
) {
    match event {
        BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
            if info.protocols.contains(&NETWORK) {
                for addr in info.listen_addrs {
                    node.behaviour_mut().more.add_address(&peer_id, addr);
                }
            }
        }
        BehaviourEvent::More(kad::Event::OutboundQueryProgressed {
            id,
            result: QueryResult::GetClosestPeers(result),
            stats,
            step,
        }) if step.last => {
            let Some(key) = open.remove(&id) else {
                return;
            };
            let peers = match result {
                Ok(found) => found.peers,
                Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
            };
            let looked = Looked {
                by: *node.local_peer_id(),
                key,
                found: peers.into_iter().map(|peer| peer.peer_id).collect(),
                requests: stats.num_requests(),
                failures: stats.num_failures(),
            };
            shared
                .looked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(looked);
            shared.ended.fetch_add(1, Ordering::Relaxed);
        }
        _ => {}
    }
}

/// Runs a node to the end of the program; it looks up once for each wave.
fn run(mut node: Node, shared: Arc<Shared>, mut waves: watch::Receiver<usize>) {
    tokio::spawn(async move {
        let (mut begun, mut open) = (0_usize, HashMap::new());
        loop {
            tokio::select! {
                event = node.select_next_some() => {
                    shared.events.fetch_add(1, Ordering::Relaxed);
                    if let SwarmEvent::Behaviour(event) = event {
                        take(&mut node, event, &mut open, &shared);
                    }
                },
                Ok(()) = waves.changed() => {
                    let wanted = *waves.borrow_and_update();
                    while begun < wanted {
                        begun += 1;
                        let target = PeerId::random();
                        let query = node.behaviour_mut().more.get_closest_peers(target);
                        open.insert(query, target);
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

async fn until_quiet(counter: &AtomicUsize) -> Outcome<()> {
    let quiet = async {
        let mut before = usize::MAX;
        loop {
            sleep(QUIET).await;
            let now = counter.load(Ordering::Relaxed);
            if now == before {
                return;
            }
            before = now;
        }
    };
    timeout(PATIENCE, quiet)
        .await
        .map_err(|_| Failure::Failed("the network does not come to rest".into()))
}

/// Of the twenty that are nearest, how many the lookups found: a part of one.
fn recall(looked: &[Looked], peers: &[PeerId]) -> f64 {
    let (mut has, mut all) = (0, 0);
    for look in looked {
        let key = KBucketKey::from(look.key);
        let mut near: Vec<_> = peers.iter().filter(|peer| **peer != look.by).copied().collect();
        near.sort_by_key(|peer| key.distance(&KBucketKey::from(*peer)));
        near.truncate(NEAREST);
        has += near.iter().filter(|peer| look.found.contains(peer)).count();
        all += near.len();
    }
    has as f64 / all as f64
}

/// So many nodes join by eight others each; then all of them look for the nearest peers of a key at the same time, and again when all have ended.
pub async fn network(nodes: usize, lookups: usize) -> Outcome<Value> {
    raise_file_limit();
    if nodes <= NEAREST {
        return Err(Failure::Failed(format!("at least {} nodes", NEAREST + 1)));
    }
    let base = rss_kib();
    let (mut swarms, mut ids, mut addrs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..nodes {
        let (node, addr) = listening().await?;
        ids.push(*node.local_peer_id());
        swarms.push(node);
        addrs.push(addr);
    }
    for (number, node) in swarms.iter_mut().enumerate() {
        let kad = &mut node.behaviour_mut().more;
        for step in 0..SEEDS {
            let seed = (number + 1 + step * nodes / SEEDS) % nodes;
            kad.add_address(&ids[seed], addrs[seed].clone());
        }
        kad.bootstrap()
            .map_err(|error| Failure::Failed(error.to_string()))?;
    }
    let shared = Arc::new(Shared::default());
    let (go, waves) = watch::channel(0);
    let joining = Watch::start();
    for node in swarms {
        run(node, shared.clone(), waves.clone());
    }
    until_quiet(&shared.events).await?;
    let (_, joined) = joining.seconds();
    let idle = rss_kib();
    let mut expected = 0;
    let wave = async |expected: &mut usize| {
        *expected += nodes;
        go.send_modify(|wave| *wave += 1);
        until(&shared.ended, *expected).await
    };
    wave(&mut expected).await?;
    let total = lookups.div_ceil(nodes);
    let watch = Watch::start();
    for _ in 0..total {
        wave(&mut expected).await?;
    }
    let (wall, cpu) = watch.seconds();
    let rss = rss_kib();
    let lookups = (total * nodes) as f64;
    let looked = shared.looked.lock().unwrap_or_else(PoisonError::into_inner);
    let measured = &looked[nodes..];
    let requests: u32 = measured.iter().map(|look| look.requests).sum();
    let failures: u32 = measured.iter().map(|look| look.failures).sum();
    Ok(json!({
        "nodes": nodes, "lookups": total * nodes, "cpuMillisPerLookup": cpu * 1e3 / lookups,
        "lookupsPerCpuSecond": lookups / cpu, "lookupsPerSecond": lookups / wall,
        "requestsPerLookup": f64::from(requests) / lookups, "failed": failures,
        "cpuMicrosPerRequest": cpu * 1e6 / f64::from(requests), "ofTheTwentyNearest": recall(measured, &ids),
        "joinCpuMillisPerNode": joined * 1e3 / nodes as f64, "idleKibPerNode": (idle - base) / nodes as f64,
        "kibPerNode": (rss - base) / nodes as f64,
    }))
}
