//! The drive: one unit of work after the other, in an order that no remote decides.
//!
//! What was learned goes out first, then failed dials, then what is due here. Between news and the deadlines of protocols there are turns: news comes first,
//! so that an answer that waits is heard before its time-out, but after a share of it every protocol has its turn.

use crate::{
    Call, Event, Swarm,
    conn::{Phase, Timer},
    news::News,
};
use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant, UnixTime};
use libp2p_proto_stream_protocol::{AttemptError, Context, Fact, Input, Protocols, ToConnection};

/// News that is processed before protocols have their turn.
const NEWS_SHARE: u32 = 64;
/// Time-outs that a protocol has at one instant.
const PATIENCE: u32 = 256;
/// How long a protocol rests whose deadline is due although it had all of them.
const REST: Duration = Duration::from_millis(10);

/// How a protocol makes use of its time-outs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turns {
    at: Instant,
    taken: u32,
    rest_until: Instant,
}

impl Turns {
    /// When a deadline counts: not before the protocol has rested.
    fn due_at(&self, deadline: Deadline) -> Deadline {
        Deadline::new(deadline.at.max(self.rest_until), deadline.why)
    }

    fn take(&mut self, now: Instant) {
        if self.at != now {
            (self.at, self.taken) = (now, 0);
        }
        self.taken = self.taken.saturating_add(1);
        if self.taken >= PATIENCE {
            self.rest_until = now + REST;
        }
    }
}

impl Swarm {
    /// Delivers inputs and due timeouts to the lent protocols, about `budget` of them. `true`: call again.
    pub fn drive(
        &mut self,
        now: Instant,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        budget: usize,
    ) -> bool {
        self.tell_commands(now, protocols);
        self.tell_watcher(now, || Call::Drive { unix, budget });
        self.core.tick(now);
        if protocols.len() != self.protocol_dice.len() {
            return false;
        }
        for _ in 0..budget.max(1) {
            self.seq = self.seq.saturating_add(1);
            if !self.step(unix, protocols) {
                return false;
            }
        }
        true
    }

    /// When to drive again without news.
    pub fn poll_timeout(&self, protocols: Protocols<'_, '_>) -> Option<Deadline> {
        let readable = self.core.has_event_room();
        let core = &self.core;
        let told = !core.facts.is_empty()
            || !core.inbound_changed.is_empty()
            || !core.wanted_links.is_empty()
            || (readable
                && !(self.news.is_empty() && core.ended.is_empty() && core.listening_changed.is_empty()));
        if told {
            return Some(Deadline::now("input"));
        }
        let own = core
            .timers
            .next()
            .map(|(at, timer)| Deadline::new(at, timer.why()));
        protocols
            .iter()
            .zip(&self.turns)
            .filter_map(|(protocol, turns)| Some(turns.due_at(protocol.poll_timeout()?)))
            .fold(own, |first, next| Deadline::earliest(first, Some(next)))
    }

    /// One unit of work. `false`: nothing to do.
    fn step(&mut self, unix: UnixTime, protocols: Protocols<'_, '_>) -> bool {
        if self.spread_fact(unix, protocols) || self.tell_what_must_be_told(unix, protocols) {
            return true;
        }
        if let Some(timer) = self.core.timers.pop_due(self.core.now) {
            self.fire(timer);
            return true;
        }
        if self.news_streak >= NEWS_SHARE && self.give_turn(unix, protocols) {
            return true;
        }
        if self.core.has_event_room() {
            if let Some(news) = self.news.pop_front() {
                self.news_streak = self.news_streak.saturating_add(1);
                self.process_news(unix, protocols, news);
                return true;
            }
        }
        self.give_turn(unix, protocols)
    }

    /// Hands the oldest fact to everybody but its teller, or says that the list of our protocols has changed.
    fn spread_fact(&mut self, unix: UnixTime, protocols: Protocols<'_, '_>) -> bool {
        if let Some((teller, fact)) = self.core.facts.pop_front() {
            if let Some(follows) = self.core.learn(&fact) {
                self.core.facts.push_back((None, follows));
            }
            self.deliver_all(unix, protocols, teller, &Input::Fact(fact));
            return true;
        }
        if let Some((carrier, conn, peer, addr)) = self.core.next_wanted_link() {
            self.deliver(unix, protocols, carrier, Input::LinkWanted { conn, peer, addr });
            return true;
        }
        if self.core.inbound_changed.is_empty() {
            return false;
        }
        self.core.spread_inbound();
        self.deliver_all(unix, protocols, None, &Input::Fact(Fact::LocalProtocols));
        true
    }

