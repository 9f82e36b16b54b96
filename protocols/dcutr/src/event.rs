//! What the application is told.

use crate::Failure;
use alloc::vec::Vec;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Multiaddr, PeerId, Side};

/// Which end of the relayed connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// We dialed through the relay: the peer drives, and on the direct connection we are the dialer. The specification's A.
    Caller,
    /// The peer dialed through the relay: we drive, and on the direct connection we are the listener, whichever socket connects. The specification's B.
    Callee,
}

impl Role {
    /// Our role in the upgrade of the direct connection.
    pub const fn side(self) -> Side {
        match self {
            Self::Caller => Side::Dialer,
            Self::Callee => Side::Listener,
        }
    }
}

/// How a direct connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// We dialed an address that the peer had named in identify.
    Unilateral,
    /// Both dialed at the same time.
    Punched,
    /// It came while nothing of ours was under way, or in the middle of an exchange.
    Appeared,
}

/// One attempt to punch, with all that is needed to measure success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which end we are.
    pub role: Role,
    /// Its number, from 1.
    pub number: u8,
    /// The measured round trip over the relay; the caller does not measure.
    pub rtt: Option<Duration>,
    /// Our addresses, as they were sent.
    pub ours: Vec<Multiaddr>,
    /// The peer's addresses that were dialed.
    pub theirs: Vec<Multiaddr>,
    /// The direct connection, or why there is none.
    pub result: Result<ConnectionId, Failure>,
}

/// Something that the application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A direct connection stands beside the relayed one. New streams go there; the relayed one is closed once it is idle.
    Upgraded {
        /// The peer.
        peer: PeerId,
        /// The direct connection.
        conn: ConnectionId,
        /// How it came about.
        how: How,
    },
    /// Both ends have dialed, and this is what came of it.
    Attempted {
        /// The peer.
        peer: PeerId,
        /// The attempt.
        attempt: Attempt,
    },
    /// There is no direct connection, and nothing more is tried for now. The relayed connection stays.
    Failed {
        /// The peer.
        peer: PeerId,
        /// Why, of the last attempt.
        failure: Failure,
    },
}
