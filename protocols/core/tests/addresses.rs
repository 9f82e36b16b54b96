//! Multiaddrs and peer ids: the listed vectors, and both doors against each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use bytes::Bytes;
use data_encoding::HEXLOWER as HEX;
use libp2p_proto_core::{
    AddressClass, Component, Multiaddr, PeerId,
    multiaddr::{Error, MAX_COMPONENTS},
};
use proptest::prelude::*;
use serde_json::Value;

const A: &str = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";
const B: &str = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

/// The vectors are not part of the packaged crate.
fn vectors(file: &str) -> Option<Value> {
    let path = format!(
        "{}/../../conformance/vectors/core/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap()
}

fn binary(hex: &str) -> Result<Multiaddr, Error> {
    Multiaddr::from_bytes(HEX.decode(hex.as_bytes()).unwrap())
}

fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

// covers: COR-059, COR-060, COR-067, COR-070, COR-075, COR-078, COR-079
#[test]
fn every_listed_address_has_its_listed_bytes_in_both_directions() {
    let Some(vectors) = vectors("multiaddr.json") else {
        return;
    };
    let rows = vectors.get("accepted").and_then(Value::as_array).unwrap();
    assert!(rows.len() >= 39);
    for row in rows {
        let (shown, bytes) = (text(row, "text"), text(row, "binary"));
        let parsed: Multiaddr = shown.parse().unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(HEX.encode(parsed.as_bytes()), bytes, "{shown}");
        let read = binary(bytes).unwrap();
        assert_eq!(read, parsed);
        let printed = read.to_string();
        assert_eq!(printed.parse::<Multiaddr>().unwrap(), parsed, "{printed}");
    }
}

// covers: COR-070, COR-071, COR-074, COR-076, COR-077, COR-080, COR-082, COR-083, COR-084, COR-085
#[test]
fn every_listed_text_that_must_be_refused_is_refused() {
    let Some(vectors) = vectors("multiaddr.json") else {
        return;
    };
    for row in vectors.get("refused").and_then(Value::as_array).unwrap() {
        let shown = row.as_str().unwrap();
        assert!(shown.parse::<Multiaddr>().is_err(), "{shown}");
    }
    for shown in [
        "ip4/1.2.3.4",
        "//",
        "/ip4//tcp/1",
        "/tcp/0x10",
        "/tcp/+80",
        "/tcp/080",
        "/tcp/ 80",
        "/tcp/4294967297",
        "/ip4/1.2.3.04",
    ] {
        assert!(shown.parse::<Multiaddr>().is_err(), "{shown}");
    }
}

// covers: COR-048, COR-051, COR-052, COR-054, COR-055, COR-078
#[test]
fn the_three_text_forms_of_an_id_are_one_id() {
    let Some(vectors) = vectors("peer-ids.json") else {
        return;
    };
    let rows = vectors.as_array().unwrap();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let id = PeerId::from_bytes(&HEX.decode(text(row, "multihash").as_bytes()).unwrap()).unwrap();
        for form in ["base58", "base32", "base36"] {
            assert_eq!(text(row, form).parse::<PeerId>().unwrap(), id);
            assert_eq!(
                format!("/p2p/{}", text(row, form))
                    .parse::<Multiaddr>()
                    .unwrap()
                    .peer_id(),
                Some(id)
            );
        }
        assert_eq!(id.to_string(), text(row, "base58"));
        assert_eq!(id.to_cid(), text(row, "base32"));
    }
}

// covers: COR-049, COR-053, COR-057, COR-058
#[test]
fn ids_that_are_none_are_refused() {
    for hex in ["", "00", "0001", "1221", "122000", "1320", "002b"] {
        let mut bytes = HEX.decode(hex.as_bytes()).unwrap();
        if hex == "002b" {
            bytes.extend([1; 43]);
        }
        assert!(PeerId::from_bytes(&bytes).is_err(), "{hex}");
    }
    let mut long = vec![0x12, 0x21];
    long.extend([7; 33]);
    assert!(PeerId::from_bytes(&long).is_err());
    let endless = "z".repeat(10_000);
    let codec_70 = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";
    for shown in [
        "", " ", "0", "O", "I", "l", "1O", "Qm0", &endless, codec_70, "bafzaaj",
    ] {
        assert!(shown.parse::<PeerId>().is_err(), "{shown:.20}");
    }
}

// covers: COR-061, COR-062, COR-063, COR-064, COR-065, COR-066, COR-068
#[test]
fn malformed_bytes_are_refused_with_their_reason() {
    assert_eq!(Multiaddr::from_bytes(Bytes::new()), Err(Error::Empty));
    for hex in ["047f0000", "0610", "350b6578", "91"] {
        assert_eq!(binary(hex), Err(Error::Truncated), "{hex}");
    }
    assert_eq!(binary("ff7f"), Err(Error::UnknownProtocol(16_383)));
    assert_eq!(binary("ffffffff07"), Err(Error::UnknownProtocol(0x7fff_ffff)));
    assert_eq!(binary("8080808008"), Err(Error::BadVarint));
    for hex in ["3500", "a50300", "900300", "a50303120161"] {
        assert!(binary(hex).is_err(), "{hex}");
    }
    let circuits = "a202".repeat(MAX_COMPONENTS);
    assert!(binary(&circuits).is_ok());
    assert_eq!(binary(&"a202".repeat(MAX_COMPONENTS + 1)), Err(Error::TooLong));
    assert_eq!(binary(&"a202".repeat(10_000)), Err(Error::TooLong));
}

