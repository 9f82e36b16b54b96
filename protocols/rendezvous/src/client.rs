//! What we ask of rendezvous points: to be registered, and who is.

use crate::{
    Config, DEFAULT_TTL, Error, Failure, Found, MAX_NAMESPACE, Message, QueryId, Registration, Status,
};
use alloc::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
    vec::Vec,
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, PeerId, Timers};
use libp2p_proto_identity::{Dialect, PeerRecord};

/// Bytes of a cookie that is kept (nim keeps less than 1 000).
const MAX_COOKIE: usize = 1000;

/// A registration that we hold, or want.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) point: PeerId,
    pub(crate) namespace: Arc<str>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// To be asked for by the next drive, or when the time of a pause is over.
    Due,
    /// The point is being dialed, or has been asked.
    Asking,
    /// Granted until then.
    Held(Instant),
    /// It failed, and is tried again after a pause.
    Paused,
}

/// A question who is registered.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) point: PeerId,
    pub(crate) namespace: Arc<str>,
    pub(crate) limit: Option<u64>,
}

#[derive(Debug)]
struct Seen {
    id: u64,
    seq: u64,
}

/// Everything that we want of points, by a number of its own.
#[derive(Debug, Default)]
pub(crate) struct Client {
    last: u64,
    pub(crate) own: BTreeMap<u64, Own>,
    pub(crate) questions: BTreeMap<u64, Question>,
    /// When each registration of ours is asked for again.
    pub(crate) due: Timers<u64>,
    /// Points that read records of the RFC's dialect only.
    rfc: BTreeSet<PeerId>,
    /// Where the last answer of a point for a namespace ended.
    cookies: BTreeMap<(PeerId, Arc<str>), Bytes>,
    seen: BTreeMap<(Arc<str>, PeerId), Seen>,
    by_id: BTreeMap<u64, (Arc<str>, PeerId)>,
    expiries: Timers<u64>,
}

impl Client {
    fn next_id(&mut self) -> u64 {
        self.last = self.last.saturating_add(1);
        self.last
    }

    fn find(&self, point: &PeerId, namespace: &str) -> Option<u64> {
        let found = self
            .own
            .iter()
            .find(|(_, own)| own.point == *point && *own.namespace == *namespace);
        found.map(|(id, _)| *id)
    }

    /// Wants a registration, or another life for one.
    pub(crate) fn register(
        &mut self,
        config: &Config,
        point: PeerId,
        namespace: &str,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        if namespace.is_empty() || namespace.len() > MAX_NAMESPACE {
            return Err(Error::BadNamespace);
        }
        if let Some(own) = self.find(&point, namespace).and_then(|id| self.own.get_mut(&id)) {
            own.ttl = ttl;
            own.phase = Phase::Due;
            return Ok(());
        }
        if self.own.len() >= config.max_own {
            return Err(Error::TooManyRequests);
        }
        let id = self.next_id();
        let own = Own {
            point,
            namespace: namespace.into(),
            ttl,
            phase: Phase::Due,
        };
        self.own.insert(id, own);
        Ok(())
    }

    /// Forgets exactly this registration; says whether there was one.
    pub(crate) fn unregister(&mut self, point: &PeerId, namespace: &str) -> Option<Own> {
        let id = self.find(point, namespace)?;
        self.forget(id)
    }

    pub(crate) fn forget(&mut self, id: u64) -> Option<Own> {
        self.due.clear(id);
        self.own.remove(&id)
    }

