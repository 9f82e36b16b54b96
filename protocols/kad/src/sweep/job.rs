//! One region being served: its servers are searched, then each of them is sent what it should hold, over one connection, one record after the other.

use super::{Prefix, RETRY};
use crate::{
    Contact, Event, Kad, Key, MessageType,
    kad::Timer,
    query::{Kind, Owner, Sent},
    region::{MAX_BITS, Waiting},
    rpc::{Ask, News, Report, Token},
};
use alloc::{collections::BTreeSet, vec::Vec};
use bytes::Bytes;
use core::ops::Bound;
use libp2p_proto_stream_protocol::Context;

/// So few keys of a region are provided one by one (go-libp2p-kad-dht).
const SINGLY: usize = 2;
/// Servers of one region that are sent records at the same time (go-libp2p-kad-dht).
const CONNECTIONS: usize = 20;
/// A server that failed so often in a row is skipped (go-libp2p-kad-dht).
const MAX_FAILURES: u8 = 2;
/// Of how many servers one must have been reached for a region to count as done (go-libp2p-kad-dht: 20 %).
const ONE_OF: usize = 5;
/// A region with so many times the servers that are needed is cut in two.
const TOO_MANY: usize = 4;

/// A region and all of its servers.
#[derive(Clone, Debug)]
pub(super) struct Explored {
    pub(super) prefix: Prefix,
    servers: Vec<(Contact, Key)>,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) prefix: Prefix,
    /// Whether it is the region's turn; otherwise its keys are new.
    pub(super) periodic: bool,
    /// The new keys. Empty if it is the region's turn: then it is all keys.
    keys: BTreeSet<Key>,
    servers: Vec<Server>,
    /// Keys that are provided one by one, and those that were.
    singly: usize,
    singly_done: usize,
    sent: usize,
}

#[derive(Debug)]
struct Server {
    contact: Contact,
    key: Key,
    /// The key that it was sent last.
    at: Bound<Key>,
    busy: bool,
    done: bool,
    failures: u8,
    reached: bool,
}

impl Kad {
    pub(super) fn begin_job(&mut self, cx: &mut Context<'_>, prefix: Prefix, periodic: bool) {
        let id = self.sweep.next_job;
        self.sweep.next_job = self.sweep.next_job.saturating_add(1);
        let mut job = Job {
            prefix,
            periodic,
            keys: BTreeSet::new(),
            servers: Vec::new(),
            singly: 0,
            singly_done: 0,
            sent: 0,
        };
        if !periodic {
            job.keys = self.sweep.take_fresh(prefix);
        }
        let most = SINGLY.saturating_add(1);
        let few = if periodic {
            self.sweep.keys.range(prefix.range()).take(most).count()
        } else {
            job.keys.len()
        };
        if few <= SINGLY {
            return self.provide_singly(id, job);
        }
        if let Some((bits, servers)) = self
            .full
            .region(&prefix.first, prefix.bits, self.config.replication)
        {
            let prefix = Prefix::of(&prefix.first, bits);
            self.sweep.jobs.insert(id, job);
            return self.serve_region(cx, id, Explored { prefix, servers });
        }
        let known = self.sweep.remembered(cx.now, prefix);
        self.sweep.jobs.insert(id, job);
        match known {
            Some(explored) => self.serve_region(cx, id, explored),
            None => self.search_region(cx, id, prefix),
        }
    }

    fn search_region(&mut self, cx: &mut Context<'_>, job: u64, prefix: Prefix) {
        let region = self.begin_region(prefix.first, prefix.bits, Waiting::Sweep(job));
        self.explore_on(cx, region);
    }

    /// A region is known: it is served if it has enough servers, otherwise one twice as large is searched.
    pub(crate) fn explored(&mut self, cx: &mut Context<'_>, job: u64, region: u64) {
        let too_large = self.region_is_too_large(region);
        let Some((bits, servers)) = self.region_peers(region) else {
            return;
        };
        let Some(prefix) = self.sweep.jobs.get(&job).map(|job| job.prefix) else {
            return;
        };
        if too_large && bits < MAX_BITS {
            return self.cut_up(cx, job, bits);
        }
        if servers.len() < self.config.replication && bits > 0 {
            let less = if servers.is_empty() { 4 } else { 1 };
            return self.search_region(cx, job, Prefix::of(&prefix.first, bits.saturating_sub(less)));
        }
        let explored = Explored {
            prefix: Prefix::of(&prefix.first, bits),
            servers,
        };
        self.sweep.remember(cx.now, &explored);
        self.serve_region(cx, job, explored);
    }

