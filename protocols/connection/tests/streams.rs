//! Streams of an upgraded connection: names, frames, credit.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_connection::Connection;
use libp2p_proto_core::{ConnectionId, Side, StreamId, TransmitBuf};
use libp2p_proto_stream_protocol::{Closed, Framing, FromConnection, StreamOrder, ToConnection};
use support::{
    FEW, FRAMED, HANDED, HELD, NOW, PREFIX, Pair, RAW, closed, config,
    raw::{FIN, HEADER, RST, Raw, SYN, data, frame, line, open},
    seat,
};

const SECOND: Duration = Duration::from_secs(1);

fn opened(told: &[FromConnection]) -> Vec<(u16, String)> {
    let name = |message: &FromConnection| match message {
        FromConnection::Opened { spec, name, .. } => Some((spec.0, name.as_str().to_owned())),
        _ => None,
    };
    told.iter().filter_map(name).collect()
}

// covers: CON-021
#[test]
fn a_stream_that_we_open_begins_with_the_header_and_our_proposal() {
    let mut peer = Raw::dialer();
    peer.hear();
    let stream = StreamId::ours(ConnectionId::new(2), 0);
    let specs = [RAW, FRAMED].into_iter().collect();
    let lazy = false;
    peer.end
        .handle_message(NOW, ToConnection::Open { stream, specs, lazy });
    let proposal = [HEADER, b"\x07/raw/1\n"].concat();
    assert_eq!(
        peer.hear(),
        [frame(1, SYN, 2, 0, b""), data(0, 2, &proposal)].concat()
    );
    // The listener refuses the first name and takes the second.
    peer.say(&data(2, 2, &[HEADER, b"\x03na\n"].concat())).unwrap();
    assert_eq!(peer.hear(), data(0, 2, b"\x0a/framed/1\n"));
    peer.say(&data(0, 2, b"\x0a/framed/1\n\x03abc")).unwrap();
    assert_eq!(opened(&peer.told), [(FRAMED.0, "/framed/1".to_owned())]);
    assert!(matches!(peer.told.last(), Some(FromConnection::Frame { data, .. }) if data == "abc"));
}

// covers: CON-022
#[test]
fn an_unknown_name_is_answered_na() {
    let mut peer = Raw::dialer();
    peer.hear();
    peer.say(&data(SYN, 1, &[HEADER, b"\x05/x/1\n"].concat()))
        .unwrap();
    assert_eq!(peer.hear(), data(2, 1, &[HEADER, b"\x03na\n"].concat()));
    assert!(peer.told.iter().all(|message| message.stream().is_none()));
}

// covers: CON-023
#[test]
fn a_name_is_compared_byte_for_byte_unless_its_spec_asks_for_a_prefix() {
    for (name, spec) in [
        ("/raw/1", Some(RAW)),
        ("/raw/1.0", None),
        ("/raw/", None),
        ("/any/1", Some(PREFIX)),
        ("/any/1/more", Some(PREFIX)),
        ("/any", None),
    ] {
        let mut peer = Raw::dialer();
        peer.hear();
        peer.say(&open(1, name)).unwrap();
        let answer = if spec.is_some() { line(name) } else { line("na") };
        assert_eq!(peer.hear(), data(2, 1, &[HEADER, &answer].concat()), "{name}");
        let told: Vec<_> = spec.map(|spec| (spec.0, name.to_owned())).into_iter().collect();
        assert_eq!(opened(&peer.told), told);
    }
}

// covers: CON-028
#[test]
fn a_limited_link_serves_only_what_allows_it() {
    let mut seat = seat(2, Side::Listener);
    seat.limited = true;
    let mut peer = Raw::upgraded(Connection::new(NOW, config(2), seat));
    peer.hear();
    peer.say(&[open(1, "/raw/1"), open(3, "/few/1")].concat())
        .unwrap();
    assert_eq!(opened(&peer.told), [(FEW.0, "/few/1".to_owned())]);
    let heard = peer.hear();
    assert!(heard.windows(4).any(|bytes| bytes == b"\x03na\n"));
}

