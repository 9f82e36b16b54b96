//! One host: a swarm, its application, and the connections that end here.

use crate::{
    app::{App, Step},
    clock::Clock,
    direct::{Direct, Out},
    fabric::Fabric,
    net::socket_addr,
    pipe::{Body, Full, Load, PipeId, other},
    queue::Due,
    stats::Histogram,
};
use core::mem;
use libp2p_proto_connection::{Config as Keys, Connection};
use libp2p_proto_core::{ConnectionId, Deadline, Instant, Multiaddr, Rng, Timers, TransmitBuf, UnixTime};
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::{AttemptError, FromConnection, Seat, ToConnection};
use libp2p_proto_swarm::{Action, Event, Swarm};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

/// Inputs that one drive delivers.
const BUDGET: usize = 1024;
/// Rounds of work at one instant beyond which a host is said to be in a busy loop.
const ROUNDS: u32 = 20_000;

/// How much of a connection is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Every byte goes through negotiation, Noise and yamux.
    #[default]
    Full,
    /// Swarms exchange messages; see the crate's page.
    Swarm,
}

/// A host that runs.
pub(crate) struct Life<A> {
    pub(crate) swarm: Swarm,
    pub(crate) app: A,
    pub(crate) keys: Option<Arc<Keys>>,
    pub(crate) ends: BTreeMap<ConnectionId, (PipeId, u8)>,
    /// Deadlines of connection machines, on the host's clock.
    timers: Timers<ConnectionId>,
    /// News that the swarm does not want yet.
    carry: VecDeque<(ConnectionId, FromConnection)>,
    /// Connections to be served before the host rests.
    touched: BTreeSet<ConnectionId>,
    /// Connections with something to tell that the swarm does not want yet.
    waiting: BTreeSet<ConnectionId>,
    /// Dials under way.
    pub(crate) dials: BTreeMap<ConnectionId, u32>,
    pub(crate) dice: Rng,
}

pub(crate) struct Host<A> {
    pub(crate) place: u32,
    pub(crate) identity: Identity,
    pub(crate) addr: Multiaddr,
    pub(crate) clock: Clock,
    pub(crate) depth: Depth,
    pub(crate) life: Option<Life<A>>,
    pub(crate) boots: u32,
    /// The application looks at nothing.
    pub(crate) deaf: bool,
    pub(crate) dialed: u64,
    pub(crate) latencies: Histogram,
    pub(crate) deliveries: Histogram,
    /// The earliest wake-up in the heap.
    wake_at: Instant,
    /// Rounds since the host's time last moved.
    rounds: u32,
    last: Instant,
    /// The latest time that the machines were told.
    latest: Instant,
    /// Whether everything is looked at after each step.
    pub(crate) strict: bool,
    out: Out,
}

/// A wish to connect, for the world to carry out.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) conn: ConnectionId,
    pub(crate) to: (std::net::Ipv4Addr, u16),
    pub(crate) reuse_port: bool,
}

impl<A: App> Host<A> {
    pub(crate) fn new(place: u32, identity: Identity, addr: Multiaddr, clock: Clock, depth: Depth) -> Self {
        Self {
            place,
            identity,
            addr,
            clock,
            depth,
            life: None,
            boots: 0,
            deaf: false,
            dialed: 0,
            latencies: Histogram::default(),
            deliveries: Histogram::default(),
            wake_at: Instant::MAX,
            rounds: 0,
            last: Instant::MAX,
            latest: Instant::ZERO,
            strict: true,
            out: Out::default(),
        }
    }

    pub(crate) fn born(&mut self, swarm: Swarm, app: A, keys: Option<Arc<Keys>>, dice: Rng) {
        self.latest = Instant::ZERO;
        self.life = Some(Life {
            swarm,
            app,
            keys,
            ends: BTreeMap::new(),
            timers: Timers::new(),
            carry: VecDeque::new(),
            touched: BTreeSet::new(),
            waiting: BTreeSet::new(),
            dials: BTreeMap::new(),
            dice,
        });
    }

    fn times(&self, now: Instant) -> (Instant, UnixTime) {
        // Machines are never told of a clock that was set back.
        (self.clock.local(now).max(self.latest), self.clock.unix(now))
    }

    // ── what arrives ──

    /// A wake-up; says whether it is the one that counts.
    pub(crate) fn is_awaited(&mut self, now: Instant) -> bool {
        let awaited = self.wake_at == now;
        if awaited {
            self.wake_at = Instant::MAX;
        }
        awaited
    }

