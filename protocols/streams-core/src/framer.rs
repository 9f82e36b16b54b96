//! Bytes to frames, and back.

use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{
    framing::{LengthDelimited, gather},
    varint,
};
use libp2p_proto_stream_protocol::{Closed, Framing};

/// Raw bytes of one read are gathered up to this size.
const MAX_RAW: usize = 256 * 1024;

/// Length prefixes of one byte, so that they need no memory of their own.
static SHORT_PREFIXES: [u8; 128] = {
    let mut bytes = [0; 128];
    let mut rest: &mut [u8] = &mut bytes;
    let mut value = 0;
    while let [first, tail @ ..] = rest {
        *first = value;
        value = value.wrapping_add(1);
        rest = tail;
    }
    bytes
};

/// The inbound half of a stream's framing.
#[derive(Debug)]
pub(crate) struct Framer {
    framing: Framing,
    state: State,
}

#[derive(Debug)]
enum State {
    Prefixed(LengthDelimited),
    /// Bytes of an incomplete frame, or raw bytes of this read.
    Gathering(Vec<u8>),
}

impl Framer {
    pub(crate) const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::LengthDelimited { max } | Framing::Held { max } => {
                State::Prefixed(LengthDelimited::new(max))
            }
            Framing::Fixed { .. } | Framing::UntilEnd { .. } | Framing::Raw => State::Gathering(Vec::new()),
        };
        Self { framing, state }
    }

    pub(crate) const fn framing(&self) -> Framing {
        self.framing
    }

    /// Takes bytes from the front of `input`; a whole frame comes back, with what is behind it left in `input`. `None`: the input is used up. `more`: bytes that
    /// may follow in this read, a hint for memory.
    pub(crate) fn next(&mut self, input: &mut &[u8], more: usize) -> Result<Option<Bytes>, Closed> {
        match (&mut self.state, self.framing) {
            (State::Prefixed(reader), _) => reader.next_frame(input).map_err(|error| match error {
                libp2p_proto_core::Error::FrameTooLarge { .. } => Closed::FrameTooLarge,
                _ => Closed::Malformed,
            }),
            (State::Gathering(held), Framing::Fixed { len }) => {
                let take = len.saturating_sub(held.len()).min(input.len());
                let (bytes, rest) = input.split_at_checked(take).unwrap_or((input, &[]));
                *input = rest;
                if held.is_empty() && take == len {
                    return Ok(Some(Bytes::copy_from_slice(bytes)).filter(|frame| !frame.is_empty()));
                }
                gather(held, bytes, len);
                Ok((held.len() == len).then(|| core::mem::take(held).into()))
            }
            (State::Gathering(held), Framing::UntilEnd { max }) => {
                if held.len().saturating_add(input.len()) > max {
                    return Err(Closed::FrameTooLarge);
                }
                gather(held, input, max);
                *input = &[];
                Ok(None)
            }
            (State::Gathering(held), _) => {
                if held.is_empty() {
                    held.reserve_exact(input.len().saturating_add(more).min(MAX_RAW).max(input.len()));
                }
                gather(held, input, usize::MAX);
                *input = &[];
                Ok((held.len() >= MAX_RAW).then(|| exact(held)))
            }
        }
    }

    /// The raw bytes of this read, if any.
    pub(crate) fn flush(&mut self) -> Option<Bytes> {
        match (&mut self.state, self.framing) {
            (State::Gathering(held), Framing::Raw) if !held.is_empty() => Some(exact(held)),
            _ => None,
        }
    }

    /// The stream ends here: a last frame, or an error if it ends inside of one.
    pub(crate) fn end(&mut self) -> Result<Option<Bytes>, Closed> {
        match (&mut self.state, self.framing) {
            (State::Prefixed(reader), _) if reader.is_between_frames() => Ok(None),
            (State::Gathering(held), Framing::UntilEnd { .. }) => Ok(Some(core::mem::take(held).into())),
            (State::Gathering(held), Framing::Raw) if !held.is_empty() => Ok(Some(exact(held))),
            (State::Gathering(held), _) if held.is_empty() => Ok(None),
            _ => Err(Closed::UnexpectedEnd),
        }
    }

    /// Bytes of an incomplete frame.
    pub(crate) fn buffered(&self) -> usize {
        match &self.state {
            State::Prefixed(reader) => reader.buffered(),
            State::Gathering(held) => held.len(),
        }
    }

    /// Bytes that an incomplete frame still needs at most.
    pub(crate) fn missing(&self) -> usize {
        match (&self.state, self.framing) {
            (State::Prefixed(reader), _) => reader.missing(),
            (State::Gathering(held), Framing::Fixed { len: all } | Framing::UntilEnd { max: all }) => {
                all.saturating_sub(held.len())
            }
            (State::Gathering(_), _) => 0,
        }
    }
}

/// What was gathered, in memory that fits it but for an eighth.
fn exact(held: &mut Vec<u8>) -> Bytes {
    let mut bytes = core::mem::take(held);
    if bytes.capacity().saturating_sub(bytes.len()) > bytes.capacity() / 8 {
        bytes.shrink_to_fit();
    }
    bytes.into()
}

/// The length prefix that a frame needs, if any.
pub(crate) fn prefix(framing: Framing, len: usize) -> Option<Bytes> {
    match framing {
        Framing::LengthDelimited { .. } | Framing::Held { .. } => {
            Some(if SHORT_PREFIXES.get(len..=len).is_some() {
                Bytes::from_static(&SHORT_PREFIXES).slice(len..=len)
            } else {
                let mut out = Vec::with_capacity(varint::MAX_LEN);
                varint::encode(len as u64, &mut out);
                out.into()
            })
        }
        Framing::Fixed { .. } | Framing::UntilEnd { .. } | Framing::Raw => None,
    }
}
