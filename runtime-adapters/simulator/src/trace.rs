//! What happened: a hash over everything that was delivered, and the lines that somebody may want to read.

use crate::net::mix;
use libp2p_proto_core::Instant;
use std::fmt::{self, Write as _};

/// One line of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, in the simulation's time.
    pub at: Instant,
    /// The host that it concerns, by its number.
    pub host: usize,
    /// What happened, in words that never change between runs of the same seed.
    pub what: String,
}

/// A hash over a run: equal for equal scenarios and seeds, on every platform, in every build.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceHash([u64; 2]);

impl TraceHash {
    /// Reads what [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, second) = text.split_at_checked(16)?;
        let lane = |text| u64::from_str_radix(text, 16).ok();
        Some(Self([lane(first)?, lane(second)?]))
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[0], self.0[1])
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Two lanes of 64 bits. They tell runs apart; they keep no secrets.
#[derive(Clone, Copy, Debug, Default)]
struct Lanes([u64; 2]);

impl Lanes {
    const fn add(&mut self, word: u64) {
        let [a, b] = self.0;
        let a = (a ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let b = (b.rotate_left(23) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93) ^ a;
        self.0 = [a, b];
    }
}

#[derive(Debug)]
pub(crate) struct Trace {
    hash: Lanes,
    /// Kept if somebody reads them.
    pub(crate) lines: Option<Vec<Line>>,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            hash: Lanes::default(),
            lines: keep.then(Vec::new),
        }
    }

    /// Something was delivered.
    pub(crate) fn deliver(&mut self, at: Instant, host: u32, kind: u8, number: u64, bytes: &[u8]) {
        self.hash.add(at.as_nanos());
        self.hash.add((u64::from(host) << 8) | u64::from(kind));
        self.hash.add(number);
        self.hash.add(bytes.len() as u64);
        let words = bytes.chunks_exact(8);
        let rest = words.remainder();
        for word in words {
            self.hash
                .add(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        if !rest.is_empty() {
            let whole = rest.iter().rev();
            self.hash
                .add(whole.fold(0, |sum, byte| (sum << 8) | u64::from(*byte)));
        }
    }

    /// Something happened that somebody may want to read.
    pub(crate) fn tell(&mut self, at: Instant, host: u32, what: fmt::Arguments<'_>) {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _never = text.write_fmt(what);
        self.deliver(at, host, 0xff, 0, text.as_bytes());
        if let Some(lines) = &mut self.lines {
            let host = usize::try_from(host).unwrap_or_default();
            lines.push(Line { at, host, what: text });
        }
    }

    pub(crate) fn hash(&self) -> TraceHash {
        TraceHash(self.hash.0.map(mix))
    }
}
