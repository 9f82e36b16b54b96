//! Measurements without a network: both ends in one thread, joined by buffers in memory; and the bare cost of their crypto.

use crate::{Failure, MIB, usage::Watch};
use bytes::Bytes;
use libp2p_proto_connection::{Config, Connection};
use libp2p_proto_core::{ConnectionId, Instant, ProtocolName, Rng, Side, StreamId, TransmitBuf};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_noise as noise;
use libp2p_proto_stream_protocol::{
    Framing, FromConnection, Seat, SpecEntry, SpecId, SpecTable, StreamOrder, StreamSpec, ToConnection,
};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};
use std::{hint::black_box, sync::Arc};
use x25519_dalek::{PublicKey, StaticSecret};

/// Bytes that an adapter would hand to the kernel, or take from it, in one call.
const CHUNK: usize = 256 * 1024;
/// Size of each write of the application.
const PIECE: usize = 64 * 1024;
/// Writes that wait for the network.
const AHEAD: usize = 16;
const BULK: ProtocolName = ProtocolName::from_static("/bulk/1");
const NOW: Instant = Instant::ZERO;

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from(Keypair::ed25519_from_seed([seed; 32]))
}

/// One end of a connection, with the bytes on their way to it.
struct End {
    machine: Connection,
    wire: Vec<u8>,
    received: usize,
    sent: usize,
    finished: bool,
    established: bool,
}

impl End {
    fn new(seed: u8, side: Side) -> Result<Self, Failure> {
        let spec = StreamSpec {
            recv_window: 16 << 20,
            send_capacity: 1 << 20,
            ..StreamSpec::new(BULK, Framing::Raw)
        };
        let mut seat = Seat::new(ConnectionId::new(seed.into()), side, [seed; 32]);
        seat.specs = Arc::new(SpecTable::new(vec![SpecEntry {
            protocol: 0,
            index: 0,
            spec,
        }]));
        let config = Arc::new(Config::new(&identity(seed), [seed; 32])?);
        Ok(Self {
            machine: Connection::new(NOW, config, seat),
            wire: Vec::with_capacity(2 * CHUNK),
            received: 0,
            sent: 0,
            finished: false,
            established: false,
        })
    }

    /// Takes what has arrived and what it means.
    fn take(&mut self) -> Result<(), Failure> {
        let taken = self.machine.handle_input(NOW, &mut self.wire)?;
        self.wire.drain(..taken);
        while let Some(message) = self.machine.poll_message() {
            match message {
                FromConnection::Authenticated { .. } => {
                    self.machine.handle_message(NOW, ToConnection::Admit);
                }
                FromConnection::Established { .. } => self.established = true,
                FromConnection::Frame { stream, data } => {
                    let bytes = data.len();
                    self.received += bytes;
                    self.machine
                        .handle_message(NOW, ToConnection::Grant { stream, bytes });
                }
                FromConnection::Sent { bytes, .. } => self.sent += bytes,
                FromConnection::Finished { .. } => self.finished = true,
                FromConnection::Carried(_)
                | FromConnection::Closed { .. }
                | FromConnection::Opened { .. }
                | FromConnection::Flushed { .. }
                | FromConnection::Inner { .. }
                | FromConnection::WrongPeer { .. } => {}
                FromConnection::Disconnected { error } => {
                    return Err(format!("disconnected: {error:?}").into());
                }
            }
        }
        Ok(())
    }

    fn send_to(&mut self, other: &mut Self) {
        let mut out = TransmitBuf::new(&mut other.wire, CHUNK);
        while self.machine.poll_transmit(NOW, &mut out) {}
    }
}

/// One stream over yamux over Noise.
pub(crate) fn bulk(mib: usize) -> Result<Value, Failure> {
    let (mut near, mut far) = (End::new(1, Side::Dialer)?, End::new(2, Side::Listener)?);
    while !(near.established && far.established) {
        near.send_to(&mut far);
        far.take()?;
        far.send_to(&mut near);
        near.take()?;
    }
    let stream = StreamId::ours(ConnectionId::new(1), 0);
    let specs = [SpecId(0)].into_iter().collect();
    near.machine.handle_message(
        NOW,
        ToConnection::Open {
            stream,
            specs,
            lazy: true,
        },
    );
    let piece = Bytes::from(vec![0x5a; PIECE]);
    let mut queued = 0;
    // The window grows during the first part, which is not measured.
    let mut run = |total: usize| {
        while far.received < total {
            while queued < total && queued < near.sent + AHEAD * PIECE {
                let data = piece.clone();
                near.machine
                    .handle_message(NOW, ToConnection::Write { stream, data });
                queued += PIECE;
            }
            near.send_to(&mut far);
            far.take()?;
            far.send_to(&mut near);
            near.take()?;
        }
        Ok::<_, Failure>(())
    };
    let warm = 16 * MIB;
    run(warm)?;
    let watch = Watch::start();
    run(warm + mib * MIB)?;
    let (wall, cpu) = watch.seconds();
    near.machine.handle_message(
        NOW,
        ToConnection::Order {
            stream,
            order: StreamOrder::Finish,
        },
    );
    near.send_to(&mut far);
    far.take()?;
    if !far.finished {
        return Err("the end of the stream did not arrive".into());
    }
    let size = crate::ratio(mib);
    Ok(json!({
        "mib": mib, "mibPerCpuSecondBothEnds": size / cpu, "mibPerSecond": size / wall,
    }))
}

