//! The loop: accept, read, drive, carry, write, sleep.

use crate::{
    addr::{to_multiaddr, to_socket},
    clock::Clock,
    link::{Link, Phase, Scratch, code},
};
use libp2p_proto_connection as connection;
use libp2p_proto_core::{ConnectionId, Deadline, Instant, Multiaddr, Timers, UnixTime};
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::{AttemptError, FromConnection, LinkError, Protocols, Seat, ToConnection};
use libp2p_proto_swarm::{self as swarm, Action, Event, ResolveId, Swarm};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

/// Inputs that one drive delivers before sockets have their turn again.
const BUDGET: usize = 1024;

/// How a node is built.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Limits of the swarm.
    pub swarm: swarm::Config,
}

/// Why a node could not be built, or could not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The operating system gave no entropy.
    #[error("no entropy: {0}")]
    Entropy(getrandom::Error),
    /// A limit is out of its range.
    #[error("{0}")]
    Config(#[from] swarm::Error),
    /// The keys of the secure channel could not be made.
    #[error("{0}")]
    Keys(#[from] connection::Error),
    /// Not an address of the form `/ip4|ip6/…/tcp/…`.
    #[error("cannot listen on {0}")]
    NotTcp(Multiaddr),
}

/// A name to resolve; see [`Node::poll_resolve`].
pub type Resolve = (ResolveId, String, swarm::ResolveKind);

enum Source {
    Listener(TcpListener),
    Link(ConnectionId),
}

/// A libp2p node on a hand-written event loop. The application owns its protocols and lends them to every [`turn`](Self::turn).
pub struct Node {
    swarm: Swarm,
    upgrade: Arc<connection::Config>,
    clock: Clock,
    poll: Poll,
    events: Events,
    sources: BTreeMap<usize, Source>,
    links: BTreeMap<ConnectionId, (usize, Link)>,
    /// Links that something happened to, to be served before sleeping.
    busy: std::collections::BTreeSet<ConnectionId>,
    timers: Timers<ConnectionId>,
    next_token: usize,
    scratch: Scratch,
    resolves: Vec<Resolve>,
}

impl Node {
    /// A node for `identity` and these protocols, which must be lent in the same order to every turn.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn new(identity: Identity, config: Config, protocols: Protocols<'_, '_>) -> Result<Self, Error> {
        let (mut seed, mut keys) = ([0; 32], [0; 32]);
        getrandom::fill(&mut seed).map_err(Error::Entropy)?;
        getrandom::fill(&mut keys).map_err(Error::Entropy)?;
        Ok(Self {
            upgrade: Arc::new(connection::Config::new(&identity, keys)?),
            swarm: Swarm::new(identity, config.swarm, seed, protocols)?,
            clock: Clock::start(),
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            sources: BTreeMap::new(),
            links: BTreeMap::new(),
            busy: std::collections::BTreeSet::new(),
            timers: Timers::new(),
            next_token: 0,
            scratch: Scratch::default(),
            resolves: Vec::new(),
        })
    }

    /// Listens on `/ip4|ip6/…/tcp/…`; port 0 lets the operating system choose. Answers the concrete address.
    ///
    /// # Errors
    ///
    /// [`Error::NotTcp`] or [`Error::Io`].
    pub fn listen(&mut self, addr: &Multiaddr) -> Result<Multiaddr, Error> {
        let socket = to_socket(addr).ok_or_else(|| Error::NotTcp(addr.clone()))?;
        let mut listener = bind(socket)?;
        let addr = to_multiaddr(listener.local_addr()?);
        let token = self.token();
        self.poll
            .registry()
            .register(&mut listener, Token(token), Interest::READABLE)?;
        self.sources.insert(token, Source::Listener(listener));
        self.swarm.handle_listening(self.clock.now(), addr.clone(), true);
        Ok(addr)
    }

    /// Counters of the swarm.
    pub fn stats(&self) -> swarm::Stats {
        self.swarm.stats()
    }

    /// The swarm, for its commands and getters.
    pub fn swarm(&mut self) -> &mut Swarm {
        &mut self.swarm
    }

    /// The node's time, for the swarm's commands.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The wall clock, for the address book's snapshots.
    pub fn unix(&self) -> UnixTime {
        Clock::unix()
    }

    /// The swarm's oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.swarm.poll_event()
    }

    /// The next name that must be resolved to dial. The application asks its resolver and hands the answer to `swarm().handle_resolved`.
    pub fn poll_resolve(&mut self) -> Option<Resolve> {
        self.resolves.pop()
    }

    /// Does everything that can be done, then sleeps until a socket or a deadline wakes it, for at most `wait`.
    ///
    /// # Errors
    ///
    /// The error of the operating system's poll.
    pub fn turn(&mut self, protocols: Protocols<'_, '_>, wait: Option<Duration>) -> Result<(), Error> {
        self.work(protocols);
        let now = self.clock.now();
        let links = self.timers.next().map(|(at, _)| Deadline::new(at, "link"));
        let deadline = Deadline::earliest(self.swarm.poll_timeout(protocols), links);
        let until = deadline.map(|deadline| deadline.at.since(now));
        let wait = if self.busy.is_empty() {
            [wait, until].into_iter().flatten().min()
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let ready: Vec<_> = self
            .events
            .iter()
            .map(|event| (event.token().0, event.is_readable(), event.is_writable()))
            .collect();
        for (token, readable, writable) in ready {
            self.wake(token, readable, writable);
        }
        while let Some(conn) = self.timers.pop_due(self.clock.now()) {
            self.busy.insert(conn);
        }
        self.work(protocols);
        Ok(())
    }

    /// Drives and carries until nothing is left to do without waiting, or a share of the work is done.
    fn work(&mut self, protocols: Protocols<'_, '_>) {
        for _ in 0..16 {
            let now = self.clock.now();
            for conn in std::mem::take(&mut self.busy) {
                self.serve(now, conn);
            }
            let more = self.swarm.drive(now, Clock::unix(), protocols, BUDGET);
            while let Some(action) = self.swarm.poll_action() {
                self.act(now, action);
            }
            if !more && self.busy.is_empty() {
                break;
            }
        }
    }

    fn wake(&mut self, token: usize, readable: bool, writable: bool) {
        match self.sources.get(&token) {
            Some(Source::Listener(_)) => self.accept(token),
            Some(Source::Link(conn)) => {
                let conn = *conn;
                if let Some((_, link)) = self.links.get_mut(&conn) {
                    link.ready(readable, writable);
                    self.busy.insert(conn);
                }
            }
            None => {}
        }
    }

    fn accept(&mut self, token: usize) {
        while let Some(Source::Listener(listener)) = self.sources.get(&token) {
            // A listener never dies of one failed accept: the peer may be gone already, or descriptors are short for a moment.
            let Ok((socket, remote)) = listener.accept() else {
                return;
            };
            let local = socket.local_addr().ok().map(to_multiaddr);
            if let Ok(seat) = self
                .swarm
                .handle_accepted(self.clock.now(), local, to_multiaddr(remote))
            {
                self.sit(seat, socket);
            }
        }
    }

    /// Lets a connection machine sit down on a fresh socket.
    fn sit(&mut self, seat: Seat, socket: TcpStream) {
        let conn = seat.conn;
        let machine = connection::Connection::new(self.clock.now(), self.upgrade.clone(), seat);
        self.add(conn, Link::new(socket, Phase::Running(Box::new(machine))));
    }

    fn add(&mut self, conn: ConnectionId, mut link: Link) {
        let token = self.token();
        let _no_delay = link.socket.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self
            .poll
            .registry()
            .register(&mut link.socket, Token(token), interest)
            .is_ok()
        {
            self.sources.insert(token, Source::Link(conn));
            self.links.insert(conn, (token, link));
            self.busy.insert(conn);
        } else {
            self.lost(conn);
        }
    }

    fn lost(&mut self, conn: ConnectionId) {
        let error = LinkError {
            fault: libp2p_proto_core::Fault::Local,
            code: "register",
        };
        self.swarm.handle_message(
            self.clock.now(),
            conn,
            FromConnection::Disconnected { error: Some(error) },
        );
    }

    fn token(&mut self) -> usize {
        self.next_token = self.next_token.saturating_add(1);
        self.next_token
    }

    /// Serves one link: what it read goes to the machine, what the machine says goes to the swarm and to the socket.
    fn serve(&mut self, now: Instant, conn: ConnectionId) {
        let Some((_, link)) = self.links.get_mut(&conn) else {
            return;
        };
        if matches!(link.phase, Phase::Connecting) {
            self.finish_connect(now, conn);
            return;
        }
        if !self.swarm.wants_messages() {
            // The swarm has enough to do: the link is served once it has done some of it.
            self.busy.insert(conn);
            return;
        }
        if let Some(machine) = link.connection() {
            machine.handle_timeout(now);
        }
        if link.read(now, &mut self.scratch) {
            self.busy.insert(conn);
        }
        link.write(now, &mut self.scratch);
        // After writing: what has left is news too.
        if let Some(machine) = link.connection() {
            while let Some(message) = machine.poll_message() {
                self.swarm.handle_message(now, conn, message);
            }
        }
        if link.is_over() {
            self.drop_link(conn);
        } else {
            let at = link
                .connection()
                .and_then(|machine| machine.poll_timeout())
                .map(|deadline| deadline.at);
            self.timers.set_or_clear(conn, at);
        }
    }

    fn drop_link(&mut self, conn: ConnectionId) {
        self.timers.clear(conn);
        if let Some((token, mut link)) = self.links.remove(&conn) {
            if let Some(machine) = link.connection() {
                while let Some(message) = machine.poll_message() {
                    self.swarm.handle_message(self.clock.now(), conn, message);
                }
            }
            self.sources.remove(&token);
            let _closing_anyway = self.poll.registry().deregister(&mut link.socket);
        }
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Dial { conn, addr } => self.dial(now, conn, &addr),
            Action::CancelDial { conn } => self.drop_link(conn),
            Action::Resolve { query, name, kind } => self.resolves.push((query, name, kind)),
            Action::Order { conn, message } => self.order(now, conn, message),
            _ => {}
        }
    }

    fn order(&mut self, now: Instant, conn: ConnectionId, message: ToConnection) {
        if let Some(machine) = self.links.get_mut(&conn).and_then(|(_, link)| link.connection()) {
            machine.handle_message(now, message);
            self.busy.insert(conn);
        }
    }

    fn dial(&mut self, now: Instant, conn: ConnectionId, addr: &Multiaddr) {
        let socket = to_socket(addr)
            .ok_or("unsupported")
            .and_then(|to| TcpStream::connect(to).map_err(|error| code(&error)));
        match socket {
            Ok(socket) => self.add(conn, Link::new(socket, Phase::Connecting)),
            Err(cause) => self
                .swarm
                .handle_dial_failed(now, conn, AttemptError::Transport(cause)),
        }
    }

    /// The kernel reported something about a socket that connects: it stands, it failed, or it is not decided.
    fn finish_connect(&mut self, now: Instant, conn: ConnectionId) {
        let Some((_, link)) = self.links.get_mut(&conn) else {
            return;
        };
        let failed = link.socket.take_error().ok().flatten();
        let remote = match (failed, link.socket.peer_addr()) {
            (None, Ok(remote)) => Ok(remote),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => return,
            (Some(error), _) | (None, Err(error)) => Err(code(&error)),
        };
        let local = link.socket.local_addr().ok().map(to_multiaddr);
        match remote {
            Ok(remote) => match self.swarm.handle_dialed(now, conn, local, to_multiaddr(remote)) {
                Ok(seat) => {
                    let machine = connection::Connection::new(now, self.upgrade.clone(), seat);
                    link.phase = Phase::Running(Box::new(machine));
                    self.busy.insert(conn);
                }
                Err(_) => self.drop_link(conn),
            },
            Err(cause) => {
                self.drop_link(conn);
                self.swarm
                    .handle_dial_failed(now, conn, AttemptError::Transport(cause));
            }
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({} links)", self.links.len())
    }
}

/// A listening socket whose address can be used again at once after a restart; IPv6 alone, so that both families can listen on one port.
fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    Ok(TcpListener::from_std(socket.into()))
}
