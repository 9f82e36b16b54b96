//! The machine: what it hears of, and how upgrades begin and end.

use crate::{
    Command, Config, Error, Event, Failure, How, Role,
    lately::Lately,
    own::Own,
    peer::{Answer, Known, Offer, Punch, Relayed, Run},
    usable::usable,
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::mem;
use libp2p_proto_core::{
    ConnectionId, Deadline, DialId, Instant, Multiaddr, PeerId, ProtocolName, StreamId, Timers,
};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, ConnectionInfo, Context, Dial, DialError, DialOutcome, EventQueue, Expected, Fact,
    Framing, Input, Journal, Protocol, StreamSpec,
};

/// `/libp2p/dcutr`.
pub const NAME: ProtocolName = ProtocolName::from_static("/libp2p/dcutr");
/// The largest message, in bytes (specification, § RPC messages).
pub const MAX_MESSAGE: usize = 4096;

pub(crate) const SPEC: u8 = 0;
/// Streams that a peer may have on one relayed connection: one, and those before it that have not ended.
const MAX_INBOUND: u16 = 4;
/// Addresses that are kept of what a peer claims.
const MAX_CLAIMED: usize = 64;
/// Commands that wait.
const MAX_COMMANDS: usize = 64;

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Exchanges that we began.
    pub offered: u64,
    /// Exchanges of others that we took part in.
    pub served: u64,
    /// Streams of others that we refused.
    pub refused: u64,
    /// Attempts in which we dialed.
    pub punched: u64,
    /// Relayed connections that have a direct one beside them.
    pub upgraded: u64,
    /// Upgrades that failed.
    pub failed: u64,
    /// Events lost to a full queue.
    pub events_dropped: u64,
}

/// What is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// Peers with relayed connections, or whose dials outlive theirs.
    pub peers: usize,
    /// Upgrades under way.
    pub running: usize,
    /// Streams that have not ended.
    pub streams: usize,
    /// Dials that have not ended.
    pub dials: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Something may be begun with a peer.
    Consider(PeerId),
    /// What is under way with a peer must go on.
    Step(PeerId),
    /// A stream must have ended.
    Stream(StreamId),
}

/// Direct connection upgrade through relay: makes direct connections out of relayed ones.
#[derive(Debug)]
pub struct Dcutr {
    specs: [StreamSpec; 1],
    pub(crate) config: Config,
    pub(crate) own: Own,
    /// Whether the protocol is announced.
    announced: bool,
    pub(crate) peers: BTreeMap<PeerId, Known>,
    pub(crate) streams: BTreeMap<StreamId, PeerId>,
    pub(crate) dials: BTreeMap<DialId, PeerId>,
    pub(crate) timers: Timers<Timer>,
    lately: Lately,
    retries: VecDeque<PeerId>,
    events: EventQueue<Event>,
    pub(crate) stats: Stats,
    journal: Journal,
}

