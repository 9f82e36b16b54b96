//! One iterative lookup: who was heard of, asked, answered, and who is next.

use crate::{Contact, Distance, Key};
use alloc::{collections::BTreeMap, vec::Vec};
use libp2p_proto_core::{Multiaddr, PeerId};

/// The numbers that shape a lookup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Results.
    pub(crate) k: usize,
    /// Requests at the same time, over all paths.
    pub(crate) alpha: usize,
    /// Nearest that must have answered.
    pub(crate) beta: usize,
    /// Disjoint paths, 1 to 16.
    pub(crate) paths: usize,
    /// Peers that were heard of and not asked.
    pub(crate) max_heard: usize,
    /// Peers that are asked in all.
    pub(crate) max_asked: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Heard,
    Waiting,
    /// Waiting, and no longer counted among those at the same time.
    Slow,
    Answered,
    Failed,
}

#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) contact: Contact,
    pub(crate) key: Key,
    pub(crate) state: State,
    pub(crate) hop: u16,
    /// Who named it first; nobody if we knew it.
    pub(crate) from: Option<PeerId>,
    /// The paths that know it; one alone once it was asked.
    paths: u16,
}

/// Every peer is asked at most once, whatever the answers; so a lookup ends.
#[derive(Debug)]
pub(crate) struct Lookup {
    target: Key,
    shape: Shape,
    candidates: BTreeMap<Distance, Candidate>,
    places: BTreeMap<PeerId, Distance>,
    heard: usize,
    asked: usize,
}

impl Lookup {
    pub(crate) fn new(target: Key, shape: Shape) -> Self {
        Self {
            target,
            shape,
            candidates: BTreeMap::new(),
            places: BTreeMap::new(),
            heard: 0,
            asked: 0,
        }
    }

    pub(crate) fn target(&self) -> &Key {
        &self.target
    }

    /// The peers that the lookup begins with, nearest first: dealt out over the paths in turn.
    pub(crate) fn seed(&mut self, seeds: impl Iterator<Item = (Contact, Key)>) {
        let seeds: Vec<_> = seeds.collect();
        self.shape.paths = self.shape.paths.min(seeds.len()).max(1);
        let paths = u16::try_from(self.shape.paths).unwrap_or(1);
        for (index, (contact, key)) in (0_u16..).zip(seeds) {
            let path = index.checked_rem(paths).unwrap_or(0);
            self.add(contact, key, 0, bit(path), None);
        }
    }

    /// `from` named these peers. Answers how many of them are new.
    pub(crate) fn heard(&mut self, from: &PeerId, contacts: Vec<Contact>) -> usize {
        let Some((paths, hop)) = self.get(from).map(|known| (known.paths, known.hop)) else {
            return 0;
        };
        let mut new: usize = 0;
        for contact in contacts {
            let known = self.places.get(&contact.peer).copied();
            match known.and_then(|distance| self.candidates.get_mut(&distance)) {
                Some(known) if known.state == State::Heard => {
                    known.paths |= paths;
                    merge(&mut known.contact.addrs, contact.addrs);
                }
                Some(_) => {}
                None => {
                    let key = Key::of_peer(&contact.peer);
                    if self.add(contact, key, hop.saturating_add(1), paths, Some(*from)) {
                        new = new.saturating_add(1);
                    }
                }
            }
        }
        new
    }

    fn add(&mut self, contact: Contact, key: Key, hop: u16, paths: u16, from: Option<PeerId>) -> bool {
        let distance = self.target.distance(&key);
        if self.places.contains_key(&contact.peer) {
            return false;
        }
        if self.heard >= self.shape.max_heard && !self.make_room(distance) {
            return false;
        }
        self.places.insert(contact.peer, distance);
        self.candidates.insert(
            distance,
            Candidate {
                contact,
                key,
                state: State::Heard,
                hop,
                from,
                paths,
            },
        );
        self.heard = self.heard.saturating_add(1);
        true
    }