    /// What the application must not miss: failed dials and listeners. It waits until there is room for an event.
    fn tell_what_must_be_told(&mut self, unix: UnixTime, protocols: Protocols<'_, '_>) -> bool {
        if !self.core.has_event_room() {
            return false;
        }
        if let Some(ended) = self.core.ended.pop_front() {
            let (dial, peer, error) = (ended.dial, ended.peer, ended.error);
            self.core.events.push_back(Event::DialFailed {
                dial,
                peer,
                error: error.clone(),
            });
            self.deliver_all(unix, protocols, None, &Input::DialFailed { dial, peer, error });
            return true;
        }
        if self.core.listening_changed.is_empty() {
            return false;
        }
        if let Some(addr) = self.core.listening_changed.pop_first() {
            let up = self.core.listening.contains(&addr);
            self.core.events.push_back(if up {
                Event::Listening { addr: addr.clone() }
            } else {
                Event::ListenClosed { addr: addr.clone() }
            });
            let fact = Fact::ListenAddress { addr, up };
            self.deliver_all(unix, protocols, None, &Input::Fact(fact));
            return true;
        }
        false
    }

    /// Gives the next protocol that is due its time-out.
    fn give_turn(&mut self, unix: UnixTime, protocols: Protocols<'_, '_>) -> bool {
        let now = self.core.now;
        let count = protocols.len();
        for offset in 0..count {
            let index = self
                .next_turn
                .saturating_add(offset)
                .checked_rem(count)
                .unwrap_or(0);
            let deadline = protocols.get(index).and_then(|protocol| protocol.poll_timeout());
            let Some((deadline, turns)) = deadline.zip(self.turns.get_mut(index)) else {
                continue;
            };
            if turns.due_at(deadline).is_due(now) {
                turns.take(now);
                self.next_turn = index.saturating_add(1);
                self.deliver(
                    unix,
                    protocols,
                    u8::try_from(index).unwrap_or(u8::MAX),
                    Input::Timeout,
                );
                return true;
            }
        }
        self.news_streak = 0;
        false
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Dial(dial) => self.core.advance_dial(dial),
            Timer::Idle(conn) => self.core.close_connection(conn),
            Timer::Redundant(conn) => {
                if self
                    .core
                    .redundant_from(conn)
                    .is_some_and(|at| at <= self.core.now)
                {
                    self.core.close_connection(conn);
                }
            }
            Timer::Trim => self.core.trim(),
            Timer::Phase(conn) => match self.core.conns.get(&conn).map(|conn| &conn.phase) {
                Some(Phase::Connecting) => {
                    self.core.cancel_attempt(conn);
                    self.core.fail_attempt(conn, AttemptError::TimedOut);
                }
                Some(_) => self.news.push_back(News::Overdue(conn)),
                None => {}
            },
        }
    }

    /// Gives one input to one protocol.
    pub(crate) fn deliver(&mut self, unix: UnixTime, protocols: Protocols<'_, '_>, place: u8, input: Input) {
        let (now, seq, local) = (self.core.now, self.seq, self.core.local);
        let index = usize::from(place);
        if let (Some(protocol), Some(dice)) = (protocols.get_mut(index), self.protocol_dice.get_mut(index)) {
            let mut cx = Context::new(now, unix, seq, local, dice, &mut self.core, place);
            protocol.handle(&mut cx, input);
        }
    }

    /// Gives one input to every protocol but one.
    pub(crate) fn deliver_all(
        &mut self,
        unix: UnixTime,
        protocols: Protocols<'_, '_>,
        but: Option<u8>,
        input: &Input,
    ) {
        let places = (0..=u8::MAX).take(protocols.len());
        for place in places.filter(|place| but != Some(*place)) {
            self.deliver(unix, protocols, place, input.clone());
        }
    }
}

impl crate::core::Core {
    /// Tells every connection how many streams of the changed specs it may accept.
    fn spread_inbound(&mut self) {
        for spec in core::mem::take(&mut self.inbound_changed) {
            let max = self.max_inbound(spec).unwrap_or(0);
            let fit = |phase: &Phase| !matches!(phase, Phase::Connecting | Phase::Closing(_));
            let conns = self.conns.iter().filter(|(_, conn)| fit(&conn.phase));
            let conns: alloc::vec::Vec<_> = conns.map(|(id, _)| *id).collect();
            for conn in conns {
                self.order_to(conn, ToConnection::SetInbound { spec, max });
            }
        }
    }
}
