//! The handshake, message by message, against ourselves and against a remote that follows the pattern but says what it likes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{
    Fault, Rng, Side,
    protobuf::{Limits as ProtobufLimits, Reader, Value},
};
use libp2p_proto_identity::Keypair;
use libp2p_proto_noise::{Config, Error, Handshake, Limits, NAME, RustCrypto};
use std::{collections::BTreeSet, fs, sync::Arc};
use support::{
    PATTERN, Remote, YAMUX, config, end, ends, finished, give, hex, identity, keys, meet, meet_default,
    meet_with, muxers, names, payload, peer, run, take,
};

const SIDES: [Side; 2] = [Side::Dialer, Side::Listener];

fn with_config(config: Config, side: Side) -> Handshake {
    let seed = if side.is_dialer() { 8 } else { 9 };
    Handshake::new(Arc::new(config), side, None, [seed; 32])
}

/// The numbers and values of the fields of a message.
fn fields(message: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut reader = Reader::new(message, ProtobufLimits::default());
    let mut fields = Vec::new();
    while let Some(field) = reader.next_field().unwrap() {
        let Value::Bytes(bytes) = field.value else {
            panic!("{field:?}")
        };
        fields.push((field.number, bytes.to_vec()));
    }
    fields
}

/// The payloads of our messages 1, 2 or 3 as snow reads them.
fn our_payloads(side: Side) -> Vec<Vec<u8>> {
    let mut ours = end(1, side);
    let mut remote = Remote::new(side.opposite(), &[]);
    let mut payloads = Vec::new();
    if side.is_dialer() {
        payloads.push(remote.read(&take(&mut ours)));
        let said = remote.vouch(&keys(2), &[]);
        give(&mut ours, &remote.write(&said)).unwrap();
    } else {
        give(&mut ours, &remote.write(&[])).unwrap();
    }
    payloads.push(remote.read(&take(&mut ours)));
    payloads
}

// covers: NOI-001, NOI-006
#[test]
fn the_protocol_is_noise_and_there_is_one_pattern_with_one_suite() {
    assert_eq!(NAME.as_str(), "/noise");
    let mut found = BTreeSet::new();
    for folder in ["src", "src/provider", "src/xx"] {
        for entry in fs::read_dir(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() || path.ends_with("tests.rs") {
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            found.extend(
                text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .filter(|word| word.starts_with("Noise_"))
                    .map(str::to_owned),
            );
        }
    }
    assert_eq!(found, BTreeSet::from([PATTERN.to_owned()]));
}

// covers: NOI-002, NOI-018
#[test]
fn the_dialer_speaks_first_and_its_first_message_is_a_key_and_nothing_else() {
    let (mut dialer, mut listener) = ends();
    assert!(take(&mut listener).is_empty());
    let first = take(&mut dialer);
    assert_eq!((first.len(), &first[..2]), (34, &[0, 32][..]));
    assert!(take(&mut dialer).is_empty(), "then it waits");
    give(&mut listener, &first).unwrap();
    let second = take(&mut listener);
    assert_eq!(
        usize::from(u16::from_be_bytes([second[0], second[1]])),
        second.len() - 2
    );
}

// covers: NOI-011
#[test]
fn every_handshake_has_an_ephemeral_key_of_its_own() {
    let shared = Arc::new(config(1));
    let mut dice = Rng::from_seed([3; 32]);
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let seed = dice.bytes32();
        let first = |side| Handshake::new(shared.clone(), side, None, seed);
        let message = take(&mut first(Side::Dialer));
        assert_eq!(message, take(&mut first(Side::Dialer)), "a function of the seed");
        assert!(seen.insert(message));
    }
}

// covers: NOI-012
#[test]
fn one_static_key_for_each_node_or_one_for_each_handshake_both_do() {
    let shared = Arc::new(config(1));
    let mut statics = BTreeSet::new();
    for turn in 0..4_u8 {
        let own = Config::new(&identity(2), &mut Rng::from_seed([100 + turn; 32])).unwrap();
        let a = Handshake::new(shared.clone(), Side::Dialer, None, [turn; 32]);
        let (a, b) = finished(a, with_config(own, Side::Listener));
        assert_eq!((a.peer, b.peer), (peer(2), peer(1)));
        statics.insert(a.handshake_hash);
    }
    assert_eq!(statics.len(), 4);
}

