//! Validators: public keys, IPNS records, and who is better.
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
use libp2p_proto_core::{
    PeerId, UnixTime,
    protobuf::{Limits, Reader, Value as Field, Writer, encode},
};
use libp2p_proto_identity::{Identity, KeyType, Keypair};
use libp2p_proto_kad::{
    AnyValue, Config, Error, Invalid, Kad, PUBLIC, PublicKeys, Validator, Validators,
    ipns::{Ipns, IpnsRecord, MAX_RECORD, key_of},
};
use serde_json::Value;
use std::fs;
use support::{hex, peer, unhex};

/// 2026-11-22.
const TODAY: UnixTime = UnixTime::from_secs(1_795_305_600);
/// 2036-01-01.
const END: UnixTime = UnixTime::from_secs(2_082_758_400);

fn vector() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../conformance/vectors/kad/ipns.json"
    );
    let vector: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let field = |name: &str| unhex(vector[name].as_str().unwrap());
    (field("key"), field("v2"), field("both"))
}

fn identity(seed: u8) -> Identity {
    Keypair::ed25519_from_seed([seed; 32]).into()
}

fn validate(key: &[u8], value: &[u8]) -> Result<(), Invalid> {
    Ipns.validate(TODAY, key, value)
}

/// The record with one field replaced or, without a value, removed.
fn with_field(record: &[u8], number: u32, value: Option<&Field<'_>>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    let mut reader = Reader::new(record, Limits::default());
    while let Some(field) = reader.next_field().unwrap() {
        if field.number != number {
            write(&mut writer, field.number, &field.value);
        }
    }
    if let Some(value) = value {
        write(&mut writer, number, value);
    }
    out
}

fn write(writer: &mut Writer<'_>, number: u32, value: &Field<'_>) {
    match value {
        Field::Varint(value) => writer.varint(number, *value),
        Field::Bytes(value) => writer.bytes(number, value),
        _ => panic!("no such field"),
    }
}

// covers: KAD-152, KAD-153
#[test]
fn a_public_key_stands_under_its_own_id() {
    let [a, b] = [1, 2].map(identity);
    let key = [b"/pk/", a.peer_id().as_bytes()].concat();
    assert_eq!(PublicKeys.validate(TODAY, &key, a.public_key().encode()), Ok(()));
    let other = PublicKeys.validate(TODAY, &key, b.public_key().encode());
    assert_eq!(other, Err(Invalid::WrongKey));
    assert_eq!(PublicKeys.validate(TODAY, &key, b"\xff"), Err(Invalid::Malformed));
    assert!(!PublicKeys.is_better(&key, b"x", b"x"));
}

// covers: KAD-154, KAD-158, KAD-160, KAD-163
#[test]
fn the_records_of_the_vectors_are_valid_until_their_end() {
    let (key, v2, both) = vector();
    assert_eq!(key, key_of(&identity(1).peer_id()));
    for record in [&v2, &both] {
        assert_eq!(validate(&key, record), Ok(()));
        let late = UnixTime::from_secs(END.as_secs() + 1);
        assert_eq!(Ipns.validate(late, &key, record), Err(Invalid::Expired));
        let opened = IpnsRecord::open(&identity(1).peer_id(), record).unwrap();
        assert_eq!(opened.path().unwrap(), "/ipfs/bafkqaaa");
        assert_eq!((opened.sequence, opened.ttl), (1, Duration::from_secs(300)));
        assert_eq!(opened.until(), Some(END));
    }
    let of_b = key_of(&identity(2).peer_id());
    assert_eq!(validate(&of_b, &v2), Err(Invalid::BadSignature));
}

// covers: KAD-162
#[test]
fn a_record_that_we_sign_has_the_bytes_of_the_vector_where_time_has_them_too() {
    let (key, v2, _) = vector();
    let ours = IpnsRecord::sign(&identity(1), b"/ipfs/bafkqaaa", 1, END, Duration::from_secs(300)).unwrap();
    assert_eq!(validate(&key, &ours), Ok(()));
    // The vector writes the end with nine zeros, which is the same time.
    assert!(hex(&ours).contains("a56354544c1b00000045d964b8006556616c75654e"));
    assert!(hex(&v2).contains("a56354544c1b00000045d964b8006556616c75654e"));
}

// covers: KAD-155
#[test]
fn a_record_over_the_limit_is_refused_by_its_size() {
    let (key, v2, _) = vector();
    let padded = |size: usize| {
        let room = size - v2.len() - 4;
        [v2.clone(), encode(|record| record.bytes(99, &vec![0; room]))].concat()
    };
    let fits = padded(MAX_RECORD - 1);
    assert!(fits.len() <= MAX_RECORD);
    assert_eq!(validate(&key, &fits), Ok(()));
    assert_eq!(
        validate(&key, &vec![0xff; MAX_RECORD + 1]),
        Err(Invalid::TooLarge)
    );
}

