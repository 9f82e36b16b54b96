//! `p2p dial`: connect, then act in order.

use crate::{
    action::{Action, Kind},
    args, book,
    config::Config,
    error::{Error, Exit},
    node::{self, Deadline, Node},
    output::Output,
    record::{Built, Dialing, Recording, Who},
    session::{Dialer, Fields, OWN_NAMES, Session, Trouble, fields, millis},
    support,
};
use libp2p_proto_core::{Component, Multiaddr};
use libp2p_proto_driver as driver;
use libp2p_proto_stream_protocol::Dial;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// The time limit of a run.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &args::Dial) -> Result<Exit, Error> {
    let out = Output::new(args.common.json);
    if args.addr.peer_id().is_none() {
        return Err(Error::Usage(format!(
            "{} names no peer: end it in /p2p/ID (`p2p listen` prints whole addresses)",
            args.addr
        )));
    }
    if let Some(what) = support::dial(args) {
        let error = format!("not supported: {what}");
        out.print(&json!({ "do": "connect", "ok": false, "unsupported": true, "error": error }));
        return Ok(Exit::Unsupported);
    }
    let config = Config::of(&args.common)?;
    node::block_on(connect_and_act(args, &config, out))
}

async fn connect_and_act(args: &args::Dial, config: &Config, out: Output) -> Result<Exit, Error> {
    let limit = args.common.timeout.unwrap_or(LIMIT);
    let deadline = Deadline::after(limit);
    let (node, recording) = spawn(args, config, limit)?;
    let done = act(args, config, out, &node, deadline).await;
    if let Some(recording) = recording {
        node.close().await;
        recording.finish();
    }
    done
}

async fn act(
    args: &args::Dial,
    config: &Config,
    out: Output,
    node: &Node<Dialer>,
    deadline: Deadline,
) -> Result<Exit, Error> {
    let began = Instant::now();
    restore(node, config).await?;
    if asks_dcutr(args) && !args.listen.is_empty() {
        for addr in &args.listen {
            node.listen(addr.clone()).await?;
        }
    } else if asks_kad(args)
        || args.actions.iter().any(|action| {
            matches!(
                action.kind,
                Kind::Register { .. } | Kind::Reserve | Kind::Dcutr | Kind::Reach(_)
            )
        })
    {
        // Whoever provides something must be there for those who want it.
        node.listen(Multiaddr::tcp([127, 0, 0, 1].into(), 0)).await?;
    }
    let mut session = match Session::connect(node.clone(), whom(&args.addr), deadline, out).await {
        Ok(session) => session,
        Err(error) => {
            out.print(&json!({ "do": "connect", "ok": false, "error": error }));
            return Ok(Exit::Failed);
        }
    };
    out.print(&connected(&session, began.elapsed()));
    let mut exit = Exit::Ok;
    for action in &args.actions {
        let (line, outcome) = report(action, session.act(&action.kind).await);
        out.print(&line);
        exit = exit.max(outcome);
    }
    keep(node, config).await?;
    session.close().await;
    Ok(exit)
}

fn asks_kad(args: &args::Dial) -> bool {
    args.actions
        .iter()
        .any(|action| matches!(action.kind, Kind::Kad(_)))
}

fn asks_dcutr(args: &args::Dial) -> bool {
    args.actions.iter().any(|action| action.kind == Kind::Dcutr)
}

/// Starts the node of a dialer, and its recording if there is to be one.
pub(crate) fn spawn(
    args: &args::Dial,
    config: &Config,
    limit: Duration,
) -> Result<(Node<Dialer>, Option<Recording>), Error> {
    let identity = node::identity(&args.common, config)?;
    let mut names: Vec<String> = Vec::new();
    for action in &args.actions {
        match &action.kind {
            Kind::Push { name } if !OWN_NAMES.contains(name) => names.push(name.as_str().to_owned()),
            _ => {}
        }
    }
    names.sort();
    names.dedup();
    let (kad, dcutr) = (asks_kad(args), asks_dcutr(args));
    let dialing = Dialing {
        names,
        limit,
        kad,
        dcutr,
    };
    let mut swarm = config.swarm.clone();
    // Whoever runs the command says when it is over.
    swarm.idle_timeout = None;
    let kad_protocol = args.common.kad_protocol.as_deref();
    let built = Built::new(Who::Dialer(dialing.clone()), kad_protocol, &swarm);
    let record = args.common.record.as_deref();
    let recording = record
        .map(|path| Recording::start(path, &identity, &built))
        .transpose()?;
    let signing = recording.as_ref().map_or(&identity, Recording::identity);
    let dialer = Dialer::new(signing, &dialing, kad_protocol)?;
    let config = driver::Config {
        swarm,
        resolver: node::resolver(),
        recorder: recording.as_ref().map(Recording::recorder),
        ..driver::Config::default()
    };
    let node = args.common.runtime.spawn(identity, config, dialer)?;
    Ok((node, recording))
}

/// An address, or the addresses that the book has of a peer.
fn whom(addr: &Multiaddr) -> Dial {
    match (addr.components().next(), addr.peer_id()) {
        (Some(Component::P2p(_)), Some(peer)) => Dial::peer(peer),
        _ => Dial::addr(addr.clone()),
    }
}

async fn restore(node: &Node<Dialer>, config: &Config) -> Result<(), Error> {
    if let Some(path) = config.address_book.clone() {
        let snapshot = book::read(&path)?;
        node.call(move |swarm, _, now| book::restore(swarm, now, &path, &snapshot))
            .await?;
    }
    Ok(())
}

async fn keep(node: &Node<Dialer>, config: &Config) -> Result<(), Error> {
    if let Some(path) = &config.address_book {
        let snapshot = node.call(|swarm, _, now| book::snapshot(swarm, now)).await?;
        book::write(path, &snapshot)?;
    }
    Ok(())
}

fn connected(session: &Session, took: Duration) -> Value {
    let connected = &session.connected;
    json!({
        "do": "connect", "ok": true, "ms": millis(took), "peerId": connected.peer.to_string(),
        "security": connected.security.as_str(), "muxer": connected.muxer.as_str(), "relayed": connected.relayed,
    })
}

fn report(action: &Action, done: Result<Fields, Trouble>) -> (Value, Exit) {
    let (ok, more, exit) = match done {
        Ok(more) => (true, more, Exit::Ok),
        Err(Trouble::Failed(error)) => (false, fields([("error", json!(error))]), Exit::Failed),
        Err(Trouble::Unsupported) => {
            let error = json!("not supported by this program");
            (
                false,
                fields([("unsupported", json!(true)), ("error", error)]),
                Exit::Unsupported,
            )
        }
    };
    let mut line = Map::new();
    line.insert("do".into(), json!(action.text));
    line.insert("ok".into(), json!(ok));
    line.extend(more);
    (Value::Object(line), exit)
}
