//! Listeners, and sockets that are being connected.

use crate::Runtime;
use core::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};
use libp2p_proto_core::{ConnectionId, Instant, Multiaddr};
use libp2p_proto_os::{Listeners, code, to_multiaddr};
use libp2p_proto_stream_protocol::{AttemptError, Seat};
use libp2p_proto_swarm::Swarm;
use std::{collections::BTreeMap, io::ErrorKind};

pub(crate) struct Sockets<R: Runtime> {
    dials: BTreeMap<ConnectionId, R::Connecting>,
    pub(crate) listeners: Listeners<R::Listener>,
}

impl<R: Runtime> Sockets<R> {
    pub(crate) fn new() -> Self {
        Self {
            dials: BTreeMap::new(),
            listeners: Listeners::default(),
        }
    }

    /// Connects; with `reuse_port` from a port where we listen, if there is one for it.
    pub(crate) fn dial(
        &mut self,
        now: Instant,
        swarm: &mut Swarm,
        (conn, addr): (ConnectionId, &Multiaddr),
        reuse_port: bool,
    ) {
        match self.listeners.connect(addr, reuse_port) {
            Ok(socket) => drop(self.dials.insert(conn, R::connecting(socket))),
            Err(cause) => swarm.handle_dial_failed(now, conn, AttemptError::Transport(cause)),
        }
    }

    pub(crate) fn cancel(&mut self, conn: ConnectionId) {
        self.dials.remove(&conn);
    }

    /// Collects links that stand, with the seats that the swarm gave them. Says whether anything has happened.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        swarm: &mut Swarm,
        ready: &mut Vec<(Seat, R::Socket)>,
    ) -> bool {
        self.poll_dials(cx, now, swarm, ready) | self.poll_listeners(cx, now, swarm, ready)
    }

    fn poll_dials(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        swarm: &mut Swarm,
        ready: &mut Vec<(Seat, R::Socket)>,
    ) -> bool {
        let before = self.dials.len();
        self.dials.retain(|conn, connecting| {
            let Poll::Ready(result) = Pin::new(connecting).poll(cx) else {
                return true;
            };
            match result.and_then(|socket| R::addrs(&socket).map(|addrs| (socket, addrs))) {
                Ok((socket, (local, remote))) => {
                    let local = Some(to_multiaddr(local));
                    // A dial that was given up meanwhile has no seat; its link is dropped.
                    let seat = swarm.handle_dialed(now, *conn, local, to_multiaddr(remote));
                    ready.extend(seat.map(|seat| (seat, socket)));
                }
                Err(error) => swarm.handle_dial_failed(now, *conn, AttemptError::Transport(code(&error))),
            }
            false
        });
        self.dials.len() < before
    }

    fn poll_listeners(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        swarm: &mut Swarm,
        ready: &mut Vec<(Seat, R::Socket)>,
    ) -> bool {
        let accepted = self.listeners.accept(now, |listener| {
            let Poll::Ready(socket) = R::poll_accept(listener, cx) else {
                return Err(ErrorKind::WouldBlock.into());
            };
            let socket = socket?;
            // A socket without addresses is closed already.
            let ends = R::addrs(&socket).map_err(|_| ErrorKind::ConnectionAborted)?;
            Ok((socket, ends.0, ends.1))
        });
        let any = !accepted.is_empty();
        for (socket, local, remote) in accepted {
            let seat = swarm.handle_accepted(now, Some(local), remote);
            ready.extend(seat.map(|seat| (seat, socket)));
        }
        any
    }
}