// covers: KAD-156, KAD-157, KAD-159, KAD-160
#[test]
fn each_changed_or_missing_field_is_noticed() {
    let (key, v2, both) = vector();
    for number in [8, 9] {
        assert!(validate(&key, &with_field(&v2, number, None)).is_err());
        assert!(validate(&key, &with_field(&v2, number, Some(&Field::Bytes(b"")))).is_err());
    }
    let strange: [(u32, Field<'_>); 5] = [
        (1, Field::Bytes(b"/ipfs/other")),
        (3, Field::Varint(1)),
        (4, Field::Bytes(b"2037-01-01T00:00:00Z")),
        (5, Field::Varint(2)),
        (6, Field::Varint(7)),
    ];
    for (number, value) in strange {
        assert!(
            validate(&key, &with_field(&both, number, Some(&value))).is_err(),
            "field {number}"
        );
    }
    // The old signature decides nothing: neither for a record nor against it.
    assert_eq!(
        validate(&key, &with_field(&both, 2, Some(&Field::Bytes(&[7; 64])))),
        Ok(())
    );
    let broken = with_field(&both, 8, Some(&Field::Bytes(&[7; 64])));
    assert_eq!(validate(&key, &broken), Err(Invalid::BadSignature));
    // A key inside must be the name's; the name's own needs none.
    let own = identity(1);
    let with_key = with_field(&v2, 7, Some(&Field::Bytes(own.public_key().encode())));
    assert_eq!(validate(&key, &with_key), Ok(()));
    let other = identity(2);
    let with_other = with_field(&v2, 7, Some(&Field::Bytes(other.public_key().encode())));
    assert_eq!(validate(&key, &with_other), Err(Invalid::WrongKey));
}

/// A record with any map inside, signed.
fn signed(seed: u8, data: &[u8]) -> Vec<u8> {
    let signature = identity(seed).sign(&[b"ipns-signature:", data].concat()).unwrap();
    encode(|record| {
        record.bytes(8, &signature);
        record.bytes(9, data);
    })
}

/// A CBOR map of these entries, already encoded.
fn map(entries: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0xa0 + u8::try_from(entries.len()).unwrap()];
    out.extend(entries.concat());
    out
}

// covers: KAD-161, KAD-163, KAD-164
#[test]
fn the_signed_map_has_its_five_fields_in_their_types_and_may_have_more() {
    let key = key_of(&identity(1).peer_id());
    let ttl = b"\x63TTL\x01";
    let value = b"\x65Value\x41x";
    let sequence = b"\x68Sequence\x01";
    let validity = b"\x68Validity\x542036-01-01T00:00:00Z";
    let kind = b"\x6cValidityType\x00";
    let check = |entries: &[&[u8]]| validate(&key, &signed(1, &map(entries)));
    assert_eq!(check(&[ttl, value, sequence, validity, kind]), Ok(()));
    assert_eq!(
        check(&[
            ttl,
            b"\x62_x\x82\x01\xa1\x61a\xf6",
            value,
            sequence,
            validity,
            kind
        ]),
        Ok(())
    );
    for broken in [
        [&ttl[..], b"\x65Value\x61x", sequence, validity, kind],
        [b"\x63TTL\x20", value, sequence, validity, kind],
        [
            b"\x63TTL\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
            value,
            sequence,
            validity,
            kind,
        ],
        [ttl, value, b"\x68Sequence\x41\x01", validity, kind],
        [ttl, value, sequence, b"\x68Validity\x49yesterday", kind],
        [ttl, value, sequence, validity, b"\x6cValidityType\x01"],
        [ttl, value, sequence, validity, b"\x6cXalidityType\x00"],
    ] {
        assert_eq!(check(&broken), Err(Invalid::Malformed), "{broken:02x?}");
    }
    assert_eq!(validate(&key, &signed(1, b"\xbf\xff")), Err(Invalid::Malformed));
    assert_eq!(validate(&key, &signed(1, b"\x80")), Err(Invalid::Malformed));
}

