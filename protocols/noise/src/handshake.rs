//! The handshake: three messages, one signature to verify.

use crate::{
    Config, Error, Opener, Sealer,
    payload::{self, SIGNED_PREFIX},
    symmetric::{Symmetric, TAG},
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{fmt, mem};
use libp2p_proto_core::{PeerId, ProtocolName, Rng, Side, TransmitBuf};
use libp2p_proto_identity::PublicKey;
use zeroize::Zeroizing;

/// The largest handshake message that is read: an RSA key of 8 192 bits with its signature and a hundred multiplexers fits.
const MAX_MESSAGE: usize = 8192;
/// Bytes of a public key on the wire.
const KEY: usize = 32;

/// One handshake: the dialer says `e`, the listener `e, ee, s, es` and its payload, the dialer `s, se` and its payload.
///
/// After every [`handle_input`](Self::handle_input), drain [`poll_transmit`](Self::poll_transmit). Its deadline is the caller's.
pub struct Handshake {
    state: State,
}

/// What both roles keep until the end.
struct Common {
    config: Arc<Config>,
    expect: Option<PeerId>,
    symmetric: Symmetric,
    ephemeral: Zeroizing<[u8; 32]>,
    ephemeral_public: [u8; 32],
}

enum State {
    /// Dialer: message 1 is to leave.
    SendFirst(Box<Common>),
    /// Dialer: message 2 must come.
    AwaitSecond(Box<Common>),
    /// Dialer: message 3 is to leave.
    SendThird(Box<Common>, Box<Remote>),
    /// Listener: message 1 must come.
    AwaitFirst(Box<Common>),
    /// Listener: message 2 is to leave.
    SendSecond(Box<Common>, [u8; KEY]),
    /// Listener: message 3 must come.
    AwaitThird(Box<Common>),
    Finished(Box<Finished>),
    Failed(Error),
}

/// What a verified payload told.
struct Remote {
    public_key: PublicKey,
    muxer: Option<ProtocolName>,
    ephemeral: [u8; KEY],
}

/// What a finished handshake leaves.
pub struct Finished {
    /// The authenticated peer.
    pub peer: PeerId,
    /// Its key.
    pub public_key: PublicKey,
    /// The multiplexer that both lists agree on; `None`: multistream-select decides.
    pub muxer: Option<ProtocolName>,
    /// The final hash: a binding to this channel.
    pub handshake_hash: [u8; 32],
    /// Seals what we send.
    pub sealer: Sealer,
    /// Opens what we receive.
    pub opener: Opener,
}

impl Handshake {
    /// A handshake in the role of `side`. `expect`: the only peer that may answer. `seed`: makes the ephemeral key, and must never be used twice.
    pub fn new(config: Arc<Config>, side: Side, expect: Option<PeerId>, seed: [u8; 32]) -> Self {
        let ephemeral = Rng::from_seed(seed).fork("noise ephemeral", 0).bytes32();
        Self::with_ephemeral(config, side, expect, ephemeral)
    }

    /// The same with a given ephemeral key, for vectors.
    pub fn with_ephemeral(
        config: Arc<Config>,
        side: Side,
        expect: Option<PeerId>,
        ephemeral: [u8; 32],
    ) -> Self {
        let ephemeral = Zeroizing::new(ephemeral);
        let symmetric = Symmetric::new(&config.prologue);
        let ephemeral_public = config.provider.x25519_public(&ephemeral);
        let common = Box::new(Common {
            config,
            expect,
            symmetric,
            ephemeral,
            ephemeral_public,
        });
        let state = match side {
            Side::Dialer => State::SendFirst(common),
            Side::Listener => State::AwaitFirst(common),
        };
        Self { state }
    }

    /// Takes one whole message from the front of `input`, decrypted where it lies, and answers how many bytes it took; 0 while the message is incomplete or it is our turn.
    ///
    /// # Errors
    ///
    /// See [`Error`]; every later call gives the same error.
    pub fn handle_input(&mut self, input: &mut [u8]) -> Result<usize, Error> {
        match &self.state {
            State::Failed(error) => return Err(error.clone()),
            State::AwaitFirst(_) | State::AwaitSecond(_) | State::AwaitThird(_) => {}
            _ => return Ok(0),
        }
        let Some((prefix, rest)) = input.split_first_chunk_mut::<2>() else {
            return Ok(0);
        };
        let len = usize::from(u16::from_be_bytes(*prefix));
        if let Err(error) = self.check_length(len) {
            return self.fail(error);
        }
        let Some(message) = rest.get_mut(..len) else {
            return Ok(0);
        };
        let state = mem::replace(&mut self.state, State::Failed(Error::BadTag));
        let next = match state {
            State::AwaitFirst(common) => common.read_first(message),
            State::AwaitSecond(common) => common.read_second(message),
            State::AwaitThird(common) => common.read_third(message),
            other => Ok(other),
        };
        match next {
            Ok(state) => {
                self.state = state;
                Ok(len.saturating_add(2))
            }
            Err(error) => self.fail(error),
        }
    }

    /// Refuses a message by its length alone.
    const fn check_length(&self, len: usize) -> Result<(), Error> {
        let fits = match self.state {
            State::AwaitFirst(_) => len == KEY,
            State::AwaitSecond(_) => len >= KEY + KEY + TAG + TAG,
            _ => len >= KEY + TAG + TAG,
        };
        if len > MAX_MESSAGE {
            Err(Error::TooLarge(len))
        } else if fits {
            Ok(())
        } else {
            Err(Error::BadLength(len))
        }
    }

    fn fail(&mut self, error: Error) -> Result<usize, Error> {
        self.state = State::Failed(error.clone());
        Err(error)
    }

    /// Appends the message that is due, whole; says whether it did.
    pub fn poll_transmit(&mut self, out: &mut TransmitBuf<'_>) -> bool {
        let needed = match &self.state {
            State::SendFirst(_) => KEY,
            State::SendSecond(common, _) => common.config.payload.len().saturating_add(KEY + KEY + TAG + TAG),
            State::SendThird(common, _) => common.config.payload.len().saturating_add(KEY + TAG + TAG),
            _ => return false,
        };
        if needed.saturating_add(2) > out.remaining() {
            return false;
        }
        let state = mem::replace(&mut self.state, State::Failed(Error::BadTag));
        let (message, next) = match state {
            State::SendFirst(common) => common.write_first(),
            State::SendSecond(common, remote) => common.write_second(&remote),
            State::SendThird(common, remote) => common.write_third(*remote),
            other => (Vec::new(), Ok(other)),
        };
        match next {
            Ok(state) => {
                self.state = state;
                let len = u16::try_from(message.len()).unwrap_or(u16::MAX);
                out.put(&len.to_be_bytes()) && out.put(&message)
            }
            Err(error) => {
                self.state = State::Failed(error);
                false
            }
        }
    }

    /// Whether the handshake is done on our side: everything was received, and everything was handed out.
    pub const fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished(_))
    }

    /// The error that ended the handshake, if one did.
    pub const fn error(&self) -> Option<&Error> {
        match &self.state {
            State::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// The authenticated peer and the two halves of the transport.
    ///
    /// # Errors
    ///
    /// [`Error::Unfinished`], or the error that ended the handshake.
    pub fn finish(self) -> Result<Finished, Error> {
        match self.state {
            State::Finished(finished) => Ok(*finished),
            State::Failed(error) => Err(error),
            _ => Err(Error::Unfinished),
        }
    }
}

impl Common {
    fn write_first(mut self: Box<Self>) -> (Vec<u8>, Result<State, Error>) {
        let mut message = Vec::with_capacity(KEY);
        self.write_ephemeral(&mut message);
        self.symmetric.encrypt_and_hash(&[], &mut message);
        (message, Ok(State::AwaitSecond(self)))
    }

    fn read_first(mut self: Box<Self>, message: &mut [u8]) -> Result<State, Error> {
        let (ephemeral, payload) = self.read_ephemeral(message)?;
        self.symmetric.decrypt_and_hash(payload)?;
        Ok(State::SendSecond(self, ephemeral))
    }

    fn write_second(mut self: Box<Self>, remote: &[u8; KEY]) -> (Vec<u8>, Result<State, Error>) {
        let mut message = Vec::with_capacity(self.config.payload.len().saturating_add(KEY + KEY + TAG + TAG));
        let config = self.config.clone();
        self.write_ephemeral(&mut message);
        let mixed = self.mix_ephemeral(remote).and_then(|()| {
            self.symmetric
                .encrypt_and_hash(&config.static_public, &mut message);
            self.symmetric
                .mix_dh(&*config.provider, &config.static_secret, remote)
        });
        self.symmetric.encrypt_and_hash(&config.payload, &mut message);
        (message, mixed.map(|()| State::AwaitThird(self)))
    }

    fn read_second(mut self: Box<Self>, message: &mut [u8]) -> Result<State, Error> {
        let (ephemeral, rest) = self.read_ephemeral(message)?;
        self.mix_ephemeral(&ephemeral)?;
        let (sealed, payload) = rest.split_at_mut_checked(KEY + TAG).ok_or(Error::BadTag)?;
        let remote_static = read_key(self.symmetric.decrypt_and_hash(sealed)?)?;
        let config = self.config.clone();
        self.symmetric
            .mix_dh(&*config.provider, &self.ephemeral, &remote_static)?;
        let payload = self.symmetric.decrypt_and_hash(payload)?;
        let (public_key, muxer) = verify(&config, self.expect, &remote_static, payload, Side::Dialer)?;
        let remote = Box::new(Remote {
            public_key,
            muxer,
            ephemeral,
        });
        Ok(State::SendThird(self, remote))
    }

    fn write_third(mut self: Box<Self>, remote: Remote) -> (Vec<u8>, Result<State, Error>) {
        let mut message = Vec::with_capacity(self.config.payload.len().saturating_add(KEY + TAG + TAG));
        let config = self.config.clone();
        self.symmetric
            .encrypt_and_hash(&config.static_public, &mut message);
        let mixed = self
            .symmetric
            .mix_dh(&*config.provider, &config.static_secret, &remote.ephemeral);
        self.symmetric.encrypt_and_hash(&config.payload, &mut message);
        (
            message,
            mixed.map(|()| self.finished(remote.public_key, remote.muxer, Side::Dialer)),
        )
    }

    fn read_third(mut self: Box<Self>, message: &mut [u8]) -> Result<State, Error> {
        let (sealed, payload) = message.split_at_mut_checked(KEY + TAG).ok_or(Error::BadTag)?;
        let remote_static = read_key(self.symmetric.decrypt_and_hash(sealed)?)?;
        let config = self.config.clone();
        self.symmetric
            .mix_dh(&*config.provider, &self.ephemeral, &remote_static)?;
        let payload = self.symmetric.decrypt_and_hash(payload)?;
        let (public_key, muxer) = verify(&config, self.expect, &remote_static, payload, Side::Listener)?;
        Ok(self.finished(public_key, muxer, Side::Listener))
    }

    fn finished(&self, public_key: PublicKey, muxer: Option<ProtocolName>, side: Side) -> State {
        let [dialer, listener] = self.symmetric.split();
        let (send, receive) = if side.is_dialer() {
            (dialer, listener)
        } else {
            (listener, dialer)
        };
        State::Finished(Box::new(Finished {
            peer: public_key.peer_id(),
            public_key,
            muxer,
            handshake_hash: *self.symmetric.hash(),
            sealer: Sealer::new(self.config.provider.aead(&send)),
            opener: Opener::new(self.config.provider.aead(&receive)),
        }))
    }

    fn write_ephemeral(&mut self, message: &mut Vec<u8>) {
        message.extend_from_slice(&self.ephemeral_public);
        self.symmetric.mix_hash(&self.ephemeral_public);
    }

    fn read_ephemeral<'a>(&mut self, message: &'a mut [u8]) -> Result<([u8; KEY], &'a mut [u8]), Error> {
        let (ephemeral, rest) = message.split_first_chunk_mut::<KEY>().ok_or(Error::BadTag)?;
        self.symmetric.mix_hash(ephemeral);
        if *ephemeral == self.ephemeral_public {
            return Err(Error::OwnIdentity);
        }
        Ok((*ephemeral, rest))
    }

    /// The token `ee`.
    fn mix_ephemeral(&mut self, remote: &[u8; KEY]) -> Result<(), Error> {
        let config = self.config.clone();
        self.symmetric.mix_dh(&*config.provider, &self.ephemeral, remote)
    }
}

