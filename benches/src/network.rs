//! Measurements over loopback TCP.

use crate::{
    Failure, MIB, Runtime,
    app::{ECHO, Mount, limits, numbered, side},
    on_mio::{Peer, Running, forget},
    on_tokio,
    partner::Partner,
    ratio,
    usage::{Watch, cpu, raise_file_limit, rss_kib},
};
use bytes::Bytes;
use libp2p_proto_core::{ConnectionId, Multiaddr, StreamId};
use libp2p_proto_identify as identify;
use libp2p_proto_identity::Identity;
use libp2p_proto_perf as perf;
use libp2p_proto_streams as streams;
use libp2p_proto_swarm::Event;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, Read as _},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long a loop sleeps before it looks again.
const GLANCE: Duration = Duration::from_millis(100);
/// How long idle connections are left alone before the memory is read, and again to measure their CPU time.
const SETTLE: Duration = Duration::from_secs(3);

fn listener(mount: Mount, connections: usize) -> Result<(Peer, Multiaddr), Failure> {
    let identity: Identity = side(true);
    let peer = identity.peer_id();
    let mut node = Peer::new(identity, mount, connections)?;
    let addr = node.listen()?.with_peer_id(peer)?;
    Ok((node, addr))
}

/// Streams: open, negotiate, 32-byte echo, close, so many at a time.
pub(crate) fn streams(runtime: Runtime, count: usize, parallel: usize) -> Result<Value, Failure> {
    if runtime == Runtime::Tokio {
        return on_tokio::streams(count, parallel);
    }
    let (server, addr) = listener(Mount::EchoServer, 1)?;
    let _server = server.spawn(forget);
    let mut client = Peer::new(side(false), Mount::EchoClient, 1)?;
    let peer = client.connect(&addr)?;
    while !client.identified()? {}
    let mut rounds = |count: usize| -> Result<(), Failure> {
        let (mut opened, mut done) = (0, 0);
        let mut read: BTreeMap<StreamId, usize> = BTreeMap::new();
        while done < count {
            let Some(machine) = &mut client.app.streams else {
                return Ok(());
            };
            while opened < count && opened - done < parallel {
                machine.open(peer, &ECHO)?;
                opened += 1;
            }
            client.turn(GLANCE)?;
            let Some(machine) = &mut client.app.streams else {
                return Ok(());
            };
            while let Some(event) = machine.poll_event() {
                match event {
                    streams::Event::Opened { stream, .. } => {
                        machine.write(stream, Bytes::from_static(&[7; 32]))?;
                        machine.finish(stream);
                        read.insert(stream, 0);
                    }
                    streams::Event::Readable { stream } => {
                        let sum = read.entry(stream).or_default();
                        while let Some(data) = machine.read(stream) {
                            *sum += data.len();
                        }
                        if machine.is_finished(stream) && *sum == 32 {
                            read.remove(&stream);
                            done += 1;
                        }
                    }
                    streams::Event::OpenFailed { error, reason, .. } => {
                        return Err(format!("a stream failed: {error:?} {reason:?}").into());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    };
    rounds(count.div_ceil(10))?;
    let watch = Watch::start();
    rounds(count)?;
    let (wall, cpu) = watch.seconds();
    Ok(per_stream(count, parallel, wall, cpu))
}

pub(crate) fn per_stream(count: usize, parallel: usize, wall: f64, cpu: f64) -> Value {
    let each = |seconds: f64| seconds * 1e6 / ratio(count);
    json!({
        "count": count, "parallel": parallel, "cpuMicrosPerStreamBothEnds": each(cpu),
        "wallMicrosPerStream": each(wall), "streamsPerSecond": ratio(count) / wall,
    })
}

/// Connections: dial, wait until both ends know each other's identify message (unless bare), close.
pub(crate) fn connections(
    runtime: Runtime,
    count: usize,
    parallel: usize,
    bare: bool,
) -> Result<Value, Failure> {
    if runtime == Runtime::Tokio {
        return Err("connections are measured on mio".into());
    }
    let mount = if bare { Mount::Bare } else { Mount::Idle };
    let (tell, told) = mpsc::channel();
    let (server, addr) = listener(mount, 1024)?;
    let mut remotes: BTreeMap<ConnectionId, Multiaddr> = BTreeMap::new();
    let _server: Running = server.spawn(move |server| {
        while let Some(event) = server.node.poll_event() {
            match event {
                Event::Connected { conn, info, .. } => _ = remotes.insert(conn, info.remote),
                Event::Disconnected { conn, .. } => _ = remotes.remove(&conn),
                _ => {}
            }
        }
        while let Some(event) = server
            .app
            .identify
            .as_mut()
            .and_then(identify::Identify::poll_event)
        {
            if let identify::Event::Identified { conn, .. } = event {
                // The receiver is gone when the measurement is over.
                let _over = remotes.get(&conn).map(|remote| tell.send(remote.clone()));
            }
        }
    });
    let client = Peer::new(side(false), mount, 1024)?;
    let mut dialer = Dialer {
        client,
        addr,
        parallel,
        bare,
        told,
    };
    dialer.rounds(count.div_ceil(10))?;
    let watch = Watch::start();
    dialer.rounds(count)?;
    let (wall, cpu) = watch.seconds();
    Ok(json!({
        "count": count, "parallel": parallel, "bare": bare,
        "cpuMicrosPerConnectionBothEnds": cpu * 1e6 / ratio(count), "connectionsPerSecond": ratio(count) / wall,
    }))
}

struct Dialer {
    client: Peer,
    addr: Multiaddr,
    parallel: usize,
    bare: bool,
    /// Our own address, as the server sees it, of each connection whose client the server has identified.
    told: mpsc::Receiver<Multiaddr>,
}

impl Dialer {
    fn rounds(&mut self, count: usize) -> Result<(), Failure> {
        let (mut dialed, mut closed) = (0, 0);
        let mut locals: BTreeMap<ConnectionId, Multiaddr> = BTreeMap::new();
        // What each side has identified, by our own address.
        let mut ours: BTreeMap<Multiaddr, ConnectionId> = BTreeMap::new();
        let mut theirs: BTreeSet<Multiaddr> = BTreeSet::new();
        while closed < count {
            while dialed < count && dialed - closed < self.parallel {
                self.client.dial(&self.addr)?;
                dialed += 1;
            }
            // The server's word comes over a channel that wakes nobody.
            let wait = if ours.is_empty() {
                GLANCE
            } else {
                Duration::from_micros(50)
            };
            self.client.turn(wait)?;
            let mut done = Vec::new();
            while let Some(event) = self.client.node.poll_event() {
                match event {
                    Event::Connected { conn, .. } if self.bare => done.push(conn),
                    Event::Connected { conn, info, .. } => {
                        locals.insert(conn, info.local.ok_or("no local address")?);
                    }
                    Event::Disconnected { .. } => closed += 1,
                    Event::DialFailed { error, .. } => return Err(error.into()),
                    _ => {}
                }
            }
            let identify = &mut self.client.app.identify;
            while let Some(event) = identify.as_mut().and_then(identify::Identify::poll_event) {
                if let identify::Event::Identified { conn, .. } = event {
                    if let Some(local) = locals.remove(&conn) {
                        ours.insert(local, conn);
                    }
                }
            }
            theirs.extend(self.told.try_iter());
            ours.retain(|local, conn| {
                let both = theirs.remove(local);
                done.extend(both.then_some(*conn));
                !both
            });
            for conn in done {
                self.client.node.swarm().disconnect(conn);
            }
        }
        Ok(())
    }
}

/// Bulk transfers between two processes.
pub(crate) fn perf(runtime: Runtime, mib: usize) -> Result<Value, Failure> {
    let mut partner = Partner::start(runtime, &["perf-listen"])?;
    let addr: Multiaddr = partner.addr()?.parse()?;
    let mut client = Peer::new(side(false), Mount::Perf, 1)?;
    let peer = client.connect(&addr)?;
    let mut transfer = |up: u64, down: u64| -> Result<(), Failure> {
        if let Some(perf) = &mut client.app.perf {
            perf.run(peer, up, down)?;
        }
        loop {
            client.turn(GLANCE)?;
            while let Some(event) = client.app.perf.as_mut().and_then(perf::Perf::poll_event) {
                match event {
                    perf::Event::Done { .. } => return Ok(()),
                    perf::Event::Failed { failure, .. } => {
                        return Err(format!("a transfer failed: {failure:?}").into());
                    }
                    _ => {}
                }
            }
        }
    };
    let mut result = json!({"mib": mib, "listener": runtime.name(), "dialer": "mio"});
    let bytes = (mib as u64) << 20;
    for (name, up, down) in [
        ("warmUp", 16 * MIB as u64, 16 * MIB as u64),
        ("up", bytes, 0),
        ("down", 0, bytes),
    ] {
        let before = partner.cpu_seconds()?;
        let watch = Watch::start();
        transfer(up, down)?;
        let (wall, ours) = watch.seconds();
        let theirs = partner.cpu_seconds()? - before;
        if name != "warmUp" {
            let mib = ratio(mib);
            let fields = json!({
                "mibPerSecond": mib / wall, "mibPerCpuSecondBothEnds": mib / (ours + theirs),
                "dialerCpuSeconds": ours, "listenerCpuSeconds": theirs,
            });
            result
                .as_object_mut()
                .map(|result| result.insert(name.to_owned(), fields));
        }
    }
    Ok(result)
}

/// The listener of [`perf()`]: answers every line of standard input with its CPU time.
pub(crate) fn perf_listen(runtime: Runtime) -> Result<(), Failure> {
    let _server = serve(runtime, Mount::Perf, 1)?;
    for line in std::io::stdin().lock().lines() {
        line?;
        println!("{}", json!({"cpuSeconds": cpu().as_secs_f64()}));
    }
    Ok(())
}

/// A server that runs until it is dropped; its address is printed.
enum Server {
    Mio(#[expect(dead_code, reason = "held to keep the thread")] Running),
    Tokio(#[expect(dead_code, reason = "held to keep the runtime")] tokio::runtime::Runtime),
}

fn serve(runtime: Runtime, mount: Mount, connections: usize) -> Result<Server, Failure> {
    let (server, addr) = match runtime {
        Runtime::Mio => {
            let (server, addr) = listener(mount, connections)?;
            (Server::Mio(server.spawn(forget)), addr)
        }
        Runtime::Tokio => {
            let (server, addr) = on_tokio::serve(side(true), mount, limits(connections))?;
            (Server::Tokio(server), addr)
        }
    };
    println!("{}", json!({"event": "listening", "addr": addr.to_string()}));
    Ok(server)
}

/// The server of [`idle`]: prints its address, and after a line of standard input what its connections cost.
pub(crate) fn idle_listen(runtime: Runtime, mount: Mount, count: usize) -> Result<(), Failure> {
    let limit = raise_file_limit();
    if limit < count as u64 + 64 {
        return Err(format!("only {limit} open files are allowed here").into());
    }
    let _server = serve(runtime, mount, count)?;
    let base = rss_kib();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    thread::sleep(SETTLE);
    let watch = Watch::start();
    thread::sleep(SETTLE);
    let (wall, cpu) = watch.seconds();
    let rss = rss_kib();
    println!(
        "{}",
        json!({
            "connections": count, "baseKib": base, "rssKib": rss, "kibPerConnection": (rss - base) / ratio(count),
            "cpuMicrosPerSecondPerConnection": cpu * 1e6 / wall / ratio(count),
        })
    );
    Ok(())
}

/// The dialers of [`idle`]: each a node of its own, in one loop, until standard input ends.
pub(crate) fn idle_dial(mount: Mount, count: usize, addr: &str) -> Result<(), Failure> {
    raise_file_limit();
    let addr: Multiaddr = addr.parse()?;
    let mut peers = Vec::with_capacity(count);
    for number in 0..count {
        let mut peer = Peer::new(numbered(number + 1), mount, 1)?;
        peer.connect(&addr)?;
        let mut identified = false;
        while !identified {
            peer.turn(GLANCE)?;
            while let Some(event) = peer
                .app
                .identify
                .as_mut()
                .and_then(identify::Identify::poll_event)
            {
                identified |= matches!(event, identify::Event::Identified { .. });
            }
        }
        peers.push(peer);
    }
    println!("{}", json!({"event": "connected"}));
    thread::spawn(move || {
        // Every node has its turn often enough to answer pings in time.
        loop {
            for peer in &mut peers {
                if peer.turn(Duration::ZERO).is_err() {
                    return;
                }
                forget(peer);
            }
            thread::sleep(Duration::from_millis(200));
        }
    });
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    Ok(())
}

/// Memory of idle connections: the server in one process, the dialers in others. `name`: "idle", or "gossip-idle" for subscribers of one topic.
pub(crate) fn idle(runtime: Runtime, name: &str, count: usize) -> Result<Value, Failure> {
    let mut server = Partner::start(runtime, &[&format!("{name}-listen"), &count.to_string()])?;
    let addr = server.addr()?;
    let mut dialers = Vec::new();
    let share = 2500;
    let mut left = count;
    while left > 0 {
        let some = left.min(share);
        let mut dialer = Partner::start(Runtime::Mio, &[&format!("{name}-dial"), &some.to_string(), &addr])?;
        dialer.line()?;
        dialers.push(dialer);
        left -= some;
    }
    let mut result = server.ask()?;
    drop(dialers);
    result
        .as_object_mut()
        .map(|result| result.insert("runtime".to_owned(), json!(runtime.name())));
    Ok(result)
}
