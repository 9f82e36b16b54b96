//! Two swarms over real connections: Noise and yamux, joined by a wire in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_connection::{Config as Upgrade, Connection};
use libp2p_proto_core::{ConnectionId, Instant, TransmitBuf};
use libp2p_proto_stream_protocol::{Dial, Input, Target};
use libp2p_proto_swarm::{Action, Config};
use std::sync::Arc;
use support::*;

/// One end of the wire: its swarm, and its connection machine.
struct End {
    bench: Bench,
    upgrade: Arc<Upgrade>,
    machine: Option<(ConnectionId, Connection)>,
    input: Vec<u8>,
    said: Vec<Action>,
}

impl End {
    fn new(seed: u8) -> Self {
        Self {
            bench: Bench::of(seed, Config::default(), Actor::echo_and_quiet()),
            upgrade: Arc::new(Upgrade::new(&identity(seed), [seed; 32]).unwrap()),
            machine: None,
            input: Vec::new(),
            said: Vec::new(),
        }
    }

    fn sit(&mut self, seat: libp2p_proto_stream_protocol::Seat) {
        self.machine = Some((seat.conn, Connection::new(at(0), self.upgrade.clone(), seat)));
    }

    /// One round: input, news, orders, output.
    fn turn(&mut self, now: Instant) -> Vec<u8> {
        let mut output = Vec::new();
        let mut news = Vec::new();
        if let Some((_, machine)) = &mut self.machine {
            let taken = machine
                .handle_input(now, &mut self.input)
                .unwrap_or(self.input.len());
            self.input.drain(..taken);
            while machine.poll_transmit(now, &mut TransmitBuf::new(&mut output, 1 << 16)) {}
            news.extend(core::iter::from_fn(|| machine.poll_message()));
        }
        for message in news {
            let conn = self.machine.as_ref().unwrap().0;
            self.bench.swarm.handle_message(now, conn, message);
        }
        for action in self.bench.drive(now) {
            match (&mut self.machine, action) {
                (Some((own, machine)), Action::Order { conn, message }) if *own == conn => {
                    machine.handle_message(now, message);
                }
                (_, action) => self.said.push(action),
            }
        }
        output
    }
}

/// The dialer with `seed` dials `wanted` and reaches `answers`.
fn dial(seed: u8, wanted: u8, answers: u8) -> (End, End) {
    let (mut dialer, mut listener) = (End::new(seed), End::new(answers));
    let target = format!("/ip4/192.0.2.1/tcp/4001/p2p/{}", peer(wanted));
    dialer.bench.swarm.dial(at(0), Dial::addr(addr(&target))).unwrap();
    let (conn, remote) = dialer.bench.dials(at(0))[0].clone();
    let seat = dialer
        .bench
        .swarm
        .handle_dialed(at(0), conn, None, addr(&remote))
        .unwrap();
    dialer.sit(seat);
    let seat = listener
        .bench
        .swarm
        .handle_accepted(at(0), None, addr("/ip4/198.51.100.1/tcp/9"))
        .unwrap();
    listener.sit(seat);
    run(&mut dialer, &mut listener, at(0));
    (dialer, listener)
}

fn run(a: &mut End, b: &mut End, now: Instant) {
    let mut quiet = 0;
    while quiet < 3 {
        let (from_a, from_b) = (a.turn(now), b.turn(now));
        quiet = if from_a.is_empty() && from_b.is_empty() {
            quiet + 1
        } else {
            0
        };
        a.input.extend(from_b);
        b.input.extend(from_a);
    }
}

#[test]
fn frames_go_through_both_swarms_and_credit_comes_back() {
    let (mut a, mut b) = dial(1, 2, 2);
    assert_eq!(a.bench.swarm.connections(peer(2)).len(), 1);
    assert_eq!(b.bench.swarm.connections(peer(1)).len(), 1);
    a.bench.actor.wish(|cx| {
        cx.open(Target::Peer(peer(2)), &[0]).unwrap();
    });
    run(&mut a, &mut b, at(1));
    let opened = |end: &End| {
        let stream = |input: &Input| match input {
            Input::Opened { stream, .. } => Some(*stream),
            _ => None,
        };
        end.bench.actor.inputs.iter().find_map(stream).unwrap()
    };
    let (ours, theirs) = (opened(&a), opened(&b));
    for _ in 0..50 {
        a.bench
            .actor
            .wish(move |cx| cx.write(ours, vec![5; 20_000]).unwrap());
        run(&mut a, &mut b, at(2));
    }
    a.bench.actor.wish(move |cx| cx.finish(ours));
    run(&mut a, &mut b, at(3));
    let bytes = |input: &Input| match input {
        Input::Frame { stream, data } if *stream == theirs => data.len(),
        _ => 0,
    };
    let received: usize = b.bench.actor.inputs.iter().map(bytes).sum();
    assert_eq!(received, 1_000_000);
    assert!(b.bench.actor.inputs.contains(&Input::Finished { stream: theirs }));
    a.bench.swarm.close(at(4));
    run(&mut a, &mut b, at(4));
    assert!(a.bench.swarm.is_idle());
}
