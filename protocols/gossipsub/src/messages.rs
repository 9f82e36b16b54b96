//! Messages: published, received, judged, passed on.

use crate::{
    Event, Gossipsub, Level, MessageId, Publication, PublishError, Reject, SignaturePolicy, Step, Topic,
    Verdict,
    gossipsub::{Fanout, Outgoing},
    queue::Kind,
    sign,
    wire::Message,
};
use alloc::{collections::BTreeSet, vec::Vec};
use bytes::Bytes;
use libp2p_proto_core::PeerId;
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::Context;

/// A message that waits for a verdict. Its frame holds everything else.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    topic: Topic,
    frame: Bytes,
    author: Option<PeerId>,
    /// Who sent it; the first is the one to credit.
    first: PeerId,
    others: BTreeSet<PeerId>,
}

impl Gossipsub {
    fn publish_threshold(&self) -> f64 {
        if self.scores.is_some() {
            self.config.thresholds.publish
        } else {
            0.0
        }
    }

    pub(crate) fn publish_now(
        &mut self,
        cx: &mut Context<'_>,
        publication: Publication,
        topic: Topic,
        data: Bytes,
        reported: bool,
        local: bool,
    ) {
        let len = data.len();
        let Some((id, frame)) = self.prepare(cx, publication, &topic, data, local) else {
            return;
        };
        if local {
            self.emit(
                cx,
                Event::Published {
                    publication,
                    id,
                    peers: 0,
                },
            );
            return;
        }
        self.remember(cx, &topic, &id, frame.clone());
        let receivers = self.receivers(cx, &topic, len);
        if self.config.idontwant_on_publish && len >= self.config.idontwant_min {
            self.tell_unwanted(&topic, &id, None, None);
        }
        self.send_own(cx, publication, id, &frame, receivers, reported);
    }

    /// An own message up to where it is sent: composed, marked as seen, and told to ourselves, if that is wanted.
    fn prepare(
        &mut self,
        cx: &Context<'_>,
        publication: Publication,
        topic: &Topic,
        data: Bytes,
        local: bool,
    ) -> Option<(MessageId, Bytes)> {
        let (id, message, frame) = match self.compose(cx, topic, data) {
            Ok(composed) => composed,
            Err(error) => {
                self.emit(cx, Event::PublishFailed { publication, error });
                return None;
            }
        };
        self.seen.insert(id.clone(), self.now);
        self.stats.published = self.stats.published.saturating_add(1);
        self.trace(|| Step::PublishMessage(topic.clone(), id.clone()));
        if (self.config.deliver_own || local) && self.is_subscribed(topic) {
            self.tell(cx, id.clone(), cx.local, topic.clone(), message, false);
        }
        Some((id, frame))
    }

    /// Keeps a message for those that ask.
    fn remember(&mut self, cx: &Context<'_>, topic: &Topic, id: &MessageId, frame: Bytes) {
        self.cache.put(topic.clone(), id.clone(), frame);
        if id.as_bytes().len() > self.config.longest_id() {
            self.emit(cx, Event::NotGossiped { id: id.clone() });
        }
    }

    /// Several own messages: in round `n` each goes to the `n`th receiver behind its own first one, so that all have left once before one leaves twice.
    pub(crate) fn publish_batch_now(
        &mut self,
        cx: &mut Context<'_>,
        publications: Vec<Publication>,
        topic: &Topic,
        messages: Vec<Bytes>,
    ) {
        let longest = messages.iter().map(Bytes::len).max().unwrap_or(0);
        let mut batch = Vec::new();
        for (publication, data) in publications.into_iter().zip(messages) {
            if let Some((id, frame)) = self.prepare(cx, publication, topic, data, false) {
                self.remember(cx, topic, &id, frame.clone());
                batch.push((publication, id, frame, 0_usize));
            }
        }
        let receivers = self.receivers(cx, topic, longest);
        let until = self.now + self.config.publish_age;
        for round in 0..receivers.len() {
            for (place, (_, id, frame, taken)) in batch.iter_mut().enumerate() {
                let turn = place.saturating_add(round).checked_rem(receivers.len());
                let Some(peer) = turn.and_then(|turn| receivers.get(turn)) else {
                    continue;
                };
                if self.enqueue(cx, *peer, id.key(), frame.clone(), Kind::Own, until, None) {
                    *taken = taken.saturating_add(1);
                }
            }
        }
        for (publication, id, _, peers) in batch {
            let event = if peers == 0 && !receivers.is_empty() {
                let error = PublishError::AllQueuesFull(receivers.len());
                Event::PublishFailed { publication, error }
            } else {
                Event::Published {
                    publication,
                    id,
                    peers,
                }
            };
            self.emit(cx, event);
        }
    }

