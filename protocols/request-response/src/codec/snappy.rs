//! Snappy: blocks and frames, as far as Ethereum needs them. The one well-kept crate for it needs the standard library.
//!
//! Formats: <https://github.com/google/snappy/blob/main/format_description.txt> and `framing_format.txt` beside it.

use crate::Failure;
use alloc::{vec, vec::Vec};
use bytes::{Buf, Bytes};

/// Uncompressed bytes of one frame, at most.
const MAX_BLOCK: usize = 65_536;
/// Blocks up to this length are not compressed.
const SHORT: usize = 16;
/// `ff`, a length of six, and the magic word: it opens every sequence of frames.
const IDENTIFIER: [u8; 10] = *b"\xff\x06\x00\x00sNaPpY";

/// The most compressed bytes that `n` bytes may take (`max_compressed_len` of the consensus specifications).
pub(crate) const fn max_compressed_len(n: usize) -> usize {
    let sixth = match n.checked_div(6) {
        Some(sixth) => sixth,
        None => 0,
    };
    n.saturating_add(sixth).saturating_add(32)
}

/// The masked checksum of one block.
fn checksum(block: &[u8]) -> u32 {
    static CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    CRC.checksum(block).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Appends the frames of `data`; none for no data.
pub(crate) fn encode_frames(data: &[u8], out: &mut Vec<u8>) {
    if !data.is_empty() {
        out.extend_from_slice(&IDENTIFIER);
    }
    for block in data.chunks(MAX_BLOCK) {
        let compressed = compress(block);
        // A block that is short, or saves less than an eighth, is sent as it is, as the other implementations do.
        let saved = block.len().saturating_sub(compressed.len());
        let (kind, body): (u8, &[u8]) = if block.len() > SHORT && saved >= block.len().div_ceil(8) {
            (0x00, &compressed)
        } else {
            (0x01, block)
        };
        let [a, b, c, ..] = u32::try_from(body.len().saturating_add(4))
            .unwrap_or(u32::MAX)
            .to_le_bytes();
        out.extend_from_slice(&[kind, a, b, c]);
        out.extend_from_slice(&checksum(block).to_le_bytes());
        out.extend_from_slice(body);
    }
}

/// Reads frames, in any split, until a declared number of bytes is there.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    wanted: usize,
    out: Vec<u8>,
    /// Compressed bytes that may still come.
    budget: usize,
    identified: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Head { bytes: [u8; 4], have: usize },
    Body { kind: u8, len: usize, held: Vec<u8> },
    Skip { left: usize },
}

const HEAD: State = State::Head {
    bytes: [0; 4],
    have: 0,
};

impl FrameDecoder {
    pub(crate) const fn new(wanted: usize) -> Self {
        Self {
            wanted,
            out: Vec::new(),
            budget: max_compressed_len(wanted),
            identified: false,
            state: HEAD,
        }
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        let body = match &self.state {
            State::Body { held, .. } => held.len(),
            State::Head { .. } | State::Skip { .. } => 0,
        };
        self.out.len().saturating_add(body)
    }

    /// Takes bytes from the front of `input`; answers the data once it is whole.
    pub(crate) fn feed(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Failure> {
        while self.out.len() < self.wanted {
            if input.is_empty() {
                return Ok(None);
            }
            let taken = match &mut self.state {
                State::Head { bytes, have } => {
                    if let Some(slot) = bytes.get_mut(*have) {
                        *slot = input.get_u8();
                        *have = have.saturating_add(1);
                    }
                    if *have == bytes.len() {
                        let [kind, a, b, c] = *bytes;
                        self.begin(kind, u32::from_le_bytes([a, b, c, 0]))?;
                    }
                    1
                }
                State::Skip { left } => {
                    let take = (*left).min(input.len());
                    input.advance(take);
                    *left = left.saturating_sub(take);
                    if *left == 0 {
                        self.state = HEAD;
                    }
                    take
                }
                State::Body { kind, len, held } => {
                    let take = len.saturating_sub(held.len()).min(input.len());
                    held.extend_from_slice(&input.split_to(take));
                    if held.len() == *len {
                        let (kind, body) = (*kind, core::mem::take(held));
                        self.state = HEAD;
                        self.end(kind, &body)?;
                    }
                    take
                }
            };
            self.budget = self.budget.checked_sub(taken).ok_or(Failure::Malformed)?;
        }
        Ok(Some(core::mem::take(&mut self.out).into()))
    }

    /// A frame begins: whatever its length rules out is refused before its body is held.
    fn begin(&mut self, kind: u8, len: u32) -> Result<(), Failure> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let room = self.wanted.saturating_sub(self.out.len()).min(MAX_BLOCK);
        let legal = len <= self.budget
            && match kind {
                0xff => len == 6,
                0x00 => self.identified && (5..=max_compressed_len(room).saturating_add(4)).contains(&len),
                0x01 => self.identified && (4..=room.saturating_add(4)).contains(&len),
                // Padding, and what later versions may add.
                0x80..=0xfe => self.identified,
                0x02..=0x7f => false,
            };
        if !legal {
            return Err(Failure::Malformed);
        }
        self.state = match kind {
            0x80..=0xfe if len == 0 => HEAD,
            0x80..=0xfe => State::Skip { left: len },
            _ => State::Body {
                kind,
                len,
                held: Vec::new(),
            },
        };
        Ok(())
    }

