//! A node of a script: it carries out its instructions, and answers with the parts it has.

use super::{
    Got,
    script::{Instruction, Params, nanos},
};
use crate::{
    app::{App, Birth, Lent, Step},
    error::Error,
    net::{LISTEN, socket_addr},
    sim::{address, numbered},
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, PeerId};
use libp2p_proto_gossipsub::{Config, Event, Gossipsub, MessageId, MessageIdFn, Topic, TopicConfig, Verdict};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::Dial;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Bytes of one part of a partial message: eight of them are a message.
const PART: usize = 1024;

/// The parts of one group.
#[derive(Debug, Default)]
struct Group {
    has: u8,
    /// What each peer was sent already.
    sent: BTreeMap<PeerId, u8>,
    /// What each peer said, or showed, that it has.
    theirs: BTreeMap<PeerId, u8>,
    complete: Option<Instant>,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) me: PeerId,
    pub(super) router: Gossipsub,
    program: VecDeque<Instruction>,
    wait: Option<Instant>,
    delays: BTreeMap<String, Duration>,
    verdicts: VecDeque<(Instant, MessageId)>,
    topics: BTreeSet<String>,
    groups: BTreeMap<(String, u64), Group>,
    pub(super) got: Vec<Got>,
    pub(super) published: Vec<(u64, String, Instant)>,
}

impl Node {
    pub(super) fn new(birth: &Birth<'_>, program: Vec<Instruction>) -> Result<Self, Error> {
        let config = config(&program);
        let router =
            Gossipsub::new(birth.identity.clone(), config).map_err(|error| Error::App(error.to_string()))?;
        Ok(Self {
            me: birth.identity.peer_id(),
            router,
            program: program.into(),
            wait: None,
            delays: BTreeMap::new(),
            verdicts: VecDeque::new(),
            topics: BTreeSet::new(),
            groups: BTreeMap::new(),
            got: Vec::new(),
            published: Vec::new(),
        })
    }

    pub(super) fn subscribes(&self, topic: &str) -> bool {
        self.topics.contains(topic)
    }

    /// When groups were complete.
    pub(super) fn complete(&self) -> Vec<Instant> {
        self.groups.values().filter_map(|group| group.complete).collect()
    }

    /// The groups that it knows: topic and number.
    pub(super) fn groups(&self) -> impl Iterator<Item = &(String, u64)> {
        self.groups.keys()
    }

    fn carry_out(&mut self, cx: &mut Step<'_>, instruction: Instruction) {
        match instruction {
            Instruction::Connect { connect_to } => {
                for place in connect_to {
                    connect(cx, place);
                }
            }
            Instruction::WaitUntil { elapsed_seconds } => {
                self.wait = Some(Instant::ZERO + Duration::from_secs(elapsed_seconds));
            }
            Instruction::SubscribeToTopic { topic_id, .. } => {
                let _refused_is_fine = self.router.subscribe(&*topic_id);
                self.topics.insert(topic_id);
            }
            Instruction::SetTopicValidationDelay { topic_id, seconds } => {
                let delay = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                self.delays.insert(topic_id, delay);
            }
            Instruction::Publish {
                message_id,
                size,
                topic_id,
            } => {
                let mut data = message_id.to_be_bytes().to_vec();
                data.resize(size.max(8), 0);
                if self.router.publish(&*topic_id, data, false).is_ok() {
                    self.published.push((message_id, topic_id, cx.now));
                }
            }
            Instruction::AddPartialMessage {
                parts,
                topic_id,
                group_id,
            } => {
                self.gain(cx.now, &topic_id, group_id, parts);
            }
            Instruction::PublishPartial {
                topic_id,
                group_id,
                publish_to,
            } => self.publish_partial(&topic_id, group_id, publish_to),
            Instruction::IfNodeIdEquals { .. } | Instruction::InitGossipSub { .. } => {}
        }
    }

    fn publish_partial(&mut self, topic: &str, group: u64, to: Option<Vec<usize>>) {
        let has = self.groups.entry((topic.to_owned(), group)).or_default().has;
        match to {
            None => self.tell(None, topic, group),
            Some(places) => {
                for peer in places.into_iter().filter_map(peer_at) {
                    self.send(peer, topic, group, has);
                }
            }
        }
    }

