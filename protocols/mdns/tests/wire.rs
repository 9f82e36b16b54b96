//! Packets and names.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::net::IpAddr;
use hickory_proto::{
    op::{Message as Oracle, MessageType, OpCode},
    rr::{DNSClass, RData, RecordType},
    serialize::binary::{BinDecodable, BinEncodable},
};
use libp2p_proto_core::Fault;
use libp2p_proto_mdns::{
    Data, Error, MAX_DATAGRAM, MAX_JUMPS, MAX_QUESTIONS, MAX_RECORDS, MAX_STRINGS, Malformed, Message, Name,
    Question, Record, class, kind,
};
use proptest::prelude::*;
use support::{name, pointer, query, question, record, strings, vector, vectors};

/// A packet by hand: header counts, then the rest.
fn packet(flags: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&flags.to_be_bytes());
    for count in counts {
        bytes.extend_from_slice(&count.to_be_bytes());
    }
    bytes.extend_from_slice(rest);
    bytes
}

// covers: MDN-077
#[test]
fn the_good_vectors_are_read_and_written_back_and_the_bad_ones_are_dropped() {
    for (name, bytes) in vectors() {
        let read = Message::decode(&bytes);
        if name.starts_with('V') {
            assert_eq!(read.unwrap().encode(), bytes, "{name}");
        } else {
            assert!(read.is_err(), "{name}");
        }
    }
    assert_eq!(
        Message::decode(&vector("N-MDN-1")),
        Err(Malformed::ForwardPointer)
    );
    assert_eq!(Message::decode(&vector("N-MDN-2")), Err(Malformed::Truncated));
    assert_eq!(Message::decode(&vector("N-MDN-3")), Err(Malformed::Truncated));
}

// covers: MDN-077
#[test]
fn a_packet_that_is_cut_anywhere_or_goes_on_too_long_is_dropped() {
    let whole = vector("V-MDN-3");
    for len in 0..whole.len() {
        assert_eq!(
            Message::decode(&whole[..len]),
            Err(Malformed::Truncated),
            "cut at {len}"
        );
    }
    let long = [&whole[..], &[0]].concat();
    assert_eq!(Message::decode(&long), Err(Malformed::TrailingBytes));
    for head in [0x40, 0x7f, 0x80, 0xbf] {
        let bad = packet(0, [1, 0, 0, 0], &[head, 0, 0, 12, 0, 1]);
        assert_eq!(Message::decode(&bad), Err(Malformed::BadLabel(head)));
    }
}

// covers: MDN-077
#[test]
fn data_that_does_not_fit_its_kind_drops_the_packet_and_unknown_kinds_do_not() {
    let with = |kind: u16, data: &[u8]| {
        let mut rest = vec![0];
        rest.extend_from_slice(&kind.to_be_bytes());
        rest.extend_from_slice(&[0, 1, 0, 0, 0, 120]);
        rest.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        rest.extend_from_slice(data);
        Message::decode(&packet(0x8400, [0, 1, 0, 0], &rest))
    };
    for (kind, data) in [
        (kind::A, &[1, 2, 3][..]),
        (kind::A, &[1, 2, 3, 4, 5]),
        (kind::AAAA, &[1, 2, 3, 4]),
        (kind::TXT, &[3, b'a']),
        (kind::PTR, &[1, b'a', 0, 0]),
        (kind::SRV, &[0, 0, 0, 0, 0, 0, 1, b'a', 0, 9]),
    ] {
        assert_eq!(with(kind, data), Err(Malformed::BadData(kind)));
    }
    let unknown = with(47, &[0xc0, 0xff, 1, 2]).unwrap();
    assert_eq!(
        unknown.answers[0].data,
        Data::Other {
            kind: 47,
            data: vec![0xc0, 0xff, 1, 2]
        }
    );
    assert_eq!(with(kind::TXT, &[]).unwrap().answers[0].data.strings().count(), 0);
}

