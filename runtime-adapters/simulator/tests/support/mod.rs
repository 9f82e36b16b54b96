//! An application with everything that tests look at, and shorthands.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "each test uses a part of it, and fails by panicking"
)]

pub mod punch;
pub mod raw;

use bytes::Bytes;
use libp2p_proto_core::{Deadline, PeerId, ProtocolName};
use libp2p_proto_identify as identify;
use libp2p_proto_ping as ping;
use libp2p_proto_simulator::{
    App, Birth, Depth, Error, Flow, Lent, Link, Outcome, Scenario, Sim, Step, Violation,
};
use libp2p_proto_stream_protocol::{Answer, Context, Exchanges, Input, Protocol, StreamSpec};
use libp2p_proto_swarm::{Config, Event};
use std::time::Duration;

/// Answers each request with its length.
pub struct Lengths(pub Exchanges<u32>);

impl Protocol for Lengths {
    fn specs(&self) -> &[StreamSpec] {
        self.0.specs()
    }
    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        if let Some((stream, request)) = self.0.handle(cx, input) {
            let length = u32::try_from(request.len()).unwrap();
            self.0
                .answer(cx, stream, Bytes::copy_from_slice(&length.to_be_bytes()));
        }
    }
    fn poll_timeout(&self) -> Option<Deadline> {
        self.0.poll_timeout()
    }
}

pub struct Tester {
    pub ping: ping::Ping,
    pub identify: identify::Identify,
    pub flow: Flow,
    pub lengths: Lengths,
    pub outcomes: Vec<Outcome>,
    pub answers: Vec<Answer<u32>>,
    pub pongs: u64,
    pub failures: u64,
    pub identified: u64,
    pub events: Vec<Event>,
}

impl Tester {
    pub fn new(birth: &Birth<'_>) -> Result<Self, Error> {
        Self::with_ping(birth, ping::Config::default())
    }

    pub fn with_ping(birth: &Birth<'_>, config: ping::Config) -> Result<Self, Error> {
        let name = ProtocolName::from_static("/test/length/1");
        Ok(Self {
            ping: ping::Ping::new(config).map_err(|error| Error::App(error.to_string()))?,
            identify: identify::Identify::new(birth.identity.clone(), identify::Config::default())
                .map_err(|error| Error::App(error.to_string()))?,
            flow: Flow::new(),
            lengths: Lengths(Exchanges::length_delimited(name, 4096)),
            outcomes: Vec::new(),
            answers: Vec::new(),
            pongs: 0,
            failures: 0,
            identified: 0,
            events: Vec::new(),
        })
    }

    pub fn ask(&mut self, peer: PeerId, key: u32, bytes: usize) {
        self.lengths.0.ask(peer, key, vec![7; bytes]).unwrap();
    }
}

impl App for Tester {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = Lent::new();
        lent.push(&mut self.ping);
        lent.push(&mut self.identify);
        lent.push(&mut self.flow);
        lent.push(&mut self.lengths);
        lent
    }

    fn handle_event(&mut self, _: &mut Step<'_>, event: &Event) {
        self.events.push(event.clone());
    }

    fn step(&mut self, cx: &mut Step<'_>) {
        while let Some(event) = self.ping.poll_event() {
            match event {
                ping::Event::Pong { rtt, .. } => {
                    self.pongs += 1;
                    cx.note(format_args!("pong {rtt:?}"));
                }
                _ => self.failures += 1,
            }
        }
        while let Some(event) = self.identify.poll_event() {
            self.identified += u64::from(matches!(event, identify::Event::Identified { .. }));
        }
        while let Some(outcome) = self.flow.poll_outcome() {
            cx.note(format_args!("flow {} {:?}", outcome.flow, outcome.result));
            self.outcomes.push(outcome);
        }
        while let Some(answer) = self.lengths.0.poll_answer() {
            cx.note(format_args!("answer {} {:?}", answer.key, answer.result));
            self.answers.push(answer);
        }
        if let Some(wrong) = self.flow.wrong() {
            cx.accuse(wrong);
        }
    }

    fn census(&self) -> usize {
        let census = self.identify.census();
        census.peers + census.exchanges + census.pushes + self.flow.census()
    }
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Every pair of places is as far apart.
pub fn apart(latency: Duration) -> Link {
    Link {
        latency: (latency, latency),
        ..Link::default()
    }
}

pub fn build(scenario: Scenario, seed: u64) -> Sim<Tester> {
    Sim::new(scenario, seed, |birth| Tester::new(&birth)).unwrap()
}

/// Both depths of the same scenario.
pub fn both(scenario: &Scenario) -> [Scenario; 2] {
    [scenario.clone(), scenario.clone().at_swarm_level()]
}

/// Two hosts, connected for a second.
pub fn pair(scenario: Scenario, seed: u64) -> Sim<Tester> {
    let mut sim = build(scenario, seed);
    assert!(sim.dial(0, 1));
    sim.run_for(seconds(1)).unwrap();
    assert!(connected(&sim, 0, 1) && connected(&sim, 1, 0));
    sim
}

pub fn connected(sim: &Sim<Tester>, host: usize, to: usize) -> bool {
    let peer = sim.peer(to).unwrap();
    sim.swarm(host)
        .is_some_and(|swarm| !swarm.connections(peer).is_empty())
}

/// Sends bytes from one host to another.
pub fn send(sim: &mut Sim<Tester>, from: usize, to: usize, bytes: u64) -> u64 {
    let peer = sim.peer(to).unwrap();
    sim.command(from, |app, _, _| app.flow.send(peer, bytes)).unwrap()
}

pub fn ask(sim: &mut Sim<Tester>, from: usize, to: usize, key: u32, bytes: usize) {
    let peer = sim.peer(to).unwrap();
    sim.command(from, |app, _, _| app.ask(peer, key, bytes)).unwrap();
}

pub fn config() -> Config {
    Scenario::default().swarm
}

/// Runs on for a while, at most; says whether `done` came true.
pub fn until(
    sim: &mut Sim<Tester>,
    time: Duration,
    done: impl FnMut(&mut Sim<Tester>) -> bool,
) -> Result<bool, Violation> {
    let end = sim.now() + time;
    sim.run_until(end, done)
}

pub fn depth_name(scenario: &Scenario) -> &'static str {
    match scenario.depth {
        Depth::Full => "full",
        Depth::Swarm => "swarm",
    }
}
