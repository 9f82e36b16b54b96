//! What the stream below reads for us: by the framing that the machine's own specification asks for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use libp2p_proto_core::{PeerId, framing::LengthDelimited};
use libp2p_proto_kad::{Config, Kad};
use libp2p_proto_stream_protocol::{Framing, Protocol};

/// The reader of one stream of a machine that takes messages of 4 MiB.
fn reader() -> LengthDelimited {
    let config = Config {
        max_message: 4 << 20,
        ..Config::default()
    };
    let kad = Kad::new(PeerId::from_encoded_key(b"somebody"), config).unwrap();
    let [spec] = kad.specs() else {
        panic!("one kind of stream")
    };
    let Framing::Held { max } = spec.framing else {
        panic!("one message at a time")
    };
    assert_eq!(max, 4 << 20);
    LengthDelimited::new(max)
}

fn held(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).bytes_max
}

// covers: KAD-011
#[test]
fn a_prefix_that_is_longer_than_it_must_be_or_than_ten_bytes_ends_the_stream_without_memory() {
    for prefix in [
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01][..],
        &[0x82, 0x00],
        &[0xff; 12],
    ] {
        let mut reader = reader();
        let spent = held(|| assert!(reader.next_frame(&mut &prefix[..]).is_err()));
        assert_eq!(spent, 0, "{prefix:02x?}");
    }
}

// covers: KAD-014
#[test]
fn a_length_above_the_limit_is_refused_at_the_last_byte_of_its_prefix() {
    let mut reader = reader();
    let prefix = [0x81, 0x80, 0x80, 0x02];
    for byte in &prefix[..3] {
        assert_eq!(reader.next_frame(&mut &[*byte][..]), Ok(None));
    }
    assert!(reader.buffered() <= 10);
    assert!(reader.next_frame(&mut &prefix[3..]).is_err());
    // The longest one that is taken.
    let mut reader = self::reader();
    assert_eq!(reader.next_frame(&mut &[0x80, 0x80, 0x80, 0x02][..]), Ok(None));
}

// covers: KAD-015
#[test]
fn memory_follows_the_bytes_that_came_and_not_the_length_that_was_announced() {
    let mut reader = reader();
    let spent = held(|| {
        assert_eq!(reader.next_frame(&mut &[0x80, 0x80, 0x80, 0x02][..]), Ok(None));
        assert_eq!(reader.next_frame(&mut &[7; 10][..]), Ok(None));
    });
    assert!(spent < 1024, "{spent} bytes");
}
