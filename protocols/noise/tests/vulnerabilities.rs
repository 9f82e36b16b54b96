//! The known failures of Noise implementations.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Fault, Rng, Side, TransmitBuf};
use libp2p_proto_identity::{KeyType, Keypair};
use libp2p_proto_noise::{Aead, Config, Error, Handshake, KeyPair, Provider, RustCrypto};
use lies::Forged;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use support::{
    Remote, config, end, ends, finished, give, identity, keys, meet, meet_default, open, payload, peer,
    providers, seal, signed, take, transports,
};

const SIDES: [Side; 2] = [Side::Dialer, Side::Listener];

/// Providers that lie or fail.
mod lies {
    use super::{Aead, Error, KeyPair, Provider, RustCrypto};
    use libp2p_proto_noise::Shared;

    /// Shows this public key instead of the true one, for the secrets that begin with `when`.
    #[derive(Clone, Debug)]
    pub(super) struct Forged {
        pub(super) public_key: [u8; 32],
        pub(super) when: u8,
    }

    impl Provider for Forged {
        fn key_pair(&self, secret: &[u8; 32]) -> Result<Box<dyn KeyPair>, Error> {
            if secret[0] == self.when {
                Ok(Box::new(self.clone()))
            } else {
                RustCrypto.key_pair(secret)
            }
        }

        fn aead(&self, key: &[u8; 32]) -> Result<Box<dyn Aead>, Error> {
            RustCrypto.aead(key)
        }
    }

    impl KeyPair for Forged {
        fn public_key(&self) -> [u8; 32] {
            self.public_key
        }

        fn dh(&self, _: &[u8; 32]) -> Result<Shared, Error> {
            Ok(Shared::new([1; 32]))
        }
    }
}

const LOW_ORDER: [&str; 12] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    // The same with the bit set that X25519 does not look at.
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

fn with_provider(seed: u8, provider: Box<dyn Provider>) -> Arc<Config> {
    Arc::new(Config::with_static_key(&identity(seed), [seed; 32], provider).unwrap())
}

#[test]
fn vul_056_nobody_is_believed_without_a_signature_over_this_static_key_by_this_key() {
    type Say = fn(&Remote) -> Vec<u8>;
    fn parts(key: &[u8], signature: &[u8]) -> Vec<u8> {
        payload(&[(1, key), (2, signature)])
    }
    fn sign(seed: u8, message: &[u8]) -> Vec<u8> {
        keys(seed).sign(message).unwrap()
    }
    fn key(seed: u8) -> Vec<u8> {
        keys(seed).public().encode().to_vec()
    }
    let cases: [(&str, Say, Error); 11] = [
        ("no payload", |_| vec![], Error::BadPayload),
        ("no protobuf", |_| vec![0xff; 104], Error::BadPayload),
        (
            "no key",
            |r| payload(&[(2, &sign(2, &signed(&r.static_public)))]),
            Error::BadPayload,
        ),
        ("no signature", |_| payload(&[(1, &key(2))]), Error::BadPayload),
        (
            "other static key",
            |_| parts(&key(2), &sign(2, &signed(&[9; 32]))),
            Error::BadSignature,
        ),
        (
            "no prefix",
            |r| parts(&key(2), &sign(2, &r.static_public)),
            Error::BadSignature,
        ),
        (
            "other key's signature",
            |r| parts(&key(2), &sign(3, &signed(&r.static_public))),
            Error::BadSignature,
        ),
        (
            "another session",
            |_| parts(&key(2), &sign(2, &signed(&[0xc6; 32]))),
            Error::BadSignature,
        ),
        ("zeros", |_| parts(&key(2), &[0; 64]), Error::BadSignature),
        (
            "half of it",
            |r| parts(&key(2), &sign(2, &signed(&r.static_public))[..32]),
            Error::BadSignature,
        ),
        (
            "one byte more",
            |r| parts(&key(2), &[&sign(2, &signed(&r.static_public))[..], &[0]].concat()),
            Error::BadSignature,
        ),
    ];
    for side in SIDES {
        for (name, say, expected) in &cases {
            let (mut ours, result) = meet(end(1, side), side, say);
            assert_eq!(result, Err(expected.clone()), "{name}");
            assert!(take(&mut ours).is_empty() && ours.finish().is_err(), "{name}");
        }
    }
}

