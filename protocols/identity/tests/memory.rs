//! Looks through this process for secrets that outlived their key pair. In a program of its own, whose memory is small and all its own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]
#![cfg(all(target_os = "linux", feature = "secp256k1", feature = "ecdsa"))]

use libp2p_proto_core::Rng;
use libp2p_proto_identity::{KeyType, Keypair};
use std::{
    fs::{self, File},
    hint::black_box,
    io::{Read, Seek, SeekFrom},
};
use zeroize::Zeroize;

/// Sixteen bytes to look for, kept in disguise so that looking for them finds no copy of this.
struct Pattern([u8; 16]);

impl Pattern {
    /// The second half of 32 bytes: freeing memory overwrites the first bytes of it anyway.
    fn of(secret: &[u8]) -> Self {
        let mut disguised = [0; 16];
        for (into, from) in disguised.iter_mut().zip(&secret[16..32]) {
            *into = !from;
        }
        Self(disguised)
    }

    /// The same number as words hold it, the lowest first.
    fn in_words(&self) -> Self {
        let mut words = self.0;
        words.reverse();
        if cfg!(target_endian = "big") {
            for word in words.chunks_exact_mut(size_of::<usize>()) {
                word.reverse();
            }
        }
        Self(words)
    }

    fn count_in(&self, bytes: &[u8]) -> usize {
        let same =
            |window: &&[u8]| window[0] == !self.0[0] && window.iter().zip(&self.0).all(|(a, b)| *a == !b);
        bytes.windows(16).filter(same).count()
    }

    /// How often the pattern stands in the heap: in all memory that can be written and belongs to no file, but for the stack of this thread, on which calls
    /// leave what they moved through it.
    fn in_the_heap(&self) -> usize {
        let local = 0_u8;
        let stack = (&raw const local).addr();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut found = 0;
        for line in maps.lines() {
            let mut words = line.split_ascii_whitespace();
            let (range, rights, name) = (words.next().unwrap(), words.next().unwrap(), words.nth(3));
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|number| usize::from_str_radix(number, 16).unwrap());
            let heap = rights.starts_with("rw") && name.is_none_or(|name| name == "[heap]");
            if heap && !(start..end).contains(&stack) {
                found += self.in_region(start, end);
            }
        }
        found
    }

    /// Reads pieces that overlap and wipes each, so that this reading leaves no copies either.
    fn in_region(&self, start: usize, end: usize) -> usize {
        let mut memory = File::open("/proc/self/mem").unwrap();
        memory.seek(SeekFrom::Start(start as u64)).unwrap();
        let mut piece = vec![0; 1 << 16];
        let (mut found, mut held, mut left) = (0, 0, end - start);
        while left > 0 {
            let filled = held + left.min(piece.len() - held);
            if memory.read_exact(&mut piece[held..filled]).is_err() {
                break; // the allocator gave this part back meanwhile
            }
            left -= filled - held;
            found += self.count_in(&piece[..filled]);
            held = filled.min(15);
            piece.copy_within(filled - held..filled, 0);
        }
        piece.zeroize();
        found
    }
}

#[test]
fn looking_through_memory_finds_what_is_not_wiped() {
    // Many, since looking itself takes some of the freed memory again.
    let careless: Vec<Vec<u8>> = (0..100)
        .map(|_| black_box((0..32).map(|at| at * 7 + 3).collect()))
        .collect();
    let pattern = Pattern::of(&careless[0]);
    assert!(pattern.in_the_heap() >= 100);
    drop(careless);
    assert!(pattern.in_the_heap() > 0, "freed, and still there");
}

// covers: COR-047
#[test]
fn vul_064_no_secret_is_left_in_memory_when_its_key_pair_is_dropped() {
    for key_type in [KeyType::Ed25519, KeyType::Secp256k1, KeyType::Ecdsa] {
        let keys = Keypair::generate(key_type, &mut Rng::from_seed([0x5c; 32])).unwrap();
        let encoded = keys.encode_protobuf();
        // Behind the fields of the protobuf, and for ECDSA behind those of the DER.
        let secret_at = if key_type == KeyType::Ecdsa { 3 + 7 } else { 4 };
        let pattern = Pattern::of(&encoded[secret_at..]);
        assert!(pattern.in_the_heap() > 0, "{key_type:?}: the encoding holds it");
        drop(encoded);
        // The keys themselves hold it as it is, as the words of a number, or in the form that their arithmetic likes.
        match key_type {
            KeyType::Ed25519 => assert!(pattern.in_the_heap() > 0),
            KeyType::Secp256k1 => assert!(pattern.in_words().in_the_heap() > 0),
            _ => {}
        }
        let text = keys.encode_base64();
        let again = Keypair::decode_base64(&text).unwrap();
        assert!(again.sign(b"message").is_ok());
        drop((text, again, keys));
        assert_eq!(pattern.in_the_heap(), 0, "{key_type:?}");
        assert_eq!(pattern.in_words().in_the_heap(), 0, "{key_type:?}");
    }
}

#[cfg(feature = "rsa-signing")]
#[test]
fn vul_064_no_private_rsa_number_is_left_in_memory_either() {
    let keys = Keypair::generate(KeyType::Rsa, &mut Rng::from_seed([0; 32])).unwrap();
    // 2048 bits: version, modulus and exponent take 276 bytes of the PKCS#1 behind 6 of the protobuf; then comes the private exponent.
    let pattern = Pattern::of(&keys.encode_protobuf()[6 + 276 + 64..]);
    assert!(pattern.in_the_heap() > 0);
    assert!(keys.sign(b"message").is_ok());
    drop(keys);
    assert_eq!(pattern.in_the_heap(), 0);
    assert_eq!(pattern.in_words().in_the_heap(), 0);
}