// covers: MSS-049, MSS-050, MSS-054, MSS-057, MSS-058
#[test]
fn a_lazy_stream_is_opened_named_used_and_finished_in_one_frame_and_answered_in_one() {
    let mut pair = Pair::established(100_000);
    let stream = pair.open(FEW, true);
    pair.write(stream, vec![7; 32]);
    pair.order(0, stream, StreamOrder::Finish);
    let flight = |pair: &mut Pair, from: usize| {
        let mut wire = Vec::new();
        assert!(pair.ends[from].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)));
        assert!(!pair.ends[from].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)));
        // SYN or nothing, one data frame with all, FIN: two or three headers in one frame of Noise.
        assert!(wire.len() < 2 + 3 * 12 + 20 + 8 + 32 + 16 + 1, "{}", wire.len());
        pair.tails[1 - from].extend_from_slice(&wire);
        pair.feed(1 - from);
        pair.messages(1 - from);
    };
    flight(&mut pair, 0);
    assert_eq!(pair.frames(1), [vec![7; 32]]);
    assert!(matches!(
        pair.told[1].last(),
        Some(FromConnection::Finished { .. })
    ));
    let theirs = Pair::their_stream();
    pair.write_from(1, theirs, vec![7; 32].into());
    pair.order(1, theirs, StreamOrder::Finish);
    flight(&mut pair, 1);
    assert_eq!(pair.frames(0), [vec![7; 32]]);
    pair.run();
    assert_eq!(
        (pair.closed(0), pair.closed(1)),
        (vec![Closed::Finished], vec![Closed::Finished])
    );
}

// covers: MSS-051
#[test]
fn vul_053_a_refused_stream_is_told_so_lazy_or_not_and_no_early_byte_is_delivered() {
    for lazy in [false, true] {
        for finish in [false, true] {
            let mut pair = Pair::established(1000);
            let refuse = ToConnection::SetInbound { spec: FRAMED, max: 0 };
            pair.ends[1].handle_message(NOW, refuse);
            let stream = pair.open(FRAMED, lazy);
            pair.write(stream, "hello");
            if finish {
                pair.order(0, stream, StreamOrder::Finish);
            }
            pair.run();
            assert_eq!(pair.closed(0), [Closed::Refused]);
            assert!(pair.frames(1).is_empty() && pair.frames(0).is_empty());
            pair.wait(10 * SECOND);
            assert!(pair.ends.iter().all(|end| end.stats().streams == 0));
        }
    }
}

// covers: CON-024
#[test]
fn vul_051_streams_that_never_name_themselves_end_at_their_deadline_and_the_connection_lives() {
    // Theirs: silent, or stuck within the header, with progress or without.
    let mut peer = Raw::dialer();
    peer.hear();
    peer.say(&[frame(1, SYN, 1, 0, b""), data(SYN, 3, &HEADER[..5])].concat())
        .unwrap();
    peer.hear();
    for second in 1..10 {
        peer.now = NOW + SECOND * second;
        peer.end.handle_timeout(peer.now);
        peer.say(&data(0, 3, &HEADER[5..6])).ok();
        assert!(!peer.hear().windows(4).any(|bytes| bytes == [0, 1, 0, 8]));
    }
    peer.now = NOW + SECOND * 10;
    peer.end.handle_timeout(peer.now);
    let resets = [frame(1, RST, 1, 0, b""), frame(1, RST, 3, 0, b"")].concat();
    assert!(peer.hear().ends_with(&resets[12..]));
    assert_eq!(peer.end.stats().streams, 0);
    assert!(!peer.end.is_closed());

    // Ours: the proposal never gets an answer.
    let mut pair = Pair::established(1000);
    pair.open(FRAMED, false);
    while pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut Vec::new(), 4096)) {}
    pair.ends[0].handle_timeout(NOW + Duration::from_millis(9_999));
    pair.messages(0);
    assert!(pair.closed(0).is_empty());
    pair.ends[0].handle_timeout(NOW + SECOND * 10);
    pair.messages(0);
    assert_eq!(pair.closed(0), [Closed::TimedOut]);
    assert!(!pair.ends[0].is_closed());
}

