//! Circuits of a client: those that it dials, and those that relays bring.

use crate::{
    ClientConfig, Event, HopMessage, Limit, Status, StopMessage, own,
    relay::{Desk, HOP_SPEC, direct},
};
use alloc::{collections::BTreeMap, vec};
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, DialId, Instant, Multiaddr, PeerId, StreamId, Timers};
use libp2p_proto_stream_protocol::{
    AttemptError, Context, Dial, DialOutcome, Link, OpenError, Target, Traffic,
};

/// There is no client to make a circuit.
pub(crate) const NO_CLIENT: AttemptError = AttemptError::Transport("no-relay-client");
/// Refusals of relays that are remembered.
const MAX_REFUSALS: usize = 256;

/// A circuit of ours that is being made.
#[derive(Clone, Copy, Debug)]
struct Dialing {
    relay: PeerId,
    target: PeerId,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The relay is being dialed.
    Relay(DialId),
    /// The stream to it is open, or opens.
    Asked(StreamId),
}

/// A relayed connection that stands, and what its relay said of limits.
#[derive(Clone, Copy, Debug)]
struct Made {
    conn: ConnectionId,
    limit: Limit,
    since: Instant,
}

/// What is left of a relayed connection, by our own count. Relays count differently, so this takes the strictest reading: bytes of both directions in one budget, as rust-libp2p and
/// js-libp2p do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Bytes. `None`: without limit.
    pub bytes: Option<u64>,
    /// Time. `None`: without limit.
    pub time: Option<Duration>,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A circuit of ours that is being made.
    Dialing(ConnectionId),
    /// A relay is to say what it wants.
    Listening,
    /// The link of a connection that this relay brought.
    Brought(PeerId),
    /// The link of a connection of ours; or everything is said.
    Other,
}

#[derive(Debug)]
pub(crate) struct Circuits {
    dialing: BTreeMap<ConnectionId, Dialing>,
    pub(crate) streams: BTreeMap<StreamId, Role>,
    /// Until when a relay has nothing to offer for a target.
    refused: Timers<(PeerId, PeerId)>,
    links: Timers<ConnectionId>,
    /// What stands, by the stream that is its link.
    made: BTreeMap<StreamId, Made>,
    listening: Timers<StreamId>,
}

impl Circuits {
    pub(crate) const fn new() -> Self {
        Self {
            dialing: BTreeMap::new(),
            streams: BTreeMap::new(),
            refused: Timers::new(),
            links: Timers::new(),
            made: BTreeMap::new(),
            listening: Timers::new(),
        }
    }

    pub(crate) fn dialing(&self) -> usize {
        self.dialing.len()
    }

    pub(crate) fn brought(&self) -> usize {
        let brought = |role: &&Role| matches!(role, Role::Brought(_));
        self.streams.values().filter(brought).count()
    }

    fn stands(&mut self, stream: StreamId, conn: ConnectionId, limit: Limit, since: Instant) {
        self.made.insert(stream, Made { conn, limit, since });
    }

    /// What is left of a connection that has carried so much.
    pub(crate) fn left(&self, now: Instant, conn: ConnectionId, carried: Traffic) -> Option<Left> {
        let made = self.made.values().find(|made| made.conn == conn)?;
        let spent = carried.bytes_in.saturating_add(carried.bytes_out);
        let bytes = Some(made.limit.data).filter(|data| *data > 0);
        Some(Left {
            bytes: bytes.map(|data| data.saturating_sub(spent)),
            time: made
                .limit
                .time()
                .map(|time| time.saturating_sub(now.since(made.since))),
        })
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let link = self.links.next().map(|(at, _)| at);
        let listening = self.listening.next().map(|(at, _)| at);
        link.into_iter().chain(listening).min()
    }

    // ── dialing ──

