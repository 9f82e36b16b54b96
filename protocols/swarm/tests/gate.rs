//! The gate's five points: each veto stops the flow where it is said.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::Side;
use libp2p_proto_stream_protocol::{AttemptError, Dial, DialError, DialRefused};
use libp2p_proto_swarm::{Config, Denied, Event, IpPrefix, Stage, Veto};
use support::*;

fn bench(veto: Veto) -> Bench {
    let mut bench = Bench::new(Config::default());
    bench.swarm.gate_mut().veto = Some(veto);
    bench
}

fn dial() -> Dial {
    let mut dial = Dial::peer(peer(2));
    dial.addrs = vec![addr("/ip4/192.0.2.1/tcp/1")];
    dial
}

// covers: CON-018
#[test]
fn a_veto_against_a_peer_comes_before_any_address_is_looked_at() {
    let mut bench = bench(|stage| match stage {
        Stage::DialPeer { .. } => Err(Denied("no-peer")),
        Stage::DialAddress { .. } => panic!("too late"),
        _ => Ok(()),
    });
    assert_eq!(
        bench.swarm.dial(at(0), dial()),
        Err(DialRefused::Denied("no-peer"))
    );
}

// covers: CON-018
#[test]
fn a_veto_against_an_address_comes_before_its_socket_and_spares_the_others() {
    let mut bench = bench(|stage| match stage {
        Stage::DialAddress { addr, peer } if addr.to_string().contains("192.0.2.1") => {
            assert!(peer.is_some());
            Err(Denied("no-address"))
        }
        _ => Ok(()),
    });
    assert_eq!(
        bench.swarm.dial(at(0), dial()),
        Err(DialRefused::Denied("no-address"))
    );
    let mut two = dial();
    two.addrs.push(addr("/ip4/192.0.2.9/tcp/1"));
    bench.swarm.dial(at(0), two).unwrap();
    let begun = bench.dials(at(29_000));
    assert_eq!(begun.len(), 1);
    assert_eq!(begun[0].1, "/ip4/192.0.2.9/tcp/1");
}

// What a name resolves to is asked about, too.
// covers: CON-018
#[test]
fn a_name_does_not_lead_around_the_gate() {
    let mut bench = Bench::new(Config::default());
    let net = IpPrefix::new([10, 0, 0, 0].into(), 8);
    bench.swarm.gate_mut().denied_networks.push(net);
    bench
        .swarm
        .dial(at(0), Dial::addr(addr("/dns4/example.com/tcp/1")))
        .unwrap();
    let actions = bench.drive(at(0));
    let libp2p_proto_swarm::Action::Resolve { query, .. } = actions[0].clone() else {
        panic!("not asked")
    };
    let record = libp2p_proto_swarm::Record::Ip([10, 0, 0, 1].into());
    bench.swarm.handle_resolved(at(0), query, Ok(vec![record]));
    assert_eq!(bench.dials(at(0)), []);
    let Some(Event::DialFailed {
        error: DialError::AllFailed(causes),
        ..
    }) = bench.events().pop()
    else {
        panic!("not failed")
    };
    assert_eq!(causes[0].1, AttemptError::Denied("denied-network"));
}

// covers: CON-016, CON-018
#[test]
fn a_veto_on_accept_costs_no_byte() {
    let mut bench = bench(|stage| match stage {
        Stage::Accept { .. } => Err(Denied("no-link")),
        _ => Ok(()),
    });
    assert_eq!(bench.accept(at(0), "/ip4/192.0.2.1/tcp/1"), Err("no-link"));
    assert!(bench.swarm.is_idle());
    assert_eq!(bench.swarm.stats().refused, 1);
}

// covers: CON-018, CON-019
#[test]
fn a_veto_after_security_knows_peer_and_direction_and_comes_before_the_multiplexer() {
    let mut bench = bench(|stage| match stage {
        Stage::Secured { peer, info } if **peer == support::peer(2) && info.side == Side::Listener => {
            Err(Denied("not-you"))
        }
        _ => Ok(()),
    });
    let conn = bench.accept(at(0), "/ip4/192.0.2.1/tcp/1").unwrap();
    assert_eq!(orders(&bench.authenticate(at(0), conn, peer(2)), conn), ["Close"]);
    bench.gone(at(0), conn);
    let Some(Event::IncomingFailed { error, .. }) = bench.events().pop() else {
        panic!("not told")
    };
    assert_eq!(error.code, "not-you");
    let other = bench.accept(at(0), "/ip4/192.0.2.1/tcp/1").unwrap();
    assert_eq!(
        orders(&bench.authenticate(at(0), other, peer(3)), other),
        ["Admit"]
    );
    bench.outbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    assert_eq!(bench.swarm.connections(peer(2)).len(), 1, "the other direction");
}

// covers: CON-018
#[test]
fn a_veto_after_the_upgrade_comes_before_anybody_is_told() {
    let mut bench = bench(|stage| match stage {
        Stage::Upgraded { .. } => Err(Denied("too-bad")),
        _ => Ok(()),
    });
    bench.swarm.dial(at(0), dial()).unwrap();
    let (conn, _) = bench.dials(at(0))[0].clone();
    bench
        .swarm
        .handle_dialed(at(0), conn, None, addr("/ip4/192.0.2.1/tcp/1"))
        .unwrap();
    bench.authenticate(at(0), conn, peer(2));
    assert_eq!(orders(&bench.establish(at(0), conn), conn), ["Close"]);
    bench.gone(at(0), conn);
    let told = bench.events();
    assert!(
        matches!(&told[..], [Event::DialFailed { error: DialError::AllFailed(causes), .. }]
        if causes[0].1 == AttemptError::Denied("too-bad"))
    );
}

#[test]
fn only_allowed_peers_come_in_if_there_is_a_list_of_them() {
    let mut bench = Bench::new(Config::default());
    bench.swarm.gate_mut().allowed_peers.insert(peer(3));
    assert_eq!(
        bench.swarm.dial(at(0), dial()),
        Err(DialRefused::Denied("not-allowed-peer"))
    );
    bench.inbound(at(0), peer(3), "/ip4/192.0.2.1/tcp/1");
    assert_eq!(bench.swarm.connections(peer(3)).len(), 1);
}

#[test]
fn networks_are_compared_by_their_first_bits_in_both_families() {
    let net = |text: &str, bits| IpPrefix::new(text.parse().unwrap(), bits);
    let has = |net: IpPrefix, ip: &str| net.contains(ip.parse().unwrap());
    assert!(has(net("192.0.2.0", 24), "192.0.2.255") && !has(net("192.0.2.0", 24), "192.0.3.0"));
    assert!(
        has(net("192.0.2.0", 24), "::ffff:192.0.2.7"),
        "mapped addresses are what they map"
    );
    assert!(has(net("2001:db8::", 32), "2001:db8:1::1") && !has(net("2001:db8::", 32), "2001:db9::1"));
    assert!(has(net("0.0.0.0", 0), "255.255.255.255") && !has(net("0.0.0.0", 0), "::1"));
    assert!(has(net("192.0.2.1", 255), "192.0.2.1") && !has(net("192.0.2.1", 255), "192.0.2.2"));
}