#[test]
fn vul_056_a_signature_of_one_key_type_is_none_of_another() {
    let dice = || Rng::from_seed([5; 32]);
    let all: Vec<_> = [KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa]
        .map(|key_type| Keypair::generate(key_type, &mut dice()).unwrap())
        .into();
    for side in SIDES {
        for (a, shown) in all.iter().enumerate() {
            for (b, signer) in all.iter().enumerate() {
                let result = meet_default(side, |remote| {
                    let signature = signer.sign(&signed(&remote.static_public)).unwrap();
                    payload(&[(1, shown.public().encode()), (2, &signature)])
                });
                if a == b {
                    assert_eq!(result.unwrap().peer, shown.public().peer_id());
                } else {
                    assert_eq!(result.unwrap_err(), Error::BadSignature);
                }
            }
        }
    }
}

#[test]
fn vul_058_every_key_type_is_compared_with_the_expected_peer() {
    for key_type in [KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa] {
        let theirs = Keypair::generate(key_type, &mut Rng::from_seed([5; 32])).unwrap();
        let got = theirs.public().peer_id();
        for side in SIDES {
            let ours = |expect| Handshake::new(Arc::new(config(1)), side, Some(expect), [1; 32]);
            let (mut wrong, result) = meet(ours(peer(7)), side, |remote| remote.vouch(&theirs, &[]));
            let expected = peer(7);
            assert_eq!(result, Err(Error::UnexpectedPeer { expected, got }));
            assert!(take(&mut wrong).is_empty() && !wrong.is_finished());
            assert_eq!(
                meet(ours(got), side, |remote| remote.vouch(&theirs, &[])).1,
                Ok(())
            );
        }
    }
}

#[test]
fn vul_059_a_frame_that_failed_uses_up_no_nonce_and_poisons_the_opener() {
    for provider in providers() {
        let aead = provider.aead(&[7; 32]).unwrap();
        let config = with_provider(1, provider);
        let (mut sealer, _) = config.transport(&[7; 32], &[0; 32]).unwrap();
        let (_, mut opener) = config.transport(&[0; 32], &[7; 32]).unwrap();
        let genuine = seal(&mut sealer, b"zero");
        assert_eq!(open(&mut opener, &support::frame(&[0; 20])), Err(Error::BadTag));
        assert_eq!(format!("{opener:?}"), "Opener(at 0)");
        // The cipher itself would still open it: it is the opener that refuses.
        let mut body = genuine[2..6].to_vec();
        let tag = genuine[6..].try_into().unwrap();
        assert_eq!(
            (aead.open(&[0; 12], &[], &mut body, tag), &body[..]),
            (Ok(()), &b"zero"[..])
        );
        assert_eq!(open(&mut opener, &genuine), Err(Error::BadTag));
    }
}

// covers: NOI-015
#[test]
fn vul_061_an_ephemeral_key_of_low_order_is_refused_with_every_provider() {
    for point in LOW_ORDER {
        let public_key = support::unhex(point).try_into().unwrap();
        let forged = || {
            Box::new(Forged {
                public_key,
                when: 0xe7,
            })
        };
        for provider in 0..providers().len() {
            let ours = |side| {
                let config = with_provider(1, providers().remove(provider));
                Handshake::with_ephemeral(config, side, None, [0x33; 32])
            };
            let theirs = |side| Handshake::with_ephemeral(with_provider(2, forged()), side, None, [0xe7; 32]);
            let mut listener = ours(Side::Listener);
            let refused = give(&mut listener, &take(&mut theirs(Side::Dialer)));
            assert_eq!(refused, Err(Error::NonContributory), "{point}");
            assert!(take(&mut listener).is_empty());
            let (mut dialer, mut listener) = (ours(Side::Dialer), theirs(Side::Listener));
            give(&mut listener, &take(&mut dialer)).unwrap();
            let refused = give(&mut dialer, &take(&mut listener));
            assert_eq!(refused, Err(Error::NonContributory), "{point}");
            assert!(take(&mut dialer).is_empty());
        }
    }
}

