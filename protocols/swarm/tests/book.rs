//! The address book: what it keeps, for how long, and over restarts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, UnixTime};
use libp2p_proto_swarm::{AddressBook, BookLimits, Error, Source, backoff};
use proptest::prelude::*;

const START: Instant = Instant::from_millis(1_000);
const UNIX: UnixTime = UnixTime::from_secs(1_700_000_000);

fn peer(number: u32) -> PeerId {
    PeerId::from_encoded_key(&[&[8, 1, 0x12, 0x20][..], &[0; 28], &number.to_be_bytes()].concat())
}

fn addr(port: u16) -> Multiaddr {
    format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
}

fn ports(book: &AddressBook, now: Instant, who: u32) -> Vec<u16> {
    book.addrs(now, &peer(who))
        .map(|addr| addr.socket_tcp().unwrap().1)
        .collect()
}

fn after(secs: u64) -> Instant {
    START + Duration::from_secs(secs)
}

#[test]
fn each_source_has_its_time_to_live_and_what_the_application_told_has_none() {
    let mut book = AddressBook::new(BookLimits::default());
    let sources = [
        (Source::Heard, 600),
        (Source::Dialed, 1_800),
        (Source::Claimed, 3_600),
        (Source::Certified, 86_400),
        (Source::Told, u64::MAX),
    ];
    for (port, (source, _)) in (1..).zip(sources) {
        book.add(START, peer(1), addr(port), source);
    }
    for (port, (source, ttl)) in (1..).zip(sources) {
        if source != Source::Told {
            assert!(ports(&book, after(ttl - 1), 1).contains(&port), "{source:?}");
            assert!(!ports(&book, after(ttl), 1).contains(&port), "{source:?}");
        }
    }
    assert_eq!(ports(&book, after(10_000_000), 1), [5]);
    assert_eq!(book.source(START, &peer(1), &addr(3)), Some(Source::Claimed));
}

#[test]
fn a_clock_at_the_end_of_time_harms_no_address() {
    let mut book = AddressBook::new(BookLimits::default());
    let late = Instant::MAX - Duration::from_secs(60);
    book.add(late, peer(1), addr(1), Source::Claimed);
    assert_eq!(ports(&book, late + Duration::from_secs(59), 1), [1]);
    let mut restored = AddressBook::new(BookLimits::default());
    restored.restore(late, UNIX, &book.snapshot(late, UNIX)).unwrap();
    assert_eq!(ports(&restored, late, 1), [1]);
}

#[test]
fn a_signed_record_replaces_all_but_what_the_application_told() {
    let mut book = AddressBook::new(BookLimits::default());
    book.add(START, peer(1), addr(1), Source::Told);
    book.add(START, peer(1), addr(2), Source::Dialed);
    book.claim(START, peer(1), &[addr(3), addr(4)], false);
    assert_eq!(ports(&book, START, 1), [1, 2, 3, 4]);
    book.claim(START, peer(1), &[addr(4), addr(5)], true);
    assert_eq!(ports(&book, START, 1), [1, 4, 5]);
    book.claim(START, peer(1), &[addr(6)], false);
    assert_eq!(
        ports(&book, START, 1),
        [1, 4, 5],
        "unsigned claims don't replace signed ones"
    );
    book.claim(after(86_400), peer(1), &[addr(6)], false);
    assert_eq!(ports(&book, after(86_400), 1), [1, 6], "but expired ones");
}

#[test]
fn vul_126_addresses_and_peers_are_bounded_and_the_oldest_make_room() {
    let mut book = AddressBook::new(BookLimits::default());
    for port in 0..10_000 {
        book.add(START, peer(0), addr(port), Source::Claimed);
    }
    assert_eq!(book.addrs(START, &peer(0)).count(), 64);
    for number in 0..100_000 {
        book.add(START, peer(number), addr(1), Source::Heard);
    }
    assert_eq!(book.len(), 10_000);
    assert!(ports(&book, START, 89_999).is_empty());
    assert_eq!(ports(&book, START, 90_000), [1]);
}

#[test]
fn vul_122_the_bytes_of_the_book_are_bounded() {
    let limits = BookLimits {
        max_bytes: 100_000,
        ..BookLimits::default()
    };
    let mut book = AddressBook::new(limits);
    for number in 0..10_000_u32 {
        let addrs: Vec<_> = (0..64).map(addr).collect();
        book.claim(START, peer(number), &addrs, number % 2 == 0);
        assert!(book.bytes() <= 100_000);
    }
    assert!(!book.is_empty());
    for who in book.peers().copied().collect::<Vec<_>>() {
        book.remove(&who);
    }
    assert_eq!(book.bytes(), 0);
    // A million invented peers and the default limits.
    let mut book = AddressBook::new(BookLimits::default());
    for number in 0..1_000_000 {
        book.claim(START, peer(number), &[addr(1)], true);
        if number % 1000 == 0 {
            assert!(book.len() <= 10_000 && book.bytes() <= 16 << 20);
        }
    }
    assert_eq!(book.len(), 10_000);
    // Nothing is kept for ever.
    let expired = START + Duration::from_secs(365 * 86_400);
    book.claim(expired, peer(0), &[addr(1)], true);
    let kept = book.peers().filter(|peer| book.addrs(expired, peer).count() > 0);
    assert_eq!(kept.count(), 1);
}

