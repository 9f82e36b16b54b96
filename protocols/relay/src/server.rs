//! The relay: slots for others, and circuits between them.

use crate::{
    Event, HopMessage, Request, Reservation, ServerConfig, Stats, Status, StopMessage, Voucher,
    own::Own,
    relay::{Desk, HOP_SPEC, STOP_SPEC, direct},
};
use alloc::collections::BTreeMap;
use bytes::Bytes;
use core::{net::IpAddr, time::Duration};
use libp2p_proto_core::{ConnectionId, Deadline, Instant, PeerId, Rates, StreamId, Timers, UnixTime};
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::{Context, Input, Target};

/// Between two signatures for one peer. What it asks within that time is answered with what it has.
const SIGNED_AGAIN: Duration = Duration::from_secs(60);
/// Requests that one connection may make at a time, as in rust-libp2p.
const MAX_REQUESTS: u16 = 10;
/// How long a client may take to end its stream after our answer.
const ENDING: Duration = Duration::from_secs(10);

/// A slot of a peer.
#[derive(Debug)]
struct Slot {
    /// The connection that it keeps, and that circuits to the peer take.
    conn: ConnectionId,
    ip: Option<IpAddr>,
    network: Option<u128>,
    /// When it ends: on our clock, and as the peer was told.
    expire: (Instant, u64),
    voucher: Option<Bytes>,
    signed_at: Instant,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A request is awaited.
    Asking,
    /// It is answered, and the stream is to end.
    Answered,
    /// The source's end of a circuit.
    Source(u64),
    /// The target's end of a circuit.
    Target(u64),
}

/// Two peers, and how far they are.
#[derive(Debug)]
struct Circuit {
    from: PeerId,
    from_ip: Option<IpAddr>,
    to: PeerId,
    source: Option<StreamId>,
    target: Option<StreamId>,
    /// Both streams are spliced.
    joined: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Stream(StreamId),
    Circuit(u64),
    Slot(PeerId),
}

#[derive(Debug)]
pub(crate) struct Server {
    identity: Identity,
    config: ServerConfig,
    /// Whether the protocol is announced.
    serving: bool,
    slots: BTreeMap<PeerId, Slot>,
    streams: BTreeMap<StreamId, Role>,
    circuits: BTreeMap<u64, Circuit>,
    next_circuit: u64,
    by_peer: Rates<PeerId>,
    by_ip: Rates<IpAddr>,
    timers: Timers<Timer>,
}

impl Server {
    pub(crate) fn new(identity: Identity, config: ServerConfig) -> Self {
        Self {
            identity,
            serving: false,
            slots: BTreeMap::new(),
            streams: BTreeMap::new(),
            circuits: BTreeMap::new(),
            next_circuit: 0,
            by_peer: Rates::new(config.peer_rate, config.max_rated),
            by_ip: Rates::new(config.ip_rate, config.max_rated),
            timers: Timers::new(),
            config,
        }
    }

    /// Begins or ceases to serve, as our own addresses say. What stands goes on.
    pub(crate) fn update(&mut self, cx: &mut Context<'_>, own: &Own) {
        let serving = own.can_serve(self.config.private_addrs);
        if serving != self.serving {
            self.serving = serving;
            let max = if serving { MAX_REQUESTS } else { 0 };
            // The spec is ours.
            let _known = cx.set_inbound(HOP_SPEC, max);
        }
    }

