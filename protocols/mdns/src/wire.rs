//! Messages of DNS (RFC 1035), as far as multicast DNS uses them.

use crate::{Malformed, Name};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a packet that is read (RFC 6762, § 17).
pub const MAX_DATAGRAM: usize = 9000;
/// Questions of a packet that is read.
pub const MAX_QUESTIONS: usize = 64;
/// Records of a packet that is read, in all sections.
pub const MAX_RECORDS: usize = 256;
/// Strings of one TXT record that is read.
pub const MAX_STRINGS: usize = 64;

/// Kinds of records (RFC 1035, § 3.2.2).
pub mod kind {
    /// A host's IPv4 address.
    pub const A: u16 = 1;
    /// A pointer to a name.
    pub const PTR: u16 = 12;
    /// Strings.
    pub const TXT: u16 = 16;
    /// A host's IPv6 address.
    pub const AAAA: u16 = 28;
    /// Host and port of a service (RFC 2782).
    pub const SRV: u16 = 33;
    /// In a question: all kinds.
    pub const ANY: u16 = 255;
}

/// Classes, without their top bit.
pub mod class {
    /// The internet.
    pub const IN: u16 = 1;
    /// In a question: all classes.
    pub const ANY: u16 = 255;
}

/// The top bit of a class: in a question, that a reply may come by unicast (RFC 6762, § 5.4); in a record, that it replaces what was known (§ 10.2).
const TOP: u16 = 0x8000;
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
const RCODE: u16 = 0x000f;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub name: Name,
    /// Which kind of records; see [`kind`].
    pub kind: u16,
    /// Of which class, without the top bit; see [`class`].
    pub class: u16,
    /// Whether the reply may come by unicast.
    pub unicast: bool,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: Name,
    /// Its class, without the top bit; see [`class`].
    pub class: u16,
    /// Whether it replaces what was known.
    pub flush: bool,
    /// How long it holds, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// [`kind::PTR`]
    Ptr(Name),
    /// [`kind::TXT`]: strings of at most 255 bytes, each behind its length.
    Txt(Vec<u8>),
    /// [`kind::SRV`]
    Srv {
        /// Lower ones are tried first.
        priority: u16,
        /// Share among those of equal priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: Name,
    },
    /// [`kind::A`] or [`kind::AAAA`]
    Address(IpAddr),
    /// Any other kind, or class.
    Other {
        /// The kind.
        kind: u16,
        /// The bytes, which may hold names that are compressed against the packet.
        data: Vec<u8>,
    },
}

impl Data {
    /// The record of strings; those of more than 255 bytes are left out.
    pub fn txt<'a>(strings: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut data = Vec::new();
        for string in strings {
            if let Ok(len) = u8::try_from(string.len()) {
                data.push(len);
                data.extend_from_slice(string);
            }
        }
        Self::Txt(data)
    }

    /// The strings of a [`Txt`](Self::Txt), nothing for others.
    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = match self {
            Self::Txt(data) => data.as_slice(),
            _ => &[],
        };
        core::iter::from_fn(move || {
            let (len, behind) = rest.split_first()?;
            let (string, behind) = behind.split_at_checked(usize::from(*len))?;
            rest = behind;
            Some(string)
        })
    }

    /// The kind; see [`kind`].
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Ptr(_) => kind::PTR,
            Self::Txt(_) => kind::TXT,
            Self::Srv { .. } => kind::SRV,
            Self::Address(IpAddr::V4(_)) => kind::A,
            Self::Address(IpAddr::V6(_)) => kind::AAAA,
            Self::Other { kind, .. } => *kind,
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Ptr(name) => name.encoded_len(),
            Self::Txt(data) | Self::Other { data, .. } => data.len(),
            Self::Srv { target, .. } => target.encoded_len().saturating_add(6),
            Self::Address(IpAddr::V4(_)) => 4,
            Self::Address(IpAddr::V6(_)) => 16,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ptr(name) => name.encode(out),
            Self::Txt(data) | Self::Other { data, .. } => out.extend_from_slice(data),
            Self::Srv {
                priority,
                weight,
                port,
                target,
            } => {
                for number in [priority, weight, port] {
                    out.extend_from_slice(&number.to_be_bytes());
                }
                target.encode(out);
            }
            Self::Address(IpAddr::V4(ip)) => out.extend_from_slice(&ip.octets()),
            Self::Address(IpAddr::V6(ip)) => out.extend_from_slice(&ip.octets()),
        }
    }
}

