//! What protocols may do: the swarm's side of a lent context.

use crate::{
    core::Core,
    scopes::Owner,
    slot::{Phase, Slot},
};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{ConnectionId, DialId, Multiaddr, PeerId, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{
    AttemptError, ConnectionInfo, Dial, DialError, DialOutcome, DialRefused, Expected, Fact, Framing, Host,
    Link, Matching, OpenError, OrderError, PromoteError, SpecId, StreamOrder, Target, TellError,
    ToConnection, WriteError,
};
use smallvec::SmallVec;

/// Credit of one connection that is returned at once; less waits for more, so that small frames cost no message of their own.
const GRANT_SHARE: usize = 64 * 1024;

impl Core {
    fn spec_ids(&self, protocol: u8, specs: &[u8]) -> Option<SmallVec<[SpecId; 2]>> {
        specs
            .iter()
            .map(|index| self.specs.id_of(protocol, *index))
            .collect()
    }

    /// A stream of this protocol that is not gone, nor reset.
    fn slot(&self, protocol: u8, stream: StreamId) -> Option<&Slot> {
        self.slots
            .get(&stream)
            .filter(|slot| slot.protocol == protocol && slot.is_alive())
    }

    fn slot_mut(&mut self, protocol: u8, stream: StreamId) -> Option<&mut Slot> {
        self.slots
            .get_mut(&stream)
            .filter(|slot| slot.protocol == protocol && slot.is_alive())
    }

    // ── credit ──

    /// A frame was delivered: its credit goes back, now or with the next ones.
    pub(crate) fn delivered(&mut self, stream: StreamId, bytes: usize) {
        let Some(slot) = self.slots.get_mut(&stream).filter(|_| bytes > 0) else {
            return;
        };
        slot.ungranted = slot.ungranted.saturating_add(bytes);
        let (listed, paused) = (slot.granting, slot.paused);
        slot.granting = true;
        if let Some(conn) = self.conns.get_mut(&stream.conn) {
            conn.ungranted = conn.ungranted.saturating_add(bytes);
            if !listed {
                conn.to_grant.push(stream);
            }
            if conn.ungranted >= GRANT_SHARE && !paused {
                self.return_credit(stream.conn);
            }
        }
    }

    /// Returns what waits on a connection, but for paused streams.
    fn return_credit(&mut self, id: ConnectionId) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.ungranted = 0;
        for stream in core::mem::take(&mut conn.to_grant) {
            if let Some(slot) = self.slots.get_mut(&stream) {
                slot.granting = false;
                if !slot.paused {
                    self.grant(stream);
                }
            }
        }
    }

    fn grant(&mut self, stream: StreamId) {
        if let Some(slot) = self.slots.get_mut(&stream) {
            let bytes = core::mem::take(&mut slot.ungranted);
            if bytes > 0 {
                self.order_to(stream.conn, ToConnection::Grant { stream, bytes });
            }
        }
    }

    /// A stream is gone, and so is what its connection owed it.
    pub(crate) fn forget_credit(&mut self, stream: StreamId) {
        let Some(slot) = self.slots.get_mut(&stream).filter(|slot| slot.granting) else {
            return;
        };
        slot.granting = false;
        let owed = core::mem::take(&mut slot.ungranted);
        if let Some(conn) = self.conns.get_mut(&stream.conn) {
            conn.to_grant.retain(|known| *known != stream);
            conn.ungranted = conn.ungranted.saturating_sub(owed);
        }
    }

    // ── opening ──

    /// Whether a stream may be written to before its name is agreed.
    fn is_lazy(&self, peer: &PeerId, ids: &[SpecId]) -> bool {
        let [only] = ids else { return false };
        let Some(entry) = self.specs.get(*only) else {
            return false;
        };
        let known = self.peers.get(peer).and_then(|peer| peer.protocols.as_ref());
        entry.spec.lazy || known.is_some_and(|names| names.binary_search(&entry.spec.name).is_ok())
    }

    /// The connection that a stream to `target` runs over.
    fn choose(&self, target: Target, on_limited: bool) -> Result<ConnectionId, OpenError> {
        let mut candidates = match target {
            Target::Connection(conn) => SmallVec::from_slice(&[conn]),
            Target::Peer(peer) => self.connections(peer),
        };
        candidates.retain(|id| self.conns.get(id).is_some_and(crate::conn::Conn::is_established));
        if candidates.is_empty() {
            return Err(OpenError::NotConnected);
        }
        let fits =
            |id: &&ConnectionId| on_limited || self.conns.get(id).is_some_and(|conn| !conn.info.limited);
        candidates
            .iter()
            .find(fits)
            .copied()
            .ok_or(OpenError::LimitedConnection)
    }

    /// Streams of ours on this connection: of this spec, and in all.
    fn count_ours(&self, conn: ConnectionId, spec: SpecId) -> (usize, usize) {
        let all = StreamId::ours(conn, 0)..=StreamId::theirs(conn, u64::MAX);
        let stands = |(id, slot): &(&StreamId, &Slot)| !id.is_inbound() && slot.phase != Phase::Gone;
        let ours = self.slots.range(all).filter(stands);
        ours.fold((0_usize, 0_usize), |(of_spec, all), (_, slot)| {
            let same = usize::from(slot.spec == spec);
            (of_spec.saturating_add(same), all.saturating_add(1))
        })
    }
}