fn read_key(bytes: &[u8]) -> Result<[u8; KEY], Error> {
    bytes.try_into().map_err(|_| Error::BadTag)
}

/// Cheap checks first, then the one signature.
fn verify(
    config: &Config,
    expect: Option<PeerId>,
    remote_static: &[u8; KEY],
    payload: &[u8],
    side: Side,
) -> Result<(PublicKey, Option<ProtocolName>), Error> {
    let payload = payload::decode(payload)?;
    let public_key = PublicKey::decode(payload.identity_key).map_err(Error::BadKey)?;
    let got = public_key.peer_id();
    if *remote_static == config.static_public || got == config.peer {
        return Err(Error::OwnIdentity);
    }
    let mut signed = [0; SIGNED_PREFIX.len() + KEY];
    let (prefix, key) = signed.split_at_mut(SIGNED_PREFIX.len());
    prefix.copy_from_slice(SIGNED_PREFIX);
    key.copy_from_slice(remote_static);
    if !public_key.verify(&signed, payload.identity_sig) {
        return Err(Error::BadSignature);
    }
    if let Some(expected) = expect.filter(|expected| *expected != got) {
        return Err(Error::UnexpectedPeer { expected, got });
    }
    let muxer = payload::choose(&config.muxers, &payload.muxers, side.is_dialer())?;
    Ok((public_key, muxer))
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::SendFirst(_) => "Handshake(SendFirst)",
            State::AwaitSecond(_) => "Handshake(AwaitSecond)",
            State::SendThird(..) => "Handshake(SendThird)",
            State::AwaitFirst(_) => "Handshake(AwaitFirst)",
            State::SendSecond(..) => "Handshake(SendSecond)",
            State::AwaitThird(_) => "Handshake(AwaitThird)",
            State::Finished(_) => "Handshake(Finished)",
            State::Failed(_) => "Handshake(Failed)",
        })
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Finished({}, muxer {:?})", self.peer, self.muxer)
    }
}
