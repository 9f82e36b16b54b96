//! What a node does for itself: checks of newcomers, refresh, bootstrap, repetition of what it publishes, its mode.

use crate::{
    Contact, Error, Event, Kad, MessageType, Mode, Outcome, QueryError, Record,
    answer::shuffle,
    kad::{Timer, part},
    query::{Kind, Owner, Query, Sent},
    rpc::{Ask, News, Report, Token},
    run,
    size::MIN_LOOKUPS,
    table::Insert,
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, PeerId};
use libp2p_proto_stream_protocol::{Context, Fact, OwnAddresses, Reachability};

/// Failing peers that are remembered, and the longest wait before they are tried again (nim-libp2p).
const MAX_BACKOFFS: usize = 1024;
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// The deepest bucket that is refreshed (go-libp2p-kbucket): an id with a longer prefix costs too many hashes.
const MAX_REFRESHED: u16 = 15;
/// Ids that one drive tries, and that one bucket may cost.
const TRIES: u32 = 2048;
const MAX_ROUNDS: u32 = 256;
/// Wait before the next round.
const ROUND: Duration = Duration::from_millis(1);
/// Bootstrap peers of one attempt, and the time between attempts (go-libp2p-kad-dht).
const BOOTSTRAP_PEERS: usize = 2;
const LOW_MARK_INTERVAL: Duration = Duration::from_secs(120);
/// Newcomers within this time cause one refresh (rust-libp2p).
const THROTTLE: Duration = Duration::from_millis(500);
/// Refreshes after which the peers of the start are kept like everybody else (go-libp2p-kad-dht).
const SETTLED_AFTER: u32 = 2;
/// Time between measurements of a network that grows, at least.
const MEASURE_INTERVAL: Duration = Duration::from_secs(120);
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// Keys that are published again at the same time.
const MAX_PUBLISHING: usize = 8;
/// A key that could not be published for want of an address waits so long.
const PUBLISH_RETRY: Duration = Duration::from_secs(60);
/// Peers that were in the table and could not be reached any more, how many of them a refresh asks again, and how long they are remembered. Without them a network that
/// fell apart for long would stay so: each part has enough peers of its own.
const MAX_LOST: usize = 64;
const LOST_ASKED: usize = 8;
const LOST_AGE: Duration = Duration::from_secs(24 * 3600);
/// Peers that an owner invites.
const MAX_INVITED: usize = 5120;

/// The state of all that.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    started: bool,
    /// The last attempt to reach the bootstrap peers.
    bootstrapped: Instant,
    checks: BTreeSet<PeerId>,
    backoffs: BTreeMap<PeerId, Backoff>,
    /// Who is asked next stands first.
    lost: VecDeque<Lost>,
    pub(crate) invited: VecDeque<Contact>,
    pub(crate) refresh_now: bool,
    walk: Walk,
    publish: Publish,
}

#[derive(Clone, Copy, Debug)]
struct Backoff {
    failures: u32,
    until: Instant,
}

/// A peer that was in the table and could not be reached any more.
#[derive(Clone, Debug)]
struct Lost {
    contact: Contact,
    at: Instant,
    /// How long it had been in the table.
    tenure: Duration,
}

/// The lookups of one refresh: our own id, then buckets.
#[derive(Debug, Default)]
struct Walk {
    left: VecDeque<Step>,
    /// Buckets that this refresh has walked or is about to.
    buckets: u16,
    running: bool,
    rounds: u32,
    wait: Option<Instant>,
    refreshes: u32,
    /// When the network was measured anew before its time, and how many of those lookups are left.
    measured: Instant,
    measure: usize,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Own,
    Bucket(u16),
}

/// What we publish, and when each is due.
#[derive(Debug, Default)]
struct Publish {
    keys: BTreeMap<Bytes, Option<Instant>>,
    values: BTreeMap<Bytes, (Record, Option<Instant>)>,
    due: BTreeSet<(Instant, What, Bytes)>,
    /// Not in `due` yet.
    fresh: Vec<(What, Bytes)>,
    running: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Provider,
    Value,
}

