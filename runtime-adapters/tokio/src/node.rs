//! The task that owns the swarm and the application, and the handle to it.

use crate::{
    clock::Clock,
    link::{Link, Pool, code},
};
use core::{fmt, time::Duration};
use libp2p_proto_connection as connection;
use libp2p_proto_core::{ConnectionId, Instant, Multiaddr};
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::{AttemptError, FromConnection, Protocol, Seat, ToConnection};
use libp2p_proto_swarm::{self as swarm, Action, Event, Record, ResolveId, ResolveKind, Swarm};
use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinSet},
};

/// Inputs that one drive delivers before the channels have their turn again.
const BUDGET: usize = 1024;
/// News that may wait for the swarm.
const NEWS: usize = 256;

/// What the node's task runs for the application.
pub trait App: Send + 'static {
    /// The protocols, always the same ones in the same order.
    fn protocols(&mut self) -> Vec<&mut dyn Protocol>;

    /// An event of the swarm.
    fn handle_event(&mut self, event: Event);

    /// After each drive: the place to read the protocols' own events.
    fn after_drive(&mut self) {}
}

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
    Config(#[from] swarm::ConfigError),
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

/// The node has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Closed;

/// Both ends of a channel.
type Channel<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);

type Call<A> = Box<dyn FnOnce(&mut Swarm, &mut A, Instant) + Send>;

enum Command<A> {
    Call(Call<A>),
    Accepting(TcpListener),
    Close(oneshot::Sender<()>),
}

/// A way to a running node, from anywhere. Cheap to clone; the node stops when the last handle is gone.
pub struct Handle<A> {
    commands: mpsc::UnboundedSender<Command<A>>,
}

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
        }
    }
}

impl<A> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl<A: App> Handle<A> {
    /// Runs `act` on the swarm and the application, in the node's task.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub async fn call<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Swarm, &mut A, Instant) -> R + Send + 'static,
    ) -> Result<R, Closed> {
        let (sender, receiver) = oneshot::channel();
        let call: Call<A> = Box::new(move |swarm, app, now| {
            // The caller may have lost interest.
            let _nobody_waits = sender.send(act(swarm, app, now));
        });
        self.commands.send(Command::Call(call)).map_err(|_| Closed)?;
        receiver.await.map_err(|_| Closed)
    }

    /// Listens on `/ip4|ip6/…/tcp/…`; port 0 lets the operating system choose. Answers the concrete address.
    ///
    /// # Errors
    ///
    /// [`Error::NotTcp`], [`Error::Io`], [`Error::Closed`].
    pub async fn listen(&self, addr: Multiaddr) -> Result<Multiaddr, Error> {
        let socket = to_socket(&addr).ok_or(Error::NotTcp(addr))?;
        let listener = TcpListener::bind(socket).await?;
        let addr = to_multiaddr(listener.local_addr()?);
        let own = addr.clone();
        self.call(move |swarm, _, now| swarm.handle_listening(now, own, true))
            .await?;
        self.commands
            .send(Command::Accepting(listener))
            .map_err(|_| Closed)?;
        Ok(addr)
    }

    /// Closes every connection in an orderly way, for a second at most, and stops the node.
    pub async fn close(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.commands.send(Command::Close(sender)).is_ok() {
            // A node that has stopped is closed.
            let _stopped = receiver.await;
        }
    }
}

