//! Admission, dialing, streams and limits, driven by hand-made messages in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Instant, Multiaddr, PeerId, ProtocolName, UnixTime};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{
    AttemptError, Closed, Dial, DialError, DialOutcome, DialRefused, FromConnection, LinkError, ToConnection,
};
use libp2p_proto_swarm::{Action, Config, Denied, Event, Record, ResolveKind, Source, Swarm, rank};

const NOISE: ProtocolName = ProtocolName::from_static("/noise");
const YAMUX: ProtocolName = ProtocolName::from_static("/yamux/1.0.0");

fn identity(seed: u8) -> Identity {
    Identity::from(Keypair::ed25519_from_seed([seed; 32]))
}

fn peer(seed: u8) -> PeerId {
    identity(seed).peer_id()
}

fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

struct Bench {
    swarm: Swarm,
}

impl Bench {
    fn new(config: Config) -> Self {
        Self {
            swarm: Swarm::new(identity(1), config, [7; 32], &mut []).unwrap(),
        }
    }

    fn drive(&mut self, now: Instant) -> Vec<Action> {
        while self.swarm.drive(now, UnixTime::from_secs(0), &mut [], 64) {}
        core::iter::from_fn(|| self.swarm.poll_action()).collect()
    }

    fn dials(&mut self, now: Instant) -> Vec<(ConnectionId, String)> {
        let dial = |action| match action {
            Action::Dial { conn, addr } => Some((conn, addr.to_string())),
            _ => None,
        };
        self.drive(now).into_iter().filter_map(dial).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.swarm.poll_event()).collect()
    }

    fn tell(&mut self, now: Instant, conn: ConnectionId, message: FromConnection) -> Vec<Action> {
        self.swarm.handle_message(now, conn, message);
        self.drive(now)
    }

    /// An inbound connection of `peer` from `remote`, upgraded.
    fn inbound(&mut self, now: Instant, who: PeerId, remote: &str) -> ConnectionId {
        let seat = self.swarm.handle_accepted(now, None, addr(remote)).unwrap();
        self.tell(now, seat.conn, FromConnection::Authenticated { peer: who });
        self.tell(
            now,
            seat.conn,
            FromConnection::Established {
                security: NOISE,
                muxer: YAMUX,
            },
        );
        seat.conn
    }

    fn gone(&mut self, now: Instant, conn: ConnectionId) {
        self.tell(now, conn, FromConnection::Disconnected { error: None });
    }
}

fn orders(actions: &[Action], conn: ConnectionId) -> Vec<String> {
    let order = |action: &Action| match action {
        Action::Order { conn: to, message } if *to == conn => Some(format!("{message:?}")),
        _ => None,
    };
    actions.iter().filter_map(order).collect()
}

// covers: CON-038, CON-039, CON-040, CON-041, CON-042, CON-052
#[test]
fn addresses_are_ranked_as_go_ranks_them() {
    let wanted = [
        ("/ip6/2001:db8::1/udp/4001/quic-v1", 0),
        ("/ip4/192.0.2.1/udp/4001/quic-v1", 250),
        ("/ip4/192.0.2.1/udp/5001/quic-v1", 500),
        ("/ip6/2001:db8::1/tcp/4001", 750),
        ("/ip4/192.0.2.1/tcp/4001", 1000),
        ("/ip4/192.0.2.1/udp/9000/webrtc-direct", 2000),
    ];
    let mut shuffled: Vec<_> = wanted.iter().map(|(text, _)| addr(text)).collect();
    shuffled.reverse();
    let class = |_: &Multiaddr| libp2p_proto_core::AddressClass::Public;
    let ranked = rank(&shuffled, class);
    let shown: Vec<_> = ranked
        .iter()
        .map(|(addr, delay)| (addr.to_string(), delay.as_millis()))
        .collect();
    assert_eq!(shown, wanted.map(|(text, delay)| (text.to_owned(), delay)));
    assert_eq!(rank(&shuffled, class), ranked);
    assert_eq!(
        rank(&[addr("/ip4/192.0.2.1/tcp/4001")], class)[0].1,
        Duration::ZERO
    );
    let relayed = format!("/ip4/192.0.2.9/tcp/1/p2p/{}/p2p-circuit", peer(3));
    let mixed = rank(
        &[addr("/ip4/192.0.2.1/udp/4001/quic-v1"), addr(&relayed)],
        Multiaddr::class,
    );
    assert_eq!(
        mixed
            .iter()
            .map(|(_, delay)| delay.as_millis())
            .collect::<Vec<_>>(),
        [0, 500]
    );
    assert_eq!(rank(&[addr(&relayed)], Multiaddr::class)[0].1, Duration::ZERO);
}

