//! A connection inside of another: two peers over streams that a third one joins, with real connections on every link.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use libp2p_proto_connection::{Config as Keys, Connection};
use libp2p_proto_core::{ConnectionId, Instant, ProtocolName, Side, StreamId, TransmitBuf};
use libp2p_proto_stream_protocol::{
    AttemptError, Closed, Dial, DialError, DialRefused, Framing, Input, Link, PromoteError, StreamSpec,
    Target,
};
use libp2p_proto_swarm::{Action, Event};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};
use support::{Actor, Bench, addr, at, identity, peer, roomy};

const CARRY: u8 = 0;
const RAW: u8 = 1;
/// The places of the dialer, the relay and the target.
const NEAR: usize = 0;
const RELAY: usize = 1;
const FAR: usize = 2;

/// One pipe: whose ends they are, and what each end's machine is called.
struct Pipe([(usize, ConnectionId); 2]);

struct Net {
    nodes: Vec<Bench>,
    machines: BTreeMap<(usize, ConnectionId), Connection>,
    pipes: Vec<Pipe>,
    now: Instant,
}

fn actor() -> Actor {
    let mut carry = StreamSpec::new(ProtocolName::from_static("/carry/1"), Framing::Held { max: 64 });
    carry.carries_links = true;
    let mut raw = StreamSpec::new(ProtocolName::from_static("/raw/1"), Framing::Raw);
    raw.on_limited = true;
    raw.send_capacity = 1 << 20;
    Actor::new(vec![carry, raw])
}

impl Net {
    /// A relay that both others are connected to.
    fn new() -> Self {
        let node = |seed| Bench::of(seed, roomy(), actor());
        let mut net = Self {
            nodes: vec![node(1), node(2), node(3)],
            machines: BTreeMap::new(),
            pipes: Vec::new(),
            now: at(0),
        };
        net.connect(NEAR, RELAY);
        net.connect(FAR, RELAY);
        net
    }

    fn connect(&mut self, from: usize, to: usize) {
        let now = self.now;
        let there = addr(&format!("/ip4/192.0.2.{}/tcp/4001", to + 1));
        let dial = Dial::addr(there.clone());
        self.nodes[from].swarm.dial(now, dial).unwrap();
        let (conn, _) = self.nodes[from].dials(now)[0].clone();
        let near = self.nodes[from]
            .swarm
            .handle_dialed(now, conn, None, there.clone());
        let here = addr(&format!("/ip4/192.0.2.{}/tcp/5001", from + 1));
        let far = self.nodes[to].swarm.handle_accepted(now, Some(there), here);
        let seats = [(from, near.unwrap()), (to, far.unwrap())];
        let ends = seats.map(|(node, seat)| {
            let seed = u8::try_from(node).unwrap() + 1;
            let keys = Arc::new(Keys::new(&identity(seed), [seed; 32]).unwrap());
            let conn = seat.conn;
            self.machines
                .insert((node, conn), Connection::new(now, keys, seat));
            (node, conn)
        });
        self.pipes.push(Pipe(ends));
        self.settle();
    }