// covers: CON-025, MSS-036
#[test]
fn vul_201_streams_without_a_name_are_few_end_by_themselves_and_never_use_up_ours() {
    let mut peer = Raw::dialer();
    peer.hear();
    let opens = |first: u32, count: u32, body: &[u8], flags: u16| -> Vec<u8> {
        (0..count)
            .flat_map(|count| data(SYN | flags, first + 2 * count, body))
            .collect()
    };
    peer.say(&opens(1, 128, b"", 0)).unwrap();
    assert_eq!(peer.end.stats().streams, 128);
    assert!(!peer.hear().windows(4).any(|bytes| bytes == [0, 1, 0, 8]));
    peer.say(&opens(257, 1, b"", 0)).unwrap();
    assert_eq!(peer.hear(), frame(1, RST, 257, 0, b""));
    assert_eq!(peer.end.stats().streams, 128);

    // Streams of ours have their own budget.
    let stream = StreamId::ours(ConnectionId::new(2), 0);
    let specs = [RAW].into_iter().collect();
    peer.end.handle_message(
        NOW,
        ToConnection::Open {
            stream,
            specs,
            lazy: false,
        },
    );
    assert!(peer.hear().starts_with(&frame(1, SYN, 2, 0, b"")));

    peer.now = NOW + SECOND * 10;
    peer.end.handle_timeout(peer.now);
    assert_eq!(peer.end.stats().streams, 0, "ours was not answered either");
    peer.hear();
    // A header and the end: nothing will ever be proposed.
    peer.say(&opens(259, 256, HEADER, FIN)).ok();
    assert_eq!(peer.end.stats().streams, 0);
}

#[test]
fn the_limit_of_a_kind_refuses_the_next_of_it_alone() {
    let mut peer = Raw::dialer();
    peer.hear();
    peer.say(&[open(1, "/few/1"), open(3, "/few/1")].concat())
        .unwrap();
    peer.hear();
    peer.say(&open(5, "/few/1")).unwrap();
    assert!(peer.hear().ends_with(&frame(1, RST, 5, 0, b"")[1..]));
    peer.say(&data(RST, 1, b"")).unwrap();
    peer.say(&open(7, "/few/1")).unwrap();
    assert_eq!(opened(&peer.told).len(), 3);
    assert_eq!(closed(&peer.told), [Closed::Reset]);
}

#[test]
fn frames_are_whole_and_too_large_ones_close_their_stream_alone() {
    let mut pair = Pair::established(1);
    let stream = pair.open(FRAMED, true);
    for len in [0, 1, 99, 100] {
        pair.write(stream, vec![7; len]);
    }
    pair.run();
    let lens: Vec<_> = pair.frames(1).iter().map(Bytes::len).collect();
    assert_eq!(lens, [0, 1, 99, 100]);
    pair.write(stream, vec![7; 101]);
    pair.run();
    assert_eq!(pair.closed(1), [Closed::FrameTooLarge]);
    assert_eq!(pair.closed(0), [Closed::Reset]);
    assert!(!pair.ends[1].is_closed());
}

#[test]
fn a_stream_that_ends_inside_a_frame_says_so() {
    let mut peer = Raw::dialer();
    peer.say(&[open(1, "/framed/1"), data(FIN, 1, b"\x05abc")].concat())
        .unwrap();
    peer.say(&[open(3, "/few/1"), data(FIN, 3, b"abc")].concat())
        .unwrap();
    assert_eq!(closed(&peer.told), [Closed::UnexpectedEnd, Closed::UnexpectedEnd]);
}

