//! Messages to bytes, and back, in the three framings.
//!
//! A [`Decoder`] takes the bytes of one direction of one stream in any split. It refuses a length before it keeps a byte of the message, and holds no more than arrived.

mod document;
mod snappy;

pub(crate) use document::Document;

use crate::{Failure, Rejection, Spec, config::Family};
use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use core::ops::RangeInclusive;
use document::Scanner;
use libp2p_proto_core::{Error as CoreError, framing, varint};
use snappy::FrameDecoder;

/// The longest message of an error chunk, in bytes.
const MAX_ERROR: usize = 256;
/// Bytes of context in front of a chunk.
const CONTEXT: usize = 4;

/// What a decoder found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// The whole message. The last item.
    Message(Bytes),
    /// A successful chunk, or the next bytes of a message that is wanted in parts.
    Part {
        /// What stood in front of the chunk.
        context: Option<[u8; CONTEXT]>,
        /// The bytes.
        data: Bytes,
    },
    /// An error chunk. The last item.
    Rejected(Rejection),
    /// A message in parts is complete. The last item.
    End,
}

/// Reads one request or one response.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    whole: bool,
}

#[derive(Debug)]
enum State {
    UntilEnd(UntilEnd),
    Prefix {
        bytes: [u8; varint::MAX_LEN],
        have: usize,
        max: usize,
    },
    Payload {
        left: usize,
        held: Vec<u8>,
    },
    Request(Length, RangeInclusive<usize>),
    /// A request whose bytes are all there; its end is not.
    RequestEnd(Bytes),
    Chunk(Chunk),
    Ended,
    Failed(Failure),
}

/// A message that ends with its stream.
#[derive(Debug)]
struct UntilEnd {
    held: Vec<u8>,
    read: usize,
    max: usize,
    empty: bool,
    early: bool,
    scanner: Scanner,
}

/// A length, then as many bytes in snappy frames.
#[derive(Debug)]
enum Length {
    Varint { value: u64, have: u32 },
    Frames(FrameDecoder),
}

/// One chunk of a response.
#[derive(Debug)]
struct Chunk {
    has_context: bool,
    sizes: RangeInclusive<usize>,
    part: ChunkPart,
}

#[derive(Debug)]
enum ChunkPart {
    Result,
    Context {
        bytes: [u8; CONTEXT],
        have: usize,
    },
    Body {
        code: u8,
        context: Option<[u8; CONTEXT]>,
        length: Length,
    },
}

impl Decoder {
    /// A reader of one request.
    pub fn request(spec: &Spec) -> Self {
        let state = match spec.family {
            Family::Chunks { .. } => State::Request(Length::new(), spec.requests.clone()),
            _ => unchunked(spec, *spec.requests.end()),
        };
        Self { state, whole: true }
    }

    /// A reader of one response: `whole`, or in parts as they come. Chunks always come one by one.
    pub fn response(spec: &Spec, whole: bool) -> Self {
        let state = match spec.family {
            Family::Chunks { context } => State::Chunk(Chunk::new(context, spec.responses.clone())),
            _ => unchunked(spec, *spec.responses.end()),
        };
        Self { state, whole }
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        match &self.state {
            State::UntilEnd(until_end) => until_end.held.len(),
            State::Payload { held, .. } => held.len(),
            State::Request(length, _)
            | State::Chunk(Chunk {
                part: ChunkPart::Body { length, .. },
                ..
            }) => length.held(),
            State::RequestEnd(message) => message.len(),
            State::Prefix { .. } | State::Chunk(_) | State::Ended | State::Failed(_) => 0,
        }
    }

    /// Takes bytes from the front of `input` until an item is complete or the input is used up. Call it until it answers `None`; behind the last item it takes nothing.
    ///
    /// # Errors
    ///
    /// [`Failure::TooLarge`] or [`Failure::Malformed`], and the same one ever after.
    pub fn feed(&mut self, input: &mut Bytes) -> Result<Option<Item>, Failure> {
        let whole = self.whole;
        let result = match &mut self.state {
            State::UntilEnd(until_end) => until_end.feed(input, whole),
            State::Prefix { bytes, have, max } => match take_prefix(bytes, have, *max, input) {
                Ok(Some(left)) => {
                    self.state = State::Payload {
                        left,
                        held: Vec::new(),
                    };
                    return self.feed(input);
                }
                Ok(None) => Ok(None),
                Err(failure) => Err(failure),
            },
            State::Payload { left, held } => Ok(take_payload(left, held, whole, input)),
            State::Request(length, sizes) => match length.feed(input, sizes) {
                Ok(Some(message)) => {
                    self.state = State::RequestEnd(message);
                    return self.feed(input);
                }
                Ok(None) => Ok(None),
                Err(failure) => Err(failure),
            },
            // A half-close is part of the request, so more bytes are none.
            State::RequestEnd(_) if input.is_empty() => Ok(None),
            State::RequestEnd(_) => Err(Failure::Malformed),
            State::Chunk(chunk) => chunk.feed(input),
            State::Ended => Ok(None),
            State::Failed(failure) => Err(failure.clone()),
        };
        match &result {
            Ok(Some(Item::Part { .. }) | None) => {}
            Ok(Some(_)) => self.state = State::Ended,
            Err(failure) => self.state = State::Failed(failure.clone()),
        }
        result
    }

