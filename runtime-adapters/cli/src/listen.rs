//! `p2p listen`: serve until told to stop.

mod listener;

use crate::{
    args, book,
    config::Config,
    error::{Error, Exit},
    interfaces, metrics,
    node::{self, Deadline, Node},
    output::{Output, Printer, complain},
    record::{Built, Recording, Who},
    support::{self, DEFAULT_SERVICES, SERVICES},
};
use libp2p_proto_core::{Component, Multiaddr, PeerId};
use libp2p_proto_driver as driver;
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::Dial;
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use tokio::{
    net::TcpListener,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout_at},
};

pub(crate) use listener::Listener;

/// What a listener joins unless it is told otherwise.
const TOPIC: &str = "interop";
/// The time limit of a run.
const LIMIT: Duration = Duration::from_secs(300);
/// How long a bootstrap peer that was lost is left alone: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(300);
/// How often the address book is written, besides at the end.
const KEEP: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &args::Listen) -> Result<Exit, Error> {
    let out = Output::new(args.common.json);
    if let Some(what) = support::listen(args) {
        out.print(&json!({ "event": "unsupported", "what": what }));
        return Ok(Exit::Unsupported);
    }
    let config = Config::of(&args.common)?;
    if args.common.record.is_some() && services(args).contains(&"mdns") {
        let line = "--record: a recording does not hold what is found on the link, whose datagrams go past the swarm: leave mdns out of --services";
        return Err(Error::Usage(String::from(line)));
    }
    if args.relay.as_ref().is_some_and(|relay| relay.peer_id().is_none()) {
        let line = "--relay: end the address in /p2p/ID (`p2p listen` prints whole addresses)";
        return Err(Error::Usage(String::from(line)));
    }
    let addrs = addresses(args, &config);
    if let Some(what) = addrs.iter().find_map(support::address) {
        out.print(&json!({ "event": "unsupported", "what": what }));
        return Ok(Exit::Unsupported);
    }
    node::block_on(listen(args, &config, addrs, out))
}

async fn listen(
    args: &args::Listen,
    config: &Config,
    addrs: Vec<Multiaddr>,
    out: Output,
) -> Result<Exit, Error> {
    let stop = Stop::new()?;
    let deadline = Deadline::after(args.common.timeout.unwrap_or(LIMIT));
    let identity = node::identity(&args.common, config)?;
    let peer = identity.peer_id();
    let services = services(args);
    let printer = Printer::start(out);
    let who = Who::Listener {
        services: services.iter().map(ToString::to_string).collect(),
        topics: topics(args),
        reserves: args.relay.is_some(),
    };
    let built = Built::new(who, args.common.kad_protocol.as_deref(), &config.swarm);
    let record = args.common.record.as_deref();
    let recording = record
        .map(|path| Recording::start(path, &identity, &built))
        .transpose()?;
    let node = spawn(args, identity, config, &services, &printer, recording.as_ref())?;
    if let Some(path) = config.address_book.clone() {
        let snapshot = book::read(&path)?;
        node.call(move |swarm, _, now| book::restore(swarm, now, &path, &snapshot))
            .await?;
    }
    let mut addrs = listen_all(&node, addrs, peer).await?;
    if let Some(relay) = &args.relay {
        addrs.extend(reserve(&node, relay, peer, deadline).await?);
    }
    let metrics = serve_metrics(args, &node).await?;
    printer.lines().print(json!({
        "event": "listening", "peerId": peer.to_string(), "addrs": addrs, "impl": "libp2p-proto",
        "version": env!("CARGO_PKG_VERSION"), "services": services,
        "seconds": deadline.limit.as_secs_f64(), "metrics": metrics, "runtime": args.common.runtime.name(),
    }));
    for addr in config.bootstrap.iter().chain(&args.peers) {
        tokio::spawn(stay_connected(node.clone(), addr.clone()));
    }
    serve(&node, config, stop, deadline).await?;
    node.close().await;
    drop(node);
    printer.finish();
    if let Some(recording) = recording {
        recording.finish();
    }
    Ok(Exit::Ok)
}

/// Dials, and dials again once the peer is lost or could not be reached. Whether it connected is an event.
async fn stay_connected(node: Node<Listener>, addr: Multiaddr) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        match node.dial(Dial::addr(addr.clone())).await {
            Ok((peer, _)) => {
                let gone = move |app: &mut Listener| (!app.peers.contains(&peer)).then_some(());
                if node.next(gone).await.is_err() {
                    return;
                }
                // One that goes as soon as it comes is not asked again and again.
                if began.elapsed() > LAST_PAUSE {
                    pause = FIRST_PAUSE;
                }
            }
            Err(driver::DialFailure::Closed(_)) => return,
            Err(_) => {}
        }
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(LAST_PAUSE);
    }
}

/// Waits for the end, and keeps the address book meanwhile.
async fn serve(
    node: &Node<Listener>,
    config: &Config,
    mut stop: Stop,
    deadline: Deadline,
) -> Result<(), Error> {
    let mut keeping = interval(KEEP);
    keeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let over = tokio::select! {
            () = stop.wait() => true,
            () = sleep_until(deadline.at) => true,
            _ = keeping.tick() => false,
        };
        if let Some(path) = &config.address_book {
            let snapshot = node.call(|swarm, _, now| book::snapshot(swarm, now)).await?;
            // A disk that is full for a while is no reason to stop serving.
            if let Err(error) = book::write(path, &snapshot) {
                complain(&error);
            }
        }
        if over {
            return Ok(());
        }
    }
}

