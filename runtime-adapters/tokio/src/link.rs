//! One TCP link: the task that owns a connection machine and its socket.

use crate::clock::Clock;
use libp2p_proto_connection::Connection;
use libp2p_proto_core::{ConnectionId, TransmitBuf};
use libp2p_proto_stream_protocol::{FromConnection, ToConnection};
use std::{
    io::{self, ErrorKind},
    sync::{Arc, Mutex},
};
use tokio::{net::TcpStream, sync::mpsc};

/// Bytes that are read, or handed to the kernel, in one call.
const CHUNK: usize = 256 * 1024;

/// Memory that links use while they read or write, and give back before they wait: an idle link holds none.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    fn take(&self) -> Vec<u8> {
        self.0
            .lock()
            .ok()
            .and_then(|mut free| free.pop())
            .unwrap_or_default()
    }

    fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if let Ok(mut free) = self.0.lock() {
            if free.len() < 8 {
                free.push(buffer);
            }
        }
    }
}

/// What a link shares with its node.
pub(crate) struct Link {
    pub(crate) clock: Clock,
    pub(crate) pool: Pool,
    pub(crate) news: mpsc::Sender<(ConnectionId, FromConnection)>,
    pub(crate) orders: mpsc::UnboundedReceiver<ToConnection>,
    pub(crate) socket: TcpStream,
    pub(crate) machine: Connection,
    /// Input that the machine did not take yet; empty most of the time.
    pub(crate) tail: Vec<u8>,
    /// Output that the kernel did not take yet.
    pub(crate) unsent: Vec<u8>,
}

impl Link {
    /// Runs the link until its machine is done.
    pub(crate) async fn run(mut self) {
        loop {
            while let Ok(order) = self.orders.try_recv() {
                self.machine.handle_message(self.clock.now(), order);
            }
            let took = !self.tail.is_empty() && self.feed_tail();
            self.write();
            if !self.report().await || (self.machine.is_closed() && self.unsent.is_empty()) {
                return;
            }
            if !took {
                self.wait().await;
            }
        }
    }

    /// Tells the swarm what happened. `false`: there is no swarm any more.
    async fn report(&mut self) -> bool {
        let id = self.machine.id();
        while let Some(message) = self.machine.poll_message() {
            if self.news.send((id, message)).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn wait(&mut self) {
        let deadline = self.machine.poll_timeout();
        let sleep = async {
            match deadline {
                Some(deadline) => self.clock.sleep_until(deadline.at).await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            order = self.orders.recv() => match order {
                Some(order) => self.machine.handle_message(self.clock.now(), order),
                None => self.machine.handle_message(self.clock.now(), ToConnection::Close),
            },
            ready = self.socket.readable(), if self.machine.wants_input() => {
                if ready.is_ok() {
                    self.read();
                }
            }
            _ = self.socket.writable(), if !self.unsent.is_empty() => {}
            () = sleep => {}
        }
        self.machine.handle_timeout(self.clock.now());
    }

    fn read(&mut self) {
        let mut input = self.pool.take();
        input.extend_from_slice(&self.tail);
        let held = input.len();
        input.resize(held.saturating_add(CHUNK), 0);
        let read = self.socket.try_read(input.get_mut(held..).unwrap_or_default());
        let now = self.clock.now();
        match read {
            Ok(0) => self.machine.handle_eof(now),
            Ok(n) => {
                input.truncate(held.saturating_add(n));
                self.feed(&mut input);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => self.machine.handle_link_error(now, code(&error)),
        }
        self.pool.give(input);
    }

    fn feed_tail(&mut self) -> bool {
        let mut input = core::mem::take(&mut self.tail);
        self.feed(&mut input)
    }

    /// Hands input to the machine and keeps the rest. Says whether the machine took any.
    fn feed(&mut self, input: &mut [u8]) -> bool {
        // An error is also the machine's last message, which the swarm reports.
        let taken = self
            .machine
            .handle_input(self.clock.now(), input)
            .unwrap_or(input.len());
        self.tail = input.get(taken..).unwrap_or_default().to_vec();
        taken > 0
    }

    /// Sends what the machine has and the kernel takes.
    fn write(&mut self) {
        let mut output = self.pool.take();
        output.append(&mut self.unsent);
        self.unsent = Vec::new();
        loop {
            if output.is_empty() {
                let mut out = TransmitBuf::new(&mut output, CHUNK);
                while self.machine.poll_transmit(self.clock.now(), &mut out) {}
            }
            if output.is_empty() {
                break;
            }
            match self.socket.try_write(&output) {
                Ok(n) if n == output.len() => output.clear(),
                Ok(n) => drop(output.drain(..n.min(output.len()))),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() == ErrorKind::WouldBlock {
                        self.unsent = output.clone();
                    } else {
                        self.machine.handle_link_error(self.clock.now(), code(&error));
                    }
                    break;
                }
            }
        }
        self.pool.give(output);
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
        ErrorKind::TimedOut => "timed-out",
        ErrorKind::BrokenPipe => "broken-pipe",
        _ => "io",
    }
}
