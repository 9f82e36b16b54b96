//! `p2p demo`: a tokio node and a mio node, separate processes on loopback, over real TCP.

mod listener;

use crate::{
    action::Kind,
    args::{self, Args, Command},
    config::Config,
    dial,
    error::{Error, Exit},
    node::{self, Deadline},
    output::Output,
    session::{Fields, Session, Trouble, millis},
};
use clap::Parser as _;
use libp2p_proto_stream_protocol::Dial;
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader},
    process::{self, Child, Stdio},
    time::Duration,
};
use tokio::time::Instant;

/// How long the whole demo may take.
const LIMIT: Duration = Duration::from_secs(300);
/// Round trips that are measured.
const ROUNDS: u32 = 10;

pub(crate) fn run(args: &args::Demo) -> Result<Exit, Error> {
    if args.serve {
        return listener::serve();
    }
    node::block_on(dial(args))
}

/// The other process, which ends with its standard input.
struct Other {
    child: Child,
    lines: std::io::Lines<BufReader<process::ChildStdout>>,
}

impl Other {
    fn start() -> Result<Self, Error> {
        let mut child = process::Command::new(std::env::current_exe()?)
            .args(["demo", "--serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child
            .stdout
            .take()
            .ok_or_else(|| failed("the listening process has no output"))?;
        Ok(Self {
            child,
            lines: BufReader::new(out).lines(),
        })
    }

    /// The field of the next line that has it.
    fn tell(&mut self, field: &str) -> Result<String, Error> {
        for line in self.lines.by_ref() {
            let line: Value = serde_json::from_str(&line?).map_err(failed)?;
            if let Some(text) = line.get(field).and_then(Value::as_str) {
                return Ok(text.to_owned());
            }
        }
        Err(failed("the listening process has ended"))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends by itself with its input.
        let _reaped = self.child.wait();
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(format!("demo: {error}"))
}

async fn dial(args: &args::Demo) -> Result<Exit, Error> {
    let out = Output::new(args.json);
    let mut other = Other::start()?;
    let addr = other.tell("addr")?;
    let options = Args::try_parse_from(["p2p", "dial", &addr, "--do", "ping"]).map_err(failed)?;
    let Command::Dial(options) = options.command else {
        return Err(failed("not a dial"));
    };
    let (node, _) = dial::spawn(&options, &Config::default(), LIMIT)?;
    let began = Instant::now();
    let session = Session::connect(node, Dial::addr(options.addr), Deadline::after(LIMIT), out).await;
    let mut session = session.map_err(failed)?;
    let connected = began.elapsed();

    let bytes = u64::from(args.mib) << 20;
    let identity = act(&mut session, "identify", Kind::Identify).await?;
    let pings = act(&mut session, "ping", Kind::Ping { rounds: ROUNDS }).await?;
    let up = act(&mut session, "upload", Kind::Perf { up: bytes, down: 0 }).await?;
    let down = act(&mut session, "download", Kind::Perf { up: 0, down: bytes }).await?;
    let theirs = other.tell("agent")?;
    let agreed = session.connected.clone();
    session.close().await;

    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let table = json!({
        "listener": format!("mio, {addr}"),
        "dialer": "tokio, this process",
        "security": agreed.security.as_str(),
        "multiplexer": agreed.muxer.as_str(),
        "connected in": format!("{:.2} ms", millis(connected)),
        "dialer learned": text(identity.get("agentVersion")),
        "listener learned": theirs,
        "round trip": format!("{:.3} ms (median of {ROUNDS})", median(&pings)),
        "upload": rate(bytes, &up),
        "download": rate(bytes, &down),
    });
    out.print(&table);
    Ok(Exit::Ok)
}

async fn act(session: &mut Session, name: &str, kind: Kind) -> Result<Fields, Error> {
    session.act(&kind).await.map_err(|trouble| match trouble {
        Trouble::Failed(error) => failed(format!("{name}: {error}")),
        Trouble::Unsupported => failed(format!("{name}: not supported")),
    })
}

fn median(pings: &Fields) -> f64 {
    let rtts = pings.get("rttMs").and_then(Value::as_array);
    let mut rtts: Vec<_> = rtts.into_iter().flatten().filter_map(Value::as_f64).collect();
    rtts.sort_by(f64::total_cmp);
    rtts.get(rtts.len() / 2).copied().unwrap_or_default()
}

/// `256 MiB in 0.412 s: 621 MiB/s`
fn rate(bytes: u64, done: &Fields) -> String {
    let seconds = done
        .get("seconds")
        .and_then(Value::as_f64)
        .unwrap_or(f64::INFINITY);
    let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    format!(
        "{mib} MiB in {seconds:.3} s: {:.0} MiB/s",
        f64::from(mib) / seconds
    )
}
