//! The binary form: a run of codes and values, every value checked.

use super::{
    Error, MAX_BYTES, MAX_COMPONENTS,
    component::{Certhash, Code, Component},
};
use crate::{PeerId, varint};
use alloc::vec::Vec;

/// The first code that no protocol may have.
const CODE_END: u64 = 1 << 31;

/// Checks a whole address.
pub(super) fn validate(bytes: &[u8]) -> Result<(), Error> {
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLong);
    }
    let mut rest = bytes;
    for _ in 0..MAX_COMPONENTS {
        read(&mut rest)?;
        if rest.is_empty() {
            return Ok(());
        }
    }
    Err(Error::TooLong)
}

/// Reads one component from the front of `rest`.
pub(super) fn read<'a>(rest: &mut &'a [u8]) -> Result<Component<'a>, Error> {
    let number = read_varint(rest)?;
    if number >= CODE_END {
        return Err(Error::BadVarint);
    }
    let code =
        Code::from_number(number).ok_or(Error::UnknownProtocol(u32::try_from(number).unwrap_or(u32::MAX)))?;
    let name = code.name();
    Ok(match code {
        Code::Ip4 => Component::Ip4(array::<4>(rest)?.into()),
        Code::Tcp => Component::Tcp(u16::from_be_bytes(array(rest)?)),
        Code::Dccp => Component::Dccp(u16::from_be_bytes(array(rest)?)),
        Code::Ip6 => Component::Ip6(array::<16>(rest)?.into()),
        Code::Ip6zone => Component::Ip6zone(segment(rest, name)?),
        Code::Ipcidr => Component::Ipcidr(u8::from_be_bytes(array(rest)?)),
        Code::Dns => Component::Dns(segment(rest, name)?),
        Code::Dns4 => Component::Dns4(segment(rest, name)?),
        Code::Dns6 => Component::Dns6(segment(rest, name)?),
        Code::Dnsaddr => Component::Dnsaddr(segment(rest, name)?),
        Code::Sctp => Component::Sctp(u16::from_be_bytes(array(rest)?)),
        Code::Udp => Component::Udp(u16::from_be_bytes(array(rest)?)),
        Code::P2pWebrtcStar => Component::P2pWebrtcStar,
        Code::P2pWebrtcDirect => Component::P2pWebrtcDirect,
        Code::P2pStardust => Component::P2pStardust,
        Code::WebrtcDirect => Component::WebrtcDirect,
        Code::Webrtc => Component::Webrtc,
        Code::P2pCircuit => Component::P2pCircuit,
        Code::Udt => Component::Udt,
        Code::Utp => Component::Utp,
        Code::Unix => Component::Unix(unix(rest)?),
        Code::P2p => Component::P2p(PeerId::from_bytes(sized(rest)?).map_err(|_| Error::BadValue(name))?),
        Code::Https => Component::Https,
        Code::Onion => Component::Onion(array(rest)?, nonzero_port(rest, name)?),
        Code::Onion3 => Component::Onion3(array(rest)?, nonzero_port(rest, name)?),
        Code::Garlic64 => Component::Garlic64(sized_if(rest, name, |bytes| bytes.len() >= 386)?),
        Code::Garlic32 => Component::Garlic32(sized_if(rest, name, |bytes| {
            bytes.len() == 32 || bytes.len() >= 35
        })?),
        Code::Tls => Component::Tls,
        Code::Sni => Component::Sni(segment(rest, name)?),
        Code::Noise => Component::Noise,
        Code::Quic => Component::Quic,
        Code::QuicV1 => Component::QuicV1,
        Code::Webtransport => Component::Webtransport,
        Code::Certhash => Component::Certhash(Certhash(sized_if(rest, name, is_multihash)?)),
        Code::Ws => Component::Ws,
        Code::Wss => Component::Wss,
        Code::P2pWebsocketStar => Component::P2pWebsocketStar,
        Code::Http => Component::Http,
        Code::HttpPath => Component::HttpPath(text(rest, name)?),
        Code::Memory => Component::Memory(u64::from_be_bytes(array(rest)?)),
        Code::XParityWs => Component::XParityWs(text(rest, name)?),
        Code::XParityWss => Component::XParityWss(text(rest, name)?),
    })
}

