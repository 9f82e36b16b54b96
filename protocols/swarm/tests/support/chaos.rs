//! A swarm between hostile connections and wilful protocols: every byte of an input is a step. The tests run it on random inputs, the fuzzer on its own.
//!
//! After each step: the swarm's counts equal a recount, its queues are within their limits, and everything was told in order, once, about ids that
//! were never used before. At the end everything is closed, and nothing is left.

use core::time::Duration;
use libp2p_proto_core::{
    ConnectionId, Deadline, DialId, Fault, Instant, Multiaddr, PeerId, ProtocolName, StreamId, UnixTime,
};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{
    AttemptError, Closed, Context, Dial, Fact, Framing, FromConnection, Input, LinkError, Protocol, SpecId,
    StreamSpec, Target, Traffic,
};
use libp2p_proto_swarm::{Action, Config, Event, Record, ResolveId, Source, StreamLimit, Swarm, Trim};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Reads choices out of an input; zeros behind its end.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }
}

/// A protocol that checks the order of what it is told, and does what it is told to wish.
struct Wilful {
    specs: Vec<StreamSpec>,
    wishes: VecDeque<(u8, u8)>,
    conns: BTreeMap<ConnectionId, PeerId>,
    streams: BTreeMap<StreamId, Told>,
    seen_conns: BTreeSet<ConnectionId>,
    seen_streams: BTreeSet<StreamId>,
    failed_dials: BTreeSet<DialId>,
    trace: Vec<String>,
}

/// What a protocol knows of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Asked,
    Opened,
    Finished,
}