#[test]
fn a_held_stream_gives_one_frame_until_it_is_asked_for_the_next() {
    let mut pair = Pair::established(1000);
    let stream = pair.open(HELD, true);
    for word in ["one", "two", "three"] {
        pair.write(stream, word);
    }
    pair.order(0, stream, StreamOrder::Finish);
    pair.run();
    assert_eq!(pair.frames(1), ["one"]);
    let theirs = Pair::their_stream();
    pair.order(1, theirs, StreamOrder::Next);
    pair.run();
    assert_eq!(pair.frames(1), ["one", "two"]);
    pair.order(1, theirs, StreamOrder::Reframe(Framing::Raw));
    pair.run();
    assert_eq!(pair.frames(1).concat(), b"onetwo\x05three");
    assert!(matches!(
        pair.told[1].last(),
        Some(FromConnection::Finished { .. })
    ));
}

#[test]
fn after_our_reset_nothing_more_is_told_and_nothing_more_is_written() {
    let mut pair = Pair::established(100_000);
    let stream = pair.open(FRAMED, true);
    pair.write(stream, "first");
    pair.run();
    let theirs = Pair::their_stream();
    // The second frame waits to be told when the order to reset comes.
    pair.write(stream, "second");
    let mut wire = Vec::new();
    while pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)) {}
    pair.ends[1].handle_input(NOW, &mut wire).unwrap();
    pair.order(1, theirs, StreamOrder::Reset);
    pair.write_from(1, theirs, "late".into());
    pair.write(stream, "third");
    pair.run();
    assert_eq!(pair.frames(1), ["first"]);
    assert_eq!(pair.closed(1), [Closed::LocalReset]);
    assert_eq!(pair.closed(0), [Closed::Reset]);
    assert!(pair.frames(0).is_empty());
}

#[test]
fn a_reset_that_crosses_the_end_of_its_stream_takes_nothing_back() {
    let mut peer = Raw::dialer();
    peer.queue(&[open(1, "/raw/1"), data(RST, 1, b"")].concat());
    while peer.feed_once().unwrap() > 0 {}
    // The swarm has not heard of the end yet.
    let (stream, order) = (Pair::their_stream(), StreamOrder::Reset);
    peer.end
        .handle_message(NOW, ToConnection::Order { stream, order });
    peer.messages();
    assert_eq!(opened(&peer.told).len(), 1);
    assert_eq!(closed(&peer.told), [Closed::Reset]);
}

#[test]
fn a_flush_is_told_once_everything_before_it_has_left() {
    let mut pair = Pair::established(100_000);
    let stream = pair.open(RAW, true);
    pair.write(stream, "");
    pair.write(stream, vec![1; 3000]);
    pair.write(stream, vec![1; 3]);
    pair.order(0, stream, StreamOrder::NotifyFlushed);
    pair.messages(0);
    assert!(
        !pair.told[0]
            .iter()
            .any(|told| matches!(told, FromConnection::Flushed { .. }))
    );
    pair.run();
    let flushed: Vec<_> = pair.told[0]
        .iter()
        .filter_map(|told| match told {
            FromConnection::Flushed { frames, .. } => Some(*frames),
            _ => None,
        })
        .collect();
    assert_eq!(flushed, [3]);
    let sent: usize = pair.told[0]
        .iter()
        .map(|told| match told {
            FromConnection::Sent { bytes, .. } => *bytes,
            _ => 0,
        })
        .sum();
    assert_eq!(sent, 3003);
}

