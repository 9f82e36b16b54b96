//! Dials: addresses gathered, ranked and raced, until one connection stands or all have failed.

use crate::{
    Action, Denied, ResolveId, Source,
    conn::{Conn, Phase, Timer},
    core::Core,
    filter::drop_lesser_twins,
    gate::Stage,
    hosts::Host,
    rank::rank,
};
use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;
use libp2p_proto_core::{
    AddressClass, Component, ConnectionId, DialId, Instant, Multiaddr, PeerId, Side, WebSocketTarget,
};
use libp2p_proto_identity::PublicKey;
use libp2p_proto_stream_protocol::{
    AttemptError, ConnectionInfo, Dial, DialError, DialOutcome, DialRefused, Host as _, ToConnection,
};
use smallvec::SmallVec;

/// While one attempt is being upgraded, no further one begins for so long.
const HOLD: Duration = Duration::from_millis(500);

/// One dial: addresses that wait for their time, and attempts under way.
#[derive(Debug)]
pub(crate) struct Dialing {
    pub(crate) peer: Option<PeerId>,
    side: Side,
    reuse_port: bool,
    only: bool,
    at_once: bool,
    planned: Vec<(Instant, Multiaddr)>,
    active: SmallVec<[ConnectionId; 2]>,
    pub(crate) resolving: SmallVec<[ResolveId; 2]>,
    failures: Vec<(Multiaddr, AttemptError)>,
    tried: Vec<Multiaddr>,
    /// What a WebSocket at each of these addresses is to be asked for, where a name led to them.
    named: Vec<(Multiaddr, WebSocketTarget)>,
    /// Addresses taken in so far.
    pub(crate) taken: usize,
    give_up_at: Instant,
    /// No new attempt before this, because one is being upgraded.
    hold_until: Instant,
}

/// A dial that failed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) dial: DialId,
    pub(crate) peer: Option<PeerId>,
    pub(crate) error: DialError,
}

impl Dialing {
    fn new(now: Instant, peer: Option<PeerId>, dial: &Dial, timeout: Duration) -> Self {
        Self {
            peer,
            side: dial.side,
            reuse_port: dial.reuse_port,
            only: dial.only,
            at_once: dial.at_once,
            planned: Vec::new(),
            active: SmallVec::new(),
            resolving: SmallVec::new(),
            failures: Vec::new(),
            tried: Vec::new(),
            named: Vec::new(),
            taken: 0,
            give_up_at: now + timeout,
            hold_until: now,
        }
    }

    /// A name led to these addresses: a WebSocket is asked for by that name.
    pub(crate) fn name(&mut self, by: &Multiaddr, found: &[Multiaddr]) {
        if let Some(target) = by.websocket() {
            self.named
                .extend(found.iter().map(|addr| (addr.clone(), target.clone())));
        }
    }

    /// What a WebSocket at this address is to be asked for. `None`: it is none.
    pub(crate) fn websocket(&self, addr: &Multiaddr) -> Option<WebSocketTarget> {
        let named = self.named.iter().find(|(known, _)| known == addr);
        named
            .map(|(_, target)| target.clone())
            .or_else(|| addr.websocket())
    }

    fn knows(&self, addr: &Multiaddr) -> bool {
        self.tried.contains(addr)
            || self.planned.iter().any(|(_, known)| known == addr)
            || self.failures.iter().any(|(known, _)| known == addr)
    }

    /// Notes why an address leads nowhere. What was asked for is bounded, so this is.
    pub(crate) fn fail(&mut self, addr: Multiaddr, error: AttemptError) {
        self.failures.push((addr, error));
    }

    fn has_nothing_left(&self) -> bool {
        self.planned.is_empty() && self.active.is_empty() && self.resolving.is_empty()
    }

    /// When the next attempt may begin. If all so far have failed, at once.
    fn next_at(&self) -> Option<Instant> {
        let (at, _) = self.planned.first()?;
        Some(if self.active.is_empty() {
            Instant::ZERO
        } else {
            Ord::max(*at, self.hold_until)
        })
    }
}

