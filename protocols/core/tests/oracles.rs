//! Ours beside the crates `multiaddr` and `unsigned-varint`, whose published tests are in the vectors too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_core::{Component, Multiaddr, PeerId, multiaddr::Certhash, varint};
use proptest::{collection::vec, prelude::*};

#[derive(Clone, Debug)]
enum Part {
    Ip4([u8; 4]),
    Ip6([u8; 16]),
    Port(u8, u16),
    Name(u8, String),
    Path(String),
    Peer(PeerId),
    Hash(Vec<u8>),
    Onion([u8; 10], u16),
    Onion3([u8; 32], [u8; 3], u16),
    Garlic32(Vec<u8>),
    Memory(u64),
    Cidr(u8),
    Plain(u8),
}

const PLAIN: [Component<'_>; 17] = [
    Component::P2pWebrtcStar,
    Component::P2pWebrtcDirect,
    Component::P2pStardust,
    Component::WebrtcDirect,
    Component::Webrtc,
    Component::P2pCircuit,
    Component::Udt,
    Component::Utp,
    Component::Https,
    Component::Tls,
    Component::Noise,
    Component::Quic,
    Component::QuicV1,
    Component::Webtransport,
    Component::Wss,
    Component::Ws,
    Component::Http,
];

/// Values that both accept: what is ours alone to refuse is in the vectors.
fn part() -> impl Strategy<Value = Part> {
    let digest = prop_oneof![
        vec(any::<u8>(), 32).prop_map(|digest| [&[0x12, 0x20], &digest[..]].concat()),
        vec(any::<u8>(), 1..43).prop_map(|key| [&[0, u8::try_from(key.len()).unwrap()], &key[..]].concat()),
    ];
    prop_oneof![
        any::<[u8; 4]>().prop_map(Part::Ip4),
        any::<[u8; 16]>().prop_map(Part::Ip6),
        (0..4_u8, any::<u16>()).prop_map(|(kind, port)| Part::Port(kind, port)),
        (0..6_u8, "[^/\\p{Cc}]{1,12}").prop_map(|(kind, name)| Part::Name(kind, name)),
        "\\PC{1,12}".prop_map(Part::Path),
        digest
            .clone()
            .prop_map(|digest| Part::Peer(PeerId::from_bytes(&digest).unwrap())),
        digest.prop_map(Part::Hash),
        (any::<[u8; 10]>(), 1..=u16::MAX).prop_map(|(address, port)| Part::Onion(address, port)),
        (any::<[u8; 32]>(), any::<[u8; 3]>(), 1..=u16::MAX).prop_map(|(a, b, port)| Part::Onion3(a, b, port)),
        prop_oneof![vec(any::<u8>(), 32), vec(any::<u8>(), 35..60)].prop_map(Part::Garlic32),
        any::<u64>().prop_map(Part::Memory),
        any::<u8>().prop_map(Part::Cidr),
        (0..17_u8).prop_map(Part::Plain),
    ]
}

