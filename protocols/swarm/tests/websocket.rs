//! The address of a WebSocket, from the dial to the seat.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::Multiaddr;
use libp2p_proto_stream_protocol::{Dial, DialRefused};
use libp2p_proto_swarm::{Action, Config, Record};
use support::{Bench, addr, at};

fn bench() -> Bench {
    let mut bench = Bench::new(Config::default());
    bench
        .swarm
        .add_transport(|addr| addr.ip().is_some() && addr.websocket().is_some());
    bench
}

#[test]
fn an_adapter_that_dials_no_websocket_is_not_asked_to() {
    let mut bench = Bench::new(Config::default());
    let ws = addr("/ip4/192.0.2.1/tcp/80/ws");
    assert_eq!(
        bench.swarm.dial(at(0), Dial::addr(ws)),
        Err(DialRefused::NoAddress)
    );
}

#[test]
fn a_websocket_over_tls_is_not_dialed() {
    for text in [
        "/ip4/192.0.2.1/tcp/443/wss",
        "/ip4/192.0.2.1/tcp/443/tls/ws",
        "/ip4/192.0.2.1/ws",
    ] {
        assert_eq!(
            bench().swarm.dial(at(0), Dial::addr(addr(text))),
            Err(DialRefused::NoAddress),
            "{text}"
        );
    }
}

// covers: CON-037
#[test]
fn a_dialed_websocket_says_in_its_seat_what_to_ask_for_and_keeps_its_address() {
    for (text, host, path) in [
        ("/ip4/192.0.2.1/tcp/80/ws", "192.0.2.1:80", ""),
        ("/ip6/2001:db8::1/tcp/81/ws", "[2001:db8::1]:81", ""),
        ("/ip4/192.0.2.1/tcp/80/ws/http-path/a%2Fb", "192.0.2.1:80", "a/b"),
    ] {
        let mut bench = bench();
        bench.swarm.dial(at(0), Dial::addr(addr(text))).unwrap();
        let begun = bench.dials(at(0));
        assert_eq!(begun[0].1, text);
        let (ip, port) = addr(text).socket_tcp().unwrap();
        let remote = Multiaddr::tcp(ip, port);
        let seat = bench
            .swarm
            .handle_dialed(at(1), begun[0].0, None, remote)
            .unwrap();
        let target = seat.websocket.unwrap();
        assert_eq!((target.host.as_str(), target.path.as_str()), (host, path));
    }
    let mut bench = bench();
    bench
        .swarm
        .dial(at(0), Dial::addr(addr("/ip4/192.0.2.1/tcp/80")))
        .unwrap();
    let begun = bench.dials(at(0));
    let seat = bench
        .swarm
        .handle_dialed(at(1), begun[0].0, None, addr("/ip4/192.0.2.1/tcp/80"));
    assert_eq!(seat.unwrap().websocket, None);
}

// covers: COR-099
#[test]
fn a_name_is_asked_for_by_that_name_wherever_it_leads() {
    let mut bench = bench();
    bench
        .swarm
        .dial(at(0), Dial::addr(addr("/dns4/example.com/tcp/80/ws")))
        .unwrap();
    let Some(Action::Resolve { query, name, .. }) = bench.drive(at(0)).pop() else {
        panic!("not asked")
    };
    assert_eq!(name, "example.com");
    let answers = [1, 2].map(|last| Record::Ip([192, 0, 2, last].into()));
    bench.swarm.handle_resolved(at(0), query, Ok(answers.to_vec()));
    let mut begun = bench.dials(at(0));
    begun.extend(bench.dials(at(1000)));
    assert_eq!(begun.len(), 2);
    for (conn, addr) in begun {
        let (ip, port) = addr.parse::<Multiaddr>().unwrap().socket_tcp().unwrap();
        let seat = bench
            .swarm
            .handle_dialed(at(1001), conn, None, Multiaddr::tcp(ip, port))
            .unwrap();
        assert_eq!(seat.websocket.unwrap().host, "example.com:80");
    }
}

#[test]
fn a_listener_says_by_its_address_that_its_links_are_websockets() {
    let mut bench = bench();
    let local = |text: &str| Some(addr(text));
    let remote = addr("/ip4/192.0.2.9/tcp/1234");
    let seat = bench
        .swarm
        .handle_accepted(at(0), local("/ip4/192.0.2.1/tcp/80/ws"), remote.clone());
    assert!(seat.unwrap().websocket.is_some());
    let seat = bench
        .swarm
        .handle_accepted(at(0), local("/ip4/192.0.2.1/tcp/80"), remote);
    assert!(seat.unwrap().websocket.is_none());
}
