//! What becomes of connections: order among those of one peer, idleness, their end.

use crate::{
    Action,
    conn::{Phase, Timer},
    core::Core,
    tie::{Standing, preference, redundant_from},
};
use libp2p_proto_core::{ConnectionId, PeerId};
use libp2p_proto_stream_protocol::{AttemptError, ToConnection};
use smallvec::SmallVec;

impl Core {
    /// The established connections to a peer, the preferred one first.
    pub(crate) fn standing(&self, peer: PeerId) -> SmallVec<[Standing; 2]> {
        let known = self.peers.get(&peer).into_iter();
        known
            .flat_map(|known| &known.conns)
            .filter_map(|id| self.standing_of(*id))
            .collect()
    }

    fn standing_of(&self, id: ConnectionId) -> Option<Standing> {
        let conn = self.conns.get(&id)?;
        let Phase::Established { since } = conn.phase else {
            return None;
        };
        Some(Standing {
            conn: id,
            side: conn.info.side,
            limited: conn.info.limited,
            aside: conn.aside,
            // A dial in the listener's role is half of a hole punch, and so is an accepted link in the dialer's.
            punched: conn.is_punched(),
            streams: conn.streams,
            kept: conn.kept,
            since,
        })
    }

    /// A connection to `peer` has come to stand: puts them all in order, and watches for one that is not needed.
    pub(crate) fn prefer(&mut self, peer: PeerId) {
        let mut standing = self.standing(peer);
        standing.sort_by_cached_key(|standing| preference(&self.local, &peer, standing));
        let order: SmallVec<[ConnectionId; 2]> = standing.iter().map(|standing| standing.conn).collect();
        if let Some(known) = self.peers.get_mut(&peer) {
            // Those that are closing come last.
            known
                .conns
                .sort_by_key(|id| order.iter().position(|known| known == id).unwrap_or(usize::MAX));
        }
        for other in standing.iter().skip(1) {
            self.watch_redundant(other.conn);
        }
    }

    /// Takes a connection out of the choice while another one stands.
    pub(crate) fn put_aside(&mut self, id: ConnectionId) {
        let known = self.conns.get_mut(&id).filter(|conn| conn.is_established());
        let peer = known.and_then(|conn| {
            conn.aside = true;
            conn.peer
        });
        if let Some(peer) = peer {
            self.prefer(peer);
        }
    }

    /// Sets the time at which a connection that is not preferred may go, if it may.
    pub(crate) fn watch_redundant(&mut self, id: ConnectionId) {
        let at = self.redundant_from(id).map(|at| self.now.max(at));
        self.timers.set_or_clear(Timer::Redundant(id), at);
    }

    pub(crate) fn redundant_from(&self, id: ConnectionId) -> Option<libp2p_proto_core::Instant> {
        let peer = self.conns.get(&id)?.peer?;
        let standing = self.standing(peer);
        let preferred = standing.first()?;
        let other = standing.iter().find(|standing| standing.conn == id)?;
        redundant_from(preferred, other)
    }

    /// Counts a stream in or out. Only a stream that keeps its connection touches the idle clock.
    pub(crate) fn count_stream(&mut self, id: ConnectionId, keeps: bool, up: bool) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let change = |count: u32| {
            if up {
                count.saturating_add(1)
            } else {
                count.saturating_sub(1)
            }
        };
        conn.streams = change(conn.streams);
        let was_kept = conn.is_kept();
        if keeps {
            conn.keeping = change(conn.keeping);
        }
        let (is_kept, streams) = (conn.is_kept(), conn.streams);
        if was_kept != is_kept {
            self.watch_idle(id);
        }
        if streams == 0 {
            self.watch_redundant(id);
        }
    }

    /// A protocol keeps a connection without a stream, or no longer.
    pub(crate) fn keep_for(&mut self, protocol: u8, id: ConnectionId, keep: bool) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let was_kept = conn.is_kept();
        if keep {
            self.kept.insert((id, protocol));
        } else {
            self.kept.remove(&(id, protocol));
        }
        conn.kept = self.kept.range((id, 0)..=(id, u8::MAX)).next().is_some();
        if was_kept != conn.is_kept() {
            self.watch_idle(id);
        }
        self.watch_redundant(id);
    }

    /// Starts or stops the idle clock of a connection.
    pub(crate) fn watch_idle(&mut self, id: ConnectionId) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let protected = conn.peer.is_some_and(|peer| self.worth.is_protected(&peer));
        let idle = conn.is_established() && !conn.is_kept() && !protected;
        let timeout = self.config.idle_timeout.filter(|_| idle);
        self.timers
            .set_or_clear(Timer::Idle(id), timeout.map(|timeout| self.now + timeout));
    }

    /// Closes a connection in an orderly way, or gives up the attempt to make it.
    pub(crate) fn close_connection(&mut self, id: ConnectionId) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        match conn.phase {
            Phase::Connecting => {
                self.cancel_attempt(id);
                self.fail_attempt(id, AttemptError::Cancelled);
            }
            Phase::Upgrading | Phase::Admitted => self.end_attempt(id, AttemptError::Cancelled),
            Phase::Established { .. } => {
                self.set_phase(id, Phase::Closing(None));
                self.timers.clear(Timer::Idle(id));
                self.timers.clear(Timer::Redundant(id));
                self.timers
                    .set(Timer::Phase(id), self.now + self.config.close_timeout);
                self.order_to(id, ToConnection::Close);
            }
            Phase::Closing(_) => {}
        }
    }

    /// Tells the adapter to forget a link that it connects.
    pub(crate) fn cancel_attempt(&mut self, conn: ConnectionId) {
        let addr = self.conns.get(&conn).map(|conn| &conn.info.remote);
        if addr.is_some_and(|addr| self.carries(addr) && !self.has_transport(addr)) {
            // Whoever makes it hears so when it wants to hand it in.
            return;
        }
        self.actions.push_back(Action::CancelDial { conn });
    }
}
