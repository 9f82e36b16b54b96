//! How queries go on: whom they ask, what they make of answers, when they end.

use crate::{
    Contact, Event, Failure, Kad, Key, Message, MessageType, Outcome, QueryError, QueryId, Record, Step,
    address,
    answer::Unkept,
    full,
    kad::Timer,
    lookup::State,
    query::{Dialing, Fast, Kind, Owner, Phase, Query, Reach},
    rpc::{Ask, News, Report, Token},
    size,
};
use alloc::{collections::BTreeSet, vec::Vec};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::{Context, Dial, DialOutcome};

impl Kad {
    pub(crate) fn handle_report(&mut self, cx: &mut Context<'_>, report: Report) {
        if let News::Over(Ok(_)) = report.news {
            self.stats.requests_done = self.stats.requests_done.saturating_add(1);
        }
        match report.token {
            Token::Query(id) => {
                if let Some(mut query) = self.queries.remove(&id) {
                    self.handle_answer(cx, &mut query, report);
                    self.queries.insert(id, query);
                    self.ready.insert(id);
                }
            }
            Token::Store(id) => self.handle_stored(cx, id, report),
            Token::Check => self.handle_check(cx, report),
            Token::Crawl => self.handle_crawled(cx, report),
            Token::Sweep(job) => self.handle_swept(cx, job, report),
            Token::Correction => {}
        }
    }

    fn handle_answer(&mut self, cx: &mut Context<'_>, query: &mut Query, report: Report) {
        let peer = report.peer;
        match report.news {
            News::Slow => query.lookup.slow(&peer),
            News::Over(Ok(Some(message))) if is_about(&query.key, &message) => {
                self.note_use(cx, query, &peer, report.took);
                self.admit(cx, peer);
                self.learn(cx, query, &peer, *message);
            }
            News::Over(Ok(_)) => self.fail(cx, query, peer, Failure::BadAnswer),
            News::Over(Err(failure)) => self.fail(cx, query, peer, failure),
        }
    }

    fn fail(&mut self, cx: &mut Context<'_>, query: &mut Query, peer: PeerId, failure: Failure) {
        query.lookup.failed(&peer);
        query.effort.failed = query.effort.failed.saturating_add(1);
        self.step(cx, query, peer, Step::Failed(failure));
        // What we did not try says nothing of the peer.
        if !matches!(failure, Failure::NotDialed | Failure::Busy) {
            self.lose(cx, &peer);
        }
    }

    /// Peers that we knew and that answer within twice the time of the fastest have been of use.
    fn note_use(&mut self, cx: &Context<'_>, query: &mut Query, peer: &PeerId, took: Duration) {
        if query.lookup.get(peer).is_some_and(|known| known.hop == 0) {
            let fastest = *query.fastest.get_or_insert(took);
            if took <= fastest.saturating_mul(2) {
                self.table.was_useful(cx.now, peer);
            }
        }
    }

    fn learn(&mut self, cx: &mut Context<'_>, query: &mut Query, peer: &PeerId, message: Message) {
        query.lookup.answered(peer);
        query.effort.answered = query.effort.answered.saturating_add(1);
        self.seek_target(cx, query, &message.closer);
        let closer = self.of_use(peer, message.closer);
        let named = closer.len();
        query.lookup.heard(peer, closer);
        self.step(cx, query, *peer, Step::Answered { named });
        if let Some(record) = &message.record {
            let taken = query.take_value(&self.config.validators, cx.unix, record, Some(*peer));
            if let Some(value) = taken.filter(|_| query.is_told()) {
                self.emit(
                    cx.seq,
                    Event::Value {
                        query: query.id,
                        value,
                    },
                );
            }
        }
        self.tell_providers(cx, query, Some(*peer), message.providers);
    }

    fn tell_providers(
        &mut self,
        cx: &Context<'_>,
        query: &mut Query,
        by: Option<PeerId>,
        named: Vec<Contact>,
    ) {
        let providers = query.take_providers(named);
        if let Kind::Providers {
            proof: Some(proof), ..
        } = &mut query.kind
        {
            // They are told when they are reached.
            proof.claim(by.unwrap_or(self.local), providers);
            return;
        }
        if !providers.is_empty() {
            let query = query.id;
            self.emit(cx.seq, Event::Providers { query, providers });
        }
    }

