//! What connections report, and what follows from it for protocols and the application.

use crate::{
    Event, Swarm,
    conn::{Conn, Phase, Timer},
    scopes::Owner,
    slot::{self, Slot},
};
use alloc::vec::Vec;
use libp2p_proto_core::{ConnectionId, Fault, Multiaddr, PeerId, ProtocolName, StreamId, UnixTime};
use libp2p_proto_stream_protocol::{
    AttemptError, Closed, FromConnection, Input, LinkError, Protocols, SpecId, StreamOrder, ToConnection,
    Traffic,
};

/// What waits to be processed, in the order in which it came.
#[derive(Debug)]
pub(crate) enum News {
    /// A connection reports.
    Told(ConnectionId, FromConnection),
    /// A connection has not left its phase in time. Processed behind what it had reported by then.
    Overdue(ConnectionId),
    /// More news of a connection came than may wait.
    Overrun(ConnectionId),
}

const OVERDUE: LinkError = LinkError {
    fault: Fault::Peer,
    code: "upgrade-timeout",
};
const OVERRUN: LinkError = LinkError {
    fault: Fault::Limit,
    code: "too-much-news",
};
/// The connection around a relayed one is gone.
const OUTER_LOST: LinkError = LinkError {
    fault: Fault::Peer,
    code: "relay",
};
/// A link that ended before it was of use, without a word.
const UNEXPLAINED: LinkError = LinkError {
    fault: Fault::Peer,
    code: "closed",
};

impl Swarm {
    pub(crate) fn process_news(&mut self, unix: UnixTime, protocols: Protocols<'_, '_>, news: News) {
        match news {
            News::Told(conn, message) => {
                if let Some(entry) = self.core.conns.get_mut(&conn) {
                    entry.waiting = entry.waiting.saturating_sub(1);
                    self.process(unix, protocols, conn, message);
                }
            }
            News::Overdue(conn) => {
                let phase = self.core.conns.get(&conn).map(|conn| &conn.phase);
                let error = match phase {
                    None | Some(Phase::Established { .. }) => return,
                    Some(Phase::Closing(_)) => None,
                    Some(_) => Some(OVERDUE),
                };
                self.drop_connection(unix, protocols, conn, error);
            }
            News::Overrun(conn) => self.drop_connection(unix, protocols, conn, Some(OVERRUN)),
        }
    }

    /// Forgets a connection, whether or not it reports its end.
    fn drop_connection(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        conn: ConnectionId,
        error: Option<LinkError>,
    ) {
        self.core.order_to(conn, ToConnection::Abort);
        self.disconnected(unix, protocols, conn, error);
    }

    fn process(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        conn: ConnectionId,
        message: FromConnection,
    ) {
        match message {
            FromConnection::Authenticated { peer } => self.authenticated(conn, peer),
            FromConnection::WrongPeer { got } => self.wrong_peer(conn, got),
            FromConnection::Established { security, muxer } => {
                self.established(unix, protocols, conn, security, muxer);
            }
            FromConnection::Carried(traffic) => self.carried(conn, traffic),
            FromConnection::Disconnected { error } => self.disconnected(unix, protocols, conn, error),
            FromConnection::Inner { .. } => {}
            message if message.stream().is_none_or(|stream| stream.conn != conn) => {
                // A stream of another connection: whoever says so is mistaken.
            }
            FromConnection::Opened { stream, spec, name } => self.opened(unix, protocols, stream, spec, name),
            FromConnection::Closed { stream, reason } => self.stream_closed(unix, protocols, stream, reason),
            FromConnection::Sent { stream, bytes } => {
                if let Some(slot) = self.core.slots.get_mut(&stream) {
                    slot.unsent = slot.unsent.saturating_sub(bytes);
                    self.core.passed_on(stream, bytes);
                    self.unblock(unix, protocols, stream);
                }
            }
            FromConnection::Frame { stream, data } => {
                if self.phase_of(stream) == Some(slot::Phase::Open) {
                    if self.core.joined(stream).is_some() {
                        return self.core.pass_on(stream, data);
                    }
                    self.core.stats.frames_in = self.core.stats.frames_in.saturating_add(1);
                    let bytes = data.len();
                    self.deliver_to_owner(unix, protocols, stream, Input::Frame { stream, data });
                    self.core.delivered(stream, bytes);
                }
            }
            FromConnection::Flushed { stream, frames } => {
                // What left with a lazy proposal has left, whether or not the name is agreed by now.
                if matches!(
                    self.phase_of(stream),
                    Some(slot::Phase::Opening { lazy: true } | slot::Phase::Open | slot::Phase::Finished)
                ) {
                    self.deliver_to_owner(unix, protocols, stream, Input::Flushed { stream, frames });
                }
            }
            FromConnection::Finished { stream } => {
                if let Some(slot) = self.core.slots.get_mut(&stream) {
                    if slot.phase == slot::Phase::Open {
                        slot.phase = slot::Phase::Finished;
                        if let Some(other) = self.core.joined(stream) {
                            return self.core.finish_joined(other);
                        }
                        self.deliver_to_owner(unix, protocols, stream, Input::Finished { stream });
                    }
                }
            }
        }
    }

