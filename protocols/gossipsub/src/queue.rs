//! What waits for one peer: subscriptions, then control, then messages.
//!
//! Subscriptions and GRAFT or PRUNE are one each for a topic, the newest counts, and are never dropped. Ids are bounded; what is over the bound is not
//! announced. Of messages, own ones leave before those of others; when no more fit, an own message displaces the oldest of others, and a message of others is
//! refused; either is dropped when it waited for too long.

use crate::{
    Limits, MessageId, Topic,
    few::Few,
    wire::{Control, Extensions, IHave, Prune, Rpc, Subscription},
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use libp2p_proto_core::{Instant, PeerId};

/// Why a message goes to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// We published it.
    Own,
    /// Others published it.
    Forward,
    /// The peer asked for it.
    Reply,
    /// It is no message, but parts of one; its id is that of the group.
    Parts,
}

/// A message that waits.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) id: MessageId,
    pub(crate) frame: Bytes,
    pub(crate) kind: Kind,
    pub(crate) until: Instant,
    /// The publication that wants to know.
    pub(crate) publication: Option<u64>,
}

/// GRAFT or PRUNE that waits. Whether it is still true is looked at when it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Graft,
    Prune(Prune),
}

/// Everything that waits for one peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    /// The first frame of a stream must carry these.
    pub(crate) extensions: Option<Extensions>,
    pub(crate) subscriptions: Few<Topic, Subscription>,
    pub(crate) changes: Few<Topic, Change>,
    /// CHOKE, or UNCHOKE, that waits.
    pub(crate) chokes: Few<Topic, bool>,
    pub(crate) idontwant: VecDeque<MessageId>,
    pub(crate) iwant: VecDeque<MessageId>,
    pub(crate) ihave: Few<Topic, VecDeque<MessageId>>,
    ihave_len: usize,
    /// What we have and want of partial messages.
    pub(crate) partial: VecDeque<Bytes>,
    own: VecDeque<Item>,
    others: VecDeque<Item>,
    bytes: usize,
    /// A frame that was made and that the stream has not taken.
    pub(crate) ready: Option<Bytes>,
}

/// Bytes of tags and lengths around an entry, at most.
const AROUND: usize = 16;
/// Bytes of tags and lengths around control, its two lists of ids, and the extensions, at most.
const ENVELOPE: usize = 64;

impl Queue {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn messages(&self) -> usize {
        self.own.len().saturating_add(self.others.len())
    }

    /// Takes a message, or gives back what had to go for it: itself, or older ones of others.
    pub(crate) fn push(&mut self, item: Item, limits: &Limits) -> Vec<Item> {
        let mut gone = Vec::new();
        let fits = |queue: &Self| {
            queue.messages() < limits.max_queue_messages
                && queue.bytes.saturating_add(item.frame.len()) <= limits.max_queue_bytes
        };
        while item.kind == Kind::Own && !fits(self) {
            let Some(oldest) = self.others.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(oldest.frame.len());
            gone.push(oldest);
        }
        if !fits(self) {
            gone.push(item);
            return gone;
        }
        self.bytes = self.bytes.saturating_add(item.frame.len());
        if item.kind == Kind::Own {
            self.own.push_back(item);
        } else {
            self.others.push_back(item);
        }
        gone
    }

    pub(crate) fn pop(&mut self) -> Option<Item> {
        let item = self.own.pop_front().or_else(|| self.others.pop_front())?;
        self.bytes = self.bytes.saturating_sub(item.frame.len());
        Some(item)
    }

    /// How many of the next messages leave together, in `max` bytes: those that follow each other and are messages. At least one, if any waits.
    pub(crate) fn joinable(&self, max: usize) -> usize {
        let mut bytes = 0_usize;
        let fits = |item: &&Item| {
            bytes = bytes.saturating_add(item.frame.len());
            item.kind != Kind::Parts && bytes <= max
        };
        let waiting = self.own.iter().chain(&self.others);
        waiting.take_while(fits).count().max(self.messages().min(1))
    }

    /// The next `count` messages as one frame: RPCs put behind each other are one RPC of all that they say.
    pub(crate) fn joined(&self, count: usize) -> Bytes {
        let mut frames = self
            .own
            .iter()
            .chain(&self.others)
            .take(count)
            .map(|item| &item.frame);
        if count <= 1 {
            return frames.next().cloned().unwrap_or_default();
        }
        let mut joined = Vec::new();
        for frame in frames {
            joined.extend_from_slice(frame);
        }
        joined.into()
    }

