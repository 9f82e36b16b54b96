//! Peer records: whose they are, and which of their addresses are kept.

use super::{bytes_of, identity, listed_identity, rows, text_of};
use libp2p_proto_core::{Multiaddr, PeerId, UnixTime, protobuf::Writer};
use libp2p_proto_identity::{
    Envelope, Error, Identity, MAX_ENVELOPE, MAX_RECORD_ADDRS, PeerRecord, RecordClock,
};
use serde_json::Value;

const DEPLOYED: (&str, &[u8]) = ("libp2p-peer-record", &[3, 1]);

fn addrs_of(record: &PeerRecord) -> Vec<String> {
    record.addrs().iter().map(ToString::to_string).collect()
}

fn listed_addrs(row: &Value) -> Vec<&str> {
    let addrs = row["addrs"].as_array().unwrap().iter();
    addrs.map(|addr| addr.as_str().unwrap()).collect()
}

// covers: COR-016, COR-113, COR-114, COR-120, COR-122
#[test]
fn the_listed_records_open_in_both_dialects_with_the_addresses_that_can_be_used() {
    let both = [rows("envelopes.json", 3), rows("records.json", 13)].concat();
    for row in both.iter().filter(|row| row["seq"].is_string()) {
        let record = PeerRecord::open(&bytes_of(row, "envelope"))
            .unwrap_or_else(|error| panic!("{}: {error}", row["name"]));
        assert_eq!(record.peer_id().to_string(), text_of(row, "peer"));
        // A number and never a time, so that any is as good as another.
        assert_eq!(record.seq().to_string(), text_of(row, "seq"));
        assert_eq!(addrs_of(&record), listed_addrs(row), "{}", row["name"]);
    }
}

// covers: COR-113, COR-114
#[test]
fn ours_are_sealed_in_the_deployed_dialect() {
    let Some(signer) = listed_identity() else { return };
    for row in rows("envelopes.json", 3)
        .iter()
        .filter(|row| row["seq"].is_string())
    {
        let addrs = listed_addrs(row)
            .iter()
            .map(|addr| addr.parse().unwrap())
            .collect();
        let sealed = PeerRecord::new(signer.peer_id(), 1, addrs).seal(&signer).unwrap();
        let deployed = text_of(row, "domain") == DEPLOYED.0;
        assert_eq!(sealed == bytes_of(row, "envelope"), deployed, "{}", row["name"]);
    }
}

/// A record about `peer` with these binary addresses, sealed by `signer` whoever it speaks of.
fn sealed(peer: PeerId, addrs: &[Vec<u8>], signer: &Identity) -> Result<Envelope, Error> {
    let mut payload = Vec::new();
    let mut writer = Writer::new(&mut payload);
    writer.bytes(1, peer.as_bytes());
    for addr in addrs {
        let mut info = Vec::new();
        Writer::new(&mut info).bytes(1, addr);
        writer.bytes(3, &info);
    }
    Envelope::seal(DEPLOYED.0, DEPLOYED.1, &payload, signer)
}

// covers: COR-116
#[test]
fn vul_123_a_record_is_of_the_peer_that_signed_it() {
    let (a, b) = (identity(1), identity(2));
    let foreign = PeerRecord::new(b.peer_id(), 1, Vec::new());
    assert_eq!(foreign.seal(&a), Err(Error::WrongPeer));
    let envelope = sealed(b.peer_id(), &[], &a).unwrap();
    assert_eq!(PeerRecord::open(envelope.encoded()), Err(Error::WrongPeer));
    let own = sealed(a.peer_id(), &[], &a).unwrap();
    assert_eq!(PeerRecord::open(own.encoded()).unwrap().peer_id(), a.peer_id());
    // Wrong domain, wrong type, a signature over fields without lengths, bytes behind: each has its row in the vectors.
    let listed = rows("envelopes-refused.json", 29);
    let of_this = listed
        .iter()
        .filter(|row| row["covers"].to_string().contains("VUL-123"));
    assert!(listed.is_empty() || of_this.count() >= 4);
}

// covers: COR-122
#[test]
fn of_many_addresses_128_are_kept_and_those_of_other_peers_take_no_room() {
    let (signer, other) = (identity(1), identity(2));
    let own = |port: u16| [&[6][..], &port.to_be_bytes()].concat();
    // As many as fit an envelope.
    let many: Vec<_> = (1..1149).map(own).collect();
    let envelope = sealed(signer.peer_id(), &many, &signer).unwrap();
    assert!(MAX_ENVELOPE - envelope.encoded().len() < 64);
    let record = PeerRecord::open(envelope.encoded()).unwrap();
    assert_eq!(record.addrs().len(), MAX_RECORD_ADDRS);
    assert_eq!(addrs_of(&record)[127], "/tcp/128");
    // 10 000 of them don't come that far, on either side.
    let too_many: Vec<_> = (0..10_000).map(own).collect();
    assert_eq!(
        sealed(signer.peer_id(), &too_many, &signer),
        Err(Error::EnvelopeTooLarge)
    );
    let tcp: Multiaddr = "/tcp/1".parse().unwrap();
    let foreign = tcp.with_peer_id(other.peer_id()).unwrap().as_bytes().to_vec();
    let mut mixed = vec![foreign; MAX_RECORD_ADDRS];
    mixed.push(own(7));
    let record = PeerRecord::open(sealed(signer.peer_id(), &mixed, &signer).unwrap().encoded()).unwrap();
    assert_eq!(addrs_of(&record), ["/tcp/7"]);
    // What one record can make us hold.
    let used = allocation_counter::measure(|| {
        let _ = PeerRecord::open(envelope.encoded());
    });
    assert!(used.bytes_max < 64 * 1024, "{used:?}");
}

// covers: COR-118
#[test]
fn own_sequence_numbers_rise_whatever_the_clock_does() {
    let mut clock = RecordClock::default();
    let times = [100, 100, 50, 0, 100, 101, 101];
    let numbers = times.map(|secs| clock.next(UnixTime::from_secs(secs)));
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(numbers[0], 100_000_000_000);
    assert_eq!(numbers[5], 101_000_000_000);
    let mut again = RecordClock::after(numbers[6]);
    assert!(again.next(UnixTime::from_secs(1)) > numbers[6]);
}