fn component(part: &Part) -> Component<'_> {
    match part {
        Part::Ip4(octets) => Component::Ip4((*octets).into()),
        Part::Ip6(octets) => Component::Ip6((*octets).into()),
        Part::Port(0, port) => Component::Tcp(*port),
        Part::Port(1, port) => Component::Udp(*port),
        Part::Port(2, port) => Component::Dccp(*port),
        Part::Port(_, port) => Component::Sctp(*port),
        Part::Name(0, name) => Component::Dns(name),
        Part::Name(1, name) => Component::Dns4(name),
        Part::Name(2, name) => Component::Dns6(name),
        Part::Name(3, name) => Component::Dnsaddr(name),
        Part::Name(4, name) => Component::Sni(name),
        Part::Name(_, name) => Component::Ip6zone(name),
        Part::Path(path) => Component::HttpPath(path),
        Part::Peer(peer) => Component::P2p(*peer),
        Part::Hash(hash) => Component::Certhash(Certhash::new(hash).unwrap()),
        Part::Onion(address, port) => Component::Onion(*address, *port),
        Part::Onion3(a, b, port) => {
            let mut address = [0; 35];
            address[..32].copy_from_slice(a);
            address[32..].copy_from_slice(b);
            Component::Onion3(address, *port)
        }
        Part::Garlic32(bytes) => Component::Garlic32(bytes),
        Part::Memory(number) => Component::Memory(*number),
        Part::Cidr(bits) => Component::Ipcidr(*bits),
        Part::Plain(which) => PLAIN[usize::from(*which)],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn addresses_are_the_same_to_rust_libp2p_in_text_and_in_binary(parts in vec(part(), 1..8)) {
        let ours = Multiaddr::from_components(parts.iter().map(component)).unwrap();
        let theirs = multiaddr::Multiaddr::try_from(ours.as_bytes().to_vec()).unwrap();
        prop_assert_eq!(theirs.iter().count(), parts.len());
        prop_assert_eq!(theirs.to_vec(), ours.as_bytes());
        let read: multiaddr::Multiaddr = ours.to_string().parse().unwrap();
        prop_assert_eq!(read.to_vec(), ours.as_bytes());
        prop_assert_eq!(theirs.to_string().parse::<Multiaddr>(), Ok(ours));
    }

    #[test]
    fn bytes_that_both_accept_are_one_address(bytes in vec(any::<u8>(), 0..40)) {
        if let (Ok(ours), Ok(theirs)) = (Multiaddr::from_bytes(bytes.clone()), multiaddr::Multiaddr::try_from(bytes)) {
            prop_assert_eq!(ours.components().count(), theirs.iter().count());
            prop_assert_eq!(theirs.to_string().parse::<Multiaddr>(), Ok(ours));
        }
    }

    #[test]
    fn text_that_both_accept_is_one_address(text in "(/(ip4|ip6|tcp|udp|dns|sni|http-path|onion|memory|ipcidr|tls|ws|quic-v1|p2p-circuit)(/([0-9a-f.:%]{0,10}|[0-9]{1,5}))?){1,5}") {
        if let (Ok(ours), Ok(theirs)) = (text.parse::<Multiaddr>(), text.parse::<multiaddr::Multiaddr>()) {
            prop_assert_eq!(ours.as_bytes(), theirs.to_vec());
        }
    }

    #[test]
    fn varints_are_those_of_the_reference_up_to_63_bits(value in prop_oneof![any::<u64>(), (0..64_u32).prop_map(|bit| 1 << bit), (0..64_u32).prop_map(|bit| (1 << bit) - 1)]) {
        let mut ours = Vec::new();
        varint::encode(value, &mut ours);
        let mut room = unsigned_varint::encode::u64_buffer();
        let theirs = unsigned_varint::encode::u64(value.min(varint::MAX), &mut room);
        prop_assert_eq!(&ours[..], theirs);
        prop_assert_eq!(varint::decode(theirs), Ok(Some((value.min(varint::MAX), theirs.len()))));
    }

    #[test]
    fn vul_156_what_the_reference_refuses_or_waits_for_we_do_too(bytes in vec(prop_oneof![Just(0x80_u8), Just(0xff), Just(0), Just(1), any::<u8>()], 0..12)) {
        use unsigned_varint::decode::Error as Theirs;
        match (varint::decode(&bytes), unsigned_varint::decode::u64(&bytes)) {
            (Ok(Some((value, len))), Ok((wanted, rest))) => prop_assert_eq!((value, len), (wanted, bytes.len() - rest.len())),
            // Nine bytes are enough to know: they wait for the tenth, which is never legal here.
            (Err(_), Err(Theirs::Insufficient)) => prop_assert!(bytes.len() == 9 && bytes.iter().all(|byte| *byte >= 0x80)),
            (Err(_), Ok((value, _))) => prop_assert!(value > varint::MAX),
            (Ok(None), Err(Theirs::Insufficient)) | (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{bytes:02x?}: {ours:?} {theirs:?}"),
        }
    }
}
