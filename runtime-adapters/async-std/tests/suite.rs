//! The suite of the adapters, on async-std.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use libp2p_proto_adapter_suite::{self as suite, Act, Adapter, adapter_suite};
use libp2p_proto_async_std::{App, Config, Handle, spawn};
use libp2p_proto_core::Multiaddr;
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::Protocol;

struct Mounted(suite::App);

impl App for Mounted {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        self.0.protocols()
    }

    fn handle_event(&mut self, event: libp2p_proto_swarm::Event) {
        self.0.see(event);
    }

    fn after_drive(&mut self) {
        self.0.report();
    }
}

/// A node on the executor that all of them share.
struct OnAsyncStd(Handle<Mounted>);

impl Adapter for OnAsyncStd {
    fn start(identity: Identity, limits: libp2p_proto_swarm::Config, app: suite::App) -> Self {
        let config = Config {
            swarm: limits,
            ..Config::default()
        };
        Self(spawn(identity, config, Mounted(app)).unwrap())
    }

    fn listen(&self) -> Multiaddr {
        let addr = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        async_std::task::block_on(self.0.listen(addr)).unwrap()
    }

    fn listen_websocket(&self) -> Multiaddr {
        let addr = "/ip4/127.0.0.1/tcp/0/ws".parse().unwrap();
        async_std::task::block_on(self.0.listen(addr)).unwrap()
    }

    fn call(&self, act: Act) {
        let handle = self.0.clone();
        let acting = async move {
            handle
                .call(move |swarm, app, now| act(swarm, &mut app.0, now))
                .await
        };
        async_std::task::spawn(acting);
    }
}

adapter_suite!(OnAsyncStd);
