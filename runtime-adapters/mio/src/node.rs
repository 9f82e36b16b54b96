//! The loop: read, drive, carry, write, sleep.

#[cfg(feature = "mdns")]
use crate::discovery::Watched;
use crate::link::Link;
use core::{fmt, mem, task::Waker, time::Duration};
use libp2p_proto_connection::{self as connection, Connection};
use libp2p_proto_core::{ConnectionId, Instant, Multiaddr, Timers, UnixTime};
use libp2p_proto_identity::Identity;
#[cfg(feature = "mdns")]
use libp2p_proto_os::Multicast;
use libp2p_proto_os::{Clock, Entropy, Error, Foundation, Listeners, code, to_multiaddr};
use libp2p_proto_stream_protocol::{AttemptError, Protocols, Seat};
use libp2p_proto_swarm::{self as swarm, Action, Denied, Event, ResolveId, ResolveKind, Swarm};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    sync::Arc,
    task,
};

/// Inputs that one drive delivers before sockets have their turn again.
const BUDGET: usize = 1024;
/// Rounds of work before the kernel is asked again.
const ROUNDS: usize = 16;

/// The tokens of the waker, of all listeners, and of discovery; no connection has their numbers.
const WAKE: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);
#[cfg(feature = "mdns")]
const DISCOVERY: Token = Token(usize::MAX - 2);

/// Ends the sleep of a loop.
struct Wake(mio::Waker);

impl task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        // A loop that is gone does not sleep.
        let _gone = self.0.wake();
    }
}

/// How a node is built.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Limits of the swarm.
    pub swarm: swarm::Config,
    /// Where keys and dice come from.
    pub entropy: Entropy,
    /// How the node makes itself known on its links. Default: not at all. Whoever joins a network with it tells everybody there who they are.
    #[cfg(feature = "mdns")]
    pub discovery: Option<libp2p_proto_os::Discovery>,
    /// Who records what goes into the node. Default: nobody.
    #[cfg(feature = "recorder")]
    pub recorder: Option<libp2p_proto_recorder::Recorder>,
}

/// A name to resolve; see [`Node::poll_resolve`].
pub type Resolve = (ResolveId, String, ResolveKind);

/// Whether the kernel will report on a socket; if not, why.
type Registered = Result<(), &'static str>;

/// A libp2p node on a hand-written event loop. The application owns its protocols and lends them to every [`turn`](Self::turn).
pub struct Node {
    swarm: Swarm,
    upgrade: Arc<connection::Config>,
    clock: Clock,
    poll: Poll,
    events: Events,
    /// The tokens of links are their ids.
    listeners: Listeners<TcpListener>,
    /// Sockets that the kernel connects.
    dials: BTreeMap<ConnectionId, TcpStream>,
    links: BTreeMap<ConnectionId, Link>,
    /// Links to serve before sleeping.
    busy: BTreeSet<ConnectionId>,
    timers: Timers<ConnectionId>,
    /// Memory that all links share: what is in it is used up before the next link has its turn.
    input: Vec<u8>,
    output: Vec<u8>,
    resolves: Vec<Resolve>,
    waker: Option<Waker>,
    #[cfg(feature = "mdns")]
    discovery: Option<Multicast<mio::net::UdpSocket>>,
}

