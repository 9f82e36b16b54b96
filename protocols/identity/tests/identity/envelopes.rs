//! Envelopes: what is signed, and in which order things are refused.

use super::{bytes_of, hex, identity, keypair, listed_identity, rows, text_of, variant};
use libp2p_proto_core::protobuf::{Writer, bytes_field_len};
use libp2p_proto_identity::{
    Envelope, Error, Identity, KeyType, MAX_ENVELOPE, PeerRecord, PublicKey, Signer,
};
use proptest::{collection::vec, prelude::*};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

/// Keeps what it is asked to sign, and answers the same signature to everything.
struct Recorder {
    asked: Mutex<Vec<Vec<u8>>>,
    count: AtomicUsize,
    answer: Result<Vec<u8>, Error>,
}

impl Signer for Recorder {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.asked.lock().unwrap().push(message.to_vec());
        self.answer.clone()
    }
}

fn recorder(public: &PublicKey, answer: Result<Vec<u8>, Error>) -> (Arc<Recorder>, Identity) {
    let recorder = Arc::new(Recorder {
        asked: Mutex::new(Vec::new()),
        count: AtomicUsize::new(0),
        answer,
    });
    let identity = Identity::from_signer(public.clone(), recorder.clone());
    (recorder, identity)
}

// covers: COR-102
#[test]
fn domain_type_and_payload_are_signed_each_behind_its_length() {
    let (recorder, identity) = recorder(identity(1).public_key(), Ok(vec![7; 64]));
    Envelope::seal("test", &[1, 2], b"hi", &identity).unwrap();
    let long = [b'x'; 300];
    Envelope::seal("test", &[1, 2], &long, &identity).unwrap();
    let asked = recorder.asked.lock().unwrap();
    assert_eq!(asked[0], hex("0474657374020102026869"));
    assert_eq!(asked[1], [&hex("0474657374020102ac02")[..], &long].concat());
}

// covers: COR-102, COR-104, COR-107, COR-109, COR-110
#[test]
fn the_listed_envelopes_open_and_ours_are_the_same_bytes() {
    let Some(signer) = listed_identity() else { return };
    for row in rows("envelopes.json", 3) {
        let (encoded, payload_type) = (bytes_of(&row, "envelope"), bytes_of(&row, "type"));
        let domain = text_of(&row, "domain");
        let opened = Envelope::open(&encoded, &[(&payload_type, domain)]).unwrap();
        assert_eq!(opened.payload(), &bytes_of(&row, "payload")[..]);
        assert_eq!(opened.payload_type(), payload_type);
        assert_eq!(opened.signer(), signer.public_key());
        assert_eq!(
            opened.signer().peer_id().to_string(),
            "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
        );
        assert_eq!(opened.encoded(), &encoded[..], "handed on unchanged");
        // What is signed is a constant of the use; a test makes one of what it reads.
        let (domain, payload_type): (&'static str, &'static [u8]) =
            (domain.to_owned().leak(), payload_type.leak());
        let sealed = Envelope::seal(domain, payload_type, &bytes_of(&row, "payload"), &signer).unwrap();
        assert_eq!(sealed.encoded(), &encoded[..]);
        assert_eq!(sealed, opened);
    }
}

// covers: COR-103, COR-105, COR-106, COR-111, COR-112, COR-115, COR-116
#[test]
fn the_listed_envelopes_that_hold_no_record_are_refused_for_their_reason() {
    for row in rows("envelopes-refused.json", 29) {
        let refused = PeerRecord::open(&bytes_of(&row, "envelope"));
        assert_eq!(variant(refused), text_of(&row, "error"), "{}", row["name"]);
    }
}

// covers: COR-103, COR-106, COR-108, COR-110
#[test]
fn an_envelope_opens_for_its_own_use_only() {
    let sealed = Envelope::seal("test", &[1, 2], b"hi", &identity(5)).unwrap();
    let open = |uses: &[(&[u8], &str)]| Envelope::open(sealed.encoded(), uses);
    assert_eq!(open(&[(&[1, 2], "test")]), Ok(sealed.clone()));
    assert_eq!(open(&[(&[9], "other"), (&[1, 2], "test")]), Ok(sealed.clone()));
    assert_eq!(open(&[(&[1, 2], "tesu")]), Err(Error::BadSignature));
    assert_eq!(open(&[(&[3, 2], "test")]), Err(Error::PayloadType));
    assert_eq!(open(&[]), Err(Error::PayloadType));
    // The type chooses one domain; a second entry for it is never tried.
    assert_eq!(
        open(&[(&[1, 2], "tesu"), (&[1, 2], "test")]),
        Err(Error::BadSignature)
    );
    assert_eq!(open(&[(&[1, 2], "")]), Err(Error::EmptyDomain));
    assert_eq!(open(&[(&[1, 2], "test"), (&[3], "")]), Err(Error::EmptyDomain));
    assert_eq!(
        Envelope::seal("", &[1], b"", &identity(5)),
        Err(Error::EmptyDomain)
    );
    assert_eq!(
        Envelope::seal("d", &[], b"", &identity(5)),
        Err(Error::EmptyDomain)
    );
    for end in 0..sealed.encoded().len() {
        let cut = Envelope::open(&sealed.encoded()[..end], &[(&[1, 2], "test")]);
        assert!(cut.is_err(), "{end}");
    }
}