// covers: CON-035, CON-036
#[test]
fn only_addresses_worth_a_socket_are_dialed() {
    let mut bench = Bench::new(Config::default());
    bench
        .swarm
        .handle_listening(at(0), addr("/ip4/192.0.2.7/tcp/1"), true);
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![
        addr("/ip4/0.0.0.0/tcp/1"),
        addr("/ip4/192.0.2.7/tcp/1"),
        addr("/ip6/fe80::1/tcp/1"),
        addr("/ip4/192.0.2.3/udp/1/quic-v1"),
        addr(&format!("/ip4/192.0.2.4/tcp/1/p2p/{}", peer(3))),
        addr("/ip4/192.0.2.5/tcp/1"),
        addr(&format!("/ip4/192.0.2.5/tcp/1/p2p/{}", peer(2))),
    ];
    bench.swarm.dial(at(0), dial).unwrap();
    let dialed: Vec<_> = bench
        .dials(at(60_000))
        .into_iter()
        .map(|(_, addr)| addr)
        .collect();
    assert!(dialed.is_empty(), "the dial's own deadline has passed");
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![
        addr("/ip4/192.0.2.5/tcp/1"),
        addr(&format!("/ip4/192.0.2.5/tcp/1/p2p/{}", peer(2))),
    ];
    bench.swarm.dial(at(0), dial).unwrap();
    assert_eq!(bench.dials(at(0)).len(), 1);
}

// covers: CON-010, CON-033, CON-034, CON-044
#[test]
fn concurrent_dials_are_one_and_the_first_success_ends_the_others() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![addr("/ip4/192.0.2.1/tcp/1"), addr("/ip6/2001:db8::1/tcp/1")];
    let Ok(DialOutcome::Pending(first)) = bench.swarm.dial(at(0), dial.clone()) else {
        panic!("refused")
    };
    assert_eq!(
        bench.swarm.dial(at(0), dial.clone()),
        Ok(DialOutcome::Pending(first))
    );
    let begun = bench.dials(at(0));
    assert_eq!(begun[0].1, "/ip6/2001:db8::1/tcp/1");
    assert_eq!(begun.len(), 1);
    let second = bench.dials(at(250));
    assert_eq!(second[0].1, "/ip4/192.0.2.1/tcp/1");
    let conn = begun[0].0;
    bench
        .swarm
        .handle_dialed(at(300), conn, None, addr("/ip6/2001:db8::1/tcp/1"))
        .unwrap();
    bench.tell(at(310), conn, FromConnection::Authenticated { peer: peer(2) });
    let actions = bench.tell(
        at(320),
        conn,
        FromConnection::Established {
            security: NOISE,
            muxer: YAMUX,
        },
    );
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::CancelDial { conn } if *conn == second[0].0))
    );
    assert!(matches!(
        bench.events()[..],
        [Event::Connected { first: true, .. }]
    ));
    assert_eq!(bench.swarm.dial(at(330), dial), Ok(DialOutcome::Connected(conn)));
    assert_eq!(bench.swarm.stats().pending_outbound, 0);
}

