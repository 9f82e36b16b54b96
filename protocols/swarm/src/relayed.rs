//! Connections whose link is a stream of another one, and streams that are joined.

use crate::{
    conn::{Conn, Phase, Timer},
    core::Core,
    slot::{self, Splice},
};
use alloc::{boxed::Box, vec::Vec};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Multiaddr, PeerId, Side, StreamId};
use libp2p_proto_stream_protocol::{
    AttemptError, ConnectionInfo, Framing, Host as _, Link, OrderError, PromoteError, Seat, StreamOrder,
    ToConnection,
};

/// How much longer a connection may take to say that its upgrade was too slow.
const UPGRADE_GRACE: Duration = Duration::from_millis(500);

impl Core {
    /// The seat for a link, whose deadline was set when it was accepted or began to connect. The connection keeps it, and knows in which step; our own one is
    /// for connections that don't.
    pub(crate) fn seat(&mut self, conn: ConnectionId) -> Option<Seat> {
        let entry = self.conns.get(&conn)?;
        let seed = self.dice.fork_seed("connection", conn.get());
        let mut seat = Seat::new(conn, entry.info.side, seed);
        seat.expect = entry.peer;
        seat.upgrade_by = self.timers.get(Timer::Phase(conn))?;
        self.timers
            .set(Timer::Phase(conn), seat.upgrade_by + UPGRADE_GRACE);
        seat.limited = entry.info.limited;
        seat.specs = self.specs.clone();
        seat.inbound.clone_from(&self.inbound);
        seat.limits = self.config.streams;
        Some(seat)
    }

    /// Shortens the upgrade of a dial in the listener's role.
    pub(crate) fn hurry_if_punched(&mut self, conn: ConnectionId) {
        let known = self.conns.get(&conn).is_some_and(Conn::is_punched);
        if let Some(at) = self.timers.get(Timer::Phase(conn)).filter(|_| known) {
            let by = self.now + self.config.punch_upgrade;
            self.timers.set(Timer::Phase(conn), at.min(by));
        }
    }

    // ── connections inside of others ──

    /// Addresses an order to the connection that the adapter carries.
    pub(crate) fn by_link(&self, conn: ConnectionId, order: ToConnection) -> (ConnectionId, ToConnection) {
        let Some(outer) = self.conns.get(&conn).and_then(|known| known.outer) else {
            return (conn, order);
        };
        let says_whose = order.stream().is_some();
        let order = if says_whose {
            order
        } else {
            let order = Box::new(order);
            ToConnection::Inner { conn, order }
        };
        (outer, order)
    }

    /// Whether a connection runs inside of another.
    pub(crate) fn is_inside(&self, conn: ConnectionId, link: ConnectionId) -> bool {
        let known = self.conns.get(&conn);
        known.is_some_and(|known| known.outer == Some(link))
    }

    /// The connections that run inside of this one.
    pub(crate) fn inside(&self, outer: ConnectionId) -> Vec<ConnectionId> {
        let inside = self.conns.iter().filter(|(_, conn)| conn.outer == Some(outer));
        inside.map(|(id, _)| *id).collect()
    }

    /// Whether there is somebody to ask for a link to this address: through one relay, which is named and not us.
    pub(crate) fn carries(&self, addr: &Multiaddr) -> bool {
        let Some((Some(relay), None)) = addr.split_relay() else {
            return false;
        };
        self.carrier.is_some() && relay.peer_id().is_some_and(|relay| relay != self.local)
    }

    /// What to ask the carrier for next.
    pub(crate) fn next_wanted_link(&mut self) -> Option<(u8, ConnectionId, PeerId, Multiaddr)> {
        let carrier = self.carrier?;
        while let Some(id) = self.wanted_links.pop_front() {
            let Some(conn) = self.conns.get(&id).filter(|conn| conn.phase == Phase::Connecting) else {
                continue;
            };
            if let Some(peer) = conn.peer {
                return Some((carrier, id, peer, conn.info.remote.clone()));
            }
            self.fail_attempt(id, AttemptError::Denied("no-target"));
        }
        None
    }

    /// Makes a link of a stream.
    pub(crate) fn promote_stream(
        &mut self,
        protocol: u8,
        stream: StreamId,
        link: Link,
    ) -> Result<ConnectionId, PromoteError> {
        let slot = self.slots.get(&stream).filter(|slot| slot.protocol == protocol);
        let slot = slot.ok_or(PromoteError::Unknown)?;
        let carries = self
            .specs
            .get(slot.spec)
            .is_some_and(|entry| entry.spec.carries_links);
        let open = matches!(slot.phase, slot::Phase::Open | slot::Phase::Finished) && !slot.finishing;
        if !carries || !open || slot.splice.is_some() {
            return Err(PromoteError::Unknown);
        }
        if self
            .conns
            .get(&stream.conn)
            .is_none_or(|conn| conn.outer.is_some())
        {
            return Err(PromoteError::Nested);
        }
        let conn = match link {
            Link::Dialed { conn, limited } => self.adopt(conn, stream.conn, limited)?,
            Link::Accepted {
                peer,
                remote,
                limited,
            } => {
                let exempt = self.check_accept(None, &remote, false).inspect_err(|_| {
                    self.stats.refused = self.stats.refused.saturating_add(1);
                });
                let exempt = exempt.map_err(|denied| PromoteError::Denied(denied.0))?;
                let info = ConnectionInfo {
                    side: Side::Listener,
                    local: None,
                    remote,
                    limited,
                    dial: None,
                };
                let mut conn = Conn::new(Phase::Upgrading, info, Some(peer), exempt);
                conn.outer = Some(stream.conn);
                self.add_conn(conn, self.now + self.config.inbound_upgrade)
            }
        };
        let seat = self.seat(conn).ok_or(PromoteError::Cancelled)?;
        if let Some(slot) = self.slots.get_mut(&stream) {
            slot.finishing = true;
            slot.framing = Framing::Raw;
        }
        let seat = Box::new(seat);
        self.order_to(stream.conn, ToConnection::Promote { stream, seat });
        Ok(conn)
    }

