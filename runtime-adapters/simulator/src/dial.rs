//! How links come about: a request, its way through NATs, and the answer.

use crate::{
    actor::{Heard, Link},
    app::App,
    fault::FaultKind,
    nat::{Arrival, Sock, source_port},
    net::{LISTEN, Passage, socket_addr},
    pipe::{Body, End, Load, Pipe, PipeId, Way},
    queue::Due,
    sim::{Place, Sim},
};
use libp2p_proto_core::{ConnectionId, Instant};
use libp2p_proto_stream_protocol::AttemptError;

/// A request for a link, on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Syn {
    from: u32,
    boots: u32,
    conn: ConnectionId,
    /// The sender as it looks outside of its NATs.
    source: Sock,
    to: Sock,
}

impl<A: App> Sim<A> {
    /// A host asks for a link.
    pub(crate) fn dial_link(&mut self, place: usize, conn: ConnectionId, to: Sock) {
        let Some(Place::Host(host)) = self.places.get_mut(place) else {
            return;
        };
        let port = source_port(self.scenario.reuse_port, host.dialed);
        host.dialed = host.dialed.saturating_add(1);
        let boots = host.boots;
        self.send_syn(place, port, (conn, boots), to);
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

    fn send_syn(&mut self, place: usize, port: u16, (conn, boots): (ConnectionId, u32), to: Sock) {
        let fabric = &mut self.fabric;
        let Ok(from) = u32::try_from(place) else { return };
        fabric.stats.dials = fabric.stats.dials.saturating_add(1);
        let Some(source) = fabric.net.depart(fabric.now, from, port, to, &mut fabric.dice) else {
            return;
        };
        let far = fabric.net.places.get(&to.0).copied().unwrap_or(u32::MAX);
        let at = fabric.now + fabric.net.latency(from, far) + fabric.net.jitter(&mut fabric.dice);
        let Ok(number) = u32::try_from(self.syns.len()) else {
            return;
        };
        self.syns.push(Some(Syn {
            from,
            boots,
            conn,
            source,
            to,
        }));
        fabric.queue.push(at, Due::Syn(number));
        if let Some(Place::Host(host)) = self.places.get_mut(place) {
            if let Some(life) = &mut host.life {
                life.dials.insert(conn, number);
            }
        }
    }

    fn syn(&self, number: u32) -> Option<Syn> {
        self.syns.get(number as usize).copied().flatten()
    }

    pub(crate) fn syn_arrives(&mut self, number: u32) {
        let Some(syn) = self.syn(number) else { return };
        let fabric = &mut self.fabric;
        let now = fabric.now;
        fabric.stats.events = fabric.stats.events.saturating_add(1);
        let Arrival::At(place, port) = fabric.net.arrive(now, syn.source, syn.to) else {
            return;
        };
        let back = fabric.net.passage(place, syn.from);
        if fabric.net.passage(syn.from, place) != Passage::Open || back != Passage::Open {
            return;
        }
        fabric
            .trace
            .deliver(now, place, 21, u64::from(syn.from), &syn.source.1.to_le_bytes());
        if let Some(conn) = self.crossing(place, &syn) {
            return self.meet(place, conn, &syn);
        }
        match self.places.get_mut(place as usize) {
            Some(Place::Host(host)) if host.life.is_some() => {
                if port != LISTEN {
                    let at = now + self.fabric.net.latency(syn.from, place);
                    return self.fabric.queue.push(at, Due::Refused(number));
                }
            }
            Some(Place::Actor(_)) => {}
            _ => return,
        }
        if let Some(slot) = self.syns.get_mut(number as usize) {
            *slot = None;
        }
        self.accept(place, &syn);
    }

    fn accept(&mut self, place: u32, syn: &Syn) {
        let Some(id) = self.lay_pipe(syn, place) else {
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
                    .handle_accepted(local, Some(addr), socket_addr(syn.source));
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
    fn lay_pipe(&mut self, syn: &Syn, place: u32) -> Option<PipeId> {
        let now = self.fabric.now;
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
        let patience = net.patience(syn.from, place);
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
            socks: [syn.source, syn.to],
        })
    }

    /// The host that was asked asks for the same link itself, from the same port: both requests make one link.
    fn crossing(&self, place: u32, syn: &Syn) -> Option<ConnectionId> {
        let Some(Place::Host(host)) = self.places.get(place as usize) else {
            return None;
        };
        let life = host.life.as_ref().filter(|_| self.scenario.reuse_port)?;
        let crosses = |number: &u32| {
            let own = self.syn(*number);
            own.is_some_and(|own| own.to == syn.source && own.source == syn.to)
        };
        let found = life.dials.iter().find(|(_, number)| crosses(number));
        found.map(|(conn, _)| *conn)
    }

    /// Two requests met: both ends are dialers, and hear that the link stands.
    fn meet(&mut self, place: u32, conn: ConnectionId, syn: &Syn) {
        let dials = |sim: &mut Self, place: u32, conn: ConnectionId| match sim.places.get_mut(place as usize)
        {
            Some(Place::Host(host)) => host.life.as_mut().and_then(|life| life.dials.remove(&conn)),
            _ => None,
        };
        for number in [dials(self, place, conn), dials(self, syn.from, syn.conn)] {
            let slot = number.and_then(|number| self.syns.get_mut(number as usize));
            if let Some(slot) = slot {
                *slot = None;
            }
        }
        let Some(id) = self.lay_pipe(syn, place) else {
            return;
        };
        if let Some(end) = self.fabric.pipe(id).and_then(|pipe| pipe.end(1)) {
            end.conn = conn;
        }
        self.fabric.send(id, 0, Load::Accepted);
        self.fabric.send(id, 1, Load::Accepted);
    }

    pub(crate) fn syn_refused(&mut self, number: u32) {
        let Some(syn) = self.syn(number) else { return };
        if let Some(slot) = self.syns.get_mut(number as usize) {
            *slot = None;
        }
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
