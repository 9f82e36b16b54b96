//! `p2p listen`: serve until told to stop.

use crate::{
    Exit,
    args::{self, unsupported},
    config::File,
    metrics::Metrics,
    node::{self, ECHO, Node, Protocols},
    output::Output,
};
use libp2p_proto_core::Multiaddr;
use libp2p_proto_echo::Echo;
use libp2p_proto_fetch::Fetch;
use libp2p_proto_identify as identify;
use libp2p_proto_perf::Perf;
use libp2p_proto_ping::Ping;
use libp2p_proto_request_response as reqresp;
use libp2p_proto_stream_protocol::Dial;
use serde_json::json;
use std::{
    error::Error,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What the program can mount.
const SERVICES: [&str; 7] = ["identify", "push", "ping", "perf", "echo", "reqresp", "fetch"];

pub(crate) fn run(args: &args::Listen) -> Result<Exit, Box<dyn Error>> {
    let out = Output::new(args.common.json);
    let services = args
        .services
        .clone()
        .unwrap_or_else(|| SERVICES.iter().map(|name| String::from(*name)).collect());
    let unknown = services
        .iter()
        .find(|name| !SERVICES.contains(&name.as_str()))
        .map(|name| format!("service {name}"));
    let relay = args.relay.as_ref().map(|_| String::from("relay"));
    if let Some(what) = unsupported(&args.common).or(unknown).or(relay) {
        out.print(&json!({ "event": "unsupported", "what": what }));
        return Ok(Exit::Unsupported);
    }
    let stop = stop_flag()?;
    let file = File::read(args.common.config.as_deref())?;
    let identity = node::identity(&args.common, &file)?;
    let has = |name: &str| services.iter().any(|service| service == name);
    let protocols = Protocols {
        identify: (has("identify") || has("push"))
            .then(|| node::identify(&identity))
            .transpose()?,
        ping: has("ping")
            .then(|| Ping::new(libp2p_proto_ping::Config::default()))
            .transpose()?,
        perf: has("perf")
            .then(|| {
                Perf::new(libp2p_proto_perf::Config {
                    serve: true,
                    ..Default::default()
                })
            })
            .transpose()?,
        echo: has("echo").then(|| Echo::new(ECHO)),
        fetch: has("fetch").then(|| Fetch::new(node::lookup)),
        reqresp: has("reqresp").then(|| node::request_response(true)).transpose()?,
        streams: None,
    };
    let mut node = Node::new(identity.clone(), &file, protocols)?;
    restore_book(&mut node, &file);
    let addrs = listen_all(&mut node, args, &file)?;
    let peer = identity.peer_id();
    let full: Vec<_> = addrs
        .iter()
        .filter_map(|addr| addr.with_peer_id(peer).ok())
        .map(|addr| addr.to_string())
        .collect();
    let mut metrics = args.metrics.map(Metrics::bind).transpose()?;
    out.print(&json!({
        "event": "listening", "peerId": peer.to_string(), "addrs": full, "impl": "libp2p-proto",
        "version": env!("CARGO_PKG_VERSION"), "services": services,
    }));
    for addr in file.bootstrap_addrs()? {
        let now = node.mio.now();
        if let Err(error) = node.mio.swarm().dial(now, Dial::addr(addr.clone())) {
            eprintln!("p2p: bootstrap {addr}: {error}");
        }
    }
    let end = node.mio.now() + Duration::from_secs(args.common.timeout.unwrap_or(300));
    while !stop.load(Ordering::Relaxed) && node.mio.now() < end {
        node.turn(Some(end.since(node.mio.now())))?;
        report(&mut node, out)?;
        if let Some(metrics) = &mut metrics {
            metrics.serve(&node);
        }
    }
    save_book(&mut node, &file)?;
    shut_down(&mut node)?;
    Ok(Exit::Ok)
}

/// Listens wherever the options or the configuration say; loopback otherwise.
fn listen_all(node: &mut Node, args: &args::Listen, file: &File) -> Result<Vec<Multiaddr>, Box<dyn Error>> {
    let mut wanted = args.addrs.clone();
    if wanted.is_empty() {
        wanted = file.listen_addrs()?;
    }
    if wanted.is_empty() {
        wanted.push("/ip4/127.0.0.1/tcp/0".parse()?);
    }
    let mut addrs = Vec::new();
    for addr in wanted {
        addrs.extend(node.listen(&addr)?);
    }
    Ok(addrs)
}

/// Prints what happened, and answers requests.
fn report(node: &mut Node, out: Output) -> Result<(), Box<dyn Error>> {
    while let Some(event) = node.mio.poll_event() {
        eprintln!("{event:?}");
    }
    while let Some(event) = node
        .protocols
        .identify
        .as_mut()
        .and_then(identify::Identify::poll_event)
    {
        if let identify::Event::Identified { peer, info, .. } | identify::Event::Pushed { peer, info, .. } =
            event
        {
            let protocols: Vec<_> = info.protocols.iter().map(ToString::to_string).collect();
            out.print(&json!({ "event": "identify-push", "peer": peer.to_string(), "protocols": protocols }));
        }
    }
    if let Some(protocol) = &mut node.protocols.reqresp {
        while let Some(event) = protocol.poll_event() {
            if let reqresp::Event::Request { id, data, .. } = event {
                let mut answer = b"re:".to_vec();
                answer.extend_from_slice(&data);
                protocol.respond(id, answer.into())?;
            }
        }
    }
    if let Some(ping) = &mut node.protocols.ping {
        while ping.poll_event().is_some() {}
    }
    Ok(())
}

/// Ends every connection in an orderly way, for a second at most.
pub(crate) fn shut_down(node: &mut Node) -> Result<(), Box<dyn Error>> {
    let now = node.mio.now();
    node.mio.swarm().close(now);
    let end = now + Duration::from_secs(1);
    while !node.mio.swarm().is_idle() && node.mio.now() < end {
        node.turn(Some(Duration::from_millis(20)))?;
        while node.mio.poll_event().is_some() {}
    }
    Ok(())
}

/// Set by SIGTERM and SIGINT.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>, Box<dyn Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

fn restore_book(node: &mut Node, file: &File) {
    if let Some(snapshot) = file.address_book.as_ref().and_then(|path| fs::read(path).ok()) {
        let (now, unix) = (node.mio.now(), node.mio.unix());
        if node.mio.swarm().book_mut().restore(now, unix, &snapshot).is_err() {
            eprintln!("p2p: the address book is damaged; beginning a new one");
        }
    }
}

fn save_book(node: &mut Node, file: &File) -> Result<(), Box<dyn Error>> {
    if let Some(path) = &file.address_book {
        let (now, unix) = (node.mio.now(), node.mio.unix());
        fs::write(path, node.mio.swarm().book_mut().snapshot(now, unix))?;
    }
    Ok(())
}
