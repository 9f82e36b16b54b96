//! The machine: both parts under one roof.

use crate::{
    Command, Config, Error, Event, QuestionId, Serve, Version, client::Client, desk::Desk, server::Server,
};
use alloc::vec::Vec;
use libp2p_proto_core::{AddressClass, Deadline, Multiaddr, PeerId, ProtocolName};
use libp2p_proto_stream_protocol::{
    BadCommand, Context, Fact, Framing, Input, Journal, OwnAddresses, Protocol, Reachability, StreamSpec,
};

/// `/libp2p/autonat/1.0.0`.
pub const V1: ProtocolName = ProtocolName::from_static("/libp2p/autonat/1.0.0");
/// `/libp2p/autonat/2/dial-request`.
pub const DIAL_REQUEST: ProtocolName = ProtocolName::from_static("/libp2p/autonat/2/dial-request");
/// `/libp2p/autonat/2/dial-back`.
pub const DIAL_BACK: ProtocolName = ProtocolName::from_static("/libp2p/autonat/2/dial-back");

pub(crate) const V1_SPEC: u8 = 0;
pub(crate) const DIAL_REQUEST_SPEC: u8 = 1;
pub(crate) const DIAL_BACK_SPEC: u8 = 2;

/// Bytes of a message of version 1, of version 2, and of a dial back, as in go.
const MAX_V1: usize = 4096;
const MAX_V2: usize = 8192;
const MAX_DIAL_BACK: usize = 1024;

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Answers of servers that say whether we were reached.
    pub verdicts: u64,
    /// Questions that we answered, refusals included.
    pub served: u64,
    /// Questions that we refused.
    pub refused: u64,
    /// Events lost to a full queue.
    pub events_dropped: u64,
}

/// What is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Questions of ours that wait or are under way.
    pub questions: usize,
    /// Dial backs of others that are to bring a nonce.
    pub dial_backs: usize,
    /// Questions of others, until their streams have ended.
    pub jobs: usize,
    /// Dials and dial backs of ours for others.
    pub dials: usize,
}

/// AutoNAT in both versions: it asks, it serves, or both.
#[derive(Debug)]
pub struct Autonat {
    specs: [StreamSpec; 3],
    client: Option<Client>,
    server: Option<Server>,
    own: OwnAddresses,
    /// What somebody else says of our reachability.
    given: Reachability,
    desk: Desk,
    journal: Journal,
}

