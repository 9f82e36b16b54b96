//! The sub-command `listen`.

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::{FAILED, Failure, Node, OK, Options, UNSUPPORTED, line};

/// Listens until a signal comes or the time runs out; gives the exit code.
pub async fn listen<N: Node>(options: &Options) -> u8 {
    // Installed first, so that a signal that comes early ends the program in an orderly way too.
    let (mut term, mut int) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(term), Ok(int)) => (term, int),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("cannot wait for signals: {error}");
            return FAILED;
        }
    };
    let ends = tokio::time::sleep(options.timeout);
    if let Some(what) = unsupported::<N>(options) {
        line(&json!({"event": "unsupported", "what": what}));
        return UNSUPPORTED;
    }
    let mut node = match N::start(options).await {
        Ok(node) => node,
        Err(Failure::Unsupported(what)) => {
            line(&json!({"event": "unsupported", "what": what}));
            return UNSUPPORTED;
        }
        Err(Failure::Failed(error)) => {
            eprintln!("cannot listen: {error}");
            return FAILED;
        }
    };
    let services: Vec<_> = N::SERVICES.iter().filter(|name| options.wants(name)).collect();
    line(&json!({
        "event": "listening", "peerId": node.peer_id(), "addrs": node.listen_addrs(),
        "impl": N::IMPL, "version": N::VERSION, "services": services,
    }));
    tokio::pin!(ends);
    loop {
        tokio::select! {
            () = &mut ends => return OK,
            _ = term.recv() => return OK,
            _ = int.recv() => return OK,
            event = node.event() => line(&event),
        }
    }
}

/// The first thing asked for that this implementation does not have.
pub(crate) fn unsupported<N: Node>(options: &Options) -> Option<String> {
    if let Some(what) = options.unsupported.first() {
        return Some(what.clone());
    }
    if !N::KEYS.contains(&options.key) {
        return Some(format!("key {:?}", options.key).to_lowercase());
    }
    if let Some(addr) = options.listen.iter().find(|addr| !is_known::<N>(addr)) {
        return Some(format!("listen address {addr}"));
    }
    let asked = options.services.iter().flatten();
    if options.relay.is_some() && !N::SERVICES.contains(&"relay") {
        return Some("relay client".into());
    }
    if let Some(pubsub) = options.pubsub.as_deref().filter(|name| !N::PUBSUB.contains(name)) {
        return Some(format!("pubsub {pubsub}"));
    }
    // A program that cannot report pushes accepts the name all the same.
    asked
        .into_iter()
        .find(|name| *name != "push" && !N::SERVICES.contains(&name.as_str()))
        .map(|name| format!("service {name}"))
}

/// Whether an address is plain TCP over IP, or a WebSocket there if the implementation has that, with or without a peer id; or leads through a
/// relay at such an address.
pub(crate) fn is_known<N: Node>(addr: &str) -> bool {
    let (addr, circuit) = match addr.split_once("/p2p-circuit") {
        Some((relay, _)) => (relay, true),
        None => (addr, false),
    };
    if circuit && !N::SERVICES.contains(&"relay") {
        return false;
    }
    let parts: Vec<_> = addr.split('/').collect();
    let behind = match parts.as_slice() {
        ["", "ip4" | "ip6", _, "tcp", _, behind @ ..] => behind,
        _ => return false,
    };
    match behind {
        [] | ["p2p", _] => true,
        ["ws"] | ["ws", "p2p", _] => N::WEBSOCKET,
        _ => false,
    }
}