impl Upkeep {
    pub(crate) fn checks(&self) -> usize {
        self.checks.len()
    }

    /// Whether somebody may still come into the table by himself.
    pub(crate) fn has_hope(&self) -> bool {
        !self.started || !self.checks.is_empty() || !self.invited.is_empty()
    }

    pub(crate) fn invite(&mut self, contact: Contact) {
        if self.invited.len() < MAX_INVITED {
            self.invited.push_back(contact);
        }
    }

    pub(crate) fn provides(&self, key: &Bytes) -> bool {
        self.publish.keys.contains_key(key)
    }

    pub(crate) fn publish_key(&mut self, key: &Bytes, max: usize) -> Result<(), Error> {
        if !self.publish.keys.contains_key(key) {
            if self.publish.keys.len() >= max {
                return Err(Error::TooManyKeys);
            }
            self.publish.keys.insert(key.clone(), None);
        }
        self.publish.fresh.push((What::Provider, key.clone()));
        Ok(())
    }

    /// Whether a value may be published besides `more` others that are about to be.
    pub(crate) fn has_room_for_value(&self, key: &Bytes, more: usize, max: usize) -> bool {
        self.publish.values.contains_key(key) || self.publish.values.len().saturating_add(more) < max
    }

    /// A value that was judged is repeated from now on.
    pub(crate) fn publish_value(&mut self, record: &Record) {
        let key = &record.key;
        let due = self.publish.values.get(key).and_then(|(_, due)| *due);
        self.publish.values.insert(key.clone(), (record.clone(), due));
        self.publish.fresh.push((What::Value, key.clone()));
    }

    pub(crate) fn withdraw_key(&mut self, key: &[u8]) {
        if let Some((key, Some(due))) = self.publish.keys.remove_entry(key) {
            self.publish.due.remove(&(due, What::Provider, key));
        }
    }

    /// Answers whether the value was ours.
    pub(crate) fn withdraw_value(&mut self, key: &[u8]) -> bool {
        let Some((key, (_, due))) = self.publish.values.remove_entry(key) else {
            return false;
        };
        if let Some(due) = due {
            self.publish.due.remove(&(due, What::Value, key));
        }
        true
    }

    /// A check failed: the next one of this peer waits, twice as long each time.
    fn back_off(&mut self, now: Instant, peer: PeerId) {
        if self.backoffs.len() >= MAX_BACKOFFS && !self.backoffs.contains_key(&peer) {
            let soonest = self.backoffs.iter().min_by_key(|(_, known)| known.until);
            if let Some(soonest) = soonest.map(|(peer, _)| *peer) {
                self.backoffs.remove(&soonest);
            }
        }
        let known = self.backoffs.entry(peer).or_insert(Backoff {
            failures: 0,
            until: now,
        });
        let wait =
            Duration::from_secs(1).saturating_mul(1_u32.checked_shl(known.failures).unwrap_or(u32::MAX));
        known.failures = known.failures.saturating_add(1).min(16);
        known.until = now + wait.min(MAX_BACKOFF);
    }

    /// Remembers a peer that was lost; of too many, those that were here longest.
    fn remember(&mut self, lost: Lost) {
        // One that comes and goes has one place.
        self.lost.retain(|known| known.contact.peer != lost.contact.peer);
        if self.lost.len() >= MAX_LOST {
            let least = self.lost.iter().map(|known| known.tenure).min();
            if least.is_some_and(|least| least >= lost.tenure) {
                return;
            }
            self.lost.retain(|known| Some(known.tenure) != least);
        }
        self.lost.push_back(lost);
    }

    fn may_check(&self, now: Instant, peer: &PeerId) -> bool {
        self.backoffs.get(peer).is_none_or(|known| known.until <= now)
    }
}

/// Where others reach us, and whether they do.
#[derive(Debug, Default)]
pub(crate) struct Ourselves {
    own: OwnAddresses,
    reachability: Reachability,
}

