//! Where the crypto comes from.

use crate::Error;
use alloc::boxed::Box;
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
#[cfg(feature = "ring")]
mod ring;
mod rust_crypto;

#[cfg(feature = "ring")]
pub use self::ring::Ring;
#[cfg(feature = "aws-lc-rs")]
pub use aws_lc::AwsLc;
pub use rust_crypto::RustCrypto;

/// The functions of `Noise_XX_25519_ChaChaPoly_SHA256`. Every provider gives the same bytes; they differ in speed and in where they run.
pub trait Provider: fmt::Debug + Send + Sync {
    /// The X25519 key pair of `secret`; its public key is computed here, once.
    ///
    /// # Errors
    ///
    /// [`Error::Provider`].
    fn key_pair(&self, secret: &[u8; 32]) -> Result<Box<dyn KeyPair>, Error>;

    /// ChaCha20-Poly1305 under `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Provider`].
    fn aead(&self, key: &[u8; 32]) -> Result<Box<dyn Aead>, Error>;

    /// SHA-256 of all `parts`, one behind the other.
    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// HMAC-SHA-256 of all `parts`, one behind the other.
    ///
    /// # Errors
    ///
    /// [`Error::Provider`].
    fn hmac_sha256(&self, key: &[u8; 32], parts: &[&[u8]]) -> Result<Shared, Error> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).map_err(|_| Error::Provider)?;
        for part in parts {
            mac.update(part);
        }
        Ok(Zeroizing::new(mac.finalize().into_bytes().into()))
    }
}

/// 32 secret bytes, wiped when they are dropped.
pub type Shared = Zeroizing<[u8; 32]>;

/// A key pair of X25519. Its secret is wiped when it is dropped.
pub trait KeyPair: Send + Sync {
    /// The public key.
    fn public_key(&self) -> [u8; 32];

    /// The secret that is shared with the owner of `public_key`.
    ///
    /// # Errors
    ///
    /// [`Error::NonContributory`]; a provider may answer zeros instead, which count as this error.
    fn dh(&self, public_key: &[u8; 32]) -> Result<Shared, Error>;
}

/// ChaCha20-Poly1305 under one key.
pub trait Aead: Send + Sync {
    /// Encrypts `body` in place and answers the tag.
    ///
    /// # Errors
    ///
    /// [`Error::Provider`]; `body` is then to be thrown away.
    fn seal(&self, nonce: &[u8; 12], ad: &[u8], body: &mut [u8]) -> Result<[u8; 16], Error>;

    /// Decrypts `body` in place.
    ///
    /// # Errors
    ///
    /// [`Error::BadTag`]; `body` is then to be thrown away.
    fn open(&self, nonce: &[u8; 12], ad: &[u8], body: &mut [u8], tag: &[u8; 16]) -> Result<(), Error>;
}
