//! The twelve bytes in front of every frame.

use crate::Error;
use libp2p_proto_core::TransmitBuf;

/// Bytes of a header.
pub(crate) const HEADER: usize = 12;

pub(crate) const SYN: u16 = 1;
pub(crate) const ACK: u16 = 2;
pub(crate) const FIN: u16 = 4;
pub(crate) const RST: u16 = 8;

/// Codes of a go-away frame.
pub(crate) const NORMAL: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    WindowUpdate,
    Ping,
    GoAway,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) flags: u16,
    pub(crate) stream: u32,
    pub(crate) length: u32,
}

impl Header {
    pub(crate) const fn new(kind: Kind, flags: u16, stream: u32, length: u32) -> Self {
        Self {
            kind,
            flags,
            stream,
            length,
        }
    }

    pub(crate) const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Bytes that follow, and the number of a window update.
    pub(crate) const fn body_and_increment(&self) -> (u32, u32) {
        match self.kind {
            Kind::Data => (self.length, 0),
            _ => (0, self.length),
        }
    }

    /// Reads a header, and checks that its stream id fits its type.
    pub(crate) fn decode(bytes: [u8; HEADER]) -> Result<Self, Error> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = bytes;
        if version != 0 {
            return Err(Error::BadVersion(version));
        }
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::WindowUpdate,
            2 => Kind::Ping,
            3 => Kind::GoAway,
            other => return Err(Error::BadType(other)),
        };
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        let on_session = matches!(kind, Kind::Ping | Kind::GoAway);
        if on_session != (stream == 0) {
            return Err(Error::BadStreamId(stream));
        }
        Ok(Self {
            kind,
            flags: u16::from_be_bytes([f0, f1]),
            stream,
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }

    /// Appends the header, or nothing and answers `false` if it does not fit.
    pub(crate) fn write(&self, out: &mut TransmitBuf<'_>) -> bool {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::WindowUpdate => 1,
            Kind::Ping => 2,
            Kind::GoAway => 3,
        };
        let [f0, f1] = self.flags.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        out.put(&[0, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3])
    }
}
