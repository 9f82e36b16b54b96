//! One query of the application, or of the machine itself: a lookup, and what is done with its answers.

use crate::{
    Contact, Effort, MessageType, Outcome, QueryError, QueryId, Record, Validators,
    kad::part,
    lookup::{Lookup, State},
    size::Thresholds,
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, UnixTime};

/// Providers that one query collects.
pub(crate) const MAX_FOUND: usize = 1000;
/// Providers that are dialed at the same time.
const MAX_PROVING: usize = 16;

#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) id: QueryId,
    /// What is asked for, as it is transmitted.
    pub(crate) key: Bytes,
    pub(crate) kind: Kind,
    /// What every peer is asked.
    pub(crate) frame: Bytes,
    pub(crate) phase: Phase,
    pub(crate) lookup: Lookup,
    pub(crate) began: Instant,
    /// When the query is over in any case.
    pub(crate) deadline: Instant,
    pub(crate) effort: Effort,
    /// How fast the fastest of those that we knew has answered.
    pub(crate) fastest: Option<Duration>,
    pub(crate) owner: Owner,
    /// Whether the whole region of the key counts.
    pub(crate) reach: Reach,
    /// Whether the nearest peers stand nearer than they should.
    pub(crate) crowded: bool,
    /// Whether the nearest peers are those of the full table.
    pub(crate) local: bool,
    /// Whether it waits for no more of those that a record was sent to.
    pub(crate) content: bool,
}

/// Whose query it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Application,
    /// A lookup that refreshes the table; `measures` if its result is to be complete, for the estimate of the network's size.
    Walk {
        measures: bool,
    },
    /// What we publish is sent again.
    Publish,
    /// One lookup in a region.
    Region(u64),
    /// One key of a region in which few are provided.
    Sweep(u64),
    /// Whether anybody can be reached.
    Probe,
}

/// Whom a query reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The nearest; the whole region if these are crowded.
    Nearest,
    /// The whole region, once the nearest are known.
    Region,
    /// The peers of the region are searched.
    Exploring(u64),
    /// They are among the candidates.
    Explored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is done yet.
    New,
    /// Waits for somebody to begin with.
    Start,
    Lookup,
    /// Everybody of the result is asked.
    FollowUp,
    /// The peers of the key's region are searched.
    Explore,
    /// Records are on their way, or claims are proved.
    Storing,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Peer {
        peer: PeerId,
        /// What others say of it.
        addrs: Vec<Multiaddr>,
        dialing: Dialing,
    },
    Closest,
    Get(Search),
    Providers {
        /// Enough of them; 0: all.
        wanted: usize,
        found: BTreeMap<PeerId, Contact>,
        /// Only those count that could be reached.
        proof: Option<Proof>,
    },
    Put {
        record: Record,
        sent: Sent,
    },
    Provide {
        frame: Bytes,
        sent: Sent,
        /// The record leaves while the lookup goes on.
        fast: Option<Fast>,
    },
}

/// What an optimistic provide goes by.
#[derive(Debug)]
pub(crate) struct Fast {
    pub(crate) thresholds: Thresholds,
    /// Whom the record was sent to.
    pub(crate) told: BTreeSet<PeerId>,
}

/// Providers that are dialed before they count.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    /// What each peer claims, and how many of its claims were followed.
    claims: BTreeMap<PeerId, (usize, VecDeque<Contact>)>,
    pub(crate) pending: BTreeMap<PeerId, Contact>,
    pub(crate) proved: Vec<Contact>,
    dialed: usize,
}

impl Proof {
    /// Takes the claims of one peer.
    pub(crate) fn claim(&mut self, by: PeerId, contacts: Vec<Contact>) {
        self.claims.entry(by).or_default().1.extend(contacts);
    }

    /// The next claim to follow: each peer in turn, so that nobody's lies push away what others say.
    pub(crate) fn next(&mut self) -> Option<Contact> {
        if self.pending.len() >= MAX_PROVING || self.dialed >= MAX_FOUND {
            return None;
        }
        let open = self
            .claims
            .iter_mut()
            .filter(|(_, (_, claims))| !claims.is_empty());
        let (_, (followed, claims)) = open.min_by_key(|(_, (followed, _))| *followed)?;
        *followed = followed.saturating_add(1);
        self.dialed = self.dialed.saturating_add(1);
        claims.pop_front()
    }

