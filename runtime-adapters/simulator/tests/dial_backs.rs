//! Dial backs of AutoNAT among other streams: whole hosts ask each other while a server reaches back.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_autonat::{Autonat, ClientConfig, Config, Event, Serve, ServerConfig, Version};
use libp2p_proto_simulator::{App, Birth, Error, Lent, Scenario, Sim, Step};
use support::{Tester, apart, millis, seconds};

const CLIENT: usize = 0;
const SERVER: usize = 1;
const VICTIM: usize = 2;

struct Node {
    tester: Tester,
    autonat: Autonat,
    verdicts: Vec<bool>,
}

impl Node {
    fn new(birth: &Birth<'_>) -> Result<Self, Error> {
        let config = Config {
            client: Some(ClientConfig {
                automatic: false,
                ..ClientConfig::default()
            }),
            server: Some(ServerConfig {
                when: Serve::Always,
                ..ServerConfig::default()
            }),
            ..Config::default()
        };
        Ok(Self {
            tester: Tester::new(birth)?,
            autonat: Autonat::new(config).map_err(|error| Error::App(error.to_string()))?,
            verdicts: Vec::new(),
        })
    }
}

impl App for Node {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = self.tester.protocols();
        lent.push(&mut self.autonat);
        lent
    }

    fn step(&mut self, cx: &mut Step<'_>) {
        self.tester.step(cx);
        while let Some(event) = self.autonat.poll_event() {
            if let Event::Answered { result, .. } = event {
                self.verdicts.extend(result.map(|verdict| verdict.reachable));
            }
        }
    }

    fn census(&self) -> usize {
        let census = self.autonat.census();
        self.tester.census() + census.questions + census.dial_backs + census.jobs + census.dials
    }
}

/// The client asks for a verdict, and both ends ask each other for something else every few milliseconds, each time on whichever connection the swarm prefers.
fn ask_all_along(version: Version, seed: u64) -> Sim<Node> {
    let scenario = Scenario::new(2).link(apart(millis(20)));
    let mut sim = Sim::new(scenario, seed, |birth| Node::new(&birth)).unwrap();
    assert!(sim.dial(CLIENT, SERVER));
    sim.run_for(seconds(3)).unwrap();
    let peers = [CLIENT, SERVER].map(|host| sim.peer(host).unwrap());
    let (server, own) = (peers[SERVER], sim.address_of(CLIENT).unwrap());
    let asked = sim.command(CLIENT, move |app, _, _| {
        app.autonat.ask(Some(server), version, vec![own]).is_ok()
    });
    assert_eq!(asked, Some(true));
    for round in 0..1000_u32 {
        for (host, other) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
            let peer = peers[other];
            sim.command(host, |app, _, _| app.tester.ask(peer, round, 100));
        }
        sim.run_for(millis(7)).unwrap();
    }
    sim.run_for(seconds(1)).unwrap();
    sim
}

// covers: AN-019
#[test]
fn no_stream_is_lost_on_a_dial_back_that_goes_whoever_has_the_larger_id() {
    let mut larger = [0, 0];
    for version in [Version::V1, Version::V2] {
        for seed in 1..=6 {
            let mut sim = ask_all_along(version, seed);
            let (client, server) = (sim.peer(CLIENT).unwrap(), sim.peer(SERVER).unwrap());
            larger[usize::from(client > server)] += 1;
            assert_eq!(sim.app(CLIENT).unwrap().verdicts, [true], "{version:?}, {seed}");
            for (host, other) in [(CLIENT, server), (SERVER, client)] {
                let answers = &sim.app(host).unwrap().tester.answers;
                let lost = answers.iter().filter(|answer| answer.result.is_err());
                assert_eq!((answers.len(), lost.count()), (1000, 0), "{version:?}, {seed}");
                let standing = sim.swarm(host).unwrap().connections(other);
                assert_eq!(standing.len(), 1, "the dial back is closed: {version:?}, {seed}");
                let info = sim.swarm(host).unwrap().connection_info(standing[0]).unwrap();
                assert_eq!(info.side.is_dialer(), host == CLIENT);
            }
            sim.wind_down(seconds(40)).unwrap();
        }
    }
    assert!(
        larger.iter().all(|seeds| *seeds > 0),
        "both orders of ids: {larger:?}"
    );
}

/// Bytes that the server and the client have had from each other so far, and bytes that anybody has had from anybody.
fn bytes(sim: &Sim<Node>) -> (u64, u64, u64) {
    let stats = |host| sim.swarm(host).unwrap().stats().bytes_in;
    (stats(SERVER), stats(CLIENT), sim.stats().bytes)
}

// covers: AN-109, SIM-045
#[test]
fn who_names_a_victim_sends_more_than_the_victim_gets() {
    for seed in 1..=5 {
        let scenario = Scenario::new(3).link(apart(millis(20)));
        let mut sim = Sim::new(scenario, seed, |birth| Node::new(&birth)).unwrap();
        assert!(sim.dial(CLIENT, SERVER));
        sim.run_for(seconds(3)).unwrap();
        let (server, victim) = (sim.peer(SERVER).unwrap(), sim.address_of(VICTIM).unwrap());
        let links = |sim: &Sim<Node>| sim.swarm(VICTIM).unwrap().stats().incoming_failed;
        for version in [Version::V1, Version::V2] {
            let before = bytes(&sim);
            let addr = victim.clone();
            sim.command(CLIENT, move |app, _, _| {
                app.autonat.ask(Some(server), version, vec![addr]).is_ok()
            });
            sim.run_for(seconds(40)).unwrap();
            let after = bytes(&sim);
            let paid = after.0 - before.0;
            if version == Version::V1 {
                assert_eq!(links(&sim), 0, "only the asker's own address is dialed");
                continue;
            }
            assert_eq!(links(&sim), 1, "one dial for one payment");
            assert!(paid >= 30_000, "{paid}");
            // What went over no link of the two, in both directions. (Their counts may lag by the bytes of a ping.)
            let elsewhere = after.2 - before.2 - paid - (after.1 - before.1);
            assert!(
                (200..=10_000).contains(&elsewhere),
                "{elsewhere} bytes for {paid}"
            );
        }
        let peer = sim.peer(VICTIM).unwrap();
        assert!(sim.swarm(SERVER).unwrap().connections(peer).is_empty());
    }
}
