//! The transport: frames of a two-byte length and a ciphertext, sealed and opened where they lie.

use crate::{
    Aead, Error,
    symmetric::{TAG, nonce_bytes},
};
use alloc::boxed::Box;
use core::fmt;
use libp2p_proto_core::TransmitBuf;

/// The largest ciphertext of one frame, in bytes.
pub const MAX_FRAME: usize = 65_535;
/// The largest plaintext of one frame, in bytes.
pub const MAX_PLAINTEXT: usize = MAX_FRAME - TAG;

/// Seals what we send.
pub struct Sealer {
    cipher: Box<dyn Aead>,
    nonce: u64,
    failed: Option<Box<Error>>,
}

impl Sealer {
    pub(crate) const fn new(cipher: Box<dyn Aead>) -> Self {
        Self {
            cipher,
            nonce: 0,
            failed: None,
        }
    }

    /// Lets `fill` write plaintext straight into `out`, at most [`MAX_PLAINTEXT`] bytes, then seals it there. Nothing written: nothing sent, since some peers can't
    /// take an empty frame. `None`: there is no room for a frame.
    ///
    /// # Errors
    ///
    /// [`Error::NonceExhausted`], [`Error::Provider`]: nothing was written, and every later call gives the same error.
    pub fn seal<R>(
        &mut self,
        out: &mut TransmitBuf<'_>,
        fill: impl FnOnce(&mut TransmitBuf<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        if let Some(error) = &self.failed {
            return Err(Error::clone(error));
        }
        // The greatest nonce is reserved by Noise.
        if self.nonce == u64::MAX {
            return self.fail(Error::NonceExhausted);
        }
        let (cipher, nonce) = (&self.cipher, &mut self.nonce);
        let sealed = out.envelope(2, TAG, MAX_PLAINTEXT, fill, |frame| {
            seal_frame(&**cipher, *nonce, frame)?;
            *nonce = nonce.saturating_add(1);
            Ok(())
        });
        match sealed {
            Ok(result) => Ok(result),
            Err(error) => self.fail(error),
        }
    }

    fn fail<T>(&mut self, error: Error) -> Result<T, Error> {
        self.failed = Some(Box::new(error.clone()));
        Err(error)
    }

    /// Continues at this nonce, for tests of its end.
    #[doc(hidden)]
    pub const fn set_nonce(&mut self, nonce: u64) {
        self.nonce = nonce;
    }
}

/// Seals a frame where it lies: two bytes for the length, the plaintext, and room for the tag.
fn seal_frame(cipher: &dyn Aead, nonce: u64, frame: &mut [u8]) -> Result<(), Error> {
    let (prefix, sealed) = frame.split_first_chunk_mut::<2>().ok_or(Error::Provider)?;
    *prefix = u16::try_from(sealed.len())
        .map_err(|_| Error::Provider)?
        .to_be_bytes();
    let (body, tag) = sealed.split_last_chunk_mut::<TAG>().ok_or(Error::Provider)?;
    *tag = cipher.seal(&nonce_bytes(nonce), &[], body)?;
    Ok(())
}

/// Opens what we receive.
pub struct Opener {
    cipher: Box<dyn Aead>,
    nonce: u64,
    max_empty: u16,
    empty_in_a_row: u16,
    failed: Option<Box<Error>>,
}

/// One opened frame.
type Opened<'b> = (usize, &'b mut [u8]);

impl Opener {
    pub(crate) const fn new(cipher: Box<dyn Aead>, max_empty: u16) -> Self {
        Self {
            cipher,
            nonce: 0,
            max_empty,
            empty_in_a_row: 0,
            failed: None,
        }
    }

    /// Opens the first frame where it lies: how many bytes it takes, and the plaintext, which begins two bytes behind its start. `None`: the frame is incomplete.
    ///
    /// # Errors
    ///
    /// [`Error::FrameTooShort`], [`Error::BadTag`], [`Error::TooManyEmptyFrames`], [`Error::NonceExhausted`]; every later call gives the same error.
    pub fn open<'b>(&mut self, input: &'b mut [u8]) -> Result<Option<Opened<'b>>, Error> {
        if let Some(error) = &self.failed {
            return Err(Error::clone(error));
        }
        let opened = self.open_frame(input);
        if let Err(error) = &opened {
            self.failed = Some(Box::new(error.clone()));
        }
        opened
    }

    fn open_frame<'b>(&mut self, input: &'b mut [u8]) -> Result<Option<Opened<'b>>, Error> {
        let Some((prefix, rest)) = input.split_first_chunk_mut::<2>() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes(*prefix));
        if len < TAG {
            return Err(Error::FrameTooShort(len));
        }
        // The greatest nonce is reserved by Noise.
        if self.nonce == u64::MAX {
            return Err(Error::NonceExhausted);
        }
        let Some((body, tag)) = rest
            .get_mut(..len)
            .and_then(|frame| frame.split_last_chunk_mut::<TAG>())
        else {
            return Ok(None);
        };
        self.cipher.open(&nonce_bytes(self.nonce), &[], body, tag)?;
        self.nonce = self.nonce.saturating_add(1);
        self.empty_in_a_row = if body.is_empty() {
            self.empty_in_a_row.saturating_add(1)
        } else {
            0
        };
        if self.empty_in_a_row > self.max_empty {
            return Err(Error::TooManyEmptyFrames);
        }
        Ok(Some((len.saturating_add(prefix.len()), body)))
    }

    /// The remote sends no more bytes, and so many of them were not opened. The end of the bytes is no message of Noise: whether it was meant, only the layer above can tell.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedEnd`] if they end inside a frame.
    pub fn handle_eof(&mut self, unopened: usize) -> Result<(), Error> {
        if self.failed.is_none() && unopened > 0 {
            self.failed = Some(Box::new(Error::UnexpectedEnd));
        }
        self.failed.as_deref().cloned().map_or(Ok(()), Err)
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
