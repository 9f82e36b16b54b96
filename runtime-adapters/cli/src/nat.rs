//! `p2p nat`: what stands between us and the others, as far as they can tell.

mod mapping;
mod punch;

use crate::{
    args,
    config::Config,
    error::{Error, Exit},
    node::{self, Deadline, Node, broken, introduce},
    output::Output,
    support,
};
use libp2p_proto_autonat::{self as autonat, Autonat, Event, Version};
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_dcutr::Dcutr;
use libp2p_proto_driver::{self as driver, App};
use libp2p_proto_identify::{Identify, PeerInfo};
use libp2p_proto_relay::{HOP, Relay};
use libp2p_proto_stream_protocol::{ConnectionInfo, Dial, Protocol};
use libp2p_proto_swarm as swarm;
use mapping::{Mapping, Sight};
use punch::Punch;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::timeout_at;

/// The time limit of a run.
const LIMIT: Duration = Duration::from_secs(60);

/// What asks and is asked.
struct Patient {
    identify: Identify,
    autonat: Autonat,
    relay: Relay,
    dcutr: Dcutr,
    /// How the connections stand.
    links: BTreeMap<PeerId, ConnectionInfo>,
}

impl App for Patient {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        vec![
            &mut self.identify,
            &mut self.autonat,
            &mut self.relay,
            &mut self.dcutr,
        ]
    }

    fn handle_event(&mut self, event: swarm::Event) {
        if let swarm::Event::Connected { peer, info, .. } = event {
            self.links.entry(peer).or_insert(info);
        }
    }

    fn after_drive(&mut self) {
        while self.identify.poll_event().is_some() {}
        while self.relay.poll_event().is_some() {}
    }
}

/// What one peer has found.
#[derive(Debug)]
struct Found {
    peer: PeerId,
    addr: Multiaddr,
    /// Why nothing was found, or what was.
    seen: Result<Seen, String>,
}

#[derive(Debug)]
struct Seen {
    sight: Option<Sight>,
    relay: bool,
    /// What each version says: whether we were reached, or why there is no verdict.
    verdicts: Vec<(Version, Result<bool, String>)>,
}

pub(crate) fn run(args: &args::Nat) -> Result<Exit, Error> {
    let out = Output::new(args.common.json);
    for addr in &args.peers {
        if addr.peer_id().is_none() {
            return Err(Error::Usage(format!("{addr} names no peer: end it in /p2p/ID")));
        }
    }
    if let Some(what) = support::nat(args) {
        let error = format!("not supported: {what}");
        out.print(&json!({ "event": "nat", "ok": false, "unsupported": true, "error": error }));
        return Ok(Exit::Unsupported);
    }
    let config = Config::of(&args.common)?;
    node::block_on(diagnose(args, &config, out))
}

async fn diagnose(args: &args::Nat, config: &Config, out: Output) -> Result<Exit, Error> {
    let deadline = Deadline::after(args.common.timeout.unwrap_or(LIMIT));
    let identity = node::identity(&args.common, config)?;
    let client = autonat::ClientConfig {
        automatic: false,
        ..autonat::ClientConfig::default()
    };
    let autonat = autonat::Config {
        client: Some(client),
        server: None,
        private_addrs: true,
        ..autonat::Config::default()
    };
    let app = Patient {
        identify: introduce(&identity)?,
        autonat: Autonat::new(autonat).map_err(broken)?,
        relay: node::relay(&identity, false, true)?,
        dcutr: node::dcutr()?,
        links: BTreeMap::new(),
    };
    let mut swarm = config.swarm.clone();
    // Whoever runs the command says when it is over.
    swarm.idle_timeout = None;
    let config = driver::Config {
        swarm,
        resolver: node::resolver(),
        ..driver::Config::default()
    };
    let node = args.common.runtime.spawn(identity, config, app)?;
    let any = Multiaddr::tcp([0, 0, 0, 0].into(), 0);
    let listens = if args.addrs.is_empty() {
        vec![any]
    } else {
        args.addrs.clone()
    };
    for addr in listens {
        node.listen(addr).await?;
    }
    let mut found = Vec::new();
    let mut punches = Vec::new();
    // Those that can be asked come first: what they see explains what becomes of the others.
    for addr in args.peers.iter().filter(|addr| !addr.is_relayed()) {
        let asked = |peer: &PeerId| {
            found
                .iter()
                .any(|found: &Found| found.peer == *peer && found.seen.is_ok())
        };
        // Another address of a peer that has answered.
        if let Some(peer) = addr.peer_id().filter(|peer| !asked(peer)) {
            let seen = timeout_at(deadline.at, ask(&node, peer, addr)).await;
            let seen = seen.unwrap_or_else(|_| Err(deadline.passed("waiting")));
            let addr = addr.clone();
            found.push(Found { peer, addr, seen });
        }
    }
    for addr in args.peers.iter().filter(|addr| addr.is_relayed()) {
        if let Some(peer) = addr.peer_id() {
            punches.push(Punch::to(&node, peer, addr, deadline.at).await);
        }
    }
    let report = report(&found, &punches);
    node.close().await;
    out.print(&report);
    let connected = |punch: &Punch| !matches!(punch.end, punch::End::NotConnected(_));
    let heard = found.iter().any(|found| found.seen.is_ok()) || punches.iter().any(connected);
    Ok(if heard { Exit::Ok } else { Exit::Failed })
}

