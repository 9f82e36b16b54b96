//! The machine: both parts under one roof, and what they share.

use crate::{
    ClientConfig, Command, Error, Event, Left, ServerConfig, Stats, client::Client, own::Own, server::Server,
};
use alloc::vec::Vec;
use libp2p_proto_core::{ConnectionId, Deadline, Instant, Multiaddr, PeerId, ProtocolName};
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::{
    BadCommand, Context, EventQueue, Framing, Input, Journal, Protocol, StreamSpec, Traffic,
};

/// `/libp2p/circuit/relay/0.2.0/hop`.
pub const HOP: ProtocolName = ProtocolName::from_static("/libp2p/circuit/relay/0.2.0/hop");
/// `/libp2p/circuit/relay/0.2.0/stop`.
pub const STOP: ProtocolName = ProtocolName::from_static("/libp2p/circuit/relay/0.2.0/stop");
/// The largest message, in bytes; so it is in go, rust and nim.
pub const MAX_MESSAGE: usize = 4096;

pub(crate) const HOP_SPEC: u8 = 0;
pub(crate) const STOP_SPEC: u8 = 1;
/// Events that may wait.
const MAX_EVENTS: usize = 1024;

/// What both parts tell: the application's queue, and counters.
#[derive(Debug)]
pub(crate) struct Desk {
    events: EventQueue<Event>,
    pub(crate) stats: Stats,
}

impl Desk {
    pub(crate) fn tell(&mut self, cx: &Context<'_>, event: Event) {
        if self.events.push(cx.seq, event).is_err() {
            self.stats.events_dropped = self.stats.events_dropped.saturating_add(1);
        }
    }
}

/// Circuit relay v2: a relay, a client of relays, or both.
#[derive(Debug)]
pub struct Relay {
    specs: [StreamSpec; 2],
    server: Option<Server>,
    client: Option<Client>,
    own: Own,
    desk: Desk,
    journal: Journal,
}

impl Relay {
    /// A machine with these parts, which signs with `identity`.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field that is out of range.
    pub fn new(
        identity: Identity,
        server: Option<ServerConfig>,
        client: Option<ClientConfig>,
    ) -> Result<Self, Error> {
        server.as_ref().map_or(Ok(()), ServerConfig::validate)?;
        client.as_ref().map_or(Ok(()), ClientConfig::validate)?;
        let spec = |name, max_inbound| StreamSpec {
            max_inbound,
            max_outbound: 64,
            carries_links: true,
            ..StreamSpec::new(name, Framing::Held { max: MAX_MESSAGE })
        };
        // A request over a relayed connection is answered, with a refusal.
        let hop = StreamSpec {
            on_limited: true,
            // Nobody is served before there is an address to tell.
            ..spec(HOP, 0)
        };
        let stop = spec(STOP, if client.is_some() { 32 } else { 0 });
        Ok(Self {
            specs: [hop, stop],
            server: server.map(|config| Server::new(identity, config)),
            client: client.map(Client::new),
            own: Own::default(),
            desk: Desk {
                events: EventQueue::new(MAX_EVENTS),
                stats: Stats::default(),
            },
            journal: Journal::new(),
        })
    }

    /// Keeps a slot at a relay from now on, whatever others think of our reachability. `addrs` are tried besides those known of it.
    pub fn reserve(&mut self, relay: PeerId, addrs: Vec<Multiaddr>) {
        self.journal.note(|| Command::Reserve {
            relay,
            addrs: addrs.clone(),
        });
        if let Some(client) = &mut self.client {
            client.reserve(relay, addrs);
        }
    }

    /// Names a peer that may be a relay, and where it is: it is dialed if a slot is missing. [`Event::CandidatesWanted`] asks for such peers.
    pub fn suggest(&mut self, relay: PeerId, addrs: Vec<Multiaddr>) {
        self.journal.note(|| Command::Suggest {
            relay,
            addrs: addrs.clone(),
        });
        if let Some(client) = &mut self.client {
            client.suggest(relay, addrs);
        }
    }

