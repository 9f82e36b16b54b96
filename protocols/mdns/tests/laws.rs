//! The laws of machines, for one that takes datagrams.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant, TransmitBuf};
use libp2p_proto_laws::{Laws, Machine, Said, Script};
use libp2p_proto_mdns::{Config, Mdns, Received};
use support::{addr, answer_of, lan, peer, vector, vectors};

/// The machine behind a pipe: each datagram behind its length, so that it can be cut anywhere.
struct Piped {
    mdns: Mdns,
    dropped: Vec<String>,
}

impl Machine for Piped {
    fn handle_input(&mut self, now: Instant, input: &mut [u8]) -> Result<usize, String> {
        let Some((len, rest)) = input.split_first_chunk::<2>() else {
            return Ok(0);
        };
        let len = usize::from(u16::from_be_bytes(*len));
        let Some(datagram) = rest.get(..len) else {
            return Ok(0);
        };
        let received = Received {
            interface: 1,
            from: "192.168.1.9:5353".parse().unwrap(),
            to: [224, 0, 0, 251].into(),
        };
        if let Err(error) = self.mdns.handle_datagram(now, &received, datagram) {
            self.dropped.push(error.to_string());
        }
        Ok(len + 2)
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> bool {
        self.mdns.poll_transmit(now, out).is_some()
    }

    fn poll_event(&mut self) -> Option<Said> {
        if let Some(error) = self.dropped.pop() {
            return Some(Said::Word(error));
        }
        self.mdns
            .poll_event()
            .map(|event| Said::Word(format!("{event:?}")))
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.mdns.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.mdns.poll_timeout()
    }
}

fn laws() -> Laws<Piped> {
    Laws::of(|now| {
        let mut mdns = Mdns::new(peer(1), Config::default(), [1; 32]).unwrap();
        mdns.set_addresses(
            now,
            [
                addr("/ip4/0.0.0.0/tcp/4001"),
                addr("/ip4/192.168.1.1/udp/9/quic-v1"),
            ],
        );
        mdns.handle_interface(now, lan(1)).unwrap();
        mdns.start(now);
        Piped {
            mdns,
            dropped: Vec::new(),
        }
    })
}

fn datagram(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

#[test]
fn the_laws_hold() {
    let here = &["/ip4/192.168.1.9/tcp/1"][..];
    let script = Script::new()
        .wait(Duration::from_secs(3))
        .input(&datagram(&vector("V-MDN-1")))
        .wait(Duration::from_millis(500))
        .input(&datagram(&vector("V-MDN-1")))
        .input(&datagram(&vector("V-MDN-2")))
        .input(&datagram(&vector("V-MDN-3")))
        .input(&datagram(&answer_of(2, 30, here).encode()))
        .wait(Duration::from_secs(10))
        .input(&datagram(&answer_of(3, 1, here).encode()))
        .input(&datagram(&vector("V-MDN-1b")))
        .wait(Duration::from_secs(40))
        .act(|piped: &mut Piped, now| piped.mdns.set_addresses(now, [addr("/ip4/0.0.0.0/tcp/5")]))
        .wait(Duration::from_secs(5))
        .input(&datagram(&vector("V-MDN-5")))
        .wait(Duration::from_secs(100))
        .act(|piped: &mut Piped, now| piped.mdns.handle_interface_down(now, 1))
        .wait(Duration::from_secs(5))
        .act(|piped: &mut Piped, now| piped.mdns.handle_interface(now, lan(1)).unwrap())
        .wait(Duration::from_secs(5))
        .act(|piped: &mut Piped, now| piped.mdns.stop(now))
        .wait(Duration::from_secs(5));
    let hash = laws().hold(&script);
    assert_eq!(hash, laws().hold(&script));
}

#[test]
fn the_laws_hold_over_packets_that_are_dropped() {
    let mut script = Script::new();
    for (_, bytes) in vectors() {
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1, bytes.len()] {
            script = script
                .input(&datagram(&bytes[..cut]))
                .wait(Duration::from_millis(70));
        }
    }
    laws().hold(&script.wait(Duration::from_secs(300)));
}
