//! The node's end of its handles.

use crate::{App, Closed, DialFailure, Error, Handle, Incoming, OpenFailure, Stream};
use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use futures_channel::{mpsc, oneshot};
use futures_core::Stream as _;
use libp2p_proto_core::{ConnectionId, DialId, Instant, Multiaddr, PeerId, ProtocolName};
use libp2p_proto_stream_protocol::{Dial, DialOutcome};
use libp2p_proto_swarm::{Event, Swarm};
use std::collections::BTreeMap;

pub(crate) type Call<A> = Box<dyn FnOnce(&mut Swarm, &mut A, Instant) + Send>;
/// Asked after each drive; says whether it has its answer.
pub(crate) type Waiting<A> = Box<dyn FnMut(&mut A) -> bool + Send>;
pub(crate) type Dialed = Result<(PeerId, ConnectionId), DialFailure>;

/// What a handle asks of the node. Whoever asks waits for the answer, which bounds how much is asked.
pub(crate) enum Command<A> {
    Call(Call<A>),
    Next(Waiting<A>),
    Dial(Dial, oneshot::Sender<Dialed>),
    Request(Request),
}

/// What a [`Desk`] leaves to whoever sits there: all that is about sockets.
#[derive(Debug)]
#[non_exhaustive]
pub enum Request {
    /// Listen on this address, and answer the concrete one.
    Listen(Multiaddr, oneshot::Sender<Result<Multiaddr, Error>>),
    /// Open a raw stream.
    Open {
        /// To whom.
        peer: PeerId,
        /// Under which name.
        name: ProtocolName,
        /// Who waits for it.
        opener: oneshot::Sender<Result<Stream, OpenFailure>>,
    },
    /// Hand out the next raw stream that a peer opens.
    Accept(oneshot::Sender<Incoming>),
    /// Close in an orderly way and stop, then say so. Without anybody to tell: the last handle is gone.
    Close(Option<oneshot::Sender<()>>),
}

/// Where the wishes of a node's handles arrive. The driver's own [`Node`](crate::Node) sits at one; so may a loop that has no tasks, and its handles are no different.
///
/// After each drive: [`tell`](Self::tell) every event of the swarm, then [`after_drive`](Self::after_drive).
pub struct Desk<A> {
    commands: mpsc::UnboundedReceiver<Command<A>>,
    waiting: Vec<Waiting<A>>,
    dialers: BTreeMap<DialId, Vec<oneshot::Sender<Dialed>>>,
}

impl<A: App> Desk<A> {
    /// A desk, and the first handle to the node that sits there.
    pub fn new(peer: PeerId) -> (Self, Handle<A>) {
        let (sender, commands) = mpsc::unbounded();
        let desk = Self {
            commands,
            waiting: Vec::new(),
            dialers: BTreeMap::new(),
        };
        (desk, Handle::new(peer, sender))
    }

    /// Does the next thing that a handle asks for, or leaves it to the caller. Pending: nothing was asked, and the task of `cx` is woken once something is.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        swarm: &mut Swarm,
        app: &mut A,
    ) -> Poll<Option<Request>> {
        Pin::new(&mut self.commands)
            .poll_next(cx)
            .map(|command| match command {
                None => Some(Request::Close(None)),
                Some(Command::Request(request)) => Some(request),
                Some(Command::Call(call)) => {
                    call(swarm, app, now);
                    None
                }
                Some(Command::Next(waiting)) => {
                    self.waiting.push(waiting);
                    None
                }
                Some(Command::Dial(dial, answer)) => {
                    self.dial(now, swarm, dial, answer);
                    None
                }
            })
    }

    fn dial(&mut self, now: Instant, swarm: &mut Swarm, dial: Dial, answer: oneshot::Sender<Dialed>) {
        let result = match swarm.dial(now, dial) {
            Ok(DialOutcome::Pending(dial)) => {
                self.dialers.entry(dial).or_default().push(answer);
                return;
            }
            Ok(DialOutcome::Connected(conn)) => swarm
                .peers()
                .find(|peer| swarm.connections(*peer).contains(&conn))
                .map(|peer| (peer, conn))
                .ok_or(DialFailure::Closed(Closed)),
            Err(refused) => Err(refused.into()),
        };
        let _nobody_waits = answer.send(result);
    }

    /// Tells those who dialed how it ended.
    pub fn tell(&mut self, event: &Event) {
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

    /// Asks the application for those who wait for something of it.
    pub fn after_drive(&mut self, app: &mut A) {
        self.waiting.retain_mut(|waiting| !waiting(app));
    }
}

impl<A> fmt::Debug for Desk<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desk({} wait)", self.waiting.len())
    }
}
