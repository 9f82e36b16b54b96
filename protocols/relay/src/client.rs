//! The client: slots at relays, kept and replaced.

use crate::{
    ClientConfig, Event, Failure, HOP, HopMessage, Limit, Reservation, Stats, Status, Voucher,
    circuits::{Circuits, Left, Role, dial_relay},
    own,
    relay::{Desk, HOP_SPEC, direct},
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Deadline, DialId, Instant, Multiaddr, PeerId, StreamId, Timers};
use libp2p_proto_stream_protocol::{Context, Fact, Input, Reachability, Target, Traffic};

/// Commands that wait.
const MAX_COMMANDS: usize = 256;
/// Addresses of a relay that are kept.
const MAX_ADDRS: usize = 8;
/// The shortest wait before a renewal is tried again.
const SOON: Duration = Duration::from_secs(10);

/// A relay that is to keep a slot for us.
#[derive(Debug)]
struct Wish {
    addrs: Vec<Multiaddr>,
    /// Asked for by the application, and not chosen by us.
    manual: bool,
    stage: Stage,
    held: Option<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is under way; the timer says when to ask again.
    Resting,
    Dialing(DialId),
    Asking(StreamId),
}

/// A slot that a relay keeps for us.
#[derive(Debug)]
struct Slot {
    conn: ConnectionId,
    expire: Instant,
    addrs: Vec<Multiaddr>,
}

/// A peer that offers to be a relay.
#[derive(Clone, Debug)]
struct Candidate {
    until: Instant,
    not_before: Instant,
    /// Where it is, if it was suggested. One that made its own offer is asked while it is connected.
    addrs: Vec<Multiaddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A relay is to be asked, or has not answered in time.
    Relay(PeerId),
    /// A slot ends.
    Expire(PeerId),
    /// Relays may be chosen.
    Choose,
}

#[derive(Debug)]
enum Command {
    Reserve(PeerId, Vec<Multiaddr>),
    Suggest(PeerId, Vec<Multiaddr>),
    Release(PeerId),
}

#[derive(Debug)]
pub(crate) struct Client {
    config: ClientConfig,
    commands: VecDeque<Command>,
    wishes: BTreeMap<PeerId, Wish>,
    asking: BTreeMap<StreamId, PeerId>,
    candidates: BTreeMap<PeerId, Candidate>,
    reachability: Reachability,
    /// When an unknown reachability counts as private. Set by the first input.
    private_from: Option<Instant>,
    /// When more candidates may be asked for.
    ask_from: Instant,
    circuits: Circuits,
    timers: Timers<Timer>,
}

impl Client {
    pub(crate) const fn new(config: ClientConfig) -> Self {
        Self {
            config,
            commands: VecDeque::new(),
            wishes: BTreeMap::new(),
            asking: BTreeMap::new(),
            candidates: BTreeMap::new(),
            reachability: Reachability::Unknown,
            private_from: None,
            ask_from: Instant::ZERO,
            circuits: Circuits::new(),
            timers: Timers::new(),
        }
    }

    pub(crate) fn reserve(&mut self, relay: PeerId, addrs: Vec<Multiaddr>) {
        self.note(Command::Reserve(relay, addrs));
    }

    pub(crate) fn suggest(&mut self, relay: PeerId, addrs: Vec<Multiaddr>) {
        self.note(Command::Suggest(relay, addrs));
    }

    pub(crate) fn release(&mut self, relay: PeerId) {
        self.note(Command::Release(relay));
    }

    fn note(&mut self, command: Command) {
        if self.commands.len() < MAX_COMMANDS {
            self.commands.push_back(command);
        }
    }

    pub(crate) fn reserved(&self) -> impl Iterator<Item = PeerId> {
        let held = self.wishes.iter().filter(|(_, wish)| wish.held.is_some());
        held.map(|(relay, _)| *relay)
    }

    pub(crate) fn left(&self, now: Instant, conn: ConnectionId, carried: Traffic) -> Option<Left> {
        self.circuits.left(now, conn, carried)
    }

