//! The hop and stop messages, in protobuf.

use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{
    Fault, Multiaddr, PeerId,
    protobuf::{Field, Limits, ProtobufError, Reader, encode},
};

/// Addresses that are kept of one reservation; so it is in go-libp2p.
const MAX_ADDRS: usize = 100;

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Status {
    /// 100.
    Ok,
    /// 200: no slot, or too many from this address.
    ReservationRefused,
    /// 201: too many circuits, or too many requests.
    ResourceLimitExceeded,
    /// 202: not allowed, or asked over a relayed connection.
    PermissionDenied,
    /// 203: the target could not be reached, or refused.
    ConnectionFailed,
    /// 204: the target has no reservation.
    NoReservation,
    /// 400.
    MalformedMessage,
    /// 401.
    UnexpectedMessage,
    /// Any other number. It counts as a failure.
    Other(u64),
}

impl Status {
    /// The number on the wire.
    pub const fn code(self) -> u64 {
        match self {
            Self::Ok => 100,
            Self::ReservationRefused => 200,
            Self::ResourceLimitExceeded => 201,
            Self::PermissionDenied => 202,
            Self::ConnectionFailed => 203,
            Self::NoReservation => 204,
            Self::MalformedMessage => 400,
            Self::UnexpectedMessage => 401,
            Self::Other(code) => code,
        }
    }

    /// The status with this number.
    pub const fn from_code(code: u64) -> Self {
        match code {
            100 => Self::Ok,
            200 => Self::ReservationRefused,
            201 => Self::ResourceLimitExceeded,
            202 => Self::PermissionDenied,
            203 => Self::ConnectionFailed,
            204 => Self::NoReservation,
            400 => Self::MalformedMessage,
            401 => Self::UnexpectedMessage,
            code => Self::Other(code),
        }
    }

    /// The cause in one word, for the error of a dial.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ReservationRefused => "reservation-refused",
            Self::ResourceLimitExceeded => "resource-limit-exceeded",
            Self::PermissionDenied => "permission-denied",
            Self::ConnectionFailed => "connection-failed",
            Self::NoReservation => "no-reservation",
            Self::MalformedMessage => "malformed-message",
            Self::UnexpectedMessage => "unexpected-message",
            Self::Other(_) => "unknown-status",
        }
    }
}

/// How much a circuit may carry. Zeros stand for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Seconds from the joining on.
    pub duration: u32,
    /// Bytes in each direction.
    pub data: u64,
}

impl Limit {
    /// Whether nothing is limited.
    pub const fn is_unlimited(self) -> bool {
        self.duration == 0 && self.data == 0
    }

    /// How long a circuit may stand.
    pub const fn time(self) -> Option<Duration> {
        match self.duration {
            0 => None,
            secs => Some(Duration::from_secs(secs as u64)),
        }
    }

    /// Bytes that may pass each way.
    pub const fn bytes(self) -> u64 {
        if self.data == 0 { u64::MAX } else { self.data }
    }

    fn encode(self) -> Vec<u8> {
        encode(|writer| {
            if self.duration > 0 {
                writer.varint(1, u64::from(self.duration));
            }
            if self.data > 0 {
                writer.varint(2, self.data);
            }
        })
    }

    fn decode(mut reader: Reader<'_>) -> Result<Self, ProtobufError> {
        let mut limit = Self::default();
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => limit.duration = u32::try_from(field.value.to_u64()?).unwrap_or(u32::MAX),
                2 => limit.data = field.value.to_u64()?,
                _ => {}
            }
        }
        Ok(limit)
    }
}

/// A slot at a relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    /// When it ends, in seconds since 1970.
    pub expire: u64,
    /// The relay's addresses. Those that don't parse are skipped, and 100 are kept.
    pub addrs: Vec<Multiaddr>,
    /// A signed envelope, not verified.
    pub voucher: Option<Bytes>,
}

impl Reservation {
    fn encode(&self) -> Vec<u8> {
        encode(|writer| {
            writer.varint(1, self.expire);
            for addr in &self.addrs {
                writer.bytes(2, addr.as_bytes());
            }
            if let Some(voucher) = &self.voucher {
                writer.bytes(3, voucher);
            }
        })
    }

    fn decode(mut reader: Reader<'_>) -> Result<Self, ProtobufError> {
        let mut reservation = Self::default();
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => reservation.expire = field.value.to_u64()?,
                2 if reservation.addrs.len() < MAX_ADDRS => {
                    let bytes = Bytes::copy_from_slice(field.value.to_bytes()?);
                    reservation.addrs.extend(Multiaddr::from_bytes(bytes).ok());
                }
                3 => reservation.voucher = Some(Bytes::copy_from_slice(field.value.to_bytes()?)),
                _ => {}
            }
        }
        Ok(reservation)
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It is no protobuf.
    #[error("malformed message: {0}")]
    Protobuf(#[from] ProtobufError),
    /// The type is missing.
    #[error("no type")]
    NoType,
    /// The type is none that is known.
    #[error("unknown type")]
    UnknownType,
    /// The peer is missing, or has no valid id.
    #[error("no peer")]
    NoPeer,
}

