//! How a connection ends: by us, by the remote, by the link.
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
use libp2p_proto_stream_protocol::{Closed, FromConnection, ToConnection};
use support::{
    NOW, Pair, RAW, closed, last_code,
    raw::{FIN, Raw, SYN, data, frame, open},
};

const SECOND: Duration = Duration::from_secs(1);

// covers: CON-064, YMX-081
#[test]
fn an_orderly_close_ends_with_a_go_away_and_waits_a_second_at_most() {
    let mut peer = Raw::dialer();
    peer.hear();
    peer.say(&open(1, "/raw/1")).unwrap();
    peer.hear();
    peer.end.handle_message(NOW, ToConnection::Close);
    peer.messages();
    assert_eq!(closed(&peer.told), [Closed::ConnectionLost]);
    assert_eq!(last_code(&peer.told), "none");
    // New streams of the remote are ignored, and ours are not opened.
    peer.say(&frame(1, SYN, 3, 0, b"")).unwrap();
    assert!(peer.hear().ends_with(&frame(3, 0, 0, 0, b"")));
    assert!(peer.hear().is_empty());
    assert!(peer.end.is_closed());

    // The remote never reads.
    let mut stuck = Raw::dialer();
    stuck.end.handle_message(NOW, ToConnection::Close);
    assert_eq!(stuck.end.poll_timeout().unwrap().at, NOW + SECOND);
    stuck.end.handle_timeout(NOW + SECOND - Duration::from_nanos(1));
    assert!(!stuck.end.is_closed());
    stuck.end.handle_timeout(NOW + SECOND);
    assert!(stuck.end.is_closed());
}

// covers: YMX-086
#[test]
fn after_a_go_away_without_fault_streams_go_on_for_five_seconds() {
    let mut peer = Raw::dialer();
    peer.hear();
    peer.say(&[open(1, "/raw/1"), frame(3, 0, 0, 0, b"")].concat())
        .unwrap();
    peer.now = NOW + Duration::from_millis(4_999);
    peer.end.handle_timeout(peer.now);
    peer.say(&data(0, 1, b"still here")).unwrap();
    let last = peer.told.iter().rfind(|message| message.stream().is_some());
    assert!(matches!(last, Some(FromConnection::Frame { data, .. }) if data == "still here"));
    let deadline = peer.end.poll_timeout().unwrap();
    assert_eq!((deadline.why, deadline.at), ("go-away", NOW + SECOND * 5));
    peer.now = deadline.at;
    peer.end.handle_timeout(peer.now);
    peer.messages();
    assert_eq!(closed(&peer.told), [Closed::ConnectionLost]);
    assert_eq!(last_code(&peer.told), "none");

    // Once the last stream is done there is nothing to wait for.
    let mut peer = Raw::dialer();
    peer.hear();
    peer.say(&[open(1, "/x/1"), frame(3, 0, 0, 0, b""), data(FIN, 1, b"bye")].concat())
        .unwrap();
    peer.hear();
    peer.end.handle_timeout(NOW);
    peer.messages();
    assert_eq!(last_code(&peer.told), "none");
}

// covers: CON-063
#[test]
fn a_remote_that_goes_away_from_an_idle_connection_ends_it_without_an_error() {
    let mut peer = Raw::dialer();
    peer.hear();
    peer.now = NOW + SECOND * 10;
    peer.say(&frame(3, 0, 0, 0, b"")).unwrap();
    assert_eq!(last_code(&peer.told), "none");
    peer.hear();
    assert!(peer.end.is_closed());
    // So does one that just ends the link.
    let mut peer = Raw::dialer();
    peer.end.handle_eof(NOW);
    peer.messages();
    assert_eq!(last_code(&peer.told), "none");
}

// covers: YMX-084, YMX-087
#[test]
fn a_go_away_with_a_code_ends_every_stream_at_once_with_that_code() {
    let mut peer = Raw::dialer();
    peer.hear();
    peer.say(&[open(1, "/raw/1"), open(3, "/raw/1")].concat())
        .unwrap();
    let error = peer.say(&frame(3, 0, 0, 0x1006, b"")).unwrap_err();
    assert_eq!(error, Error::GoAway(0x1006));
    peer.messages();
    assert_eq!(closed(&peer.told), [Closed::ConnectionLost; 2]);
    assert_eq!(last_code(&peer.told), "go-away");
}

// covers: YMX-089, YMX-090
#[test]
fn an_end_of_the_link_in_the_middle_is_an_error() {
    let mut peer = Raw::dialer();
    peer.say(&open(1, "/raw/1")).unwrap();
    peer.end.handle_eof(NOW);
    peer.messages();
    assert_eq!(closed(&peer.told), [Closed::ConnectionLost]);
    assert_eq!(last_code(&peer.told), "eof");
    let mut peer = Raw::dialer();
    peer.say(&frame(1, SYN, 1, 0, b"")[..11]).unwrap();
    peer.end.handle_eof(NOW);
    peer.messages();
    assert_eq!(last_code(&peer.told), "yamux-unexpected-end");
}

#[test]
fn a_link_that_ends_inside_a_frame_of_noise_is_cut_off_however_idle_it_was() {
    for cut in [1, 2, 3, 20, 27] {
        let mut peer = Raw::dialer();
        peer.hear();
        let whole = peer.seal(&frame(2, SYN, 0, 7, b""));
        assert_eq!(whole.len(), 30);
        let mut part = whole[..cut].to_vec();
        assert_eq!(peer.end.handle_input(NOW, &mut part), Ok(0));
        peer.end.handle_eof(NOW);
        peer.messages();
        assert_eq!(last_code(&peer.told), "noise-unexpected-end", "cut at {cut}");
    }
    // What came whole was taken, and the end behind it is a clean one.
    let mut peer = Raw::dialer();
    peer.hear();
    let mut whole = peer.seal(&frame(2, SYN, 0, 7, b""));
    assert_eq!(peer.end.handle_input(NOW, &mut whole), Ok(30));
    peer.end.handle_eof(NOW);
    peer.messages();
    assert_eq!(last_code(&peer.told), "none");
}

#[test]
fn vul_188_everything_that_was_written_before_the_end_arrives_before_the_end() {
    const WINDOW: usize = 256 << 10;
    for size in [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 10 * WINDOW] {
        let mut pair = Pair::established(30_000);
        let stream = pair.open(RAW, true);
        pair.write(stream, vec![3; size]);
        pair.order(0, stream, libp2p_proto_stream_protocol::StreamOrder::Finish);
        pair.run();
        assert_eq!(pair.frames(1).concat().len(), size);
        assert!(matches!(
            pair.told[1].last(),
            Some(FromConnection::Finished { .. })
        ));
    }
}

#[test]
fn an_abort_says_nothing_more() {
    let mut pair = Pair::established(1000);
    pair.open(RAW, true);
    pair.ends[0].handle_message(NOW, ToConnection::Abort);
    assert!(pair.ends[0].is_closed());
    assert!(!pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut Vec::new(), 1000)));
    pair.messages(0);
    assert_eq!(pair.closed(0), [Closed::ConnectionLost]);
    assert_eq!(last_code(&pair.told[0]), "none");
}