impl Ourselves {
    pub(crate) fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::Reachability(reachability) => self.reachability = reachability,
            other => {
                let _changed = self.own.learn(&other);
            }
        }
    }

    /// Our addresses that pass, confirmed ones first.
    pub(crate) fn addrs(&self, filter: impl Fn(&Multiaddr) -> bool) -> Vec<Multiaddr> {
        let passing = self.own.all().filter(|addr| filter(addr));
        passing.take(crate::wire::MAX_ADDRS).cloned().collect()
    }

    /// Whether others can reach us: as probes say, or because an address of ours was confirmed.
    fn reachability(&self, filter: impl Fn(&Multiaddr) -> bool) -> Reachability {
        match self.reachability {
            Reachability::Unknown if self.own.confirmed().any(filter) => Reachability::Public,
            known => known,
        }
    }
}

impl Kad {
    /// Begins or ceases to answer others, as mode and reachability say.
    pub(crate) fn update_mode(&mut self, cx: &mut Context<'_>) {
        let reachability = self.ourselves.reachability(self.filters.admitted);
        let serving = match self.config.mode {
            Mode::Client => false,
            Mode::Server => true,
            Mode::Auto => reachability == Reachability::Public,
            Mode::AutoServer => reachability != Reachability::Private,
        };
        if serving == self.serving {
            return;
        }
        self.serving = serving;
        let max = if serving { self.config.max_inbound } else { 0 };
        // The spec is ours.
        let _known = cx.set_inbound(crate::rpc::SPEC, max);
        if !serving {
            self.server.reset_all(cx);
        }
        self.emit(cx.seq, Event::Serving(serving));
    }

    /// Whatever is to be begun: the start itself, invitations, the next lookup of a refresh, times of what is published.
    pub(crate) fn look_after(&mut self, cx: &mut Context<'_>) {
        if !self.upkeep.started {
            self.upkeep.started = true;
            self.timers.set(Timer::LowMark, cx.now);
            self.timers.set(Timer::Sweep, cx.now + SWEEP_INTERVAL);
            self.plan_refresh(cx);
            self.upkeep_due_now(cx);
            if self.config.full_table {
                self.timers.set(Timer::Crawl, cx.now);
            }
        }
        while self.upkeep.checks.len() < self.config.max_checks {
            let Some(contact) = self.upkeep.invited.pop_front() else {
                break;
            };
            self.check(cx, contact);
        }
        if core::mem::take(&mut self.upkeep.refresh_now) {
            self.begin_refresh(cx);
        }
        self.walk_on(cx);
        self.sweep_on(cx);
        for (what, key) in core::mem::take(&mut self.upkeep.publish.fresh) {
            self.plan_publish(what, key, cx.now + self.config.republish);
        }
    }

    fn upkeep_due_now(&mut self, cx: &mut Context<'_>) {
        if self.timers.get(Timer::LowMark) == Some(cx.now) {
            self.upkeep_due(cx, Timer::LowMark);
        }
    }

    pub(crate) fn upkeep_due(&mut self, cx: &mut Context<'_>, timer: Timer) {
        match timer {
            Timer::Refresh => {
                self.plan_refresh(cx);
                self.begin_refresh(cx);
            }
            Timer::LowMark => {
                self.timers.set(Timer::LowMark, cx.now + LOW_MARK_INTERVAL);
                if self.table.len() < self.config.low_mark {
                    self.upkeep.bootstrapped = cx.now;
                    self.bootstrap(cx);
                }
            }
            Timer::Sweep => {
                self.timers.set(Timer::Sweep, cx.now + SWEEP_INTERVAL);
                self.store
                    .sweep(cx.now, self.config.value_age, self.config.provider_age);
            }
            Timer::Walk => self.upkeep.walk.wait = None,
            Timer::Publish => self.publish_due(cx),
            Timer::Region(id) => self.explore_on(cx, id),
            Timer::Crawl => self.crawl_on(cx),
            Timer::Probe => self.probe(cx),
            // Regions that are due begin after every input.
            Timer::Regions | Timer::Query(_) | Timer::Content(_) => {}
        }
    }

