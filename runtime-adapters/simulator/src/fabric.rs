//! What lies between hosts: pipes, the heap, and the dice of the network.

use crate::{
    check::Violation,
    nat::{Nat, Usage},
    net::{Chunks, Net, Passage},
    pipe::{Body, Load, Parcel, Pipe, PipeId, Way},
    queue::{Due, Queue},
    scenario::Scenario,
    sim::address,
    stats::Stats,
    trace::Trace,
};
use libp2p_proto_core::{Instant, Rng};
use std::{collections::BTreeMap, time::Duration};

/// How long a multiplexer takes to notice that the other side is silent: the 30 s between two pings, and the 10 s for an answer.
const KEEPALIVE: Duration = Duration::from_secs(40);
/// Beyond it, the answer to an open stream may come too late.
const SLOW: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Fabric {
    pub(crate) now: Instant,
    pub(crate) queue: Queue,
    pub(crate) pipes: Vec<Option<Box<Pipe>>>,
    pub(crate) net: Net,
    pub(crate) trace: Trace,
    pub(crate) stats: Stats,
    /// Jitter and other chances of the network.
    pub(crate) dice: Rng,
    /// How bytes are cut in pieces: dice of its own, so that the cut changes nothing else.
    pub(crate) knife: Rng,
    pub(crate) violation: Option<Violation>,
    pub(crate) open_pipes: usize,
    /// Memory that all links share.
    pub(crate) scratch: Vec<u8>,
}

