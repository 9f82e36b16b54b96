//! Networks as things to count by.

use super::Multiaddr;
use core::net::IpAddr;

/// The network that an address belongs to, so that those who share one can be counted, limited or given one vote together.
///
/// IPv4-mapped IPv6 addresses are IPv4. Everything without an IP address (names, peers behind relays) is one subnet.
///
/// ```
/// use libp2p_proto_core::Multiaddr;
///
/// let subnet = |text: &str| text.parse().map(|addr: Multiaddr| addr.subnet(24, 56));
/// assert_eq!(subnet("/ip4/203.0.113.5/tcp/1")?, subnet("/ip4/203.0.113.99/udp/2/quic-v1")?);
/// assert_ne!(subnet("/ip4/203.0.113.5/tcp/1")?, subnet("/ip4/203.0.114.5/tcp/1")?);
/// # Ok::<(), libp2p_proto_core::multiaddr::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet(u128);

/// Sets the IPv6 networks apart from the IPv4 ones.
const IP6: u128 = 1 << 127;

impl Subnet {
    /// The network of the first `ip4_bits` (0 to 32) or `ip6_bits` (0 to 127) bits of an IP address.
    pub const fn of_ip(ip: IpAddr, ip4_bits: u8, ip6_bits: u8) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => kept(ip.to_bits() as u128, 32, ip4_bits),
            IpAddr::V6(ip) => kept(ip.to_bits(), 128, ip6_bits) | IP6,
        })
    }
}

/// The first `bits` of `width` bits.
const fn kept(ip: u128, width: u8, bits: u8) -> u128 {
    match ip.checked_shr(width.saturating_sub(bits) as u32) {
        Some(kept) => kept,
        None => 0,
    }
}

impl Multiaddr {
    /// The subnet of the address: its first `ip4_bits` (0 to 32) or `ip6_bits` (0 to 127) bits.
    pub fn subnet(&self, ip4_bits: u8, ip6_bits: u8) -> Subnet {
        self.ip()
            .map_or(Subnet(u128::MAX), |ip| Subnet::of_ip(ip, ip4_bits, ip6_bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str, ip4_bits: u8, ip6_bits: u8) -> Option<Subnet> {
        let addr: Multiaddr = text.parse().ok()?;
        Some(addr.subnet(ip4_bits, ip6_bits))
    }

    #[test]
    fn addresses_share_a_subnet_by_their_first_bits() {
        let same = |a, b, ip4, ip6| subnet(a, ip4, ip6) == subnet(b, ip4, ip6);
        assert!(same("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.254/tcp/9", 24, 56));
        assert!(!same("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/1", 32, 56));
        assert!(same("/ip4/192.0.2.1/tcp/1", "/ip4/10.1.1.1/tcp/1", 0, 0));
        assert!(same(
            "/ip6/2001:db8:0:1::1/tcp/1",
            "/ip6/2001:db8:0:2::1/tcp/1",
            24,
            56
        ));
        assert!(!same(
            "/ip6/2001:db8:0:1::1/tcp/1",
            "/ip6/2001:db8:1:1::1/tcp/1",
            24,
            48
        ));
        assert!(!same("/ip4/0.0.0.0/tcp/1", "/ip6/2001:db8::1/tcp/1", 0, 0));
    }

    #[test]
    fn mapped_addresses_are_ip4_and_names_are_one_subnet() {
        let same = |a, b| subnet(a, 32, 64) == subnet(b, 32, 64);
        assert!(same("/ip6/::ffff:192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/1"));
        assert!(same("/dns4/a.example/tcp/1", "/dns/b.example/tcp/1"));
        assert!(!same("/dns4/a.example/tcp/1", "/ip4/255.255.255.255/tcp/1"));
    }
}
