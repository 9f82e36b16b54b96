//! Relays that die, refuse and lie, between whole hosts: the ends of a circuit are protected by their own identities, and find another relay.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_core::{Component, Deadline, Instant, Multiaddr, PeerId, StreamId};
use libp2p_proto_relay::{
    ClientConfig, HOP, HopMessage, Limit, Relay, Reservation, STOP, ServerConfig, Status, StopMessage,
};
use libp2p_proto_simulator::{App, Birth, Error, Fault, FaultKind, Lent, Places, Scenario, Sim, Step};
use libp2p_proto_stream_protocol::{Context, Dial, Framing, Input, Link, Protocol, StreamSpec, Target};
use libp2p_proto_swarm::Event;
use std::{collections::BTreeMap, time::Duration};
use support::{Tester, apart, millis, seconds};

const RELAY: usize = 0;
const CALLER: usize = 1;
const CALLEE: usize = 2;
const STRANGER: usize = 3;

/// What a relay does that it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Nothing.
    None,
    /// It holds every byte back for so long.
    Delays(Duration),
    /// It leads to somebody else than was asked for.
    WrongPeer(PeerId),
    /// It turns one bit of the byte at this place, on the way to the callee.
    Turns(u64),
    /// It says the frame again in which this byte came.
    Repeats(u64),
    /// It says that nothing is limited, and cuts behind so many bytes.
    Cuts(u64),
    /// It grants slots for a minute and a half, once to each.
    RefusesRenewals,
    /// It leads to nobody, and plays the other end itself.
    Answers,
    /// It serves nobody, but opens so many requests to whoever it is connected to, and says nothing there.
    Knocks(usize),
}

/// A relay by the book, but for its lie. It splices by hand.
struct Liar {
    specs: [StreamSpec; 2],
    lie: Lie,
    /// The other end of a circuit that stands, and whether what comes here goes to the callee.
    joined: BTreeMap<StreamId, (StreamId, bool)>,
    /// The source's stream, by the target's, with who asks.
    asked: BTreeMap<StreamId, (StreamId, PeerId)>,
    passed: u64,
    held: Vec<(Instant, StreamId, Bytes)>,
    served: Vec<PeerId>,
    /// When each of its streams ended.
    ended: Vec<Instant>,
}

