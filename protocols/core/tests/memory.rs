//! What the small formats cost, counted by the allocator.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_core::{
    Error, Multiaddr, PeerId, framing,
    protobuf::{Limits, ProtobufError, Reader},
    varint,
};

/// Allocations of `act`, and the most bytes that it held at one time.
fn cost(act: impl FnOnce()) -> (u64, u64) {
    let used = allocation_counter::measure(act);
    (used.count_total, used.bytes_max)
}

const TEXT: &str = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq/p2p-circuit/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

const fn is_copy<T: Copy>() {}

#[test]
fn a_peer_id_is_45_bytes_in_place_and_is_copied_without_the_heap() {
    is_copy::<PeerId>();
    assert_eq!(size_of::<PeerId>(), 45);
    let id: PeerId = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
        .parse()
        .unwrap();
    let multihash = id.as_bytes().to_vec();
    let spent = cost(|| {
        let read = PeerId::from_bytes(&multihash).unwrap();
        let copy = read;
        assert!(copy == id && copy.inline_key().is_some());
        let _ = PeerId::from_encoded_key(&[7; 300]).cmp(&copy);
    });
    assert_eq!(spent, (0, 0));
}

#[test]
fn an_address_is_one_allocation_whatever_the_number_of_its_components() {
    let addr: Multiaddr = TEXT.parse().unwrap();
    assert!(size_of::<Multiaddr>() <= 32);
    let walked = cost(|| {
        let copy = addr.clone();
        assert_eq!(copy.components().count(), 5);
        let _ = (copy.class(), copy.socket_tcp(), copy.peer_id(), copy.is_relayed());
        assert_eq!(
            copy.relay_and_target().map(|(relay, _)| relay),
            addr.split_relay().unwrap().0.unwrap().peer_id()
        );
    });
    assert_eq!(walked, (0, 0), "walking, cloning and splitting");
    let bytes = addr.as_bytes().to_vec();
    let many = [0xa2, 0x02].repeat(32);
    for bytes in [bytes, many] {
        let held = bytes::Bytes::from(bytes);
        let (count, _) = cost(|| drop(Multiaddr::from_bytes(held.clone())));
        assert!(count <= 1, "reading: {count}");
    }
}

// covers: COR-007, COR-068
#[test]
fn vul_154_a_declared_length_allocates_nothing() {
    let mut longest = Vec::new();
    varint::encode(varint::MAX, &mut longest);
    for len in [4097, (1 << 31) - 1, (1 << 32) - 1, 1 << 62, varint::MAX] {
        let mut prefix = Vec::new();
        varint::encode(len, &mut prefix);
        let mut reader = framing::LengthDelimited::new(4096);
        let spent = cost(|| {
            let refused = reader.next_frame(&mut &prefix[..]);
            assert_eq!(refused, Err(Error::FrameTooLarge { len, max: 4096 }));
        });
        assert_eq!(spent, (0, 0));
        let delimited = [&[0x0a], &prefix[..]].concat();
        let spent = cost(|| {
            let refused = Reader::new(&delimited, Limits::default()).next_field();
            assert_eq!(refused, Err(ProtobufError::Truncated));
        });
        assert_eq!(spent, (0, 0));
        for code in [42_u64, 53, 56, 400, 421, 446, 447, 449, 466, 481, 4770] {
            let mut addr = Vec::new();
            varint::encode(code, &mut addr);
            addr.extend(&prefix);
            let addr = bytes::Bytes::from(addr);
            let (_, bytes) = cost(|| assert!(Multiaddr::from_bytes(addr.clone()).is_err()));
            assert!(bytes < 128, "{code}: {bytes}");
        }
    }
}

/// The longest frame that can be announced on this machine.
fn longest() -> u64 {
    u64::try_from(usize::MAX).unwrap_or(varint::MAX).min(varint::MAX)
}

// covers: COR-015
#[test]
fn vul_154_a_reader_holds_at_most_twice_what_has_arrived() {
    for (max, announced) in [(1 << 20, 1 << 20), (usize::MAX, longest())] {
        let mut wire = Vec::new();
        varint::encode(announced, &mut wire);
        let mut reader = framing::LengthDelimited::new(max);
        let (_, first) = cost(|| {
            assert_eq!(reader.next_frame(&mut &wire[..]), Ok(None));
            assert_eq!(reader.next_frame(&mut &[7][..]), Ok(None));
        });
        assert!(first < 1024, "{first} bytes for one byte of {announced}");
        let piece = [7; 1000];
        let (_, held) = cost(|| {
            for _ in 0..100 {
                assert_eq!(reader.next_frame(&mut &piece[..]), Ok(None));
            }
        });
        assert_eq!(reader.buffered(), 100_001);
        // While it grows, the old and the new buffer stand side by side.
        assert!(held <= 5 * 100_001 / 2, "{held} bytes for 100 001");
    }
}

#[test]
fn a_frame_holds_no_byte_more_than_its_own() {
    let mut wire = Vec::new();
    framing::encode(&[9; 5000], &mut wire);
    for piece in [1, 7, 4096, 10_000] {
        let mut reader = framing::LengthDelimited::new(8192);
        let mut frame = None;
        let used = allocation_counter::measure(|| {
            for mut part in wire.chunks(piece) {
                frame = reader.next_frame(&mut part).unwrap();
            }
        });
        assert_eq!(frame.as_ref().map(bytes::Bytes::len), Some(5000));
        assert!(used.bytes_current <= 5000 + 64, "{used:?}");
    }
}

#[test]
fn vul_155_no_reserve_is_made_from_a_number_on_the_wire_and_overflow_is_checked() {
    // `usize::MAX` as a limit and the longest length: what would overflow a sum of the two.
    let mut reader = framing::LengthDelimited::new(usize::MAX);
    let mut wire = Vec::new();
    varint::encode(longest(), &mut wire);
    wire.push(1);
    assert_eq!(reader.next_frame(&mut &wire[..]), Ok(None));
    assert_eq!(framing::encoded_len(usize::MAX), usize::MAX);
    // The release profile keeps the checks, and `bytes` is past the release whose `reserve` could overflow.
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let (Ok(manifest), Ok(lock)) = (
        std::fs::read_to_string(format!("{root}/Cargo.toml")),
        std::fs::read_to_string(format!("{root}/Cargo.lock")),
    ) else {
        return; // the packaged crate stands alone
    };
    let release = manifest.split("[profile.release]").nth(1).unwrap();
    let release = release.split("\n[").next().unwrap();
    assert!(release.contains("overflow-checks = true"));
    let versions = lock.split("name = \"bytes\"\nversion = \"").skip(1);
    for version in versions.map(|rest| rest.split('"').next().unwrap()) {
        let numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
        assert!(numbers >= vec![1, 11, 1], "{version}");
    }
}