    fn phase_of(&self, stream: StreamId) -> Option<slot::Phase> {
        self.core.slots.get(&stream).map(|slot| slot.phase)
    }

    fn deliver_to_owner(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        stream: StreamId,
        input: Input,
    ) {
        if let Some(place) = self.core.slots.get(&stream).map(|slot| slot.protocol) {
            self.deliver(unix, protocols, place, input);
        }
    }

    /// A blocked writer may go on once at least half of its capacity is free.
    fn unblock(&mut self, unix: UnixTime, protocols: Protocols<'_, '_>, stream: StreamId) {
        let Some(slot) = self.core.slots.get_mut(&stream) else {
            return;
        };
        let spec = self.core.specs.get(slot.spec);
        let capacity = spec.map_or(0, |entry| entry.spec.send_capacity);
        if slot.blocked && slot.unsent <= capacity / 2 && slot.takes_frames() {
            slot.blocked = false;
            self.deliver_to_owner(unix, protocols, stream, Input::Writable { stream });
        }
    }

    // ── connections ──

    fn authenticated(&mut self, id: ConnectionId, peer: PeerId) {
        let Some(conn) = self.core.conns.get(&id).filter(|_| self.core.is_upgrading(id)) else {
            return;
        };
        match self.core.check_peer(conn, peer) {
            Ok(()) => {
                self.core.change_conn(id, |conn| {
                    conn.phase = Phase::Admitted;
                    conn.peer = Some(peer);
                });
                self.core.order_to(id, ToConnection::Admit);
            }
            Err(error) => self.core.end_attempt(id, error),
        }
    }

    /// The connection itself has refused another peer than its seat expects.
    fn wrong_peer(&mut self, id: ConnectionId, got: PeerId) {
        let upgrading = self.core.conns.get(&id).filter(|_| self.core.is_upgrading(id));
        if let Some(expected) = upgrading.and_then(|conn| conn.peer) {
            self.core
                .end_attempt(id, AttemptError::WrongPeer { expected, got });
        }
    }

    fn established(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        id: ConnectionId,
        security: ProtocolName,
        muxer: ProtocolName,
    ) {
        let Some(conn) = self.core.conns.get(&id) else {
            return;
        };
        let (Phase::Admitted, Some(peer)) = (&conn.phase, conn.peer) else {
            return;
        };
        if let Err(error) = self.core.check_upgraded(conn, &peer) {
            return self.core.end_attempt(id, error);
        }
        let info = conn.info.clone();
        let since = self.core.now;
        self.core.set_phase(id, Phase::Established { since });
        self.core.timers.clear(Timer::Phase(id));
        let known = self.core.peers.entry(peer).or_default();
        known.conns.push(id);
        let first = known.conns.len() == 1;
        self.core.prefer(peer);
        if let Some(dial) = info.dial {
            self.core.dial_succeeded(id, dial, peer, &info.remote);
        }
        self.core.watch_idle(id);
        self.core.make_room(id, peer);
        self.core.events.push_back(Event::Connected {
            peer,
            conn: id,
            first,
            info: info.clone(),
            security,
            muxer,
        });
        let input = Input::Connected {
            peer,
            conn: id,
            first,
            info,
        };
        self.deliver_all(unix, protocols, None, &input);
    }

