//! What the application is told.

use crate::Failure;
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_stream_protocol::Reachability;

/// A question to a server; its end names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(pub(crate) u64);

/// The two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `/libp2p/autonat/1.0.0`: are we reachable at all?
    V1,
    /// `/libp2p/autonat/2/…`: is this address reachable? Proven with a nonce.
    V2,
}

/// What a server has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The address that was dialed: always with version 2, with version 1 only if it is one of those that we asked about.
    pub addr: Option<Multiaddr>,
    /// Whether we were reached.
    pub reachable: bool,
}

/// What a server has done for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It was reached.
    Reached,
    /// It was not reached.
    NotReached,
    /// It was reached, and did not take the nonce.
    NotProven,
    /// None of its addresses may be dialed.
    Refused,
    /// Too much was asked of us.
    Rejected,
    /// What it said is no question.
    BadRequest,
}

/// Something that the application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A question has ended. Comes once for each that [`ask`](crate::Autonat::ask) began, and for those that the machine began itself as long as there is room.
    Answered {
        /// The question.
        question: QuestionId,
        /// Who was asked; `None` if nobody could be.
        server: Option<PeerId>,
        /// With which version.
        version: Version,
        /// What the server has found, or why it says nothing. One voice: what is believed comes with the other events.
        result: Result<Verdict, Failure>,
    },
    /// What is believed of one address has changed.
    Address {
        /// The address.
        addr: Multiaddr,
        /// What is believed now.
        reachability: Reachability,
    },
    /// What is believed of this node has changed.
    Reachability(Reachability),
    /// As a server: a question of somebody was answered.
    Served {
        /// Who asked.
        peer: PeerId,
        /// With which version.
        version: Version,
        /// What was dialed, if anything.
        addr: Option<Multiaddr>,
        /// What became of it.
        outcome: Outcome,
    },
    /// As a server: others may ask us from now on, or no longer.
    Serving(bool),
}
