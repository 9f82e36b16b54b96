//! The tests, each a sentence by its name.
#![allow(missing_docs, reason = "their names say what they prove")]

use crate::{
    Adapter, Discovery, Node, Seen, limits, mdns,
    puppet::{Puppet, link, read_to_the_end, reset},
};
use core::time::Duration;
use libp2p_proto_core::{Multiaddr, PeerId, ProtocolName, Side};
use libp2p_proto_identify as identify;
use libp2p_proto_stream_protocol::{AttemptError, Dial, DialError, DialOutcome, DialRefused, StreamOrder};
use libp2p_proto_swarm::{Config, Event};
use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

const PERF: ProtocolName = ProtocolName::from_static("/perf/1.0.0");
const RAW: ProtocolName = ProtocolName::from_static("/raw/1");
/// Limits of an upgrade that a test waits for.
const SOON: Duration = Duration::from_millis(300);

fn impatient() -> Config {
    Config {
        inbound_upgrade: SOON,
        outbound_upgrade: SOON,
        ..limits()
    }
}

/// A node under test, and an honest one that is connected to it.
fn honest_pair<A: Adapter>(limits: Config) -> (Node<A>, Node<A>) {
    let node = Node::start(1, limits);
    let honest = Node::start(2, crate::limits());
    assert_eq!(honest.dial(&node.addr), Ok(node.peer));
    (node, honest)
}

/// The only cause of a dial that failed.
fn cause(result: Result<PeerId, DialError>) -> AttemptError {
    match result {
        Err(DialError::AllFailed(causes)) if causes.len() == 1 => causes[0].1,
        other => panic!("{other:?}"),
    }
}

/// The step in which an upgrade stalled.
fn stalled(error: AttemptError) -> &'static str {
    match error {
        AttemptError::Upgrade(error) => error.code,
        other => panic!("{other:?}"),
    }
}

/// A listener on loopback that is no node: `act` has the first link.
fn stranger(act: impl FnOnce(TcpStream) + Send + 'static) -> Multiaddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || act(listener.accept().unwrap().0));
    Multiaddr::tcp(addr.ip(), addr.port())
}

pub fn two_nodes_identify_ping_and_measure_each_other<A: Adapter>() {
    let (node, honest) = honest_pair::<A>(limits());
    honest.ping(node.peer);
    node.ping(honest.peer);
    assert_eq!(honest.perf(node.peer, 8 << 20, 8 << 20), (8 << 20, 8 << 20));
}

pub fn two_nodes_do_the_same_over_a_websocket<A: Adapter>() {
    let (node, honest) = (Node::<A>::start(1, limits()), Node::<A>::start(2, limits()));
    let addr = node.listen_websocket();
    assert!(addr.websocket().is_some());
    assert_eq!(honest.dial(&addr), Ok(node.peer));
    honest.ping(node.peer);
    node.ping(honest.peer);
    assert_eq!(honest.perf(node.peer, 8 << 20, 8 << 20), (8 << 20, 8 << 20));
    // A node that speaks TCP there hears at once that it is wrong.
    let tcp = Multiaddr::from_components(addr.components().take(2)).unwrap();
    let error = cause(honest.dial(&tcp));
    assert!(matches!(error, AttemptError::Upgrade(_)), "{error:?}");
}