#[test]
fn vul_061_a_static_key_of_low_order_is_refused_as_such() {
    for point in LOW_ORDER {
        let public_key = support::unhex(point).try_into().unwrap();
        let forged = || Box::new(Forged { public_key, when: 2 });
        for provider in 0..providers().len() {
            let ours = |side| {
                let config = with_provider(1, providers().remove(provider));
                Handshake::with_ephemeral(config, side, None, [0x33; 32])
            };
            let theirs = |side| Handshake::with_ephemeral(with_provider(2, forged()), side, None, [0xe7; 32]);
            let (mut dialer, mut listener) = (ours(Side::Dialer), theirs(Side::Listener));
            give(&mut listener, &take(&mut dialer)).unwrap();
            assert_eq!(
                give(&mut dialer, &take(&mut listener)),
                Err(Error::NonContributory)
            );
            let (mut dialer, mut listener) = (theirs(Side::Dialer), ours(Side::Listener));
            give(&mut listener, &take(&mut dialer)).unwrap();
            give(&mut dialer, &take(&mut listener)).unwrap();
            assert_eq!(
                give(&mut listener, &take(&mut dialer)),
                Err(Error::NonContributory)
            );
        }
    }
}

#[test]
fn vul_062_keys_come_from_the_seed_that_the_caller_must_give_and_differ_with_it() {
    // There is no constructor without dice or a seed, and nothing in the crate could ask the operating system: it is `no_std`.
    let mut dice = Rng::from_seed([1; 32]);
    let mut seen = BTreeSet::new();
    for _ in 0..1000 {
        let seed = dice.bytes32();
        let config = with_provider(1, Box::new(RustCrypto));
        assert!(seen.insert(take(&mut Handshake::new(config, Side::Dialer, None, seed))));
    }
}

#[test]
fn vul_071_a_first_message_of_64_kib_is_refused_before_a_byte_of_it_has_come() {
    for (len, error) in [
        (0, Error::BadLength(0)),
        (1, Error::BadLength(1)),
        (47, Error::BadLength(47)),
        (48, Error::BadLength(48)),
        (4096, Error::BadLength(4096)),
        (65_535, Error::TooLarge(65_535)),
    ] {
        let mut listener = end(1, Side::Listener);
        let mut prefix = u16::try_from(len).unwrap().to_be_bytes();
        assert_eq!(listener.handle_input(&mut prefix[..1]), Ok(0));
        assert_eq!(listener.handle_input(&mut prefix), Err(error));
    }
}

// covers: NOI-069
#[test]
fn vul_071_messages_and_frames_that_come_byte_by_byte_are_taken_when_they_are_whole() {
    let (mut a, mut b) = ends();
    for _ in 0..2 {
        for (from, to) in [(0, 1), (1, 0)] {
            let (from, to) = if from < to {
                (&mut a, &mut b)
            } else {
                (&mut b, &mut a)
            };
            let mut wire = take(from);
            for end in 0..wire.len() {
                assert_eq!(to.handle_input(&mut wire[..end]), Ok(0));
            }
            if !wire.is_empty() {
                assert_eq!(to.handle_input(&mut wire), Ok(wire.len()));
            }
        }
    }
    let (mut a, mut b) = (a.finish().unwrap(), b.finish().unwrap());
    let mut wire = seal(&mut a.sealer, b"plain");
    for end in 0..wire.len() {
        assert_eq!(b.opener.open(&mut wire[..end]), Ok(None));
    }
    assert_eq!(open(&mut b.opener, &wire), Ok(Some((23, b"plain".to_vec()))));
}

