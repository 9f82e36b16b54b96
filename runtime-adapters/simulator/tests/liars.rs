//! Peers whose protocols lie, and networks of hosts that fail by chance.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{ProtocolName, StreamId};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_simulator::{App, Lent, Scenario, Sim, Step};
use libp2p_proto_stream_protocol::{Context, Framing, Input, Protocol, StreamSpec, Target};
use std::collections::BTreeMap;
use support::{Tester, apart, millis, seconds};

/// Says what it is given as identify messages, and pushes as often as it is told.
struct Liar {
    specs: Vec<StreamSpec>,
    messages: Vec<Vec<u8>>,
    pushes: u32,
    writing: BTreeMap<StreamId, usize>,
}

impl Liar {
    fn new(messages: Vec<Vec<u8>>, pushes: u32, names: &[&str]) -> Self {
        let framing = Framing::LengthDelimited { max: 64 * 1024 };
        let fixed = ["/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0"];
        let specs = fixed.iter().chain(names).map(|name| {
            let name = ProtocolName::new(name).unwrap();
            StreamSpec {
                max_outbound: 1000,
                lazy: true,
                send_capacity: 1 << 20,
                ..StreamSpec::new(name, framing)
            }
        });
        Self {
            specs: specs.collect(),
            messages,
            pushes,
            writing: BTreeMap::new(),
        }
    }

    fn say(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(said) = self.writing.get_mut(&stream) else {
            return;
        };
        while let Some(message) = self.messages.get(*said) {
            if cx.write(stream, message.clone()).is_err() {
                return;
            }
            *said += 1;
        }
        cx.finish(stream);
        self.writing.remove(&stream);
    }
}

impl Protocol for Liar {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Connected { conn, .. } => {
                for _ in 0..self.pushes {
                    if let Ok(stream) = cx.open(Target::Connection(conn), &[1]) {
                        self.writing.insert(stream, 0);
                        self.say(cx, stream);
                    }
                }
            }
            Input::Opened { stream, spec: 0, .. } if stream.is_inbound() => {
                self.writing.insert(stream, 0);
                self.say(cx, stream);
            }
            Input::Opened { stream, .. } | Input::Writable { stream } => self.say(cx, stream),
            Input::Closed { stream, .. } => drop(self.writing.remove(&stream)),
            _ => {}
        }
    }
}

enum Mixed {
    Honest(Box<Tester>),
    Liar(Liar),
}

impl Mixed {
    fn honest(&self) -> &Tester {
        match self {
            Self::Honest(tester) => tester,
            Self::Liar(_) => panic!("a liar"),
        }
    }
}

impl App for Mixed {
    fn protocols(&mut self) -> Lent<'_> {
        match self {
            Self::Honest(tester) => tester.protocols(),
            Self::Liar(liar) => {
                let mut lent = Lent::new();
                lent.push(liar);
                lent
            }
        }
    }
    fn handle_event(&mut self, cx: &mut Step<'_>, event: &libp2p_proto_swarm::Event) {
        if let Self::Honest(tester) = self {
            tester.handle_event(cx, event);
        }
    }
    fn step(&mut self, cx: &mut Step<'_>) {
        if let Self::Honest(tester) = self {
            tester.step(cx);
        }
    }
    fn census(&self) -> usize {
        match self {
            Self::Honest(tester) => tester.census(),
            Self::Liar(_) => 0,
        }
    }
}

/// Hosts 0 and 1 are honest; host 2 lies to both.
fn world(
    scenario: Scenario,
    messages: Vec<Vec<u8>>,
    pushes: u32,
    names: &'static [&'static str],
) -> Sim<Mixed> {
    let mut sim = Sim::new(scenario.link(apart(millis(20))), 1, move |birth| {
        Ok(if birth.place == 2 {
            Mixed::Liar(Liar::new(messages.clone(), pushes, names))
        } else {
            Mixed::Honest(Box::new(Tester::new(&birth)?))
        })
    })
    .unwrap();
    for (from, to) in [(0, 1), (0, 2), (2, 1)] {
        assert!(sim.dial(from, to));
    }
    sim.run_for(seconds(25)).unwrap();
    sim
}

/// One field of a protobuf message, with bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![(number << 3) | 2];
    let mut length = bytes.len();
    while length >= 128 {
        out.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend_from_slice(bytes);
    out
}

