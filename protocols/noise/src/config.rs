//! What all handshakes of one node share.

use crate::{
    Error, KeyPair, Opener, Provider, RustCrypto, Sealer,
    payload::{self, SIGNED_PREFIX},
    xx::OVERHEAD,
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt;
use libp2p_proto_core::{PeerId, ProtocolName, Rng};
use libp2p_proto_identity::{Identity, PublicKey};
use zeroize::Zeroizing;

/// How much of a remote is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one handshake message, of theirs and of ours. 256 to 65 535, default 8 192: an RSA key of 8 192 bits with its signature and a hundred multiplexers fits.
    pub handshake_message: usize,
    /// Entries of a list of multiplexers; a longer list counts as none. Up to 1 000, default 100, as in go.
    pub muxers: usize,
    /// Bytes of one of them; a list with a longer one counts as none. Up to 1 023, default 256, as in go.
    pub muxer_len: usize,
    /// Frames without content in a row: they cost work and bring nothing. Up to 65 534, default 1 000.
    pub empty_frames: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_message: 8192,
            muxers: 100,
            muxer_len: 256,
            empty_frames: 1000,
        }
    }
}

impl Limits {
    /// Whether each limit is within its range.
    ///
    /// # Errors
    ///
    /// [`Error::BadLimit`] names the first that isn't.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            (
                "handshake_message",
                (256..=65_535).contains(&self.handshake_message),
            ),
            ("muxers", self.muxers <= 1000),
            ("muxer_len", self.muxer_len <= 1023),
            ("empty_frames", self.empty_frames < u16::MAX),
        ];
        match checks.iter().find(|(_, is_within)| !is_within) {
            Some((name, _)) => Err(Error::BadLimit(name)),
            None => Ok(()),
        }
    }
}

/// The static key, our payload with the signature over it, and where the crypto comes from: made once for each node, shared by all handshakes.
///
/// The static key has nothing to do with the identity key and leaves this type in no form.
pub struct Config {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) static_key: Arc<dyn KeyPair>,
    pub(crate) peer: PeerId,
    pub(crate) payload: Vec<u8>,
    pub(crate) muxers: Vec<ProtocolName>,
    pub(crate) prologue: Vec<u8>,
    pub(crate) limits: Limits,
    public_key: PublicKey,
    signature: Vec<u8>,
}

impl Config {
    /// Keys for `identity`, with the portable provider, `/yamux/1.0.0` as the one multiplexer, an empty prologue, and the default limits.
    ///
    /// # Errors
    ///
    /// [`Error::SigningFailed`], [`Error::PayloadTooLarge`].
    pub fn new(identity: &Identity, rng: &mut Rng) -> Result<Self, Error> {
        Self::with_provider(identity, rng, Box::new(RustCrypto))
    }

    /// The same with another provider.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`Error::Provider`].
    pub fn with_provider(
        identity: &Identity,
        rng: &mut Rng,
        provider: Box<dyn Provider>,
    ) -> Result<Self, Error> {
        Self::with_static_key(identity, rng.bytes32(), provider)
    }

    /// The same with a given static key, for vectors and replays.
    ///
    /// # Errors
    ///
    /// As [`with_provider`](Self::with_provider).
    pub fn with_static_key(
        identity: &Identity,
        secret: [u8; 32],
        provider: Box<dyn Provider>,
    ) -> Result<Self, Error> {
        let secret = Zeroizing::new(secret);
        let static_key: Arc<dyn KeyPair> = provider.key_pair(&secret)?.into();
        let signed = signed_bytes(&static_key.public_key());
        let config = Self {
            provider: provider.into(),
            static_key,
            peer: identity.peer_id(),
            payload: Vec::new(),
            muxers: Vec::from([ProtocolName::from_static("/yamux/1.0.0")]),
            prologue: Vec::new(),
            limits: Limits::default(),
            public_key: identity.public_key().clone(),
            signature: identity.sign(&signed).map_err(|_| Error::SigningFailed)?,
        };
        config.with_payload()
    }

    /// Lists these multiplexers in our payload, in order of preference; none: the list is left out. More than one can make us disagree with js, which takes the first
    /// entry of the remote's list on either side.
    ///
    /// # Errors
    ///
    /// [`Error::MuxersTooLong`], [`Error::PayloadTooLarge`].
    pub fn with_muxers(mut self, muxers: Vec<ProtocolName>) -> Result<Self, Error> {
        self.muxers = muxers;
        self.with_payload()
    }

    /// Sets other limits.
    ///
    /// # Errors
    ///
    /// [`Error::BadLimit`], and those of [`with_muxers`](Self::with_muxers).
    pub fn with_limits(mut self, limits: Limits) -> Result<Self, Error> {
        limits.validate()?;
        self.limits = limits;
        self.with_payload()
    }

    /// Mixes this into the handshake before the first message; WebRTC needs it.
    #[must_use]
    pub fn with_prologue(mut self, prologue: Vec<u8>) -> Self {
        self.prologue = prologue;
        self
    }

    /// Makes the payload anew; the signature stays.
    fn with_payload(mut self) -> Result<Self, Error> {
        let limits = &self.limits;
        let is_listable = |name: &ProtocolName| name.as_str().len() <= limits.muxer_len;
        if self.muxers.len() > limits.muxers || !self.muxers.iter().all(is_listable) {
            return Err(Error::MuxersTooLong);
        }
        let payload = payload::encode(&self.public_key, &self.signature, &self.muxers);
        let [_, second, _] = OVERHEAD;
        if payload.len().saturating_add(second) > limits.handshake_message {
            return Err(Error::PayloadTooLarge(payload.len()));
        }
        self.payload = payload;
        Ok(self)
    }

    /// Both halves of a transport under these keys, for a bench or a vector.
    ///
    /// # Errors
    ///
    /// [`Error::Provider`].
    pub fn transport(&self, send: &[u8; 32], receive: &[u8; 32]) -> Result<(Sealer, Opener), Error> {
        Ok((
            Sealer::new(self.provider.aead(send)?),
            Opener::new(self.provider.aead(receive)?, self.limits.empty_frames),
        ))
    }
}

/// What an identity key signs to vouch for a static key.
pub(crate) fn signed_bytes(static_key: &[u8; 32]) -> [u8; SIGNED_PREFIX.len() + 32] {
    let mut signed = [0; SIGNED_PREFIX.len() + 32];
    let (prefix, key) = signed.split_at_mut(SIGNED_PREFIX.len());
    prefix.copy_from_slice(SIGNED_PREFIX);
    key.copy_from_slice(static_key);
    signed
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({}, {:?})", self.peer, self.provider)
    }
}
