//! The machine: its state, the commands, and what drives it.

mod drive;
mod views;

use crate::{
    Command, Config, Error, Event, Level, MessageId, Reject, Stats, Step, Topic, TopicScoreParams, Trace,
    Verdict,
    backoff::Backoffs,
    cache::{FastIds, MessageCache, Seen},
    event::{Feedback, Publication},
    messages::Pending,
    partial::Groups,
    peers::Peer,
    promises::Promises,
    score::Scores,
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use libp2p_proto_core::{Instant, PeerId, StreamId, Timers};
use libp2p_proto_identity::{Identity, PeerRecord};
use libp2p_proto_stream_protocol::{Context, EventQueue, Framing, Journal, Matching, StreamSpec};

/// A topic that we take part in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) subscriptions: u32,
    pub(crate) relays: u32,
}

/// Peers of a topic that we only publish to.
#[derive(Clone, Debug)]
pub(crate) struct Fanout {
    pub(crate) peers: BTreeSet<PeerId>,
    pub(crate) published: Instant,
}

/// A command that waits for the next drive.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Join(Topic),
    Leave(Topic),
    Batch {
        publications: Vec<Publication>,
        topic: Topic,
        messages: Vec<Bytes>,
    },
    Feedback(PeerId, Topic, Feedback),
    Publish {
        publication: Publication,
        topic: Topic,
        data: Bytes,
        reported: bool,
        local: bool,
    },
    Report(MessageId, Verdict),
    AddExplicit(PeerId),
    RemoveExplicit(PeerId),
    Block(PeerId),
    SetAppScore(PeerId, f64),
    Penalize(PeerId, u32),
    SetTopicScore(Topic, TopicScoreParams),
    SendPartial {
        peer: Option<PeerId>,
        topic: Topic,
        group: Bytes,
        parts: Option<Bytes>,
        metadata: Option<Bytes>,
    },
}

/// A publication whose way out is told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) waiting: usize,
    pub(crate) flushed: usize,
    pub(crate) dropped: usize,
}

/// The gossipsub protocol.
///
/// A clone is a snapshot: from the same inputs on, both do the same. A started journal goes with it.
///
/// After a command, drive: commands are carried out with the next input, which [`poll_timeout`](libp2p_proto_stream_protocol::Protocol::poll_timeout) asks for at once.
#[derive(Clone, Debug)]
pub struct Gossipsub {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) specs: Vec<StreamSpec>,
    pub(crate) levels: Vec<Level>,
    pub(crate) now: Instant,
    pub(crate) local: BTreeMap<Topic, Local>,
    /// Who subscribes to what. No empty sets.
    pub(crate) topics: BTreeMap<Topic, BTreeSet<PeerId>>,
    pub(crate) peers: BTreeMap<PeerId, Peer>,
    pub(crate) streams: BTreeMap<StreamId, PeerId>,
    /// One mesh for each topic that we take part in.
    pub(crate) mesh: BTreeMap<Topic, BTreeSet<PeerId>>,
    /// Topics that we left a moment ago, and until when that is.
    pub(crate) left: BTreeMap<Topic, Instant>,
    pub(crate) fanout: BTreeMap<Topic, Fanout>,
    pub(crate) backoffs: Backoffs,
    pub(crate) seen: Seen,
    pub(crate) cache: MessageCache,
    pub(crate) pending: BTreeMap<MessageId, Pending>,
    pub(crate) pending_order: VecDeque<(Instant, MessageId)>,
    pub(crate) pending_bytes: usize,
    pub(crate) promises: Promises,
    pub(crate) scores: Option<Scores>,
    pub(crate) explicit: BTreeSet<PeerId>,
    pub(crate) blocked: BTreeSet<PeerId>,
    /// Peers that speak FloodSub alone.
    pub(crate) floods: BTreeSet<PeerId>,
    pub(crate) px_dials: BTreeSet<PeerId>,
    pub(crate) records: BTreeMap<PeerId, Bytes>,
    pub(crate) authors: BTreeMap<PeerId, u64>,
    pub(crate) groups: BTreeMap<Topic, Groups>,
    pub(crate) retries: Timers<PeerId>,
    pub(crate) heartbeat_at: Option<Instant>,
    pub(crate) decay_at: Option<Instant>,
    pub(crate) tick: u64,
    /// Whether a heartbeat is under way.
    pub(crate) beating: bool,
    pub(crate) seqno: u64,
    /// Peers for which something waits.
    pub(crate) dirty: BTreeSet<PeerId>,
    /// Peers that came into a mesh or left one, or whose stream did, since it was last looked at which connections are kept.
    pub(crate) shifted: BTreeSet<PeerId>,
    wishes: VecDeque<Wish>,
    next_publication: u64,
    pub(crate) publications: BTreeMap<u64, Outgoing>,
    events: EventQueue<Event>,
    pub(crate) traces: VecDeque<Trace>,
    pub(crate) fast: FastIds,
    pub(crate) stats: Stats,
    journal: Journal,
}

