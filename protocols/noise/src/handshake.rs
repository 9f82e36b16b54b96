//! The handshake: the pattern XX with identities in its payloads.

use crate::{
    Config, Error, Opener, Sealer,
    config::signed_bytes,
    payload,
    xx::{KEY, OVERHEAD, Second, Xx},
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{fmt, mem};
use libp2p_proto_core::{PeerId, ProtocolName, Rng, Side, TransmitBuf};
use libp2p_proto_identity::PublicKey;
use zeroize::Zeroizing;

/// One handshake: the dialer says `e`, the listener `e, ee, s, es` and its payload, the dialer `s, se` and its payload.
///
/// After every [`handle_input`](Self::handle_input), drain [`poll_transmit`](Self::poll_transmit). Its deadline is the caller's.
pub struct Handshake {
    state: State,
}

enum State {
    /// Listener: message 1 must come. Until then nothing is computed, so that a silent connection costs nothing.
    AwaitingFirst(Box<Start>),
    /// Dialer: message 2 must come.
    AwaitingSecond(Box<Session>),
    /// Listener: message 3 must come.
    AwaitingThird(Box<Session>),
    /// A message of ours is to leave; then this follows.
    Sending(Vec<u8>, Box<State>),
    Finished(Box<Finished>),
    Failed(Error),
}

/// What a handshake is made of.
struct Start {
    config: Arc<Config>,
    expect: Option<PeerId>,
    ephemeral: Zeroizing<[u8; KEY]>,
}

/// A handshake under way.
struct Session {
    config: Arc<Config>,
    expect: Option<PeerId>,
    xx: Xx,
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
        let seed = Zeroizing::new(seed);
        let ephemeral = Rng::from_seed(*seed).fork("noise ephemeral", 0).bytes32();
        Self::with_ephemeral(config, side, expect, ephemeral)
    }

    /// The same with a given ephemeral key, for vectors.
    pub fn with_ephemeral(
        config: Arc<Config>,
        side: Side,
        expect: Option<PeerId>,
        ephemeral: [u8; 32],
    ) -> Self {
        let start = Start {
            config,
            expect,
            ephemeral: Zeroizing::new(ephemeral),
        };
        let state = match side {
            Side::Dialer => start.write_first().unwrap_or_else(State::Failed),
            Side::Listener => State::AwaitingFirst(Box::new(start)),
        };
        Self { state }
    }

    /// Takes one whole message from the front of `input`, decrypted where it lies, and answers how many bytes it took; 0 while the message is incomplete or it is our turn.
    ///
    /// # Errors
    ///
    /// See [`Error`]; every later call gives the same error.
    pub fn handle_input(&mut self, input: &mut [u8]) -> Result<usize, Error> {
        let (limits, fits): (_, fn(usize) -> bool) = match &self.state {
            State::AwaitingFirst(start) => (start.config.limits, |len| len == OVERHEAD[0]),
            State::AwaitingSecond(session) => (session.config.limits, |len| len >= OVERHEAD[1]),
            State::AwaitingThird(session) => (session.config.limits, |len| len >= OVERHEAD[2]),
            State::Failed(error) => return Err(error.clone()),
            State::Sending(..) | State::Finished(_) => return Ok(0),
        };
        let Some((prefix, rest)) = input.split_first_chunk_mut::<2>() else {
            return Ok(0);
        };
        let len = usize::from(u16::from_be_bytes(*prefix));
        if len > limits.handshake_message {
            return self.fail(Error::TooLarge(len));
        }
        if !fits(len) {
            return self.fail(Error::BadLength(len));
        }
        let Some(message) = rest.get_mut(..len) else {
            return Ok(0);
        };
        match mem::replace(&mut self.state, State::Failed(Error::Unfinished)).read(message) {
            Ok(state) => {
                self.state = state;
                Ok(len.saturating_add(prefix.len()))
            }
            Err(error) => self.fail(error),
        }
    }

    /// The remote sends no more bytes.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedEnd`] unless the handshake is finished.
    pub fn handle_eof(&mut self) -> Result<(), Error> {
        match &self.state {
            State::Finished(_) => Ok(()),
            State::Failed(error) => Err(error.clone()),
            _ => self.fail(Error::UnexpectedEnd),
        }
    }

    fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        self.state = State::Failed(error.clone());
        Err(error)
    }

    /// Appends the message that is due, whole; says whether it did.
    pub fn poll_transmit(&mut self, out: &mut TransmitBuf<'_>) -> bool {
        let State::Sending(message, then) = &mut self.state else {
            return false;
        };
        let is_sent = out.put(message);
        if is_sent {
            self.state = mem::replace(then, State::Failed(Error::Unfinished));
        }
        is_sent
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

impl State {
    /// What follows when their message has come.
    fn read(self, message: &mut [u8]) -> Result<Self, Error> {
        match self {
            Self::AwaitingFirst(start) => start.read_first(message),
            Self::AwaitingSecond(mut session) => session.read_second(message),
            Self::AwaitingThird(mut session) => session.read_third(message),
            other => Ok(other),
        }
    }
}

impl Start {
    fn write_first(self) -> Result<State, Error> {
        let mut session = self.session()?;
        let message = frame(OVERHEAD[0], |out| session.xx.write_first(&[], out))?;
        Ok(State::Sending(message, Box::new(State::AwaitingSecond(session))))
    }

    fn read_first(self, message: &mut [u8]) -> Result<State, Error> {
        let mut session = self.session()?;
        let (re, _) = session.xx.read_first(message)?;
        let payload = &session.config.payload;
        let size = OVERHEAD[1].saturating_add(payload.len());
        let message = frame(size, |out| session.xx.write_second(&re, payload, out))?;
        Ok(State::Sending(message, Box::new(State::AwaitingThird(session))))
    }

    fn session(self) -> Result<Box<Session>, Error> {
        let config = self.config;
        let xx = Xx::new(
            config.provider.clone(),
            &config.prologue,
            config.static_key.clone(),
            &self.ephemeral,
        )?;
        Ok(Box::new(Session {
            config,
            expect: self.expect,
            xx,
        }))
    }
}

impl Session {
    fn read_second(&mut self, message: &mut [u8]) -> Result<State, Error> {
        let Second { re, rs, payload } = self.xx.read_second(message)?;
        let remote = self.verify(Side::Dialer, &rs, payload)?;
        let payload = &self.config.payload;
        let size = OVERHEAD[2].saturating_add(payload.len());
        let message = frame(size, |out| self.xx.write_third(&re, payload, out))?;
        let finished = self.finish(Side::Dialer, remote)?;
        Ok(State::Sending(message, Box::new(State::Finished(finished))))
    }

    fn read_third(&mut self, message: &mut [u8]) -> Result<State, Error> {
        let (rs, payload) = self.xx.read_third(message)?;
        let remote = self.verify(Side::Listener, &rs, payload)?;
        self.finish(Side::Listener, remote).map(State::Finished)
    }

    /// Who vouches for the static key `rs`, and the multiplexer. Cheap checks first, then the one signature.
    fn verify(
        &self,
        side: Side,
        rs: &[u8; KEY],
        payload: &[u8],
    ) -> Result<(PublicKey, Option<ProtocolName>), Error> {
        let config = &*self.config;
        let payload = payload::decode(payload, &config.limits)?;
        let public_key = PublicKey::decode(payload.identity_key).map_err(Error::BadKey)?;
        let got = public_key.peer_id();
        if *rs == config.static_key.public_key() || got == config.peer {
            return Err(Error::OwnIdentity);
        }
        if let Some(expected) = self.expect.filter(|expected| *expected != got) {
            return Err(Error::UnexpectedPeer { expected, got });
        }
        if !public_key.verify(&signed_bytes(rs), payload.identity_sig) {
            return Err(Error::BadSignature);
        }
        let muxer = payload::choose(&config.muxers, &payload.muxers, side.is_dialer())?;
        Ok((public_key, muxer))
    }

    fn finish(
        &self,
        side: Side,
        (public_key, muxer): (PublicKey, Option<ProtocolName>),
    ) -> Result<Box<Finished>, Error> {
        let [there, back] = self.xx.split()?;
        let (send, receive) = if side.is_dialer() {
            (there, back)
        } else {
            (back, there)
        };
        let (sealer, opener) = self.config.transport(&send, &receive)?;
        Ok(Box::new(Finished {
            peer: public_key.peer_id(),
            public_key,
            muxer,
            handshake_hash: *self.xx.hash(),
            sealer,
            opener,
        }))
    }
}

/// A message of at most `size` bytes behind its length.
fn frame(size: usize, write: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> Result<Vec<u8>, Error> {
    let mut frame = Vec::with_capacity(size.saturating_add(2));
    frame.extend_from_slice(&[0; 2]);
    write(&mut frame)?;
    if let Some((prefix, message)) = frame.split_first_chunk_mut() {
        *prefix = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    }
    Ok(frame)
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::AwaitingFirst(_) => "Handshake(AwaitingFirst)",
            State::AwaitingSecond(_) => "Handshake(AwaitingSecond)",
            State::AwaitingThird(_) => "Handshake(AwaitingThird)",
            State::Sending(..) => "Handshake(Sending)",
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
