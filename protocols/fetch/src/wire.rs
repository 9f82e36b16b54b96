//! The two messages of fetch, in protobuf.

use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::protobuf::{Limits, Reader, Value, Writer};
use libp2p_proto_stream_protocol::Closed;

/// What a fetch ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The value of the key.
    Value(Bytes),
    /// The peer has no value for the key.
    NotFound,
    /// The peer answers with this error status.
    Error(u64),
    /// The stream ended without an answer.
    Failed(Closed),
}

const OK: u64 = 0;
const NOT_FOUND: u64 = 1;

/// Field 1: the key.
pub(crate) fn request(key: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).string(1, key);
    out
}

pub(crate) fn read_request(data: &[u8]) -> Option<&str> {
    let mut reader = Reader::new(data, Limits::default());
    let mut key = "";
    while let Some(field) = reader.next_field().ok()? {
        if let (1, Value::Bytes(bytes)) = (field.number, field.value) {
            key = core::str::from_utf8(bytes).ok()?;
        }
    }
    Some(key)
}

/// Field 1: the status; field 2: the value.
pub(crate) fn response(value: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    match value {
        Some(value) => {
            writer.varint(1, OK);
            writer.bytes(2, value);
        }
        None => writer.varint(1, NOT_FOUND),
    }
    out
}

pub(crate) fn read_response(data: &[u8]) -> Option<Answer> {
    let mut reader = Reader::new(data, Limits::default());
    let (mut status, mut value) = (OK, Bytes::new());
    while let Some(field) = reader.next_field().ok()? {
        match (field.number, field.value) {
            (1, Value::Varint(number)) => status = number,
            (2, Value::Bytes(bytes)) => value = Bytes::copy_from_slice(bytes),
            _ => {}
        }
    }
    Some(match status {
        OK => Answer::Value(value),
        NOT_FOUND => Answer::NotFound,
        other => Answer::Error(other),
    })
}
