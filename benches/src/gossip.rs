//! GossipSub with everything below it: nodes of one process over loopback TCP.

use crate::{
    Failure,
    app::{Mount, TOPIC, numbered},
    on_mio::{Peer, Running},
    ratio,
    usage::{Watch, raise_file_limit, rss_kib, until},
};
use libp2p_proto_core::Multiaddr;
use libp2p_proto_gossipsub::Event;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// Nodes that each node dials: twice as many links for each.
const DIALS: usize = 6;
/// Bytes of a message.
const SIZE: usize = 1024;
/// Time for the meshes to form.
const SETTLE: Duration = Duration::from_secs(3);
/// Longest time for one wave of messages.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all nodes know.
#[derive(Default)]
struct Shared {
    /// Messages that each node is to have published by now.
    wanted: AtomicUsize,
    delivered: AtomicUsize,
    joined: AtomicUsize,
}

fn run(peer: Peer, shared: Arc<Shared>) -> Running {
    let mut published = 0;
    peer.spawn(move |peer| {
        while peer.node.poll_event().is_some() {}
        if let Some(identify) = &mut peer.app.identify {
            while identify.poll_event().is_some() {}
        }
        let Some(gossip) = &mut peer.app.gossip else {
            return;
        };
        while published < shared.wanted.load(Ordering::Relaxed) {
            published += 1;
            let mut data = vec![0x5a; SIZE];
            for (to, from) in data.iter_mut().zip(published.to_le_bytes()) {
                *to = from;
            }
            // One that is refused is missed in the count.
            let _refused = gossip.publish(TOPIC, data, false);
        }
        while let Some(event) = gossip.poll_event() {
            match event {
                Event::Message { .. } => _ = shared.delivered.fetch_add(1, Ordering::Relaxed),
                Event::Subscribed { .. } => _ = shared.joined.fetch_add(1, Ordering::Relaxed),
                _ => {}
            }
        }
    })
}

/// So many nodes in a ring with chords; each publishes in its turn of each wave, and the next wave begins when all have everything.
pub(crate) fn mesh(nodes: usize, messages: usize) -> Result<Value, Failure> {
    raise_file_limit();
    if nodes <= 2 * DIALS {
        return Err(format!("at least {} nodes", 2 * DIALS + 1).into());
    }
    let shared = Arc::new(Shared::default());
    let base = rss_kib();
    let mut peers = Vec::new();
    let mut addrs: Vec<Multiaddr> = Vec::new();
    for number in 0..nodes {
        let identity = numbered(number + 1);
        let id = identity.peer_id();
        let mut peer = Peer::new(identity, Mount::Gossip, nodes)?;
        addrs.push(peer.listen()?.with_peer_id(id)?);
        peers.push(peer);
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        for addr in (1..=DIALS).filter_map(|step| addrs.get((number + step) % nodes)) {
            peer.dial(addr)?;
        }
    }
    let running: Vec<Running> = peers.into_iter().map(|peer| run(peer, shared.clone())).collect();
    until(&shared.joined, nodes * 2 * DIALS, PATIENCE)?;
    thread::sleep(SETTLE);
    let idle = rss_kib();
    let others = nodes - 1;
    let mut expected = 0;
    let wave = |expected: &mut usize| {
        *expected += nodes * others;
        shared.wanted.fetch_add(1, Ordering::Relaxed);
        until(&shared.delivered, *expected, PATIENCE)
    };
    wave(&mut expected)?;
    let waves = messages.div_ceil(nodes);
    let watch = Watch::start();
    for _ in 0..waves {
        wave(&mut expected)?;
    }
    let (wall, cpu) = watch.seconds();
    let deliveries = waves * nodes * others;
    let rss = rss_kib();
    drop(running);
    let over = shared.delivered.load(Ordering::Relaxed) - expected;
    if over > 0 {
        return Err(format!("{over} messages came twice").into());
    }
    Ok(json!({
        "nodes": nodes, "links": 2 * DIALS, "messages": waves * nodes, "deliveries": deliveries,
        "cpuMicrosPerDelivery": cpu * 1e6 / ratio(deliveries), "deliveriesPerCpuSecond": ratio(deliveries) / cpu,
        "deliveriesPerSecond": ratio(deliveries) / wall, "idleKibPerNode": (idle - base) / ratio(nodes),
        "kibPerNode": (rss - base) / ratio(nodes),
    }))
}