    /// The sender has ended its side: the last item, or what is wrong with that. Behind the last item: [`Item::End`].
    ///
    /// # Errors
    ///
    /// [`Failure::UnexpectedEnd`] inside a message, and what [`feed`](Self::feed) has answered.
    pub fn finish(&mut self) -> Result<Item, Failure> {
        let whole = self.whole;
        let result = match core::mem::replace(&mut self.state, State::Ended) {
            State::UntilEnd(until_end) => until_end.finish(whole),
            State::RequestEnd(message) => Ok(Item::Message(message)),
            // A request without content is an end without bytes.
            State::Request(Length::Varint { have: 0, .. }, sizes) if *sizes.start() == 0 => {
                Ok(Item::Message(Bytes::new()))
            }
            State::Chunk(Chunk {
                part: ChunkPart::Result,
                ..
            })
            | State::Ended => Ok(Item::End),
            State::Failed(failure) => Err(failure),
            State::Prefix { .. } | State::Payload { .. } | State::Request(..) | State::Chunk(_) => {
                Err(Failure::UnexpectedEnd)
            }
        };
        if let Err(failure) = &result {
            self.state = State::Failed(failure.clone());
        }
        result
    }
}

fn unchunked(spec: &Spec, max: usize) -> State {
    match spec.family {
        Family::UntilEnd {
            document,
            empty,
            early,
        } => State::UntilEnd(UntilEnd {
            held: Vec::new(),
            read: 0,
            max,
            empty,
            early,
            scanner: Scanner::new(document),
        }),
        _ => State::Prefix {
            bytes: [0; varint::MAX_LEN],
            have: 0,
            max,
        },
    }
}

impl UntilEnd {
    fn feed(&mut self, input: &mut Bytes, whole: bool) -> Result<Option<Item>, Failure> {
        let left = self.max.saturating_sub(self.read);
        let taken = self.scanner.scan(input, left, self.early)?;
        self.read = self.read.saturating_add(taken);
        let data = input.split_to(taken);
        if whole {
            self.held.extend_from_slice(&data);
        } else if !data.is_empty() {
            return Ok(Some(Item::Part { context: None, data }));
        }
        Ok((self.early && self.scanner.is_complete()).then(|| self.end(whole)))
    }

    fn finish(mut self, whole: bool) -> Result<Item, Failure> {
        if (self.read == 0 && !self.empty) || (self.read > 0 && !self.scanner.may_end()) {
            return Err(Failure::UnexpectedEnd);
        }
        Ok(self.end(whole))
    }

    fn end(&mut self, whole: bool) -> Item {
        if whole {
            Item::Message(core::mem::take(&mut self.held).into())
        } else {
            Item::End
        }
    }
}

/// The length of the payload, once its prefix is complete.
fn take_prefix(
    bytes: &mut [u8; varint::MAX_LEN],
    have: &mut usize,
    max: usize,
    input: &mut Bytes,
) -> Result<Option<usize>, Failure> {
    while !input.is_empty() {
        if let Some(slot) = bytes.get_mut(*have) {
            *slot = input.get_u8();
            *have = have.saturating_add(1);
        }
        let known = bytes.get(..*have).unwrap_or_default();
        if let Some((len, _)) = framing::decode_prefix(known, max).map_err(|error| match error {
            CoreError::FrameTooLarge { .. } => Failure::TooLarge,
            _ => Failure::Malformed,
        })? {
            return Ok(Some(len));
        }
    }
    Ok(None)
}

fn take_payload(left: &mut usize, held: &mut Vec<u8>, whole: bool, input: &mut Bytes) -> Option<Item> {
    let data = input.split_to((*left).min(input.len()));
    *left = left.saturating_sub(data.len());
    if !whole {
        return if data.is_empty() {
            (*left == 0).then_some(Item::End)
        } else {
            Some(Item::Part { context: None, data })
        };
    }
    if *left == 0 && held.is_empty() {
        return Some(Item::Message(data));
    }
    held.extend_from_slice(&data);
    (*left == 0).then(|| Item::Message(core::mem::take(held).into()))
}

impl Length {
    const fn new() -> Self {
        Self::Varint { value: 0, have: 0 }
    }

