//! Who may come in, who may stay, and who goes first.

use crate::{
    Denied,
    conn::{Conn, Phase, Timer},
    core::Core,
    gate::Stage,
    hosts::Host,
};
use alloc::{boxed::Box, vec::Vec};
use core::cmp::Reverse;
use libp2p_proto_core::{ConnectionId, Instant, Multiaddr, PeerId};
use libp2p_proto_stream_protocol::{AttemptError, ToConnection};

impl Core {
    /// The limits on inbound connections, cheapest first; nothing was spent on the link before. Says whether it is exempt: by the gate, or because it is `expected`.
    pub(crate) fn check_accept(
        &mut self,
        local: Option<&Multiaddr>,
        remote: &Multiaddr,
        expected: bool,
    ) -> Result<bool, Denied> {
        if self.closing {
            return Err(Denied("closing"));
        }
        self.gate.check(&Stage::Accept { local, remote })?;
        if expected || self.gate.is_exempt(remote) {
            return if self.census.exempt_links() < self.config.max_exempt {
                Ok(true)
            } else {
                Err(Denied("max-exempt"))
            };
        }
        let (config, counts, host) = (&self.config, self.census.ordinary, Host::of(remote));
        let of_host = self.census.host(host);
        let limits = [
            ("max-connections", counts.established(), config.max_connections),
            ("max-inbound", counts.established_in, config.max_inbound),
            ("max-per-ip", of_host.all, config.max_per_ip),
            ("max-pending-per-ip", of_host.pending, config.max_pending_per_ip),
        ];
        if let Some((name, ..)) = limits.iter().find(|(_, count, max)| count >= max) {
            return Err(Denied(name));
        }
        let (per_second, max_hosts) = (config.accepts_per_second, config.max_rated_ips);
        if !self.rates.admit(self.now, host, per_second, max_hosts) {
            return Err(Denied("rate"));
        }
        if self.census.ordinary.pending_in() >= self.config.max_pending_inbound {
            let crowded_out = self
                .census
                .makes_room_for(remote)
                .ok_or(Denied("max-pending-inbound"))?;
            self.stats.crowded_out = self.stats.crowded_out.saturating_add(1);
            self.end_attempt(crowded_out, AttemptError::Denied("max-pending-inbound"));
        }
        Ok(false)
    }

    /// The peer has proved who it is: is it welcome?
    pub(crate) fn check_peer(&self, conn: &Conn, peer: PeerId) -> Result<(), AttemptError> {
        if peer == self.local {
            return Err(AttemptError::SelfDial);
        }
        if let Some(expected) = conn.peer.filter(|expected| *expected != peer) {
            return Err(AttemptError::WrongPeer { expected, got: peer });
        }
        let stage = Stage::Secured {
            peer: &peer,
            info: &conn.info,
        };
        self.gate
            .check(&stage)
            .map_err(|denied| AttemptError::Denied(denied.0))?;
        if conn.exempt || self.worth.is_protected(&peer) {
            return Ok(());
        }
        let (counts, config) = (&self.census.ordinary, &self.config);
        let welcome = counts.welcome_in().saturating_add(counts.welcome_out());
        if conn.is_inbound() {
            if counts.welcome_in() >= config.max_inbound {
                return Err(AttemptError::Denied("max-inbound"));
            }
            // A stranger never takes the place of a connection that stands.
            if welcome >= config.max_connections {
                return Err(AttemptError::Denied("max-connections"));
            }
        } else if counts.welcome_out() >= config.max_outbound {
            return Err(AttemptError::Denied("max-outbound"));
        }
        Ok(())
    }

    /// The last word of the gate, when the connection could stand.
    pub(crate) fn check_upgraded(&self, conn: &Conn, peer: &PeerId) -> Result<(), AttemptError> {
        let info = &conn.info;
        self.gate
            .check(&Stage::Upgraded { peer, info })
            .map_err(|denied| AttemptError::Denied(denied.0))
    }

    /// Makes room for a connection that has just come to stand.
    pub(crate) fn make_room(&mut self, conn: ConnectionId, peer: PeerId) {
        // A peer that comes again may have lost its old connection without our knowing: the oldest of those that carry least makes room. Relayed connections do not make room for
        // direct ones, nor the reverse: the one is there until the other has taken over its streams.
        let limited = self.conns.get(&conn).is_some_and(|conn| conn.info.limited);
        let mut standing = self.standing(peer);
        standing.retain(|other| other.limited == limited);
        standing.sort_by_key(|other| (other.streams > 0, other.conn));
        let too_many = standing.len().saturating_sub(self.config.max_per_peer);
        for other in standing.iter().filter(|other| other.conn != conn).take(too_many) {
            self.close_connection(other.conn);
        }
        if self.census.ordinary.established() > self.config.max_connections {
            let least = self.by_worth(|id, _| id != conn).into_iter().next();
            match least {
                Some(least) => self.trim_one(least),
                None if !self.worth.is_protected(&peer) => self.close_connection(conn),
                None => {}
            }
        }
        self.watch_crowd();
    }

    /// Established connections that may be trimmed, those worth least first: fewest tags, not kept by a protocol's word, no stream that keeps it, theirs before
    /// ours, the youngest.
    fn by_worth(&self, may_go: impl Fn(ConnectionId, Instant) -> bool) -> Vec<ConnectionId> {
        let mut found: Vec<_> = self
            .conns
            .iter()
            .filter_map(|(id, conn)| {
                let (Phase::Established { since }, Some(peer)) = (&conn.phase, &conn.peer) else {
                    return None;
                };
                let spared = conn.exempt || self.worth.is_protected(peer) || !may_go(*id, *since);
                let ours = !conn.is_inbound();
                (!spared).then(|| {
                    (
                        self.worth.value(peer),
                        conn.kept,
                        conn.is_kept(),
                        ours,
                        Reverse(*id),
                    )
                })
            })
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(.., Reverse(id))| id).collect()
    }

    fn trim_one(&mut self, conn: ConnectionId) {
        self.stats.trimmed = self.stats.trimmed.saturating_add(1);
        self.close_connection(conn);
    }

    /// Sets the time of the next trim, if there are too many connections.
    fn watch_crowd(&mut self) {
        if let Some(trim) = self.config.trim {
            if self.census.established() > trim.high {
                let at = self.last_trim.map_or(self.now, |last| last + trim.every);
                self.timers.set(Timer::Trim, self.now.max(at));
            }
        }
    }

    /// Closes what is worth least, down to the low mark, sparing the young and the protected.
    pub(crate) fn trim(&mut self) {
        let Some(trim) = self.config.trim else { return };
        let established = self.census.established();
        if established <= trim.high {
            return;
        }
        self.last_trim = Some(self.now);
        let now = self.now;
        let grown = |_, since: Instant| now.since(since) >= trim.grace;
        let too_many = established.saturating_sub(trim.low);
        for conn in self.by_worth(grown).into_iter().take(too_many) {
            self.trim_one(conn);
        }
        if self.census.established() > trim.high {
            let again = trim.every.max(core::time::Duration::from_secs(1));
            self.timers.set(Timer::Trim, self.now + again);
        }
    }

    /// Ends a connection that is not established, for this reason.
    pub(crate) fn end_attempt(&mut self, conn: ConnectionId, error: AttemptError) {
        // Whoever was authenticated is told in an orderly way, on a link that is fit for it.
        self.set_phase(conn, Phase::Closing(Some(Box::new(error))));
        self.timers
            .set(Timer::Phase(conn), self.now + self.config.close_timeout);
        self.order_to(conn, ToConnection::Close);
    }
}
