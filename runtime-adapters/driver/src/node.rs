//! The task that owns the swarm and the application.

use crate::{
    Closed, DialFailure, Handle, Incoming, Link, OpenFailure, Resolver, Runtime, Stream, Timer,
    addr::{code, to_multiaddr, to_socket},
    clock::Clock,
    link::{News, Pool},
    runtime::FAR,
    stream::{Shared, lock},
};
use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use futures_channel::{mpsc, oneshot};
use futures_core::Stream as _;
use libp2p_proto_connection as connection;
use libp2p_proto_core::{ConnectionId, DialId, Instant, Multiaddr, PeerId, ProtocolName, StreamId};
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::{
    AttemptError, Closed as StreamClosed, Dial, DialOutcome, FromConnection, OpenError, Protocol, Seat,
    ToConnection,
};
use libp2p_proto_streams::{self as streams, Streams, Ticket};
use libp2p_proto_swarm::{self as swarm, Action, Event, Record, ResolveId, Swarm};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::Arc,
};

/// Inputs that one drive delivers before the channels have their turn again.
const BUDGET: usize = 1024;
/// News that may wait for the swarm, beyond one of each connection.
const NEWS: usize = 256;
/// Rounds of the node before other tasks have their turn.
const ROUNDS: usize = 16;
/// Links that are accepted, or messages taken, in one round.
const BATCH: usize = 256;
/// How long a listener rests after a failed accept: descriptors may be short for a moment.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How long an orderly end may take.
const CLOSING: Duration = Duration::from_secs(1);
/// Raw streams that may wait for [`Handle::accept`]; further ones are reset.
const MAX_ARRIVED: usize = 256;

/// What the node's task runs for the application.
pub trait App: 'static {
    /// The protocols, always the same ones in the same order.
    fn protocols(&mut self) -> Vec<&mut dyn Protocol>;

    /// An event of the swarm.
    fn handle_event(&mut self, event: Event) {
        let _nobody_listens = event;
    }

    /// After each drive: the place to read the protocols' own events.
    fn after_drive(&mut self) {}
}

