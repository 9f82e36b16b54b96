//! What was seen, and what can be asked for.

use crate::{MessageId, Topic};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, PeerId};

/// What an entry of the message cache costs besides its bytes.
const ENTRY_COST: usize = 128;

/// Ids of messages that were processed, for a time. The oldest are forgotten first.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    ttl: Duration,
    sliding: bool,
    max: usize,
    until: BTreeMap<MessageId, Instant>,
    order: VecDeque<(Instant, MessageId)>,
}

impl Seen {
    pub(crate) const fn new(ttl: Duration, sliding: bool, max: usize) -> Self {
        Self {
            ttl,
            sliding,
            max,
            until: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Forgets what is due.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((at, _)) = self.order.front() {
            if *at > now {
                break;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((at, id)) = self.order.pop_front() else {
            return;
        };
        match self.until.get(&id) {
            // Renewed since: its place in the order is where its time is.
            Some(until) if *until > at => self.order.push_back((*until, id)),
            _ => {
                self.until.remove(&id);
            }
        }
    }

    pub(crate) fn contains(&self, id: &MessageId, now: Instant) -> bool {
        self.until.get(id).is_some_and(|until| *until > now)
    }

    /// Remembers an id. It must not be known.
    pub(crate) fn insert(&mut self, id: MessageId, now: Instant) {
        self.expire(now);
        let mut tries = self.order.len();
        while self.until.len() >= self.max && tries > 0 {
            self.forget_oldest();
            tries = tries.saturating_sub(1);
        }
        let until = now + self.ttl;
        self.order.push_back((until, id.clone()));
        self.until.insert(id, until);
    }

    /// The id as it is remembered, to be kept under it elsewhere.
    pub(crate) fn known(&self, id: &MessageId) -> Option<MessageId> {
        self.until.get_key_value(id).map(|(known, _)| known.key())
    }

    /// A duplicate came.
    pub(crate) fn touch(&mut self, id: &MessageId, now: Instant) {
        if !self.sliding {
            return;
        }
        if let Some(until) = self.until.get_mut(id) {
            *until = now + self.ttl;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }
}

/// Ids by the fingerprint of their message. The oldest are forgotten first.
#[derive(Clone, Debug)]
pub(crate) struct FastIds {
    ids: BTreeMap<Bytes, MessageId>,
    order: VecDeque<Bytes>,
    max: usize,
}

impl FastIds {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            ids: BTreeMap::new(),
            order: VecDeque::new(),
            max,
        }
    }

    pub(crate) fn get(&self, fingerprint: &Bytes) -> Option<&MessageId> {
        self.ids.get(fingerprint)
    }

    pub(crate) fn insert(&mut self, fingerprint: Bytes, id: MessageId) {
        if self.ids.len() >= self.max {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
        if self.ids.insert(fingerprint.clone(), id).is_none() {
            self.order.push_back(fingerprint);
        }
    }
}

#[derive(Clone, Debug)]
struct Cached {
    topic: Topic,
    frame: Bytes,
    /// How often whom. Under the strict rule, whoever was told is here.
    served: BTreeMap<PeerId, u8>,
}

/// Accepted messages of the last heartbeats, each with its frame, which it shares with the queues.
#[derive(Clone, Debug)]
pub(crate) struct MessageCache {
    messages: BTreeMap<MessageId, Cached>,
    /// The newest window first.
    windows: VecDeque<Vec<(Topic, MessageId)>>,
    len: usize,
    gossip: usize,
    bytes: usize,
    max_bytes: usize,
}

impl MessageCache {
    pub(crate) fn new(len: usize, gossip: usize, max_bytes: usize) -> Self {
        Self {
            messages: BTreeMap::new(),
            windows: VecDeque::from([Vec::new()]),
            len,
            gossip,
            bytes: 0,
            max_bytes,
        }
    }

    pub(crate) fn put(&mut self, topic: Topic, id: MessageId, frame: Bytes) {
        let cost = frame.len().saturating_add(ENTRY_COST);
        let cached = Cached {
            topic: topic.clone(),
            frame,
            served: BTreeMap::new(),
        };
        if let Some(old) = self.messages.insert(id.clone(), cached) {
            // The same id again, after it was forgotten as seen: it stays in its old window.
            self.bytes = self
                .bytes
                .saturating_sub(old.frame.len().saturating_add(ENTRY_COST));
        } else if let Some(window) = self.windows.front_mut() {
            window.push((topic, id));
        }
        self.bytes = self.bytes.saturating_add(cost);
        self.evict();
    }

    /// Forgets the oldest messages until the budget holds; the newest stays.
    fn evict(&mut self) {
        while self.bytes > self.max_bytes && self.messages.len() > 1 {
            let Some(window) = self.windows.back_mut() else {
                return;
            };
            if window.is_empty() {
                if self.windows.len() <= 1 {
                    return;
                }
                self.windows.pop_back();
                continue;
            }
            // Oldest first within a window too: half of it at a time keeps this linear.
            let half = window.len().div_ceil(2);
            let gone: Vec<_> = window.drain(..half).collect();
            for (_, id) in gone {
                self.remove(&id);
            }
        }
    }

    fn remove(&mut self, id: &MessageId) {
        if let Some(cached) = self.messages.remove(id) {
            self.bytes = self
                .bytes
                .saturating_sub(cached.frame.len().saturating_add(ENTRY_COST));
        }
    }

    pub(crate) fn shift(&mut self) {
        self.windows.push_front(Vec::new());
        while self.windows.len() > self.len {
            for (_, id) in self.windows.pop_back().unwrap_or_default() {
                self.remove(&id);
            }
        }
    }

    /// Ids of a topic that are gossiped about.
    pub(crate) fn ids(&self, topic: &Topic) -> Vec<MessageId> {
        self.windows
            .iter()
            .take(self.gossip)
            .flatten()
            .filter(|(of, _)| of == topic)
            .map(|(_, id)| id.clone())
            .collect()
    }

    /// The topic of a message.
    pub(crate) fn topic_of(&self, id: &MessageId) -> Option<&Topic> {
        self.messages.get(id).map(|cached| &cached.topic)
    }

    /// These messages were announced to a peer.
    pub(crate) fn told(&mut self, ids: &[MessageId], peer: PeerId) {
        for id in ids {
            if let Some(cached) = self.messages.get_mut(id) {
                cached.served.entry(peer).or_default();
            }
        }
    }

    /// The frame of a message for a peer that asked, unless it had it `max` times or, if `strict`, it was never told of it.
    pub(crate) fn serve(&mut self, id: &MessageId, peer: PeerId, max: u8, strict: bool) -> Option<Bytes> {
        let cached = self.messages.get_mut(id)?;
        if strict && !cached.served.contains_key(&peer) {
            return None;
        }
        let served = cached.served.entry(peer).or_default();
        if *served >= max {
            return None;
        }
        *served = served.saturating_add(1);
        Some(cached.frame.clone())
    }

    /// Forgets how often a peer was served.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        for cached in self.messages.values_mut() {
            cached.served.remove(peer);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn id(number: u32) -> MessageId {
        MessageId::from(number.to_be_bytes().to_vec())
    }

    // covers: GSP-163
    #[test]
    fn six_windows_of_ten_leave_fifty_messages_and_thirty_to_gossip_about() {
        let mut cache = MessageCache::new(5, 3, 1 << 20);
        let topic = Topic::from("t");
        for number in 0..60 {
            if number > 0 && number % 10 == 0 {
                cache.shift();
            }
            cache.put(topic.clone(), id(number), Bytes::from(vec![0; 10]));
        }
        assert_eq!((cache.len(), cache.ids(&topic).len()), (50, 30));
        let peer = PeerId::from_encoded_key(&[1; 36]);
        assert!((0..10).all(|number| cache.serve(&id(number), peer, 3, false).is_none()));
        assert!((10..60).all(|number| cache.serve(&id(number), peer, 3, false).is_some()));
        assert!(cache.ids(&Topic::from("other")).is_empty());
    }

    // covers: GSP-165
    #[test]
    fn the_fourth_time_one_peer_asks_it_gets_nothing() {
        let mut cache = MessageCache::new(5, 3, 1 << 20);
        cache.put(Topic::from("t"), id(1), Bytes::from_static(b"x"));
        let [a, b] = [1, 2].map(|seed| PeerId::from_encoded_key(&[seed; 36]));
        let served = (0..4)
            .filter(|_| cache.serve(&id(1), a, 3, false).is_some())
            .count();
        assert_eq!(served, 3);
        assert!(cache.serve(&id(1), b, 3, false).is_some());
    }

    // covers: GSP-160, GSP-161
    #[test]
    fn an_id_is_seen_until_its_time_has_passed_which_only_a_sliding_cache_renews() {
        let ttl = Duration::from_secs(120);
        let at = |millis| Instant::from_millis(millis);
        for (sliding, known) in [(false, false), (true, true)] {
            let mut seen = Seen::new(ttl, sliding, 100);
            seen.insert(id(1), at(0));
            assert!(seen.contains(&id(1), at(119_999)));
            seen.touch(&id(1), at(100_000));
            seen.expire(at(120_001));
            assert_eq!(seen.contains(&id(1), at(120_001)), known);
            assert_eq!(seen.contains(&id(1), at(219_000)), known);
            seen.expire(at(220_001));
            assert_eq!(seen.len(), 0);
        }
    }

    // covers: GSP-167
    #[test]
    fn caches_hold_no_more_than_their_budget_and_forget_the_oldest_first() {
        let mut seen = Seen::new(Duration::from_secs(120), false, 1000);
        let mut cache = MessageCache::new(5, 3, 100 * 1128);
        for number in 0..100_000 {
            seen.insert(id(number), Instant::from_nanos(u64::from(number)));
            cache.put(Topic::from("t"), id(number), Bytes::from(vec![0; 1000]));
            assert!(seen.len() <= 1000 && cache.bytes() <= 100 * 1128);
        }
        let now = Instant::from_nanos(100_000);
        assert!(seen.contains(&id(99_999), now) && !seen.contains(&id(98_000), now));
        let peer = PeerId::from_encoded_key(&[1; 36]);
        assert!(cache.serve(&id(99_999), peer, 3, false).is_some());
        assert!(cache.serve(&id(0), peer, 3, false).is_none());
    }
}