impl Core {
    pub(crate) fn begin_dial(&mut self, dial: &Dial) -> Result<DialOutcome, DialRefused> {
        if self.closing {
            return Err(DialRefused::Denied("closing"));
        }
        let (peer, addrs) = self.wanted(dial)?;
        if let Some(peer) = peer {
            if peer == self.local {
                return Err(DialRefused::SelfDial);
            }
            if !PublicKey::may_have_id(&peer) {
                return Err(DialRefused::BadPeerId);
            }
            self.gate
                .check(&Stage::DialPeer { peer: &peer })
                .map_err(|denied| DialRefused::Denied(denied.0))?;
            if !dial.force {
                if let Some(conn) = self.connections(peer).first() {
                    return Ok(DialOutcome::Connected(*conn));
                }
                let running = self.dials.iter().find(|(_, known)| known.peer == Some(peer));
                if let Some((id, _)) = running {
                    let id = *id;
                    self.plan(id, &addrs, 0);
                    self.timers.set(Timer::Dial(id), self.now);
                    return Ok(DialOutcome::Pending(id));
                }
            }
        }
        if self.dials.len().saturating_add(self.ended.len()) >= self.config.max_dials {
            return Err(DialRefused::TooManyDials);
        }
        let fresh = self.worth_dialing(dial, peer, &addrs)?;
        let id = DialId::new(self.next_dial);
        self.next_dial = self.next_dial.saturating_add(1);
        let dialing = Dialing::new(self.now, peer, dial, self.config.dial_timeout);
        self.dials.insert(id, dialing);
        self.plan(id, &fresh, 0);
        self.timers.set(Timer::Dial(id), self.now);
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
        if let Some(peer) = peer.filter(|_| !dial.only) {
            addrs.extend(self.book.addrs(self.now, &peer).cloned());
        }
        Ok((peer, addrs))
    }

    /// The addresses that may lead somewhere, or why there is none. Those that were named now, or are dialed by force, are not backed off.
    fn worth_dialing(
        &mut self,
        dial: &Dial,
        peer: Option<PeerId>,
        addrs: &[Multiaddr],
    ) -> Result<Vec<Multiaddr>, DialRefused> {
        let mut usable = Vec::new();
        let mut denied = None;
        for addr in addrs.iter().filter(|addr| self.is_dialable(addr)) {
            match self.check_address(peer.as_ref(), addr) {
                Ok(()) => usable.push(addr.clone()),
                Err(because) => denied = Some(because),
            }
        }
        if usable.is_empty() {
            return Err(denied.map_or(DialRefused::NoAddress, |denied| DialRefused::Denied(denied.0)));
        }
        if let Some(peer) = peer {
            if dial.force {
                for addr in &usable {
                    self.book.worked(&peer, addr);
                }
            }
            let named = |addr: &Multiaddr| dial.addrs.iter().any(|named| strip(named) == *addr);
            usable.retain(|addr| named(addr) || !self.book.is_backed_off(self.now, &peer, addr));
        }
        if usable.is_empty() {
            return Err(DialRefused::BackedOff);
        }
        Ok(usable)
    }

    /// Whether an address is worth a look: of a transport that the adapter dials, not ours, not unspecified.
    pub(crate) fn is_dialable(&self, addr: &Multiaddr) -> bool {
        let class = addr.class();
        let known = match class {
            AddressClass::Name => true,
            AddressClass::Relayed => self.carries(addr) || self.has_transport(addr),
            _ => self.has_transport(addr),
        };
        known
            && class != AddressClass::Unspecified
            && !is_link_local_without_zone(addr)
            && !self.listening.contains(addr)
    }

    pub(crate) fn has_transport(&self, addr: &Multiaddr) -> bool {
        self.transports.iter().any(|transport| transport(addr))
    }

    pub(crate) fn check_address(&self, peer: Option<&PeerId>, addr: &Multiaddr) -> Result<(), Denied> {
        self.gate.check(&Stage::DialAddress { peer, addr })
    }

