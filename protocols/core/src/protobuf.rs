//! The one strict protobuf module of the family.
//!
//! It stands on quick-protobuf's primitives, which it keeps on a leash: every length is checked against what is left before the crate sees it, a nested
//! message is a slice with a reader of its own, groups are refused, and the number of fields is capped before anything is collected.
//! Unknown fields are skipped by ignoring them; the last value of a repeated singular field wins because the caller overwrites it.
//!
//! ```
//! use libp2p_proto_core::protobuf::{Limits, ProtobufError, Reader, Writer};
//!
//! let mut message = Vec::new();
//! let mut writer = Writer::new(&mut message);
//! writer.varint(1, 300);
//! writer.string(3, "hello");
//! assert_eq!(message, b"\x08\xac\x02\x1a\x05hello");
//!
//! let (mut number, mut text) = (0, "");
//! let mut reader = Reader::new(&message, Limits::default());
//! while let Some(field) = reader.next_field()? {
//!     match field.number {
//!         1 => number = field.value.to_u64()?,
//!         3 => text = field.value.to_str()?,
//!         _ => {} // unknown fields are no error
//!     }
//! }
//! assert_eq!((number, text), (300, "hello"));
//! # Ok::<(), ProtobufError>(())
//! ```

use crate::Fault;
use alloc::vec::Vec;
use core::fmt;
use quick_protobuf::BytesReader;

mod writer;

pub use writer::{Writer, bytes_field_len, varint_field_len};

/// Encodes a message that `write` fills.
pub fn encode(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Writer::new(&mut out));
    out
}

/// Decodes a message within the default [`Limits`]: `take` puts each field in its place.
///
/// # Errors
///
/// Those of [`Reader::next_field`].
pub fn decode<T: Default>(
    message: &[u8],
    mut take: impl FnMut(&mut T, Field<'_>),
) -> Result<T, ProtobufError> {
    let mut decoded = T::default();
    let mut reader = Reader::new(message, Limits::default());
    while let Some(field) = reader.next_field()? {
        take(&mut decoded, field);
    }
    Ok(decoded)
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtobufError {
    /// A value reaches past the end of the message.
    #[error("value passes the end of the message")]
    Truncated,
    /// A varint of more than ten bytes or 64 bits.
    #[error("varint too long")]
    BadVarint,
    /// Field number 0 or over 2²⁹−1.
    #[error("bad field number")]
    BadFieldNumber,
    /// A group (wire types 3 and 4) or an undefined wire type.
    #[error("wire type {0} refused")]
    BadWireType(u8),
    /// More fields than the limit.
    #[error("too many fields")]
    TooManyFields,
    /// The message is larger than the limit.
    #[error("message too large")]
    TooLarge,
    /// Messages nested deeper than the limit.
    #[error("nested too deeply")]
    TooDeep,
    /// A known field has another wire type than its kind of value.
    #[error("value of another wire type")]
    WrongWireType,
    /// A string that is not UTF-8.
    #[error("string is not UTF-8")]
    BadUtf8,
}

impl ProtobufError {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooManyFields | Self::TooLarge | Self::TooDeep => Fault::Limit,
            _ => Fault::Peer,
        }
    }
}

/// What is wrong with a message of a protocol whose messages have a type, a part for each type, and answers with a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// It is no protobuf, or a known field has another wire type.
    #[error("not a message: {0}")]
    Protobuf(#[from] ProtobufError),
    /// It has no type.
    #[error("no type")]
    MissingType,
    /// Its type is none of the protocol's.
    #[error("unknown type {0}")]
    UnknownType(u64),
    /// The part that its type promises is missing, or any part at all.
    #[error("the part of this type is missing")]
    MissingPart,
    /// An answer without a status.
    #[error("no status")]
    MissingStatus,
}

impl Malformed {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Protobuf(error) => error.fault(),
            _ => Fault::Peer,
        }
    }
}

/// How much of a message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the message. Default 1 MiB.
    pub bytes: usize,
    /// Fields of one message, unknown ones included. Default 16 384.
    pub fields: usize,
    /// Messages inside of messages. Default 16.
    pub depth: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 20,
            fields: 16_384,
            depth: 16,
        }
    }
}

