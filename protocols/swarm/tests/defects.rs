//! Ten ways in which an earlier swarm failed. Every one of these tests failed on it.

mod support;

use libp2p_proto_core::{Instant, UnixTime};
use libp2p_proto_stream_protocol::{AttemptError, Dial, DialOutcome, Fact, Input, Target, WriteError};
use libp2p_proto_swarm::{Config, Source};
use support::*;

#[test]
fn vul_173_dial_failures_wait_for_room_in_the_queue_of_events() {
    let mut bench = Bench::new(Config {
        max_events: 8,
        ..Config::default()
    });
    for number in 0..40 {
        let dial = Dial::addr(addr(&format!("/ip4/192.0.2.{number}/tcp/1")));
        bench.swarm.dial(at(0), dial).unwrap();
        let (conn, _) = bench.dials(at(0))[0].clone();
        let error = AttemptError::Transport("refused");
        bench.swarm.handle_dial_failed(at(0), conn, error);
        bench.drive(at(0));
    }
    let mut told = Vec::new();
    loop {
        let events = bench.events();
        assert!(events.len() <= 8);
        if events.is_empty() {
            break;
        }
        told.push(events.len());
        bench.drive(at(0));
    }
    assert_eq!(told, [8; 5], "and none is lost");
}

#[test]
fn a_protocol_whose_deadline_stays_due_does_not_keep_the_drive_going() {
    let mut bench = Bench::new(Config::default());
    bench.actor.stuck = true;
    let mut drives = 0;
    while bench
        .swarm
        .drive(at(0), UnixTime::from_secs(0), &mut [&mut bench.actor], 64)
    {
        drives += 1;
        assert!(drives < 1000, "the drive has no end");
    }
    let next = bench.deadline().unwrap();
    assert!(next > at(0), "and the adapter may sleep");
    bench.actor.inputs.clear();
    bench.drive(next);
    assert!(
        bench.actor.inputs.contains(&Input::Timeout),
        "later it has its turn again"
    );
}

// covers: CON-058
#[test]
fn vul_163_closing_connections_are_not_pending_ones() {
    let mut bench = Bench::new(Config {
        max_pending_inbound: 2,
        ..roomy()
    });
    for number in 2..6 {
        let conn = bench.inbound(at(0), peer(number), &format!("/ip4/192.0.2.{number}/tcp/1"));
        bench.swarm.disconnect(conn);
    }
    assert_eq!(bench.swarm.stats().pending_inbound, 0);
    assert!(bench.accept(at(0), "/ip4/192.0.2.9/tcp/1").is_ok());
}

// covers: CON-034
#[test]
fn a_connection_that_is_closing_is_no_answer_to_a_dial() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let now = at(0);
    let told = (peer(2), addr("/ip4/192.0.2.1/tcp/4001"));
    bench.swarm.book_mut().add(now, told.0, told.1, Source::Told);
    assert_eq!(
        bench.swarm.dial(now, Dial::peer(peer(2))),
        Ok(DialOutcome::Connected(conn))
    );
    bench.swarm.disconnect(conn);
    assert!(matches!(
        bench.swarm.dial(now, Dial::peer(peer(2))),
        Ok(DialOutcome::Pending(_))
    ));
    assert_eq!(bench.dials(now).len(), 1);
    assert!(bench.swarm.connections(peer(2)).is_empty());
}

#[test]
fn after_a_reset_nothing_is_written_and_nothing_delivered_but_the_end() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let stream = bench.remote_opens(at(0), conn, 0, 0);
    let (written, actions) = bench.act(at(0), move |cx| {
        cx.reset(stream);
        cx.finish(stream);
        (cx.write(stream, vec![1]), cx.writable(stream))
    });
    assert_eq!(written, (Err(WriteError::Closed), 0));
    assert_eq!(orders(&actions, conn), ["Reset"]);
    bench.actor.inputs.clear();
    bench.frame(at(0), stream, 10);
    assert_eq!(bench.actor.inputs, []);
    bench.closes(at(0), stream);
    assert!(matches!(bench.actor.inputs[..], [Input::Closed { .. }]));
}

