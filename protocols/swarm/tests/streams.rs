//! Streams: where they run, what they may hold, whose credit goes back when.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{ConnectionId, ProtocolName, StreamId, UnixTime};
use libp2p_proto_stream_protocol::{
    Closed, Fact, Framing, FromConnection, Input, OpenError, SpecId, StreamSpec, Target, TellError,
    ToConnection, WriteError,
};
use libp2p_proto_swarm::{Action, Config, Error, StreamLimit, StreamScopes, Swarm};
use support::*;

const RELAYED: &str =
    "/ip4/192.0.2.9/tcp/1/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq/p2p-circuit";

fn granted(actions: &[Action]) -> usize {
    let bytes = |action: &Action| match action {
        Action::Order {
            message: ToConnection::Grant { bytes, .. },
            ..
        } => *bytes,
        _ => 0,
    };
    actions.iter().map(bytes).sum()
}

fn opened(stream: StreamId, spec: u16) -> FromConnection {
    FromConnection::Opened {
        stream,
        spec: SpecId(spec),
        name: if spec == 0 { ECHO } else { QUIET },
    }
}

// covers: CON-028, CON-029, CON-032
#[test]
fn streams_choose_the_direct_connection_and_limited_ones_carry_only_who_opted_in() {
    let mut bench = Bench::new(Config::default());
    let limited = bench.inbound(at(0), peer(2), RELAYED);
    let (refused, _) = bench.act(at(0), |cx| cx.open(Target::Peer(peer(2)), &[0]));
    assert_eq!(refused, Err(OpenError::LimitedConnection));
    let (allowed, _) = bench.act(at(0), |cx| cx.open(Target::Peer(peer(2)), &[1]));
    assert_eq!(allowed.unwrap().conn, limited);
    let (names, _) = bench.act(at(0), move |cx| {
        (cx.local_protocols(Some(limited)), cx.local_protocols(None))
    });
    assert_eq!(names, (vec![QUIET], vec![ECHO, QUIET]));
    let direct = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    for spec in [0, 1] {
        let (chosen, _) = bench.act(at(0), move |cx| cx.open(Target::Peer(peer(2)), &[spec]));
        assert_eq!(chosen.unwrap().conn, direct);
    }
}

#[test]
fn an_open_that_can_not_be_says_why() {
    let mut bench = Bench::new(Config::default());
    let (results, _) = bench.act(at(0), |cx| {
        [
            cx.open(Target::Peer(peer(2)), &[0]),
            cx.open(Target::Peer(peer(2)), &[7]),
            cx.open(Target::Peer(peer(2)), &[]),
            cx.open(Target::Connection(ConnectionId::new(u64::MAX)), &[0]),
        ]
    });
    let (nobody, unknown) = (Err(OpenError::NotConnected), Err(OpenError::UnknownSpec));
    assert_eq!(results, [nobody, unknown, unknown, nobody]);
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    bench.swarm.disconnect(conn);
    let (closing, _) = bench.act(at(0), |cx| cx.open(Target::Peer(peer(2)), &[0]));
    assert_eq!(closing, nobody, "not on one that is closing");
}

// covers: CON-026
#[test]
fn a_spec_has_so_many_streams_of_ours_on_a_connection_and_no_more() {
    let mut spec = StreamSpec::new(ECHO, Framing::Raw);
    spec.max_outbound = 2;
    let mut bench = Bench::of(1, Config::default(), Actor::new(vec![spec]));
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let open = |bench: &mut Bench| bench.act(at(0), |cx| cx.open(Target::Peer(peer(2)), &[0])).0;
    let first = open(&mut bench).unwrap();
    open(&mut bench).unwrap();
    assert_eq!(open(&mut bench), Err(OpenError::TooManyStreams));
    bench.closes(at(0), first);
    let third = open(&mut bench).unwrap();
    assert_eq!(third, StreamId::ours(conn, 2), "ids are never used again");
}

