//! Two ends of a relayed connection in virtual time, and an end that says what the test wants.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "each test file uses its part, and tests fail by panicking"
)]

use core::time::Duration;
use libp2p_proto_core::{ConnectionId, DialId, Multiaddr, ProtocolName, Side, StreamId};
use libp2p_proto_dcutr::{Config, Dcutr, Event, HolePunch, NAME};
use libp2p_proto_stream_protocol::{
    ConnectionInfo, DialError, Fact, Framing, Input, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};

/// The end that dialed through the relay.
pub(crate) const CALLER: usize = 0;
/// The end that was dialed.
pub(crate) const CALLEE: usize = 1;
/// One way over the relay.
pub(crate) const LATENCY: Duration = Duration::from_millis(40);
/// Where each end may be reached.
pub(crate) const ADDRS: [&str; 2] = ["/ip4/203.0.113.5/tcp/4001", "/ip4/198.51.100.7/tcp/4001"];

pub(crate) fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

pub(crate) fn addrs(texts: &[&str]) -> Vec<Multiaddr> {
    texts.iter().map(|text| addr(text)).collect()
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn node(config: Config) -> Dcutr {
    Dcutr::new(config).unwrap()
}

/// Somebody who speaks as the test says.
pub(crate) fn puppet() -> Puppet {
    Puppet::new(StreamSpec {
        on_limited: true,
        max_inbound: 200,
        max_outbound: 200,
        ..StreamSpec::new(NAME, Framing::LengthDelimited { max: 1 << 16 })
    })
}

pub(crate) fn relayed(side: Side, limited: bool) -> ConnectionInfo {
    ConnectionInfo {
        side,
        local: None,
        remote: addr("/ip4/192.0.2.1/tcp/4001/p2p-circuit"),
        limited,
        dial: None,
    }
}

pub(crate) fn direct(side: Side, remote: &str, dial: Option<u64>) -> ConnectionInfo {
    ConnectionInfo {
        side,
        local: None,
        remote: addr(remote),
        limited: false,
        dial: dial.map(DialId::new),
    }
}

/// A bench with two ends.
pub(crate) struct Lab {
    pub(crate) bench: Bench,
    pub(crate) conn: ConnectionId,
}

impl Lab {
    /// The two ends, connected through a relay, each with an address of its own. Nobody has identified anybody.
    pub(crate) fn new() -> Self {
        let mut lab = Self::nameless(LATENCY);
        for (end, own) in ADDRS.iter().enumerate() {
            lab.own(end, own, true);
        }
        lab
    }

    /// The same without addresses.
    pub(crate) fn nameless(latency: Duration) -> Self {
        let mut bench = Bench::new(1, 2, latency);
        let conn = connect(&mut bench);
        Self { bench, conn }
    }

    /// An address of an end's own is proven, or no longer.
    pub(crate) fn own(&mut self, end: usize, own: &str, confirmed: bool) {
        let addr = addr(own);
        let fact = Fact::ExternalAddress { addr, confirmed };
        self.bench.inject(end, Input::Fact(fact));
    }

    /// `end` has identified the other one, which speaks the protocol or not, and claims these addresses.
    pub(crate) fn identified(&mut self, end: usize, speaks: bool, claimed: &[&str]) {
        let peer = self.bench.peer(1 - end);
        let names: &[ProtocolName] = if speaks { &[NAME] } else { &[] };
        let protocols = names.into();
        let facts = [
            Fact::PeerProtocols { peer, protocols },
            Fact::PeerAddresses {
                peer,
                addrs: addrs(claimed).into(),
                certified: false,
            },
        ];
        for fact in facts {
            self.bench.inject(end, Input::Fact(fact));
        }
    }

    pub(crate) fn run(&mut self, caller: &mut dyn Protocol, callee: &mut dyn Protocol, time: Duration) {
        self.bench.run(&mut [caller, callee], time);
    }

    /// Runs until an end has made so many dials, and answers how long that took, by the millisecond.
    pub(crate) fn until_dial(
        &mut self,
        ends: [&mut dyn Protocol; 2],
        end: usize,
        count: usize,
    ) -> Option<Duration> {
        let [caller, callee] = ends;
        let begun = self.bench.now();
        for _ in 0..60_000 {
            if self.bench.dials(end).len() >= count {
                return Some(self.bench.now().since(begun));
            }
            self.bench.run(&mut [&mut *caller, &mut *callee], ms(1));
        }
        None
    }

    /// The dial of an end with this number came to nothing.
    pub(crate) fn dial_fails(&mut self, end: usize, dial: u64) {
        let input = Input::DialFailed {
            dial: DialId::new(dial),
            peer: Some(self.bench.peer(1 - end)),
            error: DialError::TimedOut,
        };
        self.bench.inject(end, input);
    }

    /// Both ends have a direct connection, by the dials with these numbers.
    pub(crate) fn meet(&mut self, dials: [Option<u64>; 2]) -> ConnectionId {
        let [caller, callee] = dials;
        self.bench.connect_as([
            (CALLER, direct(Side::Dialer, ADDRS[CALLEE], caller)),
            (CALLEE, direct(Side::Listener, ADDRS[CALLER], callee)),
        ])
    }

    /// The end with a puppet opens a stream.
    pub(crate) fn open(&mut self, end: usize, puppet: &Puppet) -> StreamId {
        let target = Target::Connection(self.conn);
        self.bench.with(end, puppet, |cx| cx.open(target, &[0])).unwrap()
    }

    pub(crate) fn say(&mut self, end: usize, puppet: &Puppet, stream: StreamId, frame: &[u8]) {
        let frame = frame.to_vec();
        self.bench
            .with(end, puppet, |cx| cx.write(stream, frame))
            .unwrap();
    }
}

/// A relayed connection from the caller to the callee.
pub(crate) fn connect(bench: &mut Bench) -> ConnectionId {
    bench.connect_as([
        (CALLER, relayed(Side::Dialer, true)),
        (CALLEE, relayed(Side::Listener, true)),
    ])
}

pub(crate) fn events(node: &mut Dcutr) -> Vec<Event> {
    core::iter::from_fn(|| node.poll_event()).collect()
}

pub(crate) fn connect_message(texts: &[&str]) -> Vec<u8> {
    let addrs = addrs(texts);
    HolePunch::Connect { addrs }.encode()
}

pub(crate) fn sync_message() -> Vec<u8> {
    HolePunch::Sync.encode()
}

/// The messages that came on a stream.
pub(crate) fn heard(puppet: &Puppet, stream: StreamId) -> Vec<HolePunch> {
    let frames = puppet.frames(stream);
    frames
        .iter()
        .map(|frame| HolePunch::decode(frame).unwrap())
        .collect()
}

/// Why a stream of a puppet ended.
pub(crate) fn end_of(puppet: &Puppet, stream: StreamId) -> Option<libp2p_proto_stream_protocol::Closed> {
    puppet.inputs.iter().find_map(|input| match input {
        Input::Closed { stream: s, reason } if *s == stream => Some(*reason),
        _ => None,
    })
}

/// Whether an end has finished its side of a stream.
pub(crate) fn has_finished(puppet: &Puppet, stream: StreamId) -> bool {
    puppet.inputs.contains(&Input::Finished { stream })
}
