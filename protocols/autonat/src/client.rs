//! Whom we ask, when, and what we believe.

use crate::{
    ClientConfig, Error, Event, Failure, QuestionId, Verdict, Version,
    addrs::{is_reachable_by_ip, may_be_asked_about},
    desk::Desk,
    log::Log,
    questions::{Ended, Question, Questions},
    votes::{Rules, Votes},
    watch::{CHECK_WINDOW, Watch},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;
use libp2p_proto_core::{AddressClass, ConnectionId, Deadline, Instant, Multiaddr, PeerId, Subnet, Timers};
use libp2p_proto_stream_protocol::{Context, Fact, Input, OwnAddresses, Reachability};

/// Pause before facts are told that nobody had room for.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// Inbound connections that have to be free when we ask, as with nim.
const FREE_SLOTS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A round of version 1.
    V1,
    /// Addresses may be due.
    V2,
    /// Voices may be too old.
    Judge,
    /// Facts were not taken.
    Tell,
}

/// Somebody who could be asked.
#[derive(Clone, Copy, Debug)]
struct Server {
    peer: PeerId,
    conn: ConnectionId,
    network: Subnet,
    /// Whether we dialed it: it did not choose us.
    dialed: bool,
}

/// A question that the next drives begin.
#[derive(Debug)]
struct Wish {
    id: QuestionId,
    server: Option<PeerId>,
    version: Version,
    addrs: Vec<Multiaddr>,
}

/// The part that asks.
#[derive(Debug)]
pub(crate) struct Client {
    config: ClientConfig,
    private: bool,
    rules: Rules,
    questions: Questions,
    wishes: Vec<Wish>,
    next: u64,
    watch: Watch,
    /// What servers of version 1 say.
    us: Votes,
    /// Whether nobody could be asked with version 1.
    starved: bool,
    /// What peers offer: version 1, version 2.
    offers: BTreeMap<PeerId, [bool; 2]>,
    /// Who was asked lately, with each version.
    asked: [Log<PeerId>; 2],
    /// What is believed of us, and what others were told.
    state: Reachability,
    told: Reachability,
    /// Before this we ask nobody by ourselves.
    from: Option<Instant>,
    timers: Timers<Timer>,
}

impl Client {
    pub(crate) fn new(config: &ClientConfig, private: bool) -> Self {
        Self {
            rules: Rules {
                quorum: config.quorum,
                margin: config.margin,
                window: config.window,
                life: config.vote_life,
            },
            questions: Questions::new(config),
            wishes: Vec::new(),
            next: 1,
            watch: Watch::default(),
            us: Votes::new(),
            starved: false,
            offers: BTreeMap::new(),
            asked: [Log::new(config.v1_rest), Log::new(config.v2_rest)],
            state: Reachability::Unknown,
            told: Reachability::Unknown,
            from: None,
            timers: Timers::new(),
            private,
            config: *config,
        }
    }

    pub(crate) const fn state(&self) -> Reachability {
        self.state
    }