    /// A region has too many servers to be searched: its quarters are served in its place.
    fn cut_up(&mut self, cx: &Context<'_>, id: u64, bits: u16) {
        let Some(mut job) = self.sweep.jobs.remove(&id) else {
            return;
        };
        if job.periodic {
            for quarter in job.prefix.halves().iter().flat_map(Prefix::halves) {
                self.sweep.turns.set(quarter, cx.now);
            }
        } else {
            self.sweep.fresh.append(&mut job.keys);
            self.sweep.least_bits = self.sweep.least_bits.max(bits.saturating_add(2));
        }
        self.wish = true;
    }

    fn serve_region(&mut self, cx: &mut Context<'_>, id: u64, explored: Explored) {
        let more = self.sweep.take_fresh(explored.prefix);
        let Some(job) = self.sweep.jobs.get_mut(&id) else {
            return;
        };
        if !job.periodic {
            job.keys.extend(more);
        }
        job.prefix = explored.prefix;
        let server = |(contact, key)| Server {
            contact,
            key,
            at: Bound::Unbounded,
            busy: false,
            done: false,
            failures: 0,
            reached: false,
        };
        job.servers = explored.servers.into_iter().map(server).collect();
        self.go_on_with(cx, id);
    }

    /// Sends to every server that has nothing under way, as far as there are places; ends the job when all is said.
    fn go_on_with(&mut self, cx: &mut Context<'_>, id: u64) {
        let k = self.config.replication;
        loop {
            let Some(job) = self.sweep.jobs.get(&id) else {
                return;
            };
            let busy = job.servers.iter().filter(|server| server.busy).count();
            let free = job.servers.iter().position(|server| !server.busy && !server.done);
            let Some(place) = free.filter(|_| busy < CONNECTIONS) else {
                if busy == 0 {
                    self.end_job(cx, id);
                }
                return;
            };
            let next = self.sweep.next_for(job, place, k);
            let frame = next.as_ref().map(|(_, multihash)| self.announcement(multihash));
            let Some(job) = self.sweep.jobs.get_mut(&id) else {
                return;
            };
            if frame == Some(None) {
                // Our addresses are gone: later again.
                job.servers.clear();
                return self.end_job(cx, id);
            }
            let Some(server) = job.servers.get_mut(place) else {
                return;
            };
            let (Some((key, _)), Some(Some(frame))) = (next, frame) else {
                server.done = true;
                continue;
            };
            server.at = Bound::Excluded(key);
            server.busy = true;
            let contact = server.contact.clone();
            let ask = Ask {
                token: Token::Sweep(id),
                peer: contact.peer,
                addrs: contact.addrs,
                // It has answered.
                hearsay: false,
                kind: MessageType::AddProvider,
                frame,
                dial: self.config.dial_timeout,
                timeout: self.config.store_timeout,
            };
            self.send(cx, ask);
        }
    }

    pub(crate) fn handle_swept(&mut self, cx: &mut Context<'_>, id: u64, report: Report) {
        let News::Over(result) = report.news else {
            return;
        };
        let Some(job) = self.sweep.jobs.get_mut(&id) else {
            return;
        };
        let by_id = |server: &&mut Server| server.contact.peer == report.peer;
        let Some(server) = job.servers.iter_mut().find(by_id) else {
            return;
        };
        server.busy = false;
        if result.is_ok() {
            server.failures = 0;
            server.reached = true;
            job.sent = job.sent.saturating_add(1);
        } else {
            server.failures = server.failures.saturating_add(1);
            server.done |= server.failures > MAX_FAILURES;
        }
        self.go_on_with(cx, id);
    }

    fn provide_singly(&mut self, id: u64, mut job: Job) {
        let keys: Vec<Bytes> = if job.periodic {
            let keys = self.sweep.keys.range(job.prefix.range());
            keys.map(|(_, key)| Bytes::copy_from_slice(key)).collect()
        } else {
            let keys = job.keys.iter().filter_map(|key| self.sweep.keys.get(key));
            keys.map(|key| Bytes::copy_from_slice(key)).collect()
        };
        for key in keys {
            if let Some(frame) = self.announcement(&key) {
                job.singly = job.singly.saturating_add(1);
                let (sent, fast) = (Sent::default(), None);
                self.begin(key, Kind::Provide { frame, sent, fast }, Owner::Sweep(id));
            }
        }
        if job.singly > 0 {
            self.sweep.jobs.insert(id, job);
        }
    }

