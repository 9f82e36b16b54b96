//! Whoever names a victim, as an address of its own or as somebody to be connected to, gets no more sent there than it sends itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Component, ConnectionId, Deadline, Instant, Multiaddr, PeerId, ProtocolName, Rng};
use libp2p_proto_dcutr::{Config, Dcutr, HolePunch, NAME};
use libp2p_proto_identify::{self as identify, Identify};
use libp2p_proto_relay::Relay;
use libp2p_proto_simulator::{App, Birth, Error, Lent, Scenario, Sim, Step};
use libp2p_proto_stream_protocol::{Context, Dial, Framing, Input, Protocol, StreamSpec, Target};
use std::time::Duration;
use support::{
    apart, millis,
    punch::{RELAY, error, relay},
    seconds,
};

const HONEST: usize = 1;
const LIAR: usize = 2;
const VICTIMS: core::ops::Range<usize> = 3..7;

/// Claims the addresses of others in identify, and names them again and again for a hole punch.
struct Liar {
    specs: [StreamSpec; 3],
    named: Vec<Multiaddr>,
    /// Its identify message.
    claim: Vec<u8>,
    /// Exchanges that it will still begin, and the time between two of them.
    punches: u32,
    gap: Duration,
    next: Option<(Instant, ConnectionId)>,
    pushes: u32,
}

impl Liar {
    fn new() -> Self {
        let spec = |name, framing| StreamSpec {
            on_limited: true,
            max_outbound: 1000,
            send_capacity: 1 << 20,
            ..StreamSpec::new(name, framing)
        };
        let framing = Framing::LengthDelimited { max: 4096 };
        let identify = |name| {
            spec(
                ProtocolName::from_static(name),
                Framing::LengthDelimited { max: 8192 },
            )
        };
        Self {
            specs: [
                spec(NAME, framing),
                identify("/ipfs/id/1.0.0"),
                identify("/ipfs/id/push/1.0.0"),
            ],
            named: Vec::new(),
            claim: Vec::new(),
            punches: 0,
            gap: Duration::ZERO,
            next: None,
            pushes: 0,
        }
    }

    /// One exchange of a hole punch.
    fn offer(&mut self, cx: &mut Context<'_>, target: Target) {
        if let Some(left) = self.punches.checked_sub(1) {
            self.punches = left;
            let _too_many = cx.open(target, &[0]);
        }
    }
}

impl Protocol for Liar {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Opened { stream, spec: 0, .. } if !stream.is_inbound() => {
                let connect = HolePunch::Connect {
                    addrs: self.named.clone(),
                };
                let _refused = cx.write(stream, connect.encode());
            }
            Input::Opened { stream, .. } => {
                let _refused = cx.write(stream, self.claim.clone());
                cx.finish(stream);
            }
            Input::Frame { stream, .. } => {
                let _refused = cx.write(stream, HolePunch::Sync.encode());
                cx.finish(stream);
            }
            Input::Connected { conn, info, .. } => {
                if info.remote.is_relayed() {
                    self.offer(cx, Target::Connection(conn));
                }
                for _ in 0..self.pushes {
                    let _too_many = cx.open(Target::Connection(conn), &[2]);
                }
            }
            // And once more.
            Input::Closed { stream, .. } if !stream.is_inbound() => {
                self.next = Some((cx.now + self.gap, stream.conn));
            }
            Input::Timeout => {
                if let Some((_, conn)) = self.next.take_if(|(at, _)| *at <= cx.now) {
                    self.offer(cx, Target::Connection(conn));
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.next.map(|(at, _)| Deadline::new(at, "offer"))
    }
}

/// Everybody is a client of relays; the first is the relay. All but the liar identify and punch by the book.
struct Node {
    relay: Relay,
    identify: Option<Identify>,
    dcutr: Option<Dcutr>,
    liar: Option<Liar>,
    key: bytes::Bytes,
}

impl Node {
    fn new(birth: &Birth<'_>) -> Result<Self, Error> {
        let lies = birth.place == LIAR;
        let honest = |make: fn(&Birth<'_>) -> Result<Identify, Error>| Some(make(birth)).filter(|_| !lies);
        let identify =
            honest(|birth| Identify::new(birth.identity.clone(), identify::Config::default()).map_err(error));
        Ok(Self {
            relay: relay(birth)?,
            identify: identify.transpose()?,
            dcutr: if lies {
                None
            } else {
                Some(Dcutr::new(Config::default()).map_err(error)?)
            },
            liar: lies.then(Liar::new),
            key: birth.identity.public_key().encode().to_vec().into(),
        })
    }
}

impl App for Node {
    fn protocols(&mut self) -> Lent<'_> {
        let mut all = Lent::new();
        all.push(&mut self.relay);
        if let Some(identify) = &mut self.identify {
            all.push(identify);
        }
        if let Some(dcutr) = &mut self.dcutr {
            all.push(dcutr);
        }
        if let Some(liar) = &mut self.liar {
            all.push(liar);
        }
        all
    }

