//! The listed messages, byte for byte, whole and split at every place.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::format_collect,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use libp2p_proto_core::TransmitBuf;
use libp2p_proto_multistream_select::{Error, Negotiation, Outcome};

const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";
const PING: [&str; 1] = ["/ipfs/ping/1.0.0"];

fn take(from: &mut Negotiation) -> Vec<u8> {
    let mut wire = Vec::new();
    from.poll_transmit(&PING, &mut TransmitBuf::new(&mut wire, 4096));
    wire
}

fn dial_ping() -> Vec<u8> {
    [HEADER, b"\x11/ipfs/ping/1.0.0\n"].concat()
}

// covers: MSS-001, MSS-012, MSS-014, MSS-016, MSS-061
#[test]
fn a_dialer_sends_header_and_proposal_at_once() {
    assert_eq!(take(&mut Negotiation::dialer()), dial_ping());
}

// covers: MSS-005, MSS-028, MSS-044, MSS-045, MSS-047, MSS-048
#[test]
fn a_listener_agrees_whatever_the_split_and_leaves_what_follows() {
    let wire = [&dial_ping()[..], &[0xaa; 32]].concat();
    for split in 0..wire.len() {
        let mut listener = Negotiation::listener();
        let first = listener.handle_input(&wire[..split], &PING).unwrap();
        let second = listener.handle_input(&wire[first..], &PING).unwrap();
        assert_eq!(
            (first + second, listener.outcome()),
            (38, Outcome::Agreed(0)),
            "split at {split}"
        );
        assert_eq!(take(&mut listener), dial_ping());
        assert!(take(&mut listener).is_empty());
    }
}

// covers: MSS-002, MSS-004, MSS-006, MSS-007
#[test]
fn vul_049_bad_lengths_are_refused_at_once() {
    for (bytes, error) in [
        (&b"\x00"[..], Error::BadLength),
        (b"\x83\x00", Error::BadLength),
        (b"\x80\x80", Error::LineTooLong),
        (b"\x81\x08", Error::LineTooLong),
        (b"\x02na", Error::NoNewline),
    ] {
        for role in [Negotiation::dialer, Negotiation::listener] {
            let mut machine = role();
            assert_eq!(machine.handle_input(bytes, &PING), Err(error));
            assert_eq!(machine.handle_input(HEADER, &PING), Err(error));
        }
    }
}

// covers: MSS-033
#[test]
fn vul_050_the_33rd_refusal_ends_the_negotiation() {
    let wire = [HEADER, &b"\x03/x\n".repeat(16_000)].concat();
    let mut patient = Negotiation::listener();
    let refused_32 = HEADER.len() + 4 * 32;
    assert_eq!(patient.handle_input(&wire[..refused_32], &PING), Ok(refused_32));
    let mut listener = Negotiation::listener();
    assert_eq!(listener.handle_input(&wire, &PING), Err(Error::TooManyProposals));
}

// covers: MSS-068
#[test]
fn a_negotiation_is_smaller_than_128_bytes() {
    assert!(size_of::<Negotiation>() < 128);
}
