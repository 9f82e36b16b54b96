//! One TCP socket and the connection machine that sits on it.

use libp2p_proto_connection::Connection;
use libp2p_proto_core::{Instant, TransmitBuf};
use libp2p_proto_os::{Farewell, Parting, code};
use mio::net::TcpStream;
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
};

/// Bytes that are read, or handed to the kernel, in one call.
const CHUNK: usize = 256 * 1024;

pub(crate) struct Link {
    socket: TcpStream,
    pub(crate) machine: Box<Connection>,
    /// Input that the machine did not take yet, and output that the kernel did not take yet: without memory most of the time.
    tail: Vec<u8>,
    unsent: Vec<u8>,
    /// Whether the kernel may have or take something: it says so once, and again after `WouldBlock`.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    farewell: Farewell,
}

impl Link {
    pub(crate) fn new(socket: TcpStream, machine: Box<Connection>) -> Self {
        Self {
            socket,
            machine,
            tail: Vec::new(),
            unsent: Vec::new(),
            readable: true,
            writable: true,
            farewell: Farewell::default(),
        }
    }

    /// Reads once and feeds the machine. `scratch` is memory that all links share. Says whether to come again before sleeping.
    pub(crate) fn read(&mut self, now: Instant, scratch: &mut Vec<u8>) -> bool {
        if self.machine.is_closed() || !self.machine.wants_input() {
            return false;
        }
        let kept = self.tail.len();
        if scratch.len() < kept.saturating_add(CHUNK) {
            scratch.resize(kept.saturating_add(CHUNK), 0);
        }
        let (head, rest) = scratch.split_at_mut(kept);
        head.copy_from_slice(&self.tail);
        let result = if self.readable {
            self.socket.read(rest)
        } else {
            Err(ErrorKind::WouldBlock.into())
        };
        let (got, ended) = match result {
            Ok(n) => (n, n == 0),
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                (0, false)
            }
            Err(error) => {
                self.machine.handle_link_error(now, code(&error));
                return false;
            }
        };
        let input = scratch.get_mut(..kept.saturating_add(got)).unwrap_or_default();
        // An error is also the machine's last message, which the swarm reports.
        let taken = self.machine.handle_input(now, input).unwrap_or(input.len());
        self.tail = input.get(taken..).unwrap_or_default().to_vec();
        // What came before the end was taken before it.
        if ended && taken == 0 {
            self.machine.handle_eof(now);
            return false;
        }
        got > 0 || taken > 0
    }

    /// Sends what the machine has and the kernel takes.
    pub(crate) fn write(&mut self, now: Instant, scratch: &mut Vec<u8>) {
        while self.writable {
            scratch.clear();
            if self.unsent.is_empty() {
                let mut out = TransmitBuf::new(scratch, CHUNK);
                while self.machine.poll_transmit(now, &mut out) {}
            } else {
                core::mem::swap(scratch, &mut self.unsent);
            }
            if scratch.is_empty() {
                return;
            }
            match self.socket.write(scratch) {
                Ok(n) => self.unsent = scratch.get(n..).unwrap_or_default().to_vec(),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    self.writable = error.kind() == ErrorKind::Interrupted;
                    self.unsent = scratch.clone();
                }
                Err(error) => {
                    self.machine.handle_link_error(now, code(&error));
                    self.unsent = Vec::new();
                    return;
                }
            }
        }
    }

    /// When the link is to be served although nothing has happened.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.machine.poll_timeout().map(|deadline| deadline.at);
        deadline.into_iter().chain(self.farewell.poll_timeout()).min()
    }

    /// Whether the machine is done, and nothing is lost if the socket is dropped.
    pub(crate) fn is_over(&mut self, now: Instant, scratch: &mut Vec<u8>) -> bool {
        let (sent, socket) = (self.unsent.is_empty(), &mut self.socket);
        self.machine.is_closed()
            && self.farewell.is_over(now, sent, scratch, |part| match part {
                Parting::Close => socket.shutdown(Shutdown::Write).map(|()| 0),
                Parting::Read(buf) => socket.read(buf),
            })
    }
}