impl Node {
    /// A node for `identity` and these protocols, which must be lent in the same order to every turn.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn new(identity: Identity, config: Config, protocols: Protocols<'_, '_>) -> Result<Self, Error> {
        let base = Foundation::lay(identity, config.swarm, config.entropy, protocols)?;
        #[cfg(feature = "recorder")]
        let mut base = base;
        #[cfg(feature = "recorder")]
        if let Some(recorder) = &config.recorder {
            base.swarm.watch(recorder.watcher(), protocols);
        }
        #[cfg(feature = "mdns")]
        let discovery = config
            .discovery
            .map(|discovery| Multicast::new(base.swarm.local_peer_id(), discovery, config.entropy))
            .transpose()?;
        Ok(Self {
            upgrade: base.upgrade,
            swarm: base.swarm,
            clock: Clock::start(),
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            listeners: Listeners::default(),
            dials: BTreeMap::new(),
            links: BTreeMap::new(),
            busy: BTreeSet::new(),
            timers: Timers::new(),
            input: Vec::new(),
            output: Vec::new(),
            resolves: Vec::new(),
            waker: None,
            #[cfg(feature = "mdns")]
            discovery,
        })
    }

    /// Listens on `/ip4|ip6/…/tcp/…`, or that and `/ws`; port 0 lets the operating system choose. Answers the concrete address.
    ///
    /// # Errors
    ///
    /// [`Error::NotTcp`] or [`Error::Io`].
    pub fn listen(&mut self, addr: &Multiaddr) -> Result<Multiaddr, Error> {
        let addr = self.listeners.listen(addr, |socket| {
            let mut socket = TcpListener::from_std(socket);
            let registry = self.poll.registry();
            registry.register(&mut socket, LISTENER, Interest::READABLE)?;
            Ok(socket)
        })?;
        self.swarm.handle_listening(self.clock.now(), addr.clone(), true);
        Ok(addr)
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

    /// What ends the sleep of [`turn`](Self::turn) from any thread; also the waker for futures that are polled beside the loop.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn waker(&mut self) -> Result<Waker, Error> {
        if let Some(waker) = &self.waker {
            return Ok(waker.clone());
        }
        let wake = Wake(mio::Waker::new(self.poll.registry(), WAKE)?);
        Ok(self.waker.insert(Arc::new(wake).into()).clone())
    }

    /// Does everything that can be done, then sleeps until a socket or a deadline wakes it, for at most `wait`.
    ///
    /// # Errors
    ///
    /// The error of the operating system's poll.
    pub fn turn(&mut self, protocols: Protocols<'_, '_>, wait: Option<Duration>) -> Result<(), Error> {
        let wait = if self.work(protocols) {
            // The application may have events to read by now.
            Some(Duration::ZERO)
        } else {
            self.sleep_for(protocols, wait)
        };
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &self.events {
            match event.token() {
                WAKE => {}
                LISTENER => self.listeners.wake(),
                #[cfg(feature = "mdns")]
                DISCOVERY => self.discovery.iter_mut().for_each(Multicast::wake),
                Token(conn) => {
                    let conn = ConnectionId::new(conn as u64);
                    if let Some(link) = self.links.get_mut(&conn) {
                        link.readable |= event.is_readable();
                        link.writable |= event.is_writable();
                        link.ended |= event.is_read_closed();
                    }
                    self.busy.insert(conn);
                }
            }
        }
        let now = self.clock.now();
        if self.listeners.poll_timeout().is_some_and(|at| at <= now) {
            self.accept(now);
        }
        while let Some(conn) = self.timers.pop_due(now) {
            self.busy.insert(conn);
        }
        #[cfg(feature = "mdns")]
        if let Some(discovery) = &mut self.discovery {
            let mut sockets = Watched(self.poll.registry(), DISCOVERY);
            discovery.turn(now, self.swarm.listen_addresses(), &mut sockets);
        }
        self.work(protocols);
        Ok(())
    }

    /// The next thing that discovery found, or that is gone; its addresses are in the swarm's address book from then on. While nobody asks, nothing more is found.
    #[cfg(feature = "mdns")]
    pub fn poll_discovery(&mut self) -> Option<libp2p_proto_os::mdns::Event> {
        let now = self.clock.now();
        self.discovery.as_mut()?.poll_event(now, self.swarm.book_mut())
    }

    /// Tells the links that we leave, and is not found there any more.
    #[cfg(feature = "mdns")]
    pub fn stop_discovery(&mut self) {
        if let Some(mut discovery) = self.discovery.take() {
            discovery.stop(self.clock.now(), &mut Watched(self.poll.registry(), DISCOVERY));
        }
    }

    fn sleep_for(&self, protocols: Protocols<'_, '_>, wait: Option<Duration>) -> Option<Duration> {
        let swarm = self.swarm.poll_timeout(protocols).map(|deadline| deadline.at);
        let links = self.timers.next().map(|(at, _)| at);
        let listeners = self.listeners.poll_timeout();
        let now = self.clock.now();
        #[cfg(feature = "mdns")]
        let discovery = self.discovery.as_ref().and_then(Multicast::poll_timeout);
        #[cfg(not(feature = "mdns"))]
        let discovery = None;
        let deadlines = [swarm, links, listeners, discovery].into_iter().flatten();
        deadlines.map(|at| at.since(now)).chain(wait).min()
    }

    /// Serves and drives until nothing is left to do without waiting, or a share of the work is done. Says whether there was anything.
    fn work(&mut self, protocols: Protocols<'_, '_>) -> bool {
        let mut any = false;
        for _ in 0..ROUNDS {
            let now = self.clock.now();
            let deadline = self.swarm.poll_timeout(protocols);
            any |= !self.busy.is_empty() || deadline.is_some_and(|deadline| deadline.is_due(now));
            for conn in mem::take(&mut self.busy) {
                self.serve(now, conn);
            }
            let more = self.swarm.drive(now, Clock::unix(), protocols, BUDGET);
            while let Some(action) = self.swarm.poll_action() {
                any = true;
                self.act(now, action);
            }
            if !more && self.busy.is_empty() {
                break;
            }
        }
        any
    }

    /// Serves one link: what it read goes to the machine, what the machine says goes to the socket and to the swarm.
    fn serve(&mut self, now: Instant, conn: ConnectionId) {
        let Some(link) = self.links.get_mut(&conn) else {
            return self.finish_dial(now, conn);
        };
        // What the last round led to leaves together: the answer of the machine, and what the protocols said to it.
        link.write(now, &mut self.output);
        let due = link.carrier.poll_timeout().is_some_and(|at| at <= now);
        // What has arrived counts before the deadlines that it might meet.
        let mut again = link.read(now, &mut self.input) | due;
        link.carrier.machine.handle_timeout(now);
        // After writing: what has left is news too.
        while self.swarm.wants_messages() {
            let Some(message) = link.carrier.machine.poll_message() else {
                break;
            };
            self.swarm.handle_message(now, conn, message);
        }
        again |= !self.swarm.wants_messages();
        if again {
            self.busy.insert(conn);
        } else if link.is_over(now, &mut self.input) {
            // A socket that is dropped is no longer registered.
            self.links.remove(&conn);
            self.timers.clear(conn);
        } else {
            self.timers.set_or_clear(conn, link.carrier.poll_timeout());
        }
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Dial {
                conn,
                addr,
                reuse_port,
            } => {
                let socket = self.listeners.connect(&addr, reuse_port).map(TcpStream::from_std);
                match socket.and_then(|mut socket| self.register(conn, &mut socket).map(|()| socket)) {
                    Ok(socket) => drop(self.dials.insert(conn, socket)),
                    Err(cause) => self
                        .swarm
                        .handle_dial_failed(now, conn, AttemptError::Transport(cause)),
                }
            }
            Action::CancelDial { conn } => drop(self.dials.remove(&conn)),
            Action::Resolve { query, name, kind } => self.resolves.push((query, name, kind)),
            Action::Order { conn, message } => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.carrier.machine.handle_message(now, message);
                    self.busy.insert(conn);
                }
            }
            _ => {}
        }
    }

    /// The kernel reported something about a socket that connects: it stands, it failed, or it is not decided.
    fn finish_dial(&mut self, now: Instant, conn: ConnectionId) {
        let Some(socket) = self.dials.remove(&conn) else {
            return;
        };
        let failed = socket.take_error().and_then(|error| error.map_or(Ok(()), Err));
        match failed.and_then(|()| socket.peer_addr()) {
            Ok(remote) => {
                let local = socket.local_addr().ok().map(to_multiaddr);
                let seat = self.swarm.handle_dialed(now, conn, local, to_multiaddr(remote));
                self.sit(now, seat, socket, Ok(()));
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => drop(self.dials.insert(conn, socket)),
            Err(error) => {
                let error = AttemptError::Transport(code(&error));
                self.swarm.handle_dial_failed(now, conn, error);
            }
        }
    }

    fn register(&self, conn: ConnectionId, socket: &mut TcpStream) -> Registered {
        let token = usize::try_from(conn.get()).map_err(|_| "too many connections")?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let result = self.poll.registry().register(socket, Token(token), interest);
        result.map_err(|error| code(&error))
    }

    /// Lets a connection machine sit down on a fresh socket, unless the link is not wanted.
    fn sit(&mut self, now: Instant, seat: Result<Seat, Denied>, socket: TcpStream, registered: Registered) {
        let Ok(seat) = seat else { return };
        // Without it every small frame would wait for the last one's acknowledgement, and nothing else.
        let _slower = socket.set_nodelay(true);
        let conn = seat.conn;
        let mut machine = Connection::new(now, self.upgrade.clone(), seat);
        if let Err(code) = registered {
            machine.handle_link_error(now, code);
        }
        self.links.insert(conn, Link::new(socket, machine));
        self.busy.insert(conn);
    }

    fn accept(&mut self, now: Instant) {
        let accepted = self.listeners.accept(now, |listener| {
            let (socket, remote) = listener.accept()?;
            // A socket without an address is closed already.
            let local = socket.local_addr().map_err(|_| ErrorKind::ConnectionAborted)?;
            Ok((socket, local, remote))
        });
        for (mut socket, local, remote) in accepted {
            let seat = self.swarm.handle_accepted(now, Some(local), remote);
            let register = |seat: &Seat| self.register(seat.conn, &mut socket);
            let registered = seat.as_ref().map_or(Ok(()), register);
            self.sit(now, seat, socket, registered);
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} links)", self.links.len())
    }
}