/// The static key of `config`, as the remote sees it.
fn static_key(config: Config) -> Vec<u8> {
    let mut ours = with_config(config, Side::Listener);
    let mut remote = Remote::new(Side::Dialer, &[]);
    give(&mut ours, &remote.write(&[])).unwrap();
    remote.read(&take(&mut ours));
    remote.noise.get_remote_static().unwrap().to_vec()
}

// covers: NOI-014
#[test]
fn the_static_key_comes_from_the_dice_and_not_from_the_identity() {
    let key = |identity_seed, dice: u8| {
        let dice = &mut Rng::from_seed([dice; 32]);
        static_key(Config::new(&identity(identity_seed), dice).unwrap())
    };
    assert_eq!(key(1, 5), key(2, 5));
    assert_ne!(key(1, 5), key(1, 6));
}

// covers: NOI-013
#[test]
fn no_secret_is_printed_or_leaves_in_any_form() {
    let secret = [0xa7; 32];
    let config = Config::with_static_key(&identity(1), secret, Box::new(RustCrypto)).unwrap();
    let mut printed = vec![format!("{config:?}")];
    let dialer = Handshake::with_ephemeral(Arc::new(config), Side::Dialer, None, secret);
    printed.push(format!("{dialer:?}"));
    let (a, b) = finished(dialer, end(2, Side::Listener));
    printed.extend([format!("{a:?} {:?} {:?}", a.sealer, a.opener), format!("{b:?}")]);
    for text in printed {
        assert!(!text.contains("a7a7") && !text.contains("167, 167"), "{text}");
    }
}

// covers: NOI-017
#[test]
fn both_ends_keep_the_same_hash_and_no_other_handshake_has_it() {
    let (a, b) = support::transports();
    assert_eq!(a.handshake_hash, b.handshake_hash);
    let (c, _) = finished(end(1, Side::Dialer), end(3, Side::Listener));
    assert_ne!(a.handshake_hash, c.handshake_hash);
}

// covers: NOI-019
#[test]
fn a_first_message_of_any_other_size_than_32_bytes_is_refused_by_its_length() {
    for len in [0_u16, 1, 31, 33, 48, 104, 8192] {
        let mut listener = end(2, Side::Listener);
        let error = listener.handle_input(&mut len.to_be_bytes()).unwrap_err();
        assert_eq!(error, Error::BadLength(len.into()));
        assert_eq!(error.fault(), Fault::Peer);
    }
}

// covers: NOI-020, NOI-021, NOI-022, NOI-023, NOI-031, NOI-033, NOI-043
#[test]
fn our_payloads_hold_key_signature_and_one_multiplexer_and_the_first_message_has_none() {
    let dialer = our_payloads(Side::Dialer);
    assert!(dialer[0].is_empty());
    let listener = our_payloads(Side::Listener);
    for (payload, rs) in [(&dialer[1], None), (&listener[0], Some(()))] {
        assert_eq!(hex(&payload[..6]), "0a2408011220");
        let fields = fields(payload);
        let numbers: Vec<_> = fields.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 4], "no user data");
        assert_eq!(fields[0].1, keys(1).public().encode());
        assert_eq!(fields[2].1, muxers(&[YAMUX]));
        let signed = support::signed(&static_key(config(1)));
        assert!(keys(1).public().verify(&signed, &fields[1].1), "{rs:?}");
    }
}

