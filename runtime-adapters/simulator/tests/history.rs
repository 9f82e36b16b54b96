//! GossipSub and request-response together: what was said before one came is asked for, what is said from now on is heard; and neither is in the way of the other.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use libp2p_proto_core::{Instant, PeerId, ProtocolName};
use libp2p_proto_gossipsub::{Config as GossipConfig, Event as Heard, Gossipsub, ScoreConfig};
use libp2p_proto_identify::{Config as IdentifyConfig, Identify};
use libp2p_proto_request_response::{Config as AskConfig, Event as Asked, RequestResponse, Spec};
use libp2p_proto_simulator::{App, Birth, Error, Lent, Link, Scenario, Sim, Step};
use std::time::Duration;

const BLOCKS: &str = "blocks";
/// The largest answer.
const MOST: usize = 16 << 20;

/// A member of a chain: block `n` is any bytes that begin with `n`. Who comes late asks a peer for the blocks since the last one, and hears the rest.
struct Member {
    identify: Identify,
    gossip: Gossipsub,
    history: RequestResponse,
    blocks: Vec<Bytes>,
    /// When each block was heard.
    heard: Vec<Instant>,
    /// Sends nonsense when it is asked.
    lies: bool,
    /// Peers whose answers were nonsense.
    liars: Vec<PeerId>,
}

impl Member {
    fn new(birth: &Birth<'_>, lies: bool) -> Result<Self, Error> {
        let app = |error: &dyn std::fmt::Display| Error::App(error.to_string());
        let name = ProtocolName::from_static("/chain/blocks-since/1");
        let scored = GossipConfig {
            score: Some(ScoreConfig {
                behaviour_weight: -1.0,
                behaviour_decay: 0.9,
                ..ScoreConfig::default()
            }),
            ..GossipConfig::default()
        };
        let mut gossip = Gossipsub::new(birth.identity.clone(), scored).map_err(|error| app(&error))?;
        gossip.subscribe(BLOCKS).map_err(|error| app(&error))?;
        let asking = AskConfig {
            max_held: 2 * MOST,
            ..AskConfig::default()
        };
        Ok(Self {
            identify: Identify::new(birth.identity.clone(), IdentifyConfig::default())
                .map_err(|error| app(&error))?,
            gossip,
            history: RequestResponse::new(vec![Spec::length_delimited(name, 8, MOST)], asking)
                .map_err(|error| app(&error))?,
            blocks: Vec::new(),
            heard: Vec::new(),
            lies,
            liars: Vec::new(),
        })
    }

    fn add(&mut self, now: Instant, block: Bytes) {
        if usize::from(block[0]) == self.blocks.len() {
            self.blocks.push(block);
            self.heard.push(now);
        }
    }

    /// Makes the next block and tells everybody.
    fn forge(&mut self, now: Instant) {
        let block = Bytes::from(vec![u8::try_from(self.blocks.len()).unwrap(); 100]);
        self.add(now, block.clone());
        self.gossip.publish(BLOCKS, block, false).unwrap();
    }

    fn catch_up(&mut self, from: PeerId) {
        let last = vec![u8::try_from(self.blocks.len()).unwrap()];
        self.history.request(from, 0, last.into()).unwrap();
    }
}

impl App for Member {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = Lent::new();
        lent.push(&mut self.identify);
        lent.push(&mut self.gossip);
        lent.push(&mut self.history);
        lent
    }

    fn step(&mut self, step: &mut Step<'_>) {
        while self.identify.poll_event().is_some() {}
        while let Some(event) = self.history.poll_event() {
            match event {
                Asked::Request { id, data, .. } => {
                    let since = self.blocks.iter().skip(usize::from(data[0]));
                    let answer = if self.lies {
                        vec![0xff; 1000]
                    } else {
                        since.flatten().copied().collect()
                    };
                    self.history.respond(id, answer.into()).unwrap();
                }
                Asked::Response { peer, data, .. } => {
                    for block in data.chunks(100) {
                        if block[0] == 0xff {
                            self.liars.push(peer);
                            // The application's word on a peer (P5), and one on its manners (P7).
                            self.gossip.set_app_score(peer, -1000.0).unwrap();
                            self.gossip.penalize(peer, 10).unwrap();
                            break;
                        }
                        self.add(step.now, Bytes::copy_from_slice(block));
                    }
                }
                _ => {}
            }
        }
        while let Some(event) = self.gossip.poll_event() {
            if let Heard::Message { message, .. } = event {
                self.add(step.now, message.data.unwrap());
            }
        }
    }
}

