//! The messages: a varint length, text, a line break.

use crate::Error;
use alloc::vec::Vec;
use libp2p_proto_core::{TransmitBuf, framing::gather};

/// Splits input into messages. Holds bytes only while a message is incomplete.
#[derive(Debug)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    /// The largest message, line break included.
    max: u16,
}

/// The text of one message, without its line break, and how many bytes of the input it took.
pub(crate) enum Step<'a> {
    Line {
        text: &'a [u8],
        taken: usize,
    },
    /// All input was taken, and the message is incomplete.
    More,
}

impl Lines {
    pub(crate) const fn new(max: u16) -> Self {
        Self {
            partial: Vec::new(),
            max,
        }
    }

    /// Bytes of an incomplete message.
    pub(crate) fn buffered(&self) -> usize {
        self.partial.len()
    }

    /// Looks for one message at the front of what is held followed by `input`. `scratch` takes the message where it had to be put together.
    pub(crate) fn next<'a>(&mut self, input: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Step<'a>, Error> {
        if self.partial.is_empty() {
            let mut whole = 2;
            if let Some((prefix, len)) = prefix(input, self.max)? {
                whole = prefix.saturating_add(len);
                if let Some(body) = input.get(prefix..whole) {
                    return Ok(Step::Line {
                        text: strip(body)?,
                        taken: whole,
                    });
                }
            }
            gather(&mut self.partial, input, whole);
            return Ok(Step::More);
        }
        let held = self.partial.len();
        // The length has at most two bytes, so this much is enough to know it.
        gather(&mut self.partial, input.get(..2).unwrap_or(input), 4);
        let Some((prefix, len)) = prefix(&self.partial, self.max)? else {
            self.partial.truncate(held);
            self.partial.extend_from_slice(input);
            return Ok(Step::More);
        };
        self.partial.truncate(held);
        let whole = prefix.saturating_add(len);
        let missing = whole.saturating_sub(held);
        let part = input.get(..missing).unwrap_or(input);
        gather(&mut self.partial, part, whole);
        if input.len() < missing {
            return Ok(Step::More);
        }
        *scratch = core::mem::take(&mut self.partial);
        let text = strip(scratch.get(prefix..).unwrap_or_default())?;
        Ok(Step::Line { text, taken: missing })
    }
}

/// The length of the prefix and of the message behind it, once known. Refuses a bad length as early as possible.
fn prefix(input: &[u8], max: u16) -> Result<Option<(usize, usize)>, Error> {
    let (prefix, len) = match input {
        [] => return Ok(None),
        [0, ..] => return Err(Error::BadLength),
        [len @ 1..=0x7f, ..] => (1, usize::from(*len)),
        [low, rest @ ..] => match rest.first() {
            None => return Ok(None),
            Some(0) => return Err(Error::BadLength),
            Some(high @ 1..=0x7f) => (2, usize::from(low & 0x7f) | (usize::from(*high) << 7)),
            Some(_) => return Err(Error::LineTooLong),
        },
    };
    if len > usize::from(max) {
        Err(Error::LineTooLong)
    } else {
        Ok(Some((prefix, len)))
    }
}

fn strip(body: &[u8]) -> Result<&[u8], Error> {
    body.strip_suffix(b"\n").ok_or(Error::NoNewline)
}

/// The size of the message with this text.
pub(crate) const fn size(text: &str) -> usize {
    let line = text.len().saturating_add(1);
    line.saturating_add(if line < 0x80 { 1 } else { 2 })
}

/// Appends one message, or nothing and answers `false` if it does not fit.
pub(crate) fn write(text: &str, out: &mut TransmitBuf<'_>) -> bool {
    if size(text) > out.remaining() {
        return false;
    }
    let line = text.len().saturating_add(1);
    let low = u8::try_from(line & 0x7f).unwrap_or(0);
    let written = if line < 0x80 {
        out.put(&[low])
    } else {
        out.put(&[low | 0x80, u8::try_from(line >> 7).unwrap_or(0x7f)])
    };
    written && out.put(text.as_bytes()) && out.put(b"\n")
}
