//! Whatever comes, when it comes, and however a connection ends: nothing is left.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_dcutr::{Census, Config, Dcutr, HolePunch};
use libp2p_proto_stream_protocol::Protocol as _;
use proptest::prelude::*;
use support::*;

/// What is left of a machine when it should have nothing.
fn is_empty(machine: &Dcutr) -> bool {
    machine.census() == Census::default() && machine.poll_timeout().is_none()
}

// covers: DCU-073
#[test]
fn vul_150_the_relayed_connection_may_end_at_any_moment_and_nothing_is_left() {
    let steps = 0..260;
    for at in steps.step_by(3) {
        let (mut caller, mut callee) = (node(Config::default()), node(Config::default()));
        let mut lab = Lab::new();
        lab.identified(CALLEE, true, &[]);
        lab.run(&mut caller, &mut callee, ms(at));
        lab.bench.disconnect(lab.conn);
        lab.run(&mut caller, &mut callee, ms(15_000));
        assert!(
            is_empty(&caller) && is_empty(&callee),
            "at {at} ms: {caller:?} {callee:?}"
        );
        assert_eq!((lab.bench.open_streams(0), lab.bench.open_streams(1)), (0, 0));
    }
}

// covers: DCU-073
#[test]
fn of_ten_thousand_upgrades_nothing_is_left() {
    let (mut caller, mut callee) = (node(Config::default()), node(Config::default()));
    let mut lab = Lab::new();
    lab.run(&mut caller, &mut callee, ms(1));
    lab.bench.disconnect(lab.conn);
    let mut dials = 0;
    for round in 0..10_000_u64 {
        lab.conn = connect(&mut lab.bench);
        lab.identified(CALLEE, true, &[]);
        lab.run(&mut caller, &mut callee, ms(250));
        dials += 1;
        assert_eq!(lab.bench.dials(CALLEE).len() as u64, dials);
        // Every second one succeeds; of the others one ends in failure, one with its connection.
        match round % 4 {
            0 | 2 => {
                let direct = lab.meet([Some(dials), Some(dials)]);
                lab.run(&mut caller, &mut callee, ms(1));
                lab.bench.disconnect(direct);
            }
            1 => {
                lab.dial_fails(CALLER, dials);
                lab.dial_fails(CALLEE, dials);
                lab.run(&mut caller, &mut callee, ms(50));
            }
            _ => {}
        }
        lab.bench.disconnect(lab.conn);
        lab.run(&mut caller, &mut callee, ms(11_000));
        assert!(
            is_empty(&caller) && is_empty(&callee),
            "round {round}: {caller:?} {callee:?}"
        );
        events(&mut caller);
        events(&mut callee);
    }
}

// covers: DCU-072
#[test]
fn messages_cut_anywhere_are_refused_or_read_as_less_and_never_dialed_for_more() {
    let whole = connect_message(&[ADDRS[CALLEE], "/ip4/198.51.100.8/tcp/4002"]);
    for cut in 0..whole.len() {
        let (mut caller, mut callee) = (node(Config::default()), puppet());
        let mut lab = Lab::new();
        lab.run(&mut caller, &mut callee, ms(1));
        let stream = lab.open(CALLEE, &callee);
        lab.run(&mut caller, &mut callee, ms(100));
        lab.say(CALLEE, &callee, stream, &whole[..cut]);
        lab.run(&mut caller, &mut callee, ms(100));
        // Twelve bytes are the type and the first address.
        let reads = cut == 12;
        assert_eq!(end_of(&callee, stream).is_none(), reads, "{cut}");
        assert!(lab.bench.dials(CALLER).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // covers: DCU-072
    #[test]
    fn whatever_a_message_says_is_read_or_refused_and_what_was_read_is_written_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = HolePunch::decode(&bytes) {
            prop_assert_eq!(HolePunch::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn with_whatever_latency_both_ends_dial_within_a_millisecond_of_each_other(latency_us in 0_u64..2_000_000) {
        let latency = core::time::Duration::from_micros(latency_us);
        let (mut caller, mut callee) = (node(Config::default()), node(Config::default()));
        let mut lab = Lab::nameless(latency);
        for (end, own) in ADDRS.iter().enumerate() {
            lab.own(end, own, true);
        }
        lab.identified(CALLEE, true, &[]);
        let mut at = [None, None];
        for _ in 0..20_000 {
            lab.run(&mut caller, &mut callee, core::time::Duration::from_micros(500));
            for end in [CALLER, CALLEE] {
                if at[end].is_none() && !lab.bench.dials(end).is_empty() {
                    at[end] = Some(lab.bench.now());
                }
            }
            if let [Some(caller), Some(callee)] = at {
                let apart = Ord::max(caller.since(callee), callee.since(caller));
                prop_assert!(apart <= core::time::Duration::from_micros(1_500), "{apart:?}");
                return Ok(());
            }
        }
        prop_assert!(false, "no dial");
    }

    #[test]
    fn whatever_happens_at_the_relayed_connection_an_upgrade_ends_within_a_minute(steps in proptest::collection::vec((0_u8..7, 0_u64..4_000), 0..12)) {
        let (mut caller, mut callee) = (node(Config::default()), node(Config::default()));
        let mut lab = Lab::new();
        lab.identified(CALLEE, true, &[]);
        for (kind, time) in steps {
            lab.run(&mut caller, &mut callee, ms(time));
            let last = |end: usize, lab: &Lab| lab.bench.dials(end).len() as u64;
            match kind {
                0 => lab.dial_fails(CALLER, last(CALLER, &lab)),
                1 => lab.dial_fails(CALLEE, last(CALLEE, &lab)),
                2 => lab.bench.disconnect(lab.conn),
                3 => lab.conn = connect(&mut lab.bench),
                4 => lab.identified(CALLEE, true, &[ADDRS[CALLER]]),
                5 => { lab.meet([Some(last(CALLER, &lab)), Some(last(CALLEE, &lab))]); }
                _ => lab.own(CALLEE, "/ip4/198.51.100.9/tcp/4001", time % 2 == 0),
            }
        }
        lab.run(&mut caller, &mut callee, ms(150_000));
        for machine in [&caller, &callee] {
            let census = machine.census();
            prop_assert_eq!((census.running, census.dials, census.streams), (0, 0, 0));
        }
    }
}
