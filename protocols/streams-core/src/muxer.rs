//! What a multiplexer must be able to do.

use bytes::Bytes;
use core::fmt::Debug;
use libp2p_proto_core::Instant;

/// No stream can be opened now; try again when something has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked;

/// A multiplexer, lent for each call.
pub trait Muxer {
    /// Its own name of a stream.
    type Id: Copy + Ord + Debug;

    /// Opens a stream.
    ///
    /// # Errors
    ///
    /// [`Blocked`] if a limit of either side is reached.
    fn open(&mut self) -> Result<Self::Id, Blocked>;
    /// Takes a stream that the remote opened.
    fn accept(&mut self, id: Self::Id);
    /// Queues bytes behind those of earlier writes. How many wait is bounded by the caller.
    fn write(&mut self, id: Self::Id, data: Bytes);
    /// We send no more; queues behind what was written.
    fn finish(&mut self, id: Self::Id);
    /// Ends both directions at once.
    fn reset(&mut self, id: Self::Id);
    /// [`reset`](Self::reset) for a stream of the remote that came to nothing by its fault, so that a multiplexer which counts how often that happens counts it.
    fn refuse(&mut self, id: Self::Id) {
        self.reset(id);
    }
    /// Returns receive credit.
    fn grant(&mut self, now: Instant, id: Self::Id, bytes: usize);
    /// Lets the receive window of a stream grow to `bytes` at most.
    fn set_max_window(&mut self, id: Self::Id, bytes: usize);
}