    /// The next refresh: about an interval from now, so that nodes that started together part.
    fn plan_refresh(&mut self, cx: &mut Context<'_>) {
        let Some(interval) = self.config.refresh_interval else {
            return;
        };
        let spread = u64::try_from(part(interval, 5).as_millis()).unwrap_or(u64::MAX);
        let extra = Duration::from_millis(cx.rng.below(spread.saturating_add(1)));
        let at = cx.now + interval.saturating_sub(part(interval, 10)) + extra;
        self.timers.set(Timer::Refresh, at);
    }

    fn begin_refresh(&mut self, cx: &mut Context<'_>) {
        self.ask_the_silent(cx);
        self.ask_the_lost(cx);
        if self.table.is_empty() {
            return;
        }
        self.upkeep.walk.refreshes = self.upkeep.walk.refreshes.saturating_add(1);
        if self.upkeep.walk.refreshes > SETTLED_AFTER {
            self.table.settle();
        }
        self.upkeep.walk.left = VecDeque::from([Step::Own]);
        self.upkeep.walk.buckets = 0;
        self.plan_buckets();
    }

    /// Adds the buckets that the table has, as far as this refresh has not walked them.
    fn plan_buckets(&mut self) {
        let deepest = self.table.deepest().unwrap_or(0).min(MAX_REFRESHED);
        let mut last = deepest;
        for prefix in 0..=deepest {
            if self.table.in_bucket(prefix) == 0 {
                // Behind a gap not all is worth a walk, and beyond the deepest peer nothing is: the walk to our own place has seen it.
                last = prefix.saturating_add(1).saturating_mul(2).min(deepest);
                break;
            }
        }
        let walk = &mut self.upkeep.walk;
        let more = walk.buckets..last.saturating_add(1);
        walk.left.extend(more.clone().map(Step::Bucket));
        walk.buckets = walk.buckets.max(more.end);
    }

    /// Begins the next lookup of a refresh, when the last one is over.
    fn walk_on(&mut self, cx: &mut Context<'_>) {
        let walk = &mut self.upkeep.walk;
        if walk.running || walk.wait.is_some() {
            return;
        }
        let Some(step) = walk.left.front().copied() else {
            return;
        };
        let target = match step {
            Step::Own => self.local,
            Step::Bucket(prefix) => {
                walk.rounds = walk.rounds.saturating_add(1);
                match run::target_in(cx, &self.local_key, prefix, TRIES) {
                    Some(target) => target,
                    None if walk.rounds < MAX_ROUNDS => {
                        walk.wait = Some(cx.now + ROUND);
                        self.timers.set(Timer::Walk, cx.now + ROUND);
                        return;
                    }
                    None => self.local,
                }
            }
        };
        walk.left.pop_front();
        walk.rounds = 0;
        walk.running = true;
        // As many lookups of each refresh are complete as an estimate of the network's size needs.
        let recent = self
            .config
            .refresh_interval
            .map_or(Duration::MAX, |interval| part(interval, 2));
        let measures = self.upkeep.walk.measure > 0 || self.sizes.is_stale(cx.now, recent);
        self.upkeep.walk.measure = self.upkeep.walk.measure.saturating_sub(1);
        let owner = Owner::Walk { measures };
        self.begin(Bytes::copy_from_slice(target.as_bytes()), Kind::Closest, owner);
    }

    /// Looks up some keys before the next refresh if the network has outgrown the estimate of its size.
    fn measure_again(&mut self, cx: &Context<'_>) {
        let walk = &self.upkeep.walk;
        let late = cx.now.since(walk.measured) >= MEASURE_INTERVAL;
        if !late || walk.running || !walk.left.is_empty() || self.config.refresh_interval.is_none() {
            return;
        }
        let k = self.config.replication;
        let nearest = self.table.closest(&self.local_key, k, |_| true);
        let Some(farthest) = nearest.last().filter(|_| nearest.len() >= k) else {
            return;
        };
        let distance = self.local_key.distance(&farthest.key);
        if self.sizes.is_outgrown(cx.now, &distance) {
            let walk = &mut self.upkeep.walk;
            walk.measured = cx.now;
            walk.measure = MIN_LOOKUPS;
            // Far from us, where most of the network is.
            walk.left.extend([0, 1, 0, 2, 0].map(Step::Bucket));
        }
    }