// covers: CON-045, CON-046
#[test]
fn when_all_fail_the_next_does_not_wait_and_every_cause_is_told() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![
        addr("/ip6/2001:db8::1/tcp/1"),
        addr("/ip4/192.0.2.1/tcp/1"),
        addr("/ip4/192.0.2.2/tcp/1"),
    ];
    bench.swarm.dial(at(0), dial).unwrap();
    for time in [0, 10, 20] {
        let begun = bench.dials(at(time));
        assert_eq!(begun.len(), 1, "at {time}");
        bench
            .swarm
            .handle_dial_failed(at(time), begun[0].0, AttemptError::Transport("refused"));
    }
    bench.drive(at(20));
    let [
        Event::DialFailed {
            error: DialError::AllFailed(causes),
            ..
        },
    ] = &bench.events()[..]
    else {
        panic!("not failed")
    };
    assert_eq!(causes.len(), 3);
    assert_eq!(bench.swarm.stats().dials, 0);
}

// covers: CON-043
#[test]
fn an_attempt_that_is_being_upgraded_holds_the_next_back() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![addr("/ip6/2001:db8::1/tcp/1"), addr("/ip4/192.0.2.1/tcp/1")];
    bench.swarm.dial(at(0), dial).unwrap();
    let begun = bench.dials(at(0));
    bench
        .swarm
        .handle_dialed(at(100), begun[0].0, None, addr("/ip6/2001:db8::1/tcp/1"))
        .unwrap();
    assert!(bench.dials(at(599)).is_empty());
    assert_eq!(bench.dials(at(600)).len(), 1);
}

// covers: CON-047, CON-051
#[test]
fn vul_171_many_addresses_on_one_host_are_few_attempts() {
    let mut bench = Bench::new(Config::default());
    let mut dial = Dial::peer(peer(2));
    dial.addrs = (1..1000)
        .map(|port| addr(&format!("/ip4/192.0.2.1/tcp/{port}")))
        .collect();
    bench.swarm.dial(at(0), dial).unwrap();
    let mut attempts = 0;
    for time in (0..30_000).step_by(50) {
        for (conn, _) in bench.dials(at(time)) {
            attempts += 1;
            bench
                .swarm
                .handle_dial_failed(at(time), conn, AttemptError::Transport("refused"));
        }
    }
    assert_eq!(attempts, 2);
}

// covers: CON-048
#[test]
fn addresses_that_failed_are_left_alone_for_a_while() {
    let mut bench = Bench::new(Config::default());
    bench
        .swarm
        .book_mut()
        .add(at(0), peer(2), addr("/ip4/192.0.2.1/tcp/1"), Source::Told);
    let mut now = 0;
    for wait in [5, 6, 9, 14, 21] {
        bench.swarm.dial(at(now), Dial::peer(peer(2))).unwrap();
        let (conn, _) = bench.dials(at(now))[0].clone();
        bench
            .swarm
            .handle_dial_failed(at(now), conn, AttemptError::TimedOut);
        bench.drive(at(now));
        now += wait * 1000 - 1;
        assert_eq!(
            bench.swarm.dial(at(now), Dial::peer(peer(2))),
            Err(DialRefused::BackedOff)
        );
        now += 1;
    }
}

// covers: COR-095, COR-096, COR-097, COR-098, CON-050
#[test]
fn vul_185_names_are_resolved_to_a_depth_and_a_number() {
    let mut bench = Bench::new(Config::default());
    let dialed = format!("/dnsaddr/example.com/p2p/{}", peer(2));
    bench.swarm.dial(at(0), Dial::addr(addr(&dialed))).unwrap();
    let mut depth = 0;
    loop {
        let actions = bench.drive(at(0));
        let Some(Action::Resolve { query, name, kind }) = actions
            .into_iter()
            .find(|action| matches!(action, Action::Resolve { .. }))
        else {
            break;
        };
        assert_eq!((name.as_str(), kind), ("_dnsaddr.example.com", ResolveKind::Txt));
        depth += 1;
        bench.swarm.handle_resolved(
            at(0),
            query,
            Ok(vec![
                Record::Txt("dnsaddr=/dnsaddr/example.com".into()),
                Record::Txt("junk".into()),
            ]),
        );
    }
    assert_eq!(depth, 4);
    let mut bench = Bench::new(Config::default());
    bench
        .swarm
        .dial(at(0), Dial::addr(addr("/dns4/example.com/tcp/42")))
        .unwrap();
    let Some(Action::Resolve {
        query,
        kind: ResolveKind::Ip4,
        ..
    }) = bench.drive(at(0)).pop()
    else {
        panic!("not asked")
    };
    let answers = (0..150_u8)
        .map(|last| Record::Ip([192, 0, 2, last].into()))
        .chain([Record::Ip("::1".parse().unwrap())]);
    bench.swarm.handle_resolved(at(0), query, Ok(answers.collect()));
    assert_eq!(bench.dials(at(0))[0].1, "/ip4/192.0.2.0/tcp/42");
}