// covers: MDN-008
#[test]
fn a_pointer_leads_back_and_only_so_often() {
    // Records without data; the name of each is a pointer to the one before.
    let records = |jumps: usize| {
        let mut rest = Vec::new();
        let mut owner = vec![1, b'a', 0];
        for _ in 0..=jumps {
            let at = 12 + u16::try_from(rest.len()).unwrap();
            rest.extend_from_slice(&owner);
            rest.extend_from_slice(&[0, 47, 0, 1, 0, 0, 0, 1, 0, 0]);
            owner = (0xc000 | at).to_be_bytes().to_vec();
        }
        let count = u16::try_from(jumps + 1).unwrap();
        Message::decode(&packet(0x8400, [0, count, 0, 0], &rest))
    };
    let most = records(MAX_JUMPS).unwrap();
    assert!(most.answers.iter().all(|record| record.name == name("a")));
    assert_eq!(records(MAX_JUMPS + 1), Err(Malformed::TooManyJumps));
    assert_eq!(records(200), Err(Malformed::TooManyJumps));
    // Forward, and to itself.
    for target in [12_u8, 14, 20] {
        let bytes = packet(0, [1, 0, 0, 0], &[0xc0, target, 0, 12, 0, 1, 0, 0, 0]);
        assert_eq!(Message::decode(&bytes), Err(Malformed::ForwardPointer));
    }
}

// covers: MDN-009
#[test]
fn names_are_read_compressed_wherever_they_stand() {
    // `_p2p._udp.local` at 12; the pointer's and the service's targets point into it.
    let mut rest = name_bytes("_p2p._udp.local");
    rest.extend_from_slice(&[0, 12, 0, 1, 0, 0, 0, 120, 0, 4, 1, b'i', 0xc0, 12]);
    let instance = 12 + u8::try_from(rest.len()).unwrap() - 4;
    rest.extend_from_slice(&[0xc0, instance, 0, 33, 0x80, 1, 0, 0, 0, 120, 0, 10]);
    rest.extend_from_slice(&[0, 0, 0, 0, 0x0f, 0xa1, 1, b'h', 0xc0, 22]);
    let message = Message::decode(&packet(0x8400, [0, 2, 0, 0], &rest)).unwrap();
    assert_eq!(message.answers[0].data, Data::Ptr(name("i._p2p._udp.local")));
    let Data::Srv { port, target, .. } = &message.answers[1].data else {
        panic!("{message:?}")
    };
    assert_eq!((*port, target), (4001, &name("h.local")));
    assert_eq!(message.answers[1].name, name("i._p2p._udp.local"));
}

fn name_bytes(text: &str) -> Vec<u8> {
    let asked = query(&[question(text, kind::PTR)]);
    asked[12..asked.len() - 4].to_vec()
}

// covers: MDN-007
#[test]
fn a_name_has_labels_of_1_to_63_bytes_and_255_in_all() {
    let label = |len: usize| "x".repeat(len);
    assert!(label(63).parse::<Name>().is_ok());
    for bad in [
        label(64),
        String::new(),
        String::from("a..b"),
        vec![label(63); 4].join("."),
    ] {
        assert_eq!(bad.parse::<Name>(), Err(Error::BadName), "{bad}");
    }
    let longest = [label(63), label(63), label(63), label(61)].join(".");
    let longest: Name = longest.parse().unwrap();
    assert_eq!(longest.encoded_len(), 255);
    assert_eq!(longest.child(b"x"), Err(Error::BadName));
    assert_eq!(name("local").child(&[b'x'; 64]), Err(Error::BadName));
    assert_eq!(name("Local.").child(b"A").unwrap(), name("a.local"));
    assert_eq!(name("a.local").to_string(), "a.local.");
    // One byte more than fits, in a packet.
    let mut rest = vec![];
    for len in [63, 63, 63, 62] {
        rest.push(len);
        rest.extend(vec![b'x'; len.into()]);
    }
    rest.extend_from_slice(&[0, 0, 12, 0, 1]);
    assert_eq!(
        Message::decode(&packet(0, [1, 0, 0, 0], &rest)),
        Err(Malformed::LongName)
    );
}

