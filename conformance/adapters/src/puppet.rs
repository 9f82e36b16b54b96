//! A remote that does as it is told: a connection machine on a blocking socket.

use crate::{PATIENCE, identity};
use core::time::Duration;
use libp2p_proto_connection::{Config, Connection};
use libp2p_proto_core::{
    ConnectionId, Instant, Multiaddr, PeerId, ProtocolName, Side, StreamId, TransmitBuf,
};
use libp2p_proto_stream_protocol::{
    Framing, FromConnection, Seat, SpecEntry, SpecId, SpecTable, StreamOrder, StreamSpec, ToConnection,
};
use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

/// Its time stands still: whoever waits for a puppet decides how long.
const NOW: Instant = Instant::ZERO;

/// A remote.
pub struct Puppet {
    /// Its link, to write to as one likes.
    pub socket: TcpStream,
    machine: Connection,
    told: Vec<FromConnection>,
    unread: Vec<u8>,
    opened: u64,
}

/// The socket of an address.
pub fn socket_of(addr: &Multiaddr) -> SocketAddr {
    let (ip, port) = addr.socket_tcp().expect("an address of TCP");
    SocketAddr::new(ip, port)
}

/// A link to a node that nobody speaks on.
pub fn link(addr: &Multiaddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&socket_of(addr), PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Reads until the other end closes or resets the link.
pub fn read_to_the_end(mut socket: &TcpStream) {
    let mut buf = [0; 4096];
    while socket.read(&mut buf).is_ok_and(|n| n > 0) {}
}

/// Has the link end with a reset instead of an end.
pub fn reset(socket: TcpStream) {
    socket2::SockRef::from(&socket)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(socket);
}

impl Puppet {
    /// A remote on this link, as `side`, that speaks `name` in raw bytes.
    pub fn new(socket: TcpStream, seed: u8, side: Side, name: ProtocolName) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut seat = Seat::new(ConnectionId::new(1), side, [seed; 32]);
        seat.specs = Arc::new(SpecTable::new(vec![SpecEntry {
            protocol: 0,
            index: 0,
            spec: StreamSpec::new(name, Framing::Raw),
        }]));
        let config = Arc::new(Config::new(&identity(seed), [seed; 32]).unwrap());
        Self {
            socket,
            machine: Connection::new(NOW, config, seat),
            told: Vec::new(),
            unread: Vec::new(),
            opened: 0,
        }
    }

    /// A remote that dials a node and is connected. It has not read what the node says behind the upgrade.
    pub fn connected(addr: &Multiaddr, seed: u8, name: ProtocolName) -> Self {
        let mut puppet = Self::new(link(addr), seed, Side::Dialer, name);
        puppet.say();
        while !puppet.is_established() {
            assert!(puppet.hear(), "the upgrade goes on");
            puppet.say();
        }
        puppet.say();
        puppet
    }

    /// Its id.
    pub fn peer(seed: u8) -> PeerId {
        identity(seed).peer_id()
    }

    /// Whether the upgrade is done.
    pub fn is_established(&self) -> bool {
        let done = |message: &FromConnection| matches!(message, FromConnection::Established { .. });
        self.told.iter().any(done)
    }

    /// What the machine wants to send.
    pub fn output(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self
            .machine
            .poll_transmit(NOW, &mut TransmitBuf::new(&mut out, 1 << 20))
        {}
        out
    }

    /// Sends everything that the machine wants to send.
    pub fn say(&mut self) {
        let out = self.output();
        self.socket.write_all(&out).unwrap();
        // The last message of the handshake may have been its own.
        self.listen_to_the_machine();
    }

    /// Reads once. `false`: the link has ended.
    pub fn hear(&mut self) -> bool {
        self.read().is_ok_and(|n| n > 0)
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut buf = [0; 16384];
        let n = self.socket.read(&mut buf)?;
        self.unread.extend_from_slice(&buf[..n]);
        let mut input = core::mem::take(&mut self.unread);
        loop {
            let taken = self.machine.handle_input(NOW, &mut input).unwrap_or(input.len());
            input.drain(..taken);
            let admitted = self.listen_to_the_machine();
            if taken == 0 && !admitted {
                break;
            }
        }
        self.unread = input;
        Ok(n)
    }

    /// Hears the node out. Whether its last words came, then the end of the link, and no reset.
    pub fn hears_the_last_words(&mut self) -> bool {
        let ended = loop {
            match self.read() {
                Ok(0) => break true,
                Ok(_) => {}
                Err(_) => break false,
            }
        };
        self.machine.handle_eof(NOW);
        self.listen_to_the_machine();
        let left = |message: &FromConnection| matches!(message, FromConnection::Disconnected { .. });
        ended && self.told.last().is_some_and(left)
    }

    fn listen_to_the_machine(&mut self) -> bool {
        let mut admitted = false;
        while let Some(message) = self.machine.poll_message() {
            if matches!(message, FromConnection::Authenticated { .. }) {
                self.machine.handle_message(NOW, ToConnection::Admit);
                admitted = true;
            }
            self.told.push(message);
        }
        admitted
    }

    /// Opens a stream of its only kind and writes to it, in one go.
    pub fn open(&mut self, data: &[u8]) -> StreamId {
        let stream = StreamId::ours(ConnectionId::new(1), self.opened);
        self.opened += 1;
        let specs = [SpecId(0)].into_iter().collect();
        let open = ToConnection::Open {
            stream,
            specs,
            lazy: true,
        };
        self.machine.handle_message(NOW, open);
        let data = data.to_vec().into();
        self.machine
            .handle_message(NOW, ToConnection::Write { stream, data });
        stream
    }

    /// Finishes or resets a stream.
    pub fn order(&mut self, stream: StreamId, order: StreamOrder) {
        self.machine
            .handle_message(NOW, ToConnection::Order { stream, order });
    }

    /// Bytes that have come on a stream.
    pub fn received(&self, stream: StreamId) -> usize {
        let bytes = |message: &FromConnection| match message {
            FromConnection::Frame { stream: on, data } if *on == stream => data.len(),
            _ => 0,
        };
        self.told.iter().map(bytes).sum()
    }
}