    /// Messages that waited for too long.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Item> {
        let mut late = Vec::new();
        for queue in [&mut self.own, &mut self.others] {
            while queue.front().is_some_and(|item| item.until <= now) {
                late.extend(queue.pop_front());
            }
        }
        for item in &late {
            self.bytes = self.bytes.saturating_sub(item.frame.len());
        }
        late
    }

    /// The peer doesn't want this message.
    pub(crate) fn unqueue(&mut self, id: &MessageId) -> Vec<Item> {
        let mut gone = Vec::new();
        for queue in [&mut self.own, &mut self.others] {
            while let Some(place) = queue
                .iter()
                .position(|item| item.kind != Kind::Parts && item.id == *id)
            {
                gone.extend(queue.remove(place));
            }
        }
        for item in &gone {
            self.bytes = self.bytes.saturating_sub(item.frame.len());
        }
        gone
    }

    /// Everything that is lost with the stream.
    pub(crate) fn clear(&mut self) -> Vec<Item> {
        let mut old = core::mem::take(self);
        let mut gone: Vec<Item> = old.own.drain(..).collect();
        gone.extend(old.others.drain(..));
        gone
    }

    /// Gives back the memory of lists in which nothing waits.
    pub(crate) fn shrink(&mut self) {
        for ids in [&mut self.idontwant, &mut self.iwant] {
            if ids.is_empty() {
                *ids = VecDeque::new();
            }
        }
        for items in [&mut self.own, &mut self.others] {
            if items.is_empty() {
                *items = VecDeque::new();
            }
        }
    }

    pub(crate) fn announce(&mut self, topic: &Topic, ids: Vec<MessageId>, limits: &Limits) {
        let room = limits.max_queue_ids.saturating_sub(self.ihave_len);
        let taken = ids.len().min(room);
        if taken == 0 {
            return;
        }
        self.ihave_len = self.ihave_len.saturating_add(taken);
        let ids = ids.into_iter().take(taken);
        if let Some(waiting) = self.ihave.get_mut(topic) {
            waiting.extend(ids);
        } else {
            self.ihave.insert(topic.clone(), ids.collect());
        }
    }

    /// Nothing more is announced of a topic.
    pub(crate) fn forget_ihave(&mut self, topic: &Topic) {
        let gone = self.ihave.remove(topic).map_or(0, |ids| ids.len());
        self.ihave_len = self.ihave_len.saturating_sub(gone);
    }

    fn has_control(&self) -> bool {
        self.extensions.is_some()
            || !self.subscriptions.is_empty()
            || !self.changes.is_empty()
            || !self.chokes.is_empty()
            || !self.idontwant.is_empty()
            || !self.iwant.is_empty()
            || !self.ihave.is_empty()
    }

    /// The next frame of subscriptions and control, within the limits of the strictest receiver. `meshes`: to drop a GRAFT or PRUNE that is no longer true.
    pub(crate) fn next_control(
        &mut self,
        limits: &Limits,
        peer: PeerId,
        meshes: &BTreeMap<Topic, BTreeSet<PeerId>>,
    ) -> Option<Bytes> {
        if !self.has_control() {
            return None;
        }
        let mut room = limits.max_control_sent.saturating_sub(ENVELOPE);
        let mut rpc = Rpc::default();
        let mut control = Control {
            extensions: self.extensions.take(),
            ..Control::default()
        };
        self.take_subscriptions(&mut rpc, &mut room, limits);
        let alone = rpc.subscriptions.is_empty();
        // What did not fit goes before what is worth less.
        if self.subscriptions.is_empty() {
            self.take_changes(&mut control, &mut room, peer, meshes, alone);
        }
        if self.subscriptions.is_empty() && self.changes.is_empty() {
            self.take_chokes(&mut control, &mut room);
            self.take_all_ids(&mut control, &mut room, limits, alone);
        }
        if control != Control::default() {
            rpc.control = Some(control);
        }
        let empty = rpc == Rpc::default();
        (!empty).then(|| Bytes::from(rpc.encode()))
    }

    fn take_chokes(&mut self, control: &mut Control, room: &mut usize) {
        while let Some((topic, choke)) = self.chokes.pop_first() {
            let cost = topic.as_str().len().saturating_add(AROUND);
            if cost > *room && *control != Control::default() {
                self.chokes.insert(topic, choke);
                break;
            }
            *room = room.saturating_sub(cost);
            let list = if choke {
                &mut control.choke
            } else {
                &mut control.unchoke
            };
            list.push(topic);
        }
    }

    fn take_all_ids(&mut self, control: &mut Control, room: &mut usize, limits: &Limits, alone: bool) {
        let unwanted = take_ids(&mut self.idontwant, room, limits.max_idontwant_per_rpc);
        if !unwanted.is_empty() {
            control.idontwant.push(unwanted);
        }
        let wanted = take_ids(&mut self.iwant, room, usize::MAX);
        if !wanted.is_empty() {
            control.iwant.push(wanted);
        }
        self.take_ihave(control, room, alone);
    }

    fn take_subscriptions(&mut self, rpc: &mut Rpc, room: &mut usize, limits: &Limits) {
        while rpc.subscriptions.len() < limits.max_subscriptions_sent {
            let Some((topic, _)) = self.subscriptions.first() else {
                break;
            };
            let cost = topic.as_str().len().saturating_add(AROUND);
            if cost > *room && !rpc.subscriptions.is_empty() {
                break;
            }
            *room = room.saturating_sub(cost);
            let first = self.subscriptions.pop_first();
            rpc.subscriptions
                .extend(first.map(|(_, subscription)| subscription));
        }
    }

    fn take_changes(
        &mut self,
        control: &mut Control,
        room: &mut usize,
        peer: PeerId,
        meshes: &BTreeMap<Topic, BTreeSet<PeerId>>,
        alone: bool,
    ) {
        while let Some((topic, change)) = self.changes.first() {
            let px = match change {
                Change::Graft => 0,
                Change::Prune(prune) => prune.peers.iter().fold(0_usize, |sum, info| {
                    let record = info.record.as_ref().map_or(0, Bytes::len);
                    sum.saturating_add(record).saturating_add(64)
                }),
            };
            let cost = topic.as_str().len().saturating_add(AROUND).saturating_add(px);
            if cost > *room && !(alone && *control == Control::default()) {
                break;
            }
            *room = room.saturating_sub(cost);
            let Some((topic, change)) = self.changes.pop_first() else {
                break;
            };
            let is_member = meshes.get(&topic).is_some_and(|mesh| mesh.contains(&peer));
            match change {
                Change::Graft if is_member => control.graft.push(topic),
                Change::Prune(prune) if !is_member => control.prune.push(prune),
                _ => {}
            }
        }
    }

    fn take_ihave(&mut self, control: &mut Control, room: &mut usize, alone: bool) {
        while let Some((topic, _)) = self.ihave.first() {
            let topic = topic.clone();
            let cost = topic.as_str().len().saturating_add(AROUND);
            let first = alone && *control == Control::default();
            if cost >= *room && !first {
                break;
            }
            *room = room.saturating_sub(cost);
            let Some(waiting) = self.ihave.get_mut(&topic) else {
                break;
            };
            let ids = take_ids(waiting, room, usize::MAX);
            self.ihave_len = self.ihave_len.saturating_sub(ids.len());
            let done = waiting.is_empty();
            if done {
                self.ihave.remove(&topic);
            }
            if ids.is_empty() {
                // An id that fits into no frame: it can't be told.
                if first && !done {
                    self.drop_ihave(&topic);
                    continue;
                }
                break;
            }
            control.ihave.push(IHave { topic, ids });
            if !done {
                break;
            }
        }
    }

    fn drop_ihave(&mut self, topic: &Topic) {
        if let Some(ids) = self.ihave.get_mut(topic) {
            if ids.pop_front().is_some() {
                self.ihave_len = self.ihave_len.saturating_sub(1);
            }
            if ids.is_empty() {
                self.ihave.remove(topic);
            }
        }
    }
}

/// Ids as long as there is room for them.
fn take_ids(from: &mut VecDeque<MessageId>, room: &mut usize, max: usize) -> Vec<MessageId> {
    let mut taken = Vec::new();
    while let Some(id) = from.front() {
        let cost = id.as_bytes().len().saturating_add(4);
        if cost > *room || taken.len() >= max {
            break;
        }
        *room = room.saturating_sub(cost);
        taken.extend(from.pop_front());
    }
    taken
}

#[cfg(test)]
mod tests;
