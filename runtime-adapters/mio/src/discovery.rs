//! Discovery on the local link, in the loop.

use libp2p_proto_os::Udp;
use mio::{Interest, Registry, Token, net::UdpSocket};
use std::{io, net::SocketAddr};

/// Sockets that the kernel reports on under one token.
pub(crate) struct Watched<'a>(pub(crate) &'a Registry, pub(crate) Token);

impl Udp for Watched<'_> {
    type Socket = UdpSocket;

    fn open(&mut self, socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        let mut socket = UdpSocket::from_std(socket);
        self.0.register(&mut socket, self.1, Interest::READABLE)?;
        Ok(socket)
    }

    fn receive(&mut self, socket: &mut UdpSocket, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        socket.recv_from(buf)
    }

    fn send(&mut self, socket: &mut UdpSocket, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        socket.send_to(datagram, to)
    }
}