    pub(crate) fn dial(
        &mut self,
        cx: &mut Context<'_>,
        config: &ClientConfig,
        (conn, target): (ConnectionId, PeerId),
        addr: &Multiaddr,
    ) {
        let Some((Some(relay), None)) = addr.split_relay() else {
            return cx.link_failed(conn, AttemptError::Denied("bad-circuit"));
        };
        let (base, Some(id)) = relay.split_peer_id() else {
            return cx.link_failed(conn, AttemptError::Denied("bad-circuit"));
        };
        while self.refused.pop_due(cx.now).is_some() {}
        let error = if self.refused.get((id, target)).is_some() {
            AttemptError::Denied("refused-lately")
        } else if id == cx.local || id == target || base.as_ref().is_some_and(Multiaddr::is_relayed) {
            AttemptError::Denied("bad-circuit")
        } else if self.streams.len().saturating_add(self.dialing.len()) >= config.max_circuits {
            AttemptError::Denied("max-circuits")
        } else {
            return self.begin(cx, config, (conn, target), (id, base));
        };
        cx.link_failed(conn, error);
    }

    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        config: &ClientConfig,
        (conn, target): (ConnectionId, PeerId),
        (relay, base): (PeerId, Option<Multiaddr>),
    ) {
        let stage = if let Some(over) = direct(cx, relay) {
            self.open(cx, conn, over)
        } else {
            dial_relay(cx, relay, base.into_iter().collect()).map(Stage::Relay)
        };
        match stage {
            Ok(stage) => {
                let dialing = Dialing { relay, target, stage };
                self.dialing.insert(conn, dialing);
                self.links.set(conn, cx.now + config.connect_timeout);
            }
            Err(error) => cx.link_failed(conn, error),
        }
    }

    fn open(
        &mut self,
        cx: &mut Context<'_>,
        conn: ConnectionId,
        over: ConnectionId,
    ) -> Result<Stage, AttemptError> {
        let stream = cx.open(Target::Connection(over), &[HOP_SPEC]).map_err(|error| {
            AttemptError::Transport(match error {
                OpenError::TooManyStreams => "too-many-streams",
                _ => "relay-not-connected",
            })
        })?;
        self.streams.insert(stream, Role::Dialing(conn));
        Ok(Stage::Asked(stream))
    }

    /// A relay that was dialed stands.
    pub(crate) fn handle_connected(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let Some(over) = direct(cx, peer) else { return };
        let waits = |dialing: &Dialing| dialing.relay == peer && matches!(dialing.stage, Stage::Relay(_));
        let waiting: vec::Vec<_> = self
            .dialing
            .iter()
            .filter(|(_, dialing)| waits(dialing))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in waiting {
            match self.open(cx, conn, over) {
                Ok(stage) => {
                    if let Some(dialing) = self.dialing.get_mut(&conn) {
                        dialing.stage = stage;
                    }
                }
                Err(error) => self.fail(cx, conn, error),
            }
        }
    }

    pub(crate) fn handle_dial_failed(&mut self, cx: &mut Context<'_>, dial: DialId) {
        let waiting: vec::Vec<_> = self
            .dialing
            .iter()
            .filter(|(_, dialing)| dialing.stage == Stage::Relay(dial))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in waiting {
            self.fail(cx, conn, AttemptError::Transport("relay-unreachable"));
        }
    }

    /// The stream to a relay is open.
    pub(crate) fn ask(&mut self, cx: &mut Context<'_>, stream: StreamId, conn: ConnectionId) {
        let Some(dialing) = self.dialing.get(&conn) else {
            return cx.reset(stream);
        };
        let ask = HopMessage::Connect { peer: dialing.target };
        if cx.write(stream, ask.encode()).is_err() {
            self.fail(cx, conn, AttemptError::Transport("closed"));
        }
    }

    /// A relay answers.
    pub(crate) fn handle_answer(
        &mut self,
        cx: &mut Context<'_>,
        config: &ClientConfig,
        (stream, conn): (StreamId, ConnectionId),
        data: &[u8],
    ) {
        let Some(dialing) = self.dialing.get(&conn).copied() else {
            return cx.reset(stream);
        };
        let Ok(HopMessage::Status { status, limit, .. }) = HopMessage::decode(data) else {
            return self.fail(cx, conn, AttemptError::Transport("malformed-answer"));
        };
        if status != Status::Ok {
            if status == Status::NoReservation && self.refused.len() < MAX_REFUSALS {
                self.refused
                    .set((dialing.relay, dialing.target), cx.now + config.retry);
            }
            return self.fail(cx, conn, AttemptError::Transport(status.word()));
        }
        self.dialing.remove(&conn);
        self.links.clear(conn);
        self.streams.insert(stream, Role::Other);
        let limited = !limit.is_unlimited();
        if cx.promote(stream, Link::Dialed { conn, limited }).is_err() {
            // Nobody wants it any more.
            return cx.reset(stream);
        }
        self.stands(stream, conn, limit, cx.now);
    }

    fn fail(&mut self, cx: &mut Context<'_>, conn: ConnectionId, error: AttemptError) {
        self.links.clear(conn);
        let Some(dialing) = self.dialing.remove(&conn) else {
            return;
        };
        if let Stage::Asked(stream) = dialing.stage {
            self.streams.insert(stream, Role::Other);
            cx.reset(stream);
        }
        cx.link_failed(conn, error);
    }

    // ── what relays bring ──

    pub(crate) fn listen(&mut self, cx: &mut Context<'_>, config: &ClientConfig, stream: StreamId) {
        let info = cx.connection_info(stream.conn);
        let relayed = info.is_none_or(|info| info.limited || info.remote.is_relayed());
        if relayed || self.streams.len() >= config.max_circuits {
            return cx.reset(stream);
        }
        self.streams.insert(stream, Role::Listening);
        self.listening.set(stream, cx.now + config.connect_timeout);
    }

    /// A relay brings a circuit. `reserved`: it keeps a slot for us.
    pub(crate) fn handle_offer(
        &mut self,
        cx: &mut Context<'_>,
        config: &ClientConfig,
        desk: &mut Desk,
        (stream, reserved): (StreamId, bool),
        data: &[u8],
    ) {
        self.listening.set(stream, cx.now + config.reserve_timeout);
        let Some(relay) = cx.peer_of(stream) else { return };
        let brought = |role: &&Role| **role == Role::Brought(relay);
        let result = match StopMessage::decode(data) {
            Ok(StopMessage::Connect { .. }) if !reserved && !config.unreserved => Err(Status::NoReservation),
            Ok(StopMessage::Connect { peer, .. }) if peer == cx.local => Err(Status::PermissionDenied),
            Ok(StopMessage::Connect { .. })
                if self.streams.values().filter(brought).count() >= config.max_inbound_per_relay =>
            {
                Err(Status::ResourceLimitExceeded)
            }
            Ok(StopMessage::Connect { peer, limit }) => Ok((peer, limit)),
            Ok(StopMessage::Status { .. }) | Err(crate::WireError::UnknownType) => {
                Err(Status::UnexpectedMessage)
            }
            Err(_) => Err(Status::MalformedMessage),
        };
        let status = result.map_or_else(|status| status, |_| Status::Ok);
        if cx.write(stream, StopMessage::Status { status }.encode()).is_err() {
            return cx.reset(stream);
        }
        let Ok((peer, limit)) = result else {
            self.streams.insert(stream, Role::Other);
            return cx.finish(stream);
        };
        self.listening.clear(stream);
        let remote = cx.connection_info(stream.conn).map(|info| info.remote.clone());
        let remote = remote.and_then(|addr| own::circuit(&addr, relay));
        let limited = !limit.is_unlimited();
        let link = remote.map(|remote| Link::Accepted {
            peer,
            remote,
            limited,
        });
        if let Some(Ok(conn)) = link.map(|link| cx.promote(stream, link)) {
            self.streams.insert(stream, Role::Brought(relay));
            self.stands(stream, conn, limit, cx.now);
            desk.tell(cx, Event::Accepted { relay, peer, conn });
        } else {
            self.streams.insert(stream, Role::Other);
            cx.reset(stream);
        }
    }

    pub(crate) fn handle_closed(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        self.listening.clear(stream);
        self.made.remove(&stream);
        if let Some(Role::Dialing(conn)) = self.streams.remove(&stream) {
            self.links.clear(conn);
            if self.dialing.remove(&conn).is_some() {
                cx.link_failed(conn, AttemptError::Transport("relay-closed"));
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(conn) = self.links.pop_due(cx.now) {
            self.fail(cx, conn, AttemptError::TimedOut);
        }
        while let Some(stream) = self.listening.pop_due(cx.now) {
            cx.reset(stream);
        }
    }
}

/// Dials a relay, directly.
pub(crate) fn dial_relay(
    cx: &mut Context<'_>,
    relay: PeerId,
    addrs: vec::Vec<Multiaddr>,
) -> Result<DialId, AttemptError> {
    let mut dial = Dial::peer(relay);
    dial.addrs = addrs;
    // What the relay sees of us is then where others may punch.
    dial.reuse_port = true;
    // A relayed connection to it does not count.
    dial.force = !cx.connections(relay).is_empty();
    match cx.dial(dial) {
        Ok(DialOutcome::Pending(dial)) => Ok(dial),
        _ => Err(AttemptError::Transport("relay-unreachable")),
    }
}
