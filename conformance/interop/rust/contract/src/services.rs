//! The stream protocols echo, perf, reqresp and fetch, both ends, over any byte stream.

use std::io::{Error, ErrorKind, Result};

use futures::future::try_join;
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Sends back what arrives.
pub const ECHO: &str = "/echo/1.0.0";
/// Transfers bytes in both directions, one after the other.
pub const PERF: &str = "/perf/1.0.0";
/// Answers a request with the same bytes behind `re:`.
pub const REQRESP: &str = "/interop/reqresp/1.0.0";
/// Looks up a value.
pub const FETCH: &str = "/libp2p/fetch/0.0.1";

/// Service names of the command line with their protocols.
pub const ALL: [(&str, &str); 4] = [
    ("perf", PERF),
    ("echo", ECHO),
    ("reqresp", REQRESP),
    ("fetch", FETCH),
];

/// Zeros to send, in pieces large enough that the piece size is not what is measured.
static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];
/// Largest request and answer of reqresp, and largest fetch message, in bytes.
const MAX_MESSAGE: u64 = 16 * 1024 * 1024;

/// Serves one inbound stream of any of the protocols above.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(protocol: &str, stream: S) -> Result<()> {
    match protocol {
        ECHO => serve_echo(stream).await,
        PERF => serve_perf(stream).await,
        REQRESP => serve_reqresp(stream).await,
        FETCH => serve_fetch(stream).await,
        _ => Ok(()),
    }
}

/// Sends one message, half-closes and reads the whole answer meanwhile.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: S, message: &[u8]) -> Result<Vec<u8>> {
    let (read, mut write) = stream.split();
    let send = async {
        write.write_all(message).await?;
        write.close().await
    };
    let receive = async {
        let mut answer = Vec::new();
        read.take(MAX_MESSAGE).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    try_join(send, receive).await.map(|((), answer)| answer)
}

async fn serve_echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Result<()> {
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return stream.close().await;
        }
        stream.write_all(&buffer[..count]).await?;
        stream.flush().await?;
    }
}

async fn serve_reqresp<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Result<()> {
    let mut answer = b"re:".to_vec();
    (&mut stream).take(MAX_MESSAGE).read_to_end(&mut answer).await?;
    stream.write_all(&answer).await?;
    stream.close().await
}

/// Client of perf: sends `up` bytes, reads to the end and checks that `down` bytes came.
pub async fn perf<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, up: u64, down: u64) -> Result<()> {
    stream.write_all(&down.to_be_bytes()).await?;
    send_zeros(&mut stream, up).await?;
    stream.close().await?;
    let received = drain(&mut stream).await?;
    if received != down {
        let text = format!("asked for {down} bytes, got {received}");
        return Err(Error::new(ErrorKind::InvalidData, text));
    }
    Ok(())
}

async fn serve_perf<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Result<()> {
    let mut count = [0; 8];
    stream.read_exact(&mut count).await?;
    drain(&mut stream).await?;
    send_zeros(&mut stream, u64::from_be_bytes(count)).await?;
    stream.close().await
}

async fn send_zeros<S: AsyncWrite + Unpin>(stream: &mut S, mut count: u64) -> Result<()> {
    while count > 0 {
        let piece = usize::try_from(count).map_or(ZEROS.len(), |count| count.min(ZEROS.len()));
        stream.write_all(&ZEROS[..piece]).await?;
        count -= piece as u64;
    }
    stream.flush().await
}

async fn drain<S: AsyncRead + Unpin>(stream: &mut S) -> Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(total),
            count => total += count as u64,
        }
    }
}

/// Client of fetch: the value of a key, or none when it is not found.
pub async fn fetch<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, key: &str) -> Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    put_bytes(&mut request, 1, key.as_bytes());
    write_frame(&mut stream, &request).await?;
    let response = read_frame(&mut stream).await?.ok_or(ErrorKind::UnexpectedEof)?;
    stream.close().await?;
    let (mut status, mut data) = (0, Vec::new());
    for (field, value) in fields(&response)? {
        match (field, value) {
            (1, Field::Number(number)) => status = number,
            (2, Field::Bytes(bytes)) => data = bytes.to_vec(),
            _ => {}
        }
    }
    match status {
        0 => Ok(Some(data)),
        1 => Ok(None),
        other => Err(Error::new(
            ErrorKind::InvalidData,
            format!("fetch status {other}: {}", String::from_utf8_lossy(&data)),
        )),
    }
}

async fn serve_fetch<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Result<()> {
    while let Some(request) = read_frame(&mut stream).await? {
        let key = fields(&request)?
            .into_iter()
            .find_map(|(field, value)| match value {
                Field::Bytes(bytes) if field == 1 => Some(bytes),
                _ => None,
            });
        let name = key.and_then(|key| key.strip_prefix(b"interop/"));
        let mut response = Vec::new();
        match name {
            Some(name) if name != b"missing" => {
                put_bytes(&mut response, 2, &[b"value-of-".as_slice(), name].concat())
            }
            _ => response.extend([1 << 3, 1]),
        }
        write_frame(&mut stream, &response).await?;
    }
    stream.close().await
}

async fn write_frame<S: AsyncWrite + Unpin>(stream: &mut S, message: &[u8]) -> Result<()> {
    let mut frame = Vec::with_capacity(message.len() + 4);
    put_varint(&mut frame, message.len() as u64);
    frame.extend_from_slice(message);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// Reads a message behind its length; none at the end of the stream.
async fn read_frame<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<Vec<u8>>> {
    let (mut length, mut shift) = (0u64, 0u32);
    loop {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return if shift == 0 {
                Ok(None)
            } else {
                Err(ErrorKind::UnexpectedEof.into())
            };
        }
        length |= u64::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
        if shift > 28 {
            return Err(ErrorKind::InvalidData.into());
        }
    }
    if length > MAX_MESSAGE {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length as usize];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message that uses numbers and byte strings only.
fn fields(mut message: &[u8]) -> Result<Vec<(u64, Field<'_>)>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        let value = match key & 7 {
            0 => Field::Number(take_varint(&mut message)?),
            2 => {
                let length = take_varint(&mut message)? as usize;
                let (bytes, rest) = message.split_at_checked(length).ok_or(ErrorKind::InvalidData)?;
                message = rest;
                Field::Bytes(bytes)
            }
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        found.push((key >> 3, value));
    }
    Ok(found)
}

fn take_varint(message: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().ok_or(ErrorKind::InvalidData)?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(ErrorKind::InvalidData.into())
}
