//! What the swarm keeps of a stream.

use libp2p_proto_core::{PeerId, StreamId};
use libp2p_proto_stream_protocol::{Framing, SpecId};

/// Where a stream stands, as its protocol sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// We opened it; its name is not agreed. `lazy`: it can be written to already.
    Opening { lazy: bool },
    /// Frames come and go.
    Open,
    /// As open, but the remote sends no more.
    Finished,
    /// We reset it: nothing is written or delivered any more but its end.
    Reset,
    /// Its protocol is being told that it is gone.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) phase: Phase,
    pub(crate) protocol: u8,
    pub(crate) spec: SpecId,
    pub(crate) peer: PeerId,
    pub(crate) framing: Framing,
    /// Whether we send no more.
    pub(crate) finishing: bool,
    /// Whether a write was refused since the last `Writable`.
    pub(crate) blocked: bool,
    pub(crate) paused: bool,
    /// Whether it stands in its connection's list of credit to return.
    pub(crate) granting: bool,
    /// Bytes written that have not left.
    pub(crate) unsent: usize,
    /// Delivered bytes whose credit was not returned.
    pub(crate) ungranted: usize,
    /// Where what comes goes on to.
    pub(crate) splice: Option<Splice>,
}

/// One direction of two joined streams, from the stream that has it to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Splice {
    pub(crate) to: StreamId,
    /// Bytes that may still pass.
    pub(crate) left: u64,
    /// More came: both streams end once what was allowed has left.
    pub(crate) over: bool,
    /// Bytes that the protocol itself had written to `to` and that have not left.
    pub(crate) foreign: usize,
}

impl Slot {
    pub(crate) const fn new(
        phase: Phase,
        protocol: u8,
        spec: SpecId,
        peer: PeerId,
        framing: Framing,
    ) -> Self {
        Self {
            phase,
            protocol,
            spec,
            peer,
            framing,
            finishing: false,
            blocked: false,
            paused: false,
            granting: false,
            unsent: 0,
            ungranted: 0,
            splice: None,
        }
    }

    /// Whether a frame may be written, but for credit and framing.
    pub(crate) const fn takes_frames(&self) -> bool {
        matches!(
            self.phase,
            Phase::Opening { lazy: true } | Phase::Open | Phase::Finished
        )
    }

    /// Whether its protocol may still do something with it.
    pub(crate) const fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Reset | Phase::Gone)
    }

    /// What the stream counts as.
    pub(crate) const fn owner(&self, stream: StreamId) -> crate::scopes::Owner {
        crate::scopes::Owner {
            inbound: stream.is_inbound(),
            service: self.protocol,
            spec: self.spec,
            peer: self.peer,
        }
    }
}
