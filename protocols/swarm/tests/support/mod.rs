//! A swarm in virtual time: the test plays its adapter, its connections and its protocols.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "each test file uses its part, and tests fail by panicking"
)]

use core::fmt;
use libp2p_proto_core::{
    ConnectionId, Deadline, Instant, Multiaddr, PeerId, ProtocolName, StreamId, UnixTime,
};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{
    Closed, Context, Dial, Framing, FromConnection, Input, Protocol, SpecId, StreamSpec, ToConnection,
};
use libp2p_proto_swarm::{Action, Config, Event, Swarm};
use std::collections::VecDeque;

pub const NOISE: ProtocolName = ProtocolName::from_static("/noise");
pub const YAMUX: ProtocolName = ProtocolName::from_static("/yamux/1.0.0");
pub const ECHO: ProtocolName = ProtocolName::from_static("/echo/1");
pub const QUIET: ProtocolName = ProtocolName::from_static("/quiet/1");

pub fn identity(seed: u8) -> Identity {
    Identity::from(Keypair::ed25519_from_seed([seed; 32]))
}

pub fn peer(seed: u8) -> PeerId {
    identity(seed).peer_id()
}

/// A peer without a key behind it, so that there can be many.
pub fn stranger(number: u32) -> PeerId {
    PeerId::from_encoded_key(&[&[8, 1, 0x12, 0x20][..], &[0; 28], &number.to_be_bytes()].concat())
}

pub fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

pub fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// Limits that don't stand in the way of a test about another one.
pub fn roomy() -> Config {
    Config {
        accepts_per_second: 1_000_000,
        max_per_ip: 1_000_000,
        max_pending_per_ip: 1_000_000,
        ..Config::default()
    }
}