/// A node: [`Node::spawn`] starts one on the current runtime.
pub struct Node<A> {
    app: A,
    swarm: Swarm,
    upgrade: Arc<connection::Config>,
    clock: Clock,
    pool: Pool,
    links: BTreeMap<ConnectionId, mpsc::UnboundedSender<ToConnection>>,
    dialing: BTreeMap<ConnectionId, AbortHandle>,
    dials: JoinSet<(ConnectionId, io::Result<TcpStream>)>,
    resolving: JoinSet<(ResolveId, Result<Vec<Record>, &'static str>)>,
    accepted: Channel<(TcpStream, SocketAddr)>,
    news: Channel<(ConnectionId, FromConnection)>,
    /// Listening tasks, ended with the node.
    listeners: JoinSet<()>,
}

impl<A: App> Node<A> {
    /// Starts a node for `identity` that runs `app`, in a task of the current runtime.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn spawn(identity: Identity, config: Config, mut app: A) -> Result<Handle<A>, Error> {
        let (mut seed, mut keys) = ([0; 32], [0; 32]);
        getrandom::fill(&mut seed).map_err(Error::Entropy)?;
        getrandom::fill(&mut keys).map_err(Error::Entropy)?;
        let upgrade = Arc::new(connection::Config::new(&identity, keys)?);
        let swarm = Swarm::new(identity, config.swarm, seed, &mut app.protocols())?;
        let node = Self {
            app,
            swarm,
            upgrade,
            clock: Clock::start(),
            pool: Pool::default(),
            links: BTreeMap::new(),
            dialing: BTreeMap::new(),
            dials: JoinSet::new(),
            resolving: JoinSet::new(),
            accepted: mpsc::channel(64),
            news: mpsc::channel(NEWS),
            listeners: JoinSet::new(),
        };
        let (commands, receiver) = mpsc::unbounded_channel();
        tokio::spawn(node.run(receiver));
        Ok(Handle { commands })
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command<A>>) {
        loop {
            self.work();
            let deadline = self.swarm.poll_timeout(&mut self.app.protocols());
            let clock = self.clock;
            let sleep = async {
                match deadline {
                    Some(deadline) => clock.sleep_until(deadline.at).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Call(call)) => call(&mut self.swarm, &mut self.app, clock.now()),
                    Some(Command::Accepting(listener)) => self.accept_from(listener),
                    Some(Command::Close(done)) => {
                        self.close().await;
                        let _nobody_waits = done.send(());
                        return;
                    }
                    None => return self.close().await,
                },
                Some((conn, message)) = self.news.1.recv() => self.take_news(conn, message),
                Some((socket, remote)) = self.accepted.1.recv() => self.accept(socket, remote),
                Some(Ok((conn, result))) = self.dials.join_next() => self.dialed(conn, result),
                Some(Ok((query, answer))) = self.resolving.join_next() => self.swarm.handle_resolved(clock.now(), query, answer),
                () = sleep => {}
            }
        }
    }

    /// Drives until nothing is left to do without waiting.
    fn work(&mut self) {
        while let Ok((conn, message)) = self.news.1.try_recv() {
            self.take_news(conn, message);
        }
        loop {
            let more = self
                .swarm
                .drive(self.clock.now(), Clock::unix(), &mut self.app.protocols(), BUDGET);
            while let Some(action) = self.swarm.poll_action() {
                self.act(action);
            }
            while let Some(event) = self.swarm.poll_event() {
                self.app.handle_event(event);
            }
            self.app.after_drive();
            if !more {
                return;
            }
        }
    }

    fn take_news(&mut self, conn: ConnectionId, message: FromConnection) {
        if matches!(message, FromConnection::Disconnected { .. }) {
            self.links.remove(&conn);
        }
        self.swarm.handle_message(self.clock.now(), conn, message);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial { conn, addr } => match to_socket(&addr) {
                Some(socket) => {
                    let task = self
                        .dials
                        .spawn(async move { (conn, TcpStream::connect(socket).await) });
                    self.dialing.insert(conn, task);
                }
                None => self.swarm.handle_dial_failed(
                    self.clock.now(),
                    conn,
                    AttemptError::Transport("unsupported"),
                ),
            },
            Action::CancelDial { conn } => {
                if let Some(task) = self.dialing.remove(&conn) {
                    task.abort();
                }
            }
            Action::Resolve { query, name, kind } => {
                self.resolving
                    .spawn(async move { (query, resolve(name, kind).await) });
            }
            Action::Order { conn, message } => {
                if let Some(link) = self.links.get(&conn) {
                    // A link that has ended has told so.
                    let _ended = link.send(message);
                }
            }
            _ => {}
        }
    }

    fn accept_from(&mut self, listener: TcpListener) {
        let accepted = self.accepted.0.clone();
        self.listeners.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok(link) => {
                        if accepted.send(link).await.is_err() {
                            return;
                        }
                    }
                    // A listener never dies of one failed accept: descriptors may be short for a moment.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
    }

    fn accept(&mut self, socket: TcpStream, remote: SocketAddr) {
        let local = socket.local_addr().ok().map(to_multiaddr);
        if let Ok(seat) = self
            .swarm
            .handle_accepted(self.clock.now(), local, to_multiaddr(remote))
        {
            self.sit(seat, socket);
        }
    }

    fn dialed(&mut self, conn: ConnectionId, result: io::Result<TcpStream>) {
        self.dialing.remove(&conn);
        let now = self.clock.now();
        match result.and_then(|socket| socket.peer_addr().map(|remote| (socket, remote))) {
            Ok((socket, remote)) => {
                let local = socket.local_addr().ok().map(to_multiaddr);
                if let Ok(seat) = self.swarm.handle_dialed(now, conn, local, to_multiaddr(remote)) {
                    self.sit(seat, socket);
                }
            }
            Err(error) => self
                .swarm
                .handle_dial_failed(now, conn, AttemptError::Transport(code(&error))),
        }
    }

    fn sit(&mut self, seat: Seat, socket: TcpStream) {
        let _no_delay = socket.set_nodelay(true);
        let (orders, receiver) = mpsc::unbounded_channel();
        self.links.insert(seat.conn, orders);
        let link = Link {
            clock: self.clock,
            pool: self.pool.clone(),
            news: self.news.0.clone(),
            orders: receiver,
            socket,
            machine: connection::Connection::new(self.clock.now(), self.upgrade.clone(), seat),
            tail: Vec::new(),
            unsent: Vec::new(),
        };
        tokio::spawn(link.run());
    }

    async fn close(&mut self) {
        self.listeners.abort_all();
        self.swarm.close(self.clock.now());
        let end = self.clock.now() + Duration::from_secs(1);
        loop {
            self.work();
            if self.swarm.is_idle() || self.clock.now() >= end {
                return;
            }
            tokio::select! {
                Some((conn, message)) = self.news.1.recv() => self.take_news(conn, message),
                () = self.clock.sleep_until(end) => {}
            }
        }
    }
}

