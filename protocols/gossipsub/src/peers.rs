//! Connections and streams of peers: who speaks what, what waits for whom, and when it leaves.

use crate::{
    Event, Gossipsub, Level, MessageId, Step, Topic,
    choke::Choking,
    few::Few,
    gossipsub::Outgoing,
    queue::{Item, Kind, Queue},
    wire::{Extensions, Subscription},
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::{net::IpAddr, time::Duration};
use libp2p_proto_core::{ConnectionId, Instant, PeerId, ProtocolName, Side, StreamId};
use libp2p_proto_stream_protocol::{Closed, ConnectionInfo, Context, Target, WriteError};

/// Times that a stream is opened again before a peer is given up.
const MAX_RETRIES: u32 = 4;
/// The second attempt waits for this, each further one twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// No attempt waits longer.
const LAST_DELAY: Duration = Duration::from_secs(10);

/// Our stream to a peer.
#[derive(Clone, Debug, Default)]
pub(crate) enum Outbound {
    /// None, and none is wanted: not supported, given up, or no connection that may carry it.
    #[default]
    None,
    /// Waits to be opened again.
    Waiting,
    /// Not agreed yet.
    Opening(StreamId),
    /// Agreed.
    Open(OpenStream),
}

/// Our agreed stream to a peer.
#[derive(Clone, Debug)]
pub(crate) struct OpenStream {
    pub(crate) stream: StreamId,
    pub(crate) level: Level,
    pub(crate) since: Instant,
    /// Frames written.
    written: u64,
    /// Publications that left as frame number so-and-so and want to know.
    flushing: VecDeque<(u64, u64)>,
    /// What `written` was when the notice under way was asked for.
    notice: Option<u64>,
    /// Since when it takes nothing although something waits.
    stuck: Option<Instant>,
}

/// A peer's stream to us.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    pub(crate) stream: StreamId,
    pub(crate) level: Level,
    /// `None` before the first RPC, which fixes them.
    pub(crate) extensions: Option<Extensions>,
    pub(crate) paused: bool,
    pub(crate) tested: bool,
}

/// What a peer wants of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) requests: bool,
    pub(crate) supports: bool,
}

/// What is counted of a peer until the next heartbeat.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ihave_rpcs: u32,
    pub(crate) iwant_rpcs: u32,
    pub(crate) asked: usize,
    pub(crate) idontwant: usize,
    pub(crate) groups_told: usize,
    pub(crate) unknown_grafts: usize,
    pub(crate) dropped_own: u32,
    pub(crate) dropped_others: u32,
}

/// A connected peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) conns: Few<ConnectionId, Option<IpAddr>>,
    /// Whether we connected to it ourselves, and not because another peer told us to.
    pub(crate) outbound: bool,
    pub(crate) out: Outbound,
    pub(crate) retries: u32,
    pub(crate) inbound: Option<Inbound>,
    pub(crate) topics: Few<Topic, Wants>,
    pub(crate) topic_bytes: usize,
    pub(crate) queue: Queue,
    pub(crate) counts: Counts,
    /// Messages that it doesn't want, until which heartbeat.
    pub(crate) unwanted: BTreeMap<MessageId, u64>,
    /// What we and it asked of each other in meshes, if the draft of CHOKE is spoken.
    pub(crate) choking: Few<Topic, Choking>,
    pub(crate) graylisted: bool,
    /// Meshes of ours that it is in.
    pub(crate) meshes: u32,
    /// The connection that is kept for it.
    pub(crate) kept: Option<ConnectionId>,
    /// Its score at the last heartbeat, for that heartbeat.
    pub(crate) score: f64,
}

impl Peer {
    pub(crate) fn level(&self) -> Option<Level> {
        match &self.out {
            Outbound::Open(open) => Some(open.level),
            _ => None,
        }
    }

    /// Whether it can be in a mesh.
    pub(crate) fn gossips(&self) -> bool {
        self.level().is_some_and(|level| level >= Level::V10)
    }
}

impl Gossipsub {
    pub(crate) fn handle_connected(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        conn: ConnectionId,
        first: bool,
        info: &ConnectionInfo,
    ) {
        if self.blocked.contains(&peer) {
            return;
        }
        let by_px = self.px_dials.remove(&peer);
        let entry = self.peers.entry(peer).or_default();
        if first || entry.conns.is_empty() {
            entry.outbound = info.side == Side::Dialer && !by_px && !info.limited;
        }
        let ip = if info.limited { None } else { info.remote.ip() };
        if entry.conns.is_empty() {
            self.trace(|| Step::AddPeer(peer));
        }
        let entry = self.peers.entry(peer).or_default();
        entry.conns.insert(conn, ip);
        self.refresh_ips(peer);
        let idle = self
            .peers
            .get(&peer)
            .is_some_and(|entry| matches!(entry.out, Outbound::None) && entry.retries <= MAX_RETRIES);
        if idle {
            self.open_stream(cx, peer);
        }
    }

