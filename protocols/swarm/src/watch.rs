//! What goes into a swarm, as values, and who looks on: with all of it in order a run can be repeated.

use crate::{Action, Event, Record, ResolveId, Swarm};
use alloc::{boxed::Box, vec::Vec};
use libp2p_proto_core::{ConnectionId, DialId, Instant, Multiaddr, PeerId, UnixTime};
use libp2p_proto_stream_protocol::{AttemptError, Dial, FromConnection, Noted, Protocols};

/// One call that changes a swarm. The calls of a swarm's life, in order and each with its time, are all that decides what it does, besides its configuration
/// and the commands of its protocols, which have words of their own.
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
    /// [`Swarm::tag`].
    Tag {
        /// The peer.
        peer: PeerId,
        /// The reason.
        reason: &'static str,
        /// What it is worth.
        value: i32,
    },
    /// Something that no watcher can tell in full: the gate, the address book. The word names it. A repetition may differ from here on.
    Unseen(&'static str),
}

/// Looks on while a swarm runs. It is told of each call before it has effects, and of what comes out as it is taken.
pub trait Watcher: Send {
    /// The swarm is new: these are the seeds of its protocols' dice. Those of connections stay secret.
    fn begin(&mut self, dice: &[[u8; 32]]);
    /// A call.
    fn call(&mut self, now: Instant, call: &Call);
    /// A command of the application to the protocol at this place, from the protocol's journal. Told before the drive in which it may have effects.
    fn command(&mut self, now: Instant, protocol: u8, command: &Noted);
    /// An action was taken.
    fn action(&mut self, action: &Action);
    /// An event was taken.
    fn event(&mut self, event: &Event);
}

impl Swarm {
    /// Lets somebody look on, and starts the journals of the protocols. To be called while the swarm is new: what was before is not told.
    pub fn watch(&mut self, mut watcher: Box<dyn Watcher>, protocols: Protocols<'_, '_>) {
        let seeds: Vec<_> = self
            .protocol_dice
            .iter()
            .map(libp2p_proto_core::Rng::seed)
            .collect();
        watcher.begin(&seeds);
        for journal in protocols.iter_mut().filter_map(|protocol| protocol.journal()) {
            journal.start();
        }
        self.watcher = Some(watcher);
    }

    /// Says to the watcher that something happened to a protocol that is in no journal. Without a watcher, nothing.
    pub fn mark_unseen(&mut self, what: &'static str) {
        self.tell_watcher(self.core.now, || Call::Unseen(what));
    }

    /// Tells the watcher what the protocols were asked since the last drive.
    pub(crate) fn tell_commands(&mut self, now: Instant, protocols: Protocols<'_, '_>) {
        let Some(watcher) = &mut self.watcher else { return };
        for (place, protocol) in (0..).zip(protocols) {
            let Some(journal) = protocol.journal() else {
                continue;
            };
            while let Some(command) = journal.pop() {
                watcher.command(now, place, &command);
            }
            if journal.take_lost() {
                watcher.call(now, &Call::Unseen("too many commands"));
            }
        }
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
            Call::Tag { peer, reason, value } => {
                self.tag(peer, reason, value);
            }
            Call::Unseen(_) => {}
        }
    }
}