    /// The clock was set: deadlines are due at other times.
    pub(crate) fn forget_wake(&mut self) {
        self.wake_at = Instant::MAX;
    }

    /// Takes what has arrived on a pipe.
    pub(crate) fn receive(&mut self, fabric: &mut Fabric, id: PipeId, end: u8) {
        let now = fabric.now;
        let (local, _) = self.times(now);
        let from = other(end);
        loop {
            let Some(life) = &mut self.life else { return };
            let Some(pipe) = fabric.pipe(id) else { return };
            let Some(conn) = pipe.end(end).map(|end| end.conn) else {
                return;
            };
            let busy = !life.carry.is_empty() && !life.swarm.wants_messages();
            let refuses = match pipe.end(end).map(|end| &end.body) {
                Some(Body::Full(full)) => !full.machine.wants_input() && !full.machine.is_closed(),
                Some(Body::Direct(direct)) => busy || !direct.wants_input(),
                _ => false,
            };
            let Some(way) = pipe.way(from) else { return };
            if way.queue.front().is_none_or(|parcel| parcel.at > now) {
                return;
            }
            if refuses {
                way.unread = true;
                life.touched.insert(conn);
                return;
            }
            let Some(parcel) = way.queue.pop_front() else {
                return;
            };
            let size = parcel.load.size();
            way.in_flight = way.in_flight.saturating_sub(size);
            if mem::take(&mut way.choked) {
                way.room_due = true;
                fabric.queue.push(now, Due::Room(id, from));
            }
            let number = (u64::from(id) << 1) | u64::from(end);
            let (kind, number, bytes): (u8, u64, &[u8]) = match &parcel.load {
                Load::Bytes(bytes) => (10, number, bytes),
                Load::Wire(wire) => wire.record(),
                Load::Accepted => (11, number, &[]),
                Load::End => (12, number, &[]),
                Load::Reset(_) => (13, number, &[]),
            };
            fabric.trace.deliver(now, self.place, kind, number, bytes);
            fabric.stats.events = fabric.stats.events.saturating_add(1);
            fabric.stats.parcels = fabric.stats.parcels.saturating_add(1);
            fabric.stats.bytes = fabric.stats.bytes.saturating_add(size as u64);
            self.take(fabric, local, (id, end, conn), parcel.load);
        }
    }

    fn take(
        &mut self,
        fabric: &mut Fabric,
        local: Instant,
        (id, end, conn): (PipeId, u8, ConnectionId),
        load: Load,
    ) {
        let Some(life) = &mut self.life else { return };
        if let Load::Accepted = load {
            return self.dialed(fabric, local, (id, end, conn));
        }
        let pieces = fabric.cut(load.size());
        match fabric.body(id, end) {
            Some(Body::Full(full)) => {
                match load {
                    Load::Bytes(bytes) => full.feed(local, bytes, &pieces),
                    Load::End => full.machine.handle_eof(local),
                    Load::Reset(cause) => full.machine.handle_link_error(local, cause),
                    _ => {}
                }
                life.touched.insert(conn);
            }
            Some(Body::Direct(direct)) => {
                match load {
                    Load::Wire(wire) => direct.handle_wire(wire, &mut self.out),
                    Load::Reset(cause) => direct.handle_reset(cause, &mut self.out),
                    Load::End => direct.handle_reset("eof", &mut self.out),
                    _ => {}
                }
                self.carry_out(fabric, (id, end, conn));
            }
            _ => {}
        }
    }

    /// A link that we dialed stands.
    fn dialed(&mut self, fabric: &mut Fabric, local: Instant, (id, end, conn): (PipeId, u8, ConnectionId)) {
        let Some(life) = &mut self.life else { return };
        life.dials.remove(&conn);
        let Some(pipe) = fabric.pipe(id) else { return };
        let (port, remote) = (pipe.local(end), socket_addr(pipe.far(end)));
        let port = fabric.net.ports.get(self.place as usize).map(|at| (at.ip, port));
        let seat = life
            .swarm
            .handle_dialed(local, conn, port.map(socket_addr), remote);
        if let Ok(seat) = seat {
            self.sit(fabric, id, end, seat);
        } else {
            fabric.send(id, end, Load::Reset("reset"));
            fabric.leave(id, end, Body::Gone);
        }
    }

