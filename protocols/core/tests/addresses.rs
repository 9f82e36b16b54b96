//! Multiaddrs and peer ids: helpers, both doors against each other, and the known failures of others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use data_encoding::HEXLOWER as HEX;
use libp2p_proto_core::{AddressClass, Component, Multiaddr, PeerId, Rng, multiaddr::Error};
use proptest::{collection::vec, prelude::*};

const A: &str = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";
const B: &str = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

// covers: COR-072, COR-073, COR-086, COR-087, COR-088
#[test]
fn spellings_of_one_address_are_one_address() {
    assert_eq!(addr("/ip4/127.0.0.1/tcp/1234/"), addr("/ip4/127.0.0.1/tcp/1234"));
    let old = addr(&format!("/ipfs/{B}"));
    assert_eq!(old.to_string(), format!("/p2p/{B}"));
    assert_eq!(addr("/http-path/a%62"), addr("/http-path/ab"));
    assert_eq!(
        HEX.encode(addr("/http-path/foo%2Fbar").as_bytes()),
        "e10307666f6f2f626172"
    );
    let with_path = addr(&format!("/ip4/1.2.3.4/tcp/443/tls/http/p2p/{A}/http-path/x"));
    assert_eq!(with_path.peer_id(), Some(A.parse().unwrap()));
    assert_eq!(
        with_path.split_peer_id().0.unwrap(),
        addr("/ip4/1.2.3.4/tcp/443/tls/http/http-path/x")
    );
}

// covers: COR-091, COR-092, COR-093, COR-094
#[test]
fn addresses_are_put_together_and_taken_apart() {
    let tcp = addr("/ip4/1.2.3.4/tcp/1");
    assert_eq!(
        addr("/ip4/1.2.3.4/tcp/1/ws").decapsulate(&addr("/tcp/1")),
        Some(addr("/ip4/1.2.3.4"))
    );
    assert_eq!(
        tcp.encapsulate(&addr("/ws")).unwrap(),
        addr("/ip4/1.2.3.4/tcp/1/ws")
    );
    let named = tcp.with_peer_id(A.parse().unwrap()).unwrap();
    assert_eq!(named.with_peer_id(A.parse().unwrap()).unwrap(), named);
    assert_eq!(named.with_peer_id(B.parse().unwrap()), Err(Error::OtherPeer));
    assert_eq!(named.split_peer_id(), (Some(tcp), Some(A.parse().unwrap())));
    let relayed = addr(&format!("/ip4/192.0.2.1/tcp/4001/p2p/{A}/p2p-circuit/p2p/{B}"));
    assert_eq!(
        relayed.relay_and_target(),
        Some((A.parse().unwrap(), B.parse().unwrap()))
    );
    assert_eq!(
        addr(&format!("/ip4/1.2.3.4/tcp/1/p2p-circuit/p2p/{B}")).relay_and_target(),
        None
    );
    assert_eq!(
        addr(&format!("/ip4/1.2.3.4/tcp/1/p2p/{A}/p2p-circuit")).relay_and_target(),
        None
    );
}

// covers: COR-087, COR-092
#[test]
fn a_peer_stands_before_a_last_path_and_comes_off_again() {
    let path = addr("/ip4/1.2.3.4/tcp/443/tls/http/http-path/x");
    let (a, b) = (A.parse().unwrap(), B.parse().unwrap());
    let named = path.with_peer_id(a).unwrap();
    assert_eq!(
        named.to_string(),
        format!("/ip4/1.2.3.4/tcp/443/tls/http/p2p/{A}/http-path/x")
    );
    assert_eq!(named.split_peer_id(), (Some(path), Some(a)));
    assert_eq!(named.with_peer_id(a).unwrap(), named);
    assert_eq!(named.with_peer_id(b), Err(Error::OtherPeer));
    let lonely = addr("/http-path/x").with_peer_id(a).unwrap();
    assert_eq!(lonely.to_string(), format!("/p2p/{A}/http-path/x"));
    assert_eq!(addr(&format!("/p2p/{A}")).split_peer_id(), (None, Some(a)));
    // A peer in the middle is not the final one.
    let relay = addr(&format!("/ip4/1.2.3.4/tcp/1/p2p/{A}/p2p-circuit"));
    assert_eq!(relay.peer_id(), None);
    assert_eq!(relay.with_peer_id(b).unwrap().peer_id(), Some(b));
}

// covers: COR-091
#[test]
fn decapsulation_cuts_at_component_borders_and_at_the_last_occurrence() {
    let twice = addr("/ip4/1.2.3.4/tcp/1/p2p-circuit/tcp/1/ws");
    assert_eq!(
        twice.decapsulate(&addr("/tcp/1")),
        Some(addr("/ip4/1.2.3.4/tcp/1/p2p-circuit"))
    );
    assert_eq!(twice.decapsulate(&addr("/tcp/2")), None);
    assert_eq!(twice.decapsulate(&addr("/ip4/1.2.3.4")), None, "nothing is left");
    // `06 0001` also occurs inside of this IPv4 address and its port, where no component begins.
    let inside = addr("/ip4/6.0.1.6/tcp/1537");
    assert_eq!(HEX.encode(inside.as_bytes()), "0406000106060601");
    assert_eq!(inside.decapsulate(&addr("/tcp/1")), None);
    assert_eq!(
        addr("/tcp/1").encapsulate(&addr(&"/tls".repeat(32))),
        Err(Error::TooLong)
    );
}

