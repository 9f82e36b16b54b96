//! Frames (RFC 6455 section 5.2).

use crate::Error;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
/// In place of the length: two bytes of it follow.
const LONG: u8 = 0x7e;

/// Payload of the longest control frame.
pub(crate) const MAX_CONTROL: usize = 125;

/// The head of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of the head itself; `None` while its mask is to come.
    pub(crate) size: Option<usize>,
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) len: u64,
    /// Zero for a server's frame: it changes nothing.
    pub(crate) key: [u8; 4],
}

impl Head {
    pub(crate) const fn is_control(&self) -> bool {
        self.opcode >= CLOSE
    }

    /// Reads the head of a frame that must be `masked` or not. `None`: more bytes are needed. `check` judges the opcode before the length is known to be whole, so that errors come
    /// in the order of the bytes, however these are cut.
    pub(crate) fn read(
        input: &[u8],
        masked: bool,
        check: impl FnOnce(u8) -> Result<(), Error>,
    ) -> Result<Option<Self>, Error> {
        let [first, second, rest @ ..] = input else {
            return Ok(None);
        };
        let (fin, opcode, short) = (first & FIN != 0, first & OPCODE, second & !MASKED);
        if first & RESERVED != 0 {
            return Err(Error::ReservedBit);
        }
        if !matches!(opcode, CONTINUATION..=BINARY | CLOSE..=PONG) {
            return Err(Error::BadOpcode(opcode));
        }
        match (second & MASKED != 0, masked) {
            (false, true) => return Err(Error::Unmasked),
            (true, false) => return Err(Error::Masked),
            _ => {}
        }
        if opcode >= CLOSE && (!fin || usize::from(short) > MAX_CONTROL) {
            return Err(Error::BadControl);
        }
        check(opcode)?;
        let Some((len, rest)) = length(short, rest)? else {
            return Ok(None);
        };
        // A length over a limit is told before its mask has come.
        let (key, rest) = match rest {
            [a, b, c, d, rest @ ..] if masked => ([*a, *b, *c, *d], Some(rest)),
            _ if masked => ([0; 4], None),
            rest => ([0; 4], Some(rest)),
        };
        Ok(Some(Self {
            size: rest.map(|rest| input.len().saturating_sub(rest.len())),
            fin,
            opcode,
            len,
            key,
        }))
    }
}

/// The whole length, in its shortest form.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Error> {
    let (size, least) = match short {
        126 => (2, 126),
        127 => (8, 1 << 16),
        short => return Ok(Some((u64::from(short), rest))),
    };
    let Some((bytes, rest)) = rest.split_at_checked(size) else {
        return Ok(None);
    };
    let len = bytes.iter().fold(0, |len, byte| len << 8 | u64::from(*byte));
    if len < least || len > u64::MAX >> 1 {
        return Err(Error::BadLength(len));
    }
    Ok(Some((len, rest)))
}

/// Bytes of the head of a final frame of ours with at most 65 535 bytes of payload.
pub(crate) const fn head_size(payload: usize, masked: bool) -> usize {
    match (payload > MAX_CONTROL, masked) {
        (false, false) => 2,
        (true, false) => 4,
        (false, true) => 6,
        (true, true) => 8,
    }
}

/// Writes that head to the front of `out`, which has room for it, and answers its size.
pub(crate) fn write_head(out: &mut [u8], opcode: u8, payload: usize, key: Option<[u8; 4]>) -> usize {
    let size = head_size(payload, key.is_some());
    let mask = if key.is_some() { MASKED } else { 0 };
    let [high, low] = u16::try_from(payload).unwrap_or(u16::MAX).to_be_bytes();
    let (length, count) = if payload > MAX_CONTROL {
        ([mask | LONG, high, low], 3)
    } else {
        ([mask | low, 0, 0], 1)
    };
    let bytes = [FIN | opcode]
        .into_iter()
        .chain(length.into_iter().take(count))
        .chain(key.into_iter().flatten());
    for (place, byte) in out.iter_mut().zip(bytes) {
        *place = byte;
    }
    size
}
