//! `p2p dial`: connect, then act in order.

use crate::{
    Exit,
    args::{self, unsupported},
    config::File,
    listen::shut_down,
    node::{self, ECHO, Node, Protocols},
    output::Output,
};
use indicatif::{ProgressBar, ProgressStyle};
use libp2p_proto_core::{ConnectionId, Instant, PeerId, ProtocolName};
use libp2p_proto_fetch::{Answer, Fetch};
use libp2p_proto_identify as identify;
use libp2p_proto_perf::{self as perf, Perf};
use libp2p_proto_ping::{self as ping, Ping};
use libp2p_proto_request_response as reqresp;
use libp2p_proto_stream_protocol::{Dial, DialError, DialOutcome};
use libp2p_proto_streams::{self as streams, Streams};
use libp2p_proto_swarm::Event;
use serde_json::{Map, Value, json};
use std::{error::Error, time::Duration};

/// What an action ended with.
pub(crate) enum Done {
    Ok(Map<String, Value>),
    Failed(String),
    Unsupported,
}

/// One run: the node, whom it talks to, and until when.
pub(crate) struct Run {
    pub(crate) node: Node,
    peer: PeerId,
    conn: ConnectionId,
    end: Instant,
    out: Output,
}

pub(crate) fn run(args: &args::Dial) -> Result<Exit, Box<dyn Error>> {
    let out = Output::new(args.common.json);
    let refuse = |what: String| {
        out.print(&json!({ "do": "connect", "ok": false, "unsupported": true, "error": what }));
        Ok(Exit::Unsupported)
    };
    if let Some(what) = unsupported(&args.common) {
        return refuse(format!("{what} is not supported"));
    }
    if args.addr.class() != libp2p_proto_core::AddressClass::Name
        && (args.addr.is_relayed()
            || args
                .addr
                .split_peer_id()
                .0
                .is_none_or(|addr| addr.components().count() != 2 || addr.socket_tcp().is_none()))
    {
        return refuse(format!("the transport of {} is not supported", args.addr));
    }
    let Some(mut node) = build(args)? else {
        return Ok(Exit::Usage);
    };
    let began = node.mio.now();
    let end = began + Duration::from_secs(args.common.timeout.unwrap_or(30));
    let connected = match connect(&mut node, args, end)? {
        Ok(connected) => connected,
        Err(error) => {
            out.print(&json!({ "do": "connect", "ok": false, "error": error }));
            return Ok(Exit::Failed);
        }
    };
    let (peer, conn, security, muxer) = connected;
    let ms = millis(node.mio.now().since(began));
    out.print(&json!({
        "do": "connect", "ok": true, "ms": ms, "peerId": peer.to_string(),
        "security": security, "muxer": muxer, "relayed": false,
    }));
    let mut run = Run {
        node,
        peer,
        conn,
        end,
        out,
    };
    let mut exit = Exit::Ok;
    for action in &args.actions {
        let (line, outcome) = match run.act(action)? {
            Done::Ok(fields) => (result(action, true, fields), Exit::Ok),
            Done::Failed(error) => (
                result(action, false, fields([("error", json!(error))])),
                Exit::Failed,
            ),
            Done::Unsupported => {
                let error = json!("not supported by this program");
                (
                    result(
                        action,
                        false,
                        fields([("unsupported", json!(true)), ("error", error)]),
                    ),
                    Exit::Unsupported,
                )
            }
        };
        out.print(&line);
        exit = match (exit, outcome) {
            (Exit::Failed, _) | (_, Exit::Failed) => Exit::Failed,
            (Exit::Unsupported, _) | (_, Exit::Unsupported) => Exit::Unsupported,
            _ => Exit::Ok,
        };
    }
    shut_down(&mut run.node)?;
    Ok(exit)
}