// covers: NOI-024
#[test]
fn vul_057_one_flipped_bit_of_key_or_signature_is_enough_to_be_refused() {
    for side in SIDES {
        let flipped = |at: usize, bit: u32| {
            meet_default(side, |remote| {
                let mut said = remote.vouch(&keys(2), &[]);
                said[at] ^= 1 << bit;
                said
            })
        };
        // Behind the six bytes that say which fields there are: the key, then the signature behind its own two.
        for at in (6..38).step_by(5) {
            assert_eq!(flipped(at, 0).unwrap_err(), Error::BadSignature);
        }
        for at in (40..104).step_by(9) {
            assert_eq!(flipped(at, 7).unwrap_err(), Error::BadSignature);
        }
        for at in 0..6 {
            let error = flipped(at, 2).unwrap_err();
            assert!(
                matches!(error, Error::BadPayload | Error::BadKey(_) | Error::BadSignature),
                "{error:?}"
            );
        }
        assert!(meet_default(side, |remote| remote.vouch(&keys(2), &[])).is_ok());
    }
}

// covers: NOI-025
#[test]
fn a_payload_without_key_or_signature_is_refused() {
    for side in SIDES {
        let key = keys(2).public().encode().to_vec();
        for said in [
            vec![],
            payload(&[(1, &key)]),
            payload(&[(2, &[7; 64])]),
            payload(&[(1, &[]), (2, &[7; 64])]),
            payload(&[(1, &key), (2, &[])]),
            payload(&[(3, b"data")]),
        ] {
            let result = meet_default(side, |_| said);
            assert_eq!(result.unwrap_err(), Error::BadPayload);
        }
    }
}

// covers: NOI-026, NOI-027
#[test]
fn vul_058_another_peer_than_the_expected_is_refused_with_both_ids_and_gets_no_third_message() {
    let expected = peer(7);
    let wrong = Error::UnexpectedPeer {
        expected,
        got: peer(2),
    };
    let shared = Arc::new(config(1));
    for side in SIDES {
        let ours = Handshake::new(shared.clone(), side, Some(expected), [4; 32]);
        let (mut ours, result) = meet(ours, side, |remote| remote.vouch(&keys(2), &[]));
        assert_eq!(result, Err(wrong.clone()));
        assert!(take(&mut ours).is_empty());
        assert_eq!(ours.error(), Some(&wrong));
        assert_eq!(
            (wrong.code(), ours.finish().unwrap_err()),
            ("wrong-peer", wrong.clone())
        );
        let ours = Handshake::new(shared.clone(), side, Some(peer(2)), [4; 32]);
        assert_eq!(meet(ours, side, |remote| remote.vouch(&keys(2), &[])).1, Ok(()));
    }
}

// covers: NOI-028, NOI-029, NOI-051
#[test]
fn unknown_fields_old_data_and_certificate_hashes_are_passed_over() {
    let extensions = payload(&[(1, &[0x12; 34]), (2, YAMUX), (2000, b"experiment")]);
    for side in SIDES {
        let finished = meet_default(side, |remote| {
            let mut said = remote.vouch(&keys(2), &[(3, &[0xaa]), (4, &extensions), (9, b"later")]);
            // A number and a fixed value in fields that nobody knows.
            said.extend_from_slice(&[0x50, 0x07, 0x5d, 1, 2, 3, 4]);
            said
        });
        let finished = finished.unwrap();
        assert_eq!(finished.peer, peer(2));
        assert_eq!(finished.muxer.unwrap().as_str(), "/yamux/1.0.0");
    }
}

// covers: NOI-030, NOI-038
#[test]
fn after_a_bad_signature_there_is_no_peer_no_multiplexer_and_no_session() {
    for side in SIDES {
        let (mut ours, result) = meet(end(1, side), side, |remote| {
            let signature = keys(3).sign(&support::signed(&remote.static_public)).unwrap();
            payload(&[
                (1, keys(2).public().encode()),
                (2, &signature),
                (4, &muxers(&[YAMUX])),
            ])
        });
        assert_eq!(result, Err(Error::BadSignature));
        assert!(!ours.is_finished() && take(&mut ours).is_empty());
        for _ in 0..3 {
            assert_eq!(ours.handle_input(&mut [0; 100]), Err(Error::BadSignature));
        }
        assert_eq!(ours.handle_eof(), Err(Error::BadSignature));
        assert_eq!(ours.finish().unwrap_err(), Error::BadSignature);
    }
}

