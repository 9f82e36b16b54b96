//! What protocols may do: the swarm's side of a lent context.

use crate::{
    state::{Action, Phase, Slot},
    swarm::Core,
};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{ConnectionId, PeerId, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{
    ConnectionInfo, Dial, DialOutcome, DialRefused, Fact, Framing, Host, Input, OpenError, OrderError,
    SpecId, StreamOrder, Target, TellError, ToConnection, WriteError,
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

    /// A stream of this protocol that was not told to be gone.
    fn slot(&mut self, protocol: u8, stream: StreamId) -> Option<&mut Slot> {
        self.slots
            .get_mut(&stream)
            .filter(|slot| slot.protocol == protocol && !slot.gone)
    }

    pub(crate) fn order_to(&mut self, conn: ConnectionId, message: ToConnection) {
        self.actions.push_back(Action::Order { conn, message });
    }

    /// A frame was delivered: its credit goes back, now or with the next ones.
    pub(crate) fn delivered(&mut self, stream: StreamId, bytes: usize) {
        let Some(slot) = self.slots.get_mut(&stream) else {
            return;
        };
        slot.ungranted = slot.ungranted.saturating_add(bytes);
        if slot.paused {
            return;
        }
        if let Some(conn) = self.conns.get_mut(&stream.conn) {
            conn.ungranted = conn.ungranted.saturating_add(bytes);
            if conn.to_grant.last() != Some(&stream) {
                conn.to_grant.push(stream);
            }
            if conn.ungranted >= GRANT_SHARE {
                self.return_credit(stream.conn);
            }
        }
    }

    fn return_credit(&mut self, conn: ConnectionId) {
        let Some(entry) = self.conns.get_mut(&conn) else {
            return;
        };
        entry.ungranted = 0;
        for stream in core::mem::take(&mut entry.to_grant) {
            if let Some(slot) = self
                .slots
                .get_mut(&stream)
                .filter(|slot| !slot.paused && !slot.gone && slot.ungranted > 0)
            {
                let bytes = core::mem::take(&mut slot.ungranted);
                self.order_to(conn, ToConnection::Grant { stream, bytes });
            }
        }
    }

    fn resume(&mut self, stream: StreamId) {
        if let Some(slot) = self.slots.get_mut(&stream).filter(|slot| slot.paused) {
            slot.paused = false;
            let bytes = core::mem::take(&mut slot.ungranted);
            if bytes > 0 {
                self.order_to(stream.conn, ToConnection::Grant { stream, bytes });
            }
        }
    }

    /// Whether a stream may be written to before its name is agreed.
    fn is_lazy(&self, peer: &PeerId, ids: &[SpecId]) -> bool {
        let [only] = ids else { return false };
        let Some(entry) = self.specs.get(*only) else {
            return false;
        };
        let known = self.peers.get(peer).and_then(|peer| peer.protocols.as_ref());
        entry.spec.lazy || known.is_some_and(|names| names.binary_search(&entry.spec.name).is_ok())
    }
}

impl Host for Core {
    fn open(&mut self, protocol: u8, target: Target, specs: &[u8]) -> Result<StreamId, OpenError> {
        let ids = self
            .spec_ids(protocol, specs)
            .filter(|ids| !ids.is_empty())
            .ok_or(OpenError::UnknownSpec)?;
        let first = *ids.first().ok_or(OpenError::UnknownSpec)?;
        let entry = self.specs.get(first).ok_or(OpenError::UnknownSpec)?;
        let (on_limited, max, keeps, framing) = (
            entry.spec.on_limited,
            entry.spec.max_outbound,
            entry.spec.keeps_alive,
            entry.spec.framing,
        );
        let usable = |core: &Self, conn: &ConnectionId| {
            core.conns
                .get(conn)
                .is_some_and(|entry| entry.phase == Phase::Established)
        };
        let candidates = match target {
            Target::Connection(conn) => SmallVec::from_slice(&[conn]),
            Target::Peer(peer) => self.connections(peer),
        };
        let mut standing = candidates
            .iter()
            .filter(|conn| usable(self, conn))
            .copied()
            .peekable();
        if standing.peek().is_none() {
            return Err(OpenError::NotConnected);
        }
        let fits =
            |conn: &ConnectionId| on_limited || self.conns.get(conn).is_some_and(|entry| !entry.info.limited);
        let conn = standing.find(fits).ok_or(OpenError::LimitedConnection)?;
        let ours = |id: &StreamId| id.conn == conn && !id.is_inbound();
        let range = StreamId::ours(conn, 0)..=StreamId::theirs(conn, u64::MAX);
        let busy = self
            .slots
            .range(range)
            .filter(|(id, slot)| ours(id) && slot.spec == first && !slot.gone)
            .count();
        let entry = self.conns.get(&conn).ok_or(OpenError::NotConnected)?;
        if busy >= usize::from(max)
            || usize::try_from(entry.streams).unwrap_or(usize::MAX) >= self.max_streams
        {
            return Err(OpenError::TooManyStreams);
        }
        let peer = entry.peer.ok_or(OpenError::NotConnected)?;
        let lazy = self.is_lazy(&peer, &ids);
        let entry = self.conns.get_mut(&conn).ok_or(OpenError::NotConnected)?;
        let stream = StreamId::ours(conn, entry.opened);
        entry.opened = entry.opened.saturating_add(1);
        self.count_stream(conn, keeps, true);
        let slot = Slot {
            protocol,
            spec: first,
            proposals: ids.clone(),
            peer,
            opened: false,
            lazy,
            finished: false,
            unsent: 0,
            blocked: false,
            paused: false,
            ungranted: 0,
            framing,
            gone: false,
        };
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
        let slot = self.slot(protocol, stream).ok_or(WriteError::Closed)?;
        if slot.finished {
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
        if full || !(slot.opened || slot.lazy) {
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
            .slots
            .get(&stream)
            .filter(|slot| slot.protocol == protocol && !slot.gone && !slot.finished);
        slot.filter(|slot| slot.opened || slot.lazy).map_or(0, |slot| {
            self.specs
                .get(slot.spec)
                .map_or(0, |entry| entry.spec.send_capacity.saturating_sub(slot.unsent))
        })
    }

    fn order(&mut self, protocol: u8, stream: StreamId, order: StreamOrder) -> Result<(), OrderError> {
        let slot = self.slot(protocol, stream).ok_or(OrderError::Unknown)?;
        match order {
            StreamOrder::Pause => {
                slot.paused = true;
                return Ok(());
            }
            StreamOrder::Resume => {
                self.resume(stream);
                return Ok(());
            }
            StreamOrder::Finish if slot.finished => return Ok(()),
            StreamOrder::Finish => slot.finished = true,
            StreamOrder::Reframe(framing) => slot.framing = framing,
            StreamOrder::Reset | StreamOrder::Next | StreamOrder::NotifyFlushed | StreamOrder::HandOver => {}
        }
        self.order_to(stream.conn, ToConnection::Order { stream, order });
        Ok(())
    }

    fn set_inbound(&mut self, protocol: u8, spec: u8, max: u16) -> Result<(), OrderError> {
        let id = self.specs.id_of(protocol, spec).ok_or(OrderError::Unknown)?;
        self.inbound.retain(|(known, _)| *known != id);
        self.inbound.push((id, max));
        let standing: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, conn)| {
                matches!(
                    conn.phase,
                    Phase::Upgrading | Phase::Admitted | Phase::Established
                )
            })
            .map(|(id, _)| *id)
            .collect();
        for conn in standing {
            self.order_to(conn, ToConnection::SetInbound { spec: id, max });
        }
        self.inputs.push_back((None, Input::Fact(Fact::LocalProtocols)));
        Ok(())
    }

    fn dial(&mut self, _: u8, dial: Dial) -> Result<DialOutcome, DialRefused> {
        self.begin_dial(self.now, &dial)
    }

    fn disconnect(&mut self, conn: ConnectionId) {
        self.close_connection(conn);
    }

    fn tell(&mut self, protocol: u8, fact: Fact) -> Result<(), TellError> {
        if self.facts_waiting >= self.max_facts {
            return Err(TellError::Full);
        }
        self.facts_waiting = self.facts_waiting.saturating_add(1);
        self.learn(&fact);
        self.inputs.push_back((Some(protocol), Input::Fact(fact)));
        Ok(())
    }

    fn peer_of(&self, stream: StreamId) -> Option<PeerId> {
        self.slots.get(&stream).map(|slot| slot.peer)
    }

    fn connections(&self, peer: PeerId) -> SmallVec<[ConnectionId; 2]> {
        self.peers
            .get(&peer)
            .map(|peer| peer.conns.clone())
            .unwrap_or_default()
    }

    fn connection_info(&self, conn: ConnectionId) -> Option<&ConnectionInfo> {
        self.conns.get(&conn).map(|conn| &conn.info)
    }

    fn local_protocols(&self, conn: Option<ConnectionId>) -> Vec<ProtocolName> {
        let limited = conn
            .and_then(|conn| self.conns.get(&conn))
            .is_some_and(|conn| conn.info.limited);
        let own = |id: SpecId| {
            self.inbound
                .iter()
                .find(|(known, _)| *known == id)
                .map(|(_, max)| *max)
        };
        let mut names: Vec<_> = self
            .specs
            .iter()
            .filter(|(id, entry)| {
                own(*id).unwrap_or(entry.spec.max_inbound) > 0 && (entry.spec.on_limited || !limited)
            })
            .map(|(_, entry)| entry.spec.name.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}
