//! Interfaces of this machine, and where packets come from and go.

use crate::Error;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use libp2p_proto_core::multiaddr::Subnet;

/// The group of IPv4 (RFC 6762, § 3).
pub const GROUP4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// The group of IPv6 (RFC 6762, § 3).
pub const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// The UDP port of multicast DNS (RFC 6762, § 3).
pub const PORT: u16 = 5353;

/// A family of IP addresses. An interface speaks each on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4
    Ip4,
    /// IPv6
    Ip6,
}

impl Family {
    /// The family of an address.
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::Ip4,
            IpAddr::V6(_) => Self::Ip6,
        }
    }
}

/// A network interface that the adapter has joined the groups on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number, as the operating system counts.
    pub id: u32,
    /// Its addresses with the bits of their network, 0 to 32 or 0 to 128.
    pub addrs: Vec<(IpAddr, u8)>,
    /// The families whose group was joined, each once.
    pub families: Vec<Family>,
}

impl Interface {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        let fits = |(ip, bits): &(IpAddr, u8)| *bits <= if ip.is_ipv4() { 32 } else { 128 };
        if !self.addrs.iter().all(fits) {
            return Err(Error::BadConfig("addrs"));
        }
        Ok(())
    }

    /// Whether this is the machine's way to itself.
    pub fn is_loopback(&self) -> bool {
        self.addrs.iter().any(|(ip, _)| ip.is_loopback())
    }

    /// Whether it has this address.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        self.addrs.iter().any(|(own, _)| *own == ip)
    }

    /// Whether an address is one of this link: of a network of the interface, or link-local.
    pub(crate) fn is_on_link(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        if let IpAddr::V6(ip) = ip {
            if ip.is_unicast_link_local() {
                return true;
            }
        }
        self.addrs.iter().any(|(own, bits)| {
            // A host of its own (128 bits) has no subnet.
            *own == ip
                || (own.is_ipv4() == ip.is_ipv4()
                    && *bits < 128
                    && Subnet::of_ip(*own, *bits, *bits) == Subnet::of_ip(ip, *bits, *bits))
        })
    }
}

/// Where a datagram came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The interface that it came in by.
    pub interface: u32,
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it was sent to: a group, or one of our addresses.
    pub to: IpAddr,
}

/// Where a datagram goes. It is to leave with a time to live (IPv4) or hop limit (IPv6) of 255 from [`PORT`], and to be looped back to this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The interface to send it from.
    pub interface: u32,
    /// A group, or whoever asked.
    pub to: SocketAddr,
}

impl Transmit {
    /// To the group of a family on an interface.
    pub(crate) const fn group(interface: u32, family: Family) -> Self {
        let to = match family {
            Family::Ip4 => SocketAddr::new(IpAddr::V4(GROUP4), PORT),
            Family::Ip6 => SocketAddr::V6(SocketAddrV6::new(GROUP6, PORT, 0, interface)),
        };
        Self { interface, to }
    }
}
