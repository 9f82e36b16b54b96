//! One protocol among hostile peers: the bytes of an input are the steps of a life in virtual time.

use crate::budget;
use arbitrary::Unstructured;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Deadline, PeerId, StreamId};
use libp2p_proto_stream_protocol::{
    BadCommand, Context, Fact, Framing, Input, Journal, Protocol, StreamSpec, Target,
    bench::{Bench, Puppet},
};

/// Steps of one input beyond these say nothing new.
const MAX_INPUT: usize = 2048;
/// Streams of the puppet that the steps choose from.
const MAX_STREAMS: usize = 32;

/// What the scene itself may hold for one byte of an input: a step of three bytes writes up to 8 KiB, which the bench keeps as frames of perhaps 32 bytes.
const WORTH: usize = 40 * 1024;

/// A machine at node 0, and a puppet at node 1 that does what the input says.
struct Scene<'m, P> {
    bench: Bench,
    machine: &'m mut P,
    puppet: Puppet,
    conn: Option<ConnectionId>,
    connect: fn(&mut Bench) -> ConnectionId,
    /// Streams in both directions, as the puppet names them.
    streams: Vec<StreamId>,
}

/// Leads the life that `data` describes; `act` lets the application do something, and read what it likes. Between the steps the machine holds at most `most` bytes more than the
/// input is worth.
///
/// # Panics
///
/// If a budget is exceeded, a protocol is in a busy loop, or a stream outlives its connection.
pub fn lead<P: Protocol>(
    data: &[u8],
    most: usize,
    peers: &[PeerId; 2],
    make: impl FnOnce() -> P,
    act: impl FnMut(&mut P, PeerId, u8),
) {
    lead_over(data, most, peers, |bench| bench.connect(0, 1), make, act);
}

/// The same over connections that `connect` makes.
///
/// # Panics
///
/// As [`lead`].
pub fn lead_over<P: Protocol>(
    data: &[u8],
    most: usize,
    peers: &[PeerId; 2],
    connect: fn(&mut Bench) -> ConnectionId,
    make: impl FnOnce() -> P,
    mut act: impl FnMut(&mut P, PeerId, u8),
) {
    let data = data.get(..MAX_INPUT).unwrap_or(data);
    budget::memory("a protocol and its scene", most + WORTH * data.len(), || {
        let mut machine = make();
        let specs: Vec<StreamSpec> = machine.specs().iter().map(hostile).collect();
        let mut scene = Scene {
            bench: Bench::with_peers(1, peers, Duration::from_millis(5)),
            machine: &mut machine,
            puppet: Puppet::with_specs(specs),
            conn: None,
            connect,
            streams: Vec::new(),
        };
        scene.connect();
        let mut steps = Unstructured::new(data);
        while !steps.is_empty() {
            scene.step(&mut steps, &mut act);
        }
        scene.disconnect();
        scene.run(Duration::from_secs(600));
        assert_eq!(
            scene.bench.open_streams(0),
            0,
            "no stream outlives its connection"
        );
    });
}

/// What the peer's streams look like: as the machine's, without their limits, and byte by byte where frames are of fixed length.
fn hostile(spec: &StreamSpec) -> StreamSpec {
    let framing = match spec.framing {
        Framing::LengthDelimited { .. } => Framing::LengthDelimited { max: 1 << 20 },
        _ => Framing::Raw,
    };
    StreamSpec {
        max_inbound: u16::MAX,
        max_outbound: u16::MAX,
        send_capacity: 1 << 20,
        ..StreamSpec::new(spec.name.clone(), framing)
    }
}

