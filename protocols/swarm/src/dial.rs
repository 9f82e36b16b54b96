//! Dials: addresses gathered, resolved, ranked and raced, until one connection stands or all have failed.

use crate::{
    Record, ResolveId, ResolveKind,
    rank::rank,
    state::{Action, Conn, Dialing, Phase, Timer},
    swarm::Core,
};
use alloc::{string::String, vec::Vec};
use core::{net::IpAddr, time::Duration};
use libp2p_proto_core::{AddressClass, Component, ConnectionId, DialId, Instant, Multiaddr, PeerId};
use libp2p_proto_stream_protocol::{
    AttemptError, ConnectionInfo, Dial, DialError, DialOutcome, DialRefused, Host as _, Input, ToConnection,
};
use smallvec::SmallVec;

/// While one attempt is being upgraded, no further one begins for so long.
const HOLD: Duration = Duration::from_millis(500);

/// One question to a resolver, and what its answer is for.
#[derive(Debug)]
pub(crate) struct Question {
    dial: DialId,
    addr: Multiaddr,
    depth: u8,
}

impl Core {
    pub(crate) fn begin_dial(&mut self, now: Instant, dial: &Dial) -> Result<DialOutcome, DialRefused> {
        let (peer, addrs) = self.wanted(dial)?;
        if let Some(peer) = peer {
            if peer == self.local {
                return Err(DialRefused::SelfDial);
            }
            self.gate
                .check_peer(&peer)
                .map_err(|denied| DialRefused::Denied(denied.0))?;
            let direct = self.connections(peer).first().copied();
            if let Some(conn) = direct.filter(|_| !dial.force) {
                return Ok(DialOutcome::Connected(conn));
            }
            let running = self
                .dials
                .iter()
                .find(|(_, known)| known.peer == Some(peer) && !dial.force);
            if let Some((id, _)) = running {
                let id = *id;
                self.plan(now, id, &addrs, 0);
                self.timers.set(Timer::Dial(id), now);
                return Ok(DialOutcome::Pending(id));
            }
        }
        if self.dials.len() >= self.max_dials {
            return Err(DialRefused::TooManyDials);
        }
        let usable: Vec<_> = addrs
            .iter()
            .filter(|addr| self.is_usable(addr))
            .cloned()
            .collect();
        if usable.is_empty() {
            return Err(DialRefused::NoAddress);
        }
        let backed_off =
            |addr: &Multiaddr| peer.is_some_and(|peer| self.book.is_backed_off(now, &peer, addr));
        let fresh: Vec<_> = usable
            .iter()
            .filter(|addr| dial.force || dial.addrs.contains(addr) || !backed_off(addr))
            .cloned()
            .collect();
        if fresh.is_empty() {
            return Err(DialRefused::BackedOff);
        }
        let id = DialId::new(self.next_dial);
        self.next_dial = self.next_dial.saturating_add(1);
        let dialing = Dialing {
            peer,
            side: dial.side,
            planned: Vec::new(),
            active: SmallVec::new(),
            resolving: SmallVec::new(),
            failures: Vec::new(),
            tried: Vec::new(),
            resolved: 0,
            give_up_at: now + self.config.dial_timeout,
            hold_until: now,
            began: now,
        };
        self.dials.insert(id, dialing);
        self.plan(now, id, &fresh, 0);
        self.timers.set(Timer::Dial(id), now);
        Ok(DialOutcome::Pending(id))
    }

    /// The peer that must answer, and the addresses without its id.
    fn wanted(&self, dial: &Dial) -> Result<(Option<PeerId>, Vec<Multiaddr>), DialRefused> {
        let mut peer = dial.peer;
        let mut addrs = Vec::new();
        for addr in &dial.addrs {
            let (rest, named) = addr.split_peer_id();
            match (peer, named) {
                (Some(wanted), Some(named)) if wanted != named => {
                    // An address of somebody else is dropped where the peer was named, and a contradiction otherwise.
                    if dial.peer.is_none() {
                        return Err(DialRefused::PeerMismatch);
                    }
                    continue;
                }
                (None, Some(named)) => peer = Some(named),
                _ => {}
            }
            addrs.extend(rest);
        }
        if let Some(peer) = peer {
            addrs.extend(self.book.addrs(self.now, &peer).cloned());
        }
        Ok((peer, addrs))
    }

    /// Whether an address is worth a socket: of a transport that the adapter dials, not ours, not unspecified, not denied.
    fn is_usable(&self, addr: &Multiaddr) -> bool {
        let class = addr.class();
        let dialable = class == AddressClass::Name || self.transports.iter().any(|transport| transport(addr));
        dialable
            && class != AddressClass::Unspecified
            && !is_link_local_without_zone(addr)
            && !self.listening.contains(addr)
            && self.gate.check_addr(addr).is_ok()
    }

