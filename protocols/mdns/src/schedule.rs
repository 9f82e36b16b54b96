//! What is to be sent when, on one interface and family.

use crate::{Config, ours::Kinds};
use core::{net::IpAddr, time::Duration};
use libp2p_proto_core::{Deadline, Instant, Rng};

/// The same question or record is not sent more often (RFC 6762, § 5.2 and § 6).
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// How long an answer waits, at random, so that those of many hosts do not come at once (RFC 6762, § 6).
const DELAY: (u64, u64) = (20, 120);
/// How long it waits if more of the question follows (RFC 6762, § 7.2).
const MORE_DELAY: (u64, u64) = (400, 500);
/// Announcements after a change (RFC 6762, § 8.3).
const ANNOUNCEMENTS: u8 = 2;

/// Something to send to the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// Who is there?
    Question,
    /// We are gone, or about to say something else.
    Goodbye,
    /// The whole answer about the service.
    Answer,
    /// Of which services there are.
    Meta,
    /// Single records.
    Records(Kinds),
}

/// The plan.
#[derive(Debug)]
pub(crate) struct Schedule {
    query_at: Instant,
    pause: Duration,
    last_query: Option<Instant>,
    /// Whether the next question was put off already, because somebody else had asked the same.
    put_off: bool,
    wanted: Kinds,
    /// When to say what is wanted.
    answer_at: Option<Instant>,
    /// Who alone wants it.
    asker: Option<IpAddr>,
    /// When each kind was said last.
    said: [Option<Instant>; 5],
    /// Announcements that are left, and when the next one is due.
    announce: Option<(u8, Instant)>,
    /// Whether others may know us from here.
    known: bool,
    /// Whether what was announced before is to be taken back first.
    take_back: bool,
}

impl Schedule {
    /// A link that has just come up: ask soon, announce soon.
    pub(crate) fn new(now: Instant, config: &Config, rng: &mut Rng) -> Self {
        let mut schedule = Self {
            query_at: now + jitter(rng, Duration::ZERO, config.first_query),
            pause: config.query_pause,
            last_query: None,
            put_off: false,
            wanted: Kinds::NONE,
            answer_at: None,
            asker: None,
            said: [None; 5],
            announce: None,
            known: false,
            take_back: false,
        };
        schedule.announce(now, rng);
        schedule
    }

    /// Begins to ask and to announce anew: the network has changed.
    pub(crate) fn restart(&mut self, now: Instant, config: &Config, rng: &mut Rng) {
        self.pause = config.query_pause;
        self.ask(now + jitter(rng, Duration::ZERO, config.first_query));
        self.announce(now, rng);
    }

    /// Plans nothing any more, and remembers when it spoke last.
    pub(crate) fn rest(&mut self) {
        self.want_no_more(self.wanted);
        (self.announce, self.take_back, self.known) = (None, false, false);
    }

    /// Announces twice. What was said before is taken back first: go takes no other addresses from an instance that it knows.
    pub(crate) fn announce(&mut self, now: Instant, rng: &mut Rng) {
        self.take_back |= self.known;
        let at = now + wait(rng, DELAY);
        // Addresses that change all the time are announced all the same.
        let at = self.announce.map_or(at, |(_, before)| before.min(at));
        self.announce = Some((ANNOUNCEMENTS, at));
    }

    /// Whether others may know us from here.
    pub(crate) const fn is_known_to_others(&self) -> bool {
        self.known
    }

    /// Asks again at this time, if not before.
    pub(crate) fn ask(&mut self, at: Instant) {
        let allowed = self.last_query.map_or(at, |last| at.max(last + SECOND));
        self.query_at = self.query_at.min(allowed);
    }

    /// Somebody else has asked what we would ask.
    pub(crate) fn hear_question(&mut self, now: Instant) {
        if !self.put_off && self.query_at < now + SECOND {
            self.query_at = now + SECOND;
            self.put_off = true;
        }
    }

    /// Plans an answer for everybody.
    pub(crate) fn want(&mut self, now: Instant, kinds: Kinds, asker: IpAddr, more: bool, rng: &mut Rng) {
        let delay = wait(rng, if more { MORE_DELAY } else { DELAY });
        let allowed = self.allowed(kinds).unwrap_or(now);
        let at = match self.answer_at {
            Some(at) => at,
            None => now + delay,
        };
        self.asker = match (self.wanted.is_empty(), self.asker) {
            (true, _) => Some(asker),
            (false, Some(other)) if other == asker => Some(asker),
            _ => None,
        };
        self.wanted = self.wanted | kinds;
        self.answer_at = Some(at.max(allowed));
    }

    /// The only one who asked knows us already.
    pub(crate) fn is_known(&mut self, asker: IpAddr) {
        if self.asker == Some(asker) {
            self.want_no_more(Kinds::PTR);
        }
    }

