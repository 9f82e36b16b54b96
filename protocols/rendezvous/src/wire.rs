//! The messages, in protobuf.

use crate::Malformed;
use alloc::{sync::Arc, vec::Vec};
use bytes::Bytes;
use libp2p_proto_core::protobuf::{Limits, Reader, Value, Writer, bytes_field_len, encode};

const TYPE: u32 = 1;
const REGISTER: u32 = 2;
const REGISTER_RESPONSE: u32 = 3;
const UNREGISTER: u32 = 4;
const DISCOVER: u32 = 5;
const DISCOVER_RESPONSE: u32 = 6;

/// The most that the fields around the registrations of an answer may take: type, cookie, status, and the length of the whole.
const ANSWER_FRAME: usize = 512;

/// What an answer says of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// 0: done.
    Ok,
    /// 100: the namespace is empty or longer than 255 bytes.
    InvalidNamespace,
    /// 101: the signed peer record is not valid.
    InvalidSignedPeerRecord,
    /// 102: the time to live is too short or too long.
    InvalidTtl,
    /// 103: the cookie is not one, or of another namespace.
    InvalidCookie,
    /// 200: the peer may not register this.
    NotAuthorized,
    /// 300: the server failed.
    InternalError,
    /// 400: a limit of the server is reached.
    Unavailable,
    /// A number that the specification does not know.
    Unknown(u64),
}

impl Status {
    const fn number(self) -> u64 {
        match self {
            Self::Ok => 0,
            Self::InvalidNamespace => 100,
            Self::InvalidSignedPeerRecord => 101,
            Self::InvalidTtl => 102,
            Self::InvalidCookie => 103,
            Self::NotAuthorized => 200,
            Self::InternalError => 300,
            Self::Unavailable => 400,
            Self::Unknown(number) => number,
        }
    }

    const fn of(number: u64) -> Self {
        match number {
            0 => Self::Ok,
            100 => Self::InvalidNamespace,
            101 => Self::InvalidSignedPeerRecord,
            102 => Self::InvalidTtl,
            103 => Self::InvalidCookie,
            200 => Self::NotAuthorized,
            300 => Self::InternalError,
            400 => Self::Unavailable,
            other => Self::Unknown(other),
        }
    }
}

/// A peer's record under a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// The namespace; empty if the message has none.
    pub namespace: Arc<str>,
    /// The signed peer record: an envelope that nobody has verified yet.
    pub record: Bytes,
    /// How long it holds, in seconds.
    pub ttl: Option<u64>,
}

impl Registration {
    fn encode(&self) -> Vec<u8> {
        encode(|out| {
            out.string(1, &self.namespace);
            out.bytes(2, &self.record);
            if let Some(ttl) = self.ttl {
                out.varint(3, ttl);
            }
        })
    }

    fn decode(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => read.namespace = field.value.to_str()?.into(),
                2 => read.record = Bytes::copy_from_slice(field.value.to_bytes()?),
                3 => read.ttl = Some(field.value.to_u64()?),
                _ => {}
            }
        }
        Ok(read)
    }

    /// Bytes that the registration takes in an answer.
    pub(crate) fn encoded_len(&self) -> usize {
        bytes_field_len(1, self.encode().len())
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// 0: register the sender.
    Register(Registration),
    /// 1: what became of it.
    RegisterResponse {
        /// Whether it is registered.
        status: Status,
        /// The granted time, in seconds.
        ttl: Option<u64>,
    },
    /// 2: forget the sender's registration. Not answered.
    Unregister {
        /// The namespace.
        namespace: Arc<str>,
    },
    /// 3: who is registered?
    Discover {
        /// The namespace; empty for all of them.
        namespace: Arc<str>,
        /// The most registrations that the sender wants.
        limit: Option<u64>,
        /// Where an earlier answer ended; empty for the beginning.
        cookie: Bytes,
    },
    /// 4: who is.
    DiscoverResponse {
        /// Whether there is an answer.
        status: Status,
        /// The registrations.
        registrations: Vec<Registration>,
        /// Where the answer ends.
        cookie: Bytes,
    },
}