impl Gossipsub {
    /// A router that speaks for `identity`.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field that is out of range.
    pub fn new(identity: Identity, config: Config) -> Result<Self, Error> {
        config.validate()?;
        let limits = &config.limits;
        let own = config.protocols.iter().map(|(name, _)| (name, Matching::Exact));
        let further = config
            .matcher
            .iter()
            .map(|matcher| (&matcher.prefix, Matching::Prefix));
        let specs = own.chain(further).map(|(name, matching)| StreamSpec {
            matching,
            max_inbound: 4,
            max_outbound: 2,
            on_limited: config.on_limited,
            keeps_alive: !config.idle_outside_meshes,
            ..StreamSpec::new(
                name.clone(),
                Framing::LengthDelimited {
                    max: limits.max_frame,
                },
            )
        });
        Ok(Self {
            specs: specs.collect(),
            levels: config.protocols.iter().map(|(_, level)| *level).collect(),
            identity,
            now: Instant::ZERO,
            local: BTreeMap::new(),
            topics: BTreeMap::new(),
            peers: BTreeMap::new(),
            streams: BTreeMap::new(),
            mesh: BTreeMap::new(),
            left: BTreeMap::new(),
            fanout: BTreeMap::new(),
            backoffs: Backoffs::new(limits.max_backoffs),
            seen: Seen::new(config.seen_ttl, config.seen_sliding, limits.max_seen),
            cache: MessageCache::new(config.history, config.history_gossip, limits.max_cache_bytes),
            pending: BTreeMap::new(),
            pending_order: VecDeque::new(),
            pending_bytes: 0,
            promises: Promises::new(limits.max_promises),
            scores: config.score.clone().map(Scores::new),
            explicit: config.explicit_peers.iter().copied().collect(),
            blocked: BTreeSet::new(),
            floods: BTreeSet::new(),
            px_dials: BTreeSet::new(),
            records: BTreeMap::new(),
            authors: BTreeMap::new(),
            groups: BTreeMap::new(),
            retries: Timers::new(),
            heartbeat_at: None,
            decay_at: None,
            tick: 0,
            beating: false,
            seqno: 0,
            dirty: BTreeSet::new(),
            shifted: BTreeSet::new(),
            wishes: VecDeque::new(),
            next_publication: 0,
            publications: BTreeMap::new(),
            events: EventQueue::new(limits.max_events),
            traces: VecDeque::new(),
            fast: FastIds::new(limits.max_seen),
            stats: Stats::default(),
            journal: Journal::new(),
            config,
        })
    }

    /// Takes part in a topic: its messages are told, and peers are told that we want them. Counted: the last [`unsubscribe`](Self::unsubscribe) ends it.
    ///
    /// # Errors
    ///
    /// [`Error::TopicNotAllowed`], [`Error::TooManyTopics`], [`Error::TooManyCommands`], [`Error::TooLarge`] if its name fits into no frame.
    pub fn subscribe(&mut self, topic: impl Into<Topic>) -> Result<(), Error> {
        let topic = topic.into();
        self.journal.note(|| Command::Subscribe { topic: topic.clone() });
        self.take_part(topic, |local| &mut local.subscriptions)
    }