    fn step(&mut self, _: &mut Step<'_>) {
        while self.relay.poll_event().is_some() {}
        if let Some(identify) = &mut self.identify {
            while identify.poll_event().is_some() {}
        }
        if let Some(dcutr) = &mut self.dcutr {
            while dcutr.poll_event().is_some() {}
        }
    }
}

/// The liar holds a slot at the relay, and names what `lie` sets.
fn world(lie: impl Fn(&mut Liar, &[Multiaddr]) + Send + 'static) -> Sim<Node> {
    let scenario = Scenario::new(VICTIMS.end).link(apart(millis(20)));
    let mut sim = Sim::new(scenario, 1, |birth| Node::new(&birth)).unwrap();
    let victims: Vec<_> = VICTIMS.map(|place| sim.address_of(place).unwrap()).collect();
    let (relay, addr) = (sim.peer(RELAY).unwrap(), sim.address_of(RELAY).unwrap());
    for host in [HONEST, LIAR] {
        let addr = addr.clone();
        sim.command(host, |app, _, _| app.relay.reserve(relay, vec![addr]));
    }
    sim.command(LIAR, move |app, _, _| lie(app.liar.as_mut().unwrap(), &victims));
    sim.run_for(seconds(2)).unwrap();
    sim
}

/// One host dials another through the relay.
fn call(sim: &mut Sim<Node>, from: usize, to: usize) {
    let relay = sim.peer(RELAY).unwrap();
    let addr = sim.address_of(RELAY).unwrap().with_peer_id(relay).unwrap();
    let dial = Dial {
        addrs: vec![addr.with(Component::P2pCircuit).unwrap()],
        only: true,
        ..Dial::peer(sim.peer(to).unwrap())
    };
    let begun = sim.command(from, |_, swarm, now| swarm.dial(now, dial).is_ok());
    assert_eq!(begun, Some(true));
}

/// Links that came to a victim and were none.
fn knocks(sim: &Sim<Node>, victim: usize) -> u64 {
    sim.swarm(victim).unwrap().stats().incoming_failed
}

/// Bytes that have arrived over the links to the relay, anywhere at all, and from the liar. What a circuit carries is in what its links carry.
fn meter(sim: &Sim<Node>) -> [u64; 3] {
    let relay = sim.peer(RELAY).unwrap();
    let links = |host: usize| {
        let swarm = sim.swarm(host).unwrap();
        let [conn] = swarm.connections(relay)[..] else {
            panic!("one link to the relay")
        };
        swarm.traffic(conn).unwrap()
    };
    let known = [HONEST, LIAR].map(|host| links(host).bytes_in + links(host).bytes_out);
    [known.into_iter().sum(), sim.stats().bytes, links(LIAR).bytes_out]
}

/// Bytes that went over no link of the liar, the relay and the honest host, in both directions, and what the liar has sent, while it names so many victims.
fn punches_at(victims: usize) -> [u64; 2] {
    // As often as it is answered, for as long as the circuit lasts.
    let mut sim = world(move |liar, all| {
        liar.named = all[..victims].to_vec();
        liar.punches = 6;
        liar.gap = seconds(19);
    });
    let before = meter(&sim);
    call(&mut sim, HONEST, LIAR);
    sim.run_for(seconds(110)).unwrap();
    let after = meter(&sim);
    let [known, all, paid] = [0, 1, 2].map(|place| after[place] - before[place]);
    let knocks: Vec<_> = VICTIMS.map(|victim| knocks(&sim, victim)).collect();
    println!(
        "{} bytes elsewhere for {paid} of the liar, {knocks:?} links",
        all - known
    );
    assert!(
        knocks[..victims].iter().all(|links| (1..=6).contains(links)),
        "{knocks:?}"
    );
    assert!(knocks[victims..].iter().all(|links| *links == 0), "{knocks:?}");
    [all - known, paid]
}

#[test]
fn a_hole_punch_sends_victims_little_more_than_the_one_who_names_them_has_sent() {
    let [nobody, _] = punches_at(0);
    let [one, paid] = punches_at(1);
    assert!(one - nobody <= paid, "{one} {nobody} {paid}");
    let [four, paid] = punches_at(4);
    assert!(four - nobody <= 3 * paid, "{four} {nobody} {paid}");
}

/// What the liar says of itself: that it is where the victims are, in private networks, and at so many other places.
fn claim(key: bytes::Bytes, victims: &[Multiaddr], others: u16) -> Vec<u8> {
    let stranger = PeerId::random(&mut Rng::from_seed([5; 32]));
    let as_another = victims.iter().map(|addr| addr.with_peer_id(stranger).unwrap());
    let mut addrs: Vec<Multiaddr> = victims.iter().cloned().chain(as_another).collect();
    addrs.extend(
        [
            "/ip4/10.0.0.1/tcp/80",
            "/ip4/127.0.0.1/tcp/80",
            "/ip4/192.168.1.1/tcp/80",
        ]
        .map(|text| text.parse().unwrap()),
    );
    addrs.extend((0..others).map(|port| Multiaddr::tcp([203, 0, 113, 7].into(), 1000 + port)));
    let protocols = [NAME].into_iter().collect();
    let message = identify::Message {
        public_key: Some(key),
        listen_addrs: addrs,
        protocols,
        ..identify::Message::default()
    };
    message.encode()
}

// covers: SIM-034
#[test]
fn whoever_claims_to_be_where_others_are_gets_each_of_them_dialed_three_times_a_minute_at_most() {
    for others in [0, 400] {
        let mut sim = world(|_, _| {});
        let victims: Vec<_> = VICTIMS.map(|place| sim.address_of(place).unwrap()).collect();
        sim.command(LIAR, move |app, _, _| {
            let liar = app.liar.as_mut().unwrap();
            let key = app.key.clone();
            liar.claim = claim(key, &victims, others);
            liar.named = victims;
            liar.punches = u32::MAX;
            liar.pushes = 20;
        });
        let mut most = 0;
        for minute in 0..3 {
            let before: Vec<_> = VICTIMS.map(|victim| knocks(&sim, victim)).collect();
            // Both ways, and again as soon as the last connection is gone.
            for round in 0..12 {
                let (from, to) = if round % 2 == 0 {
                    (LIAR, HONEST)
                } else {
                    (HONEST, LIAR)
                };
                let peer = sim.peer(HONEST).unwrap();
                sim.command(LIAR, move |_, swarm, _| {
                    for conn in swarm.connections(peer) {
                        swarm.disconnect(conn);
                    }
                });
                sim.run_for(seconds(1)).unwrap();
                call(&mut sim, from, to);
                sim.run_for(seconds(4)).unwrap();
            }
            for (victim, before) in VICTIMS.zip(before) {
                let dialed = knocks(&sim, victim) - before;
                println!("minute {minute}, victim {victim}: {dialed}");
                most = dialed.max(most);
            }
        }
        assert!((1..=3).contains(&most), "{most} dials of one victim in a minute");
    }
}
