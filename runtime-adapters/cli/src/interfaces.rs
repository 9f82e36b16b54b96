//! What 0.0.0.0 and :: stand for.

use libp2p_proto_core::{Component, Multiaddr};
use std::{io, net::IpAddr};

/// The addresses behind a bound one: of every interface if it is unspecified, itself otherwise. Link-local ones are left out: without a zone nobody can dial them.
pub(crate) fn expand(bound: &Multiaddr) -> io::Result<Vec<Multiaddr>> {
    let Some((ip, _)) = bound.socket_tcp().filter(|(ip, _)| ip.is_unspecified()) else {
        return Ok(vec![bound.clone()]);
    };
    let own: Vec<_> = if_addrs::get_if_addrs()?
        .iter()
        .map(if_addrs::Interface::ip)
        .collect();
    Ok(of_interfaces(ip, bound, &own))
}

fn of_interfaces(listening: IpAddr, bound: &Multiaddr, own: &[IpAddr]) -> Vec<Multiaddr> {
    let dialable = |ip: &&IpAddr| match ip {
        IpAddr::V4(ip) => listening.is_ipv4() && !ip.is_link_local(),
        IpAddr::V6(ip) => listening.is_ipv6() && !ip.is_unicast_link_local(),
    };
    let mut addrs: Vec<Multiaddr> = Vec::new();
    for ip in own.iter().filter(dialable) {
        let rest = bound.components().skip(1);
        let addr = Multiaddr::from_components([Component::from(*ip)].into_iter().chain(rest));
        addrs.extend(addr.ok().filter(|addr| !addrs.contains(addr)));
    }
    addrs
}

#[cfg(test)]
mod tests {
    use super::of_interfaces;
    use libp2p_proto_core::Multiaddr;

    #[test]
    fn the_unspecified_address_stands_for_the_dialable_ones_of_its_family() {
        let own = [
            "127.0.0.1",
            "192.168.1.5",
            "192.168.1.5",
            "169.254.1.1",
            "::1",
            "fe80::1",
            "2001:db8::7",
        ]
        .map(|text| text.parse().expect("an address"));
        let texts = |bound: &str| {
            let bound: Multiaddr = bound.parse().expect("an address");
            let (listening, _) = bound.socket_tcp().expect("a socket");
            let addrs = of_interfaces(listening, &bound, &own);
            addrs.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            texts("/ip4/0.0.0.0/tcp/9"),
            ["/ip4/127.0.0.1/tcp/9", "/ip4/192.168.1.5/tcp/9"]
        );
        assert_eq!(
            texts("/ip6/::/tcp/9"),
            ["/ip6/::1/tcp/9", "/ip6/2001:db8::7/tcp/9"]
        );
        assert_eq!(
            texts("/ip4/0.0.0.0/tcp/9/ws"),
            ["/ip4/127.0.0.1/tcp/9/ws", "/ip4/192.168.1.5/tcp/9/ws"]
        );
    }
}