    fn send_own(
        &mut self,
        cx: &mut Context<'_>,
        publication: Publication,
        id: MessageId,
        frame: &Bytes,
        receivers: Vec<PeerId>,
        reported: bool,
    ) {
        let until = self.now + self.config.publish_age;
        let room = self.publications.len() < self.config.limits.max_publications;
        let report = (reported && room).then_some(publication.0);
        let wanted = receivers.len();
        if let Some(number) = report {
            // One more than there are, so that it doesn't end before all are queued.
            let outgoing = Outgoing {
                waiting: wanted.saturating_add(1),
                ..Outgoing::default()
            };
            self.publications.insert(number, outgoing);
        }
        let mut peers = 0_usize;
        for peer in receivers {
            if self.enqueue(cx, peer, id.key(), frame.clone(), Kind::Own, until, report) {
                peers = peers.saturating_add(1);
            }
        }
        if peers == 0 && wanted > 0 {
            self.emit(
                cx,
                Event::PublishFailed {
                    publication,
                    error: PublishError::AllQueuesFull(wanted),
                },
            );
        } else {
            self.emit(
                cx,
                Event::Published {
                    publication,
                    id,
                    peers,
                },
            );
        }
        if let Some(number) = report {
            self.settle_publication(cx, number);
        }
    }

    /// The signed message, its id, and the frame that all receivers share.
    fn compose(
        &mut self,
        cx: &Context<'_>,
        topic: &Topic,
        data: Bytes,
    ) -> Result<(MessageId, Message, Bytes), PublishError> {
        let mut message = Message {
            data: Some(data),
            topic: Some(topic.clone()),
            ..Message::default()
        };
        if self.config.policy_of(topic).signs() {
            self.seqno = self.seqno.saturating_add(1).max(cx.unix.as_nanos());
            let author = self.config.author_of(topic).unwrap_or(&self.identity);
            sign::sign(&mut message, author, self.seqno).ok_or(PublishError::Unsigned)?;
        }
        let id = self.config.id_of(topic).id(&message).ok_or(PublishError::NoId)?;
        if self.is_known(&id) {
            return Err(PublishError::Duplicate);
        }
        let frame = message.to_frame();
        if frame.len() > self.config.limits.max_frame {
            return Err(PublishError::TooLarge);
        }
        // The message's parts are slices of the frame from here on.
        let message = Message::of_frame(&frame).unwrap_or(message);
        Ok((id, message, frame))
    }

    fn is_subscribed(&self, topic: &Topic) -> bool {
        self.local.get(topic).is_some_and(|local| local.subscriptions > 0)
    }

    /// Who gets an own message, in random order.
    fn receivers(&mut self, cx: &mut Context<'_>, topic: &Topic, len: usize) -> Vec<PeerId> {
        let threshold = self.publish_threshold();
        let flood = self.config.flood_publish && len <= self.config.flood_publish_max;
        let supports = self.config.partial_of(topic).1;
        if !self.mesh.contains_key(topic) && !flood {
            self.refill_fanout(cx, topic, true);
        } else if !self.mesh.contains_key(topic) {
            self.refill_fanout(cx, topic, false);
        }
        let own = self
            .mesh
            .get(topic)
            .or_else(|| self.fanout.get(topic).map(|fanout| &fanout.peers));
        self.candidates(cx, topic, usize::MAX, |peer, entry| {
            let Some(level) = entry.level() else {
                return false;
            };
            let listed = own.is_some_and(|own| own.contains(&peer));
            let always = listed || self.explicit.contains(&peer);
            let by_score = (flood || level == Level::Flood) && self.score(&peer) >= threshold;
            (always || by_score) && !(supports && entry.requests_partial(topic))
        })
    }