impl Record {
    /// Bytes of the record as it is written.
    pub fn encoded_len(&self) -> usize {
        // Kind, class, time to live, length.
        let fixed = 10;
        self.name
            .encoded_len()
            .saturating_add(fixed)
            .saturating_add(self.data.encoded_len())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.name.encode(out);
        let top = if self.flush { TOP } else { 0 };
        out.extend_from_slice(&self.data.kind().to_be_bytes());
        out.extend_from_slice(&(self.class | top).to_be_bytes());
        out.extend_from_slice(&self.ttl.to_be_bytes());
        // A datagram is shorter than 64 KiB, and is refused before it is sent if it is not.
        let len = u16::try_from(self.data.encoded_len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&len.to_be_bytes());
        self.data.encode(out);
    }
}

impl Question {
    /// Bytes of the question as it is written.
    pub fn encoded_len(&self) -> usize {
        self.name.encoded_len().saturating_add(4)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.name.encode(out);
        let top = if self.unicast { TOP } else { 0 };
        out.extend_from_slice(&self.kind.to_be_bytes());
        out.extend_from_slice(&(self.class | top).to_be_bytes());
    }
}

/// A query or a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The identifier: zero, but for replies to resolvers that know no multicast.
    pub id: u16,
    /// Whether it answers.
    pub response: bool,
    /// Whether more of it follows in the next packet.
    pub truncated: bool,
    /// Whether it is an ordinary query or a successful response: operation and response code are zero.
    pub ordinary: bool,
    /// What is asked.
    pub questions: Vec<Question>,
    /// The answers; in a query, what is known already.
    pub answers: Vec<Record>,
    /// Written by those who probe a name.
    pub authorities: Vec<Record>,
    /// What may be of use beside the answers.
    pub additionals: Vec<Record>,
}

impl Message {
    /// Bytes of a message without questions and records.
    pub const HEADER: usize = 12;

    /// An empty query.
    pub fn query() -> Self {
        Self {
            ordinary: true,
            ..Self::default()
        }
    }

    /// An empty response.
    pub fn response() -> Self {
        Self {
            response: true,
            ..Self::query()
        }
    }

    /// Writes the message, names without compression. Responses are authoritative. Sections hold at most 65 535 entries; more are counted as that.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut flags = 0;
        if self.response {
            flags |= RESPONSE | AUTHORITATIVE;
        }
        if self.truncated {
            flags |= TRUNCATED;
        }
        if !self.ordinary {
            flags |= OPCODE;
        }
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&flags.to_be_bytes());
        for count in [
            self.questions.len(),
            self.answers.len(),
            self.authorities.len(),
            self.additionals.len(),
        ] {
            out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
        }
        for question in &self.questions {
            question.encode(&mut out);
        }
        for record in self.records() {
            record.encode(&mut out);
        }
        out
    }

    /// The records of all sections.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.answers
            .iter()
            .chain(&self.authorities)
            .chain(&self.additionals)
    }

    /// Reads a whole packet. Nothing is believed of a packet that is wrong anywhere.
    ///
    /// # Errors
    ///
    /// See [`Malformed`].
    pub fn decode(packet: &[u8]) -> Result<Self, Malformed> {
        if packet.len() > MAX_DATAGRAM {
            return Err(Malformed::TooLarge);
        }
        let mut reader = Reader { packet, at: 0 };
        let [id, flags, questions, answers, authorities, additionals] = reader.header()?;
        if usize::from(questions) > MAX_QUESTIONS {
            return Err(Malformed::TooManyQuestions);
        }
        let records = [answers, authorities, additionals].map(usize::from);
        if records.iter().sum::<usize>() > MAX_RECORDS {
            return Err(Malformed::TooManyRecords);
        }
        let questions = (0..questions)
            .map(|_| reader.question())
            .collect::<Result<_, _>>()?;
        let [answers, authorities, additionals] = records;
        let message = Self {
            id,
            response: flags & RESPONSE != 0,
            truncated: flags & TRUNCATED != 0,
            ordinary: flags & (OPCODE | RCODE) == 0,
            questions,
            answers: reader.records(answers)?,
            authorities: reader.records(authorities)?,
            additionals: reader.records(additionals)?,
        };
        if reader.at != packet.len() {
            return Err(Malformed::TrailingBytes);
        }
        Ok(message)
    }
}

