//! Frames after the handshake.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Fault, ProtocolName, TransmitBuf};
use libp2p_proto_multistream_select::{Negotiation, Outcome};
use libp2p_proto_noise::{Error, Limits, MAX_FRAME, MAX_PLAINTEXT};
use std::sync::Arc;
use support::{config, open, seal, transports};

// covers: NOI-054, NOI-055, NOI-060, NOI-063
#[test]
fn more_than_fits_leaves_in_a_full_frame_and_one_of_a_single_byte() {
    let (mut a, mut b) = transports();
    let data: Vec<u8> = (0..=255).cycle().take(65_520).collect();
    let (mut wire, mut left) = (Vec::new(), &data[..]);
    while !left.is_empty() {
        let filled = a.sealer.seal(&mut TransmitBuf::new(&mut wire, 70_000), |out| {
            let n = left.len().min(out.remaining());
            assert!(out.put(&left[..n]));
            n
        });
        left = &left[filled.unwrap().unwrap()..];
    }
    assert_eq!((MAX_FRAME, MAX_PLAINTEXT), (65_535, 65_519));
    assert_eq!(wire.len(), 2 + 65_519 + 16 + 2 + 1 + 16);
    assert_eq!(
        (&wire[..2], &wire[65_537..65_539]),
        (&[0xff, 0xff][..], &[0, 17][..])
    );
    let first = open(&mut b.opener, &wire).unwrap().unwrap();
    assert_eq!((first.0, first.1.len()), (65_537, 65_519));
    let second = open(&mut b.opener, &wire[first.0..]).unwrap().unwrap();
    assert_eq!([first.1, second.1].concat(), data);
}

// covers: NOI-056
#[test]
fn vul_072_frames_too_short_for_a_tag_are_refused_by_their_length_and_longer_ones_are_not() {
    for len in 0_u16..16 {
        let (_, mut b) = transports();
        let refused = open(&mut b.opener, &len.to_be_bytes());
        assert_eq!(refused, Err(Error::FrameTooShort(len.into())));
        let frame = support::frame(&vec![0; len.into()]);
        assert_eq!(open(&mut b.opener, &frame), Err(Error::FrameTooShort(len.into())));
    }
    for len in [16_u16, 17, 65_535] {
        let (_, mut b) = transports();
        assert_eq!(open(&mut b.opener, &len.to_be_bytes()), Ok(None));
        assert_eq!(
            open(&mut b.opener, &support::frame(&vec![0; len.into()])),
            Err(Error::BadTag)
        );
    }
    // No frame of ours is longer, however much room there is.
    let (mut a, _) = transports();
    let mut wire = Vec::new();
    let filled = a.sealer.seal(&mut TransmitBuf::new(&mut wire, 1 << 20), |out| {
        assert!(!out.put(&vec![0; 65_520]));
        out.put(&vec![0; 65_519])
    });
    assert_eq!((filled, wire.len()), (Ok(Some(true)), 65_537));
}

// covers: NOI-057
#[test]
fn vul_059_one_flipped_bit_is_fatal_and_the_genuine_frame_is_never_opened_afterwards() {
    for at in [0, 2, 3, 10, 20, 21, 36] {
        let (mut a, mut b) = transports();
        let genuine = seal(&mut a.sealer, b"nineteen bytes long");
        let mut changed = genuine.clone();
        changed[at] ^= 1;
        // In the length, the bit makes the frame longer than what has come.
        changed.resize(600, 0);
        assert_eq!(
            open(&mut b.opener, &changed),
            Err(Error::BadTag),
            "bit in byte {at}"
        );
        for _ in 0..3 {
            assert_eq!(open(&mut b.opener, &genuine), Err(Error::BadTag));
            assert_eq!(b.opener.handle_eof(0), Err(Error::BadTag));
        }
    }
}

// covers: NOI-058
#[test]
fn nothing_to_say_is_no_frame() {
    let (mut a, _) = transports();
    let mut wire = Vec::new();
    for limit in [0, 2, 18, 19, 100_000] {
        let sealed = a.sealer.seal(&mut TransmitBuf::new(&mut wire, limit), |_| ());
        assert_eq!(sealed, Ok((limit > 18).then_some(())));
        let nothing = a
            .sealer
            .seal(&mut TransmitBuf::new(&mut wire, limit), |out| out.put(b""));
        assert!(nothing.is_ok());
    }
    assert!(wire.is_empty());
    assert_eq!(format!("{:?}", a.sealer), "Sealer(at 0)");
}

