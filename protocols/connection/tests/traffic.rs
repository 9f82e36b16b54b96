//! What a connection carried: told now and then, never for its own sake.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_stream_protocol::{FromConnection, ToConnection, Traffic};
use support::{Pair, RAW};

const SECOND: Duration = Duration::from_secs(1);

fn reports(told: &[FromConnection]) -> Vec<Traffic> {
    let report = |message: &FromConnection| match message {
        FromConnection::Carried(traffic) => Some(*traffic),
        _ => None,
    };
    told.iter().filter_map(report).collect()
}

#[test]
fn what_was_carried_is_told_once_a_second_and_once_at_the_end() {
    let mut pair = Pair::established(100_000);
    let stream = pair.open(RAW, true);
    let start = pair.now;
    for _ in 0..50 {
        pair.write(stream, vec![7; 10_000]);
        pair.wait(Duration::from_millis(100));
    }
    assert_eq!(pair.now, start + SECOND * 5);
    for end in [0, 1] {
        let told = reports(&pair.told[end]);
        assert!((4..=5).contains(&told.len()), "{told:?}");
        let grows = told.is_sorted_by_key(|traffic| traffic.bytes_in + traffic.bytes_out);
        assert!(
            grows && told.iter().all(|traffic| traffic.rtt.is_some()),
            "{told:?}"
        );
    }
    pair.write(stream, vec![7; 10_000]);
    pair.run();
    pair.ends[0].handle_message(pair.now, ToConnection::Close);
    pair.messages(0);
    // The report is the last word before the end.
    let [
        ..,
        FromConnection::Carried(_),
        FromConnection::Disconnected { .. },
    ] = pair.told[0][..]
    else {
        panic!("{:?}", pair.told[0].last())
    };
    pair.wait(SECOND * 6);
    let [ours, theirs] = pair.told.each_ref().map(|told| *reports(told).last().unwrap());
    assert!(
        ours.bytes_out > 510_000 && theirs.bytes_in > 510_000,
        "{ours:?} {theirs:?}"
    );
}

#[test]
fn an_idle_connection_is_woken_for_its_pings_and_for_nothing_else() {
    let mut pair = Pair::established(100_000);
    // The first round trip is told once it is known.
    pair.wait(SECOND * 2);
    assert!(reports(&pair.told[0])[0].rtt.is_some());
    let mut reasons = Vec::new();
    let until = pair.now + SECOND * 600;
    loop {
        pair.run();
        let next = pair.ends.each_ref().map(|end| end.poll_timeout().unwrap());
        let first = next.into_iter().min_by_key(|next| next.at).unwrap();
        if first.at > until {
            break;
        }
        pair.now = first.at;
        reasons.push(first.why);
        for end in &mut pair.ends {
            end.handle_timeout(pair.now);
        }
    }
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons, ["ping"]);
    // Its pings are told all the same, with the next ones.
    let told = reports(&pair.told[0]);
    let last = told.last().unwrap();
    assert!(told.len() >= 15 && told.len() <= 25, "{}", told.len());
    assert!(last.bytes_in > told[0].bytes_in);
}