impl Host for Core {
    fn open(&mut self, protocol: u8, target: Target, specs: &[u8]) -> Result<StreamId, OpenError> {
        let ids = self.spec_ids(protocol, specs).ok_or(OpenError::UnknownSpec)?;
        let first = *ids.first().ok_or(OpenError::UnknownSpec)?;
        let spec = &self.specs.get(first).ok_or(OpenError::UnknownSpec)?.spec;
        let (max, keeps, framing) = (spec.max_outbound, spec.keeps_alive, spec.framing);
        let conn = self.choose(target, spec.on_limited)?;
        let entry = self.conns.get(&conn).ok_or(OpenError::NotConnected)?;
        let peer = entry.peer.ok_or(OpenError::NotConnected)?;
        let (of_spec, ours) = self.count_ours(conn, first);
        let too_many = of_spec >= usize::from(max) || ours >= self.config.streams.outbound;
        let owner = Owner {
            inbound: false,
            service: protocol,
            spec: first,
            peer,
        };
        if too_many || !self.scopes.reserve(&owner) {
            return Err(OpenError::TooManyStreams);
        }
        let lazy = self.is_lazy(&peer, &ids);
        let entry = self.conns.get_mut(&conn).ok_or(OpenError::NotConnected)?;
        let stream = StreamId::ours(conn, entry.opened);
        entry.opened = entry.opened.saturating_add(1);
        self.count_stream(conn, keeps, true);
        let slot = Slot::new(Phase::Opening { lazy }, protocol, first, peer, framing);
        self.slots.insert(stream, slot);
        self.order_to(
            conn,
            ToConnection::Open {
                stream,
                specs: ids,
                lazy,
            },
        );
        Ok(stream)
    }

    fn write(&mut self, protocol: u8, stream: StreamId, frame: Bytes) -> Result<(), WriteError> {
        let specs = self.specs.clone();
        let slot = self.slot_mut(protocol, stream).ok_or(WriteError::Closed)?;
        if slot.finishing {
            return Err(WriteError::Closed);
        }
        let fits = match slot.framing {
            Framing::Fixed { len } => frame.len() == len,
            Framing::LengthDelimited { max } | Framing::UntilEnd { max } | Framing::Held { max } => {
                frame.len() <= max
            }
            Framing::Raw => true,
        };
        if !fits {
            return Err(WriteError::FrameTooLarge);
        }
        let capacity = specs.get(slot.spec).map_or(0, |entry| entry.spec.send_capacity);
        let full = slot.unsent > 0 && slot.unsent.saturating_add(frame.len()) > capacity;
        if full || !slot.takes_frames() {
            slot.blocked = true;
            return Err(WriteError::Blocked);
        }
        slot.unsent = slot.unsent.saturating_add(frame.len());
        self.stats.frames_out = self.stats.frames_out.saturating_add(1);
        self.order_to(stream.conn, ToConnection::Write { stream, data: frame });
        Ok(())
    }

    fn writable(&self, protocol: u8, stream: StreamId) -> usize {
        let slot = self
            .slot(protocol, stream)
            .filter(|slot| slot.takes_frames() && !slot.finishing);
        slot.map_or(0, |slot| {
            let spec = self.specs.get(slot.spec);
            spec.map_or(0, |entry| entry.spec.send_capacity.saturating_sub(slot.unsent))
        })
    }

