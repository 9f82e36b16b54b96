//! Measurements over loopback TCP.

use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt as _;
use interop_contract::{Failure, Outcome, line, services};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Swarm, identify};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use rust_libp2p_peer::node::serve;
use rust_libp2p_peer::streams::Control;
use rust_libp2p_peer::swarm::{BehaviourEvent, Mount, Plain, swarm};

use crate::usage::{Watch, cpu};

/// A swarm that listens on loopback, its address with its peer id, and its streams served.
pub async fn listener(mount: Mount) -> Outcome<(Swarm<Plain>, Multiaddr)> {
    let (mut swarm, inbound) = swarm(Keypair::generate_ed25519(), mount)?;
    tokio::spawn(serve(inbound));
    let any = "/ip4/127.0.0.1/tcp/0"
        .parse()
        .map_err(|error| Failure::of(&error))?;
    swarm.listen_on(any).map_err(|error| Failure::of(&error))?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            let peer = *swarm.local_peer_id();
            return Ok((swarm, address.with(Protocol::P2p(peer))));
        }
    }
}

/// A swarm that has nothing more to tell, run to the end of the program.
pub fn run(mut swarm: Swarm<Plain>) {
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
}

/// The peer id at the end of an address.
pub fn peer_of(addr: &Multiaddr) -> Outcome<PeerId> {
    match addr.iter().last() {
        Some(Protocol::P2p(peer)) => Ok(peer),
        _ => Err(Failure::Failed("the address does not end in a peer id".into())),
    }
}

/// A swarm of its own that has connected to an address, run to the end of the program.
pub async fn dialer(addr: &Multiaddr, mount: Mount) -> Outcome<Control> {
    let (mut swarm, _) = swarm(Keypair::generate_ed25519(), mount)?;
    swarm.dial(addr.clone()).map_err(|error| Failure::of(&error))?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => break,
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(Failure::of(&error)),
            _ => {}
        }
    }
    let control = swarm.behaviour().streams.control();
    run(swarm);
    Ok(control)
}

fn only(protocols: Vec<&'static str>) -> Mount {
    Mount {
        identify: false,
        ping: None,
        protocols,
    }
}

/// Opens so many streams, so many at a time; how many failed.
async fn echoes(control: &Control, peer: PeerId, count: usize, parallel: usize) -> usize {
    let failed = AtomicUsize::new(0);
    let failures = &failed;
    futures::stream::iter(0..count)
        .for_each_concurrent(parallel, |_| async move {
            let echo = async {
                let stream = control.open(peer, services::ECHO).await?;
                Ok::<_, Failure>(services::ask(stream, &[7; 32]).await?)
            };
            if !matches!(echo.await, Ok(bytes) if bytes == [7; 32]) {
                failures.fetch_add(1, Ordering::Relaxed);
            }
        })
        .await;
    failed.into_inner()
}

/// Streams: open, negotiate, 32-byte echo, close, so many at a time.
pub async fn streams(count: usize, parallel: usize) -> Outcome<Value> {
    let mount = |protocols| Mount {
        identify: true,
        ping: None,
        protocols,
    };
    let (server, addr) = listener(mount(vec![services::ECHO])).await?;
    run(server);
    let peer = peer_of(&addr)?;
    let control = dialer(&addr, mount(Vec::new())).await?;
    // In a task of the runtime, as a program would: the thread that waits for it takes no part.
    let measured = tokio::spawn(async move {
        let mut failed = echoes(&control, peer, count.div_ceil(10), parallel).await;
        let watch = Watch::start();
        failed += echoes(&control, peer, count, parallel).await;
        (failed, watch.seconds())
    });
    let (failed, (wall, cpu)) = measured.await.map_err(|error| Failure::of(&error))?;
    if failed > 0 {
        return Err(Failure::Failed(format!("{failed} streams failed")));
    }
    let each = |seconds: f64| seconds * 1e6 / count as f64;
    Ok(json!({
        "count": count, "parallel": parallel, "cpuMicrosPerStreamBothEnds": each(cpu),
        "wallMicrosPerStream": each(wall), "streamsPerSecond": count as f64 / wall,
    }))
}

/// Connections: dial, wait until both ends know each other's identify message (unless bare), close.
pub async fn connections(count: usize, parallel: usize, bare: bool) -> Outcome<Value> {
    let mount = || Mount {
        identify: !bare,
        ping: (!bare).then_some(Mount::PING_INTERVAL),
        protocols: Vec::new(),
    };
    let (mut server, addr) = listener(mount()).await?;
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut open = HashMap::new();
        loop {
            match server.select_next_some().await {
                SwarmEvent::ConnectionEstablished {
                    connection_id,
                    endpoint,
                    ..
                } => {
                    open.insert(connection_id, endpoint.get_remote_address().clone());
                }
                SwarmEvent::ConnectionClosed { connection_id, .. } => {
                    open.remove(&connection_id);
                }
                SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                    connection_id,
                    ..
                })) => {
                    if let Some(client) = open.get(&connection_id) {
                        // The receiver is gone when the measurement is over.
                        let _ = tell.send(client.clone());
                    }
                }
                _ => {}
            }
        }
    });
    let (client, _) = swarm(Keypair::generate_ed25519(), mount())?;
    let mut dialer = Dialer {
        swarm: client,
        addr,
        parallel,
        bare,
        told,
    };
    dialer.rounds(count.div_ceil(10)).await?;
    let watch = Watch::start();
    dialer.rounds(count).await?;
    let (wall, cpu) = watch.seconds();
    Ok(json!({
        "count": count, "parallel": parallel, "bare": bare,
        "cpuMicrosPerConnectionBothEnds": cpu * 1e6 / count as f64, "connectionsPerSecond": count as f64 / wall,
    }))
}

