//! Discovery on the local link, in the node's task.

use crate::Runtime;
use core::{
    marker::PhantomData,
    task::{Context, Poll},
};
use libp2p_proto_core::{Instant, PeerId};
use libp2p_proto_os::{Discovery as Config, Multicast, Udp, mdns};
use libp2p_proto_swarm::{Source, Swarm};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
};

/// Says goodbye when it is dropped.
pub(crate) struct Discovery<R: Runtime>(Multicast<R::Udp>);

impl<R: Runtime> Discovery<R> {
    pub(crate) fn new(local: PeerId, config: Config, seed: [u8; 32]) -> Result<Self, mdns::Error> {
        Multicast::new(local, config, seed).map(Self)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    /// Reads, sends, and puts what was found into the address book. Says whether there may be more.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        swarm: &mut Swarm,
        mut tell: impl FnMut(mdns::Event),
    ) -> bool {
        self.0.set_addresses(now, swarm.listen_addresses());
        let more = self.0.turn(now, &mut Sockets::<R>(Some(cx), PhantomData));
        while let Some(event) = self.0.poll_event() {
            learn(now, swarm, &event);
            tell(event);
        }
        more
    }
}

impl<R: Runtime> Drop for Discovery<R> {
    fn drop(&mut self) {
        self.0.stop(Instant::ZERO, &mut Sockets::<R>(None, PhantomData));
    }
}

/// Others speak of a peer: that proves nothing, so it takes nothing away and is kept for the shortest time.
fn learn(now: Instant, swarm: &mut Swarm, event: &mdns::Event) {
    if let mdns::Event::Discovered { peer, addrs, .. } = event {
        for addr in addrs {
            swarm.book_mut().add(now, *peer, addr.clone(), Source::Heard);
        }
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
