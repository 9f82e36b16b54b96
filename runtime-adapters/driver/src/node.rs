//! The task that owns the swarm and the application.

#[cfg(feature = "mdns")]
use crate::discovery::Discovery;
use crate::{
    App, Config, Desk, Error, Handle, Link, Request, Resolver, Runtime,
    alarm::Alarm,
    link::{News, Order, Orders, Pool, is_new},
    raw::Raw,
    sockets::Sockets,
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
use libp2p_proto_core::{ConnectionId, Instant, Multiaddr, StreamId};
use libp2p_proto_identity::Identity;
use libp2p_proto_os::{Clock, Foundation};
use libp2p_proto_stream_protocol::{FromConnection, Protocol, Seat, StreamOrder, ToConnection};
use libp2p_proto_swarm::{Action, Record, ResolveId, Swarm};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Inputs that one drive delivers before the channels have their turn again.
const BUDGET: usize = 1024;
/// News that may wait for the swarm, beyond one of each connection.
const NEWS: usize = 256;
/// Rounds of the node before other tasks have their turn.
const ROUNDS: usize = 16;
/// Messages that are taken in one round.
const BATCH: usize = 256;
/// How long an orderly end may take.
const CLOSING: Duration = Duration::from_secs(1);

/// What resolvers answered; bounded by the questions of the swarm.
type Answers = (ResolveId, Result<Vec<Record>, &'static str>);

/// The order to open a stream that the application may get at once, and the link that it is for.
type Opening = (ConnectionId, StreamId, ToConnection);

/// A node, as a task: a future that ends once the node is closed, or its last handle is gone.
pub struct Node<A, R: Runtime> {
    app: A,
    swarm: Swarm,
    raw: Raw,
    upgrade: Arc<connection::Config>,
    clock: Clock,
    alarm: Alarm<R::Timer>,
    pool: Pool,
    sockets: Sockets<R>,
    /// The orders of every connection that an adapter carries.
    links: BTreeMap<ConnectionId, Orders>,
    /// Links that wait to hear what the swarm says to a new stream.
    asking: BTreeSet<ConnectionId>,
    /// Both ends of the channel of links. The node gives its own sender up when it closes, so that the channel ends with the last link.
    news: (Option<mpsc::Sender<News>>, mpsc::Receiver<News>),
    links_are_over: bool,
    resolver: Option<Resolver>,
    answers: (mpsc::UnboundedSender<Answers>, mpsc::UnboundedReceiver<Answers>),
    desk: Desk<A>,
    #[cfg(feature = "mdns")]
    discovery: Option<Discovery<R>>,
    /// Inputs of one drive: no more than the events of raw streams that may wait.
    budget: usize,
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
        let peer = identity.peer_id();
        let mut raw = Raw::new(&config.streams, &config.stream_limits)?;
        let mut protocols = lend(&mut app, &mut raw);
        let base = Foundation::lay(identity, config.swarm, config.entropy, &mut protocols)?;
        #[cfg(feature = "recorder")]
        let mut base = base;
        #[cfg(feature = "recorder")]
        if let Some(recorder) = &config.recorder {
            base.swarm.watch(recorder.watcher(), &mut protocols);
        }
        #[cfg(feature = "mdns")]
        let discovery = config
            .discovery
            .map(|discovery| Discovery::new(peer, discovery, config.entropy))
            .transpose()?;
        let (desk, handle) = Desk::new(peer);
        let (sender_of_news, news) = mpsc::channel(NEWS);
        let node = Self {
            app,
            swarm: base.swarm,
            raw,
            upgrade: base.upgrade,
            clock: Clock::start(),
            alarm: Alarm::new(),
            pool: Pool::default(),
            sockets: Sockets::new(),
            links: BTreeMap::new(),
            asking: BTreeSet::new(),
            news: (Some(sender_of_news), news),
            links_are_over: false,
            resolver: config.resolver,
            answers: mpsc::unbounded(),
            desk,
            #[cfg(feature = "mdns")]
            discovery,
            budget: BUDGET.min(config.stream_limits.max_events),
            end: None,
        };
        Ok((node, handle))
    }

    /// Takes what has arrived on every channel and socket. Says whether anything had.
    fn take_all(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        for _ in 0..BATCH {
            if !self.swarm.wants_messages() {
                // The next drive makes room.
                any = true;
                break;
            }
            if self.links_are_over {
                break;
            }
            let Poll::Ready(news) = Pin::new(&mut self.news.1).poll_next(cx) else {
                break;
            };
            any = true;
            let Some((conn, message)) = news else {
                self.links_are_over = true;
                break;
            };
            if matches!(message, FromConnection::Disconnected { .. }) {
                self.links.remove(&conn);
            }
            if is_new(&message) {
                self.asking.insert(conn);
            }
            self.swarm.handle_message(self.clock.now(), conn, message);
        }
        while let Poll::Ready(Some((query, answer))) = Pin::new(&mut self.answers.1).poll_next(cx) {
            any = true;
            self.swarm.handle_resolved(self.clock.now(), query, answer);
        }
        let mut ready = Vec::new();
        any |= self
            .sockets
            .poll(cx, self.clock.now(), &mut self.swarm, &mut ready);
        for (seat, socket) in ready {
            self.sit(seat, socket);
        }
        while self.end.is_none() {
            let now = self.clock.now();
            let asked = self.desk.poll(cx, now, &mut self.swarm, &mut self.app);
            let Poll::Ready(request) = asked else { break };
            any = true;
            if let Some(request) = request {
                self.obey(request);
            }
        }
        #[cfg(feature = "mdns")]
        self.discover(cx);
        any
    }

    /// Lets discovery have its turn; it says goodbye once the node closes.
    #[cfg(feature = "mdns")]
    fn discover(&mut self, cx: &mut Context<'_>) {
        let now = self.clock.now();
        if self.end.is_some() {
            self.discovery = None;
        }
        let (swarm, app) = (&mut self.swarm, &mut self.app);
        if let Some(discovery) = &mut self.discovery {
            discovery.poll(cx, now, swarm, |event| app.handle_discovery(event));
        }
    }

    /// Starts the task of a link.
    fn sit(&mut self, seat: Seat, socket: R::Socket) {
        // A node that closes takes no more of them.
        let Some(news) = self.news.0.clone() else { return };
        let (orders, receiver) = mpsc::unbounded();
        self.links.insert(seat.conn, orders);
        let machine = connection::Connection::new(self.clock.now(), self.upgrade.clone(), seat);
        R::spawn(Link::new(
            self.clock,
            self.pool.clone(),
            news,
            receiver,
            socket,
            machine,
        ));
    }

    fn obey(&mut self, request: Request) {
        match request {
            Request::Listen(addr, answer) => {
                let _nobody_waits = answer.send(self.listen(addr));
            }
            Request::Open { peer, name, opener } => {
                self.raw.open(peer, &name, opener);
            }
            Request::Accept(acceptor) => self.raw.accept(acceptor),
            Request::Close(done) => {
                self.close();
                if let Some((_, waiting)) = &mut self.end {
                    waiting.extend(done);
                }
            }
        }
    }

    fn listen(&mut self, addr: Multiaddr) -> Result<Multiaddr, Error> {
        let addr = self.sockets.listeners.listen(&addr, R::listener)?;
        self.swarm.handle_listening(self.clock.now(), addr.clone(), true);
        Ok(addr)
    }

    /// Drives once and carries what came of it. Says whether there is more to do.
    fn work(&mut self) -> bool {
        let now = self.clock.now();
        self.raw.handle_timeout(now);
        let mut protocols = lend(&mut self.app, &mut self.raw);
        let more = self.swarm.drive(now, Clock::unix(), &mut protocols, self.budget);
        drop(protocols);
        let mut opening = None;
        while let Some(action) = self.swarm.poll_action() {
            self.act(now, action, &mut opening);
        }
        self.open(opening);
        self.answer();
        while let Some(event) = self.swarm.poll_event() {
            self.desk.tell(&event);
            self.app.handle_event(event);
        }
        self.raw.take_events();
        self.app.after_drive();
        self.desk.after_drive(&mut self.app);
        more
    }

    /// Lets links go on to whose new streams nobody has said anything.
    fn answer(&mut self) {
        while let Some(conn) = self.asking.pop_first() {
            self.send(conn, Order::Heard);
        }
    }

    fn act(&mut self, now: Instant, action: Action, opening: &mut Option<Opening>) {
        match action {
            Action::Dial {
                conn,
                addr,
                reuse_port,
            } => {
                self.sockets.dial(now, &mut self.swarm, (conn, &addr), reuse_port);
            }
            Action::CancelDial { conn } => self.sockets.cancel(conn),
            Action::Resolve { query, name, kind } => {
                let answers = self.answers.0.clone();
                let answer = move |answer| {
                    let _stopped = answers.unbounded_send((query, answer));
                };
                match &self.resolver {
                    Some(resolver) => resolver(name, kind, Box::new(answer)),
                    None => answer(Err("no-resolver")),
                }
            }
            Action::Order { conn, message } => self.order(now, (conn, message), opening),
            _ => {}
        }
    }

    /// Hands an order to its link. An open is kept back until the next order says whether the application gets the stream at once: then what it does first opens it.
    fn order(
        &mut self,
        now: Instant,
        (conn, message): (ConnectionId, ToConnection),
        opening: &mut Option<Opening>,
    ) {
        let kept = opening.take();
        match message {
            ToConnection::Open {
                stream, lazy: true, ..
            } => {
                self.open(kept);
                *opening = Some((conn, stream, message));
            }
            ToConnection::Order {
                stream,
                order: StreamOrder::HandOver,
            } => {
                let (own, other) = match kept {
                    Some((_, of, open)) if of == stream => (Some(open), None),
                    other => (None, other),
                };
                self.open(other);
                if own.is_none() {
                    self.asking.remove(&conn);
                }
                if let Some(orders) = self.links.get(&conn) {
                    self.raw.hand_over(now, stream, orders, own);
                }
            }
            message => {
                self.open(kept);
                if let Some(stream) = message.stream() {
                    self.raw.begin(stream);
                }
                self.send(conn, Order::Machine(message));
            }
        }
    }

    /// Sends an open that was kept back.
    fn open(&mut self, kept: Option<Opening>) {
        if let Some((conn, _, open)) = kept {
            self.send(conn, Order::Machine(open));
        }
    }

    fn send(&mut self, conn: ConnectionId, order: Order) {
        self.asking.remove(&conn);
        // A link that has ended has told so.
        if let Some(orders) = self.links.get(&conn) {
            let _ended = orders.unbounded_send(order);
        }
    }

    fn close(&mut self) {
        if self.end.is_none() {
            let now = self.clock.now();
            self.sockets.listeners.close();
            self.swarm.close(now);
            self.news.0 = None;
            self.end = Some((now + CLOSING, Vec::new()));
        }
    }

    fn is_over(&self) -> bool {
        self.end
            .as_ref()
            .is_some_and(|(at, _)| (self.swarm.is_idle() && self.links_are_over) || *at <= self.clock.now())
    }

    /// Whether a deadline has come; if not, the task is woken then.
    fn wait(&mut self, cx: &mut Context<'_>) -> bool {
        let mut protocols = lend(&mut self.app, &mut self.raw);
        let deadline = self
            .swarm
            .poll_timeout(&mut protocols)
            .map(|deadline| deadline.at);
        drop(protocols);
        let end = self.end.as_ref().map(|(at, _)| *at);
        #[cfg(feature = "mdns")]
        let discovery = self.discovery.as_ref().and_then(Discovery::poll_timeout);
        #[cfg(not(feature = "mdns"))]
        let discovery = None;
        let opens = self.raw.poll_timeout();
        let deadlines = [
            deadline,
            self.sockets.listeners.poll_timeout(),
            discovery,
            end,
            opens,
        ];
        let Some(at) = deadlines.into_iter().flatten().min() else {
            return false;
        };
        self.alarm.is_due(self.clock, at, cx)
    }
}

/// The protocols of the application, and behind them the one for raw streams, if these have names.
fn lend<'a, A: App>(app: &'a mut A, raw: &'a mut Raw) -> Vec<&'a mut dyn Protocol> {
    let mut protocols = app.protocols();
    if !raw.machine.specs().is_empty() {
        protocols.push(&mut raw.machine);
    }
    protocols
}

impl<A: App, R: Runtime> Future for Node<A, R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let node = self.get_mut();
        let mut more = false;
        for _ in 0..ROUNDS {
            let moved = node.take_all(cx) | more;
            if !moved && !node.wait(cx) {
                return Poll::Pending;
            }
            more = node.work();
            if node.is_over() {
                for done in node.end.take().into_iter().flat_map(|(_, waiting)| waiting) {
                    let _nobody_waits = done.send(());
                }
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

// Nothing in a node is pinned.
impl<A, R: Runtime> Unpin for Node<A, R> {}

impl<A, R: Runtime> Drop for Node<A, R> {
    fn drop(&mut self) {
        // Streams of the application may outlive the node; they don't keep its links.
        for orders in self.links.values() {
            let _ended = orders.unbounded_send(Order::Machine(ToConnection::Close));
        }
    }
}

impl<A, R: Runtime> fmt::Debug for Node<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} links)", self.links.len())
    }
}