fn chain(hosts: usize, liar: Option<usize>, link: Link) -> Sim<Member> {
    let scenario = Scenario::new(hosts).link(link);
    Sim::new(scenario, 5, move |birth| {
        Member::new(&birth, Some(birth.place) == liar)
    })
    .unwrap()
}

// covers: RRQ-121
#[test]
fn who_comes_late_asks_for_what_was_and_hears_what_is() {
    let mut sim = chain(4, None, Link::default());
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        assert!(sim.dial(from, to));
    }
    // More than the ten seconds for which gossip remembers.
    for _ in 0..20 {
        sim.run_for(Duration::from_secs(2)).unwrap();
        sim.command(0, |app, _, now| app.forge(now)).unwrap();
    }
    assert!(sim.dial(3, 1));
    sim.run_for(Duration::from_secs(5)).unwrap();
    let late = sim.app(3).unwrap();
    assert_eq!(late.blocks.len(), 0, "gossip alone brings no history");
    let teacher = sim.peer(1).unwrap();
    sim.command(3, |app, _, _| app.catch_up(teacher));
    sim.run_for(Duration::from_secs(2)).unwrap();
    assert_eq!(sim.app(3).unwrap().blocks.len(), 20);
    sim.command(0, |app, _, now| app.forge(now)).unwrap();
    sim.run_for(Duration::from_secs(2)).unwrap();
    assert_eq!(sim.app(3).unwrap().blocks, sim.app(0).unwrap().blocks);
}

// covers: RRQ-120
#[test]
fn an_answer_that_is_nonsense_costs_its_peer_its_place_in_the_mesh() {
    let mut sim = chain(3, Some(1), Link::default());
    for (from, to) in [(0, 1), (0, 2), (1, 2)] {
        assert!(sim.dial(from, to));
    }
    sim.run_for(Duration::from_secs(5)).unwrap();
    let liar = sim.peer(1).unwrap();
    let in_mesh = |sim: &Sim<Member>| {
        let gossip = &sim.app(0).unwrap().gossip;
        gossip.mesh_of(&BLOCKS.into()).any(|peer| *peer == liar)
    };
    assert!(in_mesh(&sim));
    sim.command(0, |app, _, _| app.catch_up(liar));
    sim.run_for(Duration::from_secs(5)).unwrap();
    assert_eq!(sim.app(0).unwrap().liars, [liar]);
    assert!(!in_mesh(&sim));
    let explained = sim.app(0).unwrap().gossip.explain(&liar).unwrap();
    assert!(
        explained.app.adds < 0.0 && explained.behaviour.adds < 0.0,
        "{explained:?}"
    );
}

// covers: RRQ-122
#[test]
fn a_block_is_heard_within_two_round_trips_although_sixteen_mebibytes_are_on_their_way() {
    const WAY: Duration = Duration::from_millis(50);
    let link = Link {
        latency: (WAY, WAY),
        jitter: Duration::ZERO,
        // 4 MiB a second.
        bandwidth: Some(4 << 20),
        ..Link::default()
    };
    let mut sim = chain(2, None, link);
    assert!(sim.dial(0, 1));
    sim.run_for(Duration::from_secs(5)).unwrap();
    // The whole history in one block of the first's, which the second asks for.
    let whole = Bytes::from(vec![0; MOST - 16]);
    sim.command(0, |app, _, now| app.add(now, whole)).unwrap();
    let teacher = sim.peer(0).unwrap();
    sim.command(1, |app, _, _| app.catch_up(teacher));
    sim.run_for(Duration::from_millis(1500)).unwrap();
    assert_eq!(sim.app(1).unwrap().blocks.len(), 0, "it is on its way");
    let said = sim
        .command(0, |app, _, now| {
            app.gossip.publish(BLOCKS, vec![0; 100], false).unwrap();
            now
        })
        .unwrap();
    sim.run_for(Duration::from_secs(10)).unwrap();
    let heard = sim.app(1).unwrap().heard[0];
    assert!(heard.since(said) < WAY * 4, "{:?}", heard.since(said));
}
