//! The suite of the adapters, on tokio.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use libp2p_proto_adapter_suite::{self as suite, Act, Adapter, adapter_suite};
use libp2p_proto_core::Multiaddr;
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::Protocol;
use libp2p_proto_tokio::{App, Config, Handle, spawn};
use tokio::runtime::{Builder, Runtime};

struct Mounted(suite::App);

impl App for Mounted {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        self.0.protocols()
    }

    fn handle_event(&mut self, event: libp2p_proto_swarm::Event) {
        self.0.see(event);
    }

    #[cfg(feature = "mdns")]
    fn handle_discovery(&mut self, event: suite::mdns::Event) {
        self.0.discover(event);
    }

    fn after_drive(&mut self) {
        self.0.report();
    }
}

/// A node on a runtime of its own.
struct OnTokio {
    runtime: Runtime,
    handle: Handle<Mounted>,
}

impl Adapter for OnTokio {
    fn start(
        identity: Identity,
        limits: libp2p_proto_swarm::Config,
        #[cfg_attr(not(feature = "mdns"), allow(unused_mut, reason = "it has something to take"))]
        mut app: suite::App,
    ) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = Config {
            swarm: limits,
            #[cfg(feature = "mdns")]
            discovery: app.discovery.take(),
            ..Config::default()
        };
        let handle = {
            let _inside = runtime.enter();
            spawn(identity, config, Mounted(app)).unwrap()
        };
        Self { runtime, handle }
    }

    fn listen(&self) -> Multiaddr {
        let addr = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        self.runtime.block_on(self.handle.listen(addr)).unwrap()
    }

    fn listen_websocket(&self) -> Multiaddr {
        let addr = "/ip4/127.0.0.1/tcp/0/ws".parse().unwrap();
        self.runtime.block_on(self.handle.listen(addr)).unwrap()
    }

    fn call(&self, act: Act) {
        let handle = self.handle.clone();
        self.runtime.spawn(async move {
            handle
                .call(move |swarm, app, now| act(swarm, &mut app.0, now))
                .await
        });
    }
}

adapter_suite!(OnTokio);