    /// Adds addresses to a dial: names are resolved first, the rest is ranked.
    fn plan(&mut self, now: Instant, id: DialId, addrs: &[Multiaddr], depth: u8) {
        let mut direct = Vec::new();
        for addr in addrs {
            if addr.class() == AddressClass::Name {
                self.ask(id, addr, depth);
            } else if self.is_usable(addr) && !direct.contains(addr) {
                direct.push(addr.clone());
            }
        }
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        direct.retain(|addr| {
            !dial.tried.contains(addr) && !dial.planned.iter().any(|(_, known)| known == addr)
        });
        let same_socket = |addr: &Multiaddr, other: &Multiaddr| {
            addr.socket_tcp().is_some() && addr.socket_tcp() == other.socket_tcp()
        };
        let plain: Vec<_> = direct
            .iter()
            .filter(|addr| addr.components().count() == 2)
            .cloned()
            .collect();
        direct.retain(|addr| {
            addr.components().count() == 2 || !plain.iter().any(|other| same_socket(addr, other))
        });
        dial.planned.extend(
            rank(&direct, Multiaddr::class)
                .into_iter()
                .map(|(addr, delay)| (now + delay, addr)),
        );
        dial.planned.sort_by_key(|(at, _)| *at);
    }

    /// Asks for the name of an address.
    fn ask(&mut self, id: DialId, addr: &Multiaddr, depth: u8) {
        let Some(first) = addr.components().next() else {
            return;
        };
        let (name, kind) = match first {
            Component::Dns(name) => (String::from(name), ResolveKind::Ip),
            Component::Dns4(name) => (String::from(name), ResolveKind::Ip4),
            Component::Dns6(name) => (String::from(name), ResolveKind::Ip6),
            Component::Dnsaddr(name) => (["_dnsaddr.", name].concat(), ResolveKind::Txt),
            _ => return,
        };
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        if depth >= self.config.max_resolve_depth || !is_host_name(&name) {
            dial.failures
                .push((addr.clone(), AttemptError::Resolve("bad-name")));
            return;
        }
        let query = ResolveId(self.next_query);
        self.next_query = self.next_query.saturating_add(1);
        dial.resolving.push(query);
        self.questions.insert(
            query,
            Question {
                dial: id,
                addr: addr.clone(),
                depth,
            },
        );
        self.actions.push_back(Action::Resolve { query, name, kind });
    }

    /// A resolver has answered.
    pub(crate) fn resolved(
        &mut self,
        now: Instant,
        query: ResolveId,
        answer: Result<Vec<Record>, &'static str>,
    ) {
        let Some(question) = self.questions.remove(&query) else {
            return;
        };
        let room = self.config.max_resolved;
        let Some(dial) = self.dials.get_mut(&question.dial) else {
            return;
        };
        dial.resolving.retain(|known| *known != query);
        let found: Vec<_> = match answer {
            Ok(records) => records
                .iter()
                .filter_map(|record| substitute(&question.addr, record))
                .collect(),
            Err(cause) => {
                dial.failures
                    .push((question.addr.clone(), AttemptError::Resolve(cause)));
                Vec::new()
            }
        };
        let left = room.saturating_sub(dial.resolved);
        let peer = dial.peer;
        let own = |addr: Multiaddr| match addr.split_peer_id() {
            (rest, None) => rest,
            (rest, named) if named == peer || peer.is_none() => rest,
            _ => None,
        };
        let found: Vec<_> = found.into_iter().filter_map(own).take(left).collect();
        dial.resolved = dial.resolved.saturating_add(found.len());
        self.plan(now, question.dial, &found, question.depth.saturating_add(1));
        self.timers.set(Timer::Dial(question.dial), now);
    }

    /// Begins the attempts whose time has come, and ends the dial if nothing is left.
    pub(crate) fn advance_dial(&mut self, now: Instant, id: DialId) {
        loop {
            let Some(dial) = self.dials.get_mut(&id) else {
                return;
            };
            if dial.give_up_at <= now {
                self.end_dial(id, Some(DialError::TimedOut));
                return;
            }
            let idle = dial.active.is_empty() && dial.resolving.is_empty();
            if dial.planned.is_empty() && idle {
                self.fail_dial(id);
                return;
            }
            let room = dial.active.len() < self.config.max_parallel_attempts;
            let due = dial.planned.first().map(|(at, _)| Ord::max(*at, dial.hold_until));
            // If all attempts so far have failed, the next one need not wait.
            let begin = room && due.is_some_and(|at| at <= now || dial.active.is_empty());
            if !begin {
                let next = if room { due } else { None };
                let at = next.map_or(dial.give_up_at, |at| at.min(dial.give_up_at));
                self.timers.set(Timer::Dial(id), at);
                return;
            }
            let (_, addr) = dial.planned.remove(0);
            self.attempt(id, addr);
        }
    }

