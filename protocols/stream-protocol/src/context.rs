//! What a protocol may do while it handles an input.

use crate::{
    AttemptError, ConnectionInfo, Dial, DialOutcome, DialRefused, Expected, Fact, Framing, Link, OpenError,
    OrderError, PromoteError, StreamOrder, TellError, WriteError,
};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use libp2p_proto_core::{
    ConnectionId, DialId, Instant, Multiaddr, PeerId, ProtocolName, Rng, StreamId, UnixTime,
};
use smallvec::SmallVec;

/// Where a stream is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// On the best connection to this peer: direct before limited, then the preferred of two simultaneous ones.
    Peer(PeerId),
    /// On this connection.
    Connection(ConnectionId),
}

/// Who stands behind a [`Context`]: the swarm, or a test bench. Every answer is immediate and every queue behind it is bounded.
///
/// `protocol` is the place of the calling protocol in the lent list; a host refuses streams of another protocol.
pub trait Host {
    /// See [`Context::open`].
    ///
    /// # Errors
    ///
    /// As there.
    fn open(&mut self, protocol: u8, target: Target, specs: &[u8]) -> Result<StreamId, OpenError>;
    /// See [`Context::write`].
    ///
    /// # Errors
    ///
    /// As there.
    fn write(&mut self, protocol: u8, stream: StreamId, frame: Bytes) -> Result<(), WriteError>;
    /// See [`Context::writable`].
    fn writable(&self, protocol: u8, stream: StreamId) -> usize;
    /// One order on one stream.
    ///
    /// # Errors
    ///
    /// [`OrderError::Unknown`] if the stream is not one of this protocol's, or gone.
    fn order(&mut self, protocol: u8, stream: StreamId, order: StreamOrder) -> Result<(), OrderError>;
    /// See [`Context::set_inbound`].
    ///
    /// # Errors
    ///
    /// As there.
    fn set_inbound(&mut self, protocol: u8, spec: u8, max: u16) -> Result<(), OrderError>;
    /// See [`Context::dial`].
    ///
    /// # Errors
    ///
    /// As there.
    fn dial(&mut self, protocol: u8, dial: Dial) -> Result<DialOutcome, DialRefused>;
    /// See [`Context::cancel_dial`].
    fn cancel_dial(&mut self, dial: DialId);
    /// See [`Context::can_dial`].
    fn can_dial(&self, addr: &Multiaddr) -> bool;
    /// See [`Context::expect`].
    fn expect(&mut self, expected: Expected) -> bool;
    /// See [`Context::promote`].
    ///
    /// # Errors
    ///
    /// As there.
    fn promote(&mut self, protocol: u8, stream: StreamId, link: Link) -> Result<ConnectionId, PromoteError>;
    /// See [`Context::link_failed`].
    fn link_failed(&mut self, protocol: u8, conn: ConnectionId, error: AttemptError);
    /// See [`Context::splice`].
    ///
    /// # Errors
    ///
    /// As there.
    fn splice(&mut self, protocol: u8, ends: [StreamId; 2], max: u64) -> Result<(), OrderError>;
    /// See [`Context::disconnect`].
    fn disconnect(&mut self, conn: ConnectionId);
    /// See [`Context::set_aside`].
    fn set_aside(&mut self, conn: ConnectionId);
    /// See [`Context::keep`].
    fn keep(&mut self, protocol: u8, conn: ConnectionId, keep: bool);
    /// See [`Context::inbound_room`].
    fn inbound_room(&self) -> usize;
    /// See [`Context::tell`].
    ///
    /// # Errors
    ///
    /// As there.
    fn tell(&mut self, protocol: u8, fact: Fact) -> Result<(), TellError>;
    /// See [`Context::peer_of`].
    fn peer_of(&self, stream: StreamId) -> Option<PeerId>;
    /// See [`Context::connections`].
    fn connections(&self, peer: PeerId) -> SmallVec<[ConnectionId; 2]>;
    /// See [`Context::connection_info`].
    fn connection_info(&self, conn: ConnectionId) -> Option<&ConnectionInfo>;
    /// See [`Context::local_protocols`].
    fn local_protocols(&self, conn: Option<ConnectionId>) -> Vec<ProtocolName>;
}

/// Lent to a protocol for one call.
pub struct Context<'a> {
    /// The time of this drive.
    pub now: Instant,
    /// The wall clock of this drive.
    pub unix: UnixTime,
    /// The number of this drive, for [`EventQueue::push`](crate::EventQueue::push).
    pub seq: u64,
    /// Our own peer id.
    pub local: PeerId,
    /// This protocol's own dice.
    pub rng: &'a mut Rng,
    host: &'a mut dyn Host,
    protocol: u8,
}