    /// A link that a dial waits for stands.
    fn adopt(
        &mut self,
        conn: ConnectionId,
        outer: ConnectionId,
        limited: bool,
    ) -> Result<ConnectionId, PromoteError> {
        let waits = |known: &&Conn| known.phase == Phase::Connecting && known.info.remote.is_relayed();
        let known = self.conns.get(&conn).filter(waits);
        let dial = known
            .and_then(|known| known.info.dial)
            .ok_or(PromoteError::Cancelled)?;
        self.change_conn(conn, |conn| {
            conn.phase = Phase::Upgrading;
            conn.info.limited = limited;
            conn.outer = Some(outer);
        });
        self.hold_dial(dial);
        Ok(conn)
    }

    /// A link that a dial waits for could not be made.
    pub(crate) fn wanted_link_failed(&mut self, protocol: u8, conn: ConnectionId, error: AttemptError) {
        let waits = |known: &Conn| known.phase == Phase::Connecting && known.info.remote.is_relayed();
        if self.carrier == Some(protocol) && self.conns.get(&conn).is_some_and(waits) {
            self.fail_attempt(conn, error);
        }
    }

    // ── joined streams ──

    pub(crate) fn join(&mut self, protocol: u8, ends: [StreamId; 2], max: u64) -> Result<(), OrderError> {
        let [a, b] = ends;
        for stream in ends {
            let slot = self.slots.get(&stream).filter(|slot| slot.protocol == protocol);
            let slot = slot.ok_or(OrderError::Unknown)?;
            let open = matches!(slot.phase, slot::Phase::Open | slot::Phase::Finished) && !slot.finishing;
            if !open || slot.splice.is_some() || a == b {
                return Err(OrderError::Unknown);
            }
        }
        for (stream, to) in [(a, b), (b, a)] {
            let foreign = self.slots.get(&to).map_or(0, |slot| slot.unsent);
            if let Some(slot) = self.slots.get_mut(&stream) {
                slot.framing = Framing::Raw;
                slot.splice = Some(Splice {
                    to,
                    left: max,
                    over: false,
                    foreign,
                });
            }
        }
        for (stream, to) in [(a, b), (b, a)] {
            let order = StreamOrder::Reframe(Framing::Raw);
            self.order_to(stream.conn, ToConnection::Order { stream, order });
            if self.slots.get(&stream).map(|slot| slot.phase) == Some(slot::Phase::Finished) {
                self.finish_joined(to);
            }
        }
        Ok(())
    }

    /// The stream at the other end of a joined one.
    pub(crate) fn joined(&self, stream: StreamId) -> Option<StreamId> {
        self.slots.get(&stream)?.splice.map(|splice| splice.to)
    }

    /// Bytes came on a joined stream: they go on as they are, as far as they are allowed.
    pub(crate) fn pass_on(&mut self, stream: StreamId, mut data: Bytes) {
        let Some(splice) = self.slots.get_mut(&stream).and_then(|slot| slot.splice.as_mut()) else {
            return;
        };
        let allowed = usize::try_from(splice.left).unwrap_or(usize::MAX).min(data.len());
        splice.left = splice.left.saturating_sub(allowed as u64);
        splice.over |= allowed < data.len();
        let (to, over) = (splice.to, splice.over);
        data.truncate(allowed);
        if let Some(slot) = self.slots.get_mut(&to).filter(|_| !data.is_empty()) {
            slot.unsent = slot.unsent.saturating_add(data.len());
            self.order_to(to.conn, ToConnection::Write { stream: to, data });
        }
        if over {
            self.end_if_over(stream);
        }
    }

    /// Bytes have left on a joined stream: the sender of them may send as many more.
    pub(crate) fn passed_on(&mut self, stream: StreamId, bytes: usize) {
        let Some(from) = self.joined(stream) else { return };
        let Some(splice) = self.slots.get_mut(&from).and_then(|slot| slot.splice.as_mut()) else {
            return;
        };
        let foreign = bytes.min(splice.foreign);
        splice.foreign = splice.foreign.saturating_sub(foreign);
        let (over, bytes) = (splice.over, bytes.saturating_sub(foreign));
        if bytes > 0 {
            self.order_to(from.conn, ToConnection::Grant { stream: from, bytes });
        }
        if over {
            self.end_if_over(from);
        }
    }

    /// Ends two joined streams whose limit is passed, once what was allowed has left.
    fn end_if_over(&mut self, stream: StreamId) {
        let Some(to) = self.joined(stream) else { return };
        if self.slots.get(&to).is_none_or(|slot| slot.unsent == 0) {
            self.reset_joined(to);
            self.reset_joined(stream);
        }
    }

    /// The remote of the other stream sends no more.
    pub(crate) fn finish_joined(&mut self, stream: StreamId) {
        if let Some(protocol) = self.slots.get(&stream).map(|slot| slot.protocol) {
            let _gone_is_fine = self.order(protocol, stream, StreamOrder::Finish);
        }
    }

    /// The other stream is gone.
    pub(crate) fn reset_joined(&mut self, stream: StreamId) {
        if let Some(protocol) = self.slots.get(&stream).map(|slot| slot.protocol) {
            let _gone_is_fine = self.order(protocol, stream, StreamOrder::Reset);
        }
    }
}