impl Liar {
    fn new(lie: Lie) -> Self {
        let spec = |name| StreamSpec {
            send_capacity: 1 << 20,
            max_outbound: 200,
            carries_links: true,
            ..StreamSpec::new(name, Framing::Held { max: 4096 })
        };
        Self {
            specs: [HOP, STOP].map(spec),
            lie,
            joined: BTreeMap::new(),
            asked: BTreeMap::new(),
            passed: 0,
            held: Vec::new(),
            served: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn reserve(&mut self, cx: &Context<'_>, peer: PeerId) -> HopMessage {
        let life = match self.lie {
            Lie::RefusesRenewals if self.served.contains(&peer) => {
                return HopMessage::status(Status::ReservationRefused);
            }
            Lie::RefusesRenewals => 90,
            _ => 3600,
        };
        self.served.push(peer);
        HopMessage::Status {
            status: Status::Ok,
            reservation: Some(Reservation {
                expire: cx.unix.as_secs() + life,
                ..Reservation::default()
            }),
            limit: Limit::default(),
        }
    }

    fn handle_frame(&mut self, cx: &mut Context<'_>, stream: StreamId, data: Bytes) {
        if let Some((to, outward)) = self.joined.get(&stream).copied() {
            return self.pass(cx, to, outward, data);
        }
        let Some(peer) = cx.peer_of(stream) else { return };
        if let Some((source, _)) = self.asked.remove(&stream) {
            let answer = HopMessage::Status {
                status: Status::Ok,
                reservation: None,
                limit: Limit::default(),
            };
            let _refused = cx.write(source, answer.encode());
            for (end, other, outward) in [(source, stream, true), (stream, source, false)] {
                cx.reframe(end, Framing::Raw);
                self.joined.insert(end, (other, outward));
            }
            return;
        }
        match HopMessage::decode(&data) {
            Ok(HopMessage::Reserve) => {
                let answer = self.reserve(cx, peer);
                let _refused = cx.write(stream, answer.encode());
                cx.finish(stream);
            }
            Ok(HopMessage::Connect { .. }) if self.lie == Lie::Answers => {
                let answer = HopMessage::Status {
                    status: Status::Ok,
                    reservation: None,
                    limit: Limit::default(),
                };
                let _refused = cx.write(stream, answer.encode());
                let remote = cx.connection_info(stream.conn).unwrap().remote.clone();
                let link = Link::Accepted {
                    peer,
                    remote,
                    limited: false,
                };
                cx.promote(stream, link).unwrap();
            }
            Ok(HopMessage::Connect { peer: to }) => {
                let to = match self.lie {
                    Lie::WrongPeer(other) => other,
                    _ => to,
                };
                if let Ok(target) = cx.open(Target::Peer(to), &[1]) {
                    self.asked.insert(target, (stream, peer));
                }
            }
            _ => {}
        }
    }

    fn pass(&mut self, cx: &mut Context<'_>, to: StreamId, outward: bool, data: Bytes) {
        let before = self.passed;
        let mut data = data.to_vec();
        if outward {
            self.passed += data.len() as u64;
        }
        let here = |place: u64| outward && (before..before + data.len() as u64).contains(&place);
        match self.lie {
            Lie::Turns(place) if here(place) => data[usize::try_from(place - before).unwrap()] ^= 1,
            Lie::Repeats(place) if here(place) => data = data.repeat(2),
            Lie::Cuts(place) if here(place) => {
                data.truncate(usize::try_from(place - before).unwrap());
                let _refused = cx.write(to, data);
                let from = self.joined[&to].0;
                cx.reset(from);
                return cx.finish(to);
            }
            Lie::Delays(time) => return self.held.push((cx.now + time, to, data.into())),
            _ => {}
        }
        let _refused = cx.write(to, data);
    }
}

impl Protocol for Liar {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Opened { stream, .. } => {
                if let Some((_, peer)) = self.asked.get(&stream) {
                    let ask = StopMessage::Connect {
                        peer: *peer,
                        limit: Limit::default(),
                    };
                    let _refused = cx.write(stream, ask.encode());
                }
            }
            Input::Frame { stream, data } => self.handle_frame(cx, stream, data),
            Input::Connected { conn, .. } => {
                if let Lie::Knocks(times) = self.lie {
                    for _ in 0..times {
                        cx.open(Target::Connection(conn), &[0]).unwrap();
                    }
                }
            }
            Input::Closed { stream, .. } => {
                self.ended.push(cx.now);
                if let Some((other, _)) = self.joined.remove(&stream) {
                    cx.reset(other);
                }
            }
            Input::Timeout => {
                while self.held.first().is_some_and(|(at, ..)| *at <= cx.now) {
                    let (_, to, data) = self.held.remove(0);
                    let _refused = cx.write(to, data);
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.held.first().map(|(at, ..)| Deadline::new(*at, "held"))
    }
}

enum Part {
    Honest(Box<Relay>),
    Lying(Box<Liar>),
}

struct Node {
    tester: Tester,
    part: Part,
}

impl Node {
    fn new(birth: &Birth<'_>, part: Part) -> Result<Self, Error> {
        let tester = Tester::new(birth)?;
        Ok(Self { tester, part })
    }

    fn relay(&mut self) -> &mut Relay {
        match &mut self.part {
            Part::Honest(relay) => relay,
            Part::Lying(_) => panic!("a liar"),
        }
    }

    fn slots(&self) -> Vec<PeerId> {
        match &self.part {
            Part::Honest(relay) => relay.reserved().collect(),
            Part::Lying(_) => Vec::new(),
        }
    }
}

impl App for Node {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = self.tester.protocols();
        match &mut self.part {
            Part::Honest(relay) => lent.push(&mut **relay),
            Part::Lying(liar) => lent.push(&mut **liar),
        }
        lent
    }

    fn handle_event(&mut self, cx: &mut Step<'_>, event: &Event) {
        self.tester.handle_event(cx, event);
    }

    fn step(&mut self, cx: &mut Step<'_>) {
        self.tester.step(cx);
        if let Part::Honest(relay) = &mut self.part {
            while relay.poll_event().is_some() {}
        }
    }
}

fn part(birth: &Birth<'_>, server: bool, client: ClientConfig) -> Part {
    let server = server.then(ServerConfig::default);
    let client = Some(client).filter(|_| server.is_none());
    Part::Honest(Box::new(
        Relay::new(birth.identity.clone(), server, client).unwrap(),
    ))
}

fn circuit(sim: &Sim<Node>) -> Multiaddr {
    let relay = sim
        .address_of(RELAY)
        .unwrap()
        .with_peer_id(sim.peer(RELAY).unwrap());
    relay.unwrap().with(Component::P2pCircuit).unwrap()
}

fn dial(sim: &mut Sim<Node>) {
    let (addr, callee) = (circuit(sim), sim.peer(CALLEE).unwrap());
    let dial = Dial {
        addrs: vec![addr],
        ..Dial::peer(callee)
    };
    let begun = sim.command(CALLER, |_, swarm, now| swarm.dial(now, dial).is_ok());
    assert_eq!(begun, Some(true));
}

fn peer_of(place: usize) -> PeerId {
    let sim = Sim::new(Scenario::new(4), 1, |birth| {
        Node::new(&birth, part(&birth, false, ClientConfig::default()))
    });
    sim.unwrap().peer(place).unwrap()
}

/// The callee and a stranger hold slots at a relay that lies so, and the caller has dialed the callee through it.
fn through(lie: Lie) -> Sim<Node> {
    let scenario = Scenario::new(4).link(apart(millis(20)));
    let mut sim = Sim::new(scenario, 1, move |birth| {
        let client = ClientConfig {
            automatic: false,
            ..ClientConfig::default()
        };
        let part = match birth.place {
            RELAY => Part::Lying(Box::new(Liar::new(lie))),
            _ => part(&birth, false, client),
        };
        Node::new(&birth, part)
    })
    .unwrap();
    let (relay, addr) = (sim.peer(RELAY).unwrap(), sim.address_of(RELAY).unwrap());
    for place in [CALLEE, STRANGER] {
        let addr = addr.clone();
        sim.command(place, move |app, _, _| app.relay().reserve(relay, vec![addr]));
    }
    sim.run_for(seconds(2)).unwrap();
    assert_eq!(sim.app(CALLEE).unwrap().slots(), [relay]);
    dial(&mut sim);
    sim.run_for(seconds(5)).unwrap();
    sim
}

fn is_connected(sim: &Sim<Node>) -> bool {
    let peer = sim.peer(CALLEE).unwrap();
    !sim.swarm(CALLER).unwrap().connections(peer).is_empty()
}

/// Sends 100 kB to the callee: whether they were confirmed, to the last and as they were. What comes otherwise than it was sent ends the run.
fn transfers(sim: &mut Sim<Node>) -> bool {
    let peer = sim.peer(CALLEE).unwrap();
    let flow = sim.command(CALLER, |app, _, _| app.tester.flow.send(peer, 100_000));
    sim.run_for(seconds(30)).unwrap();
    let outcomes = &sim.app(CALLER).unwrap().tester.outcomes;
    let outcome = outcomes.iter().find(|outcome| Some(outcome.flow) == flow);
    outcome.is_some_and(|outcome| outcome.result.is_ok())
}

// covers: SIM-021
#[test]
fn whatever_a_relay_does_with_the_bytes_nothing_wrong_arrives_and_nobody_else_is_taken_for_the_peer() {
    for lie in [Lie::None, Lie::Delays(seconds(1))] {
        let mut sim = through(lie);
        sim.run_for(seconds(10)).unwrap();
        assert!(is_connected(&sim) && transfers(&mut sim), "{lie:?}");
    }
    let mut sim = through(Lie::Delays(seconds(60)));
    sim.run_for(seconds(150)).unwrap();
    assert!(!is_connected(&sim), "too slow for the upgrade");

    let mut sim = through(Lie::WrongPeer(peer_of(STRANGER)));
    sim.run_for(seconds(10)).unwrap();
    assert!(!is_connected(&sim));
    for (host, other) in [(CALLER, STRANGER), (STRANGER, CALLER)] {
        let peer = sim.peer(other).unwrap();
        assert!(sim.swarm(host).unwrap().connections(peer).is_empty());
    }
    let failed = |event: &Event| format!("{event:?}").contains("WrongPeer");
    assert!(sim.app(CALLER).unwrap().tester.events.iter().any(failed));

    // In the upgrade, and behind it: of the bytes before the change each is as it was, none behind it is believed.
    let mut broken = [0, 0];
    for place in [0, 10, 25, 60, 61, 100, 150, 250, 400, 700, 3000, 20_000] {
        for lie in [Lie::Turns(place), Lie::Repeats(place), Lie::Cuts(place)] {
            let mut sim = through(lie);
            sim.run_for(seconds(15)).unwrap();
            let stood = is_connected(&sim);
            broken[usize::from(stood)] += 1;
            assert!(!(stood && transfers(&mut sim)), "{lie:?}");
            sim.run_for(seconds(60)).unwrap();
            assert!(!is_connected(&sim), "{lie:?}");
        }
    }
    assert!(broken.iter().all(|runs| *runs >= 6), "{broken:?}");
}

// covers: RLY-059
#[test]
fn a_relay_that_plays_the_other_end_itself_is_not_taken_for_it() {
    let sim = through(Lie::Answers);
    assert!(!is_connected(&sim));
    let relay = sim.peer(RELAY).unwrap();
    let wrong = |event: &Event| {
        let text = format!("{event:?}");
        text.contains("WrongPeer") && text.contains(&format!("{relay:?}"))
    };
    let events = &sim.app(CALLER).unwrap().tester.events;
    assert!(events.iter().any(wrong), "{events:?}");
}

// covers: RLY-094
#[test]
fn of_a_hundred_requests_on_one_connection_ten_wait_and_end_after_a_minute() {
    let scenario = Scenario::new(2).link(apart(millis(20)));
    let mut sim = Sim::new(scenario, 1, |birth| {
        let part = match birth.place {
            RELAY => part(&birth, true, ClientConfig::default()),
            _ => Part::Lying(Box::new(Liar::new(Lie::Knocks(100)))),
        };
        Node::new(&birth, part)
    })
    .unwrap();
    let ended = |sim: &Sim<Node>| match &sim.app(CALLER).unwrap().part {
        Part::Lying(liar) => liar.ended.len(),
        Part::Honest(_) => panic!("no liar"),
    };
    let requests = |sim: &mut Sim<Node>| sim.command(RELAY, |app, _, _| app.relay().stats().requests);
    assert!(sim.dial(CALLER, RELAY));
    sim.run_for(seconds(5)).unwrap();
    assert_eq!((ended(&sim), requests(&mut sim)), (90, Some(10)));
    sim.run_for(seconds(50)).unwrap();
    assert_eq!((ended(&sim), requests(&mut sim)), (90, Some(10)));
    sim.run_for(seconds(10)).unwrap();
    assert_eq!((ended(&sim), requests(&mut sim)), (100, Some(0)));
}

/// A host behind nothing, that takes itself for private, and three relays, of which one may lie. It is dialed to all.
fn chooses(liar: Option<(usize, Lie)>, faults: Vec<Fault>) -> Sim<Node> {
    let mut scenario = Scenario::new(4).link(apart(millis(20)));
    scenario.faults = faults;
    let mut sim = Sim::new(scenario, 1, move |birth| {
        let client = ClientConfig {
            boot_delay: seconds(1),
            wanted: 1,
            ..ClientConfig::default()
        };
        let part = match (birth.place, liar) {
            (place, Some((liar, lie))) if place == liar => Part::Lying(Box::new(Liar::new(lie))),
            (place, _) => part(&birth, place < 3, client),
        };
        Node::new(&birth, part)
    })
    .unwrap();
    for relay in 0..3 {
        assert!(sim.dial(3, relay));
    }
    sim.run_for(seconds(5)).unwrap();
    sim
}

// covers: SIM-021
#[test]
fn when_a_relay_dies_another_one_keeps_a_slot_within_a_minute() {
    // Which one it holds depends on ids alone: each is killed once.
    let mut moved = 0;
    for dead in 0..3 {
        let kill = FaultKind::Crash {
            hosts: Places::one(dead),
        };
        let mut sim = chooses(None, vec![Fault::at(seconds(10), kill)]);
        let dead = sim.peer(dead).unwrap();
        let held = sim.app(3).unwrap().slots();
        assert_eq!(held.len(), 1);
        sim.run_for(seconds(5 + 60 + 45)).unwrap();
        let now = sim.app(3).unwrap().slots();
        assert_eq!(now.len(), 1);
        assert_ne!(
            now[0], dead,
            "within a minute of noticing, which takes 45 s at most"
        );
        moved += usize::from(held[0] == dead);
    }
    assert_eq!(moved, 1);
}

// covers: SIM-021
#[test]
fn when_a_relay_refuses_renewals_another_one_keeps_a_slot_within_a_minute_of_its_end() {
    // Which one it asks first depends on ids alone: each lies once.
    let mut believed = 0;
    for liar in 0..3 {
        let mut sim = chooses(Some((liar, Lie::RefusesRenewals)), Vec::new());
        let liar = sim.peer(liar).unwrap();
        let (mut gap, mut longest) = (0, 0);
        believed += usize::from(sim.app(3).unwrap().slots() == [liar]);
        for _ in 0..300 {
            sim.run_for(seconds(1)).unwrap();
            let held = !sim.app(3).unwrap().slots().is_empty();
            gap = if held { 0 } else { gap + 1 };
            longest = longest.max(gap);
        }
        assert!(longest <= 60, "{longest} s without a slot");
        let slots = sim.app(3).unwrap().slots();
        assert!(slots.len() == 1 && slots[0] != liar);
    }
    assert_eq!(believed, 1);
}

// covers: RLY-061, RLY-074
#[test]
fn both_ends_of_a_relayed_connection_know_what_is_left_of_it() {
    let scenario = Scenario::new(4).link(apart(millis(20)));
    let mut sim = Sim::new(scenario, 1, |birth| {
        let client = ClientConfig {
            automatic: false,
            ..ClientConfig::default()
        };
        Node::new(&birth, part(&birth, birth.place == RELAY, client))
    })
    .unwrap();
    let (relay, addr) = (sim.peer(RELAY).unwrap(), sim.address_of(RELAY).unwrap());
    sim.command(CALLEE, move |app, _, _| app.relay().reserve(relay, vec![addr]));
    sim.run_for(seconds(2)).unwrap();
    dial(&mut sim);
    for (host, other) in [(CALLER, CALLEE), (CALLEE, CALLER)] {
        let peer = sim.peer(other).unwrap();
        let wait = if host == CALLER { 60 } else { 30 };
        let left = |sim: &mut Sim<Node>| {
            let left = sim.command(host, |app, swarm, now| {
                let conn = swarm.connections(peer)[0];
                let carried = swarm.traffic(conn).unwrap();
                app.relay().left(now, conn, carried).unwrap()
            });
            left.map(|left| (left.bytes.unwrap(), left.time.unwrap()))
                .unwrap()
        };
        sim.run_for(seconds(5)).unwrap();
        let (bytes, time) = left(&mut sim);
        sim.run_for(seconds(wait)).unwrap();
        let (later_bytes, later_time) = left(&mut sim);
        // The upgrade and identify have gone both ways.
        assert!((100_000..131_072 - 1000).contains(&bytes), "{bytes}");
        assert!(later_bytes <= bytes, "{bytes} {later_bytes}");
        assert!(
            time <= seconds(116) && later_time + seconds(wait) == time,
            "{time:?} {later_time:?}"
        );
    }
}