// covers: COR-089
#[test]
fn a_unix_path_takes_the_rest_of_the_text() {
    let socket = addr("/unix/run/p2p/tcp/1");
    assert_eq!(
        socket.components().collect::<Vec<_>>(),
        [Component::Unix("/run/p2p/tcp/1")]
    );
    assert_eq!(socket.to_string(), "/unix/run/p2p/tcp/1");
    assert_eq!(socket.with(Component::Ws), Err(Error::BadValue("unix")));
    assert_eq!(addr("/unix//a").components().next(), Some(Component::Unix("//a")));
}

#[test]
fn an_identity_hash_that_is_no_key_is_carried_as_a_key_of_a_lookup() {
    for hex in ["0000", "0003616263"] {
        let id = PeerId::from_bytes(&HEX.decode(hex.as_bytes()).unwrap()).unwrap();
        assert_eq!(HEX.encode(id.as_bytes()), hex);
        assert_eq!(id.to_string().parse::<PeerId>(), Ok(id));
        assert_eq!(addr(&format!("/p2p/{id}")).peer_id(), Some(id));
    }
    let mut rng = Rng::from_seed([3; 32]);
    let (first, second) = (PeerId::random(&mut rng), PeerId::random(&mut rng));
    assert_ne!(first, second);
    assert_eq!(first.inline_key().map(<[u8]>::len), Some(32));
    assert_eq!(PeerId::from_bytes(first.as_bytes()), Ok(first));
    assert_eq!(PeerId::random(&mut Rng::from_seed([3; 32])), first);
}

// covers: COR-048, COR-055
#[test]
fn an_id_is_its_key_up_to_42_bytes_and_a_digest_above() {
    let key = [0x5a; 300];
    for len in 0..key.len() {
        let id = PeerId::from_encoded_key(&key[..len]);
        match id.inline_key() {
            Some(inline) => assert!(len <= 42 && inline == &key[..len]),
            None => {
                assert!(len > 42 && id.as_bytes().len() == 34 && id.as_bytes().starts_with(&[0x12, 0x20]));
            }
        }
        assert_eq!(PeerId::from_bytes(id.as_bytes()), Ok(id));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_cid().parse(), Ok(id));
        assert_eq!(format!("{id:?}"), format!("PeerId({id})"));
    }
    assert_eq!(
        format!("{:>50}|", B.parse::<PeerId>().unwrap()),
        format!("    {B}|")
    );
}

proptest! {
    // covers: COR-055
    #[test]
    fn ids_are_ordered_as_their_bytes_are(a in vec(any::<u8>(), 0..60), b in vec(any::<u8>(), 0..60)) {
        let (a, b) = (PeerId::from_encoded_key(&a), PeerId::from_encoded_key(&b));
        prop_assert_eq!(a.cmp(&b), a.as_bytes().cmp(b.as_bytes()));
        prop_assert_eq!(a == b, a.as_bytes() == b.as_bytes());
    }
}

// covers: COR-101
#[test]
fn addresses_are_classed_by_their_network() {
    use AddressClass::{LinkLocal, Loopback, Name, Other, Private, Public, Relayed, Unspecified};
    for (class, shown) in [
        (
            Loopback,
            "/ip4/127.0.0.1/tcp/1 /ip4/127.255.255.255 /ip6/::1/tcp/1 /ip6/::ffff:127.0.0.1",
        ),
        // RFC 1918
        (
            Private,
            "/ip4/10.0.0.0 /ip4/10.255.255.255 /ip4/172.16.0.0 /ip4/172.31.255.255 /ip4/192.168.0.0 /ip4/192.168.255.255",
        ),
        (
            Public,
            "/ip4/9.255.255.255 /ip4/11.0.0.0 /ip4/172.15.255.255 /ip4/172.32.0.0 /ip4/192.167.255.255 /ip4/192.169.0.0",
        ),
        // RFC 6598
        (
            Private,
            "/ip4/100.64.0.0 /ip4/100.127.255.255/tcp/1 /ip6/::ffff:100.64.0.1",
        ),
        (Public, "/ip4/100.63.255.255 /ip4/100.128.0.0"),
        // RFC 4193
        (Private, "/ip6/fc00:: /ip6/fdff:ffff::1 /ip6zone/eth0/ip6/fd00::1"),
        // 2000::/3
        (
            Public,
            "/ip6/2000:: /ip6/3fff::1 /ip6/2001:db8::1/tcp/1 /ip6/64:ff9b::102:304",
        ),
        (
            Other,
            "/ip6/4000:: /ip6/1fff::1 /ip6/ff02::1 /ip6/fec0::1 /ip6/::2",
        ),
        (
            LinkLocal,
            "/ip6/fe80::1/tcp/1 /ip6zone/eth0/ip6/fe80::1 /ip4/169.254.0.0 /ip4/169.254.255.255",
        ),
        (Unspecified, "/ip4/0.0.0.0/tcp/1 /ip6/::/tcp/1"),
        (
            Other,
            "/ip4/0.0.0.1 /ip4/224.0.0.1 /ip4/239.255.255.255 /ip4/240.0.0.0 /ip4/255.255.255.255",
        ),
        (
            Public,
            "/ip4/1.0.0.0 /ip4/223.255.255.255 /ip4/8.8.8.8/udp/1/quic-v1",
        ),
        (Name, "/dns/a /dns4/a/tcp/1 /dns6/a /dnsaddr/a"),
        (Other, "/memory/1 /unix/a /tls /tcp/1"),
        (
            Relayed,
            "/p2p-circuit /ip4/10.0.0.1/tcp/1/p2p-circuit /dns/a/tcp/1/p2p-circuit",
        ),
    ] {
        for shown in shown.split(' ') {
            assert_eq!(addr(shown).class(), class, "{shown}");
        }
    }
}