    /// A connection sits down at its end of a pipe.
    pub(crate) fn sit(&mut self, fabric: &mut Fabric, id: PipeId, end: u8, seat: Seat) {
        let (local, _) = self.times(fabric.now);
        let Some(life) = &mut self.life else { return };
        let conn = seat.conn;
        let body = match (&life.keys, fabric.pipe(id).is_some_and(|pipe| pipe.direct)) {
            (_, true) => {
                if fabric.is_slow(id) {
                    let at = fabric.now + seat.upgrade_by.since(local);
                    fabric.queue.push(at, Due::OpenBy(id, end, UPGRADE));
                }
                let direct = Direct::new(seat, self.identity.peer_id());
                direct.begin(&mut self.out);
                Body::Direct(Box::new(direct))
            }
            (Some(keys), false) => Body::Full(Box::new(Full {
                machine: Connection::new(local, keys.clone(), seat),
                tail: Vec::new(),
                ended: false,
            })),
            (None, false) => return,
        };
        if let Some(place) = fabric.pipe(id).and_then(|pipe| pipe.end(end)) {
            (place.body, place.conn) = (body, conn);
        }
        life.ends.insert(conn, (id, end));
        life.touched.insert(conn);
        self.carry_out(fabric, (id, end, conn));
    }

    // ── what a swarm-level end says ──

    /// Carries what came out of a swarm-level end.
    pub(crate) fn carry_out(&mut self, fabric: &mut Fabric, (id, end, conn): (PipeId, u8, ConnectionId)) {
        let (local, _) = self.times(fabric.now);
        let Some(life) = &mut self.life else { return };
        for wire in self.out.wires.drain(..) {
            fabric.send(id, end, Load::Wire(wire));
        }
        while let Some(news) = self.out.news.pop_front() {
            if life.carry.is_empty() && life.swarm.wants_messages() {
                life.swarm.handle_message(local, conn, news);
            } else {
                life.carry.push_back((conn, news));
            }
        }
        if !self.out.opened.is_empty() {
            let slow = fabric.is_slow(id);
            for key in self.out.opened.drain(..).filter(|_| slow) {
                watch_open(fabric, id, end, key);
            }
        }
        if mem::take(&mut self.out.over) {
            life.ends.remove(&conn);
            fabric.send(id, end, Load::End);
            fabric.leave(id, end, Body::Gone);
        }
    }

    /// Something is to happen to a swarm-level end.
    pub(crate) fn poke(
        &mut self,
        fabric: &mut Fabric,
        id: PipeId,
        end: u8,
        what: impl FnOnce(&mut Direct, &mut Out),
    ) {
        let Some(conn) = fabric.pipe(id).and_then(|pipe| pipe.end(end)).map(|end| end.conn) else {
            return;
        };
        if let Some(Body::Direct(direct)) = fabric.body(id, end) {
            what(direct, &mut self.out);
            self.carry_out(fabric, (id, end, conn));
        }
    }

    /// A connection is to be served although nothing arrived.
    pub(crate) fn touch(&mut self, fabric: &mut Fabric, id: PipeId, end: u8) {
        let conn = fabric.pipe(id).and_then(|pipe| pipe.end(end)).map(|end| end.conn);
        if let Some((life, conn)) = self.life.as_mut().zip(conn) {
            life.touched.insert(conn);
        }
    }

    // ── work ──