    /// When these kinds were last said to everybody, if all of them were.
    pub(crate) fn all_said_since(&self, kinds: Kinds, since: Instant) -> bool {
        let mut each = Kinds::EACH.into_iter().zip(self.said);
        each.all(|(kind, said)| !kinds.has(kind) || said.is_some_and(|said| said >= since))
    }

    /// What is due. `can_answer`: whether there is anything to say of us here. Each call gives one thing.
    pub(crate) fn pop(
        &mut self,
        now: Instant,
        can_answer: bool,
        config: &Config,
        rng: &mut Rng,
    ) -> Option<Say> {
        self.pop_announcement(now, can_answer)
            .or_else(|| self.pop_answer(now, can_answer))
            .or_else(|| self.pop_question(now, config, rng))
    }

    fn pop_announcement(&mut self, now: Instant, can_answer: bool) -> Option<Say> {
        let (left, at) = self.announce.filter(|(_, at)| *at <= now)?;
        if let Some(allowed) = self.allowed(Kinds::PTR).filter(|allowed| *allowed > at) {
            self.announce = Some((left, allowed));
            return self.pop_announcement(now, can_answer);
        }
        if core::mem::take(&mut self.take_back) {
            self.known = false;
            return Some(Say::Goodbye);
        }
        let left = left.saturating_sub(1);
        self.announce = (left > 0 && can_answer).then(|| (left, now + SECOND));
        can_answer.then(|| self.say_answer(now))
    }

    fn pop_answer(&mut self, now: Instant, can_answer: bool) -> Option<Say> {
        let at = self.answer_at.filter(|at| *at <= now)?;
        if !can_answer {
            self.want_no_more(self.wanted);
            return None;
        }
        if let Some(allowed) = self.allowed(self.wanted).filter(|allowed| *allowed > at) {
            self.answer_at = Some(allowed);
            return self.pop_answer(now, can_answer);
        }
        if self.wanted.has(Kinds::PTR) {
            return Some(self.say_answer(now));
        }
        let kinds = self.wanted;
        self.want_no_more(kinds);
        // A pointer of another name has a packet of its own: js takes the last one of a packet.
        if kinds.has(Kinds::META) {
            let rest = kinds.without(Kinds::META);
            if !rest.is_empty() {
                (self.wanted, self.answer_at) = (rest, Some(at));
            }
            self.note(now, Kinds::META);
            return Some(Say::Meta);
        }
        self.note(now, kinds);
        Some(Say::Records(kinds))
    }

    fn pop_question(&mut self, now: Instant, config: &Config, rng: &mut Rng) -> Option<Say> {
        if self.query_at > now {
            return None;
        }
        self.last_query = Some(now);
        self.put_off = false;
        self.query_at = now + self.pause + jitter(rng, Duration::ZERO, share(self.pause, 20));
        self.pause = self.pause.saturating_mul(2).min(config.max_query_pause);
        Some(Say::Question)
    }

    /// The answer has all that belongs to the service.
    fn say_answer(&mut self, now: Instant) -> Say {
        let all = Kinds::PTR | Kinds::TXT | Kinds::SRV | Kinds::HOST;
        self.known = true;
        self.note(now, all);
        self.want_no_more(all);
        Say::Answer
    }

    fn note(&mut self, now: Instant, kinds: Kinds) {
        for (kind, said) in Kinds::EACH.into_iter().zip(&mut self.said) {
            if kinds.has(kind) {
                *said = Some(now);
            }
        }
    }

    fn want_no_more(&mut self, kinds: Kinds) {
        self.wanted = self.wanted.without(kinds);
        if self.wanted.is_empty() {
            self.answer_at = None;
            self.asker = None;
        }
    }

    fn last_said(&self, kinds: Kinds) -> Option<Instant> {
        let each = Kinds::EACH.into_iter().zip(self.said);
        each.filter(|(kind, _)| kinds.has(*kind))
            .filter_map(|(_, said)| said)
            .max()
    }

    /// When all of these may be said again.
    fn allowed(&self, kinds: Kinds) -> Option<Instant> {
        self.last_said(kinds).map(|last| last + SECOND)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        let answer = self.answer_at.map(|at| Deadline::new(at, "answer"));
        let announce = self.announce.map(|(_, at)| Deadline::new(at, "announce"));
        let query = Some(Deadline::new(self.query_at, "query"));
        Deadline::earliest(query, Deadline::earliest(answer, announce))
    }
}

/// A random time of so many milliseconds.
fn wait(rng: &mut Rng, (from, to): (u64, u64)) -> Duration {
    jitter(rng, Duration::from_millis(from), Duration::from_millis(to))
}

/// A random time between these two, in whole milliseconds above the first.
pub(crate) fn jitter(rng: &mut Rng, from: Duration, to: Duration) -> Duration {
    let span = u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX);
    from.saturating_add(Duration::from_millis(rng.below(span.saturating_add(1))))
}

/// So many hundredths of a time.
pub(crate) fn share(time: Duration, percent: u32) -> Duration {
    time.saturating_mul(percent).checked_div(100).unwrap_or_default()
}