#[test]
fn vul_073_a_payload_in_the_first_message_is_refused_and_data_behind_the_third_is_delivered() {
    for early in [&b"data"[..], &support::muxers(&[support::YAMUX])] {
        let mut listener = end(1, Side::Listener);
        let mut remote = Remote::new(Side::Dialer, &[]);
        let first = remote.write(early);
        assert_eq!(
            give(&mut listener, &first),
            Err(Error::BadLength(32 + early.len()))
        );
    }
    // The dialer's first frame in one piece with its third message.
    let (mut dialer, mut listener) = ends();
    give(&mut listener, &take(&mut dialer)).unwrap();
    give(&mut dialer, &take(&mut listener)).unwrap();
    let third = take(&mut dialer);
    let mut dialer = dialer.finish().unwrap();
    let mut wire = [third.clone(), seal(&mut dialer.sealer, b"early")].concat();
    assert_eq!(listener.handle_input(&mut wire), Ok(third.len()));
    assert_eq!(
        listener.handle_input(&mut wire[third.len()..]),
        Ok(0),
        "not ours any more"
    );
    let mut listener = listener.finish().unwrap();
    let data = open(&mut listener.opener, &wire[third.len()..]).unwrap().unwrap();
    assert_eq!(data.1, b"early");
}

/// The three messages of a session of these seeds.
fn messages(seed: u8) -> [Vec<u8>; 3] {
    let shared = Arc::new(config(1));
    let mut a = Handshake::new(shared, Side::Dialer, None, [seed; 32]);
    let mut b = Handshake::new(Arc::new(config(2)), Side::Listener, None, [seed + 1; 32]);
    let first = take(&mut a);
    give(&mut b, &first).unwrap();
    let second = take(&mut b);
    give(&mut a, &second).unwrap();
    let third = take(&mut a);
    give(&mut b, &third).unwrap();
    [first, second, third]
}

#[test]
fn vul_074_messages_of_another_session_reflected_or_repeated_are_refused() {
    let [first, second, third] = messages(20);
    let dialer = || {
        let mut dialer = Handshake::new(Arc::new(config(1)), Side::Dialer, None, [30; 32]);
        take(&mut dialer);
        dialer
    };
    let listener = || {
        let mut listener = Handshake::new(Arc::new(config(2)), Side::Listener, None, [31; 32]);
        give(&mut listener, &messages(30)[0]).unwrap();
        take(&mut listener);
        listener
    };
    // Of another session.
    assert_eq!(give(&mut dialer(), &second), Err(Error::BadTag));
    assert_eq!(give(&mut listener(), &third), Err(Error::BadTag));
    // In the place of another one, the first of a listener twice.
    assert!(give(&mut dialer(), &first).is_err());
    assert_eq!(give(&mut dialer(), &third), Err(Error::BadTag));
    assert!(give(&mut listener(), &first).is_err());
    assert_eq!(give(&mut listener(), &second), Err(Error::BadTag));
    // Reflected: each message to its own sender.
    let mut sender = Handshake::new(Arc::new(config(2)), Side::Listener, None, [31; 32]);
    give(&mut sender, &messages(30)[0]).unwrap();
    let own = take(&mut sender);
    assert_eq!(give(&mut sender, &own), Err(Error::BadTag));
    // A message repeated once the handshake is over is a frame that no key fits.
    let (mut a, mut b) = ends();
    give(&mut b, &take(&mut a)).unwrap();
    give(&mut a, &take(&mut b)).unwrap();
    let third = take(&mut a);
    give(&mut b, &third).unwrap();
    let mut b = b.finish().unwrap();
    assert_eq!(open(&mut b.opener, &third), Err(Error::BadTag));
    // A replayed first message gets an answer that only the owner of its key could use.
    let shared = Arc::new(config(2));
    let answer = |seed| {
        let mut listener = Handshake::new(shared.clone(), Side::Listener, None, [seed; 32]);
        give(&mut listener, &first).unwrap();
        take(&mut listener)
    };
    assert_ne!(answer(41), answer(42));
}