    /// Whether nobody is dialed and nobody is left.
    pub(crate) fn is_over(&self) -> bool {
        let open = self.claims.values().any(|(_, claims)| !claims.is_empty());
        self.pending.is_empty() && (!open || self.dialed >= MAX_FOUND)
    }
}

impl Kind {
    /// What peers are asked for.
    pub(crate) const fn asks(&self) -> MessageType {
        match self {
            Self::Get(_) => MessageType::GetValue,
            Self::Providers { .. } => MessageType::GetProviders,
            _ => MessageType::FindNode,
        }
    }
}

/// Whether a searched peer is being dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialing {
    No,
    Pending,
    Failed,
}

/// How many peers took a record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) peers: usize,
    pub(crate) failed: usize,
    /// On its way.
    pub(crate) waiting: usize,
}

impl Sent {
    /// Three of four of those it was sent to have answered (go-libp2p-kad-dht: 15 of 20).
    pub(crate) fn is_mostly_done(self) -> bool {
        let done = self.peers.saturating_add(self.failed);
        done > 0 && self.waiting <= done / 3
    }
}

/// The search for the best value.
#[derive(Debug)]
pub(crate) struct Search {
    /// Answers that must agree; 0: the whole lookup.
    pub(crate) quorum: usize,
    best: Option<Bytes>,
    /// Answers with exactly this value.
    agreed: usize,
    /// Who answered with the best value, as far as it is known.
    holders: BTreeSet<PeerId>,
}

impl Search {
    pub(crate) const fn new(quorum: usize) -> Self {
        Self {
            quorum,
            best: None,
            agreed: 0,
            holders: BTreeSet::new(),
        }
    }

    /// One valid answer, or our own copy. Says whether it is better than all before.
    pub(crate) fn take(
        &mut self,
        validators: &Validators,
        key: &[u8],
        value: &Bytes,
        from: Option<PeerId>,
    ) -> bool {
        let better = match &self.best {
            None => true,
            Some(best) => validators
                .of(key)
                .is_ok_and(|validator| validator.is_better(key, value, best)),
        };
        if better {
            self.best = Some(value.clone());
            self.agreed = 0;
            self.holders.clear();
        }
        if self.best.as_ref() == Some(value) {
            self.agreed = self.agreed.saturating_add(1);
            self.holders.extend(from);
        }
        better
    }

    pub(crate) const fn has_quorum(&self) -> bool {
        self.quorum > 0 && self.agreed >= self.quorum
    }

    pub(crate) const fn best(&self) -> Option<&Bytes> {
        self.best.as_ref()
    }

    pub(crate) fn has(&self, peer: &PeerId) -> bool {
        self.holders.contains(peer)
    }
}

impl Query {
    /// What peers are asked for.
    pub(crate) const fn asks(&self) -> MessageType {
        self.kind.asks()
    }

    /// Whether the application asked for it.
    pub(crate) const fn is_told(&self) -> bool {
        matches!(self.owner, Owner::Application)
    }

    /// Whether it is a lookup of our own, which has less time.
    pub(crate) const fn is_brief(&self) -> bool {
        matches!(self.owner, Owner::Walk { .. } | Owner::Region(_) | Owner::Probe)
    }

    /// Whether it waits for somebody to begin with.
    pub(crate) fn is_waiting(&self) -> bool {
        self.phase == Phase::Start
    }

    /// Whether everybody of the result is asked before the query ends: where each may hold something, or must be reachable.
    pub(crate) const fn follows_up(&self) -> bool {
        match self.kind {
            Kind::Peer { .. } => false,
            Kind::Closest => !matches!(self.owner, Owner::Walk { measures: false } | Owner::Probe),
            _ => true,
        }
    }

    /// Whether the peers of the whole region are still to be found.
    pub(crate) const fn wants_region(&self, widens: bool) -> bool {
        match self.reach {
            Reach::Region => true,
            Reach::Nearest => {
                widens && self.crowded && !matches!(self.kind, Kind::Closest | Kind::Peer { .. })
            }
            Reach::Exploring(_) | Reach::Explored => false,
        }
    }