#[test]
fn a_restart_keeps_what_has_not_expired_meanwhile() {
    let mut book = AddressBook::new(BookLimits::default());
    book.add(START, peer(1), addr(1), Source::Told);
    book.add(START, peer(1), addr(2), Source::Claimed);
    book.add(START, peer(2), addr(3), Source::Certified);
    book.add(START, peer(3), addr(4), Source::Heard);
    let snapshot = book.snapshot(after(60), UNIX);
    let mut restored = AddressBook::new(BookLimits::default());
    let later = UNIX + Duration::from_secs(600);
    // Another process, whose clock begins at zero.
    restored.restore(Instant::ZERO, later, &snapshot).unwrap();
    let secs = |secs| Instant::ZERO + Duration::from_secs(secs);
    assert_eq!(ports(&restored, Instant::ZERO, 1), [1, 2]);
    assert_eq!(ports(&restored, secs(2_939), 1), [1, 2]);
    assert_eq!(
        ports(&restored, secs(2_940), 1),
        [1],
        "3600 s less 60 s less 600 s"
    );
    assert_eq!(ports(&restored, Instant::ZERO, 2), [3]);
    assert_eq!(ports(&restored, Instant::ZERO, 3), [0; 0]);
    assert_eq!(restored.snapshot(Instant::ZERO, later).first(), Some(&1));
}

#[test]
fn a_snapshot_of_a_larger_book_fills_a_smaller_one_with_the_newest() {
    let mut book = AddressBook::new(BookLimits::default());
    for number in 0..100 {
        book.add(START, peer(number), addr(1), Source::Told);
    }
    let limits = BookLimits {
        max_peers: 10,
        ..BookLimits::default()
    };
    let mut restored = AddressBook::new(limits);
    restored
        .restore(START, UNIX, &book.snapshot(START, UNIX))
        .unwrap();
    assert_eq!(restored.len(), 10);
    assert_eq!(ports(&restored, START, 99), [1]);
}

// covers: CON-048
#[test]
fn the_back_off_grows_with_the_square_of_the_failures_up_to_five_minutes() {
    let waits: Vec<_> = [0, 1, 2, 3, 4, 17, 18, u32::MAX]
        .into_iter()
        .map(|failed| backoff(failed).as_secs())
        .collect();
    assert_eq!(waits, [5, 6, 9, 14, 21, 294, 300, 300]);
}

proptest! {
    #[test]
    fn no_bytes_make_restoring_panic_or_the_book_outgrow_its_limits(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0_usize..400,
        at in 0_usize..400,
        flip in any::<u8>(),
    ) {
        let limits = BookLimits { max_peers: 3, max_addrs: 2, ..BookLimits::default() };
        let mut book = AddressBook::new(limits);
        let _broken = book.restore(START, UNIX, &bytes);
        bytes.insert(0, 1);
        let _broken = book.restore(START, UNIX, &bytes);
        let mut honest = AddressBook::new(BookLimits::default());
        for number in 0..5 {
            for port in 0..3 {
                honest.add(START, peer(number), addr(port), Source::Claimed);
            }
        }
        let mut snapshot = honest.snapshot(START, UNIX);
        let place = at % snapshot.len();
        snapshot[place] ^= flip;
        snapshot.truncate(cut);
        let _maybe = book.restore(START, UNIX, &snapshot);
        prop_assert!(book.len() <= 3);
        for who in book.peers() {
            prop_assert!(book.addrs(START, who).count() <= 2);
        }
    }
}

#[test]
fn bytes_that_are_no_snapshot_are_a_typed_error() {
    let mut book = AddressBook::new(BookLimits::default());
    for bytes in [&[][..], &[9, 9, 9], &[1], &[1, 0, 5, 1], &[1, 0, 2, 1, 9]] {
        assert_eq!(
            book.restore(START, UNIX, bytes),
            Err(Error::BadSnapshot),
            "{bytes:?}"
        );
    }
    assert_eq!(book.restore(START, UNIX, &[1, 0]), Ok(()));
}

// covers: MDN-072
#[test]
fn what_others_say_of_a_peer_takes_nothing_away_that_is_certified_or_was_dialed() {
    let limits = BookLimits {
        max_addrs: 4,
        ..BookLimits::default()
    };
    let mut book = AddressBook::new(limits);
    book.claim(START, peer(1), &[addr(1), addr(2)], true);
    book.add(START, peer(1), addr(3), Source::Dialed);
    for number in 0..100 {
        book.add(START, peer(1), addr(number), Source::Heard);
    }
    let sources = [1, 2, 3].map(|number| book.source(START, &peer(1), &addr(number)));
    assert_eq!(
        sources,
        [Source::Certified, Source::Certified, Source::Dialed].map(Some)
    );
    assert_eq!(book.addrs(START, &peer(1)).count(), 4);
}