/// One field of a message; `Bytes` borrows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field number.
    pub number: u32,
    /// Its value, as the wire type tells it.
    pub value: Value<'a>,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1, little endian.
    Fixed64(u64),
    /// Wire type 2: bytes, a string, a nested message or packed numbers.
    Bytes(&'a [u8]),
    /// Wire type 5, little endian.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// The number of a field of type `uint64`, `uint32`, `int64`, `bool` or an enum.
    ///
    /// # Errors
    ///
    /// [`ProtobufError::WrongWireType`].
    pub const fn to_u64(self) -> Result<u64, ProtobufError> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(ProtobufError::WrongWireType),
        }
    }

    /// The bytes of a field of type `bytes`, or of a nested message.
    ///
    /// # Errors
    ///
    /// [`ProtobufError::WrongWireType`].
    pub const fn to_bytes(self) -> Result<&'a [u8], ProtobufError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(ProtobufError::WrongWireType),
        }
    }

    /// The text of a field of type `string`.
    ///
    /// # Errors
    ///
    /// [`ProtobufError::WrongWireType`], and [`ProtobufError::BadUtf8`], for which a protocol may drop the one entry instead of the message.
    pub fn to_str(self) -> Result<&'a str, ProtobufError> {
        core::str::from_utf8(self.to_bytes()?).map_err(|_| ProtobufError::BadUtf8)
    }
}

/// Reads the fields of one message in the order of the wire.
pub struct Reader<'a> {
    input: &'a [u8],
    fields_left: usize,
    limits: Limits,
    failed: Option<ProtobufError>,
}

impl<'a> Reader<'a> {
    /// A reader of `message` under these limits.
    pub const fn new(message: &'a [u8], limits: Limits) -> Self {
        let failed = if message.len() > limits.bytes {
            Some(ProtobufError::TooLarge)
        } else {
            None
        };
        Self {
            input: message,
            fields_left: limits.fields,
            limits,
            failed,
        }
    }

    /// A reader of a nested message, one level deeper.
    ///
    /// # Errors
    ///
    /// [`ProtobufError::TooDeep`].
    pub const fn nested(&self, message: &'a [u8]) -> Result<Self, ProtobufError> {
        match self.limits.depth.checked_sub(1) {
            Some(depth) => Ok(Self::new(message, Limits { depth, ..self.limits })),
            None => Err(ProtobufError::TooDeep),
        }
    }

    /// The next field, `None` at the end. After an error every call gives the same error.
    ///
    /// # Errors
    ///
    /// See [`ProtobufError`].
    pub fn next_field(&mut self) -> Result<Option<Field<'a>>, ProtobufError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.input.is_empty() {
            return Ok(None);
        }
        let result = self.read_field();
        self.failed = result.err();
        result.map(Some)
    }

    fn read_field(&mut self) -> Result<Field<'a>, ProtobufError> {
        self.fields_left = self
            .fields_left
            .checked_sub(1)
            .ok_or(ProtobufError::TooManyFields)?;
        let tag = u32::try_from(self.read_varint()?).map_err(|_| ProtobufError::BadFieldNumber)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(ProtobufError::BadFieldNumber);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.read_varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.read_array()?)),
            2 => {
                let len = usize::try_from(self.read_varint()?).map_err(|_| ProtobufError::Truncated)?;
                Value::Bytes(self.take(len)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.read_array()?)),
            other => return Err(ProtobufError::BadWireType(u8::try_from(other).unwrap_or(7))),
        };
        Ok(Field { number, value })
    }

    /// The leash: the primitive sees exactly the bytes of one varint, whose length and bits are checked here.
    fn read_varint(&mut self) -> Result<u64, ProtobufError> {
        let last = self.input.iter().take(10).position(|byte| byte & 0x80 == 0);
        let Some(last) = last else {
            return Err(if self.input.len() < 10 {
                ProtobufError::Truncated
            } else {
                ProtobufError::BadVarint
            });
        };
        let bytes = self.take(last.saturating_add(1))?;
        if bytes.len() == 10 && bytes.last().is_some_and(|byte| *byte > 1) {
            return Err(ProtobufError::BadVarint);
        }
        BytesReader::from_bytes(bytes)
            .read_varint64(bytes)
            .map_err(|_| ProtobufError::BadVarint)
    }

    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], ProtobufError> {
        <[u8; N]>::try_from(self.take(N)?).map_err(|_| ProtobufError::Truncated)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ProtobufError> {
        let (taken, rest) = self.input.split_at_checked(len).ok_or(ProtobufError::Truncated)?;
        self.input = rest;
        Ok(taken)
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} bytes left)", self.input.len())
    }
}