impl Dcutr {
    /// A machine with these limits.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field that is out of range.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        let framing = Framing::LengthDelimited { max: MAX_MESSAGE };
        let spec = StreamSpec {
            max_inbound: 0,
            max_outbound: 4,
            open_timeout: config.exchange,
            on_limited: true,
            ..StreamSpec::new(NAME, framing)
        };
        Ok(Self {
            specs: [spec],
            own: Own::default(),
            announced: false,
            peers: BTreeMap::new(),
            streams: BTreeMap::new(),
            dials: BTreeMap::new(),
            timers: Timers::new(),
            lately: Lately::default(),
            retries: VecDeque::new(),
            events: EventQueue::new(config.max_events),
            stats: Stats::default(),
            journal: Journal::new(),
            config,
        })
    }

    /// Tries again to upgrade the relayed connection to a peer, although the last upgrade failed. Only the end that was dialed can.
    pub fn retry(&mut self, peer: PeerId) {
        self.journal.note(|| Command::Retry { peer });
        if self.retries.len() < MAX_COMMANDS {
            self.retries.push_back(peer);
        }
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop()?;
        self.journal.took(Some(&event), || Command::Poll);
        Some(event)
    }

    /// The drive that made the oldest event.
    pub fn next_event_seq(&self) -> Option<u64> {
        self.events.next_seq()
    }

    /// Counters since the start.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// What is held now.
    pub fn census(&self) -> Census {
        let running = |known: &&Known| !matches!(known.run, Run::Idle);
        Census {
            peers: self.peers.len(),
            running: self.peers.values().filter(running).count(),
            streams: self.streams.len(),
            dials: self.dials.len(),
        }
    }

    /// The addresses that peers are told, the likely ones first.
    pub fn own_addresses(&self) -> Vec<Multiaddr> {
        self.own.candidates(&self.config)
    }

    pub(crate) fn tell(&mut self, cx: &Context<'_>, event: Event) {
        if self.events.push(cx.seq, event).is_err() {
            self.stats.events_dropped = self.stats.events_dropped.saturating_add(1);
        }
    }

    // ── connections ──

    fn connected(&mut self, cx: &mut Context<'_>, peer: PeerId, conn: ConnectionId, info: &ConnectionInfo) {
        if !info.remote.is_relayed() {
            return self.is_direct(cx, peer, conn, info.dial);
        }
        if self.peers.len() >= self.config.max_peers && !self.peers.contains_key(&peer) {
            return;
        }
        let known = self.peers.entry(peer).or_default();
        if known.relayed.is_empty() {
            known.speaks = None;
        }
        known.rests_since = None;
        known.changed = false;
        known.dialed = false;
        let role = if info.side.is_dialer() {
            Role::Caller
        } else {
            Role::Callee
        };
        let relayed = Relayed {
            role,
            wanted: info.limited || self.config.unlimited,
            served: Vec::new(),
        };
        known.relayed.insert(conn, relayed);
        self.timers.set(Timer::Consider(peer), cx.now);
    }

    /// A direct connection stands, whoever made it.
    fn is_direct(&mut self, cx: &mut Context<'_>, peer: PeerId, conn: ConnectionId, by: Option<DialId>) {
        let Some(run) = self.peers.get_mut(&peer).map(|known| mem::take(&mut known.run)) else {
            return;
        };
        self.stop(cx, peer, &run, by);
        let how = match run {
            Run::Dialing(dial) if by == Some(dial) => How::Unilateral,
            Run::Punching(punch, _)
            | Run::Answering(Answer {
                ready: Some(punch), ..
            }) => {
                let attempt = punch.ended(Ok(conn));
                self.tell(cx, Event::Attempted { peer, attempt });
                How::Punched
            }
            _ => How::Appeared,
        };
        self.stats.upgraded = self.stats.upgraded.saturating_add(1);
        self.tell(cx, Event::Upgraded { peer, conn, how });
        self.forget_if_unrelayed(peer);
    }

    /// Ends what is under way, but for the dial that has succeeded.
    pub(crate) fn stop(&mut self, cx: &mut Context<'_>, peer: PeerId, run: &Run, but: Option<DialId>) {
        self.timers.clear(Timer::Step(peer));
        if let Some(stream) = run.stream() {
            cx.reset(stream);
        }
        if let Some(dial) = run.dial() {
            self.dials.remove(&dial);
            if but != Some(dial) {
                cx.cancel_dial(dial);
            }
        }
        if let Some(punch) = run.expects() {
            let now = cx.now;
            cx.expect(expected(peer, punch, now));
        }
    }

    fn disconnected(&mut self, cx: &mut Context<'_>, peer: PeerId, conn: ConnectionId, last: bool) {
        if last {
            self.own.forget(&peer);
        }
        let cooldown = self.config.cooldown;
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        if known.relayed.remove(&conn).is_none() {
            // The direct connection did not last.
            known.rests_since = Some(cx.now);
            known.changed = true;
            self.timers.set(Timer::Consider(peer), cx.now + cooldown);
            return;
        }
        if known.relayed.is_empty() && !known.run.needs_no_relay() {
            let run = mem::take(&mut known.run);
            self.stop(cx, peer, &run, None);
            if !matches!(run, Run::Idle) {
                self.failed(cx, peer, Failure::RelayLost);
            }
        }
        self.forget_if_unrelayed(peer);
    }

    /// Forgets a peer without relayed connections with which nothing is under way.
    pub(crate) fn forget_if_unrelayed(&mut self, peer: PeerId) {
        let over = |known: &Known| known.relayed.is_empty() && matches!(known.run, Run::Idle);
        if self.peers.get(&peer).is_some_and(over) {
            self.peers.remove(&peer);
            self.timers.clear(Timer::Consider(peer));
            self.timers.clear(Timer::Step(peer));
        }
    }

    // ── facts ──

    fn learn(&mut self, cx: &mut Context<'_>, fact: &Fact) {
        match fact {
            Fact::PeerProtocols { peer, protocols } => {
                if let Some(known) = self.peers.get_mut(peer) {
                    known.speaks = Some(protocols.binary_search(&NAME).is_ok());
                    self.timers.set(Timer::Consider(*peer), cx.now);
                }
            }
            Fact::PeerAddresses { peer, addrs, .. } => {
                if let Some(known) = self.peers.get_mut(peer) {
                    let claimed = addrs.get(..MAX_CLAIMED).unwrap_or(addrs);
                    if known.addrs != claimed {
                        known.addrs = claimed.to_vec();
                        known.changed = true;
                        self.timers.set(Timer::Consider(*peer), cx.now);
                    }
                }
            }
            fact => {
                if self.own.learn(cx, &self.config, fact) {
                    self.own_changed(cx);
                }
            }
        }
    }

    fn own_changed(&mut self, cx: &mut Context<'_>) {
        for (peer, known) in &mut self.peers {
            known.changed = true;
            self.timers.set(Timer::Consider(*peer), cx.now);
        }
        self.announce(cx);
    }

    /// The protocol is announced while there is an address of ours to punch.
    fn announce(&mut self, cx: &mut Context<'_>) {
        let able = self.config.tcp && !self.own_addresses().is_empty();
        if able != self.announced {
            self.announced = able;
            let max = if able { MAX_INBOUND } else { 0 };
            let _own_spec = cx.set_inbound(SPEC, max);
        }
    }

    // ── the beginning ──

    fn consider(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let direct = is_direct(cx, peer);
        let cooldown = self.config.cooldown;
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let callee = |relayed: &&Relayed| relayed.role == Role::Callee && relayed.wanted;
        let Some(speaks) = known.speaks else { return };
        if direct || !matches!(known.run, Run::Idle) || !known.relayed.values().any(|r| callee(&r)) {
            return;
        }
        if let Some(since) = known.rests_since {
            let again = since + cooldown;
            if !known.changed {
                return;
            }
            if again > cx.now {
                self.timers.set(Timer::Consider(peer), again);
                return;
            }
            known.rests_since = None;
            known.dialed = false;
        }
        known.changed = false;
        if self.config.unilateral && !known.dialed && self.dial_claimed(cx, peer) {
            return;
        }
        if speaks && self.config.tcp && !self.own_addresses().is_empty() {
            self.offer(cx, peer, 1);
        }
    }

    /// Dials the peer just so, if it claims an address that may be dialed.
    fn dial_claimed(&mut self, cx: &mut Context<'_>, peer: PeerId) -> bool {
        let Some(known) = self.peers.get_mut(&peer) else {
            return false;
        };
        let mut addrs = usable(&self.config, &self.own, peer, &known.addrs, &known.addrs);
        addrs.retain(|addr| self.lately.take(cx.now, addr));
        if addrs.is_empty() {
            return false;
        }
        known.dialed = true;
        let dial = Dial {
            addrs,
            force: true,
            only: true,
            ..Dial::peer(peer)
        };
        let Ok(DialOutcome::Pending(dial)) = cx.dial(dial) else {
            return false;
        };
        known.run = Run::Dialing(dial);
        self.dials.insert(dial, peer);
        self.timers.set(Timer::Step(peer), cx.now + self.config.dial);
        true
    }

    // ── both dial ──

    /// Dials, and lets the other end's dial in: nothing else is left to do.
    pub(crate) fn punch(&mut self, cx: &mut Context<'_>, peer: PeerId, punch: Punch) {
        let until = cx.now + self.config.dial;
        let theirs = punch.theirs.iter();
        let addrs = theirs.filter(|addr| self.lately.take(cx.now, addr)).cloned();
        let dial = Dial {
            addrs: addrs.collect(),
            force: true,
            side: punch.role.side(),
            reuse_port: true,
            only: true,
            at_once: true,
            ..Dial::peer(peer)
        };
        let dialed = cx.dial(dial);
        cx.expect(expected(peer, &punch, until));
        self.stats.punched = self.stats.punched.saturating_add(1);
        match dialed {
            Ok(DialOutcome::Pending(dial)) => {
                self.dials.insert(dial, peer);
                self.timers.set(Timer::Step(peer), until);
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.run = Run::Punching(punch, dial);
                }
            }
            Ok(DialOutcome::Connected(_)) => self.forget_if_unrelayed(peer),
            Err(refused) => self.missed(cx, peer, punch, Failure::NotDialed(refused)),
        }
    }

    /// An attempt came to nothing.
    fn missed(&mut self, cx: &mut Context<'_>, peer: PeerId, punch: Punch, failure: Failure) {
        let (role, number, rtt) = (punch.role, punch.number, punch.rtt.unwrap_or_default());
        let attempt = punch.ended(Err(failure.clone()));
        self.tell(cx, Event::Attempted { peer, attempt });
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        if role == Role::Callee && number < self.config.attempts && !known.relayed.is_empty() {
            let (shortest, longest) = self.config.pause;
            known.run = Run::Pausing(number.saturating_add(1));
            let pause = Ord::min(Ord::max(rtt, shortest), longest);
            self.timers.set(Timer::Step(peer), cx.now + pause);
            return;
        }
        // The caller does not know whether there is another attempt to come.
        if role == Role::Callee || number >= self.config.attempts {
            self.failed(cx, peer, failure);
        }
        self.forget_if_unrelayed(peer);
    }

    /// Nothing more is tried for now.
    pub(crate) fn failed(&mut self, cx: &mut Context<'_>, peer: PeerId, failure: Failure) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.rests_since = Some(cx.now);
            known.changed = false;
        }
        self.stats.failed = self.stats.failed.saturating_add(1);
        self.tell(cx, Event::Failed { peer, failure });
    }

    fn dial_failed(&mut self, cx: &mut Context<'_>, dial: DialId, error: DialError) {
        let Some(peer) = self.dials.remove(&dial) else {
            return;
        };
        self.timers.clear(Timer::Step(peer));
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        match mem::take(&mut known.run) {
            Run::Dialing(_) => self.not_reached(cx, peer),
            Run::Punching(punch, _) => self.missed(cx, peer, punch, Failure::DialFailed(error)),
            other => known.run = other,
        }
    }

    /// The peer's claimed addresses lead nowhere.
    fn not_reached(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let known = self.peers.get(&peer);
        if known.is_some_and(|known| known.speaks == Some(false) && !known.relayed.is_empty()) {
            self.stats.failed = self.stats.failed.saturating_add(1);
            let failure = Failure::Unsupported;
            self.tell(cx, Event::Failed { peer, failure });
        }
        self.consider(cx, peer);
        self.forget_if_unrelayed(peer);
    }

    // ── time ──

    fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(peer) = self.retries.pop_front() {
            if let Some(known) = self.peers.get_mut(&peer) {
                known.rests_since = None;
                known.dialed = false;
                self.consider(cx, peer);
            }
        }
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Consider(peer) => self.consider(cx, peer),
                Timer::Step(peer) => self.step(cx, peer),
                Timer::Stream(stream) => cx.reset(stream),
            }
        }
    }

    fn step(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        match mem::take(&mut known.run) {
            Run::Idle => {}
            Run::Waiting(punch) => self.punch(cx, peer, punch),
            Run::Pausing(number) => self.offer(cx, peer, number),
            run @ (Run::Offering(Offer { .. }) | Run::Answering(_)) => {
                self.stop(cx, peer, &run, None);
                self.failed(cx, peer, Failure::TimedOut);
            }
            run @ Run::Dialing(_) => {
                self.stop(cx, peer, &run, None);
                self.not_reached(cx, peer);
            }
            Run::Punching(punch, dial) => {
                self.dials.remove(&dial);
                cx.cancel_dial(dial);
                self.missed(cx, peer, punch, Failure::DialFailed(DialError::TimedOut));
            }
        }
    }

    // ── streams ──

    fn handle_stream(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Opened { stream, peer, .. } if stream.is_inbound() => self.called(cx, peer, stream),
            Input::Opened { stream, .. } | Input::Writable { stream } => self.say_connect(cx, stream),
            Input::Frame { stream, data } => self.handle_frame(cx, stream, &data),
            Input::Finished { stream } if self.is_exchanging(stream) => {
                self.break_off(cx, stream, Failure::Unexpected);
            }
            Input::Closed { stream, reason } => {
                self.timers.clear(Timer::Stream(stream));
                if self.is_exchanging(stream) {
                    let failure = match reason {
                        Closed::Refused => Failure::Unsupported,
                        Closed::ConnectionLost => Failure::RelayLost,
                        reason => Failure::StreamClosed(reason),
                    };
                    self.break_off(cx, stream, failure);
                }
                self.streams.remove(&stream);
            }
            _ => {}
        }
    }

    fn handle_frame(&mut self, cx: &mut Context<'_>, stream: StreamId, data: &[u8]) {
        let run = self.streams.get(&stream).and_then(|peer| self.peers.get(peer));
        match run.map(|known| &known.run) {
            Some(Run::Offering(offer)) if offer.stream == stream => self.answered(cx, stream, data),
            Some(Run::Answering(answer)) if answer.stream == stream => self.asked(cx, stream, data),
            // All is said.
            _ => cx.reset(stream),
        }
    }

    /// Whether the stream is that of an exchange which is not over.
    fn is_exchanging(&self, stream: StreamId) -> bool {
        let known = self.streams.get(&stream).and_then(|peer| self.peers.get(peer));
        known.is_some_and(|known| known.run.stream() == Some(stream))
    }

    /// Ends an exchange in the middle. There is no other attempt: the peer, or its way of speaking, will not have changed.
    pub(crate) fn break_off(&mut self, cx: &mut Context<'_>, stream: StreamId, failure: Failure) {
        cx.reset(stream);
        let Some(peer) = self.streams.get(&stream).copied() else {
            return;
        };
        self.timers.clear(Timer::Step(peer));
        if let Some(known) = self.peers.get_mut(&peer) {
            known.run = Run::Idle;
        }
        self.failed(cx, peer, failure);
        self.forget_if_unrelayed(peer);
    }

    /// Ends our side of a stream on which all is said; the peer has a time to end its own.
    pub(crate) fn say_no_more(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        cx.finish(stream);
        let by: Instant = cx.now + self.config.exchange;
        self.timers.set(Timer::Stream(stream), by);
    }
}

