//! What others get from us, and what they cannot get.
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
use libp2p_proto_core::{Multiaddr, Rate};
use libp2p_proto_kad::{
    Config, Contact, Diversity, Key, Message, MessageType, Mode, Network, Record, StoreLimits,
};
use libp2p_proto_stream_protocol::{Closed, Fact, Input, Reachability};
use support::{Fake, LATENCY, Net, Node, SECOND, contact, peer, private, puppet, unhex};

fn request(kind: MessageType, key: &[u8]) -> Vec<u8> {
    Message::new(kind, Bytes::copy_from_slice(key)).encode()
}

fn decode(frames: &[Bytes]) -> Vec<Message> {
    frames
        .iter()
        .map(|frame| Message::decode(frame, 4 << 20, 1000).unwrap())
        .collect()
}

fn put(key: &[u8], value: &[u8]) -> Message {
    let mut message = Message::new(MessageType::PutValue, Bytes::copy_from_slice(key));
    message.record = Some(Record {
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
        ..Record::default()
    });
    message
}

fn add(key: &[u8], contacts: Vec<Contact>) -> Message {
    let mut message = Message::new(MessageType::AddProvider, Bytes::copy_from_slice(key));
    message.providers = contacts;
    message
}

/// A server at node 0 and a puppet at node 1 that is connected to it.
fn served(config: Config) -> Net {
    let mut net = Net::with(config, vec![puppet()]);
    net.shy.insert(1);
    net.connect(1, 0);
    net.run(SECOND);
    net
}

/// The same, and `count` peers in the server's table.
fn with_table(config: Config, count: usize) -> Net {
    let answer = || Node::Fake(Fake::naming(vec![contact(999)]));
    let mut nodes = vec![puppet()];
    nodes.extend((0..count).map(|_| answer()));
    let mut net = Net::with(config, nodes);
    net.shy.insert(1);
    net.connect(1, 0);
    for index in 2..count + 2 {
        net.connect(0, index);
    }
    net.run(SECOND * 2);
    // A bucket has room for twenty.
    assert_eq!(net.kad(0).table().count() == count, count <= 20);
    net
}

// covers: KAD-036
#[test]
fn any_number_of_requests_is_served_one_after_the_other_on_one_stream() {
    let mut net = with_table(private(), 3);
    let stream = net.open(1, 0);
    for turn in 1..=5 {
        net.write(1, stream, request(MessageType::FindNode, b"abc"));
        net.run(LATENCY * 4);
        assert_eq!(net.heard(1, stream).len(), turn);
    }
}

// covers: KAD-040
#[test]
fn a_requester_that_has_finished_still_gets_its_answer_and_then_the_end() {
    let mut net = with_table(private(), 1);
    let stream = net.open(1, 0);
    net.write(1, stream, request(MessageType::FindNode, b"abc"));
    let Node::Puppet(puppet) = &net.nodes[1] else {
        panic!()
    };
    net.bench.with(1, puppet, |cx| cx.finish(stream));
    net.run(SECOND);
    assert_eq!(net.heard(1, stream).len(), 1);
    let ended = Input::Closed {
        stream,
        reason: Closed::Finished,
    };
    assert!(net.puppet(1).inputs.contains(&ended));
}

// covers: KAD-018, KAD-047, KAD-048, KAD-168, KAD-177, KAD-211
#[test]
fn what_is_no_request_ends_the_stream_without_a_word() {
    let mut net = with_table(private(), 1);
    let long = [1; 81];
    for frame in [
        unhex("0806"),
        unhex("0804"),
        unhex("0801"),
        unhex("0803"),
        unhex("0802"),
        unhex("080412ffffffff0f"),
        unhex("0d00000000"),
        unhex("0b0c"),
        request(MessageType::GetProviders, &long),
        request(MessageType::AddProvider, &long),
        add(&long, vec![contact(1)]).encode(),
        put(b"/none/x", b"v").encode(),
        request(MessageType::PutValue, b"/x/y"),
    ] {
        let stream = net.open(1, 0);
        net.write(1, stream, frame.clone());
        net.run(SECOND);
        assert!(net.was_reset(1, stream), "{frame:02x?}");
        assert!(net.heard(1, stream).is_empty());
    }
}

