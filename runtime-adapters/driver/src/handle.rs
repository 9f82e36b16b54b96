//! The way to a running node, from anywhere.

use crate::{
    App, Error, Incoming, OpenFailure, Stream,
    desk::{Call, Command, Request},
};
use core::fmt;
use futures_channel::{mpsc, oneshot};
use libp2p_proto_core::{ConnectionId, Instant, Multiaddr, PeerId, ProtocolName};
use libp2p_proto_stream_protocol::{Dial, DialError, DialRefused};
use libp2p_proto_swarm::Swarm;

/// The node has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Closed;

/// Why a dial did not end in a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialFailure {
    /// It was refused at once.
    #[error("{0}")]
    Refused(#[from] DialRefused),
    /// It was tried.
    #[error("{0}")]
    Failed(#[from] DialError),
    /// The node has stopped.
    #[error("{0}")]
    Closed(#[from] Closed),
}

/// A way to a running node. Cheap to clone; the node stops when the last handle is gone.
pub struct Handle<A> {
    peer: PeerId,
    commands: mpsc::UnboundedSender<Command<A>>,
}

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self {
            peer: self.peer,
            commands: self.commands.clone(),
        }
    }
}

impl<A> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.peer)
    }
}

impl<A: App> Handle<A> {
    pub(crate) const fn new(peer: PeerId, commands: mpsc::UnboundedSender<Command<A>>) -> Self {
        Self { peer, commands }
    }

    /// The node's own peer id.
    pub const fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// Sends a command that answers.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command<A>) -> Result<T, Closed> {
        let (sender, receiver) = oneshot::channel();
        self.commands
            .unbounded_send(command(sender))
            .map_err(|_| Closed)?;
        receiver.await.map_err(|_| Closed)
    }

    /// Runs `act` on the swarm and the application, in the node's task: the way to every command of every protocol.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub async fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Swarm, &mut A, Instant) -> T + Send + 'static,
    ) -> Result<T, Closed> {
        self.ask(|sender| {
            let call: Call<A> = Box::new(move |swarm, app, now| {
                // The caller may have lost interest.
                let _nobody_waits = sender.send(act(swarm, app, now));
            });
            Command::Call(call)
        })
        .await
    }

    /// Asks the application after each drive until it answers: `node.next(|app| app.ping.poll_event())` waits for the next event of a protocol.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub async fn next<T: Send + 'static>(
        &self,
        mut poll: impl FnMut(&mut A) -> Option<T> + Send + 'static,
    ) -> Result<T, Closed> {
        self.ask(|sender| {
            let mut sender = Some(sender);
            Command::Next(Box::new(move |app| {
                if sender.as_ref().is_none_or(oneshot::Sender::is_canceled) {
                    return true;
                }
                let Some(found) = poll(app) else { return false };
                if let Some(sender) = sender.take() {
                    let _nobody_waits = sender.send(found);
                }
                true
            }))
        })
        .await
    }

    /// Dials, and waits for the connection.
    ///
    /// # Errors
    ///
    /// See [`DialFailure`].
    pub async fn dial(&self, dial: Dial) -> Result<(PeerId, ConnectionId), DialFailure> {
        self.ask(|sender| Command::Dial(dial, sender)).await?
    }

    /// Listens on `/ip4|ip6/…/tcp/…`; port 0 lets the operating system choose. Answers the concrete address.
    ///
    /// # Errors
    ///
    /// [`os::Error::NotTcp`](crate::os::Error::NotTcp) and [`os::Error::Io`](crate::os::Error::Io) as [`Error::Os`], [`Error::Closed`].
    pub async fn listen(&self, addr: Multiaddr) -> Result<Multiaddr, Error> {
        self.ask(|sender| Command::Request(Request::Listen(addr, sender)))
            .await?
    }

    /// Opens a raw stream to a connected peer under one of the names in the node's [`Config`](crate::Config).
    ///
    /// # Errors
    ///
    /// See [`OpenFailure`].
    pub async fn open(&self, peer: PeerId, name: ProtocolName) -> Result<Stream, OpenFailure> {
        self.ask(|opener| Command::Request(Request::Open { peer, name, opener }))
            .await?
    }

    /// The next raw stream that a peer opens under one of the names in the node's [`Config`](crate::Config).
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub async fn accept(&self) -> Result<Incoming, Closed> {
        self.ask(|acceptor| Command::Request(Request::Accept(acceptor)))
            .await
    }

    /// Closes every connection in an orderly way, for a second at most, and stops the node.
    pub async fn close(&self) {
        // A node that has stopped is closed.
        let _stopped = self
            .ask(|done| Command::Request(Request::Close(Some(done))))
            .await;
    }
}