// covers: DCU-042
pub fn a_dial_that_asks_for_it_begins_at_the_port_where_the_node_listens<A: Adapter>() {
    let (node, other) = (Node::<A>::start(1, limits()), Node::<A>::start(2, limits()));
    let [ours, theirs] = [&node, &other].map(|node| node.addr.split_peer_id().0.unwrap());
    let dial = Dial {
        addrs: vec![theirs.clone()],
        force: true,
        reuse_port: true,
        ..Dial::peer(other.peer)
    };
    let begun = node.call(move |swarm, _, now| swarm.dial(now, dial));
    assert!(matches!(begun, Ok(DialOutcome::Pending(_))), "{begun:?}");
    let remote = other.wait(|seen| match seen {
        Seen::Swarm(Event::Connected { info, .. }) => Some(info.remote.clone()),
        _ => None,
    });
    assert_eq!(remote, ours);
    other.ping(node.peer);
    // A second one to the same address can't begin there, and begins elsewhere.
    let dial = Dial {
        addrs: vec![theirs],
        force: true,
        reuse_port: true,
        ..Dial::peer(other.peer)
    };
    node.call(move |swarm, _, now| swarm.dial(now, dial)).unwrap();
    let elsewhere = other.wait(|seen| match seen {
        Seen::Swarm(Event::Connected { info, .. }) if info.remote != ours => Some(info.remote.clone()),
        _ => None,
    });
    assert_ne!(elsewhere, ours);
}

pub fn a_dial_to_a_closed_port_is_refused<A: Adapter>() {
    let node = Node::<A>::start(1, limits());
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = cause(node.dial(&Multiaddr::tcp(addr.ip(), addr.port())));
    assert_eq!(error, AttemptError::Transport("refused"));
}

pub fn a_dial_by_a_transport_that_is_not_there_says_so<A: Adapter>() {
    let node = Node::<A>::start(1, limits());
    let dial = Dial::addr("/ip4/127.0.0.1/udp/1/quic-v1".parse().unwrap());
    let refused = node.call(move |swarm, _, now| swarm.dial(now, dial));
    assert_eq!(refused, Err(DialRefused::NoAddress));
}

pub fn a_dial_to_another_peer_than_expected_fails_and_nobody_is_connected<A: Adapter>() {
    let (node, other) = (Node::<A>::start(1, limits()), Node::<A>::start(2, limits()));
    let (addr, _) = other.addr.split_peer_id();
    let expected = Puppet::peer(9);
    let error = cause(node.dial(&addr.unwrap().with_peer_id(expected).unwrap()));
    let wrong = match error {
        AttemptError::WrongPeer { expected: wanted, .. } => wanted == expected,
        AttemptError::Upgrade(error) => error.code == "wrong-peer",
        _ => false,
    };
    assert!(wrong, "{error}");
    assert_eq!(node.call(|swarm, _, _| swarm.peers().count()), 0);
}

pub fn a_dial_to_a_listener_that_says_nothing_times_out<A: Adapter>() {
    let node = Node::<A>::start(1, impatient());
    let addr = stranger(|socket| read_to_the_end(&socket));
    assert_eq!(stalled(cause(node.dial(&addr))), "security-timeout");
}

pub fn a_dial_to_a_listener_that_talks_garbage_fails_with_the_cause<A: Adapter>() {
    let node = Node::<A>::start(1, limits());
    let addr = stranger(|mut socket| {
        socket.write_all(&b"SSH-2.0-OpenSSH_9.6\r\n".repeat(10)).unwrap();
        read_to_the_end(&socket);
    });
    let AttemptError::Upgrade(error) = cause(node.dial(&addr)) else {
        panic!("not a failed upgrade");
    };
    assert!(!["eof", "closed", "io"].contains(&error.code), "{}", error.code);
}

pub fn a_dial_to_a_listener_that_closes_fails_with_the_cause<A: Adapter>() {
    let node = Node::<A>::start(1, limits());
    let addr = stranger(|mut socket| {
        // Everything is read, so that the link ends and is not reset.
        let _first = socket.read(&mut [0; 4096]);
    });
    let AttemptError::Upgrade(error) = cause(node.dial(&addr)) else {
        panic!("not a failed upgrade");
    };
    assert!(["eof", "reset"].contains(&error.code), "{}", error.code);
}

