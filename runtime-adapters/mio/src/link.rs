//! One TCP socket and the connection machine that sits on it.

use libp2p_proto_connection::Connection;
use libp2p_proto_core::Instant;
use libp2p_proto_os::{Carrier, Parting};
use mio::net::TcpStream;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
};

pub(crate) struct Link {
    socket: TcpStream,
    pub(crate) carrier: Box<Carrier>,
    /// Whether the kernel may have or take something: it says so once, and again after `WouldBlock`.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The kernel has reported that the other end sends no more; it says so once, whether or not all before it is read.
    pub(crate) ended: bool,
}

impl Link {
    pub(crate) fn new(socket: TcpStream, machine: Connection) -> Self {
        Self {
            socket,
            carrier: Box::new(Carrier::new(machine)),
            readable: true,
            writable: true,
            ended: false,
        }
    }

    /// Reads once and feeds the machine. Says whether to come again before sleeping.
    pub(crate) fn read(&mut self, now: Instant, scratch: &mut Vec<u8>) -> bool {
        let (socket, may, ended) = (&mut self.socket, &mut self.readable, self.ended);
        self.carrier.read(now, scratch, |buf| {
            let n = attempt(may, || socket.read(buf))?;
            // Less than there was room for is all there is, where an edge tells of more.
            *may &= ended || n == buf.len() || !cfg!(target_os = "linux");
            Ok(n)
        })
    }

    /// Sends what the machine has and the kernel takes.
    pub(crate) fn write(&mut self, now: Instant, scratch: &mut Vec<u8>) {
        let (socket, may) = (&mut self.socket, &mut self.writable);
        if *may {
            self.carrier
                .write(now, scratch, |data| attempt(may, || socket.write(data)));
        }
    }

    /// Whether nothing is lost if the socket is dropped.
    pub(crate) fn is_over(&mut self, now: Instant, scratch: &mut Vec<u8>) -> bool {
        let socket = &mut self.socket;
        self.carrier.is_over(now, scratch, |part| match part {
            Parting::Close => socket.shutdown(Shutdown::Write).map(|()| 0),
            Parting::Read(buf) => socket.read(buf),
        })
    }
}

/// Asks the kernel only if it `may` have an answer.
fn attempt(may: &mut bool, ask: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    if !*may {
        return Err(ErrorKind::WouldBlock.into());
    }
    ask().inspect_err(|error| *may = error.kind() != ErrorKind::WouldBlock)
}
