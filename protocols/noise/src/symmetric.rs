//! The symmetric state of the Noise framework: chaining key, hash, and the key of the handshake's own messages.

use crate::{Aead, Error, Provider};
use alloc::{boxed::Box, vec::Vec};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Exactly 32 bytes, so the first hash and chaining key are these bytes.
const NAME: &[u8; 32] = b"Noise_XX_25519_ChaChaPoly_SHA256";

/// The size of a tag.
pub(crate) const TAG: usize = 16;

pub(crate) struct Symmetric {
    chaining_key: Zeroizing<[u8; 32]>,
    hash: [u8; 32],
    cipher: Option<Box<dyn Aead>>,
    nonce: u64,
}

impl Symmetric {
    pub(crate) fn new(prologue: &[u8]) -> Self {
        let mut state = Self {
            chaining_key: Zeroizing::new(*NAME),
            hash: *NAME,
            cipher: None,
            nonce: 0,
        };
        state.mix_hash(prologue);
        state
    }

    pub(crate) const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    pub(crate) fn mix_hash(&mut self, data: &[u8]) {
        self.hash = Sha256::new()
            .chain_update(self.hash)
            .chain_update(data)
            .finalize()
            .into();
    }

    /// Mixes in the Diffie-Hellman result of our secret and their public key.
    pub(crate) fn mix_dh(
        &mut self,
        provider: &dyn Provider,
        secret: &[u8; 32],
        public: &[u8; 32],
    ) -> Result<(), Error> {
        use subtle::ConstantTimeEq as _;
        let shared = Zeroizing::new(provider.x25519(secret, public));
        if bool::from(shared.ct_eq(&[0; 32])) {
            return Err(Error::NonContributory);
        }
        let [chaining_key, key] = hkdf(&self.chaining_key, shared.as_ref());
        self.chaining_key = chaining_key;
        self.cipher = Some(provider.aead(&key));
        self.nonce = 0;
        Ok(())
    }

    /// Appends `plaintext`, encrypted if there is a key, and mixes what was appended into the hash.
    pub(crate) fn encrypt_and_hash(&mut self, plaintext: &[u8], out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(plaintext);
        if let Some(cipher) = &self.cipher {
            let tag = cipher.seal(self.nonce, &self.hash, out.get_mut(at..).unwrap_or_default());
            self.nonce = self.nonce.saturating_add(1);
            out.extend_from_slice(&tag);
        }
        self.mix_hash(out.get(at..).unwrap_or_default());
    }

    /// Decrypts in place and mixes the ciphertext into the hash. Answers the plaintext.
    pub(crate) fn decrypt_and_hash<'a>(&mut self, data: &'a mut [u8]) -> Result<&'a [u8], Error> {
        let hash_after = Sha256::new()
            .chain_update(self.hash)
            .chain_update(&*data)
            .finalize()
            .into();
        let Some(cipher) = &self.cipher else {
            self.hash = hash_after;
            return Ok(data);
        };
        let at = data.len().checked_sub(TAG).ok_or(Error::BadTag)?;
        let (body, tag) = data.split_at_mut_checked(at).ok_or(Error::BadTag)?;
        let tag: &[u8; TAG] = (&*tag).try_into().map_err(|_| Error::BadTag)?;
        if !cipher.open(self.nonce, &self.hash, body, tag) {
            return Err(Error::BadTag);
        }
        self.nonce = self.nonce.saturating_add(1);
        self.hash = hash_after;
        Ok(body)
    }

    /// The keys of the transport: dialer to listener, listener to dialer.
    pub(crate) fn split(&self) -> [Zeroizing<[u8; 32]>; 2] {
        hkdf(&self.chaining_key, &[])
    }
}

/// HKDF with two outputs, as Noise defines it.
fn hkdf(chaining_key: &[u8; 32], input: &[u8]) -> [Zeroizing<[u8; 32]>; 2] {
    let temp = hmac(chaining_key, &[input]);
    let first = hmac(&temp, &[&[1]]);
    let second = hmac(&temp, &[first.as_ref(), &[2]]);
    [first, second]
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    // A key of 32 bytes is shorter than the block, so it is never refused.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else {
        return Zeroizing::new([0; 32]);
    };
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}