#[test]
fn equal_limits_on_inbound_streams_are_one_fact() {
    let mut bench = Bench::new(Config {
        max_facts: 4,
        ..Config::default()
    });
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    bench.actor.inputs.clear();
    let ((), actions) = bench.act(at(0), |cx| {
        for max in [5; 100].into_iter().chain([3, 9, 9]) {
            cx.set_inbound(0, max).unwrap();
        }
    });
    let facts = |bench: &Bench| {
        let fact = |input: &&Input| matches!(input, Input::Fact(Fact::LocalProtocols));
        bench.actor.inputs.iter().filter(fact).count()
    };
    assert_eq!(facts(&bench), 1);
    assert_eq!(orders(&actions, conn), ["SetInbound 9"]);
    bench.act(at(0), |cx| cx.set_inbound(0, 9).unwrap());
    assert_eq!(facts(&bench), 1);
}

// covers: CON-015
#[test]
fn vul_161_a_crowd_of_hosts_does_not_shut_new_hosts_out() {
    let mut bench = Bench::new(Config {
        max_rated_ips: 100,
        ..Config::default()
    });
    for number in 0..100 {
        for _ in 0..5 {
            let conn = bench
                .accept(at(0), &format!("/ip4/192.0.2.{number}/tcp/1"))
                .unwrap();
            bench.gone(at(0), conn);
        }
    }
    assert_eq!(bench.accept(at(0), "/ip4/192.0.2.99/tcp/1"), Err("rate"));
    assert!(bench.accept(at(0), "/ip4/198.51.100.1/tcp/1").is_ok());
}

// covers: CON-014
#[test]
fn vul_161_half_open_links_of_many_hosts_do_not_shut_an_honest_one_out() {
    let mut bench = Bench::new(Config::default());
    // Ten times as many strangers as there are places, out of 100 networks, in ten seconds.
    for number in 0..1280_u64 {
        let (network, host) = (number % 100, number / 100);
        let remote = format!("/ip4/10.0.{network}.{host}/tcp/1");
        let _some_are_refused = bench.accept(at(number * 8), &remote);
        bench.drive(at(number * 8));
        assert!(bench.swarm.stats().pending_inbound <= 128);
    }
    let honest = bench.accept(at(10_240), "/ip4/198.51.100.1/tcp/1").unwrap();
    for number in 0..256_u64 {
        let _some_are_refused = bench.accept(
            at(10_240 + number),
            &format!("/ip4/10.0.{}.99/tcp/1", number % 100),
        );
        bench.drive(at(10_240 + number));
    }
    bench.authenticate(at(10_500), honest, peer(2));
    bench.establish(at(10_500), honest);
    assert_eq!(bench.swarm.connections(peer(2)).as_slice(), [honest]);
}

// covers: CON-012, CON-013, CON-017
#[test]
fn vul_162_a_seat_is_free_at_its_deadline_although_the_connection_says_nothing() {
    for authenticated in [false, true] {
        let mut bench = Bench::new(Config::default());
        let seat = bench
            .swarm
            .handle_accepted(at(0), None, addr("/ip4/192.0.2.1/tcp/1"))
            .unwrap();
        assert_eq!(seat.upgrade_by, at(10_000));
        if authenticated {
            bench.authenticate(at(9_000), seat.conn, peer(2));
        }
        // Half a second for the connection to say in which step it was too slow.
        bench.drive(at(10_499));
        assert_eq!(bench.swarm.stats().pending_inbound, 1);
        let actions = bench.drive(at(10_500));
        assert_eq!(orders(&actions, seat.conn), ["Abort"]);
        assert_eq!(bench.swarm.stats().pending_inbound, 0);
        assert!(bench.swarm.is_idle());
        assert_eq!(bench.events().len(), 1);
        bench.gone(at(10_501), seat.conn);
        assert_eq!(bench.events(), [], "what it says later is not heard");
    }
}

// covers: CON-061
#[test]
fn streams_that_keep_nothing_alive_leave_the_idle_clock_alone() {
    let mut bench = Bench::new(Config::default());
    let conn = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    for second in 1..10 {
        let stream = bench.remote_opens(at(second * 1000), conn, second, 1);
        bench.closes(at(second * 1000 + 500), stream);
    }
    let (_, actions) = bench.act(at(9_900), move |cx| {
        cx.open(Target::Connection(conn), &[1]).unwrap()
    });
    assert_eq!(orders(&actions, conn), ["Open lazy=false"]);
    let close_at: Instant = at(10_000);
    assert_eq!(orders(&bench.drive(close_at), conn), ["Close"]);
}