type Wish = Box<dyn FnOnce(&mut Context<'_>)>;

/// A protocol that records what it is told, and does what the test wishes.
pub struct Actor {
    specs: Vec<StreamSpec>,
    pub inputs: Vec<Input>,
    wishes: VecDeque<Wish>,
    /// Stays due whatever happens.
    pub stuck: bool,
}

impl Actor {
    pub fn new(specs: Vec<StreamSpec>) -> Self {
        Self {
            specs,
            inputs: Vec::new(),
            wishes: VecDeque::new(),
            stuck: false,
        }
    }

    /// Streams of `/echo/1`, which keep a connection, and of `/quiet/1`, which don't.
    pub fn echo_and_quiet() -> Self {
        let mut quiet = StreamSpec::new(QUIET, Framing::LengthDelimited { max: 1024 });
        quiet.keeps_alive = false;
        quiet.on_limited = true;
        Self::new(vec![StreamSpec::new(ECHO, Framing::Raw), quiet])
    }

    pub fn wish(&mut self, wish: impl FnOnce(&mut Context<'_>) + 'static) {
        self.wishes.push_back(Box::new(wish));
    }
}

impl Protocol for Actor {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        if input == Input::Timeout {
            if let Some(wish) = self.wishes.pop_front() {
                wish(cx);
                return;
            }
        }
        self.inputs.push(input);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        (self.stuck || !self.wishes.is_empty()).then(|| Deadline::now("wish"))
    }
}

pub struct Bench {
    pub swarm: Swarm,
    pub actor: Actor,
}

impl Bench {
    pub fn new(config: Config) -> Self {
        Self::of(1, config, Actor::echo_and_quiet())
    }

    pub fn of(seed: u8, config: Config, mut actor: Actor) -> Self {
        Self {
            swarm: Swarm::new(identity(seed), config, [seed + 6; 32], &mut [&mut actor]).unwrap(),
            actor,
        }
    }

    /// Drives until nothing is left to do, and answers what the adapter is to do.
    pub fn drive(&mut self, now: Instant) -> Vec<Action> {
        let mut drives = 0;
        while self
            .swarm
            .drive(now, UnixTime::from_secs(0), &mut [&mut self.actor], 64)
        {
            drives += 1;
            assert!(drives < 100_000, "the drive has no end");
        }
        core::iter::from_fn(|| self.swarm.poll_action()).collect()
    }

    /// What a protocol wishes, done at once.
    pub fn act<R: 'static>(
        &mut self,
        now: Instant,
        wish: impl FnOnce(&mut Context<'_>) -> R + 'static,
    ) -> (R, Vec<Action>) {
        let result = std::rc::Rc::new(core::cell::RefCell::new(None));
        let place = result.clone();
        self.actor.wish(move |cx| *place.borrow_mut() = Some(wish(cx)));
        let actions = self.drive(now);
        (result.take().unwrap(), actions)
    }

    pub fn dials(&mut self, now: Instant) -> Vec<(ConnectionId, String)> {
        let dial = |action| match action {
            Action::Dial { conn, addr, .. } => Some((conn, addr.to_string())),
            _ => None,
        };
        self.drive(now).into_iter().filter_map(dial).collect()
    }

    pub fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.swarm.poll_event()).collect()
    }

    pub fn tell(&mut self, now: Instant, conn: ConnectionId, message: FromConnection) -> Vec<Action> {
        self.swarm.handle_message(now, conn, message);
        self.drive(now)
    }

    pub fn authenticate(&mut self, now: Instant, conn: ConnectionId, who: PeerId) -> Vec<Action> {
        self.tell(now, conn, FromConnection::Authenticated { peer: who })
    }

    pub fn establish(&mut self, now: Instant, conn: ConnectionId) -> Vec<Action> {
        let (security, muxer) = (NOISE, YAMUX);
        self.tell(now, conn, FromConnection::Established { security, muxer })
    }

    pub fn accept(&mut self, now: Instant, remote: &str) -> Result<ConnectionId, &'static str> {
        let seat = self.swarm.handle_accepted(now, None, addr(remote));
        seat.map(|seat| seat.conn).map_err(|denied| denied.0)
    }

    /// An inbound connection of `who` from `remote`, upgraded.
    pub fn inbound(&mut self, now: Instant, who: PeerId, remote: &str) -> ConnectionId {
        let conn = self.accept(now, remote).unwrap();
        self.authenticate(now, conn, who);
        self.establish(now, conn);
        conn
    }

    /// A connection that we dialed to `who` at `remote`, upgraded.
    pub fn outbound(&mut self, now: Instant, who: PeerId, remote: &str) -> ConnectionId {
        let mut dial = Dial::peer(who);
        dial.addrs = vec![addr(remote)];
        dial.force = true;
        self.swarm.dial(now, dial).unwrap();
        let (conn, _) = self.dials(now)[0].clone();
        self.swarm.handle_dialed(now, conn, None, addr(remote)).unwrap();
        self.authenticate(now, conn, who);
        self.establish(now, conn);
        conn
    }

    pub fn gone(&mut self, now: Instant, conn: ConnectionId) -> Vec<Action> {
        self.tell(now, conn, FromConnection::Disconnected { error: None })
    }

    /// The remote opens its `count`-th stream on `conn`, of spec 0 (`/echo/1`) or 1 (`/quiet/1`).
    pub fn remote_opens(&mut self, now: Instant, conn: ConnectionId, count: u64, spec: u16) -> StreamId {
        let stream = StreamId::theirs(conn, count);
        let name = if spec == 0 { ECHO } else { QUIET };
        let spec = SpecId(spec);
        self.tell(now, conn, FromConnection::Opened { stream, spec, name });
        stream
    }

    pub fn frame(&mut self, now: Instant, stream: StreamId, len: usize) -> Vec<Action> {
        let data = vec![7; len].into();
        self.tell(now, stream.conn, FromConnection::Frame { stream, data })
    }

    pub fn closes(&mut self, now: Instant, stream: StreamId) -> Vec<Action> {
        let reason = Closed::Finished;
        self.tell(now, stream.conn, FromConnection::Closed { stream, reason })
    }

    /// When the swarm wants to be driven again.
    pub fn deadline(&mut self) -> Option<Instant> {
        self.swarm
            .poll_timeout(&mut [&mut self.actor])
            .map(|deadline| deadline.at)
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.swarm)
    }
}

/// The orders to one connection, as words.
pub fn orders(actions: &[Action], conn: ConnectionId) -> Vec<String> {
    let order = |action: &Action| match action {
        Action::Order { conn: to, message } if *to == conn => Some(word(message)),
        _ => None,
    };
    actions.iter().filter_map(order).collect()
}

fn word(message: &ToConnection) -> String {
    match message {
        ToConnection::Write { data, .. } => format!("Write {}", data.len()),
        ToConnection::Grant { bytes, .. } => format!("Grant {bytes}"),
        ToConnection::Order { order, .. } => format!("{order:?}"),
        ToConnection::SetInbound { max, .. } => format!("SetInbound {max}"),
        ToConnection::Open { lazy, .. } => format!("Open lazy={lazy}"),
        other => format!("{other:?}"),
    }
}
