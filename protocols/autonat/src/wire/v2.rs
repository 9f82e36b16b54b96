//! Version 2: a question with a nonce, perhaps dial data, an answer; and the dial back that brings the nonce.

use super::push_addr;
use crate::Malformed;
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::protobuf::{Limits, ProtobufError, Reader, Value, Writer, encode};

const DIAL_REQUEST: u32 = 1;
const DIAL_RESPONSE: u32 = 2;
const DIAL_DATA_REQUEST: u32 = 3;
const DIAL_DATA_RESPONSE: u32 = 4;

/// What a server says of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResponseStatus {
    /// 0: the server failed.
    InternalError,
    /// 100: the server is busy.
    RequestRejected,
    /// 101: it dials none of these addresses.
    DialRefused,
    /// 200: it has dialed.
    Ok,
    /// A number that the specification does not know.
    Unknown(u64),
}

impl ResponseStatus {
    const fn number(self) -> u64 {
        match self {
            Self::InternalError => 0,
            Self::RequestRejected => 100,
            Self::DialRefused => 101,
            Self::Ok => 200,
            Self::Unknown(number) => number,
        }
    }

    const fn of(number: u64) -> Self {
        match number {
            0 => Self::InternalError,
            100 => Self::RequestRejected,
            101 => Self::DialRefused,
            200 => Self::Ok,
            other => Self::Unknown(other),
        }
    }
}

/// What became of the dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialStatus {
    /// 0: it says nothing.
    Unused,
    /// 100: the address could not be reached.
    DialError,
    /// 101: it was reached, but the nonce could not be brought.
    DialBackError,
    /// 200: the nonce was brought.
    Ok,
    /// A number that the specification does not know.
    Unknown(u64),
}

impl DialStatus {
    const fn number(self) -> u64 {
        match self {
            Self::Unused => 0,
            Self::DialError => 100,
            Self::DialBackError => 101,
            Self::Ok => 200,
            Self::Unknown(number) => number,
        }
    }

    const fn of(number: u64) -> Self {
        match number {
            0 => Self::Unused,
            100 => Self::DialError,
            101 => Self::DialBackError,
            200 => Self::Ok,
            other => Self::Unknown(other),
        }
    }
}

/// One message of a dial request's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Please dial one of these.
    DialRequest {
        /// Addresses as they stand, the most important first: each may be none.
        addrs: Vec<Bytes>,
        /// What the dial back must bring.
        nonce: u64,
    },
    /// What became of it.
    DialResponse {
        /// Whether there was a dial.
        status: ResponseStatus,
        /// Which address was dialed. Numbers beyond `u32` are the largest one.
        addr_idx: u32,
        /// What became of the dial.
        dial_status: DialStatus,
    },
    /// Please pay for the dial first.
    DialDataRequest {
        /// Which address is to be dialed. Numbers beyond `u32` are the largest one.
        addr_idx: u32,
        /// With so many bytes.
        num_bytes: u64,
    },
    /// A part of the payment.
    DialDataResponse {
        /// Bytes that say nothing.
        data: Bytes,
    },
}

impl Message {
    /// An answer without a dial.
    pub const fn refusal(status: ResponseStatus) -> Self {
        Self::DialResponse {
            status,
            addr_idx: 0,
            dial_status: DialStatus::Unused,
        }
    }

    /// An answer about the dial of an address.
    pub const fn dialed(addr_idx: u32, dial_status: DialStatus) -> Self {
        Self::DialResponse {
            status: ResponseStatus::Ok,
            addr_idx,
            dial_status,
        }
    }

    /// Encodes the message. What is 0 is left out, but for the nonce.
    pub fn encode(&self) -> Vec<u8> {
        let (field, part) = match self {
            Self::DialRequest { addrs, nonce } => {
                let part = encode(|out| {
                    for addr in addrs {
                        out.bytes(1, addr);
                    }
                    out.fixed64(2, *nonce);
                });
                (DIAL_REQUEST, part)
            }
            Self::DialResponse {
                status,
                addr_idx,
                dial_status,
            } => {
                let part = encode(|out| {
                    non_zero(out, 1, status.number());
                    non_zero(out, 2, (*addr_idx).into());
                    non_zero(out, 3, dial_status.number());
                });
                (DIAL_RESPONSE, part)
            }
            Self::DialDataRequest { addr_idx, num_bytes } => {
                let part = encode(|out| {
                    non_zero(out, 1, (*addr_idx).into());
                    non_zero(out, 2, *num_bytes);
                });
                (DIAL_DATA_REQUEST, part)
            }
            Self::DialDataResponse { data } => (DIAL_DATA_RESPONSE, encode(|out| out.bytes(1, data))),
        };
        encode(|out| out.bytes(field, &part))
    }