// covers: NOI-032
#[test]
fn the_same_messages_give_the_same_answer_in_a_second_session_and_change_nothing() {
    let shared = Arc::new(config(1));
    let listener = || Handshake::new(shared.clone(), Side::Listener, None, [5; 32]);
    let (mut dialer, mut first, mut second) = (end(2, Side::Dialer), listener(), listener());
    let one = take(&mut dialer);
    give(&mut first, &one).unwrap();
    give(&mut second, &one).unwrap();
    let two = take(&mut first);
    assert_eq!(two, take(&mut second));
    give(&mut dialer, &two).unwrap();
    let three = take(&mut dialer);
    give(&mut first, &three).unwrap();
    give(&mut second, &three).unwrap();
    let (first, second) = (first.finish().unwrap(), second.finish().unwrap());
    assert_eq!(first.handshake_hash, second.handshake_hash);
    assert_eq!((first.peer, second.peer), (peer(2), peer(2)));
}

/// A payload that makes a message of exactly `len` bytes on the other side of `side`.
fn padded(remote: &Remote, side: Side, len: usize) -> Vec<u8> {
    let overhead = if side.is_dialer() { 96 } else { 64 };
    let said = remote.vouch(&keys(2), &[]);
    let room = len - overhead - said.len();
    // Field 9 with a length of two or three bytes in front.
    let padding = vec![0x55; room - if room < 16_387 { 3 } else { 4 }];
    [said, payload(&[(9, &padding)])].concat()
}

// covers: NOI-034
#[test]
fn a_handshake_message_of_8192_bytes_is_read_and_one_more_is_refused_by_its_length() {
    for side in SIDES {
        assert!(meet_default(side, |remote| padded(remote, side, 8192)).is_ok());
        let mut ours = end(1, side);
        if side.is_dialer() {
            take(&mut ours);
        } else {
            let mut remote = end(2, Side::Dialer);
            give(&mut ours, &take(&mut remote)).unwrap();
            take(&mut ours);
        }
        let error = ours.handle_input(&mut 8193_u16.to_be_bytes()).unwrap_err();
        assert_eq!(
            (error.clone(), error.fault()),
            (Error::TooLarge(8193), Fault::Limit)
        );
    }
}

#[test]
fn the_limits_move_and_have_ranges() {
    let limits = |handshake_message| Limits {
        handshake_message,
        ..Limits::default()
    };
    for side in SIDES {
        let ours = || with_config(config(1).with_limits(limits(512)).unwrap(), side);
        assert_eq!(meet(ours(), side, |remote| padded(remote, side, 512)).1, Ok(()));
        let refused = meet(ours(), side, |remote| padded(remote, side, 513)).1;
        assert_eq!(refused, Err(Error::TooLarge(513)));
        let most = config(1).with_limits(limits(65_535)).unwrap();
        assert_eq!(
            meet(with_config(most, side), side, |remote| padded(
                remote, side, 65_535
            ))
            .1,
            Ok(())
        );
    }
    for (limits, name) in [
        (limits(255), "handshake_message"),
        (limits(65_536), "handshake_message"),
        (
            Limits {
                muxers: 1001,
                ..Limits::default()
            },
            "muxers",
        ),
        (
            Limits {
                muxer_len: 1024,
                ..Limits::default()
            },
            "muxer_len",
        ),
        (
            Limits {
                empty_frames: u16::MAX,
                ..Limits::default()
            },
            "empty_frames",
        ),
    ] {
        let error = config(1).with_limits(limits).unwrap_err();
        assert_eq!((&error, error.fault()), (&Error::BadLimit(name), Fault::Local));
    }
}

#[test]
fn our_own_payload_is_held_against_the_limits_that_peers_have() {
    let many = |count| vec![libp2p_proto_core::ProtocolName::from_static("/yamux/1.0.0"); count];
    assert!(config(1).with_muxers(many(100)).is_ok());
    assert_eq!(
        config(1).with_muxers(many(101)).unwrap_err(),
        Error::MuxersTooLong
    );
    let long =
        |len: usize| libp2p_proto_core::ProtocolName::new(&format!("/{}", "x".repeat(len - 1))).unwrap();
    assert!(config(1).with_muxers(vec![long(256)]).is_ok());
    assert_eq!(
        config(1).with_muxers(vec![long(257)]).unwrap_err(),
        Error::MuxersTooLong
    );
    let error = config(1).with_muxers(vec![long(256); 40]).unwrap_err();
    assert!(matches!(error, Error::PayloadTooLarge(10_000..)), "{error:?}");
}

