//! How links come about: a request, its way through NATs, and the answer.

use crate::{
    actor::{Heard, Link},
    app::App,
    fault::FaultKind,
    host::Wish,
    nat::{Arrival, Departure, Sock, Trail, source_port},
    net::{LISTEN, Passage, socket_addr},
    pipe::{Body, End, Load, Pipe, PipeId, Way},
    queue::Due,
    sim::{Place, Sim},
};
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Instant};
use libp2p_proto_stream_protocol::AttemptError;

/// A request is sent again a second after the first, two seconds later, and so on, twice as late each time; so often in all.
const TRIES: u32 = 7;

/// A request for a link, on its way.
#[derive(Clone, Debug)]
pub(crate) struct Syn {
    from: u32,
    boots: u32,
    conn: ConnectionId,
    /// The port that it was sent from.
    port: u16,
    to: Sock,
    /// How it left; `None`: it did not.
    left: Option<Departure>,
    first: Instant,
    tries: u32,
}

impl<A: App> Sim<A> {
    /// A host asks for a link.
    pub(crate) fn dial_link(&mut self, place: usize, wish: Wish) {
        let Some(Place::Host(host)) = self.places.get_mut(place) else {
            return;
        };
        let reuse = self.scenario.reuse_port || wish.reuse_port;
        let port = source_port(reuse, host.dialed);
        host.dialed = host.dialed.saturating_add(1);
        let boots = host.boots;
        let taken = reuse && self.is_in_use(place, wish.to);
        let number = self.send_syn(place, port, (wish.conn, boots), wish.to);
        if let Some(number) = number.filter(|_| taken) {
            self.fabric.queue.push(self.fabric.now, Due::Refused(number));
        }
    }

    /// Whether a link of this host from the port where it listens to that socket stands already: there is no second one.
    fn is_in_use(&self, place: usize, to: Sock) -> bool {
        let Some(Place::Host(host)) = self.places.get(place) else {
            return false;
        };
        let mut ends = host.life.iter().flat_map(|life| life.ends.values());
        ends.any(|(id, end)| {
            let pipe = self
                .fabric
                .pipes
                .get(*id as usize)
                .and_then(|slot| slot.as_deref());
            pipe.is_some_and(|pipe| pipe.local(*end) == LISTEN && pipe.far(*end) == to)
        })
    }

    pub(crate) fn actor_dials(&mut self, place: usize, to: usize) {
        let Some(Place::Actor(program)) = self.places.get_mut(place) else {
            return;
        };
        let port = source_port(false, program.dialed);
        let conn = ConnectionId::new(program.dialed);
        program.dialed = program.dialed.saturating_add(1);
        if let Some(to) = self.fabric.net.ports.get(to).map(|port| port.ip) {
            self.send_syn(place, port, (conn, 0), (to, LISTEN));
        }
    }

    fn send_syn(
        &mut self,
        place: usize,
        port: u16,
        (conn, boots): (ConnectionId, u32),
        to: Sock,
    ) -> Option<u32> {
        let stats = &mut self.fabric.stats;
        stats.dials = stats.dials.saturating_add(1);
        let from = u32::try_from(place).ok()?;
        let number = u32::try_from(self.syns.len()).ok()?;
        self.syns.push(Some(Syn {
            from,
            boots,
            conn,
            port,
            to,
            left: None,
            first: self.fabric.now,
            tries: 0,
        }));
        if let Some(Place::Host(host)) = self.places.get_mut(place) {
            if let Some(life) = &mut host.life {
                life.dials.insert(conn, number);
            }
        }
        self.send_again(number);
        Some(number)
    }

    /// Sends a request, for the first time or again, if it is still wanted.
    pub(crate) fn send_again(&mut self, number: u32) {
        let Some(syn) = self.syns.get_mut(number as usize).and_then(Option::as_mut) else {
            return;
        };
        let wanted = match self.places.get(syn.from as usize) {
            Some(Place::Host(host)) => {
                let dials = host.life.as_ref().map(|life| &life.dials);
                dials.is_some_and(|dials| dials.get(&syn.conn) == Some(&number))
            }
            _ => true,
        };
        syn.tries = syn.tries.saturating_add(1);
        if !wanted || syn.tries > TRIES {
            return self.forget_syn(number);
        }
        let fabric = &mut self.fabric;
        let now = fabric.now;
        syn.left = fabric
            .net
            .depart(now, syn.from, syn.port, syn.to, &mut fabric.dice);
        let Some(left) = &syn.left else {
            return self.syn_lost(number);
        };
        let far = fabric.net.whose(syn.to, left.realm);
        let at = now + fabric.net.latency(syn.from, far) + fabric.net.jitter(&mut fabric.dice);
        fabric.queue.push(at, Due::Syn(number));
    }