    /// Does everything that can be done now, and says what is to be dialed. Afterwards the host rests until something arrives or a deadline comes.
    pub(crate) fn settle(&mut self, fabric: &mut Fabric) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let now = fabric.now;
        let (local, unix) = self.times(now);
        self.latest = local;
        if self.last != now {
            (self.last, self.rounds) = (now, 0);
        }
        self.fire(fabric, local);
        loop {
            self.rounds = self.rounds.saturating_add(1);
            if self.rounds > ROUNDS {
                let deadline = self.deadline();
                fabric.accuse("G5", self.place, format!("a busy loop: {deadline:?}"));
                break;
            }
            let Some(life) = &mut self.life else { return wishes };
            while life.swarm.wants_messages() {
                let Some((conn, news)) = life.carry.pop_front() else {
                    break;
                };
                life.swarm.handle_message(local, conn, news);
            }
            let more = {
                let mut lent = life.app.protocols();
                life.swarm.drive(local, unix, &mut lent, BUDGET)
            };
            if !self.deaf {
                self.listen(fabric, local, unix);
            }
            self.act(fabric, local, &mut wishes);
            self.serve(fabric, local);
            let Some(life) = &self.life else { return wishes };
            let carries = !life.carry.is_empty() && life.swarm.wants_messages();
            if more || carries || !life.touched.is_empty() {
                continue;
            }
            // News that came meanwhile is a deadline of the swarm.
            match self.deadline() {
                Some(deadline) if deadline.is_due(local) => self.fire(fabric, local),
                deadline => {
                    self.rest(fabric, deadline);
                    break;
                }
            }
        }
        if self.strict {
            self.look(fabric, local, unix);
        }
        wishes
    }

    /// Deadlines of connection machines.
    fn fire(&mut self, fabric: &mut Fabric, local: Instant) {
        let Some(life) = &mut self.life else { return };
        while let Some(conn) = life.timers.pop_due(local) {
            fabric.stats.events = fabric.stats.events.saturating_add(1);
            let end = life.ends.get(&conn).copied();
            if let Some(Body::Full(full)) = end.and_then(|(id, end)| fabric.body(id, end)) {
                full.machine.handle_timeout(local);
                life.touched.insert(conn);
            }
        }
    }

    /// The application hears what is new.
    fn listen(&mut self, fabric: &mut Fabric, local: Instant, unix: UnixTime) {
        let Some(life) = &mut self.life else { return };
        let mut wrong = None;
        loop {
            let event = life.swarm.poll_event();
            if let Some(event) = &event {
                tell(fabric, self.place, &life.ends, event);
            }
            let mut cx = Step {
                now: local,
                unix,
                swarm: &mut life.swarm,
                dice: &mut life.dice,
                place: self.place,
                at: fabric.now,
                trace: &mut fabric.trace,
                latencies: &mut self.latencies,
                deliveries: &mut self.deliveries,
                stats: &mut fabric.stats,
                wrong: &mut wrong,
            };
            if let Some(event) = event {
                life.app.handle_event(&mut cx, &event);
            } else {
                life.app.step(&mut cx);
                break;
            }
        }
        if let Some(wrong) = wrong {
            fabric.accuse("G2", self.place, wrong);
        }
    }

    /// Carries out what the swarm asks for.
    fn act(&mut self, fabric: &mut Fabric, local: Instant, wishes: &mut Vec<Wish>) {
        while let Some(action) = self.life.as_mut().and_then(|life| life.swarm.poll_action()) {
            match action {
                Action::Order { conn, message } => self.order(fabric, local, conn, message),
                Action::Dial {
                    conn,
                    addr,
                    reuse_port,
                } => {
                    if let Some((IpAddr::V4(ip), port)) = addr.socket_tcp() {
                        wishes.push(Wish {
                            conn,
                            to: (ip, port),
                            reuse_port,
                        });
                    } else if let Some(life) = &mut self.life {
                        let error = AttemptError::Transport("unsupported");
                        life.swarm.handle_dial_failed(local, conn, error);
                    }
                }
                Action::CancelDial { conn } => {
                    if let Some(life) = &mut self.life {
                        life.dials.remove(&conn);
                    }
                }
                Action::Resolve { query, .. } => {
                    if let Some(life) = &mut self.life {
                        life.swarm.handle_resolved(local, query, Err("no-resolver"));
                    }
                }
                _ => {}
            }
        }
    }

    fn order(&mut self, fabric: &mut Fabric, local: Instant, conn: ConnectionId, message: ToConnection) {
        let Some(life) = &mut self.life else { return };
        let Some((id, end)) = life.ends.get(&conn).copied() else {
            return;
        };
        match fabric.body(id, end) {
            Some(Body::Full(full)) => {
                full.machine.handle_message(local, message);
                life.touched.insert(conn);
            }
            Some(Body::Direct(direct)) => {
                let refused = !direct.wants_input();
                direct.handle_order(message, &mut self.out);
                let resumes = refused && direct.wants_input();
                self.carry_out(fabric, (id, end, conn));
                if resumes {
                    fabric.read_on(id, end);
                }
            }
            _ => {}
        }
    }

    /// Serves connections that were touched.
    fn serve(&mut self, fabric: &mut Fabric, local: Instant) {
        let Some(life) = &mut self.life else { return };
        if life.swarm.wants_messages() && !life.waiting.is_empty() {
            let waiting = mem::take(&mut life.waiting);
            life.touched.extend(waiting);
        }
        while let Some(conn) = life.touched.pop_first() {
            let Some((id, end)) = life.ends.get(&conn).copied() else {
                continue;
            };
            let is_full = matches!(fabric.body(id, end), Some(Body::Full(_)));
            if is_full {
                pump(life, fabric, local, (id, end, conn));
            } else if let Some(Body::Direct(direct)) = fabric.body(id, end) {
                if direct.is_full() {
                    watch_unread(fabric, id, end);
                } else if !direct.wants_input() {
                    // Admission reads on.
                } else if life.carry.is_empty() || life.swarm.wants_messages() {
                    fabric.read_on(id, end);
                } else {
                    life.waiting.insert(conn);
                }
            }
        }
    }

    fn deadline(&mut self) -> Option<Deadline> {
        let deaf = self.deaf;
        let life = self.life.as_mut()?;
        let app = life.app.poll_timeout().filter(|_| !deaf);
        let links = life.timers.next().map(|(at, _)| Deadline::new(at, "link"));
        let mut lent = life.app.protocols();
        let swarm = life.swarm.poll_timeout(&mut lent);
        let app = app.map(|at| Deadline::new(at, "application"));
        Deadline::earliest(Deadline::earliest(swarm, links), app)
    }

    fn rest(&mut self, fabric: &mut Fabric, deadline: Option<Deadline>) {
        let when = deadline.and_then(|deadline| self.clock.when(deadline.at));
        let Some(at) = when.map(|at| at.max(fabric.now)) else {
            return;
        };
        if at < self.wake_at {
            self.wake_at = at;
            fabric.queue.push(at, Due::Wake(self.place));
        }
    }

    /// Looks at everything: budgets (G3), and that nothing was forgotten (G5).
    fn look(&mut self, fabric: &mut Fabric, local: Instant, unix: UnixTime) {
        let place = self.place;
        let Some(life) = &mut self.life else { return };
        if let Err(what) = life.swarm.audit() {
            fabric.accuse("G3", place, what.into());
        }
        let mut lent = life.app.protocols();
        if life.swarm.drive(local, unix, &mut lent, 1) {
            fabric.accuse("G5", place, "a drive was left over".into());
        }
        let due = lent.iter().filter_map(|protocol| protocol.poll_timeout());
        if let Some(deadline) = due.into_iter().find(|deadline| deadline.is_due(local)) {
            let why = deadline.why;
            fabric.accuse(
                "G5",
                place,
                format!("a protocol is due however often it is told: {why}"),
            );
        }
        for (id, end) in life.ends.values() {
            let (wants, buffer) = (life.swarm.wants_messages(), fabric.net.link.buffer);
            let way = fabric.pipe(*id).and_then(|pipe| pipe.way(*end));
            let room = way.is_none_or(|way| way.in_flight < buffer && !way.room_due);
            let mut scratch = Vec::new();
            let wrong = match fabric.body(*id, *end) {
                Some(Body::Full(full)) => full.wrong(local, wants, room, &mut scratch),
                Some(Body::Direct(direct)) => direct.wrong(),
                _ => None,
            };
            if let Some((criterion, what)) = wrong {
                fabric.accuse(criterion, place, what.into());
            }
        }
    }
}

