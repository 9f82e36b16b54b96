//! What a peer may make us hold, and what happens at each limit.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_connection::Error;
use libp2p_proto_core::TransmitBuf;
use libp2p_proto_stream_protocol::{Closed, FromConnection, StreamLimits, StreamOrder};
use libp2p_proto_yamux as yamux;
use support::{
    LARGE, NOW, Pair, RAW, closed, last_code,
    raw::{FIN, RST, Raw, SYN, data, frame, open},
};

const SECOND: Duration = Duration::from_secs(1);

/// A pair whose listener gives no credit back, and whose dialer fills it up.
fn stuffed() -> Pair {
    let mut pair = Pair::established(100_000);
    pair.grant = false;
    for _ in 0..6 {
        let stream = pair.open(RAW, true);
        pair.write(stream, vec![1; 256 << 10]);
    }
    pair.run();
    assert!(!pair.ends[1].wants_input());
    pair
}

#[test]
fn vul_035_unread_bytes_stop_the_link_and_then_cost_the_stream_that_holds_most() {
    let mut pair = stuffed();
    let limits = StreamLimits::default();
    assert!(pair.ends[1].stats().unread <= limits.unread + 65_536);
    // Behind the report of what was carried.
    pair.wait(SECOND);
    let end = pair.ends[1].poll_timeout().unwrap();
    assert_eq!((end.why, end.at), ("unread", NOW + SECOND * 10));
    pair.ends[1].handle_timeout(end.at - Duration::from_nanos(1));
    pair.messages(1);
    assert!(pair.closed(1).is_empty());
    pair.ends[1].handle_timeout(end.at);
    pair.messages(1);
    assert_eq!(pair.closed(1), [Closed::Limit]);
    assert!(pair.ends[1].wants_input());
}

#[test]
fn an_honest_peer_of_a_briefly_slow_reader_loses_nothing() {
    let mut pair = stuffed();
    pair.wait(Duration::from_millis(9_900));
    assert!(pair.closed(1).is_empty());
    // The reader wakes up and takes everything.
    pair.grant = true;
    for told in pair.told[1].clone() {
        if let FromConnection::Frame { stream, data } = told {
            let bytes = data.len();
            let grant = libp2p_proto_stream_protocol::ToConnection::Grant { stream, bytes };
            pair.ends[1].handle_message(pair.now, grant);
        }
    }
    pair.wait(SECOND * 60);
    assert!(pair.closed(0).is_empty() && pair.closed(1).is_empty());
    assert_eq!(pair.frames(1).concat().len(), 6 * (256 << 10));
}

// covers: YMX-078, VUL-168
#[test]
fn a_pause_in_reading_is_not_the_peers_silence() {
    let mut pair = Pair::established(100_000);
    pair.grant = false;
    pair.wait(SECOND);
    // A ping is sent, and its answer will wait behind more than is read.
    let ping_at = pair.ends[1].poll_timeout().unwrap();
    assert_eq!(ping_at.why, "ping");
    let ping_at = ping_at.at;
    pair.ends[1].handle_timeout(ping_at);
    let mut ping = Vec::new();
    while pair.ends[1].poll_transmit(ping_at, &mut TransmitBuf::new(&mut ping, 4096)) {}
    for _ in 0..6 {
        let stream = pair.open(RAW, true);
        pair.write(stream, vec![1; 256 << 10]);
    }
    pair.run();
    assert!(!pair.ends[1].wants_input());
    pair.tails[0] = ping;
    pair.run();
    // Both come due in one call: the pause of ten seconds and the answer that is ten seconds late.
    let both_due = ping_at + SECOND * 10;
    pair.ends[1].handle_timeout(both_due);
    pair.run();
    assert_eq!(pair.closed(1), [Closed::Limit]);
    pair.ends[1].handle_timeout(both_due + SECOND * 9);
    assert!(!pair.ends[1].is_closed(), "{:?}", pair.told[1].last());
    // A peer that stays silent although we read is gone.
    let mut silent = Pair::established(100_000);
    silent.ends[1].handle_timeout(ping_at);
    while silent.ends[1].poll_transmit(ping_at, &mut TransmitBuf::new(&mut Vec::new(), 4096)) {}
    silent.ends[1].handle_timeout(ping_at + SECOND * 10);
    silent.messages(1);
    assert_eq!(last_code(&silent.told[1]), "keep-alive-timeout");
}

#[test]
fn vul_173_frames_without_content_wait_in_the_link_and_not_in_memory() {
    let mut peer = Raw::dialer();
    peer.hear();
    peer.say(&open(1, "/framed/1")).unwrap();
    let told = peer.told.len();
    // 60 000 empty frames in one frame of Noise, of which the swarm has not taken any.
    peer.queue(&data(0, 1, &vec![0; 60_000]));
    peer.queue(&data(FIN, 1, b"\x03end"));
    let news = StreamLimits::default().news;
    while peer.feed_once().unwrap() > 0 {}
    assert!(!peer.end.wants_input());
    assert!(peer.untaken() > 0);
    for _ in 0..1000 {
        assert_eq!(peer.feed_once().unwrap(), 0);
    }
    let mut waiting = 0;
    while peer.end.poll_message().is_some_and(|message| {
        peer.told.push(message);
        waiting += 1;
        waiting < news
    }) {}
    // Once it listens everything comes, in order.
    peer.feed().unwrap();
    let frames = peer.told[told..]
        .iter()
        .filter(|told| matches!(told, FromConnection::Frame { .. }));
    assert_eq!(frames.count(), 60_001);
    assert!(matches!(peer.told.last(), Some(FromConnection::Finished { .. })));
    assert_eq!(peer.end.stats().unread, 0);
}