    /// Carries bytes and messages until nothing moves.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for place in 0..self.pipes.len() {
                let Pipe([a, b]) = self.pipes[place];
                moved |= self.carry(a, b) | self.carry(b, a);
            }
            for node in 0..self.nodes.len() {
                moved |= self.work(node);
            }
            if !moved {
                return;
            }
        }
    }

    fn carry(&mut self, from: (usize, ConnectionId), to: (usize, ConnectionId)) -> bool {
        let mut wire = Vec::new();
        let Some(sender) = self.machines.get_mut(&from) else {
            return false;
        };
        while sender.poll_transmit(self.now, &mut TransmitBuf::new(&mut wire, 1 << 16)) {}
        let moved = !wire.is_empty();
        let mut start = 0;
        while start < wire.len() {
            let Some(receiver) = self.machines.get_mut(&to) else {
                break;
            };
            if !receiver.wants_input() {
                self.work(to.0);
            }
            let Some(receiver) = self.machines.get_mut(&to) else {
                break;
            };
            match receiver.handle_input(self.now, &mut wire[start..]) {
                Ok(taken) => start += taken,
                Err(_) => break,
            }
        }
        moved
    }

    fn work(&mut self, node: usize) -> bool {
        let mut news = Vec::new();
        for ((_, conn), machine) in self.machines.iter_mut().filter(|((owner, _), _)| *owner == node) {
            news.extend(core::iter::from_fn(|| machine.poll_message()).map(|message| (*conn, message)));
        }
        let bench = &mut self.nodes[node];
        let told = !news.is_empty();
        for (conn, message) in news {
            bench.swarm.handle_message(self.now, conn, message);
        }
        let actions = bench.drive(self.now);
        let any = told || !actions.is_empty();
        for action in actions {
            if let Action::Order { conn, message } = action {
                if let Some(machine) = self.machines.get_mut(&(node, conn)) {
                    machine.handle_message(self.now, message);
                }
            }
        }
        any
    }

    /// Lets a node's protocol do something, and waits for what comes of it.
    fn act<R: 'static>(
        &mut self,
        node: usize,
        act: impl FnOnce(&mut libp2p_proto_stream_protocol::Context<'_>) -> R + 'static,
    ) -> R {
        let result = Rc::new(RefCell::new(None));
        let place = result.clone();
        self.nodes[node]
            .actor
            .wish(move |cx| *place.borrow_mut() = Some(act(cx)));
        self.settle();
        let result = result.borrow_mut().take();
        result.unwrap()
    }

    fn opened(&self, node: usize, inbound: bool) -> Vec<StreamId> {
        let opened = self.nodes[node]
            .actor
            .inputs
            .iter()
            .filter_map(|input| match input {
                Input::Opened { stream, .. } if stream.is_inbound() == inbound => Some(*stream),
                _ => None,
            });
        opened.collect()
    }

    fn frames(&self, node: usize, wanted: StreamId) -> Vec<u8> {
        let frames = self.nodes[node]
            .actor
            .inputs
            .iter()
            .filter_map(|input| match input {
                Input::Frame { stream, data } if *stream == wanted && data[..] != b"ok"[..] => {
                    Some(data.to_vec())
                }
                _ => None,
            });
        frames.flatten().collect()
    }

    fn closed(&self, node: usize, wanted: StreamId) -> Option<Closed> {
        self.nodes[node]
            .actor
            .inputs
            .iter()
            .find_map(|input| match input {
                Input::Closed { stream, reason } if *stream == wanted => Some(*reason),
                _ => None,
            })
    }

    /// Two streams to the relay, which it joins: the dialer's and the target's ends of them.
    fn joined(&mut self, max: u64) -> (StreamId, StreamId) {
        let near = self.act(NEAR, |cx| cx.open(Target::Peer(peer(2)), &[CARRY]).unwrap());
        let far = self.act(RELAY, |cx| cx.open(Target::Peer(peer(3)), &[CARRY]).unwrap());
        let ends = [self.opened(RELAY, true)[0], far];
        // A last frame each, behind which both hold.
        self.act(RELAY, move |cx| {
            for end in ends {
                cx.write(end, "ok").unwrap();
            }
            cx.splice(ends, max).unwrap();
        });
        (near, self.opened(FAR, true)[0])
    }

    /// A connection from the dialer to the target over the relay: what it is called at each end.
    fn relayed(&mut self, max: u64) -> (ConnectionId, ConnectionId) {
        let mut dial = Dial::peer(peer(3));
        let relay = format!("/ip4/192.0.2.2/tcp/4001/p2p/{}/p2p-circuit", peer(2));
        dial.addrs = vec![addr(&relay)];
        self.nodes[NEAR].swarm.dial(self.now, dial).unwrap();
        self.settle();
        let wanted = self.nodes[NEAR]
            .actor
            .inputs
            .iter()
            .find_map(|input| match input {
                Input::LinkWanted {
                    conn,
                    peer: there,
                    addr: at,
                } => Some((*conn, *there, at.clone())),
                _ => None,
            });
        let (conn, there, at) = wanted.unwrap();
        assert_eq!((there, at), (peer(3), addr(&relay)));
        let (near, far) = self.joined(max);
        let remote = addr(&format!("{relay}/p2p/{}", peer(1)));
        let link = Link::Accepted {
            peer: peer(1),
            remote,
            limited: true,
        };
        let inner = self.act(FAR, move |cx| cx.promote(far, link).unwrap());
        let link = Link::Dialed { conn, limited: true };
        assert_eq!(self.act(NEAR, move |cx| cx.promote(near, link)), Ok(conn));
        (conn, inner)
    }

    fn events(&mut self, node: usize) -> Vec<Event> {
        self.nodes[node].events()
    }
}