    fn attempt(&mut self, id: DialId, addr: Multiaddr) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        let host = crate::gate::host_of(&addr);
        let at_host = dial
            .tried
            .iter()
            .filter(|tried| crate::gate::host_of(tried) == host)
            .count();
        if dial.tried.len() >= self.config.max_attempts || at_host >= self.config.max_attempts_per_ip {
            dial.failures
                .push((addr, AttemptError::Denied("too-many-attempts")));
            return;
        }
        dial.tried.push(addr.clone());
        let conn = ConnectionId::new(self.next_conn);
        self.next_conn = self.next_conn.saturating_add(1);
        dial.active.push(conn);
        let info = ConnectionInfo {
            side: dial.side,
            local: None,
            remote: addr.clone(),
            limited: addr.is_relayed(),
            dial: Some(id),
        };
        self.conns
            .insert(conn, Conn::new(Phase::Connecting, info, dial.peer));
        self.actions.push_back(Action::Dial { conn, addr });
    }

    /// A link of a dial stands: give its upgrade time before another begins.
    pub(crate) fn hold_dial(&mut self, now: Instant, id: DialId) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.hold_until = now + HOLD;
        }
    }

    /// One attempt has failed.
    pub(crate) fn attempt_failed(
        &mut self,
        now: Instant,
        conn: ConnectionId,
        id: DialId,
        addr: &Multiaddr,
        error: AttemptError,
    ) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        dial.active.retain(|active| *active != conn);
        dial.failures.push((addr.clone(), error));
        dial.hold_until = dial.began;
        if let Some(peer) = dial.peer {
            self.book.failed(now, &peer, addr);
        }
        self.timers.set(Timer::Dial(id), now);
    }

    /// One attempt has become a connection: the others are not needed.
    pub(crate) fn dial_succeeded(&mut self, conn: ConnectionId, id: DialId) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.active.retain(|active| *active != conn);
        }
        self.end_dial(id, None);
    }

    fn fail_dial(&mut self, id: DialId) {
        let failures = self
            .dials
            .get_mut(&id)
            .map(|dial| core::mem::take(&mut dial.failures))
            .unwrap_or_default();
        let error = if failures.is_empty() {
            DialError::NoAddress
        } else {
            DialError::AllFailed(failures.into())
        };
        self.end_dial(id, Some(error));
    }

    /// Ends a dial and what is left of it; with an error, everybody is told.
    pub(crate) fn end_dial(&mut self, id: DialId, error: Option<DialError>) {
        self.timers.clear(Timer::Dial(id));
        let Some(dial) = self.dials.remove(&id) else {
            return;
        };
        for query in &dial.resolving {
            self.questions.remove(query);
        }
        for conn in &dial.active {
            match self.conns.get_mut(conn) {
                Some(entry) if entry.phase == Phase::Connecting => {
                    self.conns.remove(conn);
                    self.actions.push_back(Action::CancelDial { conn: *conn });
                }
                Some(entry) => {
                    entry.verdict = Some(AttemptError::Cancelled);
                    entry.phase = Phase::Closing;
                    self.order_to(*conn, ToConnection::Abort);
                }
                None => {}
            }
        }
        if let Some(error) = error {
            let (peer, dial) = (dial.peer, id);
            self.inputs.push_back((
                None,
                Input::DialFailed {
                    dial,
                    peer,
                    error: error.clone(),
                },
            ));
            self.events
                .push_back(crate::Event::DialFailed { dial, peer, error });
        }
    }
}

/// The address with its name replaced by one answer. A TXT record is a whole address that must end as the asking one does.
fn substitute(addr: &Multiaddr, record: &Record) -> Option<Multiaddr> {
    let suffix = || addr.components().skip(1);
    match (addr.components().next()?, record) {
        (Component::Dns4(_), Record::Ip(IpAddr::V6(_))) | (Component::Dns6(_), Record::Ip(IpAddr::V4(_))) => {
            None
        }
        (Component::Dns(_) | Component::Dns4(_) | Component::Dns6(_), Record::Ip(ip)) => {
            Multiaddr::from_components(core::iter::once(Component::from(*ip)).chain(suffix())).ok()
        }
        (Component::Dnsaddr(_), Record::Txt(text)) => {
            let found: Multiaddr = text.strip_prefix("dnsaddr=")?.parse().ok()?;
            let wanted: Vec<_> = suffix().collect();
            let components: Vec<_> = found.components().collect();
            components.ends_with(&wanted).then_some(found.clone())
        }
        _ => None,
    }
}

fn is_link_local_without_zone(addr: &Multiaddr) -> bool {
    addr.class() == AddressClass::LinkLocal && matches!(addr.components().next(), Some(Component::Ip6(_)))
}

/// Whether a resolver may be asked: at most 253 bytes, labels of 1 to 63.
fn is_host_name(name: &str) -> bool {
    let labels = name.strip_suffix('.').unwrap_or(name);
    !name.is_empty() && name.len() <= 253 && labels.split('.').all(|label| (1..=63).contains(&label.len()))
}
