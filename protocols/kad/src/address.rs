//! Which addresses belong to which network, and which networks count as one.

use crate::Contact;
use alloc::{collections::BTreeMap, vec::Vec};
use core::net::IpAddr;
use libp2p_proto_core::{AddressClass, Component, Multiaddr};
use smallvec::SmallVec;

/// Address ranges of one owner each: the /8 counts as one group (go-libp2p-kbucket `peerdiversity`).
const LEGACY_CLASS_A: [u8; 8] = [12, 17, 19, 38, 48, 53, 56, 73];
/// Ports of services that have nothing to do with us, and that hosters watch for scans: none, SSH, telnet, mail, names.
const FOREIGN_PORTS: [u16; 5] = [0, 22, 23, 25, 53];

/// A network whose peers count together: IPv4 /16 (or a legacy /8), IPv6 /32. Without a table of autonomous systems this is as near as one comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Group([u8; 9]);

impl Group {
    /// The group of a public address; others have none.
    pub(crate) fn of(addr: &Multiaddr) -> Option<Self> {
        if addr.class() != AddressClass::Public {
            return None;
        }
        Some(Self(match addr.ip()?.to_canonical() {
            IpAddr::V4(ip) => match ip.octets() {
                [first, ..] if LEGACY_CLASS_A.contains(&first) => [4, first, 0, 0, 0, 0, 0, 0, 0],
                [first, second, ..] => [4, first, second, 0, 0, 0, 0, 0, 0],
            },
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.octets();
                [6, a, b, c, d, 0, 0, 0, 0]
            }
        }))
    }

    /// The groups of all these addresses, each once.
    pub(crate) fn all(addrs: &[Multiaddr]) -> SmallVec<[Self; 2]> {
        let mut groups: SmallVec<[Self; 2]> = addrs.iter().filter_map(Self::of).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// One public IP address (of IPv6 its /64) as a group of its own, for the rate of dials.
    pub(crate) fn host(addr: &Multiaddr) -> Option<Self> {
        if addr.class() != AddressClass::Public {
            return None;
        }
        Some(match addr.ip()?.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                Self([4, a, b, c, d, 0, 0, 0, 0])
            }
            IpAddr::V6(ip) => {
                let mut host = [6; 9];
                for (slot, byte) in host.iter_mut().skip(1).zip(ip.octets()) {
                    *slot = byte;
                }
                Self(host)
            }
        })
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Leaves out every peer of a group that more than `max` of them have.
pub(crate) fn drop_crowds(contacts: &mut Vec<Contact>, max: usize) {
    let mut counts: BTreeMap<Group, usize> = BTreeMap::new();
    for group in contacts.iter().flat_map(|contact| Group::all(&contact.addrs)) {
        let count = counts.entry(group).or_default();
        *count = count.saturating_add(1);
    }
    let crowded = |group: &Group| counts.get(group).is_some_and(|count| *count > max);
    contacts.retain(|contact| !Group::all(&contact.addrs).iter().any(crowded));
}

/// What an owner lets through, by address. Four functions of an address, each used where its name says.
#[derive(Clone, Copy, Debug)]
pub struct Filters {
    /// Addresses of our own that we tell.
    pub own: fn(&Multiaddr) -> bool,
    /// Addresses of others that we tell.
    pub told: fn(&Multiaddr) -> bool,
    /// A peer enters the routing table if one of its addresses passes.
    pub admitted: fn(&Multiaddr) -> bool,
    /// Addresses that others told and that we dial. A named peer of which none passes is ignored.
    pub dialed: fn(&Multiaddr) -> bool,
}

/// Which peers a table is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Peers with public addresses.
    #[default]
    Public,
    /// Peers with addresses of private networks.
    Lan,
    /// All peers, at any address: tests, private networks of one machine.
    Any,
}

impl Network {
    /// The filters of this network.
    pub const fn filters(self) -> Filters {
        match self {
            Self::Public => Filters {
                own: |addr| is_public(addr) || addr.is_relayed(),
                told: is_public,
                admitted: is_public,
                dialed: |addr| is_public(addr) && !is_foreign_port(addr),
            },
            Self::Lan => Filters {
                own: is_lan,
                told: is_lan,
                admitted: is_lan,
                dialed: is_lan,
            },
            Self::Any => Filters {
                own: |_| true,
                told: |_| true,
                admitted: |_| true,
                dialed: |_| true,
            },
        }
    }
}

/// A public IP address, or a name that may lead to one. Never one through a relay.
fn is_public(addr: &Multiaddr) -> bool {
    matches!(addr.class(), AddressClass::Public | AddressClass::Name)
}

/// An address of a private network or link; not of this machine.
fn is_lan(addr: &Multiaddr) -> bool {
    matches!(addr.class(), AddressClass::Private | AddressClass::LinkLocal)
}

fn is_foreign_port(addr: &Multiaddr) -> bool {
    addr.components().any(
        |component| matches!(component, Component::Tcp(port) | Component::Udp(port) if FOREIGN_PORTS.contains(&port)),
    )
}