/// Connects to one peer, hears where it sees us, and asks whether it reaches us.
async fn ask(node: &Node<Patient>, peer: PeerId, addr: &Multiaddr) -> Result<Seen, String> {
    let dial = Dial {
        reuse_port: true,
        ..Dial::addr(addr.clone())
    };
    node.dial(dial)
        .await
        .map_err(|failure| crate::explain::dial(&failure))?;
    let info = node
        .next(move |app| app.identify.info(&peer).cloned())
        .await
        .map_err(|error| error.to_string())?;
    let link = node.next(move |app| app.links.get(&peer).cloned()).await;
    let link = link.map_err(|error| error.to_string())?;
    let has = |name| info.protocols.binary_search(&name).is_ok();
    let mut verdicts = Vec::new();
    for (version, name) in [(Version::V1, autonat::V1), (Version::V2, autonat::DIAL_REQUEST)] {
        if has(name) {
            verdicts.push((version, verdict(node, peer, version).await));
        }
    }
    let sight = sight(&link, &info);
    let relay = has(HOP);
    Ok(Seen {
        sight,
        relay,
        verdicts,
    })
}

fn sight(link: &ConnectionInfo, info: &PeerInfo) -> Option<Sight> {
    Some(Sight {
        from: link.local.as_ref()?.socket_tcp()?,
        to: link.remote.socket_tcp()?,
        seen: info.observed_addr.as_ref()?.socket_tcp()?,
    })
}

async fn verdict(node: &Node<Patient>, peer: PeerId, version: Version) -> Result<bool, String> {
    let asked = node
        .call(move |_, app, _| app.autonat.ask(Some(peer), version, Vec::new()))
        .await;
    let id = asked
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    loop {
        let event = node.next(|app| app.autonat.poll_event()).await;
        let Event::Answered { question, result, .. } = event.map_err(|error| error.to_string())? else {
            continue;
        };
        if question == id {
            return result
                .map(|verdict| verdict.reachable)
                .map_err(|failure| failure.to_string());
        }
    }
}

/// Everything that was found, in fields and in sentences.
fn report(found: &[Found], punches: &[Punch]) -> Value {
    let seen: Vec<(&Found, &Seen)> = found
        .iter()
        .filter_map(|found| found.seen.as_ref().ok().map(|seen| (found, seen)))
        .collect();
    let verdicts = || {
        seen.iter()
            .flat_map(|(_, seen)| &seen.verdicts)
            .filter_map(|(_, said)| said.as_ref().ok())
    };
    let reached = verdicts().filter(|reached| **reached).count();
    let failed = verdicts().filter(|reached| !**reached).count();
    let reachability = match (reached, failed) {
        (1.., 0) => "public",
        (0, 1..) => "private",
        _ => "unknown",
    };
    let sights: Vec<Sight> = seen.iter().filter_map(|(_, seen)| seen.sight).collect();
    let mapping = Mapping::of(&sights);
    let relays: Vec<String> = seen
        .iter()
        .filter(|(_, seen)| seen.relay)
        .map(|(found, _)| found.peer.to_string())
        .collect();
    let mut text = vec![
        reachability_in_words(reached, failed),
        mapping.in_words().to_owned(),
        relays_in_words(reachability, relays.len()),
    ];
    text.extend(punches.iter().map(|punch| punch.in_words(mapping)));
    if punches.is_empty() {
        text.push(String::from(
            "Hole punches: none was asked for; name a peer behind a relay (…/p2p/RELAY/p2p-circuit/p2p/PEER).",
        ));
    }
    let punched: Vec<Value> = punches.iter().map(|punch| punch.fields(mapping)).collect();
    json!({
        "event": "nat", "ok": !seen.is_empty() || !punches.is_empty(), "reachability": reachability, "reached": reached, "notReached": failed,
        "mapping": mapping.name(), "relays": relays, "punches": punched,
        "peers": found.iter().map(peer).collect::<Vec<_>>(), "text": text,
    })
}

fn reachability_in_words(reached: usize, failed: usize) -> String {
    match (reached, failed) {
        (0, 0) => {
            String::from("Reachability: unknown. No peer that was asked has tried to reach us, or would say.")
        }
        (_, 0) => format!(
            "Reachability: public. Others can reach this node: {reached} of {reached} attempts arrived."
        ),
        (0, _) => format!(
            "Reachability: private. Others can not reach this node: none of {failed} attempts arrived. Open the port in the firewall, forward it in the router, or use a relay."
        ),
        _ => format!(
            "Reachability: unknown. {reached} attempts arrived and {failed} did not: some addresses can be reached and others not, or not by everybody."
        ),
    }
}

fn relays_in_words(reachability: &str, relays: usize) -> String {
    match (reachability, relays) {
        ("public", _) => String::from("Relays: none is needed."),
        (_, 0) => String::from("Relays: none of these peers offers to be one."),
        (_, count) => format!(
            "Relays: {count} of these peers offer to be one (`p2p listen --relay ADDR` reserves a slot)."
        ),
    }
}

fn peer(found: &Found) -> Value {
    let said = |seen: &Seen, wanted: Version| {
        let said = seen.verdicts.iter().find(|(version, _)| *version == wanted);
        match said.map(|(_, said)| said) {
            None => Value::Null,
            Some(Ok(true)) => json!("public"),
            Some(Ok(false)) => json!("private"),
            Some(Err(why)) => json!({ "error": why }),
        }
    };
    match &found.seen {
        Ok(seen) => json!({
            "addr": found.addr.to_string(),
            "observed": seen.sight.map(|sight| format!("{}:{}", sight.seen.0, sight.seen.1)),
            "relay": seen.relay, "autonat": said(seen, Version::V1), "autonat2": said(seen, Version::V2),
        }),
        Err(error) => json!({ "addr": found.addr.to_string(), "error": error }),
    }
}