    /// Whether nothing more is needed although the lookup goes on.
    pub(crate) fn has_enough(&self) -> bool {
        match &self.kind {
            Kind::Get(search) => search.has_quorum(),
            Kind::Providers { wanted, found, proof } => {
                let count = proof.as_ref().map_or(found.len(), |proof| proof.proved.len());
                *wanted > 0 && count >= *wanted
            }
            _ => false,
        }
    }

    /// When a lookup gives way to storing: a tenth of the time, or a second of long ones, is kept for it.
    pub(crate) fn store_at(&self) -> Option<Instant> {
        if !matches!(self.kind, Kind::Put { .. } | Kind::Provide { .. }) {
            return None;
        }
        let all = self.deadline.since(self.began);
        let kept = if all < Duration::from_secs(10) {
            part(all, 10)
        } else {
            Duration::from_secs(1)
        };
        Some(self.deadline - kept)
    }

    /// The nearest peers, as the result says them.
    pub(crate) fn closest(&self) -> Vec<Contact> {
        self.lookup
            .nearest()
            .map(|(_, known)| known.contact.clone())
            .collect()
    }

    /// Those of the nearest that answered with an older value or with none.
    pub(crate) fn stale(&self) -> Vec<Contact> {
        let Kind::Get(search) = &self.kind else {
            return Vec::new();
        };
        self.lookup
            .nearest()
            .filter(|(_, known)| known.state == State::Answered && !search.has(&known.contact.peer))
            .map(|(_, known)| known.contact.clone())
            .collect()
    }

    /// What the query has come to, as far as it got; `late` if its time is over.
    pub(crate) fn outcome(&self, late: bool) -> Result<Outcome, QueryError> {
        let nothing = if late {
            QueryError::TimedOut
        } else {
            QueryError::NotFound
        };
        match &self.kind {
            Kind::Peer { addrs, .. } if addrs.is_empty() => Err(nothing),
            Kind::Peer { peer, addrs, .. } => Ok(Outcome::Peer {
                peer: *peer,
                addrs: addrs.clone(),
                verified: false,
            }),
            Kind::Closest => match self.closest() {
                none if none.is_empty() => Err(nothing),
                found => Ok(Outcome::Closest(found)),
            },
            Kind::Get(search) => match search.best() {
                None => Err(nothing),
                Some(value) => Ok(Outcome::Value {
                    value: value.clone(),
                    agreed: search.agreed,
                }),
            },
            Kind::Providers {
                proof: Some(proof), ..
            } if proof.proved.is_empty() => Err(nothing),
            Kind::Providers {
                proof: Some(proof), ..
            } => Ok(Outcome::Providers(proof.proved.clone())),
            Kind::Providers { found, .. } if found.is_empty() => Err(nothing),
            Kind::Providers { found, .. } => Ok(Outcome::Providers(found.values().cloned().collect())),
            Kind::Put { sent, .. } | Kind::Provide { sent, .. } if sent.peers == 0 => {
                Err(if late { nothing } else { QueryError::NotSent })
            }
            Kind::Put { sent, .. } | Kind::Provide { sent, .. } => Ok(Outcome::Sent {
                peers: sent.peers,
                failed: sent.failed,
            }),
        }
    }

    /// Takes the valid value of an answer, or of our own store.
    pub(crate) fn take_value(
        &mut self,
        validators: &Validators,
        unix: UnixTime,
        record: &Record,
        from: Option<PeerId>,
    ) -> Option<Bytes> {
        let Kind::Get(search) = &mut self.kind else {
            return None;
        };
        if record.key != self.key || validators.validate(unix, &self.key, &record.value).is_err() {
            return None;
        }
        search
            .take(validators, &self.key, &record.value, from)
            .then(|| record.value.clone())
    }

    /// Takes providers that an answer names; those that are new.
    pub(crate) fn take_providers(&mut self, named: Vec<Contact>) -> Vec<Contact> {
        let Kind::Providers { wanted, found, proof } = &mut self.kind else {
            return Vec::new();
        };
        let most = if *wanted == 0 || proof.is_some() {
            MAX_FOUND
        } else {
            (*wanted).min(MAX_FOUND)
        };
        let mut new = Vec::new();
        for contact in named {
            if found.len() < most && !found.contains_key(&contact.peer) {
                found.insert(contact.peer, contact.clone());
                new.push(contact);
            }
        }
        new
    }
}
