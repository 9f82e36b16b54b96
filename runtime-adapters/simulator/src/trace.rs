//! What happened: a hash over everything that was delivered, and the lines that somebody may want to read.

use libp2p_proto_core::Instant;
use sha2::{Digest, Sha256};
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
pub struct TraceHash([u8; 32]);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take(16)
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug)]
pub(crate) struct Trace {
    hash: Sha256,
    /// Kept if somebody reads them.
    pub(crate) lines: Option<Vec<Line>>,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            hash: Sha256::new(),
            lines: keep.then(Vec::new),
        }
    }

    /// Something was delivered.
    pub(crate) fn deliver(&mut self, at: Instant, host: u32, kind: u8, number: u64, bytes: &[u8]) {
        let mut record = [0; 29];
        let fields = [
            &at.as_nanos().to_le_bytes()[..],
            &host.to_le_bytes(),
            &[kind],
            &number.to_le_bytes(),
            &(bytes.len() as u64).to_le_bytes(),
        ];
        let mut rest = &mut record[..];
        for field in fields {
            let (head, tail) = rest.split_at_mut(field.len().min(rest.len()));
            head.copy_from_slice(field.get(..head.len()).unwrap_or_default());
            rest = tail;
        }
        self.hash.update(record);
        if !bytes.is_empty() {
            self.hash.update(bytes);
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
        TraceHash(self.hash.clone().finalize().into())
    }
}
