//! Discovery on the local link, in the node's task.

use crate::Runtime;
use core::{
    marker::PhantomData,
    task::{Context, Poll},
};
use libp2p_proto_core::{Instant, PeerId};
use libp2p_proto_os::{Discovery as Config, Entropy, Error, Multicast, Udp, mdns};
use libp2p_proto_swarm::Swarm;
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
};

/// Says goodbye when it is dropped.
pub(crate) struct Discovery<R: Runtime>(Multicast<R::Udp>);

impl<R: Runtime> Discovery<R> {
    pub(crate) fn new(local: PeerId, config: Config, entropy: Entropy) -> Result<Self, Error> {
        Multicast::new(local, config, entropy).map(Self)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    /// Reads and sends, and tells what was found.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        swarm: &mut Swarm,
        mut tell: impl FnMut(mdns::Event),
    ) {
        // Only a read that finds nothing has the task woken once there is something.
        self.0.wake();
        let mut sockets = Sockets::<R>(Some(cx), PhantomData);
        self.0.turn(now, swarm.listen_addresses(), &mut sockets);
        while let Some(event) = self.0.poll_event(now, swarm.book_mut()) {
            tell(event);
        }
    }
}

impl<R: Runtime> Drop for Discovery<R> {
    fn drop(&mut self) {
        self.0.stop(Instant::ZERO, &mut Sockets::<R>(None, PhantomData));
    }
}

/// The sockets of a runtime, and the task that is woken when something comes.
struct Sockets<'a, 'b, R>(Option<&'a mut Context<'b>>, PhantomData<R>);

impl<R: Runtime> Udp for Sockets<'_, '_, R> {
    type Socket = R::Udp;

    fn open(&mut self, socket: UdpSocket) -> io::Result<R::Udp> {
        R::udp(socket)
    }

    fn receive(&mut self, socket: &mut R::Udp, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &mut self.0 {
            Some(cx) => match R::poll_receive(socket, cx, buf) {
                Poll::Ready(result) => result,
                Poll::Pending => Err(ErrorKind::WouldBlock.into()),
            },
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn send(&mut self, socket: &mut R::Udp, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        R::try_send(socket, datagram, to)
    }
}