    /// Adds addresses to a dial: names that no transport takes are resolved first, the rest is ranked.
    pub(crate) fn plan(&mut self, id: DialId, addrs: &[Multiaddr], depth: u8) {
        let mut direct = Vec::new();
        for addr in addrs {
            let Some(dial) = self.dials.get(&id) else { return };
            if dial.knows(addr) || direct.contains(addr) || !self.is_dialable(addr) {
                continue;
            }
            let error = if dial.taken >= self.config.max_resolved {
                Some("too-many-addresses")
            } else if let Err(denied) = self.check_address(dial.peer.as_ref(), addr) {
                Some(denied.0)
            } else if self.black_holes.allows(addr) {
                None
            } else {
                Some("black-hole")
            };
            let Some(dial) = self.dials.get_mut(&id) else {
                return;
            };
            match error {
                // Beyond the number of addresses that are taken in at all, none is even noted.
                Some(error) if dial.failures.len() < self.config.max_resolved => {
                    dial.fail(addr.clone(), AttemptError::Denied(error));
                }
                Some(_) => {}
                None => {
                    dial.taken = dial.taken.saturating_add(1);
                    // A transport that takes names resolves them itself.
                    if addr.class() == AddressClass::Name && !self.has_transport(addr) {
                        self.ask(id, addr, depth);
                    } else {
                        direct.push(addr.clone());
                    }
                }
            }
        }
        drop_lesser_twins(&mut direct);
        let now = self.now;
        if let Some(dial) = self.dials.get_mut(&id) {
            let ranked = rank(&direct, Multiaddr::class);
            let at_once = dial.at_once;
            let at = |delay| if at_once { now } else { now + delay };
            dial.planned
                .extend(ranked.into_iter().map(|(addr, delay)| (at(delay), addr)));
            dial.planned.sort_by_key(|(at, _)| *at);
        }
    }

    /// Begins the attempts whose time has come, and ends the dial if nothing is left.
    pub(crate) fn advance_dial(&mut self, id: DialId) {
        let now = self.now;
        while let Some(dial) = self.dials.get(&id) {
            if dial.give_up_at <= now {
                return self.end_dial(id, Some(DialError::TimedOut));
            }
            if dial.has_nothing_left() {
                return self.fail_dial(id);
            }
            let wake_at = if dial.active.len() >= self.config.max_parallel_attempts {
                dial.give_up_at
            } else {
                dial.next_at().unwrap_or(Instant::MAX).min(dial.give_up_at)
            };
            if wake_at > now {
                return self.timers.set(Timer::Dial(id), wake_at);
            }
            let sockets = self
                .census
                .ordinary
                .pending_out()
                .saturating_add(self.census.exempt.pending_out());
            if sockets >= self.config.max_pending_outbound {
                // Whoever frees a socket wakes the dial that waits longest.
                let give_up_at = dial.give_up_at;
                self.starved.insert(id);
                return self.timers.set(Timer::Dial(id), give_up_at);
            }
            self.attempt(id);
        }
    }