// covers: KAD-050, KAD-051
#[test]
fn vul_113_ping_and_put_are_echoed_without_the_peers_that_came_along() {
    let mut net = served(private());
    let mut ping = Message::new(MessageType::Ping, Bytes::new());
    ping.closer = (0..1000).map(contact_of_many).collect();
    ping.providers = (0..1000).map(contact_of_many).collect();
    assert_eq!(net.ask(1, 0, ping.encode()), [unhex("0805")]);
    let mut stuffed = put(b"/x/k", b"v");
    stuffed.closer = vec![contact(1), contact(2)];
    stuffed.providers = vec![contact(3)];
    assert_eq!(net.ask(1, 0, stuffed.encode()), [put(b"/x/k", b"v").encode()]);
}

fn contact_of_many(index: usize) -> Contact {
    Contact {
        peer: peer(index),
        addrs: vec![support::addr(index)],
    }
}

// covers: KAD-119, KAD-120, KAD-124
#[test]
fn any_key_gets_the_twenty_nearest_peers_but_for_the_one_who_asks() {
    let mut net = with_table(private(), 60);
    net.shy.clear();
    let key = peer(1);
    let wanted: Vec<_> = net
        .kad(0)
        .nearest(&Key::of(b"abc"), 20)
        .iter()
        .map(|known| known.peer)
        .collect();
    let answer = &decode(&net.ask(1, 0, request(MessageType::FindNode, b"abc")))[0];
    let told: Vec<_> = answer.closer.iter().map(|contact| contact.peer).collect();
    assert_eq!(told, wanted);
    assert!(!told.contains(&key) && !told.contains(&peer(0)));
}

// covers: KAD-121, KAD-122
#[test]
fn the_peer_that_is_asked_for_stands_first_whoever_it_is() {
    let mut net = with_table(private(), 60);
    let near = net.kad(0).nearest(&Key::of_peer(&peer(5)), 20);
    let inside = usize::from(near.iter().any(|known| known.peer == peer(5)));
    for target in [0, 1, 5] {
        let answer = &decode(&net.ask(1, 0, request(MessageType::FindNode, peer(target).as_bytes())))[0];
        assert_eq!(answer.closer[0], contact(target));
        assert_eq!(answer.closer.len(), if target == 5 { 21 - inside } else { 21 });
        assert!(answer.closer.iter().all(|contact| !contact.addrs.is_empty()));
    }
}

// covers: KAD-034, KAD-128, KAD-130
#[test]
fn a_record_is_stored_under_its_own_key_in_a_known_namespace_only() {
    let mut net = served(private());
    let mut other = put(b"/x/a", b"v");
    other.key = Bytes::from_static(b"/x/b");
    let refused = [
        other,
        put(b"/foo/bar", b"v"),
        put(b"x/k", b"v"),
        put(b"/", b"v"),
        put(b"//x", b"v"),
        put(b"/x", b"v"),
    ];
    for message in refused {
        assert!(net.ask(1, 0, message.encode()).is_empty(), "{message:?}");
        let found = &decode(&net.ask(1, 0, request(MessageType::GetValue, &message.key)))[0];
        assert_eq!(found.record, None);
    }
}

// covers: KAD-132, KAD-133, KAD-134, KAD-137, KAD-138, KAD-032
#[test]
fn a_value_is_kept_if_it_is_better_under_our_own_time_until_it_is_old() {
    let mut net = with_table(private(), 3);
    let mut dated = put(b"/x/k", b"b");
    dated.record.as_mut().unwrap().received = Some("2099-01-01T00:00:00Z".into());
    assert_eq!(net.ask(1, 0, dated.encode()).len(), 1);
    assert!(
        net.ask(1, 0, put(b"/x/k", b"a").encode()).is_empty(),
        "a worse one"
    );
    let found = |net: &mut Net| decode(&net.ask(1, 0, request(MessageType::GetValue, b"/x/k")))[0].clone();
    let answer = found(&mut net);
    let record = answer.record.unwrap();
    assert_eq!(&record.value[..], b"b");
    assert!(
        record.received.unwrap().starts_with("2023-11-14T"),
        "the bench's clock"
    );
    assert_eq!(answer.closer.len(), 3);
    assert_eq!(net.ask(1, 0, put(b"/x/k", b"c").encode()).len(), 1);
    assert_eq!(&found(&mut net).record.unwrap().value[..], b"c");
    net.run(Duration::from_secs(48 * 3600 - 60));
    assert!(found(&mut net).record.is_some());
    net.run(SECOND * 120);
    assert!(found(&mut net).record.is_none());
}