/// How a node is built.
#[derive(Clone, Default)]
pub struct Config {
    /// Limits of the swarm.
    pub swarm: swarm::Config,
    /// Names of raw streams, for [`Handle::open`] and [`Handle::accept`].
    pub streams: Vec<ProtocolName>,
    /// Limits of raw streams.
    pub stream_limits: streams::Config,
    /// Who is asked for names. `None`: dials of names fail with `no-resolver`.
    pub resolver: Option<Resolver>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("swarm", &self.swarm)
            .field("streams", &self.streams)
            .field("stream_limits", &self.stream_limits)
            .field("resolver", &self.resolver.is_some())
            .finish()
    }
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
    /// There are too many names of raw streams.
    #[error("{0}")]
    Streams(#[from] streams::Error),
    /// The keys of the secure channel could not be made.
    #[error("{0}")]
    Keys(#[from] connection::Error),
    /// Not an address of the form `/ip4|ip6/…/tcp/…`.
    #[error("cannot listen on {0}")]
    NotTcp(Multiaddr),
    /// The node has stopped.
    #[error("{0}")]
    Closed(#[from] Closed),
}

pub(crate) type Call<A> = Box<dyn FnOnce(&mut Swarm, &mut A, Instant) + Send>;
type Waiting<A> = Box<dyn FnMut(&mut A) -> bool + Send>;
type Dialed = Result<(PeerId, ConnectionId), DialFailure>;

pub(crate) enum Command<A> {
    Call(Call<A>),
    Next(Waiting<A>),
    Dial(Dial, oneshot::Sender<Dialed>),
    Listen(Multiaddr, oneshot::Sender<Result<Multiaddr, Error>>),
    Open {
        peer: PeerId,
        name: ProtocolName,
        answer: oneshot::Sender<Result<Stream, OpenFailure>>,
    },
    Accept(oneshot::Sender<Incoming>),
    Close(oneshot::Sender<()>),
}

/// Both ends of a channel without a bound of its own: what is in it is bounded by whoever fills it.
type Channel<T> = (mpsc::UnboundedSender<T>, mpsc::UnboundedReceiver<T>);

/// Raw streams and those who wait for them.
struct Raw {
    machine: Streams,
    pipes: BTreeMap<StreamId, Shared>,
    touched: Channel<StreamId>,
    opens: BTreeMap<Ticket, oneshot::Sender<Result<Stream, OpenFailure>>>,
    arrived: VecDeque<Incoming>,
    acceptors: VecDeque<oneshot::Sender<Incoming>>,
}

/// A node, as a task: a future that ends once the node is closed, or its last handle is gone.
pub struct Node<A, R: Runtime> {
    app: A,
    swarm: Swarm,
    raw: Raw,
    upgrade: Arc<connection::Config>,
    clock: Clock,
    timer: R::Timer,
    pool: Pool,
    resolver: Option<Resolver>,
    commands: mpsc::UnboundedReceiver<Command<A>>,
    waiting: Vec<Waiting<A>>,
    links: BTreeMap<ConnectionId, mpsc::UnboundedSender<ToConnection>>,
    dials: BTreeMap<ConnectionId, R::Connecting>,
    dialers: BTreeMap<DialId, Vec<oneshot::Sender<Dialed>>>,
    answers: Channel<(ResolveId, Result<Vec<Record>, &'static str>)>,
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    listeners: Vec<R::Listener>,
    /// When to accept again, after accepting has failed.
    accept_at: Option<Instant>,
    /// When to end although connections stand, and who waits for it.
    end: Option<(Instant, Vec<oneshot::Sender<()>>)>,
}

impl<A: App, R: Runtime> Node<A, R> {
    /// A node for `identity` that runs `app`, and the way to it. The future is to be spawned on the runtime.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn new(identity: Identity, config: Config, mut app: A) -> Result<(Self, Handle<A>), Error> {
        let (mut seed, mut keys) = ([0; 32], [0; 32]);
        getrandom::fill(&mut seed).map_err(Error::Entropy)?;
        getrandom::fill(&mut keys).map_err(Error::Entropy)?;
        let upgrade = Arc::new(connection::Config::new(&identity, keys)?);
        let mut machine = Streams::new(&config.streams, config.stream_limits)?;
        let mut protocols = app.protocols();
        protocols.push(&mut machine);
        let swarm = Swarm::new(identity, config.swarm, seed, &mut protocols)?;
        let (sender, commands) = mpsc::unbounded();
        let node = Self {
            app,
            swarm,
            raw: Raw {
                machine,
                pipes: BTreeMap::new(),
                touched: mpsc::unbounded(),
                opens: BTreeMap::new(),
                arrived: VecDeque::new(),
                acceptors: VecDeque::new(),
            },
            upgrade,
            clock: Clock::start(),
            timer: R::Timer::new(),
            pool: Pool::default(),
            resolver: config.resolver,
            commands,
            waiting: Vec::new(),
            links: BTreeMap::new(),
            dials: BTreeMap::new(),
            dialers: BTreeMap::new(),
            answers: mpsc::unbounded(),
            news: mpsc::channel(NEWS),
            listeners: Vec::new(),
            accept_at: None,
            end: None,
        };
        Ok((node, Handle::new(sender)))
    }

    /// Takes what has arrived on every channel and socket. Says whether anything had.
    fn take_all(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        for _ in 0..BATCH {
            if !self.swarm.wants_messages() {
                break;
            }
            let Poll::Ready(Some((conn, message))) = Pin::new(&mut self.news.1).poll_next(cx) else {
                break;
            };
            any = true;
            if matches!(message, FromConnection::Disconnected { .. }) {
                self.links.remove(&conn);
            }
            self.swarm.handle_message(self.clock.now(), conn, message);
        }
        while let Poll::Ready(Some((query, answer))) = Pin::new(&mut self.answers.1).poll_next(cx) {
            any = true;
            self.swarm.handle_resolved(self.clock.now(), query, answer);
        }
        while let Poll::Ready(Some(id)) = Pin::new(&mut self.raw.touched.1).poll_next(cx) {
            any = true;
            self.raw.pump(id);
        }
        any |= self.take_dialed(cx);
        any |= self.accept(cx);
        while self.end.is_none() {
            let Poll::Ready(command) = Pin::new(&mut self.commands).poll_next(cx) else {
                break;
            };
            any = true;
            match command {
                Some(command) => self.obey(command),
                None => self.close(),
            }
        }
        any
    }

    fn take_dialed(&mut self, cx: &mut Context<'_>) -> bool {
        let mut done = Vec::new();
        for (conn, connecting) in &mut self.dials {
            if let Poll::Ready(result) = Pin::new(connecting).poll(cx) {
                done.push((*conn, result));
            }
        }
        let any = !done.is_empty();
        for (conn, result) in done {
            self.dials.remove(&conn);
            let now = self.clock.now();
            match result.and_then(|socket| R::addrs(&socket).map(|addrs| (socket, addrs))) {
                Ok((socket, (local, remote))) => {
                    let local = Some(to_multiaddr(local));
                    let seat = self.swarm.handle_dialed(now, conn, local, to_multiaddr(remote));
                    self.sit(seat, socket);
                }
                Err(error) => {
                    let error = AttemptError::Transport(code(&error));
                    self.swarm.handle_dial_failed(now, conn, error);
                }
            }
        }
        any
    }

    fn accept(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.clock.now();
        if self.accept_at.is_some_and(|at| at > now) {
            return false;
        }
        self.accept_at = None;
        let mut accepted = Vec::new();
        for listener in &mut self.listeners {
            for _ in 0..BATCH {
                match R::poll_accept(listener, cx) {
                    Poll::Ready(Ok(socket)) => accepted.push(socket),
                    // A listener never dies of one failed accept.
                    Poll::Ready(Err(_)) => {
                        self.accept_at = Some(now + ACCEPT_AGAIN);
                        break;
                    }
                    Poll::Pending => break,
                }
            }
        }
        let any = !accepted.is_empty();
        for socket in accepted {
            // A socket without addresses is already closed.
            let Ok((local, remote)) = R::addrs(&socket) else {
                continue;
            };
            let local = Some(to_multiaddr(local));
            let seat = self
                .swarm
                .handle_accepted(self.clock.now(), local, to_multiaddr(remote));
            self.sit(seat, socket);
        }
        any
    }

    /// Starts the task of a link, unless its seat was denied.
    fn sit(&mut self, seat: Result<Seat, swarm::Denied>, socket: R::Socket) {
        let Ok(seat) = seat else { return };
        let (orders, receiver) = mpsc::unbounded();
        self.links.insert(seat.conn, orders);
        let machine = connection::Connection::new(self.clock.now(), self.upgrade.clone(), seat);
        let news = self.news.0.clone();
        R::spawn(Link::new(
            self.clock,
            self.pool.clone(),
            news,
            receiver,
            socket,
            machine,
        ));
    }

    fn obey(&mut self, command: Command<A>) {
        match command {
            Command::Call(call) => call(&mut self.swarm, &mut self.app, self.clock.now()),
            Command::Next(waiting) => self.waiting.push(waiting),
            Command::Dial(dial, answer) => self.dial(dial, answer),
            Command::Listen(addr, answer) => {
                let _nobody_waits = answer.send(self.listen(addr));
            }
            Command::Open { peer, name, answer } => match self.raw.machine.open(peer, &name) {
                Ok(ticket) => drop(self.raw.opens.insert(ticket, answer)),
                Err(error) => {
                    let _nobody_waits = answer.send(Err(error.into()));
                }
            },
            Command::Accept(acceptor) => {
                self.raw.acceptors.push_back(acceptor);
                self.raw.hand_out();
            }
            Command::Close(done) => {
                self.close();
                if let Some((_, waiting)) = &mut self.end {
                    waiting.push(done);
                }
            }
        }
    }

    fn dial(&mut self, dial: Dial, answer: oneshot::Sender<Dialed>) {
        let result = match self.swarm.dial(self.clock.now(), dial) {
            Ok(DialOutcome::Pending(dial)) => {
                self.dialers.entry(dial).or_default().push(answer);
                return;
            }
            Ok(DialOutcome::Connected(conn)) => self
                .swarm
                .peers()
                .find(|peer| self.swarm.connections(*peer).contains(&conn))
                .map(|peer| (peer, conn))
                .ok_or(DialFailure::Closed(Closed)),
            Err(refused) => Err(refused.into()),
        };
        let _nobody_waits = answer.send(result);
    }

    fn listen(&mut self, addr: Multiaddr) -> Result<Multiaddr, Error> {
        let socket = to_socket(&addr).ok_or(Error::NotTcp(addr))?;
        let listener = R::bind(socket)?;
        let addr = to_multiaddr(R::listening_at(&listener)?);
        self.listeners.push(listener);
        self.swarm.handle_listening(self.clock.now(), addr.clone(), true);
        Ok(addr)
    }

    /// Drives once and carries what came of it. Says whether there is more to do.
    fn work(&mut self) -> bool {
        let mut protocols = self.app.protocols();
        protocols.push(&mut self.raw.machine);
        let more = self
            .swarm
            .drive(self.clock.now(), Clock::unix(), &mut protocols, BUDGET);
        drop(protocols);
        while let Some(action) = self.swarm.poll_action() {
            self.act(action);
        }
        while let Some(event) = self.swarm.poll_event() {
            self.tell_dialers(&event);
            self.app.handle_event(event);
        }
        self.raw.take_events();
        self.app.after_drive();
        let app = &mut self.app;
        self.waiting.retain_mut(|waiting| !waiting(app));
        more
    }

    fn tell_dialers(&mut self, event: &Event) {
        let (dial, result) = match event {
            Event::Connected { peer, conn, info, .. } => (info.dial, Ok((*peer, *conn))),
            Event::DialFailed { dial, error, .. } => (Some(*dial), Err(error.clone().into())),
            _ => return,
        };
        let dialers = dial.and_then(|dial| self.dialers.remove(&dial));
        for dialer in dialers.into_iter().flatten() {
            let _nobody_waits = dialer.send(result.clone());
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial { conn, addr } => {
                if let Some(socket) = to_socket(&addr) {
                    self.dials.insert(conn, R::connect(socket));
                } else {
                    let error = AttemptError::Transport("unsupported");
                    self.swarm.handle_dial_failed(self.clock.now(), conn, error);
                }
            }
            Action::CancelDial { conn } => drop(self.dials.remove(&conn)),
            Action::Resolve { query, name, kind } => {
                let answers = self.answers.0.clone();
                let Some(resolver) = &self.resolver else {
                    let _stopped = answers.unbounded_send((query, Err("no-resolver")));
                    return;
                };
                resolver(
                    name,
                    kind,
                    Box::new(move |answer| {
                        let _stopped = answers.unbounded_send((query, answer));
                    }),
                );
            }
            Action::Order { conn, message } => {
                if let Some(link) = self.links.get(&conn) {
                    // A link that has ended has told so.
                    let _ended = link.unbounded_send(message);
                }
            }
            _ => {}
        }
    }

    fn close(&mut self) {
        if self.end.is_none() {
            let now = self.clock.now();
            self.listeners.clear();
            self.swarm.close(now);
            self.end = Some((now + CLOSING, Vec::new()));
        }
    }

    fn is_over(&self) -> bool {
        self.end
            .as_ref()
            .is_some_and(|(at, _)| self.swarm.is_idle() || *at <= self.clock.now())
    }

    /// Whether a deadline has come; if not, the task is woken then.
    fn wait(&mut self, cx: &mut Context<'_>) -> bool {
        let mut protocols = self.app.protocols();
        protocols.push(&mut self.raw.machine);
        let deadline = self.swarm.poll_timeout(&mut protocols);
        drop(protocols);
        let end = self.end.as_ref().map(|(at, _)| *at);
        let others = [self.accept_at, end].into_iter().flatten();
        let Some(at) = deadline
            .map(|deadline| deadline.at)
            .into_iter()
            .chain(others)
            .min()
        else {
            return false;
        };
        let at = self
            .clock
            .to_std(at)
            .or_else(|| self.clock.to_std(self.clock.now() + FAR));
        at.is_none_or(|at| self.timer.poll_at(at, cx).is_ready())
    }
}

impl<A: App, R: Runtime> Future for Node<A, R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let node = self.get_mut();
        for _ in 0..ROUNDS {
            let mut moved = node.take_all(cx);
            moved |= node.work();
            if node.is_over() {
                for done in node.end.take().into_iter().flat_map(|(_, waiting)| waiting) {
                    let _nobody_waits = done.send(());
                }
                return Poll::Ready(());
            }
            if !moved && !node.wait(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

// Nothing in a node is pinned.
impl<A, R: Runtime> Unpin for Node<A, R> {}

impl<A, R: Runtime> fmt::Debug for Node<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} links)", self.links.len())
    }
}

