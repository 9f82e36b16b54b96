//! Seeded, forkable randomness.

use chacha20::ChaCha20Rng;
use core::{convert::Infallible, fmt};
use rand_core::{SeedableRng, TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// `ChaCha20` from a 32-byte seed.
///
/// A node draws one seed from its operating system; every machine gets a [`fork`](Self::fork) of it, named by a label, so
/// adding a machine shifts nobody's dice. It implements `rand_core::Rng` and `rand_core::CryptoRng`.
pub struct Rng {
    seed: [u8; 32],
    stream: ChaCha20Rng,
}

impl Rng {
    /// The generator of this seed. Equal seeds give equal bytes on every platform.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self {
            seed,
            stream: ChaCha20Rng::from_seed(seed),
        }
    }

    /// The seed that it was made from, whatever was drawn since. Whoever has it can foretell every draw.
    pub const fn seed(&self) -> [u8; 32] {
        self.seed
    }

    /// An independent generator, a function of the seed, `label` and `index` alone, whatever was drawn before.
    #[must_use]
    pub fn fork(&self, label: &str, index: u64) -> Self {
        Self::from_seed(self.fork_seed(label, index))
    }

    /// The seed of [`fork`](Self::fork), for a machine that makes its own generator later.
    pub fn fork_seed(&self, label: &str, index: u64) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"libp2p-proto fork ");
        hash.update(self.seed);
        hash.update(index.to_le_bytes());
        hash.update(label.as_bytes());
        hash.finalize().into()
    }

    /// 32 fresh bytes.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        rand_core::Rng::fill_bytes(self, &mut out);
        out
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        rand_core::Rng::next_u64(self)
    }

    /// A number below `bound`, zero if `bound` is zero. The bias is below 2⁻³² for bounds below 2³².
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.stream.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.stream.try_next_u64()
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.stream.try_fill_bytes(out)
    }
}

impl TryCryptoRng for Rng {}

impl Drop for Rng {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng")
    }
}