// covers: KAD-147, KAD-148
#[test]
fn vul_108_the_stores_of_values_and_providers_keep_their_bounds() {
    let config = Config {
        store: StoreLimits {
            values: 64,
            provided: 32,
            per_provider: 20,
            ..StoreLimits::default()
        },
        rate: Rate::per_second(10_000, 10_000),
        ..private()
    };
    let mut net = served(config);
    let stream = net.open(1, 0);
    let local = Key::of_peer(&peer(0));
    let mut keys: Vec<Vec<u8>> = (0..400_u32)
        .map(|number| format!("/x/{number}").into_bytes())
        .collect();
    // The farthest first, so that every later one is nearer.
    keys.sort_by_key(|key| core::cmp::Reverse(local.distance(&Key::of(key))));
    for key in &keys {
        net.write(1, stream, put(key, b"v").encode());
        net.run(LATENCY * 3);
    }
    let held: Vec<bool> = keys
        .iter()
        .map(|key| {
            decode(&net.ask(1, 0, request(MessageType::GetValue, key)))[0]
                .record
                .is_some()
        })
        .collect();
    assert_eq!(held.iter().filter(|held| **held).count(), 64);
    assert!(held[400 - 64..].iter().all(|held| *held), "the nearest stay");
    let large = put(b"/x/large", &vec![1; 65_537]);
    assert!(net.ask(1, 0, large.encode()).is_empty());

    for number in 0..50_u8 {
        net.ask(1, 0, add(&[number], vec![contact(1)]).encode());
    }
    let held = (0..50_u8)
        .filter(|number| {
            let answer = net.ask(1, 0, request(MessageType::GetProviders, &[*number]));
            !decode(&answer)[0].providers.is_empty()
        })
        .count();
    assert_eq!(held, 20, "the share of one peer");
}

// covers: KAD-004, KAD-167, KAD-169, KAD-172, KAD-175
#[test]
fn a_provider_speaks_for_itself_and_stands_once_under_any_multihash() {
    let mut net = with_table(private(), 2);
    let providers = |net: &mut Net, key: &[u8]| {
        decode(&net.ask(1, 0, request(MessageType::GetProviders, key)))[0].clone()
    };
    for key in [&unhex("0003616263")[..], &[0x1e; 34], &[7; 80]] {
        let empty = Contact {
            peer: peer(1),
            addrs: vec![],
        };
        for refused in [vec![contact(2)], vec![empty], vec![]] {
            let stream = net.open(1, 0);
            net.write(1, stream, add(key, refused).encode());
            net.run(SECOND);
            assert!(net.was_reset(1, stream));
            assert!(providers(&mut net, key).providers.is_empty());
        }
        for _ in 0..2 {
            let stream = net.open(1, 0);
            net.write(1, stream, add(key, vec![contact(2), contact(1)]).encode());
            net.run(SECOND);
            assert!(!net.was_reset(1, stream) && net.heard(1, stream).is_empty());
        }
        let answer = providers(&mut net, key);
        assert_eq!(answer.providers, [contact(1)]);
        assert_eq!((&answer.key[..], answer.closer.len()), (key, 2));
    }
}

// covers: KAD-170, KAD-171
#[test]
fn a_provider_is_told_for_two_days_and_its_addresses_for_one() {
    let mut net = Net::with(private(), vec![puppet(), puppet()]);
    net.shy.extend([1, 2]);
    for index in [1, 2] {
        net.connect(index, 0);
    }
    net.run(SECOND);
    net.ask(1, 0, add(b"content", vec![contact(1)]).encode());
    net.isolate(1);
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let began = net.bench.now();
    for (at, wanted) in [
        (hours(23), Some(1)),
        (hours(25), Some(0)),
        (hours(47) + SECOND * 3540, Some(0)),
        (hours(48) + SECOND * 60, None),
    ] {
        let passed = net.bench.now().since(began);
        net.run(at.saturating_sub(passed));
        // Another one asks: of whoever is connected the addresses are known in any case.
        let answer = &decode(&net.ask(2, 0, request(MessageType::GetProviders, b"content")))[0];
        let told = answer.providers.first().map(|contact| contact.addrs.len());
        assert_eq!(told, wanted, "{at:?}");
    }
}