// covers: CON-014, CON-016, CON-058
#[test]
fn vul_161_pending_connections_are_bounded_in_all_and_for_each_host() {
    let config = Config {
        accepts_per_second: 1000,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    let mut accept = |remote: &str| {
        bench
            .swarm
            .handle_accepted(at(0), None, addr(remote))
            .map(|seat| seat.conn)
    };
    for port in 0..8 {
        accept(&format!("/ip4/192.0.2.1/tcp/{port}")).unwrap();
    }
    assert_eq!(accept("/ip4/192.0.2.1/tcp/9"), Err(Denied("max-pending-per-ip")));
    for host in 2..122 {
        accept(&format!("/ip4/192.0.2.{host}/tcp/1")).unwrap();
    }
    assert_eq!(
        accept("/ip4/192.0.2.200/tcp/1"),
        Err(Denied("max-pending-inbound"))
    );
    // A network with fewer of them takes the place of the oldest.
    accept("/ip4/198.51.100.1/tcp/1").unwrap();
}

// covers: CON-015
#[test]
fn the_sixth_connection_of_one_host_in_a_second_is_refused() {
    let mut bench = Bench::new(Config::default());
    for number in 0..6 {
        let result = bench
            .swarm
            .handle_accepted(at(0), None, addr("/ip4/192.0.2.1/tcp/1"));
        assert_eq!(result.is_ok(), number < 5);
    }
    assert!(
        bench
            .swarm
            .handle_accepted(at(0), None, addr("/ip4/192.0.2.2/tcp/1"))
            .is_ok()
    );
    assert!(
        bench
            .swarm
            .handle_accepted(at(200), None, addr("/ip4/192.0.2.1/tcp/1"))
            .is_ok()
    );
}

// covers: CON-018, CON-019, CON-059
#[test]
fn the_gate_stands_before_dials_accepts_and_admission() {
    let mut bench = Bench::new(Config::default());
    bench.swarm.gate_mut().denied_peers.insert(peer(2));
    bench
        .swarm
        .gate_mut()
        .denied_networks
        .push(libp2p_proto_swarm::IpPrefix::new([198, 51, 100, 0].into(), 24));
    assert_eq!(
        bench.swarm.dial(at(0), Dial::peer(peer(2))),
        Err(DialRefused::Denied("denied-peer"))
    );
    assert_eq!(
        bench
            .swarm
            .dial(at(0), Dial::addr(addr("/ip4/198.51.100.9/tcp/1"))),
        Err(DialRefused::Denied("denied-network"))
    );
    assert!(
        bench
            .swarm
            .handle_accepted(at(0), None, addr("/ip4/198.51.100.9/tcp/1"))
            .is_err()
    );
    let seat = bench
        .swarm
        .handle_accepted(at(0), None, addr("/ip4/192.0.2.1/tcp/1"))
        .unwrap();
    let actions = bench.tell(at(0), seat.conn, FromConnection::Authenticated { peer: peer(2) });
    assert_eq!(orders(&actions, seat.conn), ["Close"]);
    bench.gone(at(0), seat.conn);
    assert!(matches!(
        bench.events()[..],
        [Event::IncomingFailed {
            error: LinkError {
                code: "denied-peer",
                ..
            },
            ..
        }]
    ));
}

// covers: CON-030, CON-031
#[test]
fn first_and_last_are_told_of_several_connections_to_one_peer() {
    let mut bench = Bench::new(Config::default());
    let a = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let b = bench.inbound(at(1), peer(2), "/ip4/192.0.2.1/tcp/2");
    bench.gone(at(2), a);
    bench.gone(at(3), b);
    let events = bench.events();
    let word = |event: &Event| match event {
        Event::Connected { first, .. } => format!("up {first}"),
        Event::Disconnected { last, .. } => format!("down {last}"),
        other => format!("{other:?}"),
    };
    assert_eq!(
        events.iter().map(word).collect::<Vec<_>>(),
        ["up true", "up false", "down false", "down true"]
    );
}

#[test]
fn vul_205_a_peer_that_comes_again_replaces_its_oldest_connection() {
    let mut bench = Bench::new(Config::default());
    let first = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    bench.inbound(at(1000), peer(2), "/ip4/192.0.2.1/tcp/2");
    let seat = bench
        .swarm
        .handle_accepted(at(2000), None, addr("/ip4/192.0.2.1/tcp/3"))
        .unwrap();
    let actions = bench.tell(
        at(2000),
        seat.conn,
        FromConnection::Authenticated { peer: peer(2) },
    );
    assert_eq!(orders(&actions, seat.conn), ["Admit"]);
    let established = FromConnection::Established {
        security: NOISE,
        muxer: YAMUX,
    };
    assert_eq!(
        orders(&bench.tell(at(2001), seat.conn, established), first),
        ["Close"]
    );
}

// covers: CON-061
#[test]
fn an_idle_connection_is_closed_and_a_protected_one_is_not() {
    let mut bench = Bench::new(Config::default());
    let idle = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let kept = bench.inbound(at(0), peer(3), "/ip4/192.0.2.2/tcp/1");
    bench.swarm.protect(peer(3), true);
    assert!(orders(&bench.drive(at(9_999)), idle).is_empty());
    let actions = bench.drive(at(10_000));
    assert_eq!(orders(&actions, idle), ["Close"]);
    assert!(orders(&actions, kept).is_empty());
}

// covers: CON-017
#[test]
fn vul_163_counts_are_back_at_zero_after_any_end() {
    let mut bench = Bench::new(Config {
        accepts_per_second: 1_000_000,
        ..Config::default()
    });
    for round in 0..300_u64 {
        let now = at(round * 10);
        let seat = bench
            .swarm
            .handle_accepted(now, None, addr("/ip4/192.0.2.1/tcp/1"))
            .unwrap();
        if round % 3 > 0 {
            bench.tell(now, seat.conn, FromConnection::Authenticated { peer: peer(2) });
        }
        if round % 3 > 1 {
            bench.tell(
                now,
                seat.conn,
                FromConnection::Established {
                    security: NOISE,
                    muxer: YAMUX,
                },
            );
        }
        bench.gone(now, seat.conn);
        bench.events();
        let stats = bench.swarm.stats();
        assert_eq!(
            (stats.established, stats.pending_inbound, stats.streams),
            (0, 0, 0)
        );
    }
    assert!(bench.swarm.is_idle());
}

#[test]
fn vul_167_time_that_runs_back_counts_as_standing_still() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(60_000), peer(2), "/ip4/192.0.2.1/tcp/1");
    assert!(orders(&bench.drive(at(0)), conn).is_empty());
    assert_eq!(orders(&bench.drive(at(70_000)), conn), ["Close"]);
}

#[test]
fn vul_173_an_application_that_reads_nothing_stops_the_news() {
    let mut bench = Bench::new(Config {
        max_events: 4,
        accepts_per_second: 1_000_000,
        max_per_ip: 1000,
        ..Config::default()
    });
    for number in 0..20_u8 {
        let seat = bench
            .swarm
            .handle_accepted(at(0), None, addr(&format!("/ip4/192.0.2.{number}/tcp/1")))
            .unwrap();
        bench.tell(
            at(0),
            seat.conn,
            FromConnection::Authenticated {
                peer: peer(number + 10),
            },
        );
        bench.tell(
            at(0),
            seat.conn,
            FromConnection::Established {
                security: NOISE,
                muxer: YAMUX,
            },
        );
    }
    assert_eq!(bench.swarm.stats().established, 4);
    let mut told = 0;
    while !bench.events().is_empty() {
        told += 4;
        bench.drive(at(0));
    }
    assert_eq!(told, 20);
    let _unused = (Closed::Finished, ToConnection::Close);
}
