//! `p2p kad`: what a lookup does, told and drawn.

mod picture;

use crate::{
    action::{Action, Kind, Query},
    args,
    config::Config,
    dial,
    error::{Error, Exit},
    node::{self, Deadline, Node},
    output::Output,
    session::{Dialer, Session, millis},
    support,
};
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_kad::{Effort, Key, QueryError, Step};
use libp2p_proto_stream_protocol::Dial;
use picture::Picture;
use serde_json::{Value, json};
use std::{fs, io::Write as _, path::Path, time::Duration};

/// The time limit of a run.
const LIMIT: Duration = Duration::from_secs(90);

pub(crate) fn run(args: &args::Kad) -> Result<Exit, Error> {
    let args::KadCommand::Trace(args) = &args.command;
    let out = Output::new(args.common.json);
    if args.via.peer_id().is_none() {
        return Err(Error::Usage(format!(
            "{} names no peer: end it in /p2p/ID (`p2p listen` prints whole addresses)",
            args.via
        )));
    }
    let dialer = dialer(args);
    if let Some(what) = support::dial(&dialer) {
        let error = format!("not supported: {what}");
        out.print(&json!({ "event": "trace", "ok": false, "unsupported": true, "error": error }));
        return Ok(Exit::Unsupported);
    }
    let config = Config::of(&args.common)?;
    node::block_on(trace(args, &dialer, &config, out))
}

/// The dialer that traces: one with Kademlia.
fn dialer(args: &args::Trace) -> args::Dial {
    let query = Query::Closest {
        text: args.target.clone(),
    };
    args::Dial {
        addr: args.via.clone(),
        actions: vec![Action {
            text: String::new(),
            kind: Kind::Kad(query),
        }],
        common: args.common.clone(),
        listen: Vec::new(),
    }
}

/// What is looked up: a peer, or the multihash of a text.
pub(crate) fn key(text: &str) -> Vec<u8> {
    let hashed = || [&[0x12, 0x20][..], Key::of(text.as_bytes()).as_bytes()].concat();
    text.parse()
        .map_or_else(|_| hashed(), |peer: PeerId| peer.as_bytes().to_vec())
}

/// One step as the machine told it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) at: Duration,
    pub(crate) peer: PeerId,
    pub(crate) step: Step,
}

/// A lookup that is over.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    pub(crate) steps: Vec<Told>,
    pub(crate) result: Result<Vec<PeerId>, QueryError>,
    pub(crate) effort: Effort,
}

async fn trace(args: &args::Trace, dialer: &args::Dial, config: &Config, out: Output) -> Result<Exit, Error> {
    let limit = args.common.timeout.unwrap_or(LIMIT);
    let deadline = Deadline::after(limit);
    let (node, recording) = dial::spawn(dialer, config, limit)?;
    let done = look_up(args, out, node.clone(), deadline).await;
    if let Some(recording) = recording {
        node.close().await;
        recording.finish();
    }
    done
}

async fn look_up(
    args: &args::Trace,
    out: Output,
    node: Node<Dialer>,
    deadline: Deadline,
) -> Result<Exit, Error> {
    node.listen(Multiaddr::tcp([127, 0, 0, 1].into(), 0)).await?;
    let via = Dial::addr(args.via.clone());
    let session = match Session::connect(node, via, deadline, out).await {
        Ok(session) => session,
        Err(error) => return Ok(failed(out, &error)),
    };
    let key = key(&args.target);
    let traced = match session.trace(key.clone()).await {
        Ok(traced) => traced,
        Err(error) => return Ok(failed(out, &error)),
    };
    let place = Key::of(&key);
    for told in &traced.steps {
        out.print(&line(&place, told));
    }
    out.print(&summary(&args.target, &traced));
    if let Some(path) = &args.svg {
        write(path, &Picture::of(&place, &traced).svg(&args.target))?;
    }
    session.close().await;
    Ok(if traced.result.is_ok() {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

fn failed(out: Output, error: &str) -> Exit {
    out.print(&json!({ "event": "trace", "ok": false, "error": error }));
    Exit::Failed
}

fn write(path: &Path, svg: &str) -> Result<(), Error> {
    let mut file = fs::File::create_new(path).map_err(|error| Error::file(path, error))?;
    file.write_all(svg.as_bytes())
        .map_err(|error| Error::file(path, error))
}

fn line(place: &Key, told: &Told) -> Value {
    let (ms, peer) = (millis(told.at), told.peer.to_string());
    match told.step {
        Step::Asked { hop, key, from } => json!({
            "event": "asked", "ms": ms, "peer": peer, "hop": hop, "from": from.map(|from| from.to_string()),
            "sharedBits": place.common_prefix(&key),
        }),
        Step::Answered { named } => json!({"event": "answered", "ms": ms, "peer": peer, "named": named}),
        Step::Failed(failure) => {
            json!({"event": "failed", "ms": ms, "peer": peer, "error": failure.to_string()})
        }
        _ => json!({"event": "sent", "ms": ms, "peer": peer}),
    }
}

fn summary(key: &str, traced: &Traced) -> Value {
    let effort = traced.effort;
    let peers: Vec<String> = traced.result.iter().flatten().map(ToString::to_string).collect();
    let error = traced.result.as_ref().err().map(ToString::to_string);
    json!({
        "event": "trace", "ok": error.is_none(), "error": error, "key": key, "peers": peers, "asked": effort.asked,
        "answered": effort.answered, "failed": effort.failed, "hops": effort.hops, "ms": millis(effort.took),
        "crowded": effort.crowded,
    })
}
