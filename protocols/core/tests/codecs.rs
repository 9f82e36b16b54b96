//! Varints, framing and protobuf: limits, splits, and other decoders beside ours.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_core::{
    Error, framing,
    protobuf::{Limits, ProtobufError, Reader, Value, Writer},
    varint,
};
use proptest::prelude::*;
use prost::Message as _;

// covers: COR-001, COR-002, COR-003, COR-004, COR-005, COR-006
#[test]
fn varints_have_one_form_and_nine_bytes() {
    for (value, bytes) in [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (255, "ff01"),
        (300, "ac02"),
        (16_384, "808001"),
        (varint::MAX, "ffffffffffffffff7f"),
    ] {
        let mut out = Vec::new();
        varint::encode(value, &mut out);
        assert_eq!(data_encoding::HEXLOWER.encode(&out), bytes);
        assert_eq!(varint::encoded_len(value), out.len());
        assert_eq!(varint::decode(&out), Ok(Some((value, out.len()))));
    }
    for bad in [&[0x81, 0][..], &[0x80, 0], &[0x80, 0x80, 0], &[0xff, 0]] {
        assert_eq!(varint::decode(bad), Err(Error::VarintNotMinimal));
    }
    assert_eq!(
        varint::decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        Err(Error::VarintTooLong)
    );
    assert_eq!(varint::decode(&[0x80; 9]), Err(Error::VarintTooLong));
    for incomplete in [&[][..], &[0x80], &[0x80; 8]] {
        assert_eq!(varint::decode(incomplete), Ok(None));
    }
}