impl Autonat {
    /// A machine of these parts.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field that is out of range.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        let always = config.server.filter(|server| server.when == Serve::Always);
        let inbound = |on: bool, max: u16| if on { max } else { 0 };
        let v1 = always.map_or(0, |server| inbound(server.v1, server.max_inbound));
        let v2 = always.map_or(0, |server| inbound(server.v2, server.max_inbound));
        let backs = config
            .client
            .map_or(0, |client| inbound(client.v2, client.max_dial_backs));
        let spec = |name, max, max_inbound, on_limited| StreamSpec {
            max_inbound,
            // A question over a relayed connection is answered, with a refusal.
            on_limited,
            ..StreamSpec::new(name, Framing::LengthDelimited { max })
        };
        Ok(Self {
            specs: [
                spec(V1, MAX_V1, v1, true),
                spec(DIAL_REQUEST, MAX_V2, v2, true),
                spec(DIAL_BACK, MAX_DIAL_BACK, backs, false),
            ],
            client: config
                .client
                .as_ref()
                .map(|client| Client::new(client, config.private_addrs)),
            server: config
                .server
                .map(|server| Server::new(server, config.private_addrs)),
            own: OwnAddresses::default(),
            given: Reachability::Unknown,
            desk: Desk::new(config.max_events),
            journal: Journal::new(),
        })
    }

    /// Asks a server about these addresses of ours, the most important first; without any, about all that are known. Without a server, one is chosen at random of those that have
    /// rested. [`Event::Answered`] follows.
    ///
    /// # Errors
    ///
    /// [`Error::NotAsking`] if this node does not ask with that version, [`Error::NoAddress`] if none of the addresses may be asked about, [`Error::TooManyQuestions`].
    pub fn ask(
        &mut self,
        server: Option<PeerId>,
        version: Version,
        addrs: Vec<Multiaddr>,
    ) -> Result<QuestionId, Error> {
        self.journal.note(|| Command::Ask {
            server,
            version,
            addrs: addrs.clone(),
        });
        let unread = self.desk.unread();
        let client = self.client.as_mut().ok_or(Error::NotAsking)?;
        client.ask(server, version, addrs, unread)
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.desk.pop()?;
        self.journal.took(Some(&event), || Command::Poll);
        Some(event)
    }

    /// The drive that made the oldest event.
    pub fn next_event_seq(&self) -> Option<u64> {
        self.desk.next_seq()
    }

    /// What is believed of this node.
    pub fn reachability(&self) -> Reachability {
        self.client.as_ref().map_or(Reachability::Unknown, Client::state)
    }

    /// What is believed of each address that is ours to judge.
    pub fn addresses(&self) -> impl Iterator<Item = (&Multiaddr, Reachability)> {
        self.client.iter().flat_map(Client::addresses)
    }

    /// How many servers of version 1, each of a network of its own, say that they have reached us, and how many that they have not.
    pub fn voices(&self) -> (usize, usize) {
        self.client.as_ref().map_or((0, 0), Client::voices)
    }

    /// Whether others may ask us.
    pub fn is_serving(&self) -> bool {
        self.server.as_ref().is_some_and(Server::is_serving)
    }

    /// Counters since the start.
    pub const fn stats(&self) -> Stats {
        self.desk.stats
    }

    /// What is held now.
    pub fn census(&self) -> Census {
        let (questions, dial_backs) = self.client.as_ref().map_or((0, 0), Client::census);
        let (jobs, dials) = self.server.as_ref().map_or((0, 0), Server::census);
        Census {
            questions,
            dial_backs,
            jobs,
            dials,
        }
    }

    /// What we know of our own reachability when it is about serving others.
    fn ours(&self) -> Reachability {
        let proven = |addr: &&Multiaddr| matches!(addr.class(), AddressClass::Public | AddressClass::Name);
        match (self.reachability(), self.given) {
            (Reachability::Unknown, Reachability::Unknown)
                if self.own.confirmed().any(|addr| proven(&addr)) =>
            {
                Reachability::Public
            }
            (Reachability::Unknown, given) => given,
            (probed, _) => probed,
        }
    }

    fn update_server(&mut self, cx: &mut Context<'_>) {
        let ours = self.ours();
        if let Some(server) = &mut self.server {
            server.update(cx, &mut self.desk, ours);
        }
    }

    fn handle_fact(&mut self, cx: &mut Context<'_>, fact: &Fact) {
        let _changed = self.own.learn(fact);
        if let Fact::Reachability(given) = fact {
            self.given = *given;
        }
        if let Some(client) = &mut self.client {
            client.handle_fact(cx, &mut self.desk, fact);
        }
    }

    fn handle_stream(&mut self, cx: &mut Context<'_>, input: Input) {
        let Some(stream) = input.stream() else { return };
        let serves = match &input {
            Input::Opened { spec, .. } => stream.is_inbound() == (*spec != DIAL_BACK_SPEC),
            _ if stream.is_inbound() => self.server.as_ref().is_some_and(|server| server.has(stream)),
            _ => self.server.as_ref().is_some_and(|server| server.owns(stream)),
        };
        if serves {
            if let Some(server) = &mut self.server {
                server.handle_stream(cx, &mut self.desk, &self.own, input);
            }
        } else if let Some(client) = &mut self.client {
            client.handle_stream(cx, &mut self.desk, input);
        }
    }
}

impl Protocol for Autonat {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Connected { peer, conn, info, .. } => match (info.dial, &mut self.server, &self.client) {
                (Some(dial), Some(server), _) => {
                    server.handle_connected(cx, &mut self.desk, dial, conn, &info.remote);
                }
                (None, _, Some(client)) => client.handle_connected(cx, peer, conn),
                _ => {}
            },
            Input::Disconnected { peer, last: true, .. } => {
                if let Some(client) = &mut self.client {
                    client.handle_disconnected(&peer);
                }
            }
            Input::DialFailed { dial, .. } => {
                if let Some(server) = &mut self.server {
                    server.handle_dial_failed(cx, &mut self.desk, dial);
                }
            }
            Input::Fact(fact) => self.handle_fact(cx, &fact),
            Input::Timeout => {
                if let Some(client) = &mut self.client {
                    client.handle_timeout(cx, &mut self.desk, &self.own);
                }
                if let Some(server) = &mut self.server {
                    server.handle_timeout(cx, &mut self.desk);
                }
            }
            other => self.handle_stream(cx, other),
        }
        self.update_server(cx);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let client = self.client.as_ref().and_then(Client::poll_timeout);
        let server = self.server.as_ref().and_then(Server::next_timer);
        Deadline::earliest(client, server.map(|at| Deadline::new(at, "serve")))
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
    }
}