    /// What is believed of each address.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&Multiaddr, Reachability)> {
        self.watch
            .iter()
            .map(|(addr, watched)| (addr, watched.votes.state()))
    }

    /// Voices of version 1 for and against us.
    pub(crate) fn voices(&self) -> (usize, usize) {
        (self.us.count(true), self.us.count(false))
    }

    /// Questions under way, and dial backs that are to bring a nonce.
    pub(crate) fn census(&self) -> (usize, usize) {
        let questions = self
            .questions
            .under_way()
            .count()
            .saturating_add(self.wishes.len());
        (questions, self.questions.dial_backs())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        if !self.wishes.is_empty() {
            return Some(Deadline::now("command"));
        }
        let own = self.timers.next().map(|(at, _)| Deadline::new(at, "check"));
        let questions = self
            .questions
            .next_timer()
            .map(|at| Deadline::new(at, "question"));
        Deadline::earliest(own, questions)
    }

    // ── commands ──

    pub(crate) fn ask(
        &mut self,
        server: Option<PeerId>,
        version: Version,
        mut addrs: Vec<Multiaddr>,
        unread: usize,
    ) -> Result<QuestionId, Error> {
        let asks = match version {
            Version::V1 => self.config.v1,
            Version::V2 => self.config.v2,
        };
        if !asks {
            return Err(Error::NotAsking);
        }
        let manual = self
            .questions
            .under_way()
            .filter(|question| question.manual)
            .count();
        let all = manual.saturating_add(self.wishes.len()).saturating_add(unread);
        if all >= self.config.max_questions {
            return Err(Error::TooManyQuestions);
        }
        if !addrs.is_empty() {
            let private = self.private;
            addrs.retain(|addr| match version {
                Version::V1 => addr.class() != AddressClass::Relayed,
                Version::V2 => may_be_asked_about(addr, private),
            });
            if addrs.is_empty() {
                return Err(Error::NoAddress);
            }
        }
        let id = self.fresh_id();
        self.wishes.push(Wish {
            id,
            server,
            version,
            addrs,
        });
        Ok(id)
    }

    fn fresh_id(&mut self) -> QuestionId {
        let id = QuestionId(self.next);
        self.next = self.next.saturating_add(1);
        id
    }

    fn begin_wish(&mut self, cx: &mut Context<'_>, desk: &mut Desk, own: &OwnAddresses) {
        if self.wishes.is_empty() {
            return;
        }
        let wish = self.wishes.remove(0);
        let (version, mut addrs) = (wish.version, wish.addrs);
        if addrs.is_empty() {
            addrs = match version {
                Version::V1 => self.addrs_v1(own),
                Version::V2 => self.watch.by_importance(),
            };
        }
        let server = match wish.server {
            Some(peer) => self.reach(cx, peer, true),
            None => self.pick(cx, version, &BTreeSet::new()),
        };
        let failure = if has_room(cx) {
            Failure::NoServer
        } else {
            Failure::NoRoom
        };
        let Some(server) = server.filter(|_| !addrs.is_empty() && has_room(cx)) else {
            let event = Event::Answered {
                question: wish.id,
                server: wish.server,
                version,
                result: Err(failure),
            };
            return desk.tell_end(cx, event);
        };
        self.begin(cx, server, wish.id, true, version, addrs);
    }

    // ── servers ──

    /// The connection to a peer over which it can be asked. An application may ask where the answer does not count. One that we dialed, or else the oldest: a dial back
    /// is neither, and goes once it has served.
    fn reach(&self, cx: &Context<'_>, peer: PeerId, anyhow: bool) -> Option<Server> {
        let (ip4_bits, ip6_bits) = self.config.network_bits;
        let candidates = cx.connections(peer).into_iter().filter_map(|conn| {
            let info = cx.connection_info(conn)?;
            let direct = !info.limited && !info.remote.is_relayed();
            let fits = direct && (anyhow || is_reachable_by_ip(&info.remote, self.private));
            fits.then(|| Server {
                peer,
                conn,
                network: info.remote.subnet(ip4_bits, ip6_bits),
                dialed: info.side.is_dialer(),
            })
        });
        candidates.min_by_key(|server| (!server.dialed, server.conn))
    }

    /// A server that has rested, of none of these networks: at random, and of those that we dialed if there are such.
    fn pick(&mut self, cx: &mut Context<'_>, version: Version, without: &BTreeSet<Subnet>) -> Option<Server> {
        if !has_room(cx) {
            return None;
        }
        let place = usize::from(version == Version::V2);
        let asked: BTreeSet<PeerId> = self
            .asked
            .get_mut(place)
            .into_iter()
            .flat_map(|asked| asked.recent(cx.now).copied())
            .collect();
        let mut fit: Vec<Server> = self
            .offers
            .iter()
            .filter(|(peer, offers)| offers.get(place) == Some(&true) && !asked.contains(*peer))
            .filter_map(|(peer, _)| self.reach(cx, *peer, false))
            .filter(|server| !without.contains(&server.network))
            .collect();
        if fit.iter().any(|server| server.dialed) {
            fit.retain(|server| server.dialed);
        }
        let count = u64::try_from(fit.len()).ok().filter(|count| *count > 0)?;
        let at = usize::try_from(cx.rng.below(count)).ok()?;
        fit.get(at).copied()
    }

    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        server: Server,
        id: QuestionId,
        manual: bool,
        version: Version,
        addrs: Vec<Multiaddr>,
    ) {
        if let Some(asked) = self.asked.get_mut(usize::from(version == Version::V2)) {
            asked.push(cx.now, server.peer);
            asked.keep(self.config.max_servers);
        }
        let counts = self.reach(cx, server.peer, false).is_some();
        let question = Question {
            id,
            manual,
            server: server.peer,
            network: server.network,
            counts,
            version,
            addrs,
        };
        self.questions.begin(cx, server.conn, question);
    }

    // ── rounds ──

    /// Questions that we have begun ourselves, and may begin more of.
    fn free(&self, version: Version) -> usize {
        let ours = |question: &&Question| !question.manual && question.version == version;
        let under_way = self.questions.under_way().filter(ours).count();
        self.config.max_parallel.saturating_sub(under_way)
    }

    /// Networks that need not be asked: they have had their say, or are having it.
    fn heard(
        &self,
        votes: &Votes,
        now: Instant,
        version: Version,
        addr: Option<&Multiaddr>,
    ) -> BTreeSet<Subnet> {
        let fresh = now - self.config.recheck;
        let asking = self.questions.under_way().filter(|question| {
            question.version == version && (version == Version::V1 || question.addrs.first() == addr)
        });
        let mut networks: BTreeSet<Subnet> = asking.map(|question| question.network).collect();
        if votes.state() == Reachability::Unknown {
            networks.extend(votes.networks(fresh));
        }
        networks
    }

    /// What a server of version 1 is asked about: what is watched, then our listeners in private networks, which it may find behind the address that it sees us at.
    fn addrs_v1(&self, own: &OwnAddresses) -> Vec<Multiaddr> {
        let mut addrs = self.watch.by_importance();
        let private = own
            .listening()
            .filter(|addr| addr.class() == AddressClass::Private);
        for addr in private {
            if !addrs.contains(addr) {
                addrs.push(addr.clone());
            }
        }
        addrs
    }

    fn round_v1(&mut self, cx: &mut Context<'_>, own: &OwnAddresses) {
        let addrs = self.addrs_v1(own);
        let known = self.us.state() != Reachability::Unknown;
        let wanted = if known { 1 } else { self.us.missing(self.rules) };
        let mut begun = false;
        if !addrs.is_empty() {
            let free = self.free(Version::V1);
            let asking = self.config.max_parallel.saturating_sub(free);
            for _ in 0..wanted.saturating_sub(asking).min(free) {
                let heard = self.heard(&self.us, cx.now, Version::V1, None);
                let Some(server) = self.pick(cx, Version::V1, &heard) else {
                    break;
                };
                let id = self.fresh_id();
                self.begin(cx, server, id, false, Version::V1, addrs.clone());
                begun = true;
            }
        }
        self.starved = !begun;
        let pause = if known && begun {
            self.config.refresh
        } else {
            self.config.retry
        };
        self.timers.set(Timer::V1, cx.now + pause);
    }

    /// Asks about the addresses that are due.
    fn round_v2(&mut self, cx: &mut Context<'_>) {
        for addr in self.watch.by_importance() {
            let due = self.watch.get_mut(&addr).and_then(|watched| watched.due);
            if due.is_some_and(|due| due <= cx.now) {
                self.check(cx, &addr);
            }
        }
        self.plan_v2(cx.now);
    }

    /// Asks as many servers about an address as voices are missing.
    fn check(&mut self, cx: &mut Context<'_>, addr: &Multiaddr) {
        let mut begun = false;
        loop {
            let free = self.free(Version::V2);
            let asking = self.questions.under_way().filter(|question| {
                !question.manual && question.version == Version::V2 && question.addrs.first() == Some(addr)
            });
            let asking = asking.count();
            let Some(watched) = self.watch.get_mut(addr) else {
                return;
            };
            let known = watched.votes.state() != Reachability::Unknown;
            let wanted = if known {
                1
            } else {
                watched.votes.missing(self.rules)
            };
            if asking >= wanted {
                break;
            }
            if watched.checks.recent(cx.now).count() >= self.config.max_checks {
                watched.due = watched.checks.next_free();
                return;
            }
            if free == 0 {
                watched.due = Some(cx.now + self.config.after_refusal);
                return;
            }
            let Some(server) = self.pick_for(cx, addr) else {
                break;
            };
            if let Some(watched) = self.watch.get_mut(addr) {
                watched.checks.push(cx.now, ());
            }
            let id = self.fresh_id();
            self.begin(cx, server, id, false, Version::V2, alloc::vec![addr.clone()]);
            begun = true;
        }
        let retry = cx.now + self.config.retry;
        if let Some(watched) = self.watch.get_mut(addr) {
            watched.starved = !begun;
            // Whoever ends sets the time anew.
            watched.due = Some(retry);
        }
    }

    fn pick_for(&mut self, cx: &mut Context<'_>, addr: &Multiaddr) -> Option<Server> {
        let votes = self.watch.iter().find(|(known, _)| *known == addr)?.1;
        let heard = self.heard(&votes.votes, cx.now, Version::V2, Some(addr));
        self.pick(cx, Version::V2, &heard)
    }

    fn plan_v2(&mut self, now: Instant) {
        let automatic = self.config.v2 && self.config.automatic;
        let Some(from) = self.from.filter(|_| automatic) else {
            return;
        };
        let due = self.watch.iter().filter_map(|(_, watched)| watched.due).min();
        let at = due.map(|due| Ord::max(due, from)).map(|at| Ord::max(at, now));
        self.timers.set_or_clear(Timer::V2, at);
    }

    // ── what is learned ──

    pub(crate) fn handle_fact(&mut self, cx: &mut Context<'_>, desk: &mut Desk, fact: &Fact) {
        let from = *self.from.get_or_insert(cx.now + self.config.boot_delay);
        let automatic = self.config.automatic;
        if automatic && self.config.v1 && self.timers.get(Timer::V1).is_none() {
            self.timers.set(Timer::V1, from);
        }
        if let Fact::PeerProtocols { peer, protocols } = fact {
            let has = |name| protocols.binary_search(&name).is_ok();
            self.offer(cx, *peer, [has(crate::V1), has(crate::DIAL_REQUEST)]);
            return;
        }
        let due = cx.now + jitter(cx, self.config.jitter);
        let is_new = self.watch.learn(fact, due, self.private, self.config.max_addrs);
        if is_new && automatic && self.config.v1 {
            self.sooner(Timer::V1, due.max(from));
        }
        self.plan_v2(cx.now);
        self.believe(cx, desk);
    }

    fn offer(&mut self, cx: &Context<'_>, peer: PeerId, offers: [bool; 2]) {
        if offers == [false; 2] {
            self.offers.remove(&peer);
            return;
        }
        if self.offers.len() >= self.config.max_servers && !self.offers.contains_key(&peer) {
            return;
        }
        if self.offers.insert(peer, offers) == Some(offers) {
            return;
        }
        let Some(from) = self.from else { return };
        let at = Ord::max(from, cx.now);
        if offers == [true, offers[1]] && core::mem::take(&mut self.starved) {
            self.sooner(Timer::V1, at);
        }
        if offers[1] {
            for watched in self.watch.iter_mut() {
                if core::mem::take(&mut watched.starved) {
                    watched.due = Some(at);
                }
            }
            self.plan_v2(cx.now);
        }
    }

    /// A peer that we are asking connects to us: that is its dial back, which it may close once it has served.
    pub(crate) fn handle_connected(&self, cx: &mut Context<'_>, peer: PeerId, conn: ConnectionId) {
        if self.questions.under_way().any(|question| question.server == peer) {
            cx.set_aside(conn);
        }
    }

    pub(crate) fn handle_disconnected(&mut self, peer: &PeerId) {
        self.offers.remove(peer);
    }

    /// Brings a timer forward.
    fn sooner(&mut self, timer: Timer, at: Instant) {
        if self.timers.get(timer).is_some_and(|set| set > at) {
            self.timers.set(timer, at);
        }
    }

    pub(crate) fn handle_stream(&mut self, cx: &mut Context<'_>, desk: &mut Desk, input: Input) {
        self.questions.handle(cx, input);
        self.handle_ended(cx, desk);
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>, desk: &mut Desk, own: &OwnAddresses) {
        self.begin_wish(cx, desk, own);
        self.questions.handle_timeout(cx);
        match self.timers.pop_due(cx.now) {
            Some(Timer::V1) => self.round_v1(cx, own),
            Some(Timer::V2) => self.round_v2(cx),
            Some(Timer::Judge) => {
                self.us.judge(cx.now, self.rules);
                self.watch.judge(cx, desk, self.rules);
                self.believe(cx, desk);
            }
            Some(Timer::Tell) => self.tell(cx),
            None => {}
        }
        self.handle_ended(cx, desk);
    }

    // ── what is believed ──

    fn handle_ended(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        while let Some(Ended { question, result }) = self.questions.pop_ended() {
            if let Ok(verdict) = result.as_ref() {
                desk.stats.verdicts = desk.stats.verdicts.saturating_add(1);
                if question.counts {
                    self.vote(cx, desk, &question, verdict);
                }
            }
            self.plan_next(cx, &question, &result);
            let event = Event::Answered {
                question: question.id,
                server: Some(question.server),
                version: question.version,
                result,
            };
            if question.manual {
                desk.tell_end(cx, event);
            } else {
                desk.tell(cx, event);
            }
        }
    }

    fn vote(&mut self, cx: &mut Context<'_>, desk: &mut Desk, question: &Question, verdict: &Verdict) {
        let (server, network, rules) = (question.server, question.network, self.rules);
        match question.version {
            Version::V1 => self.us.add(cx.now, server, network, verdict.reachable, rules),
            Version::V2 => {
                let Some(addr) = &verdict.addr else { return };
                let Some(watched) = self.watch.get_mut(addr) else {
                    return;
                };
                let before = watched.votes.state();
                watched
                    .votes
                    .add(cx.now, server, network, verdict.reachable, rules);
                let reachability = watched.votes.state();
                if reachability != before {
                    let addr = addr.clone();
                    desk.tell(cx, Event::Address { addr, reachability });
                }
            }
        }
        self.believe(cx, desk);
    }

    /// When the matter of a question is to be looked at again.
    fn plan_next(&mut self, cx: &mut Context<'_>, question: &Question, result: &Result<Verdict, Failure>) {
        if question.manual {
            return;
        }
        let soon = cx.now + self.config.after_refusal;
        let said = result.as_ref().ok().map(|verdict| verdict.reachable);
        if question.version == Version::V1 {
            match said {
                None => self.sooner(Timer::V1, soon),
                Some(_) if said == agreed(self.us.state()) => {
                    self.timers.set(Timer::V1, cx.now + self.config.refresh);
                }
                Some(_) => self.sooner(Timer::V1, cx.now),
            }
            return;
        }
        let (rules, max_refusals) = (self.rules, self.config.max_refusals);
        let (recheck, sure) = (self.config.recheck, self.config.recheck_sure);
        let addr = question.addrs.first();
        let Some(watched) = addr.and_then(|addr| self.watch.get_mut(addr)) else {
            return;
        };
        watched.due = Some(match (said, result) {
            (Some(_), _) if said == agreed(watched.votes.state()) => {
                watched.refusals = 0;
                let pause = if watched.votes.is_unanimous(rules) {
                    sure
                } else {
                    recheck
                };
                cx.now + pause
            }
            (Some(_), _) => {
                watched.refusals = 0;
                cx.now
            }
            (None, Err(failure)) if failure.is_refusal() => {
                watched.refusals = watched.refusals.saturating_add(1);
                if watched.refusals >= max_refusals {
                    watched.refusals = 0;
                    watched.rests_until = cx.now + CHECK_WINDOW;
                }
                soon
            }
            _ => soon,
        });
        watched.due = watched.due.map(|due| Ord::max(due, watched.rests_until));
        self.plan_v2(cx.now);
    }

    /// Draws the conclusion from all voices, and tells it.
    fn believe(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        let state = match (self.watch.state(), self.us.state()) {
            (Reachability::Public, _) => Reachability::Public,
            (addresses, Reachability::Unknown) => addresses,
            (_, us) => us,
        };
        if state != self.state {
            self.state = state;
            desk.tell(cx, Event::Reachability(state));
        }
        let oldest = self.us.next_expiry(self.rules);
        let watched = self
            .watch
            .iter()
            .filter_map(|(_, watched)| watched.votes.next_expiry(self.rules));
        let at = watched.chain(oldest).min();
        self.timers.set_or_clear(Timer::Judge, at);
        self.tell(cx);
    }

    fn tell(&mut self, cx: &mut Context<'_>) {
        let mut all = self.watch.tell(cx);
        if self.state != self.told {
            if cx.tell(Fact::Reachability(self.state)).is_ok() {
                self.told = self.state;
            } else {
                all = false;
            }
        }
        let again = (!all).then(|| cx.now + TELL_AGAIN);
        self.timers.set_or_clear(Timer::Tell, again);
    }
}

/// What a server says that agrees with what is believed.
const fn agreed(state: Reachability) -> Option<bool> {
    match state {
        Reachability::Public => Some(true),
        Reachability::Private => Some(false),
        Reachability::Unknown => None,
    }
}

/// Whether a dial back would be let in: one that our own limits refuse says nothing of the way to us.
fn has_room(cx: &Context<'_>) -> bool {
    cx.inbound_room() >= FREE_SLOTS
}

/// A random part of a time.
fn jitter(cx: &mut Context<'_>, most: Duration) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(cx.rng.below(nanos.saturating_add(1)))
}