    /// Nobody answers: the request is sent again when its time has come.
    fn syn_lost(&mut self, number: u32) {
        if let Some(syn) = self.syns.get(number as usize).and_then(Option::as_ref) {
            let after = 1_u64.checked_shl(syn.tries).unwrap_or(u64::MAX).saturating_sub(1);
            let at = syn.first + Duration::from_secs(after);
            let at = at.max(self.fabric.now);
            self.fabric.queue.push(at, Due::Again(number));
        }
    }

    fn forget_syn(&mut self, number: u32) {
        if let Some(slot) = self.syns.get_mut(number as usize) {
            *slot = None;
        }
    }

    fn syn(&self, number: u32) -> Option<&Syn> {
        self.syns.get(number as usize).and_then(Option::as_ref)
    }

    pub(crate) fn syn_arrives(&mut self, number: u32) {
        let Some(syn) = self.syn(number).cloned() else {
            return;
        };
        let Some(left) = &syn.left else { return };
        let fabric = &mut self.fabric;
        let now = fabric.now;
        fabric.stats.events = fabric.stats.events.saturating_add(1);
        let (place, port, trail) = match fabric.net.arrive(now, left.source, syn.to, left.realm) {
            Arrival::At(place, port, trail) => (place, port, trail),
            Arrival::Dropped => return self.syn_lost(number),
            Arrival::Refused => {
                let far = fabric.net.whose(syn.to, left.realm);
                let at = now + fabric.net.latency(far, syn.from);
                return fabric.queue.push(at, Due::Refused(number));
            }
        };
        let back = fabric.net.passage(place, syn.from);
        if fabric.net.passage(syn.from, place) != Passage::Open || back != Passage::Open {
            return self.syn_lost(number);
        }
        fabric
            .trace
            .deliver(now, place, 21, u64::from(syn.from), &left.source.1.to_le_bytes());
        let way = Met {
            place,
            port,
            source: left.source,
            trail: left.trail.iter().chain(&trail).copied().collect(),
        };
        if let Some(conn) = self.crossing(&way) {
            return self.meet(conn, &syn, &way);
        }
        match self.places.get_mut(place as usize) {
            Some(Place::Host(host)) if host.life.is_some() => {
                if port != LISTEN {
                    let at = now + self.fabric.net.latency(place, syn.from);
                    return self.fabric.queue.push(at, Due::Refused(number));
                }
            }
            Some(Place::Actor(_)) => {}
            _ => return self.syn_lost(number),
        }
        self.forget_syn(number);
        self.accept(&syn, &way);
    }

    fn accept(&mut self, syn: &Syn, met: &Met) {
        let place = met.place;
        let Some(id) = self.lay_pipe(syn, met) else {
            return;
        };
        self.fabric.send(id, 1, Load::Accepted);
        let now = self.fabric.now;
        match self.places.get_mut(place as usize) {
            Some(Place::Host(host)) => {
                let local = host.clock.local(now);
                let addr = host.addr.clone();
                let Some(life) = &mut host.life else { return };
                let seat = life
                    .swarm
                    .handle_accepted(local, Some(addr), socket_addr(met.source));
                if let Ok(seat) = seat {
                    host.sit(&mut self.fabric, id, 1, seat);
                } else {
                    self.fabric.send(id, 1, Load::Reset("reset"));
                    self.fabric.leave(id, 1, Body::Gone);
                }
                self.settle(place as usize);
            }
            Some(Place::Actor(_)) => {
                if let Some(body) = self.fabric.body(id, 1) {
                    *body = Body::Actor;
                }
                let (link, from) = (Link(id, 1), syn.from as usize);
                let heard = Heard::Opened {
                    link,
                    place: from,
                    dialed: false,
                };
                self.act(place as usize, heard);
            }
            None => {}
        }
    }

