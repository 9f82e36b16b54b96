//! Version 1: one question and one answer on a stream.

use super::push_addr;
use crate::Malformed;
use alloc::{string::String, vec::Vec};
use bytes::Bytes;
use libp2p_proto_core::protobuf::{Limits, Reader, encode};

const TYPE: u32 = 1;
const DIAL: u32 = 2;
const DIAL_RESPONSE: u32 = 3;

/// What a server says of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// 0: an address was reached.
    Ok,
    /// 100: none was reached.
    DialError,
    /// 101: none was tried.
    DialRefused,
    /// 200: the question is none.
    BadRequest,
    /// 300: the server failed.
    InternalError,
    /// A number that the specification does not know.
    Unknown(u64),
}

impl Status {
    const fn number(self) -> u64 {
        match self {
            Self::Ok => 0,
            Self::DialError => 100,
            Self::DialRefused => 101,
            Self::BadRequest => 200,
            Self::InternalError => 300,
            Self::Unknown(number) => number,
        }
    }

    const fn of(number: u64) -> Self {
        match number {
            0 => Self::Ok,
            100 => Self::DialError,
            101 => Self::DialRefused,
            200 => Self::BadRequest,
            300 => Self::InternalError,
            other => Self::Unknown(other),
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// 0: please dial me.
    Dial {
        /// The id of the sender, as it stands.
        peer: Option<Bytes>,
        /// Its addresses, as they stand: each may be none.
        addrs: Vec<Bytes>,
    },
    /// 1: what became of it.
    Response {
        /// What.
        status: Status,
        /// Words for a person; from a peer, so not to be printed as they are.
        text: Option<String>,
        /// The address that worked, as it stands.
        addr: Option<Bytes>,
    },
}

impl Message {
    /// An answer of this status without words.
    pub const fn answer(status: Status, addr: Option<Bytes>) -> Self {
        let text = None;
        Self::Response { status, text, addr }
    }

    /// Encodes the message. Type and status are always written, also when they are 0.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, field, part) = match self {
            Self::Dial { peer, addrs } => {
                let info = encode(|out| {
                    if let Some(peer) = peer {
                        out.bytes(1, peer);
                    }
                    for addr in addrs {
                        out.bytes(2, addr);
                    }
                });
                (0, DIAL, encode(|out| out.bytes(1, &info)))
            }
            Self::Response { status, text, addr } => {
                let part = encode(|out| {
                    out.varint(1, status.number());
                    if let Some(text) = text {
                        out.string(2, text);
                    }
                    if let Some(addr) = addr {
                        out.bytes(3, addr);
                    }
                });
                (1, DIAL_RESPONSE, part)
            }
        };
        encode(|out| {
            out.varint(TYPE, kind);
            out.bytes(field, &part);
        })
    }

    /// Decodes a message. Of the listed addresses the first `max` are kept; unknown fields are skipped.
    ///
    /// # Errors
    ///
    /// See [`Malformed`].
    pub fn decode(message: &[u8], max: usize) -> Result<Self, Malformed> {
        let (mut kind, mut dial, mut response) = (None, None, None);
        let mut reader = Reader::new(message, Limits::default());
        while let Some(field) = reader.next_field()? {
            match field.number {
                TYPE => kind = Some(field.value.to_u64()?),
                DIAL => dial = Some(field.value.to_bytes()?),
                DIAL_RESPONSE => response = Some(field.value.to_bytes()?),
                _ => {}
            }
        }
        match kind.ok_or(Malformed::MissingType)? {
            0 => Self::decode_dial(reader.nested(dial.ok_or(Malformed::MissingPart)?)?, max),
            1 => Self::decode_response(reader.nested(response.ok_or(Malformed::MissingPart)?)?),
            other => Err(Malformed::UnknownType(other)),
        }
    }

    fn decode_dial(mut reader: Reader<'_>, max: usize) -> Result<Self, Malformed> {
        let mut info = None;
        while let Some(field) = reader.next_field()? {
            if field.number == 1 {
                info = Some(field.value.to_bytes()?);
            }
        }
        let mut reader = reader.nested(info.ok_or(Malformed::MissingPart)?)?;
        let (mut peer, mut addrs) = (None, Vec::new());
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => peer = Some(Bytes::copy_from_slice(field.value.to_bytes()?)),
                2 => push_addr(&mut addrs, field.value.to_bytes()?, max),
                _ => {}
            }
        }
        Ok(Self::Dial { peer, addrs })
    }

    fn decode_response(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let (mut status, mut text, mut addr) = (None, None, None);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => status = Some(Status::of(field.value.to_u64()?)),
                2 => text = Some(String::from_utf8_lossy(field.value.to_bytes()?).into_owned()),
                3 => addr = Some(Bytes::copy_from_slice(field.value.to_bytes()?)),
                _ => {}
            }
        }
        let status = status.ok_or(Malformed::MissingStatus)?;
        Ok(Self::Response { status, text, addr })
    }
}
