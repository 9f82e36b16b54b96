//! The suite of the adapters, on mio.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use core::time::Duration;
use libp2p_proto_adapter_suite::{Act, Adapter, App, adapter_suite};
use libp2p_proto_core::Multiaddr;
use libp2p_proto_identity::Identity;
use libp2p_proto_mio::{Config, Node};
use std::{
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    thread,
};

/// A loop in a thread of its own.
struct OnMio {
    acts: Sender<Act>,
    addr: Multiaddr,
    websocket: Multiaddr,
}

impl Adapter for OnMio {
    fn start(identity: Identity, limits: libp2p_proto_swarm::Config, mut app: App) -> Self {
        let (acts, receiver) = channel();
        let config = Config {
            swarm: limits,
            #[cfg(feature = "mdns")]
            discovery: app.discovery.take(),
            ..Config::default()
        };
        let mut node = Node::new(identity, config, &mut app.protocols()).unwrap();
        let [addr, websocket] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"]
            .map(|addr| node.listen(&addr.parse().unwrap()).unwrap());
        thread::spawn(move || run(node, app, receiver));
        Self {
            acts,
            addr,
            websocket,
        }
    }

    fn listen(&self) -> Multiaddr {
        self.addr.clone()
    }

    fn listen_websocket(&self) -> Multiaddr {
        self.websocket.clone()
    }

    fn call(&self, act: Act) {
        self.acts.send(act).unwrap();
    }
}

fn run(mut node: Node, mut app: App, acts: Receiver<Act>) {
    loop {
        match acts.try_recv() {
            Ok(act) => {
                let now = node.now();
                act(node.swarm(), &mut app, now);
            }
            Err(TryRecvError::Disconnected) => {
                #[cfg(feature = "mdns")]
                node.stop_discovery();
                return;
            }
            Err(TryRecvError::Empty) => {}
        }
        node.turn(&mut app.protocols(), Some(Duration::from_millis(2)))
            .unwrap();
        while let Some(event) = node.poll_event() {
            app.see(event);
        }
        #[cfg(feature = "mdns")]
        while let Some(event) = node.poll_discovery() {
            app.discover(event);
        }
        app.report();
    }
}

adapter_suite!(OnMio);
