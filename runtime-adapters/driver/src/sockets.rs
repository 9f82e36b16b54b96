//! Listeners, and sockets that are being connected.

use crate::Runtime;
use core::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use libp2p_proto_core::{ConnectionId, Instant, Multiaddr};
use libp2p_proto_os::{code, connect_from, listen, to_multiaddr, to_multiaddr_like, to_socket};
use libp2p_proto_stream_protocol::{AttemptError, Seat};
use libp2p_proto_swarm::Swarm;
use std::{collections::BTreeMap, io};

/// Links that are accepted in one round.
const BATCH: usize = 256;
/// How long listeners rest after a failed accept: descriptors may be short for a moment.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

pub(crate) struct Sockets<R: Runtime> {
    dials: BTreeMap<ConnectionId, R::Connecting>,
    /// And what they listen on.
    listeners: Vec<(R::Listener, Multiaddr)>,
    /// When to accept again, after accepting has failed.
    accept_at: Option<Instant>,
}

impl<R: Runtime> Sockets<R> {
    pub(crate) const fn new() -> Self {
        Self {
            dials: BTreeMap::new(),
            listeners: Vec::new(),
            accept_at: None,
        }
    }

    /// Listens. Answers the concrete address; `None`: not an address of TCP, bare or below `/ws`.
    pub(crate) fn listen(&mut self, addr: &Multiaddr) -> Option<io::Result<Multiaddr>> {
        let socket = to_socket(addr)?;
        let listening = listen(socket).and_then(|listener| {
            let addr = to_multiaddr_like(listener.local_addr()?, addr);
            self.listeners.push((R::listener(listener)?, addr.clone()));
            Ok(addr)
        });
        Some(listening)
    }

    pub(crate) fn stop_listening(&mut self) {
        self.listeners.clear();
    }

    /// Connects; with `reuse_port` from a port where we listen, if there is one for it.
    pub(crate) fn dial(
        &mut self,
        now: Instant,
        swarm: &mut Swarm,
        (conn, addr): (ConnectionId, &Multiaddr),
        reuse_port: bool,
    ) {
        let Some(socket) = to_socket(addr) else {
            return swarm.handle_dial_failed(now, conn, AttemptError::Transport("unsupported"));
        };
        let plain = self
            .listeners
            .iter()
            .filter(|(_, addr)| addr.websocket().is_none());
        let listening = plain.filter_map(|(_, addr)| to_socket(addr));
        let shared = reuse_port.then(|| connect_from(listening, socket)).flatten();
        let connecting = shared.map_or_else(|| R::connect(socket), R::connecting);
        self.dials.insert(conn, connecting);
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
        if self.accept_at.is_some_and(|at| at > now) {
            return false;
        }
        self.accept_at = None;
        let mut any = false;
        for (listener, addr) in &mut self.listeners {
            for _ in 0..BATCH {
                let socket = match R::poll_accept(listener, cx) {
                    Poll::Ready(Ok(socket)) => socket,
                    Poll::Ready(Err(_)) => {
                        self.accept_at = Some(now + ACCEPT_AGAIN);
                        break;
                    }
                    Poll::Pending => break,
                };
                any = true;
                // A socket without addresses is closed already.
                if let Ok((local, remote)) = R::addrs(&socket) {
                    let local = Some(to_multiaddr_like(local, addr));
                    let seat = swarm.handle_accepted(now, local, to_multiaddr(remote));
                    ready.extend(seat.map(|seat| (seat, socket)));
                }
            }
        }
        any
    }

    /// When listeners have rested.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.accept_at
    }
}