/// Every place where an upgrade can stop: after so many reads.
fn stalls<A: Adapter>(node: &Node<A>) {
    let silent = link(&node.addr);
    assert_eq!(node.incoming_failure(), "security-timeout");
    read_to_the_end(&silent);
    for reads in 0.. {
        let mut puppet = Puppet::new(link(&node.addr), 3, Side::Dialer, RAW);
        puppet.say();
        for _ in 0..reads {
            assert!(puppet.hear(), "the upgrade goes on");
            if puppet.is_established() {
                return;
            }
            puppet.say();
        }
        let end = node.wait(|seen| match seen {
            Seen::Swarm(Event::IncomingFailed { error, .. }) => Some(Some(error.code)),
            Seen::Swarm(Event::Connected { peer, .. }) if *peer == Puppet::peer(3) => Some(None),
            _ => None,
        });
        match end {
            // What it said first was enough to agree on Noise.
            Some(code) => assert_eq!(code, "handshake-timeout"),
            // The node has everything that it needs.
            None => return,
        }
        read_to_the_end(&puppet.socket);
    }
}

pub fn a_dialer_that_stalls_anywhere_in_the_upgrade_times_out<A: Adapter>() {
    let (node, honest) = honest_pair::<A>(impatient());
    stalls(&node);
    honest.ping(node.peer);
}

pub fn a_listener_that_stalls_anywhere_in_the_upgrade_times_out<A: Adapter>() {
    let node = Node::<A>::start(1, impatient());
    for reads in 0..2 {
        let addr = stranger(move |socket| {
            let mut puppet = Puppet::new(socket, 3, Side::Listener, RAW);
            for _ in 0..reads {
                puppet.hear();
                puppet.say();
            }
            read_to_the_end(&puppet.socket);
        });
        let step = ["security-timeout", "handshake-timeout"][reads];
        assert_eq!(stalled(cause(node.dial(&addr))), step);
    }
}

pub fn a_dialer_that_goes_in_the_middle_of_the_upgrade_is_noticed<A: Adapter>() {
    let (node, honest) = honest_pair::<A>(limits());
    for goes in [drop, reset] {
        let mut puppet = Puppet::new(link(&node.addr), 3, Side::Dialer, RAW);
        puppet.say();
        assert!(puppet.hear());
        goes(puppet.socket);
        assert!(["eof", "reset"].contains(&node.incoming_failure()));
    }
    // Half of the link is closed, the other half stays.
    let half = link(&node.addr);
    half.shutdown(Shutdown::Write).unwrap();
    assert_eq!(node.incoming_failure(), "eof");
    read_to_the_end(&half);
    honest.ping(node.peer);
}

pub fn garbage_before_the_upgrade_ends_that_link_alone<A: Adapter>() {
    let (node, honest) = honest_pair::<A>(limits());
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        &[0xff],
        b"\x13/multistream/1.0.0\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ];
    for bytes in garbage {
        let mut socket = link(&node.addr);
        // Enough that every length which the garbage may announce is there.
        socket.write_all(&bytes.repeat(300)).unwrap();
        let code = node.incoming_failure();
        assert!(
            !["eof", "closed", "io", "security-timeout"].contains(&code),
            "{code}"
        );
        read_to_the_end(&socket);
    }
    honest.ping(node.peer);
}

pub fn garbage_after_the_upgrade_ends_that_connection_alone<A: Adapter>() {
    let (node, honest) = honest_pair::<A>(limits());
    let mut puppet = Puppet::connected(&node.addr, 3, RAW);
    puppet.socket.write_all(&[0x7f].repeat(40_000)).unwrap();
    let code = node.disconnected(Puppet::peer(3)).unwrap();
    assert!(code.starts_with("noise"), "{code}");
    read_to_the_end(&puppet.socket);
    honest.ping(node.peer);
}

pub fn a_connection_that_is_reset_in_the_middle_of_a_frame_is_noticed<A: Adapter>() {
    let (node, honest) = honest_pair::<A>(limits());
    let mut puppet = Puppet::connected(&node.addr, 3, PERF);
    // What the node has not read yet is lost with a reset, the end of the upgrade too.
    assert!(puppet.hear(), "the node begins to talk");
    puppet.open(&[0; 5000]);
    let out = puppet.output();
    puppet.socket.write_all(&out[..out.len() / 2]).unwrap();
    reset(puppet.socket);
    let code = node.disconnected(Puppet::peer(3)).unwrap();
    assert!(["reset", "eof", "broken-pipe"].contains(&code), "{code}");
    honest.ping(node.peer);
}

