//! snow as the other end, in both roles and directions.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::Side;
use libp2p_proto_noise::{Config, Finished, Handshake};
use proptest::prelude::*;
use snow::TransportState;
use std::sync::Arc;
use support::{Remote, frame, identity, keys, open, peer, providers, seal, take};

/// A session between ours, with this provider and ephemeral key, and snow.
fn session(side: Side, provider: usize, seed: [u8; 32], prologue: &[u8]) -> (Finished, TransportState) {
    let provider = providers().remove(provider);
    let config = Config::with_static_key(&identity(1), seed, provider).unwrap();
    let config = Arc::new(config.with_prologue(prologue.to_vec()));
    let mut ours = Handshake::new(config, side, None, seed);
    let mut remote = Remote::new(side.opposite(), prologue);
    if side.is_dialer() {
        assert!(remote.read(&take(&mut ours)).is_empty());
    } else {
        support::give(&mut ours, &remote.write(&[])).unwrap();
        remote.read(&take(&mut ours));
    }
    let said = remote.vouch(&keys(2), &[]);
    support::give(&mut ours, &remote.write(&said)).unwrap();
    if side.is_dialer() {
        remote.read(&take(&mut ours));
    }
    let ours = ours.finish().unwrap();
    assert_eq!(ours.handshake_hash, remote.noise.get_handshake_hash());
    assert_eq!(ours.peer, peer(2));
    (ours, remote.noise.into_transport_mode().unwrap())
}

// covers: NOI-008, NOI-009, NOI-010
#[test]
fn snow_in_both_roles_with_every_provider() {
    for side in [Side::Dialer, Side::Listener] {
        for provider in 0..providers().len() {
            let (mut ours, mut theirs) = session(side, provider, [3; 32], b"");
            let mut message = [0; 100];
            for round in 0..100_u8 {
                let sealed = seal(&mut ours.sealer, &[round; 20]);
                let len = theirs.read_message(&sealed[2..], &mut message).unwrap();
                assert_eq!(message[..len], [round; 20]);
                let len = theirs.write_message(&[round; 30], &mut message).unwrap();
                let opened = open(&mut ours.opener, &frame(&message[..len])).unwrap();
                assert_eq!(opened, Some((48, vec![round; 30])));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn snow_reads_what_we_write_and_we_read_what_it_writes(
        dials: bool,
        provider: prop::sample::Index,
        seed: [u8; 32],
        prologue in proptest::collection::vec(any::<u8>(), 0..80),
        sizes in proptest::collection::vec((any::<bool>(), prop_oneof![0_usize..100, 0_usize..65_520]), 1..12),
    ) {
        let side = if dials { Side::Dialer } else { Side::Listener };
        let (mut ours, mut theirs) = session(side, provider.index(providers().len()), seed, &prologue);
        let mut message = vec![0; 65_535];
        for (there, size) in sizes {
            let plain: Vec<u8> = (0..=255).cycle().skip(size % 7).take(size).collect();
            if !there {
                let len = theirs.write_message(&plain, &mut message).unwrap();
                let opened = open(&mut ours.opener, &frame(&message[..len])).unwrap();
                prop_assert_eq!(opened, Some((size + 18, plain)));
            } else if size > 0 {
                let sealed = seal(&mut ours.sealer, &plain);
                let len = theirs.read_message(&sealed[2..], &mut message).unwrap();
                prop_assert_eq!(&message[..len], &plain[..]);
            }
        }
    }
}
