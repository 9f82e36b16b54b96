//! Measurements without a network: both ends in one thread, joined by a pipe in memory.

use std::future::poll_fn;

use futures::future::try_join;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use interop_contract::{Failure, Outcome};
use libp2p::core::muxing::StreamMuxerExt as _;
use libp2p::core::upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _};
use libp2p::identity::Keypair;
use libp2p::{noise, yamux};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use crate::usage::Watch;

type Secure = noise::Output<Compat<DuplexStream>>;
const MIB: usize = 1024 * 1024;
/// Bytes that the pipe between the two ends holds.
const PIPE: usize = 256 * 1024;

struct Keys {
    dialer: noise::Config,
    listener: noise::Config,
}

impl Keys {
    fn new() -> Outcome<Self> {
        let config = || noise::Config::new(&Keypair::generate_ed25519()).map_err(|error| Failure::of(&error));
        Ok(Self {
            dialer: config()?,
            listener: config()?,
        })
    }

    async fn handshake(&self) -> Outcome<(Secure, Secure)> {
        let (near, far) = tokio::io::duplex(PIPE);
        let dialer = self.dialer.clone().upgrade_outbound(near.compat(), "/noise");
        let listener = self.listener.clone().upgrade_inbound(far.compat(), "/noise");
        let ((_, near), (_, far)) = try_join(dialer, listener)
            .await
            .map_err(|error| Failure::of(&error))?;
        Ok((near, far))
    }
}

/// Noise XX handshakes, the identities checked, the static keys made once.
pub async fn handshake(count: usize) -> Outcome<Value> {
    let keys = Keys::new()?;
    for _ in 0..count.div_ceil(10) {
        keys.handshake().await?;
    }
    let watch = Watch::start();
    for _ in 0..count {
        keys.handshake().await?;
    }
    let (_, cpu) = watch.seconds();
    Ok(json!({"count": count, "cpuMicrosBothEnds": cpu * 1e6 / count as f64}))
}

/// One stream over yamux over Noise.
pub async fn bulk(mib: usize) -> Outcome<Value> {
    let (near, far) = Keys::new()?.handshake().await?;
    let dialer = yamux::Config::default().upgrade_outbound(near, "/yamux/1.0.0");
    let listener = yamux::Config::default().upgrade_inbound(far, "/yamux/1.0.0");
    let (mut near, mut far) = try_join(dialer, listener)
        .await
        .map_err(|error| Failure::of(&error))?;

    let mut out = poll_fn(|cx| near.poll_outbound_unpin(cx))
        .await
        .map_err(|error| Failure::of(&error))?;
    let sender_muxer = tokio::spawn(poll_fn(move |cx| near.poll_unpin(cx)));
    let sender = tokio::spawn(async move {
        let piece = vec![0x5a; 64 * 1024];
        // What comes before the first answer of the listener is not measured.
        out.write_all(&piece).await?;
        let mut go = [0];
        out.read_exact(&mut go).await?;
        for _ in 0..mib * MIB / piece.len() {
            out.write_all(&piece).await?;
        }
        out.close().await
    });
    let mut input = poll_fn(|cx| far.poll_inbound_unpin(cx))
        .await
        .map_err(|error| Failure::of(&error))?;
    let receiver_muxer = tokio::spawn(poll_fn(move |cx| far.poll_unpin(cx)));
    let receiver = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        input.read_exact(&mut buffer).await?;
        let watch = Watch::start();
        input.write_all(&[0]).await?;
        input.flush().await?;
        let mut total = 0;
        loop {
            match input.read(&mut buffer).await? {
                0 => break,
                count => total += count,
            }
        }
        Ok::<_, std::io::Error>((total, watch.seconds()))
    });
    let lost = |_| Failure::Failed("a task ended early".into());
    sender.await.map_err(lost)??;
    let (total, (wall, cpu)) = receiver.await.map_err(lost)??;
    sender_muxer.abort();
    receiver_muxer.abort();
    if total != mib * MIB {
        return Err(Failure::Failed(format!("{total} bytes arrived")));
    }
    Ok(json!({"mib": mib, "mibPerCpuSecondBothEnds": mib as f64 / cpu, "mibPerSecond": mib as f64 / wall}))
}
