//! A name server of one thread, for tests of resolvers: it knows a few names, and answers over UDP on loopback.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
};

/// One record.
#[derive(Clone, Debug)]
pub enum Record {
    /// A or AAAA.
    Ip(IpAddr),
    /// TXT, of one or more strings.
    Txt(Vec<String>),
}

const A: u16 = 1;
const TXT: u16 = 16;
const AAAA: u16 = 28;

impl Record {
    fn kind(&self) -> u16 {
        match self {
            Self::Ip(IpAddr::V4(_)) => A,
            Self::Ip(IpAddr::V6(_)) => AAAA,
            Self::Txt(_) => TXT,
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.octets().to_vec(),
            Self::Ip(IpAddr::V6(ip)) => ip.octets().to_vec(),
            Self::Txt(strings) => strings
                .iter()
                .flat_map(|text| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat())
                .collect(),
        }
    }
}

/// Starts a server that knows these names and says that there are no others. It never answers questions for names that begin with `silent.`. It runs until the
/// test's process ends.
pub fn serve(known: Vec<(&'static str, Record)>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buf = [0; 2048];
        while let Ok((n, from)) = socket.recv_from(&mut buf) {
            if let Some(answer) = answer(&known, &buf[..n]) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    addr
}

fn answer(known: &[(&str, Record)], question: &[u8]) -> Option<Vec<u8>> {
    let mut name = String::new();
    let mut at = 12;
    while let Some(len) = question
        .get(at)
        .map(|len| usize::from(*len))
        .filter(|len| *len > 0)
    {
        name.push_str(core::str::from_utf8(question.get(at + 1..=at + len)?).ok()?);
        name.push('.');
        at += len + 1;
    }
    let name = name.trim_end_matches('.').to_lowercase();
    if name.starts_with("silent.") {
        return None;
    }
    let kind = u16::from_be_bytes([*question.get(at + 1)?, *question.get(at + 2)?]);
    let exists = known.iter().any(|(known, _)| *known == name);
    let found: Vec<_> = known
        .iter()
        .filter(|(known, record)| *known == name && record.kind() == kind)
        .collect();
    // The id of the question; an answer with authority, or "no such name".
    let mut out = question.get(..2)?.to_vec();
    out.extend_from_slice(&[0x85, if exists { 0x80 } else { 0x83 }, 0, 1]);
    out.extend_from_slice(&u16::try_from(found.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0, 0]);
    out.extend_from_slice(question.get(12..at + 5)?);
    for (_, record) in found {
        let data = record.data();
        // The name of the question, the kind, the class "internet", a minute to live.
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        out.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&data);
    }
    Some(out)
}