// covers: MDN-070
#[test]
fn each_limit_of_a_packet_holds_at_it_and_drops_one_past_it() {
    let decode = |message: &Message| Message::decode(&message.encode()).map(|read| read == *message);
    let questions = |count| {
        let mut message = Message::query();
        message.questions = vec![question("a", kind::PTR); count];
        message
    };
    assert_eq!(decode(&questions(MAX_QUESTIONS)), Ok(true));
    assert_eq!(
        decode(&questions(MAX_QUESTIONS + 1)),
        Err(Malformed::TooManyQuestions)
    );
    let records = |count| {
        let mut message = Message::response();
        message.answers = vec![pointer("a", 1); count / 2];
        message.additionals = vec![pointer("a", 1); count - count / 2];
        message
    };
    assert_eq!(decode(&records(MAX_RECORDS)), Ok(true));
    assert_eq!(decode(&records(MAX_RECORDS + 1)), Err(Malformed::TooManyRecords));
    let texts = |count| {
        let mut message = Message::response();
        message.answers.push(strings("a", 1, &vec!["x"; count]));
        message
    };
    assert_eq!(decode(&texts(MAX_STRINGS)), Ok(true));
    assert_eq!(decode(&texts(MAX_STRINGS + 1)), Err(Malformed::TooManyStrings));
    let sized = |len: usize| {
        let mut message = Message::response();
        let empty = record(
            "a",
            1,
            Data::Other {
                kind: 47,
                data: vec![],
            },
        );
        let data = vec![0; len - Message::HEADER - empty.encoded_len()];
        message
            .answers
            .push(record("a", 1, Data::Other { kind: 47, data }));
        message
    };
    assert_eq!(sized(MAX_DATAGRAM).encode().len(), MAX_DATAGRAM);
    assert_eq!(decode(&sized(MAX_DATAGRAM)), Ok(true));
    assert_eq!(decode(&sized(MAX_DATAGRAM + 1)), Err(Malformed::TooLarge));
    // Counts that nothing stands behind.
    let none = packet(0x8400, [0, u16::MAX, u16::MAX, u16::MAX], &[]);
    assert_eq!(Message::decode(&none), Err(Malformed::TooManyRecords));
    assert_eq!(Malformed::TooManyRecords.fault(), Fault::Limit);
    assert_eq!(Malformed::Truncated.fault(), Fault::Peer);
}

#[test]
fn the_worst_packet_takes_no_more_memory_than_its_limits() {
    // 256 records, each of whose names is 255 bytes long by one pointer.
    let long = [63_u8, 63, 63, 61].iter().fold(Vec::new(), |mut name, len| {
        name.push(*len);
        name.extend(vec![b'x'; (*len).into()]);
        name
    });
    let mut rest = [&long[..], &[0]].concat();
    rest.extend_from_slice(&[0, 12, 0, 1, 0, 0, 0, 1, 0, 2, 0xc0, 12]);
    for _ in 1..MAX_RECORDS {
        rest.extend_from_slice(&[0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 1, 0, 2, 0xc0, 12]);
    }
    let count = u16::try_from(MAX_RECORDS).unwrap();
    let bytes = packet(0x8400, [0, count, 0, 0], &rest);
    let info = allocation_counter::measure(|| {
        assert!(Message::decode(&bytes).is_ok());
    });
    assert!(info.bytes_max < 300_000, "{} bytes", info.bytes_max);
}

fn some_name() -> impl Strategy<Value = Name> {
    proptest::collection::vec("[a-zA-Z0-9_-]{1,20}", 1..5)
        .prop_map(|labels| labels.join(".").parse().unwrap())
}

fn some_data() -> impl Strategy<Value = Data> {
    prop_oneof![
        some_name().prop_map(Data::Ptr),
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..6)
            .prop_map(|strings| Data::txt(strings.iter().map(Vec::as_slice))),
        (any::<[u16; 3]>(), some_name()).prop_map(|([priority, weight, port], target)| Data::Srv {
            priority,
            weight,
            port,
            target
        }),
        any::<[u8; 4]>().prop_map(|ip| Data::Address(IpAddr::from(ip))),
        any::<[u8; 16]>().prop_map(|ip| Data::Address(IpAddr::from(ip))),
    ]
}

fn some_record() -> impl Strategy<Value = Record> {
    (some_name(), any::<bool>(), any::<u32>(), some_data()).prop_map(|(name, flush, ttl, data)| Record {
        name,
        class: class::IN,
        flush,
        ttl,
        data,
    })
}

fn some_question() -> impl Strategy<Value = Question> {
    (some_name(), any::<bool>()).prop_map(|(name, unicast)| Question {
        name,
        kind: kind::PTR,
        class: class::IN,
        unicast,
    })
}

