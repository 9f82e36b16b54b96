//! Metrics in the `OpenMetrics` text format, over the smallest HTTP that scrapers need.

use crate::node::Node;
use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

/// Bytes of a request that are read.
const MAX_REQUEST: usize = 4096;

pub(crate) struct Metrics {
    listener: TcpListener,
}

impl Metrics {
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        eprintln!("p2p: metrics at http://{}/metrics", listener.local_addr()?);
        Ok(Self { listener })
    }

    /// Answers the scrapers that have come.
    pub(crate) fn serve(&mut self, node: &Node) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    // A scraper that breaks off harms nobody but itself.
                    let _broken = answer(stream, &text(node));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return,
            }
        }
    }
}

fn answer(mut stream: TcpStream, body: &str) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    stream.set_write_timeout(Some(Duration::from_millis(100)))?;
    let mut request = [0; MAX_REQUEST];
    let n = stream.read(&mut request)?;
    let known = request
        .get(..n)
        .is_some_and(|request| request.starts_with(b"GET /metrics") || request.starts_with(b"GET / "));
    let (status, body) = if known {
        ("200 OK", body)
    } else {
        ("404 Not Found", "")
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

fn text(node: &Node) -> String {
    let stats = node.mio.stats();
    let mut out = String::new();
    let gauges = [
        (
            "p2p_connections",
            "Established connections",
            stats.established as u64,
        ),
        (
            "p2p_connections_inbound",
            "Established connections that others dialed",
            stats.established_inbound as u64,
        ),
        (
            "p2p_connections_pending_inbound",
            "Inbound connections that are not upgraded",
            stats.pending_inbound as u64,
        ),
        (
            "p2p_connections_pending_outbound",
            "Outbound attempts",
            stats.pending_outbound as u64,
        ),
        ("p2p_streams", "Open streams", stats.streams as u64),
        ("p2p_dials", "Dials under way", stats.dials as u64),
    ];
    let counters = [
        ("p2p_refused", "Inbound connections refused", stats.refused),
        ("p2p_frames_in", "Frames delivered to protocols", stats.frames_in),
        ("p2p_frames_out", "Frames written by protocols", stats.frames_out),
    ];
    for (name, help, value) in gauges {
        let _infallible = writeln!(out, "# TYPE {name} gauge\n# HELP {name} {help}.\n{name} {value}");
    }
    for (name, help, value) in counters {
        let _infallible = writeln!(
            out,
            "# TYPE {name} counter\n# HELP {name} {help}.\n{name}_total {value}"
        );
    }
    out.push_str("# EOF\n");
    out
}