// covers: NOI-035
#[test]
fn messages_too_short_for_their_pattern_are_refused_by_their_length() {
    for len in [0_u16, 1, 47, 48, 95] {
        let mut dialer = end(1, Side::Dialer);
        take(&mut dialer);
        let refused = dialer.handle_input(&mut len.to_be_bytes());
        assert_eq!(refused, Err(Error::BadLength(len.into())));
    }
    for len in [0_u16, 1, 47, 48, 63] {
        let mut listener = end(1, Side::Listener);
        give(&mut listener, &take(&mut end(2, Side::Dialer))).unwrap();
        take(&mut listener);
        let refused = listener.handle_input(&mut len.to_be_bytes());
        assert_eq!(refused, Err(Error::BadLength(len.into())));
    }
    // At the shortest length it is the content that is refused.
    let mut dialer = end(1, Side::Dialer);
    take(&mut dialer);
    assert_eq!(
        dialer.handle_input(&mut support::frame(&[9; 96])),
        Err(Error::BadTag)
    );
}

// covers: NOI-039
#[test]
fn our_own_messages_keys_and_identity_are_refused_when_they_come_back() {
    // The very message that we sent.
    let mut dialer = end(1, Side::Dialer);
    let first = take(&mut dialer);
    let mut echo = support::frame(&[&first[2..], &[0; 64]].concat());
    assert_eq!(dialer.handle_input(&mut echo), Err(Error::OwnIdentity));
    // Both ends are ours, with the same static key.
    let shared = Arc::new(config(1));
    let mut a = Handshake::new(shared.clone(), Side::Dialer, None, [1; 32]);
    let mut b = Handshake::new(shared, Side::Listener, None, [2; 32]);
    assert_eq!(run(&mut a, &mut b), Err(Error::OwnIdentity));
    // Both ends are ours, with static keys of their own.
    for side in SIDES {
        let error = meet_default(side, |remote| remote.vouch(&keys(1), &[])).unwrap_err();
        assert_eq!((error.code(), error.fault()), ("self-dial", Fault::Local));
    }
}

