//! What the protocol of a node may call.

use super::{Node, Slot, Wire, fits};
use crate::{
    AttemptError, Closed, ConnectionInfo, Dial, DialError, DialOutcome, DialRefused, Expected, Fact, Framing,
    Host, Input, Link, Matching, OpenError, OrderError, PromoteError, StreamOrder, Target, TellError,
    WriteError, bench::limit_of,
};
use alloc::vec::Vec;
use bytes::Bytes;
use core::mem;
use libp2p_proto_core::{ConnectionId, DialId, Multiaddr, PeerId, ProtocolName, StreamId};
use smallvec::SmallVec;

impl Host for Node {
    fn open(&mut self, _: u8, target: Target, specs: &[u8]) -> Result<StreamId, OpenError> {
        let conn = match target {
            Target::Connection(conn) => conn,
            Target::Peer(peer) => *self.connections(peer).first().ok_or(OpenError::NotConnected)?,
        };
        let first = *specs.first().ok_or(OpenError::UnknownSpec)?;
        let spec = limit_of(&self.specs, first)
            .ok_or(OpenError::UnknownSpec)?
            .clone();
        let names: Option<Vec<_>> = specs
            .iter()
            .map(|index| limit_of(&self.specs, *index).map(|spec| spec.name.clone()))
            .collect();
        let names = names.ok_or(OpenError::UnknownSpec)?;
        let busy = self
            .streams
            .iter()
            .filter(|(id, slot)| id.conn == conn && !id.is_inbound() && slot.spec == first)
            .count();
        let entry = self.conns.get_mut(&conn).ok_or(OpenError::NotConnected)?;
        if entry.info.limited && !spec.on_limited {
            return Err(OpenError::LimitedConnection);
        }
        if busy >= usize::from(spec.max_outbound) {
            return Err(OpenError::TooManyStreams);
        }
        let stream = StreamId::ours(conn, entry.opened);
        entry.opened = entry.opened.saturating_add(1);
        let mut slot = Slot::new(first, spec.framing);
        slot.proposals = specs.to_vec();
        slot.lazy = spec.lazy && specs.len() == 1;
        slot.open_by = Some(self.now + spec.open_timeout);
        self.streams.insert(stream, slot);
        self.send(conn, Wire::Open { conn, stream, names });
        Ok(stream)
    }

    fn write(&mut self, _: u8, stream: StreamId, frame: Bytes) -> Result<(), WriteError> {
        let slot = self.streams.get_mut(&stream).ok_or(WriteError::Closed)?;
        if slot.finishing {
            return Err(WriteError::Closed);
        }
        if !fits(slot.framing, frame.len()) {
            return Err(WriteError::FrameTooLarge);
        }
        let capacity = limit_of(&self.specs, slot.spec).map_or(0, |spec| spec.send_capacity);
        let full = slot.waiting_bytes > 0 && slot.waiting_bytes.saturating_add(frame.len()) > capacity;
        if full || (slot.remote.is_none() && !slot.lazy) {
            slot.blocked = true;
            return Err(WriteError::Blocked);
        }
        slot.waiting_bytes = slot.waiting_bytes.saturating_add(frame.len());
        slot.waiting.push_back(frame);
        self.pump(stream);
        Ok(())
    }

    fn writable(&self, _: u8, stream: StreamId) -> usize {
        self.streams
            .get(&stream)
            .filter(|slot| slot.remote.is_some() || slot.lazy)
            .map_or(0, |slot| {
                limit_of(&self.specs, slot.spec)
                    .map_or(0, |spec| spec.send_capacity.saturating_sub(slot.waiting_bytes))
            })
    }

    fn order(&mut self, _: u8, stream: StreamId, order: StreamOrder) -> Result<(), OrderError> {
        let slot = self.streams.get_mut(&stream).ok_or(OrderError::Unknown)?;
        match order {
            StreamOrder::Finish => {
                slot.finishing = true;
                self.pump(stream);
            }
            StreamOrder::Reset => {
                self.tell_remote_closed(stream, Closed::LocalReset);
                self.close(stream, Closed::LocalReset);
            }
            StreamOrder::Pause => slot.paused = true,
            StreamOrder::Resume => {
                slot.paused = false;
                let withheld = mem::take(&mut slot.withheld);
                self.send_credit(stream, withheld);
            }
            StreamOrder::Reframe(framing) => {
                slot.framing = framing;
                self.release(stream);
            }
            StreamOrder::Next => self.release(stream),
            StreamOrder::NotifyFlushed => {
                // On a real link the stream may be gone by now, and the notice with it.
                assert!(!slot.finishing, "ask for the notice before finishing the stream");
                slot.flush_wanted = true;
                self.pump(stream);
            }
            StreamOrder::HandOver => {
                let handed = self.handed.entry(stream).or_default();
                let waited = if mem::replace(&mut handed.over, true) {
                    0
                } else {
                    handed.data.len()
                };
                self.send_credit(stream, waited);
            }
        }
        Ok(())
    }