    /// Forgets the farthest peer that was not asked, if it is farther than a newcomer.
    fn make_room(&mut self, newcomer: Distance) -> bool {
        let mut unasked = self
            .candidates
            .iter()
            .rev()
            .filter(|(_, known)| known.state == State::Heard);
        let Some((distance, peer)) = unasked
            .next()
            .map(|(distance, known)| (*distance, known.contact.peer))
        else {
            return false;
        };
        if distance <= newcomer {
            return false;
        }
        self.candidates.remove(&distance);
        self.places.remove(&peer);
        self.heard = self.heard.saturating_sub(1);
        true
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Candidate> {
        self.candidates.get(self.places.get(peer)?)
    }

    /// The nearest peer that may be asked now. It counts as asked.
    pub(crate) fn next(&mut self) -> Option<Contact> {
        if self.asked >= self.shape.max_asked {
            return None;
        }
        let paths = u16::try_from(self.shape.paths).unwrap_or(1);
        let each = self.shape.alpha.div_ceil(self.shape.paths.max(1)).max(1);
        if self.waiting(u16::MAX) >= self.shape.alpha {
            return None;
        }
        let chosen = (0..paths)
            .filter(|path| !self.path_is_done(*path))
            .find_map(|path| {
                if self.waiting(bit(path)) >= each {
                    return None;
                }
                let heard = |(distance, known): (&Distance, &Candidate)| {
                    (known.state == State::Heard && known.paths & bit(path) != 0).then_some(*distance)
                };
                Some((path, self.candidates.iter().find_map(heard)?))
            });
        let (path, distance) = chosen?;
        self.ask(distance, bit(path))
    }

    /// The nearest of the `k` nearest that was never asked, once the lookup itself is over.
    pub(crate) fn next_of_result(&mut self) -> Option<Contact> {
        if self.waiting(u16::MAX) >= self.shape.alpha {
            return None;
        }
        let distance = self
            .nearest()
            .find_map(|(distance, known)| (known.state == State::Heard).then_some(*distance))?;
        let paths = self.candidates.get(&distance)?.paths;
        self.ask(distance, paths)
    }

    fn ask(&mut self, distance: Distance, paths: u16) -> Option<Contact> {
        let known = self.candidates.get_mut(&distance)?;
        known.state = State::Waiting;
        known.paths = paths;
        self.heard = self.heard.saturating_sub(1);
        self.asked = self.asked.saturating_add(1);
        Some(known.contact.clone())
    }

    fn set(&mut self, peer: &PeerId, state: State) {
        let distance = self.places.get(peer);
        if let Some(known) = distance.and_then(|distance| self.candidates.get_mut(distance)) {
            if matches!(known.state, State::Waiting | State::Slow) {
                known.state = state;
            }
        }
    }

    pub(crate) fn answered(&mut self, peer: &PeerId) {
        self.set(peer, State::Answered);
    }

    pub(crate) fn failed(&mut self, peer: &PeerId) {
        self.set(peer, State::Failed);
    }

    pub(crate) fn slow(&mut self, peer: &PeerId) {
        self.set(peer, State::Slow);
    }

    /// Requests of these paths that count.
    fn waiting(&self, paths: u16) -> usize {
        let counts = |known: &&Candidate| known.state == State::Waiting && known.paths & paths != 0;
        self.candidates.values().filter(counts).count()
    }

    /// Whether the nearest peers of a path that did not fail have answered, or nobody is left to ask.
    fn path_is_done(&self, path: u16) -> bool {
        let of_path = || {
            self.candidates
                .values()
                .filter(move |known| known.paths & bit(path) != 0 && known.state != State::Failed)
        };
        let enough = of_path().count() >= self.shape.beta
            && of_path()
                .take(self.shape.beta)
                .all(|known| known.state == State::Answered);
        let exhausted = self.asked >= self.shape.max_asked;
        let waits = of_path().any(|known| match known.state {
            State::Heard => !exhausted,
            State::Waiting | State::Slow => true,
            State::Answered | State::Failed => false,
        });
        enough || !waits
    }

    /// Whether every path is done.
    pub(crate) fn is_done(&self) -> bool {
        (0..u16::try_from(self.shape.paths).unwrap_or(1)).all(|path| self.path_is_done(path))
    }

    /// Whether every one of the `k` nearest has answered or failed.
    pub(crate) fn result_is_known(&self) -> bool {
        !self
            .nearest()
            .any(|(_, known)| matches!(known.state, State::Heard | State::Waiting | State::Slow))
    }

    /// The `k` nearest that did not fail, nearest first.
    pub(crate) fn nearest(&self) -> impl Iterator<Item = (&Distance, &Candidate)> {
        let alive = self
            .candidates
            .iter()
            .filter(|(_, known)| known.state != State::Failed);
        alive.take(self.shape.k)
    }

    /// Adds the peers of a region, and takes as many as those who are in it for the result: at most `max`.
    pub(crate) fn widen(&mut self, bits: u16, region: impl Iterator<Item = (Contact, Key)>, max: usize) {
        for (contact, key) in region {
            let known = self.places.contains_key(&contact.peer);
            if !known && self.heard < max {
                let (hop, from) = (1, None);
                let distance = self.target.distance(&key);
                self.places.insert(contact.peer, distance);
                self.heard = self.heard.saturating_add(1);
                let candidate = Candidate {
                    contact,
                    key,
                    state: State::Heard,
                    hop,
                    from,
                    paths: 1,
                };
                self.candidates.insert(distance, candidate);
            }
        }
        let inside = |known: &&Candidate| {
            known.state != State::Failed && self.target.common_prefix(&known.key) >= bits
        };
        let count = self.candidates.values().filter(inside).count();
        self.shape.k = count.clamp(self.shape.k, max.max(self.shape.k));
        self.shape.max_asked = self.shape.max_asked.saturating_add(max);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked
    }
}

const fn bit(path: u16) -> u16 {
    match 1_u16.checked_shl(path as u32) {
        Some(bit) => bit,
        None => 0,
    }
}

/// Adds addresses that are not there, up to what one entry may have.
fn merge(addrs: &mut Vec<Multiaddr>, more: Vec<Multiaddr>) {
    for addr in more {
        if addrs.len() < crate::wire::MAX_ADDRS && !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
}