#[test]
fn vul_156_all_varints_of_one_to_three_bytes_agree_with_the_reference() {
    use unsigned_varint::decode::Error as Theirs;
    for number in 0..1_u32 << 24 {
        let [first, second, third, _] = number.to_le_bytes();
        let all = [first, second, third];
        // Shorter strings are covered once, where the rest is zero.
        let lens = if number < 1 << 8 {
            1..=3
        } else if number < 1 << 16 {
            2..=3
        } else {
            3..=3
        };
        for len in lens {
            let bytes = &all[..len];
            match (varint::decode(bytes), unsigned_varint::decode::u64(bytes)) {
                (Ok(Some((value, used))), Ok((wanted, rest))) => {
                    assert_eq!((value, used), (wanted, len - rest.len()));
                }
                (Ok(None), Err(Theirs::Insufficient))
                | (Err(Error::VarintNotMinimal), Err(Theirs::NotMinimal)) => {}
                other => panic!("{bytes:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn vul_156_varints_of_nine_to_eleven_bytes_end_where_their_format_says() {
    let padded = |zeros: usize, last: u8| [&vec![0x80; zeros][..], &[last]].concat();
    let protobuf = |bytes: &[u8]| {
        let message = [&[0x08], bytes].concat();
        let field = Reader::new(&message, Limits::default()).next_field()?;
        field.unwrap().value.to_u64()
    };
    // Those of multiformats: shortest form, nine bytes.
    assert_eq!(varint::decode(&padded(8, 1)), Ok(Some((1 << 56, 9))));
    assert_eq!(varint::decode(&padded(8, 0x7f)), Ok(Some((0x7f << 56, 9))));
    assert_eq!(varint::decode(&padded(8, 0)), Err(Error::VarintNotMinimal));
    for len in [9, 10, 11] {
        for last in [0, 1, 2, 0x7f] {
            assert_eq!(varint::decode(&padded(len, last)), Err(Error::VarintTooLong));
        }
        assert_eq!(varint::decode(&vec![0xff; len]), Err(Error::VarintTooLong));
    }
    // Those of protobuf: any form of at most ten bytes, and no bit over the 64th.
    assert_eq!(protobuf(&padded(8, 0)), Ok(0));
    assert_eq!(protobuf(&padded(9, 0)), Ok(0));
    assert_eq!(protobuf(&padded(9, 1)), Ok(1 << 63));
    assert_eq!(protobuf(&[&[0xff; 9][..], &[1]].concat()), Ok(u64::MAX));
    for last in [2, 3, 0x7f] {
        assert_eq!(protobuf(&padded(9, last)), Err(ProtobufError::BadVarint));
    }
    for last in [0, 1] {
        assert_eq!(protobuf(&padded(10, last)), Err(ProtobufError::BadVarint));
    }
    assert_eq!(protobuf(&[0x80; 9]), Err(ProtobufError::Truncated));
    assert_eq!(protobuf(&[0x80; 11]), Err(ProtobufError::BadVarint));
}

// covers: COR-007, COR-009, COR-010, COR-011, COR-012, COR-013, COR-014
#[test]
fn frames_come_out_whole_whatever_the_split() {
    let mut wire = Vec::new();
    for message in [&b"\xaa\xbb\xcc"[..], b"", b"0123456789"] {
        framing::encode(message, &mut wire);
    }
    assert_eq!(&wire[..4], [3, 0xaa, 0xbb, 0xcc]);
    wire.push(0xaa);
    for split in 0..=wire.len() {
        let mut reader = framing::LengthDelimited::new(4096);
        let mut frames = Vec::new();
        for mut part in [&wire[..split], &wire[split..]] {
            while frames.len() < 3 {
                match reader.next_frame(&mut part).unwrap() {
                    Some(frame) => frames.push(frame),
                    None => break,
                }
            }
            if frames.len() == 3 {
                assert!(reader.is_between_frames());
                assert!(part.is_empty() || part == [0xaa]);
            }
        }
        assert_eq!(frames, [&b"\xaa\xbb\xcc"[..], b"", b"0123456789"]);
    }
    assert_eq!(framing::decode_prefix(&[0x80, 0x20], 4096), Ok(Some((4096, 2))));
    assert_eq!(
        framing::decode_prefix(&[0x81, 0x20], 4096),
        Err(Error::FrameTooLarge { len: 4097, max: 4096 })
    );
}

#[test]
fn vul_160_the_limit_stands_on_the_prefix_byte_by_byte() {
    let mut reader = framing::LengthDelimited::new(4096);
    assert_eq!(reader.next_frame(&mut &[0x81][..]), Ok(None));
    let refused = Err(Error::FrameTooLarge { len: 4097, max: 4096 });
    assert_eq!(reader.next_frame(&mut &[0x20][..]), refused);
    // At the limit a message comes, and of nothing too; a body that is withheld is waited for.
    let mut reader = framing::LengthDelimited::new(4096);
    assert_eq!(reader.next_frame(&mut &[0x80, 0x20][..]), Ok(None));
    assert_eq!(reader.next_frame(&mut &[7; 4095][..]), Ok(None));
    assert_eq!(reader.finish(), Err(Error::UnexpectedEnd));
    assert_eq!(reader.next_frame(&mut &[7][..]).unwrap().unwrap().len(), 4096);
    assert_eq!(reader.next_frame(&mut &[0][..]).unwrap().unwrap().len(), 0);
    assert_eq!(reader.finish(), Ok(()));
}

fn fields(bytes: &[u8]) -> Result<usize, ProtobufError> {
    let mut reader = Reader::new(bytes, Limits::default());
    let mut count = 0;
    while reader.next_field()?.is_some() {
        count += 1;
    }
    Ok(count)
}

// covers: COR-016, COR-018
#[test]
fn unknown_fields_are_skipped_and_bad_ones_refused() {
    assert_eq!(
        fields(&data_encoding::HEXLOWER.decode(b"9a0603616263").unwrap()),
        Ok(1)
    );
    for bad in [&[0x0b][..], &[0x06], &[0x02, 0], &[0x0a, 0xff], &[0x00]] {
        assert!(fields(bad).is_err(), "{bad:?}");
    }
    // What made quick-protobuf's own nested reading panic.
    assert!(fields(&[66, 1, 66, 0, 69]).is_err());
}

// covers: COR-019
#[test]
fn the_number_of_fields_is_bounded() {
    let many: Vec<u8> = [0x1a, 0].repeat(100_000);
    assert_eq!(fields(&many), Err(ProtobufError::TooManyFields));
}

// covers: COR-020
#[test]
fn text_that_is_not_utf_8_is_an_error_of_its_field_alone() {
    let message = b"\x0a\x02\xff\xfe\x0a\x02ok\x10\x01";
    let mut reader = Reader::new(message, Limits::default());
    let mut read = || reader.next_field().map(Option::unwrap);
    let broken = read().unwrap().value;
    assert_eq!(broken.to_str(), Err(ProtobufError::BadUtf8));
    assert_eq!(broken.to_bytes(), Ok(&[0xff, 0xfe][..]));
    // The entry is dropped or the message refused, as the protocol likes: the next field is there.
    assert_eq!(read().unwrap().value.to_str(), Ok("ok"));
    let number = read().unwrap().value;
    assert_eq!(number.to_str(), Err(ProtobufError::WrongWireType));
    assert_eq!(number.to_bytes(), Err(ProtobufError::WrongWireType));
    assert_eq!(broken.to_u64(), Err(ProtobufError::WrongWireType));
}

/// Reads messages inside of messages as deep as it may, and says how deep that was.
fn descend(mut reader: Reader<'_>) -> Result<usize, ProtobufError> {
    match reader.next_field()? {
        None => Ok(0),
        Some(field) => Ok(1 + descend(reader.nested(field.value.to_bytes()?)?)?),
    }
}

/// `depth` messages, each the only field of the one around it.
fn nested(depth: usize) -> Vec<u8> {
    let mut heads = Vec::new();
    let mut len = 0;
    for _ in 0..depth {
        let mut head = vec![0x0a];
        varint::encode(len as u64, &mut head);
        len += head.len();
        heads.push(head);
    }
    heads.reverse();
    heads.concat()
}

// covers: COR-018, COR-019
#[test]
fn vul_153_groups_and_nesting_need_no_stack() {
    let act = || {
        let groups = vec![0x0b; 1_000_000];
        assert_eq!(fields(&groups), Err(ProtobufError::BadWireType(3)));
        let deep = nested(100_000);
        // In a field that nobody knows it is bytes; in one that holds messages it ends at the limit.
        assert_eq!(fields(&deep), Ok(1));
        let limits = Limits {
            bytes: 1 << 24,
            ..Limits::default()
        };
        assert_eq!(descend(Reader::new(&deep, limits)), Err(ProtobufError::TooDeep));
        assert_eq!(descend(Reader::new(&nested(16), limits)), Ok(16));
        assert_eq!(
            descend(Reader::new(&nested(17), limits)),
            Err(ProtobufError::TooDeep)
        );
    };
    let small = std::thread::Builder::new().stack_size(64 * 1024);
    small.spawn(act).unwrap().join().unwrap();
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "vec", repeated, tag = "3")]
    items: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    inner: Vec<Inner>,
    #[prost(string, tag = "5")]
    text: String,
    #[prost(fixed64, tag = "19")]
    wide: u64,
    #[prost(fixed32, tag = "20")]
    fixed: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Inner {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "vec", tag = "2")]
    bytes: Vec<u8>,
}

fn decode(bytes: &[u8]) -> Result<Sample, ProtobufError> {
    let mut sample = Sample::default();
    let mut reader = Reader::new(bytes, Limits::default());
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => sample.number = field.value.to_u64()?,
            3 => sample.items.push(field.value.to_bytes()?.to_vec()),
            4 => sample
                .inner
                .push(decode_inner(reader.nested(field.value.to_bytes()?)?)?),
            5 => field.value.to_str()?.clone_into(&mut sample.text),
            19 | 20 => match (field.number, field.value) {
                (19, Value::Fixed64(wide)) => sample.wide = wide,
                (20, Value::Fixed32(fixed)) => sample.fixed = fixed,
                _ => return Err(ProtobufError::WrongWireType),
            },
            _ => {}
        }
    }
    Ok(sample)
}