/// The node of a dialer. `None`: an action names no protocol.
pub(crate) fn build(args: &args::Dial) -> Result<Option<Node>, Box<dyn Error>> {
    let file = File::read(args.common.config.as_deref())?;
    let identity = node::identity(&args.common, &file)?;
    let mut names = vec![ECHO];
    for action in &args.actions {
        if let Some(name) = action.strip_prefix("push:") {
            match ProtocolName::new(name) {
                Ok(name) if !names.contains(&name) => names.push(name),
                Ok(_) => {}
                Err(error) => {
                    eprintln!("p2p: {action}: {error}");
                    return Ok(None);
                }
            }
        }
    }
    let protocols = Protocols {
        identify: Some(node::identify(&identity)?),
        ping: Some(Ping::new(ping::Config {
            interval: None,
            ..ping::Config::default()
        })?),
        perf: Some(Perf::new(perf::Config {
            timeout: Duration::from_secs(3600),
            ..perf::Config::default()
        })?),
        echo: None,
        fetch: Some(Fetch::new(|_| None)),
        reqresp: Some(node::request_response(false)?),
        streams: Some(Streams::new(
            &names,
            streams::Config {
                max_inbound: 0,
                ..streams::Config::default()
            },
        )?),
    };
    Node::new(identity, &file, protocols).map(Some)
}

fn result(action: &str, ok: bool, fields: Map<String, Value>) -> Value {
    let mut line = Map::new();
    line.insert("do".into(), json!(action));
    line.insert("ok".into(), json!(ok));
    line.extend(fields);
    Value::Object(line)
}

fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Peer, connection, security protocol, multiplexer.
pub(crate) type Connected = (PeerId, ConnectionId, String, String);

/// Connects, or says why not.
pub(crate) fn connect(
    node: &mut Node,
    args: &args::Dial,
    end: Instant,
) -> Result<Result<Connected, String>, Box<dyn Error>> {
    let now = node.mio.now();
    match node.mio.swarm().dial(now, Dial::addr(args.addr.clone())) {
        Ok(DialOutcome::Pending(_)) => {}
        Ok(DialOutcome::Connected(_)) => return Ok(Err("already connected".into())),
        Err(error) => return Ok(Err(error.to_string())),
    }
    while node.mio.now() < end {
        node.turn(Some(end.since(node.mio.now())))?;
        while let Some(event) = node.mio.poll_event() {
            match event {
                Event::Connected {
                    peer,
                    conn,
                    security,
                    muxer,
                    ..
                } => {
                    return Ok(Ok((peer, conn, security.to_string(), muxer.to_string())));
                }
                Event::DialFailed { error, .. } => return Ok(Err(explain(&error))),
                _ => {}
            }
        }
    }
    Ok(Err("time limit reached while connecting".into()))
}

/// The causes, address by address.
fn explain(error: &DialError) -> String {
    match error {
        DialError::AllFailed(failures) => {
            let causes: Vec<_> = failures
                .iter()
                .map(|(addr, cause)| format!("{addr}: {cause}"))
                .collect();
            causes.join("; ")
        }
        other => other.to_string(),
    }
}

impl Run {
    /// A run on a fresh connection.
    pub(crate) const fn new(node: Node, peer: PeerId, conn: ConnectionId, end: Instant, out: Output) -> Self {
        Self {
            node,
            peer,
            conn,
            end,
            out,
        }
    }

    /// Does one action.
    pub(crate) fn act(&mut self, action: &str) -> Result<Done, Box<dyn Error>> {
        let (name, rest) = action.split_once(':').unwrap_or((action, ""));
        match name {
            "ping" => self.ping(rest),
            "identify" => self.identify(),
            "push" => self.push(rest),
            "perf" => self.perf(rest),
            "echo" => self.echo(rest),
            "reqresp" => self.reqresp(rest),
            "fetch" => self.fetch(rest),
            "wait" => self.wait(rest),
            "alive" => Ok(if self.is_connected() {
                Done::Ok(Map::new())
            } else {
                Done::Failed("connection closed".into())
            }),
            _ => Ok(Done::Unsupported),
        }
    }

    /// Turns the loop until `poll` has a result, the connection is gone, or time is up.
    fn until(&mut self, mut poll: impl FnMut(&mut Node) -> Option<Done>) -> Result<Done, Box<dyn Error>> {
        loop {
            if let Some(done) = poll(&mut self.node) {
                return Ok(done);
            }
            if self.node.mio.now() >= self.end {
                return Ok(Done::Failed("time limit reached".into()));
            }
            self.node.turn(Some(self.end.since(self.node.mio.now())))?;
            while let Some(event) = self.node.mio.poll_event() {
                if let Event::Disconnected { conn, error, .. } = event {
                    if conn == self.conn {
                        if let Some(done) = poll(&mut self.node) {
                            return Ok(done);
                        }
                        let code = error.map_or("closed by the peer", |error| error.code);
                        return Ok(Done::Failed(format!("connection lost: {code}")));
                    }
                }
            }
        }
    }