impl Message {
    /// Encodes the message. Type and status are always written: others require them although they are 0.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, field, part) = match self {
            Self::Register(registration) => (0, REGISTER, registration.encode()),
            Self::RegisterResponse { status, ttl } => {
                let part = encode(|out| {
                    out.varint(1, status.number());
                    if let Some(ttl) = ttl {
                        out.varint(3, *ttl);
                    }
                });
                (1, REGISTER_RESPONSE, part)
            }
            Self::Unregister { namespace } => (2, UNREGISTER, encode(|out| out.string(1, namespace))),
            Self::Discover {
                namespace,
                limit,
                cookie,
            } => {
                let part = encode(|out| {
                    if !namespace.is_empty() {
                        out.string(1, namespace);
                    }
                    if let Some(limit) = limit {
                        out.varint(2, *limit);
                    }
                    non_empty(out, 3, cookie);
                });
                (3, DISCOVER, part)
            }
            Self::DiscoverResponse {
                status,
                registrations,
                cookie,
            } => {
                let part = encode(|out| {
                    for registration in registrations {
                        out.bytes(1, &registration.encode());
                    }
                    non_empty(out, 2, cookie);
                    out.varint(3, status.number());
                });
                (4, DISCOVER_RESPONSE, part)
            }
        };
        encode(|out| {
            out.varint(TYPE, kind);
            out.bytes(field, &part);
        })
    }

    /// Decodes a message. Of an answer's registrations at most `max` are kept, and those that are none are left out alone; unknown fields are skipped.
    ///
    /// # Errors
    ///
    /// See [`Malformed`].
    pub fn decode(message: &[u8], max: usize) -> Result<Self, Malformed> {
        let mut kind = None;
        let mut parts = [None; 7];
        let mut reader = Reader::new(message, Limits::default());
        while let Some(field) = reader.next_field()? {
            match field.number {
                TYPE => kind = Some(field.value.to_u64()?),
                REGISTER..=DISCOVER_RESPONSE => {
                    let part = parts.get_mut(usize::try_from(field.number).unwrap_or(0));
                    *part.ok_or(Malformed::MissingPart)? = Some(field.value.to_bytes()?);
                }
                _ => {}
            }
        }
        let part = |field: u32| {
            let part = parts.get(usize::try_from(field).unwrap_or(0)).copied().flatten();
            Ok::<_, Malformed>(reader.nested(part.ok_or(Malformed::MissingPart)?)?)
        };
        match kind.ok_or(Malformed::MissingType)? {
            0 => Registration::decode(part(REGISTER)?).map(Self::Register),
            1 => Self::decode_register_response(part(REGISTER_RESPONSE)?),
            2 => Ok(Self::Unregister {
                namespace: Registration::decode_namespace(part(UNREGISTER)?)?,
            }),
            3 => Self::decode_discover(part(DISCOVER)?),
            4 => Self::decode_discover_response(part(DISCOVER_RESPONSE)?, max),
            other => Err(Malformed::UnknownType(other)),
        }
    }

    fn decode_register_response(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let (mut status, mut ttl) = (None, None);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => status = Some(Status::of(field.value.to_u64()?)),
                3 => ttl = Some(field.value.to_u64()?),
                _ => {}
            }
        }
        let status = status.ok_or(Malformed::MissingStatus)?;
        Ok(Self::RegisterResponse { status, ttl })
    }

    fn decode_discover(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let (mut namespace, mut limit, mut cookie) = (Arc::default(), None, Bytes::new());
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => namespace = field.value.to_str()?.into(),
                2 => limit = Some(field.value.to_u64()?),
                3 => cookie = Bytes::copy_from_slice(field.value.to_bytes()?),
                _ => {}
            }
        }
        Ok(Self::Discover {
            namespace,
            limit,
            cookie,
        })
    }

    fn decode_discover_response(mut reader: Reader<'_>, max: usize) -> Result<Self, Malformed> {
        let (mut status, mut registrations, mut cookie) = (None, Vec::new(), Bytes::new());
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 if registrations.len() < max => {
                    let registration = reader.nested(field.value.to_bytes()?)?;
                    registrations.extend(Registration::decode(registration).ok());
                }
                2 => cookie = Bytes::copy_from_slice(field.value.to_bytes()?),
                3 => status = Some(Status::of(field.value.to_u64()?)),
                _ => {}
            }
        }
        Ok(Self::DiscoverResponse {
            status: status.ok_or(Malformed::MissingStatus)?,
            registrations,
            cookie,
        })
    }
}

impl Registration {
    fn decode_namespace(mut reader: Reader<'_>) -> Result<Arc<str>, Malformed> {
        let mut namespace = Arc::default();
        while let Some(field) = reader.next_field()? {
            if let (1, Value::Bytes(_)) = (field.number, field.value) {
                namespace = field.value.to_str()?.into();
            }
        }
        Ok(namespace)
    }
}

/// What is left for registrations in an answer of at most `max` bytes.
pub(crate) const fn room_for_registrations(max: usize) -> usize {
    max.saturating_sub(ANSWER_FRAME)
}

fn non_empty(out: &mut Writer<'_>, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.bytes(number, bytes);
    }
}
