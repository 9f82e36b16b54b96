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
fn vul_156_all_short_varints_agree_with_the_reference() {
    for first in 0..=255_u8 {
        for second in 0..=255_u8 {
            for third in (0..=255_u8).step_by(5) {
                let bytes = [first, second, third];
                let theirs = unsigned_varint::decode::u64(&bytes);
                match (varint::decode(&bytes), theirs) {
                    (Ok(Some((value, len))), Ok((wanted, rest))) => {
                        assert_eq!((value, len), (wanted, 3 - rest.len()));
                    }
                    (Ok(None), Err(unsigned_varint::decode::Error::Insufficient))
                    | (Err(_), Err(unsigned_varint::decode::Error::NotMinimal)) => {}
                    other => panic!("{bytes:?}: {other:?}"),
                }
            }
        }
    }
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

// covers: COR-015
#[test]
fn vul_154_memory_grows_with_what_arrived() {
    let mut reader = framing::LengthDelimited::new(1 << 20);
    let mut prefix = Vec::new();
    varint::encode(1 << 20, &mut prefix);
    prefix.push(7);
    assert_eq!(reader.next_frame(&mut &prefix[..]), Ok(None));
    assert!(reader.buffered() < 64);
    let mut huge = framing::LengthDelimited::new(4096);
    assert!(
        huge.next_frame(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f][..])
            .is_err()
    );
}

#[test]
fn vul_160_the_limit_stands_on_the_prefix_byte_by_byte() {
    let mut reader = framing::LengthDelimited::new(4096);
    assert_eq!(reader.next_frame(&mut &[0x81][..]), Ok(None));
    assert!(matches!(
        reader.next_frame(&mut &[0x20][..]),
        Err(Error::FrameTooLarge { len: 4097, .. })
    ));
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

#[test]
fn vul_153_groups_and_nesting_need_no_stack() {
    let groups = vec![0x0b; 1_000_000];
    assert!(fields(&groups).is_err());
    std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(|| {
            let mut reader = Reader::new(&[], Limits::default());
            let mut depth = 0;
            while let Ok(nested) = reader.nested(&[]) {
                reader = nested;
                depth += 1;
            }
            assert_eq!(depth, 16);
        })
        .unwrap()
        .join()
        .unwrap();
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "vec", repeated, tag = "3")]
    items: Vec<Vec<u8>>,
    #[prost(fixed32, tag = "20")]
    fixed: u32,
}

fn decode(bytes: &[u8]) -> Result<Sample, ProtobufError> {
    let mut sample = Sample::default();
    let mut reader = Reader::new(bytes, Limits::default());
    while let Some(field) = reader.next_field()? {
        match (field.number, field.value) {
            (1, Value::Varint(number)) => sample.number = number,
            (3, Value::Bytes(item)) => sample.items.push(item.to_vec()),
            (20, Value::Fixed32(fixed)) => sample.fixed = fixed,
            _ => {}
        }
    }
    Ok(sample)
}

proptest! {
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
        prop_assert_eq!(&read, &Sample { number, items, fixed: 0 });
        prop_assert_eq!(read.encode_to_vec(), out);
    }

    #[test]
    fn vul_157_we_and_prost_read_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(ours) = decode(&bytes) {
            // We skip a known field of another wire type, where prost errs.
            if let Ok(theirs) = Sample::decode(&bytes[..]) {
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