fn agreed(
    dialer: &[&'static str],
    listener: &[&'static str],
) -> Result<(Option<String>, Option<String>), Error> {
    let with = |seed, list| config(seed).with_muxers(names(list)).unwrap();
    let mut a = with_config(with(1, dialer), Side::Dialer);
    let mut b = with_config(with(2, listener), Side::Listener);
    run(&mut a, &mut b)?;
    let name = |end: Handshake| Ok::<_, Error>(end.finish()?.muxer.map(|name| name.as_str().to_owned()));
    Ok((name(a)?, name(b)?))
}

// covers: NOI-041
#[test]
fn the_first_of_the_dialers_multiplexers_that_the_listener_lists_is_taken_by_both() {
    let both = |name: &str| Ok((Some(name.to_owned()), Some(name.to_owned())));
    let (yamux, mplex) = ("/yamux/1.0.0", "/mplex/6.7.0");
    assert_eq!(agreed(&[yamux, mplex], &[mplex, yamux]), both(yamux));
    assert_eq!(agreed(&[mplex, yamux], &[yamux, mplex]), both(mplex));
    assert_eq!(agreed(&[mplex, yamux], &[yamux]), both(yamux));
    assert_eq!(agreed(&[yamux], &[yamux]), both(yamux));
}

// covers: NOI-044, NOI-045
#[test]
fn without_a_list_on_either_side_the_multiplexer_is_left_to_multistream_select() {
    let yamux = ["/yamux/1.0.0"];
    for (dialer, listener) in [(&yamux[..], &[][..]), (&[], &yamux), (&[], &[])] {
        assert_eq!(agreed(dialer, listener), Ok((None, None)));
    }
    for side in SIDES {
        let no_list = meet_default(side, |remote| remote.vouch(&keys(2), &[])).unwrap();
        let empty_list = meet_default(side, |remote| remote.vouch(&keys(2), &[(4, &[])])).unwrap();
        assert_eq!((no_list.muxer, empty_list.muxer), (None, None));
    }
}

// covers: NOI-046
#[test]
fn lists_without_a_common_multiplexer_end_the_handshake() {
    let refused = agreed(&["/mplex/6.7.0"], &["/yamux/1.0.0"]);
    assert_eq!(refused, Err(Error::NoCommonMuxer));
    for side in SIDES {
        let list = muxers(&[b"/mplex/6.7.0", b"/yamux/1.0.0 "]);
        let refused = meet_default(side, |remote| remote.vouch(&keys(2), &[(4, &list)]));
        assert_eq!(refused.unwrap_err(), Error::NoCommonMuxer);
    }
}

// covers: NOI-047
#[test]
fn a_list_of_more_than_100_entries_or_one_longer_than_256_bytes_counts_as_none() {
    let long = |len: usize| [&b"/"[..], &vec![b'x'; len - 1]].concat();
    let (fits, too_long) = (long(256), long(257));
    let mut list = vec![&b"/other"[..]; 99];
    list.push(YAMUX);
    let hundred = muxers(&list);
    list.push(b"/one-more");
    let hundred_and_one = muxers(&list);
    for side in SIDES {
        let muxer = |list: &[u8]| {
            let finished = meet_default(side, |remote| remote.vouch(&keys(2), &[(4, list)]));
            finished.unwrap().muxer
        };
        assert!(muxer(&hundred).is_some());
        assert!(muxer(&hundred_and_one).is_none());
        assert!(muxer(&muxers(&[YAMUX, &fits])).is_some());
        assert!(muxer(&muxers(&[YAMUX, &too_long])).is_none());
    }
}

#[test]
fn the_prologue_is_bound_into_the_handshake() {
    for side in SIDES {
        let ours = || with_config(config(1).with_prologue(b"libp2p-webrtc-noise:".to_vec()), side);
        let with = |prologue: &[u8]| {
            let remote = Remote::new(side.opposite(), prologue);
            meet_with(ours(), side, remote, |remote| remote.vouch(&keys(2), &[])).1
        };
        assert_eq!(with(b"libp2p-webrtc-noise:"), Ok(()));
    }
    let ours = with_config(config(1).with_prologue(b"x".to_vec()), Side::Dialer);
    let result = meet(ours, Side::Dialer, |remote| remote.vouch(&keys(2), &[])).1;
    assert_eq!(result, Err(Error::BadTag));
}

#[test]
fn every_key_type_vouches_on_both_sides() {
    for key_type in [
        libp2p_proto_identity::KeyType::Secp256k1,
        libp2p_proto_identity::KeyType::Ecdsa,
        libp2p_proto_identity::KeyType::Ed25519,
    ] {
        let keys = Keypair::generate(key_type, &mut Rng::from_seed([6; 32])).unwrap();
        let wanted = keys.public().peer_id();
        let config = |identity| Config::new(&identity, &mut Rng::from_seed([8; 32])).unwrap();
        for side in SIDES {
            let theirs = with_config(config(keys_of(&keys)), side.opposite());
            let ours = Handshake::new(Arc::new(support::config(1)), side, Some(wanted), [3; 32]);
            let (a, b) = if side.is_dialer() {
                (ours, theirs)
            } else {
                (theirs, ours)
            };
            let (a, b) = finished(a, b);
            let got = if side.is_dialer() { a.peer } else { b.peer };
            assert_eq!(got, wanted);
        }
    }
}

fn keys_of(keys: &Keypair) -> libp2p_proto_identity::Identity {
    Keypair::decode_protobuf(&keys.encode_protobuf()).unwrap().into()
}

// covers: NOI-037
#[test]
fn what_costs_nothing_is_checked_before_the_signature_and_a_giant_rsa_key_is_never_verified() {
    let bad = |seed, further: &[(u32, &[u8])]| {
        let mut fields = vec![(1, keys(seed).public().encode().to_vec()), (2, vec![1; 64])];
        fields.extend(further.iter().map(|(number, value)| (*number, value.to_vec())));
        let fields: Vec<_> = fields
            .iter()
            .map(|(number, value)| (*number, &value[..]))
            .collect();
        payload(&fields)
    };
    for side in SIDES {
        let ours = Handshake::new(Arc::new(config(1)), side, Some(peer(7)), [4; 32]);
        let wrong_peer = meet(ours, side, |_| bad(2, &[])).1;
        assert!(matches!(wrong_peer, Err(Error::UnexpectedPeer { .. })));
        assert_eq!(
            meet_default(side, |_| bad(1, &[])).unwrap_err(),
            Error::OwnIdentity
        );
        // `SubjectPublicKeyInfo` of a modulus of 8 200 bits, and an unknown type of key.
        for key in [rsa_key(1025), vec![0x08, 0x07, 0x12, 0x01, 0xff]] {
            let refused = meet_default(side, |_| payload(&[(1, &key), (2, &[1; 1025])]));
            assert!(matches!(refused, Err(Error::BadKey(_))));
        }
        // One of 16 384 bits.
        let key = rsa_key(2048);
        let refused = meet_default(side, |_| payload(&[(1, &key), (2, &[1; 2048])]));
        assert_eq!(
            refused.unwrap_err(),
            Error::BadKey(libp2p_proto_identity::Error::KeyTooLarge)
        );
    }
}

/// The protobuf of an RSA key whose modulus has so many bytes.
fn rsa_key(len: usize) -> Vec<u8> {
    let der = |tag: u8, content: &[u8]| {
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &len[..], content].concat()
    };
    let mut modulus = vec![0];
    modulus.extend(vec![0xff; len]);
    let key = der(0x30, &[der(0x02, &modulus), vec![0x02, 3, 1, 0, 1]].concat());
    let bits = der(0x03, &[vec![0], key].concat());
    let algorithm = support::unhex("300d06092a864886f70d0101010500");
    let info = der(0x30, &[algorithm, bits].concat());
    let mut encoded = vec![0x08, 0x00];
    encoded.extend(payload(&[(2, &info)]));
    encoded
}

#[test]
fn the_end_of_the_bytes_before_the_end_of_the_handshake_is_an_error() {
    let (mut dialer, mut listener) = ends();
    assert_eq!(end(2, Side::Listener).handle_eof(), Err(Error::UnexpectedEnd));
    give(&mut listener, &take(&mut dialer)).unwrap();
    assert_eq!(dialer.handle_eof(), Err(Error::UnexpectedEnd));
    assert_eq!(dialer.finish().unwrap_err(), Error::UnexpectedEnd);
    assert_eq!(end(1, Side::Dialer).finish().unwrap_err(), Error::Unfinished);
    let (mut a, mut b) = ends();
    run(&mut a, &mut b).unwrap();
    assert_eq!((a.handle_eof(), b.handle_eof()), (Ok(()), Ok(())));
}

#[test]
fn every_error_has_a_word_a_fault_and_a_text_of_its_own() {
    let errors = [
        Error::BadLength(1),
        Error::TooLarge(1),
        Error::NonContributory,
        Error::BadTag,
        Error::BadPayload,
        Error::BadKey(libp2p_proto_identity::Error::KeyTooLarge),
        Error::BadSignature,
        Error::UnexpectedPeer {
            expected: peer(1),
            got: peer(2),
        },
        Error::OwnIdentity,
        Error::NoCommonMuxer,
        Error::FrameTooShort(1),
        Error::TooManyEmptyFrames,
        Error::NonceExhausted,
        Error::UnexpectedEnd,
        Error::Unfinished,
        Error::SigningFailed,
        Error::PayloadTooLarge(1),
        Error::MuxersTooLong,
        Error::BadLimit("muxers"),
        Error::Provider,
    ];
    let codes: BTreeSet<_> = errors.iter().map(Error::code).collect();
    let texts: BTreeSet<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!((codes.len(), texts.len()), (errors.len(), errors.len()));
    let local = errors
        .iter()
        .filter(|error| error.fault() == Fault::Local)
        .count();
    assert_eq!(local, 7);
}