    /// Totals never shrink, whatever a connection says.
    fn carried(&mut self, id: ConnectionId, traffic: Traffic) {
        let Some(conn) = self.core.conns.get_mut(&id) else {
            return;
        };
        let (known, stats) = (&mut conn.traffic, &mut self.core.stats);
        for (total, before, after) in [
            (&mut stats.bytes_in, &mut known.bytes_in, traffic.bytes_in),
            (&mut stats.bytes_out, &mut known.bytes_out, traffic.bytes_out),
        ] {
            *total = total.saturating_add(after.saturating_sub(*before));
            *before = after.max(*before);
        }
        known.rtt = traffic.rtt.or(known.rtt);
    }

    fn disconnected(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        id: ConnectionId,
        error: Option<LinkError>,
    ) {
        for inner in self.core.inside(id) {
            self.disconnected(unix, protocols, inner, Some(OUTER_LOST));
        }
        // From here on nothing can be opened on it. It has closed its streams; whatever it did not know of is closed here.
        self.core.close_connection_record(id);
        for stream in self.core.streams_of(id) {
            self.stream_closed(unix, protocols, stream, Closed::ConnectionLost);
        }
        let Some(conn) = self.core.remove_conn(id) else {
            return;
        };
        let known = conn.peer.and_then(|peer| {
            let known = self.core.peers.get_mut(&peer)?;
            let place = known.conns.iter().position(|known| *known == id)?;
            known.conns.remove(place);
            Some((peer, known.conns.is_empty()))
        });
        let Some((peer, last)) = known else {
            return self.upgrade_failed(id, conn, error);
        };
        if last {
            self.core.peers.remove(&peer);
            self.core.book.last_seen(self.core.now, &peer);
        } else {
            self.core.prefer(peer);
        }
        self.core.events.push_back(Event::Disconnected {
            peer,
            conn: id,
            last,
            error,
        });
        let input = Input::Disconnected { peer, conn: id, last };
        self.deliver_all(unix, protocols, None, &input);
    }

    fn upgrade_failed(&mut self, id: ConnectionId, conn: Conn, error: Option<LinkError>) {
        let verdict = match conn.phase {
            Phase::Closing(verdict) => verdict.map(|verdict| *verdict),
            _ => None,
        };
        let remote = conn.info.remote;
        if let Some(dial) = conn.info.dial {
            let error = verdict.unwrap_or_else(|| attempt_error(error.unwrap_or(UNEXPLAINED)));
            self.core.attempt_failed(id, dial, &remote, error);
        } else {
            let error = verdict.and_then(link_error).or(error).unwrap_or(UNEXPLAINED);
            self.incoming_failed(remote, error);
        }
    }

    /// Tells of an inbound connection that failed, unless the application is behind: remotes make as many of these as they like.
    fn incoming_failed(&mut self, remote: Multiaddr, error: LinkError) {
        let stats = &mut self.core.stats;
        stats.incoming_failed = stats.incoming_failed.saturating_add(1);
        if self.core.events.len() < self.core.config.max_events.div_ceil(2) {
            self.core
                .events
                .push_back(Event::IncomingFailed { remote, error });
        }
    }

    // ── streams ──

    fn opened(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        stream: StreamId,
        spec: SpecId,
        name: ProtocolName,
    ) {
        let Some(entry) = self.core.specs.get(spec) else {
            return;
        };
        let (protocol, index) = (entry.protocol, entry.index);
        let known = if stream.is_inbound() {
            self.accepted(stream, spec)
        } else {
            self.agreed(stream, spec)
        };
        let Some(peer) = known else { return };
        let input = Input::Opened {
            stream,
            peer,
            spec: index,
            name,
        };
        self.deliver(unix, protocols, protocol, input);
        self.unblock(unix, protocols, stream);
    }

