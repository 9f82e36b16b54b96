//! Kademlia with everything below it: nodes of one process over loopback TCP, each of which looks for the nearest peers of keys.

use crate::{
    Failure,
    app::{Mount, numbered},
    on_mio::{Peer, Running},
    ratio,
    usage::{Watch, raise_file_limit, rss_kib, until},
};
use libp2p_proto_core::{Multiaddr, PeerId, Rng};
use libp2p_proto_kad::{Effort, Event, Key, Outcome};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    thread,
    time::Duration,
};

/// Peers that a node is told of when it begins.
const SEEDS: usize = 8;
/// Peers that a lookup returns.
const NEAREST: usize = 20;
/// A network is quiet when no node has asked anybody anything for so long.
const QUIET: Duration = Duration::from_secs(3);
/// Longest time to join, and for one wave of lookups.
const PATIENCE: Duration = Duration::from_secs(120);

/// A lookup that is over.
struct Looked {
    by: PeerId,
    key: Key,
    found: Vec<PeerId>,
    effort: Effort,
}

/// What all nodes know.
#[derive(Default)]
struct Shared {
    /// Lookups that each node is to have begun by now.
    wanted: AtomicUsize,
    ended: AtomicUsize,
    /// Requests that all nodes have sent, lookups and upkeep alike.
    requests: AtomicUsize,
    looked: Mutex<Vec<Looked>>,
}

fn run(peer: Peer, number: usize, local: PeerId, shared: Arc<Shared>) -> Running {
    let mut dice = Rng::from_seed([7; 32]).fork("lookups", number as u64);
    let mut begun = 0;
    let mut told = 0;
    let mut open = std::collections::BTreeMap::new();
    peer.spawn(move |peer| {
        while peer.node.poll_event().is_some() {}
        if let Some(identify) = &mut peer.app.identify {
            while identify.poll_event().is_some() {}
        }
        let Some(kad) = &mut peer.app.kad else {
            return;
        };
        while begun < shared.wanted.load(Ordering::Relaxed) {
            begun += 1;
            let target = PeerId::random(&mut dice);
            // One that is refused is missed in the count.
            if let Ok(query) = kad.closest_peers(target.as_bytes().to_vec()) {
                open.insert(query, Key::of_peer(&target));
            }
        }
        while let Some(event) = kad.poll_event() {
            let Event::Finished {
                query,
                result,
                effort,
            } = event
            else {
                continue;
            };
            let Some(key) = open.remove(&query) else {
                continue;
            };
            let found = match result {
                Ok(Outcome::Closest(found)) => found.iter().map(|contact| contact.peer).collect(),
                _ => Vec::new(),
            };
            let mut looked = shared.looked.lock().unwrap_or_else(PoisonError::into_inner);
            looked.push(Looked {
                by: local,
                key,
                found,
                effort,
            });
            shared.ended.fetch_add(1, Ordering::Relaxed);
        }
        let sent = usize::try_from(kad.stats().requests_sent).unwrap_or(usize::MAX);
        shared.requests.fetch_add(sent - told, Ordering::Relaxed);
        told = sent;
    })
}

/// Waits until a counter of requests stands still.
fn until_quiet(counter: &AtomicUsize) -> Result<(), Failure> {
    let watch = Watch::start();
    let mut before = usize::MAX;
    loop {
        thread::sleep(QUIET);
        let now = counter.load(Ordering::Relaxed);
        if now == before {
            return Ok(());
        }
        if watch.seconds().0 > PATIENCE.as_secs_f64() {
            return Err("the network does not come to rest".into());
        }
        before = now;
    }
}

/// Of the twenty that are nearest, how many the lookups found: a part of one.
fn recall(looked: &[Looked], peers: &[PeerId]) -> f64 {
    let (mut has, mut all) = (0, 0);
    for look in looked {
        let others = peers.iter().filter(|peer| **peer != look.by);
        let mut near: Vec<_> = others
            .map(|peer| (look.key.distance(&Key::of_peer(peer)), *peer))
            .collect();
        near.sort_unstable();
        near.truncate(NEAREST);
        has += near.iter().filter(|(_, peer)| look.found.contains(peer)).count();
        all += near.len();
    }
    ratio(has) / ratio(all)
}

/// So many nodes join by eight others each; then all of them look for the nearest peers of a key at the same time, and again when all have ended.
pub(crate) fn network(nodes: usize, lookups: usize) -> Result<Value, Failure> {
    raise_file_limit();
    if nodes <= NEAREST {
        return Err(format!("at least {} nodes", NEAREST + 1).into());
    }
    let shared = Arc::new(Shared::default());
    let base = rss_kib();
    let mut peers = Vec::new();
    let mut ids: Vec<PeerId> = Vec::new();
    let mut addrs: Vec<Multiaddr> = Vec::new();
    for number in 0..nodes {
        let identity = numbered(number + 1);
        ids.push(identity.peer_id());
        let mut peer = Peer::new(identity, Mount::Kad, nodes)?;
        addrs.push(peer.listen()?);
        peers.push(peer);
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        for step in 0..SEEDS {
            let seed = (number + 1 + step * nodes / SEEDS) % nodes;
            if let (Some(kad), Some(id), Some(addr)) = (&mut peer.app.kad, ids.get(seed), addrs.get(seed)) {
                kad.add_peer(*id, vec![addr.clone()]);
            }
        }
    }
    let wakers: Result<Vec<Waker>, _> = peers.iter_mut().map(|peer| peer.node.waker()).collect();
    let wakers = wakers?;
    let joining = Watch::start();
    let running: Vec<Running> = peers
        .into_iter()
        .enumerate()
        .zip(&ids)
        .map(|((number, peer), local)| run(peer, number, *local, shared.clone()))
        .collect();
    until_quiet(&shared.requests)?;
    let (_, joined) = joining.seconds();
    let joining = shared.requests.load(Ordering::Relaxed);
    let idle = rss_kib();
    let mut expected = 0;
    let wave = |expected: &mut usize| {
        *expected += nodes;
        shared.wanted.fetch_add(1, Ordering::Relaxed);
        wakers.iter().for_each(Waker::wake_by_ref);
        until(&shared.ended, *expected, PATIENCE)
    };
    wave(&mut expected)?;
    let waves = lookups.div_ceil(nodes);
    let watch = Watch::start();
    for _ in 0..waves {
        wave(&mut expected)?;
    }
    let (wall, cpu) = watch.seconds();
    let rss = rss_kib();
    drop(running);
    let lookups = waves * nodes;
    let looked = shared.looked.lock().unwrap_or_else(PoisonError::into_inner);
    let measured = looked.get(nodes..).unwrap_or_default();
    let asked: usize = measured.iter().map(|look| look.effort.asked).sum();
    let failed: usize = measured.iter().map(|look| look.effort.failed).sum();
    Ok(json!({
        "nodes": nodes, "lookups": lookups, "cpuMillisPerLookup": cpu * 1e3 / ratio(lookups),
        "lookupsPerCpuSecond": ratio(lookups) / cpu, "lookupsPerSecond": ratio(lookups) / wall,
        "requestsPerLookup": ratio(asked) / ratio(lookups), "failed": failed,
        "cpuMicrosPerRequest": cpu * 1e6 / ratio(asked), "ofTheTwentyNearest": recall(measured, &ids),
        "joinCpuMillisPerNode": joined * 1e3 / ratio(nodes), "joinRequestsPerNode": ratio(joining) / ratio(nodes),
        "idleKibPerNode": (idle - base) / ratio(nodes), "kibPerNode": (rss - base) / ratio(nodes),
    }))
}