#[test]
fn sockets_and_addresses_are_read_from_the_front() {
    let four = "192.0.2.1".parse().unwrap();
    assert_eq!(addr("/ip4/192.0.2.1/tcp/80/ws").socket_tcp(), Some((four, 80)));
    assert_eq!(addr("/ip4/192.0.2.1/udp/80").socket_tcp(), None);
    assert_eq!(addr("/ip4/192.0.2.1/udp/80").ip(), Some(four));
    assert_eq!(addr("/dns4/a/tcp/80").socket_tcp(), None);
    assert_eq!(addr("/tls/ip4/192.0.2.1").ip(), None);
    let six = "fe80::1".parse().unwrap();
    assert_eq!(
        addr("/ip6zone/eth0/ip6/fe80::1/tcp/9").socket_tcp(),
        Some((six, 9))
    );
    assert_eq!(addr("/ip6zone/eth0/tcp/9").ip(), None);
    for (ip, port) in [(four, 0), (six, 65_535)] {
        let made = Multiaddr::tcp(ip, port);
        assert_eq!(made.socket_tcp(), Some((ip, port)));
        assert_eq!(made.to_string().parse::<Multiaddr>(), Ok(made));
    }
}

#[test]
fn what_a_websocket_is_asked_for_is_read_from_its_address() {
    let target = |text: &str| addr(text).websocket().map(|target| (target.host, target.path));
    let wanted = |host: &str, path: &str| Some((host.to_owned(), path.to_owned()));
    assert_eq!(target("/ip4/192.0.2.0/tcp/1234/ws"), wanted("192.0.2.0:1234", ""));
    assert_eq!(
        target("/ip6/2001:db8::1/tcp/80/ws"),
        wanted("[2001:db8::1]:80", "")
    );
    for name in ["dns", "dns4", "dns6"] {
        assert_eq!(
            target(&format!("/{name}/example.com/tcp/80/ws")),
            wanted("example.com:80", "")
        );
    }
    let path = "/dns/example.com/tcp/80/ws/http-path/path%2Fto%2Fendpoint";
    assert_eq!(target(path), wanted("example.com:80", "path/to/endpoint"));
    assert_eq!(
        target(&format!("/ip4/192.0.2.0/tcp/1/ws/p2p/{A}")),
        wanted("192.0.2.0:1", "")
    );
    for other in [
        "/ip4/192.0.2.0/tcp/1234",
        "/ip4/192.0.2.0/tcp/1234/wss",
        "/ip4/192.0.2.0/tcp/1234/tls/ws",
        "/ip4/192.0.2.0/tcp/1234/tls/sni/foo.example.com/ws",
        "/ip4/192.0.2.0/ws",
        "/ip4/192.0.2.0/udp/1234/ws",
        "/ip4/192.0.2.0/tcp/1234/ws/p2p-circuit",
        "/ip4/192.0.2.0/tcp/1234/ws/ws",
        "/dnsaddr/example.com/tcp/1/ws",
    ] {
        assert_eq!(target(other), None, "{other}");
    }
}

// covers: COR-093
#[test]
fn what_follows_the_first_circuit_is_the_destination() {
    let split = addr(&format!(
        "/ip4/1.2.3.4/tcp/1/p2p/{A}/p2p-circuit/p2p/{B}/p2p-circuit/p2p/{A}"
    ))
    .split_relay()
    .unwrap();
    assert_eq!(split.0, Some(addr(&format!("/ip4/1.2.3.4/tcp/1/p2p/{A}"))));
    assert_eq!(split.1, Some(addr(&format!("/p2p/{B}/p2p-circuit/p2p/{A}"))));
    assert_eq!(addr("/p2p-circuit").split_relay(), Some((None, None)));
    assert_eq!(addr("/tcp/1").split_relay(), None);
}
