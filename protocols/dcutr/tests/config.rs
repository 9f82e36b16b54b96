//! The configuration, and limits at which nothing more is kept.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::Fault;
use libp2p_proto_dcutr::{Command, Config, Dcutr, Error};
use libp2p_proto_stream_protocol::{Framing, Protocol as _};
use support::*;

#[test]
fn a_configuration_out_of_range_is_refused_and_the_field_is_named() {
    let base = Config::default();
    let cases = [
        (
            "exchange",
            Config {
                exchange: Duration::ZERO,
                ..base
            },
        ),
        (
            "dial",
            Config {
                dial: Duration::ZERO,
                ..base
            },
        ),
        (
            "max_rtt",
            Config {
                max_rtt: ms(10_001),
                ..base
            },
        ),
        ("attempts", Config { attempts: 0, ..base }),
        (
            "pause",
            Config {
                pause: (ms(2), ms(1)),
                ..base
            },
        ),
        (
            "cooldown",
            Config {
                cooldown: Duration::ZERO,
                ..base
            },
        ),
        ("max_own", Config { max_own: 0, ..base }),
        (
            "max_connect",
            Config {
                max_connect: 4097,
                ..base
            },
        ),
        ("max_addrs", Config { max_addrs: 9, ..base }),
        ("max_ips", Config { max_ips: 0, ..base }),
    ];
    for (field, config) in cases {
        let error = Dcutr::new(config).unwrap_err();
        assert_eq!(error, Error::BadConfig(field));
        assert_eq!(error.fault(), Fault::Local);
    }
}

#[test]
fn the_streams_carry_messages_of_at_most_4096_bytes_and_run_over_limited_connections() {
    let machine = node(Config::default());
    let [spec] = machine.specs() else { unreachable!() };
    assert_eq!(spec.framing, Framing::LengthDelimited { max: 4096 });
    assert!(spec.on_limited && spec.max_inbound == 0);
}

#[test]
fn peers_beyond_the_limit_are_left_alone() {
    let config = Config {
        max_peers: 0,
        ..Config::default()
    };
    let (mut caller, mut callee) = (puppet(), node(config));
    let mut lab = Lab::new();
    lab.identified(CALLEE, true, &[ADDRS[CALLER]]);
    lab.run(&mut caller, &mut callee, ms(5_000));
    assert!(caller.opened().is_empty() && lab.bench.dials(CALLEE).is_empty());
}

#[test]
fn events_beyond_the_limit_are_counted() {
    let config = Config {
        max_events: 0,
        ..Config::default()
    };
    let (mut caller, mut callee) = (puppet(), node(config));
    let mut lab = Lab::new();
    lab.identified(CALLEE, true, &[]);
    lab.run(&mut caller, &mut callee, ms(60_000));
    assert_eq!((callee.stats().events_dropped, callee.stats().failed), (1, 1));
}

#[test]
fn commands_are_values_and_those_beyond_64_are_dropped() {
    let mut machine = node(Config::default());
    let peer = Lab::new().bench.peer(1);
    for _ in 0..100 {
        machine.apply(Command::Retry { peer });
    }
    assert!(machine.poll_timeout().is_some());
    machine.apply(Command::Poll);
}