// covers: COR-108
#[test]
fn an_empty_payload_type_is_read_where_it_is_asked_for() {
    let signer = identity(5);
    let signature = signer.sign(b"\x04test\x00\x02hi").unwrap();
    let mut encoded = Vec::new();
    let mut writer = Writer::new(&mut encoded);
    writer.bytes(1, signer.public_key().encode());
    writer.bytes(3, b"hi");
    writer.bytes(5, &signature);
    assert_eq!(
        Envelope::open(&encoded, &[(b"", "test")]).unwrap().payload(),
        "hi"
    );
    assert_eq!(
        Envelope::open(&encoded, &[(&[1], "test")]),
        Err(Error::PayloadType)
    );
}

// covers: COR-111
#[test]
fn an_envelope_of_8_kib_is_made_and_read_and_a_larger_one_is_never_signed() {
    let signer = identity(1);
    let other_fields = bytes_field_len(1, 36) + bytes_field_len(2, 2) + bytes_field_len(5, 64);
    let largest = MAX_ENVELOPE - other_fields - 3;
    let payload = vec![0x5a; largest + 1];
    let sealed = Envelope::seal("test", &[1, 2], &payload[..largest], &signer).unwrap();
    assert_eq!(sealed.encoded().len(), MAX_ENVELOPE);
    let opened = Envelope::open(sealed.encoded(), &[(&[1, 2], "test")]).unwrap();
    assert_eq!(opened.payload().len(), largest);
    let (recorder, recorded) = recorder(signer.public_key(), Ok(vec![7; 64]));
    for payload in [&payload[..], &vec![0; 1 << 20]] {
        let refused = Envelope::seal("test", &[1, 2], payload, &recorded);
        assert_eq!(refused, Err(Error::EnvelopeTooLarge));
    }
    assert_eq!(recorder.count.load(Ordering::SeqCst), 0);
    // Far past the limit nothing is parsed and nothing is kept.
    let far = vec![0x0a; 1 << 20];
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(PeerRecord::open(&far)));
    assert_eq!(result, Some(Err(Error::EnvelopeTooLarge)));
    assert_eq!(used.count_total, 0);
}

#[test]
fn a_signer_that_fails_or_answers_what_is_no_signature_is_reported() {
    let public = identity(1).public_key().clone();
    for answer in [
        Err(Error::SigningFailed),
        Ok(Vec::new()),
        Ok(vec![7; 65]),
        Ok(vec![7; 1 << 20]),
    ] {
        let (_, identity) = recorder(&public, answer);
        let refused = Envelope::seal("test", &[1], b"", &identity);
        assert_eq!(refused, Err(Error::SigningFailed));
    }
}

#[test]
fn every_key_type_seals_within_the_length_that_is_foreseen() {
    for key_type in super::CURVES {
        for seed in 0..20 {
            let signer = Identity::from(keypair(key_type, seed));
            let sealed = Envelope::seal("test", &[1], &[seed], &signer).unwrap();
            let opened = Envelope::open(sealed.encoded(), &[(&[1], "test")]).unwrap();
            assert_eq!(opened.signer(), signer.public_key());
        }
    }
    #[cfg(feature = "rsa-signing")]
    for row in rows("keys.json", 4)
        .iter()
        .filter(|row| text_of(row, "name") == "RSA-4096")
    {
        let keys = libp2p_proto_identity::Keypair::decode_protobuf(&bytes_of(row, "private")).unwrap();
        let sealed = Envelope::seal("test", &[1], b"", &Identity::from(keys)).unwrap();
        assert!(Envelope::open(sealed.encoded(), &[(&[1], "test")]).is_ok());
        assert_eq!(sealed.signer().key_type(), KeyType::Rsa);
    }
}

#[test]
fn vul_157_what_is_verified_is_what_was_received() {
    // A second payload in front, and unknown fields: prost and we read the last one, and the signature is over it.
    let signer = identity(5);
    let sealed = Envelope::seal("test", &[1, 2], b"hi", &signer).unwrap();
    let mut front = Vec::new();
    Writer::new(&mut front).bytes(3, b"not signed");
    let doubled = [&front[..], sealed.encoded(), &[0x48, 1]].concat();
    let opened = Envelope::open(&doubled, &[(&[1, 2], "test")]).unwrap();
    assert_eq!(opened.payload(), "hi");
    assert_eq!(opened.encoded(), &doubled[..]);
    let behind = [&sealed.encoded()[..], &front].concat();
    assert_eq!(
        Envelope::open(&behind, &[(&[1, 2], "test")]),
        Err(Error::BadSignature)
    );
}

proptest! {
    #[test]
    fn an_envelope_with_one_byte_changed_is_refused_or_says_the_same(at in any::<prop::sample::Index>(), with in any::<u8>(), payload in vec(any::<u8>(), 0..40)) {
        let sealed = Envelope::seal("test", &[1, 2], &payload, &identity(5)).unwrap();
        let mut changed = sealed.encoded().to_vec();
        let at = at.index(changed.len());
        changed[at] = with;
        if let Ok(opened) = Envelope::open(&changed, &[(&[1, 2], "test")]) {
            prop_assert_eq!(opened.payload(), &payload[..]);
            prop_assert_eq!(opened.signer(), sealed.signer());
        }
    }

    #[test]
    fn no_bytes_make_the_reading_of_envelopes_panic(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(PeerRecord::open(&bytes).is_err());
    }
}
