//! The text form.

use super::{
    Error,
    binary::{self, is_multihash},
    component::{Certhash, Code, Component},
};
use crate::varint;
use alloc::{string::String, vec::Vec};
use core::{fmt, net::Ipv4Addr, str::FromStr};
use data_encoding::{
    BASE32_NOPAD, BASE32_NOPAD_NOCASE, BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding,
    HEXLOWER_PERMISSIVE, Specification,
};

/// The longest text that is parsed: the longest binary form in hexadecimal, with names around it.
const MAX_TEXT: usize = 4096;

/// Parses an address into its binary form. What single values must hold is checked again on the binary, so that both doors accept the same set.
pub(super) fn parse(text: &str) -> Result<Vec<u8>, Error> {
    if text.len() > MAX_TEXT {
        return Err(Error::TooLong);
    }
    let trimmed = text.trim_end_matches('/');
    if trimmed.is_empty() {
        return Err(Error::Empty);
    }
    let mut rest = trimmed.strip_prefix('/').ok_or(Error::NoSlash)?;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (name, behind) = split(rest);
        let code = Code::from_name(name).ok_or(Error::UnknownName)?;
        rest = write_component(code, behind, &mut out)?;
        if out.len() > super::MAX_BYTES {
            return Err(Error::TooLong);
        }
    }
    Ok(out)
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((head, rest)) => (head, Some(rest)),
        None => (text, None),
    }
}

/// Writes the component of `code`, whose value stands at the front of `behind`. Answers the text behind the value.
fn write_component<'t>(code: Code, behind: Option<&'t str>, out: &mut Vec<u8>) -> Result<&'t str, Error> {
    let bad = Error::BadValue(code.name());
    if let Some(component) = valueless(code) {
        binary::write(component, out);
        return Ok(behind.unwrap_or_default());
    }
    if code == Code::Unix {
        let path = behind.filter(|path| !path.is_empty()).ok_or(bad)?;
        let mut whole = String::from("/");
        whole.push_str(path);
        binary::write(Component::Unix(&whole), out);
        return Ok("");
    }
    let (value, rest) = split(behind.ok_or(bad)?);
    if value.is_empty() {
        return Err(bad);
    }
    match code {
        Code::Ip4 => binary::write(Component::Ip4(Ipv4Addr::from_str(value).map_err(|_| bad)?), out),
        Code::Ip6 => binary::write(Component::Ip6(value.parse().map_err(|_| bad)?), out),
        Code::Tcp => binary::write(Component::Tcp(decimal(value).ok_or(bad)?), out),
        Code::Udp => binary::write(Component::Udp(decimal(value).ok_or(bad)?), out),
        Code::Dccp => binary::write(Component::Dccp(decimal(value).ok_or(bad)?), out),
        Code::Sctp => binary::write(Component::Sctp(decimal(value).ok_or(bad)?), out),
        Code::Ipcidr => binary::write(Component::Ipcidr(decimal(value).ok_or(bad)?), out),
        Code::Memory => binary::write(Component::Memory(decimal(value).ok_or(bad)?), out),
        Code::Ip6zone => binary::write(Component::Ip6zone(value), out),
        Code::Dns => binary::write(Component::Dns(value), out),
        Code::Dns4 => binary::write(Component::Dns4(value), out),
        Code::Dns6 => binary::write(Component::Dns6(value), out),
        Code::Dnsaddr => binary::write(Component::Dnsaddr(value), out),
        Code::Sni => binary::write(Component::Sni(value), out),
        Code::P2p => binary::write(Component::P2p(value.parse().map_err(|_| bad)?), out),
        Code::HttpPath => binary::write(Component::HttpPath(&percent_decode(value).ok_or(bad)?), out),
        Code::XParityWs => binary::write(Component::XParityWs(&percent_decode(value).ok_or(bad)?), out),
        Code::XParityWss => binary::write(Component::XParityWss(&percent_decode(value).ok_or(bad)?), out),
        Code::Onion => {
            let (address, port) = onion(value).ok_or(bad)?;
            binary::write(Component::Onion(address, port), out);
        }
        Code::Onion3 => {
            let (address, port) = onion(value).ok_or(bad)?;
            binary::write(Component::Onion3(address, port), out);
        }
        Code::Garlic64 => write_sized(
            code,
            &garlic64()
                .and_then(|base| base.decode(value.as_bytes()).ok())
                .ok_or(bad)?,
            out,
        ),
        Code::Garlic32 => {
            write_sized(
                code,
                &BASE32_NOPAD_NOCASE
                    .decode(value.trim_end_matches('=').as_bytes())
                    .map_err(|_| bad)?,
                out,
            );
        }
        Code::Certhash => {
            let hash = multibase(value).filter(|hash| is_multihash(hash)).ok_or(bad)?;
            binary::write(Component::Certhash(Certhash(&hash)), out);
        }
        _ => return Err(bad),
    }
    Ok(rest.unwrap_or_default())
}

