//! One query of the application, or of the machine itself: a lookup, and what is done with its answers.

use crate::{
    Contact, Effort, MessageType, Outcome, QueryError, QueryId, Record, Validators,
    kad::part,
    lookup::{Lookup, State},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, UnixTime};

/// Providers that one query collects.
pub(crate) const MAX_FOUND: usize = 1000;

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
    /// Whether nobody is told of it.
    pub(crate) internal: bool,
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
    /// Records are on their way to so many peers.
    Storing(usize),
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
    },
    Put {
        record: Record,
        sent: Sent,
    },
    Provide {
        frame: Bytes,
        sent: Sent,
    },
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

    /// Whether it is a lookup of our own that only refreshes the table.
    pub(crate) const fn is_refresh(&self) -> bool {
        self.internal && matches!(self.kind, Kind::Closest)
    }

    /// Whether it waits for somebody to begin with.
    pub(crate) fn is_waiting(&self) -> bool {
        self.phase == Phase::Start
    }

    /// Whether everybody of the result is asked before the query ends: where each may hold something, or must be reachable.
    pub(crate) const fn follows_up(&self) -> bool {
        !matches!(self.kind, Kind::Peer { .. } | Kind::Closest)
    }

    /// Whether nothing more is needed although the lookup goes on.
    pub(crate) fn has_enough(&self) -> bool {
        match &self.kind {
            Kind::Get(search) => search.has_quorum(),
            Kind::Providers { wanted, found } => *wanted > 0 && found.len() >= *wanted,
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
        let Kind::Providers { wanted, found } = &mut self.kind else {
            return Vec::new();
        };
        let most = if *wanted == 0 {
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
