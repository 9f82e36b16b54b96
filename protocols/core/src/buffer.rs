//! Memory that the caller lends: output to append to, input to consume.

use alloc::vec::Vec;
use core::{convert::Infallible, fmt, mem};

/// The caller's output memory, with a ceiling. A machine appends and never keeps outgoing bytes of its own.
pub struct TransmitBuf<'a> {
    buf: &'a mut Vec<u8>,
    start: usize,
    end: usize,
}

impl<'a> TransmitBuf<'a> {
    /// Lends `buf`, to which at most `limit` bytes may be appended. What `buf` holds already is never touched.
    pub fn new(buf: &'a mut Vec<u8>, limit: usize) -> Self {
        let start = buf.len();
        let end = start.saturating_add(limit);
        Self { buf, start, end }
    }

    /// Bytes that still fit.
    pub fn remaining(&self) -> usize {
        self.end.saturating_sub(self.buf.len())
    }

    /// Bytes appended through this view.
    pub fn len(&self) -> usize {
        self.buf.len().saturating_sub(self.start)
    }

    /// Whether nothing was appended through this view.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends `bytes` whole, or nothing and answers `false` if they don't fit.
    #[must_use = "false: nothing was written"]
    pub fn put(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= self.remaining();
        if fits {
            self.buf.extend_from_slice(bytes);
        }
        fits
    }

    /// What was appended through this view.
    pub fn written_mut(&mut self) -> &mut [u8] {
        self.buf.get_mut(self.start..).unwrap_or_default()
    }

    /// Writes one envelope in place: leaves `head` bytes free, lets `fill` append at most `max_body` bytes, adds `tail` bytes, and
    /// hands the whole region (head, body, tail) to `seal`, which writes head and tail and may change the body.
    ///
    /// If the buffer has no room for head, tail and one byte, or `fill` appends nothing, nothing is written; the answer is then `None`,
    /// respectively `seal` is not called.
    ///
    /// # Errors
    ///
    /// Those of `seal`; nothing is written then.
    pub fn envelope<R, E>(
        &mut self,
        head: usize,
        tail: usize,
        max_body: usize,
        fill: impl FnOnce(&mut TransmitBuf<'_>) -> R,
        seal: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Option<R>, E> {
        let room = self
            .remaining()
            .saturating_sub(head)
            .saturating_sub(tail)
            .min(max_body);
        if room == 0 {
            return Ok(None);
        }
        let at = self.buf.len();
        let body_at = at.saturating_add(head);
        self.buf.resize(body_at, 0);
        let mut body = TransmitBuf {
            start: body_at,
            end: body_at.saturating_add(room),
            buf: self.buf,
        };
        let result = fill(&mut body);
        if body.is_empty() {
            self.buf.truncate(at);
        } else {
            self.buf.resize(self.buf.len().saturating_add(tail), 0);
            let sealed = seal(self.buf.get_mut(at..).unwrap_or_default());
            if sealed.is_err() {
                self.buf.truncate(at);
            }
            sealed?;
        }
        Ok(Some(result))
    }

    /// Writes one frame whose head is as long as its body asks for: leaves `max_head` bytes free, lets `fill` append at most `max_body` bytes, and hands the two regions to `write_head`, which
    /// writes to the front of the first, may change the second, and answers the length of the head (at most `max_head`). If that is less, the body moves up to it.
    ///
    /// Without room for the longest head and one byte nothing is called, and the answer is `None`. If `fill` appends nothing, nothing is written.
    pub fn frame<R>(
        &mut self,
        max_head: usize,
        max_body: usize,
        fill: impl FnOnce(&mut TransmitBuf<'_>) -> R,
        write_head: impl FnOnce(&mut [u8], &mut [u8]) -> usize,
    ) -> Option<R> {
        let mut spare = 0;
        let Ok(result) = self.envelope(max_head, 0, max_body, fill, |region| {
            if let Some((head, body)) = region.split_at_mut_checked(max_head) {
                let used = write_head(head, body).min(max_head);
                if used < max_head {
                    region.copy_within(max_head.., used);
                    spare = max_head.saturating_sub(used);
                }
            }
            Ok::<_, Infallible>(())
        });
        self.buf.truncate(self.buf.len().saturating_sub(spare));
        result
    }
}

impl fmt::Debug for TransmitBuf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TransmitBuf({} written, {} left)",
            self.len(),
            self.remaining()
        )
    }
}

/// The caller's input memory: read into [`spare_mut`](Self::spare_mut), say how much with [`fill`](Self::fill), hand
/// [`filled_mut`](Self::filled_mut) to a machine, [`consume`](Self::consume) what it used.
///
/// Consumption moves a cursor. Bytes move to the front only when room is needed and at least as many were consumed as are left, so that a backlog
/// costs linear time however small the steps; until then the buffer grows. Memory goes back to the allocator with [`shrink`](Self::shrink).
#[derive(Default)]
pub struct RecvBuf {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl RecvBuf {
    /// An empty buffer that owns no memory.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Room for at least `at_least` bytes behind the filled part. What is filled keeps its content.
    pub fn spare_mut(&mut self, at_least: usize) -> &mut [u8] {
        if self.bytes.len().saturating_sub(self.end) < at_least && self.start >= self.len() {
            self.compact();
        }
        let wanted = self.end.saturating_add(at_least);
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that the first `n` bytes of the spare room were written; more than the room counts as the room.
    pub fn fill(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.bytes.len());
    }

    /// What was filled and not yet consumed.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Drops the first `n` filled bytes; more than there are counts as all.
    pub fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Number of filled bytes.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether nothing is filled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// If more than `keep` bytes are held: gives all of them back if the buffer is empty, else what is over `keep` and over the filled part.
    pub fn shrink(&mut self, keep: usize) {
        if self.bytes.capacity() <= keep {
            return;
        }
        if self.is_empty() {
            drop(mem::take(&mut self.bytes));
            return;
        }
        self.compact();
        let room = keep.max(self.end).min(self.bytes.len());
        self.bytes.truncate(room);
        self.bytes.shrink_to(room);
    }

    /// Moves the filled part to the front.
    fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
    }
}

impl fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecvBuf({} filled)", self.len())
    }
}
