//! The AEAD of `ring`.

use super::{Aead, KeyPair, Provider, RustCrypto};
use crate::Error;
use alloc::boxed::Box;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

/// The AEAD of `ring`, ten times as fast on small messages; the curve of dalek, since `ring` takes no secret of ours.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ring;

impl Provider for Ring {
    fn key_pair(&self, secret: &[u8; 32]) -> Result<Box<dyn KeyPair>, Error> {
        RustCrypto.key_pair(secret)
    }

    fn aead(&self, key: &[u8; 32]) -> Result<Box<dyn Aead>, Error> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| Error::Provider)?;
        Ok(Box::new(Fast(LessSafeKey::new(key))))
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
            .open_in_place_separate_tag(nonce, Aad::from(ad), Tag::from(*tag), body, 0..)
            .map(|_| ())
            .map_err(|_| Error::BadTag)
    }
}
