//! The symmetric state of the Noise framework: chaining key, hash, and the key of the handshake's own messages.

use crate::{Aead, Error, KeyPair, Provider};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Exactly 32 bytes, so the first hash and chaining key are these bytes.
const NAME: &[u8; 32] = b"Noise_XX_25519_ChaChaPoly_SHA256";

/// The size of a tag.
pub(crate) const TAG: usize = 16;

/// A nonce of the framework: four zero bytes and the counter in little endian.
pub(crate) fn nonce_bytes(counter: u64) -> [u8; 12] {
    // The counter in the upper eight of twelve bytes.
    let [_, _, _, _, bytes @ ..] = (u128::from(counter) << 64).to_le_bytes();
    bytes
}

pub(crate) struct Symmetric {
    provider: Arc<dyn Provider>,
    chaining_key: Zeroizing<[u8; 32]>,
    hash: [u8; 32],
    cipher: Option<Cipher>,
}

/// The key of the last mixing, and how often it was used.
struct Cipher {
    key: Box<dyn Aead>,
    nonce: u64,
}

impl Symmetric {
    pub(crate) fn new(provider: Arc<dyn Provider>, prologue: &[u8]) -> Self {
        let mut state = Self {
            provider,
            chaining_key: Zeroizing::new(*NAME),
            hash: *NAME,
            cipher: None,
        };
        state.mix_hash(prologue);
        state
    }

    pub(crate) const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    pub(crate) fn mix_hash(&mut self, data: &[u8]) {
        self.hash = self.provider.sha256(&[&self.hash, data]);
    }

    /// Mixes in the Diffie-Hellman result of our key pair and their public key.
    pub(crate) fn mix_dh(&mut self, ours: &dyn KeyPair, theirs: &[u8; 32]) -> Result<(), Error> {
        let shared = ours.dh(theirs)?;
        // Noise leaves this check to the application; here a provider can't forget it.
        if bool::from(shared.ct_eq(&[0; 32])) {
            return Err(Error::NonContributory);
        }
        let [chaining_key, key] = self.hkdf(shared.as_ref())?;
        self.chaining_key = chaining_key;
        self.cipher = Some(Cipher {
            key: self.provider.aead(&key)?,
            nonce: 0,
        });
        Ok(())
    }

    /// Appends `plaintext`, encrypted if there is a key, and mixes what was appended into the hash.
    pub(crate) fn encrypt_and_hash(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let at = out.len();
        out.extend_from_slice(plaintext);
        if let Some(cipher) = &mut self.cipher {
            let body = out.get_mut(at..).unwrap_or_default();
            let tag = cipher.key.seal(&nonce_bytes(cipher.nonce), &self.hash, body)?;
            cipher.nonce = cipher.nonce.saturating_add(1);
            out.extend_from_slice(&tag);
        }
        self.mix_hash(out.get(at..).unwrap_or_default());
        Ok(())
    }

    /// Decrypts in place and mixes the ciphertext into the hash. Answers the plaintext.
    pub(crate) fn decrypt_and_hash<'a>(&mut self, data: &'a mut [u8]) -> Result<&'a [u8], Error> {
        let hash_after = self.provider.sha256(&[&self.hash, data]);
        let plaintext = match &mut self.cipher {
            None => data,
            Some(cipher) => {
                let (body, tag) = data.split_last_chunk_mut::<TAG>().ok_or(Error::BadTag)?;
                cipher
                    .key
                    .open(&nonce_bytes(cipher.nonce), &self.hash, body, tag)?;
                cipher.nonce = cipher.nonce.saturating_add(1);
                body
            }
        };
        self.hash = hash_after;
        Ok(plaintext)
    }

    /// The keys of the transport: initiator to responder, responder to initiator.
    pub(crate) fn split(&self) -> Result<[Zeroizing<[u8; 32]>; 2], Error> {
        self.hkdf(&[])
    }

    /// HKDF with two outputs, as Noise defines it.
    fn hkdf(&self, input: &[u8]) -> Result<[Zeroizing<[u8; 32]>; 2], Error> {
        let provider = &*self.provider;
        let temp = provider.hmac_sha256(&self.chaining_key, &[input])?;
        let first = provider.hmac_sha256(&temp, &[&[1]])?;
        let second = provider.hmac_sha256(&temp, &[first.as_ref(), &[2]])?;
        Ok([first, second])
    }
}
