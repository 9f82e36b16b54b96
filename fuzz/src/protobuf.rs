//! The strict protobuf module beside prost: a message means the same to both, or is an error to both.

use crate::budget;
use libp2p_proto_core::protobuf::{Limits, ProtobufError, Reader, Value, Writer};
use prost::Message as _;

/// A field of every kind of value, and a message that holds itself.
#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "vec", repeated, tag = "2")]
    items: Vec<Vec<u8>>,
    #[prost(string, tag = "3")]
    text: String,
    #[prost(message, repeated, tag = "4")]
    inner: Vec<Sample>,
    #[prost(fixed64, tag = "5")]
    wide: u64,
    #[prost(fixed32, tag = "6")]
    fixed: u32,
}

/// Runs one input: the message.
pub fn run(data: &[u8]) {
    let most = 64 * 1024 + 4 * data.len();
    budget::memory("reading fields", most, || {
        walk(Reader::new(data, Limits::default()));
    });
    let limits = Limits {
        fields: 16,
        depth: 2,
        bytes: 1 << 10,
    };
    budget::memory("reading few fields", 0, || walk(Reader::new(data, limits)));
    match (read(Reader::new(data, Limits::default())), Sample::decode(data)) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours, theirs);
            let mut again = Vec::new();
            write(&ours, &mut again);
            assert_eq!(read(Reader::new(&again, Limits::default())), Ok(ours));
        }
        (Err(_), Err(_)) => {}
        (Err(error), Ok(_)) => assert!(is_ours_alone(error), "only we refuse: {error}"),
        (Ok(_), Err(error)) => panic!("only prost refuses: {error}"),
    }
}

/// Prost skips groups, and has no limit on fields; its limit on depth is another.
fn is_ours_alone(error: ProtobufError) -> bool {
    matches!(
        error,
        ProtobufError::BadWireType(3) | ProtobufError::TooManyFields | ProtobufError::TooDeep
    )
}

/// Every field, at every level that a nested message could have.
fn walk(mut reader: Reader<'_>) {
    while let Ok(Some(field)) = reader.next_field() {
        if let Value::Bytes(bytes) = field.value
            && let Ok(inner) = reader.nested(bytes)
            && field.number == 4
        {
            walk(inner);
        }
    }
    assert_eq!(reader.next_field().is_err(), reader.next_field().is_err());
}

fn read(mut reader: Reader<'_>) -> Result<Sample, ProtobufError> {
    let mut sample = Sample::default();
    while let Some(field) = reader.next_field()? {
        match (field.number, field.value) {
            (1, value) => sample.number = value.to_u64()?,
            (2, value) => sample.items.push(value.to_bytes()?.to_vec()),
            (3, value) => value.to_str()?.clone_into(&mut sample.text),
            (4, value) => sample.inner.push(read(reader.nested(value.to_bytes()?)?)?),
            (5, Value::Fixed64(wide)) => sample.wide = wide,
            (6, Value::Fixed32(fixed)) => sample.fixed = fixed,
            (5 | 6, _) => return Err(ProtobufError::WrongWireType),
            _ => {}
        }
    }
    Ok(sample)
}

/// Writes what the writer has words for: it has none for fixed numbers, which no message of the family holds.
fn write(sample: &Sample, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    writer.varint(1, sample.number);
    for item in &sample.items {
        writer.bytes(2, item);
    }
    writer.string(3, &sample.text);
    for inner in &sample.inner {
        let mut bytes = Vec::new();
        write(inner, &mut bytes);
        writer.bytes(4, &bytes);
    }
    out.extend(
        Sample {
            wide: sample.wide,
            fixed: sample.fixed,
            ..Sample::default()
        }
        .encode_to_vec(),
    );
}
