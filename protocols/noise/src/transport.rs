//! The transport: frames of a two-byte length and a ciphertext, sealed and opened where they lie.

use crate::{Aead, Error, symmetric::TAG};
use alloc::boxed::Box;
use core::fmt;
use libp2p_proto_core::TransmitBuf;

/// The largest ciphertext of one frame, in bytes.
pub const MAX_FRAME: usize = 65_535;
/// The largest plaintext of one frame, in bytes.
pub const MAX_PLAINTEXT: usize = MAX_FRAME - TAG;

/// Frames without content in a row that are put up with.
const MAX_EMPTY_FRAMES: u16 = 1000;

/// Seals what we send.
pub struct Sealer {
    cipher: Box<dyn Aead>,
    nonce: u64,
}

impl Sealer {
    pub(crate) const fn new(cipher: Box<dyn Aead>) -> Self {
        Self { cipher, nonce: 0 }
    }

    /// Lets `fill` write plaintext straight into `out`, at most [`MAX_PLAINTEXT`] bytes, then seals it there. Nothing written: nothing sent, since some peers can't
    /// take an empty frame. `None`: there is no room for a frame.
    ///
    /// # Errors
    ///
    /// [`Error::NonceExhausted`].
    pub fn seal<R>(
        &mut self,
        out: &mut TransmitBuf<'_>,
        fill: impl FnOnce(&mut TransmitBuf<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        // The greatest nonce is reserved by Noise.
        if self.nonce == u64::MAX {
            return Err(Error::NonceExhausted);
        }
        let mut sealed = false;
        let result = out.envelope(2, TAG, MAX_PLAINTEXT, fill, |frame| {
            if let Some((prefix, rest)) = frame.split_first_chunk_mut::<2>() {
                *prefix = u16::try_from(rest.len()).unwrap_or(u16::MAX).to_be_bytes();
                let body_len = rest.len().saturating_sub(TAG);
                let (body, tag) = rest.split_at_mut(body_len);
                tag.copy_from_slice(&self.cipher.seal(self.nonce, &[], body));
                sealed = true;
            }
        });
        self.nonce = self.nonce.saturating_add(u64::from(sealed));
        Ok(result)
    }

    /// Continues at this nonce, for tests of its end.
    #[doc(hidden)]
    pub const fn set_nonce(&mut self, nonce: u64) {
        self.nonce = nonce;
    }
}

/// Opens what we receive.
pub struct Opener {
    cipher: Box<dyn Aead>,
    nonce: u64,
    empty_in_a_row: u16,
    failed: Option<Error>,
}

impl Opener {
    pub(crate) const fn new(cipher: Box<dyn Aead>) -> Self {
        Self {
            cipher,
            nonce: 0,
            empty_in_a_row: 0,
            failed: None,
        }
    }

    /// Opens the first frame where it lies: how many bytes it takes, and the plaintext, which begins two bytes behind its start. `None`: the frame is incomplete.
    ///
    /// # Errors
    ///
    /// [`Error::FrameTooShort`], [`Error::BadTag`], [`Error::TooManyEmptyFrames`], [`Error::NonceExhausted`]; every later call gives the same error.
    pub fn open<'b>(&mut self, input: &'b mut [u8]) -> Result<Option<(usize, &'b mut [u8])>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some((prefix, rest)) = input.split_first_chunk_mut::<2>() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes(*prefix));
        let Some(body_len) = len.checked_sub(TAG) else {
            return self.fail(Error::FrameTooShort(len));
        };
        let Some(frame) = rest.get_mut(..len) else {
            return Ok(None);
        };
        if self.nonce == u64::MAX {
            return self.fail(Error::NonceExhausted);
        }
        let (body, tag) = frame.split_at_mut(body_len);
        let tag: &[u8; TAG] = match (&*tag).try_into() {
            Ok(tag) => tag,
            Err(_) => return self.fail(Error::BadTag),
        };
        if !self.cipher.open(self.nonce, &[], body, tag) {
            return self.fail(Error::BadTag);
        }
        self.nonce = self.nonce.saturating_add(1);
        self.empty_in_a_row = if body.is_empty() {
            self.empty_in_a_row.saturating_add(1)
        } else {
            0
        };
        if self.empty_in_a_row > MAX_EMPTY_FRAMES {
            return self.fail(Error::TooManyEmptyFrames);
        }
        Ok(Some((len.saturating_add(2), body)))
    }

    fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        self.failed = Some(error.clone());
        Err(error)
    }

    /// Continues at this nonce, for tests of its end.
    #[doc(hidden)]
    pub const fn set_nonce(&mut self, nonce: u64) {
        self.nonce = nonce;
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer(at {})", self.nonce)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener(at {})", self.nonce)
    }
}
