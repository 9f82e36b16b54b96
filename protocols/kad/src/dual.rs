//! The public network and its twin of the local one, behind one front.

use crate::{Config, Contact, Error, Event, Kad, Outcome, QueryError, QueryId};
use alloc::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    vec::Vec,
};
use bytes::Bytes;
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::Protocol;

/// One of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    /// The public one.
    Wan,
    /// That of the local network.
    Lan,
}

/// A query of a [`Dual`]. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DualQuery(u64);

/// What a [`Dual`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DualEvent {
    /// A search has found providers, each told once whichever network named it.
    Providers {
        /// The query.
        query: DualQuery,
        /// New ones.
        providers: Vec<Contact>,
    },
    /// A query is over. Comes once for each.
    Finished {
        /// The query.
        query: DualQuery,
        /// What it came to.
        result: Result<Outcome, QueryError>,
    },
    /// Whatever else one of the two machines tells: steps, peers that come and go, its mode, and queries that were begun there directly.
    Of {
        /// Which one.
        half: Half,
        /// What it told.
        event: Event,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    /// The first that comes to something is enough.
    First,
    /// Providers of both, so many or all.
    Providers { wanted: usize },
}

#[derive(Debug)]
struct Open {
    merge: Merge,
    /// Not over yet.
    running: BTreeMap<Half, QueryId>,
    found: BTreeMap<PeerId, Contact>,
    /// What is taken if nothing better comes.
    second: Option<Result<Outcome, QueryError>>,
}

/// Two machines with a front: what is written goes to the public network if that has peers, else to the local one; what is read is asked of both at once. The two share nothing: no
/// peer of one table is told in the other network.
///
/// Lend both to the swarm with [`protocols`](Self::protocols), and read the events here. The machines themselves are there for everything else: their modes, tables, snapshots.
#[derive(Debug)]
pub struct Dual {
    /// The machine of the public network.
    pub wan: Kad,
    /// The machine of the local network.
    pub lan: Kad,
    next: u64,
    open: BTreeMap<DualQuery, Open>,
    of: BTreeMap<(Half, QueryId), DualQuery>,
    events: VecDeque<DualEvent>,
}

impl Dual {
    /// Both machines: [`Config::default`] and [`Config::lan`], or what the owner makes of them.
    ///
    /// # Errors
    ///
    /// Those of [`Kad::new`]; [`Error::BadConfig`] if both have the same protocol.
    pub fn new(local: PeerId, wan: Config, lan: Config) -> Result<Self, Error> {
        if wan.protocol == lan.protocol {
            return Err(Error::BadConfig("protocol"));
        }
        Ok(Self {
            wan: Kad::new(local, wan)?,
            lan: Kad::new(local, lan)?,
            next: 0,
            open: BTreeMap::new(),
            of: BTreeMap::new(),
            events: VecDeque::new(),
        })
    }

    /// Both machines, to be lent to a swarm.
    pub fn protocols(&mut self) -> [&mut dyn Protocol; 2] {
        [&mut self.wan, &mut self.lan]
    }

    fn kad(&mut self, half: Half) -> &mut Kad {
        match half {
            Half::Wan => &mut self.wan,
            Half::Lan => &mut self.lan,
        }
    }

    /// Where records of ours go.
    pub fn writes_to(&self) -> Half {
        if self.wan.table().next().is_some() {
            Half::Wan
        } else {
            Half::Lan
        }
    }

    /// The best value of a key: the first of the two searches that finds one, each with this quorum.
    ///
    /// # Errors
    ///
    /// Those of [`Kad::get_value`], if both refuse.
    pub fn get_value(&mut self, key: impl Into<Bytes>, quorum: Option<usize>) -> Result<DualQuery, Error> {
        let key = key.into();
        self.both(Merge::First, |kad| kad.get_value(key.clone(), quorum))
    }

    /// Who provides a content, in either network.
    ///
    /// # Errors
    ///
    /// Those of [`Kad::find_providers`], if both refuse.
    pub fn find_providers(&mut self, multihash: impl Into<Bytes>, wanted: usize) -> Result<DualQuery, Error> {
        let key = multihash.into();
        self.both(Merge::Providers { wanted }, |kad| {
            kad.find_providers(key.clone(), wanted)
        })
    }

    /// Where a peer is: the first of the two searches that reaches it, or else what one of them heard.
    ///
    /// # Errors
    ///
    /// Those of [`Kad::find_peer`], if both refuse.
    pub fn find_peer(&mut self, peer: PeerId) -> Result<DualQuery, Error> {
        self.both(Merge::First, |kad| kad.find_peer(peer))
    }