    /// Keeps the fanout of a topic at D; `publishing` if it is used just now.
    pub(crate) fn refill_fanout(&mut self, cx: &mut Context<'_>, topic: &Topic, publishing: bool) {
        if !publishing && !self.fanout.contains_key(topic) {
            return;
        }
        let threshold = self.publish_threshold();
        let wanted = self.config.mesh_of(topic).d;
        let room = self.fanout.len() < self.config.limits.max_topics;
        if !room && !self.fanout.contains_key(topic) {
            return;
        }
        let known = self.fanout.get(topic).map(|fanout| fanout.peers.clone());
        let mut peers = known.unwrap_or_default();
        if peers.len() < wanted {
            let missing = wanted.saturating_sub(peers.len());
            let others = self.candidates(cx, topic, missing, |peer, entry| {
                entry.gossips()
                    && !peers.contains(&peer)
                    && !self.explicit.contains(&peer)
                    && self.rated(&peer, entry) >= threshold
            });
            peers.extend(others);
        }
        let now = self.now;
        let fanout = self.fanout.entry(topic.clone()).or_insert(Fanout {
            peers: BTreeSet::new(),
            published: now,
        });
        fanout.peers = peers;
        if publishing {
            fanout.published = now;
        }
    }

    /// One message of an RPC, in the order: topic, block list, shape, own, size, id, duplicate, signature, validators.
    pub(crate) fn handle_message(&mut self, cx: &mut Context<'_>, peer: PeerId, message: Message) {
        let Some(topic) = message.topic.clone() else {
            return;
        };
        if !self.mesh.contains_key(&topic) || self.config.is_filtered(&peer, &topic) {
            return;
        }
        let fingerprint = self.config.fast_id.as_ref().map(|fast| fast.of(&message));
        let (author, id) = match self.examine(cx, &topic, &message, fingerprint.as_ref()) {
            Ok(found) => found,
            Err(why) => {
                self.invalid_now(peer, &topic, why);
                return;
            }
        };
        if author.is_some_and(|author| self.blocked.contains(&author)) {
            return;
        }
        if self.is_known(&id) {
            self.count_copy(peer, &topic, false);
            self.handle_duplicate(peer, &id);
            return;
        }
        if message.signature.is_some() {
            self.stats.verified = self.stats.verified.saturating_add(1);
            if let Err(why) = self.config.policy_of(&topic).verify(&message, author) {
                self.invalid_now(peer, &topic, why);
                return;
            }
        }
        if let Some(fingerprint) = fingerprint {
            let id = MessageId::from(Bytes::copy_from_slice(id.as_bytes()));
            self.fast.insert(Bytes::copy_from_slice(&fingerprint), id);
        }
        self.take(cx, peer, &topic, author, id, &message);
    }

    /// What can be judged without cryptography.
    fn examine(
        &self,
        cx: &Context<'_>,
        topic: &Topic,
        message: &Message,
        fingerprint: Option<&Bytes>,
    ) -> Result<(Option<PeerId>, MessageId), Reject> {
        let policy: SignaturePolicy = self.config.policy_of(topic);
        let author = policy.check_shape(message)?;
        let own = self.config.author_of(topic).map(Identity::peer_id);
        if author.is_some() && (author == Some(cx.local) || author == own) {
            return Err(Reject::SelfOrigin);
        }
        if message.data.as_ref().map_or(0, Bytes::len) > self.config.max_message(topic) {
            return Err(Reject::TooLarge);
        }
        let known = fingerprint.and_then(|fingerprint| self.fast.get(fingerprint));
        let id = match known {
            Some(known) => known.clone(),
            None => self.config.id_of(topic).id(message).ok_or(Reject::NoId)?,
        };
        Ok((author, id))
    }

    fn handle_duplicate(&mut self, peer: PeerId, id: &MessageId) {
        self.stats.duplicates = self.stats.duplicates.saturating_add(1);
        self.trace(|| Step::DuplicateMessage(peer, id.clone()));
        let now = self.now;
        self.seen.touch(id, now);
        if let Some(pending) = self.pending.get_mut(id) {
            pending.others.insert(peer);
        }
        if let Some(scores) = &mut self.scores {
            scores.duplicate(now, peer, id);
        }
    }

