//! Peers that mean ill: slow, loud, wrong, in the middle.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::PeerId;
use libp2p_proto_simulator::{Actor, ActorLink, Heard, Scenario, Sim, Stage};
use libp2p_proto_stream_protocol::Dial;
use libp2p_proto_swarm::Event;
use std::time::Duration;
use support::{
    Tester, apart, ask, build, connected, millis,
    raw::{HEADER, NOISE, Raw, frame},
    seconds, send, until,
};

/// Dials, says some bytes, and never anything again.
struct Stalls {
    target: usize,
    at: Duration,
    says: Vec<u8>,
    ended: bool,
}

impl Actor for Stalls {
    fn handle(&mut self, cx: &mut Stage<'_>, heard: Heard<'_>) {
        match heard {
            Heard::Start => cx.wake_at(cx.now + self.at),
            Heard::Wake => cx.dial(self.target),
            Heard::Opened { link, .. } => cx.write(link, self.says.clone()),
            Heard::Ended { .. } | Heard::Broken { .. } if !self.ended => {
                self.ended = true;
                cx.note("closed");
            }
            _ => {}
        }
    }
}

#[test]
fn a_thousand_peers_that_stall_in_every_phase_are_gone_at_the_deadline_and_keep_nobody_out() {
    // covers: SIM-005
    let hello = [HEADER, NOISE].concat();
    let noise_begun = [&hello[..], &[0, 32], &[7; 20]].concat();
    let phases = [&[][..], &hello[..5], HEADER, &hello, &noise_begun];
    let mut scenario = Scenario::new(3).link(apart(millis(20))).with_lines();
    scenario.strict = false;
    let mut sim = build(scenario, 1);
    let attackers = 1000;
    for number in 0..attackers {
        let says = phases[number % phases.len()].to_vec();
        let at = Duration::from_millis(number as u64 * 4);
        sim.add_actor(Stalls {
            target: 0,
            at,
            says,
            ended: false,
        })
        .unwrap();
    }
    // In the middle of it, and at the end.
    for (from, at) in [(1, 2000), (2, 4000)] {
        sim.run_for(millis(at).saturating_sub(sim.now().since(libp2p_proto_core::Instant::ZERO)))
            .unwrap();
        let begun = sim.now();
        assert!(sim.dial(from, 0));
        let up = until(&mut sim, seconds(2), |sim| {
            connected(sim, from, 0) && connected(sim, 0, from)
        });
        assert!(up.unwrap(), "host {from} is kept out from {begun:?}");
    }
    sim.run_for(seconds(30)).unwrap();
    let closed = sim.lines().iter().filter(|line| line.what == "closed").count();
    assert_eq!(closed, attackers, "some still stand");
    let last = sim
        .lines()
        .iter()
        .filter(|line| line.what == "closed")
        .map(|line| line.at)
        .max();
    let accepted = seconds(4) + millis(20);
    let deadline = libp2p_proto_core::Instant::ZERO + accepted + seconds(10) + millis(100);
    assert!(last.unwrap() <= deadline, "{last:?}");
    assert_eq!(sim.swarm(0).unwrap().stats().pending_inbound, 0);
    sim.wind_down(seconds(20)).unwrap();
}

const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;
const DATA: u8 = 0;
const WINDOW: u8 = 1;
const PING: u8 = 2;
const GO_AWAY: u8 = 3;

