//! Who we are: a public key, and something that signs for it.

use crate::{Error, Keypair, PublicKey};
use alloc::{sync::Arc, vec::Vec};
use core::fmt;
use libp2p_proto_core::PeerId;

/// Something that signs for a key which the node need not hold: a key pair, a hardware module, an agent.
pub trait Signer: Send + Sync {
    /// Signs `message`.
    ///
    /// # Errors
    ///
    /// [`Error::SigningFailed`].
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error>;
}

impl Signer for Keypair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Self::sign(self, message)
    }
}

/// Our public key and its signer. Cheap to clone; prints as the peer id.
#[derive(Clone)]
pub struct Identity {
    public: PublicKey,
    peer: PeerId,
    signer: Arc<dyn Signer>,
}

impl Identity {
    /// An identity whose private key is elsewhere.
    pub fn from_signer(public: PublicKey, signer: Arc<dyn Signer>) -> Self {
        Self {
            peer: public.peer_id(),
            public,
            signer,
        }
    }

    /// Our peer id.
    pub const fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// Our public key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`. Sign only what begins with a domain of its own: see [`Envelope::seal`](crate::Envelope::seal).
    ///
    /// # Errors
    ///
    /// [`Error::SigningFailed`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.signer.sign(message)
    }
}

impl From<Keypair> for Identity {
    fn from(keys: Keypair) -> Self {
        Self::from_signer(keys.public().clone(), Arc::new(keys))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.peer)
    }
}