fn decode_inner(mut reader: Reader<'_>) -> Result<Inner, ProtobufError> {
    let mut inner = Inner::default();
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => inner.number = field.value.to_u64()?,
            2 => inner.bytes = field.value.to_bytes()?.to_vec(),
            _ => {}
        }
    }
    Ok(inner)
}

/// Fields of a sample in any order and number, among unknown ones, some of them of a wrong wire type or broken.
fn sample_fields() -> impl Strategy<Value = Vec<u8>> {
    use proptest::collection::vec;
    let key = |number: u32, wire_type: u32| {
        let mut out = Vec::new();
        varint::encode(u64::from(number << 3 | wire_type), &mut out);
        out
    };
    let number = prop::sample::select(vec![1_u32, 2, 3, 4, 5, 19, 20, 21, 536_870_911]);
    let varint = |value: u64| {
        let mut out = Vec::new();
        Writer::new(&mut out).varint(1, value);
        out[1..].to_vec()
    };
    let inner = (any::<u64>(), vec(any::<u8>(), 0..5)).prop_map(|(value, bytes)| {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.varint(1, value);
        writer.bytes(2, &bytes);
        out
    });
    let field = prop_oneof![
        6 => (number.clone(), any::<u64>()).prop_map(move |(number, value)| [key(number, 0), varint(value)].concat()),
        6 => (number.clone(), prop_oneof![vec(any::<u8>(), 0..8), "[a-z]{0,4}".prop_map(String::into_bytes), inner])
            .prop_map(move |(number, bytes)| [&key(number, 2)[..], &[u8::try_from(bytes.len()).unwrap()], &bytes].concat()),
        2 => any::<[u8; 8]>().prop_map(move |bytes| [&key(19, 1)[..], &bytes].concat()),
        2 => any::<[u8; 4]>().prop_map(move |bytes| [&key(20, 5)[..], &bytes].concat()),
        1 => (number, 0..8_u32, vec(any::<u8>(), 0..10)).prop_map(move |(number, kind, bytes)| [key(number, kind), bytes].concat()),
    ];
    vec(field, 0..6).prop_map(|fields| fields.concat())
}