pub fn a_peer_that_sends_no_more_is_noticed<A: Adapter>() {
    let (node, honest) = honest_pair::<A>(limits());
    let puppet = Puppet::connected(&node.addr, 3, RAW);
    puppet.socket.shutdown(Shutdown::Write).unwrap();
    node.disconnected(Puppet::peer(3));
    read_to_the_end(&puppet.socket);
    honest.ping(node.peer);
}

pub fn a_peer_that_reads_nothing_costs_others_nothing<A: Adapter>() {
    let (node, honest) = honest_pair::<A>(limits());
    let mut puppet = Puppet::connected(&node.addr, 3, PERF);
    // Please send a tebibyte.
    puppet.open(&(1_u64 << 40).to_be_bytes());
    puppet.say();
    assert_eq!(honest.perf(node.peer, 1 << 20, 1 << 20), (1 << 20, 1 << 20));
    honest.ping(node.peer);
    reset(puppet.socket);
    node.disconnected(Puppet::peer(3));
}

pub fn a_flood_inside_a_session_ends_that_connection_alone<A: Adapter>() {
    let (node, honest) = honest_pair::<A>(limits());
    let mut puppet = Puppet::connected(&node.addr, 3, PERF);
    assert!(puppet.hear(), "the node begins to talk");
    // Streams that come and go, faster than anybody has a use for.
    for _ in 0..1000 {
        let streams: Vec<_> = (0..50).map(|_| puppet.open(&[0; 8])).collect();
        // Each is announced before it is reset.
        let mut out = puppet.output();
        for stream in streams {
            puppet.order(stream, StreamOrder::Reset);
        }
        out.extend(puppet.output());
        if puppet.socket.write_all(&out).is_err() {
            break;
        }
    }
    assert_eq!(node.disconnected(Puppet::peer(3)), Some("yamux-reset-flood"));
    read_to_the_end(&puppet.socket);
    honest.ping(node.peer);
    // As many streams as there may be, each of which asks for a tebibyte that nobody reads.
    let mut greedy = Puppet::connected(&node.addr, 3, PERF);
    assert!(greedy.hear(), "the node begins to talk");
    for _ in 0..250 {
        let stream = greedy.open(&(1_u64 << 40).to_be_bytes());
        greedy.order(stream, StreamOrder::Finish);
    }
    greedy.say();
    honest.ping(node.peer);
    assert_eq!(honest.perf(node.peer, 1 << 20, 1 << 20), (1 << 20, 1 << 20));
    reset(greedy.socket);
    node.disconnected(Puppet::peer(3));
    honest.ping(node.peer);
}

pub fn a_peer_that_falls_silent_after_the_upgrade_is_given_up_and_costs_others_nothing<A: Adapter>() {
    let (node, honest) = honest_pair::<A>(limits());
    let puppet = Puppet::connected(&node.addr, 3, RAW);
    // It takes nothing and says nothing: first the question who it is ends, then the connection.
    let failure = node.wait(|seen| match seen {
        Seen::Identify(identify::Event::Failed { peer, failure, .. }) if *peer == Puppet::peer(3) => {
            Some(*failure)
        }
        _ => None,
    });
    assert_eq!(failure, identify::Failure::TimedOut);
    honest.ping(node.peer);
    assert_eq!(node.disconnected(Puppet::peer(3)), Some("keep-alive-timeout"));
    read_to_the_end(&puppet.socket);
    honest.ping(node.peer);
}

