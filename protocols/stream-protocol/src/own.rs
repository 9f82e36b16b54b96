//! Our own addresses, as facts tell them.

use crate::Fact;
use alloc::collections::BTreeSet;
use libp2p_proto_core::Multiaddr;

/// Addresses of a kind that are remembered; more are ignored.
const MAX: usize = 256;

/// Where others may reach us: the listeners, and the addresses that were proven. A protocol that speaks of our addresses owns one, and hands it every fact.
///
/// ```
/// use libp2p_proto_stream_protocol::{Fact, OwnAddresses};
///
/// let mut own = OwnAddresses::default();
/// let listener = Fact::ListenAddress { addr: "/ip4/10.0.0.2/tcp/4001".parse()?, up: true };
/// let proven = Fact::ExternalAddress { addr: "/ip4/203.0.113.5/tcp/4001".parse()?, confirmed: true };
/// assert!(own.learn(&listener) && own.learn(&proven) && !own.learn(&proven));
/// let all: Vec<String> = own.all().map(ToString::to_string).collect();
/// assert_eq!(all, ["/ip4/203.0.113.5/tcp/4001", "/ip4/10.0.0.2/tcp/4001"]);
/// # Ok::<(), libp2p_proto_core::multiaddr::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses {
    listening: BTreeSet<Multiaddr>,
    confirmed: BTreeSet<Multiaddr>,
}

impl OwnAddresses {
    /// Takes a fact in. Says whether it changed an address.
    pub fn learn(&mut self, fact: &Fact) -> bool {
        let (set, addr, there) = match fact {
            Fact::ListenAddress { addr, up } => (&mut self.listening, addr, *up),
            Fact::ExternalAddress { addr, confirmed } => (&mut self.confirmed, addr, *confirmed),
            _ => return false,
        };
        if there {
            set.len() < MAX && set.insert(addr.clone())
        } else {
            set.remove(addr)
        }
    }

    /// The addresses that we listen at.
    pub fn listening(&self) -> impl Iterator<Item = &Multiaddr> {
        self.listening.iter()
    }

    /// The addresses that were proven, for example by a dial back.
    pub fn confirmed(&self) -> impl Iterator<Item = &Multiaddr> {
        self.confirmed.iter()
    }

    /// Each address once: the proven ones, then the other listeners.
    pub fn all(&self) -> impl Iterator<Item = &Multiaddr> {
        let others = self.listening.difference(&self.confirmed);
        self.confirmed.iter().chain(others)
    }
}