#[test]
fn vul_189_a_static_key_of_another_length_or_with_any_bit_of_its_tag_changed_is_refused_for_good() {
    let shared = Arc::new(config(1));
    let mut listener = Handshake::new(Arc::new(config(2)), Side::Listener, None, [51; 32]);
    let dialer = || {
        let mut dialer = Handshake::new(shared.clone(), Side::Dialer, None, [50; 32]);
        let first = take(&mut dialer);
        (dialer, first)
    };
    give(&mut listener, &dialer().1).unwrap();
    let second = take(&mut listener);
    assert_eq!(give(&mut dialer().0, &second), Ok(()));

    // Behind the length: an ephemeral key, then the encrypted static key with its tag, then the payload with its tag.
    let body = &second[2..];
    let (ephemeral, rest) = body.split_at(32);
    let (fixed, payload) = rest.split_at(48);
    let framed = |parts: &[&[u8]]| {
        let body = parts.concat();
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&len[..], &body].concat()
    };
    let mut changed = vec![
        framed(&[ephemeral, &fixed[1..], payload]),
        framed(&[ephemeral, &[0], fixed, payload]),
        framed(&[ephemeral, &fixed[32..], payload]),
        framed(&[ephemeral, payload]),
    ];
    let tags = (2 + 32 + 32..2 + 32 + 48).chain(second.len() - 16..second.len());
    changed.extend(tags.map(|at| {
        let mut flipped = second.clone();
        flipped[at] ^= 1;
        flipped
    }));
    assert_eq!(changed.len(), 4 + 32);
    for message in changed {
        let (mut dialer, _) = dialer();
        let error = give(&mut dialer, &message).unwrap_err();
        assert_eq!(error, Error::BadTag);
        assert_eq!(
            give(&mut dialer, &second),
            Err(error.clone()),
            "also for the right message"
        );
        assert_eq!(dialer.finish().unwrap_err(), error);
    }
}

#[test]
fn vul_075_after_any_failure_a_mebibyte_of_anything_changes_nothing() {
    for side in SIDES {
        let failed = [
            meet(end(1, side), side, |_| vec![]).0,
            meet(end(1, side), side, |remote| remote.vouch(&keys(1), &[])).0,
            {
                let mut ours = end(1, side);
                take(&mut ours);
                ours.handle_input(&mut [0xff; 2]).unwrap_err();
                ours
            },
        ];
        for mut ours in failed {
            let error = ours.error().unwrap().clone();
            for byte in 0..=15 {
                assert_eq!(ours.handle_input(&mut vec![byte; 1 << 16]), Err(error.clone()));
                assert!(take(&mut ours).is_empty());
            }
            assert_eq!(ours.finish().unwrap_err(), error);
        }
    }
    // Plain text in a session that is encrypted.
    let (_, mut b) = transports();
    let plain = b"\x13/multistream/1.0.0\n\x0d/yamux/1.0.0\n";
    assert_eq!(open(&mut b.opener, &plain.repeat(200)), Err(Error::BadTag));
    assert_eq!(open(&mut b.opener, plain), Err(Error::BadTag));
}

/// Counts what it has made and what of that is still there; fails at what the test says.
#[derive(Clone, Debug, Default)]
struct Watched {
    alive: Arc<AtomicUsize>,
    seals: Arc<AtomicUsize>,
    fails_at: Option<usize>,
}

struct Counted<T: ?Sized>(Watched, Box<T>);

impl Watched {
    fn count<T: ?Sized>(&self, inner: Box<T>) -> Counted<T> {
        self.alive.fetch_add(1, Relaxed);
        Counted(self.clone(), inner)
    }
}

impl<T: ?Sized> Drop for Counted<T> {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Relaxed);
    }
}

impl Provider for Watched {
    fn key_pair(&self, secret: &[u8; 32]) -> Result<Box<dyn KeyPair>, Error> {
        Ok(Box::new(self.count(RustCrypto.key_pair(secret)?)))
    }