    pub(crate) fn knows(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    pub(crate) fn count(&self, stats: &mut Stats) {
        stats.serving = self.serving;
        stats.reservations = self.slots.len();
        stats.circuits = self.circuits.len();
        let asks = |role: &&Role| matches!(role, Role::Asking | Role::Answered);
        stats.requests = self.streams.values().filter(asks).count();
    }

    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        let (at, timer) = self.timers.next()?;
        let why = match timer {
            Timer::Stream(_) => "request",
            Timer::Circuit(_) => "circuit",
            Timer::Slot(_) => "slot",
        };
        Some(Deadline::new(at, why))
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Stream(stream) => cx.reset(stream),
                Timer::Circuit(id) => {
                    let joined = self.circuits.get(&id).is_some_and(|circuit| circuit.joined);
                    if joined {
                        self.cut(cx, id);
                    } else {
                        self.fail(cx, desk, id, Status::ConnectionFailed);
                    }
                }
                Timer::Slot(peer) => self.drop_slot(cx, desk, peer),
            }
        }
    }

    /// The slot of a peer whose connection is gone moves to another direct one.
    pub(crate) fn handle_disconnected(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        peer: PeerId,
        gone: ConnectionId,
    ) {
        let Some(slot) = self.slots.get_mut(&peer).filter(|slot| slot.conn == gone) else {
            return;
        };
        if let Some(conn) = direct(cx, peer) {
            slot.conn = conn;
            cx.keep(conn, true);
        } else {
            self.drop_slot(cx, desk, peer);
        }
    }

    fn drop_slot(&mut self, cx: &mut Context<'_>, desk: &mut Desk, peer: PeerId) {
        self.timers.clear(Timer::Slot(peer));
        if let Some(slot) = self.slots.remove(&peer) {
            cx.keep(slot.conn, false);
            desk.tell(cx, Event::Expired { peer });
        }
    }

    pub(crate) fn handle_stream(&mut self, cx: &mut Context<'_>, own: &Own, desk: &mut Desk, input: Input) {
        match input {
            Input::Opened { stream, .. } if stream.is_inbound() => {
                self.streams.insert(stream, Role::Asking);
                self.timers
                    .set(Timer::Stream(stream), cx.now + self.config.handshake_timeout);
            }
            Input::Opened { stream, .. } => self.ask_target(cx, stream),
            Input::Frame { stream, data } => match self.streams.get(&stream).copied() {
                Some(Role::Asking) => self.handle_request(cx, own, desk, stream, &data),
                Some(Role::Target(id)) => self.handle_answer(cx, desk, id, &data),
                _ => {}
            },
            Input::Finished { stream } if self.streams.get(&stream) == Some(&Role::Asking) => {
                cx.reset(stream);
            }
            Input::Closed { stream, .. } => self.handle_closed(cx, desk, stream),
            _ => {}
        }
    }

    // ── requests ──

    fn handle_request(
        &mut self,
        cx: &mut Context<'_>,
        own: &Own,
        desk: &mut Desk,
        stream: StreamId,
        data: &[u8],
    ) {
        let Some(peer) = cx.peer_of(stream) else { return };
        let info = cx.connection_info(stream.conn);
        let relayed = info.is_none_or(|info| info.limited || info.remote.is_relayed());
        let ip = info.and_then(|info| info.remote.ip()).map(|ip| ip.to_canonical());
        let result = match HopMessage::decode(data) {
            _ if relayed => Err(Status::PermissionDenied),
            Ok(HopMessage::Reserve) => self.reserve(cx, own, desk, (peer, stream.conn), ip).map(Some),
            Ok(HopMessage::Connect { peer: to }) => self.connect(cx, stream, (peer, ip), to).map(|()| None),
            Ok(HopMessage::Status { .. }) | Err(_) => Err(Status::MalformedMessage),
        };
        match result {
            Ok(Some(answer)) => self.answer(cx, stream, &answer),
            Ok(None) => {}
            Err(status) => self.refuse(cx, desk, stream, peer, status),
        }
    }

    fn refuse(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        stream: StreamId,
        peer: PeerId,
        status: Status,
    ) {
        desk.stats.refused = desk.stats.refused.saturating_add(1);
        desk.tell(cx, Event::Refused { peer, status });
        self.answer(cx, stream, &HopMessage::status(status));
    }

    /// The last word on a stream: it is to be read, so the stream is finished and not reset.
    fn answer(&mut self, cx: &mut Context<'_>, stream: StreamId, answer: &HopMessage) {
        self.streams.insert(stream, Role::Answered);
        self.timers.set(Timer::Stream(stream), cx.now + ENDING);
        if cx.write(stream, answer.encode()).is_ok() {
            cx.finish(stream);
        } else {
            cx.reset(stream);
        }
    }

    /// A peer asks for a slot, or for more time.
    fn reserve(
        &mut self,
        cx: &mut Context<'_>,
        own: &Own,
        desk: &mut Desk,
        (peer, conn): (PeerId, ConnectionId),
        ip: Option<IpAddr>,
    ) -> Result<HopMessage, Status> {
        // Whoever holds a slot renews it, whatever others ask from the same address.
        let renewed = self.slots.contains_key(&peer);
        let ip_to_rate = ip.filter(|_| !renewed);
        if self.by_peer.take(cx.now, peer).is_err()
            || ip_to_rate.is_some_and(|ip| self.by_ip.take(cx.now, ip).is_err())
        {
            return Err(Status::ResourceLimitExceeded);
        }
        if !(self.config.access)(&Request::Reserve { peer }) {
            return Err(Status::PermissionDenied);
        }
        let addrs = own.told(cx.local, self.config.private_addrs);
        let network = ip.and_then(self.config.network);
        if !self.serving || addrs.is_empty() || !self.has_room(&peer, ip, network) {
            return Err(Status::ReservationRefused);
        }
        let is_old = |slot: &Slot| slot.signed_at + SIGNED_AGAIN <= cx.now;
        if self.slots.get(&peer).is_none_or(is_old) {
            self.grant(cx, desk, (peer, conn), ip, network);
            desk.tell(cx, Event::Granted { peer, renewed });
        }
        let slot = self.slots.get(&peer).ok_or(Status::ReservationRefused)?;
        Ok(HopMessage::Status {
            status: Status::Ok,
            reservation: Some(Reservation {
                expire: slot.expire.1,
                addrs,
                voucher: slot.voucher.clone(),
            }),
            limit: self.config.limit,
        })
    }

    /// Whether there is a slot for a peer. One that holds a slot always has it.
    fn has_room(&self, peer: &PeerId, ip: Option<IpAddr>, network: Option<u128>) -> bool {
        if ip.is_none() && !self.config.without_ip {
            return false;
        }
        let others = || self.slots.iter().filter(|(known, _)| *known != peer);
        let of_ip = others().filter(|(_, slot)| ip.is_some() && slot.ip == ip).count();
        let of_network = others().filter(|(_, slot)| network.is_some() && slot.network == network);
        (self.slots.contains_key(peer) || self.slots.len() < self.config.max_reservations)
            && of_ip < self.config.max_reservations_per_ip
            && of_network.count() < self.config.max_reservations_per_network
    }

    fn grant(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        (peer, conn): (PeerId, ConnectionId),
        ip: Option<IpAddr>,
        network: Option<u128>,
    ) {
        let life = self.config.reservation_life;
        let expiration = whole_secs(cx.unix + life);
        let voucher = Voucher {
            relay: cx.local,
            peer,
            expiration,
        };
        desk.stats.signed = desk.stats.signed.saturating_add(1);
        let slot = Slot {
            conn,
            ip,
            network,
            expire: (cx.now + life, expiration),
            // It is advisory: a signer that fails costs the peer nothing.
            voucher: voucher.seal(&self.identity).ok(),
            signed_at: cx.now,
        };
        self.timers.set(Timer::Slot(peer), slot.expire.0);
        cx.keep(conn, true);
        let before = self.slots.insert(peer, slot);
        if let Some(before) = before.filter(|before| before.conn != conn) {
            cx.keep(before.conn, false);
        }
    }

    // ── circuits ──

    /// A peer asks for a circuit.
    fn connect(
        &mut self,
        cx: &mut Context<'_>,
        source: StreamId,
        (from, from_ip): (PeerId, Option<IpAddr>),
        to: PeerId,
    ) -> Result<(), Status> {
        if from == to || !(self.config.access)(&Request::Connect { from, to }) {
            return Err(Status::PermissionDenied);
        }
        let conn = self.slots.get(&to).ok_or(Status::NoReservation)?.conn;
        let (max, config) = (self.config.max_circuits_per_peer, &self.config);
        let count = |counts: &dyn Fn(&Circuit) -> bool| self.circuits.values().filter(|c| counts(c)).count();
        if self.circuits.len() >= config.max_circuits
            || count(&|circuit| circuit.from == from) >= max
            || count(&|circuit| circuit.to == to) >= max
            || count(&|circuit| circuit.from_ip == from_ip) >= config.max_circuits_per_ip
        {
            return Err(Status::ResourceLimitExceeded);
        }
        let target = cx
            .open(Target::Connection(conn), &[STOP_SPEC])
            .map_err(|_| Status::ConnectionFailed)?;
        let id = self.next_circuit;
        self.next_circuit = self.next_circuit.saturating_add(1);
        self.timers.clear(Timer::Stream(source));
        self.timers
            .set(Timer::Circuit(id), cx.now + self.config.handshake_timeout);
        self.streams.insert(source, Role::Source(id));
        self.streams.insert(target, Role::Target(id));
        let circuit = Circuit {
            from,
            from_ip,
            to,
            source: Some(source),
            target: Some(target),
            joined: false,
        };
        self.circuits.insert(id, circuit);
        Ok(())
    }

    /// The stream to a target is open.
    fn ask_target(&self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(Role::Target(id)) = self.streams.get(&stream) else {
            return cx.reset(stream);
        };
        let Some(circuit) = self.circuits.get(id) else {
            return cx.reset(stream);
        };
        let ask = StopMessage::Connect {
            peer: circuit.from,
            limit: self.config.limit,
        };
        if cx.write(stream, ask.encode()).is_err() {
            cx.reset(stream);
        }
    }

    /// A target answers.
    fn handle_answer(&mut self, cx: &mut Context<'_>, desk: &mut Desk, id: u64, data: &[u8]) {
        let accepted = matches!(
            StopMessage::decode(data),
            Ok(StopMessage::Status { status: Status::Ok })
        );
        let Some(circuit) = self.circuits.get_mut(&id).filter(|circuit| !circuit.joined) else {
            return;
        };
        let ends = circuit.source.zip(circuit.target).filter(|_| accepted);
        let Some((source, target)) = ends else {
            return self.fail(cx, desk, id, Status::ConnectionFailed);
        };
        let limit = self.config.limit;
        let answer = HopMessage::Status {
            status: Status::Ok,
            reservation: None,
            limit,
        };
        let told = cx.write(source, answer.encode());
        if told.is_err() || cx.splice([source, target], limit.bytes()).is_err() {
            return self.cut(cx, id);
        }
        circuit.joined = true;
        let (from, to) = (circuit.from, circuit.to);
        self.timers
            .set_or_clear(Timer::Circuit(id), limit.time().map(|time| cx.now + time));
        desk.tell(cx, Event::Joined { from, to });
    }

    /// A circuit came to nothing.
    fn fail(&mut self, cx: &mut Context<'_>, desk: &mut Desk, id: u64, status: Status) {
        self.timers.clear(Timer::Circuit(id));
        let Some(circuit) = self.circuits.remove(&id) else {
            return;
        };
        if let Some(target) = circuit.target {
            self.streams.insert(target, Role::Answered);
            cx.reset(target);
        }
        if let Some(source) = circuit.source {
            self.refuse(cx, desk, source, circuit.from, status);
        }
    }

    /// Ends what is left of a circuit; its streams tell when they are gone.
    fn cut(&self, cx: &mut Context<'_>, id: u64) {
        if let Some(circuit) = self.circuits.get(&id) {
            for stream in circuit.source.into_iter().chain(circuit.target) {
                cx.reset(stream);
            }
        }
    }

    fn handle_closed(&mut self, cx: &mut Context<'_>, desk: &mut Desk, stream: StreamId) {
        self.timers.clear(Timer::Stream(stream));
        let Some(Role::Source(id) | Role::Target(id)) = self.streams.remove(&stream) else {
            return;
        };
        let Some(circuit) = self.circuits.get_mut(&id) else {
            return;
        };
        let is_source = circuit.source == Some(stream);
        if is_source {
            circuit.source = None;
        } else {
            circuit.target = None;
        }
        if !circuit.joined {
            return self.fail(cx, desk, id, Status::ConnectionFailed);
        }
        if circuit.source.is_none() && circuit.target.is_none() {
            let (from, to) = (circuit.from, circuit.to);
            self.timers.clear(Timer::Circuit(id));
            self.circuits.remove(&id);
            desk.tell(cx, Event::Parted { from, to });
        }
    }
}

/// Seconds since 1970, rounded down.
const fn whole_secs(time: UnixTime) -> u64 {
    time.as_secs()
}