    fn held(&self) -> usize {
        match self {
            Self::Varint { .. } => 0,
            Self::Frames(frames) => frames.held(),
        }
    }

    fn feed(&mut self, input: &mut Bytes, sizes: &RangeInclusive<usize>) -> Result<Option<Bytes>, Failure> {
        while let Self::Varint { value, have } = self {
            if input.is_empty() {
                return Ok(None);
            }
            let byte = input.get_u8();
            *value |= ten_byte_varint(byte, *have)?;
            *have = have.saturating_add(1);
            if byte & 0x80 == 0 {
                let len = usize::try_from(*value).map_err(|_| Failure::TooLarge)?;
                if len > *sizes.end() {
                    return Err(Failure::TooLarge);
                }
                if len < *sizes.start() {
                    return Err(Failure::Malformed);
                }
                *self = Self::Frames(FrameDecoder::new(len));
            }
        }
        match self {
            Self::Frames(frames) => frames.feed(input),
            Self::Varint { .. } => Ok(None),
        }
    }
}

/// The bits of byte number `have` of a protobuf varint: at most ten bytes, the whole range of 64 bits.
fn ten_byte_varint(byte: u8, have: u32) -> Result<u64, Failure> {
    let low = u64::from(byte & 0x7f);
    match have {
        0..9 => Ok(low << have.saturating_mul(7)),
        9 if byte <= 1 => Ok(low << 63),
        _ => Err(Failure::Malformed),
    }
}

impl Chunk {
    const fn new(has_context: bool, sizes: RangeInclusive<usize>) -> Self {
        Self {
            has_context,
            sizes,
            part: ChunkPart::Result,
        }
    }

    fn feed(&mut self, input: &mut Bytes) -> Result<Option<Item>, Failure> {
        loop {
            match &mut self.part {
                ChunkPart::Body {
                    code,
                    context,
                    length,
                } => {
                    let error_sizes = 0..=MAX_ERROR;
                    let sizes = if *code == 0 { &self.sizes } else { &error_sizes };
                    let Some(data) = length.feed(input, sizes)? else {
                        return Ok(None);
                    };
                    let (code, context) = (*code, *context);
                    self.part = ChunkPart::Result;
                    return Ok(Some(match code {
                        0 => Item::Part { context, data },
                        code => Item::Rejected(Rejection { code, message: data }),
                    }));
                }
                _ if input.is_empty() => return Ok(None),
                ChunkPart::Result => {
                    let code = input.get_u8();
                    self.part = if code == 0 && self.has_context {
                        ChunkPart::Context {
                            bytes: [0; CONTEXT],
                            have: 0,
                        }
                    } else {
                        body(code, None)
                    };
                }
                ChunkPart::Context { bytes, have } => {
                    if let Some(slot) = bytes.get_mut(*have) {
                        *slot = input.get_u8();
                        *have = have.saturating_add(1);
                    }
                    if *have == bytes.len() {
                        self.part = body(0, Some(*bytes));
                    }
                }
            }
        }
    }
}

const fn body(code: u8, context: Option<[u8; CONTEXT]>) -> ChunkPart {
    ChunkPart::Body {
        code,
        context,
        length: Length::new(),
    }
}

/// The bytes of a request. A request without content has none in Ethereum's framing.
pub fn encode_request(spec: &Spec, message: &Bytes) -> Bytes {
    match spec.family {
        Family::UntilEnd { .. } => message.clone(),
        Family::LengthDelimited => delimited(message),
        Family::Chunks { .. } if message.is_empty() => Bytes::new(),
        Family::Chunks { .. } => {
            let mut out = Vec::new();
            encode_chunked(message, &mut out);
            out.into()
        }
    }
}

/// The bytes of a response that is one message, or of one part of it.
pub fn encode_response(spec: &Spec, context: Option<[u8; CONTEXT]>, message: &Bytes) -> Bytes {
    match spec.family {
        Family::UntilEnd { .. } => message.clone(),
        Family::LengthDelimited => delimited(message),
        Family::Chunks { .. } => {
            let mut out = alloc::vec![0];
            out.extend(context.into_iter().flatten());
            encode_chunked(message, &mut out);
            out.into()
        }
    }
}

/// The bytes of an error chunk. The message is cut to 256 bytes; a code of 0 is sent as 2.
pub fn encode_rejection(code: u8, message: &[u8]) -> Bytes {
    let mut out = alloc::vec![if code == 0 { 2 } else { code }];
    encode_chunked(message.get(..MAX_ERROR).unwrap_or(message), &mut out);
    out.into()
}

fn delimited(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(framing::encoded_len(message.len()));
    framing::encode(message, &mut out);
    out.into()
}

fn encode_chunked(message: &[u8], out: &mut Vec<u8>) {
    varint::encode(message.len() as u64, out);
    snappy::encode_frames(message, out);
}
