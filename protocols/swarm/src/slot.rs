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
