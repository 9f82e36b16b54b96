//! `p2p demo`: a tokio node and a mio node, separate processes on loopback, over real TCP.

use crate::{
    Exit,
    args::{self, Args, Command},
    dial::{Done, Run, build, connect, millis},
    listen::shut_down,
    node::{identify, new_keys},
    output::Output,
};
use clap::Parser as _;
use libp2p_proto_identify::{self as identify, Identify};
use libp2p_proto_identity::{Identity, KeyType};
use libp2p_proto_perf::{self as perf, Perf};
use libp2p_proto_ping::{self as ping, Ping};
use libp2p_proto_stream_protocol::Protocol;
use libp2p_proto_tokio::{self as tokio_node, App, Config};
use serde_json::{Map, Value, json};
use std::{
    error::Error,
    io::{BufRead as _, BufReader, Write as _},
    process::{self, Child, Stdio},
    time::Duration,
};

/// How long the whole demo may take.
const LIMIT: &str = "300";

pub(crate) fn run(args: &args::Demo) -> Result<Exit, Box<dyn Error>> {
    if args.serve { serve() } else { dial(args) }
}

/// The tokio node of the demo.
struct Server {
    identify: Identify,
    ping: Ping,
    perf: Perf,
}

impl App for Server {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        vec![&mut self.identify, &mut self.ping, &mut self.perf]
    }

    fn after_drive(&mut self) {
        while let Some(event) = self.identify.poll_event() {
            if let identify::Event::Identified { peer, info, .. } = event {
                say(
                    &json!({ "event": "identified", "peer": peer.to_string(), "agent": &*info.agent_version }),
                );
            }
        }
        while self.ping.poll_event().is_some() {}
    }
}

fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    // The other process may have gone; then this one ends with its input.
    let _unheard = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Serves until standard input ends: the other process holds its other end.
fn serve() -> Result<Exit, Box<dyn Error>> {
    let identity = Identity::from(new_keys(KeyType::Ed25519)?);
    let server = Server {
        identify: identify(&identity)?,
        ping: Ping::new(ping::Config::default())?,
        perf: Perf::new(perf::Config {
            serve: true,
            ..perf::Config::default()
        })?,
    };
    let peer = identity.peer_id();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let node = tokio_node::spawn(identity, Config::default(), server)?;
            let addr = node
                .listen("/ip4/127.0.0.1/tcp/0".parse()?)
                .await?
                .with_peer_id(peer)?;
            say(&json!({ "event": "listening", "addr": addr.to_string() }));
            let (sender, ended) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                let mut line = String::new();
                while std::io::stdin().read_line(&mut line).is_ok_and(|n| n > 0) {}
                let _stopped = sender.send(());
            });
            let _dropped = ended.await;
            node.close().await;
            Ok(Exit::Ok)
        })
}

/// The other process, ended when this one is done with it.
struct Other {
    child: Child,
    lines: std::io::Lines<BufReader<process::ChildStdout>>,
}

impl Other {
    fn start() -> Result<Self, Box<dyn Error>> {
        let mut child = process::Command::new(std::env::current_exe()?)
            .args(["demo", "--serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        Ok(Self {
            child,
            lines: BufReader::new(out).lines(),
        })
    }

    fn next(&mut self, event: &str) -> Result<Value, Box<dyn Error>> {
        for line in self.lines.by_ref() {
            let value: Value = serde_json::from_str(&line?)?;
            if value.get("event").and_then(Value::as_str) == Some(event) {
                return Ok(value);
            }
        }
        Err("the listening process has ended".into())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends by itself with its input.
        let _reaped = self.child.wait();
    }
}

fn dial(args: &args::Demo) -> Result<Exit, Box<dyn Error>> {
    let out = Output::new(args.json);
    let mut server = Other::start()?;
    let listening = server.next("listening")?;
    let addr = listening
        .get("addr")
        .and_then(Value::as_str)
        .ok_or("no address")?;
    let Command::Dial(dial) = Args::try_parse_from(["p2p", "dial", addr, "--timeout", LIMIT])?.command else {
        return Err("not a dial".into());
    };
    let mut node = build(&dial)?.ok_or("no node")?;
    let began = node.mio.now();
    let end = began + Duration::from_secs(300);
    let (peer, conn, security, muxer) = connect(&mut node, &dial, end)??;
    let connected = node.mio.now().since(began);
    let mut run = Run::new(node, peer, conn, end, out);
    let identity = act(&mut run, "identify")?;
    let pings = act(&mut run, "ping:10")?;
    let bytes = args.mib.saturating_mul(1 << 20);
    let up = act(&mut run, &format!("perf:{bytes}:0"))?;
    let down = act(&mut run, &format!("perf:0:{bytes}"))?;
    let theirs = server.next("identified")?;
    shut_down(&mut run.node)?;

    let mut rtts: Vec<f64> = pings
        .get("rttMs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect();
    rtts.sort_by(f64::total_cmp);
    let median = rtts.get(rtts.len() / 2).copied().unwrap_or_default();
    let rate = |fields: &Map<String, Value>| {
        let seconds = fields
            .get("seconds")
            .and_then(Value::as_f64)
            .unwrap_or(f64::INFINITY);
        let mib = u32::try_from(args.mib).map_or(f64::INFINITY, f64::from);
        (mib / seconds).round()
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows = [
        ("listener", format!("tokio, {addr}")),
        ("dialer", "mio, this process".to_owned()),
        ("security", security),
        ("multiplexer", muxer),
        ("connected in", format!("{:.2} ms", millis(connected))),
        ("dialer learned", text(identity.get("agentVersion"))),
        ("listener learned", text(theirs.get("agent"))),
        ("round trip", format!("{median:.3} ms (median of {})", rtts.len())),
        ("upload", format!("{} MiB at {} MiB/s", args.mib, rate(&up))),
        ("download", format!("{} MiB at {} MiB/s", args.mib, rate(&down))),
    ];
    if out.is_json() {
        let fields: Map<String, Value> = rows
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        out.print(&Value::Object(fields));
    } else {
        println!();
        for (name, value) in rows {
            println!("  {name:<18} {value}");
        }
    }
    Ok(Exit::Ok)
}

fn act(run: &mut Run, action: &str) -> Result<Map<String, Value>, Box<dyn Error>> {
    match run.act(action)? {
        Done::Ok(fields) => Ok(fields),
        Done::Failed(error) => Err(format!("{action}: {error}").into()),
        Done::Unsupported => Err(format!("{action}: not supported").into()),
    }
}
