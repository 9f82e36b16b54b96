//! What all handshakes of one node share.

use crate::{
    Error, Provider, RustCrypto, Sealer,
    payload::{self, SIGNED_PREFIX},
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt;
use libp2p_proto_core::{PeerId, ProtocolName, Rng};
use libp2p_proto_identity::Identity;
use zeroize::Zeroizing;

/// The static key, our payload with the signature over it, and where the crypto comes from: made once for each node, shared by all handshakes.
///
/// The static key has nothing to do with the identity key and leaves this type in no form.
pub struct Config {
    pub(crate) provider: Box<dyn Provider>,
    pub(crate) static_secret: Zeroizing<[u8; 32]>,
    pub(crate) static_public: [u8; 32],
    pub(crate) peer: PeerId,
    pub(crate) payload: Vec<u8>,
    pub(crate) muxers: Vec<ProtocolName>,
    pub(crate) prologue: Vec<u8>,
    identity: Identity,
}

impl Config {
    /// Keys for `identity`, with the portable provider, `/yamux/1.0.0` as the one multiplexer, and an empty prologue.
    ///
    /// # Errors
    ///
    /// [`Error::SigningFailed`].
    pub fn new(identity: &Identity, rng: &mut Rng) -> Result<Self, Error> {
        Self::with_provider(identity, rng, Box::new(RustCrypto))
    }

    /// The same with another provider.
    ///
    /// # Errors
    ///
    /// [`Error::SigningFailed`].
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
    /// [`Error::SigningFailed`].
    pub fn with_static_key(
        identity: &Identity,
        secret: [u8; 32],
        provider: Box<dyn Provider>,
    ) -> Result<Self, Error> {
        let static_secret = Zeroizing::new(secret);
        let config = Self {
            static_public: provider.x25519_public(&static_secret),
            static_secret,
            provider,
            peer: identity.peer_id(),
            payload: Vec::new(),
            muxers: Vec::from([ProtocolName::from_static("/yamux/1.0.0")]),
            prologue: Vec::new(),
            identity: identity.clone(),
        };
        config.signed()
    }

    /// Lists these multiplexers in our payload, in order of preference; none: the list is left out. More than one can make us disagree with js, which takes the first
    /// entry of the remote's list on either side.
    ///
    /// # Errors
    ///
    /// [`Error::SigningFailed`].
    pub fn with_muxers(mut self, muxers: Vec<ProtocolName>) -> Result<Self, Error> {
        self.muxers = muxers;
        self.signed()
    }

    /// Mixes this into the handshake before the first message; WebRTC needs it.
    #[must_use]
    pub fn with_prologue(mut self, prologue: Vec<u8>) -> Self {
        self.prologue = prologue;
        self
    }

    /// Makes the payload anew.
    fn signed(mut self) -> Result<Self, Error> {
        let message = [SIGNED_PREFIX, &self.static_public].concat();
        let signature = self.identity.sign(&message).map_err(|_| Error::SigningFailed)?;
        self.payload = payload::encode(self.identity.public_key(), &signature, &self.muxers);
        Ok(self)
    }

    /// Both halves of a transport under these keys, for a bench or a vector.
    pub fn transport(self: &Arc<Self>, send: &[u8; 32], receive: &[u8; 32]) -> (Sealer, crate::Opener) {
        (
            Sealer::new(self.provider.aead(send)),
            crate::Opener::new(self.provider.aead(receive)),
        )
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({})", self.peer)
    }
}