    fn is_connected(&mut self) -> bool {
        let peer = self.peer;
        !self.node.mio.swarm().connections(peer).is_empty()
    }

    fn ping(&mut self, count: &str) -> Result<Done, Box<dyn Error>> {
        let count = if count.is_empty() { 3 } else { count.parse()? };
        let Some(protocol) = &mut self.node.protocols.ping else {
            return Ok(Done::Unsupported);
        };
        protocol.ping(self.peer, count)?;
        let mut rtts = Vec::new();
        self.until(|node| {
            while let Some(event) = node.protocols.ping.as_mut().and_then(Ping::poll_event) {
                match event {
                    ping::Event::Pong { rtt, left, .. } => {
                        rtts.push(millis(rtt));
                        if left == 0 {
                            return Some(Done::Ok(fields([("rttMs", json!(rtts))])));
                        }
                    }
                    ping::Event::Failed { failure, .. } => return Some(Done::Failed(failure.to_string())),
                    _ => {}
                }
            }
            None
        })
    }

    fn identify(&mut self) -> Result<Done, Box<dyn Error>> {
        let peer = self.peer;
        self.until(|node| {
            let protocol = node.protocols.identify.as_mut()?;
            if let Some(info) = protocol.info(&peer) {
                let texts = |items: &mut dyn Iterator<Item = String>| Value::from(items.collect::<Vec<_>>());
                return Some(Done::Ok(fields([
                    ("agentVersion", json!(&*info.agent_version)),
                    ("protocolVersion", json!(&*info.protocol_version)),
                    (
                        "protocols",
                        texts(&mut info.protocols.iter().map(ToString::to_string)),
                    ),
                    (
                        "listenAddrs",
                        texts(&mut info.listen_addrs.iter().map(ToString::to_string)),
                    ),
                    (
                        "observedAddr",
                        json!(info.observed_addr.as_ref().map(ToString::to_string)),
                    ),
                ])));
            }
            while let Some(event) = protocol.poll_event() {
                if let identify::Event::Failed { failure, .. } = event {
                    return Some(Done::Failed(failure.to_string()));
                }
            }
            None
        })
    }

    fn push(&mut self, name: &str) -> Result<Done, Box<dyn Error>> {
        // A push goes to peers that are known to take it, so identify comes first.
        if let done @ (Done::Failed(_) | Done::Unsupported) = self.identify()? {
            return Ok(done);
        }
        let peer = self.peer;
        let wants = |node: &Node| {
            let info = node
                .protocols
                .identify
                .as_ref()
                .and_then(|protocol| protocol.info(&peer));
            info.is_some_and(|info| info.protocols.contains(&identify::PUSH_NAME))
        };
        if !wants(&self.node) {
            return Ok(Done::Failed("the peer takes no pushes".into()));
        }
        let name = ProtocolName::new(name)?;
        if let Some(streams) = &mut self.node.protocols.streams {
            streams.set_inbound(&name, 1)?;
        }
        self.until(|node| {
            while let Some(event) = node
                .protocols
                .identify
                .as_mut()
                .and_then(identify::Identify::poll_event)
            {
                match event {
                    identify::Event::PushSent { .. } => return Some(Done::Ok(Map::new())),
                    identify::Event::Failed { failure, .. } => {
                        return Some(Done::Failed(failure.to_string()));
                    }
                    _ => {}
                }
            }
            None
        })
    }