impl<P: Protocol> Scene<'_, P> {
    fn step(&mut self, steps: &mut Unstructured<'_>, act: &mut impl FnMut(&mut P, PeerId, u8)) {
        let (kind, argument) = (byte(steps) % 10, byte(steps));
        let stream = self
            .streams
            .get(usize::from(argument) % self.streams.len().max(1))
            .copied();
        match (kind, stream) {
            (0, _) => self.open(argument),
            (1, _) => {
                let peer = self.bench.peer(1);
                act(self.machine, peer, argument);
            }
            (2, _) => self.run(Duration::from_millis(u64::from(argument).pow(2))),
            (3, _) if argument < 32 => {
                self.disconnect();
                self.connect();
            }
            (4, Some(stream)) => {
                let len = usize::from(byte(steps)).pow(2) / 8;
                self.write(stream, vec![argument; len].into());
            }
            (5, Some(stream)) => self.bench.with(1, &self.puppet, |cx| cx.finish(stream)),
            (6, Some(stream)) => self.bench.with(1, &self.puppet, |cx| cx.reset(stream)),
            (7, Some(stream)) => self.bench.with(1, &self.puppet, |cx| cx.pause(stream)),
            (8, Some(stream)) => self.bench.with(1, &self.puppet, |cx| cx.resume(stream)),
            (_, Some(stream)) => {
                let len = usize::from(byte(steps) % 64).min(steps.len());
                let said = steps.bytes(len).unwrap_or_default();
                self.write(stream, Bytes::copy_from_slice(said));
            }
            (_, None) => {}
        }
        self.run(Duration::ZERO);
    }

    fn connect(&mut self) {
        self.conn = Some((self.connect)(&mut self.bench));
        self.run(Duration::from_millis(20));
    }

    fn disconnect(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.bench.disconnect(conn);
        }
        self.run(Duration::from_millis(20));
        self.streams.clear();
    }

    fn open(&mut self, argument: u8) {
        let (Some(conn), Ok(specs)) = (self.conn, u8::try_from(self.machine.specs().len())) else {
            return;
        };
        let spec = argument.checked_rem(specs).unwrap_or(0);
        let opened = self
            .bench
            .with(1, &self.puppet, |cx| cx.open(Target::Connection(conn), &[spec]));
        self.streams.extend(opened);
        self.run(Duration::from_millis(11));
    }

    fn write(&mut self, stream: StreamId, bytes: Bytes) {
        let _refused_is_fine = self.bench.with(1, &self.puppet, |cx| cx.write(stream, bytes));
    }

    /// Lets time pass; what the puppet was told is forgotten but for its streams.
    fn run(&mut self, time: Duration) {
        self.bench.run(&mut [&mut *self.machine, &mut self.puppet], time);
        for input in self.puppet.inputs.drain(..) {
            match input {
                Input::Opened { stream, .. } if stream.is_inbound() => self.streams.push(stream),
                Input::Closed { stream, .. } => self.streams.retain(|open| *open != stream),
                _ => {}
            }
        }
        self.bench.take_facts(0);
        self.puppet.inputs.shrink_to(64);
        if self.streams.len() > MAX_STREAMS {
            self.streams.drain(..self.streams.len() - MAX_STREAMS);
        }
    }
}

fn byte(steps: &mut Unstructured<'_>) -> u8 {
    steps.arbitrary().unwrap_or(0)
}

/// A machine that hears these facts before anything else.
#[derive(Debug)]
pub struct Knowing<P> {
    /// The machine.
    pub machine: P,
    facts: Vec<Fact>,
}

impl<P> Knowing<P> {
    /// A machine that knows these.
    pub const fn new(machine: P, facts: Vec<Fact>) -> Self {
        Self { machine, facts }
    }

    /// A machine that others can reach.
    ///
    /// # Panics
    ///
    /// Never: the address is one.
    pub fn reachable(machine: P) -> Self {
        let addr = OWN.parse().expect("an address");
        let confirmed = true;
        Self::new(machine, vec![Fact::ExternalAddress { addr, confirmed }])
    }
}

/// Where a machine of a scene is reached.
pub const OWN: &str = "/ip4/203.0.113.5/tcp/4001";

impl<P: Protocol> Protocol for Knowing<P> {
    fn specs(&self) -> &[StreamSpec] {
        self.machine.specs()
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        for fact in core::mem::take(&mut self.facts) {
            self.machine.handle(cx, Input::Fact(fact));
        }
        self.machine.handle(cx, input);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.machine.poll_timeout()
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        self.machine.journal()
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.machine.repeat(command)
    }
}

/// Two peer ids of no key.
pub fn strangers() -> [PeerId; 2] {
    [7, 8].map(|seed| PeerId::random(&mut libp2p_proto_core::Rng::from_seed([seed; 32])))
}