    /// A message that is well formed, new, and signed by its author.
    fn take(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        topic: &Topic,
        author: Option<PeerId>,
        id: MessageId,
        message: &Message,
    ) {
        let waits = self.config.validates(topic) && self.is_subscribed(topic);
        let asked = self.promises.kept(&id.key());
        let len = message.data.as_ref().map_or(0, Bytes::len);
        if waits && !self.has_room_to_wait(topic, len) {
            // It may come again: it is not marked as seen, and nobody is to blame.
            self.stats.throttled = self.stats.throttled.saturating_add(1);
            return;
        }
        // Ids are slices of what the peer sent; what is kept has memory of its own.
        let id = MessageId::from(Bytes::copy_from_slice(id.as_bytes()));
        self.seen.insert(id.clone(), self.now);
        self.stats.received = self.stats.received.saturating_add(1);
        self.count_copy(peer, topic, true);
        let now = self.now;
        if let Some(scores) = &mut self.scores {
            scores.received(now, peer, &id, topic);
        }
        if self.is_replayed(author, message) {
            self.stats.ignored = self.stats.ignored.saturating_add(1);
            if let Some(scores) = &mut self.scores {
                scores.ignored(&id);
            }
            return;
        }
        if len >= self.config.idontwant_min {
            self.tell_unwanted(topic, &id, Some(peer), asked.filter(|asked| *asked != peer));
        }
        let frame = message.to_frame();
        let Some(message) = Message::of_frame(&frame) else {
            return;
        };
        let pending = Pending {
            topic: topic.clone(),
            frame,
            author,
            first: peer,
            others: BTreeSet::new(),
        };
        if !waits {
            self.accept(cx, &id, pending, Some(message));
            return;
        }
        self.pending_bytes = self.pending_bytes.saturating_add(pending.frame.len());
        self.pending_order
            .push_back((self.now + self.config.validation_timeout, id.clone()));
        self.pending.insert(id.clone(), pending);
        self.tell(cx, id, peer, topic.clone(), message, true);
        self.pause_if_full(cx, peer);
    }

    fn has_room_to_wait(&self, topic: &Topic, len: usize) -> bool {
        let limits = &self.config.limits;
        let of_topic = || {
            self.pending
                .values()
                .filter(|pending| pending.topic == *topic)
                .count()
        };
        self.config.max_pending(topic).is_none_or(|max| of_topic() < max)
            && self.pending.len() < limits.max_pending
            && self.pending_bytes.saturating_add(len) <= limits.max_pending_bytes
            && self.has_event_room()
    }

    /// Sequence numbers of an author must rise, if so configured.
    fn is_replayed(&mut self, author: Option<PeerId>, message: &Message) -> bool {
        if !self.config.replay_guard {
            return false;
        }
        let seqno = message
            .seqno
            .as_deref()
            .and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        let (Some(author), Some(seqno)) = (author, seqno.map(u64::from_be_bytes)) else {
            return false;
        };
        match self.authors.get_mut(&author) {
            Some(last) if seqno <= *last => return true,
            Some(last) => *last = seqno,
            None => {
                if self.authors.len() >= self.config.limits.max_authors {
                    self.authors.pop_first();
                }
                self.authors.insert(author, seqno);
            }
        }
        false
    }

    fn tell(
        &mut self,
        cx: &Context<'_>,
        id: MessageId,
        source: PeerId,
        topic: Topic,
        message: Message,
        waits: bool,
    ) {
        self.emit(
            cx,
            Event::Message {
                id,
                source,
                topic,
                message,
                waits,
            },
        );
    }

    /// Stops reading from a peer while too many messages wait for a verdict.
    fn pause_if_full(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        if self.pending.len() < self.config.limits.max_pending {
            return;
        }
        let inbound = self.peers.get_mut(&peer).and_then(|entry| entry.inbound.as_mut());
        if let Some(inbound) = inbound.filter(|inbound| !inbound.paused) {
            inbound.paused = true;
            cx.pause(inbound.stream);
        }
    }

    fn resume_if_free(&mut self, cx: &mut Context<'_>) {
        let half = self.config.limits.max_pending.checked_div(2).unwrap_or(0);
        if self.pending.len() > half {
            return;
        }
        let inbounds = self.peers.values_mut().filter_map(|entry| entry.inbound.as_mut());
        for inbound in inbounds.filter(|inbound| inbound.paused) {
            inbound.paused = false;
            cx.resume(inbound.stream);
        }
    }