struct Dialer {
    swarm: Swarm<Plain>,
    addr: Multiaddr,
    parallel: usize,
    bare: bool,
    /// Our own address, as the server sees it, of each connection whose client the server has identified.
    told: mpsc::UnboundedReceiver<Multiaddr>,
}

impl Dialer {
    async fn rounds(&mut self, count: usize) -> Outcome<()> {
        let peer = peer_of(&self.addr)?;
        let (mut dialed, mut closed) = (0, 0);
        // By our own address: the connections whose server we have identified, and those where it was the other way.
        let (mut ours, mut theirs) = (HashMap::new(), HashSet::new());
        while closed < count {
            while dialed < count && dialed - closed < self.parallel {
                let opts = DialOpts::peer_id(peer)
                    .condition(PeerCondition::Always)
                    .addresses(vec![self.addr.clone()]);
                self.swarm
                    .dial(opts.build())
                    .map_err(|error| Failure::of(&error))?;
                dialed += 1;
            }
            let mut done = None;
            tokio::select! {
                Some(address) = self.told.recv() => match ours.remove(&address) {
                    Some(connection) => done = Some(connection),
                    None => _ = theirs.insert(address),
                },
                event = self.swarm.select_next_some() => match event {
                    SwarmEvent::ConnectionEstablished { connection_id, .. } => {
                        done = self.bare.then_some(connection_id);
                    }
                    SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                        connection_id, info, ..
                    })) => if theirs.remove(&info.observed_addr) {
                        done = Some(connection_id);
                    } else {
                        ours.insert(info.observed_addr, connection_id);
                    },
                    SwarmEvent::ConnectionClosed { .. } => closed += 1,
                    SwarmEvent::OutgoingConnectionError { error, .. } => return Err(Failure::of(&error)),
                    _ => {}
                }
            }
            if let Some(connection) = done {
                self.swarm.close_connection(connection);
            }
        }
        Ok(())
    }
}

/// This program as a second process that prints lines of JSON.
pub struct Partner {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Partner {
    /// Starts it.
    pub fn start(args: &[&str], threads: usize) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--threads", &threads.to_string()])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let gone = || Failure::Failed("the second process has no pipes".into());
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().ok_or_else(gone)?).lines();
        Ok(Self { child, input, lines })
    }

    /// The next line that it prints.
    pub async fn line(&mut self) -> Outcome<Value> {
        let text = self.lines.next_line().await?;
        let text = text.ok_or_else(|| Failure::Failed("the second process ended".into()))?;
        serde_json::from_str(&text).map_err(|error| Failure::of(&error))
    }

    /// Its address, from its first line.
    pub async fn addr(&mut self) -> Outcome<Multiaddr> {
        let line = self.line().await?;
        let addr = line["addrs"][0].as_str().unwrap_or_default();
        addr.parse().map_err(|error| Failure::of(&error))
    }

    async fn cpu_seconds(&mut self) -> Outcome<f64> {
        if let Some(input) = &mut self.input {
            input.write_all(b"\n").await?;
            input.flush().await?;
        }
        let line = self.line().await?;
        line["cpuSeconds"]
            .as_f64()
            .ok_or_else(|| Failure::Failed("no CPU time from the second process".into()))
    }

    /// Ends its standard input and waits for its end.
    pub async fn end(mut self) -> Outcome<()> {
        drop(self.input.take());
        self.child.wait().await?;
        Ok(())
    }
}

/// Bulk transfers between two processes.
pub async fn perf(threads: usize, mib: usize) -> Outcome<Value> {
    let mut partner = Partner::start(&["perf-listen"], threads)?;
    let addr = partner.addr().await?;
    let peer = peer_of(&addr)?;
    let control = dialer(&addr, only(Vec::new())).await?;
    let mut result = json!({"mib": mib});
    let bytes = mib as u64 * 1024 * 1024;
    for (name, up, down) in [("warmUp", 1 << 24, 1 << 24), ("up", bytes, 0), ("down", 0, bytes)] {
        let theirs = partner.cpu_seconds().await?;
        let watch = Watch::start();
        let stream = control.open(peer, services::PERF).await?;
        services::perf(stream, up, down).await?;
        let (wall, ours) = watch.seconds();
        let theirs = partner.cpu_seconds().await? - theirs;
        if name != "warmUp" {
            let mib = mib as f64;
            result[name] = json!({
                "mibPerSecond": mib / wall, "mibPerCpuSecondBothEnds": mib / (ours + theirs),
                "dialerCpuSeconds": ours, "listenerCpuSeconds": theirs,
            });
        }
    }
    partner.end().await?;
    Ok(result)
}

/// The listener of [`perf`]: answers every line of standard input with its CPU time.
pub async fn perf_listen() -> Outcome<()> {
    let (server, addr) = listener(only(vec![services::PERF])).await?;
    run(server);
    line(&json!({"event": "listening", "addrs": [addr.to_string()]}));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        line(&json!({"cpuSeconds": cpu().as_secs_f64()}));
    }
    Ok(())
}
