//! What the tests share: ends with fixed keys, the pipe between them, and a remote that follows the pattern but says what it likes.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part")]

use libp2p_proto_core::{PeerId, ProtocolName, Rng, Side, TransmitBuf, protobuf::Writer};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_noise::{Config, Error, Finished, Handshake, Opener, Provider, RustCrypto, Sealer};
use std::sync::Arc;

pub const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";
pub const YAMUX: &[u8] = b"/yamux/1.0.0";

pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

pub fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Every provider that is built in.
pub fn providers() -> Vec<Box<dyn Provider>> {
    vec![
        Box::new(RustCrypto),
        #[cfg(feature = "ring")]
        Box::new(libp2p_proto_noise::Ring),
        #[cfg(feature = "aws-lc-rs")]
        Box::new(libp2p_proto_noise::AwsLc),
    ]
}

pub fn keys(seed: u8) -> Keypair {
    Keypair::ed25519_from_seed([seed; 32])
}

pub fn identity(seed: u8) -> Identity {
    Identity::from(keys(seed))
}

pub fn peer(seed: u8) -> PeerId {
    identity(seed).peer_id()
}

pub fn config(seed: u8) -> Config {
    Config::new(&identity(seed), &mut Rng::from_seed([seed; 32])).unwrap()
}

pub fn end(seed: u8, side: Side) -> Handshake {
    Handshake::new(Arc::new(config(seed)), side, None, [seed; 32])
}

/// Dialer 1 and listener 2.
pub fn ends() -> (Handshake, Handshake) {
    (end(1, Side::Dialer), end(2, Side::Listener))
}

/// Everything that a handshake has to say now.
pub fn take(from: &mut Handshake) -> Vec<u8> {
    let mut wire = Vec::new();
    from.poll_transmit(&mut TransmitBuf::new(&mut wire, 65_537));
    wire
}

/// Hands all of `wire` in; it must be taken whole.
pub fn give(to: &mut Handshake, wire: &[u8]) -> Result<(), Error> {
    let mut wire = wire.to_vec();
    assert_eq!(to.handle_input(&mut wire)?, wire.len());
    Ok(())
}

/// Runs both to the end.
pub fn run(a: &mut Handshake, b: &mut Handshake) -> Result<(), Error> {
    for _ in 0..2 {
        let there = take(a);
        if !there.is_empty() {
            give(b, &there)?;
        }
        let back = take(b);
        if !back.is_empty() {
            give(a, &back)?;
        }
    }
    Ok(())
}

pub fn finished(mut a: Handshake, mut b: Handshake) -> (Finished, Finished) {
    run(&mut a, &mut b).unwrap();
    (a.finish().unwrap(), b.finish().unwrap())
}

/// Both halves of a fresh pair.
pub fn transports() -> (Finished, Finished) {
    let (a, b) = ends();
    finished(a, b)
}

pub fn seal(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let sealed = sealer.seal(&mut TransmitBuf::new(&mut wire, 65_537), |out| out.put(plain));
    assert_eq!(sealed, Ok(Some(true)));
    wire
}

/// Opens one frame: how much it took, and the plaintext.
pub fn open(opener: &mut Opener, wire: &[u8]) -> Result<Option<(usize, Vec<u8>)>, Error> {
    let mut wire = wire.to_vec();
    let opened = opener.open(&mut wire)?;
    Ok(opened.map(|(taken, plain)| (taken, plain.to_vec())))
}

/// A message behind its length.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).unwrap();
    [&len.to_be_bytes(), message].concat()
}

/// What an identity key signs.
pub fn signed(rs: &[u8]) -> Vec<u8> {
    [b"noise-libp2p-static-key:", rs].concat()
}

/// A payload of these fields, by number.
pub fn payload(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    for (number, value) in fields {
        writer.bytes(*number, value);
    }
    out
}

/// The extension with this list of multiplexers.
pub fn muxers(names: &[&[u8]]) -> Vec<u8> {
    payload(&names.iter().map(|name| (2, *name)).collect::<Vec<_>>())
}

pub fn names(names: &[&'static str]) -> Vec<ProtocolName> {
    names.iter().map(|name| ProtocolName::from_static(name)).collect()
}

/// A remote made with snow: its messages are right, and their payload is whatever the test says.
pub struct Remote {
    pub noise: snow::HandshakeState,
    pub static_public: Vec<u8>,
}

impl Remote {
    pub fn new(side: Side, prologue: &[u8]) -> Self {
        let secret = [0xc5; 32];
        let builder = snow::Builder::new(PATTERN.parse().unwrap())
            .local_private_key(&secret)
            .unwrap()
            .fixed_ephemeral_key_for_testing_only(&[0xe7; 32])
            .prologue(prologue)
            .unwrap();
        let noise = match side {
            Side::Dialer => builder.build_initiator(),
            Side::Listener => builder.build_responder(),
        };
        Self {
            noise: noise.unwrap(),
            static_public: RustCrypto.key_pair(&secret).unwrap().public_key().to_vec(),
        }
    }

    pub fn write(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut message = vec![0; 65_535];
        let len = self.noise.write_message(payload, &mut message).unwrap();
        frame(&message[..len])
    }

    pub fn read(&mut self, wire: &[u8]) -> Vec<u8> {
        let mut payload = vec![0; 65_535];
        let len = self.noise.read_message(&wire[2..], &mut payload).unwrap();
        payload.truncate(len);
        payload
    }

    /// The payload that vouches for this remote with `keys`, and further fields.
    pub fn vouch(&self, keys: &Keypair, further: &[(u32, &[u8])]) -> Vec<u8> {
        let signature = keys.sign(&signed(&self.static_public)).unwrap();
        let mut fields = vec![(1, keys.public().encode()), (2, &signature[..])];
        fields.extend_from_slice(further);
        payload(&fields)
    }
}

/// Lets a remote on the other side of `side` answer us with the payload that `say` makes of it; answers our end, and what became of its last input.
pub fn meet(
    ours: Handshake,
    side: Side,
    say: impl FnOnce(&Remote) -> Vec<u8>,
) -> (Handshake, Result<(), Error>) {
    meet_with(ours, side, Remote::new(side.opposite(), &[]), say)
}

pub fn meet_with(
    mut ours: Handshake,
    side: Side,
    mut remote: Remote,
    say: impl FnOnce(&Remote) -> Vec<u8>,
) -> (Handshake, Result<(), Error>) {
    if side.is_dialer() {
        remote.read(&take(&mut ours));
    } else {
        give(&mut ours, &remote.write(&[])).unwrap();
        remote.read(&take(&mut ours));
    }
    let said = say(&remote);
    let result = give(&mut ours, &remote.write(&said));
    (ours, result)
}

/// The same with our end 1 of the default configuration.
pub fn meet_default(side: Side, say: impl FnOnce(&Remote) -> Vec<u8>) -> Result<Finished, Error> {
    let (mut ours, result) = meet(end(1, side), side, say);
    result?;
    take(&mut ours);
    ours.finish()
}