    /// The peers of an answer that may be asked: neither we nor who answered, with an address to dial, and no crowd of one network.
    fn of_use(&self, from: &PeerId, named: Vec<Contact>) -> Vec<Contact> {
        let mut useful: Vec<Contact> = named
            .into_iter()
            .filter(|contact| contact.peer != self.local && contact.peer != *from)
            .filter_map(|mut contact| {
                contact.addrs.retain(self.filters.dialed);
                let known = || self.known.contains_key(&contact.peer) || self.table.contains(&contact.peer);
                (!contact.addrs.is_empty() || known()).then_some(contact)
            })
            .collect();
        if let Some(diversity) = self.config.diversity {
            address::drop_crowds(&mut useful, diversity.table);
        }
        useful
    }

    /// Keeps what is said of the peer that is searched, and tries to reach it there.
    fn seek_target(&mut self, cx: &mut Context<'_>, query: &mut Query, named: &[Contact]) {
        let Kind::Peer { peer, addrs, dialing } = &mut query.kind else {
            return;
        };
        let Some(contact) = named.iter().find(|contact| contact.peer == *peer) else {
            return;
        };
        let mut new: Vec<_> = contact.addrs.clone();
        new.retain(|addr| !addrs.contains(addr));
        new.truncate(crate::wire::MAX_ADDRS.saturating_sub(addrs.len()));
        addrs.extend(new.iter().cloned());
        new.retain(self.filters.dialed);
        if new.is_empty() || *dialing == Dialing::Pending {
            return;
        }
        let dial = Dial {
            addrs: new,
            ..Dial::peer(*peer)
        };
        *dialing = match cx.dial(dial) {
            Ok(DialOutcome::Pending(_)) => Dialing::Pending,
            Ok(DialOutcome::Connected(_)) => *dialing,
            Err(_) => Dialing::Failed,
        };
    }

    /// A dial has ended: queries that search this peer go on.
    pub(crate) fn peer_connected(&mut self, _cx: &Context<'_>, peer: &PeerId) {
        for (id, query) in &self.queries {
            let waits = match &query.kind {
                Kind::Peer { peer: wanted, .. } => wanted == peer,
                Kind::Providers {
                    proof: Some(proof), ..
                } => proof.pending.contains_key(peer),
                _ => false,
            };
            if waits {
                self.ready.insert(*id);
            }
        }
    }

    pub(crate) fn peer_not_reached(&mut self, peer: &PeerId) {
        for (id, query) in &mut self.queries {
            if let Kind::Providers {
                proof: Some(proof), ..
            } = &mut query.kind
            {
                if proof.pending.remove(peer).is_some() {
                    self.ready.insert(*id);
                }
            }
            if let Kind::Peer {
                peer: wanted,
                dialing,
                ..
            } = &mut query.kind
            {
                if wanted == peer && *dialing == Dialing::Pending {
                    *dialing = Dialing::Failed;
                    self.ready.insert(*id);
                }
            }
        }
    }

    fn handle_stored(&mut self, cx: &mut Context<'_>, id: QueryId, report: Report) {
        let News::Over(result) = report.news else {
            return;
        };
        let Some(query) = self.queries.get_mut(&id) else {
            return;
        };
        let done = match (&query.kind, &result) {
            (Kind::Put { record, .. }, Ok(Some(answer))) => answer
                .record
                .as_ref()
                .is_some_and(|echo| echo.value == record.value),
            (_, Ok(_)) => true,
            (_, Err(_)) => false,
        };
        if let Kind::Put { sent, .. } | Kind::Provide { sent, .. } = &mut query.kind {
            let count = if done { &mut sent.peers } else { &mut sent.failed };
            *count = count.saturating_add(1);
            sent.waiting = sent.waiting.saturating_sub(1);
        }
        self.ready.insert(id);
        if done {
            self.bide(cx, id);
            self.step_of(cx, id, report.peer, Step::Sent);
        }
    }

