//! What a store holds, a store of the same file holds after a restart, within the same limits and ages.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, UnixTime};
use libp2p_proto_kad::{Config, Kad, Record, Refused, Store, StoreLimits, StoredProvider, StoredValue};
use libp2p_proto_kad_store::{Clock, DiskStore};
use std::{path::Path, time::Duration};

const HOUR: Duration = Duration::from_secs(3600);
const BEGAN: u64 = 1_800_000_000;

fn peer(number: u8) -> PeerId {
    PeerId::from_encoded_key(&[number; 36])
}

/// So long after the beginning; the monotonic clock begins anew in every run.
fn clock(now: Duration, since: Duration) -> Clock {
    Clock {
        now: Instant::ZERO + now,
        unix: UnixTime::from_secs(BEGAN) + since,
    }
}

fn open(path: &Path, config: &Config, since: Duration) -> DiskStore {
    DiskStore::open(path, &peer(0), config, clock(Duration::from_secs(1), since)).unwrap()
}

fn value(key: &str, text: &str, since: Duration) -> StoredValue {
    StoredValue {
        record: Record {
            key: Bytes::from(key.to_owned()),
            value: Bytes::from(text.to_owned()),
            ..Record::default()
        },
        stored: Instant::ZERO + Duration::from_secs(1) + since,
        received: UnixTime::from_secs(BEGAN) + since,
    }
}

fn provider(number: u8, since: Duration) -> StoredProvider {
    StoredProvider {
        peer: peer(number),
        addrs: vec![Multiaddr::tcp([60, number, 1, 1].into(), 4001)],
        source: Some(Bytes::from(vec![4, 60, number])),
        stored: Instant::ZERO + Duration::from_secs(1) + since,
    }
}

fn content(number: usize) -> Bytes {
    Bytes::from(format!("content {number}"))
}

#[test]
fn values_and_providers_are_there_after_a_restart_as_old_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = (folder.path().join("dht"), Config::default());
    {
        let mut store = open(&path, &config, Duration::ZERO);
        store.put_value(value("/x/a", "first", Duration::ZERO)).unwrap();
        store.put_value(value("/x/a", "second", HOUR)).unwrap();
        store.put_value(value("/x/gone", "gone", HOUR)).unwrap();
        store.remove_value(b"/x/gone");
        store.add_provider(&content(1), provider(1, HOUR)).unwrap();
        store.add_provider(&content(1), provider(2, HOUR * 2)).unwrap();
        store.handle().flush().unwrap();
    }
    // Half an hour after the last of these, in a run that began an hour ago.
    let now = clock(HOUR, HOUR * 5 / 2);
    let mut store = DiskStore::open(&path, &peer(0), &config, now).unwrap();
    let found = store.value(b"/x/a").unwrap();
    assert_eq!(found.record, value("/x/a", "second", HOUR).record);
    assert_eq!(found.received, UnixTime::from_secs(BEGAN) + HOUR);
    assert_eq!(store.value(b"/x/gone"), None);
    let found = store.providers(&content(1));
    let seen: Vec<_> = found
        .iter()
        .map(|known| (known.peer, now.now.since(known.stored)))
        .collect();
    // The first one is older than this run: no instant says when it came.
    assert_eq!(seen[1], (peer(2), HOUR / 2));
    assert_eq!(seen[0], (peer(1), HOUR));
    let mut wanted = provider(2, HOUR * 2);
    wanted.stored = found[1].stored;
    assert_eq!(found[1], wanted);
}