    /// A query of our own is over.
    pub(crate) fn upkeep_ended(
        &mut self,
        cx: &mut Context<'_>,
        query: &Query,
        result: Result<Outcome, QueryError>,
    ) {
        if let Err(QueryError::BadRecord(_) | QueryError::OldRecord) = result {
            // It has expired, or somebody has published a better one: it is not repeated any more.
            let _ours = self.upkeep.withdraw_value(&query.key);
        }
        match query.owner {
            Owner::Walk { .. } => {
                self.upkeep.walk.running = false;
                if self.upkeep.walk.left.is_empty() {
                    // A table that has grown deeper meanwhile is walked to its new depth.
                    self.plan_buckets();
                }
                self.walk_on(cx);
            }
            Owner::Publish => {
                self.upkeep.publish.running = self.upkeep.publish.running.saturating_sub(1);
                self.set_publish_timer();
            }
            Owner::Region(id) => self.region_looked_up(cx, id, query),
            Owner::Sweep(job) => {
                let sent = match result {
                    Ok(Outcome::Sent { peers, .. }) => peers,
                    _ => 0,
                };
                self.provided_singly(cx, job, sent);
            }
            Owner::Probe => self.probed(cx, query.effort.answered > 0),
            Owner::Application => {}
        }
    }

    /// Peers that were silent for long are asked; those that do not answer leave.
    fn ask_the_silent(&mut self, cx: &mut Context<'_>) {
        let grace = self.config.grace;
        let silent: Vec<Contact> = self
            .table
            .iter()
            .filter(|known| cx.now.since(known.seen) >= grace)
            .map(|known| Contact {
                peer: known.peer,
                addrs: known.addrs.clone(),
            })
            .collect();
        for contact in silent {
            self.check(cx, contact);
        }
    }

    /// Peers that could not be reached any more are asked again, some at each refresh.
    fn ask_the_lost(&mut self, cx: &mut Context<'_>) {
        self.upkeep
            .lost
            .retain(|known| cx.now.since(known.at) < LOST_AGE && !self.table.contains(&known.contact.peer));
        for _ in 0..LOST_ASKED.min(self.upkeep.lost.len()) {
            let Some(lost) = self.upkeep.lost.pop_front() else {
                break;
            };
            let contact = lost.contact.clone();
            self.upkeep.lost.push_back(lost);
            self.upkeep.backoffs.remove(&contact.peer);
            self.check(cx, contact);
        }
    }

    fn bootstrap(&mut self, cx: &mut Context<'_>) {
        let mut peers: Vec<Contact> = Vec::new();
        for addr in &self.config.bootstrap {
            let (addr, Some(peer)) = addr.split_peer_id() else {
                continue;
            };
            match peers.iter_mut().find(|known| known.peer == peer) {
                Some(known) => known.addrs.extend(addr),
                None => peers.push(Contact {
                    peer,
                    addrs: addr.into_iter().collect(),
                }),
            }
        }
        peers.retain(|known| known.peer != self.local && !self.table.contains(&known.peer));
        shuffle(&mut peers, cx);
        for contact in peers.into_iter().take(BOOTSTRAP_PEERS) {
            self.upkeep.backoffs.remove(&contact.peer);
            self.check(cx, contact);
        }
    }

    /// Asks a peer for the peers near itself: whoever answers that works.
    pub(crate) fn check(&mut self, cx: &mut Context<'_>, contact: Contact) {
        let peer = contact.peer;
        let full = self.upkeep.checks.len() >= self.config.max_checks;
        if full
            || peer == self.local
            || !self.upkeep.may_check(cx.now, &peer)
            || !self.upkeep.checks.insert(peer)
        {
            return;
        }
        let ask = Ask {
            token: Token::Check,
            peer,
            addrs: contact.addrs,
            hearsay: false,
            kind: MessageType::FindNode,
            frame: run::check_frame(&peer),
            dial: self.config.dial_timeout,
            timeout: self.config.reply_timeout,
        };
        self.send(cx, ask);
    }

