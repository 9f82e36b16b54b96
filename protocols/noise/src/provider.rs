//! Where the crypto comes from.

use alloc::boxed::Box;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, aead::AeadInOut};
use x25519_dalek::{PublicKey, StaticSecret};

/// The curve and the cipher. Hash and HKDF are always those of the `sha2` crate, which is as fast as any.
pub trait Provider: Send + Sync {
    /// ChaCha20-Poly1305 under `key`.
    fn aead(&self, key: &[u8; 32]) -> Box<dyn Aead>;

    /// The X25519 public key of `secret`.
    fn x25519_public(&self, secret: &[u8; 32]) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
    }

    /// X25519 of our `secret` and their `public`. All zeros for a point of low order.
    fn x25519(&self, secret: &[u8; 32], public: &[u8; 32]) -> [u8; 32] {
        StaticSecret::from(*secret)
            .diffie_hellman(&PublicKey::from(*public))
            .to_bytes()
    }
}

/// ChaCha20-Poly1305 under one key, with Noise's nonces: four zero bytes and the counter in little endian.
pub trait Aead: Send + Sync {
    /// Encrypts `body` in place and answers the tag.
    fn seal(&self, nonce: u64, ad: &[u8], body: &mut [u8]) -> [u8; 16];

    /// Decrypts `body` in place. `false`: the tag does not fit, and `body` is to be thrown away.
    fn open(&self, nonce: u64, ad: &[u8], body: &mut [u8], tag: &[u8; 16]) -> bool;
}

fn nonce_bytes(nonce: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    if let Some(counter) = bytes.last_chunk_mut::<8>() {
        *counter = nonce.to_le_bytes();
    }
    bytes
}

/// RustCrypto and dalek: portable, without the standard library. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl Provider for RustCrypto {
    fn aead(&self, key: &[u8; 32]) -> Box<dyn Aead> {
        Box::new(Portable(ChaCha20Poly1305::new(&(*key).into())))
    }
}

struct Portable(ChaCha20Poly1305);

impl Aead for Portable {
    fn seal(&self, nonce: u64, ad: &[u8], body: &mut [u8]) -> [u8; 16] {
        // Fails only for messages of 256 GiB.
        self.0
            .encrypt_inout_detached(&nonce_bytes(nonce).into(), ad, body.into())
            .map_or([0; 16], Into::into)
    }

    fn open(&self, nonce: u64, ad: &[u8], body: &mut [u8], tag: &[u8; 16]) -> bool {
        self.0
            .decrypt_inout_detached(&nonce_bytes(nonce).into(), ad, body.into(), &(*tag).into())
            .is_ok()
    }
}

#[cfg(feature = "ring")]
pub use with_ring::Ring;

#[cfg(feature = "ring")]
mod with_ring {
    use super::{Aead, Provider, RustCrypto, nonce_bytes};
    use alloc::boxed::Box;
    use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

    /// The AEAD of `ring`; the curve of dalek, since `ring` takes no secret of ours.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Ring;

    impl Provider for Ring {
        fn aead(&self, key: &[u8; 32]) -> Box<dyn Aead> {
            match UnboundKey::new(&CHACHA20_POLY1305, key) {
                Ok(key) => Box::new(Fast(LessSafeKey::new(key))),
                // Fails only for a key of another length.
                Err(_) => RustCrypto.aead(key),
            }
        }
    }

    struct Fast(LessSafeKey);

    impl Aead for Fast {
        fn seal(&self, nonce: u64, ad: &[u8], body: &mut [u8]) -> [u8; 16] {
            let nonce = Nonce::assume_unique_for_key(nonce_bytes(nonce));
            let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(ad), body);
            // Fails only for messages of 256 GiB.
            tag.ok()
                .and_then(|tag| tag.as_ref().try_into().ok())
                .unwrap_or([0; 16])
        }

        fn open(&self, nonce: u64, ad: &[u8], body: &mut [u8], tag: &[u8; 16]) -> bool {
            let nonce = Nonce::assume_unique_for_key(nonce_bytes(nonce));
            self.0
                .open_in_place_separate_tag(nonce, Aad::from(ad), Tag::from(*tag), body, 0..)
                .is_ok()
        }
    }
}