impl<A> fmt::Debug for Node<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} links)", self.links.len())
    }
}

/// Asks the operating system's resolver for addresses; it has no TXT records.
async fn resolve(name: String, kind: ResolveKind) -> Result<Vec<Record>, &'static str> {
    let wanted = |addr: &SocketAddr| match kind {
        ResolveKind::Ip4 => addr.is_ipv4(),
        ResolveKind::Ip6 => addr.is_ipv6(),
        ResolveKind::Ip => true,
        ResolveKind::Txt => false,
    };
    if kind == ResolveKind::Txt {
        return Err("txt-not-supported");
    }
    let addrs = tokio::net::lookup_host((name.as_str(), 0))
        .await
        .map_err(|_| "name-not-found")?;
    Ok(addrs.filter(wanted).map(|addr| Record::Ip(addr.ip())).collect())
}

fn to_multiaddr(addr: SocketAddr) -> Multiaddr {
    Multiaddr::tcp(addr.ip().to_canonical(), addr.port())
}

/// The socket of `/ip4|ip6/…/tcp/…`, with nothing behind it but the peer's id.
fn to_socket(addr: &Multiaddr) -> Option<SocketAddr> {
    let addr = addr.split_peer_id().0?;
    let (ip, port) = addr.socket_tcp()?;
    (addr.components().count() == 2).then(|| SocketAddr::new(ip, port))
}
