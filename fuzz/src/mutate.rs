//! Seeded mutations: the same ones on every machine, for the smoke run on stable. libFuzzer, guided by coverage, runs apart.

use libp2p_proto_core::Rng;

/// Longest input that is made.
const LONGEST: usize = 16 * 1024;
/// Values at which lengths and ids turn.
const EDGES: [u64; 16] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x3fff,
    0x4000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// The `run`-th mutation of a corpus.
#[derive(Debug)]
pub struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    dice: Rng,
}

impl<'a> Mutator<'a> {
    /// Mutations of `corpus` from one seed.
    pub fn new(corpus: &'a [Vec<u8>], target: &str, seed: u64) -> Self {
        let dice = Rng::from_seed([0x5a; 32]).fork(target, seed);
        Self { corpus, dice }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.dice.below(bound.max(1) as u64)).unwrap_or(0)
    }

    fn one_of_the_corpus(&mut self) -> Vec<u8> {
        let at = self.below(self.corpus.len());
        self.corpus.get(at).cloned().unwrap_or_default()
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.one_of_the_corpus();
        for _ in 0..=self.below(6) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        match self.below(9) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.dice.below(8);
                }
            }
            1 => {
                let new = self.dice.bytes32();
                if let Some(byte) = input.get_mut(at) {
                    *byte = new[0];
                }
            }
            2 => {
                let edge = EDGES[self.below(EDGES.len())].to_be_bytes();
                let width = 1 << self.below(4);
                for (byte, new) in input.iter_mut().skip(at).zip(&edge[8 - width..]) {
                    *byte = *new;
                }
            }
            3 => {
                let new = self.dice.bytes32();
                let count = self.below(32);
                input.splice(at..at, new[..count].iter().copied());
            }
            4 => {
                let end = (at + self.below(16)).min(input.len());
                input.drain(at..end);
            }
            5 => input.truncate(at),
            6 => {
                let end = (at + self.below(256)).min(input.len());
                let copy = input[at..end].to_vec();
                for _ in 0..=self.below(8) {
                    input.splice(at..at, copy.iter().copied());
                }
            }
            7 => {
                let other = self.one_of_the_corpus();
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                for _ in 0..=self.below(64) {
                    input.extend_from_slice(&self.dice.bytes32());
                }
            }
        }
    }
}