// covers: KAD-044
#[test]
fn a_stream_without_a_request_is_reset_after_a_minute() {
    let mut net = served(private());
    let stream = net.open(1, 0);
    net.run(SECOND * 59);
    assert!(!net.was_reset(1, stream));
    net.run(SECOND * 2);
    assert!(net.was_reset(1, stream));
    // A request gives another minute.
    let stream = net.open(1, 0);
    net.run(SECOND * 50);
    net.write(1, stream, request(MessageType::FindNode, b"k"));
    net.run(SECOND * 50);
    assert!(!net.was_reset(1, stream));
    net.run(SECOND * 15);
    assert!(net.was_reset(1, stream));
}

// covers: KAD-045
#[test]
fn the_thirty_third_stream_of_a_connection_is_refused() {
    let mut net = served(private());
    let streams: Vec<_> = (0..33).map(|_| net.open(1, 0)).collect();
    assert!(net.was_reset(1, streams[32]));
    assert!(!net.was_reset(1, streams[31]));
    assert_eq!(net.kad(0).census().inbound, 32);
}

// covers: KAD-208
#[test]
fn a_flood_is_served_at_its_rate() {
    let config = Config {
        rate: Rate::per_second(10, 5),
        ..private()
    };
    let mut net = served(config);
    let stream = net.open(1, 0);
    for _ in 0..1000 {
        net.write(1, stream, request(MessageType::FindNode, b"k"));
    }
    net.run(SECOND * 10);
    let served = net.kad(0).stats().requests_served;
    assert!((100..=106).contains(&served), "{served}");
}

// covers: KAD-212
#[test]
fn a_peer_that_asks_a_thousand_times_and_never_reads_gets_one_answer_and_a_reset_after_a_minute() {
    let mut net = with_table(private(), 20);
    let stream = net.open(1, 0);
    let Node::Puppet(puppet) = &net.nodes[1] else {
        panic!()
    };
    net.bench.with(1, puppet, |cx| cx.pause(stream));
    // Answers that fill a window of a stream, so that none leaves whole.
    let before = net.kad(0).stats().requests_served;
    for _ in 0..1000 {
        net.write(1, stream, request(MessageType::FindNode, b"k"));
    }
    net.run(SECOND * 59);
    let served = net.kad(0).stats().requests_served - before;
    assert!(!net.was_reset(1, stream));
    net.run(SECOND * 120);
    assert_eq!(net.kad(0).stats().requests_served - before, served);
    assert_eq!(net.kad(0).census().inbound, 0);
}

// covers: KAD-053, KAD-056, KAD-057, KAD-058, KAD-059
#[test]
fn reachability_makes_a_server_and_its_loss_a_client_that_ends_all_streams() {
    use Reachability::{Private, Public, Unknown};
    for (mode, wanted) in [
        (Mode::Auto, [false, true, false, false]),
        (Mode::AutoServer, [true, true, false, true]),
        (Mode::Client, [false; 4]),
        (Mode::Server, [true; 4]),
    ] {
        let mut net = served(Config { mode, ..private() });
        for (fact, wanted) in [Unknown, Public, Private, Unknown].into_iter().zip(wanted) {
            let before = net.kad(0).is_serving();
            let stream = before.then(|| net.open(1, 0));
            net.tell(0, Fact::Reachability(fact));
            net.run(SECOND);
            assert_eq!(net.kad(0).is_serving(), wanted, "{mode:?} {fact:?}");
            if let (Some(stream), false) = (stream, wanted) {
                assert!(net.was_reset(1, stream));
            }
            if !wanted {
                let stream = net.open(1, 0);
                let refused = Input::Closed {
                    stream,
                    reason: Closed::Refused,
                };
                assert!(net.puppet(1).inputs.contains(&refused));
            }
        }
    }
}