impl WireError {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        Fault::Peer
    }
}

/// Between a client and a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HopMessage {
    /// The client asks for a slot.
    Reserve,
    /// The client asks for a circuit.
    Connect {
        /// To this peer.
        peer: PeerId,
    },
    /// The relay answers.
    Status {
        /// How.
        status: Status,
        /// The slot, if that was asked for.
        reservation: Option<Reservation>,
        /// What circuits may carry.
        limit: Limit,
    },
}

impl HopMessage {
    /// An answer without more.
    pub const fn status(status: Status) -> Self {
        Self::Status {
            status,
            reservation: None,
            limit: Limit { duration: 0, data: 0 },
        }
    }

    /// The message, without length in front.
    pub fn encode(&self) -> Vec<u8> {
        encode(|writer| match self {
            Self::Reserve => writer.varint(1, 0),
            Self::Connect { peer } => {
                writer.varint(1, 1);
                writer.bytes(2, &encode_peer(peer));
            }
            Self::Status {
                status,
                reservation,
                limit,
            } => {
                writer.varint(1, 2);
                if let Some(reservation) = reservation {
                    writer.bytes(3, &reservation.encode());
                }
                if !limit.is_unlimited() {
                    writer.bytes(4, &limit.encode());
                }
                writer.varint(5, status.code());
            }
        })
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// See [`WireError`].
    pub fn decode(message: &[u8]) -> Result<Self, WireError> {
        let (mut kind, mut peer, mut reservation) = (None, None, None);
        let (mut limit, mut status) = (Limit::default(), Status::Other(0));
        let mut reader = Reader::new(message, Limits::default());
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => kind = Some(field.value.to_u64()?),
                2 => peer = decode_peer(&reader, field)?,
                3 => reservation = Some(Reservation::decode(nested(&reader, field)?)?),
                4 => limit = Limit::decode(nested(&reader, field)?)?,
                5 => status = Status::from_code(field.value.to_u64()?),
                _ => {}
            }
        }
        match kind.ok_or(WireError::NoType)? {
            0 => Ok(Self::Reserve),
            1 => Ok(Self::Connect {
                peer: peer.ok_or(WireError::NoPeer)?,
            }),
            2 => Ok(Self::Status {
                status,
                reservation,
                limit,
            }),
            _ => Err(WireError::UnknownType),
        }
    }
}

/// Between a relay and a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopMessage {
    /// The relay asks to accept a circuit.
    Connect {
        /// From this peer, as far as the relay says.
        peer: PeerId,
        /// What it may carry.
        limit: Limit,
    },
    /// The target answers.
    Status {
        /// How.
        status: Status,
    },
}

impl StopMessage {
    /// The message, without length in front.
    pub fn encode(&self) -> Vec<u8> {
        encode(|writer| match self {
            Self::Connect { peer, limit } => {
                writer.varint(1, 0);
                writer.bytes(2, &encode_peer(peer));
                if !limit.is_unlimited() {
                    writer.bytes(3, &limit.encode());
                }
            }
            Self::Status { status } => {
                writer.varint(1, 1);
                writer.varint(4, status.code());
            }
        })
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// See [`WireError`].
    pub fn decode(message: &[u8]) -> Result<Self, WireError> {
        let (mut kind, mut peer) = (None, None);
        let (mut limit, mut status) = (Limit::default(), Status::Other(0));
        let mut reader = Reader::new(message, Limits::default());
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => kind = Some(field.value.to_u64()?),
                2 => peer = decode_peer(&reader, field)?,
                3 => limit = Limit::decode(nested(&reader, field)?)?,
                4 => status = Status::from_code(field.value.to_u64()?),
                _ => {}
            }
        }
        match kind.ok_or(WireError::NoType)? {
            0 => Ok(Self::Connect {
                peer: peer.ok_or(WireError::NoPeer)?,
                limit,
            }),
            1 => Ok(Self::Status { status }),
            _ => Err(WireError::UnknownType),
        }
    }
}

fn encode_peer(peer: &PeerId) -> Vec<u8> {
    encode(|writer| writer.bytes(1, peer.as_bytes()))
}

/// The id of a peer; `None` if it is missing or not valid. Its addresses are nothing to us.
fn decode_peer(outer: &Reader<'_>, field: Field<'_>) -> Result<Option<PeerId>, ProtobufError> {
    let mut reader = nested(outer, field)?;
    let mut peer = None;
    while let Some(field) = reader.next_field()? {
        if field.number == 1 {
            peer = PeerId::from_bytes(field.value.to_bytes()?).ok();
        }
    }
    Ok(peer)
}

fn nested<'a>(outer: &Reader<'a>, field: Field<'a>) -> Result<Reader<'a>, ProtobufError> {
    outer.nested(field.value.to_bytes()?)
}