impl<'a> Context<'a> {
    /// A context for the protocol at place `protocol` of the lent list. Only a host needs this.
    pub fn new(
        now: Instant,
        unix: UnixTime,
        seq: u64,
        local: PeerId,
        rng: &'a mut Rng,
        host: &'a mut dyn Host,
        protocol: u8,
    ) -> Self {
        Self {
            now,
            unix,
            seq,
            local,
            rng,
            host,
            protocol,
        }
    }

    /// Opens a stream and proposes the named specs in this order. [`Input::Opened`](crate::Input::Opened) or [`Input::Closed`](crate::Input::Closed) follows.
    ///
    /// With one proposal to a peer that is known to speak it (or a spec marked `lazy`) the stream can be written to at once.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(&mut self, target: Target, specs: &[u8]) -> Result<StreamId, OpenError> {
        self.host.open(self.protocol, target, specs)
    }

    /// Queues one frame; the connection adds its length prefix. Takes all or nothing.
    ///
    /// # Errors
    ///
    /// See [`WriteError`]; after `Blocked` an [`Input::Writable`](crate::Input::Writable) follows.
    pub fn write(&mut self, stream: StreamId, frame: impl Into<Bytes>) -> Result<(), WriteError> {
        self.host.write(self.protocol, stream, frame.into())
    }

    /// Bytes that a write may have now without being blocked. 0 before the stream is open.
    pub fn writable(&self, stream: StreamId) -> usize {
        self.host.writable(self.protocol, stream)
    }

    /// Says that we send no more; queues behind what was written. A stream that is gone is no error.
    pub fn finish(&mut self, stream: StreamId) {
        self.order(stream, StreamOrder::Finish);
    }

    /// Ends both directions at once; [`Closed::LocalReset`](crate::Closed::LocalReset) follows. A stream that is gone is no error.
    pub fn reset(&mut self, stream: StreamId) {
        self.order(stream, StreamOrder::Reset);
    }

    /// Stops returning receive credit until [`resume`](Self::resume): the peer's window closes. Frames already on their way still arrive.
    pub fn pause(&mut self, stream: StreamId) {
        self.order(stream, StreamOrder::Pause);
    }

    /// Returns receive credit again, also what was withheld.
    pub fn resume(&mut self, stream: StreamId) {
        self.order(stream, StreamOrder::Resume);
    }

    /// Lets the connection parse the next frame of a [`Framing::Held`] stream.
    pub fn next(&mut self, stream: StreamId) {
        self.order(stream, StreamOrder::Next);
    }

    /// Switches the framing of both directions. Inbound it holds from the first byte behind the last delivered frame, which is certain under
    /// [`Framing::Held`] only; outbound from the next write.
    pub fn reframe(&mut self, stream: StreamId, framing: Framing) {
        self.order(stream, StreamOrder::Reframe(framing));
    }

    /// Asks for [`Input::Flushed`](crate::Input::Flushed) once everything written so far has left. To be asked before [`finish`](Self::finish): orders may reach
    /// the connection one by one, and a stream that both ends have finished is gone by the next one.
    pub fn notify_flushed(&mut self, stream: StreamId) {
        self.order(stream, StreamOrder::NotifyFlushed);
    }

    /// Moves the data path of a raw stream to the application: its bytes no longer come as inputs; `Closed` still does.
    pub fn hand_over(&mut self, stream: StreamId) {
        self.order(stream, StreamOrder::HandOver);
    }

    /// Sets how many inbound streams of a spec the remote may have per connection from now on. 0: refused, not announced.
    ///
    /// # Errors
    ///
    /// [`OrderError::Unknown`] for a spec that this protocol doesn't have.
    pub fn set_inbound(&mut self, spec: u8, max: u16) -> Result<(), OrderError> {
        self.host.set_inbound(self.protocol, spec, max)
    }

    /// Dials; [`Input::Connected`](crate::Input::Connected) or [`Input::DialFailed`](crate::Input::DialFailed) follows, unless a connection stands.
    ///
    /// # Errors
    ///
    /// See [`DialRefused`].
    pub fn dial(&mut self, dial: Dial) -> Result<DialOutcome, DialRefused> {
        self.host.dial(self.protocol, dial)
    }

    /// Ends a dial; [`Input::DialFailed`](crate::Input::DialFailed) follows, unless its end is being told already. A dial that is gone is no error.
    pub fn cancel_dial(&mut self, dial: DialId) {
        self.host.cancel_dial(dial);
    }

    /// Whether an address is worth a dial from here: of a transport that there is, not one of our own, and not denied. What a name leads to is not looked at.
    pub fn can_dial(&self, addr: &Multiaddr) -> bool {
        self.host.can_dial(addr)
    }

    /// Lets a peer connect to us as the other half of a hole punch: its link is admitted beyond the limits of ordinary ones, and upgraded in the agreed role. A later
    /// expectation of the same peer replaces an earlier one. `false`: too many peers are expected.
    pub fn expect(&mut self, expected: Expected) -> bool {
        self.host.expect(expected)
    }

    /// Turns an open stream into a link: what follows behind the last delivered frame of a [`Framing::Held`] stream are the bytes of a new connection, which is
    /// upgraded like any other. Nothing more is told of the stream but [`Closed`](crate::Input::Closed). Answers the new connection.
    ///
    /// # Errors
    ///
    /// See [`PromoteError`].
    pub fn promote(&mut self, stream: StreamId, link: Link) -> Result<ConnectionId, PromoteError> {
        self.host.promote(self.protocol, stream, link)
    }

    /// Says that a link which [`Input::LinkWanted`](crate::Input::LinkWanted) asked for could not be made. One that is not wanted any more is no error.
    pub fn link_failed(&mut self, conn: ConnectionId, error: AttemptError) {
        self.host.link_failed(self.protocol, conn, error);
    }

    /// Joins two open streams: from here on, what comes on one goes out on the other as it is, at most `max` bytes each way, and credit returns to a sender only as the receiver
    /// takes what it sent. The end of one direction, and a reset, go on to the other stream; when more than `max` bytes came, both are reset behind the last byte
    /// allowed. Nothing more is told of the two but [`Closed`](crate::Input::Closed).
    ///
    /// # Errors
    ///
    /// [`OrderError::Unknown`] if one of them is not this protocol's, or not open, or both are one.
    pub fn splice(&mut self, ends: [StreamId; 2], max: u64) -> Result<(), OrderError> {
        self.host.splice(self.protocol, ends, max)
    }

    /// Closes a connection in an orderly way.
    pub fn disconnect(&mut self, conn: ConnectionId) {
        self.host.disconnect(conn);
    }

    /// Says that a connection serves one purpose and goes with it, as a dial back does: while another one to the peer stands, new streams to the peer go there. The end that
    /// dialed it closes it once it carries no stream, so whoever opened one on it loses nothing. A connection that is gone is no error.
    pub fn set_aside(&mut self, conn: ConnectionId) {
        self.host.set_aside(conn);
    }

    /// Keeps a connection without a stream on it, as a stream would that keeps it alive: it does not count as idle or needless, and is trimmed later than those that
    /// streams alone keep. `false` takes that back. A connection that is gone is no error.
    pub fn keep(&mut self, conn: ConnectionId, keep: bool) {
        self.host.keep(self.protocol, conn, keep);
    }

    /// How many more inbound connections would be let in now, as far as limits on all of them go.
    pub fn inbound_room(&self) -> usize {
        self.host.inbound_room()
    }

    /// Tells every other protocol a fact.
    ///
    /// # Errors
    ///
    /// [`TellError::Full`] if too many facts wait.
    pub fn tell(&mut self, fact: Fact) -> Result<(), TellError> {
        self.host.tell(self.protocol, fact)
    }

    /// The peer at the other end of a stream.
    pub fn peer_of(&self, stream: StreamId) -> Option<PeerId> {
        self.host.peer_of(stream)
    }

    /// The established connections to a peer, the preferred one first.
    pub fn connections(&self, peer: PeerId) -> SmallVec<[ConnectionId; 2]> {
        self.host.connections(peer)
    }

    /// How a connection came about.
    pub fn connection_info(&self, conn: ConnectionId) -> Option<&ConnectionInfo> {
        self.host.connection_info(conn)
    }

    /// The names that we accept streams for (on `conn`, which may be limited), sorted, each once.
    pub fn local_protocols(&self, conn: Option<ConnectionId>) -> Vec<ProtocolName> {
        self.host.local_protocols(conn)
    }

    fn order(&mut self, stream: StreamId, order: StreamOrder) {
        // A stream that is already gone has told so with `Closed`, which waits to be delivered.
        let _gone_is_fine = self.host.order(self.protocol, stream, order);
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context(protocol {}, {:?})", self.protocol, self.now)
    }
}
