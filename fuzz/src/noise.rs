//! Noise from its first byte to its last frame: raw bytes, payloads that a real handshake carries, and frames that are changed on their way.

use crate::budget;
use arbitrary::{Result, Unstructured};
use libp2p_proto_core::{PeerId, Rng, Side, TransmitBuf};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_noise::{Config, Error, Finished, Handshake, Opener};
use std::sync::{Arc, LazyLock};

/// The remote's static and ephemeral key, and the seed of the identity that vouches for it in the corpus.
const REMOTE: [[u8; 32]; 3] = [[0xc5; 32], [0xe7; 32], [2; 32]];

static CONFIGS: LazyLock<[Arc<Config>; 2]> = LazyLock::new(|| {
    [1, 2].map(|seed| {
        let identity = Identity::from(Keypair::ed25519_from_seed([seed; 32]));
        Arc::new(Config::new(&identity, &mut Rng::from_seed([seed; 32])).expect("the identity signs"))
    })
});

/// Runs one input: its first byte chooses what happens, its second the side.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let _ = match input.arbitrary::<u8>().unwrap_or(0) % 3 {
        0 => raw(input),
        1 => hostile_payload(input),
        _ => changed_frames(input),
    };
}

fn side(input: &mut Unstructured<'_>) -> Result<Side> {
    Ok(if input.arbitrary()? {
        Side::Dialer
    } else {
        Side::Listener
    })
}

fn ours(side: Side) -> Handshake {
    let [config, _] = &*CONFIGS;
    Handshake::new(config.clone(), side, None, [1; 32])
}

fn take(from: &mut Handshake) -> Vec<u8> {
    let mut wire = Vec::new();
    while from.poll_transmit(&mut TransmitBuf::new(&mut wire, 1 << 16)) {}
    wire
}

/// Nobody finishes a handshake by bytes alone.
fn raw(mut input: Unstructured<'_>) -> Result<()> {
    let side = side(&mut input)?;
    let piece = input.int_in_range(1..=200)?;
    let said = input.take_rest();
    budget::memory("a handshake", 16 * 1024, || {
        let mut handshake = ours(side);
        let mut arrived = Vec::new();
        let mut written = 0;
        for part in said.chunks(piece) {
            written += take(&mut handshake).len();
            arrived.extend_from_slice(part);
            match handshake.handle_input(&mut arrived) {
                Ok(taken) => drop(arrived.drain(..taken)),
                Err(error) => {
                    assert_eq!(handshake.handle_input(&mut [0; 40]), Err(error));
                    break;
                }
            }
            arrived.truncate(8194);
        }
        budget::at_most("answers", written, 34 + 8194);
        assert!(!handshake.is_finished());
    });
    Ok(())
}

/// A remote that follows the pattern, with a payload of the input: it is believed only if the one key that the corpus knows has signed.
fn hostile_payload(mut input: Unstructured<'_>) -> Result<()> {
    let side = side(&mut input)?;
    let payload = input.take_rest();
    let payload = &payload[..payload.len().min(60_000)];
    let [secret, ephemeral, identity] = REMOTE;
    let builder = snow::Builder::new("Noise_XX_25519_ChaChaPoly_SHA256".parse().expect("a pattern"))
        .local_private_key(&secret)
        .expect("one key")
        .fixed_ephemeral_key_for_testing_only(&ephemeral);
    let mut remote = match side {
        Side::Dialer => builder.build_responder(),
        Side::Listener => builder.build_initiator(),
    }
    .expect("a remote");
    let mut buffer = vec![0; 65_535];
    let mut handshake = ours(side);
    let mut message = vec![0; 65_535];
    if side.is_dialer() {
        let first = take(&mut handshake);
        remote
            .read_message(&first[2..], &mut buffer)
            .expect("our first message");
    } else {
        let len = remote
            .write_message(&[], &mut message)
            .expect("their first message");
        assert_eq!(give(&mut handshake, &mut frame(&message[..len])), Ok(()));
        let second = take(&mut handshake);
        remote
            .read_message(&second[2..], &mut buffer)
            .expect("our second message");
    }
    let len = remote
        .write_message(payload, &mut message)
        .expect("their payload");
    let mut wire = frame(&message[..len]);
    let result = budget::memory("a payload", 16 * 1024, || give(&mut handshake, &mut wire));
    take(&mut handshake);
    assert_eq!(result.is_ok(), handshake.is_finished());
    if let Ok(finished) = handshake.finish() {
        assert_eq!(finished.peer, vouching_peer(identity));
    }
    Ok(())
}

fn vouching_peer(seed: [u8; 32]) -> PeerId {
    Keypair::ed25519_from_seed(seed).public().peer_id()
}

/// A message behind its length.
fn frame(message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).expect("a message of the pattern");
    [&len.to_be_bytes(), message].concat()
}

fn give(to: &mut Handshake, wire: &mut [u8]) -> core::result::Result<(), Error> {
    let taken = to.handle_input(wire)?;
    assert_eq!(taken, wire.len());
    Ok(())
}

/// Both ends after a handshake of their own.
fn session() -> [Finished; 2] {
    let [near, far] = &*CONFIGS;
    let mut near = Handshake::new(near.clone(), Side::Dialer, None, [1; 32]);
    let mut far = Handshake::new(far.clone(), Side::Listener, None, [2; 32]);
    for _ in 0..2 {
        let mut wire = take(&mut near);
        far.handle_input(&mut wire).expect("an honest dialer");
        let mut wire = take(&mut far);
        near.handle_input(&mut wire).expect("an honest listener");
    }
    [near, far].map(|end| end.finish().expect("two honest ends"))
}

/// Frames that arrive as they left are opened; once one was changed, nothing is opened any more.
fn changed_frames(mut input: Unstructured<'_>) -> Result<()> {
    let [mut near, mut far] = session();
    let mut is_whole = true;
    while is_whole && !input.is_empty() {
        let size = usize::from(input.arbitrary::<u16>()?) % 2000 + 1;
        let plain: Vec<u8> = (0..=255).cycle().skip(size % 11).take(size).collect();
        let mut wire = Vec::new();
        let sealed = near
            .sealer
            .seal(&mut TransmitBuf::new(&mut wire, 4096), |out| out.put(&plain));
        assert_eq!(sealed, Ok(Some(true)));
        let genuine = wire.clone();
        match input.arbitrary::<u8>()? % 6 {
            0 => {
                let at = usize::from(input.arbitrary::<u16>()?) % wire.len();
                wire[at] ^= input.arbitrary::<u8>()?;
            }
            1 => {
                let at = usize::from(input.arbitrary::<u16>()?) % wire.len();
                wire.insert(at, input.arbitrary()?);
            }
            2 => {
                let at = usize::from(input.arbitrary::<u16>()?) % wire.len();
                wire.remove(at);
            }
            3 => wire = input.arbitrary()?,
            _ => {}
        }
        is_whole = wire.starts_with(&genuine);
        let opened = open(&mut far.opener, &mut wire);
        if is_whole {
            assert_eq!(opened, Ok(Some(plain)));
        } else {
            assert!(!matches!(opened, Ok(Some(_))), "a changed frame was opened");
        }
        if opened.is_err() {
            assert_eq!(open(&mut far.opener, &mut genuine.clone()), opened);
        }
    }
    Ok(())
}

fn open(opener: &mut Opener, wire: &mut [u8]) -> core::result::Result<Option<Vec<u8>>, Error> {
    let opened = opener.open(wire)?;
    Ok(opened.map(|(_, plain)| plain.to_vec()))
}
