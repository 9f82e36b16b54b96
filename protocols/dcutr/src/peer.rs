//! What is known of a peer to which a relayed connection stands, and what is under way with it.

use crate::{Attempt, Failure, Role};
use alloc::{collections::BTreeMap, vec::Vec};
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, DialId, Instant, Multiaddr, StreamId};

/// Answered exchanges of a relayed connection count for so long.
const SERVED_FOR: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) relayed: BTreeMap<ConnectionId, Relayed>,
    /// Whether the peer speaks the protocol. `None`: identify has not ended.
    pub(crate) speaks: Option<bool>,
    /// The addresses that it claims.
    pub(crate) addrs: Vec<Multiaddr>,
    /// Whether those were dialed, or there was nothing to dial.
    pub(crate) dialed: bool,
    /// When the last upgrade ended, if nothing is to be tried for now.
    pub(crate) rests_since: Option<Instant>,
    /// Whether an address has changed since then.
    pub(crate) changed: bool,
    pub(crate) run: Run,
}

/// A relayed connection.
#[derive(Debug)]
pub(crate) struct Relayed {
    /// Which end we are.
    pub(crate) role: Role,
    /// Whether it is to be upgraded.
    pub(crate) wanted: bool,
    /// When we answered exchanges, lately.
    pub(crate) served: Vec<Instant>,
}

impl Relayed {
    /// Counts one more exchange that the peer asks for. `None`: it is one too many.
    pub(crate) fn serve(&mut self, now: Instant, max: usize) -> Option<u8> {
        self.served.retain(|at| now.since(*at) < SERVED_FOR);
        if self.served.len() >= max {
            return None;
        }
        self.served.push(now);
        u8::try_from(self.served.len()).ok()
    }
}

/// What is under way.
#[derive(Debug, Default)]
pub(crate) enum Run {
    #[default]
    Idle,
    /// The peer's claimed addresses are dialed.
    Dialing(DialId),
    /// As callee: until SYNC is written.
    Offering(Offer),
    /// As callee: half a round trip behind SYNC.
    Waiting(Punch),
    /// Both ends dial.
    Punching(Punch, DialId),
    /// As callee: before the next attempt, of this number.
    Pausing(u8),
    /// As caller: until SYNC has come.
    Answering(Answer),
}

impl Run {
    /// The stream of the exchange, if it is not over.
    pub(crate) const fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Offering(Offer { stream, .. }) | Self::Answering(Answer { stream, .. }) => Some(*stream),
            _ => None,
        }
    }

    /// The dial that is under way.
    pub(crate) const fn dial(&self) -> Option<DialId> {
        match self {
            Self::Dialing(dial) | Self::Punching(_, dial) => Some(*dial),
            _ => None,
        }
    }

    /// The attempt in which the other end's dial is expected.
    pub(crate) const fn expects(&self) -> Option<&Punch> {
        match self {
            Self::Punching(punch, _) => Some(punch),
            Self::Answering(Answer { ready, .. }) => ready.as_ref(),
            _ => None,
        }
    }

    /// Whether it goes on without the relayed connection: both ends know all that they need.
    pub(crate) const fn needs_no_relay(&self) -> bool {
        matches!(self, Self::Dialing(_) | Self::Waiting(_) | Self::Punching(..))
    }
}

/// The callee's side of an exchange.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) stream: StreamId,
    pub(crate) number: u8,
    /// When CONNECT was written, with which addresses.
    pub(crate) sent: Option<(Instant, Vec<Multiaddr>)>,
}

/// The caller's side of an exchange.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) stream: StreamId,
    pub(crate) number: u8,
    /// All that is needed to dial, once CONNECT was answered.
    pub(crate) ready: Option<Punch>,
}

/// An attempt whose exchange is over.
#[derive(Debug)]
pub(crate) struct Punch {
    pub(crate) role: Role,
    pub(crate) number: u8,
    pub(crate) rtt: Option<Duration>,
    pub(crate) ours: Vec<Multiaddr>,
    pub(crate) theirs: Vec<Multiaddr>,
}

impl Punch {
    /// What is told of it.
    pub(crate) fn ended(self, result: Result<ConnectionId, Failure>) -> Attempt {
        Attempt {
            role: self.role,
            number: self.number,
            rtt: self.rtt,
            ours: self.ours,
            theirs: self.theirs,
            result,
        }
    }
}