impl<A, R: Runtime> Drop for Node<A, R> {
    fn drop(&mut self) {
        for shared in self.raw.pipes.values() {
            lock(shared).abandon();
        }
    }
}

impl Raw {
    /// A handle on a stream of the machine.
    fn stream(&mut self, id: StreamId) -> Stream {
        let shared = Shared::default();
        self.pipes.insert(id, shared.clone());
        Stream::new(id, shared, self.touched.0.clone())
    }

    fn pump(&mut self, id: StreamId) {
        if let Some(shared) = self.pipes.get(&id) {
            if !lock(shared).pump(id, &mut self.machine) {
                self.pipes.remove(&id);
            }
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                streams::Event::Opened { ticket, stream, .. } => {
                    let stream = self.stream(stream);
                    if let Some(answer) = self.opens.remove(&ticket) {
                        // A stream that nobody waits for is dropped, and so reset.
                        let _nobody_waits = answer.send(Ok(stream));
                    }
                }
                streams::Event::OpenFailed {
                    ticket,
                    error,
                    reason,
                } => {
                    let failure = match (error, reason) {
                        (Some(error), _) => OpenFailure::Refused(error),
                        (None, Some(reason)) => OpenFailure::Failed(reason),
                        (None, None) => OpenFailure::Refused(OpenError::NotConnected),
                    };
                    if let Some(answer) = self.opens.remove(&ticket) {
                        let _nobody_waits = answer.send(Err(failure));
                    }
                }
                streams::Event::Incoming { stream, peer, name } => {
                    let stream = self.stream(stream);
                    if self.arrived.len() < MAX_ARRIVED {
                        self.arrived.push_back(Incoming { peer, name, stream });
                    }
                    self.hand_out();
                }
                streams::Event::Readable { stream } | streams::Event::Writable { stream } => {
                    self.pump(stream);
                }
                streams::Event::Closed { stream, reason } => self.closed(stream, reason),
                _ => {}
            }
        }
    }

    fn closed(&mut self, id: StreamId, reason: StreamClosed) {
        if let Some(shared) = self.pipes.get(&id) {
            lock(shared).close(reason);
        }
        self.pump(id);
    }

    /// Gives what has arrived to those who wait.
    fn hand_out(&mut self) {
        while let Some(incoming) = self.arrived.pop_front() {
            let Some(acceptor) = self.acceptors.pop_front() else {
                self.arrived.push_front(incoming);
                return;
            };
            if let Err(incoming) = acceptor.send(incoming) {
                self.arrived.push_front(incoming);
            }
        }
    }
}