impl Wilful {
    fn new(names: [&'static str; 2]) -> Self {
        let mut specs: Vec<_> = names
            .into_iter()
            .map(|name| StreamSpec::new(ProtocolName::from_static(name), Framing::Raw))
            .collect();
        specs[0].keeps_alive = false;
        specs[0].lazy = true;
        specs[0].send_capacity = 64;
        specs[1].max_outbound = 2;
        Self {
            specs,
            wishes: VecDeque::new(),
            conns: BTreeMap::new(),
            streams: BTreeMap::new(),
            seen_conns: BTreeSet::new(),
            seen_streams: BTreeSet::new(),
            failed_dials: BTreeSet::new(),
            trace: Vec::new(),
        }
    }

    /// The order law.
    fn check(&mut self, input: &Input) {
        match input {
            Input::Connected {
                peer, conn, first, ..
            } => {
                assert!(self.seen_conns.insert(*conn), "{conn:?} is used again");
                let alone = !self.conns.values().any(|known| known == peer);
                assert_eq!(*first, alone, "first");
                self.conns.insert(*conn, *peer);
            }
            Input::Disconnected { peer, conn, last } => {
                assert_eq!(
                    self.conns.remove(conn),
                    Some(*peer),
                    "not connected, or twice gone"
                );
                let alone = !self.conns.values().any(|known| known == peer);
                assert_eq!(*last, alone, "last");
                let open = self.streams.keys().any(|stream| stream.conn == *conn);
                assert!(!open, "a stream outlives {conn:?}");
            }
            Input::Opened { stream, peer, .. } => {
                assert_eq!(self.conns.get(&stream.conn), Some(peer), "opened on nothing");
                let before = self.streams.insert(*stream, Told::Opened);
                if stream.is_inbound() {
                    assert!(self.seen_streams.insert(*stream), "{stream:?} is used again");
                } else {
                    assert_eq!(before, Some(Told::Asked), "{stream:?} was not asked for");
                }
            }
            Input::Frame { stream, .. } => {
                assert_eq!(
                    self.streams.get(stream),
                    Some(&Told::Opened),
                    "a frame of {stream:?}"
                );
            }
            Input::Finished { stream } => {
                let before = self.streams.insert(*stream, Told::Finished);
                assert_eq!(before, Some(Told::Opened), "{stream:?} finishes");
            }
            Input::Writable { stream } | Input::Flushed { stream, .. } => {
                assert!(self.streams.contains_key(stream), "{stream:?} is gone");
            }
            Input::Closed { stream, .. } => {
                assert!(
                    self.streams.remove(stream).is_some(),
                    "{stream:?} is gone already"
                );
            }
            Input::DialFailed { dial, .. } => {
                assert!(self.failed_dials.insert(*dial), "{dial:?} fails twice");
            }
            _ => {}
        }
    }

    fn stream(&self, place: u8) -> Option<StreamId> {
        let count = self.streams.len().max(1);
        self.streams.keys().nth(usize::from(place) % count).copied()
    }

    fn act(&mut self, cx: &mut Context<'_>, wish: u8, place: u8) {
        let spec = place % 3;
        let stream = self.stream(place);
        match (wish % 12, stream) {
            (0 | 1, _) => {
                if let Ok(stream) = cx.open(Target::Peer(peer(place % 4)), &[spec]) {
                    self.asked(stream);
                }
            }
            (2, _) => {
                if let Ok(stream) = cx.open(Target::Connection(ConnectionId::new(place.into())), &[1, 0]) {
                    self.asked(stream);
                }
            }
            (3 | 4, Some(stream)) => {
                let _may_be_blocked = cx.write(stream, vec![0; usize::from(place)]);
            }
            (5, Some(stream)) => cx.reset(stream),
            (6, Some(stream)) => cx.finish(stream),
            (7, Some(stream)) if place % 2 == 0 => cx.pause(stream),
            (7, Some(stream)) => cx.resume(stream),
            (8, _) => {
                let _unknown = cx.set_inbound(spec, u16::from(place % 2));
            }
            (9, _) => {
                let addr = address(place);
                let observed = Fact::ObservedAddress {
                    addr: addr.clone(),
                    by: peer(place % 4),
                    from: addr,
                };
                let _full = cx.tell(observed);
            }
            (10, _) => {
                let _refused = cx.dial(dial(place));
            }
            (11, _) => cx.disconnect(ConnectionId::new(place.into())),
            _ => {}
        }
    }

    fn asked(&mut self, stream: StreamId) {
        assert!(self.conns.contains_key(&stream.conn), "opened on nothing");
        assert!(self.seen_streams.insert(stream), "{stream:?} is used again");
        self.streams.insert(stream, Told::Asked);
    }
}

impl Protocol for Wilful {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        self.trace.push(format!("{input:?}"));
        self.check(&input);
        if let Some((wish, place)) = self.wishes.pop_front() {
            self.act(cx, wish, place);
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        (!self.wishes.is_empty()).then(|| Deadline::now("wish"))
    }
}

fn peer(number: u8) -> PeerId {
    let mut key = [number; 36];
    key[..4].copy_from_slice(&[8, 1, 0x12, 0x20]);
    PeerId::from_encoded_key(&key)
}

fn address(number: u8) -> Multiaddr {
    let text = match number % 5 {
        0 => format!("/ip4/192.0.2.{}/tcp/{number}", number % 3),
        1 => format!("/ip4/10.0.{}.1/tcp/4001", number % 16),
        2 => format!("/ip6/2001:db8:{number:x}::1/tcp/4001"),
        3 => format!("/dns4/host{number}.example/tcp/1"),
        _ => format!("/ip4/198.51.100.{number}/tcp/1"),
    };
    text.parse().unwrap()
}

fn dial(number: u8) -> Dial {
    let mut dial = Dial::peer(peer(number % 4));
    if number & 16 == 0 {
        dial.addrs = (0..number % 5)
            .map(|step| address(number.wrapping_mul(7).wrapping_add(step)))
            .collect();
    }
    if number & 32 == 0 {
        dial.peer = None;
    }
    dial.force = number & 64 == 0;
    dial.only = number & 128 == 0;
    dial
}

fn config() -> Config {
    let few = StreamLimit {
        inbound: 6,
        outbound: 6,
        total: 10,
    };
    let mut config = Config {
        max_connections: 6,
        max_inbound: 5,
        max_pending_inbound: 6,
        max_pending_per_ip: 3,
        max_pending_outbound: 5,
        accepts_per_second: 20,
        max_rated_ips: 4,
        max_dials: 4,
        max_events: 6,
        max_facts: 5,
        max_news: 64,
        max_news_per_connection: 32,
        max_tagged: 2,
        black_hole_window: 4,
        black_hole_successes: 1,
        trim: Some(Trim {
            high: 5,
            low: 3,
            grace: Duration::from_secs(1),
            every: Duration::from_secs(2),
        }),
        ..Config::default()
    };
    config.book.max_peers = 3;
    config.scopes.peer = few;
    config.scopes.protocol = few;
    config
}

/// The swarm, its protocols, and everything that happened.
struct World {
    swarm: Swarm,
    protocols: [Wilful; 2],
    now: Instant,
    /// The latest time that was said; `now` runs back at times.
    latest: Instant,
    dialed: Vec<ConnectionId>,
    questions: Vec<ResolveId>,
    conns: Vec<ConnectionId>,
    /// Streams that each remote has opened: a connection never uses an id again, whatever its remote does.
    opened: BTreeMap<ConnectionId, u64>,
    trace: Vec<String>,
}

impl World {
    fn new(start: Instant) -> Self {
        let mut protocols = [Wilful::new(["/a/0", "/a/1"]), Wilful::new(["/b/0", "/b/1"])];
        let [a, b] = &mut protocols;
        let identity = Identity::from(Keypair::ed25519_from_seed([9; 32]));
        Self {
            swarm: Swarm::new(identity, config(), [3; 32], &mut [a, b]).unwrap(),
            protocols,
            now: start,
            latest: start,
            dialed: Vec::new(),
            questions: Vec::new(),
            conns: Vec::new(),
            opened: BTreeMap::new(),
            trace: Vec::new(),
        }
    }

