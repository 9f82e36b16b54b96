//! The listener's role on one stream: whole blocks go back, at a bounded rate.

use crate::Config;
use alloc::collections::VecDeque;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, StreamId};
use libp2p_proto_stream_protocol::{Context, WriteError};

/// Blocks that may wait on one stream: 1 KiB.
const MAX_WAITING: usize = 32;

/// One inbound stream.
#[derive(Debug)]
pub(crate) struct Echo {
    waiting: VecDeque<Bytes>,
    /// When the next block would be on time if blocks came at exactly the average rate: the theoretical arrival time of the generic cell rate algorithm.
    on_time: Instant,
    last_block: Instant,
    blocked: bool,
    finished: bool,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The stream goes on.
    Going,
    /// The stream is over for us.
    Over,
}

impl Echo {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            on_time: now,
            last_block: now,
            blocked: false,
            finished: false,
        }
    }

    /// When something is due without input: a waiting block may go, or silence has lasted too long.
    pub(crate) fn deadline(&self, config: &Config) -> Option<Instant> {
        if self.blocked {
            None
        } else if self.waiting.is_empty() {
            Some(self.last_block + config.inbound_idle)
        } else {
            Some(self.free_at(config))
        }
    }

    pub(crate) fn handle_block(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
        stream: StreamId,
        block: Bytes,
    ) -> Step {
        self.last_block = cx.now;
        if self.waiting.len() >= MAX_WAITING {
            cx.reset(stream);
            return Step::Over;
        }
        self.waiting.push_back(block);
        self.pump(cx, config, stream)
    }

    pub(crate) fn handle_writable(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
        stream: StreamId,
    ) -> Step {
        self.blocked = false;
        self.pump(cx, config, stream)
    }

    pub(crate) fn handle_finished(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
        stream: StreamId,
    ) -> Step {
        self.finished = true;
        self.pump(cx, config, stream)
    }

    /// Sends what the rate and the stream allow.
    pub(crate) fn pump(&mut self, cx: &mut Context<'_>, config: &Config, stream: StreamId) -> Step {
        while let Some(block) = self.waiting.front() {
            if self.blocked || self.free_at(config) > cx.now {
                cx.pause(stream);
                return Step::Going;
            }
            match cx.write(stream, block.clone()) {
                Ok(()) => {
                    self.waiting.pop_front();
                    self.on_time = Ord::max(self.on_time, cx.now) + gap(config);
                }
                Err(WriteError::Blocked) => self.blocked = true,
                Err(_) => return Step::Over,
            }
        }
        cx.resume(stream);
        let silent = cx.now.since(self.last_block) >= config.inbound_idle;
        if self.finished || silent {
            cx.finish(stream);
            return Step::Over;
        }
        Step::Going
    }

    /// When the oldest block may go.
    fn free_at(&self, config: &Config) -> Instant {
        self.on_time - gap(config).saturating_mul(config.burst.saturating_sub(1))
    }
}

fn gap(config: &Config) -> Duration {
    Duration::from_secs(1)
        .checked_div(config.rate)
        .unwrap_or(Duration::from_secs(1))
}