    fn aead(&self, key: &[u8; 32]) -> Result<Box<dyn Aead>, Error> {
        Ok(Box::new(self.count(RustCrypto.aead(key)?)))
    }
}

impl KeyPair for Counted<dyn KeyPair> {
    fn public_key(&self) -> [u8; 32] {
        self.1.public_key()
    }

    fn dh(&self, public_key: &[u8; 32]) -> Result<libp2p_proto_noise::Shared, Error> {
        self.1.dh(public_key)
    }
}

impl Aead for Counted<dyn Aead> {
    fn seal(&self, nonce: &[u8; 12], ad: &[u8], body: &mut [u8]) -> Result<[u8; 16], Error> {
        if self.0.fails_at == Some(self.0.seals.fetch_add(1, Relaxed)) {
            return Err(Error::Provider);
        }
        self.1.seal(nonce, ad, body)
    }

    fn open(&self, nonce: &[u8; 12], ad: &[u8], body: &mut [u8], tag: &[u8; 16]) -> Result<(), Error> {
        self.1.open(nonce, ad, body, tag)
    }
}

// covers: NOI-016
#[test]
fn the_secrets_of_a_handshake_are_dropped_when_it_ends_well_or_badly() {
    // What they live in wipes itself: `secrets_live_in_types_that_wipe_themselves`.
    for side in SIDES {
        let watched = Watched::default();
        let alive = || watched.alive.load(Relaxed);
        let shared = with_provider(1, Box::new(watched.clone()));
        assert_eq!(alive(), 1, "the static key of the node");
        let ours = Handshake::new(shared.clone(), side, None, [1; 32]);
        let (mut ours, result) = meet(ours, side, |_| vec![]);
        assert!(result.is_err() && ours.handle_input(&mut [0; 8]).is_err());
        assert_eq!(alive(), 1, "after a failure");
        let ours = Handshake::new(shared.clone(), side, None, [1; 32]);
        let (mut ours, result) = meet(ours, side, |remote| remote.vouch(&keys(2), &[]));
        assert!(result.is_ok());
        take(&mut ours);
        let done = ours.finish().unwrap();
        assert_eq!(alive(), 3, "and the two keys of the transport");
        drop((done, shared));
        assert_eq!(alive(), 0);
    }
}

#[test]
fn a_provider_that_fails_is_a_typed_error_and_leaves_no_bytes_behind() {
    // The seals of a listener: static key, payload, and then those of the transport.
    for fails_at in 0..4 {
        let watched = Watched {
            fails_at: Some(fails_at),
            ..Watched::default()
        };
        let mut listener = Handshake::new(with_provider(2, Box::new(watched)), Side::Listener, None, [2; 32]);
        let mut dialer = end(1, Side::Dialer);
        let answered = give(&mut listener, &take(&mut dialer));
        if fails_at < 2 {
            assert_eq!(answered, Err(Error::Provider));
            assert!(take(&mut listener).is_empty());
            continue;
        }
        let (_, mut b) = finished_from(dialer, listener);
        let mut wire = b"before".to_vec();
        let mut sealed = |plain: &[u8]| {
            let result = b
                .sealer
                .seal(&mut TransmitBuf::new(&mut wire, 100), |out| out.put(plain));
            (result, wire.len())
        };
        if fails_at == 3 {
            assert_eq!(sealed(b"good"), (Ok(Some(true)), 6 + 22));
        }
        let before = if fails_at == 3 { 28 } else { 6 };
        assert_eq!(sealed(b"secret"), (Err(Error::Provider), before));
        assert_eq!(
            sealed(b"secret"),
            (Err(Error::Provider), before),
            "and stays failed"
        );
    }
    assert_eq!(Error::Provider.fault(), Fault::Local);
}

fn finished_from(
    mut dialer: Handshake,
    mut listener: Handshake,
) -> (libp2p_proto_noise::Finished, libp2p_proto_noise::Finished) {
    give(&mut dialer, &take(&mut listener)).unwrap();
    finished(dialer, listener)
}
