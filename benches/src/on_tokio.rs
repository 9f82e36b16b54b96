//! Measured nodes on tokio: a task for each connection and one for the swarm.

use crate::{
    Failure,
    app::{App, ECHO, Mount, limits, loopback, side},
    network::per_stream,
    usage::Watch,
};
use libp2p_proto_core::Multiaddr;
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::{Dial, Protocol};
use libp2p_proto_swarm as swarm;
use libp2p_proto_tokio::{self as node, Config, Handle};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

impl node::App for App {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        Self::protocols(self)
    }

    fn after_drive(&mut self) {
        if let Some(identify) = &mut self.identify {
            while identify.poll_event().is_some() {}
        }
        if let Some(ping) = &mut self.ping {
            while ping.poll_event().is_some() {}
        }
    }
}

async fn listen(
    identity: Identity,
    mount: Mount,
    swarm: swarm::Config,
) -> Result<(Handle<App>, Multiaddr), Failure> {
    let peer = identity.peer_id();
    let app = App::new(&identity, mount)?;
    let config = Config {
        swarm,
        ..Config::default()
    };
    let handle = node::spawn(identity, config, app)?;
    let addr = handle.listen(loopback()?).await?.with_peer_id(peer)?;
    Ok((handle, addr))
}

/// A server on a runtime with one thread, until the runtime is dropped.
pub(crate) fn serve(
    identity: Identity,
    mount: Mount,
    swarm: swarm::Config,
) -> Result<(tokio::runtime::Runtime, Multiaddr), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let (handle, addr) = runtime.block_on(listen(identity, mount, swarm))?;
    // The node stops with its last handle.
    runtime.spawn(async move {
        std::future::pending::<()>().await;
        drop(handle);
    });
    Ok((runtime, addr))
}

/// Streams: open, negotiate, 32-byte echo, close, so many at a time.
pub(crate) fn streams(count: usize, parallel: usize) -> Result<Value, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    // In a task of the runtime, as a program would: the thread that waits for it takes no part.
    let measured = runtime.spawn(async move {
        let (_server, addr) = listen(side(true), Mount::EchoServer, limits(1)).await?;
        let identity = side(false);
        let app = App::new(&identity, Mount::Identify)?;
        let config = Config {
            swarm: limits(1),
            streams: vec![ECHO],
            ..Config::default()
        };
        let client = node::spawn(identity, config, app)?;
        let (peer, _) = client.dial(Dial::addr(addr)).await?;
        let known = move |app: &mut App| app.identify.as_ref()?.info(&peer).map(|_| ());
        client.next(known).await?;
        let once = |client: Handle<App>| async move {
            let mut stream = client.open(peer, ECHO).await?;
            stream.write_all(&[7; 32]).await?;
            stream.shutdown().await?;
            let mut answer = Vec::with_capacity(64);
            stream.read_to_end(&mut answer).await?;
            if answer == [7; 32] {
                Ok::<_, Failure>(())
            } else {
                Err("not the same bytes came back".into())
            }
        };
        let rounds = |count: usize| {
            let client = client.clone();
            async move {
                let mut running = tokio::task::JoinSet::new();
                for _ in 0..count {
                    if running.len() >= parallel {
                        if let Some(done) = running.join_next().await {
                            done??;
                        }
                    }
                    running.spawn(once(client.clone()));
                }
                while let Some(done) = running.join_next().await {
                    done??;
                }
                Ok::<_, Failure>(())
            }
        };
        rounds(count.div_ceil(10)).await?;
        let watch = Watch::start();
        rounds(count).await?;
        let (wall, cpu) = watch.seconds();
        Ok(per_stream(count, parallel, wall, cpu))
    });
    runtime.block_on(measured)?
}
