//! What goes into a swarm, as values, and who looks on: with all of it in order a run can be repeated.

use crate::{Action, Event, Record, ResolveId, Swarm};
use alloc::{boxed::Box, vec::Vec};
use libp2p_proto_core::{ConnectionId, DialId, Instant, Multiaddr, PeerId, UnixTime};
use libp2p_proto_stream_protocol::{AttemptError, Dial, FromConnection, Protocols};

/// One call that changes a swarm. The calls of a swarm's life, in order and each with its time, are all that decides what it does, besides its configuration
/// and what the application does to its protocols.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Call {
    /// [`Swarm::handle_accepted`].
    Accepted {
        /// Our address.
        local: Option<Multiaddr>,
        /// Where the link came from.
        remote: Multiaddr,
    },
    /// [`Swarm::handle_dialed`].
    Dialed {
        /// The connection.
        conn: ConnectionId,
        /// Our address.
        local: Option<Multiaddr>,
        /// Where the link leads.
        remote: Multiaddr,
    },
    /// [`Swarm::handle_dial_failed`].
    DialFailed {
        /// The connection that is not to be.
        conn: ConnectionId,
        /// Why.
        error: AttemptError,
    },
    /// [`Swarm::handle_resolved`].
    Resolved {
        /// The question.
        query: ResolveId,
        /// The answer.
        answer: Result<Vec<Record>, &'static str>,
    },
    /// [`Swarm::handle_listening`].
    Listening {
        /// The address.
        addr: Multiaddr,
        /// Whether a listener is there.
        up: bool,
    },
    /// [`Swarm::handle_message`].
    Message {
        /// Whose news it is.
        conn: ConnectionId,
        /// The news.
        message: FromConnection,
    },
    /// [`Swarm::dial`].
    Dial(Dial),
    /// [`Swarm::cancel_dial`].
    CancelDial(DialId),
    /// [`Swarm::disconnect`].
    Disconnect(ConnectionId),
    /// [`Swarm::close`].
    Close,
    /// [`Swarm::protect`].
    Protect(PeerId, bool),
    /// [`Swarm::drive`].
    Drive {
        /// The wall clock.
        unix: UnixTime,
        /// Inputs to deliver.
        budget: usize,
    },
    /// [`Swarm::mark_turn`].
    Turn,
    /// Something that no watcher can tell in full: tags, the gate, the address book. The word names it. A repetition may differ from here on.
    Unseen(&'static str),
}

/// Looks on while a swarm runs. It is told of each call before it has effects, and of what comes out as it is taken.
pub trait Watcher: Send {
    /// The swarm is new: these are the seeds of its protocols' dice. Those of connections stay secret.
    fn begin(&mut self, dice: &[[u8; 32]]);
    /// A call.
    fn call(&mut self, now: Instant, call: &Call);
    /// An action was taken.
    fn action(&mut self, action: &Action);
    /// An event was taken.
    fn event(&mut self, event: &Event);
}

impl Swarm {
    /// Lets somebody look on. To be called while the swarm is new: what was before is not told.
    pub fn watch(&mut self, mut watcher: Box<dyn Watcher>) {
        let seeds: Vec<_> = self
            .protocol_dice
            .iter()
            .map(libp2p_proto_core::Rng::seed)
            .collect();
        watcher.begin(&seeds);
        self.watcher = Some(watcher);
    }

    /// Says to the watcher that the application has its turn now: it reads what its protocols have to say, and gives them commands. Without a watcher, nothing.
    pub fn mark_turn(&mut self) {
        self.tell_watcher(self.core.now, || Call::Turn);
    }

    /// Says to the watcher that a protocol was given a command that nobody else tells it of. Without a watcher, nothing.
    pub fn mark_unseen(&mut self, what: &'static str) {
        self.tell_watcher(self.core.now, || Call::Unseen(what));
    }

    pub(crate) fn tell_watcher(&mut self, now: Instant, call: impl FnOnce() -> Call) {
        if let Some(watcher) = &mut self.watcher {
            watcher.call(now, &call());
        }
    }

    /// Repeats a call. What it answers to its caller is not kept: it shows in what comes out.
    pub fn repeat(&mut self, now: Instant, call: Call, protocols: Protocols<'_, '_>) {
        match call {
            // A refusal was a refusal before.
            Call::Accepted { local, remote } => drop(self.handle_accepted(now, local, remote)),
            Call::Dialed { conn, local, remote } => drop(self.handle_dialed(now, conn, local, remote)),
            Call::DialFailed { conn, error } => self.handle_dial_failed(now, conn, error),
            Call::Resolved { query, answer } => self.handle_resolved(now, query, answer),
            Call::Listening { addr, up } => self.handle_listening(now, addr, up),
            Call::Message { conn, message } => self.handle_message(now, conn, message),
            Call::Dial(dial) => {
                let _told_before = self.dial(now, dial);
            }
            Call::CancelDial(dial) => self.cancel_dial(dial),
            Call::Disconnect(conn) => self.disconnect(conn),
            Call::Close => self.close(now),
            Call::Protect(peer, protect) => self.protect(peer, protect),
            Call::Drive { unix, budget } => {
                self.drive(now, unix, protocols, budget);
            }
            Call::Turn | Call::Unseen(_) => {}
        }
    }
}