/// Whether a group stands in the message, which prost skips and we refuse.
fn has_group(error: ProtobufError) -> bool {
    matches!(error, ProtobufError::BadWireType(3))
}

/// `PROPTEST_CASES` asks for more.
fn cases() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig::with_cases(asked.cases.max(4096))
}

proptest! {
    #![proptest_config(cases())]

    // covers: COR-017, COR-021
    #[test]
    fn what_we_write_prost_reads(number in any::<u64>(), items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        if number > 0 {
            writer.varint(1, number);
        }
        for item in &items {
            writer.bytes(3, item);
        }
        let read = Sample::decode(&out[..]).unwrap();
        prop_assert_eq!(&read, &Sample { number, items, ..Sample::default() });
        prop_assert_eq!(read.encode_to_vec(), out);
    }

    // covers: COR-016, COR-017
    #[test]
    fn vul_157_a_message_is_the_same_to_us_and_to_prost_or_an_error_to_both(bytes in sample_fields()) {
        match (decode(&bytes), Sample::decode(&bytes[..])) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => prop_assert!(has_group(error), "only we refuse: {error}"),
            (Ok(_), Err(error)) => prop_assert!(false, "only prost refuses: {error}"),
        }
    }

    #[test]
    fn vul_157_any_bytes_are_the_same_to_us_and_to_prost_or_an_error_to_both(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        match (decode(&bytes), Sample::decode(&bytes[..])) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => prop_assert!(has_group(error), "only we refuse: {error}"),
            (Ok(_), Err(error)) => prop_assert!(false, "only prost refuses: {error}"),
        }
    }
}
