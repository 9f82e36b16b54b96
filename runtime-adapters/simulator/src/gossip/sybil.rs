//! The attacker of the evaluation of GossipSub 1.1: it speaks 1.0 alone, joins every mesh that it can, and passes on what it likes.

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant, PeerId, Rng, StreamId, Timers};
use libp2p_proto_gossipsub::{
    Topic, WireLimits,
    wire::{Control, Message, Rpc, Subscription},
};
use libp2p_proto_stream_protocol::{Context, Framing, Input, Protocol, StreamSpec, Target};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Time until a sybil grafts again after it was pruned; up to a quarter as much again is drawn.
const REGRAFT: Duration = Duration::from_secs(60);
/// For so long it remembers what it passed on.
const MEMORY: Duration = Duration::from_secs(120);

/// What a sybil does with messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Drops {
    /// It passes on none.
    All,
    /// It passes on all but those of one author.
    Author(u32),
    /// It passes each on with this chance only.
    Share(f64),
}

/// A sybil.
#[derive(Debug)]
pub(crate) struct Sybil {
    specs: Vec<StreamSpec>,
    drops: Drops,
    /// Before, it passes everything on.
    from: Instant,
    out: BTreeMap<PeerId, StreamId>,
    sources: BTreeMap<StreamId, PeerId>,
    mesh: BTreeMap<PeerId, Topic>,
    /// Topics of peers that have no stream of ours yet.
    waiting: BTreeMap<PeerId, Topic>,
    regrafts: Timers<PeerId>,
    pruned: BTreeMap<PeerId, Topic>,
    seen: BTreeSet<Bytes>,
    order: VecDeque<(Instant, Bytes)>,
    dice: Rng,
}

impl Sybil {
    pub(crate) fn new(drops: Drops, from: Instant, dice: Rng, max_frame: usize) -> Self {
        let name = libp2p_proto_core::ProtocolName::from_static("/meshsub/1.0.0");
        let spec = StreamSpec {
            max_inbound: 2,
            ..StreamSpec::new(name, Framing::LengthDelimited { max: max_frame })
        };
        Self {
            specs: vec![spec],
            drops,
            from,
            out: BTreeMap::new(),
            sources: BTreeMap::new(),
            mesh: BTreeMap::new(),
            waiting: BTreeMap::new(),
            regrafts: Timers::new(),
            pruned: BTreeMap::new(),
            seen: BTreeSet::new(),
            order: VecDeque::new(),
            dice,
        }
    }

    fn say(&self, cx: &mut Context<'_>, peer: PeerId, rpc: &Rpc) {
        if let Some(stream) = self.out.get(&peer) {
            // What does not fit is dropped, as in the published plan.
            let _full_is_fine = cx.write(*stream, rpc.encode());
        }
    }

    /// Subscribes and grafts in one.
    fn join(&mut self, cx: &mut Context<'_>, peer: PeerId, topic: Topic) {
        let rpc = Rpc {
            subscriptions: vec![Subscription::new(topic.clone(), true)],
            control: Some(Control {
                graft: vec![topic.clone()],
                ..Control::default()
            }),
            ..Rpc::default()
        };
        self.say(cx, peer, &rpc);
        self.mesh.insert(peer, topic);
    }

    fn hear(&mut self, cx: &mut Context<'_>, peer: PeerId, rpc: Rpc) {
        for said in rpc.subscriptions.into_iter().filter(|said| said.subscribe) {
            if self.out.contains_key(&peer) {
                self.join(cx, peer, said.topic);
            } else {
                self.waiting.insert(peer, said.topic);
            }
        }
        for message in rpc.publish {
            self.pass_on(cx, peer, message);
        }
        let control = rpc.control.unwrap_or_default();
        for topic in control.graft {
            self.mesh.insert(peer, topic);
        }
        for prune in control.prune {
            self.mesh.remove(&peer);
            self.pruned.insert(peer, prune.topic);
            let spread = u64::try_from(REGRAFT.as_millis()).unwrap_or(u64::MAX) / 4;
            let extra = Duration::from_millis(self.dice.below(spread.max(1)));
            self.regrafts.set(peer, cx.now + REGRAFT.saturating_add(extra));
        }
    }

    fn pass_on(&mut self, cx: &mut Context<'_>, source: PeerId, message: Message) {
        let attacks = cx.now >= self.from;
        if attacks && self.drops == Drops::All {
            return;
        }
        let data = message.data.clone().unwrap_or_default();
        let id = data.slice(..data.len().min(8));
        while self.order.front().is_some_and(|(until, _)| *until <= cx.now) {
            if let Some((_, id)) = self.order.pop_front() {
                self.seen.remove(&id);
            }
        }
        if !self.seen.insert(id.clone()) {
            return;
        }
        self.order.push_back((cx.now + MEMORY, id.clone()));
        let author = id.get(..4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let author = author.map(u32::from_be_bytes);
        let dropped = match self.drops {
            Drops::All => true,
            Drops::Author(target) => author == Some(target),
            Drops::Share(passed) => {
                let drawn = self.dice.below(1_000_000);
                f64::from(u32::try_from(drawn).unwrap_or(u32::MAX)) >= passed * 1e6
            }
        };
        if attacks && dropped {
            return;
        }
        let rpc = Rpc {
            publish: vec![message],
            ..Rpc::default()
        };
        let frame = Bytes::from(rpc.encode());
        for peer in self.mesh.keys().filter(|peer| **peer != source) {
            if let Some(stream) = self.out.get(peer) {
                let _full_is_fine = cx.write(*stream, frame.clone());
            }
        }
    }
}

impl Protocol for Sybil {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Opened { stream, peer, .. } if stream.is_inbound() => {
                self.sources.insert(stream, peer);
                if !self.out.contains_key(&peer) {
                    let _refused_is_fine = cx.open(Target::Peer(peer), &[0]);
                }
            }
            Input::Opened { stream, peer, .. } => {
                self.out.insert(peer, stream);
                if let Some(topic) = self.waiting.remove(&peer) {
                    self.join(cx, peer, topic);
                }
            }
            Input::Frame { stream, data } => {
                let Some(peer) = self.sources.get(&stream).copied() else {
                    return;
                };
                if let Ok(rpc) = Rpc::decode(&data, &WireLimits::default()) {
                    self.hear(cx, peer, rpc);
                }
            }
            Input::Closed { stream, .. } => {
                self.sources.remove(&stream);
                self.out.retain(|_, open| *open != stream);
            }
            Input::Disconnected { peer, .. } => {
                self.out.remove(&peer);
                self.mesh.remove(&peer);
                self.regrafts.clear(peer);
            }
            _ => {}
        }
        while let Some(peer) = self.regrafts.pop_due(cx.now) {
            if let Some(topic) = self.pruned.remove(&peer) {
                self.join(cx, peer, topic);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.regrafts.next().map(|(at, _)| Deadline::new(at, "graft"))
    }
}
