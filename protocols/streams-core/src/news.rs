//! What waits for the swarm.

use alloc::collections::VecDeque;
use libp2p_proto_core::StreamId;
use libp2p_proto_stream_protocol::FromConnection;

/// A queue that grew larger gives its memory back when it is empty.
const KEPT: usize = 4;

/// Messages for the swarm in their order, and streams that have something to report when they are asked.
#[derive(Debug)]
pub(crate) struct News<I> {
    messages: VecDeque<FromConnection>,
    /// Bytes of the frames in `messages`.
    bytes: usize,
    /// Streams with send credit or a flush to report; each once.
    reports: VecDeque<I>,
}

impl<I> News<I> {
    pub(crate) const fn new() -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            reports: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, message: FromConnection) {
        self.bytes = self.bytes.saturating_add(frame_len(&message));
        self.messages.push_back(message);
    }

    pub(crate) fn push_report(&mut self, id: I) {
        self.reports.push_back(id);
    }

    pub(crate) fn pop(&mut self) -> Option<FromConnection> {
        let message = pop(&mut self.messages)?;
        self.bytes = self.bytes.saturating_sub(frame_len(&message));
        Some(message)
    }

    pub(crate) fn pop_report(&mut self) -> Option<I> {
        pop(&mut self.reports)
    }

    /// Number of what waits.
    pub(crate) fn len(&self) -> usize {
        self.messages.len().saturating_add(self.reports.len())
    }

    /// Bytes of frames that wait.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A stream was reset from our side: what it still had to say means nothing to the swarm.
    pub(crate) fn forget(&mut self, stream: StreamId) {
        self.messages.retain(|message| {
            let stays = message.stream() != Some(stream) || matches!(message, FromConnection::Opened { .. });
            if !stays {
                self.bytes = self.bytes.saturating_sub(frame_len(message));
            }
            stays
        });
    }
}

fn frame_len(message: &FromConnection) -> usize {
    match message {
        FromConnection::Frame { data, .. } => data.len(),
        _ => 0,
    }
}

/// The first of a queue, which gives its memory back when it is empty.
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if queue.is_empty() && queue.capacity() > KEPT {
        *queue = VecDeque::new();
    }
    first
}
