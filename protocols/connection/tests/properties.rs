//! What holds whatever the pieces.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{PeerId, TransmitBuf};
use libp2p_proto_stream_protocol::{FromConnection, StreamOrder};
use proptest::prelude::*;
use support::{NOW, Pair, RAW, identity};

fn peer_of(told: &[FromConnection]) -> Option<PeerId> {
    told.iter().find_map(|message| match message {
        FromConnection::Authenticated { peer } => Some(*peer),
        _ => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]


    #[test]
    fn any_chunks_carry_the_same_bytes(chunk in 1_usize..5000, sizes in proptest::collection::vec(0_usize..60_000, 1..5)) {
        let mut pair = Pair::established(chunk);
        let stream = pair.open(RAW, true);
        let mut sent = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let data = vec![u8::try_from(number).unwrap(); *size];
            sent.extend_from_slice(&data);
            pair.write(stream, data);
        }
        pair.order(0, stream, StreamOrder::Finish);
        pair.run();
        prop_assert_eq!(pair.frames(1).concat(), sent);
        prop_assert_eq!(peer_of(&pair.told[1]), Some(identity(1).peer_id()));
    }

    #[test]
    fn a_flipped_bit_anywhere_after_the_upgrade_is_noticed(place in 0_usize..500, bit in 0_u8..8) {
        let mut pair = Pair::established(1000);
        let stream = pair.open(RAW, true);
        pair.write(stream, vec![5; 400]);
        let mut wire = Vec::new();
        while pair.ends[0].poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 4096)) {}
        let place = place % wire.len();
        wire[place] ^= 1 << bit;
        let result = pair.ends[1].handle_input(NOW, &mut wire);
        // A changed length waits for more bytes; whatever else is changed fails the tag.
        prop_assert!(result.is_err() || place < 2);
        prop_assert!(pair.frames(1).is_empty());
    }
}