    fn drive(&mut self, budget: usize) -> bool {
        let [a, b] = &mut self.protocols;
        let unix = UnixTime::from_secs(1_700_000_000);
        let more = self.swarm.drive(self.now, unix, &mut [a, b], budget);
        while let Some(action) = self.swarm.poll_action() {
            self.trace.push(format!("{action:?}"));
            match action {
                Action::Dial { conn, .. } => {
                    assert!(!self.conns.contains(&conn), "{conn:?} is used again");
                    self.dialed.push(conn);
                    self.conns.push(conn);
                }
                Action::Resolve { query, .. } => {
                    assert!(!self.questions.contains(&query), "{query:?} is used again");
                    self.questions.push(query);
                }
                _ => {}
            }
        }
        if let Err(wrong) = self.swarm.audit() {
            panic!("{wrong}");
        }
        more
    }

    fn read_events(&mut self, most: usize) {
        for _ in 0..most {
            let Some(event) = self.swarm.poll_event() else {
                return;
            };
            if let Event::Connected { conn, .. } = &event {
                assert!(self.conns.contains(conn), "{conn:?} came out of nothing");
            }
            self.trace.push(format!("{event:?}"));
        }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.byte();
        let place = choices.byte();
        match kind % 16 {
            0 | 1 => {
                if let Ok(seat) = self.swarm.handle_accepted(self.now, None, address(place)) {
                    assert!(!self.conns.contains(&seat.conn), "{:?} is used again", seat.conn);
                    self.conns.push(seat.conn);
                }
            }
            2 => drop(self.swarm.dial(self.now, dial(place))),
            3 => {
                if let Some(conn) = pick(&self.dialed, place) {
                    if kind & 64 == 0 {
                        let _unwanted = self.swarm.handle_dialed(self.now, conn, None, address(place));
                    } else {
                        let error = AttemptError::Transport("refused");
                        self.swarm.handle_dial_failed(self.now, conn, error);
                    }
                }
            }
            4 => {
                if let Some(query) = pick(&self.questions, place) {
                    let answer = match kind / 16 % 3 {
                        0 => Ok(vec![Record::Ip([192, 0, 2, place].into())]),
                        1 => Ok(vec![Record::Txt(format!("dnsaddr={}", address(place)))]),
                        _ => Err("no-name"),
                    };
                    self.swarm.handle_resolved(self.now, query, answer);
                }
            }
            5..=9 => {
                let conn = match kind {
                    240.. => Some(ConnectionId::new(u64::MAX - u64::from(place))),
                    _ => pick(&self.conns, place),
                };
                if let Some(conn) = conn {
                    let opened = self.opened.entry(conn).or_default();
                    let message = report(conn, opened, choices);
                    self.swarm.handle_message(self.now, conn, message);
                }
            }
            10 | 11 => {
                let wish = (choices.byte(), place);
                self.protocols[usize::from(kind / 16 % 2)].wishes.push_back(wish);
            }
            12 => {
                // 0 to 16 s, or back by as much.
                let step = Duration::from_millis(u64::from(place) * 64);
                self.now = if kind & 128 == 0 {
                    self.now + step
                } else {
                    self.now - step
                };
                self.latest = self.latest.max(self.now);
            }
            13 => self.read_events(usize::from(place % 8)),
            14 => {
                let (who, on) = (peer(place % 4), kind & 16 == 0);
                match kind / 32 % 4 {
                    0 => self.swarm.protect(who, on),
                    1 => drop(self.swarm.tag(who, "tag", i32::from(place) - 100)),
                    2 => self.swarm.handle_listening(self.now, address(place % 8), on),
                    _ => self
                        .swarm
                        .book_mut()
                        .add(self.now, who, address(place), Source::Heard),
                }
            }
            _ => match pick(&self.conns, place) {
                Some(conn) if kind & 128 == 0 => self.swarm.disconnect(conn),
                _ => self.swarm.cancel_dial(DialId::new(place.into())),
            },
        }
        self.drive(1 + choices.below(8));
    }