// covers: CON-054
#[test]
fn a_stream_counts_in_all_its_scopes_or_in_none() {
    let one = StreamLimit {
        inbound: 1,
        outbound: 1,
        total: 2,
    };
    let scopes = StreamScopes {
        peer: one,
        ..StreamScopes::default()
    };
    let mut bench = Bench::new(Config {
        scopes,
        ..Config::default()
    });
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let other = bench.inbound(at(0), peer(3), "/ip4/192.0.2.2/tcp/1");
    bench.remote_opens(at(0), conn, 0, 0);
    bench.actor.inputs.clear();
    let refused = StreamId::theirs(conn, 1);
    let actions = bench.tell(at(0), conn, opened(refused, 1));
    assert_eq!(orders(&actions, conn), ["Reset"]);
    assert_eq!(bench.actor.inputs, [], "its protocol never hears of it");
    assert_eq!(bench.swarm.stats().streams_refused, 1);
    let open = |bench: &mut Bench, who: u8| {
        bench
            .act(at(0), move |cx| cx.open(Target::Peer(peer(who)), &[0]))
            .0
    };
    let ours = open(&mut bench, 2).unwrap();
    assert_eq!(open(&mut bench, 2), Err(OpenError::TooManyStreams));
    assert_eq!(bench.swarm.audit(), Ok(()), "and a refusal changes no count");
    assert!(open(&mut bench, 3).is_ok(), "another peer is another scope");
    bench.remote_opens(at(0), other, 0, 0);
    bench.closes(at(0), ours);
    assert!(open(&mut bench, 2).is_ok());
    assert_eq!(bench.swarm.audit(), Ok(()));
}

#[test]
fn what_is_agreed_other_than_first_proposed_is_what_counts() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let (stream, _) = bench.act(at(0), |cx| cx.open(Target::Peer(peer(2)), &[0, 1]).unwrap());
    bench.tell(at(0), conn, opened(stream, 1));
    assert_eq!(bench.swarm.audit(), Ok(()));
    let (too_large, _) = bench.act(at(0), move |cx| cx.write(stream, vec![0; 1025]));
    assert_eq!(
        too_large,
        Err(WriteError::FrameTooLarge),
        "the framing is that of the second"
    );
    assert_eq!(
        orders(&bench.drive(at(10_000)), conn),
        ["Close"],
        "which keeps nothing alive"
    );
}

#[test]
fn a_writer_is_blocked_until_half_of_its_capacity_is_free() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let stream = bench.remote_opens(at(0), conn, 0, 0);
    let (results, _) = bench.act(at(0), move |cx| {
        let fits = cx.write(stream, vec![0; 65_536]);
        (fits, cx.write(stream, vec![0]), cx.writable(stream))
    });
    assert_eq!(results, (Ok(()), Err(WriteError::Blocked), 0));
    bench.actor.inputs.clear();
    let sent = |bytes| FromConnection::Sent { stream, bytes };
    bench.tell(at(0), conn, sent(32_767));
    assert_eq!(bench.actor.inputs, []);
    bench.tell(at(0), conn, sent(1));
    assert_eq!(bench.actor.inputs, [Input::Writable { stream }]);
    bench.tell(at(0), conn, sent(1));
    assert_eq!(bench.actor.inputs.len(), 1, "told once");
}

#[test]
fn all_credit_goes_back_once_and_none_for_nothing() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let streams: Vec<_> = (0..3)
        .map(|count| bench.remote_opens(at(0), conn, count, 0))
        .collect();
    let (mut delivered, mut back) = (0, 0);
    for round in 0..3000 {
        let len = [0, 1, 100, 0, 333][round % 5];
        delivered += len;
        back += granted(&bench.frame(at(0), streams[round % 3], len));
        assert!(back <= delivered && delivered - back < 64 * 1024);
    }
    let (paused, other) = (streams[0], streams[1]);
    bench.act(at(0), move |cx| cx.pause(paused));
    let before = back;
    for _ in 0..10 {
        delivered += 100_000;
        back += granted(&bench.frame(at(0), paused, 100_000));
    }
    assert!(back - before < 64 * 1024, "a paused stream's peer waits");
    let more = granted(&bench.frame(at(0), other, 70_000));
    delivered += 70_000;
    back += more;
    assert!(more >= 70_000, "but not that of another stream");
    let ((), actions) = bench.act(at(0), move |cx| cx.resume(paused));
    back += granted(&actions);
    assert!(delivered - back < 64 * 1024);
    let gone = bench.closes(at(0), streams[2]);
    assert_eq!(granted(&gone), 0);
}

