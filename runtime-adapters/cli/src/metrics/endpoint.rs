//! The smallest HTTP that scrapers need, bounded in time, bytes and connections.

use super::text;
use crate::{listen::Listener, node::Node};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Scrapers that are served at the same time; others wait.
const MAX_SCRAPERS: usize = 8;
/// Bytes of a request that are read.
const MAX_REQUEST: usize = 8192;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// How long one scraper may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long accepting rests after a failure: descriptors may be short for a moment.
const AGAIN: Duration = Duration::from_millis(50);

/// Answers scrapers until the node has stopped.
pub(crate) async fn serve(listener: TcpListener, node: Node<Listener>) {
    let places = Arc::new(Semaphore::new(MAX_SCRAPERS));
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(AGAIN).await;
            continue;
        };
        let node = node.clone();
        tokio::spawn(async move {
            // A scraper that is slow or breaks off harms nobody but itself.
            let _broken = timeout(PATIENCE, answer(stream, &node)).await;
            drop(place);
        });
    }
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Metrics { body: bool },
    Refused(&'static str),
}

async fn answer(mut stream: TcpStream, node: &Node<Listener>) -> io::Result<()> {
    let mut request = Vec::new();
    let asked = loop {
        let read = (&mut stream).take(1024).read_buf(&mut request).await?;
        match understand(&request) {
            Some(asked) => break asked,
            None if read == 0 => return Ok(()),
            None => {}
        }
    };
    let (status, body, with_body) = match asked {
        Asked::Metrics { body } => match node.call(|swarm, app, _| text(swarm, app)).await {
            Ok(Ok(text)) => ("200 OK", text, body),
            _ => ("503 Service Unavailable", String::new(), false),
        },
        Asked::Refused(status) => (status, format!("{status}: GET /metrics\n"), true),
    };
    let kind = if status.starts_with("200") {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    if with_body {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// What the bytes so far ask for. `None`: more is to come.
fn understand(request: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(request) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if request.len() < MAX_REQUEST => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Asked::Refused("431 Request Header Fields Too Large"));
        }
        Err(_) => return Some(Asked::Refused("400 Bad Request")),
    }
    let path = parsed.path.unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    Some(match (parsed.method.unwrap_or_default(), path) {
        ("GET", "/metrics") => Asked::Metrics { body: true },
        ("HEAD", "/metrics") => Asked::Metrics { body: false },
        (_, "/metrics") => Asked::Refused("405 Method Not Allowed"),
        _ => Asked::Refused("404 Not Found"),
    })
}

#[cfg(test)]
mod tests {
    use super::{Asked, MAX_REQUEST, understand};

    #[test]
    fn requests_are_understood_or_refused_with_their_status() {
        let refused = |status| Some(Asked::Refused(status));
        for (request, asked) in [
            (
                "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
                Some(Asked::Metrics { body: true }),
            ),
            (
                "GET /metrics?x=1 HTTP/1.0\r\n\r\n",
                Some(Asked::Metrics { body: true }),
            ),
            (
                "HEAD /metrics HTTP/1.1\r\n\r\n",
                Some(Asked::Metrics { body: false }),
            ),
            ("GET /metrics HTTP/1.1\r\nHo", None),
            ("", None),
            (
                "POST /metrics HTTP/1.1\r\n\r\n",
                refused("405 Method Not Allowed"),
            ),
            ("GET / HTTP/1.1\r\n\r\n", refused("404 Not Found")),
            ("GET /metricsx HTTP/1.1\r\n\r\n", refused("404 Not Found")),
            ("\u{13}/multistream/1.0.0\n", refused("400 Bad Request")),
        ] {
            assert_eq!(understand(request.as_bytes()), asked, "{request:?}");
        }
        let endless = format!("GET /metrics HTTP/1.1\r\nA: {}", "a".repeat(MAX_REQUEST));
        assert_eq!(
            understand(endless.as_bytes()),
            refused("431 Request Header Fields Too Large")
        );
    }
}