/// Named scripts of yamux frames, and whether the connection must be closed for it.
fn yamux_scripts() -> Vec<(&'static str, bool, Vec<Vec<u8>>)> {
    let syn = |stream| frame(WINDOW, SYN, stream, 0, &[]);
    let data =
        |flags, stream, body: &[u8]| frame(DATA, flags, stream, u32::try_from(body.len()).unwrap(), body);
    let many =
        |count: u32, make: &dyn Fn(u32) -> Vec<u8>| vec![(0..count).flat_map(make).collect::<Vec<_>>()];
    vec![
        (
            "030: window updates beyond 2^32",
            true,
            vec![
                syn(1),
                frame(WINDOW, 0, 1, u32::MAX, &[]),
                frame(WINDOW, 0, 1, u32::MAX, &[]),
            ],
        ),
        (
            "031: more data than the window in the first frame",
            true,
            vec![data(SYN, 1, &vec![0; 300_000])],
        ),
        (
            "032: an opening credit near 2^32",
            true,
            vec![frame(WINDOW, SYN, 1, u32::MAX - 10, &[])],
        ),
        (
            "034: a length without its body",
            true,
            vec![frame(DATA, SYN, 1, u32::MAX, &[])],
        ),
        (
            "035: a thousand streams at once",
            false,
            many(1000, &|n| frame(WINDOW, SYN, 2 * n + 1, 0, &[])),
        ),
        (
            "036: open and reset, again and again",
            true,
            many(5000, &|n| {
                [
                    frame(WINDOW, SYN, 2 * n + 1, 0, &[]),
                    frame(WINDOW, RST, 2 * n + 1, 0, &[]),
                ]
                .concat()
            }),
        ),
        (
            "037: empty frames",
            true,
            many(20_000, &|_| frame(DATA, 0, 1, 0, &[])),
        ),
        (
            "039: version 1",
            true,
            vec![vec![1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]],
        ),
        ("039: an unknown type", true, vec![frame(9, 0, 1, 0, &[])]),
        ("039: data on stream 0", true, vec![data(SYN, 0, &[1])]),
        ("039: an id of ours", true, vec![data(SYN, 2, &[1])]),
        ("039: an id again", true, vec![syn(1), syn(1)]),
        (
            "040: ten thousand pings",
            true,
            many(10_000, &|n| frame(PING, SYN, 0, n, &[])),
        ),
        (
            "040: an answer to no ping",
            false,
            vec![frame(PING, ACK, 0, 77, &[])],
        ),
        (
            "044: go-away, then more",
            false,
            vec![syn(1), frame(GO_AWAY, 0, 0, 0, &[]), syn(3)],
        ),
        (
            "044: data behind the end",
            false,
            vec![data(SYN | FIN, 1, &[1]), data(0, 1, &[2])],
        ),
        (
            "044: a reset of nothing",
            false,
            vec![frame(WINDOW, RST, 99, 0, &[])],
        ),
        (
            "random bytes",
            true,
            vec![(0..400_u32).map(|n| (n * n % 251) as u8).collect()],
        ),
    ]
}