    pub(crate) fn handle_check(&mut self, cx: &mut Context<'_>, report: Report) {
        let News::Over(result) = report.news else {
            return;
        };
        let peer = report.peer;
        self.upkeep.checks.remove(&peer);
        let small = self.table.len() < self.config.replication;
        let works =
            result.is_ok_and(|answer| answer.is_some_and(|answer| small || !answer.closer.is_empty()));
        if works {
            self.upkeep.backoffs.remove(&peer);
            self.admit(cx, peer);
        } else {
            self.upkeep.back_off(cx.now, peer);
            self.lose(cx, &peer);
        }
        if !self.upkeep.has_hope() {
            self.wake_waiting();
        }
    }

    /// Queries that wait for the first peer look again.
    fn wake_waiting(&mut self) {
        let waiting = self.queries.values().filter(|query| query.is_waiting());
        self.ready.extend(waiting.map(|query| query.id));
    }

    /// A peer that answered us comes into the table, if it has an address of this network.
    pub(crate) fn admit(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        self.table.saw(cx.now, &peer);
        let addrs = self.addrs_of(&peer);
        // An answer that was on its way does not bring back who has ceased to serve.
        let asks_only = self.known.get(&peer).is_some_and(|known| known.asks_only);
        if peer == self.local || asks_only || !addrs.iter().any(self.filters.admitted) {
            return;
        }
        let first = self.table.is_empty();
        let replaceable = self.upkeep.walk.refreshes <= SETTLED_AFTER;
        match self.table.insert(cx.now, Contact { peer, addrs }, replaceable) {
            Insert::Added => {
                self.added(cx, peer);
                self.measure_again(cx);
            }
            Insert::Replaced(out) => {
                self.removed(cx, out);
                self.added(cx, peer);
            }
            Insert::Waits(oldest) => {
                let addrs = self.addrs_of(&oldest);
                self.check(cx, Contact { peer: oldest, addrs });
            }
            Insert::Renewed | Insert::Full | Insert::Crowded | Insert::OwnId => {}
        }
        if first && !self.table.is_empty() {
            self.wake_waiting();
            let soon = cx.now + THROTTLE;
            let late = self.timers.get(Timer::Refresh).is_none_or(|at| at > soon);
            if late && self.config.refresh_interval.is_some() {
                self.timers.set(Timer::Refresh, soon);
            }
        }
    }

    /// A peer that failed leaves the table, and is remembered.
    pub(crate) fn lose(&mut self, cx: &mut Context<'_>, peer: &PeerId) {
        if let Some(known) = self.table.get(peer) {
            let lost = Lost {
                contact: Contact {
                    peer: *peer,
                    addrs: known.addrs.clone(),
                },
                at: cx.now,
                tenure: cx.now.since(known.added),
            };
            self.upkeep.remember(lost);
        }
        self.dismiss(cx, peer);
    }

    /// A peer that no longer belongs here leaves the table.
    pub(crate) fn dismiss(&mut self, cx: &mut Context<'_>, peer: &PeerId) {
        let (gone, came) = self.table.remove(cx.now, peer);
        if gone {
            self.removed(cx, *peer);
        }
        if let Some(newcomer) = came {
            self.added(cx, newcomer);
        }
        if gone && self.table.len() < self.config.low_mark && !self.config.bootstrap.is_empty() {
            // Now, if the last attempt is an interval ago.
            let at = cx.now.max(self.upkeep.bootstrapped + LOW_MARK_INTERVAL);
            if self.timers.get(Timer::LowMark).is_none_or(|due| due > at) {
                self.timers.set(Timer::LowMark, at);
            }
        }
    }

    fn added(&mut self, cx: &Context<'_>, peer: PeerId) {
        self.stats.admitted = self.stats.admitted.saturating_add(1);
        let prefix = self.table.prefix(&peer).unwrap_or(0);
        self.emit(cx.seq, Event::Added { peer, prefix });
    }

    fn removed(&mut self, cx: &Context<'_>, peer: PeerId) {
        self.stats.removed = self.stats.removed.saturating_add(1);
        self.emit(cx.seq, Event::Removed { peer });
    }