    /// Does what a query can do now.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>, id: QueryId) {
        let Some(mut query) = self.queries.remove(&id) else {
            return;
        };
        match self.go_on(cx, &mut query) {
            Some(result) => self.conclude(cx, query, result),
            None => {
                self.queries.insert(id, query);
            }
        }
    }

    fn go_on(&mut self, cx: &mut Context<'_>, query: &mut Query) -> Option<Result<Outcome, QueryError>> {
        if let Some(reached) = self.reached(cx, query) {
            return Some(Ok(reached));
        }
        loop {
            self.prove(cx, query);
            if query.has_enough() {
                return Some(query.outcome(false));
            }
            match query.phase {
                Phase::New => {
                    if let Err(error) = self.set_out(cx, query) {
                        return Some(Err(error));
                    }
                    query.phase = Phase::Start;
                }
                Phase::Start => {
                    if let Some(result) = self.take_full(cx, query) {
                        return Some(result);
                    }
                    if query.local {
                        continue;
                    }
                    if self.table.is_empty() {
                        if self.upkeep.has_hope() {
                            return None;
                        }
                        // What we have ourselves counts even if there is nobody else.
                        return Some(query.outcome(false).map_err(|_| QueryError::NoPeers));
                    }
                    self.seed(query);
                    query.phase = Phase::Lookup;
                }
                Phase::Lookup => {
                    while let Some(contact) = query.lookup.next() {
                        self.ask(cx, query, contact);
                    }
                    if self.send_ahead(cx, query) {
                        self.send_out(cx, query);
                        continue;
                    }
                    if !query.lookup.is_done() {
                        return None;
                    }
                    query.phase = Phase::FollowUp;
                }
                Phase::FollowUp => {
                    if !query.follows_up() {
                        let waits = matches!(
                            &query.kind,
                            Kind::Peer {
                                dialing: Dialing::Pending,
                                ..
                            }
                        );
                        if waits {
                            return None;
                        }
                        self.measure(cx, query);
                        return Some(query.outcome(false));
                    }
                    while let Some(contact) = query.lookup.next_of_result() {
                        self.ask(cx, query, contact);
                    }
                    if !query.lookup.result_is_known() {
                        return None;
                    }
                    self.measure(cx, query);
                    if query.wants_region(self.config.widen) && self.explore(cx, query) {
                        query.phase = Phase::Explore;
                        return None;
                    }
                    self.send_out(cx, query);
                }
                Phase::Explore => {
                    if !self.take_region(query) {
                        return None;
                    }
                    query.phase = Phase::FollowUp;
                }
                Phase::Storing => return is_settled(query).then(|| query.outcome(false)),
            }
        }
    }

    /// The end of a search for a peer to which there is a connection now.
    fn reached(&self, cx: &Context<'_>, query: &Query) -> Option<Outcome> {
        let Kind::Peer { peer, addrs, .. } = &query.kind else {
            return None;
        };
        let connected = cx
            .connections(*peer)
            .iter()
            .any(|conn| cx.connection_info(*conn).is_some_and(|info| !info.limited));
        if !connected {
            return None;
        }
        let mut known = self.addrs_of(peer);
        if known.is_empty() {
            known.clone_from(addrs);
        }
        Some(Outcome::Peer {
            peer: *peer,
            addrs: known,
            verified: true,
        })
    }

    /// Begins: sets the times, and takes what we have ourselves.
    fn set_out(&mut self, cx: &mut Context<'_>, query: &mut Query) -> Result<(), QueryError> {
        let time = if query.is_brief() {
            self.config.refresh_timeout
        } else {
            self.config.query_timeout
        };
        query.began = cx.now;
        query.deadline = cx.now + time;
        let first = query.store_at().unwrap_or(query.deadline);
        self.timers.set(Timer::Query(query.id), first);
        match &query.kind {
            Kind::Get(_) => {
                if let Some(record) = self.stored_value(cx, &query.key) {
                    let taken = query.take_value(&self.config.validators, cx.unix, &record, None);
                    if let Some(value) = taken {
                        self.emit(
                            cx.seq,
                            Event::Value {
                                query: query.id,
                                value,
                            },
                        );
                    }
                }
            }
            Kind::Providers { .. } => {
                let own = self.told_providers(cx, &query.key);
                self.tell_providers(cx, query, None, own);
            }
            Kind::Put { record, .. } => match self.keep_value(cx, record) {
                Err(Unkept::Invalid(why)) => return Err(QueryError::BadRecord(why)),
                Err(Unkept::Older) => return Err(QueryError::OldRecord),
                // A store that is full does not keep us from publishing.
                Ok(()) | Err(Unkept::NoRoom) => {
                    if query.is_told() {
                        self.upkeep.publish_value(record);
                    }
                }
            },
            Kind::Provide { .. } if self.config.optimistic && query.reach == Reach::Nearest => {
                // Without an estimate the classic way.
                let thresholds = self.sizes.thresholds(cx.now);
                if let Kind::Provide { fast, .. } = &mut query.kind {
                    *fast = thresholds.map(|thresholds| Fast {
                        thresholds,
                        told: BTreeSet::new(),
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn seed(&self, query: &mut Query) {
        let nearest = self
            .table
            .closest(query.lookup.target(), self.config.replication, |_| true);
        let seeds = nearest.into_iter().map(|known| {
            let contact = Contact {
                peer: known.peer,
                addrs: known.addrs.clone(),
            };
            (contact, known.key)
        });
        query.lookup.seed(seeds);
    }

    fn ask(&mut self, cx: &mut Context<'_>, query: &Query, contact: Contact) {
        if let Some(known) = query.lookup.get(&contact.peer) {
            let (hop, key, from) = (known.hop, known.key, known.from);
            self.step(cx, query, contact.peer, Step::Asked { hop, key, from });
        }
        let ours = self.table.contains(&contact.peer) || self.known.contains_key(&contact.peer);
        let ask = Ask {
            token: Token::Query(query.id),
            peer: contact.peer,
            addrs: contact.addrs,
            hearsay: !ours,
            kind: query.asks(),
            frame: query.frame.clone(),
            dial: self.config.dial_timeout,
            timeout: self.config.reply_timeout,
        };
        self.send(cx, ask);
    }

    pub(crate) fn send(&mut self, cx: &mut Context<'_>, ask: Ask) {
        self.stats.requests_sent = self.stats.requests_sent.saturating_add(1);
        self.rpc.ask(cx, &self.config, ask);
    }

    /// The lookup is over: the record goes to every one of the nearest.
    pub(crate) fn send_out(&mut self, cx: &mut Context<'_>, query: &mut Query) {
        let (kind, frame) = match &query.kind {
            Kind::Put { record, .. } => (MessageType::PutValue, put_frame(record)),
            Kind::Provide { frame, .. } => (MessageType::AddProvider, frame.clone()),
            _ => {
                query.phase = Phase::Storing;
                return;
            }
        };
        let mut nearest = query.closest();
        if let Kind::Provide { fast: Some(fast), .. } = &query.kind {
            nearest.retain(|contact| !fast.told.contains(&contact.peer));
        }
        query.phase = Phase::Storing;
        self.send_to(cx, query, nearest, kind, &frame);
    }

    /// Sends the record of a query to these peers.
    fn send_to(
        &mut self,
        cx: &mut Context<'_>,
        query: &mut Query,
        peers: Vec<Contact>,
        kind: MessageType,
        frame: &Bytes,
    ) {
        if let Kind::Put { sent, .. } | Kind::Provide { sent, .. } = &mut query.kind {
            sent.waiting = sent.waiting.saturating_add(peers.len());
        }
        for contact in peers {
            let ours = self.known.contains_key(&contact.peer) || self.table.contains(&contact.peer);
            let times = (self.config.dial_timeout, self.config.store_timeout);
            let (dial, timeout) = if query.local {
                (times.0.min(full::PATIENCE), times.1.min(full::PATIENCE))
            } else {
                times
            };
            self.send(
                cx,
                Ask {
                    token: Token::Store(query.id),
                    peer: contact.peer,
                    addrs: contact.addrs,
                    // It answered, or was asked already.
                    hearsay: !query.local && !ours,
                    kind,
                    frame: frame.clone(),
                    dial,
                    timeout,
                },
            );
        }
    }

    /// Optimistic provide: sends the record to those who are surely among the nearest. Says whether the lookup may end.
    fn send_ahead(&mut self, cx: &mut Context<'_>, query: &mut Query) -> bool {
        let Kind::Provide {
            frame,
            fast: Some(fast),
            ..
        } = &mut query.kind
        else {
            return false;
        };
        let nearest: Vec<_> = query
            .lookup
            .nearest()
            .map(|(distance, known)| (*distance, known))
            .collect();
        let distances: Vec<_> = nearest.iter().map(|(distance, _)| *distance).collect();
        if self.sizes.is_crowded(cx.now, &distances) {
            // No shortcut into a trap.
            if let Kind::Provide { fast, .. } = &mut query.kind {
                *fast = None;
            }
            return false;
        }
        let mut ahead = Vec::new();
        for (distance, known) in &nearest {
            if size::share(distance) < fast.thresholds.peer && fast.told.insert(known.contact.peer) {
                ahead.push(known.contact.clone());
            }
        }
        let k = self.config.replication;
        let count = f64::from(u32::try_from(k).unwrap_or(u32::MAX));
        let average = distances.iter().map(size::share).sum::<f64>() / count;
        let over = fast.told.len() >= k || (nearest.len() >= k && average < fast.thresholds.average);
        let frame = frame.clone();
        self.send_to(cx, query, ahead, MessageType::AddProvider, &frame);
        if over {
            self.rpc.cancel(cx, &BTreeSet::from([Token::Query(query.id)]));
        }
        over
    }

    /// Learns from a lookup that is over how large the network is, and whether its key is crowded.
    fn measure(&mut self, cx: &Context<'_>, query: &mut Query) {
        if query.reach == Reach::Explored {
            return;
        }
        let nearest: Vec<_> = query
            .lookup
            .nearest()
            .map(|(distance, known)| (*distance, known.state))
            .collect();
        let distances: Vec<_> = nearest.iter().map(|(distance, _)| *distance).collect();
        query.crowded = self.sizes.is_crowded(cx.now, &distances);
        let answered = nearest.iter().all(|(_, state)| *state == State::Answered);
        if answered {
            let prefix = self.local_key.common_prefix(query.lookup.target());
            let nearest = query.lookup.nearest();
            let beside = nearest.filter(|(_, known)| self.local_key.common_prefix(&known.key) == prefix);
            let bucket = self.table.in_bucket(prefix).max(beside.count());
            let drawn = matches!(query.owner, Owner::Walk { .. }) && query.key[..] != *self.local.as_bytes();
            // In a small network there are fewer than `k`.
            let _few = if drawn {
                self.sizes.track_drawn(cx.now, &distances, bucket)
            } else if !query.crowded {
                self.sizes.track(cx.now, &distances, bucket)
            } else {
                Ok(())
            };
        }
    }

    /// Follows claims of providers: who is reached is one.
    fn prove(&mut self, cx: &mut Context<'_>, query: &mut Query) {
        let id = query.id;
        let Kind::Providers {
            proof: Some(proof), ..
        } = &mut query.kind
        else {
            return;
        };
        let mut reached = Vec::new();
        proof.pending.retain(|peer, contact| {
            let here = cx.connections(*peer).is_empty();
            if !here {
                reached.push(contact.clone());
            }
            here
        });
        while let Some(mut contact) = proof.next() {
            if !cx.connections(contact.peer).is_empty() || contact.peer == self.local {
                reached.push(contact);
                continue;
            }
            contact.addrs.retain(self.filters.dialed);
            let dial = Dial {
                addrs: self.rpc.allowed(cx.now, &contact.addrs),
                ..Dial::peer(contact.peer)
            };
            if !dial.addrs.is_empty() && matches!(cx.dial(dial), Ok(DialOutcome::Pending(_))) {
                proof.pending.insert(contact.peer, contact);
            }
        }
        proof.proved.extend(reached.iter().cloned());
        if !reached.is_empty() {
            let (query, providers) = (id, reached);
            self.emit(cx.seq, Event::Providers { query, providers });
        }
    }

    /// A time of a query has come: that of its lookup, or all of it.
    pub(crate) fn query_due(&mut self, cx: &mut Context<'_>, id: QueryId) {
        let Some(mut query) = self.queries.remove(&id) else {
            return;
        };
        if cx.now >= query.deadline {
            let result = query.outcome(true);
            self.conclude(cx, query, result);
            return;
        }
        self.timers.set(Timer::Query(id), query.deadline);
        if matches!(query.phase, Phase::Lookup | Phase::FollowUp | Phase::Explore) {
            self.rpc.cancel(cx, &BTreeSet::from([Token::Query(id)]));
            self.send_out(cx, &mut query);
        }
        self.queries.insert(id, query);
        self.ready.insert(id);
    }

    /// Tells the end, then mends what others have that is old.
    fn conclude(&mut self, cx: &mut Context<'_>, query: Query, result: Result<Outcome, QueryError>) {
        let stale = query.stale();
        let best = match (&query.kind, &result) {
            (Kind::Get(search), Ok(_)) => search.best().cloned(),
            _ => None,
        };
        let key = query.key.clone();
        self.finish(cx, query, result);
        let Some(value) = best else {
            return;
        };
        let record = Record {
            key,
            value,
            ..Record::default()
        };
        let frame = put_frame(&record);
        for contact in stale {
            self.send(
                cx,
                Ask {
                    token: Token::Correction,
                    peer: contact.peer,
                    addrs: contact.addrs,
                    hearsay: false,
                    kind: MessageType::PutValue,
                    frame: frame.clone(),
                    dial: self.config.dial_timeout,
                    timeout: self.config.store_timeout,
                },
            );
        }
    }

    fn step(&mut self, cx: &Context<'_>, query: &Query, peer: PeerId, step: Step) {
        if self.config.progress && query.is_told() {
            let (query, at) = (query.id, cx.now.since(query.began));
            self.emit(
                cx.seq,
                Event::Step {
                    query,
                    peer,
                    step,
                    at,
                },
            );
        }
    }

    fn step_of(&mut self, cx: &Context<'_>, id: QueryId, peer: PeerId, step: Step) {
        let told = self.queries.get(&id).filter(|query| query.is_told());
        if let Some(began) = told.map(|query| query.began).filter(|_| self.config.progress) {
            let (query, at) = (id, cx.now.since(began));
            self.emit(
                cx.seq,
                Event::Step {
                    query,
                    peer,
                    step,
                    at,
                },
            );
        }
    }

    /// The message that says that we provide a content; none without an address that others could use.
    pub(crate) fn announcement(&self, key: &Bytes) -> Option<Bytes> {
        let addrs = self.ourselves.addrs(self.filters.own);
        if addrs.is_empty() {
            return None;
        }
        let mut message = Message::new(MessageType::AddProvider, key.clone());
        message.providers.push(Contact {
            peer: self.local,
            addrs,
        });
        Some(message.encode_within(self.config.max_sent).into())
    }
}

/// Whether a query that has asked everybody has nothing more to wait for.
fn is_settled(query: &Query) -> bool {
    match &query.kind {
        Kind::Put { .. } | Kind::Provide { .. } if query.content => true,
        Kind::Providers {
            proof: Some(proof), ..
        } => proof.is_over(),
        Kind::Provide {
            sent, fast: Some(_), ..
        } => sent.waiting == 0 || sent.is_mostly_done(),
        Kind::Put { sent, .. } | Kind::Provide { sent, .. } => sent.waiting == 0,
        _ => true,
    }
}

fn put_frame(record: &Record) -> Bytes {
    let mut message = Message::new(MessageType::PutValue, record.key.clone());
    message.record = Some(Record {
        key: record.key.clone(),
        value: record.value.clone(),
        ..Record::default()
    });
    message.encode().into()
}

/// Whether a record in an answer is filed under the key that was asked for.
fn is_about(key: &Bytes, message: &Message) -> bool {
    message.record.as_ref().is_none_or(|record| record.key == *key)
}

/// The message that asks for a key.
pub(crate) fn request(kind: MessageType, key: &Bytes) -> Bytes {
    Message::new(kind, key.clone()).encode().into()
}

/// A check: who is nearest to the asked peer itself.
pub(crate) fn check_frame(peer: &PeerId) -> Bytes {
    request(MessageType::FindNode, &Bytes::copy_from_slice(peer.as_bytes()))
}

/// An id whose place shares exactly `prefix` bits with `local`, if one is found in so many tries.
pub(crate) fn target_in(cx: &mut Context<'_>, local: &Key, prefix: u16, tries: u32) -> Option<PeerId> {
    target(cx, tries, |key| key.common_prefix(local) == prefix)
}

/// An id whose place fits, if one is found in so many tries.
pub(crate) fn target(cx: &mut Context<'_>, tries: u32, fits: impl Fn(&Key) -> bool) -> Option<PeerId> {
    let mut bytes = cx.rng.bytes32();
    for number in 0..tries {
        if let Some(head) = bytes.first_chunk_mut() {
            *head = number.to_be_bytes();
        }
        let id = PeerId::from_encoded_key(&bytes);
        if fits(&Key::of_peer(&id)) {
            return Some(id);
        }
    }
    None
}
