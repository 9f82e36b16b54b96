//! The bytes between one socket and the connection machine that sits on it.

use crate::{Farewell, Parting, code};
use libp2p_proto_connection::Connection;
use libp2p_proto_core::{Instant, TransmitBuf};
use std::io::{self, ErrorKind};

/// Bytes that are read, or handed to the kernel, in one call, at most.
const CHUNK: usize = 256 * 1024;
/// Bytes that are read in one call as long as no read has filled the memory: a node that hears small messages alone needs no more.
const FIRST: usize = 16 * 1024;

/// Carries bytes between a connection machine and a socket that does not block, and keeps what one of them did not take yet; that is nothing most of the time, so an
/// idle link holds no memory. The socket is a closure: [`ErrorKind::WouldBlock`] says not yet, [`ErrorKind::Interrupted`] to come again,
/// and every other error is the end of the link. `scratch` may be memory that all links share: what is in it is used up before the call returns.
#[derive(Debug)]
pub struct Carrier {
    /// The machine.
    pub machine: Connection,
    tail: Vec<u8>,
    unsent: Vec<u8>,
    farewell: Farewell,
}

impl Carrier {
    /// Nothing is carried yet.
    pub fn new(machine: Connection) -> Self {
        Self {
            machine,
            tail: Vec::new(),
            unsent: Vec::new(),
            farewell: Farewell::default(),
        }
    }

    /// Reads once and feeds the machine. Says whether to come again before sleeping.
    pub fn read(
        &mut self,
        now: Instant,
        scratch: &mut Vec<u8>,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> bool {
        if self.machine.is_closed() || !self.machine.wants_input() {
            return false;
        }
        let kept = self.tail.len();
        let room = kept.saturating_add(FIRST);
        if scratch.len() < room {
            scratch.resize(room, 0);
        }
        let (head, rest) = scratch.split_at_mut(kept);
        head.copy_from_slice(&self.tail);
        let (got, ended) = match read(rest) {
            Ok(n) => (n, n == 0),
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => (0, false),
            Err(error) => {
                self.fail(now, &error);
                return true;
            }
        };
        let end = kept.saturating_add(got);
        if end == scratch.len() && got < CHUNK {
            // There is more: the next read is twice as large.
            scratch.resize(end.saturating_add(got).min(kept.saturating_add(CHUNK)), 0);
        }
        let input = scratch.get_mut(..end).unwrap_or_default();
        let mut taken = 0;
        if !input.is_empty() {
            // An error is also the machine's last message, which the swarm reports.
            taken = self.machine.handle_input(now, input).unwrap_or(input.len());
            self.tail = input.get(taken..).unwrap_or_default().to_vec();
        }
        // What came before the end is taken before it.
        if ended && taken == 0 {
            self.farewell.end();
            self.machine.handle_eof(now);
            return true;
        }
        // Even if it was too little for the machine: only a read that has to wait wakes anybody later.
        got > 0 || taken > 0
    }

    /// Sends what the machine has and the socket takes. Says whether anything moved.
    pub fn write(
        &mut self,
        now: Instant,
        scratch: &mut Vec<u8>,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> bool {
        let mut moved = false;
        loop {
            scratch.clear();
            if self.unsent.is_empty() {
                let mut out = TransmitBuf::new(scratch, CHUNK);
                while self.machine.poll_transmit(now, &mut out) {}
                moved |= !scratch.is_empty();
            } else {
                scratch.append(&mut core::mem::take(&mut self.unsent));
            }
            if scratch.is_empty() {
                return moved;
            }
            let mut sent = 0_usize;
            while let Some(rest) = scratch.get(sent..).filter(|rest| !rest.is_empty()) {
                match write(rest) {
                    Ok(n) if n > 0 => sent = sent.saturating_add(n),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.unsent = rest.to_vec();
                        return moved || sent > 0;
                    }
                    result => {
                        // What a broken link can't take is gone.
                        let broken = || ErrorKind::BrokenPipe.into();
                        self.fail(now, &result.err().unwrap_or_else(broken));
                        return true;
                    }
                }
            }
            moved = true;
        }
    }

    fn fail(&mut self, now: Instant, error: &io::Error) {
        self.farewell.end();
        self.machine.handle_link_error(now, code(error));
    }

    /// When the link is to be served although nothing has happened.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.machine.poll_timeout().map(|deadline| deadline.at);
        deadline.into_iter().chain(self.farewell.poll_timeout()).min()
    }

    /// Whether the machine is done, and nothing is lost if the socket is dropped. `act` carries out one part of the [farewell](Farewell).
    pub fn is_over(
        &mut self,
        now: Instant,
        scratch: &mut Vec<u8>,
        act: impl FnMut(Parting<'_>) -> io::Result<usize>,
    ) -> bool {
        self.machine.is_closed() && self.farewell.is_over(now, self.unsent.is_empty(), scratch, act)
    }
}
