//! A test bench: protocols joined in virtual time, without bytes, ciphers or sockets.
//!
//! Every node has one protocol. Frames cross a link after a fixed latency, in order, within the credit that a real connection gives; limits,
//! refusals and the order of inputs are those of the swarm. The test owns the protocols and lends them for each call, as an application lends them to
//! the swarm.
//!
//! ```
//! use core::time::Duration;
//! use libp2p_proto_stream_protocol::{bench::{Bench, Puppet}, Framing, Input, StreamSpec, Target};
//! use libp2p_proto_core::ProtocolName;
//!
//! const NAME: ProtocolName = ProtocolName::from_static("/x/1");
//! let mut a = Puppet::new(StreamSpec::new(NAME, Framing::Raw));
//! let mut b = Puppet::new(StreamSpec::new(NAME, Framing::Raw));
//! let mut bench = Bench::new(7, 2, Duration::from_millis(10));
//! let conn = bench.connect(0, 1);
//! bench.run(&mut [&mut a, &mut b], Duration::from_secs(1));
//! let stream = bench.with(0, &a, |cx| cx.open(Target::Connection(conn), &[0])).unwrap();
//! bench.run(&mut [&mut a, &mut b], Duration::from_secs(1));
//! assert!(a.inputs.iter().any(|input| matches!(input, Input::Opened { stream: s, .. } if *s == stream)));
//! ```

mod host;
mod puppet;

pub use puppet::Puppet;

use crate::{
    AttemptError, Closed, ConnectionInfo, Context, Dial, Expected, Fact, Input, Link, Protocol, StreamSpec,
};
use alloc::{collections::BTreeMap, vec::Vec};
use core::{fmt, time::Duration};
use host::{Node, Wire};
use libp2p_proto_core::{
    ConnectionId, Deadline, DialId, Instant, Multiaddr, PeerId, Rng, Side, StreamId, UnixTime,
};

/// A run that makes this many steps without reaching its end is a busy loop.
const MAX_STEPS: usize = 1_000_000;

/// Nodes of one protocol each, links between them, and a clock that only the bench moves.
pub struct Bench {
    nodes: Vec<Node>,
    wires: BTreeMap<(Instant, u64), (usize, Wire)>,
    wire_seq: u64,
    now: Instant,
    epoch: UnixTime,
    latency: Duration,
    next_conn: u64,
    steps: u64,
}

impl Bench {
    /// `count` nodes, none connected; every link has this latency each way.
    pub fn new(seed: u8, count: usize, latency: Duration) -> Self {
        Self::with_peers(seed, &(0..count).map(peer).collect::<Vec<_>>(), latency)
    }

    /// One node for each of these peer ids, for protocols that look at keys.
    pub fn with_peers(seed: u8, peers: &[PeerId], latency: Duration) -> Self {
        let dice = Rng::from_seed([seed; 32]);
        let nodes = (0_u64..)
            .zip(peers)
            .map(|(index, peer)| Node::new(*peer, dice.fork("node", index)))
            .collect();
        Self {
            nodes,
            wires: BTreeMap::new(),
            wire_seq: 0,
            now: Instant::ZERO,
            epoch: UnixTime::from_secs(1_700_000_000),
            latency,
            next_conn: 1,
            steps: 0,
        }
    }