    /// A peer says whether it speaks our protocol.
    pub(crate) fn handle_protocols(&mut self, cx: &mut Context<'_>, peer: PeerId, serves: bool) {
        if let Some(known) = self.known.get_mut(&peer) {
            known.asks_only = !serves;
        }
        if !serves {
            self.dismiss(cx, &peer);
        } else if !self.table.contains(&peer) && self.known.contains_key(&peer) {
            let addrs = self.addrs_of(&peer);
            let contact = Contact { peer, addrs };
            // Whoever comes to a full bucket is not worth a request.
            if self.table.may_take(cx.now, &contact) {
                self.check(cx, contact);
            }
        }
    }

    fn plan_publish(&mut self, what: What, key: Bytes, at: Instant) {
        let publish = &mut self.upkeep.publish;
        let slot = match what {
            What::Provider => publish.keys.get_mut(&key),
            What::Value => publish.values.get_mut(&key).map(|(_, due)| due),
        };
        // Withdrawn meanwhile.
        let Some(slot) = slot else {
            return;
        };
        if let Some(old) = slot.replace(at) {
            publish.due.remove(&(old, what, key.clone()));
        }
        publish.due.insert((at, what, key));
        self.set_publish_timer();
    }

    fn set_publish_timer(&mut self) {
        let publish = &self.upkeep.publish;
        let next = publish.due.first().map(|(at, ..)| *at);
        let at = next.filter(|_| publish.running < MAX_PUBLISHING);
        self.timers.set_or_clear(Timer::Publish, at);
    }

    /// Sends again what is due, a few keys at a time.
    fn publish_due(&mut self, cx: &mut Context<'_>) {
        while self.upkeep.publish.running < MAX_PUBLISHING {
            let first = self.upkeep.publish.due.first();
            let Some((_, what, key)) = first.filter(|(at, ..)| *at <= cx.now).cloned() else {
                break;
            };
            let kind = match what {
                What::Provider => self.announcement(&key).map(|frame| Kind::Provide {
                    frame,
                    sent: Sent::default(),
                    fast: None,
                }),
                What::Value => self.upkeep.publish.values.get(&key).map(|(record, _)| Kind::Put {
                    record: record.clone(),
                    sent: Sent::default(),
                }),
            };
            let wait = if kind.is_some() {
                self.config.republish
            } else {
                PUBLISH_RETRY
            };
            self.plan_publish(what, key.clone(), cx.now + wait);
            if let Some(kind) = kind {
                self.upkeep.publish.running = self.upkeep.publish.running.saturating_add(1);
                self.begin(key, kind, Owner::Publish);
            }
        }
        self.set_publish_timer();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p_proto_core::Rng;

    #[test]
    fn a_lost_peer_has_one_place_and_of_too_many_those_stay_that_were_here_longest() {
        let mut dice = Rng::from_seed([3; 32]);
        let mut lose = |upkeep: &mut Upkeep, peer: Option<PeerId>, tenure: u64| {
            let peer = peer.unwrap_or_else(|| PeerId::random(&mut dice));
            upkeep.remember(Lost {
                contact: Contact {
                    peer,
                    addrs: Vec::new(),
                },
                at: Instant::ZERO,
                tenure: Duration::from_secs(tenure),
            });
            peer
        };
        let mut upkeep = Upkeep::default();
        let first = lose(&mut upkeep, None, 100);
        let flapping = lose(&mut upkeep, None, 1);
        for _ in 0..1000 {
            lose(&mut upkeep, Some(flapping), 1);
        }
        assert_eq!(upkeep.lost.len(), 2);
        for tenure in 2..200 {
            lose(&mut upkeep, None, tenure);
        }
        let has = |peer| upkeep.lost.iter().any(|known| known.contact.peer == peer);
        assert_eq!(upkeep.lost.len(), MAX_LOST);
        assert!(!has(first) && !has(flapping));
        let least = upkeep.lost.iter().map(|known| known.tenure).min();
        assert_eq!(least, Some(Duration::from_secs(136)));
    }
}
