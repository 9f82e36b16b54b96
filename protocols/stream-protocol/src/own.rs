//! Our own addresses, as facts tell them.

use crate::{Fact, Reachability};
use alloc::collections::BTreeSet;
use libp2p_proto_core::Multiaddr;

/// Addresses of a kind that are remembered; more are ignored.
const MAX: usize = 256;

/// Where others may reach us: the listeners but for those where others have tried in vain, and the addresses that were proven. A protocol that speaks of our addresses owns one, and hands it every fact.
///
/// ```
/// use libp2p_proto_stream_protocol::{Fact, OwnAddresses, Reachability};
///
/// let mut own = OwnAddresses::default();
/// let listener = Fact::ListenAddress { addr: "/ip4/10.0.0.2/tcp/4001".parse()?, up: true };
/// let proven = Fact::ExternalAddress { addr: "/ip4/203.0.113.5/tcp/4001".parse()?, confirmed: true };
/// assert!(own.learn(&listener) && own.learn(&proven) && !own.learn(&proven));
/// let all: Vec<String> = own.all().map(ToString::to_string).collect();
/// assert_eq!(all, ["/ip4/203.0.113.5/tcp/4001", "/ip4/10.0.0.2/tcp/4001"]);
/// // Others have tried the listener, and did not get through.
/// own.learn(&Fact::AddressReachability { addr: "/ip4/10.0.0.2/tcp/4001".parse()?, reachability: Reachability::Private });
/// assert_eq!((own.all().count(), own.listening().count()), (1, 0));
/// # Ok::<(), libp2p_proto_core::multiaddr::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses {
    listening: BTreeSet<Multiaddr>,
    confirmed: BTreeSet<Multiaddr>,
    unreachable: BTreeSet<Multiaddr>,
}

impl OwnAddresses {
    /// Takes a fact in. Says whether it changed an address.
    pub fn learn(&mut self, fact: &Fact) -> bool {
        match fact {
            Fact::ListenAddress { addr, up } => put(&mut self.listening, addr, *up),
            Fact::ExternalAddress { addr, confirmed } => put(&mut self.confirmed, addr, *confirmed),
            Fact::AddressReachability { addr, reachability } => {
                let is = |wanted| *reachability == wanted;
                let proven = put(&mut self.confirmed, addr, is(Reachability::Public));
                let failed = put(&mut self.unreachable, addr, is(Reachability::Private));
                proven || failed
            }
            _ => false,
        }
    }

    /// The addresses that we listen at, but for those where others have tried to reach us in vain.
    pub fn listening(&self) -> impl Iterator<Item = &Multiaddr> {
        self.listening.difference(&self.unreachable)
    }

    /// The addresses that were proven, for example by a dial back.
    pub fn confirmed(&self) -> impl Iterator<Item = &Multiaddr> {
        self.confirmed.iter()
    }

    /// Each address once: the proven ones, then the other listeners.
    pub fn all(&self) -> impl Iterator<Item = &Multiaddr> {
        let others = self.listening().filter(|addr| !self.confirmed.contains(*addr));
        self.confirmed.iter().chain(others)
    }
}

/// Puts an address into a set, or takes it out. Says whether that changed it.
fn put(set: &mut BTreeSet<Multiaddr>, addr: &Multiaddr, there: bool) -> bool {
    if there {
        set.len() < MAX && set.insert(addr.clone())
    } else {
        set.remove(addr)
    }
}