impl Fabric {
    /// What lies between the hosts of a scenario, at its first moment.
    pub(crate) fn new(scenario: &Scenario, dice: &Rng) -> Self {
        let mut nat_ips = BTreeMap::new();
        let mut nats = Vec::new();
        for (index, nat) in (0_u32..).zip(&scenario.nats) {
            let ip = address(if nat.outer.is_some() { 100 } else { 80 }, index);
            nat_ips.insert(ip, nats.len());
            nats.push(Nat::new(nat.kind, ip, nat.outer));
        }
        Self {
            now: Instant::ZERO,
            queue: Queue::new(scenario.order.clone(), dice.fork("order", 0)),
            pipes: Vec::new(),
            net: Net {
                link: scenario.link,
                rules: Vec::new(),
                ports: Vec::new(),
                nats,
                places: BTreeMap::new(),
                nat_ips,
                seed: dice.fork("distance", 0).next_u64(),
                peers: Vec::new(),
                direct: Vec::new(),
                uplinks: Vec::new(),
            },
            trace: Trace::new(scenario.lines),
            stats: Stats::default(),
            dice: dice.fork("network", 0),
            knife: dice.fork("knife", 0),
            violation: None,
            open_pipes: 0,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn pipe(&mut self, id: PipeId) -> Option<&mut Pipe> {
        let index = usize::try_from(id).ok()?;
        self.pipes.get_mut(index)?.as_deref_mut()
    }

    /// The pieces in which so many bytes arrive; none: in one.
    pub(crate) fn cut(&mut self, size: usize) -> Vec<usize> {
        let chunks = self.net.link.chunks;
        let mut pieces = Vec::new();
        let mut left = size;
        while left > 0 && chunks != Chunks::Whole {
            let piece = chunks.next(pieces.len(), &mut self.knife).min(left);
            pieces.push(piece);
            left = left.saturating_sub(piece);
        }
        pieces
    }

    /// Whether an answer on this pipe may be late, or never come.
    pub(crate) fn is_slow(&self, id: PipeId) -> bool {
        let pipe = self.pipes.get(id as usize).and_then(|slot| slot.as_deref());
        pipe.is_some_and(|pipe| {
            let slow = |way: &Way| way.held || way.dead || way.latency > SLOW;
            pipe.silent || pipe.ways.iter().any(slow) || self.net.link.bandwidth.is_some()
        })
    }

    /// What sits at one end.
    pub(crate) fn body(&mut self, id: PipeId, end: u8) -> Option<&mut Body> {
        self.pipe(id)?.end(end).map(|end| &mut end.body)
    }

    pub(crate) fn add_pipe(&mut self, pipe: Pipe) -> Option<PipeId> {
        let id = PipeId::try_from(self.pipes.len()).ok()?;
        self.pipes.push(Some(Box::new(pipe)));
        self.open_pipes = self.open_pipes.saturating_add(1);
        Some(id)
    }

    /// Something is wrong with the world; only the first is kept.
    pub(crate) fn accuse(&mut self, criterion: &'static str, host: u32, what: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation {
                criterion,
                at: self.now,
                host: usize::try_from(host).unwrap_or_default(),
                what,
            });
        }
    }

    /// Hands something to the link.
    pub(crate) fn send(&mut self, id: PipeId, from: u8, load: Load) {
        let now = self.now;
        let net = &mut self.net;
        let Some(pipe) = self
            .pipes
            .get_mut(id as usize)
            .and_then(|slot| slot.as_deref_mut())
        else {
            return;
        };
        let forgotten = pipe.patience.is_some_and(|patience| {
            let used = pipe.ways.iter().map(|way| way.used).max();
            used.is_some_and(|used| now.since(used) > patience)
        });
        if forgotten {
            pipe.ways.iter_mut().for_each(|way| way.dead = true);
        }
        let trail = &pipe.trail;
        let way = pipe.ways.get_mut(usize::from(from));
        let Some(way) = way.filter(|way| !way.dead) else {
            return;
        };
        let usage = if pipe.direct { Usage::Kept } else { Usage::Link };
        net.touch(now, trail, usage);
        way.used = now;
        let mut load = load;
        let mut broken = false;
        if let (Some(limit), Load::Bytes(bytes)) = (way.break_at, &mut load) {
            let left = usize::try_from(limit.saturating_sub(way.sent)).unwrap_or(usize::MAX);
            if bytes.len() >= left {
                bytes.truncate(left);
                broken = true;
            }
        }
        let size = load.size();
        way.sent = way.sent.saturating_add(size as u64);
        way.in_flight = way.in_flight.saturating_add(size);
        way.free_at = match pipe.ends.get(usize::from(from)).filter(|_| net.link.world) {
            Some(end) => {
                let time = net.uplink(end.place, size);
                let place = end.place as usize;
                if net.uplinks.len() <= place {
                    net.uplinks.resize(place.saturating_add(1), Instant::ZERO);
                }
                net.uplinks.get_mut(place).map_or(now, |busy| {
                    *busy = (*busy).max(now) + time;
                    *busy
                })
            }
            None => way.free_at.max(now) + net.transmission(size),
        };
        let at = (way.free_at + way.latency + net.jitter(&mut self.dice)).max(way.last_at);
        way.last_at = at;
        way.queue.push_back(Parcel { at, load });
        if !way.scheduled && !way.unread && !way.held {
            way.scheduled = true;
            let first = way.queue.front().map_or(at, |parcel| parcel.at);
            self.queue.push(first, Due::Arrive(id, from));
        }
        if broken {
            self.break_pipe(id, "reset");
        }
    }

    /// Both ends hear that the link is broken, behind what is on its way.
    pub(crate) fn break_pipe(&mut self, id: PipeId, cause: &'static str) {
        for from in [0, 1] {
            if let Some(way) = self.pipe(id).and_then(|pipe| pipe.way(from)) {
                way.break_at = None;
            }
            self.send(id, from, Load::Reset(cause));
        }
    }

    /// Whether what arrives now may pass; what may not is held or lost.
    pub(crate) fn passes(&mut self, id: PipeId, from: u8) -> bool {
        let Some(pipe) = self.pipes.get(id as usize).and_then(|slot| slot.as_deref()) else {
            return false;
        };
        let [dialer, listener] = [pipe.ends[0].place, pipe.ends[1].place];
        let (sender, receiver) = if from == 0 {
            (dialer, listener)
        } else {
            (listener, dialer)
        };
        let passage = self.net.passage(sender, receiver);
        let is_direct = pipe.ends.iter().any(|end| matches!(end.body, Body::Direct(_)));
        let Some(way) = self.pipe(id).and_then(|pipe| pipe.way(from)) else {
            return false;
        };
        match passage {
            Passage::Open => return !way.dead,
            Passage::Lost => {
                way.dead = true;
                way.queue.clear();
            }
            Passage::Held => way.held = true,
        }
        if is_direct {
            self.fall_silent(id);
        }
        false
    }

    /// A swarm-level pipe has no pings of its own: that it is silent is noticed as late as a multiplexer would.
    pub(crate) fn fall_silent(&mut self, id: PipeId) {
        let at = self.now + KEEPALIVE;
        let Some(pipe) = self.pipe(id).filter(|pipe| !pipe.silent) else {
            return;
        };
        pipe.silent = true;
        let opening = [0, 1].map(|end| match pipe.end(end).map(|end| &end.body) {
            Some(Body::Direct(direct)) => direct.opening().collect(),
            _ => Vec::new(),
        });
        pipe.silences = pipe.silences.saturating_add(1);
        let silence = pipe.silences;
        self.queue.push(at, Due::Silent(id, silence));
        for (end, keys) in (0..).zip(opening) {
            for key in keys {
                crate::host::watch_open(self, id, end, key);
            }
        }
    }

    /// A fault is over: what was held goes on.
    pub(crate) fn release(&mut self) {
        for id in 0..self.pipes.len() {
            let Ok(id) = PipeId::try_from(id) else { return };
            for from in [0, 1] {
                let now = self.now;
                let Some(pipe) = self.pipe(id) else { continue };
                let lost = pipe.ends.iter().any(|end| matches!(end.body, Body::Lost));
                pipe.silent &= lost || pipe.ways.iter().any(|way| way.dead);
                let Some(way) = pipe.way(from).filter(|way| way.held) else {
                    continue;
                };
                way.held = false;
                let at = way.queue.front().map(|parcel| parcel.at.max(now));
                if let (Some(at), false) = (at, way.scheduled) {
                    way.scheduled = true;
                    self.queue.push(at, Due::Arrive(id, from));
                }
            }
        }
    }

    /// The receiver reads again.
    pub(crate) fn read_on(&mut self, id: PipeId, end: u8) {
        let now = self.now;
        let from = crate::pipe::other(end);
        let Some(way) = self.pipe(id).and_then(|pipe| pipe.way(from)) else {
            return;
        };
        if !core::mem::replace(&mut way.unread, false) || way.scheduled || way.held {
            return;
        }
        if let Some(parcel) = way.queue.front() {
            let at = parcel.at.max(now);
            way.scheduled = true;
            self.queue.push(at, Due::Arrive(id, from));
        }
    }

    /// An end is closed; the pipe is forgotten once both are, and nothing is on its way.
    pub(crate) fn leave(&mut self, id: PipeId, end: u8, body: Body) {
        let Some(pipe) = self.pipe(id) else { return };
        if let Some(end) = pipe.end(end) {
            end.body = body;
        }
        self.forget_if_over(id);
    }

    pub(crate) fn forget_if_over(&mut self, id: PipeId) {
        if !self.pipe(id).is_some_and(|pipe| pipe.is_over()) {
            return;
        }
        if let Some(pipe) = self.pipes.get_mut(id as usize).and_then(Option::take) {
            self.open_pipes = self.open_pipes.saturating_sub(1);
            self.net.touch(self.now, &pipe.trail, Usage::Over);
        }
    }
}