// covers: KAD-165, KAD-129
#[test]
fn of_two_records_the_order_is_sequence_then_end_then_bytes_whichever_comes_first() {
    let owner = identity(1);
    let key = key_of(&owner.peer_id());
    let record = |value: &[u8], sequence, until: u64| {
        IpnsRecord::sign(
            &owner,
            value,
            sequence,
            UnixTime::from_secs(until),
            Duration::ZERO,
        )
        .unwrap()
    };
    let (low, high) = (record(b"a", 1, 3_000_000_000), record(b"a", 2, 2_000_000_000));
    let (sooner, later) = (record(b"a", 2, 2_000_000_000), record(b"a", 2, 2_000_000_001));
    let [one, two] = [record(b"a", 2, 2_000_000_000), record(b"b", 2, 2_000_000_000)];
    let (smaller, larger) = if one < two { (one, two) } else { (two, one) };
    let unsigned = with_field(&high, 8, None);
    for (worse, better) in [
        (low, high.clone()),
        (sooner, later),
        (smaller, larger),
        (unsigned, high),
    ] {
        assert!(Ipns.is_better(&key, &better, &worse));
        assert!(!Ipns.is_better(&key, &worse, &better));
        assert!(!Ipns.is_better(&key, &better, &better));
    }
}

// covers: KAD-166, KAD-157
#[test]
fn an_rsa_name_needs_its_key_in_the_record_and_verifies_with_it() {
    let mut dice = libp2p_proto_core::Rng::from_seed([1; 32]);
    let owner: Identity = Keypair::generate(KeyType::Rsa, &mut dice).unwrap().into();
    let key = key_of(&owner.peer_id());
    let record = IpnsRecord::sign(&owner, b"/ipfs/x", 1, END, Duration::ZERO).unwrap();
    assert_eq!(validate(&key, &record), Ok(()));
    let without = with_field(&record, 7, None);
    assert_eq!(validate(&key, &without), Err(Invalid::NoPublicKey));
}

// covers: KAD-128, KAD-130
#[test]
fn a_key_has_a_namespace_that_somebody_is_responsible_for() {
    let validators = Validators::public();
    for key in ["pk/x", "/", "//x", "/pk", ""] {
        assert_eq!(
            validators.validate(TODAY, key.as_bytes(), b""),
            Err(Invalid::BadKey),
            "{key}"
        );
    }
    let unknown = validators.validate(TODAY, b"/foo/bar", b"");
    assert_eq!(unknown, Err(Invalid::UnknownNamespace));
    let more = validators.with("foo", AnyValue);
    assert_eq!(more.validate(TODAY, b"/foo/bar", b""), Ok(()));
}

// covers: KAD-131, KAD-143
#[test]
fn the_rules_of_the_public_network_are_fixed() {
    let new = |config| Kad::new(peer(0), config).map(|_| ());
    assert_eq!(new(Config::default()), Ok(()));
    let more = Config {
        validators: Validators::public().with("x", AnyValue),
        ..Config::default()
    };
    assert_eq!(new(more.clone()), Err(Error::PublicNetwork("validators")));
    let fewer = Config {
        validators: Validators::none(),
        ..Config::default()
    };
    assert_eq!(new(fewer), Err(Error::PublicNetwork("validators")));
    let small = Config {
        replication: 10,
        ..Config::default()
    };
    assert_eq!(new(small), Err(Error::PublicNetwork("replication")));
    let elsewhere = Config {
        protocol: support::NAME,
        ..more
    };
    assert_eq!(new(elsewhere), Ok(()));
    assert_eq!((PUBLIC.as_str(), Ipns.quorum()), ("/ipfs/kad/1.0.0", 16));
}

// covers: KAD-132
#[test]
fn vul_112_an_older_broken_or_foreign_record_never_replaces_a_newer_one() {
    use libp2p_proto_kad::{Message, MessageType, Record};
    let owner = identity(1);
    let key = Bytes::from(key_of(&owner.peer_id()));
    let at = UnixTime::from_secs(1_800_000_000);
    let signed = |owner: &Identity, value: &[u8], sequence, until| {
        IpnsRecord::sign(owner, value, sequence, until, Duration::ZERO).unwrap()
    };
    let mut net = support::Net::with(support::private(), vec![support::puppet()]);
    net.shy.insert(1);
    net.connect(1, 0);
    net.run(support::SECOND);
    let mut put = |value: Vec<u8>| {
        let mut message = Message::new(MessageType::PutValue, key.clone());
        message.record = Some(Record {
            key: key.clone(),
            value: value.into(),
            ..Record::default()
        });
        let stored = !net.ask(1, 0, message.encode()).is_empty();
        let get = Message::new(MessageType::GetValue, key.clone()).encode();
        let answer = Message::decode(&net.ask(1, 0, get)[0], 1 << 20, 0).unwrap();
        (stored, answer.record.map(|record| record.value.to_vec()))
    };
    let two = signed(&owner, b"a", 2, at);
    assert_eq!(put(two.clone()), (true, Some(two.clone())));
    let equal = [signed(&owner, b"b", 2, at), signed(&owner, b"c", 2, at)];
    let smaller = equal.iter().find(|other| **other < two);
    let refused = [
        signed(&owner, b"a", 1, at),
        signed(&owner, b"a", 3, UnixTime::from_secs(1_600_000_000)),
        signed(&identity(2), b"a", 9, at),
        b"garbage".to_vec(),
    ];
    for worse in refused.into_iter().chain(smaller.cloned()) {
        assert_eq!(put(worse), (false, Some(two.clone())));
    }
    let three = signed(&owner, b"a", 3, at);
    assert_eq!(put(three.clone()), (true, Some(three)));
    let _names = PeerId::from_bytes(&key[6..]).unwrap();
}