    /// The same bench with its clock starting at `now`.
    #[must_use]
    pub fn starting_at(mut self, now: Instant) -> Self {
        self.now = now;
        self
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The peer id of a node.
    pub fn peer(&self, node: usize) -> PeerId {
        self.nodes.get(node).map_or_else(|| peer(node), |node| node.local)
    }

    /// Lets a node that is not connected be another peer from now on.
    pub fn rename(&mut self, node: usize, peer: PeerId) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.local = peer;
        }
    }

    /// Connects `dialer` to `listener`; both ends have this id. The inputs arrive with the next run.
    pub fn connect(&mut self, dialer: usize, listener: usize) -> ConnectionId {
        self.connect_with(dialer, listener, false)
    }

    /// Like [`connect`](Self::connect), over a limited link if `limited`.
    pub fn connect_with(&mut self, dialer: usize, listener: usize, limited: bool) -> ConnectionId {
        let conn = ConnectionId::new(self.next_conn);
        self.next_conn = self.next_conn.saturating_add(1);
        for (node, other, side) in [
            (dialer, listener, Side::Dialer),
            (listener, dialer, Side::Listener),
        ] {
            let peer = self.peer(other);
            let info = ConnectionInfo {
                side,
                local: Some(address(node)),
                remote: address(other),
                limited,
                dial: None,
            };
            if let Some(node) = self.nodes.get_mut(node) {
                node.connected(conn, other, peer, info);
            }
        }
        conn
    }

    /// Like [`connect`](Self::connect), with `remote` as the address that the dialer's protocol sees at the other end.
    pub fn connect_from(&mut self, dialer: usize, listener: usize, remote: Multiaddr) -> ConnectionId {
        let conn = self.connect(dialer, listener);
        if let Some(node) = self.nodes.get_mut(dialer) {
            node.change_info(conn, |info| info.remote = remote.clone());
        }
        conn
    }

    /// Changes where a node sees its own end of a connection, before the inputs of that are delivered.
    pub fn set_local(&mut self, node: usize, conn: ConnectionId, local: Option<Multiaddr>) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.change_info(conn, |info| info.local.clone_from(&local));
        }
    }

    /// Lets a dial of a node succeed: it is connected to `listener`, at the last address that it named. The inputs arrive with the next run.
    ///
    /// # Panics
    ///
    /// If the node has not dialed so: a mistake of the test.
    #[expect(
        clippy::expect_used,
        reason = "a bench serves tests, and a wrong dial is a wrong test"
    )]
    pub fn succeed(&mut self, dialer: usize, dial: DialId, listener: usize) -> ConnectionId {
        let place = usize::try_from(dial.get())
            .ok()
            .and_then(|number| number.checked_sub(1));
        let wanted = place.and_then(|place| self.dials(dialer).get(place));
        let addr = wanted.and_then(|wanted| wanted.addrs.last()).cloned();
        let addr = addr.expect("the test names a dial with an address");
        let conn = self.connect(dialer, listener);
        if let Some(node) = self.nodes.get_mut(dialer) {
            node.change_info(conn, |info| {
                info.remote = addr.clone();
                info.dial = Some(dial);
            });
        }
        if let Some(node) = self.nodes.get_mut(listener) {
            node.change_info(conn, |info| info.local = Some(addr.clone()));
        }
        conn
    }

    /// Connects two nodes; each end sees the connection as it says.
    pub fn connect_as(&mut self, ends: [(usize, ConnectionInfo); 2]) -> ConnectionId {
        let conn = ConnectionId::new(self.next_conn);
        self.next_conn = self.next_conn.saturating_add(1);
        let [(a, _), (b, _)] = &ends;
        let others = [*b, *a];
        for ((node, info), other) in ends.into_iter().zip(others) {
            let peer = self.peer(other);
            if let Some(node) = self.nodes.get_mut(node) {
                node.connected(conn, other, peer, info);
            }
        }
        conn
    }

    /// Cuts a connection: both ends lose their streams and are told.
    pub fn disconnect(&mut self, conn: ConnectionId) {
        for node in &mut self.nodes {
            node.disconnected(conn);
        }
    }

    /// Gives a node an input of the test's own making, such as a fact.
    pub fn inject(&mut self, node: usize, input: Input) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.inputs.push_back(input);
        }
    }

    /// The facts that a node's protocol told.
    pub fn facts(&self, node: usize) -> &[Fact] {
        self.nodes.get(node).map_or(&[], |node| &node.facts)
    }

    /// The same, and forgets them: the bench keeps no share of what they hold.
    pub fn take_facts(&mut self, node: usize) -> Vec<Fact> {
        let facts = self.nodes.get_mut(node).map(|node| &mut node.facts);
        facts.map(core::mem::take).unwrap_or_default()
    }

    /// What a node's protocol has dialed; the first one has dial id 1. The bench connects nobody by itself.
    pub fn dials(&self, node: usize) -> &[Dial] {
        self.nodes.get(node).map_or(&[], |node| &node.dials)
    }

    /// Dials of a node's protocol that it has cancelled. Each is told as failed; the bench does not know which of them have ended before.
    pub fn cancelled(&self, node: usize) -> &[DialId] {
        self.nodes.get(node).map_or(&[], |node| &node.cancelled)
    }

    /// Whom a node's protocol has expected, each time that it did.
    pub fn expected(&self, node: usize) -> &[Expected] {
        self.nodes.get(node).map_or(&[], |node| &node.expected)
    }

    /// Connections that a node's protocol has set aside, each time that it did. To the bench they are like others.
    pub fn set_aside(&self, node: usize) -> &[ConnectionId] {
        self.nodes.get(node).map_or(&[], |node| &node.set_aside)
    }

    /// Connections that a node's protocol keeps.
    pub fn kept(&self, node: usize) -> &[ConnectionId] {
        self.nodes.get(node).map_or(&[], |node| &node.kept)
    }

    /// Sets how many more inbound connections a node is said to let in. Without a word there is no limit.
    pub fn set_inbound_room(&mut self, node: usize, room: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.inbound_room = room;
        }
    }

    /// The bytes of a stream that went past the protocol of a node to its application, once the protocol has handed the stream over (see
    /// [`StreamSpec::handed_over`](crate::StreamSpec::handed_over)).
    pub fn handed_over(&self, node: usize, stream: StreamId) -> Option<&[u8]> {
        let handed = self.nodes.get(node)?.handed.get(&stream)?;
        handed.over.then_some(&handed.data)
    }

    /// Streams of a node that its protocol has made links of. Their bytes are in [`handed_over`](Self::handed_over).
    pub fn promoted(&self, node: usize) -> &[(StreamId, Link)] {
        self.nodes.get(node).map_or(&[], |node| &node.promoted)
    }

    /// Links that a node's protocol could not make.
    pub fn failed_links(&self, node: usize) -> &[(ConnectionId, AttemptError)] {
        self.nodes.get(node).map_or(&[], |node| &node.failed_links)
    }

    /// Streams that a node has open.
    pub fn open_streams(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.streams.len())
    }

    /// Runs `act` with the context of a node's protocol, as if it handled an input.
    ///
    /// # Panics
    ///
    /// If the node does not exist: a mistake of the test.
    #[expect(
        clippy::expect_used,
        reason = "a bench serves tests, and a wrong node is a wrong test"
    )]
    pub fn with<R>(
        &mut self,
        node: usize,
        protocol: &dyn Protocol,
        act: impl FnOnce(&mut Context<'_>) -> R,
    ) -> R {
        let specs = protocol.specs().to_vec();
        let (now, unix, seq) = (self.now, self.unix(), self.steps);
        let node_ref = self.nodes.get_mut(node).expect("the test names an existing node");
        let result = node_ref.with(now, unix, seq, specs, act);
        self.collect(node);
        result
    }

    /// Runs until nothing is left to do before `for_` has passed, then sets the clock there.
    ///
    /// # Panics
    ///
    /// If the protocols keep asking to be called without time passing: a busy loop.
    pub fn run(&mut self, protocols: &mut [&mut dyn Protocol], for_: Duration) {
        let until = self.now + for_;
        for step in 0..MAX_STEPS {
            assert!(
                step < MAX_STEPS.saturating_sub(1),
                "the protocols are in a busy loop"
            );
            if self.deliver(protocols) {
                continue;
            }
            match self.next_instant(protocols) {
                Some(at) if at <= until => {
                    self.now = Ord::max(self.now, at);
                    self.cross_links();
                    self.fire_timeouts(protocols);
                }
                _ => break,
            }
        }
        self.now = until;
    }

    fn unix(&self) -> UnixTime {
        self.epoch + self.now.since(Instant::ZERO)
    }

    /// Delivers one waiting input to each node. Says whether there was any.
    fn deliver(&mut self, protocols: &mut [&mut dyn Protocol]) -> bool {
        let mut any = false;
        for (index, protocol) in protocols.iter_mut().enumerate() {
            if let Some(input) = self.nodes.get_mut(index).and_then(|node| node.inputs.pop_front()) {
                any = true;
                self.handle(index, *protocol, input);
            }
        }
        any
    }

    fn handle(&mut self, index: usize, protocol: &mut dyn Protocol, input: Input) {
        self.steps = self.steps.saturating_add(1);
        let specs = protocol.specs().to_vec();
        let (now, unix, seq) = (self.now, self.unix(), self.steps);
        if let Some(node) = self.nodes.get_mut(index) {
            node.granted(&input);
            node.with(now, unix, seq, specs, |cx| protocol.handle(cx, input));
        }
        self.collect(index);
    }

    /// Puts what a node sent onto its links.
    fn collect(&mut self, index: usize) {
        let at = self.now + self.latency;
        if let Some(node) = self.nodes.get_mut(index) {
            for (to, wire) in node.outbox.drain(..) {
                self.wires.insert((at, self.wire_seq), (to, wire));
                self.wire_seq = self.wire_seq.saturating_add(1);
            }
        }
    }

    fn cross_links(&mut self) {
        while let Some(entry) = self.wires.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, wire) = entry.remove();
            if let Some(node) = self.nodes.get_mut(to) {
                node.receive(wire);
            }
            self.collect(to);
        }
        for index in 0..self.nodes.len() {
            if let Some(node) = self.nodes.get_mut(index) {
                node.expire(self.now);
            }
            self.collect(index);
        }
    }

    fn fire_timeouts(&mut self, protocols: &mut [&mut dyn Protocol]) {
        for (index, protocol) in protocols.iter_mut().enumerate() {
            if protocol
                .poll_timeout()
                .is_some_and(|deadline| deadline.is_due(self.now))
            {
                self.handle(index, *protocol, Input::Timeout);
            }
        }
    }

    fn next_instant(&self, protocols: &[&mut dyn Protocol]) -> Option<Instant> {
        let wire = self
            .wires
            .first_key_value()
            .map(|((at, _), _)| Deadline::new(*at, "wire"));
        let node = self.nodes.iter().filter_map(Node::deadline).min();
        let own = protocols
            .iter()
            .filter_map(|protocol| protocol.poll_timeout())
            .min();
        [wire, node, own]
            .into_iter()
            .flatten()
            .map(|deadline| deadline.at)
            .min()
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bench({} nodes at {:?})", self.nodes.len(), self.now)
    }
}

/// The peer id of the node with this index: an identity hash, so it is a legal id of no key.
fn peer(index: usize) -> PeerId {
    let mut key = [0x5a; 36];
    if let (Some(slot), Ok(byte)) = (key.last_mut(), u8::try_from(index % 256)) {
        *slot = byte;
    }
    PeerId::from_encoded_key(&key)
}

fn address(index: usize) -> Multiaddr {
    let host = u8::try_from(index % 250).unwrap_or(0).saturating_add(1);
    Multiaddr::tcp(core::net::IpAddr::from([192, 0, 2, host]), 4001)
}

/// What a slot knows of why it ends.
fn limit_of(specs: &[StreamSpec], index: u8) -> Option<&StreamSpec> {
    specs.get(usize::from(index))
}

impl Closed {
    /// What the other end of a link is told.
    fn seen_by_remote(self) -> Self {
        match self {
            Self::LocalReset | Self::TimedOut => Self::Reset,
            other => other,
        }
    }
}
