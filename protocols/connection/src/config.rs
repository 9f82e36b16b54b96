//! What all connections of one node share.

use crate::Error;
use alloc::{boxed::Box, sync::Arc};
use libp2p_proto_core::{Rng, Side};
use libp2p_proto_identity::Identity;
use libp2p_proto_multistream_select::Negotiation;
use {
    libp2p_proto_multistream_select as multistream, libp2p_proto_noise as noise,
    libp2p_proto_websocket as websocket, libp2p_proto_yamux as yamux,
};

/// Keys, crypto and limits of all connections of one node: made once, shared.
#[derive(Debug)]
pub struct Config {
    pub(crate) noise: Arc<noise::Config>,
    pub(crate) yamux: yamux::Config,
    pub(crate) multistream: multistream::Limits,
    pub(crate) websocket: websocket::Config,
}

impl Config {
    /// Keys for `identity` out of `seed`, with the fastest provider that is built in and the default limits.
    ///
    /// # Errors
    ///
    /// [`Error::Noise`] if the identity can't sign.
    pub fn new(identity: &Identity, seed: [u8; 32]) -> Result<Self, Error> {
        Self::with(identity, seed, fastest(), yamux::Config::default())
    }

    /// The same with another provider or other limits of the multiplexer.
    ///
    /// # Errors
    ///
    /// [`Error::Noise`] if the identity can't sign, [`Error::Yamux`] if a limit is out of its range.
    pub fn with(
        identity: &Identity,
        seed: [u8; 32],
        provider: Box<dyn noise::Provider>,
        yamux: yamux::Config,
    ) -> Result<Self, Error> {
        yamux.validate()?;
        let noise = noise::Config::with_provider(identity, &mut Rng::from_seed(seed), provider)?;
        Ok(Self {
            noise: noise.into(),
            yamux,
            multistream: multistream::Limits::DEFAULT,
            websocket: websocket::Config::default(),
        })
    }

    /// Sets other limits of the handshake and the secure channel.
    ///
    /// # Errors
    ///
    /// [`Error::Noise`] if a limit is out of its range, or our own payload exceeds it.
    pub fn with_noise_limits(mut self, limits: noise::Limits) -> Result<Self, Error> {
        self.noise = Self::into_noise(self.noise)?.with_limits(limits)?.into();
        Ok(self)
    }

    /// Sets other limits of negotiations: of the security protocol, the multiplexer, and the name of every stream.
    ///
    /// # Errors
    ///
    /// [`Error::Multistream`] if a limit is out of its range.
    pub fn with_negotiation_limits(mut self, limits: multistream::Limits) -> Result<Self, Error> {
        limits.validate()?;
        self.multistream = limits;
        Ok(self)
    }

    /// Sets other limits of a link that is a WebSocket.
    ///
    /// # Errors
    ///
    /// [`Error::WebSocket`] if a limit is out of its range.
    pub fn with_websocket(mut self, websocket: websocket::Config) -> Result<Self, Error> {
        websocket.validate()?;
        self.websocket = websocket;
        Ok(self)
    }

    /// Leaves the multiplexer to multistream-select, as peers do that don't list it in the handshake.
    ///
    /// # Errors
    ///
    /// [`Error::Noise`] if the identity can't sign.
    pub fn without_inlined_muxer(mut self) -> Result<Self, Error> {
        self.noise = Self::into_noise(self.noise)?
            .with_muxers(alloc::vec::Vec::new())?
            .into();
        Ok(self)
    }

    /// The part of Noise, to be changed before anybody shares it.
    fn into_noise(noise: Arc<noise::Config>) -> Result<noise::Config, Error> {
        Arc::into_inner(noise).ok_or(Error::Noise(noise::Error::Unfinished))
    }

    pub(crate) fn negotiation(&self, side: Side) -> Negotiation {
        // The limits were checked when they were set.
        Negotiation::with_limits(side, self.multistream).unwrap_or_else(|_| Negotiation::of(side))
    }
}

/// Every provider gives the same bytes; they differ in speed only.
fn fastest() -> Box<dyn noise::Provider> {
    #[cfg(feature = "aws-lc-rs")]
    return Box::new(noise::AwsLc);
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return Box::new(noise::Ring);
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    Box::new(noise::RustCrypto)
}
