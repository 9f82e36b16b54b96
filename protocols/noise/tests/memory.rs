//! What handshakes and frames cost in memory, by a counting allocator.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use allocation_counter::measure;
use libp2p_proto_core::{Rng, Side, TransmitBuf};
use libp2p_proto_noise::{Config, Handshake, Opener, Sealer};
use std::sync::Arc;
use support::{Remote, end, identity, keys, payload, providers, take, transports};

// covers: NOI-068
#[test]
fn a_frame_costs_no_allocation_to_seal_or_to_open_with_any_provider() {
    for provider in providers() {
        let name = format!("{provider:?}");
        let config = Config::with_provider(&identity(1), &mut Rng::from_seed([1; 32]), provider).unwrap();
        let (mut sealer, _) = config.transport(&[7; 32], &[0; 32]).unwrap();
        let (_, mut opener) = config.transport(&[0; 32], &[7; 32]).unwrap();
        let mut wire = Vec::with_capacity(70_000);
        let plain = vec![7_u8; 65_519];
        let info = measure(|| {
            for size in [1, 64, 1000, 65_519] {
                wire.clear();
                let sealed = sealer.seal(&mut TransmitBuf::new(&mut wire, 65_537), |out| {
                    out.put(&plain[..size])
                });
                assert_eq!(sealed, Ok(Some(true)));
                assert_eq!(opener.open(&mut wire).unwrap().unwrap().1, &plain[..size]);
            }
        });
        assert_eq!(info.count_total, 0, "{name}: {info:?}");
    }
}

// covers: NOI-069
#[test]
fn an_incomplete_frame_is_held_by_the_caller_alone() {
    let (mut a, mut b) = transports();
    let mut wire = support::seal(&mut a.sealer, &vec![7; 65_519]);
    let info = measure(|| {
        for end in 0..wire.len() {
            assert_eq!(b.opener.open(&mut wire[..end]), Ok(None));
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn a_listener_of_whom_nobody_wants_anything_holds_less_than_200_bytes() {
    let shared = Arc::new(support::config(1));
    let info = measure(|| {
        let silent = Handshake::new(shared.clone(), Side::Listener, None, [1; 32]);
        assert!(!silent.is_finished());
    });
    assert!(info.bytes_max <= 200, "{info:?}");
    println!(
        "{} bytes, and {} in place",
        info.bytes_max,
        size_of::<Handshake>()
    );
}

#[test]
fn a_handshake_holds_less_than_four_kib_and_leaves_only_the_keys_of_the_transport() {
    for side in [Side::Dialer, Side::Listener] {
        let shared = Arc::new(support::config(1));
        let mut other = end(2, side.opposite());
        let mut done = None;
        let mut ours = None;
        let info = measure(|| {
            ours = Some(Handshake::new(shared.clone(), side, None, [1; 32]));
        });
        let mut ours = ours.unwrap();
        let (mut held, mut peak) = (info.bytes_current, info.bytes_max);
        for _ in 0..2 {
            let mut wire = Vec::with_capacity(8194);
            let info = measure(|| {
                ours.poll_transmit(&mut TransmitBuf::new(&mut wire, 8194));
            });
            peak = peak.max(u64::try_from(held).unwrap() + info.bytes_max);
            held += info.bytes_current;
            if !wire.is_empty() {
                support::give(&mut other, &wire).unwrap();
            }
            let mut back = take(&mut other);
            if !back.is_empty() {
                let info = measure(|| {
                    ours.handle_input(&mut back).unwrap();
                });
                peak = peak.max(u64::try_from(held).unwrap() + info.bytes_max);
                held += info.bytes_current;
            }
        }
        assert!(peak <= 4096, "{peak}");
        let info = measure(|| done = Some(ours.finish().unwrap()));
        held += info.bytes_current;
        assert!(held <= 512, "{held}");
        println!(
            "{peak} bytes at most, {held} afterwards, {} in place",
            size_of::<(Sealer, Opener)>()
        );
    }
}

#[test]
fn vul_071_the_largest_payload_of_a_stranger_costs_a_handshake_less_than_eight_kib() {
    for side in [Side::Dialer, Side::Listener] {
        let mut ours = end(1, side);
        let mut remote = Remote::new(side.opposite(), &[]);
        if side.is_dialer() {
            remote.read(&take(&mut ours));
        } else {
            support::give(&mut ours, &remote.write(&[])).unwrap();
            remote.read(&take(&mut ours));
        }
        // Ten thousand names of one byte would be a hundred at most, and here are as many as fit.
        let list = payload(&[(2, &b"x"[..])].repeat(2500));
        let said = remote.vouch(&keys(2), &[(4, &list)]);
        let mut wire = remote.write(&said);
        assert!(wire.len() > 7000);
        let info = measure(|| assert!(ours.handle_input(&mut wire).is_ok()));
        assert!(info.bytes_max <= 8192, "{info:?}");
    }
}
