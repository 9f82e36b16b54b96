//! Peer ids, public keys, envelopes and records, as they come from anybody.

use crate::budget;
use libp2p_proto_core::PeerId;
use libp2p_proto_identity::{Envelope, Identity, Keypair, MAX_RECORD_ADDRS, PeerRecord, PublicKey};

const PEER_RECORD: (&str, &[u8]) = ("libp2p-peer-record", &[3, 1]);

/// Runs a peer id: as bytes, and, if it is UTF-8, as text.
pub fn run_peer_id(data: &[u8]) {
    let by_bytes = budget::memory("a peer id", 0, || PeerId::from_bytes(data)).ok();
    let text = core::str::from_utf8(data).ok();
    let by_text = text.and_then(|text| budget::memory("a peer id as text", 4096, || text.parse().ok()));
    for id in [by_bytes, by_text].into_iter().flatten() {
        let id: PeerId = id;
        assert_eq!(PeerId::from_bytes(id.as_bytes()), Ok(id));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_cid().parse(), Ok(id));
        assert!(id.as_bytes().len() <= 44);
        if let Some(key) = PublicKey::from_peer_id(&id) {
            assert_eq!(key.peer_id(), id, "an id is of its canonical key");
            assert!(PublicKey::may_have_id(&id));
        }
    }
    if let Some(id) = by_bytes {
        assert_eq!(id.as_bytes(), data);
    }
}

/// Runs a key: public, and private.
pub fn run_key(data: &[u8]) {
    let most = 32 * 1024;
    if let Ok(key) = budget::memory("a public key", most, || PublicKey::decode(data)) {
        assert_eq!(PublicKey::decode(key.encode()).as_ref(), Ok(&key));
        assert_eq!(PeerId::from_encoded_key(key.encode()), key.peer_id());
        // Only an uncompressed point is written otherwise than it was read.
        assert!(key.encode() == data || key.data().len() == 33 && data.len() == 69);
        budget::memory("a signature", 256 * 1024, || {
            assert!(!key.verify(b"message", data));
        });
    }
    if let Ok(keys) = Keypair::decode_protobuf(data) {
        let again = Keypair::decode_protobuf(&keys.encode_protobuf()).expect("what we write");
        assert_eq!(again.public(), keys.public());
    }
}

/// Runs an envelope as it is, and the same bytes as a payload that was signed.
pub fn run_record(data: &[u8]) {
    let most = 256 * 1024;
    if let Ok(record) = budget::memory("a record", most, || PeerRecord::open(data)) {
        check(&record);
    }
    let signer = Identity::from(Keypair::ed25519_from_seed([1; 32]));
    let Ok(sealed) = Envelope::seal(PEER_RECORD.0, PEER_RECORD.1, data, &signer) else {
        return;
    };
    let uses = [(PEER_RECORD.1, PEER_RECORD.0)];
    assert_eq!(Envelope::open(sealed.encoded(), &uses).as_ref(), Ok(&sealed));
    if let Ok(record) = budget::memory("a signed record", most, || PeerRecord::open(sealed.encoded())) {
        assert_eq!(record.peer_id(), signer.peer_id());
        check(&record);
        // Ours names its number also when it is zero, which may be what no longer fits.
        if let Ok(again) = record.seal(&signer) {
            assert_eq!(PeerRecord::open(&again), Ok(record));
        }
    }
}

fn check(record: &PeerRecord) {
    assert!(record.addrs().len() <= MAX_RECORD_ADDRS);
    for addr in record.addrs() {
        assert!(addr.peer_id().is_none_or(|peer| peer == record.peer_id()));
    }
}