    fn end(&mut self, kind: u8, body: &[u8]) -> Result<(), Failure> {
        if kind == 0xff {
            self.identified = true;
            return IDENTIFIER.ends_with(body).then_some(()).ok_or(Failure::Malformed);
        }
        let (sum, block) = body.split_first_chunk::<4>().ok_or(Failure::Malformed)?;
        let room = self.wanted.saturating_sub(self.out.len()).min(MAX_BLOCK);
        let whole;
        let block = if kind == 0x00 {
            whole = decompress(block, room).ok_or(Failure::Malformed)?;
            &whole
        } else {
            block
        };
        if block.len() > room || checksum(block) != u32::from_le_bytes(*sum) {
            return Err(Failure::Malformed);
        }
        self.out.extend_from_slice(block);
        Ok(())
    }
}

/// One block of at most `max` bytes. The announced length is checked before anything is written.
fn decompress(mut input: &[u8], max: usize) -> Option<Vec<u8>> {
    let wanted = usize::try_from(block_length(&mut input)?)
        .ok()
        .filter(|len| *len <= max)?;
    let mut out = Vec::with_capacity(wanted);
    while let Some((tag, rest)) = input.split_first() {
        input = rest;
        let high = usize::from(*tag >> 2);
        match tag & 3 {
            0 => {
                let len = match high {
                    0..60 => high,
                    _ => little_endian(&mut input, high.saturating_sub(59))?,
                };
                let (literal, rest) = input.split_at_checked(len.checked_add(1)?)?;
                input = rest;
                out.extend_from_slice(literal);
            }
            1 => {
                let low = little_endian(&mut input, 1)?;
                let offset = usize::from(tag >> 5) << 8 | low;
                copy(&mut out, offset, (high & 7).saturating_add(4))?;
            }
            kind => {
                let offset = little_endian(&mut input, if kind == 2 { 2 } else { 4 })?;
                copy(&mut out, offset, high.saturating_add(1))?;
            }
        }
        if out.len() > wanted {
            return None;
        }
    }
    (out.len() == wanted).then_some(out)
}

/// The length in front of a block: a varint of at most 32 bits.
fn block_length(input: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).ok();
        }
    }
    None
}

fn little_endian(input: &mut &[u8], len: usize) -> Option<usize> {
    let (bytes, rest) = input.split_at_checked(len)?;
    *input = rest;
    let value = bytes
        .iter()
        .rev()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    usize::try_from(value).ok()
}

/// Repeats what stands `offset` bytes back; it may overlap with what it makes.
fn copy(out: &mut Vec<u8>, offset: usize, len: usize) -> Option<()> {
    let start = out.len().checked_sub(offset).filter(|_| offset > 0)?;
    let mut left = len;
    while left > 0 {
        let take = left.min(out.len().saturating_sub(start));
        out.extend_from_within(start..start.saturating_add(take));
        left = left.saturating_sub(take);
    }
    Some(())
}

/// Words that are remembered while a block is compressed, a power of two.
const TABLE: usize = 1 << 12;

/// One block of at most 64 KiB, greedily: every word of four bytes that was seen before becomes a copy.
fn compress(block: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut length = block.len();
    while length >= 0x80 {
        out.push(low_byte(length) | 0x80);
        length >>= 7;
    }
    out.push(low_byte(length));
    let mut seen = vec![None; TABLE];
    let (mut at, mut literal_from) = (0, 0);
    while let Some(word) = block.get(at..).and_then(<[u8]>::first_chunk::<4>) {
        let hash = u32::from_le_bytes(*word).wrapping_mul(0x1e35_a7bd) >> 20;
        let slot = usize::try_from(hash).ok().and_then(|hash| seen.get_mut(hash));
        let earlier: Option<usize> = slot.and_then(|slot| slot.replace(at));
        let found = earlier.filter(|from| block.get(*from..).is_some_and(|bytes| bytes.starts_with(word)));
        let Some(from) = found else {
            at = at.saturating_add(1);
            continue;
        };
        let ahead = block.get(at..).unwrap_or_default();
        let behind = block.get(from..).unwrap_or_default();
        let len = ahead.iter().zip(behind).take_while(|(a, b)| a == b).count();
        emit_literal(block.get(literal_from..at).unwrap_or_default(), &mut out);
        emit_copy(at.saturating_sub(from), len, &mut out);
        at = at.saturating_add(len);
        literal_from = at;
    }
    emit_literal(block.get(literal_from..).unwrap_or_default(), &mut out);
    out
}

fn emit_literal(literal: &[u8], out: &mut Vec<u8>) {
    let Some(len) = literal.len().checked_sub(1) else {
        return;
    };
    match len {
        0..60 => out.push(low_byte(len) << 2),
        60..256 => out.extend_from_slice(&[60 << 2, low_byte(len)]),
        _ => out.extend_from_slice(&[61 << 2, low_byte(len), low_byte(len >> 8)]),
    }
    out.extend_from_slice(literal);
}

/// Copies with an offset of two bytes, at most 64 bytes each.
fn emit_copy(offset: usize, mut len: usize, out: &mut Vec<u8>) {
    while len > 0 {
        let step = len.min(64);
        let tag = low_byte(step.saturating_sub(1)) << 2 | 2;
        out.extend_from_slice(&[tag, low_byte(offset), low_byte(offset >> 8)]);
        len = len.saturating_sub(step);
    }
}

/// The lowest eight bits.
fn low_byte(value: usize) -> u8 {
    value.to_le_bytes().first().copied().unwrap_or(0)
}