#[test]
fn vul_151_every_prefix_of_a_multihash_is_an_error_and_never_a_panic() {
    let whole = HEX
        .decode(b"12209dff3b17d74cf4d38a50d8b6383e92d181a10395a5e73a726dcccbd21bf6f0b9")
        .unwrap();
    for end in 0..whole.len() {
        assert!(PeerId::from_bytes(&whole[..end]).is_err());
    }
    for len in 0..=255_u8 {
        let mut bytes = vec![0x00, len];
        bytes.extend(vec![0; usize::from(len)]);
        assert_eq!(PeerId::from_bytes(&bytes).is_ok(), len <= 42);
    }
}

#[test]
fn vul_152_empty_huge_and_unknown_components_are_errors() {
    for code in 0..1000_u64 {
        for body in [&[][..], &[0], &[1, 0], &[0xff; 9], &[0xff, 0xff, 3]] {
            let mut bytes = Vec::new();
            libp2p_proto_core::varint::encode(code, &mut bytes);
            bytes.extend_from_slice(body);
            if let Ok(read) = Multiaddr::from_bytes(bytes) {
                assert_eq!(read.to_string().parse::<Multiaddr>().unwrap(), read);
            }
        }
    }
    assert!("/p2p-circuit".repeat(10_000).parse::<Multiaddr>().is_err());
    assert!(
        format!("/dns/{}", "a".repeat(1 << 20))
            .parse::<Multiaddr>()
            .is_err()
    );
}

#[test]
fn vul_159_names_are_opaque_text_without_control_characters() {
    assert!("/dns/xn--bcher-kva.example/tcp/1".parse::<Multiaddr>().is_ok());
    assert_ne!(addr("/dns/EXAMPLE.com"), addr("/dns/example.com"));
    assert!("/dns/a\u{0}b".parse::<Multiaddr>().is_err());
    assert!("/dns/a\u{1b}[2J".parse::<Multiaddr>().is_err());
}

#[test]
fn vul_190_text_and_binary_have_the_same_checks() {
    assert!("/tcp/65535".parse::<Multiaddr>().is_ok());
    for port in ["65536", "65537", "4294967297", "+80", " 80", "080"] {
        assert!(format!("/tcp/{port}").parse::<Multiaddr>().is_err());
    }
    assert!(binary("a50303120161").is_err(), "a broken multihash in binary");
    assert!("/ip4/1.2.3.0/ipcidr/255".parse::<Multiaddr>().is_ok());
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

// covers: COR-101
#[test]
fn addresses_are_classed_by_their_network() {
    for (shown, class) in [
        ("/ip4/127.0.0.1/tcp/1", AddressClass::Loopback),
        ("/ip6/::1/tcp/1", AddressClass::Loopback),
        ("/ip4/10.1.2.3/tcp/1", AddressClass::Private),
        ("/ip4/172.16.0.1/tcp/1", AddressClass::Private),
        ("/ip4/192.168.0.1/tcp/1", AddressClass::Private),
        ("/ip4/100.64.0.1/tcp/1", AddressClass::Private),
        ("/ip4/100.128.0.1/tcp/1", AddressClass::Public),
        ("/ip6/fd00::1/tcp/1", AddressClass::Private),
        ("/ip6/fe80::1/tcp/1", AddressClass::LinkLocal),
        ("/ip4/169.254.1.1/tcp/1", AddressClass::LinkLocal),
        ("/ip6/2001:db8::1/tcp/1", AddressClass::Public),
        ("/ip4/0.0.0.0/tcp/1", AddressClass::Unspecified),
        ("/dns4/example.com/tcp/1", AddressClass::Name),
        ("/memory/1", AddressClass::Other),
        ("/p2p-circuit", AddressClass::Relayed),
    ] {
        assert_eq!(addr(shown).class(), class, "{shown}");
    }
}

proptest! {
    // covers: COR-069
    #[test]
    fn whatever_is_accepted_prints_and_parses_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(read) = Multiaddr::from_bytes(bytes) {
            prop_assert_eq!(read.to_string().parse::<Multiaddr>().unwrap(), read);
        }
    }

    #[test]
    fn built_addresses_agree_with_the_reference(ip in any::<[u8; 4]>(), port in any::<u16>(), name in "[a-z]{1,12}") {
        let ours = Multiaddr::from_components([Component::Ip4(ip.into()), Component::Tcp(port), Component::Sni(&name)]).unwrap();
        let theirs: multiaddr::Multiaddr = ours.to_string().parse().unwrap();
        prop_assert_eq!(theirs.to_vec(), ours.as_bytes());
    }
}
