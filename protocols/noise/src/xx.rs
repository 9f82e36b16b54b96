//! The pattern XX: its three messages, each written and read, with payloads that mean nothing here.

use crate::{
    Error, KeyPair, Provider,
    symmetric::{Symmetric, TAG},
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// Bytes of a public key.
pub(crate) const KEY: usize = 32;
/// Bytes of each message apart from its payload.
pub(crate) const OVERHEAD: [usize; 3] = [KEY, KEY + KEY + TAG + TAG, KEY + TAG + TAG];

/// One handshake. Its methods are called in the order of the messages, half of them on each side.
pub(crate) struct Xx {
    symmetric: Symmetric,
    s: Arc<dyn KeyPair>,
    e: Box<dyn KeyPair>,
}

/// What message 2 told.
pub(crate) struct Second<'a> {
    pub(crate) re: [u8; KEY],
    pub(crate) rs: [u8; KEY],
    pub(crate) payload: &'a [u8],
}

impl Xx {
    pub(crate) fn new(
        provider: Arc<dyn Provider>,
        prologue: &[u8],
        s: Arc<dyn KeyPair>,
        ephemeral: &[u8; KEY],
    ) -> Result<Self, Error> {
        Ok(Self {
            e: provider.key_pair(ephemeral)?,
            s,
            symmetric: Symmetric::new(provider, prologue),
        })
    }

    /// `-> e`
    pub(crate) fn write_first(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.write_e(out);
        self.symmetric.encrypt_and_hash(payload, out)
    }

    /// `-> e`: their ephemeral key, and the payload.
    pub(crate) fn read_first<'a>(&mut self, message: &'a mut [u8]) -> Result<([u8; KEY], &'a [u8]), Error> {
        let (re, payload) = self.read_e(message)?;
        Ok((re, self.symmetric.decrypt_and_hash(payload)?))
    }

    /// `<- e, ee, s, es`
    pub(crate) fn write_second(
        &mut self,
        re: &[u8; KEY],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.write_e(out);
        self.symmetric.mix_dh(&*self.e, re)?;
        self.symmetric.encrypt_and_hash(&self.s.public_key(), out)?;
        self.symmetric.mix_dh(&*self.s, re)?;
        self.symmetric.encrypt_and_hash(payload, out)
    }

    /// `<- e, ee, s, es`
    pub(crate) fn read_second<'a>(&mut self, message: &'a mut [u8]) -> Result<Second<'a>, Error> {
        let (re, rest) = self.read_e(message)?;
        self.symmetric.mix_dh(&*self.e, &re)?;
        let (rs, payload) = self.read_s(rest)?;
        self.symmetric.mix_dh(&*self.e, &rs)?;
        let payload = self.symmetric.decrypt_and_hash(payload)?;
        Ok(Second { re, rs, payload })
    }

    /// `-> s, se`
    pub(crate) fn write_third(
        &mut self,
        re: &[u8; KEY],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.symmetric.encrypt_and_hash(&self.s.public_key(), out)?;
        self.symmetric.mix_dh(&*self.s, re)?;
        self.symmetric.encrypt_and_hash(payload, out)
    }

    /// `-> s, se`: their static key, and the payload.
    pub(crate) fn read_third<'a>(&mut self, message: &'a mut [u8]) -> Result<([u8; KEY], &'a [u8]), Error> {
        let (rs, payload) = self.read_s(message)?;
        self.symmetric.mix_dh(&*self.e, &rs)?;
        Ok((rs, self.symmetric.decrypt_and_hash(payload)?))
    }

    /// The hash of all that was said.
    pub(crate) const fn hash(&self) -> &[u8; 32] {
        self.symmetric.hash()
    }

    /// The keys of the transport: initiator to responder, responder to initiator.
    pub(crate) fn split(&self) -> Result<[Zeroizing<[u8; 32]>; 2], Error> {
        self.symmetric.split()
    }

    fn write_e(&mut self, out: &mut Vec<u8>) {
        let e = self.e.public_key();
        out.extend_from_slice(&e);
        self.symmetric.mix_hash(&e);
    }

    fn read_e<'a>(&mut self, message: &'a mut [u8]) -> Result<([u8; KEY], &'a mut [u8]), Error> {
        let len = message.len();
        let (re, rest) = message
            .split_first_chunk_mut::<KEY>()
            .ok_or(Error::BadLength(len))?;
        if *re == self.e.public_key() {
            return Err(Error::OwnIdentity);
        }
        self.symmetric.mix_hash(re);
        Ok((*re, rest))
    }

    fn read_s<'a>(&mut self, message: &'a mut [u8]) -> Result<([u8; KEY], &'a mut [u8]), Error> {
        let len = message.len();
        let (sealed, rest) = message
            .split_first_chunk_mut::<{ KEY + TAG }>()
            .ok_or(Error::BadLength(len))?;
        let rs = self.symmetric.decrypt_and_hash(sealed)?;
        Ok((rs.try_into().map_err(|_| Error::BadTag)?, rest))
    }
}