/// Lets one connection machine do what it can.
fn pump<A>(
    life: &mut Life<A>,
    fabric: &mut Fabric,
    local: Instant,
    (id, end, conn): (PipeId, u8, ConnectionId),
) {
    let buffer = fabric.net.link.buffer;
    let mut scratch = mem::take(&mut fabric.scratch);
    scratch.clear();
    let Some(pipe) = fabric.pipe(id) else { return };
    let in_flight = pipe.way(end).map_or(0, |way| way.in_flight);
    let Some(Body::Full(full)) = pipe.end(end).map(|end| &mut end.body) else {
        return;
    };
    full.feed(local, Vec::new(), &[]);
    let room = buffer.saturating_sub(in_flight);
    let (mut wrote, mut told) = (true, true);
    // What is told may make room for something to send.
    while told {
        (wrote, told) = (true, false);
        while wrote && scratch.len() < room {
            let left = room.saturating_sub(scratch.len()).max(70_000);
            wrote = full
                .machine
                .poll_transmit(local, &mut TransmitBuf::new(&mut scratch, left));
        }
        while life.swarm.wants_messages() {
            let Some(message) = full.machine.poll_message() else {
                break;
            };
            told = true;
            life.swarm.handle_message(local, conn, message);
        }
    }
    let choked = wrote;
    if !life.swarm.wants_messages() {
        life.waiting.insert(conn);
    }
    let reads = full.machine.wants_input() || full.machine.is_closed();
    let over = full.machine.is_closed() && !choked;
    let ends = over && !mem::replace(&mut full.ended, over);
    life.timers
        .set_or_clear(conn, full.machine.poll_timeout().map(|deadline| deadline.at));
    if let Some(way) = pipe.way(end) {
        way.choked |= choked;
    }
    if !scratch.is_empty() {
        fabric.send(id, end, Load::Bytes(scratch.clone()));
    }
    fabric.scratch = scratch;
    if ends {
        fabric.send(id, end, Load::End);
    }
    if reads {
        fabric.read_on(id, end);
    }
    if over && !life.waiting.contains(&conn) {
        life.ends.remove(&conn);
        life.timers.clear(conn);
        fabric.leave(id, end, Body::Gone);
    }
}