// covers: RLY-058, RLY-059, RLY-060, RLY-077, RLY-091
#[test]
fn a_relayed_connection_is_upgraded_end_to_end_and_carries_streams_like_any_other() {
    let mut net = Net::new();
    let (near, far) = net.relayed(u64::MAX);
    let stands = |event: &Event, wanted: ConnectionId, other: u8, side: Side| {
        matches!(event, Event::Connected { conn, peer: there, info, .. }
            if *conn == wanted && *there == peer(other) && info.limited && info.side == side && info.remote.is_relayed())
    };
    let events = net.events(NEAR);
    assert!(
        events.iter().any(|event| stands(event, near, 3, Side::Dialer)),
        "{events:?}"
    );
    let events = net.events(FAR);
    assert!(
        events.iter().any(|event| stands(event, far, 1, Side::Listener)),
        "{events:?}"
    );
    // A stream over it, in both directions, with more bytes than any buffer on the way has room for.
    let stream = net.act(NEAR, |cx| cx.open(Target::Peer(peer(3)), &[RAW]).unwrap());
    assert_eq!(stream.conn, near);
    let there = net.opened(FAR, true)[1];
    assert_eq!(there.conn, far);
    let data: Vec<u8> = (0..700_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (up, down) = (Bytes::from(data.clone()), Bytes::from(data.clone()));
    net.act(NEAR, move |cx| cx.write(stream, up).unwrap());
    net.act(FAR, move |cx| cx.write(there, down).unwrap());
    assert_eq!(net.frames(FAR, there), data);
    assert_eq!(net.frames(NEAR, stream), data);
    // The relay saw none of it.
    let seen = net.nodes[RELAY].actor.inputs.iter();
    assert_eq!(
        seen.filter(|input| matches!(input, Input::Frame { .. })).count(),
        0
    );
    // Its end is an orderly one, and takes both streams to the relay with it.
    net.nodes[NEAR].swarm.disconnect(near);
    net.settle();
    for node in [NEAR, FAR] {
        let events = net.events(node);
        assert!(
            events.iter().any(|event| matches!(
                event,
                Event::Disconnected {
                    error: None,
                    last: true,
                    ..
                }
            )),
            "{events:?}"
        );
        assert_eq!(net.nodes[node].swarm.stats().streams, 0);
    }
    assert_eq!(net.nodes[RELAY].swarm.stats().streams, 0);
    net.nodes[RELAY].swarm.audit().unwrap();
}

#[test]
fn a_relayed_connection_ends_with_the_connection_around_it() {
    let mut net = Net::new();
    let (near, _) = net.relayed(u64::MAX);
    net.events(NEAR);
    let outer = net.nodes[NEAR].swarm.connections(peer(2))[0];
    net.machines
        .get_mut(&(NEAR, outer))
        .unwrap()
        .handle_link_error(net.now, "reset");
    net.settle();
    let ended: Vec<_> = net
        .events(NEAR)
        .into_iter()
        .filter_map(|event| match event {
            Event::Disconnected { conn, .. } => Some(conn),
            _ => None,
        })
        .collect();
    assert_eq!(ended, [near, outer], "the inner one first");
    net.nodes[NEAR].swarm.audit().unwrap();
}

// covers: RLY-088
#[test]
fn another_peer_than_the_relay_claims_is_refused_by_the_handshake() {
    let mut net = Net::new();
    let (near, far) = net.joined(u64::MAX);
    let mut dial = Dial::peer(peer(3));
    dial.addrs = vec![addr(&format!(
        "/ip4/192.0.2.2/tcp/4001/p2p/{}/p2p-circuit",
        peer(2)
    ))];
    net.nodes[NEAR].swarm.dial(net.now, dial).unwrap();
    net.settle();
    let conn = net.nodes[NEAR].actor.inputs.iter().find_map(|input| match input {
        Input::LinkWanted { conn, .. } => Some(*conn),
        _ => None,
    });
    let link = Link::Accepted {
        peer: peer(9),
        remote: addr(&format!("/ip4/192.0.2.2/tcp/4001/p2p/{}/p2p-circuit", peer(2))),
        limited: false,
    };
    net.act(FAR, move |cx| cx.promote(far, link).unwrap());
    let link = Link::Dialed {
        conn: conn.unwrap(),
        limited: false,
    };
    net.act(NEAR, move |cx| cx.promote(near, link).unwrap());
    let connected =
        |event: &Event| matches!(event, Event::Connected { peer: there, .. } if *there != peer(2));
    assert!(!net.events(FAR).iter().any(connected));
    assert!(net.nodes[FAR].swarm.connections(peer(1)).is_empty());
    assert!(net.nodes[FAR].swarm.connections(peer(9)).is_empty());
}

// covers: RLY-071, RLY-072
#[test]
fn the_end_of_one_direction_and_a_reset_go_through_joined_streams() {
    let mut net = Net::new();
    let (near, far) = net.joined(u64::MAX);
    net.act(NEAR, move |cx| cx.reframe(near, Framing::Raw));
    net.act(FAR, move |cx| cx.reframe(far, Framing::Raw));
    net.act(NEAR, move |cx| {
        cx.write(near, "to the target").unwrap();
        cx.finish(near);
    });
    assert_eq!(net.frames(FAR, far), b"to the target");
    assert!(
        net.nodes[FAR]
            .actor
            .inputs
            .contains(&Input::Finished { stream: far })
    );
    net.act(FAR, move |cx| cx.write(far, "still the other way").unwrap());
    assert_eq!(net.frames(NEAR, near), b"still the other way");
    net.act(FAR, move |cx| cx.reset(far));
    assert_eq!(net.closed(NEAR, near), Some(Closed::Reset));
    assert_eq!(net.nodes[RELAY].swarm.stats().streams, 0);
}

// covers: RLY-073
#[test]
fn the_last_byte_that_is_allowed_passes_and_one_more_resets_both_streams() {
    let mut net = Net::new();
    let (near, far) = net.joined(131_072);
    net.act(NEAR, move |cx| cx.reframe(near, Framing::Raw));
    net.act(FAR, move |cx| cx.reframe(far, Framing::Raw));
    for half in 0..2_u8 {
        net.act(NEAR, move |cx| cx.write(near, vec![half; 65_536]).unwrap());
    }
    assert_eq!(net.frames(FAR, far).len(), 131_072);
    // The other direction has a limit of its own.
    net.act(FAR, move |cx| cx.write(far, vec![7; 1000]).unwrap());
    assert_eq!(net.frames(NEAR, near).len(), 1000);
    net.act(NEAR, move |cx| cx.write(near, "x").unwrap());
    assert_eq!(net.frames(FAR, far).len(), 131_072);
    assert_eq!(net.closed(NEAR, near), Some(Closed::Reset));
    assert_eq!(net.closed(FAR, far), Some(Closed::Reset));
    assert_eq!(net.nodes[RELAY].swarm.stats().streams, 0);
}

// covers: RLY-079
#[test]
fn a_receiver_that_stops_stops_the_sender_through_the_relay() {
    let mut net = Net::new();
    let (near, far) = net.joined(u64::MAX);
    net.act(NEAR, move |cx| cx.reframe(near, Framing::Raw));
    net.act(FAR, move |cx| {
        cx.reframe(far, Framing::Raw);
        cx.pause(far);
    });
    net.act(NEAR, move |cx| cx.write(near, vec![1; 4 << 20]).unwrap());
    // One window at the receiver, one in the relay, one that waits for the first of them.
    let arrived = net.frames(FAR, far).len();
    assert!(arrived <= 256 * 1024, "{arrived}");
    net.act(FAR, move |cx| cx.resume(far));
    for _ in 0..64 {
        net.settle();
    }
    assert_eq!(net.frames(FAR, far).len(), 4 << 20);
}

#[test]
fn a_link_that_cannot_be_made_fails_the_dial_with_its_cause() {
    let mut net = Net::new();
    let relay = addr(&format!("/p2p/{}/p2p-circuit", peer(2)));
    let mut dial = Dial::peer(peer(3));
    dial.addrs = vec![relay.clone()];
    net.nodes[NEAR].swarm.dial(net.now, dial).unwrap();
    net.settle();
    let wanted = net.nodes[NEAR].actor.inputs.iter().find_map(|input| match input {
        Input::LinkWanted { conn, .. } => Some(*conn),
        _ => None,
    });
    let conn = wanted.unwrap();
    let cause = AttemptError::Transport("no-reservation");
    net.act(NEAR, move |cx| cx.link_failed(conn, cause));
    let failed = net.events(NEAR).into_iter().find_map(|event| match event {
        Event::DialFailed { error, .. } => Some(error),
        _ => None,
    });
    assert_eq!(failed, Some(DialError::AllFailed(vec![(relay, cause)].into())));
    // What was cancelled takes no link.
    let near = net.act(NEAR, |cx| cx.open(Target::Peer(peer(2)), &[CARRY]).unwrap());
    let link = Link::Dialed { conn, limited: true };
    assert_eq!(
        net.act(NEAR, move |cx| cx.promote(near, link)),
        Err(PromoteError::Cancelled)
    );
}

// covers: RLY-052
#[test]
fn vul_136_an_address_without_a_relay_or_through_two_or_through_us_is_not_dialed() {
    let mut net = Net::new();
    for bad in [
        "/p2p-circuit".to_owned(),
        "/ip4/192.0.2.2/tcp/4001/p2p-circuit".to_owned(),
        format!("/p2p/{}/p2p-circuit/p2p/{}/p2p-circuit", peer(2), peer(4)),
        format!("/ip4/192.0.2.1/tcp/4001/p2p/{}/p2p-circuit", peer(1)),
    ] {
        let mut dial = Dial::peer(peer(3));
        dial.addrs = vec![addr(&bad)];
        assert_eq!(
            net.nodes[NEAR].swarm.dial(net.now, dial),
            Err(DialRefused::NoAddress),
            "{bad}"
        );
    }
    // And no link is made within a link.
    let (near, _) = net.relayed(u64::MAX);
    let stream = net.act(NEAR, move |cx| cx.open(Target::Connection(near), &[CARRY]));
    assert!(
        stream.is_err(),
        "streams that carry links don't run over limited connections"
    );
}