    /// Everything ends: nothing may be left.
    fn end(&mut self) {
        for protocol in &mut self.protocols {
            protocol.wishes.clear();
        }
        self.now = self.latest;
        self.swarm.close(self.now);
        for _ in 0..64 {
            self.now = self.now + Duration::from_secs(1);
            let mut drives = 0;
            while self.drive(64) {
                drives += 1;
                assert!(drives < 10_000, "the drive has no end");
            }
            self.read_events(usize::MAX);
        }
        assert!(self.swarm.is_idle(), "a connection is left");
        let stats = self.swarm.stats();
        let left = [
            stats.established,
            stats.closing,
            stats.streams,
            stats.dials,
            stats.news,
        ];
        assert_eq!(left, [0; 5]);
        for protocol in &self.protocols {
            assert!(protocol.conns.is_empty() && protocol.streams.is_empty());
        }
    }
}

fn pick<T: Copy>(among: &[T], place: u8) -> Option<T> {
    // The newest ones are those that something can happen to.
    let count = among.len().clamp(1, 8);
    among.iter().rev().nth(usize::from(place) % count).copied()
}

/// What a connection that keeps hardly a rule could say.
fn report(conn: ConnectionId, opened: &mut u64, choices: &mut Choices<'_>) -> FromConnection {
    let kind = choices.byte();
    let what = choices.byte();
    let other = match what {
        255 => ConnectionId::new(1),
        _ => conn,
    };
    let opens = matches!(kind % 11, 4 | 5);
    let count = match (what, kind & 128 == 0) {
        (254, _) if !opens => u64::MAX,
        // One of the newest four of theirs, or of the first four of ours.
        (_, true) => opened.saturating_sub(u64::from(what % 4)),
        (_, false) => u64::from(what % 4),
    };
    let stream = if kind & 128 == 0 {
        StreamId::theirs(other, count)
    } else {
        StreamId::ours(other, count)
    };
    match kind % 11 {
        0 | 1 => FromConnection::Authenticated { peer: peer(what % 4) },
        2 | 3 => FromConnection::Established {
            security: ProtocolName::from_static("/noise"),
            muxer: ProtocolName::from_static("/yamux/1.0.0"),
        },
        4 | 5 => FromConnection::Opened {
            stream: if stream.is_inbound() {
                *opened = opened.saturating_add(1);
                StreamId::theirs(conn, *opened)
            } else {
                stream
            },
            spec: SpecId(u16::from(what % 5)),
            name: ProtocolName::from_static("/a/0"),
        },
        6 => FromConnection::Frame {
            stream,
            data: vec![0; usize::from(what) * 300].into(),
        },
        7 if what >= 240 => FromConnection::Carried(Traffic {
            bytes_in: u64::MAX >> (what % 64),
            bytes_out: u64::from(what),
            rtt: None,
        }),
        7 => FromConnection::Sent {
            stream,
            bytes: usize::from(what),
        },
        8 if what >= 128 => FromConnection::Flushed { stream, frames: 1 },
        8 => FromConnection::Finished { stream },
        9 => FromConnection::Closed {
            stream,
            reason: Closed::Reset,
        },
        _ => FromConnection::Disconnected {
            error: (what % 2 == 0).then_some(LinkError {
                fault: Fault::Peer,
                code: "reset",
            }),
        },
    }
}

/// Runs an input as a script, and answers everything that was told, in order.
pub fn run(input: &[u8]) -> Vec<String> {
    let mut choices = Choices(input);
    let start = match choices.byte() % 3 {
        0 => Instant::ZERO,
        1 => Instant::from_millis(1000),
        _ => Instant::MAX - Duration::from_secs(3600),
    };
    let mut world = World::new(start);
    while !choices.0.is_empty() {
        world.step(&mut choices);
    }
    world.end();
    let [a, b] = world.protocols;
    [world.trace, a.trace, b.trace].concat()
}
