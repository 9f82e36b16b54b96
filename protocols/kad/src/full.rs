//! The full table: every server of the network, found by a crawl now and then, so that the nearest peers of a key are known without a lookup.

use crate::{
    Contact, Event, Kad, Key, MessageType, Outcome, QueryError, QueryId,
    address::Group,
    kad::Timer,
    query::{Kind, Owner, Phase, Query, Reach},
    rpc::{Ask, News, Report, Token},
    run,
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_stream_protocol::Context;

/// For each step of a request of the full table (go-libp2p-kad-dht `fullrt`).
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// A record that three of ten have taken is waited for as long as this brings one more (go-libp2p-kad-dht `fullrt`).
const BRINGS_ONE_MORE: Duration = Duration::from_millis(500);
/// Targets of one peer: shared prefixes of 0 to 15 bits with it (go-libp2p-kad-dht `crawler`).
const DEPTH: u16 = 16;
/// Targets that one drive tries, and the wait before the next round.
const TRIES: u32 = 4096;
const ROUND: Duration = Duration::from_millis(1);
/// The deepest region that is looked at for the nearest peers of a key.
const DEEPEST: u16 = 32;
/// A crawl that found nobody is repeated after this.
const RETRY: Duration = Duration::from_secs(60);

/// For each prefix of [`DEPTH`] bits a number whose multihash form lies there: 256 KiB, made once, a round at a time.
#[derive(Debug, Default)]
struct Targets {
    numbers: Vec<u32>,
    missing: usize,
    next: u32,
}

impl Targets {
    /// What lies where, if the work is done.
    fn grow(&mut self) -> bool {
        let all = 1_usize << DEPTH;
        if self.numbers.is_empty() {
            self.numbers = alloc::vec![u32::MAX; all];
            self.missing = all;
        }
        for _ in 0..TRIES {
            if self.missing == 0 {
                break;
            }
            let place = Self::prefix(&Key::of(&Self::bytes(self.next)));
            if let Some(slot) = self.numbers.get_mut(place).filter(|slot| **slot == u32::MAX) {
                *slot = self.next;
                self.missing = self.missing.saturating_sub(1);
            }
            self.next = self.next.saturating_add(1);
        }
        self.missing == 0
    }

    fn prefix(key: &Key) -> usize {
        let [first, second, ..] = *key.as_bytes();
        usize::from(u16::from_be_bytes([first, second]))
    }

    /// Head and length of a SHA-256 multihash, then the number, then zeros.
    fn bytes(number: u32) -> [u8; 34] {
        let mut bytes = [0; 34];
        let [a, b, c, d] = number.to_be_bytes();
        for (slot, byte) in bytes.iter_mut().zip([0x12, 0x20, a, b, c, d]) {
            *slot = byte;
        }
        bytes
    }

    /// A key whose place shares exactly `bits` bits with a place; fewer than [`DEPTH`].
    fn near(&self, place: &Key, bits: u16) -> Option<Bytes> {
        let flipped = 0x8000_usize.checked_shr(u32::from(bits))?;
        let number = self.numbers.get(Self::prefix(place) ^ flipped)?;
        Some(Bytes::copy_from_slice(&Self::bytes(*number)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Heard,
    /// It was asked for those that share so many bits with it.
    Asked(u16),
    Failed,
    /// It has told everybody whom it knows.
    Done,
}

#[derive(Debug)]
struct Visit {
    contact: Contact,
    state: State,
    answered: bool,
}

#[derive(Debug, Default)]
struct Crawl {
    visits: BTreeMap<Key, Visit>,
    waiting: VecDeque<Key>,
    running: usize,
}

/// Every server that answered in the last whole crawl, by its place.
#[derive(Debug, Default)]
pub(crate) struct FullTable {
    peers: BTreeMap<Key, Contact>,
    crawl: Option<Crawl>,
    targets: Targets,
}

impl FullTable {
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// The `k` nearest to a place, nearest first; of one network at most `diversity`. `None` before the first crawl is over.
    pub(crate) fn nearest(
        &self,
        target: &Key,
        k: usize,
        diversity: Option<usize>,
    ) -> Option<Vec<(Contact, Key)>> {
        if self.peers.is_empty() {
            return None;
        }
        for bits in (0..=DEEPEST).rev() {
            let near = self.peers.range(target.region(bits));
            if bits > 0 && near.clone().take(k).count() < k {
                continue;
            }
            let mut near: Vec<_> = near
                .map(|(key, contact)| (target.distance(key), *key, contact))
                .collect();
            near.sort_unstable_by_key(|(distance, ..)| *distance);
            let chosen = choose(
                near.into_iter().map(|(_, key, contact)| (key, contact)),
                k,
                diversity,
            );
            if chosen.len() >= k || bits == 0 {
                return Some(chosen);
            }
        }
        None
    }

    /// The longest prefix of a place, up to `bits`, that has `k` servers, and all servers there.
    pub(crate) fn region(&self, place: &Key, bits: u16, k: usize) -> Option<(u16, Vec<(Contact, Key)>)> {
        if self.peers.is_empty() {
            return None;
        }
        (0..=bits).rev().find_map(|bits| {
            let there = self.peers.range(place.region(bits));
            let found: Vec<_> = there.map(|(key, contact)| (contact.clone(), *key)).collect();
            (bits == 0 || found.len() >= k).then_some((bits, found))
        })
    }
}

/// The first `k`, of one network at most `diversity`.
fn choose<'a>(
    sorted: impl Iterator<Item = (Key, &'a Contact)>,
    k: usize,
    diversity: Option<usize>,
) -> Vec<(Contact, Key)> {
    let mut counts: BTreeMap<Group, usize> = BTreeMap::new();
    let mut chosen = Vec::new();
    for (key, contact) in sorted {
        let groups = Group::all(&contact.addrs);
        let full = |group: &Group| counts.get(group).copied() >= diversity.map(|most| most.max(1));
        if chosen.len() >= k {
            break;
        }
        if diversity.is_some() && groups.iter().any(full) {
            continue;
        }
        for group in groups {
            let count = counts.entry(group).or_default();
            *count = count.saturating_add(1);
        }
        chosen.push((contact.clone(), key));
    }
    chosen
}

impl Kad {
    /// Servers of the network that the last crawl found: 0 without [`full_table`](crate::Config::full_table), and before the first crawl is over.
    pub fn full_table(&self) -> usize {
        self.full.len()
    }

    /// A crawl is due, or goes on.
    pub(crate) fn crawl_on(&mut self, cx: &mut Context<'_>) {
        if self.full.crawl.is_none() {
            let mut crawl = Crawl::default();
            for known in self.table.iter() {
                let contact = Contact {
                    peer: known.peer,
                    addrs: known.addrs.clone(),
                };
                hear(&mut crawl, known.key, contact, self.config.max_crawled);
            }
            if crawl.visits.is_empty() {
                self.timers.set(Timer::Crawl, cx.now + Duration::from_secs(1));
                return;
            }
            self.full.crawl = Some(crawl);
        }
        if !self.full.targets.grow() {
            self.timers.set(Timer::Crawl, cx.now + ROUND);
            return;
        }
        self.visit(cx);
    }

    /// Asks those who wait, as many at the same time as may be.
    fn visit(&mut self, cx: &mut Context<'_>) {
        while let Some(crawl) = &mut self.full.crawl {
            if crawl.running >= self.config.crawl_workers {
                return;
            }
            let Some(key) = crawl.waiting.pop_front() else {
                if crawl.running == 0 {
                    self.crawled(cx);
                }
                return;
            };
            crawl.running = crawl.running.saturating_add(1);
            self.ask_for(cx, key, 0);
        }
    }

    fn ask_for(&mut self, cx: &mut Context<'_>, place: Key, bits: u16) {
        let full = &mut self.full;
        let (Some(crawl), Some(target)) = (&mut full.crawl, full.targets.near(&place, bits)) else {
            return;
        };
        let Some(visit) = crawl.visits.get_mut(&place) else {
            return;
        };
        visit.state = State::Asked(bits);
        let ask = Ask {
            token: Token::Crawl,
            peer: visit.contact.peer,
            addrs: visit.contact.addrs.clone(),
            hearsay: !self.known.contains_key(&visit.contact.peer) && bits == 0,
            kind: MessageType::FindNode,
            frame: run::request(MessageType::FindNode, &target),
            dial: self.config.dial_timeout.min(PATIENCE),
            timeout: self.config.reply_timeout,
        };
        self.send(cx, ask);
    }

    pub(crate) fn handle_crawled(&mut self, cx: &mut Context<'_>, report: Report) {
        let News::Over(result) = report.news else {
            return;
        };
        let place = Key::of_peer(&report.peer);
        let (k, max) = (self.config.replication, self.config.max_crawled);
        let Some(crawl) = &mut self.full.crawl else {
            return;
        };
        let Some(visit) = crawl.visits.get_mut(&place) else {
            return;
        };
        let State::Asked(bits) = visit.state else {
            return;
        };
        let mut next = None;
        match result {
            Ok(Some(message)) => {
                visit.answered = true;
                // Whoever names a peer that shares fewer bits with it has named everybody who shares as many.
                let named = message.closer.iter();
                let outside = |contact: &Contact| Key::of_peer(&contact.peer).common_prefix(&place) < bits;
                let exhausted = message.closer.len() < k || named.clone().any(outside);
                if !exhausted && bits.saturating_add(1) < DEPTH {
                    next = Some(bits.saturating_add(1));
                } else {
                    visit.state = State::Done;
                }
                for mut contact in message.closer {
                    contact.addrs.retain(self.filters.dialed);
                    if contact.peer != self.local && !contact.addrs.is_empty() {
                        hear(crawl, Key::of_peer(&contact.peer), contact, max);
                    }
                }
            }
            _ => {
                visit.state = if visit.answered {
                    State::Done
                } else {
                    State::Failed
                }
            }
        }
        if let Some(bits) = next {
            self.ask_for(cx, place, bits);
        } else {
            crawl.running = crawl.running.saturating_sub(1);
            self.visit(cx);
        }
    }

    /// A crawl is over: its peers are the full table from now on.
    fn crawled(&mut self, cx: &mut Context<'_>) {
        let Some(crawl) = self.full.crawl.take() else {
            return;
        };
        let asked = crawl.visits.len();
        let found: BTreeMap<_, _> = crawl
            .visits
            .into_iter()
            .filter(|(_, visit)| visit.answered)
            .map(|(key, visit)| (key, visit.contact))
            .collect();
        let servers = found.len();
        let wait = if found.is_empty() {
            RETRY
        } else {
            // A network that can't be reached for a moment is not forgotten.
            self.full.peers = found;
            self.config.crawl_interval
        };
        self.timers.set(Timer::Crawl, cx.now + wait);
        self.emit(cx.seq, Event::Crawled { servers, asked });
    }

    /// Begins a query with the nearest peers of the full table, if there is one: then [`Query::local`] is set, and its phase is the next one. Answers its end if that is all.
    pub(crate) fn take_full(
        &mut self,
        cx: &mut Context<'_>,
        query: &mut Query,
    ) -> Option<Result<Outcome, QueryError>> {
        let ours = matches!(query.owner, Owner::Application | Owner::Publish | Owner::Sweep(_));
        if !ours || query.reach != Reach::Nearest {
            return None;
        }
        let diversity = self.config.diversity.map(|diversity| diversity.table);
        let k = self.config.replication;
        let nearest = self.full.nearest(query.lookup.target(), k, diversity)?;
        query.lookup.seed(nearest.into_iter());
        query.local = true;
        match query.kind {
            Kind::Closest => return Some(query.outcome(false)),
            Kind::Put { .. } | Kind::Provide { .. } => self.send_out(cx, query),
            Kind::Peer { .. } => query.phase = Phase::Lookup,
            Kind::Get(_) | Kind::Providers { .. } => query.phase = Phase::FollowUp,
        }
        None
    }

    /// One more has taken a record of the full table's nearest: who waits is waited for as long as more come.
    pub(crate) fn bide(&mut self, cx: &Context<'_>, id: QueryId) {
        let Some(query) = self.queries.get(&id).filter(|query| query.local) else {
            return;
        };
        if let Kind::Put { sent, .. } | Kind::Provide { sent, .. } = &query.kind {
            let all = sent
                .peers
                .saturating_add(sent.failed)
                .saturating_add(sent.waiting);
            if sent.peers.saturating_mul(10) >= all.saturating_mul(3) {
                self.timers.set(Timer::Content(id), cx.now + BRINGS_ONE_MORE);
            }
        }
    }

    pub(crate) fn query_content(&mut self, id: QueryId) {
        if let Some(query) = self.queries.get_mut(&id) {
            query.content = true;
            self.ready.insert(id);
        }
    }
}

/// Notes a peer, once.
fn hear(crawl: &mut Crawl, place: Key, contact: Contact, max: usize) {
    if crawl.visits.len() < max && !crawl.visits.contains_key(&place) {
        let visit = Visit {
            contact,
            state: State::Heard,
            answered: false,
        };
        crawl.visits.insert(place, visit);
        crawl.waiting.push_back(place);
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "tests fail by panicking"
    )]

    use super::{Targets, choose};
    use crate::{Contact, Key};
    use alloc::{string::ToString, vec, vec::Vec};
    use libp2p_proto_core::{Multiaddr, PeerId};

    #[test]
    fn for_every_prefix_there_is_a_target() {
        let mut targets = Targets::default();
        while !targets.grow() {}
        let place = Key::of(b"somebody");
        for bits in 0..16 {
            let target = targets.near(&place, bits).unwrap();
            assert_eq!(Key::of(&target).common_prefix(&place), bits);
        }
        assert_eq!(Targets::bytes(0)[..2], [0x12, 0x20]);
    }

    // covers: KAD-199
    #[test]
    fn of_thirty_peers_of_one_network_at_most_three_are_chosen() {
        let contact = |number: u8, ip: [u8; 4]| Contact {
            peer: PeerId::from_encoded_key(&[number; 36]),
            addrs: vec![Multiaddr::tcp(ip.into(), 4001)],
        };
        let sybils = (0..30).map(|number| contact(number, [99, 1, 1, number]));
        let honest = (100..130).map(|number| contact(number, [60, number, 1, 1]));
        let all: Vec<_> = sybils.chain(honest).collect();
        let sorted = || all.iter().map(|contact| (Key::of_peer(&contact.peer), contact));
        let chosen = choose(sorted(), 20, Some(3));
        let of_one = |(contact, _): &&(Contact, Key)| contact.addrs[0].to_string().starts_with("/ip4/99.1.");
        assert_eq!(chosen.len(), 20);
        assert_eq!(chosen.iter().filter(of_one).count(), 3);
        assert_eq!(choose(sorted(), 20, None).iter().filter(of_one).count(), 20);
    }
}