    /// The query of one key has ended.
    pub(crate) fn provided_singly(&mut self, cx: &mut Context<'_>, id: u64, sent: usize) {
        let Some(job) = self.sweep.jobs.get_mut(&id) else {
            return;
        };
        job.singly = job.singly.saturating_sub(1);
        job.singly_done = job.singly_done.saturating_add(usize::from(sent > 0));
        job.sent = job.sent.saturating_add(sent);
        if job.singly == 0 {
            self.end_job(cx, id);
        }
    }

    fn end_job(&mut self, cx: &mut Context<'_>, id: u64) {
        let Some(mut job) = self.sweep.jobs.remove(&id) else {
            return;
        };
        // The next one may begin.
        self.wish = true;
        let wanted = job
            .servers
            .iter()
            .filter(|server| server.reached || server.failures > 0);
        let servers = wanted.count();
        let reached = job.servers.iter().filter(|server| server.reached).count();
        let done = job.singly_done > 0 || (reached > 0 && reached.saturating_mul(ONE_OF) >= servers);
        let keys = if job.periodic {
            self.sweep.keys.range(job.prefix.range()).count()
        } else {
            job.keys.len()
        };
        self.emit(
            cx.seq,
            Event::Provided {
                keys,
                servers,
                reached,
                sent: job.sent,
                periodic: job.periodic,
                done,
            },
        );
        if done {
            self.plan_turn(cx, &job);
            return;
        }
        if job.periodic {
            self.sweep.turns.set(job.prefix, cx.now + RETRY);
        } else {
            self.sweep.blocked.insert(job.prefix, cx.now + RETRY);
            job.keys.retain(|key| self.sweep.keys.contains_key(key));
            self.sweep.fresh.append(&mut job.keys);
        }
        self.timers.set(Timer::Regions, cx.now + RETRY);
        self.look_around(cx);
    }

    /// When a region that was served has its next turn. One that has become large is cut in two.
    fn plan_turn(&mut self, cx: &Context<'_>, job: &Job) {
        let (sweep, interval) = (&mut self.sweep, self.config.republish);
        let known = sweep.turns.of(&job.prefix.first);
        if !job.periodic && known.is_some_and(|known| known.bits <= job.prefix.bits) {
            return;
        }
        let large = job.servers.len() > self.config.replication.saturating_mul(TOO_MANY);
        let parts = if large {
            job.prefix.halves().to_vec()
        } else {
            alloc::vec![job.prefix]
        };
        for prefix in parts {
            let at = sweep.turn(cx.now, interval, &self.local_key, prefix);
            sweep.turns.set(prefix, at);
        }
    }
}

impl super::Sweep {
    /// Takes the new keys of a region.
    fn take_fresh(&mut self, prefix: Prefix) -> BTreeSet<Key> {
        let mut taken = self.fresh.split_off(prefix.range().start());
        if let Some(after) = prefix.range().end().next() {
            let mut rest = taken.split_off(&after);
            self.fresh.append(&mut rest);
        }
        taken
    }

    /// The next key that a server should hold, after the one that it was sent last.
    fn next_for(&self, job: &Job, place: usize, k: usize) -> Option<(Key, Bytes)> {
        let server = job.servers.get(place)?;
        let region = job.prefix.range();
        let from = match server.at {
            Bound::Unbounded => Bound::Included(*region.start()),
            other => other,
        };
        let to = Bound::Included(*region.end());
        let holds = |key: &Key| {
            let own = key.distance(&server.key);
            let nearer = |other: &&Server| key.distance(&other.key) < own;
            job.servers.iter().filter(nearer).take(k).count() < k
        };
        let found = |key: &Key, multihash: &[u8]| (*key, Bytes::copy_from_slice(multihash));
        if matches!(from, Bound::Excluded(key) if key >= *region.end()) {
            return None;
        }
        if job.periodic {
            let mut keys = self.keys.range((from, to));
            let next = keys.find(|(key, _)| holds(key))?;
            return Some(found(next.0, next.1));
        }
        let mut keys = job.keys.range((from, to));
        keys.find_map(|key| {
            // Whoever was withdrawn meanwhile is not there any more.
            let multihash = self.keys.get(key)?;
            holds(key).then(|| found(key, multihash))
        })
    }
}