    /// A new pipe between who asks and who is asked.
    fn lay_pipe(&mut self, syn: &Syn, met: &Met) -> Option<PipeId> {
        let (now, place) = (self.fabric.now, met.place);
        let net = &self.fabric.net;
        let way = |latency| Way {
            latency,
            used: now,
            last_at: Instant::ZERO,
            ..Way::default()
        };
        let mut ways = [
            way(net.latency(syn.from, place)),
            way(net.latency(place, syn.from)),
        ];
        for fault in &self.breaks {
            if let FaultKind::BreakAt {
                from,
                to,
                bytes,
                listener,
            } = &fault.kind
            {
                if from.contains(syn.from as usize) && to.contains(place as usize) {
                    if let Some(way) = ways.get_mut(usize::from(*listener)) {
                        way.break_at = Some(*bytes);
                    }
                }
            }
        }
        let direct = net.are_direct(syn.from, place);
        let patience = net.patience(&met.trail, direct);
        let end = |place: u32, conn: ConnectionId| End {
            place,
            conn,
            body: Body::Dialing,
        };
        self.fabric.add_pipe(Pipe {
            ends: [end(syn.from, syn.conn), end(place, ConnectionId::new(0))],
            ways,
            silences: 0,
            silent: false,
            patience,
            socks: [met.source, syn.to],
            locals: [syn.port, met.port],
            trail: met.trail.clone(),
            direct,
        })
    }

    /// The host that was asked asks for the same link itself, from the same port: both requests make one link.
    fn crossing(&self, met: &Met) -> Option<ConnectionId> {
        let Some(Place::Host(host)) = self.places.get(met.place as usize) else {
            return None;
        };
        let life = host.life.as_ref()?;
        let crosses = |number: &u32| {
            let own = self.syn(*number);
            own.is_some_and(|own| own.to == met.source && own.port == met.port)
        };
        let found = life.dials.iter().find(|(_, number)| crosses(number));
        found.map(|(conn, _)| *conn)
    }

    /// Two requests met: both ends are dialers, and hear that the link stands.
    fn meet(&mut self, conn: ConnectionId, syn: &Syn, met: &Met) {
        let dials = |sim: &mut Self, place: u32, conn: ConnectionId| match sim.places.get_mut(place as usize)
        {
            Some(Place::Host(host)) => host.life.as_mut().and_then(|life| life.dials.remove(&conn)),
            _ => None,
        };
        let numbers = [dials(self, met.place, conn), dials(self, syn.from, syn.conn)];
        for number in numbers.into_iter().flatten() {
            self.forget_syn(number);
        }
        let Some(id) = self.lay_pipe(syn, met) else {
            return;
        };
        if let Some(end) = self.fabric.pipe(id).and_then(|pipe| pipe.end(1)) {
            end.conn = conn;
        }
        self.fabric.send(id, 0, Load::Accepted);
        self.fabric.send(id, 1, Load::Accepted);
    }

    pub(crate) fn syn_refused(&mut self, number: u32) {
        let Some(syn) = self.syn(number).cloned() else {
            return;
        };
        self.forget_syn(number);
        let now = self.fabric.now;
        self.fabric.stats.events = self.fabric.stats.events.saturating_add(1);
        let place = syn.from as usize;
        match self.places.get_mut(place) {
            Some(Place::Host(host)) if host.boots == syn.boots => {
                let local = host.clock.local(now);
                if let Some(life) = &mut host.life {
                    life.dials.remove(&syn.conn);
                    let error = AttemptError::Transport("refused");
                    life.swarm.handle_dial_failed(local, syn.conn, error);
                }
                self.settle(place);
            }
            Some(Place::Actor(_)) => {
                let to = self.fabric.net.places.get(&syn.to.0).copied().unwrap_or(u32::MAX);
                let heard = Heard::Refused { place: to as usize };
                self.act(place, heard);
            }
            _ => {}
        }
    }
}

/// Where a request has arrived: at whose port, from where, behind which NATs of both.
struct Met {
    place: u32,
    port: u16,
    source: Sock,
    trail: Trail,
}
