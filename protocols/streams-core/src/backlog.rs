//! Bytes that are not parsed yet.

use alloc::vec::Vec;
use libp2p_proto_core::framing::gather;

/// A queue of bytes that holds little memory in vain, and none when it is empty.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    /// So many of them are gone.
    gone: usize,
}

impl Backlog {
    /// What waits.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.gone..).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.gone)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        gather(&mut self.bytes, bytes, usize::MAX);
    }

    /// The first bytes are parsed. When a third of the memory would be in vain, the rest moves; so the cost stays linear.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.gone = self.gone.saturating_add(bytes).min(self.bytes.len());
        if self.gone > self.bytes.len() / 3 {
            self.bytes.drain(..core::mem::take(&mut self.gone));
            self.bytes.shrink_to_fit();
        }
    }
}
