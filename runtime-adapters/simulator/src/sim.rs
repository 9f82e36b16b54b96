//! The world: hosts, actors, what lies between them, and the loop that runs it.

use crate::{
    actor::{Actor, Deed, Heard, Link, Stage},
    app::{App, Birth},
    check::Violation,
    clock::{Clock, Skew},
    error::Error,
    fabric::Fabric,
    fault::Fault,
    host::{Depth, Host, UNREAD, UPGRADE},
    net::{LISTEN, Port, socket_addr},
    pipe::{Body, Load, PipeId, other},
    queue::Due,
    record::Recording,
    scenario::Scenario,
    stats::{Histogram, Sample, Stats},
    trace::{Line, TraceHash},
};
use core::{fmt, time::Duration};
use libp2p_proto_connection::Config as Keys;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, Rng};
use libp2p_proto_identity::{Identity, KeyType, Keypair};
use libp2p_proto_stream_protocol::Dial;
use libp2p_proto_swarm::Swarm;
use std::{net::Ipv4Addr, sync::Arc};

/// What makes an application, at the start of a host and after each crash.
pub(crate) type Make<A> = Box<dyn FnMut(Birth<'_>) -> Result<A, Error>>;

/// Says where the recording of a host's life is to go, by its place and by how often it was started before.
pub(crate) type Tape = Box<dyn FnMut(usize, u32) -> Option<Recording>>;

pub(crate) enum Place<A> {
    Host(Box<Host<A>>),
    Actor(Box<Program>),
}

/// An actor and what belongs to it.
pub(crate) struct Program {
    actor: Option<Box<dyn Actor>>,
    pub(crate) dice: Rng,
    pub(crate) dialed: u64,
}

/// A network of simulated hosts with applications of type `A`. See the crate's page.
pub struct Sim<A> {
    pub(crate) scenario: Scenario,
    pub(crate) places: Vec<Place<A>>,
    pub(crate) fabric: Fabric,
    pub(crate) syns: Vec<Option<crate::dial::Syn>>,
    pub(crate) faults: Vec<Fault>,
    /// Faults that stand, of the kinds that must be looked up.
    pub(crate) breaks: Vec<Fault>,
    pub(crate) make: Make<A>,
    tape: Tape,
    pub(crate) dice: Rng,
    samples: Vec<Sample>,
    started: bool,
}

impl<A: App> Sim<A> {
    /// A world at its first moment. `make` builds the application of each host.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn new(
        scenario: Scenario,
        seed: u64,
        make: impl FnMut(Birth<'_>) -> Result<A, Error> + 'static,
    ) -> Result<Self, Error> {
        Self::recorded(scenario, seed, make, |_, _| None)
    }

    /// The same world, in which lives of hosts are recorded: `tape` says where to, by the host's place and by how often it was started before. What happens is the
    /// same with and without it.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn recorded(
        scenario: Scenario,
        seed: u64,
        make: impl FnMut(Birth<'_>) -> Result<A, Error> + 'static,
        tape: impl FnMut(usize, u32) -> Option<Recording> + 'static,
    ) -> Result<Self, Error> {
        scenario.validate()?;
        let mut bytes = [0; 32];
        bytes
            .iter_mut()
            .zip(seed.to_le_bytes())
            .for_each(|(byte, seed)| *byte = seed);
        let dice = Rng::from_seed(bytes);
        let mut faults = scenario.faults.clone();
        if let Some(chances) = scenario.chances {
            faults.extend(chances.draw(scenario.hosts, &mut dice.fork("faults", 0)));
        }
        let mut sim = Self {
            fabric: Fabric::new(&scenario, &dice),
            places: Vec::new(),
            syns: Vec::new(),
            faults,
            breaks: Vec::new(),
            make: Box::new(make),
            tape: Box::new(tape),
            dice,
            samples: Vec::new(),
            started: false,
            scenario,
        };
        for place in 0..sim.scenario.hosts {
            sim.add_host(place)?;
        }
        Ok(sim)
    }

    fn add_host(&mut self, place: usize) -> Result<(), Error> {
        let number = u32::try_from(place).map_err(|_| Error::OutOfRange("hosts"))?;
        let identity = self.identity(place)?;
        let nat = self
            .scenario
            .nats
            .iter()
            .position(|nat| nat.hosts.contains(&place));
        let drawn = address(if nat.is_some() { 10 } else { 45 }, number);
        let ip = self.scenario.ips.get(&place).copied().unwrap_or(drawn);
        let skew = self
            .scenario
            .skews
            .iter()
            .find(|(places, _)| places.contains(place))
            .map_or_else(Skew::default, |(_, skew)| *skew);
        let net = &mut self.fabric.net;
        net.ports.push(Port { ip, nat });
        net.places.insert(ip, number);
        net.peers.push(Some(identity.peer_id()));
        net.direct.push(self.scenario.depth == Depth::Swarm);
        let addr = socket_addr((ip, LISTEN));
        let mut host = Host::new(number, identity, addr, Clock::new(skew), self.scenario.depth);
        host.strict = self.scenario.strict;
        self.places.push(Place::Host(Box::new(host)));
        self.boot(place)
    }

    /// Who a host is: given, made of a seed that is given, or drawn.
    fn identity(&self, place: usize) -> Result<Identity, Error> {
        if let Some(identity) = self.scenario.identities.get(&place) {
            return Ok(identity.clone());
        }
        let kind = place
            .checked_rem(self.scenario.keys.len())
            .and_then(|at| self.scenario.keys.get(at))
            .copied()
            .unwrap_or(KeyType::Ed25519);
        let keys = match (kind, self.scenario.seeds.get(&place)) {
            (_, Some(seed)) => Keypair::ed25519_from_seed(*seed),
            (KeyType::Ed25519, None) => Keypair::ed25519_from_seed(self.dice.fork_seed("key", place as u64)),
            // Its library takes randomness of its own, which no seed decides.
            (KeyType::Rsa, None) => return Err(Error::OutOfRange("keys")),
            (other, None) => Keypair::generate(other, &mut self.dice.fork("key", place as u64))?,
        };
        Ok(Identity::from(keys))
    }

    /// Starts a host: for the first time, or again with nothing left but its identity.
    pub(crate) fn boot(&mut self, place: usize) -> Result<(), Error> {
        let Some(Place::Host(host)) = self.places.get_mut(place) else {
            return Ok(());
        };
        let boot = host.boots;
        host.boots = boot.saturating_add(1);
        let dice = self.dice.fork("host", place as u64).fork("boot", u64::from(boot));
        let recording = (self.tape)(place, boot).map(|recording| recording.of(host.identity.clone()));
        let (recorder, identity) = recording.unzip();
        let identity = identity.unwrap_or_else(|| host.identity.clone());
        let mut app = (self.make)(Birth {
            place,
            identity: &identity,
            boot,
            dice: dice.fork("birth", 0),
        })?;
        let keys = match host.depth {
            Depth::Full => Some(Keys::new(&host.identity, dice.fork_seed("keys", 0))?),
            // A swarm-level host talks bytes with actors alone; its keys are made in the same way.
            Depth::Swarm if self.scenario.hosts <= 1000 => {
                Some(Keys::new(&host.identity, dice.fork_seed("keys", 0))?)
            }
            Depth::Swarm => None,
        };
        let mut lent = app.protocols();
        let mut swarm = Swarm::new(
            identity,
            self.scenario.swarm.clone(),
            dice.fork_seed("swarm", 0),
            &mut lent,
        )?;
        if let Some(recorder) = recorder {
            swarm.watch(recorder.watcher(), &mut lent);
        }
        drop(lent);
        let local = host.clock.local(self.fabric.now);
        swarm.handle_listening(local, host.addr.clone(), true);
        host.born(swarm, app, keys.map(Arc::new), dice.fork("application", 0));
        host.forget_wake();
        self.settle(place);
        Ok(())
    }

    /// Adds an actor and says at which place it lives.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if there are too many places.
    pub fn add_actor(&mut self, actor: impl Actor + 'static) -> Result<usize, Error> {
        let place = self.places.len();
        let number = u32::try_from(place).map_err(|_| Error::OutOfRange("hosts"))?;
        let ip = self.scenario.ips.get(&place).copied();
        let ip = ip.unwrap_or_else(|| address(45, number));
        let net = &mut self.fabric.net;
        net.ports.push(Port { ip, nat: None });
        net.places.insert(ip, number);
        net.peers.push(None);
        net.direct.push(false);
        self.places.push(Place::Actor(Box::new(Program {
            actor: Some(Box::new(actor)),
            dice: self.dice.fork("actor", place as u64),
            dialed: 0,
        })));
        if self.started {
            self.act(place, Heard::Start);
        }
        Ok(place)
    }

    // ── the loop ──

    fn start(&mut self) {
        if self.started {
            return;
        }
        self.started = true;
        for (number, fault) in (0_u32..).zip(&self.faults) {
            self.fabric.queue.push(instant(fault.at), Due::Fault(number));
            if let Some(end) = fault.ends() {
                self.fabric.queue.push(instant(end), Due::Heal(number));
            }
        }
        if self.scenario.sample.is_some() {
            self.fabric.queue.push(Instant::ZERO, Due::Sample);
        }
        for place in 0..self.places.len() {
            if matches!(self.places.get(place), Some(Place::Actor(_))) {
                self.act(place, Heard::Start);
            }
        }
    }

    /// Lets so much time pass.
    ///
    /// # Errors
    ///
    /// The first [`Violation`]; the world stands still behind it.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Violation> {
        let until = self.fabric.now + time;
        self.run_until(until, |_| false).map(drop)
    }

    /// Lets time pass until `done` says so, at most until `until`. Says whether it is done. `done` is asked after each event.
    ///
    /// # Errors
    ///
    /// The first [`Violation`]; the world stands still behind it.
    pub fn run_until(
        &mut self,
        until: Instant,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, Violation> {
        self.start();
        loop {
            if let Some(violation) = &self.fabric.violation {
                return Err(violation.clone());
            }
            if done(self) {
                return Ok(true);
            }
            if self.fabric.queue.next_at().is_none_or(|at| at > until) {
                self.fabric.now = self.fabric.now.max(until);
                return Ok(false);
            }
            let Some((at, due)) = self.fabric.queue.pop() else {
                continue;
            };
            self.fabric.now = self.fabric.now.max(at);
            self.happen(at, due);
        }
    }

    fn happen(&mut self, at: Instant, due: Due) {
        match due {
            Due::Wake(place) => self.wake(at, place as usize),
            Due::Arrive(id, from) => self.arrive(id, from),
            Due::Room(id, end) => {
                if let Some(way) = self.fabric.pipe(id).and_then(|pipe| pipe.way(end)) {
                    way.room_due = false;
                }
                let place = self
                    .fabric
                    .pipe(id)
                    .and_then(|pipe| pipe.end(end))
                    .map(|end| end.place);
                if let Some(Place::Host(host)) = place.and_then(|place| self.places.get_mut(place as usize)) {
                    host.touch(&mut self.fabric, id, end);
                    self.settle(place.unwrap_or_default() as usize);
                }
            }
            Due::Syn(number) => self.syn_arrives(number),
            Due::Again(number) => self.send_again(number),
            Due::Refused(number) => self.syn_refused(number),
            Due::Silent(id, silence) => self.silent(id, silence),
            Due::OpenBy(id, end, key) => self.poke(id, end, |direct, out| match key {
                UNREAD => direct.unread_too_long(out),
                UPGRADE => direct.upgrade_timed_out(out),
                _ => direct.open_timed_out(key, out),
            }),
            Due::Fault(number) => self.fault_begins(number),
            Due::Heal(number) => self.fault_ends(number),
            Due::Sample => self.sample(),
        }
    }

    fn wake(&mut self, at: Instant, place: usize) {
        match self.places.get_mut(place) {
            Some(Place::Host(host)) => {
                if !host.is_awaited(at) {
                    return;
                }
                self.fabric.stats.events = self.fabric.stats.events.saturating_add(1);
                let number = u32::try_from(place).unwrap_or(u32::MAX);
                self.fabric.trace.deliver(at, number, 20, 0, &[]);
                self.settle(place);
            }
            Some(Place::Actor(_)) => self.act(place, Heard::Wake),
            None => {}
        }
    }

    /// Lets a host do what it can do now, and dials what it wishes.
    pub(crate) fn settle(&mut self, place: usize) {
        let Some(Place::Host(host)) = self.places.get_mut(place) else {
            return;
        };
        let wishes = host.settle(&mut self.fabric);
        for wish in wishes {
            self.dial_link(place, wish);
        }
    }

    pub(crate) fn poke(
        &mut self,
        id: PipeId,
        end: u8,
        what: impl FnOnce(&mut crate::direct::Direct, &mut crate::direct::Out),
    ) {
        let place = self
            .fabric
            .pipe(id)
            .and_then(|pipe| pipe.end(end))
            .map(|end| end.place as usize);
        let Some(place) = place else { return };
        if let Some(Place::Host(host)) = self.places.get_mut(place) {
            host.poke(&mut self.fabric, id, end, what);
            self.settle(place);
        }
    }

    fn silent(&mut self, id: PipeId, silence: u32) {
        let still = |pipe: &mut crate::pipe::Pipe| pipe.silent && pipe.silences == silence;
        if self.fabric.pipe(id).is_some_and(still) {
            for end in [0, 1] {
                self.poke(id, end, |direct, out| direct.handle_reset("keepalive", out));
            }
        }
    }

    /// What one end of a pipe has sent arrives at the other.
    fn arrive(&mut self, id: PipeId, from: u8) {
        let to = other(from);
        let Some(pipe) = self.fabric.pipe(id) else { return };
        let Some(place) = pipe.end(to).map(|end| end.place as usize) else {
            return;
        };
        if let Some(way) = pipe.way(from) {
            way.scheduled = false;
        }
        if !self.fabric.passes(id, from) {
            return;
        }
        match self.fabric.body(id, to) {
            Some(Body::Gone) => return self.arrive_at_nobody(id, from, true),
            Some(Body::Lost) => {
                let up = matches!(self.places.get(place), Some(Place::Host(host)) if host.life.is_some());
                return self.arrive_at_nobody(id, from, up);
            }
            _ => {}
        }
        match self.places.get_mut(place) {
            // The link came to stand after its host was gone.
            Some(Place::Host(host)) if host.life.is_none() => {
                return self.arrive_at_nobody(id, from, false);
            }
            Some(Place::Host(host)) => {
                host.receive(&mut self.fabric, id, to);
                self.settle(place);
            }
            Some(Place::Actor(_)) => self.actor_receives(place, id, to),
            None => {}
        }
        // Whatever else is on its way arrives in its time.
        let now = self.fabric.now;
        let Some(way) = self.fabric.pipe(id).and_then(|pipe| pipe.way(from)) else {
            return;
        };
        if let (Some(parcel), false) = (way.queue.front(), way.scheduled || way.unread || way.held) {
            let at = parcel.at.max(now);
            way.scheduled = true;
            self.fabric.queue.push(at, Due::Arrive(id, from));
        }
    }

    /// Nobody is there any more: an operating system that is up says so.
    fn arrive_at_nobody(&mut self, id: PipeId, from: u8, answers: bool) {
        let Some(way) = self.fabric.pipe(id).and_then(|pipe| pipe.way(from)) else {
            return;
        };
        let data = way
            .queue
            .iter()
            .any(|parcel| matches!(parcel.load, Load::Bytes(_) | Load::Wire(_)));
        way.queue.clear();
        way.dead = true;
        if data && answers {
            self.fabric.send(id, other(from), Load::Reset("reset"));
        }
    }

    // ── actors ──

    fn actor_receives(&mut self, place: usize, id: PipeId, end: u8) {
        let now = self.fabric.now;
        let link = Link(id, end);
        loop {
            let Some(pipe) = self.fabric.pipe(id) else { return };
            let far = pipe.end(other(end)).map_or(0, |end| end.place as usize);
            let Some(way) = pipe.way(other(end)) else { return };
            if way.queue.front().is_none_or(|parcel| parcel.at > now) {
                return;
            }
            let Some(parcel) = way.queue.pop_front() else {
                return;
            };
            way.in_flight = way.in_flight.saturating_sub(parcel.load.size());
            if core::mem::take(&mut way.choked) {
                way.room_due = true;
                self.fabric.queue.push(now, Due::Room(id, other(end)));
            }
            self.fabric.stats.events = self.fabric.stats.events.saturating_add(1);
            match &parcel.load {
                Load::Accepted => {
                    if let Some(body) = self.fabric.body(id, end) {
                        *body = Body::Actor;
                    }
                    let (place_of, dialed) = (far, true);
                    self.act(
                        place,
                        Heard::Opened {
                            link,
                            place: place_of,
                            dialed,
                        },
                    );
                }
                Load::Bytes(bytes) => self.act(place, Heard::Bytes { link, bytes }),
                Load::End => self.act(place, Heard::Ended { link }),
                Load::Reset(_) => {
                    self.fabric.leave(id, end, Body::Gone);
                    self.act(place, Heard::Broken { link });
                }
                Load::Wire(_) => {}
            }
        }
    }

    /// Lets an actor act.
    pub(crate) fn act(&mut self, place: usize, heard: Heard<'_>) {
        let now = self.fabric.now;
        let Some(Place::Actor(program)) = self.places.get_mut(place) else {
            return;
        };
        let Some(mut actor) = program.actor.take() else {
            return;
        };
        let mut stage = Stage {
            now,
            dice: &mut program.dice,
            deeds: Vec::new(),
        };
        actor.handle(&mut stage, heard);
        let deeds = stage.deeds;
        program.actor = Some(actor);
        let number = u32::try_from(place).unwrap_or(u32::MAX);
        for deed in deeds {
            match deed {
                Deed::Write(link, bytes) => self.fabric.send(link.0, link.1, Load::Bytes(bytes)),
                Deed::End(link) => self.fabric.send(link.0, link.1, Load::End),
                Deed::Reset(link) => {
                    self.fabric.send(link.0, link.1, Load::Reset("reset"));
                    self.fabric.leave(link.0, link.1, Body::Gone);
                }
                Deed::Dial(to) => self.actor_dials(place, to),
                Deed::WakeAt(at) => self.fabric.queue.push(at.max(now), Due::Wake(number)),
                Deed::Note(what) => self.fabric.trace.tell(now, number, format_args!("{what}")),
            }
        }
    }

    // ── commands ──

    /// Lets the outside command an application and its swarm, at this moment. `None` if the host is down.
    pub fn command<R>(
        &mut self,
        host: usize,
        what: impl FnOnce(&mut A, &mut Swarm, Instant) -> R,
    ) -> Option<R> {
        let now = self.fabric.now;
        let Some(Place::Host(place)) = self.places.get_mut(host) else {
            return None;
        };
        let local = place.clock.local(now);
        let life = place.life.as_mut()?;
        let result = what(&mut life.app, &mut life.swarm, local);
        self.settle(host);
        Some(result)
    }

    /// Lets one host dial another place, whose peer must answer if it is a host. Says whether there was anything to dial.
    pub fn dial(&mut self, from: usize, to: usize) -> bool {
        let addr = self.address_of(to);
        let peer = self.fabric.net.peers.get(to).copied().flatten();
        let Some(addr) = addr else { return false };
        let dial = match peer {
            Some(peer) => Dial {
                addrs: vec![addr],
                ..Dial::peer(peer)
            },
            None => Dial::addr(addr),
        };
        self.command(from, |_, swarm, now| swarm.dial(now, dial).is_ok()) == Some(true)
    }

    /// Closes every host in an orderly way, waits, and looks whether anything is left (G4).
    ///
    /// # Errors
    ///
    /// What is left.
    pub fn wind_down(&mut self, within: Duration) -> Result<(), Violation> {
        self.fabric.net.rules.clear();
        self.fabric.release();
        for place in 0..self.places.len() {
            if let Some(Place::Host(host)) = self.places.get_mut(place) {
                host.deaf = false;
            }
            self.command(place, |app, swarm, now| {
                app.close();
                swarm.close(now);
            });
        }
        self.run_for(within)?;
        for place in 0..self.places.len() {
            let left = self.command(place, |app, swarm, _| {
                let stats = swarm.stats();
                let counts = [
                    ("streams", stats.streams),
                    ("dials", stats.dials),
                    (
                        "pending",
                        stats.pending_inbound.saturating_add(stats.pending_outbound),
                    ),
                    ("established", stats.established),
                    ("closing", stats.closing),
                    ("census", app.census()),
                ];
                counts.into_iter().find(|(_, count)| *count > 0)
            });
            if let Some(Some((what, count))) = left {
                let place = u32::try_from(place).unwrap_or(u32::MAX);
                self.fabric
                    .accuse("G4", place, format!("{count} {what} are left"));
            }
        }
        self.fabric.violation.clone().map_or(Ok(()), Err)
    }

    // ── figures ──

    fn sample(&mut self) {
        let mut sample = Sample {
            at: self.fabric.now,
            events: self.fabric.stats.events,
            ..Sample::default()
        };
        for place in &self.places {
            if let Place::Host(host) = place {
                let stats = host.life.as_ref().map(|life| life.swarm.stats());
                let stats = stats.unwrap_or_default();
                sample.connections = sample.connections.saturating_add(stats.established);
                sample.streams = sample.streams.saturating_add(stats.streams);
                let held = host.life.as_ref().map_or(0, |life| life.app.held());
                sample.held = sample.held.saturating_add(stats.book_bytes).saturating_add(held);
            }
        }
        let pipes = self.fabric.pipes.iter().flatten();
        sample.bytes_waiting = pipes
            .flat_map(|pipe| &pipe.ways)
            .fold(0, |sum, way| sum.saturating_add(way.in_flight));
        let ends = self.fabric.pipes.iter().flatten().flat_map(|pipe| &pipe.ends);
        let unread = ends.fold(0_usize, |sum, end| sum.saturating_add(end.body.unread()));
        sample.held = sample
            .held
            .saturating_add(sample.bytes_waiting)
            .saturating_add(unread);
        self.samples.push(sample);
        if let Some(every) = self.scenario.sample {
            let at = self.fabric.now + every;
            self.fabric.queue.push(at, Due::Sample);
        }
    }
}

impl<A> Sim<A> {
    /// The simulation's time.
    pub const fn now(&self) -> Instant {
        self.fabric.now
    }

    /// Where a place is reached from outside of its NATs: `None` for an unknown place. A host behind a NAT has only its inner address.
    pub fn address_of(&self, place: usize) -> Option<Multiaddr> {
        let port = self.fabric.net.ports.get(place)?;
        Some(socket_addr((port.ip, LISTEN)))
    }

    /// Who lives at a place.
    pub fn peer(&self, place: usize) -> Option<PeerId> {
        self.fabric.net.peers.get(place).copied().flatten()
    }

    /// The application of a host that is up.
    pub fn app(&self, place: usize) -> Option<&A> {
        match self.places.get(place)? {
            Place::Host(host) => host.life.as_ref().map(|life| &life.app),
            Place::Actor(_) => None,
        }
    }

    /// The swarm of a host that is up.
    pub fn swarm(&self, place: usize) -> Option<&Swarm> {
        match self.places.get(place)? {
            Place::Host(host) => host.life.as_ref().map(|life| &life.swarm),
            Place::Actor(_) => None,
        }
    }

    /// How often a host was started.
    pub fn boots(&self, place: usize) -> u32 {
        match self.places.get(place) {
            Some(Place::Host(host)) => host.boots,
            _ => 0,
        }
    }

    /// Counters.
    pub const fn stats(&self) -> Stats {
        self.fabric.stats
    }

    /// The hash over everything that happened so far.
    pub fn trace_hash(&self) -> TraceHash {
        self.fabric.trace.hash()
    }

    /// The lines of the trace, if they are kept.
    pub fn lines(&self) -> &[Line] {
        self.fabric.trace.lines.as_deref().unwrap_or_default()
    }

    /// Takes the lines of the trace, so that they need no memory any longer.
    pub fn take_lines(&mut self) -> Vec<Line> {
        self.fabric
            .trace
            .lines
            .as_mut()
            .map(core::mem::take)
            .unwrap_or_default()
    }

    /// What was sampled.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Round trips that applications measured.
    pub fn latencies(&self) -> Histogram {
        self.merged(|host| &host.latencies)
    }

    /// How long published messages took to each receiver, by [`Step::delivered`](crate::Step::delivered).
    pub fn deliveries(&self) -> Histogram {
        self.merged(|host| &host.deliveries)
    }

    fn merged(&self, of: impl Fn(&Host<A>) -> &Histogram) -> Histogram {
        let mut all = Histogram::default();
        for place in &self.places {
            if let Place::Host(host) = place {
                all.merge(of(host));
            }
        }
        all
    }

    /// The faults of this run, those that were drawn included.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Links that stand, and events that are due: what the world itself holds.
    pub fn pending(&self) -> (usize, usize) {
        (self.fabric.open_pipes, self.fabric.queue.len())
    }

    /// Under [`Order::Script`](crate::Order::Script): among how many was chosen, each time that there was a choice.
    pub fn choices(&self) -> &[usize] {
        self.fabric.queue.choices()
    }
}

impl<A> fmt::Debug for Sim<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sim({} places at {:?})", self.places.len(), self.fabric.now)
    }
}

/// A point of time of a scenario.
pub(crate) fn instant(at: Duration) -> Instant {
    Instant::ZERO + at
}

/// A seed that is the number, little endian, and zeros.
pub(crate) fn numbered(number: u32) -> [u8; 32] {
    let mut seed = [0; 32];
    seed.iter_mut()
        .zip(number.to_le_bytes())
        .for_each(|(byte, part)| *byte = part);
    seed
}

/// An address of its own for every number, far from those of its neighbours: limits count networks.
pub(crate) fn address(net: u8, number: u32) -> Ipv4Addr {
    let spread = number.saturating_add(1).wrapping_mul(0x009e_3779) & 0x00ff_ffff;
    Ipv4Addr::from((u32::from(net) << 24) | spread)
}