// covers: CON-027, MSS-052
#[test]
fn a_peer_that_speaks_a_protocol_no_longer_is_no_longer_written_to_before_it_agrees() {
    let names = |list: &[ProtocolName]| Fact::PeerProtocols {
        peer: peer(2),
        protocols: list.to_vec().into(),
    };
    let actor = Actor::new(vec![StreamSpec::new(ECHO, Framing::Raw)]);
    let teller = Actor::new(vec![StreamSpec::new(QUIET, Framing::Raw)]);
    let (mut actor, mut teller) = (actor, teller);
    let mut swarm = Swarm::new(
        identity(1),
        Config::default(),
        [7; 32],
        &mut [&mut actor, &mut teller],
    )
    .unwrap();
    let drive = |swarm: &mut Swarm, actor: &mut Actor, teller: &mut Actor| {
        while swarm.drive(at(0), UnixTime::from_secs(0), &mut [actor, teller], 64) {}
        let actions: Vec<_> = core::iter::from_fn(|| swarm.poll_action()).collect();
        actions
    };
    let seat = swarm
        .handle_accepted(at(0), None, addr("/ip4/192.0.2.1/tcp/1"))
        .unwrap();
    let (security, muxer) = (NOISE, YAMUX);
    for message in [
        FromConnection::Authenticated { peer: peer(2) },
        FromConnection::Established { security, muxer },
    ] {
        swarm.handle_message(at(0), seat.conn, message);
        drive(&mut swarm, &mut actor, &mut teller);
    }
    for (spoken, lazy) in [(vec![], "false"), (vec![ECHO], "true"), (vec![QUIET], "false")] {
        let fact = names(&spoken);
        teller.wish(move |cx| cx.tell(fact).unwrap());
        drive(&mut swarm, &mut actor, &mut teller);
        actor.wish(|cx| assert!(cx.open(Target::Peer(peer(2)), &[0]).is_ok()));
        let actions = drive(&mut swarm, &mut actor, &mut teller);
        assert_eq!(orders(&actions, seat.conn), [format!("Open lazy={lazy}")]);
    }
    let facts = |actor: &Actor| {
        let fact = |input: &&Input| matches!(input, Input::Fact(_));
        actor.inputs.iter().filter(fact).count()
    };
    assert_eq!(
        (facts(&actor), facts(&teller)),
        (3, 0),
        "told to all but the teller"
    );
}

#[test]
fn facts_that_do_not_fit_are_refused() {
    let mut bench = Bench::new(Config {
        max_facts: 3,
        ..Config::default()
    });
    let (told, _) = bench.act(at(0), |cx| [0; 5].map(|_| cx.tell(Fact::LocalProtocols)));
    let full = Err(TellError::Full);
    assert_eq!(told, [Ok(()), Ok(()), Ok(()), full, full]);
}

#[test]
fn words_about_streams_of_another_connection_are_not_heard() {
    let mut bench = Bench::new(Config::default());
    let victim = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let liar = bench.inbound(at(0), peer(3), "/ip4/192.0.2.2/tcp/1");
    let stream = bench.remote_opens(at(0), victim, 0, 0);
    bench.actor.inputs.clear();
    let reason = Closed::Reset;
    bench.tell(at(0), liar, FromConnection::Closed { stream, reason });
    bench.tell(at(0), liar, opened(StreamId::theirs(victim, 1), 0));
    assert_eq!(bench.actor.inputs, []);
    assert_eq!(bench.swarm.stats().streams, 1);
}

#[test]
fn lists_of_protocols_that_can_not_work_are_typed_errors() {
    let build = |specs: Vec<StreamSpec>| {
        Swarm::new(
            identity(1),
            Config::default(),
            [0; 32],
            &mut [&mut Actor::new(specs)],
        )
        .err()
    };
    let raw = StreamSpec::new(ECHO, Framing::Raw);
    assert_eq!(build(vec![raw.clone(), raw.clone()]), Some(Error::DuplicateName));
    let mut asked = raw.clone();
    asked.max_inbound = 0;
    assert_eq!(build(vec![raw.clone(), asked]), None);
    let large = StreamSpec::new(QUIET, Framing::LengthDelimited { max: 2 << 20 });
    assert_eq!(build(vec![large]), Some(Error::FrameOverBudget));
    let many = |count: usize| {
        let name = |number| ProtocolName::new(&format!("/x/{number}")).unwrap();
        build(
            (0..count)
                .map(|number| StreamSpec::new(name(number), Framing::Raw))
                .collect(),
        )
    };
    assert_eq!(many(256), None);
    assert_eq!(many(257), Some(Error::TooManyProtocols));
    let mut bench = Bench::new(Config::default());
    assert!(
        !bench.swarm.drive(at(0), UnixTime::from_secs(0), &mut [], 1),
        "another list does nothing"
    );
    assert!(bench.drive(at(0)).is_empty());
}
