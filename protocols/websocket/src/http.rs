//! The upgrade (RFC 6455 sections 4.1 and 4.2, RFC 9112).

use crate::{Config, Error};
use alloc::{string::String, vec};
use data_encoding::BASE64;
use httparse::{EMPTY_HEADER, Header, Request, Response, Status};
use sha1::{Digest, Sha1};

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A name of DNS has at most 253 bytes; a colon and a port follow.
const MAX_HOST: usize = 261;
const MAX_PATH: usize = 2048;

/// `Sec-WebSocket-Accept`.
pub(crate) type Accept = [u8; 28];

pub(crate) fn accept(key: &[u8]) -> Accept {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut out = [0; 28];
    BASE64.encode_mut(&hash, &mut out);
    out
}

/// The request of a client, and the answer that it must get.
pub(crate) fn request(host: &str, path: &str, nonce: [u8; 16]) -> Result<(String, Accept), Error> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
    if host.is_empty() || host.len() > MAX_HOST || !host.bytes().all(is_fit) {
        return Err(Error::BadHost);
    }
    if path.len() > MAX_PATH {
        return Err(Error::BadPath);
    }
    let mut key = [0; 24];
    BASE64.encode_mut(&nonce, &mut key);
    let request = alloc::format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n",
        core::str::from_utf8(&key).unwrap_or_default(),
        path = target(path),
    );
    Ok((request, accept(&key)))
}

/// The target of a request: begins with a slash, and every byte that may not stand there is percent-encoded, so that no path makes another header.
fn target(path: &str) -> String {
    let mut out = String::from("/");
    for byte in path.strip_prefix('/').unwrap_or(path).bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let [high, low] =
                [byte >> 4, byte & 15].map(|half| char::from_digit(half.into(), 16).unwrap_or('0'));
            out.extend(['%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
        }
    }
    out
}

/// What a server answers.
pub(crate) const ANSWER: [&[u8]; 2] = [
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    b"\r\n\r\n",
];

/// How a server refuses.
pub(crate) const fn refusal(error: &Error) -> &'static [u8] {
    match error {
        Error::BadVersion => {
            b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        }
        Error::HeadTooLarge | Error::TooManyHeaders => {
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        }
        Error::UpgradeTimeout => {
            b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        }
        _ => b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    }
}

/// Finds the end of a head that starts with `start`, behind its empty line, of whose front `scanned` bytes were looked at before. `None`: more bytes are needed.
pub(crate) fn end_of_head(
    input: &[u8],
    start: &[u8],
    scanned: usize,
    config: &Config,
) -> Result<Option<usize>, Error> {
    if input.iter().zip(start).any(|(byte, wanted)| byte != wanted) {
        return Err(Error::NotHttp);
    }
    // The empty line may have begun in what was looked at.
    let from = scanned.saturating_sub(3);
    let found = input
        .get(from..)
        .unwrap_or_default()
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| from.saturating_add(at).saturating_add(4));
    match found {
        Some(end) if end <= config.max_head => Ok(Some(end)),
        None if input.len() < config.max_head => Ok(None),
        _ => Err(Error::HeadTooLarge),
    }
}

fn parse_error(error: httparse::Error) -> Error {
    match error {
        httparse::Error::TooManyHeaders => Error::TooManyHeaders,
        _ => Error::NotHttp,
    }
}

/// The whole head must be one message, with no line that ends in another way: what a proxy reads differently is no way in.
fn check_whole(status: Status<usize>, head: &[u8]) -> Result<(), Error> {
    let is_strict =
        !head.starts_with(b"\n") && !head.windows(2).any(|two| matches!(two, [0..=12 | 14.., b'\n']));
    if status == Status::Complete(head.len()) && is_strict {
        Ok(())
    } else {
        Err(Error::NotHttp)
    }
}

/// Checks the request of a client, and answers what it must be answered.
pub(crate) fn read_request(head: &[u8], config: &Config) -> Result<Accept, Error> {
    let mut lines = vec![EMPTY_HEADER; config.max_headers];
    let mut request = Request::new(&mut lines);
    let status = request.parse(head).map_err(parse_error)?;
    check_whole(status, head)?;
    if request.version != Some(1) {
        return Err(Error::NotHttp);
    }
    let headers = Headers(request.headers);
    headers.check_upgrade()?;
    headers.one("host").ok_or(Error::BadHeader("host"))?;
    if headers.one("sec-websocket-version") != Some(b"13") {
        return Err(Error::BadVersion);
    }
    let key = headers.one("sec-websocket-key").unwrap_or_default();
    let mut nonce = [0; 18];
    if key.len() != 24 || BASE64.decode_mut(key, &mut nonce) != Ok(16) {
        return Err(Error::BadHeader("sec-websocket-key"));
    }
    Ok(accept(key))
}

/// Checks the answer of a server.
pub(crate) fn read_answer(head: &[u8], expected: &Accept, config: &Config) -> Result<(), Error> {
    let mut lines = vec![EMPTY_HEADER; config.max_headers];
    let mut answer = Response::new(&mut lines);
    let status = answer.parse(head).map_err(parse_error)?;
    check_whole(status, head)?;
    if answer.version != Some(1) {
        return Err(Error::NotHttp);
    }
    if let Some(code) = answer.code.filter(|code| *code != 101) {
        return Err(Error::Status(code));
    }
    let headers = Headers(answer.headers);
    headers.check_upgrade()?;
    if headers.one("sec-websocket-accept") != Some(expected) {
        return Err(Error::BadHeader("sec-websocket-accept"));
    }
    for name in ["sec-websocket-extensions", "sec-websocket-protocol"] {
        if headers.all(name).next().is_some() {
            return Err(Error::NotOffered(name));
        }
    }
    Ok(())
}

struct Headers<'h>(&'h [Header<'h>]);

impl<'h> Headers<'h> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'h [u8]> {
        let named = move |header: &&Header<'h>| header.name.eq_ignore_ascii_case(name);
        self.0
            .iter()
            .filter(named)
            .map(|header| header.value.trim_ascii())
    }

    /// The value of a header that stands there once.
    fn one(&self, name: &'static str) -> Option<&'h [u8]> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    /// Whether a list, on one line or several, has `token`.
    fn lists(&self, name: &'static str, token: &[u8]) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
    }

    /// What request and answer share: they upgrade, and nothing but frames follows.
    fn check_upgrade(&self) -> Result<(), Error> {
        if !self.lists("upgrade", b"websocket") {
            return Err(Error::BadHeader("upgrade"));
        }
        if !self.lists("connection", b"upgrade") {
            return Err(Error::BadHeader("connection"));
        }
        if self.all("transfer-encoding").next().is_some() {
            return Err(Error::BadHeader("transfer-encoding"));
        }
        if self.all("content-length").any(|length| length != b"0") {
            return Err(Error::BadHeader("content-length"));
        }
        Ok(())
    }
}