    /// Says what we have of a group.
    fn tell(&mut self, peer: Option<PeerId>, topic: &str, group: u64) {
        let Some(state) = self.groups.get(&(topic.to_owned(), group)) else {
            return;
        };
        let metadata = Bytes::from(vec![state.has]);
        let name = Bytes::copy_from_slice(&group.to_be_bytes());
        let _full_is_fine = self.router.send_partial(peer, topic, name, None, Some(metadata));
    }

    /// Sends parts, and what we have.
    fn send(&mut self, peer: PeerId, topic: &str, group: u64, parts: u8) {
        let Some(state) = self.groups.get_mut(&(topic.to_owned(), group)) else {
            return;
        };
        let sent = state.sent.entry(peer).or_default();
        let parts = parts & state.has & !*sent;
        if parts == 0 {
            return;
        }
        *sent |= parts;
        let mut data = vec![parts];
        let blocks = usize::try_from(parts.count_ones()).unwrap_or(0);
        data.resize(blocks.saturating_mul(PART).saturating_add(1), 0);
        data.extend_from_slice(&group.to_be_bytes());
        let name = Bytes::copy_from_slice(&group.to_be_bytes());
        let metadata = Some(Bytes::from(vec![state.has]));
        let _full_is_fine = self
            .router
            .send_partial(Some(peer), topic, name, Some(data.into()), metadata);
    }

    /// Says whether anything is new.
    fn gain(&mut self, now: Instant, topic: &str, group: u64, parts: u8) -> bool {
        let state = self.groups.entry((topic.to_owned(), group)).or_default();
        let before = state.has;
        state.has |= parts;
        if state.has == u8::MAX {
            state.complete.get_or_insert(now);
        }
        state.has != before
    }

    fn hear_parts(
        &mut self,
        now: Instant,
        peer: PeerId,
        topic: &str,
        group: &Bytes,
        parts: Option<&Bytes>,
        metadata: Option<&Bytes>,
    ) {
        let Ok(group) = <[u8; 8]>::try_from(&**group).map(u64::from_be_bytes) else {
            return;
        };
        let first = |bytes: Option<&Bytes>| bytes.and_then(|bytes| bytes.first()).copied();
        let (sent, said) = (first(parts).unwrap_or(0), first(metadata));
        let news = self.gain(now, topic, group, sent);
        if news {
            self.tell(None, topic, group);
        }
        let state = self.groups.entry((topic.to_owned(), group)).or_default();
        let theirs = state.theirs.entry(peer).or_default();
        *theirs |= sent | said.unwrap_or(0);
        let asks = said.is_some() && *theirs & !state.has != 0;
        // What is new goes to everyone known to lack it: nobody says the same twice, so nobody asks again.
        let lacking: Vec<(PeerId, u8)> = state
            .theirs
            .iter()
            .filter(|(known, theirs)| **theirs != u8::MAX && (news || **known == peer))
            .map(|(known, theirs)| (*known, *theirs))
            .collect();
        for (known, theirs) in lacking {
            self.send(known, topic, group, !theirs);
        }
        if asks {
            self.tell(Some(peer), topic, group);
        }
    }

    fn hear(&mut self, cx: &Step<'_>, event: Event) {
        match event {
            Event::Message {
                id,
                source,
                topic,
                message,
                waits,
            } => {
                let head = message.data.as_deref().and_then(|data| data.get(..8));
                let number = head.and_then(|head| <[u8; 8]>::try_from(head).ok());
                self.got.push(Got {
                    at: cx.now,
                    id: number.map_or(0, u64::from_be_bytes),
                    from: source,
                    topic: topic.as_str().to_owned(),
                });
                if waits {
                    let delay = self.delays.get(topic.as_str()).copied().unwrap_or_default();
                    self.verdicts.push_back((cx.now + delay, id));
                }
            }
            Event::Partial {
                peer,
                topic,
                group,
                parts,
                metadata,
            } => self.hear_parts(
                cx.now,
                peer,
                topic.as_str(),
                &group,
                parts.as_ref(),
                metadata.as_ref(),
            ),
            _ => {}
        }
    }
}

