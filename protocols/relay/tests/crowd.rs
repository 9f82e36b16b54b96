//! A relay that serves as many as it may, what that costs, and what the next one hears.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Multiaddr, PeerId, Rng, Side, StreamId};
use libp2p_proto_relay::{HopMessage, Relay, ServerConfig, Status, StopMessage};
use libp2p_proto_stream_protocol::{
    ConnectionInfo, Context, Fact, Input, Protocol, Target,
    bench::{Bench, Puppet},
};
use support::{HOP_SPEC, addr, identity, puppet, secs};

/// Bytes that a relay holds for each slot and each circuit, as its page says.
const SLOT: usize = 1024;
const CIRCUIT: usize = 2048;

struct Crowd {
    bench: Bench,
    relay: Relay,
    clients: Vec<Puppet>,
    conns: Vec<ConnectionId>,
}

/// Whoever is asked to accept a circuit does.
fn accepting(cx: &mut Context<'_>, input: &Input) {
    if let Input::Frame { stream, .. } = input {
        if stream.is_inbound() {
            let status = Status::Ok;
            let _gone = cx.write(*stream, StopMessage::Status { status }.encode());
        }
    }
}

impl Crowd {
    /// So many clients, each from an address of its own.
    fn new(clients: usize, config: ServerConfig) -> Self {
        let own = |client: usize| [81, 0, (client / 250) as u8, (client % 250) as u8];
        Self::from(clients, config, |client| Multiaddr::tcp(own(client).into(), 4001))
    }

    /// So many clients, the first of which is 1, from where `from` says.
    fn from(clients: usize, config: ServerConfig, from: impl Fn(usize) -> Multiaddr) -> Self {
        let mut dice = Rng::from_seed([7; 32]);
        let mut peers = vec![identity(1).peer_id()];
        peers.extend((0..clients).map(|_| PeerId::random(&mut dice)));
        let mut bench = Bench::with_peers(1, &peers, Duration::from_millis(5));
        let own = addr("/ip4/198.51.100.7/tcp/4001");
        let confirmed = true;
        bench.inject(0, Input::Fact(Fact::ExternalAddress { addr: own, confirmed }));
        let info = |side, remote: Multiaddr| ConnectionInfo {
            side,
            local: None,
            remote,
            limited: false,
            dial: None,
        };
        let conns = (1..=clients).map(|client| {
            let from = from(client);
            bench.connect_as([
                (client, info(Side::Dialer, addr("/ip4/198.51.100.7/tcp/4001"))),
                (0, info(Side::Listener, from)),
            ])
        });
        let conns = conns.collect();
        let mut crowd = Self {
            bench,
            relay: Relay::new(identity(1), Some(config), None).unwrap(),
            clients: (0..clients).map(|_| puppet().reacting(accepting)).collect(),
            conns,
        };
        crowd.run(1);
        crowd
    }

    fn run(&mut self, time: u64) {
        let mut all: Vec<&mut dyn Protocol> = vec![&mut self.relay];
        all.extend(self.clients.iter_mut().map(|client| client as &mut dyn Protocol));
        self.bench.run(&mut all, secs(time));
    }

    fn open(&mut self, client: usize) -> StreamId {
        let target = Target::Connection(self.conns[client]);
        self.bench
            .with(client + 1, &self.clients[client], |cx| {
                cx.open(target, &[HOP_SPEC])
            })
            .unwrap()
    }

    /// Clients ask, each what `message` says, and hear what the relay answers.
    fn ask(
        &mut self,
        clients: std::ops::Range<usize>,
        message: impl Fn(usize) -> HopMessage,
    ) -> Vec<Option<Status>> {
        let streams: Vec<_> = clients.map(|client| (client, self.open(client))).collect();
        self.run(1);
        for (client, stream) in &streams {
            let message = message(*client).encode();
            let puppet = &self.clients[*client];
            self.bench
                .with(client + 1, puppet, |cx| cx.write(*stream, message))
                .unwrap();
        }
        self.run(1);
        let status = |(client, stream): &(usize, StreamId)| {
            let frames = self.clients[*client].frames(*stream);
            match HopMessage::decode(frames.first()?) {
                Ok(HopMessage::Status { status, .. }) => Some(status),
                _ => None,
            }
        };
        streams.iter().map(status).collect()
    }

    fn peer(&self, client: usize) -> PeerId {
        self.bench.peer(client + 1)
    }
}

/// Bytes on the heap that go with a value.
fn weight<T>(value: T) -> usize {
    let freed = allocation_counter::measure(|| drop(value)).bytes_current;
    usize::try_from(-freed).unwrap()
}