// covers: KAD-059
#[test]
fn only_a_confirmed_address_of_the_network_makes_a_server() {
    let config = Config {
        network: Network::Public,
        mode: Mode::Auto,
        ..private()
    };
    let mut net = served(config);
    let external = |addr: &str, confirmed| Fact::ExternalAddress {
        addr: addr.parse::<Multiaddr>().unwrap(),
        confirmed,
    };
    let relay = format!("/ip4/8.8.8.8/tcp/1/p2p/{}/p2p-circuit", peer(7));
    for (fact, wanted) in [
        (external("/ip4/10.0.0.2/tcp/1", true), false),
        (external(&relay, true), false),
        (external("/ip4/8.8.4.4/tcp/1", false), false),
        (external("/ip4/8.8.4.4/tcp/1", true), true),
    ] {
        net.tell(0, fact);
        net.run(SECOND);
        assert_eq!(net.kad(0).is_serving(), wanted);
    }
}

// covers: KAD-123, KAD-178, KAD-082
#[test]
fn the_public_network_tells_and_admits_public_addresses_only() {
    let config = Config {
        network: Network::Public,
        diversity: Some(Diversity::default()),
        ..private()
    };
    let answer = || Node::Fake(Fake::naming(vec![contact(999)]));
    let mut net = Net::with(config, vec![puppet(), answer(), answer(), answer()]);
    net.shy.insert(1);
    net.connect(1, 0);
    let private: Multiaddr = "/ip4/10.1.1.1/tcp/1".parse().unwrap();
    net.addrs[3] = private.clone();
    net.addrs[4] = "/ip6/fd00::1/tcp/1".parse().unwrap();
    for index in 2..5 {
        net.connect(0, index);
    }
    let addrs = vec![private.clone(), support::addr(2)].into();
    let fact = Fact::PeerAddresses {
        peer: peer(2),
        addrs,
        certified: false,
    };
    net.tell(0, fact);
    net.run(SECOND);
    let told = decode(&net.ask(1, 0, request(MessageType::FindNode, b"k")));
    assert_eq!(told[0].closer, [contact(2)]);
    let provider = Contact {
        peer: peer(1),
        addrs: vec![private],
    };
    net.ask(1, 0, add(b"c", vec![provider]).encode());
    let told = decode(&net.ask(1, 0, request(MessageType::GetProviders, b"c")));
    assert_eq!(told[0].providers.len(), 1);
    assert!(told[0].providers[0].addrs.is_empty());
}

// covers: KAD-173
#[test]
fn vul_107_providers_stay_until_they_expire_whoever_comes_later() {
    use libp2p_proto_core::Instant;
    use libp2p_proto_kad::{MemoryStore, Refused, Store, StoredProvider};
    let mut store = MemoryStore::new(&peer(0), StoreLimits::default());
    let key = Bytes::from_static(b"content");
    let provider = |index: usize, at: u64, source: &'static [u8]| StoredProvider {
        peer: peer(index),
        addrs: vec![],
        source: (!source.is_empty()).then_some(Bytes::from_static(source)),
        stored: Instant::from_millis(at),
    };
    for index in 0..20 {
        store.add_provider(&key, provider(index, 1, b"")).unwrap();
    }
    for index in 20..10_000 {
        assert_eq!(
            store.add_provider(&key, provider(index, 2, b"")),
            Err(Refused::Full)
        );
    }
    store.add_provider(&key, provider(3, 9, b"")).unwrap();
    let known = store.providers(&key);
    assert_eq!(known.len(), 20);
    assert_eq!(known[3].stored, Instant::from_millis(9));
    // Of one network only a part.
    let other = Bytes::from_static(b"other");
    let taken = (0..20).filter(|index| store.add_provider(&other, provider(*index, 1, b"net")).is_ok());
    assert_eq!(taken.count(), 10);
}