    /// A stream of theirs has its name agreed. `None`: it is not told.
    fn accepted(&mut self, stream: StreamId, spec: SpecId) -> Option<PeerId> {
        let conn = self.core.conns.get(&stream.conn)?;
        let peer = conn.peer.filter(|_| conn.is_established())?;
        if self.core.slots.contains_key(&stream) {
            return None;
        }
        let entry = self.core.specs.get(spec)?;
        let (service, keeps, framing) = (entry.protocol, entry.spec.keeps_alive, entry.spec.framing);
        let owner = Owner {
            inbound: true,
            service,
            spec,
            peer,
        };
        if !self.core.scopes.reserve(&owner) {
            let stats = &mut self.core.stats;
            stats.streams_refused = stats.streams_refused.saturating_add(1);
            let order = StreamOrder::Reset;
            self.core
                .order_to(stream.conn, ToConnection::Order { stream, order });
            return None;
        }
        let slot = Slot::new(slot::Phase::Open, service, spec, peer, framing);
        self.core.slots.insert(stream, slot);
        self.core.count_stream(stream.conn, keeps, true);
        Some(peer)
    }

    /// A stream of ours has its name agreed. `None`: it is not told.
    fn agreed(&mut self, stream: StreamId, spec: SpecId) -> Option<PeerId> {
        let entry = self.core.specs.get(spec)?;
        let (protocol, keeps, framing) = (entry.protocol, entry.spec.keeps_alive, entry.spec.framing);
        let slot = self.core.slots.get_mut(&stream)?;
        if !matches!(slot.phase, slot::Phase::Opening { .. }) || slot.protocol != protocol {
            return None;
        }
        slot.phase = slot::Phase::Open;
        let (peer, was) = (slot.peer, slot.owner(stream));
        if slot.spec != spec {
            slot.spec = spec;
            slot.framing = framing;
            let is = slot.owner(stream);
            self.core.scopes.shift(&was, &is);
            let kept = self
                .core
                .specs
                .get(was.spec)
                .is_some_and(|entry| entry.spec.keeps_alive);
            if kept != keeps {
                self.core.count_stream(stream.conn, keeps, true);
                self.core.count_stream(stream.conn, kept, false);
            }
        }
        Some(peer)
    }

    fn stream_closed(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        stream: StreamId,
        reason: Closed,
    ) {
        let Some(slot) = self.core.slots.get_mut(&stream) else {
            return;
        };
        slot.phase = slot::Phase::Gone;
        let joined = slot.splice.filter(|_| reason != Closed::Finished);
        let (protocol, spec, owner) = (slot.protocol, slot.spec, slot.owner(stream));
        // Its place is free before its protocol hears of it, which may want the place at once.
        self.core.scopes.release(&owner);
        self.core.forget_credit(stream);
        if let Some(splice) = joined {
            self.core.reset_joined(splice.to);
        }
        let spec = self.core.specs.get(spec);
        let keeps = spec.is_some_and(|entry| entry.spec.keeps_alive);
        self.core.count_stream(stream.conn, keeps, false);
        self.deliver(unix, protocols, protocol, Input::Closed { stream, reason });
        self.core.slots.remove(&stream);
    }
}

/// What a failed link means for the address that was dialed.
fn attempt_error(error: LinkError) -> AttemptError {
    match error.code {
        "upgrade-timeout" => AttemptError::TimedOut,
        "self-dial" => AttemptError::SelfDial,
        _ => AttemptError::Upgrade(error),
    }
}

/// What our verdict means for a link that came in.
fn link_error(verdict: AttemptError) -> Option<LinkError> {
    let code = match verdict {
        AttemptError::Denied(code) => code,
        AttemptError::SelfDial => "self-dial",
        _ => return None,
    };
    Some(LinkError {
        fault: Fault::Limit,
        code,
    })
}

impl crate::core::Core {
    /// Nothing is opened on a connection that has ended.
    fn close_connection_record(&mut self, id: ConnectionId) {
        let established = self.conns.get(&id).is_some_and(Conn::is_established);
        if established {
            self.set_phase(id, Phase::Closing(None));
        }
    }

    fn is_upgrading(&self, id: ConnectionId) -> bool {
        self.conns
            .get(&id)
            .is_some_and(|conn| conn.phase == Phase::Upgrading)
    }

    pub(crate) fn streams_of(&self, id: ConnectionId) -> Vec<StreamId> {
        let all = StreamId::ours(id, 0)..=StreamId::theirs(id, u64::MAX);
        self.slots.range(all).map(|(stream, _)| *stream).collect()
    }
}