/// Appends one component.
pub(super) fn write(component: Component<'_>, out: &mut Vec<u8>) {
    varint::encode(component.code().number(), out);
    match component {
        Component::Ip4(ip) => out.extend_from_slice(&ip.octets()),
        Component::Ip6(ip) => out.extend_from_slice(&ip.octets()),
        Component::Tcp(port) | Component::Udp(port) | Component::Dccp(port) | Component::Sctp(port) => {
            out.extend_from_slice(&port.to_be_bytes());
        }
        Component::Ipcidr(bits) => out.push(bits),
        Component::Ip6zone(text)
        | Component::Dns(text)
        | Component::Dns4(text)
        | Component::Dns6(text)
        | Component::Dnsaddr(text)
        | Component::Unix(text)
        | Component::Sni(text)
        | Component::HttpPath(text)
        | Component::XParityWs(text)
        | Component::XParityWss(text) => write_sized(text.as_bytes(), out),
        Component::P2p(peer) => write_sized(peer.as_bytes(), out),
        Component::Onion(address, port) => {
            out.extend_from_slice(&address);
            out.extend_from_slice(&port.to_be_bytes());
        }
        Component::Onion3(address, port) => {
            out.extend_from_slice(&address);
            out.extend_from_slice(&port.to_be_bytes());
        }
        Component::Garlic64(bytes) | Component::Garlic32(bytes) => write_sized(bytes, out),
        Component::Certhash(hash) => write_sized(hash.as_bytes(), out),
        Component::Memory(number) => out.extend_from_slice(&number.to_be_bytes()),
        _ => {}
    }
}

/// Whether the bytes are one multihash: code, length, and a digest of that length.
pub(super) fn is_multihash(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let digest = read_varint(&mut rest).and_then(|_| read_varint(&mut rest));
    digest.is_ok_and(|len| len > 0 && usize::try_from(len).is_ok_and(|len| len == rest.len()))
}

fn write_sized(bytes: &[u8], out: &mut Vec<u8>) {
    varint::encode(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn read_varint(rest: &mut &[u8]) -> Result<u64, Error> {
    let (value, len) = varint::decode(rest)
        .map_err(|_| Error::BadVarint)?
        .ok_or(Error::Truncated)?;
    take(rest, len)?;
    Ok(value)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Error> {
    let (taken, behind) = rest.split_at_checked(len).ok_or(Error::Truncated)?;
    *rest = behind;
    Ok(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Error> {
    <[u8; N]>::try_from(take(rest, N)?).map_err(|_| Error::Truncated)
}

/// A value with its length in front; never empty.
fn sized<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let len = usize::try_from(read_varint(rest)?).map_err(|_| Error::Truncated)?;
    if len == 0 {
        return Err(Error::BadValue("a component of variable length"));
    }
    take(rest, len)
}

fn sized_if<'a>(
    rest: &mut &'a [u8],
    name: &'static str,
    legal: impl Fn(&[u8]) -> bool,
) -> Result<&'a [u8], Error> {
    let bytes = sized(rest)?;
    if legal(bytes) {
        Ok(bytes)
    } else {
        Err(Error::BadValue(name))
    }
}

fn text<'a>(rest: &mut &'a [u8], name: &'static str) -> Result<&'a str, Error> {
    core::str::from_utf8(sized(rest)?).map_err(|_| Error::BadValue(name))
}

/// Text that can stand between two slashes, and on a terminal.
fn segment<'a>(rest: &mut &'a [u8], name: &'static str) -> Result<&'a str, Error> {
    let text = text(rest, name)?;
    if text.contains('/') || text.contains(char::is_control) {
        Err(Error::BadValue(name))
    } else {
        Ok(text)
    }
}

/// A path in go's form. It takes the rest of the text, so it prints back to itself only as the last component, with one leading slash
/// and no trailing one.
fn unix<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Error> {
    let path = text(rest, "unix")?;
    let whole = path.starts_with('/')
        && path.len() > 1
        && !path.ends_with('/')
        && !path.contains(char::is_control)
        && rest.is_empty();
    if whole {
        Ok(path)
    } else {
        Err(Error::BadValue("unix"))
    }
}

fn nonzero_port(rest: &mut &[u8], name: &'static str) -> Result<u16, Error> {
    match u16::from_be_bytes(array(rest)?) {
        0 => Err(Error::BadValue(name)),
        port => Ok(port),
    }
}