impl App for Node {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = Lent::new();
        lent.push(&mut self.router);
        lent
    }

    fn step(&mut self, cx: &mut Step<'_>) {
        if self.wait.is_some_and(|at| at <= cx.now) {
            self.wait = None;
        }
        while self.wait.is_none() {
            let Some(instruction) = self.program.pop_front() else {
                break;
            };
            self.carry_out(cx, instruction);
            if self.wait.is_some_and(|at| at <= cx.now) {
                self.wait = None;
            }
        }
        while let Some(event) = self.router.poll_event() {
            self.hear(cx, event);
        }
        while self.verdicts.front().is_some_and(|(at, _)| *at <= cx.now) {
            if let Some((_, id)) = self.verdicts.pop_front() {
                let _full_is_fine = self.router.report(id, Verdict::Accept);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let verdict = self.verdicts.front().map(|(at, _)| *at);
        let begin = (self.wait.is_none() && !self.program.is_empty()).then_some(Instant::ZERO);
        [self.wait, verdict, begin].into_iter().flatten().min()
    }
}

fn peer_at(place: usize) -> Option<PeerId> {
    let number = u32::try_from(place).ok()?;
    let keys = Keypair::ed25519_from_seed(numbered(number));
    Some(Identity::from(keys).peer_id())
}

fn connect(cx: &mut Step<'_>, place: usize) {
    let (Some(peer), Ok(number)) = (peer_at(place), u32::try_from(place)) else {
        return;
    };
    let dial = Dial {
        addrs: vec![socket_addr((address(45, number), LISTEN))],
        ..Dial::peer(peer)
    };
    let _connected_is_fine = cx.swarm.dial(cx.now, dial);
}

/// The router's parameters: go's defaults, which are ours, and what the script sets.
fn config(program: &[Instruction]) -> Config {
    let number = |message: &libp2p_proto_gossipsub::Message| {
        let head = message.data.as_deref()?.get(..8)?;
        Some(MessageId::from(head.to_vec()))
    };
    let mut config = Config {
        id: MessageIdFn::Custom(Arc::new(number)),
        partial_messages: true,
        ..Config::default()
    };
    for instruction in program {
        match instruction {
            Instruction::InitGossipSub { params } => set(&mut config, params),
            Instruction::SetTopicValidationDelay { topic_id, .. } => {
                of(&mut config, topic_id).validate = Some(true);
            }
            Instruction::SubscribeToTopic {
                topic_id,
                partial: true,
            } => of(&mut config, topic_id).requests_partial = true,
            Instruction::AddPartialMessage { topic_id, .. }
            | Instruction::PublishPartial { topic_id, .. } => {
                of(&mut config, topic_id).supports_partial = true;
            }
            _ => {}
        }
    }
    config
}

fn of<'a>(config: &'a mut Config, topic: &str) -> &'a mut TopicConfig {
    config.topics.entry(Topic::from(topic)).or_default()
}

fn set(config: &mut Config, params: &Params) {
    fn put<T>(place: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *place = value;
        }
    }
    put(&mut config.mesh.d, params.d);
    put(&mut config.mesh.d_lo, params.dlo);
    put(&mut config.mesh.d_hi, params.dhi);
    put(&mut config.mesh.d_score, params.dscore);
    put(&mut config.mesh.d_out, params.dout);
    put(&mut config.history, params.history_length);
    put(&mut config.history_gossip, params.history_gossip);
    put(&mut config.d_lazy, params.dlazy);
    put(&mut config.gossip_factor, params.gossip_factor);
    put(
        &mut config.limits.max_retransmissions,
        params.gossip_retransmission,
    );
    put(
        &mut config.first_heartbeat,
        params.heartbeat_initial_delay.map(nanos),
    );
    put(&mut config.heartbeat, params.heartbeat_interval.map(nanos));
    put(&mut config.fanout_ttl, params.fanout_ttl.map(nanos));
    put(&mut config.px_peers, params.prune_peers);
    put(&mut config.prune_backoff, params.prune_backoff.map(nanos));
    put(
        &mut config.unsubscribe_backoff,
        params.unsubscribe_backoff.map(nanos),
    );
    put(&mut config.explicit_ticks, params.direct_connect_ticks);
    put(&mut config.opportunistic_ticks, params.opportunistic_graft_ticks);
    put(&mut config.opportunistic_peers, params.opportunistic_graft_peers);
    put(&mut config.graft_flood, params.graft_flood_threshold.map(nanos));
    put(&mut config.limits.max_ihave_ids, params.max_ihave_length);
    put(&mut config.limits.max_ihave_rpcs, params.max_ihave_messages);
    put(
        &mut config.limits.max_idontwant_per_rpc,
        params.max_idontwant_length,
    );
    put(&mut config.limits.max_idontwant, params.max_idontwant_messages);
    put(&mut config.iwant_followup, params.iwant_followup_time.map(nanos));
    put(&mut config.idontwant_min, params.idontwant_message_threshold);
    put(&mut config.idontwant_ttl, params.idontwant_message_ttl);
}