#[test]
fn what_has_passed_its_age_is_forgotten_at_the_opening_and_at_every_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = (folder.path().join("dht"), Config::default());
    {
        let mut store = open(&path, &config, Duration::ZERO);
        for (key, since) in [("/x/old", Duration::ZERO), ("/x/young", HOUR * 10)] {
            store.put_value(value(key, "text", since)).unwrap();
        }
        store
            .add_provider(&content(1), provider(1, Duration::ZERO))
            .unwrap();
        store.add_provider(&content(1), provider(2, HOUR * 10)).unwrap();
        store
            .add_provider(&content(2), provider(1, Duration::ZERO))
            .unwrap();
    }
    let mut store = open(&path, &config, HOUR * 49);
    assert_eq!(store.value(b"/x/old"), None);
    assert!(store.value(b"/x/young").is_some());
    let left: Vec<_> = store
        .providers(&content(1))
        .iter()
        .map(|known| known.peer)
        .collect();
    assert_eq!(left, [peer(2)]);
    assert!(store.providers(&content(2)).is_empty());
    // Ten hours later the other value is too old by the wall clock.
    let now = Instant::ZERO + Duration::from_secs(1) + HOUR * 10;
    store.sweep(now, config.value_age, config.provider_age);
    assert_eq!(store.value(b"/x/young"), None);
    drop(store);
    let mut store = open(&path, &config, HOUR * 49);
    assert_eq!(store.value(b"/x/young"), None, "nor is it in the file");
}

#[test]
fn the_limits_hold_before_and_after_a_restart_and_the_file_has_no_more_than_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dht");
    let limits = StoreLimits {
        values: 3,
        provided: 4,
        providers: 2,
        ..StoreLimits::default()
    };
    let config = Config {
        store: limits,
        ..Config::default()
    };
    let mut refused = 0;
    {
        let mut store = open(&path, &config, Duration::ZERO);
        for number in 0..200 {
            let key = format!("/x/{number}");
            refused +=
                usize::from(store.put_value(value(&key, "text", Duration::ZERO)) == Err(Refused::Full));
            let since = Duration::from_secs(number);
            let key = content(usize::try_from(number).unwrap());
            store.add_provider(&key, provider(1, since)).unwrap();
        }
        assert!(refused > 0);
        store.add_provider(&content(199), provider(2, HOUR)).unwrap();
        let third = store.add_provider(&content(199), provider(3, HOUR));
        assert_eq!(third, Err(Refused::Full));
    }
    // With far more room, what the file has is seen.
    let roomy = open(&path, &Config::default(), HOUR);
    let mut roomy = roomy;
    let values = (0..200).filter(|number| roomy.value(format!("/x/{number}").as_bytes()).is_some());
    assert_eq!(values.count(), 3);
    let contents: Vec<_> = (0..200)
        .filter(|number| !roomy.providers(&content(*number)).is_empty())
        .collect();
    assert_eq!(contents, [196, 197, 198, 199]);
    assert_eq!(roomy.providers(&content(199)).len(), 2);
    drop(roomy);
    // With less room, less is taken over.
    let narrow = Config {
        store: StoreLimits {
            provided: 1,
            ..limits
        },
        ..Config::default()
    };
    let mut store = open(&path, &narrow, HOUR);
    let contents: Vec<_> = (0..200)
        .filter(|number| !store.providers(&content(*number)).is_empty())
        .collect();
    assert_eq!(contents.len(), 1);
}

#[test]
fn a_file_that_is_in_use_or_none_of_ours_is_an_error_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = (folder.path().join("dht"), Config::default());
    let store = open(&path, &config, Duration::ZERO);
    let now = clock(HOUR, HOUR);
    assert!(DiskStore::open(&path, &peer(0), &config, now).is_err());
    drop(store);
    assert!(DiskStore::open(&path, &peer(0), &config, now).is_ok());
    let text = folder.path().join("text");
    std::fs::write(&text, "not a database").unwrap();
    let error = DiskStore::open(&text, &peer(0), &config, now).unwrap_err();
    assert!(
        error.to_string().starts_with("the file of the DHT store: "),
        "{error}"
    );
    assert_eq!(std::fs::read(&text).unwrap(), b"not a database");
}

#[test]
fn a_machine_that_ends_leaves_everything_written() {
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = (folder.path().join("dht"), Config::default());
    let mut store = open(&path, &config, Duration::ZERO);
    store.put_value(value("/pk/key", "text", Duration::ZERO)).unwrap();
    let handle = store.handle();
    let kad = Kad::with_store(peer(0), config.clone(), Box::new(store)).unwrap();
    drop(kad);
    handle.flush().unwrap();
    assert!(open(&path, &config, HOUR).value(b"/pk/key").is_some());
}