// covers: KAD-139
#[test]
fn a_sweep_forgets_what_is_old_and_gives_its_room_back() {
    use libp2p_proto_core::Instant;
    use libp2p_proto_kad::{MemoryStore, Store, StoredProvider, StoredValue};
    let mut store = MemoryStore::new(&peer(0), StoreLimits::default());
    for number in 0..100_u8 {
        let record = put(&[b'/', number], b"v").record.unwrap();
        let at = Instant::from_millis(u64::from(number) * 1000);
        let stored = StoredValue {
            record,
            stored: at,
            received: libp2p_proto_core::UnixTime::default(),
        };
        store.put_value(stored).unwrap();
        let provider = StoredProvider {
            peer: peer(1),
            addrs: vec![],
            source: None,
            stored: at,
        };
        store
            .add_provider(&Bytes::copy_from_slice(&[number]), provider)
            .unwrap();
    }
    store.sweep(Instant::from_millis(100_000), SECOND * 50, SECOND * 10);
    assert_eq!((store.values(), store.contents()), (50, 10));
    store.sweep(Instant::MAX, SECOND, SECOND);
    assert_eq!((store.values(), store.contents()), (0, 0));
}

// covers: KAD-174, KAD-176
#[test]
fn one_provider_has_its_share_and_many_are_told_in_changing_order() {
    let config = Config {
        store: StoreLimits {
            per_provider: 3,
            providers: 100,
            ..StoreLimits::default()
        },
        ..private()
    };
    let mut net = Net::with(config, (0..9).map(|_| puppet()).collect());
    net.shy.extend(1..=9);
    for index in 1..=9 {
        net.connect(index, 0);
        net.run(SECOND);
        net.ask(index, 0, add(b"content", vec![contact(index)]).encode());
    }
    for number in 0..10_u8 {
        net.ask(1, 0, add(&[number], vec![contact(1)]).encode());
    }
    let ask = |net: &mut Net, key: &[u8]| {
        decode(&net.ask(2, 0, request(MessageType::GetProviders, key)))[0]
            .providers
            .clone()
    };
    let held = (0..10_u8)
        .filter(|number| !ask(&mut net, &[*number]).is_empty())
        .count();
    assert_eq!(held, 2, "and the first one");
    let [one, two] = [0, 1].map(|_| ask(&mut net, b"content"));
    assert_eq!((one.len(), two.len()), (9, 9));
    assert_ne!(one, two);
}

// covers: KAD-213
#[test]
fn a_record_lives_by_the_monotonic_clock_whatever_the_wall_clock_does() {
    use libp2p_proto_core::{Instant, UnixTime};
    use libp2p_proto_kad::{MemoryStore, Store, StoredValue};
    let mut store = MemoryStore::new(&peer(0), StoreLimits::default());
    let stored = |received| StoredValue {
        record: put(b"/x/k", b"v").record.unwrap(),
        stored: Instant::from_millis(1000),
        received,
    };
    for received in [UnixTime::from_secs(0), UnixTime::from_nanos(u64::MAX)] {
        store.put_value(stored(received)).unwrap();
        store.sweep(Instant::from_millis(1000) + SECOND * 60, SECOND * 60, SECOND);
        assert_eq!(store.values(), 1);
        store.sweep(Instant::from_millis(1001) + SECOND * 60, SECOND * 60, SECOND);
        assert_eq!(store.values(), 0);
    }
}

#[test]
fn vul_116_times_at_the_ends_of_their_range_do_no_harm() {
    for ttl in [0, 1, 1 << 31, u32::MAX] {
        let mut message = put(b"/x/k", b"v");
        message.record.as_mut().unwrap().ttl = ttl;
        let mut net = served(private());
        assert_eq!(net.ask(1, 0, message.encode()).len(), 1);
        let found = &decode(&net.ask(1, 0, request(MessageType::GetValue, b"/x/k")))[0];
        assert!(
            found.record.is_some(),
            "an extension that nobody asked for counts for nothing"
        );
    }
    let ages = Config {
        value_age: Duration::MAX,
        provider_age: Duration::MAX,
        republish: Duration::MAX,
        inbound_timeout: Duration::MAX,
        query_timeout: Duration::MAX,
        refresh_interval: Some(Duration::MAX),
        grace: Duration::MAX,
        ..private()
    };
    let mut net = served(ages);
    net.ask(1, 0, put(b"/x/k", b"v").encode());
    net.ask(1, 0, add(b"c", vec![contact(1)]).encode());
    net.run(Duration::from_secs(3600));
    assert_eq!(net.ask(1, 0, request(MessageType::GetValue, b"/x/k")).len(), 1);
}
