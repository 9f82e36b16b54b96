//! A node on one byte pipe: nothing in here knows the board.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt;
use libp2p_proto::{
    connection::{self, Connection},
    core::{Instant, Rng, TransmitBuf, UnixTime},
    identify::{self, Identify},
    identity::{Identity, Keypair},
    ping::{self, Ping},
    stream_protocol::Protocols,
    swarm::{self, Action, Swarm},
};

/// Inputs that one drive delivers.
const BUDGET: usize = 16;
/// Bytes that are made for the line at once.
const CHUNK: usize = 512;

/// How the swarm names the line's other end.
const LINE: &str = "/memory/1";

/// What happened.
pub(crate) enum Event {
    Swarm(swarm::Event),
    Identify(identify::Event),
    Ping(ping::Event),
}

/// Why there is no node.
#[derive(Debug)]
pub(crate) enum Error {
    Keys(connection::Error),
    Swarm(swarm::Error),
    Identify(identify::Error),
    Ping(ping::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(error) => error.fmt(f),
            Self::Swarm(error) => error.fmt(f),
            Self::Identify(error) => error.fmt(f),
            Self::Ping(error) => error.fmt(f),
        }
    }
}

/// One peer whose only link is a pipe that stands already.
pub(crate) struct Node {
    swarm: Swarm,
    keys: Arc<connection::Config>,
    link: Option<Box<Connection>>,
    /// What the connection did not take yet.
    input: Vec<u8>,
    pub(crate) identify: Identify,
    pub(crate) ping: Ping,
}

impl Node {
    /// A node whose key and dice all come from `entropy`.
    pub(crate) fn new(entropy: [u8; 32]) -> Result<Self, Error> {
        let dice = Rng::from_seed(entropy);
        let identity = Identity::from(Keypair::ed25519_from_seed(dice.fork_seed("identity", 0)));
        let keys = connection::Config::new(&identity, dice.fork_seed("keys", 0)).map_err(Error::Keys)?;
        let mut identify =
            Identify::new(identity.clone(), identify::Config::default()).map_err(Error::Identify)?;
        let config = ping::Config {
            interval: None,
            ..ping::Config::default()
        };
        let mut ping = Ping::new(config).map_err(Error::Ping)?;
        let protocols: Protocols<'_, '_> = &mut [&mut identify, &mut ping];
        let seed = dice.fork_seed("swarm", 0);
        let swarm = Swarm::new(identity, swarm::Config::default(), seed, protocols).map_err(Error::Swarm)?;
        Ok(Self {
            swarm,
            keys: keys.into(),
            link: None,
            input: Vec::new(),
            identify,
            ping,
        })
    }

    pub(crate) const fn swarm(&mut self) -> &mut Swarm {
        &mut self.swarm
    }

    /// Where bytes from the line go.
    pub(crate) const fn input(&mut self) -> &mut Vec<u8> {
        &mut self.input
    }

    /// Does everything that can be done now, and appends what is to be sent to `output`.
    pub(crate) fn turn(&mut self, now: Instant, output: &mut Vec<u8>) {
        if self.link.is_none() && !self.input.is_empty() {
            self.accept(now);
        }
        if let Some(link) = &mut self.link {
            // An error is also the connection's last message.
            let taken = link
                .handle_input(now, &mut self.input)
                .unwrap_or(self.input.len());
            self.input.drain(..taken);
            link.handle_timeout(now);
        }
        self.carry_news(now);
        // A board without a wall clock says 1970; one with a clock says the time, which dates the records that it signs.
        let unix = UnixTime::from_secs(0);
        while self
            .swarm
            .drive(now, unix, &mut [&mut self.identify, &mut self.ping], BUDGET)
        {}
        while let Some(action) = self.swarm.poll_action() {
            self.act(now, action);
        }
        if let Some(link) = self.link.as_mut().filter(|_| output.is_empty()) {
            link.poll_transmit(now, &mut TransmitBuf::new(output, CHUNK));
        }
        self.carry_news(now);
        if self.link.as_ref().is_some_and(|link| link.is_closed()) {
            self.link = None;
        }
    }

    /// Somebody speaks: that is how a line says that it has been dialed.
    fn accept(&mut self, now: Instant) {
        let Ok(remote) = LINE.parse() else { return };
        match self.swarm.handle_accepted(now, None, remote) {
            Ok(seat) => self.link = Some(Connection::new(now, self.keys.clone(), seat).into()),
            Err(_) => self.input.clear(),
        }
    }

    /// News of the connection go to the swarm.
    fn carry_news(&mut self, now: Instant) {
        while let Some(link) = self.link.as_mut().filter(|_| self.swarm.wants_messages()) {
            let Some(message) = link.poll_message() else {
                return;
            };
            let conn = link.id();
            self.swarm.handle_message(now, conn, message);
        }
    }

    fn act(&mut self, now: Instant, action: Action) {
        // There is nobody to dial and no name to resolve.
        if let (Action::Order { message, .. }, Some(link)) = (action, &mut self.link) {
            link.handle_message(now, message);
        }
    }

    /// The oldest event of whoever has one.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let ours = self.swarm.poll_event().map(Event::Swarm);
        ours.or_else(|| self.identify.poll_event().map(Event::Identify))
            .or_else(|| self.ping.poll_event().map(Event::Ping))
    }
}
