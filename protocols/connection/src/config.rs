//! What all connections of one node share.

use crate::Error;
use alloc::boxed::Box;
use libp2p_proto_core::Rng;
use libp2p_proto_identity::Identity;
use {libp2p_proto_noise as noise, libp2p_proto_yamux as yamux};

/// Keys, crypto and limits of all connections of one node: made once, shared.
#[derive(Debug)]
pub struct Config {
    pub(crate) noise: alloc::sync::Arc<noise::Config>,
    pub(crate) yamux: yamux::Config,
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
        })
    }

    /// Leaves the multiplexer to multistream-select, as peers do that don't list it in the handshake.
    ///
    /// # Errors
    ///
    /// [`Error::Noise`] if the identity can't sign.
    pub fn without_inlined_muxer(mut self) -> Result<Self, Error> {
        let noise = alloc::sync::Arc::into_inner(self.noise).ok_or(Error::Noise(noise::Error::Unfinished))?;
        self.noise = noise.with_muxers(alloc::vec::Vec::new())?.into();
        Ok(self)
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