fn some_message() -> impl Strategy<Value = Message> {
    let records = || proptest::collection::vec(some_record(), 0..5);
    (
        any::<(u16, bool, bool)>(),
        proptest::collection::vec(some_question(), 0..4),
        records(),
        records(),
        records(),
    )
        .prop_map(
            |((id, response, truncated), questions, answers, authorities, additionals)| Message {
                id,
                response,
                truncated,
                ordinary: true,
                questions,
                answers,
                authorities,
                additionals,
            },
        )
}

/// What the oracle sees of a record, as ours would have it.
fn seen(record: &hickory_proto::rr::Record) -> (String, bool, u32, Option<Data>) {
    let lower = |name: &hickory_proto::rr::Name| {
        let labels: Vec<Vec<u8>> = name.iter().map(<[u8]>::to_ascii_lowercase).collect();
        let name = labels.iter().rev();
        name.fold(Name::default(), |name, label| name.child(label).unwrap())
    };
    let data = match &record.data {
        RData::PTR(target) => Some(Data::Ptr(lower(&target.0))),
        RData::TXT(txt) => Some(Data::txt(txt.txt_data.iter().map(|string| &string[..]))),
        RData::A(ip) => Some(Data::Address(ip.0.into())),
        RData::AAAA(ip) => Some(Data::Address(ip.0.into())),
        RData::SRV(srv) => Some(Data::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: lower(&srv.target),
        }),
        _ => None,
    };
    (
        lower(&record.name).to_string(),
        record.mdns_cache_flush,
        record.ttl,
        data,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read_back_by_us_and_by_hickory(message in some_message()) {
        let bytes = message.encode();
        let read = Message::decode(&bytes);
        prop_assert_eq!(read.as_ref(), Ok(&message));
        let oracle = Oracle::from_bytes(&bytes).unwrap();
        prop_assert_eq!(oracle.metadata.id, message.id);
        prop_assert_eq!(oracle.metadata.message_type == MessageType::Response, message.response);
        prop_assert_eq!(oracle.metadata.op_code, OpCode::Query);
        prop_assert_eq!(oracle.queries.len(), message.questions.len());
        for (theirs, ours) in oracle.answers.iter().chain(&oracle.additionals).zip(message.answers.iter().chain(&message.additionals)) {
            let expected = (ours.name.to_string().to_ascii_lowercase(), ours.flush, ours.ttl);
            let (name, flush, ttl, data) = seen(theirs);
            prop_assert_eq!((name, flush, ttl), expected);
            prop_assert_eq!(data.as_ref(), Some(&ours.data));
        }
    }

    /// Hickory writes with compression.
    #[test]
    fn what_hickory_writes_is_read_as_it_was_meant(message in some_message()) {
        let oracle = Oracle::from_bytes(&message.encode()).unwrap();
        let bytes = oracle.to_bytes().unwrap();
        let read = Message::decode(&bytes).unwrap();
        prop_assert_eq!(read.answers, message.answers);
        prop_assert_eq!(read.additionals, message.additionals);
        prop_assert_eq!(read.questions, message.questions);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(message) = Message::decode(&bytes) {
            let _written = message.encode();
        }
    }
}

// covers: MDN-014
#[test]
fn the_oracle_and_we_agree_on_the_vectors() {
    for (label, bytes) in vectors() {
        let Ok(message) = Message::decode(&bytes) else {
            continue;
        };
        let oracle = Oracle::from_bytes(&bytes).unwrap();
        let records = oracle.answers.iter().chain(&oracle.additionals);
        for (theirs, ours) in records.zip(message.records()) {
            assert_eq!(theirs.dns_class, DNSClass::IN, "{label}");
            let (name, flush, ttl, data) = seen(theirs);
            assert_eq!((name, flush, ttl), (ours.name.to_string(), ours.flush, ours.ttl));
            assert_eq!(data.as_ref(), Some(&ours.data), "{label}");
        }
        for (theirs, ours) in oracle.queries.iter().zip(&message.questions) {
            assert_eq!(theirs.query_type, RecordType::PTR);
            assert_eq!((ours.kind, ours.class), (kind::PTR, class::IN));
            assert_eq!(theirs.mdns_unicast_response, ours.unicast);
        }
    }
    assert!(Message::decode(&vector("V-MDN-1b")).unwrap().questions[0].unicast);
}