/// A stream that may not be answered in time is looked at when it should be open.
pub(crate) fn watch_open(fabric: &mut Fabric, id: PipeId, end: u8, key: u32) {
    let Some(Body::Direct(direct)) = fabric.body(id, end) else {
        return;
    };
    if let Some(timeout) = direct.open_timeout(key) {
        let at = fabric.now + timeout;
        fabric.queue.push(at, Due::OpenBy(id, end, key));
    }
}

/// The key that stands for the upgrade of a connection.
pub(crate) const UPGRADE: u32 = u32::MAX - 1;
/// The key that stands for the unread budget of a connection.
pub(crate) const UNREAD: u32 = u32::MAX;

fn watch_unread(fabric: &mut Fabric, id: PipeId, end: u8) {
    if let Some(Body::Direct(direct)) = fabric.body(id, end) {
        let at = direct.limits().unread_pause;
        let at = fabric.now + at;
        fabric.queue.push(at, Due::OpenBy(id, end, UNREAD));
    }
}

/// Writes an event of a swarm into the trace, and holds the peer against who it is (G2).
fn tell(fabric: &mut Fabric, place: u32, ends: &BTreeMap<ConnectionId, (PipeId, u8)>, event: &Event) {
    let at = fabric.now;
    match event {
        Event::Connected { peer, conn, info, .. } => {
            fabric.stats.connected = fabric.stats.connected.saturating_add(1);
            let side = info.side;
            fabric
                .trace
                .tell(at, place, format_args!("connected {peer} {conn:?} {side:?}"));
            let far = ends.get(conn).and_then(|(id, end)| {
                let pipe = fabric.pipe(*id)?;
                Some(pipe.end(other(*end))?.place)
            });
            let known = far.and_then(|far| fabric.net.peer_at(far));
            if known.is_some_and(|known| known != *peer) {
                fabric.accuse("G2", place, format!("{conn:?} is said to lead to {peer}"));
            }
        }
        Event::Disconnected {
            peer, conn, error, ..
        } => {
            fabric.stats.disconnected = fabric.stats.disconnected.saturating_add(1);
            let code = error.map_or("-", |error| error.code);
            fabric
                .trace
                .tell(at, place, format_args!("disconnected {peer} {conn:?} {code}"));
        }
        Event::DialFailed { dial, error, .. } => {
            fabric
                .trace
                .tell(at, place, format_args!("dial failed {dial:?} {error}"));
        }
        Event::IncomingFailed { remote, error } => {
            let code = error.code;
            fabric
                .trace
                .tell(at, place, format_args!("incoming failed {remote} {code}"));
        }
        other => fabric.trace.tell(at, place, format_args!("{other:?}")),
    }
}

impl Full {
    /// Feeds the machine, in pieces.
    fn feed(&mut self, local: Instant, bytes: Vec<u8>, pieces: &[usize]) {
        let mut rest = &bytes[..];
        let mut pieces = pieces.iter();
        loop {
            if !rest.is_empty() {
                let piece = pieces.next().map_or(rest.len(), |piece| *piece);
                let (head, tail) = rest.split_at(piece.min(rest.len()));
                self.tail.extend_from_slice(head);
                rest = tail;
            }
            while !self.tail.is_empty() && self.machine.wants_input() {
                // An error is also the machine's last message, which the swarm reports.
                let taken = self.machine.handle_input(local, &mut self.tail);
                let taken = taken.unwrap_or(self.tail.len()).min(self.tail.len());
                if taken == self.tail.len() {
                    self.tail = Vec::new();
                } else {
                    self.tail.drain(..taken);
                }
                if taken == 0 {
                    break;
                }
            }
            if self.machine.is_closed() {
                self.tail = Vec::new();
                return;
            }
            if rest.is_empty() {
                return;
            }
        }
    }
}