    fn attempt(&mut self, id: DialId) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        let (_, addr) = dial.planned.remove(0);
        let host = Host::of(&addr);
        let at_host = dial.tried.iter().filter(|tried| Host::of(tried) == host);
        let too_many = at_host.count() >= self.config.max_attempts_per_ip
            || dial.tried.len() >= self.config.max_attempts;
        if too_many {
            return dial.fail(addr, AttemptError::Denied("too-many-attempts"));
        }
        dial.tried.push(addr.clone());
        let (peer, side, reuse_port) = (dial.peer, dial.side, dial.reuse_port);
        let info = ConnectionInfo {
            side,
            local: None,
            remote: addr.clone(),
            limited: addr.is_relayed(),
            dial: Some(id),
        };
        let deadline = self.now + self.config.outbound_upgrade;
        let conn = self.add_conn(Conn::new(Phase::Connecting, info, peer, false), deadline);
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.active.push(conn);
        }
        if self.carries(&addr) && !self.has_transport(&addr) {
            self.wanted_links.push_back(conn);
        } else {
            self.actions.push_back(Action::Dial {
                conn,
                addr,
                reuse_port,
            });
        }
    }

    /// A link could not be connected.
    pub(crate) fn fail_attempt(&mut self, conn: ConnectionId, error: AttemptError) {
        let attempt = self.remove_conn(conn).map(|conn| conn.info);
        if let Some((info, dial)) = attempt.and_then(|info| info.dial.map(|dial| (info, dial))) {
            self.attempt_failed(conn, dial, &info.remote, error);
        }
    }

    /// A link of a dial stands: give its upgrade time before another begins.
    pub(crate) fn hold_dial(&mut self, id: DialId) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.hold_until = self.now + HOLD;
        }
    }

    /// One attempt has failed.
    pub(crate) fn attempt_failed(
        &mut self,
        conn: ConnectionId,
        id: DialId,
        addr: &Multiaddr,
        error: AttemptError,
    ) {
        let says_something = error != AttemptError::Cancelled;
        if says_something {
            self.black_holes.record(addr, false);
        }
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        dial.active.retain(|active| *active != conn);
        dial.hold_until = self.now;
        let peer = dial.peer;
        dial.fail(addr.clone(), error);
        if let Some(peer) = peer.filter(|_| says_something) {
            self.book.failed(self.now, &peer, addr);
        }
        self.timers.set(Timer::Dial(id), self.now);
    }

    /// One attempt has become a connection: the others are not needed.
    pub(crate) fn dial_succeeded(&mut self, conn: ConnectionId, id: DialId, peer: PeerId, addr: &Multiaddr) {
        self.black_holes.record(addr, true);
        if self.dials.get(&id).is_some_and(|dial| !dial.only) {
            self.book.add(self.now, peer, addr.clone(), Source::Dialed);
        }
        self.book.worked(&peer, addr);
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.active.retain(|active| *active != conn);
        }
        self.end_dial(id, None);
    }

    fn fail_dial(&mut self, id: DialId) {
        let dial = self.dials.get_mut(&id);
        let failures = dial.map(|dial| core::mem::take(&mut dial.failures));
        let error = match failures {
            Some(failures) if !failures.is_empty() => DialError::AllFailed(failures.into()),
            _ => DialError::NoAddress,
        };
        self.end_dial(id, Some(error));
    }

    /// Ends a dial and what is left of it; an error waits to be told.
    pub(crate) fn end_dial(&mut self, id: DialId, error: Option<DialError>) {
        self.timers.clear(Timer::Dial(id));
        self.starved.remove(&id);
        let Some(dial) = self.dials.remove(&id) else {
            return;
        };
        for query in &dial.resolving {
            self.questions.remove(query);
        }
        for conn in dial.active {
            match self.conns.get(&conn).map(|conn| &conn.phase) {
                Some(Phase::Connecting) => {
                    self.cancel_attempt(conn);
                    self.remove_conn(conn);
                }
                Some(Phase::Upgrading | Phase::Admitted) => {
                    let cancelled = Some(Box::new(AttemptError::Cancelled));
                    self.set_phase(conn, Phase::Closing(cancelled));
                    self.timers
                        .set(Timer::Phase(conn), self.now + self.config.close_timeout);
                    self.order_to(conn, ToConnection::Abort);
                }
                _ => {}
            }
        }
        if let Some(error) = error {
            let peer = dial.peer;
            self.ended.push_back(Ended {
                dial: id,
                peer,
                error,
            });
        }
    }
}

/// The address without a final peer id.
fn strip(addr: &Multiaddr) -> Multiaddr {
    addr.split_peer_id().0.unwrap_or_else(|| addr.clone())
}

fn is_link_local_without_zone(addr: &Multiaddr) -> bool {
    addr.class() == AddressClass::LinkLocal && matches!(addr.components().next(), Some(Component::Ip6(_)))
}