    /// Keeps no slot at a relay any more.
    pub fn release(&mut self, relay: PeerId) {
        self.journal.note(|| Command::Release { relay });
        if let Some(client) = &mut self.client {
            client.release(relay);
        }
    }

    /// What is left of a relayed connection of ours that has carried so much (the swarm knows: `Swarm::traffic`). `None`: this is none, or none any more.
    pub fn left(&self, now: Instant, conn: ConnectionId, carried: Traffic) -> Option<Left> {
        self.client.as_ref()?.left(now, conn, carried)
    }

    /// The relays that keep a slot for us.
    pub fn reserved(&self) -> impl Iterator<Item = PeerId> {
        self.client.iter().flat_map(Client::reserved)
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.desk.events.pop()?;
        self.journal.took(Some(&event), || Command::Poll);
        Some(event)
    }

    /// The drive that made the oldest event.
    pub fn next_event_seq(&self) -> Option<u64> {
        self.desk.events.next_seq()
    }

    /// What is held now, and what was done since the start.
    pub fn stats(&self) -> Stats {
        let mut stats = self.desk.stats;
        if let Some(server) = &self.server {
            server.count(&mut stats);
        }
        if let Some(client) = &self.client {
            client.count(&mut stats);
        }
        stats
    }

    fn handle_stream(&mut self, cx: &mut Context<'_>, input: Input) {
        let Some(stream) = input.stream() else { return };
        let serves = match &input {
            // A request, or the stream to a target.
            Input::Opened { spec, .. } => (*spec == HOP_SPEC) == stream.is_inbound(),
            _ => self.server.as_ref().is_some_and(|server| server.knows(stream)),
        };
        match (&mut self.server, &mut self.client) {
            (Some(server), _) if serves => server.handle_stream(cx, &self.own, &mut self.desk, input),
            (_, Some(client)) if !serves => client.handle_stream(cx, &mut self.desk, input),
            // Nobody asked for it.
            _ if matches!(input, Input::Opened { .. }) => cx.reset(stream),
            _ => {}
        }
    }
}

impl Protocol for Relay {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Timeout => {
                if let Some(server) = &mut self.server {
                    server.handle_timeout(cx, &mut self.desk);
                }
                if let Some(client) = &mut self.client {
                    client.handle_timeout(cx, &mut self.desk);
                }
            }
            Input::Fact(fact) => {
                self.own.learn(&fact);
                if let Some(server) = &mut self.server {
                    server.update(cx, &self.own);
                }
                if let Some(client) = &mut self.client {
                    client.handle_fact(cx, &mut self.desk, &fact);
                }
            }
            Input::Disconnected { peer, conn, .. } => {
                if let Some(server) = &mut self.server {
                    server.handle_disconnected(cx, &mut self.desk, peer, conn);
                }
                if let Some(client) = &mut self.client {
                    client.handle_disconnected(cx, &mut self.desk, peer, conn);
                }
            }
            Input::Connected { peer, .. } => {
                if let Some(client) = &mut self.client {
                    client.handle_connected(cx, &mut self.desk, peer);
                }
            }
            Input::DialFailed { dial, .. } => {
                if let Some(client) = &mut self.client {
                    client.handle_dial_failed(cx, &mut self.desk, dial);
                }
            }
            Input::LinkWanted { conn, peer, addr } => match &mut self.client {
                Some(client) => client.dial_link(cx, (conn, peer), &addr),
                None => cx.link_failed(conn, crate::circuits::NO_CLIENT),
            },
            input => self.handle_stream(cx, input),
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let server = self.server.as_ref().and_then(Server::poll_timeout);
        let client = self.client.as_ref().and_then(Client::poll_timeout);
        Deadline::earliest(server, client)
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
    }
}

/// The direct connection to a peer that is preferred, if there is any.
pub(crate) fn direct(cx: &Context<'_>, peer: PeerId) -> Option<libp2p_proto_core::ConnectionId> {
    let conns = cx.connections(peer);
    conns.into_iter().find(|conn| {
        cx.connection_info(*conn)
            .is_some_and(|info| !info.limited && !info.remote.is_relayed())
    })
}