    fn order(&mut self, protocol: u8, stream: StreamId, order: StreamOrder) -> Result<(), OrderError> {
        let slot = self.slot_mut(protocol, stream).ok_or(OrderError::Unknown)?;
        match order {
            StreamOrder::Pause => {
                slot.paused = true;
                return Ok(());
            }
            StreamOrder::Resume => {
                if core::mem::take(&mut slot.paused) {
                    self.grant(stream);
                }
                return Ok(());
            }
            StreamOrder::Finish if slot.finishing => return Ok(()),
            StreamOrder::Finish => slot.finishing = true,
            StreamOrder::Reframe(framing) => slot.framing = framing,
            StreamOrder::Reset => slot.phase = Phase::Reset,
            StreamOrder::Next | StreamOrder::NotifyFlushed | StreamOrder::HandOver => {}
        }
        self.order_to(stream.conn, ToConnection::Order { stream, order });
        Ok(())
    }

    fn set_inbound(&mut self, protocol: u8, spec: u8, max: u16) -> Result<(), OrderError> {
        let id = self.specs.id_of(protocol, spec).ok_or(OrderError::Unknown)?;
        if self.max_inbound(id) != Some(max) {
            self.inbound.retain(|(known, _)| *known != id);
            self.inbound.push((id, max));
            self.inbound_changed.insert(id);
        }
        Ok(())
    }

    fn dial(&mut self, _: u8, dial: Dial) -> Result<DialOutcome, DialRefused> {
        self.begin_dial(&dial)
    }

    fn cancel_dial(&mut self, dial: DialId) {
        self.end_dial(dial, Some(DialError::Cancelled));
    }

    fn can_dial(&self, addr: &Multiaddr) -> bool {
        self.is_dialable(addr) && self.check_address(None, addr).is_ok()
    }

    fn expect(&mut self, expected: Expected) -> bool {
        let (now, max) = (self.now, self.config.max_expected);
        self.expectations.add(now, expected, max)
    }

    fn promote(&mut self, protocol: u8, stream: StreamId, link: Link) -> Result<ConnectionId, PromoteError> {
        self.promote_stream(protocol, stream, link)
    }

    fn link_failed(&mut self, protocol: u8, conn: ConnectionId, error: AttemptError) {
        self.wanted_link_failed(protocol, conn, error);
    }

    fn splice(&mut self, protocol: u8, ends: [StreamId; 2], max: u64) -> Result<(), OrderError> {
        self.join(protocol, ends, max)
    }

    fn disconnect(&mut self, conn: ConnectionId) {
        self.close_connection(conn);
    }

    fn set_aside(&mut self, conn: ConnectionId) {
        self.put_aside(conn);
    }

    fn keep(&mut self, protocol: u8, conn: ConnectionId, keep: bool) {
        self.keep_for(protocol, conn, keep);
    }

    fn inbound_room(&self) -> usize {
        let (counts, config) = (&self.census.ordinary, &self.config);
        let inbound = config.max_inbound.saturating_sub(counts.welcome_in());
        let all = counts.welcome_in().saturating_add(counts.welcome_out());
        inbound.min(config.max_connections.saturating_sub(all))
    }

    fn tell(&mut self, protocol: u8, fact: Fact) -> Result<(), TellError> {
        if self.facts.len() >= self.config.max_facts {
            return Err(TellError::Full);
        }
        self.facts.push_back((Some(protocol), fact));
        Ok(())
    }

    fn peer_of(&self, stream: StreamId) -> Option<PeerId> {
        self.slots.get(&stream).map(|slot| slot.peer)
    }

    fn connections(&self, peer: PeerId) -> SmallVec<[ConnectionId; 2]> {
        self.standing(peer).iter().map(|standing| standing.conn).collect()
    }

    fn connection_info(&self, conn: ConnectionId) -> Option<&ConnectionInfo> {
        self.conns.get(&conn).map(|conn| &conn.info)
    }

    fn local_protocols(&self, conn: Option<ConnectionId>) -> Vec<ProtocolName> {
        let limited = conn
            .and_then(|conn| self.conns.get(&conn))
            .is_some_and(|conn| conn.info.limited);
        let mut names: Vec<_> = self
            .specs
            .iter()
            .filter(|(id, entry)| {
                self.max_inbound(*id).is_some_and(|max| max > 0) && (entry.spec.on_limited || !limited)
            })
            .filter(|(_, entry)| entry.spec.matching == Matching::Exact)
            .map(|(_, entry)| entry.spec.name.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Core {
    /// How many streams of a spec the remote may have on one connection, as it is now.
    pub(crate) fn max_inbound(&self, id: SpecId) -> Option<u16> {
        let changed = self.inbound.iter().find(|(known, _)| *known == id);
        let spec = self.specs.get(id)?;
        Some(changed.map_or(spec.spec.max_inbound, |(_, max)| *max))
    }
}