/// Refuses every value with this error.
#[derive(Debug)]
struct Refusing(Invalid);

impl Validator for Refusing {
    fn validate(&self, _unix: UnixTime, _key: &[u8], _value: &[u8]) -> Result<(), Invalid> {
        Err(self.0)
    }

    fn is_better(&self, _key: &[u8], _new: &[u8], _old: &[u8]) -> bool {
        true
    }
}

#[test]
fn vul_193_whatever_a_validator_says_against_a_value_it_is_neither_stored_nor_found() {
    use libp2p_proto_kad::{Message, MessageType, QueryError, Record};
    use support::{Fake, Net, Node, Reply, SECOND, private};
    let record = |key: &Bytes| Record {
        key: key.clone(),
        value: Bytes::from_static(b"v"),
        ..Record::default()
    };
    for error in [
        Invalid::BadKey,
        Invalid::UnknownNamespace,
        Invalid::TooLarge,
        Invalid::Malformed,
        Invalid::WrongKey,
        Invalid::NoPublicKey,
        Invalid::BadSignature,
        Invalid::Expired,
    ] {
        let config = Config {
            validators: Validators::none().with("r", Refusing(error)),
            ..private()
        };
        let key = Bytes::from_static(b"/r/k");
        let holder = Fake::new(move |_, request| {
            let mut answer = Message::new(request.kind, Bytes::new());
            answer.record = (request.kind == MessageType::GetValue).then(|| record(&request.key));
            Reply::Message(answer)
        });
        let mut net = Net::with(config, vec![support::puppet(), Node::Fake(holder)]);
        net.shy.insert(1);
        net.connect(1, 0);
        net.connect(0, 2);
        net.run(SECOND * 20);
        let mut put = Message::new(MessageType::PutValue, key.clone());
        put.record = Some(record(&key));
        assert!(net.ask(1, 0, put.encode()).is_empty(), "{error}");
        let get = Message::new(MessageType::GetValue, key.clone()).encode();
        let answer = Message::decode(&net.ask(1, 0, get)[0], 1 << 20, 0).unwrap();
        assert_eq!(answer.record, None, "{error}");
        let query = net.kad(0).put_value(key.clone(), &b"v"[..]).unwrap();
        assert!(net.end(0, query).is_err(), "{error}");
        let query = net.kad(0).get_value(key, Some(0)).unwrap();
        assert_eq!(net.end(0, query), Err(QueryError::NotFound), "{error}");
        let asked = net.fake(2).asked.iter();
        let gets = asked.filter(|(_, _, message)| message.kind == MessageType::GetValue);
        assert_eq!(gets.count(), 1, "the holder was asked");
    }
}

#[test]
fn vul_158_a_validity_of_any_year_is_a_time_at_an_end_of_the_clock_or_an_error() {
    let key = key_of(&identity(1).peer_id());
    let check = |validity: &str| {
        let mut entry = b"\x68Validity".to_vec();
        entry.extend([0x58, u8::try_from(validity.len()).unwrap()]);
        entry.extend(validity.as_bytes());
        let data = map(&[
            b"\x63TTL\x01",
            b"\x65Value\x41x",
            b"\x68Sequence\x01",
            &entry,
            b"\x6cValidityType\x00",
        ]);
        validate(&key, &signed(1, &data))
    };
    for past in [
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "1990-12-31T23:59:60Z",
    ] {
        assert_eq!(check(past), Err(Invalid::Expired), "{past}");
    }
    for ahead in [
        "9999-12-31T23:59:59Z",
        "2553-12-31T23:59:60Z",
        "2036-01-01T00:00:00-23:59",
    ] {
        assert_eq!(check(ahead), Ok(()), "{ahead}");
    }
    for none in [
        "10000-01-01T00:00:00Z",
        "-001-01-01T00:00:00Z",
        "2036-01-01T00:00:61Z",
        "9223372036854775808",
        "2036-01-01T00:00:00.Z",
        "",
    ] {
        assert_eq!(check(none), Err(Invalid::Malformed), "{none}");
    }
}