#[test]
fn ten_thousand_slots_and_a_thousand_circuits_take_what_the_page_says_and_the_next_of_each_is_refused() {
    let config = ServerConfig {
        max_reservations: 10_000,
        max_circuits: 1000,
        max_rated: 20_000,
        ..ServerConfig::default()
    };
    let mut crowd = Crowd::new(10_001, config);
    let answers = crowd.ask(0..10_000, |_| HopMessage::Reserve);
    assert!(answers.iter().all(|status| *status == Some(Status::Ok)));
    assert_eq!(crowd.relay.stats().reservations, 10_000);
    let answers = crowd.ask(10_000..10_001, |_| HopMessage::Reserve);
    assert_eq!(answers, [Some(Status::ReservationRefused)]);
    // Whoever has one renews it.
    assert_eq!(crowd.ask(0..1, |_| HopMessage::Reserve), [Some(Status::Ok)]);

    let targets: Vec<_> = (0..1001).map(|client| crowd.peer(client)).collect();
    let connect = |client: usize| HopMessage::Connect {
        peer: targets[client - 2000],
    };
    let answers = crowd.ask(2000..3000, connect);
    assert!(
        answers.iter().all(|status| *status == Some(Status::Ok)),
        "{answers:?}"
    );
    assert_eq!(crowd.relay.stats().circuits, 1000);
    let answers = crowd.ask(3000..3001, connect);
    assert_eq!(answers, [Some(Status::ResourceLimitExceeded)]);
    // Nobody keeps a slot there.
    let peer = crowd.peer(10_000);
    let answers = crowd.ask(3001..3002, |_| HopMessage::Connect { peer });
    assert_eq!(answers, [Some(Status::NoReservation)]);

    while crowd.relay.poll_event().is_some() {}
    let held = weight(crowd.relay);
    println!("{held} bytes");
    assert!(held <= 10_000 * SLOT + 1000 * CIRCUIT, "{held}");
}

/// How often each answer was given.
fn tally(answers: &[Option<Status>]) -> Vec<(Status, usize)> {
    let mut tally: Vec<(Status, usize)> = Vec::new();
    for status in answers.iter().map(|status| status.unwrap()) {
        match tally.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => tally.push((status, 1)),
        }
    }
    tally
}

// covers: RLY-034
#[test]
fn vul_135_of_a_thousand_that_ask_no_more_get_a_slot_than_the_address_the_network_and_the_relay_allow() {
    let refused = Status::ReservationRefused;
    // 200 addresses of IPv4, five peers at each: the relay has 128 slots.
    let ip4 = |client: usize| Multiaddr::tcp([81, 0, 0, (client % 200) as u8].into(), 4001);
    let mut crowd = Crowd::from(1000, ServerConfig::default(), ip4);
    let answers = crowd.ask(0..1000, |_| HopMessage::Reserve);
    assert_eq!(tally(&answers), [(Status::Ok, 128), (refused, 872)]);
    // One /48, an address for each: 32 of one network, whatever the rest of the address is.
    let ip6 = |network: u16, client: usize| {
        let ip = [0x2001, network, 0xa, 0, 0, 0, 0, client as u16];
        Multiaddr::tcp(core::net::Ipv6Addr::from(ip).into(), 4001)
    };
    let mut crowd = Crowd::from(1001, ServerConfig::default(), |client| {
        ip6(if client == 1001 { 0xdb9 } else { 0xdb8 }, client)
    });
    let answers = crowd.ask(0..1000, |_| HopMessage::Reserve);
    assert_eq!(tally(&answers), [(Status::Ok, 32), (refused, 968)]);
    let answers = crowd.ask(1000..1001, |_| HopMessage::Reserve);
    assert_eq!(tally(&answers), [(Status::Ok, 1)], "another network");
    // One address: eight get a slot, and behind 60 nobody is even looked at.
    let mut crowd = Crowd::from(1000, ServerConfig::default(), |_| {
        Multiaddr::tcp([81, 0, 0, 1].into(), 4001)
    });
    let answers = crowd.ask(0..1000, |_| HopMessage::Reserve);
    let (ok, busy) = (Status::Ok, Status::ResourceLimitExceeded);
    assert_eq!(tally(&answers), [(ok, 8), (refused, 52), (busy, 940)]);
    // One slot for each peer: who asks again has one.
    crowd.run(120);
    assert_eq!(tally(&crowd.ask(0..8, |_| HopMessage::Reserve)), [(ok, 8)]);
    assert_eq!(crowd.relay.stats().reservations, 8);
}

// covers: RLY-093
#[test]
fn ten_thousand_identities_at_a_hundred_addresses_get_eight_slots_of_each_and_their_holders_keep_them() {
    let config = ServerConfig {
        max_reservations: 10_000,
        max_rated: 20_000,
        ..ServerConfig::default()
    };
    let at = |client: usize| Multiaddr::tcp([81, 0, 0, (client % 100) as u8].into(), 4001);
    let mut crowd = Crowd::from(10_000, config, at);
    let (ok, busy) = (Status::Ok, Status::ResourceLimitExceeded);
    let answers = crowd.ask(0..10_000, |_| HopMessage::Reserve);
    let wanted = [(ok, 800), (Status::ReservationRefused, 5200), (busy, 4000)];
    assert_eq!(tally(&answers), wanted);
    // The holders are the first 800: they renew right in the crowd, whose addresses may ask no more.
    assert_eq!(tally(&crowd.ask(0..800, |_| HopMessage::Reserve)), [(ok, 800)]);
    assert!(
        crowd
            .ask(9000..9100, |_| HopMessage::Reserve)
            .iter()
            .all(|status| *status != Some(ok))
    );
    // A slot comes back with its holder's connection, and all of them when they are not renewed.
    crowd.bench.disconnect(crowd.conns[7]);
    crowd.run(60);
    assert_eq!(crowd.relay.stats().reservations, 799);
    let (same, other) = (907, 908);
    assert_eq!(
        tally(&crowd.ask(same..same + 1, |_| HopMessage::Reserve)),
        [(ok, 1)]
    );
    assert_eq!(
        tally(&crowd.ask(other..other + 1, |_| HopMessage::Reserve)),
        [(Status::ReservationRefused, 1)]
    );
    crowd.run(3700);
    assert_eq!(crowd.relay.stats().reservations, 0);
    assert_eq!(
        tally(&crowd.ask(other..other + 1, |_| HopMessage::Reserve)),
        [(ok, 1)]
    );
}