#[test]
fn events_of_many_streams_wait_in_the_link_too() {
    let mut peer = Raw::dialer();
    peer.hear();
    let churn = |first: u32| -> Vec<u8> {
        (0..100)
            .flat_map(|count| {
                [
                    open(first + 2 * count, "/raw/1"),
                    data(RST, first + 2 * count, b""),
                ]
                .concat()
            })
            .collect()
    };
    for batch in 0..4 {
        peer.queue(&churn(1 + 200 * batch));
    }
    while peer.feed_once().unwrap() > 0 {}
    assert!(peer.untaken() > 0 && !peer.end.wants_input());
    peer.feed().unwrap();
    assert_eq!(closed(&peer.told), [Closed::Reset; 400]);
}

// covers: YMX-071
#[test]
fn streams_that_are_refused_over_and_over_end_the_connection() {
    let mut peer = Raw::dialer();
    peer.hear();
    let mut stream = 1;
    let error = loop {
        let opens: Vec<u8> = (0..50)
            .flat_map(|count| frame(1, SYN, stream + 2 * count, 0, b""))
            .collect();
        stream += 100;
        if let Err(error) = peer.say(&opens) {
            break error;
        }
        peer.hear();
        assert!(stream < 2000, "refused for ever");
    };
    assert_eq!(error, Error::Yamux(yamux::Error::ResetFlood));
    assert_eq!(peer.hear(), frame(3, 0, 0, 1, b""));
}

#[test]
fn streams_beyond_the_limit_of_their_name_that_come_over_and_over_end_the_connection() {
    let mut peer = Raw::dialer();
    peer.hear();
    // Two of these may stand; the others are refused once their name is agreed.
    let mut stream = 1;
    let error = loop {
        let opens: Vec<u8> = (0..50)
            .flat_map(|count| open(stream + 2 * count, "/few/1"))
            .collect();
        stream += 100;
        if let Err(error) = peer.say(&opens) {
            break error;
        }
        peer.hear();
        assert!(stream < 2000, "refused for ever");
    };
    assert_eq!(error, Error::Yamux(yamux::Error::ResetFlood));
    // An honest peer that asks for one too many now and then is not harmed.
    let mut peer = Raw::dialer();
    peer.hear();
    for count in 0..1000 {
        peer.say(&open(2 * count + 1, "/few/1")).unwrap();
        peer.hear();
        peer.now = peer.now + SECOND / 100;
    }
    assert!(!peer.end.is_closed());
}

#[test]
fn vul_174_an_error_is_answered_once_whatever_follows() {
    let mut peer = Raw::dialer();
    peer.hear();
    let bad = frame(9, 0, 1, 0, b"");
    peer.queue(&bad.repeat(1000));
    assert!(peer.feed().is_err());
    for _ in 0..1000 {
        assert!(peer.feed_once().is_err());
    }
    assert_eq!(peer.hear(), frame(3, 0, 0, 1, b""));
    peer.messages();
    let ends = peer
        .told
        .iter()
        .filter(|told| matches!(told, FromConnection::Disconnected { .. }));
    assert_eq!(ends.count(), 1);
    assert_eq!(last_code(&peer.told), "yamux-bad-type");
}

#[test]
fn a_frame_larger_than_the_window_arrives_whole() {
    let mut pair = Pair::established(10_000);
    let stream = pair.open(LARGE, true);
    pair.write(stream, vec![9; 384 << 10]);
    pair.run();
    assert_eq!(pair.frames(1), [vec![9; 384 << 10]]);
    assert_eq!(pair.ends[1].stats().unread, 0);
}

#[test]
fn two_large_frames_side_by_side_arrive_although_together_they_exceed_the_budget() {
    let mut pair = Pair::established(100_000);
    let frames = [vec![1; 384 << 10], vec![2; 384 << 10]];
    assert!(frames.concat().len() > StreamLimits::default().unread);
    for round in 1..=3 {
        let streams = [pair.open(LARGE, true), pair.open(LARGE, true)];
        for (stream, frame) in streams.into_iter().zip(&frames) {
            pair.write(stream, frame.clone());
        }
        pair.run();
        assert_eq!(pair.frames(1).len(), 2 * round, "they waited");
    }
    pair.wait(SECOND * 60);
    assert!(pair.closed(0).is_empty() && pair.closed(1).is_empty());
    let mut got = pair.frames(1);
    got.sort();
    assert_eq!(
        got,
        [vec![frames[0].clone(); 3], vec![frames[1].clone(); 3]].concat()
    );
    assert_eq!(pair.ends[1].stats().unread, 0);
}

// covers: YMX-030
#[test]
fn a_stream_whose_opener_never_reads_is_given_up_at_its_first_read() {
    // What nim does with a stream that it refuses: nothing at all. Ours ends at the deadline of its spec.
    let mut pair = Pair::established(1000);
    let stream = pair.open(RAW, true);
    pair.write(stream, "hello");
    while pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut Vec::new(), 4096)) {}
    pair.now = NOW + SECOND * 10;
    pair.ends[0].handle_timeout(pair.now);
    pair.messages(0);
    assert_eq!(pair.closed(0), [Closed::TimedOut]);
    assert!(!pair.ends[0].is_closed());
}

#[test]
fn credit_of_a_reset_stream_is_free_at_once_for_the_others() {
    let mut pair = stuffed();
    let held = pair.ends[1].stats().unread;
    let theirs = Pair::their_stream();
    pair.order(1, theirs, StreamOrder::Reset);
    assert!(pair.ends[1].stats().unread < held - 100_000);
    pair.run();
    // The room is used by what waited.
    assert!(pair.ends[1].stats().unread > (640 << 10) - 70_000);
    pair.wait(SECOND * 5);
    assert_eq!(pair.closed(1), [Closed::LocalReset]);
}