    /// Stores a value [where records of ours go](Self::writes_to).
    ///
    /// # Errors
    ///
    /// Those of [`Kad::put_value`].
    pub fn put_value(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<DualQuery, Error> {
        let (key, value) = (key.into(), value.into());
        self.one(|kad| kad.put_value(key, value))
    }

    /// Says that we provide a content [where records of ours go](Self::writes_to).
    ///
    /// # Errors
    ///
    /// Those of [`Kad::provide`].
    pub fn provide(&mut self, multihash: impl Into<Bytes>) -> Result<DualQuery, Error> {
        let key = multihash.into();
        self.one(|kad| kad.provide(key))
    }

    /// No longer says in either network that we provide a content.
    pub fn stop_providing(&mut self, multihash: &[u8]) {
        self.wan.stop_providing(multihash);
        self.lan.stop_providing(multihash);
    }

    /// No longer repeats a value in either network.
    pub fn stop_publishing(&mut self, key: &[u8]) {
        self.wan.stop_publishing(key);
        self.lan.stop_publishing(key);
    }

    /// Ends a query, which is told.
    pub fn cancel(&mut self, query: DualQuery) {
        self.finish(query, Err(QueryError::Cancelled));
    }

    fn one(&mut self, begin: impl FnOnce(&mut Kad) -> Result<QueryId, Error>) -> Result<DualQuery, Error> {
        let half = self.writes_to();
        let id = begin(self.kad(half))?;
        Ok(self.enter(Merge::First, BTreeMap::from([(half, id)])))
    }

    fn both(
        &mut self,
        merge: Merge,
        begin: impl Fn(&mut Kad) -> Result<QueryId, Error>,
    ) -> Result<DualQuery, Error> {
        let (wan, lan) = (begin(&mut self.wan), begin(&mut self.lan));
        let running = match (wan, lan) {
            (Err(error), Err(_)) => return Err(error),
            (wan, lan) => {
                let wan = wan.into_iter().map(|id| (Half::Wan, id));
                wan.chain(lan.into_iter().map(|id| (Half::Lan, id))).collect()
            }
        };
        Ok(self.enter(merge, running))
    }

    fn enter(&mut self, merge: Merge, running: BTreeMap<Half, QueryId>) -> DualQuery {
        let query = DualQuery(self.next);
        self.next = self.next.saturating_add(1);
        for (half, id) in &running {
            self.of.insert((*half, *id), query);
        }
        let open = Open {
            merge,
            running,
            found: BTreeMap::new(),
            second: None,
        };
        self.open.insert(query, open);
        query
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<DualEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let (half, event) = match self.wan.poll_event() {
                Some(event) => (Half::Wan, event),
                None => (Half::Lan, self.lan.poll_event()?),
            };
            self.take(half, event);
        }
    }

    fn take(&mut self, half: Half, event: Event) {
        let id = match &event {
            Event::Finished { query, .. } | Event::Providers { query, .. } | Event::Value { query, .. } => {
                *query
            }
            _ => return self.events.push_back(DualEvent::Of { half, event }),
        };
        let Some(query) = self.of.get(&(half, id)).copied() else {
            // The other half was faster, or the query was begun at the machine itself.
            if !matches!(
                event,
                Event::Finished {
                    result: Err(QueryError::Cancelled),
                    ..
                }
            ) {
                self.events.push_back(DualEvent::Of { half, event });
            }
            return;
        };
        match event {
            Event::Finished { result, .. } => self.ended(query, half, result),
            Event::Providers { providers, .. } => self.found(query, providers),
            // A better one may follow; the end has the best.
            _ => {}
        }
    }

    fn found(&mut self, query: DualQuery, providers: Vec<Contact>) {
        let Some(open) = self.open.get_mut(&query) else {
            return;
        };
        let mut new = Vec::new();
        for contact in providers {
            if let Entry::Vacant(place) = open.found.entry(contact.peer) {
                new.push(place.insert(contact).clone());
            }
        }
        if !new.is_empty() {
            let providers = new;
            self.events.push_back(DualEvent::Providers { query, providers });
        }
        if matches!(open.merge, Merge::Providers { wanted } if wanted > 0 && open.found.len() >= wanted) {
            let all = open.found.values().cloned().collect();
            self.finish(query, Ok(Outcome::Providers(all)));
        }
    }

    fn ended(&mut self, query: DualQuery, half: Half, result: Result<Outcome, QueryError>) {
        if let Ok(Outcome::Providers(providers)) = &result {
            // Events may have been lost; the end has everybody.
            self.found(query, providers.clone());
        }
        let Some(open) = self.open.get_mut(&query) else {
            return;
        };
        if let Some(id) = open.running.remove(&half) {
            self.of.remove(&(half, id));
        }
        let enough = match &result {
            Ok(Outcome::Providers(_) | Outcome::Peer { verified: false, .. }) | Err(_) => false,
            Ok(_) => true,
        };
        if enough {
            return self.finish(query, result);
        }
        // An answer is better than none, and any reason better than that there was nobody to ask.
        let better = match &open.second {
            None | Some(Err(QueryError::NoPeers)) => true,
            Some(Err(_)) => result.is_ok(),
            Some(Ok(_)) => false,
        };
        if better {
            open.second = Some(result);
        }
        if open.running.is_empty() {
            let result = if open.found.is_empty() {
                open.second.take().unwrap_or(Err(QueryError::NotFound))
            } else {
                Ok(Outcome::Providers(open.found.values().cloned().collect()))
            };
            self.finish(query, result);
        }
    }

    /// Tells the end, and ends what still runs.
    fn finish(&mut self, query: DualQuery, result: Result<Outcome, QueryError>) {
        let Some(open) = self.open.remove(&query) else {
            return;
        };
        for (half, id) in open.running {
            self.of.remove(&(half, id));
            self.kad(half).cancel(id);
        }
        self.events.push_back(DualEvent::Finished { query, result });
    }
}
