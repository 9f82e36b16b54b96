//! The listening process of the demo: a node on the hand-written mio loop.

use crate::{
    error::{Error, Exit},
    keys::generate,
    node::{broken, introduce},
    output::Output,
};
use libp2p_proto_identify::{self as identify, Identify};
use libp2p_proto_identity::{Identity, KeyType};
use libp2p_proto_mio as mio;
use libp2p_proto_perf::{self as perf, Perf};
use libp2p_proto_ping::{self as ping, Ping};
use libp2p_proto_stream_protocol::Protocol;
use serde_json::json;
use std::{
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// The longest sleep of the loop, so that the end of the input is noticed.
const NAP: Duration = Duration::from_millis(100);
/// How long an orderly end may take.
const CLOSING: Duration = Duration::from_secs(1);

/// What the node runs.
struct App {
    identify: Identify,
    ping: Ping,
    perf: Perf,
}

impl App {
    fn protocols(&mut self) -> [&mut dyn Protocol; 3] {
        [&mut self.identify, &mut self.ping, &mut self.perf]
    }

    /// Reports who has come.
    fn report(&mut self) {
        while let Some(event) = self.identify.poll_event() {
            if let identify::Event::Identified { info, .. } = event {
                Output::Json.print(&json!({ "agent": &*info.agent_version }));
            }
        }
        while self.ping.poll_event().is_some() {}
        while self.perf.poll_event().is_some() {}
    }
}

/// Serves until standard input ends: the other process holds its other end.
pub(super) fn serve() -> Result<Exit, Error> {
    let identity = Identity::from(generate(KeyType::Ed25519)?);
    let peer = identity.peer_id();
    let serve = perf::Config {
        serve: true,
        ..perf::Config::default()
    };
    let mut app = App {
        identify: introduce(&identity)?,
        ping: Ping::new(ping::Config::default()).map_err(broken)?,
        perf: Perf::new(serve).map_err(broken)?,
    };
    let mut node = mio::Node::new(identity, mio::Config::default(), &mut app.protocols()).map_err(broken)?;
    let bound = node.listen(&libp2p_proto_core::Multiaddr::tcp([127, 0, 0, 1].into(), 0));
    let addr = bound.map_err(broken)?.with_peer_id(peer).map_err(broken)?;
    Output::Json.print(&json!({ "addr": addr.to_string() }));
    let over = end_of_input();
    while !over.load(Ordering::Relaxed) {
        turn(&mut node, &mut app, NAP)?;
    }
    let now = node.now();
    node.swarm().close(now);
    while !node.swarm().is_idle() && node.now() < now + CLOSING {
        turn(&mut node, &mut app, NAP)?;
    }
    Ok(Exit::Ok)
}

fn turn(node: &mut mio::Node, app: &mut App, wait: Duration) -> Result<(), Error> {
    node.turn(&mut app.protocols(), Some(wait)).map_err(broken)?;
    while node.poll_event().is_some() {}
    app.report();
    Ok(())
}

/// Becomes true once standard input has ended.
fn end_of_input() -> Arc<AtomicBool> {
    let over = Arc::new(AtomicBool::new(false));
    let flag = over.clone();
    thread::spawn(move || {
        // Whatever comes is of no interest, and an error is an end too.
        let _ended = std::io::stdin().read_to_end(&mut Vec::new());
        flag.store(true, Ordering::Relaxed);
    });
    over
}