#[test]
fn that_everything_has_left_is_told_before_the_end_of_the_stream() {
    let mut pair = Pair::established(100_000);
    let stream = pair.open(RAW, true);
    pair.write(stream, "all");
    pair.order(0, stream, StreamOrder::NotifyFlushed);
    pair.order(0, stream, StreamOrder::Finish);
    // Everything leaves and the other side ends too, before our swarm asks for news.
    pair.carry(0);
    pair.order(1, Pair::their_stream(), StreamOrder::Finish);
    pair.carry(1);
    pair.messages(0);
    let ends: Vec<_> = pair.told[0]
        .iter()
        .filter_map(|told| match told {
            FromConnection::Flushed { frames, .. } => Some(Ok(*frames)),
            FromConnection::Closed { reason, .. } => Some(Err(*reason)),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [Ok(1), Err(Closed::Finished)]);
}

#[test]
fn frames_on_a_stream_that_is_not_lazy_wait_for_the_name() {
    let mut pair = Pair::established(1000);
    let stream = pair.open(FRAMED, false);
    pair.write(stream, "hello");
    pair.order(0, stream, StreamOrder::Finish);
    pair.write(stream, "after the end");
    let mut wire = Vec::new();
    while pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)) {}
    assert!(
        wire.len() < 2 + 12 + 12 + 31 + 16 + 1,
        "only the proposal: {}",
        wire.len()
    );
    pair.tails[1].extend_from_slice(&wire);
    pair.run();
    assert_eq!(pair.frames(1), ["hello"]);
    assert!(
        pair.told[1]
            .iter()
            .any(|told| matches!(told, FromConnection::Finished { .. }))
    );
}

#[test]
fn vul_164_streams_leave_nothing_behind_however_they_end() {
    let ends: [fn(&mut Pair, StreamId); 6] = [
        |pair, stream| {
            pair.order(0, stream, StreamOrder::Finish);
            pair.run();
            pair.order(1, pair.last_theirs(), StreamOrder::Finish);
        },
        |pair, stream| pair.order(0, stream, StreamOrder::Reset),
        |pair, _| {
            pair.run();
            pair.order(1, pair.last_theirs(), StreamOrder::Reset);
        },
        |pair, stream| {
            pair.run();
            pair.order(0, stream, StreamOrder::Reset);
            pair.order(1, pair.last_theirs(), StreamOrder::Reset);
        },
        |pair, stream| {
            pair.order(0, stream, StreamOrder::NotifyFlushed);
            pair.write(stream, vec![0; 5000]);
            pair.order(0, stream, StreamOrder::Reset);
        },
        |pair, _| pair.wait(SECOND),
    ];
    let mut pair = Pair::established(100_000);
    let baseline = |pair: &mut Pair| {
        pair.wait(SECOND * 11);
        pair.told = [Vec::new(), Vec::new()];
        pair.tails = [Vec::new(), Vec::new()];
        pair.ends
            .iter()
            .map(|end| (end.stats().streams, end.stats().unread))
            .collect::<Vec<_>>()
    };
    for round in 0..60 {
        let stream = pair.open(if round % 2 == 0 { FRAMED } else { RAW }, round % 3 == 0);
        pair.write(stream, "hello");
        if round % 4 == 0 {
            pair.run();
        }
        let place = round % ends.len();
        ends[place](&mut pair, stream);
        pair.run();
        let open = usize::from(place == 5);
        let stands = pair.ends[0].stats().streams;
        assert_eq!(stands, open, "round {round}");
        if open == 1 {
            pair.order(0, stream, StreamOrder::Reset);
        }
        assert_eq!(baseline(&mut pair), [(0, 0), (0, 0)], "round {round}");
    }
}

#[test]
fn the_bytes_of_an_application_wait_until_their_stream_is_handed_over() {
    for bytes in [b"early".as_slice(), b""] {
        let mut pair = Pair::established(1000);
        let stream = pair.open(HANDED, true);
        pair.write(stream, bytes);
        pair.order(0, stream, StreamOrder::HandOver);
        pair.order(0, stream, StreamOrder::Finish);
        pair.run();
        let ended = |told: &[FromConnection]| {
            told.iter()
                .any(|message| matches!(message, FromConnection::Finished { .. }))
        };
        assert!(pair.frames(1).is_empty());
        assert!(!ended(&pair.told[1]));
        pair.order(1, Pair::their_stream(), StreamOrder::HandOver);
        pair.run();
        assert_eq!(pair.frames(1).concat(), bytes);
        assert!(ended(&pair.told[1]));
    }
}