fn write_sized(code: Code, bytes: &[u8], out: &mut Vec<u8>) {
    varint::encode(code.number(), out);
    varint::encode(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

const fn valueless(code: Code) -> Option<Component<'static>> {
    Some(match code {
        Code::P2pWebrtcStar => Component::P2pWebrtcStar,
        Code::P2pWebrtcDirect => Component::P2pWebrtcDirect,
        Code::P2pStardust => Component::P2pStardust,
        Code::WebrtcDirect => Component::WebrtcDirect,
        Code::Webrtc => Component::Webrtc,
        Code::P2pCircuit => Component::P2pCircuit,
        Code::Udt => Component::Udt,
        Code::Utp => Component::Utp,
        Code::Https => Component::Https,
        Code::Tls => Component::Tls,
        Code::Noise => Component::Noise,
        Code::Quic => Component::Quic,
        Code::QuicV1 => Component::QuicV1,
        Code::Webtransport => Component::Webtransport,
        Code::Ws => Component::Ws,
        Code::Wss => Component::Wss,
        Code::P2pWebsocketStar => Component::P2pWebsocketStar,
        Code::Http => Component::Http,
        _ => return None,
    })
}

/// A decimal number without sign or leading zeros.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if digits && !leading_zero {
        text.parse().ok()
    } else {
        None
    }
}

fn onion<const N: usize>(text: &str) -> Option<([u8; N], u16)> {
    let (address, port) = text.split_once(':')?;
    let bytes = BASE32_NOPAD_NOCASE.decode(address.as_bytes()).ok()?;
    Some((bytes.try_into().ok()?, decimal(port)?))
}

/// I2P's base 64, with `-` and `~`.
fn garlic64() -> Option<Encoding> {
    let mut spec = Specification::new();
    spec.symbols
        .push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-~");
    spec.padding = Some('=');
    spec.encoding().ok()
}

fn multibase(text: &str) -> Option<Vec<u8>> {
    let (base, digits) = text.split_at_checked(1)?;
    let digits = digits.as_bytes();
    match base {
        "u" => BASE64URL_NOPAD.decode(digits).ok(),
        "U" => BASE64URL.decode(digits).ok(),
        "m" => BASE64_NOPAD.decode(digits).ok(),
        "M" => BASE64.decode(digits).ok(),
        "b" | "B" => BASE32_NOPAD_NOCASE.decode(digits).ok(),
        "f" | "F" => HEXLOWER_PERMISSIVE.decode(digits).ok(),
        "z" if digits.len() <= 128 => bs58::decode(digits).into_vec().ok(),
        _ => None,
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            out.extend(HEXLOWER_PERMISSIVE.decode(&digits).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// What stands unescaped in a path segment: RFC 3986's unreserved characters and sub-delimiters.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
        )
}

impl fmt::Display for Component<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.code().name())?;
        match self {
            Self::Ip4(ip) => write!(f, "/{ip}"),
            Self::Ip6(ip) => write!(f, "/{ip}"),
            Self::Tcp(port) | Self::Udp(port) | Self::Dccp(port) | Self::Sctp(port) => write!(f, "/{port}"),
            Self::Ipcidr(bits) => write!(f, "/{bits}"),
            Self::Memory(number) => write!(f, "/{number}"),
            Self::Ip6zone(text)
            | Self::Dns(text)
            | Self::Dns4(text)
            | Self::Dns6(text)
            | Self::Dnsaddr(text)
            | Self::Sni(text) => {
                write!(f, "/{text}")
            }
            // The path's own first slash separates it from the name.
            Self::Unix(path) => f.write_str(path),
            Self::HttpPath(path) | Self::XParityWs(path) | Self::XParityWss(path) => {
                f.write_str("/")?;
                path.bytes().try_for_each(|byte| {
                    if is_plain(byte) {
                        write!(f, "{}", char::from(byte))
                    } else {
                        write!(f, "%{byte:02X}")
                    }
                })
            }
            Self::P2p(peer) => write!(f, "/{peer}"),
            Self::Onion(address, port) => {
                write!(f, "/{}:{port}", BASE32_NOPAD.encode(address).to_ascii_lowercase())
            }
            Self::Onion3(address, port) => {
                write!(f, "/{}:{port}", BASE32_NOPAD.encode(address).to_ascii_lowercase())
            }
            Self::Garlic64(bytes) => {
                let base = garlic64().ok_or(fmt::Error)?;
                write!(f, "/{}", base.encode(bytes))
            }
            Self::Garlic32(bytes) => write!(f, "/{}", BASE32_NOPAD.encode(bytes).to_ascii_lowercase()),
            Self::Certhash(hash) => write!(f, "/u{}", BASE64URL_NOPAD.encode(hash.as_bytes())),
            _ => Ok(()),
        }
    }
}