    pub(crate) fn count(&self, stats: &mut Stats) {
        stats.slots = self.reserved().count();
        stats.dialing = self.circuits.dialing();
        stats.inbound = self.circuits.brought();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        if !self.commands.is_empty() {
            return Some(Deadline::now("command"));
        }
        let own = self.timers.next().map(|(at, _)| Deadline::new(at, "reservation"));
        let circuits = self
            .circuits
            .next_deadline()
            .map(|at| Deadline::new(at, "circuit"));
        Deadline::earliest(own, circuits)
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        while let Some(command) = self.commands.pop_front() {
            match command {
                Command::Reserve(relay, addrs) => self.want(cx, desk, relay, addrs, true),
                Command::Suggest(relay, mut addrs) => {
                    addrs.truncate(MAX_ADDRS);
                    self.offer(cx, relay, addrs);
                    self.choose(cx, desk);
                }
                Command::Release(relay) => self.forget(cx, desk, relay),
            }
        }
        self.circuits.handle_timeout(cx);
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Relay(relay) => self.relay_is_due(cx, desk, relay),
                Timer::Expire(relay) => self.lose(cx, desk, relay),
                Timer::Choose => self.choose(cx, desk),
            }
        }
    }

    fn relay_is_due(&mut self, cx: &mut Context<'_>, desk: &mut Desk, relay: PeerId) {
        match self.wishes.get(&relay).map(|wish| wish.stage) {
            Some(Stage::Resting) => self.ask(cx, desk, relay),
            Some(_) => self.failed(cx, desk, relay, Failure::TimedOut),
            None => {}
        }
    }

    // ── wishes ──

    fn want(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        relay: PeerId,
        addrs: Vec<Multiaddr>,
        manual: bool,
    ) {
        if let Some(wish) = self.wishes.get_mut(&relay) {
            wish.manual |= manual;
            wish.addrs.extend(addrs);
            wish.addrs.truncate(MAX_ADDRS);
            if wish.stage == Stage::Resting && wish.held.is_none() {
                self.ask(cx, desk, relay);
            }
            return;
        }
        if self.wishes.len() >= self.config.max_relays || relay == cx.local {
            let failure = Failure::TooManyRelays;
            return desk.tell(cx, Event::NotReserved { relay, failure });
        }
        let wish = Wish {
            addrs,
            manual,
            stage: Stage::Resting,
            held: None,
        };
        self.wishes.insert(relay, wish);
        self.ask(cx, desk, relay);
    }

    /// Asks a relay for a slot, or for more time, over a direct connection.
    fn ask(&mut self, cx: &mut Context<'_>, desk: &mut Desk, relay: PeerId) {
        let Some(wish) = self.wishes.get_mut(&relay) else {
            return;
        };
        let stage = match direct(cx, relay) {
            Some(conn) => match cx.open(Target::Connection(conn), &[HOP_SPEC]) {
                Ok(stream) => {
                    self.asking.insert(stream, relay);
                    Ok(Stage::Asking(stream))
                }
                Err(_) => Err(Failure::NoStream),
            },
            None => dial_relay(cx, relay, wish.addrs.clone())
                .map(Stage::Dialing)
                .map_err(|_| Failure::NotConnected),
        };
        match stage {
            Ok(stage) => {
                wish.stage = stage;
                // A dial has its own time, and an end that is told.
                let time = match stage {
                    Stage::Dialing(_) => self.config.connect_timeout,
                    _ => self.config.reserve_timeout,
                };
                self.timers.set(Timer::Relay(relay), cx.now + time);
            }
            Err(failure) => self.failed(cx, desk, relay, failure),
        }
    }

    /// There is no slot, or no more time, for now.
    fn failed(&mut self, cx: &mut Context<'_>, desk: &mut Desk, relay: PeerId, failure: Failure) {
        self.timers.clear(Timer::Relay(relay));
        let Some(wish) = self.wishes.get_mut(&relay) else {
            return;
        };
        if let Stage::Asking(stream) = core::mem::replace(&mut wish.stage, Stage::Resting) {
            self.asking.remove(&stream);
            cx.reset(stream);
        }
        let wait = match failure {
            Failure::NotConnected | Failure::TimedOut | Failure::StreamClosed => self.config.retry,
            _ => self.config.backoff,
        };
        desk.tell(cx, Event::NotReserved { relay, failure });
        let left = wish.held.as_ref().map(|slot| slot.expire.since(cx.now));
        if let Some(left) = left {
            // What is held stays, and there is time to ask again.
            let again = left.checked_div(4).unwrap_or(SOON).max(SOON);
            self.timers.set(Timer::Relay(relay), cx.now + again);
        } else if wish.manual {
            self.timers.set(Timer::Relay(relay), cx.now + wait);
        } else {
            self.wishes.remove(&relay);
            if let Some(candidate) = self.candidates.get_mut(&relay) {
                candidate.not_before = cx.now + wait;
            }
            self.timers.set(Timer::Choose, cx.now);
        }
    }

    fn granted(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        relay: PeerId,
        stream: StreamId,
        answer: (Reservation, Limit),
    ) {
        let (reservation, limit) = answer;
        let (addrs, life) = match self.judge(cx, relay, stream.conn, &reservation) {
            Ok(judged) => judged,
            Err(failure) => return self.failed(cx, desk, relay, failure),
        };
        let Some(wish) = self.wishes.get_mut(&relay) else {
            return;
        };
        wish.stage = Stage::Resting;
        let slot = Slot {
            conn: stream.conn,
            expire: cx.now + life,
            addrs: addrs.clone(),
        };
        let renew = life.checked_div(4).unwrap_or(life).saturating_mul(3);
        self.timers.set(Timer::Relay(relay), cx.now + renew);
        self.timers.set(Timer::Expire(relay), slot.expire);
        let before = wish.held.replace(slot);
        let renewed = before.is_some();
        cx.keep(stream.conn, true);
        if let Some(before) = before.as_ref().filter(|before| before.conn != stream.conn) {
            cx.keep(before.conn, false);
        }
        let gone = before.into_iter().flat_map(|slot| slot.addrs);
        announce(cx, gone.filter(|addr| !addrs.contains(addr)), false);
        announce(cx, addrs.iter().cloned(), true);
        let expire = reservation.expire;
        desk.tell(
            cx,
            Event::Reserved {
                relay,
                expire,
                limit,
                addrs,
                renewed,
            },
        );
    }

    /// The addresses of a circuit to us and how long they hold, if the reservation is worth anything.
    fn judge(
        &self,
        cx: &Context<'_>,
        relay: PeerId,
        conn: ConnectionId,
        reservation: &Reservation,
    ) -> Result<(Vec<Multiaddr>, Duration), Failure> {
        let secs = reservation.expire.saturating_sub(cx.unix.as_secs());
        let life = Duration::from_secs(secs).min(self.config.max_life);
        if life < self.config.min_life {
            return Err(Failure::TooShort);
        }
        if let Some(voucher) = &reservation.voucher {
            Voucher::open(voucher, relay, cx.local, cx.unix).map_err(Failure::Voucher)?;
        }
        let usable = |addr: &&Multiaddr| own::is_usable(addr, self.config.private_addrs);
        let mut addrs: Vec<_> = reservation
            .addrs
            .iter()
            .filter(usable)
            .filter_map(|addr| own::circuit(addr, relay))
            .collect();
        if addrs.is_empty() {
            // The address that led us there.
            let dialed = cx
                .connection_info(conn)
                .filter(|info| info.dial.is_some() || info.side.is_dialer());
            let dialed = dialed.map(|info| info.remote.clone());
            addrs.extend(dialed.and_then(|addr| own::circuit(&addr, relay)));
        }
        addrs.sort();
        addrs.dedup();
        Ok((addrs, life))
    }

    /// A slot is gone.
    fn lose(&mut self, cx: &mut Context<'_>, desk: &mut Desk, relay: PeerId) {
        self.timers.clear(Timer::Expire(relay));
        let Some(wish) = self.wishes.get_mut(&relay) else {
            return;
        };
        let Some(slot) = wish.held.take() else { return };
        cx.keep(slot.conn, false);
        announce(cx, slot.addrs.into_iter(), false);
        desk.tell(cx, Event::Lost { relay });
        if wish.stage != Stage::Resting {
            return;
        }
        if wish.manual {
            self.timers.set(Timer::Relay(relay), cx.now + self.config.retry);
        } else {
            self.timers.clear(Timer::Relay(relay));
            self.wishes.remove(&relay);
            self.timers.set(Timer::Choose, cx.now);
        }
    }

    /// A relay is not wanted any more.
    fn forget(&mut self, cx: &mut Context<'_>, desk: &mut Desk, relay: PeerId) {
        if let Some(wish) = self.wishes.get_mut(&relay) {
            wish.manual = false;
            if let Stage::Asking(stream) = core::mem::replace(&mut wish.stage, Stage::Resting) {
                self.asking.remove(&stream);
                cx.reset(stream);
            }
        }
        self.lose(cx, desk, relay);
        self.timers.clear(Timer::Relay(relay));
        self.wishes.remove(&relay);
    }

    // ── choice ──

    pub(crate) fn handle_fact(&mut self, cx: &mut Context<'_>, desk: &mut Desk, fact: &Fact) {
        if self.private_from.is_none() {
            let from = cx.now + self.config.boot_delay;
            self.private_from = Some(from);
            if self.config.automatic {
                self.timers.set(Timer::Choose, from);
            }
        }
        match fact {
            Fact::PeerProtocols { peer, protocols } => {
                if protocols.binary_search(&HOP).is_ok() {
                    self.offer(cx, *peer, Vec::new());
                } else {
                    self.candidates.remove(peer);
                }
            }
            Fact::Reachability(reachability) => {
                self.reachability = *reachability;
                if *reachability == Reachability::Public {
                    let chosen = self.wishes.iter().filter(|(_, wish)| !wish.manual);
                    let chosen: Vec<_> = chosen.map(|(relay, _)| *relay).collect();
                    for relay in chosen {
                        self.forget(cx, desk, relay);
                    }
                }
            }
            _ => return,
        }
        self.choose(cx, desk);
    }

    /// A peer offers to be a relay, or others say that it may be one.
    fn offer(&mut self, cx: &Context<'_>, peer: PeerId, addrs: Vec<Multiaddr>) {
        let now = cx.now;
        self.candidates.retain(|_, candidate| candidate.until > now);
        let until = now + self.config.candidate_age;
        if let Some(candidate) = self.candidates.get_mut(&peer) {
            candidate.until = until;
            if !addrs.is_empty() {
                candidate.addrs = addrs;
            }
        } else if self.candidates.len() < self.config.max_candidates && peer != cx.local {
            let candidate = Candidate {
                until,
                not_before: now,
                addrs,
            };
            self.candidates.insert(peer, candidate);
        }
    }

    fn is_private(&self, now: Instant) -> bool {
        match self.reachability {
            Reachability::Private => true,
            Reachability::Public => false,
            Reachability::Unknown => self.private_from.is_some_and(|from| from <= now),
        }
    }

    /// Asks candidates until as many slots are held, or may come, as are wanted.
    fn choose(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        if !self.config.automatic || !self.is_private(cx.now) {
            return;
        }
        let now = cx.now;
        self.candidates.retain(|_, candidate| candidate.until > now);
        let alive = |wish: &&Wish| wish.held.is_some() || wish.stage != Stage::Resting;
        let alive = self.wishes.values().filter(alive).count();
        let missing = self.config.wanted.saturating_sub(alive);
        let fit = |relay: &PeerId, candidate: &Candidate| {
            let reached = direct(cx, *relay).is_some() || !candidate.addrs.is_empty();
            candidate.not_before <= now && !self.wishes.contains_key(relay) && reached
        };
        let fit: Vec<_> = self
            .candidates
            .iter()
            .filter(|(relay, candidate)| fit(relay, candidate))
            .map(|(relay, candidate)| (*relay, candidate.addrs.clone()))
            .take(missing)
            .collect();
        let missing = missing.saturating_sub(fit.len());
        for (relay, addrs) in fit {
            self.want(cx, desk, relay, addrs, false);
        }
        self.look_around(cx, desk, missing);
    }

    /// Asks for more candidates if few are left, and says when to choose again.
    fn look_around(&mut self, cx: &Context<'_>, desk: &mut Desk, missing: usize) {
        let now = cx.now;
        let held = self.wishes.values().filter(|wish| wish.held.is_some()).count();
        if held >= self.config.wanted {
            return;
        }
        let rested = self.candidates.values().map(|candidate| candidate.not_before);
        let again = rested.clone().filter(|at| *at > now && missing > 0).min();
        let ready = rested.filter(|at| *at <= now).count();
        let few = ready < self.config.min_candidates;
        if few && self.ask_from <= now {
            self.ask_from = now + self.config.ask_interval;
            desk.tell(cx, Event::CandidatesWanted);
        }
        let asks = Some(self.ask_from).filter(|_| few);
        if let Some(at) = again.into_iter().chain(asks).min() {
            self.timers.set(Timer::Choose, at);
        }
    }

    // ── connections and streams ──

    pub(crate) fn handle_connected(&mut self, cx: &mut Context<'_>, desk: &mut Desk, peer: PeerId) {
        self.circuits.handle_connected(cx, peer);
        let dialing = self.wishes.get(&peer).map(|wish| wish.stage);
        if matches!(dialing, Some(Stage::Dialing(_))) && direct(cx, peer).is_some() {
            self.ask(cx, desk, peer);
        }
    }

    pub(crate) fn handle_dial_failed(&mut self, cx: &mut Context<'_>, desk: &mut Desk, dial: DialId) {
        self.circuits.handle_dial_failed(cx, dial);
        let waits = |wish: &Wish| wish.stage == Stage::Dialing(dial);
        let relay = self.wishes.iter().find(|(_, wish)| waits(wish));
        if let Some(relay) = relay.map(|(relay, _)| *relay) {
            self.failed(cx, desk, relay, Failure::NotConnected);
        }
    }

    pub(crate) fn handle_disconnected(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        peer: PeerId,
        conn: ConnectionId,
    ) {
        let held = self.wishes.get(&peer).and_then(|wish| wish.held.as_ref());
        if held.is_some_and(|slot| slot.conn == conn) {
            self.lose(cx, desk, peer);
        }
    }

    pub(crate) fn dial_link(
        &mut self,
        cx: &mut Context<'_>,
        wanted: (ConnectionId, PeerId),
        addr: &Multiaddr,
    ) {
        self.circuits.dial(cx, &self.config, wanted, addr);
    }

    pub(crate) fn handle_stream(&mut self, cx: &mut Context<'_>, desk: &mut Desk, input: Input) {
        match input {
            Input::Opened { stream, .. } if stream.is_inbound() => {
                self.circuits.listen(cx, &self.config, stream);
            }
            Input::Opened { stream, .. } => match self.circuits.streams.get(&stream).copied() {
                Some(Role::Dialing(conn)) => self.circuits.ask(cx, stream, conn),
                _ if self.asking.contains_key(&stream) => {
                    if cx.write(stream, HopMessage::Reserve.encode()).is_err() {
                        cx.reset(stream);
                    }
                }
                _ => cx.reset(stream),
            },
            Input::Frame { stream, data } => self.handle_frame(cx, desk, stream, &data),
            Input::Finished { stream } => {
                let waits = matches!(
                    self.circuits.streams.get(&stream),
                    Some(Role::Dialing(_) | Role::Listening)
                );
                if waits || self.asking.contains_key(&stream) {
                    cx.reset(stream);
                }
            }
            Input::Closed { stream, .. } => {
                self.circuits.handle_closed(cx, stream);
                if let Some(relay) = self.asking.remove(&stream) {
                    if let Some(wish) = self.wishes.get_mut(&relay) {
                        wish.stage = Stage::Resting;
                    }
                    self.failed(cx, desk, relay, Failure::StreamClosed);
                }
            }
            _ => {}
        }
    }

    fn handle_frame(&mut self, cx: &mut Context<'_>, desk: &mut Desk, stream: StreamId, data: &[u8]) {
        match self.circuits.streams.get(&stream).copied() {
            Some(Role::Dialing(conn)) => {
                return self
                    .circuits
                    .handle_answer(cx, &self.config, (stream, conn), data);
            }
            Some(Role::Listening) => {
                let relay = cx.peer_of(stream);
                let held = relay.and_then(|relay| self.wishes.get(&relay)?.held.as_ref());
                let reserved = held.is_some();
                return self
                    .circuits
                    .handle_offer(cx, &self.config, desk, (stream, reserved), data);
            }
            _ => {}
        }
        let Some(relay) = self.asking.remove(&stream) else {
            return;
        };
        cx.finish(stream);
        if let Some(wish) = self.wishes.get_mut(&relay) {
            wish.stage = Stage::Resting;
        }
        match HopMessage::decode(data) {
            Ok(HopMessage::Status {
                status: Status::Ok,
                reservation: Some(reservation),
                limit,
            }) => self.granted(cx, desk, relay, stream, (reservation, limit)),
            Ok(HopMessage::Status { status, .. }) if status != Status::Ok => {
                self.failed(cx, desk, relay, Failure::Refused(status));
            }
            _ => self.failed(cx, desk, relay, Failure::Malformed),
        }
    }
}

/// Says that we are reached through these circuits, or no longer.
fn announce(cx: &mut Context<'_>, addrs: impl Iterator<Item = Multiaddr>, up: bool) {
    for addr in addrs {
        // Others go on with what they know if there is no room for news.
        let _full = cx.tell(Fact::ListenAddress { addr, up });
    }
}