    /// Takes part in a topic without being told its messages. Counted as [`subscribe`](Self::subscribe).
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe), and [`Error::FanoutOnly`].
    pub fn relay(&mut self, topic: impl Into<Topic>) -> Result<(), Error> {
        let topic = topic.into();
        self.journal.note(|| Command::Relay { topic: topic.clone() });
        if self.config.is_fanout_only(&topic) {
            return Err(Error::FanoutOnly);
        }
        self.take_part(topic, |local| &mut local.relays)
    }

    fn take_part(&mut self, topic: Topic, count: fn(&mut Local) -> &mut u32) -> Result<(), Error> {
        if !self.config.filter.allows(&topic) {
            return Err(Error::TopicNotAllowed);
        }
        if !self.local.contains_key(&topic) {
            if self.local.len() >= self.config.limits.max_topics {
                return Err(Error::TooManyTopics);
            }
            // A name that fits into no frame could never be announced.
            if topic.as_str().len().saturating_add(64) > self.config.limits.max_control_sent {
                return Err(Error::TooLarge);
            }
            self.wish(Wish::Join(topic.clone()))?;
        }
        let count = count(self.local.entry(topic).or_default());
        *count = count.saturating_add(1);
        Ok(())
    }

    /// Gives one subscription back. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyCommands`].
    pub fn unsubscribe(&mut self, topic: &Topic) -> Result<bool, Error> {
        self.journal
            .note(|| Command::Unsubscribe { topic: topic.clone() });
        self.give_back(topic, |local| &mut local.subscriptions)
    }

    /// Gives one relay back. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyCommands`].
    pub fn unrelay(&mut self, topic: &Topic) -> Result<bool, Error> {
        self.journal.note(|| Command::Unrelay { topic: topic.clone() });
        self.give_back(topic, |local| &mut local.relays)
    }

    fn give_back(&mut self, topic: &Topic, count: fn(&mut Local) -> &mut u32) -> Result<bool, Error> {
        let Some(mut local) = self.local.get(topic).copied() else {
            return Ok(false);
        };
        let left = count(&mut local);
        if *left == 0 {
            return Ok(false);
        }
        *left = left.saturating_sub(1);
        if local == Local::default() {
            self.wish(Wish::Leave(topic.clone()))?;
            self.local.remove(topic);
        } else {
            self.local.insert(topic.clone(), local);
        }
        Ok(true)
    }

    /// Publishes. [`Event::Published`] or [`Event::PublishFailed`] follows; if `reported`, [`Event::Flushed`] when the message has left for every peer or was
    /// dropped.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::TooManyCommands`].
    pub fn publish(
        &mut self,
        topic: impl Into<Topic>,
        data: impl Into<Bytes>,
        reported: bool,
    ) -> Result<Publication, Error> {
        let (topic, data) = (topic.into(), data.into());
        self.journal.note(|| Command::Publish {
            topic: topic.clone(),
            data: data.clone(),
            reported,
        });
        self.publish_with(topic, data, reported, false)
    }

    /// Publishes to our own subscription alone.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub fn publish_locally(
        &mut self,
        topic: impl Into<Topic>,
        data: impl Into<Bytes>,
    ) -> Result<Publication, Error> {
        let (topic, data) = (topic.into(), data.into());
        self.journal.note(|| Command::PublishLocally {
            topic: topic.clone(),
            data: data.clone(),
        });
        self.publish_with(topic, data, false, true)
    }

    fn publish_with(
        &mut self,
        topic: Topic,
        data: Bytes,
        reported: bool,
        local: bool,
    ) -> Result<Publication, Error> {
        if data.len() > self.config.max_message(&topic) {
            return Err(Error::TooLarge);
        }
        let publication = Publication(self.next_publication);
        self.wish(Wish::Publish {
            publication,
            topic,
            data,
            reported,
            local,
        })?;
        self.next_publication = self.next_publication.saturating_add(1);
        Ok(publication)
    }

    /// Publishes several messages of one topic, so that each has left once before one leaves twice: for each peer they wait in another order.
    /// [`Event::Published`] or [`Event::PublishFailed`] follows for each.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::TooManyCommands`].
    pub fn publish_batch(
        &mut self,
        topic: impl Into<Topic>,
        messages: Vec<Bytes>,
    ) -> Result<Vec<Publication>, Error> {
        let topic = topic.into();
        self.journal.note(|| Command::PublishBatch {
            topic: topic.clone(),
            messages: messages.clone(),
        });
        if messages.len() > self.config.limits.max_commands {
            return Err(Error::TooManyCommands);
        }
        let max = self.config.max_message(&topic);
        if messages.iter().any(|data| data.len() > max) {
            return Err(Error::TooLarge);
        }
        let first = self.next_publication;
        let next = first.saturating_add(messages.len() as u64);
        let publications: Vec<Publication> = (first..next).map(Publication).collect();
        self.wish(Wish::Batch {
            publications: publications.clone(),
            topic,
            messages,
        })?;
        self.next_publication = next;
        Ok(publications)
    }

    /// What a connected peer did for us in a topic, beyond what the machine sees: counts as a first delivery, or as an invalid message.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyCommands`].
    pub fn feedback(
        &mut self,
        peer: PeerId,
        topic: impl Into<Topic>,
        feedback: Feedback,
    ) -> Result<(), Error> {
        let topic = topic.into();
        self.journal.note(|| Command::Feedback {
            peer,
            topic: topic.clone(),
            feedback,
        });
        self.wish(Wish::Feedback(peer, topic, feedback))
    }

    /// The last sequence number of each author, if they must rise: to be kept over a restart. Sorted.
    pub fn authors(&self) -> impl Iterator<Item = (&PeerId, u64)> {
        self.authors.iter().map(|(author, seqno)| (author, *seqno))
    }

    /// Our own last sequence number: to be kept over a restart if the clock may be set back. 0 if nothing was signed yet.
    pub const fn seqno(&self) -> u64 {
        self.seqno
    }

    /// An author's last sequence number, as it was kept. A larger one stays. Of ourselves: the next own message has a larger one.
    pub fn remember_author(&mut self, author: PeerId, seqno: u64) {
        self.journal.note(|| Command::RememberAuthor { author, seqno });
        if author == self.identity.peer_id() {
            self.seqno = self.seqno.max(seqno);
            return;
        }
        let room = self.authors.len() < self.config.limits.max_authors;
        if room || self.authors.contains_key(&author) {
            let known = self.authors.entry(author).or_default();
            *known = seqno.max(*known);
        }
    }

    /// What the application found of a message that waits for it. A message that no longer waits is left as it is.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyCommands`].
    pub fn report(&mut self, id: MessageId, verdict: Verdict) -> Result<(), Error> {
        self.journal.note(|| Command::Report {
            id: id.clone(),
            verdict,
        });
        self.wish(Wish::Report(id, verdict))
    }

    /// Makes a peer explicit: always connected, always served, never in a mesh. It should do the same with us.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyCommands`].
    pub fn add_explicit(&mut self, peer: PeerId) -> Result<(), Error> {
        self.journal.note(|| Command::AddExplicit { peer });
        self.wish(Wish::AddExplicit(peer))
    }

    /// Makes an explicit peer one like the others.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyCommands`].
    pub fn remove_explicit(&mut self, peer: PeerId) -> Result<(), Error> {
        self.journal.note(|| Command::RemoveExplicit { peer });
        self.wish(Wish::RemoveExplicit(peer))
    }

    /// Takes nothing more from a peer, nor anything that it is the author of.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyCommands`].
    pub fn block(&mut self, peer: PeerId) -> Result<(), Error> {
        self.journal.note(|| Command::Block { peer });
        self.wish(Wish::Block(peer))
    }

    /// Ends that.
    pub fn unblock(&mut self, peer: &PeerId) {
        self.journal.note(|| Command::Unblock { peer: *peer });
        self.blocked.remove(peer);
    }

    /// What the application thinks of a connected peer, P5.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyCommands`].
    pub fn set_app_score(&mut self, peer: PeerId, score: f64) -> Result<(), Error> {
        self.journal.note(|| Command::SetAppScore { peer, score });
        self.wish(Wish::SetAppScore(peer, score))
    }

    /// Counts misbehaviour of a peer, P7.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyCommands`].
    pub fn penalize(&mut self, peer: PeerId, amount: u32) -> Result<(), Error> {
        self.journal.note(|| Command::Penalize { peer, amount });
        self.wish(Wish::Penalize(peer, amount))
    }

    /// Replaces the score parameters of a topic.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`], [`Error::TooManyCommands`].
    pub fn set_topic_score(
        &mut self,
        topic: impl Into<Topic>,
        params: TopicScoreParams,
    ) -> Result<(), Error> {
        let topic = topic.into();
        self.journal.note(|| Command::SetTopicScore {
            topic: topic.clone(),
            params,
        });
        params.validate()?;
        self.wish(Wish::SetTopicScore(topic, params))
    }

    /// A signed record of a connected peer, to be given to peers that we prune. One that is not valid, or of a peer that is not connected, is ignored. Says whether it
    /// was taken.
    pub fn set_record(&mut self, envelope: Bytes) -> bool {
        self.journal.note(|| Command::SetRecord {
            envelope: envelope.clone(),
        });
        let Ok(record) = PeerRecord::open(&envelope) else {
            return false;
        };
        let known = self.peers.contains_key(&record.peer_id());
        if known {
            self.records.insert(record.peer_id(), envelope);
        }
        known
    }

    /// Sends parts of a message, or what we have and want of it, to one peer, or to every peer of the mesh or fanout that speaks partial messages.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::TooManyCommands`].
    pub fn send_partial(
        &mut self,
        peer: Option<PeerId>,
        topic: impl Into<Topic>,
        group: Bytes,
        parts: Option<Bytes>,
        metadata: Option<Bytes>,
    ) -> Result<(), Error> {
        let topic = topic.into();
        self.journal.note(|| Command::SendPartial {
            peer,
            topic: topic.clone(),
            group: group.clone(),
            parts: parts.clone(),
            metadata: metadata.clone(),
        });
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let size = len(&parts)
            .saturating_add(len(&metadata))
            .saturating_add(group.len())
            .saturating_add(topic.as_str().len())
            .saturating_add(64);
        if size > self.config.limits.max_frame {
            return Err(Error::TooLarge);
        }
        self.wish(Wish::SendPartial {
            peer,
            topic,
            group,
            parts,
            metadata,
        })
    }

    fn wish(&mut self, wish: Wish) -> Result<(), Error> {
        if self.wishes.len() >= self.config.limits.max_commands {
            return Err(Error::TooManyCommands);
        }
        self.wishes.push_back(wish);
        Ok(())
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop();
        self.journal.took(event.as_ref(), || Command::Poll);
        event
    }

    /// The oldest step of the trace, if steps are traced. At most as many as events wait; then the newest are lost.
    pub fn poll_trace(&mut self) -> Option<Trace> {
        self.traces.pop_front()
    }

    /// Traces a step.
    pub(crate) fn trace(&mut self, step: impl FnOnce() -> Step) {
        if self.config.trace && self.traces.len() < self.config.limits.max_events {
            let at = self.now;
            self.traces.push_back(Trace { at, step: step() });
        }
    }

    /// The drive that made the oldest event.
    pub fn next_event_seq(&self) -> Option<u64> {
        self.events.next_seq()
    }

    /// Counters since the start.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Tells the application; a full queue loses the newest, which is counted.
    pub(crate) fn emit(&mut self, cx: &Context<'_>, event: Event) {
        if self.events.push(cx.seq, event).is_err() {
            self.stats.events_dropped = self.stats.events_dropped.saturating_add(1);
        }
    }

    pub(crate) fn has_event_room(&self) -> bool {
        self.events.room() > 0
    }

    pub(crate) fn penalize_now(&mut self, peer: PeerId, amount: u32) {
        let now = self.now;
        self.stats.penalties = self.stats.penalties.saturating_add(u64::from(amount));
        if let Some(scores) = &mut self.scores {
            scores.penalize(now, peer, amount);
        }
    }

    /// Counts an invalid message against its sender.
    pub(crate) fn invalid_now(&mut self, peer: PeerId, topic: &Topic, why: Reject) {
        let now = self.now;
        self.trace(|| Step::RejectMessage(peer, topic.clone(), why));
        self.stats.rejected = self.stats.rejected.saturating_add(1);
        if let Some(scores) = &mut self.scores {
            scores.invalid(now, peer, topic);
        }
    }

    /// Shuffles with the machine's dice.
    pub(crate) fn shuffle<T>(cx: &mut Context<'_>, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            let bound = (place as u64).saturating_add(1);
            let other = usize::try_from(cx.rng.below(bound)).unwrap_or(0);
            items.swap(place, other);
        }
    }
}
