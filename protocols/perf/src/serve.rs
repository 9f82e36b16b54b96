//! The server's side of one transfer.

use crate::{Config, perf::send_zeros};
use bytes::Bytes;
use libp2p_proto_core::StreamId;
use libp2p_proto_stream_protocol::Context;

/// Where a served transfer stands.
#[derive(Debug)]
pub(crate) enum Served {
    /// The eight bytes of the request are not complete: so many are there.
    Request { bytes: [u8; 8], have: usize },
    /// The client uploads; nothing is sent before it ends.
    Upload { wanted: u64, got: u64 },
    /// We send what was asked for.
    Download { left: u64 },
}

impl Served {
    pub(crate) const fn new() -> Self {
        Self::Request {
            bytes: [0; 8],
            have: 0,
        }
    }

    /// Counts what came. `false`: the transfer is over a limit or out of turn.
    pub(crate) fn handle_data(&mut self, config: &Config, mut data: Bytes) -> bool {
        if let Self::Request { bytes, have } = self {
            for slot in bytes.iter_mut().skip(*have) {
                if data.is_empty() {
                    break;
                }
                *slot = data.split_to(1).first().copied().unwrap_or(0);
                *have = have.saturating_add(1);
            }
            if *have == bytes.len() {
                *self = Self::Upload {
                    wanted: u64::from_be_bytes(*bytes),
                    got: 0,
                };
            }
        }
        match self {
            Self::Request { .. } => true,
            Self::Upload { wanted, got } => {
                *got = got.saturating_add(data.len() as u64);
                *got <= config.max_bytes && *wanted <= config.max_bytes
            }
            Self::Download { .. } => data.is_empty(),
        }
    }

    /// The client has ended its side. `false`: without a whole request.
    pub(crate) fn handle_finished(&mut self, cx: &mut Context<'_>, stream: StreamId) -> bool {
        match self {
            Self::Upload { wanted, .. } => {
                *self = Self::Download { left: *wanted };
                self.pump(cx, stream);
                true
            }
            Self::Request { .. } | Self::Download { .. } => false,
        }
    }

    /// Sends what the stream takes, and ends it after the last byte.
    pub(crate) fn pump(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        if let Self::Download { left } = self {
            send_zeros(cx, stream, left);
            if *left == 0 {
                cx.finish(stream);
            }
        }
    }
}
