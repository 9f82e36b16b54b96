//! What the layer above is told, and what it may ask.

/// What the layer above is told.
///
/// Of each stream: `Opened` (the remote's) or `Acknowledged` (ours) before all else, then `Data`, then `Finished` at most once, then `Closed` or `Reset` once
/// at most and nothing after it. A stream that we reset ourselves ends without an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'b> {
    /// The remote opened a stream; it waits for [`accept`](crate::Yamux::accept) or [`reset`](crate::Yamux::reset).
    Opened {
        /// The stream.
        stream: u32,
    },
    /// The remote acknowledged a stream of ours. Some send data first, and this with it.
    Acknowledged {
        /// The stream.
        stream: u32,
    },
    /// Bytes of a stream, borrowed from the input. Give the credit back with [`grant`](crate::Yamux::grant) once they are used up.
    Data {
        /// The stream.
        stream: u32,
        /// The bytes, at least one.
        bytes: &'b [u8],
    },
    /// Bytes of a stream have left, so that [`write`](crate::Yamux::write) takes as many more.
    Drained {
        /// The stream.
        stream: u32,
        /// How many.
        bytes: usize,
    },
    /// The remote sends no more on a stream.
    Finished {
        /// The stream.
        stream: u32,
    },
    /// The remote reset a stream: both directions are gone, and so is its id.
    Reset {
        /// The stream.
        stream: u32,
        /// What go sends along; 0 from all others.
        code: u32,
        /// It was ours and this came in place of the acknowledgement: the remote may have read nothing.
        refused: bool,
    },
    /// Both directions are finished: the id is gone.
    Closed {
        /// The stream.
        stream: u32,
    },
    /// The remote goes away. With code 0 it takes no new streams and those that stand may finish; with any other, all streams are lost and the session is
    /// over.
    GoAway {
        /// 0 normal, 1 protocol error, 2 internal error; go has more, from 0x1000.
        code: u32,
    },
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Data bytes received for streams that stand.
    pub bytes_in: u64,
    /// Data bytes sent.
    pub bytes_out: u64,
    /// Frames received.
    pub frames_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Data bytes skipped, because their stream was refused, reset or unknown.
    pub bytes_skipped: u64,
    /// Frames received that changed nothing.
    pub frames_without_progress: u64,
    /// Streams refused for a limit.
    pub refused: u64,
    /// Pings that were not answered because too many answers waited.
    pub pongs_dropped: u64,
    /// Answers to pings that we did not send.
    pub pongs_unsolicited: u64,
}