    /// The next registration that is to be asked for now.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<u64> {
        while let Some(id) = self.due.pop_due(now) {
            if let Some(own) = self.own.get_mut(&id) {
                own.phase = Phase::Due;
            }
        }
        let due = self.own.iter().find(|(_, own)| own.phase == Phase::Due);
        due.map(|(id, _)| *id)
    }

    pub(crate) fn is_due(&self) -> bool {
        self.own.values().any(|own| own.phase == Phase::Due)
    }

    /// What others should know of us has changed: every registration is asked for again.
    pub(crate) fn renew_all(&mut self) {
        for own in self.own.values_mut().filter(|own| own.phase != Phase::Asking) {
            own.phase = Phase::Due;
        }
    }

    /// A point is connected again: what failed or has lapsed meanwhile is asked for at once.
    pub(crate) fn renew_lapsed(&mut self, now: Instant, point: &PeerId) {
        for own in self.own.values_mut().filter(|own| own.point == *point) {
            let lapsed = match own.phase {
                Phase::Held(until) => until <= now,
                Phase::Paused => true,
                Phase::Due | Phase::Asking => false,
            };
            if lapsed {
                own.phase = Phase::Due;
            }
        }
    }

    /// The form of record that this point is known to read.
    pub(crate) fn dialect_of(&self, point: &PeerId) -> Dialect {
        if self.rfc.contains(point) {
            Dialect::Rfc
        } else {
            Dialect::Deployed
        }
    }

    /// A point has granted a registration under this form of record. Answers what it grants.
    pub(crate) fn granted(
        &mut self,
        now: Instant,
        config: &Config,
        id: u64,
        dialect: Dialect,
        ttl: Option<u64>,
    ) -> Option<(PeerId, Arc<str>, Duration)> {
        let own = self.own.get_mut(&id)?;
        let ttl = ttl.map(Duration::from_secs).or(own.ttl).unwrap_or(DEFAULT_TTL);
        let ttl = ttl.min(config.max_ttl);
        let again = ttl.saturating_mul(3).checked_div(4).unwrap_or(ttl);
        own.phase = Phase::Held(now + ttl);
        self.due.set(id, now + again.max(config.retry));
        let (point, namespace) = (own.point, own.namespace.clone());
        if dialect == Dialect::Rfc && self.rfc.len() < config.max_discovered {
            self.rfc.insert(point);
        }
        Some((point, namespace, ttl))
    }

    /// A registration has failed: it pauses, or is given up. Answers the pause.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        config: &Config,
        id: u64,
        failure: Failure,
    ) -> Option<(PeerId, Arc<str>, Option<Duration>)> {
        if failure.may_pass() {
            let own = self.own.get_mut(&id)?;
            own.phase = Phase::Paused;
            self.due.set(id, now + config.retry);
            return Some((own.point, own.namespace.clone(), Some(config.retry)));
        }
        let own = self.forget(id)?;
        Some((own.point, own.namespace, None))
    }

    pub(crate) fn ask(
        &mut self,
        point: PeerId,
        namespace: &str,
        limit: Option<u64>,
    ) -> Result<QueryId, Error> {
        if namespace.len() > MAX_NAMESPACE {
            return Err(Error::BadNamespace);
        }
        let id = self.next_id();
        let question = Question {
            point,
            namespace: namespace.into(),
            limit,
        };
        self.questions.insert(id, question);
        Ok(QueryId(id))
    }

    /// The message of a question: it goes on where the last answer ended.
    pub(crate) fn question(&self, config: &Config, id: u64) -> Option<(PeerId, Message)> {
        let question = self.questions.get(&id)?;
        let key = (question.point, question.namespace.clone());
        let most = u64::try_from(config.max_answer).unwrap_or(u64::MAX);
        let message = Message::Discover {
            namespace: question.namespace.clone(),
            limit: Some(question.limit.unwrap_or(most).min(most)),
            cookie: self.cookies.get(&key).cloned().unwrap_or_default(),
        };
        Some((question.point, message))
    }

    /// The answer to a question: every registration is judged on its own.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        config: &Config,
        question: &Question,
        answer: Message,
    ) -> Result<Vec<Found>, Failure> {
        let Message::DiscoverResponse {
            status,
            registrations,
            cookie,
        } = answer
        else {
            return Err(Failure::BadAnswer);
        };
        let key = (question.point, question.namespace.clone());
        if status != Status::Ok {
            if status == Status::InvalidCookie {
                self.cookies.remove(&key);
            }
            return Err(Failure::Refused(status));
        }
        let room = self.cookies.len() < config.max_discovered || self.cookies.contains_key(&key);
        if room && (1..=MAX_COOKIE).contains(&cookie.len()) {
            self.cookies.insert(key, cookie);
        } else {
            self.cookies.remove(&key);
        }
        let mut found: BTreeMap<(Arc<str>, PeerId), Found> = BTreeMap::new();
        for registration in registrations {
            let Some(new) = judge(config, &question.namespace, registration) else {
                continue;
            };
            match found.entry((new.namespace.clone(), new.peer)) {
                Entry::Occupied(mut old) => {
                    if (new.seq, new.ttl) > (old.get().seq, old.get().ttl) {
                        old.insert(new);
                    }
                }
                Entry::Vacant(free) => {
                    free.insert(new);
                }
            }
        }
        // An old record that is repeated does not take the place of the newer one that we know.
        let known = |found: &Found| {
            let seen = self.seen.get(&(found.namespace.clone(), found.peer));
            seen.is_none_or(|seen| found.seq >= seen.seq)
        };
        let found: Vec<Found> = found.into_values().filter(known).collect();
        for found in &found {
            self.see(now, config, found);
        }
        Ok(found)
    }

    fn see(&mut self, now: Instant, config: &Config, found: &Found) {
        let key = (found.namespace.clone(), found.peer);
        let known = self.seen.get(&key).map(|seen| seen.id);
        if known.is_none() && self.seen.len() >= config.max_discovered {
            return;
        }
        let id = known.unwrap_or_else(|| self.next_id());
        self.by_id.insert(id, key.clone());
        self.seen.insert(key, Seen { id, seq: found.seq });
        self.expiries.set(id, now + found.ttl);
    }

    /// Forgets the next discovered peer whose registration is over.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(Arc<str>, PeerId)> {
        let id = self.expiries.pop_due(now)?;
        let key = self.by_id.remove(&id)?;
        self.seen.remove(&key);
        Some(key)
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let expiry = self.expiries.next().map(|(at, _)| at);
        let due = self.due.next().map(|(at, _)| at);
        [expiry, due].into_iter().flatten().min()
    }

    pub(crate) fn discovered(&self) -> usize {
        self.seen.len()
    }
}

/// A registration of an answer, if it is one: a record that its peer signed, under the namespace that was asked for.
fn judge(config: &Config, asked: &str, registration: Registration) -> Option<Found> {
    let Registration {
        namespace,
        record,
        ttl,
    } = registration;
    let fits = namespace.len() <= MAX_NAMESPACE && (asked.is_empty() || *namespace == *asked);
    if !fits || record.len() > config.max_record {
        return None;
    }
    let record = PeerRecord::open(&record).ok()?;
    let ttl = ttl.map_or(DEFAULT_TTL, Duration::from_secs).min(config.max_ttl);
    let mut addrs = record.addrs().to_vec();
    addrs.truncate(config.max_addrs);
    Some(Found {
        namespace,
        peer: record.peer_id(),
        addrs,
        seq: record.seq(),
        ttl,
    })
}
