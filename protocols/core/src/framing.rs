//! Messages with a varint length in front. The limit is enforced on the prefix, before a byte of the message is kept.
//!
//! ```
//! use libp2p_proto_core::{Error, framing};
//!
//! let mut wire = Vec::new();
//! framing::encode(b"abc", &mut wire);
//! assert_eq!(wire, b"\x03abc");
//!
//! // Bytes may come in any split; what is behind a message stays with the caller.
//! let mut reader = framing::LengthDelimited::new(4096);
//! assert_eq!(reader.next_frame(&mut &wire[..2])?, None);
//! let mut rest: &[u8] = b"bcdef";
//! assert_eq!(reader.next_frame(&mut rest)?.as_deref(), Some(&b"abc"[..]));
//! assert_eq!(rest, b"def");
//! reader.finish()?; // the stream may end here
//!
//! // A prefix of 4097 is refused before any byte of the message has come.
//! let refused = reader.next_frame(&mut &[0x81, 0x20][..]);
//! assert_eq!(refused, Err(Error::FrameTooLarge { len: 4097, max: 4096 }));
//! # Ok::<(), Error>(())
//! ```

use crate::{Error, varint};
use alloc::vec::Vec;
use bytes::Bytes;

/// Reads a length prefix: the length of the message and of the prefix. `None`: more bytes are needed.
///
/// # Errors
///
/// [`Error::FrameTooLarge`] over `max`, and the errors of [`varint::decode`].
pub fn decode_prefix(input: &[u8], max: usize) -> Result<Option<(usize, usize)>, Error> {
    let Some((len, prefix)) = varint::decode(input)? else {
        return Ok(None);
    };
    match usize::try_from(len) {
        Ok(small) if small <= max => Ok(Some((small, prefix))),
        _ => Err(Error::FrameTooLarge { len, max }),
    }
}

/// Appends `message` with its length in front.
pub fn encode(message: &[u8], out: &mut Vec<u8>) {
    varint::encode(message.len() as u64, out);
    out.extend_from_slice(message);
}

/// Bytes of a message of `len` bytes with its length in front; saturates.
pub const fn encoded_len(len: usize) -> usize {
    varint::encoded_len(len as u64).saturating_add(len)
}

/// The least by which the memory of an incomplete message grows.
const MIN_SPARE: usize = 64;

/// Appends bytes to a part of a message of at most `whole` bytes. Its memory grows by an eighth more than is held, or 64 bytes, so that copies stay linear and little is held
/// in vain, but not past the end of the message.
pub fn gather(held: &mut Vec<u8>, bytes: &[u8], whole: usize) {
    let needed = held.len().saturating_add(bytes.len());
    if needed > held.capacity() {
        let spare = (held.len() / 8).max(MIN_SPARE);
        let room = needed.saturating_add(spare).min(whole.max(needed));
        held.reserve_exact(room.saturating_sub(held.len()));
    }
    held.extend_from_slice(bytes);
}

/// An incremental reader of length-prefixed messages. Its memory grows with what arrived, never with what was announced, and a finished message
/// holds no byte more than its own.
#[derive(Clone, Debug)]
pub struct LengthDelimited {
    max: usize,
    prefix: [u8; varint::MAX_LEN],
    prefix_len: usize,
    body: Vec<u8>,
    wanted: Option<usize>,
    failed: Option<Error>,
}

impl LengthDelimited {
    /// A reader of messages of at most `max` bytes.
    pub const fn new(max: usize) -> Self {
        Self {
            max,
            prefix: [0; varint::MAX_LEN],
            prefix_len: 0,
            body: Vec::new(),
            wanted: None,
            failed: None,
        }
    }

    /// Takes bytes from the front of `input` until a message is complete or the input is used up. What is behind the message stays in `input`.
    ///
    /// # Errors
    ///
    /// [`Error::FrameTooLarge`] as soon as the prefix is known, and the errors of [`varint::decode`]. After an error every call gives the same error
    /// and takes nothing.
    pub fn next_frame(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let Some(wanted) = self
            .take_prefix(input)
            .inspect_err(|error| self.failed = Some(*error))?
        else {
            return Ok(None);
        };
        let take = wanted.saturating_sub(self.body.len()).min(input.len());
        let (body, rest) = input.split_at_checked(take).unwrap_or((input, &[]));
        *input = rest;
        if self.body.is_empty() && take == wanted {
            self.reset();
            return Ok(Some(Bytes::copy_from_slice(body)));
        }
        gather(&mut self.body, body, wanted);
        if self.body.len() < wanted {
            return Ok(None);
        }
        let frame = core::mem::take(&mut self.body);
        self.reset();
        Ok(Some(frame.into()))
    }

    /// The end of the stream.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedEnd`] inside a prefix or a message, and the error of an earlier call. Between two messages the end is clean.
    pub const fn finish(&self) -> Result<(), Error> {
        match self.failed {
            Some(error) => Err(error),
            None if self.is_between_frames() => Ok(()),
            None => Err(Error::UnexpectedEnd),
        }
    }

    /// Whether the reader stands between two messages, so that the end of the stream is clean.
    pub const fn is_between_frames(&self) -> bool {
        self.prefix_len == 0 && self.wanted.is_none()
    }

    /// Bytes of an incomplete message that are held, its prefix not counted.
    pub fn buffered(&self) -> usize {
        self.body.len()
    }

    /// Bytes that the message which is begun still needs: 0 between two messages, and while its length is not known.
    pub fn missing(&self) -> usize {
        self.wanted
            .map_or(0, |wanted| wanted.saturating_sub(self.body.len()))
    }

    /// The length of the message, once its prefix is complete.
    fn take_prefix(&mut self, input: &mut &[u8]) -> Result<Option<usize>, Error> {
        while self.wanted.is_none() {
            let Some((byte, rest)) = input.split_first() else {
                return Ok(None);
            };
            *input = rest;
            if let Some(slot) = self.prefix.get_mut(self.prefix_len) {
                *slot = *byte;
                self.prefix_len = self.prefix_len.saturating_add(1);
            }
            let known = self.prefix.get(..self.prefix_len).unwrap_or_default();
            self.wanted = decode_prefix(known, self.max)?.map(|(len, _)| len);
        }
        Ok(self.wanted)
    }

    fn reset(&mut self) {
        self.prefix_len = 0;
        self.wanted = None;
        self.body = Vec::new();
    }
}
