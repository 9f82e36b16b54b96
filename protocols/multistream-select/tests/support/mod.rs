//! What the tests share.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part")]

use libp2p_proto_core::{ProtocolName, TransmitBuf};
use libp2p_proto_multistream_select::{Error, Names, Negotiation};

pub const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";
pub const NA: &[u8] = b"\x03na\n";
pub const PING: ProtocolName = ProtocolName::from_static("/ipfs/ping/1.0.0");
pub const ID: ProtocolName = ProtocolName::from_static("/ipfs/id/1.0.0");
pub const NOISE: ProtocolName = ProtocolName::from_static("/noise");

/// A message with this text.
pub fn line(text: &[u8]) -> Vec<u8> {
    let len = text.len() + 1;
    let prefix = if len < 0x80 {
        vec![u8::try_from(len).unwrap()]
    } else {
        vec![
            u8::try_from(len & 0x7f).unwrap() | 0x80,
            u8::try_from(len >> 7).unwrap(),
        ]
    };
    [&prefix[..], text, b"\n"].concat()
}

/// The header and messages with these texts.
pub fn said(texts: &[&[u8]]) -> Vec<u8> {
    texts
        .iter()
        .fold(HEADER.to_vec(), |wire, text| [wire, line(text)].concat())
}

/// Everything that is due.
pub fn take(from: &mut Negotiation, names: &impl Names) -> Vec<u8> {
    let mut wire = Vec::new();
    while from.poll_transmit(names, &mut TransmitBuf::new(&mut wire, 65_536)) {}
    wire
}

/// Hands all of it in, and answers how much was taken.
pub fn give(to: &mut Negotiation, wire: &[u8], names: &impl Names) -> Result<usize, Error> {
    to.handle_input(wire, names)
}

/// A name of exactly so many bytes.
pub fn name(len: usize) -> ProtocolName {
    ProtocolName::new(&format!("/{}", "x".repeat(len - 1))).unwrap()
}