/// The services to mount, each once, in the order of the list. Identify and its push are one machine.
fn services(args: &args::Listen) -> Vec<&'static str> {
    let Some(wanted) = &args.services else {
        return SERVICES.into_iter().take(DEFAULT_SERVICES).collect();
    };
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let identify = wanted.contains("identify") || wanted.contains("push");
    let is_wanted = |name: &&str| match *name {
        "identify" | "push" => identify,
        other => wanted.contains(other),
    };
    SERVICES.into_iter().filter(is_wanted).collect()
}

fn topics(args: &args::Listen) -> Vec<String> {
    match args.common.topics.as_slice() {
        [] => vec![String::from(TOPIC)],
        topics => topics.to_vec(),
    }
}

fn spawn(
    args: &args::Listen,
    identity: Identity,
    config: &Config,
    services: &[&'static str],
    printer: &Printer,
    recording: Option<&Recording>,
) -> Result<Node<Listener>, Error> {
    let signing = recording.map_or(&identity, Recording::identity);
    let listener = Listener::new(
        signing,
        services,
        &topics(args),
        args.common.kad_protocol.as_deref(),
        args.relay.is_some(),
        printer.lines(),
    )?;
    let config = driver::Config {
        swarm: config.swarm.clone(),
        resolver: node::resolver(),
        recorder: recording.map(Recording::recorder),
        discovery: services.contains(&"mdns").then(|| driver::Discovery {
            interfaces: args.mdns_interfaces.clone(),
            ..driver::Discovery::default()
        }),
        ..driver::Config::default()
    };
    args.common.runtime.spawn(identity, config, listener)
}

/// Where to listen: addresses, then transports on loopback, then the configuration, then TCP on loopback.
fn addresses(args: &args::Listen, config: &Config) -> Vec<Multiaddr> {
    let loopback = Multiaddr::tcp([127, 0, 0, 1].into(), 0);
    if !args.addrs.is_empty() {
        return args.addrs.clone();
    }
    let transports = &args.common.transports;
    if !transports.is_empty() {
        let of = |transport: &String| match transport.as_str() {
            "ws" => loopback.with(Component::Ws).ok(),
            _ => Some(loopback.clone()),
        };
        return transports.iter().filter_map(of).collect();
    }
    if config.listen.is_empty() {
        return vec![loopback];
    }
    config.listen.clone()
}

/// Listens everywhere, announces the addresses of the interfaces where all of them are meant, and answers whole addresses.
async fn listen_all(
    node: &Node<Listener>,
    wanted: Vec<Multiaddr>,
    peer: PeerId,
) -> Result<Vec<String>, Error> {
    let mut addrs = Vec::new();
    for addr in wanted {
        let bound = node.listen(addr.clone()).await;
        let bound =
            bound.map_err(|error| Error::Failed(format!("cannot listen on {addr}: {}", advice(&error))))?;
        let own = interfaces::expand(&bound)?;
        if own != [bound.clone()] {
            let announced = own.clone();
            node.call(move |swarm, _, now| {
                swarm.handle_listening(now, bound, false);
                for addr in announced {
                    swarm.handle_listening(now, addr, true);
                }
            })
            .await?;
        }
        for addr in own {
            let whole = addr
                .with_peer_id(peer)
                .map_err(|error| Error::Failed(error.to_string()))?;
            addrs.push(whole.to_string());
        }
    }
    Ok(addrs)
}

/// Reserves a slot at a relay, and answers the whole addresses of circuits to us.
async fn reserve(
    node: &Node<Listener>,
    addr: &Multiaddr,
    peer: PeerId,
    deadline: Deadline,
) -> Result<Vec<String>, Error> {
    let failed = |why: String| Error::Failed(format!("no reservation at {addr}: {why}"));
    let (Some(at), Some(relay)) = addr.split_peer_id() else {
        return Err(failed(String::from("it is no whole address")));
    };
    node.call(move |_, app, _| {
        if let Some(machine) = &mut app.relay {
            machine.reserve(relay, vec![at]);
        }
    })
    .await?;
    let told = timeout_at(deadline.at, node.next(|app| app.reserved.take())).await;
    let addrs = told
        .map_err(|_| failed(deadline.passed("waiting")))??
        .map_err(|failure| failed(failure.to_string()))?;
    let whole = addrs.iter().filter_map(|addr| addr.with_peer_id(peer).ok());
    Ok(whole.map(|addr| addr.to_string()).collect())
}

fn advice(error: &driver::Error) -> String {
    use std::io::ErrorKind;
    let driver::Error::Os(driver::os::Error::Io(io)) = error else {
        return error.to_string();
    };
    let told = match io.kind() {
        ErrorKind::AddrInUse => "the port is in use: choose another one, or 0 for any free one",
        ErrorKind::AddrNotAvailable => {
            "no interface has that address: choose one of this machine, or 0.0.0.0 for all"
        }
        ErrorKind::PermissionDenied => "not permitted: ports below 1024 need privileges",
        _ => return error.to_string(),
    };
    String::from(told)
}

/// Serves scrapers if that is asked for; answers where.
async fn serve_metrics(args: &args::Listen, node: &Node<Listener>) -> Result<Option<String>, Error> {
    let Some(addr) = args.metrics else {
        return Ok(None);
    };
    let failed = |error| Error::Failed(format!("--metrics {addr}: {error}"));
    let endpoint = TcpListener::bind(addr).await.map_err(failed)?;
    let url = format!("http://{}/metrics", endpoint.local_addr()?);
    tokio::spawn(metrics::serve(endpoint, node.clone()));
    Ok(Some(url))
}

/// Becomes true with SIGTERM or SIGINT.
struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    /// From here on the signals no longer end the process by themselves.
    #[cfg(unix)]
    fn new() -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> Result<Self, Error> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) {
        // Without it only the time limit ends the run.
        if tokio::signal::ctrl_c().await.is_err() {
            tokio::time::sleep(Duration::MAX).await;
        }
    }
}