impl Protocol for Dcutr {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Timeout => self.handle_timeout(cx),
            Input::Fact(fact) => self.learn(cx, &fact),
            Input::Connected { peer, conn, info, .. } => self.connected(cx, peer, conn, &info),
            Input::Disconnected { peer, conn, last } => self.disconnected(cx, peer, conn, last),
            Input::DialFailed { dial, error, .. } => self.dial_failed(cx, dial, error),
            input => self.handle_stream(cx, input),
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if !self.retries.is_empty() {
            return Some(Deadline::now("command"));
        }
        let (at, timer) = self.timers.next()?;
        let why = match timer {
            Timer::Consider(_) => "consider",
            Timer::Step(_) => "punch",
            Timer::Stream(_) => "stream",
        };
        Some(Deadline::new(at, why))
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
    }
}

/// Whether there is a direct connection to a peer.
pub(crate) fn is_direct(cx: &Context<'_>, peer: PeerId) -> bool {
    cx.connections(peer).iter().any(|conn| {
        cx.connection_info(*conn)
            .is_some_and(|info| !info.limited && !info.remote.is_relayed())
    })
}

/// The other end's dial.
pub(crate) fn expected(peer: PeerId, punch: &Punch, until: Instant) -> Expected {
    Expected {
        peer,
        addrs: punch.theirs.clone(),
        until,
        side: punch.role.side(),
    }
}