    /// Decodes a message. Of the listed addresses the first `max` are kept; unknown fields are skipped; of several parts the last one counts.
    ///
    /// # Errors
    ///
    /// See [`Malformed`].
    pub fn decode(message: &Bytes, max: usize) -> Result<Self, Malformed> {
        let mut last = None;
        let mut reader = Reader::new(message, Limits::default());
        while let Some(field) = reader.next_field()? {
            if matches!(field.number, DIAL_REQUEST..=DIAL_DATA_RESPONSE) {
                last = Some((field.number, field.value.to_bytes()?));
            }
        }
        let (number, part) = last.ok_or(Malformed::MissingPart)?;
        let reader = reader.nested(part)?;
        match number {
            DIAL_REQUEST => Self::decode_request(reader, max),
            DIAL_RESPONSE => Self::decode_response(reader),
            DIAL_DATA_REQUEST => Self::decode_data_request(reader),
            _ => Self::decode_data(reader, message),
        }
    }

    fn decode_request(mut reader: Reader<'_>, max: usize) -> Result<Self, Malformed> {
        let (mut addrs, mut nonce) = (Vec::new(), 0);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => push_addr(&mut addrs, field.value.to_bytes()?, max),
                2 => nonce = fixed64(field.value)?,
                _ => {}
            }
        }
        Ok(Self::DialRequest { addrs, nonce })
    }

    fn decode_response(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let (mut status, mut addr_idx, mut dial_status) = (0, 0, 0);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => status = field.value.to_u64()?,
                2 => addr_idx = index(field.value)?,
                3 => dial_status = field.value.to_u64()?,
                _ => {}
            }
        }
        Ok(Self::DialResponse {
            status: ResponseStatus::of(status),
            addr_idx,
            dial_status: DialStatus::of(dial_status),
        })
    }

    fn decode_data_request(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let (mut addr_idx, mut num_bytes) = (0, 0);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => addr_idx = index(field.value)?,
                2 => num_bytes = field.value.to_u64()?,
                _ => {}
            }
        }
        Ok(Self::DialDataRequest { addr_idx, num_bytes })
    }

    fn decode_data(mut reader: Reader<'_>, message: &Bytes) -> Result<Self, Malformed> {
        let mut data = Bytes::new();
        while let Some(field) = reader.next_field()? {
            if field.number == 1 {
                data = message.slice_ref(field.value.to_bytes()?);
            }
        }
        Ok(Self::DialDataResponse { data })
    }
}

/// What a dial back brings, on a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialBack {
    /// The nonce of the question; 0 if there is none.
    pub nonce: u64,
}

impl DialBack {
    /// Encodes the message: 9 bytes, which with their prefix are what rust-libp2p reads.
    pub fn encode(self) -> Vec<u8> {
        encode(|out| out.fixed64(1, self.nonce))
    }

    /// Decodes a message.
    ///
    /// # Errors
    ///
    /// See [`Malformed`].
    pub fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let mut nonce = 0;
        let mut reader = Reader::new(message, Limits::default());
        while let Some(field) = reader.next_field()? {
            if field.number == 1 {
                nonce = fixed64(field.value)?;
            }
        }
        Ok(Self { nonce })
    }
}

/// The answer to a dial back that was wanted: status 0, so an empty message.
pub const DIAL_BACK_OK: &[u8] = b"";

fn fixed64(value: Value<'_>) -> Result<u64, ProtobufError> {
    match value {
        Value::Fixed64(number) => Ok(number),
        _ => Err(ProtobufError::WrongWireType),
    }
}

fn index(value: Value<'_>) -> Result<u32, ProtobufError> {
    Ok(u32::try_from(value.to_u64()?).unwrap_or(u32::MAX))
}

fn non_zero(out: &mut Writer<'_>, number: u32, value: u64) {
    if value != 0 {
        out.varint(number, value);
    }
}