    /// A verdict that is still waited for. Says whether it was.
    pub(crate) fn decide(&mut self, cx: &mut Context<'_>, id: &MessageId, verdict: Verdict) -> bool {
        let Some(pending) = self.pending.remove(id) else {
            return false;
        };
        self.pending_bytes = self.pending_bytes.saturating_sub(pending.frame.len());
        // In most cases the oldest; else it is found when its time is over.
        while self
            .pending_order
            .front()
            .is_some_and(|(_, id)| !self.pending.contains_key(id))
        {
            self.pending_order.pop_front();
        }
        let now = self.now;
        match verdict {
            Verdict::Accept => self.accept(cx, id, pending, None),
            Verdict::Reject => {
                self.stats.rejected = self.stats.rejected.saturating_add(1);
                if let Some(scores) = &mut self.scores {
                    scores.rejected(now, id);
                }
            }
            Verdict::Ignore => {
                self.stats.ignored = self.stats.ignored.saturating_add(1);
                if let Some(scores) = &mut self.scores {
                    scores.ignored(id);
                }
            }
        }
        self.resume_if_free(cx);
        true
    }

    /// A verdict that does not come in time counts as ignoring.
    pub(crate) fn expire_pending(&mut self, cx: &mut Context<'_>) {
        while let Some((at, id)) = self.pending_order.front().cloned() {
            if at > self.now {
                break;
            }
            self.pending_order.pop_front();
            self.decide(cx, &id, Verdict::Ignore);
        }
    }

    /// A valid message: told, unless it was already, cached, and passed on.
    fn accept(&mut self, cx: &mut Context<'_>, id: &MessageId, pending: Pending, untold: Option<Message>) {
        let now = self.now;
        self.stats.accepted = self.stats.accepted.saturating_add(1);
        self.trace(|| Step::DeliverMessage(pending.first, pending.topic.clone(), id.clone()));
        if let Some(scores) = &mut self.scores {
            scores.accepted(now, pending.first, id);
        }
        if let Some(message) = untold.filter(|_| self.is_subscribed(&pending.topic)) {
            let (id, topic) = (id.clone(), pending.topic.clone());
            self.tell(cx, id, pending.first, topic, message, false);
        }
        self.remember(cx, &pending.topic, id, pending.frame.clone());
        self.forward(cx, id, &pending);
    }

    /// To the mesh, explicit peers and FloodSub peers, but nobody that sent it, made it, or doesn't want it. What it costs depends on these, not on how many others
    /// subscribe.
    fn forward(&mut self, cx: &mut Context<'_>, id: &MessageId, pending: &Pending) {
        let topic = &pending.topic;
        let threshold = self.publish_threshold();
        let supports = self.config.partial_of(topic).1;
        let key = id.key();
        let members = self.mesh.get(topic).into_iter().flatten();
        let mut receivers: Vec<PeerId> = members.chain(&self.explicit).copied().collect();
        let flooded = self.floods.iter().copied();
        receivers.extend(flooded.filter(|peer| self.score(peer) >= threshold));
        receivers.sort_unstable();
        receivers.dedup();
        let mut unwanted = 0_u64;
        receivers.retain(|peer| {
            let Some(entry) = self.peers.get(peer) else {
                return false;
            };
            let sent = *peer == pending.first || pending.others.contains(peer);
            let takes = entry.topics.contains_key(topic) && !self.config.is_filtered(peer, topic);
            let parts = supports && entry.requests_partial(topic);
            if sent || !takes || parts || pending.author == Some(*peer) {
                return false;
            }
            // It hears of the message at the heartbeat.
            if entry.choking.get(topic).is_some_and(|choking| choking.us) {
                return false;
            }
            let knows = entry.unwanted.contains_key(&key);
            unwanted = unwanted.saturating_add(u64::from(knows));
            !knows
        });
        Self::shuffle(cx, &mut receivers);
        self.stats.unwanted = self.stats.unwanted.saturating_add(unwanted);
        let until = self.now + self.config.forward_age;
        for peer in receivers {
            self.enqueue(
                cx,
                peer,
                key.clone(),
                pending.frame.clone(),
                Kind::Forward,
                until,
                None,
            );
        }
    }
}