pub fn vul_203_a_peer_without_identify_is_told_and_its_connection_is_used<A: Adapter>() {
    let node = Node::<A>::start(1, limits());
    let mut puppet = Puppet::connected(&node.addr, 3, PERF);
    let mut fetch = || {
        let stream = puppet.open(&10_000_u64.to_be_bytes());
        puppet.order(stream, StreamOrder::Finish);
        puppet.say();
        while puppet.received(stream) < 10_000 {
            assert!(puppet.hear(), "the link stands");
            puppet.say();
        }
    };
    // What it is asked by identify comes before the answer of perf, and is refused.
    fetch();
    let failure = node.wait(|seen| match seen {
        Seen::Identify(identify::Event::Failed { failure, .. }) => Some(*failure),
        _ => None,
    });
    assert_eq!(failure, identify::Failure::Unsupported);
    fetch();
    assert_eq!(node.call(|swarm, _, _| swarm.peers().count()), 1);
}

pub fn a_flood_of_links_is_held_off_and_standing_connections_do_not_suffer<A: Adapter>() {
    // The limits of every node, not those of a test.
    let (node, honest) = honest_pair::<A>(Config {
        idle_timeout: None,
        ..Config::default()
    });
    let flood: Vec<_> = (0..200).map(|_| link(&node.addr)).collect();
    honest.ping(node.peer);
    // Every link is either refused or one of the few that may be upgraded at a time; none is forgotten.
    let max = Config::default().max_pending_per_ip;
    node.until(move |swarm| {
        let stats = swarm.stats();
        assert!(stats.pending_inbound <= max);
        stats.refused >= 200 - max as u64
    });
    drop(flood);
    honest.ping(node.peer);
}

pub fn what_was_accepted_arrives_although_the_node_closes<A: Adapter>() {
    let (node, honest) = honest_pair::<A>(limits());
    assert_eq!(honest.perf(node.peer, 4 << 20, 0), (4 << 20, 0));
    honest.call(|swarm, _, now| swarm.close(now));
    assert_eq!(node.disconnected(honest.peer), None);
}

pub fn the_last_words_of_a_node_arrive_although_its_peer_had_more_to_say<A: Adapter>() {
    let node = Node::<A>::start(1, limits());
    let mut puppet = Puppet::connected(&node.addr, 3, RAW);
    // Much more than the node reads before it knows that it means nothing: a socket that is dropped with these unread is reset.
    puppet.socket.write_all(&vec![0x7f; 2 << 20]).unwrap();
    assert!(puppet.hears_the_last_words());
    assert!(node.disconnected(Puppet::peer(3)).is_some());
}

/// The loopback interface alone, under a name that no other test and no other program has.
fn on_loopback(name: &str) -> Discovery {
    let service = format!("_p2p-{name}-{}._udp.local", std::process::id());
    Discovery {
        mdns: mdns::Config {
            service,
            ..mdns::Config::default()
        },
        interfaces: ["lo", "lo0"].map(String::from).into(),
    }
}

pub fn two_nodes_on_one_link_find_each_other_dial_by_id_and_say_goodbye<A: Adapter>() {
    let start = |seed| Node::<A>::start_with(seed, limits(), Some(on_loopback("pair")));
    let (node, other) = (start(1), start(2));
    let found = |here: &Node<A>, there: &Node<A>| {
        let (who, at) = (there.peer, there.addr.split_peer_id().0);
        here.wait(|seen| match seen {
            Seen::Discovery(mdns::Event::Discovered { peer, addrs, .. }) if *peer == who => {
                assert_eq!(addrs.first(), at.as_ref());
                Some(())
            }
            _ => None,
        });
    };
    found(&node, &other);
    found(&other, &node);
    // The address book has it: the id is enough.
    let dial = Dial::peer(other.peer);
    node.call(move |swarm, _, now| swarm.dial(now, dial)).unwrap();
    node.wait(|seen| matches!(seen, Seen::Swarm(Event::Connected { .. })).then_some(()));
    node.ping(other.peer);
    let gone = other.peer;
    drop(other);
    node.wait(|seen| match seen {
        Seen::Discovery(mdns::Event::Expired { peer, .. }) if *peer == gone => Some(()),
        _ => None,
    });
}
