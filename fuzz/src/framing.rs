//! Varints, and frames in the pieces that the input chooses.

use crate::budget;
use arbitrary::Unstructured;
use libp2p_proto_core::{
    Error,
    framing::{self, LengthDelimited},
    varint,
};

/// Runs one input: its first bytes choose the limit and the pieces, the rest is the stream.
pub fn run(data: &[u8]) {
    let mut choices = Unstructured::new(data);
    let max = choices
        .choose(&[0, 1, 127, 128, 300, 4096, 1 << 20, usize::MAX])
        .copied()
        .unwrap_or(128);
    let piece = choices.int_in_range(1..=64).unwrap_or(1);
    let stream = choices.take_rest();
    one_varint(stream);
    let most = 8 * 1024 + 6 * stream.len();
    let whole = budget::memory("frames at once", most, || {
        frames(max, stream, stream.len().max(1))
    });
    let pieces = budget::memory("frames in pieces", most, || frames(max, stream, piece));
    assert_eq!(whole, pieces);
    // There is one encoding, so what came out, written again, is the front of what came in.
    assert!(stream.starts_with(&whole.0));
}

fn one_varint(stream: &[u8]) {
    match varint::decode(stream) {
        Ok(Some((value, len))) => {
            let mut again = Vec::new();
            varint::encode(value, &mut again);
            assert_eq!(again, stream[..len]);
            assert_eq!(varint::encoded_len(value), len);
            for end in 0..len {
                assert_eq!(varint::decode(&stream[..end]), Ok(None));
            }
        }
        Ok(None) => assert!(stream.len() < varint::MAX_LEN),
        Err(error) => assert!(matches!(error, Error::VarintTooLong | Error::VarintNotMinimal)),
    }
}

/// The frames of a stream, written again, and how it ends.
fn frames(max: usize, stream: &[u8], piece: usize) -> (Vec<u8>, Result<(), Error>) {
    let mut reader = LengthDelimited::new(max);
    let mut again = Vec::new();
    for mut part in stream.chunks(piece) {
        loop {
            match reader.next_frame(&mut part) {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= max);
                    framing::encode(&frame, &mut again);
                }
                Ok(None) => {
                    assert!(part.is_empty());
                    break;
                }
                Err(error) => {
                    let left = part.len();
                    assert_eq!(reader.next_frame(&mut part), Err(error));
                    assert_eq!(part.len(), left, "nothing is taken after an error");
                    return (again, Err(error));
                }
            }
        }
    }
    (again, reader.finish())
}
