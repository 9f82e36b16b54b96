//! Messages with a varint length in front. The limit is enforced on the prefix, before a byte of the message is kept.

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

/// An incremental reader of length-prefixed messages. Its memory grows with what arrived, never with what was announced.
#[derive(Clone, Debug)]
pub struct LengthDelimited {
    max: usize,
    prefix: [u8; varint::MAX_LEN],
    prefix_len: usize,
    body: Vec<u8>,
    wanted: Option<usize>,
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
        }
    }

    /// Takes bytes from the front of `input` until a message is complete or the input is used up. What is behind the message stays in `input`.
    ///
    /// # Errors
    ///
    /// [`Error::FrameTooLarge`] as soon as the prefix is known, and the errors of [`varint::decode`]. The reader must not be used after an error.
    pub fn next_frame(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, Error> {
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
        let wanted = self.wanted.unwrap_or(0);
        let take = wanted.saturating_sub(self.body.len()).min(input.len());
        let (body, rest) = input.split_at_checked(take).unwrap_or((input, &[]));
        *input = rest;
        if self.body.is_empty() && take == wanted {
            self.reset();
            return Ok(Some(Bytes::copy_from_slice(body)));
        }
        self.body.extend_from_slice(body);
        if self.body.len() < wanted {
            return Ok(None);
        }
        let frame = core::mem::take(&mut self.body);
        self.reset();
        Ok(Some(frame.into()))
    }

    /// Whether the reader stands between two messages, so that the end of the stream is clean.
    pub const fn is_between_frames(&self) -> bool {
        self.prefix_len == 0 && self.wanted.is_none()
    }

    /// Bytes of an incomplete message that are held.
    pub fn buffered(&self) -> usize {
        self.body.len().saturating_add(self.prefix_len)
    }

    fn reset(&mut self) {
        self.prefix_len = 0;
        self.wanted = None;
        self.body = Vec::new();
    }
}