/// A place in a packet.
struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.saturating_add(len);
        let bytes = self.packet.get(self.at..end).ok_or(Malformed::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed::Truncated)
    }

    fn number(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    fn name(&mut self) -> Result<Name, Malformed> {
        Name::decode(self.packet, &mut self.at)
    }

    fn header(&mut self) -> Result<[u16; 6], Malformed> {
        let mut numbers = [0; 6];
        for number in &mut numbers {
            *number = self.number()?;
        }
        Ok(numbers)
    }

    fn question(&mut self) -> Result<Question, Malformed> {
        let name = self.name()?;
        let (kind, class) = (self.number()?, self.number()?);
        Ok(Question {
            name,
            kind,
            class: class & !TOP,
            unicast: class & TOP != 0,
        })
    }

    fn records(&mut self, count: usize) -> Result<Vec<Record>, Malformed> {
        (0..count).map(|_| self.record()).collect()
    }

    fn record(&mut self) -> Result<Record, Malformed> {
        let name = self.name()?;
        let (kind, class) = (self.number()?, self.number()?);
        let ttl = self.array().map(u32::from_be_bytes)?;
        let len = self.number()?;
        let end = self.at.saturating_add(usize::from(len));
        if end > self.packet.len() {
            return Err(Malformed::Truncated);
        }
        let data = if class & !TOP == class::IN {
            self.data(kind, usize::from(len))?
        } else {
            self.other(kind, usize::from(len))?
        };
        if self.at != end {
            return Err(Malformed::BadData(kind));
        }
        Ok(Record {
            name,
            class: class & !TOP,
            flush: class & TOP != 0,
            ttl,
            data,
        })
    }

    fn data(&mut self, kind: u16, len: usize) -> Result<Data, Malformed> {
        Ok(match kind {
            kind::PTR => Data::Ptr(self.name()?),
            kind::TXT => {
                let data = Data::Txt(self.take(len)?.to_vec());
                let lens = data
                    .strings()
                    .map(|string| string.len().saturating_add(1))
                    .sum::<usize>();
                if lens != len {
                    return Err(Malformed::BadData(kind));
                }
                if data.strings().count() > MAX_STRINGS {
                    return Err(Malformed::TooManyStrings);
                }
                data
            }
            kind::SRV => Data::Srv {
                priority: self.number()?,
                weight: self.number()?,
                port: self.number()?,
                target: self.name()?,
            },
            kind::A if len == 4 => Data::Address(Ipv4Addr::from(self.array::<4>()?).into()),
            kind::AAAA if len == 16 => Data::Address(Ipv6Addr::from(self.array::<16>()?).into()),
            kind::A | kind::AAAA => return Err(Malformed::BadData(kind)),
            _ => self.other(kind, len)?,
        })
    }

    fn other(&mut self, kind: u16, len: usize) -> Result<Data, Malformed> {
        Ok(Data::Other {
            kind,
            data: self.take(len)?.to_vec(),
        })
    }
}
