//! The one message, in protobuf.

use crate::WireError;
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{
    Multiaddr,
    protobuf::{Limits, Reader, bytes_field_len, encode},
};

/// Addresses that are read of one message: 4 096 bytes hold hardly more.
const MAX_ADDRS: usize = 256;
const CONNECT: u64 = 100;
const SYNC: u64 = 300;

/// What the two ends say over the relayed connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HolePunch {
    /// Where the sender may be reached. Addresses that don't parse are skipped when it is read.
    Connect {
        /// The addresses, the likely ones first.
        addrs: Vec<Multiaddr>,
    },
    /// Now. Addresses in it mean nothing.
    Sync,
}

impl HolePunch {
    /// The message, without length in front.
    pub fn encode(&self) -> Vec<u8> {
        encode(|writer| match self {
            Self::Connect { addrs } => {
                writer.varint(1, CONNECT);
                for addr in addrs {
                    writer.bytes(2, addr.as_bytes());
                }
            }
            Self::Sync => writer.varint(1, SYNC),
        })
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// See [`WireError`].
    pub fn decode(message: &[u8]) -> Result<Self, WireError> {
        let (mut kind, mut addrs) = (None, Vec::new());
        let mut reader = Reader::new(message, Limits::default());
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => kind = Some(field.value.to_u64()?),
                2 if addrs.len() < MAX_ADDRS => {
                    let bytes = Bytes::copy_from_slice(field.value.to_bytes()?);
                    addrs.extend(Multiaddr::from_bytes(bytes).ok());
                }
                _ => {}
            }
        }
        match kind.ok_or(WireError::NoType)? {
            CONNECT => Ok(Self::Connect { addrs }),
            SYNC => Ok(Self::Sync),
            _ => Err(WireError::UnknownType),
        }
    }
}

/// As many of these addresses, from the first on, as a CONNECT of `max` bytes holds.
pub(crate) fn fitting(mut addrs: Vec<Multiaddr>, max: usize) -> Vec<Multiaddr> {
    let mut left = max.saturating_sub(2);
    let fit = addrs.iter().take_while(|addr| {
        let len = bytes_field_len(2, addr.as_bytes().len());
        let fits = len <= left;
        left = left.saturating_sub(len);
        fits
    });
    let fit = fit.count();
    addrs.truncate(fit);
    addrs
}
