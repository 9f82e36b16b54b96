//! Byte-exact messages and vouchers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use data_encoding::HEXLOWER;
use libp2p_proto_core::{PeerId, UnixTime};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_relay::{
    HopMessage, Limit, MAX_MESSAGE, Reservation, Status, StopMessage, Voucher, VoucherError, WireError,
};
use proptest::prelude::*;

const EXPIRE: u64 = 1_800_000_000;
const ENVELOPE: &str = "0a2408011220ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1120203021a560a26002408011220ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d112260024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c1880a4a7da062a408c28c3f3b34ee9ebdd31e01a41de3a60babbcbdcabd9994c31fc0aa2aeab5d17c53e2f9ad9a970fe8517faa66d65143a1baa4fa61bfd832ffb2322f21e70b007";
const RELAY_ADDR: &str =
    "04c0000201060fa3a50326002408011220ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1";

fn identity(seed: u8) -> Identity {
    Keypair::ed25519_from_seed([seed; 32]).into()
}

fn peer(seed: u8) -> PeerId {
    identity(seed).peer_id()
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn now() -> UnixTime {
    UnixTime::from_secs(1_700_000_000)
}

fn granted(voucher: bool) -> HopMessage {
    let addr = libp2p_proto_core::Multiaddr::from_bytes(hex(RELAY_ADDR)).unwrap();
    HopMessage::Status {
        status: Status::Ok,
        reservation: Some(Reservation {
            expire: EXPIRE,
            addrs: vec![addr],
            voucher: voucher.then(|| hex(ENVELOPE).into()),
        }),
        limit: Limit {
            duration: 120,
            data: 131_072,
        },
    }
}

/// Every hop message of the list with its bytes.
fn hops() -> Vec<(HopMessage, Vec<u8>)> {
    let limit = Limit {
        duration: 120,
        data: 131_072,
    };
    let ok = HopMessage::Status {
        status: Status::Ok,
        reservation: None,
        limit,
    };
    let mut all = vec![
        (HopMessage::Reserve, "0800".to_owned()),
        (
            granted(false),
            format!("08021a390880a4a7da061231{RELAY_ADDR}22060878108080082864"),
        ),
        (
            HopMessage::Connect { peer: peer(1) },
            "080112280a260024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c".into(),
        ),
        (ok, "080222060878108080082864".into()),
    ];
    for (status, bytes) in [
        (Status::Ok, "08022864"),
        (Status::ReservationRefused, "080228c801"),
        (Status::ResourceLimitExceeded, "080228c901"),
        (Status::PermissionDenied, "080228ca01"),
        (Status::ConnectionFailed, "080228cb01"),
        (Status::NoReservation, "080228cc01"),
        (Status::MalformedMessage, "0802289003"),
        (Status::UnexpectedMessage, "0802289103"),
    ] {
        all.push((HopMessage::status(status), bytes.into()));
    }
    all.into_iter()
        .map(|(message, bytes)| (message, hex(&bytes)))
        .collect()
}

fn stops() -> Vec<(StopMessage, Vec<u8>)> {
    let status = |status| StopMessage::Status { status };
    let limit = Limit {
        duration: 120,
        data: 131_072,
    };
    let all = [
        (
            StopMessage::Connect { peer: peer(2), limit },
            "080012280a260024080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b3941a06087810808008",
        ),
        (status(Status::Ok), "08012064"),
        (status(Status::PermissionDenied), "080120ca01"),
        (status(Status::MalformedMessage), "0801209003"),
        (status(Status::UnexpectedMessage), "0801209103"),
    ];
    all.into_iter()
        .map(|(message, bytes)| (message, hex(bytes)))
        .collect()
}

// covers: RLY-002, RLY-076
#[test]
fn every_message_has_its_bytes_both_ways() {
    for (message, bytes) in hops() {
        assert_eq!(message.encode(), bytes, "{message:?}");
        assert_eq!(HopMessage::decode(&bytes), Ok(message));
    }
    for (message, bytes) in stops() {
        assert_eq!(message.encode(), bytes, "{message:?}");
        assert_eq!(StopMessage::decode(&bytes), Ok(message));
    }
    let whole = "08021a80020880a4a7da06123104c0000201060fa3a50326002408011220ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d11ac4010a2408011220ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1120203021a560a26002408011220ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d112260024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c1880a4a7da062a408c28c3f3b34ee9ebdd31e01a41de3a60babbcbdcabd9994c31fc0aa2aeab5d17c53e2f9ad9a970fe8517faa66d65143a1baa4fa61bfd832ffb2322f21e70b00722060878108080082864";
    assert_eq!(HEXLOWER.encode(&granted(true).encode()), whole);
    assert_eq!(HopMessage::decode(&hex(whole)), Ok(granted(true)));
}

// covers: RLY-003, RLY-007
#[test]
fn a_message_without_type_or_without_a_valid_peer_is_malformed() {
    assert_eq!(HopMessage::decode(&[]), Err(WireError::NoType));
    assert_eq!(StopMessage::decode(&[]), Err(WireError::NoType));
    assert_eq!(HopMessage::decode(&hex("080112030a01ff")), Err(WireError::NoPeer));
    assert_eq!(HopMessage::decode(&hex("0801")), Err(WireError::NoPeer));
    assert_eq!(StopMessage::decode(&hex("0800")), Err(WireError::NoPeer));
    assert_eq!(HopMessage::decode(&hex("0803")), Err(WireError::UnknownType));
}

// covers: RLY-004, RLY-009
#[test]
fn fields_come_in_any_order_unknown_ones_are_skipped_and_the_last_scalar_wins() {
    let connect = HopMessage::Connect { peer: peer(1) };
    let mut bytes = connect.encode();
    // Field 99, and an address of the peer.
    bytes.extend(hex("9a0602ffff"));
    assert_eq!(HopMessage::decode(&bytes), Ok(connect.clone()));
    let swapped = [&connect.encode()[2..], &[8, 0, 8, 1]].concat();
    assert_eq!(HopMessage::decode(&swapped), Ok(connect));
    let addressed = [&hex("0801122d0a26")[..], peer(1).as_bytes(), &hex("1203040102")].concat();
    assert_eq!(
        HopMessage::decode(&addressed),
        Ok(HopMessage::Connect { peer: peer(1) })
    );
}

// covers: RLY-022
#[test]
fn an_empty_limit_and_none_are_no_limit() {
    let empty = [&hex("0802")[..], &hex("2200"), &hex("2864")].concat();
    for bytes in [&empty[..], &hex("08022864")] {
        let Ok(HopMessage::Status { limit, .. }) = HopMessage::decode(bytes) else {
            panic!("a status")
        };
        assert!(limit.is_unlimited());
        assert_eq!((limit.time(), limit.bytes()), (None, u64::MAX));
    }
}

// covers: RLY-008, RLY-097
#[test]
fn vul_137_huge_numbers_saturate_and_unknown_statuses_are_kept_as_such() {
    let huge = Limit {
        duration: u32::MAX,
        data: u64::MAX,
    };
    let message = HopMessage::Status {
        status: Status::from_code(999),
        reservation: Some(Reservation {
            expire: u64::MAX,
            ..Reservation::default()
        }),
        limit: huge,
    };
    assert_eq!(HopMessage::decode(&message.encode()), Ok(message));
    assert_eq!(huge.time().unwrap().as_secs(), u64::from(u32::MAX));
    // Milliseconds, or worse, in a field of 32 bits.
    let wide = hex("0802220a08ffffffffffffffff7f2864");
    let Ok(HopMessage::Status { limit, .. }) = HopMessage::decode(&wide) else {
        panic!("a status")
    };
    assert_eq!(limit.duration, u32::MAX);
}

// covers: RLY-045, RLY-046, RLY-047
#[test]
fn a_voucher_is_signed_as_the_vectors_say() {
    let voucher = Voucher {
        relay: peer(3),
        peer: peer(1),
        expiration: EXPIRE,
    };
    let payload = "0a26002408011220ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d112260024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c1880a4a7da06";
    assert_eq!(HEXLOWER.encode(&voucher.encode()), payload);
    assert_eq!(HEXLOWER.encode(&voucher.seal(&identity(3)).unwrap()), ENVELOPE);
    assert_eq!(
        Voucher::open(&hex(ENVELOPE), peer(3), peer(1), now()),
        Ok(voucher)
    );
}

// covers: RLY-020, RLY-048, RLY-049
#[test]
fn vul_134_a_voucher_of_another_for_another_too_old_or_changed_is_refused() {
    let sealed = |relay: u8, holder: u8, expiration, signer: u8| {
        let voucher = Voucher {
            relay: peer(relay),
            peer: peer(holder),
            expiration,
        };
        voucher.seal(&identity(signer)).unwrap()
    };
    let open = |bytes: &[u8]| Voucher::open(bytes, peer(3), peer(1), now()).map(|_| ());
    assert_eq!(open(&sealed(3, 1, EXPIRE, 3)), Ok(()));
    assert_eq!(open(&sealed(3, 1, EXPIRE, 4)), Err(VoucherError::WrongRelay));
    assert_eq!(open(&sealed(4, 1, EXPIRE, 4)), Err(VoucherError::WrongRelay));
    assert_eq!(open(&sealed(4, 1, EXPIRE, 3)), Err(VoucherError::WrongRelay));
    assert_eq!(open(&sealed(3, 2, EXPIRE, 3)), Err(VoucherError::WrongPeer));
    assert_eq!(open(&sealed(3, 1, 1_700_000_000, 3)), Err(VoucherError::Expired));
    for bit in 0..hex(ENVELOPE).len() * 8 {
        let mut changed = hex(ENVELOPE);
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&changed).is_err(), "bit {bit}");
    }
    // Another use of the same key, garbage behind a bad signature, and too much of it.
    let other = libp2p_proto_identity::PeerRecord::new(peer(3), 1, Vec::new())
        .seal(&identity(3))
        .unwrap();
    assert_eq!(open(&other), Err(VoucherError::BadEnvelope));
    assert_eq!(open(&vec![0; 10_000]), Err(VoucherError::BadEnvelope));
}

proptest! {
    // covers: RLY-096
    #[test]
    fn nothing_that_is_read_panics_and_what_is_read_is_written_back(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0..400_usize,
        flip in any::<(u16, u8)>(),
    ) {
        let mut all: Vec<Vec<u8>> = hops().into_iter().map(|(_, bytes)| bytes).collect();
        all.extend(stops().into_iter().map(|(_, bytes)| bytes));
        all.push(granted(true).encode());
        all.push(bytes);
        for mut bytes in all {
            bytes.truncate(cut);
            if let Some(byte) = bytes.get_mut(usize::from(flip.0) % 64) {
                *byte ^= flip.1;
            }
            if let Ok(message) = HopMessage::decode(&bytes) {
                prop_assert_eq!(HopMessage::decode(&message.encode()), Ok(message.clone()));
                prop_assert!(message.encode().len() <= bytes.len().max(16) + 16);
            }
            if let Ok(message) = StopMessage::decode(&bytes) {
                prop_assert_eq!(StopMessage::decode(&message.encode()), Ok(message));
            }
        }
        prop_assert!(granted(true).encode().len() < MAX_MESSAGE);
    }
}