// covers: NOI-059, NOI-071
#[test]
fn vul_072_empty_frames_deliver_nothing_and_the_1001st_in_a_row_is_one_too_many() {
    let (a, mut b) = transports();
    // We never send one, so the frames are made with a key of the test.
    drop(a);
    let aead = support::providers().remove(0);
    let aead = aead.aead(&[7; 32]).unwrap();
    let counter = |nonce: u64| {
        let mut bytes = [0; 12];
        bytes[4..].copy_from_slice(&nonce.to_le_bytes());
        bytes
    };
    let empty = |nonce| support::frame(&aead.seal(&counter(nonce), &[], &mut []).unwrap());
    let full = |nonce| {
        let mut body = *b"x";
        let tag = aead.seal(&counter(nonce), &[], &mut body).unwrap();
        support::frame(&[&body[..], &tag].concat())
    };
    let opener = |limits| {
        let config = Arc::new(config(1).with_limits(limits).unwrap());
        config.transport(&[0; 32], &[7; 32]).unwrap().1
    };
    b.opener = opener(Limits::default());
    for nonce in 0..1000 {
        assert_eq!(open(&mut b.opener, &empty(nonce)), Ok(Some((18, vec![]))));
    }
    assert_eq!(open(&mut b.opener, &full(1000)), Ok(Some((19, b"x".to_vec()))));
    for nonce in 1001..2001 {
        assert_eq!(open(&mut b.opener, &empty(nonce)), Ok(Some((18, vec![]))));
    }
    let error = open(&mut b.opener, &empty(2001)).unwrap_err();
    assert_eq!(
        (&error, error.fault()),
        (&Error::TooManyEmptyFrames, Fault::Limit)
    );
    assert_eq!(open(&mut b.opener, &full(2002)), Err(error));
    // The limit moves, down to none.
    let mut strict = opener(Limits {
        empty_frames: 0,
        ..Limits::default()
    });
    assert_eq!(open(&mut strict, &full(0)), Ok(Some((19, b"x".to_vec()))));
    assert_eq!(open(&mut strict, &empty(1)), Err(Error::TooManyEmptyFrames));
}

// covers: NOI-061
#[test]
fn the_borders_of_frames_mean_nothing_to_the_layer_above() {
    let muxers = [ProtocolName::from_static("/yamux/1.0.0")];
    let said = b"\x13/multistream/1.0.0\n\x0d/yamux/1.0.0\nrest";
    for cut in 1..said.len() - 1 {
        let (mut a, mut b) = transports();
        let mut wire = seal(&mut a.sealer, &said[..cut]);
        wire.extend(seal(&mut a.sealer, &said[cut..]));
        let mut listener = Negotiation::listener();
        let (mut at, mut rest) = (0, Vec::new());
        while let Some((taken, plain)) = b.opener.open(&mut wire[at..]).unwrap() {
            let used = listener.handle_input(plain, &muxers).unwrap();
            rest.extend_from_slice(&plain[used..]);
            at += taken;
        }
        assert_eq!(
            (listener.outcome(), &rest[..]),
            (Outcome::Agreed(0), &b"rest"[..])
        );
    }
}

// covers: NOI-062
#[test]
fn vul_060_the_last_nonce_is_never_used_and_the_one_before_it_is() {
    for provider in support::providers() {
        let config = libp2p_proto_noise::Config::with_provider(
            &support::identity(1),
            &mut libp2p_proto_core::Rng::from_seed([1; 32]),
            provider,
        )
        .unwrap();
        let (mut sealer, _) = config.transport(&[7; 32], &[0; 32]).unwrap();
        let (_, mut opener) = config.transport(&[0; 32], &[7; 32]).unwrap();
        sealer.set_nonce(u64::MAX - 1);
        opener.set_nonce(u64::MAX - 1);
        let last = seal(&mut sealer, b"last");
        assert_eq!(open(&mut opener, &last), Ok(Some((22, b"last".to_vec()))));
        let mut wire = Vec::new();
        for _ in 0..3 {
            let sealed = sealer.seal(&mut TransmitBuf::new(&mut wire, 100), |out| out.put(b"more"));
            assert_eq!(sealed, Err(Error::NonceExhausted));
            assert_eq!(open(&mut opener, &last), Err(Error::NonceExhausted));
        }
        assert!(wire.is_empty());
        assert_eq!(Error::NonceExhausted.fault(), Fault::Limit);
    }
}

