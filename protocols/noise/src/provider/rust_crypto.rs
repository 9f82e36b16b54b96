//! RustCrypto and dalek.

use super::{Aead, KeyPair, Provider};
use crate::Error;
use alloc::boxed::Box;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, aead::AeadInOut};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// RustCrypto and dalek: portable, without the standard library. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl Provider for RustCrypto {
    fn key_pair(&self, secret: &[u8; 32]) -> Result<Box<dyn KeyPair>, Error> {
        let secret = StaticSecret::from(*secret);
        // By the table of multiples of the base point: a third of the cost of the ladder.
        let public = PublicKey::from(&secret);
        Ok(Box::new(Dalek { secret, public }))
    }

    fn aead(&self, key: &[u8; 32]) -> Result<Box<dyn Aead>, Error> {
        Ok(Box::new(Portable(ChaCha20Poly1305::new(key.into()))))
    }
}

struct Dalek {
    secret: StaticSecret,
    public: PublicKey,
}

impl KeyPair for Dalek {
    fn public_key(&self) -> [u8; 32] {
        self.public.to_bytes()
    }

    fn dh(&self, public_key: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Error> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(*public_key));
        if shared.was_contributory() {
            Ok(Zeroizing::new(shared.to_bytes()))
        } else {
            Err(Error::NonContributory)
        }
    }
}

struct Portable(ChaCha20Poly1305);

impl Aead for Portable {
    fn seal(&self, nonce: &[u8; 12], ad: &[u8], body: &mut [u8]) -> Result<[u8; 16], Error> {
        self.0
            .encrypt_inout_detached(nonce.into(), ad, body.into())
            .map(Into::into)
            .map_err(|_| Error::Provider)
    }

    fn open(&self, nonce: &[u8; 12], ad: &[u8], body: &mut [u8], tag: &[u8; 16]) -> Result<(), Error> {
        self.0
            .decrypt_inout_detached(nonce.into(), ad, body.into(), tag.into())
            .map_err(|_| Error::BadTag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::ZeroizeOnDrop;

    fn wipes_itself<T: ZeroizeOnDrop>() {}

    // Holds if it compiles: this is what every secret of a handshake lives in.
    #[test]
    fn secrets_live_in_types_that_wipe_themselves() {
        wipes_itself::<StaticSecret>();
        wipes_itself::<ChaCha20Poly1305>();
        wipes_itself::<x25519_dalek::SharedSecret>();
        // What HMAC is made of.
        wipes_itself::<sha2::Sha256>();
        wipes_itself::<Zeroizing<[u8; 32]>>();
    }
}
