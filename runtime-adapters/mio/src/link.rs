//! One TCP link and the connection machine that sits on it.

use libp2p_proto_connection::Connection;
use libp2p_proto_core::{Instant, RecvBuf, TransmitBuf};
use mio::net::TcpStream;
use std::io::{self, ErrorKind, Read, Write};

/// Bytes that are read, or handed to the kernel, in one call.
const CHUNK: usize = 256 * 1024;

/// Memory that all links of one loop share: what is in it is used up before the next link has its turn.
#[derive(Default)]
pub(crate) struct Scratch {
    input: Vec<u8>,
    output: Vec<u8>,
}

pub(crate) enum Phase {
    /// The kernel is connecting.
    Connecting,
    /// The machine runs.
    Running(Box<Connection>),
}

pub(crate) struct Link {
    pub(crate) socket: TcpStream,
    pub(crate) phase: Phase,
    /// Input that the machine did not take yet; empty and without memory most of the time.
    tail: RecvBuf,
    /// Output that the kernel did not take yet.
    unsent: Vec<u8>,
    readable: bool,
    writable: bool,
}

impl Link {
    pub(crate) fn new(socket: TcpStream, phase: Phase) -> Self {
        Self {
            socket,
            phase,
            tail: RecvBuf::new(),
            unsent: Vec::new(),
            readable: false,
            writable: false,
        }
    }

    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.phase {
            Phase::Connecting => None,
            Phase::Running(connection) => Some(connection),
        }
    }

    /// Notes what the operating system reported. It reports each readiness once, until we meet `WouldBlock`.
    pub(crate) fn ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// Reads once and feeds the machine. Says whether to come again before waiting.
    pub(crate) fn read(&mut self, now: Instant, scratch: &mut Scratch) -> bool {
        let Phase::Running(connection) = &mut self.phase else {
            return false;
        };
        if connection.is_closed() || !connection.wants_input() {
            return false;
        }
        let kept = self.tail.len();
        scratch.input.resize(CHUNK.saturating_add(64 * 1024).max(kept), 0);
        let (head, rest) = scratch.input.split_at_mut(kept);
        head.copy_from_slice(self.tail.filled_mut());
        let read = if self.readable {
            self.socket.read(rest)
        } else {
            Err(ErrorKind::WouldBlock.into())
        };
        // What came before the end is taken before it.
        if matches!(read, Ok(0))
            && kept > 0
            && self.feed(now, scratch.input.get_mut(..kept).unwrap_or_default())
        {
            return true;
        }
        let Phase::Running(connection) = &mut self.phase else {
            return false;
        };
        match read {
            Ok(0) => {
                self.readable = false;
                connection.handle_eof(now);
                false
            }
            Ok(n) => {
                let total = kept.saturating_add(n);
                self.feed(now, scratch.input.get_mut(..total).unwrap_or_default());
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable &= kept >= CHUNK;
                // The machine may take now what it refused before.
                kept > 0 && self.feed(now, scratch.input.get_mut(..kept).unwrap_or_default())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => {
                connection.handle_link_error(now, code(&error));
                false
            }
        }
    }

    /// Hands input to the machine and keeps the rest. Says whether the machine took any.
    fn feed(&mut self, now: Instant, input: &mut [u8]) -> bool {
        let Phase::Running(connection) = &mut self.phase else {
            return false;
        };
        // An error is also the machine's last message, which the swarm reports.
        let taken = connection.handle_input(now, input).unwrap_or(input.len());
        let rest = input.get(taken..).unwrap_or_default();
        self.tail = RecvBuf::new();
        if !rest.is_empty() {
            if let Some(spare) = self.tail.spare_mut(rest.len()).get_mut(..rest.len()) {
                spare.copy_from_slice(rest);
            }
            self.tail.fill(rest.len());
        }
        taken > 0
    }

    /// Sends what the machine has and the kernel takes.
    pub(crate) fn write(&mut self, now: Instant, scratch: &mut Scratch) {
        while self.writable {
            if self.unsent.is_empty() {
                let Phase::Running(connection) = &mut self.phase else {
                    return;
                };
                scratch.output.clear();
                let mut out = TransmitBuf::new(&mut scratch.output, CHUNK);
                while connection.poll_transmit(now, &mut out) {}
                if scratch.output.is_empty() {
                    return;
                }
                let sent = self.send(now, &scratch.output);
                self.unsent = scratch.output.get(sent..).unwrap_or_default().to_vec();
            } else {
                let unsent = std::mem::take(&mut self.unsent);
                let sent = self.send(now, &unsent);
                self.unsent = unsent.get(sent..).unwrap_or_default().to_vec();
            }
        }
    }

    fn send(&mut self, now: Instant, mut data: &[u8]) -> usize {
        let whole = data.len();
        while !data.is_empty() {
            match self.socket.write(data) {
                Ok(n) => data = data.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.writable = false;
                    if error.kind() != ErrorKind::WouldBlock {
                        if let Phase::Running(connection) = &mut self.phase {
                            connection.handle_link_error(now, code(&error));
                        }
                        return whole;
                    }
                    break;
                }
            }
        }
        whole.saturating_sub(data.len())
    }

    /// Whether the machine is done and everything it kept to say has left, or cannot leave.
    pub(crate) fn is_over(&self) -> bool {
        matches!(&self.phase, Phase::Running(connection) if connection.is_closed())
    }
}

/// One word for an error of the operating system.
pub(crate) fn code(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::ConnectionReset => "reset",
        ErrorKind::ConnectionAborted => "aborted",
        ErrorKind::HostUnreachable => "host-unreachable",
        ErrorKind::NetworkUnreachable => "network-unreachable",
        ErrorKind::AddrNotAvailable => "address-not-available",
        ErrorKind::AddrInUse => "address-in-use",
        ErrorKind::PermissionDenied => "permission-denied",
        ErrorKind::TimedOut => "timed-out",
        ErrorKind::BrokenPipe => "broken-pipe",
        _ => "io",
    }
}