// covers: NOI-064
#[test]
fn frames_have_one_order_and_the_directions_know_nothing_of_each_other() {
    let (mut a, mut b) = transports();
    let there: Vec<_> = (0..3).map(|n| seal(&mut a.sealer, &[n])).collect();
    let back: Vec<_> = (0..3).map(|n| seal(&mut b.sealer, &[n])).collect();
    assert_ne!(there, back);
    for (n, frame) in back.iter().enumerate() {
        assert_eq!(
            open(&mut a.opener, frame).unwrap().unwrap().1,
            [u8::try_from(n).unwrap()]
        );
    }
    for wrong in [&there[1], &there[2], &back[0]] {
        let (mut a, mut b) = transports();
        assert_eq!(seal(&mut a.sealer, &[0]), there[0]);
        assert_eq!(open(&mut b.opener, wrong), Err(Error::BadTag));
    }
    // Once each.
    assert!(open(&mut b.opener, &there[0]).is_ok());
    assert_eq!(open(&mut b.opener, &there[0]), Err(Error::BadTag));
}

// covers: NOI-065, NOI-066
#[test]
fn the_end_of_the_bytes_is_clean_between_frames_and_an_error_inside_of_one() {
    let wire = {
        let (mut a, _) = transports();
        [seal(&mut a.sealer, b"one"), seal(&mut a.sealer, b"two")].concat()
    };
    for end in 0..=wire.len() {
        let (_, mut b) = transports();
        let mut at = 0;
        while let Some((taken, _)) = open(&mut b.opener, &wire[at..end]).unwrap() {
            at += taken;
        }
        let is_border = end % 21 == 0;
        let expected = if is_border {
            Ok(())
        } else {
            Err(Error::UnexpectedEnd)
        };
        assert_eq!(b.opener.handle_eof(end - at), expected, "cut at {end}");
        if !is_border {
            assert_eq!(open(&mut b.opener, &wire[at..]), Err(Error::UnexpectedEnd));
        }
    }
}

// covers: NOI-067
#[test]
fn writes_that_are_ready_at_one_moment_share_a_frame_and_none_waits_for_more() {
    let (mut a, mut b) = transports();
    let mut wire = Vec::new();
    let queued = [&b"one "[..], b"two ", b"three"];
    let sealed = a.sealer.seal(&mut TransmitBuf::new(&mut wire, 100), |out| {
        queued.iter().all(|write| out.put(write))
    });
    assert_eq!((sealed, wire.len()), (Ok(Some(true)), 2 + 13 + 16));
    assert_eq!(open(&mut b.opener, &wire).unwrap().unwrap().1, b"one two three");
    assert_eq!(seal(&mut a.sealer, b"1").len(), 19);
}

#[test]
fn what_the_lent_buffer_holds_already_is_left_alone() {
    let (mut a, mut b) = transports();
    let mut wire = b"before".to_vec();
    a.sealer
        .seal(&mut TransmitBuf::new(&mut wire, 100), |out| out.put(b"data"))
        .unwrap();
    assert_eq!(&wire[..6], b"before");
    assert_eq!(open(&mut b.opener, &wire[6..]).unwrap().unwrap().1, b"data");
}

// covers: MSS-046
#[test]
fn the_first_message_may_come_in_one_chunk_with_the_negotiation() {
    let names = [libp2p_proto_noise::NAME];
    let (mut dialer, mut listener) = support::ends();
    let mut wire = b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec();
    wire.extend(support::take(&mut dialer));
    let mut negotiation = Negotiation::listener();
    let taken = negotiation.handle_input(&wire, &names).unwrap();
    assert_eq!((taken, negotiation.outcome()), (28, Outcome::Agreed(0)));
    let mut answer = Vec::new();
    negotiation.poll_transmit(&names, &mut TransmitBuf::new(&mut answer, 1000));
    assert_eq!(answer, wire[..28]);
    assert_eq!(listener.handle_input(&mut wire[taken..]), Ok(34));
    support::give(&mut dialer, &support::take(&mut listener)).unwrap();
    support::give(&mut listener, &support::take(&mut dialer)).unwrap();
    assert!(dialer.is_finished() && listener.is_finished());
}