/// Noise XX handshakes, the identities checked, the static keys made once.
pub(crate) fn handshake(count: usize) -> Result<Value, Failure> {
    let config = |seed: u8| {
        let mut dice = Rng::from_seed([seed; 32]);
        noise::Config::with_provider(&identity(seed), &mut dice, Box::new(noise::AwsLc)).map(Arc::new)
    };
    let (dialer, listener) = (config(1)?, config(2)?);
    let once = |index: usize| {
        let dice = Rng::from_seed([3; 32]);
        let seed = |label| dice.fork_seed(label, index as u64);
        let mut near = noise::Handshake::new(dialer.clone(), Side::Dialer, None, seed("dialer"));
        let mut far = noise::Handshake::new(listener.clone(), Side::Listener, None, seed("listener"));
        let mut wire = Vec::with_capacity(1024);
        while !(near.is_finished() && far.is_finished()) {
            wire.clear();
            near.poll_transmit(&mut TransmitBuf::new(&mut wire, CHUNK));
            far.handle_input(&mut wire)?;
            wire.clear();
            far.poll_transmit(&mut TransmitBuf::new(&mut wire, CHUNK));
            near.handle_input(&mut wire)?;
        }
        let (near, far) = (near.finish()?, far.finish()?);
        if near.peer != identity(2).peer_id() || far.peer != identity(1).peer_id() {
            return Err("the peers do not know each other".into());
        }
        Ok::<_, Failure>(())
    };
    (0..count.div_ceil(10)).try_for_each(once)?;
    let watch = Watch::start();
    (0..count).try_for_each(once)?;
    let (_, cpu) = watch.seconds();
    Ok(json!({"count": count, "cpuMicrosBothEnds": cpu * 1e6 / crate::ratio(count)}))
}

/// The bare cost of the crypto on this machine: what no implementation with the same providers can beat.
pub(crate) fn limits() -> Result<Value, Failure> {
    let key = || {
        UnboundKey::new(&CHACHA20_POLY1305, &[7; 32])
            .map(LessSafeKey::new)
            .map_err(|_| "no key")
    };
    let (seal, open) = (key()?, key()?);
    let mut body = vec![0x5a; 65_519];
    let rounds = 2048;
    let mut once = || {
        let nonce = || Nonce::assume_unique_for_key([1; 12]);
        let tag = seal
            .seal_in_place_separate_tag(nonce(), Aad::empty(), &mut body)
            .map_err(|_| "not sealed")?;
        open.open_in_place_separate_tag(nonce(), Aad::empty(), tag, &mut body, 0..)
            .map_err(|_| "not opened")?;
        Ok::<_, Failure>(())
    };
    (0..64).try_for_each(|_| once())?;
    let watch = Watch::start();
    (0..rounds).try_for_each(|_| once())?;
    let (_, cpu) = watch.seconds();
    let aead = crate::ratio(rounds) * 65_519.0 / crate::ratio(MIB) / cpu;

    let count = 200;
    let keypair = Keypair::ed25519_from_seed([1; 32]);
    let signature = keypair.sign(b"message")?;
    let public = keypair.public();
    let secret = StaticSecret::from([5; 32]);
    let point = PublicKey::from(&StaticSecret::from([6; 32]));
    let mut sink = [0_u8; 32];
    let watch = Watch::start();
    for _ in 0..count {
        for _ in 0..6 {
            sink = black_box(&secret).diffie_hellman(black_box(&point)).to_bytes();
        }
        for _ in 0..2 {
            black_box(PublicKey::from(black_box(&secret)));
            if !public.verify(b"message", &signature) {
                return Err("a signature does not fit".into());
            }
        }
    }
    black_box(sink);
    let (_, cpu) = watch.seconds();
    Ok(json!({
        "aeadMibPerCpuSecondSealAndOpen": aead,
        "curveMicrosPerHandshake": cpu * 1e6 / crate::ratio(count),
    }))
}