    fn set_inbound(&mut self, _: u8, spec: u8, max: u16) -> Result<(), OrderError> {
        limit_of(&self.specs, spec).ok_or(OrderError::Unknown)?;
        self.inbound.insert(spec, max);
        self.inputs.push_back(Input::Fact(Fact::LocalProtocols));
        Ok(())
    }

    fn dial(&mut self, _: u8, dial: Dial) -> Result<DialOutcome, DialRefused> {
        if dial.peer == Some(self.local) {
            return Err(DialRefused::SelfDial);
        }
        let standing = dial.peer.and_then(|peer| self.connections(peer).first().copied());
        if let Some(conn) = standing.filter(|_| !dial.force) {
            return Ok(DialOutcome::Connected(conn));
        }
        self.dials.push(dial);
        Ok(DialOutcome::Pending(DialId::new(self.dials.len() as u64)))
    }

    fn cancel_dial(&mut self, dial: DialId) {
        let place = usize::try_from(dial.get()).ok().and_then(|id| id.checked_sub(1));
        let peer = place
            .and_then(|place| self.dials.get(place))
            .map(|dial| dial.peer);
        if let Some(peer) = peer {
            self.cancelled.push(dial);
            let error = DialError::Cancelled;
            self.inputs.push_back(Input::DialFailed { dial, peer, error });
        }
    }

    fn can_dial(&self, addr: &Multiaddr) -> bool {
        addr.socket_tcp().is_some()
    }

    fn expect(&mut self, expected: Expected) -> bool {
        self.expected.push(expected);
        true
    }

    fn promote(&mut self, _: u8, stream: StreamId, link: Link) -> Result<ConnectionId, PromoteError> {
        let slot = self.streams.get_mut(&stream).ok_or(PromoteError::Unknown)?;
        let carries = limit_of(&self.specs, slot.spec).is_some_and(|spec| spec.carries_links);
        if !carries || slot.promoted {
            return Err(PromoteError::Unknown);
        }
        slot.promoted = true;
        slot.framing = Framing::Raw;
        let made = ConnectionId::new(1_000_000_u64.saturating_add(self.promoted.len() as u64));
        let conn = match link {
            Link::Dialed { conn, .. } => conn,
            Link::Accepted { .. } => made,
        };
        self.handed.entry(stream).or_default().over = true;
        self.promoted.push((stream, link));
        self.release(stream);
        Ok(conn)
    }

    fn link_failed(&mut self, _: u8, conn: ConnectionId, error: AttemptError) {
        self.failed_links.push((conn, error));
    }

    fn splice(&mut self, _: u8, [a, b]: [StreamId; 2], max: u64) -> Result<(), OrderError> {
        if a == b || !self.streams.contains_key(&a) || !self.streams.contains_key(&b) {
            return Err(OrderError::Unknown);
        }
        for (stream, to) in [(a, b), (b, a)] {
            if let Some(slot) = self.streams.get_mut(&stream) {
                slot.spliced = Some((to, max));
                slot.framing = Framing::Raw;
            }
        }
        for (stream, to) in [(a, b), (b, a)] {
            self.release(stream);
            let ended = self.streams.get(&stream).is_some_and(|slot| slot.finish_seen);
            if let Some(slot) = self.streams.get_mut(&to).filter(|_| ended) {
                slot.finishing = true;
                self.pump(to);
            }
        }
        Ok(())
    }

    fn disconnect(&mut self, conn: ConnectionId) {
        self.send(conn, Wire::Disconnected { conn });
        self.disconnected(conn);
    }

    fn set_aside(&mut self, conn: ConnectionId) {
        self.set_aside.push(conn);
    }

    fn keep(&mut self, _: u8, conn: ConnectionId, keep: bool) {
        self.kept.retain(|kept| *kept != conn);
        if keep {
            self.kept.push(conn);
        }
    }

    fn inbound_room(&self) -> usize {
        self.inbound_room
    }

    fn tell(&mut self, _: u8, fact: Fact) -> Result<(), TellError> {
        self.facts.push(fact);
        Ok(())
    }

    fn peer_of(&self, stream: StreamId) -> Option<PeerId> {
        self.conns.get(&stream.conn).map(|conn| conn.peer)
    }

    fn connections(&self, peer: PeerId) -> SmallVec<[ConnectionId; 2]> {
        self.conns
            .iter()
            .filter(|(_, conn)| conn.peer == peer)
            .map(|(id, _)| *id)
            .collect()
    }

    fn connection_info(&self, conn: ConnectionId) -> Option<&ConnectionInfo> {
        self.conns.get(&conn).map(|conn| &conn.info)
    }

    fn local_protocols(&self, conn: Option<ConnectionId>) -> Vec<ProtocolName> {
        let limited = conn
            .and_then(|conn| self.conns.get(&conn))
            .is_some_and(|conn| conn.info.limited);
        let mut names: Vec<_> = (0u8..)
            .zip(&self.specs)
            .filter(|(index, spec)| self.max_inbound(*index) > 0 && (spec.on_limited || !limited))
            .filter(|(_, spec)| spec.matching == Matching::Exact)
            .map(|(_, spec)| spec.name.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}