    fn perf(&mut self, sizes: &str) -> Result<Done, Box<dyn Error>> {
        let (up, down) = sizes.split_once(':').ok_or("perf:UP:DOWN")?;
        let (up, down): (u64, u64) = (up.parse()?, down.parse()?);
        let Some(protocol) = &mut self.node.protocols.perf else {
            return Ok(Done::Unsupported);
        };
        protocol.run(self.peer, up, down)?;
        let bar = if self.out.is_json() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(up.saturating_add(down))
        };
        let style = "{bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
        bar.set_style(ProgressStyle::with_template(style)?);
        let began = self.node.mio.now();
        let done = self.until(|node| {
            while let Some(event) = node.protocols.perf.as_mut().and_then(Perf::poll_event) {
                match event {
                    perf::Event::Progress { up, down, .. } => bar.set_position(up.saturating_add(down)),
                    perf::Event::Done { up, down, .. } => {
                        let seconds = node.mio.now().since(began).as_secs_f64();
                        return Some(Done::Ok(fields([
                            ("upBytes", json!(up)),
                            ("downBytes", json!(down)),
                            ("seconds", json!(seconds)),
                        ])));
                    }
                    perf::Event::Failed { failure, .. } => return Some(Done::Failed(failure.to_string())),
                    _ => {}
                }
            }
            None
        });
        bar.finish_and_clear();
        done
    }

    fn echo(&mut self, text: &str) -> Result<Done, Box<dyn Error>> {
        let Some(streams) = &mut self.node.protocols.streams else {
            return Ok(Done::Unsupported);
        };
        let ticket = streams.open(self.peer, &ECHO)?;
        let (mut opened, mut echoed, data) = (None, Vec::new(), text.as_bytes().to_vec());
        let done = self.until(|node| {
            let streams = node.protocols.streams.as_mut()?;
            while let Some(event) = streams.poll_event() {
                match event {
                    streams::Event::Opened {
                        stream,
                        ticket: answered,
                        ..
                    } if answered == ticket => {
                        opened = Some(stream);
                        if let Err(error) = streams.write(stream, data.clone().into()) {
                            return Some(Done::Failed(error.to_string()));
                        }
                        streams.finish(stream);
                    }
                    streams::Event::OpenFailed { error, reason, .. } => {
                        let cause = error
                            .map(|error| error.to_string())
                            .or_else(|| reason.map(|reason| format!("{reason:?}")));
                        return Some(Done::Failed(format!(
                            "echo stream not opened: {}",
                            cause.unwrap_or_default()
                        )));
                    }
                    streams::Event::Closed { reason, .. }
                        if reason != libp2p_proto_stream_protocol::Closed::Finished =>
                    {
                        return Some(Done::Failed(format!("echo stream closed: {reason:?}")));
                    }
                    _ => {}
                }
            }
            let stream = opened?;
            while let Some(part) = streams.read(stream) {
                echoed.extend_from_slice(&part);
            }
            streams.is_finished(stream).then(|| {
                if echoed == data {
                    Done::Ok(fields([("echo", json!(String::from_utf8_lossy(&echoed)))]))
                } else {
                    Done::Failed("other bytes came back".into())
                }
            })
        })?;
        Ok(done)
    }

    fn reqresp(&mut self, text: &str) -> Result<Done, Box<dyn Error>> {
        let Some(protocol) = &mut self.node.protocols.reqresp else {
            return Ok(Done::Unsupported);
        };
        protocol.request(self.peer, 0, text.to_owned().into())?;
        let wanted = format!("re:{text}");
        self.until(|node| {
            while let Some(event) = node
                .protocols
                .reqresp
                .as_mut()
                .and_then(reqresp::RequestResponse::poll_event)
            {
                match event {
                    reqresp::Event::Response { data, .. } if data == wanted => {
                        return Some(Done::Ok(fields([("response", json!(wanted))])));
                    }
                    reqresp::Event::Response { .. } => return Some(Done::Failed("another response".into())),
                    reqresp::Event::Failed { failure, .. } => return Some(Done::Failed(failure.to_string())),
                    _ => {}
                }
            }
            None
        })
    }

    fn fetch(&mut self, key: &str) -> Result<Done, Box<dyn Error>> {
        let Some(protocol) = &mut self.node.protocols.fetch else {
            return Ok(Done::Unsupported);
        };
        protocol.fetch(self.peer, &format!("interop/{key}"));
        self.until(|node| {
            let (_, answer) = node.protocols.fetch.as_mut()?.poll_event()?;
            Some(match answer {
                Answer::Value(value) => Done::Ok(fields([("value", json!(String::from_utf8_lossy(&value)))])),
                Answer::NotFound => Done::Ok(fields([("value", Value::Null)])),
                Answer::Error(status) => Done::Failed(format!("status {status}")),
                Answer::Failed(reason) => Done::Failed(format!("{reason:?}")),
                _ => Done::Failed("unknown answer".into()),
            })
        })
    }

    fn wait(&mut self, secs: &str) -> Result<Done, Box<dyn Error>> {
        let until = self.node.mio.now() + Duration::from_secs_f64(secs.parse()?);
        while self.node.mio.now() < until && self.node.mio.now() < self.end {
            self.node.turn(Some(until.since(self.node.mio.now())))?;
            while self.node.mio.poll_event().is_some() {}
        }
        Ok(Done::Ok(Map::new()))
    }
}
