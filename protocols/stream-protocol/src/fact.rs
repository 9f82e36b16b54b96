//! Facts instead of friendships: what one protocol learned and any other may use.

use alloc::sync::Arc;
use libp2p_proto_core::{Multiaddr, PeerId, ProtocolName};

/// What one protocol, or the outside, learned and any protocol may use. Protocols know facts, never each other. The set is closed and small.
///
/// The swarm hands every told fact to every protocol but the teller, as [`Input::Fact`](crate::Input::Fact).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact {
    /// The complete list of protocols that a peer accepts, as far as it told us.
    PeerProtocols {
        /// The peer.
        peer: PeerId,
        /// What it accepts, sorted.
        protocols: Arc<[ProtocolName]>,
    },
    /// Addresses that a peer claims for itself; they replace what was claimed before.
    PeerAddresses {
        /// The peer.
        peer: PeerId,
        /// The claimed addresses, without the final `/p2p`.
        addrs: Arc<[Multiaddr]>,
        /// Whether a signed record carried them: authorship, not reachability.
        certified: bool,
    },
    /// A peer says that it sees us at this address.
    ObservedAddress {
        /// Our address, as claimed.
        addr: Multiaddr,
        /// Who claims it.
        by: PeerId,
        /// Where the observer's connection comes from, so that observers of one network count once.
        from: Multiaddr,
    },
    /// An address under which others may reach us.
    ExternalAddress {
        /// The address.
        addr: Multiaddr,
        /// Whether it was proven, for example by a dial back; a candidate otherwise.
        confirmed: bool,
    },
    /// Whether others can reach us at one address, as far as they have tried it.
    AddressReachability {
        /// The address.
        addr: Multiaddr,
        /// What was found; unknown once it is not believed any more.
        reachability: Reachability,
    },
    /// The adapter listens at this address, or no longer does.
    ListenAddress {
        /// The concrete address.
        addr: Multiaddr,
        /// Whether the listener is up.
        up: bool,
    },
    /// Whether others can reach us, as far as probes tell.
    Reachability(Reachability),
    /// The set of names that we announce has changed; [`Context::local_protocols`](crate::Context::local_protocols) has the new one.
    LocalProtocols,
}

/// Whether others can reach us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reachability {
    /// Nobody knows yet, or no longer.
    #[default]
    Unknown,
    /// Others have reached us.
    Public,
    /// Others have tried and failed.
    Private,
}
