//! Discovery on the sockets of a plain loop, on loopback.
#![cfg(feature = "mdns")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests fail by panicking"
)]

use core::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use libp2p_proto_core::{Multiaddr, PeerId, Rng};
use libp2p_proto_os::{
    Clock, Discovery, Entropy, Multicast, Udp,
    mdns::{self, Data, Event, GROUP4, Message, Name, PORT, Record},
};
use libp2p_proto_swarm::{AddressBook, BookLimits};
use std::{io, net::UdpSocket, thread, time::Instant};

/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// The loop: sockets that are asked again and again.
struct Plain;

impl Udp for Plain {
    type Socket = UdpSocket;

    fn open(&mut self, socket: UdpSocket) -> io::Result<UdpSocket> {
        Ok(socket)
    }

    fn receive(&mut self, socket: &mut UdpSocket, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        socket.recv_from(buf)
    }

    fn send(&mut self, socket: &mut UdpSocket, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        socket.send_to(datagram, to)
    }
}

fn service(name: &str) -> String {
    format!("_{name}-{}._udp.local", std::process::id())
}

/// On the loopback interface alone, under a name that no other test has.
fn multicast(seed: u8, name: &str) -> (PeerId, Multicast<UdpSocket>) {
    let peer = PeerId::random(&mut Rng::from_seed([seed; 32]));
    let config = Discovery {
        mdns: mdns::Config {
            service: service(name),
            ..mdns::Config::default()
        },
        interfaces: ["lo", "lo0"].map(String::from).into(),
    };
    (peer, Multicast::new(peer, config, Entropy::default()).unwrap())
}

/// Turns all of them, of nodes that listen at these addresses, until `done`. What was found is in the book by then.
fn until(
    all: &mut [(&mut Multicast<UdpSocket>, &[Multiaddr])],
    clock: Clock,
    mut done: impl FnMut(usize, Event) -> bool,
) {
    let mut book = AddressBook::new(BookLimits::default());
    let end = Instant::now() + PATIENCE;
    loop {
        for (place, (multicast, addrs)) in all.iter_mut().enumerate() {
            // A plain loop is not told when something comes.
            multicast.wake();
            multicast.turn(clock.now(), addrs.iter(), &mut Plain);
            while let Some(event) = multicast.poll_event(clock.now(), &mut book) {
                if let Event::Discovered { peer, addrs, .. } = &event {
                    assert!(book.addrs(clock.now(), peer).eq(addrs));
                }
                if done(place, event) {
                    return;
                }
            }
        }
        assert!(Instant::now() < end, "it happens in time");
        thread::yield_now();
    }
}

#[test]
fn two_nodes_of_one_machine_find_each_other_and_hear_a_goodbye() {
    let clock = Clock::start();
    let ((a, mut alice), (b, mut bob)) = (multicast(1, "pair"), multicast(2, "pair"));
    let addrs = ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"].map(|addr| addr.parse().unwrap());
    let (first, second) = addrs.split_at(1);
    let mut found = Vec::new();
    until(
        &mut [(&mut alice, first), (&mut bob, second)],
        clock,
        |place, event| {
            if let Event::Discovered { peer, addrs, .. } = event {
                found.push((place, peer, addrs));
            }
            found.len() == 2
        },
    );
    found.sort();
    assert_eq!(
        found,
        [(0, b, vec![addrs[1].clone()]), (1, a, vec![addrs[0].clone()])]
    );
    bob.stop(clock.now(), &mut Plain);
    until(
        &mut [(&mut alice, first)],
        clock,
        |_, event| matches!(event, Event::Expired { peer, .. } if peer == b),
    );
}

// covers: MDN-069
#[test]
fn a_packet_counts_whatever_its_time_to_live() {
    let clock = Clock::start();
    let (_, mut alice) = multicast(3, "hops");
    alice.turn(clock.now(), core::iter::empty(), &mut Plain);
    let service: Name = service("hops").parse().unwrap();
    let instance = service.child(b"x").unwrap();
    let peer = PeerId::random(&mut Rng::from_seed([4; 32]));
    let record = |name: &Name, data| Record {
        name: name.clone(),
        class: 1,
        flush: false,
        ttl: 120,
        data,
    };
    let text = format!("dnsaddr=/ip4/127.0.0.1/tcp/1/p2p/{peer}");
    let mut message = Message::response();
    message
        .answers
        .push(record(&service, Data::Ptr(instance.clone())));
    message
        .additionals
        .push(record(&instance, Data::txt([text.as_bytes()])));
    let sender = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    sender.set_multicast_ttl_v4(1).unwrap();
    let group = SocketAddr::from((GROUP4, PORT));
    sender.send_to(&message.encode(), &group.into()).unwrap();
    until(
        &mut [(&mut alice, &[])],
        clock,
        |_, event| matches!(event, Event::Discovered { peer: found, .. } if found == peer),
    );
}