#[test]
fn a_peer_that_breaks_yamux_in_any_way_harms_itself_alone() {
    // covers: SIM-023
    // Which error each deviation is has its test beside yamux (vul_030 to vul_048); here the whole node lives on.
    let mut wrong = Vec::new();
    for (name, must_close, script) in yamux_scripts() {
        let mut sim = build(Scenario::new(2).link(apart(millis(20))).with_lines(), 1);
        let actor = sim.add_actor(Raw::new(0, 9, script)).unwrap();
        assert!(sim.dial(0, 1));
        // Later it is closed in any case: the peer answers no ping.
        sim.run_for(seconds(3)).unwrap();
        let told = |what: &str| {
            sim.lines()
                .iter()
                .any(|line| line.host == actor && line.what == what)
        };
        assert!(told("authenticated"), "{name}");
        if must_close != told("closed") {
            wrong.push(name);
        }
        sim.run_for(seconds(22)).unwrap();
        lives_on(&mut sim, name);
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The honest pair still works, and everything can be closed.
fn lives_on(sim: &mut Sim<Tester>, name: &str) {
    ask(sim, 0, 1, 1, 10);
    send(sim, 1, 0, 20_000);
    sim.run_for(seconds(20)).unwrap();
    assert!(sim.app(0).unwrap().answers[0].result.is_ok(), "{name}");
    assert!(sim.app(1).unwrap().outcomes[0].result.is_ok(), "{name}");
    let app = sim.app(1).unwrap();
    assert!(app.pongs >= 1 && app.failures == 0, "{name}");
    sim.wind_down(seconds(20)).unwrap();
}

#[test]
fn a_peer_that_breaks_the_negotiation_in_any_way_is_refused_and_harms_nobody() {
    // covers: SIM-024
    let line = |text: &[u8]| {
        let mut line = vec![u8::try_from(text.len() + 1).unwrap()];
        line.extend_from_slice(text);
        line.push(b'\n');
        line
    };
    let scripts: Vec<(&str, Vec<u8>)> = vec![
        ("nothing but zeros", vec![0; 64]),
        ("a length of 2^63", [HEADER, &[0xff; 8][..], &[0x7f]].concat()),
        (
            "a length that is not minimal",
            [HEADER, &[0x87, 0x00], b"/noise\n"].concat(),
        ),
        (
            "a line of 16 KiB",
            [HEADER, &[0x80, 0x80, 0x01][..], &[b'a'; 16_384]].concat(),
        ),
        ("another header", line(b"/multistream/2.0.0")),
        ("no line feed", [HEADER, b"\x07/noise_"].concat()),
        (
            "a listing asked for",
            [HEADER, &line(b"ls")[..]].concat().repeat(3),
        ),
        ("a refusal of nothing", [HEADER, &line(b"na")[..]].concat()),
        (
            "a thousand proposals",
            [HEADER, &line(b"/unknown/1.0.0").repeat(1000)].concat(),
        ),
        ("plaintext", [HEADER, &line(b"/plaintext/2.0.0")[..]].concat()),
        (
            "text that is not UTF-8",
            [HEADER, &line(&[0xff, 0xfe, 0xfd])[..]].concat(),
        ),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".to_vec()),
    ];
    for (name, says) in scripts {
        let mut sim = build(Scenario::new(2).link(apart(millis(20))).with_lines(), 1);
        let actor = sim
            .add_actor(Stalls {
                target: 0,
                at: Duration::ZERO,
                says,
                ended: false,
            })
            .unwrap();
        assert!(sim.dial(0, 1));
        sim.run_for(seconds(20)).unwrap();
        let closed = sim
            .lines()
            .iter()
            .any(|line| line.host == actor && line.what == "closed");
        assert!(closed, "{name}");
        let failed = sim.app(0).unwrap().events.iter();
        let failed = failed
            .filter(|event| matches!(event, Event::IncomingFailed { .. }))
            .count();
        assert_eq!(failed, 1, "{name}");
        lives_on(&mut sim, name);
    }
}

/// What a man in the middle does to one message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Nothing,
    Drop,
    Twice,
    Flip(usize),
    Inject,
    Swap,
    Replay,
}

/// Answers in the place of `behind`, dials it, and passes on what either says, but for one message.
struct Middle {
    behind: usize,
    deed: Deed,
    /// Which message of which direction.
    at: usize,
    towards: usize,
    near: Option<ActorLink>,
    far: Option<ActorLink>,
    waiting: Vec<Vec<u8>>,
    seen: [Vec<Vec<u8>>; 2],
    swapped: Option<Vec<u8>>,
}

impl Middle {
    fn pass(&mut self, cx: &mut Stage<'_>, towards: usize, bytes: &[u8]) {
        let link = if towards == 1 { self.far } else { self.near };
        let Some(link) = link else {
            self.waiting.push(bytes.to_vec());
            return;
        };
        let number = self.seen[towards].len();
        self.seen[towards].push(bytes.to_vec());
        if let Some(late) = self.swapped.take_if(|_| towards == self.towards) {
            cx.write(link, bytes);
            cx.write(link, late);
            return;
        }
        if towards != self.towards || number != self.at {
            cx.write(link, bytes);
            return;
        }
        let negotiates = bytes.starts_with(&HEADER[..5]) || bytes.starts_with(&NOISE[..5]);
        cx.note(if negotiates {
            "deed on the negotiation"
        } else {
            "deed"
        });
        match self.deed {
            Deed::Nothing => cx.write(link, bytes),
            Deed::Drop => {}
            Deed::Twice => cx.write(link, [bytes, bytes].concat()),
            Deed::Flip(place) => {
                let mut bytes = bytes.to_vec();
                let place = place % bytes.len();
                bytes[place] ^= 0x40;
                cx.write(link, bytes);
            }
            Deed::Inject => cx.write(link, [&[0, 20][..], &[9; 20], bytes].concat()),
            Deed::Swap => self.swapped = Some(bytes.to_vec()),
            Deed::Replay => {
                let first = self.seen[towards][0].clone();
                cx.write(link, first);
            }
        }
    }
}

impl Actor for Middle {
    fn handle(&mut self, cx: &mut Stage<'_>, heard: Heard<'_>) {
        match heard {
            Heard::Opened {
                link, dialed: false, ..
            } => {
                self.near = Some(link);
                cx.dial(self.behind);
            }
            Heard::Opened { link, .. } => {
                self.far = Some(link);
                for bytes in std::mem::take(&mut self.waiting) {
                    self.pass(cx, 1, &bytes);
                }
            }
            Heard::Bytes { link, bytes } => {
                let towards = usize::from(Some(link) == self.near);
                self.pass(cx, towards, bytes);
            }
            Heard::Ended { link } | Heard::Broken { link } => {
                let other = if Some(link) == self.near {
                    self.far
                } else {
                    self.near
                };
                if let Some(other) = other {
                    cx.end(other);
                }
            }
            _ => {}
        }
    }
}

/// The peers that either host was told to be connected to.
fn believed(sim: &Sim<Tester>, host: usize) -> Vec<PeerId> {
    let events = sim.app(host).unwrap().events.iter();
    events
        .filter_map(|event| match event {
            Event::Connected { peer, .. } => Some(*peer),
            _ => None,
        })
        .collect()
}

#[test]
fn a_man_in_the_middle_never_passes_for_anybody() {
    // covers: SIM-025
    let deeds = [
        Deed::Nothing,
        Deed::Drop,
        Deed::Twice,
        Deed::Flip(1),
        Deed::Flip(17),
        Deed::Flip(60),
        Deed::Inject,
        Deed::Swap,
        Deed::Replay,
    ];
    let mut deeds_done = 0;
    for deed in deeds {
        for towards in [0, 1] {
            for at in 0..6 {
                let what = format!("{deed:?} of message {at} towards {towards}");
                let mut sim = build(Scenario::new(2).link(apart(millis(20))).with_lines(), 1);
                let middle = sim
                    .add_actor(Middle {
                        behind: 1,
                        deed,
                        at,
                        towards,
                        near: None,
                        far: None,
                        waiting: Vec::new(),
                        seen: [Vec::new(), Vec::new()],
                        swapped: None,
                    })
                    .unwrap();
                let peers = [sim.peer(0).unwrap(), sim.peer(1).unwrap()];
                let dial = Dial {
                    addrs: vec![sim.address_of(middle).unwrap()],
                    ..Dial::peer(peers[1])
                };
                sim.command(0, |_, swarm, now| swarm.dial(now, dial).is_ok())
                    .unwrap();
                sim.run_for(seconds(2)).unwrap();
                if connected(&sim, 0, 1) {
                    send(&mut sim, 0, 1, 5_000);
                }
                sim.run_for(seconds(90)).unwrap();
                assert!(believed(&sim, 0).iter().all(|peer| *peer == peers[1]), "{what}");
                assert!(believed(&sim, 1).iter().all(|peer| *peer == peers[0]), "{what}");
                let did = sim.lines().iter().any(|line| line.what == "deed");
                let stands = connected(&sim, 0, 1) || connected(&sim, 1, 0);
                // The negotiation is nobody's secret, and not authenticated: it fails, or it does not matter.
                let untouched = !sim.lines().iter().any(|line| line.what.starts_with("deed"));
                if deed == Deed::Nothing || untouched {
                    assert!(stands, "{what}");
                } else if did {
                    assert!(!stands, "{what}");
                }
                deeds_done += u32::from(did && deed != Deed::Nothing);
                sim.wind_down(seconds(60)).unwrap();
            }
        }
    }
    assert!(deeds_done >= 40, "{deeds_done}");
}