fn key_of(seed: u8) -> Vec<u8> {
    let identity = Identity::from(Keypair::ed25519_from_seed([seed; 32]));
    identity.public_key().encode().to_vec()
}

fn honest_pair_works(sim: &mut Sim<Mixed>, name: &str) {
    let peer = sim.peer(1).unwrap();
    sim.command(0, |app, _, _| {
        if let Mixed::Honest(tester) = app {
            tester.ask(peer, 9, 10);
        }
    });
    sim.run_for(seconds(5)).unwrap();
    let tester = sim.app(0).unwrap().honest();
    assert!(tester.answers[0].result.is_ok(), "{name}");
    assert!(tester.identify.info(&peer).is_some(), "{name}");
    assert!(tester.pongs >= 1, "{name}");
    sim.wind_down(seconds(30)).unwrap();
}

#[test]
fn a_peer_that_lies_about_itself_is_not_believed_and_costs_little() {
    // covers: SIM-026
    let agent = field(6, b"liar/1");
    let spoofed: Vec<u8> = vec![4, 198, 51, 100, 7, 6, 0x0f, 0xa1];
    let lies: Vec<(&str, bool, Vec<Vec<u8>>, u32)> = vec![
        (
            "another key",
            false,
            vec![[field(1, &key_of(77)), agent.clone()].concat()],
            3,
        ),
        (
            "no key of any type",
            false,
            vec![[field(1, &[8, 99, 18, 1, 1]), agent.clone()].concat()],
            1,
        ),
        ("ten chunks", true, vec![agent.clone(); 10], 1),
        ("eleven chunks", false, vec![agent.clone(); 11], 1),
        ("a message over 8 KiB", false, vec![field(6, &[b'a'; 9000])], 1),
        ("garbage", false, vec![vec![0xff; 100]], 1),
        ("a hundred pushes at once", true, vec![agent.clone()], 100),
        (
            "a spoofed observed address",
            true,
            vec![[agent.clone(), field(4, &spoofed)].concat()],
            20,
        ),
        (
            "five thousand protocols",
            false,
            vec![field(3, b"/x/1").repeat(1200); 5],
            1,
        ),
    ];
    for scenario in [Scenario::new(3), Scenario::new(3).at_swarm_level()] {
        for (name, believed, messages, pushes) in lies.clone() {
            let mut sim = world(scenario.clone(), messages, pushes, &[]);
            let liar = sim.peer(2).unwrap();
            let tester = sim.app(0).unwrap().honest();
            let info = tester.identify.info(&liar);
            if believed {
                assert!(info.is_some(), "{name}");
            } else {
                assert!(info.is_none_or(|info| info.protocols.len() <= 1024), "{name}");
            }
            if name == "another key" {
                assert!(info.is_none(), "{name}");
            }
            // What one liar saw is no address of ours.
            let census = tester.identify.census();
            assert!(census.exchanges <= 64 && census.peers == 2, "{name}: {census:?}");
            honest_pair_works(&mut sim, name);
        }
    }
}

#[test]
fn a_peer_from_the_future_is_served_what_both_know() {
    // covers: SIM-039
    // Protocols, fields and address codes that nobody knows yet.
    let unknown_code: Vec<u8> = vec![0xc0, 0xbb, 0x7d, 1, 2, 3];
    let mut message = field(6, b"future/9");
    message.extend(field(3, b"/meshsub/9.9.0"));
    message.extend(field(3, b"/ipfs/kad/7.0.0"));
    message.extend(field(2, &unknown_code));
    message.extend(field(15, b"a field of the future"));
    message.extend([14 << 3, 1]);
    let names: &[&str] = &["/meshsub/9.9.0", "/ipfs/kad/7.0.0", "/unknown/1"];
    for scenario in [Scenario::new(3), Scenario::new(3).at_swarm_level()] {
        let mut sim = world(scenario, vec![message.clone()], 1, names);
        let future = sim.peer(2).unwrap();
        let info = sim.app(0).unwrap().honest().identify.info(&future).unwrap();
        assert_eq!(&*info.agent_version, "future/9");
        assert!(!sim.swarm(0).unwrap().connections(future).is_empty());
        honest_pair_works(&mut sim, "from the future");
    }
}