    fn refresh_ips(&mut self, peer: PeerId) {
        let (Some(scores), Some(entry)) = (&mut self.scores, self.peers.get(&peer)) else {
            return;
        };
        let ips: Vec<IpAddr> = entry.conns.values().flatten().copied().collect();
        scores.connected(peer);
        scores.set_ips(peer, &ips);
    }

    pub(crate) fn handle_disconnected(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        conn: ConnectionId,
        last: bool,
    ) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.conns.remove(&conn);
        self.shifted.insert(peer);
        if last || entry.conns.is_empty() {
            self.forget_peer(cx, peer);
        } else {
            self.refresh_ips(peer);
        }
    }

    /// Everything that is held for a peer goes, but back-offs and, for a while, its score.
    pub(crate) fn forget_peer(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        self.leave_topics(cx, peer);
        if let Some(mut entry) = self.peers.remove(&peer) {
            self.trace(|| Step::RemovePeer(peer));
            let gone = entry.queue.clear();
            self.drop_items(cx, peer, gone, false);
            if let Outbound::Open(open) = entry.out {
                self.drop_flushing(cx, open);
            }
            if let Some(conn) = entry.kept {
                cx.keep(conn, false);
            }
        }
        self.shifted.remove(&peer);
        self.streams.retain(|_, owner| *owner != peer);
        self.floods.remove(&peer);
        self.retries.clear(peer);
        self.dirty.remove(&peer);
        self.records.remove(&peer);
        self.promises.forget(peer);
        self.cache.forget(&peer);
        for groups in self.groups.values_mut() {
            groups.forget(&peer);
        }
        self.groups.retain(|_, groups| groups.len() > 0);
        let now = self.now;
        if let Some(scores) = &mut self.scores {
            scores.disconnected(now, peer);
        }
    }

    /// Takes a peer out of all topics, meshes and fanouts.
    pub(crate) fn leave_topics(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.topic_bytes = 0;
        for topic in core::mem::take(&mut entry.topics).into_keys() {
            self.remove_from_topic(&topic, peer);
            self.emit(cx, Event::Unsubscribed { peer, topic });
        }
        self.leave_meshes(peer);
    }

    pub(crate) fn remove_from_topic(&mut self, topic: &Topic, peer: PeerId) {
        if let Some(peers) = self.topics.get_mut(topic) {
            peers.remove(&peer);
            if peers.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// Opens our stream to a peer: all names, newest first.
    pub(crate) fn open_stream(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let specs: Vec<u8> = (0..u8::try_from(self.levels.len()).unwrap_or(u8::MAX)).collect();
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.out = match cx.open(Target::Peer(peer), &specs) {
            Ok(stream) => {
                self.streams.insert(stream, peer);
                Outbound::Opening(stream)
            }
            Err(_) => Outbound::None,
        };
    }

    pub(crate) fn handle_opened(
        &mut self,
        cx: &mut Context<'_>,
        stream: StreamId,
        peer: PeerId,
        spec: u8,
        name: &ProtocolName,
    ) {
        let matched = || self.config.matcher.as_ref()?.level_of(name);
        let level = self.levels.get(usize::from(spec)).copied().or_else(matched);
        let (Some(level), Some(entry)) = (level, self.peers.get_mut(&peer)) else {
            cx.reset(stream);
            return;
        };
        if stream.is_inbound() {
            let inbound = Inbound {
                stream,
                level,
                extensions: None,
                paused: false,
                tested: false,
            };
            let old = entry.inbound.replace(inbound);
            let revive = matches!(entry.out, Outbound::None);
            self.streams.insert(stream, peer);
            if let Some(old) = old {
                self.streams.remove(&old.stream);
                cx.reset(old.stream);
            }
            if revive {
                self.open_stream(cx, peer);
            }
            return;
        }
        if !matches!(entry.out, Outbound::Opening(opening) if opening == stream) {
            cx.reset(stream);
            return;
        }
        entry.out = Outbound::Open(OpenStream {
            stream,
            level,
            since: self.now,
            written: 0,
            flushing: VecDeque::new(),
            notice: None,
            stuck: None,
        });
        let gone = entry.queue.clear();
        if level == Level::Flood {
            self.floods.insert(peer);
        }
        self.drop_items(cx, peer, gone, true);
        self.shifted.insert(peer);
        self.greet(peer, level);
        self.graft_newcomer(peer);
        self.dirty.insert(peer);
    }

    /// What the first frame of a stream says: extensions, and all our topics.
    fn greet(&mut self, peer: PeerId, level: Level) {
        let choke = self.config.choke.is_some();
        let speaks = self.config.partial_messages || self.config.test_extension || choke;
        let extensions = (speaks && level >= Level::V13).then_some(Extensions {
            partial_messages: self.config.partial_messages.then_some(true),
            test_extension: self.config.test_extension.then_some(true),
            choke: choke.then_some(true),
        });
        let topics: Vec<Topic> = self.announced().collect();
        let subscriptions: Vec<Subscription> = topics
            .iter()
            .map(|topic| self.subscription(topic, true))
            .collect();
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.queue.extensions = extensions;
            entry.queue.subscriptions = topics.into_iter().zip(subscriptions).collect();
        }
    }

    /// Topics that peers know we take part in.
    fn announced(&self) -> impl Iterator<Item = Topic> {
        self.local
            .keys()
            .filter(|topic| !self.config.is_fanout_only(topic))
            .cloned()
    }

    pub(crate) fn subscription(&self, topic: &Topic, subscribe: bool) -> Subscription {
        let (requests, supports) = self.config.partial_of(topic);
        let mut subscription = Subscription::new(topic.clone(), subscribe);
        if subscribe && supports {
            subscription.requests_partial = Some(requests);
            subscription.supports_partial = Some(true);
        }
        subscription
    }

    /// A peer said, by identify, what it speaks: perhaps pubsub, by now.
    pub(crate) fn handle_protocols(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        protocols: &[ProtocolName],
    ) {
        let speaks = self.specs.iter().any(|spec| protocols.contains(&spec.name));
        let idle = self
            .peers
            .get(&peer)
            .is_some_and(|entry| matches!(entry.out, Outbound::None) && entry.retries == 0);
        if speaks && idle {
            self.open_stream(cx, peer);
        }
    }

    /// The peer sends no more: its stream is over.
    pub(crate) fn handle_finished(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        if stream.is_inbound() {
            cx.finish(stream);
            self.forget_inbound(stream);
        }
    }

    fn forget_inbound(&mut self, stream: StreamId) {
        let Some(peer) = self.streams.remove(&stream) else {
            return;
        };
        if let Some(entry) = self.peers.get_mut(&peer) {
            if entry
                .inbound
                .as_ref()
                .is_some_and(|inbound| inbound.stream == stream)
            {
                entry.inbound = None;
            }
        }
    }

    pub(crate) fn handle_closed(&mut self, cx: &mut Context<'_>, stream: StreamId, reason: Closed) {
        if stream.is_inbound() {
            if matches!(
                reason,
                Closed::FrameTooLarge | Closed::Malformed | Closed::UnexpectedEnd
            ) {
                if let Some(peer) = self.streams.get(&stream).copied() {
                    self.stats.malformed = self.stats.malformed.saturating_add(1);
                    self.penalize_now(peer, 1);
                }
            }
            self.forget_inbound(stream);
            return;
        }
        let Some(peer) = self.streams.remove(&stream) else {
            return;
        };
        let heartbeat = self.config.heartbeat;
        let now = self.now;
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let ours = match &entry.out {
            Outbound::Opening(opening) => *opening == stream,
            Outbound::Open(open) => open.stream == stream,
            _ => false,
        };
        if !ours {
            return;
        }
        self.floods.remove(&peer);
        let gone = entry.queue.clear();
        let flushing = match core::mem::take(&mut entry.out) {
            Outbound::Open(open) => {
                if now.since(open.since) >= heartbeat {
                    entry.retries = 0;
                }
                Some(open)
            }
            _ => None,
        };
        self.drop_items(cx, peer, gone, true);
        if let Some(open) = flushing {
            self.drop_flushing(cx, open);
        }
        self.retry(cx, peer, reason);
    }

    /// Opens a lost stream again: at once, then later and later, then no more.
    fn retry(&mut self, cx: &mut Context<'_>, peer: PeerId, reason: Closed) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if reason == Closed::Refused {
            self.leave_meshes(peer);
            return;
        }
        entry.retries = entry.retries.saturating_add(1);
        if entry.retries > MAX_RETRIES {
            entry.retries = MAX_RETRIES;
            self.leave_meshes(peer);
            return;
        }
        entry.out = Outbound::Waiting;
        let delay = match entry.retries.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_DELAY
                .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
                .min(LAST_DELAY),
        };
        if delay == Duration::ZERO {
            self.open_stream(cx, peer);
        } else {
            self.retries.set(peer, self.now + delay);
        }
    }

    /// Takes a peer out of all meshes and fanouts.
    fn leave_meshes(&mut self, peer: PeerId) {
        let member = self.peers.get(&peer).is_some_and(|entry| entry.meshes > 0);
        let meshes = self
            .mesh
            .iter()
            .filter(|(_, members)| member && members.contains(&peer));
        let topics: Vec<Topic> = meshes.map(|(topic, _)| topic.clone()).collect();
        for topic in topics {
            self.remove_from_mesh(&topic, peer);
        }
        for fanout in self.fanout.values_mut() {
            fanout.peers.remove(&peer);
        }
    }

    /// Takes nothing more from a peer.
    pub(crate) fn block_now(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        if self.blocked.len() >= self.config.limits.max_backoffs && !self.blocked.contains(&peer) {
            self.blocked.pop_first();
        }
        self.blocked.insert(peer);
        let streams: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, owner)| **owner == peer)
            .map(|(stream, _)| *stream)
            .collect();
        for stream in streams {
            cx.reset(stream);
        }
        self.forget_peer(cx, peer);
    }

    /// Writes what waits for the peers that have something waiting.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        // In random order, so that it is not always the same peer that gets a message first.
        let mut peers: Vec<PeerId> = core::mem::take(&mut self.dirty).into_iter().collect();
        Self::shuffle(cx, &mut peers);
        for peer in peers {
            self.pump(cx, peer);
        }
    }

    /// Writes what waits for one peer, until its stream takes no more.
    fn pump(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let now = self.now;
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let late = entry.queue.expire(now);
        self.drop_items(cx, peer, late, true);
        loop {
            let Some(entry) = self.peers.get_mut(&peer) else {
                return;
            };
            let Outbound::Open(open) = &mut entry.out else {
                return;
            };
            if entry.queue.ready.is_none() {
                entry.queue.ready = entry
                    .queue
                    .next_control(&self.config.limits, peer, &self.mesh)
                    .or_else(|| entry.queue.partial.pop_front());
            }
            let (frame, messages) = match &entry.queue.ready {
                Some(frame) => (frame.clone(), 0),
                None if entry.queue.messages() == 0 => break,
                None => {
                    let room = self.config.limits.max_joined.min(cx.writable(open.stream));
                    let count = entry.queue.joinable(room);
                    (entry.queue.joined(count), count)
                }
            };
            let len = frame.len();
            match cx.write(open.stream, frame) {
                Ok(()) => {}
                Err(WriteError::FrameTooLarge) => {
                    // The peer's name of the protocol takes no such frame: it is lost for this peer alone.
                    entry.queue.ready = None;
                    if messages > 0 {
                        let gone = entry.queue.pop().into_iter().collect();
                        self.drop_items(cx, peer, gone, true);
                    }
                    continue;
                }
                Err(_) => {
                    open.stuck.get_or_insert(now);
                    break;
                }
            }
            open.stuck = None;
            self.stats.rpcs_sent = self.stats.rpcs_sent.saturating_add(1);
            open.written = open.written.saturating_add(1);
            if messages == 0 {
                entry.queue.ready = None;
            }
            for _ in 0..messages {
                if let Some(publication) = entry.queue.pop().and_then(|item| item.publication) {
                    open.flushing.push_back((open.written, publication));
                    open.ask(cx);
                }
            }
            self.trace(|| Step::SendRpc(peer, len));
        }
    }

    /// Resets our streams that took nothing for too long. They are opened again, a few times.
    pub(crate) fn reset_stuck(&mut self, cx: &mut Context<'_>) {
        let (now, timeout) = (self.now, self.config.write_timeout);
        for entry in self.peers.values_mut() {
            if let Outbound::Open(open) = &mut entry.out {
                if open.stuck.is_some_and(|since| now.since(since) >= timeout) {
                    open.stuck = None;
                    cx.reset(open.stream);
                }
            }
        }
    }

    /// Everything up to the notice has left.
    pub(crate) fn handle_flushed(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(peer) = self.streams.get(&stream) else {
            return;
        };
        let Some(Outbound::Open(open)) = self.peers.get_mut(peer).map(|entry| &mut entry.out) else {
            return;
        };
        let Some(upto) = open.notice.take().filter(|_| open.stream == stream) else {
            return;
        };
        let mut done = Vec::new();
        while open.flushing.front().is_some_and(|(number, _)| *number <= upto) {
            done.extend(open.flushing.pop_front().map(|(_, publication)| publication));
        }
        open.ask(cx);
        for publication in done {
            self.finish_copy(cx, publication, true);
        }
    }

    fn drop_flushing(&mut self, cx: &mut Context<'_>, open: OpenStream) {
        for (_, publication) in open.flushing {
            self.finish_copy(cx, publication, false);
        }
    }

    /// One copy of a reported publication is out, or lost.
    pub(crate) fn finish_copy(&mut self, cx: &mut Context<'_>, publication: u64, flushed: bool) {
        let Some(outgoing) = self.publications.get_mut(&publication) else {
            return;
        };
        if flushed {
            outgoing.flushed = outgoing.flushed.saturating_add(1);
        } else {
            outgoing.dropped = outgoing.dropped.saturating_add(1);
        }
        self.settle_publication(cx, publication);
    }

    /// One less to wait for; with the last the application is told.
    pub(crate) fn settle_publication(&mut self, cx: &mut Context<'_>, publication: u64) {
        let Some(outgoing) = self.publications.get_mut(&publication) else {
            return;
        };
        outgoing.waiting = outgoing.waiting.saturating_sub(1);
        if outgoing.waiting == 0 {
            let Outgoing { flushed, dropped, .. } = *outgoing;
            self.publications.remove(&publication);
            self.emit(
                cx,
                Event::Flushed {
                    publication: crate::Publication(publication),
                    flushed,
                    dropped,
                },
            );
        }
    }

    /// Copies of messages are lost; `blamed` if the peer was too slow for them.
    pub(crate) fn drop_items(&mut self, cx: &mut Context<'_>, peer: PeerId, items: Vec<Item>, blamed: bool) {
        for item in items {
            self.stats.dropped = self.stats.dropped.saturating_add(1);
            self.trace(|| Step::DropRpc(peer, item.id.clone()));
            if let (true, Some(entry)) = (blamed, self.peers.get_mut(&peer)) {
                let count = match item.kind {
                    Kind::Own => &mut entry.counts.dropped_own,
                    Kind::Forward | Kind::Reply | Kind::Parts => &mut entry.counts.dropped_others,
                };
                *count = count.saturating_add(1);
            }
            if let Some(publication) = item.publication {
                self.finish_copy(cx, publication, false);
            }
        }
    }

    /// Connected peers that subscribe to a topic and for which `wanted` holds: up to `most` of them, drawn and in random order.
    pub(crate) fn candidates(
        &self,
        cx: &mut Context<'_>,
        topic: &Topic,
        most: usize,
        wanted: impl Fn(PeerId, &Peer) -> bool,
    ) -> Vec<PeerId> {
        let mut found = self.listed(topic, wanted);
        Self::draw(cx, &mut found, most);
        found
    }

    /// The same, all of them, in the order of their names.
    pub(crate) fn listed(&self, topic: &Topic, wanted: impl Fn(PeerId, &Peer) -> bool) -> Vec<PeerId> {
        let Some(listed) = self.topics.get(topic) else {
            return Vec::new();
        };
        let fits =
            |peer: &PeerId, entry: &Peer| wanted(*peer, entry) && !self.config.is_filtered(peer, topic);
        let mut found = Vec::new();
        if listed.len() < self.peers.len() / 8 {
            let known = listed.iter().filter(|peer| {
                let entry = self.peers.get(*peer);
                entry.is_some_and(|entry| fits(peer, entry))
            });
            found.extend(known.copied());
            return found;
        }
        // Both are sorted: walking along both costs less than looking each up.
        let mut entries = self.peers.iter().peekable();
        for peer in listed {
            while entries.next_if(|(known, _)| *known < peer).is_some() {}
            let entry = entries.next_if(|(known, _)| *known == peer);
            if entry.is_some_and(|(_, entry)| fits(peer, entry)) {
                found.push(*peer);
            }
        }
        found
    }

    /// Keeps `most` of `items`, drawn by the machine's dice and in random order.
    pub(crate) fn draw<T>(cx: &mut Context<'_>, items: &mut Vec<T>, most: usize) {
        let len = items.len();
        for place in 0..most.min(len.saturating_sub(1)) {
            let bound = len.saturating_sub(place) as u64;
            let step = usize::try_from(cx.rng.below(bound)).unwrap_or(0);
            items.swap(place, place.saturating_add(step));
        }
        items.truncate(most);
    }
}

impl OpenStream {
    /// Asks to be told when what was written has left, unless that is under way.
    fn ask(&mut self, cx: &mut Context<'_>) {
        if self.notice.is_none() && !self.flushing.is_empty() {
            self.notice = Some(self.written);
            cx.notify_flushed(self.stream);
        }
    }
}
