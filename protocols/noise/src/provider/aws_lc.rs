//! AWS-LC.

use super::{Aead, KeyPair, Provider};
use crate::Error;
use alloc::boxed::Box;
use aws_lc_rs::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    agreement::{PrivateKey, UnparsedPublicKey, X25519, agree},
};
use zeroize::Zeroizing;

/// Curve and AEAD of AWS-LC, the fastest there are: a handshake at half the cost. Links the standard library and a C library. The hash is that of the `sha2` crate, which
/// is faster on a handshake's short inputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl Provider for AwsLc {
    fn key_pair(&self, secret: &[u8; 32]) -> Result<Box<dyn KeyPair>, Error> {
        let secret = PrivateKey::from_private_key(&X25519, secret).map_err(|_| Error::Provider)?;
        let public = secret.compute_public_key().map_err(|_| Error::Provider)?;
        let public = public.as_ref().try_into().map_err(|_| Error::Provider)?;
        Ok(Box::new(Montgomery { secret, public }))
    }

    fn aead(&self, key: &[u8; 32]) -> Result<Box<dyn Aead>, Error> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| Error::Provider)?;
        Ok(Box::new(Fast(LessSafeKey::new(key))))
    }
}

struct Montgomery {
    secret: PrivateKey,
    public: [u8; 32],
}

impl KeyPair for Montgomery {
    fn public_key(&self) -> [u8; 32] {
        self.public
    }

    fn dh(&self, public_key: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, Error> {
        // Any 32 bytes are a public key; what AWS-LC refuses is a shared secret of zeros.
        let public_key = UnparsedPublicKey::new(&X25519, public_key);
        agree(&self.secret, public_key, Error::NonContributory, |shared| {
            shared.try_into().map(Zeroizing::new).map_err(|_| Error::Provider)
        })
    }
}

struct Fast(LessSafeKey);

impl Aead for Fast {
    fn seal(&self, nonce: &[u8; 12], ad: &[u8], body: &mut [u8]) -> Result<[u8; 16], Error> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(ad), body);
        tag.ok()
            .and_then(|tag| tag.as_ref().try_into().ok())
            .ok_or(Error::Provider)
    }

    fn open(&self, nonce: &[u8; 12], ad: &[u8], body: &mut [u8], tag: &[u8; 16]) -> Result<(), Error> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .open_in_place_separate_tag(nonce, Aad::from(ad), tag, body)
            .map(|_| ())
            .map_err(|_| Error::BadTag)
    }
}
